//! `file.*`: the functions that only ask here, those that change below.

mod change;
mod find;
mod manage;
mod meta;
mod open;
mod selinux;

use std::path::{Component, Path, PathBuf};

use salt_proto::Value;

use super::test::hash;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{FileKind, Metadata, errno_text, lossy};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    names(registry);
    kinds(registry);
    owners(registry);
    content(registry);
    change::register(registry);
    crate::files::backup::register(registry);
    find::register(registry);
    manage::register(registry);
    meta::register(registry);
    open::register(registry);
    selinux::register(registry);
}

/// What can be said of a path without looking.
fn names(registry: &mut Registry) {
    registry.add(
        "file.basename",
        "basename(path)",
        "Returns the last part of a path.",
        |args, _| {
            let path = args.str("path")?;
            Ok(path.rsplit('/').next().unwrap_or_default().into())
        },
    );
    registry.add(
        "file.dirname",
        "dirname(path)",
        "Returns a path without its last part.",
        |args, _| {
            let path = args.str("path")?;
            let Some(at) = path.rfind('/') else {
                return Ok("".into());
            };
            let head = path.get(..=at).unwrap_or_default();
            let trimmed = head.trim_end_matches('/');
            Ok(if trimmed.is_empty() { head } else { trimmed }.into())
        },
    );
    registry.add(
        "file.join",
        "join(*args)",
        "Joins parts of a path.",
        |args, _| {
            let Some((first, rest)) = args.positional().split_first() else {
                let text = "join() missing 1 required positional argument: 'a'";
                return Err(CallError::exception("TypeError", text));
            };
            let text = |value: &Value| match value {
                Value::Str(text) => Ok(text.clone()),
                other => Err(CallError::exception(
                    "TypeError",
                    format!(
                        "join() argument must be str, bytes, or os.PathLike object, not '{}'",
                        other.type_name()
                    ),
                )),
            };
            let mut path = text(first)?;
            for part in rest {
                let part = text(part)?;
                if part.starts_with('/') {
                    path = part;
                    continue;
                }
                if !path.is_empty() && !path.ends_with('/') {
                    path.push('/');
                }
                path.push_str(&part);
            }
            Ok(path.into())
        },
    );
    registry.add(
        "file.normpath",
        "normpath(path)",
        "Returns a path without needless parts.",
        |args, _| Ok(normal(args.str("path")?).into()),
    );
    registry.add(
        "file.pardir",
        "pardir()",
        "Returns the name of the directory above.",
        |_, _| Ok("..".into()),
    );
}

/// What a path leads to.
fn kinds(registry: &mut Registry) {
    registry.add(
        "file.file_exists",
        "file_exists(path)",
        "Says whether a path leads to a regular file.",
        |args, context| {
            Ok(context
                .system
                .is_file(&home(args.str("path")?, context))
                .into())
        },
    );
    registry.add(
        "file.directory_exists",
        "directory_exists(path)",
        "Says whether a path leads to a directory.",
        |args, context| {
            let path = home(args.str("path")?, context);
            Ok((!path.as_os_str().is_empty() && context.system.is_dir(&path)).into())
        },
    );
    registry.add(
        "file.is_link",
        "is_link(path, nostat=False)",
        "Says whether a path is a symbolic link.",
        |args, context| {
            Ok(context
                .system
                .is_link(&home(args.str("path")?, context))
                .into())
        },
    );
    registry.add(
        "file.readlink",
        "readlink(path, canonicalize=False)",
        "Returns where a symbolic link points.",
        |args, context| {
            let path = home(args.str("path")?, context);
            if !path.is_absolute() {
                return Err(CallError::invocation(format!(
                    "Path to link must be absolute: {}",
                    path.display()
                )));
            }
            if !context.system.is_link(&path) {
                return Err(CallError::invocation(format!(
                    "A valid link was not specified: {}",
                    path.display()
                )));
            }
            let leads = if args.is_true("canonicalize") {
                context.system.canonicalize(&path)
            } else {
                context.system.read_link(&path)
            };
            match leads {
                Ok(leads) => Ok(leads.to_string_lossy().into_owned().into()),
                Err(error) => Err(os_error(&error, &path)),
            }
        },
    );
    registry.add(
        "file.access",
        "access(path, mode)",
        "Says whether a path is there (f), or may be read (r), written (w) or executed (x).",
        access,
    );
    registry.add(
        "file.path_exists_glob",
        "path_exists_glob(path)",
        "Says whether any path matches a shell pattern.",
        |args, context| {
            let pattern = home(args.str("path")?, context);
            Ok((!glob(&pattern, context).is_empty()).into())
        },
    );
    registry.add(
        "file.readdir",
        "readdir(path)",
        "Lists what is in a directory.",
        |args, context| {
            let path = home(args.str("path")?, context);
            if !path.is_absolute() {
                return Err(CallError::invocation("Dir path must be absolute."));
            }
            if !context.system.is_dir(&path) {
                return Err(CallError::invocation(format!(
                    "A valid directory was not specified: {}",
                    path.display()
                )));
            }
            let names = context
                .system
                .list(&path)
                .map_err(|error| os_error(&error, &path))?;
            let names = names.iter().map(|name| name.to_string_lossy().into_owned());
            Ok([".".to_owned(), "..".to_owned()]
                .into_iter()
                .chain(names)
                .collect())
        },
    );
}

