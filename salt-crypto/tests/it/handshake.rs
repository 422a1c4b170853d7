//! Sign-in between two parties, and what an attacker can do to it.

use salt_crypto::{
    Encryption, Error, Identity, Nonce, Provider, PublicKey, Purpose, SessionKey, Signing, Suite,
    handshake::{self, Grant, Keys, PublishKeyProof, Token},
};

use crate::support::{identity, rng};

struct Parties {
    master: Identity,
    minion: Identity,
    publish: SessionKey,
    session: SessionKey,
    proof: PublishKeyProof,
}

fn parties(provider: Provider) -> Parties {
    let master = identity("master", provider);
    let publish = SessionKey::generate(&mut rng());
    Parties {
        proof: PublishKeyProof::new(&master, &publish, &mut rng()).unwrap(),
        minion: identity("minion", provider),
        session: SessionKey::generate(&mut rng()),
        publish,
        master,
    }
}

impl Parties {
    fn grant(&self, encryption: Encryption, token: Option<&[u8]>) -> Grant {
        let minion = self.minion.public_key();
        let session = &self.session;
        handshake::grant(
            &self.master,
            minion,
            encryption,
            &self.proof,
            session,
            token,
            &mut rng(),
        )
        .unwrap()
    }

    fn accept(
        &self,
        grant: &Grant,
        encryption: Encryption,
        token: Option<&Token>,
    ) -> Result<Keys, Error> {
        let master = self.master.public_key();
        handshake::accept(grant, &self.minion, master, encryption, token, &mut rng())
    }
}

#[test]
fn a_minion_takes_out_the_keys_that_its_master_put_in() {
    for provider in Provider::ALL {
        let it = parties(*provider);
        for encryption in Encryption::ALL {
            let token = Token::generate(&mut rng());
            let offer = token
                .offer(it.master.public_key(), encryption, &mut rng())
                .unwrap();

            let grant = it.grant(encryption, Some(&offer));
            let keys = it.accept(&grant, encryption, Some(&token)).unwrap();

            assert!(keys.publish.ct_eq(&it.publish));
            assert!(keys.session.ct_eq(&it.session));
            assert_eq!(grant.sig, it.proof.as_bytes());
        }
    }
}

#[test]
fn a_first_sign_in_needs_no_token() {
    for provider in Provider::ALL {
        let it = parties(*provider);

        let grant = it.grant(Encryption::OaepSha1, None);

        assert_eq!(grant.token, None);
        assert!(it.accept(&grant, Encryption::OaepSha1, None).is_ok());
    }
}

#[test]
fn a_token_nobody_can_decrypt_is_ignored_as_salt_ignores_it() {
    for provider in Provider::ALL {
        let it = parties(*provider);
        let minion = it.minion.public_key();
        let for_another = minion
            .encrypt(Encryption::OaepSha1, b"token", &mut rng())
            .unwrap();
        for token in [&[][..], &[0; 256], &[0xff; 256], &[7; 300], &for_another] {
            assert_eq!(it.grant(Encryption::OaepSha1, Some(token)).token, None);
        }
    }
}

#[test]
fn a_token_too_long_for_the_minions_key_is_ignored() {
    for provider in Provider::ALL {
        let mut it = parties(*provider);
        let pem = include_str!("../keys/bits-4096.pem");
        it.master = Identity::from_pem(pem, None)
            .unwrap()
            .with_provider(*provider)
            .unwrap();
        let master = it.master.public_key();
        let long = master
            .encrypt(Encryption::OaepSha1, &[7; 300], &mut rng())
            .unwrap();

        assert_eq!(it.grant(Encryption::OaepSha1, Some(&long)).token, None);
    }
}

// K-06
#[test]
fn k06_an_answer_is_bound_to_the_master_that_was_asked() {
    for provider in Provider::ALL {
        let it = parties(*provider);
        let mut rogue = parties(*provider);
        rogue.master = identity("sign", *provider);
        rogue.proof = PublishKeyProof::new(&rogue.master, &rogue.publish, &mut rng()).unwrap();
        let encryption = Encryption::OaepSha224;

        // A rogue master hands out keys of its own under its own proof.
        let accepted = it.accept(&rogue.grant(encryption, None), encryption, None);
        assert!(matches!(accepted, Err(Error::PublishKeyMismatch)));

        // It shows the real master's proof for its own publish key.
        let mut grant = rogue.grant(encryption, None);
        grant.sig = it.proof.as_bytes().to_vec();
        let accepted = it.accept(&grant, encryption, None);
        assert!(matches!(accepted, Err(Error::PublishKeyMismatch)));

        // It hands its own key to the minion as the master's.
        let (known, offered) = (it.master.public_key(), rogue.master.public_key());
        let changed = handshake::check_master(known, offered);
        assert!(matches!(changed, Err(Error::MasterKeyChanged { .. })));
        handshake::check_master(known, &it.master.public_key().clone()).unwrap();
    }
}

// K-06
#[test]
fn k06_a_master_that_cannot_return_the_token_is_not_the_known_one() {
    for provider in Provider::ALL {
        let it = parties(*provider);
        let encryption = Encryption::OaepSha1;
        let token = Token::generate(&mut rng());
        let other = Token::generate(&mut rng());
        let other = other
            .offer(it.master.public_key(), encryption, &mut rng())
            .unwrap();

        let mut absent = it.grant(encryption, None);
        let another = it.grant(encryption, Some(&other));
        absent.token = None;
        let mut garbage = another.clone();
        garbage.token = Some(vec![1; 256]);

        for grant in [absent, another, garbage] {
            let accepted = it.accept(&grant, encryption, Some(&token));
            assert!(matches!(accepted, Err(Error::TokenMismatch)));
        }
    }
}

