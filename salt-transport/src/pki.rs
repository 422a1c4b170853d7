//! Salt's key directory on disk, in the layout of 3006, 3007 and 3008.
//!
//! A master keeps `master.pem`, `master.pub` and one directory for each state a minion's key can be in; a minion keeps
//! `minion.pem`, `minion.pub` and its master's key. `salt-key` of every release works on the same files, so nothing
//! here is remembered beyond a file's time stamp. A minion's name becomes a path only as a [`MinionId`](salt_proto::MinionId) (K-02).

mod autosign;
mod cache;
mod keys;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use salt_crypto::{CryptoRng, Identity, PublicKey};

pub use autosign::AutoSignPolicy;
pub use cache::{RootKey, RotationRequest, SessionDir};
pub use keys::{KeyStatus, MinionKeys};

/// Reads and makes the keys of a daemon in its `pki_dir`.
#[derive(Clone, Debug)]
pub struct PkiDir {
    root: PathBuf,
}

/// How a daemon's own key pair is made and read.
#[derive(Clone, Debug)]
pub struct KeyPairOptions {
    /// The size of a new key, in bits. Default 2048, as Salt's `keysize`; 2048 to 4096.
    pub bits: usize,
    /// Encrypts the private key file. Default: none.
    pub passphrase: Option<String>,
}

impl Default for KeyPairOptions {
    fn default() -> Self {
        Self {
            bits: 2048,
            passphrase: None,
        }
    }
}

impl PkiDir {
    /// Opens a key directory; makes it, owner-only, when it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is open to other users for writing.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        make_dir(&root)?;
        let mode = fs::metadata(&root)?.permissions().mode();
        // Whoever can write here owns the fleet.
        if mode & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} may be written by others (mode {:o}): chmod 0700 it",
                    root.display(),
                    mode & 0o7777
                ),
            ));
        }
        Ok(Self { root })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The key pair `<name>.pem`, made with its `<name>.pub` when it is not there (K-08).
    ///
    /// # Errors
    ///
    /// When the key cannot be read, decrypted, made or written.
    pub fn identity(
        &self,
        name: &str,
        options: &KeyPairOptions,
        rng: &mut dyn CryptoRng,
    ) -> io::Result<Identity> {
        if let Some(identity) = self.existing_identity(name, options)? {
            return Ok(identity);
        }
        let identity = Identity::generate(options.bits, rng).map_err(io::Error::other)?;
        let pem = match &options.passphrase {
            Some(passphrase) => identity
                .to_encrypted_pem(passphrase, rng)
                .map_err(io::Error::other)?,
            None => identity.to_pem(),
        };
        write_private(
            &self.root.join(format!("{name}.pem")),
            pem.expose().as_bytes(),
            0o400,
        )?;
        let public = self.root.join(format!("{name}.pub"));
        write_private(&public, identity.public_key().as_pem().as_bytes(), 0o644)?;
        Ok(identity)
    }

    /// The key pair `<name>.pem`, if it is there.
    ///
    /// # Errors
    ///
    /// When the key cannot be read or decrypted.
    pub fn existing_identity(
        &self,
        name: &str,
        options: &KeyPairOptions,
    ) -> io::Result<Option<Identity>> {
        let path = self.root.join(format!("{name}.pem"));
        // Links are followed: 3008 keeps `master.pem` as one.
        match fs::read_to_string(&path) {
            Ok(pem) => Identity::from_pem(&pem, options.passphrase.as_deref())
                .map(Some)
                .map_err(|error| invalid(&path, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(named(&path, &error)),
        }
    }

    /// The public key in `<name>.pub`, if it is there: the master's own one, `minion_master`, `master_sign`.
    ///
    /// # Errors
    ///
    /// When it is there and is not an RSA public key.
    pub fn public_key(&self, name: &str) -> io::Result<Option<PublicKey>> {
        let path = self.root.join(format!("{name}.pub"));
        match fs::read_to_string(&path) {
            Ok(pem) => PublicKey::from_pem(&pem)
                .map(Some)
                .map_err(|error| invalid(&path, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(named(&path, &error)),
        }
    }

    /// Writes `<name>.pub`, whole or not at all.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store_public_key(&self, name: &str, key: &PublicKey) -> io::Result<()> {
        write_private(
            &self.root.join(format!("{name}.pub")),
            key.as_pem().as_bytes(),
            0o644,
        )
    }

    /// The keys of the minions that showed up at this master.
    pub fn minion_keys(&self) -> MinionKeys {
        MinionKeys::new(self.root.clone())
    }
}

/// Makes a directory and what is above it, owner-only.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| named(path, &error))
}

/// Writes a file that appears whole, with its final mode from the first byte, or not at all (K-08, P-06).
///
/// Its content reaches the disk before its name does.
pub(crate) fn write_private(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_whole(path, content, mode, true)
}

/// The same for caches, which need not survive the loss of power: every reader sees the old or the new content.
pub(crate) fn replace_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_whole(path, content, mode, false)
}

