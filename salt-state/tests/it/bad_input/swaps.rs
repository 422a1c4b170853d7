//! Somebody who may write to a directory swaps it, or a file in it, for a link between a
//! state's look and what it does, or while it does it: nothing is changed where the link
//! leads (P-01), and the state fails.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Check, Context, Host, MemorySources, MinionData, Outcome, Registry,
};

use super::Directory;

/// What there is below a directory.
fn snapshot(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                todo.push(path.clone());
                String::new()
            } else if meta.is_file() {
                fs::read_to_string(&path).unwrap()
            } else {
                format!("{:?}", meta.file_type())
            };
            let shown = format!("{:o} {} {content}", meta.mode(), meta.nlink());
            found.insert(path.display().to_string(), shown);
        }
    }
    found
}

fn plant(root: &Path) {
    for name in ["ours", "theirs"] {
        let directory = root.join(name);
        fs::create_dir_all(directory.join("d/s")).unwrap();
        for file in ["f", "d/x", "d/s/y"] {
            fs::write(directory.join(file), "one\ntwo\n").unwrap();
        }
        symlink("f", directory.join("l")).unwrap();
    }
    fs::write(root.join("source"), "source\n").unwrap();
}

fn swap(root: &Path, name: &str, target: &str) {
    let moved = root.join(format!("moved-{}", name.replace('/', "-")));
    fs::rename(root.join(name), moved).unwrap();
    symlink(root.join(target), root.join(name)).unwrap();
}

/// Plans a state, lets somebody swap something, carries the plan out.
fn raced(
    root: &Path,
    state: &str,
    arguments: &Value,
    between: impl FnOnce(),
) -> Result<Outcome, CallError> {
    let registry = Registry::builtin();
    let host = Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())]);
    let minion = MinionData {
        config: Map::from([(
            "cachedir",
            root.join("cache").to_string_lossy().into_owned(),
        )]),
        ..MinionData::default()
    };
    let tree = MemorySources::new()
        .file("base", "tree/f", "from the tree\n")
        .file("base", "tree/d/x", "from the tree\n");
    let mut context = Context::new(&registry, &host, &minion);
    context.sources = Some(&tree);
    let (module, function) = state.split_once('.').unwrap();
    let mut low = arguments.as_map().unwrap().clone();
    for (key, value) in [
        ("state", module),
        ("fun", function),
        ("__id__", "x"),
        ("__sls__", "s"),
        ("__env__", "base"),
    ] {
        low.insert(key, value);
    }
    let mut args = Args::new();
    for (key, value) in arguments.as_map().unwrap() {
        args = args.keyword(key.as_str().unwrap(), value.clone());
    }
    let check = Check::new(&context, &low, false);
    let plan = registry.check(state, &args, &check)?;
    assert!(
        plan.is_change(),
        "{state} {arguments:?}: {:?}",
        plan.comment
    );
    between();
    plan.carry_out(&context)
}

fn arguments(root: &Path, yaml: &str) -> Value {
    let text = yaml.replace("{R}", &root.to_string_lossy());
    salt_state::yaml::load(&text).unwrap()
}

