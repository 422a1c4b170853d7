//! `key.*`: the fingerprints of the keys that a minion and its master know each other by.

use std::path::Path;

use salt_proto::Value;

use super::test::hash;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "key.finger",
        "finger(hash_type=None)",
        "The fingerprint of the minion's own public key.",
        |args, context| finger("minion.pub", args, context),
    );
    registry.add(
        "key.finger_master",
        "finger_master(hash_type=None)",
        "The fingerprint of the public key of the minion's master.",
        |args, context| finger("minion_master.pub", args, context),
    );
}

/// The hash of the lines between the first and the last, as pairs; nothing without a file.
fn finger(file: &str, args: &Args, context: &Context<'_>) -> Answer {
    let kind = args
        .optional_text("hash_type")
        .or_else(|| context.setting("hash_type").map(str::to_owned))
        .unwrap_or_else(|| "sha256".to_owned());
    let directory = context.setting("pki_dir").unwrap_or("/etc/salt/pki/minion");
    let Ok(Some(text)) = context.system.text(&Path::new(directory).join(file)) else {
        return Ok("".into());
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let inside = lines
        .get(1..lines.len().saturating_sub(1))
        .unwrap_or_default()
        .concat();
    let digest = hash(&kind, inside.as_bytes()).map_err(|_| {
        let text = format!("module 'hashlib' has no attribute '{kind}'");
        CallError::exception("AttributeError", text)
    })?;
    let pairs: Vec<String> = digest
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect();
    Ok(pairs.join(":").into())
}
