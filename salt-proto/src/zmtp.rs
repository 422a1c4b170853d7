//! One ZeroMQ connection as a state machine (ZMTP 3.1, mechanism NULL).
//!
//! [`Zmtp`] is fed the bytes of any ordered stream and says what to write back;
//! it reads no clock and owns no socket. Version 3.1 is announced and 3.0
//! accepted (23/ZMTP, 37/ZMTP). Heartbeats are answered, and sent when asked
//! for; subscriptions are read as commands and as messages.
//!
//! A peer cannot make it hold more than its [`ZmtpConfig`] allows: a length is
//! refused when its header is complete and never reserved, the frames of a
//! message are counted and summed, and an unfinished message has to make
//! progress. Whatever breaks the protocol closes the connection at once, with
//! the reason as the last event.
//!
//! ```
//! use std::time::Instant;
//! use bytes::Bytes;
//! use salt_proto::zmtp::{SocketType, Zmtp, ZmtpConfig, ZmtpEvent};
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example needs some instant")]
//! let now = Instant::now();
//! let mut req = Zmtp::new(ZmtpConfig::new(SocketType::Req), now);
//! let mut router = Zmtp::new(ZmtpConfig::new(SocketType::Router), now);
//!
//! // What a driver does with two sockets in between.
//! let pump = |from: &mut Zmtp, to: &mut Zmtp| {
//!     while let Some(bytes) = from.poll_transmit() {
//!         assert_eq!(to.handle_input(&bytes, now), bytes.len());
//!     }
//! };
//! for _ in 0..2 {
//!     pump(&mut req, &mut router);
//!     pump(&mut router, &mut req);
//! }
//! assert!(matches!(req.poll_event(), Some(ZmtpEvent::Ready { socket: SocketType::Router, .. })));
//!
//! req.send(&[Bytes::new(), Bytes::from_static(b"question")])?;
//! pump(&mut req, &mut router);
//! router.poll_event();
//! let Some(ZmtpEvent::Message(frames)) = router.poll_event() else { panic!() };
//! assert_eq!(frames, [&b""[..], b"question"]);
//! # Ok::<(), salt_proto::zmtp::NotReady>(())
//! ```

mod command;
mod frame;
mod greeting;
mod socket;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use command::Command;
use frame::{Caps, Decoder, Frame};
use greeting::Greeting;

pub use frame::encode_message;
pub use socket::SocketType;

/// Input is not taken further while this many events wait to be polled.
const EVENT_QUEUE: usize = 16;
/// A PING is not answered while this much output waits: its sender does not read.
const UNREAD_OUTPUT: usize = 64 * 1024;
/// An unfinished message has to grow by this much within `progress_timeout`.
const PROGRESS: usize = 64 * 1024;

/// What one end of a connection is and how much it lets its peer do.
#[derive(Clone, Debug)]
pub struct ZmtpConfig {
    /// Our socket type.
    pub socket: SocketType,
    /// What a ROUTER peer knows us by; at most 255 bytes are announced. Empty by default.
    pub identity: Bytes,
    /// Largest body of one frame, in bytes. 100 MiB by default, as Salt's own limit.
    pub max_frame: usize,
    /// Largest sum of the frames of one message, in bytes. 100 MiB by default.
    pub max_message: usize,
    /// Most frames in one message. 16 by default.
    pub max_frames: usize,
    /// Largest command body, in bytes; nothing but commands is accepted before READY.
    /// 4 KiB by default.
    pub handshake_limit: usize,
    /// How long greeting and READY may take together. 30 s by default.
    pub handshake_timeout: Duration,
    /// How long an unfinished message may go without another 64 KiB or its end. 30 s by default.
    pub progress_timeout: Duration,
    /// Whether and how we ask the peer for signs of life. Not by default.
    pub heartbeat: Option<Heartbeat>,
}

impl ZmtpConfig {
    /// The defaults for a socket type.
    pub fn new(socket: SocketType) -> Self {
        Self {
            socket,
            identity: Bytes::new(),
            max_frame: 100 << 20,
            max_message: 100 << 20,
            max_frames: 16,
            handshake_limit: 4096,
            handshake_timeout: Duration::from_secs(30),
            progress_timeout: Duration::from_secs(30),
            heartbeat: None,
        }
    }
}

/// PINGs we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between two PINGs (Salt 3006 and 3008 masters: 10 s).
    pub interval: Duration,
    /// How long after a PING anything at all has to arrive (Salt: 30 s).
    pub timeout: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
        }
    }
}

