//! The accept loop of both server channels, and the request channel's end of it.
//!
//! Strangers are limited before anything they say is read: in all, while they
//! have not finished the handshake, and for each address. When a limit bites,
//! the oldest stranger makes room, so that whoever keeps coming competes with
//! its own kind, and those who proved themselves stay.

mod gate;
mod turns;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_proto::zmtp::Heartbeat;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use gate::Admission;

use crate::stream::{AcceptError, Listen, Peer};
use crate::wire::{Budget, Conn, EndConfig, Incoming, ReplyTo, Role, Wire, now};

pub use gate::ConnectionId;
#[cfg(feature = "rendezvous")]
pub(crate) use gate::Source;
pub(crate) use gate::{Known, Ticket, source};
pub(crate) use turns::Turns;

/// How much a server lets strangers and peers use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections of one channel. 10,000 by default.
    pub max_connections: usize,
    /// Connections that have not finished the handshake. 256 by default.
    pub max_handshaking: usize,
    /// Of these, from one address, which for IPv6 means one network of 64 bits; a peer with a
    /// [name](Peer::name) is counted by that instead. 64 by default.
    pub max_handshaking_per_address: usize,
    /// Connections from one address. 5,000 by default: a site behind one
    /// address is one address.
    pub max_per_address: usize,
    /// How long the handshake may take; on the `tcp` wire, until the first request. 30 s by default.
    pub handshake_timeout: Duration,
    /// Largest message, in bytes. 100 MiB by default, as Salt's own.
    pub max_message: usize,
    /// Bytes of unfinished messages held for all connections of a channel together,
    /// not counting the first 64 KiB of each. 256 MiB by default.
    pub max_unfinished: usize,
    /// Requests of one connection that wait for their replies at a time. 16 by default.
    pub max_in_flight: usize,
    /// How long a peer may leave what is written to it unread. 30 s by default.
    pub drain_timeout: Duration,
    /// Signs of life asked of ZeroMQ peers, as Salt 3006 and 3008 masters do.
    /// Every 10 s by default.
    pub heartbeat: Option<Heartbeat>,
    /// Publications that wait for one subscriber: Salt's `pub_hwm`. 1,000 by default.
    pub max_queued: usize,
    /// Their bytes. 16 MiB by default; one publication is always let through.
    pub max_queued_bytes: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_handshaking: 256,
            max_handshaking_per_address: 64,
            max_per_address: 5_000,
            handshake_timeout: Duration::from_secs(30),
            max_message: 100 << 20,
            max_unfinished: 256 << 20,
            max_in_flight: 16,
            drain_timeout: Duration::from_secs(30),
            heartbeat: Some(Heartbeat::default()),
            max_queued: 1_000,
            max_queued_bytes: 16 << 20,
        }
    }
}

impl ServeLimits {
    pub(crate) fn end(&self, wire: Wire, role: Role) -> EndConfig {
        EndConfig {
            handshake_timeout: self.handshake_timeout,
            max_message: self.max_message,
            heartbeat: self.heartbeat,
            drain_timeout: self.drain_timeout,
            ..EndConfig::new(wire, role)
        }
    }
}

/// Tells connections to end in order.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// Ends what holds the other half, when told or dropped.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

pub(crate) fn stop() -> (Stopper, Stop) {
    let (tx, rx) = watch::channel(false);
    (Stopper(tx), Stop(rx))
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    pub(crate) async fn stopped(&mut self) {
        // An error means that the stopper is gone, which is a stop as well.
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}

/// What the two server channels of one master share: framing, limits, and the
/// addresses from which somebody proved who he is.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pub(crate) wire: Wire,
    pub(crate) limits: ServeLimits,
    pub(crate) known: Known,
}

impl Server {
    /// A server of this framing that knows nobody yet.
    pub fn new(wire: Wire, limits: ServeLimits) -> Self {
        Self {
            wire,
            limits,
            known: Known::default(),
        }
    }

