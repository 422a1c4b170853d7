//! ZMTP and the tcp framing, through their public face.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use salt_proto::frame::{self, FrameDecoder, Framing};
use salt_proto::zmtp::{
    CloseReason, Heartbeat, SocketType, Zmtp, ZmtpConfig, ZmtpEvent, encode_message,
};

use crate::checks;

const GREETING: &[u8; 64] =
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY_REQ: &[u8] = b"\x04\x26\x05READY\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0";
const READY_SUB: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB";
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_and_its_reply_cross_a_connection() {
    let mut pair = Pair::new(SocketType::Req, SocketType::Router);
    assert_eq!(pair.b.poll_event(), None);

    pair.a.send(&[Bytes::new(), "ask".into()]).unwrap();
    pair.pump();
    assert_eq!(message(&mut pair.b), [&b""[..], b"ask"]);

    pair.b.send(&[Bytes::new(), "answer".into()]).unwrap();
    pair.pump();
    assert_eq!(message(&mut pair.a), [&b""[..], b"answer"]);
}

#[test]
fn the_router_learns_the_identity_of_its_peer() {
    let now = epoch();
    let req = ZmtpConfig {
        identity: Bytes::from_static(b"salt-req/minion/web-1/0"),
        ..ZmtpConfig::new(SocketType::Req)
    };
    let mut a = Zmtp::new(req, now);
    let mut b = Zmtp::new(ZmtpConfig::new(SocketType::Router), now);
    exchange(&mut a, &mut b, now);

    assert_eq!(
        b.poll_event(),
        Some(ZmtpEvent::Ready {
            socket: SocketType::Req,
            identity: "salt-req/minion/web-1/0".into(),
        })
    );
}

#[test]
fn a_subscription_arrives_as_command_and_as_message() {
    let mut pair = Pair::new(SocketType::Sub, SocketType::Pub);
    pair.a.subscribe(b"broadcast").unwrap();
    pair.a.cancel(b"broadcast").unwrap();
    pair.pump();
    assert_eq!(
        pair.b.poll_event(),
        Some(ZmtpEvent::Subscribe("broadcast".into()))
    );
    assert_eq!(
        pair.b.poll_event(),
        Some(ZmtpEvent::Cancel("broadcast".into()))
    );

    feed(
        &mut pair.b,
        b"\x00\x04\x01abc\x00\x04\x00abc\x00\x03xyz\x00\x00",
    );

    assert_eq!(
        pair.b.poll_event(),
        Some(ZmtpEvent::Subscribe("abc".into()))
    );
    assert_eq!(pair.b.poll_event(), Some(ZmtpEvent::Cancel("abc".into())));
    assert_eq!(pair.b.poll_event(), None);
}

