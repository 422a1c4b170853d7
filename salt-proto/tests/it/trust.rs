//! Whom a minion believes, and that neither end can be talked into less:
//! invariants K-06, K-07 and K-09 (security.md §5.2).

use salt_crypto::{FingerprintHash, Signing, Suite};
use salt_proto::keystore::KeyState;
use salt_proto::minion::{MinionError, SignInError};
use salt_proto::{Map, MasterTrust, MemoryKeyStore, MinionEvent, MinionLink, Profile, Value};

use crate::handshake::{auth, clear, ret};
use crate::machines::{
    Pair, SECOND, Seeded, UNIX, answered, core, decoded, encoded, id, master_config,
    master_identity, minion_config, minion_identity, other_master_identity, seeded, worked,
};

/// Changes the load of a request in the clear, as somebody on the path can.
fn tampered(body: &[u8], change: impl FnOnce(&mut Map)) -> Vec<u8> {
    let mut message = decoded(body);
    change(
        message
            .as_map_mut()
            .and_then(|map| map.get_mut("load"))
            .and_then(Value::as_map_mut)
            .unwrap(),
    );
    encoded(message)
}

/// What a rogue in between makes of a good answer; the link must not move.
#[track_caller]
fn check_answer_is_refused(what: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let mut pair = Pair::new();
    let mut change = Some(change);
    pair.settle_through(|request| request, |reply| change.take().unwrap()(reply));

    assert!(!pair.link.is_ready(), "{what}");
    assert_eq!(pair.sign_in_errors().len(), 1, "{what}: {:?}", pair.events);
    assert_eq!(
        pair.link.master_key(),
        Some(master_identity().public_key()),
        "{what}"
    );
    assert_eq!(pair.exchanges.len(), 1, "{what}: nothing further was sent");
    assert_eq!(
        pair.count(|it| matches!(it, MinionEvent::MasterKeyLearned { .. })),
        0
    );
}

// K-06
#[test]
fn k06_an_answer_that_is_not_the_masters_to_this_very_question_is_refused() {
    let fields = |reply: &[u8]| match decoded(reply) {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    };
    check_answer_is_refused("garbage", |_| b"\xc1".to_vec());
    check_answer_is_refused("a short text", |_| encoded("bad load"));
    check_answer_is_refused("no signature", |reply| {
        let mut map = fields(&reply);
        map.remove("sig");
        encoded(map)
    });
    check_answer_is_refused("an unsigned refusal", |_| {
        encoded(Map::from([
            ("enc", Value::from("clear")),
            ("load", Map::from([("ret", false)]).into()),
        ]))
    });
    check_answer_is_refused("a signature by somebody else", |reply| {
        let mut map = fields(&reply);
        let load = map.get("load").and_then(Value::as_bytes).unwrap().to_vec();
        let forged = other_master_identity().sign(Signing::Pkcs1v15Sha224, &load, &mut Seeded(1));
        map.insert("sig", forged.unwrap());
        encoded(map)
    });
    check_answer_is_refused("a swapped session key", |reply| {
        let mut map = fields(&reply);
        let mut inner = fields(map.get("load").and_then(Value::as_bytes).unwrap());
        let aes = inner.get("aes").cloned().unwrap();
        inner.insert("session", aes);
        map.insert("load", encoded(inner));
        encoded(map)
    });
    let old = {
        let mut pair = Pair::new();
        pair.settle_through(|request| request, |reply| reply);
        pair.exchanges.remove(0).1
    };
    // The link of every test draws the same nonce, so ask with another.
    let mut pair = Pair::new();
    pair.link = MinionLink::new(minion_config("web1", 0), seeded(99)).unwrap();
    pair.settle_through(|request| request, |_| old.clone());
    assert!(matches!(
        pair.sign_in_errors().as_slice(),
        [SignInError::OtherNonce]
    ));

    let other_minions = {
        let mut other = Pair::unaccepted(master_config(), minion_config("web2", 1));
        let key = minion_identity(1).public_key().clone();
        other.master.keys_mut().accept(&id("web2"), &key).unwrap();
        other.settle();
        other.exchanges.remove(0).1
    };
    check_answer_is_refused("the answer of another minion", |_| other_minions);
}

