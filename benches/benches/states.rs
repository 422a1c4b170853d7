//! From a tree to ordered chunks, and runs of states that change nothing.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]

use std::fmt::Write;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use salt_proto::Map;
use salt_state::compile::{Inputs, compile as compile_tree};
use salt_state::render::{NoFunctions, World};
use salt_state::{Args, Context, FakeSystem, MemorySources, MinionData, Registry};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn minion() -> MinionData {
    MinionData {
        id: "minion".into(),
        config: Map::from([("cachedir", "/cache")]),
        ..MinionData::default()
    }
}

/// Files of 250 states each, of two kinds in turn, half of them in chains of 25. Every
/// second file is made by a loop.
fn mixed(states: usize) -> MemorySources {
    let mut tree = MemorySources::new();
    let mut top = "base:\n  '*':\n".to_owned();
    for (part, first) in (0..states).step_by(250).enumerate() {
        let last = states.min(first + 250);
        let mut text = String::new();
        if part % 2 == 1 {
            write!(text, "{{% for i in range({first}, {last}) %}}").unwrap();
            text.push_str(
                "s{{ i }}:\n  test.nop:\n    - name: n{{ '%05d' | format(i) }}\n{% endfor %}",
            );
        } else {
            for i in first..last {
                write!(
                    text,
                    "s{i}:\n  file.managed:\n    - name: /f{i}\n    - mode: '0644'\n    - contents: |\n        line {i}\n"
                )
                .unwrap();
                if i % 25 != 0 && (i / 25) % 2 == 1 {
                    write!(text, "    - require:\n      - file: s{}\n", i - 1).unwrap();
                }
            }
        }
        writeln!(top, "    - part{part}").unwrap();
        tree = tree.file("base", format!("part{part}.sls"), text);
    }
    tree.file("base", "top.sls", top)
}

#[divan::bench(args = [100, 1_000, 5_000])]
fn compile(bencher: Bencher<'_, '_>, states: usize) {
    let (minion, tree) = (minion(), mixed(states));
    bencher.counter(ItemsCount::new(states)).bench_local(|| {
        let world = World::new(&minion, &tree, &NoFunctions);
        let done = compile_tree(black_box(&Inputs::new(&world)));
        assert_eq!(done.low.as_ref().map(Vec::len), Some(states));
        done
    });
}

fn apply(bencher: Bencher<'_, '_>, states: usize, machine: &FakeSystem, sls: String) {
    let (registry, minion) = (Registry::builtin(), minion());
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let mut context = Context::new(&registry, machine, &minion);
    context.sources = Some(&tree);
    bencher.counter(ItemsCount::new(states)).bench_local(|| {
        let answer = registry.call("state.apply", &Args::new().with("s"), &context);
        let answer = answer.unwrap();
        assert_eq!(answer.as_map().map(Map::len), Some(states));
        answer
    });
}

/// Each requires the one before.
#[divan::bench(args = [500, 2_000])]
fn apply_a_chain(bencher: Bencher<'_, '_>, states: usize) {
    let mut sls = "s0:\n  test.nop\n".to_owned();
    for i in 1..states {
        write!(
            sls,
            "s{i}:\n  test.nop:\n    - require:\n      - test: s{}\n",
            i - 1
        )
        .unwrap();
    }
    apply(bencher, states, &FakeSystem::new(), sls);
}

/// Files that are as they should be.
#[divan::bench(args = [100, 1_000])]
fn apply_unchanged_files(bencher: Bencher<'_, '_>, states: usize) {
    let mut machine = FakeSystem::new();
    let mut sls = String::new();
    for i in 0..states {
        machine = machine.file(format!("/f{i}"), format!("line {i}\n"));
        write!(
            sls,
            "s{i}:\n  file.managed:\n    - name: /f{i}\n    - contents: |\n        line {i}\n"
        )
        .unwrap();
    }
    apply(bencher, states, &machine, sls);
}
