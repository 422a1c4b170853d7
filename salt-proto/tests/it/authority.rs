//! What a master serves to whom: a taken minion that speaks the protocol
//! perfectly gets nothing but its own (security.md §5.2 K-03, K-05; §5.4; §5.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use salt_crypto::{Nonce, PublicKey, Purpose, Secret, SessionKey, Signing, Suite, token};
use salt_proto::keystore::{KeyState, KeyStore, KeyStoreError};
use salt_proto::master::{OperationKind, OperatorKeys, PeerRule, PeerRules, Refusal};
use salt_proto::message::AesCommand;
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{
    Map, MasterCore, MasterEvent, MemoryKeyStore, MinionId, RequestStep, Value, envelope, ret,
};

use crate::handshake::clear;
use crate::machines::{
    Pair, Seeded, UNIX, answered, assert_refused, authorised, core, decoded, encoded, id,
    master_config, minion_config, minion_identity, seeded, worked,
};

/// A taken minion: speaks the protocol perfectly, and says what it likes.
struct Puppet {
    outer: MinionId,
    key: SessionKey,
    suite: Suite,
    load: Map,
}

impl Puppet {
    /// Signs in as `name` and prepares an honest request.
    fn new(core: &mut MasterCore, name: &str, key: usize) -> Self {
        let identity = minion_identity(key);
        core.keys_mut()
            .accept(&id(name), identity.public_key())
            .unwrap();
        let auth = Map::from([
            ("cmd", "_auth"),
            ("id", name),
            ("nonce", "0123456789abcdef0123456789abcdef"),
            ("enc_algo", "OAEP-SHA224"),
            ("sig_algo", "PKCS1v15-SHA224"),
            ("pub", identity.public_key().as_pem()),
        ]);
        let mut body = Vec::new();
        envelope::clear_request(&auth, &mut body);
        worked(core, &body, UNIX);
        let session = std::iter::from_fn(|| core.poll_event())
            .filter_map(|event| match event {
                MasterEvent::SessionMade { key, .. } => Some(key),
                _ => None,
            })
            .last();
        let load = Map::from([
            ("cmd", Value::from("_file_envs")),
            ("id", name.into()),
            ("nonce", Nonce::generate(&mut Seeded(21)).as_str().into()),
            ("ts", UNIX.into()),
            (
                "tok",
                token::prove(&identity, &mut Seeded(1)).unwrap().into(),
            ),
        ]);
        Self {
            outer: id(name),
            key: session.unwrap(),
            suite: Suite::Classic,
            load,
        }
    }

    fn with(&self, key: &str, value: impl Into<Value>) -> Vec<u8> {
        let mut load = self.load.clone();
        load.insert(key, value);
        self.request(&load)
    }

    fn request(&self, load: &Map) -> Vec<u8> {
        let mut plain = Vec::new();
        msgpack::encode_map(load, Dialect::Raw, &mut plain);
        self.sealed(&plain)
    }

    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let rng = &mut Seeded(plain.len() as u64);
        self.key
            .seal(self.suite, Purpose::Request, None, plain, rng, &mut sealed);
        let mut body = Vec::new();
        let (enc, sig) = ("OAEP-SHA224", "PKCS1v15-SHA224");
        envelope::aes_request(&sealed, &self.outer, enc, sig, &mut body);
        body
    }

    /// Opens a reply to a request with this puppet's nonce.
    fn open(&self, step: RequestStep) -> Value {
        let RequestStep::Reply(body) = step else {
            panic!("{step:?}")
        };
        let nonce = Nonce::from_text(self.load.str("nonce").unwrap()).unwrap();
        let mut plain = Vec::new();
        let sealed = msgpack::content(&body).unwrap();
        let opened = self
            .key
            .open(Purpose::Reply, Some(&nonce), sealed, &mut plain)
            .unwrap();
        decoded(&plain[opened.body.unwrap()])
    }
}

fn nonce(n: u64) -> String {
    Nonce::generate(&mut Seeded(n)).to_string()
}

fn refusals(core: &mut MasterCore) -> Vec<Refusal> {
    std::iter::from_fn(|| core.poll_event())
        .filter_map(|event| match event {
            MasterEvent::Refused { reason, .. } => Some(reason),
            _ => None,
        })
        .collect()
}

