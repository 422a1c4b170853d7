//! Jinja's built-in filters.

use super::value::{Args, Value, compare, equal};
use super::{Error, Exception, Kind, Result, Runtime, access};

mod lazy;
mod number;
mod pprint;
mod sequence;
mod text;
mod web;
mod wrap;

pub(crate) use number::{to_float, to_int};
pub(crate) use pprint::pformat;
pub(crate) use sequence::random_below;
pub(crate) use web::{escape_text, html_safe};

/// A filter or test: its first argument is the value.
pub(crate) type Builtin = fn(&Runtime<'_>, Args) -> Result<Value>;

/// Jinja's filter of that name.
pub(crate) fn find(name: &str) -> Option<Builtin> {
    text::find(name)
        .or_else(|| sequence::find(name))
        .or_else(|| lazy::find(name))
        .or_else(|| number::find(name))
        .or_else(|| web::find(name))
        .or_else(|| wrap::find(name))
}

/// `FilterArgumentError`.
fn argument_error(message: impl Into<String>) -> Error {
    Error::new(Kind::FilterArgument, message)
}

/// Whether an optional argument is true.
fn flag(value: Option<Value>) -> Result<bool> {
    value.map_or(Ok(false), |value| value.is_true())
}

/// An integer argument.
pub(crate) fn integer(value: &Value) -> Result<i64> {
    match value {
        Value::Undefined(undefined) => Err(undefined.error()),
        other => other.as_index().ok_or_else(|| {
            Error::type_error(format!(
                "'{}' object cannot be interpreted as an integer",
                other.type_name()
            ))
        }),
    }
}

/// What a string is compared as when case does not matter.
pub(crate) fn fold_case(value: Value) -> Value {
    match &value {
        Value::Str(text) => Value::text(text.to_lowercase()),
        _ => value,
    }
}

/// The parts of an attribute like `a.0.b`.
pub(crate) struct Path(Vec<Value>);

impl Path {
    pub(crate) fn new(attribute: Option<&Value>) -> Self {
        Self(match attribute {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Str(text)) => text.split('.').map(Self::part).collect(),
            Some(other) => vec![other.clone()],
        })
    }

    fn part(text: &str) -> Value {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(n) if digits => Value::Int(n),
            _ => Value::text(text),
        }
    }

    pub(crate) fn get(
        &self,
        rt: &Runtime<'_>,
        item: &Value,
        default: Option<&Value>,
    ) -> Result<Value> {
        let mut item = item.clone();
        for part in &self.0 {
            item = access::item(rt, &item, part)?;
            if let Some(default) = default
                && item.is_undefined()
            {
                item = default.clone();
            }
        }
        Ok(item)
    }
}

/// Sorts by keys as Python's `sorted` does: stable, also in reverse.
pub(crate) fn sort_by(
    rt: &Runtime<'_>,
    mut items: Vec<Value>,
    reverse: bool,
    key: &mut dyn FnMut(&Runtime<'_>, &Value) -> Result<Value>,
) -> Result<Vec<Value>> {
    if reverse {
        items.reverse();
    }
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = key(rt, &item)?;
        keyed.push((key, item));
    }
    let sorted = merge_sort(rt, keyed)?;
    let mut items: Vec<Value> = sorted.into_iter().map(|(_, item)| item).collect();
    if reverse {
        items.reverse();
    }
    Ok(items)
}

type Keyed = (Value, Value);

/// Sorts as CPython does, so that an error names the same pair: a run that is
/// in order, then binary insertion; long lists by merging such pieces.
///
/// The standard library's sort may panic when the order is inconsistent, which
/// Python's orders can be, and cannot stop at an error.
fn merge_sort(rt: &Runtime<'_>, mut items: Vec<Keyed>) -> Result<Vec<Keyed>> {
    if items.len() < 64 {
        return insertion_sort(rt, items);
    }
    rt.charge(items.len())?;
    let right = items.split_off(items.len() / 2);
    let left = merge_sort(rt, items)?;
    let right = merge_sort(rt, right)?;
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let next = if compare("<", b, a)? {
            right.next()
        } else {
            left.next()
        };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

fn insertion_sort(rt: &Runtime<'_>, items: Vec<Keyed>) -> Result<Vec<Keyed>> {
    rt.charge(items.len() * 4)?;
    let mut source = items.into_iter().peekable();
    let mut sorted: Vec<Keyed> = Vec::with_capacity(source.len());
    sorted.extend(source.next());
    // The run at the start, which may be descending.
    let mut descending = None;
    while let (Some((last, _)), Some((next, _))) = (sorted.last(), source.peek()) {
        let less = compare("<", next, last)?;
        if *descending.get_or_insert(less) != less {
            break;
        }
        sorted.extend(source.next());
    }
    if descending == Some(true) {
        sorted.reverse();
    }
    for item in source {
        let (mut low, mut high) = (0, sorted.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match sorted.get(middle) {
                Some((key, _)) if compare("<", &item.0, key)? => high = middle,
                _ => low = middle + 1,
            }
        }
        sorted.insert(low, item);
    }
    Ok(sorted)
}

/// The smallest or largest value by key; `None` when there is none.
fn extreme(
    rt: &Runtime<'_>,
    items: Vec<Value>,
    operator: &str,
    key: &dyn Fn(&Runtime<'_>, &Value) -> Result<Value>,
) -> Result<Option<Value>> {
    let mut best: Option<(Value, Value)> = None;
    for item in items {
        let own = key(rt, &item)?;
        let better = match &best {
            None => true,
            Some((best, _)) => compare(operator, &own, best)?,
        };
        if better {
            best = Some((own, item));
        }
    }
    Ok(best.map(|(_, item)| item))
}

/// Applies a filter by name, as `map` does.
pub(crate) fn call_named(
    rt: &Runtime<'_>,
    filter: bool,
    name: &Value,
    args: Args,
) -> Result<Value> {
    let kind = if filter { "filter" } else { "test" };
    let known = match name {
        Value::Str(name) if rt.environment().knows(filter, name) => name,
        Value::Undefined(undefined) => {
            return Err(Error::new(
                Kind::Runtime,
                format!(
                    "No {kind} named Undefined. ({}; did you forget to quote the callable name?)",
                    undefined.message()
                ),
            ));
        }
        other => {
            let message = format!("No {kind} named {}.", other.repr()?);
            return Err(Error::new(Kind::Runtime, message));
        }
    };
    if filter {
        access::filter(rt, known, args)
    } else {
        access::test(rt, known, args)
    }
}

/// `len(value)`.
pub(crate) fn python_len(value: &Value) -> Result<usize> {
    let len = match value {
        Value::Str(text) => Some(text.char_len()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::List(list) => Some(list.len()),
        Value::Tuple(items) => Some(items.len()),
        Value::Dict(dict) => Some(dict.len()),
        Value::Set(set) => Some(set.len()),
        Value::Undefined(undefined) => {
            undefined.check_lenient()?;
            Some(0)
        }
        Value::Object(object) => object.len(),
        _ => None,
    };
    len.ok_or_else(|| {
        Error::type_error(format!(
            "object of type '{}' has no len()",
            value.type_name()
        ))
    })
}

/// Whether the value is among those seen, comparing as a list does.
pub(crate) fn seen(values: &[Value], value: &Value) -> Result<bool> {
    for other in values {
        if equal(other, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The error that walking past the end of something gives.
pub(crate) fn assertion(message: impl Into<String>) -> Error {
    Error::python(Exception::AssertionError, message)
}
