//! Published jobs: whether they are the master's, new, and meant for this minion.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use salt_crypto::{PublicKey, Purpose, SessionKey, Signing, Suite};
use sha1::{Digest, Sha1};

use super::{MinionConfig, Session};
use crate::backoff::Backoff;
use crate::envelope::{Enc, Envelope};
use crate::msgpack;
use crate::replay::SerialGuard;
use crate::{Facts, JidLog, Job, Limits, Map, MinionId, Profile, Value};

/// What minions subscribe to that agreed on AES-256-GCM with their master.
///
/// A publisher sends the GCM form of a publish, as two frames with this topic,
/// to whoever subscribed to it, and spares them the classic form. No stock
/// minion subscribes to it or would read a message with such a topic.
pub const GCM_TOPIC: &str = "salt-rs/aes-256-gcm";

const BROADCAST_TOPIC: &str = "broadcast";

/// Why a message was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// A reply to nothing that is waited for: late, or sent twice.
    #[error("a reply nobody waits for")]
    LateReply,
    /// A reply to another request (C-02).
    #[error("a reply with another request's nonce")]
    OtherNonce,
    /// A publish came before the sign-in.
    #[error("a publish before the sign-in")]
    NotSignedIn,
    /// A publish under a topic this minion did not subscribe to.
    #[error("a publish under another topic")]
    OtherTopic,
    /// A publish that is none.
    #[error("an undecodable publish")]
    Malformed,
    /// A publish without a signature, or in the clear (C-03).
    #[error("an unsigned publish")]
    Unsigned,
    /// A publish signed in a way the profile does not accept (C-03, K-07).
    #[error("a publish with an unacceptable signature algorithm")]
    Algorithm,
    /// A publish with a signature that is not the master's over these bytes (C-03).
    #[error("a publish with a bad signature")]
    BadSignature,
    /// A publish under a key that was not handed out even after another sign-in.
    #[error("a publish sealed with an unknown key")]
    UnknownKey,
    /// A publish without a place in the order of publishes.
    #[error("a publish without a serial")]
    NoSerial,
    /// A publish that is not newer than the last one (F6).
    #[error("an old publish")]
    OldSerial,
    /// A job that was started already, or is too old to tell.
    #[error("a repeated job")]
    Repeated,
    /// A publish that had to wait for a sign-in, when that took too long or ended
    /// with the minion not being served.
    #[error("a publish waited too long for a sign-in")]
    TooLate,
    /// A publish that had to wait for a sign-in, when too many did.
    #[error("too many publishes wait for a sign-in")]
    TooMany,
}

/// What became of a publish.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) missed: Option<u64>,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Job(Box<Job>),
    NotMeant,
    /// Signed by the master and yet sealed with an unknown key: it waits for new keys.
    Held,
    Dropped(Dropped),
}

impl From<Outcome> for Opened {
    fn from(outcome: Outcome) -> Self {
        Self {
            missed: None,
            outcome,
        }
    }
}

impl From<Dropped> for Opened {
    fn from(reason: Dropped) -> Self {
        Outcome::Dropped(reason).into()
    }
}

pub(super) struct Publications {
    id: MinionId,
    own_topic: String,
    filtering: bool,
    profile: Profile,
    limits: Limits,
    jobs: JidLog,
    serials: SerialGuard<String>,
    grains: Map,
    pillar: Map,
    /// The publish key before the current one, and how long it still counts:
    /// publishes on their way when the key was rotated are not lost.
    former: Option<(SessionKey, Instant)>,
    current: Option<SessionKey>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Spaces the sign-ins that unreadable publishes cause, or whoever recorded
    /// one could keep the minion signing in for ever.
    backoff: Backoff,
    keys_wanted_at: Option<Instant>,
}

struct Held {
    /// Whether others may have been filtered out.
    filtered: bool,
    body: Vec<u8>,
    /// When it is too late to run what it says.
    until: Instant,
}

impl Publications {
    /// How long publishes under the key before the current one are read.
    const FORMER_KEY: Duration = Duration::from_secs(60);
    /// How long a publish waits for a sign-in. A job should not start out of the
    /// blue, long after whoever published it gave up.
    const HELD: Duration = Duration::from_secs(120);
    const MAX_HELD: usize = 256;
    const MAX_HELD_BYTES: usize = 4 << 20;

