//! A master and some minions over a simulated network that loses, delays,
//! repeats and reorders, while either end restarts, keys rotate and keys are
//! deleted and accepted again. Everything that happens follows from the seed.
//!
//! What must hold, whatever the network does:
//!
//! * a minion starts a job at most once, through restarts;
//! * every published job ends with each minion that was asked returned once or
//!   reported missing, and every return a living minion made arrives;
//! * every request has one outcome, unless its minion was restarted;
//! * every request the master sees is answered (F2);
//! * once the network is well again, everybody is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_proto::keystore::KeyStore;
use salt_proto::master::{Finished, Publication};
use salt_proto::message::AesCommand;
use salt_proto::tracker::Verdict;
use salt_proto::{
    ExchangeId, GCM_TOPIC, Jid, JidLog, Job, JobTracker, MasterCore, MasterEvent, MemoryKeyStore,
    MinionConfig, MinionEvent, MinionId, MinionLink, Profile, RequestId, RequestStep, RetryPolicy,
    Return, Target, Value,
};

use crate::machines::{
    SECOND, Seeded, UNIX, epoch, id, master_config, minion_config, minion_identity, seeded,
};

const MINIONS: usize = 3;
/// How long things go wrong, and how long they may take to become well again.
const TROUBLE: Duration = Duration::from_secs(400);
const RECOVERY: Duration = Duration::from_secs(300);

/// Something that happens at a time.
enum Happening {
    ToMaster {
        minion: usize,
        life: u64,
        exchange: ExchangeId,
        body: Vec<u8>,
    },
    WorkDone {
        life: u64,
        reply_to: ReplyTo,
        finished: Finished,
    },
    ToMinion {
        minion: usize,
        life: u64,
        exchange: ExchangeId,
        body: Vec<u8>,
    },
    Published {
        minion: usize,
        topic: bool,
        body: Bytes,
    },
    JobDone {
        minion: usize,
        life: u64,
        ret: Box<Return>,
    },
    Publish,
    Rotate,
    RestartMaster,
    RestartMinion(usize),
    Delete(usize),
    Accept(usize),
}

#[derive(Clone, Copy)]
struct ReplyTo {
    minion: usize,
    life: u64,
    exchange: ExchangeId,
}

/// How bad the network is, in thousandths.
#[derive(Clone, Copy, Debug)]
struct Network {
    loss: u64,
    repeat: u64,
    /// The longest delay in milliseconds; above a few hundred, things overtake.
    delay: u64,
}

struct Minion {
    id: MinionId,
    link: MinionLink,
    life: u64,
    jobs: JidLog,
    /// How wrong its clock is, in seconds.
    skew: i64,
    /// Requests without an outcome, and the return in each.
    asked: BTreeMap<RequestId, Option<Box<Return>>>,
}

struct Sim {
    seed: u64,
    rng: Seeded,
    start: Instant,
    now: Instant,
    network: Network,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    last: u64,
    master: MasterCore,
    master_life: u64,
    accepted: [bool; MINIONS],
    minions: Vec<Minion>,
    trackers: BTreeMap<Jid, JobTracker>,
    started: BTreeMap<(MinionId, Jid), u64>,
    /// Jobs whose minion was restarted while it worked on them.
    cut_off: BTreeSet<(MinionId, Jid)>,
    counts: BTreeMap<&'static str, u64>,
}

/// Says which seed failed, whatever it was that failed.
struct OnPanic(u64);

impl Drop for OnPanic {
    #[expect(clippy::print_stderr, reason = "the seed must not be lost")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation failed with seed {}", self.0);
        }
    }
}

fn master(seed: u64, life: u64, unix: u64, accepted: &[bool; MINIONS]) -> MasterCore {
    let mut keys = MemoryKeyStore::new();
    for (n, _) in accepted
        .iter()
        .enumerate()
        .filter(|(_, accepted)| **accepted)
    {
        keys.accept(&name(n), minion_identity(n).public_key())
            .unwrap();
    }
    let rng = seeded(seed ^ life << 32);
    MasterCore::new(master_config(), Box::new(keys), rng, unix).unwrap()
}

