//! What is said to a relay, and by it, before bytes pass through: pure, and bounded.

use std::fmt;
use std::str::FromStr;

use crate::address::Channel;

/// A frame's type and the length of its body.
const HEAD: usize = 3;
/// The longest text that is sent along with an offer; received may be what a frame holds.
const MAX_TEXT: usize = 256;

/// A name under which a master is found at a relay: 1 to 64 of `a-z`, `0-9`, `-` and `.`.
///
/// By default it is also the name that the master's inner certificate has to carry.
///
/// ```
/// use salt_transport::rendezvous::FleetName;
///
/// let name: FleetName = "fleet-a.example.com".parse()?;
/// assert_eq!(name.as_str(), "fleet-a.example.com");
/// assert!("Fleet A".parse::<FleetName>().is_err());
/// # Ok::<(), salt_transport::rendezvous::FrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FleetName(String);

impl FleetName {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FleetName {
    type Err = FrameError;

    fn from_str(text: &str) -> Result<Self, FrameError> {
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FrameError::Name)
        }
    }
}

impl fmt::Display for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What ties a master's data stream to a waiting peer: random, used once, never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket([u8; 32]);

impl Ticket {
    /// A ticket of random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody is registered under the name.
    #[error("unknown name: no master is registered under it")]
    UnknownName,
    /// Whoever asks may not.
    #[error("not allowed for this certificate")]
    NotAllowed,
    /// A limit is reached; later it may be possible.
    #[error("busy")]
    Busy,
    /// A ticket that is used, too old or was never given out; or nobody came for it.
    #[error("expired")]
    Expired,
    /// A frame that is none, or that has no place where it came.
    #[error("bad frame")]
    BadFrame,
}

/// One message to or from a relay: a type byte, a length of two bytes (big-endian), and a body.
///
/// ```
/// use salt_transport::rendezvous::Frame;
///
/// let bytes = Frame::Ping(*b"01234567").encode();
/// assert_eq!(bytes, b"\x08\x00\x0801234567");
/// assert_eq!(Frame::decode(&bytes)?, Some((Frame::Ping(*b"01234567"), bytes.len())));
/// assert_eq!(Frame::decode(b"\x08\x00")?, None);
/// # Ok::<(), salt_transport::rendezvous::FrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// 1: a master wants to be found under a name.
    Register {
        /// The name.
        name: FleetName,
        /// How many peers may wait for it at a time.
        waiting: u8,
    },
    /// 2: it is.
    Registered,
    /// 3: a minion wants a stream to whoever is registered.
    Ask {
        /// For which of Salt's channels.
        channel: Channel,
        /// The name.
        name: FleetName,
    },
    /// 4: the relay tells the master that somebody waits.
    Offer {
        /// What the master's data stream has to show.
        ticket: Ticket,
        /// For which of Salt's channels.
        channel: Channel,
        /// Who it is, in the relay's words: for logs only.
        from: String,
    },
    /// 5: the first frame of the master's data stream.
    Take(Ticket),
    /// 6: the end, and why.
    Refuse(Refusal),
    /// 7: from here on bytes pass through.
    Go,
    /// 8: is anybody there?
    Ping([u8; 8]),
    /// 9: yes; the bytes are those of the ping.
    Pong([u8; 8]),
}

/// Bytes that are no frame, or text that is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A type that does not exist.
    #[error("unknown frame type {0}")]
    Type(u8),
    /// A body that is too long, or has a length its type cannot have.
    #[error("a frame of type {0} with {1} bytes")]
    Length(u8, u16),
    /// A channel or a reason that does not exist.
    #[error("an unknown value in a frame")]
    Value,
    /// A name that is none.
    #[error("a name has 1 to 64 of a-z, 0-9, - and .")]
    Name,
    /// A text with bytes that are not UTF-8, or with control characters.
    #[error("a text that cannot be shown")]
    Text,
}

impl Frame {
    /// The longest body, in bytes.
    pub const MAX_BODY: usize = 1024;

    /// How many bytes the frame has that begins like this, as far as can be told: 3 until its head is there.
    ///
    /// Whoever reads no more than that reads nothing that comes after the frame.
    ///
    /// # Errors
    ///
    /// No frame begins like this.
    pub fn wanted(begin: &[u8]) -> Result<usize, FrameError> {
        let Some(&kind) = begin.first() else {
            return Ok(HEAD);
        };
        let lengths = match kind {
            1 => 2..=FleetName::MAX + 1,
            2 | 7 => 0..=0,
            3 => 2..=FleetName::MAX + 1,
            4 => 33..=Self::MAX_BODY,
            5 => 32..=32,
            6 => 1..=1,
            8 | 9 => 8..=8,
            _ => return Err(FrameError::Type(kind)),
        };
        let Some(&[_, high, low]) = begin.first_chunk::<HEAD>() else {
            return Ok(HEAD);
        };
        let length = u16::from_be_bytes([high, low]);
        if !lengths.contains(&usize::from(length)) {
            return Err(FrameError::Length(kind, length));
        }
        Ok(HEAD + usize::from(length))
    }

