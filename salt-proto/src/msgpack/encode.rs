//! Values to bytes.

use super::{Dialect, EXT_DATETIME};
use crate::value::{Map, Value};

/// Appends the encoding of a value.
///
/// Integers take their shortest form, floats are always binary64, maps keep
/// their order: the bytes are those of Salt 3006 to 3008. Strings, lists and maps
/// are cut at 2³²−1 bytes or entries, the longest MessagePack can express.
pub fn encode(value: &Value, dialect: Dialect, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(false) => out.push(0xc2),
        Value::Bool(true) => out.push(0xc3),
        Value::Int(n) => encode_int(*n, out),
        Value::UInt(n) => encode_uint(*n, out),
        Value::Float(x) => {
            out.push(0xcb);
            out.extend_from_slice(&x.to_bits().to_be_bytes());
        }
        Value::Str(text) => encode_str(text, dialect, out),
        Value::Bytes(bytes) => encode_bytes(bytes, dialect, out),
        Value::List(items) => {
            let len = len32(items.len());
            match len {
                0..=15 => out.push(0x90 | low_byte(len)),
                16..=0xffff => push_u16(0xdc, len, out),
                _ => push_u32(0xdd, len, out),
            }
            for item in items.iter().take(len as usize) {
                encode(item, dialect, out);
            }
        }
        Value::Map(map) => encode_map(map, dialect, out),
        Value::DateTime(at) => {
            use std::io::Write as _;
            out.extend_from_slice(&[0xc7, 24, EXT_DATETIME.cast_unsigned()]);
            // Writing to a Vec cannot fail.
            let _infallible = write!(
                out,
                "{:04}{:02}{:02}T{:02}:{:02}:{:02}.{:06}",
                at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond
            );
        }
    }
}

/// Appends the encoding of a map.
pub fn encode_map(map: &Map, dialect: Dialect, out: &mut Vec<u8>) {
    encode_header(map.len(), out);
    for (key, value) in map.iter().take(len32(map.len()) as usize) {
        encode(key, dialect, out);
        encode(value, dialect, out);
    }
}

/// Appends a map of those entries of another map whose key `keep` says.
pub fn encode_selected(
    map: &Map,
    keep: impl Fn(&Value) -> bool,
    dialect: Dialect,
    out: &mut Vec<u8>,
) {
    let len = map.keys().filter(|key| keep(key)).count();
    encode_header(len, out);
    let kept = map.iter().filter(|(key, _)| keep(key));
    for (key, value) in kept.take(len32(len) as usize) {
        encode(key, dialect, out);
        encode(value, dialect, out);
    }
}

fn encode_header(len: usize, out: &mut Vec<u8>) {
    match len32(len) {
        len @ 0..=15 => out.push(0x80 | low_byte(len)),
        len @ 16..=0xffff => push_u16(0xde, len, out),
        len => push_u32(0xdf, len, out),
    }
}

/// Appends text.
pub fn encode_str(text: &str, dialect: Dialect, out: &mut Vec<u8>) {
    let text = text.as_bytes();
    let len = len32(text.len());
    match len {
        0..=31 => out.push(0xa0 | low_byte(len)),
        32..=0xff if dialect == Dialect::Bin => out.extend_from_slice(&[0xd9, low_byte(len)]),
        32..=0xffff => push_u16(0xda, len, out),
        _ => push_u32(0xdb, len, out),
    }
    out.extend_from_slice(cut(text, len));
}

/// Appends bytes.
pub fn encode_bytes(bytes: &[u8], dialect: Dialect, out: &mut Vec<u8>) {
    let len = len32(bytes.len());
    match (dialect, len) {
        (Dialect::Raw, 0..=31) => out.push(0xa0 | low_byte(len)),
        (Dialect::Raw, 32..=0xffff) => push_u16(0xda, len, out),
        (Dialect::Raw, _) => push_u32(0xdb, len, out),
        (Dialect::Bin, 0..=0xff) => out.extend_from_slice(&[0xc4, low_byte(len)]),
        (Dialect::Bin, 0x100..=0xffff) => push_u16(0xc5, len, out),
        (Dialect::Bin, _) => push_u32(0xc6, len, out),
    }
    out.reserve(bytes.len());
    // In pieces below the size from which some C libraries copy by a string
    // instruction, which is many times slower on some processors.
    for piece in cut(bytes, len).chunks(2048) {
        out.extend_from_slice(piece);
    }
}

fn encode_int(n: i64, out: &mut Vec<u8>) {
    if let Ok(n) = u64::try_from(n) {
        return encode_uint(n, out);
    }
    if n >= -32 {
        out.push(n.to_be_bytes()[7]);
    } else if let Ok(n) = i8::try_from(n) {
        out.extend_from_slice(&[0xd0, n.cast_unsigned()]);
    } else if let Ok(n) = i16::try_from(n) {
        out.push(0xd1);
        out.extend_from_slice(&n.to_be_bytes());
    } else if let Ok(n) = i32::try_from(n) {
        out.push(0xd2);
        out.extend_from_slice(&n.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

fn encode_uint(n: u64, out: &mut Vec<u8>) {
    if n < 0x80 {
        out.push(n.to_be_bytes()[7]);
    } else if let Ok(n) = u8::try_from(n) {
        out.extend_from_slice(&[0xcc, n]);
    } else if let Ok(n) = u16::try_from(n) {
        out.push(0xcd);
        out.extend_from_slice(&n.to_be_bytes());
    } else if let Ok(n) = u32::try_from(n) {
        out.push(0xce);
        out.extend_from_slice(&n.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

fn push_u16(marker: u8, len: u32, out: &mut Vec<u8>) {
    let [_, _, high, low] = len.to_be_bytes();
    out.extend_from_slice(&[marker, high, low]);
}

fn push_u32(marker: u8, len: u32, out: &mut Vec<u8>) {
    let [a, b, c, d] = len.to_be_bytes();
    out.extend_from_slice(&[marker, a, b, c, d]);
}

fn low_byte(len: u32) -> u8 {
    len.to_be_bytes()[3]
}

fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn cut(bytes: &[u8], len: u32) -> &[u8] {
    bytes.get(..len as usize).unwrap_or(bytes)
}
