//! OpenZiti: an overlay network that both ends dial out to.
//!
//! A client of one's own, without a C library: enrolment, log-in at the controller, channels to edge routers,
//! dialing and hosting services with end-to-end encryption. A process that hosts has no listening socket.
//!
//! ```no_run
//! use salt_crypto::Identity;
//! use salt_proto::MemoryKeyStore;
//! use salt_transport::{Master, peer_is_minion, ziti};
//!
//! # async fn run(keys: Identity, store: MemoryKeyStore) -> Result<(), Box<dyn std::error::Error>> {
//! let identity = ziti::Identity::read("/etc/salt/ziti.json")?;
//! let (overlay, driver) = ziti::connect(identity);
//! tokio::spawn(driver);
//!
//! let publish = overlay.host("salt-publish").await?;
//! let request = overlay.host("salt-request").await?;
//! let (master, serving) = Master::builder(keys, store)
//!     .require_peer(peer_is_minion)
//!     .serve(publish, request)?;
//! # let _ = (master, serving); Ok(()) }
//! ```
//!
//! # What it protects from
//!
//! - Strangers reach neither a port nor a byte of Salt's parser: there is no circuit for them.
//! - The keys of the end-to-end encryption are exchanged through the routers and are not signed by the
//!   identities: they hide content from a router that only looks. One that interferes could sit between the
//!   two. Salt's own sign-in still stands then; where that is not enough, put [`Tls`](crate::Tls) over a dialer
//!   and [`TlsAccept`](crate::TlsAccept) over a listener.
//! - An end of the stream is a hint, which a router can forge. Both wires of Salt know how long a message is.
//!
//! # What it does not do
//!
//! Second factors, posture checks, log-in by a foreign JWT, terminators with an identity, flow control by the
//! client, UDP, AES-GCM. Each is an error that says so. A certificate that runs out is warned of, not extended.

mod channel;
mod conn;
mod controller;
mod dial;
mod driver;
mod edge;
mod enrol;
mod error;
mod http;
mod identity;
mod listen;
mod login;
pub mod message;
mod pipe;
mod router;
mod seal;
mod token;
mod url;

pub use dial::Dialer;
pub use driver::{Overlay, connect};
pub use error::ZitiError;
pub use identity::{Identity, IdentityFile};
pub use listen::Listener;
pub use pipe::Stream;
pub use token::EnrolmentToken;
