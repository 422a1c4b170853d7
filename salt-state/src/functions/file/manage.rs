//! `file.*` functions that compare and manage whole files, and that ask in detail.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::attributes;
use crate::files::hash::extract;
use crate::files::perms::{Wanted, group_name, mode_text, user_name};
use crate::files::source::{self, Failure, os_error};
use crate::files::text::content_diff;
use crate::functions::split_words;
use crate::plan::Outcome;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Command, FileKind, Metadata, Output, Timestamp};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    facts(registry);
    sources(registry);
    managed(registry);
    programs(registry);
}

fn path_of(args: &Args, key: &str, context: &Context<'_>) -> Result<PathBuf, CallError> {
    Ok(super::home(&args.text(key)?, context))
}

fn at(time: Timestamp) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "as Python's os.stat has it")]
    let seconds = time.seconds as f64 + f64::from(time.nanos) / 1e9;
    seconds.into()
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Directory => "dir",
        FileKind::Symlink => "link",
        FileKind::Fifo => "pipe",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "char",
        FileKind::BlockDevice => "block",
    }
}

fn kind_bits(kind: FileKind) -> u32 {
    match kind {
        FileKind::File => 0o100_000,
        FileKind::Directory => 0o040_000,
        FileKind::Symlink => 0o120_000,
        FileKind::Fifo => 0o010_000,
        FileKind::Socket => 0o140_000,
        FileKind::CharDevice => 0o020_000,
        FileKind::BlockDevice => 0o060_000,
    }
}

fn number(n: u64) -> Value {
    i64::try_from(n).map_or_else(|_| Value::from(n), Value::from)
}

/// What is known of a file.
fn facts(registry: &mut Registry) {
    registry.add(
        "file.stats",
        "stats(path, hash_type=None, follow_symlinks=True)",
        "Returns what is known of a file.",
        stats,
    );
    registry.add(
        "file.lstat",
        "lstat(path)",
        "Returns what is known of a file, of a link itself.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            if !path.is_absolute() {
                return Err(CallError::invocation("Path to file must be absolute."));
            }
            let found = context.system.link_metadata(&path).ok().flatten();
            let Some(found) = found else {
                return Ok(Map::new().into());
            };
            Ok(Map::from([
                ("st_atime", at(found.accessed)),
                ("st_ctime", at(found.changed)),
                ("st_gid", i64::from(found.gid).into()),
                (
                    "st_mode",
                    i64::from(kind_bits(found.kind) | found.mode).into(),
                ),
                ("st_mtime", at(found.modified)),
                ("st_nlink", number(found.links)),
                ("st_size", number(found.size)),
                ("st_uid", i64::from(found.uid).into()),
            ])
            .into())
        },
    );
    registry.add(
        "file.statvfs",
        "statvfs(path)",
        "Returns size and free space of the file system that holds a path.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            if !path.is_absolute() {
                return Err(CallError::invocation("File path must be absolute."));
            }
            let found = context.system.filesystem(&path).map_err(|_| {
                CallError::execution(format!("Could not statvfs '{}'", path.display()))
            })?;
            Ok(Map::from([
                ("f_bavail", number(found.blocks_available)),
                ("f_bfree", number(found.blocks_free)),
                ("f_blocks", number(found.blocks)),
                ("f_bsize", number(found.block_size)),
                ("f_ffree", number(found.files_free)),
                ("f_files", number(found.files)),
                ("f_frsize", number(found.block_size)),
            ])
            .into())
        },
    );
    registry.add(
        "file.diskusage",
        "diskusage(path)",
        "Returns the bytes of a file, or of all files below a directory.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            Ok(number(usage(&path, 0, context)?))
        },
    );
    registry.add(
        "file.is_fifo",
        "is_fifo(name)",
        "Says whether a path is a named pipe.",
        |args, context| is(args, FileKind::Fifo, context),
    );
    registry.add(
        "file.is_chrdev",
        "is_chrdev(name)",
        "Says whether a path is a character device.",
        |args, context| is(args, FileKind::CharDevice, context),
    );
    registry.add(
        "file.is_blkdev",
        "is_blkdev(name)",
        "Says whether a path is a block device.",
        |args, context| is(args, FileKind::BlockDevice, context),
    );
    registry.add(
        "file.get_devmm",
        "get_devmm(name)",
        "Returns the major and minor number of a device.",
        |args, context| {
            let path = path_of(args, "name", context)?;
            let found = context.system.metadata(&path).ok().flatten();
            let (major, minor) = found
                .filter(|found| matches!(found.kind, FileKind::CharDevice | FileKind::BlockDevice))
                .map_or((0, 0), |found| found.node);
            Ok([i64::from(major), i64::from(minor)].into_iter().collect())
        },
    );
    registry.add(
        "file.is_hardlink",
        "is_hardlink(path)",
        "Says whether a file has several names.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            match context.system.link_metadata(&path).ok().flatten() {
                Some(found) => Ok((found.is_file() && found.links > 1).into()),
                None => Ok(Map::new().into()),
            }
        },
    );
    registry.add(
        "file.lsattr",
        "lsattr(path)",
        "Returns the attributes of a file, nothing where it can have none.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            if !context.system.exists(&path) {
                return Err(CallError::invocation(format!(
                    "File or directory does not exist: {}",
                    path.display()
                )));
            }
            Ok(match attributes::of(&path, context.system) {
                None => Value::Null,
                Some(letters) => {
                    let letters: Value = letters.chars().map(|c| c.to_string()).collect();
                    let mut found = Map::new();
                    found.insert(path.to_string_lossy().into_owned(), letters);
                    found.into()
                }
            })
        },
    );
}

