//! Execution functions against what Salt 3008.3's own returned for the same calls.

use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Context, FakeSystem, Host, MemorySources, MinionData, Observe, Registry,
    System,
};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/functions/calls.jsonl");

fn minion() -> MinionData {
    let yaml = |text: &str| match salt_state::yaml::load(text) {
        Ok(Value::Map(map)) => map,
        other => panic!("{other:?}"),
    };
    MinionData {
        id: "m1".to_owned(),
        grains: yaml(
            "{os: Debian, os_family: Debian, domain: '', id: m1, server_id: 890885657, shell: /bin/bash,
              ipv4: [127.0.0.1, 192.0.2.2], ipv6: ['::1', 'fd00::2'],
              role: [web, db], deep: {a: {b: 1, l: [1, {k: v}]}}, os_family2: x, one: 1, t: true}",
        )
        .into(),
        pillar: yaml(
            "{a: 1, b: {c: {d: deep, l: [x, {k: v}]}, n: null}, role: [web, db], flag: true,
              dup: {x: 1, y: {z: 2}},
              fals: {f: false, z: 0, e: '', l: [], m: {}, x: 0.0, neg: -1}}",
        ),
        config: yaml(
            "{hash_type: sha256, myopt: {nested: {v: 1}}, keys.cache_driver: localfs_key,
              mine_functions: {test.ping: [], al: [{mine_function: test.echo}, hi]},
              mine_enabled: true, mine_interval: 60, mine_return_job: false, backup_mode: '',
              conf_file: /w/conf/minion, cachedir: /w/root/var/cache/salt/minion,
              pillar_roots: {base: [/w/pil]}}",
        ),
    }
}

fn tree() -> MemorySources {
    MemorySources::new()
        .file("dev", "none", "")
        .file("base", "a.txt", "hello\n")
        .file("base", "link.txt", "hello\n")
        .file("base", "nginx.sls", "nginx: {}\n")
        .file(
            "base",
            "s.sh",
            "#!/bin/sh\necho script:$1:$2; pwd; exit 3\n",
        )
        .file("base", "sub/init.sls", "x\n")
        .file("base", "sub/deep/f.bin", "y\n")
}

fn machine() -> FakeSystem {
    FakeSystem::new()
        .directory("/w/conf")
        .directory("/w/got")
        .file("/w/srv/a.txt", "hello\n")
        .file("/w/pil/p.sls", "")
}

