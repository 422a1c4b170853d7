//! Signing in: the minion shows its key until the master takes it.

use std::time::{Duration, Instant};

use salt_crypto::handshake::{self, Grant, Keys, Token};
use salt_crypto::negotiate;
use salt_crypto::{CryptoRng, Fingerprint, FingerprintHash, Nonce, PublicKey, Suite};

use super::MinionConfig;
use crate::backoff::{self, Backoff};
use crate::envelope::{self, Envelope};
use crate::msgpack;
use crate::requests::ExchangeId;
use crate::{Map, Value};

/// What a minion knows of its master before the first contact.
#[derive(Clone, Debug)]
pub enum MasterTrust {
    /// The key itself, for instance stored at an earlier sign-in.
    Pinned(PublicKey),
    /// What the operator read off on the master (`master_finger`).
    Fingerprint(Fingerprint),
    /// Nothing. Needs [`MinionConfig::master_signing_key`], or a profile that
    /// [trusts on first use](crate::Profile::danger_trust_on_first_use).
    Unknown,
}

/// How long a minion waits between sign-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How long an answer is awaited (`auth_timeout`). Default 5 s.
    pub answer: Duration,
    /// The first wait while the key is pending (`acceptance_wait_time`); it
    /// doubles from there. Default 10 s.
    pub pending: Duration,
    /// The longest wait while the key is pending (`acceptance_wait_time_max`).
    /// Default 60 s.
    pub pending_longest: Duration,
    /// The wait after a rejection (`rejected_retry`), or `None` to stop there.
    /// Default 60 s.
    pub rejected: Option<Duration>,
    /// The first wait after any other failure; it doubles from there. Default 1 s.
    pub failure: Duration,
    /// The longest wait after a failure. Default 60 s.
    pub failure_longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(5),
            pending: Duration::from_secs(10),
            pending_longest: Duration::from_secs(60),
            rejected: Some(Duration::from_secs(60)),
            failure: Duration::from_secs(1),
            failure_longest: Duration::from_secs(60),
        }
    }
}

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// No answer, or the connection broke.
    #[error("the master did not answer the sign-in")]
    NoAnswer,
    /// The answer is no answer to a sign-in.
    #[error("the master did not answer the sign-in with a sign-in")]
    NotUnderstood,
    /// The master refuses the algorithms asked for. Unsigned, so it may have
    /// been said by anybody; nothing is lowered because of it.
    #[error("the master refuses the algorithms of this minion ({answer})")]
    AlgorithmRefused {
        /// `bad enc algo` or `bad sig algo`.
        answer: &'static str,
    },
    /// The answer is not signed by the master, or not over what it contains.
    #[error("the answer to the sign-in is not signed by the master")]
    Signature,
    /// The answer belongs to another sign-in.
    #[error("the answer belongs to another sign-in")]
    OtherNonce,
    /// The master shows another key than the known one.
    ///
    /// Either it was replaced or someone is in between. Nothing was stored.
    #[error("the master's key is {offered}, expected was {expected}")]
    MasterKeyChanged {
        /// The fingerprint of the key that was shown.
        offered: Box<Fingerprint>,
        /// The fingerprint of the key that was expected.
        expected: Box<Fingerprint>,
    },
    /// The master's key does not come with a good signature of the signing key.
    #[error("the master's key is not signed by the known signing key")]
    MasterKeyUnsigned,
    /// The keys in the answer are not usable.
    #[error("the answer to the sign-in does not hold")]
    Grant(#[from] salt_crypto::Error),
}

/// What the master said.
#[derive(Debug)]
pub(super) enum Answer {
    Granted(Box<Granted>),
    Pending { verified: bool },
    Rejected { verified: bool },
    Full,
}

/// An accepted sign-in, all of it verified.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) master: PublicKey,
    /// `Some(replaced)` if the key is news.
    pub(super) learned: Option<bool>,
    pub(super) keys: Keys,
    pub(super) suite: Suite,
    pub(super) publish_port: u16,
    pub(super) master_chooses_suites: bool,
}

#[derive(Debug)]
enum State {
    /// Signed in, or not asked to.
    Idle,
    /// To be offered as soon as somebody polls.
    Due,
    Offered {
        exchange: ExchangeId,
        nonce: Nonce,
        token_sent: bool,
        until: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// Rejected for good.
    Stopped,
}

pub(super) struct SignIn {
    state: State,
    waits: Waits,
    trust: MasterTrust,
    token: Token,
    chooses_suites: bool,
    pending: Backoff,
    failure: Backoff,
}

impl SignIn {
    pub(super) fn new(config: &MinionConfig, rng: &mut dyn CryptoRng) -> Self {
        let waits = config.waits;
        Self {
            state: State::Due,
            waits,
            trust: config.master.clone(),
            token: Token::generate(rng),
            chooses_suites: config.master_chooses_suites,
            pending: Backoff::new(waits.pending, waits.pending_longest),
            failure: Backoff::new(waits.failure, waits.failure_longest),
        }
    }

