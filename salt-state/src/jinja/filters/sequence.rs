//! Filters on sequences and mappings.

use crate::jinja::value::{Args, Generator, Iter, IterObject, Str, Tuple, Value, compare, equal};
use crate::jinja::{Error, Result, Runtime, access, ast, ops};

use super::{
    Builtin, Path, argument_error, escape_text, extreme, flag, fold_case, integer, python_len,
    sort_by,
};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "count" | "length" => length,
        "list" => |rt, args| {
            let [value] = args.bind("sync_do_list", ["value"], 1)?;
            Ok(Value::list(value.unwrap_or_default().items(rt)?))
        },
        "first" => |rt, args| {
            let [seq] = args.bind_after(1, "sync_do_first", ["seq"], 1)?;
            let first = seq.unwrap_or_default().iter(rt)?.next(rt)?;
            Ok(first.unwrap_or_else(|| empty(rt, "No first item, sequence was empty.")))
        },
        "last" => |rt, args| {
            let [seq] = args.bind_after(1, "do_last", ["seq"], 1)?;
            let last = reversed(rt, &seq.unwrap_or_default())?.1.into_iter().next();
            Ok(last.unwrap_or_else(|| empty(rt, "No last item, sequence was empty.")))
        },
        "random" => |rt, args| {
            let [seq] = args.bind_after(1, "do_random", ["seq"], 1)?;
            let items = seq.unwrap_or_default().items(rt)?;
            if items.is_empty() {
                return Ok(empty(rt, "No random item, sequence was empty."));
            }
            let at = random_below(rt, items.len())?;
            Ok(items.get(at).cloned().unwrap_or_default())
        },
        "reverse" => reverse,
        "join" => join,
        "sort" => sort,
        "unique" => unique,
        "min" => |rt, args| min_or_max(rt, args, "do_min", "<"),
        "max" => |rt, args| min_or_max(rt, args, "do_max", ">"),
        "sum" => sum,
        "groupby" => groupby,
        "dictsort" => dictsort,
        "items" => |_, args| {
            let [value] = args.bind("do_items", ["value"], 1)?;
            let value = value.unwrap_or_default();
            Ok(IterObject::generator(
                "do_items",
                Lazy::new(move |rt| {
                    if value.is_undefined() {
                        return Ok(Iter::values(Vec::new()));
                    }
                    let Some(entries) = access::mapping_entries(rt, &value)? else {
                        return Err(Error::type_error("Can only get item pairs from a mapping."));
                    };
                    let pairs = entries.into_iter().map(|(k, v)| Value::tuple(vec![k, v]));
                    Ok(Iter::values(pairs.collect()))
                }),
            ))
        },
        "batch" => |_, args| {
            let names = ["value", "linecount", "fill_with"];
            let [value, count, fill] = args.bind("do_batch", names, 2)?;
            let (value, count) = (value.unwrap_or_default(), count.unwrap_or_default());
            let fill = fill.filter(|fill| !fill.is_none());
            Ok(IterObject::generator(
                "do_batch",
                Lazy::new(move |rt| batch(rt, &value, &count, fill.clone())),
            ))
        },
        "slice" => |_, args| {
            let names = ["value", "slices", "fill_with"];
            let [value, count, fill] = args.bind("sync_do_slice", names, 2)?;
            let (value, count) = (value.unwrap_or_default(), count.unwrap_or_default());
            let fill = fill.filter(|fill| !fill.is_none());
            Ok(IterObject::generator(
                "sync_do_slice",
                Lazy::new(move |rt| slice(rt, &value, &count, fill.clone())),
            ))
        },
        "attr" => |rt, args| {
            let [obj, name] = args.bind_after(1, "do_attr", ["obj", "name"], 2)?;
            let (obj, name) = (obj.unwrap_or_default(), name.unwrap_or_default());
            let name: Str = name.str()?.into();
            if let Value::Undefined(undefined) = &obj {
                return Err(undefined.error());
            }
            let found = access::own_attribute(rt, &obj, &name)?;
            Ok(found.unwrap_or_else(|| rt.undefined_member(&obj, Value::Str(name))))
        },
        _ => return None,
    })
}

