//! Filters on network addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use num_bigint::BigInt;

use crate::jinja::filters::Builtin;
use crate::jinja::value::{Args, Dict, Key, Value, repr_str};
use crate::jinja::{Error, Result, Runtime, access};

use super::class_of;

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "is_ip" => |_, args| is_address(args, "is_ip_filter", None),
        "is_ipv4" => |_, args| is_address(args, "is_ipv4_filter", Some(4)),
        "is_ipv6" => |_, args| is_address(args, "is_ipv6_filter", Some(6)),
        "ipaddr" => |rt, args| select(rt, args, "ipaddr", None),
        "ipv4" => |rt, args| select(rt, args, "ipv4", Some(4)),
        "ipv6" => |rt, args| select(rt, args, "ipv6", Some(6)),
        "ip_host" => |rt, args| {
            let [value, options, version] = three(args, "ip_host")?;
            each(rt, &value, &options, version, &|_, found| {
                Ok(Value::text(found.with_prefix()))
            })
        },
        "network_hosts" => |rt, args| {
            let [value, options, version] = three(args, "network_hosts")?;
            each(rt, &value, &options, version, &|rt, found| found.hosts(rt))
        },
        "network_size" => |rt, args| {
            let [value, options, version] = three(args, "network_size")?;
            each(rt, &value, &options, version, &|_, found| Ok(found.size()))
        },
        "ipwrap" => |rt, args| {
            let [data] = args.bind("ipwrap", ["data"], 1)?;
            let data = data.unwrap_or_default();
            if matches!(data, Value::List(_) | Value::Tuple(_) | Value::Set(_)) {
                let wrapped = data.items(rt)?;
                let wrapped = wrapped.into_iter().map(wrap);
                return wrapped.collect::<Result<_>>().map(Value::list);
            }
            wrap(data)
        },
        "filter_by_networks" => filter_by_networks,
        "mac_str_to_bytes" => |_, args| {
            let [mac] = args.bind("mac_str_to_bytes", ["mac_str"], 1)?;
            let mac = mac.unwrap_or_default();
            if matches!(
                mac,
                Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)
            ) {
                let name = mac.type_name();
                return Err(Error::type_error(format!(
                    "object of type '{name}' has no len()"
                )));
            }
            let text = mac.str()?;
            let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
            let valid = matches!(text.len(), 12 | 17) && digits.len() == 12;
            let bytes: Option<Vec<u8>> = (0..6)
                .map(|at| u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok())
                .collect();
            match bytes {
                Some(bytes) if valid => Ok(Value::Bytes(bytes.into())),
                _ => Err(Error::value_error("Invalid MAC address")),
            }
        },
        _ => return None,
    })
}

fn not_an_address(value: &Value) -> Error {
    let shown = value.repr().unwrap_or_default();
    Error::value_error(format!(
        "{shown} does not appear to be an IPv4 or IPv6 address"
    ))
}

/// An IPv6 address between brackets; anything else as it is.
fn wrap(value: Value) -> Result<Value> {
    match Interface::parse(&value) {
        Some(found) if found.version() == 6 => match found.prefix {
            None => Ok(Value::text(format!("[{}]", found.text()))),
            Some(_) => Err(not_an_address(&value)),
        },
        _ => match value {
            Value::Undefined(undefined) => Err(undefined.error()),
            value => Ok(value),
        },
    }
}

/// An address as Python's `ipaddress` reads it, a scope allowed.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(address));
    }
    let plain = match text.split_once('%') {
        Some((plain, scope)) if !scope.is_empty() && !scope.contains('%') => plain,
        Some(_) => return None,
        None => text,
    };
    plain.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// An address with an optional prefix.
#[derive(Clone, Debug)]
struct Interface {
    address: IpAddr,
    scope: String,
    prefix: Option<u8>,
}