    /// Serves a request channel: who asks, and a future that does the work.
    ///
    /// Nothing is accepted until the future runs; it spawns a task for each
    /// connection and takes them all along when it is dropped. It returns some
    /// seconds after the [`Requests`] were stopped or dropped, when what was
    /// asked before is answered, or when the listener ends.
    ///
    /// Each connection is answered on itself, whatever identity it announced,
    /// so a newcomer with an identity that is in use takes nothing away from
    /// anybody.
    pub fn requests<L: Listen>(
        &self,
        listener: L,
    ) -> (Requests, impl Future<Output = ()> + Send + use<L>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (stopper, stop) = stop();
        let server = self.clone();
        let budget = Budget::new(server.limits.max_unfinished);
        let config = server.limits.end(server.wire, Role::Responder);
        let max_in_flight = server.limits.max_in_flight.max(1);
        let driver = async move {
            let ended = sender.clone();
            let stopping = stop.clone();
            let accepting = accept(listener, server, stop, move |stream, peer, ticket| {
                let connection = Connection {
                    conn: Conn::new(stream, config.clone(), Some(Arc::clone(&budget))),
                    in_flight: VecDeque::new(),
                    max_in_flight,
                };
                serve(connection, peer, ticket, sender.clone(), stopping.clone())
            });
            let stopping = async move {
                ended.closed().await;
                stopper.stop();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = accepting => {}
                () = stopping => {}
            }
        };
        (Requests { receiver }, driver)
    }
}

/// Accepts until stopped or the listener ends, running `serve` for each connection.
///
/// The connections run as tasks that end with the returned future: at once
/// when it is dropped, within twice [`GRACE`] after a stop.
pub(crate) async fn accept<L, F, Fut>(mut listener: L, server: Server, mut stop: Stop, mut serve: F)
where
    L: Listen,
    F: FnMut(L::Stream, Arc<Peer>, Ticket) -> Fut + Send,
    Fut: Future<Output = ()> + Send + 'static,
{
    let admission = Admission::new(server.limits, server.known);
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_PAUSE;
    let mut quiet = Quiet::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(AcceptError::Closed) => break,
            Err(AcceptError::Peer(error)) => {
                tracing::debug!(%error, "a peer was lost while it was accepted");
                continue;
            }
            Err(AcceptError::Exhausted(error)) => {
                if quiet.speak() {
                    let held_back = quiet.held_back();
                    tracing::error!(%error, held_back, "no resources for another connection");
                }
                tokio::select! {
                    () = stop.stopped() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(Duration::from_secs(1));
                continue;
            }
        };
        pause = ACCEPT_PAUSE;
        let ticket = match admission.admit(&peer) {
            Ok(ticket) => ticket,
            Err(limit) => {
                if quiet.speak() {
                    let held_back = quiet.held_back();
                    tracing::warn!(%peer, limit, held_back, "a connection was refused");
                }
                continue;
            }
        };
        let id = ticket.id();
        let abort = connections.spawn(serve(stream, Arc::new(peer), ticket));
        admission.set_abort(id, abort);
    }
    drop(listener);
    // Those that were told to stop finish what they have begun.
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE * 2, finish).await.is_err() {
        connections.shutdown().await;
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections may take to end after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// One log line in ten seconds, and how many were not written.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    next: Option<Instant>,
    hushed: u64,
    before: u64,
}

impl Quiet {
    pub(crate) fn speak(&mut self) -> bool {
        let now = now();
        if self.next.is_some_and(|next| now < next) {
            self.hushed += 1;
            return false;
        }
        self.next = Some(now + Duration::from_secs(10));
        self.before = std::mem::take(&mut self.hushed);
        true
    }

    /// How many lines were held back before the one that is written now.
    pub(crate) fn held_back(&self) -> u64 {
        self.before
    }
}

/// The requests of all connections, in the order of their arrival.
#[derive(Debug)]
pub struct Requests {
    receiver: mpsc::Receiver<Request>,
}

