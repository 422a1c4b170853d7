//! Signing in: invariants F1, F3 and K-01 to K-09 (security.md §5.2), each
//! against the machine that has to hold it.

use std::time::Duration;

use salt_crypto::{FingerprintHash, Nonce, Signing, Suite, handshake};
use salt_proto::keystore::{KeyState, KeyStore};
use salt_proto::message::{AesCommand, ClearCommand};
use salt_proto::minion::{Dropped, MinionError, SignInError, Waits};
use salt_proto::{
    AutoSign, Map, MasterEvent, MasterTrust, MemoryKeyStore, MinionEvent, MinionLink, Profile,
    RequestStep, Value, envelope,
};

use crate::machines::{
    Pair, SECOND, Seeded, UNIX, answered, assert_refused, core, decoded, encoded, id,
    master_config, master_identity, minion_config, minion_identity, other_master_identity, seeded,
    worked,
};

/// The load of a sign-in by hand.
fn auth(name: impl Into<Value>, key: usize) -> Map {
    Map::from([
        ("cmd", Value::from("_auth")),
        ("id", name.into()),
        ("nonce", "0123456789abcdef0123456789abcdef".into()),
        ("enc_algo", "OAEP-SHA224".into()),
        ("sig_algo", "PKCS1v15-SHA224".into()),
        ("pub", minion_identity(key).public_key().as_pem().into()),
    ])
}

fn clear(load: &Map) -> Vec<u8> {
    let mut body = Vec::new();
    envelope::clear_request(load, &mut body);
    body
}

