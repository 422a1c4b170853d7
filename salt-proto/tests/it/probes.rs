//! The hand-made requests that stock masters were asked, asked of our master in
//! the same order, and the kinds of the replies compared.
//!
//! All sealed probes were made with one nonce, which stock masters do not mind
//! and ours does: each is sealed again under a nonce of its own, with
//! everything else as recorded.
//!
//! Where ours answers otherwise on purpose, the probe is listed in
//! [`difference`] with the reason; a probe that is listed and answered alike
//! fails the test too.

use std::collections::BTreeMap;

use salt_crypto::{Nonce, PublicKey, Purpose, Secret, SessionKey, Suite};
use salt_proto::envelope::{Enc, Envelope};
use salt_proto::keystore::{KeyState, KeyStore, KeyStoreError};
use salt_proto::master::OperatorKeys;
use salt_proto::msgpack::Dialect;
use salt_proto::{
    AutoSign, Limits, Map, MasterConfig, MasterCore, MemoryKeyStore, MinionId, Profile,
    RequestStep, Value, msgpack,
};
use serde_json::Value as Json;

use crate::machines::{Script, Seeded, UNIX, decoded, encoded, id, master_identity, worked};
use crate::vectors::{self, base64};

/// What a reply is, as far as stock masters and ours can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// No reply.
    Silence,
    /// Text in the clear. Its words matter where the peer acts on them.
    Text(String),
    /// A signed refusal: the value of `ret`.
    Signed(String),
    /// Keys, with a token or not.
    Grant { token: bool },
    /// Keys in the clear, as versions 0 and 1 have it.
    UnsignedGrant,
    /// Another value in the clear; the keys of a map.
    Clear(String),
    /// Sealed with the session key, begins with the request's nonce.
    Sealed,
    /// A private box.
    Private,
    /// Sealed with another key, or without the nonce.
    SealedOtherwise,
}

/// Probes that ours answers differently, and why.
fn difference(name: &str) -> Option<&'static str> {
    Some(match name {
        "auth/accepted-v3-token" => {
            "the recording lacks the master's private key, so the token cannot be read here"
        }
        "auth/version-2"
        | "auth/version-1"
        | "auth/no-version"
        | "auth/version-junk"
        | "aes/v2-with-aes-key"
        | "aes/v2-no-token"
        | "raw/load-not-map" => {
            "the recorded master had its minimum version switched off; ours is always 3 (K-07)"
        }
        "auth/unknown-enc-algo-no-token" => {
            "names of algorithms are checked before anything is stored (K-07)"
        }
        "auth/no-nonce-v3" | "auth/no-pub" => {
            "a sign-in that is not whole is a bad load, not an exception (F2)"
        }
        "aes/no-nonce" => "without a nonce a request could be repeated (R-02)",
        "raw/unknown-enc" => "stock masters treat an unknown kind as sealed (F1)",
        "aes/ttl-missing" => "a missing time stamp is refused and not an exception (R-01, F2)",
        "open_mode/other-key" => "there is no open mode: a different key never replaces (K-04)",
        "auth_mode2/token" => "auth_mode 2 fails in every release, and is not offered",
        _ => return None,
    })
}

/// The store of the recorded master: its autosign and autoreject files.
struct Store(MemoryKeyStore);

impl KeyStore for Store {
    fn state(&self, id: &MinionId) -> Result<KeyState, KeyStoreError> {
        self.0.state(id)
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

    fn auto_sign(&mut self, id: &MinionId, _grains: &Map) -> AutoSign {
        let id = id.as_str();
        if id.starts_with("bad") {
            AutoSign::Reject
        } else if id.starts_with("auto") || id.starts_with("re1") {
            AutoSign::Accept
        } else {
            AutoSign::Ask
        }
    }
}

struct Probes {
    core: MasterCore,
    script: Script,
    session: SessionKey,
    m1: PublicKey,
    unix: u64,
    rng: Seeded,
}

impl Probes {
    fn new(file: &Json) -> Self {
        let text = |key: &str| file["keys"][key].as_str().unwrap().to_owned();
        let mut config = MasterConfig::new(master_identity());
        config.profile = Profile::compat().without_aes_gcm();
        config.publish_key = Some(SessionKey::from_text(&text("aes")).unwrap());
        config.operators = OperatorKeys::none();
        config
            .operators
            .insert("root", Secret::new(text("root_key")));
        let script = Script::default();
        let store = Box::new(Store(MemoryKeyStore::new()));
        Self {
            core: MasterCore::new(config, store, script.rng(), UNIX).unwrap(),
            script,
            session: SessionKey::from_text(&text("session")).unwrap(),
            m1: PublicKey::from_pem(&text("m1_pub")).unwrap(),
            unix: UNIX,
            rng: Seeded(1),
        }
    }

