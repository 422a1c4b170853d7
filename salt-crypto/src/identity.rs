use rand_core::CryptoRng;

use crate::{Encryption, Provider, PublicKey, Result, Secret, Signing};

/// An RSA private key. Cloning is cheap.
#[derive(Clone)]
pub struct Identity(());

impl Identity {
    /// Makes a fresh key of 2048 to 4096 bits.
    pub fn generate(bits: usize, rng: &mut dyn CryptoRng) -> Result<Self> {
        unimplemented!("{bits}{}", rng.next_u32())
    }
    /// Reads a private key in PKCS#1 or PKCS#8 PEM, encrypted or not.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self> {
        unimplemented!("{pem}{passphrase:?}")
    }
    /// The same key, computed by another implementation.
    pub fn with_provider(&self, provider: Provider) -> Result<Self> {
        unimplemented!("{provider:?}")
    }
    /// PKCS#1 PEM, as Salt writes it.
    pub fn to_pem(&self) -> Secret<String> {
        unimplemented!()
    }
    /// PKCS#8 PEM encrypted with a passphrase.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &str,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret<String>> {
        unimplemented!("{passphrase}{}", rng.next_u32())
    }
    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        unimplemented!()
    }
    /// Signs a message (hashed here).
    pub fn sign(
        &self,
        signing: Signing,
        message: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        unimplemented!("{signing:?}{message:?}{}", rng.next_u32())
    }
    /// Decrypts OAEP; every failure is [`Error::Refused`](crate::Error::Refused).
    pub fn decrypt(
        &self,
        encryption: Encryption,
        sealed: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret<Vec<u8>>> {
        unimplemented!("{encryption:?}{sealed:?}{}", rng.next_u32())
    }
    /// X9.31 "private encrypt".
    pub fn prove(&self, data: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        unimplemented!("{data:?}{}", rng.next_u32())
    }
}
