//! What roles may do.

use salt_proto::Value;

use super::{renamed, worked};
use crate::args::Args;
use crate::functions::postgres::Server;
use crate::functions::postgres::privileges::Wanted;
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
        "postgres_privileges.present",
        "present(name, object_name, object_type, privileges=None, grant_option=None, prepend='public', maintenance_db=None, user=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that a role may do something.",
        |args, check| state(args, check, true),
    );
    add(
        "postgres_privileges.absent",
        "absent(name, object_name, object_type, privileges=None, prepend='public', maintenance_db=None, user=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that a role may not do something.",
        |args, check| state(args, check, false),
    );
}

/// The privileges as the functions take them: one text. A text is a sequence of letters
/// to Salt, and so never what is meant.
fn joined(value: &Value) -> String {
    match value {
        Value::List(all) => {
            let all: Vec<String> = all.iter().map(python::str).collect();
            all.join(",")
        }
        other => {
            let letters: Vec<String> = python::str(other).chars().map(String::from).collect();
            letters.join(",")
        }
    }
}

fn state(args: &Args, check: &Check<'_>, present: bool) -> Answer {
    let name = args.text("name")?;
    let privileges = args.given("privileges").map(joined);
    let mut call = renamed(args, "name");
    for argument in ["object_name", "object_type", "grant_option", "prepend"] {
        if let Some(value) = args.given(argument) {
            call = call.keyword(argument, value.clone());
        }
    }
    if let Some(privileges) = &privileges {
        call = call.keyword("privileges", privileges.as_str());
    }
    let server = Server::of_state(args, check.minion, check.system);
    let may_pass_on = present && args.is_true("grant_option");
    let is_there = Wanted::of(&call)?.is_there(check.system, &server, may_pass_on)?;
    if is_there == present {
        return Ok(Plan::unchanged(if present {
            "The requested privilege(s) are already set"
        } else {
            "The requested privilege(s) are not set so cannot be revoked"
        }));
    }
    let words = match privileges {
        Some(words) if !words.is_empty() => words,
        _ => args.text("object_name")?,
    };
    let [function, verb, done, way, change] = if present {
        [
            "postgres.privileges_grant",
            "grant",
            "granted",
            "to",
            "Present",
        ]
    } else {
        [
            "postgres.privileges_revoke",
            "revoke",
            "revoked",
            "from",
            "Absent",
        ]
    };
    let would = format!("The privilege(s): {words} are set to be {done} {way} {name}");
    let comment = format!("The privilege(s): {words} have been {done} {way} {name}");
    let changes = Changes::of(&name, change);
    Ok(Plan::change(comment, changes, move |context| {
        Ok(if worked(context, function, &call)? {
            Done::as_planned()
        } else {
            Done::failed(format!(
                "Failed to {verb} privilege(s): {words} {way} {name}"
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
