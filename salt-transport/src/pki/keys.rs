//! The keys of minions, one file each, in the directory of their state.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use salt_crypto::PublicKey;
use salt_proto::{AutoSign, KeyState, KeyStore, KeyStoreError, Map, MinionId};

use super::{AutoSignPolicy, invalid, make_dir, named, write_private};

/// Keys remembered between two requests; beyond that they are read again.
const MAX_REMEMBERED: usize = 100_000;

/// The state of a minion's key, which is the directory its file is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyStatus {
    /// Served.
    Accepted,
    /// Shown, and waiting for a decision.
    Pending,
    /// Refused whatever it shows.
    Rejected,
    /// A second key under a known id, put aside.
    Denied,
}

impl KeyStatus {
    /// All of them, in the order in which `salt-key` lists them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Denied, Self::Pending, Self::Rejected];

    /// The directory's name: `minions`, `minions_pre`, `minions_rejected`, `minions_denied`.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Accepted => "minions",
            Self::Pending => "minions_pre",
            Self::Rejected => "minions_rejected",
            Self::Denied => "minions_denied",
        }
    }
}

/// The keys of minions in a master's key directory.
///
/// Changes made by others (`salt-key` of any release) count at once: a file is read again when its time stamp changed.
#[derive(Debug)]
pub struct MinionKeys {
    root: PathBuf,
    auto_sign: AutoSignPolicy,
    read: Mutex<HashMap<PathBuf, (Stamp, PublicKey)>>,
}

/// Tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl MinionKeys {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            auto_sign: AutoSignPolicy::default(),
            read: Mutex::default(),
        }
    }

    /// Decides about new keys by this policy instead of leaving all of them pending.
    #[must_use]
    pub fn with_auto_sign(self, policy: AutoSignPolicy) -> Self {
        Self {
            auto_sign: policy,
            ..self
        }
    }

    /// The ids whose keys are in this state, sorted. Files whose names are no minion ids are passed over.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn list(&self, status: KeyStatus) -> io::Result<Vec<MinionId>> {
        let dir = self.root.join(status.directory());
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(named(&dir, &error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Neither a directory nor a link is a key.
            if !entry.file_type()?.is_file() {
                continue;
            }
            ids.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<MinionId>().ok()),
            );
        }
        ids.sort();
        Ok(ids)
    }

    /// The key of a minion in this state, if it has one there.
    ///
    /// # Errors
    ///
    /// When the file is there and is no RSA public key.
    pub fn key(&self, id: &MinionId, status: KeyStatus) -> io::Result<Option<PublicKey>> {
        let path = self.path(id, status);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(named(&path, &error)),
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        let stamp = Stamp {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, key)) = read.get(&path)
            && *known == stamp
        {
            return Ok(Some(key.clone()));
        }
        let pem = fs::read_to_string(&path).map_err(|error| named(&path, &error))?;
        let key = PublicKey::from_pem(&pem).map_err(|error| invalid(&path, error))?;
        if read.len() >= MAX_REMEMBERED {
            read.clear();
        }
        read.insert(path, (stamp, key.clone()));
        Ok(Some(key))
    }

    /// Moves a key to another state. `false` if the minion has none in the first one.
    ///
    /// # Errors
    ///
    /// When the file cannot be moved.
    pub fn change(&self, id: &MinionId, from: KeyStatus, to: KeyStatus) -> io::Result<bool> {
        make_dir(&self.root.join(to.directory()))?;
        let (from, to) = (self.path(id, from), self.path(id, to));
        match fs::rename(&from, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(named(&from, &error)),
        }
    }

    /// Deletes a key in one state. `false` if the minion has none there.
    ///
    /// # Errors
    ///
    /// When the file cannot be deleted.
    pub fn delete(&self, id: &MinionId, status: KeyStatus) -> io::Result<bool> {
        let path = self.path(id, status);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(named(&path, &error)),
        }
    }

    /// Notes a key in a state.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn store(&self, id: &MinionId, key: &PublicKey, status: KeyStatus) -> io::Result<()> {
        make_dir(&self.root.join(status.directory()))?;
        write_private(&self.path(id, status), key.as_pem().as_bytes(), 0o644)
    }

    fn path(&self, id: &MinionId, status: KeyStatus) -> PathBuf {
        self.root.join(status.directory()).join(id.as_str())
    }
}

impl KeyStore for MinionKeys {
    fn state(&self, id: &MinionId) -> Result<KeyState, KeyStoreError> {
        let reading = |error: io::Error| KeyStoreError::new("reading the key of a minion", error);
        // Somebody's no counts before anybody's yes, even when its file does not parse.
        if fs::symlink_metadata(self.path(id, KeyStatus::Rejected)).is_ok() {
            return Ok(KeyState::Rejected);
        }
        if let Some(key) = self.key(id, KeyStatus::Accepted).map_err(reading)? {
            return Ok(KeyState::Accepted(key));
        }
        let pending = self.key(id, KeyStatus::Pending).map_err(reading)?;
        Ok(pending.map_or(KeyState::Unknown, KeyState::Pending))
    }

