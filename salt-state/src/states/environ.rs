//! `environ.setenv`: variables of the minion's own environment.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "environ.setenv",
        "setenv(name, value, false_unsets=False, clear_all=False, update_minion=False, permanent=False)",
        "Sets a variable, or several with a mapping as `value`. false_unsets: a false value takes the variable away; clear_all: and so does not being named.",
        setenv,
    );
}

fn variable(system: &dyn Observe, name: &str) -> Option<String> {
    system
        .env(name)
        .map(|value| value.to_string_lossy().into_owned())
}

fn setenv(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let name = args.text("name")?;
    let wanted = match args.get("value") {
        Some(Value::Map(map)) => map.clone(),
        Some(value @ (Value::Str(_) | Value::Bool(false))) => Map::from([(name, value.clone())]),
        _ => {
            return Ok(Plan::fail("Environ value must be string, dict or False"));
        }
    };
    let unsets = args.is_true("false_unsets");
    let mut changes = Changes::none();
    for (key, value) in &wanted {
        let key = python::str(key);
        let there = variable(check.system, &key);
        match value {
            Value::Bool(false) if unsets => {
                if there.is_some() {
                    changes.insert(key, Value::Null);
                }
            }
            Value::Bool(false) => {
                if there.as_deref() != Some("") {
                    changes.insert(key, "");
                }
            }
            Value::Str(text) => {
                if there.as_deref() != Some(text) {
                    changes.insert(key, text.as_str());
                }
            }
            other => {
                changes.insert(key, other.clone());
            }
        }
    }
    let mut cleared = Vec::new();
    if args.is_true("clear_all") {
        for (key, _) in check.system.environment() {
            let key = key.to_string_lossy().into_owned();
            if !wanted.contains_key(&key) {
                changes.insert(key.as_str(), if unsets { Value::Null } else { "".into() });
                cleared.push(key);
            }
        }
    }
    if changes.is_empty() {
        let when = "Environ values are already set with the correct values";
        return Ok(
            Plan::unchanged("Environ values were already set with the correct values")
                .when_testing(when),
        );
    }
    // Values that are no text cannot be set; Salt tries and fails.
    let odd = changes
        .values()
        .any(|value| !matches!(value, Value::Str(_) | Value::Null));
    let applied = changes.clone();
    Ok(
        Plan::change("Environ values were set", changes, move |context| {
            if odd {
                return Ok(Done::with_comment("Failed to set environ variables").result(false));
            }
            for (key, value) in applied.iter() {
                let key = python::str(key);
                let value = value.as_str().map(std::ffi::OsStr::new);
                context.system.set_env(key.as_ref(), value);
            }
            Ok(Done::as_planned())
        })
        .when_testing("Environ values will be changed")
        .test_result(true),
    )
}
