//! What can be said of an address or a network without looking at this machine.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use salt_proto::{Map, Value};

use crate::args::Args;
use crate::python;
use crate::registry::{CallError, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "network.ip_in_subnet",
        "ip_in_subnet(ip_addr, cidr)",
        "Whether an address is in a network.",
        |args, _| {
            let found = required_address(args)?;
            let net = network(&args.text("cidr")?);
            Ok(net.is_some_and(|net| net.contains(&found)).into())
        },
    );
    registry.add(
        "network.calc_net",
        "calc_net(ip_addr, netmask=None)",
        "The network an address with a netmask is in, as CIDR.",
        |args, _| {
            let mut text = args.text("ip_addr")?;
            if let Some(mask) = args.optional_text("netmask") {
                text = format!("{text}/{mask}");
            }
            Ok(required_network(&text)?.to_string().into())
        },
    );
    registry.add(
        "network.convert_cidr",
        "convert_cidr(cidr)",
        "Network, netmask and broadcast address of a CIDR.",
        |args, _| {
            let net = required_network(&args.text("cidr")?)?;
            Ok(Map::from([
                ("network", net.network().to_string()),
                ("netmask", net.netmask().to_string()),
                ("broadcast", net.broadcast().to_string()),
            ])
            .into())
        },
    );
    registry.add(
        "network.is_loopback",
        "is_loopback(ip_addr)",
        "Whether an address is a loopback address.",
        |args, _| Ok(required_address(args)?.is_loopback().into()),
    );
    registry.add(
        "network.is_private",
        "is_private(ip_addr)",
        "Whether an address is not for the public internet.",
        |args, _| Ok(is_private(&required_address(args)?).into()),
    );
    registry.add(
        "network.reverse_ip",
        "reverse_ip(ip_addr)",
        "The name under which the DNS knows the host of an address.",
        |args, _| Ok(reverse(required_address(args)?).into()),
    );
    registry.add(
        "network.iphexval",
        "iphexval(ip)",
        "An IPv4 address as eight digits.",
        |args, _| {
            let mut hex = String::new();
            for part in args.text("ip")?.split('.') {
                let number: i64 = part.trim().parse().map_err(|_| {
                    CallError::exception(
                        "ValueError",
                        format!(
                            "invalid literal for int() with base 10: {}",
                            python::repr_str(part)
                        ),
                    )
                })?;
                hex.push_str(&format!("{number:02X}"));
            }
            Ok(hex.into())
        },
    );
}

/// An address, as Python's `ip_address` reads one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

fn required_address(args: &Args) -> Result<IpAddr, CallError> {
    let text = args.text("ip_addr")?;
    address(&text).ok_or_else(|| {
        let text = python::repr_str(&text);
        CallError::exception(
            "ValueError",
            format!("{text} does not appear to be an IPv4 or IPv6 address"),
        )
    })
}

/// A network: an address with or without a prefix length or a netmask. Host bits are
/// cleared.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let (host, mask) = match text.split_once('/') {
        Some((host, mask)) => (host, Some(mask)),
        None => (text, None),
    };
    let host: IpAddr = host.parse().ok()?;
    let full = if host.is_ipv4() { 32 } else { 128 };
    let prefix = match mask {
        None => full,
        Some(mask) if mask.bytes().all(|byte| byte.is_ascii_digit()) => mask.parse().ok()?,
        Some(mask) => ipnet::ip_mask_to_prefix(mask.parse().ok()?).ok()?,
    };
    Some(IpNet::new(host, prefix).ok()?.trunc())
}

fn required_network(text: &str) -> Result<IpNet, CallError> {
    network(text).ok_or_else(|| {
        let text = python::repr_str(text);
        CallError::exception(
            "ValueError",
            format!("{text} does not appear to be an IPv4 or IPv6 network"),
        )
    })
}

/// The netmask of an IPv4 prefix length.
pub(super) fn netmask(prefix: u8) -> Ipv4Addr {
    let host = u32::from(prefix).min(32);
    Ipv4Addr::from(u32::MAX.checked_shl(32 - host).unwrap_or(0))
}

/// How many addresses a network has; beyond 64 bits as a float.
pub(super) fn size(net: &IpNet) -> Value {
    let host = net.max_prefix_len() - net.prefix_len();
    match 1_u64.checked_shl(host.into()) {
        Some(size) => size.into(),
        None => 2_f64.powi(host.into()).into(),
    }
}

/// Python's `is_private`: what IANA lists as not globally reachable.
pub(super) fn is_private(address: &IpAddr) -> bool {
    const V4: [&str; 14] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/29",
        "192.0.0.170/31",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "255.255.255.255/32",
    ];
    const V6: [&str; 10] = [
        "::1/128",
        "::/128",
        "::ffff:0:0/96",
        "100::/64",
        "2001::/23",
        "2001:2::/48",
        "2001:db8::/32",
        "2001:10::/28",
        "fc00::/7",
        "fe80::/10",
    ];
    let ranges: &[&str] = if address.is_ipv4() { &V4 } else { &V6 };
    ranges
        .iter()
        .filter_map(|range| network(range))
        .any(|range| range.contains(address))
}

fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits = format!("{:032x}", u128::from(v6));
            let mut name: String = digits
                .chars()
                .rev()
                .flat_map(|digit| [digit, '.'])
                .collect();
            name.push_str("ip6.arpa");
            name
        }
    }
}
