//! `service.*`: through systemd, OpenRC or the service scripts.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::{Context, MinionData};
use crate::fnmatch;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, CommandError, Observe, Output};

use super::status::processes;
use super::tool::said;

mod script;
mod systemd;

use script::{Kind, Scripts};
use systemd::Systemd;
pub(crate) use systemd::is_offline;

pub(super) fn register(registry: &mut Registry) {
    questions(registry);
    for (name, signature, doc, function) in CHANGES {
        registry.add(name, signature, doc, function);
    }
    systemd::register(registry);
}

fn questions(registry: &mut Registry) {
    registry.add(
        "service.available",
        "available(name)",
        "Whether there is a service of that name.",
        |args, context| Ok(provider_of(context).exists(&args.text("name")?)?.into()),
    );
    registry.add(
        "service.missing",
        "missing(name)",
        "Whether there is no service of that name.",
        |args, context| Ok((!provider_of(context).exists(&args.text("name")?)?).into()),
    );
    registry.add(
        "service.status",
        "status(name, sig=None)",
        "Whether a service runs. For a glob, a mapping of all services it matches. With a\n\
         signature, whether there is a process with that text in its command line.",
        status,
    );
    registry.add(
        "service.enabled",
        "enabled(name, root=None, **kwargs)",
        "Whether a service is started at boot.",
        |args, context| Ok(provider_of(context).is_enabled(&args.text("name")?)?.into()),
    );
    registry.add(
        "service.disabled",
        "disabled(name, root=None)",
        "Whether a service is not started at boot.",
        |args, context| {
            let (provider, name) = (provider_of(context), args.text("name")?);
            let disabled = match provider {
                Provider::Systemd(systemd) => !systemd.is_enabled(&name)?,
                // Only a service that is there can be disabled.
                Provider::Scripts(scripts) => scripts.exists(&name) && !scripts.is_enabled(&name),
            };
            Ok(disabled.into())
        },
    );
    registry.add(
        "service.get_all",
        "get_all(root=None)",
        "The names of all services, sorted.",
        |_, context| Ok(provider_of(context).all()?.into_iter().collect()),
    );
    registry.add(
        "service.get_enabled",
        "get_enabled(root=None)",
        "The names of the services that are started at boot, sorted.",
        |_, context| Ok(provider_of(context).by_state(true)?.into_iter().collect()),
    );
    registry.add(
        "service.get_disabled",
        "get_disabled(root=None)",
        "The names of the services that are not started at boot, sorted.",
        |_, context| Ok(provider_of(context).by_state(false)?.into_iter().collect()),
    );
}

type Entry = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Args, &Context<'_>) -> Result<Value, CallError>,
);

const CHANGES: [Entry; 7] = [
    (
        "service.start",
        "start(name, no_block=False, unmask=False, unmask_runtime=False)",
        "Starts a service.",
        |args, context| change(args, context, "start"),
    ),
    (
        "service.stop",
        "stop(name, no_block=None)",
        "Stops a service.",
        |args, context| change(args, context, "stop"),
    ),
    (
        "service.restart",
        "restart(name, no_block=None, unmask=False, unmask_runtime=False)",
        "Stops a service and starts it.",
        |args, context| change(args, context, "restart"),
    ),
    (
        "service.reload",
        "reload(name, no_block=False, unmask=False, unmask_runtime=False)",
        "Lets a service read its configuration again.",
        |args, context| change(args, context, "reload"),
    ),
    (
        "service.force_reload",
        "force_reload(name, no_block=True, unmask=False, unmask_runtime=False)",
        "Lets a service read its configuration again, or restarts it if it cannot.",
        |args, context| change(args, context, "force-reload"),
    ),
    (
        "service.enable",
        "enable(name, no_block=False, unmask=False, unmask_runtime=False, root=None, **kwargs)",
        "Lets a service be started at boot.",
        |args, context| change(args, context, "enable"),
    ),
    (
        "service.disable",
        "disable(name, no_block=False, root=None, **kwargs)",
        "Lets a service not be started at boot.",
        |args, context| change(args, context, "disable"),
    ),
];

/// What manages the services of a machine.
enum Provider<'a> {
    Systemd(Systemd<'a>),
    Scripts(Scripts<'a>),
}

/// Chosen by the grain `init`; where that is missing or says nothing, by what is there.
fn provider<'a>(machine: &'a dyn Observe, minion: &MinionData) -> Provider<'a> {
    let init = minion.grains.str("init").unwrap_or("unknown");
    let unknown = init == "unknown";
    let by_systemd = systemd::is_running(machine) || is_offline(machine);
    if init == "systemd" || unknown && by_systemd {
        return Provider::Systemd(Systemd { machine });
    }
    let kind = if machine.which("rc-service").is_some() {
        Kind::OpenRc
    } else {
        Kind::SystemV
    };
    Provider::Scripts(Scripts { machine, kind })
}

