//! `file.check_file_meta`: what of a file differs from what is wanted.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::attributes;
use crate::files::perms::Wanted;
use crate::files::source::{self, os_error};
use crate::files::text::content_diff;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::file::only_ignored;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "file.check_file_meta",
        "check_file_meta(name, sfn, source, source_sum, user, group, mode, attrs, saltenv, contents=None, seuser=None, serole=None, setype=None, serange=None, verify_ssl=True, follow_symlinks=False, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None, new_file_diff=False)",
        "Returns what of a file would change; with one of the ignore options, before it whether that counts.",
        check_file_meta,
    );
}

fn check_file_meta(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let path = super::home(&name, context);
    let fails = |error| os_error(error, &path);
    let found = if args.is_true("follow_symlinks") {
        context.system.metadata(&path)
    } else {
        context.system.link_metadata(&path)
    };
    let found = found.map_err(fails)?;
    if found.is_none() && !args.is_true("new_file_diff") {
        return Ok(told(args, Map::from([("newfile", name)]), true));
    }
    let mut changes = Map::new();
    let mut counts = false;
    if let Some(new) = by_sum(args, &path, found.is_some(), context)? {
        match new {
            New::Unknown => {
                changes.insert("sum", "Checksum differs");
                counts = true;
            }
            New::Is(new) => counts |= compare(args, &path, new, &mut changes, context)?,
        }
    }
    if let Some(contents) = args.given("contents") {
        let new = match contents {
            Value::Bytes(bytes) => bytes.clone(),
            other => python::str(other).into_bytes(),
        };
        counts |= compare(args, &path, Ok(new), &mut changes, context)?;
    }
    if let Some(found) = found {
        let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
        changes.extend(wanted.lacking(context.system, &found).map_err(fails)?);
        if let Some(attrs) = args
            .optional_text("attrs")
            .filter(|attrs| !attrs.is_empty())
            && let Some(now) = attributes::of(&path, context.system)
            && attributes::differ(&now, &attrs)
        {
            changes.insert("attrs", attrs);
        }
    }
    Ok(told(args, changes, counts))
}

/// The changes, with whether they count where some are to be ignored.
fn told(args: &Args, changes: Map, counts: bool) -> Value {
    let ignores = [
        "ignore_ordering",
        "ignore_whitespace",
        "ignore_comment_characters",
    ];
    if ignores.into_iter().any(|key| args.is_true(key)) {
        return [Value::from(counts), changes.into()].into_iter().collect();
    }
    changes.into()
}

/// Content that a file should have, or why it cannot be read.
enum New {
    Is(Result<Vec<u8>, String>),
    /// Only its checksum is known.
    Unknown,
}

/// The new content where the checksum says that there is one.
fn by_sum(
    args: &Args,
    path: &Path,
    is_there: bool,
    context: &Context<'_>,
) -> Result<Option<New>, CallError> {
    let stated = args.given("source_sum").and_then(Value::as_map);
    let Some(hex) = stated.and_then(|sum| sum.str("hsum")) else {
        return Ok(None);
    };
    let kind = stated.and_then(|sum| sum.str("hash_type"));
    let Some(kind) = kind.filter(|kind| is_there && !kind.is_empty()) else {
        return Err(CallError::exception("KeyError", "'sum'"));
    };
    if context.system.is_dir(path) {
        return Err(os_error(rustix::io::Errno::ISDIR.into(), path));
    }
    let old = super::read(path, context)?;
    if crate::functions::hash(kind, &old)? == hex {
        return Ok(None);
    }
    let text = |key: &str| args.optional_text(key).filter(|text| !text.is_empty());
    let Some(source) = text("source") else {
        return Ok(Some(New::Unknown));
    };
    let saltenv = text("saltenv").unwrap_or_else(|| "base".to_owned());
    Ok(Some(match text("sfn") {
        Some(file) => New::Is(match context.system.read(Path::new(&file)) {
            Ok(Some(new)) => Ok(new),
            _ => Err(format!("Failed to read {file}: No such file or directory")),
        }),
        None => {
            let verify = args.is_true("verify_ssl");
            match source::fetched(&source, &saltenv, verify, context) {
                Ok(Some(new)) => New::Is(Ok(new)),
                _ => New::Unknown,
            }
        }
    }))
}

/// Puts the difference of contents into the changes; whether it counts.
fn compare(
    args: &Args,
    path: &Path,
    new: Result<Vec<u8>, String>,
    changes: &mut Map,
    context: &Context<'_>,
) -> Result<bool, CallError> {
    let unreadable = || format!("Failed to read {}: Is a directory", path.display());
    let (diff, counts) = match new {
        Err(text) => (text, true),
        Ok(_) if context.system.is_dir(path) => (unreadable(), true),
        Ok(new) => {
            let old = context.system.read(path);
            let old = old.map_err(|error| os_error(error, path))?;
            let diff = content_diff(old.as_deref().unwrap_or_default(), &new, "", "");
            (diff, !only_ignored(path, &new, args, context.system))
        }
    };
    if diff.is_empty() {
        return Ok(false);
    }
    changes.insert("diff", diff);
    Ok(counts)
}
