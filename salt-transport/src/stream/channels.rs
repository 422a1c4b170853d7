//! One place that accepts streams of both channels, seen as two listeners.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{AcceptError, Listen, Peer};
use crate::address::Channel;

/// How many streams of a channel wait until they are accepted.
const WAITING: usize = 64;
/// How long one more waits for room before it is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// The streams of one channel, where both channels arrive in one place: a WebSocket or QUIC port, or relays.
///
/// It ends when what feeds it does.
#[derive(Debug)]
pub struct ChannelListen<S> {
    streams: mpsc::Receiver<(S, Peer)>,
}

impl<S> Listen for ChannelListen<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    type Stream = S;

    async fn accept(&mut self) -> Result<(S, Peer), AcceptError> {
        self.streams.recv().await.ok_or(AcceptError::Closed)
    }
}

/// Feeds two [`ChannelListen`]s.
#[derive(Debug)]
pub(crate) struct Channels<S> {
    publish: mpsc::Sender<(S, Peer)>,
    request: mpsc::Sender<(S, Peer)>,
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
    pub(crate) async fn hand_up(&self, channel: Channel, stream: S, peer: Peer) {
        let to = match channel {
            Channel::Request => &self.request,
            Channel::Publish => &self.publish,
        };
        let label = peer.label.clone();
        if timeout(PATIENCE, to.send((stream, peer))).await.is_err() {
            tracing::warn!(
                peer = label,
                ?channel,
                "nobody accepts: a stream was dropped"
            );
        }
    }

    /// Both listeners were dropped.
    pub(crate) async fn closed(&self) {
        tokio::join!(self.publish.closed(), self.request.closed());
    }
}
