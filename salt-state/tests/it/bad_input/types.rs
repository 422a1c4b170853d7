//! Arguments of wrong types and names, one at a time: what Salt 3008.3 made of each in a
//! dry run of its most used states.
//!
//! Where a wrong type ends in a Python exception, its text is that of whatever line came
//! upon it first. Those that we do not meet are counted; the counts must not fall.

use salt_proto::Value;
use salt_state::{Args, Context, FakeSystem, MemorySources, MinionData, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../../vectors/states/bad_types.jsonl");

fn machine() -> FakeSystem {
    FakeSystem::new()
        .directory("/tmp/bi/d/s")
        .file("/tmp/bi/f", "one\ntwo\n")
        .file("/tmp/bi/d/x", "x\n")
        .link("/tmp/bi/l", "f")
        .file("/etc/hosts", "127.0.0.1 localhost\n")
        .program("/bin/sh")
}

/// The comment, an exception by its last line.
fn told(entry: &Value) -> String {
    let text = entry.get("comment").map(salt_state::python::str);
    let text = text.unwrap_or_default();
    if text.contains("Traceback (most recent") {
        let last = text.trim().lines().last().unwrap_or_default();
        return format!("EXC {last}");
    }
    text
}

#[test]
fn arguments_of_wrong_types_are_met_as_salt_meets_them() {
    let registry = Registry::builtin();
    let tree = MemorySources::new()
        .file("base", "some.txt", "text\n")
        .file("base", "tree/t", "t\n");
    let minion = MinionData {
        id: "m1".to_owned(),
        ..MinionData::default()
    };
    let (mut count, mut same_result, mut same) = (0, 0, 0);
    let mut different = Vec::new();
    for line in RECORDED.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let Some(comment) = case["comment"].as_str() else {
            continue;
        };
        let machine = machine();
        let mut args = Args::new().with(case["fun"].as_str().unwrap());
        for (key, value) in case["kw"].as_object().unwrap() {
            args = args.keyword(key, decode(value));
        }
        args = args.keyword(case["arg"].as_str().unwrap(), decode(&case["value"]));
        args = args.keyword("test", true);
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);
        let answer = registry.call("state.single", &args, &context);
        count += 1;
        let entry = answer.as_ref().ok().and_then(Value::as_map);
        let Some(entry) = entry.and_then(|entries| entries.values().next()) else {
            different.push(format!("{line}\n got {answer:?}"));
            continue;
        };
        let is_result = entry.get("result") == Some(&decode(&case["result"]));
        let is_same = is_result
            && told(entry) == comment
            && entry.get("changes") == Some(&decode(&case["changes"]));
        same_result += usize::from(is_result);
        same += usize::from(is_same);
        if !is_same {
            different.push(format!(
                "{line}\n got {:?} {:?} {:?}",
                entry.get("result"),
                told(entry),
                entry.get("changes")
            ));
        }
    }
    println!("{same} of {count} as recorded, {same_result} with the same result");
    assert!(
        same >= SAME && same_result >= SAME_RESULT,
        "{same} of {count} as recorded, {same_result} with the same result\n{}",
        different.join("\n")
    );
}

/// As many came to exactly what Salt came to.
const SAME: usize = 627;

/// As many succeeded or failed as Salt's.
const SAME_RESULT: usize = 632;
