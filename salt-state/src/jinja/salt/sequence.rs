//! Filters on lists and sets.

use indexmap::IndexSet;

use crate::jinja::checks::is_iterable;
use crate::jinja::filters::{Builtin, integer, seen, to_float};
use crate::jinja::methods::keys_of;
use crate::jinja::value::{Args, Key, Set, Value, compare};
use crate::jinja::{Error, Exception, Result, Runtime, access, ast, ops};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "unique" => |rt, args| {
            let [values] = args.bind("unique", ["values"], 1)?;
            let values = values.unwrap_or_default();
            if is_hashable(&values) {
                return keys_of(rt, &values).map(|keys| Value::Set(Set::new(keys)));
            }
            unique(values.items(rt)?).map(Value::list)
        },
        "union" => |rt, args| sets(rt, args, "union"),
        "intersect" => |rt, args| sets(rt, args, "intersect"),
        "difference" => |rt, args| sets(rt, args, "difference"),
        "symmetric_difference" => |rt, args| sets(rt, args, "symmetric_difference"),
        "min" => |rt, args| {
            let [values] = args.bind("lst_min", ["obj"], 1)?;
            extreme(rt, &values.unwrap_or_default(), "min", "<")
        },
        "max" => |rt, args| {
            let [values] = args.bind("lst_max", ["obj"], 1)?;
            extreme(rt, &values.unwrap_or_default(), "max", ">")
        },
        "avg" => |rt, args| {
            let [values] = args.bind("lst_avg", ["lst"], 1)?;
            let values = values.unwrap_or_default();
            if is_hashable(&values) {
                return to_float(&values).map(Value::Float);
            }
            let items = values.items(rt)?;
            let mut total = Value::Int(0);
            for item in &items {
                total = ops::binary(rt, ast::Binary::Add, &total, item)?;
            }
            let count = Value::from(items.len());
            let average = ops::binary(rt, ast::Binary::Div, &total, &count)?;
            to_float(&average).map(Value::Float)
        },
        "flatten" => |rt, args| {
            let names = ["data", "levels", "preserve_nulls"];
            let [data, levels, nulls] = args.bind("flatten", names, 1)?;
            let levels = match levels {
                None | Some(Value::None) => None,
                Some(levels) => Some(integer(&levels)?),
            };
            let nulls = nulls.map_or(Ok(false), |value| value.is_true())?;
            let mut out = Vec::new();
            let data = data.unwrap_or_default();
            flatten(rt, &data, levels, nulls, &mut Vec::new(), &mut out)?;
            Ok(Value::list(out))
        },
        "sequence" => |_, args| {
            let [data] = args.bind("ensure_sequence_filter", ["data"], 1)?;
            let data = data.unwrap_or_default();
            Ok(match data {
                Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Dict(_) => data,
                other => Value::list(vec![other]),
            })
        },
        "sorted_ignorecase" => |rt, args| {
            let [items] = args.bind("sorted_ignorecase", ["to_sort"], 1)?;
            let items = items.unwrap_or_default().items(rt)?;
            let sorted =
                crate::jinja::filters::sort_by(rt, items, false, &mut |_, item| match item {
                    Value::Str(text) => Ok(Value::text(text.to_lowercase())),
                    Value::Undefined(undefined) => Err(undefined.error()),
                    other => Err(access::no_attribute(other, "lower")),
                })?;
            Ok(Value::list(sorted))
        },
        "is_list" => |_, args| {
            let [value] = args.bind("is_list", ["value"], 1)?;
            Ok(Value::Bool(matches!(value, Some(Value::List(_)))))
        },
        "is_iter" => |rt, args| {
            let [value, _] = args.bind("is_iter", ["thing", "ignore"], 1)?;
            let value = value.unwrap_or_default();
            let text = matches!(value, Value::Str(_));
            Ok(Value::Bool(!text && is_iterable(rt, &value)))
        },
        "exactly_n_true" => |rt, args| {
            let [values, amount] = args.bind("exactly_n", ["iterable", "amount"], 1)?;
            let amount = amount.as_ref().map_or(Ok(1), integer)?;
            exactly(rt, &values.unwrap_or_default(), amount)
        },
        "exactly_one_true" => |rt, args| {
            let [values] = args.bind("exactly_one", ["iterable"], 1)?;
            exactly(rt, &values.unwrap_or_default(), 1)
        },
        "compare_lists" => |rt, args| {
            let [old, new] = args.bind("compare_lists", ["old", "new"], 0)?;
            let old = old.unwrap_or_default().items(rt)?;
            let new = new.unwrap_or_default().items(rt)?;
            rt.charge(old.len().saturating_mul(new.len()))?;
            let missing = |from: &[Value], all: &[Value]| -> Result<Vec<Value>> {
                let mut missing = Vec::new();
                for item in all {
                    if !seen(from, item)? {
                        missing.push(item.clone());
                    }
                }
                Ok(missing)
            };
            let (added, removed) = (missing(&old, &new)?, missing(&new, &old)?);
            let mut entries = Vec::new();
            if !added.is_empty() {
                entries.push(("new", Value::list(added)));
            }
            if !removed.is_empty() {
                entries.push(("old", Value::list(removed)));
            }
            Ok(Value::Dict(entries.into_iter().collect()))
        },
        _ => return None,
    })
}

