//! Attributes, items, calls, filters and tests.

use std::rc::Rc;

use super::interp::Namespace;
use super::value::{
    Args, BoundMethod, Dict, DictClass, Iter, Key, Object, Str, Tuple, Undefined, Value, repr_str,
};
use super::{Error, Exception, Kind, Result, Runtime, UndefinedKind, builtins, methods};

/// `value.name` as a template means it: the attribute, else the item.
///
/// # Errors
/// What looking it up raises; a missing attribute is an undefined value.
pub(crate) fn attribute(rt: &Runtime<'_>, value: &Value, name: &str) -> Result<Value> {
    if let Value::Undefined(undefined) = value {
        return match undefined.kind() {
            UndefinedKind::Chainable if !name.starts_with("__") => Ok(value.clone()),
            _ => Err(undefined.error()),
        };
    }
    if let Some(found) = own_attribute(rt, value, name)? {
        return Ok(found);
    }
    match lookup(rt, value, &Value::text(name))? {
        Some(found) => Ok(found),
        None => Ok(rt.undefined_member(value, Value::text(name))),
    }
}

/// What Python's `getattr` finds, through the sandbox.
pub(crate) fn own_attribute(rt: &Runtime<'_>, value: &Value, name: &str) -> Result<Option<Value>> {
    if name.starts_with('_') && is_special(value, name) {
        return Ok(Some(forbidden(rt, value, name)));
    }
    if let Some(method) = methods::find(value, name) {
        let bound = BoundMethod::new(value.clone(), name, method);
        return Ok(Some(Value::object(bound)));
    }
    let found = match value {
        Value::Object(object) => match object.attribute(rt, name)? {
            None if object.is_mapping() => mapping_method(object, name),
            found => found,
        },
        other => methods::property(other, name),
    };
    match found {
        Some(_) if name.starts_with('_') && rt.environment().is_salt() => {
            Ok(Some(forbidden(rt, value, name)))
        }
        found => Ok(found),
    }
}

fn forbidden(rt: &Runtime<'_>, value: &Value, name: &str) -> Value {
    let message = format!(
        "access to attribute {} of {} object is unsafe.",
        repr_str(name),
        repr_str(value.type_name())
    );
    let undefined = Undefined::forbidden(rt.undefined_kind(), message);
    Value::Undefined(Rc::new(undefined))
}

/// Python's special attributes, which the sandbox keeps from templates.
fn is_special(value: &Value, name: &str) -> bool {
    const ALL: [&str; 24] = [
        "__class__",
        "__delattr__",
        "__dir__",
        "__doc__",
        "__eq__",
        "__format__",
        "__ge__",
        "__getattribute__",
        "__getstate__",
        "__gt__",
        "__hash__",
        "__init__",
        "__init_subclass__",
        "__le__",
        "__lt__",
        "__ne__",
        "__new__",
        "__reduce__",
        "__reduce_ex__",
        "__repr__",
        "__setattr__",
        "__sizeof__",
        "__str__",
        "__subclasshook__",
    ];
    const CONTAINERS: [&str; 4] = ["__contains__", "__getitem__", "__iter__", "__len__"];
    const FUNCTIONS: [&str; 8] = [
        "__call__",
        "__closure__",
        "__code__",
        "__defaults__",
        "__dict__",
        "__globals__",
        "__module__",
        "__name__",
    ];
    ALL.contains(&name)
        || match value {
            Value::Str(_) | Value::Bytes(_) | Value::List(_) | Value::Tuple(_) => {
                CONTAINERS.contains(&name) || matches!(name, "__add__" | "__mul__" | "__rmul__")
            }
            Value::Dict(_) | Value::Set(_) => CONTAINERS.contains(&name),
            Value::Int(_) | Value::Big(_) | Value::Bool(_) | Value::Float(_) => matches!(
                name,
                "__abs__"
                    | "__add__"
                    | "__bool__"
                    | "__divmod__"
                    | "__float__"
                    | "__floordiv__"
                    | "__int__"
                    | "__mod__"
                    | "__mul__"
                    | "__neg__"
                    | "__pos__"
                    | "__pow__"
                    | "__round__"
                    | "__sub__"
                    | "__truediv__"
            ),
            Value::Object(object) if object.is_callable() => FUNCTIONS.contains(&name),
            Value::Object(_) => matches!(name, "__dict__" | "__module__" | "__weakref__"),
            _ => false,
        }
}

/// `value[key]` as a template means it: the item, else the attribute.
///
/// # Errors
/// What looking it up raises; a missing item is an undefined value.
pub(crate) fn item(rt: &Runtime<'_>, value: &Value, key: &Value) -> Result<Value> {
    if let Value::Undefined(undefined) = value {
        return match undefined.kind() {
            UndefinedKind::Chainable => Ok(value.clone()),
            _ => Err(undefined.error()),
        };
    }
    if let Some(found) = lookup(rt, value, key)? {
        return Ok(found);
    }
    if let Value::Str(name) = key
        && let Some(found) = own_attribute(rt, value, name)?
    {
        return Ok(found);
    }
    Ok(rt.undefined_member(value, key.clone()))
}

