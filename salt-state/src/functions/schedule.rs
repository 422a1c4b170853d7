//! `schedule.*`: the minion's own jobs.
//!
//! With a daemon around it, a function changes the daemon's
//! [`Scheduler`](crate::Scheduler) and saves what it holds. Without one it can only
//! answer as Salt's does when nobody listens, except with `offline=True`, which reads and
//! writes the file alone.

use std::path::PathBuf;

use salt_proto::{Map, Value};

use super::publish;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::scheduler::{self, Origin, Scheduler, TIME_FORMAT};
use crate::system::WriteOptions;
use crate::yaml::{self, DumpOptions};

type Answer = Result<Value, CallError>;

/// What else an item may state, in the order in which it is shown.
const FURTHER: [&str; 15] = [
    "range",
    "when",
    "once",
    "once_fmt",
    "cron",
    "returner",
    "after",
    "return_config",
    "return_kwargs",
    "until",
    "run_on_start",
    "skip_during_range",
    "return_job",
    "metadata",
    "splay",
];

/// What a running minion keeps with an item and does not show.
const HIDDEN: [&str; 3] = ["run", "skip_explicit", "run_explicit"];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "schedule.add",
        "add(name, **kwargs)",
        "Adds a job to the schedule. offline: only to the saved one; persist: save it, default true; test: only say what would be done.",
        add_job,
    );
    add(
        "schedule.build_schedule_item",
        "build_schedule_item(name, **kwargs)",
        "Returns the item that schedule.add would add.",
        |args, _| match item(&args.text("name")?, &args.clean_keywords())? {
            Ok(item) => Ok(item.into()),
            Err(refused) => Ok(answer(false, &refused, None)),
        },
    );
    add(
        "schedule.copy",
        "copy(name, target, **kwargs)",
        "Adds a job of this minion to the schedules of others.",
        |args, context| hand_over(args, false, context),
    );
    add(
        "schedule.delete",
        "delete(name, **kwargs)",
        "Takes a job out of the schedule.",
        delete,
    );
    add(
        "schedule.disable",
        "disable(**kwargs)",
        "Lets no job of the schedule run.",
        |args, context| switch(args, false, context),
    );
    add(
        "schedule.disable_job",
        "disable_job(name, **kwargs)",
        "Lets a job of the schedule not run.",
        |args, context| switch_job(args, false, context),
    );
    add(
        "schedule.enable",
        "enable(**kwargs)",
        "Lets the jobs of the schedule run.",
        |args, context| switch(args, true, context),
    );
    add(
        "schedule.enable_job",
        "enable_job(name, **kwargs)",
        "Lets a job of the schedule run.",
        |args, context| switch_job(args, true, context),
    );
    add(
        "schedule.is_enabled",
        "is_enabled(name=None)",
        "Returns a job of the schedule; without a name, whether the schedule runs.",
        |args, context| {
            let items = current(context);
            Ok(match args.optional_text("name") {
                Some(name) => shown(&items, &name).unwrap_or_default().into(),
                None => items.get("enabled").is_none_or(Value::is_true).into(),
            })
        },
    );
    add(
        "schedule.job_status",
        "job_status(name, time_fmt='%Y-%m-%dT%H:%M:%S')",
        "Returns a job of the schedule with what is known about its runs.",
        |args, context| {
            let (name, format) = (args.text("name")?, args.text("time_fmt")?);
            Ok(match with(context, |own| own.status(&name, &format)) {
                None => Value::Null,
                Some(status) => status.unwrap_or_default().into(),
            })
        },
    );
    add(
        "schedule.list",
        "list_(show_all=False, show_disabled=True, where=None, return_yaml=True, offline=False)",
        "Returns the jobs of the schedule as YAML. where: `opts` or `pillar`; show_all: also those whose names begin with two underscores.",
        list,
    );
    add(
        "schedule.modify",
        "modify(name, **kwargs)",
        "Replaces a job of the schedule.",
        modify,
    );
    add(
        "schedule.move",
        "move(name, target, **kwargs)",
        "Adds a job of this minion to the schedules of others, and removes it here.",
        |args, context| hand_over(args, true, context),
    );
    add(
        "schedule.postpone_job",
        "postpone_job(name, current_time, new_time, **kwargs)",
        "Has one run of a job come at another time. time_fmt: how the times are written.",
        postpone,
    );
    add(
        "schedule.purge",
        "purge(**kwargs)",
        "Takes all jobs out of the schedule.",
        purge,
    );
    add(
        "schedule.reload",
        "reload_()",
        "Takes over what is saved.",
        |_, context| {
            if context.engines.is_some() {
                let saved = saved(context)?;
                with(context, |own| {
                    let mut items = own.items(Origin::Config);
                    items.extend(saved);
                    own.set_items(items);
                });
            }
            Ok(answer_list(Vec::new(), None))
        },
    );
    add(
        "schedule.run_job",
        "run_job(name, force=False)",
        "Runs a job of the schedule now. force: also when it is disabled.",
        run_job,
    );
    add(
        "schedule.save",
        "save(**kwargs)",
        "Saves the jobs of the schedule that are not the pillar's.",
        |args, context| {
            if args.is_true("test") {
                return Ok(answer(true, "Schedule would be saved.", None));
            }
            if context.engines.is_none() {
                return Ok(answer_list(Vec::new(), None));
            }
            persist(context)?;
            Ok(answer(true, "Schedule (non-pillar items) saved.", None))
        },
    );
    add(
        "schedule.show_next_fire_time",
        "show_next_fire_time(name, **kwargs)",
        "Returns when a job of the schedule is due next.",
        |args, context| {
            let name = args.text("name")?;
            let Some(next) = with(context, |own| own.next_fire_time(&name)) else {
                return Err(CallError::execution(
                    "The minion's schedule does not run here.",
                ));
            };
            let next = next.map_or(Value::Null, |at| at.iso('T').into());
            Ok(Map::from([("result", true.into()), ("next_fire_time", next)]).into())
        },
    );
    add(
        "schedule.skip_job",
        "skip_job(name, current_time, **kwargs)",
        "Has one run of a job not come. time_fmt: how the time is written.",
        skip,
    );
}

