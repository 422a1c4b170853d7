//! The one with an address: it brings masters and minions together and sees nothing of what they say.

mod config;
mod desk;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::desk::{Desk, StreamId};
use super::frame::{FleetName, Frame, Refusal, Ticket};
use super::io::{FrameReader, write, write_within};
use super::outer;
use crate::address::Channel;
use crate::serve::{Quiet, lock};
use crate::stream::{AcceptError, Listen, Peer, TlsAccept, TlsConfig, TlsError};
use crate::wire::now;

pub use config::{Fleet, Minions, RelayConfig, RelayLimits, RelayStats};

/// How much is on its way through a pair in each direction, beside what the streams themselves hold.
const BUFFER: usize = 16 * 1024;
/// Offers that a master has not read yet.
const OFFERS: usize = 256;
/// How long somebody may take to read why he is refused.
const FAREWELL: Duration = Duration::from_secs(1);

/// Brings masters and minions together that both dial out.
///
/// It is not trusted with anything that passes: what it copies is [TLS between those two](super::Rendezvous). It can
/// refuse, delay, cut, count and time.
///
/// The listener is normally [`TlsAccept`] over [`Tcp`](crate::Tcp), as [`tls`](Self::tls) makes it: names are given
/// to certificates, so who comes without one can register none.
///
/// ```no_run
/// use salt_transport::rendezvous::{Fleet, Relay, RelayConfig};
/// use salt_transport::{Authorities, Tcp, TlsConfig, TlsIdentity};
///
/// # async fn relay() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = TlsIdentity::read("relay.pem", "relay.key")?;
/// let outer = TlsConfig::new(identity, Authorities::read("ca.pem")?);
/// let config = RelayConfig::default().fleet("fleet-a".parse()?, Fleet::new("master.example.com"));
/// let relay = Relay::tls(Tcp::bind("0.0.0.0:443").await?, &outer, config)?;
/// relay.serve().await;
/// # Ok(()) }
/// ```
pub struct Relay<L: Listen> {
    listener: L,
    hall: Arc<Hall<L::Stream>>,
    config: RelayConfig,
}

impl<L: Listen> Relay<TlsAccept<L>> {
    /// A relay behind TLS, with the application protocol that it is known by.
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together, or there is no authority to check peers by.
    pub fn tls(listener: L, config: &TlsConfig, relay: RelayConfig) -> Result<Self, TlsError> {
        Ok(Self::new(TlsAccept::over(listener, &outer(config))?, relay))
    }
}

impl<L: Listen> Relay<L> {
    /// A relay that accepts what this listener accepts.
    pub fn new(listener: L, config: RelayConfig) -> Self {
        Self {
            listener,
            hall: Arc::new(Hall::new(Desk::new(config.clone()))),
            config,
        }
    }

    /// What looks at a relay while it serves.
    pub fn handle(&self) -> RelayHandle {
        RelayHandle(Arc::clone(&self.hall) as Arc<dyn Stats>)
    }

    /// Serves until the listener ends. What it spawns, a task for each stream, ends with the future.
    pub fn serve(self) -> impl Future<Output = ()> + Send {
        let Self {
            listener,
            hall,
            config,
        } = self;
        serve(listener, hall, config.limits)
    }
}

impl<L: Listen> std::fmt::Debug for Relay<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

/// Looks at a relay.
#[derive(Clone)]
pub struct RelayHandle(Arc<dyn Stats>);

impl RelayHandle {
    /// What it does at the moment.
    pub fn stats(&self) -> RelayStats {
        self.0.stats()
    }
}

impl std::fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RelayHandle").field(&self.stats()).finish()
    }
}

trait Stats: Send + Sync {
    fn stats(&self) -> RelayStats;
}

impl<S: Send + 'static> Stats for Hall<S> {
    fn stats(&self) -> RelayStats {
        lock(&self.0).desk.stats()
    }
}

/// The decisions, and how those they concern are reached.
struct Hall<S>(Mutex<Ways<S>>);

struct Ways<S> {
    desk: Desk,
    /// Dropped: another has the name.
    controls: HashMap<StreamId, mpsc::Sender<Frame>>,
    askers: HashMap<StreamId, oneshot::Sender<Result<Half<S>, Refusal>>>,
    aborts: HashMap<StreamId, AbortHandle>,
}

/// A master's data stream on its way to the one that waits for it.
struct Half<S> {
    stream: S,
    _place: Place<S>,
}

