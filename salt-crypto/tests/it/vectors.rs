//! Every vector recorded from Salt 3008.3, none filtered.

use salt_crypto::{
    Encryption, Error, Fingerprint, FingerprintHash, Nonce, Provider, PublicKey, Purpose,
    SerialMark, SessionKey, Signing, Suite, clean_key, handshake, token,
};
use serde_json::Value;

use crate::support::{Chosen, bytes, crypticle, identity, misc, public_key, rng, rows, rsa, text};

fn nonce(row: &Value) -> Option<Nonce> {
    row["nonce"]
        .as_str()
        .map(|it| Nonce::from_text(it).unwrap())
}

fn report(what: &str, checked: usize) {
    println!("vectors checked: {what}: {checked}");
}

#[test]
fn recorded_messages_are_sealed_and_opened_byte_for_byte() {
    let vectors = crypticle();
    let key = SessionKey::from_text(text(&vectors, "key_string")).unwrap();
    let rows = rows(&vectors, "encrypt");

    for row in rows {
        let name = text(row, "name");
        let nonce = nonce(row);
        let plaintext = bytes(row, "plaintext");
        let recorded = bytes(row, "ciphertext");
        let body = &plaintext[8 + nonce.map_or(0, |_| Nonce::LEN)..];

        let mut sealed = Vec::new();
        let mut iv = Chosen(bytes(&vectors, "iv"));
        key.seal(
            Suite::Classic,
            Purpose::Reply,
            nonce.as_ref(),
            body,
            &mut iv,
            &mut sealed,
        );
        let mut plain = Vec::new();
        let opened = key
            .open(Purpose::Reply, nonce.as_ref(), &recorded, &mut plain)
            .unwrap();

        assert_eq!(sealed, recorded, "{name}");
        assert_eq!(plain, plaintext, "{name}");
        assert_eq!(&plain[opened.body.unwrap()], body, "{name}");
        assert_eq!(Suite::of(&recorded), Suite::Classic, "{name}");
    }
    report("crypticle encrypt", rows.len());
}

#[test]
fn recorded_bad_messages_end_as_they_should() {
    let vectors = crypticle();
    let key = SessionKey::from_text(text(&vectors, "key_string")).unwrap();
    let rows = rows(&vectors, "decrypt_bad");

    for row in rows {
        let name = text(row, "name");
        let mut plain = Vec::new();
        let opened = key.open(
            Purpose::Reply,
            nonce(row).as_ref(),
            &bytes(row, "ciphertext"),
            &mut plain,
        );
        let body = opened.map(|opened| opened.body.map(|range| plain[range].to_vec()));

        match (name, body) {
            // Salt's AuthenticationError, or an exception for what only a
            // holder of the key can have made.
            (
                "hmac-flip"
                | "body-flip"
                | "iv-flip"
                | "truncated"
                | "short-31"
                | "empty"
                | "exactly-32"
                | "iv-only-with-valid-mac"
                | "non-block-length",
                Err(Error::Refused),
            ) => assert!(row["error"].is_string(), "{name}"),
            // Salt reads an empty map or the text before; its sealers never
            // pad so, and we refuse it.
            ("pad-zero" | "pad-17" | "pad-255" | "pad-inconsistent", Err(Error::Refused)) => {}
            // Salt reads an empty map, and so does who calls us.
            ("no-pickle-prefix", Ok(None)) => {}
            // Authentic, but no MessagePack: the decoder's to refuse.
            ("marker-only", Ok(Some(body))) => assert_eq!(body, b""),
            ("bad-msgpack", Ok(Some(body))) => assert_eq!(body, b"\xc1"),
            ("trailing-bytes", Ok(Some(body))) => assert_eq!(body, b"\xc0\xc0"),
            ("nonce-unexpected", Ok(Some(body))) => {
                assert!(body.starts_with(b"0123456789abcdef0123456789abcdef"));
            }
            ("nonce-wrong" | "nonce-absent" | "nonce-short", Err(Error::NonceMismatch)) => {}
            (name, body) => panic!("{name}: {body:?}"),
        }
    }
    report("crypticle decrypt_bad", rows.len());
}