fn write_whole(path: &Path, content: &[u8], mode: u32, durable: bool) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut attempt = 0_u32;
    let (hidden, mut file) = loop {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.{attempt}~", std::process::id()));
        let hidden = dir.join(hidden);
        // Narrower than asked for until the content is there; never through an existing file or link.
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode & 0o700 | 0o200)
            .open(&hidden)
        {
            Ok(file) => break (hidden, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 64 => {
                attempt += 1;
            }
            Err(error) => return Err(named(path, &error)),
        }
    };
    let written = file
        .write_all(content)
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&hidden, path));
    if let Err(error) = written {
        // The error that matters is the first one.
        fs::remove_file(&hidden).ok();
        return Err(named(path, &error));
    }
    Ok(())
}

/// The same kind of error, with the path in its text.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn invalid(path: &Path, error: salt_crypto::Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {error}", path.display()),
    )
}

#[cfg(test)]
pub(crate) mod testing {
    use std::path::PathBuf;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    /// A directory that goes away with the test.
    pub(crate) struct Dir(pub(crate) PathBuf);

    impl Dir {
        pub(crate) fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("salt-transport-{name}-{}", std::process::id()));
            std::fs::remove_dir_all(&path).ok();
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    pub(crate) fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Dir, rng};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    // K-08
    #[test]
    fn a_new_key_pair_is_owner_only_and_is_read_again() {
        let dir = Dir::new("pair");
        let pki = PkiDir::open(dir.0.join("pki")).unwrap();
        let options = KeyPairOptions::default();

        let made = pki.identity("minion", &options, &mut rng()).unwrap();
        let read = pki.identity("minion", &options, &mut rng()).unwrap();

        assert_eq!(made.public_key(), read.public_key());
        assert_eq!(
            pki.public_key("minion").unwrap().as_ref(),
            Some(made.public_key())
        );
        assert_eq!(mode(pki.path()), 0o700);
        assert_eq!(mode(&pki.path().join("minion.pem")), 0o400);
        assert_eq!(mode(&pki.path().join("minion.pub")), 0o644);
        assert_eq!(
            fs::read_dir(pki.path()).unwrap().count(),
            2,
            "no temporary file is left"
        );
    }

    //
    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let dir = Dir::new("open");
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o777)).unwrap();

        let error = PkiDir::open(&dir.0).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("chmod 0700"), "{error}");
    }

    #[test]
    fn a_key_that_is_none_is_named_with_its_path() {
        let dir = Dir::new("bad");
        let pki = PkiDir::open(dir.0.join("pki")).unwrap();
        fs::write(pki.path().join("minion_master.pub"), "not a key").unwrap();

        let error = pki.public_key("minion_master").unwrap_err();

        assert!(error.to_string().contains("minion_master.pub"), "{error}");
        assert!(pki.public_key("master_sign").unwrap().is_none());
    }

    // P-06
    #[test]
    fn a_file_is_never_written_through_a_link() {
        let dir = Dir::new("link");
        let target = dir.0.join("target");
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, dir.0.join("name")).unwrap();

        write_private(&dir.0.join("name"), b"new", 0o600).unwrap();

        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert_eq!(fs::read_to_string(dir.0.join("name")).unwrap(), "new");
        assert_eq!(mode(&dir.0.join("name")), 0o600);
    }
}
