//! The client's end of the publish channel.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use salt_proto::Backoff;
use salt_proto::zmtp::Heartbeat;
use tokio::time::Sleep;

use crate::address::{Channel, MasterAddr};
use crate::error::{Error, Result};
use crate::random;
use crate::stream::{AnyStream, Dial, ErasedDial};
use crate::wire::{Conn, EndConfig, Incoming, Role, Wire};

/// A subscription to a master's publications that reconnects by itself.
///
/// Between two attempts it waits for one second, doubling up to eleven, each
/// randomly shortened, so that the minions of a restarted master do not come
/// back in one instant.
pub struct Subscription {
    dial: Arc<dyn ErasedDial>,
    master: MasterAddr,
    end: EndConfig,
    topics: Vec<Bytes>,
    dial_timeout: Duration,
    backoff: Backoff,
    state: State,
}

/// What happened on a [`Subscription`].
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// Connected and subscribed. A minion on the `tcp` wire announces itself now.
    Connected,
    /// A publication, with its topic if the master filters.
    Message {
        /// The topic, if the message has one.
        topic: Option<Bytes>,
        /// The envelope.
        body: Bytes,
    },
    /// The connection ended, or an attempt failed; the next one follows by itself.
    Disconnected(Error),
}

enum State {
    Waiting(Pin<Box<Sleep>>),
    Dialing(Pin<Box<dyn Future<Output = Result<AnyStream>> + Send>>),
    Open { conn: Box<Conn>, ready: bool },
}

impl Subscription {
    /// A subscription to what begins with one of `topics`; on the `tcp` wire
    /// there are none, and the master decides by who was announced.
    ///
    /// `identity` is what ZeroMQ shows to the master; Salt's minions use their id.
    pub fn new(
        dial: impl Dial,
        master: MasterAddr,
        wire: Wire,
        identity: Bytes,
        topics: Vec<Bytes>,
    ) -> Self {
        Self::erased(Arc::new(dial), master, wire, identity, topics)
    }

    pub(crate) fn erased(
        dial: Arc<dyn ErasedDial>,
        master: MasterAddr,
        wire: Wire,
        identity: Bytes,
        topics: Vec<Bytes>,
    ) -> Self {
        let mut end = EndConfig::new(wire, Role::Subscriber);
        end.identity = identity;
        let mut subscription = Self {
            dial,
            master,
            end,
            topics,
            dial_timeout: Duration::from_secs(10),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(11)),
            state: State::Waiting(Box::pin(tokio::time::sleep(Duration::ZERO))),
        };
        subscription.state = subscription.dial();
        subscription
    }

    /// Waits for what happens next. Cancel-safe: nothing is lost when the wait
    /// is dropped and begun again.
    pub async fn next(&mut self) -> SubscriptionEvent {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends a minion's announcement (`tcp` wire; elsewhere nothing is sent).
    pub fn announce(&mut self, body: &Bytes) {
        if let State::Open { conn, ready: true } = &mut self.state {
            conn.announce(body);
        }
    }

    /// Whether publications can arrive now.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Open { ready: true, .. })
    }

    /// Takes another set of topics, for the next connection and for this one.
    pub fn set_topics(&mut self, topics: Vec<Bytes>) {
        if topics == self.topics {
            return;
        }
        self.topics = topics;
        if matches!(self.state, State::Open { .. }) {
            // A subscription is cheap and a cancel races with what is on its way.
            self.state = self.dial();
        }
    }

    /// Asks the master for signs of life (ZeroMQ), from the next connection on.
    /// Not by default: some publishers take a PING for an error.
    pub fn set_heartbeat(&mut self, heartbeat: Option<Heartbeat>) {
        self.end.heartbeat = heartbeat;
    }

    /// Ends the connection and begins another at once.
    pub fn reconnect(&mut self) {
        self.state = self.dial();
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<SubscriptionEvent> {
        loop {
            match &mut self.state {
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = self.dial();
                }
                State::Dialing(dialing) => match ready!(dialing.as_mut().poll(cx)) {
                    Ok(stream) => {
                        let conn = Conn::new(stream, self.end.clone(), None);
                        self.state = State::Open {
                            conn: Box::new(conn),
                            ready: false,
                        };
                    }
                    Err(error) => return Poll::Ready(self.lost(error)),
                },
                State::Open { conn, ready } => match ready!(conn.poll_next(cx)) {
                    Incoming::Ready => {
                        *ready = true;
                        for topic in &self.topics {
                            conn.subscribe(topic);
                        }
                        // Written before anybody hears of it, so that what is
                        // published from then on finds the subscription.
                        let _later = conn.write_now();
                        self.backoff.reset();
                        return Poll::Ready(SubscriptionEvent::Connected);
                    }
                    Incoming::Publication(topic, body) => {
                        return Poll::Ready(SubscriptionEvent::Message { topic, body });
                    }
                    Incoming::Closed(error) => return Poll::Ready(self.lost(error)),
                    _ => {}
                },
            }
        }
    }

    fn lost(&mut self, error: Error) -> SubscriptionEvent {
        self.state = self.dial_later();
        SubscriptionEvent::Disconnected(error)
    }

    fn dial_later(&mut self) -> State {
        let wait = self.backoff.next_wait(&mut random::u64);
        State::Waiting(Box::pin(tokio::time::sleep(wait)))
    }

    fn dial(&self) -> State {
        let (dial, master, timeout) = (
            Arc::clone(&self.dial),
            self.master.clone(),
            self.dial_timeout,
        );
        State::Dialing(Box::pin(async move {
            tokio::time::timeout(timeout, dial.dial(&master, Channel::Publish))
                .await
                .map_err(|_| Error::TimedOut)?
                .map_err(Error::io("connecting"))
        }))
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("master", &self.master)
            .field("wire", &self.end.wire)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
