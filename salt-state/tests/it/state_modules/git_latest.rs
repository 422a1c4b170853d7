//! `git.latest` with real repositories: what Salt 3008.3 said of each, and how it left them.

use std::path::{Path, PathBuf};

use salt_state::{Args, Check, Command, Context, Host, MinionData, Registry, System};
use serde_json::Value as Json;

use super::Ended;
use crate::golden::decode;
use salt_proto::Map;

const RECORDED: &str = include_str!("../../vectors/states/git_latest.jsonl");

/// What every set-up of a recording starts with.
const PRELUDE: &str = r#"
set -e
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
commit() { echo "$3" > "$1/$2"; git -C "$1" add "$2"; git -C "$1" commit -q -m "$3"; }
"#;

/// How a checkout is: branches, tags, what is checked out, settings, what is not committed.
const LOOK: &str = "git for-each-ref --format='%(refname) %(objectname)'; git symbolic-ref -q HEAD || git rev-parse HEAD; git config --local --list | grep -v '^core' | LC_ALL=C sort; test -e .git && git status --porcelain; true";

struct Bench {
    directory: PathBuf,
    machine: Host,
}

impl Bench {
    fn new(directory: &Path) -> Self {
        let machine = Host::new();
        for (name, value) in [
            ("HOME", directory.to_owned()),
            ("GIT_CONFIG_GLOBAL", directory.join("gitconfig")),
            ("GIT_CONFIG_NOSYSTEM", PathBuf::from("1")),
        ] {
            machine.set_env(name.as_ref(), Some(value.as_os_str()));
        }
        Self {
            directory: directory.to_owned(),
            machine,
        }
    }

    fn shell(&self, line: &str, cwd: &Path) -> String {
        let command = Command::shell(line)
            .env("D", self.directory.as_os_str())
            .cwd(cwd);
        let output = self.machine.run(&command).expect("a shell");
        assert!(output.is_success(), "{line}: {}", output.stderr_text());
        output.stdout_text()
    }

    fn look(&self) -> Json {
        let target = self.directory.join("dst");
        if !target.is_dir() {
            return Json::Null;
        }
        Json::from(self.shell(LOOK, &target))
    }
}

/// Gives what differs from run to run its name of this run.
fn named(recorded: &Json, directory: &str, commit: &str) -> Json {
    let text = recorded
        .to_string()
        .replace("@DIR@", directory)
        .replace("@SHORT@", &commit[..7])
        .replace("@SHA@", commit);
    serde_json::from_str(&text).expect("JSON")
}

fn replay(line: &str, directory: &Path) -> Vec<String> {
    let case: Json = serde_json::from_str(line).expect("JSON");
    let bench = Bench::new(directory);
    let setup = case["setup"].as_str().expect("text");
    bench.shell(&format!("{PRELUDE}{setup}"), directory);
    let commit = bench.shell("git -C $D/src rev-parse master", directory);
    let (commit, shown) = (commit.trim(), directory.display().to_string());
    let mut args = Args::new()
        .keyword("name", format!("{shown}/src"))
        .keyword("target", format!("{shown}/dst"));
    for (key, value) in case["args"].as_object().expect("a mapping") {
        args = args.keyword(key, decode(&named(value, &shown, commit)));
    }
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let mut wrong = Vec::new();
    let mut before = bench.look();
    for step in case["steps"].as_array().expect("a list") {
        let test = step["step"] == "test";
        let context = Context::new(&registry, &bench.machine, &minion);
        let low = Map::from([("state", "git"), ("fun", "latest")]);
        let check = Check::new(&context, &low, test);
        let plan = registry.check("git.latest", &args, &check).expect("a plan");
        if test {
            assert_eq!(bench.look(), before, "the check changed something");
        }
        let is_settled = !plan.is_change();
        let outcome = if test {
            plan.predicted()
        } else {
            plan.carry_out(&context).expect("an outcome")
        };
        let ended = Ended::of(outcome);
        let wanted = named(&step["ret"], &shown, commit);
        if !wanted.is_null() && ended != Ended::recorded(&wanted) {
            wrong.push(format!(
                "{setup} {}\n  {}: wanted {wanted}\n  came to {ended:?}",
                case["args"], step["step"]
            ));
        }
        let (wanted, after) = (named(&step["after"], &shown, commit), bench.look());
        if after != wanted {
            wrong.push(format!(
                "{setup} {}\n  {}: wanted {wanted}\n  is {after}",
                case["args"], step["step"]
            ));
        }
        if is_settled && after != before {
            wrong.push(format!(
                "{setup} {}: an unchanged state changed",
                case["args"]
            ));
        }
        before = after;
    }
    wrong
}

/// Left out are the two comments of a dry run that Salt gets wrong: the text of a Python
/// exception where a remote has no name yet, and a sentence about a bare repository with
/// a full stop after every letter.
#[test]
fn git_latest_says_and_does_what_salt_does() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let top = std::env::temp_dir().join(format!("git-latest-{}", std::process::id()));
    for line in RECORDED.lines() {
        let directory = top.join(count.to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        wrong.extend(replay(line, &directory));
        count += 1;
    }
    std::fs::remove_dir_all(&top).expect("it is there");
    assert!(count > 40, "{count} recordings");
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
