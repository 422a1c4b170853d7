//! What a database can be extended with, and is.

use std::cmp::Ordering;

use salt_proto::{Map, Value};

use super::{Answer, Server, column, literal, name};
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
        "postgres.available_extensions",
        "available_extensions(user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "The extensions that a database could have.",
        |args, context| Ok(available(context.system, &Server::of(args, context))?.into()),
    );
    add(
        "postgres.get_available_extension",
        "get_available_extension(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "An extension that a database could have.",
        |args, context| {
            let all = available(context.system, &Server::of(args, context))?;
            Ok(all
                .get(args.text("name")?.as_str())
                .cloned()
                .unwrap_or_default())
        },
    );
    add(
        "postgres.is_available_extension",
        "is_available_extension(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Whether a database could have an extension.",
        |args, context| {
            let all = available(context.system, &Server::of(args, context))?;
            Ok(all.contains_key(args.text("name")?.as_str()).into())
        },
    );
    add(
        "postgres.installed_extensions",
        "installed_extensions(user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "The extensions of a database.",
        |args, context| Ok(installed(context.system, &Server::of(args, context))?.into()),
    );
    add(
        "postgres.get_installed_extension",
        "get_installed_extension(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "An extension of a database.",
        |args, context| {
            let all = installed(context.system, &Server::of(args, context))?;
            Ok(all
                .get(args.text("name")?.as_str())
                .cloned()
                .unwrap_or_default())
        },
    );
    add(
        "postgres.is_installed_extension",
        "is_installed_extension(name, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Whether a database has an extension.",
        |args, context| {
            let all = installed(context.system, &Server::of(args, context))?;
            Ok(all.contains_key(args.text("name")?.as_str()).into())
        },
    );
    add(
        "postgres.create_metadata",
        "create_metadata(name, ext_version=None, schema=None, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "What would have to be done for a database to have an extension.",
        |args, context| {
            let need = Need::of(args, context.system, &Server::of(args, context))?;
            Ok(need.words().into_iter().map(Value::from).collect())
        },
    );
    add(
        "postgres.create_extension",
        "create_extension(name, if_not_exists=None, schema=None, ext_version=None, from_version=None, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Adds an extension to a database, or gives it another version or schema.",
        |args, context| Ok(create(args, &Server::of(args, context), context)?.into()),
    );
    add(
        "postgres.drop_extension",
        "drop_extension(name, if_exists=None, restrict=None, cascade=None, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "Removes an extension from a database.",
        |args, context| {
            let sql = dropped(args)?;
            Ok(Server::of(args, context).done(context, &sql)?.into())
        },
    );
}

/// Every column of every row, by the column that names it.
fn whole_rows(
    machine: &dyn Observe,
    server: &Server,
    sql: &str,
    named: &str,
) -> Result<Map, CallError> {
    let rows = server.ask(machine, sql)?.unwrap_or_default();
    let all = rows.into_iter().map(|row| {
        let key = column(&row, named).to_owned();
        (key, Value::from(row.into_iter().collect::<Map>()))
    });
    Ok(all.collect())
}

/// The extensions that the database could have.
fn available(machine: &dyn Observe, server: &Server) -> Result<Map, CallError> {
    let sql = "SELECT name, default_version, comment FROM pg_catalog.pg_available_extensions();";
    whole_rows(machine, server, sql, "name")
}

/// The extensions of the database.
pub(crate) fn installed(machine: &dyn Observe, server: &Server) -> Result<Map, CallError> {
    let sql = "SELECT e.*, n.nspname AS schema_name \
               FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace;";
    whole_rows(machine, server, sql, "extname")
}

/// What is missing for a database to have an extension as it is described.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// All of it.
    Install,
    /// A newer version, another schema, both or neither.
    Change {
        /// Whether the version that is there is older.
        upgrade: bool,
        /// Whether it stands in another schema and can leave it.
        relocate: bool,
    },
}

