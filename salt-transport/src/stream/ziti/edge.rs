//! What edge routers and clients say to each other: messages with their headers.

use bytes::Bytes;

use super::message::Message;

/// Contents of messages.
pub(crate) mod content {
    pub(crate) const HELLO: u32 = 0;
    pub(crate) const RESULT: u32 = 2;
    pub(crate) const LATENCY: u32 = 3;
    pub(crate) const LATENCY_RESPONSE: u32 = 4;
    pub(crate) const HEARTBEAT: u32 = 5;
    pub(crate) const CONNECT: u32 = 60783;
    pub(crate) const STATE_CONNECTED: u32 = 60784;
    pub(crate) const STATE_CLOSED: u32 = 60785;
    pub(crate) const DATA: u32 = 60786;
    pub(crate) const DIAL: u32 = 60787;
    pub(crate) const DIAL_SUCCESS: u32 = 60788;
    pub(crate) const DIAL_FAILED: u32 = 60789;
    pub(crate) const BIND: u32 = 60790;
    pub(crate) const UNBIND: u32 = 60791;
    pub(crate) const CONN_INSPECT_REQUEST: u32 = 60798;
    pub(crate) const CONN_INSPECT_RESPONSE: u32 = 60799;
    pub(crate) const BIND_SUCCESS: u32 = 60800;
    pub(crate) const UPDATE_TOKEN_SUCCESS: u32 = 60801;
    pub(crate) const UPDATE_TOKEN_FAILURE: u32 = 60802;
    pub(crate) const UPDATE_TOKEN: u32 = 60803;
}

/// Ids of headers.
pub(crate) mod header {
    pub(crate) const REPLY_FOR: u32 = 1;
    pub(crate) const RESULT_SUCCESS: u32 = 2;
    pub(crate) const HEARTBEAT: u32 = 5;
    pub(crate) const HEARTBEAT_RESPONSE: u32 = 6;
    pub(crate) const REFLECTED: u32 = 128;
    pub(crate) const CONN_ID: u32 = 1000;
    pub(crate) const SEQ: u32 = 1001;
    pub(crate) const SESSION_TOKEN: u32 = 1002;
    pub(crate) const PUBLIC_KEY: u32 = 1003;
    pub(crate) const CALLER_ID: u32 = 1008;
    pub(crate) const FLAGS: u32 = 1010;
    pub(crate) const ROUTER_PROVIDED_CONN_ID: u32 = 1012;
    pub(crate) const LISTENER_ID: u32 = 1021;
    pub(crate) const CONN_TYPE: u32 = 1022;
    pub(crate) const SUPPORTS_INSPECT: u32 = 1023;
    pub(crate) const SUPPORTS_BIND_SUCCESS: u32 = 1024;
    pub(crate) const CONNECTION_MARKER: u32 = 1025;
    pub(crate) const STRUCTURED_ERROR: u32 = 1033;
    pub(crate) const DIALER_IDENTITY_ID: u32 = 1034;
    pub(crate) const DIALER_IDENTITY_NAME: u32 = 1035;
}

/// Bits of the header `FLAGS`.
pub(crate) mod flags {
    pub(crate) const FIN: u32 = 1;
    pub(crate) const STREAM: u32 = 8;
    pub(crate) const MULTIPART: u32 = 16;
}

/// Router-given connection ids begin here; ours are below.
pub(crate) const ROUTER_IDS: u32 = 1 << 31;

/// The first message of a channel.
pub(crate) fn hello(token: &str) -> Message {
    Message::new(content::HELLO, &b"salt-transport"[..])
        .with(header::SESSION_TOKEN, token.as_bytes().to_vec())
}

/// Asks for a connection to whoever hosts the service of a `Dial` session.
pub(crate) fn connect(
    conn: u32,
    key: &[u8; 32],
    caller: &str,
    marker: &str,
    token: &str,
) -> Message {
    // No crypto method: official clients encode it in two ways, and its absence means the default.
    Message::new(content::CONNECT, token.as_bytes().to_vec())
        .with_u32(header::CONN_ID, conn)
        .with_u32(header::SEQ, 0)
        .with(header::PUBLIC_KEY, key.to_vec())
        .with(header::CALLER_ID, caller.as_bytes().to_vec())
        .with(header::CONNECTION_MARKER, marker.as_bytes().to_vec())
}