    pub(super) fn known_master(&self) -> Option<&PublicKey> {
        match &self.trust {
            MasterTrust::Pinned(key) => Some(key),
            _ => None,
        }
    }

    /// Signs in again, unless that is under way.
    pub(super) fn start(&mut self) {
        if matches!(self.state, State::Idle) {
            self.state = State::Due;
        }
    }

    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Due)
    }

    /// Whether the keys at hand are about to be replaced.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    pub(super) fn is_waiting_for(&self, asked: ExchangeId) -> bool {
        matches!(self.state, State::Offered { exchange, .. } if exchange == asked)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Offered { until, .. } | State::Waiting { until } => Some(until),
            _ => None,
        }
    }

    /// Whether an answer is overdue.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.state {
            State::Waiting { until } if until <= now => {
                self.state = State::Due;
                false
            }
            State::Offered { until, .. } => until <= now,
            _ => false,
        }
    }

    pub(super) fn wait_as_pending(&mut self, rng: &mut dyn CryptoRng, now: Instant) -> Duration {
        self.failure.reset();
        let wait = self.pending.next_wait(&mut || rng.next_u64());
        self.state = State::Waiting { until: now + wait };
        wait
    }

    pub(super) fn wait_after_failure(&mut self, rng: &mut dyn CryptoRng, now: Instant) -> Duration {
        let wait = self.failure.next_wait(&mut || rng.next_u64());
        self.state = State::Waiting { until: now + wait };
        wait
    }

    pub(super) fn wait_as_rejected(
        &mut self,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) -> Option<Duration> {
        let wait = self
            .waits
            .rejected
            .map(|wait| backoff::between(wait / 2, wait, &mut || rng.next_u64()));
        self.state = wait.map_or(State::Stopped, |wait| State::Waiting { until: now + wait });
        wait
    }

    /// Makes the request.
    pub(super) fn offer(
        &mut self,
        exchange: ExchangeId,
        config: &MinionConfig,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) -> Result<Vec<u8>, SignInError> {
        let nonce = Nonce::generate(rng);
        let mut load = Map::from([
            ("cmd", Value::from("_auth")),
            ("id", Value::from(&config.id)),
            ("nonce", Value::from(nonce.as_str())),
            ("enc_algo", Value::from(config.encryption.name())),
            ("sig_algo", Value::from(config.signing.name())),
            ("pub", Value::from(config.identity.public_key().as_pem())),
        ]);
        let token_sent = self.known_master().is_some();
        if let Some(master) = self.known_master() {
            load.insert("token", self.token.offer(master, config.encryption, rng)?);
        }
        let suites = negotiate::offer(config.profile.offers_aes_gcm());
        if !suites.is_empty() {
            load.insert(negotiate::SUITES, Value::from_iter(suites.iter().copied()));
        }
        if !config.autosign_grains.is_empty() {
            load.insert("autosign_grains", config.autosign_grains.clone());
        }
        let mut body = Vec::with_capacity(1024);
        envelope::clear_request(&load, &mut body);
        self.state = State::Offered {
            exchange,
            nonce,
            token_sent,
            until: now + self.waits.answer,
        };
        Ok(body)
    }

    /// Judges the answer to the request under way. Whatever it is, the state
    /// stays until the caller says how to go on, except for success.
    pub(super) fn handle_answer(
        &mut self,
        body: &[u8],
        config: &MinionConfig,
        rng: &mut dyn CryptoRng,
    ) -> Result<Answer, SignInError> {
        let State::Offered {
            nonce, token_sent, ..
        } = self.state
        else {
            return Err(SignInError::NotUnderstood);
        };
        let answer = self.judge(body, &nonce, token_sent, config, rng)?;
        if let Answer::Granted(granted) = &answer {
            self.trust = MasterTrust::Pinned(granted.master.clone());
            self.chooses_suites |= granted.master_chooses_suites;
            self.pending.reset();
            self.failure.reset();
            self.state = State::Idle;
        }
        Ok(answer)
    }

    fn judge(
        &self,
        body: &[u8],
        nonce: &Nonce,
        token_sent: bool,
        config: &MinionConfig,
        rng: &mut dyn CryptoRng,
    ) -> Result<Answer, SignInError> {
        let limits = &config.limits;
        let answer =
            Envelope::parse(body, limits).map_err(|_malformed| SignInError::NotUnderstood)?;
        let (Ok(signed), Some(signature)) = (answer.load_bytes(), answer.sig) else {
            return Err(unsigned(&answer, config));
        };
        let Ok(Value::Map(answer)) = msgpack::decode(signed, limits) else {
            return Err(SignInError::NotUnderstood);
        };

        // Which key must have signed decides itself before anything else is
        // read from the answer (K-06).
        let shown = match answer.str("pub_key") {
            Some(pem) => Some(PublicKey::from_pem(pem)?),
            None => None,
        };
        let signer = self.known_master().or(shown.as_ref());
        let verified = match signer {
            Some(key) => key.verify(config.signing, signed, signature).is_ok(),
            None => false,
        };
        let known = self.known_master();
        let (master, learned) = match (known, shown) {
            (Some(known), None) => {
                if !verified {
                    return Err(SignInError::Signature);
                }
                (known.clone(), None)
            }
            (Some(known), Some(shown)) if *known == shown => {
                if !verified {
                    return Err(SignInError::Signature);
                }
                check_signing_key(config, &shown, &answer)?;
                (shown, None)
            }
            (Some(known), Some(shown)) => {
                if shown.verify(config.signing, signed, signature).is_err() {
                    return Err(SignInError::Signature);
                }
                if config.master_signing_key.is_none() {
                    return Err(changed(&shown, known.fingerprint(FingerprintHash::Sha256)));
                }
                check_signing_key(config, &shown, &answer)?;
                (shown, Some(true))
            }
            (None, Some(shown)) => {
                if !verified {
                    return Err(SignInError::Signature);
                }
                if let MasterTrust::Fingerprint(expected) = &self.trust
                    && !shown.has_fingerprint(expected)
                {
                    return Err(changed(&shown, *expected));
                }
                check_signing_key(config, &shown, &answer)?;
                (shown, Some(false))
            }
            // Nobody can tell who says so. It decides only about the next wait.
            (None, None) => return refusal(&answer, false),
        };
        let echoed = answer.get("nonce").and_then(Value::as_bytes);
        if !echoed.is_some_and(|echoed| nonce.ct_eq(echoed)) {
            return Err(SignInError::OtherNonce);
        }
        if answer.str("enc") != Some("pub") {
            return refusal(&answer, true);
        }

        let field = |name| {
            answer
                .get(name)
                .and_then(Value::as_bytes)
                .map(<[u8]>::to_vec)
        };
        let (Some(aes), Some(session), Some(sig)) = (field("aes"), field("session"), field("sig"))
        else {
            return Err(SignInError::NotUnderstood);
        };
        let grant = Grant {
            aes,
            session,
            sig,
            token: field("token"),
        };
        // The token went to the known key; a master whose key was replaced
        // under the signing key cannot have read it.
        let expected = (token_sent && learned.is_none()).then_some(&self.token);
        let keys = handshake::accept(
            &grant,
            &config.identity,
            &master,
            config.encryption,
            expected,
            rng,
        )?;
        let suite = self.check_suite(&answer, config)?;
        let publish_port = answer
            .get("publish_port")
            .and_then(Value::as_int)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or(SignInError::NotUnderstood)?;
        Ok(Answer::Granted(Box::new(Granted {
            master,
            learned,
            keys,
            suite,
            publish_port,
            master_chooses_suites: answer.contains_key(negotiate::SUITE),
        })))
    }

    fn check_suite(&self, answer: &Map, config: &MinionConfig) -> Result<Suite, SignInError> {
        let suites: Option<Vec<&str>> =
            answer
                .get(negotiate::SUITES)
                .and_then(Value::as_list)
                .map(|names| {
                    names
                        .iter()
                        .map(|name| name.as_str().unwrap_or_default())
                        .collect()
                });
        let choice = negotiate::Answer {
            suite: answer.str(negotiate::SUITE),
            suites: suites.as_deref(),
        };
        let offered = negotiate::offer(config.profile.offers_aes_gcm());
        Ok(negotiate::check(offered, choice, self.chooses_suites)?)
    }
}