    /// What was done to the recorded master before a probe.
    fn prepare(&mut self, name: &str) {
        // The key was accepted by hand, and again after the probe of `revoke_auth`.
        let by_hand = [
            "auth/accepted-v3-no-token",
            "auth/no-nonce-v3",
            "aes/no-cmd",
            "min3/auth-v3-signed-pubkey",
            "aes/ttl-expired",
        ];
        let is_accepted = self.core.keys().accepted().unwrap().contains(&id("m1"));
        if by_hand.contains(&name) && !is_accepted {
            self.core.keys_mut().accept(&id("m1"), &self.m1).unwrap();
            let text = self.session.to_text();
            self.script.push(base64(text.expose()));
        }
    }

    /// The load of a sealed request.
    fn opened(&self, request: &[u8]) -> Option<Map> {
        let envelope = Envelope::parse(request, &Limits::default()).ok()?;
        if envelope.enc == Enc::Clear {
            return None;
        }
        let mut plain = Vec::new();
        let sealed = envelope.load_bytes().ok()?;
        let opened = self
            .session
            .open(Purpose::Request, None, sealed, &mut plain)
            .ok()?;
        match decoded(&plain[opened.body?]) {
            Value::Map(load) => Some(load),
            _ => None,
        }
    }

    fn with_own_nonce(&mut self, request: Vec<u8>) -> Vec<u8> {
        let Some(mut load) = self.opened(&request) else {
            return request;
        };
        if load.contains_key("nonce") {
            load.insert("nonce", Nonce::generate(&mut self.rng).as_str());
        }
        let (mut plain, mut sealed) = (Vec::new(), Vec::new());
        msgpack::encode_map(&load, Dialect::Raw, &mut plain);
        self.session.seal(
            Suite::Classic,
            Purpose::Request,
            None,
            &plain,
            &mut self.rng,
            &mut sealed,
        );
        let mut message = decoded(&request);
        message.as_map_mut().unwrap().insert("load", sealed);
        encoded(message)
    }

    fn ask(&mut self, request: &[u8]) -> Kind {
        let load = self.opened(request).unwrap_or_default();
        let stamp = load
            .get("ts")
            .and_then(Value::as_int)
            .map(i64::cast_unsigned);
        self.unix = self.unix.max(stamp.unwrap_or(0));
        match worked(&mut self.core, request, self.unix) {
            RequestStep::Reply(reply) => self.kind(&reply, &load),
            RequestStep::Load(load) if load.command.name() == "_pillar" => Kind::Private,
            // Sealed by its ticket, as the sessions show.
            RequestStep::Load(_) => Kind::Sealed,
            RequestStep::Operate(operation) => {
                Kind::Clear(operation.load.str("cmd").unwrap().to_owned())
            }
            RequestStep::Work(_) => unreachable!("all work is done"),
        }
    }

