//! Output of commands that is no text, or more than anybody wants, as Salt 3008.3 showed it.

use salt_proto::{Map, Value};
use salt_state::{Args, Context, Host, MemorySources, MinionData, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../../vectors/bad_input/output.jsonl");

fn host() -> Host {
    Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())])
}

fn minion() -> MinionData {
    MinionData {
        id: "m1".to_owned(),
        grains: Map::from([("id", "m1"), ("shell", "/bin/sh")]).into(),
        ..MinionData::default()
    }
}

/// An answer without what differs from run to run, in one order.
fn shown(answer: Value) -> Value {
    match answer {
        Value::Map(mut map) => {
            map.remove("pid");
            let mut pairs: Vec<_> = map
                .iter()
                .map(|(key, value)| (key.clone(), shown(value.clone())))
                .collect();
            pairs.sort_by_key(|(key, _)| salt_state::python::str(key));
            Value::Map(pairs.into_iter().collect::<Map>())
        }
        Value::Str(text) if text.starts_with("LookupError") => text.trim().into(),
        other => other,
    }
}

#[test]
fn output_of_any_bytes_is_shown_as_salt_shows_it() {
    let (registry, host, minion) = (Registry::builtin(), host(), minion());
    let tree = MemorySources::new()
        .file(
            "base",
            "b.sh",
            "#!/bin/sh\nprintf '\\377\\376\\n'\nexit 4\n",
        )
        .file("base", "raw.sh", b"#!/bin/sh\necho caf\xe9\n".as_slice());
    let (mut count, mut wrong) = (0, Vec::new());
    for line in RECORDED.lines().skip(1) {
        let case: Json = serde_json::from_str(line).unwrap();
        let mut context = Context::new(&registry, &host, &minion);
        context.sources = Some(&tree);
        let is_call = case["call"].is_string();
        let mut args = Args::new();
        let function = if is_call {
            for value in case["args"].as_array().unwrap() {
                args = args.with(decode(value));
            }
            case["call"].as_str().unwrap()
        } else {
            args = args.with(case["fun"].as_str().unwrap());
            "state.single"
        };
        for (key, value) in case["kw"].as_object().unwrap() {
            args = args.keyword(key, decode(value));
        }
        let answer = registry.call(function, &args, &context);
        let (is, wants) = if is_call {
            let is = match answer {
                Ok(value) => shown(value),
                Err(error) => {
                    let text = error.traceback();
                    let text = text.split_once('\n').map_or("", |(_, text)| text).trim();
                    text.strip_prefix("salt.exceptions.").unwrap_or(text).into()
                }
            };
            let wants = case.get("ret").or_else(|| case.get("error")).unwrap();
            (is, shown(decode(wants)))
        } else {
            let answer = answer.unwrap();
            let entry = answer.as_map().unwrap().values().next().unwrap().clone();
            let is: Map = ["result", "comment", "changes"]
                .into_iter()
                .map(|key| (key, shown(entry.get(key).cloned().unwrap_or_default())))
                .collect();
            (shown(is.into()), shown(decode(&case["run"])))
        };
        count += 1;
        if !crate::golden::same(&is, &wants) {
            wrong.push(format!("{line}\n   is {}", salt_state::python::repr(&is)));
        }
    }
    println!("{count} recorded commands");
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn more_output_than_is_kept_is_cut_and_the_command_ends_well() {
    let (registry, host, minion) = (Registry::builtin(), host(), minion());
    let context = Context::new(&registry, &host, &minion);
    let args = Args::new()
        .with("head -c 100000000 /dev/zero | tr '\\0' a; echo end >&2")
        .keyword("python_shell", true);

    let answer = registry.call("cmd.run_all", &args, &context).unwrap();

    let length = |key: &str| answer.get(key).and_then(Value::as_str).unwrap().len();
    assert_eq!(length("stdout"), 64 << 20);
    assert_eq!(answer.get("stderr"), Some(&"end".into()));
    assert_eq!(answer.get("retcode"), Some(&0.into()));
}
