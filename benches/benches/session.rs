//! Seal and open, both suites: bytes per second and allocations.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]

use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};
use salt_benches::{SIZES, encoded, return_load, rng};
use salt_crypto::{Nonce, Purpose, SessionKey, Suite};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn nonce() -> Nonce {
    Nonce::from_text(&"0".repeat(Nonce::LEN)).unwrap()
}

fn seal(bencher: Bencher<'_, '_>, suite: Suite, size: usize) {
    let (mut rng, mut out) = (rng(), Vec::new());
    let key = SessionKey::generate(&mut rng);
    let body = encoded(&return_load(size));
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| {
            out.clear();
            key.seal(
                suite,
                Purpose::Reply,
                Some(&nonce()),
                black_box(&body),
                &mut rng,
                &mut out,
            );
        });
}

fn open(bencher: Bencher<'_, '_>, suite: Suite, size: usize) {
    let (mut rng, mut out, mut sealed) = (rng(), Vec::new(), Vec::new());
    let key = SessionKey::generate(&mut rng);
    let body = encoded(&return_load(size));
    key.seal(
        suite,
        Purpose::Reply,
        Some(&nonce()),
        &body,
        &mut rng,
        &mut sealed,
    );
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| {
            out.clear();
            key.open(Purpose::Reply, Some(&nonce()), black_box(&sealed), &mut out)
                .unwrap()
        });
}

#[divan::bench(args = SIZES)]
fn seal_classic(bencher: Bencher<'_, '_>, size: usize) {
    seal(bencher, Suite::Classic, size);
}

#[divan::bench(args = SIZES)]
fn seal_gcm(bencher: Bencher<'_, '_>, size: usize) {
    seal(bencher, Suite::Aes256Gcm, size);
}

#[divan::bench(args = SIZES)]
fn open_classic(bencher: Bencher<'_, '_>, size: usize) {
    open(bencher, Suite::Classic, size);
}

#[divan::bench(args = SIZES)]
fn open_gcm(bencher: Bencher<'_, '_>, size: usize) {
    open(bencher, Suite::Aes256Gcm, size);
}
