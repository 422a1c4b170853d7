//! `file.*` functions that change parts of contents.

use salt_proto::Value;

use super::{Answer, path_of, whole};
use crate::args::Args;
use crate::context::Context;
use crate::files::edit::{comment, diff, editable, rewrite};
use crate::files::encoding::utf8;
use crate::files::line::Line;
use crate::files::regex::{Flags, Pattern, loose, tight};
use crate::files::text::{byte_lines, text_lines_with_ends};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::file as states;

fn ending(args: &Args) -> Option<String> {
    args.given("backup")
        .filter(|backup| backup.is_true())
        .map(|backup| match backup {
            Value::Bool(true) => ".bak".to_owned(),
            other => python::str(other),
        })
}

/// The diff, or whether there is one.
fn told(args: &Args, diff: String) -> Value {
    if args.is_true("show_changes") {
        diff.into()
    } else {
        (!diff.is_empty()).into()
    }
}

/// Parts of contents.
pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "file.replace",
        "replace(path, pattern, repl, count=0, flags=8, bufsize=1, append_if_not_found=False, prepend_if_not_found=False, not_found_content=None, backup='.bak', dry_run=False, search_only=False, show_changes=True, ignore_if_missing=False, preserve_inode=True, backslash_literal=False, encoding=None)",
        "Replaces what a regular expression finds and returns the difference.",
        |args, context| {
            let path = path_of(args, "path")?;
            if !context.system.exists(&path) && args.is_true("ignore_if_missing") {
                return Ok(false.into());
            }
            let job = states::told(args)?;
            let old = editable(&path, job.encoding.as_deref(), context.system)?;
            if args.is_true("search_only") {
                let (text, _) = loose(&old);
                let found = Pattern::new(&job.pattern, job.flags)?.is_match(&text)?;
                return Ok(found.into());
            }
            let new = job.apply(&old)?;
            if new != old && !args.is_true("dry_run") {
                rewrite(&path, &new, ending(args).as_deref(), true, context)?;
            }
            Ok(told(args, job.diff(&old, &new)))
        },
    );
    registry.add(
        "file.line",
        "line(path, content=None, match=None, mode=None, location=None, before=None, after=None, show_changes=True, backup=False, quiet=False, indent=True)",
        "Sees to one line of a file and returns the difference.",
        line,
    );
    registry.add(
        "file.blockreplace",
        "blockreplace(path, marker_start='#-- start managed zone --', marker_end='#-- end managed zone --', content='', append_if_not_found=False, prepend_if_not_found=False, backup='.bak', dry_run=False, show_changes=True, append_newline=False, insert_before_match=None, insert_after_match=None)",
        "Replaces what stands between two marks and returns the difference.",
        |args, context| {
            let path = path_of(args, "path")?;
            if !context.system.exists(&path) {
                return Err(CallError::invocation(format!(
                    "File not found: {}",
                    path.display()
                )));
            }
            let old = whole(&path, context)?;
            let text = utf8(&old)
                .map_err(|text| CallError::exception("UnicodeDecodeError", text))?;
            let content = args.optional_text("content").unwrap_or_default();
            let mut block = states::block(args, content)?;
            // The state decides by the content; the function is told.
            if block.append_newline.is_none() && args.get("append_newline").is_none() {
                block.append_newline = Some(false);
            }
            let new = block.apply(text)?;
            if new.as_bytes() != old && !args.is_true("dry_run") {
                let backup = ending(args);
                states::replace_file(&path, &old, new.as_bytes(), backup.as_deref(), context)?;
            }
            Ok(told(args, diff(&old, new.as_bytes())))
        },
    );
    registry.add(
        "file.comment_line",
        "comment_line(path, regex, char='#', cmnt=True, backup='.bak')",
        "Puts a mark before lines, or takes it away, and returns the difference.",
        |args, context| marked(args, args.is_true("cmnt"), context),
    );
    registry.add(
        "file.comment",
        "comment(path, regex, char='#', backup='.bak')",
        "Puts a mark before the lines that an expression finds.",
        |args, context| marked(args, true, context),
    );
    registry.add(
        "file.uncomment",
        "uncomment(path, regex, char='#', backup='.bak')",
        "Takes the mark before lines away.",
        |args, context| marked(args, false, context),
    );
    registry.add(
        "file.psed",
        "psed(path, before, after, limit='', backup='.bak', flags='gMS', escape_all=False, multi=False)",
        "Replaces what a regular expression finds, all or the first of it.",
        |args, context| {
            let path = path_of(args, "path")?;
            let old = whole(&path, context)?;
            let letters = args.optional_text("flags").unwrap_or_default();
            let names: Value = letters
                .chars()
                .filter(|letter| *letter != 'g')
                .map(|letter| letter.to_string())
                .collect();
            let flags = Flags::parse(Some(&names))?;
            let pattern = Pattern::new(&args.text("before")?, flags)?;
            let limit = args.optional_text("limit").filter(|limit| !limit.is_empty());
            let limit = limit.map(|limit| Pattern::new(&limit, flags)).transpose()?;
            let count = usize::from(!letters.contains('g'));
            let after = args.text("after")?;
            let (text, by_byte) = loose(&old);
            let mut new = String::with_capacity(text.len());
            for line in text_lines_with_ends(&text) {
                let here = match &limit {
                    Some(limit) => limit.is_match(line)?,
                    None => true,
                };
                if here {
                    new.push_str(&pattern.replace(line, &after, count, false)?.0);
                } else {
                    new.push_str(line);
                }
            }
            rewrite(
                &path,
                &tight(&new, by_byte),
                ending(args).as_deref(),
                false,
                context,
            )?;
            Ok(Value::Null)
        },
    );
    registry.add(
        "file.sed_contains",
        "sed_contains(path, text, limit='', flags='g')",
        "Says whether a line of a file has what an expression finds.",
        |args, context| {
            let path = path_of(args, "path")?;
            if !context.system.exists(&path) {
                return Ok(false.into());
            }
            let (text, _) = loose(&whole(&path, context)?);
            let pattern = Pattern::new(&args.text("text")?, Flags::MULTILINE)?;
            Ok(pattern.is_match(&text)?.into())
        },
    );
}

