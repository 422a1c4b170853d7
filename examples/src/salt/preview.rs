//! Whom a master expects to match, found out without asking it.

use std::fs;
use std::io;
use std::path::Path;

use salt_proto::target::{Candidate, Reading, Release};
use salt_proto::{Limits, Map, MinionId, Target, Value, msgpack};
use salt_transport::PkiDir;
use salt_transport::pki::KeyStatus;

use crate::config::MasterConfig;

/// What a master has remembered of a minion.
#[derive(Default)]
struct Known {
    grains: Option<Map>,
    pillar: Option<Map>,
}

/// The accepted minions that a target means, sorted. One that cannot be read means nobody.
///
/// # Errors
///
/// When the keys cannot be listed.
pub(super) fn minions(
    config: &MasterConfig,
    target: &Value,
    kind: &str,
    delimiter: &str,
) -> io::Result<Vec<String>> {
    let Ok(target) = Target::parse(kind, target, delimiter) else {
        return Ok(Vec::new());
    };
    let keys = PkiDir::open(&config.pki_dir)?.minion_keys();
    let ids = keys.list(KeyStatus::Accepted)?;
    let known: Vec<Known> = ids.iter().map(|id| known(&config.cachedir, id)).collect();
    let candidates: Vec<Candidate<'_>> = ids
        .iter()
        .zip(&known)
        .map(|(id, known)| Candidate {
            id: id.as_str(),
            grains: known.grains.as_ref(),
            pillar: known.pillar.as_ref(),
        })
        .collect();
    let reading = Reading {
        nodegroups: &config.nodegroups,
        greedy: true,
        data_cache: config
            .opts
            .get("minion_data_cache")
            .is_none_or(Value::is_true),
        release: Release::default(),
    };
    let mut minions = target.select(&candidates, &reading).minions;
    minions.sort();
    Ok(minions)
}

/// Reads the files of our masters and of 3008, or the one that 3006 and 3007 keep.
fn known(cachedir: &Path, id: &MinionId) -> Known {
    let read = |path: &Path| match fs::read(path) {
        Ok(bytes) => match msgpack::decode_utf8(&bytes, &Limits::default()) {
            Ok(Value::Map(map)) => Some(map),
            _ => None,
        },
        Err(_) => None,
    };
    let bank = |bank: &str| read(&cachedir.join(bank).join(format!("{id}.p")));
    let known = Known {
        grains: bank("grains"),
        pillar: bank("pillar"),
    };
    if known.grains.is_some() {
        return known;
    }
    let Some(mut data) = read(&cachedir.join("minions").join(id.as_str()).join("data.p")) else {
        return known;
    };
    let mut take = |key| match data.remove(key) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    };
    Known {
        grains: take("grains"),
        pillar: take("pillar"),
    }
}
