//! `beacons.*`: what the minion watches.

use std::path::PathBuf;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::beacons::{self, Beacons, merged};
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::WriteOptions;
use crate::yaml::{self, DumpOptions};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "beacons.list",
        "list_(return_yaml=True, include_pillar=True, include_opts=True, **kwargs)",
        "Returns the beacons as YAML.",
        |args, context| {
            let shown = with(context, |own| {
                own.items(args.is_true("include_opts"), args.is_true("include_pillar"))
            });
            let shown = shown.map_or(Value::Null, Value::from);
            if !args.is_true("return_yaml") {
                return Ok(shown);
            }
            Ok(written(&Map::from([("beacons", shown)])).into())
        },
    );
    add(
        "beacons.list_available",
        "list_available(return_yaml=True, **kwargs)",
        "Returns the names of the beacons that there are.",
        |args, context| {
            if context.engines.is_none() {
                return Ok(Map::from([("beacons", Map::new())]).into());
            }
            let names: Value = beacons::NAMES.into_iter().collect();
            if !args.is_true("return_yaml") {
                return Ok(names);
            }
            Ok(written(&Map::from([("beacons", names)])).into())
        },
    );
    add(
        "beacons.add",
        "add(name, beacon_data, **kwargs)",
        "Adds a beacon. test: only say what would be done.",
        |args, context| put(args, false, context),
    );
    add(
        "beacons.modify",
        "modify(name, beacon_data, **kwargs)",
        "Replaces what a beacon is configured with.",
        |args, context| put(args, true, context),
    );
    add(
        "beacons.delete",
        "delete(name, **kwargs)",
        "Takes a beacon out.",
        delete,
    );
    add(
        "beacons.save",
        "save(**kwargs)",
        "Saves the beacons that are not the pillar's.",
        save,
    );
    add(
        "beacons.enable",
        "enable(**kwargs)",
        "Lets beacons look.",
        |args, context| switch(args, true, context),
    );
    add(
        "beacons.disable",
        "disable(**kwargs)",
        "Lets no beacon look.",
        |args, context| switch(args, false, context),
    );
    add(
        "beacons.enable_beacon",
        "enable_beacon(name, **kwargs)",
        "Lets a beacon look.",
        |args, context| switch_one(args, true, context),
    );
    add(
        "beacons.disable_beacon",
        "disable_beacon(name, **kwargs)",
        "Lets a beacon not look.",
        |args, context| switch_one(args, false, context),
    );
    add(
        "beacons.reset",
        "reset(**kwargs)",
        "Takes all beacons out.",
        |args, context| {
            if args.is_true("test") {
                return Ok(answer(true, "Beacons would be reset."));
            }
            if with(context, Beacons::reset).is_none() {
                return Ok(nothing());
            }
            Ok(answer(true, "Beacon configuration reset."))
        },
    );
}

/// Asks or changes the beacons of the daemon, where there is one.
fn with<T>(context: &Context<'_>, ask: impl FnOnce(&mut Beacons) -> T) -> Option<T> {
    let engines = context.engines?;
    let mut own = engines
        .beacons
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Some(ask(&mut own))
}

/// All beacons.
fn current(context: &Context<'_>) -> Result<Map, CallError> {
    // What Salt's own raises when no daemon answers.
    let missing =
        || CallError::exception("TypeError", "argument of type 'NoneType' is not iterable");
    with(context, |own| own.items(true, true)).ok_or_else(missing)
}

fn answer(result: bool, comment: &str) -> Value {
    Map::from([("comment", Value::from(comment)), ("result", result.into())]).into()
}

fn nothing() -> Value {
    let none = Value::List(Vec::new());
    Map::from([("comment", none), ("result", true.into())]).into()
}

fn written(value: &Map) -> String {
    let options = DumpOptions {
        flow_style: Some(false),
        sort_keys: true,
        ..DumpOptions::default()
    };
    yaml::dump(&value.clone().into(), &options)
}

