//! Databases of a server, their schemas and extensions.

use salt_proto::{Map, Value};

use super::{Answer, Server, column, literal, name};
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "postgres.db_list",
        "db_list(user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "The databases of a server.",
        |args, context| Ok(list(context.system, &Server::of(args, context))?.into()),
    );
    add(
        "postgres.db_exists",
        "db_exists(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Whether there is a database.",
        |args, context| {
            let all = list(context.system, &Server::of(args, context))?;
            Ok(all.contains_key(args.text("name")?.as_str()).into())
        },
    );
    add(
        "postgres.db_create",
        "db_create(name, user=None, host=None, port=None, maintenance_db=None, password=None, tablespace=None, encoding=None, lc_collate=None, lc_ctype=None, owner=None, template=None, runas=None)",
        "Makes a database.",
        |args, context| Ok(create(args, &Server::of(args, context), context)?.into()),
    );
    add(
        "postgres.db_alter",
        "db_alter(name, user=None, host=None, port=None, maintenance_db=None, password=None, tablespace=None, owner=None, owner_recurse=False, runas=None)",
        "Changes the owner or the place of a database.",
        |args, context| Ok(alter(args, &Server::of(args, context), context)?.into()),
    );
    add(
        "postgres.db_remove",
        "db_remove(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Removes a database.",
        |args, context| {
            let sql = format!("DROP DATABASE {};", name(&args.text("name")?));
            Ok(Server::of(args, context).done(context, &sql)?.into())
        },
    );
    add(
        "postgres.owner_to",
        "owner_to(dbname, ownername, user=None, host=None, port=None, password=None, runas=None)",
        "Gives everything in a database to a role.",
        |args, context| {
            let (database, owner) = (args.text("dbname")?, args.text("ownername")?);
            let server = Server::of(args, context).on(&database);
            Ok(owner_to(&server, context, &owner)?.into())
        },
    );
    add(
        "postgres.schema_list",
        "schema_list(dbname, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "The schemas of a database, with their owners.",
        |args, context| Ok(schemas(context.system, &inside(args, context)?)?.into()),
    );
    add(
        "postgres.schema_get",
        "schema_get(dbname, name, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "A schema: its owner, and what others may do with it.",
        |args, context| {
            let all = schemas(context.system, &inside(args, context)?)?;
            Ok(all
                .get(args.text("name")?.as_str())
                .cloned()
                .unwrap_or_default())
        },
    );
    add(
        "postgres.schema_exists",
        "schema_exists(dbname, name, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Whether there is a schema.",
        |args, context| {
            let all = schemas(context.system, &inside(args, context)?)?;
            Ok(all.contains_key(args.text("name")?.as_str()).into())
        },
    );
    add(
        "postgres.schema_create",
        "schema_create(dbname, name, owner=None, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Makes a schema.",
        |args, context| {
            let server = inside(args, context)?;
            let schema = args.text("name")?;
            if schemas(context.system, &server)?.contains_key(schema.as_str()) {
                return Ok(false.into());
            }
            Ok(server.done(context, &new_schema(args, &schema))?.into())
        },
    );
    add(
        "postgres.schema_remove",
        "schema_remove(dbname, name, user=None, db_user=None, db_password=None, db_host=None, db_port=None)",
        "Removes a schema.",
        |args, context| {
            let server = inside(args, context)?;
            let schema = args.text("name")?;
            if !schemas(context.system, &server)?.contains_key(schema.as_str()) {
                return Ok(false.into());
            }
            let sql = format!("DROP SCHEMA {};", name(&schema));
            Ok(server.done(context, &sql)?.into())
        },
    );
}

/// The database that a function about schemas names.
fn inside(args: &Args, context: &Context<'_>) -> Result<Server, CallError> {
    let server = Server::of_state(args, context.minion, context.system);
    Ok(server.on(&args.text("dbname")?))
}

/// The databases, each with owner, encoding, collation and place.
pub(crate) fn list(machine: &dyn Observe, server: &Server) -> Result<Map, CallError> {
    let sql = "SELECT d.datname AS name, r.rolname AS owner, \
               pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, \
               d.datctype AS ctype, d.datacl AS acl, t.spcname AS tablespace \
               FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba \
               JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace;";
    let columns = [
        ("Owner", "owner"),
        ("Encoding", "encoding"),
        ("Collate", "collate"),
        ("Ctype", "ctype"),
        ("Access privileges", "acl"),
        ("Tablespace", "tablespace"),
    ];
    by_name(machine, server, sql, "name", &columns)
}

