//! Filters on dicts.

use indexmap::IndexMap;

use crate::jinja::filters::{Builtin, to_int};
use crate::jinja::value::{Args, Dict, DictClass, Key, Value, equal};
use crate::jinja::{Error, Exception, Kind, Result, Runtime, access};

use super::class_of;

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "traverse" => |rt, args| {
            let names = ["data", "key", "default", "delimiter"];
            let [data, key, default, delimiter] = args.bind("traverse_dict_and_list", names, 2)?;
            let data = data.unwrap_or_default();
            if let Value::Undefined(undefined) = &data {
                return Err(undefined.error());
            }
            let path = path(rt, &key.unwrap_or_default(), delimiter)?;
            Ok(traverse(rt, data, &path)?.or(default).unwrap_or_default())
        },
        "set_dict_key_value" => |rt, args| change(rt, args, "set_dict_key_value", Change::Set),
        "append_dict_key_value" => {
            |rt, args| change(rt, args, "append_dict_key_value", Change::Append)
        }
        "extend_dict_key_value" => {
            |rt, args| change(rt, args, "extend_dict_key_value", Change::Extend)
        }
        "update_dict_key_value" => {
            |rt, args| change(rt, args, "update_dict_key_value", Change::Update)
        }
        "compare_dicts" => compare_dicts,
        "to_entries" => |rt, args| {
            let [data] = args.bind("to_entries", ["data"], 1)?;
            let data = data.unwrap_or_default();
            let entries = match access::mapping_entries(rt, &data)? {
                Some(entries) => entries,
                None if matches!(data, Value::List(_)) => {
                    let items = data.items(rt)?.into_iter().enumerate();
                    items.map(|(at, item)| (Value::from(at), item)).collect()
                }
                None => {
                    let message = "Input data must be a dict or list";
                    return Err(Error::new(Kind::Host, message));
                }
            };
            let entry =
                |(key, value)| Value::Dict(Dict::from_iter([("key", key), ("value", value)]));
            Ok(Value::list(entries.into_iter().map(entry).collect()))
        },
        "from_entries" => |rt, args| {
            let [entries] = args.bind("from_entries", ["entries"], 1)?;
            let dict = Dict::new();
            for entry in entries.unwrap_or_default().items(rt)? {
                if entry.is_none() {
                    continue;
                }
                if !crate::jinja::checks::is_mapping(&entry) {
                    // Salt takes it apart and forgets it.
                    for pair in entry.items(rt)? {
                        check_pair(rt, &pair)?;
                    }
                    continue;
                }
                let any = |names: &[&str]| -> Result<Option<Value>> {
                    for name in names {
                        if let Some(found) = access::lookup(rt, &entry, &Value::text(*name))? {
                            return Ok(Some(found));
                        }
                    }
                    Ok(None)
                };
                let key = any(&["key", "Key", "name", "Name"])?.unwrap_or_default();
                if key.is_true()? {
                    let value = any(&["value", "Value"])?;
                    dict.insert(Key::new(key)?, value.unwrap_or_default());
                }
            }
            Ok(Value::Dict(dict))
        },
        "json_encode_dict" | "json_decode_dict" => |rt, args| {
            let value = data_argument(args, "encode_dict")?;
            match access::mapping_entries(rt, &value)? {
                Some(_) => encoded(rt, &value),
                None => Err(access::no_attribute(&value, "items")),
            }
        },
        "json_encode_list" | "json_decode_list" => |rt, args| {
            let value = data_argument(args, "encode_list")?;
            let items = value.items(rt)?;
            let items = items.iter().map(|item| encoded(rt, item));
            items.collect::<Result<_>>().map(Value::list)
        },
        "mysql_to_dict" => mysql_to_dict,
        _ => return None,
    })
}

fn data_argument(args: Args, name: &str) -> Result<Value> {
    let names = [
        "data",
        "encoding",
        "errors",
        "keep",
        "preserve_dict_class",
        "preserve_tuples",
    ];
    let [data, ..] = args.bind(name, names, 1)?;
    Ok(data.unwrap_or_default())
}

fn path(rt: &Runtime<'_>, key: &Value, delimiter: Option<Value>) -> Result<Vec<Value>> {
    match key {
        Value::Str(text) => {
            let delimiter = delimiter.map_or(Ok(":".to_owned()), |value| value.str())?;
            if delimiter.is_empty() {
                return Err(Error::value_error("empty separator"));
            }
            Ok(text.split(delimiter.as_str()).map(Value::text).collect())
        }
        Value::List(_) | Value::Tuple(_) => key.items(rt),
        other => Ok(vec![other.clone()]),
    }
}

