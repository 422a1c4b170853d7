//! `file.replace`, `file.line`, `file.blockreplace` and `file.keyvalue`: states that edit a
//! part of a file.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::append::of_sources;
use super::{Answer, absolute, accumulated, expanded, named};
use crate::args::Args;
use crate::diff::unified_diff;
use crate::files::block::Block;
use crate::files::edit::{KeyValues, Replace, diff, editable, rewrite};
use crate::files::encoding::utf8;
use crate::files::line::Line;
use crate::files::perms::{Wanted, mode_bits};
use crate::files::regex::Flags;
use crate::files::source::os_error;
use crate::files::text::text_lines_with_ends;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::WriteOptions;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.replace",
        "replace(name, pattern, repl, count=0, flags=8, bufsize=1, append_if_not_found=False, prepend_if_not_found=False, not_found_content=None, backup='.bak', show_changes=True, ignore_if_missing=False, backslash_literal=False, encoding=None)",
        "Replaces what a regular expression finds.",
        replace,
    );
    registry.add_state(
        "file.line",
        "line(name, content=None, match=None, mode=None, location=None, before=None, after=None, show_changes=True, backup=False, quiet=False, indent=True, create=False, user=None, group=None, file_mode=None)",
        "Sees to one line of a file.",
        line,
    );
    registry.add_state(
        "file.blockreplace",
        "blockreplace(name, marker_start='#-- start managed zone --', marker_end='#-- end managed zone --', source=None, source_hash=None, template='jinja', sources=None, source_hashes=None, defaults=None, context=None, content='', append_if_not_found=False, prepend_if_not_found=False, backup='.bak', show_changes=True, append_newline=None, insert_before_match=None, insert_after_match=None)",
        "Sees to what stands between two marks of a file.",
        blockreplace,
    );
    registry.add_state(
        "file.keyvalue",
        "keyvalue(name, key=None, value=None, key_values=None, separator='=', append_if_not_found=False, prepend_if_not_found=False, search_only=False, show_changes=True, ignore_if_missing=False, count=1, uncomment=None, key_ignore_case=False, value_ignore_case=False, create_if_missing=False, prune=False)",
        "Sees to keys and values of a file.",
        keyvalue,
    );
}

/// The ending of backups, `None` for none.
pub(super) fn ending(args: &Args) -> Option<String> {
    args.given("backup")
        .filter(|backup| backup.is_true())
        .map(|backup| match backup {
            Value::Bool(true) => ".bak".to_owned(),
            other => python::str(other),
        })
}

/// Salt's entry for a diff, or that there is one.
fn shown(args: &Args, diff: String) -> Changes {
    if args.is_true("show_changes") {
        Changes::of("diff", diff)
    } else {
        Changes::of("diff", true)
    }
}

/// What `file.replace` is told, of a state's or a function's arguments.
pub(crate) fn told(args: &Args) -> Result<Replace, CallError> {
    let pattern = match args.get("pattern") {
        Some(Value::Str(pattern)) => pattern.clone(),
        other => {
            let kind = other.map_or("NoneType", Value::type_name);
            return Err(CallError::exception(
                "TypeError",
                format!("expected str, bytes, or bytearray not <class '{kind}'>"),
            ));
        }
    };
    let count = match args.given("count") {
        None => 0,
        Some(Value::Int(count)) => usize::try_from(*count).unwrap_or(0),
        Some(Value::Bool(count)) => usize::from(*count),
        Some(other) => {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "'{}' object cannot be interpreted as an integer",
                    other.type_name()
                ),
            ));
        }
    };
    let (append, prepend) = (
        args.is_true("append_if_not_found"),
        args.is_true("prepend_if_not_found"),
    );
    if append && prepend {
        return Err(CallError::invocation(
            "Only one of append and prepend_if_not_found is permitted",
        ));
    }
    Ok(Replace {
        pattern,
        replacement: args.text("repl")?,
        count,
        flags: Flags::parse(args.given("flags"))?,
        append,
        prepend,
        not_found: args.optional_text("not_found_content"),
        literal: args.is_true("backslash_literal"),
        encoding: args
            .optional_text("encoding")
            .filter(|encoding| !encoding.is_empty()),
    })
}

