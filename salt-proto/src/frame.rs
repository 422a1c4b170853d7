//! Frames of the `tcp` wire and of the local event bus.
//!
//! Each side writes one MessagePack map `{"head": …, "body": …}` after another,
//! bare or behind a length ([`Framing`]), so a reader has to find the ends
//! itself. [`FrameDecoder`] does so without building values: head and body come
//! out as the bytes they are, which are the same bytes the ZeroMQ wire carries.
//!
//! ```
//! use salt_proto::frame::{self, FrameDecoder, Framing};
//!
//! // 0xc0 is MessagePack's nil; an envelope is sent the same way.
//! let bytes = frame::encode(&frame::head_of("7"), b"\xc0");
//! let mut decoder = FrameDecoder::new(Framing::Bare, 1 << 20);
//! decoder.handle_input(&bytes);
//!
//! let received = decoder.poll_frame()?.unwrap();
//! assert_eq!(received.mid(), Some(&b"7"[..]));
//! assert_eq!(&received.body[..], b"\xc0");
//! # Ok::<(), frame::FrameError>(())
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Deepest nesting of a frame; what decodes its body has its own, lower limit.
const MAX_DEPTH: usize = 512;
/// Most values in one frame.
const MAX_NODES: usize = 4 << 20;
/// Most entries of the outermost map.
const MAX_ENTRIES: u32 = 8;

/// How one frame is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Maps one after another: the `tcp` wire; the event bus of Salt 3007 and 3008.
    Bare,
    /// A big-endian `u32` length before each map: events handed in to the bus
    /// (all releases) and the event bus of Salt 3006.
    Prefixed,
    /// Whichever of the two the first byte shows.
    Detect,
}

/// One frame: two complete MessagePack values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The head, a map; a reply repeats it.
    pub head: Bytes,
    /// The body: the envelope of a request, the reply, or the text of a publication.
    pub body: Bytes,
}

impl Frame {
    /// The message id in the head, by which a reply finds its request.
    pub fn mid(&self) -> Option<&[u8]> {
        let mut rest = self.head.as_ref();
        let entries = match Token::read(rest)? {
            (Token::Items(n), len) if is_map(*rest.first()?) => {
                rest = rest.get(len..)?;
                n / 2
            }
            _ => return None,
        };
        for _ in 0..entries {
            let key = take_value(&mut rest)?;
            let value = take_value(&mut rest)?;
            if string(key) == Some(b"mid") {
                return string(value);
            }
        }
        None
    }

    /// What is inside a body that is a string: a publication, or an event.
    pub fn payload(&self) -> Option<Bytes> {
        string(&self.body).map(|inside| self.body.slice_ref(inside))
    }
}

/// Why a stream of frames cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is, or announces to be, above the limit.
    #[error("a frame above the limit")]
    TooLarge,
    /// Too deeply nested or of too many values.
    #[error("a frame of too many values")]
    TooComplex,
    /// Not a map with `head` and `body`.
    #[error("a frame without head and body")]
    Malformed,
}

/// Finds frames in a stream of bytes cut anywhere.
#[derive(Debug)]
pub struct FrameDecoder {
    framing: Framing,
    max_frame: usize,
    buffer: BytesMut,
    /// What the length word announced, once it is read and taken off.
    announced: Option<usize>,
    scan: Scan,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream; `max_frame` in bytes.
    pub fn new(framing: Framing, max_frame: usize) -> Self {
        Self {
            framing,
            max_frame,
            buffer: BytesMut::new(),
            announced: None,
            scan: Scan::default(),
            failed: None,
        }
    }

