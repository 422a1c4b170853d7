//! Owner, group and mode: what is wanted, what differs, and setting it.

use std::io;
use std::path::Path;

use salt_proto::{Map, Value};

use crate::python;
use crate::registry::CallError;
use crate::system::{Metadata, Observe, System, errno_text};

/// A mode as Salt writes it: octal digits, four at least. Text that is no number stays
/// what it is, to be complained about when it is used.
pub(crate) fn normalize_mode(mode: Option<&Value>) -> Option<String> {
    let mode = mode.filter(|mode| !mode.is_null())?;
    let text = python::str(mode);
    let text = text.trim_matches(['"', '\'']);
    Some(format!("{:0>4}", text.trim_start_matches(['0', 'o', 'O'])))
}

/// The bits of a mode written in octal.
pub(crate) fn mode_bits(mode: &str) -> Option<u32> {
    u32::from_str_radix(mode, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
}

/// Bits as Salt writes them.
pub(crate) fn mode_text(bits: u32) -> String {
    format!("{:04o}", bits & 0o7777)
}

/// The number of a user given by name or number.
pub(crate) fn uid_of(system: &dyn Observe, user: &Value) -> io::Result<Option<u32>> {
    match user {
        Value::Int(number) => Ok(u32::try_from(*number).ok()),
        other => {
            let name = python::str(other);
            Ok(system.user(&name)?.map(|user| user.uid))
        }
    }
}

/// The number of a group given by name or number.
pub(crate) fn gid_of(system: &dyn Observe, group: &Value) -> io::Result<Option<u32>> {
    match group {
        Value::Int(number) => Ok(u32::try_from(*number).ok()),
        other => {
            let name = python::str(other);
            Ok(system.group(&name)?.map(|group| group.gid))
        }
    }
}

/// The name of a user, its number where it has none.
pub(crate) fn user_name(system: &dyn Observe, uid: u32) -> io::Result<Value> {
    Ok(match system.user_by_id(uid)? {
        Some(user) => user.name.into(),
        None => i64::from(uid).into(),
    })
}

/// The name of a group, its number where it has none.
pub(crate) fn group_name(system: &dyn Observe, gid: u32) -> io::Result<Value> {
    Ok(match system.group_by_id(gid)? {
        Some(group) => group.name.into(),
        None => i64::from(gid).into(),
    })
}

/// Who a file shall belong to and what its mode shall be; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) user: Option<Value>,
    pub(crate) group: Option<Value>,
    pub(crate) mode: Option<String>,
}

impl Wanted {
    /// Of arguments; empty text counts as not given.
    pub(crate) fn new(user: Option<&Value>, group: Option<&Value>, mode: Option<&Value>) -> Self {
        let given = |value: Option<&Value>| {
            value
                .filter(|value| !value.is_null() && value.as_str() != Some(""))
                .cloned()
        };
        Self {
            user: given(user),
            group: given(group),
            mode: normalize_mode(mode.filter(|mode| mode.as_str() != Some(""))),
        }
    }

    /// The same without a mode.
    pub(crate) fn without_mode(&self) -> Self {
        Self {
            mode: None,
            ..self.clone()
        }
    }

    /// The same with another mode.
    pub(crate) fn with_mode(&self, mode: Option<String>) -> Self {
        Self {
            mode,
            ..self.clone()
        }
    }

    /// The numbers of the owner and the group that are asked for.
    pub(crate) fn numbers(&self, system: &dyn Observe) -> io::Result<(Option<u32>, Option<u32>)> {
        let uid = self.user.as_ref().map(|user| uid_of(system, user));
        let gid = self.group.as_ref().map(|group| gid_of(system, group));
        Ok((uid.transpose()?.flatten(), gid.transpose()?.flatten()))
    }

    /// Salt's complaint about a user and a group that do not exist; empty when they do.
    pub(crate) fn unknown(&self, system: &dyn Observe) -> io::Result<String> {
        let mut text = String::new();
        if let Some(user) = &self.user
            && uid_of(system, user)?.is_none()
        {
            text.push_str(&format!("User {} is not available ", python::str(user)));
        }
        if let Some(group) = &self.group
            && gid_of(system, group)?.is_none()
        {
            text.push_str(&format!("Group {} is not available", python::str(group)));
        }
        Ok(text)
    }

