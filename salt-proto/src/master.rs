//! The master's half, for all its minions.
//!
//! [`MasterCore`] decides about keys, hands out session keys, opens and
//! authorises requests, and numbers, seals and signs publishes. It does no IO
//! and reads no clock. What is expensive, above all RSA, it hands out as
//! [`Work`] that needs no access to the core and can run on another thread:
//!
//! ```text
//!  bytes ─► handle_request ─► RequestStep::Reply(bytes)    send them
//!                │            RequestStep::Load(load)      act, then load.reply.seal(value)
//!                │            RequestStep::Operate(op)     act, then op.reply(value)
//!                └──────────► RequestStep::Work(work) ─► work.run(rng) ─► handle_finished ─┐
//!                                        ▲───────────────────────── a RequestStep again ◄──┘
//!
//!  job ──► publish ─► Publication ─► seal(rng) ─► Broadcast   send in the order of publish
//! ```
//!
//! Every request ends in exactly one reply (F2), whatever was in it. What the
//! driver has to store or tell comes out of [`MasterCore::poll_event`].
//!
//! A minion signs in, without a network between the two:
//!
//! ```
//! use std::time::Instant;
//!
//! use salt_proto::{
//!     MasterConfig, MasterCore, MasterTrust, MemoryKeyStore, MinionConfig, MinionEvent,
//!     MinionLink, RequestStep,
//! };
//! # use salt_crypto::Identity;
//! # let rng = || Box::new(rand_core::UnwrapErr(getrandom::SysRng));
//! # let master_key = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/checks/master.pem"));
//! # let minion_key = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/checks/minion.pem"));
//! # let (master_key, minion_key) = (Identity::from_pem(master_key, None)?, Identity::from_pem(minion_key, None)?);
//! # let (now, unix_time) = (Instant::now(), 1_795_308_466);
//!
//! let store = Box::new(MemoryKeyStore::new());
//! let pinned = MasterTrust::Pinned(master_key.public_key().clone());
//! let accepted = minion_key.public_key().clone();
//! let mut master = MasterCore::new(MasterConfig::new(master_key), store, rng(), unix_time)?;
//! let mut minion = MinionLink::new(MinionConfig::new("web1".parse()?, minion_key, pinned), rng())?;
//! master.keys_mut().accept(minion.id(), &accepted)?;
//!
//! let offer = minion.poll_transmit(now, unix_time).expect("a minion begins by signing in");
//! let mut step = master.handle_request(&offer.body, unix_time);
//! while let RequestStep::Work(work) = step {
//!     step = master.handle_finished(work.run(&mut *rng()), unix_time);
//! }
//! let RequestStep::Reply(answer) = step else { panic!("a sign-in is answered") };
//! minion.handle_reply(offer.exchange, &answer, now);
//!
//! assert!(matches!(minion.poll_event(), Some(MinionEvent::Ready { publish_port: 4505, .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use salt_crypto::{CryptoRng, Identity, PublicKey, Purpose, SessionKey, Signing};

use crate::envelope::{Enc, Envelope, EnvelopeError};
use crate::event::{self, Event};
use crate::keystore::{KeyState, KeyStore, KeyStoreError};
use crate::msgpack::{self, Dialect};
use crate::replay::NonceWindow;
use crate::{Job, Limits, Map, MinionId, Profile, Value};

mod authentication;
mod clear;
mod operator;
mod peer;
mod publication;
mod requests;
mod sessions;
mod work;

pub use clear::{Operation, OperationKind};
pub use operator::{Operator, OperatorKeys};
pub use peer::{BadPattern, PeerRule, PeerRules};
pub use publication::{Broadcast, Publication, Recipient};
pub use requests::{Authorised, ReplyTicket};
pub use work::{Finished, Work};

use publication::PublishKey;
use sessions::Sessions;
use work::Shared;

