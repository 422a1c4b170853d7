//! `onlyif`, `unless`, `creates` and `check_cmd`.

use std::borrow::Cow;
use std::path::Path;

use salt_proto::{Map, Value};

use super::slots;
use crate::args::Args;
use crate::context::Context;
use crate::registry::CallError;
use crate::{data, python};

/// What the conditions of a chunk say: whether to leave it alone, and what they say about
/// it, in their order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) skip: bool,
    pub(super) comments: Vec<Cow<'static, str>>,
    pub(super) last: Option<String>,
}

impl Verdict {
    /// The comments as Salt keeps them until the end.
    pub(super) fn comment(self) -> Value {
        self.comments
            .into_iter()
            .map(Cow::into_owned)
            .chain(self.last)
            .map(Value::from)
            .collect()
    }
}

/// Whether a chunk has any.
pub(super) fn has_any(low: &Map) -> bool {
    ["onlyif", "unless", "creates"]
        .into_iter()
        .any(|key| low.contains_key(key))
}

/// Asks all conditions, also when one has decided already.
///
/// # Errors
///
/// What functions in conditions raise; an empty list (Salt's own failure).
pub(super) fn ask(low: &Map, context: &Context<'_>) -> Result<Verdict, CallError> {
    let mut verdict = Verdict::default();
    if let Some(onlyif) = low.get("onlyif") {
        let met = all_met(onlyif, low, context)?;
        verdict.skip |= !met;
        let comment = if met {
            "onlyif condition is true"
        } else {
            "onlyif condition is false"
        };
        verdict.comments.push(comment.into());
    }
    if let Some(unless) = low.get("unless") {
        let (held, comment) = any_unmet(unless, low, context)?;
        verdict.skip |= !held;
        verdict.comments.push(comment);
    }
    if let Some(creates) = low.get("creates") {
        let (there, comment) = match creates {
            Value::Str(path) => {
                let there = exists(creates, context)?;
                (there, there.then(|| format!("{path} exists")))
            }
            Value::List(paths) => {
                let mut there = true;
                for path in paths {
                    there = there && exists(path, context)?;
                }
                (
                    there,
                    there.then(|| "All files in creates exist".to_owned()),
                )
            }
            _ => (false, None),
        };
        verdict.skip |= there;
        verdict.last = Some(comment.unwrap_or_else(|| "Creates files not found".to_owned()));
    }
    Ok(verdict)
}

/// Whether there is something at a path.
fn exists(path: &Value, context: &Context<'_>) -> Result<bool, CallError> {
    match path {
        Value::Str(path) => Ok(context.system.exists(Path::new(path))),
        // A number would be a file that this process has open.
        Value::Int(_) | Value::Bool(_) => Ok(false),
        other => Err(CallError::exception(
            "TypeError",
            format!(
                "stat: path should be string, bytes, os.PathLike or integer, not {}",
                other.type_name()
            ),
        )),
    }
}

/// The entries of a condition; an empty list is Salt's own exception.
fn entries(value: &Value) -> Result<Vec<&Value>, CallError> {
    match value {
        Value::List(items) if items.is_empty() => {
            Err(CallError::exception("KeyError", "'comment'"))
        }
        Value::List(items) => Ok(items.iter().collect()),
        one => Ok(vec![one]),
    }
}

