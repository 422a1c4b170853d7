//! Users and groups of a server: roles.

use salt_proto::{Map, Value};

use super::{Answer, Server, column, literal, name, password, words};
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

/// What SQL calls the abilities of a role, by the names of arguments.
pub(crate) const ABILITIES: [(&str, &str, &str); 6] = [
    ("inherit", "INHERIT", "inherits privileges"),
    ("createdb", "CREATEDB", "can create databases"),
    ("createroles", "CREATEROLE", "can create roles"),
    ("superuser", "SUPERUSER", "superuser"),
    ("replication", "REPLICATION", "replication"),
    ("login", "LOGIN", "can login"),
];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "postgres.user_list",
        "user_list(user=None, host=None, port=None, maintenance_db=None, password=None, runas=None, return_password=False)",
        "The roles of a server, with what they may.",
        |args, context| {
            let server = Server::of(args, context);
            let all = list(
                context.system,
                &server,
                None,
                args.is_true("return_password"),
            )?;
            Ok(all.into())
        },
    );
    add(
        "postgres.role_get",
        "role_get(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None, return_password=False)",
        "A role, with what it may; nothing when there is none.",
        |args, context| {
            let server = Server::of(args, context);
            let name = args.text("name")?;
            let returns = args.is_true("return_password");
            Ok(role(context.system, &server, &name, returns)?.map_or(Value::Null, Value::from))
        },
    );
    add(
        "postgres.user_exists",
        "user_exists(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Whether there is a role.",
        |args, context| {
            let server = Server::of(args, context);
            let name = args.text("name")?;
            Ok(role(context.system, &server, &name, false)?
                .is_some()
                .into())
        },
    );
    add(
        "postgres.user_create",
        "user_create(username, user=None, host=None, port=None, maintenance_db=None, password=None, createdb=None, createroles=None, inherit=None, login=None, connlimit=None, encrypted=None, superuser=None, replication=None, rolepassword=None, valid_until=None, groups=None, runas=None)",
        "Makes a role that can sign in.",
        |args, context| {
            let login = args.given("login").is_none_or(Value::is_true);
            create(args, context, &args.text("username")?, Some(login))
        },
    );
    add(
        "postgres.user_update",
        "user_update(username, user=None, host=None, port=None, maintenance_db=None, password=None, createdb=None, createroles=None, encrypted=None, superuser=None, inherit=None, login=None, connlimit=None, replication=None, rolepassword=None, valid_until=None, groups=None, runas=None)",
        "Changes what a role may.",
        |args, context| update(args, context, &args.text("username")?),
    );
    add(
        "postgres.user_remove",
        "user_remove(username, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Removes a role.",
        |args, context| remove(args, context, &args.text("username")?),
    );
    add(
        "postgres.group_create",
        "group_create(groupname, user=None, host=None, port=None, maintenance_db=None, password=None, createdb=None, createroles=None, encrypted=None, login=None, inherit=None, superuser=None, replication=None, rolepassword=None, groups=None, runas=None)",
        "Makes a role that others are members of.",
        |args, context| {
            let login = args.given("login").map(Value::is_true);
            create(args, context, &args.text("groupname")?, login)
        },
    );
    add(
        "postgres.group_update",
        "group_update(groupname, user=None, host=None, port=None, maintenance_db=None, password=None, createdb=None, createroles=None, encrypted=None, inherit=None, login=None, superuser=None, replication=None, rolepassword=None, groups=None, runas=None)",
        "Changes what a role may.",
        |args, context| update(args, context, &args.text("groupname")?),
    );
    add(
        "postgres.group_remove",
        "group_remove(groupname, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Removes a role.",
        |args, context| remove(args, context, &args.text("groupname")?),
    );
}

/// The roles, or the one of that name.
fn list(
    machine: &dyn Observe,
    server: &Server,
    only: Option<&str>,
    returns_password: bool,
) -> Result<Map, CallError> {
    let password = if returns_password {
        ", (SELECT a.rolpassword FROM pg_catalog.pg_authid a WHERE a.oid = r.oid) AS password"
    } else {
        ""
    };
    let only = only
        .map(|name| format!(" WHERE r.rolname = {}", literal(name)))
        .unwrap_or_default();
    let sql = format!(
        "SET datestyle = ISO, MDY; SELECT r.rolname AS name, r.rolsuper AS superuser, \
         r.rolinherit AS inherit, r.rolcreaterole AS createroles, r.rolcreatedb AS createdb, \
         r.rolcanlogin AS login, r.rolreplication AS replication, r.rolconnlimit AS connlimit, \
         (SELECT string_agg(m.rolname, ',') FROM pg_catalog.pg_auth_members b \
         JOIN pg_catalog.pg_roles m ON m.oid = b.roleid WHERE b.member = r.oid) AS groups, \
         r.rolvaliduntil::timestamp(0) AS valid_until, r.rolconfig AS config{password} \
         FROM pg_catalog.pg_roles r{only};"
    );
    let mut all = Map::new();
    for row in server.ask(machine, &sql)?.unwrap_or_default() {
        let flag = |key: &str| Value::from(column(&row, key) == "t");
        let text = |key: &str| match column(&row, key) {
            "" => Value::Null,
            text => text.into(),
        };
        let limit = match column(&row, "connlimit").parse::<i64>() {
            Ok(limit) if limit >= 0 => Value::from(limit),
            _ => Value::Null,
        };
        let groups: Value = column(&row, "groups")
            .split(',')
            .filter(|group| !group.is_empty())
            .collect();
        let mut role = Map::from([
            ("superuser", flag("superuser")),
            ("inherits privileges", flag("inherit")),
            ("can create roles", flag("createroles")),
            ("can create databases", flag("createdb")),
            ("can update system catalogs", Value::Null),
            ("can login", flag("login")),
            ("replication", flag("replication")),
            ("connections", limit),
            ("expiry time", text("valid_until")),
            ("defaults variables", column(&row, "config").into()),
            ("groups", groups),
        ]);
        if returns_password {
            role.insert("password", text("password"));
        }
        all.insert(column(&row, "name"), role);
    }
    Ok(all)
}

