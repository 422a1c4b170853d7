//! Packages of Python, with an imitation of pip that says what it was told to say when
//! Salt was recorded.

use std::sync::{Arc, Mutex};

use salt_proto::{Map, Value};
use salt_state::{Args, Check, Context, FakeSystem, MinionData, Output, Registry};
use serde_json::Value as Json;

use super::Ended;
use crate::golden::decode;

/// A machine whose pip lists, finds and says what a case says.
fn machine(case: &Json) -> FakeSystem {
    let told = case["machine"].as_object().cloned().unwrap_or_default();
    let said = move |key: &str| -> Option<String> {
        told.get(key).and_then(Json::as_str).map(str::to_owned)
    };
    let list = Arc::new(Mutex::new(said("list").unwrap_or_default()));
    FakeSystem::new()
        .program("/rec/ve/bin/python")
        .directory("/rec/cwd")
        .command("/rec/ve/bin/python", move |command| {
            let line = command.line();
            let code = |key: &str| said(key).map_or(0, |code| code.trim().parse().unwrap_or(1));
            let out = |key: &str, exit: i32, error: &str| Output {
                stdout: said(key).unwrap_or_default().into_bytes(),
                ..Output::failure(exit, error)
            };
            let mut list = list.lock().expect("no panic before");
            if line.contains(" --version") {
                let version = said("version").unwrap_or_default();
                Output::success(format!("pip {version} from /x/pip (python 3.11)\n"))
            } else if line.contains(" list --outdated ") {
                out("outdated", 0, "")
            } else if line.contains(" list ") {
                Output::success(list.clone())
            } else if line.contains(" index versions ") {
                out("versions", code("versionsrc"), "")
            } else {
                if let Some(after) = said("after") {
                    *list = after;
                }
                out("out", code("rc"), &said("err").unwrap_or_default())
            }
        })
}

#[test]
fn packages_of_python_end_as_with_salt() {
    let cases: Vec<Json> =
        serde_json::from_str(include_str!("../../vectors/states/pip.json")).expect("JSON");
    let registry = Registry::builtin();
    let minion = MinionData::default();
    let mut wrong = Vec::new();
    for case in &cases {
        let machine = machine(case);
        let context = Context::new(&registry, &machine, &minion);
        let state = case["state"].as_str().expect("a state");
        let test = case["test"] == Json::Bool(true);
        let Value::Map(named) = decode(&case["args"]) else {
            panic!("arguments of {state}");
        };
        let mut args = Args::new().keyword("bin_env", "/rec/ve");
        for (key, value) in &named {
            if key.as_str() != Some("bin_env") {
                args = args.keyword(key.as_str().expect("a name"), value.clone());
            }
        }
        let low = Map::from([("state", state), ("__env__", "base")]);
        let check = Check::new(&context, &low, test);
        let ended = registry.check(state, &args, &check).and_then(|plan| {
            Ok(Ended::of(if test {
                plan.predicted()
            } else {
                plan.carry_out(&context)?
            }))
        });
        let expected = Ended::recorded(case);
        match ended {
            Ok(ended) if ended == expected => {}
            other => wrong.push(format!(
                "{state} {named:?} test={test}:\n  expected {expected:?}\n  returned {other:?}"
            )),
        }
    }
    println!("{} recorded calls of pip states", cases.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
