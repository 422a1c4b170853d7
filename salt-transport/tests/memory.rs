//! T-02: what strangers make a server hold, counted by the allocator.
//!
//! A binary with a single test, because the count is the whole process's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use peak_alloc::PeakAlloc;
use salt_transport::{Channel, Dial, MasterAddr, MemoryDial, ServeLimits, Server, Wire, memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const STRANGERS: usize = 200;
const KIB: usize = 1024;
/// Both directions of a stream in memory, which hold what is on its way.
const PIPE: usize = 4 * KIB;
/// What our side of a connection takes: task, machine, place behind the gate.
const CONNECTION: usize = 12 * KIB;
/// What a peer may leave unfinished without asking.
const UNFINISHED: usize = 64 * KIB;

const GREETING: &[u8; 64] =
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY_REQ: &[u8] = b"\x04\x26\x05READY\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0";

#[test]
fn strangers_make_a_server_hold_no_more_than_its_limits() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for (wire, begin) in [
            // A frame, and a text, of 64 MiB.
            (
                Wire::Zeromq,
                [GREETING.as_slice(), READY_REQ, b"\x02\0\0\0\0\x04\0\0\0"].concat(),
            ),
            (
                Wire::Tcp,
                b"\x82\xa4head\x80\xa4body\xdb\x04\0\0\0".to_vec(),
            ),
        ] {
            let silent = held_by_strangers(wire, b"", 0, ServeLimits::default()).await;
            assert!(
                silent <= CONNECTION + PIPE,
                "{wire:?}: silent, {silent} bytes"
            );

            let announced = held_by_strangers(wire, &begin, 0, ServeLimits::default()).await;
            assert!(
                announced <= CONNECTION + PIPE + 8 * KIB,
                "{wire:?}: announced, {announced} bytes"
            );

            // They send a quarter of a megabyte each, and all of them together may leave eight unfinished.
            let limits = ServeLimits {
                max_unfinished: 8 << 20,
                ..ServeLimits::default()
            };
            let sent = held_by_strangers(wire, &begin, 256 * KIB, limits).await;
            // A buffer that grows is at most twice as large as what is in it, and is
            // there twice while it moves.
            let bound = CONNECTION + PIPE + 3 * (UNFINISHED + (8 << 20) / STRANGERS);
            assert!(sent <= bound, "{wire:?}: sent, {sent} bytes, bound {bound}");
        }
    });
}

/// The most that was held for one of many strangers, in bytes, who say `begin`
/// and then send `more` bytes.
async fn held_by_strangers(wire: Wire, begin: &[u8], more: usize, limits: ServeLimits) -> usize {
    let (dial, _publish, request) = memory(PIPE / 2);
    let (_requests, serving) = Server::new(wire, limits).requests(request);
    let serving = tokio::spawn(serving);
    let mut strangers = Vec::with_capacity(STRANGERS);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();

    for _ in 0..STRANGERS {
        let mut stranger = raw(&dial).await;
        let _refused = stranger.write_all(begin).await;
        strangers.push(stranger);
    }
    let part = [b'x'; KIB];
    for _ in 0..more / part.len() {
        for stranger in &mut strangers {
            let write = stranger.write_all(&part);
            // Who was closed cannot write; who is not read has to wait.
            let _refused = tokio::time::timeout(Duration::from_secs(1), write).await;
        }
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let held = MEMORY.peak_usage().saturating_sub(before);

    for stranger in &mut strangers {
        let _half_closed = stranger.shutdown().await;
        let mut rest = Vec::new();
        let read = stranger.read_to_end(&mut rest);
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .unwrap()
            .unwrap();
    }
    drop(strangers);
    serving.abort();
    assert!(serving.await.is_err_and(|error| error.is_cancelled()));
    let left = MEMORY.current_usage().saturating_sub(before);
    assert!(left <= 64 * KIB, "{wire:?}: {left} bytes are still held");
    held / STRANGERS
}

async fn raw(dial: &MemoryDial) -> DuplexStream {
    Dial::dial(dial, &MasterAddr::new("any"), Channel::Request)
        .await
        .unwrap()
}
