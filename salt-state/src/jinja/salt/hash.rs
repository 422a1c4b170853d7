//! Filters that hash and encode.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use crate::jinja::filters::Builtin;
use crate::jinja::value::{Args, Value};
use crate::jinja::{Error, Result, Runtime};

use super::class_of;

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "md5" => |rt, args| digest::<Md5>(rt, args, "md5_digest"),
        "sha1" => |rt, args| digest::<Sha1>(rt, args, "sha1_digest"),
        "sha256" => |rt, args| digest::<Sha256>(rt, args, "sha256_digest"),
        "sha512" => |rt, args| digest::<Sha512>(rt, args, "sha512_digest"),
        "base64_encode" => |rt, args| {
            let [value] = args.bind("base64_b64encode", ["instr"], 1)?;
            let bytes = bytes_of(&value.unwrap_or_default())?;
            rt.charge_bytes(bytes.len() * 2)?;
            Ok(Value::text(STANDARD.encode(bytes)))
        },
        "base64_decode" => |_, args| {
            let [value] = args.bind("base64_b64decode", ["instr"], 1)?;
            let bytes = decode(&bytes_of(&value.unwrap_or_default())?)?;
            Ok(match String::from_utf8(bytes) {
                Ok(text) => Value::text(text),
                Err(error) => Value::Bytes(error.into_bytes().into()),
            })
        },
        "hmac" => |_, args| {
            let names = ["string", "shared_secret", "challenge_hmac"];
            let [text, secret, challenge] = args.bind("hmac_signature", names, 3)?;
            let challenge = decode(&bytes_of(&challenge.unwrap_or_default())?)?;
            let mac = mac(&text.unwrap_or_default(), &secret.unwrap_or_default())?;
            // Compared in constant time.
            Ok(Value::Bool(mac.verify_slice(&challenge).is_ok()))
        },
        "hmac_compute" => |_, args| {
            let names = ["string", "shared_secret"];
            let [text, secret] = args.bind("hmac_compute", names, 2)?;
            let mac = mac(&text.unwrap_or_default(), &secret.unwrap_or_default())?;
            Ok(Value::text(hex(&mac.finalize().into_bytes())))
        },
        "uuid" => |_, args| {
            let [value] = args.bind("uuid_", ["val"], 1)?;
            let bytes = bytes_of(&value.unwrap_or_default())?;
            Ok(Value::text(uuid5(&bytes)))
        },
        _ => return None,
    })
}

/// The bytes of text or bytes.
///
/// # Errors
/// `expected str, bytes, or bytearray not <class 'int'>`.
pub(super) fn bytes_of(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::Str(text) => Ok(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Ok(bytes.to_vec()),
        other => Err(Error::type_error(format!(
            "expected str, bytes, or bytearray not {}",
            class_of(other)
        ))),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hexadecimal digest of bytes.
pub(super) fn digest_hex<D: Digest>(bytes: &[u8]) -> String {
    hex(&D::digest(bytes))
}

fn digest<D: Digest>(rt: &Runtime<'_>, args: Args, name: &str) -> Result<Value> {
    let [value] = args.bind(name, ["instr"], 1)?;
    let bytes = bytes_of(&value.unwrap_or_default())?;
    rt.charge(bytes.len() / 32)?;
    Ok(Value::text(digest_hex::<D>(&bytes)))
}

/// Base64 as Python's lenient decoder reads it: other characters are skipped.
fn decode(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut clean: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'=' => break,
            b'+' | b'/' => clean.push(*byte),
            byte if byte.is_ascii_alphanumeric() => clean.push(*byte),
            _ => {}
        }
    }
    let padding = bytes.iter().filter(|byte| **byte == b'=').count();
    let missing = (4 - clean.len() % 4) % 4;
    if missing == 3 {
        return Err(Error::value_error(format!(
            "Invalid base64-encoded string: number of data characters ({}) cannot be 1 more than a multiple of 4",
            clean.len()
        )));
    }
    if padding < missing {
        return Err(Error::value_error("Incorrect padding"));
    }
    clean.extend(std::iter::repeat_n(b'=', missing));
    let lenient = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    lenient
        .decode(clean)
        .map_err(|error| Error::value_error(error.to_string()).caused_by(error))
}

fn mac(text: &Value, secret: &Value) -> Result<Hmac<Sha256>> {
    let (text, secret) = (bytes_of(text)?, bytes_of(secret)?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret)
        .map_err(|error| Error::value_error(error.to_string()).caused_by(error))?;
    mac.update(&text);
    Ok(mac)
}

/// A name-based UUID (RFC 9562 §5.5) in Salt's namespace.
fn uuid5(name: &[u8]) -> String {
    const NAMESPACE: [u8; 16] = [
        0x91, 0x63, 0x3e, 0xbf, 0x1c, 0x86, 0x5e, 0x33, 0x93, 0x5a, 0x28, 0x06, 0x1f, 0x4b, 0x48,
        0x0e,
    ];
    let mut hash = Sha1::new();
    hash.update(NAMESPACE);
    hash.update(name);
    let mut text = String::new();
    for (at, byte) in hash.finalize().iter().take(16).enumerate() {
        let byte = match at {
            6 => byte & 0x0f | 0x50,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}
