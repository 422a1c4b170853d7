//! The environment: options, filters, tests, globals and the loader.

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::IndexMap;

use super::context::{Context, Template};
use super::filters::Builtin;
use super::interp::run_template;
use super::rendered::Output;
use super::{
    Args, Error, Exception, Host, Kind, NoHost, Rendered, Result, Runtime, Value, checks, filters,
    salt,
};

/// Variables by name, in order.
pub type Vars = IndexMap<Rc<str>, Value>;

/// How templates are read and run. The names are those of Jinja's environment.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are Jinja's options")]
pub struct Options {
    /// Opens a statement; `{%`.
    pub block_start: String,
    /// Closes a statement; `%}`.
    pub block_end: String,
    /// Opens an expression; `{{`.
    pub variable_start: String,
    /// Closes an expression; `}}`.
    pub variable_end: String,
    /// Opens a comment; `{#`.
    pub comment_start: String,
    /// Closes a comment; `#}`.
    pub comment_end: String,
    /// Begins a line that is a statement; none.
    pub line_statement_prefix: Option<String>,
    /// Begins a comment to the end of the line; none.
    pub line_comment_prefix: Option<String>,
    /// Removes the newline after a statement; off.
    pub trim_blocks: bool,
    /// Removes blanks before a statement that begins a line; off.
    pub lstrip_blocks: bool,
    /// Keeps the newline at the end of a template; off.
    pub keep_trailing_newline: bool,
    /// What newlines of the template become: `\n`, `\r\n` or `\r`.
    pub newline_sequence: String,
    /// What a missing name is; [`UndefinedKind::Default`].
    pub undefined: UndefinedKind,
    /// Escapes printed values for HTML; off.
    pub autoescape: bool,
    /// The limits of one rendering.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_start: "{%".to_owned(),
            block_end: "%}".to_owned(),
            variable_start: "{{".to_owned(),
            variable_end: "}}".to_owned(),
            comment_start: "{#".to_owned(),
            comment_end: "#}".to_owned(),
            line_statement_prefix: None,
            line_comment_prefix: None,
            trim_blocks: false,
            lstrip_blocks: false,
            keep_trailing_newline: false,
            newline_sequence: "\n".to_owned(),
            undefined: UndefinedKind::Default,
            autoescape: false,
            limits: Limits::default(),
        }
    }
}

/// What a missing name or attribute is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UndefinedKind {
    /// Prints as nothing, is false; other uses fail.
    #[default]
    Default,
    /// Every use but `is defined` and `default` fails.
    Strict,
    /// As the default, and its attributes are undefined too.
    Chainable,
    /// As the default, but prints what is missing.
    Debug,
}

/// The limits of one rendering.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Steps: evaluated nodes, walked items, and 32-byte pieces of made text; 20 million.
    pub steps: u64,
    /// Bytes of output and of any one string; 64 MiB.
    pub output: usize,
    /// Calls of macros, includes, recursive loops within each other; 200.
    pub depth: u32,
    /// Bytes of the thread's stack that rendering may use; 1 MiB, half of what
    /// Rust gives a thread.
    pub stack: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 20_000_000,
            output: 64 << 20,
            depth: 200,
            stack: 1 << 20,
        }
    }
}

/// A template to load.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name as written in the `import`, `include` or `extends`.
    pub name: &'a str,
    /// The template that asks, `None` for the one that is rendered.
    pub from: Option<&'a str>,
    /// The globals as they are now.
    pub globals: &'a Vars,
}

/// A loaded template.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The text.
    pub text: String,
    /// Where it lies, for messages.
    pub path: Option<String>,
    /// Globals that loading it sets for everything loaded from now on (Salt's
    /// `tplfile`, `tpldir`, `tpldot`).
    pub globals: Vec<(Rc<str>, Value)>,
}

type Callable<'h> = Rc<dyn Fn(&Runtime<'_>, Args) -> Result<Value> + 'h>;
type Loader<'h> = Box<dyn Fn(&Request<'_>) -> Result<Option<Loaded>> + 'h>;

/// Options, filters, tests, globals and the loader.
///
/// `'h` is how long what it borrows from its host lives: files, functions, the machine.
pub struct Environment<'h> {
    options: Options,
    salt: bool,
    filters: HashMap<Rc<str>, Callable<'h>>,
    tests: HashMap<Rc<str>, Callable<'h>>,
    globals: Rc<Vars>,
    loader: Option<Loader<'h>>,
    host: Rc<dyn Host + 'h>,
}