fn replace(args: &Args, check: &Check<'_>) -> Answer {
    let name = match named(args, "replace", check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let path = PathBuf::from(&name);
    let none = "No changes needed to be made";
    if !check.system.exists(&path) {
        return Ok(if args.is_true("ignore_if_missing") {
            Plan::unchanged(none)
        } else {
            Plan::fail(format!("{name}: file not found"))
        });
    }
    for key in ["count", "bufsize"] {
        let wrong = match args.get(key) {
            Some(Value::Str(word)) if key == "bufsize" && word == "file" => None,
            Some(Value::Int(_) | Value::Bool(_)) | None => None,
            Some(Value::Str(_)) if key == "count" => None,
            other => other,
        };
        if let Some(wrong) = wrong {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "'{}' object cannot be interpreted as an integer",
                    wrong.type_name()
                ),
            ));
        }
    }
    if let Some(wrong) = args.given("not_found_content")
        && wrong.as_str().is_none()
    {
        return Err(CallError::exception(
            "TypeError",
            format!(
                "expected str, bytes, or bytearray not <class '{}'>",
                wrong.type_name()
            ),
        ));
    }
    let job = told(args)?;
    let old = editable(&path, job.encoding.as_deref(), check.system)?;
    let new = job.apply(&old)?;
    if old == new {
        return Ok(Plan::unchanged(none));
    }
    let backup = ending(args);
    Ok(Plan::change(
        "Changes were made",
        shown(args, job.diff(&old, &new)),
        move |context| rewrite(&path, &new, backup.as_deref(), true, context),
    )
    .when_testing("Changes would have been made"))
}

/// Python's complaints about what is no text.
fn line_is_told(args: &Args) -> Result<(), CallError> {
    for (key, method) in [("mode", "lower"), ("content", "rstrip")] {
        if let Some(wrong) = args.given(key).filter(|given| given.as_str().is_none()) {
            let kind = wrong.type_name();
            return Err(CallError::exception(
                "AttributeError",
                format!("'{kind}' object has no attribute '{method}'"),
            ));
        }
    }
    for key in ["match", "before", "after"] {
        let why = match args.given(key).filter(|given| given.is_true()) {
            None | Some(Value::Str(_)) => continue,
            Some(wrong @ (Value::List(_) | Value::Map(_))) => {
                format!("unhashable type: '{}'", wrong.type_name())
            }
            Some(_) => "first argument must be string or compiled pattern".to_owned(),
        };
        let wrong = args.given(key).map(python::str).unwrap_or_default();
        return Err(CallError::execution(format!("{why}: '{wrong}'")));
    }
    super::owners_are_names(args)
}

