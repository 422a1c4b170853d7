//! `file.comment` and `file.uncomment`.

use std::path::PathBuf;

use salt_proto::Value;

use super::{Answer, named, replace};
use crate::args::Args;
use crate::files::edit::{comment as edited, diff, editable, escaped, rewrite};
use crate::files::regex::{Flags, Pattern, loose};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.comment",
        "comment(name, regex, char='#', backup='.bak', ignore_missing=False)",
        "Puts a mark before the lines that an expression finds.",
        |args, check| change(args, check, true),
    );
    registry.add_state(
        "file.uncomment",
        "uncomment(name, regex, char='#', backup='.bak')",
        "Takes the mark before lines away.",
        |args, check| change(args, check, false),
    );
}

/// An expression without its anchors and the flags before them.
fn unanchored(regex: &str) -> &str {
    let mut body = regex;
    if let Some(rest) = body.strip_prefix("(?")
        && let Some((flags, rest)) = rest.split_once(')')
        && !flags.is_empty()
        && flags.chars().all(|c| "iLmsux".contains(c))
    {
        body = rest;
    }
    let body = body.strip_prefix('^').unwrap_or(body);
    body.strip_suffix('$').unwrap_or(body)
}

/// Python's complaints about an expression and a mark that are none.
fn are_texts(args: &Args) -> Result<(), CallError> {
    let complain = |text: String| Err(CallError::exception("TypeError", text));
    let wrong = |key: &str| args.get(key).filter(|given| given.as_str().is_none());
    if let Some(regex) = wrong("regex") {
        let kind = regex.type_name();
        return complain(format!(
            "expected string or bytes-like object, got '{kind}'"
        ));
    }
    match wrong("char") {
        Some(Value::List(_)) => {
            complain("can only concatenate list (not \"str\") to list".to_owned())
        }
        Some(mark) => complain(format!(
            "unsupported operand type(s) for +: '{}' and 'str'",
            mark.type_name()
        )),
        None => Ok(()),
    }
}

fn change(args: &Args, check: &Check<'_>, add: bool) -> Answer {
    let function = if add { "comment" } else { "uncomment" };
    let name = match named(args, function, check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let path = PathBuf::from(&name);
    let (regex, mark) = (args.text("regex")?, args.text("char")?);
    if !check.system.exists(&path) {
        return Ok(Plan::fail(format!("{name}: file not found")));
    }
    if add {
        are_texts(args)?;
    }
    let old = editable(&path, None, check.system)?;
    let (text, _) = loose(&old);
    let finds = |pattern: String| Pattern::new(&pattern, Flags::MULTILINE)?.is_match(&text);
    let quoted = escaped(&mark);
    if add {
        let body = unanchored(&regex);
        if !finds(format!("^(?!\\s*{quoted})\\s*{body}"))? {
            return Ok(if finds(format!("^\\s*{quoted}\\s*{body}"))? {
                Plan::unchanged("Pattern already commented")
            } else if args.is_true("ignore_missing") {
                Plan::unchanged("Pattern not found and ignore_missing set to True")
            } else {
                Plan::fail(format!("{body}: Pattern not found"))
            });
        }
    } else {
        let body = regex.trim_start_matches('^');
        if !finds(format!("{quoted}[ \t]*{body}"))? {
            return Ok(if finds(format!("^[\t ]*{body}"))? {
                Plan::unchanged("Pattern already uncommented")
            } else {
                Plan::fail(format!("{regex}: Pattern not found"))
            });
        }
    }
    let done = if add {
        "Commented lines successfully"
    } else {
        "Uncommented lines successfully"
    };
    let new = edited(&old, &regex, &mark, add)?.filter(|new| *new != old);
    let changes = match &new {
        Some(new) => Changes::of("diff", diff(&old, new)),
        None => Changes::none(),
    };
    let backup = replace::ending(args);
    let would = Changes::of(&name, "updated");
    Ok(Plan::change(done, changes, move |context| {
        if let Some(new) = new {
            rewrite(&path, &new, backup.as_deref(), false, context)?;
        }
        Ok::<_, CallError>(Done::as_planned())
    })
    .when_testing(format!("File {name} is set to be updated"))
    .test_changes(would))
}
