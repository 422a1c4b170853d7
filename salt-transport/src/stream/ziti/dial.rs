//! Dialing services of an overlay.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::controller::{Service, Session, Use};
use super::driver::{Overlay, Shared};
use super::error::ZitiError;
use super::pipe::Stream;
use super::router::{Command, Refusal, Router};
use crate::address::{Channel, MasterAddr};
use crate::stream::Dial;

/// How many times it is tried: with a new session, or other routers.
const ATTEMPTS: usize = 3;
/// After this no other attempt begins.
const LATEST: Duration = Duration::from_secs(20);
/// How long a channel to some router is waited for.
const ROUTERS: Duration = Duration::from_secs(15);
/// How long one router may take to reach the host.
const CONNECT: Duration = Duration::from_secs(10);

/// Dials services of an overlay. Made by [`Overlay::dialer`] and [`Overlay::dialer_to`].
#[derive(Clone)]
pub struct Dialer {
    shared: Arc<Shared>,
    /// Publish and request; without, they are named after the host that is dialed.
    services: Option<(String, String)>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

impl Overlay {
    /// A dialer to which the host of a [`MasterAddr`] is a name of services: `salt` has its channels on the
    /// services `salt-publish` and `salt-request`. Ports do not matter.
    pub fn dialer(&self) -> Dialer {
        Dialer {
            shared: Arc::clone(&self.shared),
            services: None,
        }
    }

    /// A dialer to two services of these names, whatever the address says.
    ///
    /// Both may be the same, for a host that can tell the channels apart by what is said on them: overlays do
    /// not tell it.
    pub fn dialer_to(&self, publish: impl Into<String>, request: impl Into<String>) -> Dialer {
        Dialer {
            shared: Arc::clone(&self.shared),
            services: Some((publish.into(), request.into())),
        }
    }

    /// Opens one stream to whoever hosts a service.
    ///
    /// Safe to drop: a connection that comes too late is closed. Within a minute it succeeds or fails, for as
    /// long as the controller answers.
    ///
    /// # Errors
    ///
    /// The service is unknown or forbidden, nobody hosts it, or no router can be reached.
    pub async fn dial(&self, service: &str) -> Result<Stream, ZitiError> {
        dial(&self.shared, service).await
    }
}

impl Dial for Dialer {
    type Stream = Stream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Stream> {
        let service = match (&self.services, channel) {
            (Some((publish, _)), Channel::Publish) => publish.clone(),
            (Some((_, request)), Channel::Request) => request.clone(),
            (None, Channel::Publish) => format!("{}-publish", master.host),
            (None, Channel::Request) => format!("{}-request", master.host),
        };
        Ok(dial(&self.shared, &service).await?)
    }
}

async fn dial(shared: &Arc<Shared>, name: &str) -> Result<Stream, ZitiError> {
    let mut why = String::new();
    let begun = Instant::now();
    for _ in 0..ATTEMPTS {
        let (service, session) = shared.session(name, Use::Dial).await?;
        let routers: Result<Vec<_>, _> = session
            .routers
            .iter()
            .map(|origin| shared.router(origin))
            .collect();
        let up = match shared.up(&routers?, ROUTERS).await {
            Ok(up) => up,
            Err(error) => {
                // There may be others by now.
                shared.forget(name, Use::Dial, &session);
                return Err(error);
            }
        };
        let (mut invalid, mut lost) = (false, false);
        for router in up {
            match by(shared, &router, &service, &session).await {
                Ok(stream) => return Ok(stream),
                Err(Refusal::Said(reason)) if reason.is_invalid_session() => {
                    invalid = true;
                    why = reason.text;
                    break;
                }
                Err(Refusal::Said(reason)) if reason.is_unhosted() => {
                    return Err(ZitiError::Unhosted(name.to_owned()));
                }
                Err(Refusal::Said(reason)) => why = format!("{}: {}", router.origin, reason.text),
                Err(Refusal::Down(text)) => {
                    lost = true;
                    why = format!("{}: {text}", router.origin);
                }
            }
        }
        if invalid {
            shared.forget(name, Use::Dial, &session);
        } else if !lost || begun.elapsed() > LATEST {
            break;
        }
    }
    Err(ZitiError::Router(why))
}

async fn by(
    shared: &Arc<Shared>,
    router: &Router,
    service: &Service,
    session: &Session,
) -> Result<Stream, Refusal> {
    let (reply, answer) = oneshot::channel();
    let command = Command::Connect {
        id: router.id(),
        token: session.token.clone(),
        caller: shared.name(),
        encrypted: service.encrypted,
        alive: shared.alive(),
        reply,
    };
    let lost = || Refusal::Down("the channel to the router was lost".to_owned());
    let asking = async {
        router.commands.send(command).await.map_err(|_| lost())?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    };
    let asked = timeout(CONNECT, asking).await;
    asked.unwrap_or_else(|_| Err(Refusal::Down("no answer in time".to_owned())))
}