/// What Salt's list filters treat as a set rather than a list.
fn is_hashable(value: &Value) -> bool {
    match value {
        Value::List(_) | Value::Dict(_) => false,
        Value::Set(set) => set.is_frozen(),
        Value::Object(object) => object.is_hashable(),
        _ => true,
    }
}

fn unique(items: Vec<Value>) -> Result<Vec<Value>> {
    let mut keys: IndexSet<Key> = IndexSet::new();
    let mut rest: Vec<Value> = Vec::new();
    let mut kept = Vec::new();
    for item in items {
        let new = match Key::new(item.clone()) {
            Ok(key) => keys.insert(key),
            Err(error) if error.is(Exception::TypeError) => {
                let new = !seen(&rest, &item)?;
                if new {
                    rest.push(item.clone());
                }
                new
            }
            Err(error) => return Err(error),
        };
        if new {
            kept.push(item);
        }
    }
    Ok(kept)
}

fn sets(rt: &Runtime<'_>, args: Args, name: &str) -> Result<Value> {
    let [left, right] = args.bind(name, ["lst1", "lst2"], 2)?;
    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
    if is_hashable(&left) && is_hashable(&right) {
        let (left, right) = (keys_of(rt, &left)?, keys_of(rt, &right)?);
        let members = match name {
            "union" => left.union(&right).cloned().collect(),
            "intersect" => left.intersection(&right).cloned().collect(),
            "difference" => left.difference(&right).cloned().collect(),
            _ => left.symmetric_difference(&right).cloned().collect(),
        };
        return Ok(Value::Set(Set::new(members)));
    }
    let both = || -> Result<Vec<Value>> {
        let joined = ops::binary(rt, ast::Binary::Add, &left, &right)?;
        unique(joined.items(rt)?)
    };
    let keep = |wanted: bool| -> Result<Vec<Value>> {
        let mut kept = Vec::new();
        for item in left.items(rt)? {
            if ops::contains(rt, &right, &item)? == wanted {
                kept.push(item);
            }
        }
        unique(kept)
    };
    Ok(Value::list(match name {
        "union" => both()?,
        "intersect" => keep(true)?,
        "difference" => keep(false)?,
        _ => {
            let shared = keep(true)?;
            let mut kept = Vec::new();
            for item in both()? {
                if !seen(&shared, &item)? {
                    kept.push(item);
                }
            }
            kept
        }
    }))
}

fn extreme(rt: &Runtime<'_>, values: &Value, name: &str, operator: &str) -> Result<Value> {
    let mut best: Option<Value> = None;
    for item in values.items(rt)? {
        best = Some(match best {
            None => item,
            Some(best) if compare(operator, &item, &best)? => item,
            Some(best) => best,
        });
    }
    best.ok_or_else(|| Error::value_error(format!("{name}() arg is an empty sequence")))
}

fn flatten(
    rt: &Runtime<'_>,
    data: &Value,
    levels: Option<i64>,
    nulls: bool,
    open: &mut Vec<usize>,
    out: &mut Vec<Value>,
) -> Result<()> {
    rt.check_stack()?;
    let address = match data {
        Value::List(list) => list.address(),
        _ => 0,
    };
    if address != 0 && open.contains(&address) {
        let text = "Reference cycle detected. Check input list.";
        return Err(Error::python(Exception::RecursionError, text));
    }
    open.push(address);
    for item in data.items(rt)? {
        rt.charge(1)?;
        let is_null = match &item {
            Value::None => true,
            Value::Str(text) => matches!(&**text, "None" | "null"),
            _ => false,
        };
        if is_null && !nulls {
            continue;
        }
        if !matches!(item, Value::Str(_)) && is_iterable(rt, &item) {
            match levels {
                None => flatten(rt, &item, None, nulls, open, out)?,
                Some(levels) if levels >= 1 => {
                    flatten(rt, &item, Some(levels - 1), nulls, open, out)?;
                }
                Some(_) => out.push(item),
            }
        } else {
            out.push(item);
        }
    }
    open.pop();
    Ok(())
}

fn exactly(rt: &Runtime<'_>, values: &Value, amount: i64) -> Result<Value> {
    let mut found = 0;
    for item in values.items(rt)? {
        found += i64::from(item.is_true()?);
    }
    Ok(Value::Bool(found == amount))
}