/// Follows keys through dicts and lists; `None` when one is not there.
fn traverse(rt: &Runtime<'_>, data: Value, path: &[Value]) -> Result<Option<Value>> {
    let mut data = data;
    for key in path {
        let next = match &data {
            Value::List(_) | Value::Tuple(_) => match to_int(key, 10) {
                Ok(index) => access::lookup(rt, &data, &index)?,
                // A name in a list is looked for in the dicts of the list.
                Err(_) => {
                    let mut found = None;
                    for item in data.items(rt)? {
                        let is_mapping = crate::jinja::checks::is_mapping(&item);
                        if is_mapping && let Some(value) = access::lookup(rt, &item, key)? {
                            found = Some(value);
                            break;
                        }
                    }
                    found
                }
            },
            _ if crate::jinja::checks::is_mapping(&data) => match access::lookup(rt, &data, key)? {
                Some(found) => Some(found),
                None => match to_int(key, 10) {
                    Ok(number) => access::lookup(rt, &data, &number)?,
                    Err(_) => None,
                },
            },
            _ => None,
        };
        match next {
            Some(value) => data = value,
            None => return Ok(None),
        }
    }
    Ok(Some(data))
}

#[derive(Clone, Copy, PartialEq)]
enum Change {
    Set,
    Append,
    Extend,
    Update,
}

fn invocation(message: String) -> Error {
    Error::new(Kind::Invocation, message)
}

/// Changes what lies under a path of keys, making dicts on the way.
fn change(rt: &Runtime<'_>, args: Args, function: &str, change: Change) -> Result<Value> {
    let names = ["in_dict", "keys", "value", "delimiter", "ordered_dict"];
    let [dict, keys, value, delimiter, ordered] = args.bind(function, names, 3)?;
    let root = dict.unwrap_or_default();
    let value = value.unwrap_or_default();
    let ordered = ordered.map_or(Ok(false), |value| value.is_true())?;
    let class = if ordered {
        DictClass::Ordered
    } else {
        DictClass::Dict
    };
    let path = path(rt, &keys.unwrap_or_default(), delimiter)?;
    let Some((last, way)) = path.split_last() else {
        return Ok(root);
    };
    let Value::Dict(mut dict) = root.clone() else {
        let first = path.first().unwrap_or(last);
        let assigned = way.is_empty() && change == Change::Set;
        return Err(not_a_dict(rt, &root, first, assigned)?);
    };
    for key in way {
        let key = Key::new(key.clone())?;
        let next = match dict.get_key(&key) {
            Some(Value::Dict(next)) => next,
            _ => {
                let next = Dict::of(class, IndexMap::new());
                dict.insert(key, Value::Dict(next.clone()));
                next
            }
        };
        dict = next;
    }
    let key = Key::new(last.clone())?;
    let current = dict.get_key(&key).filter(|value| !value.is_none());
    let cannot = |current: &Value, what: &str| {
        invocation(format!(
            "The last key contains a {}, which cannot {what}.",
            class_of(current)
        ))
    };
    match change {
        Change::Set => dict.insert(key, value),
        Change::Append => match current {
            None => dict.insert(key, Value::list(vec![value])),
            Some(Value::List(list)) => list.push(value),
            Some(other) => return Err(cannot(&other, "append")),
        },
        Change::Extend => {
            let list = match current {
                None => {
                    let list = crate::jinja::List::new(Vec::new());
                    dict.insert(key, Value::List(list.clone()));
                    list
                }
                Some(Value::List(list)) => list,
                Some(other) => return Err(cannot(&other, "extend")),
            };
            let items = value.items(rt).map_err(|_| {
                invocation(format!(
                    "Cannot extend {} with a {}.",
                    class_of(&Value::List(list.clone())),
                    class_of(&value)
                ))
            })?;
            list.borrow_mut().extend(items);
        }
        Change::Update => {
            let target = match current {
                None => {
                    let target = Dict::of(class, IndexMap::new());
                    dict.insert(key, Value::Dict(target.clone()));
                    target
                }
                Some(Value::Dict(target)) => target,
                Some(other) => return Err(cannot(&other, "update")),
            };
            let entries = crate::jinja::builtins::pairs(rt, &value).map_err(|_| {
                invocation(format!(
                    "Cannot update {} with a {}.",
                    class_of(&Value::Dict(target.clone())),
                    class_of(&value)
                ))
            })?;
            for (key, value) in entries {
                target.insert(Key::new(key)?, value);
            }
        }
    }
    Ok(root)
}

/// What Python says when a value is treated as the dict it is not: looked into
/// and then assigned to, or assigned to at once.
fn not_a_dict(rt: &Runtime<'_>, value: &Value, key: &Value, assigned: bool) -> Result<Error> {
    if !assigned && holds(rt, value, key)? {
        return Ok(match item(rt, value, key) {
            Err(error) => error,
            Ok(_) => Error::type_error("the value is not a dict"),
        });
    }
    let name = value.type_name();
    Ok(Error::type_error(match value {
        Value::List(_) => format!(
            "list indices must be integers or slices, not {}",
            key.type_name()
        ),
        _ => format!("'{name}' object does not support item assignment"),
    }))
}