/// What a [`MasterCore`] is made from.
///
/// [`new`](Self::new) fills everything but the necessary with defaults.
#[derive(Debug)]
pub struct MasterConfig {
    /// The master's key.
    pub identity: Identity,
    /// The key that signs the master's (`master_sign_pubkey`). Default: none.
    pub signing_identity: Option<Identity>,
    /// What is insisted on. Default: [`Profile::strict`].
    pub profile: Profile,
    /// The port told to minions (`publish_port`). Default: 4505.
    pub publish_port: u16,
    /// How publishes are signed (`publish_signing_algorithm`). Default:
    /// PKCS1v15-SHA224, which all supported stock minions can verify.
    pub publish_signing: Signing,
    /// The publish key to start with. Default: none, so a fresh one; minions
    /// sign in again then.
    pub publish_key: Option<SessionKey>,
    /// Who may publish and run things. Default: nobody.
    pub operators: OperatorKeys,
    /// Which minions may publish to which others (`peer`). Default: none.
    pub peers: PeerRules,
    /// Which minions may start runners (`peer_run`). Default: none.
    pub peer_runners: PeerRules,
    /// How many minions may be signed in at once (`max_minions`); 0 is any number.
    /// Default: 0.
    pub max_minions: usize,
    /// How long a session key serves (`publish_session`). Default: a day.
    pub session_lifetime: Duration,
    /// How far time stamps may be off. Default: what the profile says.
    pub max_skew: Option<Duration>,
    /// How many requests of one minion are remembered within that time, so that
    /// each counts once. A minion that sends more has its older ones refused.
    /// Default: 8192, at most half a MiB for a minion.
    pub remembered_requests: usize,
    /// Whether returns have to be signed (`require_minion_sign_messages`).
    /// Default: no. A signature that is there and wrong is refused always.
    pub require_signed_returns: bool,
    /// Whether a minion may delete its own key (`allow_minion_key_revoke`).
    /// Default: yes, as in Salt.
    pub minions_may_revoke: bool,
    /// Whether sign-ins become events (`auth_events`). Default: yes.
    pub auth_events: bool,
    /// Whether announcements of `tcp` minions become events
    /// (`presence_events`). Default: no.
    pub presence_events: bool,
    /// How much of a message is believed.
    pub limits: Limits,
}

impl MasterConfig {
    /// The defaults for a master.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            signing_identity: None,
            profile: Profile::default(),
            publish_port: 4505,
            publish_signing: Signing::Pkcs1v15Sha224,
            publish_key: None,
            operators: OperatorKeys::none(),
            peers: PeerRules::default(),
            peer_runners: PeerRules::default(),
            max_minions: 0,
            session_lifetime: Duration::from_secs(86_400),
            max_skew: None,
            remembered_requests: 8192,
            require_signed_returns: false,
            minions_may_revoke: true,
            auth_events: true,
            presence_events: false,
            limits: Limits::default(),
        }
    }
}

/// Why a core was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterError {
    /// The algorithm for publishes is not accepted under the profile (K-07).
    #[error("the profile `{profile}` does not accept {algorithm}")]
    Algorithm {
        /// The profile that refuses.
        profile: &'static str,
        /// The wire name of the algorithm.
        algorithm: &'static str,
    },
}

/// How a request goes on.
#[derive(Debug)]
pub enum RequestStep {
    /// It is answered: these are the bytes of the reply.
    Reply(Vec<u8>),
    /// Something has to be computed first; hand the result to
    /// [`MasterCore::handle_finished`].
    Work(Work),
    /// An accepted minion asks for something.
    Load(Box<Authorised>),
    /// An operator asks for something.
    Operate(Box<Operation>),
}

