//! `file.symlink` and `file.hardlink`.

use std::path::{Component, Path, PathBuf};

use salt_proto::Value;

use super::{Answer, absolute, expanded, with_dirs};
use crate::args::Args;
use crate::context::Context;
use crate::files::perms::{Wanted, group_name, user_name};
use crate::files::source::os_error;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Metadata, Observe, errno_text};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.symlink",
        "symlink(name, target, force=False, backupname=None, makedirs=False, user=None, group=None, mode=None, win_owner=None, win_perms=None, win_deny_perms=None, win_inheritance=None, atomic=False, disallow_copy_and_unlink=False, inherit_user_and_group=False, follow_symlinks=True, **kwargs)",
        "Sees to a symbolic link.",
        symlink,
    );
    registry.add_state(
        "file.hardlink",
        "hardlink(name, target, force=False, makedirs=False, user=None, group=None, dir_mode=None, **kwargs)",
        "Sees to a second name of a file.",
        hardlink,
    );
}

/// Python's `os.path.normpath`.
pub(crate) fn normal(path: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                let up = matches!(out.components().next_back(), Some(Component::Normal(_)));
                if up {
                    out.pop();
                } else if !out.has_root() {
                    out.push("..");
                }
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out
}

/// Whom a link shall belong to: the user asked for or us, and that user's group.
fn owner(args: &Args, system: &dyn Observe) -> Result<(Value, Value), CallError> {
    let fail = |error: std::io::Error| CallError::execution(errno_text(&error, None));
    let identity = system.identity();
    let inherit = args.is_true("inherit_user_and_group");
    let given = |key: &str| {
        args.given(key)
            .filter(|value| value.is_true() || value.as_str().is_some())
            .cloned()
    };
    let user = match given("user") {
        Some(user) => user,
        None => user_name(system, identity.uid).map_err(fail)?,
    };
    let group = match given("group") {
        Some(group) => group,
        None if given("user").is_some() || inherit => {
            let found = system.user(&python::str(&user)).map_err(fail)?;
            let gid = found.map_or(identity.gid, |found| found.gid);
            group_name(system, gid).map_err(fail)?
        }
        None => group_name(system, identity.gid).map_err(fail)?,
    };
    Ok((user, group))
}

fn belongs(system: &dyn Observe, found: &Metadata) -> Result<String, CallError> {
    let fail = |error: std::io::Error| CallError::execution(errno_text(&error, None));
    let user = user_name(system, found.uid).map_err(fail)?;
    let group = group_name(system, found.gid).map_err(fail)?;
    Ok(format!("{}:{}", python::str(&user), python::str(&group)))
}

