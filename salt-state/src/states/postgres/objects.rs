//! Databases, schemas and extensions.

use salt_proto::Value;

use super::worked;
use crate::args::Args;
use crate::functions::postgres::extensions::{self, Need};
use crate::functions::postgres::{Server, databases as tools};
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
        "postgres_database.present",
        "present(name, tablespace=None, encoding=None, lc_collate=None, lc_ctype=None, owner=None, owner_recurse=False, template=None, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is a database.",
        database_present,
    );
    add(
        "postgres_database.absent",
        "absent(name, user=None, maintenance_db=None, db_password=None, db_host=None, db_port=None, db_user=None)",
        "Makes sure that there is no such database.",
        database_absent,
    );
    add(
        "postgres_schema.present",
        "present(dbname, name, owner=None, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Makes sure that a database has a schema.",
        schema_present,
    );
    add(
        "postgres_schema.absent",
        "absent(dbname, name, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Makes sure that a database has no such schema.",
        schema_absent,
    );
    add(
        "postgres_extension.present",
        "present(name, if_not_exists=None, schema=None, ext_version=None, from_version=None, user=None, maintenance_db=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Makes sure that a database has an extension.",
        extension_present,
    );
    add(
        "postgres_extension.absent",
        "absent(name, if_exists=None, restrict=None, cascade=None, user=None, maintenance_db=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Makes sure that a database has no such extension.",
        extension_absent,
    );
}

/// Whether a stated collation is the one that is there: `en_US.UTF-8` is `en_US.utf8`.
fn same_locale(stated: &str, there: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    plain(stated) == plain(there)
}

fn database_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    let all = tools::list(check.system, &server)?;
    let args = args.clone();
    let Some(there) = all.get(name.as_str()).and_then(Value::as_map) else {
        let comment = format!("The database {name} has been created");
        let would = format!("Database {name} is set to be created");
        let changes = Changes::of(&name, "Present");
        return Ok(Plan::change(comment, changes, move |context| {
            Ok(if tools::create(&args, &server, context)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to create database {name}"))
            })
        })
        .when_testing(would)
        .test_changes(Changes::none()));
    };
    let part = |key: &str| there.str(key).unwrap_or_default();
    let stated = |key: &str| args.given(key).map(python::str);
    let is_wrong = stated("encoding").is_some_and(|wanted| wanted != part("Encoding"))
        || stated("lc_collate").is_some_and(|wanted| !same_locale(&wanted, part("Collate")))
        || stated("lc_ctype").is_some_and(|wanted| !same_locale(&wanted, part("Ctype")));
    if is_wrong {
        return Ok(Plan::fail(format!(
            "Database {name} has wrong parameters which couldn't be changed on fly."
        )));
    }
    let differs = stated("tablespace").is_some_and(|wanted| wanted != part("Tablespace"))
        || stated("owner").is_some_and(|wanted| wanted != part("Owner"));
    if !differs {
        return Ok(Plan::unchanged(format!(
            "Database {name} is already present"
        )));
    }
    let comment = format!("Parameters for database {name} have been changed");
    let would = format!("Database {name} exists, but parameters need to be changed");
    let changes = Changes::of(&name, "Parameters changed");
    Ok(Plan::change(comment, changes, move |context| {
        Ok(if tools::alter(&args, &server, context)? {
            Done::as_planned()
        } else {
            Done::failed(format!("Failed to change parameters for database {name}"))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// A change that one statement makes.
pub(super) fn one(server: Server, sql: String, name: &str, word: &str, texts: [String; 3]) -> Plan {
    let [would, comment, failure] = texts;
    Plan::change(comment, Changes::of(name, word), move |context| {
        Ok(if server.done(context, &sql)? {
            Done::as_planned()
        } else {
            Done::failed(failure)
        })
    })
    .when_testing(would)
    .test_changes(Changes::none())
}

fn database_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    if !tools::list(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Database {name} is not present, so it cannot be removed"
        )));
    }
    let mut call = super::renamed(args, "name");
    if let Some(runas) = args.given("user") {
        call = call.keyword("runas", runas.clone());
    }
    let would = format!("Database {name} is set to be removed");
    let comment = format!("Database {name} has been removed");
    let changes = Changes::of(&name, "Absent");
    Ok(Plan::change(comment, changes, move |context| {
        Ok(if worked(context, "postgres.db_remove", &call)? {
            Done::as_planned()
        } else {
            Done::failed(format!("Database {name} failed to be removed"))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn schema_present(args: &Args, check: &Check<'_>) -> Answer {
    let (database, name) = (args.text("dbname")?, args.text("name")?);
    let server = Server::of_state(args, check.minion, check.system).on(&database);
    if tools::schemas(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Schema {name} already exists in database {database}"
        )));
    }
    let sql = tools::new_schema(args, &name);
    let texts = [
        format!("Schema {name} is set to be created in database {database}."),
        format!("Schema {name} has been created in database {database}"),
        format!("Failed to create schema {name} in database {database}"),
    ];
    Ok(one(server, sql, &name, "Present", texts))
}

fn schema_absent(args: &Args, check: &Check<'_>) -> Answer {
    let (database, name) = (args.text("dbname")?, args.text("name")?);
    let server = Server::of_state(args, check.minion, check.system).on(&database);
    if !tools::schemas(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Schema {name} is not present in database {database}, so it cannot be removed"
        )));
    }
    let sql = format!("DROP SCHEMA {};", crate::functions::postgres::name(&name));
    let texts = [
        format!("Schema {name} is set to be removed from database {database}"),
        format!("Schema {name} has been removed from database {database}"),
        format!("Schema {name} failed to be removed"),
    ];
    Ok(one(server, sql, &name, "Absent", texts))
}

fn extension_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    let need = Need::of(args, check.system, &server)?;
    if need.is_nothing() {
        return Ok(Plan::unchanged(format!(
            "Extension {name} is already present"
        )));
    }
    let (verb, done, word) = match need {
        Need::Install => ("install", "installed", "Installed"),
        Need::Change { .. } => ("upgrade", "upgraded", "Upgraded"),
    };
    let args = args.clone();
    let would = format!("Extension {name} is set to be {done}");
    let comment = format!("The extension {name} has been {done}");
    let changes = Changes::of(&name, word);
    Ok(Plan::change(comment, changes, move |context| {
        Ok(if extensions::create(&args, &server, context)? {
            Done::as_planned()
        } else {
            Done::failed(format!("Failed to {verb} extension {name}"))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn extension_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let server = Server::of_state(args, check.minion, check.system);
    if !extensions::installed(check.system, &server)?.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Extension {name} is not present, so it cannot be removed"
        )));
    }
    let texts = [
        format!("Extension {name} is set to be removed"),
        format!("Extension {name} has been removed"),
        format!("Extension {name} failed to be removed"),
    ];
    Ok(one(
        server,
        extensions::dropped(args)?,
        &name,
        "Absent",
        texts,
    ))
}