fn is(args: &Args, kind: FileKind, context: &Context<'_>) -> Answer {
    let path = path_of(args, "name", context)?;
    let found = context.system.metadata(&path).ok().flatten();
    Ok(found.is_some_and(|found| found.kind == kind).into())
}

fn usage(path: &Path, depth: u32, context: &Context<'_>) -> Result<u64, CallError> {
    let fails = |error| os_error(error, path);
    let Some(found) = context.system.link_metadata(path).map_err(fails)? else {
        return Ok(0);
    };
    if !found.is_dir() {
        return Ok(found.size);
    }
    let mut sum: u64 = 0;
    if depth < 200 {
        for name in context.system.list(path).map_err(fails)? {
            sum = sum.saturating_add(usage(&path.join(name), depth + 1, context)?);
        }
    }
    Ok(sum)
}

fn stats(args: &Args, context: &Context<'_>) -> Answer {
    let path = path_of(args, "path", context)?;
    let follow = args.is_true("follow_symlinks");
    let fails = |error| os_error(error, &path);
    let found = match follow {
        true => context.system.metadata(&path).map_err(fails)?,
        false => None,
    };
    let found: Option<Metadata> = match found {
        Some(found) => Some(found),
        None => context.system.link_metadata(&path).map_err(fails)?,
    };
    let Some(found) = found else {
        return Err(CallError::execution(format!(
            "Path not found: {}",
            path.display()
        )));
    };
    let mut all = Map::from([
        ("inode", number(found.inode)),
        ("uid", i64::from(found.uid).into()),
        ("gid", i64::from(found.gid).into()),
        (
            "group",
            group_name(context.system, found.gid).map_err(fails)?,
        ),
        ("user", user_name(context.system, found.uid).map_err(fails)?),
        ("atime", at(found.accessed)),
        ("mtime", at(found.modified)),
        ("ctime", at(found.changed)),
        ("size", number(found.size)),
        ("mode", mode_text(found.mode).into()),
    ]);
    if let Some(kind) = args
        .optional_text("hash_type")
        .filter(|kind| !kind.is_empty())
    {
        let content = context
            .system
            .read(&path)
            .map_err(fails)?
            .unwrap_or_default();
        all.insert("sum", crate::functions::hash(&kind, &content)?);
    }
    all.insert("type", kind_name(found.kind));
    let target = match found.is_link() {
        true => path.clone(),
        false => context
            .system
            .canonicalize(&path)
            .unwrap_or_else(|_| path.clone()),
    };
    all.insert("target", target.to_string_lossy().into_owned());
    Ok(all.into())
}

fn saltenv(args: &Args, context: &Context<'_>) -> String {
    args.optional_text("saltenv")
        .or_else(|| context.setting("saltenv").map(str::to_owned))
        .filter(|saltenv| !saltenv.is_empty())
        .unwrap_or_else(|| "base".to_owned())
}

