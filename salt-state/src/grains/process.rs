//! As whom and how we run, and what we were configured to be.

use std::path::Path;
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
        .find_map(|path| line(machine, path));
    if let Some(id) = machine_id {
        grains.insert("machine_id", id);
    }
    let id = config.str("id").unwrap_or_default();
    grains.insert("id", id);
    grains.insert("server_id", server_id(id));
    grains.insert(
        "master",
        config
            .get("master")
            .cloned()
            .unwrap_or_else(|| "salt".into()),
    );
}

/// A number that stays the same for an id: the last 31 bits of its SHA-256.
fn server_id(id: &str) -> u32 {
    let digest = Sha256::digest(id.as_bytes());
    let last = digest.last_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(last) & 0x7FFF_FFFF
}

/// Language and encoding as Python finds them, and the time zone's present abbreviation.
///
/// Recorded with Salt 3008.3, and as Python documents it (`locale.getlocale`, PEP 538):
/// the C locale, and one that is not installed, is taken for `C.UTF-8`, which counts as
/// American English, unless `LC_ALL` insists.
fn locale(machine: &dyn Observe) -> Map {
    let setting = |name: &str| {
        let value = machine.env(name)?.to_string_lossy().into_owned();
        (!value.is_empty()).then_some(value)
    };
    let insisted = setting("LC_ALL");
    let stated = insisted
        .clone()
        .or_else(|| setting("LC_CTYPE"))
        .or_else(|| setting("LANG"))
        .unwrap_or_default();
    let (language, encoding) = if let Some(known) = installed(machine, &stated) {
        known
    } else if insisted.is_some() {
        (None, None)
    } else {
        (Some("en_US".to_owned()), Some("UTF-8".to_owned()))
    };
    Map::from([
        ("defaultlanguage", Value::from(language)),
        ("defaultencoding", encoding.into()),
        ("detectedencoding", "utf-8".into()),
        ("timezone", zone(machine).into()),
    ])
}

/// Language and encoding of a locale that this machine has; `C` and `POSIX` have neither.
fn installed(machine: &dyn Observe, name: &str) -> Option<(Option<String>, Option<String>)> {
    let (plain, modifier) = name.split_once('@').unwrap_or((name, ""));
    let (language, charset) = plain.split_once('.').unwrap_or((plain, ""));
    let short: String = charset
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|ch| ch.to_ascii_lowercase())
        .collect();
    if matches!(language, "" | "C" | "POSIX") {
        let both = (Some("en_US".to_owned()), Some("UTF-8".to_owned()));
        return (language == "C" && short == "utf8").then_some(both);
    }
    let locales = Path::new("/usr/lib/locale");
    let directory = match short.as_str() {
        "" => language.to_owned(),
        short => format!("{language}.{short}"),
    };
    if !machine.exists(&locales.join("locale-archive")) && !machine.exists(&locales.join(directory))
    {
        return None;
    }
    let encoding = match (short.as_str(), modifier) {
        ("utf8", _) => "UTF-8".to_owned(),
        ("", "euro") => "ISO8859-15".to_owned(),
        ("", _) => "ISO8859-1".to_owned(),
        _ => charset.to_ascii_uppercase().replacen("ISO-", "ISO", 1),
    };
    Some((Some(language.to_owned()), Some(encoding)))
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
    use crate::system::FakeSystem;

    /// Recorded with Salt 3008.3 on a machine with these two locales.
    #[test]
    fn a_locale_that_is_installed_is_told_of() {
        let check = |name: &str, language: &str, encoding: &str| {
            let machine = FakeSystem::new()
                .directory("/usr/lib/locale/de_DE.utf8")
                .directory("/usr/lib/locale/de_DE")
                .variable("LC_ALL", name);
            let found = locale(&machine);
            assert_eq!(found.str("defaultlanguage"), Some(language), "{name}");
            assert_eq!(found.str("defaultencoding"), Some(encoding), "{name}");
            assert_eq!(found.str("detectedencoding"), Some("utf-8"), "{name}");
        };
        check("de_DE.UTF-8", "de_DE", "UTF-8");
        check("de_DE", "de_DE", "ISO8859-1");
        check("C.UTF-8", "en_US", "UTF-8");
    }
}