/// Whose a path is, and the numbers of users and groups.
fn owners(registry: &mut Registry) {
    registry.add(
        "file.get_mode",
        "get_mode(path, follow_symlinks=True)",
        "Returns the permission bits of a path.",
        |args, context| {
            let found = existing(args, context)?;
            Ok(format!("{:04o}", found.mode & 0o7777).into())
        },
    );
    registry.add(
        "file.get_uid",
        "get_uid(path, follow_symlinks=True)",
        "Returns the number of a path's owner.",
        |args, context| Ok(existing(args, context)?.uid.into()),
    );
    registry.add(
        "file.get_gid",
        "get_gid(path, follow_symlinks=True)",
        "Returns the number of a path's group.",
        |args, context| Ok(existing(args, context)?.gid.into()),
    );
    registry.add(
        "file.get_user",
        "get_user(path, follow_symlinks=True)",
        "Returns the owner of a path.",
        |args, context| Ok(user_name(existing(args, context)?.uid, context)),
    );
    registry.add(
        "file.get_group",
        "get_group(path, follow_symlinks=True)",
        "Returns the group of a path.",
        |args, context| Ok(group_name(existing(args, context)?.gid, context)),
    );
    registry.add(
        "file.user_to_uid",
        "user_to_uid(user)",
        "Returns the number of a user.",
        |args, context| {
            Ok(match args.get("user") {
                Some(Value::Str(name)) => context
                    .system
                    .user(name)
                    .ok()
                    .flatten()
                    .map_or_else(|| "".into(), |user| user.uid.into()),
                None | Some(Value::Null) => context.system.identity().uid.into(),
                Some(number) => number.clone(),
            })
        },
    );
    registry.add(
        "file.group_to_gid",
        "group_to_gid(group)",
        "Returns the number of a group.",
        |args, context| {
            Ok(match args.get("group") {
                Some(Value::Str(name)) => context
                    .system
                    .group(name)
                    .ok()
                    .flatten()
                    .map_or_else(|| "".into(), |group| group.gid.into()),
                None | Some(Value::Null) => "".into(),
                Some(number) => number.clone(),
            })
        },
    );
    registry.add(
        "file.uid_to_user",
        "uid_to_user(uid)",
        "Returns the user with a number.",
        |args, context| match args.get("uid") {
            Some(Value::Int(uid)) => {
                Ok(u32::try_from(*uid)
                    .map_or_else(|_| (*uid).into(), |uid| user_name(uid, context)))
            }
            other => {
                let kind = other.unwrap_or(&Value::Null).type_name();
                Err(CallError::exception(
                    "TypeError",
                    format!("uid should be integer, not {kind}"),
                ))
            }
        },
    );
    registry.add(
        "file.gid_to_group",
        "gid_to_group(gid)",
        "Returns the group with a number.",
        |args, context| {
            Ok(match args.get("gid") {
                Some(Value::Int(gid)) => u32::try_from(*gid)
                    .map_or_else(|_| (*gid).into(), |gid| group_name(gid, context)),
                other => other.cloned().unwrap_or_default(),
            })
        },
    );
}

