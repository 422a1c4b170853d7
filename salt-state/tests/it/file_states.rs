//! States of files, as Salt 3008.3 answered them: in a dry run, for real, and again.
//!
//! Each case is a tree, the chunk's arguments and three answers. `{R}` stands for the
//! directory of the tree, `{S}` for the root of `salt://`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Check, Context, FakeSystem, FileKind, Host, MinionData, Outcome, Registry,
    Sources, System, Timestamp, WriteOptions,
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/states/file");

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n";

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    match serde_json::from_str::<Value>(&text).unwrap() {
        Value::List(cases) => cases,
        other => panic!("{}: {}", path.display(), other.type_name()),
    }
}

/// A directory of the machine that the cases run on.
struct Place<'m> {
    machine: &'m dyn System,
    root: PathBuf,
}

impl Place<'_> {
    fn tree(&self) -> PathBuf {
        self.root.join("r")
    }

    fn source(&self, environment: &str) -> PathBuf {
        self.root
            .join(if environment == "base" { "s" } else { "s-dev" })
    }

    /// Puts this place's paths into a value.
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::Str(text) => text
                .replace("{R}", &self.tree().to_string_lossy())
                .replace("{S}", &self.source("base").to_string_lossy())
                .replace("{C}", &self.root.join("cache").to_string_lossy())
                .into(),
            Value::List(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Map(map) => {
                let mut filled = Map::new();
                for (key, value) in map {
                    filled.insert(self.fill(key), self.fill(value));
                }
                filled.into()
            }
            other => other.clone(),
        }
    }

    fn plant(&self, root: &Path, tree: Option<&Value>) {
        let system = self.machine;
        system.remove_all(root).unwrap();
        system.create_dir_all(root, 0o755).unwrap();
        for (path, what) in tree.and_then(Value::as_map).into_iter().flat_map(Map::iter) {
            let full = root.join(path.as_str().unwrap().trim_end_matches('/'));
            system
                .create_dir_all(full.parent().unwrap(), 0o755)
                .unwrap();
            let octal = |key: &str| {
                let text = what.get(key).and_then(Value::as_str)?;
                u32::from_str_radix(text, 8).ok()
            };
            if let Some(link) = what.get("l") {
                let target = self.fill(link);
                system
                    .symlink(Path::new(target.as_str().unwrap()), &full)
                    .unwrap();
            } else if let Some(mode) = octal("d") {
                system.create_dir_all(&full, mode).unwrap();
                system.set_mode(&full, mode).unwrap();
            } else {
                let content = match (what.as_str(), what.get("b"), what.get("c")) {
                    (Some(text), _, _) => self.text(text),
                    (_, Some(bytes), _) => bytes
                        .as_str()
                        .unwrap()
                        .chars()
                        .map(|c| u8::try_from(u32::from(c)).unwrap())
                        .collect(),
                    (_, _, Some(text)) => self.text(text.as_str().unwrap()),
                    _ => panic!("{what:?}"),
                };
                let options = WriteOptions::new().mode(0o644);
                system.write(&full, &content, &options).unwrap();
            }
            if let Some(mode) = octal("m") {
                system.set_mode(&full, mode).unwrap();
            }
            if let Some([Value::Int(uid), Value::Int(gid)]) = what.get("o").and_then(Value::as_list)
            {
                let (uid, gid) = (u32::try_from(*uid).unwrap(), u32::try_from(*gid).unwrap());
                system
                    .set_owner(&full, Some(uid), Some(gid), false)
                    .unwrap();
            }
            if let Some(Value::Int(seconds)) = what.get("t") {
                let at = Timestamp {
                    seconds: *seconds,
                    nanos: 0,
                };
                system.set_times(&full, Some(at), Some(at)).unwrap();
            }
        }
    }

    fn text(&self, text: &str) -> Vec<u8> {
        self.fill(&text.into())
            .as_str()
            .unwrap()
            .as_bytes()
            .to_vec()
    }

    /// What the tree holds, as the recordings write it.
    fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        self.look(&self.tree(), "", &mut found);
        found
    }

    fn look(&self, root: &Path, below: &str, into: &mut BTreeMap<String, String>) {
        let system = self.machine;
        for name in system.list(&root.join(below)).unwrap() {
            let name = name.to_string_lossy();
            let key = if below.is_empty() {
                name.into_owned()
            } else {
                format!("{below}/{name}")
            };
            let path = root.join(&key);
            let meta = system.link_metadata(&path).unwrap().unwrap();
            let owner = if (meta.uid, meta.gid) == (0, 0) {
                String::new()
            } else {
                format!(" {}:{}", meta.uid, meta.gid)
            };
            let mode = format!("{:04o}{owner}", meta.mode);
            let text = match meta.kind {
                FileKind::Symlink => {
                    format!("link {}{owner}", system.read_link(&path).unwrap().display())
                }
                FileKind::Directory => format!("{mode} dir"),
                FileKind::File => {
                    let content = system.read(&path).unwrap().unwrap();
                    let text: String = content.iter().map(|byte| char::from(*byte)).collect();
                    format!("{mode} {text}")
                }
                _ => format!("{mode} node"),
            };
            if meta.kind == FileKind::Directory {
                self.look(root, &key, into);
            }
            into.insert(key, text);
        }
    }
}

