//! `/etc/network/interfaces`, as far as Salt keeps it: what it does not know of a file is
//! gone when it has written it.

use std::path::Path;

use salt_proto::Value;

use crate::context::Context;
use crate::files::source::os_error;
use crate::python;
use crate::registry::CallError;
use crate::system::{Observe, WriteOptions};

const FILE: &str = "/etc/network/interfaces";

/// What is known of an interface, in the order in which it is written.
const KNOWN: [&str; 36] = [
    "autoconf",
    "privext",
    "dhcp",
    "hwaddress",
    "vlan-raw-device",
    "address",
    "netmask",
    "metric",
    "gateway",
    "pointopoint",
    "scope",
    "hostname",
    "media",
    "leasetime",
    "vendor",
    "client",
    "bootfile",
    "server",
    "mode",
    "endpoint",
    "dstaddr",
    "local",
    "ttl",
    "mtu",
    "provider",
    "unit",
    "options",
    "dns-nameservers",
    "wireless-mode",
    "wpa-conf",
    "wpa-key-mgmt",
    "wpa-psk",
    "wpa-ssid",
    "accept_ra",
    "up",
    "down",
];

/// Commands that follow, in their order.
const HOOKS: [&str; 4] = ["pre-up", "post-up", "pre-down", "post-down"];

/// Settings of the hardware, which follow in the order of their names.
const HARDWARE: [&str; 16] = [
    "driver-message-level",
    "ethernet-autoneg",
    "ethernet-port",
    "ethernet-wol",
    "hardware-dma-ring-rx",
    "hardware-irq-coalesce-adaptive-rx",
    "link-duplex",
    "link-speed",
    "offload-gro",
    "offload-gso",
    "offload-lro",
    "offload-rx",
    "offload-sg",
    "offload-tso",
    "offload-tx",
    "offload-ufo",
];

/// What may be said several times.
const REPEATED: [&str; 8] = [
    "address",
    "options",
    "up",
    "down",
    "pre-up",
    "post-up",
    "pre-down",
    "post-down",
];

/// The name of an option as it is kept; `None` for what is not.
fn known(key: &str) -> Option<String> {
    for (prefix, kept) in [("bond", "bond-"), ("bridge", "bridge_")] {
        let rest = key
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix(['-', '_']));
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            return Some(format!("{kept}{rest}"));
        }
    }
    let is_known = KNOWN.contains(&key) || HOOKS.contains(&key) || HARDWARE.contains(&key);
    is_known.then(|| key.to_owned())
}

/// An interface for one kind of addresses.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// `static`, `dhcp`, …
    pub(crate) method: String,
    options: Vec<(String, String)>,
}

impl Family {
    pub(crate) fn new(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            options: Vec::new(),
        }
    }

    /// Sets an option, or adds to one that may be said several times.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        if !REPEATED.contains(&key) {
            self.options.retain(|(known, _)| known != key);
        }
        self.options.push((key.to_owned(), value.into()));
    }

    fn read(&mut self, key: &str, value: &str) {
        match key {
            "proto" => value.clone_into(&mut self.method),
            "addresses" => self.set(key, value),
            "dns-nameservers" => {
                let servers: Vec<&str> = value.split_whitespace().collect();
                self.set(key, servers.join(" "));
            }
            key => {
                if let Some(key) = known(key) {
                    self.set(&key, value);
                }
            }
        }
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let mut sorted: Vec<&(String, String)> = self.options.iter().collect();
        let place = |key: &str| {
            let (own, rest) = match key {
                "addresses" => ("address", key),
                key => (key, ""),
            };
            let fixed = KNOWN.iter().chain(&HOOKS).position(|known| *known == own);
            match fixed {
                Some(at) => (0, at, rest.to_owned()),
                None if HARDWARE.contains(&key) => (1, 0, key.to_owned()),
                None if key.starts_with("bond-") => (2, 0, key.to_owned()),
                None => (3, 0, key.to_owned()),
            }
        };
        sorted.sort_by_key(|(key, _)| place(key));
        sorted
            .into_iter()
            .map(|(key, value)| {
                let key = if key == "addresses" {
                    "address"
                } else {
                    key.as_str()
                };
                format!("    {key} {value}\n")
            })
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// An interface with all that is said of it.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// It comes up with the machine.
    pub(crate) auto: bool,
    /// It comes up when it is plugged in.
    pub(crate) hotplug: bool,
    pub(crate) inet: Option<Family>,
    pub(crate) inet6: Option<Family>,
}

