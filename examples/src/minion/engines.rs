//! What the minion does of its own accord: the jobs of its schedule, and what it watches.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::Rng as _;
use salt_proto::{Job, Map, Target, Value};
use salt_state::scheduler::{Due, Scheduler};
use salt_state::{Beacons, CallError, Host, Observe as _};

use super::Worker;

/// Salt's code for a job of the schedule that raised an exception.
const EX_UNHANDLED: i64 = 254;

/// The items of the schedule as the daemon begins: the configuration's, and the mine's.
pub(super) fn first_items(config: &crate::config::MinionConfig) -> Map {
    let mut items = match config.opts.get("schedule") {
        Some(Value::Map(items)) => items.clone(),
        _ => Map::new(),
    };
    let minutes = config.mine_interval.as_secs() / 60;
    if config.mine_enabled && minutes > 0 {
        items.insert(
            "__mine_interval",
            Map::from([
                ("function", Value::from("mine.update")),
                ("minutes", i64::try_from(minutes).unwrap_or(60).into()),
                ("jid_include", true.into()),
                ("maxrunning", 2.into()),
                ("run_on_start", true.into()),
                ("return_job", false.into()),
                ("name", "__mine_interval".into()),
                ("enabled", true.into()),
            ]),
        );
    } else {
        items.remove("__mine_interval");
    }
    items
}

impl Worker {
    fn schedule(&self) -> MutexGuard<'_, Scheduler> {
        self.engines
            .schedule
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn beacons(&self) -> MutexGuard<'_, Beacons> {
        self.engines
            .beacons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What a key of the pillar holds, when the pillar is another one than `seen`.
    fn fresh_items(&self, key: &str, seen: &mut Option<Arc<Map>>) -> Option<Map> {
        let fresh = self.handle.pillar();
        if seen.as_ref().is_some_and(|old| Arc::ptr_eq(old, &fresh)) {
            return None;
        }
        let items = fresh.get(key).and_then(Value::as_map).cloned();
        *seen = Some(fresh);
        Some(items.unwrap_or_default())
    }

    /// Looks with the beacons, once the minion is signed in, and tells the master.
    pub(super) async fn run_beacons(self: Arc<Self>) {
        if let Some(Value::Map(items)) = self.config.opts.get("beacons") {
            self.beacons().set_items(items.clone());
        }
        self.handle.until_receiving().await;
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pillar = None;
        loop {
            interval.tick().await;
            if let Some(items) = self.fresh_items("beacons", &mut pillar) {
                self.beacons().set_pillar(items);
            }
            if self.beacons().items(true, true).is_empty() {
                continue;
            }
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                let data = this.data();
                this.beacons().poll(unix_now(), this.host.as_ref(), &data)
            });
            for event in looked.await.unwrap_or_default() {
                if let Err(error) = self.handle.fire(&event.tag, event.data).await {
                    tracing::warn!(tag = event.tag, %error, "the master did not take a beacon's event");
                }
            }
        }
    }

    /// Runs the jobs of the schedule when they are due, once the minion is signed in.
    pub(super) async fn run_schedule(self: Arc<Self>) {
        self.schedule().set_items(first_items(&self.config));
        self.handle.until_receiving().await;
        let mut rng = crate::rng();
        let mut random = |from: i64, to: i64| {
            let span = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
            let drawn = rng.next_u64() % span.saturating_add(1);
            from.saturating_add(i64::try_from(drawn).unwrap_or(0))
        };
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pillar = None;
        loop {
            interval.tick().await;
            if let Some(items) = self.fresh_items("schedule", &mut pillar) {
                self.schedule().set_pillar(items);
            }
            let due = {
                let mut schedule = self.schedule();
                let now = unix_now();
                if schedule.next_wake().is_none_or(|wake| wake > now) {
                    continue;
                }
                let running = |name: &str| {
                    let jobs = self.proc_dir.running();
                    let of_item = |job: &&Map| job.str("schedule") == Some(name);
                    jobs.iter().filter(of_item).count()
                };
                schedule.poll(now, &running, &mut random)
            };
            for job in due {
                let this = Arc::clone(&self);
                tokio::task::spawn_blocking(move || this.run_due(job));
            }
        }
    }

    /// Runs a job of the schedule, and tells the master what came of it.
    fn run_due(&self, due: Due) {
        let jid = crate::jobs::new_jid();
        let mut job = Job::new(
            jid.clone(),
            due.function.as_str(),
            due.args,
            Target::glob(&self.config.id),
        );
        job.kwargs = due.kwargs;
        job.extra.insert("schedule", due.name.as_str());
        let mut fun_args = job.args.clone();
        if !job.kwargs.is_empty() {
            fun_args.push(job.kwargs.clone().into());
        }
        let running = self.proc_dir.enter(&jid, job.to_map());
        let host = Arc::new(
            Host::with_environment(self.host.environment()).for_job(Arc::clone(&running.children)),
        );
        let called = self.in_context(&job, &host, |registry, context| {
            let mut args = job.args.clone();
            if !job.kwargs.is_empty() {
                let mut kwargs = Map::from([("__kwarg__", true)]);
                kwargs.extend(job.kwargs.clone());
                args.push(kwargs.into());
            }
            registry.call_job(&due.function, &args, context)
        });
        drop(running);
        let (value, code) = match called {
            Ok(done) => done,
            Err(error @ (CallError::Unavailable(_) | CallError::Foreign { .. })) => {
                tracing::warn!(job = due.name, %error, "a job of the schedule failed");
                (error.to_string().into(), EX_UNHANDLED)
            }
            Err(error) => {
                tracing::warn!(job = due.name, %error, "a job of the schedule failed");
                let text = format!("Unhandled exception running {}", due.function);
                (text.into(), EX_UNHANDLED)
            }
        };
        if !due.return_job {
            return;
        }
        let mut load = Map::from([
            ("cmd", Value::from("_return")),
            ("id", self.config.id.as_str().into()),
            ("fun", due.function.as_str().into()),
            ("fun_args", fun_args.into()),
            ("schedule", due.name.as_str().into()),
            ("jid", (&jid).into()),
            ("pid", std::process::id().into()),
            ("return", value),
            ("retcode", code.into()),
            ("success", (code == 0).into()),
        ]);
        if let Some(metadata) = due.metadata {
            load.insert("metadata", metadata);
        }
        if let Err(error) = self.ask(load) {
            tracing::warn!(job = due.name, %error, "the master did not take the result of a job of the schedule");
        }
    }
}

pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