    fn submit(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.store(id, key, KeyStatus::Pending)
            .map_err(|error| KeyStoreError::new("noting a pending key", error))
    }

    fn accept(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.store(id, key, KeyStatus::Accepted)
            .and_then(|()| self.delete(id, KeyStatus::Pending))
            .map(drop)
            .map_err(|error| KeyStoreError::new("accepting a key", error))
    }

    fn reject(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.store(id, key, KeyStatus::Rejected)
            .and_then(|()| self.delete(id, KeyStatus::Pending))
            .map(drop)
            .map_err(|error| KeyStoreError::new("rejecting a key", error))
    }

    fn deny(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        // The first one stays, so that a stranger cannot write at every try.
        if fs::symlink_metadata(self.path(id, KeyStatus::Denied)).is_ok() {
            return Ok(());
        }
        self.store(id, key, KeyStatus::Denied)
            .map_err(|error| KeyStoreError::new("putting a key aside", error))
    }

    fn remove(&mut self, id: &MinionId) -> Result<(), KeyStoreError> {
        for status in KeyStatus::ALL {
            self.delete(id, status)
                .map_err(|error| KeyStoreError::new("deleting a key", error))?;
        }
        Ok(())
    }

    fn accepted(&self) -> Result<Vec<MinionId>, KeyStoreError> {
        self.list(KeyStatus::Accepted)
            .map_err(|error| KeyStoreError::new("listing the accepted keys", error))
    }

    fn auto_sign(&mut self, id: &MinionId, grains: &Map) -> AutoSign {
        self.auto_sign.decide(&self.root, id, grains)
    }
}

#[cfg(test)]
mod tests {
    use salt_crypto::Identity;

    use super::*;
    use crate::pki::PkiDir;
    use crate::pki::testing::{Dir, rng};

    fn id(name: &str) -> MinionId {
        name.parse().unwrap()
    }

    fn store(name: &str) -> (Dir, MinionKeys, PublicKey) {
        let dir = Dir::new(name);
        let keys = PkiDir::open(dir.0.join("pki")).unwrap().minion_keys();
        let key = Identity::generate(2048, &mut rng())
            .unwrap()
            .public_key()
            .clone();
        (dir, keys, key)
    }

    // K-04
    #[test]
    fn a_key_goes_from_unknown_to_pending_to_accepted_and_away() {
        let (_dir, mut keys, key) = store("way");
        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Unknown);

        keys.submit(&id("web1"), &key).unwrap();
        assert_eq!(
            keys.state(&id("web1")).unwrap(),
            KeyState::Pending(key.clone())
        );

        assert!(
            keys.change(&id("web1"), KeyStatus::Pending, KeyStatus::Accepted)
                .unwrap()
        );
        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Accepted(key));
        assert_eq!(keys.accepted().unwrap(), [id("web1")]);

        keys.remove(&id("web1")).unwrap();
        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Unknown);
        assert!(
            !keys
                .change(&id("web1"), KeyStatus::Pending, KeyStatus::Accepted)
                .unwrap()
        );
    }

    #[test]
    fn a_rejection_counts_before_an_acceptance() {
        let (_dir, mut keys, key) = store("rejected");
        keys.accept(&id("web1"), &key).unwrap();
        keys.store(&id("web1"), &key, KeyStatus::Rejected).unwrap();

        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Rejected);
    }

    // K-05
    #[test]
    fn a_change_by_somebody_else_counts_at_once() {
        let (dir, mut keys, key) = store("changed");
        // The generator of `store` is drawn further, so this is another key.
        let mut rng = rng();
        Identity::generate(2048, &mut rng).unwrap();
        let other = Identity::generate(2048, &mut rng).unwrap();
        keys.accept(&id("web1"), &key).unwrap();
        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Accepted(key));

        let path = dir.0.join("pki/minions/web1");
        write_private(&path, other.public_key().as_pem().as_bytes(), 0o644).unwrap();
        assert_eq!(
            keys.state(&id("web1")).unwrap(),
            KeyState::Accepted(other.public_key().clone())
        );

        fs::remove_file(&path).unwrap();
        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Unknown);
    }

    #[test]
    fn links_and_strange_names_are_no_keys() {
        let (dir, keys, key) = store("strange");
        keys.store(&id("web1"), &key, KeyStatus::Accepted).unwrap();
        let minions = dir.0.join("pki/minions");
        std::os::unix::fs::symlink(minions.join("web1"), minions.join("web2")).unwrap();
        fs::write(minions.join(".key_cache"), "x").unwrap();

        assert_eq!(keys.list(KeyStatus::Accepted).unwrap(), [id("web1")]);
        assert_eq!(keys.state(&id("web2")).unwrap(), KeyState::Unknown);
    }

    #[test]
    fn the_first_denied_key_stays() {
        let (_dir, mut keys, key) = store("denied");
        keys.deny(&id("web1"), &key).unwrap();
        keys.deny(&id("web1"), &key).unwrap();

        assert_eq!(keys.key(&id("web1"), KeyStatus::Denied).unwrap(), Some(key));
        assert_eq!(keys.state(&id("web1")).unwrap(), KeyState::Unknown);
    }
}
