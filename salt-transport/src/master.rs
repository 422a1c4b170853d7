//! [`Master`]: a [`MasterCore`] with its channels, and everything a minion asks of a master.

mod data;
mod duties;
mod operations;
mod returns;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salt_crypto::Identity;
use salt_proto::event::Event;
use salt_proto::master::{
    MasterConfig, MasterCore, MasterError, MasterEvent, OperatorKeys, RequestStep,
};
use salt_proto::target::Release;
use salt_proto::{KeyStore, Map, MinionId, Profile};
use tokio::task::JoinSet;

use crate::events::EventBus;
use crate::files::{FileServer, FileServerConfig};
use crate::jobs::JobCache;
use crate::pki::{RotationRequest, SessionDir};
use crate::publish::{Presence, Presences, PublishStats, Publisher};
use crate::serve::{ConnectionId, Quiet, Request, Requests, ServeLimits, Server, Turns, lock};
use crate::stream::{Listen, Peer};
use crate::wire::Wire;

use data::MinionData;
pub use duties::{PillarQuery, ReceiveLimits};
pub use operations::{Called, RunnerCall};
pub use returns::JobReturns;
use returns::Waiting;

/// Compiles the pillar of one minion. Called on a blocking thread.
pub type PillarSource = dyn Fn(&PillarQuery<'_>) -> Map + Send + Sync;
/// Tells whether the peer of a stream may be a minion. Called for every request, while the master's keys and sessions
/// are locked: it has to be quick, and must not call the [`Master`].
pub type PeerCheck = dyn Fn(&Peer, &MinionId) -> bool + Send + Sync;
/// Runs a runner or wheel function; `None` when there is none of that name. Called on a blocking thread.
pub type CallSource = dyn Fn(&RunnerCall<'_>) -> Option<Called> + Send + Sync;

/// What a master does besides keys and sessions. Plain data; the defaults serve nothing and keep nothing.
pub struct MasterSettings {
    /// The framing of both channels. Default ZeroMQ.
    pub wire: Wire,
    /// How much strangers and peers may use.
    pub limits: ServeLimits,
    /// Whether publishes go out under topics (`zmq_filtering`). Default no.
    pub topics: bool,
    /// The release whose events and target rules to follow. Default 3008.
    pub release: Release,
    /// The files minions may fetch. Default none.
    pub files: FileServer,
    /// The pillar of each minion. Default empty.
    pub pillar: Arc<PillarSource>,
    /// Runners (`salt/run/…`) for the clear command `runner`. Default none.
    pub runners: Arc<CallSource>,
    /// Wheel functions for the clear command `wheel`. Default none.
    pub wheels: Arc<CallSource>,
    /// Where jobs and returns are kept. Default nowhere.
    pub jobs: Option<JobCache>,
    /// How long they are kept (`keep_jobs_seconds`). Default a day.
    pub keep_jobs: Duration,
    /// The local event bus. Default none.
    pub events: Option<EventBus>,
    /// Where session keys, grains, pillar and mine are kept through a restart. Default in memory only.
    pub cache_dir: Option<PathBuf>,
    /// The master's id, by which `salt-key` asks it to rotate its publish key. Default `salt`.
    pub id: String,
    /// Named groups of minions. Default none.
    pub nodegroups: Map,
    /// What `_master_opts` tells about states: the master's configuration keys that concern them.
    pub options: Map,
    /// Where files from minions go (`file_recv`), and how large they may be. Default refused.
    pub receive: Option<ReceiveLimits>,
    /// How often keys, drop file and job cache are looked at. Default 5 s.
    pub upkeep: Duration,
    /// Which peer may be which minion. Default any: a principal is only logged.
    pub require_peer: Option<Arc<PeerCheck>>,
}

impl Default for MasterSettings {
    fn default() -> Self {
        Self {
            wire: Wire::default(),
            limits: ServeLimits::default(),
            topics: false,
            release: Release::default(),
            files: FileServer::new(FileServerConfig::default()),
            pillar: Arc::new(|_| Map::new()),
            runners: Arc::new(|_| None),
            wheels: Arc::new(|_| None),
            jobs: None,
            keep_jobs: Duration::from_secs(86_400),
            events: None,
            cache_dir: None,
            id: "salt".to_owned(),
            nodegroups: Map::new(),
            options: Map::new(),
            receive: None,
            upkeep: Duration::from_secs(5),
            require_peer: None,
        }
    }
}

/// Whether somebody vouches for the peer under the minion's very id: the usual rule for
/// [`MasterBuilder::require_peer`].
pub fn peer_is_minion(peer: &Peer, id: &MinionId) -> bool {
    peer.name() == Some(id.as_str())
}

impl std::fmt::Debug for MasterSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterSettings")
            .field("wire", &self.wire)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Puts a [`Master`] together.
pub struct MasterBuilder {
    core: MasterConfig,
    settings: MasterSettings,
    keys: Box<dyn KeyStore>,
}

impl MasterBuilder {
    /// What is insisted on. Default [`Profile::strict`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.core.profile = profile;
        self
    }

    /// The pillar of each minion, by the id it signed in with. Default empty.
    #[must_use]
    pub fn pillar(
        mut self,
        pillar: impl Fn(&PillarQuery<'_>) -> Map + Send + Sync + 'static,
    ) -> Self {
        self.settings.pillar = Arc::new(pillar);
        self
    }

    /// Which peer of a stream may be which minion, such as [`peer_is_minion`]. Asked at the sign-in and for every
    /// request after it, because each claims an id; who may not is refused like one with a wrong key. Default any.
    ///
    /// A forwarder hides who is behind it: the peer is the forwarder then.
    #[must_use]
    pub fn require_peer(
        mut self,
        rule: impl Fn(&Peer, &MinionId) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.require_peer = Some(Arc::new(rule));
        self
    }

    /// Who may publish over the request port. Default nobody: only this process, by [`Master::publish`].
    #[must_use]
    pub fn operators(mut self, operators: OperatorKeys) -> Self {
        self.core.operators = operators;
        self
    }

    /// The framing of both channels (`transport`). Default ZeroMQ.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.settings.wire = wire;
        self
    }

    /// Everything about keys and sessions.
    #[must_use]
    pub fn core(mut self, change: impl FnOnce(&mut MasterConfig)) -> Self {
        change(&mut self.core);
        self
    }

    /// Everything else.
    #[must_use]
    pub fn settings(mut self, settings: MasterSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Makes the master, and the future that serves the two channels until it is dropped or
    /// [stopped](Master::stop).
    ///
    /// # Errors
    ///
    /// When the configuration contradicts the profile.
    pub fn serve(
        self,
        publish: impl Listen,
        request: impl Listen,
    ) -> Result<(Master, impl Future<Output = ()> + Send), MasterError> {
        let Self {
            core,
            settings,
            keys,
        } = self;
        let mut core = MasterCore::new(core, keys, Box::new(rng()), unix_time())?;
        let sessions = settings.cache_dir.as_deref().map(SessionDir::new);
        let data = match &settings.cache_dir {
            Some(dir) => MinionData::on_disk(dir.clone()),
            None => MinionData::in_memory(),
        };
        let accepted = core.keys().accepted().unwrap_or_default();
        data.retain(|id| accepted.binary_search(id).is_ok());
        for id in accepted {
            let kept = sessions
                .as_ref()
                .and_then(|dir| dir.load(&id).ok().flatten());
            if let Some((key, made)) = kept {
                let made = made
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs());
                core.restore_session(&id, key, made, unix_time());
            }
        }
        let server = Server::new(settings.wire, settings.limits.clone());
        let (publisher, presences, publishing) = server.publications(publish);
        let (requests, requesting) = server.requests(request);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let master = Master {
            inner: Arc::new(Inner {
                core: Mutex::new(core),
                settings,
                data,
                sessions,
                publisher,
                order: tokio::sync::Mutex::new(()),
                waiting: Waiting::default(),
                turns: Turns::new(),
                present: Mutex::default(),
                refusals: Mutex::default(),
                draining: Mutex::default(),
                stop,
            }),
        };
        let serving = serve(
            master.clone(),
            requests,
            requesting,
            presences,
            publishing,
            stopped,
        );
        Ok((master, serving))
    }
}

impl std::fmt::Debug for MasterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A running master. Clones are the same one.
#[derive(Clone)]
pub struct Master {
    inner: Arc<Inner>,
}

struct Inner {
    core: Mutex<MasterCore>,
    settings: MasterSettings,
    data: MinionData,
    sessions: Option<SessionDir>,
    publisher: Publisher,
    /// Held from the numbering of a publish to its sending, because minions drop a lower number that comes later.
    order: tokio::sync::Mutex<()>,
    waiting: Waiting,
    turns: Turns,
    /// Who announced itself on which publish connection (`tcp` wire).
    present: Mutex<HashMap<ConnectionId, MinionId>>,
    refusals: Mutex<Quiet>,
    /// Held while what the core has to say is acted on, or a session that was made and ended could be kept after all.
    draining: Mutex<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Master {
    /// Starts putting a master together from its key and its key store.
    pub fn builder(identity: Identity, keys: impl KeyStore + 'static) -> MasterBuilder {
        MasterBuilder {
            core: MasterConfig::new(identity),
            settings: MasterSettings::default(),
            keys: Box::new(keys),
        }
    }

    /// Works with the key store: accept, reject, list. Ends the sessions of minions whose key is not accepted any more
    /// before it returns (K-05).
    pub fn keys<T>(&self, work: impl FnOnce(&mut dyn KeyStore) -> T) -> T {
        let mut core = self.core();
        let result = work(core.keys_mut());
        core.check_sessions(unix_time());
        drop(core);
        self.drain();
        result
    }

    /// Ends every right of a minion: its key, its session, what is cached for it.
    ///
    /// # Errors
    ///
    /// When the key store still holds the key. The session is gone all the same.
    pub fn revoke(&self, id: &MinionId) -> Result<(), salt_proto::KeyStoreError> {
        let revoked = self.core().revoke(id, unix_time());
        self.inner.data.forget(id);
        self.drain();
        revoked
    }

    /// Replaces the key of publishes; minions sign in again with the next one.
    pub fn rotate_publish_key(&self) {
        self.core().rotate_publish_key(unix_time());
        self.drain();
    }

    /// The minions that have a session, sorted.
    pub fn signed_in(&self) -> Vec<MinionId> {
        let mut ids: Vec<MinionId> = self.core().signed_in().cloned().collect();
        ids.sort();
        ids
    }

    /// The minions whose publish connection is known by an announcement (`tcp` wire), in order.
    pub fn present(&self) -> Vec<MinionId> {
        self.core().present().cloned().collect()
    }

    /// The counters of the publish channel.
    pub fn publish_stats(&self) -> PublishStats {
        self.inner.publisher.stats()
    }

    /// Fires an event on the local bus, if there is one.
    pub fn fire(&self, event: Event) {
        if let Some(bus) = &self.inner.settings.events {
            bus.fire(event);
        }
    }

    /// Stops accepting, lets what was asked be answered, and ends the serving future.
    pub fn stop(&self) {
        self.inner.stop.send_replace(true);
    }

    fn core(&self) -> MutexGuard<'_, MasterCore> {
        lock(&self.inner.core)
    }

    fn settings(&self) -> &MasterSettings {
        &self.inner.settings
    }

    /// Answers one request; every request ends in one reply (F2).
    async fn answer(&self, request: Request) {
        let may_be = |id: &MinionId| self.may_be(request.peer(), id);
        let mut step = self
            .core()
            .handle_request_of(request.body(), &may_be, unix_time());
        self.drain();
        loop {
            step = match step {
                RequestStep::Reply(body) => return request.reply(body),
                RequestStep::Work(work) => {
                    let _turn = self.inner.turns.turn(&request).await;
                    let Some(finished) = blocking(move || work.run(&mut rng())).await else {
                        // Dropping the request closes its connection.
                        return;
                    };
                    let step = self.core().handle_finished(finished, unix_time());
                    self.drain();
                    step
                }
                RequestStep::Load(load) => {
                    request.trust();
                    if let Some(body) = self.attend(*load).await {
                        request.reply(body);
                    }
                    return;
                }
                RequestStep::Operate(operation) => {
                    request.trust();
                    if let Some(body) = self.operate(*operation).await {
                        request.reply(body);
                    }
                    return;
                }
            };
        }
    }

    /// Acts on what the core has to say.
    fn drain(&self) {
        let _in_order = lock(&self.inner.draining);
        loop {
            let Some(event) = self.core().poll_event() else {
                return;
            };
            match event {
                MasterEvent::Bus(event) => self.fire(event),
                MasterEvent::SessionMade { id, key, .. } => {
                    if let Some(dir) = &self.inner.sessions
                        && let Err(error) = dir.store(&id, &key)
                    {
                        tracing::warn!(minion = %id, %error, "session key not kept");
                    }
                }
                MasterEvent::SessionEnded { id } => {
                    tracing::info!(minion = %id, "session ended");
                    self.inner.data.forget(&id);
                    if let Some(dir) = &self.inner.sessions
                        && let Err(error) = dir.remove(&id)
                    {
                        tracing::error!(minion = %id, %error, "session key not removed");
                    }
                }
                MasterEvent::PublishKeyRotated => tracing::info!("publish key rotated"),
                MasterEvent::KeyRevoked { id, .. } => {
                    tracing::info!(minion = %id, "key revoked by its minion");
                }
                MasterEvent::Refused { id, reason } => self.note_refusal(id.as_ref(), reason),
                MasterEvent::KeyStoreFailed(error) => tracing::error!(%error, "key store"),
                _ => {}
            }
        }
    }

    /// Whether the peer of a stream may be this minion.
    fn may_be(&self, peer: &Peer, id: &MinionId) -> bool {
        let rule = self.settings().require_peer.as_ref();
        let may = rule.is_none_or(|rule| rule(peer, id));
        if !may {
            let mut quiet = lock(&self.inner.refusals);
            if quiet.speak() {
                let hushed = quiet.held_back();
                tracing::warn!(minion = %id, %peer, hushed, "a peer claims to be a minion that it may not be");
            }
        }
        may
    }

    fn note_refusal(&self, id: Option<&MinionId>, reason: salt_proto::master::Refusal) {
        let mut quiet = lock(&self.inner.refusals);
        if !quiet.speak() {
            return;
        }
        let hushed = quiet.held_back();
        let id = id.map_or("?", MinionId::as_str);
        tracing::warn!(minion = id, %reason, hushed, "request refused");
    }

    /// A subscriber of the `tcp` wire says who it is, or goes.
    fn note_presence(&self, presence: Presence) {
        let mut present = lock(&self.inner.present);
        match presence {
            Presence::Announced(connection, envelope) => {
                if let Some(id) = self.core().handle_announcement(&envelope, unix_time()) {
                    present.insert(connection, id);
                }
            }
            Presence::Left(connection) => {
                if let Some(id) = present.remove(&connection) {
                    self.core().handle_departure(&id);
                }
            }
        }
        drop(present);
        self.drain();
    }

    /// What has to be looked at from time to time.
    fn look_after(&self, last_clean: &mut Option<Instant>) {
        let now = unix_time();
        if let Some(dir) = &self.settings().cache_dir {
            match RotationRequest::take(dir, &self.settings().id) {
                Ok(true) => self.core().rotate_publish_key(now),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "drop file"),
            }
        }
        self.core().check_sessions(now);
        self.drain();
        let due = last_clean.is_none_or(|at| at.elapsed() > Duration::from_secs(600));
        if let Some(jobs) = self.settings().jobs.as_ref().filter(|_| due) {
            *last_clean = Some(Instant::now());
            if let Err(error) = jobs.clean(self.settings().keep_jobs, SystemTime::now()) {
                tracing::warn!(%error, "job cache not cleaned");
            }
        }
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Master")
            .field("core", &*self.core())
            .finish_non_exhaustive()
    }
}