// F2
#[test]
fn f2_whatever_comes_in_gets_one_reply() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let honest = puppet.request(&puppet.load);
    let mut rng = Seeded(8);
    for n in 0..400 {
        let mut body = match n % 3 {
            0 => (0..rng.below(200)).map(|_| rng.next() as u8).collect(),
            1 => honest[..usize::try_from(rng.below(honest.len() as u64)).unwrap()].to_vec(),
            _ => honest.clone(),
        };
        if !body.is_empty() {
            let at = usize::try_from(rng.below(body.len() as u64)).unwrap();
            body[at] ^= rng.next() as u8;
        }
        match worked(&mut core, &body, UNIX) {
            RequestStep::Reply(reply) => assert!(!reply.is_empty()),
            RequestStep::Load(load) => {
                assert!(!load.reply.seal_failure(&mut rng).is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
    for sealed in [&b""[..], b"\xc1", b"\x81", b"\xc0", b"\x93\x01\x02\x03"] {
        assert_refused(worked(&mut core, &puppet.sealed(sealed), UNIX));
    }
}

// F2, T-04
#[test]
fn f2_a_flood_of_bad_requests_costs_bounded_memory() {
    let mut core = core(master_config());
    for n in 0..20_000_u32 {
        core.handle_request(&n.to_be_bytes(), UNIX);
    }
    assert!(refusals(&mut core).len() <= 4096);
}

// K-03
#[test]
fn k03_all_four_places_name_the_same_minion_or_nothing_happens() {
    let names = ["web1", "web2"];
    for mix in 1..15_usize {
        let mut core = core(master_config());
        let puppets = [
            Puppet::new(&mut core, "web1", 0),
            Puppet::new(&mut core, "web2", 1),
        ];
        refusals(&mut core);
        let pick = |place: usize| mix >> place & 1;
        let mut load = puppets[0].load.clone();
        load.insert("id", names[pick(1)]);
        load.insert("tok", puppets[pick(3)].load.get("tok").cloned().unwrap());
        let forged = Puppet {
            outer: id(names[pick(0)]),
            key: puppets[pick(2)].key.clone(),
            suite: Suite::Classic,
            load: load.clone(),
        };
        assert_refused(worked(&mut core, &forged.request(&load), UNIX));
        assert_eq!(refusals(&mut core).len(), 1, "{mix:04b}");
        // Nothing was remembered for either: the honest requests still count.
        for puppet in &puppets {
            let mut load = puppet.load.clone();
            load.insert("nonce", nonce(77));
            authorised(worked(&mut core, &puppet.request(&load), UNIX));
        }
    }
}

// K-03
#[test]
fn k03_ids_elsewhere_in_a_load_say_nothing() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let load = authorised(worked(&mut core, &puppet.with("minion", "web2"), UNIX));
    assert_eq!(load.minion, id("web1"));
}

// K-05
#[test]
fn k05_a_revoked_key_ends_the_session_at_once_and_changes_the_publish_key() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    authorised(worked(&mut core, &puppet.request(&puppet.load), UNIX));
    let before = core.publish_key().clone();

    core.revoke(&id("web1"), UNIX).unwrap();

    assert_refused(worked(&mut core, &puppet.with("nonce", nonce(1)), UNIX));
    assert!(!core.publish_key().ct_eq(&before));
    let events: Vec<_> = std::iter::from_fn(|| core.poll_event()).collect();
    assert!(
        events
            .iter()
            .any(|it| matches!(it, MasterEvent::SessionEnded { .. }))
    );
    assert!(
        events
            .iter()
            .any(|it| matches!(it, MasterEvent::PublishKeyRotated))
    );
}

// K-05
#[test]
fn k05_work_under_way_when_the_key_is_revoked_comes_to_nothing() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let RequestStep::Work(work) = core.handle_request(&puppet.request(&puppet.load), UNIX) else {
        panic!("the first token is work");
    };
    let finished = work.run(&mut Seeded(1));
    core.revoke(&id("web1"), UNIX).unwrap();

    assert_refused(core.handle_finished(finished, UNIX));
}