/// What is in a file.
fn content(registry: &mut Registry) {
    registry.add(
        "file.read",
        "read(path, binary=False)",
        "Returns the content of a file.",
        |args, context| {
            let path = home(args.str("path")?, context);
            let bytes = read(&path, context)?;
            if args.is_true("binary") {
                return Ok(bytes.into());
            }
            match String::from_utf8(bytes) {
                // As Python opens text.
                Ok(text) if text.contains('\r') => {
                    Ok(text.replace("\r\n", "\n").replace('\r', "\n").into())
                }
                Ok(text) => Ok(text.into()),
                Err(error) => Err(CallError::exception(
                    "UnicodeDecodeError",
                    crate::render::utf8_error(&error.utf8_error(), error.as_bytes()),
                )),
            }
        },
    );
    registry.add(
        "file.get_hash",
        "get_hash(path, form='sha256', chunk_size=65536)",
        "Returns the hash of a file.",
        |args, context| {
            sum(
                &home(args.str("path")?, context),
                &args.text("form")?,
                context,
            )
            .map(Value::from)
        },
    );
    registry.add(
        "file.get_sum",
        "get_sum(path, form='sha256')",
        "Returns the hash of a file, or a text when there is none.",
        |args, context| {
            let path = home(args.str("path")?, context);
            if !context.system.is_file(&path) {
                return Ok("File not found".into());
            }
            sum(&path, &args.text("form")?, context).map(Value::from)
        },
    );
    registry.add(
        "file.check_hash",
        "check_hash(path, file_hash)",
        "Says whether a file has a hash: the bare one, or with its kind in front.",
        check_hash,
    );
    registry.add(
        "file.contains",
        "contains(path, text)",
        "Says whether a line of a file contains a text.",
        |args, context| {
            let wanted = args.text("text")?;
            Ok(lines(args, context)?
                .iter()
                .any(|line| line.contains(wanted.trim()))
                .into())
        },
    );
    registry.add(
        "file.contains_regex",
        "contains_regex(path, regex, lchar='')",
        "Says whether a line of a file matches a regular expression.",
        |args, context| {
            let regex = expression(&args.text("regex")?, false)?;
            let strip = args.optional_text("lchar").unwrap_or_default();
            let lines = lines(args, context)?;
            Ok(lines
                .iter()
                .any(|line| matches(&regex, line.trim_start_matches(|c| strip.contains(c))))
                .into())
        },
    );
    registry.add(
        "file.contains_glob",
        "contains_glob(path, glob_expr)",
        "Says whether the content of a file matches a shell pattern.",
        |args, context| {
            let path = home(args.str("path")?, context);
            let pattern = args.text("glob_expr")?;
            let text = context
                .system
                .text(&path)
                .ok()
                .flatten()
                .unwrap_or_default();
            Ok(crate::fnmatch(&text, &pattern).into())
        },
    );
    registry.add(
        "file.search",
        "search(path, pattern, flags=8, bufsize=1, ignore_if_missing=False, multiline=False)",
        "Says whether a regular expression is found in a file.",
        search,
    );
}

fn access(args: &Args, context: &Context<'_>) -> Answer {
    let path = home(args.str("path")?, context);
    let mode = args.text("mode")?;
    let bit = match mode.as_str() {
        "f" => return Ok(context.system.exists(&path).into()),
        "r" => 4,
        "w" => 2,
        "x" => 1,
        _ => return Err(CallError::invocation("Invalid mode specified.")),
    };
    let Ok(Some(found)) = context.system.metadata(&path) else {
        return Ok(false.into());
    };
    let us = context.system.identity();
    let allowed = if us.uid == 0 {
        bit != 1 || found.kind == FileKind::Directory || found.mode & 0o111 != 0
    } else if us.uid == found.uid {
        found.mode >> 6 & bit != 0
    } else if us.gid == found.gid {
        found.mode >> 3 & bit != 0
    } else {
        found.mode & bit != 0
    };
    Ok(allowed.into())
}