fn symlink(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    super::owners_are_names(args)?;
    let target = args.text("target")?;
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.symlink"));
    }
    let (user, group) = owner(args, check.system)?;
    let wanted = Wanted::new(Some(&user), Some(&group), None);
    let path = Path::new(&name).to_owned();
    let fails = |error| os_error(error, &path);
    let (uid, gid) = wanted.numbers(check.system).map_err(fails)?;
    let mut complaints = Vec::new();
    if uid.is_none() {
        complaints.push(format!("User {} does not exist", python::str(&user)));
    }
    if gid.is_none() {
        complaints.push(format!("Group {} does not exist", python::str(&group)));
    }
    complaints.extend(absolute(&name));
    if !complaints.is_empty() {
        return Ok(Plan::fail(if complaints.len() > 1 {
            complaints.join(". ") + "."
        } else {
            complaints.concat()
        }));
    }
    let (force, makedirs) = (args.is_true("force"), args.is_true("makedirs"));
    let backup = args
        .optional_text("backupname")
        .filter(|backup| !backup.is_empty());
    let found = check.system.link_metadata(&path).map_err(fails)?;
    let parent = super::dirname(&path).to_owned();
    let parent_there = check.system.is_dir(&parent);
    let shown_parent = parent.display().to_string();

    if check.is_test() {
        let current = match &found {
            Some(found) if found.is_link() => Some(check.system.read_link(&path).map_err(fails)?),
            _ => None,
        };
        return Ok(match (&found, current) {
            (Some(found), Some(current)) => {
                if current.as_os_str() != target.as_str() {
                    Plan::answer(
                        None,
                        format!("Link {name} target is set to be changed to {target}"),
                        Changes::of("change", name.as_str()),
                    )
                } else if Some(found.uid) != uid || Some(found.gid) != gid {
                    let now = belongs(check.system, found)?;
                    Plan::answer(
                        None,
                        format!(
                            "The symlink {name} is present, but the ownership of the symlink would be changed from {now} to {}:{}",
                            python::str(&user),
                            python::str(&group)
                        ),
                        Changes::of("ownership", now),
                    )
                } else {
                    Plan::unchanged(format!("The symlink {name} is present"))
                }
            }
            (Some(_), None) if force => Plan::answer(
                None,
                format!(
                    "The file or directory {name} is set for removal to make way for a new symlink targeting {target}"
                ),
                Changes::none(),
            ),
            (Some(_), None) => Plan::fail(format!(
                "File or directory exists where the symlink {name} should be. Did you mean to use force?"
            )),
            (None, _) => {
                let mut comment = format!("Symlink {name} to {target} is set for creation");
                if !parent_there {
                    comment.push_str(&if makedirs {
                        format!("\n{shown_parent} will be created")
                    } else {
                        format!("\nDirectory {shown_parent} for symlink is not present")
                    });
                }
                Plan::answer(None, comment, Changes::of("new", name.as_str()))
            }
        });
    }

    let mut moved = None;
    let mut replaces = false;
    match &found {
        Some(found) if found.is_link() => {
            let current = check.system.read_link(&path).map_err(fails)?;
            if normal(&current.to_string_lossy()) == normal(&target) {
                let (user, group) = (python::str(&user), python::str(&group));
                if Some(found.uid) == uid && Some(found.gid) == gid {
                    return Ok(Plan::unchanged(format!(
                        "Symlink {name} is present and owned by {user}:{group}"
                    )));
                }
                return Ok(Plan::change(
                    format!("Set ownership of symlink {name} to {user}:{group}"),
                    Changes::of("ownership", format!("{user}:{group}")),
                    move |context| {
                        let set = context.system.set_owner(&path, uid, gid, false);
                        Ok(match set {
                            Ok(()) => Done::as_planned(),
                            Err(_) => Done::failed(format!(
                                "Failed to set ownership of symlink {name} to {user}:{group}"
                            )),
                        })
                    },
                ));
            }
            replaces = true;
        }
        Some(found) => {
            if let Some(backup) = &backup {
                let to = if Check::is_absolute(backup) {
                    PathBuf::from(backup)
                } else if backup
                    == Path::new(backup)
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .as_ref()
                {
                    parent.join(backup)
                } else {
                    return Ok(Plan::fail(format!(
                        "Backupname must be an absolute path or a file name: {backup}"
                    )));
                };
                let taken = check.system.link_metadata(&to).map_err(fails)?.is_some();
                if taken && !force {
                    return Ok(Plan::fail(format!(
                        "Symlink & backup dest exists and Force not set. {name} -> {target} - backup: {backup}"
                    )));
                }
                moved = Some((to, taken));
            } else if force {
                if found.is_dir() {
                    return Ok(Plan::fail(format!(
                        "Unable to create new symlink {name} -> {target}: [Errno 21] Is a directory: '{name}'"
                    )));
                }
                replaces = true;
            } else {
                let what = if found.is_dir() { "Directory" } else { "File" };
                return Ok(Plan::fail(format!(
                    "{what} exists where the symlink {name} should be"
                )));
            }
        }
        None => {}
    }
    if !parent_there && !makedirs {
        return Ok(Plan::fail(format!(
            "Directory {shown_parent} for symlink is not present"
        )));
    }
    let dirs = Wanted::new(Some(&user), Some(&group), args.given("mode"));
    Ok(Plan::change(
        format!("Created new symlink {name} -> {target}"),
        Changes::of("new", name.as_str()),
        move |context| {
            let made = make(&path, &target, moved, replaces, &dirs, (uid, gid), context);
            Ok(match made {
                Ok(()) => Done::as_planned(),
                Err(_) if target.is_empty() => Done::failed(format!(
                    "Unable to create new symlink {name} -> {target}: Could not create '{name}'"
                )),
                Err(error) => Done::failed(format!(
                    "Unable to create new symlink {name} -> {target}: {}",
                    errno_text(&error, Some(&path))
                )),
            })
        },
    ))
}

