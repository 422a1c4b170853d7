//! Setting, extending and removing grains.

use salt_proto::{Map, Value};

use super::{current, write};
use crate::args::Args;
use crate::context::Context;
use crate::data::traverse_map;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "grains.setval",
        "setval(key, val, destructive=False, refresh_pillar=True)",
        "Sets a grain in the grains file. destructive: None takes it away.",
        |args, context| {
            let value = args.get("val").cloned().unwrap_or_default();
            let changes = Map::from([(args.get("key").cloned().unwrap_or_default(), value)]);
            write(&changes, args.is_true("destructive"), context)
        },
    );
    add(
        "grains.setvals",
        "setvals(grains, destructive=False, refresh_pillar=True)",
        "Sets several grains in the grains file.",
        |args, context| match args.get("grains") {
            Some(Value::Map(changes)) => write(changes, args.is_true("destructive"), context),
            _ => Err(CallError::exception(
                "salt.exceptions.SaltException",
                "setvals grains must be a dictionary.",
            )),
        },
    );
    add(
        "grains.append",
        "append(key, val, convert=False, delimiter=':')",
        "Adds a value to a grain that is a list. convert: make one of a grain that is not.",
        append,
    );
    add(
        "grains.remove",
        "remove(key, val, delimiter=':')",
        "Takes a value out of a grain that is a list.",
        remove,
    );
    add(
        "grains.delkey",
        "delkey(key, force=False)",
        "Takes a grain away. force: also one that is a mapping or a list.",
        |args, context| {
            let force = args.is_true("force");
            set(&args.text("key")?, &Value::Null, force, true, ":", context)
        },
    );
    add(
        "grains.delval",
        "delval(key, destructive=False, force=False)",
        "Sets a grain to None. destructive: takes it away.",
        |args, context| {
            let (force, destructive) = (args.is_true("force"), args.is_true("destructive"));
            set(
                &args.text("key")?,
                &Value::Null,
                force,
                destructive,
                ":",
                context,
            )
        },
    );
    add(
        "grains.set",
        "set(key, val='', force=False, destructive=False, delimiter=':')",
        "Sets a grain by its path. force: also where that replaces a mapping or a list.",
        |args, context| {
            set(
                &args.text("key")?,
                &args.get("val").cloned().unwrap_or_default(),
                args.is_true("force"),
                args.is_true("destructive"),
                &args.text("delimiter")?,
                context,
            )
        },
    );
}

/// Writes a value under a path, everything around it kept.
fn write_nested(key: &str, value: Value, delimiter: &str, context: &Context<'_>) -> Answer {
    let grains = current(context)?;
    let mut key = key.to_owned();
    let mut value = value;
    while let Some((above, last)) = key.rsplit_once(delimiter).filter(|_| !delimiter.is_empty()) {
        let found = traverse_map(&grains, above, delimiter).and_then(Value::as_map);
        let mut map = found.cloned().unwrap_or_default();
        map.insert(last, value);
        value = map.into();
        key = above.to_owned();
    }
    write(&Map::from([(key, value)]), false, context)
}

fn append(args: &Args, context: &Context<'_>) -> Answer {
    let key = args.text("key")?;
    let delimiter = args.text("delimiter")?;
    let value = args.get("val").cloned().unwrap_or_default();
    let grains = current(context)?;
    let mut list = match traverse_map(&grains, &key, &delimiter) {
        None => Vec::new(),
        Some(Value::List(items)) => items.clone(),
        Some(found) if args.is_true("convert") => vec![found.clone()],
        Some(_) => return Ok(format!("The key {key} is not a valid list").into()),
    };
    if list.contains(&value) {
        let shown = python::str(&value);
        return Ok(format!("The val {shown} was already in the list {key}").into());
    }
    match value {
        Value::List(more) => list.extend(more),
        one => list.push(one),
    }
    write_nested(&key, list.into(), &delimiter, context)
}

fn remove(args: &Args, context: &Context<'_>) -> Answer {
    let key = args.text("key")?;
    let delimiter = args.text("delimiter")?;
    let value = args.get("val").cloned().unwrap_or_default();
    let grains = current(context)?;
    let mut list = match traverse_map(&grains, &key, &delimiter) {
        None => Vec::new(),
        Some(Value::List(items)) => items.clone(),
        Some(_) => return Ok(format!("The key {key} is not a valid list").into()),
    };
    let Some(at) = list.iter().position(|item| *item == value) else {
        let shown = python::str(&value);
        return Ok(format!("The val {shown} was not in the list {key}").into());
    };
    list.remove(at);
    write_nested(&key, list.into(), &delimiter, context)
}

fn outcome(result: bool, comment: &str, changes: Value) -> Value {
    Map::from([
        ("comment", Value::from(comment)),
        ("changes", changes),
        ("result", result.into()),
    ])
    .into()
}

/// `grains.set` with all its refusals, also behind `delkey` and `delval`.
fn set(
    key: &str,
    value: &Value,
    force: bool,
    destructive: bool,
    delimiter: &str,
    context: &Context<'_>,
) -> Answer {
    let refuse = |comment: String| Ok(outcome(false, &comment, Map::new().into()));
    let is_complex = |value: &Value| matches!(value, Value::Map(_) | Value::List(_));
    let grains = current(context)?;
    let existing = traverse_map(&grains, key, delimiter);
    if let Some(existing) = existing.filter(|existing| !existing.is_null()) {
        if existing == value {
            return Ok(outcome(true, "Grain is already set", Map::new().into()));
        }
        if !force && is_complex(existing) {
            return refuse(format!(
                "The key '{key}' exists but is a dict or a list. Use 'force=True' to overwrite."
            ));
        }
        if !force && is_complex(value) {
            return refuse(format!(
                "The key '{key}' exists and the given value is a dict or a list. Use 'force=True' to overwrite."
            ));
        }
    }
    let mut key = key.to_owned();
    let mut value = value.clone();
    // From the last part of the path to the first, each value is put into what is
    // there around it.
    while let Some((above, last)) = key.rsplit_once(delimiter).filter(|_| !delimiter.is_empty()) {
        let around = traverse_map(&grains, above, delimiter);
        value = match around {
            None => match value {
                Value::Null if destructive => Map::new().into(),
                value => Map::from([(last, value)]).into(),
            },
            Some(Value::Map(map)) => {
                let mut map = map.clone();
                if value.is_null() && destructive {
                    map.remove(last);
                } else {
                    map.insert(last, value);
                }
                map.into()
            }
            Some(Value::List(items)) => into_list(items, last, value),
            Some(other) if force || python::str(other) == last => Map::from([(last, value)]).into(),
            Some(other) => {
                let shown = python::str(other);
                return refuse(format!(
                    "The key '{above}' value is '{shown}', which is different from the provided key '{last}'. Use 'force=True' to overwrite."
                ));
            }
        };
        key = above.to_owned();
    }
    let changes = write(&Map::from([(key, value)]), destructive, context)?;
    Ok(outcome(true, "", changes))
}

/// A list in which the first mapping that has the key gets the value, or a new one.
fn into_list(items: &[Value], key: &str, value: Value) -> Value {
    let mut items = items.to_vec();
    let place = items
        .iter_mut()
        .filter_map(Value::as_map_mut)
        .find(|map| map.contains_key(key));
    match place {
        Some(map) => {
            map.insert(key, value);
        }
        None => items.push(Map::from([(key, value)]).into()),
    }
    items.into()
}
