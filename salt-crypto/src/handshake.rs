//! The cryptographic steps of sign-in, for both ends, on bytes only.
use rand_core::CryptoRng;

use crate::{Encryption, Identity, PublicKey, Result, Secret, SessionKey, Signing};

/// The master's proof of the publish key, made once for each publish key.
#[derive(Clone)]
pub struct PublishKeyProof(());
impl PublishKeyProof {
    /// Makes the proof: one RSA private operation.
    pub fn new(master: &Identity, publish: &SessionKey, rng: &mut dyn CryptoRng) -> Result<Self> {
        unimplemented!(
            "{publish:?}{}{}",
            master.public_key().as_pem(),
            rng.next_u32()
        )
    }
    /// The publish key it proves.
    pub fn publish_key(&self) -> &SessionKey {
        unimplemented!()
    }
    /// The value of `sig`.
    pub fn as_bytes(&self) -> &[u8] {
        unimplemented!()
    }
}

/// The encrypted fields of an accepting `_auth` answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `aes`
    pub aes: Vec<u8>,
    /// `session`
    pub session: Vec<u8>,
    /// `sig`
    pub sig: Vec<u8>,
    /// `token`
    pub token: Option<Vec<u8>>,
}

/// Master: makes the fields that hand a minion its keys. `token` is the request's; one that cannot be decrypted is ignored.
pub fn grant(
    master: &Identity,
    minion: &PublicKey,
    encryption: Encryption,
    proof: &PublishKeyProof,
    session: &SessionKey,
    token: Option<&[u8]>,
    rng: &mut dyn CryptoRng,
) -> Result<Grant> {
    unimplemented!(
        "{}{}{encryption:?}{:?}{session:?}{token:?}{}",
        master.public_key().as_pem(),
        minion.as_pem(),
        proof.as_bytes(),
        rng.next_u32()
    )
}

/// The secret a minion sends to a master it knows, to get it back.
pub struct Token(Secret<String>);
impl Token {
    /// Draws a fresh one; kept for the life of the process.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(SessionKey::generate(rng).to_text())
    }
    /// The value of `token` in a request to the master with this key.
    pub fn offer(
        &self,
        master: &PublicKey,
        encryption: Encryption,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        master.encrypt(encryption, self.0.expose().as_bytes(), rng)
    }
}

/// What sign-in gives a minion.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Opens publishes.
    pub publish: SessionKey,
    /// Seals requests, opens replies.
    pub session: SessionKey,
}

/// Minion: checks a grant and takes the keys out. `expected` is the token that was sent, if one was.
pub fn accept(
    grant: &Grant,
    identity: &Identity,
    master: &PublicKey,
    encryption: Encryption,
    expected: Option<&Token>,
    rng: &mut dyn CryptoRng,
) -> Result<Keys> {
    unimplemented!(
        "{grant:?}{}{}{encryption:?}{}{}",
        identity.public_key().as_pem(),
        master.as_pem(),
        expected.is_some(),
        rng.next_u32()
    )
}

/// Minion: the offered key must be the known one.
pub fn check_master(known: &PublicKey, offered: &PublicKey) -> Result<()> {
    unimplemented!("{}{}", known.as_pem(), offered.as_pem())
}

/// Master: the value of `pub_sig` (`master_sign_pubkey`): base64 text with a newline.
pub fn sign_master_key(
    signer: &Identity,
    signing: Signing,
    master: &PublicKey,
    rng: &mut dyn CryptoRng,
) -> Result<String> {
    unimplemented!(
        "{}{}{signing:?}{}",
        signer.public_key().as_pem(),
        master.as_pem(),
        rng.next_u32()
    )
}
/// Minion: checks `pub_sig`.
pub fn verify_master_key(
    signer: &PublicKey,
    signing: Signing,
    master: &PublicKey,
    pub_sig: &str,
) -> Result<()> {
    unimplemented!("{}{}{signing:?}{pub_sig}", signer.as_pem(), master.as_pem())
}

/// Encrypts a session key for the holder of `to`: the `key` of a private reply (pillar).
pub fn wrap(
    key: &SessionKey,
    to: &PublicKey,
    encryption: Encryption,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    unimplemented!("{key:?}{}{encryption:?}{}", to.as_pem(), rng.next_u32())
}
/// Takes out a key that was wrapped for `identity`; every failure is [`Error::Refused`](crate::Error::Refused).
pub fn unwrap(
    wrapped: &[u8],
    identity: &Identity,
    encryption: Encryption,
    rng: &mut dyn CryptoRng,
) -> Result<SessionKey> {
    unimplemented!(
        "{wrapped:?}{}{encryption:?}{}",
        identity.public_key().as_pem(),
        rng.next_u32()
    )
}
