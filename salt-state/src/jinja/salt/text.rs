//! Filters on text.

use std::fmt::Write;

use crate::jinja::filters::{Builtin, to_float, to_int};
use crate::jinja::value::{Args, Str, Value, float_as_int};
use crate::jinja::{Error, Exception, Kind, Result, Runtime, access, methods};

use super::class_of;

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "quote" => |_, args| {
            let [text] = args.bind("quote", ["txt"], 1)?;
            match text.unwrap_or_default() {
                Value::Str(text) => Ok(Value::text(quote(&text))),
                Value::Undefined(undefined) => Err(undefined.error()),
                other if !other.is_true()? => Ok(Value::text("''")),
                other => Err(not_text(&other)),
            }
        },
        "to_snake_case" => |_, args| {
            let [text] = args.bind("camel_to_snake_case", ["camel_input"], 1)?;
            let text = match text.unwrap_or_default() {
                Value::Str(text) => text,
                Value::Undefined(undefined) => return Err(undefined.error()),
                other => return Err(not_sliced(&other)),
            };
            if text.is_empty() {
                return Err(Error::python(
                    Exception::IndexError,
                    "string index out of range",
                ));
            }
            Ok(Value::text(to_snake_case(&text)))
        },
        "to_camelcase" => |_, args| {
            let names = ["snake_input", "uppercamel"];
            let [text, upper] = args.bind("snake_to_camel_case", names, 1)?;
            let upper = upper.map_or(Ok(false), |value| value.is_true())?;
            match text.unwrap_or_default() {
                Value::Str(text) => Ok(Value::text(to_camelcase(&text, upper))),
                Value::Undefined(undefined) => Err(undefined.error()),
                other => Err(access::no_attribute(&other, "split")),
            }
        },
        "contains_whitespace" => |rt, args| {
            let [text] = args.bind("contains_whitespace", ["text"], 1)?;
            let mut found = false;
            for piece in text.unwrap_or_default().items(rt)? {
                let Value::Str(piece) = &piece else {
                    return Err(access::no_attribute(&piece, "isspace"));
                };
                found |= !piece.is_empty() && piece.chars().all(crate::jinja::lexer::is_space);
            }
            Ok(Value::Bool(found))
        },
        "is_hex" => |_, args| {
            let [value] = args.bind("is_hex", ["value"], 1)?;
            let value = value.unwrap_or_default();
            let hex = matches!(value, Value::Str(_)) && to_int(&value, 16).is_ok();
            Ok(Value::Bool(hex))
        },
        "to_num" | "str_to_num" => |_, args| {
            let [text] = args.bind("to_num", ["text"], 1)?;
            let text = text.unwrap_or_default();
            match to_int(&text, 10) {
                Err(error) if error.is(Exception::ValueError) => match to_float(&text) {
                    Ok(x) => Ok(Value::Float(x)),
                    Err(error) if error.is(Exception::ValueError) => Ok(text),
                    Err(error) => Err(error),
                },
                other => other,
            }
        },
        "to_bytes" => |rt, args| {
            let names = ["s", "encoding", "errors"];
            let [text, encoding, errors] = args.bind("to_bytes", names, 1)?;
            match text.unwrap_or_default() {
                Value::Bytes(bytes) => Ok(Value::Bytes(bytes)),
                text @ Value::Str(_) => {
                    let encoding = encoding.filter(|e| !e.is_none());
                    let encoding = encoding.unwrap_or_else(|| Value::text("utf-8"));
                    let errors = errors.unwrap_or_else(|| Value::text("strict"));
                    call_method(rt, &text, "encode", vec![encoding, errors])
                }
                Value::Undefined(undefined) => Err(undefined.error()),
                other => Err(Error::type_error(format!(
                    "expected str, bytes, or bytearray not {}",
                    class_of(&other)
                ))),
            }
        },
        "human_to_bytes" => human_to_bytes,
        "substring_in_list" => |rt, args| {
            let names = ["string_to_search_for", "list_to_search"];
            let [part, list] = args.bind("substr_in_list", names, 2)?;
            let part = part.unwrap_or_default();
            for item in list.unwrap_or_default().items(rt)? {
                if crate::jinja::ops::contains(rt, &item, &part)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        },
        "check_whitelist_blacklist" => check_lists,
        "yaml_dquote" => |_, args| {
            let [text] = args.bind("yaml_dquote", ["text"], 1)?;
            Ok(Value::text(yaml_dquote(
                &text.unwrap_or_default().str()?,
                false,
            )))
        },
        "yaml_squote" => |_, args| {
            let [text] = args.bind("yaml_squote", ["text"], 1)?;
            Ok(Value::text(yaml_squote(&text.unwrap_or_default().str()?)))
        },
        "yaml_encode" => |_, args| {
            let [data] = args.bind("yaml_encode", ["data"], 1)?;
            yaml_encode(&data.unwrap_or_default()).map(Value::text)
        },
        "skip" => |_, args| {
            let [_] = args.bind("skip_filter", ["data"], 1)?;
            Ok(Value::text(""))
        },
        "to_bool" => |_, args| {
            let [value] = args.bind("to_bool", ["val"], 1)?;
            to_bool(&value.unwrap_or_default()).map(Value::Bool)
        },
        "path_join" => path_join,
        "method_call" => |rt, mut args| {
            if args.positional.len() < 2 {
                args.bind::<2>("method_call", ["obj", "f_name"], 2)?;
                return Ok(Value::None);
            }
            let value = args.positional.remove(0);
            let name = args.positional.remove(0).str()?;
            match access::own_attribute(rt, &value, &name)? {
                Some(method) => access::call(rt, &method, args),
                None => Ok(Value::None),
            }
        },
        _ => return None,
    })
}