fn check_hash(args: &Args, context: &Context<'_>) -> Answer {
    let Some(Value::Str(wanted)) = args.get("file_hash") else {
        return Err(CallError::invocation("hash must be a string"));
    };
    let path = home(args.str("path")?, context);
    let (kind, wanted) = match wanted.split_once([':', '=']) {
        Some((kind, wanted)) => (kind, wanted),
        None => {
            let kind = match wanted.len() {
                32 => "md5",
                40 => "sha1",
                56 => "sha224",
                64 => "sha256",
                96 => "sha384",
                128 => "sha512",
                length => {
                    return Err(CallError::invocation(format!(
                        "Hash {wanted} (length: {length}) could not be matched to a supported hash type. The supported \
                         hash types and lengths are: md5 (32), sha1 (40), sha224 (56), sha256 (64), sha384 (96), \
                         sha512 (128)"
                    )));
                }
            };
            (kind, wanted.as_str())
        }
    };
    Ok((sum(&path, kind, context)? == wanted).into())
}

fn search(args: &Args, context: &Context<'_>) -> Answer {
    let path = home(args.str("path")?, context);
    if !context.system.exists(&path) {
        if args.is_true("ignore_if_missing") {
            return Ok(false.into());
        }
        return Err(CallError::invocation(format!(
            "File not found: {}",
            path.display()
        )));
    }
    let mut flags = flags(args.get("flags"))?;
    if args.is_true("multiline") {
        flags |= 8;
    }
    let text = match context.system.read(&path) {
        Ok(Some(bytes)) if !bytes.contains(&0) => lossy(bytes),
        _ => {
            return Err(CallError::invocation(format!(
                "Cannot perform string replacements on a binary file: {}",
                path.display()
            )));
        }
    };
    let letters: String = [(2, 'i'), (8, 'm'), (16, 's'), (64, 'x')]
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, c)| *c)
        .collect();
    let pattern = args.text("pattern")?;
    let pattern = if letters.is_empty() {
        pattern
    } else {
        format!("(?{letters}){pattern}")
    };
    let regex = expression(&pattern, false)?;
    Ok(matches(&regex, &text).into())
}

/// Flags of Python's `re` as a number, a name, or names.
fn flags(given: Option<&Value>) -> Result<i64, CallError> {
    let names = match given {
        Some(Value::Int(bits)) => return Ok(*bits),
        Some(Value::Str(name)) => vec![name.clone()],
        Some(Value::List(names)) => names.iter().map(crate::python::str).collect(),
        _ => return Ok(8),
    };
    names.iter().try_fold(0, |bits, name| {
        let bit = match name.to_uppercase().as_str() {
            "I" | "IGNORECASE" => 2,
            "L" | "LOCALE" | "U" | "UNICODE" | "A" | "ASCII" => 0,
            "M" | "MULTILINE" => 8,
            "S" | "DOTALL" => 16,
            "X" | "VERBOSE" => 64,
            _ => {
                return Err(CallError::execution(format!(
                    "Invalid re flag given: {name}"
                )));
            }
        };
        Ok(bits | bit)
    })
}

/// The lines of the file named by `path`; none when there is no such file.
fn lines(args: &Args, context: &Context<'_>) -> Result<Vec<String>, CallError> {
    let path = home(args.str("path")?, context);
    let text = context
        .system
        .text(&path)
        .ok()
        .flatten()
        .unwrap_or_default();
    Ok(text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect())
}

/// A regular expression, bounded in time.
fn expression(pattern: &str, ignore_case: bool) -> Result<fancy_regex::Regex, CallError> {
    fancy_regex::RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .backtrack_limit(1_000_000)
        .build()
        .map_err(|error| CallError::exception("re.error", error.to_string()))
}

/// Whether an expression is found; one that takes too long is not.
fn matches(regex: &fancy_regex::Regex, text: &str) -> bool {
    regex.is_match(text).unwrap_or(false)
}

fn user_name(uid: u32, context: &Context<'_>) -> Value {
    match context.system.user_by_id(uid) {
        Ok(Some(user)) => user.name.into(),
        _ => uid.into(),
    }
}

