//! Private keys under a passphrase: the traditional OpenSSL form and PKCS#8.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit, block_padding::Pkcs7};
use des::TdesEde3;
use md5::Md5;
use pkcs5::pbes2;
use rand_core::CryptoRng;
use rsa::{
    pkcs1::der::Encode,
    pkcs8::{
        EncryptedPrivateKeyInfoRef,
        der::{Decode, asn1::OctetStringRef},
    },
};
use sha2::Digest;
use zeroize::Zeroizing;

use super::malformed;
use crate::{Error, Result};

/// RFC 8018 leaves the number open; OWASP's figure for this hash (2023).
const ITERATIONS: u32 = 600_000;
/// More than anyone uses; a damaged file must not stop the program for minutes.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Memory scrypt may take, in bytes.
const MAX_SCRYPT: u64 = 1 << 28;
/// How often scrypt may take it.
const MAX_SCRYPT_RUNS: u16 = 16;

/// `Proc-Type: 4,ENCRYPTED` and `DEK-Info: <cipher>,<iv>` (RFC 1421 §4.6), what
/// OpenSSL calls traditional and Salt writes.
///
/// Its key derivation is one round of MD5. It is read, never written.
pub(super) fn open_traditional(
    headers: &[(&str, &str)],
    sealed: &[u8],
    passphrase: &str,
) -> Result<Zeroizing<Vec<u8>>> {
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| *name == wanted);
        found
            .map(|(_, value)| *value)
            .ok_or(malformed("headers are missing"))
    };
    if header("Proc-Type")? != "4,ENCRYPTED" {
        return Err(malformed("unknown headers"));
    }
    let (cipher, iv) = header("DEK-Info")?
        .split_once(',')
        .ok_or(malformed("bad DEK-Info"))?;
    let iv = bytes_of(iv.trim()).ok_or(malformed("bad DEK-Info"))?;

    match cipher.trim() {
        "AES-128-CBC" => open_cbc::<Aes128, 16>(passphrase, &iv, sealed),
        "AES-192-CBC" => open_cbc::<Aes192, 24>(passphrase, &iv, sealed),
        "AES-256-CBC" => open_cbc::<Aes256, 32>(passphrase, &iv, sealed),
        "DES-EDE3-CBC" => open_cbc::<TdesEde3, 24>(passphrase, &iv, sealed),
        _ => Err(Error::UnsupportedEncryption),
    }
}

fn open_cbc<C: BlockCipherDecrypt + KeyInit, const KEY: usize>(
    passphrase: &str,
    iv: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let salt = iv.first_chunk::<8>().ok_or(malformed("bad DEK-Info"))?;
    let key = md5_key::<KEY>(passphrase, salt);
    let cipher = cbc::Decryptor::<C>::new_from_slices(key.as_slice(), iv)
        .map_err(|_| malformed("bad DEK-Info"))?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let len = match cipher.decrypt_padded::<Pkcs7>(&mut plain) {
        Ok(plain) => plain.len(),
        Err(_) => return Err(Error::WrongPassphrase),
    };
    plain.truncate(len);
    Ok(plain)
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round.
fn md5_key<const LEN: usize>(passphrase: &str, salt: &[u8; 8]) -> Zeroizing<[u8; LEN]> {
    let mut key = Zeroizing::new([0; LEN]);
    let mut last = Zeroizing::new(Vec::new());
    for part in key.chunks_mut(16) {
        let mut digest = Md5::new();
        digest.update(last.as_slice());
        digest.update(passphrase);
        digest.update(salt);
        *last = digest.finalize().to_vec();
        for (to, from) in part.iter_mut().zip(last.iter()) {
            *to = *from;
        }
    }
    key
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |it: u8| char::from(it).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
        .collect()
}

/// PBES2 (RFC 8018 §6.2) with any of the usual key derivations and ciphers.
pub(super) fn open_pkcs8(der: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>> {
    let info =
        EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| Error::UnsupportedEncryption)?;
    let scheme = info
        .encryption_algorithm
        .pbes2()
        .ok_or(Error::UnsupportedEncryption)?;
    let bearable = match &scheme.kdf {
        pbes2::Kdf::Pbkdf2(it) => it.iteration_count <= MAX_ITERATIONS,
        pbes2::Kdf::Scrypt(it) => {
            let memory = it
                .cost_parameter
                .saturating_mul(128 * u64::from(it.block_size));
            memory <= MAX_SCRYPT && it.parallelization <= MAX_SCRYPT_RUNS
        }
        _ => false,
    };
    if !bearable {
        return Err(Error::UnsupportedEncryption);
    }
    let plain = scheme.decrypt(passphrase, info.encrypted_data.as_bytes());
    plain.map(Zeroizing::new).map_err(|error| match error {
        pkcs5::Error::DecryptFailed => Error::WrongPassphrase,
        _ => Error::UnsupportedEncryption,
    })
}

/// PBKDF2 with HMAC-SHA256, then AES-256-CBC: what every reader understands,
/// stock Salt included.
pub(super) fn seal_pkcs8(
    plain: &[u8],
    passphrase: &str,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>> {
    let mut salt = [0; 16];
    let mut iv = [0; 16];
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut iv);

    let unsupported = |_| Error::UnsupportedEncryption;
    let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)
        .map_err(unsupported)?;
    let sealed = scheme.encrypt(passphrase, plain).map_err(unsupported)?;
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: scheme.into(),
        encrypted_data: OctetStringRef::new(&sealed).map_err(|_| malformed("too long"))?,
    };
    info.to_der().map_err(|_| malformed("too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // openssl enc -aes-256-cbc -md md5 -k test -S 0001020304050607 -P
    #[test]
    fn keys_are_derived_as_openssl_does() {
        let key = md5_key::<32>("test", &[0, 1, 2, 3, 4, 5, 6, 7]);

        assert_eq!(
            crate::hex(key.as_slice()),
            "ee529754bb720561fef2ab980438b1abfa1392a607394f1f5c42403e338cb5a5"
        );
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(bytes_of("00fFa5"), Some(vec![0, 255, 0xa5]));
        assert_eq!(bytes_of("0"), None);
        assert_eq!(bytes_of("0g"), None);
        assert_eq!(bytes_of("+1"), None);
    }
}