    /// What of it a file lacks, as Salt reports it: `user`, `group` and `mode` with the
    /// value asked for. A link has no mode.
    pub(crate) fn lacking(&self, system: &dyn Observe, found: &Metadata) -> io::Result<Map> {
        let mut changes = Map::new();
        if let Some(user) = &self.user
            && uid_of(system, user)? != Some(found.uid)
        {
            changes.insert("user", user.clone());
        }
        if let Some(group) = &self.group
            && gid_of(system, group)? != Some(found.gid)
        {
            changes.insert("group", group.clone());
        }
        if let Some(mode) = &self.mode
            && !found.is_link()
            && mode_bits(mode) != Some(found.mode)
        {
            changes.insert("mode", mode.as_str());
        }
        Ok(changes)
    }

    /// Sets what differs and says what it was. With `follow` false a link itself is
    /// looked at.
    ///
    /// # Errors
    ///
    /// Unknown users and modes that are no numbers, in Salt's words.
    pub(crate) fn establish(
        &self,
        system: &dyn System,
        path: &Path,
        follow: bool,
    ) -> Result<Map, CallError> {
        let failed = |error: io::Error| CallError::execution(errno_text(&error, Some(path)));
        let unknown = self.unknown(system).map_err(failed)?;
        if !unknown.is_empty() {
            return Err(CallError::execution(unknown));
        }
        let found = if follow {
            system.metadata(path)
        } else {
            system.link_metadata(path)
        };
        let Some(found) = found.map_err(failed)? else {
            return Err(CallError::execution(format!(
                "{} does not exist",
                path.display()
            )));
        };
        let changes = self.lacking(system, &found).map_err(failed)?;
        let (uid, gid) = self.numbers(system).map_err(failed)?;
        let moves = changes.contains_key("user") || changes.contains_key("group");
        if moves {
            system
                .set_owner(path, uid, gid, follow && !found.is_link())
                .map_err(failed)?;
        }
        // A change of owner clears the set-id bits, so the mode comes after it.
        let mode =
            match &self.mode {
                Some(mode) if !found.is_link() => Some(mode_bits(mode).ok_or_else(|| {
                    CallError::execution(format!("Failed to change mode to {mode}"))
                })?),
                _ => None,
            };
        match mode {
            Some(bits) if changes.contains_key("mode") || (moves && bits & 0o6000 != 0) => {
                system.set_mode(path, bits).map_err(failed)?;
            }
            None if moves && !found.is_link() && found.mode & 0o6000 != 0 => {
                system.set_mode(path, found.mode).map_err(failed)?;
            }
            _ => {}
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    #[test]
    fn modes_are_written_with_four_digits() {
        for (given, expected) in [
            (Value::from("644"), "0644"),
            (600.into(), "0600"),
            ("0o755".into(), "0755"),
            ("4755".into(), "4755"),
            ("'0644'".into(), "0644"),
            (0.into(), "0000"),
            ("abc".into(), "0abc"),
        ] {
            assert_eq!(normalize_mode(Some(&given)).as_deref(), Some(expected));
        }
        assert_eq!(normalize_mode(Some(&Value::Null)), None);
    }

    #[test]
    fn only_what_differs_is_set() {
        let machine = FakeSystem::new()
            .file("/etc/passwd", "root:x:0:0::/:/bin/sh\na:x:5:6::/:/bin/sh\n")
            .file("/f", "");
        let wanted = Wanted::new(Some(&"a".into()), None, Some(&"0644".into()));

        let changes = wanted.establish(&machine, Path::new("/f"), true).unwrap();

        assert_eq!(changes, Map::from([("user", "a")]));
        let again = wanted.establish(&machine, Path::new("/f"), true).unwrap();
        assert!(again.is_empty());
        let nobody = Wanted::new(Some(&"b".into()), Some(&"c".into()), None);
        assert_eq!(
            nobody.unknown(&machine).unwrap(),
            "User b is not available Group c is not available"
        );
    }
}
