//! `logrotate.set`: the configuration of logrotate.

use salt_proto::Value;

use crate::args::Args;
use crate::functions::logrotate as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "logrotate.set",
        "set(name, key, value, setting=None, conf_file='/etc/logrotate.conf')",
        "Makes sure that logrotate is configured by a line, or a line of a block.",
        set,
    );
}

fn converted(value: &Value) -> Value {
    match value {
        Value::Str(text) => tools::converted(text),
        other => other.clone(),
    }
}

fn set(args: &Args, check: &Check<'_>) -> Answer {
    let (key, config) = (args.text("key")?, args.text("conf_file")?);
    let value = args.get("value").map(converted).unwrap_or_default();
    let setting = args.given("setting").map(converted);
    let all = tools::parsed(check.system, &config)?;
    let line = all.get(&key);
    let (old, new) = match &setting {
        Some(setting) => {
            let block = line.and_then(Value::as_map);
            let old = block.and_then(|block| block.get(&python::str(&value)));
            (old, setting)
        }
        None => (line, &value),
    };
    let old = old.cloned().unwrap_or(Value::Bool(false));
    let shown = python::str(new);
    let what = match &setting {
        Some(_) => format!("block '{key}' command '{}'", python::str(&value)),
        None => format!("command '{key}'"),
    };
    // `Block …` or `Command …`, at the beginning of a comment.
    let begun = match &setting {
        Some(_) => format!("Block '{key}' command '{}'", python::str(&value)),
        None => format!("Command '{key}'"),
    };
    if old == *new {
        return Ok(Plan::unchanged(format!(
            "{begun} already has value: {shown}"
        )));
    }
    let would = format!("{begun} will be set to value: {shown}");
    let changes = Changes::none().with("old", old).with("new", new.clone());
    Ok(Plan::change(
        format!("Set {what} value: {shown}"),
        changes,
        move |context| {
            Ok(if tools::set(context, &key, value, setting, &config)? {
                Done::as_planned()
            } else {
                Done::as_planned()
                    .comment(format!("Unable to set {what} value: {shown}"))
                    .result(Some(false))
            })
        },
    )
    .when_testing(would))
}