fn name(n: usize) -> MinionId {
    id(&format!("web{n}"))
}

fn link(seed: u64, n: usize, life: u64, jobs: JidLog) -> MinionLink {
    let mut config = minion_config(name(n).as_str(), n);
    // One of them is an older peer.
    if n == 0 {
        config.profile = Profile::strict().without_aes_gcm();
    }
    config.jobs = jobs;
    config.retry = RetryPolicy {
        reply_timeout: 8 * SECOND,
        tries: 3,
        pause: SECOND,
    };
    MinionLink::new(config, seeded(seed ^ (life << 40) ^ ((n as u64) << 20))).unwrap()
}

impl Sim {
    fn new(seed: u64, network: Network) -> Self {
        let now = epoch();
        let mut rng = Seeded(seed);
        let minions = (0..MINIONS)
            .map(|n| {
                let jobs = JidLog::new(MinionConfig::JOBS_REMEMBERED);
                Minion {
                    id: name(n),
                    link: link(seed, n, 0, jobs.clone()),
                    life: 0,
                    jobs,
                    skew: rng.below(100).cast_signed() - 50,
                    asked: BTreeMap::new(),
                }
            })
            .collect();
        let accepted = [true; MINIONS];
        let mut sim = Self {
            seed,
            rng,
            start: now,
            now,
            network,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            last: 0,
            master: master(seed, 0, UNIX, &accepted),
            master_life: 0,
            accepted,
            minions,
            trackers: BTreeMap::new(),
            started: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            counts: BTreeMap::new(),
        };
        sim.lay_down_trouble();
        sim
    }

    fn lay_down_trouble(&mut self) {
        let seconds = TROUBLE.as_secs();
        for _ in 0..25 {
            let at = self.rng.below(seconds);
            self.at(at, Happening::Publish);
        }
        for _ in 0..4 {
            let at = self.rng.below(seconds);
            self.at(at, Happening::Rotate);
        }
        for _ in 0..2 {
            let at = self.rng.below(seconds);
            self.at(at, Happening::RestartMaster);
            let at = self.rng.below(seconds);
            let minion = self.one();
            self.at(at, Happening::RestartMinion(minion));
        }
        let at = self.rng.below(seconds - 60);
        let minion = self.one();
        self.at(at, Happening::Delete(minion));
        self.at(at + 45, Happening::Accept(minion));
    }

    fn one(&mut self) -> usize {
        usize::try_from(self.rng.below(MINIONS as u64)).unwrap()
    }

    fn at(&mut self, second: u64, what: Happening) {
        self.schedule(self.start + SECOND * u32::try_from(second).unwrap(), what);
    }

    fn after(&mut self, longest_millis: u64, what: Happening) {
        let millis = 1 + self.rng.below(longest_millis);
        self.schedule(self.now + Duration::from_millis(millis), what);
    }

