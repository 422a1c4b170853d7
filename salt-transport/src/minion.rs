//! A minion: signs in, runs what is published to it, sends back what came of it.

mod handle;
mod memory;
mod returns;

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salt_crypto::{Fingerprint, Identity, PublicKey};
use salt_proto::envelope::{Enc, Envelope};
use salt_proto::minion::MinionError;
use salt_proto::zmtp::Heartbeat;
use salt_proto::{
    ExchangeId, Job, Limits, Map, MasterTrust, MinionConfig, MinionEvent, MinionId, MinionLink,
    Profile, RequestId, Return, Value,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinSet};

use crate::address::MasterAddr;
use crate::clock;
use crate::error::{Error, Result};
use crate::handler::{ErasedHandler, Handler, describe};
use crate::pki::PkiDir;
use crate::random;
use crate::request::RequestChannel;
use crate::stream::{Dial, ErasedDial};
use crate::subscribe::{Subscription, SubscriptionEvent};
use crate::wire::{Wire, now};

use handle::Command;
use memory::Memory;
use returns::Returns;

pub use handle::{MinionHandle, MinionStatus};

/// What a minion does besides signing in. Plain data.
#[derive(Clone, Debug)]
pub struct MinionSettings {
    /// The framing of both channels (`transport`). Default ZeroMQ.
    pub wire: Wire,
    /// Whether to receive publications. Default yes; Salt's `salt-call` does not.
    pub subscribe: bool,
    /// Whether to fetch the pillar when signed in first. Default yes. Jobs
    /// targeted by pillar reach this minion only when it is known.
    pub pillar: bool,
    /// The environment to ask the pillar for (`saltenv`, `pillarenv`). Default none.
    pub saltenv: Option<String>,
    /// Whether to tell when the minion has started, and when it is back after
    /// a reconnect (`salt/minion/<id>/start`). Default yes.
    pub start_event: bool,
    /// Whether to send the older event `minion_start` too
    /// (`enable_legacy_startup_events`). Default no.
    pub legacy_start_event: bool,
    /// How many jobs run at a time (`process_count_max`); more wait in order.
    /// Default 64.
    pub max_jobs: usize,
    /// How many jobs may wait. Beyond that one is answered with an error.
    /// Default 1,000.
    pub max_waiting_jobs: usize,
    /// How long running jobs may take to end after a stop. Default 10 s.
    pub grace: Duration,
    /// How often the master is asked for a sign of life on the publish channel
    /// (ZeroMQ), so that a connection that silently died is noticed. Default
    /// every 60 s, waiting 30 s.
    pub heartbeat: Option<Heartbeat>,
}

impl Default for MinionSettings {
    fn default() -> Self {
        Self {
            wire: Wire::default(),
            subscribe: true,
            pillar: true,
            saltenv: None,
            start_event: true,
            legacy_start_event: false,
            max_jobs: 64,
            max_waiting_jobs: 1_000,
            grace: Duration::from_secs(10),
            heartbeat: Some(Heartbeat {
                interval: Duration::from_secs(60),
                timeout: Duration::from_secs(30),
            }),
        }
    }
}

/// Puts a [`Minion`] together. Made by [`Minion::builder`].
pub struct MinionBuilder {
    config: MinionConfig,
    fingerprint: Option<Fingerprint>,
    settings: MinionSettings,
    handler: Arc<dyn ErasedHandler>,
    memory: Memory,
    commands: mpsc::Receiver<Command>,
    handle: MinionHandle,
}

