//! What must hold for any bytes a master or a minion can be sent, in the clear
//! or sealed and signed with good keys; shared with the fuzz targets.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand_core::{TryCryptoRng, TryRng};
use salt_crypto::{Identity, Nonce, Purpose, Secret, SessionKey, Signing, Suite, token};
use salt_proto::master::OperatorKeys;
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{
    ExchangeId, Limits, Map, MasterConfig, MasterCore, MasterTrust, MemoryKeyStore, MinionConfig,
    MinionId, MinionLink, Profile, RequestStep, Value, envelope,
};

const UNIX: u64 = 1_795_308_466;

/// SplitMix64: keys only have to be the same each time.
struct Fixed(u64);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

struct Keys {
    master: Identity,
    minion: Identity,
    id: MinionId,
    token: Vec<u8>,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let minion = Identity::from_pem(include_str!("minion.pem"), None).unwrap();
        Keys {
            master: Identity::from_pem(include_str!("master.pem"), None).unwrap(),
            token: token::prove(&minion, &mut Fixed(1)).unwrap(),
            id: "web1".parse().unwrap(),
            minion,
        }
    })
}

fn core() -> MasterCore {
    let keys = keys();
    let mut config = MasterConfig::new(keys.master.clone());
    config.profile = Profile::compat();
    config.operators = OperatorKeys::none();
    let root = Secret::new("k".repeat(76));
    config.operators.insert("root", root);
    let store = Box::new(MemoryKeyStore::new());
    let mut core = MasterCore::new(config, store, Box::new(Fixed(2)), UNIX).unwrap();
    core.keys_mut()
        .accept(&keys.id, keys.minion.public_key())
        .unwrap();
    core
}

fn sealed(key: &SessionKey, purpose: Purpose, nonce: Option<&Nonce>, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    key.seal(
        Suite::Classic,
        purpose,
        nonce,
        plain,
        &mut Fixed(3),
        &mut sealed,
    );
    sealed
}

fn encoded(map: &Map) -> Vec<u8> {
    let mut bytes = Vec::new();
    msgpack::encode_map(map, Dialect::Raw, &mut bytes);
    bytes
}

/// Sends one message to a master: the first byte says how, the rest is the message.
///
/// # Panics
///
/// When it is not answered with exactly one reply, whatever it was.
pub(crate) fn master_core(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let keys = keys();
    let mut core = core();
    let session = SessionKey::generate(&mut Fixed(4));
    core.restore_session(&keys.id, session.clone(), UNIX, UNIX);
    let mut body = Vec::new();
    let (encryption, signing) = ("OAEP-SHA224", "PKCS1v15-SHA224");
    match how % 5 {
        0 => body.extend_from_slice(data),
        1 => {
            // Any load in the clear.
            body.extend_from_slice(b"\x83\xa3enc\xa5clear\xa7version\x03\xa4load");
            body.extend_from_slice(data);
        }
        2 => {
            // Any plaintext of a taken minion.
            let plain = sealed(&session, Purpose::Request, None, data);
            envelope::aes_request(&plain, &keys.id, encryption, signing, &mut body);
        }
        3 => {
            // Any load of a taken minion that proves what it has to.
            let load = msgpack::decode(data, &Limits::default());
            let Ok(Value::Map(mut load)) = load else {
                return;
            };
            load.insert("id", &keys.id);
            load.insert("nonce", Nonce::generate(&mut Fixed(5)).as_str());
            load.insert("ts", UNIX);
            load.insert("tok", keys.token.as_slice());
            let plain = sealed(&session, Purpose::Request, None, &encoded(&load));
            envelope::aes_request(&plain, &keys.id, encryption, signing, &mut body);
        }
        _ => {
            let plain = sealed(core.publish_key(), Purpose::Announce, None, data);
            envelope::announcement(&plain, &mut body);
            core.handle_announcement(data, UNIX);
            core.handle_announcement(&body, UNIX);
            return;
        }
    }
    let mut step = core.handle_request(&body, UNIX);
    let mut works = 0;
    let reply = loop {
        match step {
            RequestStep::Work(work) => {
                works += 1;
                assert!(works < 3, "work that comes to no end");
                step = core.handle_finished(work.run(&mut Fixed(6)), UNIX);
            }
            RequestStep::Reply(reply) => break reply,
            RequestStep::Load(load) => {
                assert_eq!(load.minion, keys.id);
                break load.reply.seal_failure(&mut Fixed(7));
            }
            RequestStep::Operate(operation) => break operation.reply(&Value::Null),
        }
    };
    assert!(
        msgpack::decode(&reply, &Limits::default()).is_ok(),
        "no message"
    );
    let mut events = 0;
    while core.poll_event().is_some() {
        events += 1;
    }
    assert!(events < 10);
}

struct Signed {
    link: MinionLink,
    publish: SessionKey,
    session: SessionKey,
    now: Instant,
}

/// The answer that signs [`link`] in, and the keys in it. Always the same.
fn granted() -> &'static (Vec<u8>, SessionKey, SessionKey) {
    static GRANTED: OnceLock<(Vec<u8>, SessionKey, SessionKey)> = OnceLock::new();
    GRANTED.get_or_init(|| {
        let mut core = core();
        let offer = link().poll_transmit(now(), UNIX).unwrap();
        let mut step = core.handle_request(&offer.body, UNIX);
        while let RequestStep::Work(work) = step {
            step = core.handle_finished(work.run(&mut Fixed(6)), UNIX);
        }
        let RequestStep::Reply(grant) = step else {
            panic!("{step:?}")
        };
        let session = std::iter::from_fn(|| core.poll_event()).find_map(|event| match event {
            salt_proto::MasterEvent::SessionMade { key, .. } => Some(key),
            _ => None,
        });
        (grant, core.publish_key().clone(), session.unwrap())
    })
}

