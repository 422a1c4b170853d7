//! Values that can be keys of a dict or members of a set.

use std::hash::{Hash, Hasher};

use indexmap::Equivalent;

use super::{MAX_NESTING, Value, equal};
use crate::jinja::{Error, Exception, Kind, Result};

/// A hashable value. `1`, `1.0` and `True` are the same key.
#[derive(Clone, Debug)]
pub struct Key(Value);

impl Key {
    /// Makes a key of a value.
    ///
    /// # Errors
    /// `unhashable type: 'list'` and the like.
    pub fn new(value: Value) -> Result<Self> {
        check(&value, 0, &mut 0)?;
        Ok(Self(value))
    }

    /// A text key.
    pub fn text(text: impl Into<super::Str>) -> Self {
        Self(Value::text(text))
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The value.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// The text, if the key is a string.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_str()
    }
}

/// The most values in a key; each use of it looks at all of them.
const MOST: u32 = 100_000;

fn check(value: &Value, depth: u32, seen: &mut u32) -> Result<()> {
    *seen += 1;
    if *seen > MOST {
        return Err(Error::new(
            Kind::Limit,
            "a key of the template is too large",
        ));
    }
    match value {
        Value::List(_) | Value::Dict(_) => Err(unhashable(value.type_name())),
        Value::Set(set) if !set.is_frozen() => Err(unhashable("set")),
        Value::Tuple(items) => {
            if depth > MAX_NESTING {
                return Err(Error::python(
                    Exception::RecursionError,
                    "maximum recursion depth exceeded",
                ));
            }
            items
                .iter()
                .try_for_each(|item| check(item, depth + 1, seen))
        }
        Value::Undefined(undefined) => undefined.check_hash(),
        Value::Object(object) if !object.is_hashable() => Err(unhashable(object.type_name())),
        _ => Ok(()),
    }
}

fn unhashable(kind: &str) -> Error {
    Error::type_error(format!("unhashable type: '{kind}'"))
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

fn hash<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        // Must agree with `str`, see the `Equivalent` implementation.
        Value::Str(text) => (**text).hash(state),
        Value::None => 0xfe_u8.hash(state),
        Value::Bool(b) => i64::from(*b).hash(state),
        Value::Int(n) => n.hash(state),
        Value::Big(n) => n.hash(state),
        Value::Float(x) => match float_as_int(*x) {
            Some(Value::Int(n)) => n.hash(state),
            Some(Value::Big(n)) => n.hash(state),
            _ => x.to_bits().hash(state),
        },
        Value::Bytes(bytes) => bytes.hash(state),
        Value::Tuple(items) => {
            for item in items.iter() {
                hash(item, state);
            }
        }
        // Members in any order give the same hash; equality does the rest.
        Value::Set(set) => set.len().hash(state),
        Value::Undefined(_) => 0xfd_u8.hash(state),
        Value::Object(object) => object.hash().hash(state),
        Value::List(_) | Value::Dict(_) => {}
    }
}

/// The integer a float is equal to, if any.
pub(crate) fn float_as_int(x: f64) -> Option<Value> {
    use num_bigint::BigInt;
    if x.fract() != 0.0 || !x.is_finite() {
        return None;
    }
    if x.abs() < 9e18 {
        #[expect(clippy::cast_possible_truncation, reason = "integral and in range")]
        return Some(Value::Int(x as i64));
    }
    // A float this large is its mantissa shifted left.
    let bits = x.to_bits();
    let exponent = u32::try_from((bits >> 52) & 0x7ff)
        .ok()?
        .checked_sub(1075)?;
    let mantissa = BigInt::from((bits & ((1 << 52) - 1)) | (1 << 52)) << exponent;
    Some(Value::int(if x < 0.0 { -mantissa } else { mantissa }))
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        super::identical(&self.0, &other.0) || equal(&self.0, &other.0).unwrap_or(false)
    }
}

impl Eq for Key {}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}