    fn schedule(&mut self, at: Instant, what: Happening) {
        self.last += 1;
        self.queue.push(Reverse((at, self.last)));
        self.happenings.insert(self.last, what);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn unix(&self) -> u64 {
        UNIX + (self.now - self.start).as_secs()
    }

    /// How often a message arrives.
    fn copies(&mut self) -> usize {
        if self.rng.below(1000) < self.network.loss {
            self.count("lost");
            return 0;
        }
        if self.rng.below(1000) < self.network.repeat {
            self.count("repeated");
            return 2;
        }
        1
    }

    fn run(&mut self) {
        let end = self.start + TROUBLE + RECOVERY;
        let mut healed = false;
        loop {
            let happening = self.queue.peek().map(|Reverse((at, _))| *at);
            let timeout = self
                .minions
                .iter()
                .filter_map(|it| it.link.poll_timeout())
                .min();
            let next = happening.into_iter().chain(timeout).min().unwrap_or(end);
            if !healed && next >= self.start + TROUBLE {
                healed = true;
                self.heal();
                continue;
            }
            if next >= end {
                break;
            }
            self.now = self.now.max(next);
            if timeout.is_some_and(|at| at <= self.now) {
                for n in 0..MINIONS {
                    self.minions[n].link.handle_timeout(self.now);
                    self.drive(n);
                }
            }
            if happening.is_some_and(|at| at <= self.now)
                && let Some(Reverse((_, key))) = self.queue.pop()
                && let Some(what) = self.happenings.remove(&key)
            {
                self.happen(what);
            }
        }
        self.now = end;
    }

    /// The network is well from now on, and a last job shows whether all is.
    fn heal(&mut self) {
        self.now = self.now.max(self.start + TROUBLE);
        self.network = Network {
            loss: 0,
            repeat: 0,
            delay: 20,
        };
        for n in 0..MINIONS {
            if !self.accepted[n] {
                self.happen(Happening::Accept(n));
            }
        }
        // By then every wait has ended: 60 s after a failure, and 60 s of a
        // publish that cannot be read.
        self.at((TROUBLE + RECOVERY).as_secs() - 150, Happening::Publish);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::ToMaster {
                minion,
                life,
                exchange,
                body,
            } => {
                self.count("requests");
                let step = self.master.handle_request(&body, self.unix());
                let reply_to = ReplyTo {
                    minion,
                    life,
                    exchange,
                };
                self.step(step, reply_to);
            }
            // A master that was restarted has lost what it worked on.
            Happening::WorkDone { life, .. } if life != self.master_life => {}
            Happening::WorkDone {
                reply_to, finished, ..
            } => {
                let step = self.master.handle_finished(finished, self.unix());
                self.step(step, reply_to);
            }
            Happening::ToMinion {
                minion,
                life,
                exchange,
                body,
            } => {
                if self.minions[minion].life == life {
                    let now = self.now;
                    self.minions[minion].link.handle_reply(exchange, &body, now);
                    self.drive(minion);
                }
            }
            Happening::Published {
                minion,
                topic,
                body,
            } => {
                let topic = topic.then_some(GCM_TOPIC.as_bytes());
                let now = self.now;
                self.minions[minion].link.handle_publish(topic, &body, now);
                self.drive(minion);
            }
            Happening::JobDone { minion, life, ret } => {
                if self.minions[minion].life == life {
                    self.send_return(minion, ret);
                }
            }
            Happening::Publish => self.publish(),
            Happening::Rotate => self.master.rotate_publish_key(self.unix()),
            Happening::RestartMaster => self.restart_master(),
            Happening::RestartMinion(n) => self.restart_minion(n),
            Happening::Delete(n) => {
                self.accepted[n] = false;
                let unix = self.unix();
                self.master.revoke(&name(n), unix).unwrap();
            }
            Happening::Accept(n) => {
                self.accepted[n] = true;
                let key = minion_identity(n).public_key().clone();
                self.master.keys_mut().accept(&name(n), &key).unwrap();
            }
        }
    }

    /// One step of a request on the master, which must end in one reply (F2).
    fn step(&mut self, step: RequestStep, to: ReplyTo) {
        let reply = match step {
            RequestStep::Reply(reply) => reply,
            RequestStep::Work(work) => {
                let finished = work.run(&mut Seeded(self.rng.next()));
                let life = self.master_life;
                let done = Happening::WorkDone {
                    life,
                    reply_to: to,
                    finished,
                };
                self.after(50, done);
                return;
            }
            RequestStep::Load(load) => {
                assert_eq!(load.minion, name(to.minion));
                assert_eq!(load.command, AesCommand::Return);
                let ret = Return::from_map(load.load).unwrap();
                let jid = ret.jid.clone().unwrap();
                match self.trackers.get_mut(&jid).unwrap().handle_return(&ret) {
                    Verdict::First => self.count("returns"),
                    Verdict::Duplicate => self.count("returns again"),
                    // Published while its key was deleted, to everybody.
                    Verdict::Unexpected => self.count("returns nobody asked for"),
                    other => panic!("{other:?}"),
                }
                load.reply.seal(&Value::Null, &mut Seeded(self.rng.next()))
            }
            RequestStep::Operate(_) => panic!("no operator here"),
        };
        self.count("replies");
        while let Some(event) = self.master.poll_event() {
            if let MasterEvent::KeyStoreFailed(error) = event {
                panic!("{error}");
            }
        }
        for _ in 0..self.copies() {
            let body = reply.clone();
            let delay = self.network.delay;
            self.after(
                delay,
                Happening::ToMinion {
                    minion: to.minion,
                    life: to.life,
                    exchange: to.exchange,
                    body,
                },
            );
        }
    }

