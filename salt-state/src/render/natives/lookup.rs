//! `pillar.get`, `grains.get`, `config.get`, `grains.filter_by` and `match.*`.

use super::merge::{deep_copy, update};
use super::{exception, flag, same, text};
use crate::compile::top::minion_matches;
use crate::jinja::{self, Args, Dict, Error, Key, Value};
use crate::render::template::Outside;

pub(super) fn call(
    outside: &Outside<'_>,
    module: &str,
    function: &str,
    mut args: Args,
) -> jinja::Result<Value> {
    let world = outside.world;
    match (module, function) {
        ("pillar", "items" | "data") => {
            if args.positional.is_empty() {
                return Ok(world.pillar());
            }
            let found = Dict::new();
            for key in &args.positional {
                let name = text(Some(key))?;
                let value =
                    traverse(&world.pillar(), &name, ":")?.unwrap_or_else(|| Value::text(""));
                found.set(&name, value);
            }
            Ok(Value::Dict(found))
        }
        ("pillar", "raw") => {
            let [key] = args.bind("raw", ["key"], 0)?;
            match key {
                Some(key) => {
                    let name = text(Some(&key))?;
                    let found = world.pillar().as_dict().and_then(|dict| dict.get(&name));
                    Ok(found.unwrap_or_else(|| Value::Dict(Dict::new())))
                }
                None => Ok(world.pillar()),
            }
        }
        ("pillar", _) => pillar_get(outside, args),
        ("grains", "filter_by") => {
            let parameters = ["lookup_dict", "grain", "merge", "default", "base"];
            let [lookup, grain, merge, default, base] = args.bind("filter_by", parameters, 1)?;
            let grain = match grain {
                Some(grain) => text(Some(&grain))?,
                None => "os_family".to_owned(),
            };
            let values = match traverse(&world.grains(), &grain, ":")? {
                Some(Value::List(values)) => values.to_vec(),
                Some(Value::None) | None => Vec::new(),
                Some(one) => vec![one],
            };
            let lookup = lookup.unwrap_or_default();
            filter_by(&lookup, &Wanted::Values(&values), merge, default, base)
        }
        ("grains", _) => {
            let [key, default, delimiter, _ordered] =
                args.bind("get", ["key", "default", "delimiter", "ordered"], 1)?;
            get(&world.grains(), key.as_ref(), default, delimiter.as_ref())
        }
        ("config", _) => {
            super::extra(&mut args, &["key", "default", "delimiter", "merge"]);
            let [key, default, delimiter, merge] =
                args.bind("get", ["key", "default", "delimiter", "merge"], 1)?;
            drop(merge);
            let name = text(key.as_ref())?;
            let delimiter = match delimiter {
                Some(delimiter) => text(Some(&delimiter))?,
                None => ":".to_owned(),
            };
            for source in [world.opts(), world.grains(), world.pillar()] {
                if let Some(found) = traverse(&source, &name, &delimiter)? {
                    return Ok(found);
                }
            }
            Ok(default.unwrap_or_else(|| Value::text("")))
        }
        _ => matching(outside, function, args),
    }
}