fn raised(failure: Failure) -> CallError {
    match failure {
        Failure::Foreseen(text) => CallError::execution(text),
        Failure::Exception(error) => error,
    }
}

/// Where contents come from.
fn sources(registry: &mut Registry) {
    registry.add(
        "file.source_list",
        "source_list(source, source_hash, saltenv)",
        "Returns the first source that is there with its checksum.",
        |args, context| {
            let source = args.get("source").cloned().unwrap_or_default();
            let hash = args.get("source_hash").cloned().unwrap_or_default();
            let (url, hash) =
                source::choose(&source, &hash, &saltenv(args, context), context).map_err(raised)?;
            Ok([url, hash].into_iter().collect())
        },
    );
    registry.add(
        "file.get_source_sum",
        "get_source_sum(file_name='', source='', source_hash=None, source_hash_name=None, saltenv='base', verify_ssl=True, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, sig_backend='gpg')",
        "Returns the checksum that a source_hash means.",
        |args, context| {
            let name = args.optional_text("source_hash_name");
            let sum = source::checksum(
                &args.text("file_name")?,
                &args.text("source")?,
                &args.optional_text("source_hash").unwrap_or_default(),
                name.as_deref(),
                &saltenv(args, context),
                args.is_true("verify_ssl"),
                context,
            )
            .map_err(raised)?;
            Ok(Map::from([("hash_type", sum.kind), ("hsum", sum.hex)]).into())
        },
    );
    registry.add(
        "file.extract_hash",
        "extract_hash(hash_fn, hash_type='sha256', file_name='', source='', source_hash_name=None)",
        "Finds a checksum in a file of checksums.",
        |args, context| {
            let path = path_of(args, "hash_fn", context)?;
            let content = super::read(&path, context)?;
            let found = extract(
                &String::from_utf8_lossy(&content),
                &args.optional_text("hash_type").unwrap_or_default(),
                &args.text("file_name")?,
                &args.text("source")?,
                &args.optional_text("source_hash_name").unwrap_or_default(),
            );
            Ok(found.map_or(Value::Null, |sum| {
                Map::from([("hsum", sum.hex), ("hash_type", sum.kind)]).into()
            }))
        },
    );
    registry.add(
        "file.apply_template_on_contents",
        "apply_template_on_contents(contents, template, context, defaults, saltenv)",
        "Renders a text as the files of a tree are.",
        |args, context| {
            let vars = source::variables(args.given("defaults"), args.given("context"))?;
            let rendered = source::render(
                &args.text("template")?,
                &args.text("contents")?,
                "",
                &saltenv(args, context),
                &vars,
                context,
            );
            match rendered {
                Ok(text) => Ok(text.into()),
                Err(Failure::Foreseen(text)) => {
                    Ok(
                        Map::from([("result", Value::from(false)), ("comment", text.into())])
                            .into(),
                    )
                }
                Err(Failure::Exception(error)) => Err(error),
            }
        },
    );
    registry.add(
        "file.get_diff",
        "get_diff(file1, file2, saltenv='base', show_filenames=True, show_changes=True, template=False, source_hash_file1=None, source_hash_file2=None, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None)",
        "Returns the difference of two files, each a path or an address.",
        |args, context| {
            let saltenv = saltenv(args, context);
            let both = ["file1", "file2"].map(|key| -> Result<(String, Vec<u8>), CallError> {
                let url = args.text(key)?;
                let shown = match url.starts_with("salt://") {
                    true => {
                        let call = Args::new()
                            .keyword("path", url.as_str())
                            .keyword("saltenv", saltenv.as_str());
                        python::str(&context.registry.call("cp.cache_file", &call, context)?)
                    }
                    false => url.clone(),
                };
                match source::content(&url, &saltenv, context).map_err(raised)? {
                    Some(content) => Ok((shown, content)),
                    None => Err(CallError::execution(format!(
                        "Failed to read {url}: No such file or directory"
                    ))),
                }
            });
            let [one, two] = both;
            let ((from, old), (to, new)) = (one?, two?);
            if !args.is_true("show_changes") && old != new {
                return Ok("<show_changes=False>".into());
            }
            Ok(if args.is_true("show_filenames") {
                content_diff(&old, &new, &from, &to)
            } else {
                content_diff(&old, &new, "", "")
            }
            .into())
        },
    );
}

