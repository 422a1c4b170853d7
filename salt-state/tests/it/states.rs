//! States and their functions against what Salt 3008.3's own did on a prepared machine:
//! dry run, run and second run, with the answers of the programs as they were recorded.

#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use salt_proto::{Map, Value};
use salt_state::{
    Args, Command, Context, FakeSystem, Interface, MemorySources, MinionData, Node, Observe,
    Output, Registry, System, WriteOptions,
};
use serde_json::Value as Json;

use crate::golden::decode;

struct Recording {
    programs: Vec<String>,
    files: Files,
    /// Differences to the usual grains; null takes one away.
    grains: Map,
    /// Answers depend on what was changed before: between two changes, a question has one.
    stateful: bool,
    cases: Vec<Case>,
}

struct Case {
    call: String,
    args: Vec<Value>,
    kw: Map,
    before: Files,
    steps: Vec<Step>,
}

struct Step {
    mode: String,
    ret: Value,
    commands: Vec<Ran>,
    after: Option<Files>,
}

type Files = BTreeMap<String, String>;

#[derive(Clone)]
struct Ran {
    argv: Vec<String>,
    rc: i32,
    out: String,
    err: String,
    files: BTreeMap<String, Option<String>>,
    used: bool,
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn list<T>(json: &Json, each: impl FnMut(&Json) -> T) -> Vec<T> {
    json.as_array()
        .map(|items| items.iter().map(each).collect())
        .unwrap_or_default()
}

fn files(json: &Json) -> Files {
    let pairs = json.as_object().into_iter().flatten();
    pairs
        .map(|(path, content)| (path.clone(), text(content)))
        .collect()
}

fn recording(recorded: &str) -> Recording {
    let json: Json = serde_json::from_str(recorded).unwrap();
    let ran = |json: &Json| Ran {
        argv: list(&json["argv"], text),
        rc: json["rc"]
            .as_i64()
            .and_then(|rc| rc.try_into().ok())
            .unwrap_or_default(),
        out: text(&json["out"]),
        err: text(&json["err"]),
        files: json["files"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(path, content)| (path.clone(), content.as_str().map(str::to_owned)))
            .collect(),
        used: false,
    };
    let step = |json: &Json| Step {
        mode: text(&json["mode"]),
        ret: decode(&json["ret"]),
        commands: list(&json["commands"], ran),
        after: json.get("after").map(files),
    };
    let case = |case: &Json| Case {
        call: text(&case["call"]),
        args: list(&case["args"], decode),
        kw: decode(&case["kw"]).as_map().cloned().unwrap_or_default(),
        // Most cases of a recording begin alike.
        before: files(case.get("before").unwrap_or_else(|| &json["before"])),
        steps: list(&case["steps"], step),
    };
    Recording {
        programs: list(&json["programs"], text),
        files: files(&json["files"]),
        grains: decode(&json["grains"])
            .as_map()
            .cloned()
            .unwrap_or_default(),
        stateful: json["stateful"].as_bool().unwrap_or_default(),
        cases: list(&json["cases"], case),
    }
}

#[derive(Default)]
struct Script {
    ran: Vec<Ran>,
    unknown: Vec<String>,
    /// Where a question has one answer between two changes: after the last of them.
    after: Option<usize>,
    /// What the other steps of the case asked.
    elsewhere: Vec<Ran>,
    /// Nothing is left to do: what is only foretold needs no answer of its own.
    settled: bool,
}

impl Ran {
    /// Whether it changed what later questions are answered with.
    fn changes(&self) -> bool {
        let has = |word: &str| self.argv.iter().any(|known| known == word);
        if self.argv.first().is_some_and(|program| program == "apk") {
            let foretells = has("--simulate") || has("-s");
            return !foretells && (has("add") || has("del") || has("upgrade"));
        }
        has("-y") || has("versionlock") && (has("add") || has("delete"))
    }
}

impl Script {
    /// The next recorded answer to this command; the last one again when all are used.
    fn answer(&mut self, command: &Command) -> Option<Ran> {
        let program = Path::new(&command.program).file_name()?.to_str()?;
        let argv: Vec<String> = std::iter::once(program.to_owned())
            .chain(command.args.iter().map(|arg| even(&arg.to_string_lossy())))
            .collect();
        if let Some(after) = self.after {
            return self.answer_between(&argv, after);
        }
        let fresh = self
            .ran
            .iter()
            .position(|ran| ran.argv == argv && !ran.used);
        let at = fresh.or_else(|| self.ran.iter().rposition(|ran| ran.argv == argv));
        let Some(ran) = at.and_then(|at| self.ran.get_mut(at)) else {
            self.unknown.push(argv.join(" "));
            return None;
        };
        ran.used = true;
        Some(ran.clone())
    }

