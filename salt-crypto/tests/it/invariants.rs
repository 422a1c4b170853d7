//! Invariants of the threat model that no other file covers.

use salt_crypto::{
    Encryption, Error, Nonce, Provider, Purpose, Secret, SessionKey, Suite,
    handshake::{Grant, Token},
};

use crate::support::{identity, public_key, rng};

// C-01
#[test]
fn c01_every_flipped_bit_is_refused_alike() {
    let key = SessionKey::generate(&mut rng());
    let nonce = Nonce::generate(&mut rng());
    for suite in [Suite::Classic, Suite::Aes256Gcm] {
        let mut sealed = Vec::new();
        let body = b"\x81\xa4test\xa4ping and more than one block of it";
        key.seal(
            suite,
            Purpose::Reply,
            Some(&nonce),
            body,
            &mut rng(),
            &mut sealed,
        );

        for bit in 0..sealed.len() * 8 {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let mut out = Vec::new();
            let refused = key.open(Purpose::Reply, Some(&nonce), &bent, &mut out);
            assert!(
                matches!(refused, Err(Error::Refused)),
                "{suite:?}, bit {bit}"
            );
            assert!(out.is_empty());
        }
    }
}

// C-01
#[test]
fn c01_every_truncation_and_extension_is_refused_alike() {
    let key = SessionKey::generate(&mut rng());
    for suite in [Suite::Classic, Suite::Aes256Gcm] {
        let mut sealed = Vec::new();
        key.seal(
            suite,
            Purpose::Request,
            None,
            &[7; 70],
            &mut rng(),
            &mut sealed,
        );

        for len in 0..sealed.len() {
            let refused = key.open(Purpose::Request, None, &sealed[..len], &mut Vec::new());
            assert!(
                matches!(refused, Err(Error::Refused)),
                "{suite:?}, {len} bytes"
            );
        }
        sealed.push(0);
        let refused = key.open(Purpose::Request, None, &sealed, &mut Vec::new());
        assert!(matches!(refused, Err(Error::Refused)));
    }
}

// K-10
#[test]
fn k10_every_failed_decryption_looks_the_same() {
    for provider in Provider::ALL {
        let minion = identity("minion", *provider);
        let good = minion
            .public_key()
            .encrypt(Encryption::OaepSha1, b"x", &mut rng())
            .unwrap();
        let flipped = |at: usize| {
            let mut bent = good.clone();
            bent[at] ^= 1;
            bent
        };
        let mut one = vec![0; 256];
        one[255] = 1;
        let cases = [
            Vec::new(),
            vec![0; 1],
            vec![0; 255],
            vec![0; 257],
            vec![0; 256],
            one,
            vec![0xff; 256],
            vec![0x5a; 256],
            vec![1; 100_000],
            good[1..].to_vec(),
            [&[0], good.as_slice()].concat(),
            flipped(0),
            flipped(128),
            flipped(255),
        ];
        for (i, case) in cases.iter().enumerate() {
            for encryption in Encryption::ALL {
                let refused = minion.decrypt(encryption, case, &mut rng()).unwrap_err();
                assert!(matches!(refused, Error::Refused), "{i}");
                assert_eq!(refused.to_string(), "refused");
                assert!(std::error::Error::source(&refused).is_none());
            }
        }
        // Made for the other hash.
        let refused = minion
            .decrypt(Encryption::OaepSha224, &good, &mut rng())
            .unwrap_err();
        assert!(matches!(refused, Error::Refused));
    }
}

// K-10: blinding makes two decryptions of the same bytes take different
// randomness, and none of it shows in the result.
#[test]
fn k10_the_pure_rust_provider_blinds_every_private_operation() {
    use rand_core::{Infallible, Rng, TryCryptoRng, TryRng};

    struct Counting(usize);
    impl TryRng for Counting {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.0 += 4;
            Ok(rng().next_u32())
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.0 += 8;
            Ok(rng().next_u64())
        }

        fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
            self.0 += to.len();
            rng().fill_bytes(to);
            Ok(())
        }
    }
    impl TryCryptoRng for Counting {}

    let minion = identity("minion", Provider::Rust);
    let sealed = minion
        .public_key()
        .encrypt(Encryption::OaepSha1, b"x", &mut rng())
        .unwrap();
    let (mut sign, mut decrypt, mut prove) = (Counting(0), Counting(0), Counting(0));

    minion
        .sign(salt_crypto::Signing::Pkcs1v15Sha1, b"x", &mut sign)
        .unwrap();
    minion
        .decrypt(Encryption::OaepSha1, &sealed, &mut decrypt)
        .unwrap();
    minion.prove(b"x", &mut prove).unwrap();

    // At least one number as long as the modulus each.
    assert!(sign.0 >= 256 && decrypt.0 >= 256 && prove.0 >= 256);
}

// C-06
#[test]
fn c06_nothing_printable_shows_a_secret() {
    let minion = identity("minion", Provider::default());
    let key = SessionKey::generate(&mut rng());
    let token = Token::generate(&mut rng());
    let secret = Secret::new(b"hunter2".to_vec());

    let printed = format!(
        "{minion:?} {key:?} {token:?} {secret:?} {:?}",
        minion.to_pem()
    );

    let pem = minion.to_pem();
    for line in pem.expose().lines().filter(|line| !line.starts_with('-')) {
        assert!(!printed.contains(line));
    }
    assert!(!printed.contains(key.to_text().expose().as_str()));
    assert!(!printed.contains("hunter2"));
    assert!(printed.contains("[secret]"));
}

// C-06
#[test]
fn c06_no_error_repeats_what_it_was_given() {
    let errors = [
        SessionKey::from_text("my-session-key").unwrap_err(),
        Nonce::from_text("my-nonce").unwrap_err(),
        Encryption::from_name("my-algorithm").unwrap_err(),
        salt_crypto::PublicKey::from_pem("my-key").unwrap_err(),
        salt_crypto::Identity::from_pem("my-key", Some("my-passphrase")).unwrap_err(),
        public_key("minion", Provider::default())
            .recover(b"my-token")
            .unwrap_err(),
    ];
    for error in errors {
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains("my-"), "{printed}");
    }
}

#[test]
fn a_grant_and_keys_can_cross_threads() {
    fn check<T: Send + Sync>() {}

    check::<salt_crypto::Identity>();
    check::<salt_crypto::PublicKey>();
    check::<SessionKey>();
    check::<Grant>();
    check::<Error>();
}
