//! Salt's use of ZMTP: which socket each end is, and where the body stands.

use std::time::Instant;

use bytes::Bytes;
use salt_proto::zmtp::{SocketType, Zmtp, ZmtpConfig, ZmtpEvent};

use super::{EndConfig, Incoming, ReplyTo, Role};
use crate::error::Error;

#[derive(Debug)]
pub(super) struct End {
    zmtp: Box<Zmtp>,
    role: Role,
}

impl End {
    pub(super) fn new(config: EndConfig, now: Instant) -> Self {
        let socket = match config.role {
            Role::Requester => SocketType::Req,
            Role::Responder => SocketType::Router,
            Role::Publisher => SocketType::Pub,
            Role::Subscriber => SocketType::Sub,
        };
        let mut zmtp = ZmtpConfig::new(socket);
        zmtp.identity = config.identity;
        zmtp.max_frame = config.max_message;
        zmtp.max_message = config.max_message;
        zmtp.handshake_timeout = config.handshake_timeout;
        zmtp.heartbeat = config.heartbeat;
        Self {
            zmtp: Box::new(Zmtp::new(zmtp, now)),
            role: config.role,
        }
    }

    pub(super) fn handle_input(&mut self, input: &[u8], now: Instant) -> usize {
        self.zmtp.handle_input(input, now)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.zmtp.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.zmtp.poll_timeout()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.zmtp.poll_transmit()
    }

    pub(super) fn held(&self) -> usize {
        self.zmtp.held()
    }

    pub(super) fn queued(&self) -> usize {
        self.zmtp.queued()
    }

    pub(super) fn queued_pieces(&self) -> usize {
        self.zmtp.queued_pieces()
    }

    pub(super) fn poll_event(&mut self) -> Option<Incoming> {
        Some(match self.zmtp.poll_event()? {
            ZmtpEvent::Ready { .. } => Incoming::Ready,
            ZmtpEvent::Subscribe(topic) => Incoming::Subscribe(topic),
            ZmtpEvent::Cancel(topic) => Incoming::Cancel(topic),
            ZmtpEvent::Closed(reason) => Incoming::Closed(reason.into()),
            ZmtpEvent::Message(frames) => message(self.role, frames),
            _ => Incoming::Closed(Error::Protocol("an unknown event")),
        })
    }

    // A machine that is not ready any more has said so, or will at the next
    // event; what could not be queued then is lost with the connection.

    pub(super) fn request(&mut self, body: &Bytes) {
        let _lost = self.zmtp.send(&[Bytes::new(), body.clone()]);
    }

    pub(super) fn reply(&mut self, to: &ReplyTo, body: &Bytes) {
        let _lost = match to {
            ReplyTo::Frames(frames) => {
                let mut frames = frames.clone();
                frames.push(body.clone());
                self.zmtp.send(&frames)
            }
            ReplyTo::Delimiter | ReplyTo::Head(_) => self.zmtp.send(&[Bytes::new(), body.clone()]),
        };
    }

    pub(super) fn publish(&mut self, encoded: Bytes) {
        let _lost = self.zmtp.send_encoded(encoded);
    }

    pub(super) fn subscribe(&mut self, topic: &[u8]) {
        let _lost = self.zmtp.subscribe(topic);
    }

    /// ZeroMQ subscribers are not announced: their topics say enough.
    pub(super) fn announce(&mut self, _body: &Bytes) {}
}

fn message(role: Role, mut frames: Vec<Bytes>) -> Incoming {
    let Some(body) = frames.pop() else {
        return Incoming::Closed(Error::Protocol("a message without a frame"));
    };
    match (role, frames.as_slice()) {
        (Role::Requester, [delimiter]) if delimiter.is_empty() => Incoming::Reply(body),
        (Role::Responder, [delimiter]) if delimiter.is_empty() => {
            Incoming::Request(ReplyTo::Delimiter, body)
        }
        (Role::Responder, [.., delimiter]) if delimiter.is_empty() => {
            Incoming::Request(ReplyTo::Frames(frames), body)
        }
        (Role::Subscriber, []) => Incoming::Publication(None, body),
        (Role::Subscriber, [topic]) => Incoming::Publication(Some(topic.clone()), body),
        _ => Incoming::Closed(Error::Protocol("a message without its delimiter")),
    }
}
