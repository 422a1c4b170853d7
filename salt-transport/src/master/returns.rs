//! Returns on their way to whoever published from inside the process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salt_proto::{Jid, MinionId, Return};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Who waits for the returns of which job.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<Jid, mpsc::UnboundedSender<Return>>>>);

impl Waiting {
    /// The returns of a job that is about to be published.
    pub(super) fn expect(&self, jid: Jid, minions: BTreeSet<MinionId>) -> JobReturns {
        // Bounded by the job: each expected minion is let through once.
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(jid.clone(), sender);
        JobReturns {
            jid,
            expected: minions,
            receiver,
            until: None,
            waiting: Arc::clone(&self.0),
        }
    }

    pub(super) fn hand_on(&self, ret: &Return) {
        let Some(jid) = &ret.jid else {
            return;
        };
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(jid) {
            sender.send(ret.clone()).ok();
        }
    }
}

/// The returns of one job, as they come.
#[derive(Debug)]
pub struct JobReturns {
    jid: Jid,
    expected: BTreeSet<MinionId>,
    receiver: mpsc::UnboundedReceiver<Return>,
    until: Option<Instant>,
    waiting: Arc<Mutex<HashMap<Jid, mpsc::UnboundedSender<Return>>>>,
}

impl JobReturns {
    /// The job.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// Who has not returned yet, as far as the master can tell who was meant.
    pub fn missing(&self) -> impl Iterator<Item = &MinionId> {
        self.expected.iter()
    }

    /// Waits no longer than this, from now, for all returns together. Default 5 s.
    #[must_use]
    pub fn within(mut self, wait: Duration) -> Self {
        self.until = Some(Instant::now() + wait);
        self
    }

    /// The next return; `None` when everybody returned or the time is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Return> {
        let until = *self
            .until
            .get_or_insert_with(|| Instant::now() + Duration::from_secs(5));
        while !self.expected.is_empty() {
            let ret = tokio::time::timeout_at(until, self.receiver.recv())
                .await
                .ok()
                .flatten()?;
            // A retry of a return that was answered too late comes twice.
            if self.expected.remove(&ret.id) {
                return Some(ret);
            }
        }
        None
    }
}

impl Drop for JobReturns {
    fn drop(&mut self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.jid);
    }
}
