//! What a minion has to remember when its process ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use salt_crypto::PublicKey;
use salt_proto::{Jid, JidLog, MasterTrust, MinionConfig, Value};

use crate::pki::PkiDir;

/// The master's key, as Salt names it in a minion's `pki_dir`.
const MASTER: &str = "minion_master";
/// Stands beside it when that master takes part in choosing session suites.
const SUITES: &str = "minion_master.suites";
/// The jobs already run: a job id a line, each written before its job starts. A
/// line that begins with `<=` says that everything up to that job has been run.
const JOBS: &str = "jobs_seen";
const UP_TO: &str = "<=";
/// Lines after which the file is written anew, with what still counts.
const LINES: usize = 4 * MinionConfig::JOBS_REMEMBERED;

#[derive(Debug)]
pub(super) struct Memory(Option<Places>);

#[derive(Debug)]
struct Places {
    pki: PkiDir,
    cache: PathBuf,
    jobs: Option<File>,
    lines: usize,
}

impl Memory {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn on_disk(pki: PkiDir, cache: PathBuf) -> Self {
        Self(Some(Places {
            pki,
            cache,
            jobs: None,
            lines: 0,
        }))
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
        match fs::read(places.cache.join(JOBS)) {
            Ok(bytes) => read_jobs(&bytes, &mut config.jobs),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
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
                report("the master's suites", replace(&path, b"1\n").map(drop));
            }
        }
    }

    /// Notes a job that is about to start; `jobs` has it already.
    pub(super) fn keep_job(&mut self, jid: &Jid, jobs: &JidLog) {
        if let Some(places) = &mut self.0 {
            report("the jobs already run", places.keep_job(jid, jobs));
        }
    }
}

impl Places {
    fn keep_job(&mut self, jid: &Jid, jobs: &JidLog) -> io::Result<()> {
        match &mut self.jobs {
            Some(file) if self.lines < LINES => {
                self.lines += 1;
                file.write_all(format!("{jid}\n").as_bytes())
            }
            _ => {
                fs::create_dir_all(&self.cache)?;
                let text = write_jobs(jobs);
                self.lines = text.lines().count();
                self.jobs = Some(replace(&self.cache.join(JOBS), text.as_bytes())?);
                Ok(())
            }
        }
    }
}

fn write_jobs(jobs: &JidLog) -> String {
    let map = jobs.to_map();
    let mut text = String::new();
    if let Some(mark) = map.str("mark") {
        text.push_str(UP_TO);
        text.push_str(mark);
        text.push('\n');
    }
    let seen = map.get("seen").and_then(Value::as_list);
    for jid in seen.unwrap_or_default().iter().filter_map(Value::as_str) {
        text.push_str(jid);
        text.push('\n');
    }
    text
}

/// A line that is none is skipped: half a line is of a job that never started.
fn read_jobs(bytes: &[u8], jobs: &mut JidLog) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some(mark) = line.strip_prefix(UP_TO) {
            if let Ok(mark) = mark.parse() {
                jobs.raise_mark(mark);
            }
        } else if let Ok(jid) = line.parse() {
            jobs.admit(&jid);
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

/// Replaces a file as a whole, owner-only from its first byte (P-06). What is
/// returned goes on at its end.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(n: usize) -> Jid {
        Jid::from_unix_micros(1_700_000_000_000_000 + n as u64)
    }

    fn read(text: &[u8]) -> JidLog {
        let mut jobs = JidLog::new(MinionConfig::JOBS_REMEMBERED);
        read_jobs(text, &mut jobs);
        jobs
    }

    //
    #[test]
    fn every_job_is_known_to_the_next_process() {
        let dir = std::env::temp_dir().join(format!("salt-memory-{}", std::process::id()));
        let pki = PkiDir::open(dir.join("pki")).unwrap();
        let mut memory = Memory::on_disk(pki, dir.join("cache"));
        let mut jobs = JidLog::new(MinionConfig::JOBS_REMEMBERED);

        // Enough to write the file anew.
        for n in 0..LINES + 2 * MinionConfig::JOBS_REMEMBERED {
            assert!(jobs.admit(&jid(n)));
            memory.keep_job(&jid(n), &jobs);
            if n % 997 == 0 {
                let kept = fs::read(dir.join("cache").join(JOBS)).unwrap();
                assert_eq!(read(&kept), jobs, "after {n}");
            }
        }

        let kept = fs::read(dir.join("cache").join(JOBS)).unwrap();
        assert_eq!(read(&kept), jobs);
        assert!(String::from_utf8(kept).unwrap().lines().count() <= LINES);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let text = format!("{}\nnonsense\n{{}}\n{}\n2026", jid(1), jid(2));
        let mut bytes = text.into_bytes();
        bytes.push(0xff);

        let jobs = read(&bytes);

        assert!(jobs.contains(&jid(1)) && jobs.contains(&jid(2)));
        assert!(!jobs.contains(&jid(3)));
    }
}
