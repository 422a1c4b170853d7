//! `file.*` functions that say where files and directories are.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::{Answer, RELATIVE, absolute, path_of};
use crate::args::Args;
use crate::context::Context;
use crate::files::perms::{Wanted, mode_bits};
use crate::files::source::os_error;
use crate::files::tree;
use crate::registry::{CallError, Registry};
use crate::states::file as states;
use crate::system::{Node, errno_text};

pub(super) fn register(registry: &mut Registry) {
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
            let path = super::super::home(&args.text("path")?, context);
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