/// The value under a path of keys; numbers go into lists, and a list of dicts gives the
/// first that has the key.
pub(super) fn traverse(data: &Value, path: &str, delimiter: &str) -> jinja::Result<Option<Value>> {
    let mut value = data.clone();
    let parts: Vec<&str> = if delimiter.is_empty() {
        vec![path]
    } else {
        path.split(delimiter).collect()
    };
    for part in parts {
        let next = match &value {
            Value::List(items) => match part.parse::<i64>() {
                Ok(index) => {
                    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                    let index = if index < 0 { index + length } else { index };
                    usize::try_from(index)
                        .ok()
                        .and_then(|index| items.get(index))
                }
                Err(_) => items
                    .to_vec()
                    .iter()
                    .find_map(|item| item.as_dict().and_then(|dict| dict.get(part))),
            },
            Value::Dict(dict) => match dict.get(part) {
                Some(found) => Some(found),
                None => {
                    let key = Value::from_plain(&crate::args::read_value(part));
                    match Key::new(key) {
                        Ok(key) => dict.get_key(&key),
                        Err(_) => None,
                    }
                }
            },
            _ => None,
        };
        match next {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn get(
    data: &Value,
    key: Option<&Value>,
    default: Option<Value>,
    delimiter: Option<&Value>,
) -> jinja::Result<Value> {
    let delimiter = match delimiter {
        Some(delimiter) => text(Some(delimiter))?,
        None => ":".to_owned(),
    };
    let found = traverse(data, &text(key)?, &delimiter)?;
    Ok(found.or(default).unwrap_or_else(|| Value::text("")))
}

fn pillar_get(outside: &Outside<'_>, args: Args) -> jinja::Result<Value> {
    let parameters = [
        "key",
        "default",
        "merge",
        "merge_nested_lists",
        "delimiter",
        "pillarenv",
        "saltenv",
    ];
    let [key, default, merge, nested, delimiter, _pillarenv, _saltenv] =
        args.bind("get", parameters, 1)?;
    let world = outside.world;
    let pillar = world.pillar();
    let config = &world.minion.config;
    let raise = config
        .get("pillar_raise_on_missing")
        .is_some_and(salt_proto::Value::is_true);
    let name = text(key.as_ref())?;
    let separator = match &delimiter {
        Some(delimiter) => text(Some(delimiter))?,
        None => ":".to_owned(),
    };
    let found = traverse(&pillar, &name, &separator)?;
    let Some(found) = found else {
        return match default {
            Some(default) => Ok(default),
            None if raise => Err(Error::python(
                jinja::Exception::KeyError,
                format!("'Pillar key not found: {name}'"),
            )),
            None => Ok(Value::text("")),
        };
    };
    if !flag(merge.as_ref(), false)? {
        return Ok(found);
    }
    let lists = match nested {
        Some(nested) if !nested.is_none() => nested.is_true()?,
        _ => config
            .get("pillar_merge_lists")
            .is_some_and(salt_proto::Value::is_true),
    };
    match (default, found) {
        (Some(default @ Value::Dict(_)), found @ Value::Dict(_)) => {
            let merged = deep_copy(&default)?;
            update(&merged, &found, true, lists, 0)?;
            Ok(merged)
        }
        (Some(Value::List(default)), Value::List(found)) => {
            let mut items = default.to_vec();
            for item in found.to_vec() {
                let mut known = false;
                for other in &items {
                    known = known || same(&item, other)?;
                }
                if !known {
                    items.push(item);
                }
            }
            Ok(Value::list(items))
        }
        (_, found) => Ok(found),
    }
}

/// What the keys of a lookup table are compared with.
enum Wanted<'w> {
    /// Values of a grain; the keys are shell patterns.
    Values(&'w [Value]),
    /// The minion; the keys are compound targets.
    Targets(&'w Outside<'w>),
}

/// The entry of a lookup table that fits, with `base` below and `merge` above it. The
/// table itself is changed by `merge`, as in Salt.
fn filter_by(
    lookup: &Value,
    wanted: &Wanted<'_>,
    merge: Option<Value>,
    default: Option<Value>,
    base: Option<Value>,
) -> jinja::Result<Value> {
    let Some(table) = lookup.as_dict() else {
        return Err(Error::type_error(format!(
            "'{}' object is not iterable",
            lookup.type_name()
        )));
    };
    let mut found = Value::None;
    match wanted {
        Wanted::Targets(outside) => {
            for (key, value) in table.entries() {
                if minion_matches(outside.world, "compound", &text(Some(&key))?) {
                    found = value;
                    break;
                }
            }
        }
        Wanted::Values(values) => {
            for value in *values {
                let wanted = text(Some(value))?;
                for (key, entry) in table.entries() {
                    if crate::fnmatch(&wanted, &text(Some(&key))?) {
                        found = entry;
                        break;
                    }
                }
                if !found.is_none() {
                    break;
                }
            }
        }
    }
    if found.is_none() {
        let default = match default {
            Some(default) => default,
            None => Value::text("default"),
        };
        if !default.is_none() {
            found = table.get_key(&Key::new(default)?).unwrap_or_default();
        }
    }
    if let Some(base) = base.filter(|base| !base.is_none())
        && let Some(base_values) = table.get_key(&Key::new(base)?)
    {
        if found.is_none() {
            found = base_values;
        } else if base_values.as_dict().is_some() {
            if found.as_dict().is_none() {
                return Err(exception(
                    "filter_by default and look-up values must both be dictionaries.",
                ));
            }
            let merged = deep_copy(&base_values)?;
            update(&merged, &found, true, false, 0)?;
            found = merged;
        }
    }
    if let Some(merge) = merge
        && merge.is_true()?
    {
        if merge.as_dict().is_none() {
            return Err(exception("filter_by merge argument must be a dictionary."));
        }
        if found.is_none() {
            found = merge;
        } else {
            update(&found, &deep_copy(&merge)?, true, false, 0)?;
        }
    }
    Ok(found)
}

fn matching(outside: &Outside<'_>, function: &str, mut args: Args) -> jinja::Result<Value> {
    if function == "filter_by" {
        let parameters = [
            "lookup",
            "tgt_type",
            "minion_id",
            "merge",
            "merge_lists",
            "default",
        ];
        let [lookup, _kind, _id, merge, _lists, default] = args.bind("filter_by", parameters, 1)?;
        let lookup = lookup.unwrap_or_default();
        return filter_by(&lookup, &Wanted::Targets(outside), merge, default, None);
    }
    super::extra(&mut args, &["tgt"]);
    let [target, _minion, _third] = args.bind(function, ["tgt", "minion_id", "delimiter"], 1)?;
    let matched = minion_matches(outside.world, function, &text(target.as_ref())?);
    Ok(Value::Bool(matched))
}
