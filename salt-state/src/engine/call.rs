//! One call of a state: is the chunk sound, do its conditions hold, what does the state
//! say, and again if that is wanted.

use std::time::Duration;

use salt_proto::{Map, Value};

use super::entry::{self, Began, Malformed};
use super::parallel::{Ended, Started, Work};
use super::schedule::NodeId;
use super::{Engine, conditions, slots};
use crate::args::Args;
use crate::context::Context;
use crate::foreign::{self, ForeignKind};
use crate::plan::{Outcome, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;

/// What a call came to.
#[derive(Debug)]
pub(super) enum Called {
    /// The entry.
    Entry(Map),
    /// The return had the wrong shape; the entry says so and nothing else.
    Malformed(Map),
}

impl Called {
    pub(super) fn entry(&self) -> &Map {
        match self {
            Self::Entry(entry) | Self::Malformed(entry) => entry,
        }
    }

    pub(super) fn into_entry(self) -> Map {
        match self {
            Self::Entry(entry) | Self::Malformed(entry) => entry,
        }
    }

    pub(super) fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }
}

/// Calls a state, in test mode when the run is or `dry`.
///
/// # Errors
///
/// What ends the whole run.
pub(super) fn call(engine: &mut Engine<'_>, low: &Map, dry: bool) -> Result<Called, CallError> {
    let test = engine.mode.test || dry;
    if let Some(entry) = refused(engine, low) {
        return Ok(Called::Entry(entry));
    }
    let retry = low.get("retry").map(Retry::of);
    let began = Began::now(engine.base.system);
    let mut said = String::new();
    let mut waited = Duration::ZERO;
    let mut attempt = 1;
    loop {
        let value = match prepare(engine, low, test)? {
            Prepared::Settled(value) => value,
            Prepared::Plan(plan) => {
                let name = low.get("name").cloned().unwrap_or_default();
                let outcome = if test && engine.mode.exact {
                    exactly(engine, low, *plan, dry)?
                } else if test {
                    Ok(plan.predicted())
                } else {
                    engine.with(|context| plan.carry_out(context))
                };
                match outcome {
                    Ok(outcome) => outcome.into_value(&name),
                    Err(error) => raised(low, &error),
                }
            }
        };
        let number = engine.number();
        let mut entry = match settle(engine, low, value, number, began, waited)? {
            Ok(entry) => entry,
            Err(malformed) => {
                if malformed == Malformed::NotAMapping {
                    engine.count -= 1;
                }
                return Ok(Called::Malformed(malformed.entry()));
            }
        };
        if let Some(retry) = &retry {
            if test {
                let comment = entry.get("comment").map(python::str).unwrap_or_default();
                entry.insert("comment", format!("{comment}  {}", retry.announcement()));
            } else if attempt < retry.attempts && entry::result_of(&entry) != Some(retry.until) {
                said.push_str(&told(attempt, &entry));
                let pause = retry.pause(engine.base);
                engine.base.system.sleep(pause);
                // A fake clock stands still, so what was waited is counted here.
                if engine.base.system.now() == began.at() {
                    waited += pause;
                }
                attempt += 1;
                continue;
            }
        }
        if let Err(malformed) = entry::unify(&mut entry) {
            return Ok(Called::Malformed(malformed.entry()));
        }
        if !said.is_empty() {
            let comment = text_of(entry.get("comment"));
            entry.insert("comment", said + &comment);
        }
        if low.get("no_log").is_some_and(Value::is_true) {
            entry::hide(&mut entry);
        }
        return Ok(Called::Entry(entry));
    }
}

