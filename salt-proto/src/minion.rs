//! The minion's half of one relationship with a master.
//!
//! [`MinionLink`] signs in until it is accepted, seals requests and opens their
//! replies, checks and opens published jobs. It does no IO, reads no clock and
//! owns no randomness: a driver hands in bytes and the time, and carries out
//! what the `poll_*` functions say.
//!
//! ```text
//!  request ─┐                              ┌─► poll_transmit   bytes to send, each with
//!  handle_reply ───┐                       │                   the exchange its reply names
//!  handle_no_reply ├──►  MinionLink  ──────┼─► poll_event      what happened
//!  handle_publish ─┤                       │
//!  handle_timeout ─┘                       └─► poll_timeout    when to call handle_timeout
//! ```
//!
//! After any input a driver sends what `poll_transmit` yields until it yields
//! nothing, takes the events the same way, and sleeps until the next input or
//! `poll_timeout`. A connection carries one exchange at a time over ZeroMQ; when
//! an exchange ends without a reply, the driver says so and closes the
//! connection, since a late reply would otherwise answer the next exchange.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use salt_crypto::handshake::Keys;
use salt_crypto::{CryptoRng, Encryption, Identity, Nonce, PublicKey, Purpose, Signing, Suite};

use crate::envelope;
use crate::msgpack::{self, Dialect};
use crate::requests::{ExchangeId, RequestId, Requests, RetryPolicy};
use crate::{JidLog, Job, Limits, Map, MinionId, Profile, Value};

mod authentication;
mod publication;
mod reply;

use authentication::{Answer, SignIn};
pub use authentication::{MasterTrust, SignInError, Waits};
use publication::Publications;
pub(crate) use publication::topic_of;
pub use publication::{Dropped, GCM_TOPIC};

/// What a [`MinionLink`] is made from.
///
/// [`new`](Self::new) fills everything but the necessary with defaults.
#[derive(Debug)]
pub struct MinionConfig {
    /// The minion's name.
    pub id: MinionId,
    /// The minion's key.
    pub identity: Identity,
    /// What is known of the master before the first contact.
    pub master: MasterTrust,
    /// The key that vouches for the master's (`verify_master_pubkey_sign`): with
    /// it every master key has to come with its signature, and a differing
    /// master key that has one replaces the stored one. Default: none.
    pub master_signing_key: Option<PublicKey>,
    /// What is insisted on. Default: [`Profile::strict`].
    pub profile: Profile,
    /// How keys travel (`encryption_algorithm`). Default: OAEP-SHA224, which
    /// all supported stock masters accept.
    pub encryption: Encryption,
    /// How the master's answers have to be signed, and how returns are
    /// (`signing_algorithm`). Default: PKCS1v15-SHA224, which all supported
    /// stock masters accept.
    pub signing: Signing,
    /// Whether loads are signed (`minion_sign_messages`). Default: no.
    pub sign_messages: bool,
    /// Whether the master is known to choose session suites, so that an answer
    /// without the choice is not from it. Default: no. After the first sign-in
    /// the link remembers it by itself; [`MinionEvent::Ready`] says what to store.
    pub master_chooses_suites: bool,
    /// Whether to subscribe only to what concerns this minion (`zmq_filtering`,
    /// which the master has to use too). Gaps are not reported then. Default: no.
    pub filtering: bool,
    /// Grains to send for the master's auto-signing (`autosign_grains`). Default: none.
    pub autosign_grains: Map,
    /// The jobs started in former lives of this minion. Default: none.
    pub jobs: JidLog,
    /// How long is waited between sign-ins.
    pub waits: Waits,
    /// How often requests are sent, and how long their replies are awaited.
    pub retry: RetryPolicy,
    /// How much of a message is believed.
    pub limits: Limits,
}

impl MinionConfig {
    /// How many started jobs a minion remembers one by one.
    pub const JOBS_REMEMBERED: usize = 1000;

