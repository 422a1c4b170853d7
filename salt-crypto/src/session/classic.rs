//! Salt's own sealing: AES-192-CBC, then HMAC-SHA256 over IV and ciphertext.

use std::ops::Range;

use aes::{Aes192, Block};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;

use super::{KEY_LEN, MARKER, append, body_after_nonce, gcm};
use crate::{Error, Nonce, Result};

/// The expanded AES key and the two padded states of HMAC, made once.
pub(super) struct Keys {
    aes: Aes192,
    mac: Hmac<Sha256>,
}

const BLOCK: usize = 16;
const TAG: usize = 32;
/// What one step of SHA-256 takes.
const STEP: usize = 64;

impl Keys {
    pub(super) fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let (aes, mac) = bytes.split_at(24);
        let mut aes_key = aes::cipher::Key::<Aes192>::default();
        aes_key.copy_from_slice(aes);
        let mut mac_key = hmac::digest::Key::<Hmac<Sha256>>::default();
        // Shorter keys are filled up with zeros (RFC 2104 §2).
        for (to, from) in mac_key.iter_mut().zip(mac) {
            *to = *from;
        }

        let keys = Self {
            aes: Aes192::new(&aes_key),
            mac: Hmac::new(&mac_key),
        };
        zeroize::Zeroize::zeroize(aes_key.as_mut_slice());
        zeroize::Zeroize::zeroize(mac_key.as_mut_slice());
        keys
    }

    pub(super) fn seal(
        &self,
        nonce: Option<&Nonce>,
        body: &[u8],
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
    ) {
        let mut iv = Block::default();
        loop {
            rng.fill_bytes(iv.as_mut_slice());
            // The one start that would read as the other suite.
            if !iv.starts_with(gcm::MAGIC) {
                break;
            }
        }
        self.seal_with_iv(&iv, nonce, body, out);
    }

    fn seal_with_iv(&self, iv: &Block, nonce: Option<&Nonce>, body: &[u8], out: &mut Vec<u8>) {
        let nonce: &[u8] = nonce.map_or(&[], |it| it.as_bytes());
        let plain = MARKER.len() + nonce.len() + body.len();
        let padding = BLOCK - plain % BLOCK;
        let start = out.len();
        out.reserve(BLOCK + plain + padding + TAG);
        out.extend_from_slice(iv);
        out.extend_from_slice(MARKER);
        out.extend_from_slice(nonce);
        append(out, body);
        // 1 to 16, so the cast keeps it.
        out.resize(out.len() + padding, padding as u8);

        let mut mac = self.mac.clone();
        self.encrypt_and_mac(iv, &mut mac, out.get_mut(start..).unwrap_or_default());
        out.extend_from_slice(&mac.finalize().into_bytes());
    }

    /// Encrypts all of `message` but its first block and puts the whole into `mac`.
    ///
    /// Both are chains of dependent steps that leave most of the processor
    /// idle. So HMAC follows one step behind CBC and the two overlap, which is
    /// a quarter faster than one after the other.
    fn encrypt_and_mac(&self, iv: &Block, mac: &mut Hmac<Sha256>, message: &mut [u8]) {
        let mut cbc = cbc::Encryptor::inner_iv_init(&self.aes, iv);
        let mut from = BLOCK;
        let mut done = 0;
        while from < message.len() {
            let to = message.len().min(done + 2 * STEP);
            let Some((sealed, rest)) = message.split_at_mut_checked(from) else {
                return;
            };
            let Some(next) = rest.get_mut(..to - from) else {
                return;
            };
            let (blocks, _) = Block::slice_as_chunks_mut(next);
            cbc.encrypt_blocks(blocks);
            if let Some(step) = sealed.get(done..done + STEP) {
                mac.update(step);
                done += STEP;
            }
            from = to;
        }
        mac.update(message.get(done..).unwrap_or_default());
    }

    pub(super) fn open(
        &self,
        nonce: Option<&Nonce>,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Range<usize>>> {
        self.open_with(nonce, sealed, out, |iv, blocks| {
            cbc::Decryptor::inner_iv_init(&self.aes, iv).decrypt_blocks(blocks);
        })
    }

    /// `decrypt` is an argument so that a test can count how often it is called.
    fn open_with(
        &self,
        nonce: Option<&Nonce>,
        sealed: &[u8],
        out: &mut Vec<u8>,
        decrypt: impl FnOnce(&Block, &mut [Block]),
    ) -> Result<Option<Range<usize>>> {
        // Nothing but the tag's presence is looked at before the tag is right.
        let (message, tag) = sealed.split_last_chunk::<TAG>().ok_or(Error::Refused)?;
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.verify_slice(tag).map_err(|_| Error::Refused)?;

        let (iv, sealed) = message.split_first_chunk::<BLOCK>().ok_or(Error::Refused)?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
            return Err(Error::Refused);
        }
        let start = out.len();
        append(out, sealed);
        let plain = out.get_mut(start..).unwrap_or_default();
        let (blocks, _) = Block::slice_as_chunks_mut(plain);
        decrypt(&Block::from(*iv), blocks);

        // Salt's reader believes the last byte; a sealer that knows the key and
        // pads otherwise is broken or lying.
        let padding = plain.last().map_or(0, |it| usize::from(*it));
        let cut = plain.len().checked_sub(padding).ok_or(Error::Refused)?;
        let filler = plain.get(cut..).unwrap_or_default();
        if !(1..=BLOCK).contains(&padding) || filler.iter().any(|it| usize::from(*it) != padding) {
            return Err(Error::Refused);
        }
        let end = start + cut;
        out.truncate(end);

        if !out.get(start..).is_some_and(|it| it.starts_with(MARKER)) {
            // Authentic, but no message. Where a nonce was asked for, it lacks.
            return match nonce {
                None => Ok(None),
                Some(_) => Err(Error::NonceMismatch),
            };
        }
        body_after_nonce(nonce, out, start + MARKER.len()..end).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::rng;

    fn keys() -> Keys {
        Keys::new(&std::array::from_fn(|i| i as u8))
    }

    // C-01
    #[test]
    fn c01_no_flipped_bit_gets_as_far_as_the_cipher() {
        let keys = keys();
        let mut sealed = Vec::new();
        keys.seal(None, b"\x81\xa3key\xa5value", &mut rng(), &mut sealed);
        let calls = Cell::new(0);

        for bit in 0..sealed.len() * 8 {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let refused = keys.open_with(None, &bent, &mut Vec::new(), |_, _| {
                calls.set(calls.get() + 1);
            });
            assert!(matches!(refused, Err(Error::Refused)), "bit {bit}");
        }

        assert_eq!(calls.get(), 0);
    }

    // C-01
    #[test]
    fn c01_no_truncated_message_gets_as_far_as_the_cipher() {
        let keys = keys();
        let mut sealed = Vec::new();
        keys.seal(None, &[7; 100], &mut rng(), &mut sealed);
        let calls = Cell::new(0);

        for len in 0..sealed.len() {
            let refused = keys.open_with(None, &sealed[..len], &mut Vec::new(), |_, _| {
                calls.set(calls.get() + 1);
            });
            assert!(matches!(refused, Err(Error::Refused)), "{len} bytes");
        }

        assert_eq!(calls.get(), 0);
    }

    #[test]
    fn overlapping_the_mac_with_the_cipher_changes_nothing() {
        let keys = keys();
        for len in 0..300 {
            let body = vec![len as u8; len];
            let mut sealed = Vec::new();
            keys.seal_with_iv(&Block::from([3; 16]), None, &body, &mut sealed);

            let mut plain = [MARKER, &body].concat();
            let padding = BLOCK - plain.len() % BLOCK;
            plain.resize(plain.len() + padding, padding as u8);
            let (blocks, _) = Block::slice_as_chunks_mut(&mut plain);
            cbc::Encryptor::inner_iv_init(&keys.aes, &Block::from([3; 16])).encrypt_blocks(blocks);
            let mut expected = [&[3; 16], plain.as_slice()].concat();
            let tag = keys.mac.clone().chain_update(&expected).finalize();
            expected.extend_from_slice(&tag.into_bytes());

            assert_eq!(sealed, expected, "{len}");
        }
    }
}
