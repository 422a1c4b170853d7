//! Python's `str` and `repr`.

use std::fmt::Write;

use super::{DictClass, MAX_NESTING, Value};
use crate::jinja::{Error, Exception, Kind, Result};

impl Value {
    /// Python's `str(x)`.
    ///
    /// # Errors
    /// Strict undefined; nesting too deep; what an object raises.
    pub fn str(&self) -> Result<String> {
        match self {
            Self::Str(text) => Ok((**text).to_owned()),
            Self::Undefined(undefined) => undefined.str(),
            Self::Object(object) => object.str(),
            other => other.repr(),
        }
    }

    /// Python's `repr(x)`.
    ///
    /// # Errors
    /// Nesting too deep; what an object raises.
    pub fn repr(&self) -> Result<String> {
        self.repr_within(&mut Vec::new())
    }

    /// Python's `repr(x)` inside the printing of other values; see
    /// [`Object::repr_within`](super::Object::repr_within).
    pub(crate) fn repr_within(&self, open: &mut Vec<usize>) -> Result<String> {
        let mut out = String::new();
        write_repr(&mut out, self, open)?;
        Ok(out)
    }
}

/// The most bytes of one printed value. Values that hold the same value twice, and
/// so on down, print as more than memory has room for.
const MOST: usize = 8 << 20;

/// # Errors
/// What is printed has become too long.
pub(crate) fn check_size(out: &str) -> Result<()> {
    if out.len() > MOST {
        return Err(Error::new(Kind::Limit, "the template makes too much text"));
    }
    Ok(())
}

/// `open` holds the containers being printed: one inside itself prints `[...]`.
fn write_repr(out: &mut String, value: &Value, open: &mut Vec<usize>) -> Result<()> {
    check_size(out)?;
    if open.len() > MAX_NESTING as usize {
        return Err(Error::python(
            Exception::RecursionError,
            "maximum recursion depth exceeded while getting the repr of an object",
        ));
    }
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(n) => push(out, format_args!("{n}")),
        Value::Big(n) => out.push_str(&big_str(n)?),
        Value::Float(x) => out.push_str(&float_repr(*x)),
        Value::Str(text) if text.is_markup() => {
            push(out, format_args!("Markup({})", repr_str(text)));
        }
        Value::Str(text) => out.push_str(&repr_str(text)),
        Value::Bytes(bytes) => out.push_str(&repr_bytes(bytes)),
        Value::List(list) => {
            if open.contains(&list.address()) {
                out.push_str("[...]");
                return Ok(());
            }
            open.push(list.address());
            out.push('[');
            write_items(out, &list.to_vec(), open)?;
            out.push(']');
            open.pop();
        }
        Value::Tuple(items) => {
            // A tuple alone cannot contain itself; the entry counts the depth.
            open.push(0);
            out.push('(');
            write_items(out, items, open)?;
            out.push_str(if items.len() == 1 { ",)" } else { ")" });
            open.pop();
        }
        Value::Dict(dict) => {
            if open.contains(&dict.address()) {
                out.push_str(match dict.class() {
                    DictClass::Dict | DictClass::Namespaced => "{...}",
                    DictClass::Ordered => "...",
                });
                return Ok(());
            }
            open.push(dict.address());
            match dict.class() {
                DictClass::Dict | DictClass::Namespaced => {
                    write_entries(out, dict, open, ("{", "}"), ("", ": ", ""))?;
                }
                DictClass::Ordered if dict.is_empty() => out.push_str("OrderedDict()"),
                DictClass::Ordered => {
                    write_entries(out, dict, open, ("OrderedDict([", "])"), ("(", ", ", ")"))?;
                }
            }
            open.pop();
        }
        Value::Set(set) => {
            if open.contains(&set.address()) {
                push(out, format_args!("{}(...)", set.type_name()));
                return Ok(());
            }
            if set.is_empty() {
                push(out, format_args!("{}()", set.type_name()));
                return Ok(());
            }
            open.push(set.address());
            out.push_str(if set.is_frozen() { "frozenset({" } else { "{" });
            write_items(out, &set.members(), open)?;
            out.push_str(if set.is_frozen() { "})" } else { "}" });
            open.pop();
        }
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::Object(object) => out.push_str(&object.repr_within(open)?),
    }
    Ok(())
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