#[test]
fn a_subscription_to_a_publisher_of_version_3_0_is_a_message() {
    let now = epoch();
    let mut sub = Zmtp::new(ZmtpConfig::new(SocketType::Sub), now);
    let mut greeting = *GREETING;
    greeting[11] = 0;
    feed(&mut sub, &greeting);
    feed(&mut sub, b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
    while sub.poll_transmit().is_some() {}

    sub.subscribe(b"abc").unwrap();

    assert_eq!(sub.poll_transmit().unwrap(), &b"\x00\x04\x01abc"[..]);
}

#[test]
fn a_ping_is_answered_with_its_context() {
    let mut router = ready_router();

    feed(&mut router, b"\x04\x0b\x04PING\x00\x00ctxt");

    assert_eq!(
        router.poll_transmit().unwrap(),
        &b"\x04\x09\x04PONGctxt"[..]
    );
    assert_eq!(router.poll_event(), None);
}

#[test]
fn a_ping_between_two_frames_does_not_disturb_the_message() {
    let mut router = ready_router();

    feed(&mut router, b"\x01\x00\x04\x07\x04PING\x00\x00\x00\x02hi");

    assert_eq!(message(&mut router), [&b""[..], b"hi"]);
    assert_eq!(router.poll_transmit().unwrap(), &b"\x04\x05\x04PONG"[..]);
}

#[test]
fn a_peer_that_does_not_read_gets_no_endless_row_of_pongs() {
    let mut router = ready_router();
    let pings = b"\x04\x07\x04PING\x00\x00".repeat(100_000);

    feed(&mut router, &pings);

    assert!(router.queued() < 70_000);
    assert!(!router.is_closed());
}

#[test]
fn an_unknown_command_after_ready_is_ignored() {
    let mut router = ready_router();

    feed(&mut router, b"\x04\x07\x06FUTURE\x00\x00");

    assert!(router.is_ready());
}

#[test]
fn a_silent_peer_is_given_up_after_our_ping() {
    let now = epoch();
    let config = ZmtpConfig {
        heartbeat: Some(Heartbeat::default()),
        ..ZmtpConfig::new(SocketType::Router)
    };
    let mut router = connect(config, READY_REQ, now);
    assert_eq!(router.poll_timeout(), Some(now + 10 * SECOND));

    router.handle_timeout(now + 10 * SECOND);
    assert_eq!(
        router.poll_transmit().unwrap(),
        &b"\x04\x07\x04PING\x00\x00"[..]
    );
    assert_eq!(
        router.handle_input(b"\x04\x05\x04PONG", now + 15 * SECOND),
        7
    );
    router.handle_timeout(now + 20 * SECOND);
    router.handle_timeout(now + 50 * SECOND);

    assert_eq!(closed(&mut router), CloseReason::HeartbeatTimeout);
}

#[test]
fn a_peer_that_named_a_time_to_live_is_given_up_after_it() {
    let now = epoch();
    let mut router = ready_router();

    assert_eq!(router.handle_input(b"\x04\x07\x04PING\x00\x1e", now), 9);
    assert_eq!(router.poll_timeout(), Some(now + 3 * SECOND));
    router.handle_timeout(now + 3 * SECOND);

    assert_eq!(closed(&mut router), CloseReason::HeartbeatTimeout);
}

#[test]
fn an_unfinished_handshake_ends_after_its_time() {
    let now = epoch();
    let mut router = Zmtp::new(ZmtpConfig::new(SocketType::Router), now);
    assert_eq!(router.handle_input(&GREETING[..20], now), 20);

    assert_eq!(router.poll_timeout(), Some(now + 30 * SECOND));
    router.handle_timeout(now + 30 * SECOND);

    assert_eq!(closed(&mut router), CloseReason::HandshakeTimeout);
}

#[test]
fn a_message_short_of_one_byte_does_not_stay() {
    let now = epoch();
    let mut router = ready_router();
    let message = encode_message(&[Bytes::from(vec![0; 1 << 20])]);
    feed(&mut router, &message[..message.len() - 1]);

    let at = router.poll_timeout().unwrap();
    assert!(at <= now + 30 * SECOND);
    router.handle_timeout(at);

    assert_eq!(closed(&mut router), CloseReason::NoProgress);
    assert_eq!(router.held(), 0);
}

// T-01, T-02: hostile input of every kind closes the connection at once.
#[test]
fn hostile_input_closes_the_connection_at_once() {
    let long = |flags: u8, len: u64| {
        let mut bytes = vec![flags];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes
    };
    for len in [1 << 30, 1 << 33, 1 << 40, 1 << 62, 1 << 63, u64::MAX] {
        for flags in [2, 3, 6] {
            check_hostile(&long(flags, len), &CloseReason::TooLarge { announced: len });
        }
        check_hostile_before_ready(&long(6, len), &CloseReason::TooLarge { announced: len });
        check_hostile_before_ready(&long(2, len), &CloseReason::TooLarge { announced: len });
    }
    check_hostile_before_ready(
        b"\x06\0\0\0\0\0\0\x10\x01",
        &CloseReason::TooLarge { announced: 4097 },
    );
    for flags in [0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0x05, 0x07] {
        check_hostile(&[flags, 0], &CloseReason::BadFlags(flags));
    }
    check_hostile(&b"\x01\x00".repeat(1_000_000), &CloseReason::TooManyFrames);
    check_hostile(b"\x04\x00", &CloseReason::BadCommand);
    check_hostile(b"\x04\x02\x05P", &CloseReason::BadCommand);
    check_hostile(READY_REQ, &CloseReason::BadCommand);
    check_hostile_before_ready(b"\x00\x00", &CloseReason::BadCommand);
    check_hostile_before_ready(b"\x04\x07\x04PING\x00\x00", &CloseReason::BadCommand);
    check_hostile_before_ready(
        b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x04SUB",
        &CloseReason::BadCommand,
    );
}

#[test]
fn what_is_not_zmtp_is_closed_at_its_first_byte() {
    let now = epoch();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"\x16\x03\x01"] {
        let mut router = Zmtp::new(ZmtpConfig::new(SocketType::Router), now);
        feed(&mut router, bytes);
        assert_eq!(closed(&mut router), CloseReason::NotZmtp);
    }
}

