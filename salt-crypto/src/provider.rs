//! Who does the RSA arithmetic.
//!
//! Everything this crate needs of RSA is in the two traits here, and both
//! implementations pass the same tests. Encodings, key checks and the X9.31
//! blocks are outside, once for both.

use rand_core::CryptoRng;
use sha1::Sha1;
use sha2::{Digest, Sha224};

use crate::{Encryption, Result, Secret, Signing};

#[cfg(feature = "openssl")]
mod openssl;
mod rust;

/// Which implementation does the RSA arithmetic.
///
/// The [crate page](crate#which-rsa) says when to choose which. The default is
/// `OpenSsl` if the feature `openssl` is on, and [`Rust`](Self::Rust) otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Provider {
    /// The `rsa` crate: pure Rust, private operations always blinded.
    #[cfg_attr(not(feature = "openssl"), default)]
    Rust,
    /// The system's OpenSSL: constant-time, and about four times faster.
    ///
    /// It draws the randomness for blinding and padding from its own generator.
    #[cfg(feature = "openssl")]
    #[default]
    OpenSsl,
}

impl Provider {
    /// Those compiled in.
    pub const ALL: &[Self] = &[
        Self::Rust,
        #[cfg(feature = "openssl")]
        Self::OpenSsl,
    ];

    /// `pkcs1` is the DER of a key that was checked.
    pub(crate) fn private_key(self, pkcs1: &[u8]) -> Result<Box<dyn PrivateKeyOps>> {
        match self {
            Self::Rust => rust::private_key(pkcs1),
            #[cfg(feature = "openssl")]
            Self::OpenSsl => openssl::private_key(pkcs1),
        }
    }

    /// `pkcs1` is the DER of a key that was checked.
    pub(crate) fn public_key(self, pkcs1: &[u8]) -> Result<Box<dyn PublicKeyOps>> {
        match self {
            Self::Rust => rust::public_key(pkcs1),
            #[cfg(feature = "openssl")]
            Self::OpenSsl => openssl::public_key(pkcs1),
        }
    }
}

/// The operations with an RSA private key, all of them blinded.
pub(crate) trait PrivateKeyOps: Send + Sync {
    /// RSASSA-PKCS1-v1_5 over a digest of the algorithm's hash.
    fn sign(&self, signing: Signing, digest: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>>;

    /// RSAES-OAEP. Every failure is [`Error::Refused`](crate::Error::Refused).
    fn decrypt(
        &self,
        encryption: Encryption,
        sealed: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret<Vec<u8>>>;

    /// `block` to the power of the private exponent; both as long as the modulus.
    ///
    /// [`Error::TooLong`](crate::Error::TooLong) unless it is below the modulus.
    fn raw(&self, block: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>>;
}

/// The operations with an RSA public key.
pub(crate) trait PublicKeyOps: Send + Sync {
    /// RSASSA-PKCS1-v1_5 over a digest of the algorithm's hash.
    fn verify(&self, signing: Signing, digest: &[u8], signature: &[u8]) -> Result<()>;

    /// RSAES-OAEP.
    fn encrypt(
        &self,
        encryption: Encryption,
        data: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>>;

    /// `block` to the power of the public exponent; both as long as the modulus.
    ///
    /// [`Error::BadSignature`](crate::Error::BadSignature) unless it is below
    /// the modulus.
    fn raw(&self, block: &[u8]) -> Result<Vec<u8>>;
}

pub(crate) fn digest(signing: Signing, message: &[u8]) -> Vec<u8> {
    match signing {
        Signing::Pkcs1v15Sha1 => Sha1::digest(message).to_vec(),
        Signing::Pkcs1v15Sha224 => Sha224::digest(message).to_vec(),
    }
}