impl Entry {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The lines of the file that say this, with their ends.
    fn lines(&self) -> Vec<String> {
        let name = &self.name;
        let mut lines = Vec::new();
        if self.auto {
            lines.push(format!("auto {name}\n"));
        }
        if self.hotplug {
            lines.push(format!("allow-hotplug {name}\n"));
        }
        for (word, family) in [("inet", &self.inet), ("inet6", &self.inet6)] {
            if let Some(family) = family {
                lines.push(format!("iface {name} {word} {}\n", family.method));
                lines.extend(family.lines());
            }
        }
        lines
    }

    /// The lines, and an empty one.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.push("\n".to_owned());
        lines
    }
}

/// The file, taken apart.
#[derive(Default)]
pub(crate) struct Interfaces(Vec<Entry>);

impl Interfaces {
    /// Reads the file; empty when there is none.
    ///
    /// # Errors
    ///
    /// For lines that are no lines of it.
    pub(crate) fn read(machine: &dyn Observe) -> Result<Self, CallError> {
        let text = machine.text(Path::new(FILE)).ok().flatten();
        let mut all = Self::default();
        // The stanza that lines belong to that are indented.
        let mut current: Option<(String, bool)> = None;
        for line in text.unwrap_or_default().lines() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            if line.starts_with(char::is_whitespace) {
                let Some((name, is_six)) = &current else {
                    continue;
                };
                let Some((key, value)) = line.trim().split_once(char::is_whitespace) else {
                    return Err(CallError::exception(
                        "ValueError",
                        "not enough values to unpack (expected 2, got 1)",
                    ));
                };
                let entry = all.entry(name);
                let family = if *is_six {
                    &mut entry.inet6
                } else {
                    &mut entry.inet
                };
                if let Some(family) = family {
                    family.read(key, value.trim());
                }
                continue;
            }
            current = None;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["iface", name, word, method] => {
                    let is_six = *word == "inet6";
                    let entry = all.entry(name);
                    let family = Some(Family::new(method));
                    match *word {
                        "inet" => entry.inet = family,
                        "inet6" => entry.inet6 = family,
                        _ => continue,
                    }
                    current = Some(((*name).to_owned(), is_six));
                }
                ["iface", ..] => {
                    let words: Value = words.iter().copied().collect();
                    return Err(CallError::exception(
                        "AttributeError",
                        format!("Interface file malformed: {}.", python::repr(&words)),
                    ));
                }
                ["auto", names @ ..] => {
                    for name in names {
                        all.entry(name).auto = true;
                    }
                }
                ["allow-hotplug", names @ ..] => {
                    for name in names {
                        all.entry(name).hotplug = true;
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        let at = self.0.iter().position(|entry| entry.name == name);
        let at = at.unwrap_or_else(|| {
            self.0.push(Entry::named(name));
            self.0.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.0[at]
    }

    /// The lines of an interface; none when nothing is said of its addresses.
    pub(crate) fn shown(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .find(|entry| entry.name == name)
            .filter(|entry| entry.inet.is_some() || entry.inet6.is_some())
            .map(Entry::shown)
            .unwrap_or_default()
    }

    /// Replaces what is said of an interface.
    pub(crate) fn put(&mut self, entry: Entry) {
        let name = entry.name.clone();
        *self.entry(&name) = entry;
    }

    /// Writes the file.
    pub(crate) fn write(&self, context: &Context<'_>) -> Result<(), CallError> {
        let text: String = self.0.iter().flat_map(Entry::lines).collect();
        put_file(context, FILE, &text, 0o644)
    }
}

/// Writes a file, with its mode if it is new.
pub(crate) fn put_file(
    context: &Context<'_>,
    path: &str,
    text: &str,
    mode: u32,
) -> Result<(), CallError> {
    let path = Path::new(path);
    let mut options = WriteOptions::new();
    if mode != 0o644 || !context.system.exists(path) {
        options = options.mode(mode);
    }
    if let Some(parent) = path.parent() {
        context
            .system
            .create_dir_all(parent, 0o755)
            .map_err(|error| os_error(error, parent))?;
    }
    context
        .system
        .write(path, text.as_bytes(), &options)
        .map_err(|error| os_error(error, path))
}
