//! Names, addresses, gateways and name servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use salt_proto::{Map, Value};

use crate::system::{Interface, InterfaceAddress, Observe, addresses_of, hosts_addresses};

use super::{host_names, text};

/// Where the resolver is configured: what is behind systemd's own comes first.
const RESOLVERS: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// How long a name server may take to say what our addresses are.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn gather(machine: &dyn Observe, config: &Map, grains: &mut Map) {
    let names = host_names(machine);
    grains.insert("localhost", machine.kernel().node);
    grains.insert("host", names.host.as_str());
    grains.insert("fqdn", names.fqdn.as_str());
    grains.insert("domain", names.domain.as_str());

    let interfaces = machine.interfaces().unwrap_or_default();
    let own = of_name(machine, &names.fqdn, !names.domain.is_empty());
    addresses(&interfaces, &own, grains);
    grains.insert("fqdns", other_names(machine, config, &interfaces));
    gateways(machine, grains);
    if RESOLVERS.iter().any(|path| machine.exists(Path::new(path))) {
        grains.insert("dns", resolver(machine));
    }
}

fn addresses(interfaces: &[Interface], own: &[IpAddr], grains: &mut Map) {
    let lists = |wanted: fn(&IpAddr) -> bool| -> Map {
        interfaces
            .iter()
            .map(|interface| {
                let list: Value = Addresses(interface)
                    .all()
                    .filter(wanted)
                    .map(|address| address.to_string())
                    .collect();
                (interface.name.as_str(), list)
            })
            .collect()
    };
    let hardware: Map = interfaces
        .iter()
        .filter_map(|one| Some((one.name.as_str(), one.hardware.as_deref()?)))
        .collect();
    grains.insert("ip_interfaces", lists(|_| true));
    grains.insert("ip4_interfaces", lists(IpAddr::is_ipv4));
    grains.insert("ip6_interfaces", lists(IpAddr::is_ipv6));
    grains.insert("hwaddr_interfaces", hardware);

    let mut all: Vec<IpAddr> = interfaces
        .iter()
        .flat_map(|one| Addresses(one).all())
        .collect();
    all.sort_unstable();
    all.dedup();
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.into_iter().partition(IpAddr::is_ipv4);
    let texts = |list: &[IpAddr]| list.iter().map(IpAddr::to_string).collect::<Value>();
    grains.insert("ipv4", texts(&v4));
    grains.insert("ipv6", texts(&v6));
    let (mut own4, mut own6): (Vec<IpAddr>, Vec<IpAddr>) =
        own.iter().copied().partition(IpAddr::is_ipv4);
    // Salt does not look for addresses of a family that no interface has.
    if v4.is_empty() {
        own4.clear();
    }
    if v6.is_empty() {
        own6.clear();
    }
    grains.insert("fqdn_ip4", texts(&own4));
    grains.insert("fqdn_ip6", texts(&own6));
}

/// The addresses of an interface in the order in which Salt lists them.
pub(crate) struct Addresses<'a>(pub(crate) &'a Interface);

impl<'a> Addresses<'a> {
    /// The addresses that are no aliases.
    pub(crate) fn primary(&self) -> impl Iterator<Item = &'a InterfaceAddress> + use<'a> {
        self.0.addresses.iter().filter(|one| !is_alias(one))
    }

    /// The addresses that were added to a network the interface was in already.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &'a InterfaceAddress> + use<'a> {
        self.0.addresses.iter().filter(|one| is_alias(one))
    }

    /// First IPv4, then IPv6, then aliases.
    pub(crate) fn all(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let v4 = self.primary().filter(|one| one.address.is_ipv4());
        let v6 = self.primary().filter(|one| one.address.is_ipv6());
        v4.chain(v6).chain(self.aliases()).map(|one| one.address)
    }
}

/// For IPv6 the same flag of the kernel means a temporary address, which is none.
fn is_alias(address: &InterfaceAddress) -> bool {
    address.secondary && address.address.is_ipv4()
}

/// The addresses of our own name: the hosts file's first of each family, else what the
/// name service knows when `ask`.
fn of_name(machine: &dyn Observe, name: &str, ask: bool) -> Vec<IpAddr> {
    let mut found = hosts_addresses(machine, name);
    if found.is_empty() && ask {
        return addresses_of(machine, name, PATIENCE);
    }
    let first = |wanted: fn(&IpAddr) -> bool| found.iter().copied().find(wanted);
    let (v4, v6) = (first(IpAddr::is_ipv4), first(IpAddr::is_ipv6));
    found.clear();
    found.extend(v4);
    found.extend(v6);
    found
}

/// All names of our addresses. Off unless configured, as in Salt; and then only those of
/// the hosts file, since a question for each address can take minutes.
fn other_names(machine: &dyn Observe, config: &Map, interfaces: &[Interface]) -> Value {
    if !config
        .get("enable_fqdns_grains")
        .is_some_and(Value::is_true)
    {
        return Value::List(Vec::new());
    }
    let own: Vec<IpAddr> = interfaces
        .iter()
        .flat_map(|one| Addresses(one).all())
        .filter(|address| !address.is_loopback())
        .collect();
    let mut names: Vec<String> = crate::system::hosts(machine)
        .into_iter()
        .filter(|(address, _)| own.contains(address))
        .flat_map(|(_, names)| names)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().collect()
}

