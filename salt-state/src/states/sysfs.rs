//! `sysfs.present`: what an attribute of the kernel is.

use crate::args::Args;
use crate::functions::sysfs as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "sysfs.present",
        "present(name, value, config=None)",
        "Makes sure that an attribute below /sys has a value. config is not used, as with\n\
         Salt.",
        present,
    );
}

fn present(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let name = args.text("name")?;
    let value = args.get("value").cloned().unwrap_or_default();
    if tools::is_directory(check.system, &name) {
        return Ok(Plan::fail(format!("{name} is not a SysFS attribute.")));
    }
    let current = tools::attribute(check.system, &name);
    if tools::is_refused(&current) {
        return Ok(Plan::fail(format!("SysFS attribute {name} doesn't exist.")));
    }
    if current == value {
        return Ok(Plan::unchanged(format!(
            "SysFS attribute {name} is already set."
        )));
    }
    let would = format!("SysFS attribute {name} set to be changed.");
    let comment = format!("Updated SysFS attribute {name} to {}", python::str(&value));
    let changes = Changes::of(&name, value.clone());
    Ok(Plan::change(comment, changes, move |context| {
        // Nothing is no value that could be set.
        let done = !value.is_null() && tools::write(context, &name, &value);
        Ok(if done {
            Done::as_planned()
        } else {
            Done::failed(format!("Failed to set {name} to {}", python::str(&value)))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
