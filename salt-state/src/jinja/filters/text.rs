//! Filters on text.

use crate::jinja::methods;
use crate::jinja::value::{Args, Str, Value};
use crate::jinja::{Result, Runtime, access, format};

use super::{Builtin, argument_error, flag};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "capitalize" => |rt, args| method(rt, args, "do_capitalize", "capitalize"),
        "lower" => |rt, args| method(rt, args, "do_lower", "lower"),
        "upper" => |rt, args| method(rt, args, "do_upper", "upper"),
        "title" => |_, args| {
            let [text] = args.bind("do_title", ["s"], 1)?;
            let text = soft_text(&text.unwrap_or_default())?;
            Ok(Value::text(title(&text)))
        },
        "center" => |rt, args| {
            let [value, width] = args.bind("do_center", ["value", "width"], 1)?;
            let text = soft_text(&value.unwrap_or_default())?;
            let width = width.unwrap_or(Value::Int(80));
            call(rt, text, "center", vec![width])
        },
        "trim" => |rt, args| {
            let [value, chars] = args.bind("do_trim", ["value", "chars"], 1)?;
            let text = soft_text(&value.unwrap_or_default())?;
            call(rt, text, "strip", vec![chars.unwrap_or_default()])
        },
        "replace" => replace,
        "string" => |_, args| {
            let [value] = args.bind("soft_str", ["s"], 1)?;
            Ok(Value::Str(soft_text(&value.unwrap_or_default())?))
        },
        "format" => format_filter,
        "wordcount" => |_, args| {
            let [text] = args.bind("do_wordcount", ["s"], 1)?;
            let text = soft_text(&text.unwrap_or_default())?;
            let word = |c: char| c == '_' || c.is_alphanumeric();
            let words = text.split(|c| !word(c)).filter(|word| !word.is_empty());
            Ok(Value::from(words.count()))
        },
        "default" | "d" => |_, args| {
            let names = ["value", "default_value", "boolean"];
            let [value, default, boolean] = args.bind("do_default", names, 1)?;
            let value = value.unwrap_or_default();
            if value.is_undefined() || (flag(boolean)? && !value.is_true()?) {
                return Ok(default.unwrap_or_else(|| Value::text("")));
            }
            Ok(value)
        },
        _ => return None,
    })
}

/// The value as text; `Markup` stays what it is.
pub(super) fn soft_text(value: &Value) -> Result<Str> {
    Ok(match value {
        Value::Str(text) => text.clone(),
        other => other.str()?.into(),
    })
}

pub(super) fn like(text: &Str, result: String) -> Value {
    Value::Str(if text.is_markup() {
        Str::markup(result)
    } else {
        result.into()
    })
}

fn call(rt: &Runtime<'_>, text: Str, name: &str, args: Vec<Value>) -> Result<Value> {
    let value = Value::Str(text);
    match methods::find(&value, name) {
        Some(method) => method(rt, &value, Args::new(args)),
        None => access::attribute(rt, &value, name),
    }
}

fn method(rt: &Runtime<'_>, args: Args, function: &str, name: &str) -> Result<Value> {
    let [value] = args.bind(function, ["s"], 1)?;
    call(rt, soft_text(&value.unwrap_or_default())?, name, Vec::new())
}

/// Jinja's idea of a title: a capital after blanks, hyphens and opening brackets.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        let breaks = crate::jinja::lexer::is_space(c) || "-({[<".contains(c);
        if breaks {
            out.push(c);
        } else if begins {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        begins = breaks;
    }
    out
}

fn replace(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["s", "old", "new", "count"];
    let [text, old, new, count] = args.bind_after(1, "do_replace", names, 3)?;
    let count = match count {
        None | Some(Value::None) => Value::Int(-1),
        Some(count) => count,
    };
    if !rt.autoescape() {
        let text: Str = text.unwrap_or_default().str()?.into();
        let old = Value::text(old.unwrap_or_default().str()?);
        let new = Value::text(new.unwrap_or_default().str()?);
        return call(rt, text, "replace", vec![old, new, count]);
    }
    let safe = |value: &Option<Value>| matches!(value, Some(Value::Str(s)) if s.is_markup());
    let markup = safe(&text) || safe(&old) || safe(&new);
    let text = text.unwrap_or_default();
    let text = match &text {
        Value::Str(plain) if markup && !plain.is_markup() => Str::markup(super::escape_text(plain)),
        other => soft_text(other)?,
    };
    let old = Value::Str(soft_text(&old.unwrap_or_default())?);
    let new = Value::Str(soft_text(&new.unwrap_or_default())?);
    call(rt, text, "replace", vec![old, new, count])
}

fn format_filter(rt: &Runtime<'_>, mut args: Args) -> Result<Value> {
    if args.positional.is_empty() {
        args.bind::<1>("do_format", ["value"], 1)?;
        return Ok(Value::None);
    }
    let text = soft_text(&args.positional.remove(0))?;
    if !args.positional.is_empty() && !args.named.is_empty() {
        return Err(argument_error(
            "can't handle positional and keyword arguments at the same time",
        ));
    }
    let values = if args.named.is_empty() {
        Value::tuple(args.positional)
    } else {
        Value::Dict(args.named.into_iter().collect())
    };
    format::percent(rt, &text, &values).map(|result| like(&text, result))
}
