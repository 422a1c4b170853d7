//! `git.*`: repositories, through the git program.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

use super::tool;

pub(crate) mod refs;
mod work;
pub(crate) mod worktrees;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    refs::register(registry);
    work::register(registry);
    worktrees::register(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "git.version",
        "version(versioninfo=False)",
        "The version of git.",
        |args, context| {
            let output = asked(
                context.system,
                &git(context.system, None, None).arg("--version"),
            )?;
            let text = output.stdout_text();
            let version = text
                .split_whitespace()
                .nth(2)
                .unwrap_or_default()
                .to_owned();
            if !args.is_true("versioninfo") {
                return Ok(version.into());
            }
            let part = |part: &str| {
                part.parse::<i64>()
                    .map_or_else(|_| Value::from(part), Value::from)
            };
            Ok(version.split('.').map(part).collect())
        },
    );
    add(
        "git.revision",
        "revision(cwd, rev='HEAD', short=False, user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "The commit that a name means.",
        |args, context| {
            let command = at(args, context.system)?.arg("rev-parse");
            let command = if args.is_true("short") {
                command.arg("--short")
            } else {
                command
            };
            let output = asked(context.system, &command.arg(args.text("rev")?))?;
            Ok(output.stdout_text().trim().into())
        },
    );
    add(
        "git.current_branch",
        "current_branch(cwd, user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "The branch that is checked out.",
        |args, context| Ok(branch(context.system, &at(args, context.system)?)?.into()),
    );
    add(
        "git.config_get",
        "config_get(key, cwd=None, user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "The values of a setting: one, or all of them with all=True.",
        |args, context| {
            configurable(args)?;
            let values = config(args, context.system, &args.text("key")?)?;
            Ok(match values {
                None => Value::Null,
                Some(all) if args.is_true("all") => all.into_iter().collect(),
                Some(all) => all.into_iter().next_back().into(),
            })
        },
    );
    add(
        "git.config_set",
        "config_set(key, value=None, multivar=None, cwd=None, user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "Sets a setting to one value or to several.",
        |args, context| {
            configurable(args)?;
            let key = args.text("key")?;
            set_config(args, context, &key, &wanted(args)?)?;
            let values = config(args, context.system, &key)?;
            Ok(values
                .map(|values| values.into_iter().collect())
                .unwrap_or_default())
        },
    );
    for (name, signature) in [
        (
            "git.config_get_regex",
            "config_get_regex(key, value_regex=None, cwd=None, user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        ),
        (
            "git.config_get_regexp",
            "config_get_regexp(key, value_regex=None, cwd=None, user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        ),
    ] {
        add(
            name,
            signature,
            "The settings whose names match, with their values.",
            |args, context| {
                configurable(args)?;
                let value = args.optional_text("value_regex");
                Ok(matching(args, context.system, &args.text("key")?, value.as_deref())?.into())
            },
        );
    }
    add(
        "git.config_unset",
        "config_unset(key, value_regex=None, cwd=None, user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "Removes the value of a setting, or all of them with all=True.",
        config_unset,
    );
    add(
        "git.clone",
        "clone(cwd, url=None, name=None, opts='', git_opts='', user=None, password=None, identity=None, https_user=None, https_pass=None, ignore_retcode=False, saltenv='base', output_encoding=None)",
        "Clones a repository.",
        |args, context| {
            let Some(url) = args.optional_text("url").filter(|url| !url.is_empty()) else {
                return Err(CallError::invocation("Missing 'url' argument"));
            };
            let url = authenticated(args, &url)?;
            let cwd = args.text("cwd")?;
            let user = args.optional_text("user");
            let (place, target) = match args.optional_text("name") {
                Some(name) => (PathBuf::from(&cwd), name),
                None => (PathBuf::from("/tmp"), cwd),
            };
            let command = git(context.system, user.as_deref(), Some(&place))
                .args(options(args, "git_opts")?)
                .arg("clone")
                .args(options(args, "opts")?)
                .args(["--", &url, &target]);
            done(context, &with_identity(args, context.system, command)?)?;
            Ok(true.into())
        },
    );
}

/// A git command, as a user, in a directory.
pub(crate) fn git(machine: &dyn Observe, user: Option<&str>, cwd: Option<&Path>) -> Command {
    let mut command = tool::named(machine, "git");
    command.user = user.map(str::to_owned);
    command.cwd = cwd.map(Path::to_owned);
    command
}

fn directory(args: &Args, name: &str, machine: &dyn Observe) -> Result<Option<PathBuf>, CallError> {
    let Some(path) = args.optional_text(name) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    if !path.is_absolute() || !machine.is_dir(&path) {
        return Err(CallError::execution(format!(
            "Specified cwd '{}' either not absolute or does not exist",
            path.display()
        )));
    }
    Ok(Some(path))
}

/// Words for git that a caller wrote as a command line, or as a list.
fn options(args: &Args, name: &str) -> Result<Vec<String>, CallError> {
    match args.given(name) {
        None => Ok(Vec::new()),
        Some(Value::List(words)) => Ok(words.iter().map(python::str).collect()),
        Some(text) => super::split_words(&python::str(text))
            .ok_or_else(|| CallError::execution("No closing quotation")),
    }
}

/// A git command in the directory and with the options that a call states.
fn at(args: &Args, machine: &dyn Observe) -> Result<Command, CallError> {
    let cwd = directory(args, "cwd", machine)?;
    let user = args.optional_text("user");
    let command = git(machine, user.as_deref(), cwd.as_deref()).args(options(args, "git_opts")?);
    with_identity(args, machine, command)
}

/// Lets ssh use the key that a call states, and nothing else to sign in with.
pub(crate) fn with_identity(
    args: &Args,
    machine: &dyn Observe,
    command: Command,
) -> Result<Command, CallError> {
    let files = match args.given("identity") {
        None => return Ok(command),
        Some(Value::List(files)) => files.iter().map(python::str).collect(),
        Some(file) => vec![python::str(file)],
    };
    let missing: Vec<&str> = files
        .iter()
        .filter(|file| !machine.is_file(Path::new(file)))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() && missing.len() == files.len() {
        return Err(CallError::execution(format!(
            "Unable to authenticate using identity file:\n\nThe following identity file(s) were not found: {}",
            missing.join(", ")
        )));
    }
    let mut line = "ssh -oStrictHostKeyChecking=no -oPasswordAuthentication=no \
         -oKbdInteractiveAuthentication=no -oChallengeResponseAuthentication=no"
        .to_owned();
    for file in files.iter().filter(|file| machine.is_file(Path::new(file))) {
        line.push_str(&format!(" -i {}", quoted(file)));
    }
    Ok(command.env("GIT_SSH_COMMAND", line))
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The address with the login that a call states.
fn authenticated(args: &Args, url: &str) -> Result<String, CallError> {
    with_login(
        url,
        args.optional_text("https_user").as_deref(),
        args.optional_text("https_pass").as_deref(),
    )
}

/// The address with a login, which only https can have.
pub(crate) fn with_login(
    url: &str,
    user: Option<&str>,
    password: Option<&str>,
) -> Result<String, CallError> {
    let refused = |text: &str| CallError::invocation(text.to_owned());
    let Some(user) = user.filter(|user| !user.is_empty()) else {
        if password.is_some_and(|password| !password.is_empty()) {
            return Err(refused("Password provided, but no username provided"));
        }
        return Ok(url.to_owned());
    };
    let Some(rest) = url.strip_prefix("https://") else {
        return Err(refused("Basic Auth only supported for HTTPS"));
    };
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    Ok(match password {
        Some(password) => format!("https://{user}:{password}@{rest}"),
        None => format!("https://{user}@{rest}"),
    })
}

/// The text without the logins in its addresses.
pub(crate) fn redacted(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        rest = after;
        let is_http = before.ends_with("https://") || before.ends_with("http://");
        let end = rest
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(rest.len());
        let (host, tail) = rest.split_at(end);
        if is_http && let Some((_, host)) = host.rsplit_once('@') {
            shown.push_str("<redacted>@");
            shown.push_str(host);
            rest = tail;
        }
    }
    shown + rest
}

fn judged(command: &Command, output: Output) -> Result<Output, CallError> {
    if output.is_success() {
        return Ok(output);
    }
    let error = redacted(output.stderr_text().trim());
    if command
        .env
        .iter()
        .any(|(name, _)| name == "GIT_SSH_COMMAND")
    {
        return Err(CallError::execution(format!(
            "Unable to authenticate using identity file:\n\n{error}"
        )));
    }
    let words: Vec<String> = std::iter::once("git".to_owned())
        .chain(
            command
                .args
                .iter()
                .map(|word| word.to_string_lossy().into_owned()),
        )
        .collect();
    let line = redacted(&words.join(" "));
    Err(CallError::execution(if error.is_empty() {
        format!("Command '{line}' failed")
    } else {
        format!("Command '{line}' failed: {error}")
    }))
}

/// Asks; a failure is an error in Salt's words.
pub(crate) fn asked(machine: &dyn Observe, command: &Command) -> Result<Output, CallError> {
    judged(command, tool::ask(machine, command)?)
}

/// Runs what changes something; a failure is an error in Salt's words.
pub(crate) fn done(context: &Context<'_>, command: &Command) -> Result<Output, CallError> {
    judged(command, tool::run(context, command)?)
}

/// The branch that is checked out.
pub(crate) fn branch(machine: &dyn Observe, at: &Command) -> Result<String, CallError> {
    let command = at.clone().args(["rev-parse", "--abbrev-ref", "HEAD"]);
    Ok(asked(machine, &command)?.stdout_text().trim().to_owned())
}

/// Clones a repository.
///
/// # Errors
///
/// `Clone failed: …` when git says so.
pub(crate) fn clone(
    context: &Context<'_>,
    user: Option<&str>,
    url: &str,
    target: &str,
    options: &[String],
) -> Result<(), CallError> {
    let command = git(context.system, user, Some(Path::new("/tmp")))
        .arg("clone")
        .args(options)
        .args(["--", url, target]);
    let output = tool::run(context, &command)?;
    if output.is_success() {
        return Ok(());
    }
    Err(CallError::execution(format!(
        "Clone failed: {}",
        tool::said(&output)
    )))
}

/// The values that a caller wants a setting to have.
///
/// # Errors
///
/// When both kinds are given, or none.
pub(crate) fn wanted(args: &Args) -> Result<Vec<String>, CallError> {
    match (args.given("value"), args.given("multivar")) {
        (Some(_), Some(_)) => Err(CallError::invocation(
            "Only one of 'value' and 'multivar' is permitted",
        )),
        (Some(value), None) => Ok(vec![python::str(value)]),
        (None, Some(Value::List(values))) => Ok(values.iter().map(python::str).collect()),
        (None, Some(text)) => Ok(python::str(text).split(',').map(str::to_owned).collect()),
        (None, None) => Err(CallError::exception(
            "UnboundLocalError",
            "cannot access local variable 'desired' where it is not associated with a value",
        )),
    }
}

fn config_command(args: &Args, machine: &dyn Observe) -> Result<Command, CallError> {
    let name = if args.given("repo").is_some() {
        "repo"
    } else {
        "cwd"
    };
    let cwd = if args.is_true("global") {
        None
    } else {
        directory(args, name, machine)?
    };
    let user = args.optional_text("user");
    Ok(git(machine, user.as_deref(), cwd.as_deref()).arg("config"))
}

/// Whether a call about settings says enough.
fn configurable(args: &Args) -> Result<(), CallError> {
    let known = |name: &str| matches!(name, "global" | "all");
    for (name, value) in &args.clean_keywords() {
        if !name.as_str().is_some_and(known) {
            return Err(unknown_keyword(name, value));
        }
    }
    if args.given("cwd").is_none() && !args.is_true("global") {
        return Err(CallError::invocation(
            "'cwd' argument required unless global=True",
        ));
    }
    Ok(())
}

fn config_unset(args: &Args, context: &Context<'_>) -> Answer {
    configurable(args)?;
    // Salt looks for the reason in a repository, even for a global setting.
    if args.is_true("global") && args.given("cwd").is_none() {
        return Err(CallError::invocation(
            "'cwd' argument required unless global=True",
        ));
    }
    let key = args.text("key")?;
    let verb = if args.is_true("all") {
        "--unset-all"
    } else {
        "--unset"
    };
    let value = args.optional_text("value_regex");
    match unset(args, context, verb, &key, value.as_deref()) {
        Ok(()) => Ok(true.into()),
        Err(CallError::Execution(_)) => Err(CallError::execution(
            match config(args, context.system, &key)? {
                None => format!("Key '{key}' does not exist"),
                Some(_) if value.is_some() => format!(
                    "Multiple values exist for key '{key}' and value_regex matches multiple values"
                ),
                Some(_) => format!("Multiple values exist for key '{key}'"),
            },
        )),
        Err(other) => Err(other),
    }
}

fn scope(args: &Args) -> &'static str {
    if args.is_true("global") {
        "--global"
    } else {
        "--local"
    }
}

