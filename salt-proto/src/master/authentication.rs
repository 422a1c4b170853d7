//! Sign-ins: whose key is taken, and what an accepted minion is given.

use std::sync::Arc;

use salt_crypto::{
    CryptoRng, Encryption, Nonce, PublicKey, SessionKey, Signing, Suite, handshake, negotiate,
};

use super::publication::PublishKey;
use super::work::{Shared, Task, Work};
use super::{MasterCore, MasterEvent, Refusal, RequestStep, reply};
use crate::event::tag;
use crate::keystore::{AutoSign, KeyState, KeyStoreError};
use crate::message::AuthRequest;
use crate::msgpack::{self, Dialect};
use crate::{Map, MinionId, Value, envelope};

/// What a key is answered, and how the event of it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Pend,
    Reject,
    Deny,
    Full,
    Error,
}

impl Verdict {
    fn act(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Pend => "pend",
            Self::Reject => "reject",
            Self::Deny => "denied",
            Self::Full => "full",
            Self::Error => "error",
        }
    }

    /// The `ret` of the answer, unless it is a grant.
    fn ret(self) -> Value {
        match self {
            Self::Accept | Self::Pend => true.into(),
            Self::Full => "full".into(),
            Self::Reject | Self::Deny | Self::Error => false.into(),
        }
    }
}

impl MasterCore {
    /// Answers `_auth`, in the order of checks of stock masters, except that
    /// algorithms are looked at first: nothing is stored for a peer that cannot
    /// be answered.
    pub(super) fn handle_auth(
        &mut self,
        load: Map,
        may_be: &dyn Fn(&MinionId) -> bool,
        unix_time: u64,
    ) -> RequestStep {
        let Ok(request) = AuthRequest::from_map(load) else {
            return self.refuse(None, Refusal::Load);
        };
        let nonce = request.nonce.as_deref().map(Nonce::from_text);
        let Some(Ok(nonce)) = nonce else {
            return self.refuse(None, Refusal::Nonce);
        };
        // Without a name the SHA-1 forms are meant.
        let encryption = request.enc_algo.as_deref().unwrap_or("OAEP-SHA1");
        let encryption = Encryption::from_name(encryption).ok();
        let Some(encryption) = encryption.filter(|it| self.profile.accepts_encryption(*it)) else {
            return self.refuse_algorithm("bad enc algo");
        };
        let signing = request.sig_algo.as_deref().unwrap_or("PKCS1v15-SHA1");
        let signing = Signing::from_name(signing).ok();
        let Some(signing) = signing.filter(|it| self.profile.accepts_signing(*it)) else {
            return self.refuse_algorithm("bad sig algo");
        };

        let answer = |core: &Self, verdict: Verdict| {
            RequestStep::Work(Work(Task::Sign(Box::new(Signature {
                shared: Arc::clone(&core.shared),
                signing,
                ret: verdict.ret(),
                nonce,
            }))))
        };
        let Ok(id) = MinionId::parse(&request.id) else {
            return answer(self, Verdict::Reject);
        };
        if !may_be(&id) {
            self.note(Some(&id), Refusal::OtherPeer);
            return answer(self, Verdict::Reject);
        }
        let Ok(key) = PublicKey::from_pem(&request.pub_pem) else {
            return answer(self, Verdict::Error);
        };
        let grains = request.autosign_grains.unwrap_or_default();
        let verdict = match self.judge(&id, &key, &grains, unix_time) {
            Ok(verdict) => verdict,
            Err(error) => {
                self.events.push_back(MasterEvent::KeyStoreFailed(error));
                Verdict::Error
            }
        };
        self.fire_auth(&id, &key, &grains, verdict);
        if verdict != Verdict::Accept {
            return answer(self, verdict);
        }

        let offered = request.extra.get(negotiate::SUITES);
        let offered: Vec<&str> = offered
            .and_then(Value::as_list)
            .unwrap_or_default()
            .iter()
            .map(|name| name.as_str().unwrap_or_default())
            .collect();
        let suites = negotiate::seen(offered.iter().copied());
        let suite = negotiate::choose(&suites, self.profile.offers_aes_gcm());
        let (session, made) = self.sessions.open(&id, &key, unix_time, self.rng.as_mut());
        session.agree_on(suite);
        let session = session.key.clone();
        if made {
            self.events.push_back(MasterEvent::SessionMade {
                id: id.clone(),
                key: session.clone(),
                created: unix_time,
            });
        }
        RequestStep::Work(Work(Task::Grant(Box::new(Grant {
            shared: Arc::clone(&self.shared),
            publish_key: Arc::clone(&self.publish_key),
            publish_port: self.publish_port,
            suites: suites.into_iter().map(str::to_owned).collect(),
            id,
            minion: key,
            encryption,
            signing,
            session,
            suite,
            token: request.token,
            nonce,
        }))))
    }

    /// Whether the keys of a grant are still the current ones.
    pub(super) fn handle_granted(&mut self, granted: Granted) -> RequestStep {
        if self.sessions.is_current(&granted.id, &granted.session)
            && Arc::ptr_eq(&self.publish_key, &granted.publish_key)
        {
            return RequestStep::Reply(granted.body);
        }
        // The minion asks again and gets the new ones, or is told no.
        self.refuse(Some(&granted.id), Refusal::KeysChanged)
    }

