//! A tree's own Python modules, run by an installed Salt.
//!
//! A [`Bridge`] is a [`Foreign`] that starts one Python for a run, with a small program of
//! ours in it that loads the modules of the tree through Salt's own loader and answers
//! one request after the other. Nothing is started before a name is asked for that only
//! such a module can have. What runs there is the tree's code, with all the rights of this
//! process: the bridge is for those who trust the tree as Salt's own minion does, and off
//! unless the configuration says `python_bridge`.
//!
//! The Python sees this minion's id, grains, pillar and configuration, and the modules of
//! the tree in a directory of its own below `cachedir` that is removed at the end. Its
//! `__salt__` is Salt's, with Salt's own functions, and `salt://` in it is the
//! configuration's `file_roots`. Order, requisites and conditions of states stay ours;
//! `test=True` is passed on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::{Parameter, Signature};
use crate::context::MinionData;
use crate::foreign::{self, Catalog, Described, Foreign, ForeignKind, ModuleFile};
use crate::grains::Grains;
use crate::registry::CallError;
use crate::sources::Sources;
use crate::system::{Command, Conversation, System, WriteOptions};

mod interpreter;
mod wire;

/// What the Python runs.
const DRIVER: &str = include_str!("bridge/driver.py");

/// The longest answer that is taken: 64 MiB.
const LONGEST: usize = 64 << 20;

/// How long one call may take unless `python_bridge_timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Settings that are the bridge's own affair or would disturb the other Salt.
const NOT_PASSED_ON: &[&str] = &[
    "cachedir",
    "extension_modules",
    "file_client",
    "grains",
    "id",
    "log_file",
    "log_level",
    "log_level_logfile",
    "pidfile",
    "python_bridge",
    "python_bridge_timeout",
];

/// Which Python, and how patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// A Python that has Salt, a `salt-call` that is a script of one, or `auto`: the first
    /// `salt-call` in `PATH` that is a script, else the Python of Salt's packages, else
    /// `python3`.
    pub program: String,
    /// How long one call may take; `None`: as long as it likes.
    pub timeout: Option<Duration>,
}

impl BridgeSettings {
    /// What a minion's configuration says: `python_bridge` (a path, a name, or `auto`; off
    /// by default) and `python_bridge_timeout` (seconds, 3600 by default, 0 for none).
    pub fn of(config: &Map) -> Option<Self> {
        let program = match config.get("python_bridge")? {
            Value::Str(program) if !program.is_empty() => program.clone(),
            Value::Bool(true) => "auto".to_owned(),
            _ => return None,
        };
        let timeout = match config.get("python_bridge_timeout").and_then(Value::as_int) {
            None => Some(TIMEOUT),
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        };
        Some(Self { program, timeout })
    }
}

/// Answers for a tree's own Python modules. One Python serves all clones made by
/// [`Bridge::for_minion`]; it ends with the last of them.
pub struct Bridge {
    shared: Arc<Shared>,
    minion: MinionData,
    catalogs: OnceLock<Catalogs>,
    nothing: Catalog,
}

/// What there is of the two kinds that are called by name.
#[derive(Debug, Default)]
struct Catalogs {
    modules: Catalog,
    states: Catalog,
}

struct Shared {
    settings: BridgeSettings,
    system: Arc<dyn System>,
    sources: Option<Arc<dyn Sources>>,
    files: OnceLock<Vec<ModuleFile>>,
    python: Mutex<Python>,
}

/// The child, or why there is none.
#[derive(Default)]
enum Python {
    #[default]
    NotStarted,
    Running(Running),
    Failed(String),
}

