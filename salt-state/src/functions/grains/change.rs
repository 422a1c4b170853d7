//! Setting grains: they are kept in the file `grains` beside the minion's configuration.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::grains::of_file;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::WriteOptions;
use crate::yaml::{self, DumpOptions};

use super::{at, salt_exception};

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "grains.setval",
        "setval(key, val, destructive=False, refresh_pillar=True)",
        "Sets a grain in the minion's grains file. With destructive, None removes it.",
        |args, context| {
            let key = args.get("key").cloned().unwrap_or_default();
            let value = args.get("val").cloned().unwrap_or_default();
            let refresh = args.is_true("refresh_pillar");
            let new = Map::from([(key, value)]);
            Ok(answer(write(
                context,
                new,
                args.is_true("destructive"),
                refresh,
            )))
        },
    );
    registry.add(
        "grains.setvals",
        "setvals(grains, destructive=False, refresh_pillar=True)",
        "Sets several grains in the minion's grains file.",
        |args, context| {
            let Some(Value::Map(new)) = args.get("grains") else {
                return Err(salt_exception("setvals grains must be a dictionary."));
            };
            let (destructive, refresh) =
                (args.is_true("destructive"), args.is_true("refresh_pillar"));
            Ok(answer(write(context, new.clone(), destructive, refresh)))
        },
    );
    registry.add(
        "grains.append",
        "append(key, val, convert=False, delimiter=':')",
        "Adds a value to a list in the minion's grains file; with convert, makes another\n\
         value the first of a list.",
        append,
    );
    registry.add(
        "grains.remove",
        "remove(key, val, delimiter=':')",
        "Takes a value out of a list in the minion's grains file.",
        remove,
    );
    registry.add(
        "grains.set",
        "set(key, val='', force=False, destructive=False, delimiter=':')",
        "Sets a grain at a path. Lists and mappings are replaced only with force; with\n\
         destructive, None removes the key.",
        |args, context| {
            let value = args.get("val").cloned().unwrap_or_default();
            set(args, context, value, args.is_true("destructive"))
        },
    );
    registry.add(
        "grains.delval",
        "delval(key, destructive=False, force=False)",
        "Sets a grain to None, or removes it with destructive.",
        |args, context| set(args, context, Value::Null, args.is_true("destructive")),
    );
    registry.add(
        "grains.delkey",
        "delkey(key, force=False)",
        "Removes a grain from the minion's grains file.",
        |args, context| set(args, context, Value::Null, true),
    );
}

/// Salt tells of files it cannot read or write by returning the text.
fn answer(result: Result<Map, String>) -> Value {
    match result {
        Ok(changed) => changed.into(),
        Err(text) => text.into(),
    }
}

/// The directory of the minion's configuration.
fn directory(context: &Context<'_>) -> PathBuf {
    let directory = match context.setting("conf_file").map(Path::new) {
        Some(file) if context.system.is_dir(file) => file,
        Some(file) => file.parent().unwrap_or_else(|| Path::new("/")),
        None => Path::new(context.setting("config_dir").unwrap_or("/etc/salt")),
    };
    directory.to_owned()
}

/// All grains, with what an earlier call of the same job set.
fn current(context: &Context<'_>) -> Map {
    let mut all = Map::from(context.minion.grains.clone());
    all.extend(of_file(context.system, &directory(context)));
    all
}

