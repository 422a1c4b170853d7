//! Grains: what a minion knows about its machine, by Salt's names.
//!
//! [`gather`] reads them through [`Observe`] alone, so the same code describes this
//! machine, another one's files below a directory and a test's machine in memory. Names,
//! types and values are those of Salt 3008.3 on Linux; what describes Salt's Python
//! (`pythonversion`, `pythonpath`, `saltpath`, `zmqversion`, …) has no counterpart here
//! and is left out, and so are `gpus` and what needs a kernel other than Linux.
//! `saltversion` is ours.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::system::Observe;
use crate::{fnmatch, yaml};

mod hardware;
mod init;
mod network;
mod os;
mod process;
mod virtualization;

pub use crate::system::{HostNames, host_names};
pub(crate) use network::{Addresses, routes4, routes6};

/// The version that `saltversion` names: that of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Gathers all grains.
///
/// `config` is the minion's configuration, Salt's `opts`, of which `id`, `master`,
/// `grains`, `grains_deep_merge`, `grains_blacklist` and `enable_fqdns_grains` matter.
/// `config_dir` holds the file `grains` that `grains.setval` writes.
///
/// What is set by hand wins over what was found: the file `grains` over the machine, the
/// configuration over the file. What cannot be found out is left out or has the value
/// that Salt gives it then; gathering never fails. Name servers are asked at most once,
/// for two seconds at most.
///
/// ```
/// use salt_proto::Map;
/// use salt_state::{FakeSystem, grains};
/// use std::path::Path;
///
/// let machine = FakeSystem::new()
///     .file("/etc/os-release", "ID=alpine\nNAME=\"Alpine Linux\"\nVERSION_ID=3.19.1\n")
///     .file("/etc/salt/grains", "role: web\n");
/// let config = Map::from([("id", "web-1")]);
///
/// let grains = grains::gather(&machine, &config, Path::new("/etc/salt"));
///
/// assert_eq!(grains.str("os_family"), Some("Alpine"));
/// assert_eq!(grains.str("id"), Some("web-1"));
/// assert_eq!(grains.str("role"), Some("web"));
/// ```
pub fn gather(machine: &dyn Observe, config: &Map, config_dir: &Path) -> Map {
    let mut grains = Map::new();
    network::gather(machine, config, &mut grains);
    process::gather(machine, config, &mut grains);
    os::gather(machine, &mut grains);
    init::gather(machine, &mut grains);
    hardware::gather(machine, &mut grains);
    virtualization::gather(machine, &mut grains);
    grains.insert("saltversion", VERSION);
    grains.insert(
        "saltversioninfo",
        VERSION
            .split(['.', '-'])
            .map(digits_or_text)
            .collect::<Value>(),
    );

    let deep = config.get("grains_deep_merge").is_some_and(Value::is_true);
    merge(&mut grains, of_file(machine, config_dir), deep);
    if let Some(set) = config.get("grains").and_then(Value::as_map) {
        merge(&mut grains, set.clone(), deep);
    }
    remove_unwanted(&mut grains, config.get("grains_blacklist"));
    grains
}

/// The grains in `<config_dir>/grains`. A file that is no mapping counts as empty, as
/// with Salt; it is logged.
pub(crate) fn of_file(machine: &dyn Observe, config_dir: &Path) -> Map {
    let path = config_dir.join("grains");
    let text = match machine.text(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Map::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the grains file");
            return Map::new();
        }
    };
    match yaml::load(&text) {
        Ok(Value::Map(map)) => map,
        Ok(Value::Null) => Map::new(),
        Ok(_) => {
            tracing::warn!(path = %path.display(), "the grains file is not a mapping");
            Map::new()
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "bad syntax in the grains file");
            Map::new()
        }
    }
}

/// Lays `above` over `below`, inside mappings too when `deep`.
fn merge(below: &mut Map, above: Map, deep: bool) {
    for (key, value) in above {
        match (below.get_value_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) if deep => merge(old, new, deep),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Takes out what the configuration does not want gathered (`grains_blacklist`).
fn remove_unwanted(grains: &mut Map, patterns: Option<&Value>) {
    let patterns: Vec<&str> = patterns
        .and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if !patterns.is_empty() {
        grains.retain(|key, _| {
            !key.as_str()
                .is_some_and(|key| patterns.iter().any(|pattern| fnmatch(key, pattern)))
        });
    }
}

/// A number where the text is one, as in `osrelease_info`.
fn digits_or_text(part: &str) -> Value {
    if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
        part.parse().map_or_else(|_| part.into(), Value::Int)
    } else {
        part.into()
    }
}

/// The text of a file of the kernel without the blanks around it, `None` when there is
/// none or it cannot be read.
fn line(machine: &dyn Observe, path: impl AsRef<Path>) -> Option<String> {
    let text = machine.text(path.as_ref()).ok()??;
    Some(
        text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
            .to_owned(),
    )
}

/// The text of a file, empty when there is none or it cannot be read.
fn text(machine: &dyn Observe, path: &str) -> String {
    machine
        .text(Path::new(path))
        .ok()
        .flatten()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
