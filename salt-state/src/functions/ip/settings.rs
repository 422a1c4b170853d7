//! From the arguments of `network.managed` to what stands in `/etc/network/interfaces`.

use std::net::{Ipv4Addr, Ipv6Addr};

use salt_proto::{Map, Value};

use crate::python;
use crate::registry::CallError;

use super::interfaces::{Entry, Family};

const KINDS: [&str; 11] = [
    "eth", "bond", "alias", "clone", "ipsec", "dialup", "bridge", "slave", "vlan", "pppoe",
    "source",
];
const METHODS: [&str; 6] = ["bootp", "dhcp", "static", "manual", "loopback", "ppp"];
const METHODS6: [&str; 7] = [
    "auto", "loopback", "static", "manual", "dhcp", "v4tunnel", "6to4",
];
const OFFLOADS: [&str; 8] = ["rx", "tx", "sg", "tso", "ufo", "gso", "gro", "lro"];
const MODES: [&str; 7] = [
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];
const SWITCH: &str = "yes|on|true|1|True|no|off|false|0|False";

fn wrong(text: impl Into<String>) -> CallError {
    CallError::exception("AttributeError", text)
}

/// Salt's complaint about an option.
pub(crate) fn invalid(name: &str, option: &str, expected: &str) -> CallError {
    wrong(format!(
        "Invalid option -- Interface: {name}, Option: {option}, Expected: [{expected}]"
    ))
}