// K-05
#[test]
fn k05_keys_changed_behind_the_masters_back_end_sessions_too() {
    for replaced in [false, true] {
        let mut core = core(master_config());
        let puppet = Puppet::new(&mut core, "web1", 0);
        let before = core.publish_key().clone();
        core.keys_mut().remove(&id("web1")).unwrap();
        if replaced {
            let other = minion_identity(3).public_key().clone();
            core.keys_mut().accept(&id("web1"), &other).unwrap();
        }
        assert_refused(worked(&mut core, &puppet.request(&puppet.load), UNIX));
        core.check_sessions(UNIX);
        assert!(!core.publish_key().ct_eq(&before));
        assert_eq!(core.signed_in().count(), 0);
    }
}

/// A store whose disk can fail.
struct Failing(MemoryKeyStore, Arc<AtomicBool>);

impl KeyStore for Failing {
    fn state(&self, id: &MinionId) -> Result<KeyState, KeyStoreError> {
        match self.1.load(Ordering::Relaxed) {
            true => Err(KeyStoreError::new("reading a key", "the disk is full")),
            false => self.0.state(id),
        }
    }

    fn submit(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.0.submit(id, key)
    }

    fn accept(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.0.accept(id, key)
    }

    fn reject(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.0.reject(id, key)
    }

    fn deny(&mut self, id: &MinionId, key: &PublicKey) -> Result<(), KeyStoreError> {
        self.0.deny(id, key)
    }

    fn remove(&mut self, id: &MinionId) -> Result<(), KeyStoreError> {
        self.0.remove(id)
    }

    fn accepted(&self) -> Result<Vec<MinionId>, KeyStoreError> {
        self.0.accepted()
    }
}

#[test]
fn a_store_that_cannot_tell_serves_nobody_and_ends_nothing() {
    let fails = Arc::new(AtomicBool::new(false));
    let store = Box::new(Failing(MemoryKeyStore::new(), Arc::clone(&fails)));
    let mut core = MasterCore::new(master_config(), store, seeded(1), UNIX).unwrap();
    let puppet = Puppet::new(&mut core, "web1", 0);
    let publish_key = core.publish_key().clone();

    fails.store(true, Ordering::Relaxed);
    assert_refused(worked(&mut core, &puppet.request(&puppet.load), UNIX));
    core.check_sessions(UNIX);
    assert_eq!(refusals(&mut core), [Refusal::KeyStore]);

    fails.store(false, Ordering::Relaxed);
    assert!(core.publish_key().ct_eq(&publish_key));
    authorised(worked(&mut core, &puppet.request(&puppet.load), UNIX));
}

// K-05
#[test]
fn k05_a_new_key_under_an_old_id_finds_nothing_of_the_old_one() {
    let mut core = core(master_config());
    let old = Puppet::new(&mut core, "web1", 0);
    core.revoke(&id("web1"), UNIX).unwrap();
    let new = Puppet::new(&mut core, "web1", 1);

    assert!(!new.key.ct_eq(&old.key));
    let stolen = Puppet {
        load: old.load.clone(),
        ..new
    };
    assert_refused(worked(&mut core, &stolen.request(&stolen.load), UNIX));
}

// K-05
#[test]
fn k05_a_minion_may_delete_its_own_key_unless_the_master_says_no() {
    for allowed in [true, false] {
        let mut config = master_config();
        config.minions_may_revoke = allowed;
        let mut core = core(config);
        let puppet = Puppet::new(&mut core, "web1", 0);

        let step = worked(&mut core, &puppet.with("cmd", "revoke_auth"), UNIX);

        assert_eq!(puppet.open(step), allowed.into());
        assert_eq!(core.keys().accepted().unwrap().is_empty(), allowed);
    }
}

#[test]
fn an_expired_session_is_refused_and_the_next_sign_in_makes_another() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let later = UNIX + 86_401;
    assert_refused(worked(&mut core, &puppet.with("ts", later), later));
    assert_eq!(refusals(&mut core), [Refusal::NoSession]);
}

