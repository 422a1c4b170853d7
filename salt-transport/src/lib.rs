//! Salt over any byte stream: tokio drivers for masters, minions and clients.
//!
//! What is said on the wire is decided in [`salt_proto`], by state machines that
//! know no sockets. Here are the sockets: streams to dial and to listen on, the
//! two framings Salt runs over them, and [`Minion`], [`Master`] and
//! [`Client`], which drive the machines and do what Salt's own
//! programs do with files, keys and events.
//!
//! A minion and a master in one process, without a socket:
//!
//! ```
//! use rand::SeedableRng as _;
//! use salt_crypto::Identity;
//! use salt_proto::{Job, MemoryKeyStore, Target};
//! use salt_transport::{Master, MasterAddr, Minion, memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut rng = rand::rngs::StdRng::from_seed([7; 32]);
//! let master_key = Identity::generate(2048, &mut rng)?;
//! let minion_key = Identity::generate(2048, &mut rng)?;
//!
//! // Streams in memory; `Tcp::bind` and `Tcp` are the same over the network.
//! let (dial, publish, request) = memory(64 * 1024);
//!
//! let known_master = master_key.public_key().clone();
//! let keys = MemoryKeyStore::new().danger_accept_everyone();
//! let (master, serving) = Master::builder(master_key, keys).serve(publish, request)?;
//! tokio::spawn(serving);
//!
//! let minion = Minion::builder("web-01".parse()?, minion_key)
//!     .master_key(known_master)
//!     .handler(|job: Job| async move {
//!         match job.function.as_str() {
//!             "test.ping" => job.ok(true),
//!             _ => job.unknown_function(),
//!         }
//!     })
//!     .connect(dial, MasterAddr::new("in this process"))
//!     .await?;
//! let minion_handle = minion.handle();
//! tokio::spawn(minion.run());
//! minion_handle.until_receiving().await;
//! # while master.publish_stats().subscribed == 0 { tokio::task::yield_now().await; }
//!
//! let mut job = master.publish(Target::glob("web-*"), "test.ping", vec![]).await?;
//! let ret = job.next().await.expect("the minion answers");
//! assert_eq!((ret.id.as_str(), ret.value), ("web-01", true.into()));
//! # Ok(()) }
//! ```
//!
//! # Which part for what
//!
//! | to | use |
//! |---|---|
//! | embed a minion | [`Minion`], with a [`Handler`]; [`blocking`] for functions that wait |
//! | embed a master | [`Master`], with a key store: [`PkiDir`] for Salt's directories |
//! | publish to a running master, as `salt` does | [`client`] |
//! | let a configuration choose the stream | [`Route`] |
//! | put an unmodified Salt behind a tunnel | [`forward`] |
//! | reach a master through something of your own | [`Dial`], and [`Listen`] for its other end; [`check_streams`] tries them |
//! | fetch files as a minion, serve them as a master | [`FileClient`], [`files`] |
//! | hear and fire local events | [`events`] |
//! | only move bytes of Salt's channels | [`Server`], [`RequestChannel`], [`Subscription`] |
//!
//! # How it behaves
//!
//! - Nothing runs unless asked: constructors that need a driver return it as a
//!   future. What it spawns, such as a task for each connection, ends with it.
//! - Nothing listens unless asked: a master can live on streams it was handed.
//! - Every request comes to exactly one end: its reply, or an error. A late
//!   reply never answers another request.
//! - What a peer can make us hold is bounded, before and after it signed in
//!   ([`ServeLimits`]); who does not keep up is dropped, and nobody waits for it.
//! - Waits can be dropped and begun again without losing anything: they are
//!   safe inside `select!`.
//! - All of it works on a current-thread runtime. RSA and disks go to tokio's
//!   blocking threads.
//!
//! ZeroMQ is spoken by a state machine of our own ([`salt_proto::zmtp`]), since
//! it has to run over any stream; the `zeromq` crate and libzmq are what it is
//! tested against.
//!
//! # Features
//!
//! - `tls`: [`Tls`] and [`TlsAccept`], TLS 1.3 with certificates both ways over any stream, by rustls.
//! - `quic`: [`Quic`], by quinn.
//! - `ws`: [`Ws`], bytes in WebSocket messages, by tungstenite; and [`ThroughProxy`].
//! - `rendezvous`: [`rendezvous`], for a master that dials out as its minions do.
//! - `ziti`: [`ziti`], streams over an OpenZiti overlay, to a master that nobody can connect to.
//! - `openssl`: RSA by the system's OpenSSL, which is constant-time and several
//!   times faster. For a master with many minions, or one that strangers reach.

mod address;
pub mod client;
mod clock;
mod complaint;
mod error;
pub mod events;
mod fetch;
pub mod files;
mod forward;
mod handler;
pub mod jobs;
mod master;
mod minion;
pub mod pki;
mod publish;
mod random;
mod request;
mod route;
mod serve;
mod stream;
mod subscribe;
mod wire;

pub use address::{Channel, InvalidAddress, MasterAddr};
pub use client::{Client, ClientConfig};
pub use error::{Error, Result};
pub use fetch::{FileClient, RemoteHash};
pub use forward::{ForwardLimits, forward};
pub use handler::{Handler, blocking};
pub use master::{
    CallSource, Called, JobReturns, Master, MasterBuilder, MasterSettings, PeerCheck, PillarQuery,
    PillarSource, ReceiveLimits, RunnerCall, peer_is_minion,
};
pub use minion::{Minion, MinionBuilder, MinionHandle, MinionSettings, MinionStatus};
pub use pki::PkiDir;
pub use publish::{Presence, Presences, Publication, PublishStats, Publisher};
pub use request::RequestChannel;
pub use route::{Listeners, Route, RouteError};
pub use serve::{ConnectionId, Request, Requests, ServeLimits, Server};
#[cfg(any(feature = "quic", feature = "rendezvous", feature = "ws"))]
pub use stream::ChannelListen;
#[cfg(feature = "rendezvous")]
pub use stream::rendezvous;
#[cfg(feature = "ziti")]
pub use stream::ziti;
pub use stream::{
    AcceptError, AnyDial, AnyOf, AnyStream, Counted, Dial, FirstByte, Limited, Listen, Memory,
    MemoryDial, Misbehaviour, Named, Peer, Principal, Tcp, TcpListen, Unix, UnixListen,
    WithTimeout, check_streams, memory,
};
#[cfg(feature = "tls")]
pub use stream::{Authorities, HandshakeLimits, Tls, TlsAccept, TlsConfig, TlsError, TlsIdentity};
#[cfg(feature = "quic")]
pub use stream::{Quic, QuicListeners, QuicStream};
#[cfg(feature = "ws")]
pub use stream::{ThroughProxy, Ws, WsListeners, WsStream};
pub use subscribe::{Subscription, SubscriptionEvent};
pub use wire::Wire;

// Its examples are compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
