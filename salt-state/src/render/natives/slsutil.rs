//! `slsutil.*` and `jinja.*` that work on files and on values of templates.

use salt_proto::Map;

use super::{exception, flag, invocation, text};
use crate::jinja::{self, Args, Dict, DictClass, Error, Kind, Runtime, Value};
use crate::render::template::Outside;
use crate::render::{Output, Template, json, values};
use crate::yaml::{self, DumpOptions};

pub(super) fn call(
    outside: &Outside<'_>,
    runtime: &Runtime<'_>,
    module: &str,
    function: &str,
    mut args: Args,
) -> jinja::Result<Value> {
    match (module, function) {
        (_, "renderer") => {
            let extra = super::extra(&mut args, &["path", "string", "default_renderer"]);
            let [path, string, default] =
                args.bind("renderer", ["path", "string", "default_renderer"], 0)?;
            let mut vars = Map::new();
            for (name, value) in extra {
                vars.insert(&*name, value.to_plain(runtime)?);
            }
            renderer(outside, path, string, default, &vars)
        }
        (_, "serialize") => {
            let extra = super::extra(&mut args, &["serializer", "obj"]);
            let [name, object] = args.bind("serialize", ["serializer", "obj"], 2)?;
            let flow = extra
                .iter()
                .find(|(name, _)| &**name == "default_flow_style")
                .map(|(_, value)| value.is_true())
                .transpose()?;
            let object = object.unwrap_or_default();
            let plain = values::to_sorted(&object, 0).map_err(exception)?;
            match text(name.as_ref())?.as_str() {
                "json" => Ok(Value::text(json::dump(&object.to_plain(runtime)?))),
                "yaml" => {
                    let options = DumpOptions {
                        flow_style: flow,
                        allow_unicode: false,
                        ..DumpOptions::default()
                    };
                    let text = yaml::dump(&plain, &options);
                    Ok(Value::text(
                        text.trim_end_matches("\n...\n").trim_end_matches('\n'),
                    ))
                }
                other => Err(unknown_serializer(other)),
            }
        }
        (_, "deserialize") => {
            super::extra(&mut args, &["serializer", "stream_or_string"]);
            let [name, data] = args.bind("deserialize", ["serializer", "stream_or_string"], 2)?;
            let data = text(data.as_ref())?;
            match text(name.as_ref())?.as_str() {
                "json" => json::parse(&data, 0)
                    .map(|node| values::from_node(&node, DictClass::Dict))
                    .map_err(|error| exception(error.message)),
                "yaml" => outside_yaml(outside, &data),
                other => Err(unknown_serializer(other)),
            }
        }
        (_, "boolstr") => {
            let [value, yes, no] = args.bind("boolstr", ["value", "true", "false"], 1)?;
            let chosen = if flag(value.as_ref(), false)? {
                yes.unwrap_or_else(|| Value::text("true"))
            } else {
                no.unwrap_or_else(|| Value::text("false"))
            };
            Ok(chosen)
        }
        (_, "findup") => {
            super::extra(&mut args, &["startpath", "filenames"]);
            let [start, names] = args.bind("findup", ["startpath", "filenames"], 2)?;
            find_up(
                outside,
                runtime,
                &text(start.as_ref())?,
                &names.unwrap_or_default(),
            )
        }
        (_, "path_exists" | "file_exists" | "dir_exists") => {
            super::extra(&mut args, &["path"]);
            let [path] = args.bind(function, ["path"], 1)?;
            let path = text(path.as_ref())?;
            let path = path.trim_matches('/');
            let file = function != "dir_exists"
                && outside.world.sources.contains(&outside.environment, path);
            let directory = function != "file_exists" && is_directory(outside, path);
            Ok(Value::Bool(file || directory))
        }
        (_, "import_yaml" | "import_json" | "load_map") => import(outside, function, args),
        _ => Err(exception(format!(
            "'{module}.{function}' is not available."
        ))),
    }
}

fn unknown_serializer(name: &str) -> Error {
    invocation(format!("Serializer '{name}' not found."))
}

fn outside_yaml(outside: &Outside<'_>, text: &str) -> jinja::Result<Value> {
    jinja::Host::load_yaml(outside, text).map_err(|error| exception(error.message))
}

fn is_directory(outside: &Outside<'_>, path: &str) -> bool {
    outside
        .world
        .sources
        .directories(&outside.environment)
        .is_ok_and(|all| all.iter().any(|known| known == path))
}