//
#[test]
fn r01_time_stamps_too_far_in_either_direction_are_refused_and_told() {
    let year = 365 * 86_400;
    let skew = 120;
    for (offset, served) in [
        (0, true),
        (1 - skew, true),
        (skew - 1, true),
        (-1 - skew, false),
        (skew + 1, false),
        (-year, false),
        (year, false),
    ] {
        let mut core = core(master_config());
        let puppet = Puppet::new(&mut core, "web1", 0);
        let stamp = UNIX.cast_signed() + offset;
        let step = worked(&mut core, &puppet.with("ts", stamp), UNIX);
        if served {
            authorised(step);
        } else {
            let said = format!("bad load: the time stamp is {offset} seconds off");
            assert_eq!(answered(step), said.into());
        }
    }
    for stamp in [
        Value::Null,
        "soon".into(),
        (-1).into(),
        i64::MAX.into(),
        u64::MAX.into(),
        f64::NAN.into(),
    ] {
        let mut core = core(master_config());
        let puppet = Puppet::new(&mut core, "web1", 0);
        assert_refused(worked(&mut core, &puppet.with("ts", stamp), UNIX));
    }
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let mut load = puppet.load.clone();
    load.remove("ts");
    assert_refused(worked(&mut core, &puppet.request(&load), UNIX));
}

//
#[test]
fn r02_the_same_request_counts_once() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let request = puppet.request(&puppet.load);
    authorised(worked(&mut core, &request, UNIX));
    for later in [0, 1, 119, 120, 121, 86_400] {
        assert_refused(worked(&mut core, &request, UNIX + later));
    }
    for malformed in ["", "0123", &"g".repeat(32)] {
        assert_refused(worked(&mut core, &puppet.with("nonce", malformed), UNIX));
    }
    let mut load = puppet.load.clone();
    load.remove("nonce");
    assert_refused(worked(&mut core, &puppet.request(&load), UNIX));
}

//
#[test]
fn r02_a_minion_that_floods_closes_only_its_own_window() {
    let mut config = master_config();
    config.remembered_requests = 50;
    let mut core = core(config);
    let flooder = Puppet::new(&mut core, "web1", 0);
    let other = Puppet::new(&mut core, "web2", 1);
    for n in 0..60 {
        worked(&mut core, &flooder.with("nonce", nonce(n)), UNIX);
    }
    assert_refused(worked(&mut core, &flooder.with("nonce", nonce(0)), UNIX));
    authorised(worked(&mut core, &other.with("nonce", nonce(0)), UNIX));
}

//
#[test]
fn r02_after_a_restart_what_was_seen_before_is_refused() {
    let mut first = core(master_config());
    let puppet = Puppet::new(&mut first, "web1", 0);
    let request = puppet.request(&puppet.load);
    authorised(worked(&mut first, &request, UNIX));

    let mut second = core(master_config());
    let key = minion_identity(0).public_key().clone();
    second.keys_mut().accept(&id("web1"), &key).unwrap();
    second.restore_session(&id("web1"), puppet.key.clone(), UNIX, UNIX + 5);

    assert_refused(worked(&mut second, &request, UNIX + 5));
    let mut load = puppet.load.clone();
    load.insert("nonce", nonce(5));
    load.insert("ts", UNIX + 5);
    authorised(worked(&mut second, &puppet.request(&load), UNIX + 5));
}

#[test]
fn a_session_is_restored_only_for_an_accepted_key() {
    let mut core = core(master_config());
    core.restore_session(
        &id("web1"),
        SessionKey::generate(&mut Seeded(1)),
        UNIX,
        UNIX,
    );
    assert_eq!(core.signed_in().count(), 0);
}

// K-07
#[test]
fn k07_a_suite_that_was_not_agreed_on_is_refused() {
    let mut core = core(master_config());
    let mut puppet = Puppet::new(&mut core, "web1", 0);
    puppet.suite = Suite::Aes256Gcm;
    assert_refused(worked(&mut core, &puppet.request(&puppet.load), UNIX));
}

// Z-01
#[test]
fn z01_the_closed_list_of_commands_is_all_there_is() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    for (n, name) in [
        "",
        "_auth",
        "publish",
        "ping",
        "wheel",
        "__init__",
        "run_func",
        "verify_minion",
        "_Pillar",
    ]
    .into_iter()
    .enumerate()
    {
        let mut load = puppet.load.clone();
        load.insert("cmd", name);
        load.insert("nonce", nonce(n as u64));
        let forged = Puppet {
            load,
            outer: id("web1"),
            key: puppet.key.clone(),
            suite: Suite::Classic,
        };
        let step = worked(&mut core, &forged.request(&forged.load), UNIX);
        assert_eq!(forged.open(step), Map::new().into(), "{name}");
    }
    for cmd in [Value::Null, 5.into(), Value::List(vec!["_pillar".into()])] {
        let mut load = puppet.load.clone();
        load.insert("cmd", cmd);
        load.insert("nonce", nonce(100));
        worked(&mut core, &puppet.request(&load), UNIX);
    }
    assert!(refusals(&mut core).contains(&Refusal::Load));
}