impl MinionBuilder {
    /// What runs the jobs. By default every function is unknown.
    #[must_use]
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Arc::new(handler);
        self
    }

    /// The master's key: only a master that holds it is believed.
    #[must_use]
    pub fn master_key(mut self, key: PublicKey) -> Self {
        self.config.master = MasterTrust::Pinned(key);
        self
    }

    /// The fingerprint of the master's key (`master_finger`), as
    /// `salt-key -F master` prints it there. A stored key has to have it too.
    #[must_use]
    pub fn master_fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// What is insisted on. [`Profile::strict`] by default.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.config.profile = profile;
        self
    }

    /// What is known of this machine: targets are matched against it, and the
    /// pillar is compiled from it.
    #[must_use]
    pub fn grains(self, grains: Map) -> Self {
        self.handle.shared.set_grains(grains);
        self
    }

    /// Keeps what has to outlive the process: the master's key in `pki`
    /// (`minion_master.pub`, as Salt), and the jobs already run in `cache_dir`,
    /// so that none is run again after a restart (R-03).
    ///
    /// A master's key that is there already is pinned.
    ///
    /// # Errors
    ///
    /// A file is there and cannot be read.
    pub fn keep_in(mut self, pki: PkiDir, cache_dir: impl Into<PathBuf>) -> Result<Self> {
        self.memory = Memory::on_disk(pki, cache_dir.into());
        self.memory
            .load(&mut self.config)
            .map_err(Error::io("reading what the minion remembers"))?;
        Ok(self)
    }

    /// Changes anything else of the machine's configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut MinionConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The framing of both channels (`transport`). ZeroMQ by default.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.settings.wire = wire;
        self
    }

    /// Everything else.
    #[must_use]
    pub fn settings(mut self, settings: MinionSettings) -> Self {
        self.settings = settings;
        self
    }

    /// A handle to the minion to be, for handlers that ask the master.
    pub fn handle(&self) -> MinionHandle {
        self.handle.clone()
    }

    /// A minion that has not contacted its master yet; it does when it runs.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`]: nothing says which master is meant, what says
    /// so contradicts itself, or the configuration contradicts the profile.
    pub fn build(mut self, dial: impl Dial, master: MasterAddr) -> Result<Minion> {
        match (&self.config.master, self.fingerprint) {
            (MasterTrust::Pinned(key), Some(wanted)) if !key.has_fingerprint(&wanted) => {
                let stored = key.fingerprint(wanted.hash());
                return Err(Error::Configuration(Box::new(OtherMaster {
                    stored,
                    wanted,
                })));
            }
            (MasterTrust::Unknown, Some(wanted)) => {
                self.config.master = MasterTrust::Fingerprint(wanted);
            }
            _ => {}
        }
        let dial: Arc<dyn ErasedDial> = Arc::new(dial);
        let identity = Bytes::copy_from_slice(self.config.id.as_str().as_bytes());
        let limits = self.config.limits;
        let timeouts = Timeouts {
            sign_in: self.config.waits.answer,
            reply: self.config.retry.reply_timeout,
        };
        let mut link = MinionLink::new(self.config, Box::new(rng()))?;
        let shared = Arc::clone(&self.handle.shared);
        link.set_facts(Map::clone(&shared.grains()), Map::new());
        Ok(Minion {
            link,
            channel: RequestChannel::erased(Arc::clone(&dial), master.clone(), self.settings.wire),
            dial,
            master,
            identity,
            limits,
            timeouts,
            settings: self.settings,
            subscription: None,
            was_connected: false,
            sign_in_wanted: false,
            start_untold: false,
            start_told: false,
            handler: self.handler,
            exchanges: JoinSet::new(),
            waiting: HashMap::new(),
            returns: Returns::default(),
            jobs: JoinSet::new(),
            running: HashMap::new(),
            queue: VecDeque::new(),
            commands: self.commands,
            handle: self.handle,
            memory: self.memory,
            stopping: false,
        })
    }

    /// A minion that is signed in.
    ///
    /// Waits until the master has accepted the key, for as long as that takes;
    /// what happens meanwhile is logged, and shown by [`MinionHandle::status`].
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and [`Error::Rejected`] when the key is
    /// rejected for good.
    pub async fn connect(self, dial: impl Dial, master: MasterAddr) -> Result<Minion> {
        let mut minion = self.build(dial, master)?;
        while !minion.link.is_ready() {
            if let ControlFlow::Break(ended) = minion.step().await {
                ended?;
                return Err(Error::Closed);
            }
        }
        Ok(minion)
    }
}

impl std::fmt::Debug for MinionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MinionBuilder")
            .field("config", &self.config)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A minion and its relationship with one master.
