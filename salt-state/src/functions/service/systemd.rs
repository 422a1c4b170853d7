//! systemd: `systemctl(1)` and the directories of its units.

use std::collections::BTreeSet;
use std::path::Path;

use salt_proto::{Map, Value};

use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe};

use super::{ask, failed, said};

/// The kinds of units Salt calls services.
const KINDS: [&str; 9] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
];

/// Where units and their overrides are.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "service.masked",
        "masked(name, runtime=False, root=None)",
        "Whether a unit is masked; with runtime, until the next boot.",
        |args, context| {
            let systemd = Systemd {
                machine: context.system,
            };
            let runtime = args.is_true("runtime");
            Ok(systemd.is_masked(&args.text("name")?, runtime).into())
        },
    );
    registry.add(
        "service.mask",
        "mask(name, runtime=False, root=None)",
        "Makes it impossible to start a unit; with runtime, until the next boot.",
        |args, context| {
            let mut command = Command::new("systemctl").arg("mask");
            if args.is_true("runtime") {
                command = command.arg("--runtime");
            }
            run(
                context,
                &command.arg("--").arg(unit(&args.text("name")?)),
                "mask",
            )
        },
    );
    registry.add(
        "service.unmask",
        "unmask(name, runtime=False, root=None)",
        "Makes it possible again to start a masked unit.",
        |args, context| {
            let systemd = Systemd {
                machine: context.system,
            };
            let (name, runtime) = (args.text("name")?, args.is_true("runtime"));
            if !systemd.is_masked(&name, runtime) {
                return Ok(true.into());
            }
            unmask(context, &name, runtime)
        },
    );
    registry.add(
        "service.offline",
        "offline()",
        "Whether systemd is installed and does not run: where its program is then.",
        |_, context| {
            let machine = context.system;
            let program = machine.which("systemctl");
            Ok(match program.filter(|_| is_offline(machine)) {
                Some(program) => program.display().to_string().into(),
                None => false.into(),
            })
        },
    );
    registry.add(
        "service.firstboot",
        "firstboot(locale=None, locale_message=None, keymap=None, timezone=None, hostname=None, machine_id=None, root=None)",
        "States the basics of a system that was never started, with systemd-firstboot(1).",
        |args, context| {
            let mut command = Command::new("systemd-firstboot");
            for (name, flag) in [
                ("locale", "--locale"),
                ("locale_message", "--locale-message"),
                ("keymap", "--keymap"),
                ("timezone", "--timezone"),
                ("hostname", "--hostname"),
                ("machine_id", "--machine-ID"),
                ("root", "--root"),
            ] {
                if let Some(value) = args.optional_text(name) {
                    command = command.arg(flag).arg(value);
                }
            }
            let output = context.system.run(&command).map_err(|error| failed(&error))?;
            if !output.is_success() {
                let text = format!("systemd-firstboot error: {}", said(&output));
                return Err(CallError::execution(text));
            }
            Ok(true.into())
        },
    );
    registry.add(
        "service.systemctl_reload",
        "systemctl_reload()",
        "Lets systemd read its units again.",
        |_, context| {
            let command = Command::new("systemctl").args(["--system", "daemon-reload"]);
            run(context, &command, "reload")
        },
    );
    registry.add(
        "service.get_running",
        "get_running()",
        "The names of the running units, sorted.",
        |_, context| {
            let systemd = Systemd {
                machine: context.system,
            };
            Ok(systemd.running()?.into_iter().collect())
        },
    );
    registry.add(
        "service.get_static",
        "get_static(root=None)",
        "The names of the units that cannot be enabled, sorted.",
        |_, context| {
            let systemd = Systemd {
                machine: context.system,
            };
            Ok(systemd.listed(&["static"])?.into_iter().collect())
        },
    );
    registry.add(
        "service.show",
        "show(name, root=None)",
        "All that systemd knows about a unit.",
        |args, context| {
            let command = Command::new("systemctl")
                .args(["show", "--"])
                .arg(unit(&args.text("name")?));
            Ok(properties(&ask(context.system, &command)?.stdout_text()).into())
        },
    );
    registry.add(
        "service.execs",
        "execs(root=None)",
        "The programs that services are, by the services' names.",
        |args, context| {
            let systemd = Systemd {
                machine: context.system,
            };
            let root = args.optional_text("root").filter(|root| !root.is_empty());
            let names = match &root {
                Some(root) => systemd.below(Path::new(root)).into_iter().collect(),
                None => systemd.all(),
            };
            let mut found = Map::new();
            for name in names {
                let mut command = Command::new("systemctl");
                if let Some(root) = &root {
                    command = command.arg("--root").arg(root);
                }
                let command = command.args(["show", "--"]).arg(unit(&name));
                let known = properties(&ask(context.system, &command)?.stdout_text());
                let program = known.get("ExecStart").and_then(|start| start.get("path"));
                if let Some(program) = program {
                    found.insert(name, program.clone());
                }
            }
            Ok(found.into())
        },
    );
}

/// Whether systemd is what started the machine.
pub(super) fn is_running(machine: &dyn Observe) -> bool {
    machine.exists(Path::new("/run/systemd/system"))
}

/// Whether systemd is installed but did not start the machine: an image or a container.
pub(crate) fn is_offline(machine: &dyn Observe) -> bool {
    !is_running(machine) && machine.which("systemctl").is_some()
}

