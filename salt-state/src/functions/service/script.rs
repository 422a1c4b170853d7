//! Scripts in `/etc/init.d`, with or without OpenRC.

use std::path::Path;

use crate::args::Args;
use crate::system::{Command, Observe};

use super::optional;

const DIRECTORY: &str = "/etc/init.d";

/// Who runs the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `rc-service` and `rc-update`.
    OpenRc,
    /// `service` and `update-rc.d` or `chkconfig`.
    SystemV,
}

/// Services that are scripts.
pub(super) struct Scripts<'a> {
    pub(super) machine: &'a dyn Observe,
    pub(super) kind: Kind,
}

/// The names of the executable scripts, sorted.
pub(super) fn names(machine: &dyn Observe) -> Vec<String> {
    let directory = Path::new(DIRECTORY);
    machine
        .list(directory)
        .unwrap_or_default()
        .into_iter()
        .filter(|name| {
            machine
                .metadata(&directory.join(name))
                .is_ok_and(|found| found.is_some_and(|it| it.is_file() && it.mode & 0o111 != 0))
        })
        .filter_map(|name| name.into_string().ok())
        .collect()
}

impl Scripts<'_> {
    pub(super) fn all(&self) -> Vec<String> {
        names(self.machine)
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.all().iter().any(|known| known == name)
    }

    /// A script that is not there does not run.
    pub(super) fn is_running(&self, name: &str) -> bool {
        is_name(name)
            && self
                .machine
                .query(&self.command(name, "status"))
                .is_ok_and(|output| output.is_success())
    }

    /// Whether a run level has a link that starts it.
    pub(super) fn is_enabled(&self, name: &str) -> bool {
        let levels = match self.kind {
            Kind::OpenRc => "/etc/runlevels",
            Kind::SystemV => "/etc",
        };
        let levels = Path::new(levels);
        let now = self.level().map(|level| format!("rc{level}.d"));
        let all = self.machine.list(levels).unwrap_or_default();
        all.iter().any(|level| {
            if now.as_ref().is_some_and(|now| level != now.as_str()) {
                return false;
            }
            let directory = levels.join(level);
            match self.kind {
                Kind::OpenRc => self.machine.is_link(&directory.join(name)),
                Kind::SystemV => {
                    let level = level.to_string_lossy();
                    level.starts_with("rc")
                        && level.ends_with(".d")
                        && self
                            .machine
                            .list(&directory)
                            .unwrap_or_default()
                            .iter()
                            .any(|link| starts(&link.to_string_lossy(), name))
                }
            }
        })
    }

    /// Whether a run level has a link that starts or stops it.
    fn has_links(&self, name: &str) -> bool {
        let levels = Path::new("/etc");
        let all = self.machine.list(levels).unwrap_or_default();
        all.iter()
            .filter(|level| {
                let level = level.to_string_lossy();
                level.starts_with("rc") && level.ends_with(".d")
            })
            .flat_map(|level| self.machine.list(&levels.join(level)).unwrap_or_default())
            .any(|link| link.to_string_lossy().get(3..) == Some(name))
    }

    /// The run level, where there is one; a container has none, as a rule.
    fn level(&self) -> Option<char> {
        if self.kind == Kind::OpenRc {
            return None;
        }
        let output = self.machine.query(&Command::new("runlevel")).ok()?;
        let text = output.stdout_text();
        let mut last = text.split_whitespace().next_back()?.chars();
        let level = last.next().filter(char::is_ascii_alphanumeric)?;
        (output.is_success() && last.next().is_none()).then_some(level)
    }

    fn command(&self, name: &str, verb: &str) -> Command {
        let program = match self.kind {
            Kind::OpenRc => "rc-service",
            Kind::SystemV => "service",
        };
        if self.machine.which(program).is_some() {
            Command::new(program).args([name, verb])
        } else {
            Command::new(Path::new(DIRECTORY).join(name)).arg(verb)
        }
    }

    /// The commands that carry out a verb, in order.
    pub(super) fn commands(&self, verb: &str, name: &str, args: &Args) -> Vec<Command> {
        let enable = verb == "enable";
        if !matches!(verb, "enable" | "disable") {
            return vec![self.command(name, verb)];
        }
        if self.kind == Kind::OpenRc {
            let action = if enable { "add" } else { "delete" };
            let level = optional(args, "runlevels");
            let command = Command::new("rc-update").args([action, name]);
            return vec![command.args(level)];
        }
        if self.machine.which("update-rc.d").is_none() && self.machine.which("chkconfig").is_some()
        {
            let state = if enable { "on" } else { "off" };
            return vec![Command::new("chkconfig").args([name, state])];
        }
        let update = || Command::new("update-rc.d").arg(name);
        if enable && !self.has_links(name) {
            // What never had links gets them first.
            return vec![update().arg("defaults"), update().arg("enable")];
        }
        vec![update().arg(verb)]
    }
}

/// Whether a text can be the name of a script, and neither a path nor an option.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['-', '.']) && !name.contains('/')
}

/// `S01ssh` starts `ssh`.
fn starts(link: &str, name: &str) -> bool {
    link.strip_prefix('S')
        .and_then(|rest| rest.get(2..))
        .is_some_and(|rest| rest == name)
}
