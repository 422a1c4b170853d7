//! Filters that break and cut text, and `pprint`.

use crate::jinja::lexer::is_space;
use crate::jinja::methods::lines;
use crate::jinja::value::{Args, Value};
use crate::jinja::{Error, Exception, Result, Runtime};

use super::text::like;
use super::{Builtin, assertion, flag, integer, pformat};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "indent" => indent,
        "truncate" => truncate,
        "wordwrap" => wordwrap,
        "pprint" => |rt, args| {
            let [value] = args.bind("do_pprint", ["value"], 1)?;
            pformat(rt, &value.unwrap_or_default()).map(Value::text)
        },
        _ => return None,
    })
}

fn indent(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["s", "width", "first", "blank"];
    let [text, width, first, blank] = args.bind("do_indent", names, 1)?;
    let (first, blank) = (flag(first)?, flag(blank)?);
    let text = match text.unwrap_or_default() {
        Value::Str(text) => text,
        Value::Undefined(undefined) => return Err(undefined.error()),
        Value::List(_) => return Err(no_attribute("list", "splitlines")),
        other => {
            return Err(Error::type_error(format!(
                "unsupported operand type(s) for +=: '{}' and 'str'",
                other.type_name()
            )));
        }
    };
    let indention = match width {
        None => " ".repeat(4),
        Some(Value::Str(indention)) => (*indention).to_owned(),
        Some(width) => {
            let width = usize::try_from(integer(&width)?).unwrap_or(0);
            rt.charge_bytes(width)?;
            " ".repeat(width)
        }
    };
    // One more newline, so that the last line counts even when it is empty.
    let whole = format!("{}\n", &*text);
    let all = lines(&whole, false);
    rt.charge_bytes(
        text.len()
            .saturating_add(all.len().saturating_mul(indention.len())),
    )?;
    let mut out = String::new();
    if first {
        out.push_str(&indention);
    }
    for (at, line) in all.iter().enumerate() {
        if at > 0 {
            out.push('\n');
            if blank || !line.is_empty() {
                out.push_str(&indention);
            }
        }
        out.push_str(line);
    }
    Ok(like(&text, out))
}

fn truncate(_: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = ["s", "length", "killwords", "end", "leeway"];
    let [text, length, killwords, end, leeway] = args.bind_after(1, "do_truncate", names, 1)?;
    let killwords = flag(killwords)?;
    let length = length.as_ref().map_or(Ok(255), integer)?;
    let end = end.map_or(Ok("...".to_owned()), |end| end.str())?;
    let leeway = match leeway {
        None | Some(Value::None) => 5,
        Some(leeway) => integer(&leeway)?,
    };
    let value = text.unwrap_or_default();
    let end_len = i64::try_from(end.chars().count()).unwrap_or(i64::MAX);
    if length < end_len {
        return Err(assertion(format!(
            "expected length >= {end_len}, got {length}"
        )));
    }
    if leeway < 0 {
        return Err(assertion(format!("expected leeway >= 0, got {leeway}")));
    }
    let len = i64::try_from(super::python_len(&value)?).unwrap_or(i64::MAX);
    if len <= length.saturating_add(leeway) {
        return Ok(value);
    }
    let text = match value {
        Value::Str(text) => text,
        Value::Dict(_) => return Err(Error::type_error("unhashable type: 'slice'")),
        other => {
            let name = other.type_name();
            return Err(if killwords {
                Error::type_error(format!(
                    "can only concatenate {name} (not \"str\") to {name}"
                ))
            } else {
                no_attribute(name, "rsplit")
            });
        }
    };
    let keep = usize::try_from(length - end_len).unwrap_or(0);
    let head: String = text.chars().take(keep).collect();
    let head = if killwords {
        head.as_str()
    } else {
        head.rsplit_once(' ')
            .map_or(head.as_str(), |(head, _)| head)
    };
    Ok(like(&text, format!("{head}{end}")))
}

fn no_attribute(kind: &str, name: &str) -> Error {
    Error::python(
        Exception::AttributeError,
        format!("'{kind}' object has no attribute '{name}'"),
    )
}

