//! The channel to one router: Hello, which reply answers what, latency.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::edge::{self, Reason, content, header};
use super::message::{Message, MessageError, MessageLimits};

/// How long a router may take to answer the Hello.
const HELLO: Duration = Duration::from_secs(10);
/// How often we ask whether the router is alive.
const PROBE: Duration = Duration::from_secs(60);
/// How long it may be silent after that.
const SILENCE: Duration = Duration::from_secs(10);

/// The channel is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the router refused us: {0}")]
    Refused(String),
    #[error("the router did not answer in time")]
    NoHello,
    #[error("the router has fallen silent")]
    Silent,
    #[error("the router said something before it answered our Hello")]
    Early,
}

/// What we asked, with the connection it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Hello,
    Connect(u32),
    Bind(u32),
    /// We took a caller with an id of our own, and wait until the router has.
    Took(u32),
    Probe,
    Token,
}

/// What a message means to whoever drives the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The router knows us; connections can be asked for.
    Greeted,
    /// A reply to what was asked.
    Reply(Asked, Message),
    /// Data, a close or another message of one connection.
    Of(u32, Message),
    /// The router does not take the renewed token.
    TokenRefused(Reason),
}

/// State of the channel.
pub(crate) struct Channel {
    begun: Instant,
    sequence: u32,
    greeted: bool,
    asked: HashMap<u32, Asked>,
    heard: Instant,
    next_probe: Instant,
    probe: Option<Instant>,
    latency: Option<Duration>,
    unknown: u64,
    out: BytesMut,
}

impl Channel {
    /// Greets the router with the token of our session.
    pub(crate) fn new(token: &str, now: Instant) -> Self {
        let mut channel = Self {
            begun: now,
            sequence: 0,
            greeted: false,
            asked: HashMap::new(),
            heard: now,
            next_probe: now + PROBE,
            probe: None,
            latency: None,
            unknown: 0,
            out: BytesMut::new(),
        };
        channel.ask(edge::hello(token), Asked::Hello);
        channel
    }

