//! Messages of a router's channel: 20 bytes of head, headers, body; all numbers little-endian.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

const MARKER: [u8; 4] = [3, 6, 9, 0x0c];
const VERSIONS: [u8; 4] = [3, 6, 9, 0x0a];
const HEAD: usize = 20;
/// How many versions a refusal may list.
const MAX_VERSIONS: u32 = 64;
/// More headers than any message has; each costs a little memory of ours.
const MAX_HEADERS: usize = 256;

/// How much of one message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Bytes of headers.
    pub headers: u32,
    /// Bytes of body.
    pub body: u32,
}

impl MessageLimits {
    /// Until a Hello was answered: 16 KiB of headers, 4 KiB of body.
    pub const STRANGER: Self = Self {
        headers: 16 * 1024,
        body: 4 * 1024,
    };
    /// Afterwards: 64 KiB of headers, 1 MiB of body.
    pub const KNOWN: Self = Self {
        headers: 64 * 1024,
        body: 1024 * 1024,
    };
}

/// Bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It does not begin as messages do.
    #[error("not a message of an edge router")]
    Marker,
    /// The other end speaks other versions of the protocol.
    #[error("the router speaks other versions: {0:?}")]
    Versions(Vec<u32>),
    /// Headers or body are larger than allowed.
    #[error("a message too large: {headers} bytes of headers, {body} of body")]
    TooLarge {
        /// Bytes of headers, as its head says.
        headers: u32,
        /// Bytes of body, as its head says.
        body: u32,
    },
    /// A header reaches beyond the headers, or there are too many.
    #[error("broken headers")]
    Headers,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// What it is.
    pub content: u32,
    /// Counts up in each direction.
    pub sequence: u32,
    headers: Vec<(u32, Bytes)>,
    /// What it carries.
    pub body: Bytes,
}

impl Message {
    /// A message without headers; the sequence is set when it is sent.
    pub fn new(content: u32, body: impl Into<Bytes>) -> Self {
        Self {
            content,
            sequence: 0,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, id: u32, value: impl Into<Bytes>) -> Self {
        self.headers.push((id, value.into()));
        self
    }

    /// The same with a number of 32 bits as a header.
    #[must_use]
    pub fn with_u32(self, id: u32, value: u32) -> Self {
        self.with(id, value.to_le_bytes().to_vec())
    }

    /// The same with a flag as a header.
    #[must_use]
    pub fn with_flag(self, id: u32) -> Self {
        self.with(id, &[1][..])
    }

    /// The value of a header; of the first, if there are several.
    pub fn header(&self, id: u32) -> Option<&Bytes> {
        let found = self.headers.iter().find(|(other, _)| *other == id);
        found.map(|(_, value)| value)
    }

    /// A header that is a number of 32 bits.
    pub fn u32(&self, id: u32) -> Option<u32> {
        let value = self.header(id)?;
        Some(u32::from_le_bytes(value.as_ref().try_into().ok()?))
    }

    /// A header that is a flag: 1 is true.
    pub fn flag(&self, id: u32) -> bool {
        self.header(id)
            .is_some_and(|value| value.first() == Some(&1))
    }

    /// A header that is text.
    pub fn text(&self, id: u32) -> Option<&str> {
        std::str::from_utf8(self.header(id)?).ok()
    }

    /// All headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (u32, &Bytes)> {
        self.headers.iter().map(|(id, value)| (*id, value))
    }

    /// Appends the message as bytes.
    pub fn write(&self, to: &mut BytesMut) {
        let headers: usize = self.headers.iter().map(|(_, value)| 8 + value.len()).sum();
        to.reserve(HEAD + headers + self.body.len());
        to.extend_from_slice(&MARKER);
        for number in [
            self.content,
            self.sequence,
            size(headers),
            size(self.body.len()),
        ] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        for (id, value) in &self.headers {
            to.extend_from_slice(&id.to_le_bytes());
            to.extend_from_slice(&size(value.len()).to_le_bytes());
            to.extend_from_slice(value);
        }
        to.extend_from_slice(&self.body);
    }

    /// Takes the first message from the bytes received so far; nothing while it is not there yet.
    ///
    /// # Errors
    ///
    /// The bytes are no message, or a larger one than allowed. Nothing after that can be read.
    pub fn read(from: &mut BytesMut, limits: MessageLimits) -> Result<Option<Self>, MessageError> {
        let Some((marker, rest)) = from.split_first_chunk::<4>() else {
            let known = MARKER.starts_with(from) || VERSIONS.starts_with(from);
            return if known {
                Ok(None)
            } else {
                Err(MessageError::Marker)
            };
        };
        if *marker == VERSIONS {
            return versions(rest);
        }
        if *marker != MARKER {
            return Err(MessageError::Marker);
        }
        let mut head = rest;
        if head.len() < HEAD - 4 {
            return Ok(None);
        }
        let content = head.get_u32_le();
        let sequence = head.get_u32_le();
        let (headers, body) = (head.get_u32_le(), head.get_u32_le());
        if headers > limits.headers || body > limits.body {
            return Err(MessageError::TooLarge { headers, body });
        }
        // Bounded by the limits; they fit.
        let (header_bytes, body_bytes) = (headers as usize, body as usize);
        let whole = HEAD + header_bytes + body_bytes;
        if from.len() < whole {
            return Ok(None);
        }
        let mut message = from.split_to(whole).freeze();
        message.advance(HEAD);
        let headers = headers_in(message.split_to(header_bytes))?;
        Ok(Some(Self {
            content,
            sequence,
            headers,
            body: message,
        }))
    }
}

