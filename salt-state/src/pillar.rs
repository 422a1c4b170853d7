//! Pillar: the data meant for one minion, from top file, SLS and external sources.
//!
//! [`compile`] is what a master does for its minions and `salt-call --local` for itself.
//! The tree is the world's [`Sources`](crate::Sources), the facts used for targeting are
//! the world's minion: its grains, and the pillar it had *before*. Errors do not stop
//! the rest; whoever uses the result decides what an error means.
//!
//! ```
//! use salt_proto::Map;
//! use salt_state::render::{NoFunctions, World};
//! use salt_state::{MemorySources, MinionData, pillar};
//!
//! let tree = MemorySources::new()
//!     .file("base", "top.sls", "base:\n  'web*':\n    - web\n")
//!     .file("base", "web.sls", "port: 80\n");
//! let minion = MinionData { id: "web1".into(), ..MinionData::default() };
//! let world = World::new(&minion, &tree, &NoFunctions);
//!
//! let compiled = pillar::compile(&pillar::Inputs::new(&world));
//!
//! assert_eq!(compiled.pillar, Map::from([("port", 80)]));
//! assert!(compiled.errors.is_empty());
//! ```

mod external;
mod merge;
mod sls;
mod top;

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use crate::diagnostic::{Diagnostic, Stage};
use crate::render::World;

pub use external::{Call, External, Run, cmd_json, cmd_yaml, fixed, shipped, stated};
pub use merge::{Strategy, merge_lists, recurse};

/// External pillars by the name that `ext_pillar` uses.
pub type Externals = BTreeMap<String, Box<External>>;

/// What a pillar depends on.
pub struct Inputs<'a> {
    /// The minion as it was before, the pillar tree, the functions.
    pub world: &'a World<'a>,
    /// The external pillars that the configuration may name.
    pub external: Option<&'a Externals>,
    /// What a caller puts on top (`pillar='{…}'`).
    pub command_line: Map,
}

impl<'a> Inputs<'a> {
    /// Without external pillars and without a caller's data.
    pub fn new(world: &'a World<'a>) -> Self {
        Self {
            world,
            external: None,
            command_line: Map::new(),
        }
    }
}

/// A compiled pillar.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The data.
    pub pillar: Map,
    /// What went wrong; Salt delivers the texts under `_errors`.
    pub errors: Vec<Diagnostic>,
}

impl Compiled {
    /// The pillar as a minion receives it, errors included.
    pub fn into_pillar(mut self) -> Map {
        if !self.errors.is_empty() {
            let texts: Value = self
                .errors
                .iter()
                .map(|error| error.message.as_str())
                .collect();
            self.pillar.insert("_errors", texts);
        }
        self.pillar
    }
}

/// Compiles.
pub fn compile(inputs: &Inputs<'_>) -> Compiled {
    let mut compiler = Compiler {
        inputs,
        strategy: Strategy::of(&inputs.world.minion.config),
        environment: environment(inputs.world),
        errors: Vec::new(),
    };
    let pillar = compiler.all();
    Compiled {
        pillar,
        errors: compiler.errors,
    }
}

/// The one environment that counts, if the configuration says so.
fn environment(world: &World<'_>) -> Option<String> {
    let config = &world.minion.config;
    let text = |name: &str| config.str(name).filter(|text| !text.is_empty());
    let from_saltenv = config
        .get("pillarenv_from_saltenv")
        .is_some_and(Value::is_true);
    text("pillarenv")
        .or_else(|| from_saltenv.then(|| text("saltenv")).flatten())
        .map(str::to_owned)
}

struct Compiler<'c, 'a> {
    inputs: &'c Inputs<'a>,
    strategy: Strategy,
    environment: Option<String>,
    errors: Vec<Diagnostic>,
}

impl<'a> Compiler<'_, 'a> {
    fn world(&self) -> &'a World<'a> {
        self.inputs.world
    }

    fn option(&self, name: &str) -> Option<&'a Value> {
        self.world().minion.config.get(name)
    }

    fn is_set(&self, name: &str) -> bool {
        self.option(name).is_some_and(Value::is_true)
    }

    fn error(&mut self, text: impl Into<String>) {
        self.errors.push(Diagnostic::new(Stage::Pillar, text));
    }

    fn all(&mut self) -> Map {
        let external_first = self.is_set("ext_pillar_first");
        let mut base = Map::new();
        if external_first {
            self.external(&mut base);
        }
        let mut pillar = match self.matches() {
            Some(matches) => self.render(&matches, &base),
            None => Map::new(),
        };
        if external_first {
            pillar = self.strategy.merge(base, pillar);
        } else {
            self.external(&mut pillar);
        }
        if self.is_set("pillar_opts") {
            pillar.insert("master", self.world().minion.config.clone());
        }
        if !self.inputs.command_line.is_empty() {
            pillar = self
                .strategy
                .merge(pillar, self.inputs.command_line.clone());
        }
        self.decrypt(&mut pillar);
        pillar
    }

    /// Decrypts what `decrypt_pillar` lists: key paths, or mappings of paths to renderers.
    fn decrypt(&mut self, pillar: &mut Map) {
        let Some(entries) = self.option("decrypt_pillar") else {
            return;
        };
        let Value::List(entries) = entries else {
            if entries.is_true() {
                self.error("decrypt_pillar config option is malformed");
            }
            return;
        };
        let delimiter = self
            .world()
            .minion
            .config
            .str("decrypt_pillar_delimiter")
            .unwrap_or(":");
        for entry in entries {
            let path = match entry {
                Value::Map(map) => match map.keys().next() {
                    Some(key) => crate::python::str(key),
                    None => continue,
                },
                other => crate::python::str(other),
            };
            if let Some(value) = walk(pillar, &path, delimiter) {
                match self.world().decrypt_value(value) {
                    Ok(plain) => *value = plain,
                    Err(problem) => {
                        self.error(format!("Failed to decrypt pillar key '{path}': {problem}"));
                    }
                }
            }
        }
    }
}

fn walk<'m>(pillar: &'m mut Map, path: &str, delimiter: &str) -> Option<&'m mut Value> {
    let mut parts = path.split(delimiter);
    let mut value = pillar.get_mut(parts.next()?)?;
    for part in parts {
        value = value.as_map_mut()?.get_mut(part)?;
    }
    Some(value)
}