// K-06
#[test]
fn k06_every_flipped_bit_of_an_answer_is_noticed() {
    let honest = {
        let mut pair = Pair::new();
        pair.settle();
        pair.exchanges.remove(0).1
    };
    let mut rng = Seeded(4);
    for _ in 0..40 {
        let mut reply = honest.clone();
        let at = usize::try_from(rng.below(reply.len() as u64)).unwrap();
        reply[at] ^= 1 << rng.below(8);
        let mut pair = Pair::new();
        pair.settle_through(|request| request, |_| reply.clone());
        let noticed = !pair.link.is_ready();
        // The word of the envelope and the names of unread keys are not signed.
        assert!(noticed || at < 12, "bit in byte {at}");
    }
}

// K-07
#[test]
fn k07_no_version_below_three_is_answered() {
    let mut core = core(master_config());
    for version in [
        Some(Value::Int(0)),
        Some(1.into()),
        Some(2.into()),
        None,
        Some((-3).into()),
        Some("2".into()),
        Some("three".into()),
        Some(Value::Null),
        Some(3.9.into()),
    ] {
        let mut message = Map::from([
            ("enc", Value::from("clear")),
            ("load", auth("web1", 0).into()),
        ]);
        if let Some(version) = version.clone() {
            message.insert("version", version);
        }
        let answer = answered(worked(&mut core, &encoded(message), UNIX));
        assert_eq!(answer, "bad load".into(), "{version:?}");
    }
    assert_eq!(core.keys().state(&id("web1")).unwrap(), KeyState::Unknown);
    for version in [Value::Int(3), "3".into(), u64::MAX.into()] {
        let message = Map::from([
            ("enc", Value::from("clear")),
            ("load", auth("web1", 0).into()),
            ("version", version.clone()),
        ]);
        let step = worked(&mut core, &encoded(message), UNIX);
        assert_eq!(ret(step), true.into(), "{version:?}");
    }
}

// K-07
#[test]
fn k07_a_strict_master_refuses_sha1_and_every_master_unknown_names() {
    let check = |profile: Profile, field: &str, name: Option<&str>, expected: &str| {
        let mut config = master_config();
        config.profile = profile;
        let mut core = core(config);
        let mut load = auth("web1", 0);
        match name {
            Some(name) => load.insert(field, name),
            None => load.remove(field),
        };
        let answer = answered(worked(&mut core, &clear(&load), UNIX));
        let said = answer.get("load").and_then(|load| load.get("ret")).cloned();
        assert_eq!(said, Some(expected.into()), "{field} {name:?}");
        assert!(answer.get("sig").is_none());
        assert_eq!(core.keys().state(&id("web1")).unwrap(), KeyState::Unknown);
    };
    for profile in [Profile::strict(), Profile::compat()] {
        check(profile, "enc_algo", Some("OAEP-MD5"), "bad enc algo");
        check(profile, "sig_algo", Some("none"), "bad sig algo");
    }
    check(
        Profile::strict(),
        "enc_algo",
        Some("OAEP-SHA1"),
        "bad enc algo",
    );
    check(Profile::strict(), "enc_algo", None, "bad enc algo");
    check(
        Profile::strict(),
        "sig_algo",
        Some("PKCS1v15-SHA1"),
        "bad sig algo",
    );
    check(Profile::strict(), "sig_algo", None, "bad sig algo");
}

