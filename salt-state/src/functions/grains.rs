//! `grains.*`: asking for grains and setting them.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::data::{filter_by, traverse, traverse_map};
use crate::python;
use crate::registry::{CallError, Registry};

use super::layered;

mod change;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "grains.items",
        "items(sanitize=False)",
        "All grains. With sanitize, what identifies the minion is replaced.",
        items,
    );
    registry.add(
        "grains.item",
        "item(*args, **kwargs)",
        "The named grains; default= stands in for missing ones, delimiter= separates\n\
         the parts of a path, sanitize= replaces what identifies the minion.",
        item,
    );
    registry.add(
        "grains.get",
        "get(key, default='', delimiter=':', ordered=True)",
        "The grain at a path such as pkg:apache, or the default.",
        get,
    );
    registry.add(
        "grains.fetch",
        "fetch(key, default='', delimiter=':', ordered=True)",
        "The grain at a path such as pkg:apache, or the default. Like grains.get, under a\n\
         name that templates can use with the dot.",
        get,
    );
    registry.add("grains.ls", "ls()", "The names of all grains.", ls);
    registry.add(
        "grains.has_value",
        "has_value(key)",
        "Whether there is a grain at a path, whatever its value.",
        |args, context| Ok(found(context, args, ":")?.is_some().into()),
    );
    registry.add(
        "grains.equals",
        "equals(key, value)",
        "Whether a grain has a value; both are compared as text.",
        |args, context| {
            let actual = found(context, args, ":")?.map(python::str);
            Ok((actual.unwrap_or_default() == args.text("value")?).into())
        },
    );
    registry.add(
        "grains.filter_by",
        "filter_by(lookup_dict, grain='os_family', merge=None, default='default', base=None)",
        "The entry of a mapping for the value of a grain, or the default entry; laid over\n\
         the entry base=, and with merge= laid over it.",
        by_grain,
    );
    change::register(registry);
}

/// Names of grains that tell who the minion is, and what `sanitize` shows instead.
const IDENTIFYING: [(&str, &str); 7] = [
    ("serialnumber", "X"),
    ("domain", "DOMAINNAME"),
    ("fqdn", "MINION.DOMAINNAME"),
    ("id", "MINION.DOMAINNAME"),
    ("host", "MINION"),
    ("localhost", "MINION"),
    ("nodename", "MINION"),
];

fn sanitize(mut grains: Map) -> Map {
    for (name, shown) in IDENTIFYING {
        if let Some(value) = grains.get_mut(name) {
            *value = shown.into();
        }
    }
    grains
}

fn items(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let all = Map::from(context.minion.grains.clone());
    Ok(if args.is_true("sanitize") {
        sanitize(all).into()
    } else {
        all.into()
    })
}

fn item(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let default = args.get("default").cloned().unwrap_or_else(|| "".into());
    let delimiter = args.optional_text("delimiter");
    let delimiter = delimiter.as_deref().unwrap_or(":");
    let found: Map = args
        .positional()
        .iter()
        .map(|key| {
            let value = at(&context.minion.grains, key, delimiter);
            (key.clone(), value.unwrap_or(&default).clone())
        })
        .collect();
    if !args.is_true("sanitize") {
        return Ok(found.into());
    }
    // What is missing stays missing.
    let (mut found, shown) = (found.clone(), sanitize(found));
    for (key, value) in shown {
        if at(&context.minion.grains, &key, delimiter).is_some() {
            found.insert(key, value);
        }
    }
    Ok(found.into())
}

fn get(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let delimiter = args.text("delimiter")?;
    let found = found(context, args, &delimiter)?;
    Ok(found
        .or_else(|| args.get("default"))
        .cloned()
        .unwrap_or_default())
}

fn ls(_: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let mut names: Vec<&Value> = context.minion.grains.keys().collect();
    names.sort_by_cached_key(|name| python::str(name));
    Ok(names.into_iter().cloned().collect())
}

/// The grain that the argument `key` names.
fn found<'a>(
    context: &Context<'a>,
    args: &Args,
    delimiter: &str,
) -> Result<Option<&'a Value>, CallError> {
    let key = args
        .get("key")
        .ok_or_else(|| CallError::invocation("Missing argument: key"))?;
    Ok(at(&context.minion.grains, key, delimiter))
}

/// The grain at a path: text with a delimiter, or the list of its parts.
fn at<'a>(grains: &'a Map, key: &Value, delimiter: &str) -> Option<&'a Value> {
    match key {
        Value::List(parts) => {
            let (first, rest) = parts.split_first()?;
            let mut here = traverse_map(grains, &python::str(first), "")?;
            for part in rest {
                here = traverse(here, &python::str(part), "")?;
            }
            Some(here)
        }
        key => traverse_map(grains, &python::str(key), delimiter),
    }
}

fn by_grain(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let lookup = args.get("lookup_dict").unwrap_or(&Value::Null);
    let Value::Map(lookup) = lookup else {
        let kind = lookup.type_name();
        let text = if lookup.is_null() {
            format!("'{kind}' object is not iterable")
        } else {
            format!("'{kind}' object has no attribute 'get'")
        };
        let error = if lookup.is_null() {
            "TypeError"
        } else {
            "AttributeError"
        };
        return Err(CallError::exception(error, text));
    };
    let grain = args.get("grain").unwrap_or(&Value::Null);
    let value = at(&context.minion.grains, grain, ":");
    let default = args.optional_text("default");
    let default = default.as_deref().unwrap_or_default();
    let found = filter_by(lookup, value, default)
        .filter(|entry| !entry.is_null())
        .or_else(|| lookup.get(default));
    let base = args.optional_text("base");
    layered(lookup, found, args.given("merge"), base.as_deref(), false)
}

/// Salt's general exception, which its minion reports with a traceback.
fn salt_exception(text: &str) -> CallError {
    CallError::exception("salt.exceptions.SaltException", text)
}
