//! TLS 1.3 with certificates both ways, over any stream.

mod config;
mod name;

use std::io;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::handshakes::{HandshakeLimits, Handshakes};
use super::{AcceptError, Dial, Listen, Peer, Principal};
use crate::address::{Channel, MasterAddr};

pub use config::{Authorities, TlsConfig, TlsError, TlsIdentity};
pub(crate) use name::name_in;

/// TLS over what another dialer reaches: [`Tcp`](crate::Tcp), a relay, an overlay.
///
/// The master's certificate has to come from the [`Authorities`] and carry the name of
/// [`TlsConfig::server_name`], or the host that is dialed. No byte of Salt's passes before that is checked.
///
/// ```no_run
/// use salt_transport::{Authorities, Tcp, Tls, TlsConfig, TlsIdentity};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = TlsIdentity::read("/etc/salt/tls/web-01.pem", "/etc/salt/tls/web-01.key")?;
/// let config = TlsConfig::new(identity, Authorities::read("/etc/salt/tls/ca.pem")?);
/// let dial = Tls::over(Tcp, &config)?;
/// # let _ = dial; Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Tls<D> {
    inner: D,
    config: Arc<rustls::ClientConfig>,
    server_name: Option<String>,
}

impl<D: Dial> Tls<D> {
    /// Puts TLS over a dialer.
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together.
    pub fn over(inner: D, config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self {
            inner,
            config: Arc::new(config.client()?),
            server_name: config.name().map(str::to_owned),
        })
    }
}

impl<D: Dial> Dial for Tls<D> {
    type Stream = client::TlsStream<D::Stream>;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Self::Stream> {
        let name = self.server_name.as_deref().unwrap_or(&master.host);
        let name = server_name(name)?;
        let stream = self.inner.dial(master, channel).await?;
        connect(&self.config, name, stream).await
    }
}

/// Reads the name a server's certificate has to carry.
pub(crate) fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{name}` is no name that a certificate can carry; set one for the master"),
        )
    })
}

/// The client's half of a handshake.
pub(crate) async fn connect<S>(
    config: &Arc<rustls::ClientConfig>,
    name: ServerName<'static>,
    stream: S,
) -> io::Result<client::TlsStream<S>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("TLS: {error}")))?;
    agreed(&config.alpn_protocols, stream.get_ref().1.alpn_protocol())?;
    Ok(stream)
}

/// Whether a protocol was agreed on where one is insisted on: rustls lets a peer pass that offers none.
fn agreed(wanted: &[Vec<u8>], protocol: Option<&[u8]>) -> io::Result<()> {
    if wanted.is_empty() || protocol.is_some() {
        return Ok(());
    }
    let names: Vec<_> = wanted
        .iter()
        .map(|name| name.escape_ascii().to_string())
        .collect();
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("TLS: the peer does not speak {}", names.join(" or ")),
    ))
}

/// TLS over what another listener accepts.
///
/// A peer without a certificate of the [`Authorities`] is dropped before anything is handed up; of the others the
/// certificate's name is the [principal](Peer::principal), and the [binding](Peer::binding) is the channel's
/// `tls-exporter` (RFC 9266). Handshakes run side by side, [bounded](HandshakeLimits).
#[derive(Debug)]
pub struct TlsAccept<L: Listen> {
    handshakes: Handshakes<L, server::TlsStream<L::Stream>>,
    config: Arc<rustls::ServerConfig>,
}

impl<L: Listen> TlsAccept<L> {
    /// Puts TLS over a listener.
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together, or there is no authority to check peers by.
    pub fn over(inner: L, config: &TlsConfig) -> Result<Self, TlsError> {
        Self::with_limits(inner, config, HandshakeLimits::default())
    }

    /// The same with limits of one's own.
    ///
    /// # Errors
    ///
    /// As for [`over`](Self::over).
    pub fn with_limits(
        inner: L,
        config: &TlsConfig,
        limits: HandshakeLimits,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            handshakes: Handshakes::new(inner, limits),
            config: Arc::new(config.server()?),
        })
    }
}

impl<L: Listen> Listen for TlsAccept<L> {
    type Stream = server::TlsStream<L::Stream>;

    async fn accept(&mut self) -> Result<(Self::Stream, Peer), AcceptError> {
        let config = &self.config;
        self.handshakes
            .next(|stream, peer| accept(Arc::clone(config), stream, peer))
            .await
    }
}

/// The server's half of a handshake.
pub(crate) async fn accept<S>(
    config: Arc<rustls::ServerConfig>,
    stream: S,
    beneath: Peer,
) -> io::Result<(server::TlsStream<S>, Peer)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let stream = TlsAcceptor::from(Arc::clone(&config))
        .accept(stream)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("TLS: {error}")))?;
    let (_, session) = stream.get_ref();
    agreed(&config.alpn_protocols, session.alpn_protocol())?;
    let peer = verified(session, beneath)?;
    Ok((stream, peer))
}

/// What the certificate says of a peer that showed one.
pub(crate) fn verified(session: &rustls::ServerConnection, beneath: Peer) -> io::Result<Peer> {
    let certificate = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "no certificate"))?;
    let binding = session
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
        .map_err(io::Error::other)?;
    let peer = by_certificate(certificate, beneath)?;
    Ok(peer.with_binding(binding))
}

/// The peer with the name of its certificate.
pub(crate) fn by_certificate(certificate: &[u8], beneath: Peer) -> io::Result<Peer> {
    let name = name_in(certificate).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a certificate without a name: neither a DNS name nor a common name",
        )
    })?;
    let label = format!("tls {name} ({beneath})");
    let fingerprint = Sha256::digest(certificate).into();
    Ok(Peer { label, ..beneath }.with_principal(Principal::Certificate { name, fingerprint }))
}