    /// The defaults for a minion.
    pub fn new(id: MinionId, identity: Identity, master: MasterTrust) -> Self {
        Self {
            id,
            identity,
            master,
            master_signing_key: None,
            profile: Profile::default(),
            encryption: Encryption::OaepSha224,
            signing: Signing::Pkcs1v15Sha224,
            sign_messages: false,
            master_chooses_suites: false,
            filtering: false,
            autosign_grains: Map::new(),
            jobs: JidLog::new(Self::JOBS_REMEMBERED),
            waits: Waits::default(),
            retry: RetryPolicy::default(),
            limits: Limits::default(),
        }
    }
}

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MinionError {
    /// Nothing says which master is meant (K-09).
    ///
    /// Tell the minion the fingerprint of the master's key, or give it the key.
    #[error(
        "no key, fingerprint or signing key of the master is known, and the profile `{profile}` does not trust on first use"
    )]
    MasterNotPinned {
        /// The profile that refuses.
        profile: &'static str,
    },
    /// The configured algorithms are not accepted under the profile (K-07).
    #[error("the profile `{profile}` does not accept {algorithm}")]
    Algorithm {
        /// The profile that refuses.
        profile: &'static str,
        /// The wire name of the algorithm.
        algorithm: &'static str,
    },
    /// The minion's key could not be used.
    #[error("the minion's key cannot be used")]
    Identity(#[from] salt_crypto::Error),
}

/// Something to send, of which one reply is expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To be handed back with the reply, or its absence.
    pub exchange: ExchangeId,
    /// An encoded request envelope.
    pub body: Vec<u8>,
}

/// What a request came to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The master refused it twice, with a sign-in in between.
    #[error("the master refused the request{}", quoted(.answer))]
    Refused {
        /// What it said in the clear: unauthenticated, for the log.
        answer: Option<String>,
    },
    /// No reply came, in the last of all tries.
    #[error("no reply")]
    TimedOut,
    /// The master does not accept this minion's key.
    #[error("the master rejects this minion's key")]
    Rejected,
    /// An authentic reply that is not what such a request is answered with.
    #[error("unusable reply")]
    Unusable,
    /// The request could not be sealed.
    #[error("the request could not be made")]
    Seal(#[source] salt_crypto::Error),
}

fn quoted(answer: &Option<String>) -> String {
    answer
        .as_ref()
        .map(|answer| format!(" ({answer})"))
        .unwrap_or_default()
}

/// What happened to a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum MinionEvent {
    /// Signed in: publishes can be received and requests are sent.
    Ready {
        /// Where the master publishes.
        publish_port: u16,
        /// How messages are sealed from now on.
        suite: Suite,
        /// Whether this was the first time. Later ones follow a rotated key, a
        /// lost connection or a restarted master.
        first: bool,
        /// The master takes part in choosing suites. Store this beside its key
        /// and set [`MinionConfig::master_chooses_suites`] next time.
        master_chooses_suites: bool,
    },
    /// The master has the key and nobody decided about it yet; asked again after `wait`.
    Pending {
        /// The time until the next attempt.
        wait: Duration,
    },
    /// The master refuses the key. Requests under way have failed.
    Rejected {
        /// Whether the answer was signed by the known master.
        verified: bool,
        /// The time until the next attempt, if there will be one.
        wait: Option<Duration>,
    },
    /// The master serves as many minions as it wants to.
    Full {
        /// The time until the next attempt.
        wait: Duration,
    },
    /// The sign-in failed for another reason; tried again after `wait`.
    SignInFailed {
        /// What was wrong.
        error: SignInError,
        /// The time until the next attempt.
        wait: Duration,
    },
    /// This is the master's key: store it. It is the only one accepted from now on.
    MasterKeyLearned {
        /// The key.
        key: PublicKey,
        /// Whether it takes the place of another (`verify_master_pubkey_sign`).
        replaced: bool,
    },
    /// A request was answered.
    Replied {
        /// Which.
        request: RequestId,
        /// The answer.
        value: Value,
    },
    /// A request will not be answered.
    Failed {
        /// Which.
        request: RequestId,
        /// Why.
        error: RequestError,
    },
    /// A job to run, published by the master, meant for this minion, never seen
    /// before. Store [`MinionLink::jobs`] before it starts.
    Job(Box<Job>),
    /// Publishes were missed.
    Gap {
        /// How many.
        missed: u64,
    },
    /// A message was thrown away.
    Dropped(Dropped),
}