fn group_name(gid: u32, context: &Context<'_>) -> Value {
    match context.system.group_by_id(gid) {
        Ok(Some(group)) => group.name.into(),
        _ => gid.into(),
    }
}

/// Facts about the path named by `path`; a dangling link's own.
fn existing(args: &Args, context: &Context<'_>) -> Result<Metadata, CallError> {
    let path = home(args.str("path")?, context);
    let follows = args.get("follow_symlinks").is_none_or(Value::is_true);
    let followed = if follows {
        context.system.metadata(&path).ok().flatten()
    } else {
        None
    };
    let found = match followed {
        Some(found) => Some(found),
        None => context.system.link_metadata(&path).ok().flatten(),
    };
    found.ok_or_else(|| CallError::execution(format!("Path not found: {}", path.display())))
}

fn read(path: &Path, context: &Context<'_>) -> Result<Vec<u8>, CallError> {
    if context.system.is_dir(path) {
        return Err(os_error(&rustix::io::Errno::ISDIR.into(), path));
    }
    match context.system.read(path) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(os_error(&rustix::io::Errno::NOENT.into(), path)),
        Err(error) => Err(os_error(&error, path)),
    }
}

fn sum(path: &Path, kind: &str, context: &Context<'_>) -> Result<String, CallError> {
    if !["md5", "sha1", "sha224", "sha256", "sha384", "sha512"].contains(&kind) {
        return Err(CallError::exception(
            "ValueError",
            format!("Invalid hash type: {kind}"),
        ));
    }
    hash(kind, &read(path, context)?)
}

/// A failed system call under the name of Python's exception.
fn os_error(error: &std::io::Error, path: &Path) -> CallError {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => "FileNotFoundError",
        std::io::ErrorKind::PermissionDenied => "PermissionError",
        std::io::ErrorKind::IsADirectory => "IsADirectoryError",
        std::io::ErrorKind::NotADirectory => "NotADirectoryError",
        _ => "OSError",
    };
    CallError::exception(kind, errno_text(error, Some(path)))
}

/// A path with `~` and `~user` replaced.
fn home(path: &str, context: &Context<'_>) -> PathBuf {
    let Some(rest) = path.strip_prefix('~') else {
        return PathBuf::from(path);
    };
    let (name, below) = rest
        .split_once('/')
        .map_or((rest, None), |(name, below)| (name, Some(below)));
    let of_user = |name: &str| {
        context
            .system
            .user(name)
            .ok()
            .flatten()
            .map(|user| user.home)
    };
    let ours = || {
        let stated = context.system.env("HOME").map(PathBuf::from);
        let uid = context.system.identity().uid;
        stated.or_else(|| Some(context.system.user_by_id(uid).ok().flatten()?.home))
    };
    let directory = if name.is_empty() {
        ours()
    } else {
        of_user(name)
    };
    match (directory, below) {
        (None, _) => PathBuf::from(path),
        (Some(directory), None) => directory,
        (Some(directory), Some(below)) => directory.join(below),
    }
}

/// A path without `.`, empty parts, and `..` where it can be resolved by the text alone.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        // Two slashes in front are kept, by a rule of POSIX.
        (true, _) if path.starts_with("//") && !path.starts_with("///") => format!("//{joined}"),
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// The paths that match a shell pattern, sorted. Names that begin with a dot match only a
/// pattern that does.
pub(crate) fn glob(pattern: &Path, context: &Context<'_>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !name.contains(['*', '?', '[']) {
            found = found
                .into_iter()
                .map(|path| path.join(part))
                .filter(|path| matches!(context.system.link_metadata(path), Ok(Some(_))))
                .collect();
            continue;
        }
        found = found
            .iter()
            .flat_map(|directory| {
                let names = context.system.list(directory).unwrap_or_default();
                let chosen = names.into_iter().filter(|candidate| {
                    let candidate = candidate.to_string_lossy();
                    candidate.starts_with('.') == name.starts_with('.')
                        && crate::fnmatch(&candidate, &name)
                });
                chosen.map(|name| directory.join(name)).collect::<Vec<_>>()
            })
            .collect();
    }
    found
}