/// Why a request was refused. The peer is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an envelope.
    #[error("not an envelope")]
    Envelope,
    /// A version below the minimum (K-07).
    #[error("a version below 3")]
    Version,
    /// The load is not what it should be.
    #[error("a malformed load")]
    Load,
    /// The sender's key is not accepted (F3).
    #[error("no accepted key")]
    NotAccepted,
    /// The sender has no session, or an expired one.
    #[error("no session")]
    NoSession,
    /// Not sealed with the session key, or in another suite than agreed on.
    #[error("not sealed with the session key")]
    Sealed,
    /// The ids in the envelope and in the load differ (K-03).
    #[error("another id inside than outside")]
    OtherId,
    /// The time stamp is too far off (R-01).
    #[error("the time stamp is {by} seconds off")]
    Skew {
        /// The sender's clock minus the master's, in seconds.
        by: i64,
    },
    /// The request was seen before (R-02).
    #[error("a repeated request")]
    Repeated,
    /// No nonce, or one that is none.
    #[error("no nonce")]
    Nonce,
    /// No proof that the sender holds the minion's key.
    #[error("no valid token")]
    Token,
    /// A signature is missing or wrong.
    #[error("no valid signature")]
    Signature,
    /// An algorithm the profile does not accept (K-07).
    #[error("an unacceptable algorithm")]
    Algorithm,
    /// Keys changed while the request was worked on.
    #[error("the keys changed meanwhile")]
    KeysChanged,
    /// No operator's key.
    #[error("no operator's key")]
    NoOperator,
    /// The stream the request came on belongs to somebody else (T-05).
    #[error("the peer of the stream is not this minion")]
    OtherPeer,
    /// The key store failed.
    #[error("the key store failed")]
    KeyStore,
}

/// What a master's driver has to store, tell or log.
#[derive(Debug)]
#[non_exhaustive]
pub enum MasterEvent {
    /// Fire this on the local event bus.
    Bus(Event),
    /// A session key was made: store it owner-only as `sessions/<id>`.
    SessionMade {
        /// Whose.
        id: MinionId,
        /// The key.
        key: SessionKey,
        /// Unix time of its making; it expires by that.
        created: u64,
    },
    /// A session ended: remove `sessions/<id>`.
    SessionEnded {
        /// Whose.
        id: MinionId,
    },
    /// The publish key changed. Minions notice with the next publish.
    PublishKeyRotated,
    /// A key has been deleted by the minion itself (`revoke_auth`).
    KeyRevoked {
        /// Whose.
        id: MinionId,
        /// Whether what is cached for the minion should stay.
        keep_cache: bool,
    },
    /// A request was refused. Log it, but not every one of them.
    Refused {
        /// Who it claims to be from, if that is an id.
        id: Option<MinionId>,
        /// Why.
        reason: Refusal,
    },
    /// The key store failed.
    KeyStoreFailed(KeyStoreError),
}

/// The master's half, for all its minions. See the [module](self).
pub struct MasterCore {
    profile: Profile,
    limits: Limits,
    publish_port: u16,
    publish_signing: Signing,
    operators: OperatorKeys,
    peers: PeerRules,
    peer_runners: PeerRules,
    max_minions: usize,
    require_signed_returns: bool,
    minions_may_revoke: bool,
    auth_events: bool,
    presence_events: bool,
    shared: Arc<Shared>,
    keys: Box<dyn KeyStore>,
    rng: Box<dyn CryptoRng + Send>,
    sessions: Sessions,
    publish_key: Arc<PublishKey>,
    serial: u64,
    present: BTreeMap<MinionId, usize>,
    events: VecDeque<MasterEvent>,
}

/// The text of every refusal.
const BAD_LOAD: &str = "bad load";

