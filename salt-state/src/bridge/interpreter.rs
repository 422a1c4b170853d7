//! Which Python runs a tree's modules.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::system::Observe;

/// Where Salt's own packages keep their Python.
const PACKAGED: &str = "/opt/saltstack/salt/bin/python3";

/// The Python that a setting names: a Python, a script of one (`salt-call`), or `auto`.
///
/// # Errors
///
/// What is wrong with it, for the user.
pub(super) fn find(setting: &str, system: &dyn Observe) -> Result<PathBuf, String> {
    if setting == "auto" {
        return automatic(system);
    }
    let path = system
        .which(setting)
        .ok_or_else(|| format!("there is no program {setting}"))?;
    if is_python(&path) {
        return Ok(path);
    }
    of_script(&path, system).ok_or_else(|| {
        format!("{setting} is neither a Python nor a Python script; name the Python that Salt is installed in")
    })
}

/// The Python of the first `salt-call` in `PATH` that is a script (ours is none), else the
/// one of Salt's packages, else the system's.
fn automatic(system: &dyn Observe) -> Result<PathBuf, String> {
    let path = system.env("PATH").unwrap_or_default();
    let script = std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("salt-call"))
        .find_map(|program| of_script(&program, system));
    script
        .or_else(|| system.which(PACKAGED))
        .or_else(|| system.which("python3"))
        .ok_or_else(|| "no Salt and no Python is installed".to_owned())
}

fn is_python(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("python"))
}

/// The interpreter in the first line of a Python script.
fn of_script(path: &Path, system: &dyn Observe) -> Option<PathBuf> {
    let mut start = Vec::new();
    system
        .open(path)
        .ok()??
        .take(1024)
        .read_to_end(&mut start)
        .ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let first = Path::new(words.next()?);
    let interpreter = if first.ends_with("env") {
        system.which(words.find(|word| !word.starts_with('-'))?)?
    } else {
        first.to_owned()
    };
    (is_python(&interpreter) && system.is_file(&interpreter)).then_some(interpreter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    fn machine() -> FakeSystem {
        FakeSystem::new()
            .variable("PATH", "/ours:/salt/bin:/usr/bin")
            .program("/ours/salt-call")
            .program("/usr/bin/python3")
            .program("/salt/bin/python3.11")
            .file(
                "/salt/bin/salt-call",
                "#!/salt/bin/python3.11\nimport salt\n",
            )
            .file("/wrapped/salt-call", "#!/bin/sh\nexec something\n")
            .file("/env/salt-call", "#!/usr/bin/env python3\n")
    }

    fn found(setting: &str, system: &FakeSystem) -> Result<String, String> {
        find(setting, system).map(|path| path.display().to_string())
    }

    #[test]
    fn a_salt_call_that_is_a_script_leads_to_its_python() {
        let machine = machine();
        for name in [
            "/salt/bin/salt-call",
            "/env/salt-call",
            "/wrapped/salt-call",
        ] {
            crate::system::System::set_mode(&machine, Path::new(name), 0o755).unwrap();
        }

        assert_eq!(found("auto", &machine).unwrap(), "/salt/bin/python3.11");
        assert_eq!(
            found("/salt/bin/salt-call", &machine).unwrap(),
            "/salt/bin/python3.11"
        );
        assert_eq!(
            found("/env/salt-call", &machine).unwrap(),
            "/usr/bin/python3"
        );
        assert_eq!(found("python3", &machine).unwrap(), "/usr/bin/python3");
        assert_eq!(
            found("/wrapped/salt-call", &machine).unwrap_err(),
            "/wrapped/salt-call is neither a Python nor a Python script; name the Python that Salt is installed in"
        );
        assert_eq!(
            found("/nowhere/salt-call", &machine).unwrap_err(),
            "there is no program /nowhere/salt-call"
        );
    }

    #[test]
    fn without_salt_the_systems_python_is_asked_and_without_that_nobody() {
        let python = FakeSystem::new().program("/usr/bin/python3");
        assert_eq!(found("auto", &python).unwrap(), "/usr/bin/python3");
        assert_eq!(
            found("auto", &FakeSystem::new()).unwrap_err(),
            "no Salt and no Python is installed"
        );
    }
}