// Z-02
#[test]
fn z02_minions_publish_to_others_only_by_rule() {
    for (rules, permitted) in [
        (PeerRules::default(), false),
        (
            PeerRules::from_iter([PeerRule::new("web2", ["test.ping"]).unwrap()]),
            false,
        ),
        (
            PeerRules::from_iter([PeerRule::new("web.*", ["test.ping"]).unwrap()]),
            true,
        ),
    ] {
        for (cmd, command) in [
            ("minion_pub", AesCommand::MinionPub),
            ("minion_publish", AesCommand::MinionPublish),
            ("minion_runner", AesCommand::MinionRunner),
        ] {
            let mut config = master_config();
            config.peers = rules.clone();
            config.peer_runners = rules.clone();
            let mut core = core(config);
            let puppet = Puppet::new(&mut core, "web1", 0);
            let mut load = puppet.load.clone();
            load.extend([
                ("cmd", Value::from(cmd)),
                ("fun", "test.ping".into()),
                ("tgt", "*".into()),
            ]);
            let step = worked(&mut core, &puppet.request(&load), UNIX);
            if permitted {
                assert_eq!(authorised(step).command, command);
            } else {
                assert_eq!(puppet.open(step), Map::new().into());
            }
        }
    }
}

fn with_operator() -> MasterCore {
    let mut config = master_config();
    config.operators = OperatorKeys::none();
    config.operators.insert("root", Secret::new("k".repeat(76)));
    core(config)
}

fn publish(key: &str) -> Map {
    Map::from([
        ("cmd", "publish"),
        ("tgt", "*"),
        ("tgt_type", "glob"),
        ("fun", "test.ping"),
        ("user", "root"),
        ("key", key),
    ])
}

