//! `mount.*`: what is mounted, now and at boot.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::functions::mount::{self as tools, Entry};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "mount.mounted",
        "mounted(name, device, fstype, mkmnt=False, opts='defaults', dump=0, pass_num=0, config='/etc/fstab', persist=True, mount=True, user=None, match_on='auto', device_name_regex=None, extra_mount_invisible_options=None, extra_mount_invisible_keys=None, extra_mount_ignore_fs_keys=None, extra_mount_translate_options=None, hidden_opts=None, bind_mount_copy_active_opts=True, **kwargs)",
        "Makes sure that a file system is mounted, now and at boot.",
        mounted,
    );
    registry.add_state(
        "mount.unmounted",
        "unmounted(name, device=None, config='/etc/fstab', persist=False, user=None, **kwargs)",
        "Makes sure that nothing is mounted at a place; with persist, nor at boot.",
        unmounted,
    );
    registry.add_state(
        "mount.swap",
        "swap(name, persist=True, config='/etc/fstab')",
        "Makes sure that a file or device is used for swapping.",
        swap,
    );
    registry.add_state(
        "mount.fstab_present",
        "fstab_present(name, fs_file, fs_vfstype, fs_mntops='defaults', fs_freq=0, fs_passno=0, mount_by=None, config='/etc/fstab', mount=True, match_on='auto', not_change=False, fs_mount=True)",
        "Makes sure that a line is in the table of what is mounted at boot.",
        fstab_present,
    );
    registry.add_state(
        "mount.fstab_absent",
        "fstab_absent(name, fs_file, mount_by=None, config='/etc/fstab')",
        "Makes sure that a line is not in the table of what is mounted at boot.",
        fstab_absent,
    );
    registry.add_state(
        "mount.mod_watch",
        "mod_watch(name, user=None, **kwargs)",
        "Mounts again because something it watches changed.",
        mod_watch,
    );
}

/// Options that the kernel does not show again.
const INVISIBLE: [&str; 24] = [
    "_netdev",
    "actimeo",
    "auto",
    "backup-volfile-servers",
    "bg",
    "bind",
    "comment",
    "credentials",
    "defaults",
    "delay_connect",
    "direct-io-mode",
    "intr",
    "loop",
    "nobootwait",
    "nofail",
    "nointr",
    "nonempty",
    "password",
    "port",
    "reconnect",
    "retry",
    "secretfile",
    "soft",
    "users",
];

/// The stated options that a mount does not have.
fn missing_options(wanted: &str, now: &str) -> Vec<String> {
    let now: Vec<&str> = now.split(',').collect();
    wanted
        .split(',')
        .filter(|option| !option.is_empty())
        .filter(|option| {
            let key = option.split('=').next().unwrap_or(option);
            !INVISIBLE.contains(&key) && !key.starts_with("x-") && !now.contains(option)
        })
        .filter(|option| {
            // Sizes are shown in kibibytes, modes without their zero.
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let same = |shown: &&str| {
                shown.split_once('=').is_some_and(|(known, shown)| {
                    known == key
                        && (in_kibibytes(shown) == in_kibibytes(value)
                            && in_kibibytes(value).is_some()
                            || shown.trim_start_matches('0') == value.trim_start_matches('0'))
                })
            };
            !now.iter().any(same)
        })
        .map(str::to_owned)
        .collect()
}

fn in_kibibytes(size: &str) -> Option<u64> {
    let unit = size.chars().last()?;
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match unit.to_ascii_lowercase() {
        'k' => Some(number),
        'm' => number.checked_mul(1 << 10),
        'g' => number.checked_mul(1 << 20),
        't' => number.checked_mul(1 << 30),
        _ => None,
    }
}

fn config(args: &Args) -> Result<PathBuf, CallError> {
    Ok(args.text("config")?.into())
}

