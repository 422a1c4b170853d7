//! Talking to the controller: log-in, renewal, services, sessions.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::controller::{
    self, Access, LogIn, Oidc, Pkce, Request, Response, Service, Session, Step, Use, Version,
};
use super::error::ZitiError;
use super::http;
use super::identity::Identity;
use super::pipe::locked;
use super::url::Origin;
use crate::random;

/// How many redirects a log-in by OIDC may take.
const MAX_REDIRECTS: usize = 5;
/// How many pages of a list are read.
const MAX_PAGES: usize = 100;

/// Services and sessions that were asked for already, and our name.
#[derive(Debug, Default)]
pub(crate) struct Known {
    sessions: Mutex<HashMap<(String, Use), (Service, Session)>>,
    name: Mutex<Option<String>>,
}

impl Known {
    pub(crate) fn find(&self, service: &str, what: Use) -> Option<(Service, Session)> {
        locked(&self.sessions)
            .get(&(service.to_owned(), what))
            .cloned()
    }

    /// A router does not take this session any more.
    pub(crate) fn forget(&self, service: &str, what: Use, session: &Session) {
        let mut known = locked(&self.sessions);
        let key = (service.to_owned(), what);
        if known
            .get(&key)
            .is_some_and(|(_, kept)| kept.id == session.id && kept.token == session.token)
        {
            known.remove(&key);
        }
    }

    fn clear(&self) {
        locked(&self.sessions).clear();
    }

    /// Our name on the overlay, if the controller told it.
    pub(crate) fn name(&self) -> Option<String> {
        locked(&self.name).clone()
    }
}

/// The log-in at a controller.
pub(crate) struct Controller {
    identity: Identity,
    known: Arc<Known>,
    access: watch::Sender<Option<Access>>,
    /// Which of the identity's controllers answered last.
    at: usize,
    version: Option<Version>,
    oidc: Option<Oidc>,
    renew_at: Option<Instant>,
    last_change: Option<String>,
}

impl Controller {
    pub(crate) fn new(
        identity: Identity,
        known: Arc<Known>,
        access: watch::Sender<Option<Access>>,
    ) -> Self {
        Self {
            identity,
            known,
            access,
            at: 0,
            version: None,
            oidc: None,
            renew_at: None,
            last_change: None,
        }
    }

