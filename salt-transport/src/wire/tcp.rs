//! Salt's use of its `tcp` framing: message ids, publications, announcements.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_proto::frame::{self, Frame, FrameDecoder, Framing};

use super::{EndConfig, Incoming, ReplyTo, Role};
use crate::error::Error;

/// How long an unfinished frame may go without growing by `PROGRESS` or ending.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);
const PROGRESS: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct End {
    role: Role,
    decoder: FrameDecoder,
    out: VecDeque<Bytes>,
    out_len: usize,
    begun: bool,
    ended: bool,
    /// Until when a fresh requester has to have said something.
    first_by: Option<Instant>,
    progress: Option<(Instant, usize)>,
    timed_out: bool,
    last_mid: u64,
    in_flight: Option<u64>,
}

impl End {
    pub(super) fn new(config: EndConfig, now: Instant) -> Self {
        Self {
            role: config.role,
            decoder: FrameDecoder::new(Framing::Bare, config.max_message),
            out: VecDeque::new(),
            out_len: 0,
            begun: false,
            ended: false,
            // There is no handshake. A subscriber may stay silent for ever; whoever
            // connects to ask something has to ask.
            first_by: (config.role == Role::Responder).then(|| now + config.handshake_timeout),
            progress: None,
            timed_out: false,
            last_mid: 0,
            in_flight: None,
        }
    }

    pub(super) fn handle_input(&mut self, input: &[u8], now: Instant) -> usize {
        self.decoder.handle_input(input);
        let held = self.decoder.held();
        if self
            .progress
            .is_none_or(|(_, before)| held >= before + PROGRESS)
        {
            self.progress = Some((now + PROGRESS_TIMEOUT, held));
        }
        input.len()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.timed_out = true;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.timed_out || self.ended {
            return None;
        }
        let progress = self.progress.map(|(by, _)| by);
        [self.first_by, progress].into_iter().flatten().min()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        let bytes = self.out.pop_front();
        match &bytes {
            Some(bytes) => self.out_len -= bytes.len(),
            None if self.out.capacity() > 16 => self.out = VecDeque::new(),
            None => {}
        }
        bytes
    }

    pub(super) fn held(&self) -> usize {
        self.decoder.held()
    }

    pub(super) fn queued(&self) -> usize {
        self.out_len
    }

    pub(super) fn queued_pieces(&self) -> usize {
        self.out.len()
    }

    pub(super) fn poll_event(&mut self) -> Option<Incoming> {
        if self.ended {
            return None;
        }
        if !self.begun {
            self.begun = true;
            return Some(Incoming::Ready);
        }
        loop {
            let event = if self.timed_out {
                Some(Incoming::Closed(Error::TimedOut))
            } else {
                match self.decoder.poll_frame() {
                    Ok(Some(frame)) => {
                        self.first_by = None;
                        self.progress = None;
                        let Some(event) = self.frame(frame) else {
                            continue;
                        };
                        Some(event)
                    }
                    Ok(None) => {
                        if self.decoder.held() == 0 {
                            self.progress = None;
                        }
                        None
                    }
                    Err(error) => Some(Incoming::Closed(error.into())),
                }
            };
            self.ended = matches!(event, Some(Incoming::Closed(_)));
            return event;
        }
    }

    pub(super) fn request(&mut self, body: &Bytes) {
        self.last_mid += 1;
        self.in_flight = Some(self.last_mid);
        let head = frame::head_of(&self.last_mid.to_string());
        self.transmit(frame::encode(&head, body));
    }

    pub(super) fn reply(&mut self, to: &ReplyTo, body: &Bytes) {
        if let ReplyTo::Head(head) = to {
            self.transmit(frame::encode(head, body));
        }
    }

    pub(super) fn publish(&mut self, encoded: Bytes) {
        self.transmit(encoded);
    }

    /// There are no subscriptions here: a master sends by who was announced.
    pub(super) fn subscribe(&mut self, _topic: &[u8]) {}

    pub(super) fn announce(&mut self, body: &Bytes) {
        self.transmit(frame::encode(frame::EMPTY_HEAD, body));
    }

    /// `None` for what is to be ignored.
    fn frame(&mut self, frame: Frame) -> Option<Incoming> {
        match self.role {
            Role::Requester => {
                let mid = std::str::from_utf8(frame.mid()?).ok()?.parse().ok();
                // An answer that nobody waits for any more is not the answer to
                // what is in flight now.
                if mid.is_none() || mid != self.in_flight {
                    return None;
                }
                self.in_flight = None;
                Some(Incoming::Reply(frame.body))
            }
            Role::Responder => Some(Incoming::Request(ReplyTo::Head(frame.head), frame.body)),
            Role::Publisher => Some(Incoming::Announce(frame.body)),
            // Masters of 3006 nest the envelope, later ones pack it once more;
            // minions of all three read both.
            Role::Subscriber => {
                let body = frame.payload().unwrap_or(frame.body);
                Some(Incoming::Publication(None, body))
            }
        }
    }

    fn transmit(&mut self, bytes: Bytes) {
        self.out_len += bytes.len();
        self.out.push_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::Wire;

    use super::*;

    fn received(role: Role, bytes: &[u8]) -> Option<Incoming> {
        let now = Instant::now();
        let mut end = End::new(EndConfig::new(Wire::Tcp, role), now);
        assert!(matches!(end.poll_event(), Some(Incoming::Ready)));
        assert_eq!(end.handle_input(bytes, now), bytes.len());
        end.poll_event()
    }

    #[test]
    fn a_publication_is_read_packed_and_nested() {
        let envelope = b"\x81\xa3enc\xa3aes";
        for bytes in [
            frame::encode_publication(envelope),
            frame::encode_event(Framing::Bare, envelope),
            frame::encode(frame::EMPTY_HEAD, envelope),
        ] {
            let publication = received(Role::Subscriber, &bytes);
            assert!(
                matches!(&publication, Some(Incoming::Publication(None, body)) if body == &envelope[..]),
                "{publication:?}"
            );
        }
    }

    // C-02
    #[test]
    fn a_reply_to_another_request_is_no_reply() {
        let now = Instant::now();
        let mut end = End::new(EndConfig::new(Wire::Tcp, Role::Requester), now);
        assert!(matches!(end.poll_event(), Some(Incoming::Ready)));
        for _ in 0..2 {
            end.request(&Bytes::from_static(b"\xc0"));
        }
        let reply = |mid: &str| frame::encode(&frame::head_of(mid), b"\x01");

        for other in ["1", "3", "", "x"] {
            let bytes = reply(other);
            assert_eq!(end.handle_input(&bytes, now), bytes.len());
            assert!(end.poll_event().is_none(), "{other}");
        }
        let bytes = reply("2");
        assert_eq!(end.handle_input(&bytes, now), bytes.len());
        assert!(matches!(end.poll_event(), Some(Incoming::Reply(_))));
    }
}
