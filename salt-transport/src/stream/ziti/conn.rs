//! One virtual connection: sealing, half-close, the end.

use bytes::{Buf as _, Bytes};

use super::edge::{self, flags, header};
use super::message::Message;
use super::seal::{HEADER, Keys, Receiver, SealError, Sender};

/// The most text that one message carries.
pub(crate) const MAX_TEXT: usize = 32 * 1024;

/// What the peer sent cannot be believed; the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("a broken message of several parts")]
    Parts,
    #[error("messages out of order")]
    Order,
    #[error("bytes after the end")]
    AfterEnd,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) texts: Vec<Bytes>,
    /// The peer sends nothing more.
    pub(crate) end: bool,
}

/// One end of a connection that was established.
pub(crate) struct Conn {
    id: u32,
    sequence: u32,
    sealing: Option<(Sender, Receiver)>,
    begun: bool,
    finished: bool,
    ended: bool,
    last: Option<u32>,
}

impl Conn {
    /// Without encryption: the service does not ask for it, and the peer gave no key.
    pub(crate) fn plain(id: u32) -> Self {
        Self {
            id,
            sequence: 0,
            sealing: None,
            begun: false,
            finished: false,
            ended: false,
            last: None,
        }
    }

    /// With encryption, and what goes out first. `random` begins our direction.
    pub(crate) fn sealed(id: u32, keys: Keys, random: [u8; HEADER]) -> (Self, Message) {
        let sender = Sender::new(&keys.send, random);
        let receiver = Receiver::new(keys.receive);
        let mut conn = Self {
            sealing: Some((sender, receiver)),
            ..Self::plain(id)
        };
        let first = conn.data(0, Bytes::copy_from_slice(&random));
        (conn, first)
    }

    /// At most [`MAX_TEXT`] bytes, as one message.
    pub(crate) fn send(&mut self, text: &[u8]) -> Result<Message, ConnError> {
        let body = match &mut self.sealing {
            Some((sender, _)) => sender.seal(text)?.into(),
            None => Bytes::copy_from_slice(text),
        };
        Ok(self.data(0, body))
    }

    /// Ends our direction; nothing if it has ended already.
    pub(crate) fn finish(&mut self) -> Option<Message> {
        if std::mem::replace(&mut self.finished, true) {
            return None;
        }
        Some(self.data(flags::FIN, Bytes::new()))
    }

    fn data(&mut self, flags: u32, body: Bytes) -> Message {
        let first = if std::mem::replace(&mut self.begun, true) {
            0
        } else {
            flags::STREAM
        };
        self.sequence = self.sequence.wrapping_add(1);
        edge::data(self.id, self.sequence, flags | first, body)
    }

    /// Takes a Data message.
    pub(crate) fn receive(&mut self, message: &Message) -> Result<Received, ConnError> {
        let bits = message.u32(header::FLAGS).unwrap_or_default();
        let mut received = Received {
            texts: Vec::new(),
            end: false,
        };
        if !message.body.is_empty() {
            if self.ended {
                return Err(ConnError::AfterEnd);
            }
            match &mut self.sealing {
                Some((_, receiver)) => {
                    if let Some(text) = receiver.open(&message.body)? {
                        received.texts = parts(text.into(), bits)?;
                    }
                }
                None => {
                    self.in_order(message)?;
                    // Not a part of the buffer it came in, which may be much larger.
                    let text = Bytes::copy_from_slice(&message.body);
                    received.texts = parts(text, bits)?;
                }
            }
        }
        received.texts.retain(|text| !text.is_empty());
        if bits & flags::FIN != 0 && !self.ended {
            self.ended = true;
            received.end = true;
        }
        Ok(received)
    }

    /// Without encryption nothing else notices messages that changed places.
    fn in_order(&mut self, message: &Message) -> Result<(), ConnError> {
        let Some(sequence) = message.u32(header::SEQ) else {
            return Ok(());
        };
        let last = self.last.replace(sequence);
        // Counts wrap around: half of the range is behind.
        if last.is_some_and(|last| sequence.wrapping_sub(last).wrapping_sub(1) >= 1 << 31) {
            return Err(ConnError::Order);
        }
        Ok(())
    }
}

