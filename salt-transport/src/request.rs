//! The client's end of the request channel.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_proto::Backoff;
use tokio::sync::Semaphore;

use crate::address::{Channel, MasterAddr};
use crate::complaint::Complaint;
use crate::error::{Error, Result};
use crate::random;
use crate::serve::lock;
use crate::stream::{Dial, ErasedDial};
use crate::wire::{Conn, EndConfig, Incoming, Role, Wire, now};

/// An idle connection is not asked again after this: its peer's heartbeats go
/// unanswered meanwhile, and an old connection is likelier to be dead.
const MAX_IDLE: Duration = Duration::from_secs(5);
/// Connections kept for the next request.
const KEEP: usize = 4;

/// Asks a master, over as many connections as questions are in flight.
///
/// Each connection carries one request at a time. One that timed out, was
/// given up by its caller or failed is closed, so a late reply never answers
/// another request. A request is written at most once; whether to ask again
/// is the caller's decision.
#[derive(Clone)]
pub struct RequestChannel {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<dyn ErasedDial>,
    master: MasterAddr,
    end: EndConfig,
    dial_timeout: Duration,
    idle: Mutex<VecDeque<(Conn, Instant)>>,
    places: Semaphore,
    complaint: Mutex<Complaint>,
}

impl RequestChannel {
    /// A channel that has not connected yet; it does with the first request.
    pub fn new(dial: impl Dial, master: MasterAddr, wire: Wire) -> Self {
        Self::erased(Arc::new(dial), master, wire)
    }

    pub(crate) fn erased(dial: Arc<dyn ErasedDial>, master: MasterAddr, wire: Wire) -> Self {
        Self {
            inner: Arc::new(Inner {
                dial,
                master,
                end: EndConfig::new(wire, Role::Requester),
                dial_timeout: Duration::from_secs(10),
                idle: Mutex::default(),
                places: Semaphore::new(32),
                complaint: Mutex::default(),
            }),
        }
    }

    /// Sends one request and waits for its reply.
    ///
    /// While the master cannot be reached, connecting is tried again after
    /// growing, randomly shortened waits, until `timeout` has passed. Dropping
    /// the future gives the request up.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], or the connection ended after the request was
    /// written: the master may or may not have acted on it.
    pub async fn request(&self, body: Bytes, timeout: Duration) -> Result<Bytes> {
        let asked = tokio::time::timeout(timeout, self.ask(&body)).await;
        asked.unwrap_or(Err(Error::TimedOut))
    }

    /// Closes connections that have been idle for too long.
    ///
    /// They are closed at the next request at the latest; a long-lived caller
    /// calls this now and then so as not to hold dead ones.
    pub fn close_idle(&self) {
        let now = now();
        lock(&self.inner.idle).retain(|(_, since)| now < *since + MAX_IDLE);
    }

    /// When [`close_idle`](Self::close_idle) has something to do.
    pub(crate) fn idle_until(&self) -> Option<Instant> {
        let idle = lock(&self.inner.idle);
        idle.iter().map(|(_, since)| *since + MAX_IDLE).min()
    }

    async fn ask(&self, body: &Bytes) -> Result<Bytes> {
        let place = self.inner.places.acquire().await;
        let _place = place.map_err(|_| Error::Closed)?;
        let mut conn = match self.idle().await {
            Some(conn) => conn,
            None => self.connect().await?,
        };
        conn.request(body);
        loop {
            match conn.next().await {
                Incoming::Reply(reply) => {
                    let mut idle = lock(&self.inner.idle);
                    idle.push_back((conn, now()));
                    if idle.len() > KEEP {
                        idle.pop_front();
                    }
                    return Ok(reply);
                }
                Incoming::Closed(error) => return Err(error),
                _ => {}
            }
        }
    }

    /// A connection that was used lately and still stands.
    async fn idle(&self) -> Option<Conn> {
        loop {
            self.close_idle();
            let (mut conn, _) = lock(&self.inner.idle).pop_back()?;
            // An end that has arrived already shows here. Whatever else arrives
            // unasked is not a reply to anything.
            let quiet = poll_fn(|cx| Poll::Ready(conn.poll_next(cx).is_pending())).await;
            if quiet {
                return Some(conn);
            }
        }
    }

    async fn connect(&self) -> Result<Conn> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        loop {
            match self.connect_once().await {
                Ok(conn) => {
                    lock(&self.inner.complaint).forget();
                    return Ok(conn);
                }
                Err(error) => {
                    let said = lock(&self.inner.complaint).about(&error, now());
                    if let Some(cause) = said {
                        tracing::warn!(master = %self.inner.master, "the master cannot be reached: {cause}");
                    }
                }
            }
            tokio::time::sleep(backoff.next_wait(&mut random::u64)).await;
        }
    }

    async fn connect_once(&self) -> Result<Conn> {
        let dialing = self.inner.dial.dial(&self.inner.master, Channel::Request);
        let stream = tokio::time::timeout(self.inner.dial_timeout, dialing)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(Error::io("connecting"))?;
        let mut conn = Conn::new(stream, self.inner.end.clone(), None);
        loop {
            match conn.next().await {
                Incoming::Ready => return Ok(conn),
                Incoming::Closed(error) => return Err(error),
                _ => {}
            }
        }
    }
}

impl std::fmt::Debug for RequestChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestChannel")
            .field("master", &self.inner.master)
            .field("wire", &self.inner.end.wire)
            .finish_non_exhaustive()
    }
}
