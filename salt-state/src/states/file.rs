//! `file.*`: files, directories and links.
//!
//! What is compared is computed from what is there, so the changes that a plan states are
//! those there will be. Where Salt's dry run words them otherwise, the plan says so.

use std::io;
use std::path::{Path, PathBuf};

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::files::perms::{Wanted, mode_bits};
use crate::plan::Plan;
use crate::registry::{CallError, Registry};
use crate::states::Check;
pub(crate) use managed::only_ignored;

mod absent;
mod accumulated;
mod append;
mod cached;
mod comment;
mod copy;
mod directory;
mod managed;
mod node;
mod patch;
mod recurse;
mod replace;
mod serialize;
mod symlink;
pub(crate) mod tidied;

pub(crate) use node::{make_empty, seconds};
pub(crate) use replace::{block, replace_file, told};
pub(crate) use symlink::normal;
pub(crate) use tidied::prune;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_rehearsed("file");
    registry.add_state(
        "file.managed",
        managed::SIGNATURE,
        "Sees to a file's content, owner and mode.",
        managed::managed,
    );
    absent::register(registry);
    accumulated::register(registry);
    append::register(registry);
    cached::register(registry);
    comment::register(registry);
    copy::register(registry);
    directory::register(registry);
    node::register(registry);
    patch::register(registry);
    recurse::register(registry);
    replace::register(registry);
    serialize::register(registry);
    symlink::register(registry);
    tidied::register(registry);
    registry.add_state(
        "file.mod_watch",
        "mod_watch(name, sfun=None, **kwargs)",
        "There is nothing to do again when something a file watches changes.",
        |args, check| {
            let declared = args.optional_text("sfun").unwrap_or_default();
            let mut call = Args::new();
            for (key, value) in args.keywords().iter().chain(args.named.iter()) {
                let key = crate::python::str(key);
                if !matches!(key.as_str(), "sfun" | "__reqs__") {
                    call = call.keyword(&key, value.clone());
                }
            }
            check.state(&format!("file.{declared}"), &call)
        },
    );
}

/// A name with `~` and `~user` in front replaced by a home directory.
fn expanded(name: &str, check: &Check<'_>) -> String {
    expand(name, check.system)
}

/// As Python's `os.path.dirname`: with a slash behind it a path is that of a directory.
fn dirname(path: &Path) -> &Path {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return path.components().as_path();
    }
    path.parent().unwrap_or(path)
}

/// As Python's `os.path.expanduser`.
fn expand(name: &str, system: &dyn crate::system::Observe) -> String {
    let Some(rest) = name.strip_prefix('~') else {
        return name.to_owned();
    };
    let (user, rest) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let home = if user.is_empty() {
        match system.env("HOME") {
            Some(home) => Some(home.to_string_lossy().into_owned()),
            None => system
                .user_by_id(system.identity().uid)
                .ok()
                .flatten()
                .map(|user| user.home.to_string_lossy().into_owned()),
        }
    } else {
        system
            .user(user)
            .ok()
            .flatten()
            .map(|user| user.home.to_string_lossy().into_owned())
    };
    match home {
        Some(home) => format!("{}{rest}", home.trim_end_matches('/')),
        None => name.to_owned(),
    }
}

/// Salt's complaint about a relative path.
fn absolute(name: &str) -> Option<String> {
    (!Check::is_absolute(name)).then(|| format!("Specified file {name} is not an absolute path"))
}

/// The name of a state as a path, which `None` is not.
fn path_name(args: &Args) -> Result<String, CallError> {
    match args.get("name") {
        Some(Value::Null) => Err(CallError::exception(
            "TypeError",
            "expected str, bytes or os.PathLike object, not NoneType",
        )),
        _ => args.text("name"),
    }
}

/// Python's complaints about owners that are no names.
fn owners_are_names(args: &Args) -> Result<(), CallError> {
    for (key, what) in [
        ("user", "getpwnam() argument"),
        ("group", "getgrnam() argument 'name'"),
    ] {
        if let Some(given @ (Value::List(_) | Value::Map(_))) = args.given(key)
            && given.is_true()
        {
            return Err(CallError::exception(
                "TypeError",
                format!("{what} must be str, not {}", given.type_name()),
            ));
        }
    }
    Ok(())
}

/// The name of a state: expanded, present and absolute; else what to complain about.
fn named(
    args: &Args,
    function: &str,
    check: &Check<'_>,
) -> Result<Result<String, Plan>, CallError> {
    let name = match args.get("name") {
        Some(Value::Null) if function == "append" => String::new(),
        _ => expanded(&path_name(args)?, check),
    };
    if name.is_empty() {
        let text = format!("Must provide name to file.{function}");
        return Ok(Err(Plan::fail(text)));
    }
    Ok(match absolute(&name) {
        Some(complaint) => Err(Plan::fail(complaint)),
        None => Ok(name),
    })
}

/// The one plan in a dry run, the other else.
fn in_test(check: &Check<'_>, test: Plan, real: Plan) -> Plan {
    if check.is_test() { test } else { real }
}

/// Makes a directory with those above it that are missing, all with one owner, and with
/// the mode asked for with `x` wherever there is `r`.
pub(crate) fn with_dirs(path: &Path, wanted: &Wanted, context: &Context<'_>) -> io::Result<()> {
    let bits = wanted.mode.as_deref().and_then(mode_bits);
    let bits = bits.map_or(0o755, |bits| bits | ((bits & 0o444) >> 2));
    make_dirs(path, bits, wanted, context)
}

/// Makes a directory with those above it that are missing.
pub(crate) fn make_dirs(
    path: &Path,
    bits: u32,
    wanted: &Wanted,
    context: &Context<'_>,
) -> io::Result<()> {
    let system = context.system;
    let mut missing: Vec<PathBuf> = Vec::new();
    for above in path.ancestors() {
        match system.metadata(above)? {
            Some(found) if found.is_dir() => break,
            Some(_) => return Err(rustix::io::Errno::NOTDIR.into()),
            None if above == Path::new("") => break,
            None => missing.push(above.to_owned()),
        }
    }
    let (uid, gid) = wanted.numbers(system)?;
    for directory in missing.into_iter().rev() {
        match system.create_dir(&directory, bits) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !system.is_dir(&directory) {
                    return Err(error);
                }
            }
            other => other?,
        }
        if uid.is_some() || gid.is_some() {
            system.set_owner(&directory, uid, gid, false)?;
        }
    }
    Ok(())
}

/// One text, or several.
fn texts(given: Option<&Value>) -> Vec<String> {
    match given {
        None => Vec::new(),
        Some(Value::List(all)) => all.iter().map(crate::python::str).collect(),
        Some(one) => vec![crate::python::str(one)],
    }
}

/// Whether a path is kept out by `exclude_pat` and let in by `include_pat`: globs, or
/// regular expressions behind `E@`, found anywhere.
fn passes(path: &str, include: &[String], exclude: &[String]) -> bool {
    let matches = |patterns: &[String]| {
        patterns
            .iter()
            .any(|pattern| crate::functions::pattern_matches(pattern, path))
    };
    (include.is_empty() || matches(include)) && (exclude.is_empty() || !matches(exclude))
}
