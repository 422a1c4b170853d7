//! `alternatives.*`: which of several programs answers to a name, as Debian keeps it.

use std::path::Path;

use salt_proto::Value;

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "alternatives.display",
        "display(name)",
        "What update-alternatives says of a name.",
        |args, context| Ok(display(context.system, &args.text("name")?)?.into()),
    );
    add(
        "alternatives.show_link",
        "show_link(name)",
        "The link that leads to the choice; false when there is none.",
        |args, context| {
            let command = command(context.system, &["--query", &args.text("name")?]);
            let output = tool::ask(context.system, &command)?.stdout_text();
            let link = output.lines().find_map(|line| line.strip_prefix("Link: "));
            Ok(link.map_or_else(|| Value::from(false), Value::from))
        },
    );
    add(
        "alternatives.show_current",
        "show_current(name)",
        "What was chosen; false when nothing was.",
        |args, context| {
            let current = current(context.system, &args.text("name")?);
            Ok(current.map_or_else(|| Value::from(false), Value::from))
        },
    );
    add(
        "alternatives.check_exists",
        "check_exists(name, path)",
        "Whether a path can be chosen.",
        |args, context| {
            Ok(exists(context.system, &args.text("name")?, &args.text("path")?)?.into())
        },
    );
    add(
        "alternatives.check_installed",
        "check_installed(name, path)",
        "Whether a path is chosen.",
        |args, context| {
            let path = args.text("path")?;
            Ok((current(context.system, &args.text("name")?) == Some(path)).into())
        },
    );
    add(
        "alternatives.install",
        "install(name, link, path, priority)",
        "Adds a choice.",
        |args, context| {
            let (name, link) = (args.text("name")?, args.text("link")?);
            let (path, priority) = (args.text("path")?, args.text("priority")?);
            Ok(run(context, &["--install", &link, &name, &path, &priority])?.into())
        },
    );
    add(
        "alternatives.remove",
        "remove(name, path)",
        "Removes a choice.",
        |args, context| {
            let (name, path) = (args.text("name")?, args.text("path")?);
            Ok(run(context, &["--remove", &name, &path])?.into())
        },
    );
    add(
        "alternatives.auto",
        "auto(name)",
        "Chooses what has the highest priority.",
        |args, context| Ok(run(context, &["--auto", &args.text("name")?])?.into()),
    );
    add(
        "alternatives.set",
        "set(name, path)",
        "Chooses a path.",
        |args, context| {
            let (name, path) = (args.text("name")?, args.text("path")?);
            Ok(run(context, &["--set", &name, &path])?.into())
        },
    );
}

fn command(machine: &dyn Observe, words: &[&str]) -> Command {
    tool::named(machine, "update-alternatives").args(words.iter().copied())
}

fn told(output: &Output) -> String {
    let text = if output.is_success() {
        output.stdout_text()
    } else {
        output.stderr_text()
    };
    text.trim_end().to_owned()
}

/// Changes something; what the program said, errors included.
pub(crate) fn run(context: &Context<'_>, words: &[&str]) -> Result<String, CallError> {
    Ok(told(&tool::run(context, &command(context.system, words))?))
}

/// What the program says of a name, errors included.
pub(crate) fn display(machine: &dyn Observe, name: &str) -> Result<String, CallError> {
    Ok(told(&tool::ask(
        machine,
        &command(machine, &["--display", name]),
    )?))
}

/// What was chosen for a name.
pub(crate) fn current(machine: &dyn Observe, name: &str) -> Option<String> {
    let link = Path::new("/etc/alternatives").join(name);
    let path = machine.read_link(&link).ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// Whether a path can be chosen for a name.
pub(crate) fn exists(machine: &dyn Observe, name: &str, path: &str) -> Result<bool, CallError> {
    let start = format!("{path} ");
    Ok(display(machine, name)?
        .lines()
        .any(|line| line.starts_with(&start)))
}
