//! `ini.*`: options of files of sections.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::ini::{Ini, Section, mapping, pair};
use crate::plan::{Changes, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

const DONE: &str = "Changes take effect";

pub(super) fn register(registry: &mut Registry) {
    registry.add_rehearsed("ini");
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "ini.options_present",
        "options_present(name, sections=None, separator='=', strict=False, encoding=None, no_spaces=False)",
        "Makes sure that options have their values.",
        options_present,
    );
    add(
        "ini.options_absent",
        "options_absent(name, sections=None, separator='=', encoding=None)",
        "Makes sure that options are not there.",
        options_absent,
    );
    add(
        "ini.sections_present",
        "sections_present(name, sections=None, separator='=', encoding=None)",
        "Makes sure that there are sections.",
        sections_present,
    );
    add(
        "ini.sections_absent",
        "sections_absent(name, sections=None, separator='=', encoding=None)",
        "Makes sure that there are no such sections.",
        sections_absent,
    );
}

/// A plan that writes the file when something differs. In a dry run Salt shows a line for
/// each option, and no changes.
fn plan(ini: Ini, changes: Map, nothing: &str, would: String, differs: bool) -> Plan {
    if changes.is_empty() {
        return Plan::unchanged(nothing).when_testing(would);
    }
    let plan = Plan::change(DONE, changes, move |context| ini.write(context))
        .when_testing(would)
        .test_changes(Changes::none());
    if differs {
        plan
    } else {
        plan.test_result(true)
    }
}

fn options_present(args: &Args, check: &Check<'_>) -> Answer {
    let sections = mapping(args.get("sections"))?;
    let mut ini = Ini::of(args, check.system)?;
    ini.close_up(args.is_true("no_spaces"));
    let mut would = String::new();
    let mut changes = Map::new();
    let mut differs = false;
    if args.is_true("strict") {
        let stale: Vec<String> = ini
            .names()
            .filter(|name| !sections.contains_key(name))
            .map(str::to_owned)
            .collect();
        for name in stale {
            would.push_str(&format!("Removed section {name}.\n"));
            let was = ini.remove_section(&name).unwrap_or_default();
            changes.insert(name, pair(was.into(), Value::Null));
            differs = true;
        }
    }
    for (key, wanted) in &sections {
        let key = python::str(key);
        let Value::Map(options) = wanted else {
            let is_there = ini
                .section("")
                .and_then(|section| section.get(&key))
                .is_some_and(|value| value == python::str(wanted));
            differs |= !is_there;
            let word = if is_there { "Unchanged" } else { "Changed" };
            would.push_str(&format!("{word} key {key}.\n"));
            continue;
        };
        if args.is_true("strict") {
            let there = ini.section(&key).map(Section::data).unwrap_or_default();
            let mut removed = Map::new();
            for (option, value) in &there {
                if options.get_value(option).is_none() {
                    let option = python::str(option);
                    would.push_str(&format!("Deleted key {option} in section {key}.\n"));
                    ini.remove_option(&key, &option);
                    removed.insert(option, pair(value.clone(), Value::Null));
                    differs = true;
                }
            }
            if !removed.is_empty() {
                changes.insert(key.as_str(), removed);
            }
        }
        for (option, value) in options {
            let option = python::str(option);
            let is_there = ini
                .section(&key)
                .and_then(|section| section.get(&option))
                .is_some_and(|now| now == python::str(value));
            differs |= !is_there;
            let word = if is_there { "Unchanged" } else { "Changed" };
            would.push_str(&format!("{word} key {option} in section {key}.\n"));
        }
    }
    let set = match ini.set(&sections) {
        Ok(set) => set,
        Err(_) if check.is_test() => Map::from([("", true)]),
        Err(error) => return Err(error),
    };
    crate::data::update(&mut changes, &set, false);
    if !differs && !check.is_test() {
        changes = Map::new();
    }
    Ok(plan(ini, changes, "No anomaly detected", would, differs))
}

