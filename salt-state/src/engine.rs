//! Runs chunks: what is handed out by the [`Schedule`] is checked, carried out unless
//! this is a dry run, and reported in Salt's shape.
//!
//! [`run`] takes chunks as [`compile`](crate::compile) orders them. The order and what
//! requisites come to is decided in [`schedule`], which runs nothing; the rest of this
//! module does what was decided, one step after the other (those with `parallel: true`
//! beside them).

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use salt_proto::target::Release;
use salt_proto::{Map, Value};

use crate::compile::{Chunk, disabled_by};
use crate::context::{Context, MinionData};
use crate::registry::CallError;
use crate::states::Check;
use crate::system::Rehearsal;
use crate::zone::Zone;

mod call;
mod conditions;
pub(crate) mod control;
mod entry;
mod listen;
mod parallel;
pub mod schedule;
mod slots;

use call::Called;
use entry::Began;
use parallel::Started;
use schedule::{Ending, NodeId, Poll, Schedule, Status, Step};

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Mode {
    /// Only say what would change.
    pub test: bool,
    /// Call nothing and report success (`mock=True`).
    pub mock: bool,
    /// Which release's words and rules.
    pub release: Release,
    /// The run number of the first call; more than 0 when chunks were left out before.
    pub first: usize,
    /// In test mode: report exactly what would change, also where Salt's dry run says
    /// less. What can be is tried out on a [`Rehearsal`], where each state finds what the
    /// ones before it left.
    pub exact: bool,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The entries by tag, in the order they came about.
    pub entries: IndexMap<String, Map>,
    /// Where a dry run that was exact would have written: directories without links.
    pub(crate) places: Vec<PathBuf>,
}

impl Report {
    /// The mapping that Salt returns.
    pub fn into_value(self) -> Value {
        Value::Map(
            self.entries
                .into_iter()
                .map(|(tag, entry)| (tag, Value::Map(entry)))
                .collect(),
        )
    }

    /// Whether nothing failed; a failure that a handler with `onfail_stop: false` took
    /// care of does not count. Nothing at all is a failure.
    pub fn succeeded(&self, chunks: &[Chunk]) -> bool {
        let handlers: Vec<&Chunk> = chunks
            .iter()
            .filter(|chunk| chunk.low.get("onfail_stop") == Some(&Value::Bool(false)))
            .collect();
        !self.entries.is_empty()
            && self.entries.iter().all(|(_, entry)| {
                entry::result_of(entry) != Some(false) || self.handled(entry, &handlers)
            })
    }

    /// Whether a failure has a handler that succeeded.
    fn handled(&self, failed: &Map, handlers: &[&Chunk]) -> bool {
        let id = failed.get("__id__");
        let (Some(id), Some(name)) = (id, failed.get("name")) else {
            return false;
        };
        handlers.iter().any(|chunk| {
            let handles = ["onfail", "onfail_any", "onfail_all"]
                .into_iter()
                .any(|key| {
                    let items = chunk.low.get(key).and_then(Value::as_list);
                    items.unwrap_or_default().iter().any(|item| match item {
                        Value::Map(map) => map.values().any(|value| value == id || value == name),
                        other => other == id || other == name,
                    })
                });
            handles
                && self
                    .entries
                    .get(&chunk.tag())
                    .is_some_and(|entry| entry::result_of(entry) != Some(false))
        })
    }
}

/// Runs compiled chunks in their order.
///
/// # Errors
///
/// What ends a whole run in Salt too: an argument that a function does not take, a return
/// without its members. States that fail do so in their entries.
pub fn run(chunks: &[Chunk], context: &Context<'_>, mode: &Mode) -> Result<Report, CallError> {
    if !(mode.test && mode.exact) {
        return run_on(chunks, context, mode, None);
    }
    let rehearsal = Rehearsal::new(context.system);
    let mut report = run_on(chunks, &context.on(&rehearsal), mode, Some(&rehearsal))?;
    let cache = context.setting("cachedir").map(Path::new);
    report.places = rehearsal.places();
    report
        .places
        .retain(|place| cache.is_none_or(|cache| !place.starts_with(cache)));
    Ok(report)
}

