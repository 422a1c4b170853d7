//! One place that accepts streams of both channels, seen as two listeners.

use tokio::sync::mpsc;

use super::{AcceptError, Listen, Peer};
use crate::address::Channel;

/// How many streams of a channel wait until they are accepted; more are dropped.
const WAITING: usize = 256;

/// The streams of one channel, where both channels arrive in one place: a WebSocket or QUIC port.
///
/// It ends when what feeds it does.
#[derive(Debug)]
pub struct ChannelListen<S> {
    streams: mpsc::Receiver<Result<(S, Peer), AcceptError>>,
}

impl<S> Listen for ChannelListen<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    type Stream = S;

    async fn accept(&mut self) -> Result<(S, Peer), AcceptError> {
        self.streams
            .recv()
            .await
            .unwrap_or(Err(AcceptError::Closed))
    }
}

/// Feeds two [`ChannelListen`]s.
#[derive(Debug)]
pub(crate) struct Channels<S> {
    publish: mpsc::Sender<Result<(S, Peer), AcceptError>>,
    request: mpsc::Sender<Result<(S, Peer), AcceptError>>,
}

impl<S> Clone for Channels<S> {
    fn clone(&self) -> Self {
        Self {
            publish: self.publish.clone(),
            request: self.request.clone(),
        }
    }
}

/// What feeds, and the listeners of the publish and the request channel.
pub(crate) fn channels<S>() -> (Channels<S>, ChannelListen<S>, ChannelListen<S>) {
    let (to_publish, publish) = mpsc::channel(WAITING);
    let (to_request, request) = mpsc::channel(WAITING);
    (
        Channels {
            publish: to_publish,
            request: to_request,
        },
        ChannelListen { streams: publish },
        ChannelListen { streams: request },
    )
}

impl<S> Channels<S> {
    /// Hands a stream to whoever accepts its channel. It is dropped if nobody does for long.
    pub(crate) fn hand_up(&self, channel: Channel, stream: S, peer: Peer) {
        let to = match channel {
            Channel::Request => &self.request,
            Channel::Publish => &self.publish,
        };
        if let Err(mpsc::error::TrySendError::Full(Ok((_, peer)))) = to.try_send(Ok((stream, peer)))
        {
            tracing::warn!(%peer, ?channel, "nobody accepts: a stream was dropped");
        }
    }

    /// Both listeners were dropped.
    pub(crate) async fn closed(&self) {
        tokio::join!(self.publish.closed(), self.request.closed());
    }
}
