//! Serde for [`Value`], so that typed data and other formats meet it.
//!
//! In binary formats a date is MessagePack's extension 78, in formats for people
//! it is ISO 8601 text. Reading makes text of bytes that are UTF-8, as
//! [`msgpack::decode`](crate::msgpack::decode) does.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{DateTime, Map, Value};
use crate::limits::Limits;
use crate::msgpack::{self, Dialect};

/// The name by which `rmp-serde` knows extensions.
const EXTENSION: &str = "_ExtStruct";
const EXT_DATETIME: i8 = 78;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Int(n) => serializer.serialize_i64(*n),
            Self::UInt(n) => serializer.serialize_u64(*n),
            Self::Float(x) => serializer.serialize_f64(*x),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(map) => map.serialize(serializer),
            Self::DateTime(at) => at.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let mut encoded = Vec::with_capacity(27);
        msgpack::encode(&Value::DateTime(*self), Dialect::Bin, &mut encoded);
        // Behind the marker, the length and the type.
        let payload = encoded.get(3..).unwrap_or_default();
        serializer.serialize_newtype_struct(EXTENSION, &(EXT_DATETIME, Bytes(payload)))
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(map) => Ok(map),
            other => Err(de::Error::custom(format_args!(
                "expected a map, found {}",
                other.type_name()
            ))),
        }
    }
}

struct ValueVisitor;

/// What a sequence reserves at most before its elements arrive.
const RESERVE: usize = 1024;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(b.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        self.visit_byte_buf(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(match String::from_utf8(bytes) {
            Ok(text) => Value::Str(text),
            Err(error) => Value::Bytes(error.into_bytes()),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0).min(RESERVE));
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::with_capacity(entries.size_hint().unwrap_or(0).min(RESERVE));
        while let Some(key) = entries.next_key::<Value>()? {
            if matches!(key, Value::List(_) | Value::Map(_)) {
                return Err(de::Error::custom("a map key that is no scalar"));
            }
            map.insert(key, entries.next_value::<Value>()?);
        }
        Ok(Value::Map(map))
    }

    /// An extension, as `rmp-serde` presents it.
    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        let (code, payload) = <(i8, ByteBuf)>::deserialize(deserializer)?;
        if code != EXT_DATETIME {
            return self.visit_byte_buf(payload.0);
        }
        let mut encoded = vec![
            0xc7,
            u8::try_from(payload.0.len()).unwrap_or(0),
            EXT_DATETIME.cast_unsigned(),
        ];
        encoded.extend_from_slice(&payload.0);
        msgpack::decode(&encoded, &Limits::default()).map_err(de::Error::custom)
    }
}

struct ByteBuf(Vec<u8>);

impl<'de> Deserialize<'de> for ByteBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Buf;
        impl Visitor<'_> for Buf {
            type Value = ByteBuf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<ByteBuf, E> {
                Ok(ByteBuf(bytes.to_vec()))
            }

            fn visit_str<E>(self, text: &str) -> Result<ByteBuf, E> {
                Ok(ByteBuf(text.as_bytes().to_vec()))
            }
        }
        deserializer.deserialize_bytes(Buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let at = DateTime::from_unix_micros(1_709_210_096_000_789).unwrap();
        let mut map = Map::from([("text", "hé".into()), ("at", Value::DateTime(at))]);
        map.insert(
            "list",
            vec![
                Value::Null,
                true.into(),
                (-5).into(),
                u64::MAX.into(),
                1.5.into(),
            ],
        );
        map.insert("bytes", b"\xff\x00".as_slice());
        map.insert(7, Map::from([(true, "x")]));
        map.into()
    }

    #[test]
    fn rmp_serde_reads_what_we_write_and_writes_what_we_read() {
        let mut ours = Vec::new();
        msgpack::encode(&sample(), Dialect::Bin, &mut ours);
        assert_eq!(rmp_serde::from_slice::<Value>(&ours).unwrap(), sample());

        let theirs = rmp_serde::to_vec(&sample()).unwrap();
        assert_eq!(theirs, ours);
    }

    #[test]
    fn json_shows_dates_as_text() {
        let json = serde_json::to_string(&Map::from([("at", DateTime::MAX)])).unwrap();
        assert_eq!(json, r#"{"at":"9999-12-31T23:59:59.999999"}"#);
        assert_eq!(
            serde_json::from_str::<Value>(r#"{"a":[1,null]}"#)
                .unwrap()
                .get("a")
                .unwrap()
                .to_string(),
            "[1, None]"
        );
    }
}
