//! Methods of `str` that search, split and join.

use crate::jinja::lexer::is_space;
use crate::jinja::value::{Args, Method, Str, Value, keyword_args, native_args};
use crate::jinja::{Error, Result, Runtime, filters};

use super::text::{index_arg, like, one_text, receiver};

pub(super) fn find(name: &str) -> Option<Method> {
    Some(match name {
        "split" => |rt, this, args| split(rt, this, args, "split"),
        "rsplit" => |rt, this, args| split(rt, this, args, "rsplit"),
        "splitlines" => splitlines,
        "partition" => |_, this, args| partition(this, args, "partition"),
        "rpartition" => |_, this, args| partition(this, args, "rpartition"),
        "join" => join,
        "startswith" => |_, this, args| affix(this, args, "startswith"),
        "endswith" => |_, this, args| affix(this, args, "endswith"),
        "count" => |_, this, args| {
            let (text, part, start, end) = search(this, args, "count")?;
            Ok(Value::from(window(&text, start, end).map_or(
                0,
                |(window, _)| {
                    if part.is_empty() {
                        window.chars().count() + 1
                    } else {
                        window.matches(&*part).count()
                    }
                },
            )))
        },
        "find" => {
            |_, this, args| position(this, args, "find").map(|at| Value::Int(at.unwrap_or(-1)))
        }
        "rfind" => {
            |_, this, args| position(this, args, "rfind").map(|at| Value::Int(at.unwrap_or(-1)))
        }
        "index" => |_, this, args| found(position(this, args, "index")?),
        "rindex" => |_, this, args| found(position(this, args, "rindex")?),
        _ => return None,
    })
}

fn found(at: Option<i64>) -> Result<Value> {
    at.map(Value::Int)
        .ok_or_else(|| Error::value_error("substring not found"))
}

fn split(rt: &Runtime<'_>, this: &Value, args: Args, name: &str) -> Result<Value> {
    let [sep, most] = keyword_args(args, name, ["sep", "maxsplit"], 0)?;
    let most = most.as_ref().map_or(Ok(-1), index_arg)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let text = receiver(this);
    rt.charge(text.len() / 8)?;
    let pieces: Vec<&str> = match &sep {
        None | Some(Value::None) if name == "split" => split_space(&text, most),
        None | Some(Value::None) => rsplit_space(&text, most),
        Some(Value::Str(sep)) if sep.is_empty() => {
            return Err(Error::value_error("empty separator"));
        }
        Some(Value::Str(sep)) => {
            let parts = most.saturating_add(1);
            if name == "split" {
                text.splitn(parts, &**sep).collect()
            } else {
                let mut pieces: Vec<&str> = text.rsplitn(parts, &**sep).collect();
                pieces.reverse();
                pieces
            }
        }
        Some(Value::Undefined(undefined)) => return Err(undefined.error()),
        Some(other) => {
            return Err(Error::type_error(format!(
                "must be str or None, not {}",
                other.type_name()
            )));
        }
    };
    Ok(Value::list(
        pieces.into_iter().map(|piece| like(&text, piece)).collect(),
    ))
}

fn split_space(text: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if pieces.len() >= most {
            pieces.push(rest.trim_end_matches(is_space));
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail.trim_start_matches(is_space);
    }
    pieces
}

fn rsplit_space(text: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if pieces.len() >= most {
            pieces.push(rest.trim_start_matches(is_space));
            break;
        }
        let start = rest
            .char_indices()
            .rev()
            .find(|(_, c)| is_space(*c))
            .map_or(0, |(at, c)| at + c.len_utf8());
        let (head, piece) = rest.split_at(start);
        pieces.push(piece);
        rest = head.trim_end_matches(is_space);
    }
    pieces.reverse();
    pieces
}

/// What `str.splitlines` takes for the end of a line.
fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r'
            | '\u{b}'
            | '\u{c}'
            | '\u{1c}'
            | '\u{1d}'
            | '\u{1e}'
            | '\u{85}'
            | '\u{2028}'
            | '\u{2029}'
    )
}

/// `str.splitlines`.
pub(crate) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, end) = match rest.char_indices().find(|(_, c)| is_line_end(*c)) {
            None => (rest.len(), rest.len()),
            Some((at, '\r')) if rest.get(at + 1..).is_some_and(|r| r.starts_with('\n')) => {
                (at, at + 2)
            }
            Some((at, c)) => (at, at + c.len_utf8()),
        };
        lines.push(rest.get(..if keep_ends { end } else { line }).unwrap_or(""));
        rest = rest.get(end..).unwrap_or("");
    }
    lines
}

fn splitlines(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [keep] = keyword_args(args, "splitlines", ["keepends"], 0)?;
    let keep = keep.map_or(Ok(false), |value| value.is_true())?;
    let text = receiver(this);
    rt.charge(text.len() / 8)?;
    let lines = lines(&text, keep);
    Ok(Value::list(
        lines.into_iter().map(|line| like(&text, line)).collect(),
    ))
}

fn partition(this: &Value, args: Args, name: &str) -> Result<Value> {
    let [sep] = native_args(args, &format!("str.{name}"), 1)?;
    let sep = one_text(sep.as_ref(), "must be str, not ")?;
    if sep.is_empty() {
        return Err(Error::value_error("empty separator"));
    }
    let text = receiver(this);
    let (head, middle, tail) = if name == "partition" {
        match text.split_once(&*sep) {
            Some((head, tail)) => (head, &*sep, tail),
            None => (&*text, "", ""),
        }
    } else {
        match text.rsplit_once(&*sep) {
            Some((head, tail)) => (head, &*sep, tail),
            None => ("", "", &*text),
        }
    };
    Ok(Value::tuple(vec![
        like(&text, head),
        like(&text, middle),
        like(&text, tail),
    ]))
}