    /// The frame at the beginning, and its length; `None` if it is not whole yet.
    ///
    /// # Errors
    ///
    /// No frame begins like this, however it goes on.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let wanted = Self::wanted(bytes)?;
        let (Some(&kind), Some(body)) = (bytes.first(), bytes.get(HEAD..wanted)) else {
            return Ok(None);
        };
        if bytes.len() < HEAD {
            return Ok(None);
        }
        Ok(Some((Self::of(kind, body)?, wanted)))
    }

    fn of(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        Ok(match (kind, body) {
            (1, [name @ .., waiting]) => Self::Register {
                name: name_of(name)?,
                waiting: *waiting,
            },
            (2, []) => Self::Registered,
            (3, [channel, name @ ..]) => Self::Ask {
                channel: channel_of(*channel)?,
                name: name_of(name)?,
            },
            (4, body) => {
                let (ticket, rest) = ticket_of(body)?;
                let [channel, text @ ..] = rest else {
                    return Err(FrameError::Value);
                };
                Self::Offer {
                    ticket,
                    channel: channel_of(*channel)?,
                    from: text_of(text)?,
                }
            }
            (5, body) => Self::Take(ticket_of(body)?.0),
            (6, [reason]) => Self::Refuse(match reason {
                1 => Refusal::UnknownName,
                2 => Refusal::NotAllowed,
                3 => Refusal::Busy,
                4 => Refusal::Expired,
                5 => Refusal::BadFrame,
                _ => return Err(FrameError::Value),
            }),
            (7, []) => Self::Go,
            (8, body) => Self::Ping(body.try_into().map_err(|_| FrameError::Value)?),
            (9, body) => Self::Pong(body.try_into().map_err(|_| FrameError::Value)?),
            _ => return Err(FrameError::Value),
        })
    }

    /// The bytes that are sent. The text of an offer is cut to what can be shown, at most 256 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind(), 0, 0];
        match self {
            Self::Register { name, waiting } => {
                bytes.extend(name.0.bytes());
                bytes.push(*waiting);
            }
            Self::Registered | Self::Go => {}
            Self::Ask { channel, name } => {
                bytes.push(number(*channel));
                bytes.extend(name.0.bytes());
            }
            Self::Offer {
                ticket,
                channel,
                from,
            } => {
                bytes.extend(ticket.0);
                bytes.push(number(*channel));
                bytes.extend(shown(from).bytes());
            }
            Self::Take(ticket) => bytes.extend(ticket.0),
            Self::Refuse(refusal) => bytes.push(match refusal {
                Refusal::UnknownName => 1,
                Refusal::NotAllowed => 2,
                Refusal::Busy => 3,
                Refusal::Expired => 4,
                Refusal::BadFrame => 5,
            }),
            Self::Ping(echo) | Self::Pong(echo) => bytes.extend(echo),
        }
        let length = u16::try_from(bytes.len() - HEAD).unwrap_or(u16::MAX);
        if let Some(at) = bytes.get_mut(1..HEAD) {
            at.copy_from_slice(&length.to_be_bytes());
        }
        bytes
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Register { .. } => 1,
            Self::Registered => 2,
            Self::Ask { .. } => 3,
            Self::Offer { .. } => 4,
            Self::Take(_) => 5,
            Self::Refuse(_) => 6,
            Self::Go => 7,
            Self::Ping(_) => 8,
            Self::Pong(_) => 9,
        }
    }
}

fn number(channel: Channel) -> u8 {
    match channel {
        Channel::Request => 0,
        Channel::Publish => 1,
    }
}

fn channel_of(byte: u8) -> Result<Channel, FrameError> {
    match byte {
        0 => Ok(Channel::Request),
        1 => Ok(Channel::Publish),
        _ => Err(FrameError::Value),
    }
}

fn name_of(bytes: &[u8]) -> Result<FleetName, FrameError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FrameError::Name)?;
    text.parse()
}

fn ticket_of(body: &[u8]) -> Result<(Ticket, &[u8]), FrameError> {
    let (ticket, rest) = body.split_first_chunk().ok_or(FrameError::Value)?;
    Ok((Ticket(*ticket), rest))
}

fn text_of(bytes: &[u8]) -> Result<String, FrameError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FrameError::Text)?;
    if text.contains(char::is_control) {
        return Err(FrameError::Text);
    }
    Ok(text.to_owned())
}