impl Engine<'_> {
    /// Starts a call that goes on beside the others, if there is something to carry out.
    pub(super) fn begin(&mut self, id: NodeId, low: &Map) -> Result<Started, CallError> {
        if self.mode.test {
            return Ok(Started::Ended(call(self, low, false)?));
        }
        if let Some(entry) = refused(self, low) {
            return Ok(Started::Ended(Called::Entry(entry)));
        }
        let began = match self.tried.get(&id) {
            Some(tried) => tried.began,
            None => Began::now(self.base.system),
        };
        match prepare(self, low, false)? {
            Prepared::Plan(plan) => {
                let number = self.number();
                let minion = self.minion.clone();
                self.workers
                    .start(id, number, began, *plan, self.base, minion);
                Ok(Started::Running)
            }
            Prepared::Settled(value) => {
                let number = self.number();
                self.conclude_call(id, low, value, number, began)
            }
        }
    }

    /// Takes what a call that went on beside the others came to; it may go on for another
    /// try.
    pub(super) fn end_call(&mut self, low: &Map, ended: Ended) -> Result<Started, CallError> {
        let name = low.get("name").cloned().unwrap_or_default();
        let value = match ended.work {
            Work::Carried(Ok(outcome)) => outcome.into_value(&name),
            Work::Carried(Err(error)) => raised(low, &error),
            Work::Rested => return self.begin(ended.node, low),
        };
        self.conclude_call(ended.node, low, value, ended.number, ended.began)
    }

    fn conclude_call(
        &mut self,
        id: NodeId,
        low: &Map,
        value: Value,
        number: i64,
        began: Began,
    ) -> Result<Started, CallError> {
        let tried = self.tried.remove(&id).unwrap_or_else(|| Tried::new(began));
        let mut entry = match settle(self, low, value, number, began, tried.waited)? {
            Ok(entry) => entry,
            Err(malformed) => {
                return Ok(Started::Ended(Called::Malformed(malformed.entry())));
            }
        };
        if let Some(retry) = low.get("retry").map(Retry::of)
            && tried.attempt < retry.attempts
            && entry::result_of(&entry) != Some(retry.until)
        {
            let system = self.base.system;
            let pause = retry.pause(self.base);
            let mut tried = tried;
            tried.said.push_str(&told(tried.attempt, &entry));
            tried.attempt += 1;
            // A fake clock stands still, so what is waited is counted here.
            if system.now() == began.at() {
                tried.waited += pause;
            }
            self.tried.insert(id, tried);
            self.workers.rest(id, number, began, pause, system);
            return Ok(Started::Running);
        }
        if let Err(malformed) = entry::unify(&mut entry) {
            return Ok(Started::Ended(Called::Malformed(malformed.entry())));
        }
        if !tried.said.is_empty() {
            let comment = text_of(entry.get("comment"));
            entry.insert("comment", tried.said + &comment);
        }
        if low.get("no_log").is_some_and(Value::is_true) {
            entry::hide(&mut entry);
        }
        Ok(Started::Ended(Called::Entry(entry)))
    }
}

/// The tries of a chunk with `retry` that goes on beside the others.
pub(super) struct Tried {
    began: Began,
    attempt: i64,
    said: String,
    waited: Duration,
}

impl Tried {
    fn new(began: Began) -> Self {
        Self {
            began,
            attempt: 1,
            said: String::new(),
            waited: Duration::ZERO,
        }
    }
}

/// What the comment says of a try that did not do.
fn told(attempt: i64, entry: &Map) -> String {
    let comment = text_of(entry.get("comment"));
    let result = entry.get("result").map(python::str).unwrap_or_default();
    format!(
        "Attempt {attempt}: Returned a result of \"{result}\", with the following comment: \"{comment}\"\n"
    )
}

/// A comment as text: lists joined.
fn text_of(comment: Option<&Value>) -> String {
    match comment {
        Some(Value::List(lines)) => {
            let lines: Vec<String> = lines.iter().map(python::str).collect();
            lines.join("\n")
        }
        Some(other) => python::str(other),
        None => String::new(),
    }
}

/// The entry of an exception.
fn raised(low: &Map, error: &CallError) -> Value {
    let mut entry = Map::new();
    entry.insert("result", false);
    entry.insert("name", low.get("name").cloned().unwrap_or_default());
    entry.insert("changes", Map::new());
    entry.insert(
        "comment",
        format!("An exception occurred in this state: {}", error.traceback()),
    );
    entry.into()
}

/// The entry of a chunk that cannot be called, or is not to be.
fn refused(engine: &mut Engine<'_>, low: &Map) -> Option<Map> {
    let problems = problems(engine, low);
    if !problems.is_empty() {
        let mut entry = Map::new();
        entry.insert("result", false);
        entry.insert("name", low.get("name").cloned().unwrap_or_default());
        entry.insert("changes", Map::new());
        let text: String = problems.iter().map(|line| format!("{line}\n")).collect();
        entry.insert("comment", text);
        entry.insert("__run_num__", engine.number());
        return Some(entry);
    }
    let began = Began::now(engine.base.system);
    let (result, comment) = if !meets_global_conditions(engine, low) {
        (
            Value::Null,
            "Failed to meet global state conditions. State not called.",
        )
    } else if engine.mode.mock {
        (Value::Bool(true), "Not called, mocked")
    } else {
        return None;
    };
    let mut entry = Map::new();
    entry.insert("name", low.get("name").cloned().unwrap_or_default());
    entry.insert("comment", comment);
    entry.insert("changes", Map::new());
    entry.insert("result", result);
    entry.insert("__sls__", low.get("__sls__").cloned().unwrap_or_default());
    entry.insert("__run_num__", engine.number());
    began.note(&mut entry, &engine.zone, engine.base.system, Duration::ZERO);
    entry.insert("__id__", low.get("__id__").cloned().unwrap_or_default());
    Some(entry)
}

