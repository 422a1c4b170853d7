//! Packages and where they come from, with imitations of apt and dpkg.

use std::collections::BTreeMap;

use salt_state::{Command, FakeSystem, Output};

use super::{Bench, put, text};

#[test]
fn sources_of_packages_end_as_with_salt() {
    let bench = Bench::new(apt(FakeSystem::new().file("/etc/apt/sources.list", "")));

    bench.replay(include_str!("../../vectors/states/pkgrepo.json"), |_, _| {
        true
    });

    assert_eq!(
        text(&bench.machine, "/etc/apt/sources.list"),
        "deb http://v.example.com/d ./\n"
    );
}

#[test]
fn packages_end_as_with_salt() {
    let bench = Bench::new(apt(FakeSystem::new()));

    // Of a package that dpkg does not know nothing can be foretold.
    bench.replay(include_str!("../../vectors/states/pkg.json"), |_, args| {
        args.str("name") != Some("nosuchpackagexyz")
    });
}

const AVAILABLE: [(&str, &str); 4] = [
    ("cowsay", "3.03+dfsg2-8"),
    ("hello", "2.10-3"),
    ("libtext-charwidth-perl", "0.04-11"),
    ("sl", "5.02-1+b1"),
];

type Packages = BTreeMap<String, (String, String)>;

/// Names with versions and selections.
fn packages(machine: &FakeSystem) -> Packages {
    text(machine, "/fake/packages")
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (
                words[0].to_owned(),
                (words[1].to_owned(), words[2].to_owned()),
            )
        })
        .collect()
}

fn store(machine: &FakeSystem, all: &Packages) {
    let lines: String = all
        .iter()
        .map(|(name, (version, selection))| format!("{name} {version} {selection}\n"))
        .collect();
    put(machine, "/fake/packages", &lines);
}

fn available(name: &str) -> Option<&'static str> {
    AVAILABLE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, version)| *version)
}

fn apt(machine: FakeSystem) -> FakeSystem {
    let machine = machine
        .program("/usr/bin/dpkg-query")
        .file("/fake/packages", "");
    machine.effect(|command, machine| {
        let words: Vec<String> = command
            .args
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match command.program.to_str()? {
            "dpkg-query" => {
                let lines: String = packages(machine)
                    .iter()
                    .map(|(name, (version, selection))| {
                        format!("{selection} ok installed {name} {version} amd64\n")
                    })
                    .collect();
                Some(Output::success(lines))
            }
            "dpkg" => Some(dpkg(&words, command, machine)),
            "apt-cache" => Some(apt_cache(&words)),
            "apt-get" => Some(apt_get(&words, machine)),
            _ => None,
        }
    })
}

fn dpkg(words: &[&str], command: &Command, machine: &FakeSystem) -> Output {
    let mut all = packages(machine);
    if words[0] == "--set-selections" {
        let input = String::from_utf8(command.stdin.clone().unwrap_or_default()).expect("text");
        let (name, selection) = input.trim().split_once(' ').expect("name and selection");
        if let Some(package) = all.get_mut(name) {
            selection.clone_into(&mut package.1);
        }
        store(machine, &all);
        return Output::success("");
    }
    let lines: String = all
        .iter()
        .filter(|(name, _)| words[1] == "*" || *name == words[1])
        .map(|(name, (_, selection))| format!("{name}\t\t\t{selection}\n"))
        .collect();
    Output::success(lines)
}

fn apt_cache(words: &[&str]) -> Output {
    let name = words.last().expect("a name");
    Output::success(match (available(name), words[1]) {
        (None, _) => String::new(),
        (Some(version), "policy") => {
            format!("{name}:\n  Installed: (none)\n  Candidate: {version}\n")
        }
        (Some(version), _) => format!("{name} | {version} | http://deb bookworm/main\n"),
    })
}

fn apt_get(words: &[&str], machine: &FakeSystem) -> Output {
    let Some(end) = words.iter().position(|word| *word == "--") else {
        return Output::success("");
    };
    let (options, targets) = words.split_at(end);
    let simulates = options.contains(&"--just-print");
    let mut all = packages(machine);
    let mut steps = String::new();
    if options.contains(&"install") {
        let mut names = Vec::new();
        for target in &targets[1..] {
            let (name, version) = target.split_once('=').unwrap_or((target, ""));
            let Some(offered) = available(name) else {
                return Output::failure(100, format!("E: Unable to locate package {name}\n"));
            };
            let fits = match version.strip_suffix('*') {
                Some(start) => offered.starts_with(start),
                None => version.is_empty() || version == offered,
            };
            if !fits {
                return Output::failure(
                    100,
                    format!("E: Version '{version}' for '{name}' was not found\n"),
                );
            }
            if name == "cowsay" {
                names.push("libtext-charwidth-perl");
            }
            names.push(name);
        }
        for name in names {
            let version = available(name).expect("it is offered");
            if !all.contains_key(name) {
                steps.push_str(&format!("Inst {name} ({version} Debian:12 [amd64])\n"));
                all.insert(name.to_owned(), (version.to_owned(), "install".to_owned()));
            }
        }
    } else {
        for name in &targets[1..] {
            match all.get(*name) {
                Some((_, selection)) if selection == "hold" => {
                    return Output::failure(
                        100,
                        "E: Held packages were changed and -y was used without \
                         --allow-change-held-packages.\n",
                    );
                }
                Some((version, _)) => steps.push_str(&format!("Remv {name} [{version}]\n")),
                None => {}
            }
            all.remove(*name);
        }
    }
    if !simulates {
        store(machine, &all);
    }
    Output::success(steps)
}