impl Requests {
    /// The next request; `None` when the server has ended.
    pub async fn next(&mut self) -> Option<Request> {
        self.receiver.recv().await
    }

    /// Accepts nothing any more. What was asked already still comes, and can be answered.
    pub fn stop(&mut self) {
        self.receiver.close();
    }
}

/// A request, and the obligation to answer it.
///
/// Dropped without an answer it closes the connection it came on, so that
/// nobody waits for a reply that never comes.
#[derive(Debug)]
pub struct Request {
    peer: Arc<Peer>,
    body: Bytes,
    reply: oneshot::Sender<Bytes>,
    ticket: Ticket,
}

impl Request {
    /// Who asks, as far as the stream knows.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// The envelope, undecoded.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Answers.
    pub fn reply(self, body: impl Into<Bytes>) {
        // The peer may have gone; nobody else is waiting for this.
        let _gone = self.reply.send(body.into());
    }

    /// Notes that the request proved who sent it.
    ///
    /// Its connection no longer makes room for others, and others from the same
    /// address are not the first to be refused.
    pub fn trust(&self) {
        self.ticket.trust();
    }
}

/// How many requests of all connections may wait to be taken.
const WAITING: usize = 256;

struct Connection<S> {
    conn: Conn<S>,
    in_flight: VecDeque<(ReplyTo, oneshot::Receiver<Bytes>)>,
    max_in_flight: usize,
}

enum Step {
    Incoming(Incoming),
    /// A request was dropped without a reply.
    Unanswered,
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut connection: Connection<S>,
    peer: Arc<Peer>,
    ticket: Ticket,
    requests: mpsc::Sender<Request>,
    mut stop: Stop,
) {
    loop {
        let step = tokio::select! {
            biased;
            () = stop.stopped() => break,
            step = poll_fn(|cx| connection.poll(cx)) => step,
        };
        match step {
            Step::Incoming(Incoming::Ready) => ticket.ready(),
            Step::Incoming(Incoming::Request(to, body)) => {
                let (reply, receiver) = oneshot::channel();
                connection.in_flight.push_back((to, receiver));
                let request = Request {
                    peer: Arc::clone(&peer),
                    body,
                    reply,
                    ticket: ticket.clone(),
                };
                if requests.send(request).await.is_err() {
                    break;
                }
            }
            Step::Incoming(Incoming::Closed(error)) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection closed");
                return;
            }
            Step::Incoming(_) => {}
            Step::Unanswered => {
                tracing::debug!(%peer, "a request was not answered");
                return;
            }
        }
    }
    // Whoever waits for a reply still gets it; nobody may ask any more.
    connection.conn.pause(true);
    let drained = poll_fn(|cx| connection.poll_drained(cx));
    if tokio::time::timeout(GRACE, drained).await.is_ok() {
        let _gone = tokio::time::timeout(GRACE, connection.conn.shutdown()).await;
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Connection<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if !self.poll_replies(cx) {
            return Poll::Ready(Step::Unanswered);
        }
        self.conn.pause(self.in_flight.len() >= self.max_in_flight);
        self.conn.poll_next(cx).map(Step::Incoming)
    }

    /// Queues what was answered; `false` if something never will be.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> bool {
        let (conn, mut answered) = (&mut self.conn, true);
        self.in_flight
            .retain_mut(|(to, reply)| match Pin::new(reply).poll(cx) {
                Poll::Ready(Ok(body)) => {
                    conn.reply(to, &body);
                    false
                }
                Poll::Ready(Err(_dropped)) => {
                    answered = false;
                    false
                }
                Poll::Pending => true,
            });
        answered
    }

    /// Ready when every request in flight has its reply, and all is written.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let answered = self.poll_replies(cx);
        let closed = self.conn.poll_next(cx).is_ready();
        if !answered || closed || (self.in_flight.is_empty() && self.conn.queued() == 0) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind our locks is whole at every instant: counters and tables.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
