//! What a dry run says is what happens: over generated states of files, commands, users
//! and groups, in memory and below a directory of this machine, the plan's changes are
//! the changes of the run, a second run has nothing to do, and looking writes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use salt_proto::{Map, Value};
use salt_state::{
    Args, Context, FakeSystem, MemorySources, MinionData, Observe, Output, Registry, Rooted,
    System, WriteOptions,
};

mod declared;
mod root;

use declared::{Declared, Planted};

/// Where plans are written; the only thing a dry run may leave.
const PLAN: &str = "/plan";

/// Everything on a machine, as text.
type Tree = BTreeMap<PathBuf, String>;

/// A machine under test and how to see all of it.
struct Bench<'a> {
    machine: &'a dyn System,
    tree: &'a dyn Fn() -> Tree,
}

impl Bench<'_> {
    fn plant(&self, declared: &[Declared]) {
        let write = |path: &str, text: &str, mode: u32| {
            let path = Path::new(path);
            let above = path.parent().expect("a directory above");
            self.machine.create_dir_all(above, 0o755).expect("above");
            let options = WriteOptions::new().mode(mode);
            self.machine
                .write(path, text.as_bytes(), &options)
                .expect("a file");
        };
        let add = |path: &str, line: String| {
            let text = self.machine.text(Path::new(path)).expect("readable");
            write(path, &(text.unwrap_or_default() + &line + "\n"), 0o644);
        };
        write("/t/source", "source\n", 0o644);
        for planted in declared.iter().flat_map(|state| &state.planted) {
            match planted {
                Planted::File(path, text, mode) => write(path, text, *mode),
                Planted::Directory(path, mode) => {
                    let path = Path::new(path);
                    self.machine.create_dir_all(path, 0o755).expect("above");
                    self.machine.set_mode(path, *mode).expect("a mode");
                }
                Planted::Link(path, target) => {
                    let path = Path::new(path);
                    let above = path.parent().expect("a directory above");
                    self.machine.create_dir_all(above, 0o755).expect("above");
                    self.machine
                        .symlink(Path::new(target), path)
                        .expect("a link");
                }
                Planted::User(name, rest) => {
                    add("/etc/passwd", format!("{name}:{rest}"));
                    let number = rest.split(':').nth(1).unwrap_or_default();
                    add("/etc/group", format!("{name}:x:{number}:"));
                    add("/etc/shadow", format!("{name}:!:19000:0:99999:7:::"));
                }
                Planted::Group(name) => {
                    let number = name.trim_start_matches("group");
                    add("/etc/group", format!("{name}:x:104{number}:"));
                }
            }
        }
    }

    /// Calls a function of `state` on the tree with this SLS.
    fn run(&self, function: &str, sls: &str, test: bool) -> Map {
        let tree = MemorySources::new()
            .file("base", "s.sls", sls)
            .file("base", "plain", "plain\n")
            .file("base", "greeting", "hello {{ who }}\n")
            .file("base", "tree/plain", "plain\n")
            .file("base", "tree/deep/other", "other\n");
        let minion = MinionData {
            id: "m".to_owned(),
            config: Map::from([("cachedir", "/cache")]),
            ..MinionData::default()
        };
        let registry = Registry::builtin();
        let mut context = Context::new(&registry, self.machine, &minion);
        context.sources = Some(&tree);
        let mut args = Args::new().with("s");
        if function == "state.plan" {
            args = args.keyword("plan", PLAN);
        } else {
            args = args.keyword("test", test);
        }
        match registry.call(function, &args, &context) {
            Ok(Value::Map(entries)) => entries,
            other => panic!("{other:?}\n{sls}"),
        }
    }

    fn seen(&self) -> Tree {
        let mut tree = (self.tree)();
        tree.remove(Path::new(PLAN));
        tree
    }

    /// Predicts, runs and runs again; what did not hold.
    fn judge(&self, declared: &[Declared]) -> Result<(), String> {
        self.plant(declared);
        let sls: String = declared
            .iter()
            .enumerate()
            .map(|(number, state)| state.sls(number))
            .collect();
        let before = self.seen();
        for (function, test) in [("state.apply", true), ("state.plan", false)] {
            let _shown = self.run(function, &sls, test);
            let after = self.seen();
            if after != before {
                return Err(format!(
                    "{function} wrote: {:?}\n{sls}",
                    differing(&before, &after)
                ));
            }
        }
        let planned = self.run("state.plan", &sls, false);
        let done = self.run("state.apply", &sls, false);
        let after = self.seen();
        let again = self.run("state.apply", &sls, false);

        let mut wrong = Vec::new();
        for (tag, done) in &done {
            let planned = planned.get_value(tag).unwrap_or(&Value::Null);
            let (foreseen, ended) = (result(planned), result(done));
            if foreseen.is_none() && ended == Some(false) || foreseen.is_some() && foreseen != ended
            {
                wrong.push(format!("foreseen {planned:?}, came to {done:?}"));
            }
            let is_command = salt_state::python::str(tag).starts_with("cmd_");
            if is_command {
                // What a command says cannot be known; that it runs can.
                let runs = changes(done).is_true();
                if runs != foreseen.is_none() {
                    wrong.push(format!("foreseen {planned:?}, came to {done:?}"));
                }
            } else if changes(planned) != changes(done) {
                wrong.push(format!("planned {planned:?}, changed {done:?}"));
            }
            let again = again.get_value(tag).unwrap_or(&Value::Null);
            if result(again) == Some(true) && changes(again).is_true() {
                wrong.push(format!("again: {again:?}"));
            }
        }
        let last = self.seen();
        if last != after {
            wrong.push(format!(
                "a second run wrote: {:?}",
                differing(&after, &last)
            ));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n{sls}\non {before:#?}", wrong.join("\n")))
        }
    }
}

