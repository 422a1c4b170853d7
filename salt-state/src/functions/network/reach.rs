//! What can be reached, and by which way.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use salt_proto::{Map, Value};

use super::compute::address;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Output, Protocol, addresses_of};

/// The most seconds that `network.connect` waits.
const LONGEST: i64 = 300;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "network.connect",
        "connect(host, port=None, **kwargs)",
        "Whether a port of a host can be reached. proto: tcp or udp; timeout: seconds.",
        connect,
    );
    registry.add(
        "network.get_route",
        "get_route(ip)",
        "By which route an address is reached.",
        get_route,
    );
}

fn outcome(result: bool, comment: String) -> Answer {
    let all = [("result", Value::from(result)), ("comment", comment.into())];
    Ok(Map::from(all).into())
}

fn connect(args: &Args, context: &Context<'_>) -> Answer {
    let host = args.text("host")?;
    if host.is_empty() {
        return outcome(false, "Required argument, host, is missing.".to_owned());
    }
    let port = args.get("port").filter(|port| port.is_true());
    let Some(port) = port.map(crate::python::str) else {
        return outcome(false, "Required argument, port, is missing.".to_owned());
    };
    // Whatever is no protocol or no time is taken as the default.
    let (protocol, word) = match args.optional_text("proto").as_deref() {
        Some("udp") => (Protocol::Udp, "udp"),
        _ => (Protocol::Tcp, "tcp"),
    };
    let seconds = args.optional_int("timeout").ok().flatten().unwrap_or(5);
    let patience = Duration::from_secs(seconds.clamp(1, LONGEST).unsigned_abs());
    let wanted = args.optional_text("family");
    let is_wanted = |address: &IpAddr| match wanted.as_deref() {
        Some("ipv4") => address.is_ipv4(),
        Some("ipv6") => address.is_ipv6(),
        _ => true,
    };
    let found = addresses_of(context.system, &host, patience);
    let Some(address) = found.into_iter().find(is_wanted) else {
        let text = format!("Unable to resolve host {host} on {word} port {port}");
        return outcome(false, text);
    };
    let place = format!("{host} ({address}) on {word} port {port}");
    let reached = port.parse().is_ok_and(|port: u16| {
        let at = SocketAddr::new(address, port);
        context.system.probe(at, protocol, patience).is_ok()
    });
    if reached {
        outcome(true, format!("Successfully connected to {place}"))
    } else {
        outcome(false, format!("Unable to connect to {place}"))
    }
}

fn get_route(args: &Args, context: &Context<'_>) -> Answer {
    let given = args.text("ip")?;
    let Some(ip) = address(&given).map(|ip| ip.to_string()) else {
        return Err(CallError::execution(format!("{given} is not an address")));
    };
    let ask = Command::new("ip")
        .args(["route", "get", &ip])
        .timeout(Duration::from_secs(10));
    let asked = context.system.query(&ask).ok().filter(Output::is_success);
    let text = asked.map(|asked| asked.stdout_text()).unwrap_or_default();
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let mut route = Map::from([
        ("destination", Value::from(words.next().unwrap_or(&ip))),
        ("gateway", Value::Null),
        ("interface", Value::Null),
        ("source", Value::Null),
    ]);
    while let Some(word) = words.next() {
        let key = match word {
            "via" => "gateway",
            "dev" => "interface",
            "src" => "source",
            _ => continue,
        };
        if let Some(value) = words.next() {
            route.insert(key, value);
        }
    }
    Ok(route.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    fn call(machine: &FakeSystem, name: &str, args: Args) -> Value {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        let context = Context::new(&registry, machine, &minion);
        registry.call(name, &args, &context).unwrap()
    }

    #[test]
    fn a_route_is_read_from_what_ip_says() {
        let machine = FakeSystem::new().command("ip", |_| {
            Output::success("198.51.100.1 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0\n    cache\n")
        });

        let route = call(
            &machine,
            "network.get_route",
            Args::new().with("198.51.100.1"),
        );

        let expected =
            "{destination: 198.51.100.1, gateway: 192.0.2.1, interface: eth0, source: 192.0.2.2}";
        assert_eq!(route, crate::yaml::load(expected).unwrap());
    }

    /// The texts are those recorded with Salt 3008.3.
    #[test]
    fn a_closed_port_is_told_from_an_open_one() {
        let machine = FakeSystem::new()
            .file("/etc/hosts", "192.0.2.1 db\n2001:db8::1 db\n")
            .listening("192.0.2.1:5432".parse().unwrap(), Protocol::Tcp)
            .listening("[2001:db8::1]:53".parse().unwrap(), Protocol::Udp);
        let check = |args: Args, expected: &str| {
            let answer = call(&machine, "network.connect", args);
            assert_eq!(answer.get("comment"), Some(&expected.into()));
            let reached = expected.starts_with("Successfully");
            assert_eq!(answer.get("result"), Some(&reached.into()), "{expected}");
        };
        let args = |host: &str, port: i64| Args::new().with(host).with(port);

        check(
            args("db", 5432),
            "Successfully connected to db (192.0.2.1) on tcp port 5432",
        );
        check(
            args("db", 53)
                .keyword("proto", "udp")
                .keyword("family", "ipv6"),
            "Successfully connected to db (2001:db8::1) on udp port 53",
        );
        check(
            args("192.0.2.1", 1).keyword("proto", "icmp"),
            "Unable to connect to 192.0.2.1 (192.0.2.1) on tcp port 1",
        );
        check(
            args("192.0.2.1", 70000).keyword("timeout", "x"),
            "Unable to connect to 192.0.2.1 (192.0.2.1) on tcp port 70000",
        );
        check(
            args("nosuch.invalid", 80),
            "Unable to resolve host nosuch.invalid on tcp port 80",
        );
        check(args("", 3), "Required argument, host, is missing.");
        check(args("db", 0), "Required argument, port, is missing.");
        check(
            Args::new().with("db"),
            "Required argument, port, is missing.",
        );
    }
}
