//! A user that exists.

use std::path::Path;

use salt_proto::{Map, Value};

use super::{
    REDACTED, Wanted, further_groups, info_changes, missing_groups, primary, shadow_changes,
    wanted_gid,
};
use crate::context::Context;
use crate::functions::shadow::{self, Age};
use crate::functions::user::change::{self as tools, FACTS};
use crate::functions::user::{info, memberships};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;
use crate::system::{Observe, User};

/// What is different, in Salt's order and under its names.
#[derive(Default)]
struct Differences {
    found: Map,
    refused: Vec<String>,
}

pub(super) fn plan(
    user: &User,
    wanted: Wanted,
    missing: &[String],
    check: &Check<'_>,
) -> Result<Plan, CallError> {
    let machine = check.system;
    let name = user.name.clone();
    let differences = differences(machine, user, &wanted, missing)?;
    if !differences.refused.is_empty() {
        return Ok(Plan::fail(format!(
            "Encountered error checking for needed changes. Additional info follows:\n\n- {}",
            differences.refused.join("\n- ")
        )));
    }
    let up_to_date = format!("User {name} is present and up to date");
    let mut would = String::from("The following user attributes are set to be changed:\n");
    for (key, value) in &differences.found {
        let shown = match key.as_str() {
            Some("passwd") => REDACTED.to_owned(),
            _ => python::str(value),
        };
        would.push_str(&format!("{}: {shown}\n", python::str(key)));
    }
    if !missing.is_empty() {
        would.push_str(&format!(
            "groups (pending creation): {}\n",
            missing.join(",")
        ));
        let plan = Plan::fail(missing_groups(missing));
        return Ok(plan.when_testing(would).test_result(None));
    }
    if differences.found.is_empty() {
        return Ok(Plan::unchanged(up_to_date));
    }
    let changes = predicted(machine, user, &differences.found)?;
    let (facts, make_home) = (changes.clone(), wanted.user.create_home);
    let comment = if changes.is_empty() {
        up_to_date.clone()
    } else {
        format!("Updated user {name}")
    };
    Ok(Plan::change(comment, changes, move |context| {
        carry_out(context, &wanted, &differences.found, up_to_date)
    })
    .when_testing(would)
    .test_changes(Changes::none())
    .when_rehearsing(move |context| super::rehearsed::user(context, &name, &facts, make_home)))
}

fn differences(
    machine: &dyn Observe,
    user: &User,
    wanted: &Wanted,
    missing: &[String],
) -> Result<Differences, CallError> {
    let mut found = Map::new();
    let mut refused = Vec::new();
    if let Some(uid) = &wanted.uid
        && python::str(uid) != user.uid.to_string()
    {
        if !wanted.allow_uid_change {
            refused.push(format!(
                "Changing uid ({} -> {}) not permitted, set allow_uid_change to True to force \
                 this change. Note that this will not change file ownership.",
                user.uid,
                python::str(uid)
            ));
        }
        found.insert("uid", uid.clone());
    }
    let mut gid = user.gid;
    if let Some(asked) = &wanted.gid {
        let number = wanted_gid(machine, asked)?;
        if number != Some(user.gid) {
            if !wanted.allow_gid_change {
                refused.push(format!(
                    "Changing gid ({} -> {}) not permitted, set allow_gid_change to True to \
                     force this change. Note that this will not change file ownership.",
                    user.gid,
                    python::str(asked)
                ));
            }
            found.insert("gid", asked.clone());
            gid = number.unwrap_or(user.gid);
        }
    }
    if let Some(groups) = groups(machine, user, wanted, gid, missing)? {
        found.insert("groups", groups.into_iter().collect::<Value>());
    }
    if let Some(home) = &wanted.user.home
        && Path::new(home) != user.home
    {
        found.insert("home", home.as_str());
    }
    let home = match &wanted.user.home {
        Some(home) => Path::new(home),
        None => user.home.as_path(),
    };
    if wanted.user.create_home && wanted.user.home.is_some() && !machine.is_dir(home) {
        found.insert("homeDoesNotExist", home.to_string_lossy().into_owned());
    }
    if let Some(shell) = &wanted.user.shell
        && *shell != user.shell
    {
        found.insert("shell", shell.as_str());
    }
    passwords(machine, wanted, &mut found)?;
    let parts = tools::gecos(user);
    for (key, value) in &wanted.facts {
        let now = FACTS
            .iter()
            .position(|fact| fact == key)
            .and_then(|index| parts.get(index));
        if now.map(String::as_str) != Some(&python::str(value)) {
            found.insert(*key, value.clone());
        }
    }
    Ok(Differences { found, refused })
}

