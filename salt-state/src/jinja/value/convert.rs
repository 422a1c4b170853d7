//! To and from the workspace's plain value.

use std::rc::Rc;

use num_bigint::BigInt;
use salt_proto::Value as Plain;

use super::{Dict, DictClass, Key, MAX_NESTING, Value};
use crate::jinja::{DateTime, Error, Exception, Result, Runtime};

impl Value {
    /// A fresh copy of a plain value: its containers are shared with nothing.
    pub fn from_plain(plain: &Plain) -> Self {
        match plain {
            Plain::Null => Self::None,
            Plain::Bool(b) => Self::Bool(*b),
            Plain::Int(n) => Self::Int(*n),
            Plain::UInt(n) => Self::int(BigInt::from(*n)),
            Plain::Float(x) => Self::Float(*x),
            Plain::Str(text) => Self::text(text),
            Plain::Bytes(bytes) => Self::Bytes(Rc::from(bytes.as_slice())),
            Plain::List(items) => Self::list(items.iter().map(Self::from_plain).collect()),
            Plain::Map(map) => {
                let dict = Dict::of(
                    DictClass::Dict,
                    indexmap::IndexMap::with_capacity(map.len()),
                );
                for (key, value) in map {
                    // A plain map may have a list as key, which Python has not.
                    let key = match Key::new(Self::from_plain(key)) {
                        Ok(key) => key,
                        Err(_) => Key::text(format!("{key:?}")),
                    };
                    dict.insert(key, Self::from_plain(value));
                }
                Self::Dict(dict)
            }
            Plain::DateTime(at) => Self::object(DateTime::from_plain(*at)),
        }
    }

    /// The plain value, as Salt hands it on: tuples, sets and iterators become lists.
    ///
    /// # Errors
    /// The value has no plain form: undefined, a function, an integer beyond 64
    /// bits, nesting too deep, a container inside itself.
    pub fn to_plain(&self, runtime: &Runtime<'_>) -> Result<Plain> {
        to_plain(self, runtime, 0)
    }
}

fn to_plain(value: &Value, runtime: &Runtime<'_>, depth: u32) -> Result<Plain> {
    if depth > MAX_NESTING {
        return Err(Error::python(
            Exception::RecursionError,
            "maximum recursion depth exceeded",
        ));
    }
    runtime.charge(1)?;
    let list = |items: Vec<Value>| -> Result<Plain> {
        let items = items.iter().map(|item| to_plain(item, runtime, depth + 1));
        items.collect::<Result<_>>().map(Plain::List)
    };
    Ok(match value {
        Value::None => Plain::Null,
        Value::Bool(b) => Plain::Bool(*b),
        Value::Int(n) => Plain::Int(*n),
        Value::Big(n) => match u64::try_from(&**n) {
            Ok(n) => Plain::from(n),
            Err(_) => {
                let text = "int too big to convert";
                return Err(Error::python(Exception::OverflowError, text));
            }
        },
        Value::Float(x) => Plain::Float(*x),
        Value::Str(text) => Plain::Str((**text).to_owned()),
        Value::Bytes(bytes) => Plain::Bytes(bytes.to_vec()),
        Value::List(items) => return list(items.to_vec()),
        Value::Tuple(items) => return list(items.to_vec()),
        Value::Set(set) => return list(set.members()),
        Value::Dict(dict) => return entries(dict.entries(), runtime, depth),
        Value::Undefined(undefined) => return Err(undefined.error()),
        Value::Object(object) => {
            if let Some(at) = value.downcast::<DateTime>() {
                return Ok(Plain::DateTime(at.to_plain()));
            }
            if object.is_mapping() {
                let mut pairs = Vec::new();
                for key in value.items(runtime)? {
                    let item = object.item(runtime, &key)?.unwrap_or_default();
                    pairs.push((key, item));
                }
                return entries(pairs, runtime, depth);
            }
            if object.is_iterator() || object.is_sequence() {
                return list(value.items(runtime)?);
            }
            let name = value.type_name();
            return Err(Error::type_error(format!(
                "Object of type {name} has no plain form"
            )));
        }
    })
}

fn entries(pairs: Vec<(Value, Value)>, runtime: &Runtime<'_>, depth: u32) -> Result<Plain> {
    let mut map = salt_proto::Map::with_capacity(pairs.len());
    for (key, value) in pairs {
        let key = to_plain(&key, runtime, depth + 1)?;
        map.insert(key, to_plain(&value, runtime, depth + 1)?);
    }
    Ok(Plain::Map(map))
}
