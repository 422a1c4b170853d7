//! `kmod.*`: modules of the kernel.

use std::path::Path;

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "kmod.present",
        "present(name, persist=False, mods=None)",
        "Makes sure that modules are loaded; with persist, at every boot.",
        present,
    );
    registry.add_state(
        "kmod.absent",
        "absent(name, persist=False, comment=True, mods=None)",
        "Makes sure that modules are not loaded; with persist, nor at boot.",
        absent,
    );
}

fn names(args: &Args) -> Result<Vec<String>, CallError> {
    Ok(match args.given("mods") {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        _ => vec![args.text("name")?],
    })
}

/// The modules that are loaded, with dashes as underscores.
fn loaded(machine: &dyn Observe) -> Vec<String> {
    let text = tool::answer(machine, &tool::named(machine, "lsmod")).unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The file that names the modules of every boot.
fn list(machine: &dyn Observe) -> &'static Path {
    Path::new(if machine.exists(Path::new("/run/systemd/system")) {
        "/etc/modules-load.d/salt_managed.conf"
    } else {
        "/etc/modules"
    })
}

fn listed(machine: &dyn Observe) -> Result<(String, Vec<String>), CallError> {
    let path = list(machine);
    let text = machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?
        .unwrap_or_default();
    let names = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    Ok((text, names))
}

fn same(a: &str, b: &str) -> bool {
    a.replace('-', "_") == b.replace('-', "_")
}

/// `Kernel module a is` or `Kernel modules a, b are`.
fn subject(names: &[String]) -> String {
    match names {
        [one] => format!("Kernel module {one} is"),
        several => format!("Kernel modules {} are", several.join(", ")),
    }
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let wanted = names(args)?;
    let now = loaded(check.system);
    let mut todo: Vec<String> = wanted
        .iter()
        .filter(|name| !now.iter().any(|known| same(known, name)))
        .cloned()
        .collect();
    if args.is_true("persist") {
        let (_, listed) = listed(check.system)?;
        todo.extend(
            wanted
                .iter()
                .filter(|name| !listed.iter().any(|known| same(known, name)))
                .cloned(),
        );
        todo.sort();
        todo.dedup();
    }
    if todo.is_empty() {
        return Ok(Plan::unchanged(format!(
            "{} already present",
            subject(&wanted)
                .trim_end_matches(" is")
                .trim_end_matches(" are")
        )));
    }
    let would = format!("{} set to be loaded", subject(&todo));
    let persist = args.is_true("persist");
    let mut changes = Changes::none();
    for name in &todo {
        changes.insert(name.as_str(), "loaded");
    }
    let said = match todo.as_slice() {
        [one] => format!("Loaded kernel module {one}"),
        several => format!("Loaded kernel modules {}", several.join(", ")),
    };
    Ok(Plan::change(said, changes, move |context| {
        let machine = context.system;
        let missing: Vec<String> = todo
            .iter()
            .filter(|name| {
                let command = tool::named(machine, "modprobe").args(["-n", "--", name]);
                tool::answer(machine, &command).is_none()
            })
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Ok(Done::failed(format!("{} unavailable", subject(&missing))));
        }
        for name in &todo {
            let command = tool::named(machine, "modprobe").args(["--", name]);
            if !tool::run(context, &command)?.is_success() {
                return Ok(Done::failed(format!("Failed to load kernel module {name}")));
            }
        }
        if persist {
            remember(context, &todo)?;
        }
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn write(context: &Context<'_>, text: &str) -> Result<(), CallError> {
    let path = list(context.system);
    let failed = |error: std::io::Error| CallError::execution(errno_text(&error, Some(path)));
    if let Some(parent) = path.parent() {
        context
            .system
            .create_dir_all(parent, 0o755)
            .map_err(failed)?;
    }
    context
        .system
        .write(path, text.as_bytes(), &WriteOptions::new())
        .map_err(failed)
}

fn remember(context: &Context<'_>, names: &[String]) -> Result<(), CallError> {
    let (mut text, listed) = listed(context.system)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for name in names {
        if !listed.iter().any(|known| same(known, name)) {
            text.push_str(name);
            text.push('\n');
        }
    }
    write(context, &text)
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let wanted = names(args)?;
    let persist = args.is_true("persist");
    let keep = args.is_true("comment");
    let now = loaded(check.system);
    let (_, listed) = if persist {
        listed(check.system)?
    } else {
        Default::default()
    };
    let todo: Vec<String> = wanted
        .iter()
        .filter(|name| now.iter().chain(&listed).any(|known| same(known, name)))
        .cloned()
        .collect();
    if todo.is_empty() {
        return Ok(Plan::unchanged(format!(
            "{} already removed",
            subject(&wanted)
        )));
    }
    let would = format!("{} set to be removed", subject(&todo));
    let mut changes = Changes::none();
    for name in &todo {
        changes.insert(name.as_str(), "removed");
    }
    let said = match todo.as_slice() {
        [one] => format!("Removed kernel module {one}"),
        several => format!("Removed kernel modules {}", several.join(", ")),
    };
    Ok(Plan::change(said, changes, move |context| {
        for name in &todo {
            if !loaded(context.system).iter().any(|known| same(known, name)) {
                continue;
            }
            let command = tool::named(context.system, "modprobe").args(["-r", "--", name]);
            if !tool::run(context, &command)?.is_success() {
                return Ok(Done::failed(format!(
                    "Failed to remove kernel module {name}"
                )));
            }
        }
        if persist {
            let (text, _) = self::listed(context.system)?;
            let mut out = String::new();
            for line in text.lines() {
                let word = line.split_whitespace().next().unwrap_or_default();
                if !todo.iter().any(|name| same(name, word)) {
                    out.push_str(line);
                    out.push('\n');
                } else if keep {
                    out.push_str(&format!("#{line}\n"));
                }
            }
            write(context, &out)?;
        }
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
