//! Hosting services of an overlay.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::controller::{Service, Session, Use};
use super::driver::{Overlay, Shared};
use super::error::ZitiError;
use super::pipe::Stream;
use super::router::{Backoff, BindEvent, Command, Refusal, Router};
use crate::random;
use crate::stream::{AcceptError, Listen, Peer};

/// How many callers may wait to be accepted.
const BACKLOG: usize = 128;
/// On how many routers a service is hosted.
const ROUTERS: usize = 3;
/// Older routers never say that callers can reach us; after this we take it for granted.
const CONFIRMED: Duration = Duration::from_secs(5);
/// How long a router may take to answer a bind.
const ANSWER: Duration = Duration::from_secs(10);
/// How often new routers are asked for.
const REFRESH: Duration = Duration::from_secs(60);
/// Waits before a service is hosted again.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));

/// Accepts the callers of one service. Made by [`Overlay::host`]; dropped, the service is hosted no more.
///
/// The [principal](Peer::principal) is what the overlay says of the caller's identity, if its routers do
/// (2.0 and later): never what the caller says of itself.
#[derive(Debug)]
pub struct Listener {
    streams: mpsc::Receiver<(Stream, Peer)>,
}

impl Listen for Listener {
    type Stream = Stream;

    async fn accept(&mut self) -> Result<(Stream, Peer), AcceptError> {
        let (stream, peer) = self.streams.recv().await.ok_or(AcceptError::Closed)?;
        stream.accepted();
        Ok((stream, peer))
    }
}

/// Whether callers can reach us.
#[derive(Clone, Debug)]
enum Hosting {
    NotYet,
    Yes,
    /// And never will.
    Failed(Arc<ZitiError>),
}

impl Overlay {
    /// Hosts a service, on up to three routers at once. Done when the first of them confirmed it.
    ///
    /// It goes on being hosted while the [`Listener`] is held: what breaks is built up again. The wait has no
    /// end while routers cannot be reached; the caller bounds it.
    ///
    /// # Errors
    ///
    /// The service is unknown or forbidden, or the overlay refuses for good.
    pub async fn host(&self, service: impl Into<String>) -> Result<Listener, ZitiError> {
        let service = service.into();
        let (sender, streams) = mpsc::channel(BACKLOG);
        let (state, mut seen) = watch::channel(Hosting::NotYet);
        // What is wrong for good is better said at once.
        self.shared.session(&service, Use::Bind).await?;
        let host = Arc::new(Host {
            shared: Arc::clone(&self.shared),
            service: service.clone(),
            listener: random::seed(),
            incoming: sender,
            state,
            permits: Semaphore::new(ROUTERS),
        });
        self.shared.spawn(host.run())?;
        loop {
            match &*seen.borrow_and_update() {
                Hosting::NotYet => {}
                Hosting::Yes => return Ok(Listener { streams }),
                Hosting::Failed(error) => {
                    tracing::warn!(service, "not hosted: {error}");
                    return Err(ZitiError::Router(error.to_string()));
                }
            }
            seen.changed().await.map_err(|_| ZitiError::Closed)?;
        }
    }
}

struct Host {
    shared: Arc<Shared>,
    service: String,
    /// The same on all routers: they are one host.
    listener: [u8; 32],
    incoming: mpsc::Sender<(Stream, Peer)>,
    state: watch::Sender<Hosting>,
    permits: Semaphore,
}

/// Why one session is not used any more.
enum Over {
    /// A new one has to be got.
    Session,
    /// There is no use in it.
    ForGood(String),
}

impl Host {
    async fn run(self: Arc<Self>) {
        let incoming = self.incoming.clone();
        // Whatever it waits for, it ends with the listener.
        tokio::select! {
            () = incoming.closed() => {}
            error = self.host() => {
                let error = Arc::new(error);
                tracing::warn!(service = self.service, "hosted no more: {error}");
                self.state.send_replace(Hosting::Failed(error));
            }
        }
    }

