//! Frames: flags, length, body.

use bytes::{BufMut, Bytes, BytesMut};

use super::CloseReason;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A body that has not wholly arrived grows from this, doubling, so that an
/// announced length alone never reserves more.
const FIRST_RESERVE: usize = 8 * 1024;
/// Up to here a body is copied next to its header; a longer one is sent from
/// where it is.
const COPY_LIMIT: usize = 4 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) command: bool,
    pub(super) more: bool,
    pub(super) body: Bytes,
}

/// Largest bodies accepted right now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) command: usize,
    pub(super) message: usize,
}

/// Takes frames out of a stream of bytes cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    header: [u8; 9],
    have: usize,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    flags: u8,
    len: usize,
    data: Vec<u8>,
}

impl Decoder {
    /// Takes what it needs from `input`; a frame once one is complete.
    pub(super) fn take(
        &mut self,
        input: &mut &[u8],
        caps: Caps,
    ) -> Result<Option<Frame>, CloseReason> {
        if self.body.is_none() {
            let Some((flags, len)) = self.take_header(input, caps)? else {
                return Ok(None);
            };
            if let Some((body, rest)) = input.split_at_checked(len) {
                *input = rest;
                return Ok(Some(frame(flags, Bytes::copy_from_slice(body))));
            }
            self.body = Some(Body {
                flags,
                len,
                data: Vec::new(),
            });
        }
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let wanted = body.len - body.data.len();
        let (now, rest) = input.split_at(wanted.min(input.len()));
        *input = rest;
        body.push(now);
        if body.data.len() < body.len {
            return Ok(None);
        }
        let flags = body.flags;
        let data = std::mem::take(&mut body.data);
        self.body = None;
        Ok(Some(frame(flags, Bytes::from(data))))
    }

    fn take_header(
        &mut self,
        input: &mut &[u8],
        caps: Caps,
    ) -> Result<Option<(u8, usize)>, CloseReason> {
        loop {
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            *input = rest;
            if self.have == 0
                && (byte & !(MORE | LONG | COMMAND) != 0
                    || byte & (MORE | COMMAND) == MORE | COMMAND)
            {
                return Err(CloseReason::BadFlags(byte));
            }
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            let [flags, short, ..] = self.header;
            let len = match (flags & LONG != 0, self.have) {
                (false, 2) => u64::from(short),
                (true, 9) => {
                    let [_, len @ ..] = self.header;
                    u64::from_be_bytes(len)
                }
                _ => continue,
            };
            let cap = if flags & COMMAND != 0 {
                caps.command
            } else {
                caps.message
            };
            let len = usize::try_from(len)
                .ok()
                .filter(|len| *len <= cap)
                .ok_or(CloseReason::TooLarge { announced: len })?;
            self.have = 0;
            return Ok(Some((flags, len)));
        }
    }

    /// Bytes held for a frame that is not complete.
    pub(super) fn held(&self) -> usize {
        self.have + self.body.as_ref().map_or(0, |body| body.data.len())
    }
}

impl Body {
    fn push(&mut self, now: &[u8]) {
        let needed = self.data.len() + now.len();
        if needed > self.data.capacity() {
            let target = (self.data.capacity() * 2)
                .max(FIRST_RESERVE)
                .max(needed)
                .min(self.len);
            self.data.reserve_exact(target - self.data.len());
        }
        self.data.extend_from_slice(now);
    }
}

fn frame(flags: u8, body: Bytes) -> Frame {
    Frame {
        command: flags & COMMAND != 0,
        more: flags & MORE != 0,
        body,
    }
}

/// The bytes of a whole message, to be made once and shared between connections.
///
/// ```
/// use bytes::Bytes;
/// use salt_proto::zmtp::encode_message;
///
/// assert_eq!(
///     &encode_message(&[Bytes::new(), Bytes::from_static(b"hi")])[..],
///     b"\x01\x00\x00\x02hi",
/// );
/// ```
pub fn encode_message(frames: &[Bytes]) -> Bytes {
    let total = frames.iter().map(|frame| frame.len() + 9).sum();
    let mut out = BytesMut::with_capacity(total);
    for (n, frame) in frames.iter().enumerate() {
        put_header(&mut out, more_flag(n, frames), frame.len());
        out.put_slice(frame);
    }
    out.freeze()
}

/// The same bytes in pieces, long bodies shared and not copied.
pub(super) fn encode_pieces(frames: &[Bytes], mut piece: impl FnMut(Bytes)) {
    let small: usize = frames
        .iter()
        .map(|frame| {
            9 + if frame.len() > COPY_LIMIT {
                0
            } else {
                frame.len()
            }
        })
        .sum();
    let mut out = BytesMut::with_capacity(small);
    for (n, frame) in frames.iter().enumerate() {
        put_header(&mut out, more_flag(n, frames), frame.len());
        if frame.len() > COPY_LIMIT {
            piece(out.split().freeze());
            piece(frame.clone());
        } else {
            out.put_slice(frame);
        }
    }
    if !out.is_empty() {
        piece(out.freeze());
    }
}

pub(super) fn encode_command(body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + body.len());
    put_header(&mut out, COMMAND, body.len());
    out.put_slice(body);
    out.freeze()
}

fn more_flag(n: usize, frames: &[Bytes]) -> u8 {
    if n + 1 < frames.len() { MORE } else { 0 }
}

fn put_header(out: &mut BytesMut, flags: u8, len: usize) {
    if let Ok(len) = u8::try_from(len) {
        out.put_u8(flags);
        out.put_u8(len);
    } else {
        out.put_u8(flags | LONG);
        out.put_u64(len as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        command: 16,
        message: 1 << 20,
    };

    #[test]
    fn a_frame_cut_at_every_byte_is_still_one_frame() {
        let body = Bytes::from(vec![7; 300]);
        let encoded = encode_message(std::slice::from_ref(&body));
        for cut in 0..encoded.len() {
            let mut decoder = Decoder::default();
            let (mut first, mut second) = encoded.split_at(cut);

            assert_eq!(decoder.take(&mut first, CAPS), Ok(None));
            let frame = decoder.take(&mut second, CAPS).unwrap().unwrap();

            assert_eq!(frame.body, body);
            assert_eq!(decoder.held(), 0);
        }
    }

    #[test]
    fn an_announced_length_reserves_next_to_nothing() {
        let mut decoder = Decoder::default();
        let mut header = [0; 12];
        header[0] = LONG;
        header[1..9].copy_from_slice(&(1_u64 << 19).to_be_bytes());

        assert_eq!(decoder.take(&mut header.as_slice(), CAPS), Ok(None));

        assert!(decoder.body.unwrap().data.capacity() <= FIRST_RESERVE);
    }

    #[test]
    fn pieces_joined_are_the_whole_message() {
        let frames = [
            Bytes::new(),
            Bytes::from(vec![1; COPY_LIMIT + 1]),
            Bytes::from(vec![2; 255]),
            Bytes::from(vec![3; 256]),
        ];
        let mut joined = Vec::new();

        encode_pieces(&frames, |piece| joined.extend_from_slice(&piece));

        assert_eq!(joined, encode_message(&frames));
    }
}