/// The master key must come with the signature of the signing key, if one is configured.
fn check_signing_key(
    config: &MinionConfig,
    shown: &PublicKey,
    answer: &Map,
) -> Result<(), SignInError> {
    let Some(signing_key) = &config.master_signing_key else {
        return Ok(());
    };
    let signature = answer
        .str("pub_sig")
        .ok_or(SignInError::MasterKeyUnsigned)?;
    handshake::verify_master_key(signing_key, config.signing, shown, signature)
        .map_err(|_| SignInError::MasterKeyUnsigned)
}

fn changed(shown: &PublicKey, expected: Fingerprint) -> SignInError {
    SignInError::MasterKeyChanged {
        offered: Box::new(shown.fingerprint(expected.hash())),
        expected: Box::new(expected),
    }
}

/// `{"ret": True}`, `{"ret": False}`, `{"ret": "full"}`.
fn refusal(answer: &Map, verified: bool) -> Result<Answer, SignInError> {
    match answer.get("ret") {
        Some(Value::Bool(true)) => Ok(Answer::Pending { verified }),
        Some(Value::Bool(false)) => Ok(Answer::Rejected { verified }),
        Some(Value::Str(word)) if word == "full" => Ok(Answer::Full),
        _ => Err(SignInError::NotUnderstood),
    }
}

/// The only thing a master says unsigned is that it does not know an algorithm.
fn unsigned(answer: &Envelope<'_>, config: &MinionConfig) -> SignInError {
    let load = answer.clear_load(&config.limits).unwrap_or_default();
    match load.str("ret") {
        Some("bad enc algo") => SignInError::AlgorithmRefused {
            answer: "bad enc algo",
        },
        Some("bad sig algo") => SignInError::AlgorithmRefused {
            answer: "bad sig algo",
        },
        _ => SignInError::NotUnderstood,
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