/// What happened on the connection.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZmtpEvent {
    /// The handshake is done; messages may be sent.
    Ready {
        /// The peer's socket type.
        socket: SocketType,
        /// What the peer calls itself; proves nothing.
        identity: Bytes,
    },
    /// A whole message, its frames as they were sent (a REQ's begins with an empty one).
    Message(Vec<Bytes>),
    /// The peer wants what begins with these bytes.
    Subscribe(Bytes),
    /// The peer takes one such subscription back.
    Cancel(Bytes),
    /// Nothing more will come. What [`Zmtp::poll_transmit`] still holds may be
    /// written, then the stream has to be closed.
    Closed(CloseReason),
}

/// Why a connection was closed from our side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The first bytes are not a ZMTP greeting.
    #[error("the peer does not speak ZMTP")]
    NotZmtp,
    /// The peer's major version is below 3.
    #[error("the peer speaks ZMTP {0}, which is too old")]
    OldVersion(u8),
    /// The peer wants a security mechanism other than NULL.
    #[error("the peer wants a security mechanism other than NULL")]
    Mechanism,
    /// Greeting and READY took too long.
    #[error("the handshake was not finished in time")]
    HandshakeTimeout,
    /// Reserved flag bits, or a command announced in several frames.
    #[error("frame flags {0:#04x} are not defined")]
    BadFlags(u8),
    /// A command that does not parse, or comes when it may not.
    #[error("a malformed or misplaced command")]
    BadCommand,
    /// The peer's socket type does not go with ours.
    #[error("socket types {ours} and {theirs} do not connect")]
    SocketType {
        /// Our type.
        ours: SocketType,
        /// The peer's word for its own.
        theirs: String,
    },
    /// A frame, or the sum of a message's frames, is above the limit.
    #[error("a frame of {announced} bytes is above the limit")]
    TooLarge {
        /// The length the frame's header announced.
        announced: u64,
    },
    /// A message has more frames than allowed.
    #[error("a message of too many frames")]
    TooManyFrames,
    /// A message was begun and did not get on.
    #[error("a message was begun and not finished in time")]
    NoProgress,
    /// No sign of life within the heartbeat's time.
    #[error("the peer stopped answering")]
    HeartbeatTimeout,
    /// The peer refused us with an ERROR command.
    #[error("the peer refused the connection: {0}")]
    Refused(String),
}

/// The connection is not ready for messages, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is not ready for messages")]
pub struct NotReady;

/// One ZeroMQ connection. See the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Zmtp {
    config: ZmtpConfig,
    phase: Phase,
    /// Frames of the message that is arriving.
    message: Vec<Bytes>,
    message_len: usize,
    out: VecDeque<Bytes>,
    out_len: usize,
    events: VecDeque<ZmtpEvent>,
    progress: Option<Progress>,
    /// The peer asked to be given up after this much silence.
    peer_ttl: Option<Duration>,
    last_input: Instant,
    ping_at: Option<Instant>,
    answer_by: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    Greeting {
        greeting: Box<Greeting>,
        deadline: Instant,
    },
    Handshake {
        decoder: Decoder,
        minor: u8,
        deadline: Instant,
    },
    Ready {
        decoder: Decoder,
        minor: u8,
    },
    Closed,
}

#[derive(Debug)]
struct Progress {
    deadline: Instant,
    held: usize,
}

impl Zmtp {
    /// A fresh connection; the greeting is ready to be transmitted.
    pub fn new(config: ZmtpConfig, now: Instant) -> Self {
        let deadline = now + config.handshake_timeout;
        let mut zmtp = Self {
            config,
            phase: Phase::Greeting {
                greeting: Box::new(Greeting::new()),
                deadline,
            },
            message: Vec::new(),
            message_len: 0,
            out: VecDeque::new(),
            out_len: 0,
            events: VecDeque::new(),
            progress: None,
            peer_ttl: None,
            last_input: now,
            ping_at: None,
            answer_by: None,
        };
        zmtp.transmit(Bytes::from_static(&greeting::OURS));
        zmtp
    }

    /// Takes bytes from the peer; how many were taken.
    ///
    /// Less than all of `input` is taken only while events wait: poll them and
    /// hand in the rest. After the end of the connection everything is taken
    /// and forgotten.
    #[must_use = "the rest has to be handed in again"]
    pub fn handle_input(&mut self, input: &[u8], now: Instant) -> usize {
        let mut rest = input;
        if !rest.is_empty() {
            self.last_input = now;
            self.answer_by = None;
        }
        while !rest.is_empty() && self.events.len() < EVENT_QUEUE {
            if let Err(reason) = self.take(&mut rest, now) {
                self.close(reason);
            }
            if matches!(self.phase, Phase::Closed) {
                return input.len();
            }
        }
        self.note_progress(now);
        input.len() - rest.len()
    }

