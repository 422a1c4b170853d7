//! Methods of `str` that change case, fill, replace and format.

use crate::jinja::lexer::is_space;
use crate::jinja::value::{Args, Method, Str, Value, keyword_args, native_args};
use crate::jinja::{Error, Exception, Result, Runtime, access, filters, format};

pub(super) fn find(name: &str) -> Option<Method> {
    Some(match name {
        "capitalize" => |_, this, args| {
            let [] = native_args(args, "str.capitalize", 0)?;
            Ok(map(this, capitalize))
        },
        "casefold" => |_, this, args| {
            let [] = native_args(args, "str.casefold", 0)?;
            Ok(map(this, casefold))
        },
        "lower" => |_, this, args| {
            let [] = native_args(args, "str.lower", 0)?;
            Ok(map(this, str::to_lowercase))
        },
        "upper" => |_, this, args| {
            let [] = native_args(args, "str.upper", 0)?;
            Ok(map(this, str::to_uppercase))
        },
        "swapcase" => |_, this, args| {
            let [] = native_args(args, "str.swapcase", 0)?;
            Ok(map(this, swapcase))
        },
        "title" => |_, this, args| {
            let [] = native_args(args, "str.title", 0)?;
            Ok(map(this, title))
        },
        "center" => |rt, this, args| justify(rt, this, args, "center"),
        "ljust" => |rt, this, args| justify(rt, this, args, "ljust"),
        "rjust" => |rt, this, args| justify(rt, this, args, "rjust"),
        "zfill" => zfill_method,
        "expandtabs" => expandtabs,
        "replace" => replace,
        "translate" => translate,
        "encode" => encode,
        "format" => format_method,
        "format_map" => format_map,
        "strip" => |_, this, args| strip(this, args, "strip", true, true),
        "lstrip" => |_, this, args| strip(this, args, "lstrip", true, false),
        "rstrip" => |_, this, args| strip(this, args, "rstrip", false, true),
        "removeprefix" => |_, this, args| {
            let [prefix] = native_args(args, "str.removeprefix", 1)?;
            let prefix = one_text(prefix.as_ref(), "removeprefix() argument must be str, not ")?;
            Ok(map(this, |text| {
                text.strip_prefix(&*prefix).unwrap_or(text).to_owned()
            }))
        },
        "removesuffix" => |_, this, args| {
            let [suffix] = native_args(args, "str.removesuffix", 1)?;
            let suffix = one_text(suffix.as_ref(), "removesuffix() argument must be str, not ")?;
            Ok(map(this, |text| {
                text.strip_suffix(&*suffix).unwrap_or(text).to_owned()
            }))
        },
        _ => return None,
    })
}

/// The string a method is called on.
pub(super) fn receiver(this: &Value) -> Str {
    match this {
        Value::Str(text) => text.clone(),
        _ => Str::from(""),
    }
}

/// A result that is `Markup` when the receiver is.
pub(super) fn like(this: &Str, text: impl Into<String>) -> Value {
    let text: String = text.into();
    Value::Str(if this.is_markup() {
        Str::markup(text)
    } else {
        text.into()
    })
}

fn map(this: &Value, change: impl Fn(&str) -> String) -> Value {
    let text = receiver(this);
    like(&text, change(&text))
}

/// An argument that must be a string.
pub(super) fn one_text(value: Option<&Value>, message: &str) -> Result<Str> {
    match value {
        Some(Value::Str(text)) => Ok(text.clone()),
        Some(Value::Undefined(undefined)) => Err(undefined.error()),
        Some(other) => Err(Error::type_error(format!("{message}{}", other.type_name()))),
        None => Ok(Str::from("")),
    }
}

/// An argument that must be an integer.
pub(super) fn index_arg(value: &Value) -> Result<i64> {
    match value {
        Value::Undefined(undefined) => Err(undefined.error()),
        Value::Big(_) => Err(Error::python(
            Exception::OverflowError,
            "Python int too large to convert to C ssize_t",
        )),
        other => other.as_index().ok_or_else(|| {
            Error::type_error(format!(
                "'{}' object cannot be interpreted as an integer",
                other.type_name()
            ))
        }),
    }
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => titlecase(first) + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

/// The title case of a character: upper case but for ligatures.
fn titlecase(c: char) -> String {
    let upper: String = c.to_uppercase().collect();
    let mut chars = upper.chars();
    match (chars.next(), chars.as_str()) {
        (Some(first), rest) if !rest.is_empty() => {
            format!("{first}{}", rest.to_lowercase())
        }
        _ => upper,
    }
}

fn casefold(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            'ſ' => out.push('s'),
            c => out.extend(c.to_lowercase()),
        }
        out
    })
}

