//! Carries streams from a listener to a dialer, without looking into them.
//!
//! What an unmodified Salt minion or master needs to use a tunnel: on the minion's host from loopback into the tunnel,
//! on the master's out of the tunnel to loopback.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::address::{Channel, MasterAddr};
use crate::serve::Quiet;
use crate::stream::{AcceptError, Dial, Listen, Peer};

/// Bytes on their way, for each direction of a stream.
const PIECE: usize = 16 << 10;

/// How much a forwarder carries. Plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardLimits {
    /// Streams at a time; more wait until one ends. 64 by default, enough for a minion: one that is stock Salt holds
    /// several request connections at once.
    pub max_streams: usize,
    /// How long dialing may take. 20 s by default.
    pub dial_timeout: Duration,
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self {
            max_streams: 64,
            dial_timeout: Duration::from_secs(20),
        }
    }
}

/// Carries every stream that `from` accepts to one channel of a master, until `from` ends.
///
/// For each stream `to` is dialed first; only then is a byte read. If that fails the stream is dropped, so that its
/// peer tries again, and the reason is logged, not more often than every ten seconds. The end of one direction is
/// passed on and the other goes on. An idle stream may stay as long as both ends keep it.
///
/// The peer that the master sees is this forwarder, not who is behind it.
#[expect(
    clippy::manual_async_fn,
    reason = "the future has to be known to be Send whatever the listener"
)]
pub fn forward<L: Listen, D: Dial>(
    mut from: L,
    to: Arc<D>,
    master: MasterAddr,
    channel: Channel,
    limits: ForwardLimits,
) -> impl Future<Output = ()> + Send + use<L, D> {
    async move {
        let master = Arc::new(master);
        let places = Arc::new(Semaphore::new(limits.max_streams.max(1)));
        let mut streams = JoinSet::new();
        let mut quiet = Quiet::default();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let accepted = loop {
                tokio::select! {
                    Some(ended) = streams.join_next(), if !streams.is_empty() => {
                        if let Ok(Err(reason)) = ended && quiet.speak() {
                            let hushed = quiet.held_back();
                            let reason: String = reason;
                            tracing::warn!(?channel, hushed, "{reason}");
                        }
                    }
                    accepted = from.accept() => break accepted,
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (to, master) = (Arc::clone(&to), Arc::clone(&master));
                    let limit = limits.dial_timeout;
                    streams.spawn(async move {
                        let _place = place;
                        carry(stream, &peer, to.as_ref(), &master, channel, limit).await
                    });
                }
                Err(AcceptError::Closed) => break,
                Err(AcceptError::Peer(error)) => {
                    tracing::debug!(%error, "a stream was not accepted");
                }
                Err(AcceptError::Exhausted(error)) => {
                    tracing::error!(%error, "no resources for another stream");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        while streams.join_next().await.is_some() {}
    }
}

/// Carries one stream; the error says why it was not carried at all.
async fn carry<S, D>(
    mut near: S,
    peer: &Peer,
    to: &D,
    master: &MasterAddr,
    channel: Channel,
    limit: Duration,
) -> Result<(), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    D: Dial,
{
    let mut far = match timeout(limit, to.dial(master, channel)).await {
        Ok(Ok(far)) => far,
        Ok(Err(error)) => return Err(format!("cannot reach {master} for {peer}: {error}")),
        Err(_) => return Err(format!("cannot reach {master} for {peer} within {limit:?}")),
    };
    tracing::debug!(%peer, %master, ?channel, "a stream begins");
    match copy_bidirectional_with_sizes(&mut near, &mut far, PIECE, PIECE).await {
        Ok((there, back)) => tracing::debug!(%peer, there, back, "a stream ended"),
        Err(error) => tracing::debug!(%peer, %error, "a stream broke"),
    }
    Ok(())
}
