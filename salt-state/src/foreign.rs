//! Modules of a tree that are not ours: who answers for them, and what to say when nobody
//! does.
//!
//! A tree may carry its own Python code in `_modules`, `_states` and `_grains`. A
//! [`Registry`](crate::Registry) asks its [`Foreign`] for a name that it does not know
//! itself; without one, the failed call names the file and the setting that would run it.

use std::collections::BTreeMap;
use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Signature;
use crate::context::{Context, MinionData};
use crate::registry::CallError;
use crate::sources::Sources;
use crate::system::Observe;

/// What a module of a tree provides, which is decided by the directory it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForeignKind {
    /// Execution functions, `_modules`.
    Modules,
    /// State functions, `_states`.
    States,
    /// Grains, `_grains`.
    Grains,
    /// What the others import as `__utils__`, `_utils`.
    Utils,
}

impl ForeignKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Modules, Self::States, Self::Grains, Self::Utils];

    /// Its directory below `extension_modules`; in a tree it begins with `_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Modules => "modules",
            Self::States => "states",
            Self::Grains => "grains",
            Self::Utils => "utils",
        }
    }
}

/// One foreign function.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// What it takes.
    pub signature: Signature,
    /// Its documentation, empty if it has none.
    pub doc: String,
}

/// What there is of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// The functions by full name.
    pub functions: BTreeMap<String, Described>,
    /// The modules that refuse to be loaded here, with their reasons.
    pub missing: BTreeMap<String, String>,
    /// Why nothing can be known, if that is so.
    pub failure: Option<String>,
}

/// Answers for functions and states that a registry has no own code for.
///
/// Lookups may take long when they are the first, since an interpreter may have to be
/// started for them.
pub trait Foreign: Send + Sync {
    /// Whether there is a file that would be loaded under this module name. Starts
    /// nothing.
    fn has_file(&self, kind: ForeignKind, module: &str) -> bool;

    /// What there is; empty when there are no files of that kind.
    fn catalog(&self, kind: ForeignKind) -> &Catalog;

    /// Calls an execution function with its arguments as they were given.
    ///
    /// # Errors
    ///
    /// What the function raises, and what keeps it from being called.
    fn call(
        &self,
        name: &str,
        positional: &[Value],
        keywords: &Map,
        minion: &MinionData,
    ) -> Result<Value, CallError>;

    /// Calls a state function with a chunk: `state`, `fun`, `name`, the `__…__` keys and
    /// the arguments, without requisites. What comes back is the return as it is.
    ///
    /// # Errors
    ///
    /// What keeps it from being called; exceptions of the function are in the return.
    fn state(&self, low: &Map, test: bool, minion: &MinionData) -> Result<Value, CallError>;

    /// Lets a state module join chunks, as [`ModAggregate`](crate::ModAggregate) does.
    ///
    /// # Errors
    ///
    /// As [`Foreign::call`].
    fn aggregate(
        &self,
        module: &str,
        low: &mut Map,
        rest: &mut [Map],
        test: bool,
        minion: &MinionData,
    ) -> Result<(), CallError>;

    /// Calls a state module's `mod_init` with a chunk, as
    /// [`ModInit`](crate::ModInit) does.
    ///
    /// # Errors
    ///
    /// As [`Foreign::call`].
    fn init(
        &self,
        module: &str,
        low: &Map,
        test: bool,
        minion: &MinionData,
    ) -> Result<bool, CallError>;
}

/// One Python file of a tree, or of `extension_modules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModuleFile {
    pub(crate) kind: ForeignKind,
    /// The environment of the tree; `None`: it lies in `extension_modules`.
    pub(crate) environment: Option<String>,
    /// Its path below the directory of its kind.
    pub(crate) path: String,
}

impl ModuleFile {
    /// The name it is loaded under, unless it says otherwise itself; `None` for a part of
    /// a package.
    pub(crate) fn module(&self) -> Option<&str> {
        let path = match self.path.strip_suffix("/__init__.py") {
            Some(package) => package,
            None => self.path.strip_suffix(".py")?,
        };
        let name = path.rsplit('/').next()?;
        (name != "__init__").then_some(name)
    }

