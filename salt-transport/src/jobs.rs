//! The job cache on disk, in the layout that Salt's `local_cache` returner writes and its programs read.
//!
//! One directory for a job, named by the hash of its id: the published load, the minions that were meant, and one
//! file for each return. Every file appears whole, by a rename.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Jid, Limits, Map, MinionId, Value};
use sha2::{Digest as _, Sha256};

use crate::pki::replace_file;

/// How many differing returns of one minion for one job are kept beside the first.
const MAX_CONFLICTS: usize = 4;

/// A directory of jobs, `<cachedir>/jobs`.
#[derive(Clone, Debug)]
pub struct JobCache {
    root: PathBuf,
    limits: Limits,
}

/// What became of a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is the first one of this minion for this job.
    First,
    /// The same return was there already (a retry after a lost answer).
    Again,
    /// A different return was there already; this one stands beside it.
    Conflict,
    /// Nobody published this job to this minion, so nothing was stored (E-02).
    Unsolicited,
}

/// A job and what is known of it.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Its id.
    pub jid: Jid,
    /// What was published: `fun`, `arg`, `tgt`, `tgt_type`, `user`, …
    pub load: Map,
    /// Who was meant, sorted.
    pub minions: Vec<String>,
}

impl JobCache {
    /// How many unsolicited returns are kept of one minion.
    pub const MAX_UNSOLICITED: usize = 100;

