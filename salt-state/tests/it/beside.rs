//! States that run beside each other.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Changes, Check, Context, FakeSystem, MemorySources, MinionData, Plan,
    Registry, WriteOptions,
};

/// `turn.take`: waits for a file, then writes another.
fn take(args: &Args, _: &Check<'_>) -> Result<Plan, CallError> {
    let path = PathBuf::from("/turns").join(args.text("name")?);
    let awaits = args.optional_text("awaits");
    Ok(Plan::change("taken", Changes::none(), move |context| {
        let began = Instant::now();
        while let Some(awaited) = &awaits {
            if context.system.exists(&Path::new("/turns").join(awaited)) {
                break;
            }
            if began.elapsed() > Duration::from_secs(20) {
                return Err(CallError::execution(format!("{awaited} never came")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        context.system.create_dir_all(Path::new("/turns"), 0o755)?;
        Ok(context.system.write(&path, b"", &WriteOptions::new())?)
    }))
}

/// `turn.third`: fails twice.
fn third(args: &Args, _: &Check<'_>) -> Result<Plan, CallError> {
    let path = PathBuf::from("/tries").join(args.text("name")?);
    Ok(Plan::change("", Changes::none(), move |context| {
        let tries = context.system.text(&path)?.unwrap_or_default() + "x";
        context.system.create_dir_all(Path::new("/tries"), 0o755)?;
        context
            .system
            .write(&path, tries.as_bytes(), &WriteOptions::new())?;
        if tries.len() < 3 {
            return Err(CallError::execution("not yet"));
        }
        Ok(())
    }))
}

fn apply(sls: &str) -> (Map, Vec<Value>) {
    let registry = Registry::builtin()
        .state("turn.take", take)
        .state("turn.third", third);
    let machine = FakeSystem::new();
    let minion = MinionData {
        id: "m".to_owned(),
        config: Map::from([("cachedir", "/cache")]),
        ..MinionData::default()
    };
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let asked = Mutex::new(Vec::new());
    let ask = |load: Map| {
        asked.lock().expect("nobody panics").push(Value::from(load));
        Ok(Value::Bool(true))
    };
    let mut context = Context::new(&registry, &machine, &minion);
    context.sources = Some(&tree);
    context.master = Some(&ask);
    let answer = registry.call("state.apply", &Args::new().with("s"), &context);
    let Ok(Value::Map(entries)) = answer else {
        panic!("{answer:?}");
    };
    drop(context);
    (entries, asked.into_inner().expect("nobody panics"))
}

fn of<'e>(entries: &'e Map, tag: &str, key: &str) -> &'e Value {
    let entry = entries.get(tag).unwrap_or_else(|| panic!("{tag}"));
    entry.get(key).unwrap_or_else(|| panic!("{tag}: {key}"))
}

// a > (b, d) > c: d must not wait for b only because c does.
#[test]
fn a_state_that_waits_for_one_beside_it_holds_up_no_other() {
    let (entries, _) = apply(
        "a: {turn.take: [parallel: true]}\n\
         b: {turn.take: [parallel: true, awaits: d, require: [turn: a]]}\n\
         c: {turn.take: [parallel: true, require: [turn: b]]}\n\
         d: {turn.take: [parallel: true, require: [turn: a]]}\n\
         e: {test.nop: [require: [turn: c]]}\n",
    );

    for id in ["a", "b", "c", "d"] {
        let tag = format!("turn_|-{id}_|-{id}_|-take");
        assert_eq!(
            of(&entries, &tag, "result"),
            &Value::Bool(true),
            "{entries:?}"
        );
        assert_eq!(of(&entries, &tag, "__parallel__"), &Value::Bool(true));
    }
    let last = entries.iter().last().expect("entries").0;
    assert_eq!(last.as_str(), Some("test_|-e_|-e_|-nop"));
}

#[test]
fn a_state_that_is_tried_again_holds_up_no_other() {
    let (entries, _) = apply(
        "a: {turn.third: [parallel: true, retry: {attempts: 5, interval: 1}]}\n\
         b: {turn.third: [parallel: true, retry: {attempts: 2, interval: 1}]}\n\
         c: {turn.take: []}\n",
    );

    let first = "turn_|-a_|-a_|-third";
    assert_eq!(of(&entries, first, "result"), &Value::Bool(true));
    let comment = of(&entries, first, "comment").as_str().expect("text");
    assert!(
        comment.starts_with("Attempt 1: Returned a result of \"False\""),
        "{comment}"
    );
    assert!(comment.contains("\nAttempt 2: "), "{comment}");
    assert!(!comment.contains("Attempt 3"), "{comment}");
    let second = "turn_|-b_|-b_|-third";
    assert_eq!(of(&entries, second, "result"), &Value::Bool(false));
    assert_eq!(of(&entries, second, "__parallel__"), &Value::Bool(true));
    assert_eq!(entries.len(), 3);
}

#[test]
fn a_state_beside_others_reaches_the_master() {
    let (entries, asked) = apply("my/tag: {event.send: [parallel: true, data: {a: 1}]}\n");

    let tag = "event_|-my/tag_|-my/tag_|-send";
    assert_eq!(
        of(&entries, tag, "result"),
        &Value::Bool(true),
        "{entries:?}"
    );
    let [load] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(load.get("tag"), Some(&"my/tag".into()));
}