fn write_items(out: &mut String, items: &[Value], open: &mut Vec<usize>) -> Result<()> {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, item, open)?;
    }
    Ok(())
}

fn write_entries(
    out: &mut String,
    dict: &super::Dict,
    open: &mut Vec<usize>,
    outer: (&str, &str),
    entry: (&str, &str, &str),
) -> Result<()> {
    out.push_str(outer.0);
    for (index, (key, value)) in dict.entries().iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(entry.0);
        write_repr(out, key, open)?;
        out.push_str(entry.1);
        write_repr(out, value, open)?;
        out.push_str(entry.2);
    }
    out.push_str(outer.1);
    Ok(())
}

/// The decimal digits of a big integer, within Python's limit.
pub(crate) fn big_str(n: &num_bigint::BigInt) -> Result<String> {
    // 4300 digits are at most 14285 bits.
    if n.bits() > 14_285 {
        return Err(digits_error());
    }
    let text = n.to_string();
    if text.trim_start_matches('-').len() > 4300 {
        return Err(digits_error());
    }
    Ok(text)
}

fn digits_error() -> Error {
    Error::value_error(
        "Exceeds the limit (4300 digits) for integer string conversion; \
         use sys.set_int_max_str_digits() to increase the limit",
    )
}

/// The shortest text that reads back as the same float.
pub(crate) fn float_repr(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // `{:e}` gives the shortest digits as `d.ddde±x`.
    let text = format!("{x:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Whether Python's `str.isprintable` accepts the character.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Only at the start of a text does `escape_debug` escape combining marks,
    // which Python prints as they are.
    let pair: String = ['a', c].iter().collect();
    let mut escaped = pair.escape_debug().skip(1);
    escaped.next() == Some(c) && escaped.next().is_none()
}

/// `repr` of a string.
pub(crate) fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => push_escape(&mut out, c),
        }
    }
    out.push(quote);
    out
}

fn push_escape(out: &mut String, c: char) {
    match u32::from(c) {
        code @ 0..=0xff => push(out, format_args!("\\x{code:02x}")),
        code @ 0x100..=0xffff => push(out, format_args!("\\u{code:04x}")),
        code => push(out, format_args!("\\U{code:08x}")),
    }
}

/// `ascii()`: like [`repr_str`], with everything beyond ASCII escaped.
pub(crate) fn escape_non_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            push_escape(&mut out, c);
        }
    }
    out
}

/// `repr` of bytes.
pub(crate) fn repr_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(bytes.len() + 3);
    out.push('b');
    out.push(quote);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(b) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(char::from(byte)),
            b => push(&mut out, format_args!("\\x{b:02x}")),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::Dict;

    #[test]
    fn floats_print_as_python_prints_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (123_456_789.125, "123456789.125"),
            (5e-324, "5e-324"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
        ];
        for (x, text) in cases {
            assert_eq!(float_repr(x), text);
        }
    }

    #[test]
    fn strings_are_quoted_and_escaped_as_python_does() {
        assert_eq!(repr_str("it's"), "\"it's\"");
        assert_eq!(repr_str("it's \"x\""), "'it\\'s \"x\"'");
        assert_eq!(
            repr_str("a\n\u{7f}é\u{200b}\u{a0}"),
            "'a\\n\\x7fé\\u200b\\xa0'"
        );
        assert_eq!(repr_str("e\u{301}"), "'e\u{301}'");
    }

    #[test]
    fn a_container_inside_itself_prints_dots() {
        let list = Value::list(vec![Value::Int(1)]);
        let dict = Dict::new();
        dict.set("l", list.clone());
        if let Value::List(inner) = &list {
            inner.push(list.clone());
            inner.push(Value::Dict(dict));
        }

        assert_eq!(list.repr().unwrap(), "[1, [...], {'l': [...]}]");
        if let Value::List(inner) = &list {
            inner.borrow_mut().clear();
        }
    }
}