    /// The cache in a directory, made when it is first written to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            limits: Limits::default(),
        }
    }

    /// The directory of one job: two levels of the hex SHA-256 of its id.
    pub fn directory(&self, jid: &Jid) -> PathBuf {
        let hash = hex(&Sha256::digest(jid.as_str().as_bytes()));
        let (first, rest) = hash.split_at(2);
        self.root.join(first).join(rest)
    }

    /// Notes a published job, or that a job was published to further minions. To be called before the publisher gets its answer, because Salt's command line looks
    /// the job up at once.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store_job(&self, jid: &Jid, load: &Map, minions: &BTreeSet<MinionId>) -> io::Result<()> {
        let dir = self.directory(jid);
        make_dir(&dir)?;
        let mut bytes = Vec::new();
        msgpack::encode_map(load, Dialect::Bin, &mut bytes);
        replace_file(&dir.join(".load.p"), &bytes, 0o600)?;
        // A batch publishes one job several times, each time for others; all of them are meant.
        let mut ids: BTreeSet<String> = self
            .minions(&dir)?
            .unwrap_or_default()
            .into_iter()
            .collect();
        ids.extend(minions.iter().map(|id| id.as_str().to_owned()));
        let ids: Value = ids.iter().collect();
        bytes.clear();
        msgpack::encode(&ids, Dialect::Bin, &mut bytes);
        replace_file(&dir.join(".minions.p"), &bytes, 0o600)?;
        // Readers take a directory with this file for a job, so it comes last.
        replace_file(&dir.join("jid"), jid.as_str().as_bytes(), 0o600)
    }

    /// Notes what a minion returned for a job that was published to it.
    ///
    /// `ret` is the return's load: `return`, `retcode`, `success` and perhaps `out` are kept.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store_return(&self, jid: &Jid, id: &MinionId, ret: &Map) -> io::Result<Stored> {
        let dir = self.directory(jid);
        let meant = match self.minions(&dir)? {
            Some(minions) => minions.iter().any(|minion| minion == id.as_str()),
            None => false,
        };
        if !meant {
            return Ok(Stored::Unsolicited);
        }
        let dir = dir.join(id.as_str());
        make_dir(&dir)?;
        let kept: Map = ["return", "retcode", "success"]
            .into_iter()
            .filter_map(|key| Some((key, ret.get(key)?.clone())))
            .collect();
        let mut bytes = Vec::new();
        msgpack::encode_map(&kept, Dialect::Bin, &mut bytes);
        let mut stored = Stored::First;
        for attempt in 0..=MAX_CONFLICTS {
            let path = match attempt {
                0 => dir.join("return.p"),
                n => dir.join(format!("return.{n}.p")),
            };
            match fs::read(&path) {
                Ok(known) if known == bytes => {
                    return Ok(if attempt == 0 {
                        Stored::Again
                    } else {
                        Stored::Conflict
                    });
                }
                Ok(_) => stored = Stored::Conflict,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    replace_file(&path, &bytes, 0o600)?;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if stored == Stored::First
            && let Some(out) = ret.str("out")
        {
            let mut bytes = Vec::new();
            msgpack::encode(&out.into(), Dialect::Bin, &mut bytes);
            replace_file(&dir.join("out.p"), &bytes, 0o600)?;
        }
        Ok(stored)
    }

    /// Notes a return nobody asked for: a `salt-call`, or an answer to a job for others. It stands apart from the
    /// published jobs, at most [`JobCache::MAX_UNSOLICITED`] for each minion, the oldest going first (E-02).
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store_unsolicited(&self, jid: &Jid, id: &MinionId, ret: &Map) -> io::Result<()> {
        let dir = self.unsolicited().join(id.as_str());
        make_dir(&dir)?;
        let mut bytes = Vec::new();
        msgpack::encode_map(ret, Dialect::Bin, &mut bytes);
        replace_file(&dir.join(format!("{jid}.p")), &bytes, 0o600)?;
        let mut kept = entries(&dir)?;
        kept.sort();
        for name in kept.iter().rev().skip(Self::MAX_UNSOLICITED) {
            fs::remove_file(dir.join(name))?;
        }
        Ok(())
    }

    /// Beside the jobs, so that programs that walk them find only jobs.
    fn unsolicited(&self) -> PathBuf {
        self.root.with_file_name("unsolicited_returns")
    }

    /// The job of an id, if it is known.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub fn job(&self, jid: &Jid) -> io::Result<Option<StoredJob>> {
        let dir = self.directory(jid);
        let Some(Value::Map(load)) = self.read(&dir.join(".load.p"))? else {
            return Ok(None);
        };
        let minions = self.minions(&dir)?.unwrap_or_default();
        Ok(Some(StoredJob {
            jid: jid.clone(),
            load,
            minions,
        }))
    }

    /// What the minions returned for a job: id to a map with `return` and perhaps `retcode`, `success`, `out`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn returns(&self, jid: &Jid) -> io::Result<Map> {
        let dir = self.directory(jid);
        let mut names: Vec<String> = entries(&dir)?
            .into_iter()
            .filter(|name| !name.starts_with('.') && dir.join(name).is_dir())
            .collect();
        names.sort();
        let mut returns = Map::new();
        for name in names {
            let Some(value) = self.read(&dir.join(&name).join("return.p"))? else {
                continue;
            };
            let mut ret = match value {
                Value::Map(map) if map.contains_key("return") => map,
                // Files of old releases hold the bare value.
                bare => Map::from([("return", bare)]),
            };
            if let Some(out) = self.read(&dir.join(&name).join("out.p"))? {
                ret.insert("out", out);
            }
            returns.insert(name, ret);
        }
        Ok(returns)
    }

    /// The ids of all jobs, oldest first.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<Jid>> {
        let mut jids = Vec::new();
        self.each(|_, jid, _| {
            jids.extend(jid);
            Ok(())
        })?;
        jids.sort();
        Ok(jids)
    }

    /// Removes the jobs that are older than `keep` (Salt's `keep_jobs_seconds`), and directories that hold no job.
    /// Answers how many it removed.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn clean(&self, keep: Duration, now: SystemTime) -> io::Result<usize> {
        let mut removed = 0;
        self.each(|dir, jid, written| {
            let age = now.duration_since(written).unwrap_or_default();
            // A directory that is just being made has no `jid` file yet.
            let limit = if jid.is_some() {
                keep
            } else {
                keep.min(Duration::from_secs(60))
            };
            if age > limit {
                fs::remove_dir_all(dir)?;
                removed += 1;
            }
            Ok(())
        })?;
        Ok(removed)
    }

    /// Calls `visit` with each job's directory, id and time.
    fn each(
        &self,
        mut visit: impl FnMut(&Path, Option<Jid>, SystemTime) -> io::Result<()>,
    ) -> io::Result<()> {
        for first in entries(&self.root)? {
            let first = self.root.join(first);
            for rest in entries(&first)? {
                let dir = first.join(rest);
                let (jid, written) = match fs::read_to_string(dir.join("jid")) {
                    Ok(text) => (
                        text.trim().parse().ok(),
                        fs::metadata(dir.join("jid"))?.modified()?,
                    ),
                    Err(_) => match fs::metadata(&dir) {
                        Ok(metadata) => (None, metadata.modified()?),
                        Err(_) => continue,
                    },
                };
                visit(&dir, jid, written)?;
            }
        }
        Ok(())
    }

    fn minions(&self, dir: &Path) -> io::Result<Option<Vec<String>>> {
        let Some(Value::List(ids)) = self.read(&dir.join(".minions.p"))? else {
            return Ok(None);
        };
        Ok(Some(
            ids.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Value>> {
        match fs::read(path) {
            Ok(bytes) => msgpack::decode_utf8(&bytes, &self.limits)
                .map(Some)
                .map_err(|error| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{}: {error}", path.display()),
                    )
                }),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The names in a directory; none if it is not there.
fn entries(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name().into_string().ok()))
            .filter_map(Result::transpose)
            .collect(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> (Self, JobCache) {
            let path =
                std::env::temp_dir().join(format!("salt-jobs-{name}-{}", std::process::id()));
            fs::remove_dir_all(&path).ok();
            (Self(path.clone()), JobCache::new(path))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn jid() -> Jid {
        "20240229123456000789".parse().unwrap()
    }

    fn ids(names: &[&str]) -> BTreeSet<MinionId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn ret(value: i64) -> Map {
        Map::from([
            ("return", Value::from(value)),
            ("retcode", 0.into()),
            ("success", true.into()),
            ("ts", 1.into()),
        ])
    }

    #[test]
    fn a_job_and_its_returns_are_found_again() {
        let (_dir, cache) = Dir::new("found");
        let load = Map::from([("fun", "test.ping"), ("tgt", "*")]);

        cache
            .store_job(&jid(), &load, &ids(&["web1", "db1"]))
            .unwrap();
        assert_eq!(
            cache
                .store_return(&jid(), &"web1".parse().unwrap(), &ret(1))
                .unwrap(),
            Stored::First
        );

        let job = cache.job(&jid()).unwrap().unwrap();
        assert_eq!(
            (job.load, job.minions),
            (load, vec!["db1".to_owned(), "web1".to_owned()])
        );
        let returns = cache.returns(&jid()).unwrap();
        assert_eq!(returns.len(), 1);
        assert_eq!(returns.get("web1").unwrap().get("return"), Some(&1.into()));
        assert_eq!(returns.get("web1").unwrap().get("ts"), None);
        assert_eq!(cache.list().unwrap(), [jid()]);
    }

    // `salt -b 2` of 3008: the next minion starts while the others of the same job still work.
    #[test]
    fn a_job_published_again_is_for_the_former_minions_too() {
        let (_dir, cache) = Dir::new("batch");
        cache
            .store_job(&jid(), &Map::new(), &ids(&["web1", "web2"]))
            .unwrap();
        cache
            .store_job(&jid(), &Map::new(), &ids(&["web3"]))
            .unwrap();

        let late = cache.store_return(&jid(), &"web1".parse().unwrap(), &ret(1));

        assert_eq!(late.unwrap(), Stored::First);
        let job = cache.job(&jid()).unwrap().unwrap();
        assert_eq!(job.minions, ["web1", "web2", "web3"]);
    }

    //
    #[test]
    fn a_repeated_return_is_kept_once_and_a_different_one_beside_it() {
        let (_dir, cache) = Dir::new("repeated");
        let web1: MinionId = "web1".parse().unwrap();
        cache
            .store_job(&jid(), &Map::new(), &ids(&["web1"]))
            .unwrap();

        assert_eq!(
            cache.store_return(&jid(), &web1, &ret(1)).unwrap(),
            Stored::First
        );
        assert_eq!(
            cache.store_return(&jid(), &web1, &ret(1)).unwrap(),
            Stored::Again
        );
        for value in 2..20 {
            assert_eq!(
                cache.store_return(&jid(), &web1, &ret(value)).unwrap(),
                Stored::Conflict
            );
        }

        assert_eq!(
            cache
                .returns(&jid())
                .unwrap()
                .get("web1")
                .unwrap()
                .get("return"),
            Some(&1.into())
        );
        assert_eq!(
            entries(&cache.directory(&jid()).join("web1"))
                .unwrap()
                .len(),
            1 + MAX_CONFLICTS
        );
    }

    // E-02
    #[test]
    fn a_return_nobody_asked_for_is_not_stored() {
        let (_dir, cache) = Dir::new("unsolicited");
        cache
            .store_job(&jid(), &Map::new(), &ids(&["web1"]))
            .unwrap();

        let other = cache
            .store_return(&jid(), &"db1".parse().unwrap(), &ret(1))
            .unwrap();
        let unknown = cache.store_return(
            &"20250101000000000000".parse().unwrap(),
            &"web1".parse().unwrap(),
            &ret(1),
        );

        assert_eq!(
            (other, unknown.unwrap()),
            (Stored::Unsolicited, Stored::Unsolicited)
        );
        assert!(cache.returns(&jid()).unwrap().is_empty());
    }

    // E-05
    #[test]
    fn old_jobs_are_cleaned_and_young_ones_are_not() {
        let (_dir, cache) = Dir::new("clean");
        cache
            .store_job(&jid(), &Map::new(), &ids(&["web1"]))
            .unwrap();
        let day = Duration::from_secs(86_400);

        assert_eq!(cache.clean(day, SystemTime::now()).unwrap(), 0);
        assert_eq!(cache.clean(day, SystemTime::now() + 2 * day).unwrap(), 1);
        assert!(cache.list().unwrap().is_empty());
    }

    // The directory that Salt 3008 computes for this job id.
    #[test]
    fn the_directory_is_named_by_the_hash_of_the_id() {
        let cache = JobCache::new("/jobs");
        assert_eq!(
            cache.directory(&jid()),
            Path::new("/jobs/23/f8b3251e162766f690aa8fca94af593634c4cf21e694e9a0ff190de044e99b")
        );
    }
}
