//! The minion's own jobs: what is in its `schedule`, and when each is due.
//!
//! A [`Scheduler`] is a value: time and randomness are arguments, and what is due comes
//! out of [`Scheduler::poll`]. Whoever runs it looks at [`Scheduler::next_wake`], waits,
//! polls, and runs what it is handed. The `schedule.*` functions change it.
//!
//! Items are kept as they were written, with Salt's words (`seconds`, `when`, `cron`, …),
//! since that is how they are shown and saved.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use crate::jinja::DateTime;
use crate::python;
use crate::zone::Zone;

mod cron;
mod when;

pub use cron::Cron;
pub use when::When;

/// How Salt writes times in a schedule.
pub(crate) const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// The units of an interval, and their seconds.
const UNITS: [(&str, f64); 4] = [
    ("seconds", 1.0),
    ("minutes", 60.0),
    ("hours", 3_600.0),
    ("days", 86_400.0),
];

/// The longest interval: a thousand years.
const MOST_SECONDS: f64 = 3.2e10;

/// The most times that may be skipped in a row when the next one is looked for.
const MOST_SKIPPED: usize = 10_000;

/// Where items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration and what was added to it.
    Config,
    /// The pillar, which this minion cannot change.
    Pillar,
    /// Both; an item of the pillar wins.
    Both,
}

/// A job that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The name of its item.
    pub name: String,
    /// What to call.
    pub function: String,
    /// Its positional arguments.
    pub args: Vec<Value>,
    /// Its keywords.
    pub kwargs: Map,
    /// What goes with the return, if the item states it.
    pub metadata: Option<Map>,
    /// Whether the master is told what came of it. Default true.
    pub return_job: bool,
    /// Whether the job counts for `maxrunning`. Default true.
    pub jid_include: bool,
}

/// How often an item is due.
#[derive(Clone, Debug, PartialEq)]
enum Timing {
    /// Every so many seconds.
    Every(i64),
    /// At certain times.
    At(Vec<When>),
    Cron(Cron),
    /// Once, at this local time.
    Once(i64),
    /// Only by `run_job`.
    Never,
}

/// What is known about an item beside what is written.
#[derive(Clone, Debug, Default, PartialEq)]
struct Course {
    timing: Option<Timing>,
    /// The planned time, local seconds.
    next: Option<i64>,
    /// The planned time with its splay.
    splayed: Option<i64>,
    last: Option<i64>,
    /// It runs because it is new, whatever its ranges say.
    is_first: bool,
    /// `run_after_skip_range` will make up for a time that was skipped.
    owed: bool,
    /// Asked for by `run_job`.
    wanted: bool,
}

/// The minion's own jobs.
///
/// ```
/// use salt_proto::{Map, Value};
/// use salt_state::{Scheduler, Zone};
///
/// let mut scheduler = Scheduler::new(Zone::default());
/// let item = Map::from([("function", Value::from("test.ping")), ("seconds", 60.into())]);
/// scheduler.insert("ping", item);
///
/// let (running, mut random) = (|_: &str| 0, |from, _| from);
/// // A new item runs at once, and then by its interval.
/// assert_eq!(scheduler.poll(1_000, &running, &mut random).len(), 1);
/// assert_eq!(scheduler.next_wake(), Some(1_060));
/// assert_eq!(scheduler.poll(1_059, &running, &mut random).len(), 0);
/// assert_eq!(scheduler.poll(1_060, &running, &mut random).len(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    zone: Zone,
    items: Map,
    pillar: Map,
    courses: BTreeMap<String, Course>,
    polled: Option<i64>,
}