    /// The answer that was recorded since the last change, else the last one before it,
    /// else any.
    fn answer_between(&mut self, argv: &[String], after: usize) -> Option<Ran> {
        let is = |ran: &Ran| ran.argv == argv;
        let next = self
            .ran
            .iter()
            .position(|ran| is(ran) && ran.changes() && !ran.used);
        if let Some(at) = next {
            self.after = Some(at + 1);
            let ran = self.ran.get_mut(at)?;
            ran.used = true;
            return Some(ran.clone());
        }
        let (before, rest) = self.ran.split_at_checked(after)?;
        let found = rest
            .iter()
            .take_while(|ran| !ran.changes())
            .find(|ran| is(ran))
            .or_else(|| before.iter().rfind(|ran| is(ran)))
            .or_else(|| rest.iter().find(|ran| is(ran)))
            .or_else(|| self.elsewhere.iter().find(|ran| is(ran) && !ran.changes()));
        if found.is_none()
            && self.settled
            && argv
                .iter()
                .any(|word| word == "--assumeno" || word == "--simulate")
        {
            return Some(Ran {
                argv: argv.to_vec(),
                rc: 0,
                out: "Dependencies resolved.\nNothing to do.\n".to_owned(),
                err: String::new(),
                files: BTreeMap::new(),
                used: true,
            });
        }
        if found.is_none() {
            self.unknown.push(argv.join(" "));
        }
        found.cloned()
    }
}

fn machine(recording: &Recording, case: &Case, script: &Arc<Mutex<Script>>) -> FakeSystem {
    let loopback = Interface {
        name: "lo".to_owned(),
        index: 1,
        up: true,
        loopback: true,
        ..Interface::default()
    };
    let mut machine = FakeSystem::new().with_interfaces(vec![loopback]);
    for program in &recording.programs {
        machine = machine.program(format!("/usr/sbin/{program}"));
    }
    for (path, text) in recording.files.iter().chain(&case.before) {
        machine = match (path.strip_suffix('/'), text.strip_prefix("-> ")) {
            (Some(directory), _) => machine.directory(directory),
            (None, Some(target)) => machine.link(path, target),
            (None, None) => machine.file(path, text.as_str()),
        };
    }
    for (path, text) in recording.files.iter().chain(&case.before) {
        let path = Path::new(path);
        if path.starts_with("/etc/init.d") && text.starts_with("#!") {
            machine.set_mode(path, 0o755).unwrap();
        }
        if let Some(numbers) = text.strip_prefix("block ") {
            let (major, minor) = numbers.split_once(' ').unwrap();
            let node = Node::Block(major.parse().unwrap(), minor.parse().unwrap());
            machine.remove(path).unwrap();
            machine.make_node(path, node, 0o660).unwrap();
        }
    }
    let script = Arc::clone(script);
    machine.effect(move |command, machine| {
        let ran = script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answer(command)?;
        for (path, text) in &ran.files {
            if let Some(directory) = path.strip_suffix('/') {
                if text.is_some() {
                    machine.create_dir_all(Path::new(directory), 0o755).ok()?;
                }
                continue;
            }
            let path = Path::new(path);
            let _absent = machine.remove(path);
            match text.as_deref().map(|text| (text, text.strip_prefix("-> "))) {
                Some((_, Some(target))) => {
                    machine.create_dir_all(path.parent()?, 0o755).ok()?;
                    machine.symlink(Path::new(target), path).ok()?;
                }
                Some((text, None)) => {
                    machine.create_dir_all(path.parent()?, 0o755).ok()?;
                    machine
                        .write(path, text.as_bytes(), &WriteOptions::new())
                        .ok()?;
                }
                None => {}
            }
        }
        let mut output = Output::failure(ran.rc, ran.err);
        output.stdout = ran.out.into_bytes();
        Some(output)
    })
}

fn contents(machine: &FakeSystem, path: &str) -> Option<String> {
    let path = Path::new(path);
    if machine.is_link(path) {
        return Some(format!("-> {}", machine.read_link(path).ok()?.display()));
    }
    machine.text(path).ok().flatten()
}

/// Names of files that are drawn by chance, all alike.
fn even(text: &str) -> String {
    const MARK: &str = "/__salt.tmp.";
    let mut parts = text.split(MARK);
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        all.push_str(MARK);
        all.push_str("drawn");
        all.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    }
    all
}

