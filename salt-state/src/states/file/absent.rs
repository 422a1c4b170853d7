//! `file.absent`, `file.exists` and `file.missing`.

use std::path::Path;

use super::{Answer, absolute, expanded};
use crate::args::Args;
use crate::files::source::os_error;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::errno_text;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.absent",
        "absent(name, **kwargs)",
        "Removes a file, or a directory with all that is in it.",
        absent,
    );
    registry.add_state(
        "file.exists",
        "exists(name, **kwargs)",
        "Fails unless there is something at a path.",
        |args, check| {
            let name = expanded(&super::path_name(args)?, check);
            if name.is_empty() {
                return Ok(Plan::fail("Must provide name to file.exists"));
            }
            Ok(if check.system.exists(Path::new(&name)) {
                Plan::unchanged(format!("Path {name} exists"))
            } else {
                Plan::fail(format!("Specified path {name} does not exist"))
            })
        },
    );
    registry.add_state(
        "file.missing",
        "missing(name, **kwargs)",
        "Fails when there is something at a path.",
        |args, check| {
            let name = expanded(&super::path_name(args)?, check);
            if name.is_empty() {
                return Ok(Plan::fail("Must provide name to file.missing"));
            }
            Ok(if check.system.exists(Path::new(&name)) {
                Plan::fail(format!("Specified path {name} exists"))
            } else {
                Plan::unchanged(format!("Path {name} is missing"))
            })
        },
    );
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.absent"));
    }
    if let Some(complaint) = absolute(&name) {
        return Ok(Plan::fail(complaint));
    }
    if name == "/" {
        return Ok(Plan::fail("Refusing to make \"/\" absent"));
    }
    let path = Path::new(name.trim_end_matches('/')).to_owned();
    let found = check
        .system
        .link_metadata(&path)
        .map_err(|error| os_error(error, &path))?;
    // With a slash behind it only a directory is there.
    let found = found.filter(|found| !name.ends_with('/') || !found.is_file());
    let Some(found) = found else {
        return Ok(Plan::unchanged(format!("File {name} is not present")));
    };
    let (what, kind) = if found.is_dir() {
        ("directory", "Directory")
    } else {
        ("file", "File")
    };
    let failure = if found.is_dir() {
        format!("Failed to remove directory {name}")
    } else {
        String::new()
    };
    Ok(Plan::change(
        format!("Removed {what} {name}"),
        Changes::of("removed", name.as_str()),
        move |context| {
            Ok(match context.system.remove_all(&path) {
                Ok(()) => Done::as_planned(),
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::ROFS.raw_os_error()) =>
                {
                    return Err(CallError::execution(format!(
                        "Could not remove '{}': {}",
                        path.display(),
                        errno_text(&error, Some(&path))
                    )));
                }
                Err(_) if !failure.is_empty() => Done::failed(failure),
                Err(error) => Done::failed(errno_text(&error, Some(&path))),
            })
        },
    )
    .when_testing(format!("{kind} {name} is set for removal")))
}