/// What a state returns, as the function behind it does.
fn entry(name: &str, outcome: Outcome) -> Value {
    outcome.into_value(&name.into())
}

/// Runs `file.managed` with what a function was told.
fn as_state(
    args: &Args,
    names: &[&str],
    test: bool,
    context: &Context<'_>,
) -> Result<Outcome, CallError> {
    let mut call = Args::new();
    for name in names {
        if let Some(value) = args.given(name) {
            call = call.keyword(name, value.clone());
        }
    }
    let low = Map::from([("__env__", saltenv(args, context))]);
    let check = Check::new(context, &low, test);
    let plan = context.registry.check("file.managed", &call, &check)?;
    if test {
        Ok(plan.predicted())
    } else {
        plan.carry_out(context)
    }
}

const COMPARED: [&str; 15] = [
    "name",
    "source",
    "source_hash",
    "source_hash_name",
    "user",
    "group",
    "mode",
    "attrs",
    "template",
    "context",
    "defaults",
    "contents",
    "skip_verify",
    "follow_symlinks",
    "new_file_diff",
];

fn foreseen(outcome: Outcome, name: &str) -> Value {
    let comment = python::str(&outcome.comment);
    match outcome.result {
        Some(false) => [Value::from(false), comment.into()].into_iter().collect(),
        None => {
            let mut text = "The following values are set to be changed:\n".to_owned();
            for (key, value) in outcome.changes.iter() {
                text.push_str(&format!("{}: {}\n", python::str(key), python::str(value)));
            }
            [Value::Null, text.into()].into_iter().collect()
        }
        Some(true) => [
            Value::from(true),
            format!("The file {name} is in the correct state").into(),
        ]
        .into_iter()
        .collect(),
    }
}

/// Files as `file.managed` has them.
fn managed(registry: &mut Registry) {
    registry.add(
        "file.check_managed",
        "check_managed(name, source, source_hash, source_hash_name, user, group, mode, attrs, template, context, defaults, saltenv, contents=None, skip_verify=False, seuser=None, serole=None, setype=None, serange=None, follow_symlinks=False, **kwargs)",
        "Says what file.managed would change.",
        |args, context| {
            let outcome = as_state(args, &COMPARED, true, context)?;
            Ok(foreseen(outcome, &args.text("name")?))
        },
    );
    registry.add(
        "file.check_managed_changes",
        "check_managed_changes(name, source, source_hash, source_hash_name, user, group, mode, attrs, template, context, defaults, saltenv, contents=None, skip_verify=False, keep_mode=False, seuser=None, serole=None, setype=None, serange=None, verify_ssl=True, follow_symlinks=False, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None, new_file_diff=False, **kwargs)",
        "Returns the changes that file.managed would make.",
        |args, context| {
            let outcome = as_state(args, &COMPARED, true, context)?;
            Ok(match outcome.result {
                Some(false) => foreseen(outcome, ""),
                _ => outcome.changes.into(),
            })
        },
    );
    registry.add(
        "file.manage_file",
        "manage_file(name, sfn, ret, source, source_sum, user, group, mode, attrs, saltenv, backup, makedirs=False, template=None, show_changes=True, contents=None, dir_mode=None, follow_symlinks=True, skip_verify=False, keep_mode=False, encoding=None, encoding_errors='strict', seuser=None, serole=None, setype=None, serange=None, verify_ssl=True, use_etag=False, signature=None, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None, new_file_diff=False, sig_backend='gpg', **kwargs)",
        "Sees to a file's content, owner and mode.",
        |args, context| {
            let name = args.text("name")?;
            let mut args = args.clone();
            let sum = args.get("source_sum").and_then(|sum| {
                let part = |key: &str| sum.get(key).and_then(Value::as_str);
                Some(format!("{}={}", part("hash_type")?, part("hsum")?))
            });
            if let Some(sum) = sum {
                args = args.keyword("source_hash", sum);
            }
            // Content that is given stands as it is.
            let contents = args.given("contents").map(|contents| match contents {
                Value::Str(text) => Value::Bytes(text.clone().into_bytes()),
                other => other.clone(),
            });
            if let Some(contents) = contents {
                args.named.insert("contents", contents);
            }
            let mut names = COMPARED.to_vec();
            names.retain(|name| *name != "template");
            names.extend([
                "backup",
                "makedirs",
                "show_changes",
                "dir_mode",
                "encoding",
                "encoding_errors",
            ]);
            if args.given("source").is_some_and(|source| !source.is_true()) {
                names.retain(|name| *name != "source");
            }
            Ok(entry(&name, as_state(&args, &names, false, context)?))
        },
    );
    registry.add(
        "file.check_perms",
        "check_perms(name, ret, user, group, mode, attrs=None, follow_symlinks=False, seuser=None, serole=None, setype=None, serange=None)",
        "Sees to a file's owner, group and mode.",
        check_perms,
    );
    registry.add(
        "file.get_managed",
        "get_managed(name, template, source, source_hash, source_hash_name, user, group, mode, attrs, saltenv, context, defaults, skip_verify=False, verify_ssl=True, use_etag=False, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None, sig_backend='gpg', **kwargs)",
        "Returns the checksum of what file.managed would write, or what is wrong.",
        |args, context| {
            let saltenv = saltenv(args, context);
            let url = args.optional_text("source").unwrap_or_default();
            let answer = |sum: Map, text: String| -> Answer {
                Ok([Value::from(""), sum.into(), text.into()].into_iter().collect())
            };
            match source::content(&url, &saltenv, context) {
                Ok(Some(content)) => {
                    let hex = crate::functions::hash("sha256", &content)?;
                    let sum = Map::from([("hash_type", "sha256"), ("hsum", hex.as_str())]);
                    answer(sum, String::new())
                }
                Ok(None) => {
                    let text = format!("Source file {url} not found in saltenv '{saltenv}'");
                    answer(Map::new(), text)
                }
                Err(failure) => answer(Map::new(), failure.text()),
            }
        },
    );
}