/// Where packets go that no other route takes: the gateway of the best such route,
/// `true` for a route without one, `false` when there is none.
fn gateways(machine: &dyn Observe, grains: &mut Map) {
    let v4 = routes4(machine)
        .into_iter()
        .filter(|route| leads_somewhere(route.flags))
        .filter(|route| route.destination.is_unspecified() && route.mask.is_unspecified())
        .min_by_key(|route| route.metric)
        .map(|route| IpAddr::from(route.gateway));
    let v6 = routes6(machine)
        .into_iter()
        .filter(|route| leads_somewhere(route.flags))
        .filter(|route| route.destination.is_unspecified() && route.prefix == 0)
        .min_by_key(|route| route.metric)
        .map(|route| IpAddr::from(route.gateway));
    let value = |gateway: Option<IpAddr>| match gateway {
        Some(gateway) if gateway.is_unspecified() => Value::Bool(true),
        Some(gateway) => gateway.to_string().into(),
        None => Value::Bool(false),
    };
    grains.insert("ip_gw", v4.is_some() || v6.is_some());
    grains.insert("ip4_gw", value(v4));
    grains.insert("ip6_gw", value(v6));
}

/// A line of the kernel's IPv4 table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route4 {
    pub(crate) interface: String,
    pub(crate) destination: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) mask: Ipv4Addr,
    pub(crate) flags: u32,
    pub(crate) metric: u32,
}

/// A line of the kernel's IPv6 table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route6 {
    pub(crate) interface: String,
    pub(crate) destination: Ipv6Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Ipv6Addr,
    pub(crate) flags: u32,
    pub(crate) metric: u32,
}

/// By the flags of `linux/route.h`: in use, and not refusing.
fn leads_somewhere(flags: u32) -> bool {
    const UP: u32 = 0x1;
    const REJECT: u32 = 0x200;
    flags & UP != 0 && flags & REJECT == 0
}

/// `/proc/net/route`: addresses in hex as the machine stores them.
pub(crate) fn routes4(machine: &dyn Observe) -> Vec<Route4> {
    let address = |word: &str| {
        let number = u32::from_str_radix(word, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            interface,
            destination,
            gateway,
            flags,
            _,
            _,
            metric,
            mask,
            ..,
        ] = *words
        else {
            return None;
        };
        Some(Route4 {
            interface: interface.to_owned(),
            destination: address(destination)?,
            gateway: address(gateway)?,
            mask: address(mask)?,
            flags: u32::from_str_radix(flags, 16).ok()?,
            metric: metric.parse().ok()?,
        })
    };
    text(machine, "/proc/net/route")
        .lines()
        .skip(1)
        .filter_map(route)
        .collect()
}

/// `/proc/net/ipv6_route`: addresses as 32 digits.
pub(crate) fn routes6(machine: &dyn Observe) -> Vec<Route6> {
    let address = |word: &str| u128::from_str_radix(word, 16).ok().map(Ipv6Addr::from);
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            destination,
            prefix,
            _,
            _,
            gateway,
            metric,
            _,
            _,
            flags,
            interface,
        ] = *words
        else {
            return None;
        };
        Some(Route6 {
            interface: interface.to_owned(),
            destination: address(destination)?,
            prefix: u8::from_str_radix(prefix, 16).ok()?,
            gateway: address(gateway)?,
            flags: u32::from_str_radix(flags, 16).ok()?,
            metric: u32::from_str_radix(metric, 16).ok()?,
        })
    };
    text(machine, "/proc/net/ipv6_route")
        .lines()
        .filter_map(route)
        .collect()
}

/// The resolver's configuration: that behind systemd's own, if it runs, else
/// `/etc/resolv.conf`.
pub(crate) fn resolver(machine: &dyn Observe) -> Map {
    let path = RESOLVERS
        .into_iter()
        .find(|path| machine.exists(Path::new(path)))
        .unwrap_or_default();
    let (mut servers, mut sort, mut search, mut options) = (vec![], vec![], vec![], vec![]);
    let mut domain = String::new();
    for line in text(machine, path).lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace().map(str::to_owned);
        let keyword = words.next().map(|word| word.to_ascii_lowercase());
        match keyword.as_deref() {
            Some("nameserver") => {
                let server = words.next().and_then(|word| {
                    let plain = word.split('%').next()?.parse::<IpAddr>().ok()?;
                    Some((word, plain))
                });
                servers.extend(server.filter(|one| !servers.contains(one)));
            }
            Some("domain") => domain = words.next().unwrap_or_default(),
            Some("search") => search = words.collect(),
            Some("sortlist") => sort.extend(words.filter_map(|word| network(&word))),
            // Salt takes one option of a line.
            Some("options") => options.extend(words.next().filter(|one| !options.contains(one))),
            _ => {}
        }
    }
    let of = |wanted: fn(&IpAddr) -> bool| -> Value {
        servers
            .iter()
            .filter(|(_, address)| wanted(address))
            .map(|(word, _)| word.as_str())
            .collect()
    };
    Map::from([
        ("nameservers", of(|_| true)),
        ("ip4_nameservers", of(IpAddr::is_ipv4)),
        ("ip6_nameservers", of(IpAddr::is_ipv6)),
        ("sortlist", sort.into_iter().collect()),
        ("domain", domain.into()),
        ("search", search.into_iter().collect()),
        ("options", options.into_iter().collect()),
    ])
}

/// An address of `sortlist` with its mask, `10.0.0.0/255.0.0.0`: the stated one, else the
/// natural one of its class, resolv.conf(5).
fn network(word: &str) -> Option<String> {
    let (address, mask) = match word.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (word, None),
    };
    let address: Ipv4Addr = address.parse().ok()?;
    let of_length = |length: u32| {
        let bits = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
        Ipv4Addr::from(bits)
    };
    let mask = match mask {
        Some(mask) => match mask.parse::<u32>() {
            Ok(length) if length <= 32 => of_length(length),
            _ => mask.parse().ok()?,
        },
        None => match address.octets() {
            [..128, _, _, _] => of_length(8),
            [128..192, _, _, _] => of_length(16),
            _ => of_length(24),
        },
    };
    Some(format!("{address}/{mask}"))
}
