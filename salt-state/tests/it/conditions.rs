//! `onlyif`, `unless`, `creates` and `check_cmd` in every form, against what Salt 3008.3
//! made of them; and slots.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use salt_proto::{Map, Value};
use salt_state::{Args, Context, FakeSystem, Host, MinionData, Registry, python};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/conditions.jsonl");

/// A directory that is gone when the test ends.
struct Top(PathBuf);

impl Top {
    fn new() -> Self {
        let top = std::env::temp_dir().join(format!("salt-conditions-{}", std::process::id()));
        fs::create_dir_all(&top).unwrap();
        for name in ["there", "there2"] {
            fs::write(top.join(name), "").unwrap();
        }
        Self(top)
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A traceback is its last line.
fn comment(value: Option<&Value>) -> String {
    let text = value.map(python::str).unwrap_or_default();
    match text.split_once("Traceback (most recent call last):") {
        Some((before, after)) => {
            let last = after.trim().lines().last().unwrap_or_default();
            format!("{before}… {last}")
        }
        None => text,
    }
}

/// What is compared of an entry, or the complaints that came instead of one.
fn shown(answer: &Value) -> BTreeMap<&'static str, String> {
    let mut shown = BTreeMap::new();
    let entry = match answer {
        Value::Map(_) => answer,
        complaints => {
            shown.insert("errors", python::repr(complaints));
            return shown;
        }
    };
    shown.insert("comment", comment(entry.get("comment")));
    for key in ["result", "skip_watch"] {
        shown.insert(key, entry.get(key).map(python::repr).unwrap_or_default());
    }
    let mut changes = entry.get("changes").cloned().unwrap_or_default();
    if let Value::Map(changes) = &mut changes
        && changes.contains_key("pid")
    {
        changes.insert("pid", 1);
    }
    if let Value::Map(changes) = changes {
        let sorted: BTreeMap<String, String> = changes
            .iter()
            .map(|(key, value)| (python::str(key), python::repr(value)))
            .collect();
        shown.insert("changes", format!("{sorted:?}"));
    }
    shown
}

fn minion(cache: &str) -> MinionData {
    MinionData {
        id: "m1".to_owned(),
        grains: Map::from([
            ("os", "Debian"),
            ("os_family", "Debian"),
            ("kernel", "Linux"),
            ("id", "m1"),
            ("shell", "/bin/sh"),
        ])
        .into(),
        config: Map::from([("cachedir", cache)]),
        ..MinionData::default()
    }
}

#[test]
fn conditions_in_every_form_are_taken_as_salt_takes_them() {
    let top = Top::new();
    let place = top.0.to_string_lossy().into_owned();
    let minion = minion(&format!("{place}/cache"));
    let (registry, machine) = (Registry::builtin(), Host::new());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in RECORDED.lines() {
        let case: Json = serde_json::from_str(&line.replace("@TOP@", &place)).unwrap();
        let (state, function) = case["fun"].as_str().unwrap().split_once('.').unwrap();
        let Value::Map(mut given) = decode(&case["kw"]) else {
            panic!("{line}");
        };
        let test = given.remove("test").is_some_and(|test| test.is_true());
        let name = given.get("name").cloned().unwrap_or_else(|| "x".into());
        let mut low = Map::from([
            ("state", Value::from(state)),
            ("fun", function.into()),
            ("name", name.clone()),
            ("__id__", name),
            ("__env__", "base".into()),
            ("__sls__", "s".into()),
            ("order", 1.into()),
        ]);
        low.extend(given);
        let args = Args::new().with(low).keyword("test", test);
        let context = Context::new(&registry, &machine, &minion);

        let answer = registry.call("state.low", &args, &context);

        count += 1;
        let wanted = match decode(&case["ret"]) {
            Value::Map(entry) if entry.contains_key("errors") => {
                entry.get("errors").cloned().unwrap_or_default()
            }
            entry => entry,
        };
        let answer = answer.map(|answer| match answer {
            Value::Map(entries) => entries.values().next().cloned().unwrap_or_default(),
            complaints => complaints,
        });
        let found = answer.as_ref().map(shown).map_err(ToString::to_string);
        if found.as_ref() != Ok(&shown(&wanted)) {
            wrong.push(format!(
                "{} {}\nexpected {:?}\n     got {found:?}",
                case["fun"],
                case["kw"],
                shown(&wanted)
            ));
        }
    }
    println!("{} of {count} conditions", count - wrong.len());
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

fn single(machine: &FakeSystem, test: bool, text: &str) -> Value {
    let registry = Registry::builtin();
    let minion = minion("/cache");
    let context = Context::new(&registry, machine, &minion);
    let args = Args::new()
        .with("test.configurable_test_state")
        .keyword("name", "x")
        .keyword("comment", text)
        .keyword("test", test);
    let answer = registry.call("state.single", &args, &context).unwrap();
    answer.as_map().unwrap().values().next().unwrap().clone()
}

#[test]
fn a_dry_run_asks_through_a_slot_and_writes_nothing_through_one() {
    let machine = FakeSystem::new().file("/etc/motd", "hi\n");
    let before = machine.tree();

    let asked = single(&machine, true, "__slot__:salt:file.read(/etc/motd)");
    let written = single(&machine, true, "__slot__:salt:file.write(/etc/motd, x)");

    assert_eq!(asked.get("comment"), Some(&"hi\n".into()));
    assert_eq!(written.get("result"), Some(&false.into()));
    assert!(
        comment(written.get("comment")).contains("a dry run does not change /etc/motd"),
        "{written:?}"
    );
    assert_eq!(machine.tree(), before);

    let done = single(&machine, false, "__slot__:salt:file.write(/etc/motd, x)");
    assert_ne!(machine.tree(), before, "{done:?}");
}
