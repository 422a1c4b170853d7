//! `locale.*`: the language of a machine.

use crate::args::Args;
use crate::functions::locale as tools;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "locale.present",
        "present(name)",
        "Makes sure that a locale is generated.",
        present,
    );
    registry.add_state(
        "locale.system",
        "system(name)",
        "Makes sure that the system speaks a language.",
        system,
    );
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if tools::is_available(check.system, &name) {
        return Ok(Plan::unchanged(format!("Locale {name} is already present")));
    }
    let would = format!("Locale {name} needs to be generated");
    Ok(Plan::change(
        format!("Generated locale {name}"),
        Changes::of("locale", name.as_str()),
        move |context| {
            Ok(if tools::generate(context, &name)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to generate locale {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn system(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    match tools::current(check.system) {
        Ok(current) if current == name => {
            return Ok(Plan::unchanged(format!("System locale {name} already set")));
        }
        Ok(_) => {}
        Err(error) => {
            return Ok(Plan::fail(format!(
                "Failed to get the current system locale: {error}"
            )));
        }
    }
    let would = format!("System locale {name} needs to be set");
    Ok(Plan::change(
        format!("Set system locale {name}"),
        Changes::of("locale", name.as_str()),
        move |context| {
            Ok(if tools::set(context, &name)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to set system locale to {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