    /// Acts on the passing of time; see [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match &self.phase {
            Phase::Closed => return,
            Phase::Greeting { deadline, .. } | Phase::Handshake { deadline, .. } => {
                if due(Some(*deadline)) {
                    self.close(CloseReason::HandshakeTimeout);
                }
                return;
            }
            Phase::Ready { .. } => {}
        }
        if due(self.progress.as_ref().map(|p| p.deadline)) {
            self.close(CloseReason::NoProgress);
        } else if due(self.answer_by) || due(self.peer_silent_at()) {
            self.close(CloseReason::HeartbeatTimeout);
        } else if due(self.ping_at)
            && let Some(heartbeat) = self.config.heartbeat
        {
            self.ping_at = Some(now + heartbeat.interval);
            self.answer_by.get_or_insert(now + heartbeat.timeout);
            if self.out_len < UNREAD_OUTPUT {
                self.transmit(command::encode_ping(0));
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Closed => None,
            Phase::Greeting { deadline, .. } | Phase::Handshake { deadline, .. } => Some(*deadline),
            Phase::Ready { .. } => [
                self.progress.as_ref().map(|p| p.deadline),
                self.answer_by,
                self.peer_silent_at(),
                self.ping_at,
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// The next bytes to write to the peer, in order.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let bytes = self.out.pop_front();
        match &bytes {
            Some(bytes) => self.out_len -= bytes.len(),
            None if self.out.capacity() > 16 => self.out = VecDeque::new(),
            None => {}
        }
        bytes
    }

    /// The next thing that happened, in order.
    pub fn poll_event(&mut self) -> Option<ZmtpEvent> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 0 {
            self.events = VecDeque::new();
        }
        event
    }

    /// Queues one message for the peer.
    ///
    /// # Errors
    ///
    /// Before [`ZmtpEvent::Ready`] and after the end of the connection.
    pub fn send(&mut self, frames: &[Bytes]) -> Result<(), NotReady> {
        self.ready()?;
        let (out, len) = (&mut self.out, &mut self.out_len);
        frame::encode_pieces(frames, |piece| {
            *len += piece.len();
            out.push_back(piece);
        });
        Ok(())
    }

    /// Queues one message that [`encode_message`] made, sharing its bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_encoded(&mut self, message: Bytes) -> Result<(), NotReady> {
        self.ready()?;
        self.transmit(message);
        Ok(())
    }

    /// Asks a publisher for everything that begins with `topic`.
    ///
    /// Sent as a command to a 3.1 peer and as a message to a 3.0 peer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn subscribe(&mut self, topic: &[u8]) -> Result<(), NotReady> {
        self.subscription(b"SUBSCRIBE", 1, topic)
    }

    /// Takes one subscription back.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn cancel(&mut self, topic: &[u8]) -> Result<(), NotReady> {
        self.subscription(b"CANCEL", 0, topic)
    }

    /// Whether the handshake is done and the connection not closed.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Bytes held of a message that has not wholly arrived.
    pub fn held(&self) -> usize {
        let decoder = match &self.phase {
            Phase::Handshake { decoder, .. } | Phase::Ready { decoder, .. } => decoder.held(),
            Phase::Greeting { .. } | Phase::Closed => 0,
        };
        decoder + self.message_len + self.message.len()
    }

    /// Bytes queued for the peer and not yet polled.
    pub fn queued(&self) -> usize {
        self.out_len
    }

    /// Pieces queued for the peer and not yet polled; a message sent with
    /// [`send_encoded`](Self::send_encoded) is one.
    pub fn queued_pieces(&self) -> usize {
        self.out.len()
    }

    fn take(&mut self, rest: &mut &[u8], now: Instant) -> Result<(), CloseReason> {
        let caps = Caps {
            command: self.config.handshake_limit,
            message: self
                .config
                .max_frame
                .min(self.config.max_message.saturating_sub(self.message_len)),
        };
        match &mut self.phase {
            Phase::Closed => *rest = &[],
            Phase::Greeting { greeting, deadline } => {
                if let Some(minor) = greeting.take(rest)? {
                    self.phase = Phase::Handshake {
                        decoder: Decoder::default(),
                        minor,
                        deadline: *deadline,
                    };
                    let ready = command::encode_ready(self.config.socket, &self.config.identity);
                    self.transmit(ready);
                }
            }
            Phase::Handshake { decoder, minor, .. } => {
                let caps = Caps { message: 0, ..caps };
                let minor = *minor;
                match decoder.take(rest, caps)? {
                    None => {}
                    Some(frame) if frame.command => self.handshake(&frame.body, minor, now)?,
                    Some(_) => return Err(CloseReason::BadCommand),
                }
            }
            Phase::Ready { decoder, .. } => match decoder.take(rest, caps)? {
                None => {}
                Some(frame) if frame.command => self.command(&frame.body)?,
                Some(frame) => self.frame(frame)?,
            },
        }
        Ok(())
    }

    fn handshake(&mut self, body: &Bytes, minor: u8, now: Instant) -> Result<(), CloseReason> {
        let (theirs, identity) = match Command::parse(body)? {
            Command::Ready { socket, identity } => (socket, identity),
            Command::Error(reason) => return Err(CloseReason::Refused(reason)),
            _ => return Err(CloseReason::BadCommand),
        };
        let ours = self.config.socket;
        let Some(socket) = SocketType::parse(&theirs).filter(|theirs| ours.accepts(*theirs)) else {
            self.transmit(command::encode_error("Invalid socket type"));
            let theirs = String::from_utf8_lossy(theirs.get(..32).unwrap_or(&theirs)).into_owned();
            return Err(CloseReason::SocketType { ours, theirs });
        };
        self.phase = Phase::Ready {
            decoder: Decoder::default(),
            minor,
        };
        self.ping_at = self.config.heartbeat.map(|h| now + h.interval);
        self.events.push_back(ZmtpEvent::Ready { socket, identity });
        Ok(())
    }

    fn command(&mut self, body: &Bytes) -> Result<(), CloseReason> {
        let publishes = self.config.socket == SocketType::Pub;
        match Command::parse(body)? {
            Command::Ready { .. } => return Err(CloseReason::BadCommand),
            Command::Error(reason) => return Err(CloseReason::Refused(reason)),
            Command::Ping { ttl, context } => {
                self.peer_ttl = (ttl > 0).then(|| Duration::from_millis(u64::from(ttl) * 100));
                if self.out_len < UNREAD_OUTPUT {
                    self.transmit(command::encode_pong(&context));
                }
            }
            Command::Subscribe(topic) if publishes => {
                self.events.push_back(ZmtpEvent::Subscribe(topic));
            }
            Command::Cancel(topic) if publishes => {
                self.events.push_back(ZmtpEvent::Cancel(topic));
            }
            Command::Pong | Command::Subscribe(_) | Command::Cancel(_) | Command::Other => {}
        }
        Ok(())
    }

    fn frame(&mut self, frame: Frame) -> Result<(), CloseReason> {
        if self.message.len() >= self.config.max_frames {
            return Err(CloseReason::TooManyFrames);
        }
        self.message_len += frame.body.len();
        self.message.push(frame.body);
        if frame.more {
            return Ok(());
        }
        let message = std::mem::take(&mut self.message);
        self.message_len = 0;
        self.progress = None;
        if self.config.socket != SocketType::Pub {
            self.events.push_back(ZmtpEvent::Message(message));
        } else if let [only] = message.as_slice()
            && let Some((&kind, _)) = only.split_first()
        {
            // A 3.0 subscriber speaks in messages; whatever else it says to a
            // publisher means nothing.
            match kind {
                1 => self.events.push_back(ZmtpEvent::Subscribe(only.slice(1..))),
                0 => self.events.push_back(ZmtpEvent::Cancel(only.slice(1..))),
                _ => {}
            }
        }
        Ok(())
    }

    fn subscription(&mut self, command: &[u8], byte: u8, topic: &[u8]) -> Result<(), NotReady> {
        let minor = self.ready()?;
        if minor >= 1 {
            self.transmit(command::encode_subscription(command, topic));
        } else {
            let mut body = Vec::with_capacity(1 + topic.len());
            body.push(byte);
            body.extend_from_slice(topic);
            self.transmit(encode_message(&[Bytes::from(body)]));
        }
        Ok(())
    }

    fn ready(&self) -> Result<u8, NotReady> {
        match self.phase {
            Phase::Ready { minor, .. } => Ok(minor),
            _ => Err(NotReady),
        }
    }

    fn peer_silent_at(&self) -> Option<Instant> {
        self.peer_ttl.map(|ttl| self.last_input + ttl)
    }

    fn note_progress(&mut self, now: Instant) {
        let held = self.held();
        let enough = self
            .progress
            .as_ref()
            .is_none_or(|p| held >= p.held + PROGRESS);
        if held == 0 {
            self.progress = None;
        } else if enough {
            self.progress = Some(Progress {
                deadline: now + self.config.progress_timeout,
                held,
            });
        }
    }

    fn transmit(&mut self, bytes: Bytes) {
        self.out_len += bytes.len();
        self.out.push_back(bytes);
    }

    fn close(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.message = Vec::new();
        self.message_len = 0;
        self.progress = None;
        self.events.push_back(ZmtpEvent::Closed(reason));
    }
}
