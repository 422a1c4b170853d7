//! One process, as `/proc` shows it (`proc(5)`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{numbers, text};
use crate::system::Observe;

/// Bytes in a page of memory.
const PAGE: u64 = 4096;

/// A process, with what its `stat` said when it was looked at.
pub(super) struct Process<'a> {
    pub(super) machine: &'a dyn Observe,
    pub(super) pid: u32,
    short: String,
    /// The fields behind the name: the first is the state, field 3 of the manual.
    fields: Vec<String>,
}

/// The ids of all processes, sorted.
pub(super) fn ids(machine: &dyn Observe) -> Vec<u32> {
    let names = machine.list(Path::new("/proc")).unwrap_or_default();
    let mut ids: Vec<u32> = names
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    ids.sort_unstable();
    ids
}

/// All processes, sorted by id.
pub(super) fn all(machine: &dyn Observe) -> Vec<Process<'_>> {
    let ids = ids(machine).into_iter();
    ids.filter_map(|pid| Process::of(machine, pid)).collect()
}

impl<'a> Process<'a> {
    /// The process of that id, if there is one.
    pub(super) fn of(machine: &'a dyn Observe, pid: u32) -> Option<Self> {
        let line = text(machine, format!("/proc/{pid}/stat"));
        // A name may hold anything, a closing bracket too.
        let (before, after) = line.rsplit_once(')')?;
        let (_, short) = before.split_once('(')?;
        Some(Self {
            machine,
            pid,
            short: short.to_owned(),
            fields: after.split_whitespace().map(str::to_owned).collect(),
        })
    }

    pub(super) fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    pub(super) fn file(&self, name: &str) -> String {
        text(self.machine, self.place(name))
    }

    /// A field of `stat` by its number in the manual.
    pub(super) fn field(&self, number: usize) -> &str {
        let found = number.checked_sub(3).and_then(|at| self.fields.get(at));
        found.map_or("", String::as_str)
    }

    pub(super) fn number(&self, field: usize) -> u64 {
        self.field(field).parse().unwrap_or(0)
    }

    pub(super) fn is_zombie(&self) -> bool {
        self.field(3) == "Z"
    }

    /// Ticks since the start of the machine.
    pub(super) fn started(&self) -> u64 {
        self.number(22)
    }

    pub(super) fn create_time(&self, boot: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "Python adds floats too")]
        let boot = boot as f64;
        super::seconds(self.started()) + boot
    }

    /// Its name; the kernel keeps fifteen letters, the rest is taken from the command line.
    pub(super) fn name(&self) -> String {
        if self.short.len() < 15 {
            return self.short.clone();
        }
        let words = self.words();
        let long = words.first().and_then(|program| program.rsplit('/').next());
        match long {
            Some(long) if long.starts_with(&self.short) => long.to_owned(),
            _ => self.short.clone(),
        }
    }

    /// The words of its command line; those that overwrote theirs have blanks between.
    pub(super) fn words(&self) -> Vec<String> {
        let line = self.file("cmdline");
        if line.is_empty() {
            return Vec::new();
        }
        let between = if line.ends_with('\0') { '\0' } else { ' ' };
        let line = line.strip_suffix(between).unwrap_or(&line);
        let words: Vec<String> = line.split(between).map(str::to_owned).collect();
        match &*words {
            [one] if between == '\0' && one.contains(' ') => {
                one.split(' ').map(str::to_owned).collect()
            }
            _ => words,
        }
    }

    /// The word for its state.
    pub(super) fn status(&self) -> &'static str {
        match self.field(3) {
            "R" => "running",
            "S" => "sleeping",
            "D" => "disk-sleep",
            "T" => "stopped",
            "t" => "tracing-stop",
            "Z" => "zombie",
            "X" | "x" => "dead",
            "K" => "wake-kill",
            "W" => "waking",
            "I" => "idle",
            "P" => "parked",
            _ => "?",
        }
    }

    /// What follows a key in `status`.
    pub(super) fn stated(&self, key: &str) -> Option<String> {
        let table = self.file("status");
        let line = table.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name == key).then_some(value)
        })?;
        Some(line.trim().to_owned())
    }

    /// Real, effective and saved number of the user (`Uid`) or the group (`Gid`).
    pub(super) fn owners(&self, key: &str) -> Vec<u64> {
        let mut all = numbers(&self.stated(key).unwrap_or_default());
        all.truncate(3);
        all
    }

    /// The name of the user it runs as; the number of one that has none.
    pub(super) fn username(&self) -> String {
        let uid = self.owners("Uid").first().copied().unwrap_or(0);
        let known = u32::try_from(uid).ok();
        let user = known.and_then(|uid| self.machine.user_by_id(uid).ok().flatten());
        user.map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// Ticks in its own code and the kernel's, those of its children, and waiting for
    /// disks.
    pub(super) fn cpu_ticks(&self) -> [u64; 5] {
        [14, 15, 16, 17, 42].map(|field| self.number(field))
    }

    /// Bytes: resident, all, shared, code, libraries, data, dirty.
    pub(super) fn memory(&self) -> [u64; 7] {
        let pages = numbers(&self.file("statm"));
        let of = |at: usize| pages.get(at).copied().unwrap_or(0).saturating_mul(PAGE);
        [of(1), of(0), of(2), of(3), of(4), of(5), of(6)]
    }

    /// The numbers of its open files, sorted.
    pub(super) fn descriptors(&self) -> Vec<u32> {
        let names = self.machine.list(&self.place("fd")).unwrap_or_default();
        let mut numbers: Vec<u32> = names
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Its open files: number and what the link says. Nothing when we may not know.
    pub(super) fn open(&self) -> Option<Vec<(u32, String)>> {
        let mut all = Vec::new();
        for number in self.descriptors() {
            match self.machine.read_link(&self.place(&format!("fd/{number}"))) {
                Ok(target) => all.push((number, target.display().to_string())),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
                // Closed in the meantime.
                Err(_) => {}
            }
        }
        Some(all)
    }
}