/// The further groups to be stated, `None` when they are as they should be.
fn groups(
    machine: &dyn Observe,
    user: &User,
    wanted: &Wanted,
    gid: u32,
    missing: &[String],
) -> Result<Option<Vec<String>>, CallError> {
    let asked = wanted
        .all_groups(machine)
        .filter(|asked| !asked.is_empty() || !missing.is_empty());
    let primary = primary(machine, gid)?;
    let changes_gid = gid != user.gid;
    let mut now = match (&asked, changes_gid) {
        (None, false) => return Ok(None),
        (Some(asked), _) => further_groups(machine, user, asked)?,
        (None, true) => memberships(machine, &user.name)?,
    };
    now.retain(|name| *name != primary);
    now.sort();
    let mut all = match asked {
        Some(mut asked) => {
            asked.retain(|name| *name != primary && !missing.contains(name));
            asked
        }
        // Who gets another primary group stays in the one that was.
        None => {
            let mut all = now.clone();
            let old = super::primary(machine, user.gid)?;
            if old != user.name && !all.contains(&old) {
                all.push(old);
            }
            all
        }
    };
    if !wanted.remove_groups {
        all.extend(now.iter().cloned());
    }
    all.sort();
    all.dedup();
    if !missing.is_empty() {
        return Ok(Some(all));
    }
    Ok((all != now).then_some(all))
}

fn passwords(machine: &dyn Observe, wanted: &Wanted, found: &mut Map) -> Result<(), CallError> {
    let states_something = wanted.password.is_some()
        || wanted.empty_password
        || wanted.password_lock.is_some()
        || !wanted.ages.is_empty();
    if !states_something {
        return Ok(());
    }
    let entry = shadow::info(machine, &wanted.user.name)?;
    let default = entry.password().is_empty() || entry.password() == "!";
    if let Some(password) = &wanted.password
        && !wanted.empty_password
        && entry.password() != password
        && (wanted.enforce_password || default)
    {
        found.insert("passwd", password.as_str());
    }
    if wanted.empty_password && !entry.password().is_empty() {
        found.insert("empty_password", true);
    }
    for (age, value) in &wanted.ages {
        let same = match value {
            Value::Int(n) => *n == entry.age(*age),
            other => python::str(other).parse() == Ok(entry.age(*age)),
        };
        if !same {
            found.insert(age.argument(), value.clone());
        }
    }
    if let Some(lock) = wanted.password_lock
        && entry.password().starts_with('!') != lock
    {
        found.insert("password_lock", lock);
    }
    Ok(())
}

/// What will be different afterwards, as Salt shows it.
fn predicted(machine: &dyn Observe, user: &User, found: &Map) -> Result<Changes, CallError> {
    let mut changes = Changes::none();
    let before = info(user, machine)?;
    let gid = match found.get("gid") {
        Some(gid) => wanted_gid(machine, gid)?.unwrap_or(user.gid),
        None => user.gid,
    };
    if gid != user.gid {
        changes.insert("gid", gid);
    }
    let mut all = match found.get("groups") {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        _ => memberships(machine, &user.name)?,
    };
    all.push(primary(machine, gid)?);
    all.sort();
    all.dedup();
    let all: Value = all.into_iter().collect();
    if before.get("groups") != Some(&all) {
        changes.insert("groups", all);
    }
    for key in ["home", "shell"] {
        if let Some(value) = found.get(key) {
            changes.insert(key, value.clone());
        }
    }
    if let Some(uid) = found.get("uid") {
        let number = python::str(uid).parse::<u32>();
        changes.insert("uid", number.map_or_else(|_| uid.clone(), Value::from));
    }
    for key in FACTS {
        if let Some(value) = found.get(key) {
            changes.insert(key, python::str(value));
        }
    }
    if ["passwd", "empty_password", "password_lock"]
        .iter()
        .any(|key| found.contains_key(key))
    {
        changes.insert("passwd", REDACTED);
    }
    let today = machine
        .now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_secs() / 86400);
    let entry = shadow::info(machine, &user.name)?;
    let today = i64::try_from(today).unwrap_or_default();
    if found.contains_key("passwd") && !found.contains_key("date") && entry.age(Age::Date) != today
    {
        changes.insert("lstchg", today);
    }
    for age in [
        Age::Date,
        Age::MinDays,
        Age::MaxDays,
        Age::WarnDays,
        Age::InactDays,
        Age::Expire,
    ] {
        if let Some(value) = found.get(age.argument()) {
            changes.insert(age.key(), value.clone());
        }
    }
    Ok(changes)
}

