//! What holds for all runs: a dry run writes nothing and predicts, a second run changes
//! nothing, plans are kept to, and time grows with the number of states.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Changes, Check, Children, Context, FakeSystem, Host, MemorySources,
    MinionData, Observe, Output, Plan, Registry, System, WriteOptions,
};

/// `thing.here`: a file with this content, written by a command or not.
fn here(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let path = PathBuf::from(args.text("name")?);
    let wanted = args.text("content")?;
    let there = check.system.text(&path)?.unwrap_or_default();
    if there == wanted {
        return Ok(Plan::unchanged("as it should be"));
    }
    let changes = Changes::none().old_new("content", there, wanted.as_str());
    Ok(Plan::change("written", changes, move |context| {
        Ok(context
            .system
            .write(&path, wanted.as_bytes(), &WriteOptions::new())?)
    })
    .when_testing("would be written"))
}

struct Machine {
    fake: FakeSystem,
    registry: Registry,
    minion: MinionData,
}

impl Machine {
    fn new() -> Self {
        let fake = FakeSystem::new()
            .program("/bin/sh")
            .effect(|command, machine| {
                // `sh -c "touch PATH"`, and `test -e PATH`.
                let line = command.args.last()?.to_string_lossy().into_owned();
                let (verb, path) = line.rsplit_once(' ')?;
                let path = PathBuf::from(path);
                let good = match verb {
                    "touch" => machine.write(&path, b"", &WriteOptions::new()).is_ok(),
                    _ => machine.exists(&path),
                };
                Some(if good {
                    Output::success("")
                } else {
                    Output::failure(1, "")
                })
            });
        Self {
            fake,
            registry: Registry::builtin().state("thing.here", here),
            minion: MinionData {
                id: "m".to_owned(),
                config: Map::from([("cachedir", "/cache")]),
                ..MinionData::default()
            },
        }
    }

    fn call(&self, function: &str, sls: &str, args: Args) -> Result<(Value, i64), CallError> {
        let tree = MemorySources::new().file("base", "s.sls", sls);
        let mut context = Context::new(&self.registry, &self.fake, &self.minion);
        context.sources = Some(&tree);
        let answer = self.registry.call(function, &args, &context)?;
        Ok((answer, context.retcode()))
    }

    fn apply(&self, sls: &str, test: bool) -> Map {
        let args = Args::new().with("s").keyword("test", test);
        match self.call("state.apply", sls, args) {
            Ok((Value::Map(entries), _)) => entries,
            other => panic!("{other:?}"),
        }
    }
}

fn changes(entries: &Map) -> Vec<(String, Value)> {
    entries
        .iter()
        .map(|(tag, entry)| {
            let changes = entry.get("changes").cloned().unwrap_or_default();
            (salt_state::python::str(tag), changes)
        })
        .collect()
}

#[derive(Clone, Debug)]
enum Declared {
    Nop,
    Here(u8, u8),
    Touch(u8),
}

impl Declared {
    fn yaml(&self, id: usize, require: Option<usize>) -> String {
        let mut text = match self {
            Self::Nop => format!("s{id}:\n  test.nop:\n    - x: 1\n"),
            Self::Here(file, content) => format!(
                "s{id}:\n  thing.here:\n    - name: /tmp/f{file}\n    - content: c{content}\n"
            ),
            Self::Touch(file) => format!(
                "s{id}:\n  cmd.run:\n    - name: touch /tmp/t{file}\n    - unless: test -e /tmp/t{file}\n"
            ),
        };
        if let Some(on) = require {
            text.push_str(&format!("    - require:\n      - id: s{on}\n"));
        }
        text
    }
}