/// What Salt takes for yes and for no.
pub(crate) fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Int(1) => Some(true),
        Value::Int(0) => Some(false),
        Value::Str(word) => match word.as_str() {
            "yes" | "on" | "true" | "1" => Some(true),
            "no" | "off" | "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn on_off(name: &str, option: &str, value: &Value) -> Result<&'static str, CallError> {
    match switch(value) {
        Some(true) => Ok("on"),
        Some(false) => Ok("off"),
        None => Err(invalid(name, option, SWITCH)),
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6
        && parts
            .iter()
            .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An address with the length of its network, if that is stated.
fn is_address<T: std::str::FromStr>(text: &str, bits: u32) -> bool {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    address.parse::<T>().is_ok()
        && length.is_none_or(|length| length.parse::<u32>().is_ok_and(|length| length <= bits))
}

fn is_netmask(text: &str) -> bool {
    if let Ok(length) = text.parse::<u32>() {
        return length <= 32;
    }
    text.parse::<Ipv4Addr>().is_ok_and(|mask| {
        let mask = u32::from(mask);
        mask.leading_ones() + mask.trailing_zeros() >= 32
    })
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<i64>().is_ok()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::List(all) => all.iter().map(python::str).collect(),
        one if one.is_true() => vec![python::str(one)],
        _ => Vec::new(),
    }
}

/// Whether a value may be that of an option; `six` for addresses of version 6.
fn fits(key: &str, value: &Value, six: bool) -> bool {
    if !value.is_true() || matches!(value, Value::List(_) | Value::Map(_)) {
        return false;
    }
    let text = python::str(value);
    match key {
        "address" | "gateway" if six => is_address::<Ipv6Addr>(&text, 128),
        "address" | "gateway" => is_address::<Ipv4Addr>(&text, 32),
        "netmask" if six => text.parse::<u32>().is_ok_and(|length| length <= 128),
        "netmask" => is_netmask(&text),
        "hwaddress" => is_mac(&text),
        "mtu" | "ttl" => is_number(&text),
        "metric" | "unit" | "leasetime" => !six && is_number(&text),
        "scope" => matches!(text.as_str(), "global" | "link" | "host"),
        "pointopoint" | "server" | "dstaddr" => !six && text.parse::<Ipv4Addr>().is_ok(),
        "local" | "endpoint" => text.parse::<Ipv4Addr>().is_ok(),
        "hostname" | "vendor" | "client" | "bootfile" | "provider" | "vlan-raw-device"
        | "wireless-mode" | "wpa-conf" | "wpa-key-mgmt" | "wpa-psk" | "wpa-ssid" => !six,
        "autoconf" => six && matches!(text.as_str(), "0" | "1"),
        "privext" | "accept_ra" => six && matches!(text.as_str(), "0" | "1" | "2"),
        _ => false,
    }
}

/// The option that an argument means.
fn meant(key: &str) -> &str {
    match key {
        "ipaddr" | "addr" => "address",
        "ipaddrs" | "addrs" => "addresses",
        "hwaddr" => "hwaddress",
        other => other,
    }
}

/// What the arguments say of an interface for one kind of addresses.
fn family(settings: &Map, method: &str, six: bool) -> Family {
    let mut family = Family::new(method);
    let (mut address, mut more) = (None, Vec::new());
    for (key, value) in settings {
        let key = python::str(key);
        let own = key.strip_prefix("ipv6");
        let key = match (own, six) {
            (Some(own), true) => meant(own),
            (Some(_), false) => continue,
            (None, _) => meant(&key),
        };
        // What is said for all is not said again where it is said for version 6.
        let is_four_only = matches!(key, "address" | "addresses" | "netmask" | "gateway");
        let overruled = || {
            let stated = format!("ipv6{key}");
            !key.ends_with("_cmds") && settings.contains_key(stated.as_str())
        };
        if six && own.is_none() && (is_four_only || overruled()) {
            continue;
        }
        if own.is_some() && key.ends_with("_cmds") {
            continue;
        }
        match key {
            "address" => {
                address = fits(key, value, six).then(|| python::str(value));
            }
            "addresses" => more.extend(texts(value)),
            "dns" => {
                let servers = texts(value);
                if !servers.is_empty() {
                    family.set("dns-nameservers", servers.join(" "));
                }
            }
            "options" => {
                for option in texts(value) {
                    family.set("options", option);
                }
            }
            "up_cmds" | "down_cmds" | "pre_up_cmds" | "post_up_cmds" | "pre_down_cmds"
            | "post_down_cmds" => {
                let hook = key.trim_end_matches("_cmds").replace('_', "-");
                for command in texts(value) {
                    family.set(&hook, command);
                }
            }
            key if fits(key, value, six) => family.set(key, python::str(value)),
            _ => {}
        }
    }
    for address in address.into_iter().chain(more) {
        family.set("address", address);
    }
    family
}

/// Settings of the hardware.
fn hardware(name: &str, settings: &Map, family: &mut Family) -> Result<(), CallError> {
    if let Some(value) = settings.get("autoneg") {
        family.set("ethernet-autoneg", on_off(name, "autoneg", value)?);
    }
    if let Some(value) = settings.get("duplex") {
        match value.as_str() {
            Some(word @ ("full" | "half")) => family.set("link-duplex", word),
            _ => return Err(invalid(name, "duplex", "full|half")),
        }
    }
    if let Some(value) = settings.get("speed") {
        let text = python::str(value);
        if !matches!(text.as_str(), "10" | "100" | "1000" | "10000") {
            return Err(invalid(name, &text, "10|100|1000|10000"));
        }
        // A number is looked at and not written, as are those of bridges and bonds.
        if value.as_str().is_some() {
            family.set("link-speed", text);
        }
    }
    for offload in OFFLOADS {
        if let Some(value) = settings.get(offload) {
            family.set(&format!("offload-{offload}"), on_off(name, offload, value)?);
        }
    }
    Ok(())
}

fn bridge(name: &str, settings: &Map, family: &mut Family) -> Result<(), CallError> {
    if let Some(ports) = settings.get("ports").map(texts) {
        let ports = ports.join(" ");
        if !ports.is_empty() {
            family.set("bridge_ports", ports);
        }
    }
    for key in ["ageing", "fd", "gcint", "hello", "maxage"] {
        let Some(value) = settings.get(key) else {
            continue;
        };
        let text = python::str(value);
        if text.trim().parse::<f64>().is_err() {
            return Err(invalid(name, key, "float"));
        }
        if value.as_str().is_some() {
            family.set(&format!("bridge_{key}"), text);
        }
    }
    if let Some(value) = settings.get("bridgeprio")
        && !matches!(value, Value::Int(_))
    {
        return Err(invalid(name, "bridgeprio", "integer"));
    }
    if let Some(value) = settings.get("hw") {
        match value.as_str().filter(|text| is_mac(text)) {
            Some(text) => family.set("bridge_hw", text),
            None => return Err(invalid(name, "hw", "valid MAC address")),
        }
    }
    for key in ["pathcost", "portprio"] {
        match settings.get(key) {
            None => {}
            Some(Value::Str(text)) => family.set(&format!("bridge_{key}"), text.as_str()),
            Some(other) => {
                return Err(wrong(format!(
                    "'{}' object has no attribute 'split'",
                    other.type_name()
                )));
            }
        }
    }
    for key in ["maxwait", "waitport"] {
        if let Some(Value::Str(text)) = settings.get(key) {
            family.set(&format!("bridge_{key}"), text.as_str());
        }
    }
    if let Some(value) = settings.get("stp") {
        family.set("bridge_stp", on_off(name, "stp", value)?);
    }
    Ok(())
}

/// An option of a bond; with whether it is written to the file of the interfaces too.
pub(crate) struct BondOption {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    is_text: bool,
}

/// The options of a bond in the order in which the kernel's module gets them.
///
/// # Errors
///
/// In Salt's words, for what is missing and for values that cannot be.
pub(crate) fn bond(name: &str, settings: &Map) -> Result<Vec<BondOption>, CallError> {
    let Some(mode) = settings.get("mode") else {
        return Err(CallError::exception("KeyError", "'mode'"));
    };
    let numbers = ["0", "1", "2", "3", "4", "5", "6"];
    let mode = mode.as_str().and_then(|mode| {
        let known = |names: &[&str]| names.iter().position(|known| *known == mode);
        known(&numbers).or_else(|| known(&MODES))
    });
    let Some(mode) = mode else {
        let expected = format!("{}|{}", numbers.join("|"), MODES.join("|"));
        return Err(invalid(name, "mode", &expected));
    };
    let mut all = Vec::new();
    let mut put = |key, value: String, is_text| {
        all.push(BondOption {
            key,
            value,
            is_text,
        });
    };
    put("mode", mode.to_string(), true);
    let number = |key: &str, default: &str| match settings.get(key) {
        None => Ok((default.to_owned(), true)),
        Some(value) if is_number(&python::str(value)) => {
            Ok((python::str(value), value.as_str().is_some()))
        }
        Some(_) => Err(invalid(name, key, "integer")),
    };
    if matches!(mode, 0 | 2) {
        let targets = settings.get("arp_ip_target").and_then(Value::as_list);
        let targets = targets.filter(|targets| (1..=16).contains(&targets.len()));
        let Some(targets) = targets else {
            return Err(invalid(name, "arp_ip_target", "list of ips (up to 16)"));
        };
        let targets: Vec<String> = targets.iter().map(python::str).collect();
        put("arp_ip_target", targets.join(","), true);
        let (value, is_text) = number("arp_interval", "250")?;
        put("arp_interval", value, is_text);
    } else {
        for (key, default) in [("miimon", "100"), ("downdelay", "200"), ("updelay", "0")] {
            let (value, is_text) = number(key, default)?;
            put(key, value, is_text);
        }
    }
    if mode == 4 {
        let rate = match settings.get("lacp_rate") {
            None => "0",
            Some(value) => match python::str(value).as_str() {
                "fast" | "1" => "1",
                "slow" | "0" => "0",
                _ => return Err(invalid(name, "lacp_rate", "fast|1|slow|0")),
            },
        };
        put("lacp_rate", rate.to_owned(), true);
        let select = settings.get("ad_select");
        let is_text = select.is_none_or(|select| select.as_str().is_some());
        put(
            "ad_select",
            select.map_or_else(|| "0".to_owned(), python::str),
            is_text,
        );
    }
    let primary = settings.get("primary");
    let primary = primary.map(|value| (python::str(value), value.as_str().is_some()));
    if let Some((value, is_text)) = primary.clone().filter(|_| mode == 1) {
        put("primary", value, is_text);
    }
    if !matches!(mode, 0 | 2) {
        let carrier = match settings.get("use_carrier") {
            None => "on",
            Some(value) => match switch(value) {
                Some(true) => "1",
                Some(false) => "0",
                None => return Err(invalid(name, "use_carrier", SWITCH)),
            },
        };
        put("use_carrier", carrier.to_owned(), true);
    }
    if let Some((value, is_text)) = primary.filter(|_| matches!(mode, 5 | 6)) {
        put("primary", value, is_text);
    }
    if matches!(mode, 2 | 4)
        && let Some(value) = settings.get("hashing-algorithm")
    {
        let known = ["layer2", "layer2+3", "layer3+4"];
        match value.as_str().filter(|word| known.contains(word)) {
            Some(word) => put("xmit_hash_policy", word.to_owned(), true),
            None => return Err(invalid(name, "hashing-algorithm", &known.join("|"))),
        }
    }
    Ok(all)
}

/// What shall be said of an interface.
///
/// # Errors
///
/// In Salt's words, for what is missing and for values that cannot be.
pub(crate) fn entry(
    name: &str,
    kind: &str,
    enabled: &Value,
    settings: &Map,
) -> Result<Entry, CallError> {
    let kind = kind.to_lowercase();
    if !KINDS.contains(&kind.as_str()) {
        return Err(invalid(name, &kind, &KINDS.join("|")));
    }
    let needs = |key: &str| settings.get(key).is_some();
    match kind.as_str() {
        "source" => return Err(CallError::exception("KeyError", "'source'")),
        "alias" | "clone" | "ipsec" | "dialup" => {
            return Err(CallError::exception(
                "UnboundLocalError",
                "cannot access local variable 'opts' where it is not associated with a value",
            ));
        }
        "slave" if !needs("master") => {
            return Err(wrong("master is a required setting for slave interfaces"));
        }
        "bond" if !needs("slaves") => {
            return Err(wrong("slaves is a required setting for bond interfaces"));
        }
        "bridge" if !needs("ports") => {
            return Err(wrong(
                "ports is a required setting for bridge interfaces on Debian or Ubuntu based systems",
            ));
        }
        _ => {}
    }
    let mut entry = Entry::named(name);
    entry.auto = enabled.is_true();
    entry.hotplug = settings.get("hotplug").is_some_and(Value::is_true);
    let method = match kind.as_str() {
        "slave" => "manual",
        _ => settings.str("proto").unwrap_or_default(),
    };
    let mut inet = family(settings, method, false);
    hardware(name, settings, &mut inet)?;
    match kind.as_str() {
        "vlan" => inet.set("vlan-raw-device", name.split('.').next().unwrap_or(name)),
        "slave" => {
            let master = settings.get("master").map(python::str);
            inet.set("bond-master", master.unwrap_or_default());
        }
        "bridge" => bridge(name, settings, &mut inet)?,
        "bond" => {
            for option in bond(name, settings)? {
                if option.is_text {
                    inet.set(&format!("bond-{}", option.key), option.value);
                }
            }
            let slaves = settings.get("slaves").map(texts).unwrap_or_default();
            inet.set("bond-slaves", slaves.join(" "));
        }
        _ => {}
    }
    if METHODS.contains(&method) {
        entry.inet = Some(inet);
    }
    let method6 = settings.str("ipv6proto").unwrap_or_default();
    if settings.get("enable_ipv6").is_some_and(Value::is_true) && METHODS6.contains(&method6) {
        entry.inet6 = Some(family(settings, method6, true));
    }
    Ok(entry)
}