fn line(args: &Args, check: &Check<'_>) -> Answer {
    let name = match named(args, "line", check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let path = PathBuf::from(&name);
    let there = check.system.is_file(&path);
    let parent = path.parent().unwrap_or(&path);
    let creates = !there && args.is_true("create") && check.system.is_dir(parent);
    if !there && (check.is_test() || !creates) {
        return Ok(Plan::fail(format!("{name}: file not found")));
    }
    let Some(mode) = args.optional_text("mode") else {
        return Ok(Plan::fail("Mode was not defined. How to process the file?"));
    };
    line_is_told(args)?;
    let content = args.optional_text("content").unwrap_or_default();
    if args.given("content").is_none() && mode != "delete" {
        return Ok(Plan::fail(
            "Content can only be empty if mode is ['delete']",
        ));
    }
    let fails = |error| os_error(error, &path);
    let old = check.system.read(&path).map_err(fails)?.unwrap_or_default();
    let text = utf8(&old).map_err(|text| CallError::exception("UnicodeDecodeError", text))?;
    let given = |key: &str| args.optional_text(key).filter(|text| !text.is_empty());
    let job = Line {
        content,
        matches: given("match"),
        mode,
        location: given("location"),
        before: given("before"),
        after: given("after"),
        indent: args.is_true("indent"),
    };
    let lines = job.apply(text)?;
    let new = lines.concat();
    let wanted = Wanted::new(
        args.given("user"),
        args.given("group"),
        args.given("file_mode"),
    );
    if new == text && !creates {
        return Ok(Plan::unchanged("No changes needed to be made"));
    }
    let before: Vec<String> = text_lines_with_ends(text)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let changes = shown(args, unified_diff(&before, &lines, "", "").concat());
    let backup = args.is_true("backup");
    Ok(Plan::change("Changes were made", changes, move |context| {
        let fails = |error| os_error(error, &path);
        if creates {
            let (uid, gid) = wanted.numbers(context.system).map_err(fails)?;
            let options = WriteOptions {
                mode: wanted.mode.as_deref().and_then(mode_bits),
                uid,
                gid,
                follow: true,
                ..WriteOptions::new()
            };
            return context
                .system
                .write(&path, new.as_bytes(), &options)
                .map_err(fails);
        }
        let stamp = if backup {
            let now = context.system.now().into();
            let at = crate::files::backup::local_time("%Y-%m-%d-%H-%M-%S", now, context)?;
            Some(format!(".{at}"))
        } else {
            None
        };
        rewrite(&path, new.as_bytes(), stamp.as_deref(), false, context)
    })
    .when_testing("Changes would be made"))
}

/// What `file.blockreplace` is told.
pub(crate) fn block(args: &Args, content: String) -> Result<Block, CallError> {
    let mark = |key: &str| match args.get(key) {
        Some(Value::Str(mark)) => Ok(mark.clone()),
        other => {
            let kind = other.map_or("NoneType", Value::type_name);
            Err(if key == "marker_start" {
                let text = format!("'in <string>' requires string as left operand, not {kind}");
                CallError::exception("TypeError", text)
            } else if args.is_true("append_if_not_found") || args.is_true("prepend_if_not_found") {
                let text = format!("'{kind}' object has no attribute 'rstrip'");
                CallError::exception("AttributeError", text)
            } else {
                CallError::exception("TypeError", format!("must be str, not {kind}"))
            })
        }
    };
    // Python counts how many of the ways are on.
    let mut ways = 0;
    for key in ["append_if_not_found", "prepend_if_not_found"] {
        match args.get(key) {
            None => {}
            Some(Value::Bool(on)) => ways += i64::from(*on),
            Some(Value::Int(number)) => ways += *number,
            Some(other) => {
                let kind = other.type_name();
                let text = format!("unsupported operand type(s) for +: 'int' and '{kind}'");
                return Err(CallError::exception("TypeError", text));
            }
        }
    }
    if ways > 1 {
        return Err(Block::too_many_ways());
    }
    let given = |key: &str| args.optional_text(key).filter(|text| !text.is_empty());
    Ok(Block {
        start: mark("marker_start")?,
        end: mark("marker_end")?,
        content,
        append: args.is_true("append_if_not_found"),
        prepend: args.is_true("prepend_if_not_found"),
        append_newline: args.given("append_newline").map(Value::is_true),
        before: given("insert_before_match"),
        after: given("insert_after_match"),
    })
}

fn blockreplace(args: &Args, check: &Check<'_>) -> Answer {
    let name = match named(args, "blockreplace", check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let path = PathBuf::from(&name);
    if !check.system.exists(&path) {
        return Ok(Plan::fail(format!("{name}: file not found")));
    }
    let stopped = |text: &str| {
        Plan::fail(format!(
            "Encountered error managing block: {text}. See the log for details."
        ))
    };
    let mut content = match args.get("content") {
        None => String::new(),
        Some(Value::Str(content)) => content.clone(),
        Some(other) => {
            let kind = other.type_name();
            return Ok(stopped(&format!(
                "'{kind}' object has no attribute 'endswith'"
            )));
        }
    };
    match of_sources(args, check, &name)? {
        Err(plan) => return Ok(plan),
        Ok(Some(texts)) => {
            let texts: Vec<&str> = texts
                .iter()
                .map(|text| text.trim_end_matches('\n'))
                .collect();
            content.push_str(&texts.join("\n"));
        }
        Ok(None) => {}
    }
    if let Some(gathered) = accumulated::gathered(&name, check) {
        for text in gathered.values().filter_map(Value::as_list).flatten() {
            if !content.is_empty() {
                content.push('\n');
            }
            content.push_str(&python::str(text));
        }
    }
    if check.system.is_dir(&path) {
        let error = os_error(rustix::io::Errno::ISDIR.into(), &path);
        return Ok(stopped(&format!("Failed to read from {name}: {error}")));
    }
    let old = check
        .system
        .read(&path)
        .map_err(|error| os_error(error, &path))?
        .unwrap_or_default();
    let done = utf8(&old)
        .map_err(|text| CallError::exception("UnicodeDecodeError", text))
        .and_then(|text| block(args, content)?.apply(text));
    let new = match done {
        Ok(new) => new,
        Err(error) => return Ok(stopped(&error.to_string())),
    };
    if new.as_bytes() == old {
        return Ok(Plan::unchanged("No changes needed to be made"));
    }
    let changes = shown(args, diff(&old, new.as_bytes()));
    let backup = ending(args);
    Ok(Plan::change("Changes were made", changes, move |context| {
        replace_file(&path, &old, new.as_bytes(), backup.as_deref(), context)
    })
    .when_testing("Changes would be made"))
}

/// Puts a new file in the place of one, a link too, after a copy of its content.
pub(crate) fn replace_file(
    path: &Path,
    old: &[u8],
    new: &[u8],
    backup: Option<&str>,
    context: &crate::Context<'_>,
) -> Result<(), CallError> {
    let system = context.system;
    let fails = |error| os_error(error, path);
    let found = system.metadata(path).map_err(fails)?;
    let mut options = WriteOptions::new();
    if let Some(found) = found {
        options = options.mode(found.mode).owner(found.uid, found.gid);
    }
    if let Some(ending) = backup {
        let mut copy = path.as_os_str().to_owned();
        copy.push(ending);
        let copy = PathBuf::from(copy);
        system
            .write(&copy, old, &options)
            .map_err(|error| os_error(error, &copy))?;
    }
    system.write(path, new, &options).map_err(fails)
}

fn keyvalue(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.keyvalue"));
    }
    let pairs = match (
        args.given("key_values"),
        args.given("key"),
        args.given("value"),
    ) {
        (Some(Value::Map(pairs)), _, _) if !pairs.is_empty() => pairs.clone(),
        (Some(pairs), _, _) if pairs.is_true() => {
            return Ok(Plan::fail(
                "file.keyvalue key and value not supplied and key_values is not a dictionary",
            ));
        }
        (_, Some(key), Some(value)) => {
            let mut pairs = Map::new();
            pairs.insert(key.clone(), value.clone());
            pairs
        }
        _ => {
            return Ok(Plan::fail(
                "file.keyvalue key and value not supplied and key_values is empty",
            ));
        }
    };
    let path = PathBuf::from(&name);
    let creates = args.is_true("create_if_missing") && !check.system.exists(&path);
    let missing = format!("unable to open {name}");
    let readable = absolute(&name).is_none() && check.system.is_file(&path);
    if !readable && !creates {
        return Ok(if args.is_true("ignore_if_missing") {
            Plan::unchanged(missing)
        } else {
            Plan::fail(missing)
        });
    }
    let old = if creates {
        Vec::new()
    } else {
        check
            .system
            .read(&path)
            .map_err(|error| os_error(error, &path))?
            .unwrap_or_default()
    };
    let text = utf8(&old).map_err(|text| CallError::exception("UnicodeDecodeError", text))?;
    let job = KeyValues {
        pairs,
        separator: args.text("separator")?,
        append: args.is_true("append_if_not_found") || creates,
        prepend: args.is_true("prepend_if_not_found"),
        search_only: args.is_true("search_only"),
        count: args.optional_int("count")?.unwrap_or(1),
        uncomment: args
            .optional_text("uncomment")
            .filter(|mark| !mark.is_empty()),
        key_ignore_case: args.is_true("key_ignore_case"),
        value_ignore_case: args.is_true("value_ignore_case"),
        prune: args.is_true("prune"),
    };
    let done = job.apply(text);
    if done.diff.is_empty() {
        return Ok(Plan::unchanged(""));
    }
    let (changed, deleted) = (done.changed, done.deleted);
    let mut would =
        format!("File {name} is set to be changed ({changed} lines modified, {deleted} deleted)");
    let changes = if args.is_true("show_changes") {
        would.push_str("\nPredicted diff:\n");
        for line in &done.diff {
            would.push_str(&format!("\r\t\t{line}"));
        }
        Changes::of("diff", done.diff.concat())
    } else {
        Changes::none()
    };
    let new = done.content;
    Ok(Plan::change(
        format!("Changed {changed}, deleted {deleted} lines"),
        changes,
        move |context| {
            let options = WriteOptions {
                follow: true,
                ..WriteOptions::new()
            };
            context
                .system
                .write(&path, new.as_bytes(), &options)
                .map_err(|error| os_error(error, &path))?;
            Ok(Done::as_planned())
        },
    )
    .when_testing(would))
}
