//! One rendering: its budget and what it has loaded.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::context::{Context, Frame, Template};
use super::lexer::{normalize, tokenize};
use super::rendered::Output;
use super::value::Undefined;
use super::{
    Environment, Error, Exception, Kind, Loaded, Result, Source, Value, Vars, builtins, parser,
    resolve,
};

/// One rendering, as filters, functions and objects see it.
pub struct Runtime<'e> {
    environment: &'e Environment<'e>,
    steps: Cell<u64>,
    depth: Cell<u32>,
    stack_base: usize,
    globals: RefCell<Rc<Vars>>,
    templates: RefCell<HashMap<Rc<str>, Rc<Template>>>,
    modules: RefCell<HashMap<u32, Rc<Module>>>,
    sources: RefCell<Vec<Rc<Source>>>,
    context: RefCell<Option<Rc<Context>>>,
    autoescape: Cell<bool>,
    /// Regular expressions by pattern: compiling one costs more than using it.
    regexes: RefCell<HashMap<String, Rc<fancy_regex::Regex>>>,
    /// Frames and contexts that macros keep alive in circles.
    circles: RefCell<Vec<Circle>>,
}

enum Circle {
    Frame(Weak<Frame>),
    Context(Weak<Context>),
}

/// What running a template for an import gave.
pub(crate) struct Module {
    pub(crate) exports: Rc<Vars>,
    pub(crate) body: Output,
}

impl<'e> Runtime<'e> {
    pub(crate) fn new(environment: &'e Environment<'e>) -> Self {
        let here = 0_u8;
        Self {
            environment,
            steps: Cell::new(0),
            depth: Cell::new(0),
            stack_base: (&raw const here).addr(),
            globals: RefCell::new(Rc::clone(environment.globals())),
            templates: RefCell::default(),
            modules: RefCell::default(),
            sources: RefCell::default(),
            context: RefCell::new(None),
            autoescape: Cell::new(environment.options().autoescape),
            regexes: RefCell::default(),
            circles: RefCell::default(),
        }
    }

    /// The environment.
    pub fn environment(&self) -> &'e Environment<'e> {
        self.environment
    }

    /// A variable of the template that is running: what its top level assigned,
    /// the context, or a global.
    pub fn variable(&self, name: &str) -> Option<Value> {
        let context = self.context.borrow().clone();
        context.and_then(|context| context.resolve(name))
    }

    /// All variables of the template that is running.
    pub fn variables(&self) -> Vars {
        let context = self.context.borrow().clone();
        context.map_or_else(Vars::new, |context| (*context.all()).clone())
    }

    /// What a missing name is here.
    pub fn undefined(&self, name: &str) -> Value {
        Value::Undefined(Rc::new(Undefined::name(self.undefined_kind(), name)))
    }

    /// What a missing attribute or item is here.
    pub fn undefined_member(&self, of: &Value, name: Value) -> Value {
        let undefined = Undefined::member(self.undefined_kind(), of.clone(), name);
        Value::Undefined(Rc::new(undefined))
    }

    /// Something missing that a sentence explains.
    pub fn undefined_hint(&self, hint: impl Into<String>) -> Value {
        Value::Undefined(Rc::new(Undefined::hint(self.undefined_kind(), hint)))
    }

    pub(crate) fn undefined_kind(&self) -> super::UndefinedKind {
        self.environment.options().undefined
    }