/// What is wrong with a chunk, as Salt lists it.
fn problems(engine: &Engine<'_>, low: &Map) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["state", "fun", "name"] {
        if !low.contains_key(key) {
            problems.push(format!("Missing \"{key}\" data"));
        }
    }
    let part = |key| low.get(key).map(python::str).unwrap_or_default();
    // Without a name is how somebody asks for several packages at once.
    if let Some(name) = low.get("name")
        && !matches!(name, Value::Str(_) | Value::Null)
    {
        problems.push(format!(
            "ID '{}' in SLS '{}' is not formed as a string, but is a {}",
            python::str(name),
            part("__sls__"),
            name.type_name()
        ));
    }
    if !problems.is_empty() {
        return problems;
    }
    let full = format!("{}.{}", part("state"), part("fun"));
    let registry = engine.base.registry;
    if let Some(mut reason) = registry.why_no_state_on(&full, engine.base.system) {
        if !registry.has_state(&full)
            && let Some(hint) = foreign::hint(ForeignKind::States, &full, engine.base)
        {
            reason.push_str(&format!("\nHint: {hint}"));
        }
        let place = match low.get("__sls__") {
            Some(sls) => format!(" in SLS '{}'", python::str(sls)),
            None => String::new(),
        };
        problems.push(format!(
            "State '{full}' was not found{place}\nReason: {reason}"
        ));
        return problems;
    }
    if let Some(signature) = engine.base.registry.state_signature(&full) {
        for parameter in signature.parameters() {
            if parameter.default.is_none() && !low.contains_key(&parameter.name) {
                problems.push(format!(
                    "Missing parameter {} for state {full}",
                    parameter.name
                ));
            }
        }
    }
    if let Some(umask) = low.get("umask")
        && super::umask(umask).is_none()
    {
        problems.push(format!("Invalid umask: {}", python::str(umask)));
    }
    problems
}

/// `global_state_conditions`: of all that concern the chunk one has to hold.
fn meets_global_conditions(engine: &Engine<'_>, low: &Map) -> bool {
    let Some(Value::Map(all)) = engine.base.minion.config.get("global_state_conditions") else {
        return true;
    };
    let state = low.get("state").map(python::str).unwrap_or_default();
    let fun = low.get("fun").map(python::str).unwrap_or_default();
    let full = format!("{state}.{fun}");
    let mut concerns = false;
    for (key, conditions) in all {
        let key = python::str(key);
        if key != "*" && key != state && key != full {
            continue;
        }
        concerns = true;
        let conditions = match conditions {
            Value::List(many) => many.clone(),
            one => vec![one.clone()],
        };
        for condition in conditions {
            let args = Args::new().with(condition);
            let holds = engine
                .with(|context| context.registry.call("match.compound", &args, context))
                .is_ok_and(|answer| answer.is_true());
            if holds {
                return true;
            }
        }
    }
    !concerns
}

enum Prepared {
    /// It is known what it returns.
    Settled(Value),
    /// This is what it would do.
    Plan(Box<Plan>),
}

/// Asks the conditions, then the state.
fn prepare(engine: &Engine<'_>, low: &Map, test: bool) -> Result<Prepared, CallError> {
    match engine.with(|context| skipped(low, context, test)) {
        Some(entry) => Ok(Prepared::Settled(entry)),
        None => look(engine, low, test),
    }
}

/// The entry of a chunk that its conditions leave alone, or that cannot ask them.
fn skipped(low: &Map, context: &Context<'_>, test: bool) -> Option<Value> {
    if !conditions::has_any(low) {
        return None;
    }
    // A function that is a condition cannot change the machine in a dry run.
    let verdict = if test {
        context.asking(|context| conditions::ask(low, context))
    } else {
        conditions::ask(low, context)
    };
    match verdict {
        Ok(verdict) if verdict.skip => {
            let mut entry = Map::new();
            entry.insert("result", true);
            entry.insert("name", low.get("name").cloned().unwrap_or_default());
            entry.insert("changes", Map::new());
            entry.insert("comment", verdict.comment());
            entry.insert("__sls__", low.get("__sls__").cloned().unwrap_or_default());
            entry.insert("__id__", low.get("__id__").cloned().unwrap_or_default());
            entry.insert("skip_watch", true);
            Some(entry.into())
        }
        Ok(_) => None,
        Err(error) => Some(raised(low, &error)),
    }
}

