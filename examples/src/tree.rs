//! The state tree and the pillar of this minion, wherever they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use salt_proto::{Map, SaltUrl, Value};
use salt_state::pillar::{self, Inputs};
use salt_state::render::{Machine, RegistryFunctions, World};
use salt_state::{CallError, Command, Context, Host, MinionData, Sources, System};
use salt_transport::FileClient;

use crate::config::Roots;

/// The master's tree, files fetched when they are asked for.
pub struct MasterTree {
    client: FileClient,
}

impl MasterTree {
    /// The tree that a client reaches.
    pub fn new(client: FileClient) -> Self {
        Self { client }
    }
}

/// An address, unless nothing in a tree can be called that.
fn address(environment: &str, path: &str) -> Option<SaltUrl> {
    SaltUrl::new(path, Some(environment)).ok()
}

impl Sources for MasterTree {
    fn environments(&self) -> io::Result<Vec<String>> {
        self.client.environments().map_err(io::Error::other)
    }

    fn files(&self, environment: &str) -> io::Result<Vec<String>> {
        self.client.files(environment, "").map_err(io::Error::other)
    }

    fn directories(&self, environment: &str) -> io::Result<Vec<String>> {
        self.client
            .directories(environment, "")
            .map_err(io::Error::other)
    }

    fn links(&self, environment: &str) -> io::Result<Vec<(String, String)>> {
        self.client.links(environment, "").map_err(io::Error::other)
    }

    fn open(&self, environment: &str, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        let Some(url) = address(environment, path) else {
            return Ok(None);
        };
        match self.client.fetch(&url).map_err(io::Error::other)? {
            Some(here) => Ok(Some(Box::new(File::open(here)?))),
            None => Ok(None),
        }
    }

    fn local_path(&self, environment: &str, path: &str) -> Option<PathBuf> {
        let url = address(environment, path)?;
        self.client.fetch(&url).ok().flatten()
    }

    fn stat(&self, environment: &str, path: &str) -> io::Result<Option<[i64; 10]>> {
        match address(environment, path) {
            Some(url) => self.client.stat(&url).map_err(io::Error::other),
            None => Ok(None),
        }
    }

    fn contains(&self, environment: &str, path: &str) -> bool {
        // The hash says it without the content.
        let found = address(environment, path).map(|url| self.client.hash(&url));
        matches!(found, Some(Ok(Some(_))))
    }
}

/// The tree of this machine that a configuration names.
pub fn local(roots: &Roots) -> salt_state::Roots {
    let mut tree = salt_state::Roots::new();
    for (environment, roots) in roots {
        for root in roots {
            tree = tree.root(environment, root);
        }
    }
    tree
}

/// The pillar that the tree of this machine has for a minion. `wanted` may hold data for on top,
/// `pillar`. Another `pillarenv` counts only in the configuration, as without a master in Salt 3008.3.
///
/// # Errors
///
/// None: what is wrong with the tree stands under `_errors`, as Salt delivers it.
pub fn local_pillar(
    roots: &Roots,
    minion: &MinionData,
    wanted: &Map,
    context: &Context<'_>,
) -> Result<Map, CallError> {
    let tree = local(roots);
    let functions = RegistryFunctions::new(context);
    let machine = Machine::of(context);
    let world = World::new(minion, &tree, &functions).on(&machine);
    let external = pillar::shipped(shell);
    let mut inputs = Inputs::new(&world);
    inputs.external = Some(&external);
    if let Some(Value::Map(on_top)) = wanted.get("pillar") {
        inputs.command_line = on_top.clone();
    }
    Ok(pillar::compile(&inputs).into_pillar())
}

/// What a shell command of an external pillar prints.
pub(crate) fn shell(line: &str) -> Result<String, String> {
    let output = Host::new()
        .run(&Command::shell(line))
        .map_err(|error| error.to_string())?;
    Ok(output.stdout_text().trim_end().to_owned())
}

/// A pillar from the master with a caller's data, `pillar`, on top.
///
/// # Errors
///
/// When another environment is asked for, which only the master could compile.
pub fn masters_pillar(mut pillar: Map, wanted: &Map) -> Result<Map, CallError> {
    if wanted.contains_key("pillarenv") || wanted.contains_key("saltenv") {
        return Err(CallError::execution(
            "the pillar of another environment cannot be asked for; set pillarenv in the minion's configuration",
        ));
    }
    if let Some(Value::Map(on_top)) = wanted.get("pillar") {
        salt_state::data::update(&mut pillar, on_top, false);
    }
    Ok(pillar)
}