/// The minion's half of one relationship with a master. See the [module](self).
pub struct MinionLink {
    config: MinionConfig,
    rng: Box<dyn CryptoRng + Send>,
    token: Vec<u8>,
    sign_in: SignIn,
    session: Option<Session>,
    /// Counts sign-ins, so that a reply under old keys is known as such.
    generation: u64,
    requests: Requests<Pending>,
    publications: Publications,
    events: VecDeque<MinionEvent>,
}

#[derive(Debug)]
struct Session {
    keys: Keys,
    suite: Suite,
    master: PublicKey,
}

#[derive(Debug)]
struct Pending {
    load: Map,
    attempt: Option<Attempt>,
    /// Whether the master refused it once already.
    refused: bool,
}

#[derive(Debug)]
struct Attempt {
    nonce: Nonce,
    generation: u64,
}

impl Pending {
    /// Private answers come in a box of their own.
    fn is_private(&self) -> bool {
        self.load.str("cmd") == Some("_pillar")
    }
}

impl MinionLink {
    /// A link that will sign in as soon as it is polled.
    ///
    /// # Errors
    /// [`MinionError::MasterNotPinned`] if nothing says which master is meant,
    /// [`MinionError::Algorithm`] if the profile excludes the configured
    /// algorithms.
    pub fn new(
        config: MinionConfig,
        mut rng: Box<dyn CryptoRng + Send>,
    ) -> Result<Self, MinionError> {
        let profile = config.profile;
        for (accepted, algorithm) in [
            (
                profile.accepts_encryption(config.encryption),
                config.encryption.name(),
            ),
            (
                profile.accepts_signing(config.signing),
                config.signing.name(),
            ),
        ] {
            if !accepted {
                return Err(MinionError::Algorithm {
                    profile: profile.name(),
                    algorithm,
                });
            }
        }
        let unknown = matches!(config.master, MasterTrust::Unknown);
        if unknown && config.master_signing_key.is_none() && !profile.trusts_on_first_use() {
            return Err(MinionError::MasterNotPinned {
                profile: profile.name(),
            });
        }
        let token = salt_crypto::token::prove(&config.identity, rng.as_mut())?;
        Ok(Self {
            token,
            sign_in: SignIn::new(&config, rng.as_mut()),
            session: None,
            generation: 0,
            requests: Requests::new(config.retry),
            publications: Publications::new(&config),
            events: VecDeque::new(),
            rng,
            config,
        })
    }

    /// The minion's name.
    pub fn id(&self) -> &MinionId {
        &self.config.id
    }

    /// The master's key, once it is known.
    pub fn master_key(&self) -> Option<&PublicKey> {
        self.sign_in.known_master()
    }

    /// Whether the link is signed in.
    pub fn is_ready(&self) -> bool {
        self.session.is_some()
    }

    /// The jobs that were started, to be stored whenever [`MinionEvent::Job`] comes.
    pub fn jobs(&self) -> &JidLog {
        self.publications.jobs()
    }

    /// Sets what targets are matched against.
    pub fn set_facts(&mut self, grains: Map, pillar: Map) {
        self.publications.set_facts(grains, pillar);
    }

    /// What to subscribe to on a ZeroMQ publish connection, known once the link
    /// is ready.
    pub fn subscriptions(&self) -> Vec<Vec<u8>> {
        let suite = self.session.as_ref().map_or(Suite::Classic, |it| it.suite);
        self.publications.subscriptions(suite)
    }

    /// What a `tcp` minion says after connecting to the publish port: an
    /// encoded envelope. `None` while not signed in.
    pub fn announcement(&mut self) -> Option<Vec<u8>> {
        let session = self.session.as_ref()?;
        let load = Map::from([
            ("id", Value::from(&self.config.id)),
            ("tok", Value::from(self.token.as_slice())),
        ]);
        let mut plain = Vec::with_capacity(512);
        msgpack::encode_map(&load, Dialect::Raw, &mut plain);
        let mut sealed = Vec::with_capacity(plain.len() + 80);
        session.keys.publish.seal(
            session.suite,
            Purpose::Announce,
            None,
            &plain,
            self.rng.as_mut(),
            &mut sealed,
        );
        let mut body = Vec::with_capacity(sealed.len() + 32);
        envelope::announcement(&sealed, &mut body);
        Some(body)
    }