// K-07
#[test]
fn k07_neither_end_can_be_configured_below_its_profile() {
    let mut config = minion_config("web1", 0);
    config.signing = Signing::Pkcs1v15Sha1;
    assert!(matches!(
        MinionLink::new(config, seeded(1)),
        Err(MinionError::Algorithm {
            algorithm: "PKCS1v15-SHA1",
            ..
        })
    ));
    let mut config = master_config();
    config.publish_signing = Signing::Pkcs1v15Sha1;
    let store = Box::new(MemoryKeyStore::new());
    assert!(salt_proto::MasterCore::new(config, store, seeded(1), UNIX).is_err());
}

// K-07
#[test]
fn k07_a_refused_algorithm_does_not_make_the_minion_ask_for_a_weaker_one() {
    let mut pair = Pair::compat();
    let refusal = Map::from([("ret", "bad enc algo")]);
    let refusal = encoded(Map::from([
        ("enc", Value::from("clear")),
        ("load", refusal.into()),
    ]));
    pair.settle_through(|request| request, |_| refusal.clone());
    pair.pass(SECOND * 60);
    pair.settle();

    assert!(matches!(
        pair.events.first(),
        Some(MinionEvent::SignInFailed {
            error: SignInError::AlgorithmRefused { .. },
            ..
        })
    ));
    for (request, _) in &pair.exchanges {
        let load = decoded(request).get("load").cloned().unwrap();
        if let Some(algorithm) = load.get("enc_algo") {
            assert_eq!(algorithm, &"OAEP-SHA224".into());
        }
    }
}

// K-07
#[test]
fn k07_a_man_in_the_middle_who_strips_or_lowers_the_offer_is_noticed() {
    let offers: [(&str, Option<Vec<&str>>); 4] = [
        ("stripped", None),
        ("emptied", Some(vec![])),
        ("lowered", Some(vec!["classic"])),
        ("added to", Some(vec!["aes-256-gcm", "rot13"])),
    ];
    for (what, offer) in offers {
        let mut pair = Pair::new();
        pair.settle_through(
            |request| {
                tampered(&request, |load| {
                    load.remove("suites").unwrap();
                    if let Some(offer) = &offer {
                        load.insert("suites", offer.iter().copied().collect::<Value>());
                    }
                })
            },
            |reply| reply,
        );

        assert!(!pair.link.is_ready(), "{what}");
        assert!(
            matches!(
                pair.sign_in_errors().as_slice(),
                [SignInError::Grant(salt_crypto::Error::Downgrade { .. })]
            ),
            "{what}: {:?}",
            pair.events
        );
    }
}

// K-07
#[test]
fn k07_a_known_master_cannot_be_passed_off_as_one_without_suites() {
    // A classic master with the same key: what a replayed key would look like.
    let mut pair = Pair::new();
    let strip = |reply: Vec<u8>| {
        let Value::Map(mut map) = decoded(&reply) else {
            panic!()
        };
        let Value::Map(mut inner) = decoded(map.get("load").and_then(Value::as_bytes).unwrap())
        else {
            panic!()
        };
        inner.remove("suite");
        inner.remove("suites");
        let load = encoded(inner);
        let sig = master_identity()
            .sign(Signing::Pkcs1v15Sha224, &load, &mut Seeded(1))
            .unwrap();
        map.insert("load", load);
        map.insert("sig", sig);
        encoded(map)
    };
    pair.settle_through(|request| request, strip);
    assert!(
        matches!(
            pair.events.as_slice(),
            [MinionEvent::Ready {
                suite: Suite::Classic,
                master_chooses_suites: false,
                ..
            }]
        ),
        "a stock master is believed"
    );

    let mut config = minion_config("web1", 0);
    config.master_chooses_suites = true;
    let mut pair = Pair::with(master_config(), config);
    pair.settle_through(|request| request, strip);
    assert!(!pair.link.is_ready(), "a known one is not");
}