fn mounted(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let entry = Entry {
        device: args.text("device")?,
        place: name.clone(),
        kind: args.text("fstype")?,
        opts: tools::options(args, "opts"),
        dump: args.text("dump")?,
        pass: args.text("pass_num")?,
    };
    let path = config(args)?;
    let (mkmnt, does_mount, persist) = (
        args.is_true("mkmnt"),
        args.is_true("mount"),
        args.is_true("persist"),
    );
    let place = check
        .system
        .canonicalize(Path::new(&name))
        .map_or_else(|_| name.clone(), |path| path.to_string_lossy().into_owned());
    let active = tools::active(check.system)?;
    let now = active.iter().rfind(|known| known.place == place);
    let lacks = match now {
        Some(now) if does_mount => missing_options(&entry.opts, &now.opts),
        _ => Vec::new(),
    };
    let there = check.system.is_dir(Path::new(&name)) || check.system.exists(Path::new(&name));
    let (mut said, mut would, mut changes) = (Vec::new(), Vec::new(), Changes::none());
    let mut remount = None;
    match now {
        Some(_) if lacks.is_empty() => {
            said.push("Target was already mounted".to_owned());
            would.push("Target was already mounted".to_owned());
        }
        Some(_) => {
            let because = lacks.join(",");
            would.push(format!(
                "Remount would be forced because options ({because}) changed"
            ));
            changes.insert(
                "umount",
                format!("Forced remount because options ({because}) changed"),
            );
            said.push("Target was already mounted".to_owned());
            remount = Some(because);
        }
        None if !there && !mkmnt => {
            return Ok(Plan::fail("Mount directory is not present")
                .when_testing(format!("{name} does not exist and would not be created"))
                .test_result(None));
        }
        None => {
            let created = if there { "" } else { "created" };
            match (does_mount, there) {
                (true, true) => would.push(format!("{name} would be mounted")),
                (true, false) => would.push(format!("{name} would be created and mounted")),
                (false, true) => would.push(format!("{name} would not be mounted")),
                (false, false) => {
                    would.push(format!("{name} would be created, but not mounted"));
                }
            }
            if does_mount {
                said.push("Target was successfully mounted".to_owned());
                changes.insert("mount", true);
            } else if created.is_empty() {
                said.push(format!("{name} not mounted"));
            } else {
                said.push(format!("{name} was created, not mounted"));
            }
        }
    }
    let standing = if persist {
        tools::standing(check.system, &path, &entry)?
    } else {
        "present"
    };
    match standing {
        "new" => {
            would.push(format!(
                "{name} needs to be written to the fstab in order to be made persistent."
            ));
            said.push("Added new entry to the fstab.".to_owned());
            changes.insert("persist", "new");
        }
        "change" => {
            would.push(format!("{name} fstab entry needs to be updated."));
            said.push("Updated the entry in the fstab.".to_owned());
            changes.insert("persist", "update");
        }
        _ if persist => said.push("Entry already exists in the fstab.".to_owned()),
        _ => {}
    }
    let comment = said.join(". ");
    if changes.is_empty() && (now.is_some() || there && !does_mount) {
        return Ok(Plan::unchanged(comment));
    }
    let mounts = now.is_none() && does_mount;
    Ok(Plan::change(comment, changes, move |context| {
        if !there {
            context
                .system
                .create_dir_all(Path::new(&name), 0o755)
                .map_err(|error| {
                    CallError::execution(crate::system::errno_text(&error, Some(Path::new(&name))))
                })?;
        }
        if mounts
            && let Err(said) = tools::mount(
                context,
                &name,
                Some(&entry.device),
                &entry.kind,
                &entry.opts,
            )?
        {
            return Ok(Done::failed(said));
        }
        if remount.is_some() {
            let opts = format!("remount,{}", entry.opts);
            if let Err(said) =
                tools::mount(context, &name, Some(&entry.device), &entry.kind, &opts)?
            {
                return Ok(Done::failed(said));
            }
        }
        if standing != "present" {
            tools::set_fstab(context, &path, &entry)?;
        }
        Ok(Done::as_planned())
    })
    .when_testing(would.join(". "))
    .test_changes(Changes::none()))
}

