//! `aliases.*`: who gets the mail for a name.

use std::path::Path;

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "aliases.list_aliases",
        "list_aliases()",
        "Who gets the mail, by name. Lines that say nothing are there with their text.",
        |_, context| {
            let lines = lines(context.system, place(context))?;
            let pairs = lines.into_iter().filter(|line| !line.is_comment());
            let pairs = pairs.map(|line| (line.name, line.target));
            Ok(pairs.collect::<Map>().into())
        },
    );
    add(
        "aliases.get_target",
        "get_target(alias)",
        "Who gets the mail for a name; empty when nobody does.",
        |args, context| {
            let name = args.text("alias")?;
            Ok(target(context.system, place(context), &name)?.into())
        },
    );
    add(
        "aliases.has_target",
        "has_target(alias, target)",
        "Whether these get the mail for a name.",
        |args, context| {
            let wanted = wanted(args)?;
            let name = args.text("alias")?;
            Ok(has(context.system, place(context), &name, &wanted)?.into())
        },
    );
    add(
        "aliases.set_target",
        "set_target(alias, target)",
        "Says who gets the mail for a name.",
        |args, context| {
            set(context, &args.text("alias")?, &wanted(args)?)?;
            Ok(true.into())
        },
    );
    add(
        "aliases.rm_alias",
        "rm_alias(alias)",
        "Takes a name out.",
        |args, context| {
            remove(context, &args.text("alias")?)?;
            Ok(true.into())
        },
    );
}

/// The file, which the setting `aliases.file` can name.
pub(crate) fn place<'a>(context: &'a Context<'_>) -> &'a Path {
    Path::new(context.setting("aliases.file").unwrap_or("/etc/aliases"))
}

/// A line: a name with its target and what is behind it; or a line that is none, whose
/// text is the name.
struct Line {
    name: String,
    target: String,
    comment: String,
}

impl Line {
    fn parse(line: &str) -> Self {
        let none = |text: String| Self {
            name: text,
            target: String::new(),
            comment: String::new(),
        };
        if line.starts_with('#') {
            return Self {
                comment: line.to_owned(),
                ..none(String::new())
            };
        }
        let Some((name, rest)) = line.split_once(':') else {
            return none(format!("{line}\n"));
        };
        let name = name.trim_end();
        if name.is_empty() || name.starts_with(char::is_whitespace) || name.contains('#') {
            return none(format!("{line}\n"));
        }
        let (target, comment) = match rest.find('#') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        Self {
            name: name.to_owned(),
            target: target.trim().to_owned(),
            comment: comment.trim().to_owned(),
        }
    }

    fn is_comment(&self) -> bool {
        self.name.is_empty()
    }

    /// The line as Salt writes it: one that says nothing becomes an empty one.
    fn text(&self) -> String {
        if self.is_comment() {
            return self.comment.clone();
        }
        if self.target.is_empty() {
            return String::new();
        }
        let space = if self.comment.is_empty() { "" } else { "   " };
        format!("{}: {}{space}{}", self.name, self.target, self.comment)
    }
}

fn lines(machine: &dyn Observe, path: &Path) -> Result<Vec<Line>, CallError> {
    let text = machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?;
    let text = text.unwrap_or_default();
    Ok(text.lines().map(Line::parse).collect())
}

/// Who shall get the mail, as stated: a text, or several.
pub(crate) fn wanted(args: &Args) -> Result<Value, CallError> {
    match args.get("target") {
        Some(Value::Str(text)) if text.is_empty() => {
            Err(CallError::invocation("target can not be an empty string"))
        }
        Some(value) => Ok(value.clone()),
        None => Ok(Value::Null),
    }
}

/// Several in one text.
fn joined(target: &Value) -> String {
    match target {
        Value::List(all) => all.iter().map(python::str).collect::<Vec<_>>().join(", "),
        one => python::str(one),
    }
}

fn target(machine: &dyn Observe, path: &Path, name: &str) -> Result<String, CallError> {
    let all = lines(machine, path)?;
    let found = all
        .into_iter()
        .rfind(|line| !line.is_comment() && line.name == name);
    Ok(found.map(|line| line.target).unwrap_or_default())
}

/// Whether these get the mail for a name, in this order and spelling.
pub(crate) fn has(
    machine: &dyn Observe,
    path: &Path,
    name: &str,
    wanted: &Value,
) -> Result<bool, CallError> {
    let found = lines(machine, path)?
        .into_iter()
        .rfind(|line| !line.is_comment() && line.name == name);
    Ok(found.is_some_and(|line| line.target == joined(wanted)))
}

/// Whether anybody gets the mail for a name.
pub(crate) fn is_there(machine: &dyn Observe, path: &Path, name: &str) -> Result<bool, CallError> {
    Ok(!target(machine, path, name)?.is_empty())
}

fn write(context: &Context<'_>, all: &[Line]) -> Result<(), CallError> {
    let path = place(context);
    let mut text = String::new();
    for line in all {
        text.push_str(&line.text());
        text.push('\n');
    }
    let machine = context.system;
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    machine
        .write(path, text.as_bytes(), &options)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?;
    if machine.which("newaliases").is_some() {
        tool::run(context, &tool::named(machine, "newaliases"))?;
    }
    Ok(())
}

/// Says who gets the mail for a name.
pub(crate) fn set(context: &Context<'_>, name: &str, wanted: &Value) -> Result<(), CallError> {
    if name.is_empty() {
        return Err(CallError::invocation("alias can not be an empty string"));
    }
    let mut all = lines(context.system, place(context))?;
    let target = joined(wanted);
    if name.contains(['\n', ':']) || target.contains('\n') {
        return Err(CallError::invocation(
            "alias and target can not hold a line end",
        ));
    }
    let mut found = false;
    for line in &mut all {
        if line.is_comment() || line.name != name {
            continue;
        }
        found = true;
        if line.target == target {
            return Ok(());
        }
        line.target.clone_from(&target);
    }
    if !found {
        all.push(Line {
            name: name.to_owned(),
            target,
            comment: String::new(),
        });
    }
    write(context, &all)
}

/// Takes a name out.
pub(crate) fn remove(context: &Context<'_>, name: &str) -> Result<(), CallError> {
    let mut all = lines(context.system, place(context))?;
    if !is_there(context.system, place(context), name)? {
        return Ok(());
    }
    all.retain(|line| line.is_comment() || line.name != name);
    write(context, &all)
}
