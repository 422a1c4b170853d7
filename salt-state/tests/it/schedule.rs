//! `schedule.*` against what Salt 3008.3's own answered for the same calls, in a daemon
//! and without one, and when jobs of the schedule are due.

use std::path::Path;

use proptest::prelude::*;
use salt_proto::{Map, Value};
use salt_state::scheduler::Origin;
use salt_state::{
    Args, Check, Context, Engines, FakeSystem, MinionData, Observe as _, Registry, Scheduler, Zone,
};
use serde_json::Value as Json;

use crate::golden::call_arguments;

const CALLS: &str = include_str!("../vectors/schedule.json");
const STATES: &str = include_str!("../vectors/schedule_states.json");
const FILE: &str = "/etc/salt/minion.d/_schedule.conf";

/// What a call says that depends on when jobs ran.
const BY_CLOCK: [&str; 2] = ["schedule.job_status", "schedule.show_next_fire_time"];

fn minion() -> MinionData {
    MinionData {
        id: "rec".to_owned(),
        config: Map::from([("config_dir", "/etc/salt")]),
        ..MinionData::default()
    }
}

/// The daemon's schedule as it begins.
fn engines() -> Engines {
    let mine = Map::from([
        ("enabled", Value::from(true)),
        ("function", "mine.update".into()),
        ("jid_include", true.into()),
        ("maxrunning", 2.into()),
        ("minutes", 60.into()),
        ("name", "__mine_interval".into()),
        ("return_job", false.into()),
        ("run_on_start", true.into()),
    ]);
    let engines = Engines::new(Zone::default());
    engines
        .schedule
        .lock()
        .unwrap()
        .set_items(Map::from([("__mine_interval", mine)]));
    engines
}

