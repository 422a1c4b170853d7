//! Salt's cryptography: RSA identity, sign-in steps and session sealing, as pure types.

mod algorithm;
mod error;
mod fingerprint;
pub mod handshake;
mod identity;
pub mod negotiate;
mod nonce;
mod pem;
mod provider;
mod public_key;
mod secret;
mod session;
#[cfg(test)]
mod testing;
pub mod token;

pub use rand_core::CryptoRng;

pub use crate::{
    algorithm::{Encryption, Signing},
    error::{Error, MAX_KEY_BITS, MIN_KEY_BITS, Result},
    fingerprint::{Fingerprint, FingerprintHash},
    identity::Identity,
    nonce::Nonce,
    provider::Provider,
    public_key::PublicKey,
    secret::Secret,
    session::{Opened, Purpose, SerialMark, SessionKey, Suite},
};

/// Lowercase hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _infallible = write!(digits, "{byte:02x}");
    }
    digits
}
