//! `keyboard.*`: the layout of the keyboard.

use crate::args::Args;
use crate::functions::keyboard as tools;
use crate::plan::{Changes, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "keyboard.system",
        "system(name)",
        "Makes sure that the console has a keyboard layout.",
        |args, check| {
            let (name, now) = (args.text("name")?, tools::on_console(check.system)?);
            if now == name {
                return Ok(Plan::unchanged(format!("System layout {name} already set")));
            }
            Ok(Plan::change(
                format!("Set system keyboard layout {name}"),
                Changes::of("layout", name.as_str()),
                {
                    let name = name.clone();
                    move |context| tools::set_on_console(context, &name)
                },
            )
            .when_testing(format!("System layout {name} needs to be set"))
            .test_changes(Changes::none()))
        },
    );
    registry.add_state(
        "keyboard.xorg",
        "xorg(name)",
        "Makes sure that X has a keyboard layout.",
        xorg,
    );
}

fn xorg(args: &Args, check: &Check<'_>) -> Answer {
    let (name, now) = (args.text("name")?, tools::under_x(check.system)?);
    if now == name {
        return Ok(Plan::unchanged(format!("XOrg layout {name} already set")));
    }
    Ok(Plan::change(
        format!("Set XOrg keyboard layout {name}"),
        Changes::of("layout", name.as_str()),
        {
            let name = name.clone();
            move |context| tools::set_under_x(context, &name)
        },
    )
    .when_testing(format!("XOrg layout {name} needs to be set"))
    .test_changes(Changes::none()))
}
