//! Salt's wire protocol: messages, framing and sans-IO state machines.

pub mod backoff;
pub mod envelope;
mod error;
pub mod event;
pub mod frame;
mod id;
mod jid;
pub mod job;
mod limits;
pub mod message;
pub mod msgpack;
pub mod replay;
pub mod ret;
pub mod target;
pub mod tracker;
mod url;
mod value;
pub mod zmtp;

pub use backoff::Backoff;
pub use envelope::Envelope;
pub use error::{DecodeError, DecodeErrorKind, Error};
pub use event::Event;
pub use id::{InvalidId, MinionId};
pub use jid::{InvalidJid, Jid};
pub use job::{Functions, Job};
pub use limits::Limits;
pub use message::Request;
pub use ret::Return;
pub use target::{Facts, Target};
pub use tracker::JobTracker;
pub use url::{InvalidUrl, SaltUrl};
pub use value::{DateTime, Map, Value};