fn empty(rt: &Runtime<'_>, hint: &str) -> Value {
    rt.undefined_hint(hint)
}

pub(crate) fn length(_: &Runtime<'_>, args: Args) -> Result<Value> {
    let [value] = args.bind("len", ["obj"], 1)?;
    python_len(&value.unwrap_or_default()).map(Value::from)
}

/// A number below `n` from the host's randomness.
pub(crate) fn random_below(rt: &Runtime<'_>, n: usize) -> Result<usize> {
    let mut bytes = [0; 8];
    rt.environment().host().random(&mut bytes)?;
    let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
    Ok(usize::try_from(u64::from_le_bytes(bytes) % n).unwrap_or(0))
}

/// A generator whose values are computed when the first is asked for.
pub(super) struct Lazy<F> {
    start: Option<F>,
    iter: Option<Iter>,
}

impl<F: FnOnce(&Runtime<'_>) -> Result<Iter>> Lazy<F> {
    pub(super) fn new(start: F) -> Self {
        Self {
            start: Some(start),
            iter: None,
        }
    }
}

impl<F: FnOnce(&Runtime<'_>) -> Result<Iter>> Generator for Lazy<F> {
    fn next(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        if let Some(start) = self.start.take() {
            self.iter = Some(start(rt)?);
        }
        match &mut self.iter {
            Some(iter) => iter.next(rt),
            None => Ok(None),
        }
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        self.start = None;
        if let Some(iter) = &mut self.iter {
            iter.release(out);
        }
    }
}

/// What `reversed` gives: the type of the iterator and the values.
fn reversed(rt: &Runtime<'_>, value: &Value) -> Result<(&'static str, Vec<Value>)> {
    let kind = match value {
        Value::List(_) => "list_reverseiterator",
        Value::Dict(_) => "dict_reversekeyiterator",
        Value::Str(_) | Value::Tuple(_) | Value::Bytes(_) => "reversed",
        Value::Undefined(undefined) => {
            undefined.check_lenient()?;
            "reversed"
        }
        Value::Object(object) if object.is_sequence() => "range_iterator",
        Value::Object(object) if object.type_name().starts_with("dict_") => {
            "dict_reverseitemiterator"
        }
        other => {
            return Err(Error::type_error(format!(
                "'{}' object is not reversible",
                other.type_name()
            )));
        }
    };
    let mut items = value.items(rt)?;
    items.reverse();
    Ok((kind, items))
}

fn reverse(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [value] = args.bind("do_reverse", ["value"], 1)?;
    let value = value.unwrap_or_default();
    if let Value::Str(text) = &value {
        let reversed = text.chars().rev().collect();
        return Ok(super::text::like(text, reversed));
    }
    match reversed(rt, &value) {
        Ok((kind, items)) => Ok(access::iterator(kind, items)),
        Err(_) if matches!(value, Value::Undefined(_)) => match value {
            Value::Undefined(undefined) => Err(undefined.error()),
            _ => Ok(Value::None),
        },
        Err(_) => match value.items(rt) {
            Ok(mut items) => {
                items.reverse();
                Ok(Value::list(items))
            }
            Err(error) if error.message().ends_with("is not iterable") => {
                Err(argument_error("argument must be iterable"))
            }
            Err(error) => Err(error),
        },
    }
}

fn join(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [value, glue, attribute] =
        args.bind_after(1, "sync_do_join", ["value", "d", "attribute"], 1)?;
    let path = Path::new(attribute.as_ref());
    let glue = glue.unwrap_or_else(|| Value::text(""));
    let items = value.unwrap_or_default().items(rt)?;
    let mut texts = Vec::with_capacity(items.len());
    for item in &items {
        let item = path.get(rt, item, None)?;
        let safe = match &item {
            Value::Str(text) => text.is_markup(),
            Value::Object(object) => object.is_markup(),
            _ => false,
        };
        texts.push((item.str()?, safe));
    }
    let glue_safe = matches!(&glue, Value::Str(text) if text.is_markup());
    let glue = glue.str()?;
    let total: usize = texts.iter().map(|(text, _)| text.len() + glue.len()).sum();
    rt.charge_bytes(total)?;
    let escaping = rt.autoescape() && (glue_safe || texts.iter().any(|(_, safe)| *safe));
    if !escaping {
        let texts: Vec<String> = texts.into_iter().map(|(text, _)| text).collect();
        return Ok(Value::text(texts.join(&glue)));
    }
    let escape = |text: String, safe: bool| if safe { text } else { escape_text(&text) };
    let glue = escape(glue, glue_safe);
    let texts: Vec<String> = texts
        .into_iter()
        .map(|(text, safe)| escape(text, safe))
        .collect();
    Ok(Value::Str(Str::markup(texts.join(&glue))))
}