impl Scheduler {
    /// Nothing is scheduled. Times of day are those of `zone`.
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            ..Self::default()
        }
    }

    /// Replaces the items of the configuration. Items that stay as they are keep their
    /// course.
    pub fn set_items(&mut self, items: Map) {
        let before = std::mem::replace(&mut self.items, completed(items));
        self.forget_changed(&before, Origin::Config);
    }

    /// Replaces the items of the pillar.
    pub fn set_pillar(&mut self, items: Map) {
        let before = std::mem::replace(&mut self.pillar, completed(items));
        self.forget_changed(&before, Origin::Pillar);
    }

    fn forget_changed(&mut self, before: &Map, origin: Origin) {
        let now = match origin {
            Origin::Pillar => &self.pillar,
            _ => &self.items,
        };
        self.courses.retain(|name, _| {
            let is_old = before.get(name.as_str()).is_some() || now.get(name.as_str()).is_some();
            !is_old || before.get(name.as_str()) == now.get(name.as_str())
        });
    }

    /// The items, with settings of the whole schedule such as `enabled`.
    pub fn items(&self, origin: Origin) -> Map {
        match origin {
            Origin::Config => self.items.clone(),
            Origin::Pillar => self.pillar.clone(),
            Origin::Both => {
                let mut all = self.items.clone();
                all.extend(self.pillar.clone());
                all
            }
        }
    }

    /// One item, the pillar's before the configuration's.
    pub fn item(&self, name: &str) -> Option<&Map> {
        let item = self.pillar.get(name).or_else(|| self.items.get(name));
        item.and_then(Value::as_map)
    }

    /// Whether an item is the pillar's.
    pub fn is_of_pillar(&self, name: &str) -> bool {
        self.pillar.get(name).is_some()
    }

    /// Adds an item to the configuration, or replaces one; it begins anew.
    pub fn insert(&mut self, name: &str, item: Map) {
        self.items.insert(name, item);
        self.courses.remove(name);
    }

    /// Takes an item out of the configuration; `false` if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.courses.remove(name);
        self.items.remove(name).is_some()
    }

    /// Whether anything runs at all.
    pub fn is_enabled(&self) -> bool {
        [&self.items, &self.pillar]
            .into_iter()
            .all(|items| items.get("enabled").is_none_or(Value::is_true))
    }

    /// Lets jobs run, or none.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.items.insert("enabled", enabled);
    }

    /// Lets one job run, or not; `false` if there is none of that name in the
    /// configuration.
    pub fn set_job_enabled(&mut self, name: &str, enabled: bool) -> bool {
        let item = self.items.get_mut(name).and_then(Value::as_map_mut);
        let Some(item) = item else {
            return false;
        };
        item.insert("enabled", enabled);
        true
    }

    /// Has a job run at the next poll, due or not.
    pub fn run_soon(&mut self, name: &str) {
        self.courses.entry(name.to_owned()).or_default().wanted = true;
    }

    /// Adds a time to one of an item's lists, `skip_explicit` or `run_explicit`, as Salt
    /// writes it.
    pub fn add_time(&mut self, name: &str, list: &str, time: &str, format: &str) {
        let Some(item) = self.items.get_mut(name).and_then(Value::as_map_mut) else {
            return;
        };
        let entry = Map::from([("time", time), ("time_fmt", format)]);
        let entries = item.get_or_insert_with(list, || Value::List(Vec::new()));
        if let Value::List(entries) = entries {
            entries.push(entry.into());
        }
    }

    /// When a job is due next, as a naive local time; `None`: never, or nothing is known
    /// about it yet.
    pub fn next_fire_time(&self, name: &str) -> Option<DateTime> {
        let course = self.courses.get(name)?;
        let item = self.item(name)?;
        let planned = course.splayed.or(course.next);
        let explicit = explicit_times(item, "run_explicit")
            .into_iter()
            .filter(|time| self.polled.is_none_or(|polled| *time > self.local(polled)))
            .min();
        naive([planned, explicit].into_iter().flatten().min()?)
    }

    /// What Salt's `schedule.job_status` shows: the item and its course. Times are local
    /// ones, written by a format of `strftime`.
    pub fn status(&self, name: &str, format: &str) -> Option<Map> {
        let mut status = self.item(name)?.clone();
        let Some(course) = self.courses.get(name) else {
            return Some(status);
        };
        let time = |at: Option<i64>| -> Value {
            match at.and_then(naive) {
                Some(at) => crate::jinja::date::strftime(at, format).into(),
                None => Value::Null,
            }
        };
        let has_splay = status.contains_key("splay");
        status.insert("_next_fire_time", time(course.next));
        status.insert("_splay", time(course.splayed));
        status.insert("_run_on_start", course.is_first);
        if let Some(Timing::Every(seconds)) = &course.timing {
            status.insert("_seconds", *seconds);
        }
        if !has_splay {
            status.insert("splay", Value::Null);
        }
        if course.last.is_some() {
            status.insert("run", true);
            status.insert("_last_run", time(course.last));
        }
        Some(status)
    }

    /// The moment (Unix seconds) at which the next job is due. A job that has not been
    /// polled yet is due now: `Some(0)`.
    pub fn next_wake(&self) -> Option<i64> {
        let mut first: Option<i64> = None;
        for (name, item) in &self.items(Origin::Both) {
            let (Some(name), Value::Map(item)) = (name.as_str(), item) else {
                continue;
            };
            let at = match self.courses.get(name) {
                None => Some(0),
                Some(course) if course.wanted => Some(0),
                Some(course) => {
                    let planned = course.splayed.or(course.next);
                    let explicit = explicit_times(item, "run_explicit").into_iter().min();
                    let local = [planned, explicit].into_iter().flatten().min();
                    local.map(|local| self.unix(local))
                }
            };
            first = [first, at].into_iter().flatten().min();
        }
        first
    }

    /// What is due at `now` (Unix seconds). `running` says how many runs of an item are
    /// under way, `random` draws a number from a range, both ends included.
    pub fn poll(
        &mut self,
        now: i64,
        running: &dyn Fn(&str) -> usize,
        random: &mut dyn FnMut(i64, i64) -> i64,
    ) -> Vec<Due> {
        let local = self.local(now);
        let before = self
            .polled
            .replace(now)
            .map_or(local - 1, |at| self.local(at));
        let items = self.items(Origin::Both);
        let whole = Whole {
            skip: items.get("skip_during_range").cloned(),
            run_after_skip: items
                .get("run_after_skip_range")
                .is_some_and(Value::is_true),
        };
        let mut due = Vec::new();
        for (name, item) in &items {
            let (Some(name), Value::Map(item)) = (name.as_str(), item) else {
                continue;
            };
            let mut course = self.courses.remove(name).unwrap_or_default();
            let enabled = self.may_run(item);
            let fires = course.handle_time(local, before, item, &whole, enabled, random);
            self.courses.insert(name.to_owned(), course);
            if fires && let Some(job) = self.job(name, item, now, running) {
                due.push(job);
            }
            self.forget_explicit(name, local);
        }
        self.courses
            .retain(|name, _| items.get(name.as_str()).is_some());
        due
    }

    fn may_run(&self, item: &Map) -> bool {
        self.is_enabled() && item.get("enabled").is_none_or(Value::is_true)
    }

    /// Times of `run_explicit` that are over are not needed any more.
    fn forget_explicit(&mut self, name: &str, local: i64) {
        let item = self.items.get_mut(name).and_then(Value::as_map_mut);
        if let Some(item) = item
            && let Some(Value::List(times)) = item.get_mut("run_explicit")
        {
            times.retain(|time| explicit_time(time).is_some_and(|time| time > local));
            if times.is_empty() {
                item.remove("run_explicit");
            }
        }
    }

    fn job(
        &self,
        name: &str,
        item: &Map,
        now: i64,
        running: &dyn Fn(&str) -> usize,
    ) -> Option<Due> {
        let jid_include = item.get("jid_include").is_none_or(Value::is_true);
        let most = item.get("maxrunning").and_then(Value::as_int).unwrap_or(1);
        if jid_include && i64::try_from(running(name)).unwrap_or(i64::MAX) >= most {
            return None;
        }
        let function = item.get("function").or_else(|| item.get("func"))?;
        let list = |value: &Value| match value {
            Value::List(items) => items.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let args = item.get("args").map(list).unwrap_or_default();
        let metadata = item.get("metadata").and_then(Value::as_map);
        Some(Due {
            name: name.to_owned(),
            function: python::str(function),
            args,
            kwargs: match item.get("kwargs") {
                Some(Value::Map(kwargs)) => kwargs.clone(),
                _ => Map::new(),
            },
            metadata: metadata.map(|metadata| self.stamped(metadata.clone(), now)),
            return_job: item.get("return_job").is_none_or(Value::is_true),
            jid_include,
        })
    }

    /// Metadata with the time of the run in Salt's three forms.
    fn stamped(&self, mut metadata: Map, now: i64) -> Map {
        let offset = self.zone.offset(now).0;
        let minutes = offset.abs() / 60;
        let sign = if offset < 0 { '-' } else { '+' };
        metadata.insert(
            "_TOS",
            format!("{sign}{:02}{:02}", minutes / 60, minutes % 60),
        );
        if let Some(at) = naive(self.local(now)) {
            let time = |format| crate::jinja::date::strftime(at, format);
            metadata.insert("_TS", time("%a %b %e %H:%M:%S %Y"));
            metadata.insert("_TT", time("%Y %B %d %a %H %m"));
        }
        metadata
    }

    /// What the local clock shows at a moment, as seconds since 1970.
    fn local(&self, unix: i64) -> i64 {
        unix.saturating_add(self.zone.offset(unix).0.into())
    }

    /// The moment at which the local clock shows this. Of two, one; of none, the one after
    /// the clock was put forward.
    fn unix(&self, local: i64) -> i64 {
        let guess = local.saturating_sub(self.zone.offset(local).0.into());
        local.saturating_sub(self.zone.offset(guess).0.into())
    }
}