#[test]
fn a_socket_type_that_does_not_fit_is_told_and_closed() {
    let now = epoch();
    let mut publisher = Zmtp::new(ZmtpConfig::new(SocketType::Pub), now);
    feed(&mut publisher, GREETING);
    while publisher.poll_transmit().is_some() {}
    feed(&mut publisher, READY_REQ);

    assert!(
        publisher
            .poll_transmit()
            .unwrap()
            .starts_with(b"\x04\x1a\x05ERROR")
    );
    assert_eq!(
        closed(&mut publisher),
        CloseReason::SocketType {
            ours: SocketType::Pub,
            theirs: "REQ".into(),
        }
    );
}

#[test]
fn the_sum_of_the_frames_is_bounded() {
    let config = ZmtpConfig {
        max_frame: 100,
        max_message: 150,
        ..ZmtpConfig::new(SocketType::Router)
    };
    let mut router = connect(config, READY_REQ, epoch());
    let part = Bytes::from(vec![0; 100]);

    feed(&mut router, &encode_message(&[part.clone(), part]));

    assert_eq!(
        closed(&mut router),
        CloseReason::TooLarge { announced: 100 }
    );
}

#[test]
fn input_is_held_back_while_events_wait() {
    let mut router = ready_router();
    let bytes = b"\x00\x00".repeat(1000);

    let taken = router.handle_input(&bytes, epoch());

    assert!(taken < 100);
    while router.poll_event().is_some() {}
    assert!(router.handle_input(&bytes[taken..], epoch()) > 0);
}

#[test]
fn nothing_is_sent_before_ready_or_after_the_end() {
    let now = epoch();
    let mut req = Zmtp::new(ZmtpConfig::new(SocketType::Req), now);
    assert!(req.send(&[Bytes::new()]).is_err());

    feed(&mut req, b"no");

    assert!(req.send(&[Bytes::new()]).is_err());
    assert!(req.subscribe(b"").is_err());
}

proptest! {
    #[test]
    fn messages_survive_any_cut(
        messages in prop::collection::vec(prop::collection::vec(body(), 1..5), 1..6),
        cuts in prop::collection::vec(1_usize..700, 1..40),
    ) {
        let mut stream = Vec::new();
        for frames in &messages {
            stream.extend_from_slice(&encode_message(frames));
        }
        let mut router = ready_router();
        let mut received = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let piece = rest.get(..*cut).unwrap_or(rest);
            let taken = router.handle_input(piece, epoch());
            rest = &rest[taken..];
            while let Some(event) = router.poll_event() {
                match event {
                    ZmtpEvent::Message(frames) => received.push(frames),
                    other => panic!("{other:?}"),
                }
            }
        }
        prop_assert_eq!(received, messages);
        prop_assert_eq!(router.held(), 0);
        prop_assert_eq!(router.poll_timeout(), None);
    }

    #[test]
    fn any_bytes_are_survived_by_the_machine(data in prop::collection::vec(any::<u8>(), 0..400)) {
        checks::zmtp::zmtp(&data);
        let mut after_ready = vec![2, 255];
        after_ready.extend_from_slice(GREETING);
        after_ready.extend_from_slice(READY_REQ);
        after_ready.extend_from_slice(&data);
        checks::zmtp::zmtp(&after_ready);
    }

    #[test]
    fn frames_survive_any_cut(
        bodies in prop::collection::vec(body(), 1..6),
        cut in 1_usize..700,
        prefixed in any::<bool>(),
    ) {
        let framing = if prefixed { Framing::Prefixed } else { Framing::Bare };
        let mut stream = Vec::new();
        for body in &bodies {
            stream.extend_from_slice(&frame::encode_event(framing, body));
        }
        let mut decoder = FrameDecoder::new(Framing::Detect, 1 << 20);
        let mut received = Vec::new();
        for piece in stream.chunks(cut) {
            decoder.handle_input(piece);
            while let Some(frame) = decoder.poll_frame().unwrap() {
                received.push(frame.payload().unwrap());
            }
        }
        prop_assert_eq!(received, bodies);
        prop_assert_eq!(decoder.held(), 0);
    }

    #[test]
    fn any_bytes_are_survived_by_the_frame_decoder(
        data in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        checks::frame::frame(&data);
        let mut framed = vec![0, 6];
        framed.extend_from_slice(b"\x82\xa4head\x80\xa4body");
        framed.extend_from_slice(&data);
        checks::frame::frame(&framed);
    }
}

