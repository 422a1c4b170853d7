//! A minion: signs in, runs what is published to it, sends back what came of it.

mod builder;
mod handle;
mod memory;
mod returns;

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_crypto::Identity;
use salt_proto::envelope::{Enc, Envelope};
use salt_proto::{
    ExchangeId, Job, Limits, Map, MinionEvent, MinionId, MinionLink, RequestId, Return, Value,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinSet};

use crate::address::MasterAddr;
use crate::clock;
use crate::complaint::Complaint;
use crate::error::{Error, Result};
use crate::handler::{ErasedHandler, describe};
use crate::request::RequestChannel;
use crate::stream::ErasedDial;
use crate::subscribe::{Subscription, SubscriptionEvent};
use crate::wire::{Wire, now};

use handle::Command;
use memory::Memory;
use returns::Returns;

pub use builder::{MinionBuilder, MinionSettings};
pub use handle::{MinionHandle, MinionStatus};

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
    complaint: Complaint,
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
    /// A start event, and the one that comes after it.
    Start(Option<String>),
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
        MinionBuilder::new(id, identity)
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
                self.memory.keep_job(&job.jid, self.link.jobs());
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
        let tag = format!("salt/minion/{}/start", self.link.id());
        if self.settings.legacy_start_event && !back {
            self.fire_start("minion_start", Some(tag));
        } else {
            self.fire_start(&tag, None);
        }
    }

    fn handle_subscription(&mut self, event: SubscriptionEvent, now: Instant) {
        match event {
            SubscriptionEvent::Connected => {
                tracing::debug!(minion = %self.link.id(), "publications can be received");
                self.complaint.forget();
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
                if let Some(cause) = self.complaint.about(&error, now) {
                    tracing::warn!(minion = %self.link.id(), "no publications can be received: {cause}");
                }
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
            (Waiting::Return(load), Err(error)) => {
                tracing::warn!(
                    jid = load.str("jid"),
                    error = &error as &dyn std::error::Error,
                    "a return was not delivered yet",
                );
                self.returns.retry(load, now());
            }
            (Waiting::Start(then), answer) => {
                if let Err(error) = answer {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the start event was not delivered");
                }
                if let Some(tag) = then {
                    self.fire_start(&tag, None);
                }
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

    fn fire_start(&mut self, tag: &str, then: Option<String>) {
        let id = self.link.id();
        let now = clock::asctime(clock::unix_micros());
        let text = format!("Minion {id} started at {now}");
        let load = handle::event_load(id, tag, text.into(), None);
        let request = self.link.request(load);
        self.waiting.insert(request, Waiting::Start(then));
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
