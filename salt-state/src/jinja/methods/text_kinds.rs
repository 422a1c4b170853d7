//! Methods of `str` that ask what kind of text it is.

use crate::jinja::lexer::is_space;
use crate::jinja::value::{Args, Method, Value, is_printable, native_args};
use crate::jinja::{Result, Runtime};

use super::text::receiver;

pub(super) fn find(name: &str) -> Option<Method> {
    Some(match name {
        "isalnum" => |_, this, args| all(this, args, "isalnum", char::is_alphanumeric),
        "isalpha" => |_, this, args| all(this, args, "isalpha", char::is_alphabetic),
        "isdecimal" => |_, this, args| all(this, args, "isdecimal", is_decimal),
        "isdigit" => |_, this, args| all(this, args, "isdigit", is_digit),
        "isnumeric" => |_, this, args| all(this, args, "isnumeric", char::is_numeric),
        "isspace" => |_, this, args| all(this, args, "isspace", is_space),
        "isascii" => |_, this, args| {
            let [] = native_args(args, "str.isascii", 0)?;
            Ok(Value::Bool(receiver(this).is_ascii()))
        },
        "isprintable" => |_, this, args| {
            let [] = native_args(args, "str.isprintable", 0)?;
            Ok(Value::Bool(receiver(this).chars().all(is_printable)))
        },
        "isidentifier" => |_, this, args| {
            let [] = native_args(args, "str.isidentifier", 0)?;
            let text = receiver(this);
            let first = text.chars().next();
            let starts = first.is_some_and(|c| c == '_' || c.is_alphabetic());
            let word = |c: char| c == '_' || c.is_alphanumeric();
            Ok(Value::Bool(starts && text.chars().all(word)))
        },
        "islower" => |_, this, args| {
            let [] = native_args(args, "str.islower", 0)?;
            let text = receiver(this);
            Ok(Value::Bool(is_lower(&text)))
        },
        "isupper" => |_, this, args| {
            let [] = native_args(args, "str.isupper", 0)?;
            let text = receiver(this);
            Ok(Value::Bool(is_upper(&text)))
        },
        "istitle" => is_title,
        _ => return None,
    })
}

fn all(this: &Value, args: Args, name: &str, is: fn(char) -> bool) -> Result<Value> {
    let [] = native_args(args, &format!("str.{name}"), 0)?;
    let text = receiver(this);
    Ok(Value::Bool(!text.is_empty() && text.chars().all(is)))
}

/// Digits that form decimal numbers, of the scripts met in practice.
fn is_decimal(c: char) -> bool {
    decimal_value(c).is_some()
}

/// The value of a decimal digit of any common script.
pub(crate) fn decimal_value(c: char) -> Option<u32> {
    const ZEROS: [u32; 14] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xe50,
        0xff10,
    ];
    let code = u32::from(c);
    ZEROS
        .iter()
        .find(|zero| (**zero..**zero + 10).contains(&code))
        .map(|zero| code - zero)
}

fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(c, '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}' | '\u{2460}'..='\u{2468}')
}

/// `str.islower`.
pub(crate) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// `str.isupper`.
pub(crate) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

fn is_title(_: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [] = native_args(args, "str.istitle", 0)?;
    let (mut cased, mut any) = (false, false);
    for c in receiver(this).chars() {
        if c.is_uppercase() {
            if cased {
                return Ok(Value::Bool(false));
            }
            (cased, any) = (true, true);
        } else if c.is_lowercase() {
            if !cased {
                return Ok(Value::Bool(false));
            }
            (cased, any) = (true, true);
        } else {
            cased = false;
        }
    }
    Ok(Value::Bool(any))
}