fn renderer(
    outside: &Outside<'_>,
    path: Option<Value>,
    string: Option<Value>,
    default: Option<Value>,
    vars: &Map,
) -> jinja::Result<Value> {
    let world = outside.world;
    let old = world.release < salt_proto::target::Release::V3007;
    let given = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_none());
    let (path, source) = match (given(&path), given(&string)) {
        (true, true) => return Err(invocation("Must not pass both path and string.")),
        (false, false) if old => return Err(invocation("Must pass either path or string")),
        (false, false) => return Err(invocation("Must pass path or string.")),
        (true, false) => {
            let url = text(path.as_ref())?;
            let (path, environment) = salt_url(&url, &outside.environment);
            let found = world.read_text(&environment, &path).map_err(exception)?;
            let Some(found) = found else {
                // Salt logs that there is no such file, and has rendered nothing.
                return Ok(Value::Dict(Dict::new()));
            };
            (path, found)
        }
        (false, true) => ("string".to_owned(), text(string.as_ref())?),
    };
    let default = match default {
        Some(default) => text(Some(&default))?,
        None => "jinja|yaml".to_owned(),
    };
    let template = Template {
        environment: &outside.environment,
        sls: "",
        path: &path,
        default: &default,
        extra: vars,
    };
    match world.render(&template, &source) {
        Ok(Output::Data(node)) => Ok(values::from_node(&node, DictClass::Ordered)),
        Ok(Output::Text(text)) => Ok(Value::text(text)),
        Err(error) if error.expected => Err(Error::new(Kind::Render, error.message)),
        Err(error) => Err(exception(error.message)),
    }
}

/// The path and the environment of `salt://path?saltenv=x`.
fn salt_url(url: &str, environment: &str) -> (String, String) {
    let path = url.strip_prefix("salt://").unwrap_or(url);
    match path.split_once("?saltenv=") {
        Some((path, environment)) => (path.to_owned(), environment.to_owned()),
        None => (path.to_owned(), environment.to_owned()),
    }
}

fn find_up(
    outside: &Outside<'_>,
    runtime: &Runtime<'_>,
    start: &str,
    names: &Value,
) -> jinja::Result<Value> {
    let names = match names {
        Value::Str(one) => vec![(**one).to_owned()],
        many => many
            .items(runtime)?
            .iter()
            .map(|name| text(Some(name)))
            .collect::<jinja::Result<_>>()?,
    };
    let mut directory = start.trim_matches('/').to_owned();
    loop {
        for name in &names {
            let path = if directory.is_empty() {
                name.clone()
            } else {
                format!("{directory}/{name}")
            };
            if outside.world.sources.contains(&outside.environment, &path) {
                return Ok(Value::text(path));
            }
        }
        if directory.is_empty() {
            return Err(exception("File pattern(s) not found in path ancestry"));
        }
        directory = match directory.rsplit_once('/') {
            Some((parent, _)) => parent.to_owned(),
            None => String::new(),
        };
    }
}

/// `jinja.import_yaml` and its like: what a template would get by importing.
fn import(outside: &Outside<'_>, function: &str, args: Args) -> jinja::Result<Value> {
    let second = if function == "load_map" {
        "data"
    } else {
        "dest"
    };
    let [path, name] = args.bind(function, ["path", second], 1)?;
    let path = text(path.as_ref())?;
    let template = match function {
        "load_map" => {
            let name = text(name.as_ref())?;
            format!(
                "{{% from \"{path}\" import {name} as imported with context %}}\n{{{{ imported | tojson }}}}"
            )
        }
        other => format!("{{% {other} \"{path}\" as imported %}}\n{{{{ imported | tojson }}}}"),
    };
    let text = outside
        .world
        .render(
            &Template {
                environment: &outside.environment,
                sls: &outside.sls,
                path: "<template>",
                default: "jinja",
                extra: &Map::new(),
            },
            &template,
        )
        .map_err(|error| Error::new(Kind::Render, error.message))?;
    match text {
        Output::Text(text) => json::parse(text.trim(), 0)
            .map(|node| values::from_node(&node, DictClass::Dict))
            .map_err(|error| exception(error.message)),
        Output::Data(node) => Ok(values::from_node(&node, DictClass::Dict)),
    }
}
