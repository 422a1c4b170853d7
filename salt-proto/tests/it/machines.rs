//! What tests of the two machines have in common: keys, randomness, and a
//! minion and a master that exchange messages without a network.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rand_core::{TryCryptoRng, TryRng};
use salt_crypto::{Identity, SessionKey};
use salt_proto::master::Authorised;
use salt_proto::message::AesCommand;
use salt_proto::minion::{Dropped, RequestError, SignInError};
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{
    Job, Limits, Map, MasterConfig, MasterCore, MasterEvent, MasterTrust, MemoryKeyStore,
    MinionConfig, MinionEvent, MinionId, MinionLink, Profile, RequestId, RequestStep, Value,
};

use crate::vectors;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The wall clock at the start of every test.
pub(crate) const UNIX: u64 = 1_795_308_466;

#[expect(
    clippy::disallowed_methods,
    reason = "tests need one instant to start from"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// Numbers that depend on the seed alone (SplitMix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// Random numbers of which some are laid down in advance: a draw of as many
/// bytes as the next laid-down piece has gets that piece.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Script {
    pub(crate) fn push(&self, bytes: impl Into<Vec<u8>>) {
        self.0.lock().unwrap().push_back(bytes.into());
    }

    /// All that was laid down has been drawn.
    #[track_caller]
    pub(crate) fn assert_used(&self) {
        assert!(
            self.0.lock().unwrap().is_empty(),
            "something else was drawn"
        );
    }

    pub(crate) fn rng(&self) -> Box<Scripted> {
        Box::new(Scripted {
            script: self.clone(),
            rest: Seeded(7),
        })
    }
}

pub(crate) struct Scripted {
    script: Script,
    rest: Seeded,
}

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.rest.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.rest.try_next_u64()
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let mut script = self.script.0.lock().unwrap();
        match script.front() {
            Some(piece) if piece.len() == out.len() => {
                out.copy_from_slice(piece);
                script.pop_front();
                Ok(())
            }
            _ => self.rest.try_fill_bytes(out),
        }
    }
}

impl TryCryptoRng for Scripted {}

pub(crate) fn seeded(seed: u64) -> Box<Seeded> {
    Box::new(Seeded(seed))
}

struct Keys {
    master: Identity,
    other_master: Identity,
    minions: Vec<Identity>,
}

/// Recorded throw-away keys: generating some would take longer than all tests.
fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = vectors::read("keys.json");
        let identity =
            |pem: &serde_json::Value| Identity::from_pem(pem.as_str().unwrap(), None).unwrap();
        Keys {
            master: identity(&keys["master"]),
            other_master: identity(&keys["other_master"]),
            minions: keys["minions"]
                .as_array()
                .unwrap()
                .iter()
                .map(identity)
                .collect(),
        }
    })
}

pub(crate) fn master_identity() -> Identity {
    keys().master.clone()
}

pub(crate) fn other_master_identity() -> Identity {
    keys().other_master.clone()
}

pub(crate) fn minion_identity(n: usize) -> Identity {
    keys().minions[n].clone()
}

pub(crate) fn id(text: &str) -> MinionId {
    text.parse().unwrap()
}

pub(crate) fn master_config() -> MasterConfig {
    MasterConfig::new(master_identity())
}

pub(crate) fn minion_config(name: &str, key: usize) -> MinionConfig {
    let pinned = MasterTrust::Pinned(master_identity().public_key().clone());
    MinionConfig::new(id(name), minion_identity(key), pinned)
}

pub(crate) fn core(config: MasterConfig) -> MasterCore {
    MasterCore::new(config, Box::new(MemoryKeyStore::new()), seeded(1), UNIX).unwrap()
}

pub(crate) fn encoded(value: impl Into<Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    msgpack::encode(&value.into(), Dialect::Raw, &mut bytes);
    bytes
}

pub(crate) fn decoded(bytes: &[u8]) -> Value {
    msgpack::decode(bytes, &Limits::default()).unwrap()
}