async fn serve(
    master: Master,
    mut requests: Requests,
    requesting: impl Future<Output = ()> + Send,
    mut presences: Presences,
    publishing: impl Future<Output = ()> + Send,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut requesting = std::pin::pin!(requesting);
    let mut publishing = std::pin::pin!(publishing);
    let mut upkeep = tokio::time::interval(master.settings().upkeep);
    upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last_clean = None;
    let mut answers = JoinSet::new();
    let mut stopping = false;
    let (mut requested, mut published) = (false, false);
    loop {
        tokio::select! {
            request = requests.next() => match request {
                Some(request) => {
                    let master = master.clone();
                    answers.spawn(async move { master.answer(request).await });
                }
                // Stopped, and everything asked before is taken.
                None => break,
            },
            Some(presence) = presences.next() => master.note_presence(presence),
            _ = upkeep.tick(), if !stopping => master.look_after(&mut last_clean),
            Some(_) = answers.join_next() => {}
            () = &mut requesting => {
                requested = true;
                break;
            }
            () = &mut publishing => {
                published = true;
                break;
            }
            _ = stopped.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                requests.stop();
            }
        }
    }
    let finish = async {
        tokio::join!(
            async { while answers.join_next().await.is_some() {} },
            async {
                // The connections stay open until what was answered is written.
                if !requested {
                    tokio::time::timeout(Duration::from_millis(500), &mut requesting)
                        .await
                        .ok();
                }
            }
        );
    };
    tokio::select! {
        _ = tokio::time::timeout(Duration::from_secs(10), finish) => {}
        () = &mut publishing, if !published => {}
    }
}

/// Runs something that computes or waits for the disk on a thread of its own; `None` if it panicked or the runtime ends.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// A generator of its own, seeded by the operating system.
fn rng() -> StdRng {
    StdRng::from_seed(crate::random::seed())
}

fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// Copies the bytes of text keys for the publish channel.
fn topic(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