/// Python's `key in value` for a value that should be a dict.
fn holds(rt: &Runtime<'_>, value: &Value, key: &Value) -> Result<bool> {
    match value {
        Value::Dict(dict) => Ok(dict.get_key(&Key::new(key.clone())?).is_some()),
        other => crate::jinja::ops::contains(rt, other, key),
    }
}

/// Python's `value[key]` for a value that should be a dict.
fn item(rt: &Runtime<'_>, value: &Value, key: &Value) -> Result<Value> {
    let kind = match value {
        Value::Str(_) => {
            let message = format!("string indices must be integers, not '{}'", key.type_name());
            return Err(Error::type_error(message));
        }
        Value::List(_) => "list",
        Value::Tuple(_) => "tuple",
        _ => return Ok(access::lookup(rt, value, key)?.unwrap_or_default()),
    };
    if !matches!(key, Value::Int(_) | Value::Bool(_)) {
        let message = format!(
            "{kind} indices must be integers or slices, not {}",
            key.type_name()
        );
        return Err(Error::type_error(message));
    }
    access::lookup(rt, value, key)?
        .ok_or_else(|| Error::python(Exception::IndexError, format!("{kind} index out of range")))
}

/// Python's unpacking of a value into two.
fn check_pair(rt: &Runtime<'_>, pair: &Value) -> Result<()> {
    match pair.items(rt)?.len() {
        2 => Ok(()),
        n if n < 2 => Err(Error::value_error(format!(
            "not enough values to unpack (expected 2, got {n})"
        ))),
        _ => Err(Error::value_error("too many values to unpack (expected 2)")),
    }
}

fn compare_dicts(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [old, new] = args.bind("compare_dicts", ["old", "new"], 0)?;
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    // Salt walks a set of the keys; this order is kept instead.
    let mut keys: indexmap::IndexSet<Key> = indexmap::IndexSet::new();
    for side in [&old, &new] {
        if side.is_true()? {
            for key in side.items(rt)? {
                keys.insert(Key::new(key)?);
            }
        }
    }
    let changes = Dict::new();
    let change = |old: Value, new: Value, first_new: bool| {
        let (old, new) = (("old", old), ("new", new));
        let pair = if first_new { [new, old] } else { [old, new] };
        Value::Dict(Dict::from_iter(pair))
    };
    for key in keys {
        let name = key.value();
        let entry = if !holds(rt, &old, name)? {
            change(Value::text(""), item(rt, &new, name)?, false)
        } else if !holds(rt, &new, name)? {
            change(item(rt, &old, name)?, Value::text(""), true)
        } else {
            let (old, new) = (item(rt, &old, name)?, item(rt, &new, name)?);
            if equal(&old, &new)? {
                continue;
            }
            change(old, new, false)
        };
        changes.insert(key, entry);
    }
    Ok(Value::Dict(changes))
}

/// Text becomes bytes, all the way down; tuples become lists.
fn encoded(rt: &Runtime<'_>, value: &Value) -> Result<Value> {
    rt.check_stack()?;
    rt.charge(1)?;
    Ok(match value {
        Value::Str(text) => Value::Bytes(text.as_bytes().into()),
        Value::List(_) | Value::Tuple(_) => {
            let items = value.items(rt)?;
            let items = items.iter().map(|item| encoded(rt, item));
            Value::list(items.collect::<Result<_>>()?)
        }
        other => match access::mapping_entries(rt, other)? {
            Some(entries) => {
                let mut all = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = match key {
                        Value::Str(text) => Value::Bytes(text.as_bytes().into()),
                        key => key,
                    };
                    all.push((key, encoded(rt, &value)?));
                }
                Value::Dict(access::dict_of(all)?)
            }
            None => other.clone(),
        },
    })
}

/// Reads a table as the `mysql` program draws it.
fn mysql_to_dict(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [data, key] = args.bind("mysql_to_dict", ["data", "key"], 2)?;
    let key = key.unwrap_or_default().str()?;
    let cell = |text: &str| -> Value {
        let text = text.trim();
        match to_int(&Value::text(text), 10) {
            Ok(number) => number,
            Err(_) => Value::text(text),
        }
    };
    let rows = Dict::new();
    let mut headers: Option<Vec<String>> = None;
    for line in data.unwrap_or_default().items(rt)? {
        let Value::Str(line) = &line else {
            // What is empty or false is no line.
            if line.is_true()? {
                return Err(access::no_attribute(&line, "startswith"));
            }
            continue;
        };
        let line = line.trim();
        if !line.starts_with('|') {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let Some(headers) = &headers else {
            headers = Some(cells.iter().map(|cell| cell.trim().to_owned()).collect());
            continue;
        };
        let row = Dict::new();
        let mut own = None;
        for (header, text) in headers.iter().zip(cells) {
            let value = cell(text);
            if *header == key {
                own = Some(value.clone());
            }
            row.set(header, value);
        }
        if let Some(own) = own {
            rows.insert(Key::new(own)?, Value::Dict(row));
        }
    }
    Ok(Value::Dict(rows))
}