/// Offers to host the service of a `Bind` session.
pub(crate) fn bind(conn: u32, key: &[u8; 32], listener: &[u8; 32], token: &str) -> Message {
    Message::new(content::BIND, token.as_bytes().to_vec())
        .with_u32(header::CONN_ID, conn)
        .with_u32(header::SEQ, 0)
        .with(header::PUBLIC_KEY, key.to_vec())
        .with(header::LISTENER_ID, listener.to_vec())
        .with_flag(header::SUPPORTS_INSPECT)
        .with_flag(header::SUPPORTS_BIND_SUCCESS)
        .with_flag(header::ROUTER_PROVIDED_CONN_ID)
}

/// Ends hosting.
pub(crate) fn unbind(conn: u32, token: &str) -> Message {
    Message::new(content::UNBIND, token.as_bytes().to_vec()).with_u32(header::CONN_ID, conn)
}

/// Bytes of a connection.
pub(crate) fn data(conn: u32, sequence: u32, flags: u32, body: impl Into<Bytes>) -> Message {
    let message = Message::new(content::DATA, body)
        .with_u32(header::CONN_ID, conn)
        .with_u32(header::SEQ, sequence);
    match flags {
        0 => message,
        flags => message.with_u32(header::FLAGS, flags),
    }
}

/// Ends a connection, both ways.
pub(crate) fn closed(conn: u32, reason: &str) -> Message {
    Message::new(content::STATE_CLOSED, reason.as_bytes().to_vec()).with_u32(header::CONN_ID, conn)
}

/// Takes a caller.
pub(crate) fn dial_success(dial: &Message, bind: u32, key: &[u8; 32], conn: u32) -> Message {
    Message::new(content::DIAL_SUCCESS, conn.to_le_bytes().to_vec())
        .with_u32(header::REPLY_FOR, dial.sequence)
        .with_u32(header::CONN_ID, bind)
        .with(header::PUBLIC_KEY, key.to_vec())
}

/// Turns a caller away.
pub(crate) fn dial_failed(dial: &Message, bind: u32, reason: &str) -> Message {
    Message::new(content::DIAL_FAILED, reason.as_bytes().to_vec())
        .with_u32(header::REPLY_FOR, dial.sequence)
        .with_u32(header::CONN_ID, bind)
}

/// Tells a router the renewed token.
pub(crate) fn update_token(token: &str) -> Message {
    Message::new(content::UPDATE_TOKEN, token.as_bytes().to_vec())
}

/// Asks whether the other end is alive, and how far away.
pub(crate) fn latency(clock: u64) -> Message {
    Message::new(content::LATENCY, Bytes::new())
        .with(header::REFLECTED, clock.to_le_bytes().to_vec())
}

/// The answer to another's [`latency`].
pub(crate) fn reflected(probe: &Message) -> Message {
    let answer = Message::new(content::RESULT, Bytes::new())
        .with_u32(header::REPLY_FOR, probe.sequence)
        .with_flag(header::RESULT_SUCCESS);
    match probe.header(header::REFLECTED) {
        Some(clock) => answer.with(header::REFLECTED, clock.clone()),
        None => answer,
    }
}

/// The answer to a heartbeat that came with any message.
pub(crate) fn heartbeat(clock: &Bytes) -> Message {
    Message::new(content::HEARTBEAT, Bytes::new()).with(header::HEARTBEAT_RESPONSE, clock.clone())
}

/// What a connection of ours is: 1 dialed, 2 bound.
pub(crate) fn inspected(request: &Message, conn: u32, bound: bool) -> Message {
    let kind: &[u8] = if bound { &[2] } else { &[1] };
    Message::new(content::CONN_INSPECT_RESPONSE, Bytes::new())
        .with_u32(header::REPLY_FOR, request.sequence)
        .with_u32(header::CONN_ID, conn)
        .with(header::CONN_TYPE, kind)
}

/// The public key in a message; one of another length is as good as none.
pub(crate) fn public_key(message: &Message) -> Option<[u8; 32]> {
    message.header(header::PUBLIC_KEY)?.as_ref().try_into().ok()
}