/// `expected string or bytes-like object, got 'int'`.
pub(super) fn not_text(value: &Value) -> Error {
    Error::type_error(format!(
        "expected string or bytes-like object, got '{}'",
        value.type_name()
    ))
}

fn call_method(rt: &Runtime<'_>, value: &Value, name: &str, args: Vec<Value>) -> Result<Value> {
    match methods::find(value, name) {
        Some(method) => method(rt, value, Args::new(args)),
        None => access::attribute(rt, value, name),
    }
}

/// Python's `shlex.quote`.
fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// Python's error for `value[0].lower()` of something that is not text.
fn not_sliced(value: &Value) -> Error {
    match value {
        Value::List(_) | Value::Tuple(_) => {
            let first = match value {
                Value::List(list) => list.get(0),
                Value::Tuple(items) => items.first().cloned(),
                _ => None,
            };
            match first {
                Some(first) => access::no_attribute(&first, "lower"),
                None => Error::python(
                    Exception::IndexError,
                    format!("{} index out of range", value.type_name()),
                ),
            }
        }
        Value::Dict(_) => Error::python(Exception::KeyError, "0"),
        other => {
            let name = other.type_name();
            Error::type_error(format!("'{name}' object is not subscriptable"))
        }
    }
}

fn to_snake_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        let ends_word = before.is_some_and(|b| b.is_lowercase());
        let begins_word = before.is_some() && after.is_some_and(|a| a.is_lowercase());
        if c.is_uppercase() && (ends_word || begins_word) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn to_camelcase(text: &str, upper: bool) -> String {
    let mut out = String::new();
    for (at, word) in text.split('_').enumerate() {
        if at == 0 && !upper {
            out.push_str(word);
            continue;
        }
        let mut chars = word.chars();
        if let Some(first) = chars.next() {
            out.extend(first.to_uppercase());
            out += &chars.as_str().to_lowercase();
        }
    }
    out
}

