//! The forms in which keys are read.

use salt_crypto::{Error, Identity, Provider, PublicKey};

use crate::support::{identity, public_key, rng};

macro_rules! key {
    ($name:literal) => {
        ($name, include_str!(concat!("../keys/", $name)))
    };
}

#[track_caller]
fn is_the_minion((name, pem): (&str, &str), passphrase: Option<&str>) {
    let read =
        Identity::from_pem(pem, passphrase).unwrap_or_else(|error| panic!("{name}: {error}"));
    let minion = identity("minion", Provider::Rust);

    assert_eq!(read.public_key(), minion.public_key(), "{name}");
    assert!(read.to_pem().ct_eq(minion.to_pem().expose()), "{name}");
}

#[test]
fn a_private_key_is_read_in_both_plain_forms() {
    is_the_minion(key!("pkcs8.pem"), None);
    is_the_minion(key!("pkcs8.pem"), Some("not looked at"));
    let crlf = key!("pkcs8.pem").1.replace('\n', "\r\n");
    is_the_minion(("with CRLF", &crlf), None);
}

#[test]
fn a_private_key_is_read_in_the_traditional_encrypted_form() {
    for key in [
        key!("traditional-aes128.pem"),
        key!("traditional-aes192.pem"),
        key!("traditional-aes256.pem"),
        key!("traditional-des3.pem"),
    ] {
        is_the_minion(key, Some("correct"));
        assert!(matches!(
            Identity::from_pem(key.1, None),
            Err(Error::PassphraseNeeded)
        ));
        let wrong = Identity::from_pem(key.1, Some("wrong"));
        assert!(matches!(wrong, Err(Error::WrongPassphrase)), "{}", key.0);
    }
    let salt = Identity::from_pem(key!("salt-3008.3-passphrase.pem").1, Some("correct")).unwrap();
    assert_eq!(salt.public_key().bits(), 2048);
}

#[test]
fn a_private_key_is_read_in_the_encrypted_forms_of_pkcs8() {
    for key in [
        key!("pkcs8-pbkdf2-sha256-aes256.pem"),
        key!("pkcs8-pbkdf2-sha1-aes128.pem"),
        key!("pkcs8-pbkdf2-sha512-des3.pem"),
        key!("pkcs8-scrypt-aes256.pem"),
    ] {
        is_the_minion(key, Some("correct"));
        assert!(matches!(
            Identity::from_pem(key.1, None),
            Err(Error::PassphraseNeeded)
        ));
        let wrong = Identity::from_pem(key.1, Some("wrong"));
        assert!(matches!(wrong, Err(Error::WrongPassphrase)), "{}", key.0);
    }
}

#[test]
fn an_unreadable_encryption_says_so_and_takes_no_time() {
    for (name, pem) in [
        key!("traditional-camellia256.pem"),
        key!("pkcs8-pbes1.pem"),
        key!("pkcs8-too-many-rounds.pem"),
    ] {
        let read = Identity::from_pem(pem, Some("correct"));
        assert!(matches!(read, Err(Error::UnsupportedEncryption)), "{name}");
    }
}

#[test]
fn a_key_written_under_a_passphrase_opens_with_that_alone() {
    let minion = identity("minion", Provider::default());

    let pem = minion.to_encrypted_pem("pass\u{e4}", &mut rng()).unwrap();

    is_the_minion(("encrypted", pem.expose()), Some("pass\u{e4}"));
    let wrong = Identity::from_pem(pem.expose(), Some("passa"));
    assert!(matches!(wrong, Err(Error::WrongPassphrase)));
    assert!(
        pem.expose()
            .starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    );
}

#[test]
fn a_public_key_is_read_in_both_forms() {
    let minion = public_key("minion", Provider::default());

    let spki = PublicKey::from_pem(key!("spki.pub").1).unwrap();
    let pkcs1 = PublicKey::from_pem(key!("pkcs1.pub").1).unwrap();

    assert_eq!(spki, minion);
    // Another text, so another key to Salt, but not another key.
    assert_ne!(pkcs1, minion);
    assert!(pkcs1.shares_modulus(&minion));
    assert!(!pkcs1.shares_modulus(&public_key("master", Provider::default())));
}