    /// Takes bytes from the peer. Poll all frames before handing in more.
    pub fn handle_input(&mut self, input: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(input);
        }
    }

    /// The next complete frame.
    ///
    /// # Errors
    ///
    /// What follows in the stream cannot be found any more: close it. Every
    /// later call gives the same error.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.next().inspect_err(|error| {
            self.failed = Some(*error);
            self.buffer = BytesMut::new();
            self.scan = Scan::default();
        })
    }

    /// Bytes held of a frame that has not wholly arrived.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(&first) = self.buffer.first() else {
            self.buffer = BytesMut::new();
            return Ok(None);
        };
        if self.framing == Framing::Detect {
            self.framing = if first == 0 {
                Framing::Prefixed
            } else {
                Framing::Bare
            };
        }
        if self.framing == Framing::Prefixed && self.announced.is_none() {
            let Some(len) = self.buffer.first_chunk::<4>() else {
                return Ok(None);
            };
            let len = u32::from_be_bytes(*len) as usize;
            if len > self.max_frame {
                return Err(FrameError::TooLarge);
            }
            self.buffer.advance(4);
            self.announced = Some(len);
        }
        let max = self.announced.unwrap_or(self.max_frame);
        let Some(len) = self.scan.advance(&self.buffer, max)? else {
            return Ok(None);
        };
        if self
            .announced
            .take()
            .is_some_and(|announced| announced != len)
        {
            return Err(FrameError::Malformed);
        }
        let entries = std::mem::take(&mut self.scan).bounds;
        let bytes = self.buffer.split_to(len).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        split(&bytes, &entries).map(Some)
    }
}

/// Cuts a frame at the ends of its keys and values.
fn split(bytes: &Bytes, bounds: &[usize]) -> Result<Frame, FrameError> {
    let (mut head, mut body) = (None, None);
    for [start, key, value] in bounds
        .windows(3)
        .step_by(2)
        .filter_map(|w| <[usize; 3]>::try_from(w).ok())
    {
        let name = bytes.get(start..key).and_then(string);
        match name {
            Some(b"head") => head = Some(bytes.slice(key..value)),
            Some(b"body") => body = Some(bytes.slice(key..value)),
            _ => {}
        }
    }
    let head = head.filter(|head| head.first().is_some_and(|first| is_map(*first)));
    match (head, body) {
        (Some(head), Some(body)) => Ok(Frame { head, body }),
        _ => Err(FrameError::Malformed),
    }
}

/// Walks over one value as its bytes arrive, never over the same byte twice.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    /// Values still to come in each open array or map.
    open: Vec<u32>,
    nodes: usize,
    /// Where the outermost map's first key begins, and where each key and value ends.
    bounds: Vec<usize>,
}

impl Scan {
    /// The length of the value once all of it is in `bytes`, which only grows
    /// from call to call.
    fn advance(&mut self, bytes: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
        loop {
            // A long string is skipped when it has arrived; until then `at` is past the end.
            let Some(rest) = bytes.get(self.at..).filter(|rest| !rest.is_empty()) else {
                if self.at > 0 && self.open.is_empty() && bytes.len() >= self.at {
                    return Ok(Some(self.at));
                }
                return Ok(None);
            };
            if self.at > 0 && self.open.is_empty() {
                return Ok(Some(self.at));
            }
            let Some((token, len)) = Token::read(rest) else {
                return if matches!(rest.first(), Some(0xc1)) {
                    Err(FrameError::Malformed)
                } else {
                    Ok(None)
                };
            };
            if self.at == 0 && !rest.first().is_some_and(|first| is_map(*first)) {
                return Err(FrameError::Malformed);
            }
            self.nodes += 1;
            if self.nodes > MAX_NODES {
                return Err(FrameError::TooComplex);
            }
            self.at += len;
            match token {
                Token::Skip(n) => {
                    self.at = self.at.saturating_add(n);
                    if self.at > max {
                        return Err(FrameError::TooLarge);
                    }
                    self.close();
                }
                Token::Items(n) => {
                    // Each value takes a byte at least.
                    if u64::try_from(self.at + n as usize).unwrap_or(u64::MAX) > max as u64 {
                        return Err(FrameError::TooLarge);
                    }
                    if self.open.is_empty() {
                        if n > MAX_ENTRIES * 2 || n == 0 {
                            return Err(FrameError::Malformed);
                        }
                        self.bounds.push(self.at);
                    }
                    if self.open.len() >= MAX_DEPTH {
                        return Err(FrameError::TooComplex);
                    }
                    self.open.push(n);
                    if n == 0 {
                        self.open.pop();
                        self.close();
                    }
                }
            }
        }
    }

    /// One value is complete; so may be the ones around it.
    fn close(&mut self) {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            let done = *left == 0;
            if self.open.len() == 1 {
                self.bounds.push(self.at);
            }
            if !done {
                return;
            }
            self.open.pop();
        }
    }
}