/// Carries out all the work of a request: what is left is a reply, or the
/// driver's to act on.
pub(crate) fn worked(core: &mut MasterCore, body: &[u8], unix: u64) -> RequestStep {
    let mut step = core.handle_request(body, unix);
    while let RequestStep::Work(work) = step {
        step = core.handle_finished(work.run(&mut Seeded(2)), unix);
    }
    step
}

/// The load of a request that got as far as to be acted on.
#[track_caller]
pub(crate) fn authorised(step: RequestStep) -> Box<Authorised> {
    match step {
        RequestStep::Load(load) => load,
        RequestStep::Reply(body) => panic!("answered {:?}", decoded(&body)),
        other => panic!("{other:?}"),
    }
}

/// The value of a reply in the clear.
#[track_caller]
pub(crate) fn answered(step: RequestStep) -> Value {
    match step {
        RequestStep::Reply(body) => decoded(&body),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_refused(step: RequestStep) {
    let answer = answered(step);
    let text = answer.as_str().unwrap_or_else(|| panic!("{answer:?}"));
    assert!(text.starts_with("bad load"), "{text}");
}

/// A minion and its master, and everything that happened.
pub(crate) struct Pair {
    pub(crate) master: MasterCore,
    pub(crate) link: MinionLink,
    pub(crate) now: Instant,
    pub(crate) unix: u64,
    pub(crate) events: Vec<MinionEvent>,
    pub(crate) master_events: Vec<MasterEvent>,
    /// What the master acted on.
    pub(crate) served: Vec<(MinionId, AesCommand, Map)>,
    /// Every request as it went out, and its reply.
    pub(crate) exchanges: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The pillar every minion of a [`Pair`] gets.
pub(crate) fn pillar() -> Map {
    Map::from([("secret", "for one minion")])
}

impl Pair {
    /// Both strict, the key accepted, nobody signed in yet.
    pub(crate) fn new() -> Self {
        Self::with(master_config(), minion_config("web1", 0))
    }

    pub(crate) fn compat() -> Self {
        let mut master = master_config();
        master.profile = Profile::compat();
        let mut minion = minion_config("web1", 0);
        minion.profile = Profile::compat();
        Self::with(master, minion)
    }

    /// With the key accepted.
    pub(crate) fn with(master: MasterConfig, minion: MinionConfig) -> Self {
        let mut pair = Self::unaccepted(master, minion);
        pair.accept();
        pair
    }

    pub(crate) fn unaccepted(master: MasterConfig, minion: MinionConfig) -> Self {
        Self {
            master: core(master),
            link: MinionLink::new(minion, seeded(3)).unwrap(),
            now: epoch(),
            unix: UNIX,
            events: Vec::new(),
            master_events: Vec::new(),
            served: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    /// The same, signed in.
    pub(crate) fn ready(mut self) -> Self {
        self.settle();
        assert!(self.link.is_ready(), "{:?}", self.events);
        self.events.clear();
        self.exchanges.clear();
        self
    }

    pub(crate) fn accept(&mut self) {
        let key = minion_identity(0).public_key().clone();
        let id = self.link.id().clone();
        self.master.keys_mut().accept(&id, &key).unwrap();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.unix += time.as_secs();
        self.link.handle_timeout(self.now);
    }

    /// Exchanges messages until nobody has anything to say.
    pub(crate) fn settle(&mut self) {
        self.settle_through(|request| request, |reply| reply);
    }

    /// The same with somebody in between.
    pub(crate) fn settle_through(
        &mut self,
        mut on_request: impl FnMut(Vec<u8>) -> Vec<u8>,
        mut on_reply: impl FnMut(Vec<u8>) -> Vec<u8>,
    ) {
        for _ in 0..100 {
            let Some(transmit) = self.link.poll_transmit(self.now, self.unix) else {
                self.take_events();
                return;
            };
            let request = on_request(transmit.body);
            let reply = self.serve(&request);
            self.exchanges.push((request, reply.clone()));
            let reply = on_reply(reply);
            self.link.handle_reply(transmit.exchange, &reply, self.now);
        }
        panic!("the two do not come to rest: {:?}", self.events);
    }

    fn take_events(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.link.poll_event()));
        self.master_events
            .extend(std::iter::from_fn(|| self.master.poll_event()));
    }

    /// What the master answers to a request, whatever it takes.
    pub(crate) fn serve(&mut self, request: &[u8]) -> Vec<u8> {
        match worked(&mut self.master, request, self.unix) {
            RequestStep::Reply(reply) => reply,
            RequestStep::Load(load) => {
                let mut rng = Seeded(self.unix);
                let reply = match load.command {
                    AesCommand::Pillar => load.reply.seal_private(&pillar(), &mut rng).unwrap(),
                    _ => {
                        let echo = load.load.get("echo").cloned().unwrap_or_default();
                        load.reply.seal(&echo, &mut rng)
                    }
                };
                self.served.push((load.minion, load.command, load.load));
                reply
            }
            RequestStep::Operate(operation) => operation.reply(&Value::Null),
            RequestStep::Work(_) => unreachable!("all work is done"),
        }
    }

    /// Asks and answers; the value, or why there is none.
    pub(crate) fn ask(&mut self, load: Map) -> Result<Value, RequestError> {
        let request = self.link.request(load);
        self.settle();
        self.outcome(request)
    }

    /// What became of a request, once.
    #[track_caller]
    pub(crate) fn outcome(&mut self, asked: RequestId) -> Result<Value, RequestError> {
        self.take_events();
        let at = self.events.iter().position(|event| {
            matches!(event, MinionEvent::Replied { request, .. } | MinionEvent::Failed { request, .. } if *request == asked)
        });
        match at.map(|at| self.events.remove(at)) {
            Some(MinionEvent::Replied { value, .. }) => Ok(value),
            Some(MinionEvent::Failed { error, .. }) => Err(error),
            _ => panic!("the request has no outcome: {:?}", self.events),
        }
    }

    /// Publishes through the master, in the classic form.
    pub(crate) fn publish(&mut self, job: &Job) -> salt_proto::master::Broadcast {
        let ids = [self.link.id().clone()];
        self.master.publish(job, &ids).seal(&mut Seeded(5)).unwrap()
    }

    pub(crate) fn deliver(&mut self, topic: Option<&[u8]>, body: &[u8]) {
        self.link.handle_publish(topic, body, self.now);
        self.take_events();
    }

    /// The jobs that were to be run since the last look.
    pub(crate) fn jobs(&mut self) -> Vec<Job> {
        self.take_events();
        let (jobs, others) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|event| matches!(event, MinionEvent::Job(_)));
        self.events = others;
        jobs.into_iter()
            .filter_map(|event| match event {
                MinionEvent::Job(job) => Some(*job),
                _ => None,
            })
            .collect()
    }

    /// Why messages were dropped since the last look.
    pub(crate) fn dropped(&mut self) -> Vec<Dropped> {
        self.take_events();
        let dropped = self.events.iter().filter_map(|event| match event {
            MinionEvent::Dropped(reason) => Some(*reason),
            _ => None,
        });
        let dropped = dropped.collect();
        self.events
            .retain(|event| !matches!(event, MinionEvent::Dropped(_)));
        dropped
    }

    /// Why sign-ins failed so far.
    pub(crate) fn sign_in_errors(&self) -> Vec<&SignInError> {
        self.events
            .iter()
            .filter_map(|event| match event {
                MinionEvent::SignInFailed { error, .. } => Some(error),
                _ => None,
            })
            .collect()
    }

    /// The session key the master handed out last.
    #[track_caller]
    pub(crate) fn session_key(&self) -> SessionKey {
        let made = self
            .master_events
            .iter()
            .rev()
            .find_map(|event| match event {
                MasterEvent::SessionMade { key, .. } => Some(key.clone()),
                _ => None,
            });
        made.unwrap()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&MinionEvent) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}
