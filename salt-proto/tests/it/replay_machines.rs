//! Every recorded session through our machines: our master in the place of the
//! recorded one, then our minion in the place of the recorded one.
//!
//! Both are given the recorded keys and, as random numbers, what the recorded
//! peers drew, so that what they make can be compared with the recording: equal
//! bytes where the scheme is deterministic, equal values where it is not.

use std::collections::BTreeMap;

use salt_crypto::{
    Encryption, FingerprintHash, Nonce, Purpose, Secret, SessionKey, Signing, handshake,
};
use salt_proto::envelope::{Enc, Envelope};
use salt_proto::master::{OperatorKeys, PeerRule, PeerRules};
use salt_proto::message::AesCommand;
use salt_proto::{
    Job, Limits, Map, MasterConfig, MasterCore, MasterTrust, MemoryKeyStore, MinionConfig,
    MinionEvent, MinionId, MinionLink, Profile, RequestStep, Transmit, Value, msgpack,
};

use crate::machines::{Script, Seeded, UNIX, decoded, epoch, worked};
use crate::recorded::{SESSIONS, Session, Unit};
use crate::vectors::base64;

/// How much was compared, for the record.
#[derive(Default)]
struct Counts(BTreeMap<&'static str, usize>);

impl Counts {
    fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn total(&self) -> usize {
        self.0.values().sum()
    }
}

/// The algorithms of a session.
fn algorithms(session: &Session) -> (Encryption, Signing) {
    match session.hardened {
        true => (Encryption::OaepSha224, Signing::Pkcs1v15Sha224),
        false => (Encryption::OaepSha1, Signing::Pkcs1v15Sha1),
    }
}

/// The hardened session is replayed under `strict`: stock peers can meet it.
fn profile(session: &Session) -> Profile {
    match session.hardened {
        true => Profile::strict().without_aes_gcm(),
        false => Profile::compat().without_aes_gcm(),
    }
}

fn map(bytes: &[u8]) -> Map {
    match decoded(bytes) {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    }
}

/// Opens with nothing but the key: the judge of both machines.
fn opened(key: &SessionKey, purpose: Purpose, nonce: Option<&str>, sealed: &[u8]) -> Option<Value> {
    let nonce = nonce.map(|nonce| Nonce::from_text(nonce).unwrap());
    let mut plain = Vec::new();
    let opened = key.open(purpose, nonce.as_ref(), sealed, &mut plain).ok()?;
    Some(decoded(&plain[opened.body.unwrap()]))
}

/// A recorded private reply, opened step by step.
fn opened_privately(session: &Session, reply: &[u8]) -> Map {
    let (encryption, signing) = algorithms(session);
    let outer = map(reply);
    let bytes = |map: &Map, key: &str| map.get(key).and_then(Value::as_bytes).unwrap().to_vec();
    let key = handshake::unwrap(
        &bytes(&outer, "key"),
        &session.minion,
        encryption,
        &mut Seeded(1),
    )
    .unwrap();
    let Some(Value::Map(inner)) = opened(&key, Purpose::Pillar, None, &bytes(&outer, "pillar"))
    else {
        panic!("no box")
    };
    let data = bytes(&inner, "data");
    session
        .master
        .public_key()
        .verify(signing, &data, &bytes(&inner, "sig"))
        .unwrap();
    let mut signed = map(&data);
    assert_eq!(signed.remove("key"), outer.get("key").cloned());
    signed
}

/// The 16 bytes a nonce is made of.
fn drawn(nonce: &str) -> Vec<u8> {
    (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&nonce[at..at + 2], 16).unwrap())
        .collect()
}

/// What the recorded minion sent sealed.
struct Sealed {
    load: Map,
    nonce: String,
    stamp: u64,
    bare: Map,
}