fn differing<'a>(one: &'a Tree, two: &'a Tree) -> Vec<(&'a PathBuf, Option<&'a String>)> {
    let changed = two
        .iter()
        .filter(|(path, text)| one.get(*path) != Some(text));
    let gone = one.keys().filter(|path| !two.contains_key(*path));
    changed
        .map(|(path, text)| (path, Some(text)))
        .chain(gone.map(|path| (path, None)))
        .collect()
}

fn changes(entry: &Value) -> Value {
    let entry = entry.as_map();
    entry
        .and_then(|entry| entry.get("changes"))
        .cloned()
        .unwrap_or_default()
}

fn result(entry: &Value) -> Option<bool> {
    match entry.as_map().and_then(|entry| entry.get("result")) {
        Some(Value::Bool(result)) => Some(*result),
        _ => None,
    }
}

/// Each at its own place. Commands come last: after one whose effects nobody knows, a plan
/// allows for anything that is missing to be there.
fn numbered(mut states: Vec<Declared>) -> Vec<Declared> {
    states.sort_by_key(|state| state.function.starts_with("cmd."));
    states
        .into_iter()
        .enumerate()
        .map(|(number, state)| state.numbered(number))
        .collect()
}

fn fake() -> FakeSystem {
    let machine = FakeSystem::new()
        .file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        .file("/etc/group", "root:x:0:\nusers:x:50:\n")
        .file("/etc/shadow", "root:*:19000:0:99999:7:::\n")
        .file("/etc/login.defs", root::LOGIN_DEFS)
        .file("/etc/default/useradd", root::USERADD)
        .directory("/t")
        .program("/bin/sh")
        .variable("HOME", "/root");
    // The day on which the imitated tools set passwords.
    machine.sleep(std::time::Duration::from_secs(
        20_779 * 86_400 - 1_700_000_000,
    ));
    crate::state_modules::accounts::tools(machine).effect(|command, machine| {
        // `sh -c "touch PATH"`, `test -e PATH` and `test ! -e PATH`.
        let line = command.args.last()?.to_string_lossy().into_owned();
        let (verb, path) = line.rsplit_once(' ')?;
        let path = Path::new(path);
        let good = match verb {
            "touch" => machine.write(path, b"", &WriteOptions::new()).is_ok(),
            "test -e" => machine.exists(path),
            "test ! -e" => !machine.exists(path),
            _ => return None,
        };
        Some(if good {
            Output::success("")
        } else {
            Output::failure(1, "")
        })
    })
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn what_is_predicted_happens_in_memory(
        states in prop::collection::vec(declared::of_all(), 1..8)
    ) {
        let machine = fake();
        let bench = Bench { machine: &machine, tree: &|| machine.tree() };
        bench.judge(&numbered(states)).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(config(12))]

    /// Commands run inside the directory, so users, groups and commands need the right to
    /// change the root directory; without it the files alone are judged.
    #[test]
    fn what_is_predicted_happens_below_a_directory(
        all in prop::collection::vec(declared::of_all(), 1..8),
        files in prop::collection::vec(declared::of_files(), 1..8),
    ) {
        let root = root::Root::new();
        let machine = Rooted::new(root.path()).expect("a directory");
        let bench = Bench { machine: &machine, tree: &|| root.tree() };
        let states = if root.can_run() { all } else { files };
        bench.judge(&numbered(states)).map_err(TestCaseError::fail)?;
    }
}

/// The same cases each time, or as many new ones as `PREDICTION_CASES` says.
fn config(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PREDICTION_CASES").ok();
    match asked.and_then(|cases| cases.parse().ok()) {
        Some(cases) => ProptestConfig::with_cases(cases),
        None => ProptestConfig {
            rng_seed: RngSeed::Fixed(0x5a17),
            ..ProptestConfig::with_cases(usual)
        },
    }
}