/// What a recorded program said, in order, by its command line.
type Said = BTreeMap<Vec<String>, Vec<Output>>;

fn said(case: &serde_json::Value) -> Said {
    let mut said = Said::new();
    for command in case["commands"].as_array().expect("a list") {
        let words = command["argv"].as_array().expect("words");
        let words = words.iter().map(|word| word.as_str().expect("text"));
        let text = |key: &str| command[key].as_str().expect("text").to_owned();
        let code = i32::try_from(command["rc"].as_i64().expect("a code")).expect("a code");
        let mut output = Output::failure(code, text("err"));
        output.stdout = text("out").into_bytes();
        said.entry(words.map(str::to_owned).collect())
            .or_default()
            .push(output);
    }
    said
}

/// A machine that answers as programs answered when they were recorded.
fn answering(case: &serde_json::Value) -> FakeSystem {
    let said = std::sync::Mutex::new(said(case));
    let mut machine = FakeSystem::new();
    for program in ["dpkg-query", "dpkg", "apt-get", "apt-cache"] {
        machine = machine.program(format!("/usr/bin/{program}"));
    }
    for file in case["files"].as_array().into_iter().flatten() {
        machine = machine.file(file.as_str().expect("a path"), "");
    }
    machine.effect(move |command, _| {
        let words = std::iter::once(&command.program).chain(&command.args);
        let words = words.map(|word| word.to_string_lossy().into_owned());
        // The end of options is ours.
        let words: Vec<String> = words.filter(|word| word != "--").collect();
        let mut said = said.lock().expect("no test has failed with it");
        let outputs = said.get_mut(&words)?;
        Some(if outputs.len() > 1 {
            outputs.remove(0)
        } else {
            outputs.first()?.clone()
        })
    })
}