    /// Takes up a request; it goes out when the link is signed in.
    ///
    /// `load` holds `cmd` and the command's own fields. `nonce`, `ts`, `tok`,
    /// `id` and `sig` are the link's to set.
    pub fn request(&mut self, mut load: Map) -> RequestId {
        for key in ["nonce", "ts", "tok", "sig"] {
            load.remove(key);
        }
        // An id the caller put in keeps its place: signatures cover the order.
        load.insert("id", &self.config.id);
        self.requests.add(Pending {
            load,
            attempt: None,
            refused: false,
        })
    }

    /// Forgets a request: no event will tell about it.
    pub fn cancel(&mut self, request: RequestId) {
        self.requests.finish(request);
    }

    /// Signs in again, for instance because the publish connection was lost:
    /// the master may be another process now, with other keys.
    pub fn sign_in_again(&mut self) {
        self.sign_in.start();
    }

    /// A reply came in.
    pub fn handle_reply(&mut self, exchange: ExchangeId, body: &[u8], now: Instant) {
        if self.sign_in.is_waiting_for(exchange) {
            let answer = self
                .sign_in
                .handle_answer(body, &self.config, self.rng.as_mut());
            self.handle_sign_in(answer, now);
            return;
        }
        let Some(request) = self.requests.request_of(exchange) else {
            self.drop_message(Dropped::LateReply);
            return;
        };
        match self.open_reply(request, body) {
            Ok(value) => {
                self.requests.finish(request);
                self.events
                    .push_back(MinionEvent::Replied { request, value });
            }
            Err(reply::Unopened::OtherNonce) => {
                // Authentic, but the answer to something else: as good as none.
                self.drop_message(Dropped::OtherNonce);
                self.handle_no_reply(exchange, now);
            }
            Err(reply::Unopened::Unusable) => {
                self.fail(request, RequestError::Unusable);
            }
            Err(reply::Unopened::Refused { answer }) => {
                self.handle_refusal(request, answer);
            }
        }
    }

    /// An exchange ended without a reply: a time limit of the driver's, a lost connection.
    pub fn handle_no_reply(&mut self, exchange: ExchangeId, now: Instant) {
        if self.sign_in.is_waiting_for(exchange) {
            self.handle_sign_in(Err(SignInError::NoAnswer), now);
        } else if let Some((request, _)) = self.requests.handle_no_reply(exchange, now) {
            self.report_failure(request, RequestError::TimedOut);
        }
    }

    /// A message came over the publish connection.
    ///
    /// `topic` is the first frame of a ZeroMQ message of two; `body` is the
    /// encoded publish envelope. Of a `ws` message, that is the content of the
    /// byte string it consists of; of a `tcp` message, the content of `body`.
    pub fn handle_publish(&mut self, topic: Option<&[u8]>, body: &[u8], now: Instant) {
        let session = self.session.as_ref();
        let rng = self.rng.as_mut();
        let random = &mut || rng.next_u64();
        let opened = self.publications.handle(topic, body, session, now, random);
        self.handle_opened(opened, now);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.sign_in.handle_timeout(now) {
            self.handle_sign_in(Err(SignInError::NoAnswer), now);
        }
        for (request, _) in self.requests.handle_timeout(now) {
            self.report_failure(request, RequestError::TimedOut);
        }
        if self.publications.wants_keys(now) {
            self.sign_in.start();
        }
    }