impl Interface {
    fn parse(value: &Value) -> Option<Self> {
        let text = match value {
            Value::Str(text) => text.clone(),
            Value::Int(n) => {
                let address = match u32::try_from(*n) {
                    Ok(n) => IpAddr::V4(Ipv4Addr::from(n)),
                    Err(_) => IpAddr::V6(Ipv6Addr::from(u128::try_from(*n).ok()?)),
                };
                return Some(Self {
                    address,
                    scope: String::new(),
                    prefix: None,
                });
            }
            _ => return None,
        };
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (&*text, None),
        };
        let address = parse_address(host)?;
        let scope = host.split_once('%').map_or("", |(_, scope)| scope);
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => None,
            Some(text) => Some(parse_prefix(text, address.is_ipv4()).filter(|p| *p <= most)?),
        };
        Some(Self {
            address,
            scope: scope.to_owned(),
            prefix,
        })
    }

    fn version(&self) -> i64 {
        if self.address.is_ipv4() { 4 } else { 6 }
    }

    fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn number(&self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    fn address_of(&self, number: u128) -> String {
        match self.address {
            IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(0)).to_string(),
            IpAddr::V6(_) => ipv6_text(Ipv6Addr::from(number)),
        }
    }

    fn text(&self) -> String {
        let address = self.address_of(self.number());
        let scope = if self.scope.is_empty() {
            String::new()
        } else {
            format!("%{}", self.scope)
        };
        match self.prefix {
            Some(prefix) => format!("{address}{scope}/{prefix}"),
            None => format!("{address}{scope}"),
        }
    }

    fn with_prefix(&self) -> String {
        let prefix = self.prefix.unwrap_or_else(|| self.bits());
        Self {
            prefix: Some(prefix),
            ..self.clone()
        }
        .text()
    }

    /// The first and last address of the network.
    fn range(&self) -> (u128, u128) {
        let free = self.bits() - self.prefix.unwrap_or_else(|| self.bits());
        let mask = if free >= 128 {
            u128::MAX
        } else {
            (1 << free) - 1
        };
        (self.number() & !mask, self.number() | mask)
    }

    fn size(&self) -> Value {
        let (first, last) = self.range();
        Value::int(BigInt::from(last - first) + 1)
    }

    /// The addresses hosts can have.
    fn hosts(&self, rt: &Runtime<'_>) -> Result<Value> {
        let (mut first, mut last) = self.range();
        // A network of one or two addresses has no network address; IPv6 has
        // no broadcast address.
        if last - first > 1 {
            first += 1;
            if self.address.is_ipv4() {
                last -= 1;
            }
        }
        let count = usize::try_from(last - first).unwrap_or(usize::MAX);
        rt.charge(count)?;
        let hosts = (first..=last).map(|number| Value::text(self.address_of(number)));
        Ok(Value::list(hosts.collect()))
    }

    fn is_in(&self, networks: &[(&str, u8)]) -> bool {
        networks.iter().any(|(network, prefix)| {
            let network = Self {
                address: network.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                scope: String::new(),
                prefix: Some(*prefix),
            };
            network.contains(self)
        })
    }

    fn contains(&self, other: &Self) -> bool {
        let (first, last) = self.range();
        self.version() == other.version() && (first..=last).contains(&other.number())
    }

    /// Whether it has a property that a filter's option names; options that
    /// are not known ask for nothing.
    fn has(&self, option: &str) -> bool {
        let v4 = self.address.is_ipv4();
        match option {
            "private" => self.is_private(),
            "public" | "global" => !self.is_private(),
            "loopback" => self.is_in(&[("127.0.0.0", 8), ("::1", 128)]),
            "multicast" => self.is_in(&[("224.0.0.0", 4), ("ff00::", 8)]),
            "link-local" | "link_local" | "linklocal" => {
                self.is_in(&[("169.254.0.0", 16), ("fe80::", 10)])
            }
            "unspecified" => self.is_in(&[("0.0.0.0", 32), ("::", 128)]),
            "reserved" if v4 => self.is_in(&[("240.0.0.0", 4)]),
            "reserved" => self.is_in(&[
                ("::", 8),
                ("100::", 8),
                ("200::", 7),
                ("400::", 6),
                ("800::", 5),
                ("1000::", 4),
                ("4000::", 3),
                ("6000::", 3),
                ("8000::", 3),
                ("a000::", 3),
                ("c000::", 3),
                ("e000::", 4),
                ("f000::", 5),
                ("f800::", 6),
                ("fe00::", 9),
            ]),
            "site_local" | "site-local" => !v4 && self.is_in(&[("fec0::", 10)]),
            _ => true,
        }
    }

    /// The private networks of Python 3.11's `ipaddress`.
    fn is_private(&self) -> bool {
        if let IpAddr::V6(address) = self.address
            && let Some(mapped) = address.to_ipv4_mapped()
        {
            let mapped = Self {
                address: IpAddr::V4(mapped),
                scope: String::new(),
                prefix: None,
            };
            return mapped.is_private();
        }
        self.is_in(&[
            ("0.0.0.0", 8),
            ("10.0.0.0", 8),
            ("127.0.0.0", 8),
            ("169.254.0.0", 16),
            ("172.16.0.0", 12),
            ("192.0.0.0", 29),
            ("192.0.0.170", 31),
            ("192.0.2.0", 24),
            ("192.168.0.0", 16),
            ("198.18.0.0", 15),
            ("198.51.100.0", 24),
            ("203.0.113.0", 24),
            ("240.0.0.0", 4),
            ("255.255.255.255", 32),
            ("::1", 128),
            ("::", 128),
            ("::ffff:0:0", 96),
            ("100::", 64),
            ("2001::", 23),
            ("2001:2::", 48),
            ("2001:db8::", 32),
            ("2001:10::", 28),
            ("fc00::", 7),
            ("fe80::", 10),
        ])
    }
}