/// What the first bytes of a value say about the rest of it.
enum Token {
    /// So many bytes follow.
    Skip(usize),
    /// So many values follow.
    Items(u32),
}

impl Token {
    /// The token and its own length; `None` if it is cut off or not MessagePack.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, rest) = bytes.split_first()?;
        let len = |width: usize, extra: usize| -> Option<(Self, usize)> {
            let n = number(rest, width)?;
            Some((Self::Skip((n as usize).checked_add(extra)?), 1 + width))
        };
        Some(match first {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (Self::Skip(0), 1),
            0x80..=0x8f => (Self::Items(u32::from(first & 0x0f) * 2), 1),
            0x90..=0x9f => (Self::Items(u32::from(first & 0x0f)), 1),
            0xa0..=0xbf => (Self::Skip(usize::from(first & 0x1f)), 1),
            0xc1 => return None,
            0xc4 | 0xd9 => len(1, 0)?,
            0xc5 | 0xda => len(2, 0)?,
            0xc6 | 0xdb => len(4, 0)?,
            0xc7 => len(1, 1)?,
            0xc8 => len(2, 1)?,
            0xc9 => len(4, 1)?,
            0xca | 0xce | 0xd2 => (Self::Skip(4), 1),
            0xcb | 0xcf | 0xd3 => (Self::Skip(8), 1),
            0xcc | 0xd0 => (Self::Skip(1), 1),
            0xcd | 0xd1 => (Self::Skip(2), 1),
            0xd4..=0xd8 => (Self::Skip(1 + (1 << (first - 0xd4))), 1),
            0xdc => (Self::Items(number(rest, 2)?), 3),
            0xdd => (Self::Items(number(rest, 4)?), 5),
            0xde => (Self::Items(number(rest, 2)? * 2), 3),
            0xdf => (Self::Items(number(rest, 4)?.saturating_mul(2)), 5),
        })
    }
}

fn number(bytes: &[u8], width: usize) -> Option<u32> {
    let bytes = bytes.get(..width)?;
    Some(bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
}

fn is_map(first: u8) -> bool {
    matches!(first, 0x80..=0x8f | 0xde | 0xdf)
}

/// Takes one complete value off `rest`.
fn take_value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut left: u64 = 1;
    let mut at = 0_usize;
    while left > 0 {
        let (token, len) = Token::read(rest.get(at..)?)?;
        at += len;
        left -= 1;
        match token {
            Token::Skip(n) => at = at.checked_add(n)?,
            Token::Items(n) => left += u64::from(n),
        }
    }
    let (value, after) = rest.split_at_checked(at)?;
    *rest = after;
    Some(value)
}

/// The content of a string value of either family.
fn string(value: &[u8]) -> Option<&[u8]> {
    match value.first()? {
        0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => match Token::read(value)? {
            (Token::Skip(n), len) => value.get(len..).filter(|inside| inside.len() == n),
            (Token::Items(_), _) => None,
        },
        _ => None,
    }
}

/// A head with nothing in it, as publications have it.
pub const EMPTY_HEAD: &[u8] = b"\x80";

/// The head of a request.
pub fn head_of(mid: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(10 + mid.len());
    out.put_slice(b"\x81\xa3mid");
    put_raw(&mut out, mid.as_bytes());
    out.freeze()
}

/// One bare frame. `head` and `body` are complete MessagePack values.
pub fn encode(head: &[u8], body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(11 + head.len() + body.len());
    put_start(&mut out, head);
    out.put_slice(body);
    out.freeze()
}

/// One publication: the envelope packed once more, as a raw string.
pub fn encode_publication(envelope: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(17 + envelope.len());
    put_start(&mut out, EMPTY_HEAD);
    put_raw(&mut out, envelope);
    out.freeze()
}

/// One event for a local bus, as a `bin` body.
///
/// [`Framing::Detect`] has no meaning for a writer and is taken as
/// [`Framing::Bare`].
pub fn encode_event(framing: Framing, event: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(21 + event.len());
    let prefixed = framing == Framing::Prefixed;
    if prefixed {
        out.put_u32(0);
    }
    put_start(&mut out, EMPTY_HEAD);
    match event.len() {
        n @ 0..=0xff => {
            out.put_u8(0xc4);
            out.put_uint(n as u64, 1);
        }
        n @ 0x100..=0xffff => {
            out.put_u8(0xc5);
            out.put_uint(n as u64, 2);
        }
        n => {
            out.put_u8(0xc6);
            out.put_uint(n as u64, 4);
        }
    }
    out.put_slice(event);
    if prefixed {
        let len = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
        if let Some(word) = out.first_chunk_mut::<4>() {
            *word = len.to_be_bytes();
        }
    }
    out.freeze()
}

