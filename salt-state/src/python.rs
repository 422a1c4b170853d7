//! How Python prints values: `str` and `repr`, which show in messages and templates.

use std::fmt::Write;

use salt_proto::Value;

/// What `str(value)` gives: text as it is, everything else as [`repr`].
pub fn str(value: &Value) -> String {
    match value {
        Value::Str(text) => text.clone(),
        Value::DateTime(at) => {
            let mut out = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                at.year, at.month, at.day, at.hour, at.minute, at.second
            );
            if at.microsecond != 0 {
                write_to(&mut out, format_args!(".{:06}", at.microsecond));
            }
            out
        }
        other => repr(other),
    }
}

/// What `repr(value)` gives.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _infallible = out.write_fmt(arguments);
}

fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(n) => write_to(out, format_args!("{n}")),
        Value::UInt(n) => write_to(out, format_args!("{n}")),
        Value::Float(x) => out.push_str(&float(*x)),
        Value::Str(text) => out.push_str(&repr_str(text)),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, key);
                out.push_str(": ");
                write_repr(out, value);
            }
            out.push('}');
        }
        Value::DateTime(at) => {
            write_to(
                out,
                format_args!(
                    "datetime.datetime({}, {}, {}, {}, {}",
                    at.year, at.month, at.day, at.hour, at.minute
                ),
            );
            if at.second != 0 || at.microsecond != 0 {
                write_to(out, format_args!(", {}", at.second));
            }
            if at.microsecond != 0 {
                write_to(out, format_args!(", {}", at.microsecond));
            }
            out.push(')');
        }
    }
}

/// `repr` of text: single quotes, unless only those are inside.
pub fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for ch in text.chars() {
        match ch {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if ch == quote => {
                out.push('\\');
                out.push(ch);
            }
            ' '..='~' => out.push(ch),
            _ if is_printable(ch) => out.push(ch),
            _ => match u32::from(ch) {
                n @ ..=0xFF => write_to(&mut out, format_args!("\\x{n:02x}")),
                n @ ..=0xFFFF => write_to(&mut out, format_args!("\\u{n:04x}")),
                n => write_to(&mut out, format_args!("\\U{n:08x}")),
            },
        }
    }
    out.push(quote);
    out
}

/// Whether Python prints the character itself. Control, format, private and
/// separator characters are escaped; unassigned ones are not known here and print.
fn is_printable(ch: char) -> bool {
    !ch.is_control()
        && !matches!(u32::from(ch),
            0xA0 | 0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x1680 | 0x180E
            | 0x2000..=0x200F | 0x2028..=0x202F | 0x205F..=0x206F | 0x3000
            | 0xE000..=0xF8FF | 0xFEFF | 0xFFF0..=0xFFFB | 0xFFFE | 0xFFFF | 0xF_0000..=0x10_FFFF)
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    out.push('b');
    out.push(quote);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if char::from(byte) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write_to(out, format_args!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
}

/// `repr` of a float: the shortest digits that read back, `1e+16` from 16 digits on.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        if plain.contains('.') {
            plain
        } else {
            format!("{plain}.0")
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_python_prints_them() {
        for (x, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123_456_789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(float(x), text);
        }
    }

    #[test]
    fn text_is_quoted_with_the_quote_it_lacks() {
        assert_eq!(repr_str("a"), "'a'");
        assert_eq!(repr_str("it's"), "\"it's\"");
        assert_eq!(repr_str("it's \"x\""), "'it\\'s \"x\"'");
        assert_eq!(repr_str("é\u{7f}\u{200b}\n"), "'é\\x7f\\u200b\\n'");
    }
}
