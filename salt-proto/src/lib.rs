//! Salt's wire protocol: messages, framing and sans-IO state machines.

pub mod backoff;
pub mod envelope;
mod error;
pub mod event;
pub mod frame;
mod id;
mod jid;
pub mod job;
#[cfg(feature = "session")]
pub mod keystore;
mod limits;
#[cfg(feature = "session")]
pub mod master;
pub mod message;
#[cfg(feature = "session")]
pub mod minion;
pub mod msgpack;
#[cfg(feature = "session")]
mod profile;
pub mod replay;
pub mod requests;
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
#[cfg(feature = "session")]
pub use keystore::{AutoSign, KeyState, KeyStore, KeyStoreError, MemoryKeyStore};
pub use limits::Limits;
#[cfg(feature = "session")]
pub use master::{MasterConfig, MasterCore, MasterEvent, RequestStep};
pub use message::Request;
#[cfg(feature = "session")]
pub use minion::{GCM_TOPIC, MasterTrust, MinionConfig, MinionEvent, MinionLink, Transmit};
#[cfg(feature = "session")]
pub use profile::{Profile, UnknownProfile};
pub use replay::JidLog;
pub use requests::{ExchangeId, RequestId, RetryPolicy};
pub use ret::Return;
pub use target::{Facts, Target};
pub use tracker::JobTracker;
pub use url::{InvalidUrl, SaltUrl};
pub use value::{DateTime, Entries, Map, Value};
