//! What the programs of the network say: neighbours, sockets, names, ways, buffers.

use std::path::Path;

use salt_proto::{Map, Value};

use super::reachable;
use crate::args::Args;
use crate::context::Context;
use crate::functions::ps::endpoint;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "network.active_tcp",
        "active_tcp()",
        "The TCP connections that are established, by number.",
        |_, context| Ok(active_tcp(context.system).into()),
    );
    add(
        "network.netstat",
        "netstat()",
        "The open ports and connections, as netstat(8) tells.",
        |_, context| {
            let table = tool::words_said(context, "netstat", &["-tulpnea"])?;
            Ok(table.lines().filter_map(socket).collect())
        },
    );
    add(
        "network.dig",
        "dig(host)",
        "What dig(1) says of a name.",
        |args, context| {
            let host = reachable(&args.text("host")?);
            needs(context, "dig")?;
            Ok(tool::words_said(context, "dig", &[&host])?.into())
        },
    );
    add(
        "network.traceroute",
        "traceroute(host)",
        "The way to a host: the steps with their times in milliseconds.",
        |args, context| {
            let host = reachable(&args.text("host")?);
            needs(context, "traceroute")?;
            let said = tool::words_said(context, "traceroute", &[&host])?;
            let steps = said.lines().filter(|line| !line.starts_with("traceroute"));
            Ok(steps.map(|line| step(line).unwrap_or_default()).collect())
        },
    );
    for name in ["network.ip_neighs", "network.ipneighs"] {
        add(
            name,
            "ip_neighs()",
            "The IPv4 neighbours: addresses by hardware address.",
            |_, context| neighbours(context, false),
        );
    }
    for name in ["network.ip_neighs6", "network.ipneighs6"] {
        add(
            name,
            "ip_neighs6()",
            "The IPv6 neighbours: addresses by hardware address.",
            |_, context| neighbours(context, true),
        );
    }
    add(
        "network.get_bufsize",
        "get_bufsize(iface)",
        "The sizes of an interface's buffers, and how large they can be.",
        |args, context| {
            let Some(said) = ethtool(context, &["-g", &args.text("iface")?])? else {
                return Ok(Map::new().into());
            };
            Ok(match said {
                Ok(table) => buffers(&table).into(),
                Err(complaint) => outcome(false, complaint),
            })
        },
    );
    add(
        "network.mod_bufsize",
        "mod_bufsize(iface, *args, **kwargs)",
        "Sets the sizes of an interface's buffers: rx, tx, rx-mini, rx-jumbo.",
        mod_bufsize,
    );
}

fn outcome(result: bool, comment: impl Into<Value>) -> Value {
    Map::from([("result", Value::from(result)), ("comment", comment.into())]).into()
}

fn needs(context: &Context<'_>, program: &str) -> Result<(), CallError> {
    match context.system.which(program) {
        Some(_) => Ok(()),
        None => Err(CallError::CommandNotFound(format!(
            "The '{program}' binary was not found in $PATH."
        ))),
    }
}

fn active_tcp(machine: &dyn Observe) -> Map {
    const ESTABLISHED: &str = "01";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| {
        let table = machine.text(Path::new(path));
        table.ok().flatten().unwrap_or_default()
    });
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let connections = lines.filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote) = (words.next()?, words.next()?);
        if words.next()? != ESTABLISHED {
            return None;
        }
        let (local, remote) = (endpoint(local)?, endpoint(remote)?);
        Some(Map::from([
            ("local_addr", Value::from(local.0.to_string())),
            ("local_port", local.1.into()),
            ("remote_addr", remote.0.to_string().into()),
            ("remote_port", remote.1.into()),
        ]))
    });
    (0_u64..)
        .zip(connections)
        .map(|(number, connection)| (Value::from(number), Value::from(connection)))
        .collect()
}

