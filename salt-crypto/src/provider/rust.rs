//! The `rsa` crate. Private operations are blinded without exception: its
//! exponentiation is not known to be free of timing leaks (RUSTSEC-2023-0071).

use rand_core::CryptoRng;
use rsa::{
    BoxedUint, Oaep, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey,
    hazmat::{rsa_decrypt_and_check, rsa_encrypt},
    pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey},
    traits::PublicKeyParts,
};
use sha1::Sha1;
use sha2::Sha224;

use super::{PrivateKeyOps, PublicKeyOps};
use crate::{Encryption, Error, Result, Secret, Signing};

struct Private(RsaPrivateKey);
struct Public(RsaPublicKey);

pub(super) fn private_key(pkcs1: &[u8]) -> Result<Box<dyn PrivateKeyOps>> {
    match RsaPrivateKey::from_pkcs1_der(pkcs1) {
        Ok(key) => Ok(Box::new(Private(key))),
        Err(_) => Err(Error::MalformedKey {
            reason: "its numbers do not belong together",
        }),
    }
}

pub(super) fn public_key(pkcs1: &[u8]) -> Result<Box<dyn PublicKeyOps>> {
    match RsaPublicKey::from_pkcs1_der(pkcs1) {
        Ok(key) => Ok(Box::new(Public(key))),
        Err(_) => Err(Error::MalformedKey {
            reason: "its numbers make no public key",
        }),
    }
}

fn failed(doing: &'static str) -> impl FnOnce(rsa::Error) -> Error {
    move |source| Error::Rsa {
        doing,
        source: Box::new(source),
    }
}

fn scheme(signing: Signing) -> Pkcs1v15Sign {
    match signing {
        Signing::Pkcs1v15Sha1 => Pkcs1v15Sign::new::<Sha1>(),
        Signing::Pkcs1v15Sha224 => Pkcs1v15Sign::new::<Sha224>(),
    }
}

/// The number in `block`, if it is below the modulus.
fn number(key: &impl PublicKeyParts, block: &[u8]) -> Option<BoxedUint> {
    let number = BoxedUint::from_be_slice(block, key.n_bits_precision()).ok()?;
    (block.len() == key.size() && number < *key.n().as_ref()).then_some(number)
}

/// The reverse of [`number`].
fn block(key: &impl PublicKeyParts, number: &BoxedUint) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let excess = bytes.len().saturating_sub(key.size());
    bytes.get(excess..).unwrap_or_default().to_vec()
}

impl PrivateKeyOps for Private {
    fn sign(&self, signing: Signing, digest: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        self.0
            .sign_with_rng(rng, scheme(signing), digest)
            .map_err(failed("signing"))
    }

    fn decrypt(
        &self,
        encryption: Encryption,
        sealed: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Secret<Vec<u8>>> {
        match encryption {
            Encryption::OaepSha1 => self.0.decrypt_blinded(rng, Oaep::<Sha1>::new(), sealed),
            Encryption::OaepSha224 => self.0.decrypt_blinded(rng, Oaep::<Sha224>::new(), sealed),
        }
        .map(Secret::new)
        .map_err(|_| Error::Refused)
    }

    fn raw(&self, data: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        let number = number(&self.0, data).ok_or(Error::TooLong)?;
        let power = rsa_decrypt_and_check(&self.0, Some(rng), &number)
            .map_err(failed("proving a private key"))?;
        Ok(block(&self.0, &power))
    }
}

impl PublicKeyOps for Public {
    fn verify(&self, signing: Signing, digest: &[u8], signature: &[u8]) -> Result<()> {
        self.0
            .verify(scheme(signing), digest, signature)
            .map_err(|_| Error::BadSignature)
    }

    fn encrypt(
        &self,
        encryption: Encryption,
        data: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        match encryption {
            Encryption::OaepSha1 => self.0.encrypt(rng, Oaep::<Sha1>::new(), data),
            Encryption::OaepSha224 => self.0.encrypt(rng, Oaep::<Sha224>::new(), data),
        }
        .map_err(|error| match error {
            rsa::Error::MessageTooLong => Error::TooLong,
            error => failed("encrypting")(error),
        })
    }

    fn raw(&self, data: &[u8]) -> Result<Vec<u8>> {
        let number = number(&self.0, data).ok_or(Error::BadSignature)?;
        let power = rsa_encrypt(&self.0, &number).map_err(|_| Error::BadSignature)?;
        Ok(block(&self.0, &power))
    }
}