// K-06
#[test]
fn k06_an_answer_for_another_minion_gives_no_keys() {
    for provider in Provider::ALL {
        let it = parties(*provider);
        let mut another = parties(*provider);
        another.minion = identity("sign", *provider);
        another.proof = it.proof.clone();

        let grant = another.grant(Encryption::OaepSha1, None);
        let accepted = it.accept(&grant, Encryption::OaepSha1, None);
        assert!(matches!(accepted, Err(Error::Refused)));

        // Only the session key is swapped.
        let mut grant = it.grant(Encryption::OaepSha1, None);
        grant.session = another.grant(Encryption::OaepSha1, None).session;
        let accepted = it.accept(&grant, Encryption::OaepSha1, None);
        assert!(matches!(accepted, Err(Error::Refused)));
    }
}

// K-06
#[test]
fn k06_the_signature_covers_every_byte_of_the_answer() {
    let master = identity("master", Provider::default());
    let load = b"\x82\xa3ret\xc3\xa5nonce\xda\x00 0123456789abcdef0123456789abcdef";
    for signing in Signing::ALL {
        let signature = master.sign(signing, load, &mut rng()).unwrap();
        master
            .public_key()
            .verify(signing, load, &signature)
            .unwrap();

        for i in 0..load.len() {
            let mut bent = *load;
            bent[i] ^= 1;
            let verdict = master.public_key().verify(signing, &bent, &signature);
            assert!(matches!(verdict, Err(Error::BadSignature)), "byte {i}");
        }
    }
}

// K-07
#[test]
fn k07_keys_come_under_the_algorithm_that_was_asked_for() {
    for provider in Provider::ALL {
        let it = parties(*provider);

        // Asked for SHA-224, answered with SHA-1, and the other way round.
        for (asked, used) in [
            (Encryption::OaepSha224, Encryption::OaepSha1),
            (Encryption::OaepSha1, Encryption::OaepSha224),
        ] {
            let accepted = it.accept(&it.grant(used, None), asked, None);
            assert!(matches!(accepted, Err(Error::Refused)));
        }

        // The same for signatures.
        let master = it.master.public_key();
        let weak = it
            .master
            .sign(Signing::Pkcs1v15Sha1, b"load", &mut rng())
            .unwrap();
        let verdict = master.verify(Signing::Pkcs1v15Sha224, b"load", &weak);
        assert!(matches!(verdict, Err(Error::BadSignature)));
    }
}

#[test]
fn what_is_wrapped_must_be_a_session_key() {
    for provider in Provider::ALL {
        let minion = identity("minion", *provider);
        let encryption = Encryption::OaepSha224;
        for content in [&b""[..], b"short", &[b'A'; 76], &[0xff; 76]] {
            let wrapped = minion
                .public_key()
                .encrypt(encryption, content, &mut rng())
                .unwrap();
            let key = handshake::unwrap(&wrapped, &minion, encryption, &mut rng());
            assert!(matches!(key, Err(Error::Refused)), "{content:?}");
        }
    }
}

#[test]
fn a_private_reply_opens_for_its_minion_alone() {
    for provider in Provider::ALL {
        let (minion, other) = (identity("minion", *provider), identity("sign", *provider));
        let encryption = Encryption::OaepSha224;
        for suite in [Suite::Classic, Suite::Aes256Gcm] {
            let key = SessionKey::generate(&mut rng());
            let wrapped =
                handshake::wrap(&key, minion.public_key(), encryption, &mut rng()).unwrap();
            let mut sealed = Vec::new();
            key.seal(
                suite,
                Purpose::Pillar,
                None,
                b"\x80",
                &mut rng(),
                &mut sealed,
            );

            let key = handshake::unwrap(&wrapped, &minion, encryption, &mut rng()).unwrap();
            let mut plain = Vec::new();
            let opened = key
                .open(Purpose::Pillar, None, &sealed, &mut plain)
                .unwrap();

            assert_eq!(&plain[opened.body.unwrap()], b"\x80");
            assert!(handshake::unwrap(&wrapped, &other, encryption, &mut rng()).is_err());
        }
    }
}

#[test]
fn a_signature_over_the_masters_key_is_read_however_it_is_wrapped() {
    let signer = identity("sign", Provider::default());
    let master = identity("master", Provider::default());
    let signing = Signing::Pkcs1v15Sha224;
    let verify = |key: &PublicKey, text: &str| {
        handshake::verify_master_key(signer.public_key(), signing, key, text)
    };

    let made =
        handshake::sign_master_key(&signer, signing, master.public_key(), &mut rng()).unwrap();
    let wrapped = format!("{}\r\n{}\r\n", &made[..76], &made[76..]);

    verify(master.public_key(), &made).unwrap();
    verify(master.public_key(), &wrapped).unwrap();
    for text in ["", "\n", "AAAA", "!", &made[4..]] {
        assert!(matches!(
            verify(master.public_key(), text),
            Err(Error::BadSignature)
        ));
    }
    assert!(matches!(
        verify(signer.public_key(), &made),
        Err(Error::BadSignature)
    ));
}

#[test]
fn a_reply_is_accepted_for_its_request_alone() {
    let key = SessionKey::generate(&mut rng());
    let (asked, other) = (Nonce::generate(&mut rng()), Nonce::generate(&mut rng()));
    for suite in [Suite::Classic, Suite::Aes256Gcm] {
        let mut sealed = Vec::new();
        key.seal(
            suite,
            Purpose::Reply,
            Some(&asked),
            b"\xc3",
            &mut rng(),
            &mut sealed,
        );

        let open = |nonce: &Nonce| key.open(Purpose::Reply, Some(nonce), &sealed, &mut Vec::new());

        assert!(open(&asked).is_ok());
        assert!(matches!(open(&other), Err(Error::NonceMismatch)));
    }
}