    /// Its path in the tree.
    pub(crate) fn in_tree(&self) -> String {
        format!("_{}/{}", self.kind.name(), self.path)
    }

    /// How to call it in a message.
    fn shown(&self) -> String {
        match self.environment {
            Some(_) => format!("salt://{}", self.in_tree()),
            None => format!("extension_modules/{}/{}", self.kind.name(), self.path),
        }
    }
}

/// The most files that are looked at.
const MOST_FILES: usize = 10_000;

/// The Python files of a tree and of `extension_modules`, the first of a path only: trees
/// before `extension_modules`, the environment `base` before others unless the
/// configuration names one.
pub(crate) fn module_files(
    sources: Option<&dyn Sources>,
    system: &dyn Observe,
    config: &Map,
) -> Vec<ModuleFile> {
    let mut all: Vec<ModuleFile> = Vec::new();
    let mut add = |file: ModuleFile| {
        let known = |other: &ModuleFile| other.kind == file.kind && other.path == file.path;
        if all.len() < MOST_FILES && file.path.ends_with(".py") && !all.iter().any(known) {
            all.push(file);
        }
    };
    if let Some(sources) = sources {
        for environment in environments(sources, config) {
            for path in sources.files(&environment).unwrap_or_default() {
                let Some((directory, path)) =
                    path.strip_prefix('_').and_then(|p| p.split_once('/'))
                else {
                    continue;
                };
                let kind = ForeignKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == directory);
                if let Some(kind) = kind {
                    add(ModuleFile {
                        kind,
                        environment: Some(environment.clone()),
                        path: path.to_owned(),
                    });
                }
            }
        }
    }
    if let Some(extensions) = config.str("extension_modules") {
        for kind in ForeignKind::ALL {
            let mut paths = Vec::new();
            let place = Path::new(extensions).join(kind.name());
            walk(system, &place, "", 0, &mut paths);
            for path in paths {
                add(ModuleFile {
                    kind,
                    environment: None,
                    path,
                });
            }
        }
    }
    all
}

/// The environments whose modules count, the first before the others.
pub(crate) fn environments(sources: &dyn Sources, config: &Map) -> Vec<String> {
    if let Some(one) = config.str("saltenv") {
        return vec![one.to_owned()];
    }
    let mut all = sources.environments().unwrap_or_default();
    all.retain(|name| name != "__env__");
    all.sort_by_key(|name| name != "base");
    all
}

fn walk(system: &dyn Observe, place: &Path, below: &str, depth: usize, into: &mut Vec<String>) {
    let directory = place.join(below);
    if depth > 5 || into.len() >= MOST_FILES || !system.is_dir(&directory) {
        return;
    }
    for name in system.list(&directory).unwrap_or_default() {
        let Some(name) = name.to_str().filter(|name| *name != "__pycache__") else {
            continue;
        };
        let path = match below {
            "" => name.to_owned(),
            below => format!("{below}/{name}"),
        };
        if system.is_dir(&place.join(&path)) {
            walk(system, place, &path, depth + 1, into);
        } else {
            into.push(path);
        }
    }
}

/// The text of a module, if it can be read.
pub(crate) fn module_text(
    file: &ModuleFile,
    sources: Option<&dyn Sources>,
    system: &dyn Observe,
    config: &Map,
) -> Option<Vec<u8>> {
    match &file.environment {
        Some(environment) => sources?.read(environment, &file.in_tree()).ok()?,
        None => {
            let extensions = Path::new(config.str("extension_modules")?);
            let path = extensions.join(file.kind.name()).join(&file.path);
            system.read(&path).ok()?
        }
    }
}

