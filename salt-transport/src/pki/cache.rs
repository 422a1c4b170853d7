//! The secrets a master keeps below its cache directory: sessions, the root key, the request to rotate.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use salt_crypto::{CryptoRng, Secret, SessionKey};
use salt_proto::MinionId;

use super::{make_dir, named, replace_file, write_private};

/// The session keys of minions, `<cachedir>/sessions/<id>`.
#[derive(Clone, Debug)]
pub struct SessionDir {
    root: PathBuf,
}

impl SessionDir {
    /// The sessions below a cache directory.
    pub fn new(cache_dir: &Path) -> Self {
        Self {
            root: cache_dir.join("sessions"),
        }
    }

    /// A minion's session key and when it was made, if there is one that can be read.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn load(&self, id: &MinionId) -> io::Result<Option<(SessionKey, SystemTime)>> {
        let path = self.root.join(id.as_str());
        let text = match fs::read_to_string(&path) {
            Ok(text) => Secret::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(named(&path, &error)),
        };
        let made = fs::metadata(&path)?.modified()?;
        // A torn or foreign file is as good as none: the minion signs in again.
        Ok(SessionKey::from_text(text.expose().trim())
            .ok()
            .map(|key| (key, made)))
    }

    /// Keeps a minion's session key, owner-only.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store(&self, id: &MinionId, key: &SessionKey) -> io::Result<()> {
        make_dir(&self.root)?;
        // Lost with the power, it costs the minion another sign-in.
        replace_file(
            &self.root.join(id.as_str()),
            key.to_text().expose().as_bytes(),
            0o600,
        )
    }

    /// Forgets a minion's session key (K-05).
    ///
    /// # Errors
    ///
    /// When it is still there.
    pub fn remove(&self, id: &MinionId) -> io::Result<()> {
        match fs::remove_file(self.root.join(id.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The key that lets local users publish: `<cachedir>/.<user>_key`.
#[derive(Debug)]
pub struct RootKey;

impl RootKey {
    /// Writes a fresh key for a user, owner-only, and answers it.
    ///
    /// # Errors
    ///
    /// When the user's name is no file name, or the key cannot be written.
    pub fn create(
        cache_dir: &Path,
        user: &str,
        rng: &mut dyn CryptoRng,
    ) -> io::Result<Secret<String>> {
        let key = SessionKey::generate(rng).to_text();
        make_dir(cache_dir)?;
        write_private(
            &Self::path(cache_dir, user)?,
            key.expose().as_bytes(),
            0o600,
        )?;
        Ok(key)
    }

    /// Reads the key of a user.
    ///
    /// # Errors
    ///
    /// When it is not there or may not be read, which is how a user without rights is told.
    pub fn read(cache_dir: &Path, user: &str) -> io::Result<Secret<String>> {
        let path = Self::path(cache_dir, user)?;
        fs::read_to_string(&path)
            .map(Secret::new)
            .map_err(|error| named(&path, &error))
    }

    fn path(cache_dir: &Path, user: &str) -> io::Result<PathBuf> {
        // As Salt does with the names of domain users.
        let user = user.replace('\\', "_");
        if user.is_empty() || user.contains(['/', '\0']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{user:?} is no user name"),
            ));
        }
        Ok(cache_dir.join(format!(".{user}_key")))
    }
}

/// The file by which `salt-key` asks a running master to rotate its publish key: `<cachedir>/.dfn`.
#[derive(Debug)]
pub struct RotationRequest;

impl RotationRequest {
    /// Asks the master with this id to rotate.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn create(cache_dir: &Path, master_id: &str) -> io::Result<()> {
        make_dir(cache_dir)?;
        write_private(&cache_dir.join(".dfn"), master_id.as_bytes(), 0o400)
    }

    /// Whether a rotation was asked for; the request is used up.
    ///
    /// Salt 3006 writes an empty file, later releases the master's id; anything else, or another mode than 0400, is
    /// not a request.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or removed.
    pub fn take(cache_dir: &Path, master_id: &str) -> io::Result<bool> {
        let path = cache_dir.join(".dfn");
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(named(&path, &error)),
        };
        if !metadata.is_file() || metadata.permissions().mode() & 0o777 != 0o400 {
            return Ok(false);
        }
        let content = fs::read_to_string(&path).map_err(|error| named(&path, &error))?;
        if !content.is_empty() && content.trim() != master_id {
            return Ok(false);
        }
        fs::remove_file(&path).map_err(|error| named(&path, &error))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testing::{Dir, rng};

    #[test]
    fn a_session_key_is_found_again_until_it_is_removed() {
        let dir = Dir::new("sessions");
        let (sessions, id) = (SessionDir::new(&dir.0), "web1".parse().unwrap());
        let key = SessionKey::generate(&mut rng());

        sessions.store(&id, &key).unwrap();
        assert!(sessions.load(&id).unwrap().unwrap().0.ct_eq(&key));
        fs::write(dir.0.join("sessions/web1"), "torn").unwrap();
        assert!(sessions.load(&id).unwrap().is_none());
        sessions.remove(&id).unwrap();
        sessions.remove(&id).unwrap();
        assert!(sessions.load(&id).unwrap().is_none());
    }

    // P-06
    #[test]
    fn the_root_key_is_owner_only_and_its_user_is_no_path() {
        let dir = Dir::new("root-key");

        let key = RootKey::create(&dir.0, "root", &mut rng()).unwrap();

        assert!(key.ct_eq(RootKey::read(&dir.0, "root").unwrap().expose()));
        let mode = fs::metadata(dir.0.join(".root_key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(RootKey::read(&dir.0, "../root").is_err());
    }

    #[test]
    fn a_rotation_request_is_taken_once_and_only_with_its_mode_and_content() {
        let dir = Dir::new("dropfile");
        assert!(!RotationRequest::take(&dir.0, "master").unwrap());

        RotationRequest::create(&dir.0, "master").unwrap();
        assert!(!RotationRequest::take(&dir.0, "other").unwrap());
        assert!(RotationRequest::take(&dir.0, "master").unwrap());
        assert!(!RotationRequest::take(&dir.0, "master").unwrap());

        write_private(&dir.0.join(".dfn"), b"", 0o400).unwrap();
        assert!(RotationRequest::take(&dir.0, "master").unwrap());
        write_private(&dir.0.join(".dfn"), b"", 0o600).unwrap();
        assert!(!RotationRequest::take(&dir.0, "master").unwrap());
    }
}
