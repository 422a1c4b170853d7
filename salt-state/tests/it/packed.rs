//! `state.pkg`, which brings about what salt-ssh has packed, against what Salt 3008.3
//! returned for the same tarballs (`tests/tools/record_state_pkg.py`).

use std::path::Path;
use std::process::Command;

use salt_proto::{Map, Value};
use salt_state::{Args, CallError, Context, Host, MinionData, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/states/state_pkg.json");

/// Where a recorded run differs on purpose: the number of the case, and why.
const DIFFERENT: [(usize, &str); 4] = [
    (
        16,
        "grains that are no mapping are left aside; Salt stumbles over them",
    ),
    (
        28,
        "chunks come in order from who compiled them, and stay in it; Salt sorts them again",
    ),
    (
        29,
        "whoever compiled them has looked for what requisites name; Salt looks again",
    ),
    (
        33,
        "a chunk without an id fails by itself; Salt stumbles over it",
    ),
];

fn minion(work: &str, opts: &Json) -> MinionData {
    let mut config = Map::from([("cachedir", format!("{work}/cache"))]);
    for (key, value) in opts.as_object().into_iter().flatten() {
        config.insert(key.as_str(), decode(value));
    }
    let grains = [
        ("os", "Debian"),
        ("os_family", "Debian"),
        ("kernel", "Linux"),
        ("id", "m1"),
        ("own", "minion"),
    ];
    MinionData {
        id: "m1".to_owned(),
        grains: Map::from(grains).into(),
        pillar: Map::from([("own", "minion")]),
        config,
    }
}

/// Packs the files of a case.
fn pack(work: &Path, tarball: &Path, case: &Json) {
    let content = work.join("content");
    for (name, text) in case["files"].as_object().unwrap() {
        let path = content.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = text
            .as_str()
            .unwrap()
            .replace("@W@", work.to_str().unwrap());
        std::fs::write(path, text).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(tarball).arg("-C").arg(&content);
    for entry in std::fs::read_dir(&content).unwrap() {
        tar.arg(entry.unwrap().file_name());
    }
    assert!(tar.status().unwrap().success());
    std::fs::remove_dir_all(content).unwrap();
}

/// An entry as recorded: without times, of a traceback the last line.
fn even(mut value: Value, work: &str) -> Value {
    if let Some(entries) = value.as_map_mut() {
        for (_, entry) in entries.iter_mut() {
            let Some(entry) = entry.as_map_mut() else {
                continue;
            };
            entry.remove("duration");
            entry.remove("start_time");
        }
    }
    let text = serde_json::to_string(&encode(&value)).unwrap();
    decode(&serde_json::from_str(&text.replace(work, "@W@")).unwrap())
}

fn encode(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(yes) => Json::Bool(*yes),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Str(text) => Json::from(text.as_str()),
        Value::List(items) => items.iter().map(encode).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), encode(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => panic!("no JSON for {other:?}"),
    }
}

fn kind(error: &CallError) -> String {
    let traceback = error.traceback();
    let line = traceback.lines().nth(1).unwrap_or_default();
    let kind = line.split(':').next().unwrap_or_default();
    kind.rsplit('.').next().unwrap_or_default().to_owned()
}

#[test]
fn what_was_packed_elsewhere_ends_as_with_salt() {
    let registry = Registry::builtin();
    let host = Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())]);
    let cases: Vec<Json> = serde_json::from_str(RECORDED).unwrap();
    let mut wrong = Vec::new();
    let mut steps = 0;
    for (at, case) in cases.iter().enumerate() {
        let home = std::env::temp_dir().join(format!("packed-{}-{at}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let work = home.to_str().unwrap().to_owned();
        let tarball = home.join("pkg.tgz");
        if case["garbage"] == Json::Bool(true) {
            std::fs::write(&tarball, "no tarball\n").unwrap();
        } else {
            pack(&home, &tarball, case);
        }
        let minion = minion(&work, &case["opts"]);
        let hash_type = case["hash"].as_str().unwrap_or("sha256");
        let path = tarball.to_str().unwrap().to_owned();
        let ask = Args::new().with(path.as_str()).with(hash_type);
        let context = Context::new(&registry, &host, &minion);
        let sum = registry.call("file.get_hash", &ask, &context).unwrap();
        let sum = sum.as_str().unwrap().to_owned();
        let sum = match case["sum"].as_str() {
            None => sum,
            Some("upper") => sum.to_uppercase(),
            Some(stated) => stated.to_owned(),
        };
        if case["missing"] == Json::Bool(true) {
            std::fs::remove_file(&tarball).unwrap();
        }
        for step in case["steps"].as_array().unwrap() {
            steps += 1;
            let mut args = Args::new()
                .with(path.as_str())
                .with(sum.as_str())
                .with(hash_type);
            for (key, value) in case["kwargs"].as_object().into_iter().flatten() {
                args = args.keyword(key, decode(value));
            }
            if step["mode"] == "test" {
                args = args.keyword("test", true);
            }
            let context = Context::new(&registry, &host, &minion);
            let got = registry.call("state.pkg", &args, &context);
            let agrees = match &got {
                Ok(got) => {
                    even(got.clone(), &work) == decode(&step["ret"])
                        && context.retcode() == step["retcode"].as_i64().unwrap_or(0)
                }
                Err(error) => {
                    step["raised"] == kind(error).as_str()
                        && even_path(&error.to_string())
                            == even_path(step["text"].as_str().unwrap())
                }
            };
            let out = std::fs::read_to_string(home.join("out")).ok();
            let agrees = agrees && out.as_deref() == step["out"].as_str();
            let is_known = DIFFERENT.iter().any(|(known, _)| *known == at);
            if agrees == is_known {
                wrong.push(format!(
                    "{at}: {}\n  expected {step}\n  got {got:?} {} {out:?}",
                    case["files"]["lowstate.json"],
                    context.retcode()
                ));
            }
        }
        std::fs::remove_dir_all(&home).unwrap();
    }
    println!("{steps} recorded runs of packed states");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(steps > 40);
}

/// A message without the random name of the directory it is about.
fn even_path(text: &str) -> String {
    match (text.find("'/"), text.rfind('/')) {
        (Some(start), Some(end)) if start < end => {
            let (head, tail) = (&text[..start + 1], &text[end..]);
            format!("{head}…{tail}")
        }
        _ => text.to_owned(),
    }
}
