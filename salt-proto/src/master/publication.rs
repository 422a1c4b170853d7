//! Jobs sealed and signed for all minions.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use salt_crypto::handshake::PublishKeyProof;
use salt_crypto::{CryptoRng, Identity, Purpose, SessionKey, Signing, Suite};

use super::work::Shared;
use crate::minion::topic_of;
use crate::msgpack::{self, Dialect};
use crate::{Job, Map, MinionId, Value, envelope};

/// A publish key, with the master's proof of it once that was made.
pub(super) struct PublishKey {
    key: SessionKey,
    proof: OnceLock<PublishKeyProof>,
}

impl PublishKey {
    pub(super) fn new(key: SessionKey) -> Self {
        Self {
            key,
            proof: OnceLock::new(),
        }
    }

    pub(super) fn key(&self) -> &SessionKey {
        &self.key
    }

    /// The proof, which costs a private RSA operation the first time.
    pub(super) fn proof(
        &self,
        identity: &Identity,
        rng: &mut dyn CryptoRng,
    ) -> salt_crypto::Result<&PublishKeyProof> {
        if let Some(proof) = self.proof.get() {
            return Ok(proof);
        }
        let proof = PublishKeyProof::new(identity, &self.key, rng)?;
        Ok(self.proof.get_or_init(|| proof))
    }
}

/// A numbered job that still has to be sealed and signed: one or two private RSA
/// operations, off the core.
pub struct Publication {
    load: Map,
    recipients: Option<Vec<Recipient>>,
    key: Arc<PublishKey>,
    shared: Arc<Shared>,
    signing: Signing,
    gcm: bool,
}

/// One minion a publish is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The minion.
    pub id: MinionId,
    /// What it subscribes to (`zmq_filtering`).
    pub topic: String,
}

/// A publish, ready to be sent.
///
/// Over ZeroMQ, a subscriber to [`GCM_TOPIC`](crate::GCM_TOPIC) gets two frames,
/// that topic and `gcm`, instead of `classic`. The others get `classic` alone,
/// or with `zmq_filtering` behind the topic of each recipient or `broadcast`.
/// Over `tcp`, jobs with recipients go only to connections announced as one of
/// them.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// Who is meant; `None` is everybody.
    pub recipients: Option<Vec<Recipient>>,
    /// The encoded publish envelope for all peers.
    pub classic: Bytes,
    /// The same job for minions that agreed on AES-256-GCM, if there are any.
    pub gcm: Option<Bytes>,
}

impl Publication {
    /// The keys besides a job's own that stock masters publish.
    const EXTRA: [&'static str; 9] = [
        "to",
        "id",
        "master_id",
        "ret_config",
        "ret_kwargs",
        "module_executors",
        "executor_opts",
        "start_event",
        "auth_list",
    ];

    pub(super) fn new(
        job: &Job,
        serial: u64,
        minions: &[MinionId],
        key: Arc<PublishKey>,
        shared: Arc<Shared>,
        signing: Signing,
        gcm: bool,
    ) -> Self {
        let mut job = job.clone();
        job.serial = Some(serial);
        job.extra
            .retain(|key, _| key.as_str().is_some_and(|key| Self::EXTRA.contains(&key)));
        let by_id = matches!(job.target.kind().name(), "glob" | "pcre" | "list");
        let recipients = (by_id && !minions.is_empty()).then(|| {
            minions
                .iter()
                .map(|id| Recipient {
                    id: id.clone(),
                    topic: topic_of(id),
                })
                .collect()
        });
        Self {
            load: job.to_map(),
            recipients,
            key,
            shared,
            signing,
            gcm,
        }
    }

    /// The job as it is published, for the event `salt/job/<jid>/publish`.
    pub fn load(&self) -> &Map {
        &self.load
    }

    /// The serial of this publish.
    pub fn serial(&self) -> u64 {
        match self.load.get("serial") {
            Some(Value::Int(n)) => u64::try_from(*n).unwrap_or_default(),
            Some(Value::UInt(n)) => *n,
            _ => 0,
        }
    }

    /// Seals and signs.
    ///
    /// # Errors
    /// The RSA implementation failed.
    pub fn seal(self, rng: &mut dyn CryptoRng) -> salt_crypto::Result<Broadcast> {
        let classic = self.seal_in(Suite::Classic, rng)?;
        let gcm = match self.gcm {
            true => Some(self.seal_in(Suite::Aes256Gcm, rng)?),
            false => None,
        };
        Ok(Broadcast {
            recipients: self.recipients,
            classic,
            gcm,
        })
    }

    fn seal_in(&self, suite: Suite, rng: &mut dyn CryptoRng) -> salt_crypto::Result<Bytes> {
        let mut plain = Vec::with_capacity(512);
        msgpack::encode_map(&self.load, Dialect::Raw, &mut plain);
        let mut sealed = Vec::with_capacity(plain.len() + 80);
        let key = self.key.key();
        key.seal(suite, Purpose::Publish, None, &plain, rng, &mut sealed);
        let signature = self.shared.identity.sign(self.signing, &sealed, rng)?;
        let mut body = Vec::with_capacity(sealed.len() + signature.len() + 64);
        let signature = Some((self.signing.name(), signature.as_slice()));
        envelope::publish(&sealed, signature, &mut body);
        Ok(body.into())
    }
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication")
            .field("serial", &self.serial())
            .field("recipients", &self.recipients)
            .finish_non_exhaustive()
    }
}