fn declared() -> impl Strategy<Value = Declared> {
    prop_oneof![
        Just(Declared::Nop),
        (any::<u8>(), any::<u8>()).prop_map(|(file, content)| Declared::Here(file, content)),
        any::<u8>().prop_map(Declared::Touch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_dry_run_writes_nothing_and_a_second_run_changes_nothing(
        states in proptest::collection::vec((declared(), any::<prop::sample::Index>()), 1..12)
    ) {
        let mut files = Vec::new();
        let sls: String = states
            .iter()
            .enumerate()
            .filter(|(_, (state, _))| match state {
                // Two that want the same file never agree.
                Declared::Here(file, _) | Declared::Touch(file) => {
                    let new = !files.contains(file);
                    files.push(*file);
                    new
                }
                Declared::Nop => true,
            })
            .scan(Vec::new(), |before: &mut Vec<usize>, (id, (state, on))| {
                let require = (!before.is_empty()).then(|| before[on.index(before.len())]);
                before.push(id);
                Some(state.yaml(id, require))
            })
            .collect();
        let machine = Machine::new();
        let before = machine.fake.tree();

        let predicted = machine.apply(&sls, true);
        prop_assert_eq!(&machine.fake.tree(), &before, "a dry run wrote");

        let done = machine.apply(&sls, false);
        for ((tag, predicted), (_, done)) in changes(&predicted).into_iter().zip(changes(&done)) {
            if !tag.starts_with("cmd_") {
                prop_assert_eq!(predicted, done, "{}", tag);
            }
        }
        for entry in done.values() {
            prop_assert_eq!(entry.get("result"), Some(&Value::Bool(true)), "{:?}", entry);
        }

        let again = machine.apply(&sls, false);
        for (tag, changes) in changes(&again) {
            prop_assert!(!changes.is_true(), "{} again: {:?}", tag, changes);
        }
    }
}

const TWO: &str = "a:\n  thing.here:\n    - name: /tmp/a\n    - content: one\nb:\n  thing.here:\n    - name: /tmp/b\n    - content: two\n";

fn plan(machine: &Machine, sls: &str) {
    let args = Args::new().with("s").keyword("plan", "/tmp/plan");
    let (_, code) = machine.call("state.plan", sls, args).expect("a plan");
    assert_eq!(code, 0);
    assert!(
        !machine.fake.exists("/tmp/a".as_ref()),
        "a plan changes nothing"
    );
}

fn follow(machine: &Machine, sls: &str) -> (Value, i64) {
    let args = Args::new().keyword("plan", "/tmp/plan");
    machine.call("state.apply", sls, args).expect("an answer")
}

#[test]
fn a_plan_is_applied_as_it_was_made() {
    let machine = Machine::new();
    plan(&machine, TWO);

    let (answer, code) = follow(&machine, TWO);

    assert_eq!(code, 0, "{answer:?}");
    assert_eq!(
        machine.fake.text("/tmp/b".as_ref()).unwrap(),
        Some("two".to_owned())
    );
}

#[test]
fn a_plan_is_refused_when_the_machine_has_changed() {
    let machine = Machine::new();
    plan(&machine, TWO);
    machine
        .fake
        .write("/tmp/b".as_ref(), b"else", &WriteOptions::new())
        .unwrap();

    let (answer, code) = follow(&machine, TWO);

    assert_eq!(code, 1);
    let text = "The machine has changed since the plan at /tmp/plan was made: thing.here b: result None, changes {\"content\": {\"old\": \"\", \"new\": \"two\"}} was planned, now result None, changes {\"content\": {\"old\": \"else\", \"new\": \"two\"}}";
    assert_eq!(answer, Value::List(vec![text.into()]));
    assert!(!machine.fake.exists("/tmp/a".as_ref()));
}

#[test]
fn a_plan_is_refused_when_the_tree_has_changed() {
    let machine = Machine::new();
    plan(&machine, TWO);

    let (answer, _) = follow(&machine, &TWO.replace("content: two", "content: three"));
    let text = "The plan at /tmp/plan was made for other states: thing.here b has other arguments";
    assert_eq!(answer, Value::List(vec![text.into()]));

    let (answer, _) = follow(&machine, &format!("{TWO}c: test.nop\n"));
    let text = "The plan at /tmp/plan was made for other states: test.nop c is new";
    assert_eq!(answer, Value::List(vec![text.into()]));
}

/// A chain in which each state requires the one before.
fn chain(length: usize) -> String {
    let mut sls = "s0: test.nop\n".to_owned();
    for n in 1..length {
        sls.push_str(&format!(
            "s{n}:\n  test.nop:\n    - require: [{{test: s{}}}]\n",
            n - 1
        ));
    }
    sls
}

fn fastest(length: usize) -> Duration {
    let (machine, sls) = (Machine::new(), chain(length));
    (0..3)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(machine.apply(&sls, false).len(), length);
            begun.elapsed()
        })
        .min()
        .unwrap_or_default()
}

#[test]
fn time_grows_with_the_number_of_chained_states_and_hardly_more() {
    let (few, many) = (fastest(500), fastest(2000));

    // Four times as many; quadratic growth would be sixteen times. Loaded machines are
    // given the benefit of the doubt.
    println!("500 chained: {few:?}, 2000 chained: {many:?}");
    assert!(many < few * 10, "500: {few:?}, 2000: {many:?}");
}

/// `saltutil.term_job` on a run: the state that is being carried out is the last.
#[test]
fn a_run_that_is_signalled_begins_no_further_state() {
    let children = Children::new();
    let host = Host::new().for_job(Arc::clone(&children));
    let signal = move |_: &Args, _: &Check<'_>| {
        let children = Arc::clone(&children);
        Ok(Plan::change("signalled", Changes::none(), move |_| {
            Ok(children.signal(15)?)
        }))
    };
    let registry = Registry::builtin().state("thing.signal", signal);
    let minion = MinionData::default();
    let tree = MemorySources::new().file(
        "base",
        "s.sls",
        "one:\n  thing.signal: []\ntwo:\n  test.nop: []\n",
    );
    let mut context = Context::new(&registry, &host, &minion);
    context.sources = Some(&tree);

    let answer = registry.call("state.apply", &Args::new().with("s"), &context);

    let Ok(Value::Map(entries)) = answer else {
        panic!("{answer:?}");
    };
    let tags: Vec<_> = entries.keys().map(salt_state::python::str).collect();
    assert_eq!(tags, ["thing_|-one_|-one_|-signal"]);
}

/// What a cleaned directory requires, or is required by it, stays; the rest goes.
#[test]
fn a_cleaned_directory_spares_what_other_states_of_the_run_see_to() {
    let machine = Machine::new();
    let sls = "\
/d:
  file.directory:
    - clean: true
    - require:
      - file: first
first:
  file.managed:
    - name: /d/kept
    - contents: x
    - makedirs: true
second:
  file.managed:
    - name: /d/kept too
    - contents: x
    - makedirs: true
    - require_in:
      - file: /d
";
    machine
        .fake
        .create_dir_all(std::path::Path::new("/d"), 0o755)
        .unwrap();
    for stray in ["/d/stray", "/d/kept too"] {
        let path = std::path::Path::new(stray);
        machine.fake.write(path, b"", &WriteOptions::new()).unwrap();
    }

    let entries = machine.apply(sls, false);

    assert!(
        entries
            .values()
            .all(|entry| entry.get("result") == Some(&true.into())),
        "{entries:?}"
    );
    let left: Vec<_> = machine.fake.list(std::path::Path::new("/d")).unwrap();
    assert_eq!(left, ["kept", "kept too"]);
}
