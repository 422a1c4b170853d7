//! The jobs that run now, one file each in `<cachedir>/proc`, as Salt keeps them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Job, Limits, Map, Value};
use salt_state::{CallError, Children};

/// The directory of running jobs, and what each of them runs.
#[derive(Debug)]
pub(super) struct ProcDir {
    path: PathBuf,
    children: Mutex<HashMap<String, Arc<Children>>>,
}

/// A job that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running<'a> {
    dir: &'a ProcDir,
    jid: String,
    /// What it runs.
    pub(super) children: Arc<Children>,
}

impl ProcDir {
    /// Empties the directory: whatever ran in a former life of the daemon ended with it.
    pub(super) fn new(cache_dir: &Path) -> Self {
        let path = cache_dir.join("proc");
        fs::remove_dir_all(&path).ok();
        if let Err(error) = fs::create_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "running jobs are not listed");
        }
        Self {
            path,
            children: Mutex::default(),
        }
    }

    pub(super) fn enter(&self, job: &Job) -> Running<'_> {
        let path = self.path.join(job.jid.as_str());
        let mut map = job.to_map();
        map.insert("pid", i64::from(std::process::id()));
        let mut bytes = Vec::new();
        msgpack::encode_map(&map, Dialect::Raw, &mut bytes);
        fs::write(&path, bytes).ok();
        let children = Children::new();
        self.children()
            .insert(job.jid.as_str().to_owned(), Arc::clone(&children));
        Running {
            dir: self,
            jid: job.jid.as_str().to_owned(),
            children,
        }
    }

    pub(super) fn running(&self) -> Vec<Map> {
        let Ok(entries) = fs::read_dir(&self.path) else {
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

    /// Signals a running job: what it runs ends, and it does not begin anything more.
    pub(super) fn signal(&self, jid: &str, signal: i32) -> Result<(), CallError> {
        let children = self.children().get(jid).map(Arc::clone);
        let children =
            children.ok_or_else(|| CallError::execution(format!("no job {jid} is running")))?;
        children
            .signal(signal)
            .map_err(|_| CallError::execution(format!("{signal} is not the number of a signal")))
    }

    fn children(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Children>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        fs::remove_file(self.dir.path.join(&self.jid)).ok();
        self.dir.children().remove(&self.jid);
    }
}