fn swapcase(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        out
    })
}

/// `str.title`: a letter after one that has no case is a capital.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out += &titlecase(c);
        }
        inside = c.is_lowercase() || c.is_uppercase();
    }
    out
}

/// How many fill characters a width asks for.
pub(super) fn padding(rt: &Runtime<'_>, width: i64, len: usize) -> Result<usize> {
    let width = usize::try_from(width).unwrap_or(0);
    rt.charge_bytes(width)?;
    Ok(width.saturating_sub(len))
}

fn justify(rt: &Runtime<'_>, this: &Value, args: Args, name: &str) -> Result<Value> {
    let [width, fill] = native_args(args, name, 1)?;
    let width = index_arg(&width.unwrap_or_default())?;
    let fill = match &fill {
        None => ' ',
        Some(Value::Str(text)) if text.char_len() == 1 => text.chars().next().unwrap_or(' '),
        Some(Value::Str(_)) => {
            return Err(Error::type_error(
                "The fill character must be exactly one character long",
            ));
        }
        Some(other) => {
            return Err(Error::type_error(format!(
                "The fill character must be a unicode character, not {}",
                other.type_name()
            )));
        }
    };
    let text = receiver(this);
    let len = text.char_len();
    let total = padding(rt, width, len)?;
    let left = match name {
        "ljust" => 0,
        "rjust" => total,
        // CPython puts the odd one to the left when the width is odd.
        _ => total / 2 + (total & usize::try_from(width).unwrap_or(0) & 1),
    };
    let mut out = String::with_capacity(text.len() + total);
    out.extend(std::iter::repeat_n(fill, left));
    out.push_str(&text);
    out.extend(std::iter::repeat_n(fill, total - left));
    Ok(like(&text, out))
}

fn zfill_method(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [width] = native_args(args, "str.zfill", 1)?;
    let width = index_arg(&width.unwrap_or_default())?;
    let text = receiver(this);
    let zeros = padding(rt, width, text.char_len())?;
    Ok(like(&text, zfill(&text, zeros)))
}

/// Puts zeros after the sign.
pub(crate) fn zfill(text: &str, zeros: usize) -> String {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.get(..text.len() - digits.len()).unwrap_or("");
    format!("{sign}{}{digits}", "0".repeat(zeros))
}

fn expandtabs(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [size] = keyword_args(args, "expandtabs", ["tabsize"], 0)?;
    let size = size.as_ref().map_or(Ok(8), index_arg)?;
    let size = usize::try_from(size).unwrap_or(0);
    let text = receiver(this);
    let tabs = text.matches('\t').count();
    rt.charge_bytes(text.len().saturating_add(tabs.saturating_mul(size)))?;
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(like(&text, out))
}

fn replace(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [old, new, count] = native_args(args, "replace", 2)?;
    let argument = |value: Option<Value>, place: u8| -> Result<Str> {
        match value {
            Some(Value::Str(text)) => Ok(text),
            Some(Value::Undefined(undefined)) => Err(undefined.error()),
            Some(other) => Err(Error::type_error(format!(
                "replace() argument {place} must be str, not {}",
                other.type_name()
            ))),
            None => Ok(Str::from("")),
        }
    };
    let (old, new) = (argument(old, 1)?, argument(new, 2)?);
    let count = count.as_ref().map_or(Ok(-1), index_arg)?;
    let text = receiver(this);
    let new = if text.is_markup() && !new.is_markup() {
        filters::escape_text(&new)
    } else {
        (*new).to_owned()
    };
    replace_text(rt, &text, &old, &new, count).map(|result| like(&text, result))
}

/// `str.replace`, at most `count` times unless that is negative.
pub(crate) fn replace_text(
    rt: &Runtime<'_>,
    text: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Result<String> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(old).count()
    };
    let times = found.min(most);
    rt.charge_bytes(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, times))
}

