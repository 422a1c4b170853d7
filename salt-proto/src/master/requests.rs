//! Sealed requests: opened, checked, authorised, and answered.

use std::sync::Arc;

use salt_crypto::{
    CryptoRng, Encryption, Nonce, PublicKey, Purpose, Secret, SessionKey, Signing, Suite,
    handshake, token,
};

use super::sessions::KnownToken;
use super::work::{Shared, Task, Work};
use super::{BAD_LOAD, MasterCore, MasterEvent, Refusal, RequestStep};
use crate::envelope::Envelope;
use crate::message::AesCommand;
use crate::msgpack::{self, Dialect};
use crate::{Limits, Map, MinionId, Value, ret};

/// Larger messages are opened off the core.
const INLINE: usize = 64 << 10;

/// A request of an accepted minion that may be acted on.
///
/// Only a [`MasterCore`] makes it, after every check there is, so holding one is
/// the proof that the minion may ask for this (Z-01). Who asks is
/// [`minion`](Self::minion); ids anywhere in the load say nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Authorised {
    /// The minion: the envelope, the load, the session key and the token all name it (K-03).
    pub minion: MinionId,
    /// What it asks for.
    pub command: AesCommand,
    /// The load, without nonce, token and signature.
    pub load: Map,
    /// How to answer.
    pub reply: ReplyTicket,
}

/// Seals the reply to one request; off the core, on any thread.
pub struct ReplyTicket {
    shared: Arc<Shared>,
    session: SessionKey,
    suite: Suite,
    nonce: Nonce,
    minion: PublicKey,
    encryption: Encryption,
    signing: Signing,
}

impl ReplyTicket {
    /// The bytes of a reply.
    pub fn seal(&self, value: &Value, rng: &mut dyn CryptoRng) -> Vec<u8> {
        let mut plain = Vec::with_capacity(256);
        msgpack::encode(value, Dialect::Raw, &mut plain);
        let mut sealed = Vec::with_capacity(plain.len() + 128);
        self.session.seal(
            self.suite,
            Purpose::Reply,
            Some(&self.nonce),
            &plain,
            rng,
            &mut sealed,
        );
        let mut body = Vec::with_capacity(sealed.len() + 5);
        msgpack::encode_bytes(&sealed, Dialect::Raw, &mut body);
        body
    }

    /// The bytes of the reply that Salt gives when a handler fails: an empty text.
    pub fn seal_failure(&self, rng: &mut dyn CryptoRng) -> Vec<u8> {
        self.seal(&"".into(), rng)
    }

    /// The bytes of a private reply, for this minion alone and signed: what
    /// `_pillar` is answered with. Two RSA operations.
    ///
    /// # Errors
    /// The RSA implementation failed.
    pub fn seal_private(
        &self,
        pillar: &Map,
        rng: &mut dyn CryptoRng,
    ) -> salt_crypto::Result<Vec<u8>> {
        let key = SessionKey::generate(rng);
        let wrapped = handshake::wrap(&key, &self.minion, self.encryption, rng)?;
        let mut data = Vec::with_capacity(1024);
        msgpack::encode_map(
            &Map::from([
                ("key", Value::from(wrapped.as_slice())),
                ("pillar", Value::from(pillar.clone())),
                ("nonce", Value::from(self.nonce.as_str())),
            ]),
            Dialect::Raw,
            &mut data,
        );
        let signature = self.shared.identity.sign(self.signing, &data, rng)?;
        let mut inner = Vec::with_capacity(data.len() + 512);
        msgpack::encode_map(
            &Map::from([("data", data), ("sig", signature)]),
            Dialect::Raw,
            &mut inner,
        );
        let mut sealed = Vec::with_capacity(inner.len() + 128);
        key.seal(self.suite, Purpose::Pillar, None, &inner, rng, &mut sealed);
        let mut body = Vec::with_capacity(sealed.len() + 512);
        msgpack::encode_map(
            &Map::from([("key", wrapped), ("pillar", sealed)]),
            Dialect::Raw,
            &mut body,
        );
        Ok(body)
    }
}

impl std::fmt::Debug for ReplyTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyTicket")
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

/// A sealed request of an accepted minion with a session, still to be opened.
pub(super) struct Sealed {
    limits: Limits,
    id: MinionId,
    owner: PublicKey,
    session: SessionKey,
    sealed: Vec<u8>,
    known_token: Option<KnownToken>,
    require_signed_returns: bool,
    encryption: Option<Encryption>,
    signing: Option<Signing>,
    opened: Option<Result<Plain, Refusal>>,
}

/// What was in it.
struct Plain {
    load: Map,
    suite: Suite,
    nonce: Nonce,
    stamp: i64,
    token: KnownToken,
}

/// An opened request, every check done that needs no core.
pub(super) struct Opened {
    id: MinionId,
    owner: PublicKey,
    session: SessionKey,
    encryption: Option<Encryption>,
    signing: Option<Signing>,
    plain: Result<Plain, Refusal>,
}

