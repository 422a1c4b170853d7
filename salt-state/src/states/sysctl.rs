//! `sysctl.present`: parameters of the kernel.

use std::path::PathBuf;

use crate::args::Args;
use crate::functions::sysctl as tools;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "sysctl.present",
        "present(name, value, config=None)",
        "Makes sure that a parameter of the kernel has a value, now and after a boot.",
        present,
    );
}

fn present(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let name = args.text("name")?;
    let value = args.text("value")?;
    let stated = args.get("value").cloned().unwrap_or_default();
    let config = args
        .optional_text("config")
        .filter(|config| !config.is_empty());
    let config =
        PathBuf::from(config.unwrap_or_else(|| tools::default_config(check.system).to_owned()));
    let wanted = tools::normal(&value);
    let configured = tools::configured(check.system, &config)?
        .into_iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value);
    let is_current = tools::current(check.system, &name).as_deref() == Some(&wanted);
    let already = format!("Sysctl value {name} = {value} is already set");
    if is_current && configured.as_deref() == Some(&wanted) {
        return Ok(Plan::unchanged(already));
    }
    let plan = Plan::change(
        format!("Updated sysctl value {name} = {value}"),
        Changes::of(&name, stated),
        {
            let (name, value, already) = (name.clone(), value.clone(), already.clone());
            move |context| match tools::persist(context, &name, &value, &config) {
                Ok("Updated") => Ok(Done::as_planned()),
                Ok(_) => Ok(Done::with_comment(already).changes(Changes::none())),
                Err(error @ CallError::Execution(_)) => Ok(Done::failed(format!(
                    "Failed to set {name} to {value}: {error}"
                ))),
                Err(error) => Err(error),
            }
        },
    )
    .test_changes(Changes::none());
    Ok(match configured {
        // A dry run of Salt trusts the running kernel once the file names the parameter.
        Some(_) if is_current => plan.when_testing(already).test_result(true),
        Some(_) => plan.when_testing(format!("Sysctl option {name} would be changed to {value}")),
        None => plan.when_testing(format!("Sysctl option {name} set to be changed to {value}")),
    })
}
