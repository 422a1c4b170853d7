//! `hashutil.*`: hashes and base64.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use salt_proto::Value;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::test::hash;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    add_more(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "hashutil.digest",
        "digest(instr, checksum='md5')",
        "Returns the hash of a text: md5, sha1, sha256, sha512, …",
        |args, _| hash(&args.text("checksum")?, args.text("instr")?.as_bytes()).map(Value::from),
    );
    add(
        "hashutil.digest_file",
        "digest_file(infile, checksum='md5')",
        "Returns the hash of a file of this machine.",
        |args, context| {
            let content = read(&args.text("infile")?, context)?;
            hash(&args.text("checksum")?, &content).map(Value::from)
        },
    );
    add(
        "hashutil.md5_digest",
        "md5_digest(instr)",
        "Returns the md5 of a text.",
        |args, _| hash("md5", args.text("instr")?.as_bytes()).map(Value::from),
    );
    add(
        "hashutil.sha256_digest",
        "sha256_digest(instr)",
        "Returns the sha256 of a text.",
        |args, _| hash("sha256", args.text("instr")?.as_bytes()).map(Value::from),
    );
    add(
        "hashutil.sha512_digest",
        "sha512_digest(instr)",
        "Returns the sha512 of a text.",
        |args, _| hash("sha512", args.text("instr")?.as_bytes()).map(Value::from),
    );
    add(
        "hashutil.base64_b64encode",
        "base64_b64encode(instr)",
        "Returns a text in base64.",
        |args, _| Ok(STANDARD.encode(args.text("instr")?).into()),
    );
    add(
        "hashutil.base64_encodestring",
        "base64_encodestring(instr)",
        "Returns a text in base64, in lines of 76 characters.",
        |args, _| Ok(in_lines(args.text("instr")?.as_bytes()).into()),
    );
    add(
        "hashutil.base64_encodefile",
        "base64_encodefile(fname)",
        "Returns a file of this machine in base64, in lines of 76 characters.",
        |args, context| Ok(in_lines(&read(&args.text("fname")?, context)?).into()),
    );
    for name in ["hashutil.base64_b64decode", "hashutil.base64_decodestring"] {
        add(
            name,
            "base64_b64decode(instr)",
            "Returns what a text in base64 stands for.",
            |args, _| {
                let text: String = args.text("instr")?.split_whitespace().collect();
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|error| CallError::exception("binascii.Error", error.to_string()))?;
                Ok(String::from_utf8(bytes)
                    .map_or_else(|error| error.into_bytes().into(), Value::from))
            },
        );
    }
}

fn add_more(registry: &mut Registry) {
    registry.add(
        "hashutil.base64_decodefile",
        "base64_decodefile(instr, outfile)",
        "Writes what a text in base64 stands for into a file.",
        |args, context| {
            let path = PathBuf::from(args.text("outfile")?);
            // What is no letter of base64 is passed over, as Python does.
            let letters: Vec<u8> = args
                .text("instr")?
                .bytes()
                .filter(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
                .collect();
            let engine = &base64::engine::general_purpose::STANDARD_NO_PAD;
            let bytes = engine
                .decode(&letters)
                .map_err(|_| CallError::exception("binascii.Error", "Incorrect padding"))?;
            let written = context.system.write(&path, &bytes, &WriteOptions::new());
            written.map_err(|error| {
                CallError::exception("FileNotFoundError", errno_text(&error, Some(&path)))
            })?;
            Ok(true.into())
        },
    );
    registry.add(
        "hashutil.hmac_compute",
        "hmac_compute(string, shared_secret)",
        "Returns the HMAC-SHA256 of a text in hexadecimal.",
        |args, _| {
            let mac = mac::<Hmac<Sha256>>(args, "string", "shared_secret")?;
            Ok(hex(&mac.finalize().into_bytes()).into())
        },
    );
    registry.add(
        "hashutil.hmac_signature",
        "hmac_signature(string, shared_secret, challenge_hmac)",
        "Whether an HMAC-SHA256 in base64 is that of a text.",
        |args, _| {
            let mac = mac::<Hmac<Sha256>>(args, "string", "shared_secret")?;
            let challenge = STANDARD.decode(args.text("challenge_hmac")?);
            Ok(challenge
                .is_ok_and(|challenge| mac.verify_slice(&challenge).is_ok())
                .into())
        },
    );
    registry.add(
        "hashutil.github_signature",
        "github_signature(string, shared_secret, challenge_hmac)",
        "Whether a signature as GitHub sends it (sha256=…) is that of a text.",
        |args, _| {
            let challenge = args.text("challenge_hmac")?;
            let Some((kind, challenge)) = challenge.split_once('=') else {
                return Err(CallError::exception(
                    "ValueError",
                    "not enough values to unpack (expected 2, got 1)",
                ));
            };
            let wanted = unhex(challenge).unwrap_or_default();
            let is_right = match kind {
                "sha1" => mac::<Hmac<Sha1>>(args, "string", "shared_secret")?
                    .verify_slice(&wanted)
                    .is_ok(),
                "sha256" => mac::<Hmac<Sha256>>(args, "string", "shared_secret")?
                    .verify_slice(&wanted)
                    .is_ok(),
                "sha512" => mac::<Hmac<Sha512>>(args, "string", "shared_secret")?
                    .verify_slice(&wanted)
                    .is_ok(),
                other => {
                    return Err(CallError::exception(
                        "AttributeError",
                        format!("module 'hashlib' has no attribute '{other}'"),
                    ));
                }
            };
            Ok(is_right.into())
        },
    );
}

/// The bytes of a text, as Salt takes what is to be signed.
fn bytes(args: &Args, name: &str) -> Result<Vec<u8>, CallError> {
    match args.get(name) {
        Some(Value::Str(text)) => Ok(text.clone().into_bytes()),
        Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
        other => Err(CallError::exception(
            "TypeError",
            format!(
                "expected str, bytes, or bytearray not <class '{}'>",
                other.map_or("NoneType", Value::type_name)
            ),
        )),
    }
}

fn mac<M: Mac + hmac::KeyInit>(args: &Args, text: &str, secret: &str) -> Result<M, CallError> {
    let text = bytes(args, text)?;
    let secret = bytes(args, secret)?;
    let mac = <M as hmac::KeyInit>::new_from_slice(&secret);
    let mut mac = mac.map_err(|error| CallError::exception("ValueError", error.to_string()))?;
    mac.update(&text);
    Ok(mac)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn read(path: &str, context: &Context<'_>) -> Result<Vec<u8>, CallError> {
    let path = PathBuf::from(path);
    let failed = |error: &std::io::Error| {
        CallError::exception("FileNotFoundError", errno_text(error, Some(&path)))
    };
    match context.system.read(&path) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(failed(&rustix::io::Errno::NOENT.into())),
        Err(error) => Err(failed(&error)),
    }
}

fn in_lines(bytes: &[u8]) -> String {
    bytes
        .chunks(57)
        .map(|line| STANDARD.encode(line) + "\n")
        .collect()
}
