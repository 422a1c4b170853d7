//! `alias.*`: who gets the mail for a name.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::functions::aliases as tools;
use crate::plan::{Changes, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "alias.present",
        "present(name, target)",
        "Makes sure that somebody gets the mail for a name.",
        present,
    );
    registry.add_state(
        "alias.absent",
        "absent(name)",
        "Makes sure that nobody gets the mail for a name.",
        absent,
    );
}

fn place(check: &Check<'_>) -> PathBuf {
    Path::new(check.setting("aliases.file").unwrap_or("/etc/aliases")).to_owned()
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let wanted = tools::wanted(args)?;
    if tools::has(check.system, &place(check), &name, &wanted)? {
        return Ok(Plan::unchanged(format!("Alias {name} already present")));
    }
    let shown = python::str(&wanted);
    Ok(Plan::change(
        format!("Set email alias {name} -> {shown}"),
        Changes::of("alias", name.as_str()),
        {
            let name = name.clone();
            move |context| tools::set(context, &name, &wanted)
        },
    )
    .when_testing(format!("Alias {name} -> {shown} is set to be added"))
    .test_changes(Changes::none()))
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !tools::is_there(check.system, &place(check), &name)? {
        return Ok(Plan::unchanged(format!("Alias {name} already absent")));
    }
    Ok(Plan::change(
        format!("Removed alias {name}"),
        Changes::of("alias", name.as_str()),
        {
            let name = name.clone();
            move |context| tools::remove(context, &name)
        },
    )
    .when_testing(format!("Alias {name} is set to be removed"))
    .test_changes(Changes::none()))
}
