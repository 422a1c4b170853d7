//! The `jinja` stage: Salt's environment, context and loader around the engine.

use std::cell::RefCell;
use std::rc::Rc;

use salt_proto::{Map, Value as Plain};

use super::context::{Location, cached_path, location_vars, template_globals};
use super::{Template, World};
use super::{natives, release};
use crate::args;
use crate::grains::Grains;
use crate::jinja::{
    self, Args, DataError, Dict, DictClass, Environment, Key, Kind, Loaded, Object, Options,
    Rendered, Request, Runtime, UndefinedKind, Value, Vars,
};
use crate::registry::CallError;
use crate::yaml::{self, DumpOptions};

/// Renders a template; `text` is without a byte order mark.
pub(super) fn render(
    world: &World<'_>,
    template: &Template<'_>,
    text: &str,
) -> jinja::Result<Rendered> {
    let (text, header) = match world.jinja_header() {
        true => split_header(text),
        false => (text.to_owned(), None),
    };
    let options = options(world, template.sls, header.as_ref());
    if is_plain(&text, &options) {
        return Ok(unchanged(&text));
    }
    let mut environment = Environment::salt(options);
    release::adapt(&mut environment, world.release);
    let cache = world.cache_directory();
    let location = Location {
        environment: template.environment,
        sls: template.sls,
        path: template.path,
        cache: &cache,
    };
    let mut vars = location_vars(&location);
    if world.of_file.get() {
        vars.shift_remove("sls");
    }
    vars.insert("salt".into(), Value::object(SaltTable));
    vars.insert("grains".into(), world.grains());
    vars.insert("pillar".into(), world.pillar());
    vars.insert("opts".into(), world.opts());
    for (name, value) in template.extra {
        if let Some(name) = name.as_str() {
            vars.insert(name.into(), Value::from_plain(value));
        }
    }
    for (name, value) in &vars {
        environment.add_global(name, value.clone());
    }
    environment.set_host(Outside {
        world,
        environment: template.environment.to_owned(),
        sls: template.sls.to_owned(),
    });
    let saltenv = template.environment.to_owned();
    environment.set_loader(move |request| load(world, &saltenv, &cache, request));
    let keep = environment.options().keep_trailing_newline;
    let mut rendered = environment.render_str(&text, vars)?;
    // The engine takes the last line break of a template; Salt puts it back.
    if text.ends_with('\n') && !keep {
        rendered.text.push('\n');
    }
    Ok(rendered)
}

/// Calls one of the functions that work on a template's own objects, from outside of any
/// template: a template of one line makes the call.
pub(super) fn call_native(
    world: &World<'_>,
    saltenv: &str,
    name: &str,
    given: &args::Args,
) -> Result<Plain, CallError> {
    let mut environment = Environment::salt(options(world, "", None));
    release::adapt(&mut environment, world.release);
    environment.set_host(Outside {
        world,
        environment: saltenv.to_owned(),
        sls: String::new(),
    });
    let answer: Rc<RefCell<Option<Plain>>> = Rc::default();
    let slot = Rc::clone(&answer);
    let (name, given) = (name.to_owned(), given.clone());
    let call = Value::function("call", move |runtime, _| {
        let mut arguments = Args::new(given.positional().iter().map(Value::from_plain).collect());
        for (key, value) in given.keywords() {
            if let Some(key) = key.as_str() {
                arguments.named.push((key.into(), Value::from_plain(value)));
            }
        }
        let host = runtime.environment().host();
        let value = host.call_function(runtime, &name, arguments)?;
        *slot.borrow_mut() = Some(value.to_plain(runtime)?);
        Ok(Value::None)
    });
    let vars = Vars::from([("call".into(), call)]);
    if let Err(error) = environment.render_str("{% do call() %}", vars) {
        return Err(match error.kind() {
            Kind::Invocation => CallError::Invocation(error.message().to_owned()),
            Kind::Render => CallError::exception("SaltRenderError", error.message()),
            kind => CallError::exception(kind.class(), error.message()),
        });
    }
    Ok(answer.take().unwrap_or_default())
}