/// A traceback of ours is its last line.
fn comment(value: Option<&Value>) -> String {
    let text = even(&value.map(salt_state::python::str).unwrap_or_default());
    match text.split_once("Traceback (most recent call last):") {
        Some((before, after)) => {
            let last = after.trim().lines().last().unwrap_or_default();
            format!("{}… {last}", before.trim_end().to_owned() + " ")
        }
        None => text,
    }
}

fn minion(differences: &Map) -> MinionData {
    let grains =
        "{os: Debian, os_family: Debian, kernel: Linux, osrelease: '12', osmajorrelease: 12,
        oscodename: bookworm, osfinger: Debian-12, osarch: amd64, id: m1, init: systemd,
        systemd: {version: '252'}, kernelrelease: 6.1.0-fake}";
    let Ok(Value::Map(mut grains)) = salt_state::yaml::load(grains) else {
        panic!("grains");
    };
    for (key, value) in differences {
        if value.is_null() {
            grains.remove(&salt_state::python::str(key));
        } else {
            grains.insert(key.clone(), value.clone());
        }
    }
    MinionData {
        id: "m1".to_owned(),
        grains: grains.into(),
        ..MinionData::default()
    }
}

/// The text of an error without the process that it names.
fn without_pid(text: &str) -> String {
    let Some((before, after)) = text.split_once("\n    pid:\n") else {
        return text.to_owned();
    };
    let after = after.split_once('\n').map_or("", |(_, after)| after);
    format!("{before}\n{after}")
}

/// Replays a module's recording; returns how many calls it checked.
fn replay(recorded: &str) -> usize {
    replay_but(recorded, &[])
}

