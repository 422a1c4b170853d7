//! Sending files to the master, and receiving them as `salt-cp` sends them.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use salt_proto::{Map, Value};

use super::shown;
use crate::args::Args;
use crate::context::Context;
use crate::fnmatch;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "cp.push",
        "push(path, keep_symlinks=False, upload_path=None, remove_source=False)",
        "Sends a file of this machine to the master, which must have switched receiving on (file_recv). upload_path: what the master calls it.",
        |args, context| {
            let path = PathBuf::from(args.text("path")?);
            let upload = args.optional_text("upload_path");
            push(&path, upload.as_deref(), args.is_true("remove_source"), context)
        },
    );
    registry.add(
        "cp.push_dir",
        "push_dir(path, glob=None, upload_path=None)",
        "Sends the files below a directory to the master. glob: only those whose names match.",
        push_dir,
    );
    registry.add(
        "cp.recv",
        "recv(files, dest)",
        "Writes the files of a mapping from path to content to a place; what salt-cp calls.",
        recv,
    );
}

fn plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| part != Component::ParentDir)
}

fn push(path: &Path, upload: Option<&str>, remove_source: bool, context: &Context<'_>) -> Answer {
    let upload = upload.map_or_else(|| path.to_owned(), PathBuf::from);
    if !plain(path) || upload.components().any(|part| part == Component::ParentDir) {
        return Ok(false.into());
    }
    let failed = |error| CallError::execution(errno_text(&error, Some(path)));
    let Some(meta) = context
        .system
        .metadata(path)
        .map_err(failed)?
        .filter(|meta| meta.is_file())
    else {
        return Ok(false.into());
    };
    let names: Value = upload
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    let chunk = context
        .minion
        .config
        .get("file_buffer_size")
        .and_then(Value::as_int)
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(262_144)
        .clamp(1, 16 << 20);
    let Some(mut reader) = context.system.open(path).map_err(failed)? else {
        return Ok(false.into());
    };
    let mut sent: u64 = 0;
    loop {
        let mut data = Vec::with_capacity(chunk);
        reader
            .by_ref()
            .take(chunk as u64)
            .read_to_end(&mut data)
            .map_err(failed)?;
        // An empty file is one empty part; otherwise the end is no part of its own.
        if data.is_empty() && sent > 0 {
            break;
        }
        let length = data.len() as u64;
        let load = Map::from([
            ("cmd", Value::from("_file_recv")),
            ("id", context.minion.id.as_str().into()),
            ("path", names.clone()),
            ("size", meta.size.into()),
            ("loc", sent.into()),
            ("data", data.into()),
        ]);
        let answer = context.ask_master(load)?;
        if !answer.is_true() {
            return Ok(answer);
        }
        sent += length;
        if length == 0 {
            break;
        }
    }
    if remove_source {
        context.system.remove(path).map_err(failed)?;
    }
    Ok(true.into())
}

fn push_dir(args: &Args, context: &Context<'_>) -> Answer {
    let directory = PathBuf::from(args.text("path")?);
    let upload = args.optional_text("upload_path").map(PathBuf::from);
    if !plain(&directory) {
        return Ok(false.into());
    }
    if context.system.is_file(&directory) {
        let upload = upload.map(|path| path.to_string_lossy().into_owned());
        return push(&directory, upload.as_deref(), false, context);
    }
    let mut files = Vec::new();
    walk(&directory, &mut files, context)
        .map_err(|error| CallError::execution(errno_text(&error, Some(&directory))))?;
    if let Some(glob) = args.optional_text("glob") {
        files.retain(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            fnmatch(&name, &glob)
        });
    }
    for file in &files {
        let target = upload.as_ref().map(|upload| {
            let below = file.strip_prefix(&directory).unwrap_or(file);
            upload.join(below).to_string_lossy().into_owned()
        });
        let answer = push(file, target.as_deref(), false, context)?;
        if !answer.is_true() {
            return Ok(answer);
        }
    }
    Ok(true.into())
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>, context: &Context<'_>) -> std::io::Result<()> {
    for name in context.system.list(directory)? {
        let path = directory.join(name);
        match context.system.link_metadata(&path)? {
            Some(meta) if meta.is_dir() => walk(&path, files, context)?,
            Some(meta) if meta.is_file() => files.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn recv(args: &Args, context: &Context<'_>) -> Answer {
    let Some(Value::Map(files)) = args.get("files") else {
        return Err(CallError::Arguments(
            "files must be a dictionary".to_owned(),
        ));
    };
    let dest = PathBuf::from(args.text("dest")?);
    let into_directory = context.system.is_dir(&dest);
    let into_parent = dest
        .parent()
        .is_some_and(|parent| context.system.is_dir(parent));
    let mut results = Map::new();
    for (path, content) in files {
        let path = python::str(path);
        let to = if into_directory {
            let name = Path::new(&path).file_name().unwrap_or_default();
            dest.join(name)
        } else if into_parent {
            dest.clone()
        } else {
            return Ok("Destination unavailable".into());
        };
        let written = match content.as_bytes() {
            Some(content) => context
                .system
                .write(&to, content, &WriteOptions::new())
                .is_ok(),
            None => false,
        };
        results.insert(shown(&to), written);
    }
    Ok(results.into())
}