fn translate(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [table] = native_args(args, "str.translate", 1)?;
    let table = table.unwrap_or_default();
    let text = receiver(this);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let code = Value::Int(i64::from(u32::from(c)));
        match access::lookup(rt, &table, &code)? {
            None => out.push(c),
            Some(Value::None) => {}
            Some(Value::Str(text)) => out.push_str(&text),
            Some(other) => {
                let code = other.as_index().and_then(|n| u32::try_from(n).ok());
                let c = code.and_then(char::from_u32).ok_or_else(|| {
                    Error::type_error("character mapping must return integer, None or str")
                })?;
                out.push(c);
            }
        }
        rt.charge_bytes(out.len() / 64)?;
    }
    Ok(like(&text, out))
}

fn encode(_: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [encoding, errors] = keyword_args(args, "encode", ["encoding", "errors"], 0)?;
    let encoding = encoding.map_or(Ok("utf-8".to_owned()), |value| value.str())?;
    let errors = errors.map_or(Ok("strict".to_owned()), |value| value.str())?;
    let text = receiver(this);
    encode_text(&text, &encoding, &errors).map(|bytes| Value::Bytes(bytes.into()))
}

fn encode_text(text: &str, encoding: &str, errors: &str) -> Result<Vec<u8>> {
    let name = encoding.to_lowercase().replace(['_', ' '], "-");
    let most = match name.as_str() {
        "utf-8" | "utf8" | "u8" => return Ok(text.as_bytes().to_vec()),
        "ascii" | "us-ascii" => 0x7f,
        "latin-1" | "latin1" | "iso-8859-1" | "l1" => 0xff,
        "utf-16-le" => return Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf-16-be" => return Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        _ => {
            return Err(Error::python(
                Exception::LookupError,
                format!("unknown encoding: {encoding}"),
            ));
        }
    };
    let mut out = Vec::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let code = u32::from(c);
        match u8::try_from(code) {
            Ok(byte) if code <= most => out.push(byte),
            _ => match errors {
                "ignore" => {}
                "replace" => out.push(b'?'),
                "xmlcharrefreplace" => out.extend(format!("&#{code};").into_bytes()),
                "backslashreplace" => {
                    let escaped = crate::jinja::value::escape_non_ascii(&c.to_string());
                    out.extend(escaped.into_bytes());
                }
                _ => {
                    let codec = if most == 0x7f { "ascii" } else { "latin-1" };
                    let range = if most == 0x7f { 128 } else { 256 };
                    let escaped = crate::jinja::value::escape_non_ascii(&c.to_string());
                    return Err(Error::python(
                        Exception::UnicodeEncodeError,
                        format!(
                            "'{codec}' codec can't encode character '{escaped}' in position {at}: \
                             ordinal not in range({range})"
                        ),
                    ));
                }
            },
        }
    }
    Ok(out)
}

fn format_method(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let text = receiver(this);
    format::str_format(rt, &text, &args).map(|result| like(&text, result))
}

fn format_map(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [mapping] = native_args(args, "str.format_map", 1)?;
    let mapping = mapping.unwrap_or_default();
    let text = receiver(this);
    let entries = access::mapping_entries(rt, &mapping)?.unwrap_or_default();
    let named = entries.into_iter().filter_map(|(key, value)| match key {
        Value::Str(name) => Some((name, value)),
        _ => None,
    });
    let args = Args {
        positional: Vec::new(),
        named: named.collect(),
    };
    format::str_format(rt, &text, &args).map(|result| like(&text, result))
}

fn strip(this: &Value, args: Args, name: &str, left: bool, right: bool) -> Result<Value> {
    let [chars] = native_args(args, name, 0)?;
    let text = receiver(this);
    let strips: Box<dyn Fn(char) -> bool> = match chars {
        None | Some(Value::None) => Box::new(is_space),
        Some(Value::Str(set)) => Box::new(move |c| set.contains(c)),
        Some(Value::Undefined(undefined)) => return Err(undefined.error()),
        Some(_) => {
            return Err(Error::type_error(format!("{name} arg must be None or str")));
        }
    };
    let mut kept: &str = &text;
    if left {
        kept = kept.trim_start_matches(&strips);
    }
    if right {
        kept = kept.trim_end_matches(&strips);
    }
    if kept.len() == text.len() {
        return Ok(Value::Str(text));
    }
    Ok(like(&text, kept))
}