/// Process ids differ from run to run.
fn without_pid(mut value: Value) -> Value {
    if let Some(map) = value.as_map_mut()
        && map.contains_key("pid")
        && map.contains_key("retcode")
    {
        map.insert("pid", 0);
    }
    value
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

/// The calls of a file are made in its order on one machine, since some see what earlier ones did.
#[test]
fn functions_return_what_salt_returns() {
    let (registry, minion, tree) = (Registry::builtin(), minion(), tree());
    let host = Host::with_environment(vec![
        ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
        ("HOME".into(), "/root".into()),
        ("LANG".into(), "C.UTF-8".into()),
    ]);
    let fake = machine();
    // Some were recorded as root and tell of root's home or run as another user.
    let is_root = host.identity().uid == 0;
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let row: Vec<Json> = serde_json::from_str(line).unwrap();
        let name = row[0].as_str().unwrap();
        if name.starts_with("cmd.")
            && !is_root
            && (line.contains("/root") || line.contains("runas"))
        {
            println!("needs root: {line}");
            continue;
        }
        let system: &dyn System = if name.starts_with("cmd.") {
            &host
        } else {
            &fake
        };
        let mut context = Context::new(&registry, system, &minion);
        context.sources = Some(&tree);
        let mut args = Args::new();
        for value in row[1].as_array().unwrap() {
            args = args.with(decode(value));
        }
        for (key, value) in row[2].as_object().unwrap() {
            args = args.keyword(key, decode(value));
        }
        let (outcome, code) = match registry.call_outermost(name, args, &context) {
            Ok((value, _)) => (Ok(without_pid(value)), context.retcode()),
            Err(error) => (Err((kind(&error), error.to_string())), 0),
        };
        let expected = match row[3].as_str().unwrap() {
            "ok" => Ok(without_pid(decode(&row[4]))),
            kind => Err((kind.to_owned(), row[4].as_str().unwrap().to_owned())),
        };
        let expected_code = row.get(5).and_then(Json::as_i64).unwrap_or(0);
        count += 1;
        if outcome != expected || code != expected_code {
            wrong.push(format!("{line}\n    got {outcome:?} code {code}"));
        }
    }
    println!("{count} recorded calls checked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 450);
}

#[test]
fn loads_for_the_master_have_the_recorded_fields() {
    let (registry, minion) = (Registry::builtin(), minion());
    let machine = FakeSystem::new().file("/etc/motd", "hello");
    let asked = std::sync::Mutex::new(Vec::new());
    let ask = |load: Map| {
        asked.lock().unwrap().push(Value::from(load));
        Ok(Value::Bool(true))
    };
    let mut context = Context::new(&registry, &machine, &minion);
    context.master = Some(&ask);
    context.job = Map::from([("jid", "20260101000000000000")]);
    let call = |name: &str, args: Args| registry.call_outermost(name, args, &context).unwrap();

    call("event.send", Args::new().with("my/tag").keyword("a", 1));
    call("mine.send", Args::new().with("test.ping"));
    call("mine.get", Args::new().with("*").with("test.ping"));
    call("cp.push", Args::new().with("/etc/motd"));

    // Salt 3008.3's, without what the channel adds.
    let expected = "[
        {id: m1, tag: my/tag, data: {a: 1, __pub_jid: '20260101000000000000'}, cmd: _minion_event},
        {cmd: _mine, id: m1, data: {test.ping: true}, clear: false},
        {cmd: _mine_get, id: m1, tgt: '*', fun: test.ping, tgt_type: glob},
        {cmd: _file_recv, id: m1, path: [etc, motd], size: 5, loc: 0, data: null}]";
    let mut expected = salt_state::yaml::load(expected)
        .unwrap()
        .as_list()
        .unwrap()
        .to_vec();
    expected[3]
        .as_map_mut()
        .unwrap()
        .insert("data", b"hello".as_slice());
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[test]
fn running_jobs_are_found_and_signalled() {
    let (registry, minion, machine) = (Registry::builtin(), minion(), FakeSystem::new());
    let running = || {
        let job = [
            ("jid", Value::from("7")),
            ("fun", "test.sleep".into()),
            ("pid", 99.into()),
        ];
        vec![Map::from(job)]
    };
    let sent = std::cell::RefCell::new(Vec::new());
    let signal = |jid: &str, signal: i32| {
        sent.borrow_mut().push((jid.to_owned(), signal));
        Ok(())
    };
    let mut context = Context::new(&registry, &machine, &minion);
    context.running = Some(&running);
    context.signal_job = Some(&signal);
    let call = |name: &str, arg: &str| registry.call(name, &Args::new().with(arg), &context);

    assert_eq!(call("saltutil.find_job", "8"), Ok(Map::new().into()));
    assert_eq!(
        call("saltutil.find_job", "7").unwrap().get("pid"),
        Some(&99.into())
    );
    assert_eq!(
        call("saltutil.is_running", "test.*")
            .unwrap()
            .as_list()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        call("saltutil.term_job", "7"),
        Ok("Signal 15 sent to job 7 at pid 99".into())
    );
    assert_eq!(*sent.borrow(), [("7".to_owned(), 15)]);
}

#[test]
fn failures_of_jobs_are_worded_as_the_minion_words_them() {
    let (registry, minion, machine) = (Registry::builtin(), minion(), FakeSystem::new());
    let context = Context::new(&registry, &machine, &minion);
    let run = |name: &str, arg: &[&str]| {
        let arg: Vec<Value> = arg.iter().map(|text| Value::from(*text)).collect();
        registry.run_job(name, &arg, &context)
    };

    let outcome = run("nosuch.fn", &[]);
    assert_eq!(outcome.value, "'nosuch.fn' is not available.".into());
    assert_eq!((outcome.retcode, outcome.success), (1, false));
    assert_eq!(outcome.outputter.as_deref(), Some("nested"));

    let outcome = run("test.ech", &["x"]);
    assert_eq!(
        outcome.value.get("test.ech"),
        Some(&"'test.ech' is not available.".into())
    );
    assert!(outcome.value.get("test.echo").is_some());

    for (name, arg, text) in [
        (
            "test.echo",
            vec![],
            "Passed invalid arguments to test.echo: echo() missing 1 required positional argument: 'text'\n",
        ),
        (
            "test.echo",
            vec!["text=1", "foo=2"],
            "ERROR executing 'test.echo': The following keyword arguments are not valid: foo=2",
        ),
        (
            "test.raise_exception",
            vec!["salt.exceptions.CommandExecutionError", "boo"],
            "ERROR: boo",
        ),
        (
            "test.raise_exception",
            vec!["salt.exceptions.CommandNotFoundError", "boo"],
            "Command required for 'test.raise_exception' not found: boo",
        ),
        (
            "test.exception",
            vec!["foo"],
            "The minion function caused an exception: Traceback (most recent call last):\nException: foo\n",
        ),
    ] {
        let outcome = run(name, &arg);
        let value = outcome.value.as_str().unwrap();
        assert!(value.starts_with(text), "{value}");
        assert_eq!((outcome.retcode, outcome.success), (1, false));
    }

    let outcome = run("test.retcode", &["code=3"]);
    assert_eq!(
        (outcome.value, outcome.retcode, outcome.success),
        (true.into(), 3, false)
    );
}

//
#[test]
fn pillar_is_masked_for_whoever_typed_and_plain_for_templates() {
    let (registry, minion, machine) = (Registry::builtin(), minion(), FakeSystem::new());
    let context = Context::new(&registry, &machine, &minion);
    let args = || Args::new().with("b:c:d");

    let typed = registry
        .call_outermost("pillar.get", args(), &context)
        .unwrap()
        .0;
    let template = registry.call("pillar.get", &args(), &context).unwrap();
    let unmasked = registry.call_outermost("pillar.get", args().keyword("unmask", true), &context);

    assert_eq!(typed, "**********".into());
    assert_eq!(template, "deep".into());
    assert_eq!(unmasked.unwrap().0, "deep".into());
}