fn check_perms(args: &Args, context: &Context<'_>) -> Answer {
    let system = context.system;
    let name = args.text("name")?;
    let path = path_of(args, "name", context)?;
    let follow = args.is_true("follow_symlinks");
    let fails = |error| os_error(error, &path);
    let found = if follow {
        system.metadata(&path)
    } else {
        system.link_metadata(&path)
    };
    let Some(found) = found.map_err(fails)? else {
        return Err(CallError::execution(format!("Path not found: {name}")));
    };
    let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
    let mut perms = Map::from([
        ("luser", user_name(system, found.uid).map_err(fails)?),
        ("lgroup", group_name(system, found.gid).map_err(fails)?),
        ("lmode", mode_text(found.mode).into()),
    ]);
    let lacking = wanted.lacking(system, &found).map_err(fails)?;
    for key in ["user", "group", "mode"] {
        if let Some(value) = lacking.get(key) {
            perms.insert(format!("c{key}"), value.clone());
        }
    }
    let (mut changes, mut comment, mut result) = (Map::new(), String::new(), true);
    let given = args.given("ret").and_then(Value::as_map);
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        changes = given
            .get("changes")
            .and_then(Value::as_map)
            .cloned()
            .unwrap_or_default();
        comment = given.str("comment").unwrap_or_default().to_owned();
        result = given.get("result").is_none_or(Value::is_true);
    }
    let unknown = wanted.unknown(system).map_err(fails)?;
    let mut complaints = Vec::new();
    if !unknown.is_empty() {
        for (key, what) in [("user", "User"), ("group", "Group")] {
            let asked = args.given(key);
            let is_unknown = unknown.contains(&format!("{what} "));
            if let Some(asked) = asked.filter(|_| is_unknown) {
                complaints.push(format!("{what} does not exist\n"));
                complaints.push(format!("Failed to change {key} to {}", python::str(asked)));
            }
        }
        result = false;
    } else {
        match wanted.establish(system, &path, follow) {
            Ok(made) => changes.extend(made),
            Err(error) => {
                complaints.push(error.to_string());
                result = false;
            }
        }
    }
    if !complaints.is_empty() {
        comment = complaints.join("; ");
    }
    let entry = Map::from([
        ("name", Value::from(name)),
        ("changes", changes.into()),
        ("comment", comment.into()),
        ("result", result.into()),
    ]);
    Ok([Value::from(entry), perms.into()].into_iter().collect())
}