/// The unit of a name: a service, unless the name has a unit's ending.
fn unit(name: &str) -> String {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let is_unit =
        ending.is_some_and(|ending| KINDS.contains(&ending) || matches!(ending, "slice" | "scope"));
    if is_unit {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// The name of a unit, if it is one of the kinds above.
fn name_of(unit: &str) -> Option<&str> {
    let (name, kind) = unit.rsplit_once('.')?;
    if kind == "service" {
        return Some(name);
    }
    KINDS.contains(&kind).then_some(unit)
}

/// `systemctl <verb> -- <unit>`: a name may not pass for an option.
pub(super) fn command(verb: &str, name: &str, no_block: bool) -> Command {
    let command = Command::new("systemctl");
    let command = if no_block {
        command.arg("--no-block")
    } else {
        command
    };
    command.arg(verb).arg("--").arg(unit(name))
}

fn run(context: &Context<'_>, command: &Command, action: &str) -> Result<Value, CallError> {
    let output = context
        .system
        .run(command)
        .map_err(|error| failed(&error))?;
    if output.is_success() {
        return Ok(true.into());
    }
    let text = said(&output);
    Err(CallError::execution(if text.is_empty() {
        format!("Failed to {action} service")
    } else {
        text
    }))
}

pub(super) fn unmask(context: &Context<'_>, name: &str, runtime: bool) -> Result<Value, CallError> {
    let mut command = Command::new("systemctl").arg("unmask");
    if runtime {
        command = command.arg("--runtime");
    }
    run(context, &command.arg("--").arg(unit(name)), "unmask")
}

/// Questions to systemd.
pub(super) struct Systemd<'a> {
    pub(super) machine: &'a dyn Observe,
}

impl Systemd<'_> {
    fn ask(&self, args: &[&str]) -> Result<crate::system::Output, CallError> {
        ask(
            self.machine,
            &Command::new("systemctl").args(args.iter().copied()),
        )
    }

    /// `systemctl status` knows of units that no file describes, too.
    ///
    /// # Errors
    ///
    /// When systemd did not start the machine, since then it tells nothing.
    pub(super) fn exists(&self, name: &str) -> Result<bool, CallError> {
        if is_offline(self.machine) {
            return Err(CallError::execution(format!(
                "Cannot run in offline mode. Failed to get information on unit '{name}'"
            )));
        }
        let output = self.ask(&["status", "-n", "0", "--", &unit(name)])?;
        let text = output.stdout_text();
        let unknown = output.exit.code() == 4
            || text.contains("could not be found")
            || text
                .lines()
                .any(|line| line.trim_start().starts_with("Loaded: not-found"));
        Ok(!unknown)
    }

    pub(super) fn is_running(&self, name: &str) -> Result<bool, CallError> {
        Ok(self.ask(&["is-active", "--", &unit(name)])?.is_success())
    }

    /// Success also for units that need no enabling; an alias is as enabled as what it
    /// stands for.
    pub(super) fn is_enabled(&self, name: &str) -> Result<bool, CallError> {
        let unit = unit(name);
        let output = self.ask(&["is-enabled", "--", &unit])?;
        if !output.is_success() || output.stdout_text().trim() != "alias" {
            return Ok(output.is_success());
        }
        let meant = self.ask(&["show", "-P", "Id", "--", &unit])?.stdout_text();
        let meant = meant.trim();
        if meant.is_empty() || meant == unit {
            return Ok(true);
        }
        Ok(self.ask(&["is-enabled", "--", meant])?.is_success())
    }

    pub(super) fn is_masked(&self, name: &str, runtime: bool) -> bool {
        let directory = if runtime { "/run" } else { "/etc" };
        let path = Path::new(directory).join("systemd/system").join(unit(name));
        self.machine
            .read_link(&path)
            .is_ok_and(|target| target == Path::new("/dev/null"))
    }

    /// The names of all units with a file, and of the scripts that systemd wraps.
    pub(super) fn all(&self) -> Vec<String> {
        let mut found = self.below(Path::new("/"));
        found.extend(super::script::names(self.machine));
        found.into_iter().collect()
    }

    /// The names of the units of the system below a directory.
    fn below(&self, root: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for directory in DIRECTORIES.map(|at| root.join(at.trim_start_matches('/'))) {
            for file in self.machine.list(&directory).unwrap_or_default() {
                let file = file.to_string_lossy();
                if let Some(name) = name_of(&file)
                    && !self.machine.is_dir(&directory.join(&*file))
                {
                    found.insert(name.to_owned());
                }
            }
        }
        found
    }

    /// The names of the unit files in one of some states.
    pub(super) fn listed(&self, states: &[&str]) -> Result<Vec<String>, CallError> {
        let table = self.ask(&["--full", "--no-legend", "--no-pager", "list-unit-files"])?;
        let table = table.stdout_text();
        let names: BTreeSet<&str> = table
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let name = name_of(words.next()?)?;
                states.contains(&words.next()?).then_some(name)
            })
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn running(&self) -> Result<Vec<String>, CallError> {
        let table = self.ask(&["--full", "--no-legend", "--no-pager"])?;
        let table = table.stdout_text();
        let names: BTreeSet<&str> = table
            .lines()
            .filter_map(|line| {
                // Failed units are marked with a dot.
                let line = line.trim_start_matches(['●', '*', ' ']);
                let words: Vec<&str> = line.split_whitespace().take(4).collect();
                let [unit, _, "active", "running"] = *words else {
                    return None;
                };
                name_of(unit)
            })
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}

/// `Name=value` lines; a value in braces is a mapping itself.
fn properties(text: &str) -> Map {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let inner = value
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            let value = match inner {
                Some(inner) => inner
                    .split(" ; ")
                    .filter_map(|part| part.trim().split_once('='))
                    .collect::<Map>()
                    .into(),
                None => Value::from(value),
            };
            (name, value)
        })
        .collect()
}
