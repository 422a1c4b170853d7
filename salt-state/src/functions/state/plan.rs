//! `state.plan` writes down what a run would change, exactly; `state.apply plan=FILE`
//! brings that about, unless the machine or the tree has changed in between.
//!
//! A plan is JSON: the call it was made with, the chunks, and for each what it would come
//! to. Before anything is applied all of that is made anew and compared, so that what
//! somebody has looked at is what happens.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::compile::Chunk;
use crate::context::Context;
use crate::engine::Report;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::render::json;
use crate::system::WriteOptions;

/// The layout of the file.
const LAYOUT: i64 = 1;

/// What a run has to do with plans.
pub(super) enum Planning {
    /// Nothing.
    None,
    /// Write one, change nothing.
    Write(PathBuf, Map),
    /// Keep to this one, from that file.
    Follow(PathBuf, Map),
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.plan",
        "plan(mods=None, plan=None, **kwargs)",
        "Writes a plan of what state.apply would change into the file `plan` (default: state.plan in the cache directory) and shows it. `state.apply plan=FILE` applies it.",
        |args, context| {
            let path = args.optional_text("plan").map_or_else(
                || {
                    let cache = context.setting("cachedir");
                    Path::new(cache.unwrap_or("/var/cache/salt/minion")).join("state.plan")
                },
                PathBuf::from,
            );
            let mut call = Map::new();
            if let Some(mods) = args.given("mods") {
                call.insert("mods", mods.clone());
            }
            call.extend(args.clean_keywords());
            call.remove("test");
            super::run::planned(args, context, Planning::Write(path, call))
        },
    );
    registry.outputter("state.plan", "highstate");
}

/// The call that a plan file was made with, and the plan.
pub(super) fn read(path: &Path, context: &Context<'_>) -> Result<(Args, Map), CallError> {
    let shown = path.display();
    let text = context
        .system
        .text(path)?
        .ok_or_else(|| CallError::execution(format!("There is no plan at {shown}")))?;
    let refused = |what: &str| CallError::execution(format!("{shown} is no plan: {what}"));
    let node = json::parse(&text, 0).map_err(|error| refused(&error.to_string()))?;
    let Value::Map(plan) = node.to_value() else {
        return Err(refused("it is not a mapping"));
    };
    if plan.get("salt_plan").and_then(Value::as_int) != Some(LAYOUT) {
        return Err(refused("its layout is not known here"));
    }
    if plan.str("id") != Some(&context.minion.id) {
        return Err(CallError::execution(format!(
            "The plan at {shown} was made for the minion {}",
            plan.str("id").unwrap_or_default()
        )));
    }
    let mut args = Args::new();
    if let Some(Value::Map(call)) = plan.get("call") {
        for (key, value) in call {
            args = args.keyword(&python::str(key), value.clone());
        }
    }
    Ok((args, plan))
}

/// Writes a plan; only its owner can read it, since contents of files are in it.
pub(super) fn write(
    path: &Path,
    call: &Map,
    chunks: &[Chunk],
    report: &Report,
    context: &Context<'_>,
) -> Result<(), CallError> {
    let plan = Map::from([
        ("salt_plan", Value::Int(LAYOUT)),
        ("id", context.minion.id.as_str().into()),
        ("call", call.clone().into()),
        ("chunks", lows(chunks)),
        ("states", endings(report)),
        ("places", places(report)),
    ]);
    if let Some(parent) = path.parent() {
        context.system.create_dir_all(parent, 0o755)?;
    }
    let text = json::dump(&plan.into()) + "\n";
    let options = WriteOptions::new().mode(0o600);
    context.system.write(path, text.as_bytes(), &options)?;
    Ok(())
}

fn lows(chunks: &[Chunk]) -> Value {
    chunks
        .iter()
        .map(|chunk| Value::Map(chunk.low.clone()))
        .collect()
}

/// What each state would come to, without what differs from run to run.
fn endings(report: &Report) -> Value {
    report
        .entries
        .iter()
        .map(|(tag, entry)| {
            let part = |key| entry.get(key).cloned().unwrap_or_default();
            Value::Map(Map::from([
                ("tag", Value::from(tag.as_str())),
                ("result", part("result")),
                ("changes", part("changes")),
            ]))
        })
        .collect()
}

/// Where the run would write; a directory that became a link leads elsewhere.
fn places(report: &Report) -> Value {
    report
        .places
        .iter()
        .map(|place| Value::from(place.to_string_lossy().into_owned()))
        .collect()
}

/// The first place that would be written to and was not to be, or the other way about.
pub(super) fn other_places(plan: &Map, report: &Report) -> Option<String> {
    let wanted = plan.get("places").and_then(Value::as_list)?;
    let now = places(report);
    let now = now.as_list().unwrap_or_default();
    if let Some(new) = now.iter().find(|place| !wanted.contains(place)) {
        return Some(format!("it would write in {}", python::str(new)));
    }
    let gone = wanted.iter().find(|place| !now.contains(place))?;
    Some(format!("it would not write in {}", python::str(gone)))
}

/// The first thing in which the tree is not what the plan was made of.
pub(super) fn other_states(plan: &Map, chunks: &[Chunk]) -> Option<String> {
    let wanted = plan
        .get("chunks")
        .and_then(Value::as_list)
        .unwrap_or_default();
    for (at, chunk) in chunks.iter().enumerate() {
        let now = Value::Map(chunk.low.clone());
        match wanted.get(at) {
            Some(then) if json::dump(then) == json::dump(&now) => {}
            Some(then) => {
                let what = if name_of(then) == name_of(&now) {
                    "has other arguments".to_owned()
                } else {
                    format!("stands where {} was", name_of(then))
                };
                return Some(format!("{} {what}", name_of(&now)));
            }
            None => return Some(format!("{} is new", name_of(&now))),
        }
    }
    wanted
        .get(chunks.len())
        .map(|gone| format!("{} is gone", name_of(gone)))
}

fn name_of(low: &Value) -> String {
    let part = |key| low.get(key).map(python::str).unwrap_or_default();
    format!("{}.{} {}", part("state"), part("fun"), part("__id__"))
}

/// The first state that would not come to what the plan says.
pub(super) fn other_endings(plan: &Map, report: &Report) -> Option<String> {
    let wanted = plan
        .get("states")
        .and_then(Value::as_list)
        .unwrap_or_default();
    let now = endings(report);
    let now = now.as_list().unwrap_or_default();
    let shown = |ending: &Value| {
        let part = |key| ending.get(key).cloned().unwrap_or_default();
        format!(
            "result {}, changes {}",
            python::str(&part("result")),
            json::dump(&part("changes"))
        )
    };
    for (then, now) in wanted.iter().zip(now) {
        if json::dump(then) == json::dump(now) {
            continue;
        }
        let tag = now.get("tag").map(python::str).unwrap_or_default();
        let parts: Vec<&str> = tag.split("_|-").collect();
        let name = match parts.as_slice() {
            [state, id, _, function] => format!("{state}.{function} {id}"),
            _ => tag.clone(),
        };
        return Some(format!(
            "{name}: {} was planned, now {}",
            shown(then),
            shown(now)
        ));
    }
    (wanted.len() != now.len()).then(|| "there are other states".to_owned())
}
