//! `hashutil.*`: hashes and base64.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use salt_proto::Value;

use super::test::hash;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::errno_text;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
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