fn versions(mut rest: &[u8]) -> Result<Option<Message>, MessageError> {
    let Ok(count) = rest.try_get_u32_le() else {
        return Ok(None);
    };
    if count > MAX_VERSIONS {
        return Err(MessageError::Marker);
    }
    let mut versions = Vec::new();
    for _ in 0..count {
        let Ok(version) = rest.try_get_u32_le() else {
            return Ok(None);
        };
        versions.push(version);
    }
    Err(MessageError::Versions(versions))
}

fn headers_in(mut bytes: Bytes) -> Result<Vec<(u32, Bytes)>, MessageError> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let id = bytes.try_get_u32_le().map_err(|_| MessageError::Headers)?;
        let length = bytes.try_get_u32_le().map_err(|_| MessageError::Headers)?;
        let length = usize::try_from(length).map_err(|_| MessageError::Headers)?;
        if length > bytes.len() || headers.len() >= MAX_HEADERS {
            return Err(MessageError::Headers);
        }
        headers.push((id, bytes.split_to(length)));
    }
    Ok(headers)
}

/// What is sent is far smaller; a larger one would be refused by its receiver.
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Content, sequence and sizes: headers hold tokens, and the body what somebody sent.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<u32> = self.headers.iter().map(|(id, _)| *id).collect();
        f.debug_struct("Message")
            .field("content", &self.content)
            .field("sequence", &self.sequence)
            .field("headers", &headers)
            .field("body", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &Message) -> BytesMut {
        let mut bytes = BytesMut::new();
        message.write(&mut bytes);
        bytes
    }

    #[test]
    fn a_message_is_laid_out_as_routers_lay_it_out() {
        let message = Message {
            sequence: 7,
            ..Message::new(60786, &b"hi"[..]).with_u32(1000, 5)
        };
        let mut expected = vec![
            3, 6, 9, 0x0c, 0x72, 0xed, 0, 0, 7, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0,
        ];
        expected.extend([0xe8, 3, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0]);
        expected.extend(b"hi");
        assert_eq!(written(&message), expected);
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let message = Message::new(60783, &b"token"[..])
            .with_u32(1000, 1)
            .with_flag(1023)
            .with(1008, "web-1".as_bytes());
        let bytes = written(&message);
        for cut in 0..bytes.len() {
            let mut first = BytesMut::from(&bytes[..cut]);
            assert_eq!(Message::read(&mut first, MessageLimits::KNOWN), Ok(None));
            first.extend_from_slice(&bytes[cut..]);
            let read = Message::read(&mut first, MessageLimits::KNOWN);
            assert_eq!(read, Ok(Some(message.clone())));
            assert!(first.is_empty());
        }
        assert_eq!(message.u32(1000), Some(1));
        assert!(message.flag(1023) && !message.flag(1024));
        assert_eq!(message.text(1008), Some("web-1"));
        assert_eq!(message.u32(1008), None);
    }

    #[test]
    fn too_large_a_message_is_refused_by_its_head() {
        for (headers, body) in [(0, 4097), (16 * 1024 + 1, 0), (u32::MAX, u32::MAX)] {
            let mut bytes = BytesMut::from(&MARKER[..]);
            for number in [0, 0, headers, body] {
                bytes.extend_from_slice(&u32::to_le_bytes(number));
            }
            assert_eq!(
                Message::read(&mut bytes, MessageLimits::STRANGER),
                Err(MessageError::TooLarge { headers, body })
            );
        }
    }

    #[test]
    fn other_bytes_are_refused_at_once() {
        for bytes in [&b"H"[..], b"HTTP/1.1 400", &[3, 6, 9, 9], &[3, 7]] {
            let read = Message::read(&mut BytesMut::from(bytes), MessageLimits::KNOWN);
            assert_eq!(read, Err(MessageError::Marker));
        }
    }

    #[test]
    fn a_refusal_of_the_version_says_which_are_spoken() {
        let mut bytes = BytesMut::from(&VERSIONS[..]);
        for number in [2, 3, 4_u32] {
            assert_eq!(Message::read(&mut bytes, MessageLimits::STRANGER), Ok(None));
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let refused = Message::read(&mut bytes, MessageLimits::STRANGER);
        assert_eq!(refused, Err(MessageError::Versions(vec![3, 4])));
        let mut many = BytesMut::from(&VERSIONS[..]);
        many.extend_from_slice(&65_u32.to_le_bytes());
        let refused = Message::read(&mut many, MessageLimits::STRANGER);
        assert_eq!(refused, Err(MessageError::Marker));
    }

    #[test]
    fn headers_that_reach_beyond_are_refused() {
        for headers in [&[1, 0, 0][..], &[1, 0, 0, 0, 5, 0, 0, 0, 1], &[0xff; 8]] {
            let mut bytes = BytesMut::from(&MARKER[..]);
            for number in [0, 0, size(headers.len()), 0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(headers);
            let read = Message::read(&mut bytes, MessageLimits::KNOWN);
            assert_eq!(read, Err(MessageError::Headers));
        }
    }

    // N-06
    #[test]
    fn a_token_in_a_message_is_not_shown() {
        let message = Message::new(0, &b"secret-body"[..]).with(1002, "secret".as_bytes());
        assert!(!format!("{message:?}").contains("secret"));
    }
}