struct Running {
    talk: Option<Box<dyn Conversation>>,
    directory: PathBuf,
    system: Arc<dyn System>,
    /// What it was told last.
    grains: Grains,
    pillar: Map,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl Bridge {
    /// A bridge for a tree. Starts nothing, lists nothing.
    ///
    /// `minion` is what modules see of the minion while they are loaded: id, grains,
    /// pillar, and the configuration, of which `cachedir`, `extension_modules`, `saltenv`
    /// matter here and everything is passed on.
    pub fn new(
        settings: BridgeSettings,
        system: Arc<dyn System>,
        sources: Option<Arc<dyn Sources>>,
        minion: MinionData,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                system,
                sources,
                files: OnceLock::new(),
                python: Mutex::default(),
            }),
            minion,
            catalogs: OnceLock::new(),
            nothing: Catalog::default(),
        }
    }

    /// The same bridge once more is known of the minion: modules decide anew whether they
    /// can be used.
    #[must_use]
    pub fn for_minion(&self, minion: MinionData) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            minion,
            catalogs: OnceLock::new(),
            nothing: Catalog::default(),
        }
    }

    /// The grains that the tree's modules find, to be laid over all others. A module that
    /// fails is left out and logged.
    ///
    /// # Errors
    ///
    /// When there are such modules and no Python to run them.
    pub fn grains(&self) -> Result<Map, CallError> {
        if !self.has_any(ForeignKind::Grains) {
            return Ok(Map::new());
        }
        let request = Map::from([
            ("do", Value::from("grains")),
            ("grains", self.minion.grains.clone().into()),
        ]);
        let answer = self.shared.ask(&self.minion, request)?;
        if let Some(Value::Map(failed)) = answer.get("failed") {
            for (name, why) in failed {
                let (name, why) = (crate::python::str(name), crate::python::str(why));
                tracing::warn!("the grains of {name} are left out: {why}");
            }
        }
        match answer.get("grains") {
            Some(Value::Map(grains)) => Ok(grains.clone()),
            _ => Ok(Map::new()),
        }
    }

    fn files(&self) -> &[ModuleFile] {
        self.shared.files.get_or_init(|| {
            foreign::module_files(
                self.shared.sources.as_deref(),
                self.shared.system.as_ref(),
                &self.minion.config,
            )
        })
    }

    fn has_any(&self, kind: ForeignKind) -> bool {
        self.files().iter().any(|file| file.kind == kind)
    }

    fn catalogs(&self) -> &Catalogs {
        self.catalogs.get_or_init(|| {
            self.files();
            let request = Map::from([("do", "catalog")]);
            match self.shared.ask(&self.minion, request) {
                Ok(answer) => Catalogs {
                    modules: catalog(answer.get("modules")),
                    states: catalog(answer.get("states")),
                },
                Err(error) => {
                    tracing::warn!("the tree's Python modules cannot be used: {error}");
                    let failed = Catalog {
                        failure: Some(error.to_string()),
                        ..Catalog::default()
                    };
                    Catalogs {
                        modules: failed.clone(),
                        states: failed,
                    }
                }
            }
        })
    }
}

/// What the Python tells of one kind.
fn catalog(told: Option<&Value>) -> Catalog {
    let part = |key: &str| match told.and_then(|told| told.get(key)) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::new(),
    };
    let functions = part("functions")
        .iter()
        .filter_map(|(name, told)| {
            let name = name.as_str()?.to_owned();
            let doc = told.get("doc").and_then(Value::as_str).unwrap_or_default();
            let described = Described {
                signature: signature(&name, told),
                doc: doc.to_owned(),
            };
            Some((name, described))
        })
        .collect();
    let missing: BTreeMap<String, String> = part("missing")
        .iter()
        .map(|(name, why)| (crate::python::str(name), crate::python::str(why)))
        .collect();
    Catalog {
        functions,
        missing,
        failure: None,
    }
}

fn signature(name: &str, told: &Value) -> Signature {
    let parameters = |key: &str| -> Vec<Parameter> {
        let listed = told.get(key).and_then(Value::as_list).unwrap_or_default();
        listed
            .iter()
            .filter_map(|one| match one.as_list()? {
                [name] => Some((name, None)),
                [name, default] => Some((name, Some(default.clone()))),
                _ => None,
            })
            .map(|(name, default)| Parameter {
                name: crate::python::str(name),
                default,
            })
            .collect()
    };
    let collector = |key: &str| told.get(key)?.as_str().map(str::to_owned);
    Signature::of(
        name.rsplit('.').next().unwrap_or(name),
        parameters("by_position"),
        parameters("by_name"),
        collector("rest"),
        collector("extra"),
    )
}

