//! A user that does not exist yet.

use salt_proto::Value;

use super::{REDACTED, Wanted, missing_groups, wanted_gid};
use crate::context::Context;
use crate::functions::user::change::{self as tools};
use crate::functions::user::info;
use crate::functions::{group, next_number, number_range, shadow};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;
use crate::system::Observe;

pub(super) fn plan(
    mut wanted: Wanted,
    missing: &[String],
    check: &Check<'_>,
) -> Result<Plan, CallError> {
    let name = wanted.user.name.clone();
    let mut would = format!("User {name} set to be added");
    if !missing.is_empty() {
        would.push_str(&format!(" (pending groups: {})", missing.join(",")));
        return Ok(Plan::fail(missing_groups(missing))
            .when_testing(would)
            .test_result(None));
    }
    wanted.user.groups = wanted.all_groups(check.system).unwrap_or_default();
    let changes = predicted(check.system, &wanted)?;
    let comment = format!("New user {name} created");
    let (facts, make_home) = (changes.clone(), wanted.user.create_home);
    Ok(
        Plan::change(comment, changes, move |context| carry_out(context, &wanted))
            .when_testing(would)
            .test_changes(Changes::none())
            .when_rehearsing(move |context| {
                super::rehearsed::user(context, &name, &facts, make_home)
            }),
    )
}

/// What `user.info` will say, as far as the habits of `useradd` tell.
fn predicted(machine: &dyn Observe, wanted: &Wanted) -> Result<Changes, CallError> {
    let user = &wanted.user;
    let users = machine.users().unwrap_or_default();
    let uids: Vec<u32> = users.iter().map(|user| user.uid).collect();
    let groups = machine.groups().unwrap_or_default();
    let gids: Vec<u32> = groups.iter().map(|group| group.gid).collect();
    let uid = match user.uid.as_deref().map(str::parse) {
        Some(Ok(uid)) => uid,
        _ => next_number(machine, "UID", &uids, user.system),
    };
    let gid = match &wanted.gid {
        Some(gid) => wanted_gid(machine, gid)?.unwrap_or(uid),
        None => match group::find(machine, &user.name)? {
            Some(group) => group.gid,
            // The user's own group gets the user's number if that may be a group's.
            None if number_range(machine, "GID", user.system).contains(&uid)
                && !gids.contains(&uid) =>
            {
                uid
            }
            None => next_number(machine, "GID", &gids, user.system),
        },
    };
    let primary = groups
        .iter()
        .find(|group| group.gid == gid)
        .map_or_else(|| user.name.clone(), |group| group.name.clone());
    let mut all = user.groups.clone();
    all.push(primary);
    all.sort();
    all.dedup();
    let home = match &user.home {
        Some(home) if user.create_home || machine.is_dir(std::path::Path::new(home)) => {
            home.clone()
        }
        None if user.create_home => format!("/home/{}", user.name),
        _ => String::new(),
    };
    let shell = user.shell.clone().unwrap_or_else(|| default_shell(machine));
    let mut changes = Changes::none()
        .with("gid", gid)
        .with("groups", all.into_iter().collect::<Value>())
        .with("home", home)
        .with("name", user.name.as_str())
        .with("passwd", "x")
        .with("shell", shell)
        .with("uid", uid);
    for (key, value) in tools::FACTS.into_iter().zip(&user.facts) {
        changes.insert(key, value.as_str());
    }
    if wanted.password.is_some() && !wanted.empty_password {
        changes.insert("password", REDACTED);
    }
    if wanted.empty_password {
        changes.insert("password", "");
    }
    for (age, value) in &wanted.ages {
        changes.insert(age.argument(), value.clone());
    }
    Ok(changes)
}

/// The shell that `useradd` gives by itself.
fn default_shell(machine: &dyn Observe) -> String {
    let text = machine
        .text(std::path::Path::new("/etc/default/useradd"))
        .ok()
        .flatten()
        .unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("SHELL="))
        .next_back()
        .unwrap_or("/bin/sh")
        .trim()
        .to_owned()
}

fn carry_out(context: &Context<'_>, wanted: &Wanted) -> Result<Done, CallError> {
    let name = &wanted.user.name;
    if !tools::create(context, &wanted.user)? {
        return Ok(Done::failed(format!("Failed to create new user {name}")));
    }
    let mut changes = match tools::find(context.system, name)? {
        Some(user) => {
            let mut changes = Changes::from(info(&user, context.system)?);
            // Salt shows no home directory where none was to be made.
            if !wanted.user.create_home && !context.system.is_dir(&user.home) {
                changes.insert("home", "");
            }
            changes
        }
        None => Changes::none(),
    };
    let mut failed = Vec::new();
    if wanted.empty_password {
        shadow::clear_password(context, name)?;
    } else if let Some(password) = &wanted.password {
        if shadow::set_password(context, name, password)? {
            changes.insert("password", REDACTED);
        } else {
            failed.push(format!(
                "User {name} created but failed to set password to {REDACTED}"
            ));
        }
    }
    if wanted.empty_password {
        let entry = shadow::info(context.system, name)?;
        if entry.password().is_empty() {
            changes.insert("password", "");
        } else {
            failed.push(format!("User {name} created but failed to empty password"));
        }
    }
    for (age, value) in &wanted.ages {
        if shadow::set_age(context, name, *age, value)? {
            changes.insert(age.argument(), value.clone());
        } else {
            failed.push(format!(
                "User {name} created but failed to set {} to {}",
                age.argument(),
                python::str(value)
            ));
        }
    }
    if let Some(lock) = wanted.password_lock {
        shadow::set_lock(context, name, lock)?;
    }
    let done = Done::as_planned().changes(changes);
    Ok(match failed.last() {
        None => done,
        // The last complaint is the one that Salt reports.
        Some(complaint) => done.comment(complaint.as_str()).result(false),
    })
}