fn put_start(out: &mut BytesMut, head: &[u8]) {
    out.put_slice(b"\x82\xa4head");
    out.put_slice(head);
    out.put_slice(b"\xa4body");
}

/// A string in the raw family: neither str8 nor bin, which old peers do not know.
fn put_raw(out: &mut BytesMut, bytes: &[u8]) {
    match bytes.len() {
        n @ 0..=31 => out.put_uint(0xa0 | n as u64, 1),
        n @ 32..=0xffff => {
            out.put_u8(0xda);
            out.put_uint(n as u64, 2);
        }
        n => {
            out.put_u8(0xdb);
            out.put_uint(n as u64, 4);
        }
    }
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn decode(framing: Framing, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let mut decoder = FrameDecoder::new(framing, MAX);
        decoder.handle_input(bytes);
        decoder.poll_frame()
    }

    #[test]
    fn a_publication_comes_out_as_it_went_in() {
        for len in [0, 31, 32, 255, 256, 65_535, 65_536] {
            let envelope = vec![0x5a; len];

            let frame = decode(Framing::Bare, &encode_publication(&envelope))
                .unwrap()
                .unwrap();

            assert_eq!(frame.payload().unwrap(), envelope);
            assert_eq!(frame.mid(), None);
        }
    }

    #[test]
    fn an_event_comes_out_of_both_framings() {
        for framing in [Framing::Bare, Framing::Prefixed] {
            for len in [0, 255, 256, 65_535, 65_536] {
                let event = vec![0x5a; len];
                let encoded = encode_event(framing, &event);

                let frame = decode(Framing::Detect, &encoded).unwrap().unwrap();

                assert_eq!(frame.payload().unwrap(), event);
            }
        }
    }

    #[test]
    fn a_string_announced_above_the_limit_is_refused_at_its_header() {
        let mut bytes = b"\x82\xa4head\x80\xa4body".to_vec();
        bytes.extend_from_slice(b"\xdb\xff\xff\xff\xff");

        assert_eq!(decode(Framing::Bare, &bytes), Err(FrameError::TooLarge));
    }

    #[test]
    fn an_array_announced_above_the_limit_is_refused_at_its_header() {
        let mut bytes = b"\x82\xa4head\x80\xa4body".to_vec();
        bytes.extend_from_slice(b"\xdd\xff\xff\xff\xff");

        assert_eq!(decode(Framing::Bare, &bytes), Err(FrameError::TooLarge));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let mut bytes = b"\x82\xa4head\x80\xa4body".to_vec();
        bytes.extend_from_slice(&[0x91; MAX_DEPTH + 1]);

        assert_eq!(decode(Framing::Bare, &bytes), Err(FrameError::TooComplex));
    }

    #[test]
    fn what_is_not_a_map_with_head_and_body_is_refused() {
        for bytes in [
            &b"\x01"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x80",
            b"\x81\xa4head\x80",
            b"\x82\xa4head\x01\xa4body\x01",
            b"\x82\xa4head\x80\xa4bodx\x01",
            b"\xc1",
        ] {
            assert_eq!(
                decode(Framing::Bare, bytes),
                Err(FrameError::Malformed),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn a_length_word_that_is_not_the_length_is_refused() {
        let mut bytes = encode_event(Framing::Prefixed, b"tag\n\n\x80").to_vec();
        bytes[3] += 1;
        bytes.push(0);

        assert_eq!(
            decode(Framing::Prefixed, &bytes),
            Err(FrameError::Malformed)
        );
    }

    #[test]
    fn an_error_stays_an_error() {
        let mut decoder = FrameDecoder::new(Framing::Bare, MAX);
        decoder.handle_input(b"\xc1");
        assert!(decoder.poll_frame().is_err());

        decoder.handle_input(&encode(EMPTY_HEAD, b"\x01"));

        assert!(decoder.poll_frame().is_err());
        assert_eq!(decoder.held(), 0);
    }
}
