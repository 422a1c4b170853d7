//! Socket types and who may talk to whom.

use std::fmt;

/// The kind of socket at one end of a connection, as READY names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// Asks, then waits for one answer.
    Req,
    /// Answers one question at a time.
    Rep,
    /// Answers many peers, each by its connection.
    Router,
    /// Asks without waiting.
    Dealer,
    /// Sends to everyone who subscribed. `XPUB` is read as this.
    Pub,
    /// Receives what it subscribed to. `XSUB` is read as this.
    Sub,
}

impl SocketType {
    /// The name in the `Socket-Type` property.
    pub fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Router => "ROUTER",
            Self::Dealer => "DEALER",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
        }
    }

    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"REQ" => Self::Req,
            b"REP" => Self::Rep,
            b"ROUTER" => Self::Router,
            b"DEALER" => Self::Dealer,
            b"PUB" | b"XPUB" => Self::Pub,
            b"SUB" | b"XSUB" => Self::Sub,
            _ => return None,
        })
    }

    /// Whether a connection between these two types is allowed (23/ZMTP and 28/REQREP, 29/PUBSUB).
    pub(super) fn accepts(self, peer: Self) -> bool {
        match self {
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
            Self::Router => matches!(peer, Self::Req | Self::Dealer | Self::Router),
            Self::Dealer => matches!(peer, Self::Rep | Self::Dealer | Self::Router),
            Self::Pub => peer == Self::Sub,
            Self::Sub => peer == Self::Pub,
        }
    }

    /// Whether READY carries an `Identity` property.
    pub(super) fn has_identity(self) -> bool {
        matches!(self, Self::Req | Self::Router | Self::Dealer)
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SocketType; 6] = [
        SocketType::Req,
        SocketType::Rep,
        SocketType::Router,
        SocketType::Dealer,
        SocketType::Pub,
        SocketType::Sub,
    ];

    #[test]
    fn who_may_talk_to_whom_is_symmetric() {
        for a in ALL {
            for b in ALL {
                assert_eq!(a.accepts(b), b.accepts(a), "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_name_reads_back_as_its_type() {
        for socket in ALL {
            assert_eq!(SocketType::parse(socket.name().as_bytes()), Some(socket));
        }
        assert_eq!(SocketType::parse(b"XSUB"), Some(SocketType::Sub));
        assert_eq!(SocketType::parse(b"PAIR"), None);
    }
}
