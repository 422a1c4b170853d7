//! As whom and how we run, and what we were configured to be.

use std::time::UNIX_EPOCH;

use salt_proto::{Map, Value};
use sha2::{Digest, Sha256};

use crate::system::Observe;
use crate::zone::Zone;

use super::line;

pub(super) fn gather(machine: &dyn Observe, config: &Map, grains: &mut Map) {
    let identity = machine.identity();
    grains.insert("cwd", identity.cwd.to_string_lossy().into_owned());
    grains.insert("pid", identity.pid);
    grains.insert("uid", identity.uid);
    grains.insert("gid", identity.gid);
    let user = machine.user_by_id(identity.uid).ok().flatten();
    let group = user.as_ref().map_or(identity.gid, |user| user.gid);
    let group = machine.group_by_id(group).ok().flatten();
    grains.insert(
        "username",
        user.map_or_else(|| identity.uid.to_string(), |user| user.name),
    );
    grains.insert(
        "groupname",
        group.map(|group| group.name).unwrap_or_default(),
    );

    let variable = |name: &str| {
        machine
            .env(name)
            .map(|value| value.to_string_lossy().into_owned())
    };
    let path = variable("PATH").unwrap_or_default().trim().to_owned();
    grains.insert("systempath", path.split(':').collect::<Value>());
    grains.insert("path", path);
    grains.insert(
        "shell",
        variable("SHELL").unwrap_or_else(|| "/bin/sh".to_owned()),
    );
    grains.insert("ps", "ps -efHww");
    grains.insert("locale_info", locale(machine));

    let machine_id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .find_map(|path| line(machine, path).filter(|id| !id.is_empty()));
    if let Some(id) = machine_id {
        grains.insert("machine_id", id);
    }
    let id = config.str("id").unwrap_or_default();
    grains.insert("id", id);
    grains.insert("server_id", server_id(id));
    grains.insert(
        "master",
        config.get("master").cloned().unwrap_or_else(|| "".into()),
    );
}

/// A number that stays the same for an id: the last 31 bits of its SHA-256.
fn server_id(id: &str) -> u32 {
    let digest = Sha256::digest(id.as_bytes());
    let last = digest.last_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(last) & 0x7FFF_FFFF
}

/// Language and encoding as Python derives them from the environment, and the time
/// zone's present abbreviation.
fn locale(machine: &dyn Observe) -> Map {
    let setting = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| machine.env(name))
        .map(|value| value.to_string_lossy().into_owned())
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let plain = setting.split('@').next().unwrap_or_default();
    let (language, encoding) = plain.split_once('.').unwrap_or((plain, ""));
    let encoding = match encoding.to_ascii_lowercase().as_str() {
        // A program of today assumes UTF-8 in the C locale, as Python does.
        "" | "utf8" | "utf-8" => "UTF-8".to_owned(),
        _ => encoding.to_ascii_uppercase(),
    };
    let language = match language {
        "C" => Some("en_US"),
        "" | "POSIX" => None,
        other => Some(other),
    };
    Map::from([
        ("defaultlanguage", Value::from(language)),
        ("defaultencoding", encoding.as_str().into()),
        ("detectedencoding", encoding.to_ascii_lowercase().into()),
        ("timezone", zone(machine).into()),
    ])
}

/// The present abbreviation of the machine's own zone: `CEST`.
fn zone(machine: &dyn Observe) -> String {
    let now = machine.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Zone::local(machine).offset(seconds).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_id_is_salts() {
        // Recorded with Salt 3008.3.
        assert_eq!(server_id("tester"), 1_729_671_193);
    }
}
