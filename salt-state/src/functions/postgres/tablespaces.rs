//! Where a server keeps its tables, and the languages of a database.

use salt_proto::{Map, Value};

use super::databases::by_name;
use super::{Answer, Server, literal, name};
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "postgres.tablespace_list",
        "tablespace_list(user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "The tablespaces of a server.",
        |args, context| Ok(list(context.system, &Server::of(args, context))?.into()),
    );
    add(
        "postgres.tablespace_exists",
        "tablespace_exists(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Whether there is a tablespace.",
        |args, context| {
            let all = list(context.system, &Server::of(args, context))?;
            Ok(all.contains_key(args.text("name")?.as_str()).into())
        },
    );
    add(
        "postgres.tablespace_create",
        "tablespace_create(name, location, options=None, owner=None, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Makes a tablespace.",
        |args, context| {
            let sql = created(args, &args.text("location")?)?;
            Ok(Server::of(args, context).done(context, &sql)?.into())
        },
    );
    add(
        "postgres.tablespace_alter",
        "tablespace_alter(name, user=None, host=None, port=None, maintenance_db=None, password=None, new_name=None, new_owner=None, set_option=None, reset_option=None, runas=None)",
        "Changes name, owner and options of a tablespace.",
        |args, context| {
            let place = name(&args.text("name")?);
            let mut sql = String::new();
            if let Some(new) = args.optional_text("new_name") {
                sql += &format!("ALTER TABLESPACE {place} RENAME TO {};\n", name(&new));
            }
            if let Some(owner) = args.optional_text("new_owner") {
                sql += &format!("ALTER TABLESPACE {place} OWNER TO {};\n", name(&owner));
            }
            if let Some(options) = args.given("set_option").and_then(Value::as_map) {
                sql += &format!("ALTER TABLESPACE {place} SET ({});\n", settings(options));
            }
            if let Some(option) = args.optional_text("reset_option") {
                sql += &format!("ALTER TABLESPACE {place} RESET ({});\n", name(&option));
            }
            Ok(Server::of(args, context).done(context, &sql)?.into())
        },
    );
    add(
        "postgres.tablespace_remove",
        "tablespace_remove(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Removes a tablespace.",
        |args, context| {
            let sql = format!("DROP TABLESPACE {};", name(&args.text("name")?));
            Ok(Server::of(args, context).done(context, &sql)?.into())
        },
    );
    add(
        "postgres.language_list",
        "language_list(maintenance_db, user=None, host=None, port=None, password=None, runas=None)",
        "The procedural languages of a database.",
        |args, context| Ok(languages(context.system, &Server::of(args, context))?.into()),
    );
    add(
        "postgres.language_exists",
        "language_exists(name, maintenance_db, user=None, host=None, port=None, password=None, runas=None)",
        "Whether a database has a language.",
        |args, context| {
            let all = languages(context.system, &Server::of(args, context))?;
            Ok(all.contains_key(args.text("name")?.as_str()).into())
        },
    );
    add(
        "postgres.language_create",
        "language_create(name, maintenance_db, user=None, host=None, port=None, password=None, runas=None)",
        "Adds a language to a database; false when it is there.",
        |args, context| {
            let server = Server::of(args, context);
            let language = args.text("name")?;
            if languages(context.system, &server)?.contains_key(language.as_str()) {
                return Ok(false.into());
            }
            let sql = format!("CREATE LANGUAGE {};", name(&language));
            Ok(server.done(context, &sql)?.into())
        },
    );
    add(
        "postgres.language_remove",
        "language_remove(name, maintenance_db, user=None, host=None, port=None, password=None, runas=None)",
        "Removes a language from a database; false when it is not there.",
        |args, context| {
            let server = Server::of(args, context);
            let language = args.text("name")?;
            if !languages(context.system, &server)?.contains_key(language.as_str()) {
                return Ok(false.into());
            }
            let sql = format!("DROP LANGUAGE {};", name(&language));
            Ok(server.done(context, &sql)?.into())
        },
    );
}

/// The tablespaces, each with owner, options and place.
pub(crate) fn list(machine: &dyn Observe, server: &Server) -> Result<Map, CallError> {
    let sql = "SELECT s.spcname AS name, r.rolname AS owner, s.spcacl AS acl, s.spcoptions AS opts, \
               pg_catalog.pg_tablespace_location(s.oid) AS location \
               FROM pg_catalog.pg_tablespace s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.spcowner;";
    let columns = [
        ("Owner", "owner"),
        ("ACL", "acl"),
        ("Opts", "opts"),
        ("Location", "location"),
    ];
    by_name(machine, server, sql, "name", &columns)
}

/// The languages of the database.
pub(crate) fn languages(machine: &dyn Observe, server: &Server) -> Result<Map, CallError> {
    let sql = "SELECT lanname AS name FROM pg_catalog.pg_language;";
    let rows = server.ask(machine, sql)?.unwrap_or_default();
    let names = rows.iter().map(|row| super::column(row, "name"));
    Ok(names.map(|name| (name, name)).collect())
}

/// The SQL that makes a tablespace in a directory.
pub(crate) fn created(args: &Args, directory: &str) -> Result<String, CallError> {
    let mut sql = format!("CREATE TABLESPACE {}", name(&args.text("name")?));
    if let Some(owner) = args.optional_text("owner") {
        sql += &format!(" OWNER {}", name(&owner));
    }
    sql += &format!(" LOCATION {}", literal(directory));
    if let Some(options) = args.given("options").and_then(Value::as_map)
        && !options.is_empty()
    {
        sql += &format!(" WITH ({})", settings(options));
    }
    sql.push(';');
    Ok(sql)
}

/// Options as SQL has them.
pub(crate) fn settings(options: &Map) -> String {
    let all = options.iter().map(|(key, value)| {
        let (key, value) = (python::str(key), python::str(value));
        format!("{} = {}", name(&key), literal(&value))
    });
    all.collect::<Vec<String>>().join(", ")
}