/// Whether nothing in the text means anything to the engine.
fn is_plain(text: &str, options: &Options) -> bool {
    let marks = [
        &options.block_start,
        &options.variable_start,
        &options.comment_start,
    ];
    options.line_statement_prefix.is_none()
        && options.line_comment_prefix.is_none()
        && options.newline_sequence == "\n"
        && !text.contains('\r')
        && marks.iter().all(|mark| !text.contains(mark.as_str()))
}

/// A text that is its own rendering.
fn unchanged(text: &str) -> Rendered {
    Rendered {
        text: text.to_owned(),
        spans: vec![jinja::Span {
            start: 0,
            source: 0,
            line: 1,
            column: 1,
            literal: true,
        }],
        sources: vec![Rc::new(jinja::Source {
            name: None,
            path: None,
            text: text.into(),
        })],
    }
}

/// Finds a template by the name in an `import`.
fn load(
    world: &World<'_>,
    saltenv: &str,
    cache: &str,
    request: &Request<'_>,
) -> jinja::Result<Option<Loaded>> {
    let relative = request.name.starts_with("./") || request.name.starts_with("../");
    let path = if relative {
        let directory = request.globals.get("tpldir").and_then(Value::as_str);
        resolve(directory.unwrap_or("."), request.name)
    } else {
        resolve(".", request.name)
    };
    let Some(path) = path else {
        return Ok(None);
    };
    let text = match world.read_text(saltenv, &path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(message) => return Err(jinja::Error::new(Kind::Host, message)),
    };
    let mut globals = template_globals(&path);
    if relative {
        // Salt leaves the directory alone for names relative to it.
        globals.truncate(1);
    }
    Ok(Some(Loaded {
        text,
        path: Some(cached_path(cache, saltenv, &path)),
        globals,
    }))
}