    /// Counts work against the limit on steps: one step for each thing done,
    /// or for each 32 bytes made.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn charge(&self, steps: usize) -> Result<()> {
        let used = self.steps.get().saturating_add(steps as u64);
        self.steps.set(used);
        if used > self.environment.options().limits.steps {
            return Err(Error::new(Kind::Limit, "the template takes too many steps"));
        }
        Ok(())
    }

    /// Counts the bytes of a string about to be made.
    pub(crate) fn charge_bytes(&self, bytes: usize) -> Result<()> {
        if bytes > self.environment.options().limits.output {
            return Err(Error::new(Kind::Limit, "the template makes too much text"));
        }
        self.charge(bytes / 32)
    }

    /// Refuses to go deeper than the stack allows.
    pub(crate) fn check_stack(&self) -> Result<()> {
        let here = 0_u8;
        let used = self.stack_base.abs_diff((&raw const here).addr());
        if used > self.environment.options().limits.stack {
            return Err(too_deep());
        }
        Ok(())
    }

    /// Notes one more level of calls; the level ends when the guard is dropped.
    pub(crate) fn enter(&self) -> Result<Level<'_>> {
        self.check_stack()?;
        if self.depth.get() >= self.environment.options().limits.depth {
            return Err(too_deep());
        }
        self.depth.set(self.depth.get() + 1);
        Ok(Level(&self.depth))
    }

    /// Whether printed values are escaped now.
    pub(crate) fn autoescape(&self) -> bool {
        self.autoescape.get()
    }

    pub(crate) fn set_autoescape(&self, on: bool) -> bool {
        self.autoescape.replace(on)
    }

    /// A regular expression, compiled once.
    pub(crate) fn regex(&self, pattern: &str) -> Result<Rc<fancy_regex::Regex>> {
        if let Some(regex) = self.regexes.borrow().get(pattern) {
            return Ok(Rc::clone(regex));
        }
        self.charge(1000 + pattern.len() * 10)?;
        let regex = fancy_regex::RegexBuilder::new(pattern)
            .backtrack_limit(200_000)
            // Counted repetitions of large classes would take gigabytes.
            .delegate_size_limit(4 << 20)
            .max_prog_size(50_000)
            .build()
            .map_err(|error| Error::new(Kind::Host, error.to_string()).caused_by(error))?;
        let regex = Rc::new(regex);
        let mut known = self.regexes.borrow_mut();
        if known.len() >= 64 {
            known.clear();
        }
        known.insert(pattern.to_owned(), Rc::clone(&regex));
        Ok(regex)
    }

    /// Makes a context the current one; the former.
    pub(crate) fn switch(&self, context: Option<Rc<Context>>) -> Option<Rc<Context>> {
        self.context.replace(context)
    }

    /// Notes what to forget at the end, so that macros, which know where they
    /// were defined, do not keep it alive for ever.
    pub(crate) fn remember(&self, frame: &Rc<Frame>, context: &Rc<Context>) {
        let mut circles = self.circles.borrow_mut();
        if !frame.shared.replace(true) {
            circles.push(Circle::Frame(Rc::downgrade(frame)));
        }
        if !context.shared.replace(true) {
            circles.push(Circle::Context(Rc::downgrade(context)));
        }
    }

    pub(crate) fn sources(&self) -> Vec<Rc<Source>> {
        self.sources.borrow().clone()
    }

    /// The globals as they are now.
    pub(crate) fn globals(&self) -> Rc<Vars> {
        Rc::clone(&self.globals.borrow())
    }

    /// A name in a context, or one of Jinja's globals.
    pub(crate) fn resolve(&self, context: &Context, name: &str) -> Option<Value> {
        context
            .resolve(name)
            .or_else(|| builtins::global(self.environment, name))
    }

    /// Parses a text that was not loaded by name.
    pub(crate) fn parse(&self, text: &str, path: Option<&str>) -> Result<Rc<Template>> {
        self.compile(Source {
            name: None,
            path: path.map(Into::into),
            text: text.into(),
        })
    }

    fn compile(&self, source: Source) -> Result<Rc<Template>> {
        let source = Rc::new(source);
        let id = {
            let mut sources = self.sources.borrow_mut();
            sources.push(Rc::clone(&source));
            u32::try_from(sources.len() - 1).unwrap_or(u32::MAX)
        };
        let resolved = self.compile_text(&source.text);
        let resolved = resolved.map_err(|error| error.leaving_parser(&source))?;
        let blocks = resolved.blocks.into_iter();
        Ok(Rc::new(Template {
            source,
            id,
            root: resolved.root,
            blocks: blocks
                .map(|block| (Rc::clone(&block.name), Rc::new(block)))
                .collect(),
        }))
    }

    fn compile_text(&self, text: &str) -> Result<resolve::Resolved> {
        let options = self.environment.options();
        self.charge_bytes(text.len())?;
        let text = normalize(text, options);
        let (tokens, mistake) = tokenize(&text, options);
        self.charge(tokens.len())?;
        let salt = self.environment.is_salt();
        let parsed = parser::parse(tokens, mistake, salt, options.limits.stack)?;
        resolve::resolve(parsed, &|filter, name| self.environment.knows(filter, name))
    }

    /// Loads a template by name, once.
    pub(crate) fn template(&self, name: &str, from: Option<&str>) -> Result<Rc<Template>> {
        let cached = self.templates.borrow().get(name).cloned();
        if let Some(template) = cached {
            return Ok(template);
        }
        let globals = self.globals();
        let Some(loaded) = self.environment.load(name, from, &globals)? else {
            return Err(Error::new(Kind::NotFound, name));
        };
        let Loaded {
            text,
            path,
            globals,
        } = loaded;
        if !globals.is_empty() {
            let mut current = self.globals.borrow_mut();
            Rc::make_mut(&mut current).extend(globals);
        }
        let template = self.compile(Source {
            name: Some(name.into()),
            path: path.map(Into::into),
            text: text.into(),
        })?;
        self.templates
            .borrow_mut()
            .insert(name.into(), Rc::clone(&template));
        Ok(template)
    }

    /// What an import without context gives; each template runs once for it.
    pub(crate) fn module(&self, template: &Rc<Template>) -> Result<Rc<Module>> {
        let cached = self.modules.borrow().get(&template.id).cloned();
        if let Some(module) = cached {
            return Ok(module);
        }
        let module = self.run_module(template, self.globals())?;
        self.modules
            .borrow_mut()
            .insert(template.id, Rc::clone(&module));
        Ok(module)
    }

    /// Runs a template for its top-level variables.
    pub(crate) fn run_module(&self, template: &Rc<Template>, vars: Rc<Vars>) -> Result<Rc<Module>> {
        let context = Context::for_template(template, vars);
        let mut body = Output::default();
        super::interp::run_template(self, template, &context, &mut body)?;
        Ok(Rc::new(Module {
            exports: Rc::new(context.exports()),
            body,
        }))
    }
}

impl Drop for Runtime<'_> {
    fn drop(&mut self) {
        for circle in self.circles.take() {
            match circle {
                Circle::Frame(frame) => {
                    if let Some(frame) = frame.upgrade() {
                        frame.clear();
                    }
                }
                Circle::Context(context) => {
                    if let Some(context) = context.upgrade() {
                        context.clear();
                    }
                }
            }
        }
    }
}

fn too_deep() -> Error {
    Error::python(
        Exception::RecursionError,
        "maximum recursion depth exceeded",
    )
}

/// One level of calls.
pub(crate) struct Level<'r>(&'r Cell<u32>);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