#[test]
fn the_kept_fuzz_inputs_are_survived() {
    for data in checks::corpus("zmtp") {
        checks::zmtp::zmtp(&data);
    }
    for data in checks::corpus("frame") {
        checks::frame::frame(&data);
    }
}

/// Sizes around every boundary of the two encodings.
fn body() -> impl Strategy<Value = Bytes> {
    let len = prop_oneof![
        0_usize..40,
        250_usize..260,
        4090_usize..4100,
        65_530_usize..65_540
    ];
    (len, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len]))
}

#[track_caller]
fn check_hostile(bytes: &[u8], expected: &CloseReason) {
    let mut router = ready_router();
    feed(&mut router, bytes);
    assert_eq!(&closed(&mut router), expected);
    assert_eq!(router.held(), 0);
}

#[track_caller]
fn check_hostile_before_ready(bytes: &[u8], expected: &CloseReason) {
    let mut router = Zmtp::new(ZmtpConfig::new(SocketType::Router), epoch());
    feed(&mut router, GREETING);
    feed(&mut router, bytes);
    assert_eq!(&closed(&mut router), expected);
}

/// Two machines and the wire between them.
struct Pair {
    a: Zmtp,
    b: Zmtp,
    now: Instant,
}

impl Pair {
    /// Both ends, ready, their `Ready` events taken.
    fn new(a: SocketType, b: SocketType) -> Self {
        let now = epoch();
        let mut pair = Self {
            a: Zmtp::new(ZmtpConfig::new(a), now),
            b: Zmtp::new(ZmtpConfig::new(b), now),
            now,
        };
        pair.pump();
        assert!(
            matches!(pair.a.poll_event(), Some(ZmtpEvent::Ready { socket, .. }) if socket == b)
        );
        assert!(
            matches!(pair.b.poll_event(), Some(ZmtpEvent::Ready { socket, .. }) if socket == a)
        );
        pair
    }

    fn pump(&mut self) {
        exchange(&mut self.a, &mut self.b, self.now);
    }
}

fn exchange(a: &mut Zmtp, b: &mut Zmtp, now: Instant) {
    loop {
        let mut idle = true;
        while let Some(bytes) = a.poll_transmit() {
            assert_eq!(b.handle_input(&bytes, now), bytes.len());
            idle = false;
        }
        while let Some(bytes) = b.poll_transmit() {
            assert_eq!(a.handle_input(&bytes, now), bytes.len());
            idle = false;
        }
        if idle {
            return;
        }
    }
}

fn ready_router() -> Zmtp {
    connect(ZmtpConfig::new(SocketType::Router), READY_REQ, epoch())
}

fn connect(config: ZmtpConfig, ready: &[u8], now: Instant) -> Zmtp {
    let mut zmtp = Zmtp::new(config, now);
    assert_eq!(zmtp.handle_input(GREETING, now), GREETING.len());
    assert_eq!(zmtp.handle_input(ready, now), ready.len());
    assert!(matches!(zmtp.poll_event(), Some(ZmtpEvent::Ready { .. })));
    while zmtp.poll_transmit().is_some() {}
    zmtp
}

fn feed(zmtp: &mut Zmtp, bytes: &[u8]) {
    assert_eq!(zmtp.handle_input(bytes, epoch()), bytes.len());
}

#[track_caller]
fn message(zmtp: &mut Zmtp) -> Vec<Bytes> {
    match zmtp.poll_event() {
        Some(ZmtpEvent::Message(frames)) => frames,
        other => panic!("no message but {other:?}"),
    }
}

#[track_caller]
fn closed(zmtp: &mut Zmtp) -> CloseReason {
    assert!(zmtp.is_closed());
    std::iter::from_fn(|| zmtp.poll_event())
        .find_map(|event| match event {
            ZmtpEvent::Closed(reason) => Some(reason),
            _ => None,
        })
        .expect("a reason")
}

/// One first instant for all tests of this file.
fn epoch() -> Instant {
    use std::sync::OnceLock;
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "where the tests' time begins")]
    *EPOCH.get_or_init(Instant::now)
}

#[test]
fn the_ready_command_of_a_subscriber_is_read() {
    let publisher = connect(ZmtpConfig::new(SocketType::Pub), READY_SUB, epoch());
    assert!(publisher.is_ready());
}