#[test]
fn recorded_key_sizes_and_serials_are_taken_as_salt_takes_them() {
    use base64ct::{Base64, Encoding};

    let vectors = crypticle();
    let sizes = rows(&vectors, "key_sizes");
    for row in sizes {
        let name = text(row, "name");
        let len: usize = name.strip_prefix("key-len-").unwrap().parse().unwrap();
        let key = SessionKey::from_text(&Base64::encode_string(&vec![7; len]));
        assert_eq!(key.is_ok(), row["result"] == "ok", "{name}");
    }
    report("crypticle key_sizes", sizes.len());

    let steps = rows(&vectors["serial_window"], "steps");
    let mut mark = SerialMark::default();
    for (i, row) in steps.iter().enumerate() {
        let passed = row["loads"]["$map"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        assert_eq!(
            mark.admit(row["serial"].as_u64().unwrap()),
            passed,
            "step {i}"
        );
    }
    report("crypticle serial_window", steps.len());
}

#[test]
fn recorded_keys_are_read_and_written_as_salt_does() {
    let vectors = rsa();
    let keys = vectors["keys"].as_object().unwrap();
    for provider in Provider::ALL {
        for (name, key) in keys {
            let identity = identity(name, *provider);

            assert_eq!(
                identity.to_pem().expose().trim_end(),
                text(key, "private_pem").trim_end()
            );
            assert_eq!(
                identity.public_key().as_pem(),
                clean_key(text(key, "public_pem"))
            );
            assert_eq!(identity.public_key(), &public_key(name, *provider));
        }
    }
    report("rsa keys", keys.len());
}

#[test]
fn recorded_signatures_are_made_and_verified() {
    let vectors = rsa();
    let (good, bad) = (rows(&vectors, "sign"), rows(&vectors, "verify_bad"));
    for provider in Provider::ALL {
        let master = identity("master", *provider);
        for row in good {
            let signing = Signing::from_name(text(row, "algorithm")).unwrap();
            let message = bytes(row, "message");
            let signature = bytes(row, "signature");

            assert_eq!(
                master.sign(signing, &message, &mut rng()).unwrap(),
                signature
            );
            master
                .public_key()
                .verify(signing, &message, &signature)
                .unwrap();
        }
        for row in bad {
            let name = text(row, "name");
            let verdict = Signing::from_name(text(row, "algorithm")).and_then(|signing| {
                let (message, signature) = (bytes(row, "message"), bytes(row, "signature"));
                master.public_key().verify(signing, &message, &signature)
            });
            match verdict {
                Err(Error::UnknownAlgorithm) => assert_eq!(name, "unknown-algorithm"),
                Err(Error::BadSignature) => assert_eq!(row["result"], false, "{name}"),
                verdict => panic!("{name}: {verdict:?}"),
            }
        }
    }
    report("rsa sign", good.len());
    report("rsa verify_bad", bad.len());
}

#[test]
fn recorded_encrypted_keys_are_opened() {
    let vectors = rsa();
    let (good, bad) = (rows(&vectors, "oaep"), rows(&vectors, "oaep_bad"));
    for provider in Provider::ALL {
        let minion = identity("minion", *provider);
        for row in good {
            let encryption = Encryption::from_name(text(row, "algorithm")).unwrap();
            let plaintext = bytes(row, "plaintext");

            let recorded = minion.decrypt(encryption, &bytes(row, "ciphertext"), &mut rng());
            let own = minion
                .public_key()
                .encrypt(encryption, &plaintext, &mut rng())
                .unwrap();
            let own = minion.decrypt(encryption, &own, &mut rng());

            assert!(recorded.unwrap().ct_eq(&plaintext));
            assert!(own.unwrap().ct_eq(&plaintext));
        }
        for row in bad {
            let name = text(row, "name");
            let opened = Encryption::from_name(text(row, "algorithm")).and_then(|encryption| {
                minion.decrypt(encryption, &bytes(row, "ciphertext"), &mut rng())
            });
            match opened {
                Err(Error::UnknownAlgorithm) => assert_eq!(name, "unknown"),
                Err(Error::Refused) => assert_eq!(row["error"], "ValueError", "{name}"),
                opened => panic!("{name}: {opened:?}"),
            }
        }
    }
    report("rsa oaep", good.len());
    report("rsa oaep_bad", bad.len());
}

#[test]
fn recorded_tokens_are_made_and_recovered() {
    let vectors = rsa();
    let (good, bad) = (rows(&vectors, "x931"), rows(&vectors, "x931_bad"));
    for provider in Provider::ALL {
        for row in good {
            let identity = identity(text(row, "key"), *provider);
            let data = bytes(row, "data");
            let signature = bytes(row, "signature");

            assert_eq!(identity.public_key().recover(&signature).unwrap(), data);
            let own = identity.prove(&data, &mut rng()).unwrap();
            // Of the two numbers that recover to the data, Salt makes the smaller.
            assert_eq!(own == signature, row["decrypt_only"] != true);
            if data == b"salt" {
                token::check(identity.public_key(), &signature).unwrap();
                assert_eq!(token::prove(&identity, &mut rng()).unwrap(), own);
            }
        }
        let minion = identity("minion", *provider);
        for row in bad {
            match text(row, "name") {
                "too-long-data" => {
                    for len in [255, 256, 1000] {
                        let proof = minion.prove(&vec![0x71; len], &mut rng());
                        assert!(matches!(proof, Err(Error::TooLong)), "{len}");
                    }
                }
                name @ ("flip" | "other-key" | "garbage" | "short") => {
                    let data = minion.public_key().recover(&bytes(row, "signature"));
                    assert!(matches!(data, Err(Error::BadSignature)), "{name}");
                }
                name => panic!("{name} is not checked"),
            }
        }
    }
    report("rsa x931", good.len());
    report("rsa x931_bad", bad.len());
}

#[test]
fn recorded_fingerprints_are_the_same() {
    let vectors = rsa();
    let rows = rows(&vectors, "fingerprints");
    for row in rows {
        let hash = FingerprintHash::from_name(text(row, "hash_type")).unwrap();
        let master = text(&vectors["keys"]["master"], "public_pem");
        let pem = match text(row, "key") {
            "master with CRLF line ends" => master.replace('\n', "\r\n"),
            "master without final newline (as the wire carries it)" => master.trim_end().to_owned(),
            name => text(&vectors["keys"][name], "public_pem").to_owned(),
        };
        let recorded = text(row, "fingerprint");

        let fingerprint = PublicKey::from_pem(&pem).unwrap().fingerprint(hash);

        assert_eq!(fingerprint.to_string(), recorded);
        assert_eq!(fingerprint, recorded.parse::<Fingerprint>().unwrap());
    }
    report("rsa fingerprints", rows.len());
}

#[test]
fn recorded_key_texts_are_cleaned_the_same_way() {
    let vectors = rsa();
    let rows = rows(&vectors, "clean_key");
    for row in rows {
        assert_eq!(clean_key(text(row, "in")), text(row, "out"));
    }
    report("rsa clean_key", rows.len());
}

#[test]
fn the_recorded_signature_of_the_masters_key_is_made_and_verified() {
    let vectors = rsa();
    let row = &vectors["pub_sig"];
    let recorded = String::from_utf8(bytes(row, "value_on_wire")).unwrap();
    let signing = Signing::from_name(text(row, "algorithm")).unwrap();
    for provider in Provider::ALL {
        let signer = identity(text(row, "signing_key"), *provider);
        let master = public_key("master", *provider);

        let own = handshake::sign_master_key(&signer, signing, &master, &mut rng()).unwrap();
        handshake::verify_master_key(signer.public_key(), signing, &master, &recorded).unwrap();

        assert_eq!(own, recorded);
    }
    report("rsa pub_sig", 1);
}

#[test]
fn recorded_hashes_of_ids_and_jids_are_the_same() {
    let vectors = misc();
    let topics = vectors["topic_sha1"].as_object().unwrap();
    for (id, recorded) in topics {
        assert_eq!(
            FingerprintHash::Sha1.hex_of(id.as_bytes()),
            recorded.as_str().unwrap()
        );
    }
    report("misc topic_sha1", topics.len());

    let sockets = vectors["event_socket_hash"].as_object().unwrap();
    for (id, recorded) in sockets {
        let hash = FingerprintHash::Sha256.hex_of(id.as_bytes());
        assert_eq!(&hash[..10], recorded.as_str().unwrap());
    }
    report("misc event_socket_hash", sockets.len());

    let dirs = rows(&vectors, "jid_dirs");
    for row in dirs {
        let hash = FingerprintHash::from_name(text(row, "hash_type")).unwrap();
        let digits = hash.hex_of(text(row, "jid").as_bytes());
        let (head, rest) = digits.split_at(2);
        assert_eq!(format!("{head}/{rest}"), text(row, "dir"));
    }
    report("misc jid_dirs", dirs.len());
}