fn run_on(
    chunks: &[Chunk],
    context: &Context<'_>,
    mode: &Mode,
    rehearsal: Option<&Rehearsal<'_>>,
) -> Result<Report, CallError> {
    std::thread::scope(|scope| {
        let mut engine = Engine {
            chunks,
            base: context,
            minion: None,
            mode,
            rehearsal,
            unforeseen: false,
            zone: Zone::local(context.system),
            lows: Vec::new(),
            tags: Vec::new(),
            report: Report::default(),
            dry: IndexMap::new(),
            inits: HashSet::new(),
            count: i64::try_from(mode.first).unwrap_or(0),
            total: 0,
            workers: parallel::Workers::new(scope, limit(context)),
            tried: HashMap::new(),
        };
        let ended = engine.run();
        engine.forget_pauses();
        ended?;
        Ok(engine.report)
    })
}

/// How many may run beside each other; `None`: as many as ask for it.
fn limit(context: &Context<'_>) -> Option<usize> {
    let stated = context.minion.config.get("state_max_parallel")?.as_int()?;
    usize::try_from(stated).ok().filter(|limit| *limit > 0)
}

struct Engine<'s> {
    chunks: &'s [Chunk],
    base: &'s Context<'s>,
    /// Who we are once grains or pillar were read anew.
    minion: Option<Arc<MinionData>>,
    mode: &'s Mode,
    /// Where things are tried out when it matters exactly what they come to.
    rehearsal: Option<&'s Rehearsal<'s>>,
    /// Something would have been done by now that could not be tried out.
    unforeseen: bool,
    zone: Zone,
    /// The chunks by node, as aggregation has left them.
    lows: Vec<Map>,
    tags: Vec<String>,
    report: Report,
    /// What dry runs returned, by tag.
    dry: IndexMap<String, Map>,
    inits: HashSet<String>,
    count: i64,
    total: usize,
    workers: parallel::Workers<'s>,
    /// The tries so far of what goes on beside the others.
    tried: HashMap<NodeId, call::Tried>,
}