/// `salt://` from a directory of the same machine.
impl Sources for Place<'_> {
    fn environments(&self) -> io::Result<Vec<String>> {
        Ok(vec!["base".to_owned(), "dev".to_owned()])
    }

    fn files(&self, environment: &str) -> io::Result<Vec<String>> {
        self.listed(environment, false)
    }

    fn directories(&self, environment: &str) -> io::Result<Vec<String>> {
        let mut all = self.listed(environment, true)?;
        all.insert(0, ".".to_owned());
        Ok(all)
    }

    fn links(&self, environment: &str) -> io::Result<Vec<(String, String)>> {
        let root = self.source(environment);
        let mut links = Vec::new();
        let mut todo = vec![String::new()];
        while let Some(below) = todo.pop() {
            for name in self.machine.list(&root.join(&below))? {
                let name = name.to_string_lossy();
                let key = if below.is_empty() {
                    name.into_owned()
                } else {
                    format!("{below}/{name}")
                };
                let path = root.join(&key);
                if self.machine.is_link(&path) {
                    let target = self.machine.read_link(&path)?;
                    links.push((key, target.to_string_lossy().into_owned()));
                } else if self.machine.is_dir(&path) {
                    todo.push(key);
                }
            }
        }
        links.sort();
        Ok(links)
    }

    fn open(&self, environment: &str, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        let full = self.source(environment).join(path);
        if self.machine.is_file(&full) {
            self.machine.open(&full)
        } else {
            Ok(None)
        }
    }

    fn local_path(&self, environment: &str, path: &str) -> Option<PathBuf> {
        Some(self.source(environment).join(path))
    }

    fn stat(&self, environment: &str, path: &str) -> io::Result<Option<[i64; 10]>> {
        let found = self
            .machine
            .metadata(&self.source(environment).join(path))?;
        Ok(found.map(|found| {
            let mut stat = [0; 10];
            stat[0] = i64::from(found.mode | 0o100_000);
            stat
        }))
    }
}

