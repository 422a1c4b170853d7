//! State modules against what Salt 3008.3 returned, in a dry run, for real and once more,
//! on a machine whose tools are small imitations of the real ones.

use std::path::Path;

use salt_proto::{Map, Value};
use salt_state::{
    Args, Changes, Check, Context, FakeSystem, MemorySources, MinionData, Observe, Outcome, Plan,
    Registry,
};
use serde_json::Value as Json;

use crate::golden::decode;

pub(crate) mod accounts;
mod git_latest;
mod packages;
mod pip;
mod services;
mod tables;

/// What a function of a state came to, as far as it is recorded.
#[derive(Debug, PartialEq)]
struct Ended {
    result: Value,
    comment: Value,
    changes: Value,
    warnings: Vec<String>,
}

impl Ended {
    fn recorded(json: &Json) -> Self {
        let warnings = json["warnings"].as_array().cloned().unwrap_or_default();
        Self {
            result: decode(&json["result"]),
            comment: decode(&json["comment"]),
            changes: decode(&json["changes"]),
            warnings: warnings
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect(),
        }
    }

    fn of(outcome: Outcome) -> Self {
        Self {
            result: outcome.result.into(),
            comment: outcome.comment,
            changes: outcome.changes.into(),
            warnings: outcome.warnings,
        }
    }
}

/// A machine, and what tells a set-up line to it.
struct Bench {
    machine: FakeSystem,
    minion: MinionData,
    sources: MemorySources,
}

impl Bench {
    fn new(machine: FakeSystem) -> Self {
        Self {
            machine,
            minion: MinionData {
                id: "bench".to_owned(),
                grains: Map::from([("os_family", "Debian"), ("init", "unknown")]).into(),
                ..MinionData::default()
            },
            sources: MemorySources::new(),
        }
    }

    /// Replays recorded calls. A dry run must leave the machine as it is, and what is
    /// predicted must be what changes.
    fn replay(&self, recorded: &str, predicts: impl Fn(&str, &Map) -> bool) {
        let cases: Vec<Json> = serde_json::from_str(recorded).expect("JSON");
        let registry = Registry::builtin();
        let mut wrong = Vec::new();
        let mut count = 0;
        for case in &cases {
            for line in case["setup"].as_array().into_iter().flatten() {
                let words: Vec<&str> = line.as_str().expect("text").split(' ').collect();
                self.run(&words);
            }
            let Some(state) = case["state"].as_str() else {
                continue;
            };
            let Value::Map(named) = decode(&case["args"]) else {
                panic!("arguments of {state}");
            };
            let mut args = Args::new();
            for (key, value) in &named {
                args = args.keyword(key.as_str().expect("a name"), value.clone());
            }
            for mode in ["test", "apply", "again"] {
                let Some(expected) = case.get(mode) else {
                    continue;
                };
                count += 1;
                let expected = Ended::recorded(expected);
                let test = mode == "test";
                let before = self.machine.tree();
                let mut context = Context::new(&registry, &self.machine, &self.minion);
                context.sources = Some(&self.sources);
                let low = Map::from([("state", state), ("__env__", "base")]);
                let check = Check::new(&context, &low, test);
                let plan: Plan = match registry.check(state, &args, &check) {
                    Ok(plan) => plan,
                    Err(error) => {
                        wrong.push(format!("{state} {named:?} {mode}: {error}"));
                        continue;
                    }
                };
                if before != self.machine.tree() {
                    wrong.push(format!(
                        "{state} {named:?} {mode}: the check changed something"
                    ));
                }
                let planned: Changes = plan.changes.clone();
                let outcome = if test {
                    plan.predicted()
                } else {
                    match plan.carry_out(&context) {
                        Ok(outcome) => outcome,
                        Err(error) => {
                            wrong.push(format!("{state} {named:?} {mode}: {error}"));
                            continue;
                        }
                    }
                };
                if !test
                    && outcome.result == Some(true)
                    && predicts(state, &named)
                    && Value::from(planned.clone()) != Value::from(outcome.changes.clone())
                {
                    wrong.push(format!(
                        "{state} {named:?} {mode}: predicted {planned:?}, changed {:?}",
                        outcome.changes
                    ));
                }
                let ended = Ended::of(outcome);
                if ended != expected {
                    wrong.push(format!(
                        "{state} {named:?} {mode}:\n  expected {expected:?}\n  returned {ended:?}"
                    ));
                }
            }
        }
        println!("{count} recorded calls of states");
        assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn run(&self, words: &[&str]) {
        use salt_state::{Command, System};
        let (program, args) = words.split_first().expect("a program");
        let output = self
            .machine
            .run(&Command::new(*program).args(args.iter().copied()))
            .expect("it runs");
        assert!(output.is_success(), "{words:?}: {}", output.stderr_text());
    }
}

fn text(machine: &FakeSystem, path: &str) -> String {
    machine
        .text(Path::new(path))
        .expect("it can be read")
        .unwrap_or_default()
}

fn put(machine: &FakeSystem, path: &str, content: &str) {
    use salt_state::{System, WriteOptions};
    machine
        .create_dir_all(Path::new(path).parent().expect("a parent"), 0o755)
        .expect("directories");
    machine
        .write(Path::new(path), content.as_bytes(), &WriteOptions::new())
        .expect("it can be written");
}
