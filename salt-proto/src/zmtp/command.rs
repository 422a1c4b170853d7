//! Commands: READY, ERROR, PING, PONG, SUBSCRIBE, CANCEL.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CloseReason, SocketType};

/// How much of a PING comes back in its PONG (37/ZMTP 3.1, "Heartbeating").
const MAX_CONTEXT: usize = 16;
/// An identity is announced in at most 255 bytes.
const MAX_IDENTITY: usize = 255;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ready {
        socket: Vec<u8>,
        identity: Bytes,
    },
    Error(String),
    /// Time to live in tenths of a second, and what the PONG has to repeat.
    Ping {
        ttl: u16,
        context: Bytes,
    },
    Pong,
    Subscribe(Bytes),
    Cancel(Bytes),
    /// Well-formed and not known here.
    Other,
}

impl Command {
    pub(super) fn parse(body: &Bytes) -> Result<Self, CloseReason> {
        let (&len, rest) = body.split_first().ok_or(CloseReason::BadCommand)?;
        let (name, data) = rest
            .split_at_checked(usize::from(len))
            .ok_or(CloseReason::BadCommand)?;
        Ok(match name {
            b"" => return Err(CloseReason::BadCommand),
            b"READY" => ready(data)?,
            b"ERROR" => {
                let (&len, rest) = data.split_first().ok_or(CloseReason::BadCommand)?;
                let reason = rest
                    .get(..usize::from(len))
                    .ok_or(CloseReason::BadCommand)?;
                Self::Error(String::from_utf8_lossy(reason).into_owned())
            }
            b"PING" => {
                let (ttl, context) = data
                    .split_first_chunk::<2>()
                    .ok_or(CloseReason::BadCommand)?;
                if context.len() > MAX_CONTEXT {
                    return Err(CloseReason::BadCommand);
                }
                Self::Ping {
                    ttl: u16::from_be_bytes(*ttl),
                    context: Bytes::copy_from_slice(context),
                }
            }
            b"PONG" => Self::Pong,
            b"SUBSCRIBE" => Self::Subscribe(body.slice_ref(data)),
            b"CANCEL" => Self::Cancel(body.slice_ref(data)),
            _ => Self::Other,
        })
    }
}

/// The property table of READY. Names are case-insensitive, unknown ones are skipped.
fn ready(mut data: &[u8]) -> Result<Command, CloseReason> {
    let mut socket = None;
    let mut identity = Bytes::new();
    while let Some((&len, rest)) = data.split_first() {
        let (name, rest) = rest
            .split_at_checked(usize::from(len))
            .ok_or(CloseReason::BadCommand)?;
        let (len, rest) = rest
            .split_first_chunk::<4>()
            .ok_or(CloseReason::BadCommand)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| CloseReason::BadCommand)?;
        let (value, rest) = rest.split_at_checked(len).ok_or(CloseReason::BadCommand)?;
        if name.is_empty() {
            return Err(CloseReason::BadCommand);
        } else if name.eq_ignore_ascii_case(b"socket-type") {
            socket = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"identity") {
            if value.len() > MAX_IDENTITY {
                return Err(CloseReason::BadCommand);
            }
            identity = Bytes::copy_from_slice(value);
        }
        data = rest;
    }
    let socket = socket.ok_or(CloseReason::BadCommand)?;
    Ok(Command::Ready { socket, identity })
}

pub(super) fn encode_ready(socket: SocketType, identity: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(48 + identity.len());
    body.put_slice(b"\x05READY");
    put_property(&mut body, b"Socket-Type", socket.name().as_bytes());
    if socket.has_identity() {
        let identity = identity.get(..MAX_IDENTITY).unwrap_or(identity);
        put_property(&mut body, b"Identity", identity);
    }
    super::frame::encode_command(&body)
}

pub(super) fn encode_error(reason: &str) -> Bytes {
    let reason = reason.as_bytes();
    let reason = reason.get(..255).unwrap_or(reason);
    let mut body = BytesMut::with_capacity(7 + reason.len());
    body.put_slice(b"\x05ERROR");
    put_short_len(&mut body, reason.len());
    body.put_slice(reason);
    super::frame::encode_command(&body)
}

pub(super) fn encode_ping(ttl: u16) -> Bytes {
    let mut body = BytesMut::with_capacity(7);
    body.put_slice(b"\x04PING");
    body.put_u16(ttl);
    super::frame::encode_command(&body)
}

pub(super) fn encode_pong(context: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(5 + context.len());
    body.put_slice(b"\x04PONG");
    body.put_slice(context);
    super::frame::encode_command(&body)
}

pub(super) fn encode_subscription(name: &[u8], topic: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(1 + name.len() + topic.len());
    put_short_len(&mut body, name.len());
    body.put_slice(name);
    body.put_slice(topic);
    super::frame::encode_command(&body)
}

fn put_property(body: &mut BytesMut, name: &[u8], value: &[u8]) {
    put_short_len(body, name.len());
    body.put_slice(name);
    body.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
    body.put_slice(value);
}

fn put_short_len(body: &mut BytesMut, len: usize) {
    body.put_u8(u8::try_from(len).unwrap_or(u8::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: Result<Command, CloseReason>) {
        assert_eq!(Command::parse(&Bytes::copy_from_slice(body)), expected);
    }

    #[test]
    fn a_ready_command_reads_its_socket_type_whatever_the_case_of_the_name() {
        check(
            b"\x05READY\x0bSOCKET-type\x00\x00\x00\x03REQ\x01x\x00\x00\x00\x00",
            Ok(Command::Ready {
                socket: b"REQ".to_vec(),
                identity: Bytes::new(),
            }),
        );
    }

    #[test]
    fn a_property_table_that_promises_more_than_it_holds_is_refused() {
        check(
            b"\x05READY\x0bSocket-Type\x00\x00\x00\x04REQ",
            Err(CloseReason::BadCommand),
        );
        check(
            b"\x05READY\x0bSocket-Type\xff\xff\xff\xffREQ",
            Err(CloseReason::BadCommand),
        );
        check(b"\x05READY\x0bSocket", Err(CloseReason::BadCommand));
        check(b"\x05READY", Err(CloseReason::BadCommand));
    }

    #[test]
    fn a_ping_with_a_context_beyond_sixteen_bytes_is_refused() {
        check(
            b"\x04PING\x00\x0a0123456789abcdef",
            Ok(Command::Ping {
                ttl: 10,
                context: Bytes::from_static(b"0123456789abcdef"),
            }),
        );
        check(
            b"\x04PING\x00\x0a0123456789abcdefg",
            Err(CloseReason::BadCommand),
        );
        check(b"\x04PING\x00", Err(CloseReason::BadCommand));
    }

    #[test]
    fn a_nameless_command_is_refused_and_an_unknown_one_is_not() {
        check(b"", Err(CloseReason::BadCommand));
        check(b"\x00", Err(CloseReason::BadCommand));
        check(b"\x05PIN", Err(CloseReason::BadCommand));
        check(b"\x03FOOany", Ok(Command::Other));
    }
}