#[test]
fn one_switch_on_either_end_turns_gcm_off() {
    for (on_master, on_minion) in [(true, true), (true, false), (false, true), (false, false)] {
        let profile = |on| {
            if on {
                Profile::strict()
            } else {
                Profile::strict().without_aes_gcm()
            }
        };
        let mut master = master_config();
        master.profile = profile(on_master);
        let mut minion = minion_config("web1", 0);
        minion.profile = profile(on_minion);
        let mut pair = Pair::with(master, minion).ready();
        let expected = match on_master && on_minion {
            true => Suite::Aes256Gcm,
            false => Suite::Classic,
        };

        pair.ask(Map::from([("cmd", "_file_envs")])).unwrap();
        pair.ask(Map::from([("cmd", "_pillar")])).unwrap();

        for (request, reply) in &pair.exchanges {
            let (request, reply) = (decoded(request), decoded(reply));
            let sealed = request.get("load").and_then(Value::as_bytes).unwrap();
            assert_eq!(Suite::of(sealed), expected);
            let sealed = reply.get("pillar").unwrap_or(&reply).as_bytes().unwrap();
            assert_eq!(Suite::of(sealed), expected);
        }
    }
}

// K-09
#[test]
fn k09_a_minion_that_knows_nothing_of_its_master_does_not_start() {
    let unpinned = |profile| {
        let mut config = minion_config("web1", 0);
        config.master = MasterTrust::Unknown;
        config.profile = profile;
        MinionLink::new(config, seeded(1)).err()
    };

    assert!(matches!(
        unpinned(Profile::strict()),
        Some(MinionError::MasterNotPinned { profile: "strict" })
    ));
    assert!(unpinned(Profile::strict().danger_trust_on_first_use()).is_some());
    assert!(unpinned(Profile::compat()).is_some());
    assert!(unpinned(Profile::compat().danger_trust_on_first_use()).is_none());
}

// K-09
#[test]
fn k09_trust_on_first_use_pins_the_first_key() {
    let mut master = master_config();
    master.profile = Profile::compat();
    let mut config = minion_config("web1", 0);
    config.master = MasterTrust::Unknown;
    config.profile = Profile::compat().danger_trust_on_first_use();
    let mut pair = Pair::with(master, config);
    pair.settle();

    let learned = pair.events.iter().find_map(|event| match event {
        MinionEvent::MasterKeyLearned {
            key,
            replaced: false,
        } => Some(key),
        _ => None,
    });
    assert_eq!(learned, Some(master_identity().public_key()));
    check_changed_master_is_refused(pair);
}

// K-09
#[test]
fn k09_a_changed_master_key_is_never_taken_and_is_reported() {
    check_changed_master_is_refused(Pair::new().ready());
}