impl Need {
    /// As the arguments describe it.
    pub(crate) fn of(
        args: &Args,
        machine: &dyn Observe,
        server: &Server,
    ) -> Result<Self, CallError> {
        let all = installed(machine, server)?;
        let Some(there) = all.get(args.text("name")?.as_str()).and_then(Value::as_map) else {
            return Ok(Self::Install);
        };
        let part = |key: &str| there.str(key).unwrap_or_default();
        let version = args
            .optional_text("ext_version")
            .filter(|text| !text.is_empty());
        let schema = args.optional_text("schema").filter(|text| !text.is_empty());
        Ok(Self::Change {
            upgrade: version
                .is_some_and(|wanted| order(part("extversion"), &wanted) == Ordering::Less),
            relocate: part("extrelocatable") == "t"
                && schema.is_some_and(|wanted| wanted != part("schema_name")),
        })
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_nothing(self) -> bool {
        matches!(
            self,
            Self::Change {
                upgrade: false,
                relocate: false
            }
        )
    }

    fn words(self) -> Vec<&'static str> {
        match self {
            Self::Install => vec!["EXTENSION NOT INSTALLED"],
            Self::Change { upgrade, relocate } => [
                (true, "EXTENSION INSTALLED"),
                (upgrade, "EXTENSION TO UPGRADE"),
                (relocate, "EXTENSION TO MOVE"),
            ]
            .into_iter()
            .filter_map(|(is_so, word)| is_so.then_some(word))
            .collect(),
        }
    }
}

/// Which of two versions is the older: numbers as numbers, the rest as text.
fn order(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(Option<u64>, String)> {
        text.split(['.', '-', '_'])
            .map(|part| (part.parse().ok(), part.to_owned()))
            .collect()
    };
    let number = |text: &str| -> (Option<u64>, String) {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (digits, rest) = text.split_at(digits);
        (digits.parse().ok(), rest.to_owned())
    };
    let flat = |text: &str| -> Vec<(Option<u64>, String)> {
        parts(text)
            .into_iter()
            .map(|(whole, text)| match whole {
                Some(_) => (whole, String::new()),
                None => number(&text),
            })
            .collect()
    };
    flat(one).cmp(&flat(other))
}

/// Makes the extension what the arguments describe; whether it is there then.
pub(crate) fn create(
    args: &Args,
    server: &Server,
    context: &Context<'_>,
) -> Result<bool, CallError> {
    let extension = args.text("name")?;
    let (upgrade, relocate) = match Need::of(args, context.system, server)? {
        Need::Install => {
            let worked = server.done(context, &new(args)?)?;
            return Ok(
                worked && installed(context.system, server)?.contains_key(extension.as_str())
            );
        }
        Need::Change { upgrade, relocate } => (upgrade, relocate),
    };
    let mut sql = String::new();
    if upgrade && let Some(version) = args.optional_text("ext_version") {
        let (name, version) = (name(&extension), literal(&version));
        sql += &format!("ALTER EXTENSION {name} UPDATE TO {version};\n");
    }
    if relocate && let Some(schema) = args.optional_text("schema") {
        let (extension, schema) = (name(&extension), name(&schema));
        sql += &format!("ALTER EXTENSION {extension} SET SCHEMA {schema};\n");
    }
    Ok(sql.is_empty() || server.done(context, &sql)?)
}

/// The SQL that adds an extension.
fn new(args: &Args) -> Result<String, CallError> {
    let mut sql = "CREATE EXTENSION ".to_owned();
    if args.given("if_not_exists").is_none_or(Value::is_true) {
        sql.push_str("IF NOT EXISTS ");
    }
    sql.push_str(&name(&args.text("name")?));
    if let Some(schema) = args.optional_text("schema") {
        sql.push_str(&format!(" SCHEMA {}", name(&schema)));
    }
    for (clause, argument) in [("VERSION", "ext_version"), ("FROM", "from_version")] {
        if let Some(version) = args.given(argument) {
            sql.push_str(&format!(" {clause} {}", literal(&python::str(version))));
        }
    }
    sql.push(';');
    Ok(sql)
}

/// The SQL that removes an extension.
pub(crate) fn dropped(args: &Args) -> Result<String, CallError> {
    let mut sql = "DROP EXTENSION ".to_owned();
    if args.given("if_exists").is_none_or(Value::is_true) {
        sql.push_str("IF EXISTS ");
    }
    sql.push_str(&name(&args.text("name")?));
    if args.is_true("cascade") {
        sql.push_str(" CASCADE");
    } else if args.is_true("restrict") {
        sql.push_str(" RESTRICT");
    }
    sql.push(';');
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_their_numbers() {
        for (older, newer) in [
            ("1.8", "1.10"),
            ("1.8", "1.10a"),
            ("1.0", "2.0"),
            ("1", "1.1"),
        ] {
            assert_eq!(order(older, newer), Ordering::Less, "{older} {newer}");
        }
        assert_eq!(order("1.8", "1.8"), Ordering::Equal);
        assert_eq!(order("1.8", "1.4"), Ordering::Greater);
    }
}
