//! Filters with regular expressions in Python's syntax.

use std::rc::Rc;

use fancy_regex::{Captures, Regex};

use crate::jinja::filters::Builtin;
use crate::jinja::value::{Args, Str, Value};
use crate::jinja::{Error, Exception, Kind, Result, Runtime};

use super::text::not_text;

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "regex_escape" => |_, args| {
            let [value] = args.bind("regex_escape", ["value"], 1)?;
            match value.unwrap_or_default() {
                Value::Str(text) => Ok(Value::text(escape(&text))),
                other => Err(Error::type_error(format!(
                    "decoding to str: need a bytes-like object, {} found",
                    other.type_name()
                ))),
            }
        },
        "regex_match" => |rt, args| groups(rt, args, "regex_match", true),
        "regex_search" => |rt, args| groups(rt, args, "regex_search", false),
        "regex_replace" => replace,
        _ => return None,
    })
}

/// Python's `re.escape`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn text_of(value: Option<Value>) -> Result<Str> {
    match value.unwrap_or_default() {
        Value::Str(text) => Ok(text),
        other => Err(not_text(&other)),
    }
}

/// `re.error` and its kin.
fn pattern_error(message: impl Into<String>) -> Error {
    Error::new(Kind::Host, message)
}

/// Turns a pattern of Python into one of this crate's engine.
pub(crate) fn translate(pattern: &str) -> Result<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.char_indices().peekable();
    let mut open = Vec::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'Z')) => out.push_str("\\z"),
                Some((_, c)) => {
                    out.push('\\');
                    out.push(c);
                }
                None => {
                    return Err(pattern_error(format!(
                        "bad escape (end of pattern) at position {at}"
                    )));
                }
            },
            '[' => class(&mut chars, &mut out, at)?,
            '(' => {
                open.push(at);
                out.push('(');
                let rest = pattern.get(at..).unwrap_or("");
                if let Some(name) = rest.strip_prefix("(?P=").and_then(|r| r.split(')').next()) {
                    out += &format!("?:\\k<{name}>");
                    for _ in 0..name.chars().count() + 3 {
                        chars.next();
                    }
                }
            }
            ')' => {
                if open.pop().is_none() {
                    return Err(pattern_error(format!(
                        "unbalanced parenthesis at position {at}"
                    )));
                }
                out.push(')');
            }
            // Python's `$` also stands before a newline at the end.
            '$' => out.push_str("(?:$|(?=\\n\\z))"),
            // A brace that begins no count is a brace.
            '{' if !is_count(pattern.get(at..).unwrap_or("")) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    match open.pop() {
        Some(at) => Err(pattern_error(format!(
            "missing ), unterminated subpattern at position {at}"
        ))),
        None => Ok(out),
    }
}

fn is_count(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    inner.is_some_and(|(count, _)| {
        !count.is_empty()
            && count != ","
            && count.chars().all(|c| c.is_ascii_digit() || c == ',')
            && count.matches(',').count() <= 1
    })
}

/// A set in brackets, in which Python needs fewer escapes.
fn class(
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    out: &mut String,
    start: usize,
) -> Result<()> {
    out.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let Some((_, c)) = chars.next() else {
            return Err(pattern_error(format!(
                "unterminated character set at position {start}"
            )));
        };
        match c {
            ']' if first => out.push_str("\\]"),
            ']' => {
                out.push(']');
                return Ok(());
            }
            '[' => out.push_str("\\["),
            '&' => out.push_str("\\&"),
            '~' => out.push_str("\\~"),
            '\\' => {
                out.push('\\');
                out.extend(chars.next().map(|(_, c)| c));
            }
            c => out.push(c),
        }
        first = false;
    }
}

fn compile(
    rt: &Runtime<'_>,
    pattern: &str,
    ignorecase: Option<Value>,
    multiline: Option<Value>,
    anchored: bool,
) -> Result<Rc<Regex>> {
    rt.charge(20 + pattern.len())?;
    let flag = |value: Option<Value>| value.map_or(Ok(false), |value| value.is_true());
    let mut flags = String::new();
    if flag(ignorecase)? {
        flags.push('i');
    }
    if flag(multiline)? {
        flags.push('m');
    }
    let body = translate(pattern)?;
    let body = if anchored {
        format!("\\A(?:{body})")
    } else {
        body
    };
    let full = if flags.is_empty() {
        body
    } else {
        format!("(?{flags}){body}")
    };
    rt.regex(&full)
}

fn run_error(error: fancy_regex::Error) -> Error {
    Error::new(Kind::Limit, "the regular expression takes too many steps").caused_by(error)
}

fn groups(rt: &Runtime<'_>, args: Args, name: &str, anchored: bool) -> Result<Value> {
    let names = ["txt", "rgx", "ignorecase", "multiline"];
    let [text, pattern, ignorecase, multiline] = args.bind(name, names, 2)?;
    let pattern = pattern_of(pattern)?;
    let regex = compile(rt, &pattern, ignorecase, multiline, anchored)?;
    let text = text_of(text)?;
    let text: &str = &text;
    rt.charge(text.len())?;
    let Some(found) = regex.captures(text).map_err(run_error)? else {
        return Ok(Value::None);
    };
    let part = |at: usize| {
        found
            .get(at)
            .map_or(Value::None, |part| Value::text(part.as_str()))
    };
    Ok(Value::tuple(if found.len() == 1 {
        vec![part(0)]
    } else {
        (1..found.len()).map(part).collect()
    }))
}