fn parse_prefix(text: &str, v4: bool) -> Option<u8> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return text.parse().ok();
    }
    if !v4 {
        return None;
    }
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let (ones, zeros) = (mask.leading_ones(), mask.leading_zeros());
    if ones + mask.trailing_zeros() == 32 || mask == u32::MAX {
        return u8::try_from(ones).ok();
    }
    // A host mask counts from the other end.
    (zeros + mask.trailing_ones() == 32).then(|| u8::try_from(zeros).ok())?
}

/// The text of an IPv6 address, always in hexadecimal groups.
fn ipv6_text(address: Ipv6Addr) -> String {
    let groups = address.segments();
    let (mut best, mut best_len) = (0, 0);
    let mut at = 0;
    while at < groups.len() {
        let len = groups
            .iter()
            .skip(at)
            .take_while(|group| **group == 0)
            .count();
        if len > best_len {
            (best, best_len) = (at, len);
        }
        at += len.max(1);
    }
    let join = |part: &[u16]| -> String {
        let texts: Vec<String> = part.iter().map(|group| format!("{group:x}")).collect();
        texts.join(":")
    };
    if best_len < 2 {
        return join(&groups);
    }
    let head = groups.get(..best).unwrap_or_default();
    let tail = groups.get(best + best_len..).unwrap_or_default();
    format!("{}::{}", join(head), join(tail))
}

fn options_of(options: Option<Value>) -> Result<Vec<String>> {
    match options {
        None | Some(Value::None) => Ok(Vec::new()),
        Some(options) => {
            let text = options.str()?;
            Ok(text
                .split(',')
                .map(|option| option.trim().to_owned())
                .collect())
        }
    }
}

fn is_address(args: Args, function: &str, version: Option<i64>) -> Result<Value> {
    let [value, options] = args.bind(function, ["ip_addr", "options"], 1)?;
    let value = value.unwrap_or_default();
    if let Value::Undefined(undefined) = &value {
        return Err(undefined.error());
    }
    let options = options_of(options)?;
    let found = Interface::parse(&value).filter(|found| {
        version.is_none_or(|version| version == found.version())
            && options.iter().all(|option| found.has(option))
    });
    Ok(Value::Bool(found.is_some()))
}

fn three(args: Args, function: &str) -> Result<[Value; 3]> {
    let [value, options, version] = args.bind(function, ["value", "options", "version"], 1)?;
    Ok([value, options, version].map(Option::unwrap_or_default))
}