    /// When [`keep`](Self::keep) should be called to renew the log-in.
    pub(crate) fn renew_at(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Asks the controllers in turn until one answers.
    async fn ask(&mut self, request: &Request) -> Result<Response, ZitiError> {
        let count = self.identity.controllers.len();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for step in 0..count {
            let at = (self.at + step) % count.max(1);
            let Some(origin) = self.identity.controllers.get(at) else {
                continue;
            };
            match http::call(origin, &self.identity.tls, request).await {
                Ok(answer) => {
                    self.at = at;
                    return Ok(answer);
                }
                Err(error) => last = error,
            }
        }
        Err(ZitiError::Controller(last))
    }

    async fn ask_at(&self, origin: &Origin, request: &Request) -> Result<Response, ZitiError> {
        let answer = http::call(origin, &self.identity.tls, request).await;
        answer.map_err(ZitiError::Controller)
    }

    async fn version(&mut self) -> Result<Version, ZitiError> {
        if let Some(version) = &self.version {
            return Ok(version.clone());
        }
        let version = Version::read(&self.ask(&Version::ask()).await?)?;
        self.version = Some(version.clone());
        Ok(version)
    }

    /// Logs in, unless that was done.
    pub(crate) async fn log_in(&mut self) -> Result<(), ZitiError> {
        if self.access.borrow().is_some() {
            return Ok(());
        }
        self.log_in_again().await
    }

    async fn log_in_again(&mut self) -> Result<(), ZitiError> {
        // Another controller may have taken over since; it is asked what it can do.
        self.version = None;
        let version = self.version().await?;
        let log_in = if version.oidc {
            self.by_oidc().await
        } else {
            self.by_certificate(&version.prefix).await
        };
        let log_in = log_in.map_err(ZitiError::of_log_in)?;
        self.known.clear();
        self.logged_in(log_in);
        Ok(())
    }

    async fn by_certificate(&mut self, prefix: &str) -> Result<LogIn, ZitiError> {
        let request = controller::authenticate(prefix);
        controller::authenticated(&self.ask(&request).await?)
    }

    fn logged_in(&mut self, log_in: LogIn) {
        if log_in.name.is_some() {
            *locked(&self.known.name) = log_in.name;
        }
        self.renew_at = Some(Instant::now() + log_in.renew);
        self.access.send_replace(Some(log_in.access));
    }

    async fn by_oidc(&mut self) -> Result<LogIn, ZitiError> {
        let oidc = Oidc::read(&self.ask(&Oidc::discover()).await?)?;
        let mut random = Zeroizing::new([0; 64]);
        let seeds = [random::seed(), random::seed()];
        for (to, from) in random.iter_mut().zip(seeds.as_flattened()) {
            *to = *from;
        }
        let pkce = Pkce::from_random(&random);
        let begun = self.ask_at(&oidc.authorize.0, &oidc.begin(&pkce)).await?;
        let mut request = oidc.log_in(&begun)?;
        for _ in 0..MAX_REDIRECTS {
            let answer = self.ask_at(&oidc.authorize.0, &request).await?;
            match oidc.next(&answer, &pkce)? {
                Step::Follow(next) => request = next,
                Step::Code(code) => {
                    let trade = oidc.trade(&code, &pkce);
                    let log_in = Oidc::tokens(&self.ask_at(&oidc.token.0, &trade).await?)?;
                    self.oidc = Some(oidc);
                    return Ok(log_in);
                }
            }
        }
        Err(ZitiError::answer("OIDC log-in", "too many redirects"))
    }

    /// Renews the log-in, or logs in again when that is not known any more.
    pub(crate) async fn keep(&mut self) -> Result<(), ZitiError> {
        let Some(access) = self.access.borrow().clone() else {
            return Ok(());
        };
        let renewed = match &access {
            Access::Legacy(_) => self.keep_session(&access).await,
            Access::Bearer { refresh, .. } => self.refresh(refresh.as_ref()).await,
        };
        match renewed {
            Err(ZitiError::Refused { .. }) => self.log_in_again().await,
            other => other,
        }
    }

    async fn keep_session(&mut self, access: &Access) -> Result<(), ZitiError> {
        let prefix = self.version().await?.prefix;
        let request = controller::current_session(&prefix).by(access);
        let renew = controller::still_logged_in(&self.ask(&request).await?)?;
        self.renew_at = Some(Instant::now() + renew);
        Ok(())
    }

    async fn refresh(&mut self, token: Option<&Zeroizing<String>>) -> Result<(), ZitiError> {
        let (Some(token), Some(oidc)) = (token, self.oidc.clone()) else {
            return self.log_in_again().await;
        };
        let answer = self.ask_at(&oidc.token.0, &oidc.renew(token)).await?;
        let mut log_in = Oidc::tokens(&answer)?;
        // A refresh token may serve more than once.
        if let Access::Bearer { refresh, .. } = &mut log_in.access {
            refresh.get_or_insert_with(|| token.clone());
        }
        self.logged_in(log_in);
        Ok(())
    }

    /// Asks on behalf of our log-in; logs in again once if it is not known any more.
    async fn authorized<T>(
        &mut self,
        request: impl Fn(&str) -> Result<Request, ZitiError>,
        read: impl Fn(&Response) -> Result<T, ZitiError>,
    ) -> Result<T, ZitiError> {
        self.log_in().await?;
        for again in [true, false] {
            let prefix = self.version().await?.prefix;
            let access = self.access.borrow().clone();
            let mut request = request(&prefix)?;
            if let Some(access) = &access {
                request = request.by(access);
            }
            match read(&self.ask(&request).await?) {
                Err(error) if again && error.is_logged_out() => self.log_in_again().await?,
                other => return other,
            }
        }
        Err(ZitiError::Closed)
    }

    /// Notices that services changed: what is known of them is asked for again.
    pub(crate) async fn poll(&mut self) -> Result<(), ZitiError> {
        if self.access.borrow().is_none() {
            return Ok(());
        }
        let last = self
            .authorized(
                |prefix| Ok(controller::service_updates(prefix)),
                controller::last_change,
            )
            .await?;
        let before = self.last_change.replace(last);
        if before.is_some() && before != self.last_change {
            self.known.clear();
        }
        Ok(())
    }

    async fn service(&mut self, name: &str) -> Result<Service, ZitiError> {
        let mut offset: usize = 0;
        for _ in 0..MAX_PAGES {
            let page = self
                .authorized(
                    |prefix| controller::services(prefix, name, offset),
                    controller::services_in,
                )
                .await?;
            if let Some(found) = page
                .entries
                .into_iter()
                .find(|service| service.name == name)
            {
                return Ok(found);
            }
            offset = offset.saturating_add(page.received);
            if page.received == 0 || offset >= page.total {
                break;
            }
        }
        Err(ZitiError::ServiceUnknown(name.to_owned()))
    }

    /// The service, and a session for it.
    pub(crate) async fn session(
        &mut self,
        name: &str,
        what: Use,
    ) -> Result<(Service, Session), ZitiError> {
        // Another may have asked while we waited for our turn.
        if let Some(known) = self.known.find(name, what) {
            return Ok(known);
        }
        let service = self.service(name).await?;
        let (may, act) = match what {
            Use::Dial => (service.dial, "dial"),
            Use::Bind => (service.bind, "host"),
        };
        if !may {
            return Err(ZitiError::NotPermitted {
                act,
                service: name.to_owned(),
            });
        }
        let session = self
            .authorized(
                |prefix| Ok(controller::session(prefix, &service.id, what)),
                controller::session_in,
            )
            .await?;
        let known = (service, session);
        let key = (name.to_owned(), what);
        locked(&self.known.sessions).insert(key, known.clone());
        Ok(known)
    }

    /// The routers of a session, as they are now.
    pub(crate) async fn routers(&mut self, session: &Session) -> Result<Vec<Origin>, ZitiError> {
        self.authorized(
            |prefix| Ok(controller::session_again(prefix, &session.id)),
            controller::routers_of,
        )
        .await
    }
}

/// How long after a failure the controller is asked again.
pub(crate) const RETRY: Duration = Duration::from_secs(10);
/// How often it is asked whether services changed.
pub(crate) const POLL: Duration = Duration::from_secs(60);
