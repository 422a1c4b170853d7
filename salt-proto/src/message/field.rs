//! How a field of a view is read from a value and written back.

use crate::job::Functions;
use crate::value::{Map, Value};

/// A field: absent or a value on the wire, a Rust type here.
pub(crate) trait Field: Sized {
    /// The field, or `None` if it is necessary and absent, or of the wrong type.
    fn read(value: Option<Value>) -> Option<Self>;

    /// The value to write; `None` leaves the key out.
    fn write(&self) -> Option<Value>;
}

impl Field for String {
    fn read(value: Option<Value>) -> Option<Self> {
        text(value?)
    }

    fn write(&self) -> Option<Value> {
        Some(self.into())
    }
}

impl Field for Vec<u8> {
    fn read(value: Option<Value>) -> Option<Self> {
        bytes(value?)
    }

    fn write(&self) -> Option<Value> {
        Some(self.as_slice().into())
    }
}

impl Field for bool {
    /// Python's truth; absent is false.
    fn read(value: Option<Value>) -> Option<Self> {
        Some(value.is_some_and(|value| value.is_true()))
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Field for u64 {
    fn read(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::Int(n) => Self::try_from(n).ok(),
            Value::UInt(n) => Some(n),
            _ => None,
        }
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Field for Map {
    fn read(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.clone().into())
    }
}

impl Field for Vec<Value> {
    fn read(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.clone().into())
    }
}

impl Field for Vec<String> {
    fn read(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::List(items) => items.into_iter().map(text).collect(),
            _ => None,
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.iter().collect())
    }
}

impl Field for Functions {
    fn read(value: Option<Value>) -> Option<Self> {
        Self::from_value(value?)
    }

    fn write(&self) -> Option<Value> {
        Some(self.to_value())
    }
}

/// A necessary field of any type.
impl Field for Value {
    fn read(value: Option<Value>) -> Option<Self> {
        value
    }

    fn write(&self) -> Option<Value> {
        Some(self.clone())
    }
}

impl<T: Field> Field for Option<T> {
    /// Absent and `nil` are `None`, except for a field of any type, which is
    /// what a peer sends: stock minions write `nil` where they mean "unset".
    fn read(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(None),
            Some(Value::Null) => Some(T::read(Some(Value::Null))),
            Some(value) => T::read(Some(value)).map(Some),
        }
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }
}

/// The text, if it is some.
pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

/// The bytes of bytes or text: which of the two arrives depends on the content.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Str(text) => Some(text.into_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// Text where the bytes are UTF-8, as a peer's decoder will see them.
pub(crate) fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.into(),
    }
}