///
/// ```no_run
/// use salt_proto::Job;
/// use salt_transport::pki::{KeyPairOptions, PkiDir};
/// use salt_transport::{Minion, Tcp};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = rand::make_rng::<rand::rngs::StdRng>();
/// let pki = PkiDir::open("/var/lib/acme/pki")?;
/// let identity = pki.identity("minion", &KeyPairOptions::default(), &mut rng)?;
///
/// let minion = Minion::builder("web-01".parse()?, identity)
///     .keep_in(pki, "/var/lib/acme/cache")?
///     .handler(|job: Job| async move {
///         match job.function.as_str() {
///             "test.ping" => job.ok(true),
///             _ => job.unknown_function(),
///         }
///     })
///     .connect(Tcp, "salt.example.com".parse()?)
///     .await?;
///
/// minion.run().await?;
/// # Ok(()) }
/// ```
pub struct Minion {
    link: MinionLink,
    channel: RequestChannel,
    dial: Arc<dyn ErasedDial>,
    master: MasterAddr,
    identity: Bytes,
    limits: Limits,
    timeouts: Timeouts,
    settings: MinionSettings,
    subscription: Option<Subscription>,
    was_connected: bool,
    /// The subscription came back, so the master may be another process.
    sign_in_wanted: bool,
    start_untold: bool,
    start_told: bool,
    handler: Arc<dyn ErasedHandler>,
    exchanges: JoinSet<(ExchangeId, Result<Bytes>)>,
    waiting: HashMap<RequestId, Waiting>,
    returns: Returns,
    jobs: JoinSet<Return>,
    running: HashMap<task::Id, (Job, AbortHandle)>,
    queue: VecDeque<Job>,
    commands: mpsc::Receiver<Command>,
    handle: MinionHandle,
    memory: Memory,
    stopping: bool,
}

#[derive(Clone, Copy)]
struct Timeouts {
    sign_in: Duration,
    reply: Duration,
}

/// Who waits for the outcome of a request.
enum Waiting {
    Caller(oneshot::Sender<Result<Value>>),
    Pillar(Vec<oneshot::Sender<Result<Arc<Map>>>>),
    Return(Map),
    /// Something whose loss is only logged.
    Nobody(&'static str),
}

/// What woke the minion up; lives for one step.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Woke {
    Exchanged(Option<Result<(ExchangeId, Result<Bytes>), task::JoinError>>),
    Published(SubscriptionEvent),
    Commanded(Option<Command>),
    Finished(Option<Result<(task::Id, Return), task::JoinError>>),
    Timeout,
}

impl Minion {
    /// Starts putting a minion together from its name and key.
    pub fn builder(id: MinionId, identity: Identity) -> MinionBuilder {
        let (sender, commands) = mpsc::channel(64);
        MinionBuilder {
            handle: MinionHandle::new(id.clone(), sender),
            config: MinionConfig::new(id, identity, MasterTrust::Unknown),
            fingerprint: None,
            settings: MinionSettings::default(),
            handler: Arc::new(|job: Job| async move { job.unknown_function() }),
            memory: Memory::none(),
            commands,
        }
    }

    /// The minion's name.
    pub fn id(&self) -> &MinionId {
        self.link.id()
    }

    /// A handle to ask the master through, to look at the minion, and to stop it.
    pub fn handle(&self) -> MinionHandle {
        self.handle.clone()
    }

    /// Runs the minion until it is stopped.
    ///
    /// Jobs and requests run as tasks of the current runtime that end with
    /// this future.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the master rejects the key and
    /// [`Waits::rejected`](salt_proto::minion::Waits::rejected) says not to ask again.
    pub async fn run(mut self) -> Result<()> {
        loop {
            if let ControlFlow::Break(ended) = self.step().await {
                return ended;
            }
        }
    }

