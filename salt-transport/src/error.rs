//! What can go wrong between two peers.

use std::io;
use std::path::PathBuf;

use salt_proto::frame::FrameError;
use salt_proto::minion::RequestError;
use salt_proto::zmtp::CloseReason;

/// Why something on a channel did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system, or the stream underneath, failed.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The failure.
        source: io::Error,
    },
    /// The ZeroMQ connection was closed for the peer's behaviour.
    #[error("the ZeroMQ connection was given up")]
    Zmtp(#[from] CloseReason),
    /// The `tcp` framing of the peer cannot be read.
    #[error("the tcp framing was given up")]
    Frame(#[from] FrameError),
    /// The peer broke the rules of the channel.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// No answer within the time given.
    #[error("timed out")]
    TimedOut,
    /// The other end, or our own driver, is gone.
    #[error("closed")]
    Closed,
    /// More than the configured limit allows.
    #[error("the limit on {0} is reached")]
    Limit(&'static str),
    /// The master does not accept this minion's key.
    #[error("the master rejects this minion's key")]
    Rejected,
    /// A minion's request was not answered.
    #[error("the request failed")]
    Request(#[from] RequestError),
    /// What was configured does not make a whole.
    #[error("unusable configuration")]
    Configuration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No master of this machine uses that socket directory.
    #[error("no master is running with {}", sock_dir.display())]
    NotRunning {
        /// Its `sock_dir`.
        sock_dir: PathBuf,
    },
    /// No accepted minion is meant, so nothing was published.
    #[error("no minions matched the target")]
    NobodyMatched,
    /// The master refused what it was asked.
    #[error("the master refused: {message}")]
    Refused {
        /// Salt's name of the error, such as `AuthenticationError`.
        name: String,
        /// Salt's text.
        message: String,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