/// A role by its name.
pub(crate) fn role(
    machine: &dyn Observe,
    server: &Server,
    name: &str,
    returns_password: bool,
) -> Result<Option<Map>, CallError> {
    let all = list(machine, server, Some(name), returns_password)?;
    Ok(all.get(name).and_then(Value::as_map).cloned())
}

/// Whether a password has to be set; nothing where none is stated.
pub(crate) fn differs(role: &Map, user: &str, wanted: &str) -> bool {
    let kept = role.str("password").unwrap_or_default();
    !password::matches(kept, user, wanted)
}

/// The clauses that arguments state, `login` apart.
fn clauses(args: &Args, context: &Context<'_>, user: &str, login: Option<bool>) -> Vec<String> {
    let mut clauses = Vec::new();
    for (argument, word, _) in ABILITIES {
        let stated = if argument == "login" {
            login
        } else {
            args.given(argument).map(Value::is_true)
        };
        match stated {
            Some(true) => clauses.push(word.to_owned()),
            Some(false) => clauses.push(format!("NO{word}")),
            None => {}
        }
    }
    if let Some(limit) = args.optional_text("connlimit") {
        clauses.push(format!(
            "CONNECTION LIMIT {}",
            limit.parse().unwrap_or(-1_i64)
        ));
    }
    if let Some(time) = args.optional_text("valid_until") {
        clauses.push(format!("VALID UNTIL {}", literal(&time)));
    }
    match args.given("rolepassword") {
        Some(Value::Bool(_)) | None => {}
        Some(secret) => {
            let secret = python::str(secret);
            let encrypted = args.given("encrypted").map(python::str);
            let kept = match encrypted.as_deref() {
                _ if password::is_kept(&secret) => secret,
                Some("scram-sha-256") => {
                    let mut salt = [0u8; 16];
                    context.system.random(&mut salt);
                    password::scram(&secret, &salt, 4096)
                }
                Some("False") => {
                    // Servers since 10 refuse it, and say so.
                    clauses.push(format!("UNENCRYPTED PASSWORD {}", literal(&secret)));
                    return clauses;
                }
                _ => password::md5(user, &secret),
            };
            clauses.push(format!("ENCRYPTED PASSWORD {}", literal(&kept)));
        }
    }
    clauses
}

fn grants(args: &Args, user: &str) -> String {
    words(args.get("groups"))
        .iter()
        .map(|group| format!(" GRANT {} TO {};", name(group), name(user)))
        .collect()
}

fn create(args: &Args, context: &Context<'_>, user: &str, login: Option<bool>) -> Answer {
    let server = Server::of(args, context);
    if role(context.system, &server, user, false)?.is_some() {
        return Ok(false.into());
    }
    let clauses = clauses(args, context, user, login).join(" ");
    let grants = grants(args, user);
    let sql = format!(
        "BEGIN; CREATE ROLE {} WITH {clauses};{grants} COMMIT;",
        name(user)
    );
    let sql = sql.replace(" WITH ;", ";");
    Ok(server.done(context, &sql)?.into())
}

fn update(args: &Args, context: &Context<'_>, user: &str) -> Answer {
    let server = Server::of(args, context);
    if role(context.system, &server, user, false)?.is_none() {
        return Ok(false.into());
    }
    let login = args.given("login").map(Value::is_true);
    let mut clauses = clauses(args, context, user, login);
    if args.get("rolepassword") == Some(&Value::Bool(false)) {
        clauses.push("PASSWORD NULL".to_owned());
    }
    let alter = if clauses.is_empty() {
        String::new()
    } else {
        format!(" ALTER ROLE {} WITH {};", name(user), clauses.join(" "))
    };
    let sql = format!("BEGIN;{alter}{} COMMIT;", grants(args, user));
    Ok(server.done(context, &sql)?.into())
}

fn remove(args: &Args, context: &Context<'_>, user: &str) -> Answer {
    let server = Server::of(args, context);
    if role(context.system, &server, user, false)?.is_none() {
        return Ok(false.into());
    }
    Ok(server
        .done(context, &format!("DROP ROLE {};", name(user)))?
        .into())
}
