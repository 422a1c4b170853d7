//! What others hold of a running minion.

use std::sync::{Arc, Mutex};

use salt_proto::{Jid, Job, Map, MinionId, Value};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, Result};
use crate::serve::lock;

/// Asks the master through a running [`Minion`](crate::Minion), and looks at it.
///
/// Clones are handles to the same minion. While the minion does not run,
/// requests wait; when it is gone, they fail with [`Error::Closed`].
#[derive(Clone, Debug)]
pub struct MinionHandle {
    id: MinionId,
    commands: mpsc::Sender<Command>,
    pub(super) shared: Arc<Shared>,
}

/// How a minion stands with its master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MinionStatus {
    /// No answer to a sign-in yet.
    #[default]
    SigningIn,
    /// The master has the key, and nobody decided about it yet.
    Pending,
    /// The master serves as many minions as it wants to.
    Full,
    /// The master refuses the key.
    Rejected,
    /// Signed in.
    Ready,
}

#[derive(Debug)]
pub(super) enum Command {
    Request(Map, oneshot::Sender<Result<Value>>),
    RefreshPillar(oneshot::Sender<Result<Arc<Map>>>),
    GrainsChanged,
    Abort(Jid, oneshot::Sender<bool>),
    Stop,
}

/// What the minion shows to its handles.
#[derive(Debug)]
pub(super) struct Shared {
    facts: Mutex<Facts>,
    running: Mutex<Vec<Job>>,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct Facts {
    grains: Arc<Map>,
    pillar: Arc<Map>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    status: MinionStatus,
    subscribed: bool,
}

impl MinionHandle {
    pub(super) fn new(id: MinionId, commands: mpsc::Sender<Command>) -> Self {
        Self {
            id,
            commands,
            shared: Arc::new(Shared {
                facts: Mutex::default(),
                running: Mutex::default(),
                state: watch::Sender::new(State::default()),
            }),
        }
    }

    /// The minion's name.
    pub fn id(&self) -> &MinionId {
        &self.id
    }

