//! `timezone.*`: the time zone and the hardware clock.

use std::path::{Path, PathBuf};

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, WriteOptions, errno_text};

use super::tool;

type Answer = Result<Value, CallError>;

const ZONES: &str = "/usr/share/zoneinfo";
const LOCALTIME: &str = "/etc/localtime";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "timezone.get_zone",
        "get_zone()",
        "The time zone's name.",
        |_, context| Ok(zone(context)?.into()),
    );
    add(
        "timezone.get_zonecode",
        "get_zonecode()",
        "The time zone's abbreviation.",
        |_, context| date(context, "+%Z"),
    );
    add(
        "timezone.get_offset",
        "get_offset()",
        "The time zone's offset from UTC.",
        |_, context| date(context, "+%z"),
    );
    add(
        "timezone.set_zone",
        "set_zone(timezone)",
        "Sets the time zone.",
        |args, context| set_zone(context, &args.text("timezone")?),
    );
    add(
        "timezone.zone_compare",
        "zone_compare(timezone)",
        "Whether the machine is in that time zone.",
        |args, context| Ok(is_zone(context, &args.text("timezone")?)?.into()),
    );
    add(
        "timezone.get_hwclock",
        "get_hwclock()",
        "Whether the hardware clock has UTC or localtime.",
        |_, context| Ok(hardware_clock(context)?.into()),
    );
    add(
        "timezone.set_hwclock",
        "set_hwclock(clock)",
        "Sets what the hardware clock has, UTC or localtime.",
        |args, context| Ok(set_hardware_clock(context, &args.text("clock")?)?.into()),
    );
}

fn date(context: &Context<'_>, format: &str) -> Answer {
    let command = tool::named(context.system, "date").arg(format);
    Ok(tool::said(&tool::ask(context.system, &command)?).into())
}

fn timedatectl(machine: &dyn Observe) -> Option<Command> {
    machine.which("timedatectl").map(tool::plain)
}

/// What `timedatectl` says of the zone and of the clock.
fn told(machine: &dyn Observe, command: &Command) -> Result<(String, bool), CallError> {
    let output = tool::ask(machine, command)?;
    if !output.is_success() {
        return Err(CallError::execution(format!(
            "timedatectl failed: {}",
            tool::said(&output)
        )));
    }
    let text = output.stdout_text();
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let zone = field("time zone")
        .or_else(|| field("timezone"))
        .unwrap_or_default();
    let zone = zone
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    Ok((zone, field("rtc in local tz").as_deref() == Some("yes")))
}

/// The zone's name.
pub(crate) fn zone(context: &Context<'_>) -> Result<String, CallError> {
    let machine = context.system;
    if let Some(command) = timedatectl(machine) {
        return Ok(told(machine, &command)?.0);
    }
    if context.minion.grains.str("os_family") == Some("Debian")
        && let Some(text) = machine.text(Path::new("/etc/timezone")).ok().flatten()
        && let Some(line) = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
    {
        return Ok(line.to_owned());
    }
    let target = machine
        .canonicalize(Path::new(LOCALTIME))
        .map_err(|error| CallError::execution(errno_text(&error, Some(Path::new(LOCALTIME)))))?;
    let name = target.strip_prefix(ZONES).unwrap_or(&target);
    Ok(name.to_string_lossy().into_owned())
}

/// Whether the machine is in that zone: by name, or because its rules are the same.
///
/// # Errors
///
/// For a zone that the machine does not know.
pub(crate) fn is_zone(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    let machine = context.system;
    let known = zone(context).ok();
    if known.as_deref() == Some(name) {
        return Ok(true);
    }
    // Where nobody can say the name, the rules in force speak for themselves.
    let rules = known
        .and_then(|known| zone_path(&known))
        .filter(|path| machine.is_file(path))
        .unwrap_or_else(|| PathBuf::from(LOCALTIME));
    let Some(now) = machine.read(&rules).ok().flatten() else {
        return Ok(false);
    };
    match zone_path(name).and_then(|path| machine.read(&path).ok().flatten()) {
        Some(rules) => Ok(rules == now),
        None => Err(CallError::invocation(format!(
            "Can't find a local timezone \"{name}\""
        ))),
    }
}

/// The file of a zone, unless the name leads elsewhere.
fn zone_path(name: &str) -> Option<PathBuf> {
    let is_plain =
        !name.is_empty() && !name.starts_with('/') && !name.split('/').any(|part| part == "..");
    is_plain.then(|| Path::new(ZONES).join(name))
}

/// Sets the zone: true, or what is wrong with it.
pub(crate) fn set_zone(context: &Context<'_>, name: &str) -> Answer {
    let machine = context.system;
    if let Some(command) = timedatectl(machine) {
        // Without systemd it fails, and the link is set all the same.
        let _ignored = tool::run(context, &command.args(["set-timezone", name]));
    }
    let path = zone_path(name).filter(|path| machine.exists(path));
    let Some(path) = path else {
        return Ok(format!("Zone does not exist: {ZONES}/{name}").into());
    };
    let failed =
        |error: &std::io::Error, path: &Path| CallError::execution(errno_text(error, Some(path)));
    let link = Path::new(LOCALTIME);
    if machine
        .link_metadata(link)
        .is_ok_and(|found| found.is_some())
    {
        machine.remove(link).map_err(|error| failed(&error, link))?;
    }
    machine
        .symlink(&path, link)
        .map_err(|error| failed(&error, link))?;
    if context.minion.grains.str("os_family") == Some("Debian") {
        let file = Path::new("/etc/timezone");
        machine
            .write(file, format!("{name}\n").as_bytes(), &WriteOptions::new())
            .map_err(|error| failed(&error, file))?;
    }
    Ok(true.into())
}

/// `UTC` or `localtime`.
pub(crate) fn hardware_clock(context: &Context<'_>) -> Result<&'static str, CallError> {
    let machine = context.system;
    let local = match timedatectl(machine) {
        Some(command) => told(machine, &command)?.1,
        None => machine
            .text(Path::new("/etc/adjtime"))
            .ok()
            .flatten()
            .is_some_and(|text| text.lines().any(|line| line.trim() == "LOCAL")),
    };
    Ok(if local { "localtime" } else { "UTC" })
}

/// Sets what the hardware clock has; false when it could not be set.
///
/// # Errors
///
/// For other words than `UTC` and `localtime`.
pub(crate) fn set_hardware_clock(context: &Context<'_>, clock: &str) -> Result<bool, CallError> {
    let local = match clock {
        "UTC" => false,
        "localtime" => true,
        _ => {
            return Err(CallError::invocation(
                "UTC and localtime are the only possible values for hardware clock",
            ));
        }
    };
    let command = match timedatectl(context.system) {
        Some(command) => command.args(["set-local-rtc", if local { "true" } else { "false" }]),
        None => tool::named(context.system, "hwclock")
            .args(["--systohc", if local { "--localtime" } else { "--utc" }]),
    };
    Ok(tool::run(context, &command)?.is_success())
}
