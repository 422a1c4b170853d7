//! The publish channel: one message to everyone who wants it.
//!
//! A publication is encoded once and its bytes are shared. It is written at
//! once to a subscriber that keeps up; for one that does not, it waits in a
//! queue bounded by number and bytes, is dropped when that is full, and the
//! subscriber is cut off when it stops reading altogether.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::Bytes;
use salt_proto::GCM_TOPIC;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::serve::{ConnectionId, Server, Stop, Ticket, accept, lock, stop};
use crate::stream::{Listen, Peer};
use crate::wire::{Budget, Conn, Incoming, Role, Wire, encode_publication};

/// Most topics of one subscriber, and the longest.
const MAX_TOPICS: usize = 64;
const MAX_TOPIC: usize = 255;
/// Subscribers served in a row before others get their turn.
const BATCH: usize = 128;
/// Publications that go out together when several wait.
const BURST: usize = 32;

/// One message for the subscribers.
///
/// A subscriber of [`GCM_TOPIC`] receives `gcm`; everybody else, and he too if
/// there is none, `classic` by the rules of topics.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The form every peer reads.
    pub classic: Bytes,
    /// The same message for subscribers of [`GCM_TOPIC`].
    pub gcm: Option<Bytes>,
    /// With `zmq_filtering`, one copy goes out under each of these. Without,
    /// this is empty and the message is its own topic.
    pub topics: Vec<Bytes>,
    /// Nobody but these (`tcp` wire, where subscribers have no topics).
    pub only: Option<HashSet<ConnectionId>>,
}

/// What a subscriber did that its master wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// Said who it is (`tcp` wire): the undecoded envelope.
    Announced(ConnectionId, Bytes),
    /// Is gone.
    Left(ConnectionId),
}

/// Sends to everyone who subscribed. Clones send on the same channel.
#[derive(Clone, Debug)]
pub struct Publisher {
    queue: mpsc::Sender<Publication>,
    counters: Arc<Counters>,
}

impl Publisher {
    /// Queues a publication, waiting while too many are under way already.
    ///
    /// Publications reach every subscriber in the order of these calls.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the server has ended.
    pub async fn publish(&self, publication: Publication) -> Result<()> {
        let queued = self.queue.send(publication).await;
        queued.map_err(|_| Error::Closed)
    }

    /// The counters.
    pub fn stats(&self) -> PublishStats {
        self.counters.stats()
    }
}

/// Subscribers coming and going, in order.
#[derive(Debug)]
pub struct Presences(mpsc::Receiver<Presence>);

impl Presences {
    /// The next; `None` when the server has ended.
    ///
    /// What is not taken in time is dropped: an announcement is never answered,
    /// so a subscriber cannot tell.
    pub async fn next(&mut self) -> Option<Presence> {
        self.0.recv().await
    }
}

/// Counters of the publish channel since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishStats {
    /// Connections at the moment.
    pub connected: usize,
    /// Connections that publications reach: over ZeroMQ those with a topic,
    /// over the `tcp` wire all.
    pub subscribed: usize,
    /// Messages handed to a subscriber's queue or stream.
    pub delivered: u64,
    /// Messages dropped because a subscriber's queue was full.
    pub dropped: u64,
    /// Subscribers closed because they stopped reading.
    pub cut: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    connected: AtomicUsize,
    subscribed: AtomicUsize,
    delivered: AtomicU64,
    dropped: AtomicU64,
    cut: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> PublishStats {
        PublishStats {
            connected: self.connected.load(Ordering::Relaxed),
            subscribed: self.subscribed.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            cut: self.cut.load(Ordering::Relaxed),
        }
    }
}

/// How many publications may wait to be sent.
const WAITING: usize = 64;
/// How many comings and goings may wait to be taken.
const PRESENCES: usize = 1024;

