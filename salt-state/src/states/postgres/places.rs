//! Languages of a database, tablespaces of a server, and its directory.

use salt_proto::{Map, Value};

use super::objects::one;
use super::{renamed, worked};
use crate::args::Args;
use crate::functions::postgres::{Server, directories, name as quoted, tablespaces as tools};
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
        "postgres_language.present",
        "present(name, maintenance_db, user=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that a database has a procedural language.",
        language_present,
    );
    add(
        "postgres_language.absent",
        "absent(name, maintenance_db, user=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that a database has no such language.",
        language_absent,
    );
    add(
        "postgres_tablespace.present",
        "present(name, directory, options=None, owner=None, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is a tablespace.",
        tablespace_present,
    );
    add(
        "postgres_tablespace.absent",
        "absent(name, user=None, maintenance_db=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Makes sure that there is no such tablespace.",
        tablespace_absent,
    );
    add(
        "postgres_initdb.present",
        "present(name, user=None, password=None, auth='password', encoding='UTF8', locale=None, runas=None, waldir=None, checksums=False)",
        "Makes sure that a directory is one of a server.",
        directory_present,
    );
}

fn language_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    if tools::languages(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Language {name} is already installed"
        )));
    }
    let texts = [
        format!("Language {name} is set to be installed"),
        format!("Language {name} has been installed"),
        format!("Failed to install language {name}"),
    ];
    let sql = format!("CREATE LANGUAGE {};", quoted(&name));
    Ok(one(server, sql, &name, "Present", texts))
}

/// Salt's own ends in an exception here, whatever there is to remove.
fn language_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    if !tools::languages(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Language {name} is not present so it cannot be removed"
        )));
    }
    let texts = [
        format!("Language {name} is set to be removed"),
        format!("Language {name} has been removed"),
        format!("Failed to remove language {name}"),
    ];
    let sql = format!("DROP LANGUAGE {};", quoted(&name));
    Ok(one(server, sql, &name, "Absent", texts))
}

/// The options that differ from those in `{a=1,b=2}`.
fn other_options(wanted: &Map, there: &str) -> Map {
    let there: Vec<&str> = there
        .trim_start_matches('{')
        .trim_end_matches('}')
        .split(',')
        .collect();
    wanted
        .iter()
        .filter(|(key, value)| {
            let stated = format!("{}={}", python::str(key), python::str(value));
            !there.contains(&stated.as_str())
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn tablespace_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let directory = args.text("directory")?;
    let server = Server::of_state(args, check.minion, check.system);
    let all = tools::list(check.system, &server)?;
    let Some(there) = all.get(name.as_str()).and_then(Value::as_map) else {
        let sql = tools::created(args, &directory)?;
        let would = format!("Tablespace {name} is set to be created");
        let comment = format!("The tablespace {name} has been created");
        let changes = Changes::of(&name, "Present");
        return Ok(Plan::change(comment, changes, move |context| {
            if server.done(context, &sql)? {
                Ok(Done::as_planned())
            } else {
                Err(CallError::exception("KeyError", format!("'{name}'")))
            }
        })
        .when_testing(would)
        .test_changes(Changes::none()));
    };
    let part = |key: &str| there.str(key).unwrap_or_default();
    let empty = Map::new();
    let wanted = args.given("options").and_then(Value::as_map);
    let options = other_options(wanted.unwrap_or(&empty), part("Opts"));
    let owner = args
        .optional_text("owner")
        .filter(|owner| !owner.is_empty() && owner != part("Owner"));
    let is_elsewhere = part("Location") != directory;
    let comment = format!("Tablespace {name} is already present");
    let would = match (options.is_empty(), &owner) {
        (false, _) => format!("Tablespace {name} options to be\n                        altered"),
        (true, Some(_)) => format!("Tablespace {name} owner to be altered"),
        (true, None) if is_elsewhere => comment.clone(),
        (true, None) => return Ok(Plan::unchanged(comment)),
    };
    if is_elsewhere {
        let failure = format!(
            "Tablespace {name} is not at the right location. This is\n            \
             unfixable without dropping and recreating the tablespace."
        );
        let nothing = options.is_empty() && owner.is_none();
        let plan = Plan::change(comment, Changes::none(), move |_| Ok(Done::failed(failure)))
            .when_testing(would)
            .test_changes(Changes::none());
        return Ok(if nothing {
            plan.test_result(true)
        } else {
            plan
        });
    }
    let (done, changes) = if options.is_empty() {
        (comment.clone(), Changes::none())
    } else {
        let options = Map::from([("options", Value::from(options.clone()))]);
        let done = format!("Tablespace {name} opts changed");
        (done, Changes::of(&name, options))
    };
    let place = quoted(&name);
    Ok(Plan::change(done, changes, move |context| {
        if let Some(owner) = owner {
            let sql = format!("ALTER TABLESPACE {place} OWNER TO {};", quoted(&owner));
            server.run(context, &sql)?;
        }
        if options.is_empty() {
            return Ok(Done::as_planned());
        }
        let settings = tools::settings(&options);
        let sql = format!("ALTER TABLESPACE {place} SET ({settings});");
        Ok(if server.done(context, &sql)? {
            Done::as_planned()
        } else {
            Done::with_comment(comment).changes(Changes::none())
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn tablespace_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    let comment = format!("Tablespace {name} is not present, so it cannot be removed");
    if !tools::list(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(comment));
    }
    let call = renamed(args, "name");
    let would = format!("Tablespace {name} is set to be removed");
    let done = format!("Tablespace {name} has been removed");
    let changes = Changes::of(&name, "Absent");
    Ok(Plan::change(done, changes, move |context| {
        Ok(if worked(context, "postgres.tablespace_remove", &call)? {
            Done::as_planned()
        } else {
            // Salt takes one that cannot be removed for one that is not there.
            Done::with_comment(comment).changes(Changes::none())
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn directory_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let directory = format!("Postgres data directory {name}");
    if directories::exists(check.system, &name) {
        return Ok(Plan::unchanged(format!("{directory} is already present")));
    }
    let args = args.clone();
    let would = format!("{directory} is set to be initialized");
    let done = format!("{directory} has been initialized");
    let changes = Changes::of(&name, "Present");
    Ok(Plan::change(done, changes, move |context| {
        Ok(if directories::create(&args, context)? {
            Done::as_planned()
        } else {
            Done::failed(format!("{directory} initialization failed"))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