fn sort(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["value", "reverse", "case_sensitive", "attribute"];
    let [value, reverse, sensitive, attribute] = args.bind_after(1, "do_sort", names, 1)?;
    let (reverse, sensitive) = (flag(reverse)?, flag(sensitive)?);
    let items = value.unwrap_or_default().items(rt)?;
    let paths: Vec<Path> = match &attribute {
        Some(Value::Str(text)) => text
            .split(',')
            .map(|part| Path::new(Some(&Value::text(part))))
            .collect(),
        other => vec![Path::new(other.as_ref())],
    };
    let sorted = sort_by(rt, items, reverse, &mut |rt, item| {
        let mut keys = Vec::with_capacity(paths.len());
        for path in &paths {
            let key = path.get(rt, item, None)?;
            keys.push(if sensitive { key } else { fold_case(key) });
        }
        // Jinja compares lists of keys, so that is what its errors see too.
        Ok(Value::list(keys))
    })?;
    Ok(Value::list(sorted))
}

fn unique(_: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["value", "case_sensitive", "attribute"];
    let [value, sensitive, attribute] = args.bind_after(1, "do_unique", names, 1)?;
    let sensitive = flag(sensitive)?;
    let value = value.unwrap_or_default();
    let path = Path::new(attribute.as_ref());
    Ok(IterObject::generator(
        "sync_do_unique",
        Lazy::new(move |rt| {
            let mut keys = indexmap::IndexSet::new();
            let mut kept = Vec::new();
            for item in value.items(rt)? {
                let key = path.get(rt, &item, None)?;
                let key = if sensitive { key } else { fold_case(key) };
                if keys.insert(crate::jinja::Key::new(key)?) {
                    kept.push(item);
                }
            }
            Ok(Iter::values(kept))
        }),
    ))
}

fn min_or_max(rt: &Runtime<'_>, args: Args, function: &str, operator: &str) -> Result<Value> {
    let names = ["value", "case_sensitive", "attribute"];
    let [value, sensitive, attribute] = args.bind_after(1, function, names, 1)?;
    let sensitive = flag(sensitive)?;
    let path = Path::new(attribute.as_ref());
    let items = value.unwrap_or_default().items(rt)?;
    let best = extreme(rt, items, operator, &|rt, item| {
        let key = path.get(rt, item, None)?;
        Ok(if sensitive { key } else { fold_case(key) })
    })?;
    Ok(best.unwrap_or_else(|| empty(rt, "No aggregated item, sequence was empty.")))
}

fn sum(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["iterable", "attribute", "start"];
    let [value, attribute, start] = args.bind_after(1, "sync_do_sum", names, 1)?;
    let path = Path::new(attribute.as_ref());
    let mut total = start.unwrap_or(Value::Int(0));
    match &total {
        Value::Str(_) => {
            return Err(Error::type_error(
                "sum() can't sum strings [use ''.join(seq) instead]",
            ));
        }
        Value::Bytes(_) => {
            return Err(Error::type_error(
                "sum() can't sum bytes [use b''.join(seq) instead]",
            ));
        }
        _ => {}
    }
    for item in value.unwrap_or_default().items(rt)? {
        let item = path.get(rt, &item, None)?;
        total = ops::binary(rt, ast::Binary::Add, &total, &item)?;
    }
    Ok(total)
}

