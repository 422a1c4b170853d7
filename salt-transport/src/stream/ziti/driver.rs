//! What holds an overlay together: the log-in, the routers, and the tasks for them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::controller::{Access, Service, Session, Use};
use super::error::ZitiError;
use super::identity::Identity;
use super::login::{Controller, Known, POLL, RETRY};
use super::pipe::locked;
use super::router::{Alive, Router, Status, router};
use super::url::Origin;

/// When the end of a certificate's time is warned of.
const WARN: i64 = 30 * 24 * 3600;

/// A task that the driver runs.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An overlay that this process is a part of. Clones are the same.
///
/// It lives in the driver that [`connect`] gives; when the last clone, dialer, listener and stream is dropped,
/// the driver ends.
#[derive(Clone)]
pub struct Overlay {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").finish_non_exhaustive()
    }
}

/// What all parts of an overlay share.
pub(crate) struct Shared {
    identity: Identity,
    known: Arc<Known>,
    controller: tokio::sync::Mutex<Controller>,
    access: watch::Receiver<Option<Access>>,
    routers: Mutex<HashMap<Origin, Router>>,
    tasks: mpsc::UnboundedSender<Task>,
    changed: Arc<Notify>,
    suspect: Arc<Notify>,
}

/// Joins an overlay: what dials and hosts, and the driver that has to be run for it, by `tokio::spawn`.
///
/// Nothing is dialed before something is wanted: neither controller nor routers. Nothing ever listens.
///
/// ```no_run
/// use salt_transport::{Listen, ziti};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = ziti::Identity::read("/etc/salt/ziti.json")?;
/// let (overlay, driver) = ziti::connect(identity);
/// tokio::spawn(driver);
///
/// let mut requests = overlay.host("salt-request").await?;
/// let (stream, peer) = requests.accept().await?;
/// # let _ = (stream, peer); Ok(()) }
/// ```
pub fn connect(identity: Identity) -> (Overlay, impl Future<Output = ()> + Send) {
    let known = Arc::new(Known::default());
    let (access, seen) = watch::channel(None);
    let (tasks, received) = mpsc::unbounded_channel();
    let suspect = Arc::new(Notify::new());
    let controller = Controller::new(identity.clone(), Arc::clone(&known), access);
    let shared = Arc::new(Shared {
        identity,
        known,
        controller: tokio::sync::Mutex::new(controller),
        access: seen,
        routers: Mutex::new(HashMap::new()),
        tasks,
        changed: Arc::new(Notify::new()),
        suspect: Arc::clone(&suspect),
    });
    let renewing = renew(Arc::downgrade(&shared), shared.access.clone(), suspect);
    (Overlay { shared }, drive(received, renewing))
}

