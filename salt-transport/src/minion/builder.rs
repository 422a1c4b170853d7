//! Putting a minion together.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salt_crypto::{Fingerprint, Identity, PublicKey};
use salt_proto::minion::MinionError;
use salt_proto::zmtp::Heartbeat;
use salt_proto::{Job, Map, MasterTrust, MinionConfig, MinionId, MinionLink, Profile};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::handle::{Command, MinionHandle};
use super::memory::Memory;
use super::returns::Returns;
use super::{Minion, Timeouts};
use crate::address::MasterAddr;
use crate::complaint::Complaint;
use crate::error::{Error, Result};
use crate::handler::{ErasedHandler, Handler};
use crate::pki::PkiDir;
use crate::random;
use crate::request::RequestChannel;
use crate::stream::{Dial, ErasedDial};
use crate::wire::Wire;

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
    pub(super) fn new(id: MinionId, identity: Identity) -> Self {
        let (sender, commands) = mpsc::channel(64);
        Self {
            handle: MinionHandle::new(id.clone(), sender),
            config: MinionConfig::new(id, identity, MasterTrust::Unknown),
            fingerprint: None,
            settings: MinionSettings::default(),
            handler: Arc::new(|job: Job| async move { job.unknown_function() }),
            memory: Memory::none(),
            commands,
        }
    }

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
    /// so that none is run again after a restart.
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
            complaint: Complaint::default(),
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