    /// Hosts until there is no use in it.
    async fn host(self: &Arc<Self>) -> ZitiError {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match self.shared.session(&self.service, Use::Bind).await {
                Ok((service, session)) => match self.by(&service, &session).await {
                    Over::Session => {
                        self.shared.forget(&self.service, Use::Bind, &session);
                    }
                    Over::ForGood(why) => return ZitiError::Router(why),
                },
                Err(
                    error @ (ZitiError::ServiceUnknown(_)
                    | ZitiError::NotPermitted { .. }
                    | ZitiError::Unsupported(_)
                    | ZitiError::Closed),
                ) => return error,
                Err(error) => tracing::warn!(service = self.service, "not hosted yet: {error}"),
            }
            backoff.wait().await;
        }
    }

    /// Hosts by one session, on its routers.
    async fn by(self: &Arc<Self>, service: &Service, session: &Session) -> Over {
        let mut known = HashSet::new();
        let mut routers = session.routers.clone();
        let mut binds = JoinSet::new();
        loop {
            for origin in routers.drain(..) {
                if known.insert(origin.clone())
                    && let Ok(router) = self.shared.router(&origin)
                {
                    let host = Arc::clone(self);
                    binds.spawn(host.on(router, service.clone(), session.clone()));
                }
            }
            tokio::select! {
                Some(over) = binds.join_next(), if !binds.is_empty() => {
                    return over.unwrap_or(Over::Session);
                }
                () = sleep(REFRESH) => match self.shared.routers_of(session).await {
                    Ok(now) => routers = now,
                    // The session is gone.
                    Err(ZitiError::Refused { status: 404, .. }) => return Over::Session,
                    Err(error) => tracing::debug!(service = self.service, "routers are not refreshed: {error}"),
                },
            }
        }
    }

    /// Hosts on one router, again and again.
    async fn on(self: Arc<Self>, router: Router, service: Service, session: Session) -> Over {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let mut status = router.status.clone();
            let up = status.wait_for(|status| matches!(status, super::router::Status::Up { .. }));
            if up.await.is_err() {
                return Over::ForGood("the overlay's driver has ended".to_owned());
            }
            // Three are enough; the others stand by.
            let Ok(permit) = self.permits.acquire().await else {
                return Over::Session;
            };
            let begun = tokio::time::Instant::now();
            let ended = self.once(&router, &service, &session).await;
            drop(permit);
            match ended {
                Refusal::Said(reason) if reason.is_invalid_session() => return Over::Session,
                Refusal::Said(reason) if reason.is_final => return Over::ForGood(reason.text),
                Refusal::Said(reason) => {
                    tracing::info!(service = self.service, router = %router.origin, "hosted no more: {}", reason.text);
                }
                Refusal::Down(why) => {
                    tracing::info!(service = self.service, router = %router.origin, "hosted no more: {why}");
                }
            }
            if begun.elapsed() > BACKOFF.1 {
                backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
            }
            backoff.wait().await;
        }
    }

    /// One bind, from its beginning to its end.
    async fn once(&self, router: &Router, service: &Service, session: &Session) -> Refusal {
        let id = router.id();
        let (events, mut seen) = mpsc::channel(8);
        let command = Command::Bind {
            id,
            token: session.token.clone(),
            listener: self.listener,
            encrypted: service.encrypted,
            alive: self.shared.alive(),
            incoming: self.incoming.clone(),
            events,
        };
        let lost = || Refusal::Down("the channel to the router was lost".to_owned());
        if router.commands.send(command).await.is_err() {
            return lost();
        }
        let _unbind = Unbind { router, id };
        let mut accepted = false;
        loop {
            let wait = if accepted { CONFIRMED } else { ANSWER };
            match timeout(wait, seen.recv()).await {
                Ok(Some(BindEvent::Accepted)) => accepted = true,
                Ok(Some(BindEvent::Confirmed)) => break,
                Ok(Some(BindEvent::Ended(why))) => return why,
                Ok(None) => return lost(),
                // An older router.
                Err(_) if accepted => break,
                Err(_) => return Refusal::Down("no answer to the bind in time".to_owned()),
            }
        }
        tracing::info!(service = self.service, router = %router.origin, "hosted");
        self.state.send_replace(Hosting::Yes);
        loop {
            match seen.recv().await {
                Some(BindEvent::Ended(why)) => return why,
                Some(_) => {}
                None => return lost(),
            }
        }
    }
}

/// Ends a bind, however its task ends.
struct Unbind<'a> {
    router: &'a Router,
    id: u32,
}

impl Drop for Unbind<'_> {
    fn drop(&mut self) {
        // With so many commands waiting, the channel is as good as dead.
        drop(self.router.commands.try_send(Command::Unbind(self.id)));
    }
}