fn join(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [items] = native_args(args, "str.join", 1)?;
    let items = items.unwrap_or_default();
    let items = match items.items(rt) {
        Ok(items) => items,
        Err(error) if error.message().ends_with("is not iterable") => {
            return Err(Error::type_error("can only join an iterable"));
        }
        Err(error) => return Err(error),
    };
    let text = receiver(this);
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(&text);
        }
        match item {
            Value::Str(piece) if text.is_markup() && !piece.is_markup() => {
                out += &filters::escape_text(piece);
            }
            Value::Str(piece) => out.push_str(piece),
            other if text.is_markup() => out += &filters::escape_text(&other.str()?),
            other => {
                return Err(Error::type_error(format!(
                    "sequence item {at}: expected str instance, {} found",
                    other.type_name()
                )));
            }
        }
        rt.charge_bytes(out.len().min(64))?;
        if out.len() > rt.environment().options().limits.output {
            rt.charge_bytes(out.len())?;
        }
    }
    Ok(like(&text, out))
}

/// The arguments of a search: the text, the part, and where to look.
fn search(this: &Value, args: Args, name: &str) -> Result<(Str, Str, i64, i64)> {
    if !args.named.is_empty() {
        return Err(Error::type_error(format!(
            "str.{name}() takes no keyword arguments"
        )));
    }
    let given = args.positional.len();
    if given == 0 || given > 3 {
        let bound = if given == 0 { "least 1" } else { "most 3" };
        let plural = if given == 0 { "" } else { "s" };
        return Err(Error::type_error(format!(
            "{name}() takes at {bound} argument{plural} ({given} given)"
        )));
    }
    let [part, start, end] = native_args(args, name, 1)?;
    let part = match part {
        Some(Value::Str(part)) => part,
        Some(Value::Undefined(undefined)) => return Err(undefined.error()),
        other => {
            return Err(Error::type_error(format!(
                "must be str, not {}",
                other.unwrap_or_default().type_name()
            )));
        }
    };
    Ok((
        receiver(this),
        part,
        bound(start, 0)?,
        bound(end, i64::MAX)?,
    ))
}

fn bound(value: Option<Value>, default: i64) -> Result<i64> {
    match value {
        None | Some(Value::None) => Ok(default),
        Some(value) => value.as_index().ok_or_else(|| {
            Error::type_error("slice indices must be integers or None or have an __index__ method")
        }),
    }
}

/// The part of a text between two positions in characters, and where it
/// begins; `None` when the start is beyond the end.
fn window(text: &str, start: i64, end: i64) -> Option<(&str, usize)> {
    if start == 0 && end == i64::MAX {
        return Some((text, 0));
    }
    let len = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(len));
    if start > end {
        return None;
    }
    let byte = |at: i64| {
        let at = usize::try_from(at).unwrap_or(0);
        text.char_indices().nth(at).map_or(text.len(), |(at, _)| at)
    };
    let start_char = usize::try_from(start).unwrap_or(0);
    text.get(byte(start)..byte(end))
        .map(|text| (text, start_char))
}

fn position(this: &Value, args: Args, name: &str) -> Result<Option<i64>> {
    let (text, part, start, end) = search(this, args, name)?;
    let Some((window, offset)) = window(&text, start, end) else {
        return Ok(None);
    };
    let at = if name.starts_with('r') {
        window.rfind(&*part)
    } else {
        window.find(&*part)
    };
    let chars = at
        .and_then(|at| window.get(..at))
        .map(|head| head.chars().count());
    Ok(chars.and_then(|at| i64::try_from(at + offset).ok()))
}

fn affix(this: &Value, args: Args, name: &str) -> Result<Value> {
    let given = args.positional.len();
    if !args.named.is_empty() {
        return Err(Error::type_error(format!(
            "{name}() takes no keyword arguments"
        )));
    }
    if given == 0 || given > 3 {
        let bound = if given == 0 {
            "least 1 argument"
        } else {
            "most 3 arguments"
        };
        return Err(Error::type_error(format!(
            "{name}() takes at {bound} ({given} given)"
        )));
    }
    let [affix, start, end] = native_args(args, name, 1)?;
    let text = receiver(this);
    let window = window(&text, bound(start, 0)?, bound(end, i64::MAX)?);
    let matches = |affix: &str| match window {
        Some((window, _)) if name == "startswith" => window.starts_with(affix),
        Some((window, _)) => window.ends_with(affix),
        None => false,
    };
    let wrong = |kind: &str| {
        Error::type_error(format!(
            "{name} first arg must be str or a tuple of str, not {kind}"
        ))
    };
    Ok(Value::Bool(match affix {
        Some(Value::Str(affix)) => matches(&affix),
        Some(Value::Tuple(all)) => {
            for one in all.iter() {
                match one {
                    Value::Str(affix) if matches(affix) => return Ok(Value::Bool(true)),
                    Value::Str(_) => {}
                    other => {
                        return Err(Error::type_error(format!(
                            "tuple for {name} must only contain str, not {}",
                            other.type_name()
                        )));
                    }
                }
            }
            false
        }
        Some(Value::Undefined(undefined)) => return Err(undefined.error()),
        other => return Err(wrong(other.unwrap_or_default().type_name())),
    }))
}