fn provider_of<'a>(context: &Context<'a>) -> Provider<'a> {
    provider(context.system, context.minion)
}

/// Whether services can be masked: only systemd knows how.
pub(crate) fn can_mask(machine: &dyn Observe, minion: &MinionData) -> bool {
    matches!(provider(machine, minion), Provider::Systemd(_))
}

impl Provider<'_> {
    fn exists(&self, name: &str) -> Result<bool, CallError> {
        match self {
            Self::Systemd(systemd) => systemd.exists(name),
            Self::Scripts(scripts) => Ok(scripts.exists(name)),
        }
    }

    fn is_running(&self, name: &str) -> Result<bool, CallError> {
        match self {
            Self::Systemd(systemd) => systemd.is_running(name),
            Self::Scripts(scripts) => Ok(scripts.is_running(name)),
        }
    }

    fn is_enabled(&self, name: &str) -> Result<bool, CallError> {
        match self {
            Self::Systemd(systemd) => systemd.is_enabled(name),
            Self::Scripts(scripts) => Ok(scripts.is_enabled(name)),
        }
    }

    fn all(&self) -> Result<Vec<String>, CallError> {
        match self {
            Self::Systemd(systemd) => Ok(systemd.all()),
            Self::Scripts(scripts) => Ok(scripts.all()),
        }
    }

    fn by_state(&self, enabled: bool) -> Result<Vec<String>, CallError> {
        match self {
            Self::Systemd(systemd) if enabled => systemd.listed(&["enabled", "enabled-runtime"]),
            Self::Systemd(systemd) => systemd.listed(&["disabled"]),
            Self::Scripts(scripts) => Ok(scripts
                .all()
                .into_iter()
                .filter(|name| scripts.is_enabled(name) == enabled)
                .collect()),
        }
    }
}

fn status(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    if let Some(sig) = args.optional_text("sig").filter(|sig| !sig.is_empty()) {
        return Ok((!processes(context.system, &sig).is_empty()).into());
    }
    let (provider, name) = (provider_of(context), args.text("name")?);
    if !name.contains(['*', '?', '[']) {
        return Ok(provider.is_running(&name)?.into());
    }
    let mut found = Map::new();
    for service in provider.all()? {
        if fnmatch(&service, &name) {
            let running = provider.is_running(&service)?;
            found.insert(service, running);
        }
    }
    Ok(found.into())
}

/// Runs the command for a verb. A failed stop or disable is `False`, any other failure
/// an error under systemd; scripts only ever say yes or no.
fn change(args: &Args, context: &Context<'_>, verb: &str) -> Result<Value, CallError> {
    let name = args.text("name")?;
    let commands = match provider_of(context) {
        Provider::Systemd(systemd) => {
            if matches!(
                verb,
                "start" | "restart" | "reload" | "force-reload" | "enable"
            ) {
                for (flag, runtime) in [("unmask", false), ("unmask_runtime", true)] {
                    if args.is_true(flag) && systemd.is_masked(&name, runtime) {
                        systemd::unmask(context, &name, runtime)?;
                    }
                }
            }
            vec![systemd::command(verb, &name, args.is_true("no_block"))]
        }
        Provider::Scripts(_) if !script::is_name(&name) => return Ok(false.into()),
        Provider::Scripts(scripts) if verb == "enable" && !scripts.exists(&name) => {
            return Ok(false.into());
        }
        Provider::Scripts(scripts) => scripts.commands(verb, &name, args),
    };
    let strict = matches!(provider_of(context), Provider::Systemd(_));
    for command in commands {
        let output = context
            .system
            .run(&command)
            .map_err(|error| failed(&error))?;
        if output.is_success() {
            continue;
        }
        if !matches!(verb, "enable" | "disable") || !strict {
            context.set_retcode(output.exit.code().into());
        }
        if strict && !matches!(verb, "stop" | "disable") {
            return Err(CallError::execution(said(&output)));
        }
        return Ok(false.into());
    }
    Ok(true.into())
}

fn failed(error: &CommandError) -> CallError {
    match error {
        CommandError::Start { program, source } => CallError::CommandNotFound(format!(
            "{}: {}",
            program.to_string_lossy(),
            crate::system::errno_text(source, None)
        )),
        other => CallError::execution(other.to_string()),
    }
}

/// Asks a command.
fn ask(machine: &dyn Observe, command: &Command) -> Result<Output, CallError> {
    machine.query(command).map_err(|error| failed(&error))
}

/// The text of an argument that may be a number, for a command line.
fn optional(args: &Args, name: &str) -> Option<String> {
    args.given(name).map(python::str)
}

#[cfg(test)]
mod tests;