/// The inner map of a signed answer, its signature checked.
#[track_caller]
fn signed_answer(step: RequestStep) -> Map {
    let RequestStep::Reply(body) = step else {
        panic!("{step:?}")
    };
    let Value::Map(answer) = decoded(&body) else {
        panic!("no map")
    };
    let bytes = |key| answer.get(key).and_then(Value::as_bytes).unwrap();
    master_identity()
        .public_key()
        .verify(Signing::Pkcs1v15Sha224, bytes("load"), bytes("sig"))
        .unwrap();
    match decoded(bytes("load")) {
        Value::Map(inner) => inner,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn ret(step: RequestStep) -> Value {
    signed_answer(step).remove("ret").unwrap()
}

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

#[test]
fn an_accepted_minion_signs_in_and_learns_the_port_and_the_suite() {
    let mut pair = Pair::new();
    pair.settle();

    assert!(matches!(
        pair.events.as_slice(),
        [MinionEvent::Ready {
            publish_port: 4505,
            suite: Suite::Aes256Gcm,
            first: true,
            master_chooses_suites: true
        }]
    ));
    assert!(pair.link.is_ready());
}

#[test]
fn a_pending_key_is_offered_again_after_a_growing_wait_until_it_is_accepted() {
    let mut pair = Pair::unaccepted(master_config(), minion_config("web1", 0));
    let asked = pair.link.request(Map::from([("cmd", "_file_envs")]));
    let mut last = Duration::ZERO;
    for round in 0..6 {
        pair.settle();
        let Some(MinionEvent::Pending { wait }) = pair.events.pop() else {
            panic!("{:?}", pair.events)
        };
        assert!(wait >= SECOND * 5 && wait <= SECOND * 60, "{wait:?}");
        assert!(round > 3 || wait * 2 > last, "{wait:?} after {last:?}");
        last = wait;

        assert_eq!(pair.link.poll_timeout(), Some(pair.now + wait));
        pair.pass(wait - SECOND);
        assert_eq!(pair.link.poll_transmit(pair.now, pair.unix), None);
        pair.pass(SECOND);
    }
    pair.accept();
    pair.settle();

    assert!(pair.link.is_ready());
    assert_eq!(pair.outcome(asked).unwrap(), Value::Null);
    assert_eq!(pair.served.len(), 1, "the request waited and was made once");
}

#[test]
fn a_rejected_minion_is_told_and_its_requests_fail() {
    let mut pair = Pair::unaccepted(master_config(), minion_config("web1", 0));
    let key = minion_identity(0).public_key().clone();
    pair.master.keys_mut().reject(&id("web1"), &key).unwrap();

    let failed = pair.ask(Map::from([("cmd", "_mine")]));

    assert!(failed.is_err());
    assert!(matches!(
        pair.events.as_slice(),
        [MinionEvent::Rejected {
            verified: true,
            wait: Some(_)
        }]
    ));
}

#[test]
fn a_minion_told_to_stop_after_a_rejection_does() {
    let mut config = minion_config("web1", 0);
    config.waits = Waits {
        rejected: None,
        ..Waits::default()
    };
    let mut pair = Pair::unaccepted(master_config(), config);
    let key = minion_identity(0).public_key().clone();
    pair.master.keys_mut().reject(&id("web1"), &key).unwrap();
    pair.settle();

    pair.pass(SECOND * 86_400);
    assert_eq!(pair.link.poll_transmit(pair.now, pair.unix), None);
    assert_eq!(pair.link.poll_timeout(), None);
}

#[test]
fn a_full_master_takes_no_more_minions_but_keeps_those_it_has() {
    let mut config = master_config();
    config.max_minions = 1;
    let mut pair = Pair::with(config, minion_config("web1", 0)).ready();
    let key = minion_identity(1).public_key().clone();
    pair.master.keys_mut().accept(&id("web2"), &key).unwrap();

    assert_eq!(
        ret(worked(&mut pair.master, &clear(&auth("web2", 1)), UNIX)),
        "full".into()
    );
    let again = signed_answer(worked(&mut pair.master, &clear(&auth("web1", 0)), UNIX));
    assert_eq!(again.str("enc"), Some("pub"));

    let mut full = Pair::with(
        {
            let mut config = master_config();
            config.max_minions = 1;
            config
        },
        minion_config("web1", 0),
    );
    full.master.keys_mut().accept(&id("web2"), &key).unwrap();
    worked(&mut full.master, &clear(&auth("web2", 1)), UNIX);
    full.settle();
    assert!(matches!(full.events.as_slice(), [MinionEvent::Full { .. }]));
}

#[test]
fn every_decision_about_a_key_is_an_event() {
    let mut core = core(master_config());
    let mut act = |name: &str, key| {
        worked(&mut core, &clear(&auth(name, key)), UNIX);
        let fired = std::iter::from_fn(|| core.poll_event()).find_map(|event| match event {
            MasterEvent::Bus(event) if event.tag == "salt/auth" => Some(event.data),
            _ => None,
        });
        let data = fired.unwrap();
        assert_eq!(data.str("id"), Some(name));
        (
            data.str("act").unwrap().to_owned(),
            data.get("result").cloned().unwrap(),
        )
    };

    assert_eq!(act("web1", 0), ("pend".into(), true.into()));
    assert_eq!(act("web1", 1), ("denied".into(), false.into()));
}

// F3
#[test]
fn f3_nothing_is_made_for_an_id_before_its_key_is_accepted() {
    let mut core = core(master_config());
    assert_eq!(
        ret(worked(&mut core, &clear(&auth("web1", 0)), UNIX)),
        true.into()
    );

    let sealed = {
        let mut body = Vec::new();
        let names = ("OAEP-SHA224", "PKCS1v15-SHA224");
        envelope::aes_request(&[7; 128], &id("web1"), names.0, names.1, &mut body);
        body
    };
    assert_refused(worked(&mut core, &sealed, UNIX));

    assert_eq!(core.signed_in().count(), 0);
    let made = std::iter::from_fn(|| core.poll_event())
        .filter(|event| matches!(event, MasterEvent::SessionMade { .. }))
        .count();
    assert_eq!(made, 0);
}

// F1, K-07
#[test]
fn f1_only_two_words_are_kinds_of_envelopes() {
    let mut core = core(master_config());
    for enc in ["", "Clear", "AES", "none", "pub", "clear ", "aes\0"] {
        let body = encoded(Map::from([
            ("enc", Value::from(enc)),
            ("load", auth("web1", 0).into()),
            ("version", 3.into()),
        ]));
        assert_eq!(
            answered(worked(&mut core, &body, UNIX)),
            "bad load".into(),
            "{enc:?}"
        );
    }
    for enc in [
        Value::Null,
        true.into(),
        5.into(),
        Value::List(vec!["clear".into()]),
    ] {
        let body = encoded(Map::from([
            ("enc", enc),
            ("load", auth("web1", 0).into()),
            ("version", 3.into()),
        ]));
        assert_refused(worked(&mut core, &body, UNIX));
    }
    assert_eq!(core.keys().state(&id("web1")).unwrap(), KeyState::Unknown);
}

// K-01
#[test]
fn k01_in_the_clear_only_the_listed_commands_do_anything() {
    let mut core = core(master_config());
    let mut names: Vec<String> = AesCommand::ALL
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    names.extend(
        [
            "",
            "__init__",
            "_auth ",
            "Ping",
            "clear_ptr",
            "_prep_auth_info",
            "run_func",
        ]
        .map(str::to_owned),
    );
    let mut rng = Seeded(11);
    names.extend((0..2000).map(|_| {
        (0..1 + rng.below(12))
            .map(|_| char::from(b'_' + u8::try_from(rng.below(28)).unwrap()))
            .collect()
    }));
    for name in names {
        if ClearCommand::from_name(&name).is_some() {
            continue;
        }
        let load = Map::from([
            ("cmd", name.as_str()),
            ("id", "web1"),
            ("user", "root"),
            ("key", "x"),
            ("tok", "x"),
        ]);
        let answer = answered(worked(&mut core, &clear(&load), UNIX));
        assert_eq!(answer, Map::new().into(), "{name}");
    }
    for name in ["publish", "runner", "wheel"] {
        let load = Map::from([
            ("cmd", name),
            ("fun", "key.list_all"),
            ("tgt", "*"),
            ("tgt_type", "glob"),
            ("user", "root"),
        ]);
        let answer = answered(worked(&mut core, &clear(&load), UNIX));
        assert!(answer.get("error").is_some(), "{name}: {answer:?}");
    }
    let bad = std::iter::from_fn(|| core.poll_event())
        .find(|event| !matches!(event, MasterEvent::Refused { .. }));
    assert!(bad.is_none(), "{bad:?}");
}

// K-02
#[test]
fn k02_an_id_that_could_be_a_path_signs_nobody_in() {
    let mut core = core(master_config());
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "a..b",
        "a\nb",
        "a\u{202e}b",
    ] {
        let step = worked(&mut core, &clear(&auth(name, 0)), UNIX);
        assert_eq!(ret(step), false.into(), "{name:?}");
    }
    let long = "x".repeat(300);
    assert_eq!(
        ret(worked(&mut core, &clear(&auth(long, 0)), UNIX)),
        false.into()
    );
    for name in [
        Value::Int(5),
        Value::Null,
        Value::List(vec!["web1".into()]),
        Map::from([("web1", 1)]).into(),
        "a\0b".into(),
        Value::Bytes(vec![0xff]),
    ] {
        assert_refused(worked(&mut core, &clear(&auth(name, 0)), UNIX));
    }
    assert!(
        std::iter::from_fn(|| core.poll_event())
            .all(|it| matches!(it, MasterEvent::Refused { .. }))
    );
}

// K-04
#[test]
fn k04_another_key_for_a_known_id_is_put_aside_and_replaces_nothing() {
    for known in ["pending", "accepted"] {
        let mut core = core(master_config());
        let (first, second) = (minion_identity(0), minion_identity(1));
        worked(&mut core, &clear(&auth("web1", 0)), UNIX);
        if known == "accepted" {
            core.keys_mut()
                .accept(&id("web1"), first.public_key())
                .unwrap();
        }
        let before = core.keys().state(&id("web1")).unwrap();

        assert_eq!(
            ret(worked(&mut core, &clear(&auth("web1", 1)), UNIX)),
            false.into()
        );

        assert_eq!(core.keys().state(&id("web1")).unwrap(), before, "{known}");
        assert_ne!(before, KeyState::Accepted(second.public_key().clone()));
    }
    let mut store = MemoryKeyStore::new();
    for key in 0..6 {
        store
            .deny(&id("web1"), minion_identity(key).public_key())
            .unwrap();
        store
            .deny(&id("web1"), minion_identity(key).public_key())
            .unwrap();
    }
    assert_eq!(store.denied(&id("web1")).len(), MemoryKeyStore::MAX_DENIED);
}

// K-04
#[test]
fn k04_keys_are_accepted_without_an_operator_only_where_the_store_says_so() {
    struct Policy(MemoryKeyStore);
    impl KeyStore for Policy {
        fn state(&self, id: &salt_proto::MinionId) -> Result<KeyState, salt_proto::KeyStoreError> {
            self.0.state(id)
        }
        fn submit(
            &mut self,
            id: &salt_proto::MinionId,
            key: &salt_crypto::PublicKey,
        ) -> Result<(), salt_proto::KeyStoreError> {
            self.0.submit(id, key)
        }
        fn accept(
            &mut self,
            id: &salt_proto::MinionId,
            key: &salt_crypto::PublicKey,
        ) -> Result<(), salt_proto::KeyStoreError> {
            self.0.accept(id, key)
        }
        fn reject(
            &mut self,
            id: &salt_proto::MinionId,
            key: &salt_crypto::PublicKey,
        ) -> Result<(), salt_proto::KeyStoreError> {
            self.0.reject(id, key)
        }
        fn deny(
            &mut self,
            id: &salt_proto::MinionId,
            key: &salt_crypto::PublicKey,
        ) -> Result<(), salt_proto::KeyStoreError> {
            self.0.deny(id, key)
        }
        fn remove(&mut self, id: &salt_proto::MinionId) -> Result<(), salt_proto::KeyStoreError> {
            self.0.remove(id)
        }
        fn accepted(&self) -> Result<Vec<salt_proto::MinionId>, salt_proto::KeyStoreError> {
            self.0.accepted()
        }
        fn auto_sign(&mut self, id: &salt_proto::MinionId, grains: &Map) -> AutoSign {
            match (id.as_str(), grains.str("role")) {
                ("bad", _) => AutoSign::Reject,
                (_, Some("web")) => AutoSign::Accept,
                _ => AutoSign::Ask,
            }
        }
    }
    let store = Box::new(Policy(MemoryKeyStore::new()));
    let mut core = salt_proto::MasterCore::new(master_config(), store, seeded(1), UNIX).unwrap();
    let with_grain = |name: &str, key| {
        let mut load = auth(name, key);
        load.insert("autosign_grains", Map::from([("role", "web")]));
        clear(&load)
    };

    assert_eq!(
        ret(worked(&mut core, &clear(&auth("web1", 0)), UNIX)),
        true.into()
    );
    let granted = signed_answer(worked(&mut core, &with_grain("web1", 0), UNIX));
    assert_eq!(granted.str("enc"), Some("pub"), "pending became accepted");
    assert_eq!(
        ret(worked(&mut core, &with_grain("bad", 1), UNIX)),
        false.into()
    );
    assert_eq!(core.keys().state(&id("bad")).unwrap(), KeyState::Rejected);
    assert_eq!(
        ret(worked(&mut core, &with_grain("web1", 2), UNIX)),
        false.into()
    );
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

// F2
#[test]
fn f2_an_undecryptable_token_is_ignored_as_in_salt() {
    let mut pair = Pair::new();
    let mut load = auth("web1", 0);
    load.insert("token", vec![7_u8; 256]);
    let granted = signed_answer(worked(&mut pair.master, &clear(&load), UNIX));
    assert_eq!(granted.str("enc"), Some("pub"));
    assert!(!granted.contains_key("token"));
}

#[test]
fn the_proof_of_the_publish_key_is_made_once_for_a_key() {
    let mut pair = Pair::new();
    let mut proofs = Vec::new();
    for round in 0..3 {
        if round == 2 {
            pair.master.rotate_publish_key(UNIX);
        }
        let granted = signed_answer(worked(&mut pair.master, &clear(&auth("web1", 0)), UNIX));
        proofs.push(granted.get("sig").cloned().unwrap());
    }
    assert_eq!(proofs[0], proofs[1]);
    assert_ne!(proofs[1], proofs[2]);
}

#[test]
fn a_key_that_is_none_is_answered_no_and_not_stored() {
    let mut core = core(master_config());
    for pem in [
        "",
        "garbage",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ] {
        let mut load = auth("web1", 0);
        load.insert("pub", pem);
        assert_eq!(
            ret(worked(&mut core, &clear(&load), UNIX)),
            false.into(),
            "{pem}"
        );
    }
    let mut load = auth("web1", 0);
    load.remove("pub");
    assert_refused(worked(&mut core, &clear(&load), UNIX));
    assert_eq!(core.keys().state(&id("web1")).unwrap(), KeyState::Unknown);
}

#[test]
fn a_grant_whose_keys_changed_meanwhile_is_not_handed_out() {
    let mut pair = Pair::new();
    let RequestStep::Work(work) = pair.master.handle_request(&clear(&auth("web1", 0)), UNIX) else {
        panic!("a sign-in is work");
    };
    let finished = work.run(&mut Seeded(1));
    pair.master.revoke(&id("web1"), UNIX).unwrap();

    assert_refused(pair.master.handle_finished(finished, UNIX));
}

#[test]
fn an_unanswered_sign_in_is_repeated_with_growing_waits() {
    let mut pair = Pair::new();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let offer = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
        assert_eq!(pair.link.poll_timeout(), Some(pair.now + SECOND * 5));
        pair.pass(SECOND * 5);
        let Some(MinionEvent::SignInFailed {
            error: SignInError::NoAnswer,
            wait,
        }) = pair.link.poll_event()
        else {
            panic!("no failure");
        };
        pair.link.handle_reply(offer.exchange, b"late", pair.now);
        assert!(matches!(
            pair.link.poll_event(),
            Some(MinionEvent::Dropped(Dropped::LateReply))
        ));
        waits.push(wait);
        pair.pass(wait);
    }
    assert!(waits[0] <= SECOND && waits[7] >= SECOND * 30, "{waits:?}");
    pair.settle();
    assert!(pair.link.is_ready());
}

#[test]
fn the_nonce_of_every_sign_in_is_another() {
    let mut pair = Pair::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let offer = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
        let load = decoded(&offer.body).get("load").cloned().unwrap();
        let nonce = load.get("nonce").and_then(Value::as_str).unwrap();
        assert!(Nonce::from_text(nonce).is_ok());
        assert!(seen.insert(nonce.to_owned()));
        pair.pass(SECOND * 5);
        pair.pass(SECOND * 60);
    }
}

#[test]
fn the_masters_signature_over_its_key_is_salts() {
    let signer = minion_identity(5);
    let mut config = master_config();
    config.signing_identity = Some(signer.clone());
    let mut pair = Pair::with(config, minion_config("web1", 0));
    let granted = signed_answer(worked(&mut pair.master, &clear(&auth("web1", 0)), UNIX));
    let signature = granted.str("pub_sig").unwrap();
    assert!(signature.ends_with('\n'));
    let master = master_identity();
    handshake::verify_master_key(
        signer.public_key(),
        Signing::Pkcs1v15Sha224,
        master.public_key(),
        signature,
    )
    .unwrap();
}