fn value(json: &Json) -> Value {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn map(json: &Json) -> Map {
    match value(json) {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    }
}

/// A saved schedule without what a running minion of Salt leaves in it.
fn saved(text: &str) -> Value {
    let mut whole = salt_state::yaml::load(text).unwrap();
    if let Some(items) = whole
        .as_map_mut()
        .and_then(|whole| whole.get_mut("schedule"))
        && let Some(items) = items.as_map_mut()
    {
        let names: Vec<String> = items
            .keys()
            .filter_map(|k| k.as_str().map(str::to_owned))
            .collect();
        for name in names {
            if let Some(item) = items.get_mut(&name).and_then(Value::as_map_mut) {
                item.remove("run");
                if item.get("splay").is_some_and(Value::is_null) {
                    item.remove("splay");
                }
            }
        }
    }
    whole
}

fn replay(which: &str, engines: Option<&Engines>) {
    let recorded: Json = serde_json::from_str(CALLS).unwrap();
    let (registry, machine, minion) = (Registry::builtin(), FakeSystem::new(), minion());
    let (mut compared, mut wrong) = (0, Vec::new());
    for step in recorded[which].as_array().unwrap() {
        let name = step["call"].as_str().unwrap();
        let args = call_arguments(step);
        let mut context = Context::new(&registry, &machine, &minion);
        context.engines = engines;
        let answer = registry.call(name, &args, &context);
        let shown = format!("{name} {} {}", step["args"], step["kwargs"]);
        if let Some(raised) = step.get("raises").and_then(Json::as_str) {
            compared += 1;
            match answer {
                Err(error) if raised.contains(&error.to_string()) => {}
                // There is no event bus to be waited for.
                Err(_) if which == "local" && BY_CLOCK.contains(&name) => {}
                Ok(_) if which == "local" && name == "schedule.reload" => {}
                other => wrong.push(format!("{shown}: {raised}\n  {other:?}")),
            }
            continue;
        }
        if which == "daemon" && BY_CLOCK.contains(&name) {
            assert!(answer.is_ok(), "{shown}: {answer:?}");
            continue;
        }
        compared += 1;
        if answer.as_ref() != Ok(&value(&step["returns"])) {
            wrong.push(format!(
                "{shown}:\n  {:?}\n  {answer:?}",
                value(&step["returns"])
            ));
        }
        let ours = machine.text(Path::new(FILE)).unwrap();
        let theirs = step["file"].as_str();
        // Salt's is there before the first call.
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && saved(&ours) != saved(theirs)
        {
            wrong.push(format!("{shown}: file\n  {theirs}\n  {ours}"));
        }
    }
    println!("{which}: {compared} calls as Salt's, {} not", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100);
}

#[test]
fn a_daemons_functions_answer_as_salts() {
    replay("daemon", Some(&engines()));
}

#[test]
fn functions_without_a_daemon_answer_as_salts_and_write_the_file_offline() {
    replay("local", None);
}

#[test]
fn the_saved_file_is_salts_to_the_byte() {
    let recorded: Json = serde_json::from_str(CALLS).unwrap();
    let (registry, machine, minion) = (Registry::builtin(), FakeSystem::new(), minion());
    let context = Context::new(&registry, &machine, &minion);
    let mut compared = 0;
    for step in recorded["local"].as_array().unwrap() {
        if step["kwargs"].get("offline").is_none() || step.get("returns").is_none() {
            continue;
        }
        let args = call_arguments(step);
        registry
            .call(step["call"].as_str().unwrap(), &args, &context)
            .unwrap();
        if let Some(text) = step["file"].as_str() {
            let ours = machine.text(Path::new(FILE)).unwrap();
            assert_eq!(ours.as_deref(), Some(text), "{step}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}

#[test]
fn states_say_what_salts_say() {
    let recorded: Vec<Json> = serde_json::from_str(STATES).unwrap();
    let (registry, machine, minion) = (Registry::builtin(), FakeSystem::new(), minion());
    let engines = engines();
    let mut compared = 0;
    for step in &recorded {
        let name = step["state"].as_str().unwrap();
        let mut args = Args::new();
        let mut low = Map::new();
        let mut test = false;
        for (key, arg) in &map(&step["kwargs"]) {
            match key.as_str().unwrap() {
                "test" => test = arg.is_true(),
                key => {
                    args = args.keyword(key, arg.clone());
                    low.insert(key, arg.clone());
                }
            }
        }
        let mut context = Context::new(&registry, &machine, &minion);
        context.engines = Some(&engines);
        let check = Check::new(&context, &low, test);
        let plan = registry.check(name, &args, &check);
        let theirs = map(&step["ret"]);
        let theirs_said = theirs.str("comment").unwrap();
        if let Some(raised) = theirs_said.strip_prefix("raises ") {
            let error = plan.unwrap_err();
            assert!(raised.contains(&error.to_string()), "{raised}: {error}");
            compared += 1;
            continue;
        }
        let before = (
            engines.schedule.lock().unwrap().items(Origin::Both),
            machine.text(Path::new(FILE)).unwrap(),
        );
        let plan = plan.unwrap();
        let outcome = match test {
            true => plan.predicted(),
            false => plan.carry_out(&context).unwrap(),
        };
        if test {
            let after = (
                engines.schedule.lock().unwrap().items(Origin::Both),
                machine.text(Path::new(FILE)).unwrap(),
            );
            assert_eq!(before, after, "a dry run changes nothing");
        }
        assert_eq!(outcome.comment, theirs_said.into(), "{step}");
        assert_eq!(
            outcome.changes.clone().into_map(),
            map(&step["ret"]["changes"]),
            "{step}"
        );
        assert_eq!(outcome.result, step["ret"]["result"].as_bool(), "{step}");
        compared += 1;
    }
    println!("{compared} states as Salt's");
    assert!(compared >= 26);
}

fn item(entries: &[(&str, Value)]) -> Map {
    let mut item = Map::from([("function", "test.ping")]);
    for (key, value) in entries {
        item.insert(*key, value.clone());
    }
    item
}

/// Polls every `step` seconds and returns when the job ran.
fn runs(scheduler: &mut Scheduler, from: i64, to: i64, step: usize) -> Vec<i64> {
    let mut at = Vec::new();
    for now in (from..=to).step_by(step) {
        let due = scheduler.poll(now, &|_| 0, &mut |from, _| from);
        assert!(due.len() <= 1);
        at.extend(due.iter().map(|_| now));
    }
    at
}

/// 2026-11-22 13:54:01 UTC, a Sunday.
const NOW: i64 = 1_795_355_641;

#[test]
fn next_times_are_those_of_salt() {
    let cases = [
        (
            item(&[("when", "11:00pm".into())]),
            Some("2026-11-22T23:00:00"),
        ),
        (
            item(&[(
                "when",
                vec![Value::from("Monday 5:00pm"), "Tuesday 3:00pm".into()].into(),
            )]),
            Some("2026-11-23T17:00:00"),
        ),
        (item(&[("when", "2020-01-01T00:00:00".into())]), None),
        (
            item(&[("cron", "*/5 * * * *".into())]),
            Some("2026-11-22T13:55:00"),
        ),
        (
            item(&[("cron", "0 3 1-7 * mon".into())]),
            Some("2026-11-23T03:00:00"),
        ),
        (
            item(&[("once", "2035-01-01T00:00:00".into())]),
            Some("2035-01-01T00:00:00"),
        ),
        (
            item(&[
                ("once", "01/02/2035 10:00".into()),
                ("once_fmt", "%d/%m/%Y %H:%M".into()),
            ]),
            Some("2035-02-01T10:00:00"),
        ),
        (
            item(&[("seconds", 100.into()), ("run_on_start", false.into())]),
            Some("2026-11-22T13:55:41"),
        ),
        (
            item(&[
                ("minutes", 2.into()),
                ("hours", 1.into()),
                ("days", 1.into()),
            ]),
            Some("2026-11-23T14:56:01"),
        ),
        (item(&[("seconds", "abc".into())]), None),
        (item(&[("seconds", 0.into())]), None),
        (item(&[("cron", "bad".into())]), None),
    ];
    for (item, expected) in cases {
        let mut scheduler = Scheduler::new(Zone::default());
        scheduler.insert("j", item.clone());
        scheduler.poll(NOW, &|_| 0, &mut |from, _| from);
        let status = scheduler.status("j", "%Y-%m-%dT%H:%M:%S").unwrap();
        assert_eq!(status.str("_next_fire_time"), expected, "{item:?}");
    }
}

#[test]
fn ranges_hold_from_the_second_run_on_and_disabled_jobs_do_not_catch_up() {
    let range = Map::from([("start", "1:00am"), ("end", "2:00am")]);
    let mut scheduler = Scheduler::new(Zone::default());
    scheduler.insert(
        "j",
        item(&[("seconds", 600.into()), ("range", range.into())]),
    );
    let midnight = NOW - NOW % 86_400;
    let at = runs(&mut scheduler, midnight, midnight + 86_399, 60);
    assert_eq!(at.first(), Some(&midnight));
    assert!(
        at[1..]
            .iter()
            .all(|at| (3_600..=7_200).contains(&(at - midnight))),
        "{at:?}"
    );
    assert_eq!(at.len(), 8);

    let mut scheduler = Scheduler::new(Zone::default());
    scheduler.insert("j", item(&[("seconds", 60.into())]));
    runs(&mut scheduler, NOW, NOW + 5, 1);
    scheduler.set_job_enabled("j", false);
    assert!(runs(&mut scheduler, NOW + 6, NOW + 200, 1).is_empty());
    scheduler.set_job_enabled("j", true);
    assert!(runs(&mut scheduler, NOW + 201, NOW + 202, 1).is_empty());
    assert_eq!(runs(&mut scheduler, NOW + 203, NOW + 300, 1).len(), 2);
}

#[test]
fn postponed_runs_come_at_their_new_time_and_busy_jobs_wait() {
    let mut scheduler = Scheduler::new(Zone::default());
    scheduler.insert("j", item(&[("cron", "0 * * * *".into())]));
    runs(&mut scheduler, NOW, NOW, 1);
    scheduler.add_time(
        "j",
        "skip_explicit",
        "2026-11-22T14:00:00",
        "%Y-%m-%dT%H:%M:%S",
    );
    scheduler.add_time(
        "j",
        "run_explicit",
        "2026-11-22T14:10:00",
        "%Y-%m-%dT%H:%M:%S",
    );
    let hour = NOW - NOW % 3_600;
    let at = runs(&mut scheduler, NOW + 1, hour + 3 * 3_600, 1);
    assert_eq!(at, [hour + 4_200, hour + 7_200, hour + 10_800]);

    let mut scheduler = Scheduler::new(Zone::default());
    scheduler.insert(
        "j",
        item(&[("seconds", 10.into()), ("maxrunning", 2.into())]),
    );
    assert!(scheduler.poll(NOW, &|_| 2, &mut |from, _| from).is_empty());
    assert_eq!(
        scheduler.poll(NOW + 10, &|_| 1, &mut |from, _| from).len(),
        1
    );
}

proptest! {
    /// What `next_wake` and `next_fire_time` name is what then fires: nothing before,
    /// exactly once at it, whatever the way of stating it and however often one looks.
    #[test]
    fn due_times_are_neither_missed_nor_taken_twice(
        kind in 0_u8..5,
        seconds in 1_i64..5_000,
        minute in 0_i64..60,
        hour in 0_i64..24,
        splay in 0_i64..50,
        draw in 0_i64..50,
        looks in proptest::collection::vec(1_i64..4_000, 1..60),
    ) {
        let mut stated = item(&[]);
        match kind {
            0 => { stated.insert("seconds", seconds); }
            1 => { stated.insert("cron", format!("{minute} {hour} * * *")); }
            2 => { stated.insert("when", format!("{hour:02}:{minute:02}")); }
            3 => { stated.insert("cron", format!("{minute}-59/7 */3 * * *")); }
            _ => { stated.insert("when", vec![Value::from("monday 5pm"), format!("{hour:02}:{minute:02}").into()]); }
        }
        if splay > 0 {
            stated.insert("splay", splay);
        }
        stated.insert("run_on_start", false);
        let mut random = |from: i64, to: i64| (from + draw).min(to);
        let mut scheduler = Scheduler::new(Zone::default());
        scheduler.insert("j", stated);
        let mut now = NOW;
        prop_assert!(scheduler.poll(now, &|_| 0, &mut random).is_empty());
        for look in looks {
            let planned = scheduler.next_wake().unwrap();
            prop_assert_eq!(scheduler.next_fire_time("j").unwrap().unix(), planned);
            prop_assert!(planned > now);
            // A look too early finds nothing and moves nothing.
            if now + look < planned {
                now += look;
                prop_assert!(scheduler.poll(now, &|_| 0, &mut random).is_empty());
                prop_assert_eq!(scheduler.next_wake(), Some(planned));
                prop_assert!(scheduler.poll(planned - 1, &|_| 0, &mut random).is_empty());
            }
            now = planned;
            prop_assert_eq!(scheduler.poll(now, &|_| 0, &mut random).len(), 1);
            prop_assert_eq!(scheduler.poll(now, &|_| 0, &mut random).len(), 0);
        }
    }

    /// Whatever is in a schedule, nothing panics and at most one run of a job is due.
    #[test]
    fn any_item_is_survived(
        keys in proptest::collection::vec(
            ("(seconds|minutes|days|when|cron|once|range|splay|after|until|skip_explicit|skip_during_range)",
             "[0-9apm:/*, -]{0,12}|[a-z]{3,9} [0-9]{1,2}(am|pm)"), 0..5),
        number in any::<i64>(),
        numbers in any::<bool>(),
    ) {
        let mut stated = item(&[]);
        for (key, text) in keys {
            if numbers { stated.insert(key, number); } else { stated.insert(key, text); }
        }
        let mut scheduler = Scheduler::new(Zone::default());
        scheduler.insert("j", stated);
        for now in [NOW, NOW + 1, NOW + 100_000] {
            prop_assert!(scheduler.poll(now, &|_| 0, &mut |from, to| from.max(to)).len() <= 1);
        }
    }
}
