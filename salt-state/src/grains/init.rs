//! What started the machine.

use std::io::Read;
use std::path::Path;

use salt_proto::Map;

use crate::system::{Command, Observe, Output};

use super::text;

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    if machine.which("systemctl").is_some()
        && let Some(systemd) = systemd(machine)
    {
        grains.insert("systemd", systemd);
    }
    grains.insert("init", init(machine));
}

/// Version and build options: the first line is `systemd 252 (252.38-1~deb12u1)`, the
/// second lists the options.
fn systemd(machine: &dyn Observe) -> Option<Map> {
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

fn init(machine: &dyn Observe) -> &'static str {
    if machine.exists(Path::new("/run/systemd/system")) {
        return "systemd";
    }
    let command = text(machine, "/proc/1/cmdline");
    let words: Vec<&str> = command
        .split(['\0', ' ', '\n'])
        .filter(|word| !word.is_empty())
        .collect();
    let Some(first) = words.first() else {
        return "unknown";
    };
    let program = machine.which(first);
    if let Some(program) = program.filter(|path| path.to_string_lossy().ends_with("bin/init")) {
        return kind_of(machine, &program).unwrap_or("unknown");
    }
    let runs = |name: &str| {
        machine
            .which(name)
            .is_some_and(|path| words.iter().any(|word| Path::new(word) == path))
    };
    match words.as_slice() {
        _ if runs("supervisord") => "supervisord",
        _ if runs("dumb-init") => "dumb-init",
        _ if runs("tini") => "tini",
        ["runit"] => "runit",
        words if words.contains(&"/sbin/my_init") => "runit",
        _ => "unknown",
    }
}

/// An `init` names itself in its own text.
fn kind_of(machine: &dyn Observe, program: &Path) -> Option<&'static str> {
    const KINDS: [&str; 3] = ["upstart", "sysvinit", "systemd"];
    const LONGEST: usize = 8;
    let mut file = machine.open(program).ok()??.take(64 << 20);
    let mut block = vec![0; 64 << 10];
    let mut window = Vec::new();
    loop {
        let read = file.read(&mut block).ok().filter(|read| *read > 0)?;
        window.extend(block.iter().take(read).map(u8::to_ascii_lowercase));
        let here = |kind: &str| {
            window
                .windows(kind.len())
                .any(|bytes| bytes == kind.as_bytes())
        };
        if let Some(kind) = KINDS.into_iter().find(|kind| here(kind)) {
            return Some(kind);
        }
        // A name may begin in this block and end in the next.
        let keep = window.len().saturating_sub(LONGEST);
        window.drain(..keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    #[test]
    fn what_runs_first_is_told_by_its_command_line_and_its_text() {
        let first = |line: &str| FakeSystem::new().file("/proc/1/cmdline", line);
        let with_init = |content: &[u8]| {
            let machine = first("/sbin/init\0").program("/sbin/init");
            let options = crate::system::WriteOptions::new();
            crate::system::System::write(&machine, Path::new("/sbin/init"), content, &options)
                .unwrap();
            machine
        };

        assert_eq!(
            init(&FakeSystem::new().directory("/run/systemd/system")),
            "systemd"
        );
        assert_eq!(init(&FakeSystem::new()), "unknown");
        assert_eq!(init(&first("sleep\0infinity\0")), "unknown");
        assert_eq!(init(&first("runit\0")), "runit");
        assert_eq!(
            init(&first("/usr/bin/tini\0--\0x\0").program("/usr/bin/tini")),
            "tini"
        );
        assert_eq!(init(&with_init(b"\x7fELF SysVinit 2.96")), "sysvinit");
        assert_eq!(init(&with_init(b"\x7fELF busybox")), "unknown");
    }

    #[test]
    fn a_name_across_two_blocks_is_found() {
        let mut content = vec![b'x'; (64 << 10) - 4];
        content.extend(b"upstart");
        let machine = FakeSystem::new().file("/bin/init", content);

        assert_eq!(kind_of(&machine, Path::new("/bin/init")), Some("upstart"));
    }

    #[test]
    fn systemds_version_and_features_are_two_lines() {
        let machine = FakeSystem::new()
            .program("/usr/bin/systemctl")
            .command("systemctl", |_| {
                Output::success("systemd 252 (252.38-1~deb12u1)\n+PAM -GNUTLS\n")
            });
        let mut grains = Map::new();

        gather(&machine, &mut grains);

        let systemd = grains.get("systemd").unwrap();
        assert_eq!(systemd.get("version"), Some(&"252".into()));
        assert_eq!(systemd.get("features"), Some(&"+PAM -GNUTLS".into()));
    }
}