/// Python's `value[key]`, `None` where it raises a lookup or type error.
pub(crate) fn lookup(rt: &Runtime<'_>, value: &Value, key: &Value) -> Result<Option<Value>> {
    Ok(match value {
        Value::Dict(dict) => match key {
            Value::Str(name) => dict.get(name),
            Value::Undefined(undefined) => {
                undefined.check_lenient()?;
                None
            }
            key => match Key::new(key.clone()) {
                Ok(key) => dict.get_key(&key),
                Err(_) => None,
            },
        },
        Value::List(list) => position(key, list.len()).and_then(|at| list.get(at)),
        Value::Tuple(items) => position(key, items.len()).and_then(|at| items.get(at).cloned()),
        Value::Str(text) => match position(key, text.char_len()) {
            Some(at) if text.is_ascii() => text.get(at..=at).map(|c| same_kind(text, c.into())),
            Some(at) => {
                rt.charge(at / 32)?;
                text.chars().nth(at).map(|c| same_kind(text, c.into()))
            }
            None => None,
        },
        Value::Bytes(bytes) => position(key, bytes.len())
            .and_then(|at| bytes.get(at))
            .map(|byte| Value::Int(i64::from(*byte))),
        Value::Object(object) => object.item(rt, key)?,
        _ => None,
    })
}

/// A piece of a string is `Markup` when the string is.
fn same_kind(whole: &Str, piece: Str) -> Value {
    Value::Str(if whole.is_markup() {
        Str::markup(&*piece)
    } else {
        piece
    })
}

/// The place an index means in a sequence, from the end when negative.
fn position(key: &Value, len: usize) -> Option<usize> {
    let index = key.as_index()?;
    let index = if index < 0 {
        index.checked_add(i64::try_from(len).ok()?)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|at| *at < len)
}