impl MasterCore {
    /// A core without sessions.
    ///
    /// # Errors
    /// [`MasterError::Algorithm`] if the profile excludes the algorithm for publishes.
    pub fn new(
        config: MasterConfig,
        keys: Box<dyn KeyStore>,
        mut rng: Box<dyn CryptoRng + Send>,
        unix_time: u64,
    ) -> Result<Self, MasterError> {
        let profile = config.profile;
        if !profile.accepts_signing(config.publish_signing) {
            return Err(MasterError::Algorithm {
                profile: profile.name(),
                algorithm: config.publish_signing.name(),
            });
        }
        let max_skew = config.max_skew.unwrap_or_else(|| profile.max_skew());
        let publish_key = config
            .publish_key
            .unwrap_or_else(|| SessionKey::generate(rng.as_mut()));
        Ok(Self {
            profile,
            limits: config.limits,
            publish_port: config.publish_port,
            publish_signing: config.publish_signing,
            operators: config.operators,
            peers: config.peers,
            peer_runners: config.peer_runners,
            max_minions: config.max_minions,
            require_signed_returns: config.require_signed_returns,
            minions_may_revoke: config.minions_may_revoke,
            auth_events: config.auth_events,
            presence_events: config.presence_events,
            shared: Arc::new(Shared::new(config.identity, config.signing_identity)),
            keys,
            rng,
            sessions: Sessions::new(
                config.session_lifetime.as_secs(),
                NonceWindow::new(max_skew.as_secs(), config.remembered_requests),
            ),
            publish_key: Arc::new(PublishKey::new(publish_key)),
            serial: first_serial(unix_time),
            present: BTreeMap::new(),
            events: VecDeque::new(),
        })
    }

    /// The master's public key.
    pub fn public_key(&self) -> &PublicKey {
        self.shared.identity.public_key()
    }

    /// What is insisted on.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The key store.
    pub fn keys(&self) -> &dyn KeyStore {
        self.keys.as_ref()
    }

    /// The key store, for accepting keys. To delete or reject one, use
    /// [`revoke`](Self::revoke), or [`check_sessions`](Self::check_sessions) after it.
    pub fn keys_mut(&mut self) -> &mut dyn KeyStore {
        self.keys.as_mut()
    }

    /// The minions that have a session, in no order.
    pub fn signed_in(&self) -> impl Iterator<Item = &MinionId> {
        self.sessions.ids()
    }

    /// The minions that announced themselves on a publish connection, in order.
    pub fn present(&self) -> impl Iterator<Item = &MinionId> {
        self.present.keys()
    }

    /// The publish key, for a driver that wants to keep it through a restart.
    pub fn publish_key(&self) -> &SessionKey {
        self.publish_key.key()
    }

    /// Takes over a session key from a former life of this master.
    ///
    /// Ignored unless the minion's key is accepted. Since it is not known any
    /// more what was seen under the key, requests made before `unix_time` are
    /// refused, and the minion gets another key when it signs in.
    pub fn restore_session(
        &mut self,
        id: &MinionId,
        key: SessionKey,
        created: u64,
        unix_time: u64,
    ) {
        if let Ok(owner) = self.accepted_key(id) {
            self.sessions.restore(id, &owner, key, created, unix_time);
        }
    }

    /// A request came in.
    ///
    /// `body` is the encoded envelope, `unix_time` the wall clock in seconds
    /// since 1970.
    pub fn handle_request(&mut self, body: &[u8], unix_time: u64) -> RequestStep {
        self.handle_request_of(body, &|_| true, unix_time)
    }

    /// A request came in on a stream that somebody vouches for.
    ///
    /// `may_be` tells whether the peer of the stream may be this minion. It is
    /// asked for every request, since a minion's id is claimed anew with each;
    /// one that it may not be is refused like a wrong key, and nothing is stored.
    pub fn handle_request_of(
        &mut self,
        body: &[u8],
        may_be: &dyn Fn(&MinionId) -> bool,
        unix_time: u64,
    ) -> RequestStep {
        let limits = self.limits;
        let envelope = match Envelope::parse(body, &limits) {
            Ok(envelope) => envelope,
            Err(EnvelopeError::Decode(_)) => {
                self.note(None, Refusal::Envelope);
                // What the router of 3008 answers; older ones stay silent (F2).
                return reply(&Map::from([("error", "Routing error")]).into());
            }
            Err(error) => return self.refuse_with(None, Refusal::Envelope, error.reply()),
        };
        if i64::from(envelope.version) < Profile::MINIMUM_VERSION {
            return self.refuse(None, Refusal::Version);
        }
        match envelope.enc {
            Enc::Clear => match envelope.clear_load(&limits) {
                Ok(load) => self.handle_clear(load, may_be, unix_time),
                Err(error) => self.refuse_with(None, Refusal::Load, error.reply()),
            },
            Enc::Aes => self.handle_sealed(&envelope, may_be, unix_time),
        }
    }

