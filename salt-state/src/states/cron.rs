//! `cron.*`: commands that run at times.

use salt_proto::Value;

use crate::args::Args;
use crate::functions::cron::{self as tools, Entry};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "cron.present",
        "present(name, user='root', minute='*', hour='*', daymonth='*', month='*', dayweek='*', comment=None, commented=False, identifier=False, special=None)",
        "Makes sure that a command runs at a time.",
        present,
    );
    registry.add_state(
        "cron.absent",
        "absent(name, user='root', identifier=False, special=None, **kwargs)",
        "Makes sure that a command does not run at times.",
        absent,
    );
    registry.add_state(
        "cron.env_present",
        "env_present(name, value=None, user='root')",
        "Makes sure that a variable is set in a user's table.",
        env_present,
    );
    registry.add_state(
        "cron.env_absent",
        "env_absent(name, user='root')",
        "Makes sure that a variable is not set in a user's table.",
        env_absent,
    );
}

/// The name by which an entry is found again: what was stated, else the command.
fn identifier(args: &Args, name: &str) -> String {
    match args.given("identifier") {
        None | Some(Value::Bool(_)) => name.trim().to_owned(),
        Some(other) => crate::python::str(other),
    }
}

/// What became of an entry, as a comment.
fn done(what: &str, user: &str, name: &str, word: Result<&'static str, String>) -> Done {
    match word {
        Ok("present") => {
            Done::with_comment(format!("{what} already present")).changes(Changes::none())
        }
        Ok("new") => Done::with_comment(format!("{what} added to {user}'s crontab"))
            .changes(Changes::of(user, name)),
        Ok("updated") => {
            Done::with_comment(format!("{what} updated")).changes(Changes::of(user, name))
        }
        Ok("absent") => {
            Done::with_comment(format!("{what} already absent")).changes(Changes::none())
        }
        Ok("removed") => Done::with_comment(format!("{what} removed from {user}'s crontab"))
            .changes(Changes::of(user, name)),
        Ok(other) => Done::failed(format!(
            "{what} for user {user} failed to commit with error \n{other}"
        )),
        Err(complaint) => Done::failed(format!(
            "{what} for user {user} failed to commit with error \n{complaint}"
        )),
    }
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?.trim().to_owned();
    let user = args.text("user")?;
    let mut entry = Entry::from_args(args, check.system)?;
    entry.cmd.clone_from(&name);
    entry.identifier = Some(identifier(args, &name));
    let what = format!("Cron {name}");
    let table = tools::read(check.system, &user);
    let (would, comment) = match table.find(&entry) {
        Some(known) if known.agrees(&entry) => {
            return Ok(Plan::unchanged(format!("{what} already present")));
        }
        Some(_) => ("updated", format!("{what} updated")),
        None => ("added", format!("{what} added to {user}'s crontab")),
    };
    let would = format!("{what} is set to be {would}");
    let changes = Changes::of(&user, name.as_str());
    Ok(Plan::change(comment, changes, move |context| {
        let word = tools::set(context, &user, &entry)?;
        Ok(done(&what, &user, &name, word))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?.trim().to_owned();
    let user = args.text("user")?;
    let identifier = identifier(args, &name);
    let special = args.is_true("special");
    let what = format!("Cron {name}");
    let table = tools::read(check.system, &user);
    let absent = format!("{what} is absent");
    if !table.has(&name, Some(&identifier), special) {
        return Ok(Plan::unchanged(format!("{what} already absent")).when_testing(absent));
    }
    let would = format!("{what} is set to be removed");
    let comment = format!("{what} removed from {user}'s crontab");
    let changes = Changes::of(&user, name.as_str());
    let plan = Plan::change(comment, changes, move |context| {
        let word = tools::remove(context, &user, &name, Some(&identifier), special)?;
        Ok(done(&what, &user, &name, word))
    })
    .test_changes(Changes::none());
    // Salt's dry run looks among the commands with times alone.
    Ok(if special {
        plan.when_testing(absent).test_result(true)
    } else {
        plan.when_testing(would)
    })
}

fn env_present(args: &Args, check: &Check<'_>) -> Answer {
    let (name, user) = (args.text("name")?, args.text("user")?);
    let value = args.optional_text("value").unwrap_or_default();
    let what = format!("Cron env {name}");
    let word = tools::read(check.system, &user).put_env(&name, &value);
    let (would, comment) = match word {
        "present" => return Ok(Plan::unchanged(format!("{what} already present"))),
        "updated" => ("updated", format!("{what} updated")),
        _ => ("added", format!("{what} added to {user}'s crontab")),
    };
    let would = format!("{what} is set to be {would}");
    let changes = Changes::of(&user, name.as_str());
    Ok(Plan::change(comment, changes, move |context| {
        let word = tools::set_env(context, &user, &name, &value)?;
        Ok(done(&what, &user, &name, word))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn env_absent(args: &Args, check: &Check<'_>) -> Answer {
    let (name, user) = (args.text("name")?, args.text("user")?);
    let what = format!("Cron env {name}");
    let table = tools::read(check.system, &user);
    if !table.env.iter().any(|(known, _)| *known == name) {
        return Ok(Plan::unchanged(format!("{what} already absent"))
            .when_testing(format!("{what} is absent")));
    }
    let would = format!("{what} is set to be removed");
    let comment = format!("{what} removed from {user}'s crontab");
    let changes = Changes::of(&user, name.as_str());
    Ok(Plan::change(comment, changes, move |context| {
        let word = tools::remove_env(context, &user, &name)?;
        Ok(done(&what, &user, &name, word))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