// Z-01, Z-05
#[test]
fn z05_only_an_operators_key_lets_anybody_publish_or_run() {
    let mut core = with_operator();
    for (cmd, kind) in [
        ("publish", OperationKind::Publish),
        ("runner", OperationKind::Runner),
        ("wheel", OperationKind::Wheel),
    ] {
        for (key, user) in [
            ("", "root"),
            ("x", "root"),
            ("k", "sudo_root"),
            (&"K".repeat(76), "root"),
        ] {
            let mut load = publish(key);
            load.extend([("cmd", cmd), ("user", user)]);
            let answer = answered(worked(&mut core, &clear(&load), UNIX));
            let name = answer
                .get("error")
                .and_then(|error| error.get("name"))
                .cloned();
            let expected = match kind {
                OperationKind::Publish => "AuthenticationError",
                _ => "UserAuthenticationError",
            };
            assert_eq!(name, Some(expected.into()), "{cmd} {key}");
        }
        let mut load = publish(&"k".repeat(76));
        load.insert("cmd", cmd);
        load.insert("user", "whoever");
        match worked(&mut core, &clear(&load), UNIX) {
            RequestStep::Operate(operation) => {
                assert_eq!(operation.kind, kind);
                assert_eq!(operation.operator.key_owner(), "root");
                assert!(
                    !operation.load.contains_key("key"),
                    "keys are never passed on"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    for extra in [
        ("token", Value::from("x".repeat(64))),
        ("eauth", "pam".into()),
    ] {
        let mut load = publish("");
        load.insert("kwargs", Map::from([extra.clone()]));
        load.insert(extra.0, extra.1);
        assert!(
            answered(worked(&mut core, &clear(&load), UNIX))
                .get("error")
                .is_some()
        );
    }
}

// Z-03, P-02
#[test]
fn z03_a_publish_that_is_not_whole_is_not_passed_on() {
    let key = "k".repeat(76);
    for (field, value) in [
        ("jid", Some(Value::from("../../etc/passwd"))),
        ("jid", Some(5.into())),
        ("tgt", None),
        ("fun", None),
        ("tgt_type", None),
    ] {
        let mut core = with_operator();
        let mut load = publish(&key);
        match value {
            Some(value) => drop(load.insert(field, value)),
            None => drop(load.remove(field)),
        }
        let answer = answered(worked(&mut core, &clear(&load), UNIX));
        assert!(answer.as_str().is_some(), "{field}: {answer:?}");
    }
}

#[test]
fn ping_is_echoed_and_tokens_do_not_exist() {
    let mut core = with_operator();
    let ping = Map::from([("cmd", Value::from("ping")), ("n", 1.into())]);
    assert_eq!(
        answered(worked(&mut core, &clear(&ping), UNIX)),
        ping.into()
    );
    let token = |cmd: &str, field: &str| Map::from([("cmd", cmd), (field, "../x")]);
    assert_eq!(
        answered(worked(
            &mut core,
            &clear(&token("get_token", "token")),
            UNIX
        )),
        Map::new().into()
    );
    assert_eq!(
        answered(worked(&mut core, &clear(&token("get_token", "x")), UNIX)),
        false.into()
    );
    assert_eq!(
        answered(worked(&mut core, &clear(&token("mk_token", "eauth")), UNIX)),
        "".into()
    );
}

// K-07
#[test]
fn k07_a_strict_master_gives_no_pillar_under_sha1() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let sealed = {
        let mut sealed = Vec::new();
        let mut load = puppet.load.clone();
        load.insert("cmd", "_pillar");
        puppet.key.seal(
            Suite::Classic,
            Purpose::Request,
            None,
            &encoded(load),
            &mut Seeded(1),
            &mut sealed,
        );
        sealed
    };
    let mut body = Vec::new();
    envelope::aes_request(
        &sealed,
        &id("web1"),
        "OAEP-SHA1",
        "PKCS1v15-SHA1",
        &mut body,
    );
    assert_refused(worked(&mut core, &body, UNIX));
    assert_eq!(refusals(&mut core), [Refusal::Algorithm]);
}

#[test]
fn returns_are_signed_and_checked_where_that_is_asked_for() {
    let with = |require: bool, sign: bool| {
        let mut master = master_config();
        master.require_signed_returns = require;
        let mut minion = minion_config("web1", 0);
        minion.sign_messages = sign;
        let mut pair = Pair::with(master, minion).ready();
        let load = Map::from([
            ("cmd", Value::from("_return")),
            ("id", "web1".into()),
            ("return", Value::Bytes(vec![0xff, 0])),
            ("jid", "20240229123456000789".into()),
        ]);
        pair.ask(load).is_ok()
    };
    assert!(with(true, true) && with(false, true) && with(false, false));
    assert!(!with(true, false));

    // A signature over something else is refused always.
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let mut load = puppet.load.clone();
    load.extend([("cmd", Value::from("_return")), ("return", 1.into())]);
    let signature = minion_identity(0)
        .sign(
            Signing::Pkcs1v15Sha224,
            &ret::signed_bytes(&load),
            &mut Seeded(1),
        )
        .unwrap();
    load.insert("return", 2);
    load.insert("sig", signature);
    assert_refused(worked(&mut core, &puppet.request(&load), UNIX));
    assert_eq!(refusals(&mut core), [Refusal::Signature]);
}

#[test]
fn a_token_is_checked_once_and_dropped_with_the_key() {
    let mut core = core(master_config());
    let puppet = Puppet::new(&mut core, "web1", 0);
    let other = token::prove(&minion_identity(1), &mut Seeded(1)).unwrap();
    assert!(matches!(
        core.handle_request(&puppet.request(&puppet.load), UNIX),
        RequestStep::Work(_)
    ));
    authorised(worked(&mut core, &puppet.request(&puppet.load), UNIX));

    let step = core.handle_request(&puppet.with("nonce", nonce(1)), UNIX);
    assert!(matches!(step, RequestStep::Load(_)), "{step:?}");
    let mut forged = puppet.load.clone();
    forged.extend([("nonce", Value::from(nonce(2))), ("tok", other.into())]);
    assert_refused(worked(&mut core, &puppet.request(&forged), UNIX));

    core.revoke(&id("web1"), UNIX).unwrap();
    let again = Puppet::new(&mut core, "web1", 0);
    let step = core.handle_request(&again.with("nonce", nonce(3)), UNIX);
    assert!(matches!(step, RequestStep::Work(_)), "{step:?}");
}
