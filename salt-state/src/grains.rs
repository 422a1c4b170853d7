//! Grains: what a minion knows about its machine, by Salt's names.
//!
//! [`gather`] reads them through [`Observe`] alone, so the same code describes this
//! machine, another one's files below a directory and a test's machine in memory. Names,
//! types and values are those of Salt 3008.3 on Linux; what describes Salt's Python
//! (`pythonversion`, `pythonpath`, `saltpath`, `zmqversion`, …) has no counterpart here
//! and is left out, and so is what needs a kernel other than Linux.
//!
//! `saltversion` and `saltversioninfo` name the release of Salt whose behaviour is
//! followed, since templates compare them to choose between old and new ways
//! ([`salt_release`]); our own version is the grain `salt_rs_version`.

use std::path::Path;
use std::sync::Arc;

use salt_proto::target::Release;
use salt_proto::{Map, Value};

use crate::system::Observe;
use crate::{fnmatch, yaml};

mod firmware;
mod graphics;
mod hardware;
mod init;
mod late;
mod network;
mod os;
mod process;
mod virtualization;

pub use crate::system::{HostNames, host_names};
pub use late::Grains;
pub(crate) use network::{Addresses, routes4, routes6};

/// The version of this crate, the grain `salt_rs_version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The release of Salt that is followed where the configuration names no other one.
pub const SALT_RELEASE: &str = "3008.3";

/// The release of Salt whose behaviour is followed: `salt_release` of the configuration,
/// a line of releases (`3006`) or one release (`3006.27`); default [`SALT_RELEASE`].
///
/// A line stands for the release of it that we are compared with: 3006.27, 3007.15 or
/// 3008.3. What begins with no number is ignored.
///
/// ```
/// use salt_proto::Map;
/// use salt_state::grains::salt_release;
///
/// assert_eq!(salt_release(&Map::new()), "3008.3");
/// assert_eq!(salt_release(&Map::from([("salt_release", 3006)])), "3006.27");
/// assert_eq!(salt_release(&Map::from([("salt_release", "3007.4")])), "3007.4");
/// ```
pub fn salt_release(config: &Map) -> String {
    let stated = match config.get("salt_release") {
        Some(Value::Str(text)) => text.trim().to_owned(),
        Some(number @ (Value::Int(_) | Value::Float(_))) => crate::python::str(number),
        _ => String::new(),
    };
    match stated.as_str() {
        "3006" => "3006.27".to_owned(),
        "3007" => "3007.15".to_owned(),
        "3008" => SALT_RELEASE.to_owned(),
        text if text.starts_with(|first: char| first.is_ascii_digit()) => stated,
        _ => SALT_RELEASE.to_owned(),
    }
}

/// The rules of which line of releases are followed; see [`salt_release`].
pub fn followed(config: &Map) -> Release {
    let release = salt_release(config);
    match release.split('.').next().unwrap_or_default().parse() {
        Ok(..=3006) => Release::V3006,
        Ok(3007) => Release::V3007,
        _ => Release::V3008,
    }
}

/// Gathers all grains.
///
/// `config` is the minion's configuration, Salt's `opts`, of which `id`, `master`,
/// `grains`, `grains_deep_merge`, `grains_blacklist`, `enable_fqdns_grains`,
/// `enable_gpu_grains` and `salt_release` matter.
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
    let mut found = of_files(machine, config);
    add_asked(machine, config, &mut found);
    completed(found, of_file(machine, config_dir), config)
}

/// The same grains, of which those that another program has to be run for (`dpkg`,
/// `lspci`, `systemctl`, `systemd-detect-virt`) are found out when they are needed.
///
/// With `grains_deep_merge` everything is found out at once.
pub fn gather_lazily(machine: Arc<dyn Observe>, config: &Map, config_dir: &Path) -> Grains {
    if config.get("grains_deep_merge").is_some_and(Value::is_true) {
        return gather(&*machine, config, config_dir).into();
    }
    let found = of_files(&*machine, config);
    let mut early = found.clone();
    drop_absent(&mut early);
    let by_hand = of_file(&*machine, config_dir);
    let known = completed(early, by_hand.clone(), config);
    let settings: Map = ["enable_gpu_grains", "grains", "grains_blacklist"]
        .into_iter()
        .filter_map(|name| Some((name, config.get(name)?.clone())))
        .collect();
    Grains::with_late(known, move || {
        let mut found = found.clone();
        add_asked(&*machine, &settings, &mut found);
        completed(found, by_hand.clone(), &settings)
    })
}

/// What files and the kernel tell; `None` stands in the places of what [`add_asked`] adds.
fn of_files(machine: &dyn Observe, config: &Map) -> Map {
    let mut grains = Map::with_capacity(128);
    network::gather(machine, config, &mut grains);
    process::gather(machine, config, &mut grains);
    os::gather(machine, &mut grains);
    init::gather(machine, &mut grains);
    hardware::gather(machine, &mut grains);
    firmware::gather(machine, &mut grains);
    for name in ["num_gpus", "gpus", "virtual", "virtual_subtype"] {
        grains.insert(name, ());
    }
    let release = salt_release(config);
    grains.insert(
        "saltversioninfo",
        release.split('.').map(digits_or_text).collect::<Value>(),
    );
    grains.insert("saltversion", release);
    grains.insert("salt_rs_version", VERSION);
    grains
}

/// What programs tell.
fn add_asked(machine: &dyn Observe, config: &Map, grains: &mut Map) {
    os::add_asked(machine, grains);
    init::add_asked(machine, grains);
    graphics::add_asked(machine, config, grains);
    virtualization::add_asked(machine, grains);
    drop_absent(grains);
}

/// Takes out the places of late grains that nothing was put into.
fn drop_absent(grains: &mut Map) {
    grains.retain(|name, value| {
        !value.is_null() || !name.as_str().is_some_and(|name| late::LATE.contains(&name))
    });
}

/// Adds what was set by hand, in the file `grains` and then in the configuration, and takes
/// out what is not wanted.
fn completed(mut grains: Map, by_hand: Map, config: &Map) -> Map {
    let deep = config.get("grains_deep_merge").is_some_and(Value::is_true);
    merge(&mut grains, by_hand, deep);
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
mod recorded;
#[cfg(test)]
mod tests;
