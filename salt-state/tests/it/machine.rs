//! Functions that look at the machine, against what Salt 3008.3's own made of the same
//! `/proc`, the same programs and the same files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Context, FakeSystem, MemorySources, MinionData, Output, Registry, System,
};
use serde_json::Value as Json;

use crate::golden::{call_arguments, decode};

/// Calls whose answers differ for a reason.
struct Differs {
    call: &'static str,
    /// What the recorded answer has in it.
    recorded: &'static str,
    because: &'static str,
}

fn kind(error: &CallError) -> &str {
    match error {
        CallError::Execution(_) => "CommandExecutionError",
        CallError::Invocation(_) => "SaltInvocationError",
        CallError::Arguments(_) => "TypeError",
        CallError::CommandNotFound(_) => "CommandNotFoundError",
        CallError::Exception { kind, .. } => kind.rsplit('.').next().unwrap_or(kind),
        other => panic!("{other:?}"),
    }
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn words(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().map(text).collect()
}

type Ran = Vec<(Vec<String>, Output)>;

fn ran(case: &Json) -> Ran {
    let commands = case["commands"].as_array().into_iter().flatten();
    commands
        .map(|ran| {
            let code = ran["rc"].as_i64().unwrap_or(0).try_into().unwrap();
            let mut output = Output::failure(code, text(&ran["err"]));
            output.stdout = text(&ran["out"]).into_bytes();
            (words(&ran["argv"]), output)
        })
        .collect()
}

fn machine(recording: &Json, commands: &Arc<Mutex<Ran>>) -> FakeSystem {
    let mut machine = FakeSystem::new()
        .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
    for program in words(&recording["programs"]) {
        machine = machine.program(format!("/usr/bin/{program}"));
        if program == "ethtool" {
            machine = machine.program("/sbin/ethtool");
        }
    }
    for (path, content) in recording["files"].as_object().unwrap() {
        let content = content.as_str().unwrap();
        machine = match (path.strip_suffix('/'), content.strip_prefix("-> ")) {
            (Some(directory), _) => machine.directory(directory),
            (None, Some(target)) => machine.link(path, target),
            // Written so, one character for each byte.
            (None, None) if path == "/run/utmp" => machine.file(
                "/var/run/utmp",
                content.chars().map(|ch| ch as u8).collect::<Vec<u8>>(),
            ),
            (None, None) => machine.file(path, content),
        };
    }
    let commands = Arc::clone(commands);
    machine.answer(move |command| {
        let program = Path::new(&command.program)
            .file_name()?
            .to_str()?
            .to_owned();
        let argv: Vec<String> = std::iter::once(program)
            .chain(
                command
                    .args
                    .iter()
                    .map(|arg| arg.to_string_lossy().into_owned()),
            )
            // Ours say where the options end.
            .filter(|word| word != "--")
            .collect();
        let argv = match argv.as_slice() {
            // Ours does not look into a directory.
            [program, option, path] if program == "lsattr" && option == "-d" => {
                vec![program.clone(), path.clone()]
            }
            _ => argv,
        };
        let all = commands.lock().unwrap();
        let same = |known: &[String]| {
            known.len() == argv.len()
                && known.iter().zip(&argv).all(|(known, ours)| {
                    // Where the recorder had put the programs.
                    let known = known
                        .strip_prefix("/tmp/recorded/bin/")
                        .or_else(|| known.strip_prefix("/tmp/recorded/base/"))
                        .unwrap_or(known);
                    known == ours || ours.strip_prefix("/usr/bin/") == Some(known)
                })
        };
        all.iter()
            .find(|(known, _)| same(known))
            .map(|(_, output)| output.clone())
    })
}

/// Whether two values are alike: the last digit of a number that went through JSON may
/// differ, and the order of a process's connections is one of chance.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => (one - other).abs() <= one.abs() * 1e-14,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_alike(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| {
                    let Some(known) = other.get_value(key) else {
                        return false;
                    };
                    if *key == Value::from("net_connections") {
                        return in_order(value) == in_order(known);
                    }
                    is_alike(value, known)
                })
        }
        _ => one == other,
    }
}

fn in_order(list: &Value) -> Vec<String> {
    let mut all: Vec<String> = list
        .as_list()
        .unwrap_or_default()
        .iter()
        .map(salt_state::python::repr)
        .collect();
    all.sort();
    all
}

/// A value as JSON has it, in which keys are text.
fn as_json(value: &Value) -> Value {
    match value {
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (salt_state::python::str(key), as_json(value)))
            .collect::<Map>()
            .into(),
        Value::List(all) => all.iter().map(as_json).collect(),
        other => other.clone(),
    }
}

