//! The hashes that signatures are made with.

use sha1::Sha1;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

use crate::registry::CallError;

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Salt's names that signatures here have no use for.
const ELSEWHERE: &[&str] = &[
    "sha512_224",
    "sha512_256",
    "sha3_224",
    "sha3_256",
    "sha3_384",
    "sha3_512",
];

impl Digest {
    const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// # Errors
    ///
    /// In Salt's words for what is no hash, in ours for those not offered.
    pub(super) fn from_name(name: &str) -> Result<Self, CallError> {
        if let Some(found) = Self::ALL
            .into_iter()
            .find(|digest| digest.name().eq_ignore_ascii_case(name))
        {
            return Ok(found);
        }
        Err(CallError::execution(if ELSEWHERE.contains(&name) {
            format!("signatures with {name} are not offered here")
        } else {
            format!(
                "Invalid value '{name}' for digest. Valid: sha1, sha224, sha256, sha384, sha512, {}",
                ELSEWHERE.join(", ")
            )
        }))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) fn oid(self) -> &'static str {
        match self {
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha224 => "2.16.840.1.101.3.4.2.4",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        }
    }

    /// The identifier of a signature with RSA.
    pub(super) fn with_rsa(self) -> &'static str {
        match self {
            Self::Sha1 => "1.2.840.113549.1.1.5",
            Self::Sha224 => "1.2.840.113549.1.1.14",
            Self::Sha256 => "1.2.840.113549.1.1.11",
            Self::Sha384 => "1.2.840.113549.1.1.12",
            Self::Sha512 => "1.2.840.113549.1.1.13",
        }
    }

    /// The identifier of a signature with ECDSA.
    pub(super) fn with_ecdsa(self) -> &'static str {
        match self {
            Self::Sha1 => "1.2.840.10045.4.1",
            Self::Sha224 => "1.2.840.10045.4.3.1",
            Self::Sha256 => "1.2.840.10045.4.3.2",
            Self::Sha384 => "1.2.840.10045.4.3.3",
            Self::Sha512 => "1.2.840.10045.4.3.4",
        }
    }

    /// The hash in a signature's identifier.
    pub(super) fn of_signature(oid: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|digest| digest.with_rsa() == oid || digest.with_ecdsa() == oid)
    }

    pub(super) fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(message).to_vec(),
            Self::Sha224 => Sha224::digest(message).to_vec(),
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

/// What OpenSSL calls a signature.
pub(super) fn signature_name(oid: &str) -> String {
    if oid == super::key::ED25519 {
        return "ed25519".to_owned();
    }
    match Digest::of_signature(oid) {
        Some(digest) if digest.with_rsa() == oid => {
            format!("{}WithRSAEncryption", digest.name())
        }
        Some(digest) => format!("ecdsa-with-{}", digest.name().to_uppercase()),
        None => oid.to_owned(),
    }
}
