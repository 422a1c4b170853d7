//! `schedule.*`: the minion's own jobs.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::schedule::item;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "schedule.present",
        "present(name, **kwargs)",
        "Makes sure that a job is scheduled as written. job_args, job_kwargs: what the function is called with.",
        present,
    );
    registry.add_state(
        "schedule.absent",
        "absent(name, **kwargs)",
        "Makes sure that a job is not scheduled.",
        absent,
    );
    registry.add_state(
        "schedule.enabled",
        "enabled(name, **kwargs)",
        "Makes sure that a job of the schedule runs.",
        |args, check| switched(args, check, true),
    );
    registry.add_state(
        "schedule.disabled",
        "disabled(name, **kwargs)",
        "Makes sure that a job of the schedule does not run.",
        |args, check| switched(args, check, false),
    );
}

/// The item of that name, as it is now.
fn current(name: &str, offline: bool, check: &Check<'_>) -> Result<Option<Map>, CallError> {
    let asked = Args::new()
        .keyword("show_all", true)
        .keyword("return_yaml", false)
        .keyword("offline", offline);
    let items = check.query("schedule.list", &asked)?;
    Ok(items.get(name).and_then(Value::as_map).cloned())
}

/// The keywords of an item, without those of the state itself.
fn keywords(args: &Args) -> Map {
    let mut keywords = args.clean_keywords();
    for key in ["name", "test", "__id__", "__sls__", "__env__"] {
        keywords.remove(key);
    }
    keywords
}

/// Calls an execution function, whose refusal is the state's.
fn carry(
    function: &str,
    name: &str,
    keywords: &Map,
    context: &crate::context::Context<'_>,
) -> Result<Done, CallError> {
    let mut args = Args::new().with(name);
    args.keywords = keywords.clone();
    let said = context.registry.call(function, &args, context)?;
    if said.get("result").is_some_and(Value::is_true) {
        return Ok(Done::as_planned());
    }
    let comment = said.get("comment").map(python::str).unwrap_or_default();
    Ok(Done::failed(comment).changes(Changes::none()))
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let mut keywords = keywords(args);
    let offline = keywords.get("offline").is_some_and(Value::is_true);
    let old = current(&name, offline, check)?;
    if let (Some(old), false) = (&old, keywords.contains_key("function")) {
        keywords.insert("function", old.get("function").cloned().unwrap_or_default());
    }
    let new = match item(&name, &keywords)? {
        Ok(item) => item,
        Err(refused) => {
            let refused = match refused.starts_with("Unable to use") {
                true => format!("Error: {refused}"),
                false => refused,
            };
            return Ok(Plan::fail(refused));
        }
    };
    let Some(old) = old else {
        let added = Changes::of(&name, "added");
        let would = format!("Job: {name} would be added to schedule.");
        let said = format!("Adding new job {name} to schedule");
        return Ok(Plan::change(said, added, move |context| {
            carry("schedule.add", &name, &keywords, context)
        })
        .when_testing(would)
        .test_result(true));
    };
    if old == new {
        return Ok(Plan::unchanged(format!("Job {name} in correct state")));
    }
    let changes = Changes::none().old_new(&name, old, new);
    let would = format!("Job: {name} would be modified in schedule.");
    let said = format!("Modifying job {name} in schedule");
    Ok(Plan::change(said, changes, move |context| {
        carry("schedule.modify", &name, &keywords, context)
    })
    .when_testing(would)
    .test_result(true))
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let keywords = keywords(args);
    let offline = keywords.get("offline").is_some_and(Value::is_true);
    if current(&name, offline, check)?.is_none() {
        return Ok(Plan::unchanged(format!(
            "Job {name} not present in schedule"
        )));
    }
    let would = format!("Job: {name} would be deleted from schedule.");
    let said = format!("Removed job {name} from schedule");
    let changes = Changes::of(&name, "removed");
    Ok(Plan::change(said, changes, move |context| {
        carry("schedule.delete", &name, &keywords, context)
    })
    .when_testing(would)
    .test_changes(Changes::none())
    .test_result(true))
}

fn switched(args: &Args, check: &Check<'_>, enabled: bool) -> Answer {
    let name = args.text("name")?;
    let keywords = keywords(args);
    let offline = keywords.get("offline").is_some_and(Value::is_true);
    if current(&name, offline, check)?.is_none() {
        return Ok(Plan::unchanged(format!(
            "Job {name} not present in schedule"
        )));
    }
    let (word, done, function) = if enabled {
        ("enabled", "Enabled", "schedule.enable_job")
    } else {
        ("disabled", "Disabled", "schedule.disable_job")
    };
    let would = format!("Job: {name} would be {word} in schedule.");
    // Salt names no changes, whether there were any or not.
    Ok(Plan::change(
        format!("{done} job {name} from schedule"),
        Changes::none(),
        move |context| carry(function, &name, &keywords, context),
    )
    .when_testing(would)
    .test_result(true))
}
