//! What can be wrong with bytes and values from a peer.

use crate::envelope::EnvelopeError;
use crate::event::EventError;
use crate::id::InvalidId;
use crate::jid::InvalidJid;
use crate::message::LoadError;
use crate::target::TargetError;
use crate::url::InvalidUrl;

/// Why bytes are not a MessagePack value within [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Where, counted from the start of the input.
    pub offset: usize,
}

/// The ways in which bytes fail to be a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside a value, or announces more than it holds.
    #[error("the message is cut short")]
    Truncated,
    /// Something follows the value.
    #[error("bytes follow the message")]
    Trailing,
    /// The byte `0xc1`, which MessagePack never assigns.
    #[error("a reserved type")]
    Reserved,
    /// More nesting than [`Limits::max_depth`](crate::Limits::max_depth).
    #[error("too many levels")]
    TooDeep,
    /// More values than [`Limits::max_items`](crate::Limits::max_items).
    #[error("too many values")]
    TooManyItems,
    /// Longer than [`Limits::max_message`](crate::Limits::max_message).
    #[error("the message is too long")]
    TooLong,
    /// A list or a map as the key of a map.
    #[error("a map key that is no scalar")]
    BadKey,
    /// An extension whose payload is not what its type demands.
    #[error("a malformed extension")]
    BadExtension,
    /// Another type than the one asked for.
    #[error("an unexpected type")]
    Unexpected,
}

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no MessagePack value within the limits.
    #[error("undecodable message")]
    Decode(#[from] DecodeError),
    /// A value that is no envelope.
    #[error("refused envelope")]
    Envelope(#[from] EnvelopeError),
    /// A load whose fields are not what its command demands.
    #[error("refused load")]
    Load(#[from] LoadError),
    /// Bytes that are no event.
    #[error("undecodable event")]
    Event(#[from] EventError),
    /// Not a minion id.
    #[error("refused minion id")]
    Id(#[from] InvalidId),
    /// Not a job id.
    #[error("refused job id")]
    Jid(#[from] InvalidJid),
    /// Not a `salt://` address.
    #[error("refused address")]
    Url(#[from] InvalidUrl),
    /// A target that can match nothing.
    #[error("refused target")]
    Target(#[from] TargetError),
}
