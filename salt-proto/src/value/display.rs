//! A value as text: Python's `str()` and `repr()`.

use std::fmt::{self, Display, Formatter, Write};

use super::Value;

impl Display for Value {
    /// Python's `str()`: text as it is, everything inside containers as `repr()`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.pad(text),
            Self::DateTime(at) => {
                let iso = at.to_string();
                f.pad(&iso.replacen('T', " ", 1))
            }
            other => repr(other, f),
        }
    }
}

fn repr(value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Value::Null => f.write_str("None"),
        Value::Bool(true) => f.write_str("True"),
        Value::Bool(false) => f.write_str("False"),
        Value::Int(n) => write!(f, "{n}"),
        Value::UInt(n) => write!(f, "{n}"),
        Value::Float(x) => float(*x, f),
        Value::Str(text) => quoted(text, f),
        Value::Bytes(bytes) => bytes_repr(bytes, f),
        Value::List(items) => {
            f.write_char('[')?;
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    f.write_str(", ")?;
                }
                repr(item, f)?;
            }
            f.write_char(']')
        }
        Value::Map(map) => {
            f.write_char('{')?;
            for (n, (key, value)) in map.iter().enumerate() {
                if n > 0 {
                    f.write_str(", ")?;
                }
                repr(key, f)?;
                f.write_str(": ")?;
                repr(value, f)?;
            }
            f.write_char('}')
        }
        Value::DateTime(at) => {
            write!(
                f,
                "datetime.datetime({}, {}, {}, {}, {}",
                at.year, at.month, at.day, at.hour, at.minute
            )?;
            if at.second != 0 || at.microsecond != 0 {
                write!(f, ", {}", at.second)?;
            }
            if at.microsecond != 0 {
                write!(f, ", {}", at.microsecond)?;
            }
            f.write_char(')')
        }
    }
}

/// Python's `repr(float)`: the shortest digits that read back the same, with an
/// exponent below 1e-4 and from 1e16.
fn float(x: f64, f: &mut Formatter<'_>) -> fmt::Result {
    if x.is_nan() {
        return f.write_str("nan");
    }
    if x.is_infinite() {
        return f.write_str(if x > 0.0 { "inf" } else { "-inf" });
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        // Rust's Debug form always has a point, but changes to exponents elsewhere.
        let plain = format!("{x}");
        f.write_str(&plain)?;
        if !plain.contains('.') {
            f.write_str(".0")?;
        }
        return Ok(());
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(f, "{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn quoted(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c == quote => write!(f, "\\{c}")?,
            c if c.is_control() && u32::from(c) < 0x100 => write!(f, "\\x{:02x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

fn bytes_repr(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        b'"'
    } else {
        b'\''
    };
    write!(f, "b{}", char::from(quote))?;
    for &byte in bytes {
        match byte {
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            _ if byte == quote => write!(f, "\\{}", char::from(byte))?,
            b' '..=b'~' => f.write_char(char::from(byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char(char::from(quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Map;

    #[track_caller]
    fn check(value: impl Into<Value>, text: &str) {
        assert_eq!(value.into().to_string(), text);
    }

    #[test]
    fn values_read_as_python_prints_them() {
        check((), "None");
        check(true, "True");
        check("it's", "it's");
        check(
            vec![Value::from("it's"), "a".into(), 1.into()],
            "[\"it's\", 'a', 1]",
        );
        check(Map::from([("k", Value::Null)]), "{'k': None}");
        check(b"\xff'a".as_slice(), "b\"\\xff'a\"");
    }

    #[test]
    fn floats_read_as_python_prints_them() {
        for (x, text) in [
            (1.5, "1.5"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e-7, "1.25e-07"),
            (0.0001, "0.0001"),
            (1e300, "1e+300"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            check(x, text);
        }
    }
}
