//! `kmod.*`: modules of the kernel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, FileKind, Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

/// How deep below the modules of a kernel is looked for them.
const DEEP: usize = 16;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "kmod.available",
        "available()",
        "The modules that this kernel could load or has built in, sorted.",
        |_, context| Ok(available(context.system).into_iter().collect()),
    );
    add(
        "kmod.check_available",
        "check_available(mod)",
        "Whether this kernel could load a module or has it built in.",
        |args, context| {
            Ok(available(context.system)
                .contains(&args.text("mod")?)
                .into())
        },
    );
    add(
        "kmod.is_loaded",
        "is_loaded(mod)",
        "Whether a module is loaded.",
        |args, context| Ok(loaded(context.system)?.contains(&args.text("mod")?).into()),
    );
    add(
        "kmod.lsmod",
        "lsmod()",
        "The modules that are loaded, with their size and who uses them.",
        |_, context| {
            Ok(lines(context.system)?
                .into_iter()
                .map(|words| {
                    let word = |at: usize| words.get(at).cloned().unwrap_or_default();
                    let users = words.get(3).map(|users| users.split(',').collect());
                    Value::from(Map::from([
                        ("size", Value::from(word(1))),
                        ("module", word(0).into()),
                        ("depcount", word(2).into()),
                        ("deps", users.unwrap_or_else(|| Value::List(Vec::new()))),
                    ]))
                })
                .collect())
        },
    );
    add(
        "kmod.mod_list",
        "mod_list(only_persist=False)",
        "The modules that are loaded, or that are loaded at every boot, sorted.",
        |args, context| {
            Ok(if args.is_true("only_persist") {
                listed(context)?
            } else {
                loaded(context.system)?
            }
            .into_iter()
            .collect())
        },
    );
    add(
        "kmod.load",
        "load(mod, persist=False)",
        "Loads a module; those that were loaded, or what went wrong.",
        |args, context| answer(load(context, &args.text("mod")?, args.is_true("persist"))?),
    );
    add(
        "kmod.remove",
        "remove(mod, persist=False, comment=True)",
        "Removes a module; those that were removed, or what went wrong.",
        |args, context| {
            answer(remove(
                context,
                &args.text("mod")?,
                args.is_true("persist"),
                args.is_true("comment"),
            )?)
        },
    );
}

/// Names, sorted.
type Names = BTreeSet<String>;

fn answer(result: Result<Names, String>) -> Answer {
    Ok(match result {
        Ok(names) => names.into_iter().collect(),
        Err(text) => text.into(),
    })
}

/// What `lsmod` lists, word by word.
fn lines(machine: &dyn Observe) -> Result<Vec<Vec<String>>, CallError> {
    let text = tool::ask(machine, &tool::named(machine, "lsmod"))?.stdout_text();
    Ok(text
        .lines()
        .filter(|line| !line.starts_with("Module"))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect())
}

/// The modules that are loaded.
///
/// # Errors
///
/// When `lsmod` cannot be run.
pub(crate) fn loaded(machine: &dyn Observe) -> Result<Names, CallError> {
    Ok(lines(machine)?
        .into_iter()
        .filter_map(|words| words.into_iter().next())
        .collect())
}

/// The modules that this kernel could load, with dashes as underscores, and those that
/// are built in, as they are written.
pub(crate) fn available(machine: &dyn Observe) -> Names {
    let root = Path::new("/lib/modules").join(machine.kernel().release);
    let mut all = Names::new();
    if let Ok(Some(text)) = machine.text(&root.join("modules.builtin")) {
        all.extend(text.lines().filter_map(|line| {
            let file = line.trim().rsplit('/').next()?;
            Some(file.strip_suffix(".ko").unwrap_or(file).to_owned())
        }));
        all.remove("");
    }
    let mut todo: Vec<(PathBuf, usize)> = vec![(root, 0)];
    while let Some((directory, depth)) = todo.pop() {
        for name in machine.list(&directory).unwrap_or_default() {
            let path = directory.join(&name);
            let kind = machine.link_metadata(&path).ok().flatten();
            if kind.is_some_and(|found| found.kind == FileKind::Directory) {
                if depth < DEEP {
                    todo.push((path, depth + 1));
                }
            } else if let Some((module, _)) = name.to_string_lossy().split_once(".ko") {
                all.insert(module.replace('-', "_"));
            }
        }
    }
    all
}

