//! What the tests share.

use base64ct::{Base64, Encoding};
use rand_core::{Infallible, TryCryptoRng, TryRng, UnwrapErr};
use salt_crypto::{Identity, Provider, PublicKey};
use serde_json::Value;

/// The system's random source.
pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// "Random" bytes that were chosen before.
pub(crate) struct Chosen(pub(crate) Vec<u8>);

impl TryRng for Chosen {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(to.len());
        to.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Chosen {}

pub(crate) fn crypticle() -> Value {
    serde_json::from_str(include_str!("../vectors/crypticle.json")).unwrap()
}

pub(crate) fn rsa() -> Value {
    serde_json::from_str(include_str!("../vectors/rsa.json")).unwrap()
}

pub(crate) fn misc() -> Value {
    serde_json::from_str(include_str!("../vectors/misc.json")).unwrap()
}

#[track_caller]
pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is missing in {row}"))
}

#[track_caller]
pub(crate) fn bytes(row: &Value, key: &str) -> Vec<u8> {
    Base64::decode_vec(text(row, key)).unwrap()
}

#[track_caller]
pub(crate) fn rows<'a>(vectors: &'a Value, key: &str) -> &'a [Value] {
    vectors[key].as_array().unwrap()
}

/// One of the recorded identities: `master`, `minion` or `sign`.
pub(crate) fn identity(name: &str, provider: Provider) -> Identity {
    let pem = text(&rsa()["keys"][name], "private_pem").to_owned();
    Identity::from_pem(&pem, None)
        .unwrap()
        .with_provider(provider)
        .unwrap()
}

/// The public half of a recorded identity, read from its own text.
pub(crate) fn public_key(name: &str, provider: Provider) -> PublicKey {
    let pem = text(&rsa()["keys"][name], "public_pem").to_owned();
    PublicKey::from_pem(&pem)
        .unwrap()
        .with_provider(provider)
        .unwrap()
}
