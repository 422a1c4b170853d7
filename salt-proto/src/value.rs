//! The one dynamic value: what Python's dicts, lists and scalars become.

use std::hash::{Hash, Hasher};

mod datetime;
mod display;
mod map;
mod serde;

pub use datetime::DateTime;
pub use map::{Entries, Map};

/// A value as it travels in a message, stands in SLS data or is returned by a job.
///
/// Text and bytes are two variants, but a decoder of the network dialect chooses
/// between them by content (valid UTF-8 is text), so code that expects bytes
/// uses [`Value::as_bytes`], which accepts both.
///
/// Equality follows Python: `1 == 1.0 == True`, text never equals bytes, maps
/// are equal whatever their order. Only NaN, unlike Python's, equals itself, so
/// that equality is reflexive and a map cannot be filled with unfindable keys.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Python's `None`.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 signed bits.
    Int(i64),
    /// An integer above `i64::MAX`. Smaller ones are always [`Value::Int`].
    UInt(u64),
    /// A binary64 float.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes that are not text.
    Bytes(Vec<u8>),
    /// A list (tuples and sets arrive as lists too).
    List(Vec<Self>),
    /// A mapping in insertion order.
    Map(Map),
    /// A naive date and time (MessagePack extension 78).
    DateTime(DateTime),
}

impl Value {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of text or of a byte string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The integer, if this is one that fits (booleans are not integers here).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The elements, if this is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping for changing, if this is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value under a text key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Python's truth: `None`, `False`, zero and everything empty are false.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::UInt(n) => *n != 0,
            Self::Float(x) => *x != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::DateTime(_) => true,
        }
    }

    /// Python's name of the type: `NoneType`, `bool`, `int`, `str`, `dict`, …
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::UInt(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "dict",
            Self::DateTime(_) => "datetime",
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Bool(b) => Some(Number::Int(i128::from(*b))),
            Self::Int(n) => Some(Number::Int(i128::from(*n))),
            Self::UInt(n) => Some(Number::Int(i128::from(*n))),
            Self::Float(x) => Some(Number::of_float(*x)),
            _ => None,
        }
    }
}

/// Numbers compared by value, so that `1`, `1.0` and `True` are one map key.
enum Number {
    Int(i128),
    Float(f64),
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            _ => false,
        }
    }
}

impl Number {
    fn of_float(x: f64) -> Self {
        // Every integral binary64 in the range of the integer variants is exact here.
        if x.fract() == 0.0 && x.abs() < 1e20 {
            #[expect(clippy::cast_possible_truncation, reason = "integral and in range")]
            let n = x as i128;
            Self::Int(n)
        } else {
            Self::Float(x)
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::DateTime(a), Self::DateTime(b)) => a == b,
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // Must agree with `str`, by which maps look up text.
            Self::Str(text) => text.as_str().hash(state),
            Self::Null => 0xfe_u8.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::List(items) => items.hash(state),
            Self::Map(map) => map.len().hash(state),
            Self::DateTime(at) => at.hash(state),
            Self::Bool(_) | Self::Int(_) | Self::UInt(_) | Self::Float(_) => match self.number() {
                Some(Number::Int(n)) => n.hash(state),
                Some(Number::Float(x)) if x.is_nan() => f64::NAN.to_bits().hash(state),
                Some(Number::Float(x)) => x.to_bits().hash(state),
                None => {}
            },
        }
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Str(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    /// Bytes; they arrive at the other end as text when they are valid UTF-8.
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<DateTime> for Value {
    fn from(at: DateTime) -> Self {
        Self::DateTime(at)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        i64::try_from(n).map_or(Self::UInt(n), Self::Int)
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::from(n as u64)
    }
}

macro_rules! from_small_int {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Value {
            fn from(n: $ty) -> Self {
                Self::Int(i64::from(n))
            }
        }
    )*};
}
from_small_int!(i8, i16, i32, i64, u16, u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_equals_bytes() {
        assert_ne!(Value::from("a"), Value::from(b"a".as_slice()));
    }

    #[test]
    fn numbers_are_equal_by_value_over_all_types() {
        assert_eq!(Value::Bool(true), Value::Float(1.0));
        assert_eq!(
            Value::UInt(1 << 63),
            Value::Float(9_223_372_036_854_775_808.0)
        );
        assert_eq!(Value::Float(f64::NAN), Value::Float(-f64::NAN));
        assert_ne!(Value::Int(1), Value::Float(1.5));
        assert_ne!(Value::Int(1), Value::from("1"));
    }

    #[test]
    fn a_value_is_as_small_as_its_largest_part() {
        assert!(size_of::<Value>() <= 40, "{}", size_of::<Value>());
    }
}
