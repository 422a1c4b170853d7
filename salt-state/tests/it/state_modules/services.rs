//! Services of a machine with systemd, with an imitation of `systemctl`.

use std::path::Path;

use salt_state::{FakeSystem, Observe, Output, System};

use super::{Bench, put};

#[test]
fn services_end_as_with_salt() {
    let names = [
        "s1", "s2", "broken", "dies", "undead", "stopfail", "noen", "nodis",
    ];
    let machine = names.iter().fold(
        FakeSystem::new()
            .directory("/run/systemd/system")
            .directory("/etc/systemd/system")
            .file("/fake/active/undead", "")
            .file("/fake/active/stopfail", "")
            .file("/fake/enabled/nodis", ""),
        |machine, name| machine.file(format!("/lib/systemd/system/{name}.service"), ""),
    );

    Bench::new(systemctl(machine)).replay(
        include_str!("../../vectors/states/service.json"),
        // The imitation, like the one that was recorded, cannot mask until the next boot.
        |_, args| !args.contains_key("runtime"),
    );
}

#[test]
fn nothing_is_started_where_systemd_did_not_boot() {
    let machine = FakeSystem::new().program("/usr/bin/systemctl");

    Bench::new(machine).replay(
        r#"[{"state": "service.running", "args": {"name": "i1", "enable": true},
            "test": {"result": true, "changes": {}, "comment": "Running in OFFLINE mode. Nothing to do"},
            "apply": {"result": true, "changes": {}, "comment": "Running in OFFLINE mode. Nothing to do"}}]"#,
        |_, _| true,
    );
}

fn systemctl(machine: FakeSystem) -> FakeSystem {
    machine.effect(|command, machine| {
        if command.program != "systemctl" {
            return None;
        }
        let words: Vec<String> = command
            .args
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .filter(|word| {
                !matches!(
                    word.as_str(),
                    "--" | "-n" | "0" | "--no-block" | "--runtime"
                )
            })
            .collect();
        let verb = words.first()?.as_str();
        let unit = words.get(1).map(String::as_str).unwrap_or_default();
        let name = unit.trim_end_matches(".service");
        let active = format!("/fake/active/{name}");
        let enabled = format!("/fake/enabled/{name}");
        let mask = format!("/etc/systemd/system/{unit}");
        let is = |path: &str| machine.exists(Path::new(path)) || machine.is_link(Path::new(path));
        let known = is(&format!("/lib/systemd/system/{unit}")) || is(&mask);
        let gone = |path: &str| {
            if is(path) {
                machine.remove(Path::new(path)).expect("it can be removed");
            }
        };
        Some(match verb {
            "status" if !known => Output::failure(4, format!("Unit {unit} could not be found.\n")),
            "status" | "is-active" if is(&active) => Output::success("active\n"),
            "status" | "is-active" => Output::failure(3, "inactive\n"),
            "is-enabled" if is(&mask) => Output::failure(1, ""),
            "is-enabled" if is(&enabled) => Output::success("enabled\n"),
            "is-enabled" => Output::failure(1, ""),
            "start" | "restart" | "reload" | "force-reload" if is(&mask) => Output::failure(
                1,
                format!("Failed to {verb} {unit}: Unit {unit} is masked.\n"),
            ),
            "start" | "restart" if name == "broken" => {
                Output::failure(1, "Job for broken.service failed.\n")
            }
            "start" | "restart" | "reload" | "force-reload" => {
                if name != "dies" {
                    put(machine, &active, "");
                }
                Output::success("")
            }
            "stop" if name == "stopfail" => Output::failure(1, "cannot\n"),
            "stop" => {
                if name != "undead" {
                    gone(&active);
                }
                Output::success("")
            }
            "enable" if name == "noen" => Output::failure(1, "cannot enable\n"),
            "enable" => {
                put(machine, &enabled, "");
                Output::success("")
            }
            "disable" if name == "nodis" => Output::failure(1, "cannot disable\n"),
            "disable" => {
                gone(&enabled);
                Output::success("")
            }
            "mask" => {
                if !is(&mask) {
                    machine
                        .symlink(Path::new("/dev/null"), Path::new(&mask))
                        .expect("a link");
                }
                Output::success("")
            }
            "unmask" => {
                gone(&mask);
                Output::success("")
            }
            other => panic!("systemctl {other}"),
        })
    })
}