#[test]
fn longer_keys_are_read_and_used() {
    use salt_crypto::Signing::Pkcs1v15Sha224;

    for provider in Provider::ALL {
        for (key, bits) in [(key!("bits-3072.pem"), 3072), (key!("bits-4096.pem"), 4096)] {
            let identity = Identity::from_pem(key.1, None).unwrap();
            let identity = identity.with_provider(*provider).unwrap();
            assert_eq!(identity.public_key().bits(), bits);

            let signature = identity
                .sign(Pkcs1v15Sha224, b"message", &mut rng())
                .unwrap();
            identity
                .public_key()
                .verify(Pkcs1v15Sha224, b"message", &signature)
                .unwrap();
            let proof = identity.prove(b"data", &mut rng()).unwrap();
            assert_eq!(identity.public_key().recover(&proof).unwrap(), b"data");
        }
    }
}

#[test]
fn a_modulus_that_fills_no_whole_bytes_cannot_prove() {
    // X9.31 blocks begin with 6b, which is above such a modulus' first byte.
    for provider in Provider::ALL {
        let identity = Identity::from_pem(key!("odd-2052.pem").1, None).unwrap();
        let identity = identity.with_provider(*provider).unwrap();

        assert!(matches!(
            identity.prove(b"salt", &mut rng()),
            Err(Error::TooLong)
        ));
        let signature = identity
            .sign(salt_crypto::Signing::Pkcs1v15Sha1, b"message", &mut rng())
            .unwrap();
        identity
            .public_key()
            .verify(salt_crypto::Signing::Pkcs1v15Sha1, b"message", &signature)
            .unwrap();
    }
}

#[test]
fn other_keys_are_refused_with_a_reason() {
    for (name, pem) in [
        key!("ec-sec1.pem"),
        key!("ec-pkcs8.pem"),
        key!("pss.pem"),
        key!("numbers-mixed.pem"),
        key!("spki.pub"),
    ] {
        let read = Identity::from_pem(pem, None);
        assert!(
            matches!(read, Err(Error::MalformedKey { .. })),
            "{name}: {read:?}"
        );
    }
    for (name, pem) in [
        key!("ec.pub"),
        key!("pss.pub"),
        key!("modulus-even.pub"),
        key!("pkcs8.pem"),
        key!("ec-sec1.pem"),
    ] {
        let read = PublicKey::from_pem(pem);
        assert!(
            matches!(read, Err(Error::MalformedKey { .. })),
            "{name}: {read:?}"
        );
    }
}

// K-08
#[test]
fn k08_weak_keys_are_refused_wherever_they_come_from() {
    for (key, expected) in [
        (key!("bits-512.pub"), 512),
        (key!("bits-1024.pub"), 1024),
        (key!("bits-2040.pub"), 2040),
    ] {
        let read = PublicKey::from_pem(key.1);
        assert!(
            matches!(read, Err(Error::KeySize { bits }) if bits == expected),
            "{}",
            key.0
        );
    }
    for (key, expected) in [
        (key!("bits-512.pem"), 512),
        (key!("bits-1024.pem"), 1024),
        (key!("bits-2040.pem"), 2040),
    ] {
        let read = Identity::from_pem(key.1, None);
        assert!(
            matches!(read, Err(Error::KeySize { bits }) if bits == expected),
            "{}",
            key.0
        );
    }
    for (name, pem) in [key!("exponent-1.pub"), key!("exponent-3.pub")] {
        assert!(
            matches!(PublicKey::from_pem(pem), Err(Error::KeyExponent)),
            "{name}"
        );
    }
    let read = Identity::from_pem(key!("exponent-3.pem").1, None);
    assert!(matches!(read, Err(Error::KeyExponent)));
}

// K-08
#[test]
fn k08_no_weak_key_is_generated() {
    for bits in [0, 512, 1024, 2047, 4097, 1 << 20] {
        let made = Identity::generate(bits, &mut rng());
        assert!(matches!(made, Err(Error::KeySize { .. })), "{bits}");
    }
    let made = Identity::generate(2048, &mut rng()).unwrap();
    assert_eq!(made.public_key().bits(), 2048);
    is_itself(&made);
}

#[track_caller]
fn is_itself(made: &Identity) {
    let read = Identity::from_pem(made.to_pem().expose(), None).unwrap();
    assert_eq!(read.public_key(), made.public_key());
}
