//! What is to be signed, decided before anything is: so that a state can compare it with
//! what is there.

use salt_proto::{Map, Value};

use super::certificate::Signed;
use super::digest::Digest;
use super::key::PublicKey;
use super::{invocation, text};
use crate::python;
use crate::registry::CallError;
use crate::system::System;

mod certificate;
mod key;
mod request;
mod revocations;

pub(super) use certificate::{certificate, chain, policy};
pub(crate) use certificate::{compare_certificate, make_certificate};
pub(crate) use key::KeyWanted;
pub(super) use request::request;
pub(crate) use request::{compare_request, make_request};
pub(super) use revocations::revocations;
pub(crate) use revocations::{compare_list, make_list};

const MISMATCH: &str = "Signing private key does not match the certificate's public key";

/// How what is there differs in encoding and digest, where the key signs with one: `is_der`, `digest` and `by` are what
/// is wanted.
fn form_changes((old, der): (&Signed, bool), is_der: bool, digest: Digest, by: &PublicKey) -> Map {
    let mut changes = Map::new();
    if der != is_der {
        changes.insert("encoding", if is_der { "der" } else { "pem" });
    }
    let signs_with_digest = !matches!(by, PublicKey::Ed25519(_));
    if signs_with_digest && old.digest().is_some_and(|old| old != digest) {
        changes.insert("digest", digest.name());
    }
    changes
}

/// Whether an encoding is DER; the alternative is PEM.
///
/// # Errors
///
/// For other encodings.
pub(crate) fn is_der(encoding: &str) -> Result<bool, CallError> {
    match encoding {
        "pem" => Ok(false),
        "der" => Ok(true),
        "pkcs12" | "pkcs7_der" | "pkcs7_pem" => Err(invocation(format!(
            "the encoding {encoding} is not offered here; der and pem are"
        ))),
        other => Err(invocation(format!(
            "Invalid value '{other}' for encoding. Valid: der, pem"
        ))),
    }
}

/// Something that can be signed.
pub(super) trait Made {
    /// Signs and encodes it.
    fn sign(&self, system: &dyn System) -> Result<Vec<u8>, CallError>;
}

fn digest_of(args: &Map) -> Result<Digest, CallError> {
    Digest::from_name(&text(args, "digest").unwrap_or_else(|| "sha256".to_owned()))
}

fn encoding(args: &Map) -> Result<bool, CallError> {
    is_der(&text(args, "encoding").unwrap_or_else(|| "pem".to_owned()))
}

fn days(args: &Map, key: &str, usual: i64) -> Result<i64, CallError> {
    match args.get(key) {
        None | Some(Value::Null) => Ok(usual),
        Some(Value::Int(days)) => Ok(*days),
        Some(other) => python::str(other)
            .trim()
            .parse()
            .map_err(|_| CallError::Arguments(format!("{key} must be a number of days"))),
    }
}

/// What a state found and what it would make instead.
pub(crate) struct Comparison {
    /// What differs, in Salt's shape; nothing when all is well.
    pub(crate) changes: Map,
    /// The making has to be called `recreated`.
    pub(crate) again: bool,
    /// Whether the file is to be DER.
    pub(crate) der: bool,
}

fn replaced(name: &str, der: bool) -> Comparison {
    Comparison {
        changes: Map::from([("replaced", name)]),
        again: false,
        der,
    }
}

fn compared(changes: Map, again: bool, der: bool) -> Comparison {
    Comparison {
        changes,
        again,
        der,
    }
}

fn positive_bytes(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(skip..).unwrap_or_default().to_vec()
}
