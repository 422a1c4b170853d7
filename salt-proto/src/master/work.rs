//! What is too expensive for the core: RSA, and opening large messages.

use std::sync::{Arc, OnceLock};

use salt_crypto::{CryptoRng, Identity, Signing, handshake};

use super::authentication::{Grant, Granted, Signature};
use super::requests::{Opened, Sealed};

/// What all work of a core shares.
pub(super) struct Shared {
    pub(super) identity: Identity,
    signer: Option<Identity>,
    /// `pub_sig`, which depends on nothing but the keys and the algorithm.
    pub_sig: [OnceLock<String>; 2],
}

impl Shared {
    pub(super) fn new(identity: Identity, signer: Option<Identity>) -> Self {
        Self {
            identity,
            signer,
            pub_sig: Default::default(),
        }
    }

    /// The signature over the master's key by its signing key, if it has one.
    pub(super) fn pub_sig(
        &self,
        signing: Signing,
        rng: &mut dyn CryptoRng,
    ) -> salt_crypto::Result<Option<&str>> {
        let Some(signer) = &self.signer else {
            return Ok(None);
        };
        let [sha1, sha224] = &self.pub_sig;
        let kept = match signing {
            Signing::Pkcs1v15Sha1 => sha1,
            Signing::Pkcs1v15Sha224 => sha224,
        };
        if let Some(signature) = kept.get() {
            return Ok(Some(signature));
        }
        let master = self.identity.public_key();
        let signature = handshake::sign_master_key(signer, signing, master, rng)?;
        Ok(Some(kept.get_or_init(|| signature)))
    }
}

/// Something to compute for a request, on any thread.
pub struct Work(pub(super) Task);

pub(super) enum Task {
    Sign(Box<Signature>),
    Grant(Box<Grant>),
    Open(Box<Sealed>),
}

/// The result of some [`Work`], for [`MasterCore::handle_finished`](super::MasterCore::handle_finished).
pub struct Finished(pub(super) Outcome);

pub(super) enum Outcome {
    Answer(Vec<u8>),
    Granted(Box<Granted>),
    Opened(Box<Opened>),
    Failed,
}

impl Work {
    /// Computes; milliseconds of processor time.
    pub fn run(self, rng: &mut dyn CryptoRng) -> Finished {
        Finished(match self.0 {
            Task::Sign(work) => work.run(rng).map_or(Outcome::Failed, Outcome::Answer),
            Task::Grant(work) => work.run(rng).map_or(Outcome::Failed, |granted| {
                Outcome::Granted(Box::new(granted))
            }),
            Task::Open(work) => Outcome::Opened(Box::new(work.open().verify())),
        })
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Task::Sign(_) => "Work(Sign)",
            Task::Grant(_) => "Work(Grant)",
            Task::Open(_) => "Work(Open)",
        })
    }
}

impl std::fmt::Debug for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finished")
    }
}

// Work moves between threads.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Work>();
    is_send::<Finished>();
    is_send::<super::MasterCore>();
    is_send::<super::Authorised>();
    is_send::<super::Publication>();
    is_send::<Arc<Shared>>();
};