impl<S> Hall<S> {
    fn new(desk: Desk) -> Self {
        Self(Mutex::new(Ways {
            desk,
            controls: HashMap::new(),
            askers: HashMap::new(),
            aborts: HashMap::new(),
        }))
    }

    fn lost(&self, id: StreamId) {
        let mut ways = lock(&self.0);
        ways.controls.remove(&id);
        let own = ways.askers.remove(&id);
        ways.aborts.remove(&id);
        let waiting = ways.desk.lost(id);
        let ended: Vec<_> = waiting
            .iter()
            .filter_map(|asker| ways.askers.remove(asker))
            .collect();
        // What is dropped from here on may want the lock.
        drop(ways);
        drop(own);
        for asker in ended {
            let _gone = asker.send(Err(Refusal::UnknownName));
        }
    }
}

/// A stream's place; given back when dropped.
struct Place<S> {
    id: StreamId,
    hall: Arc<Hall<S>>,
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.hall.lost(self.id);
    }
}

async fn serve<L: Listen>(mut listener: L, hall: Arc<Hall<L::Stream>>, limits: RelayLimits) {
    let mut streams = JoinSet::new();
    let mut quiet = Quiet::default();
    loop {
        let accepted = tokio::select! {
            Some(_ended) = streams.join_next(), if !streams.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(AcceptError::Closed) => return,
            Err(AcceptError::Peer(error)) => {
                tracing::debug!(%error, "a peer was lost while it was accepted");
                continue;
            }
            Err(AcceptError::Exhausted(error)) => {
                if quiet.speak() {
                    tracing::error!(%error, "no resources for another connection");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admitted = lock(&hall.0).desk.admit(&peer, now());
        let (id, evicted) = match admitted {
            Ok(admitted) => admitted,
            Err(_busy) => {
                if quiet.speak() {
                    let held_back = quiet.held_back();
                    tracing::warn!(%peer, held_back, "too many streams of one source");
                }
                continue;
            }
        };
        let place = Place {
            id,
            hall: Arc::clone(&hall),
        };
        let abort = streams.spawn(one(stream, peer, place, limits.clone()));
        let mut ways = lock(&hall.0);
        if let Some(evicted) = evicted.and_then(|evicted| ways.aborts.remove(&evicted)) {
            evicted.abort();
        }
        if ways.desk.has(id) {
            ways.aborts.insert(id, abort);
        }
    }
}

/// One stream, from its first frame to its end.
async fn one<S: AsyncRead + AsyncWrite + Send + Unpin>(
    mut stream: S,
    peer: Peer,
    place: Place<S>,
    limits: RelayLimits,
) {
    let deadline = Instant::now() + limits.before_go;
    let mut reader = FrameReader::default();
    let first = timeout_at(deadline, reader.next(&mut stream)).await;
    let refused = match first {
        Ok(Ok(Frame::Register { name, waiting })) => {
            tracing::info!(%peer, %name, "a master registers");
            control(&mut stream, reader, &place, (name, waiting), &limits).await
        }
        Ok(Ok(Frame::Ask { channel, name })) => {
            ask(&mut stream, &peer, &place, (name, channel), deadline).await
        }
        Ok(Ok(Frame::Take(ticket))) => match take(stream, place, &ticket) {
            Some((mut unwanted, refusal, _place)) => {
                tracing::debug!(%peer, %refusal, "a ticket was refused");
                return farewell(&mut unwanted, refusal).await;
            }
            None => return,
        },
        Ok(Ok(_)) => Some(Refusal::BadFrame),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Some(Refusal::BadFrame),
        Ok(Err(_)) => None,
        Err(_late) => Some(Refusal::Expired),
    };
    if let Some(refusal) = refused {
        tracing::debug!(%peer, %refusal, "refused");
        farewell(&mut stream, refusal).await;
    }
}

/// Says why, to whoever reads it.
async fn farewell(stream: &mut (impl AsyncWrite + Unpin), refusal: Refusal) {
    let saying = async {
        write(stream, &Frame::Refuse(refusal)).await?;
        stream.shutdown().await
    };
    let _unread = timeout(FAREWELL, saying).await;
}

/// The control stream of a name, until it ends or is replaced.
async fn control<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: &mut S,
    mut reader: FrameReader,
    place: &Place<S>,
    (name, waiting): (FleetName, u8),
    limits: &RelayLimits,
) -> Option<Refusal> {
    let (sender, mut offers) = mpsc::channel(OFFERS);
    {
        let mut ways = lock(&place.hall.0);
        match ways.desk.register(place.id, name, waiting) {
            Ok(registered) => {
                for offer in registered.offers {
                    // No more wait than there are places in the queue.
                    let _full = sender.try_send(offer);
                }
                ways.controls.insert(place.id, sender);
                if let Some(replaced) = registered.replaced {
                    ways.controls.remove(&replaced);
                }
            }
            Err(refusal) => return Some(refusal),
        }
    }
    write_within(limits.before_go, stream, &Frame::Registered)
        .await
        .ok()?;
    let mut heard = Instant::now();
    loop {
        let say = tokio::select! {
            frame = reader.next(stream) => {
                heard = Instant::now();
                match frame {
                    Ok(Frame::Ping(echo)) => Frame::Pong(echo),
                    Ok(Frame::Pong(_)) => continue,
                    Ok(_) => return Some(Refusal::BadFrame),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        return Some(Refusal::BadFrame);
                    }
                    Err(_) => return None,
                }
            }
            offer = offers.recv() => match offer {
                Some(offer) => offer,
                None => {
                    // Another has the name now.
                    let _unread = timeout(FAREWELL, stream.shutdown()).await;
                    return None;
                }
            },
            () = sleep_until(heard + limits.silence) => return None,
        };
        write_within(limits.before_go, stream, &say).await.ok()?;
    }
}

/// A stream that waits for a master, and then is one half of a pair.
async fn ask<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: &mut S,
    peer: &Peer,
    place: &Place<S>,
    (name, channel): (FleetName, Channel),
    deadline: Instant,
) -> Option<Refusal> {
    let mut random = [0; 32];
    if getrandom::fill(&mut random).is_err() {
        // A ticket that can be guessed is worse than none.
        return Some(Refusal::Busy);
    }
    let (sender, joined) = oneshot::channel();
    {
        let mut ways = lock(&place.hall.0);
        let ticket = Ticket::new(random);
        let asked = ways.desk.ask(place.id, name, channel, &peer.label, ticket);
        let asked = match asked {
            Ok(asked) => asked,
            Err(refusal) => return Some(refusal),
        };
        let control = ways.controls.get(&asked.control);
        if control.is_none_or(|control| control.try_send(asked.offer).is_err()) {
            // The master does not read what it is told.
            return Some(Refusal::Busy);
        }
        ways.askers.insert(place.id, sender);
    }
    let mut early = [0; 1];
    let mut half = tokio::select! {
        joined = joined => match joined {
            Ok(Ok(half)) => half,
            Ok(Err(refusal)) => return Some(refusal),
            Err(_) => return Some(Refusal::UnknownName),
        },
        read = stream.read(&mut early) => return match read {
            // Nothing may be said before `Go`.
            Ok(1..) => Some(Refusal::BadFrame),
            Ok(0) | Err(_) => None,
        },
        _late = sleep_until(deadline) => return Some(Refusal::Expired),
    };
    let go = async {
        tokio::try_join!(
            write(stream, &Frame::Go),
            write(&mut half.stream, &Frame::Go)
        )
    };
    timeout_at(deadline.max(Instant::now() + FAREWELL), go)
        .await
        .ok()?
        .ok()?;
    let copied =
        tokio::io::copy_bidirectional_with_sizes(stream, &mut half.stream, BUFFER, BUFFER).await;
    if let Err(error) = copied {
        tracing::debug!(%peer, %error, "a pair was cut");
    }
    None
}

/// Hands a master's data stream to the one that waits for it; or back, with the reason.
fn take<S>(stream: S, place: Place<S>, ticket: &Ticket) -> Option<(S, Refusal, Place<S>)> {
    let taken = {
        let mut ways = lock(&place.hall.0);
        let taken = ways.desk.take(place.id, ticket, now());
        taken.map(|taken| {
            let evicted = taken
                .evicted
                .and_then(|evicted| ways.aborts.remove(&evicted));
            if let Some(evicted) = evicted {
                evicted.abort();
            }
            ways.askers.remove(&taken.asker)
        })
    };
    let half = |stream, place| Half {
        stream,
        _place: place,
    };
    match taken {
        Ok(Some(asker)) => {
            // If nobody waits any more, both halves end here.
            let _gone = asker.send(Ok(half(stream, place)));
            None
        }
        Ok(None) => Some((stream, Refusal::Expired, place)),
        Err(refusal) => Some((stream, refusal, place)),
    }
}
