//! What must hold for any bytes a ZMTP peer can send; shared with the fuzz target.

use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_proto::zmtp::{Heartbeat, SocketType, Zmtp, ZmtpConfig, ZmtpEvent};

const MAX_MESSAGE: usize = 64 * 1024;

/// Feeds `data` to a connection, cut as its first two bytes say.
///
/// # Panics
///
/// When the machine loops, holds more than it may or goes on after its end.
pub(crate) fn zmtp(data: &[u8]) {
    let Some((&[kind, cut], mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    #[expect(clippy::disallowed_methods, reason = "the machine needs some instant")]
    let mut now = Instant::now();
    let mut zmtp = Zmtp::new(config(kind), now);
    let mut ended = false;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(cut) + 1));
        let taken = zmtp.handle_input(piece, now);
        let mut events = 0;
        while let Some(event) = zmtp.poll_event() {
            assert!(!ended, "an event after the end");
            events += 1;
            match event {
                ZmtpEvent::Closed(_) => ended = true,
                ZmtpEvent::Message(frames) => {
                    assert!(frames.len() <= 4);
                    assert!(frames.iter().map(Bytes::len).sum::<usize>() <= MAX_MESSAGE);
                    assert!(zmtp.is_closed() || zmtp.send(&frames).is_ok());
                }
                _ => {}
            }
        }
        assert!(taken == piece.len() || events > 0, "no progress");
        assert!(zmtp.held() <= MAX_MESSAGE + 4096 + 16);
        while zmtp.poll_transmit().is_some() {}
        assert_eq!(zmtp.queued(), 0);
        rest = if taken == piece.len() {
            after
        } else {
            rest.get(taken..).unwrap_or_default()
        };
    }
    for _ in 0..4 {
        let Some(at) = zmtp.poll_timeout() else { break };
        now = at.max(now);
        zmtp.handle_timeout(now);
        assert!(
            zmtp.poll_timeout().is_none_or(|next| next > at),
            "a timeout that does not pass"
        );
    }
}

fn config(kind: u8) -> ZmtpConfig {
    let socket = match kind % 6 {
        0 => SocketType::Req,
        1 => SocketType::Rep,
        2 => SocketType::Router,
        3 => SocketType::Dealer,
        4 => SocketType::Pub,
        _ => SocketType::Sub,
    };
    ZmtpConfig {
        max_frame: MAX_MESSAGE / 2,
        max_message: MAX_MESSAGE,
        max_frames: 4,
        heartbeat: (kind & 0x80 != 0).then_some(Heartbeat {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
        }),
        ..ZmtpConfig::new(socket)
    }
}
