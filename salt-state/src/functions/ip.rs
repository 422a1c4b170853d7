//! `ip.*`: interfaces, routes and the network as a whole, as Debian and Ubuntu have them in
//! files of `ifupdown`.

use std::path::Path;
use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::source::os_error;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

use super::tool;

pub(crate) mod interfaces;
mod network;
pub(crate) mod settings;

use interfaces::{Interfaces, put_file};
pub(crate) use network::Global;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ip.get_interface",
        "get_interface(iface)",
        "Returns the lines that /etc/network/interfaces has for an interface.",
        |args, context| Ok(lines(interface(context.system, &args.text("iface")?)?)),
    );
    add(
        "ip.build_interface",
        "build_interface(iface, iface_type, enabled, **settings)",
        "Writes an interface to /etc/network/interfaces and returns its lines; with test it\n\
         only returns them.",
        |args, context| {
            let settings = args.clean_keywords();
            let (name, kind) = (args.text("iface")?, args.text("iface_type")?);
            let enabled = args.get("enabled").cloned().unwrap_or_default();
            let entry = settings::entry(&name, &kind, &enabled, &settings)?;
            let shown = entry.shown();
            if !is_test(args) {
                put_interface(context, &kind, entry)?;
            }
            Ok(lines(shown))
        },
    );
    add(
        "ip.get_bond",
        "get_bond(iface)",
        "Returns the lines of a bond's file for modprobe.",
        |args, context| Ok(lines_or_none(bond(context.system, &args.text("iface")?))),
    );
    add(
        "ip.build_bond",
        "build_bond(iface, **settings)",
        "Writes a bond's file for modprobe and returns its lines; with test it only returns\n\
         them.",
        |args, context| {
            let name = args.text("iface")?;
            let wanted = bond_lines(&name, &args.clean_keywords())?;
            if !is_test(args) {
                put_bond(context, &name, &wanted)?;
            }
            Ok(lines(wanted))
        },
    );
    add(
        "ip.get_routes",
        "get_routes(iface)",
        "Returns the lines of the scripts that make an interface's routes.",
        |args, context| Ok(lines_or_none(routes(context.system, &args.text("iface")?))),
    );
    add(
        "ip.build_routes",
        "build_routes(iface, **settings)",
        "Writes the scripts that make an interface's routes and returns their lines; with\n\
         test it only returns them.",
        |args, context| {
            let name = args.text("iface")?;
            let [up, down] = route_lines(&name, &args.clean_keywords())?;
            if !is_test(args) {
                put_routes(context, &name, &up, &down)?;
            }
            Ok(lines([up, down].concat()))
        },
    );
    for (name, signature, doc, program) in [
        (
            "ip.up",
            "up(iface, iface_type)",
            "Brings an interface up.",
            "ifup",
        ),
        (
            "ip.down",
            "down(iface, iface_type)",
            "Takes an interface down.",
            "ifdown",
        ),
    ] {
        let function: fn(&Args, &Context<'_>) -> Answer = if program == "ifup" {
            |args, context| switch("ifup", args, context)
        } else {
            |args, context| switch("ifdown", args, context)
        };
        add(name, signature, doc, function);
    }
    add(
        "ip.get_network_settings",
        "get_network_settings()",
        "Returns what is set for the network as a whole.",
        |_, context| Ok(lines(Global::now(context)?.lines())),
    );
    add(
        "ip.build_network_settings",
        "build_network_settings(**settings)",
        "Writes what is set for the network as a whole and returns it; with test it returns\n\
         what the file would be.",
        |args, context| {
            let now = Global::now(context)?;
            let settings = args.clean_keywords();
            if is_test(args) {
                return Ok(lines(now.file(&settings)?));
            }
            let wanted = now.with(&settings)?;
            wanted.write(&now, &settings, context)?;
            Ok(lines(wanted.lines()))
        },
    );
    add(
        "ip.apply_network_settings",
        "apply_network_settings(**settings)",
        "Starts the network again, after the host name was set if that is asked for; with\n\
         require_reboot it is left as it is.",
        |args, context| Ok(apply(context, &args.clean_keywords())?.into()),
    );
    add(
        "network.mod_hostname",
        "mod_hostname(hostname)",
        "Sets the host name, now and for the next start, and in /etc/hosts.",
        |args, context| {
            rename(context, &args.text("hostname")?)?;
            Ok(true.into())
        },
    );
}

