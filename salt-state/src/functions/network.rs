//! `network.*`: interfaces, addresses, routes.

use std::net::IpAddr;
use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::fnmatch;
use crate::functions::tool;
use crate::grains::{Addresses, host_names};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, CommandError, Interface, InterfaceAddress};

mod compute;
mod reach;
mod routes;
mod tools;

use compute::network;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    reach::register(registry);
    tools::register(registry);
    registry.add(
        "network.interfaces",
        "interfaces()",
        "The network interfaces with their addresses.",
        |_, context| {
            let all = all(context)?;
            let shown: Map = all
                .iter()
                .map(|one| (one.name.as_str(), shown(one, &all)))
                .collect();
            Ok(shown.into())
        },
    );
    registry.add(
        "network.interface",
        "interface(iface)",
        "The IPv4 addresses of an interface.",
        |args, context| {
            Ok(match named(args, context)? {
                Ok(one) => one.get("inet").cloned().unwrap_or_default(),
                Err(complaint) => complaint,
            })
        },
    );
    registry.add(
        "network.interface_ip",
        "interface_ip(iface)",
        "The first IPv4 address of an interface.",
        |args, context| {
            Ok(match named(args, context)? {
                Ok(one) => one
                    .get("inet")
                    .and_then(Value::as_list)
                    .and_then(<[Value]>::first)
                    .and_then(|entry| entry.get("address"))
                    .cloned()
                    .unwrap_or_else(|| "".into()),
                Err(complaint) => complaint,
            })
        },
    );
    for name in ["network.hw_addr", "network.hwaddr"] {
        registry.add(
            name,
            "hw_addr(iface)",
            "The hardware address of an interface.",
            |args, context| {
                Ok(match named(args, context)? {
                    Ok(one) => one.get("hwaddr").cloned().unwrap_or_else(|| "".into()),
                    Err(complaint) => complaint,
                })
            },
        );
    }
    for name in ["network.ip_addrs", "network.ipaddrs"] {
        registry.add(
            name,
            "ip_addrs(interface=None, include_loopback=False, cidr=None, type=None)",
            "The IPv4 addresses of this machine, sorted; of some interfaces, within a\n\
             network, or only public or private ones.",
            |args, context| addresses(args, context, IpAddr::is_ipv4),
        );
    }
    for name in ["network.ip_addrs6", "network.ipaddrs6"] {
        registry.add(
            name,
            "ip_addrs6(interface=None, include_loopback=False, cidr=None)",
            "The IPv6 addresses of this machine, sorted; of some interfaces or within a\n\
             network.",
            |args, context| addresses(args, context, IpAddr::is_ipv6),
        );
    }
    registry.add(
        "network.ip_networks",
        "ip_networks(interface=None, include_loopback=False, verbose=False)",
        "The IPv4 networks this machine is in; with verbose, their particulars.",
        |args, context| networks(args, context, IpAddr::is_ipv4),
    );
    registry.add(
        "network.ip_networks6",
        "ip_networks6(interface=None, include_loopback=False, verbose=False)",
        "The IPv6 networks this machine is in; with verbose, their particulars.",
        |args, context| networks(args, context, IpAddr::is_ipv6),
    );
    registry.add(
        "network.subnets",
        "subnets(interfaces=None)",
        "The IPv4 networks this machine is in, the loopback left out.",
        |args, context| {
            let wanted = args.words("interfaces");
            Ok(texts(&subnets(context, &wanted, false, IpAddr::is_ipv4)?))
        },
    );
    registry.add(
        "network.subnets6",
        "subnets6()",
        "The IPv6 networks this machine is in, the loopback left out.",
        |_, context| Ok(texts(&subnets(context, &[], false, IpAddr::is_ipv6)?)),
    );
    registry.add(
        "network.in_subnet",
        "in_subnet(cidr)",
        "Whether this machine has an address in a network.",
        |args, context| {
            let Some(net) = network(&args.text("cidr")?) else {
                return Ok(false.into());
            };
            let own = own(context, &[], false)?;
            Ok(own.iter().any(|one| net.contains(&one.address)).into())
        },
    );
    registry.add(
        "network.ifacestartswith",
        "ifacestartswith(cidr)",
        "The interfaces with an IPv4 address that begins with a text.",
        |args, context| {
            let beginning = args.text("cidr")?;
            Ok(all(context)?
                .iter()
                .filter(|one| {
                    Addresses(one).primary().any(|found| {
                        found.address.is_ipv4() && found.address.to_string().starts_with(&beginning)
                    })
                })
                .map(|one| one.name.as_str())
                .collect())
        },
    );
    registry.add(
        "network.get_hostname",
        "get_hostname()",
        "The host name of the kernel.",
        |_, context| Ok(context.system.kernel().node.into()),
    );
    registry.add(
        "network.get_fqdn",
        "get_fqdn()",
        "The host name with its domain, if one is known.",
        |_, context| Ok(host_names(context.system).fqdn.into()),
    );
    registry.add(
        "network.fqdns",
        "fqdns()",
        "The names of this machine's addresses: the grain fqdns, which is empty unless\n\
         enable_fqdns_grains is set.",
        |_, context| {
            let names = context.minion.grains.get("fqdns").cloned();
            let names = names.unwrap_or_else(|| Value::List(Vec::new()));
            Ok(Map::from([("fqdns", names)]).into())
        },
    );
    registry.add(
        "network.arp",
        "arp()",
        "The IPv4 neighbours: addresses by hardware address.",
        |_, context| arp(context),
    );
    registry.add(
        "network.ping",
        "ping(host, timeout=False, return_boolean=False)",
        "Sends four packets to a host and returns what ping(8) says, or whether it\n\
         answered. timeout is in seconds.",
        ping,
    );
    compute::register(registry);
    routes::register(registry);
}

