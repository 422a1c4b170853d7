//! Passwords as PostgreSQL keeps them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256};

/// How the server keeps a password of MD5 days: of password and user name.
pub(super) fn md5(user: &str, password: &str) -> String {
    let digest = Md5::digest(format!("{password}{user}").as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("md5{digits}")
}

/// Whether a text is a password as the server keeps it already.
pub(super) fn is_kept(text: &str) -> bool {
    text.starts_with("SCRAM-SHA-256$")
        || text.len() == 35
            && text
                .strip_prefix("md5")
                .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut padded = [0u8; BLOCK];
    let short: Vec<u8> = if key.len() > BLOCK {
        Sha256::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    for (place, byte) in padded.iter_mut().zip(short) {
        *place = byte;
    }
    let mut inner = Sha256::new_with_prefix(padded.map(|byte| byte ^ 0x36));
    for part in message {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(padded.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// PBKDF2 of one block.
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac(password, &[&last]);
        for (place, byte) in sum.iter_mut().zip(last) {
            *place ^= byte;
        }
    }
    sum
}

/// How the server keeps a password in the form of RFC 5803.
pub(super) fn scram(password: &str, salt: &[u8], rounds: u32) -> String {
    let salted = salted(password.as_bytes(), salt, rounds);
    let stored = Sha256::digest(hmac(&salted, &[b"Client Key"]));
    let server = hmac(&salted, &[b"Server Key"]);
    format!(
        "SCRAM-SHA-256${rounds}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}

/// The most rounds that are counted through for a text that came from a server.
const MOST_ROUNDS: u32 = 1 << 20;

/// Whether a password is the one that the server keeps.
pub(super) fn matches(kept: &str, user: &str, password: &str) -> bool {
    if is_kept(password) {
        return kept == password;
    }
    let Some(rest) = kept.strip_prefix("SCRAM-SHA-256$") else {
        return kept == md5(user, password) || kept == password;
    };
    let parts = rest
        .split_once('$')
        .and_then(|(head, _)| head.split_once(':'));
    let Some((rounds, salt)) = parts else {
        return false;
    };
    match (rounds.parse(), STANDARD.decode(salt)) {
        (Ok(rounds), Ok(salt)) if rounds <= MOST_ROUNDS => kept == scram(password, &salt, rounds),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As PostgreSQL 15 and Salt 3008.3 made them for user u1 and password p.
    #[test]
    fn passwords_are_told_as_the_server_keeps_them() {
        assert_eq!(md5("u1", "p"), "md537bb92ebe6642ff75e83ce57a12909f2");
        let kept = "SCRAM-SHA-256$4096:QmZZxgIhGHUIzTgXkTrXEQ==$3crMfIJGHGorV/DTphCwYoGe72XXkYsGE3hEdy4lwGs=:/SJmlKKLHn5cMIc0akgsrJhOjcL/Yy8ZadRy61VDFWw=";
        assert!(matches(kept, "u1", "p"));
        assert!(!matches(kept, "u1", "q"));
        assert!(matches(kept, "u1", kept));
        assert!(!matches("md5", "u1", "p"));
    }
}