/// Another master takes the place of the pair's.
#[track_caller]
fn check_changed_master_is_refused(mut pair: Pair) {
    pair.events.clear();
    let mut other = salt_proto::MasterConfig::new(other_master_identity());
    other.profile = Profile::compat();
    pair.master = core(other);
    pair.accept();
    pair.link.sign_in_again();
    pair.settle();

    let expected = master_identity()
        .public_key()
        .fingerprint(FingerprintHash::Sha256);
    let shown = other_master_identity()
        .public_key()
        .fingerprint(FingerprintHash::Sha256);
    match pair.sign_in_errors().as_slice() {
        [
            SignInError::MasterKeyChanged {
                offered,
                expected: known,
            },
        ] => {
            assert_eq!((**offered, **known), (shown, expected));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(pair.link.master_key(), Some(master_identity().public_key()));
    assert!(
        pair.link.poll_timeout().is_some(),
        "it tries again, with a wait"
    );
}

// K-09
#[test]
fn k09_a_key_that_differs_only_in_its_line_ends_is_the_same_key() {
    let pem = master_identity()
        .public_key()
        .as_pem()
        .replace('\n', "\r\n")
        + "\r\n\r\n";
    let mut config = minion_config("web1", 0);
    config.master = MasterTrust::Pinned(salt_crypto::PublicKey::from_pem(&pem).unwrap());
    let mut pair = Pair::with(master_config(), config);
    pair.settle();
    assert!(pair.link.is_ready(), "{:?}", pair.events);
}

// K-09
#[test]
fn k09_a_fingerprint_pins_the_master_before_the_first_contact() {
    for hash in [FingerprintHash::Sha256, FingerprintHash::Sha512] {
        for (fingerprint, good) in [
            (master_identity().public_key().fingerprint(hash), true),
            (
                other_master_identity().public_key().fingerprint(hash),
                false,
            ),
        ] {
            let mut config = minion_config("web1", 0);
            config.master = MasterTrust::Fingerprint(fingerprint);
            let mut pair = Pair::with(master_config(), config);
            pair.settle();

            assert_eq!(pair.link.is_ready(), good);
            assert_eq!(pair.link.master_key().is_some(), good);
            let changed = matches!(
                pair.sign_in_errors().as_slice(),
                [SignInError::MasterKeyChanged { .. }]
            );
            assert_eq!(changed, !good, "{:?}", pair.events);
        }
    }
}

// K-06
#[test]
fn k06_before_the_master_is_known_its_refusals_only_cause_waiting() {
    let mut config = minion_config("web1", 0);
    let fingerprint = master_identity()
        .public_key()
        .fingerprint(FingerprintHash::Sha256);
    config.master = MasterTrust::Fingerprint(fingerprint);
    let mut pair = Pair::unaccepted(master_config(), config);
    pair.settle();
    assert!(matches!(
        pair.events.pop(),
        Some(MinionEvent::Pending { .. })
    ));

    let key = minion_identity(0).public_key().clone();
    pair.master.keys_mut().reject(&id("web1"), &key).unwrap();
    pair.pass(SECOND * 60);
    pair.settle();
    assert!(matches!(
        pair.events.pop(),
        Some(MinionEvent::Rejected {
            verified: false,
            wait: Some(_)
        })
    ));
    assert_eq!(pair.link.master_key(), None);
}

#[test]
fn a_signing_key_vouches_for_master_keys_and_their_successors() {
    let signer = minion_identity(5);
    let mut master = master_config();
    master.signing_identity = Some(signer.clone());
    let config = || {
        let mut config = minion_config("web1", 0);
        config.master = MasterTrust::Unknown;
        config.master_signing_key = Some(signer.public_key().clone());
        config
    };
    let mut pair = Pair::with(master, config());
    pair.settle();
    assert!(pair.link.is_ready(), "{:?}", pair.events);
    assert_eq!(pair.link.master_key(), Some(master_identity().public_key()));

    let mut successor = salt_proto::MasterConfig::new(other_master_identity());
    successor.signing_identity = Some(signer.clone());
    pair.master = core(successor);
    pair.accept();
    pair.events.clear();
    pair.link.sign_in_again();
    pair.settle();
    assert_eq!(
        pair.link.master_key(),
        Some(other_master_identity().public_key())
    );
    assert_eq!(
        pair.count(|it| matches!(it, MinionEvent::MasterKeyLearned { replaced: true, .. })),
        1
    );

    let mut unsigned = Pair::with(master_config(), config());
    unsigned.settle();
    assert!(matches!(
        unsigned.sign_in_errors().as_slice(),
        [SignInError::MasterKeyUnsigned]
    ));
    let mut wrong = master_config();
    wrong.signing_identity = Some(minion_identity(6));
    let mut wrong = Pair::with(wrong, config());
    wrong.settle();
    assert!(matches!(
        wrong.sign_in_errors().as_slice(),
        [SignInError::MasterKeyUnsigned]
    ));
}

#[test]
fn a_master_that_cannot_read_the_token_is_not_the_known_one() {
    // It has the known key's answers but not the private key: it drops the token.
    let mut pair = Pair::new();
    pair.settle_through(
        |request| tampered(&request, |load| drop(load.remove("token").unwrap())),
        |reply| reply,
    );
    assert!(matches!(
        pair.sign_in_errors().as_slice(),
        [SignInError::Grant(salt_crypto::Error::TokenMismatch)]
    ));
}