/// Asks or changes the schedule of the daemon, where there is one.
fn with<T>(context: &Context<'_>, ask: impl FnOnce(&mut Scheduler) -> T) -> Option<T> {
    let engines = context.engines?;
    let mut own = engines
        .schedule
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Some(ask(&mut own))
}

/// All items as the daemon has them; none without a daemon.
fn current(context: &Context<'_>) -> Map {
    with(context, |own| own.items(Origin::Both)).unwrap_or_default()
}

fn answer(result: bool, comment: &str, changes: Option<Map>) -> Value {
    let mut answer = Map::from([("comment", Value::from(comment)), ("result", result.into())]);
    if let Some(changes) = changes {
        answer.insert("changes", changes);
    }
    answer.into()
}

fn answer_list(comments: Vec<Value>, changes: Option<Map>) -> Value {
    let mut answer = Map::from([("comment", Value::from(comments)), ("result", true.into())]);
    if let Some(changes) = changes {
        answer.insert("changes", changes);
    }
    answer.into()
}

/// One item as it is shown; `None` if there is none.
fn shown(items: &Map, name: &str) -> Option<Map> {
    let mut item = items.get(name)?.as_map()?.clone();
    for key in HIDDEN {
        item.remove(key);
    }
    Some(item)
}

/// Builds an item out of keywords.
///
/// The outer error is an exception, the inner one a refusal.
pub(crate) fn item(name: &str, keywords: &Map) -> Result<Result<Map, String>, CallError> {
    if name.is_empty() {
        return Ok(Err("Job name is required.".to_owned()));
    }
    let given = |key: &str| keywords.get(key).filter(|value| value.is_true());
    let has_interval = ["seconds", "minutes", "hours", "days"]
        .into_iter()
        .any(|unit| keywords.contains_key(unit));
    if has_interval && (keywords.contains_key("when") || keywords.contains_key("cron")) {
        return Ok(Err(
            "Unable to use \"seconds\", \"minutes\", \"hours\", or \"days\" with \"when\" or \"cron\" options."
                .to_owned(),
        ));
    }
    if keywords.contains_key("when") && keywords.contains_key("cron") {
        return Ok(Err(
            "Unable to use \"when\" and \"cron\" options together.  Ignoring.".to_owned(),
        ));
    }
    let mut item = Map::new();
    let function = keywords
        .get("function")
        .ok_or_else(|| CallError::exception("KeyError", "'function'"))?;
    item.insert("function", function.clone());
    for unit in ["seconds", "minutes", "hours", "days", "metadata"] {
        if let Some(value) = keywords.get(unit) {
            item.insert(unit, value.clone());
        }
    }
    match keywords.get("job_args") {
        None => {}
        Some(args @ Value::List(_)) => {
            item.insert("args", args.clone());
        }
        Some(_) => {
            return Ok(Err(
                "job_args is not a list. please correct and try again.".to_owned()
            ));
        }
    }
    match keywords.get("job_kwargs") {
        None => {}
        Some(kwargs @ Value::Map(_)) => {
            item.insert("kwargs", kwargs.clone());
        }
        Some(_) => {
            return Ok(Err(
                "job_kwargs is not a dict. please correct and try again.".to_owned(),
            ));
        }
    }
    item.insert(
        "maxrunning",
        keywords
            .get("maxrunning")
            .cloned()
            .unwrap_or_else(|| 1.into()),
    );
    item.insert(
        "name",
        keywords.get("name").cloned().unwrap_or_else(|| name.into()),
    );
    let enabled = keywords.get("enabled").cloned();
    item.insert("enabled", enabled.unwrap_or_else(|| true.into()));
    let jid = keywords.get("jid_include");
    item.insert("jid_include", jid.is_none_or(Value::is_true));
    if let Some(when) = given("when") {
        let times: &[Value] = match when {
            Value::List(times) => times,
            one => std::slice::from_ref(one),
        };
        for time in times {
            if !matches!(time, Value::DateTime(_)) && !scheduler::is_when(&python::str(time)) {
                let time = python::str(time);
                return Ok(Err(format!(
                    "Schedule item {time} for \"when\" in invalid."
                )));
            }
        }
    }
    for key in FURTHER {
        if let Some(value) = keywords.get(key) {
            item.insert(key, value.clone());
        }
    }
    Ok(Ok(item))
}

