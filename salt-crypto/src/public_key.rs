use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use rand_core::CryptoRng;

use crate::{
    Encryption, Error, Fingerprint, FingerprintHash, Provider, Result, Signing, pem,
    pem::PublicNumbers,
    provider::{self, PublicKeyOps},
    token,
};

/// An RSA public key, with the text it travels as.
///
/// Salt compares, stores, signs and fingerprints a key's *text*, so this type
/// keeps the text it was read from, cleaned: no white space around it and `\n`
/// between its lines. Two keys are equal if their cleaned texts are. Cloning
/// is cheap.
///
/// A key is accepted with 2048 to 8192 bits and the exponent 65537.
///
/// ```
/// use salt_crypto::{FingerprintHash, Identity, PublicKey};
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
///
/// let identity = Identity::generate(2048, &mut rng)?;
/// let text = identity.public_key().as_pem().replace('\n', "\r\n") + "\r\n\r\n";
///
/// let key = PublicKey::from_pem(&text)?;
/// assert_eq!(key, *identity.public_key());
/// println!("{}", key.fingerprint(FingerprintHash::Sha256));
/// # Ok::<(), salt_crypto::Error>(())
/// ```
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    pem: String,
    numbers: PublicNumbers,
    ops: Box<dyn PublicKeyOps>,
}

impl PublicKey {
    /// Reads `PUBLIC KEY` (`SubjectPublicKeyInfo`, what Salt writes) or `RSA
    /// PUBLIC KEY` (PKCS#1), with any line ends.
    ///
    /// # Errors
    /// [`Error::MalformedKey`], [`Error::KeySize`] or [`Error::KeyExponent`].
    pub fn from_pem(pem: &str) -> Result<Self> {
        let pem = pem::clean_key(pem);
        let numbers = pem::public(&pem)?;
        Self::new(pem, numbers, Provider::default())
    }

    pub(crate) fn from_numbers(numbers: PublicNumbers, provider: Provider) -> Result<Self> {
        Self::new(pem::write_public(&numbers)?, numbers, provider)
    }

    fn new(pem: String, numbers: PublicNumbers, provider: Provider) -> Result<Self> {
        let ops = provider.public_key(&numbers.pkcs1)?;
        Ok(Self(Arc::new(Inner { pem, numbers, ops })))
    }

    /// The same key, computed by another implementation.
    ///
    /// # Errors
    /// [`Error::Rsa`] if that implementation does not take the key.
    pub fn with_provider(&self, provider: Provider) -> Result<Self> {
        Self::new(self.0.pem.clone(), self.0.numbers.clone(), provider)
    }

    /// The cleaned text, which has no newline at its end.
    pub fn as_pem(&self) -> &str {
        &self.0.pem
    }

    /// Length of the modulus in bits.
    pub fn bits(&self) -> usize {
        self.0.numbers.bits
    }

    /// Whether `other` is the same RSA key, however its text looks.
    ///
    /// Two minions must not share a key; equality of texts alone would not
    /// notice one that was written differently.
    pub fn shares_modulus(&self, other: &Self) -> bool {
        self.0.numbers.modulus == other.0.numbers.modulus
    }

    /// Verifies a signature over `message`, which is hashed here.
    ///
    /// # Errors
    /// [`Error::BadSignature`].
    pub fn verify(&self, signing: Signing, message: &[u8], signature: &[u8]) -> Result<()> {
        self.0
            .ops
            .verify(signing, &provider::digest(signing, message), signature)
    }

    /// Encrypts `data` for the holder of the private key.
    ///
    /// # Errors
    /// [`Error::TooLong`]: a key of 2048 bits takes 214 bytes with
    /// [`Encryption::OaepSha1`] and 198 with [`Encryption::OaepSha224`].
    pub fn encrypt(
        &self,
        encryption: Encryption,
        data: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        self.0.ops.encrypt(encryption, data, rng)
    }

    /// Takes the data out of what [`Identity::prove`](crate::Identity::prove)
    /// made.
    ///
    /// # Errors
    /// [`Error::BadSignature`] if this key's holder did not make it.
    pub fn recover(&self, signature: &[u8]) -> Result<Vec<u8>> {
        let power = self.0.ops.raw(signature)?;
        let block = token::ending_in_c(power, &self.0.numbers.modulus);
        token::data(&block)
            .map(<[u8]>::to_vec)
            .ok_or(Error::BadSignature)
    }

    /// What an operator compares before accepting this key.
    pub fn fingerprint(&self, hash: FingerprintHash) -> Fingerprint {
        Fingerprint::of_pem(&self.0.pem, hash)
    }

    /// Whether a fingerprint an operator wrote down is this key's.
    ///
    /// Salt's minions compare [`fingerprint`](Self::fingerprint). What `salt-key -F master` of
    /// Salt 3008 prints for the master's own files is another one, the hash of the file as it
    /// is; that one counts too, since it is what an operator has at hand.
    pub fn has_fingerprint(&self, fingerprint: &Fingerprint) -> bool {
        let hash = fingerprint.hash();
        let of_key = *fingerprint == self.fingerprint(hash);
        let of_file = *fingerprint == Fingerprint::of_file(&self.0.pem, hash);
        of_key || of_file
    }

    /// Big-endian, as long as a signature.
    pub(crate) fn modulus(&self) -> &[u8] {
        &self.0.numbers.modulus
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.pem == other.0.pem
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.pem.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({})",
            self.fingerprint(FingerprintHash::Sha256)
        )
    }
}

impl std::str::FromStr for PublicKey {
    type Err = Error;

    fn from_str(pem: &str) -> Result<Self> {
        Self::from_pem(pem)
    }
}
