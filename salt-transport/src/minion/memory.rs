//! What a minion has to remember when its process ends.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use salt_crypto::PublicKey;
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{JidLog, Limits, MasterTrust, MinionConfig, Value};

use crate::pki::PkiDir;

/// The master's key, as Salt names it in a minion's `pki_dir`.
const MASTER: &str = "minion_master";
/// Stands beside it when that master takes part in choosing session suites.
const SUITES: &str = "minion_master.suites";
/// The jobs already run.
const JOBS: &str = "jobs_seen.p";

#[derive(Debug)]
pub(super) struct Memory(Option<Places>);

#[derive(Debug)]
struct Places {
    pki: PkiDir,
    cache: PathBuf,
}

impl Memory {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn on_disk(pki: PkiDir, cache: PathBuf) -> Self {
        Self(Some(Places { pki, cache }))
    }

    /// Reads what a former process kept.
    pub(super) fn load(&self, config: &mut MinionConfig) -> io::Result<()> {
        let Some(places) = &self.0 else {
            return Ok(());
        };
        if let Some(key) = places.pki.public_key(MASTER)? {
            config.master = MasterTrust::Pinned(key);
            config.master_chooses_suites |= places.pki.path().join(SUITES).exists();
        }
        let bytes = match fs::read(places.cache.join(JOBS)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match msgpack::decode_utf8(&bytes, &Limits::default()) {
            Ok(Value::Map(map)) => {
                config.jobs = JidLog::from_map(&map, MinionConfig::JOBS_REMEMBERED);
            }
            // Starting with no memory would run recorded jobs again; the minion
            // must not be kept from starting by half a file either. What is
            // older than this moment is refused.
            _ => {
                tracing::error!("the list of jobs already run is damaged");
                let now = salt_proto::Jid::from_unix_micros(crate::clock::unix_micros());
                config.jobs.raise_mark(now);
            }
        }
        Ok(())
    }

    pub(super) fn keep_master_key(&self, key: &PublicKey) {
        if let Some(places) = &self.0 {
            report("the master's key", places.pki.store_public_key(MASTER, key));
        }
    }

    pub(super) fn keep_suite_choice(&self) {
        if let Some(places) = &self.0 {
            let path = places.pki.path().join(SUITES);
            if !path.exists() {
                report("the master's suites", write(&path, b"1\n"));
            }
        }
    }

    pub(super) fn keep_jobs(&self, jobs: &JidLog) {
        if let Some(places) = &self.0 {
            let mut bytes = Vec::new();
            msgpack::encode_map(&jobs.to_map(), Dialect::Bin, &mut bytes);
            let path = places.cache.join(JOBS);
            let written = fs::create_dir_all(&places.cache).and_then(|()| write(&path, &bytes));
            report("the jobs already run", written);
        }
    }
}

/// A full disk must not stop a minion from being repaired through its master,
/// so a failure is told and the minion goes on.
fn report(what: &'static str, written: io::Result<()>) {
    if let Err(error) = written {
        tracing::error!(what, %error, "not kept");
    }
}

/// Replaces a file as a whole, owner-only from its first byte (P-06).
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, path)
}
