//! What can go wrong with an overlay.

use std::io;
use std::path::PathBuf;

use crate::stream::TlsError;

/// An overlay cannot be used as asked.
///
/// Tokens and keys are in none of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZitiError {
    /// A file cannot be read.
    #[error("cannot read {}, of an enrolled identity", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The identity cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What should be an identity file is none.
    #[error("not an identity file: {0}")]
    Identity(String),
    /// Certificate, key or authorities of the identity cannot be used.
    #[error("the identity cannot be used")]
    Tls(#[from] TlsError),
    /// What should be an enrolment token is none, or one that is not for us.
    #[error("not a usable enrolment token: {0}")]
    Token(String),
    /// The token's time is over.
    #[error("the enrolment token has expired")]
    TokenExpired,
    /// The server at the token's address is not the one that made the token.
    #[error("the server is not the one that made the enrolment token")]
    TokenSignature,
    /// The controller cannot be reached.
    #[error("the overlay's controller cannot be reached: {0}")]
    Controller(#[source] io::Error),
    /// The controller says no.
    #[error("the controller refused ({call}, status {status}): {code} {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// The status of HTTP.
        status: u16,
        /// The controller's word for it.
        code: String,
        /// The controller's explanation.
        message: String,
    },
    /// The controller does not let the identity log in.
    #[error(
        "the controller does not let this identity log in (status {status}: {code} {message}): if it was deleted or its \
         certificate has run out, enrol it again"
    )]
    NotEnrolled {
        /// The status of HTTP.
        status: u16,
        /// The controller's word for it.
        code: String,
        /// The controller's explanation.
        message: String,
    },
    /// The controller's answer cannot be understood.
    #[error("the controller's answer cannot be understood ({call}): {what}")]
    Answer {
        /// What was asked.
        call: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The overlay wants something that this client cannot do.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// No such service, or none that this identity may see.
    #[error("the overlay has no service `{0}` for this identity")]
    ServiceUnknown(String),
    /// The service may not be used so.
    #[error("this identity may not {act} the service `{service}`")]
    NotPermitted {
        /// `dial` or `host`.
        act: &'static str,
        /// Which.
        service: String,
    },
    /// Nobody hosts the service at the moment.
    #[error("nobody hosts the service `{0}`")]
    Unhosted(String),
    /// No router took the connection.
    #[error("no router of the overlay could be used: {0}")]
    Router(String),
    /// The driver has ended.
    #[error("the overlay's driver has ended")]
    Closed,
}

impl ZitiError {
    pub(crate) fn answer(call: &'static str, what: impl Into<String>) -> Self {
        Self::Answer {
            call,
            what: what.into(),
        }
    }

    /// What went wrong with a log-in.
    pub(crate) fn of_log_in(self) -> Self {
        match self {
            Self::Refused {
                status: status @ (401 | 403),
                code,
                message,
                ..
            } => Self::NotEnrolled {
                status,
                code,
                message,
            },
            other => other,
        }
    }

    /// The log-in, or a session, is not known any more.
    pub(crate) fn is_logged_out(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }
}

impl From<ZitiError> for io::Error {
    fn from(error: ZitiError) -> Self {
        let kind = match &error {
            ZitiError::Controller(source) => source.kind(),
            ZitiError::ServiceUnknown(_) => io::ErrorKind::NotFound,
            ZitiError::NotPermitted { .. }
            | ZitiError::NotEnrolled { .. }
            | ZitiError::Refused { .. } => io::ErrorKind::PermissionDenied,
            ZitiError::Unhosted(_) => io::ErrorKind::ConnectionRefused,
            ZitiError::Router(_) => io::ErrorKind::NotConnected,
            ZitiError::Closed => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, Told(error))
    }
}

/// With its source in the same line: logs show no more than the message of an `io::Error`.
#[derive(Debug)]
struct Told(ZitiError);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
