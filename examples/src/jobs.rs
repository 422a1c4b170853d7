//! The jobs that run now, one file each in `<cachedir>/proc`, as Salt keeps them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Jid, Limits, Map, Value};
use salt_state::{CallError, Children};

/// The directory of running jobs, and what each of them runs.
#[derive(Debug)]
pub(crate) struct ProcDir {
    path: PathBuf,
    children: Mutex<HashMap<String, Arc<Children>>>,
}

/// A job that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    dir: &'a ProcDir,
    jid: String,
    /// What it runs.
    pub(crate) children: Arc<Children>,
}

impl ProcDir {
    /// The daemon's: whatever ran in a former life of it ended with it.
    pub(crate) fn of_daemon(cache_dir: &Path) -> Self {
        let this = Self::new(cache_dir);
        for (path, job) in this.entries() {
            if job.str("tgt") != Some("salt-call") {
                fs::remove_file(path).ok();
            }
        }
        this
    }

    /// The one that all share who run jobs with this cache directory.
    pub(crate) fn new(cache_dir: &Path) -> Self {
        let path = cache_dir.join("proc");
        if let Err(error) = fs::create_dir_all(&path) {
            tracing::debug!(path = %path.display(), %error, "running jobs are not listed");
        }
        Self {
            path,
            children: Mutex::default(),
        }
    }

    /// Enters a job; `map` describes it as it was published.
    pub(crate) fn enter(&self, jid: &Jid, mut map: Map) -> Running<'_> {
        let path = self.path.join(jid.as_str());
        map.insert("pid", i64::from(std::process::id()));
        let mut bytes = Vec::new();
        msgpack::encode_map(&map, Dialect::Raw, &mut bytes);
        fs::write(&path, bytes).ok();
        let children = Children::new();
        self.children()
            .insert(jid.as_str().to_owned(), Arc::clone(&children));
        Running {
            dir: self,
            jid: jid.as_str().to_owned(),
            children,
        }
    }

    /// The jobs that run now. What a process left behind that is gone is removed.
    pub(crate) fn running(&self) -> Vec<Map> {
        let mut jobs = Vec::new();
        for (path, job) in self.entries() {
            let pid = job.get("pid").and_then(Value::as_int);
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
                fs::remove_file(path).ok();
            } else {
                jobs.push(job);
            }
        }
        jobs.sort_by(|a, b| a.str("jid").cmp(&b.str("jid")));
        jobs
    }

    fn entries(&self) -> Vec<(PathBuf, Map)> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).ok()?;
            match msgpack::decode(&bytes, &Limits::default()) {
                Ok(Value::Map(map)) => Some((path, map)),
                _ => None,
            }
        };
        entries
            .flatten()
            .filter_map(|entry| read(entry.path()))
            .collect()
    }

    /// Signals a running job: what it runs ends, and it does not begin anything more.
    pub(crate) fn signal(&self, jid: &str, signal: i32) -> Result<(), CallError> {
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

/// The id of a job that begins now.
pub(crate) fn new_jid() -> Jid {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    Jid::from_unix_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
