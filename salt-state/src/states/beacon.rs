//! `beacon.*`: what the minion watches.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::beacons::difference;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "beacon.present",
        "present(name, save=False, **kwargs)",
        "Makes sure that a beacon is configured as written. save: also in its file.",
        present,
    );
    registry.add_state(
        "beacon.absent",
        "absent(name, save=False, **kwargs)",
        "Makes sure that a beacon is not configured. save: also in its file.",
        absent,
    );
    registry.add_state(
        "beacon.enabled",
        "enabled(name, **kwargs)",
        "Makes sure that a beacon looks.",
        |args, check| switched(args, check, true),
    );
    registry.add_state(
        "beacon.disabled",
        "disabled(name, **kwargs)",
        "Makes sure that a beacon does not look.",
        |args, check| switched(args, check, false),
    );
}

fn current(check: &Check<'_>) -> Result<Map, CallError> {
    let known = check.query("beacons.list", &Args::new().keyword("return_yaml", false))?;
    let missing =
        || CallError::exception("TypeError", "argument of type 'NoneType' is not iterable");
    known.as_map().cloned().ok_or_else(missing)
}

/// The beacon's own keywords as the list of mappings that it is configured with.
fn stated(args: &Args) -> Value {
    let mut keywords = args.clean_keywords();
    for key in ["name", "save", "test", "__id__", "__sls__", "__env__"] {
        keywords.remove(key);
    }
    if let Some(data @ Value::List(_)) = keywords.get("beacon_data") {
        return data.clone();
    }
    keywords
        .into_iter()
        .map(|(key, value)| Value::from(Map::from([(key, value)])))
        .collect()
}

/// Calls an execution function, whose refusal is the state's.
fn carry(
    function: &str,
    args: &Args,
    saves: bool,
    name: &str,
    comment: &str,
    context: &Context<'_>,
) -> Result<Done, CallError> {
    let said = context.registry.call(function, args, context)?;
    if !said.get("result").is_some_and(Value::is_true) {
        let comment = said.get("comment").map(python::str).unwrap_or_default();
        return Ok(Done::failed(comment).changes(Changes::none()));
    }
    if !saves {
        return Ok(Done::as_planned());
    }
    context
        .registry
        .call("beacons.save", &Args::new(), context)?;
    Ok(Done::with_comment(format!(
        "{comment}\nBeacon {name} saved"
    )))
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let (name, saves) = (args.text("name")?, args.is_true("save"));
    let data = stated(args);
    let known = current(check)?;
    let (function, said, would, changes) = match known.get(&name) {
        Some(old) if *old == data => {
            return Ok(Plan::unchanged(format!("Job {name} in correct state")));
        }
        Some(old) => (
            "beacons.modify",
            format!("Modifying {name} in beacons"),
            format!("Beacon: {name} would be modified."),
            Changes::of("diff", difference(old, &data)),
        ),
        None => (
            "beacons.add",
            format!("Adding {name} to beacons"),
            format!("Beacon: {name} would be added."),
            Changes::none(),
        ),
    };
    let asked = Args::new().with(name.as_str()).with(data);
    let rehearsed = check.query(function, &asked.clone().keyword("test", true))?;
    if !rehearsed.get("result").is_some_and(Value::is_true) {
        let comment = rehearsed.get("comment").map(python::str);
        return Ok(Plan::fail(comment.unwrap_or_default()));
    }
    Ok(Plan::change(said.clone(), changes, move |context| {
        carry(function, &asked, saves, &name, &said, context)
    })
    .when_testing(would)
    .test_result(true))
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let (name, saves) = (args.text("name")?, args.is_true("save"));
    if !current(check)?.contains_key(&name) {
        return Ok(Plan::unchanged(format!("{name} not configured in beacons")));
    }
    let said = format!("Removed {name} from beacons");
    let would = format!("Beacon: {name} would be deleted.");
    let asked = Args::new().with(name.as_str());
    // Salt names no changes.
    Ok(Plan::change(said.clone(), Changes::none(), move |context| {
        carry("beacons.delete", &asked, saves, &name, &said, context)
    })
    .when_testing(would)
    .test_result(true))
}

fn switched(args: &Args, check: &Check<'_>, enabled: bool) -> Answer {
    let name = args.text("name")?;
    let (missing, said, would, function) = if enabled {
        (
            format!("{name} not a configured beacon"),
            format!("Enabled {name} from beacons"),
            format!("Beacon {name} would be enabled."),
            "beacons.enable_beacon",
        )
    } else {
        (
            format!("Job {name} is not configured."),
            format!("Disabled beacon {name}."),
            "Beacons would be disabled.".to_owned(),
            "beacons.disable_beacon",
        )
    };
    if !current(check)?.contains_key(&name) {
        return Ok(Plan::unchanged(missing));
    }
    let asked = Args::new().with(name.as_str());
    Ok(Plan::change(said.clone(), Changes::none(), move |context| {
        carry(function, &asked, false, &name, &said, context)
    })
    .when_testing(would)
    .test_result(true))
}
