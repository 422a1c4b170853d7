//! What started the machine.
//!
//! The rules are those that the recordings in `tests/vectors/grains/init.json` show.

use std::io::Read;
use std::path::Path;

use salt_proto::Map;

use crate::system::{Command, Observe, Output};

use super::text;

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    grains.insert("systemd", ());
    grains.insert("init", init(machine));
}

/// What systemd says of itself.
pub(super) fn add_asked(machine: &dyn Observe, grains: &mut Map) {
    if let Some(systemd) = systemd(machine) {
        grains.insert("systemd", systemd);
    }
}

/// Version and build options: the first line of `systemctl --version` is
/// `systemd 252 (252.38-1~deb12u1)`, the second lists the options.
fn systemd(machine: &dyn Observe) -> Option<Map> {
    machine.which("systemctl")?;
    let output = machine
        .query(&Command::new("systemctl").arg("--version"))
        .ok()
        .filter(Output::is_success)?
        .stdout_text();
    let mut lines = output.lines();
    let version = lines.next()?.split_whitespace().nth(1)?;
    let features = lines.next().unwrap_or_default();
    Some(Map::from([("version", version), ("features", features)]))
}

/// sd_booted(3) tells systemd; any other is known by the first process's command line.
fn init(machine: &dyn Observe) -> &'static str {
    if machine.exists(Path::new("/run/systemd/system")) {
        return "systemd";
    }
    let line = text(machine, "/proc/1/cmdline");
    let words: Vec<&str> = line
        .split(|c: char| c == '\0' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    let Some(program) = words.first().and_then(|first| machine.which(first)) else {
        return of_container(machine, &words);
    };
    match program.to_string_lossy().ends_with("bin/init") {
        true => named_in(machine, &program).unwrap_or("unknown"),
        false => of_container(machine, &words),
    }
}

/// The first process of many containers, by the words of its command line: a supervisor
/// stands there with the whole path under which it is installed.
fn of_container(machine: &dyn Observe, words: &[&str]) -> &'static str {
    let supervisor = ["supervisord", "dumb-init", "tini"]
        .into_iter()
        .find(|name| {
            machine
                .which(name)
                .is_some_and(|path| words.iter().any(|word| Path::new(word) == path))
        });
    match supervisor {
        Some(name) => name,
        None if words == ["runit"] || words.contains(&"/sbin/my_init") => "runit",
        None => "unknown",
    }
}

/// Which of the three families an `init` belongs to: each names itself in its own text,
/// and the first of these names that occurs counts.
fn named_in(machine: &dyn Observe, program: &Path) -> Option<&'static str> {
    const NAMES: [&str; 3] = ["upstart", "sysvinit", "systemd"];
    /// What of a block is looked at again with the next: a name less one letter.
    const OVERLAP: usize = 7;
    /// No `init` is longer.
    const MOST: u64 = 64 << 20;

    let mut file = machine.open(program).ok()??.take(MOST);
    let mut block = vec![0; 64 << 10];
    let mut window = Vec::with_capacity(block.len() + OVERLAP);
    let mut best = NAMES.len();
    while let Some(length) = file.read(&mut block).ok().filter(|length| *length > 0) {
        window.extend(block.iter().take(length).map(u8::to_ascii_lowercase));
        let better = NAMES.iter().take(best).position(|name| {
            window
                .windows(name.len())
                .any(|bytes| bytes == name.as_bytes())
        });
        best = better.unwrap_or(best);
        if best == 0 {
            break;
        }
        let old = window.len().saturating_sub(OVERLAP);
        window.drain(..old);
    }
    NAMES.get(best).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{FakeSystem, System, WriteOptions};

    #[test]
    fn a_name_across_two_blocks_is_found() {
        let mut content = vec![b'x'; (64 << 10) - 4];
        content.extend(b"UpStart");
        let machine = FakeSystem::new().file("/bin/init", content);
        let path = Path::new("/bin/init");

        assert_eq!(named_in(&machine, path), Some("upstart"));

        machine
            .write(path, b"busybox", &WriteOptions::new())
            .unwrap();
        assert_eq!(named_in(&machine, path), None);
    }

    #[test]
    fn systemds_version_and_features_are_two_lines() {
        let machine = FakeSystem::new()
            .program("/usr/bin/systemctl")
            .command("systemctl", |_| {
                Output::success("systemd 252 (252.38-1~deb12u1)\n+PAM -GNUTLS\n")
            });
        let mut grains = Map::new();

        add_asked(&machine, &mut grains);

        let systemd = grains.get("systemd").unwrap();
        assert_eq!(systemd.get("version"), Some(&"252".into()));
        assert_eq!(systemd.get("features"), Some(&"+PAM -GNUTLS".into()));
    }
}