    /// The next message to send on the request connection.
    ///
    /// `unix_time` is the wall clock in seconds since 1970, for the time stamp.
    pub fn poll_transmit(&mut self, now: Instant, unix_time: u64) -> Option<Transmit> {
        if self.sign_in.is_due() {
            let exchange = self.requests.exchange();
            match self
                .sign_in
                .offer(exchange, &self.config, self.rng.as_mut(), now)
            {
                Ok(body) => return Some(Transmit { exchange, body }),
                Err(error) => self.handle_sign_in(Err(error), now),
            }
        }
        while !self.sign_in.is_busy() && self.session.is_some() {
            let (request, exchange, _) = self.requests.next_ready(now)?;
            match self.seal_request(request, unix_time) {
                Ok(body) => return Some(Transmit { exchange, body }),
                Err(error) => self.fail(request, RequestError::Seal(error)),
            }
        }
        None
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<MinionEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.sign_in.poll_timeout(),
            self.requests.poll_timeout(),
            self.publications.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_sign_in(&mut self, answer: Result<Answer, SignInError>, now: Instant) {
        match answer {
            Ok(Answer::Granted(granted)) => {
                if let Some(replaced) = granted.learned {
                    let key = granted.master.clone();
                    self.events
                        .push_back(MinionEvent::MasterKeyLearned { key, replaced });
                }
                let first = self.generation == 0;
                self.generation += 1;
                self.publications.handle_keys(&granted.keys.publish, now);
                self.session = Some(Session {
                    keys: granted.keys,
                    suite: granted.suite,
                    master: granted.master,
                });
                self.events.push_back(MinionEvent::Ready {
                    publish_port: granted.publish_port,
                    suite: granted.suite,
                    first,
                    master_chooses_suites: granted.master_chooses_suites,
                });
                let rng = self.rng.as_mut();
                let session = self.session.as_ref();
                let retried = self
                    .publications
                    .retry(session, now, &mut || rng.next_u64());
                for opened in retried {
                    self.handle_opened(opened, now);
                }
            }
            Ok(Answer::Pending { verified }) => {
                if verified {
                    self.end_session();
                }
                let wait = self.sign_in.wait_as_pending(self.rng.as_mut(), now);
                self.events.push_back(MinionEvent::Pending { wait });
            }
            Ok(Answer::Full) => {
                let wait = self.sign_in.wait_as_pending(self.rng.as_mut(), now);
                self.events.push_back(MinionEvent::Full { wait });
            }
            Ok(Answer::Rejected { verified }) => {
                if verified {
                    self.end_session();
                }
                let wait = self.sign_in.wait_as_rejected(self.rng.as_mut(), now);
                self.events
                    .push_back(MinionEvent::Rejected { verified, wait });
                for (request, _) in self.requests.drain() {
                    self.events.push_back(MinionEvent::Failed {
                        request,
                        error: RequestError::Rejected,
                    });
                }
            }
            Err(error) => {
                let wait = self.sign_in.wait_after_failure(self.rng.as_mut(), now);
                self.events
                    .push_back(MinionEvent::SignInFailed { error, wait });
            }
        }
    }

    fn end_session(&mut self) {
        self.session = None;
        for _ in 0..self.publications.forget_held() {
            self.drop_message(Dropped::TooLate);
        }
    }

    /// The master could not or would not open a request, or we not its reply:
    /// the keys are old. The request is kept and sent once more after a sign-in.
    fn handle_refusal(&mut self, request: RequestId, answer: Option<String>) {
        let current = self.generation;
        let Some(pending) = self.requests.payload_mut(request) else {
            return;
        };
        if pending.refused {
            self.fail(request, RequestError::Refused { answer });
            return;
        }
        pending.refused = true;
        let under_current_keys = pending
            .attempt
            .take()
            .is_some_and(|attempt| attempt.generation == current);
        self.requests.send_again(request);
        if under_current_keys {
            self.sign_in.start();
        }
    }

    fn handle_opened(&mut self, opened: publication::Opened, now: Instant) {
        if let Some(missed) = opened.missed {
            self.events.push_back(MinionEvent::Gap { missed });
        }
        match opened.outcome {
            publication::Outcome::Job(job) => self.events.push_back(MinionEvent::Job(job)),
            publication::Outcome::NotMeant => {}
            publication::Outcome::Held => {
                if self.publications.wants_keys(now) {
                    self.sign_in.start();
                }
            }
            publication::Outcome::Dropped(reason) => self.drop_message(reason),
        }
    }

    fn fail(&mut self, request: RequestId, error: RequestError) {
        self.requests.finish(request);
        self.report_failure(request, error);
    }

    fn report_failure(&mut self, request: RequestId, error: RequestError) {
        self.events
            .push_back(MinionEvent::Failed { request, error });
    }

    fn drop_message(&mut self, reason: Dropped) {
        // A flood of bad messages must not become a flood of memory.
        const ENOUGH: usize = 1024;
        if self.events.len() < ENOUGH {
            self.events.push_back(MinionEvent::Dropped(reason));
        }
    }
}

impl std::fmt::Debug for MinionLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MinionLink")
            .field("id", &self.config.id)
            .field("ready", &self.is_ready())
            .field("requests", &self.requests.len())
            .finish_non_exhaustive()
    }
}
