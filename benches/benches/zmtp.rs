//! ZMTP: messages into bytes and back.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]

use std::time::Instant;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};
use salt_benches::SIZES;
use salt_proto::zmtp::{SocketType, Zmtp, ZmtpConfig, ZmtpEvent, encode_message};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A REQ and a ROUTER that have shaken hands.
fn pair(now: Instant) -> (Zmtp, Zmtp) {
    let mut req = Zmtp::new(ZmtpConfig::new(SocketType::Req), now);
    let mut router = Zmtp::new(ZmtpConfig::new(SocketType::Router), now);
    for _ in 0..3 {
        while let Some(bytes) = req.poll_transmit() {
            assert_eq!(router.handle_input(&bytes, now), bytes.len());
        }
        while let Some(bytes) = router.poll_transmit() {
            assert_eq!(req.handle_input(&bytes, now), bytes.len());
        }
    }
    while router.poll_event().is_some() {}
    (req, router)
}

#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher<'_, '_>, size: usize) {
    let frames = [Bytes::new(), Bytes::from(vec![7; size])];
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| encode_message(black_box(&frames)));
}

#[divan::bench(args = SIZES)]
fn decode(bencher: Bencher<'_, '_>, size: usize) {
    let now = Instant::now();
    let (_req, mut router) = pair(now);
    let message = encode_message(&[Bytes::new(), Bytes::from(vec![7; size])]);
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        assert_eq!(router.handle_input(black_box(&message), now), message.len());
        let event = router.poll_event();
        assert!(matches!(event, Some(ZmtpEvent::Message(_))));
        event
    });
}
