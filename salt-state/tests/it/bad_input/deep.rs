//! Data that is deep or large, in states and in pillar: an answer or an error, never a
//! crash, and the rest of the run goes on.

use salt_proto::{Map, Value};
use salt_state::{Args, Context, FakeSystem, MemorySources, MinionData, Observe, Registry};

/// A list in a list, a thousand deep.
fn deep() -> Value {
    (0..1000).fold(Value::from("end"), |inner, number| {
        if number % 2 == 0 {
            Value::List(vec![inner])
        } else {
            Map::from([("k", inner)]).into()
        }
    })
}

fn many() -> Value {
    (0..100_000_i64).map(Value::from).collect()
}

fn large() -> Value {
    "0123456789abcde\n".repeat(655_360).into()
}

/// Calls a state with something enormous and looks at the entry.
fn entry(state: &str, arguments: &[(&str, Value)]) -> Value {
    entry_with(Map::new(), state, arguments)
}

fn entry_with(pillar: Map, state: &str, arguments: &[(&str, Value)]) -> Value {
    let machine = FakeSystem::new()
        .directory("/t")
        .file("/t/f", "one\n")
        .program("/bin/sh");
    let registry = Registry::builtin();
    let minion = MinionData {
        pillar,
        ..MinionData::default()
    };
    let context = Context::new(&registry, &machine, &minion);
    let mut args = Args::new().with(state);
    for (key, value) in arguments {
        args = args.keyword(key, value.clone());
    }
    let answer = registry.call("state.single", &args, &context).unwrap();
    let entry = answer.as_map().unwrap().values().next().unwrap().clone();
    assert!(
        matches!(entry.get("result"), Some(Value::Bool(_))),
        "{state}"
    );
    entry
}

#[test]
fn states_take_data_that_is_deep_or_large_or_fail_by_themselves() {
    let name = || ("name", Value::from("/t/f"));
    let calls: &[(&str, &str)] = &[
        ("file.managed", "contents"),
        ("file.managed", "source"),
        ("file.managed", "context"),
        ("file.managed", "mode"),
        ("file.managed", "user"),
        ("file.append", "text"),
        ("file.prepend", "text"),
        ("file.replace", "pattern"),
        ("file.replace", "repl"),
        ("file.line", "content"),
        ("file.blockreplace", "content"),
        ("file.serialize", "dataset"),
        ("file.directory", "recurse"),
        ("file.symlink", "target"),
        ("file.absent", "x"),
        ("cmd.run", "env"),
        ("cmd.run", "onlyif"),
        ("cmd.run", "unless"),
        ("cmd.run", "creates"),
        ("cmd.run", "runas"),
        ("test.nop", "anything"),
        ("test.configurable_test_state", "comment"),
        ("test.configurable_test_state", "changes"),
        ("module.run", "test.echo"),
        ("environ.setenv", "value"),
        ("grains.present", "value"),
        ("grains.list_present", "value"),
        ("user.present", "groups"),
        ("host.present", "ip"),
        ("cron.present", "minute"),
        ("ini.options_present", "sections"),
    ];
    for (state, argument) in calls {
        let many: Value = (0..2_000_i64).map(Value::from).collect();
        for value in [deep(), many, "0123456789abcde\n".repeat(4096).into()] {
            entry(state, &[name(), (argument, value)]);
        }
    }
}

#[test]
fn what_was_large_arrives_whole() {
    let lines = entry(
        "file.managed",
        &[("name", "/t/new".into()), ("contents", many())],
    );
    assert_eq!(lines.get("result"), Some(&true.into()));
    let text = entry_with(
        Map::from([("large", large())]),
        "file.managed",
        &[
            ("name", "/t/new".into()),
            ("contents_pillar", "large".into()),
        ],
    );
    assert_eq!(text.get("result"), Some(&true.into()));
    for serializer in ["json", "yaml", "python", "msgpack"] {
        let done = entry_with(
            Map::from([("deep", deep())]),
            "file.serialize",
            &[
                ("name", "/t/new".into()),
                ("dataset_pillar", "deep".into()),
                ("serializer", serializer.into()),
            ],
        );
        assert!(done.get("comment").is_some(), "{serializer}");
    }
}

#[test]
fn an_sls_with_deep_data_is_refused_and_one_with_large_data_is_run() {
    let registry = Registry::builtin();
    let apply = |sls: String| {
        let machine = FakeSystem::new().directory("/t");
        let tree = MemorySources::new().file("base", "s.sls", sls);
        let minion = MinionData::default();
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);
        let args = Args::new().with("s");
        let answer = registry.call("state.apply", &args, &context).unwrap();
        let size = machine
            .metadata("/t/f".as_ref())
            .unwrap()
            .map(|found| found.size);
        (answer, size)
    };

    let nested = format!("{}x{}", "[".repeat(1000), "]".repeat(1000));
    let (answer, _) = apply(format!("x:\n  test.nop:\n    - a: {nested}\n"));
    let complaints = answer.as_list().expect("complaints");
    let said = complaints[0].as_str().unwrap();
    assert!(said.contains("Rendering SLS 'base:s' failed"), "{said}");

    let items = (0..100_000).map(|n| format!("      - '{n}'\n"));
    let items: String = items.collect();
    let (answer, size) = apply(format!("/t/f:\n  file.managed:\n    - contents:\n{items}"));
    assert!(answer.as_map().is_some());
    assert_eq!(size, Some(588_890));

    let (answer, size) = apply(format!(
        "/t/f:\n  file.managed:\n    - contents: {}\n",
        "x".repeat(10 << 20)
    ));
    assert!(answer.as_map().is_some());
    assert_eq!(size, Some((10 << 20) + 1));
}

#[test]
fn pillar_that_is_deep_is_read_and_shown() {
    let machine = FakeSystem::new();
    let registry = Registry::builtin();
    let minion = MinionData {
        pillar: Map::from([("deep", deep()), ("many", many()), ("large", large())]),
        ..MinionData::default()
    };
    let context = Context::new(&registry, &machine, &minion);
    for (function, argument) in [
        ("pillar.get", "deep"),
        ("pillar.get", "deep:k:k"),
        ("pillar.get", "many"),
        ("pillar.keys", "deep"),
        ("pillar.item", "large"),
        ("pillar.ls", ""),
    ] {
        let mut args = Args::new();
        if !argument.is_empty() {
            args = args.with(argument);
        }
        // Whatever it says of data that is no mapping, it says it.
        let _answer = registry.call(function, &args, &context);
    }
}