fn all_met(onlyif: &Value, low: &Map, context: &Context<'_>) -> Result<bool, CallError> {
    for entry in entries(onlyif)? {
        let met = match entry {
            Value::Str(line) => command(line, low, context)? == Some(0),
            Value::Map(call) => match function(call, context)? {
                Some(truth) => truth,
                // Without `fun` it decides nothing, and ends the asking.
                None => return Ok(true),
            },
            _ => return Ok(true),
        };
        if !met {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any_unmet(
    unless: &Value,
    low: &Map,
    context: &Context<'_>,
) -> Result<(bool, Cow<'static, str>), CallError> {
    const UNMET: (bool, Cow<'static, str>) = (true, Cow::Borrowed("unless condition is false"));
    for (at, entry) in entries(unless)?.into_iter().enumerate() {
        let met = match entry {
            // What cannot be run counts as true here.
            Value::Str(line) => command(line, low, context)?.is_none_or(|code| code == 0),
            Value::Map(call) => match function(call, context)? {
                Some(truth) => truth,
                None if at == 0 => return Ok(UNMET),
                // It ends the asking too, and leaves what was found before.
                None => {
                    let text = format!("no `fun` argument in unless: {}", python::repr(entry));
                    return Ok((false, text.into()));
                }
            },
            _ => return Ok(UNMET),
        };
        if !met {
            return Ok(UNMET);
        }
    }
    Ok((false, "unless condition is true".into()))
}

/// The return code of a command line; `None` when it cannot be run.
///
/// # Errors
///
/// For a line of nothing but blanks, with the exception of Salt.
fn command(line: &str, low: &Map, context: &Context<'_>) -> Result<Option<i64>, CallError> {
    if line.trim().is_empty() {
        return Err(no_words());
    }
    let args = command_arguments(line, low, &OPTIONS);
    let code = context.registry.call("cmd.retcode", &args, context);
    Ok(code.ok().and_then(|code| code.as_int()))
}

/// The members of a chunk that conditions run with.
const OPTIONS: [&str; 9] = [
    "cwd",
    "root",
    "runas",
    "env",
    "prepend_path",
    "umask",
    "timeout",
    "success_retcodes",
    "shell",
];

/// Those that `check_cmd` runs with.
const CHECK_OPTIONS: [&str; 5] = ["root", "runas", "prepend_path", "umask", "timeout"];

fn no_words() -> CallError {
    CallError::exception("IndexError", "list index out of range")
}

fn command_arguments(line: &str, low: &Map, options: &[&str]) -> Args {
    let left_out: Vec<String> = match low.get("cmd_opts_exclude") {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(Value::Str(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    let mut args = Args::new()
        .keyword("cmd", line)
        .keyword("ignore_retcode", true)
        .keyword("python_shell", true);
    for name in options {
        if let Some(value) = low.get(name)
            && !left_out.iter().any(|left| left == name)
        {
            args = args.keyword(name, value.clone());
        }
    }
    // `root` changes what the command sees as `/`.
    if let Some(root) = args.keywords.remove("root").filter(Value::is_true) {
        let words: Value = ["chroot", &python::str(&root), "/bin/sh", "-c", line]
            .into_iter()
            .collect();
        args.keywords.insert("cmd", words);
        args.keywords.insert("python_shell", false);
    }
    args
}

/// The truth of a call; `None` when it names no function.
fn function(call: &Map, context: &Context<'_>) -> Result<Option<bool>, CallError> {
    let Some(name) = call.get("fun") else {
        return Ok(None);
    };
    let mut call = call.clone();
    slots::fill_map(&mut call, context)?;
    let name = known(name, context)?;
    let path = call
        .get("get_return")
        .filter(|path| path.is_true())
        .cloned();
    let mut args = Args::new();
    if let Some(given) = call.get_mut("args") {
        slots::fill_list(given, context)?;
        for value in members(given)? {
            args = args.with(value);
        }
    }
    for (key, value) in &call {
        let key = python::str(key);
        if !matches!(key.as_str(), "fun" | "args" | "get_return") {
            let signature = context.registry.signature(&name);
            if let Some(error) = signature.and_then(|signature| signature.unexpected(&key)) {
                return Err(error);
            }
            args = args.keyword(&key, value.clone());
        }
    }
    context.set_retcode(0);
    let answer = context.registry.call(&name, &args, context)?;
    let code = context.retcode();
    context.set_retcode(0);
    // A function that says by a code that it failed is believed, whatever it returns.
    if code != 0 {
        return Ok(Some(false));
    }
    Ok(Some(match path {
        Some(path) => data::traverse(&answer, &python::str(&path), ":").is_some_and(Value::is_true),
        None => answer.is_true(),
    }))
}

/// The name of a function that there is.
fn known(name: &Value, context: &Context<'_>) -> Result<String, CallError> {
    let missing = |text: &str| CallError::exception("KeyError", python::repr_str(text));
    match name {
        Value::Str(name) if context.registry.contains(name) => Ok(name.clone()),
        Value::Str(name) if name.contains('.') => Err(missing(name)),
        Value::Str(name) => Err(missing(&format!("The key '{name}' should contain a '.'"))),
        Value::List(_) | Value::Map(_) => Err(CallError::exception(
            "TypeError",
            format!("unhashable type: '{}'", name.type_name()),
        )),
        _ => Err(missing("The key must be a string.")),
    }
}

/// What Python iterates over.
fn members(value: &Value) -> Result<Vec<Value>, CallError> {
    match value {
        Value::List(items) => Ok(items.clone()),
        Value::Str(text) => Ok(text.chars().map(|one| one.to_string().into()).collect()),
        Value::Map(map) => Ok(map.keys().cloned().collect()),
        other => Err(CallError::exception(
            "TypeError",
            format!("'{}' object is not iterable", other.type_name()),
        )),
    }
}

/// Whether `check_cmd` finds all well, and the comment about it; no comment when there is
/// nothing to check.
///
/// # Errors
///
/// For what is no list of commands.
pub(super) fn check_commands(
    low: &Map,
    context: &Context<'_>,
) -> Result<(bool, Option<&'static str>), CallError> {
    let commands = match low.get("check_cmd") {
        Some(line @ Value::Str(_)) => vec![line.clone()],
        Some(other) => members(other)?,
        None => Vec::new(),
    };
    if commands.is_empty() {
        return Ok((false, None));
    }
    for one in commands {
        let line = match &one {
            // Words of their own are a line where a shell reads them.
            Value::List(words) => match words.first() {
                Some(word) => python::str(word),
                None => return Err(no_words()),
            },
            other => python::str(other),
        };
        if line.trim().is_empty() {
            return Err(no_words());
        }
        // Other than in a condition, a command that cannot be run is an error.
        let args = command_arguments(&line, low, &CHECK_OPTIONS);
        let code = context.registry.call("cmd.retcode", &args, context)?;
        if code.as_int() != Some(0) {
            return Ok((false, Some("check_cmd determined the state failed")));
        }
    }
    Ok((true, Some("check_cmd determined the state succeeded")))
}
