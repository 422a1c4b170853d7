//! T-02: what announced lengths make the decoders hold, counted by the allocator.
//!
//! A binary with a single test, because the count is the whole process's.

use std::time::Instant;

use peak_alloc::PeakAlloc;
use salt_proto::envelope::Envelope;
use salt_proto::frame::{FrameDecoder, Framing};
use salt_proto::msgpack::{self, Reader, Scanner};
use salt_proto::zmtp::{SocketType, Zmtp, ZmtpConfig};
use salt_proto::{Event, Limits};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Most that one peer may make one decoder hold before anything of substance arrived.
const BOUND: usize = 128 * 1024;
/// The largest thing a hostile input may be compared with: itself, a few times.
const TIMES: usize = 4;

type Decoder = (&'static str, fn(&[u8]));

#[test]
fn no_announced_length_is_allocated() {
    let decoders: [Decoder; 9] = [
        ("decode", |bytes| {
            let _value = msgpack::decode(bytes, &limits());
        }),
        ("decode_raw", |bytes| {
            let _value = msgpack::decode_raw(bytes, &limits());
        }),
        ("decode_utf8", |bytes| {
            let _value = msgpack::decode_utf8(bytes, &limits());
        }),
        ("skim", |bytes| {
            let _fields = msgpack::skim(bytes, ["cmd", "id"], &limits());
        }),
        ("Reader", |bytes| {
            let _skipped = Reader::new(bytes, &limits()).and_then(|mut it| it.skip().map(drop));
        }),
        ("Scanner", |bytes| {
            let _end = Scanner::new().advance(bytes, &limits());
        }),
        ("Envelope", |bytes| {
            let _envelope = Envelope::parse(bytes, &limits());
        }),
        ("Event", |bytes| {
            let _event = Event::unpack(bytes, &limits());
        }),
        ("FrameDecoder", |bytes| {
            let mut decoder = FrameDecoder::new(Framing::Detect, limits().max_message);
            decoder.handle_input(bytes);
            while let Ok(Some(frame)) = decoder.poll_frame() {
                drop(frame);
            }
        }),
    ];
    for (what, input) in announcements() {
        for (decoder, decode) in decoders {
            let held = peak(|| decode(&input));
            assert!(
                held <= BOUND + TIMES * input.len(),
                "{decoder} held {held} bytes for {what} in {} bytes",
                input.len()
            );
        }
    }

    for (what, input) in zmtp_announcements() {
        let held = peak(|| {
            #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
            let now = Instant::now();
            let mut router = Zmtp::new(ZmtpConfig::new(SocketType::Router), now);
            let mut rest = input.as_slice();
            // A driver polls between two reads.
            for _ in 0..input.len() {
                let taken = router.handle_input(rest, now);
                rest = rest.get(taken..).unwrap_or_default();
                while router.poll_event().is_some() {}
                while router.poll_transmit().is_some() {}
            }
            router
        });
        assert!(held <= BOUND, "Zmtp held {held} bytes for {what}");
    }

    // The count itself works.
    assert!(peak(|| vec![0_u8; 1 << 20]) >= 1 << 20);
}

/// As generous as any configuration: nothing is refused for its announcement alone.
fn limits() -> Limits {
    Limits {
        max_message: 1 << 30,
        max_items: usize::MAX,
        ..Limits::default()
    }
}

/// The most that was held at once beyond what was held before.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(work());
    MEMORY.peak_usage().saturating_sub(before)
}

fn announcements() -> Vec<(&'static str, Vec<u8>)> {
    let mut inputs = Vec::new();
    for (what, marker) in [
        ("a list", 0xdd),
        ("a map", 0xdf),
        ("bytes", 0xc6),
        ("text", 0xdb),
        ("an extension", 0xc9),
    ] {
        for len in [1_u32 << 16, 1 << 24, 1 << 30, u32::MAX] {
            let mut input = vec![marker];
            input.extend_from_slice(&len.to_be_bytes());
            inputs.push((what, input.clone()));
            inputs.push((
                what,
                [b"\x82\xa4head\x80\xa4body", input.as_slice()].concat(),
            ));
            inputs.push((
                what,
                [b"\x83\xa3enc\xa3aes\xa4load", input.as_slice()].concat(),
            ));
            inputs.push((what, [b"salt/job\n\n", input.as_slice()].concat()));
        }
    }
    // As many elements as there are bytes, so that the announcement is possible;
    // the first of them is none, or announces as much again.
    for marker in [0xdd, 0xdf] {
        let mut one = vec![marker];
        one.extend_from_slice(&0x0004_0000_u32.to_be_bytes());
        let mut possible = one.clone();
        possible.resize(0x0010_0000, 0xc1);
        inputs.push(("a possible announcement", possible));
        let key: &[u8] = if marker == 0xdf { b"\xa1a" } else { b"" };
        let mut nested = Vec::new();
        for _ in 0..100 {
            nested.extend_from_slice(&one);
            nested.extend_from_slice(key);
        }
        nested.resize(0x0010_0000, 0xc1);
        inputs.push(("possible announcements within each other", nested));
    }
    let mut short = b"\xdc\x04\x00".repeat(100);
    short.resize(5000, 0xc1);
    inputs.push(("short announcements within each other", short));
    let mut short = b"\xde\x04\x00\xa1a".repeat(100);
    short.resize(5000, 0xc1);
    inputs.push(("short announcements of maps within each other", short));
    inputs
}

fn zmtp_announcements() -> Vec<(&'static str, Vec<u8>)> {
    let greeting = *b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL";
    let mut greeting = greeting.to_vec();
    greeting.resize(64, 0);
    let ready = b"\x04\x26\x05READY\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0";
    let mut inputs = Vec::new();
    for len in [1_u64 << 20, 100 << 20, 1 << 32, 1 << 63, u64::MAX] {
        for flags in [2, 3, 6] {
            let mut frame = vec![flags];
            frame.extend_from_slice(&len.to_be_bytes());
            inputs.push(("a frame before READY", [&greeting[..], &frame].concat()));
            inputs.push(("a frame", [&greeting[..], ready, &frame, b"begin"].concat()));
        }
    }
    // A property whose value announces more than the command holds.
    inputs.push((
        "a property",
        [
            &greeting[..],
            b"\x04\x16\x05READY\x0bSocket-Type\xff\xff\xff\xff",
        ]
        .concat(),
    ));
    inputs.push((
        "many frames",
        [&greeting[..], ready, &b"\x01\0".repeat(2000)].concat(),
    ));
    inputs
}
