//! What can be reached, and by which way.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use salt_proto::{Map, Value};

use super::compute::address;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Output};

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

fn connect(args: &Args, _: &Context<'_>) -> Answer {
    let host = args.text("host")?;
    if host.is_empty() {
        return outcome(false, "Required argument, host, is missing.".to_owned());
    }
    let Some(port) = args.optional_int("port")? else {
        return outcome(false, "Required argument, port, is missing.".to_owned());
    };
    let Ok(port) = u16::try_from(port) else {
        return outcome(false, "The port must be between 1 and 65535.".to_owned());
    };
    let proto = args
        .optional_text("proto")
        .unwrap_or_else(|| "tcp".to_owned());
    let seconds = args.optional_int("timeout")?.unwrap_or(5).clamp(1, 300);
    let patience = Duration::from_secs(seconds.unsigned_abs());
    let found = (host.as_str(), port).to_socket_addrs();
    let Some(at) = found.ok().and_then(|mut all| all.next()) else {
        let text = format!("Unable to connect to {host} (unknown) on {proto} port {port}");
        return outcome(false, text);
    };
    let reached = match proto.as_str() {
        "udp" => {
            let any: SocketAddr = match at {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            UdpSocket::bind(any)
                .and_then(|socket| socket.connect(at))
                .is_ok()
        }
        _ => TcpStream::connect_timeout(&at, patience).is_ok(),
    };
    let place = format!("{host} ({}) on {proto} port {port}", at.ip());
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

    #[test]
    fn a_closed_port_is_told_from_an_open_one() {
        let open = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = open.local_addr().unwrap().port();
        let reach = || {
            let args = Args::new().with("127.0.0.1").with(i64::from(port));
            call(&FakeSystem::new(), "network.connect", args)
        };

        let place = format!("127.0.0.1 (127.0.0.1) on tcp port {port}");
        let comment = format!("Successfully connected to {place}");
        assert_eq!(reach().get("comment"), Some(&comment.into()));
        drop(open);
        let comment = format!("Unable to connect to {place}");
        assert_eq!(reach().get("comment"), Some(&comment.into()));
    }
}
