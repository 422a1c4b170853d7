//! `file.*` functions that change something.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::edit::{comment, diff, editable, rewrite};
use crate::files::encoding::utf8;
use crate::files::line::Line;
use crate::files::perms::{Wanted, gid_of, mode_bits, mode_text, normalize_mode, uid_of};
use crate::files::regex::{Flags, Pattern, loose, tight};
use crate::files::source::os_error;
use crate::files::text::{byte_lines, text_lines_with_ends};
use crate::files::tree;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::file as states;
use crate::system::{FileKind, Node, Timestamp, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    texts(registry);
    edits(registry);
    places(registry);
    owners(registry);
}

fn path_of(args: &Args, key: &str) -> Result<PathBuf, CallError> {
    Ok(PathBuf::from(args.text(key)?))
}

/// The path named by an argument, which must be absolute.
fn absolute(args: &Args, key: &str, complaint: &str) -> Result<PathBuf, CallError> {
    let path = path_of(args, key)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(CallError::invocation(complaint))
    }
}

const RELATIVE: &str = "File path must be absolute.";

/// Lines given one by one, or as `args`.
fn given_lines(args: &Args) -> Vec<String> {
    match args.keywords().get("args") {
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        Some(one) => vec![python::str(one)],
        None => args.positional().iter().map(python::str).collect(),
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn following() -> WriteOptions {
    WriteOptions {
        follow: true,
        ..WriteOptions::new()
    }
}

/// The whole of a file that must be there.
fn whole(path: &Path, context: &Context<'_>) -> Result<Vec<u8>, CallError> {
    if context.system.is_dir(path) {
        return Err(os_error(rustix::io::Errno::ISDIR.into(), path));
    }
    context
        .system
        .read(path)
        .map_err(|error| os_error(error, path))?
        .ok_or_else(|| os_error(rustix::io::Errno::NOENT.into(), path))
}

fn put(path: &Path, content: &[u8], context: &Context<'_>) -> Result<(), CallError> {
    let parent = path.parent().unwrap_or(path);
    if !context.system.is_dir(parent) {
        return Err(os_error(rustix::io::Errno::NOENT.into(), path));
    }
    context
        .system
        .write(path, content, &following())
        .map_err(|error| os_error(error, path))
}

/// Whole contents.
fn texts(registry: &mut Registry) {
    registry.add(
        "file.append",
        "append(path, *args, **kwargs)",
        "Adds lines at the end of a file.",
        |args, context| {
            let path = path_of(args, "path")?;
            let lines = given_lines(args);
            let mut content = whole(&path, context)?;
            if !content.is_empty() && !content.ends_with(b"\n") {
                content.push(b'\n');
            }
            content.extend_from_slice(joined(&lines).as_bytes());
            put(&path, &content, context)?;
            let shown = path.display();
            Ok(format!("Wrote {} lines to \"{shown}\"", lines.len()).into())
        },
    );
    registry.add(
        "file.prepend",
        "prepend(path, *args, **kwargs)",
        "Adds lines at the beginning of a file.",
        |args, context| {
            let path = path_of(args, "path")?;
            let lines = given_lines(args);
            let mut content = joined(&lines).into_bytes();
            if context.system.exists(&path) {
                content.append(&mut whole(&path, context)?);
            }
            put(&path, &content, context)?;
            let shown = path.display();
            Ok(format!("Prepended {} lines to \"{shown}\"", lines.len()).into())
        },
    );
    registry.add(
        "file.write",
        "write(path, *args, **kwargs)",
        "Writes lines into a file, in place of what is in it.",
        |args, context| {
            let path = path_of(args, "path")?;
            let lines = given_lines(args);
            put(&path, joined(&lines).as_bytes(), context)?;
            let shown = path.display();
            Ok(format!("Wrote {} lines to \"{shown}\"", lines.len()).into())
        },
    );
    registry.add(
        "file.touch",
        "touch(name, atime=None, mtime=None)",
        "Makes an empty file or sets a file's times.",
        |args, context| {
            let path = path_of(args, "name")?;
            let fails = |error| os_error(error, &path);
            if !context.system.exists(&path) {
                states::make_empty(&path, context).map_err(fails)?;
            }
            let accessed = states::seconds(args.given("atime"))?;
            let modified = states::seconds(args.given("mtime"))?;
            let now = Timestamp::from(context.system.now());
            context
                .system
                .set_times(
                    &path,
                    Some(accessed.unwrap_or(now)),
                    Some(modified.unwrap_or(now)),
                )
                .map_err(fails)?;
            Ok(true.into())
        },
    );
    registry.add(
        "file.truncate",
        "truncate(path, length)",
        "Cuts a file at a length, or fills it up with zeros.",
        |args, context| {
            let path = path_of(args, "path")?;
            let length = usize::try_from(args.int("length")?).unwrap_or(0);
            let mut content = whole(&path, context)?;
            let limit = usize::try_from(crate::system::READ_LIMIT).unwrap_or(usize::MAX);
            content.resize(length.min(limit), 0);
            put(&path, &content, context)?;
            Ok(Value::Null)
        },
    );
    registry.add(
        "file.seek_read",
        "seek_read(path, size, offset)",
        "Returns a part of a file.",
        |args, context| {
            let content = whole(&path_of(args, "path")?, context)?;
            let from = usize::try_from(args.int("offset")?).unwrap_or(0);
            let size = usize::try_from(args.int("size")?).unwrap_or(0);
            let from = from.min(content.len());
            let to = from.saturating_add(size).min(content.len());
            let part = content.get(from..to).unwrap_or_default().to_vec();
            Ok(String::from_utf8(part).map_or_else(|error| error.into_bytes().into(), Value::from))
        },
    );
    registry.add(
        "file.seek_write",
        "seek_write(path, data, offset)",
        "Writes over a part of a file and returns how many bytes.",
        |args, context| {
            let path = path_of(args, "path")?;
            let mut content = whole(&path, context)?;
            let data = match args.get("data") {
                Some(Value::Bytes(bytes)) => bytes.clone(),
                other => other.map(python::str).unwrap_or_default().into_bytes(),
            };
            let from = usize::try_from(args.int("offset")?).unwrap_or(0);
            let end = from.saturating_add(data.len());
            let limit = usize::try_from(crate::system::READ_LIMIT).unwrap_or(usize::MAX);
            if end > limit {
                return Err(CallError::execution("The offset is too large"));
            }
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(part) = content.get_mut(from..end) {
                part.copy_from_slice(&data);
            }
            put(&path, &content, context)?;
            Ok(i64::try_from(data.len()).unwrap_or(i64::MAX).into())
        },
    );
}

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
fn edits(registry: &mut Registry) {
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

/// Where files and directories are.
fn places(registry: &mut Registry) {
    registry.add(
        "file.mkdir",
        "mkdir(dir_path, user=None, group=None, mode=None)",
        "Makes a directory, with those above it that are missing.",
        |args, context| {
            let path = path_of(args, "dir_path")?;
            let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
            if !context.system.is_dir(&path) {
                let fails = |error| os_error(error, &path);
                if context.system.exists(&path) {
                    return Err(fails(rustix::io::Errno::EXIST.into()));
                }
                let bits = wanted.mode.as_deref().and_then(mode_bits).unwrap_or(0o755);
                states::make_dirs(&path, bits, &wanted, context).map_err(fails)?;
            }
            Ok(true.into())
        },
    );
    registry.add(
        "file.makedirs",
        "makedirs(path, user=None, group=None, mode=None)",
        "Makes the directory that a path is in, all of a path that ends in a slash.",
        |args, context| {
            let path = args.text("path")?;
            let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
            let place = match path.strip_suffix('/') {
                Some(place) => PathBuf::from(place),
                None => Path::new(&path)
                    .parent()
                    .unwrap_or_else(|| Path::new("/"))
                    .to_owned(),
            };
            let shown = place.display();
            if context.system.is_dir(&place) {
                return Ok(format!("Directory '{shown}' already exists").into());
            }
            if context.system.exists(&place) {
                return Ok(
                    format!("The path '{shown}' already exists and is not a directory").into(),
                );
            }
            states::with_dirs(&place, &wanted, context).map_err(|error| os_error(error, &place))?;
            Ok(Value::Null)
        },
    );
    registry.add(
        "file.makedirs_perms",
        "makedirs_perms(name, user=None, group=None, mode='0755')",
        "Makes a directory with those above it, all with one owner and mode.",
        |args, context| {
            let path = path_of(args, "name")?;
            let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
            states::with_dirs(&path, &wanted, context).map_err(|error| os_error(error, &path))?;
            Ok(Value::Null)
        },
    );
    registry.add(
        "file.rmdir",
        "rmdir(path, recurse=False, verbose=False, older_than=None)",
        "Removes an empty directory; recurse: with the empty ones in it.",
        |args, context| {
            let path = absolute(args, "path", RELATIVE)?;
            if !context.system.is_dir(&path) {
                return Err(CallError::invocation(format!(
                    "A valid directory was not specified: {}",
                    path.display()
                )));
            }
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            let (recurse, older) = (args.is_true("recurse"), args.optional_int("older_than")?);
            states::prune(
                &path,
                recurse,
                older,
                context.system,
                &mut deleted,
                &mut errors,
            )
            .map_err(|error| os_error(error, &path))?;
            let result = !context.system.exists(&path);
            Ok(if args.is_true("verbose") {
                Map::from([
                    ("deleted", Value::List(deleted)),
                    ("errors", Value::List(errors)),
                    ("result", result.into()),
                ])
                .into()
            } else {
                result.into()
            })
        },
    );
    registry.add(
        "file.remove",
        "remove(path, **kwargs)",
        "Removes a file, or a directory with all that is in it.",
        |args, context| {
            let path = super::home(&args.text("path")?, context);
            let shown = path.display();
            if !path.is_absolute() {
                return Err(CallError::invocation(format!(
                    "File path must be absolute: {shown}"
                )));
            }
            if path == Path::new("/") {
                return Err(CallError::invocation("Refusing to remove \"/\""));
            }
            let found = context.system.link_metadata(&path);
            if found.map_err(|error| os_error(error, &path))?.is_none() {
                return Ok(false.into());
            }
            match context.system.remove_all(&path) {
                Ok(()) => Ok(true.into()),
                Err(error) => Err(CallError::execution(format!(
                    "Could not remove '{shown}': {}",
                    errno_text(&error, Some(&path))
                ))),
            }
        },
    );
    registry.add(
        "file.rename",
        "rename(src, dst)",
        "Renames a file or directory.",
        |args, context| {
            let from = absolute(args, "src", RELATIVE)?;
            let to = path_of(args, "dst")?;
            match context.system.rename(&from, &to) {
                Ok(()) => Ok(true.into()),
                Err(_) => Err(CallError::execution(format!(
                    "Could not rename '{}' to '{}'",
                    from.display(),
                    to.display()
                ))),
            }
        },
    );
    registry.add(
        "file.move",
        "move(src, dst, disallow_copy_and_unlink=False)",
        "Moves a file or directory, over file systems too.",
        |args, context| {
            let from = absolute(args, "src", "Source path must be absolute.")?;
            let mut to = absolute(args, "dst", "Destination path must be absolute.")?;
            if context.system.is_dir(&to) {
                to.push(from.file_name().unwrap_or_default());
            }
            let (a, b) = (from.display(), to.display());
            match tree::rename(&from, &to, context.system) {
                Ok(()) => Ok(Map::from([
                    ("result", Value::from(true)),
                    ("comment", format!("'{a}' moved to '{b}'").into()),
                ])
                .into()),
                Err(error) => Err(CallError::execution(format!(
                    "Unable to move '{a}' to '{b}': {}",
                    errno_text(&error, Some(&from))
                ))),
            }
        },
    );
    registry.add(
        "file.copy",
        "copy(src, dst, recurse=False, remove_existing=False)",
        "Copies a file; recurse: a directory with all that is in it.",
        copy,
    );
    registry.add(
        "file.symlink",
        "symlink(src, path, force=False, atomic=False, follow_symlinks=True)",
        "Makes a symbolic link; force: in the place of a file.",
        symlink,
    );
    registry.add(
        "file.link",
        "link(src, path)",
        "Gives a file a second name.",
        |args, context| {
            let from = absolute(args, "src", RELATIVE)?;
            let to = path_of(args, "path")?;
            match context.system.hard_link(&from, &to) {
                Ok(()) => Ok(true.into()),
                Err(error) => Err(CallError::execution(format!(
                    "Could not create '{}': {} -> '{}'",
                    to.display(),
                    errno_text(&error, Some(&from)),
                    to.display()
                ))),
            }
        },
    );
    let doc = "Makes a pipe or device.";
    registry.add(
        "file.mknod",
        "mknod(name, ntype, major=0, minor=0, user=None, group=None, mode='0600')",
        doc,
        |args, context| mknod(args, "", context),
    );
    registry.add(
        "file.mknod_chrdev",
        "mknod_chrdev(name, major, minor, user=None, group=None, mode='0660')",
        doc,
        |args, context| mknod(args, "c", context),
    );
    registry.add(
        "file.mknod_blkdev",
        "mknod_blkdev(name, major, minor, user=None, group=None, mode='0660')",
        doc,
        |args, context| mknod(args, "b", context),
    );
    registry.add(
        "file.mknod_fifo",
        "mknod_fifo(name, user=None, group=None, mode='0660')",
        doc,
        |args, context| mknod(args, "p", context),
    );
}

fn copy(args: &Args, context: &Context<'_>) -> Answer {
    let system = context.system;
    let from = absolute(args, "src", RELATIVE)?;
    let to = path_of(args, "dst")?;
    let (a, b) = (from.display(), to.display());
    if !system.exists(&from) {
        return Err(CallError::execution(format!(
            "No such file or directory '{a}'"
        )));
    }
    if !to.is_absolute() {
        return Err(CallError::execution(format!(
            "Could not copy '{a}' to '{b}'"
        )));
    }
    let failed = |_| CallError::execution(format!("Could not copy '{a}' to '{b}'"));
    let (dirs, to_dir) = (system.is_dir(&from), system.is_dir(&to));
    if dirs || to_dir {
        if !args.is_true("recurse") {
            return Err(CallError::invocation(
                "Cannot copy overwriting a directory without recurse flag set to true!",
            ));
        }
        if args.is_true("remove_existing") {
            system.remove_all(&to).map_err(failed)?;
        } else if dirs && to_dir {
            merge(&from, &to, context).map_err(failed)?;
            return Ok(true.into());
        }
        if !dirs {
            let place = if system.is_dir(&to) {
                to.join(from.file_name().unwrap_or_default())
            } else {
                to.clone()
            };
            tree::copy(&from, &place, false, system).map_err(failed)?;
            return Ok(true.into());
        }
    }
    tree::copy(&from, &to, false, system).map_err(failed)?;
    Ok(true.into())
}

/// Copies what is in a directory into another.
fn merge(from: &Path, to: &Path, context: &Context<'_>) -> std::io::Result<()> {
    let system = context.system;
    for name in system.list(from)? {
        let (inner, place) = (from.join(&name), to.join(&name));
        let is_dir = system
            .link_metadata(&inner)?
            .is_some_and(|own| own.is_dir());
        if is_dir && system.is_dir(&place) {
            merge(&inner, &place, context)?;
        } else {
            if system.is_dir(&place) {
                system.remove_all(&place)?;
            }
            tree::copy(&inner, &place, false, system)?;
        }
    }
    Ok(())
}

fn symlink(args: &Args, context: &Context<'_>) -> Answer {
    let system = context.system;
    let target = args.text("src")?;
    let link = path_of(args, "path")?;
    let shown = link.display();
    if !link.is_absolute() {
        return Err(CallError::invocation(format!(
            "Link path must be absolute: {shown}"
        )));
    }
    let failed = || CallError::execution(format!("Could not create '{shown}'"));
    let force = args.is_true("force") || args.is_true("atomic");
    if let Some(own) = system.link_metadata(&link).map_err(|_| failed())? {
        if own.is_link() {
            let now = system.read_link(&link).map_err(|_| failed())?;
            if states::normal(&now.to_string_lossy()) == states::normal(&target) {
                return Ok(true.into());
            }
            if !force {
                return Err(CallError::execution(format!(
                    "Found existing symlink: {shown}"
                )));
            }
        } else if !force {
            return Err(CallError::execution(format!(
                "Existing path is not a symlink: {shown}"
            )));
        }
        if own.is_dir() {
            return Err(os_error(rustix::io::Errno::ISDIR.into(), &link));
        }
        system.remove(&link).map_err(|_| failed())?;
    }
    system
        .symlink(Path::new(&target), &link)
        .map_err(|_| failed())?;
    Ok(true.into())
}

fn mknod(args: &Args, kind: &str, context: &Context<'_>) -> Answer {
    let path = path_of(args, "name")?;
    let name = path.to_string_lossy().into_owned();
    let kind = match kind {
        "" => args.text("ntype")?,
        kind => kind.to_owned(),
    };
    let number = |key: &str| -> u32 {
        args.int(key)
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
    };
    let (node, what) = match kind.as_str() {
        "c" => (
            Node::Char(number("major"), number("minor")),
            "Character device",
        ),
        "b" => (
            Node::Block(number("major"), number("minor")),
            "Block device",
        ),
        "p" => (Node::Fifo, "Fifo pipe"),
        _ => {
            return Err(CallError::invocation(format!(
                "Node type unavailable: '{kind}'. Available node types are character ('c'), block ('b'), and pipe ('p')."
            )));
        }
    };
    let entry = |changes: Map, comment: String, result: bool| -> Value {
        Map::from([
            ("name", Value::from(name.as_str())),
            ("changes", changes.into()),
            ("comment", comment.into()),
            ("result", result.into()),
        ])
        .into()
    };
    if context.system.exists(&path) {
        return Ok(entry(
            Map::new(),
            format!("File {name} exists and cannot be overwritten"),
            false,
        ));
    }
    let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
    let bits = wanted.mode.as_deref().and_then(mode_bits).unwrap_or(0o660);
    context
        .system
        .make_node(&path, node, bits)
        .map_err(|error| os_error(error, &path))?;
    wanted
        .without_mode()
        .establish(context.system, &path, true)?;
    let made = Map::from([("new", format!("{what} {name} created."))]);
    Ok(entry(made, String::new(), true))
}

/// Owners and modes.
fn owners(registry: &mut Registry) {
    let doc = "Sets the owner and group of a file; returns nothing, or what is wrong.";
    registry.add(
        "file.chown",
        "chown(path, user, group)",
        doc,
        |args, context| own(args, true, context),
    );
    registry.add(
        "file.lchown",
        "lchown(path, user, group)",
        doc,
        |args, context| own(args, false, context),
    );
    registry.add("file.chgrp", "chgrp(path, group)", doc, |args, context| {
        own(args, true, context)
    });
    registry.add(
        "file.set_mode",
        "set_mode(path, mode)",
        "Sets the mode of a file and returns it.",
        |args, context| {
            let path = super::home(&args.text("path")?, context);
            let given = args.text("mode")?;
            if !context.system.exists(&path) {
                return Err(CallError::execution(format!(
                    "{}: File not found",
                    path.display()
                )));
            }
            let mode = normalize_mode(args.get("mode")).unwrap_or_default();
            let Some(bits) = mode_bits(&mode) else {
                return Ok(format!("Invalid Mode {given}").into());
            };
            if context.system.set_mode(&path, bits).is_err() {
                return Ok(format!("Invalid Mode {mode}").into());
            }
            let found = context
                .system
                .metadata(&path)
                .map_err(|error| os_error(error, &path))?;
            Ok(found.map_or(mode, |found| mode_text(found.mode)).into())
        },
    );
}

fn own(args: &Args, follow: bool, context: &Context<'_>) -> Answer {
    let path = super::home(&args.text("path")?, context);
    let fails = |error| os_error(error, &path);
    let id = |key: &str, of_user: bool| -> Result<Option<Option<u32>>, CallError> {
        let Some(given) = args.given(key).filter(|given| given.as_str() != Some("")) else {
            return Ok(None);
        };
        let found = if of_user {
            uid_of(context.system, given)
        } else {
            gid_of(context.system, given)
        };
        found.map(Some).map_err(fails)
    };
    let (user, group) = (id("user", true)?, id("group", false)?);
    let mut complaint = String::new();
    if user == Some(None) {
        complaint.push_str("User does not exist\n");
    }
    if group == Some(None) {
        complaint.push_str("Group does not exist\n");
    }
    let found = context.system.link_metadata(&path).map_err(fails)?;
    match found {
        None => complaint.push_str("File not found"),
        Some(found) if complaint.is_empty() => {
            let follow =
                follow && (found.kind != FileKind::Symlink || context.system.exists(&path));
            context
                .system
                .set_owner(&path, user.flatten(), group.flatten(), follow)
                .map_err(fails)?;
            return Ok(Value::Null);
        }
        Some(_) => {}
    }
    Ok(complaint.into())
}