fn groupby(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["value", "attribute", "default", "case_sensitive"];
    let [value, attribute, default, sensitive] = args.bind_after(1, "sync_do_groupby", names, 2)?;
    let sensitive = flag(sensitive)?;
    let default = default.filter(|default| !default.is_none());
    let path = Path::new(attribute.as_ref());
    let items = value.unwrap_or_default().items(rt)?;
    let mut key = |rt: &Runtime<'_>, item: &Value| {
        let key = path.get(rt, item, default.as_ref())?;
        Ok(if sensitive { key } else { fold_case(key) })
    };
    let sorted = sort_by(rt, items, false, &mut key)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted {
        let own = key(rt, &item)?;
        match groups.last_mut() {
            Some((group, members)) if equal(group, &own)? => members.push(item),
            _ => groups.push((own, vec![item])),
        }
    }
    let mut tuples = Vec::with_capacity(groups.len());
    for (group, members) in groups {
        let group = match members.first() {
            Some(first) if !sensitive => path.get(rt, first, default.as_ref())?,
            _ => group,
        };
        let parts = vec![group, Value::list(members)];
        tuples.push(Value::Tuple(Tuple::named(parts, &["grouper", "list"])));
    }
    Ok(Value::list(tuples))
}

fn dictsort(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["value", "case_sensitive", "by", "reverse"];
    let [value, sensitive, by, reverse] = args.bind("do_dictsort", names, 1)?;
    let (sensitive, reverse) = (flag(sensitive)?, flag(reverse)?);
    let at = match by.as_ref().map_or(Some("key"), Value::as_str) {
        Some("key") => 0,
        Some("value") => 1,
        _ => {
            return Err(argument_error(
                "You can only sort by either \"key\" or \"value\"",
            ));
        }
    };
    let value = value.unwrap_or_default();
    let Some(entries) = access::mapping_entries(rt, &value)? else {
        return Err(match &value {
            Value::Undefined(undefined) => undefined.error(),
            other => access::no_attribute(other, "items"),
        });
    };
    let pairs = entries.into_iter().map(|(k, v)| Value::tuple(vec![k, v]));
    let sorted = sort_by(rt, pairs.collect(), reverse, &mut |_, pair| {
        let part = match pair {
            Value::Tuple(pair) => pair.get(at).cloned().unwrap_or_default(),
            other => other.clone(),
        };
        Ok(if sensitive { part } else { fold_case(part) })
    })?;
    Ok(Value::list(sorted))
}

fn batch(rt: &Runtime<'_>, value: &Value, count: &Value, fill: Option<Value>) -> Result<Iter> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut iter = value.iter(rt)?;
    while let Some(item) = iter.next(rt)? {
        if equal(&Value::from(row.len()), count)? {
            rows.push(Value::list(std::mem::take(&mut row)));
        }
        row.push(item);
    }
    if !row.is_empty() {
        if let Some(fill) = fill
            && compare("<", &Value::from(row.len()), count)?
        {
            let wanted = usize::try_from(integer(count)?).unwrap_or(0);
            rt.charge(wanted)?;
            row.resize(wanted, fill);
        }
        rows.push(Value::list(row));
    }
    Ok(Iter::values(rows))
}

fn slice(rt: &Runtime<'_>, value: &Value, count: &Value, fill: Option<Value>) -> Result<Iter> {
    let items = value.items(rt)?;
    let count = integer(count)?;
    if count == 0 {
        return Err(Error::python(
            crate::jinja::Exception::ZeroDivisionError,
            "integer division or modulo by zero",
        ));
    }
    let count = usize::try_from(count).unwrap_or(0);
    rt.charge(count)?;
    let (each, extra) = match count {
        0 => (0, 0),
        count => (items.len() / count, items.len() % count),
    };
    let mut slices = Vec::with_capacity(count.min(items.len() + 1));
    let mut offset = 0;
    for number in 0..count {
        let start = offset + number * each;
        if number < extra {
            offset += 1;
        }
        let end = offset + (number + 1) * each;
        let mut part = items.get(start..end).unwrap_or_default().to_vec();
        if let Some(fill) = &fill
            && number >= extra
        {
            part.push(fill.clone());
        }
        slices.push(Value::list(part));
    }
    Ok(Iter::values(slices))
}
