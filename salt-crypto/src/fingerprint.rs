use std::{fmt, str::FromStr};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::{Error, Result};

/// What an operator compares before accepting a key.
///
/// The hash of the base64 lines of the public key's PEM text *with* their line
/// ends (`\n`), printed as hexadecimal pairs joined by colons: what `salt-key
/// -F`, `salt-call key.finger` and `master_finger` show and take.
///
/// ```
/// use salt_crypto::{Fingerprint, FingerprintHash};
///
/// let it: Fingerprint = "a1:a0:10:e0:01:2d:d1:c1:54:1b:11:c5:b8:31:17:d5:5c:e1:68:36".parse()?;
/// assert_eq!(it.hash(), FingerprintHash::Sha1);
/// assert_eq!(it.to_string().len(), 59);
/// # Ok::<(), salt_crypto::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Fingerprint {
    hash: FingerprintHash,
    bytes: [u8; 64],
}

/// The values of Salt's `hash_type`, as far as fingerprints are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FingerprintHash {
    /// `md5`. Collisions are cheap: read old notes with it, do not hand it out.
    Md5,
    /// `sha1`. As [`Md5`](Self::Md5).
    Sha1,
    /// `sha224`.
    Sha224,
    /// `sha256`, Salt's default.
    #[default]
    Sha256,
    /// `sha384`.
    Sha384,
    /// `sha512`.
    Sha512,
}

impl FingerprintHash {
    /// All of them, by length.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// The hash of this `hash_type`.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`].
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|it| it.name() == name)
            .ok_or(Error::UnknownAlgorithm)
    }

    /// The name in Salt's configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Lowercase hexadecimal hash of `data`.
    ///
    /// What Salt derives from ids and jids: the topics of a filtered publish
    /// (SHA-1), names of local sockets and of a job's directory (`hash_type`).
    pub fn hex_of(self, data: &[u8]) -> String {
        let mut bytes = [0; 64];
        self.digest([data], &mut bytes);
        crate::hex(bytes.get(..self.len()).unwrap_or_default())
    }

    fn digest<'a>(self, parts: impl IntoIterator<Item = &'a [u8]>, out: &mut [u8; 64]) {
        fn of<'a, D: Digest>(parts: impl IntoIterator<Item = &'a [u8]>, out: &mut [u8; 64]) {
            let mut digest = D::new();
            for part in parts {
                digest.update(part);
            }
            for (to, from) in out.iter_mut().zip(digest.finalize()) {
                *to = from;
            }
        }
        match self {
            Self::Md5 => of::<Md5>(parts, out),
            Self::Sha1 => of::<Sha1>(parts, out),
            Self::Sha224 => of::<Sha224>(parts, out),
            Self::Sha256 => of::<Sha256>(parts, out),
            Self::Sha384 => of::<Sha384>(parts, out),
            Self::Sha512 => of::<Sha512>(parts, out),
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a PEM text: blank lines, then the first and the last
    /// of the others, are left out.
    pub(crate) fn of_pem(cleaned: &str, hash: FingerprintHash) -> Self {
        let lines: Vec<&str> = cleaned
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let inner = match lines.as_slice() {
            [_, inner @ .., _] => inner,
            _ => &[],
        };

        let mut bytes = [0; 64];
        hash.digest(
            inner.iter().flat_map(|line| [line.as_bytes(), b"\n"]),
            &mut bytes,
        );
        Self { hash, bytes }
    }

    /// The hash of a key file as Salt writes it: the whole text with a final line feed.
    pub(crate) fn of_file(cleaned: &str, hash: FingerprintHash) -> Self {
        let mut bytes = [0; 64];
        hash.digest([cleaned.as_bytes(), b"\n"], &mut bytes);
        Self { hash, bytes }
    }

    /// Which hash it was made with.
    pub const fn hash(&self) -> FingerprintHash {
        self.hash
    }

    /// The hash's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.hash.len()).unwrap_or_default()
    }
}

/// In time that does not depend on where the two differ.
impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Fingerprint {}

