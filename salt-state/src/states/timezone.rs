//! `timezone.system`: the machine's time zone.

use crate::args::Args;
use crate::functions::timezone as tools;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "timezone.system",
        "system(name, utc=True)",
        "Makes sure that the machine is in a time zone and what its clock has.",
        system,
    );
}

fn system(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let name = args.text("name")?;
    let call = Args::new().keyword("timezone", name.clone());
    let is_zone = match check.query("timezone.zone_compare", &call) {
        Ok(answer) => answer.is_true(),
        Err(error @ CallError::Invocation(_)) => {
            return Ok(Plan::fail(format!(
                "Unable to compare desired timezone '{name}' to system timezone: {error}"
            )));
        }
        Err(error) => return Err(error),
    };
    let wants_utc = args.is_true("utc");
    // What somebody says who does not want UTC is left alone.
    let clock = check.query("timezone.get_hwclock", &Args::new())?;
    let is_clock = !wants_utc || clock.as_str() != Some("localtime");
    if is_zone && is_clock {
        let tail = if wants_utc {
            format!(", UTC already set to {name}")
        } else {
            String::new()
        };
        return Ok(Plan::unchanged(format!(
            "Timezone {name} already set{tail}"
        )));
    }
    let (mut said, mut would) = (Vec::new(), Vec::new());
    let mut changes = Changes::none();
    if !is_zone {
        said.push(format!("Set timezone {name}"));
        would.push(format!("Timezone {name} needs to be set"));
        changes = changes.with("timezone", name.clone());
    }
    if !is_clock {
        said.push(format!(
            "Set UTC to {}",
            crate::python::str(&wants_utc.into())
        ));
        would.push("UTC needs to be set to True".to_owned());
        changes = changes.with("utc", true);
    }
    let plan = Plan::change(said.join(", "), changes, move |context| {
        if !is_zone && tools::set_zone(context, &name)? != true.into() {
            return Ok(Done::failed(format!("Failed to set timezone {name}")));
        }
        if !is_clock && !tools::set_hardware_clock(context, "UTC")? {
            return Ok(Done::failed("Failed to set UTC to True"));
        }
        Ok(Done::as_planned())
    });
    Ok(plan
        .when_testing(would.join(", "))
        .test_changes(Changes::none()))
}
