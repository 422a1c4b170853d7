//! `state.pkg`: a run that somebody else has compiled, packed with its files.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::compile::Chunk;
use crate::context::{Context, MinionData};
use crate::engine::{self, Mode};
use crate::pillar;
use crate::registry::{CallError, Registry};
use crate::render::json;
use crate::sources::Roots;
use crate::system::Command;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.pkg",
        "pkg(pkg_path, pkg_sum, hash_type, test=None, **kwargs)",
        "Brings about the chunks in `lowstate.json` of a tarball of this machine, with the files in it as the state tree, its `pillar.json` and its `roster_grains.json`. The tarball must have the given checksum.",
        pkg,
    );
    registry.outputter("state.pkg", "highstate");
}

/// A directory that goes away with its owner.
struct Unpacked<'c> {
    path: PathBuf,
    context: &'c Context<'c>,
}

impl Drop for Unpacked<'_> {
    fn drop(&mut self) {
        let removed = self.context.system.remove_all(&self.path);
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "an unpacked tarball stays behind");
        }
    }
}

fn pkg(args: &Args, context: &Context<'_>) -> Answer {
    if let Some(refusal) = super::control::conflict(args, context) {
        return Ok(refusal);
    }
    let path = PathBuf::from(args.text("pkg_path")?);
    let (sum, kind) = (args.text("pkg_sum")?, args.text("hash_type")?);
    if !context.system.exists(&path) {
        return Ok(Map::new().into());
    }
    let hash = Args::new()
        .with(path.to_string_lossy().into_owned())
        .with(kind.as_str());
    let hash = context.registry.call("file.get_hash", &hash, context)?;
    if hash.as_str() != Some(sum.as_str()) {
        return Ok(Map::new().into());
    }
    let unpacked = unpack(&path, context)?;
    let within = |name: &str| unpacked.path.join(name);
    let chunks = read(&within("lowstate.json"), context)?.ok_or_else(|| {
        CallError::exception(
            "FileNotFoundError",
            format!(
                "[Errno 2] No such file or directory: '{}'",
                within("lowstate.json").display()
            ),
        )
    })?;
    // What is not a list of chunks is a list of complaints.
    let chunks = match chunks {
        Value::List(chunks) if chunks.iter().all(|chunk| chunk.as_map().is_some()) => chunks,
        Value::Map(empty) if empty.is_empty() => Vec::new(),
        Value::Null => {
            return Err(CallError::exception(
                "TypeError",
                "'NoneType' object is not iterable",
            ));
        }
        complaints => return Ok(complaints),
    };
    let mut minion: MinionData = context.minion.clone();
    if let Some(Value::Map(pillar)) = read(&within("pillar.json"), context)? {
        minion.pillar = pillar::Strategy::of(&minion.config).merge(minion.pillar, pillar);
    }
    if let Some(Value::Map(grains)) = read(&within("roster_grains.json"), context)? {
        minion.grains = grains.into();
    }
    let test = match args.given("test") {
        Some(test) => test.is_true(),
        None => minion.config.get("test").is_some_and(Value::is_true),
    };
    minion.config.insert("test", test);
    let mut tree = Roots::new();
    for name in context.system.list(&unpacked.path)? {
        let name = name.to_string_lossy().into_owned();
        let root = within(&name);
        if context.system.is_dir(&root) {
            tree = tree.root(name, root);
        }
    }
    let chunks: Vec<Chunk> = chunks
        .into_iter()
        .filter_map(|chunk| match chunk {
            Value::Map(low) => Some(Chunk {
                low,
                ..Chunk::default()
            }),
            _ => None,
        })
        .collect();
    let mut inner = context.with_minion(&minion);
    inner.sources = Some(&tree);
    let mode = Mode {
        test,
        ..Mode::default()
    };
    let report = engine::run(&chunks, &inner, &mode)?;
    context.set_retcode(if report.succeeded(&chunks) { 0 } else { 2 });
    Ok(report.into_value())
}

/// Unpacks a tarball where only its owner can look.
fn unpack<'c>(path: &Path, context: &'c Context<'c>) -> Result<Unpacked<'c>, CallError> {
    /// How a file begins that gzip has written (RFC 1952).
    const GZIP: [u8; 2] = [0x1f, 0x8b];

    if !context
        .system
        .read(path)?
        .unwrap_or_default()
        .starts_with(&GZIP)
    {
        return Err(CallError::exception("ReadError", "not a gzip file"));
    }
    let mut random = [0; 8];
    context.system.random(&mut random);
    let name = format!("salt-{:016x}", u64::from_le_bytes(random));
    let directory = std::env::temp_dir().join(name);
    context.system.create_dir(&directory, 0o700)?;
    let unpacked = Unpacked {
        path: directory,
        context,
    };
    let command = Command::new("tar")
        .args(["--extract", "--gzip", "--no-same-owner", "--file"])
        .arg(path.as_os_str())
        .arg("--directory")
        .arg(unpacked.path.as_os_str());
    let output = context.system.run(&command)?;
    if !output.is_success() {
        return Err(CallError::exception(
            "ReadError",
            output.stderr_text().trim().to_owned(),
        ));
    }
    Ok(unpacked)
}

fn read(path: &Path, context: &Context<'_>) -> Result<Option<Value>, CallError> {
    let Some(text) = context.system.text(path)? else {
        return Ok(None);
    };
    let node = json::parse(&text, 0)
        .map_err(|error| CallError::exception("JSONDecodeError", error.to_string()))?;
    Ok(Some(node.to_value()))
}
