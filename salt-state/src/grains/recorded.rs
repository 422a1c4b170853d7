//! Our grains beside those that Salt gave for the same machines, recorded by
//! `tests/tools/record_grains.py`.

use std::net::IpAddr;
use std::path::Path;

use salt_proto::{Map, Value};

use crate::fnmatch;
use crate::grains::gather;
use crate::system::{
    Command, Exit, FakeSystem, Interface, InterfaceAddress, Kernel, Output, System, WriteOptions,
};
use crate::yaml;

#[test]
fn distributions_are_told_apart_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/os-rules.json")),
        307
    );
}

#[test]
fn firmware_is_told_of_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/firmware.json")),
        36
    );
}

#[test]
fn virtual_machines_and_containers_are_told_apart_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/virtual.json")),
        386
    );
}

#[test]
fn the_first_process_is_told_of_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/init.json")),
        99
    );
}

#[test]
fn hardware_is_told_of_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/hardware.json")),
        106
    );
}

#[test]
fn names_and_surroundings_are_told_of_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/process.json")),
        83
    );
}

#[test]
fn networks_are_told_of_as_recorded() {
    assert_eq!(
        replay(include_str!("../../tests/vectors/grains/network.json")),
        16
    );
}

/// Compares every case and says how many there are; every kept grain counts.
fn replay(vectors: &str) -> usize {
    let vectors = yaml::load(vectors).unwrap();
    let cases = vectors.get("cases").and_then(Value::as_list).unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let case = case.as_map().unwrap();
        let name = case.str("name").unwrap();
        let keep = case.get("keep").or_else(|| vectors.get("keep")).unwrap();
        let keep = keep.as_list().unwrap();
        let kept = |key: &Value| {
            let mut patterns = keep.iter().filter_map(Value::as_str);
            patterns.any(|pattern| fnmatch(key.as_str().unwrap(), pattern))
        };
        let mut config = Map::from([("id", "tester")]);
        config.extend(part(case, "config"));
        let found: Map = gather(&machine(case), &config, Path::new("/etc/salt"))
            .into_iter()
            .filter(|(key, _)| kept(key))
            .collect();
        let expected = part(case, "grains");
        let more = found.keys().filter(|key| expected.get_value(key).is_none());
        for key in expected.keys().chain(more) {
            let (ours, salts) = (found.get_value(key), expected.get_value(key));
            if comparable(key, ours) != comparable(key, salts) {
                wrong.push(format!(
                    "{name}: {key:?}\n   ours {ours:?}\n  Salt's {salts:?}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    cases.len()
}

/// Block devices come in the directory's order, which is none.
fn comparable(key: &Value, value: Option<&Value>) -> Option<Value> {
    match (key.as_str(), value) {
        (Some("disks" | "ssds"), Some(Value::List(names))) => {
            let mut names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.sort_unstable();
            Some(names.into_iter().collect())
        }
        (_, value) => value.cloned(),
    }
}

fn part(case: &Map, name: &str) -> Map {
    let found = case.get(name).and_then(Value::as_map);
    found.cloned().unwrap_or_default()
}

/// The machine that the recorder prepares, in memory.
fn machine(case: &Map) -> FakeSystem {
    let mut machine = FakeSystem::new()
        .link("/bin", "usr/bin")
        .link("/sbin", "usr/sbin")
        .file("/etc/hosts", "127.0.0.1 localhost\n")
        .variable("PATH", "/usr/bin:/usr/sbin:/bin:/sbin");
    for table in ["files", "tables"] {
        for (path, content) in part(case, table) {
            let content = match &content {
                Value::Str(text) => text.as_bytes().to_vec(),
                other => {
                    let text = other.get("latin1").and_then(Value::as_str).unwrap();
                    text.chars().map(|ch| u8::try_from(ch).unwrap()).collect()
                }
            };
            machine = machine.file(path.as_str().unwrap(), content);
        }
    }
    for path in case
        .get("directories")
        .and_then(Value::as_list)
        .unwrap_or_default()
    {
        machine = machine.directory(path.as_str().unwrap());
    }
    for (path, target) in part(case, "links") {
        machine = machine.link(path.as_str().unwrap(), target.as_str().unwrap());
    }
    for (name, value) in part(case, "env") {
        machine = machine.variable(name.as_str().unwrap(), value.as_str().unwrap());
    }
    let amd64 = yaml::load("{--print-architecture: {stdout: \"amd64\\n\"}}").unwrap();
    let mut programs = Map::from([("dpkg", amd64)]);
    programs.extend(part(case, "programs"));
    for (name, answers) in programs {
        machine = with_program(machine, name.as_str().unwrap(), answers);
    }
    let kernel = part(case, "kernel");
    let word = |key: &str, usual: &str| kernel.str(key).unwrap_or(usual).to_owned();
    machine
        .with_kernel(Kernel {
            name: word("name", "Linux"),
            node: word("node", "host"),
            release: word("release", "6.1.0-18-amd64"),
            version: word("version", "#1"),
            machine: word("machine", "x86_64"),
        })
        .with_interfaces(interfaces(case))
}

fn with_program(machine: FakeSystem, name: &str, answers: Value) -> FakeSystem {
    let path = match name.contains('/') {
        true => name.to_owned(),
        false => format!("/usr/bin/{name}"),
    };
    let machine = machine.program(&path);
    if let Some(text) = answers.as_str() {
        machine
            .write(Path::new(&path), text.as_bytes(), &WriteOptions::new())
            .unwrap();
        return machine;
    }
    machine.command(name, move |command: &Command| {
        let arguments: Vec<String> = command
            .args
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let whole = answers.get("stdout").or_else(|| answers.get("retcode"));
        let answer = match whole.is_some() || answers == Value::Map(Map::new()) {
            true => Some(&answers),
            false => answers.get(&arguments.join(" ")),
        };
        let Some(answer) = answer else {
            return Output::failure(2, "");
        };
        let code = answer.get("retcode").and_then(Value::as_int).unwrap_or(0);
        Output {
            stdout: answer
                .get("stdout")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .as_bytes()
                .to_vec(),
            exit: Exit::Code(i32::try_from(code).unwrap()),
            ..Output::success("")
        }
    })
}

/// What the lines for ip(8) make; loopback has its addresses once it is up.
fn interfaces(case: &Map) -> Vec<Interface> {
    let mut all = Vec::new();
    let lines = case
        .get("network")
        .and_then(Value::as_list)
        .unwrap_or_default();
    if !lines.is_empty() {
        all.push(named("lo", Some("00:00:00:00:00:00")));
    }
    for line in lines {
        let words: Vec<&str> = line.as_str().unwrap().split_whitespace().collect();
        match words.as_slice() {
            ["link", "set", "lo", "up"] => {
                add(&mut all, "lo", "127.0.0.1/8");
                add(&mut all, "lo", "::1/128");
            }
            ["link", "add", name, "type", _] => all.push(named(name, None)),
            ["link", "set", name, "address", hardware] => {
                let one = all.iter_mut().find(|one| one.name == *name).unwrap();
                one.hardware = Some((*hardware).to_owned());
            }
            ["addr", "add", address, rest @ ..] => {
                let at = rest.iter().position(|word| *word == "dev").unwrap();
                add(&mut all, rest[at + 1], address);
            }
            ["link", "set", _, "up" | "down"] | ["route", ..] => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

fn named(name: &str, hardware: Option<&str>) -> Interface {
    Interface {
        name: name.to_owned(),
        hardware: hardware.map(str::to_owned),
        ..Interface::default()
    }
}

/// A second address of one network is secondary, as the kernel marks it.
fn add(all: &mut [Interface], name: &str, address: &str) {
    let (address, prefix) = address.split_once('/').unwrap_or((address, "32"));
    let (address, prefix): (IpAddr, u8) = (address.parse().unwrap(), prefix.parse().unwrap());
    let network = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_bits() >> (32 - prefix),
        IpAddr::V6(_) => 0,
    };
    let one = all.iter_mut().find(|one| one.name == name).unwrap();
    let secondary = address.is_ipv4()
        && one.addresses.iter().any(|known| {
            known.address.is_ipv4()
                && known.prefix == prefix
                && network(known.address) == network(address)
        });
    // The kernel lists the IPv6 address that came last before the others.
    let first_v6 = one.addresses.iter().position(|one| one.address.is_ipv6());
    let end = one.addresses.len();
    let at = match address {
        IpAddr::V4(_) => end,
        IpAddr::V6(_) => first_v6.unwrap_or(end),
    };
    let one_more = InterfaceAddress {
        address,
        prefix,
        broadcast: None,
        label: None,
        scope: "global".to_owned(),
        secondary,
    };
    one.addresses.insert(at, one_more);
}