/// What the state says.
fn look(engine: &Engine<'_>, low: &Map, test: bool) -> Result<Prepared, CallError> {
    engine.with(|context| {
        let mut filled = low.clone();
        // Nor can one that is asked for an argument.
        let asked = if test {
            context.asking(|context| slots::fill(&mut filled, context))
        } else {
            slots::fill(&mut filled, context)
        };
        if let Err(error) = asked {
            return Ok(Prepared::Settled(raised(low, &error)));
        }
        let part = |key| filled.get(key).map(python::str).unwrap_or_default();
        let full = format!("{}.{}", part("state"), part("fun"));
        let args = arguments(&full, &filled, context)?;
        let check = Check::new(context, &filled, test).among(&engine.lows);
        Ok(match context.registry.check(&full, &args, &check) {
            Ok(plan) => Prepared::Plan(Box::new(plan)),
            Err(error) => Prepared::Settled(raised(low, &error)),
        })
    })
}

/// What a plan that was made for a dry run would come to in earnest.
///
/// # Errors
///
/// What ends the whole run.
fn exactly(
    engine: &mut Engine<'_>,
    low: &Map,
    mut plan: Plan,
    dry: bool,
) -> Result<Result<Outcome, CallError>, CallError> {
    let Some(rehearsal) = engine.rehearsal else {
        return Ok(Ok(plan.exactly()));
    };
    let module = low.str("state").unwrap_or_default();
    if !engine.base.registry.is_rehearsed(module) {
        if let Some(instead) = plan.instead() {
            let done = rehearsal.try_out(|| (engine.with(instead), !dry));
            engine.unforeseen |= !matches!(done, Some(Ok(_)));
        } else if plan.is_change() {
            engine.unforeseen |= !dry;
        } else if !engine.unforeseen {
            return Ok(engine.with(|context| plan.carry_out(context)));
        }
        return Ok(Ok(plan.exactly()));
    }
    // It may decide otherwise when it is not a dry run. Its conditions have been asked.
    let done = match look(engine, low, false)? {
        Prepared::Plan(plan) => rehearsal.try_out(|| {
            let done = engine.with(|context| plan.carry_out(context));
            let failed = done
                .as_ref()
                .map_or(true, |done| done.result == Some(false));
            (done, !(dry || failed && engine.unforeseen))
        }),
        Prepared::Settled(_) => None,
    };
    Ok(match done {
        Some(Ok(done)) if done.result != Some(false) => {
            if done.changes.is_empty() {
                return Ok(Ok(done));
            }
            let shown = plan.predicted();
            Ok(match shown.result {
                // A dry run of Salt's may refuse what then is done.
                Some(false) => Outcome {
                    result: None,
                    ..done
                },
                _ => Outcome {
                    changes: done.changes,
                    ..shown
                },
            })
        }
        // What is missing may be there by then.
        Some(failed) if !engine.unforeseen => failed,
        _ => {
            engine.unforeseen |= !dry;
            Ok(plan.exactly())
        }
    })
}

/// The keys of a chunk that are not for the state, unless its signature names them.
const RUNTIME: &[&str] = &[
    "__env__",
    "__id__",
    "__prereq__",
    "__prerequired__",
    "__prerequiring__",
    "__sls__",
    "__sls_included_from__",
    "check_cmd",
    "cmd_opts_exclude",
    "creates",
    "failhard",
    "fire_event",
    "fun",
    "listen",
    "listen_in",
    "name_order",
    "names",
    "no_log",
    "onchanges",
    "onchanges_any",
    "onchanges_in",
    "onfail",
    "onfail_all",
    "onfail_any",
    "onfail_in",
    "onfail_stop",
    "onlyif",
    "order",
    "parallel",
    "prereq",
    "prereq_in",
    "prerequired",
    "reload_grains",
    "reload_modules",
    "reload_pillar",
    "require",
    "require_any",
    "require_in",
    "retry",
    "runas",
    "runas_password",
    "saltenv",
    "state",
    "umask",
    "unless",
    "use",
    "use_in",
    "watch",
    "watch_any",
    "watch_in",
];