/// Items with what Salt adds to those that somebody wrote.
fn completed(mut items: Map) -> Map {
    let names: Vec<String> = items.keys().map(python::str).collect();
    for name in names {
        let Some(item) = items.get_mut(&name).and_then(Value::as_map_mut) else {
            continue;
        };
        item.get_or_insert_with("name", || name.as_str().into());
        if item.get("enabled").is_none_or(Value::is_true) {
            item.get_or_insert_with("jid_include", || true.into());
            item.get_or_insert_with("maxrunning", || 1.into());
            item.get_or_insert_with("enabled", || true.into());
        }
    }
    items
}

/// What holds for the whole schedule.
struct Whole {
    skip: Option<Value>,
    run_after_skip: bool,
}

impl Course {
    /// Plans what has no plan, and says whether the job runs now (all times local).
    fn handle_time(
        &mut self,
        now: i64,
        before: i64,
        item: &Map,
        whole: &Whole,
        enabled: bool,
        random: &mut dyn FnMut(i64, i64) -> i64,
    ) -> bool {
        if self.timing.is_none() {
            let timing = Timing::of(item, now);
            if matches!(timing, Timing::Every(_))
                && item.get("run_on_start").is_none_or(Value::is_true)
            {
                self.is_first = true;
                self.next = Some(now);
            } else {
                self.next = timing.next(now, item);
                self.splayed = splay(self.next, item, random);
            }
            self.timing = Some(timing);
        }
        if std::mem::take(&mut self.wanted) {
            self.last = Some(now);
            return true;
        }
        // A time may have been taken out of the plan since.
        if let (Some(next), Some(timing)) = (self.next, &self.timing)
            && !self.is_first
            && skips(item).contains(&next)
        {
            self.next = timing.next(next, item);
            self.splayed = splay(self.next, item, random);
        }
        let explicit = explicit_times(item, "run_explicit")
            .into_iter()
            .any(|time| before < time && time <= now);
        let planned = self
            .splayed
            .or(self.next)
            .is_some_and(|planned| planned <= now);
        if !enabled {
            // What came while it was disabled is over.
            if planned {
                self.advance(now, item, random);
            }
            return false;
        }
        let skip = item
            .get("skip_during_range")
            .or(whole.skip.as_ref())
            .and_then(|range| in_range(range, now));
        let makes_up =
            whole.run_after_skip || item.get("run_after_skip_range").is_some_and(Value::is_true);
        let owed = self.owed && skip != Some(true);
        if owed {
            self.owed = false;
        }
        let mut fires = explicit || owed;
        if planned {
            let is_first = std::mem::take(&mut self.is_first);
            let allowed = is_first
                || (item.get("range").is_none_or(|range| {
                    let inverted = range.get("invert").is_some_and(Value::is_true);
                    in_range(range, now).is_some_and(|inside| inside != inverted)
                }) && after_and_until(item, now));
            if allowed && !is_first && skip == Some(true) {
                self.owed = makes_up;
            } else {
                fires |= allowed;
            }
            self.advance(now, item, random);
        }
        if fires {
            self.last = Some(now);
        }
        fires
    }

