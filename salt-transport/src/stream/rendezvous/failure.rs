//! What is wrong with a relay, in one line.

use std::fmt;
use std::io;

use super::frame::{FrameError, Refusal};

/// Why nobody was met at a relay.
#[derive(Debug)]
pub(super) enum Failure {
    /// The relay says so.
    Refused(Refusal),
    /// No answer in time.
    Late,
    /// Nothing was heard from a relay that was there.
    Silent,
    /// Its name leads to no address.
    Unresolved(String),
    /// One side does not believe the other's certificate.
    Certificate(String),
    /// It says what no relay says.
    NoRelay(String),
    Io(io::Error),
}

impl Failure {
    pub(super) fn of(error: io::Error) -> Self {
        let text = error.to_string();
        let inner = error.get_ref();
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return Self::Refused(*refusal);
        }
        if let Some(frame) = inner.and_then(|inner| inner.downcast_ref::<FrameError>()) {
            return Self::NoRelay(frame.to_string());
        }
        // With TLS 1.3 a client learns that it was refused from what it reads.
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) || text.starts_with("TLS: ") {
            let text = text.strip_prefix("TLS: ").unwrap_or(&text);
            return Self::Certificate(text.to_owned());
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Late,
            // The standard library has no kind for what the resolver says.
            _ if text.starts_with("failed to lookup address") => Self::Unresolved(text),
            _ => Self::Io(error),
        }
    }

    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Refused(Refusal::UnknownName) => io::ErrorKind::NotFound,
            Self::Refused(Refusal::NotAllowed) | Self::Certificate(_) => {
                io::ErrorKind::PermissionDenied
            }
            Self::Refused(Refusal::Busy) => io::ErrorKind::ResourceBusy,
            Self::Refused(Refusal::Expired) | Self::Late | Self::Silent => io::ErrorKind::TimedOut,
            Self::Refused(Refusal::BadFrame) | Self::NoRelay(_) => io::ErrorKind::InvalidData,
            Self::Unresolved(_) => io::ErrorKind::HostUnreachable,
            Self::Io(error) => error.kind(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Refusal::Expired) => f.write_str("the master did not come in time"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Late => f.write_str("no answer in time"),
            Self::Silent => f.write_str("silent for too long"),
            Self::Unresolved(text) => write!(f, "DNS: {text}"),
            Self::Certificate(text) => write!(f, "certificate or TLS: {text}"),
            Self::NoRelay(text) => write!(f, "this is no relay: {text}"),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("connection refused"),
                io::ErrorKind::UnexpectedEof => f.write_str("the relay closed the stream"),
                _ => error.fmt(f),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: io::Error, kind: io::ErrorKind, text: &str) {
        let failure = Failure::of(error);
        assert_eq!((failure.kind(), failure.to_string().as_str()), (kind, text));
    }

    #[test]
    fn each_failure_has_its_words() {
        use io::ErrorKind as Kind;

        check(
            Kind::ConnectionRefused.into(),
            Kind::ConnectionRefused,
            "connection refused",
        );
        check(
            io::Error::other("failed to lookup address information: Name or service not known"),
            Kind::HostUnreachable,
            "DNS: failed to lookup address information: Name or service not known",
        );
        check(
            io::Error::new(Kind::InvalidData, "TLS: invalid peer certificate: Expired"),
            Kind::PermissionDenied,
            "certificate or TLS: invalid peer certificate: Expired",
        );
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        check(
            io::Error::new(Kind::InvalidData, alert),
            Kind::PermissionDenied,
            "certificate or TLS: received fatal alert: UnknownCA",
        );
        check(
            io::Error::other(Refusal::UnknownName),
            Kind::NotFound,
            "unknown name: no master is registered under it",
        );
        check(
            io::Error::other(Refusal::NotAllowed),
            Kind::PermissionDenied,
            "not allowed for this certificate",
        );
        check(io::Error::other(Refusal::Busy), Kind::ResourceBusy, "busy");
        check(
            io::Error::new(Kind::InvalidData, FrameError::Type(72)),
            Kind::InvalidData,
            "this is no relay: unknown frame type 72",
        );
        check(
            Kind::UnexpectedEof.into(),
            Kind::UnexpectedEof,
            "the relay closed the stream",
        );
    }
}
