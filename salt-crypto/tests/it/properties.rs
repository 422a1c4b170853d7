//! What must hold for all inputs.

use proptest::{collection::vec, prelude::*};
use salt_crypto::{
    Encryption, Error, FingerprintHash, Identity, Nonce, Provider, PublicKey, Purpose, SessionKey,
    Suite, clean_key,
};

use crate::support::{Chosen, identity, rng};

fn suite() -> impl Strategy<Value = Suite> {
    prop_oneof![Just(Suite::Classic), Just(Suite::Aes256Gcm)]
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![
        Just(Purpose::Request),
        Just(Purpose::Reply),
        Just(Purpose::Publish),
        Just(Purpose::Announce),
        Just(Purpose::Pillar),
    ]
}

fn key() -> impl Strategy<Value = SessionKey> {
    vec(any::<u8>(), 56).prop_map(|bytes| SessionKey::generate(&mut Chosen(bytes)))
}

fn nonce() -> impl Strategy<Value = Option<Nonce>> {
    proptest::option::of("[0-9a-f]{32}".prop_map(|it| Nonce::from_text(&it).unwrap()))
}

fn provider() -> impl Strategy<Value = Provider> {
    proptest::sample::select(Provider::ALL)
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_itself(
        key in key(), suite in suite(), purpose in purpose(), nonce in nonce(),
        body in vec(any::<u8>(), 0..600), before in vec(any::<u8>(), 0..40),
    ) {
        let mut sealed = before.clone();
        key.seal(suite, purpose, nonce.as_ref(), &body, &mut rng(), &mut sealed);
        let mut plain = before.clone();
        let opened = key.open(purpose, nonce.as_ref(), &sealed[before.len()..], &mut plain).unwrap();

        prop_assert_eq!(opened.suite, suite);
        prop_assert_eq!(&plain[opened.body.unwrap()], body);
        prop_assert_eq!(&plain[..before.len()], before);
    }

    #[test]
    fn any_flipped_bit_is_refused(
        key in key(), suite in suite(), body in vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut sealed = Vec::new();
        key.seal(suite, Purpose::Publish, None, &body, &mut rng(), &mut sealed);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;

        let mut out = Vec::new();
        let refused = key.open(Purpose::Publish, None, &sealed, &mut out);

        prop_assert!(matches!(refused, Err(Error::Refused)));
        prop_assert!(out.is_empty());
    }

    #[test]
    fn bytes_from_a_stranger_are_refused(
        key in key(), bytes in vec(any::<u8>(), 0..300), claim in any::<bool>(), nonce in nonce(),
    ) {
        let bytes = if claim { [b"SaltGCM1", bytes.as_slice()].concat() } else { bytes };
        let refused = key.open(Purpose::Reply, nonce.as_ref(), &bytes, &mut Vec::new());
        prop_assert!(matches!(refused, Err(Error::Refused)));
    }

    #[test]
    fn a_key_text_gives_the_same_key(key in key()) {
        let text = key.to_text();
        let read = SessionKey::from_text(text.expose()).unwrap();

        prop_assert_eq!(text.expose().len(), SessionKey::TEXT_LEN);
        prop_assert!(read.ct_eq(&key));
        prop_assert_eq!(read.sha256_hex(), key.sha256_hex());
    }

    #[test]
    fn cleaning_a_key_text_twice_changes_nothing_more(text in "[ \t\r\na-c]{0,30}") {
        let once = clean_key(&text);
        prop_assert_eq!(clean_key(&once), once.clone());
        prop_assert!(!once.contains('\r'));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_proved_is_recovered(provider in provider(), data in vec(any::<u8>(), 0..253)) {
        let minion = identity("minion", provider);

        let proof = minion.prove(&data, &mut rng()).unwrap();

        prop_assert_eq!(minion.public_key().recover(&proof).unwrap(), data);
    }

    #[test]
    fn no_other_block_is_recovered(provider in provider(), bytes in vec(any::<u8>(), 0..300)) {
        let minion = identity("minion", provider);
        prop_assert!(matches!(minion.public_key().recover(&bytes), Err(Error::BadSignature)));
    }

    #[test]
    fn what_is_encrypted_is_decrypted(
        provider in provider(), data in vec(any::<u8>(), 0..=198), sha224 in any::<bool>(),
    ) {
        let encryption = if sha224 { Encryption::OaepSha224 } else { Encryption::OaepSha1 };
        let minion = identity("minion", provider);

        let sealed = minion.public_key().encrypt(encryption, &data, &mut rng()).unwrap();

        prop_assert!(minion.decrypt(encryption, &sealed, &mut rng()).unwrap().ct_eq(&data));
    }

    #[test]
    fn a_key_survives_its_text_with_any_line_ends(
        ends in vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], 40), around in "[ \r\n\t]{0,6}",
    ) {
        let minion = identity("minion", Provider::default());
        let mangle = |text: &str| {
            let lines = text.lines().zip(ends.iter().cycle());
            let text: String = lines.flat_map(|(line, end)| [line, end]).collect();
            format!("{around}{text}{around}")
        };

        let public = PublicKey::from_pem(&mangle(minion.public_key().as_pem())).unwrap();
        let private = Identity::from_pem(&mangle(minion.to_pem().expose()), None).unwrap();

        prop_assert_eq!(&public, minion.public_key());
        prop_assert_eq!(private.public_key(), minion.public_key());
        let hash = FingerprintHash::Sha256;
        prop_assert_eq!(public.fingerprint(hash), minion.public_key().fingerprint(hash));
    }

    #[test]
    fn a_text_with_one_other_character_is_another_key_or_none(
        at in any::<proptest::sample::Index>(), to in "[A-Za-z0-9+/]",
    ) {
        let minion = identity("minion", Provider::default());
        let mut text = minion.public_key().as_pem().to_owned();
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != to);
        text.replace_range(at..=at, &to);

        if let Ok(other) = PublicKey::from_pem(&text) {
            prop_assert_ne!(&other, minion.public_key());
        }
    }
}

#[test]
fn what_does_not_fit_the_key_is_not_encrypted() {
    for provider in Provider::ALL {
        let minion = identity("minion", *provider);
        for (encryption, room) in [(Encryption::OaepSha1, 214), (Encryption::OaepSha224, 198)] {
            let fits = minion
                .public_key()
                .encrypt(encryption, &vec![7; room], &mut rng());
            let does_not = minion
                .public_key()
                .encrypt(encryption, &vec![7; room + 1], &mut rng());

            assert!(fits.is_ok());
            assert!(matches!(does_not, Err(Error::TooLong)));
        }
    }
}