/// Several payloads in one message: each after its length in 16 bits.
fn parts(mut text: Bytes, bits: u32) -> Result<Vec<Bytes>, ConnError> {
    if bits & flags::MULTIPART == 0 {
        return Ok(vec![text]);
    }
    let mut parts = Vec::new();
    while !text.is_empty() {
        let length = text.try_get_u16_le().map_err(|_| ConnError::Parts)?;
        let length = usize::from(length);
        if length > text.len() {
            return Err(ConnError::Parts);
        }
        let part = text.split_to(length);
        // An empty one costs two bytes of the peer and more of ours.
        if !part.is_empty() {
            parts.push(part);
        }
    }
    Ok(parts)
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("id", &self.id)
            .field("sealed", &self.sealing.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::{KeyPair, Side};
    use super::*;

    fn pair() -> ((Conn, Message), (Conn, Message)) {
        let (dialer, host) = (KeyPair::from_random([1; 32]), KeyPair::from_random([2; 32]));
        let dials = dialer.exchange(Side::Dialer, host.public()).unwrap();
        let hosts = host.exchange(Side::Host, dialer.public()).unwrap();
        (
            Conn::sealed(5, dials, [3; HEADER]),
            Conn::sealed(6, hosts, [4; HEADER]),
        )
    }

    fn text(received: Received) -> Vec<u8> {
        received.texts.concat()
    }

    #[test]
    fn both_directions_carry_text_and_end_one_by_one() {
        let ((mut near, first), (mut far, back)) = pair();
        assert_eq!(first.body.len(), HEADER);
        assert_eq!(first.u32(header::FLAGS), Some(flags::STREAM));
        assert_eq!(text(far.receive(&first).unwrap()), b"");
        near.receive(&back).unwrap();

        let message = near.send(b"question").unwrap();
        assert_eq!(message.u32(header::CONN_ID), Some(5));
        assert_eq!(message.u32(header::SEQ), Some(2));
        assert_eq!(text(far.receive(&message).unwrap()), b"question");
        let end = near.finish().unwrap();
        assert!(end.body.is_empty());
        assert!(far.receive(&end).unwrap().end);
        assert!(near.finish().is_none());

        let answer = far.send(b"answer").unwrap();
        assert_eq!(text(near.receive(&answer).unwrap()), b"answer");
        assert!(near.receive(&far.finish().unwrap()).unwrap().end);
    }

    #[test]
    fn reordered_messages_end_the_connection() {
        let ((mut near, first), (mut far, _)) = pair();
        far.receive(&first).unwrap();
        let (_, second) = (near.send(b"1").unwrap(), near.send(b"2").unwrap());
        assert_eq!(far.receive(&second), Err(SealError::Broken.into()));

        let (mut near, mut far) = (Conn::plain(1), Conn::plain(2));
        let (one, two) = (near.send(b"1").unwrap(), near.send(b"2").unwrap());
        far.receive(&two).unwrap();
        assert_eq!(far.receive(&one), Err(ConnError::Order));
    }

    #[test]
    fn counting_goes_on_around_its_end() {
        let mut far = Conn::plain(2);
        for sequence in [u32::MAX - 1, u32::MAX, 0, 1] {
            let data = edge::data(2, sequence, 0, &b"x"[..]);
            assert_eq!(text(far.receive(&data).unwrap()), b"x");
        }
    }

    #[test]
    fn several_payloads_in_one_message_are_taken_apart() {
        let mut far = Conn::plain(2);
        let data = |body: &'static [u8]| edge::data(2, 1, flags::MULTIPART, body);
        let received = far.receive(&data(b"\x02\0hi\0\0\x01\0!")).unwrap();
        assert_eq!(received.texts, ["hi", "!"].map(Bytes::from));
        for broken in [&b"\x03\0hi"[..], b"\x01"] {
            let mut far = Conn::plain(2);
            assert_eq!(far.receive(&data(broken)), Err(ConnError::Parts));
        }
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut far = Conn::plain(2);
        let last = edge::data(2, 1, flags::FIN, &b"last"[..]);
        let received = far.receive(&last).unwrap();
        assert!(received.end);
        assert_eq!(text(received), b"last");
        let more = edge::data(2, 2, 0, &b"more"[..]);
        assert_eq!(far.receive(&more), Err(ConnError::AfterEnd));
    }
}