    fn advance(&mut self, now: i64, item: &Map, random: &mut dyn FnMut(i64, i64) -> i64) {
        self.is_first = false;
        self.next = match &self.timing {
            // Once is once.
            Some(Timing::Once(_)) | None => None,
            Some(timing) => timing.next(now, item),
        };
        self.splayed = splay(self.next, item, random);
    }
}

impl Timing {
    fn of(item: &Map, now: i64) -> Self {
        let mut seconds = 0.0;
        let mut is_interval = false;
        for (unit, length) in UNITS {
            let count = match item.get(unit) {
                None | Some(Value::Null) => continue,
                Some(Value::Float(count)) => *count,
                Some(count) => match python::str(count).parse::<f64>() {
                    Ok(count) => count,
                    Err(_) => return Self::Never,
                },
            };
            is_interval = true;
            seconds += count * length;
        }
        if is_interval {
            if !seconds.is_finite() || seconds <= 0.0 {
                return Self::Never;
            }
            #[expect(clippy::cast_possible_truncation, reason = "the range is limited")]
            return Self::Every((seconds.min(MOST_SECONDS).ceil() as i64).max(1));
        }
        let today = now.div_euclid(86_400);
        let when = |value: &Value| match value {
            Value::DateTime(at) => {
                let text = DateTime::from_plain(*at).iso('T');
                When::parse(&text, today)
            }
            value => When::parse(&python::str(value), today),
        };
        if let Some(once) = item.get("once").filter(|once| once.is_true()) {
            let format = item.str("once_fmt").unwrap_or(TIME_FORMAT);
            let at = match once {
                Value::DateTime(at) => Some(DateTime::from_plain(*at).unix()),
                once => when::by_format(&python::str(once), format),
            };
            return at.map_or(Self::Never, Self::Once);
        }
        match (item.get("when"), item.get("cron")) {
            (Some(Value::List(times)), _) => Self::At(times.iter().filter_map(when).collect()),
            (Some(time), _) if time.is_true() => {
                when(time).map_or(Self::Never, |time| Self::At(vec![time]))
            }
            (_, Some(cron)) => Cron::parse(&python::str(cron)).map_or(Self::Never, Self::Cron),
            _ => Self::Never,
        }
    }