fn add_job(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let keywords = args.clean_keywords();
    let offline = args.is_true("offline");
    if name.is_empty() {
        return Ok(answer(false, "Job name is required.", None));
    }
    let none = || Some(Map::new());
    let known = if offline {
        saved(context)?
    } else {
        current(context)
    };
    if known.contains_key(&name) {
        let comment = format!("Job {name} already exists in schedule.");
        return Ok(answer(false, &comment, none()));
    }
    let built = match item(&name, &keywords)? {
        Ok(item) => item,
        Err(refused) => return Ok(answer(false, &refused, none())),
    };
    if args.is_true("test") {
        let comment = format!("Job: {name} would be added to schedule.");
        return Ok(answer(true, &comment, none()));
    }
    if offline {
        let mut all = sorted_items(known);
        all.insert(name.as_str(), built);
        write(&all, context)?;
    } else {
        if with(context, |own| own.insert(&name, built)).is_none() {
            let comment = format!("Failed to add job {name} to schedule.");
            return Ok(answer(false, &comment, none()));
        }
        if persists(args) {
            persist(context)?;
        }
    }
    let comment = format!("Added job: {name} to schedule.");
    Ok(answer(true, &comment, Some(Map::from([(name, "added")]))))
}

/// `persist`, which is true unless it is said otherwise.
fn persists(args: &Args) -> bool {
    args.keywords().get("persist").is_none_or(Value::is_true)
}

fn delete(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let none = || Some(Map::new());
    if args.is_true("test") {
        let comment = format!("Job: {name} would be deleted from schedule.");
        return Ok(answer(true, &comment, none()));
    }
    if args.is_true("offline") {
        let mut all = saved(context)?;
        if all.remove(&name).is_none() {
            return Err(CallError::exception("KeyError", python::repr_str(&name)));
        }
        write(&sorted_items(all), context)?;
    } else {
        let items = current(context);
        if shown(&items, &name).is_none() {
            let comment = format!("Job {name} does not exist.");
            return Ok(answer(false, &comment, none()));
        }
        if with(context, |own| own.remove(&name)) != Some(true) {
            let comment = format!("Failed to delete job {name} from schedule.");
            return Ok(answer(false, &comment, none()));
        }
        if persists(args) {
            persist(context)?;
        }
    }
    let comment = format!("Deleted Job {name} from schedule.");
    Ok(answer(true, &comment, Some(Map::from([(name, "removed")]))))
}