    /// The decision table of wire.md §7.2, without open mode.
    fn judge(
        &mut self,
        id: &MinionId,
        key: &PublicKey,
        grains: &Map,
        unix_time: u64,
    ) -> Result<Verdict, KeyStoreError> {
        let is_new = self.sessions.live(id, key, unix_time).is_none();
        if self.max_minions > 0 && is_new && self.sessions.count_live(unix_time) >= self.max_minions
        {
            return Ok(Verdict::Full);
        }
        match self.keys.state(id)? {
            KeyState::Rejected => Ok(Verdict::Reject),
            KeyState::Accepted(known) if known == *key => Ok(Verdict::Accept),
            KeyState::Pending(known) if known != *key => self.deny(id, key),
            KeyState::Accepted(_) => self.deny(id, key),
            KeyState::Unknown => match self.keys.auto_sign(id, grains) {
                AutoSign::Ask => self.keys.submit(id, key).map(|()| Verdict::Pend),
                decided => self.decide(id, key, decided),
            },
            KeyState::Pending(_) => match self.keys.auto_sign(id, grains) {
                AutoSign::Ask => Ok(Verdict::Pend),
                decided => self.decide(id, key, decided),
            },
        }
    }

    fn decide(
        &mut self,
        id: &MinionId,
        key: &PublicKey,
        decided: AutoSign,
    ) -> Result<Verdict, KeyStoreError> {
        if decided == AutoSign::Accept {
            self.keys.accept(id, key)?;
            return Ok(Verdict::Accept);
        }
        self.keys.reject(id, key)?;
        Ok(Verdict::Reject)
    }

    /// A different key never takes the place of the known one (K-04).
    fn deny(&mut self, id: &MinionId, key: &PublicKey) -> Result<Verdict, KeyStoreError> {
        self.keys.deny(id, key)?;
        Ok(Verdict::Deny)
    }

    fn fire_auth(&mut self, id: &MinionId, key: &PublicKey, grains: &Map, verdict: Verdict) {
        if !self.auth_events {
            return;
        }
        let mut data = Map::from([
            (
                "result",
                Value::from(matches!(verdict, Verdict::Accept | Verdict::Pend)),
            ),
            ("act", verdict.act().into()),
            ("id", id.into()),
            ("pub", key.as_pem().into()),
        ]);
        if !grains.is_empty() {
            data.insert("autosign_grains", grains.clone());
        }
        self.fire(tag::AUTH, data);
    }

    /// Never signed, as in Salt: there may be no algorithm to sign with.
    fn refuse_algorithm(&mut self, text: &'static str) -> RequestStep {
        self.note(None, Refusal::Algorithm);
        let load = Map::from([("ret", text)]);
        reply(&Map::from([("enc", Value::from("clear")), ("load", load.into())]).into())
    }
}

/// An answer that grants nothing, to be signed.
pub(super) struct Signature {
    shared: Arc<Shared>,
    signing: Signing,
    ret: Value,
    nonce: Nonce,
}

impl Signature {
    pub(super) fn run(self, rng: &mut dyn CryptoRng) -> salt_crypto::Result<Vec<u8>> {
        let inner = Map::from([("ret", self.ret), ("nonce", self.nonce.as_str().into())]);
        signed(&self.shared, self.signing, &inner, rng)
    }
}

/// An answer that hands out keys, to be encrypted and signed.
pub(super) struct Grant {
    shared: Arc<Shared>,
    publish_key: Arc<PublishKey>,
    publish_port: u16,
    id: MinionId,
    minion: PublicKey,
    encryption: Encryption,
    signing: Signing,
    session: SessionKey,
    suite: Suite,
    suites: Vec<String>,
    token: Option<Vec<u8>>,
    nonce: Nonce,
}

/// The finished answer, with what it must still be true for.
pub(super) struct Granted {
    id: MinionId,
    session: SessionKey,
    publish_key: Arc<PublishKey>,
    body: Vec<u8>,
}

impl Grant {
    pub(super) fn run(self, rng: &mut dyn CryptoRng) -> salt_crypto::Result<Granted> {
        let identity = &self.shared.identity;
        let proof = self.publish_key.proof(identity, rng)?;
        let keys = handshake::grant(
            identity,
            &self.minion,
            self.encryption,
            proof,
            &self.session,
            self.token.as_deref(),
            rng,
        )?;
        let mut inner = Map::from([
            ("enc", Value::from("pub")),
            ("pub_key", identity.public_key().as_pem().into()),
            ("publish_port", self.publish_port.into()),
        ]);
        if let Some(signature) = self.shared.pub_sig(self.signing, rng)? {
            inner.insert("pub_sig", signature);
        }
        if let Some(token) = keys.token {
            inner.insert("token", token);
        }
        inner.insert("aes", keys.aes);
        inner.insert("session", keys.session);
        inner.insert("sig", keys.sig);
        inner.insert("nonce", self.nonce.as_str());
        // Always there, so that a minion notices if its offer was taken away.
        inner.insert(negotiate::SUITE, self.suite.name());
        inner.insert(negotiate::SUITES, self.suites.iter().collect::<Value>());
        let body = signed(&self.shared, self.signing, &inner, rng)?;
        Ok(Granted {
            id: self.id,
            session: self.session,
            publish_key: self.publish_key,
            body,
        })
    }
}

fn signed(
    shared: &Shared,
    signing: Signing,
    inner: &Map,
    rng: &mut dyn CryptoRng,
) -> salt_crypto::Result<Vec<u8>> {
    let mut load = Vec::with_capacity(1536);
    msgpack::encode_map(inner, Dialect::Raw, &mut load);
    let signature = shared.identity.sign(signing, &load, rng)?;
    let mut body = Vec::with_capacity(load.len() + signature.len() + 32);
    envelope::signed_reply(&load, &signature, &mut body);
    Ok(body)
}