/// Values that are addresses, of a version and with properties.
fn select(rt: &Runtime<'_>, args: Args, function: &str, version: Option<i64>) -> Result<Value> {
    let [value, options] = args.bind(function, ["value", "options"], 1)?;
    let value = value.unwrap_or_default();
    let options = options_of(options)?;
    let keep = |item: &Value, version: i64| {
        Interface::parse(item).filter(|found| {
            found.version() == version && options.iter().all(|option| found.has(option))
        })
    };
    let versions: &[i64] = match version {
        Some(4) => &[4],
        Some(_) => &[6],
        None => &[4, 6],
    };
    if matches!(value, Value::List(_) | Value::Tuple(_) | Value::Set(_)) {
        let items = value.items(rt)?;
        let mut kept = Vec::new();
        for version in versions {
            let found = items.iter().filter_map(|item| keep(item, *version));
            kept.extend(found.map(|found| Value::text(found.text())));
        }
        return Ok(Value::list(kept));
    }
    let found = versions.iter().find_map(|version| keep(&value, *version));
    Ok(found.map_or(Value::None, |found| Value::text(found.text())))
}

/// Computes something for a network, or for each of a list.
fn each(
    rt: &Runtime<'_>,
    value: &Value,
    options: &Value,
    version: Value,
    compute: &dyn Fn(&Runtime<'_>, &Interface) -> Result<Value>,
) -> Result<Value> {
    let options = options_of(Some(options.clone()))?;
    let version = version.as_index();
    let keep = |item: &Value, wanted: i64| {
        Interface::parse(item).filter(|found| {
            found.version() == wanted
                && version.is_none_or(|version| version == wanted)
                && options.iter().all(|option| found.has(option))
        })
    };
    if matches!(value, Value::List(_) | Value::Tuple(_) | Value::Set(_)) {
        let items = value.items(rt)?;
        let mut all = Vec::new();
        for version in [4, 6] {
            for found in items.iter().filter_map(|item| keep(item, version)) {
                all.push(compute(rt, &found)?);
            }
        }
        return Ok(Value::list(all));
    }
    // A number among others is an IPv4 address, one alone is not.
    let alone = matches!(value, Value::Int(_) | Value::Big(_));
    let found = if alone { None } else { keep(value, 4) };
    match found.or_else(|| keep(value, 6)) {
        Some(found) => compute(rt, &found),
        None => Ok(Value::None),
    }
}

fn filter_by_networks(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [values, networks] = args.bind("filter_by_networks", ["values", "networks"], 2)?;
    let (values, networks) = (values.unwrap_or_default(), networks.unwrap_or_default());
    if networks.is_none() {
        return Ok(values);
    }
    let mut parsed = Vec::new();
    for network in networks.items(rt)? {
        let found = Interface::parse(&network).ok_or_else(|| {
            let text = network.str().unwrap_or_default();
            Error::value_error(format!(
                "{} does not appear to be an IPv4 or IPv6 network",
                repr_str(&text)
            ))
        })?;
        parsed.push(found);
    }
    let filter = |value: &Value| -> Result<Value> {
        let mut kept = Vec::new();
        for item in value.items(rt)? {
            let address = Interface::parse(&item).filter(|found| found.prefix.is_none());
            let Some(address) = address else {
                return Err(not_an_address(&item));
            };
            if parsed.iter().any(|network| network.contains(&address)) {
                kept.push(item);
            }
        }
        Ok(Value::list(kept))
    };
    if let Some(entries) = access::mapping_entries(rt, &values)? {
        let dict = Dict::new();
        for (key, value) in entries {
            dict.insert(Key::new(key)?, filter(&value)?);
        }
        return Ok(Value::Dict(dict));
    }
    let object = matches!(values, Value::Object(_));
    if !object && crate::jinja::checks::is_iterable(rt, &values) {
        return filter(&values);
    }
    Err(Error::value_error(format!(
        "Do not know how to filter a {}",
        class_of(&values)
    )))
}