fn human_to_bytes(_: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["size", "default_unit", "handle_metric"];
    let [size, default, metric] = args.bind("human_to_bytes", names, 1)?;
    let metric = metric.map_or(Ok(false), |value| value.is_true())?;
    let default = default.map_or(Ok("B".to_owned()), |unit| unit.str())?;
    let size = size.unwrap_or_default().str()?;
    let size = size.trim();
    if size.contains('\n') {
        // The expression that Salt matches it with takes one line.
        return Err(access::no_attribute(&Value::None, "group"));
    }
    let end = size
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(size.len());
    let (number, unit) = size.split_at(end);
    let unit = unit.trim();
    let unit = if unit.is_empty() {
        default.as_str()
    } else {
        unit
    };
    let Ok(number) = number.parse::<f64>() else {
        return Ok(Value::Int(0));
    };
    let upper = unit.to_uppercase();
    let Some((letter, suffix)) = upper.split_at_checked(1) else {
        return Ok(Value::Int(0));
    };
    let power = match letter {
        "B" if suffix.is_empty() => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        "Z" => 7,
        "Y" => 8,
        _ => return Ok(Value::Int(0)),
    };
    let base: f64 = match suffix {
        "" | "IB" => 1024.0,
        "B" if metric => 1000.0,
        "B" => 1024.0,
        _ => return Ok(Value::Int(0)),
    };
    let bytes = (number * base.powi(power)).trunc();
    Ok(float_as_int(bytes).unwrap_or(Value::Int(0)))
}

/// Whether a name matches an expression: equal, by glob, or by regular expression.
fn matches_expression(rt: &Runtime<'_>, name: &str, expression: &str) -> Result<bool> {
    if name == expression || matches(rt, &glob(expression), name)? {
        return Ok(true);
    }
    matches(rt, &format!(r"\A(?:{expression})\z"), name)
}

/// Whether a pattern matches; one that does not compile matches nothing.
fn matches(rt: &Runtime<'_>, pattern: &str, text: &str) -> Result<bool> {
    match rt.regex(pattern) {
        Ok(regex) => Ok(regex.is_match(text).unwrap_or(false)),
        Err(error) if error.kind() == Kind::Limit => Err(error),
        Err(_) => Ok(false),
    }
}

/// The regular expression of a glob, as Python's `fnmatch.translate`.
fn glob(pattern: &str) -> String {
    let mut regex = String::from(r"(?s)\A");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                let rest: String = chars.clone().collect();
                let skip = usize::from(rest.starts_with('!')) + 1;
                let close = rest.char_indices().skip(skip).find(|(_, c)| *c == ']');
                let Some((close, _)) = close else {
                    regex.push_str("\\[");
                    continue;
                };
                let set = rest.get(..close).unwrap_or("");
                let set = set.replace('\\', "\\\\").replace('[', "\\[");
                match set.strip_prefix('!') {
                    Some(set) => regex += &format!("[^{set}]"),
                    None => regex += &format!("[{}]", set.replacen('^', "\\^", 1)),
                }
                while chars.next().is_some_and(|c| c != ']') {}
            }
            c => regex += &::regex::escape(&c.to_string()),
        }
    }
    regex.push_str(r"\z");
    regex
}