impl Place<'_> {
    fn listed(&self, environment: &str, directories: bool) -> io::Result<Vec<String>> {
        let root = self.source(environment);
        let mut found = Vec::new();
        let mut todo = vec![String::new()];
        while let Some(below) = todo.pop() {
            for name in self.machine.list(&root.join(&below))? {
                let name = name.to_string_lossy();
                let key = if below.is_empty() {
                    name.into_owned()
                } else {
                    format!("{below}/{name}")
                };
                let is_dir = self.machine.is_dir(&root.join(&key));
                if is_dir == directories {
                    found.push(key.clone());
                }
                if is_dir {
                    todo.push(key);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The parts of an answer that are compared.
fn shape(outcome: Result<Outcome, CallError>) -> Map {
    match outcome {
        Ok(outcome) => {
            let mut map = Map::new();
            map.insert("result", Value::from(outcome.result));
            let comment = match outcome.comment {
                Value::List(lines) => lines
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join("\n")
                    .into(),
                other => other,
            };
            map.insert("comment", comment);
            map.insert("changes", Value::from(outcome.changes));
            if !outcome.warnings.is_empty() {
                map.insert("warnings", outcome.warnings.into_iter().collect::<Value>());
            }
            map.extend(outcome.extra);
            map
        }
        Err(error) => {
            let text = error.traceback();
            let text = text.split_once('\n').map_or("", |(_, text)| text).trim();
            Map::from([
                ("result", Value::from(false)),
                ("comment", format!("EXC {text}").into()),
                ("changes", Map::new().into()),
            ])
        }
    }
}

/// Where Salt goes through sets, the order is nobody's: which directories of a recursion
/// are made with those below them, and not for themselves, depends on it too.
fn settled(mut answer: Map, function: &str) -> Map {
    if function == "file.recurse"
        && let Some(Value::Map(changes)) = answer.get_mut("changes")
    {
        changes.retain(|path, change| {
            let path = salt_state::python::str(path);
            let made = change.get(&path).and_then(|own| own.get("directory"));
            made.is_none()
        });
    }
    if let Some(Value::Str(comment)) = answer.get_mut("comment")
        && comment.starts_with("#### ")
    {
        let pieces: Vec<&str> = comment.split("#### ").collect();
        let mut parts: Vec<String> = pieces.iter().map(|part| part.trim().to_owned()).collect();
        parts.sort();
        *comment = parts.join("\n");
    }
    if let Some(Value::Map(changes)) = answer.get_mut("changes") {
        for key in ["removed", "retained", "deleted", "ignored"] {
            if let Some(Value::List(items)) = changes.get_mut(key) {
                items.sort_by_key(|item| item.as_str().unwrap_or_default().to_owned());
            }
        }
    }
    answer
}

fn run_case(case: &Map, place: &Place<'_>, wrong: &mut Vec<String>, at: &str) {
    let registry = Registry::builtin();
    let map = |key: &str| {
        case.get(key)
            .and_then(Value::as_map)
            .cloned()
            .unwrap_or_default()
    };
    let mut grains = map("grains");
    grains.insert("id", "m");
    let minion = MinionData {
        id: "m".to_owned(),
        grains: grains.into(),
        pillar: map("pillar"),
        config: Map::from([
            ("id", Value::from("m")),
            (
                "cachedir",
                place
                    .root
                    .join("cache")
                    .to_string_lossy()
                    .into_owned()
                    .into(),
            ),
        ]),
    };
    let function = case.str("fun").unwrap();
    let given = place.fill(case.get("args").unwrap());
    let given = given.as_map().unwrap();
    let mut low = given.clone();
    for (key, value) in [
        ("state", "file"),
        ("fun", function.split('.').nth(1).unwrap()),
        ("__id__", "x"),
        ("__sls__", "s"),
        ("__env__", "base"),
    ] {
        low.insert(key, value);
    }
    let mut args = Args::new();
    for (key, value) in given {
        let key = key.as_str().unwrap();
        let is_requisite = matches!(key, "require" | "require_in" | "watch_in" | "saltenv");
        let named = registry
            .state_signature(function)
            .is_some_and(|signature| signature.parameters().iter().any(|known| known.name == key));
        if !is_requisite || named {
            args = args.keyword(key, value.clone());
        }
    }
    for step in ["test", "run", "again"] {
        let Some(Value::Map(expected)) = case.get(step) else {
            continue;
        };
        if step != "again" {
            for (root, tree) in [
                (place.tree(), "tree"),
                (place.source("base"), "src"),
                (place.source("dev"), "dev"),
            ] {
                place.plant(&root, case.get(tree));
            }
            place.machine.remove_all(&place.root.join("cache")).unwrap();
        }
        let before = place.snapshot();
        let mut context = Context::new(&registry, place.machine, &minion);
        context.sources = Some(place);
        let check = Check::new(&context, &low, step == "test");
        let outcome = registry.check(function, &args, &check).and_then(|plan| {
            if step == "test" {
                Ok(plan.predicted())
            } else {
                plan.carry_out(&context)
            }
        });
        let outcome = settled(shape(outcome), function);
        let filled = place.fill(&expected.clone().into());
        let expected = settled(filled.as_map().unwrap().clone(), function);
        if outcome != expected {
            wrong.push(format!(
                "{at} {step} {}\n     is {}\n  wants {}",
                salt_state::python::repr(&case.get("args").cloned().unwrap_or_default()),
                salt_state::python::repr(&outcome.into()),
                salt_state::python::repr(&expected.into()),
            ));
            return;
        }
        let after = place.snapshot();
        if step == "test" && after != before {
            wrong.push(format!("{at}: the dry run wrote: {after:?}"));
        }
        if step == "run"
            && let Some(Value::Map(recorded)) = case.get("after")
        {
            let recorded: BTreeMap<String, String> = recorded
                .iter()
                .map(|(key, value)| {
                    let value = place.fill(value);
                    (
                        salt_state::python::str(key),
                        salt_state::python::str(&value),
                    )
                })
                .collect();
            if after != recorded {
                wrong.push(format!(
                    "{at} tree\n     is {after:?}\n  wants {recorded:?}"
                ));
            }
        }
    }
}

fn replay(on_host: bool) {
    let only = std::env::var("FILE_CASES").ok();
    let mut names: BTreeSet<PathBuf> = BTreeSet::new();
    for entry in std::fs::read_dir(VECTORS).unwrap() {
        names.insert(entry.unwrap().path());
    }
    let fake = FakeSystem::new()
        .file("/etc/passwd", PASSWD)
        .file("/etc/group", GROUP)
        .variable("HOME", "/root");
    let host = Host::new();
    let root = if on_host {
        // Every file is synced; in memory that costs nothing.
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        };
        base.join(format!("salt-file-states-{}", std::process::id()))
    } else {
        PathBuf::from("/salt-file-states")
    };
    let place = Place {
        machine: if on_host { &host } else { &fake },
        root: root.clone(),
    };
    place.machine.create_dir_all(&root, 0o755).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        for (number, case) in read(&path).iter().enumerate() {
            let case = case.as_map().unwrap();
            // These run commands.
            if !on_host && case.contains_key("host") {
                continue;
            }
            count += 1;
            run_case(case, &place, &mut wrong, &format!("{name} #{number}"));
        }
    }
    if on_host {
        host.remove_all(&root).unwrap();
    }
    println!("{count} recorded states of files");
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn file_states_answer_as_recorded_in_memory() {
    replay(false);
}

#[test]
fn file_states_answer_as_recorded_on_this_machine_for_root() {
    let host = Host::new();
    if salt_state::Observe::identity(&host).uid != 0 {
        println!("skipped: only root may give files away");
        return;
    }
    replay(true);
}

/// An execution function as Salt 3008.3 answered it, with the tree afterwards.
fn run_function(case: &Map, place: &Place<'_>, wrong: &mut Vec<String>, at: &str) {
    place.plant(&place.tree(), case.get("tree"));
    place.plant(&place.source("base"), case.get("src"));
    place.machine.remove_all(&place.root.join("cache")).unwrap();
    let registry = Registry::builtin();
    let minion = MinionData {
        id: "m".to_owned(),
        config: Map::from([(
            "cachedir",
            place.root.join("cache").to_string_lossy().into_owned(),
        )]),
        ..MinionData::default()
    };
    let mut context = Context::new(&registry, place.machine, &minion);
    context.sources = Some(place);
    let function = case.str("fun").unwrap();
    let mut args = Args::new();
    let positional = place.fill(case.get("args").unwrap());
    for value in positional.as_list().unwrap() {
        args = args.with(value.clone());
    }
    if let Some(Value::Map(keywords)) = case.get("kw").map(|kw| place.fill(kw)) {
        for (key, value) in &keywords {
            args = args.keyword(key.as_str().unwrap(), value.clone());
        }
    }
    let answer = match registry.call(function, &args, &context) {
        Ok(value) => value,
        Err(error) => {
            let text = error.traceback();
            let text = text.split_once('\n').map_or("", |(_, text)| text).trim();
            text.strip_prefix("salt.exceptions.").unwrap_or(text).into()
        }
    };
    let expected = case.get("ret").or_else(|| case.get("error")).unwrap();
    let expected = place.fill(expected);
    if answer != expected {
        wrong.push(format!(
            "{at} {function} {}\n     is {}\n  wants {}",
            salt_state::python::repr(&positional),
            salt_state::python::repr(&answer),
            salt_state::python::repr(&expected),
        ));
        return;
    }
    if let Some(Value::Map(recorded)) = case.get("after") {
        let recorded: BTreeMap<String, String> = recorded
            .iter()
            .map(|(key, value)| {
                let value = place.fill(value);
                (
                    salt_state::python::str(key),
                    salt_state::python::str(&value),
                )
            })
            .collect();
        let after = place.snapshot();
        if after != recorded {
            wrong.push(format!(
                "{at} {function} tree\n     is {after:?}\n  wants {recorded:?}"
            ));
        }
    }
}

#[test]
fn functions_that_change_files_answer_as_recorded() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/functions/file_changes.json"
    );
    let fake = FakeSystem::new()
        .file("/etc/passwd", PASSWD)
        .file("/etc/group", GROUP)
        .variable("HOME", "/root");
    let place = Place {
        machine: &fake,
        root: PathBuf::from("/salt-file-states"),
    };
    place.machine.create_dir_all(&place.root, 0o755).unwrap();
    let cases = read(Path::new(path));
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        run_function(
            case.as_map().unwrap(),
            &place,
            &mut wrong,
            &format!("#{number}"),
        );
    }
    println!("{} recorded calls that change files", cases.len());
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