/// The same but for the cases whose call, arguments and keywords have one of these texts:
/// differences that are known, each with its reason.
fn replay_but(recorded: &str, known: &[(&str, &str)]) -> usize {
    let recording = recording(recorded);
    let registry = Registry::builtin();
    let mut minion = minion(&recording.grains);
    if recording.stateful {
        minion.config.insert("cachedir", "/var/cache/salt");
    }
    let tree = recording.files.iter().filter_map(|(path, text)| {
        let path = path.strip_prefix("/srv/salt/")?;
        Some((path.to_owned(), text.clone()))
    });
    let tree = tree.fold(MemorySources::new(), |tree, (path, text)| {
        tree.file("base", path, text)
    });
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in &recording.cases {
        let head = format!("{} {:?} {:?}", case.call, case.args, case.kw);
        if known.iter().any(|(text, _)| head.contains(text)) {
            continue;
        }
        let script = Arc::new(Mutex::new(Script::default()));
        let machine = machine(&recording, case, &script);
        for step in &case.steps {
            *script.lock().unwrap() = Script {
                ran: step.commands.clone(),
                unknown: Vec::new(),
                after: recording.stateful.then_some(0),
                settled: step.mode == "again",
                elsewhere: case
                    .steps
                    .iter()
                    .flat_map(|step| step.commands.iter().cloned())
                    .collect(),
            };
            let mut context = Context::new(&registry, &machine, &minion);
            context.sources = Some(&tree);
            let mut args = Args::new();
            if step.mode != "call" {
                args = args.with(case.call.as_str());
            }
            for value in &case.args {
                args = args.with(value.clone());
            }
            for (key, value) in &case.kw {
                args = args.keyword(&salt_state::python::str(key), value.clone());
            }
            if step.mode == "test" {
                args = args.keyword("test", true);
            }
            count += 1;
            let (got, expected) = if step.mode == "call" {
                let got = match registry.call(&case.call, &args, &context) {
                    Ok(value) => value,
                    Err(error) => Map::from([("text", error.to_string())]).into(),
                };
                let mut expected = step.ret.clone();
                if let Some(map) = expected.as_map_mut()
                    && map.remove("__raised__").is_some()
                    && let Some(text) = map.str("text").map(without_pid)
                {
                    map.insert("text", text);
                }
                (got, expected)
            } else {
                let ret = registry.call("state.single", &args, &context).unwrap();
                let entry = ret
                    .as_map()
                    .and_then(|entries| entries.values().next())
                    .and_then(Value::as_map)
                    .unwrap_or_else(|| panic!("{} returned {ret:?}", case.call));
                let expected = step.ret.clone();
                let shown = |entry: &Map| {
                    Map::from([
                        ("result", entry.get("result").cloned().unwrap_or_default()),
                        ("changes", entry.get("changes").cloned().unwrap_or_default()),
                        ("comment", comment(entry.get("comment")).into()),
                    ])
                };
                let Some(expected) = expected.as_map() else {
                    panic!("{}: {expected:?}", case.call);
                };
                (shown(entry).into(), shown(expected).into())
            };
            let mut complaints = Vec::new();
            if got != expected {
                complaints.push(format!("expected {expected:?}\n     got {got:?}"));
            }
            let files = step.after.as_ref().unwrap_or(&case.before);
            for path in files.keys().chain(case.before.keys()) {
                if path.ends_with('/') {
                    continue;
                }
                let (now, then) = (contents(&machine, path), files.get(path).cloned());
                if now != then {
                    complaints.push(format!("{path}\nexpected {then:?}\n     got {now:?}"));
                }
            }
            let unknown = std::mem::take(&mut script.lock().unwrap().unknown);
            if !unknown.is_empty() {
                complaints.push(format!("commands Salt did not run: {unknown:?}"));
            }
            if !complaints.is_empty() {
                wrong.push(format!(
                    "{} {:?} {:?} ({})\n{}",
                    case.call,
                    case.args,
                    case.kw,
                    step.mode,
                    complaints.join("\n")
                ));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n{}",
        wrong.len(),
        recording.cases.len(),
        wrong.join("\n\n")
    );
    count
}

macro_rules! replays {
    ($($name:ident: $module:literal, $at_least:literal;)*) => {$(
        #[test]
        fn $name() {
            let count = replay(include_str!(concat!("../vectors/states/", $module, ".json")));
            println!("{count} recorded calls checked");
            assert!(count >= $at_least);
        }
    )*};
}

replays! {
    rules_of_the_packet_filter_are_set_as_salt_sets_them: "iptables", 150;
    options_of_ini_files_are_set_as_salt_sets_them: "ini", 100;
    the_time_zone_is_set_as_salt_sets_it: "timezone", 30;
    repositories_and_settings_of_git_are_made_as_salt_makes_them: "git", 80;
    clones_follow_a_repository_as_with_salt: "git_latest", 550;
    clones_stand_at_a_commit_as_with_salt: "git_detached", 100;
    functions_of_git_return_what_salt_returns: "git_functions", 200;
    alternatives_are_chosen_as_salt_chooses_them: "alternatives", 75;
    rules_of_nft_are_set_as_salt_sets_them: "nftables", 200;
    gems_are_installed_as_salt_installs_them: "gem", 60;
    packages_of_node_are_installed_as_salt_installs_them: "npm", 50;
    what_npm_keeps_is_removed_as_salt_removes_it: "npm_cache", 120;
    names_for_mail_are_given_as_salt_gives_them: "aliases", 100;
    languages_are_made_and_set_as_salt_sets_them: "locale", 60;
    languages_are_set_through_systemd_as_salt_sets_them: "locale_systemd", 60;
    questions_of_packages_are_answered_as_salt_answers_them: "debconf", 60;
    modules_are_listed_for_a_boot_without_systemd_as_salt_lists_them: "kmod_modules", 50;
    devices_are_formatted_as_salt_formats_them: "disk", 60;
    devices_are_tuned_as_salt_tunes_them: "blockdev", 20;
    scripts_start_services_as_with_salt: "service_scripts", 150;
    scripts_start_services_in_a_run_level_as_with_salt: "service_runlevel", 150;
    devices_are_used_for_swapping_as_with_salt: "mount_swap", 40;
    modules_of_the_kernel_are_loaded_as_salt_loads_them: "kmod", 150;
    logrotate_is_configured_as_salt_configures_it: "logrotate", 100;
    volumes_are_made_as_lvm_and_salt_make_them: "lvm", 200;
    tables_of_cron_are_those_of_files_as_with_salt: "cron_file", 100;
    interfaces_are_configured_as_salt_configures_them: "network", 150;
    interfaces_are_built_as_salt_builds_them: "network_interfaces", 200;
    networks_are_managed_as_salt_manages_them: "network_more", 300;
    options_of_interfaces_are_kept_as_salt_keeps_them: "network_options", 80;
    kinds_of_interfaces_are_made_as_salt_makes_them: "network_kinds", 80;
    host_names_are_set_as_salt_sets_them: "network_hostname", 40;
    attributes_of_the_kernel_are_set_as_salt_sets_them: "sysfs", 60;
    functions_are_waited_for_as_salt_waits_for_them: "loop", 50;
    machines_are_looked_at_as_salt_looks_at_them: "machine", 150;
    known_hosts_are_learnt_as_salt_learns_them: "ssh_known_hosts", 100;
}

/// Modules of which not all is as with Salt.
macro_rules! replays_but {
    ($($name:ident: $module:literal, $at_least:literal, $known:expr;)*) => {$(
        #[test]
        fn $name() {
            let recorded = include_str!(concat!("../vectors/states/", $module, ".json"));
            let count = replay_but(recorded, $known);
            println!("{count} recorded calls checked");
            assert!(count >= $at_least);
        }
    )*};
}

replays_but! {
    sources_of_dnf_are_kept_as_salt_keeps_them: "dnf_repo", 200, &[];
    what_dnf_and_rpm_know_is_told_as_salt_tells_it: "dnf_asked", 200, &[];
    packages_are_changed_with_dnf_as_salt_changes_them: "dnf_changed", 120, &[];
    packages_of_alpine_are_those_of_salt_3007: "apk", 400, ALPINE;
    packages_of_dnf_end_as_with_salt: "dnf_states", 500, &[];
}

/// 3008 has no module for apk; that of 3007 is wrong in these. Where its dry run ended with
/// `KeyError: 'pkg.list_repo_pkgs'`, which apk's module has not got, the recording has none.
const ALPINE: &[(&str, &str)] = &[
    (
        "pkg.latest [Str(\"alpha\")]",
        "a list of names installs nothing there",
    ),
    ("pkg.latest [Str(\"theta\")]", "the same"),
    ("pkg.latest [Str(\"broken\")]", "the same"),
    ("pkg.latest [Str(\"foe\")]", "the same"),
    ("pkg.latest [Str(\"gamma\")]", "the same"),
    ("pkg.latest [Str(\"delta-tool\")]", "the same"),
    (
        "pkg.latest [Str(\"p\")]",
        "the same; lists are told in other words than 3008's",
    ),
    (
        "pkg.removed [Str(\"p\")] {Str(\"pkgs\"): List([",
        "the name of the state is taken for a package too, versions for part of a name",
    ),
    ("pkg.purged [Str(\"p\")] {Str(\"pkgs\"): List([", "the same"),
    (
        "pkg.installed [Str(\"alpha\")] {Str(\"reinstall\")",
        "apk installs nothing once more, and the second run fails",
    ),
    (
        "pkg.removed [Str(\"p\")] {Str(\"pkgs\"): Str(",
        "what is installed is asked first here",
    ),
    ("pkg.purged [Str(\"p\")] {Str(\"pkgs\"): Str(", "the same"),
    (
        "pkg.uptodate [Str(\"u\")]",
        "all that the upgrade returned is taken for what changed",
    ),
    (
        "pkg.installed [Str(\"p\")] {Str(\"pkgs\"): List([Map({Str(\"alpha\"): Str(\"1.1-r0\")}), Str(\"theta\")])}",
        "what is on offer is asked here, in the dry run that fails there",
    ),
    (
        "{Str(\"version\"): Str(\"latest\")}",
        "the version that was found is told",
    ),
];
