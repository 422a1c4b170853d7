//! The suite between our own peers; the crate page specifies it.

use std::{ops::Range, sync::OnceLock};

use aes::{
    Aes256Enc, Block,
    cipher::{BlockCipherEncrypt, Key, consts::U12},
};
use aes_gcm::{
    AesGcm, Tag,
    aead::{AeadInOut, inout::InOutBuf},
};
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::{KEY_LEN, Purpose, append, body_after_nonce};
use crate::{Error, Nonce, Result};

/// What every message in this suite begins with.
pub(super) const MAGIC: &[u8; 8] = b"SaltGCM1";

/// The `info` of HKDF.
const LABEL: &[u8] = b"SaltGCM1 session key";

const NONCE: usize = 24;
const TAG: usize = 16;

/// Made at first use: most sessions never need it.
#[derive(Default)]
pub(super) struct Keys(OnceLock<Box<Cipher>>);

impl Keys {
    pub(super) fn of(&self, text: &str) -> &Cipher {
        self.0.get_or_init(|| {
            let mut bytes = Zeroizing::new([0; KEY_LEN]);
            // A session key's text was decoded once before, so this succeeds.
            let decoded = Base64::decode(text, bytes.as_mut_slice());
            debug_assert!(decoded.is_ok(), "a session key's text is base64");
            let mut key = hkdf(bytes.as_slice(), LABEL);
            let cipher = Box::new(Cipher::new(&key));
            key.as_mut_slice().zeroize();
            cipher
        })
    }
}

/// HKDF-SHA256 (RFC 5869) without salt, 32 bytes long.
fn hkdf(secret: &[u8], info: &[u8]) -> Key<Aes256Enc> {
    let mut extract = Hmac::<Sha256>::new(&Default::default());
    extract.update(secret);
    let mut prk = extract.finalize().into_bytes();

    let mut prk_key = Key::<Hmac<Sha256>>::default();
    for (to, from) in prk_key.iter_mut().zip(&prk) {
        *to = *from;
    }
    let mut expand = Hmac::<Sha256>::new(&prk_key);
    expand.update(info);
    expand.update(&[1]);
    let mut okm = expand.finalize().into_bytes();

    let mut key = Key::<Aes256Enc>::default();
    key.copy_from_slice(&okm);
    prk.as_mut_slice().zeroize();
    prk_key.as_mut_slice().zeroize();
    okm.as_mut_slice().zeroize();
    key
}

/// AES-256-GCM. Counter mode only ever encrypts, so half a key schedule is enough.
type Gcm = AesGcm<Aes256Enc, U12>;

/// XAES-256-GCM (C2SP): each message is sealed by AES-256-GCM under a key of its
/// own, derived by CMAC from the first half of a nonce of 24 random bytes.
///
/// So many bits make a repeated nonce impossible for practical purposes without
/// any memory of former ones, through restarts and copies of a machine.
pub(super) struct Cipher {
    aes: Aes256Enc,
    /// CMAC's subkey for full blocks (NIST SP 800-38B).
    subkey: Zeroizing<[u8; 16]>,
}

impl Cipher {
    fn new(key: &Key<Aes256Enc>) -> Self {
        let aes = Aes256Enc::new(key);
        let mut zero = Block::default();
        aes.encrypt_block(&mut zero);
        let l = u128::from_be_bytes(zero.into());
        // The top bit decides, without a branch.
        let subkey = (l << 1) ^ ((l >> 127) * 0x87);
        zero.as_mut_slice().zeroize();
        Self {
            aes,
            subkey: Zeroizing::new(subkey.to_be_bytes()),
        }
    }

    fn message_key(&self, nonce: &[u8; NONCE]) -> (Gcm, aes_gcm::Nonce<U12>) {
        let mut key = Key::<Aes256Enc>::default();
        for (half, counter) in key.chunks_exact_mut(16).zip(1_u8..) {
            let mut block = Block::from([0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for (to, from) in block.iter_mut().skip(4).zip(nonce) {
                *to = *from;
            }
            for (to, from) in block.iter_mut().zip(self.subkey.iter()) {
                *to ^= *from;
            }
            self.aes.encrypt_block(&mut block);
            half.copy_from_slice(&block);
            block.as_mut_slice().zeroize();
        }
        let cipher = Gcm::new(&key);
        key.as_mut_slice().zeroize();

        let mut rest = aes_gcm::Nonce::default();
        for (to, from) in rest.iter_mut().zip(nonce.iter().skip(12)) {
            *to = *from;
        }
        (cipher, rest)
    }

    pub(super) fn seal(
        &self,
        purpose: Purpose,
        reply_to: Option<&Nonce>,
        body: &[u8],
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
    ) {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let prefix: &[u8] = reply_to.map_or(&[], |it| it.as_bytes());

        let start = out.len();
        out.reserve(MAGIC.len() + NONCE + prefix.len() + body.len() + TAG);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&nonce);
        let text = out.len();
        out.extend_from_slice(prefix);
        append(out, body);

        let aad = associated(purpose, reply_to.is_some());
        let (cipher, rest) = self.message_key(&nonce);
        let buffer = InOutBuf::from(out.get_mut(text..).unwrap_or_default());
        match cipher.encrypt_inout_detached(&rest, &aad, buffer) {
            Ok(tag) => out.extend_from_slice(&tag),
            Err(_) => out.truncate(start),
        }
    }

    pub(super) fn open(
        &self,
        purpose: Purpose,
        reply_to: Option<&Nonce>,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Range<usize>>> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(Error::Refused)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(Error::Refused)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(Error::Refused)?;
        let start = out.len();
        append(out, text);

        let aad = associated(purpose, reply_to.is_some());
        let (cipher, rest) = self.message_key(nonce);
        let buffer = InOutBuf::from(out.get_mut(start..).unwrap_or_default());
        cipher
            .decrypt_inout_detached(&rest, &aad, buffer, &Tag::from(*tag))
            .map_err(|_| Error::Refused)?;
        body_after_nonce(reply_to, out, start..out.len()).map(Some)
    }
}

/// Suite and version, purpose, and whether the plaintext begins with a nonce.
fn associated(purpose: Purpose, is_answer: bool) -> [u8; MAGIC.len() + 2] {
    let [a, b, c, d, e, f, g, h] = *MAGIC;
    [a, b, c, d, e, f, g, h, purpose.byte(), u8::from(is_answer)]
}

#[cfg(test)]
mod tests {
    use super::*;

    // C2SP XAES-256-GCM, "Test vectors": both halves of the subkey's branch.
    #[test]
    fn the_published_vectors_hold() {
        let check = |key: u8, aad: &[u8], expected: &str| {
            let cipher = Cipher::new(&Key::<Aes256Enc>::from([key; 32]));
            let (gcm, rest) = cipher.message_key(b"ABCDEFGHIJKLMNOPQRSTUVWX");
            let mut text = b"XAES-256-GCM".to_vec();
            let tag = gcm
                .encrypt_inout_detached(&rest, aad, InOutBuf::from(text.as_mut_slice()))
                .unwrap();
            text.extend_from_slice(&tag);
            assert_eq!(crate::hex(&text), expected);
        };

        check(
            1,
            b"",
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        );
        check(
            3,
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        );
    }

    // RFC 5869, appendix A.3: no salt, no info.
    #[test]
    fn the_key_is_derived_by_hkdf() {
        let key = hkdf(&[0x0b; 22], b"");

        assert_eq!(
            crate::hex(&key),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }
}