fn put(args: &Args, modifies: bool, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let data = args.get("beacon_data").cloned().unwrap_or_default();
    let known = current(context)?;
    if name.is_empty() {
        return Ok(answer(false, "Beacon name is required."));
    }
    match (known.contains_key(&name), modifies) {
        (true, false) => {
            let comment = format!("Beacon {name} is already configured.");
            return Ok(answer(true, &comment));
        }
        (false, true) => {
            return Ok(answer(true, &format!("Beacon {name} is not configured.")));
        }
        _ => {}
    }
    if matches!(&data, Value::Map(entries) if !entries.is_empty()) {
        return Err(CallError::Arguments(
            "string indices must be integers, not 'str'".to_owned(),
        ));
    }
    let config = merged(&data);
    let module = config.str("beacon_module").unwrap_or(&name).to_owned();
    if !beacons::NAMES.contains(&module.as_str()) {
        let comment = format!("Beacon \"{module}\" is not available.");
        return Ok(answer(false, &comment));
    }
    if !matches!(&data, Value::List(entries) if !entries.is_empty()) {
        return Err(CallError::Arguments(
            "'NoneType' object is not subscriptable".to_owned(),
        ));
    }
    if let Some(complaint) = beacons::validate(&module, &config) {
        let word = if modifies { "modifying" } else { "adding" };
        let comment = format!("Beacon {name} configuration invalid, not {word}.\n{complaint}");
        return Ok(answer(false, &comment));
    }
    if !modifies {
        if args.is_true("test") {
            return Ok(answer(true, &format!("Beacon: {name} would be added.")));
        }
        with(context, |own| own.insert(&name, data));
        return Ok(answer(true, &format!("Added beacon: {name}.")));
    }
    let old = known.get(&name).cloned().unwrap_or_default();
    if old == data {
        let comment = format!("Job {name} in correct state");
        return Ok(answer(true, &comment));
    }
    if args.is_true("test") {
        return Ok(answer(true, &format!("Beacon: {name} would be modified.")));
    }
    let diff = Map::from([("diff", difference(&old, &data))]);
    let is_of_pillar = with(context, |own| own.is_of_pillar(&name)) == Some(true);
    let mut said = if is_of_pillar {
        Map::from([
            (
                "comment",
                Value::from(format!(
                    "Cannot modify beacon item {name}, it is configured in pillar."
                )),
            ),
            ("result", false.into()),
        ])
    } else {
        with(context, |own| own.insert(&name, data));
        let comment = format!("Modified beacon: {name}.");
        Map::from([("comment", Value::from(comment)), ("result", true.into())])
    };
    said.insert("changes", diff);
    Ok(said.into())
}

/// How two configurations differ, as Salt shows it.
pub(crate) fn difference(old: &Value, new: &Value) -> String {
    let lines = |data: &Value| -> Vec<String> {
        let entries = merged(data);
        entries
            .iter()
            .map(|(key, value)| format!("{}:{}\n", python::str(key), python::str(value)))
            .collect()
    };
    crate::diff::unified_diff(&lines(old), &lines(new), "", "").concat()
}

fn delete(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    if args.is_true("test") {
        let comment = format!("Beacon: {name} would be deleted.");
        return Ok(answer(true, &comment));
    }
    if with(context, |own| own.is_of_pillar(&name)) == Some(true) {
        let comment = format!("Cannot delete beacon item {name}, it is configured in pillar.");
        return Ok(answer(false, &comment));
    }
    if with(context, |own| own.remove(&name)).is_none() {
        return Ok(nothing());
    }
    Ok(answer(true, &format!("Deleted beacon: {name}.")))
}

fn save(_: &Args, context: &Context<'_>) -> Answer {
    let directory = context.setting("config_dir").unwrap_or("/etc/salt");
    let path = PathBuf::from(directory)
        .join("minion.d")
        .join("beacons.conf");
    let items = with(context, |own| own.items(true, false)).unwrap_or_default();
    let text = match items.is_empty() {
        true => String::new(),
        false => written(&Map::from([("beacons", items)])),
    };
    if let Some(directory) = path.parent() {
        context.system.create_dir_all(directory, 0o755)?;
    }
    let options = WriteOptions::new().mode(0o600);
    context.system.write(&path, text.as_bytes(), &options)?;
    let comment = format!("Beacons saved to {}.", path.display());
    Ok(answer(true, &comment))
}

fn switch(args: &Args, enabled: bool, context: &Context<'_>) -> Answer {
    let word = if enabled { "enabled" } else { "disabled" };
    if args.is_true("test") {
        return Ok(answer(true, &format!("Beacons would be {word}.")));
    }
    if with(context, |own| own.set_enabled(enabled)).is_none() {
        return Ok(nothing());
    }
    Ok(answer(
        true,
        if enabled {
            "Enabled beacons on minion."
        } else {
            "Disabled beacons on minion."
        },
    ))
}

fn switch_one(args: &Args, enabled: bool, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let (word, done) = if enabled {
        ("enable", "Enabled")
    } else {
        ("disable", "Disabled")
    };
    if name.is_empty() {
        return Ok(answer(false, "Beacon name is required."));
    }
    if args.is_true("test") {
        let comment = match enabled {
            true => format!("Beacon {name} would be enabled."),
            false => "Beacons would be disabled.".to_owned(),
        };
        return Ok(answer(true, &comment));
    }
    if !current(context)?.contains_key(&name) {
        let comment = format!("Beacon {name} is not currently configured.");
        return Ok(answer(false, &comment));
    }
    if with(context, |own| own.is_of_pillar(&name)) == Some(true) {
        let comment = format!("Cannot {word} beacon item {name}, it is configured in pillar.");
        return Ok(answer(false, &comment));
    }
    with(context, |own| own.set_beacon_enabled(&name, enabled));
    let comment = format!("{done} beacon {name} on minion.");
    Ok(answer(true, &comment))
}
