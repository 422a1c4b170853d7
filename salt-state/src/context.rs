//! What a function may know and use beside its arguments.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use salt_proto::{Map, Value};

use crate::engines::Engines;
use crate::grains::Grains;
use crate::registry::{CallError, Registry};
use crate::sources::Sources;
use crate::system::{Asking, System};

/// Who this minion is: the facts that targeting, templates and functions share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinionData {
    /// Its id.
    pub id: String,
    /// Its grains.
    pub grains: Grains,
    /// Its pillar.
    pub pillar: Map,
    /// Its configuration, Salt's `opts`.
    pub config: Map,
}

/// Sends a load to the master, sealed, and returns its answer. The load needs `cmd` and
/// what belongs to it; `id` and `tok` are added on the way. States that run beside each
/// other share it.
pub type AskMaster<'a> = dyn Fn(Map) -> Result<Value, CallError> + Sync + 'a;

/// Puts an event on the minion's own bus (`pillar_refresh`, `module_refresh`, …) and says
/// whether anybody takes it.
pub type FireLocal<'a> = dyn Fn(&str, Map) -> bool + 'a;

/// The jobs that run on this minion now: the published job of each, with `pid`.
pub type RunningJobs<'a> = dyn Fn() -> Vec<Map> + 'a;

/// Sends a signal to a running job by its jid and process id.
pub type SignalJob<'a> = dyn Fn(&str, i32) -> Result<(), CallError> + 'a;

/// Compiles this minion's pillar anew. The mapping may hold `pillarenv`, `saltenv` and
/// `pillar`, data that overrides what is compiled.
pub type CompilePillar<'a> = dyn Fn(&Map) -> Result<Map, CallError> + 'a;

/// Hears of every entry of a state run when it is there: how many there are now, how many
/// chunks there are, the tag and the entry.
pub type Progress<'a> = dyn Fn(usize, usize, &str, &Map) + 'a;

/// Hears of every chunk of a state run before it is carried out: how many are done, how many
/// there are, and its tag.
pub type Starting<'a> = dyn Fn(usize, usize, &str) + 'a;

