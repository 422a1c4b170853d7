//! `state.disable`, `state.enable`, `state.list_disabled`: functions that are not to run
//! on this minion, kept in the grain `state_runs_disabled`.

use salt_proto::{Map, Value};

use super::names;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

const GRAIN: &str = "state_runs_disabled";

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.disable",
        "disable(states)",
        "Keeps states from running: modules, functions, globs of those, or highstate.",
        |args, context| change(args, context, true),
    );
    registry.add(
        "state.enable",
        "enable(states)",
        "Takes a state.disable back.",
        |args, context| change(args, context, false),
    );
    registry.add(
        "state.list_disabled",
        "list_disabled()",
        "Lists what is kept from running.",
        |_, context| Ok(disabled(context).into_iter().collect()),
    );
}

fn disabled(context: &Context<'_>) -> Vec<String> {
    match context.minion.grains.get(GRAIN) {
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        _ => Vec::new(),
    }
}

fn change(args: &Args, context: &Context<'_>, disable: bool) -> Answer {
    let mut list = disabled(context);
    let mut said = Vec::new();
    let before = list.clone();
    for name in names(args.get("states")) {
        let name = python::str(&name);
        let known = list.contains(&name);
        let (word, already) = if disable {
            ("disabled", known)
        } else {
            ("enabled", !known)
        };
        if already {
            said.push(format!("Info: {name} state already {word}."));
            continue;
        }
        if disable {
            list.push(name.clone());
        } else {
            list.retain(|known| *known != name);
        }
        said.push(format!("Info: {name} state {word}."));
    }
    if list != before {
        let value: Value = list.into_iter().collect();
        let args = Args::new().with(GRAIN).with(value);
        context.registry.call("grains.setval", &args, context)?;
    }
    Ok(Map::from([("res", Value::Bool(true)), ("msg", said.join("\n").into())]).into())
}

/// What is returned in place of a run of SLS that are kept from running. Several in one text
/// are not looked at one by one.
pub(super) fn refused_sls(mods: Option<&Value>, context: &Context<'_>) -> Option<Value> {
    let off = disabled(context);
    if off.is_empty() {
        return None;
    }
    let given: Vec<String> = match mods {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(one) => vec![python::str(one)],
        None => Vec::new(),
    };
    let refused: Vec<Value> = given
        .iter()
        .filter(|name| off.contains(name))
        .map(|name| {
            format!("The state file \"{name}\" is currently disabled, to re-enable, run state.enable {name}.")
                .into()
        })
        .collect();
    (!refused.is_empty()).then_some(Value::List(refused))
}

/// What a whole function returns that is kept from running.
pub(super) fn refusal(function: &str, context: &Context<'_>) -> Option<Value> {
    disabled(context)
        .iter()
        .any(|name| name == function)
        .then(|| {
            let text = format!(
                "Salt {function} run is disabled. To re-enable, run state.enable {function}"
            );
            Map::from([
                ("name", Value::from(text)),
                ("result", "False".into()),
                ("comment", "Disabled".into()),
            ])
            .into()
        })
}
