//! A tunnel in WebSocket messages, to pass HTTP proxies and load balancers.
//!
//! Not Salt's `transport: ws`, which frames Salt's messages: here bytes of any wire are carried in binary messages
//! (RFC 6455), at `/salt-tunnel/request` and `/salt-tunnel/publish` with the subprotocol `salt-tunnel.1`. An empty
//! message ends its direction, since WebSocket itself can only end both.

mod proxy;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::channels::{ChannelListen, Channels, channels};
use super::handshakes::{HandshakeLimits, Handshakes};
use super::{AcceptError, Dial, Listen};
use crate::address::{Channel, MasterAddr};

pub use proxy::ThroughProxy;

const SUBPROTOCOL: &str = "salt-tunnel.1";
/// Bytes of one message that is sent.
const PIECE: usize = 16 << 10;
/// Bytes of one message that is taken.
const MAX_MESSAGE: usize = 64 << 10;

fn path(channel: Channel) -> &'static str {
    match channel {
        Channel::Request => "/salt-tunnel/request",
        Channel::Publish => "/salt-tunnel/publish",
    }
}

fn config() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = PIECE;
    // Each write goes out at once, as on every other stream.
    config.write_buffer_size = 0;
    config.max_write_buffer_size = 4 * PIECE;
    config.max_message_size = Some(MAX_MESSAGE);
    config.max_frame_size = Some(MAX_MESSAGE);
    config
}

/// WebSocket over what another dialer reaches: `Ws::over(Tcp)` is `ws://`, `Ws::over(Tls::over(Tcp, …)?)` is `wss://`,
/// and [`ThroughProxy`] beneath passes an HTTP proxy.
///
/// Both channels are dialed at the request port.
#[derive(Clone, Debug)]
pub struct Ws<D> {
    inner: D,
}

impl<D: Dial> Ws<D> {
    /// Puts WebSocket over a dialer.
    pub fn over(inner: D) -> Self {
        Self { inner }
    }
}

impl<D: Dial> Dial for Ws<D> {
    type Stream = WsStream<D::Stream>;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Self::Stream> {
        let port = master.request_port;
        let one_port = MasterAddr::new(&master.host).ports(port, port);
        let mut request = format!("ws://{one_port}{}", path(channel))
            .into_client_request()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        request.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        let stream = self.inner.dial(&one_port, channel).await?;
        let (socket, _response) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config()))
                .await
                .map_err(failed)?;
        Ok(WsStream::new(socket))
    }
}

/// The two channels of a WebSocket listener, and the future that shakes hands for them.
#[derive(Debug)]
#[non_exhaustive]
pub struct WsListeners<S, F> {
    /// The publish channel.
    pub publish: ChannelListen<WsStream<S>>,
    /// The request channel.
    pub request: ChannelListen<WsStream<S>>,
    /// Runs as long as they should accept.
    pub accepting: F,
}

impl Ws<()> {
    /// Accepts WebSockets over what another listener accepts: [`Tcp`](crate::Tcp), or TLS over it.
    ///
    /// Other paths, other subprotocols and what is no WebSocket are answered as HTTP has it, and dropped.
    pub fn accept<L: Listen>(
        inner: L,
        limits: HandshakeLimits,
    ) -> WsListeners<L::Stream, impl Future<Output = ()> + Send> {
        let (to, publish, request) = channels();
        WsListeners {
            publish,
            request,
            accepting: accept(Handshakes::new(inner, limits), to),
        }
    }
}

type Asked<S> = (Channel, WsStream<S>);

async fn accept<L: Listen>(
    mut handshakes: Handshakes<L, Asked<L::Stream>>,
    to: Channels<WsStream<L::Stream>>,
) {
    // Who is not accepted yet keeps nobody else from shaking hands.
    let mut handing = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = to.closed() => return,
            Some(_handed) = handing.join_next(), if !handing.is_empty() => continue,
            accepted = handshakes.next(shake_hands) => accepted,
        };
        match accepted {
            Ok(((channel, stream), peer)) => {
                let to = to.clone();
                handing.spawn(async move { to.hand_up(channel, stream, peer).await });
            }
            Err(AcceptError::Closed) => return,
            Err(AcceptError::Peer(error)) => tracing::debug!(%error, "no WebSocket"),
            Err(AcceptError::Exhausted(error)) => {
                tracing::error!(%error, "no resources for another connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn shake_hands<S>(stream: S, peer: super::Peer) -> io::Result<(Asked<S>, super::Peer)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut channel = None;
    #[expect(
        clippy::result_large_err,
        reason = "the shape that tungstenite asks for"
    )]
    let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        channel = [Channel::Request, Channel::Publish]
            .into_iter()
            .find(|channel| request.uri().path() == path(*channel));
        if channel.is_none() {
            return Err(refusal(StatusCode::NOT_FOUND, "no such path"));
        }
        let asked = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        let asks_for_ours = asked
            .and_then(|asked| asked.to_str().ok())
            .is_some_and(|asked| asked.split(',').any(|one| one.trim() == SUBPROTOCOL));
        if !asks_for_ours {
            return Err(refusal(
                StatusCode::BAD_REQUEST,
                "the subprotocol is salt-tunnel.1",
            ));
        }
        response.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, check, Some(config()))
        .await
        .map_err(failed)?;
    let channel = channel.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(((channel, WsStream::new(socket)), peer))
}

fn refusal(status: StatusCode, text: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// What a WebSocket error means for a stream of bytes.
fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => {
            io::Error::from(io::ErrorKind::ConnectionReset)
        }
        Error::Http(response) => io::Error::new(
            io::ErrorKind::ConnectionRefused,
            format!("no WebSocket: the server answered {}", response.status()),
        ),
        error => io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {error}")),
    }
}

/// Bytes in the binary messages of a WebSocket.
#[derive(Debug)]
pub struct WsStream<S> {
    socket: WebSocketStream<S>,
    unread: Bytes,
    read_ended: bool,
    write_ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsStream<S> {
    fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            unread: Bytes::new(),
            read_ended: false,
            write_ended: false,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(failed)?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        Poll::Ready(
            Pin::new(&mut self.socket)
                .start_send(message)
                .map_err(failed),
        )
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.unread.is_empty() {
                let len = self.unread.len().min(buffer.remaining());
                buffer.put_slice(self.unread.get(..len).unwrap_or_default());
                self.unread.advance(len);
                return Poll::Ready(Ok(()));
            }
            if self.read_ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => self.read_ended = true,
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a text message in a tunnel of bytes",
                    )));
                }
                // Not the end that was announced: what was under way is lost.
                Some(Ok(Message::Close(_))) | None => {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
                }
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_ended {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let piece = bytes.get(..PIECE).unwrap_or(bytes);
        ready!(self.poll_send(cx, piece))?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_ended {
            ready!(self.poll_send(cx, &[]))?;
            self.write_ended = true;
        }
        self.poll_flush(cx)
    }
}
