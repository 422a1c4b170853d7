//! Text around DER (RFC 7468), and where it comes from.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt_proto::Value;

use super::invocation;
use crate::registry::CallError;
use crate::system::Observe;

const LOAD: &str = "Could not load provided source. You need to pass an existing file, (PEM|hex|base64)-encoded string or raw bytes.";

/// One block: its label and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

/// All blocks of a text; what stands around them does not matter.
pub(super) fn blocks(bytes: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.as_ref();
    let mut all = Vec::new();
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, after)) = after.split_once("-----") else {
            break;
        };
        let end = format!("-----END {label}-----");
        let Some((body, after)) = after.split_once(&end) else {
            break;
        };
        let packed: String = body.split_whitespace().collect();
        if let Ok(der) = STANDARD.decode(packed) {
            all.push(Block {
                label: label.to_owned(),
                der,
            });
        }
        rest = after;
    }
    all
}

/// One block as text.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let packed = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = packed.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

/// The bytes that a caller means: of an existing file, of PEM text, of hexadecimal or
/// base64 text, or given as they are.
///
/// # Errors
///
/// When it is none of these.
pub(super) fn load(value: &Value, system: &dyn Observe) -> Result<Vec<u8>, CallError> {
    let text = match value {
        Value::Bytes(bytes) => return Ok(bytes.clone()),
        Value::Str(text) => text,
        _ => return Err(invocation(LOAD)),
    };
    if text.contains("-----BEGIN ") {
        return Ok(text.as_bytes().to_vec());
    }
    let path = Path::new(text);
    if path.is_absolute() && system.is_file(path) {
        let content = system.read(path)?;
        return content.ok_or_else(|| invocation(LOAD));
    }
    let packed: String = text
        .split_whitespace()
        .filter(|part| !part.is_empty())
        .collect();
    if packed.len() > 40 {
        if let Some(bytes) = hexadecimal(&packed) {
            return Ok(bytes);
        }
        if let Ok(bytes) = STANDARD.decode(&packed) {
            return Ok(bytes);
        }
    }
    Err(invocation(LOAD))
}

/// Bytes of hexadecimal digits, with colons or without.
pub(super) fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let mut digits: String = text.chars().filter(|c| *c != ':').collect();
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// DER of one of the labels, from PEM or as it is.
pub(super) fn der_of(bytes: &[u8], labels: &[&str]) -> Option<Vec<u8>> {
    if is_pem(bytes) {
        let found = blocks(bytes);
        let block = found
            .into_iter()
            .find(|block| labels.contains(&block.label.as_str()))?;
        return Some(block.der);
    }
    Some(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    #[test]
    fn blocks_are_found_between_other_text_and_on_one_line() {
        let text = format!("junk\n{}\n{}", encode("A B", &[1; 70]), encode("C", b"x"));
        let found = blocks(text.replace('\n', " ").as_bytes());
        assert_eq!(found.len(), 2);
        assert_eq!(found.first().map(|block| block.der.len()), Some(70));
        assert_eq!(blocks(b"-----BEGIN A-----\nAAAA\n-----END B-----"), []);
    }

    #[test]
    fn sources_are_files_texts_and_bytes() {
        let machine = FakeSystem::new().file("/a", "content");
        let load = |text: &str| load(&text.into(), &machine).ok();
        assert_eq!(load("/a"), Some(b"content".to_vec()));
        assert_eq!(load("/b"), None);
        assert_eq!(load("deadbeef"), None, "too short to be meant");
        assert_eq!(load(&"ab".repeat(30)), Some(vec![0xab; 30]));
        assert_eq!(hexadecimal("A:B"), Some(vec![0xab]));
        assert_eq!(hexadecimal("xy"), None);
    }
}
