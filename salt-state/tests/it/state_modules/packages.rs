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
