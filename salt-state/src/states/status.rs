//! `status.*`: how busy a machine is, and what runs.

use salt_proto::Value;

use crate::args::Args;
use crate::functions::status::processes;
use crate::plan::Plan;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "status.loadavg",
        "loadavg(name, maximum=None, minimum=None)",
        "Whether the load is within bounds.",
        loadavg,
    );
    registry.add_state(
        "status.process",
        "process(name)",
        "Whether there is a process with a text in its command line.",
        |args, check| {
            let name = args.text("name")?;
            Ok(if processes(check.system, &name).is_empty() {
                Plan::fail(format!("Process signature \"{name}\" not found "))
            } else {
                Plan::unchanged(format!("Process signature \"{name}\" was found "))
            })
        },
    );
}

/// A bound, stated as text or a number.
fn bound(args: &Args, key: &str) -> Result<Option<(String, f64)>, CallError> {
    let Some(value) = args.given(key).filter(|value| value.is_true()) else {
        return Ok(None);
    };
    let text = python::str(value);
    match text.trim().parse() {
        Ok(number) => Ok(Some((text, number))),
        Err(_) => Err(CallError::exception(
            "ValueError",
            format!(
                "could not convert string to float: {}",
                python::repr_str(&text)
            ),
        )),
    }
}

fn loadavg(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let all = check.query("status.loadavg", &Args::new())?;
    let load = match all.get(&name) {
        Some(Value::Float(load)) => *load,
        #[expect(clippy::cast_precision_loss, reason = "a load is a small number")]
        Some(Value::Int(load)) => *load as f64,
        _ => {
            return Ok(Plan::fail(format!(
                "Requested load average {name} not available "
            )));
        }
    };
    let (minimum, maximum) = (bound(args, "minimum")?, bound(args, "maximum")?);
    if let (Some((_, minimum)), Some((_, maximum))) = (&minimum, &maximum)
        && minimum >= maximum
    {
        return Ok(Plan::fail("Min must be less than max"));
    }
    let shown = python::float(load);
    if let Some((text, _)) = minimum.filter(|(_, minimum)| load < *minimum) {
        return Ok(Plan::fail(format!(
            "Load avg is below minimum of {text} at {shown}"
        )));
    }
    if let Some((text, _)) = maximum.filter(|(_, maximum)| load > *maximum) {
        return Ok(Plan::fail(format!(
            "Load avg above maximum of {text} at {shown}"
        )));
    }
    Ok(Plan::unchanged("Load avg in acceptable range"))
}