fn sealed(session: &Session, request: &[u8]) -> Option<Sealed> {
    let envelope = Envelope::parse(request, &Limits::default()).unwrap();
    if envelope.enc == Enc::Clear {
        return None;
    }
    let bytes = envelope.load_bytes().unwrap();
    let Some(Value::Map(load)) = opened(&session.session_key, Purpose::Request, None, bytes) else {
        panic!("not sealed with the session key")
    };
    let mut bare = load.clone();
    for key in ["nonce", "tok", "sig"] {
        bare.remove(key);
    }
    Some(Sealed {
        nonce: load.str("nonce").unwrap().to_owned(),
        stamp: load
            .get("ts")
            .and_then(Value::as_int)
            .map_or(UNIX, i64::cast_unsigned),
        bare,
        load,
    })
}

/// The load of a recorded sign-in, and the inner map of its answer.
fn sign_in(request: &[u8], reply: &[u8]) -> Option<(Map, Map, Vec<u8>)> {
    let load = map(request).remove("load")?;
    let load = load
        .as_map()
        .filter(|load| load.str("cmd") == Some("_auth"))?
        .clone();
    let answer = map(reply);
    let inner = answer.get("load").and_then(Value::as_bytes)?;
    Some((
        load,
        map(inner),
        answer.get("sig").and_then(Value::as_bytes)?.to_vec(),
    ))
}

fn asked_to_sign_in(request: &[u8]) -> Map {
    match map(request).remove("load") {
        Some(Value::Map(load)) => load,
        other => panic!("{other:?}"),
    }
}

fn unwrapped(session: &Session, answer: &Map, field: &str) -> SessionKey {
    let wrapped = answer.get(field).and_then(Value::as_bytes).unwrap();
    handshake::unwrap(
        wrapped,
        &session.minion,
        algorithms(session).0,
        &mut Seeded(1),
    )
    .unwrap()
}

fn key_bytes(key: &SessionKey) -> Vec<u8> {
    base64(key.to_text().expose())
}

// ---- our master ----------------------------------------------------------------

fn master(session: &Session, script: &Script) -> MasterCore {
    let mut config = MasterConfig::new(session.master.clone());
    config.profile = profile(session);
    config.signing_identity = session.master_signing.clone();
    config.publish_signing = algorithms(session).1;
    config.publish_key = Some(session.publish_keys[0].clone());
    config.operators = OperatorKeys::none();
    config
        .operators
        .insert("root", Secret::new(session.root_key.clone()));
    config.peers = PeerRules::from_iter([PeerRule::new(".*", [".*"]).unwrap()]);
    config.peer_runners = config.peers.clone();
    config.require_signed_returns = session.hardened;
    config.minions_may_revoke = true;
    let port = session.exchanges().find_map(|(request, reply, _)| {
        let (_, inner, _) = sign_in(request, reply?)?;
        inner.get("publish_port").and_then(Value::as_int)
    });
    config.publish_port = port.unwrap().try_into().unwrap();
    MasterCore::new(config, Box::new(MemoryKeyStore::new()), script.rng(), UNIX).unwrap()
}

