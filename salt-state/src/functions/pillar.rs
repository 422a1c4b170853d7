//! `pillar.*`: what the master tells this minion alone.

use salt_proto::{Map, Value};

use super::layered;
use crate::args::Args;
use crate::context::Context;
use crate::data::{filter_by, mask, obfuscate, traverse_map, update};
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

/// Stands in signatures for "no default given", which is not the same as `None`.
const NOT_SET: &str = "<Constant.NOT_SET>";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    for name in ["pillar.items", "pillar.data"] {
        add(
            name,
            "items(*args, pillar=None, pillar_enc=None, pillarenv=None, saltenv=None, unmask=None)",
            "Compiles the pillar and returns it, or the named parts of it. pillar: data that overrides what is compiled.",
            |args, context| {
                let pillar = fresh(args, context)?;
                let shown = match args.positional() {
                    [] => pillar,
                    keys => pick(&pillar, keys, ":", &Value::from("")),
                };
                Ok(show(shown.into(), args, context))
            },
        );
    }
    add(
        "pillar.ext",
        "ext(external, pillar=None, unmask=None)",
        "The pillar of one external source. None of Salt's is built in, so it is empty.",
        |_, _| Ok(Map::new().into()),
    );
    for name in ["pillar.get", "pillar.fetch"] {
        add(
            name,
            "get(key, default=<Constant.NOT_SET>, merge=False, merge_nested_lists=None, delimiter=':', pillarenv=None, saltenv=None, unmask=None)",
            "Returns a value of the pillar by its path (`a:b`). merge: put it over the default, mappings and lists joined.",
            |args, context| get(args, context).map(|value| show(value, args, context)),
        );
    }
    add(
        "pillar.item",
        "item(*args, default=None, delimiter=None, pillarenv=None, saltenv=None, unmask=None)",
        "Returns values of the pillar by their paths.",
        |args, context| {
            let default = args.given("default").cloned().unwrap_or_else(|| "".into());
            let delimiter = args
                .optional_text("delimiter")
                .unwrap_or_else(|| ":".to_owned());
            let pillar = chosen(args, context)?;
            let found = pick(&pillar, args.positional(), &delimiter, &default);
            Ok(show(found.into(), args, context))
        },
    );
    add(
        "pillar.raw",
        "raw(key=None, unmask=None)",
        "Returns the pillar in memory, or one key of it.",
        |args, context| match args.optional_text("key").filter(|key| !key.is_empty()) {
            None => Ok(context.minion.pillar.clone().into()),
            Some(key) => {
                let found = context.minion.pillar.get(&key).cloned();
                Ok(found.unwrap_or_else(|| Map::new().into()))
            }
        },
    );
    add(
        "pillar.keys",
        "keys(key, delimiter=':', unmask=None)",
        "Returns the keys of a mapping in the pillar.",
        keys,
    );
    add(
        "pillar.ls",
        "ls(*args, pillar=None, pillar_enc=None, pillarenv=None, saltenv=None, unmask=None)",
        "Returns the keys of the pillar.",
        |args, context| Ok(fresh(args, context)?.keys().cloned().collect()),
    );
    add(
        "pillar.obfuscate",
        "obfuscate(*args, pillar=None, pillar_enc=None, pillarenv=None, saltenv=None, unmask=None)",
        "Compiles the pillar and returns the types of its values.",
        |args, context| {
            let pillar = fresh(args, context)?;
            let shown = match args.positional() {
                [] => pillar,
                keys => pick(&pillar, keys, ":", &Value::from("")),
            };
            Ok(obfuscate(&mask(&shown.into())))
        },
    );
    add(
        "pillar.filter_by",
        "filter_by(lookup_dict, pillar, merge=None, default='default', base=None)",
        "Returns the entry of a mapping whose key, taken as a glob, matches a value of the pillar.",
        |args, context| {
            let Some(Value::Map(lookup)) = args.get("lookup_dict") else {
                return Err(CallError::Arguments(
                    "lookup_dict must be a dictionary".to_owned(),
                ));
            };
            let found = traverse_map(&context.minion.pillar, &args.text("pillar")?, ":");
            let default = args.text("default")?;
            let base = args.optional_text("base");
            layered(
                lookup,
                filter_by(lookup, found, &default),
                args.given("merge"),
                base.as_deref(),
                false,
            )
        },
    );
    add(
        "pillar.file_exists",
        "file_exists(path, saltenv=None)",
        "Returns whether there is such a file in the pillar's tree of this machine.",
        file_exists,
    );
}