/// The rows that a query answers with, by the column that names them: each with the columns
/// that are shown, as they are called there.
pub(super) fn by_name(
    machine: &dyn Observe,
    server: &Server,
    sql: &str,
    named: &str,
    columns: &[(&str, &str)],
) -> Result<Map, CallError> {
    let rows = server.ask(machine, sql)?.unwrap_or_default();
    Ok(rows
        .iter()
        .map(|row| {
            let shown = columns
                .iter()
                .map(|(shown, key)| (*shown, column(row, key)));
            (column(row, named), Value::from(shown.collect::<Map>()))
        })
        .collect())
}

/// Makes the database that the arguments describe.
pub(crate) fn create(
    args: &Args,
    server: &Server,
    context: &Context<'_>,
) -> Result<bool, CallError> {
    let mut sql = format!("CREATE DATABASE {}", name(&args.text("name")?));
    for (argument, clause, is_name) in [
        ("tablespace", "TABLESPACE", true),
        ("owner", "OWNER", true),
        ("template", "TEMPLATE", true),
        ("encoding", "ENCODING", false),
        ("lc_collate", "LC_COLLATE", false),
        ("lc_ctype", "LC_CTYPE", false),
    ] {
        if let Some(value) = args.optional_text(argument) {
            let value = if is_name {
                name(&value)
            } else {
                literal(&value)
            };
            sql.push_str(&format!(" {clause} = {value}"));
        }
    }
    sql.push(';');
    server.done(context, &sql)
}

/// Changes owner and place of the database.
pub(crate) fn alter(
    args: &Args,
    server: &Server,
    context: &Context<'_>,
) -> Result<bool, CallError> {
    let database = args.text("name")?;
    let mut done = true;
    if let Some(owner) = args.optional_text("owner") {
        if args.is_true("owner_recurse") {
            done = owner_to(&server.clone().on(&database), context, &owner)?;
        }
        let sql = format!(
            "ALTER DATABASE {} OWNER TO {};",
            name(&database),
            name(&owner)
        );
        done = done && server.done(context, &sql)?;
    }
    if let Some(place) = args.optional_text("tablespace") {
        let sql = format!(
            "ALTER DATABASE {} SET TABLESPACE {};",
            name(&database),
            name(&place)
        );
        done = done && server.done(context, &sql)?;
    }
    Ok(done)
}

/// Gives schemas, tables, views, sequences and functions of the database to a role.
fn owner_to(server: &Server, context: &Context<'_>, owner: &str) -> Result<bool, CallError> {
    let sql = "SELECT format('ALTER SCHEMA %I', n.nspname) AS change \
               FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               UNION ALL SELECT format('ALTER %s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' \
               WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, n.nspname, c.relname) \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'v', 'm', 'S', 'p') AND n.nspname !~ '^pg_' \
               AND n.nspname <> 'information_schema' \
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i', 'e')) \
               UNION ALL SELECT format('ALTER ROUTINE %s', p.oid::regprocedure) \
               FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
               WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e');";
    let Some(rows) = server.ask(context.system, sql)? else {
        return Ok(false);
    };
    let owner = name(owner);
    let changes: String = rows
        .iter()
        .map(|row| format!(" {} OWNER TO {owner};", column(row, "change")))
        .collect();
    server.done(context, &format!("BEGIN;{changes} COMMIT;"))
}

/// The schemas of the database, with their owners.
pub(crate) fn schemas(machine: &dyn Observe, server: &Server) -> Result<Map, CallError> {
    let sql = "SELECT n.nspname AS name, r.rolname AS owner, n.nspacl AS acl \
               FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner;";
    let columns = [("owner", "owner"), ("acl", "acl")];
    by_name(machine, server, sql, "name", &columns)
}

/// The SQL that makes a schema.
pub(crate) fn new_schema(args: &Args, schema: &str) -> String {
    match args.optional_text("owner") {
        Some(owner) => {
            format!(
                "CREATE SCHEMA {} AUTHORIZATION {};",
                name(schema),
                name(&owner)
            )
        }
        None => format!("CREATE SCHEMA {};", name(schema)),
    }
}
