//! The cryptographic steps of sign-in and of private replies, for both ends.
//!
//! Bytes in, bytes out: `MessagePack`, states of keys and time are other
//! crates' business. Names in `code` are the fields of Salt's messages.
//!
//! | step | minion | master |
//! |---|---|---|
//! | `_auth` request | [`Token::offer`] (`token`, to a master it knows) | |
//! | accepting answer | | [`grant`] (`aes`, `session`, `token`, `sig`), [`sign_master_key`] (`pub_sig`) |
//! | its envelope | [`PublicKey::verify`] over `load`, then the nonce | [`Identity::sign`] over `load` |
//! | its content | [`check_master`] or [`verify_master_key`], then [`accept`] | |
//! | private reply (pillar) | [`unwrap`], [`SessionKey::open`] | [`wrap`], [`SessionKey::seal`] |
//!
//! The [crate page](crate) runs through a sign-in.

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    Encryption, Error, FingerprintHash, Identity, PublicKey, Result, Secret, SessionKey, Signing,
};

/// The master's proof that a publish key is its own: `sig` in the answer.
///
/// An X9.31 signature over the key's [digest](SessionKey::sha256_hex). It is
/// the same for every minion and costs a private operation, so it is made once
/// and kept until the publish key changes.
#[derive(Debug, Clone)]
pub struct PublishKeyProof {
    publish: SessionKey,
    signature: Vec<u8>,
}

impl PublishKeyProof {
    /// Proves `publish`.
    ///
    /// # Errors
    /// [`Error::Rsa`] if the implementation fails.
    pub fn new(master: &Identity, publish: &SessionKey, rng: &mut dyn CryptoRng) -> Result<Self> {
        let signature = master.prove(publish.sha256_hex().as_bytes(), rng)?;
        Ok(Self {
            publish: publish.clone(),
            signature,
        })
    }

    /// The key it is about.
    pub const fn publish_key(&self) -> &SessionKey {
        &self.publish
    }

    /// The value of `sig`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.signature
    }
}

/// The encrypted fields of an accepting answer, as they are on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `aes`: the publish key, encrypted for the minion.
    pub aes: Vec<u8>,
    /// `session`: the minion's session key, encrypted for it.
    pub session: Vec<u8>,
    /// `sig`: the [`PublishKeyProof`].
    pub sig: Vec<u8>,
    /// `token`: the minion's token, encrypted for it, if it sent one that
    /// could be decrypted.
    pub token: Option<Vec<u8>>,
}

/// Master: hands a minion its keys.
///
/// `encryption` is the request's `enc_algo`, used for every field. `token` is
/// the request's; one that cannot be decrypted, or does not fit the minion's
/// key, is ignored as Salt ignores it. Without a token this costs no private
/// operation, with one it costs one.
///
/// # Errors
/// [`Error::Rsa`] if the implementation fails.
pub fn grant(
    master: &Identity,
    minion: &PublicKey,
    encryption: Encryption,
    proof: &PublishKeyProof,
    session: &SessionKey,
    token: Option<&[u8]>,
    rng: &mut dyn CryptoRng,
) -> Result<Grant> {
    let token = token.and_then(|token| {
        let plain = master.decrypt(encryption, token, rng).ok()?;
        minion.encrypt(encryption, plain.expose(), rng).ok()
    });
    Ok(Grant {
        aes: wrap(&proof.publish, minion, encryption, rng)?,
        session: wrap(session, minion, encryption, rng)?,
        sig: proof.signature.clone(),
        token,
    })
}

/// The secret a minion sends to a master it knows, which only the holder of
/// that master's private key can return.
///
/// Made once for the life of the process, as Salt does.
#[derive(Debug)]
pub struct Token(Secret<String>);

impl Token {
    /// Draws a fresh one.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        // Salt takes a session key's text.
        Self(SessionKey::generate(rng).to_text())
    }

    /// The value of `token` in a request to the master with this key.
    ///
    /// # Errors
    /// [`Error::Rsa`] if the implementation fails.
    pub fn offer(
        &self,
        master: &PublicKey,
        encryption: Encryption,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        master.encrypt(encryption, self.0.expose().as_bytes(), rng)
    }

    /// Checks the `token` of an answer.
    ///
    /// # Errors
    /// [`Error::TokenMismatch`] if it is missing or another.
    pub fn check(
        &self,
        returned: Option<&[u8]>,
        identity: &Identity,
        encryption: Encryption,
        rng: &mut dyn CryptoRng,
    ) -> Result<()> {
        let returned = returned.ok_or(Error::TokenMismatch)?;
        match identity.decrypt(encryption, returned, rng) {
            Ok(plain) if plain.ct_eq(self.0.expose()) => Ok(()),
            _ => Err(Error::TokenMismatch),
        }
    }
}

