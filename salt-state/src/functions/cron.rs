//! `cron.*`: the tables of `crontab(1)`, and the part of them that Salt manages.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

use super::tool;

mod table;

pub(crate) use table::{Entry, Table};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    questions(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "cron.set_job",
        "set_job(user, minute, hour, daymonth, month, dayweek, cmd, commented=False, comment=None, identifier=None)",
        "Puts a command with its times into a table.",
        |args, context| {
            let entry = Entry::from_args(args, context.system)?;
            said(set(context, &args.text("user")?, &entry)?)
        },
    );
    add(
        "cron.set_special",
        "set_special(user, special, cmd, commented=False, comment=None, identifier=None)",
        "Puts a command that runs @daily, @reboot, … into a table.",
        |args, context| {
            let entry = Entry::from_args(args, context.system)?;
            said(set(context, &args.text("user")?, &entry)?)
        },
    );
    for name in ["cron.rm_job", "cron.rm"] {
        add(
            name,
            "rm_job(user, cmd, minute=None, hour=None, daymonth=None, month=None, dayweek=None, identifier=None)",
            "Takes a command out of a table.",
            |args, context| {
                let id = args.optional_text("identifier");
                said(remove(
                    context,
                    &args.text("user")?,
                    &args.text("cmd")?,
                    id.as_deref(),
                    false,
                )?)
            },
        );
    }
    add(
        "cron.rm_special",
        "rm_special(user, cmd, special=None, identifier=None)",
        "Takes a command that runs @daily, @reboot, … out of a table.",
        |args, context| {
            let id = args.optional_text("identifier");
            said(remove(
                context,
                &args.text("user")?,
                &args.text("cmd")?,
                id.as_deref(),
                true,
            )?)
        },
    );
    add(
        "cron.set_env",
        "set_env(user, name, value=None)",
        "Sets a variable in a table.",
        |args, context| {
            let value = args.optional_text("value").unwrap_or_default();
            said(set_env(
                context,
                &args.text("user")?,
                &args.text("name")?,
                &value,
            )?)
        },
    );
    add(
        "cron.rm_env",
        "rm_env(user, name)",
        "Takes a variable out of a table.",
        |args, context| {
            said(remove_env(
                context,
                &args.text("user")?,
                &args.text("name")?,
            )?)
        },
    );
    for name in ["cron.write_cron_file", "cron.write_cron_file_verbose"] {
        let function: fn(&Args, &Context<'_>) -> Answer = if name.ends_with("verbose") {
            |args, context| {
                let output = install_file(context, &args.text("user")?, &args.text("path")?)?;
                Ok(Map::from([
                    ("pid", Value::from(output.pid)),
                    ("retcode", output.exit.code().into()),
                    ("stdout", output.stdout_text().trim_end().into()),
                    ("stderr", output.stderr_text().trim_end().into()),
                ])
                .into())
            }
        } else {
            |args, context| {
                let output = install_file(context, &args.text("user")?, &args.text("path")?)?;
                Ok(output.is_success().into())
            }
        };
        add(
            name,
            "write_cron_file(user, path)",
            "Makes a file a user's table.",
            function,
        );
    }
}

fn questions(registry: &mut Registry) {
    registry.add(
        "cron.raw_cron",
        "raw_cron(user)",
        "A user's table as it is.",
        |args, context| Ok(raw(context.system, &args.text("user")?).into()),
    );
    for name in ["cron.list_tab", "cron.ls"] {
        registry.add(
            name,
            "list_tab(user)",
            "What Salt manages of a user's table, and what stands before.",
            |args, context| Ok(read(context.system, &args.text("user")?).into_map().into()),
        );
    }
    registry.add(
        "cron.get_entry",
        "get_entry(user, identifier=None, cmd=None)",
        "The entry with an identifier or a command; False when there is none.",
        |args, context| {
            let table = read(context.system, &args.text("user")?);
            let (id, cmd) = (args.optional_text("identifier"), args.optional_text("cmd"));
            let found = table.crons.iter().find(|entry| match (&id, &cmd) {
                (Some(id), _) => entry.identifier.as_ref() == Some(id),
                (None, Some(cmd)) => entry.cmd == *cmd,
                (None, None) => false,
            });
            Ok(found.map_or(Value::Bool(false), |entry| entry.to_map().into()))
        },
    );
}