    /// Some work is done.
    pub fn handle_finished(&mut self, finished: Finished, unix_time: u64) -> RequestStep {
        match finished.0 {
            work::Outcome::Answer(body) => RequestStep::Reply(body),
            work::Outcome::Failed => self.refuse(None, Refusal::Load),
            work::Outcome::Granted(granted) => self.handle_granted(*granted),
            work::Outcome::Opened(opened) => self.handle_opened(*opened, unix_time),
        }
    }

    /// Numbers a job for publishing. `minions` are those it is meant for, as far
    /// as the master can tell; they decide the topics, and nothing if empty.
    ///
    /// Publications have to be broadcast in the order in which they were made:
    /// minions drop what is not newer than the last.
    ///
    /// Of the job's extra keys only those that Salt publishes go out (F5).
    pub fn publish(&mut self, job: &Job, minions: &[MinionId]) -> Publication {
        self.serial += 1;
        Publication::new(
            job,
            self.serial,
            minions,
            Arc::clone(&self.publish_key),
            Arc::clone(&self.shared),
            self.publish_signing,
            self.sessions.any_gcm(),
        )
    }

    /// Replaces the publish key, so that whoever knows the old one is shut out.
    ///
    /// Minions notice with the next publish and sign in again for the new one.
    pub fn rotate_publish_key(&mut self, unix_time: u64) {
        let key = SessionKey::generate(self.rng.as_mut());
        self.publish_key = Arc::new(PublishKey::new(key));
        self.serial = self.serial.max(first_serial(unix_time));
        self.events.push_back(MasterEvent::PublishKeyRotated);
        self.fire(event::tag::ROTATE, Map::from([("rotate_aes_key", true)]));
    }

    /// Deletes a minion's key and everything that hangs on it: when this
    /// returns, nothing is served under the old key (K-05).
    ///
    /// # Errors
    /// The store still holds the key. The session is gone all the same.
    pub fn revoke(&mut self, id: &MinionId, unix_time: u64) -> Result<(), KeyStoreError> {
        self.end_session(id);
        self.rotate_publish_key(unix_time);
        self.keys.remove(id)
    }

    /// Ends the sessions of all minions whose key is not accepted any more: for
    /// drivers whose key store is changed by others.
    ///
    /// Requests are checked in any case; this makes sure of the publish key.
    pub fn check_sessions(&mut self, unix_time: u64) {
        let mut ended = Vec::new();
        for id in self.sessions.ids() {
            match self.keys.state(id) {
                Ok(state) if state.accepted() == self.sessions.owner(id) => {}
                Ok(_) => ended.push(id.clone()),
                // Cannot tell now: neither served nor forgotten.
                Err(error) => self.events.push_back(MasterEvent::KeyStoreFailed(error)),
            }
        }
        if ended.is_empty() {
            return;
        }
        for id in &ended {
            self.end_session(id);
        }
        self.rotate_publish_key(unix_time);
    }