fn purge(args: &Args, context: &Context<'_>) -> Answer {
    let offline = args.is_true("offline");
    let items = if offline {
        saved(context)?
    } else {
        current(context)
    };
    let names: Vec<String> = items
        .iter()
        .filter(|(_, item)| item.as_map().is_some())
        .map(|(name, _)| python::str(name))
        .filter(|name| !name.starts_with("__"))
        .collect();
    let mut said: Vec<Value> = Vec::new();
    let mut changes = Map::new();
    if args.is_true("test") {
        for name in names {
            said.push(format!("Job: {name} would be deleted from schedule.").into());
        }
        return Ok(answer_list(said, Some(changes)));
    }
    let mut kept = items;
    for name in names {
        let gone = if offline {
            kept.remove(&name).is_some()
        } else {
            with(context, |own| own.remove(&name)) == Some(true)
        };
        if gone {
            said.push(format!("Deleted job: {name} from schedule.").into());
            changes.insert(name, "removed");
        } else {
            said.push(format!("Failed to delete job {name} from schedule.").into());
        }
    }
    if offline {
        write(&sorted_items(kept), context)?;
    } else if context.engines.is_some() && persists(args) {
        persist(context)?;
    }
    Ok(answer_list(said, Some(changes)))
}

fn modify(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let mut keywords = args.clean_keywords();
    let offline = args.is_true("offline");
    let known = if offline {
        saved(context)?
    } else {
        current(context)
    };
    let none = || Some(Map::new());
    let Some(old) = shown(&known, &name) else {
        let comment = format!("Job {name} does not exist in schedule.");
        return Ok(answer(false, &comment, none()));
    };
    if !keywords.contains_key("function") {
        keywords.insert("function", old.get("function").cloned().unwrap_or_default());
    }
    let new = match item(&name, &keywords)? {
        Ok(item) => item,
        Err(refused) => return Ok(answer(false, &refused, none())),
    };
    if old == new {
        let comment = format!("Job {name} in correct state");
        return Ok(answer(true, &comment, none()));
    }
    let change = Map::from([("old", old), ("new", new.clone())]);
    let changes = Some(Map::from([(name.as_str(), change)]));
    if args.is_true("test") {
        let comment = format!("Job: {name} would be modified in schedule.");
        return Ok(answer(true, &comment, changes));
    }
    if offline {
        let mut all = known;
        all.insert(name.as_str(), new);
        write(&sorted_items(all), context)?;
    } else {
        if with(context, |own| own.is_of_pillar(&name)) == Some(true) {
            let comment = format!("Failed to modify job {name} in schedule.");
            return Ok(answer(false, &comment, none()));
        }
        with(context, |own| own.insert(&name, new));
        if persists(args) {
            persist(context)?;
        }
    }
    let comment = format!("Modified job: {name} in schedule.");
    Ok(answer(true, &comment, changes))
}

fn switch_job(args: &Args, enabled: bool, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let none = || Some(Map::new());
    let (word, done) = if enabled {
        ("enable", "Enabled")
    } else {
        ("disable", "Disabled")
    };
    if name.is_empty() {
        let comment = match context.engines {
            Some(_) => format!("Failed to {word} job  in schedule."),
            None => "Job name is required.".to_owned(),
        };
        return Ok(answer(false, &comment, none()));
    }
    if !enabled && args.is_true("test") {
        let comment = format!("Job: {name} would be disabled in schedule.");
        return Ok(answer(true, &comment, none()));
    }
    if shown(&current(context), &name).is_none() {
        let comment = format!("Job {name} does not exist.");
        return Ok(answer(false, &comment, none()));
    }
    if with(context, |own| own.set_job_enabled(&name, enabled)) != Some(true) {
        // What Salt says of a job of the pillar.
        let comment = "Event module not available. Schedule enable job failed.";
        return Ok(answer(true, comment, none()));
    }
    if persists(args) {
        persist(context)?;
    }
    let comment = format!("{done} Job {name} in schedule.");
    let changes = Map::from([(name, format!("{word}d"))]);
    Ok(answer(true, &comment, Some(changes)))
}

fn switch(args: &Args, enabled: bool, context: &Context<'_>) -> Answer {
    let word = if enabled { "enabled" } else { "disabled" };
    if args.is_true("test") {
        let comment = format!("Schedule would be {word}.");
        return Ok(answer(true, &comment, Some(Map::new())));
    }
    if with(context, |own| own.set_enabled(enabled)).is_none() {
        return Ok(answer_list(Vec::new(), Some(Map::new())));
    }
    if persists(args) {
        persist(context)?;
    }
    let comment = match enabled {
        true => "Enabled schedule on minion.",
        false => "Disabled schedule on minion.",
    };
    Ok(answer(true, comment, Some(Map::from([("schedule", word)]))))
}

