//! Who is an operator: whoever holds a key of the master's host.

use salt_crypto::Secret;

use crate::{Map, Value};

/// The keys that prove a caller to be an operator: the contents of Salt's
/// `<cachedir>/.<user>_key` files.
///
/// There are no lesser rights: whoever holds one of these keys may do
/// everything. The user a request names selects nothing (Z-05); it is passed on
/// for the record.
#[derive(Debug, Default)]
pub struct OperatorKeys(Vec<(String, Secret<String>)>);

impl OperatorKeys {
    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Lets whoever holds `key` act as an operator. `owner` is for the record.
    ///
    /// A key below 32 bytes could be guessed and counts as none; Salt's have 76.
    pub fn insert(&mut self, owner: impl Into<String>, key: Secret<String>) {
        self.0.push((owner.into(), key));
    }

    /// Compares against every key, whether or not one matched already, in
    /// time that depends on lengths only.
    pub(super) fn prove(&self, load: &Map) -> Option<Operator> {
        let offered = load.get("key").and_then(Value::as_bytes)?;
        let mut owner = None;
        for (name, key) in &self.0 {
            let long_enough = key.expose().len() >= 32;
            if key.ct_eq(offered) && long_enough {
                owner = Some(name);
            }
        }
        Some(Operator {
            key_owner: owner?.clone(),
            user: load.str("user").unwrap_or_default().to_owned(),
        })
    }
}

/// The proof that a request came from somebody who holds an operator's key.
///
/// Only the master core makes it, after comparing keys (Z-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    key_owner: String,
    user: String,
}

impl Operator {
    /// Whose key it was.
    pub fn key_owner(&self) -> &str {
        &self.key_owner
    }

    /// The user the request names: a claim, good for records only.
    pub fn user(&self) -> &str {
        &self.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Z-05
    #[test]
    fn z05_the_key_decides_and_the_user_name_is_only_a_label() {
        let key = "k".repeat(76);
        let mut keys = OperatorKeys::none();
        keys.insert("root", Secret::new(key.clone()));
        keys.insert("short", Secret::new("s".to_owned()));
        let load = |key: &str, user: &str| Map::from([("key", key), ("user", user)]);

        assert_eq!(keys.prove(&load("wrong", "root")), None);
        assert_eq!(keys.prove(&load("", "root")), None);
        assert_eq!(keys.prove(&load("s", "short")), None);
        assert_eq!(keys.prove(&Map::from([("user", "root")])), None);
        let operator = keys.prove(&load(&key, "nobody")).unwrap();
        assert_eq!((operator.key_owner(), operator.user()), ("root", "nobody"));
    }
}