fn said(word: Result<&'static str, String>) -> Answer {
    Ok(match word {
        Ok(word) => word.into(),
        Err(complaint) => complaint.into(),
    })
}

/// `crontab`, for a user that is not the one we run as.
fn crontab(machine: &dyn Observe, user: &str) -> Command {
    let command = tool::plain("crontab");
    let own = machine
        .user_by_id(machine.identity().uid)
        .ok()
        .flatten()
        .is_some_and(|own| own.name == user);
    if own {
        command
    } else {
        command.args(["-u", user])
    }
}

/// A user's table as it is; empty when there is none.
pub(crate) fn raw(machine: &dyn Observe, user: &str) -> String {
    tool::answer(machine, &crontab(machine, user).arg("-l")).unwrap_or_default()
}

/// A user's table, taken apart.
pub(crate) fn read(machine: &dyn Observe, user: &str) -> Table {
    Table::parse(&raw(machine, user))
}

/// Makes a text a user's table; it goes in by standard input.
pub(crate) fn install(context: &Context<'_>, user: &str, text: &str) -> Result<Output, CallError> {
    tool::run(context, &crontab(context.system, user).arg("-").stdin(text))
}

/// Makes a file a user's table.
pub(crate) fn install_file(
    context: &Context<'_>,
    user: &str,
    path: &str,
) -> Result<Output, CallError> {
    tool::run(context, &crontab(context.system, user).arg(path))
}

/// Installs a table; what `crontab` said when it refused.
fn write(
    context: &Context<'_>,
    user: &str,
    table: &Table,
) -> Result<Result<(), String>, CallError> {
    let output = install(context, user, &table.text())?;
    Ok(if output.is_success() {
        Ok(())
    } else {
        Err(output.stderr_text().trim_end().to_owned())
    })
}

/// Puts an entry into a table: `new`, `updated` or `present`, or what `crontab` said.
pub(crate) fn set(
    context: &Context<'_>,
    user: &str,
    entry: &Entry,
) -> Result<Result<&'static str, String>, CallError> {
    let mut table = read(context.system, user);
    let word = table.put(entry);
    if word == "present" {
        return Ok(Ok(word));
    }
    Ok(write(context, user, &table)?.map(|()| word))
}

/// Takes an entry out of a table: `removed` or `absent`, or what `crontab` said.
pub(crate) fn remove(
    context: &Context<'_>,
    user: &str,
    cmd: &str,
    identifier: Option<&str>,
    special: bool,
) -> Result<Result<&'static str, String>, CallError> {
    let mut table = read(context.system, user);
    if !table.take(cmd, identifier, special) {
        return Ok(Ok("absent"));
    }
    Ok(write(context, user, &table)?.map(|()| "removed"))
}

/// Sets a variable of a table: `new`, `updated` or `present`, or what `crontab` said.
pub(crate) fn set_env(
    context: &Context<'_>,
    user: &str,
    name: &str,
    value: &str,
) -> Result<Result<&'static str, String>, CallError> {
    let mut table = read(context.system, user);
    let word = table.put_env(name, value);
    if word == "present" {
        return Ok(Ok(word));
    }
    Ok(write(context, user, &table)?.map(|()| word))
}

/// Takes a variable out of a table: `removed` or `absent`, or what `crontab` said.
pub(crate) fn remove_env(
    context: &Context<'_>,
    user: &str,
    name: &str,
) -> Result<Result<&'static str, String>, CallError> {
    let mut table = read(context.system, user);
    let before = table.env.len();
    table.env.retain(|(known, _)| known != name);
    if table.env.len() == before {
        return Ok(Ok("absent"));
    }
    Ok(write(context, user, &table)?.map(|()| "removed"))
}

/// A time as it was asked for. `random` is drawn from the range of its field.
pub(crate) fn time(value: Option<&Value>, field: usize, machine: &dyn Observe) -> String {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return "*".to_owned();
    };
    let text = python::str(value);
    if !text.eq_ignore_ascii_case("random") {
        return text;
    }
    let (low, count): (u64, u64) = match field {
        0 => (0, 60),
        1 => (0, 24),
        2 => (1, 28),
        3 => (1, 12),
        _ => (0, 7),
    };
    let mut bytes = [0; 8];
    machine.random(&mut bytes);
    (low + u64::from_le_bytes(bytes) % count).to_string()
}