/// The arguments of a chunk for its state.
///
/// # Errors
///
/// Names that the state does not take, which ends the run.
fn arguments(full: &str, low: &Map, context: &Context<'_>) -> Result<Args, CallError> {
    let signature = context.registry.state_signature(full);
    let mut args = Args::new();
    let mut extra = Vec::new();
    for (key, value) in low {
        let name = python::str(key);
        let stated = signature.is_some_and(|signature| {
            signature
                .parameters()
                .iter()
                .any(|parameter| parameter.name == name)
        });
        let takes_all = signature.is_none_or(|signature| signature.extra().is_some());
        if stated || takes_all && RUNTIME.binary_search(&name.as_str()).is_err() {
            args = args.keyword(&name, value.clone());
        } else if RUNTIME.binary_search(&name.as_str()).is_err() && !name.starts_with("__") {
            extra.push(format!("'{name}'"));
        }
    }
    match extra.as_slice() {
        [] => Ok(args),
        [one] => Err(CallError::invocation(format!(
            "{one} is an invalid keyword argument for '{full}'"
        ))),
        [many @ .., last] => Err(CallError::invocation(format!(
            "{} and {last} are invalid keyword arguments for '{full}'",
            many.join(", ")
        ))),
    }
}

/// States that deal with `check_cmd` themselves.
const CHECKS_ITSELF: &[(&str, &str)] = &[("file", "managed"), ("file", "serialize")];

/// Makes the entry of a return: `check_cmd`, and the members that Salt adds.
fn settle(
    engine: &Engine<'_>,
    low: &Map,
    value: Value,
    number: i64,
    began: Began,
    waited: Duration,
) -> Result<Result<Map, Malformed>, CallError> {
    let Value::Map(mut entry) = value else {
        return Ok(Err(Malformed::NotAMapping));
    };
    let module = low.str("state").unwrap_or_default();
    let skipped = entry.get("skip_watch").is_some_and(Value::is_true);
    let mut id_first = conditions::has_any(low) && skipped;
    let function = low.str("fun").unwrap_or_default();
    // Also of a state that its conditions kept from running.
    if low.contains_key("check_cmd") && !CHECKS_ITSELF.contains(&(module, function)) {
        match engine.with(|context| conditions::check_commands(low, context)) {
            Ok((result, comment)) => {
                entry.insert("result", result);
                if let Some(comment) = comment {
                    entry.insert("comment", comment);
                }
            }
            Err(error) => {
                if let Value::Map(failed) = raised(low, &error) {
                    entry = failed;
                }
            }
        }
        id_first = true;
    }
    entry::require_members(&entry)?;
    let id = low.get("__id__").cloned().unwrap_or_default();
    entry.insert("__sls__", low.get("__sls__").cloned().unwrap_or_default());
    if id_first {
        entry.insert("__id__", id.clone());
    }
    entry.insert("__run_num__", number);
    began.note(&mut entry, &engine.zone, engine.base.system, waited);
    entry.insert("__id__", id);
    Ok(Ok(entry))
}

/// `retry`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Retry {
    attempts: i64,
    interval: i64,
    splay: i64,
    until: bool,
}

impl Retry {
    fn of(value: &Value) -> Self {
        let usual = Self {
            attempts: 2,
            interval: 30,
            splay: 0,
            until: true,
        };
        match value {
            Value::Bool(false) => Self {
                attempts: 0,
                ..usual
            },
            Value::Map(stated) => {
                let number = |key, usual| match stated.get(key) {
                    Some(Value::Int(n)) => *n,
                    _ => usual,
                };
                Self {
                    attempts: number("attempts", usual.attempts),
                    interval: number("interval", usual.interval),
                    splay: number("splay", usual.splay),
                    until: stated
                        .get("until")
                        .and_then(Value::as_bool)
                        .unwrap_or(usual.until),
                }
            }
            _ => usual,
        }
    }

    fn announcement(&self) -> String {
        format!(
            "The state would be retried every {} seconds (with a splay of up to {} seconds) a maximum of {} times or until a result of {} is returned",
            self.interval,
            self.splay,
            self.attempts,
            if self.until { "True" } else { "False" }
        )
    }

    fn pause(&self, context: &Context<'_>) -> Duration {
        let seconds = |n: i64| u64::try_from(n).unwrap_or(0);
        let splay = match seconds(self.splay) {
            0 => 0,
            most => {
                let mut random = [0; 8];
                context.system.random(&mut random);
                u64::from_le_bytes(random) % (most + 1)
            }
        };
        Duration::from_secs(seconds(self.interval).saturating_add(splay))
    }
}
