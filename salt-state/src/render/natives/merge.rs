//! Merging dicts as Salt's `dictupdate` does.

use super::{flag, same, text};
use crate::jinja::{self, Args, Dict, DictClass, Error, Key, List, Runtime, Value};

/// How deep a copy or merge goes.
const MAX_DEPTH: usize = 150;

pub(super) fn call(
    runtime: &Runtime<'_>,
    module: &str,
    function: &str,
    args: Args,
) -> jinja::Result<Value> {
    match (module, function) {
        ("defaults", "merge") => {
            let parameters = ["dest", "src", "merge_lists", "in_place", "convert_none"];
            let [dest, src, lists, in_place, convert] = args.bind("merge", parameters, 2)?;
            let (dest, src) = (dest.unwrap_or_default(), src.unwrap_or_default());
            let lists = flag(lists.as_ref(), false)?;
            defaults_merge(
                dest,
                src,
                lists,
                flag(in_place.as_ref(), true)?,
                flag(convert.as_ref(), true)?,
            )
        }
        ("defaults", "deepcopy") => {
            let [source] = args.bind("deepcopy", ["source"], 1)?;
            deep_copy(&source.unwrap_or_default())
        }
        ("defaults", _) => {
            let parameters = [
                "dest",
                "defaults",
                "merge_lists",
                "in_place",
                "convert_none",
            ];
            let [dest, defaults, lists, in_place, convert] = args.bind("update", parameters, 2)?;
            let dest = dest.unwrap_or_default();
            let lists = flag(lists.as_ref(), true)?;
            let convert = flag(convert.as_ref(), true)?;
            let nodes = if flag(in_place.as_ref(), true)? {
                dest
            } else {
                deep_copy(&dest)?
            };
            let Some(dict) = nodes.as_dict().cloned() else {
                return Err(not_dicts());
            };
            for (name, own) in dict.entries() {
                let base = deep_copy(&defaults.clone().unwrap_or_default())?;
                let merged = defaults_merge(base, own, lists, true, convert)?;
                dict.insert(Key::new(name)?, merged);
            }
            Ok(nodes)
        }
        (_, "merge") => {
            let parameters = ["obj_a", "obj_b", "strategy", "renderer", "merge_lists"];
            let [a, b, strategy, renderer, lists] = args.bind("merge", parameters, 2)?;
            let lists = flag(lists.as_ref(), false)?;
            let kind = strategy_name(strategy.as_ref(), renderer.as_ref())?;
            by_strategy(&a.unwrap_or_default(), &b.unwrap_or_default(), &kind, lists)
        }
        (_, "merge_all") => {
            let parameters = ["lst", "strategy", "renderer", "merge_lists"];
            let [all, strategy, renderer, lists] = args.bind("merge_all", parameters, 1)?;
            let lists = flag(lists.as_ref(), false)?;
            let kind = strategy_name(strategy.as_ref(), renderer.as_ref())?;
            let mut merged = Value::Dict(Dict::new());
            for one in all.unwrap_or_default().items(runtime)? {
                merged = by_strategy(&merged, &one, &kind, lists)?;
            }
            Ok(merged)
        }
        _ => {
            let parameters = ["dest", "upd", "recursive_update", "merge_lists"];
            let [dest, update_with, recursive, lists] = args.bind("update", parameters, 2)?;
            let dest = dest.unwrap_or_default();
            let lists = flag(lists.as_ref(), false)?;
            let recursive = flag(recursive.as_ref(), true)?;
            update(&dest, &update_with.unwrap_or_default(), recursive, lists, 0)?;
            Ok(dest)
        }
    }
}

fn strategy_name(strategy: Option<&Value>, renderer: Option<&Value>) -> jinja::Result<String> {
    let renderer = match renderer {
        Some(renderer) => text(Some(renderer))?,
        None => "yaml".to_owned(),
    };
    let name = match strategy {
        Some(strategy) => text(Some(strategy))?,
        None => "smart".to_owned(),
    };
    let yamlex = renderer.ends_with("yamlex") || renderer.starts_with("yamlex_");
    Ok(match name.as_str() {
        "smart" if yamlex => "aggregate".to_owned(),
        _ => name,
    })
}