fn ran(output: &Output) -> Value {
    let text = |text: String| text.trim_end_matches('\n').to_owned();
    Map::from([
        ("pid", Value::from(i64::from(output.pid))),
        ("retcode", i64::from(output.exit.code()).into()),
        ("stdout", text(output.stdout_text()).into()),
        ("stderr", text(output.stderr_text()).into()),
    ])
    .into()
}

/// What other programs do.
fn programs(registry: &mut Registry) {
    registry.add(
        "file.grep",
        "grep(path, pattern, *opts)",
        "Runs grep on the files that a shell pattern names.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            let mut command = Command::new("grep");
            for option in args.positional() {
                let words = split_words(&python::str(option)).unwrap_or_default();
                command = command.args(words);
            }
            command = command.arg(args.text("pattern")?);
            let found = super::glob(&path, context);
            if found.is_empty() {
                command = command.arg(path.as_os_str());
            }
            for path in found {
                command = command.arg(path.as_os_str());
            }
            Ok(ran(&context.system.query(&command)?))
        },
    );
    registry.add(
        "file.sed",
        "sed(path, before, after, limit='', backup='.bak', options='-r -e', flags='g', escape_all=False, negate_match=False)",
        "Runs sed on a file, false when there is none.",
        |args, context| {
            let path = path_of(args, "path", context)?;
            if !context.system.exists(&path) {
                return Ok(false.into());
            }
            let escaped = |key: &str| -> Result<String, CallError> {
                Ok(args.text(key)?.replace('/', "\\/"))
            };
            let (before, after, limit) = (escaped("before")?, escaped("after")?, escaped("limit")?);
            let limit = match limit.as_str() {
                "" => String::new(),
                limit => format!("/{limit}/ "),
            };
            let negate = if args.is_true("negate_match") { "!" } else { "" };
            let script = format!("{limit}{negate}s/{before}/{after}/{}", args.text("flags")?);
            let command = Command::new("sed")
                .arg(format!("-i{}", args.optional_text("backup").unwrap_or_default()))
                .args(split_words(&args.text("options")?).unwrap_or_default())
                .arg(script)
                .arg(path.as_os_str());
            Ok(ran(&context.system.run(&command)?))
        },
    );
    registry.add(
        "file.patch",
        "patch(originalfile, patchfile, options='', dry_run=False)",
        "Runs patch on a file or directory.",
        |args, context| {
            let original = path_of(args, "originalfile", context)?;
            let mut command = Command::new("patch");
            if args.is_true("dry_run") {
                command = command.arg("--dry-run");
            }
            let options = split_words(&args.optional_text("options").unwrap_or_default());
            let options = options.unwrap_or_default();
            if !options
                .iter()
                .any(|option| option == "-N" || option == "-R")
            {
                command = command.arg("-N");
            }
            command = command.args(options).arg("--reject-file=-");
            command = if context.system.is_dir(&original) {
                command.arg("-d").arg(original.as_os_str())
            } else {
                command.arg(original.as_os_str())
            };
            let patch = path_of(args, "patchfile", context)?;
            command = command.arg("-i").arg(patch.as_os_str());
            Ok(ran(&context.system.run(&command)?))
        },
    );
    registry.add(
        "file.chattr",
        "chattr(*files, **kwargs)",
        "Adds attributes of files (operator add) or takes them away (remove).",
        |args, context| {
            let text = |key: &str| {
                args.keywords()
                    .get(key)
                    .map(python::str)
                    .unwrap_or_default()
            };
            let sign = match text("operator").as_str() {
                "add" => '+',
                "remove" => '-',
                _ => {
                    return Err(CallError::invocation(
                        "Need an operator: 'add' or 'remove' to modify attributes.",
                    ));
                }
            };
            let letters = text("attributes");
            if letters.is_empty() {
                return Err(CallError::invocation("Need attributes: [aAcCdDeijPsStTu]"));
            }
            let mut command = Command::new("chattr").arg(format!("{sign}{letters}"));
            for file in args.positional() {
                command = command.arg(python::str(file));
            }
            let output = context.system.run(&command)?;
            if !output.is_success() {
                return Err(CallError::execution(format!(
                    "chattr failed to run, possibly due to bad parameters.\n{}",
                    output.stderr_text().trim()
                )));
            }
            Ok(true.into())
        },
    );
}