fn make(
    path: &Path,
    target: &str,
    moved: Option<(PathBuf, bool)>,
    replaces: bool,
    dirs: &Wanted,
    (uid, gid): (Option<u32>, Option<u32>),
    context: &Context<'_>,
) -> std::io::Result<()> {
    let system = context.system;
    if target.is_empty() {
        return Err(rustix::io::Errno::NOENT.into());
    }
    if let Some(parent) = path.parent() {
        with_dirs(parent, dirs, context)?;
    }
    if let Some((to, taken)) = moved {
        if taken {
            system.remove_all(&to)?;
        }
        system.rename(path, &to)?;
    }
    if replaces {
        // Beside the old one and over it, so that there is always one of both.
        let mut random = [0; 6];
        system.random(&mut random);
        let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let beside = path.with_file_name(format!(".salt-link.{tail}"));
        system.symlink(Path::new(target), &beside)?;
        let done = system
            .set_owner(&beside, uid, gid, false)
            .and_then(|()| system.rename(&beside, path));
        if done.is_err() {
            system.remove(&beside).ok();
        }
        return done;
    }
    system.symlink(Path::new(target), path)?;
    let now = system.identity();
    if uid != Some(now.uid) || gid != Some(now.gid) {
        system.set_owner(path, uid, gid, false)?;
    }
    Ok(())
}

fn hardlink(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let target = args.text("target")?;
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.hardlink"));
    }
    let (user, group) = owner(args, check.system)?;
    let wanted = Wanted::new(Some(&user), Some(&group), args.given("dir_mode"));
    let (path, target_path) = (PathBuf::from(&name), PathBuf::from(&target));
    let fails = |error| os_error(error, &path);
    let (uid, gid) = wanted.numbers(check.system).map_err(fails)?;
    let mut complaints = Vec::new();
    if uid.is_none() {
        complaints.push(format!("User {} does not exist", python::str(&user)));
    }
    if gid.is_none() {
        complaints.push(format!("Group {} does not exist", python::str(&group)));
    }
    complaints.extend(absolute(&name));
    if !target_path.is_absolute() {
        complaints.push(format!("Specified target {target} is not an absolute path"));
    }
    let there = check.system.metadata(&target_path).map_err(fails)?;
    match &there {
        None if complaints.is_empty() => {
            complaints.push(format!("Target {target} for hard link does not exist"));
        }
        Some(found) if found.is_dir() && complaints.is_empty() => {
            complaints.push(format!("Unable to hard link from directory {target}"));
        }
        _ => {}
    }
    let found = check.system.link_metadata(&path).map_err(fails)?;
    if found.as_ref().is_some_and(Metadata::is_dir) && complaints.is_empty() {
        complaints.push(format!("Unable to hard link to directory {name}"));
    }
    if !complaints.is_empty() {
        return Ok(Plan::fail(if complaints.len() > 1 {
            complaints.join(". ") + "."
        } else {
            complaints.concat()
        }));
    }
    let force = args.is_true("force");
    let same = match (&found, &there) {
        (Some(a), Some(b)) => !a.is_link() && (a.device, a.inode) == (b.device, b.inode),
        _ => false,
    };
    let parent = super::dirname(&path).to_owned();
    if same {
        return Ok(Plan::unchanged(if check.is_test() {
            format!("The hard link {name} is presently targetting {target}")
        } else {
            format!("Target of hard link {name} is already pointing to {target}")
        }));
    }
    if check.is_test() {
        return Ok(match &found {
            Some(_) if force => Plan::answer(
                None,
                format!(
                    "The file or directory {name} is set for removal to make way for a new hard link targeting {target}"
                ),
                Changes::none(),
            ),
            Some(_) => Plan::fail(format!(
                "File or directory exists where the hard link {name} should be. Did you mean to use force?"
            )),
            None => Plan::answer(
                None,
                format!("Hard link {name} to {target} is set for creation"),
                Changes::of("new", name.as_str()),
            ),
        });
    }
    if !check.system.is_dir(&parent) && !args.is_true("makedirs") {
        return Ok(Plan::fail(format!(
            "Directory {} for hard link is not present",
            parent.display()
        )));
    }
    if found.is_some() && !force {
        return Ok(Plan::fail(format!(
            "File exists where the hard link {name} should be"
        )));
    }
    let replaces = found.is_some();
    let changes = if replaces {
        Changes::of("forced", "File for hard link was forcibly replaced")
    } else {
        Changes::none()
    };
    Ok(Plan::change(
        format!("Created new hard link {name} -> {target}"),
        changes.with("new", name.as_str()),
        move |context| {
            let made = with_dirs(&parent, &wanted, context).and_then(|()| {
                if replaces {
                    context.system.remove(&path)?;
                }
                context.system.hard_link(&target_path, &path)
            });
            Ok(match made {
                Ok(()) => Done::as_planned(),
                Err(error) => Done::failed(format!(
                    "Unable to create new hard link {name} -> {target}: {}",
                    errno_text(&error, Some(&path))
                )),
            })
        },
    ))
}
