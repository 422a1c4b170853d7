//! Handshakes of a listener's streams, side by side, each with a deadline.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::{AcceptError, Listen, Peer};

/// How handshakes beneath Salt are bounded. Plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// How long one may take. 10 s by default.
    pub timeout: Duration,
    /// How many may be under way. 256 by default. When one more begins, the oldest of the address with the
    /// most of them is dropped, so that one who floods drops himself.
    pub max: usize,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max: 256,
        }
    }
}

/// A listener with something to do on each stream before it is handed up.
///
/// Nobody waits for another's handshake, and what fails costs nobody but its peer.
pub(crate) struct Handshakes<L, S> {
    listener: L,
    limits: HandshakeLimits,
    under_way: JoinSet<io::Result<(S, Peer)>>,
    /// In the order in which they began.
    order: VecDeque<(Id, Option<IpAddr>, AbortHandle)>,
    closed: bool,
}

impl<L: Listen, S: Send + 'static> Handshakes<L, S> {
    pub(crate) fn new(listener: L, limits: HandshakeLimits) -> Self {
        Self {
            listener,
            limits,
            under_way: JoinSet::new(),
            order: VecDeque::new(),
            closed: false,
        }
    }

    /// The next stream that got through `handshake`. Cancel-safe.
    pub(crate) async fn next<F>(
        &mut self,
        handshake: impl Fn(L::Stream, Peer) -> F,
    ) -> Result<(S, Peer), AcceptError>
    where
        F: Future<Output = io::Result<(S, Peer)>> + Send + 'static,
    {
        loop {
            tokio::select! {
                Some(done) = self.under_way.join_next_with_id(), if !self.under_way.is_empty() => {
                    match self.finished(done) {
                        Some(Ok(accepted)) => return Ok(accepted),
                        Some(Err(error)) => return Err(AcceptError::Peer(error)),
                        None => {}
                    }
                }
                accepted = self.listener.accept(), if !self.closed => match accepted {
                    Ok((stream, peer)) => {
                        let address = peer.address;
                        let label = peer.label.clone();
                        let deadline = self.limits.timeout;
                        let handshake = handshake(stream, peer);
                        self.begin(address, async move {
                            let done = tokio::time::timeout(deadline, handshake).await;
                            let done = done.unwrap_or_else(|_late| {
                                Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"))
                            });
                            done.map_err(|error| named(&label, &error))
                        });
                    }
                    Err(AcceptError::Closed) => self.closed = true,
                    Err(error) => return Err(error),
                },
                else => return Err(AcceptError::Closed),
            }
        }
    }

    fn begin(
        &mut self,
        address: Option<IpAddr>,
        handshake: impl Future<Output = io::Result<(S, Peer)>> + Send + 'static,
    ) {
        while self.order.len() >= self.limits.max.max(1) {
            self.drop_one();
        }
        let abort = self.under_way.spawn(handshake);
        self.order.push_back((abort.id(), address, abort));
    }

    /// Drops the oldest handshake of whoever has the most.
    fn drop_one(&mut self) {
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for (_, address, _) in &self.order {
            *counts.entry(*address).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let oldest = self
            .order
            .iter()
            .position(|(_, address, _)| counts.get(address) == Some(&most));
        if let Some((_, _, abort)) = oldest.and_then(|at| self.order.remove(at)) {
            abort.abort();
        }
    }

    fn finished(
        &mut self,
        done: Result<(Id, io::Result<(S, Peer)>), JoinError>,
    ) -> Option<io::Result<(S, Peer)>> {
        let (id, result) = match done {
            Ok((id, result)) => (id, Some(result)),
            Err(error) if error.is_panic() => {
                let failed = io::Error::other("a handshake ended by a panic");
                (error.id(), Some(Err(failed)))
            }
            // Dropped to make room.
            Err(error) => (error.id(), None),
        };
        self.order.retain(|(other, _, _)| *other != id);
        result
    }
}

/// Says whose handshake it was.
fn named(label: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{label}: {error}"))
}

impl<L: std::fmt::Debug, S> std::fmt::Debug for Handshakes<L, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes")
            .field("listener", &self.listener)
            .field("under_way", &self.order.len())
            .finish_non_exhaustive()
    }
}