fn marked(args: &Args, add: bool, context: &Context<'_>) -> Answer {
    let path = path_of(args, "path")?;
    let old = editable(&path, None, context.system)?;
    let new = comment(&old, &args.text("regex")?, &args.text("char")?, add)?;
    match new {
        Some(new) => {
            rewrite(&path, &new, ending(args).as_deref(), false, context)?;
            // Only the lines that were found are shown.
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for (a, b) in byte_lines(&old).into_iter().zip(byte_lines(&new)) {
                if a != b {
                    before.extend_from_slice(a);
                    after.extend_from_slice(b);
                }
            }
            Ok(diff(&before, &after).into())
        }
        None => Ok(false.into()),
    }
}

fn line(args: &Args, context: &Context<'_>) -> Answer {
    let path = path_of(args, "path")?;
    if !context.system.is_file(&path) {
        return Err(CallError::execution(format!(
            "File \"{}\" does not exists or is not a file.",
            path.display()
        )));
    }
    let Some(mode) = args.optional_text("mode") else {
        return Err(CallError::execution(
            "Mode was not defined. How to process the file?",
        ));
    };
    let content = args.optional_text("content").unwrap_or_default();
    if content.is_empty() && mode != "delete" {
        return Err(CallError::execution(
            "Content can only be empty if mode is \"delete\"",
        ));
    }
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
    let old = whole(&path, context)?;
    let text = utf8(&old).map_err(|text| CallError::exception("UnicodeDecodeError", text))?;
    let lines = job.apply(text)?;
    let new = lines.concat();
    if new == text {
        return Ok(false.into());
    }
    let stamp = if args.is_true("backup") {
        let now = context.system.now().into();
        let at = crate::files::backup::local_time("%Y-%m-%d-%H-%M-%S", now, context)?;
        Some(format!(".{at}"))
    } else {
        None
    };
    rewrite(&path, new.as_bytes(), stamp.as_deref(), false, context)?;
    Ok(told(args, diff(&old, new.as_bytes())))
}
