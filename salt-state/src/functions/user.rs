//! `user.*`, and `group.*` as far as it only reads.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, User, errno_text};

pub(crate) mod change;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    change::register(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "user.get_loginclass",
        "get_loginclass(name)",
        "The login class of a user, which is a thing of the BSDs: none.",
        |_, _| Ok(false.into()),
    );
    add(
        "user.info",
        "info(name, root=None)",
        "Returns what is known of a user, an empty mapping when there is none.",
        |args, context| match context
            .system
            .user(&args.text("name")?)
            .map_err(unreadable)?
        {
            Some(user) => Ok(info(&user, context.system)?.into()),
            None => Ok(Map::new().into()),
        },
    );
    add(
        "user.getent",
        "getent(refresh=False, root=None)",
        "Returns what is known of all users.",
        |_, context| {
            let users = context.system.users().map_err(unreadable)?;
            users
                .iter()
                .map(|user| Ok(info(user, context.system)?.into()))
                .collect::<Result<Vec<Value>, CallError>>()
                .map(Value::from)
        },
    );
    add(
        "user.list_users",
        "list_users(root=None)",
        "Lists the names of all users.",
        |_, context| {
            let mut names: Vec<String> = context
                .system
                .users()
                .map_err(unreadable)?
                .into_iter()
                .map(|user| user.name)
                .collect();
            names.sort();
            Ok(names.into_iter().collect())
        },
    );
    add(
        "user.list_groups",
        "list_groups(name)",
        "Lists the groups of a user.",
        |args, context| match context
            .system
            .user(&args.text("name")?)
            .map_err(unreadable)?
        {
            Some(user) => Ok(groups(&user, context.system)?.into_iter().collect()),
            None => Ok(Value::List(Vec::new())),
        },
    );
    add(
        "user.primary_group",
        "primary_group(name)",
        "Returns the name of a user's primary group.",
        |args, context| {
            let name = args.text("name")?;
            let Some(user) = context.system.user(&name).map_err(unreadable)? else {
                context.set_retcode(1);
                return Ok(format!("id: '{name}': no such user").into());
            };
            let group = context.system.group_by_id(user.gid).map_err(unreadable)?;
            Ok(group
                .map_or_else(|| user.gid.to_string(), |group| group.name)
                .into())
        },
    );
    add(
        "group.info",
        "info(name, root=None)",
        "Returns what is known of a group, an empty mapping when there is none.",
        |args, context| {
            let group = context
                .system
                .group(&args.text("name")?)
                .map_err(unreadable)?;
            Ok(group
                .map_or_else(Map::new, |group| group_info(&group))
                .into())
        },
    );
    add(
        "group.getent",
        "getent(refresh=False, root=None)",
        "Returns what is known of all groups.",
        |_, context| {
            let groups = context.system.groups().map_err(unreadable)?;
            Ok(groups.iter().map(group_info).collect())
        },
    );
}

fn unreadable(error: std::io::Error) -> CallError {
    CallError::execution(errno_text(&error, None))
}

/// The names of a user's groups, sorted, the primary one included.
fn groups(user: &User, machine: &dyn Observe) -> Result<Vec<String>, CallError> {
    let mut names: Vec<String> = machine
        .groups()
        .map_err(unreadable)?
        .into_iter()
        .filter(|group| group.gid == user.gid || group.members.contains(&user.name))
        .map(|group| group.name)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

pub(crate) fn info(user: &User, machine: &dyn Observe) -> Result<Map, CallError> {
    // Full name, room, work phone, home phone and whatever else.
    let mut facts = user.gecos.splitn(5, ',');
    let mut fact = || Value::from(facts.next().unwrap_or_default());
    Ok(Map::from([
        ("gid", Value::from(user.gid)),
        ("groups", groups(user, machine)?.into_iter().collect()),
        ("home", user.home.to_string_lossy().into_owned().into()),
        ("name", user.name.as_str().into()),
        ("passwd", user.password.as_str().into()),
        ("shell", user.shell.as_str().into()),
        ("uid", user.uid.into()),
        ("fullname", fact()),
        ("roomnumber", fact()),
        ("workphone", fact()),
        ("homephone", fact()),
        ("other", fact()),
    ]))
}

pub(crate) fn group_info(group: &crate::system::Group) -> Map {
    Map::from([
        ("name", Value::from(group.name.as_str())),
        ("passwd", group.password.as_str().into()),
        ("gid", group.gid.into()),
        ("members", group.members.iter().collect()),
    ])
}

/// The names of the groups that list a user as a member, in the order of the database.
pub(crate) fn memberships(machine: &dyn Observe, name: &str) -> Result<Vec<String>, CallError> {
    Ok(machine
        .groups()
        .map_err(unreadable)?
        .into_iter()
        .filter(|group| group.members.iter().any(|member| member == name))
        .map(|group| group.name)
        .collect())
}

/// The number of a group that is given by name or by number; `None` when there is none of
/// that name.
pub(crate) fn gid_of(machine: &dyn Observe, group: &str) -> Result<Option<u32>, CallError> {
    if let Ok(gid) = group.parse() {
        return Ok(Some(gid));
    }
    Ok(machine
        .group(group)
        .map_err(unreadable)?
        .map(|group| group.gid))
}

/// The number that `useradd` (`kind` is `UID`) or `groupadd` (`GID`) chooses where none is
/// stated: after the highest in use, for system accounts before the lowest.
pub(crate) fn next_number(machine: &dyn Observe, kind: &str, taken: &[u32], system: bool) -> u32 {
    let range = number_range(machine, kind, system);
    let (low, high) = (*range.start(), *range.end());
    let in_use = taken.iter().filter(|n| range.contains(n));
    if system {
        let next = in_use.min().map_or(high, |n| n.saturating_sub(1));
        return (low..=next)
            .rev()
            .chain((low..=high).rev())
            .find(|n| !taken.contains(n))
            .unwrap_or(high);
    }
    let next = in_use.max().map_or(low, |n| n.saturating_add(1));
    (next..=high)
        .chain(low..=high)
        .find(|n| !taken.contains(n))
        .unwrap_or(low)
}

/// The numbers from which the tools of shadow choose (`/etc/login.defs`).
pub(crate) fn number_range(
    machine: &dyn Observe,
    kind: &str,
    system: bool,
) -> std::ops::RangeInclusive<u32> {
    let text = machine
        .text(std::path::Path::new("/etc/login.defs"))
        .ok()
        .flatten()
        .unwrap_or_default();
    let limit = |name: &str, default: u32| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                (words.next()? == name).then(|| words.next()?.parse().ok())?
            })
            .next_back()
            .unwrap_or(default)
    };
    let floor = limit(&format!("{kind}_MIN"), 1000);
    if system {
        let low = limit(&format!("SYS_{kind}_MIN"), 100);
        return low..=limit(&format!("SYS_{kind}_MAX"), floor.saturating_sub(1));
    }
    floor..=limit(&format!("{kind}_MAX"), 60000)
}