    /// A `tcp` minion introduces itself on the publish connection. Returns who
    /// it is if that holds; the connection gets broadcasts in any case.
    pub fn handle_announcement(&mut self, body: &[u8], unix_time: u64) -> Option<MinionId> {
        let envelope = Envelope::parse(body, &self.limits).ok()?;
        let sealed = envelope.load_bytes().ok()?;
        let mut plain = Vec::with_capacity(sealed.len());
        let key = self.publish_key.key();
        let opened = key.open(Purpose::Announce, None, sealed, &mut plain).ok()?;
        let message = plain.get(opened.body?)?;
        let Ok(Value::Map(load)) = msgpack::decode(message, &self.limits) else {
            return None;
        };
        let id = MinionId::try_from(load.get("id")?).ok()?;
        let owner = self.accepted_key(&id).ok()?;
        let token = load.get("tok").and_then(Value::as_bytes)?;
        let known = self
            .sessions
            .live(&id, &owner, unix_time)
            .and_then(|it| it.token.as_ref())
            .is_some_and(|known| known.ct_eq(token));
        if !known && salt_crypto::token::check(&owner, token).is_err() {
            return None;
        }
        let connections = self.present.entry(id.clone()).or_default();
        *connections += 1;
        if *connections == 1 {
            self.fire_presence(std::slice::from_ref(&id), &[]);
        }
        Some(id)
    }

    /// A connection that [announced](Self::handle_announcement) a minion is gone.
    pub fn handle_departure(&mut self, id: &MinionId) {
        if let Some(connections) = self.present.get_mut(id) {
            *connections -= 1;
            if *connections == 0 {
                self.present.remove(id);
                self.fire_presence(&[], std::slice::from_ref(id));
            }
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<MasterEvent> {
        self.events.pop_front()
    }

    fn fire_presence(&mut self, new: &[MinionId], lost: &[MinionId]) {
        if self.presence_events {
            let list = |ids: &[MinionId]| ids.iter().map(Value::from).collect::<Value>();
            let data = Map::from([("new", list(new)), ("lost", list(lost))]);
            self.fire(event::tag::PRESENCE_CHANGE, data);
        }
    }

    fn fire(&mut self, tag: &str, data: Map) {
        self.events
            .push_back(MasterEvent::Bus(Event::new(tag, data)));
    }

    /// The accepted key of a minion; a store that cannot tell accepts nobody.
    fn accepted_key(&mut self, id: &MinionId) -> Result<PublicKey, Refusal> {
        match self.keys.state(id) {
            Ok(KeyState::Accepted(key)) => Ok(key),
            Ok(_) => Err(Refusal::NotAccepted),
            Err(error) => {
                self.events.push_back(MasterEvent::KeyStoreFailed(error));
                Err(Refusal::KeyStore)
            }
        }
    }

    fn end_session(&mut self, id: &MinionId) {
        self.present.remove(id);
        if self.sessions.remove(id) {
            self.events
                .push_back(MasterEvent::SessionEnded { id: id.clone() });
        }
    }

    fn refuse(&mut self, id: Option<&MinionId>, reason: Refusal) -> RequestStep {
        self.refuse_with(id, reason, BAD_LOAD)
    }

    fn refuse_with(&mut self, id: Option<&MinionId>, reason: Refusal, text: &str) -> RequestStep {
        self.note(id, reason);
        reply(&text.into())
    }

    fn note(&mut self, id: Option<&MinionId>, reason: Refusal) {
        // A flood of bad requests must not become a flood of memory.
        const ENOUGH: usize = 4096;
        if self.events.len() < ENOUGH {
            let id = id.cloned();
            self.events.push_back(MasterEvent::Refused { id, reason });
        }
    }
}

/// A reply in the clear.
fn reply(value: &Value) -> RequestStep {
    let mut bytes = Vec::new();
    msgpack::encode(value, Dialect::Raw, &mut bytes);
    RequestStep::Reply(bytes)
}

/// Serials grow through restarts and rotations without being stored, because
/// they start at the time in milliseconds.
fn first_serial(unix_time: u64) -> u64 {
    unix_time.saturating_mul(1000)
}

impl std::fmt::Debug for MasterCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterCore")
            .field("profile", &self.profile)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}