/// How Python's `textwrap` splits text into pieces that stay together.
const PIECES: &str = r#"(?x)
    [\t\n\x0b\x0c\r\ ]+
    | (?<=[\w!"'&.,?]) -{2,} (?=\w)
    | [^\t\n\x0b\x0c\r\ ]+? (?:
        - (?: (?<=[^\d\W][^\d\W]-) | (?<=[^\d\W]-[\w!"'&.,?]-) ) (?= [^\d\W] -? [^\d\W] )
        | (?= [\t\n\x0b\x0c\r\ ] | \z )
        | (?<=[\w!"'&.,?]) (?= -{2,}\w )
    )"#;

fn wordwrap(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = [
        "s",
        "width",
        "break_long_words",
        "wrapstring",
        "break_on_hyphens",
    ];
    let [text, width, long, wrap, hyphens] = args.bind_after(1, "do_wordwrap", names, 1)?;
    let width = width.as_ref().map_or(Ok(79), integer)?;
    let yes = |value: Option<Value>| value.map_or(Ok(true), |value| value.is_true());
    let (long, hyphens) = (yes(long)?, yes(hyphens)?);
    let wrap = match wrap {
        None | Some(Value::None) => rt.environment().options().newline_sequence.clone(),
        Some(wrap) => wrap.str()?,
    };
    let text = match text.unwrap_or_default() {
        Value::Str(text) => text,
        Value::Undefined(undefined) => return Err(undefined.error()),
        other => return Err(no_attribute(other.type_name(), "splitlines")),
    };
    if width <= 0 && !text.is_empty() {
        return Err(Error::value_error(format!(
            "invalid width {width} (must be > 0)"
        )));
    }
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    rt.charge(text.len())?;
    let mut wrapped = Vec::new();
    for line in lines(&text, false) {
        let pieces = if hyphens {
            pieces(rt, line)?
        } else {
            simple_pieces(line)
        };
        wrapped.push(fill(pieces, width, long, hyphens).join(&wrap));
    }
    let out = wrapped.join(&wrap);
    rt.charge_bytes(out.len())?;
    Ok(like(&text, out))
}

fn pieces(rt: &Runtime<'_>, line: &str) -> Result<Vec<String>> {
    let regex = rt.regex(PIECES)?;
    let mut all = Vec::new();
    let mut end = 0;
    for found in regex.find_iter(line) {
        let found =
            found.map_err(|error| Error::value_error(error.to_string()).caused_by(error))?;
        if found.start() > end {
            all.push(line.get(end..found.start()).unwrap_or("").to_owned());
        }
        all.push(found.as_str().to_owned());
        end = found.end();
    }
    if end < line.len() {
        all.push(line.get(end..).unwrap_or("").to_owned());
    }
    Ok(all)
}

fn simple_pieces(line: &str) -> Vec<String> {
    let blank = |c: char| matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ');
    let mut all: Vec<String> = Vec::new();
    let mut was_blank = None;
    for c in line.chars() {
        match all.last_mut() {
            Some(last) if was_blank == Some(blank(c)) => last.push(c),
            _ => all.push(c.to_string()),
        }
        was_blank = Some(blank(c));
    }
    all
}

/// Fills lines with pieces, as `textwrap` does.
fn fill(pieces: Vec<String>, width: usize, long: bool, hyphens: bool) -> Vec<String> {
    let len = |text: &str| text.chars().count();
    let is_blank = |text: &str| text.chars().all(is_space);
    let mut pieces: std::collections::VecDeque<String> = pieces.into();
    let mut done: Vec<String> = Vec::new();
    while !pieces.is_empty() {
        let mut line: Vec<String> = Vec::new();
        let mut filled = 0;
        if !done.is_empty() && pieces.front().is_some_and(|piece| is_blank(piece)) {
            pieces.pop_front();
        }
        while let Some(piece) = pieces.front() {
            if filled + len(piece) > width {
                break;
            }
            filled += len(piece);
            line.extend(pieces.pop_front());
        }
        if pieces.front().is_some_and(|piece| len(piece) > width)
            && let Some(piece) = pieces.pop_front()
        {
            if long {
                let end = break_at(&piece, width - filled, hyphens);
                line.push(piece.chars().take(end).collect());
                pieces.push_front(piece.chars().skip(end).collect());
            } else if line.is_empty() {
                line.push(piece);
            } else {
                pieces.push_front(piece);
            }
        }
        if line.last().is_some_and(|piece| is_blank(piece)) {
            line.pop();
        }
        if !line.is_empty() {
            done.push(line.concat());
        }
    }
    done
}

/// Where a word that is too long breaks: after a hyphen if there is one.
fn break_at(piece: &str, space: usize, hyphens: bool) -> usize {
    let chars: Vec<char> = piece.chars().collect();
    if hyphens && chars.len() > space {
        let head = chars.get(..space).unwrap_or_default();
        let hyphen = head.iter().rposition(|c| *c == '-').filter(|at| *at > 0);
        if let Some(at) = hyphen
            && head.iter().take(at).any(|c| *c != '-')
        {
            return at + 1;
        }
    }
    space
}
