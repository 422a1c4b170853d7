//! `onlyif`, `unless`, `creates` and `check_cmd`.

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
    pub(super) comments: Vec<&'static str>,
    pub(super) last: Option<String>,
}

impl Verdict {
    /// The comments as Salt keeps them until the end.
    pub(super) fn comment(self) -> Value {
        self.comments
            .into_iter()
            .map(str::to_owned)
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
        verdict.comments.push(if met {
            "onlyif condition is true"
        } else {
            "onlyif condition is false"
        });
    }
    if let Some(unless) = low.get("unless") {
        let held = any_unmet(unless, low, context)?;
        verdict.skip |= !held;
        verdict.comments.push(if held {
            "unless condition is false"
        } else {
            "unless condition is true"
        });
    }
    if let Some(creates) = low.get("creates") {
        let exists = |path: &Value| {
            let path = python::str(path);
            context.system.exists(Path::new(&path))
        };
        let (there, comment) = match creates {
            Value::Str(path) => {
                let there = exists(creates);
                (there, there.then(|| format!("{path} exists")))
            }
            Value::List(paths) => {
                let there = paths.iter().all(exists);
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
            Value::Str(line) => command(line, low, context) == Some(0),
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

fn any_unmet(unless: &Value, low: &Map, context: &Context<'_>) -> Result<bool, CallError> {
    for entry in entries(unless)? {
        let met = match entry {
            // What cannot be run counts as true here.
            Value::Str(line) => command(line, low, context).is_none_or(|code| code == 0),
            Value::Map(call) => match function(call, context)? {
                Some(truth) => truth,
                None => return Ok(true),
            },
            _ => return Ok(true),
        };
        if !met {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The return code of a command line; `None` when it cannot be run.
fn command(line: &str, low: &Map, context: &Context<'_>) -> Option<i64> {
    let args = command_arguments(line, low);
    context
        .registry
        .call("cmd.retcode", &args, context)
        .ok()
        .and_then(|code| code.as_int())
}

fn command_arguments(line: &str, low: &Map) -> Args {
    let left_out: Vec<String> = match low.get("cmd_opts_exclude") {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(Value::Str(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    let mut args = Args::new()
        .keyword("cmd", line)
        .keyword("ignore_retcode", true)
        .keyword("python_shell", true);
    for name in [
        "cwd",
        "root",
        "runas",
        "env",
        "prepend_path",
        "umask",
        "timeout",
        "success_retcodes",
        "success_stdout",
        "success_stderr",
        "shell",
    ] {
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
    let Some(name) = call.get("fun").map(python::str) else {
        return Ok(None);
    };
    let mut call = call.clone();
    slots::fill_map(&mut call, context)?;
    if !context.registry.contains(&name) {
        return Err(CallError::exception("KeyError", python::repr_str(&name)));
    }
    let path = call.get("get_return").cloned();
    let mut args = Args::new();
    if let Some(Value::List(given)) = call.get("args") {
        for value in given {
            args = args.with(value.clone());
        }
    }
    for (key, value) in &call {
        let key = python::str(key);
        if !matches!(key.as_str(), "fun" | "args" | "get_return") {
            args = args.keyword(&key, value.clone());
        }
    }
    context.set_retcode(0);
    let answer = context.registry.call(&name, &args, context)?;
    let code = context.retcode();
    context.set_retcode(0);
    if let Some(path) = path {
        let path = python::str(&path);
        return Ok(Some(
            data::traverse(&answer, &path, ":").is_some_and(Value::is_true),
        ));
    }
    // A function that says how it went by a code is believed.
    if code != 0 || name.starts_with("cmd.") {
        return Ok(Some(code == 0));
    }
    Ok(Some(answer.is_true()))
}

/// Whether `check_cmd` finds all well, and the comment about it; no comment when there is
/// nothing to check.
pub(super) fn check_commands(low: &Map, context: &Context<'_>) -> (bool, Option<&'static str>) {
    let lines: Vec<String> = match low.get("check_cmd") {
        Some(Value::List(lines)) => lines.iter().map(python::str).collect(),
        Some(one) => vec![python::str(one)],
        None => Vec::new(),
    };
    if lines.is_empty() {
        return (false, None);
    }
    for line in lines {
        if command(&line, low, context) != Some(0) {
            return (false, Some("check_cmd determined the state failed"));
        }
    }
    (true, Some("check_cmd determined the state succeeded"))
}