/// A caller, as the router announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What the caller says of itself. Worth nothing but a line in a log.
    pub(crate) claimed: Option<String>,
    /// Name and id of the caller's session, set by the router.
    pub(crate) identity: Option<(String, String)>,
    pub(crate) key: Option<[u8; 32]>,
    /// The id that the router chose for the new connection.
    pub(crate) conn: Option<u32>,
}

impl Caller {
    pub(crate) fn of(dial: &Message) -> Self {
        let name = dial.text(header::DIALER_IDENTITY_NAME);
        let id = dial.text(header::DIALER_IDENTITY_ID);
        let identity = match (name, id) {
            (Some(name), Some(id)) if !name.is_empty() && !id.is_empty() => {
                Some((name.to_owned(), id.to_owned()))
            }
            _ => None,
        };
        Self {
            claimed: dial.text(header::CALLER_ID).map(printable),
            identity,
            key: public_key(dial),
            conn: dial.u32(header::ROUTER_PROVIDED_CONN_ID),
        }
    }
}

/// Why a connection was refused or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) text: String,
    /// It is no use to try again.
    pub(crate) is_final: bool,
}

impl Reason {
    /// Of a `StateClosed`, a refused Hello or Bind.
    pub(crate) fn of(message: &Message) -> Self {
        let structured: Option<serde_json::Value> = message
            .header(header::STRUCTURED_ERROR)
            .and_then(|json| serde_json::from_slice(json).ok());
        let field = |name: &str| structured.as_ref().and_then(|error| error.get(name));
        let is_final = field("retryHint").and_then(serde_json::Value::as_u64) == Some(3);
        let text = field("message")
            .and_then(serde_json::Value::as_str)
            .map_or_else(
                || String::from_utf8_lossy(&message.body).into_owned(),
                str::to_owned,
            );
        Self {
            text: printable(&text),
            is_final,
        }
    }

    /// The session's token is not, or no longer, good.
    pub(crate) fn is_invalid_session(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        text.contains("invalid session") || text.contains("invalid api session")
    }

    /// Nobody hosts the service now.
    pub(crate) fn is_unhosted(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        text.contains("no terminator") || text.contains("has no terminators")
    }
}

/// Another's text, short and without control characters, for a log.
pub(crate) fn printable(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // N-03
    #[test]
    fn a_caller_is_who_the_router_says_never_who_it_says_it_is() {
        let claims =
            Message::new(content::DIAL, Bytes::new()).with(header::CALLER_ID, "root".as_bytes());
        let caller = Caller::of(&claims);
        assert_eq!(
            (caller.claimed.as_deref(), caller.identity),
            (Some("root"), None)
        );

        let half = claims
            .clone()
            .with(header::DIALER_IDENTITY_NAME, "web-1".as_bytes());
        assert_eq!(Caller::of(&half).identity, None);
        let empty = half.clone().with(header::DIALER_IDENTITY_ID, "".as_bytes());
        assert_eq!(Caller::of(&empty).identity, None);

        let whole = half.with(header::DIALER_IDENTITY_ID, "k3".as_bytes());
        let expected = Some(("web-1".to_owned(), "k3".to_owned()));
        assert_eq!(Caller::of(&whole).identity, expected);
    }

    #[test]
    fn reasons_are_read_from_text_and_from_structured_errors() {
        let text = closed(1, "invalid session\n\u{1b}[31m");
        let reason = Reason::of(&text);
        assert_eq!(reason.text, "invalid session[31m");
        assert!(reason.is_invalid_session() && !reason.is_final);

        let json = br#"{"code": 7, "message": "service x has no terminators", "retryHint": 3}"#;
        let structured = closed(1, "other").with(header::STRUCTURED_ERROR, &json[..]);
        let reason = Reason::of(&structured);
        assert!(reason.is_unhosted() && reason.is_final);

        let broken = closed(1, "text").with(header::STRUCTURED_ERROR, &b"{"[..]);
        assert_eq!(Reason::of(&broken).text, "text");
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        let message =
            Message::new(content::DIAL, Bytes::new()).with(header::PUBLIC_KEY, &[1; 31][..]);
        assert_eq!(public_key(&message), None);
    }
}