/// Lays `new` over what the file has, and returns it.
fn write(
    context: &Context<'_>,
    new: Map,
    destructive: bool,
    refresh_pillar: bool,
) -> Result<Map, String> {
    let path = directory(context).join("grains");
    let name = path.display().to_string();
    let unreadable = |why: String| format!("Unable to read existing grains file: {why}");
    let text = context
        .system
        .text(&path)
        .map_err(|error| unreadable(crate::system::errno_text(&error, Some(&path))))?
        .unwrap_or_default();
    let mut all = match yaml::load(&text) {
        Ok(Value::Map(all)) => all,
        Ok(_) => Map::new(),
        Err(error) => return Err(unreadable(error.in_file(&name))),
    };
    for (key, value) in &new {
        if value.is_null() && destructive {
            all.remove_value(key);
        } else {
            all.insert(key.clone(), value.clone());
        }
    }
    let options = DumpOptions {
        flow_style: Some(false),
        sort_keys: true,
        ..DumpOptions::default()
    };
    let text = yaml::dump(&all.into(), &options);
    context
        .system
        .write(&path, text.as_bytes(), &WriteOptions::new())
        .map_err(|error| {
            tracing::error!(path = %name, %error, "cannot write the grains file");
            format!("Unable to write to grains file at {name}. Check permissions.")
        })?;
    refresh(context, refresh_pillar);
    Ok(new)
}

/// Lets a daemon gather the grains again.
fn refresh(context: &Context<'_>, pillar: bool) {
    const REFRESH: &str = "saltutil.refresh_grains";
    let local = context.setting("file_client") == Some("local");
    if local || !context.registry.contains(REFRESH) {
        return;
    }
    let args = Args::new().keyword("refresh_pillar", pillar);
    if let Err(error) = context.registry.call(REFRESH, &args, context) {
        tracing::warn!(%error, "cannot refresh the grains");
    }
}

/// The list that `key` names, or the text that says why there is none.
fn list_at(key: &Value, value: Option<&Value>, convert: bool) -> Result<Vec<Value>, Value> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::List(items)) => Ok(items.clone()),
        Some(other) if convert => Ok(vec![other.clone()]),
        Some(_) => Err(format!("The key {} is not a valid list", python::str(key)).into()),
    }
}

fn append(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let (key, value) = (argument(args, "key"), argument(args, "val"));
    let delimiter = args.text("delimiter")?;
    let grains = current(context);
    let mut list = match list_at(&key, at(&grains, &key, &delimiter), args.is_true("convert")) {
        Ok(list) => list,
        Err(complaint) => return Ok(complaint),
    };
    if list.contains(&value) {
        let (value, key) = (python::str(&value), python::str(&key));
        return Ok(format!("The val {value} was already in the list {key}").into());
    }
    match value {
        Value::List(items) => list.extend(items),
        one => list.push(one),
    }
    Ok(write_list(context, &grains, &key, list, &delimiter))
}

fn remove(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let (key, value) = (argument(args, "key"), argument(args, "val"));
    let delimiter = args.text("delimiter")?;
    let grains = current(context);
    let mut list = match list_at(&key, at(&grains, &key, &delimiter), false) {
        Ok(list) => list,
        Err(complaint) => return Ok(complaint),
    };
    let Some(place) = list.iter().position(|item| *item == value) else {
        let (value, key) = (python::str(&value), python::str(&key));
        return Ok(format!("The val {value} was not in the list {key}").into());
    };
    list.remove(place);
    Ok(write_list(context, &grains, &key, list, &delimiter))
}

fn argument(args: &Args, name: &str) -> Value {
    args.get(name).cloned().unwrap_or_default()
}

/// Writes a list at a path. Where something on the way is no mapping, that stays as it
/// is, as with Salt.
fn write_list(
    context: &Context<'_>,
    grains: &Map,
    key: &Value,
    list: Vec<Value>,
    delimiter: &str,
) -> Value {
    let mut value = Value::List(list);
    let mut key = key.clone();
    while let Some((above, last)) = split_last(&key, delimiter) {
        value = match at(grains, &above, delimiter) {
            None => Map::from([(last, value)]).into(),
            Some(Value::Map(map)) => {
                let mut map = map.clone();
                map.insert(last, value);
                map.into()
            }
            Some(other) => other.clone(),
        };
        key = above;
    }
    answer(write(context, Map::from([(key, value)]), false, true))
}

