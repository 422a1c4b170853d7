use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{Error, Result};

/// Ties a reply to its request: 32 hexadecimal digits.
///
/// A requester puts a fresh one into its load; the reply carries it in front
/// of its body. Salt takes the hexadecimal form of a random UUID, and so does
/// [`generate`](Self::generate).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; Self::LEN]);

impl Nonce {
    /// Length in bytes, all of them ASCII.
    pub const LEN: usize = 32;

    /// Draws a fresh one: 122 random bits in the form of a version 4 UUID.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut uuid = [0_u8; 16];
        rng.fill_bytes(&mut uuid);
        // RFC 9562 §5.4: the version and variant bits, which Salt's have too.
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;

        let mut digits = [0; Self::LEN];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(uuid) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self(digits)
    }

    /// Reads one from a load.
    ///
    /// Digits of either case are kept as they came, because a reply has to
    /// echo them exactly.
    ///
    /// # Errors
    /// [`Error::MalformedNonce`] unless it is 32 hexadecimal digits.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// [`from_text`](Self::from_text) for loads whose text was kept as bytes.
    ///
    /// # Errors
    /// [`Error::MalformedNonce`] unless it is 32 hexadecimal digits.
    pub fn from_bytes(text: &[u8]) -> Result<Self> {
        let digits: [u8; Self::LEN] = text.try_into().map_err(|_| Error::MalformedNonce)?;
        if digits.iter().all(u8::is_ascii_hexdigit) {
            Ok(Self(digits))
        } else {
            Err(Error::MalformedNonce)
        }
    }

    /// The digits as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The digits as bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Whether `other` is the same nonce, in time that does not depend on
    /// where they differ.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Nonce").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Nonce {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    #[test]
    fn a_fresh_nonce_looks_like_a_random_uuid() {
        let nonce = Nonce::generate(&mut rng());

        assert_eq!(nonce.as_str().len(), 32);
        assert_eq!(&nonce.as_str()[12..13], "4");
        assert!("89ab".contains(&nonce.as_str()[16..17]));
        assert_eq!(Nonce::from_text(nonce.as_str()).unwrap(), nonce);
        assert_ne!(Nonce::generate(&mut rng()), nonce);
    }

    #[test]
    fn anything_but_32_hexadecimal_digits_is_no_nonce() {
        for text in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789abcdef0123456789abcdeg",
            "0123456789abcdef0123456789abcd\u{e9}",
        ] {
            assert!(Nonce::from_text(text).is_err(), "{text}");
        }
    }
}
