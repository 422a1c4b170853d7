//! QUIC: one connection for a minion, one stream in it for each channel.
//!
//! Worth it on lossy links and where addresses change. Certificates both ways and TLS 1.3, as [`Tls`](super::Tls) has
//! them; the protocol (ALPN) is `salt-tunnel/1`. Who opens a stream writes four bytes first that name the channel,
//! since QUIC tells nobody of a stream that carries nothing.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, IdleTimeout, RecvStream, SendStream, VarInt};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::channels::{ChannelListen, Channels, channels};
use super::handshakes::HandshakeLimits;
use super::tls::{TlsConfig, TlsError, by_certificate};
use super::{Dial, Peer};
use crate::address::{Channel, MasterAddr};

const PROTOCOL: &[u8] = b"salt-tunnel/1";
/// Streams of one connection at a time.
const MAX_STREAMS: u32 = 64;
/// What may be under way of one stream, unread.
const WINDOW: u32 = 1 << 20;
/// A connection without a sign of life for so long is lost.
const IDLE: Duration = Duration::from_secs(45);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

fn preamble(channel: Channel) -> [u8; 4] {
    match channel {
        Channel::Request => *b"REQ1",
        Channel::Publish => *b"PUB1",
    }
}

fn transport() -> Arc<quinn::TransportConfig> {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(8 * WINDOW))
        .send_window(u64::from(WINDOW) * 8)
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(None);
    Arc::new(transport)
}

/// Dials over QUIC, at the master's request port for both channels.
///
/// The connection is kept while it lives; clones share it. quinn's own tasks end with the last of them.
#[derive(Clone, Debug)]
pub struct Quic {
    config: ClientConfig,
    server_name: Option<String>,
    kept: Arc<Mutex<Option<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    master: MasterAddr,
    /// Its socket.
    _endpoint: Endpoint,
    connection: Connection,
}

impl Quic {
    /// A dialer with this identity.
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together.
    pub fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        let server_name = config.name().map(str::to_owned);
        let tls = config.clone().protocol(PROTOCOL).client()?;
        let tls = QuicClientConfig::try_from(tls)
            .map_err(|error| TlsError::Authorities(error.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(transport());
        Ok(Self {
            config,
            server_name,
            kept: Arc::default(),
        })
    }

    /// Listens on a UDP address, such as `0.0.0.0:4506`. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address is in use or not of this machine, or the identity cannot be used.
    pub fn listen(
        address: SocketAddr,
        config: &TlsConfig,
        limits: HandshakeLimits,
    ) -> io::Result<QuicListeners<impl Future<Output = ()> + Send + use<>>> {
        let tls = config
            .clone()
            .protocol(PROTOCOL)
            .server()
            .map_err(io::Error::other)?;
        let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
        server.transport_config(transport());
        let endpoint = Endpoint::server(server, address)?;
        let address = endpoint.local_addr()?;
        let (to, publish, request) = channels();
        Ok(QuicListeners {
            publish,
            request,
            address,
            accepting: accept(endpoint, to, limits),
        })
    }

    async fn connection(&self, master: &MasterAddr) -> io::Result<Connection> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref()
            && kept.master == *master
            && kept.connection.close_reason().is_none()
        {
            return Ok(kept.connection.clone());
        }
        let name = self.server_name.as_deref().unwrap_or(&master.host);
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in lookup_host((master.host.as_str(), master.request_port)).await? {
            match self.connect(address, name).await {
                Ok((endpoint, connection)) => {
                    *kept = Some(Kept {
                        master: master.clone(),
                        _endpoint: endpoint,
                        connection: connection.clone(),
                    });
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(&self, to: SocketAddr, name: &str) -> io::Result<(Endpoint, Connection)> {
        let any: SocketAddr = if to.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let endpoint = Endpoint::client(any)?;
        let connection = endpoint
            .connect_with(self.config.clone(), to, name)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?
            .await?;
        Ok((endpoint, connection))
    }
}

impl Dial for Quic {
    type Stream = QuicStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<QuicStream> {
        let connection = self.connection(master).await?;
        let (mut send, receive) = connection.open_bi().await?;
        send.write_all(&preamble(channel)).await?;
        Ok(QuicStream {
            send,
            receive,
            _connection: connection,
        })
    }
}

/// The two channels of a QUIC port, and the future that accepts for them.
#[derive(Debug)]
#[non_exhaustive]
pub struct QuicListeners<F> {
    /// The publish channel.
    pub publish: ChannelListen<QuicStream>,
    /// The request channel.
    pub request: ChannelListen<QuicStream>,
    /// The UDP address that was bound.
    pub address: SocketAddr,
    /// Runs as long as they should accept.
    pub accepting: F,
}

async fn accept(endpoint: Endpoint, to: Channels<QuicStream>, limits: HandshakeLimits) {
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            () = to.closed() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            break;
        };
        // A sender has to show that it is where it says before anything is computed for it, once there are many.
        if endpoint.open_connections() >= limits.max / 2
            && !incoming.remote_address_validated()
            && incoming.may_retry()
        {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "a QUIC peer could not be asked again");
            }
            continue;
        }
        connections.spawn(serve(incoming, to.clone(), limits.timeout));
    }
    endpoint.close(VarInt::from_u32(0), b"");
    let _late = timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
}