fn carry_out(
    context: &Context<'_>,
    wanted: &Wanted,
    found: &Map,
    up_to_date: String,
) -> Result<Done, CallError> {
    let machine = context.system;
    let name = &wanted.user.name;
    let Some(user) = tools::find(machine, name)? else {
        return Ok(Done::failed(format!("User '{name}' does not exist")));
    };
    let before = info(&user, machine)?;
    let shadow_before = shadow::info(machine, name)?;

    let text = |key: &str| found.get(key).map(python::str);
    if let Some(uid) = text("uid") {
        tools::modify(context, name, &["-u", &uid])?;
    }
    if let Some(gid) = text("gid") {
        tools::modify(context, name, &["-g", &gid])?;
    }
    if let Some(Value::List(groups)) = found.get("groups") {
        let groups: Vec<String> = groups.iter().map(python::str).collect();
        tools::set_groups(context, name, &groups, !wanted.remove_groups)?;
    }
    if let Some(home) = text("home") {
        if wanted.persist_home {
            tools::modify(context, name, &["-m", "-d", &home])?;
        } else {
            tools::modify(context, name, &["-d", &home])?;
        }
    }
    if let Some(home) = text("homeDoesNotExist")
        && !machine.is_dir(Path::new(&home))
    {
        make_home(context, name, Path::new(&home))?;
    }
    if let Some(shell) = text("shell") {
        tools::modify(context, name, &["-s", &shell])?;
    }
    if found.contains_key("empty_password") {
        shadow::clear_password(context, name)?;
    } else if let Some(password) = text("passwd") {
        shadow::set_password(context, name, &password)?;
    }
    for (age, value) in &wanted.ages {
        if found.contains_key(age.argument()) {
            shadow::set_age(context, name, *age, value)?;
        }
    }
    if let Some(lock) = found.get("password_lock") {
        shadow::set_lock(context, name, lock.is_true())?;
    }
    if FACTS.iter().any(|key| found.contains_key(key)) {
        let mut parts = tools::gecos(&user);
        for (part, key) in parts.iter_mut().zip(FACTS) {
            if let Some(value) = text(key) {
                *part = value;
            }
        }
        tools::set_gecos(context, name, &parts)?;
    }

    let changes = info_changes(machine, &before, name)?;
    let changes = shadow_changes(changes, &shadow_before, &shadow::info(machine, name)?, &[]);
    let left = match tools::find(machine, name)? {
        Some(user) => differences(machine, &user, wanted, &[])?.found,
        None => found.clone(),
    };
    if !left.is_empty() {
        return Ok(Done::as_planned()
            .changes(changes)
            .result(false)
            .comment(format!(
                "These values could not be changed: {}",
                python::repr(&hidden(left).into())
            )));
    }
    Ok(if changes.is_empty() {
        Done::with_comment(up_to_date).changes(changes)
    } else {
        Done::with_comment(format!("Updated user {name}")).changes(changes)
    })
}

fn hidden(mut left: Map) -> Map {
    if left.contains_key("passwd") {
        left.insert("passwd", REDACTED);
    }
    left
}

/// Makes the home directory of a user who has none.
fn make_home(context: &Context<'_>, name: &str, home: &Path) -> Result<(), CallError> {
    let Some(user) = tools::find(context.system, name)? else {
        return Ok(());
    };
    context.system.create_dir_all(home, 0o755)?;
    context
        .system
        .set_owner(home, Some(user.uid), Some(user.gid), true)?;
    Ok(())
}
