//! Salt over any byte stream: tokio drivers for masters, minions and clients.

mod address;
pub mod client;
mod clock;
mod error;
pub mod events;
mod fetch;
pub mod files;
mod handler;
pub mod jobs;
mod master;
mod minion;
pub mod pki;
mod publish;
mod random;
mod request;
mod serve;
mod stream;
mod subscribe;
mod wire;

pub use address::{Channel, InvalidAddress, MasterAddr};
pub use client::{Client, ClientConfig};
pub use error::{Error, Result};
pub use fetch::{FileClient, RemoteHash};
pub use handler::{Handler, blocking};
pub use master::{
    CallSource, Called, JobReturns, Master, MasterBuilder, MasterSettings, PillarQuery,
    PillarSource, ReceiveLimits, RunnerCall,
};
pub use minion::{Minion, MinionBuilder, MinionHandle, MinionSettings, MinionStatus};
pub use pki::PkiDir;
pub use publish::{Presence, Presences, Publication, PublishStats, Publisher};
pub use request::RequestChannel;
pub use serve::{ConnectionId, Request, Requests, ServeLimits, Server};
pub use stream::{
    AcceptError, Dial, Listen, Memory, MemoryDial, Peer, Principal, Tcp, TcpListen, Unix,
    UnixListen, memory,
};
pub use subscribe::{Subscription, SubscriptionEvent};
pub use wire::Wire;