/// The file that names the modules of every boot.
fn place(context: &Context<'_>) -> &'static Path {
    Path::new(if context.minion.grains.get("systemd").is_some() {
        "/etc/modules-load.d/salt_managed.conf"
    } else {
        "/etc/modules"
    })
}

fn read(context: &Context<'_>) -> Result<Option<String>, CallError> {
    let path = place(context);
    let text = context.system.text(path);
    text.map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

fn write(context: &Context<'_>, text: &str) -> Result<(), CallError> {
    let path = place(context);
    let directory = path.parent().unwrap_or(path);
    if !context.system.is_dir(directory) {
        return Err(CallError::execution("No such file or directory"));
    }
    context
        .system
        .write(path, text.as_bytes(), &WriteOptions::new())
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

/// The module that a line of that file names.
fn named(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    (!word.starts_with('#')).then_some(word)
}

/// The modules of every boot.
///
/// # Errors
///
/// When the file cannot be read.
pub(crate) fn listed(context: &Context<'_>) -> Result<Names, CallError> {
    let text = read(context)?.unwrap_or_default();
    Ok(text.lines().filter_map(named).map(str::to_owned).collect())
}

/// A command about a module, whose name cannot be taken for an option.
fn about(machine: &dyn Observe, program: &str, name: &str) -> Command {
    let command = tool::named(machine, program);
    if name.starts_with('-') {
        command.arg("--").arg(name)
    } else {
        command.arg(name)
    }
}

/// Lets a module be loaded at every boot, if this kernel has it; those that were not before.
fn keep(context: &Context<'_>, name: &str) -> Result<Names, CallError> {
    let text = read(context)?;
    let listed = listed(context)?;
    if listed.contains(name) || !available(context.system).contains(name) {
        if text.is_none() {
            write(context, "")?;
        }
        return Ok(Names::new());
    }
    let mut text = text.unwrap_or_default();
    let is_comment = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.trim() == name)
    };
    if text.lines().any(is_comment) {
        let lines = text.split_inclusive('\n');
        let lines = lines.map(|line| match line.strip_prefix('#') {
            Some(rest) if is_comment(line) => rest,
            _ => line,
        });
        text = lines.collect();
    } else {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(name);
        text.push('\n');
    }
    write(context, &text)?;
    Ok(Names::from([name.to_owned()]))
}

/// Lets a module not be loaded at boot; those that were before.
fn forget(context: &Context<'_>, name: &str, comment: bool) -> Result<Names, CallError> {
    let Some(text) = read(context)? else {
        return Ok(Names::new());
    };
    if !text.lines().any(|line| named(line) == Some(name)) {
        return Ok(Names::new());
    }
    let mut out = String::new();
    for line in text.lines() {
        if named(line) != Some(name) {
            out.push_str(line);
        } else if comment {
            out.push('#');
            out.push_str(line);
        } else {
            // What stood behind the name stays, as an empty line does.
            let rest = line.trim_start().strip_prefix(name).unwrap_or_default();
            out.push_str(rest.trim_start());
        }
        out.push('\n');
    }
    write(context, &out)?;
    Ok(Names::from([name.to_owned()]))
}

/// Loads a module; all that were loaded with it, or what went wrong.
///
/// # Errors
///
/// When a program cannot be run or the file cannot be written.
pub(crate) fn load(
    context: &Context<'_>,
    name: &str,
    persist: bool,
) -> Result<Result<Names, String>, CallError> {
    let machine = context.system;
    let before = loaded(machine)?;
    let output = tool::run(context, &about(machine, "modprobe", name))?;
    if !output.is_success() {
        let text = output.stderr_text();
        return Ok(Err(format!("Error loading module {name}: {}", text.trim())));
    }
    let mut new: Names = loaded(machine)?.difference(&before).cloned().collect();
    if persist {
        new.extend(keep(context, name)?);
    }
    Ok(Ok(new))
}

/// Removes a module; all that were removed with it, or what went wrong.
///
/// # Errors
///
/// When a program cannot be run or the file cannot be written.
pub(crate) fn remove(
    context: &Context<'_>,
    name: &str,
    persist: bool,
    comment: bool,
) -> Result<Result<Names, String>, CallError> {
    let machine = context.system;
    let before = loaded(machine)?;
    let output = tool::run(context, &about(machine, "rmmod", name))?;
    if !output.is_success() {
        let text = output.stderr_text();
        return Ok(Err(format!(
            "Error removing module {name}: {}",
            text.trim()
        )));
    }
    let mut gone: Names = before.difference(&loaded(machine)?).cloned().collect();
    if persist {
        gone.extend(forget(context, name, comment)?);
    }
    Ok(Ok(gone))
}