/// The path without its last part, and that part.
fn split_last(key: &Value, delimiter: &str) -> Option<(Value, String)> {
    let (above, last) = key
        .as_str()
        .filter(|_| !delimiter.is_empty())?
        .rsplit_once(delimiter)?;
    Some((above.into(), last.to_owned()))
}

/// `grains.set` and its two special cases: the result of a state, in a mapping.
fn set(
    args: &Args,
    context: &Context<'_>,
    value: Value,
    destructive: bool,
) -> Result<Value, CallError> {
    let key = argument(args, "key");
    let force = args.is_true("force");
    let delimiter = args.optional_text("delimiter");
    let delimiter = delimiter.as_deref().unwrap_or(":");
    let grains = current(context);
    let current = at(&grains, &key, delimiter);
    let removes = destructive && value.is_null();
    if current == Some(&value) && !removes {
        return Ok(outcome("Grain is already set", Map::new(), true));
    }
    let refused = |text: String| Ok(outcome(&text, Map::new(), false));
    if let Some(current) = current.filter(|current| !current.is_null() && !force) {
        let key = python::str(&key);
        if is_collection(current) {
            return refused(format!(
                "The key '{key}' exists but is a dict or a list. Use 'force=True' to overwrite."
            ));
        }
        if is_collection(&value) {
            return refused(format!(
                "The key '{key}' exists and the given value is a dict or a list. \
                 Use 'force=True' to overwrite."
            ));
        }
    }
    let (top, value) = match nested(&grains, key, value, delimiter, force, destructive) {
        Ok(entry) => entry,
        Err(complaint) => return refused(complaint),
    };
    match write(context, Map::from([(top, value)]), destructive, true) {
        Ok(changes) => Ok(outcome("", changes, true)),
        Err(text) => refused(text),
    }
}

fn is_collection(value: &Value) -> bool {
    matches!(value, Value::Map(_) | Value::List(_))
}

fn outcome(comment: &str, changes: Map, result: bool) -> Value {
    Map::from([
        ("comment", Value::from(comment)),
        ("changes", changes.into()),
        ("result", result.into()),
    ])
    .into()
}

/// The top-level grain that holds `value` at the path `key`, with the rest as it is now.
fn nested(
    grains: &Map,
    mut key: Value,
    mut value: Value,
    delimiter: &str,
    force: bool,
    destructive: bool,
) -> Result<(Value, Value), String> {
    while let Some((above, last)) = split_last(&key, delimiter) {
        let removes = destructive && value.is_null();
        let alone = |value| Value::Map(Map::from([(last.as_str(), value)]));
        value = match at(grains, &above, delimiter) {
            None if removes => Map::new().into(),
            None => alone(value),
            Some(Value::Map(map)) => {
                let mut map = map.clone();
                if removes {
                    map.remove(&last);
                } else {
                    map.insert(last, value);
                }
                map.into()
            }
            Some(Value::List(items)) => {
                let mut items = items.clone();
                put(&mut items, last, value);
                items.into()
            }
            Some(current) if force || current.as_str() == Some(&last) => alone(value),
            Some(current) => {
                return Err(format!(
                    "The key '{}' value is '{}', which is different from the provided key \
                     '{last}'. Use 'force=True' to overwrite.",
                    python::str(&above),
                    python::str(current),
                ));
            }
        };
        key = above;
    }
    Ok((key, value))
}

/// Puts a value under a key into a list: for the text that is the key, into the first
/// mapping that has it, or at the end.
fn put(items: &mut Vec<Value>, key: String, value: Value) {
    if let Some(text) = items.iter_mut().find(|item| item.as_str() == Some(&key)) {
        *text = Map::from([(key, value)]).into();
        return;
    }
    let mut mappings = items.iter_mut().filter_map(Value::as_map_mut);
    if let Some(map) = mappings.find(|map| map.contains_key(&key)) {
        map.insert(key, value);
        return;
    }
    items.push(Map::from([(key, value)]).into());
}
