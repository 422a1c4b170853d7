//! What the fuzz targets call, and [`replay`](crate::replay) on their corpus.
//!
//! Each takes any bytes and must return: no panic, no endless loop, no memory
//! beyond a small multiple of the input.

use salt_crypto::{Identity, Nonce, PublicKey, Purpose, SessionKey, Suite};

/// Keys as text, public and private, with and without a passphrase.
pub(crate) fn pem(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = PublicKey::from_pem(text) {
        let again = PublicKey::from_pem(key.as_pem()).expect("a cleaned text is read again");
        assert_eq!(again, key);
    }
    for passphrase in [None, Some("correct")] {
        if let Ok(identity) = Identity::from_pem(text, passphrase) {
            let again = Identity::from_pem(identity.to_pem().expose(), None);
            assert_eq!(
                again.expect("a key is read again").public_key(),
                identity.public_key()
            );
        }
    }
}

/// Sealed messages under a fixed key, as a reply and as a publish.
pub(crate) fn session_open(bytes: &[u8]) {
    let key = SessionKey::from_text(KEY).expect("the key is good");
    let nonce = Nonce::from_text(NONCE).expect("the nonce is good");
    for (purpose, nonce) in [(Purpose::Reply, Some(&nonce)), (Purpose::Publish, None)] {
        let mut out = Vec::new();
        match key.open(purpose, nonce, bytes, &mut out) {
            Ok(opened) => {
                assert_eq!(opened.suite, Suite::of(bytes));
                let body = opened.body.unwrap_or_default();
                assert!(out.get(body).is_some());
            }
            Err(_) => assert!(out.is_empty()),
        }
        assert!(out.len() <= bytes.len());
    }
}

/// X9.31 tokens under a fixed key.
pub(crate) fn recover(bytes: &[u8]) {
    let key = PublicKey::from_pem(MINION).expect("the key is good");
    if let Ok(data) = key.recover(bytes) {
        assert!(data.len() < bytes.len());
    }
}

/// The key of `crypticle.json`.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=";
const NONCE: &str = "0123456789abcdef0123456789abcdef";
const MINION: &str = include_str!("../keys/spki.pub");