/// Lowercase pairs joined by colons.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.as_bytes().iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Reads the printed form; upper case and surrounding white space are fine,
/// and the length says which hash it is.
impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut bytes = [0; 64];
        let mut len = 0;
        for pair in text.trim().split(':') {
            let [high, low] = pair.as_bytes() else {
                return Err(Error::MalformedFingerprint);
            };
            let digit = |it: &u8| {
                char::from(*it)
                    .to_digit(16)
                    .and_then(|it| u8::try_from(it).ok())
            };
            let (Some(high), Some(low), Some(to)) = (digit(high), digit(low), bytes.get_mut(len))
            else {
                return Err(Error::MalformedFingerprint);
            };
            *to = high << 4 | low;
            len += 1;
        }
        let hash = FingerprintHash::ALL.into_iter().find(|it| it.len() == len);
        hash.map(|hash| Self { hash, bytes })
            .ok_or(Error::MalformedFingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PublicKey;

    // The key of a Salt 3008.3 master, what its `salt-key -F master` printed for the file
    // `oracle-master.pub`, and what its minions compare with `master_finger`.
    #[test]
    fn both_fingerprints_that_salt_prints_of_a_key_are_its_own() {
        let key = PublicKey::from_pem(
            "-----BEGIN PUBLIC KEY-----\n\
             MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApCsQtCnYKU5gLme9Zjh4\n\
             m6XmmVNyu1OF9h7nAVX8uCrV7EMROIZvYyidLVsKgWiVIdHWkZjTnAqiMwzeRgqW\n\
             uErKCVu6aERwqI5P4kZw76VT1tfrTgbQbAmnPxEfL9CO0CivxMTJ4t2TiPECslTj\n\
             lEAZtsD8VmORo6iCW3rMFw/tiTX64U4/SJXD13dmzEyuQgrseHa5DxI8kfWlCIV4\n\
             YUTEB8y2KtGv00r3V+nTa1z+QGq2ALNBztGanW8LOYWbGnp3AkZeLIW6+u+bIGiC\n\
             2IQ1wamAQkJUX6B1yi072fulHrYHZJS6FjYiWChNCRk5yMPIcG3YcB7MWyQUNO24\n\
             OwIDAQAB\n\
             -----END PUBLIC KEY-----",
        )
        .unwrap();

        for (printed, own) in [
            (
                "ed:84:4f:b1:39:9c:70:a5:be:0c:c6:16:ec:40:ce:c2:61:20:45:b2:31:30:a2:4b:1d:bb:48:79:f5:94:ef:55",
                true,
            ),
            (
                "a3:f1:72:8a:38:0f:2d:3f:0e:e1:6e:3c:b3:76:32:d7:24:30:20:99:11:58:31:c8:f8:44:dd:0d:13:1b:4f:35",
                true,
            ),
            (
                "a3:f1:72:8a:38:0f:2d:3f:0e:e1:6e:3c:b3:76:32:d7:24:30:20:99:11:58:31:c8:f8:44:dd:0d:13:1b:4f:36",
                false,
            ),
        ] {
            assert_eq!(
                key.has_fingerprint(&printed.parse().unwrap()),
                own,
                "{printed}"
            );
        }
    }

    #[test]
    fn the_printed_form_is_read_back() {
        for hash in FingerprintHash::ALL {
            let it = Fingerprint::of_pem("-----BEGIN\nabc\ndef\n-----END", hash);

            assert_eq!(it.to_string().parse::<Fingerprint>().unwrap(), it);
            assert_eq!(
                it.to_string()
                    .to_uppercase()
                    .parse::<Fingerprint>()
                    .unwrap(),
                it
            );
            assert_eq!(it.to_string().parse::<Fingerprint>().unwrap().hash(), hash);
        }
    }

    #[test]
    fn other_texts_are_no_fingerprints() {
        for text in [
            "",
            ":",
            "a",
            "aa",
            "aa:",
            "aa:bb",
            "zz:zz",
            "+1:+2",
            &"aa:".repeat(65),
        ] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_other_bit_makes_another_fingerprint() {
        let one = Fingerprint::of_pem("a\nb\nc", FingerprintHash::Sha256);
        let other = Fingerprint::of_pem("a\nc\nc", FingerprintHash::Sha256);

        assert_ne!(one, other);
    }
}