impl Server {
    /// Serves a publish channel: where publications are handed in, who comes and
    /// goes, and a future that does the work.
    ///
    /// Nothing is accepted until the future runs; it spawns a task for each
    /// connection and takes them all along when it is dropped. It returns some
    /// seconds after the last [`Publisher`] was dropped, when what was published
    /// before is written to everyone who reads, or when the listener ends.
    pub fn publications<L: Listen>(
        &self,
        listener: L,
    ) -> (
        Publisher,
        Presences,
        impl Future<Output = ()> + Send + use<L>,
    ) {
        let (queue, publications) = mpsc::channel(WAITING);
        let (presence, presences) = mpsc::channel(PRESENCES);
        let counters = Arc::new(Counters::default());
        let publisher = Publisher {
            queue,
            counters: Arc::clone(&counters),
        };
        let server = self.clone();
        let Self { wire, limits, .. } = self;
        let everyone = Arc::new(Everyone {
            subscribers: Mutex::default(),
            wire: *wire,
            max_queued: limits.max_queued.max(1),
            max_queued_bytes: limits.max_queued_bytes,
            counters,
        });
        let mut config = limits.end(*wire, Role::Publisher);
        // Subscriptions and announcements are small.
        config.max_message = config.max_message.min(64 * 1024);
        // A subscriber is read even while it is slow, or its end would go unnoticed.
        config.read_until_queued = usize::MAX;
        let budget = Budget::new(limits.max_unfinished);
        let (stopper, stop) = stop();

        let driver = async move {
            let sending = async {
                everyone.send_all(publications).await;
                stopper.stop();
                std::future::pending::<()>().await;
            };
            let stopping = stop.clone();
            let accepting = accept(listener, server, stop, |stream, peer, ticket| {
                let subscriber = Arc::new(Mutex::new(Subscriber {
                    conn: Conn::new(stream, config.clone(), Some(Arc::clone(&budget))),
                    topics: Vec::new(),
                    gcm: false,
                    ready: false,
                    owner: None,
                }));
                let everyone = Arc::clone(&everyone);
                let (presence, stop) = (presence.clone(), stopping.clone());
                serve(everyone, subscriber, peer, ticket, presence, stop)
            });
            tokio::select! {
                () = accepting => {}
                () = sending => {}
            }
        };
        (publisher, Presences(presences), driver)
    }
}

struct Everyone<S> {
    subscribers: Mutex<BTreeMap<ConnectionId, Arc<Mutex<Subscriber<S>>>>>,
    wire: Wire,
    max_queued: usize,
    max_queued_bytes: usize,
    counters: Arc<Counters>,
}

struct Subscriber<S> {
    conn: Conn<S>,
    topics: Vec<Bytes>,
    gcm: bool,
    ready: bool,
    /// The task that reads this connection and writes what could not be written at once.
    owner: Option<Waker>,
}

