//! `file.*` functions that change something.

use std::path::{Path, PathBuf};

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::files::source::os_error;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::WriteOptions;

mod contents;
mod edits;
mod owners;
mod places;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    contents::register(registry);
    edits::register(registry);
    places::register(registry);
    owners::register(registry);
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