/// A path below the root of the tree; `None` when it leads out.
fn resolve(directory: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let from = if directory == "." { "" } else { directory };
    for part in from.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Takes a `#jinja2: {…}` line off, on the first line or behind a `#!` line.
fn split_header(text: &str) -> (String, Option<Map>) {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    let (before, header) = if first.starts_with("#!") {
        (first, lines.next().unwrap_or_default())
    } else {
        ("", first)
    };
    let Some(rest) = header.strip_prefix("#jinja2:") else {
        return (text.to_owned(), None);
    };
    let Ok(node) = super::json::parse(rest.trim(), 0) else {
        return (text.to_owned(), None);
    };
    let Plain::Map(options) = node.to_value() else {
        return (text.to_owned(), None);
    };
    let after = text.get(before.len() + header.len()..).unwrap_or_default();
    (format!("{before}{after}"), Some(options))
}

fn options(world: &World<'_>, sls: &str, header: Option<&Map>) -> Options {
    let config = &world.minion.config;
    let is_true = |key: &str| config.get(key).is_some_and(Plain::is_true);
    let mut options = Options {
        undefined: if is_true("allow_undefined") {
            UndefinedKind::Default
        } else {
            UndefinedKind::Strict
        },
        trim_blocks: is_true("jinja_trim_blocks"),
        lstrip_blocks: is_true("jinja_lstrip_blocks"),
        ..Options::default()
    };
    let which = if sls.is_empty() {
        "jinja_env"
    } else {
        "jinja_sls_env"
    };
    for set in [config.get(which).and_then(Plain::as_map), header]
        .into_iter()
        .flatten()
    {
        for (key, value) in set {
            if let Some(key) = key.as_str() {
                set_option(&mut options, key, value);
            }
        }
    }
    options
}

fn set_option(options: &mut Options, key: &str, value: &Plain) {
    let text = || value.as_str().map(str::to_owned);
    let fill = |slot: &mut String| {
        if let Some(text) = text() {
            *slot = text;
        }
    };
    match key.to_lowercase().as_str() {
        "block_start_string" => fill(&mut options.block_start),
        "block_end_string" => fill(&mut options.block_end),
        "variable_start_string" => fill(&mut options.variable_start),
        "variable_end_string" => fill(&mut options.variable_end),
        "comment_start_string" => fill(&mut options.comment_start),
        "comment_end_string" => fill(&mut options.comment_end),
        "line_statement_prefix" => options.line_statement_prefix = text(),
        "line_comment_prefix" => options.line_comment_prefix = text(),
        "trim_blocks" => options.trim_blocks = value.is_true(),
        "lstrip_blocks" => options.lstrip_blocks = value.is_true(),
        "keep_trailing_newline" => options.keep_trailing_newline = value.is_true(),
        "newline_sequence" => fill(&mut options.newline_sequence),
        _ => {}
    }
}

/// The `salt` variable.
struct SaltTable;

impl Object for SaltTable {
    fn type_name(&self) -> &str {
        "AliasedLoader"
    }

    fn type_repr(&self) -> String {
        "salt.utils.templates.AliasedLoader object".to_owned()
    }

    fn item(&self, runtime: &Runtime<'_>, key: &Value) -> jinja::Result<Option<Value>> {
        let Some(name) = key.as_str() else {
            return Ok(None);
        };
        Ok(has(runtime, name).then(|| Value::object(SaltFunction(name.into()))))
    }

    fn attribute(&self, runtime: &Runtime<'_>, name: &str) -> jinja::Result<Option<Value>> {
        if has(runtime, &format!("{name}.")) {
            return Ok(Some(Value::object(SaltModule(name.into()))));
        }
        if name == "get" {
            return Ok(Some(Value::function("get", |runtime, args| {
                let [key, default] = args.bind("get", ["key", "default"], 1)?;
                let found = match key.as_ref().and_then(Value::as_str) {
                    Some(name) if has(runtime, name) => {
                        Some(Value::object(SaltFunction(name.into())))
                    }
                    _ => None,
                };
                Ok(found.or(default).unwrap_or_default())
            })));
        }
        Ok(None)
    }

    fn contains(&self, runtime: &Runtime<'_>, value: &Value) -> jinja::Result<Option<bool>> {
        Ok(Some(value.as_str().is_some_and(|name| has(runtime, name))))
    }

    fn is_mapping(&self) -> bool {
        true
    }
}

/// `salt.test`, whose attributes are functions.
struct SaltModule(Rc<str>);

impl Object for SaltModule {
    fn type_name(&self) -> &str {
        "LoadedMod"
    }

    fn type_repr(&self) -> String {
        "salt.loader.lazy.LoadedMod object".to_owned()
    }

    fn attribute(&self, runtime: &Runtime<'_>, name: &str) -> jinja::Result<Option<Value>> {
        let full = format!("{}.{name}", self.0);
        Ok(has(runtime, &full).then(|| Value::object(SaltFunction(full.into()))))
    }

    fn item(&self, runtime: &Runtime<'_>, key: &Value) -> jinja::Result<Option<Value>> {
        match key.as_str() {
            Some(name) => self.attribute(runtime, name),
            None => Ok(None),
        }
    }
}

/// One function of Salt's.
struct SaltFunction(Rc<str>);

impl Object for SaltFunction {
    fn type_name(&self) -> &str {
        "LoadedFunc"
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, runtime: &Runtime<'_>, args: Args) -> jinja::Result<Value> {
        runtime
            .environment()
            .host()
            .call_function(runtime, &self.0, args)
    }

    fn repr(&self) -> jinja::Result<String> {
        Ok(format!("<LoadedFunc name='{}'>", self.0))
    }
}

fn has(runtime: &Runtime<'_>, name: &str) -> bool {
    runtime.environment().host().has_function(name)
}

/// What templates reach of the outside.
pub(super) struct Outside<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) environment: String,
    pub(super) sls: String,
}