/// States that write, in a directory that is swapped.
const WRITING: &[(&str, &str)] = &[
    ("file.managed", "{name: '{R}/ours/f', contents: new}"),
    ("file.managed", "{name: '{R}/ours/new', contents: new}"),
    (
        "file.managed",
        "{name: '{R}/ours/n/w', contents: x, makedirs: true}",
    ),
    (
        "file.managed",
        "{name: '{R}/ours/f', source: 'salt://tree/f'}",
    ),
    (
        "file.managed",
        "{name: '{R}/ours/f', replace: false, mode: '0600'}",
    ),
    (
        "file.managed",
        "{name: '{R}/ours/f', contents: new, backup: minion}",
    ),
    ("file.append", "{name: '{R}/ours/f', text: new}"),
    ("file.prepend", "{name: '{R}/ours/f', text: new}"),
    (
        "file.line",
        "{name: '{R}/ours/f', mode: replace, match: one, content: new}",
    ),
    (
        "file.replace",
        "{name: '{R}/ours/f', pattern: one, repl: new}",
    ),
    (
        "file.replace",
        "{name: '{R}/ours/f', pattern: one, repl: new, backup: .bak}",
    ),
    (
        "file.blockreplace",
        "{name: '{R}/ours/f', marker_start: a, marker_end: z, content: new, append_if_not_found: true}",
    ),
    ("file.comment", "{name: '{R}/ours/f', regex: one}"),
    (
        "file.keyvalue",
        "{name: '{R}/ours/f', key: a, value: b, append_if_not_found: true}",
    ),
    ("file.serialize", "{name: '{R}/ours/f', dataset: {a: 1}}"),
    ("file.symlink", "{name: '{R}/ours/new', target: f}"),
    ("file.symlink", "{name: '{R}/ours/l', target: d}"),
    (
        "file.symlink",
        "{name: '{R}/ours/f', target: d, force: true}",
    ),
    (
        "file.hardlink",
        "{name: '{R}/ours/new', target: '{R}/source'}",
    ),
    ("file.copy", "{name: '{R}/ours/new', source: '{R}/source'}"),
    (
        "file.copy",
        "{name: '{R}/ours/f', source: '{R}/source', force: true}",
    ),
    (
        "file.rename",
        "{name: '{R}/ours/new', source: '{R}/source'}",
    ),
    ("file.directory", "{name: '{R}/ours/new'}"),
    ("file.directory", "{name: '{R}/ours/n/w', makedirs: true}"),
    (
        "file.directory",
        "{name: '{R}/ours/d', dir_mode: '0700', file_mode: '0600', recurse: [mode]}",
    ),
    ("file.directory", "{name: '{R}/ours/d', clean: true}"),
    ("file.recurse", "{name: '{R}/ours', source: 'salt://tree'}"),
    (
        "file.recurse",
        "{name: '{R}/ours/d', source: 'salt://tree', clean: true}",
    ),
    ("file.touch", "{name: '{R}/ours/new'}"),
    ("file.touch", "{name: '{R}/ours/f'}"),
    (
        "file.mknod",
        "{name: '{R}/ours/new', ntype: p, mode: '0600'}",
    ),
    ("file.absent", "{name: '{R}/ours/f'}"),
    ("file.absent", "{name: '{R}/ours/d'}"),
    ("file.tidied", "{name: '{R}/ours/d', matches: ['.*']}"),
    ("file.decode", "{name: '{R}/ours/f', encoded_data: bmV3}"),
    (
        "ini.options_present",
        "{name: '{R}/ours/f', sections: {a: {b: c}}}",
    ),
];

#[test]
fn a_directory_that_became_a_link_leads_no_state_elsewhere() {
    let mut wrong = Vec::new();
    for (number, (state, yaml)) in WRITING.iter().enumerate() {
        let place = Directory::new(&format!("swap-{number}"));
        let root = place.0.canonicalize().unwrap();
        plant(&root);
        let before = snapshot(&root.join("theirs"));
        let done = raced(&root, state, &arguments(&root, yaml), || {
            swap(&root, "ours", "theirs");
        });
        if snapshot(&root.join("theirs")) != before {
            wrong.push(format!("{state} {yaml}: changed where the link leads"));
        }
        if matches!(&done, Ok(outcome) if outcome.result != Some(false)) {
            wrong.push(format!("{state} {yaml}: {done:?}"));
        }
    }
    println!("{} states in a directory that was swapped", WRITING.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_became_a_link_is_followed_by_no_state() {
    let mut wrong = Vec::new();
    let own: Vec<_> = WRITING
        .iter()
        .filter(|(_, yaml)| yaml.contains("/ours/f'") || yaml.contains("/ours/d'"))
        .collect();
    for (number, (state, yaml)) in own.iter().enumerate() {
        let place = Directory::new(&format!("swap-end-{number}"));
        let root = place.0.canonicalize().unwrap();
        plant(&root);
        let before = snapshot(&root.join("theirs"));
        let name = if yaml.contains("/ours/f'") { "f" } else { "d" };
        // What removes, moves or replaces a link does so with the link.
        let _done = raced(&root, state, &arguments(&root, yaml), || {
            swap(&root, &format!("ours/{name}"), &format!("theirs/{name}"));
        });
        if snapshot(&root.join("theirs")) != before {
            wrong.push(format!("{state} {yaml}: changed where the link leads"));
        }
    }
    println!("{} states of what was swapped", own.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_that_were_there_before_are_followed_as_ever() {
    let place = Directory::new("swap-none");
    let root = place.0.canonicalize().unwrap();
    plant(&root);
    symlink("ours", root.join("link")).unwrap();

    let yaml = "{name: '{R}/link/n/w', contents: x, makedirs: true}";
    let done = raced(&root, "file.managed", &arguments(&root, yaml), || {}).unwrap();

    assert_eq!(done.result, Some(true), "{done:?}");
    assert_eq!(fs::read(root.join("ours/n/w")).unwrap(), b"x\n");
}

#[test]
fn a_swap_while_a_state_is_at_it_fails_the_state_and_not_the_run() {
    let place = Directory::new("swap-during");
    let root = place.0.canonicalize().unwrap();
    plant(&root);
    let script = root.join("swap.sh");
    let text = format!(
        "#!/bin/sh\ncd {} && mv ours moved && ln -s theirs ours\n",
        root.display()
    );
    fs::write(&script, text).unwrap();
    let sls = "
raced:
  file.managed:
    - name: {R}/ours/f
    - contents: new
    - check_cmd: sh {R}/swap.sh
after:
  file.managed:
    - name: {R}/after
    - contents: y
    - require: [file: raced]
otherwise:
  file.managed:
    - name: {R}/otherwise
    - contents: z
    - onfail: [file: raced]
beside:
  file.managed:
    - name: {R}/beside
    - contents: w
"
    .replace("{R}", &root.to_string_lossy());
    let before = snapshot(&root.join("theirs"));
    let host = Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())]);
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let mut context = Context::new(&registry, &host, &minion);
    context.sources = Some(&tree);

    let answer = registry
        .call("state.apply", &Args::new().with("s"), &context)
        .unwrap();

    assert_eq!(snapshot(&root.join("theirs")), before);
    let results: Map = answer
        .as_map()
        .unwrap()
        .values()
        .map(|entry| {
            let part = |key: &str| entry.get(key).cloned().unwrap_or_default();
            (part("__id__"), part("result"))
        })
        .collect();
    let expected = Map::from([
        ("raced", false),
        ("after", false),
        ("otherwise", true),
        ("beside", true),
    ]);
    assert_eq!(results, expected, "{answer:?}");
}

/// Plans a tree, does something, and applies the plan.
fn planned(root: &Path, sls: &str, between: impl FnOnce()) -> Value {
    let sls = sls.replace("{R}", &root.to_string_lossy());
    let host = Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())]);
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let registry = Registry::builtin();
    let minion = MinionData {
        config: Map::from([(
            "cachedir",
            root.join("cache").to_string_lossy().into_owned(),
        )]),
        ..MinionData::default()
    };
    let mut context = Context::new(&registry, &host, &minion);
    context.sources = Some(&tree);
    let file = root.join("a.plan").to_string_lossy().into_owned();
    let args = Args::new().with("s").keyword("plan", file.as_str());
    let plan = registry.call("state.plan", &args, &context).unwrap();
    assert!(plan.as_map().is_some(), "{plan:?}");

    between();
    let args = Args::new().keyword("plan", file);
    registry.call("state.apply", &args, &context).unwrap()
}

