//! `postgres.*`: a PostgreSQL server, through `psql`.
//!
//! What is asked reaches `psql` on its standard input, so that no password stands in the
//! list of processes; the password of the connection is in its environment. Answers are
//! read as CSV.

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::{Context, MinionData};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

pub(crate) mod databases;
pub(crate) mod directories;
pub(crate) mod extensions;
mod password;
pub(crate) mod privileges;
pub(crate) mod roles;
pub(crate) mod tablespaces;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    databases::register(registry);
    directories::register(registry);
    extensions::register(registry);
    privileges::register(registry);
    roles::register(registry);
    tablespaces::register(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "postgres.version",
        "version(user=None, host=None, port=None, maintenance_db=None, password=None, runas=None)",
        "The version of the server; nothing when it does not answer.",
        |args, context| {
            let server = Server::of(args, context);
            let rows = server.ask(context.system, "SHOW server_version;")?;
            Ok(rows
                .and_then(|rows| rows.into_iter().next())
                .and_then(|row| row.into_iter().next())
                .map_or(Value::Null, |(_, value)| value.into()))
        },
    );
    add(
        "postgres.psql_query",
        "psql_query(query, user=None, host=None, port=None, maintenance_db=None, password=None, runas=None, write=False)",
        "The rows that a query finds, each a mapping.",
        |args, context| {
            let server = Server::of(args, context);
            let query = format!("{};", args.text("query")?.trim().trim_end_matches(';'));
            let found = if args.is_true("write") {
                rows(&server.run(context, &query)?)
            } else {
                let query = format!("SET default_transaction_read_only = on; {query}");
                server.ask(context.system, &query)?
            };
            let found = found.unwrap_or_default();
            Ok(found
                .into_iter()
                .map(|row| row.into_iter().collect::<Map>())
                .map(Value::from)
                .collect())
        },
    );
}

/// A name as SQL has it.
pub(crate) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A text as SQL has it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows of an answer: names with texts. `None` when there is none.
pub(crate) type Rows = Vec<Vec<(String, String)>>;

/// Reads CSV whose first line names the columns.
fn csv(text: &str) -> Rows {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut line: Vec<String> = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quoted) {
            ('"', true) if letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', false) => line.push(std::mem::take(&mut field)),
            ('\r', false) if letters.peek() == Some(&'\n') => {}
            ('\n', false) => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            (letter, _) => field.push(letter),
        }
    }
    if !field.is_empty() || !line.is_empty() {
        line.push(field);
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let Some(names) = lines.next() else {
        return Vec::new();
    };
    lines
        .map(|line| names.iter().cloned().zip(line).collect())
        .collect()
}

fn rows(output: &Output) -> Option<Rows> {
    output.is_success().then(|| csv(&output.stdout_text()))
}

/// A column of a row.
pub(crate) fn column<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    row.iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value.as_str())
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    user: Option<String>,
    host: Option<String>,
    port: Option<String>,
    database: String,
    password: Option<String>,
    runas: Option<String>,
}

impl Server {
    /// As the functions name it: `user`, `host`, `port`, `maintenance_db`, `password` and
    /// `runas`, with the minion's `postgres.*` settings for what is not stated.
    pub(crate) fn of(args: &Args, context: &Context<'_>) -> Self {
        Self::with(args, context.minion, context.system, |key| key, "runas")
    }

    /// As the states name it: `db_user`, `db_host`, `db_port`, `db_password`, and `user`
    /// for who runs psql.
    pub(crate) fn of_state(args: &Args, minion: &MinionData, machine: &dyn Observe) -> Self {
        let renamed = |key| match key {
            "user" => "db_user",
            "host" => "db_host",
            "port" => "db_port",
            "password" => "db_password",
            other => other,
        };
        Self::with(args, minion, machine, renamed, "user")
    }

    fn with(
        args: &Args,
        minion: &MinionData,
        machine: &dyn Observe,
        key: impl Fn(&'static str) -> &'static str,
        runas: &str,
    ) -> Self {
        let part = |name: &'static str, setting: &str| {
            let stated = args.given(key(name)).map(python::str);
            let setting = || minion.config.get(setting).map(python::str);
            stated.or_else(setting).filter(|text| !text.is_empty())
        };
        let owner = machine.identity().uid == 0;
        let postgres = machine.user("postgres").ok().flatten().is_some();
        Self {
            user: part("user", "postgres.user"),
            host: part("host", "postgres.host"),
            port: part("port", "postgres.port"),
            database: part("maintenance_db", "postgres.maintenance_db")
                .unwrap_or_else(|| "postgres".to_owned()),
            password: part("password", "postgres.pass"),
            runas: args
                .optional_text(runas)
                .or_else(|| (owner && postgres).then(|| "postgres".to_owned())),
        }
    }

    /// The same server, another database.
    pub(crate) fn on(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    fn command(&self, machine: &dyn Observe, sql: &str) -> Command {
        let mut command = tool::named(machine, "psql").args([
            "--no-align",
            "--no-readline",
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--csv",
        ]);
        for (option, value) in [
            ("--username", &self.user),
            ("--host", &self.host),
            ("--port", &self.port),
        ] {
            if let Some(value) = value {
                command = command.arg(option).arg(value);
            }
        }
        if let Some(password) = &self.password {
            command = command.env("PGPASSWORD", password);
        }
        command.user.clone_from(&self.runas);
        command
            .arg("--dbname")
            .arg(&self.database)
            .args(["-v", "ON_ERROR_STOP=1", "-f", "-"])
            .cwd("/")
            .stdin(sql)
    }

    /// Asks; `None` when the server does not answer.
    pub(crate) fn ask(&self, machine: &dyn Observe, sql: &str) -> Result<Option<Rows>, CallError> {
        Ok(rows(&tool::ask(machine, &self.command(machine, sql))?))
    }

    /// Changes something.
    pub(crate) fn run(&self, context: &Context<'_>, sql: &str) -> Result<Output, CallError> {
        tool::run(context, &self.command(context.system, sql))
    }

    /// Changes something; whether that worked.
    pub(crate) fn done(&self, context: &Context<'_>, sql: &str) -> Result<bool, CallError> {
        Ok(self.run(context, sql)?.is_success())
    }
}

/// Several words as arguments name them: a list, or text with commas.
pub(crate) fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        Some(text) => python::str(text)
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_keeps_quotes_commas_and_line_breaks() {
        let rows = csv("a,b\n1,\"x,\"\"y\"\"\nz\"\n,\n");

        assert_eq!(rows.len(), 2);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(rows[0], [pair("a", "1"), pair("b", "x,\"y\"\nz")]);
        assert_eq!(rows[1], [pair("a", ""), pair("b", "")]);
    }

    #[test]
    fn names_and_texts_end_where_they_should() {
        assert_eq!(name("a\"; drop"), "\"a\"\"; drop\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