impl jinja::Host for Outside<'_> {
    fn load_yaml(&self, text: &str) -> Result<Value, DataError> {
        let limits = yaml::Limits::default();
        let failed = |error: yaml::Error| DataError {
            message: error.to_string(),
            place: error.mark().map(|mark| {
                let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
                (number(mark.line), number(mark.column))
            }),
        };
        match yaml::parse(text, 0, &limits).map_err(failed)? {
            Some(node) => {
                node.check_size(limits.nodes).map_err(failed)?;
                Ok(super::values::from_node(&node, DictClass::Dict))
            }
            None => Ok(Value::None),
        }
    }

    fn dump_yaml(&self, value: &Value, flow_style: bool) -> Result<String, DataError> {
        let options = DumpOptions {
            flow_style: Some(flow_style),
            ..DumpOptions::default()
        };
        let sorted = super::values::to_sorted(value, 0).map_err(DataError::new)?;
        Ok(yaml::dump(&sorted, &options))
    }

    fn has_function(&self, name: &str) -> bool {
        if let Some(module) = name.strip_suffix('.') {
            return natives::contains_module(module)
                || self.world.functions.contains_module(module);
        }
        natives::contains(name) || self.world.functions.contains(name)
    }

    fn call_function(&self, runtime: &Runtime<'_>, name: &str, args: Args) -> jinja::Result<Value> {
        // Functions that hand out or change the template's own objects work on those.
        let args = match natives::call(self, runtime, name, args)? {
            natives::Called::Done(value) => return Ok(value),
            natives::Called::NotOurs(args) => args,
        };
        let mut plain = args::Args::new();
        for value in &args.positional {
            plain = plain.with(value.to_plain(runtime)?);
        }
        for (key, value) in &args.named {
            plain = plain.keyword(key, value.to_plain(runtime)?);
        }
        self.world
            .functions
            .call(name, &plain)
            .map(|value| Value::from_plain(&value))
            .map_err(|error| call_error(&error))
    }

    fn now(&self) -> jinja::Result<f64> {
        match self.world.outside {
            Some(outside) => outside.now(),
            None => jinja::NoHost.now(),
        }
    }

    fn utc_offset(&self, at: f64) -> i32 {
        self.world
            .outside
            .map_or(0, |outside| outside.utc_offset(at))
    }

    fn random(&self, bytes: &mut [u8]) -> jinja::Result<()> {
        match self.world.outside {
            Some(outside) => outside.random(bytes),
            None => jinja::NoHost.random(bytes),
        }
    }

    fn system_filter(&self, name: &str, args: Args) -> jinja::Result<Value> {
        if name == "http_query" {
            return self.function_filter("http.query", &args);
        }
        match self.world.outside {
            Some(outside) => outside.system_filter(name, args),
            None => jinja::NoHost.system_filter(name, args),
        }
    }
}

impl Outside<'_> {
    /// A filter that is a function of Salt.
    fn function_filter(&self, function: &str, args: &Args) -> jinja::Result<Value> {
        let plain = |value: &Value| {
            super::values::to_sorted(value, 0).map_err(|text| jinja::Error::new(Kind::Host, text))
        };
        let mut given = args::Args::new();
        for value in &args.positional {
            given = given.with(plain(value)?);
        }
        for (key, value) in &args.named {
            given = given.keyword(key, plain(value)?);
        }
        self.world
            .functions
            .call(function, &given)
            .map(|value| Value::from_plain(&value))
            .map_err(|error| call_error(&error))
    }
}

/// A failed call as the exception that a template sees.
pub(super) fn call_error(error: &CallError) -> jinja::Error {
    let text = error.to_string();
    match error {
        CallError::Invocation(_) | CallError::Execution(_) | CallError::CommandNotFound(_) => {
            jinja::Error::new(Kind::Invocation, text)
        }
        CallError::Arguments(_) => jinja::Error::type_error(text),
        _ => jinja::Error::new(Kind::Host, text),
    }
    .caused_by(error.clone())
}

/// A dict of a template from the variables.
pub(super) fn dict_of(map: &Map, class: DictClass) -> Value {
    Value::Dict(Dict::of(class, entries_of(map).collect()))
}

/// [`dict_of`] grains, of which some may come late.
pub(super) fn dict_of_grains(grains: &Grains, class: DictClass) -> Value {
    let dict = Dict::of(class, entries_of(grains.known()).collect());
    let late = grains.late_names();
    if !late.is_empty() {
        let grains = grains.clone();
        dict.find_late(late, move || entries_of(&grains).collect());
    }
    Value::Dict(dict)
}

fn entries_of(map: &Map) -> impl Iterator<Item = (Key, Value)> {
    map.iter()
        .filter_map(|(key, value)| Some((Key::text(key.as_str()?), Value::from_plain(value))))
}