fn check_lists(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["value", "whitelist", "blacklist"];
    let [value, white, black] = args.bind("check_whitelist_blacklist", names, 1)?;
    let value = value.unwrap_or_default().str()?;
    let expressions = |list: Option<Value>, kind: &str| -> Result<Vec<String>> {
        match list {
            None | Some(Value::None) => Ok(Vec::new()),
            Some(Value::Str(one)) => Ok(vec![(*one).to_owned()]),
            Some(other) => {
                let items = other.items(rt).map_err(|_| {
                    let shown = other.str().unwrap_or_default();
                    Error::type_error(format!(
                        "Expecting iterable {kind}, but got {} ({shown})",
                        other.type_name()
                    ))
                })?;
                items.iter().map(Value::str).collect()
            }
        }
    };
    let white = expressions(white, "whitelist")?;
    let black = expressions(black, "blacklist")?;
    let any = |expressions: &[String]| -> Result<bool> {
        for expression in expressions {
            if matches_expression(rt, &value, expression)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if any(&black)? {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(white.is_empty() || any(&white)?))
}

/// A YAML double-quoted scalar on one line.
pub(crate) fn yaml_dquote(text: &str, unicode: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let escape = match c {
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{a0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            ' '..='~' => {
                out.push(c);
                continue;
            }
            '\u{a1}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}'
                if unicode =>
            {
                out.push(c);
                continue;
            }
            c => {
                // Writing to a string does not fail.
                let _ = match u32::from(c) {
                    code @ 0..=0xff => write!(out, "\\x{code:02X}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    code => write!(out, "\\U{code:08X}"),
                };
                continue;
            }
        };
        out.push_str(escape);
    }
    out.push('"');
    out
}

/// A YAML single-quoted scalar; a newline is doubled, as folding wants it.
fn yaml_squote(text: &str) -> String {
    let mut out = String::from("'");
    let mut rest = text;
    while let Some(at) = rest.find('\n') {
        out += &rest.get(..at).unwrap_or("").replace('\'', "''");
        let tail = rest.get(at..).unwrap_or("");
        let breaks = tail.len() - tail.trim_start_matches('\n').len();
        out += &"\n".repeat(breaks + 1);
        rest = tail.get(breaks..).unwrap_or("");
    }
    out += &rest.replace('\'', "''");
    out.push('\'');
    out
}

fn yaml_encode(value: &Value) -> Result<String> {
    Ok(match value {
        Value::None => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(_) | Value::Big(_) => value.str()?,
        Value::Float(x) if x.is_nan() => ".nan".to_owned(),
        Value::Float(x) if x.is_infinite() => if *x > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        Value::Float(_) => value.str()?,
        Value::Str(text) => yaml_dquote(text, false),
        Value::Undefined(_) => {
            return Err(Error::new(
                Kind::Host,
                "('cannot represent an object', Undefined)",
            ));
        }
        other => {
            return Err(Error::type_error(format!(
                "yaml_encode() only works with YAML scalar data; failed for {}",
                class_of(other)
            )));
        }
    })
}

fn to_bool(value: &Value) -> Result<bool> {
    Ok(match value {
        Value::None | Value::Undefined(_) => false,
        Value::Bool(b) => *b,
        Value::Str(text) => matches!(text.to_lowercase().as_str(), "yes" | "1" | "true"),
        Value::Int(n) => *n > 0,
        Value::Big(n) => n.sign() == num_bigint::Sign::Plus,
        // What cannot be hashed is true when it holds something.
        Value::List(_) | Value::Dict(_) | Value::Set(_) => value.is_true()?,
        _ => false,
    })
}

/// Salt's way to join paths: later absolute parts do not start anew.
fn path_join(_: &Runtime<'_>, args: Args) -> Result<Value> {
    let mut parts: Vec<Str> = Vec::new();
    for part in &args.positional {
        match part {
            Value::Str(text) => parts.push(text.clone()),
            Value::Bytes(bytes) => parts.push(String::from_utf8_lossy(bytes).into_owned().into()),
            other => {
                return Err(Error::type_error(format!(
                    "expected str, bytes, or bytearray not {}",
                    class_of(other)
                )));
            }
        }
    }
    let mut path = match parts.first() {
        Some(first) => (**first).to_owned(),
        None => String::new(),
    };
    for part in parts.iter().skip(1) {
        let part = part.trim_start_matches('/');
        if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(part);
    }
    Ok(Value::text(normal_path(&path)))
}

/// Python's `posixpath.normpath`.
fn normal_path(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let slashes = path.len() - path.trim_start_matches('/').len();
    let root = match slashes {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() {
        ".".to_owned()
    } else {
        joined
    }
}
