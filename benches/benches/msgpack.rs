//! Encode and decode of typical loads, beside `rmp-serde` into the same type.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]

use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};
use salt_benches::{encoded, grains, highstate, publication, return_load};
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Limits, Map, Value};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const LOADS: [&str; 5] = [
    "publication",
    "return 250 B",
    "grains 150",
    "highstate 640",
    "return 256 KiB",
];

fn load(name: &str) -> Map {
    match name {
        "publication" => publication(),
        "return 250 B" => return_load(250),
        "grains 150" => grains(150),
        "highstate 640" => highstate(640),
        _ => return_load(256 << 10),
    }
}

#[divan::bench(args = LOADS)]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let load = load(name);
    let mut out = Vec::new();
    bencher
        .counter(BytesCount::new(encoded(&load).len()))
        .bench_local(|| {
            out.clear();
            msgpack::encode_map(black_box(&load), Dialect::Raw, &mut out);
        });
}

#[divan::bench(args = LOADS)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = encoded(&load(name));
    let limits = Limits::default();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| msgpack::decode(black_box(&bytes), &limits).unwrap());
}

#[divan::bench(args = LOADS)]
fn rmp_serde_encode(bencher: Bencher<'_, '_>, name: &str) {
    let load = Value::Map(load(name));
    bencher
        .counter(BytesCount::new(rmp_serde::to_vec(&load).unwrap().len()))
        .bench_local(|| rmp_serde::to_vec(black_box(&load)).unwrap());
}

#[divan::bench(args = LOADS)]
fn rmp_serde_decode(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = rmp_serde::to_vec(&Value::Map(load(name))).unwrap();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| rmp_serde::from_slice::<Value>(black_box(&bytes)).unwrap());
}