async fn drive(
    mut tasks: mpsc::UnboundedReceiver<Task>,
    renewing: impl Future<Output = ()> + Send + 'static,
) {
    // Aborted when they are dropped.
    let mut running = JoinSet::new();
    running.spawn(renewing);
    loop {
        tokio::select! {
            task = tasks.recv() => match task {
                Some(task) => drop(running.spawn(task)),
                None => return,
            },
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

/// Keeps the log-in, for as long as somebody holds the overlay.
async fn renew(
    shared: Weak<Shared>,
    mut access: watch::Receiver<Option<Access>>,
    suspect: Arc<Notify>,
) {
    let mut poll = Instant::now() + POLL;
    let mut not_before = Instant::now();
    loop {
        access.mark_unchanged();
        let renew_at = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let controller = shared.controller.lock().await;
            controller.renew_at()
        };
        let next = renew_at
            .map_or(poll, |renew| renew.min(poll))
            .max(not_before);
        let suspected = tokio::select! {
            () = sleep_until(next) => false,
            () = suspect.notified() => true,
            // Logged in: it is known now when that has to be renewed.
            changed = access.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let now = Instant::now();
        let mut controller = shared.controller.lock().await;
        let mut done = Ok(());
        if suspected || renew_at.is_some_and(|renew| renew <= now) {
            done = controller.keep().await;
        }
        if done.is_ok() && poll <= now {
            poll = Instant::now() + POLL;
            done = controller.poll().await;
        }
        if let Err(error) = done {
            tracing::warn!("the log-in at the overlay's controller is not renewed: {error}");
            not_before = Instant::now() + RETRY;
        }
    }
}

impl Overlay {
    /// Logs in now, rather than when something is first wanted: a wrong identity is found out.
    ///
    /// # Errors
    ///
    /// No controller can be reached, or it refuses us.
    pub async fn log_in(&self) -> Result<(), ZitiError> {
        self.shared.log_in().await
    }
}

impl Shared {
    async fn log_in(&self) -> Result<(), ZitiError> {
        self.controller.lock().await.log_in().await?;
        if let Some(expires) = self.identity.expires {
            let now = i64::try_from(crate::clock::unix_time()).unwrap_or(i64::MAX);
            if expires.saturating_sub(now) < WARN {
                tracing::warn!(
                    "the certificate of the overlay's identity ends in less than 30 days"
                );
            }
        }
        Ok(())
    }

    /// Keeps the driver alive.
    pub(crate) fn alive(self: &Arc<Self>) -> Alive {
        Arc::new(Arc::clone(self))
    }

    /// Has the driver run a task.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ZitiError> {
        self.tasks
            .send(Box::pin(task))
            .map_err(|_| ZitiError::Closed)
    }

    /// The service and a session for it, from what is known or from the controller.
    pub(crate) async fn session(
        &self,
        service: &str,
        what: Use,
    ) -> Result<(Service, Session), ZitiError> {
        if let Some(known) = self.known.find(service, what) {
            return Ok(known);
        }
        if self.access.borrow().is_none() {
            self.log_in().await?;
        }
        self.controller.lock().await.session(service, what).await
    }

    /// The routers of a session, asked for again.
    pub(crate) async fn routers_of(&self, session: &Session) -> Result<Vec<Origin>, ZitiError> {
        self.controller.lock().await.routers(session).await
    }

    pub(crate) fn forget(&self, service: &str, what: Use, session: &Session) {
        self.known.forget(service, what, session);
    }

    /// Our name, for others' logs.
    pub(crate) fn name(&self) -> String {
        let name = self.known.name().or_else(|| self.identity.name.clone());
        name.unwrap_or_default()
    }

    /// The router there; it is dialed from now on.
    pub(crate) fn router(&self, origin: &Origin) -> Result<Router, ZitiError> {
        let mut routers = locked(&self.routers);
        if let Some(router) = routers.get(origin) {
            return Ok(router.clone());
        }
        let (router, task) = router(
            origin.clone(),
            Arc::clone(&self.identity.router_tls),
            self.access.clone(),
            Arc::clone(&self.changed),
            Arc::clone(&self.suspect),
        );
        self.spawn(task.run())?;
        routers.insert(origin.clone(), router.clone());
        Ok(router)
    }

    /// Waits until one of the routers has a channel, and gives those that have, the nearest first.
    pub(crate) async fn up(
        &self,
        routers: &[Router],
        within: std::time::Duration,
    ) -> Result<Vec<Router>, ZitiError> {
        let attempts = |router: &Router| match &*router.status.borrow() {
            Status::Down { attempts, .. } => Some(*attempts),
            Status::Up { .. } => None,
        };
        let before: Vec<_> = routers.iter().map(attempts).collect();
        for router in routers {
            if attempts(router).is_some() {
                router.hurry();
            }
        }
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                let mut found: Vec<_> = routers
                    .iter()
                    .filter_map(|router| match &*router.status.borrow() {
                        Status::Up { latency } => {
                            Some((latency.unwrap_or_default(), router.clone()))
                        }
                        Status::Down { .. } => None,
                    })
                    .collect();
                if !found.is_empty() {
                    found.sort_by_key(|(latency, _)| *latency);
                    return Ok(found.into_iter().map(|(_, router)| router).collect());
                }
                // All of them were tried since, in vain.
                let tried = routers
                    .iter()
                    .zip(&before)
                    .all(|(router, before)| attempts(router) > *before);
                if tried {
                    return Err(ZitiError::Router(why_down(routers)));
                }
                changed.await;
            }
        };
        let waited = timeout(within, waiting).await;
        waited.unwrap_or_else(|_| Err(ZitiError::Router(why_down(routers))))
    }
}

fn why_down(routers: &[Router]) -> String {
    let down: Vec<String> = routers
        .iter()
        .filter_map(|router| match &*router.status.borrow() {
            Status::Down { why, .. } if why.contains(&router.origin.to_string()) => {
                Some(why.clone())
            }
            Status::Down { why, .. } => Some(format!("{}: {why}", router.origin)),
            Status::Up { .. } => None,
        })
        .collect();
    if down.is_empty() {
        "there is none for this service".to_owned()
    } else {
        down.join("; ")
    }
}
