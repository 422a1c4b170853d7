use std::{fmt, sync::Arc};

use rand_core::CryptoRng;
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey};

use crate::{
    Encryption, Error, FingerprintHash, MIN_KEY_BITS, Provider, PublicKey, Result, Secret, Signing,
    pem,
    pem::PrivateNumbers,
    provider::{self, PrivateKeyOps},
    token,
};

/// An RSA private key: who a master or a minion is.
///
/// Cloning is cheap and shares one copy, wiped when the last is dropped.
/// Every private operation is blinded; it takes milliseconds, so a server runs
/// it where it may block.
///
/// ```
/// use salt_crypto::{Identity, Signing};
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
///
/// let identity = Identity::generate(2048, &mut rng)?;
/// let signature = identity.sign(Signing::Pkcs1v15Sha224, b"a message", &mut rng)?;
/// identity.public_key().verify(Signing::Pkcs1v15Sha224, b"a message", &signature)?;
///
/// let read = Identity::from_pem(identity.to_pem().expose(), None)?;
/// assert_eq!(read.public_key(), identity.public_key());
/// # Ok::<(), salt_crypto::Error>(())
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    pkcs1: Secret<Vec<u8>>,
    public: PublicKey,
    ops: Box<dyn PrivateKeyOps>,
}

/// The longest key that is generated. Longer ones only cost time.
const MAX_GENERATED_BITS: usize = 4096;

impl Identity {
    /// Makes a fresh key of 2048 to 4096 bits with the exponent 65537.
    ///
    /// Takes a tenth of a second to several seconds.
    ///
    /// # Errors
    /// [`Error::KeySize`], or [`Error::Rsa`] if the generator fails.
    pub fn generate(bits: usize, rng: &mut dyn CryptoRng) -> Result<Self> {
        if !(MIN_KEY_BITS..=MAX_GENERATED_BITS).contains(&bits) {
            return Err(Error::KeySize { bits });
        }
        let failed = |source: Box<_>| Error::Rsa {
            doing: "generating a key",
            source,
        };
        let key = RsaPrivateKey::new(rng, bits).map_err(|it| failed(Box::new(it)))?;
        let der = key.to_pkcs1_der().map_err(|it| failed(Box::new(it)))?;
        Self::new(pem::private_pkcs1(der.as_bytes())?, Provider::default())
    }

    /// Reads a private key: PKCS#1 (`RSA PRIVATE KEY`) or PKCS#8 (`PRIVATE
    /// KEY`), in the clear, or under a passphrase in either's encrypted form.
    ///
    /// The passphrase is not looked at if the key is not encrypted. Of the
    /// traditional form, AES-CBC and DES-EDE3-CBC are read; of PKCS#8's, PBES2
    /// with PBKDF2 or scrypt.
    ///
    /// # Errors
    /// [`Error::PassphraseNeeded`], [`Error::WrongPassphrase`] or
    /// [`Error::UnsupportedEncryption`] for an encrypted key;
    /// [`Error::MalformedKey`], [`Error::KeySize`] or [`Error::KeyExponent`]
    /// for any.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self> {
        let numbers = pem::private(pem, passphrase)?;
        // The pure-Rust reader checks that the numbers belong together.
        let checked = Provider::Rust.private_key(numbers.pkcs1.expose())?;
        match Provider::default() {
            Provider::Rust => Self::with_ops(numbers, Provider::Rust, checked),
            #[cfg(feature = "openssl")]
            provider => Self::new(numbers, provider),
        }
    }

    fn new(numbers: PrivateNumbers, provider: Provider) -> Result<Self> {
        let ops = provider.private_key(numbers.pkcs1.expose())?;
        Self::with_ops(numbers, provider, ops)
    }

    fn with_ops(
        numbers: PrivateNumbers,
        provider: Provider,
        ops: Box<dyn PrivateKeyOps>,
    ) -> Result<Self> {
        let PrivateNumbers { pkcs1, public } = numbers;
        let public = PublicKey::from_numbers(public, provider)?;
        Ok(Self(Arc::new(Inner { pkcs1, public, ops })))
    }

    /// The same key, computed by another implementation.
    ///
    /// # Errors
    /// [`Error::Rsa`] if that implementation does not take the key.
    pub fn with_provider(&self, provider: Provider) -> Result<Self> {
        Self::new(pem::private_pkcs1(self.0.pkcs1.expose())?, provider)
    }

    /// The key as Salt writes it: PKCS#1 PEM in the clear.
    ///
    /// Whoever writes it to a file makes that file owner-only before the first
    /// byte.
    pub fn to_pem(&self) -> Secret<String> {
        pem::write_private(self.0.pkcs1.expose())
    }

    /// The key under a passphrase: PKCS#8 with PBKDF2-HMAC-SHA256 (600,000
    /// rounds) and AES-256-CBC.
    ///
    /// Stock Salt reads it. Salt itself would write the traditional form,
    /// whose key derivation is one round of MD5.
    ///
    /// # Errors
    /// None in practice; encodings are fallible in principle.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &str,
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret<String>> {
        pem::write_encrypted(self.0.pkcs1.expose(), passphrase, rng)
    }

    /// The public half, with its text as Salt writes it.
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public
    }

    /// Signs `message`, which is hashed here.
    ///
    /// # Errors
    /// [`Error::Rsa`] if the implementation fails.
    pub fn sign(
        &self,
        signing: Signing,
        message: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        self.0
            .ops
            .sign(signing, &provider::digest(signing, message), rng)
    }

    /// Decrypts what was encrypted for this key.
    ///
    /// # Errors
    /// [`Error::Refused`], whatever the reason: strangers send these bytes.
    pub fn decrypt(
        &self,
        encryption: Encryption,
        sealed: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret<Vec<u8>>> {
        self.0.ops.decrypt(encryption, sealed, rng)
    }

    /// States `data` in a way that only the holder of this key can: an X9.31
    /// signature with message recovery.
    ///
    /// Deterministic, and of the data itself, not of a hash. See
    /// [`token`](crate::token).
    ///
    /// # Errors
    /// [`Error::TooLong`] unless it is shorter than the modulus by two bytes.
    pub fn prove(&self, data: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        let modulus = self.0.public.modulus();
        let block = token::block(data, modulus.len())?;
        Ok(token::smaller(self.0.ops.raw(&block, rng)?, modulus))
    }
}

/// Prints the public half's fingerprint.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({})",
            self.0.public.fingerprint(FingerprintHash::Sha256)
        )
    }
}
