//! The jobs that run now, one file each in `<cachedir>/proc`, as Salt keeps them.

use std::fs;
use std::path::{Path, PathBuf};

use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Job, Limits, Map, Value};
use salt_state::CallError;

/// The directory of running jobs.
#[derive(Debug)]
pub(super) struct ProcDir(PathBuf);

/// A job that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running(PathBuf);

impl ProcDir {
    /// Empties the directory: whatever ran in a former life of the daemon ended with it.
    pub(super) fn new(cache_dir: &Path) -> Self {
        let path = cache_dir.join("proc");
        fs::remove_dir_all(&path).ok();
        if let Err(error) = fs::create_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "running jobs are not listed");
        }
        Self(path)
    }

    pub(super) fn enter(&self, job: &Job) -> Running {
        let path = self.0.join(job.jid.as_str());
        let mut map = job.to_map();
        map.insert("pid", i64::from(std::process::id()));
        let mut bytes = Vec::new();
        msgpack::encode_map(&map, Dialect::Raw, &mut bytes);
        fs::write(&path, bytes).ok();
        Running(path)
    }

    pub(super) fn running(&self) -> Vec<Map> {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let mut jobs: Vec<Map> = entries
            .flatten()
            .filter_map(|entry| fs::read(entry.path()).ok())
            .filter_map(|bytes| match msgpack::decode(&bytes, &Limits::default()) {
                Ok(Value::Map(map)) => Some(map),
                _ => None,
            })
            .collect();
        jobs.sort_by(|a, b| a.str("jid").cmp(&b.str("jid")));
        jobs
    }

    /// Signals a running job. All of them run in this process, so none can be hit alone.
    pub(super) fn signal(&self, jid: &str, signal: i32) -> Result<(), CallError> {
        if self.running().iter().any(|job| job.str("jid") == Some(jid)) {
            return Err(CallError::execution(format!(
                "job {jid} runs inside the minion and cannot take signal {signal}; what it started ends by its timeout"
            )));
        }
        Err(CallError::execution(format!("no job {jid} is running")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