    /// Sends what the link has to send and takes note of what happened.
    fn drive(&mut self, n: usize) {
        loop {
            let unix = self.unix().saturating_add_signed(self.minions[n].skew);
            let now = self.now;
            while let Some(transmit) = self.minions[n].link.poll_transmit(now, unix) {
                let life = self.minions[n].life;
                for _ in 0..self.copies() {
                    let delay = self.network.delay;
                    let body = transmit.body.clone();
                    let exchange = transmit.exchange;
                    self.after(
                        delay,
                        Happening::ToMaster {
                            minion: n,
                            life,
                            exchange,
                            body,
                        },
                    );
                }
            }
            let Some(event) = self.minions[n].link.poll_event() else {
                return;
            };
            self.note(n, event);
        }
    }

    fn note(&mut self, n: usize, event: MinionEvent) {
        match event {
            MinionEvent::Job(job) => {
                // As a driver does: stored before it starts.
                self.minions[n].jobs = self.minions[n].link.jobs().clone();
                let key = (name(n), job.jid.clone());
                *self.started.entry(key).or_default() += 1;
                self.count("jobs started");
                let done = Happening::JobDone {
                    minion: n,
                    life: self.minions[n].life,
                    ret: Box::new(job.ok(n as u64)),
                };
                self.after(20_000, done);
            }
            MinionEvent::Replied { request, .. } => {
                assert!(
                    self.minions[n].asked.remove(&request).is_some(),
                    "answered twice"
                );
            }
            MinionEvent::Failed { request, .. } => {
                let ret = self.minions[n].asked.remove(&request);
                self.count("requests failed");
                // A return is tried until it arrives.
                if let Some(Some(ret)) = ret {
                    let life = self.minions[n].life;
                    let again = Happening::JobDone {
                        minion: n,
                        life,
                        ret,
                    };
                    self.after(10_000, again);
                }
            }
            MinionEvent::Gap { .. } => self.count("gaps"),
            MinionEvent::Ready { .. } => self.count("sign-ins"),
            MinionEvent::SignInFailed { .. } => self.count("failed sign-ins"),
            MinionEvent::Pending { .. } => self.count("pending"),
            MinionEvent::Dropped(_) => self.count("dropped"),
            _ => {}
        }
    }

    fn send_return(&mut self, n: usize, ret: Box<Return>) {
        let minion = &mut self.minions[n];
        let request = minion.link.request(ret.to_map());
        assert!(minion.asked.insert(request, Some(ret)).is_none());
        self.drive(n);
    }

    fn publish(&mut self) {
        let micros = self.unix() * 1_000_000 + self.trackers.len() as u64;
        let jid = Jid::from_unix_micros(micros);
        let job = Job::new(jid.clone(), "test.ping", vec![], Target::glob("web*"));
        let expected: Vec<MinionId> = self.master.keys().accepted().unwrap();
        let deadline = self.now + 120 * SECOND;
        self.trackers
            .insert(jid, JobTracker::new(expected.clone(), deadline));
        let publication: Publication = self.master.publish(&job, &expected);
        let broadcast = publication.seal(&mut Seeded(self.rng.next())).unwrap();
        self.count("publishes");
        for n in 0..MINIONS {
            // Who subscribed to which form is decided when it connects.
            let wants_gcm = self.minions[n].link.subscriptions() == [GCM_TOPIC.as_bytes()];
            let (topic, body) = match (&broadcast.gcm, wants_gcm) {
                (Some(gcm), true) => (true, gcm),
                _ => (false, &broadcast.classic),
            };
            for _ in 0..self.copies() {
                let body = body.clone();
                let delay = self.network.delay;
                self.after(
                    delay,
                    Happening::Published {
                        minion: n,
                        topic,
                        body,
                    },
                );
            }
        }
    }