impl Sealed {
    /// Opens and decodes, unless that is done.
    pub(super) fn open(mut self: Box<Self>) -> Box<Self> {
        if self.opened.is_none() {
            self.opened = Some(self.read());
            self.sealed = Vec::new();
        }
        self
    }

    fn read(&self) -> Result<Plain, Refusal> {
        let mut plain = Vec::with_capacity(self.sealed.len());
        let opened = self
            .session
            .open(Purpose::Request, None, &self.sealed, &mut plain)
            .map_err(|_| Refusal::Sealed)?;
        let message = opened.body.and_then(|range| plain.get(range));
        let load = message.and_then(|it| msgpack::decode(it, &self.limits).ok());
        let Some(Value::Map(mut load)) = load else {
            return Err(Refusal::Load);
        };
        if load.str("id") != Some(self.id.as_str()) {
            return Err(Refusal::OtherId);
        }
        let nonce = load.remove("nonce");
        let nonce = nonce
            .as_ref()
            .and_then(Value::as_bytes)
            .and_then(|nonce| Nonce::from_bytes(nonce).ok())
            .ok_or(Refusal::Nonce)?;
        let token = match load.remove("tok") {
            Some(Value::Bytes(token)) => token,
            Some(Value::Str(token)) => token.into_bytes(),
            _ => return Err(Refusal::Token),
        };
        let stamp = match load.get("ts") {
            Some(Value::Int(stamp)) => *stamp,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, and is only compared"
            )]
            Some(Value::Float(stamp)) if stamp.is_finite() => stamp.floor() as i64,
            // As far off as can be.
            _ => i64::MIN,
        };
        Ok(Plain {
            load,
            suite: opened.suite,
            nonce,
            stamp,
            token: Arc::new(Secret::new(token)),
        })
    }

    /// Whether RSA has to say something about it.
    fn is_unproven(&self) -> bool {
        match &self.opened {
            Some(Ok(plain)) => !self.knows(&plain.token) || is_signed(&plain.load),
            Some(Err(_)) => false,
            None => true,
        }
    }

    fn knows(&self, token: &KnownToken) -> bool {
        self.known_token
            .as_ref()
            .is_some_and(|known| known.ct_eq(token.expose()))
    }

    /// Checks token and signature.
    pub(super) fn verify(self: Box<Self>) -> Opened {
        let mut this = self.open();
        let plain = this
            .opened
            .take()
            .unwrap_or(Err(Refusal::Load))
            .and_then(|plain| this.check(plain));
        Opened {
            id: this.id,
            owner: this.owner,
            session: this.session,
            encryption: this.encryption,
            signing: this.signing,
            plain,
        }
    }

    fn check(&self, mut plain: Plain) -> Result<Plain, Refusal> {
        if !self.knows(&plain.token) {
            token::check(&self.owner, plain.token.expose()).map_err(|_| Refusal::Token)?;
        }
        if is_signed(&plain.load) {
            let signature = plain.load.get("sig").and_then(Value::as_bytes);
            let signing = self.signing.ok_or(Refusal::Algorithm)?;
            signature
                .and_then(|signature| {
                    let covered = ret::signed_bytes(&plain.load);
                    self.owner.verify(signing, &covered, signature).ok()
                })
                .ok_or(Refusal::Signature)?;
        } else if self.require_signed_returns && is_return(&plain.load) {
            return Err(Refusal::Signature);
        }
        plain.load.remove("sig");
        Ok(plain)
    }
}

/// Stock file clients leave an old `sig` in the load from the second part of a
/// file on, so only that of returns means something.
fn is_signed(load: &Map) -> bool {
    is_return(load) && load.contains_key("sig")
}

fn is_return(load: &Map) -> bool {
    matches!(load.str("cmd"), Some("_return" | "_syndic_return"))
}

impl MasterCore {
    pub(super) fn handle_sealed(
        &mut self,
        envelope: &Envelope<'_>,
        may_be: &dyn Fn(&MinionId) -> bool,
        unix_time: u64,
    ) -> RequestStep {
        let (Ok(id), Ok(sealed)) = (envelope.minion_id(), envelope.load_bytes()) else {
            return self.refuse(None, Refusal::Load);
        };
        if !may_be(&id) {
            return self.refuse(Some(&id), Refusal::OtherPeer);
        }
        let owner = match self.accepted_key(&id) {
            Ok(owner) => owner,
            Err(reason) => {
                // Its key was deleted or rejected behind our back (K-05).
                if reason == Refusal::NotAccepted && self.sessions.get(&id).is_some() {
                    self.end_session(&id);
                    self.rotate_publish_key(unix_time);
                }
                return self.refuse(Some(&id), reason);
            }
        };
        let Some(session) = self.sessions.live(&id, &owner, unix_time) else {
            return self.refuse(Some(&id), Refusal::NoSession);
        };
        // Without a name the SHA-1 forms are meant.
        let encryption = Encryption::from_name(envelope.enc_algo.unwrap_or("OAEP-SHA1")).ok();
        let signing = Signing::from_name(envelope.sig_algo.unwrap_or("PKCS1v15-SHA1")).ok();
        let sealed = Box::new(Sealed {
            limits: self.limits,
            owner,
            session: session.key.clone(),
            sealed: sealed.to_vec(),
            known_token: session.token.clone(),
            require_signed_returns: self.require_signed_returns,
            encryption: encryption.filter(|it| self.profile.accepts_encryption(*it)),
            signing: signing.filter(|it| self.profile.accepts_signing(*it)),
            opened: None,
            id,
        });
        if sealed.sealed.len() > INLINE {
            return RequestStep::Work(Work(Task::Open(sealed)));
        }
        let sealed = sealed.open();
        if sealed.is_unproven() {
            return RequestStep::Work(Work(Task::Open(sealed)));
        }
        self.admit(sealed.verify(), unix_time)
    }

