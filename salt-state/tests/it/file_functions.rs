//! `file.*` against what Salt 3008.3's own returned for the same calls on the same files.

use std::path::Path;

use salt_state::{Args, CallError, Context, FakeSystem, MinionData, Registry, System};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/functions/file.jsonl");

fn machine() -> FakeSystem {
    let machine = FakeSystem::new()
        .file("/w/d/a.txt", "hello\nport 80\nlast")
        .file("/w/d/empty", "")
        .file("/w/d/b.bin", b"\0\x01".as_slice())
        .file("/w/d/sub/c.conf", "x = 1\n")
        .file("/w/d/sub/deep/z.txt", "y\n")
        .link("/w/d/link", "a.txt")
        .link("/w/d/dangling", "nowhere")
        .link("/w/d/dirlink", "sub")
        .directory("/w/e");
    for (path, mode) in [
        ("/w/d/empty", 0o600),
        ("/w/d/b.bin", 0o755),
        ("/w/e", 0o1777),
    ] {
        machine
            .set_mode(Path::new(path), mode)
            .expect("it is there");
    }
    machine
}

fn kind(error: &CallError) -> String {
    match error {
        CallError::Exception { kind, .. } => kind.rsplit('.').next().unwrap_or(kind).to_owned(),
        CallError::Arguments(_) => "TypeError".to_owned(),
        CallError::Invocation(_) => "SaltInvocationError".to_owned(),
        CallError::Execution(_) => "CommandExecutionError".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn functions_about_files_return_what_salt_returns() {
    let (registry, minion, machine) = (Registry::builtin(), MinionData::default(), machine());
    let context = Context::new(&registry, &machine, &minion);
    let mut wrong = Vec::new();
    let mut count = 0;

    for line in RECORDED.lines() {
        let row: Vec<Json> = serde_json::from_str(line).expect("JSON");
        let mut args = Args::new();
        for value in row[1].as_array().expect("a list") {
            args = args.with(decode(value));
        }
        for (key, value) in row[2].as_object().expect("a mapping") {
            args = args.keyword(key, decode(value));
        }
        let answer = registry.call(row[0].as_str().expect("a name"), &args, &context);
        count += 1;
        let same = match (&answer, row[3].as_str().expect("a kind")) {
            (Ok(value), "ok") => *value == decode(&row[4]),
            // A regular expression that is none is refused in other words.
            (Err(error), "error") => kind(error) == "error",
            (Err(error), expected) => kind(error) == expected && row[4] == error.to_string(),
            (Ok(_), _) => false,
        };
        if !same {
            wrong.push(format!("{line}\n    got {answer:?}"));
        }
    }

    println!("{count} recorded calls of file.* checked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 250);
}
