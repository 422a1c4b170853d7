//! The loads that every benchmark here measures, and the clock they are measured with.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Map, Value};

/// The sizes of the return loads, in bytes of MessagePack.
pub const SIZES: [usize; 6] = [128, 250, 1 << 10, 16 << 10, 256 << 10, 1 << 20];

/// A return of about `size` bytes: seven short fields, and one byte string for the rest. The same as in `compare`.
pub fn return_load(size: usize) -> Map {
    let data: Vec<u8> = (0..size.saturating_sub(130))
        .map(|i| (i * 7 % 251) as u8 | 128)
        .collect();
    Map::from([
        ("cmd", Value::from("_return")),
        ("id", "minion.example".into()),
        ("jid", "20260101000000000000".into()),
        ("fun", "test.echo".into()),
        ("fun_args", Value::List(Vec::new())),
        ("return", data.into()),
        ("retcode", 0.into()),
        ("success", true.into()),
        ("ts", 1_767_225_600.into()),
    ])
}

/// What a highstate of `states` states returns.
pub fn highstate(states: i64) -> Map {
    let states: Map = (0..states)
        .map(|n| {
            let state = Map::from([
                ("name", Value::from(format!("/etc/f{n}"))),
                ("changes", Map::new().into()),
                ("result", true.into()),
                (
                    "comment",
                    format!("File /etc/f{n} is in the correct state").into(),
                ),
                ("__sls__", "a.b".into()),
                ("__run_num__", n.into()),
                ("start_time", "00:00:00.000000".into()),
                ("duration", 1.234.into()),
                ("__id__", format!("id{n}").into()),
            ]);
            (format!("file_|-id{n}_|-/etc/f{n}_|-managed"), state)
        })
        .collect();
    let mut load = return_load(0);
    load.insert("fun", "state.highstate");
    load.insert("return", states);
    load
}

/// What a minion sends with its pillar request: `n` grains of a few kinds.
pub fn grains(n: i64) -> Map {
    let grains: Map = (0..n)
        .map(|i| {
            let nested = Map::from([("a", Value::from(i)), ("b", i.to_string().into())]);
            (
                format!("grain{i}"),
                Value::List(vec![format!("value{i}").into(), nested.into()]),
            )
        })
        .collect();
    Map::from([
        ("cmd", Value::from("_pillar")),
        ("id", "minion.example".into()),
        ("grains", grains.into()),
    ])
}

/// A published job.
pub fn publication() -> Map {
    Map::from([
        ("tgt_type", Value::from("glob")),
        ("jid", "20260101000000000000".into()),
        ("tgt", "*".into()),
        ("ret", "".into()),
        ("user", "root".into()),
        ("arg", Value::List(Vec::new())),
        ("fun", "test.ping".into()),
    ])
}

/// The bytes of a load in the network dialect.
pub fn encoded(load: &Map) -> Vec<u8> {
    let mut bytes = Vec::new();
    msgpack::encode_map(load, Dialect::Raw, &mut bytes);
    bytes
}

/// A generator that draws the same numbers in every run.
pub fn rng() -> StdRng {
    StdRng::seed_from_u64(20_260_101)
}

/// The CPU time this thread has used.
pub fn thread_cpu() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        at.tv_sec.unsigned_abs(),
        u32::try_from(at.tv_nsec).unwrap_or_default(),
    )
}

/// CPU nanoseconds of one call: the least of many short rounds.
///
/// The least, because whatever shares the machine (another thread of the same
/// core above all) only ever adds, and adds most to what uses a core best.
pub fn cost(mut call: impl FnMut()) -> f64 {
    let mut round = |calls: u32| {
        let began = thread_cpu();
        for _ in 0..calls {
            call();
        }
        thread_cpu().saturating_sub(began)
    };
    let mut calls = 1_u32;
    let mut took = round(calls);
    while took < Duration::from_millis(1) {
        calls = calls.saturating_mul(2);
        took = round(calls);
    }
    let least = (0..50).map(|_| round(calls)).min().unwrap_or(took);
    least.as_secs_f64() * 1e9 / f64::from(calls)
}