fn all(context: &Context<'_>) -> Result<Vec<Interface>, CallError> {
    context
        .system
        .interfaces()
        .map_err(|error| CallError::execution(error.to_string()))
}

/// An interface as Salt shows it.
fn shown(one: &Interface, all: &[Interface]) -> Map {
    let mut entry = Map::from([("up", Value::Bool(one.up))]);
    let parent = all.iter().find(|other| Some(other.index) == one.parent);
    if let Some(parent) = parent {
        entry.insert("parent", parent.name.as_str());
    }
    if let Some(hardware) = &one.hardware {
        entry.insert("hwaddr", hardware.as_str());
    }
    let addresses = Addresses(one);
    let lists = [
        (
            "inet",
            addresses
                .primary()
                .filter_map(|found| v4(found, one))
                .collect::<Vec<_>>(),
        ),
        ("inet6", addresses.primary().filter_map(v6).collect()),
        (
            "secondary",
            addresses
                .aliases()
                .filter_map(|found| v4(found, one))
                .map(|mut entry| {
                    entry.insert("type", "inet");
                    entry
                })
                .collect(),
        ),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            entry.insert(name, list.into_iter().collect::<Value>());
        }
    }
    entry
}

fn v4(found: &InterfaceAddress, interface: &Interface) -> Option<Map> {
    let IpAddr::V4(address) = found.address else {
        return None;
    };
    let label = found.label.as_deref().unwrap_or(&interface.name);
    Some(Map::from([
        ("address", Value::from(address.to_string())),
        ("netmask", compute::netmask(found.prefix).to_string().into()),
        ("broadcast", found.broadcast.map(|to| to.to_string()).into()),
        ("label", label.into()),
    ]))
}

fn v6(found: &InterfaceAddress) -> Option<Map> {
    let IpAddr::V6(address) = found.address else {
        return None;
    };
    Some(Map::from([
        ("address", address.to_string()),
        ("prefixlen", found.prefix.to_string()),
        ("scope", found.scope.clone()),
    ]))
}

/// The interface that the argument `iface` names, or Salt's complaint.
fn named(args: &Args, context: &Context<'_>) -> Result<Result<Map, Value>, CallError> {
    let wanted = args.text("iface")?;
    let all = all(context)?;
    Ok(match all.iter().find(|one| one.name == wanted) {
        Some(one) => Ok(shown(one, &all)),
        None => {
            let names: Vec<String> = all.iter().map(|one| format!("\"{}\"", one.name)).collect();
            let names = names.join(", ");
            let text = format!("Interface \"{wanted}\" not in available interfaces: {names}");
            Err(text.into())
        }
    })
}

/// Our addresses on the interfaces that globs name (all, if there are none), sorted.
fn own(
    context: &Context<'_>,
    wanted: &[String],
    loopback: bool,
) -> Result<Vec<InterfaceAddress>, CallError> {
    let mut found: Vec<InterfaceAddress> = all(context)?
        .into_iter()
        .filter(|one| wanted.is_empty() || wanted.iter().any(|glob| fnmatch(&one.name, glob)))
        .flat_map(|one| one.addresses)
        .filter(|one| loopback || !one.address.is_loopback())
        .collect();
    found.sort_by_key(|one| one.address);
    found.dedup_by_key(|one| one.address);
    Ok(found)
}