fn run_job(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    if name.is_empty() {
        return Ok(answer(false, "Job name is required.", None));
    }
    let Some(item) = shown(&current(context), &name) else {
        return Ok(answer(false, &format!("Job {name} does not exist."), None));
    };
    if !item.get("enabled").is_none_or(Value::is_true) && !args.is_true("force") {
        return Ok(answer(true, &format!("Job {name} is disabled."), None));
    }
    with(context, |own| own.run_soon(&name));
    let comment = format!("Scheduling Job {name} on minion.");
    Ok(answer(true, &comment, None))
}

fn postpone(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let (old, new) = (args.text("current_time")?, args.text("new_time")?);
    for (text, refused) in [
        (&name, "Job name is required."),
        (&old, "Job current time is required."),
        (&new, "Job new_time is required."),
    ] {
        if text.is_empty() {
            return Ok(answer(false, refused, None));
        }
    }
    let format = format_of(args);
    if [&old, &new]
        .into_iter()
        .any(|time| !scheduler::is_time(time, &format))
    {
        return Ok(answer(false, "Date string could not be parsed.", None));
    }
    if shown(&current(context), &name).is_none() {
        return Ok(answer(false, &format!("Job {name} does not exist."), None));
    }
    if with(context, |own| own.is_of_pillar(&name)) == Some(true) {
        let comment = "Event module not available. Schedule postpone job failed.";
        return Ok(answer(true, comment, None));
    }
    with(context, |own| {
        own.add_time(&name, "skip_explicit", &old, &format);
        own.add_time(&name, "run_explicit", &new, &format);
    });
    let comment = format!("Postponed Job {name} in schedule.");
    Ok(answer(true, &comment, None))
}

fn skip(args: &Args, context: &Context<'_>) -> Answer {
    let (name, time) = (args.text("name")?, args.text("current_time")?);
    if name.is_empty() {
        return Ok(answer(false, "Job name is required.", None));
    }
    let format = format_of(args);
    if !time.is_empty() && !scheduler::is_time(&time, &format) {
        return Ok(answer(false, "Date string could not be parsed.", None));
    }
    if shown(&current(context), &name).is_none() {
        return Ok(answer(false, &format!("Job {name} does not exist."), None));
    }
    if with(context, |own| own.is_of_pillar(&name)) == Some(true) {
        let comment = "Event module not available. Schedule skip job failed.";
        return Ok(answer(true, comment, None));
    }
    with(context, |own| {
        own.add_time(&name, "skip_explicit", &time, &format);
    });
    let comment = format!("Added Skip Job {name} in schedule.");
    Ok(answer(true, &comment, None))
}

fn format_of(args: &Args) -> String {
    let stated = args.keywords().get("time_fmt").map(python::str);
    stated.unwrap_or_else(|| TIME_FORMAT.to_owned())
}

fn list(args: &Args, context: &Context<'_>) -> Answer {
    let saved = saved(context)?;
    let items = if args.is_true("offline") {
        saved.clone()
    } else {
        let origin = match args.optional_text("where").as_deref() {
            Some("opts") => Origin::Config,
            Some("pillar") => Origin::Pillar,
            _ => Origin::Both,
        };
        with(context, |own| own.items(origin)).unwrap_or_default()
    };
    let as_yaml = args.is_true("return_yaml");
    let mut shown_items = Map::new();
    for (name, item) in &items {
        let name = python::str(name);
        if name.starts_with("__") && !args.is_true("show_all") {
            continue;
        }
        let Some(mut one) = shown(&items, &name) else {
            shown_items.insert(name, item.clone());
            continue;
        };
        let is_enabled = one.get("enabled").is_none_or(Value::is_true);
        if !is_enabled && !args.is_true("show_disabled") {
            continue;
        }
        if as_yaml {
            one.insert("saved", saved.contains_key(&name));
        }
        shown_items.insert(name, one);
    }
    if !as_yaml {
        return Ok(shown_items.into());
    }
    let options = DumpOptions {
        flow_style: Some(false),
        sort_keys: true,
        ..DumpOptions::default()
    };
    Ok(yaml::dump(&Map::from([("schedule", shown_items)]).into(), &options).into())
}

