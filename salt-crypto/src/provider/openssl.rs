//! The system's OpenSSL, through its high-level (EVP) interface.

use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    md::{Md, MdRef},
    pkey::{PKey, Private, Public},
    pkey_ctx::PkeyCtx,
    rsa::{Padding, Rsa},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{PrivateKeyOps, PublicKeyOps};
use crate::{Encryption, Error, Result, Secret, Signing};

struct PrivateKey(PKey<Private>);
struct PublicKey(PKey<Public>);

pub(super) fn private_key(pkcs1: &[u8]) -> Result<Box<dyn PrivateKeyOps>> {
    let key = Rsa::private_key_from_der(pkcs1)
        .and_then(PKey::from_rsa)
        .map_err(failed("reading a private key"))?;
    Ok(Box::new(PrivateKey(key)))
}

pub(super) fn public_key(pkcs1: &[u8]) -> Result<Box<dyn PublicKeyOps>> {
    let key = Rsa::public_key_from_der_pkcs1(pkcs1)
        .and_then(PKey::from_rsa)
        .map_err(failed("reading a public key"))?;
    Ok(Box::new(PublicKey(key)))
}

fn failed(doing: &'static str) -> impl FnOnce(ErrorStack) -> Error {
    move |source| Error::Rsa {
        doing,
        source: Box::new(source),
    }
}

fn hash(signing: Signing) -> &'static MdRef {
    match signing {
        Signing::Pkcs1v15Sha1 => Md::sha1(),
        Signing::Pkcs1v15Sha224 => Md::sha224(),
    }
}

fn oaep<T>(ctx: &mut PkeyCtx<T>, encryption: Encryption) -> Result<(), ErrorStack> {
    let hash = match encryption {
        Encryption::OaepSha1 => Md::sha1(),
        Encryption::OaepSha224 => Md::sha224(),
    };
    ctx.set_rsa_padding(Padding::PKCS1_OAEP)?;
    ctx.set_rsa_oaep_md(hash)?;
    ctx.set_rsa_mgf1_md(hash)
}

impl PrivateKeyOps for PrivateKey {
    fn sign(&self, signing: Signing, digest: &[u8], _: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        let sign = || {
            let mut ctx = PkeyCtx::new(&self.0)?;
            ctx.sign_init()?;
            ctx.set_rsa_padding(Padding::PKCS1)?;
            ctx.set_signature_md(hash(signing))?;
            let mut signature = Vec::new();
            ctx.sign_to_vec(digest, &mut signature)?;
            Ok(signature)
        };
        sign().map_err(failed("signing"))
    }

    fn decrypt(
        &self,
        encryption: Encryption,
        sealed: &[u8],
        _: &mut dyn CryptoRng,
    ) -> Result<Secret<Vec<u8>>> {
        // The library allows shorter ones, which no sealer makes.
        if sealed.len() != self.0.size() {
            return Err(Error::Refused);
        }
        let decrypt = || -> Result<_, ErrorStack> {
            let mut ctx = PkeyCtx::new(&self.0)?;
            ctx.decrypt_init()?;
            oaep(&mut ctx, encryption)?;
            let mut plain = Zeroizing::new(vec![0; self.0.size()]);
            let len = ctx.decrypt(sealed, Some(&mut plain))?;
            Ok(Secret::new(plain.get(..len).unwrap_or_default().to_vec()))
        };
        decrypt().map_err(|_| Error::Refused)
    }

    fn raw(&self, block: &[u8], _: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        let raw = || -> Result<_, ErrorStack> {
            let mut ctx = PkeyCtx::new(&self.0)?;
            ctx.decrypt_init()?;
            ctx.set_rsa_padding(Padding::NONE)?;
            let mut power = Vec::new();
            ctx.decrypt_to_vec(block, &mut power)?;
            Ok(power)
        };
        if block.len() != self.0.size() {
            return Err(Error::TooLong);
        }
        // With a block of the right length only its value can be wrong.
        raw().map_err(|_| Error::TooLong)
    }
}

impl PublicKeyOps for PublicKey {
    fn verify(&self, signing: Signing, digest: &[u8], signature: &[u8]) -> Result<()> {
        let verify = || {
            let mut ctx = PkeyCtx::new(&self.0)?;
            ctx.verify_init()?;
            ctx.set_rsa_padding(Padding::PKCS1)?;
            ctx.set_signature_md(hash(signing))?;
            ctx.verify(digest, signature)
        };
        match verify() {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::BadSignature),
        }
    }

    fn encrypt(
        &self,
        encryption: Encryption,
        data: &[u8],
        _: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        let hash = match encryption {
            Encryption::OaepSha1 => MessageDigest::sha1(),
            Encryption::OaepSha224 => MessageDigest::sha224(),
        };
        // RFC 8017 §7.1.1, step 1b.
        if data.len() + 2 * hash.size() + 2 > self.0.size() {
            return Err(Error::TooLong);
        }
        let encrypt = || {
            let mut ctx = PkeyCtx::new(&self.0)?;
            ctx.encrypt_init()?;
            oaep(&mut ctx, encryption)?;
            let mut sealed = Vec::new();
            ctx.encrypt_to_vec(data, &mut sealed)?;
            Ok(sealed)
        };
        encrypt().map_err(failed("encrypting"))
    }

    fn raw(&self, block: &[u8]) -> Result<Vec<u8>> {
        let raw = || -> Result<_, ErrorStack> {
            let mut ctx = PkeyCtx::new(&self.0)?;
            ctx.encrypt_init()?;
            ctx.set_rsa_padding(Padding::NONE)?;
            let mut power = Vec::new();
            ctx.encrypt_to_vec(block, &mut power)?;
            Ok(power)
        };
        if block.len() != self.0.size() {
            return Err(Error::BadSignature);
        }
        raw().map_err(|_| Error::BadSignature)
    }
}
