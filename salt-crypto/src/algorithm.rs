use crate::{Error, Result};

/// How a key travels under RSA: the values of `enc_algo`.
///
/// OAEP (RFC 8017 §7.1) with the same hash for the label, which is empty, and
/// for MGF1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// `OAEP-SHA1`, the default of all Salt releases.
    OaepSha1,
    /// `OAEP-SHA224`.
    OaepSha224,
}

impl Encryption {
    /// All of them, the strongest first.
    pub const ALL: [Self; 2] = [Self::OaepSha224, Self::OaepSha1];

    /// The algorithm of this wire name.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`]. Salt's master answers `bad enc algo`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "OAEP-SHA1" => Ok(Self::OaepSha1),
            "OAEP-SHA224" => Ok(Self::OaepSha224),
            _ => Err(Error::UnknownAlgorithm),
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OaepSha1 => "OAEP-SHA1",
            Self::OaepSha224 => "OAEP-SHA224",
        }
    }

    /// Whether this is a SHA-1 form, which the `strict` profile does not accept.
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::OaepSha1)
    }
}

/// How messages are signed: the values of `sig_algo`, `signing_algorithm` and
/// `publish_signing_algorithm`.
///
/// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2), which is deterministic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signing {
    /// `PKCS1v15-SHA1`, the default of all Salt releases.
    Pkcs1v15Sha1,
    /// `PKCS1v15-SHA224`.
    Pkcs1v15Sha224,
}

impl Signing {
    /// All of them, the strongest first.
    pub const ALL: [Self; 2] = [Self::Pkcs1v15Sha224, Self::Pkcs1v15Sha1];

    /// The algorithm of this wire name.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`]. Salt's master answers `bad sig algo`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "PKCS1v15-SHA1" => Ok(Self::Pkcs1v15Sha1),
            "PKCS1v15-SHA224" => Ok(Self::Pkcs1v15Sha224),
            _ => Err(Error::UnknownAlgorithm),
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pkcs1v15Sha1 => "PKCS1v15-SHA1",
            Self::Pkcs1v15Sha224 => "PKCS1v15-SHA224",
        }
    }

    /// Whether this is a SHA-1 form, which the `strict` profile does not accept.
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Pkcs1v15Sha1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_algorithm() {
        for it in Encryption::ALL {
            assert_eq!(Encryption::from_name(it.name()).unwrap(), it);
        }
        for it in Signing::ALL {
            assert_eq!(Signing::from_name(it.name()).unwrap(), it);
        }
    }

    // K-07
    #[test]
    fn k07_only_the_exact_names_are_known() {
        for name in ["", "OAEP", "oaep-sha1", "OAEP-SHA1 ", "OAEP-MD5", "none"] {
            assert!(
                matches!(Encryption::from_name(name), Err(Error::UnknownAlgorithm)),
                "{name}"
            );
        }
        for name in ["", "PKCS1v15", "pkcs1v15-sha1", "PKCS1v15-MD5", "none"] {
            assert!(
                matches!(Signing::from_name(name), Err(Error::UnknownAlgorithm)),
                "{name}"
            );
        }
    }

    #[test]
    fn the_sha1_forms_are_legacy() {
        assert!(Encryption::OaepSha1.is_legacy() && !Encryption::OaepSha224.is_legacy());
        assert!(Signing::Pkcs1v15Sha1.is_legacy() && !Signing::Pkcs1v15Sha224.is_legacy());
    }
}