/// Replays a recording; returns how many calls were compared.
fn replay(recorded: &str, differing: &[Differs]) -> usize {
    let recording: Json = serde_json::from_str(recorded).unwrap();
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let commands = Arc::new(Mutex::new(Ran::new()));
    let machine = machine(&recording, &commands);
    let files = recording["files"].as_object().unwrap().iter();
    let tree = files.fold(MemorySources::new(), |tree, (path, content)| {
        match path.strip_prefix("/srv/salt/") {
            Some(path) => tree.file("base", path, text(content)),
            None => tree,
        }
    });
    let (mut wrong, mut count) = (Vec::new(), 0);
    // Among processes that did nothing, which is first is chance: who they are is compared.
    let everybody: BTreeMap<String, Value> = recording["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["call"] == "ps.top" && case["args"] == serde_json::json!([50]))
        .flat_map(|case| case["ret"].as_array().unwrap())
        .map(|one| (one["pid"].to_string(), decode(one)))
        .collect();
    for case in recording["cases"].as_array().unwrap() {
        let call = case["call"].as_str().unwrap();
        let shown = case.to_string();
        let known = differing
            .iter()
            .find(|known| known.call == call && shown.contains(known.recorded));
        if let Some(path) = case["args"][0].as_str().filter(|_| call == "file.write") {
            machine
                .write(
                    Path::new(path),
                    text(&case["args"][1]).as_bytes(),
                    &Default::default(),
                )
                .unwrap();
            continue;
        }
        *commands.lock().unwrap() = ran(case);
        let before = machine.signals().len();
        let mut arguments = case.clone();
        arguments["kwargs"] = case["kw"].clone();
        let args: Args = call_arguments(&arguments);
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);

        let answer = registry.call(call, &args, &context);

        count += 1;
        let is_same = match (&answer, case["ret"]["__raised__"].as_str()) {
            (Ok(Value::List(found)), None) if call == "ps.top" => {
                found.len() == case["ret"].as_array().unwrap().len()
                    && found.iter().all(|one| {
                        let pid = one.get("pid").map(ToString::to_string).unwrap_or_default();
                        everybody
                            .get(&pid)
                            .is_some_and(|known| is_alike(known, one))
                    })
            }
            (Ok(Value::Map(found)), None) if call == "cmd.run_chroot" => {
                let mut found = found.clone();
                found.insert("pid", decode(&case["ret"]["pid"]));
                Value::from(found) == decode(&case["ret"])
            }
            (Ok(value), None) => is_alike(&as_json(value), &decode(&case["ret"])),
            (Err(error), Some(raised)) => {
                kind(error) == raised && error.to_string() == text(&case["ret"]["text"])
            }
            _ => false,
        };
        let sent: Vec<Value> = machine.signals()[before..]
            .iter()
            .filter(|(_, signal)| *signal != 0)
            .map(|(pid, signal)| {
                [*pid, u32::try_from(*signal).unwrap()]
                    .into_iter()
                    .collect()
            })
            .collect();
        let signals = case
            .get("signals")
            .map(decode)
            .unwrap_or_else(|| Value::List(Vec::new()));
        let is_same = is_same && Value::List(sent.clone()) == signals;
        match known {
            None if !is_same => wrong.push(format!(
                "{call} {} {}\n  recorded {} {signals:?}\n  got {answer:?} {sent:?}",
                case["args"], case["kw"], case["ret"]
            )),
            Some(known) if is_same => wrong.push(format!(
                "{call} {} is the same now, though: {}",
                case["args"], known.because
            )),
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{count} recorded calls checked");
    count
}

#[test]
fn processes_and_usage_are_told_as_salt_tells_them() {
    let count = replay(include_str!("../vectors/functions/machine_ps.json"), &[]);

    assert!(count > 200, "{count}");
}

#[test]
fn files_and_services_are_told_as_salt_tells_them() {
    let count = replay(include_str!("../vectors/functions/machine_files.json"), &[]);

    assert!(count > 60, "{count}");
}

#[test]
fn the_network_is_told_as_salt_tells_it() {
    let with = replay(
        include_str!("../vectors/functions/machine_network.json"),
        &[],
    );
    let without = replay(
        include_str!("../vectors/functions/machine_network_bare.json"),
        &[Differs {
            call: "network.arp",
            recorded: "'arp'",
            because: "the kernel's own table is read when there is no arp(8)",
        }],
    );

    assert!(with + without > 40, "{with} {without}");
}

#[test]
fn disks_and_mounts_are_told_as_salt_tells_them() {
    let count = replay(include_str!("../vectors/functions/machine_disks.json"), &[]);

    assert!(count > 25, "{count}");
}

#[test]
fn programs_are_asked_and_run_as_salt_does() {
    let count = replay(
        include_str!("../vectors/functions/machine_programs.json"),
        &[Differs {
            call: "cmd.shell_info",
            recorded: "cannot use a string pattern on a bytes-like object",
            because: "Salt 3008.3 cannot read what a shell says; its manual says what should come",
        }],
    );

    assert!(count > 30, "{count}");
}
