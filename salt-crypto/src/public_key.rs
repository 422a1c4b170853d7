use rand_core::CryptoRng;

use crate::{Encryption, Fingerprint, FingerprintHash, Provider, Result, Signing};

/// An RSA public key with the PEM text it travels as. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(());

impl PublicKey {
    /// Reads SPKI or PKCS#1 PEM.
    pub fn from_pem(pem: &str) -> Result<Self> {
        unimplemented!("{pem}")
    }
    /// The same key, computed by another implementation.
    pub fn with_provider(&self, provider: Provider) -> Result<Self> {
        unimplemented!("{provider:?}")
    }
    /// The cleaned text: no white space around it, `\n` between lines.
    pub fn as_pem(&self) -> &str {
        unimplemented!()
    }
    /// Length of the modulus in bits.
    pub fn bits(&self) -> usize {
        unimplemented!()
    }
    /// Verifies a signature over `message`.
    pub fn verify(&self, signing: Signing, message: &[u8], signature: &[u8]) -> Result<()> {
        unimplemented!("{signing:?}{message:?}{signature:?}")
    }
    /// Encrypts with OAEP.
    pub fn encrypt(
        &self,
        encryption: Encryption,
        data: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        unimplemented!("{encryption:?}{data:?}{}", rng.next_u32())
    }
    /// X9.31 "public decrypt": what [`Identity::prove`](crate::Identity::prove) was given.
    pub fn recover(&self, signature: &[u8]) -> Result<Vec<u8>> {
        unimplemented!("{signature:?}")
    }
    /// What an operator compares.
    pub fn fingerprint(&self, hash: FingerprintHash) -> Fingerprint {
        unimplemented!("{hash:?}")
    }
}