/// Everything a [`crate::Function`] may use besides its arguments.
///
/// [`Context::new`] makes one for a call without a master; the fields that concern the
/// daemon and the master are filled in by whoever has them.
pub struct Context<'a> {
    /// The functions that can be called from this one.
    pub registry: &'a Registry,
    /// The machine.
    pub system: &'a dyn System,
    /// Who we are.
    pub minion: &'a MinionData,
    /// The files of the state tree (`salt://`), if there are any.
    pub sources: Option<&'a dyn Sources>,
    /// The way to the master; `None` for a masterless call.
    pub master: Option<&'a AskMaster<'a>>,
    /// The minion's own event bus, where a daemon runs.
    pub fire_local: Option<&'a FireLocal<'a>>,
    /// The jobs that run now, where a daemon runs.
    pub running: Option<&'a RunningJobs<'a>>,
    /// Signals for running jobs, where a daemon runs.
    pub signal_job: Option<&'a SignalJob<'a>>,
    /// The way to a fresh pillar; `None`: the one in `minion` is all there is.
    pub compile_pillar: Option<&'a CompilePillar<'a>>,
    /// The daemon's own jobs and watches, where one runs.
    pub engines: Option<&'a Engines>,
    /// Who wants to follow a state run while it goes on.
    pub progress: Option<&'a Progress<'a>>,
    /// Who wants to know what a state run is at.
    pub starting: Option<&'a Starting<'a>>,
    /// The published job that this call belongs to; empty outside a job.
    pub job: Map,
    retcode: Cell<i64>,
    masks_pillar: Cell<bool>,
    notes: Rc<RefCell<Map>>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.minion.id)
            .field("master", &self.master.is_some())
            .finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// A call without a master, a daemon or files.
    pub fn new(registry: &'a Registry, system: &'a dyn System, minion: &'a MinionData) -> Self {
        Self {
            registry,
            system,
            minion,
            sources: None,
            master: None,
            fire_local: None,
            running: None,
            signal_job: None,
            compile_pillar: None,
            engines: None,
            progress: None,
            starting: None,
            job: Map::new(),
            retcode: Cell::new(0),
            masks_pillar: Cell::new(false),
            notes: Rc::default(),
        }
    }

    /// The return code that the call set (Salt's `__context__['retcode']`).
    pub fn retcode(&self) -> i64 {
        self.retcode.get()
    }

    /// Sets the return code of the call.
    pub fn set_retcode(&self, code: i64) {
        self.retcode.set(code);
    }

    /// Whether pillar values are shown as asterisks: in what a job returns, not in what a
    /// template or another function asks for (Salt 3008's `pillar_mask_output`).
    pub fn masks_pillar(&self) -> bool {
        self.masks_pillar.get()
    }

    /// Runs `call` with the masking of pillar switched.
    pub(crate) fn masking<T>(&self, masks: bool, call: impl FnOnce() -> T) -> T {
        let before = self.masks_pillar.replace(masks);
        let result = call();
        self.masks_pillar.set(before);
        result
    }

    /// The same context for another minion: one whose grains, pillar or configuration
    /// have changed on the way. Notes are shared.
    pub fn with_minion<'b>(&self, minion: &'b MinionData) -> Context<'b>
    where
        'a: 'b,
    {
        Context {
            registry: self.registry,
            system: self.system,
            minion,
            sources: self.sources,
            master: self.master,
            fire_local: self.fire_local,
            running: self.running,
            signal_job: self.signal_job,
            compile_pillar: self.compile_pillar,
            engines: self.engines,
            progress: self.progress,
            starting: self.starting,
            job: self.job.clone(),
            retcode: Cell::new(self.retcode.get()),
            masks_pillar: Cell::new(self.masks_pillar.get()),
            notes: Rc::clone(&self.notes),
        }
    }

    /// The same context on another machine. Notes are shared.
    pub(crate) fn on<'b>(&self, system: &'b dyn System) -> Context<'b>
    where
        'a: 'b,
    {
        Context {
            system,
            ..self.with_minion(self.minion)
        }
    }

    /// Calls with the machine as something that may be asked and not changed: what a
    /// function gets in a dry run and while a state only looks.
    pub(crate) fn asking<T>(&self, call: impl FnOnce(&Context<'_>) -> T) -> T {
        let cache = self.setting("cachedir").unwrap_or("/var/cache/salt/minion");
        self.through(&Asking::new(self.system, Some(cache.into())), call)
    }

    /// Calls with another way to the machine.
    pub(crate) fn through<T>(
        &self,
        system: &dyn System,
        call: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        let inner = self.on(system);
        let answer = call(&inner);
        self.retcode.set(inner.retcode.get());
        answer
    }

    /// What another call of this run left under a name (Salt's `__context__`).
    pub fn note(&self, key: &str) -> Option<Value> {
        self.notes.borrow().get(key).cloned()
    }

    /// Leaves something for later calls of this run.
    pub fn set_note(&self, key: &str, value: impl Into<Value>) {
        self.notes.borrow_mut().insert(key, value);
    }

    /// Forgets what was left under a name.
    pub fn clear_note(&self, key: &str) {
        self.notes.borrow_mut().remove(key);
    }

    /// A setting as text, if it is there and is text.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.minion.config.str(name)
    }

    /// Sends a load to the master.
    ///
    /// # Errors
    ///
    /// When there is no master, or it does not answer.
    pub fn ask_master(&self, load: Map) -> Result<Value, CallError> {
        match self.master {
            Some(ask) => ask(load),
            None => Err(CallError::execution("No master is connected")),
        }
    }

    /// Puts an event on the minion's own bus; `false` when there is none.
    pub fn fire(&self, tag: &str, data: Map) -> bool {
        self.fire_local.is_some_and(|fire| fire(tag, data))
    }
}
