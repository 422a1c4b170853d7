//! `salt-call --local` against what Salt 3008.3 printed for the same command lines, recorded by
//! `interop/calls`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A minion's directory that is gone when the test ends.
struct Minion(PathBuf);

impl Minion {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("salt-calls-{}", std::process::id()));
        fs::remove_dir_all(&root).ok();
        fs::create_dir_all(root.join("etc")).unwrap();
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calls");
        symlink(tree, root.join("srv")).unwrap();
        let at = |name: &str| root.join(name);
        let config = json!({
            "id": "minion.example.org", "file_client": "local", "root_dir": root, "pki_dir": at("pki"),
            "cachedir": at("cache"), "sock_dir": at("run"), "log_file": at("log"),
            "file_roots": {"base": [at("srv/files")], "dev": [at("srv/devfiles")]},
            "pillar_roots": {"base": [at("srv/pillar")], "dev": [at("srv/devpillar")]},
            "grains": {"os": "Debian", "os_family": "Debian"},
        });
        fs::write(root.join("etc/minion"), config.to_string()).unwrap();
        Self(root)
    }

    /// What a command line prints and ends with, in the form of the recording.
    fn call(&self, line: &str) -> Value {
        let done = Command::new(env!("CARGO_BIN_EXE_salt-call"))
            .args(["--local", "-l", "quiet", "--no-color", "-c"])
            .arg(self.0.join("etc"))
            .args(words(line))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&self.0.display().to_string(), "@ROOT@")
        };
        let err = text(&done.stderr);
        let before = err
            .split("Traceback (most recent call last)")
            .next()
            .unwrap_or_default();
        let err: Vec<&str> = before.trim().lines().take(1).collect();
        // The usage that follows is the documentation, which is ours.
        let usage = err
            .first()
            .is_some_and(|line| line.starts_with("Passed invalid arguments"));
        let out = if usage {
            String::new()
        } else {
            text(&done.stdout)
        };
        json!({"line": line, "out": out, "err": err, "status": done.status.code()})
    }
}

impl Drop for Minion {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Words as a shell takes them apart; only single quotes are used.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn salt_call_prints_and_ends_as_salt_does() {
    let recorded: Vec<Value> =
        serde_json::from_str(include_str!("../vectors/salt-call.json")).unwrap();
    let minion = Minion::new();

    let wrong: Vec<String> = recorded
        .iter()
        .filter_map(|expected| {
            let found = minion.call(expected["line"].as_str().unwrap());
            (found != *expected).then(|| format!("expected {expected}\n   found {found}"))
        })
        .collect();

    println!(
        "{} of {} command lines as recorded",
        recorded.len() - wrong.len(),
        recorded.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(recorded.len() >= 40);
}
