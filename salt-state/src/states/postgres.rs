//! `postgres_user`, `postgres_group`, `postgres_privileges`, `postgres_database`,
//! `postgres_schema`, `postgres_extension`, `postgres_language` and `postgres_tablespace`:
//! what a PostgreSQL server holds; `postgres_initdb`: where it holds it.

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};

mod objects;
mod places;
mod privileges;
mod roles;

pub(super) fn register(registry: &mut Registry) {
    objects::register(registry);
    places::register(registry);
    privileges::register(registry);
    roles::register(registry);
}

/// The arguments of a state as the functions name them.
fn renamed(args: &Args, name: &str) -> Args {
    let mut renamed = Args::new();
    for (state, function) in [
        ("name", name),
        ("user", "runas"),
        ("db_user", "user"),
        ("db_host", "host"),
        ("db_port", "port"),
        ("db_password", "password"),
        ("password", "rolepassword"),
        ("maintenance_db", "maintenance_db"),
    ] {
        if let Some(value) = args.given(state) {
            renamed = renamed.keyword(function, value.clone());
        }
    }
    for other in [
        "createdb",
        "createroles",
        "encrypted",
        "superuser",
        "replication",
        "inherit",
        "login",
        "valid_until",
        "groups",
    ] {
        if let Some(value) = args.given(other) {
            renamed = renamed.keyword(other, value.clone());
        }
    }
    renamed
}

/// Calls a function that says whether it worked.
fn worked(context: &Context<'_>, function: &str, args: &Args) -> Result<bool, CallError> {
    Ok(context.registry.call(function, args, context)?.is_true())
}
