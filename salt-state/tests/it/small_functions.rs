//! Functions of a few lines each, called one after the other on one machine, against what
//! Salt 3008.3's own answered.

use salt_proto::Map;
use salt_state::{Args, CallError, Context, FakeSystem, MinionData, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/functions/small.jsonl");

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nQUJD\nREVG\n-----END PUBLIC KEY-----\n";

fn kind(error: &CallError) -> &str {
    match error {
        CallError::Execution(_) => "CommandExecutionError",
        CallError::Invocation(_) => "SaltInvocationError",
        CallError::Arguments(_) => "TypeError",
        CallError::Exception { kind, .. } => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn small_functions_answer_as_salts_do() {
    let machine = FakeSystem::new()
        .directory("/tmp/fnt")
        .file("/tmp/fnt/k", "ssh-rsa QUJDRA== me\n")
        .file("/pki/minion.pub", KEY)
        .file("/pki/minion_master.pub", KEY);
    let registry = Registry::builtin();
    let minion = MinionData {
        config: Map::from([("cachedir", "/cache"), ("pki_dir", "/pki")]),
        ..MinionData::default()
    };
    let context = Context::new(&registry, &machine, &minion);
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let mut args = Args::new();
        for value in case["args"].as_array().unwrap() {
            args = args.with(decode(value));
        }
        for (key, value) in case["kwargs"].as_object().unwrap() {
            args = args.keyword(key, decode(value));
        }
        let answer = registry.call(case["fun"].as_str().unwrap(), &args, &context);
        count += 1;
        let is_same = match (&answer, case["raised"].as_str()) {
            (Ok(value), None) => *value == decode(&case["ret"]),
            (Err(error), Some(raised)) => {
                kind(error) == raised && error.to_string() == case["text"].as_str().unwrap()
            }
            _ => false,
        };
        if !is_same {
            wrong.push(format!("{line}\n got {answer:?}"));
        }
    }
    println!("{count} recorded calls checked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 60, "{count}");
}