/// What a user can do about a function or state that is not there: names the file of the
/// tree that has it. `None` when the tree has nothing of that name.
pub(crate) fn hint(kind: ForeignKind, name: &str, context: &Context<'_>) -> Option<String> {
    let module = name.split('.').next()?;
    let config = &context.minion.config;
    let failure = context
        .registry
        .foreign_catalog(kind)
        .map(|catalog| catalog.failure.clone());
    let files = module_files(context.sources, context.system, config);
    let of_kind: Vec<&ModuleFile> = files.iter().filter(|file| file.kind == kind).collect();
    let found = of_kind
        .iter()
        .find(|file| file.module() == Some(module))
        .or_else(|| {
            of_kind.iter().find(|file| {
                module_text(file, context.sources, context.system, config)
                    .is_some_and(|text| calls_itself(&text, module))
            })
        })?;
    let file = found.shown();
    match failure {
        None => Some(format!(
            "{file} is Python code; the setting `python_bridge` names a Salt that runs it"
        )),
        Some(Some(failure)) => Some(format!(
            "{file} is Python code, and the setting `python_bridge` does not help: {failure}"
        )),
        Some(None) => None,
    }
}

/// Whether a module sets its `__virtualname__` to this.
fn calls_itself(text: &[u8], module: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    text.lines().any(|line| {
        line.strip_prefix("__virtualname__")
            .and_then(|rest| rest.trim_start().strip_prefix('='))
            .is_some_and(|value| {
                value
                    .split('#')
                    .next()
                    .is_some_and(|value| value.trim().trim_matches(['\'', '"']) == module)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use crate::registry::Registry;
    use crate::sources::MemorySources;
    use crate::system::FakeSystem;

    fn tree() -> MemorySources {
        MemorySources::new()
            .file(
                "base",
                "_states/moon.py",
                "__virtualname__ = 'lunar'  # so\n",
            )
            .file("base", "_modules/pack/__init__.py", "")
            .file("base", "_modules/pack/part.py", "")
            .file("dev", "_modules/deep/one.py", "")
            .file("base", "_modules/README", "")
            .file("base", "top.sls", "")
    }

    #[test]
    fn modules_are_found_in_the_tree_and_in_extension_modules() {
        let machine = FakeSystem::new()
            .file("/ext/modules/mine.py", "")
            .file("/ext/modules/__pycache__/mine.cpython-311.pyc", "")
            .file("/ext/states/moon.py", "");
        let config = Map::from([("extension_modules", "/ext")]);

        let files = module_files(Some(&tree()), &machine, &config);

        let shown: Vec<String> = files.iter().map(ModuleFile::shown).collect();
        assert_eq!(
            shown,
            [
                "salt://_modules/pack/__init__.py",
                "salt://_modules/pack/part.py",
                "salt://_states/moon.py",
                "salt://_modules/deep/one.py",
                "extension_modules/modules/mine.py",
            ]
        );
        let names: Vec<Option<&str>> = files.iter().map(ModuleFile::module).collect();
        assert_eq!(
            names,
            [
                Some("pack"),
                Some("part"),
                Some("moon"),
                Some("one"),
                Some("mine")
            ]
        );
    }

    #[test]
    fn a_call_of_a_trees_own_function_names_its_file_and_the_setting() {
        let (registry, machine) = (Registry::builtin(), FakeSystem::new());
        let (minion, tree) = (MinionData::default(), tree());
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);

        let error = registry
            .call("one.fun", &Args::new(), &context)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "'one.fun' is not available.\nHint: salt://_modules/deep/one.py is Python code; the setting `python_bridge` names a Salt that runs it"
        );
        assert_eq!(
            hint(ForeignKind::States, "lunar.present", &context).as_deref(),
            Some(
                "salt://_states/moon.py is Python code; the setting `python_bridge` names a Salt that runs it"
            )
        );
        assert_eq!(hint(ForeignKind::States, "solar.present", &context), None);
        assert_eq!(
            registry.call("solar.fun", &Args::new(), &context),
            Err(CallError::Unavailable("solar.fun".to_owned()))
        );
    }
}