impl<S> Subscriber<S> {
    fn topics_changed(&mut self) {
        let mut topics = self.topics.iter();
        self.gcm = topics.any(|topic| topic == GCM_TOPIC.as_bytes());
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Everyone<S> {
    async fn send_all(&self, mut publications: mpsc::Receiver<Publication>) {
        let mut burst = Vec::new();
        while publications.recv_many(&mut burst, BURST).await > 0 {
            self.send(&burst).await;
            burst.clear();
        }
    }

    /// Sends what waits together, so that each subscriber's share is one write.
    async fn send(&self, burst: &[Publication]) {
        let encoded: Vec<_> = burst
            .iter()
            .map(|publication| Encoded::new(self.wire, publication))
            .collect();
        let mut after = Bound::Unbounded;
        loop {
            let batch: Vec<_> = lock(&self.subscribers)
                .range((after, Bound::Unbounded))
                .take(BATCH)
                .map(|(id, subscriber)| (*id, Arc::clone(subscriber)))
                .collect();
            let Some((last, _)) = batch.last() else {
                return;
            };
            after = Bound::Excluded(*last);
            for (id, subscriber) in &batch {
                self.send_to(*id, &mut lock(subscriber), &encoded);
            }
            tokio::task::yield_now().await;
        }
    }

    fn send_to(&self, id: ConnectionId, subscriber: &mut Subscriber<S>, burst: &[Encoded<'_>]) {
        if !subscriber.ready {
            return;
        }
        for encoded in burst {
            let only = encoded.publication.only.as_ref();
            if !only.is_none_or(|only| only.contains(&id)) {
                continue;
            }
            encoded.each_for(subscriber.gcm, &subscriber.topics, |message| {
                let conn = &mut subscriber.conn;
                if self.is_full(conn, message) {
                    // What the burst itself has queued is no sign of a slow reader.
                    let _written = conn.write_now();
                }
                if self.is_full(conn, message) {
                    self.counters.dropped.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                    conn.publish(message.clone());
                }
            });
        }
        if subscriber.conn.queued() > 0
            && !subscriber.conn.write_now()
            && let Some(owner) = subscriber.owner.take()
        {
            owner.wake();
        }
    }

    fn is_full(&self, conn: &Conn<S>, message: &Bytes) -> bool {
        let queued = conn.queued();
        conn.queued_pieces() >= self.max_queued
            || (queued > 0 && queued + message.len() > self.max_queued_bytes)
    }
}

/// A publication as it goes out.
struct Encoded<'a> {
    publication: &'a Publication,
    /// One message for each topic, or the one without.
    classic: Vec<Bytes>,
    by_topic: HashMap<&'a [u8], usize>,
    gcm: Option<Bytes>,
    wire: Wire,
}

impl<'a> Encoded<'a> {
    fn new(wire: Wire, publication: &'a Publication) -> Self {
        let body = &publication.classic;
        let filtered = wire == Wire::Zeromq && !publication.topics.is_empty();
        Self {
            publication,
            classic: if filtered {
                let topics = publication.topics.iter();
                topics
                    .map(|topic| encode_publication(wire, Some(topic), body))
                    .collect()
            } else {
                vec![encode_publication(wire, None, body)]
            },
            by_topic: if filtered {
                let topics = publication.topics.iter().enumerate();
                topics.map(|(n, topic)| (topic.as_ref(), n)).collect()
            } else {
                HashMap::new()
            },
            gcm: publication
                .gcm
                .as_ref()
                .map(|body| encode_publication(wire, Some(GCM_TOPIC.as_bytes()), body)),
            wire,
        }
    }

    /// Hands `send` what a subscriber of these topics receives.
    fn each_for(&self, gcm: bool, subscribed: &[Bytes], mut send: impl FnMut(&Bytes)) {
        if let (true, Some(message)) = (gcm, &self.gcm) {
            return send(message);
        }
        if self.wire == Wire::Tcp {
            return self.classic.iter().for_each(send);
        }
        if self.by_topic.is_empty() {
            let body = &self.publication.classic;
            if subscribed.iter().any(|topic| body.starts_with(topic)) {
                self.classic.iter().for_each(send);
            }
            return;
        }
        // Almost every subscription is one whole topic; only others, and several
        // at a time, need the long way.
        if let [only] = subscribed
            && let Some(message) = self
                .by_topic
                .get(only.as_ref())
                .and_then(|n| self.classic.get(*n))
        {
            return send(message);
        }
        let wanted = |topic: &Bytes| subscribed.iter().any(|wanted| topic.starts_with(wanted));
        if subscribed.iter().all(|topic| topic.len() >= MIN_TOPIC) {
            let mut sent = HashSet::new();
            for topic in subscribed {
                if let Some(n) = self.by_topic.get(topic.as_ref())
                    && sent.insert(*n)
                    && let Some(message) = self.classic.get(*n)
                {
                    send(message);
                }
            }
            return;
        }
        for (topic, message) in self.publication.topics.iter().zip(&self.classic) {
            if wanted(topic) {
                send(message);
            }
        }
    }
}

/// Salt's topics (`broadcast`, `syndic`, a SHA-1 in hexadecimal) have this many
/// bytes at least, and none begins with another.
const MIN_TOPIC: usize = 6;

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    everyone: Arc<Everyone<S>>,
    subscriber: Arc<Mutex<Subscriber<S>>>,
    peer: Arc<Peer>,
    ticket: Ticket,
    presence: mpsc::Sender<Presence>,
    mut stop: Stop,
) {
    let id = ticket.id();
    let mut listed = Listed::new(&everyone, id, &subscriber, presence.clone());
    loop {
        let next = poll_fn(|cx| {
            let mut subscriber = lock(&subscriber);
            let polled = subscriber.conn.poll_next(cx);
            if polled.is_pending() {
                subscriber.owner = Some(cx.waker().clone());
            }
            polled
        });
        let incoming = tokio::select! {
            biased;
            () = stop.stopped() => break,
            incoming = next => incoming,
        };
        match incoming {
            Incoming::Ready => {
                lock(&subscriber).ready = true;
                ticket.ready();
                listed.subscribed(everyone.wire == Wire::Tcp);
            }
            Incoming::Subscribe(topic) => {
                let mut subscriber = lock(&subscriber);
                if topic.len() > MAX_TOPIC || subscriber.topics.len() >= MAX_TOPICS {
                    tracing::debug!(%peer, "a subscriber with too many topics");
                    return;
                }
                // A copy, because a topic may be a slice of a far larger input.
                subscriber.topics.push(Bytes::copy_from_slice(&topic));
                subscriber.topics_changed();
                listed.subscribed(true);
            }
            Incoming::Cancel(topic) => {
                let mut subscriber = lock(&subscriber);
                if let Some(at) = subscriber.topics.iter().position(|known| *known == topic) {
                    subscriber.topics.swap_remove(at);
                }
                subscriber.topics_changed();
                listed.subscribed(!subscriber.topics.is_empty());
            }
            Incoming::Announce(body) => {
                // Announcing is never answered, so a full queue is no worse
                // than a refused announcement.
                let _full = presence.try_send(Presence::Announced(id, body));
            }
            Incoming::Closed(error) => {
                if matches!(error, Error::TimedOut) {
                    everyone.counters.cut.fetch_add(1, Ordering::Relaxed);
                }
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "subscriber closed");
                return;
            }
            _ => {}
        }
    }
    // What was published before the stop is still delivered to those who read.
    poll_fn(|cx| {
        let mut subscriber = lock(&subscriber);
        let conn = &mut subscriber.conn;
        if conn.queued() == 0 || conn.poll_next(cx).is_ready() || conn.queued() == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A subscriber's entry in the list, taken out when its task ends, however it ends.
struct Listed<'a, S> {
    everyone: &'a Everyone<S>,
    id: ConnectionId,
    presence: mpsc::Sender<Presence>,
    subscribed: bool,
}

impl<'a, S> Listed<'a, S> {
    fn new(
        everyone: &'a Everyone<S>,
        id: ConnectionId,
        subscriber: &Arc<Mutex<Subscriber<S>>>,
        presence: mpsc::Sender<Presence>,
    ) -> Self {
        lock(&everyone.subscribers).insert(id, Arc::clone(subscriber));
        everyone.counters.connected.fetch_add(1, Ordering::Relaxed);
        Self {
            everyone,
            id,
            presence,
            subscribed: false,
        }
    }
}

impl<S> Listed<'_, S> {
    fn subscribed(&mut self, subscribed: bool) {
        if subscribed && !self.subscribed {
            self.everyone
                .counters
                .subscribed
                .fetch_add(1, Ordering::Relaxed);
        } else if !subscribed && self.subscribed {
            self.everyone
                .counters
                .subscribed
                .fetch_sub(1, Ordering::Relaxed);
        }
        self.subscribed = subscribed;
    }
}

impl<S> Drop for Listed<'_, S> {
    fn drop(&mut self) {
        self.subscribed(false);
        lock(&self.everyone.subscribers).remove(&self.id);
        self.everyone
            .counters
            .connected
            .fetch_sub(1, Ordering::Relaxed);
        // An id is never used again, so one that stays in a list too long only
        // takes its place there.
        let _full = self.presence.try_send(Presence::Left(self.id));
    }
}