    pub(super) fn new(config: &MinionConfig) -> Self {
        Self {
            id: config.id.clone(),
            own_topic: topic_of(&config.id),
            filtering: config.filtering,
            profile: config.profile,
            limits: config.limits,
            jobs: config.jobs.clone(),
            serials: SerialGuard::new(),
            grains: Map::new(),
            pillar: Map::new(),
            former: None,
            current: None,
            held: VecDeque::new(),
            held_bytes: 0,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            keys_wanted_at: None,
        }
    }

    pub(super) fn jobs(&self) -> &JidLog {
        &self.jobs
    }

    pub(super) fn set_facts(&mut self, grains: Map, pillar: Map) {
        self.grains = grains;
        self.pillar = pillar;
    }

    pub(super) fn subscriptions(&self, suite: Suite) -> Vec<Vec<u8>> {
        let mut topics = Vec::new();
        if suite == Suite::Aes256Gcm {
            topics.push(GCM_TOPIC.into());
        }
        if self.filtering {
            topics.push(BROADCAST_TOPIC.into());
            topics.push(self.own_topic.clone().into());
        } else if topics.is_empty() {
            topics.push(Vec::new());
        }
        topics
    }

    /// When a sign-in is wanted that had to be put off.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.keys_wanted_at
    }

    /// Whether publishes wait for new keys, and it is time to get them.
    pub(super) fn wants_keys(&mut self, now: Instant) -> bool {
        let due = self.keys_wanted_at.is_some_and(|at| at <= now);
        if due {
            self.keys_wanted_at = None;
        }
        due
    }

    /// The master serves this minion no longer: what waits for keys was not for it.
    pub(super) fn forget_held(&mut self) -> usize {
        self.held_bytes = 0;
        self.keys_wanted_at = None;
        self.held.drain(..).count()
    }

    /// Takes over the publish key of a sign-in.
    pub(super) fn handle_keys(&mut self, publish: &SessionKey, now: Instant) {
        let rotated = self
            .current
            .as_ref()
            .is_some_and(|current| !current.ct_eq(publish));
        if rotated {
            self.former = self.current.take().map(|key| (key, now + Self::FORMER_KEY));
        }
        self.current = Some(publish.clone());
        self.keys_wanted_at = None;
    }

    /// Judges a message from the publish connection.
    pub(super) fn handle(
        &mut self,
        topic: Option<&[u8]>,
        body: &[u8],
        session: Option<&Session>,
        now: Instant,
        random: &mut dyn FnMut() -> u64,
    ) -> Opened {
        // Subscriptions are prefixes, so other topics can arrive.
        let ours = [BROADCAST_TOPIC, &self.own_topic, GCM_TOPIC];
        if topic.is_some_and(|topic| !ours.iter().any(|it| it.as_bytes() == topic)) {
            return Dropped::OtherTopic.into();
        }
        // Those for others were filtered out then: gaps mean nothing.
        let filtered = self.filtering || topic.is_some_and(|topic| topic != GCM_TOPIC.as_bytes());
        match self.read(filtered, body, session, now) {
            Err(Dropped::UnknownKey) => {
                if self.held.len() >= Self::MAX_HELD
                    || self.held_bytes + body.len() > Self::MAX_HELD_BYTES
                {
                    return Dropped::TooMany.into();
                }
                self.held_bytes += body.len();
                self.held.push_back(Held {
                    filtered,
                    body: body.to_vec(),
                    until: now + Self::HELD,
                });
                if self.keys_wanted_at.is_none() {
                    let wait = match self.backoff.attempts() {
                        0 => Duration::ZERO,
                        _ => self.backoff.next_wait(random),
                    };
                    self.keys_wanted_at = Some(now + wait);
                }
                Outcome::Held.into()
            }
            Err(reason) => reason.into(),
            Ok(opened) => opened,
        }
    }

    /// Reads again, with new keys, what could not be read before.
    pub(super) fn retry(
        &mut self,
        session: Option<&Session>,
        now: Instant,
        random: &mut dyn FnMut() -> u64,
    ) -> Vec<Opened> {
        self.held_bytes = 0;
        let mut useless = false;
        let opened = std::mem::take(&mut self.held)
            .into_iter()
            .map(|held| {
                if held.until <= now {
                    return Dropped::TooLate.into();
                }
                self.read(held.filtered, &held.body, session, now)
                    .unwrap_or_else(|reason| {
                        useless |= reason == Dropped::UnknownKey;
                        reason.into()
                    })
            })
            .collect();
        if useless {
            // The next unreadable publish waits before it causes a sign-in.
            let _started = self.backoff.next_wait(random);
        } else {
            self.backoff.reset();
        }
        opened
    }

    fn read(
        &mut self,
        filtered: bool,
        body: &[u8],
        session: Option<&Session>,
        now: Instant,
    ) -> Result<Opened, Dropped> {
        let session = session.ok_or(Dropped::NotSignedIn)?;
        let publish = Envelope::parse(body, &self.limits).map_err(|_| Dropped::Malformed)?;
        if publish.enc != Enc::Aes {
            return Err(Dropped::Unsigned);
        }
        let sealed = publish.load_bytes().map_err(|_| Dropped::Malformed)?;
        self.verify(&publish, sealed, &session.master)?;

        let (mut load, key) = self.open(sealed, session, now)?;
        let serial = load.remove("serial");
        let missed = match serial.as_ref().and_then(unsigned) {
            Some(serial) => self
                .serials
                .admit(key, serial)
                .map_err(|_old| Dropped::OldSerial)?,
            // Clusters of stock masters do not number their publishes.
            None if serial.is_none() && !self.profile.is_strict() => 0,
            None => return Err(Dropped::NoSerial),
        };
        Ok(Opened {
            missed: (missed > 0 && !filtered).then_some(missed),
            outcome: self.judge(load),
        })
    }

    /// The master's signature, by an algorithm of our list (C-03).
    fn verify(
        &self,
        publish: &Envelope<'_>,
        sealed: &[u8],
        master: &PublicKey,
    ) -> Result<(), Dropped> {
        let (Some(signature), Some(name)) = (publish.sig, publish.sig_algo) else {
            return Err(Dropped::Unsigned);
        };
        let algorithm = Signing::ALL
            .into_iter()
            .filter(|algorithm| self.profile.accepts_signing(*algorithm))
            .find(|algorithm| algorithm.name() == name)
            .ok_or(Dropped::Algorithm)?;
        master
            .verify(algorithm, sealed, signature)
            .map_err(|_| Dropped::BadSignature)
    }

    /// Opens with the current key, or the one before it. Returns the load and
    /// what names the key.
    fn open(
        &mut self,
        sealed: &[u8],
        session: &Session,
        now: Instant,
    ) -> Result<(Map, String), Dropped> {
        if self.former.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.former = None;
        }
        let former = self.former.as_ref().map(|(key, _)| key);
        let mut plain = Vec::with_capacity(sealed.len());
        for key in [Some(&session.keys.publish), former].into_iter().flatten() {
            let Ok(opened) = key.open(Purpose::Publish, None, sealed, &mut plain) else {
                continue;
            };
            let message = opened.body.and_then(|range| plain.get(range));
            let load = message.and_then(|it| msgpack::decode(it, &self.limits).ok());
            return match load {
                Some(Value::Map(load)) => Ok((load, key.sha256_hex())),
                _ => Err(Dropped::Malformed),
            };
        }
        Err(Dropped::UnknownKey)
    }

    fn judge(&mut self, load: Map) -> Outcome {
        let Ok(mut job) = Job::from_map(load) else {
            return Outcome::Dropped(Dropped::Malformed);
        };
        let facts = Facts {
            id: self.id.as_str(),
            grains: &self.grains,
            pillar: &self.pillar,
            nodegroups: &Map::new(),
        };
        if !job.target.matches(&facts) {
            return Outcome::NotMeant;
        }
        if !self.jobs.admit(&job.jid) {
            return Outcome::Dropped(Dropped::Repeated);
        }
        job.minion = Some(self.id.clone());
        Outcome::Job(Box::new(job))
    }
}

fn unsigned(serial: &Value) -> Option<u64> {
    match serial {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::UInt(n) => Some(*n),
        _ => None,
    }
}

/// The topic of publishes for one minion (`zmq_filtering`): its id's SHA-1.
pub(crate) fn topic_of(id: &MinionId) -> String {
    use std::fmt::Write as _;

    Sha1::digest(id.as_str())
        .iter()
        .fold(String::with_capacity(40), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
}
