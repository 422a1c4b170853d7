//! The methods of Python's built-in types that templates may call.

use super::value::{Method, Value};

mod bytes;
mod dict;
mod list;
mod number;
mod set;
mod text;
mod text_kinds;
mod text_pieces;

pub(crate) use dict::DictView;
pub(crate) use set::keys_of;
pub(crate) use text_kinds::{decimal_value, is_lower, is_upper};
pub(crate) use text_pieces::lines;

/// The method of that name of a value's type.
pub(crate) fn find(value: &Value, name: &str) -> Option<Method> {
    match value {
        Value::Str(_) => text::find(name)
            .or_else(|| text_pieces::find(name))
            .or_else(|| text_kinds::find(name)),
        Value::Dict(dict) => dict::find(name, dict.class()),
        Value::List(_) => list::find(name),
        Value::Tuple(_) => list::find_tuple(name),
        Value::Set(set) => set::find(name, set.is_frozen()),
        Value::Bytes(_) => bytes::find(name),
        Value::Int(_) | Value::Big(_) | Value::Bool(_) => number::find_int(name),
        Value::Float(_) => number::find_float(name),
        Value::None | Value::Undefined(_) | Value::Object(_) => None,
    }
}

/// The attribute of that name of a value's type that is not a method.
pub(crate) fn property(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Int(_) | Value::Big(_) | Value::Bool(_) | Value::Float(_) => {
            number::property(value, name)
        }
        Value::Tuple(tuple) => tuple.by_name(name),
        _ => None,
    }
}