/// What sign-in gives a minion.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Opens publishes; shared by all minions of the master.
    pub publish: SessionKey,
    /// Seals requests and opens replies; this minion's own.
    pub session: SessionKey,
}

/// Minion: checks a grant and takes the keys out.
///
/// Comes after the envelope's signature and nonce were verified and after
/// `master` was found to be the known key, or was chosen on first use.
/// `expected` is the token that was sent, if one was. `encryption` is what the
/// request asked for, not what the answer says.
///
/// # Errors
/// [`Error::TokenMismatch`] if the token did not come back,
/// [`Error::PublishKeyMismatch`] if `master` did not prove the publish key, and
/// [`Error::Refused`] if a key cannot be taken out.
pub fn accept(
    grant: &Grant,
    identity: &Identity,
    master: &PublicKey,
    encryption: Encryption,
    expected: Option<&Token>,
    rng: &mut dyn CryptoRng,
) -> Result<Keys> {
    let publish = unwrap(&grant.aes, identity, encryption, rng)?;
    let proven = master
        .recover(&grant.sig)
        .map_err(|_| Error::PublishKeyMismatch)?;
    if !bool::from(proven.ct_eq(publish.sha256_hex().as_bytes())) {
        return Err(Error::PublishKeyMismatch);
    }
    if let Some(token) = expected {
        token.check(grant.token.as_deref(), identity, encryption, rng)?;
    }
    let session = unwrap(&grant.session, identity, encryption, rng)?;
    Ok(Keys { publish, session })
}

/// Minion: the key in the answer must be the known one.
///
/// # Errors
/// [`Error::MasterKeyChanged`] with both fingerprints.
pub fn check_master(known: &PublicKey, offered: &PublicKey) -> Result<()> {
    if known == offered {
        return Ok(());
    }
    Err(Error::MasterKeyChanged {
        known: Box::new(known.fingerprint(FingerprintHash::Sha256)),
        offered: Box::new(offered.fingerprint(FingerprintHash::Sha256)),
    })
}

/// Master: `pub_sig` (Salt's `master_sign_pubkey`), the signature over the
/// text of the master's public key by the separate `master_sign` key.
///
/// Base64 on one line, with a newline at its end.
///
/// # Errors
/// [`Error::Rsa`] if the implementation fails.
pub fn sign_master_key(
    signer: &Identity,
    signing: Signing,
    master: &PublicKey,
    rng: &mut dyn CryptoRng,
) -> Result<String> {
    let signature = signer.sign(signing, master.as_pem().as_bytes(), rng)?;
    Ok(Base64::encode_string(&signature) + "\n")
}

/// Minion: checks `pub_sig` over the master's public key.
///
/// # Errors
/// [`Error::BadSignature`].
pub fn verify_master_key(
    signer: &PublicKey,
    signing: Signing,
    master: &PublicKey,
    pub_sig: &str,
) -> Result<()> {
    // A signature file may have been wrapped (`master_use_pubkey_signature`).
    let base64: String = pub_sig.split_ascii_whitespace().collect();
    let signature = Base64::decode_vec(&base64).map_err(|_| Error::BadSignature)?;
    signer.verify(signing, master.as_pem().as_bytes(), &signature)
}

/// Encrypts a session key for the holder of `to`.
///
/// In a private reply this is `key`, outside and, the same bytes again, in the
/// signed part inside.
///
/// # Errors
/// [`Error::Rsa`] if the implementation fails.
pub fn wrap(
    key: &SessionKey,
    to: &PublicKey,
    encryption: Encryption,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    to.encrypt(encryption, key.to_text().expose().as_bytes(), rng)
}

/// Takes out a session key that was [wrapped](wrap) for `identity`.
///
/// # Errors
/// [`Error::Refused`], also if what was wrapped is no session key.
pub fn unwrap(
    wrapped: &[u8],
    identity: &Identity,
    encryption: Encryption,
    rng: &mut dyn CryptoRng,
) -> Result<SessionKey> {
    let text = identity.decrypt(encryption, wrapped, rng)?;
    let text = std::str::from_utf8(text.expose()).map_err(|_| Error::Refused)?;
    SessionKey::from_text(text).map_err(|_| Error::Refused)
}
