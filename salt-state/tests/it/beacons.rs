//! `beacons.*` against what Salt 3008.3's own answered for the same calls, and what
//! beacons see.

use salt_proto::{Map, Value};
use salt_state::{Args, Beacons, Check, Context, Engines, FakeSystem, MinionData, Registry, Zone};
use serde_json::Value as Json;

use crate::golden::call_arguments;

const RECORDED: &str = include_str!("../vectors/beacons.json");

fn value(json: &Json) -> Value {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn map(json: &Json) -> Map {
    value(json).as_map().unwrap().clone()
}

fn minion() -> MinionData {
    MinionData {
        id: "rec".to_owned(),
        config: Map::from([("config_dir", "/etc/salt")]),
        ..MinionData::default()
    }
}

fn entries(text: &str) -> Value {
    salt_state::yaml::load(text).unwrap()
}

/// A daemon with the pillar's beacon, and with `ps` if so asked.
fn engines(pillar: bool, with_ps: bool) -> Engines {
    let engines = Engines::new(Zone::default());
    {
        let mut own = engines.beacons.lock().unwrap();
        if pillar {
            let data = entries("[{percent: 100%}, {interval: 60}]");
            own.set_pillar(Map::from([("memusage", data)]));
        }
        if with_ps {
            own.insert("ps", entries("[{processes: {salt-master: running}}]"));
        }
    }
    engines
}

fn replay(part: &str, engines: &Engines) -> usize {
    let recorded: Json = serde_json::from_str(RECORDED).unwrap();
    let (registry, machine, minion) = (Registry::builtin(), FakeSystem::new(), minion());
    let mut context = Context::new(&registry, &machine, &minion);
    context.engines = Some(engines);
    let (mut compared, mut wrong) = (0, Vec::new());
    for step in recorded[part].as_array().unwrap() {
        let name = step["call"].as_str().unwrap();
        let args = call_arguments(step);
        let answer = registry.call(name, &args, &context);
        let is_right = match step.get("raises").and_then(Json::as_str) {
            Some(raised) => answer
                .as_ref()
                .is_err_and(|error| error.to_string() == raised),
            None => answer.as_ref() == Ok(&value(&step["returns"])),
        };
        compared += 1;
        if !is_right {
            wrong.push(format!("{step}\n  {answer:?}"));
        }
    }
    println!("{part}: {compared} calls");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    compared
}

#[test]
fn functions_answer_as_salts() {
    assert!(replay("first", &engines(false, false)) >= 35);
    assert!(replay("second", &engines(true, true)) >= 12);
}

#[test]
fn states_say_what_salts_say_and_dry_runs_change_nothing() {
    let recorded: Json = serde_json::from_str(RECORDED).unwrap();
    let (registry, machine, minion) = (Registry::builtin(), FakeSystem::new(), minion());
    let engines = engines(true, false);
    let mut context = Context::new(&registry, &machine, &minion);
    context.engines = Some(&engines);
    let mut compared = 0;
    for step in recorded["states"].as_array().unwrap() {
        let (mut args, mut test) = (Args::new(), false);
        for (key, arg) in &map(&step["kwargs"]) {
            match key.as_str().unwrap() {
                "test" => test = arg.is_true(),
                key => args = args.keyword(key, arg.clone()),
            }
        }
        let theirs = map(&step["ret"]);
        // Salt's own dry run of a change of a beacon fails with an exception.
        if theirs.str("comment").unwrap().contains("Traceback") {
            continue;
        }
        let low = Map::new();
        let check = Check::new(&context, &low, test);
        let before = engines.beacons.lock().unwrap().items(true, true);
        let plan = registry
            .check(step["state"].as_str().unwrap(), &args, &check)
            .unwrap();
        let outcome = match test {
            true => plan.predicted(),
            false => plan.carry_out(&context).unwrap(),
        };
        if test {
            assert_eq!(engines.beacons.lock().unwrap().items(true, true), before);
        }
        assert_eq!(
            outcome.comment,
            theirs.get("comment").cloned().unwrap(),
            "{step}"
        );
        assert_eq!(
            outcome.changes.into_map(),
            map(&step["ret"]["changes"]),
            "{step}"
        );
        assert_eq!(outcome.result, step["ret"]["result"].as_bool(), "{step}");
        compared += 1;
    }
    assert!(compared >= 14, "{compared}");
}

#[test]
fn events_are_shaped_as_salts() {
    let machine = FakeSystem::new()
        .file(
            "/proc/meminfo",
            "MemTotal: 1000 kB\nMemAvailable: 858 kB\nSwapTotal: 10 kB\nSwapFree: 10 kB\n",
        )
        .file("/proc/loadavg", "14.13 11.40 8.83 1/200 300\n")
        .file("/proc/1/comm", "init\n")
        .file(
            "/proc/net/dev",
            "Inter-| Receive | Transmit\n    lo: 11 2 0 0 0 0 0 0 12 3 0 0 0 0 0 0\n",
        );
    let minion = minion();
    let mut beacons = Beacons::default();
    beacons.insert("memusage", entries("[{percent: 1%}, {interval: 5}]"));
    beacons.insert("swapusage", entries("[{percent: 1%}]"));
    beacons.insert(
        "ps",
        entries("[{processes: {nosuchproc: stopped, init: stopped}}]"),
    );
    beacons.insert(
        "load2",
        entries("[{beacon_module: load}, {averages: {1m: [0.0, 0.01]}}, {onchangeonly: true}]"),
    );
    beacons.insert(
        "network_info",
        entries("[{interfaces: {lo: {type: greater, bytes_sent: 1}}}]"),
    );

    let events = beacons.poll(1_000, &machine, &minion);

    let shown: Vec<(&str, Value)> = events
        .iter()
        .map(|event| (event.tag.as_str(), event.data.clone().into()))
        .collect();
    // As recorded from Salt 3008.3, but for the numbers.
    let expected = [
        ("salt/beacon/rec/memusage/", "{memusage: 14.2, id: rec}"),
        ("salt/beacon/rec/ps/", "{nosuchproc: Stopped, id: rec}"),
        (
            "salt/beacon/rec/load2/",
            "{1m: 14.13, 5m: 11.40, 15m: 8.83, id: rec}",
        ),
        (
            "salt/beacon/rec/network_info/",
            "{interface: lo, network_info: {bytes_sent: 12, bytes_recv: 11, packets_sent: 3, packets_recv: 2, errin: 0, errout: 0, dropin: 0, dropout: 0}, id: rec}",
        ),
    ];
    let expected: Vec<(&str, Value)> = expected
        .into_iter()
        .map(|(tag, data)| (tag, entries(data)))
        .collect();
    assert_eq!(shown, expected);
    // The interval is kept, and what has not changed is not told again.
    let tags = |events: Vec<salt_state::BeaconEvent>| -> Vec<String> {
        events.into_iter().map(|event| event.tag).collect()
    };
    let again = tags(beacons.poll(1_001, &machine, &minion));
    assert_eq!(
        again,
        ["salt/beacon/rec/ps/", "salt/beacon/rec/network_info/"]
    );
    assert!(tags(beacons.poll(1_005, &machine, &minion))[0].contains("memusage"));
    beacons.set_enabled(false);
    assert!(beacons.poll(2_000, &machine, &minion).is_empty());
}