/// As much of a text as fits, without what would not be taken.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if shown.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel() -> impl Strategy<Value = Channel> {
        prop_oneof![Just(Channel::Request), Just(Channel::Publish)]
    }

    fn name() -> impl Strategy<Value = FleetName> {
        "[a-z0-9.-]{1,64}".prop_map(|text| text.parse().unwrap())
    }

    fn ticket() -> impl Strategy<Value = Ticket> {
        any::<[u8; 32]>().prop_map(Ticket)
    }

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            (name(), any::<u8>()).prop_map(|(name, waiting)| Frame::Register { name, waiting }),
            Just(Frame::Registered),
            (channel(), name()).prop_map(|(channel, name)| Frame::Ask { channel, name }),
            (ticket(), channel(), "[^\\p{C}]{0,60}").prop_map(|(ticket, channel, from)| {
                Frame::Offer {
                    ticket,
                    channel,
                    from,
                }
            }),
            ticket().prop_map(Frame::Take),
            prop_oneof![
                Just(Refusal::UnknownName),
                Just(Refusal::NotAllowed),
                Just(Refusal::Busy),
                Just(Refusal::Expired),
                Just(Refusal::BadFrame),
            ]
            .prop_map(Frame::Refuse),
            Just(Frame::Go),
            any::<[u8; 8]>().prop_map(Frame::Ping),
            any::<[u8; 8]>().prop_map(Frame::Pong),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_not_before_it_is_whole(
            frame in frame(),
            after in any::<Vec<u8>>(),
        ) {
            let bytes = frame.encode();
            prop_assert!(bytes.len() <= HEAD + Frame::MAX_BODY);
            for cut in 0..bytes.len() {
                prop_assert_eq!(Frame::decode(&bytes[..cut]), Ok(None));
                let wanted = Frame::wanted(&bytes[..cut]).unwrap();
                prop_assert!(wanted > cut && wanted <= bytes.len());
            }
            let longer = [bytes.as_slice(), &after].concat();
            prop_assert_eq!(Frame::decode(&longer), Ok(Some((frame, bytes.len()))));
        }

        #[test]
        fn any_text_can_be_offered_and_is_cut_to_what_can_be_shown(text in any::<String>()) {
            let offer = |from: String| Frame::Offer {
                ticket: Ticket([7; 32]),
                channel: Channel::Publish,
                from,
            };
            let bytes = offer(text.repeat(20)).encode();
            let (decoded, _) = Frame::decode(&bytes).unwrap().unwrap();
            prop_assert_eq!(decoded.encode(), bytes);
        }

        #[test]
        fn whatever_comes_is_taken_whole_or_refused(bytes in any::<Vec<u8>>()) {
            if let Ok(Some((frame, length))) = Frame::decode(&bytes) {
                prop_assert_eq!(Frame::decode(&frame.encode()), Ok(Some((frame, length))));
            }
        }
    }

    #[test]
    fn a_length_that_its_type_cannot_have_is_refused_before_the_body_comes() {
        assert_eq!(
            Frame::wanted(b"\x07\x00\x01"),
            Err(FrameError::Length(7, 1))
        );
        assert_eq!(
            Frame::wanted(b"\x04\x04\x01"),
            Err(FrameError::Length(4, 1025))
        );
        assert_eq!(Frame::wanted(b"\x04\x04\x00"), Ok(1027));
        assert_eq!(
            Frame::wanted(b"\x01\xff\xff"),
            Err(FrameError::Length(1, 65535))
        );
        assert_eq!(Frame::wanted(b"\x16"), Err(FrameError::Type(0x16)));
    }

    #[test]
    fn values_that_do_not_exist_are_refused() {
        assert_eq!(Frame::decode(b"\x06\x00\x01\x06"), Err(FrameError::Value));
        assert_eq!(Frame::decode(b"\x03\x00\x02\x02a"), Err(FrameError::Value));
        assert_eq!(Frame::decode(b"\x03\x00\x02\x00A"), Err(FrameError::Name));
        assert_eq!(
            Frame::decode(b"\x01\x00\x02\xff\x01"),
            Err(FrameError::Name)
        );
        let mut offer = Frame::Offer {
            ticket: Ticket([0; 32]),
            channel: Channel::Request,
            from: "x".to_owned(),
        }
        .encode();
        *offer.last_mut().unwrap() = b'\x1b';
        assert_eq!(Frame::decode(&offer), Err(FrameError::Text));
    }

    // N-06
    #[test]
    fn a_ticket_is_not_shown() {
        let shown = format!("{:?}", Frame::Take(Ticket([0xab; 32])));
        assert_eq!(shown, "Take(Ticket)");
    }
}
