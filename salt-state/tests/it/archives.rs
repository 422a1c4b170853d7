//! `archive.extracted` on real archives, made here with the machine's `tar`, against what
//! Salt 3008.3's own said of the same ones.

#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails the test"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use salt_proto::{Map, Value};
use salt_state::{Args, Context, Host, MinionData, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/states/archive.jsonl");

/// Where the recording was made.
const THERE: &str = "/tmp/a";

struct Place(PathBuf);

impl Place {
    fn new(number: usize) -> Self {
        let path = std::env::temp_dir().join(format!("archives-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("d/s")).unwrap();
        let this = Self(path);
        for (file, text) in [("d/x", "x\n"), ("d/s/z", "z\n"), ("y", "y\n"), ("x", "x\n")] {
            std::fs::write(this.0.join(file), text).unwrap();
        }
        std::fs::write(this.0.join("bad.tar"), "junk\n").unwrap();
        // In this order, as the recording has it.
        let tree = ["d", "d/x", "d/s", "d/s/z"];
        this.tar("one.tar.gz", "czf", &tree);
        this.tar("one.tar.xz", "cJf", &tree);
        this.tar("many.tar", "cf", &["x", "y"]);
        this.tar("f.tar", "cf", &["x"]);
        std::os::unix::fs::symlink("x", this.0.join("d/l")).unwrap();
        this.tar("l.tar", "cf", &["d", "d/x", "d/l", "d/s", "d/s/z"]);
        this
    }

    fn tar(&self, archive: &str, letters: &str, files: &[&str]) {
        let status = Command::new("tar")
            .args([letters, archive, "--no-recursion"])
            .args(files)
            .current_dir(&self.0)
            .status()
            .unwrap();
        assert!(status.success(), "{archive}");
    }

    /// What the recording did before the case.
    fn prepare(&self, setup: &str) {
        let out = self.0.join("out");
        if setup.contains("touch /tmp/a/out/d/junk") {
            std::fs::create_dir_all(out.join("d")).unwrap();
            std::fs::write(out.join("d/junk"), "").unwrap();
        } else if setup.contains("touch /tmp/a/out/d") {
            std::fs::create_dir_all(&out).unwrap();
            std::fs::write(out.join("d"), "").unwrap();
        } else if setup.contains("mkdir -p /tmp/a/out/d") {
            std::fs::create_dir_all(out.join("d")).unwrap();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// The same value with the recording's place for ours.
fn moved(json: &Json, place: &Path) -> Value {
    let text = json.to_string().replace(THERE, &place.to_string_lossy());
    decode(&serde_json::from_str(&text).unwrap())
}

#[test]
fn archives_are_taken_out_as_salt_takes_them_out() {
    let registry = Registry::builtin();
    let minion = MinionData::default();
    let host = Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())]);
    let mut wrong = Vec::new();
    let mut count = 0;
    for (number, line) in RECORDED.lines().enumerate() {
        let case: Json = serde_json::from_str(line).unwrap();
        let place = Place::new(number);
        place.prepare(case["setup"].as_str().unwrap());
        let name = moved(&case["name"], &place.0);
        let kw = moved(&case["kw"], &place.0);
        for step in case["steps"].as_array().unwrap() {
            let mut args = Args::new().with("archive.extracted").with(name.clone());
            for (key, value) in kw.as_map().unwrap() {
                args = args.keyword(key.as_str().unwrap(), value.clone());
            }
            if step["mode"] == "test" {
                args = args.keyword("test", true);
            }
            let context = Context::new(&registry, &host, &minion);
            let ret = registry.call("state.single", &args, &context).unwrap();
            let entry = ret.as_map().and_then(|entries| entries.values().next());
            let shown = |entry: &Value| {
                ["result", "changes", "comment"]
                    .into_iter()
                    .map(|key| (key, entry.get(key).cloned().unwrap_or_default()))
                    .collect::<Map>()
            };
            let (got, expected) = (shown(entry.unwrap()), shown(&moved(step, &place.0)));
            count += 1;
            if got != expected {
                wrong.push(format!("{line}\nexpected {expected:?}\n     got {got:?}"));
                break;
            }
        }
    }
    println!("{count} recorded runs checked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(count > 70);
}