impl<'h> Environment<'h> {
    /// Jinja's environment with its built-in filters, tests and globals, and
    /// the `do` and loop-control statements.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            salt: false,
            filters: HashMap::new(),
            tests: HashMap::new(),
            globals: Rc::default(),
            loader: None,
            host: Rc::new(NoHost),
        }
    }

    /// Salt's environment: the sandbox, Salt's tags, filters, tests and
    /// globals, and its way to print dicts. The `undefined` of Salt is
    /// [`UndefinedKind::Strict`]; set it in the options.
    pub fn salt(options: Options) -> Self {
        Self {
            salt: true,
            ..Self::new(options)
        }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether this is Salt's environment.
    pub fn is_salt(&self) -> bool {
        self.salt
    }

    /// Offers the outside world to templates; nothing by default.
    pub fn set_host(&mut self, host: impl Host + 'h) {
        self.host = Rc::new(host);
    }

    /// The outside world.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Says how templates are loaded by name: `Ok(None)` is "not found".
    pub fn set_loader(&mut self, loader: impl Fn(&Request<'_>) -> Result<Option<Loaded>> + 'h) {
        self.loader = Some(Box::new(loader));
    }

    /// Adds or replaces a filter. Its first positional argument is the value.
    pub fn add_filter(
        &mut self,
        name: &str,
        filter: impl Fn(&Runtime<'_>, Args) -> Result<Value> + 'h,
    ) {
        self.filters.insert(name.into(), Rc::new(filter));
    }

    /// Adds or replaces a test. Its first positional argument is the value.
    pub fn add_test(
        &mut self,
        name: &str,
        test: impl Fn(&Runtime<'_>, Args) -> Result<Value> + 'h,
    ) {
        self.tests.insert(name.into(), Rc::new(test));
    }

    /// Adds or replaces a global variable.
    pub fn add_global(&mut self, name: &str, value: Value) {
        Rc::make_mut(&mut self.globals).insert(name.into(), value);
    }

    /// Renders a template of the loader.
    ///
    /// # Errors
    /// It is not found, does not parse, or fails.
    pub fn render(&self, name: &str, context: Vars) -> Result<Rendered> {
        let runtime = Runtime::new(self);
        let template = runtime.template(name, None)?;
        self.finish(&runtime, &template, context)
    }

    /// Renders a text.
    ///
    /// # Errors
    /// It does not parse, or fails.
    pub fn render_str(&self, text: &str, context: Vars) -> Result<Rendered> {
        self.render_text(text, None, context)
    }

    /// Renders a text that lies at a path, which only messages show.
    ///
    /// # Errors
    /// It does not parse, or fails.
    pub fn render_text(&self, text: &str, path: Option<&str>, context: Vars) -> Result<Rendered> {
        let runtime = Runtime::new(self);
        let template = runtime.parse(text, path)?;
        self.finish(&runtime, &template, context)
    }

    fn finish(
        &self,
        runtime: &Runtime<'_>,
        template: &Rc<Template>,
        context: Vars,
    ) -> Result<Rendered> {
        let mut out = Output::default();
        let context = Context::for_template(template, self.with_globals(runtime, context));
        run_template(runtime, template, &context, &mut out)?;
        Ok(Rendered {
            text: out.text,
            spans: out.spans,
            sources: runtime.sources(),
        })
    }

    fn with_globals(&self, runtime: &Runtime<'_>, context: Vars) -> Rc<Vars> {
        let mut vars = runtime.globals();
        Rc::make_mut(&mut vars).extend(context);
        vars
    }

    /// Runs a template and returns what an `import` of it would give: its
    /// top-level variables. Macros among them are dead once this returns.
    ///
    /// # Errors
    /// It is not found, does not parse, or fails.
    pub fn exports(&self, name: &str, context: Vars) -> Result<Vars> {
        let runtime = Runtime::new(self);
        let template = runtime.template(name, None)?;
        let vars = self.with_globals(&runtime, context);
        let module = runtime.run_module(&template, vars)?;
        Ok((*module.exports).clone())
    }

    pub(crate) fn globals(&self) -> &Rc<Vars> {
        &self.globals
    }

    pub(crate) fn load(
        &self,
        name: &str,
        from: Option<&str>,
        globals: &Vars,
    ) -> Result<Option<Loaded>> {
        match &self.loader {
            Some(loader) => loader(&Request {
                name,
                from,
                globals,
            }),
            None => Err(Error::new(
                Kind::Python(Exception::TypeError),
                "no loader for this environment specified",
            )),
        }
    }

    /// Whether there is a filter, or else a test, of that name.
    pub(crate) fn knows(&self, filter: bool, name: &str) -> bool {
        if filter {
            self.filters.contains_key(name) || self.built_in_filter(name).is_some()
        } else {
            self.tests.contains_key(name) || self.built_in_test(name).is_some()
        }
    }

    pub(crate) fn own_filter(&self, name: &str) -> Option<&Callable<'_>> {
        self.filters.get(name)
    }

    pub(crate) fn own_test(&self, name: &str) -> Option<&Callable<'_>> {
        self.tests.get(name)
    }

    pub(crate) fn built_in_filter(&self, name: &str) -> Option<Builtin> {
        let salt = if self.salt { salt::filter(name) } else { None };
        salt.or_else(|| filters::find(name))
    }

    pub(crate) fn built_in_test(&self, name: &str) -> Option<Builtin> {
        let salt = if self.salt { salt::test(name) } else { None };
        salt.or_else(|| checks::find(name))
    }
}
