//! What the tools of shadow would leave in `/etc/passwd` and `/etc/group`, for rehearsals,
//! where they do not run.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::context::Context;
use crate::functions::user::change::FACTS;
use crate::python;
use crate::registry::CallError;
use crate::system::WriteOptions;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

type Rows = Vec<Vec<String>>;

fn rows(context: &Context<'_>, path: &str) -> Result<Rows, CallError> {
    let text = context.system.text(Path::new(path))?.unwrap_or_default();
    Ok(text
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect())
}

fn store(context: &Context<'_>, path: &str, rows: &Rows) -> Result<(), CallError> {
    let text: String = rows.iter().map(|row| row.join(":") + "\n").collect();
    let options = WriteOptions::new();
    Ok(context
        .system
        .write(Path::new(path), text.as_bytes(), &options)?)
}

/// The row of that name, made from `fresh` when there is none.
fn row<'a>(rows: &'a mut Rows, name: &str, fresh: &str) -> Option<&'a mut Vec<String>> {
    let is_it = |row: &Vec<String>| row.first().is_some_and(|first| first == name);
    let at = match rows.iter().position(is_it) {
        Some(at) => at,
        None => {
            rows.push(
                format!("{name}{fresh}")
                    .split(':')
                    .map(str::to_owned)
                    .collect(),
            );
            rows.len() - 1
        }
    };
    rows.get_mut(at)
}

fn put(row: &mut [String], field: usize, value: &Value) {
    if let Some(slot) = row.get_mut(field) {
        *slot = python::str(value);
    }
}

/// A user with these facts, named as `user.info` names them. A number that belongs to no
/// group makes the user's own.
pub(in crate::states) fn user(
    context: &Context<'_>,
    name: &str,
    facts: &Map,
    make_home: bool,
) -> Result<(), CallError> {
    let mut users = rows(context, PASSWD)?;
    let mut groups = rows(context, GROUP)?;
    let Some(found) = row(&mut users, name, ":x::::/:/bin/sh") else {
        return Ok(());
    };
    for (field, key) in [(2, "uid"), (3, "gid"), (5, "home"), (6, "shell")] {
        if let Some(value) = facts.get(key) {
            put(found, field, value);
        }
    }
    let mut gecos: Vec<String> = found
        .get(4)
        .map(|gecos| gecos.splitn(5, ',').map(str::to_owned).collect())
        .unwrap_or_default();
    gecos.resize(FACTS.len().max(gecos.len()), String::new());
    for (part, key) in gecos.iter_mut().zip(FACTS) {
        if let Some(value) = facts.get(key) {
            *part = python::str(value);
        }
    }
    put(found, 4, &gecos.join(",").trim_end_matches(',').into());
    let number = |field: usize| found.get(field).cloned().unwrap_or_default();
    let (uid, gid, home) = (number(2), number(3), number(5));
    if !groups.iter().any(|group| group.get(2) == Some(&gid)) {
        row(&mut groups, name, &format!(":x:{gid}:"));
    }
    if let Some(Value::List(wanted)) = facts.get("groups") {
        let wanted: Vec<String> = wanted.iter().map(python::str).collect();
        for group in &mut groups {
            let [first, _, number, members] = group.as_mut_slice() else {
                continue;
            };
            let mut all: Vec<&str> = members
                .split(',')
                .filter(|member| !member.is_empty())
                .collect();
            all.retain(|member| *member != name);
            // The primary group does not list its users.
            if wanted.contains(first) && *number != gid {
                all.push(name);
            }
            *members = all.join(",");
        }
    }
    store(context, PASSWD, &users)?;
    store(context, GROUP, &groups)?;
    let home = Path::new(&home);
    if make_home && home.is_absolute() && !context.system.exists(home) {
        context.system.create_dir_all(home, 0o755)?;
        context
            .system
            .set_owner(home, uid.parse().ok(), gid.parse().ok(), true)?;
    }
    Ok(())
}

/// A group with these facts, named as `group.info` names them.
pub(in crate::states) fn group(
    context: &Context<'_>,
    name: &str,
    facts: &Map,
) -> Result<(), CallError> {
    let mut groups = rows(context, GROUP)?;
    let Some(found) = row(&mut groups, name, ":x::") else {
        return Ok(());
    };
    if let Some(gid) = facts.get("gid") {
        put(found, 2, gid);
    }
    if let Some(Value::List(members)) = facts.get("members") {
        let members: Vec<String> = members.iter().map(python::str).collect();
        put(found, 3, &members.join(",").into());
    }
    store(context, GROUP, &groups)
}

/// Without the user, and without the user's own group and home directory where those go
/// too.
pub(in crate::states) fn without_user(
    context: &Context<'_>,
    name: &str,
    own_group: bool,
    home: Option<&Path>,
) -> Result<(), CallError> {
    let mut users = rows(context, PASSWD)?;
    users.retain(|row| row.first().is_none_or(|first| first != name));
    store(context, PASSWD, &users)?;
    let mut groups = rows(context, GROUP)?;
    for group in &mut groups {
        if let Some(members) = group.get_mut(3) {
            let all: Vec<&str> = members
                .split(',')
                .filter(|member| *member != name)
                .collect();
            *members = all.join(",");
        }
    }
    store(context, GROUP, &groups)?;
    if own_group {
        without_group(context, name)?;
    }
    if let Some(home) = home {
        context.system.remove_all(home)?;
    }
    Ok(())
}

/// Without the group.
pub(in crate::states) fn without_group(context: &Context<'_>, name: &str) -> Result<(), CallError> {
    let mut groups = rows(context, GROUP)?;
    groups.retain(|row| row.first().is_none_or(|first| first != name));
    store(context, GROUP, &groups)
}