fn lines(all: Vec<String>) -> Value {
    all.into_iter().collect()
}

/// The lines of files; an empty text where there are none.
fn lines_or_none(all: Vec<String>) -> Value {
    if all.is_empty() {
        return "".into();
    }
    lines(all)
}

fn is_test(args: &Args) -> bool {
    args.keywords().get("test").is_some_and(Value::is_true)
}

/// The lines of a file, with their ends; none when there is none.
fn file_lines(machine: &dyn Observe, path: &str) -> Vec<String> {
    let text = machine.text(Path::new(path)).ok().flatten();
    let text = text.unwrap_or_default();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// What is said of an interface.
pub(crate) fn interface(machine: &dyn Observe, name: &str) -> Result<Vec<String>, CallError> {
    Ok(Interfaces::read(machine)?.shown(name))
}

/// Installs what a kind of interface needs, if it is not there.
fn equip(context: &Context<'_>, kind: &str) -> Result<(), CallError> {
    let package = match kind.to_lowercase().as_str() {
        "bridge" => "bridge-utils",
        "vlan" => "vlan",
        "bond" => "ifenslave",
        "pppoe" => "ppp",
        _ => return Ok(()),
    };
    if context.system.which("dpkg-query").is_none() {
        return Ok(());
    }
    let call = Args::new().with(package);
    let version = context.registry.call("pkg.version", &call, context)?;
    if version.as_str() == Some("") {
        context.registry.call("pkg.install", &call, context)?;
    }
    Ok(())
}

/// Writes an interface.
pub(crate) fn put_interface(
    context: &Context<'_>,
    kind: &str,
    entry: interfaces::Entry,
) -> Result<(), CallError> {
    equip(context, kind)?;
    let mut all = Interfaces::read(context.system)?;
    all.put(entry);
    all.write(context)
}

fn bond_file(name: &str) -> String {
    format!("/etc/modprobe.d/{name}.conf")
}

/// What modprobe is told of a bond.
pub(crate) fn bond(machine: &dyn Observe, name: &str) -> Vec<String> {
    file_lines(machine, &bond_file(name))
}

/// What modprobe shall be told of a bond.
pub(crate) fn bond_lines(name: &str, settings: &Map) -> Result<Vec<String>, CallError> {
    let mut options = String::new();
    for option in settings::bond(name, settings)? {
        options.push_str(&format!("{}={} ", option.key, option.value));
    }
    Ok(vec![
        format!("alias {name} bonding\n"),
        format!("options {name} {options}"),
    ])
}

/// Writes a bond's file and loads the module.
pub(crate) fn put_bond(
    context: &Context<'_>,
    name: &str,
    wanted: &[String],
) -> Result<(), CallError> {
    put_file(context, &bond_file(name), &wanted.concat(), 0o644)?;
    let command = tool::named(context.system, "modprobe").arg("bonding");
    let _refused = tool::run(context, &command);
    equip(context, "bond")
}

fn route_files(name: &str) -> [String; 2] {
    ["up", "down"].map(|when| format!("/etc/network/if-{when}.d/route-{name}"))
}

/// The scripts that make and remove an interface's routes.
pub(crate) fn routes(machine: &dyn Observe, name: &str) -> Vec<String> {
    route_files(name)
        .iter()
        .flat_map(|path| file_lines(machine, path))
        .collect()
}

/// What the scripts for an interface's routes shall be.
pub(crate) fn route_lines(name: &str, settings: &Map) -> Result<[Vec<String>; 2], CallError> {
    let routes: Vec<Value> = match settings.get("routes") {
        Some(Value::List(routes)) => routes.clone(),
        Some(Value::Str(text)) => text.chars().map(|c| c.to_string().into()).collect(),
        _ => {
            return Err(CallError::exception(
                "AttributeError",
                format!(
                    "Invalid option -- Route interface: {name}, Option: routes, Expected: [List of routes]"
                ),
            ));
        }
    };
    let script = |what: &str, verb: &str| {
        let mut lines = vec![
            "#!/bin/sh\n".to_owned(),
            format!("# {what}\n"),
            format!("test \"${{IFACE}}\" = \"{name}\" || exit 0\n"),
        ];
        for route in &routes {
            let part = |key: &str| {
                let value = route.get(key).filter(|value| value.is_true());
                value.map(python::str)
            };
            if let Some(comment) = part("name") {
                lines.push(format!("# {comment}\n"));
            }
            let mut to = part("ipaddr").unwrap_or_default();
            if let Some(mask) = part("netmask") {
                to = format!("{to}/{mask}");
            }
            let via = part("gateway").map(|gateway| format!("via {gateway}"));
            let via = via.unwrap_or_default();
            lines.push(format!("ip route {verb} {to} {via} dev {name}\n"));
        }
        lines
    };
    Ok([script("add", "add"), script("del", "del")])
}

/// Writes the scripts.
pub(crate) fn put_routes(
    context: &Context<'_>,
    name: &str,
    up: &[String],
    down: &[String],
) -> Result<(), CallError> {
    let files = route_files(name);
    for (path, script) in files.iter().zip([up, down]) {
        put_file(context, path, &script.concat(), 0o755)?;
    }
    Ok(())
}

fn switch(program: &str, args: &Args, context: &Context<'_>) -> Answer {
    let kind = args.text("iface_type")?;
    bring(context, program, &args.text("iface")?, &kind)
}

/// Brings an interface up or down, which those that belong to a bond cannot be.
pub(crate) fn bring(context: &Context<'_>, program: &str, name: &str, kind: &str) -> Answer {
    if matches!(kind, "slave" | "source") {
        return Ok(Value::Null);
    }
    let command = tool::named(context.system, program).arg(name);
    let output = tool::run(context, &command)?;
    Ok(tool::said_both(&output).into())
}

/// Starts the network again; false when that failed, or when there is no host name to set.
pub(crate) fn apply(context: &Context<'_>, settings: &Map) -> Result<bool, CallError> {
    let is = |key: &str| settings.get(key).is_some_and(Value::is_true);
    let mut fine = true;
    if is("apply_hostname") {
        match settings.get("hostname") {
            Some(name) => rename(context, &python::str(name))?,
            None => fine = false,
        }
    }
    if !is("require_reboot") {
        let service = |verb: &str| {
            let command = tool::named(context.system, "service").args(["networking", verb]);
            tool::run(context, &command)
        };
        service("stop")?;
        context.system.sleep(Duration::from_secs(2));
        fine &= service("start")?.is_success();
    }
    Ok(fine)
}

/// Sets the host name, now and for the next start, and in `/etc/hosts`.
fn rename(context: &Context<'_>, name: &str) -> Result<(), CallError> {
    let machine = context.system;
    let old = match machine.which("hostnamectl") {
        Some(path) => {
            let status = tool::run(context, &tool::plain(path.clone()).arg("status"))?;
            let status = status.stdout_text();
            let old = status.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == "Static hostname").then(|| value.trim().to_owned())
            });
            let mut command = tool::plain(path).arg("set-hostname");
            if !name.is_empty() {
                command = command.arg(name);
            }
            tool::run(context, &command)?;
            old
        }
        None => {
            let old = machine.kernel().node;
            tool::run(context, &tool::named(machine, "hostname").arg(name))?;
            Some(old)
        }
    };
    let old = old.ok_or_else(|| {
        CallError::exception(
            "UnboundLocalError",
            "cannot access local variable 'o_hostname' where it is not associated with a value",
        )
    })?;
    let path = Path::new("/etc/hosts");
    let hosts = machine
        .text(path)
        .and_then(|text| text.ok_or_else(|| rustix::io::Errno::NOENT.into()))
        .map_err(|error| os_error(error, path))?;
    let mut text = String::new();
    for line in hosts.lines() {
        let words: Vec<&str> = line
            .split_whitespace()
            .map(|word| if word == old { name } else { word })
            .collect();
        text.push_str(&words.join("\t"));
        text.push('\n');
    }
    put_file(context, "/etc/hosts", &text, 0o644)?;
    if context.minion.grains.str("os_family") == Some("Debian") {
        put_file(context, "/etc/hostname", &format!("{name}\n"), 0o644)?;
    }
    Ok(())
}
