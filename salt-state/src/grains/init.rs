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