    /// Asks the master. `load` holds `cmd` and the command's own fields.
    ///
    /// The request waits until the minion is signed in, survives another
    /// sign-in in between, and is sent again when no reply comes, as
    /// [`RetryPolicy`](salt_proto::RetryPolicy) says.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] says what became of it, [`Error::Closed`] that the
    /// minion is gone.
    pub async fn request(&self, load: Map) -> Result<Value> {
        let (caller, answer) = oneshot::channel();
        self.command(Command::Request(load, caller)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// [`request`](Self::request) for code that blocks, such as a
    /// [`blocking`](crate::blocking) handler.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    ///
    /// # Panics
    ///
    /// When it is called on a thread that runs asynchronous code.
    pub fn blocking_request(&self, load: Map) -> Result<Value> {
        let (caller, answer) = oneshot::channel();
        let sent = self.commands.blocking_send(Command::Request(load, caller));
        sent.map_err(|_| Error::Closed)?;
        answer.blocking_recv().unwrap_or(Err(Error::Closed))
    }

    /// Fires an event on the master's bus.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn fire(&self, tag: &str, data: Map) -> Result<()> {
        let load = event_load(&self.id, tag, data.into(), None);
        self.request(load).await.map(drop)
    }

    /// The pillar as it was fetched last; empty until then.
    pub fn pillar(&self) -> Arc<Map> {
        self.shared.pillar()
    }

    /// Fetches the pillar again.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); the pillar stays what it was.
    pub async fn refresh_pillar(&self) -> Result<Arc<Map>> {
        let (caller, answer) = oneshot::channel();
        self.command(Command::RefreshPillar(caller)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// [`refresh_pillar`](Self::refresh_pillar) for code that blocks.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); the pillar stays what it was.
    ///
    /// # Panics
    ///
    /// When it is called on a thread that runs asynchronous code.
    pub fn blocking_refresh_pillar(&self) -> Result<Arc<Map>> {
        let (caller, answer) = oneshot::channel();
        let sent = self.commands.blocking_send(Command::RefreshPillar(caller));
        sent.map_err(|_| Error::Closed)?;
        answer.blocking_recv().unwrap_or(Err(Error::Closed))
    }

    /// The grains targets are matched against.
    pub fn grains(&self) -> Arc<Map> {
        self.shared.grains()
    }

    /// Replaces the grains. The pillar is not fetched again by itself.
    pub fn set_grains(&self, grains: Map) {
        self.shared.set_grains(grains);
        // When the queue is full, the minion takes the facts up with the next
        // pillar; when it is gone, nobody matches anything.
        let _later = self.commands.try_send(Command::GrainsChanged);
    }

    /// The jobs that run at the moment, oldest first.
    pub fn running(&self) -> Vec<Job> {
        lock(&self.shared.running).clone()
    }

    /// Ends a job that waits or runs; whether there was one.
    ///
    /// A job on a [`blocking`](crate::blocking) thread goes on there, and only
    /// its result is lost.
    pub async fn abort(&self, jid: &Jid) -> bool {
        let (done, found) = oneshot::channel();
        let sent = self.command(Command::Abort(jid.clone(), done)).await;
        sent.is_ok() && found.await.unwrap_or(false)
    }

    /// How the minion stands with its master.
    pub fn status(&self) -> MinionStatus {
        self.shared.state.borrow().status
    }

    /// Waits until the minion stands like this.
    pub async fn until(&self, status: MinionStatus) {
        self.wait(|state| state.status == status).await;
    }

    /// Waits until the minion is signed in and connected to the publish channel.
    pub async fn until_receiving(&self) {
        self.wait(|state| state.status == MinionStatus::Ready && state.subscribed)
            .await;
    }

    /// Ends the minion: no job is begun any more, those that run may finish
    /// and have their returns delivered, within
    /// [`MinionSettings::grace`](crate::MinionSettings::grace).
    pub async fn stop(&self) {
        // Gone already is as good as stopped.
        let _gone = self.command(Command::Stop).await;
    }

    async fn command(&self, command: Command) -> Result<()> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| Error::Closed)
    }

    async fn wait(&self, so: impl Fn(&State) -> bool) {
        let mut state = self.shared.state.subscribe();
        // The sender is in `self.shared`, so this cannot fail.
        let _state = state.wait_for(|state| so(state)).await;
    }
}

impl Shared {
    pub(super) fn grains(&self) -> Arc<Map> {
        Arc::clone(&lock(&self.facts).grains)
    }

    pub(super) fn set_grains(&self, grains: Map) {
        lock(&self.facts).grains = Arc::new(grains);
    }

    pub(super) fn pillar(&self) -> Arc<Map> {
        Arc::clone(&lock(&self.facts).pillar)
    }

    pub(super) fn set_pillar(&self, pillar: Arc<Map>) {
        lock(&self.facts).pillar = pillar;
    }

    pub(super) fn started(&self, job: &Job) {
        lock(&self.running).push(job.clone());
    }

    pub(super) fn finished(&self, job: &Job) {
        let mut running = lock(&self.running);
        if let Some(at) = running.iter().position(|it| it.jid == job.jid) {
            running.remove(at);
        }
    }

    pub(super) fn set_status(&self, status: MinionStatus) {
        self.state.send_if_modified(|state| {
            let changed = state.status != status;
            state.status = status;
            changed
        });
    }

    pub(super) fn set_subscribed(&self, subscribed: bool) {
        self.state.send_if_modified(|state| {
            let changed = state.subscribed != subscribed;
            state.subscribed = subscribed;
            changed
        });
    }
}

/// The load of one `_minion_event`.
pub(super) fn event_load(id: &MinionId, tag: &str, data: Value, pretag: Option<&str>) -> Map {
    Map::from([
        ("id", Value::from(id)),
        ("cmd", "_minion_event".into()),
        ("pretag", pretag.into()),
        ("data", data),
        ("tag", tag.into()),
    ])
}