    /// The first time after `after` that is not to be skipped.
    fn next(&self, after: i64, item: &Map) -> Option<i64> {
        let skipped = skips(item);
        let mut after = after;
        for _ in 0..MOST_SKIPPED {
            let next = match self {
                Self::Every(seconds) => after.checked_add(*seconds)?,
                Self::At(times) => times
                    .iter()
                    .filter_map(|time| time.next(after.saturating_add(1)))
                    .min()?,
                Self::Cron(cron) => cron.next(after)?,
                Self::Once(at) => return (*at > after && !skipped.contains(at)).then_some(*at),
                Self::Never => return None,
            };
            if !skipped.contains(&next) {
                return Some(next);
            }
            after = next;
        }
        None
    }
}

/// A planned time put off by chance, if the item says so.
fn splay(next: Option<i64>, item: &Map, random: &mut dyn FnMut(i64, i64) -> i64) -> Option<i64> {
    let next = next?;
    let whole = |value: Option<&Value>| value.and_then(Value::as_int).map(|n| n.max(0));
    let (from, to) = match item.get("splay")? {
        range @ Value::Map(_) => (whole(range.get("start"))?, whole(range.get("end"))?),
        number => (1, whole(Some(number)).filter(|number| *number > 0)?),
    };
    if from > to {
        return None;
    }
    next.checked_add(random(from, to).clamp(from, to))
}

/// Whether a local time is between `start` and `end`; `None` when that cannot be said.
fn in_range(range: &Value, now: i64) -> Option<bool> {
    let at = |key: &str| {
        let text = python::str(range.get(key)?);
        When::parse(&text, now.div_euclid(86_400))?.around(now)
    };
    let (start, end) = (at("start")?, at("end")?);
    (start <= end).then_some(start <= now && now <= end)
}

fn after_and_until(item: &Map, now: i64) -> bool {
    let at = |key: &str| {
        let text = python::str(item.get(key)?);
        When::parse(&text, now.div_euclid(86_400))?.around(now)
    };
    at("after").is_none_or(|after| now > after) && at("until").is_none_or(|until| now <= until)
}

fn skips(item: &Map) -> Vec<i64> {
    explicit_times(item, "skip_explicit")
}

/// The times of a list of `{time, time_fmt}` or of plain texts.
fn explicit_times(item: &Map, list: &str) -> Vec<i64> {
    match item.get(list) {
        Some(Value::List(times)) => times.iter().filter_map(explicit_time).collect(),
        Some(time) => explicit_time(time).into_iter().collect(),
        None => Vec::new(),
    }
}

fn explicit_time(value: &Value) -> Option<i64> {
    match value {
        Value::Map(entry) => {
            let format = entry.str("time_fmt").unwrap_or(TIME_FORMAT);
            when::by_format(&python::str(entry.get("time")?), format)
        }
        Value::DateTime(at) => Some(DateTime::from_plain(*at).unix()),
        text => when::by_format(&python::str(text), TIME_FORMAT),
    }
}

fn naive(local: i64) -> Option<DateTime> {
    #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
    DateTime::from_unix(local as f64)
}

/// Whether a text is a time that `when` understands.
pub(crate) fn is_when(text: &str) -> bool {
    When::parse(text, 0).is_some()
}

/// Whether a text is a time of this format.
pub(crate) fn is_time(text: &str, format: &str) -> bool {
    when::by_format(text, format).is_some()
}