fn by_strategy(a: &Value, b: &Value, strategy: &str, lists: bool) -> jinja::Result<Value> {
    match strategy {
        "overwrite" => {
            let merged = deep_copy(a)?;
            update(&merged, b, false, false, 0)?;
            Ok(merged)
        }
        "list" => {
            let (Some(old), Some(new)) = (a.as_dict(), b.as_dict()) else {
                return Err(not_dicts());
            };
            let merged = Dict::new();
            for (key, value) in old.entries() {
                let key = Key::new(key)?;
                let value = match new.get_key(&key) {
                    Some(other) => Value::list(vec![value, other]),
                    None => value,
                };
                merged.insert(key, value);
            }
            Ok(Value::Dict(merged))
        }
        // Only values made by `yamlex` are tagged, and templates cannot hold those.
        "aggregate" => deep_copy(b),
        _ => {
            let merged = deep_copy(a)?;
            update(&merged, b, true, lists, 0)?;
            Ok(merged)
        }
    }
}

fn defaults_merge(
    dest: Value,
    src: Value,
    lists: bool,
    in_place: bool,
    convert_none: bool,
) -> jinja::Result<Value> {
    let src = if convert_none && src.is_none() {
        Value::Dict(Dict::new())
    } else {
        src
    };
    let dest = if dest.is_none() && convert_none && !in_place {
        Value::Dict(Dict::new())
    } else if dest.is_none() && in_place {
        return Err(Error::type_error(
            "Can't perform in-place merge into NoneType",
        ));
    } else if in_place {
        dest
    } else {
        deep_copy(&dest)?
    };
    update(&dest, &src, true, lists, 0)?;
    Ok(dest)
}

fn not_dicts() -> Error {
    Error::type_error("Cannot update using non-dict types in dictupdate.update()")
}

/// Merges a dict into another, in place.
pub(super) fn update(
    dest: &Value,
    with: &Value,
    recursive: bool,
    lists: bool,
    depth: usize,
) -> jinja::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::python(
            jinja::Exception::RecursionError,
            "maximum recursion depth exceeded",
        ));
    }
    let (Some(dest), Some(with)) = (dest.as_dict(), with.as_dict()) else {
        return Err(not_dicts());
    };
    for (key, new) in with.entries() {
        let key = Key::new(key)?;
        let old = dest.get_key(&key);
        let merged = match (old, new) {
            (Some(old @ Value::Dict(_)), new @ Value::Dict(_)) if recursive => {
                update(&old, &new, true, lists, depth + 1)?;
                old
            }
            (Some(Value::List(old)), Value::List(new)) if recursive && lists => {
                Value::List(merge_lists(&old, &new)?)
            }
            (_, new) => new,
        };
        dest.insert(key, merged);
    }
    Ok(())
}

/// A copy of `old` with the items of `new` that it lacks.
fn merge_lists(old: &List, new: &List) -> jinja::Result<List> {
    let mut items = Vec::new();
    for item in old.to_vec() {
        items.push(deep_copy(&item)?);
    }
    let known = items.clone();
    for item in new.to_vec() {
        let mut present = false;
        for other in &known {
            present = present || same(&item, other)?;
        }
        if !present {
            items.push(item);
        }
    }
    Ok(List::new(items))
}

/// A copy that shares no container.
pub(super) fn deep_copy(value: &Value) -> jinja::Result<Value> {
    copy(value, 0)
}

fn copy(value: &Value, depth: usize) -> jinja::Result<Value> {
    if depth > MAX_DEPTH {
        return Err(Error::python(
            jinja::Exception::RecursionError,
            "maximum recursion depth exceeded",
        ));
    }
    Ok(match value {
        Value::List(items) => {
            let items: jinja::Result<Vec<_>> = items
                .to_vec()
                .iter()
                .map(|item| copy(item, depth + 1))
                .collect();
            Value::list(items?)
        }
        Value::Dict(dict) => {
            let class: DictClass = dict.class();
            let new = Dict::of(class, indexmap::IndexMap::new());
            for (key, value) in dict.entries() {
                new.insert(Key::new(key)?, copy(&value, depth + 1)?);
            }
            Value::Dict(new)
        }
        other => other.clone(),
    })
}