async fn serve(incoming: quinn::Incoming, to: Channels<QuicStream>, limit: Duration) {
    let address = incoming.remote_address();
    match timeout(limit, shake_hands(incoming)).await {
        Err(_) => tracing::debug!(%address, "no QUIC handshake in time"),
        Ok(Err(error)) => tracing::debug!(%address, %error, "QUIC handshake"),
        Ok(Ok((connection, peer))) => streams(&connection, &peer, &to, limit).await,
    }
}

async fn shake_hands(incoming: quinn::Incoming) -> io::Result<(Connection, Peer)> {
    let connection = incoming.await?;
    let address = connection.remote_address();
    let shown = connection
        .peer_identity()
        .and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = shown
        .as_ref()
        .and_then(|chain| chain.first())
        .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "no certificate"))?;
    let beneath = Peer::new(format!("quic {address}")).with_address(address.ip().to_canonical());
    let mut binding = [0; 32];
    connection
        .export_keying_material(&mut binding, b"EXPORTER-Channel-Binding", b"")
        .map_err(|_| io::Error::other("no keying material"))?;
    let peer = by_certificate(certificate, beneath)?.with_binding(binding);
    Ok((connection, peer))
}

/// Hands up the streams of a connection until it ends.
async fn streams(connection: &Connection, peer: &Peer, to: &Channels<QuicStream>, limit: Duration) {
    let mut opening = JoinSet::new();
    loop {
        tokio::select! {
            Some(_opened) = opening.join_next(), if !opening.is_empty() => {}
            opened = connection.accept_bi() => {
                let Ok((send, mut receive)) = opened else {
                    return;
                };
                let (connection, peer, to) = (connection.clone(), peer.clone(), to.clone());
                opening.spawn(async move {
                    let mut name = [0; 4];
                    let read = timeout(limit, receive.read_exact(&mut name)).await;
                    let known = [Channel::Request, Channel::Publish]
                        .into_iter()
                        .find(|channel| preamble(*channel) == name);
                    let (Ok(Ok(())), Some(channel)) = (read, known) else {
                        tracing::debug!(%peer, "a QUIC stream that names no channel");
                        return;
                    };
                    let stream = QuicStream { send, receive, _connection: connection };
                    to.hand_up(channel, stream, peer).await;
                });
            }
        }
    }
}

/// One stream of a QUIC connection. The connection lives as long as any of its streams, at least.
#[derive(Debug)]
pub struct QuicStream {
    send: SendStream,
    receive: RecvStream,
    _connection: Connection,
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}
