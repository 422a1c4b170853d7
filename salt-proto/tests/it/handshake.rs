//! Signing in: what a master decides about keys, and the invariants F1, F3, K-01,
//! K-02 and K-04 (security.md §5.2).

use std::time::Duration;

use salt_crypto::{Nonce, Signing, Suite, handshake};
use salt_proto::keystore::{KeyState, KeyStore};
use salt_proto::message::{AesCommand, ClearCommand};
use salt_proto::minion::{Dropped, SignInError, Waits};
use salt_proto::{
    AutoSign, Map, MasterEvent, MemoryKeyStore, MinionEvent, RequestStep, Value, envelope,
};

use crate::machines::{
    Pair, SECOND, Seeded, UNIX, answered, assert_refused, core, decoded, encoded, id,
    master_config, master_identity, minion_config, minion_identity, seeded, worked,
};

/// The load of a sign-in by hand.
pub(crate) fn auth(name: impl Into<Value>, key: usize) -> Map {
    Map::from([
        ("cmd", Value::from("_auth")),
        ("id", name.into()),
        ("nonce", "0123456789abcdef0123456789abcdef".into()),
        ("enc_algo", "OAEP-SHA224".into()),
        ("sig_algo", "PKCS1v15-SHA224".into()),
        ("pub", minion_identity(key).public_key().as_pem().into()),
    ])
}

pub(crate) fn clear(load: &Map) -> Vec<u8> {
    let mut body = Vec::new();
    envelope::clear_request(load, &mut body);
    body
}

/// The inner map of a signed answer, its signature checked.
#[track_caller]
pub(crate) fn signed_answer(step: RequestStep) -> Map {
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
pub(crate) fn ret(step: RequestStep) -> Value {
    signed_answer(step).remove("ret").unwrap()
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