fn options_absent(args: &Args, check: &Check<'_>) -> Answer {
    let sections = match args.get("sections") {
        // Salt looks into the file with the list itself.
        Some(Value::List(items)) if check.is_test() && !items.is_empty() => {
            return Err(CallError::exception(
                "TypeError",
                "list indices must be integers or slices, not str",
            ));
        }
        sections => mapping(sections)?,
    };
    let mut ini = Ini::of(args, check.system)?;
    let mut would = String::new();
    let mut changes = Map::new();
    for (key, options) in &sections {
        let key = python::str(key);
        let options = match options {
            Value::List(options) => options.clone(),
            Value::Null if !check.is_test() => {
                return Err(CallError::exception(
                    "TypeError",
                    "'NoneType' object is not iterable",
                ));
            }
            _ => {
                let there = ini.section("").and_then(|section| section.get(&key));
                if there.is_some() || ini.section(&key).is_some() {
                    would.push_str(&format!("Deleted key {key}.\n"));
                } else {
                    would.push_str(&format!("Key {key} does not exist.\n"));
                }
                // What stands for one option is read as options of that section.
                let named = match options {
                    Value::Map(named) => named.keys().map(python::str).collect(),
                    one => python::str(one)
                        .chars()
                        .map(String::from)
                        .collect::<Vec<_>>(),
                };
                for option in named {
                    if let Some(was) = ini.remove_option(&key, &option) {
                        changes.insert(key.as_str(), was);
                    }
                }
                continue;
            }
        };
        let mut removed = Map::new();
        for option in &options {
            let option = python::str(option);
            match ini.remove_option(&key, &option) {
                Some(was) => {
                    would.push_str(&format!("Deleted key {option} in section {key}.\n"));
                    removed.insert(option, was);
                }
                None => would.push_str(&format!("Key {option} in section {key} does not exist.\n")),
            }
        }
        if !removed.is_empty() {
            changes.insert(key, removed);
        }
    }
    if would.is_empty() {
        "No changes detected.".clone_into(&mut would);
    }
    let differs = would.contains("Deleted ");
    if changes.is_empty() && !sections.is_empty() && !differs {
        // Salt writes the file again all the same, in its own form.
        let path = std::path::PathBuf::from(args.text("name")?);
        let is_formed = check
            .system
            .text(&path)?
            .is_some_and(|text| text == ini.text());
        if !is_formed {
            return Ok(
                Plan::change("No anomaly detected", Changes::none(), move |context| {
                    ini.write(context)
                })
                .when_testing(would)
                .test_result(true),
            );
        }
    }
    let plan = plan(ini, changes, "No anomaly detected", would, differs);
    Ok(if differs {
        plan.test_result(None)
    } else {
        plan
    })
}

fn sections_present(args: &Args, check: &Check<'_>) -> Answer {
    let names: Vec<String> = match args.get("sections") {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(Value::Map(sections)) => sections.keys().map(python::str).collect(),
        Some(other) if other.is_true() => mapping(Some(other)).map(|_| Vec::new())?,
        _ => Vec::new(),
    };
    if !check.is_test() && !names.is_empty() {
        // 3008.3 calls its own function wrongly, so this never works there.
        return Err(CallError::exception(
            "TypeError",
            "set_option() got an unexpected keyword argument 'section'",
        ));
    }
    let ini = Ini::of(args, check.system)?;
    let mut would = String::new();
    let mut differs = false;
    for name in names {
        if ini.section(&name).is_some() {
            would.push_str(&format!("Section unchanged {name}.\n"));
        } else {
            would.push_str(&format!("Created new section {name}.\n"));
            differs = true;
        }
    }
    let result = if differs { None } else { Some(true) };
    Ok(Plan::answer(result, would, Changes::none()))
}

fn sections_absent(args: &Args, check: &Check<'_>) -> Answer {
    let names: Vec<String> = match args.get("sections") {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(Value::Map(sections)) => sections.keys().map(python::str).collect(),
        Some(other) if other.is_true() => vec![python::str(other)],
        _ => Vec::new(),
    };
    let mut ini = Ini::of(args, check.system)?;
    let mut would = String::new();
    let mut changes = Map::new();
    for name in names {
        match ini.remove_section(&name) {
            Some(was) => {
                would.push_str(&format!("Deleted section {name}.\n"));
                changes.insert(name, was);
            }
            None => would.push_str(&format!("Section {name} does not exist.\n")),
        }
    }
    if would.is_empty() {
        "No changes detected.".clone_into(&mut would);
    }
    let differs = !changes.is_empty();
    Ok(plan(ini, changes, "No anomaly detected", would, differs))
}
