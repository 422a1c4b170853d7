//! `file.accumulated`: text that several states gather for one template.

use salt_proto::{Map, Value};

use super::Answer;
use crate::args::Args;
use crate::plan::Plan;
use crate::python;
use crate::registry::Registry;
use crate::states::Check;

/// The note under which texts are gathered: by file, then by accumulator.
const NOTE: &str = "file.accumulated";

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.accumulated",
        "accumulated(name, filename, text, **kwargs)",
        "Gathers text that the template of a managed file finds under `accumulator`.",
        accumulated,
    );
}

fn accumulated(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.accumulated"));
    }
    let text = match args.given("text") {
        None => return Ok(Plan::fail("No text supplied for accumulator")),
        Some(Value::List(all)) => all.clone(),
        Some(one) => vec![one.clone()],
    };
    let filename = args.text("filename")?;
    let mut targets = Vec::new();
    for kind in ["require_in", "watch_in"] {
        let listed = args.get(kind).or_else(|| check.low.get(kind));
        for one in listed.and_then(Value::as_list).unwrap_or_default() {
            match one {
                Value::Map(map) => targets.extend(map.get("file").cloned()),
                id => targets.push(id.clone()),
            }
        }
    }
    // Who requires this one has been told so by the compiler.
    let declared = ["require_in", "watch_in"]
        .iter()
        .any(|kind| check.low.contains_key(kind) || args.get(kind).is_some());
    if !declared {
        return Ok(Plan::fail(format!(
            "Orphaned accumulator {name} in {}:{}",
            check.low.str("__sls__").unwrap_or_default(),
            check.low.str("__id__").unwrap_or_default(),
        )));
    }
    if targets.is_empty() {
        return Ok(Plan::unchanged(""));
    }
    let mut all = match check.note(NOTE) {
        Some(Value::Map(all)) => all,
        _ => Map::new(),
    };
    let mut of_file = match all.get(&filename) {
        Some(Value::Map(of_file)) => of_file.clone(),
        _ => Map::new(),
    };
    let mut entry = match of_file.get(&name) {
        Some(Value::Map(entry)) => entry.clone(),
        _ => Map::from([
            ("for", Value::List(Vec::new())),
            ("text", Value::List(Vec::new())),
        ]),
    };
    let mut is_new = false;
    for (key, more) in [("for", targets), ("text", text)] {
        let mut held = entry
            .get(key)
            .and_then(Value::as_list)
            .unwrap_or_default()
            .to_vec();
        for one in more {
            if !held.contains(&one) {
                is_new |= key == "text";
                held.push(one);
            }
        }
        entry.insert(key, Value::List(held));
    }
    of_file.insert(name.as_str(), entry);
    all.insert(filename.as_str(), of_file);
    check.set_note(NOTE, all);
    if !is_new {
        return Ok(Plan::unchanged(""));
    }
    Ok(Plan::unchanged(format!(
        "Accumulator {name} for file {filename} was charged by text"
    )))
}

/// What was gathered for a file and may be used by the state that asks.
pub(super) fn gathered(filename: &str, check: &Check<'_>) -> Option<Map> {
    let all = check.note(NOTE)?;
    let of_file = all.get(filename)?.as_map()?;
    let id = check.low.get("__id__").map(python::str).unwrap_or_default();
    let mut found = Map::new();
    for (name, entry) in of_file {
        let named = entry
            .get("for")
            .and_then(Value::as_list)
            .unwrap_or_default();
        let is_for = named.iter().any(|one| {
            let one = python::str(one);
            one == id || one == filename
        });
        if is_for {
            let text = entry.get("text").cloned().unwrap_or_default();
            found.insert(name.clone(), text);
        }
    }
    (!found.is_empty()).then_some(found)
}