fn unmounted(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let device = args.optional_text("device");
    let path = config(args)?;
    let persist = args.is_true("persist");
    let is = tools::active(check.system)?
        .iter()
        .any(|known| known.place == name);
    let in_fstab = persist
        && tools::fstab(check.system, &path)?.iter().any(|known| {
            known.place == name && device.as_ref().is_none_or(|device| known.device == *device)
        });
    let (mut said, mut changes) = (Vec::new(), Changes::none());
    let mut would = Vec::new();
    if is {
        would.push(format!("Mount point {name} is mounted but should not be"));
        said.push("Target was successfully unmounted");
        changes.insert("umount", true);
    } else {
        said.push("Target was already unmounted");
    }
    if in_fstab {
        would.push(format!(
            "Mount point {name} is unmounted but needs to be purged from {} to be made persistent",
            path.display()
        ));
        said.push("Removed target from fstab");
        changes.insert("persist", "purged");
    } else if persist {
        said.push("fstab entry not found");
    }
    let said = said.join(". ");
    if changes.is_empty() {
        return Ok(Plan::unchanged(said));
    }
    let would = would.first().cloned().unwrap_or_default();
    Ok(Plan::change(said, changes, move |context| {
        if is && let Err(said) = tools::umount(context, &name, false)? {
            return Ok(Done::failed(said));
        }
        if in_fstab {
            tools::rm_fstab(context, &path, &name, device.as_deref())?;
        }
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn swap(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let path = config(args)?;
    let entry = Entry {
        device: name.clone(),
        place: "none".to_owned(),
        kind: "swap".to_owned(),
        opts: "defaults".to_owned(),
        dump: "0".to_owned(),
        pass: "0".to_owned(),
    };
    let on = tools::is_swap(check.system, &name)?;
    let standing = if args.is_true("persist") {
        tools::standing(check.system, &path, &entry)?
    } else {
        "present"
    };
    let (mut said, mut changes) = (Vec::new(), Changes::none());
    let would = if on {
        said.push(format!("Swap {name} already active"));
        format!("Swap {name} needs to be set in the fstab in order to be made persistent")
    } else {
        said.push(format!("Swap {name} activated"));
        changes.insert("swap", name.as_str());
        format!("Swap {name} is set to be activated")
    };
    let fstab = match standing {
        "new" => {
            changes.insert("persist", "new");
            ". Added new entry to the fstab."
        }
        "change" => {
            changes.insert("persist", "update");
            ". Updated the entry in the fstab."
        }
        _ => "",
    };
    let said = format!("{}{fstab}", said.join(""));
    if changes.is_empty() {
        return Ok(Plan::unchanged(said));
    }
    Ok(Plan::change(said, changes.clone(), move |context| {
        // What counts is whether it is used, not what the program said.
        let failed = !on && {
            let _said = tools::swap_on(context, &name)?;
            !tools::is_swap(context.system, &name)?
        };
        if standing != "present" {
            if !context.system.exists(&path) {
                return Err(CallError::execution(format!(
                    "Bad config file \"{}\"",
                    path.display()
                )));
            }
            tools::set_fstab(context, &path, &entry)?;
        }
        if failed {
            changes.remove("swap");
            return Ok(Done::as_planned()
                .comment(format!("Swap {name} failed to activate{fstab}"))
                .changes(changes)
                .result(false));
        }
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn fstab_present(args: &Args, check: &Check<'_>) -> Answer {
    let entry = Entry {
        device: args.text("name")?,
        place: args.text("fs_file")?,
        kind: args.text("fs_vfstype")?,
        opts: tools::options(args, "fs_mntops"),
        dump: args.text("fs_freq")?,
        pass: args.text("fs_passno")?,
    };
    let path = config(args)?;
    let (place, file) = (entry.place.clone(), path.display().to_string());
    let standing = tools::standing(check.system, &path, &entry)?;
    let (would, said, word) = match standing {
        "present" => {
            return Ok(Plan::unchanged(format!(
                "{place} entry was already in {file}."
            )));
        }
        "change" if args.is_true("not_change") => {
            return Ok(Plan::unchanged(format!(
                "{place} entry was already in {file}."
            )));
        }
        "change" => ("updated", "updated", "change"),
        _ => ("written", "added", "new"),
    };
    let would = format!("{place} entry will be {would} in {file}.");
    let mounts = args.is_true("mount") && args.is_true("fs_mount");
    Ok(Plan::change(
        format!("{place} entry {said} in {file}."),
        Changes::of("persist", word),
        move |context| {
            tools::set_fstab(context, &path, &entry)?;
            if mounts && context.system.is_dir(Path::new(&entry.place)) {
                let is = tools::active(context.system)?
                    .iter()
                    .any(|known| known.place == entry.place);
                if !is
                    && let Err(said) = tools::mount(
                        context,
                        &entry.place,
                        Some(&entry.device),
                        &entry.kind,
                        &entry.opts,
                    )?
                {
                    return Ok(Done::failed(format!(
                        "Error while mounting {}",
                        said.trim_start_matches("mount: ")
                    ))
                    .changes(Changes::of("persist", word)));
                }
            }
            Ok(Done::as_planned())
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn fstab_absent(args: &Args, check: &Check<'_>) -> Answer {
    let (device, place) = (args.text("name")?, args.text("fs_file")?);
    let path = config(args)?;
    let file = path.display().to_string();
    let is = tools::fstab(check.system, &path)?
        .iter()
        .any(|known| known.place == place);
    if !is {
        return Ok(Plan::unchanged(format!(
            "{place} entry is already missing in {file}."
        )));
    }
    let would = format!("{place} entry will be removed from {file}.");
    Ok(Plan::change(
        format!("{place} entry removed from {file}."),
        Changes::of("persist", "removed"),
        move |context| {
            tools::rm_fstab(context, &path, &place, None)?;
            tracing::debug!(%device, %place, "no longer mounted at boot");
            Ok(())
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn mod_watch(args: &Args, _: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let declared = args.keywords().get("sfun").map(crate::python::str);
    if declared.as_deref() != Some("mounted") {
        return Ok(Plan::unchanged(format!(
            "Watch not supported in {}",
            declared.unwrap_or_default()
        )));
    }
    let would = format!("{name} would be remounted");
    Ok(Plan::change(
        format!("{name} remounted"),
        Changes::of(&name, true),
        move |context| {
            Ok(match tools::mount(context, &name, None, "", "remount")? {
                Ok(()) => Done::as_planned(),
                Err(said) => Done::failed(format!("{name} failed to remount: {said}")),
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