fn check_master(session: &Session, counts: &mut Counts) {
    let script = Script::default();
    let mut core = master(session, &script);
    let id: MinionId = session.minion_id.parse().unwrap();
    let requests = session
        .exchanges()
        .filter(|(_, _, from_minion)| *from_minion);
    let first = requests
        .filter_map(|(request, ..)| sealed(session, request))
        .next();
    let mut unix = first.unwrap().stamp;
    for unit in &session.units {
        match unit {
            Unit::Exchange {
                request,
                reply,
                from_minion,
            } => {
                let reply = reply.as_deref();
                if *from_minion && reply.is_none() {
                    // Asked before the recorded master was up; ours answers.
                    assert_eq!(asked_to_sign_in(request).str("cmd"), Some("_auth"));
                    let step = worked(&mut core, request, unix);
                    assert!(matches!(step, RequestStep::Reply(_)));
                    counts.add("unanswered sign-ins");
                } else if *from_minion {
                    let reply = reply.unwrap();
                    if let Some((_, inner, sig)) = sign_in(request, reply) {
                        check_sign_in_answer(
                            session, &mut core, &script, request, reply, &inner, &sig, unix,
                        );
                        counts.add("sign-ins");
                    } else {
                        let sealed = sealed(session, request).unwrap();
                        // A late clock of ours would be no fault of theirs.
                        unix = unix.max(sealed.stamp);
                        check_served(session, &mut core, request, reply, &sealed, unix);
                        counts.add("sealed requests");
                    }
                } else {
                    check_operated(session, &mut core, request, reply, unix);
                    counts.add("operators' requests");
                }
            }
            Unit::Publish { body, .. } => {
                check_published(session, &mut core, body);
                counts.add("publishes");
            }
            Unit::Announcement(body) => {
                assert_eq!(core.handle_announcement(body, unix), Some(id.clone()));
                counts.add("announcements");
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one exchange")]
fn check_sign_in_answer(
    session: &Session,
    core: &mut MasterCore,
    script: &Script,
    request: &[u8],
    reply: &[u8],
    recorded: &Map,
    recorded_sig: &[u8],
    unix: u64,
) {
    let id: MinionId = session.minion_id.parse().unwrap();
    let granted = recorded.str("enc") == Some("pub");
    if granted {
        if core.keys().accepted().unwrap().is_empty() {
            let key = session.minion.public_key();
            core.keys_mut().accept(&id, key).unwrap();
            script.push(key_bytes(&session.session_key));
        }
        let publish = unwrapped(session, recorded, "aes");
        if !core.publish_key().ct_eq(&publish) {
            script.push(key_bytes(&publish));
            core.rotate_publish_key(unix);
        }
    }
    let RequestStep::Reply(ours) = worked(core, request, unix) else {
        panic!("a sign-in is answered")
    };
    script.assert_used();
    if !granted {
        // Deterministic to the last bit; over tcp Salt wraps strings otherwise.
        assert_eq!(decoded(&ours), decoded(reply));
        return;
    }
    let (load, mut inner, sig) = sign_in(request, &ours).unwrap();
    let signed = map(&ours);
    let signed = signed.get("load").and_then(Value::as_bytes).unwrap();
    let (encryption, signing) = algorithms(session);
    session
        .master
        .public_key()
        .verify(signing, signed, &sig)
        .unwrap();
    assert_eq!(sig.len(), recorded_sig.len());
    assert_eq!(inner.remove("suite"), Some("classic".into()));
    assert_eq!(inner.remove("suites"), Some(Value::List(vec![])));
    assert!(
        inner.keys().eq(recorded.keys()),
        "the same fields in the same order"
    );
    for (field, value) in recorded {
        match field.as_str().unwrap() {
            "aes" | "session" => {
                let field = field.as_str().unwrap();
                assert!(
                    unwrapped(session, &inner, field).ct_eq(&unwrapped(session, recorded, field))
                );
            }
            "token" => {
                let token = |map: &Map, holder: &salt_crypto::Identity| {
                    let sealed = map.get("token").and_then(Value::as_bytes).unwrap();
                    holder.decrypt(encryption, sealed, &mut Seeded(1)).unwrap()
                };
                let sent = token(&load, &session.master);
                assert!(token(&inner, &session.minion).ct_eq(sent.expose()));
                assert!(token(recorded, &session.minion).ct_eq(sent.expose()));
            }
            // `sig`, `pub_sig`, `pub_key`, `publish_port`, `nonce`, `enc`: equal.
            _ => assert_eq!(inner.get_value(field), Some(value), "{field:?}"),
        }
    }
}

fn check_served(
    session: &Session,
    core: &mut MasterCore,
    request: &[u8],
    reply: &[u8],
    sealed: &Sealed,
    unix: u64,
) {
    let step = worked(core, request, unix);
    let load = match step {
        RequestStep::Load(load) => load,
        other => panic!(
            "{other:?} {:?} {:?}",
            std::iter::from_fn(|| core.poll_event()).collect::<Vec<_>>(),
            sealed.load
        ),
    };
    assert_eq!(load.minion.as_str(), session.minion_id);
    assert_eq!(Some(load.command.name()), sealed.load.str("cmd"));
    assert_eq!(load.load, sealed.bare);

    let rng = &mut Seeded(1);
    if load.command == AesCommand::Pillar {
        let recorded = opened_privately(session, reply);
        let pillar = recorded.get("pillar").and_then(Value::as_map).unwrap();
        let ours = load.reply.seal_private(pillar, rng).unwrap();
        assert_eq!(opened_privately(session, &ours), recorded);
        return;
    }
    let open = |reply: &[u8]| {
        let reply = msgpack::content(reply).unwrap();
        opened(
            &session.session_key,
            Purpose::Reply,
            Some(&sealed.nonce),
            reply,
        )
        .unwrap()
    };
    let recorded = open(reply);
    let ours = load.reply.seal(&recorded, rng);
    assert_eq!(open(&ours), recorded);
    assert_eq!(
        msgpack::content(&ours).unwrap().len(),
        msgpack::content(reply).unwrap().len(),
        "the same encoding"
    );
}

fn check_operated(
    session: &Session,
    core: &mut MasterCore,
    request: &[u8],
    reply: Option<&[u8]>,
    unix: u64,
) {
    let RequestStep::Operate(operation) = worked(core, request, unix) else {
        panic!("an operator asked")
    };
    let mut load = map(request).remove("load").unwrap();
    let key = load.as_map_mut().unwrap().remove("key");
    assert_eq!(key, Some(session.root_key.as_str().into()));
    assert_eq!(Value::Map(operation.load.clone()), load);
    if let Some(reply) = reply {
        let value = decoded(reply);
        assert_eq!(decoded(&operation.reply(&value)), value);
    }
}

fn check_published(session: &Session, core: &mut MasterCore, body: &[u8]) {
    let recorded = published(session, body);
    let mut expected = recorded.clone();
    let job = Job::from_map(recorded).unwrap();
    let publication = core.publish(&job, &[]);
    expected.insert("serial", publication.serial());
    assert_eq!(*publication.load(), expected);

    let broadcast = publication.seal(&mut Seeded(1)).unwrap();
    assert!(broadcast.gcm.is_none());
    let (ours, theirs) = (map(&broadcast.classic), map(body));
    assert!(
        ours.keys().eq(theirs.keys()),
        "the same fields in the same order"
    );
    assert_eq!(ours.get("sig_algo"), theirs.get("sig_algo"));
    let sealed = ours.get("load").and_then(Value::as_bytes).unwrap();
    let key = core.publish_key();
    assert_eq!(
        opened(key, Purpose::Publish, None, sealed),
        Some(expected.into())
    );
}

/// The job inside a recorded publish, its signature checked.
fn published(session: &Session, body: &[u8]) -> Map {
    let publish = Envelope::parse(body, &Limits::default()).unwrap();
    let sealed = publish.load_bytes().unwrap();
    let signing = algorithms(session).1;
    session
        .master
        .public_key()
        .verify(signing, sealed, publish.sig.unwrap())
        .unwrap();
    let opened = session
        .publish_keys
        .iter()
        .find_map(|key| opened(key, Purpose::Publish, None, sealed));
    match opened {
        Some(Value::Map(job)) => job,
        other => panic!("{other:?}"),
    }
}

// ---- our minion ----------------------------------------------------------------

/// A process of the recorded minion: the daemon, or a `salt-call`.
struct Minion {
    link: MinionLink,
    script: Script,
    now: std::time::Instant,
}

impl Minion {
    /// `token` is what the recorded process drew when it started.
    fn new(session: &Session, token: &[u8], knows_master: bool) -> Self {
        let (encryption, signing) = algorithms(session);
        let master = session.master.public_key();
        let trust = match knows_master {
            true => MasterTrust::Pinned(master.clone()),
            // A token is sent only to a master whose key is known.
            false => MasterTrust::Fingerprint(master.fingerprint(FingerprintHash::Sha256)),
        };
        let id = session.minion_id.parse().unwrap();
        let mut config = MinionConfig::new(id, session.minion.clone(), trust);
        config.profile = profile(session);
        config.encryption = encryption;
        config.signing = signing;
        config.sign_messages = session.hardened;
        config.filtering = session.hardened;
        config.master_signing_key = session
            .master_signing
            .as_ref()
            .map(|it| it.public_key().clone());
        if session.hardened {
            config.autosign_grains = Map::from([("role", "web")]);
        }
        let script = Script::default();
        script.push(token);
        let link = MinionLink::new(config, script.rng()).unwrap();
        script.assert_used();
        Self {
            link,
            script,
            now: epoch(),
        }
    }

    /// What our minion sends, with this nonce, at this time.
    fn sent(&mut self, nonce: &str, unix: u64) -> Transmit {
        if let Some(at) = self.link.poll_timeout() {
            self.now = self.now.max(at);
            self.link.handle_timeout(self.now);
        }
        self.script.push(drawn(nonce));
        let transmit = self.link.poll_transmit(self.now, unix).unwrap();
        self.script.assert_used();
        transmit
    }

    fn events(&mut self) -> Vec<MinionEvent> {
        std::iter::from_fn(|| self.link.poll_event()).collect()
    }
}

fn check_minion(session: &Session, counts: &mut Counts) {
    let tokens = tokens(session);
    let mut processes: Vec<(Option<Vec<u8>>, Minion)> = vec![(tokens.first().cloned(), {
        let token = tokens.first().unwrap();
        Minion::new(session, token, false)
    })];
    let first = &mut processes[0].1.link;
    first.set_facts(grains(session), pillar(session));
    let returned = returned(session);
    let mut jobs = Vec::new();
    let mut expected_jobs = Vec::new();
    for unit in &session.units {
        match unit {
            Unit::Exchange {
                request,
                reply,
                from_minion: true,
            } => {
                let Some(reply) = reply.as_deref() else {
                    check_unanswered(&mut processes[0].1, &asked_to_sign_in(request));
                    counts.add("unanswered sign-ins");
                    continue;
                };
                if let Some((load, inner, _)) = sign_in(request, reply) {
                    let token = token_of(session, &load);
                    let at = processes
                        .iter()
                        .position(|(known, _)| token.is_none() || *known == token);
                    let at = at.unwrap_or_else(|| {
                        let minion = Minion::new(session, token.as_deref().unwrap(), true);
                        processes.push((token.clone(), minion));
                        processes.len() - 1
                    });
                    let events = check_sign_in(&mut processes[at].1, &load, &inner, reply);
                    jobs.extend(jobs_of(events));
                    counts.add("sign-ins");
                } else {
                    let ready = processes
                        .iter_mut()
                        .rev()
                        .find(|(_, it)| it.link.is_ready());
                    let sealed = sealed(session, request).unwrap();
                    check_asked(session, &mut ready.unwrap().1, request, reply, &sealed);
                    counts.add("sealed requests");
                }
            }
            Unit::Exchange { .. } => {}
            Unit::Publish { topic, body } => {
                let daemon = &mut processes[0].1;
                let job = published(session, body);
                if returned.contains(job.get("jid").unwrap()) {
                    expected_jobs.push(job);
                }
                daemon
                    .link
                    .handle_publish(topic.as_deref(), body, daemon.now);
                jobs.extend(jobs_of(daemon.events()));
                counts.add("publishes");
            }
            Unit::Announcement(body) => {
                check_announcement(session, &mut processes[0].1, body);
                counts.add("announcements");
            }
        }
    }
    assert_eq!(processes.len(), 2, "the daemon and a salt-call");
    let jobs: Vec<Map> = jobs.iter().map(Job::to_map).collect();
    let expected: Vec<Map> = expected_jobs
        .into_iter()
        .map(|mut job| {
            job.remove("serial");
            job
        })
        .collect();
    assert_eq!(jobs, expected);
}

/// The tokens the processes of the recorded minion drew, in order of appearance.
fn tokens(session: &Session) -> Vec<Vec<u8>> {
    let mut tokens = Vec::new();
    for (request, reply, _) in session.exchanges() {
        let load = reply.and_then(|reply| sign_in(request, reply));
        if let Some(token) = load.and_then(|(load, ..)| token_of(session, &load))
            && !tokens.contains(&token)
        {
            tokens.push(token);
        }
    }
    tokens
}

fn token_of(session: &Session, load: &Map) -> Option<Vec<u8>> {
    let sealed = load.get("token").and_then(Value::as_bytes)?;
    let text = session
        .master
        .decrypt(algorithms(session).0, sealed, &mut Seeded(1))
        .unwrap();
    Some(base64(std::str::from_utf8(text.expose()).unwrap()))
}

fn check_unanswered(minion: &mut Minion, load: &Map) {
    let sent = minion.sent(load.str("nonce").unwrap(), 0);
    minion.link.handle_no_reply(sent.exchange, minion.now);
    let events = minion.events();
    assert!(
        matches!(events.as_slice(), [MinionEvent::SignInFailed { .. }]),
        "{events:?}"
    );
}

fn check_sign_in(minion: &mut Minion, load: &Map, inner: &Map, reply: &[u8]) -> Vec<MinionEvent> {
    if minion.link.is_ready() && minion.link.poll_timeout().is_none() {
        minion.link.sign_in_again();
    }
    let sent = minion.sent(load.str("nonce").unwrap(), 0);
    let mut ours = map(&sent.body);
    assert_eq!(ours.get("version"), Some(&3.into()));
    let Some(Value::Map(mut ours)) = ours.remove("load") else {
        panic!("a map in the clear")
    };
    let mut theirs = load.clone();
    // Encrypted with random padding; its content is compared by the answer.
    assert_eq!(
        ours.remove("token").is_some(),
        theirs.remove("token").is_some()
    );
    assert_eq!(ours, theirs);

    minion.link.handle_reply(sent.exchange, reply, minion.now);
    let events = minion.events();
    let granted = inner.str("enc") == Some("pub");
    let as_recorded = events.iter().any(|event| match event {
        MinionEvent::Ready { publish_port, .. } => {
            granted && inner.get("publish_port") == Some(&(*publish_port).into())
        }
        MinionEvent::Pending { .. } => !granted && inner.get("ret") == Some(&true.into()),
        _ => false,
    });
    assert!(as_recorded, "{events:?}");
    events
}

fn check_asked(
    session: &Session,
    minion: &mut Minion,
    request: &[u8],
    reply: &[u8],
    sealed: &Sealed,
) {
    let has_stamp = sealed.bare.contains_key("ts");
    let mut load = sealed.bare.clone();
    load.remove("ts");
    let asked = minion.link.request(load);
    let sent = minion.sent(&sealed.nonce, sealed.stamp);

    let ours = self::sealed(session, &sent.body).unwrap();
    let mut made = ours.load.clone();
    let mut theirs = sealed.load.clone();
    // File clients and pillar requests of some releases leave out one or the other.
    if !has_stamp {
        made.remove("ts");
    }
    if !theirs.contains_key("id") {
        made.remove("id");
    }
    let signatures = (made.remove("sig"), theirs.remove("sig"));
    assert_eq!(made, theirs);
    if session.hardened && sealed.load.str("cmd") == Some("_return") {
        // Deterministic, over every field in its order.
        assert!(signatures.0.is_some());
        assert_eq!(signatures.0, signatures.1);
    }
    let (ours, theirs) = (map(&sent.body), map(request));
    for field in ["enc", "version", "id", "enc_algo", "sig_algo"] {
        assert_eq!(ours.get(field), theirs.get(field), "{field}");
    }

    minion.link.handle_reply(sent.exchange, reply, minion.now);
    let events = minion.events();
    let [MinionEvent::Replied { request, value }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*request, asked);
    let expected = match sealed.load.str("cmd") {
        Some("_pillar") => opened_privately(session, reply).remove("pillar"),
        _ => {
            let reply = msgpack::content(reply).unwrap();
            opened(
                &session.session_key,
                Purpose::Reply,
                Some(&sealed.nonce),
                reply,
            )
        }
    };
    assert_eq!(Some(value), expected.as_ref());
}

/// The job ids the recorded minion returned: the jobs it took for its own.
fn returned(session: &Session) -> Vec<Value> {
    let requests = session
        .exchanges()
        .filter(|(_, _, from_minion)| *from_minion);
    requests
        .filter_map(|(request, ..)| sealed(session, request))
        .filter(|sealed| sealed.load.str("cmd") == Some("_return"))
        .filter_map(|sealed| sealed.load.get("jid").cloned())
        .collect()
}

/// The grains the recorded minion sent.
fn grains(session: &Session) -> Map {
    session
        .exchanges()
        .filter(|(_, _, from_minion)| *from_minion)
        .filter_map(|(request, ..)| sealed(session, request))
        .find_map(|sealed| sealed.load.get("grains").and_then(Value::as_map).cloned())
        .unwrap()
}

/// The pillar the recorded minion got first.
fn pillar(session: &Session) -> Map {
    let answer = session
        .exchanges()
        .find_map(|(request, reply, from_minion)| {
            let sealed = from_minion.then(|| sealed(session, request))??;
            (sealed.load.str("cmd") == Some("_pillar"))
                .then(|| opened_privately(session, reply?).remove("pillar"))?
        });
    answer.as_ref().and_then(Value::as_map).unwrap().clone()
}

fn jobs_of(events: Vec<MinionEvent>) -> Vec<Job> {
    events
        .into_iter()
        .filter_map(|event| match event {
            MinionEvent::Job(job) => Some(*job),
            MinionEvent::Dropped(reason) => panic!("{reason}"),
            _ => None,
        })
        .collect()
}

fn check_announcement(session: &Session, minion: &mut Minion, body: &[u8]) {
    let ours = minion.link.announcement().unwrap();
    let open = |body: &[u8]| {
        let envelope = Envelope::parse(body, &Limits::default()).unwrap();
        let sealed = envelope.load_bytes().unwrap();
        let opened = session
            .publish_keys
            .iter()
            .find_map(|key| opened(key, Purpose::Announce, None, sealed));
        (
            opened.unwrap(),
            envelope.version,
            envelope.id.map(<[u8]>::to_vec),
        )
    };
    assert_eq!(open(&ours), open(body));
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are asked for")]
fn our_master_answers_every_recorded_request_as_the_recorded_one_did() {
    let mut counts = Counts::default();
    let mut units = 0;
    for name in SESSIONS {
        let session = Session::read(name);
        check_master(&session, &mut counts);
        units += session.units.len();
    }
    println!(
        "{} of {units} recorded units, our master: {:?}",
        counts.total(),
        counts.0
    );
    assert_eq!(counts.total(), units);
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are asked for")]
fn our_minion_accepts_every_recorded_reply_and_publish() {
    let mut counts = Counts::default();
    let mut units = 0;
    for name in SESSIONS {
        let session = Session::read(name);
        check_minion(&session, &mut counts);
        // What the command line said to its master is no business of a minion.
        units += session.count(|unit| {
            !matches!(
                unit,
                Unit::Exchange {
                    from_minion: false,
                    ..
                }
            )
        });
    }
    println!(
        "{} of {units} recorded units, our minion: {:?}",
        counts.total(),
        counts.0
    );
    assert_eq!(counts.total(), units);
}
