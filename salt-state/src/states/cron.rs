//! `cron.*`: commands that run at times.

use std::path::PathBuf;

use salt_proto::Value;

use crate::args::Args;
use crate::files::source::{self, Failure};
use crate::files::text::content_diff;
use crate::functions::cron::{self as tools, Entry};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Observe, WriteOptions};

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
        "cron.file",
        "file(name, source_hash='', source_hash_name=None, user='root', template=None, context=None, replace=True, defaults=None, backup='', **kwargs)",
        "Makes sure that a user's table is that of a file.",
        file,
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

/// The table that a source has, rendered if it is a template.
fn wanted(url: &str, args: &Args, check: &Check<'_>) -> Result<Vec<u8>, Failure> {
    let (context, saltenv) = (check.context, check.environment());
    let local = source::local_path(url);
    let missing = || {
        Failure::Foreseen(match &local {
            Some(path) => format!("Local file source {} does not exist", path.display()),
            None => format!("Source file {url} not found in saltenv '{saltenv}'"),
        })
    };
    if local.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(missing());
    }
    let hash = args.optional_text("source_hash").unwrap_or_default();
    let sum = if hash.is_empty() || url.starts_with("salt://") {
        None
    } else {
        let name = args.optional_text("source_hash_name");
        let name = name.as_deref();
        Some(source::checksum(
            url, url, &hash, name, saltenv, true, context,
        )?)
    };
    let unverified = source::is_remote(url)
        && sum.is_none()
        && !args
            .keywords()
            .get("skip_verify")
            .is_some_and(Value::is_true);
    if unverified {
        return Err(Failure::Foreseen(format!(
            "Unable to verify upstream hash of source file {}, please set source_hash or set skip_verify to True",
            source::redacted(url)
        )));
    }
    let content = source::content(url, saltenv, context)?.ok_or_else(missing)?;
    if let Some(sum) = sum
        && !sum.fits(&content)?
    {
        let actual = crate::functions::hash(&sum.kind, &content)?;
        return Err(Failure::Foreseen(format!(
            "Specified {} checksum for {} ({}) does not match actual checksum ({actual}). If the 'source_hash' value refers to a remote file with multiple possible matches, then it may be necessary to set 'source_hash_name'.",
            sum.kind,
            source::redacted(url),
            sum.hex
        )));
    }
    let Some(renderer) = args
        .optional_text("template")
        .filter(|name| !name.is_empty())
    else {
        return Ok(content);
    };
    let mut vars = args.clean_keywords();
    vars.extend(source::variables(
        args.given("defaults"),
        args.given("context"),
    )?);
    let (text, path) = (String::from_utf8_lossy(&content), source::tree_path(url));
    let rendered = check
        .for_functions(|context| source::render(&renderer, &text, path, saltenv, &vars, context))?;
    Ok(rendered.into_bytes())
}

/// A name for the file that `crontab` reads, which nobody can foresee.
fn scratch(machine: &dyn Observe) -> PathBuf {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut random = [0; 8];
    machine.random(&mut random);
    let mark: String = random
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect();
    PathBuf::from(format!("/tmp/__salt.tmp.{mark}"))
}

fn file(args: &Args, check: &Check<'_>) -> Answer {
    let (name, user) = (args.text("name")?, args.text("user")?);
    let machine = check.system;
    let owner = machine.user(&user).ok().flatten();
    let group = owner
        .as_ref()
        .and_then(|owner| machine.group_by_id(owner.gid).ok().flatten());
    let (Some(owner), Some(group)) = (owner, group) else {
        return Ok(Plan::fail(format!(
            "Could not identify group for user {user}"
        )));
    };
    let mut old = tools::raw(machine, &user);
    if !old.ends_with('\n') {
        old.push('\n');
    }
    if !args.is_true("replace") {
        return Ok(Plan::unchanged(format!(
            "User {user} already has a crontab. No changes made"
        )));
    }
    // The name is the source.
    if args.keywords().contains_key("source") {
        let twice = |function: &str| {
            format!(
                "salt.loaded.int.module.file.{function}() got multiple values for keyword argument 'source'"
            )
        };
        return if check.is_test() {
            Err(CallError::exception("TypeError", twice("check_managed")))
        } else {
            Ok(Plan::fail(format!(
                "Unable to manage file: {}",
                twice("get_managed")
            )))
        };
    }
    let new = match wanted(&name, args, check) {
        Ok(new) => new,
        Err(Failure::Foreseen(text)) => return Ok(Plan::fail(text)),
        Err(Failure::Exception(error)) if check.is_test() => return Err(error),
        Err(failure) => {
            return Ok(Plan::fail(format!(
                "Unable to manage file: {}",
                failure.text()
            )));
        }
    };
    let path = scratch(machine);
    let diff = content_diff(old.as_bytes(), &new, "", "");
    if diff.is_empty() {
        return Ok(
            Plan::unchanged(format!("Crontab for user {user} is in the correct state"))
                .when_testing(format!(
                    "The file {} is in the correct state",
                    path.display()
                )),
        );
    }
    let would = format!("The following values are set to be changed:\ndiff: {diff}\n");
    let mut changes = Changes::of("diff", diff);
    // The file that `crontab` reads is made over to the user, and Salt says so.
    let own = machine.identity();
    if own.uid != owner.uid {
        changes = changes.with("user", user.as_str());
    }
    if own.gid != owner.gid {
        changes = changes.with("group", group.name);
    }
    let comment = format!("Crontab for user {user} was updated");
    Ok(Plan::change(comment, changes, move |context| {
        let options = WriteOptions::new().mode(0o600).owner(owner.uid, owner.gid);
        context
            .system
            .write(&path, &new, &options)
            .map_err(|error| source::os_error(error, &path))?;
        let output = tools::install_file(context, &user, &path.to_string_lossy());
        let _gone = context.system.remove(&path);
        let output = output?;
        Ok(if output.is_success() {
            Done::as_planned()
        } else {
            Done::failed(format!(
                "Unable to update user {user} crontab {}. Error: {}",
                path.display(),
                output.stderr_text().trim_end()
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