    /// A request comes back from work: its key may have been deleted meanwhile.
    pub(super) fn handle_opened(&mut self, opened: Opened, unix_time: u64) -> RequestStep {
        if self.accepted_key(&opened.id).as_ref() != Ok(&opened.owner)
            || !self.sessions.is_current(&opened.id, &opened.session)
        {
            return self.refuse(Some(&opened.id), Refusal::KeysChanged);
        }
        self.admit(opened, unix_time)
    }

    /// The checks that need the core, in the end.
    fn admit(&mut self, opened: Opened, unix_time: u64) -> RequestStep {
        let Opened {
            id: minion,
            owner,
            session: key,
            encryption,
            signing,
            plain,
        } = opened;
        let id = &minion;
        let plain = match plain {
            Ok(plain) => plain,
            Err(reason) => return self.refuse(Some(id), reason),
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return self.refuse(Some(id), Refusal::NoSession);
        };
        if !session.agreed_on(plain.suite) {
            return self.refuse(Some(id), Refusal::Sealed);
        }
        session.token = Some(plain.token);
        let nonce = plain.nonce.as_bytes();
        if let Err(reason) = session.admit(id, nonce, plain.stamp, unix_time) {
            let text = match reason {
                // Lets an honest minion see what is wrong.
                Refusal::Skew { by } if plain.stamp != i64::MIN => {
                    format!("{BAD_LOAD}: the time stamp is {by} seconds off")
                }
                _ => BAD_LOAD.to_owned(),
            };
            return self.refuse_with(Some(id), reason, &text);
        }
        let algorithms = encryption.zip(signing);
        let is_private = plain.load.str("cmd") == Some("_pillar");
        if algorithms.is_none() && is_private {
            return self.refuse(Some(id), Refusal::Algorithm);
        }
        // Only private replies use them.
        let (encryption, signing) =
            algorithms.unwrap_or((Encryption::OaepSha224, Signing::Pkcs1v15Sha224));
        let ticket = ReplyTicket {
            shared: Arc::clone(&self.shared),
            session: key,
            suite: plain.suite,
            nonce: plain.nonce,
            minion: owner,
            encryption,
            signing,
        };
        self.dispatch(minion, plain.load, ticket, unix_time)
    }

    fn dispatch(
        &mut self,
        minion: MinionId,
        load: Map,
        reply: ReplyTicket,
        unix_time: u64,
    ) -> RequestStep {
        let Some(name) = load.str("cmd") else {
            return self.refuse(Some(&minion), Refusal::Load);
        };
        let empty = Value::Map(Map::new());
        let Some(command) = AesCommand::from_name(name) else {
            return RequestStep::Reply(reply.seal(&empty, self.rng.as_mut()));
        };
        let permitted = match command {
            // Internal to stock masters.
            AesCommand::VerifyMinion => false,
            AesCommand::MinionPub | AesCommand::MinionPublish => {
                self.peers.permit_load(&minion, &load)
            }
            AesCommand::MinionRunner => self.peer_runners.permit_load(&minion, &load),
            AesCommand::RevokeAuth => {
                return self.handle_revocation(&minion, &load, &reply, unix_time);
            }
            _ => true,
        };
        if !permitted {
            return RequestStep::Reply(reply.seal(&empty, self.rng.as_mut()));
        }
        RequestStep::Load(Box::new(Authorised {
            minion,
            command,
            load,
            reply,
        }))
    }

    /// A minion deletes its own key.
    fn handle_revocation(
        &mut self,
        minion: &MinionId,
        load: &Map,
        reply: &ReplyTicket,
        unix_time: u64,
    ) -> RequestStep {
        let mut done = self.minions_may_revoke;
        if done {
            if let Err(error) = self.revoke(minion, unix_time) {
                self.events.push_back(MasterEvent::KeyStoreFailed(error));
                done = false;
            } else {
                self.events.push_back(MasterEvent::KeyRevoked {
                    id: minion.clone(),
                    keep_cache: load
                        .get("preserve_minion_cache")
                        .is_some_and(Value::is_true),
                });
            }
        }
        RequestStep::Reply(reply.seal(&done.into(), self.rng.as_mut()))
    }
}