#[test]
fn questions_about_packages_are_answered_as_salt_answers_them() {
    use salt_proto::Map;
    use salt_state::{Args, Context, MinionData, Registry};

    let cases = include_str!("../../vectors/functions/packages.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(cases).expect("JSON");
    let registry = Registry::builtin();
    let minion = MinionData {
        id: "bench".to_owned(),
        grains: Map::from([("os_family", "Debian"), ("osarch", "amd64")]).into(),
        ..MinionData::default()
    };
    let mut wrong = Vec::new();
    for case in &cases {
        let machine = answering(case);
        let context = Context::new(&registry, &machine, &minion);
        let function = case["call"].as_str().expect("a function");
        let mut args = Args::new();
        for value in case["args"].as_array().expect("a list") {
            args = args.with(crate::golden::decode(value));
        }
        for (key, value) in case["kwargs"].as_object().expect("a mapping") {
            args = args.keyword(key, crate::golden::decode(value));
        }
        let got = registry.call(function, &args, &context);
        let agrees = match (&got, case.get("return"), case.get("text")) {
            (Ok(got), Some(expected), _) => {
                *got == crate::golden::decode(expected)
                    && context.retcode() == case["retcode"].as_i64().unwrap_or(0)
            }
            (Err(error), _, Some(expected)) => {
                Some(error.to_string().as_str()) == expected.as_str()
            }
            _ => false,
        };
        if !agrees {
            wrong.push(format!(
                "{function} {args:?}\n  expected {:?} {:?} {}\n  got {got:?} {}",
                case.get("return"),
                case.get("text"),
                case["retcode"],
                context.retcode()
            ));
        }
    }
    println!("{} recorded questions about packages", cases.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.len() > 50);
}

/// A dry run of Salt's reads the lists of packages again; one of ours writes nothing.
const LISTS: &str = "a dry run does not read the lists of packages again";
/// Salt's `--force-yes` would also take what nobody has signed.
const FORCE: &str = "older versions are asked for with --allow-downgrades alone";

/// Recorded runs that differ on purpose: what their call contains, the mode, and why.
const DIFFERENT: [(&str, &str, &str); 13] = [
    (
        "\"version\":\"3.0-1\",\"ignore_epoch\":true",
        "apply",
        FORCE,
    ),
    (
        "\"version\":\"3.0-1\",\"ignore_epoch\":true",
        "again",
        FORCE,
    ),
    (
        "pkg.installed {\"name\":\"alpha\"} \"echo 'deb [",
        "test",
        LISTS,
    ),
    (
        "pkg.installed {\"name\":\"alpha\"} \"echo 'deb n",
        "test",
        LISTS,
    ),
    (
        "pkg.latest {\"name\":\"alpha\"} \"echo 'deb n",
        "test",
        LISTS,
    ),
    (
        "pkg.uptodate {\"name\":\"x\",\"refresh\":true} \"echo",
        "test",
        LISTS,
    ),
    ("pkg.latest {\"name\":\"theta\"} ", "test", LISTS),
    ("pkg.installed {\"name\":\"theta\"} ", "test", LISTS),
    (
        "pkg.installed {\"name\":\"theta\",\"version\":\"latest\"} ",
        "test",
        LISTS,
    ),
    (
        "pkg.uptodate {\"name\":\"x\",\"refresh\":true} \"rm",
        "test",
        LISTS,
    ),
    (
        "pkg.installed {\"name\":\"theta\",\"refresh\":false} ",
        "test",
        LISTS,
    ),
    (
        "pkg.installed {\"name\":\"theta\",\"refresh\":false} ",
        "apply",
        LISTS,
    ),
    (
        "pkg.installed {\"name\":\"theta\",\"refresh\":false} ",
        "again",
        LISTS,
    ),
];

/// A machine on which programs answer as they did in one recorded run.
fn replaying(answers: &[serde_json::Value], step: &serde_json::Value) -> FakeSystem {
    let commands = step["commands"].as_array().expect("a list");
    let commands: Vec<serde_json::Value> = commands
        .iter()
        .map(|at| {
            let at = usize::try_from(at.as_u64().expect("a number")).expect("small");
            let answer = answers.get(at).expect("an answer");
            serde_json::json!({
                "argv": answer[0], "out": answer[1], "err": answer[2], "rc": answer[3],
            })
        })
        .collect();
    answering(&serde_json::json!({ "commands": commands }))
}

/// Salt 3008.3 brought these states about in a root of its own with a repository of its
/// own, and so did we; the answers of apt and dpkg are those that we got.
#[test]
fn states_of_packages_end_as_in_a_root_of_their_own() {
    use salt_proto::{Map, Value};
    use salt_state::{Args, Check, Context, MinionData, Outcome, Registry};

    let recorded = include_str!("../../vectors/states/packages.json");
    let recorded: serde_json::Value = serde_json::from_str(recorded).expect("JSON");
    let answers = recorded["answers"].as_array().expect("a list");
    let registry = Registry::builtin();
    let minion = MinionData {
        id: "bench".to_owned(),
        grains: Map::from([("os_family", "Debian"), ("osarch", "amd64")]).into(),
        ..MinionData::default()
    };
    let (mut wrong, mut steps) = (Vec::new(), 0);
    for case in recorded["cases"].as_array().expect("a list") {
        let state = case["state"].as_str().expect("a state");
        let mut args = Args::new();
        for (key, value) in case["args"].as_object().expect("a mapping") {
            args = args.keyword(key, crate::golden::decode(value));
        }
        for step in case["steps"].as_array().expect("a list") {
            steps += 1;
            let mode = step["mode"].as_str().expect("a mode");
            let machine = replaying(answers, step);
            let context = Context::new(&registry, &machine, &minion);
            let low = Map::from([("state", "pkg"), ("__env__", "base")]);
            let check = Check::new(&context, &low, mode == "test");
            let ended = registry.check(state, &args, &check).and_then(|plan| {
                if mode == "test" {
                    Ok(plan.predicted())
                } else {
                    plan.carry_out(&context)
                }
            });
            let ended = ended.unwrap_or_else(|error| Outcome {
                result: Some(false),
                comment: format!("An exception occurred in this state: {}", error.traceback())
                    .into(),
                ..Outcome::default()
            });
            let changes: Value = ended.changes.into_map().into();
            let agrees = Value::from(ended.result) == crate::golden::decode(&step["result"])
                && ended.comment == crate::golden::decode(&step["comment"])
                && changes == crate::golden::decode(&step["changes"]);
            let about = format!("{state} {} {}", case["args"], case["sh"]);
            let is_known = DIFFERENT
                .iter()
                .any(|(what, when, _)| about.contains(what) && *when == mode);
            if agrees == is_known {
                wrong.push(format!(
                    "{about} given {} hold {} {mode}\n  expected {} {} {}\n  got {:?} {:?} {changes:?}",
                    case["given"],
                    case["hold"],
                    step["result"],
                    step["comment"],
                    step["changes"],
                    ended.result,
                    ended.comment,
                ));
            }
        }
    }
    println!("{steps} recorded runs of states of packages");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(steps > 600);
}