/// A link that is signed in, without GCM: the fuzzer seals what it likes.
fn signed_in() -> Signed {
    let (grant, publish, session) = granted();
    let mut link = link();
    let now = now();
    let offer = link.poll_transmit(now, UNIX).unwrap();
    link.handle_reply(offer.exchange, grant, now);
    assert!(link.is_ready());
    while link.poll_event().is_some() {}
    Signed {
        link,
        publish: publish.clone(),
        session: session.clone(),
        now,
    }
}

fn link() -> MinionLink {
    let keys = keys();
    let master = MasterTrust::Pinned(keys.master.public_key().clone());
    let mut config = MinionConfig::new(keys.id.clone(), keys.minion.clone(), master);
    config.profile = Profile::compat().without_aes_gcm();
    MinionLink::new(config, Box::new(Fixed(8))).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the machine needs some instant")]
fn now() -> Instant {
    Instant::now()
}

/// Sends one message to a minion: the first byte says how, the rest is the message.
///
/// # Panics
///
/// When the link trusts another master, sends without end, or forgets a request.
pub(crate) fn minion_link(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let keys = keys();
    if how % 6 < 2 {
        // Any answer to a sign-in, or any content of one the master signed.
        let now = now();
        let mut link = link();
        let offer = link.poll_transmit(now, UNIX).unwrap();
        let mut reply = data.to_vec();
        if how % 6 == 1 {
            let signature = keys
                .master
                .sign(Signing::Pkcs1v15Sha224, data, &mut Fixed(9))
                .unwrap();
            reply.clear();
            envelope::signed_reply(data, &signature, &mut reply);
        }
        link.handle_reply(offer.exchange, &reply, now);
        finish(&mut link, now, 0);
        return;
    }
    let Signed {
        mut link,
        publish,
        session,
        now,
    } = signed_in();
    let mut expected = 0;
    match how % 6 {
        2 => link.handle_publish(None, data, now),
        3 => {
            let plain = sealed(&publish, Purpose::Publish, None, data);
            let signing = Signing::Pkcs1v15Sha224;
            let signature = keys.master.sign(signing, &plain, &mut Fixed(9)).unwrap();
            let mut body = Vec::new();
            envelope::publish(&plain, Some((signing.name(), &signature)), &mut body);
            link.handle_publish(None, &body, now);
            link.handle_publish(Some(b"broadcast"), &body, now);
        }
        kind => {
            let cmd = if kind == 4 { "_pillar" } else { "_mine_get" };
            link.request(Map::from([("cmd", cmd)]));
            expected = 1;
            let sent = link.poll_transmit(now, UNIX).unwrap();
            let nonce = nonce_of(&sent.body, &session);
            let mut reply = data.to_vec();
            if kind == 5 {
                let plain = sealed(&session, Purpose::Reply, Some(&nonce), data);
                reply.clear();
                msgpack::encode_bytes(&plain, Dialect::Raw, &mut reply);
            }
            link.handle_reply(sent.exchange, &reply, now);
        }
    }
    finish(&mut link, now, expected);
}

fn nonce_of(request: &[u8], session: &SessionKey) -> Nonce {
    let limits = Limits::default();
    let envelope = salt_proto::Envelope::parse(request, &limits).unwrap();
    let mut plain = Vec::new();
    let sealed = envelope.load_bytes().unwrap();
    let opened = session
        .open(Purpose::Request, None, sealed, &mut plain)
        .unwrap();
    let load = msgpack::decode(&plain[opened.body.unwrap()], &limits).unwrap();
    Nonce::from_text(load.get("nonce").and_then(Value::as_str).unwrap()).unwrap()
}

/// Lets some minutes pass in which nobody answers: the link must come to rest
/// between its waits, report every request once and keep its master.
fn finish(link: &mut MinionLink, start: Instant, expected: usize) {
    let (mut now, mut outcomes, mut sent) = (start, 0, 0);
    let end = start + Duration::from_secs(300);
    while now < end {
        while let Some(transmit) = link.poll_transmit(now, UNIX) {
            sent += 1;
            assert!(sent < 2000, "sends without end");
            let _exchange: ExchangeId = transmit.exchange;
        }
        while let Some(event) = link.poll_event() {
            match event {
                salt_proto::MinionEvent::Replied { .. }
                | salt_proto::MinionEvent::Failed { .. } => {
                    outcomes += 1;
                }
                salt_proto::MinionEvent::MasterKeyLearned { .. } => panic!("another master"),
                _ => {}
            }
        }
        let Some(next) = link.poll_timeout() else {
            break;
        };
        now = next.max(now + Duration::from_millis(1));
        link.handle_timeout(now);
    }
    assert!(outcomes <= expected);
    // What has no outcome yet waits for something.
    let waits = link.poll_transmit(now, UNIX).is_some() || link.poll_timeout().is_some();
    assert!(outcomes == expected || waits, "a request was forgotten");
    assert_eq!(link.master_key(), Some(keys().master.public_key()));
}