fn addresses(
    args: &Args,
    context: &Context<'_>,
    family: fn(&IpAddr) -> bool,
) -> Result<Value, CallError> {
    let mut found: Vec<IpAddr> = own(
        context,
        &args.words("interface"),
        args.is_true("include_loopback"),
    )?
    .into_iter()
    .map(|one| one.address)
    .filter(family)
    .collect();
    if let Some(cidr) = args.optional_text("cidr") {
        let net = network(&cidr);
        found.retain(|one| net.is_some_and(|net| net.contains(one)));
    } else {
        match args.optional_text("type").as_deref() {
            Some("public") => found.retain(|one| !compute::is_private(one)),
            Some("private") => found.retain(compute::is_private),
            _ => {}
        }
    }
    Ok(found.iter().map(IpAddr::to_string).collect())
}

fn subnets(
    context: &Context<'_>,
    wanted: &[String],
    loopback: bool,
    family: fn(&IpAddr) -> bool,
) -> Result<Vec<ipnet::IpNet>, CallError> {
    let mut nets: Vec<ipnet::IpNet> = own(context, wanted, loopback)?
        .into_iter()
        .filter(|one| family(&one.address))
        .filter_map(|one| ipnet::IpNet::new(one.address, one.prefix).ok())
        .map(|net| net.trunc())
        .collect();
    nets.sort_unstable();
    nets.dedup();
    Ok(nets)
}

fn texts(nets: &[ipnet::IpNet]) -> Value {
    nets.iter().map(ipnet::IpNet::to_string).collect()
}

fn networks(
    args: &Args,
    context: &Context<'_>,
    family: fn(&IpAddr) -> bool,
) -> Result<Value, CallError> {
    let wanted = args.words("interface");
    let nets = subnets(context, &wanted, args.is_true("include_loopback"), family)?;
    if !args.is_true("verbose") {
        return Ok(texts(&nets));
    }
    let shown: Map = nets
        .iter()
        .map(|net| {
            let entry = Map::from([
                ("address", Value::from(net.network().to_string())),
                ("netmask", net.netmask().to_string().into()),
                ("num_addresses", compute::size(net)),
                (
                    "prefixlen",
                    net.prefix_len()
                        .to_string()
                        .parse::<i64>()
                        .unwrap_or(0)
                        .into(),
                ),
            ]);
            (net.to_string(), entry)
        })
        .collect();
    Ok(shown.into())
}

/// What arp(8) says; without it, the kernel's table.
fn arp(context: &Context<'_>) -> Answer {
    if context.system.which("arp").is_none() {
        return Ok(neighbours(context));
    }
    let table = tool::words_said(context, "arp", &["-an"])?;
    let found: Map = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let address = words.get(1)?.trim_matches(['(', ')']);
            Some((*words.get(3)?, address))
        })
        .collect();
    Ok(found.into())
}

/// `/proc/net/arp` without entries that have no hardware address yet.
fn neighbours(context: &Context<'_>) -> Value {
    let table = context.system.text(Path::new("/proc/net/arp"));
    let found: Map = table
        .ok()
        .flatten()
        .unwrap_or_default()
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let hardware = words.get(3).filter(|to| **to != "00:00:00:00:00:00")?;
            Some((*hardware, *words.first()?))
        })
        .collect();
    found.into()
}

/// What of a text can be the name or the address of a host.
fn reachable(host: &str) -> String {
    host.chars()
        .filter(|ch| ch.is_ascii_alphanumeric() || matches!(ch, '.' | '-' | '_' | ':' | '%'))
        .collect()
}

fn ping(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    // A host may not pass for an option.
    let host = reachable(&args.text("host")?);
    let host = host.trim_start_matches('-');
    let mut command = Command::new("ping");
    if args.is_true("timeout") {
        command = command.arg("-W").arg(args.int("timeout")?.to_string());
    }
    command = command.args(["-c", "4"]).arg(host);
    command.merge_stderr = true;
    let output = context
        .system
        .query(&command)
        .map_err(|error| match error {
            CommandError::Start { source, .. } => CallError::execution(format!(
                "Unable to run command '{}', reason: {}",
                python::repr(&command.line().split(' ').collect()),
                crate::system::errno_text(&source, Some(Path::new("ping")))
            )),
            other => CallError::execution(other.to_string()),
        })?;
    context.set_retcode(output.exit.code().into());
    if args.is_true("return_boolean") {
        return Ok(output.is_success().into());
    }
    Ok(output.stdout_text().trim_end().into())
}
