//! A run that is killed at any moment leaves every file as it was or as it should be.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use salt_proto::{Map, Value};
use salt_state::{Args, Context, Host, MemorySources, MinionData, Observe, Registry};

/// How many files a run writes.
const FILES: usize = 500;

/// At how many moments runs are killed, unless `SALT_KILLS` says so.
const KILLS: usize = 20;

/// Where the run is told to write, and which version.
const DIRECTORY: &str = "SALT_KILLED_RUN_DIRECTORY";
const VERSION: &str = "SALT_KILLED_RUN_VERSION";

fn content(version: usize, file: usize) -> String {
    format!("version {version} of file {file}\n").repeat(20)
}

/// Content and mode change together.
fn mode(version: usize) -> u32 {
    if version.is_multiple_of(2) {
        0o600
    } else {
        0o644
    }
}

/// The run that is killed: this program again, told where to write.
#[test]
fn a_run_that_may_be_killed() {
    let (Ok(directory), Ok(version)) = (std::env::var(DIRECTORY), std::env::var(VERSION)) else {
        return;
    };
    let version: usize = version.parse().expect("a number");
    let mut sls = String::new();
    for file in 0..FILES {
        let text = serde_json::to_string(&content(version, file)).expect("text");
        sls.push_str(&format!(
            "{directory}/{file}:\n  file.managed:\n    - mode: '{:04o}'\n    - contents: {text}\n",
            mode(version)
        ));
    }
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let (host, registry) = (Host::new(), Registry::builtin());
    let minion = MinionData {
        id: "m".to_owned(),
        config: Map::from([("cachedir", format!("{directory}.cache"))]),
        ..MinionData::default()
    };
    let mut context = Context::new(&registry, &host, &minion);
    context.sources = Some(&tree);
    // The first entry means that files are being written by now.
    let begun = |done: usize, _: usize, _: &str, _: &Map| {
        if done == 1 {
            println!("\nbegun");
            std::io::stdout().flush().expect("somebody reads");
        }
    };
    context.progress = Some(&begun);

    let entries = registry.call("state.apply", &Args::new().with("s"), &context);

    let Ok(Value::Map(entries)) = entries else {
        panic!("{entries:?}");
    };
    assert_eq!(entries.len(), FILES);
}

/// A run that is writing. Its output stays open, or it would fail for want of a reader.
struct Running {
    child: Child,
    _output: BufReader<ChildStdout>,
}

/// Starts a run and waits until it writes.
fn start(directory: &Path, version: usize) -> Running {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["kill::a_run_that_may_be_killed", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(VERSION, version.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = child.stdout.take().expect("its output");
    let mut output = BufReader::new(stdout);
    let begun = output
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "begun");
    assert!(begun, "the run ended before it wrote anything");
    Running {
        child,
        _output: output,
    }
}

/// The version that each file is in: the one it was in, or the one that was being written.
fn versions(directory: &Path, before: &[usize], after: usize) -> Vec<usize> {
    let file = |(file, before): (usize, &usize)| {
        let path = directory.join(file.to_string());
        let found = std::fs::read_to_string(&path).expect("a file");
        let bits = std::fs::metadata(&path).expect("facts").mode() & 0o7777;
        let is_in = |version: usize| found == content(version, file) && bits == mode(version);
        [*before, after]
            .into_iter()
            .find(|version| is_in(*version))
            .unwrap_or_else(|| {
                panic!(
                    "{} is neither old nor new: {bits:04o}, {} bytes, {:?} …",
                    path.display(),
                    found.len(),
                    found.chars().take(40).collect::<String>()
                )
            })
    };
    before.iter().enumerate().map(file).collect()
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
        let _left = std::fs::remove_dir_all(self.0.with_extension("cache"));
    }
}

#[test]
fn a_killed_run_leaves_each_file_old_or_new() {
    // Every file is synced; in memory that costs nothing.
    let shared = Path::new("/dev/shm");
    let base = if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    };
    let place = Place(base.join(format!("salt-killed-{}", std::process::id())));
    let directory = place.0.as_path();
    std::fs::create_dir_all(directory).expect("a directory");
    let host = Host::new();

    let mut first = start(directory, 0);
    let begun = Instant::now();
    assert!(first.child.wait().expect("it ends").success());
    // How long a run may be let alone: about as long as one takes.
    let mut window = begun.elapsed();
    let mut now = versions(directory, &[0; FILES], 0);

    let asked = std::env::var("SALT_KILLS").ok();
    let kills = asked.and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let (mut first, mut amid, mut last) = (0, 0, 0);
    for version in 1..=kills {
        let mut run = start(directory, version);
        let begun = Instant::now();
        let mut random = [0; 4];
        host.random(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        std::thread::sleep(window.mul_f64(share));
        run.child.kill().expect("it is killed");
        if run.child.wait().expect("it ends").success() {
            window = window.min(begun.elapsed());
        }

        now = versions(directory, &now, version);
        match now.iter().filter(|found| **found == version).count() {
            0 => first += 1,
            FILES => last += 1,
            _ => amid += 1,
        }
    }
    println!(
        "{kills} kills: {first} before the first of {FILES} files, {amid} amid them, {last} after the last"
    );
    assert!(amid > kills / 4, "hardly any kill hit a run that wrote");
}
