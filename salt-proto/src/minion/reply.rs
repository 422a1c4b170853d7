//! Requests sealed, replies opened.

use salt_crypto::{CryptoRng, Nonce, Purpose, handshake};

use super::{Attempt, MinionConfig, MinionLink, Session};
use crate::msgpack::{self, Dialect};
use crate::requests::RequestId;
use crate::{Map, Value, envelope, ret};

/// Why a reply gave no value.
pub(super) enum Unopened {
    /// Not sealed with our keys: perhaps a refusal in the clear.
    Refused { answer: Option<String> },
    /// Sealed with our keys, with the nonce of another request.
    OtherNonce,
    /// Sealed with our keys for this request, and yet no answer to it.
    Unusable,
}

impl Unopened {
    fn refused() -> Self {
        Self::Refused { answer: None }
    }
}

impl From<salt_crypto::Error> for Unopened {
    fn from(error: salt_crypto::Error) -> Self {
        match error {
            salt_crypto::Error::NonceMismatch => Self::OtherNonce,
            _ => Self::refused(),
        }
    }
}

impl MinionLink {
    /// Seals a request with the current keys, under a fresh nonce.
    pub(super) fn seal_request(
        &mut self,
        request: RequestId,
        unix_time: u64,
    ) -> Result<Vec<u8>, salt_crypto::Error> {
        let rng = self.rng.as_mut();
        let nonce = Nonce::generate(rng);
        let (Some(session), Some(pending)) =
            (self.session.as_ref(), self.requests.payload_mut(request))
        else {
            return Err(salt_crypto::Error::Refused);
        };
        let load = &mut pending.load;
        load.remove("sig");
        load.insert("nonce", nonce.as_str());
        load.insert("ts", unix_time);
        load.insert("tok", self.token.as_slice());
        if self.config.sign_messages {
            let signature =
                self.config
                    .identity
                    .sign(self.config.signing, &ret::signed_bytes(load), rng)?;
            load.insert("sig", signature);
        }

        let mut plain = Vec::with_capacity(1024);
        msgpack::encode_map(load, Dialect::Raw, &mut plain);
        let mut sealed = Vec::with_capacity(plain.len() + 80);
        session.keys.session.seal(
            session.suite,
            Purpose::Request,
            None,
            &plain,
            rng,
            &mut sealed,
        );
        let mut body = Vec::with_capacity(sealed.len() + 128);
        envelope::aes_request(
            &sealed,
            &self.config.id,
            self.config.encryption.name(),
            self.config.signing.name(),
            &mut body,
        );
        pending.attempt = Some(Attempt {
            nonce,
            generation: self.generation,
        });
        Ok(body)
    }

    /// Opens the reply to a request under way.
    pub(super) fn open_reply(
        &mut self,
        request: RequestId,
        body: &[u8],
    ) -> Result<Value, Unopened> {
        let (Some(pending), Some(session)) = (self.requests.payload(request), &self.session) else {
            return Err(Unopened::refused());
        };
        let Some(nonce) = pending.attempt.as_ref().map(|attempt| attempt.nonce) else {
            return Err(Unopened::refused());
        };
        if pending.is_private() {
            return open_private(&self.config, session, self.rng.as_mut(), &nonce, body);
        }
        let sealed = msgpack::content(body).ok_or_else(Unopened::refused)?;
        let mut plain = Vec::with_capacity(sealed.len());
        let opened = session
            .keys
            .session
            .open(Purpose::Reply, Some(&nonce), sealed, &mut plain)
            .map_err(|error| match Unopened::from(error) {
                Unopened::Refused { .. } => Unopened::Refused {
                    answer: printable(sealed),
                },
                other => other,
            })?;
        if opened.suite != session.suite {
            return Err(Unopened::refused());
        }
        match opened.body.and_then(|range| plain.get(range)) {
            Some(message) => msgpack::decode(message, &self.config.limits)
                .map_err(|_malformed| Unopened::Unusable),
            // Salt reads a sealed nothing as an empty map.
            None => Ok(Value::Map(Map::new())),
        }
    }
}

/// Opens a private answer: for this minion, signed by the master, to this nonce (C-04).
fn open_private(
    config: &MinionConfig,
    session: &Session,
    rng: &mut dyn CryptoRng,
    nonce: &Nonce,
    body: &[u8],
) -> Result<Value, Unopened> {
    let field = |bytes, key| -> Option<_> {
        let [found] = msgpack::skim(bytes, [key], &config.limits).ok()??;
        found.and_then(msgpack::content)
    };
    let (Some(wrapped), Some(sealed)) = (field(body, "key"), field(body, "pillar")) else {
        return Err(Unopened::Refused {
            answer: msgpack::content(body).and_then(printable),
        });
    };
    let key = handshake::unwrap(wrapped, &config.identity, config.encryption, rng)?;
    let mut plain = Vec::with_capacity(sealed.len());
    let opened = key.open(Purpose::Pillar, None, sealed, &mut plain)?;
    if opened.suite != session.suite {
        return Err(Unopened::refused());
    }
    let Some(signed) = opened.body.and_then(|range| plain.get(range)) else {
        return Err(Unopened::refused());
    };
    let (Some(data), Some(signature)) = (field(signed, "data"), field(signed, "sig")) else {
        return Err(Unopened::refused());
    };
    session.master.verify(config.signing, data, signature)?;
    let Ok(Value::Map(mut answer)) = msgpack::decode(data, &config.limits) else {
        return Err(Unopened::Unusable);
    };
    // The signed copy of the wrapped key ties the box to its lock.
    if answer.get("key").and_then(Value::as_bytes) != Some(wrapped) {
        return Err(Unopened::refused());
    }
    let echoed = answer.get("nonce").and_then(Value::as_bytes);
    if !echoed.is_some_and(|echoed| nonce.ct_eq(echoed)) {
        return Err(Unopened::OtherNonce);
    }
    answer.remove("pillar").ok_or(Unopened::Unusable)
}

/// A short answer in the clear, fit for a log.
fn printable(bytes: &[u8]) -> Option<String> {
    const LONGEST: usize = 200;
    let text = std::str::from_utf8(bytes).ok()?;
    (text.len() <= LONGEST && !text.chars().any(char::is_control)).then(|| text.to_owned())
}
