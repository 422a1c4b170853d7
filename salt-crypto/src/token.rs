//! The "I hold this private key" token that every sealed request carries (`tok`).
use rand_core::CryptoRng;

use crate::{Identity, PublicKey, Result};

/// Makes the token of this key: constant for a key, so keep it.
pub fn prove(identity: &Identity, rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
    identity.prove(b"salt", rng)
}
/// Checks that the holder of `key` made `token`.
pub fn check(key: &PublicKey, token: &[u8]) -> Result<()> {
    unimplemented!("{}{token:?}", key.as_pem())
}
