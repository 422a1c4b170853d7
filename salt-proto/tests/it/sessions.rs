//! Requests after sign-in as the minion sees them: what it believes (security.md
//! §5.3), and that no request is lost.

use salt_crypto::{Nonce, Purpose, SessionKey, Signing, Suite};
use salt_proto::message::AesCommand;
use salt_proto::minion::{Dropped, RequestError};
use salt_proto::{Map, MinionEvent, Profile, Value};

use crate::machines::{
    Pair, SECOND, Seeded, UNIX, core, decoded, encoded, id, master_config, minion_config,
    minion_identity,
};

fn nonce(n: u64) -> String {
    Nonce::generate(&mut Seeded(n)).to_string()
}

fn ask(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map {
    Map::from([("cmd", Value::from("_file_list"))])
        .into_iter()
        .chain(fields.into_iter().map(|(key, value)| (key.into(), value)))
        .collect()
}

#[test]
fn a_request_is_answered_under_both_suites() {
    for profile in [Profile::strict(), Profile::strict().without_aes_gcm()] {
        let mut config = minion_config("web1", 0);
        config.profile = profile;
        let mut pair = Pair::with(master_config(), config).ready();

        let answer = pair.ask(ask([("echo", "hé".into()), ("saltenv", "base".into())]));

        assert_eq!(answer.unwrap(), "hé".into());
        let (minion, command, load) = &pair.served[0];
        assert_eq!((minion, *command), (&id("web1"), AesCommand::FileList));
        assert_eq!(load.str("saltenv"), Some("base"));
        assert_eq!(load.get("ts"), Some(&UNIX.into()));
        for gone in ["nonce", "tok", "sig"] {
            assert!(!load.contains_key(gone), "{gone}");
        }
    }
}

#[test]
fn large_requests_and_replies_go_through() {
    let mut pair = Pair::new().ready();
    let large = Value::Bytes(vec![0xff; 200 << 10]);
    assert_eq!(pair.ask(ask([("echo", large.clone())])).unwrap(), large);
}

// C-02
#[test]
fn c02_answers_swapped_between_two_requests_are_dropped() {
    let mut pair = Pair::new().ready();
    let asked = [
        pair.link.request(ask([("echo", 1.into())])),
        pair.link.request(ask([("echo", 2.into())])),
    ];
    let sent: Vec<_> = (0..2)
        .map(|_| pair.link.poll_transmit(pair.now, pair.unix).unwrap())
        .collect();
    let replies: Vec<_> = sent.iter().map(|it| pair.serve(&it.body)).collect();

    pair.link
        .handle_reply(sent[0].exchange, &replies[1], pair.now);
    pair.link
        .handle_reply(sent[1].exchange, &replies[0], pair.now);

    assert_eq!(pair.dropped(), [Dropped::OtherNonce, Dropped::OtherNonce]);
    pair.pass(SECOND);
    pair.settle();
    assert_eq!(pair.outcome(asked[0]).unwrap(), 1.into());
    assert_eq!(pair.outcome(asked[1]).unwrap(), 2.into());
}

// C-02
#[test]
fn c02_an_answer_counts_once_and_only_on_its_own_exchange() {
    let mut pair = Pair::new().ready();
    let asked = pair.link.request(ask([("echo", 1.into())]));
    let first = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
    let late = pair.serve(&first.body);
    pair.pass(SECOND * 60);
    pair.pass(SECOND);
    let second = pair.link.poll_transmit(pair.now, pair.unix).unwrap();

    pair.link.handle_reply(first.exchange, &late, pair.now);
    assert_eq!(pair.dropped(), [Dropped::LateReply]);
    pair.link.handle_reply(second.exchange, &late, pair.now);
    assert_eq!(pair.dropped(), [Dropped::OtherNonce]);

    pair.pass(SECOND);
    pair.settle();
    assert_eq!(pair.outcome(asked).unwrap(), 1.into());
    let again = pair.exchanges.last().unwrap().1.clone();
    pair.link.handle_reply(second.exchange, &again, pair.now);
    assert_eq!(pair.dropped(), [Dropped::LateReply]);
    assert_eq!(
        pair.count(|it| matches!(it, MinionEvent::Replied { .. })),
        0
    );
}

// C-04
#[test]
fn c04_pillar_comes_in_a_box_for_one_minion_and_one_question() {
    let mut pair = Pair::new().ready();
    let answer = pair.ask(Map::from([("cmd", "_pillar")])).unwrap();
    assert_eq!(answer, crate::machines::pillar().into());
    let old = pair.exchanges.pop().unwrap().1;

    let mut other = Pair::unaccepted(master_config(), minion_config("web2", 1));
    let key = minion_identity(1).public_key().clone();
    other.master.keys_mut().accept(&id("web2"), &key).unwrap();
    let mut other = other.ready();
    other.ask(Map::from([("cmd", "_pillar")])).unwrap();
    let others = other.exchanges.pop().unwrap().1;

    let check = |what: &str, reply: Vec<u8>| {
        let mut pair = Pair::new().ready();
        let asked = pair.link.request(Map::from([("cmd", "_pillar")]));
        let sent = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
        pair.link.handle_reply(sent.exchange, &reply, pair.now);
        let answered = pair.count(|it| matches!(it, MinionEvent::Replied { .. }));
        assert_eq!(answered, 0, "{what}");
        pair.pass(SECOND);
        pair.settle();
        assert!(
            pair.outcome(asked).is_ok(),
            "{what}: the true answer still counts"
        );
    };
    check("an older pillar", old.clone());
    check("another minion's pillar", others);
    check("a session reply", encoded(vec![7_u8; 96]));
    check("a refusal", encoded("bad load"));
    let mut swapped = decoded(&old);
    let garbage = Value::Bytes(vec![7; 256]);
    swapped.as_map_mut().unwrap().insert("key", garbage);
    check("another key", encoded(swapped));
}

// C-04
#[test]
fn c04_a_pillar_without_the_masters_signature_is_refused() {
    use salt_crypto::{Encryption, handshake};

    let mut pair = Pair::new().ready();
    let asked = pair.link.request(Map::from([("cmd", "_pillar")]));
    let sent = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
    // Somebody who knows the minion's public key and its nonce makes the box.
    let forged = |signer: Option<salt_crypto::Identity>| {
        let rng = &mut Seeded(1);
        let key = SessionKey::generate(rng);
        let owner = minion_identity(0);
        let wrapped =
            handshake::wrap(&key, owner.public_key(), Encryption::OaepSha224, rng).unwrap();
        let data = encoded(Map::from([
            ("key", Value::from(wrapped.as_slice())),
            ("pillar", Map::from([("evil", true)]).into()),
            ("nonce", nonce(1).into()),
        ]));
        let mut inner = Map::from([("data", Value::from(data.as_slice()))]);
        if let Some(signer) = signer {
            inner.insert(
                "sig",
                signer.sign(Signing::Pkcs1v15Sha224, &data, rng).unwrap(),
            );
        }
        let mut sealed = Vec::new();
        key.seal(
            Suite::Aes256Gcm,
            Purpose::Pillar,
            None,
            &encoded(inner),
            rng,
            &mut sealed,
        );
        encoded(Map::from([("key", wrapped), ("pillar", sealed)]))
    };
    pair.link
        .handle_reply(sent.exchange, &forged(None), pair.now);
    pair.settle();
    assert!(
        pair.outcome(asked).is_ok(),
        "asked again after another sign-in"
    );

    let asked = pair.link.request(Map::from([("cmd", "_pillar")]));
    for _ in 0..2 {
        while let Some(sent) = pair.link.poll_transmit(pair.now, pair.unix) {
            let is_pillar = decoded(&sent.body).get("id").is_some();
            let reply = match is_pillar {
                true => forged(Some(minion_identity(1))),
                false => pair.serve(&sent.body),
            };
            pair.link.handle_reply(sent.exchange, &reply, pair.now);
        }
    }
    assert!(matches!(
        pair.outcome(asked),
        Err(RequestError::Refused { .. })
    ));
}

// K-07
#[test]
fn k07_a_reply_in_the_other_suite_is_refused() {
    let mut pair = Pair::new().ready();
    let asked = pair.link.request(ask([("echo", 1.into())]));
    let sent = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
    let load = {
        let mut plain = Vec::new();
        let message = decoded(&sent.body);
        let sealed = message.get("load").and_then(Value::as_bytes).unwrap();
        let opened = pair
            .session_key()
            .open(Purpose::Request, None, sealed, &mut plain)
            .unwrap();
        decoded(&plain[opened.body.unwrap()])
    };
    let nonce = Nonce::from_text(load.get("nonce").and_then(Value::as_str).unwrap()).unwrap();
    let mut sealed = Vec::new();
    let rng = &mut Seeded(1);
    pair.session_key().seal(
        Suite::Classic,
        Purpose::Reply,
        Some(&nonce),
        &encoded(9),
        rng,
        &mut sealed,
    );

    pair.link
        .handle_reply(sent.exchange, &encoded(sealed), pair.now);
    pair.settle();

    assert_eq!(pair.outcome(asked).unwrap(), 1.into());
}

#[test]
fn a_request_refused_for_old_keys_is_sent_once_more_after_signing_in_again() {
    let mut pair = Pair::new().ready();
    // The master restarts and knows nobody's session.
    pair.master = core(master_config());
    pair.accept();
    let asked: Vec<_> = (0..5)
        .map(|n| pair.link.request(ask([("echo", n.into())])))
        .collect();
    pair.settle();

    for (n, asked) in asked.into_iter().enumerate() {
        assert_eq!(pair.outcome(asked).unwrap(), n.into());
    }
    let sign_ins = pair.count(|it| matches!(it, MinionEvent::Ready { first: false, .. }));
    assert_eq!(sign_ins, 1);
    assert_eq!(pair.served.len(), 5, "each was acted on once");
}

#[test]
fn a_request_refused_twice_fails_and_says_what_the_master_said() {
    let mut pair = Pair::new().ready();
    // The minion's clock is wrong: signing in again does not help.
    pair.unix += 3600;
    let unix = pair.unix;
    let asked = pair.link.request(ask([]));
    while let Some(sent) = pair.link.poll_transmit(pair.now, unix) {
        pair.unix = UNIX;
        let reply = pair.serve(&sent.body);
        pair.link.handle_reply(sent.exchange, &reply, pair.now);
    }

    match pair.outcome(asked) {
        Err(RequestError::Refused {
            answer: Some(answer),
        }) => {
            assert_eq!(answer, "bad load: the time stamp is 3600 seconds off");
        }
        other => panic!("{other:?}"),
    }
    assert!(pair.link.is_ready());
}

#[test]
fn a_request_nobody_answers_fails_after_its_tries() {
    let mut pair = Pair::new().ready();
    let asked = pair.link.request(ask([]));
    let mut sent = 0;
    while let Some(at) = pair
        .link
        .poll_timeout()
        .or(Some(pair.now))
        .filter(|_| sent < 10)
    {
        pair.now = pair.now.max(at);
        pair.link.handle_timeout(pair.now);
        match pair.link.poll_transmit(pair.now, pair.unix) {
            Some(_) => sent += 1,
            None if pair.link.poll_timeout().is_none() => break,
            None => {}
        }
    }
    assert_eq!(sent, 3);
    assert!(matches!(pair.outcome(asked), Err(RequestError::TimedOut)));
}

#[test]
fn the_callers_id_nonce_stamp_and_token_are_replaced() {
    let mut pair = Pair::new().ready();
    pair.ask(ask([
        ("id", "web2".into()),
        ("nonce", "x".into()),
        ("ts", 1.into()),
        ("tok", "x".into()),
        ("sig", "x".into()),
    ]))
    .unwrap();
    assert_eq!(pair.served[0].2.str("id"), Some("web1"));
}

#[test]
fn a_cancelled_request_is_not_reported() {
    let mut pair = Pair::new().ready();
    let asked = pair.link.request(ask([]));
    let sent = pair.link.poll_transmit(pair.now, pair.unix).unwrap();
    pair.link.cancel(asked);
    let reply = pair.serve(&sent.body);
    pair.link.handle_reply(sent.exchange, &reply, pair.now);
    assert_eq!(pair.dropped(), [Dropped::LateReply]);
    assert_eq!(pair.events.len(), 0);
}

#[test]
fn a_minion_whose_key_was_deleted_waits_to_be_accepted_again() {
    let mut pair = Pair::new().ready();
    pair.master.revoke(&id("web1"), UNIX).unwrap();
    let asked = pair.link.request(ask([("echo", 7.into())]));
    pair.settle();
    assert!(!pair.link.is_ready());
    assert_eq!(
        pair.count(|it| matches!(it, MinionEvent::Pending { .. })),
        1
    );

    pair.accept();
    pair.pass(SECOND * 60);
    pair.settle();
    assert_eq!(pair.outcome(asked).unwrap(), 7.into());
}