fn hand_over(args: &Args, moves: bool, context: &Context<'_>) -> Answer {
    let (name, target) = (args.text("name")?, args.text("target")?);
    if name.is_empty() {
        return Ok(answer(false, "Job name is required.", None));
    }
    if args.is_true("test") {
        let word = if moves { "moved" } else { "copied" };
        let comment = format!("Job: {name} would be {word} from schedule.");
        return Ok(answer(true, &comment, None));
    }
    let Some(item) = shown(&current(context), &name) else {
        return Ok(answer(false, &format!("Job {name} does not exist."), None));
    };
    let mut sent = vec![Value::from(name.as_str())];
    for (key, value) in &item {
        let key = match key.as_str() {
            Some("args") => "job_args",
            Some("kwargs") => "job_kwargs",
            Some("name") | None => continue,
            Some(key) => key,
        };
        let value = match value {
            Value::Str(text) => text.clone(),
            other => python::repr(other),
        };
        sent.push(format!("{key}={value}").into());
    }
    let answers = publish::publish("schedule.add", sent, &target, "glob", 5, false, context)?;
    let answers = answers.as_map().cloned().unwrap_or_default();
    if answers.is_empty() {
        let comment = "no servers answered the published schedule.add command";
        return Ok(answer(true, comment, None));
    }
    let (mut minions, mut errors): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for (minion, said) in &answers {
        if said.get("result").is_some_and(Value::is_true) {
            minions.push(minion.clone());
        } else {
            errors.push(minion.clone());
        }
    }
    let word = if moves { "Moved" } else { "Copied" };
    if !minions.is_empty() && moves {
        with(context, |own| own.remove(&name));
        persist(context)?;
    }
    let mut said = Map::new();
    if errors.is_empty() {
        said.insert("result", true);
        said.insert("minions", minions);
        said.insert(
            "comment",
            format!("{word} Job {name} from schedule to minion(s)."),
        );
    } else {
        said.insert("result", false);
        said.insert("errors", errors);
        let word = if moves { "move" } else { "copy" };
        said.insert(
            "comment",
            format!("Failed to {word} job {name} to minion(s)."),
        );
    }
    Ok(said.into())
}

/// Where the schedule is kept between lives of the daemon.
fn file(context: &Context<'_>) -> PathBuf {
    let directory = context.setting("config_dir").unwrap_or("/etc/salt");
    PathBuf::from(directory)
        .join("minion.d")
        .join("_schedule.conf")
}

/// The items that are saved; none if the file is not there or cannot be read.
fn saved(context: &Context<'_>) -> Result<Map, CallError> {
    let Some(bytes) = context.system.read(&file(context))? else {
        return Ok(Map::new());
    };
    let text = String::from_utf8_lossy(&bytes);
    let Ok(Value::Map(whole)) = yaml::load(&text) else {
        return Ok(Map::new());
    };
    Ok(whole
        .get("schedule")
        .and_then(Value::as_map)
        .cloned()
        .unwrap_or_default())
}

/// Saves what the daemon has, without the pillar's.
fn persist(context: &Context<'_>) -> Result<(), CallError> {
    match with(context, |own| own.items(Origin::Config)) {
        Some(items) => write(&sorted_items(items), context),
        None => Ok(()),
    }
}

fn write(items: &Map, context: &Context<'_>) -> Result<(), CallError> {
    let path = file(context);
    let whole = Map::from([("schedule", items.clone())]);
    let text = yaml::dump(&whole.into(), &DumpOptions::default());
    if let Some(directory) = path.parent() {
        context.system.create_dir_all(directory, 0o755)?;
    }
    let options = WriteOptions::new().mode(0o600);
    context.system.write(&path, text.as_bytes(), &options)?;
    Ok(())
}

fn sorted_items(items: Map) -> Map {
    match sorted(&items.into()) {
        Value::Map(items) => items,
        _ => Map::new(),
    }
}

/// A value with all its mappings in the order of their keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let mut entries: Vec<(Value, Value)> = map
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            entries.sort_by_key(|(key, _)| python::str(key));
            entries.into_iter().collect::<Map>().into()
        }
        Value::List(items) => items.iter().map(sorted).collect(),
        value => value.clone(),
    }
}
