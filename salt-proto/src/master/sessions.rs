//! The session keys of minions, and what was seen under them.

use std::collections::HashMap;
use std::sync::Arc;

use salt_crypto::{CryptoRng, PublicKey, Secret, SessionKey, Suite};

use super::Refusal;
use crate::MinionId;
use crate::replay::{NonceWindow, Stale};

/// A token that was verified, so that it need not be again.
pub(super) type KnownToken = Arc<Secret<Vec<u8>>>;

/// One minion's session. Bound to its public key: another key under the same id
/// finds nothing here (K-05).
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) owner: PublicKey,
    pub(super) token: Option<KnownToken>,
    created: u64,
    /// Restored from storage, without the memory of what was seen: older
    /// requests are refused.
    not_before: Option<i64>,
    gcm: bool,
    classic: bool,
    window: NonceWindow,
}

impl Session {
    fn new(key: SessionKey, owner: &PublicKey, created: u64, window: &NonceWindow) -> Self {
        Self {
            key,
            owner: owner.clone(),
            token: None,
            created,
            not_before: None,
            gcm: false,
            classic: false,
            window: window.clone(),
        }
    }

    /// Whether a sign-in since the key was made agreed on this suite (K-07).
    pub(super) fn agreed_on(&self, suite: Suite) -> bool {
        match suite {
            Suite::Classic => self.classic,
            Suite::Aes256Gcm => self.gcm,
        }
    }

    pub(super) fn agree_on(&mut self, suite: Suite) {
        match suite {
            Suite::Classic => self.classic = true,
            Suite::Aes256Gcm => self.gcm = true,
        }
    }

    /// Takes in a request's time stamp and nonce.
    pub(super) fn admit(
        &mut self,
        id: &MinionId,
        nonce: &[u8],
        stamp: i64,
        unix_time: u64,
    ) -> Result<(), Refusal> {
        let now = i64::try_from(unix_time).unwrap_or(i64::MAX);
        if self.not_before.is_some_and(|start| stamp < start) {
            return Err(Refusal::Skew {
                by: stamp.saturating_sub(now),
            });
        }
        self.window
            .admit(id, nonce, stamp, now)
            .map_err(|stale| match stale {
                Stale::Skew { by } => Refusal::Skew { by },
                Stale::Repeated => Refusal::Repeated,
                Stale::Nonce => Refusal::Nonce,
            })
    }
}

/// All sessions.
pub(super) struct Sessions {
    by_id: HashMap<MinionId, Session>,
    /// Seconds.
    lifetime: u64,
    /// Every session starts with its own copy, so that a minion that floods the
    /// master closes only its own window.
    window: NonceWindow,
}

impl Sessions {
    pub(super) fn new(lifetime: u64, window: NonceWindow) -> Self {
        Self {
            by_id: HashMap::new(),
            lifetime,
            window,
        }
    }

    pub(super) fn get(&self, id: &MinionId) -> Option<&Session> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &MinionId) -> Option<&mut Session> {
        self.by_id.get_mut(id)
    }

    /// The live session of a minion that holds this key.
    pub(super) fn live(
        &self,
        id: &MinionId,
        owner: &PublicKey,
        unix_time: u64,
    ) -> Option<&Session> {
        self.by_id
            .get(id)
            .filter(|it| it.owner == *owner && !self.is_expired(it, unix_time))
    }

    /// Whether this is still the minion's session key.
    pub(super) fn is_current(&self, id: &MinionId, key: &SessionKey) -> bool {
        self.by_id.get(id).is_some_and(|it| it.key.ct_eq(key))
    }

    /// The session of an accepted minion; made if there is none, if it is too
    /// old, or if it was restored from storage. Says whether it was made.
    pub(super) fn open(
        &mut self,
        id: &MinionId,
        owner: &PublicKey,
        unix_time: u64,
        rng: &mut dyn CryptoRng,
    ) -> (&mut Session, bool) {
        let live = self
            .live(id, owner, unix_time)
            .is_some_and(|it| it.not_before.is_none());
        if !live {
            self.by_id.remove(id);
        }
        let window = &self.window;
        let session = self
            .by_id
            .entry(id.clone())
            .or_insert_with(|| Session::new(SessionKey::generate(rng), owner, unix_time, window));
        (session, !live)
    }

    /// Takes over a session from storage.
    pub(super) fn restore(
        &mut self,
        id: &MinionId,
        owner: &PublicKey,
        key: SessionKey,
        created: u64,
        unix_time: u64,
    ) {
        let start = i64::try_from(unix_time).unwrap_or(i64::MAX);
        let mut session = Session::new(key, owner, created, &self.window);
        session.not_before = Some(start);
        // Which suites were agreed on is not stored, and the stronger one has to
        // be agreed on anew.
        session.classic = true;
        self.by_id.insert(id.clone(), session);
    }

    pub(super) fn remove(&mut self, id: &MinionId) -> bool {
        self.by_id.remove(id).is_some()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &MinionId> {
        self.by_id.keys()
    }

    /// The key a minion's session is bound to.
    pub(super) fn owner(&self, id: &MinionId) -> Option<&PublicKey> {
        self.by_id.get(id).map(|it| &it.owner)
    }

    /// How many have not expired.
    pub(super) fn count_live(&self, unix_time: u64) -> usize {
        let live = |it: &&Session| !self.is_expired(it, unix_time);
        self.by_id.values().filter(live).count()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn any_gcm(&self) -> bool {
        self.by_id.values().any(|it| it.gcm)
    }

    fn is_expired(&self, session: &Session, unix_time: u64) -> bool {
        unix_time.saturating_sub(session.created) > self.lifetime
    }
}