    /// Acts on one thing that happens. Cancel-safe.
    async fn step(&mut self) -> ControlFlow<Result<()>> {
        self.drain()?;
        if self.stopping {
            let returned = self.running.is_empty() && self.returns.is_done(now());
            if returned || self.returns.is_given_up(now()) {
                return ControlFlow::Break(Ok(()));
            }
        }
        let deadline = [
            self.link.poll_timeout(),
            self.returns.poll_timeout(),
            self.channel.idle_until(),
        ]
        .into_iter()
        .flatten()
        .min();
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await,
                None => std::future::pending().await,
            }
        };
        let subscription = &mut self.subscription;
        let published = async {
            match subscription {
                Some(subscription) => subscription.next().await,
                None => std::future::pending().await,
            }
        };
        let woke = tokio::select! {
            biased;
            command = self.commands.recv() => Woke::Commanded(command),
            done = self.exchanges.join_next(), if !self.exchanges.is_empty() => Woke::Exchanged(done),
            done = self.jobs.join_next_with_id(), if !self.jobs.is_empty() => Woke::Finished(done),
            event = published => Woke::Published(event),
            () = timeout => Woke::Timeout,
        };
        let now = now();
        match woke {
            Woke::Commanded(Some(command)) => self.handle_command(command),
            // Our own handle keeps the channel open.
            Woke::Commanded(None) => {}
            Woke::Exchanged(Some(Ok((exchange, Ok(reply))))) => {
                self.link.handle_reply(exchange, &reply, now);
            }
            Woke::Exchanged(Some(Ok((exchange, Err(error))))) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no reply");
                self.link.handle_no_reply(exchange, now);
            }
            Woke::Exchanged(_) => {}
            Woke::Published(event) => self.handle_subscription(event, now),
            Woke::Finished(Some(finished)) => self.handle_finished(finished),
            Woke::Finished(None) => {}
            Woke::Timeout => {
                self.channel.close_idle();
                self.link.handle_timeout(now);
                for load in self.returns.due(now) {
                    self.send_return(load);
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Sends all the machine has to send and acts on all it has to say.
    fn drain(&mut self) -> ControlFlow<Result<()>> {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.link.poll_transmit(now(), clock::unix_time()) {
                idle = false;
                let limit = match Envelope::parse(&transmit.body, &self.limits) {
                    Ok(envelope) if envelope.enc == Enc::Clear => self.timeouts.sign_in,
                    _ => self.timeouts.reply,
                };
                let channel = self.channel.clone();
                self.exchanges.spawn(async move {
                    let reply = channel.request(transmit.body.into(), limit).await;
                    (transmit.exchange, reply)
                });
            }
            while let Some(event) = self.link.poll_event() {
                idle = false;
                self.handle_event(event)?;
            }
            if idle {
                return ControlFlow::Continue(());
            }
        }
    }

    fn handle_event(&mut self, event: MinionEvent) -> ControlFlow<Result<()>> {
        match event {
            MinionEvent::Ready {
                publish_port,
                suite,
                first,
                master_chooses_suites,
            } => {
                tracing::info!(minion = %self.link.id(), suite = suite.name(), first, "signed in");
                self.handle.shared.set_status(MinionStatus::Ready);
                if master_chooses_suites {
                    self.memory.keep_suite_choice();
                }
                self.handle_ready(publish_port, first);
            }
            MinionEvent::Pending { wait } => {
                tracing::warn!(minion = %self.link.id(), ?wait, "the master has not accepted this minion's key yet");
                self.handle.shared.set_status(MinionStatus::Pending);
            }
            MinionEvent::Full { wait } => {
                tracing::warn!(minion = %self.link.id(), ?wait, "the master serves no more minions");
                self.handle.shared.set_status(MinionStatus::Full);
            }
            MinionEvent::Rejected { verified, wait } => {
                tracing::error!(minion = %self.link.id(), verified, ?wait, "the master rejects this minion's key");
                self.handle.shared.set_status(MinionStatus::Rejected);
                if wait.is_none() {
                    return ControlFlow::Break(Err(Error::Rejected));
                }
            }
            MinionEvent::SignInFailed { error, wait } => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(minion = %self.link.id(), error, ?wait, "signing in failed");
            }
            MinionEvent::MasterKeyLearned { key, replaced } => {
                tracing::warn!(
                    fingerprint = %key.fingerprint(Default::default()),
                    replaced,
                    "this is the master's key from now on",
                );
                self.memory.keep_master_key(&key);
            }
            MinionEvent::Replied { request, value } => self.handle_answer(request, Ok(value)),
            MinionEvent::Failed { request, error } => {
                self.handle_answer(request, Err(error.into()));
            }
            MinionEvent::Job(job) => {
                // Kept before it starts, or a restart could run it again (R-03).
                self.memory.keep_jobs(self.link.jobs());
                self.begin(*job);
            }
            MinionEvent::Gap { missed } => tracing::warn!(missed, "publications were missed"),
            MinionEvent::Dropped(reason) => tracing::debug!(%reason, "a message was dropped"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn handle_ready(&mut self, publish_port: u16, first: bool) {
        let topics: Vec<Bytes> = self
            .link
            .subscriptions()
            .into_iter()
            .map(Into::into)
            .collect();
        match &mut self.subscription {
            Some(subscription) => {
                subscription.set_topics(topics);
                if subscription.is_connected() {
                    self.announce();
                }
            }
            None if self.settings.subscribe => {
                // As Salt: the port told by the master counts only where the
                // minion's own option is the number 4506.
                let mut master = self.master.clone();
                if matches!(master.publish_port, 0 | 4506) {
                    master.publish_port = publish_port;
                }
                let mut subscription = Subscription::erased(
                    Arc::clone(&self.dial),
                    master,
                    self.settings.wire,
                    self.identity.clone(),
                    topics,
                );
                subscription.set_heartbeat(self.settings.heartbeat);
                self.subscription = Some(subscription);
            }
            None => {}
        }
        let back = std::mem::take(&mut self.sign_in_wanted);
        if first && self.settings.pillar {
            self.fetch_pillar(Vec::new());
        }
        if first || back {
            self.start_untold = true;
        }
        self.tell_start();
    }

    /// Says that the minion has started, or is back, once it can be published
    /// to: whoever hears it may do so at once.
    fn tell_start(&mut self) {
        let receiving = self.subscription.as_ref();
        let receiving = receiving.is_none_or(Subscription::is_connected);
        if !self.start_untold || !receiving || !self.link.is_ready() {
            return;
        }
        self.start_untold = false;
        let back = std::mem::replace(&mut self.start_told, true);
        if !self.settings.start_event {
            return;
        }
        if self.settings.legacy_start_event && !back {
            self.fire_start("minion_start".to_owned());
        }
        self.fire_start(format!("salt/minion/{}/start", self.link.id()));
    }

    fn handle_subscription(&mut self, event: SubscriptionEvent, now: Instant) {
        match event {
            SubscriptionEvent::Connected => {
                tracing::debug!(minion = %self.link.id(), "publications can be received");
                if self.was_connected {
                    // The master may have been restarted: its keys are others then,
                    // and an announcement under the old ones would be refused.
                    self.sign_in_wanted = true;
                    self.link.sign_in_again();
                } else {
                    self.announce();
                    self.tell_start();
                }
                self.was_connected = true;
                self.handle.shared.set_subscribed(true);
            }
            SubscriptionEvent::Message { topic, body } => {
                self.link.handle_publish(topic.as_deref(), &body, now);
            }
            SubscriptionEvent::Disconnected(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(minion = %self.link.id(), error, "no publications can be received");
                self.handle.shared.set_subscribed(false);
            }
        }
    }

    fn announce(&mut self) {
        if self.settings.wire == Wire::Tcp
            && let Some(subscription) = &mut self.subscription
            && let Some(body) = self.link.announcement()
        {
            subscription.announce(&body.into());
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Request(load, caller) => {
                let request = self.link.request(load);
                self.waiting.insert(request, Waiting::Caller(caller));
            }
            Command::RefreshPillar(caller) => self.fetch_pillar(vec![caller]),
            Command::GrainsChanged => self.facts_changed(),
            Command::Abort(jid, done) => {
                let mut found = false;
                self.queue.retain(|job| {
                    found |= job.jid == jid;
                    job.jid != jid
                });
                for (job, abort) in self.running.values() {
                    if job.jid == jid {
                        abort.abort();
                        found = true;
                    }
                }
                // The caller may have stopped waiting for this.
                let _gone = done.send(found);
            }
            Command::Stop => self.stop(),
        }
    }

    fn handle_answer(&mut self, request: RequestId, answer: Result<Value>) {
        let Some(waiting) = self.waiting.remove(&request) else {
            return;
        };
        match (waiting, answer) {
            (Waiting::Caller(caller), answer) => {
                // The caller may have stopped waiting for this.
                let _gone = caller.send(answer);
            }
            (Waiting::Pillar(callers), answer) => self.handle_pillar(callers, answer),
            (Waiting::Return(load), Ok(answer)) => {
                self.returns.delivered();
                // Salt's word for "not taken": asking again changes nothing.
                if answer == Value::Bool(false) {
                    tracing::warn!(jid = load.str("jid"), "the master did not take a return");
                }
            }
            (Waiting::Nobody(_), Ok(_)) => {}
            (Waiting::Return(load), Err(error)) => {
                tracing::warn!(
                    jid = load.str("jid"),
                    error = &error as &dyn std::error::Error,
                    "a return was not delivered yet",
                );
                self.returns.retry(load, now());
            }
            (Waiting::Nobody(what), Err(error)) => {
                tracing::warn!(
                    what,
                    error = &error as &dyn std::error::Error,
                    "not delivered"
                );
            }
        }
    }

    fn fetch_pillar(&mut self, callers: Vec<oneshot::Sender<Result<Arc<Map>>>>) {
        let saltenv = Value::from(self.settings.saltenv.as_deref());
        let load = Map::from([
            ("cmd", "_pillar".into()),
            ("id", Value::from(self.link.id())),
            ("grains", Map::clone(&self.handle.shared.grains()).into()),
            ("saltenv", saltenv.clone()),
            ("pillarenv", saltenv),
            ("pillar_override", Map::new().into()),
            ("extra_minion_data", Map::new().into()),
            ("ver", "2".into()),
        ]);
        let request = self.link.request(load);
        self.waiting.insert(request, Waiting::Pillar(callers));
    }

    fn handle_pillar(
        &mut self,
        callers: Vec<oneshot::Sender<Result<Arc<Map>>>>,
        answer: Result<Value>,
    ) {
        let mut answer = answer.and_then(|value| match value {
            Value::Map(pillar) => Ok(Arc::new(pillar)),
            _ => Err(Error::Protocol("a pillar that is not a map")),
        });
        match &answer {
            Ok(pillar) => {
                self.handle.shared.set_pillar(Arc::clone(pillar));
                self.facts_changed();
            }
            Err(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, "no pillar");
            }
        }
        for caller in callers {
            let each = match &answer {
                Ok(pillar) => Ok(Arc::clone(pillar)),
                Err(_) => std::mem::replace(&mut answer, Err(Error::Closed)),
            };
            // The caller may have stopped waiting for this.
            let _gone = caller.send(each);
        }
    }

    fn facts_changed(&mut self) {
        let shared = &self.handle.shared;
        let (grains, pillar) = (shared.grains(), shared.pillar());
        self.link
            .set_facts(Map::clone(&grains), Map::clone(&pillar));
    }

    fn fire_start(&mut self, tag: String) {
        let id = self.link.id();
        let text = format!(
            "Minion {id} started at {}",
            clock::asctime(clock::unix_micros())
        );
        let load = handle::event_load(id, &tag, text.into(), None);
        let request = self.link.request(load);
        self.waiting.insert(request, Waiting::Nobody("start event"));
    }

    fn begin(&mut self, job: Job) {
        if self.stopping {
            return;
        }
        if self.running.len() < self.settings.max_jobs.max(1) {
            self.spawn(job);
        } else if self.queue.len() < self.settings.max_waiting_jobs {
            tracing::info!(jid = %job.jid, waiting = self.queue.len(), "a job waits");
            self.queue.push_back(job);
        } else {
            let ret = job.fail("too many jobs are waiting on this minion");
            self.send_return(ret.to_map());
        }
    }

    fn spawn(&mut self, job: Job) {
        tracing::debug!(jid = %job.jid, function = %job.function, "job");
        let run = Arc::clone(&self.handler).run(job.clone());
        let abort = self.jobs.spawn(run);
        self.handle.shared.started(&job);
        self.running.insert(abort.id(), (job, abort));
    }

    fn handle_finished(&mut self, finished: Result<(task::Id, Return), task::JoinError>) {
        let id = match &finished {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((job, _)) = self.running.remove(&id) else {
            return;
        };
        self.handle.shared.finished(&job);
        let ret = match finished {
            Ok((_, ret)) => ret,
            Err(error) => job.exception(describe(&error)),
        };
        // A function's way to say that it answers in some other manner.
        let unanswered = ret.value.get("__no_return__").is_some_and(Value::is_true);
        if !unanswered {
            self.send_return(ret.to_map());
        }
        if let Some(next) = self.queue.pop_front() {
            self.begin(next);
        }
    }

    fn send_return(&mut self, load: Map) {
        let request = self.link.request(load.clone());
        self.waiting.insert(request, Waiting::Return(load));
        self.returns.sent();
    }

    fn stop(&mut self) {
        self.stopping = true;
        for job in std::mem::take(&mut self.queue) {
            self.send_return(job.fail("the minion is stopping").to_map());
        }
        self.subscription = None;
        self.handle.shared.set_subscribed(false);
        self.returns.give_up_at(now() + self.settings.grace);
    }
}

impl std::fmt::Debug for Minion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minion")
            .field("link", &self.link)
            .field("master", &self.master)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// The stored key of the master is not the one the fingerprint names (K-09).
#[derive(Debug, thiserror::Error)]
#[error("the stored key of the master has the fingerprint {stored}, expected was {wanted}")]
struct OtherMaster {
    stored: Fingerprint,
    wanted: Fingerprint,
}

impl From<MinionError> for Error {
    fn from(error: MinionError) -> Self {
        Self::Configuration(Box::new(error))
    }
}

/// A generator of its own, seeded by the operating system.
fn rng() -> StdRng {
    StdRng::from_seed(random::seed())
}