/// The positions a slice takes, in order.
///
/// # Errors
/// The parts are not integers, or the step is zero.
pub(crate) fn slice_positions(
    len: usize,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Vec<usize>> {
    let part = |value: &Value| -> Result<Option<i64>> {
        match value {
            Value::None => Ok(None),
            Value::Big(n) => Ok(Some(if n.sign() == num_bigint::Sign::Minus {
                i64::MIN
            } else {
                i64::MAX
            })),
            other => other.as_index().map(Some).ok_or_else(|| {
                Error::type_error(
                    "slice indices must be integers or None or have an __index__ method",
                )
            }),
        }
    };
    let (start, stop, step) = (part(start)?, part(stop)?, part(step)?.unwrap_or(1));
    if step == 0 {
        return Err(Error::value_error("slice step cannot be zero"));
    }
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |index: Option<i64>, default: i64| match index {
        None => default,
        Some(index) if index < 0 => index.saturating_add(len).clamp(low, high),
        Some(index) => index.clamp(low, high),
    };
    let (mut at, end) = if step > 0 {
        (bound(start, low), bound(stop, high))
    } else {
        (bound(start, high), bound(stop, low))
    };
    let mut positions = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        positions.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    Ok(positions)
}

/// `value[start:stop:step]`.
///
/// # Errors
/// The value cannot be sliced, or the parts are no integers.
pub(crate) fn slice(
    rt: &Runtime<'_>,
    value: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value> {
    let pick = |items: &[Value]| -> Result<Vec<Value>> {
        let positions = slice_positions(items.len(), start, stop, step)?;
        rt.charge(positions.len())?;
        Ok(positions
            .into_iter()
            .filter_map(|at| items.get(at).cloned())
            .collect())
    };
    Ok(match value {
        Value::List(list) => Value::list(pick(&list.to_vec())?),
        Value::Tuple(items) => Value::Tuple(Tuple::new(pick(items)?)),
        Value::Str(text) => {
            rt.charge_bytes(text.len())?;
            let chars: Vec<char> = text.chars().collect();
            let positions = slice_positions(chars.len(), start, stop, step)?;
            let picked: String = positions
                .into_iter()
                .filter_map(|at| chars.get(at))
                .collect();
            same_kind(text, picked.into())
        }
        Value::Bytes(bytes) => {
            let positions = slice_positions(bytes.len(), start, stop, step)?;
            let picked = positions
                .into_iter()
                .filter_map(|at| bytes.get(at).copied());
            Value::Bytes(picked.collect())
        }
        Value::Undefined(undefined) => match undefined.kind() {
            UndefinedKind::Chainable => value.clone(),
            _ => return Err(undefined.error()),
        },
        Value::Dict(_) => return Err(Error::type_error("unhashable type: 'slice'")),
        Value::Object(_) => match value.downcast::<builtins::Range>() {
            Some(range) => range.slice(start, stop, step)?,
            None => return Err(not_subscriptable(value)),
        },
        other => return Err(not_subscriptable(other)),
    })
}

fn not_subscriptable(value: &Value) -> Error {
    let name = value.type_name();
    Error::type_error(format!("'{name}' object is not subscriptable"))
}

/// Calls a value.
///
/// # Errors
/// It is not callable, or what it raises.
pub(crate) fn call(rt: &Runtime<'_>, callee: &Value, args: Args) -> Result<Value> {
    match callee {
        Value::Object(object) => match object.call(rt, args) {
            Err(error) if error.is(Exception::StopIteration) => Ok(rt.undefined_hint(
                "value was undefined because a callable raised a StopIteration exception",
            )),
            result => result,
        },
        Value::Undefined(undefined) => Err(undefined.error()),
        other => Err(Error::type_error(format!(
            "'{}' object is not callable",
            other.type_name()
        ))),
    }
}

/// Applies a filter; its first argument is the value.
///
/// # Errors
/// There is no such filter, or what it raises.
pub(crate) fn filter(rt: &Runtime<'_>, name: &str, args: Args) -> Result<Value> {
    let environment = rt.environment();
    if let Some(filter) = environment.own_filter(name) {
        return filter(rt, args);
    }
    match environment.built_in_filter(name) {
        Some(filter) => filter(rt, args),
        None => {
            let message = format!("No filter named {} found.", repr_str(name));
            Err(Error::new(Kind::Runtime, message))
        }
    }
}

/// Applies a test; its first argument is the value.
///
/// # Errors
/// There is no such test, or what it raises.
pub(crate) fn test(rt: &Runtime<'_>, name: &str, args: Args) -> Result<Value> {
    let environment = rt.environment();
    if let Some(test) = environment.own_test(name) {
        return test(rt, args);
    }
    match environment.built_in_test(name) {
        Some(test) => test(rt, args),
        None => {
            let message = format!("No test named {} found.", repr_str(name));
            Err(Error::new(Kind::Runtime, message))
        }
    }
}

/// The entries of a mapping; `None` when the value is not one.
///
/// # Errors
/// What the object raises.
pub(crate) fn mapping_entries(
    rt: &Runtime<'_>,
    value: &Value,
) -> Result<Option<Vec<(Value, Value)>>> {
    match value {
        Value::Dict(dict) => Ok(Some(dict.entries())),
        Value::Object(object) if object.is_mapping() => {
            let mut entries = Vec::new();
            for key in value.items(rt)? {
                let item = object.item(rt, &key)?.unwrap_or_default();
                entries.push((key, item));
            }
            Ok(Some(entries))
        }
        _ => Ok(None),
    }
}

/// Python's `AttributeError` for an attribute that a value lacks.
pub(crate) fn no_attribute(value: &Value, name: &str) -> Error {
    let message = if value.downcast::<Namespace>().is_some() {
        // Jinja's namespace says the name alone.
        name.to_owned()
    } else {
        format!("'{}' object has no attribute '{name}'", value.type_name())
    };
    Error::python(Exception::AttributeError, message)
}

/// The dict methods of an object that is a mapping.
fn mapping_method(object: &Rc<dyn Object>, name: &str) -> Option<Value> {
    let object = Rc::clone(object);
    let this = Value::Object(Rc::clone(&object));
    let function = match name {
        "get" => Value::function("get", move |rt, args| {
            let [key, default] = args.bind("get", ["key", "default"], 1)?;
            let found = object.item(rt, &key.unwrap_or_default())?;
            Ok(found.or(default).unwrap_or_default())
        }),
        "keys" => Value::function("keys", move |rt, _| Ok(Value::list(this.items(rt)?))),
        "values" => Value::function("values", move |rt, _| {
            let entries = mapping_entries(rt, &this)?.unwrap_or_default();
            Ok(Value::list(entries.into_iter().map(|(_, v)| v).collect()))
        }),
        "items" => Value::function("items", move |rt, _| {
            let entries = mapping_entries(rt, &this)?.unwrap_or_default();
            let pairs = entries.into_iter().map(|(k, v)| Value::tuple(vec![k, v]));
            Ok(Value::list(pairs.collect()))
        }),
        "copy" => Value::function("copy", move |rt, _| {
            let entries = mapping_entries(rt, &this)?.unwrap_or_default();
            dict_of(entries).map(Value::Dict)
        }),
        _ => return None,
    };
    Some(function)
}

/// A dict of these entries.
///
/// # Errors
/// A key is not hashable.
pub(crate) fn dict_of(entries: Vec<(Value, Value)>) -> Result<Dict> {
    let dict = Dict::of(DictClass::Dict, indexmap::IndexMap::new());
    for (key, value) in entries {
        dict.insert(Key::new(key)?, value);
    }
    Ok(dict)
}

/// A list as an iterator that is walked once.
pub(crate) fn iterator(type_name: &'static str, values: Vec<Value>) -> Value {
    super::value::IterObject::plain(type_name, Iter::values(values))
}