/// The values of a setting; `None` when it has none.
pub(crate) fn config(
    args: &Args,
    machine: &dyn Observe,
    key: &str,
) -> Result<Option<Vec<String>>, CallError> {
    let command = config_command(args, machine)?.args([scope(args), "--get-all", key]);
    let output = tool::ask(machine, &command)?;
    if output.exit.code() == 1 {
        return Ok(None);
    }
    let output = judged(&command, output)?;
    Ok(Some(
        output.stdout_text().lines().map(str::to_owned).collect(),
    ))
}

/// Gives a setting exactly these values.
pub(crate) fn set_config(
    args: &Args,
    context: &Context<'_>,
    key: &str,
    values: &[String],
) -> Result<(), CallError> {
    let mut verb = "--replace-all";
    for value in values {
        let mut command = config_command(args, context.system)?;
        if args.is_true("global") {
            command = command.arg("--global");
        }
        done(context, &command.args([verb, key, value]))?;
        verb = "--add";
    }
    Ok(())
}

/// The settings whose names match, each with its values.
pub(crate) fn matching(
    args: &Args,
    machine: &dyn Observe,
    pattern: &str,
    value: Option<&str>,
) -> Result<Map, CallError> {
    let command = config_command(args, machine)?
        .args([scope(args), "--get-regexp", pattern])
        .args(value);
    let output = tool::ask(machine, &command)?;
    let mut found = Map::new();
    if output.exit.code() == 1 {
        return Ok(found);
    }
    let output = judged(&command, output)?;
    for line in output.stdout_text().lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match found.get_mut(key) {
            Some(Value::List(values)) => values.push(value.into()),
            _ => {
                found.insert(key, [value].into_iter().collect::<Value>());
            }
        }
    }
    Ok(found)
}

/// Removes the values of a setting, or those that match.
pub(crate) fn unset(
    args: &Args,
    context: &Context<'_>,
    verb: &str,
    key: &str,
    value: Option<&str>,
) -> Result<(), CallError> {
    let command = config_command(args, context.system)?
        .args([verb, scope(args), key])
        .args(value);
    done(context, &command).map(|_| ())
}

/// A keyword that a function does not know.
fn unknown_keyword(name: &Value, value: &Value) -> CallError {
    CallError::invocation(format!(
        "The following keyword arguments are not valid: {}={}",
        python::str(name),
        python::str(value)
    ))
}