/// The value as the caller may see it.
fn show(value: Value, args: &Args, context: &Context<'_>) -> Value {
    let masks = match args.given("unmask") {
        Some(unmask) => context.masks_pillar() && !unmask.is_true(),
        None => context.masks_pillar(),
    };
    if masks { mask(&value) } else { value }
}

/// A newly compiled pillar where that is possible.
fn fresh(args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    let overrides = args.given("pillar").and_then(Value::as_map);
    if args.given("pillar").is_some() && overrides.is_none() && args.given("pillar_enc").is_none() {
        return Err(CallError::invocation(
            "Pillar data must be formatted as a dictionary, unless pillar_enc is specified.",
        ));
    }
    if args.given("pillar_enc").is_some() {
        return Err(CallError::invocation(
            "encrypted pillar data cannot be read here",
        ));
    }
    if let Some(compile) = context.compile_pillar {
        let mut wanted = Map::new();
        for key in ["pillarenv", "saltenv", "pillar"] {
            if let Some(value) = args.given(key) {
                wanted.insert(key, value.clone());
            }
        }
        return compile(&wanted);
    }
    let mut pillar = context.minion.pillar.clone();
    if let Some(overrides) = overrides {
        update(&mut pillar, overrides, false);
    }
    Ok(pillar)
}

/// The pillar in memory, or a newly compiled one when another environment is asked for.
fn chosen(args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    let other = ["pillarenv", "saltenv"].into_iter().any(|key| {
        let asked = args.optional_text(key);
        asked.is_some() && asked.as_deref() != context.setting(key)
    });
    if other && context.compile_pillar.is_some() {
        return fresh(args, context);
    }
    Ok(context.minion.pillar.clone())
}

fn pick(pillar: &Map, keys: &[Value], delimiter: &str, default: &Value) -> Map {
    keys.iter()
        .map(|key| {
            let found = traverse_map(pillar, &python::str(key), delimiter);
            (key.clone(), found.unwrap_or(default).clone())
        })
        .collect()
}

fn get(args: &Args, context: &Context<'_>) -> Answer {
    let key = args.text("key")?;
    let delimiter = args.text("delimiter")?;
    let pillar = chosen(args, context)?;
    let found = traverse_map(&pillar, &key, &delimiter);
    let default = args
        .get("default")
        .filter(|default| default.as_str() != Some(NOT_SET));
    let Some(found) = found else {
        let raises = context.minion.config.get("pillar_raise_on_missing");
        return match default {
            Some(default) => Ok(default.clone()),
            None if raises.is_some_and(Value::is_true) => Err(missing(&key)),
            None => Ok("".into()),
        };
    };
    if !args.is_true("merge") {
        return Ok(found.clone());
    }
    let nested_lists = args.given("merge_nested_lists").is_none_or(Value::is_true);
    Ok(match (default, found) {
        (Some(Value::Map(default)), Value::Map(found)) => {
            let mut merged = default.clone();
            update(&mut merged, found, nested_lists);
            merged.into()
        }
        (Some(Value::List(default)), Value::List(found)) => {
            let mut merged = default.clone();
            for item in found {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            merged.into()
        }
        // Two that cannot be joined: what the pillar says counts.
        (_, found) => found.clone(),
    })
}

fn missing(key: &str) -> CallError {
    CallError::exception("KeyError", format!("'Pillar key not found: {key}'"))
}

fn keys(args: &Args, context: &Context<'_>) -> Answer {
    let key = args.text("key")?;
    let found = traverse_map(&context.minion.pillar, &key, &args.text("delimiter")?);
    match found {
        None => Err(missing(&key)),
        Some(Value::Map(map)) => Ok(map.keys().cloned().collect()),
        Some(_) => Err(CallError::exception(
            "ValueError",
            format!("Pillar value in key {key} is not a dict"),
        )),
    }
}

fn file_exists(args: &Args, context: &Context<'_>) -> Answer {
    let path = args.text("path")?;
    let wanted = args.optional_text("saltenv");
    if path.split('/').any(|name| name == "..") || path.starts_with('/') {
        return Ok(false.into());
    }
    let roots = context
        .minion
        .config
        .get("pillar_roots")
        .and_then(Value::as_map);
    Ok(roots
        .into_iter()
        .flatten()
        .filter(|(environment, _)| {
            let environment = python::str(environment);
            wanted.as_ref().is_none_or(|wanted| *wanted == environment)
        })
        .flat_map(|(_, roots)| roots.as_list().unwrap_or_default())
        .filter_map(Value::as_str)
        .any(|root| {
            context
                .system
                .is_file(&std::path::Path::new(root).join(&path))
        })
        .into())
}