impl Engine<'_> {
    fn run(&mut self) -> Result<(), CallError> {
        let disabled = self.disabled_requisites();
        let mut schedule = Schedule::new(self.chunks, self.mode.release, &disabled);
        let mut seen = HashSet::new();
        for chunk in self.chunks {
            let tag = chunk.tag();
            if seen.insert(tag.clone()) {
                self.tags.push(tag);
                self.lows.push(chunk.low.clone());
            }
        }
        self.total = self.tags.len();
        self.report_disabled(&mut schedule);
        loop {
            match schedule.poll_step() {
                Poll::Done => break,
                Poll::Wait => self.wait(&mut schedule)?,
                Poll::Step(step) => {
                    self.collect(&mut schedule)?;
                    let id = step.node;
                    if !self.may_go_on(id) {
                        schedule.handle_outcome(id, step.dry, NEVER);
                        schedule.stop();
                        continue;
                    }
                    if let Some(starting) = self.base.starting {
                        starting(self.report.entries.len(), self.total, self.tag(id));
                    }
                    if let Some(end) = self.step(&step, &schedule)? {
                        schedule.handle_outcome(id, step.dry, end);
                    }
                    if !step.dry && self.fails_hard(id) {
                        schedule.stop();
                    }
                }
            }
        }
        while self.workers.busy() {
            self.wait(&mut schedule)?;
        }
        self.listen()?;
        self.beacons()
    }

    fn disabled_requisites(&self) -> HashSet<String> {
        match self.base.minion.config.get("disabled_requisites") {
            Some(Value::Str(one)) => HashSet::from([one.clone()]),
            Some(Value::List(all)) => all.iter().map(crate::python::str).collect(),
            _ => HashSet::new(),
        }
    }

    /// 3006 and 3007 report what the grain `state_runs_disabled` keeps from running.
    fn report_disabled(&mut self, schedule: &mut Schedule) {
        if self.mode.release >= Release::V3008 {
            return;
        }
        for (id, chunk) in self.chunks.iter().enumerate() {
            let Some(pattern) = disabled_by(chunk, &self.base.minion.grains) else {
                continue;
            };
            let function = format!("{}.{}", chunk.text("state"), chunk.text("fun"));
            let mut entry = Map::new();
            entry.insert("changes", Map::new());
            entry.insert("result", false);
            entry.insert(
                "comment",
                format!(
                    "The state function \"{function}\" is currently disabled by \"{pattern}\", to re-enable, run state.enable {pattern}."
                ),
            );
            entry.insert("__run_num__", self.number());
            let sls = chunk.low.get("__sls__").cloned().unwrap_or_default();
            entry.insert("__sls__", sls);
            let end = self.record(id, entry, true);
            schedule.handle_outcome(id, false, end);
        }
    }

    /// Runs something with what we know now.
    fn with<T>(&self, call: impl FnOnce(&Context<'_>) -> T) -> T {
        match &self.minion {
            None => call(self.base),
            Some(minion) => call(&self.base.with_minion(minion)),
        }
    }

    fn low(&self, id: NodeId) -> Map {
        self.lows.get(id).cloned().unwrap_or_default()
    }

    fn tag(&self, id: NodeId) -> &str {
        self.tags.get(id).map_or("", String::as_str)
    }

    /// One step. `None` when it goes on beside the others.
    fn step(&mut self, step: &Step, schedule: &Schedule) -> Result<Option<Ending>, CallError> {
        let id = step.node;
        let aggregated = self.aggregate(id, schedule)?;
        if !aggregated.is_empty()
            && let Some(slot) = self.lows.get_mut(id)
        {
            *slot = aggregated;
        }
        let low = self.low(id);
        self.init_module(&low)?;
        let began = Began::now(self.base.system);
        let skipped = match &step.status {
            Status::Met | Status::Change | Status::SkipWatch => None,
            Status::Fail(nodes) => {
                if !step.dry
                    && let Some(mut entry) = self.dry.get(self.tag(id)).cloned()
                {
                    entry.insert("changes", Map::new());
                    entry.insert("__run_num__", self.number());
                    self.finish_skipped(&low, &mut entry);
                    return Ok(Some(self.record(id, entry, true)));
                }
                Some((false, self.failed_text(nodes)))
            }
            Status::OnFail => Some((
                true,
                "State was not run because onfail req did not change".to_owned(),
            )),
            Status::OnChanges => Some((
                true,
                "State was not run because none of the onchanges reqs changed".to_owned(),
            )),
            Status::Pre => Some((true, "No changes detected".to_owned())),
            Status::SkipReq => Some((
                true,
                "State was not run because requisites were skipped by another state".to_owned(),
            )),
            Status::Missing(lost) => Some((false, missing_text(lost))),
            Status::Recursive => Some((false, "Recursive requisite found".to_owned())),
        };
        if let Some((result, comment)) = skipped {
            let mut entry = Map::new();
            entry.insert("changes", Map::new());
            entry.insert("result", result);
            began.note(
                &mut entry,
                &self.zone,
                self.base.system,
                std::time::Duration::ZERO,
            );
            entry.insert("comment", comment);
            let marks = self.mode.release >= Release::V3008
                || matches!(step.status, Status::OnFail | Status::OnChanges);
            if marks {
                entry.insert("__state_ran__", false);
            }
            entry.insert("__run_num__", self.number());
            self.finish_skipped(&low, &mut entry);
            return Ok(Some(self.record(id, entry, false)));
        }
        if step.dry {
            return self.dry_run(id, &low, step).map(Some);
        }
        self.real_run(id, low, step, schedule)
    }

    fn dry_run(&mut self, id: NodeId, low: &Map, step: &Step) -> Result<Ending, CallError> {
        let before = self.count;
        let called = self.call(low, true)?;
        self.count = before;
        let mut entry = called.into_entry();
        if step.status == Status::Change && !entry::has_changes(&entry) {
            entry.insert("changes", Map::from([("watch", "watch")]));
            entry.insert("result", Value::Null);
        }
        let end = ending(&entry, true);
        self.dry.insert(self.tag(id).to_owned(), entry);
        Ok(end)
    }

    fn real_run(
        &mut self,
        id: NodeId,
        low: Map,
        step: &Step,
        schedule: &Schedule,
    ) -> Result<Option<Ending>, CallError> {
        let parallel = low.get("parallel").is_some_and(Value::is_true);
        if parallel && step.status == Status::Met {
            return self.start(id, &low);
        }
        let mut called = self.call(&low, false)?;
        if step.status == Status::Change
            && !called.is_malformed()
            && !entry::has_changes(called.entry())
            && !called.entry().get("skip_watch").is_some_and(Value::is_true)
        {
            let mut low = low.clone();
            let declared = low.insert("fun", "mod_watch").unwrap_or_default();
            low.insert("sfun", declared);
            low.insert("__reqs__", self.reasons(id, schedule));
            called = self.call(&low, false)?;
        }
        let malformed = called.is_malformed();
        let mut entry = called.into_entry();
        if step.status == Status::SkipWatch {
            let comment = entry.get("comment").map(crate::python::str);
            entry.insert(
                "comment",
                format!(
                    "{} mod_watch was not run because requisites were skipped by another state",
                    comment.unwrap_or_default()
                ),
            );
        }
        if parallel {
            entry.insert("__parallel__", true);
        }
        if malformed {
            return Ok(Some(self.record(id, entry, true)));
        }
        Ok(Some(self.conclude(id, &low, entry)))
    }

    /// What is done with an entry once its state has ended.
    fn conclude(&mut self, id: NodeId, low: &Map, mut entry: Map) -> Ending {
        let subs = entry.remove("sub_state_run");
        self.reload(low, &entry);
        self.fire(low, &entry);
        let end = self.record(id, entry, true);
        for sub in subs.as_ref().and_then(Value::as_list).unwrap_or_default() {
            self.sub_entry(low, sub);
        }
        end
    }

    /// An entry that a state reports beside its own.
    fn sub_entry(&mut self, outer: &Map, sub: &Value) {
        let Some(mut entry) = sub.as_map().cloned() else {
            return;
        };
        let Some(Value::Map(low)) = entry.remove("low") else {
            return;
        };
        self.count += 1;
        let began = Began::now(self.base.system);
        let mut times = Map::new();
        began.note(
            &mut times,
            &self.zone,
            self.base.system,
            std::time::Duration::ZERO,
        );
        for (key, value) in times {
            if entry.get_value(&key).is_none() {
                entry.insert(key, value);
            }
        }
        entry.insert("__state_ran__", true);
        entry.insert("__run_num__", self.count);
        for key in ["__sls__", "__id__", "name"] {
            entry.insert(key, outer.get(key).cloned().unwrap_or_default());
        }
        let chunk = Chunk {
            low,
            ..Chunk::default()
        };
        self.report.entries.insert(chunk.tag(), entry);
    }

    fn finish_skipped(&self, low: &Map, entry: &mut Map) {
        for key in ["__sls__", "__id__", "name"] {
            entry.insert(key, low.get(key).cloned().unwrap_or_default());
        }
        self.fire(low, entry);
    }

    /// Files an entry and says how it ended.
    fn record(&mut self, id: NodeId, entry: Map, ran: bool) -> Ending {
        let end = ending(&entry, ran);
        let tag = self.tag(id).to_owned();
        if let Some(progress) = self.base.progress {
            progress(self.report.entries.len() + 1, self.total, &tag, &entry);
        }
        self.report.entries.insert(tag, entry);
        end
    }

    fn number(&mut self) -> i64 {
        let number = self.count;
        self.count += 1;
        number
    }

    fn failed_text(&self, nodes: &[NodeId]) -> String {
        let mut names: Vec<String> = nodes
            .iter()
            .filter_map(|node| self.lows.get(*node))
            .map(|low| {
                let part = |key| low.get(key).map(crate::python::str).unwrap_or_default();
                format!("{}.{}", part("__sls__"), part("__id__"))
            })
            .collect();
        names.sort();
        names.dedup();
        format!("One or more requisite failed: {}", names.join(", "))
    }

    /// The chunks that a `watch` looked at and that changed, for `mod_watch`.
    fn reasons(&self, id: NodeId, schedule: &Schedule) -> Map {
        let mut reasons = Map::new();
        for (name, targets) in schedule.reasons(id) {
            let lows: Value = targets
                .into_iter()
                .filter(|target| schedule.end(*target).is_some_and(|end| end.changes))
                .filter_map(|target| self.lows.get(target).cloned())
                .map(Value::Map)
                .collect();
            reasons.insert(name, lows);
        }
        reasons
    }

    fn fails_hard(&self, id: NodeId) -> bool {
        let Some(entry) = self.report.entries.get(self.tag(id)) else {
            return false;
        };
        if self.mode.test || entry::result_of(entry) != Some(false) {
            return false;
        }
        let stated = self.lows.get(id).and_then(|low| low.get("failhard"));
        match stated {
            Some(stated) => stated.is_true(),
            None => {
                let config = &self.base.minion.config;
                config.get("failhard").is_some_and(Value::is_true)
            }
        }
    }

    /// Lets a state module join chunks.
    fn aggregate(&mut self, id: NodeId, schedule: &Schedule) -> Result<Map, CallError> {
        let low = self.low(id);
        let module = low.str("state").unwrap_or_default();
        let Some(aggregate) = self.base.registry.mod_aggregate(module) else {
            return Ok(Map::new());
        };
        let wanted = match self.base.minion.config.get("state_aggregate") {
            Some(Value::List(modules)) => modules.iter().any(|name| name.as_str() == Some(module)),
            Some(other) => other.is_true(),
            None => false,
        };
        let stated = low.get("aggregate").map(Value::is_true);
        if !stated.unwrap_or(wanted) || low.get("__agg__").is_some_and(Value::is_true) {
            return Ok(Map::new());
        }
        let waiting: Vec<NodeId> = (0..self.lows.len())
            .filter(|other| *other != id && schedule.end(*other).is_none())
            .collect();
        let mut rest: Vec<Map> = waiting.iter().map(|other| self.low(*other)).collect();
        let mut own = low.clone();
        self.with(|context| {
            let check = Check::new(context, &low, self.mode.test);
            aggregate(&mut own, &mut rest, &check)
        })?;
        for (other, low) in waiting.into_iter().zip(rest) {
            if let Some(slot) = self.lows.get_mut(other) {
                *slot = low;
            }
        }
        Ok(own)
    }

    fn init_module(&mut self, low: &Map) -> Result<(), CallError> {
        let module = low.str("state").unwrap_or_default();
        let Some(init) = self.base.registry.mod_init(module) else {
            return Ok(());
        };
        if self.inits.contains(module) {
            return Ok(());
        }
        let done = self.with(|context| init(low, &Check::new(context, low, self.mode.test)))?;
        if done {
            self.inits.insert(module.to_owned());
        }
        Ok(())
    }

    /// Starts a chunk beside the others.
    fn start(&mut self, id: NodeId, low: &Map) -> Result<Option<Ending>, CallError> {
        if self.workers.full() {
            // Its turn comes when one of the others has ended; until then nothing starts.
            if let Some(done) = self.workers.wait() {
                self.finish(done)?;
            }
        }
        match self.begin(id, low)? {
            Started::Ended(called) => {
                let malformed = called.is_malformed();
                let mut entry = called.into_entry();
                entry.insert("__parallel__", true);
                if malformed {
                    return Ok(Some(self.record(id, entry, true)));
                }
                Ok(Some(self.conclude(id, low, entry)))
            }
            Started::Running => Ok(None),
        }
    }

    /// Takes what has ended beside us without waiting.
    fn collect(&mut self, schedule: &mut Schedule) -> Result<(), CallError> {
        while let Some(done) = self.workers.ended() {
            self.finish(done)?;
        }
        for (id, end) in std::mem::take(&mut self.workers.finished) {
            schedule.handle_outcome(id, false, end);
        }
        Ok(())
    }

    fn wait(&mut self, schedule: &mut Schedule) -> Result<(), CallError> {
        self.collect(schedule)?;
        if let Some(done) = self.workers.wait() {
            self.finish(done)?;
        }
        self.collect(schedule)
    }

    fn finish(&mut self, done: parallel::Ended) -> Result<(), CallError> {
        let (id, low) = (done.node, self.low(done.node));
        let Started::Ended(called) = self.end_call(&low, done)? else {
            return Ok(());
        };
        let malformed = called.is_malformed();
        let mut entry = called.into_entry();
        entry.insert("__parallel__", true);
        let end = if malformed {
            self.record(id, entry, true)
        } else {
            self.conclude(id, &low, entry)
        };
        self.workers.finished.push_back((id, end));
        Ok(())
    }

    fn call(&mut self, low: &Map, dry: bool) -> Result<Called, CallError> {
        call::call(self, low, dry)
    }
}

/// How a chunk ends that never gets its turn.
const NEVER: Ending = Ending {
    result: None,
    changes: false,
    ran: false,
    skips: false,
};

fn ending(entry: &Map, ran: bool) -> Ending {
    Ending {
        result: entry::result_of(entry),
        changes: entry::has_changes(entry),
        ran,
        skips: entry.get("skip_req").is_some_and(Value::is_true),
    }
}

/// 3006 and 3007 find out while running that a reference means nothing.
fn missing_text(lost: &[(&'static str, Vec<String>)]) -> String {
    let mut text = "The following requisites were not found:\n".to_owned();
    for (kind, references) in lost {
        text.push_str(&format!("{:19}{kind}:\n", ""));
        for reference in references {
            text.push_str(&format!("{:23}{reference}\n", ""));
        }
    }
    text
}

/// A umask as Salt reads it: the digits are octal however they were written.
pub(crate) fn umask(value: &Value) -> Option<u32> {
    let text = crate::python::str(value);
    u32::from_str_radix(text.trim().trim_start_matches("0o"), 8).ok()
}