#[test]
fn a_plan_is_not_applied_where_a_directory_became_a_link_since() {
    let place = Directory::new("swap-plan");
    let root = place.0.canonicalize().unwrap();
    plant(&root);
    let before = snapshot(&root.join("theirs"));
    let sls = "{R}/ours/f:\n  file.managed:\n    - contents: new\n";

    let answer = planned(&root, sls, || swap(&root, "ours", "theirs"));

    assert_eq!(snapshot(&root.join("theirs")), before);
    let said = answer.as_list().unwrap()[0].as_str().unwrap();
    let wanted = format!("it would write in {}", root.join("theirs").display());
    assert!(said.ends_with(&wanted), "{said}");
}

#[test]
fn a_plan_is_applied_where_nothing_changed_since() {
    let place = Directory::new("swap-no-plan");
    let root = place.0.canonicalize().unwrap();
    plant(&root);
    let sls = "{R}/ours/f:\n  file.managed:\n    - contents: new\n    - backup: minion\n";

    let answer = planned(&root, sls, || {});

    assert!(answer.as_map().is_some(), "{answer:?}");
    assert_eq!(fs::read(root.join("ours/f")).unwrap(), b"new\n");
}

#[test]
fn a_plan_whose_user_vanished_is_not_applied() {
    let sls = "/d/f:\n  file.managed:\n    - contents: new\n    - user: app\n";
    let passwd = "root:x:0:0:root:/root:/bin/sh\n";
    let with_app = format!("{passwd}app:x:1000:1000::/:/bin/sh\n");
    let machine = salt_state::FakeSystem::new()
        .directory("/d")
        .file("/etc/passwd", with_app);
    let tree = MemorySources::new().file("base", "s.sls", sls);
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let mut context = Context::new(&registry, &machine, &minion);
    context.sources = Some(&tree);
    let args = Args::new().with("s").keyword("plan", "/root/a.plan");
    registry.call("state.plan", &args, &context).unwrap();

    let options = salt_state::WriteOptions::new();
    let file = Path::new("/etc/passwd");
    salt_state::System::write(&machine, file, passwd.as_bytes(), &options).unwrap();
    let args = Args::new().keyword("plan", "/root/a.plan");
    let answer = registry.call("state.apply", &args, &context).unwrap();

    let said = answer.as_list().unwrap()[0].as_str().unwrap();
    assert!(said.contains("file.managed /d/f"), "{said}");
    assert!(!salt_state::Observe::exists(&machine, Path::new("/d/f")));
}
