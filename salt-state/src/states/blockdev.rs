//! `blockdev.*`: what block devices hold, and how they are read.

use std::path::Path;
use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::disk::devices::{SETTINGS, dump};
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{FileKind, Observe};

type Answer = Result<Plan, CallError>;

/// How often is asked whether a new file system can be seen, a second apart.
const TRIES: usize = 10;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "blockdev.formatted",
        "formatted(name, fs_type='ext4', force=False, **kwargs)",
        "Makes sure that a device holds a kind of file system.",
        formatted,
    );
    registry.add_state(
        "blockdev.tuned",
        "tuned(name, **kwargs)",
        "Makes sure how a device is read and whether it can be written.",
        tuned,
    );
}

/// The kind of what is on a device; empty when there is nothing.
fn kind(machine: &dyn Observe, device: &str) -> Result<String, CallError> {
    let command = tool::named(machine, "blkid").args(["-o", "value", "-s", "TYPE", device]);
    Ok(tool::ask(machine, &command)?
        .stdout_text()
        .trim()
        .to_owned())
}

fn formatted(args: &Args, check: &Check<'_>) -> Answer {
    let (name, wanted) = (args.text("name")?, args.text("fs_type")?);
    let machine = check.system;
    if !machine.exists(Path::new(&name)) {
        return Ok(Plan::fail(format!("{name} does not exist")));
    }
    if kind(machine, &name)? == wanted {
        return Ok(Plan::unchanged(format!(
            "{name} already formatted with {wanted}"
        )));
    }
    if machine.which(&format!("mkfs.{wanted}")).is_none() {
        return Ok(Plan::fail(format!("Invalid fs_type: {wanted}")));
    }
    let mut format = Args::new()
        .with(name.as_str())
        .with(wanted.as_str())
        .keyword("force", args.is_true("force"));
    for (key, value) in &args.clean_keywords() {
        if let Some(key) = key.as_str() {
            format = format.keyword(key, value.clone());
        }
    }
    // Both are what it is now, as Salt says it.
    let changes = Changes::of("new", wanted.as_str()).with("old", wanted.as_str());
    let would = format!("Changes to {name} will be applied ");
    Ok(Plan::change(
        format!("{name} has been formatted with {wanted}"),
        changes,
        move |context| {
            context.registry.call("disk.format", &format, context)?;
            for _ in 0..TRIES {
                let found = kind(context.system, &name)?;
                if found == wanted {
                    return Ok(Done::as_planned());
                }
                if !found.is_empty() {
                    break;
                }
                context.system.sleep(Duration::from_secs(1));
            }
            Ok(Done::failed(format!("Failed to format {name}")))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// How a setting stands: text, or whether it is so.
fn stands(all: &Map, setting: &str) -> Value {
    let Some((_, _, answer)) = SETTINGS.iter().find(|(name, ..)| *name == setting) else {
        return Value::Null;
    };
    let text = all.str(answer).unwrap_or_default();
    match setting {
        "read-only" => (text == "1").into(),
        "read-write" => (text == "0").into(),
        _ => text.into(),
    }
}

fn tuned(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let found = check.system.metadata(Path::new(&name)).ok().flatten();
    if !found.is_some_and(|found| found.kind == FileKind::BlockDevice) {
        return Ok(Plan::fail(format!(
            "Changes to {name} cannot be applied. Not a block device."
        )));
    }
    let wanted = args.clean_keywords();
    let would = format!("Changes to {name} will be applied ");
    let now = dump(check.system, &name)?.unwrap_or_default();
    let mut tune = Args::new().with(name.as_str());
    let mut changes = Changes::none();
    let mut known = true;
    for (key, value) in &wanted {
        let key = python::str(key);
        known &= SETTINGS.iter().any(|(name, ..)| *name == key)
            && (!matches!(key.as_str(), "read-only" | "read-write") || value.is_true());
        let (old, new) = (python::str(&stands(&now, &key)), python::str(value));
        if old != new {
            changes.insert(key.as_str(), format!("Changed from {old} to {new}"));
        }
        tune = tune.keyword(&key, value.clone());
    }
    if changes.is_empty() && known {
        // Salt does not look before it says what it would do.
        return Ok(
            Plan::unchanged(format!("Block device {name} already in correct state"))
                .when_testing(would)
                .test_result(None),
        );
    }
    if !known {
        changes = Changes::none();
    }
    let expected = wanted;
    Ok(Plan::change(
        format!("Block device {name} successfully modified "),
        changes,
        move |context| {
            context.registry.call("disk.tune", &tune, context)?;
            let now = dump(context.system, &name)?.unwrap_or_default();
            let differs = expected.iter().any(|(key, value)| {
                python::str(&stands(&now, &python::str(key))) != python::str(value)
            });
            Ok(if differs {
                Done::failed(format!("Failed to modify block device {name}"))
            } else {
                Done::as_planned()
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