    fn kind(&self, reply: &[u8], load: &Map) -> Kind {
        match decoded(reply) {
            Value::Str(text) if text.is_ascii() && text.len() < 64 => Kind::Text(text),
            Value::Str(_) | Value::Bytes(_) => {
                let nonce = load
                    .str("nonce")
                    .and_then(|nonce| Nonce::from_text(nonce).ok());
                let sealed = msgpack::content(reply).unwrap();
                let opened =
                    self.session
                        .open(Purpose::Reply, nonce.as_ref(), sealed, &mut Vec::new());
                match opened {
                    Ok(_) if nonce.is_some() => Kind::Sealed,
                    _ => Kind::SealedOtherwise,
                }
            }
            Value::Map(map) if map.contains_key("sig") && map.contains_key("load") => {
                let inner = decoded(map.get("load").and_then(Value::as_bytes).unwrap());
                match inner.get("ret") {
                    Some(ret) => Kind::Signed(format!("{ret:?}")),
                    None => Kind::Grant {
                        token: inner.get("token").is_some(),
                    },
                }
            }
            Value::Map(map) if map.contains_key("aes") => Kind::UnsignedGrant,
            Value::Map(map) if map.contains_key("pillar") => Kind::Private,
            Value::Map(map) => {
                Kind::Clear(match map.get("load").and_then(|load| load.get("ret")) {
                    Some(ret) => format!("{ret:?}"),
                    None => shape(&map),
                })
            }
            other => Kind::Clear(format!("{other:?}")),
        }
    }
}

/// What a clear map says: an operator's reply by the command it answers.
fn shape(map: &Map) -> String {
    let is = |key: &str| map.contains_key(key);
    if let Some(name) = map.get("error").and_then(|error| error.get("name")) {
        return format!("{name:?}");
    }
    if map
        .get("load")
        .is_some_and(|load| load.get("minions").is_some())
    {
        return "publish".into();
    }
    if is("tag") && is("jid") {
        return "runner".into();
    }
    if is("tag") && is("data") {
        return "wheel".into();
    }
    format!("{map:?}")
}

#[track_caller]
fn check(release: &str) -> (usize, usize, usize) {
    let file = vectors::read(&format!("probes-{release}.json"));
    let mut probes = Probes::new(&file);
    let mut different = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    let (mut asked, mut alike, mut effects) = (0, 0, 0);
    for probe in file["probes"].as_array().unwrap() {
        let name = probe["name"].as_str().unwrap();
        probes.prepare(name);
        let Some(request) = probe["request"].as_str() else {
            check_effect(&probes, name, probe);
            effects += 1;
            continue;
        };
        let recorded_load = probes.opened(&base64(request)).unwrap_or_default();
        let request = probes.with_own_nonce(base64(request));
        let ours = probes.ask(&request);
        asked += 1;
        let theirs = match probe["reply"].as_str() {
            // The recorded reply has the nonce of the recorded request.
            Some(reply) => probes.kind(&base64(reply), &recorded_load),
            None => Kind::Silence,
        };
        if let (Kind::Silence, false) = (&theirs, ours == Kind::Silence) {
            // 06 and 07 lose a worker, or just do not answer (F2): ours always does.
            different.insert(name.to_owned(), "a reply to every request (F2)");
            continue;
        }
        match difference(name) {
            Some(reason) => {
                assert_ne!(
                    ours, theirs,
                    "{release} {name}: no difference any more: {reason}"
                );
                different.insert(name.to_owned(), reason);
            }
            None => {
                if ours != theirs {
                    wrong.push(format!("{release} {name}: {ours:?}, recorded {theirs:?}"));
                }
                alike += 1;
            }
        }
    }
    assert_eq!(
        asked,
        alike + different.len(),
        "every probe is one or the other"
    );
    (alike, different.len(), effects)
}

/// What a probe left behind in the recorded master's key directory.
fn check_effect(probes: &Probes, name: &str, probe: &Json) {
    let keys = probes.core.keys();
    match name {
        "state/after-denied" => {
            assert!(matches!(
                keys.state(&id("m1")).unwrap(),
                KeyState::Pending(_)
            ));
        }
        "aes/revoke_auth-default-effect" => {
            assert_eq!(probe["key_still_accepted"], false);
            assert_eq!(keys.state(&id("m1")).unwrap(), KeyState::Unknown);
        }
        "state/end" => {
            let recorded: Vec<&str> = probe["files"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|file| file.as_str().unwrap().strip_prefix("minions/"))
                .collect();
            let ours = keys.accepted().unwrap();
            assert!(ours.iter().map(MinionId::as_str).eq(recorded));
            assert_eq!(keys.state(&id("bad1")).unwrap(), KeyState::Rejected);
        }
        // Open mode has replaced the key there, and here it has not.
        "state/open_mode" => {
            assert_eq!(probe["m1_pub_replaced"], true);
            assert_eq!(
                keys.state(&id("m1")).unwrap(),
                KeyState::Accepted(probes.m1.clone())
            );
        }
        other => panic!("nothing known of {other}"),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are asked for")]
fn our_master_answers_hand_made_requests_as_stock_ones_or_differs_on_purpose() {
    for release in ["3006.27", "3007.15", "3008.3"] {
        let (alike, different, effects) = check(release);
        println!(
            "{release}: {alike} probes answered alike, {different} differently on purpose, {effects} effects checked"
        );
        assert!(alike > 80);
    }
}
