//! Salt's wire protocol: messages, framing and sans-IO state machines.
//!
//! Everything here is a plain value or a state machine: nothing opens a socket,
//! reads a clock or draws a random number. Time and randomness are arguments,
//! bytes go in, bytes and events come out. `salt-transport` drives these machines
//! with tokio; anything else can as well.
//!
//! # From bytes to a decision
//!
//! A message passes these types on its way in, each of which believes nothing that
//! the one before has not checked:
//!
//! 1. [`zmtp`] or [`frame`] cut a stream into messages, within a size.
//! 2. [`Envelope`] reads the outermost map without building it: clear or sealed,
//!    by whom, which version. An unknown kind goes no further.
//! 3. [`msgpack`] decodes the load into a [`Value`] under [`Limits`], in the
//!    dialect of its place.
//! 4. [`message`] turns the load into one of a closed set of requests. A name
//!    outside of it reaches no code.
//! 5. [`Job`], [`Return`], [`Event`], [`Target`], [`MinionId`], [`Jid`] and
//!    [`SaltUrl`] are what the fields become; none of them can be built from a
//!    value that would be dangerous as a path, a topic or a pattern.
//!
//! ```
//! use salt_proto::message::ClearRequest;
//! use salt_proto::{Envelope, Job, Jid, Limits, Map, Target, envelope};
//!
//! // A stranger's bytes …
//! let mut bytes = Vec::new();
//! envelope::clear_request(&Map::from([("cmd", "ping"), ("hello", "master")]), &mut bytes);
//!
//! // … become a request, or an error that says what to answer.
//! let limits = Limits::default();
//! let message = Envelope::parse(&bytes, &limits)?;
//! let request = ClearRequest::from_map(message.clear_load(&limits)?)?;
//! assert!(matches!(request, ClearRequest::Ping(_)));
//!
//! // A job as a minion sees it, and its answer.
//! let job = Job::new(Jid::from_unix_micros(0), "test.ping", vec![], Target::glob("web*"));
//! assert!(job.ok(true).is_success());
//! # Ok::<(), salt_proto::Error>(())
//! ```
//!
//! # Features
//!
//! * `session` (default): keys and sessions, with `salt-crypto` — `MinionLink` and
//!   `MasterCore`, the two ends of a relationship. Without it this crate holds
//!   messages, targeting and framing, and no cryptography.
//!
//! # Driving a machine
//!
//! All machines have the same shape: `handle_*` takes what happened and the time,
//! `poll_*` gives what to do next until it gives nothing, `poll_timeout` says when
//! to come back without input. None of them fails in a way that the caller could
//! repair by calling again; what a peer did wrong is an event.

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
pub use master::{MasterConfig, MasterCore, MasterEvent, PeerRule, PeerRules, RequestStep};
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

// Its examples are compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