    fn restart_master(&mut self) {
        self.master_life += 1;
        self.master = master(self.seed, self.master_life, self.unix(), &self.accepted);
        // Connections break, and the drivers notice.
        for n in 0..MINIONS {
            if self.rng.below(2) == 0 {
                self.minions[n].link.sign_in_again();
                self.drive(n);
            }
        }
    }

    fn restart_minion(&mut self, n: usize) {
        let minion = &mut self.minions[n];
        minion.life += 1;
        minion.link = link(self.seed, n, minion.life, minion.jobs.clone());
        minion.asked.clear();
        let id = minion.id.clone();
        let cut: Vec<_> = self
            .started
            .keys()
            .filter(|(who, jid)| *who == id && !self.has_returned(who, jid))
            .cloned()
            .collect();
        self.cut_off.extend(cut);
        self.drive(n);
    }

    fn has_returned(&self, id: &MinionId, jid: &Jid) -> bool {
        let tracker = &self.trackers[jid];
        tracker
            .returns()
            .chain(tracker.unexpected())
            .any(|ret| ret.id == *id)
    }

    /// What must hold in the end.
    fn check(&self) {
        for ((id, jid), times) in &self.started {
            assert_eq!(*times, 1, "{id} started {jid} {times} times");
            let known =
                self.has_returned(id, jid) || self.cut_off.contains(&(id.clone(), jid.clone()));
            assert!(known, "the return of {id} for {jid} was lost");
        }
        for (jid, tracker) in &self.trackers {
            let returned: BTreeSet<_> = tracker.returns().map(|ret| ret.id.clone()).collect();
            let missing: BTreeSet<_> = tracker.missing().cloned().collect();
            let expected: BTreeSet<_> = tracker.expected().cloned().collect();
            assert!(returned.is_disjoint(&missing));
            assert_eq!(&returned | &missing, expected, "{jid}");
            assert!(tracker.is_done(self.now), "{jid} is still waited for");
            assert_eq!(tracker.conflicts().count(), 0);
        }
        for minion in &self.minions {
            assert!(minion.link.is_ready(), "{} has not come back", minion.id);
            assert!(
                minion.asked.is_empty(),
                "{} has requests without an outcome",
                minion.id
            );
        }
        let (jid, last) = self.trackers.last_key_value().unwrap();
        assert_eq!(
            last.missing().count(),
            0,
            "all are well, and {jid} was not answered"
        );
        assert_eq!(last.returns().count(), MINIONS);
    }
}

fn simulate(seed: u64, network: Network) -> BTreeMap<&'static str, u64> {
    let on_panic = OnPanic(seed);
    let mut sim = Sim::new(seed, network);
    for n in 0..MINIONS {
        sim.drive(n);
    }
    sim.run();
    sim.check();
    drop(on_panic);
    sim.counts
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "shows that something happened")]
fn check(seeds: std::ops::Range<u64>, network: Network) {
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds {
        for (what, times) in simulate(seed, network) {
            *all.entry(what).or_default() += times;
        }
    }
    println!("{network:?}: {all:?}");
    assert!(all["publishes"] > 0 && all["returns"] > 0);
}

// K-08, R-03
#[test]
fn a_good_network_loses_nothing_while_keys_rotate_and_both_ends_restart() {
    check(
        0..3,
        Network {
            loss: 0,
            repeat: 0,
            delay: 50,
        },
    );
}

//
#[test]
fn a_bad_network_loses_no_return_and_starts_no_job_twice() {
    check(
        100..103,
        Network {
            loss: 100,
            repeat: 50,
            delay: 1500,
        },
    );
}

//
#[test]
fn a_terrible_network_is_survived() {
    check(
        200..202,
        Network {
            loss: 350,
            repeat: 200,
            delay: 6000,
        },
    );
}
