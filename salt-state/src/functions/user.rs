//! `user.*` and `group.*` as far as they only read.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{User, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "user.info",
        "info(name, root=None)",
        "Returns what is known of a user, an empty mapping when there is none.",
        |args, context| match context
            .system
            .user(&args.text("name")?)
            .map_err(unreadable)?
        {
            Some(user) => info(&user, context),
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
                .map(|user| info(user, context))
                .collect::<Result<Vec<_>, _>>()
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
            Some(user) => Ok(groups(&user, context)?.into_iter().collect()),
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
fn groups(user: &User, context: &Context<'_>) -> Result<Vec<String>, CallError> {
    let mut names: Vec<String> = context
        .system
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

fn info(user: &User, context: &Context<'_>) -> Answer {
    // Full name, room, work phone, home phone and whatever else.
    let mut facts = user.gecos.splitn(5, ',');
    let mut fact = || Value::from(facts.next().unwrap_or_default());
    Ok(Map::from([
        ("gid", Value::from(user.gid)),
        ("groups", groups(user, context)?.into_iter().collect()),
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
    ])
    .into())
}

fn group_info(group: &crate::system::Group) -> Map {
    Map::from([
        ("name", Value::from(group.name.as_str())),
        ("passwd", group.password.as_str().into()),
        ("gid", group.gid.into()),
        ("members", group.members.iter().collect()),
    ])
}
