//! `file.copy` and `file.rename`.

use std::path::{Path, PathBuf};

use super::{Answer, absolute, expanded, with_dirs};
use crate::args::Args;
use crate::files::perms::Wanted;
use crate::files::source::os_error;
use crate::files::tree;
use crate::plan::{Changes, Done, Plan};
use crate::registry::Registry;
use crate::states::Check;
use crate::system::{FileKind, errno_text};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.copy",
        "copy_(name, source, force=False, makedirs=False, preserve=False, user=None, group=None, mode=None, dir_mode=None, subdir=False, **kwargs)",
        "Copies a file or directory of this machine unless there is one.",
        copy,
    );
    registry.add_state(
        "file.rename",
        "rename(name, source, force=False, makedirs=False, **kwargs)",
        "Moves a file or directory if it is there.",
        rename,
    );
}

fn copy(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let source = expanded(&args.text("source")?, check);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.copy"));
    }
    if let Some(complaint) = absolute(&name) {
        return Ok(Plan::fail(complaint));
    }
    let from = PathBuf::from(&source);
    let mut to = PathBuf::from(&name);
    let fails = |error| os_error(error, Path::new(&name));
    let there = check.system.metadata(&from).map_err(fails)?;
    let Some(there) = there.filter(|_| from.is_absolute()) else {
        return Ok(Plan::fail(format!(
            "Source file \"{source}\" is not present"
        )));
    };
    let test = check.is_test();
    let preserve = args.is_true("preserve");
    let wanted = if preserve {
        Wanted::default()
    } else {
        Wanted::new(args.given("user"), args.given("group"), args.given("mode"))
    };
    if !test {
        let unknown = wanted.unknown(check.system).map_err(fails)?;
        if !unknown.is_empty() {
            return Ok(Plan::fail(unknown));
        }
    }
    let force = args.is_true("force");
    if check.system.is_dir(&to) && args.is_true("subdir") {
        to.push(from.file_name().unwrap_or_default());
    }
    let shown = to.to_string_lossy().into_owned();
    let old = check.system.link_metadata(&to).map_err(fails)?;
    if old.is_some() && !force {
        return Ok(Plan::unchanged(format!(
            "The target file \"{shown}\" exists and will not be overwritten"
        )));
    }
    let identical = there.kind == FileKind::File
        && old.as_ref().is_some_and(|old| old.is_file())
        && check.system.read(&from).map_err(fails)? == check.system.read(&to).map_err(fails)?;
    let parent = super::dirname(&to).to_owned();
    let makedirs = args.is_true("makedirs");
    if !test && !makedirs && !check.system.is_dir(&parent) {
        return Ok(Plan::fail(format!(
            "The target directory {} is not present",
            parent.display()
        )));
    }
    let mut changes = Changes::of(&shown, source.as_str());
    // A copy belongs to us and has the mode of what it was made of.
    let mut fresh = there.clone();
    let identity = check.system.identity();
    (fresh.uid, fresh.gid) = (identity.uid, identity.gid);
    changes.extend(wanted.lacking(check.system, &fresh).map_err(fails)?);
    let mut comment = format!("Copied \"{source}\" to \"{name}\"");
    if identical {
        comment.push_str(" - files are identical but force flag is set");
    }
    let dir_mode = args
        .given("dir_mode")
        .or_else(|| args.given("mode"))
        .cloned();
    let would = format!("File \"{source}\" is set to be copied to \"{shown}\"");
    Ok(Plan::change(comment, changes, move |context| {
        let system = context.system;
        let dirs = Wanted::new(
            wanted.user.as_ref(),
            wanted.group.as_ref(),
            dir_mode.as_ref(),
        );
        let done = (|| {
            if makedirs {
                with_dirs(&parent, &dirs, context)?;
            }
            // One file takes another's place at once.
            let both = there.is_file() && old.as_ref().is_some_and(|old| !old.is_dir());
            if old.is_some() && !both {
                system.remove_all(&to)?;
            }
            tree::copy(&from, &to, preserve, system)
        })();
        if let Err(error) = done {
            return Ok(Done::failed(format!(
                "Failed to copy \"{}\" to \"{}\": {}",
                from.display(),
                to.display(),
                errno_text(&error, Some(&to))
            )));
        }
        Ok(match wanted.establish(system, &to, true) {
            Ok(_) => Done::as_planned(),
            Err(error) => Done::failed(error.to_string()),
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn rename(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let source = expanded(&args.text("source")?, check);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.rename"));
    }
    if let Some(complaint) = absolute(&name) {
        return Ok(Plan::fail(complaint));
    }
    let (from, to) = (PathBuf::from(&source), PathBuf::from(&name));
    let fails = |error| os_error(error, &to);
    if check.system.link_metadata(&from).map_err(fails)?.is_none() {
        return Ok(Plan::unchanged(format!(
            "Source file \"{source}\" has already been moved out of place"
        )));
    }
    let old = check.system.link_metadata(&to).map_err(fails)?;
    if old.is_some() && !args.is_true("force") {
        return Ok(Plan::unchanged(format!(
            "The target file \"{name}\" exists and will not be overwritten"
        )));
    }
    let parent = super::dirname(&to).to_owned();
    let makedirs = args.is_true("makedirs");
    if !check.is_test() && !makedirs && !check.system.is_dir(&parent) {
        return Ok(Plan::fail(format!(
            "The target directory {} is not present",
            parent.display()
        )));
    }
    let would = format!("File \"{source}\" is set to be moved to \"{name}\"");
    Ok(Plan::change(
        format!("Moved \"{source}\" to \"{name}\""),
        Changes::of(&name, source.as_str()),
        move |context| {
            let system = context.system;
            let done = with_dirs(&parent, &Wanted::default(), context).and_then(|()| {
                if old.as_ref().is_some_and(|old| old.is_dir()) {
                    system.remove_all(&to)?;
                }
                tree::rename(&from, &to, system)
            });
            Ok(match done {
                Ok(()) => Done::as_planned(),
                Err(error) => Done::failed(format!(
                    "Failed to move \"{source}\" to \"{name}\": {}",
                    errno_text(&error, Some(&to))
                )),
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
