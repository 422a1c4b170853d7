//! Who is accepted: the master's memory of minion keys.

use std::collections::BTreeMap;

use salt_crypto::PublicKey;

use crate::{Map, MinionId};

/// What a master knows of a minion's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing.
    Unknown,
    /// Shown, and waiting for somebody's decision.
    Pending(PublicKey),
    /// The minion holding this key is served.
    Accepted(PublicKey),
    /// Whoever shows up under this id is refused, whatever its key.
    Rejected,
}

impl KeyState {
    /// The accepted key, if there is one.
    pub fn accepted(&self) -> Option<&PublicKey> {
        match self {
            Self::Accepted(key) => Some(key),
            _ => None,
        }
    }
}

/// What a store decides about a key nobody has decided about yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoSign {
    /// Nothing: somebody has to accept it.
    #[default]
    Ask,
    /// The key is accepted now.
    Accept,
    /// The key is rejected now.
    Reject,
}

/// A store could not do what it was asked; the minion is refused meanwhile.
#[derive(Debug, thiserror::Error)]
#[error("the key store failed while {doing}")]
pub struct KeyStoreError {
    doing: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl KeyStoreError {
    /// A failure of `doing` (“reading the key of a minion”).
    pub fn new(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing,
            source: source.into(),
        }
    }
}

/// Decides who is accepted (K-04).
///
/// A key becomes accepted only by an explicit act: somebody changes the store,
/// or the store's own [`auto_sign`](Self::auto_sign) says so. The master never
/// replaces a key: a different one for a known id is handed to
/// [`deny`](Self::deny) to be put aside and looked at.
///
/// [`state`](Self::state) is asked once for every request, so that a key
/// deleted by any means ends its minion's session with the next request;
/// implementations over slow storage keep what they read and watch for changes.
pub trait KeyStore: Send {
    /// What is known of the minion's key.
    ///
    /// # Errors
    /// The store cannot tell. Nobody is served under this id meanwhile.
    fn state(&self, id: &MinionId) -> Result<KeyState, KeyStoreError>;

    /// Notes the key of an unknown minion as pending.
    ///
    /// # Errors
    /// It was not stored; the minion is told no.
    fn submit(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError>;

    /// Accepts the key of an unknown or pending minion.
    ///
    /// # Errors
    /// It was not stored; the minion is told no.
    fn accept(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError>;

    /// Rejects the key of an unknown or pending minion.
    ///
    /// # Errors
    /// It was not stored; the minion is told no all the same.
    fn reject(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError>;

    /// Puts aside a key that differs from the one known for this id.
    ///
    /// # Errors
    /// It was not stored; the minion is told no all the same.
    fn deny(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError>;

    /// Forgets everything about the minion: its key, and what was put aside.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&mut self, id: &MinionId) -> Result<(), KeyStoreError>;

    /// The ids that are accepted, sorted.
    ///
    /// # Errors
    /// The store cannot tell.
    fn accepted(&self) -> Result<Vec<MinionId>, KeyStoreError>;

    /// Whether an unknown or pending key is decided about without asking.
    ///
    /// `grains` are those the minion sent for this purpose: its own claims,
    /// nothing more. By default somebody has to decide.
    fn auto_sign(&mut self, id: &MinionId, grains: &Map) -> AutoSign {
        let (_, _) = (id, grains);
        AutoSign::Ask
    }
}

/// A key store in memory, for tests and for masters that are told their minions.
#[derive(Debug, Default)]
pub struct MemoryKeyStore {
    keys: BTreeMap<MinionId, KeyState>,
    denied: BTreeMap<MinionId, Vec<PublicKey>>,
    policy: AutoSign,
}

impl MemoryKeyStore {
    /// How many different keys are put aside for one id; later ones are dropped.
    pub const MAX_DENIED: usize = 4;

    /// An empty store in which every key has to be accepted by hand.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts every key of an unknown or pending id.
    ///
    /// Whoever comes first owns an id.
    #[must_use]
    pub fn danger_accept_everyone(self) -> Self {
        Self {
            policy: AutoSign::Accept,
            ..self
        }
    }

    /// Accepts the pending key of a minion; `false` if there is none.
    pub fn accept_pending(&mut self, id: &MinionId) -> bool {
        let Some(state) = self.keys.get_mut(id) else {
            return false;
        };
        let KeyState::Pending(key) = state else {
            return false;
        };
        *state = KeyState::Accepted(key.clone());
        true
    }

    /// The keys that were put aside for an id, oldest first.
    pub fn denied(&self, id: &MinionId) -> &[PublicKey] {
        self.denied.get(id).map_or(&[], Vec::as_slice)
    }
}

impl KeyStore for MemoryKeyStore {
    fn state(&self, id: &MinionId) -> Result<KeyState, KeyStoreError> {
        Ok(self.keys.get(id).cloned().unwrap_or(KeyState::Unknown))
    }

    fn submit(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.keys.insert(id.clone(), KeyState::Pending(key.clone()));
        Ok(())
    }

    fn accept(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.keys
            .insert(id.clone(), KeyState::Accepted(key.clone()));
        Ok(())
    }

    fn reject(&mut self, id: &MinionId, _key: &PublicKey) -> Result<(), KeyStoreError> {
        self.keys.insert(id.clone(), KeyState::Rejected);
        Ok(())
    }

    fn deny(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        let aside = self.denied.entry(id.clone()).or_default();
        if aside.len() < Self::MAX_DENIED && !aside.contains(key) {
            aside.push(key.clone());
        }
        Ok(())
    }

    fn remove(&mut self, id: &MinionId) -> Result<(), KeyStoreError> {
        self.keys.remove(id);
        self.denied.remove(id);
        Ok(())
    }

    fn accepted(&self) -> Result<Vec<MinionId>, KeyStoreError> {
        Ok(self
            .keys
            .iter()
            .filter(|(_, state)| state.accepted().is_some())
            .map(|(id, _)| id.clone())
            .collect())
    }

    fn auto_sign(&mut self, _id: &MinionId, _grains: &Map) -> AutoSign {
        self.policy
    }
}