    /// Bytes to send; whoever sends takes them from the front.
    pub(crate) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    pub(crate) fn send(&mut self, mut message: Message) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        message.sequence = self.sequence;
        message.write(&mut self.out);
        self.sequence
    }

    /// Sends what will be replied to.
    pub(crate) fn ask(&mut self, message: Message, what: Asked) {
        let sequence = self.send(message);
        self.asked.insert(sequence, what);
    }

    /// No reply is awaited any more for this connection.
    pub(crate) fn forget(&mut self, conn: u32) {
        self.asked.retain(|_, asked| {
            !matches!(asked, Asked::Connect(id) | Asked::Bind(id) | Asked::Took(id) if *id == conn)
        });
    }

    pub(crate) fn limits(&self) -> MessageLimits {
        if self.greeted {
            MessageLimits::KNOWN
        } else {
            MessageLimits::STRANGER
        }
    }

    /// The last round trip that was measured.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Takes one message.
    pub(crate) fn receive(
        &mut self,
        message: Message,
        now: Instant,
    ) -> Result<Option<Event>, ChannelError> {
        self.heard = now;
        if let Some(clock) = message.header(header::HEARTBEAT) {
            let answer = edge::heartbeat(clock);
            self.send(answer);
        }
        let asked = message
            .u32(header::REPLY_FOR)
            .and_then(|sequence| self.asked.remove(&sequence));
        if !self.greeted {
            return match asked {
                Some(Asked::Hello) => self.hello_answered(&message, now).map(Some),
                _ => Err(ChannelError::Early),
            };
        }
        Ok(match (asked, message.content) {
            (Some(Asked::Probe), _) => {
                self.latency = self
                    .probe
                    .take()
                    .map(|sent| now.saturating_duration_since(sent));
                None
            }
            (Some(Asked::Token), content::UPDATE_TOKEN_FAILURE) => {
                Some(Event::TokenRefused(Reason::of(&message)))
            }
            (Some(Asked::Token), _) => None,
            (Some(asked), _) => Some(Event::Reply(asked, message)),
            (None, content::LATENCY) => {
                let answer = edge::reflected(&message);
                self.send(answer);
                None
            }
            (None, content::UPDATE_TOKEN_FAILURE) => {
                Some(Event::TokenRefused(Reason::of(&message)))
            }
            (None, content::HEARTBEAT | content::LATENCY_RESPONSE | content::RESULT) => None,
            (None, content::UPDATE_TOKEN_SUCCESS) => None,
            (
                None,
                content::STATE_CONNECTED
                | content::STATE_CLOSED
                | content::DATA
                | content::DIAL
                | content::BIND_SUCCESS
                | content::CONN_INSPECT_REQUEST,
            ) => match message.u32(header::CONN_ID) {
                Some(conn) => Some(Event::Of(conn, message)),
                None => self.strange(),
            },
            (None, _) => self.strange(),
        })
    }

    fn strange(&mut self) -> Option<Event> {
        self.unknown = self.unknown.saturating_add(1);
        None
    }

    /// How many messages nobody here understood.
    pub(crate) fn unknown(&self) -> u64 {
        self.unknown
    }

    fn hello_answered(&mut self, message: &Message, now: Instant) -> Result<Event, ChannelError> {
        if message.content != content::RESULT || !message.flag(header::RESULT_SUCCESS) {
            return Err(ChannelError::Refused(Reason::of(message).text));
        }
        self.greeted = true;
        // Which router is the nearest is known by the time somebody dials.
        self.probe(now);
        Ok(Event::Greeted)
    }

    fn probe(&mut self, now: Instant) {
        let clock = now.saturating_duration_since(self.begun).as_micros();
        let clock = u64::try_from(clock).unwrap_or(u64::MAX);
        self.ask(edge::latency(clock), Asked::Probe);
        self.probe = Some(now);
        self.next_probe = now + PROBE;
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        if !self.greeted {
            return self.begun + HELLO;
        }
        match self.probe {
            Some(sent) => sent.max(self.heard) + SILENCE,
            None => self.next_probe,
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), ChannelError> {
        if now < self.deadline() {
            return Ok(());
        }
        if !self.greeted {
            return Err(ChannelError::NoHello);
        }
        if self.probe.is_some() {
            return Err(ChannelError::Silent);
        }
        self.probe(now);
        Ok(())
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("greeted", &self.greeted)
            .field("asked", &self.asked.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(channel: &mut Channel) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = Message::read(channel.out(), MessageLimits::KNOWN).unwrap() {
            messages.push(message);
        }
        messages
    }

    fn reply(to: &Message) -> Message {
        Message::new(content::RESULT, bytes::Bytes::new())
            .with_u32(header::REPLY_FOR, to.sequence)
            .with_flag(header::RESULT_SUCCESS)
    }

    /// A channel that was greeted, and the probe it sent then.
    fn greeted(now: Instant) -> (Channel, Message) {
        let mut channel = Channel::new("token", now);
        let hello = sent(&mut channel).remove(0);
        assert_eq!(hello.text(header::SESSION_TOKEN), Some("token"));
        let event = channel.receive(reply(&hello), now);
        assert_eq!(event, Ok(Some(Event::Greeted)));
        let probe = sent(&mut channel).remove(0);
        (channel, probe)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_refused_hello_says_why() {
        let now = Instant::now();
        let mut channel = Channel::new("token", now);
        let hello = sent(&mut channel).remove(0);
        let refusal = Message::new(content::RESULT, &b"not enrolled"[..])
            .with_u32(header::REPLY_FOR, hello.sequence);
        let error = channel.receive(refusal, now).unwrap_err();
        assert_eq!(error, ChannelError::Refused("not enrolled".to_owned()));
    }

    #[test]
    fn nothing_is_taken_before_the_hello_is_answered() {
        let now = Instant::now();
        let mut channel = Channel::new("token", now);
        assert_eq!(channel.limits(), MessageLimits::STRANGER);
        let early = Message::new(content::DIAL, bytes::Bytes::new()).with_u32(header::CONN_ID, 1);
        assert_eq!(channel.receive(early, now), Err(ChannelError::Early));
    }

    #[test]
    fn a_router_has_ten_seconds_to_answer() {
        let now = Instant::now();
        let mut channel = Channel::new("token", now);
        assert_eq!(channel.tick(now + 9 * SECOND), Ok(()));
        assert_eq!(channel.tick(now + 10 * SECOND), Err(ChannelError::NoHello));
    }

    #[test]
    fn round_trips_are_measured_and_silence_is_noticed() {
        let start = Instant::now();
        let (mut channel, probe) = greeted(start);
        assert!(probe.header(header::REFLECTED).is_some());
        let answer = reply(&probe);
        channel.receive(answer, start + SECOND / 10).unwrap();
        assert_eq!(channel.latency(), Some(SECOND / 10));

        // A minute later it asks again; anything heard is a sign of life, silence is not.
        channel.tick(start + 60 * SECOND).unwrap();
        assert_eq!(sent(&mut channel).len(), 1);
        let data = edge::data(9, 1, 0, &b"x"[..]);
        channel.receive(data, start + 65 * SECOND).unwrap();
        assert_eq!(channel.tick(start + 74 * SECOND), Ok(()));
        assert_eq!(channel.tick(start + 75 * SECOND), Err(ChannelError::Silent));
    }

    #[test]
    fn probes_and_heartbeats_of_the_router_are_answered() {
        let now = Instant::now();
        let (mut channel, _) = greeted(now);
        let mut probe = edge::latency(42);
        probe.sequence = 9;
        channel.receive(probe, now).unwrap();
        let beat =
            Message::new(content::RESULT, bytes::Bytes::new()).with(header::HEARTBEAT, &[7; 8][..]);
        channel.receive(beat, now).unwrap();
        let answers = sent(&mut channel);
        assert_eq!(answers[0].u32(header::REPLY_FOR), Some(9));
        let clock = 42_u64.to_le_bytes();
        assert_eq!(answers[0].header(header::REFLECTED).unwrap(), &clock[..]);
        assert_eq!(
            answers[1].header(header::HEARTBEAT_RESPONSE).unwrap(),
            &[7; 8][..]
        );
    }

    #[test]
    fn replies_go_to_what_was_asked_and_only_once() {
        let now = Instant::now();
        let (mut channel, _) = greeted(now);
        channel.ask(
            edge::connect(7, &[0; 32], "me", "mark", "t"),
            Asked::Connect(7),
        );
        let asked = sent(&mut channel).remove(0);
        let answer = Message::new(content::STATE_CONNECTED, bytes::Bytes::new())
            .with_u32(header::REPLY_FOR, asked.sequence);
        let event = channel.receive(answer.clone(), now).unwrap();
        assert_eq!(event, Some(Event::Reply(Asked::Connect(7), answer.clone())));
        assert_eq!(channel.receive(answer, now), Ok(None));
        assert_eq!(channel.unknown(), 1);
    }

    #[test]
    fn unknown_messages_are_counted_and_nothing_else() {
        let now = Instant::now();
        let (mut channel, _) = greeted(now);
        let strange = Message::new(12345, &b"?"[..]);
        assert_eq!(channel.receive(strange, now), Ok(None));
        assert_eq!(channel.unknown(), 1);
        assert!(sent(&mut channel).is_empty());
    }
}
