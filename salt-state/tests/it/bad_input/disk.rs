//! Disks without room and trees that cannot be written: the state fails as Salt 3008.3's
//! did on such a file system, nothing is left by half, and the run goes on.

use salt_proto::{Map, Value};
use salt_state::{Args, Context, FakeSystem, MemorySources, MinionData, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../../vectors/states/disk.jsonl");

const TOP: &str = "/tmp/bd";

/// The machine of the recording.
fn machine(disk: &str) -> FakeSystem {
    let machine = FakeSystem::new()
        .directory("/tmp/bd/d")
        .file("/tmp/bd/f", "one\ntwo\n")
        .file("/tmp/bd/d/x", "x\n")
        .file("/tmp/bd/big", "b".repeat(3000))
        .file("/tmp/bd/fill", "0");
    match disk {
        "full" => machine.full(TOP),
        _ => machine.read_only_below(TOP),
    }
}

fn tree() -> MemorySources {
    MemorySources::new()
        .file("base", "big.txt", "b".repeat(9000))
        .file("base", "tree/t", "t\n".repeat(3000))
}

/// Why the system refused, as far as a text says it.
fn reason(comment: &str) -> Option<&'static str> {
    ["No space left on device", "Read-only file system"]
        .into_iter()
        .find(|reason| comment.contains(reason))
}

/// What is there below the disk.
fn contents(machine: &FakeSystem) -> Vec<String> {
    let tree = machine.tree();
    let below = tree.iter().filter(|(path, _)| path.starts_with(TOP));
    below
        .map(|(path, shown)| format!("{} {shown}", path.display()))
        .collect()
}

/// Salt writes what it changes in place, which needs no room; we write a new file first, so
/// that no half of one is ever seen, and fail where there is none.
const IN_PLACE: &[&str] = &["file.comment"];

#[test]
fn states_fail_on_a_disk_without_room_and_where_nothing_can_be_written() {
    let registry = Registry::builtin();
    let minion = MinionData::default();
    let tree = tree();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let disk = case["disk"].as_str().unwrap();
        let fun = case["fun"].as_str().unwrap();
        let machine = machine(disk);
        for step in ["test", "run"] {
            let mut args = Args::new().with(fun).keyword("test", step == "test");
            for (key, value) in case["kw"].as_object().unwrap() {
                args = args.keyword(key, decode(value));
            }
            let before = contents(&machine);
            let mut context = Context::new(&registry, &machine, &minion);
            context.sources = Some(&tree);
            let answer = registry.call("state.single", &args, &context).unwrap();
            let entry = answer.as_map().unwrap().values().next().unwrap().clone();
            let text = |key: &str| {
                entry
                    .get(key)
                    .map(salt_state::python::str)
                    .unwrap_or_default()
            };
            let recorded = decode(&case[step]);
            let wanted = recorded
                .get("comment")
                .map(salt_state::python::str)
                .unwrap_or_default();
            count += 1;
            let (result, comment) = (entry.get("result"), text("comment"));
            let is_left_whole = result != Some(&false.into())
                || contents(&machine) == before
                || fun == "file.recurse";
            let same_result = result == recorded.get("result")
                || IN_PLACE.contains(&fun) && disk == "full" && reason(&comment).is_some();
            // The names of temporary files, and what Salt says of its own mishaps, differ.
            let same_reason = reason(&wanted).is_none() || reason(&comment) == reason(&wanted);
            let exact = reason(&wanted).is_some()
                || recorded.get("result") != Some(&true.into())
                || comment == wanted
                || IN_PLACE.contains(&fun);
            if !(is_left_whole && same_result && same_reason && exact) {
                wrong.push(format!(
                    "{disk} {fun} {} {step}\nexpected {:?} {wanted:?}\n     got {result:?} {comment:?} {}",
                    case["kw"],
                    recorded.get("result"),
                    if is_left_whole { "" } else { "and left something by half" }
                ));
            }
        }
    }
    println!("{count} recorded states on such disks");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn what_requires_a_state_that_found_no_room_is_not_run_and_the_rest_is() {
    let sls = "
no room:
  file.managed:
    - name: /tmp/bd/new
    - contents: x
after:
  file.managed:
    - name: /srv/after
    - contents: y
    - require: [file: no room]
otherwise:
  file.managed:
    - name: /srv/otherwise
    - contents: z
    - onfail: [file: no room]
beside:
  file.managed:
    - name: /srv/beside
    - contents: w
";
    let machine = machine("full").directory("/srv");
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let mut context = Context::new(&registry, &machine, &minion);
    context.sources = Some(&tree);

    let args = Args::new().with("s");
    let answer = registry.call("state.apply", &args, &context).unwrap();

    let entries = answer.as_map().unwrap();
    let result = |id: &str| {
        let of = |entry: &&Value| entry.get("__id__") == Some(&id.into());
        let entry = entries.values().find(of).unwrap();
        entry.get("result").cloned().unwrap_or_default()
    };
    let all: Map = ["no room", "after", "otherwise", "beside"]
        .into_iter()
        .map(|id| (id, result(id)))
        .collect();
    let expected = Map::from([
        ("no room", false),
        ("after", false),
        ("otherwise", true),
        ("beside", true),
    ]);
    assert_eq!(all, expected);
}