impl Shared {
    /// Asks the Python, which is started for the first question.
    fn ask(&self, minion: &MinionData, request: Map) -> Result<Value, CallError> {
        let mut python = self.python.lock().unwrap_or_else(PoisonError::into_inner);
        if let Python::NotStarted = &*python {
            *python = match self.start(minion) {
                Ok(running) => Python::Running(running),
                Err(why) => Python::Failed(why),
            };
        }
        let running = match &mut *python {
            Python::Running(running) => running,
            Python::Failed(why) => return Err(CallError::execution(why.clone())),
            Python::NotStarted => return Err(CallError::execution("the Python did not start")),
        };
        let told = running.tell(minion, self.settings.timeout);
        let answer = told.and_then(|()| running.ask(&request, self.settings.timeout));
        if running.talk.is_none() {
            // What it knew is lost with it; the next question starts another one.
            *python = Python::NotStarted;
        }
        answer
    }

    fn start(&self, minion: &MinionData) -> Result<Running, String> {
        let python = interpreter::find(&self.settings.program, self.system.as_ref())?;
        let directory = self
            .lay_out(minion)
            .map_err(|error| format!("the modules cannot be laid out for the Python: {error}"))?;
        let command = Command::new(&python).arg("-c").arg(DRIVER).cwd("/");
        let talk = self
            .system
            .converse(&command)
            .map_err(|error| format!("{} cannot be started: {error}", python.display()));
        let mut running = Running {
            talk: None,
            directory,
            system: Arc::clone(&self.system),
            grains: minion.grains.clone(),
            pillar: minion.pillar.clone(),
        };
        running.talk = Some(talk?);
        let mut config = minion.config.clone();
        config.retain(|key, _| !key.as_str().is_some_and(|key| NOT_PASSED_ON.contains(&key)));
        config.insert("file_client", "local");
        let request = Map::from([
            ("do", Value::from("start")),
            (
                "directory",
                running.directory.to_string_lossy().into_owned().into(),
            ),
            ("id", minion.id.as_str().into()),
            ("config", config.into()),
            ("grains", minion.grains.clone().into()),
            ("pillar", minion.pillar.clone().into()),
        ]);
        match running.ask(&request, self.settings.timeout) {
            Ok(_) => Ok(running),
            Err(CallError::Raised { kind, message, .. }) => Err(match kind.as_str() {
                "ModuleNotFoundError" => {
                    format!("{} has no Salt: {message}", python.display())
                }
                _ => format!("{} does not load Salt: {kind}: {message}", python.display()),
            }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writes the modules where the Python finds them.
    fn lay_out(&self, minion: &MinionData) -> std::io::Result<PathBuf> {
        let system = self.system.as_ref();
        let cache = minion.config.str("cachedir");
        let cache = cache.unwrap_or("/var/cache/salt/minion");
        let mut random = [0; 8];
        system.random(&mut random);
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let above = Path::new(cache).join("python_bridge");
        system.create_dir_all(&above, 0o700)?;
        let directory = above.join(name);
        system.create_dir(&directory, 0o700)?;
        let written = self.write_modules(minion, &directory);
        if written.is_err() {
            system.remove_all(&directory).ok();
        }
        written.map(|()| directory)
    }

    fn write_modules(&self, minion: &MinionData, directory: &Path) -> std::io::Result<()> {
        let system = self.system.as_ref();
        let modules = directory.join("extmods");
        for kind in ForeignKind::ALL {
            system.create_dir_all(&modules.join(kind.name()), 0o700)?;
        }
        system.create_dir(&directory.join("cache"), 0o700)?;
        for file in self.files.get().into_iter().flatten() {
            let text = foreign::module_text(file, self.sources.as_deref(), system, &minion.config);
            let Some(text) = text else {
                continue;
            };
            let path = modules.join(file.kind.name()).join(&file.path);
            if let Some(parent) = path.parent() {
                system.create_dir_all(parent, 0o700)?;
            }
            system.write(&path, &text, &WriteOptions::new().mode(0o600))?;
        }
        Ok(())
    }
}

impl Running {
    /// Tells it of grains and pillar if they are others than it knows.
    fn tell(&mut self, minion: &MinionData, timeout: Option<Duration>) -> Result<(), CallError> {
        if self.grains == minion.grains && self.pillar == minion.pillar {
            return Ok(());
        }
        let request = Map::from([
            ("do", Value::from("know")),
            ("grains", minion.grains.clone().into()),
            ("pillar", minion.pillar.clone().into()),
        ]);
        self.ask(&request, timeout)?;
        self.grains = minion.grains.clone();
        self.pillar = minion.pillar.clone();
        Ok(())
    }

    fn ask(&mut self, request: &Map, timeout: Option<Duration>) -> Result<Value, CallError> {
        let Some(talk) = &mut self.talk else {
            return Err(CallError::execution("the Python bridge has ended"));
        };
        match talk.ask(&wire::encode(request), timeout, LONGEST) {
            Ok(line) => wire::decode(&line),
            Err(error) => {
                let complaints = talk.complaints();
                let last = complaints
                    .trim_end()
                    .lines()
                    .next_back()
                    .unwrap_or_default();
                let mut text = format!("the Python bridge failed: {error}");
                if let Some(source) = std::error::Error::source(&error) {
                    text.push_str(&format!(": {source}"));
                }
                if !last.is_empty() {
                    text.push_str(&format!(" ({last})"));
                }
                self.talk = None;
                Err(CallError::execution(text))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // First the child ends, then nobody writes there any more.
        self.talk = None;
        self.system.remove_all(&self.directory).ok();
    }
}

impl Foreign for Bridge {
    fn has_file(&self, kind: ForeignKind, module: &str) -> bool {
        self.files()
            .iter()
            .any(|file| file.kind == kind && file.module() == Some(module))
    }

    fn catalog(&self, kind: ForeignKind) -> &Catalog {
        match kind {
            ForeignKind::Modules if self.has_any(kind) => &self.catalogs().modules,
            ForeignKind::States if self.has_any(kind) => &self.catalogs().states,
            _ => &self.nothing,
        }
    }

    fn call(
        &self,
        name: &str,
        positional: &[Value],
        keywords: &Map,
        minion: &MinionData,
    ) -> Result<Value, CallError> {
        let request = Map::from([
            ("do", Value::from("call")),
            ("function", name.into()),
            ("args", positional.to_vec().into()),
            ("kwargs", keywords.clone().into()),
        ]);
        self.shared.ask(minion, request)
    }

    fn state(&self, low: &Map, test: bool, minion: &MinionData) -> Result<Value, CallError> {
        let request = Map::from([
            ("do", Value::from("state")),
            ("low", low.clone().into()),
            ("test", test.into()),
        ]);
        self.shared.ask(minion, request)
    }

    fn aggregate(
        &self,
        module: &str,
        low: &mut Map,
        rest: &mut [Map],
        test: bool,
        minion: &MinionData,
    ) -> Result<(), CallError> {
        let chunks: Value = rest.iter().cloned().map(Value::Map).collect();
        let request = Map::from([
            ("do", Value::from("aggregate")),
            ("function", format!("{module}.mod_aggregate").into()),
            ("low", low.clone().into()),
            ("chunks", chunks),
            ("test", test.into()),
        ]);
        let answer = self.shared.ask(minion, request)?;
        if let Some(Value::Map(joined)) = answer.get("low") {
            *low = joined.clone();
        }
        let chunks = answer.get("chunks").and_then(Value::as_list);
        for (old, new) in rest.iter_mut().zip(chunks.unwrap_or_default()) {
            if let Value::Map(new) = new {
                *old = new.clone();
            }
        }
        Ok(())
    }

    fn init(
        &self,
        module: &str,
        low: &Map,
        test: bool,
        minion: &MinionData,
    ) -> Result<bool, CallError> {
        let request = Map::from([
            ("do", Value::from("init")),
            ("function", format!("{module}.mod_init").into()),
            ("low", low.clone().into()),
            ("test", test.into()),
        ]);
        Ok(self.shared.ask(minion, request)?.is_true())
    }
}