fn pattern_of(value: Option<Value>) -> Result<Str> {
    match value.unwrap_or_default() {
        Value::Str(text) => Ok(text),
        Value::Undefined(undefined) => Err(undefined.error()),
        _ => Err(Error::type_error(
            "first argument must be string or compiled pattern",
        )),
    }
}

/// `is match`.
pub(super) fn test_match(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    groups(rt, args, "test_match", true).map(|found| Value::Bool(!found.is_none()))
}

fn replace(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["txt", "rgx", "val", "ignorecase", "multiline"];
    let [text, pattern, value, ignorecase, multiline] = args.bind("regex_replace", names, 3)?;
    let pattern = pattern_of(pattern)?;
    let regex = compile(rt, &pattern, ignorecase, multiline, false)?;
    let value = text_of(value)?;
    let template = template(&value, &regex)?;
    let text = text_of(text)?;
    let text: &str = &text;
    rt.charge(text.len())?;
    let mut out = String::new();
    let (mut from, mut copied) = (0, 0);
    // An empty match may not stand where the search before it began.
    let mut last_end = None;
    while from <= text.len() {
        let Some(found) = regex.captures_from_pos(text, from).map_err(run_error)? else {
            break;
        };
        let Some(whole) = found.get(0) else { break };
        if whole.start() == whole.end() && last_end == Some((whole.start(), true)) {
            match next_char(text, whole.end()) {
                Some(next) => from = next,
                None => break,
            }
            last_end = None;
            continue;
        }
        out.push_str(text.get(copied..whole.start()).unwrap_or(""));
        expand(&template, &found, &mut out);
        rt.charge_bytes(out.len().min(64))?;
        copied = whole.end();
        let empty = whole.start() == whole.end();
        last_end = Some((whole.end(), empty));
        from = whole.end();
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    rt.charge_bytes(out.len())?;
    Ok(Value::text(out))
}

fn next_char(text: &str, at: usize) -> Option<usize> {
    let c = text.get(at..)?.chars().next()?;
    Some(at + c.len_utf8())
}

/// A part of a replacement.
pub(crate) enum Part {
    Text(String),
    Group(usize),
}

pub(crate) fn expand(template: &[Part], found: &Captures<'_, str>, out: &mut String) {
    for part in template {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Group(at) => out.push_str(found.get(*at).map_or("", |part| part.as_str())),
        }
    }
}

/// Reads a replacement: `\1`, `\g<name>` and the usual escapes.
pub(crate) fn template(text: &str, regex: &Regex) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = text.char_indices().peekable();
    let group = |number: usize, at: usize| -> Result<Part> {
        if number >= regex.captures_len() {
            return Err(pattern_error(format!(
                "invalid group reference {number} at position {at}"
            )));
        }
        Ok(Part::Group(number))
    };
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let Some((_, c)) = chars.next() else {
            return Err(pattern_error(format!(
                "bad escape (end of pattern) at position {at}"
            )));
        };
        match c {
            'g' => {
                let rest = text.get(at + 2..).unwrap_or("");
                let name = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
                let Some((name, _)) = name else {
                    return Err(pattern_error(format!("missing < at position {}", at + 2)));
                };
                for _ in 0..name.chars().count() + 2 {
                    chars.next();
                }
                parts.push(Part::Text(std::mem::take(&mut plain)));
                let number = match name.parse() {
                    Ok(number) => number,
                    Err(_) => {
                        let place = regex.capture_names().position(|own| own == Some(name));
                        place.ok_or_else(|| {
                            Error::python(
                                Exception::LookupError,
                                format!("unknown group name '{name}'"),
                            )
                        })?
                    }
                };
                parts.push(group(number, at + 3)?);
            }
            '0' => {
                let mut code = 0;
                for _ in 0..2 {
                    match chars.next_if(|(_, c)| ('0'..='7').contains(c)) {
                        Some((_, c)) => code = code * 8 + c.to_digit(8).unwrap_or(0),
                        None => break,
                    }
                }
                plain.extend(char::from_u32(code));
            }
            c if c.is_ascii_digit() => {
                let mut number = c.to_digit(10).unwrap_or(0) as usize;
                if let Some((_, c)) = chars.next_if(|(_, c)| c.is_ascii_digit()) {
                    number = number * 10 + c.to_digit(10).unwrap_or(0) as usize;
                }
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(group(number, at + 1)?);
            }
            'n' => plain.push('\n'),
            't' => plain.push('\t'),
            'r' => plain.push('\r'),
            'a' => plain.push('\u{7}'),
            'b' => plain.push('\u{8}'),
            'f' => plain.push('\u{c}'),
            'v' => plain.push('\u{b}'),
            c if c.is_ascii_alphabetic() => {
                return Err(pattern_error(format!("bad escape \\{c} at position {at}")));
            }
            '\\' => plain.push('\\'),
            c => {
                plain.push('\\');
                plain.push(c);
            }
        }
    }
    parts.push(Part::Text(plain));
    Ok(parts)
}
