//! Users and groups.

use salt_proto::{Map, Value};

use super::{renamed, worked};
use crate::args::Args;
use crate::functions::postgres::{Server, roles as tools, words};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "postgres_user.present",
        "present(name, createdb=None, createroles=None, encrypted=None, superuser=None, replication=None, inherit=None, login=None, password=None, default_password=None, refresh_password=None, valid_until=None, groups=None, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is a role that can sign in.",
        |args, check| present(args, check, &USER),
    );
    add(
        "postgres_user.absent",
        "absent(name, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is no such role.",
        |args, check| absent(args, check, &USER),
    );
    add(
        "postgres_group.present",
        "present(name, createdb=None, createroles=None, encrypted=None, superuser=None, inherit=None, login=None, replication=None, password=None, refresh_password=None, groups=None, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is a role for others.",
        |args, check| present(args, check, &GROUP),
    );
    add(
        "postgres_group.absent",
        "absent(name, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is no such role.",
        |args, check| absent(args, check, &GROUP),
    );
}

/// What comments and functions call a kind of role.
struct Kind {
    title: &'static str,
    word: &'static str,
    argument: &'static str,
}

const USER: Kind = Kind {
    title: "User",
    word: "user",
    argument: "username",
};

const GROUP: Kind = Kind {
    title: "Group",
    word: "group",
    argument: "groupname",
};

impl Kind {
    fn function(&self, verb: &str) -> String {
        format!("postgres.{}_{verb}", self.word)
    }
}

/// What differs between a role and what is wanted.
fn differences(args: &Args, role: &Map, name: &str) -> Map {
    let mut found = Map::new();
    for (argument, _, column) in tools::ABILITIES {
        if let Some(wanted) = args.given(argument)
            && role.get(column).is_some_and(Value::is_true) != wanted.is_true()
        {
            found.insert(argument, wanted.is_true());
        }
    }
    if let Some(secret) = args.given("password") {
        let differs = match secret {
            Value::Bool(_) => role.get("password").is_some_and(|kept| !kept.is_null()),
            secret => tools::differs(role, name, &python::str(secret)),
        };
        if differs || args.is_true("refresh_password") {
            found.insert("password", true);
        }
    }
    let member: Vec<&str> = role
        .get("groups")
        .and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let missing: Vec<String> = words(args.get("groups"))
        .into_iter()
        .filter(|group| !member.contains(&group.as_str()))
        .collect();
    if !missing.is_empty() {
        found.insert("groups", missing.into_iter().collect::<Value>());
    }
    found
}

fn present(args: &Args, check: &Check<'_>, kind: &'static Kind) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    let role = tools::role(
        check.system,
        &server,
        &name,
        args.given("password").is_some(),
    )?;
    let mut call = renamed(args, kind.argument);
    let (title, word) = (kind.title, kind.word);
    let Some(role) = role else {
        if args.given("password").is_none()
            && let Some(secret) = args.given("default_password")
        {
            call = call.keyword("rolepassword", secret.clone());
        }
        let changes = Changes::of(&name, "Present");
        let comment = format!("The {word} {name} has been created");
        let would = format!("{title} {name} is set to be created");
        return Ok(Plan::change(comment, changes, move |context| {
            Ok(if worked(context, &kind.function("create"), &call)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to create {word} {name}"))
            })
        })
        .when_testing(would)
        .test_changes(Changes::none()));
    };
    let found = differences(args, &role, &name);
    if found.is_empty() {
        return Ok(Plan::unchanged(format!(
            "{title} {name} is already present"
        )));
    }
    let comment = format!("The {word} {name} has been updated");
    let would = format!("{title} {name} is set to be updated");
    Ok(
        Plan::change(comment, Changes::of(&name, found), move |context| {
            Ok(if worked(context, &kind.function("update"), &call)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to update {word} {name}"))
            })
        })
        .when_testing(would),
    )
}

fn absent(args: &Args, check: &Check<'_>, kind: &'static Kind) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    let title = kind.title;
    if tools::role(check.system, &server, &name, false)?.is_none() {
        return Ok(Plan::unchanged(format!(
            "{title} {name} is not present, so it cannot be removed"
        )));
    }
    let call = renamed(args, kind.argument);
    let would = format!("{title} {name} is set to be removed");
    let comment = format!("{title} {name} has been removed");
    Ok(
        Plan::change(comment, Changes::of(&name, "Absent"), move |context| {
            Ok(if worked(context, &kind.function("remove"), &call)? {
                Done::as_planned()
            } else {
                Done::failed(format!("{title} {name} failed to be removed"))
            })
        })
        .when_testing(would)
        .test_changes(Changes::none()),
    )
}