/// A line of `netstat -tulpnea`.
fn socket(line: &str) -> Option<Map> {
    const TCP: &[&str] = &[
        "proto",
        "recv-q",
        "send-q",
        "local-address",
        "remote-address",
        "state",
        "user",
        "inode",
        "program",
    ];
    const UDP: &[&str] = &[
        "proto",
        "recv-q",
        "send-q",
        "local-address",
        "remote-address",
        "user",
        "inode",
        "program",
    ];
    let names = match line.get(..3)? {
        "tcp" => TCP,
        "udp" => UDP,
        _ => return None,
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    if words.len() < names.len() {
        return None;
    }
    Some(names.iter().copied().zip(words).collect())
}

/// A step of a way; none for a line that does not have three times.
fn step(line: &str) -> Option<Map> {
    let mut words = line.split_whitespace().peekable();
    let count: u64 = words.next()?.parse().ok()?;
    let host = words.next()?;
    if host == "*" {
        let silent = words.all(|word| word == "*");
        return silent
            .then(|| Map::from([("count", Value::from(count)), ("hostname", "*".into())]));
    }
    let ip = words.next()?.strip_prefix('(')?.strip_suffix(')')?;
    let mut found = Map::from([
        ("count", Value::from(count)),
        ("hostname", host.into()),
        ("ip", ip.into()),
    ]);
    for name in ["ms1", "ms2", "ms3"] {
        let mut word = words.next()?;
        if words.peek().is_some_and(|next| next.starts_with('(')) {
            // Another host answered this one.
            words.next();
            word = words.next()?;
        }
        found.insert(name, word.parse::<f64>().ok()?);
        if words.next()? != "ms" {
            return None;
        }
    }
    Some(found)
}

fn neighbours(context: &Context<'_>, six: bool) -> Answer {
    let table = tool::words_said(context, "ip", &["neigh", "show"])?;
    let found: Map = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "lladdr")?;
            let (address, hardware) = (*words.first()?, *words.get(at + 1)?);
            (address.contains(':') == six).then_some((hardware, address))
        })
        .collect();
    Ok(found.into())
}

/// What ethtool(8) says or complains of; nothing when it is not installed.
fn ethtool(
    context: &Context<'_>,
    arguments: &[&str],
) -> Result<Option<Result<String, String>>, CallError> {
    const PLACE: &str = "/sbin/ethtool";
    if !context.system.exists(Path::new(PLACE)) {
        return Ok(None);
    }
    let command = tool::plain(PLACE).args(arguments);
    let output = tool::ask(context.system, &command)?;
    Ok(Some(if output.is_success() {
        Ok(output.stdout_text())
    } else {
        Err(tool::said(&output))
    }))
}

/// The table of `ethtool -g`: first what is possible, then what is.
fn buffers(table: &str) -> Map {
    let mut found = Map::from([("result", true)]);
    let mut end = "-max";
    for line in table.lines() {
        if line.starts_with("Current") {
            end = "";
        }
        let Some((name, size)) = line.split_once(':') else {
            continue;
        };
        let Ok(size) = size.trim().parse::<u64>() else {
            continue;
        };
        let name = name.trim().to_lowercase().replace(' ', "-");
        found.insert(format!("{name}{end}"), size);
    }
    found
}

fn mod_bufsize(args: &Args, context: &Context<'_>) -> Answer {
    if !context.system.exists(Path::new("/sbin/ethtool")) {
        return Ok(false.into());
    }
    let mut sizes = Vec::new();
    for name in ["rx", "tx", "rx-mini", "rx-jumbo"] {
        if let Some(size) = args.given(name) {
            sizes.extend([name.to_owned(), python::str(size)]);
        }
    }
    if sizes.is_empty() {
        let text = "Requires rx=<val> tx==<val> rx-mini=<val> and/or rx-jumbo=<val>";
        return Ok(outcome(false, text));
    }
    let mut words = vec!["-G".to_owned(), args.text("iface")?];
    words.extend_from_slice(&sizes);
    let output = tool::run(context, &tool::plain("/sbin/ethtool").args(words))?;
    if !output.is_success() {
        return Ok(outcome(false, tool::said(&output)));
    }
    Ok(outcome(true, sizes.join(" ")))
}
