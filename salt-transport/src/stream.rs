//! Byte streams: what both wires run over.
//!
//! A stream is anything ordered and reliable. Whoever implements [`Dial`] or
//! [`Listen`] gets both wires, the handshake and reconnection for nothing.

mod adaptors;
mod any;
mod behaviour;
#[cfg(any(feature = "quic", feature = "rendezvous", feature = "ws"))]
mod channels;
#[cfg(feature = "tls")]
mod handshakes;
mod memory;
#[cfg(feature = "quic")]
mod quic;
#[cfg(feature = "rendezvous")]
pub mod rendezvous;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod unix;
#[cfg(feature = "ws")]
mod ws;
#[cfg(feature = "ziti")]
pub mod ziti;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::{Channel, MasterAddr};

pub use adaptors::{Counted, FirstByte, Limited, Named, WithTimeout};
pub(crate) use any::ErasedDial;
pub use any::{AnyDial, AnyOf, AnyStream};
pub use behaviour::{Misbehaviour, check_streams};
#[cfg(any(feature = "quic", feature = "rendezvous", feature = "ws"))]
pub use channels::ChannelListen;
#[cfg(feature = "tls")]
pub use handshakes::HandshakeLimits;
pub use memory::{Memory, MemoryDial, memory};
#[cfg(feature = "quic")]
pub use quic::{Quic, QuicListeners, QuicStream};
pub use tcp::{Tcp, TcpListen};
#[cfg(feature = "tls")]
pub use tls::{Authorities, Tls, TlsAccept, TlsConfig, TlsError, TlsIdentity};
pub use unix::{Unix, UnixListen};
#[cfg(feature = "ws")]
pub use ws::{ThroughProxy, Ws, WsListeners, WsStream};

/// Reaches a master.
///
/// ```
/// use std::io;
/// use std::path::PathBuf;
/// use salt_transport::{Channel, Dial, MasterAddr};
/// use tokio::net::UnixStream;
///
/// /// Reaches the master through an overlay network's local sockets.
/// struct Overlay {
///     run_dir: PathBuf,
/// }
///
/// impl Dial for Overlay {
///     type Stream = UnixStream;
///
///     async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<UnixStream> {
///         let service = match channel {
///             Channel::Request => "salt-request",
///             Channel::Publish => "salt-publish",
///         };
///         UnixStream::connect(self.run_dir.join(&master.host).join(service)).await
///     }
/// }
/// ```
pub trait Dial: Send + Sync + 'static {
    /// What comes out.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens one stream for one channel. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// The master cannot be reached now; the caller tries again later.
    fn dial(
        &self,
        master: &MasterAddr,
        channel: Channel,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Accepts minions and clients.
pub trait Listen: Send + 'static {
    /// What comes in.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next stream. Cancel-safe.
    ///
    /// # Errors
    ///
    /// An error concerns one peer, or passes with time, unless it is
    /// [`AcceptError::Closed`].
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Stream, Peer), AcceptError>> + Send;
}

/// Why no stream was accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The listener has ended; nothing will come any more.
    #[error("the listener is closed")]
    Closed,
    /// One peer failed before it was accepted.
    #[error("a peer was lost while it was accepted")]
    Peer(#[source] io::Error),
    /// This process or machine has no room for another stream at the moment.
    #[error("no resources for another connection")]
    Exhausted(#[source] io::Error),
}

impl From<io::Error> for AcceptError {
    /// Tells a lack of descriptors or memory from a failure of one peer.
    fn from(error: io::Error) -> Self {
        // ENOMEM, ENFILE, EMFILE; ENOBUFS on Linux and on the BSDs.
        match error.raw_os_error() {
            Some(12 | 23 | 24 | 105 | 55) => Self::Exhausted(error),
            _ if error.kind() == io::ErrorKind::OutOfMemory => Self::Exhausted(error),
            _ => Self::Peer(error),
        }
    }
}

/// What the stream layer knows of the other end.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Peer {
    /// `tcp 192.0.2.7:4123`, `memory`: for logs only.
    pub label: String,
    /// The network address, if there is one; connections are counted by it.
    pub address: Option<IpAddr>,
    /// A name somebody vouched for, and who.
    pub principal: Option<Principal>,
    /// Ties upper layers to this very channel (a TLS exporter).
    pub binding: Option<[u8; 32]>,
}

impl Peer {
    /// A peer of which nothing more is known than how to log it.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..Self::default()
        }
    }

    /// The same with a network address.
    #[must_use]
    pub fn with_address(self, address: IpAddr) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    /// The same with a name somebody vouched for.
    #[must_use]
    pub fn with_principal(self, principal: Principal) -> Self {
        Self {
            principal: Some(principal),
            ..self
        }
    }

    /// The same with a value that ties upper layers to this very channel.
    #[must_use]
    pub fn with_binding(self, binding: [u8; 32]) -> Self {
        Self {
            binding: Some(binding),
            ..self
        }
    }

    /// The name that somebody vouched for.
    pub fn name(&self) -> Option<&str> {
        self.principal.as_ref()?.name()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// A name, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Name from a certificate this process verified itself.
    Certificate {
        /// The name.
        name: String,
        /// SHA-256 of the certificate.
        fingerprint: [u8; 32],
    },
    /// Name asserted by an overlay we are enrolled in: as good as the overlay's operator.
    Overlay {
        /// The name.
        name: String,
        /// The overlay's own id of the peer.
        id: String,
    },
    /// A local process.
    Process {
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
}

impl Principal {
    /// The name; a local process has none.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Certificate { name, .. } | Self::Overlay { name, .. } => Some(name),
            Self::Process { .. } => None,
        }
    }
}

/// `certificate web-01`, `overlay web-01`, `uid 0`: for logs.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { name, .. } => write!(f, "certificate {name}"),
            Self::Overlay { name, .. } => write!(f, "overlay {name}"),
            Self::Process { uid, .. } => write!(f, "uid {uid}"),
        }
    }
}
