//! The answers to one job, as they come.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use salt_proto::{Jid, Return};

use super::Published;
use super::hearing::{Heard, Hearing};
use crate::error::Result;

/// What became of a job on one minion.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// It returned. Only the first return of a minion is told.
    Return(Box<Return>),
    /// It was silent for a while, and says now that it is working on it.
    Working(String),
    /// It was meant, and neither returned nor said that it is working. Told at the end.
    Missing(String),
}

/// The answers to one job.
pub struct Answers {
    hearing: Hearing,
    published: Published,
    /// Set at the end.
    missing: Option<VecDeque<String>>,
}

impl Answers {
    pub(super) fn new(mut hearing: Hearing, published: Published) -> Self {
        hearing.expect(&published.jid, &published.minions);
        Self {
            hearing,
            published,
            missing: None,
        }
    }

    /// The job.
    pub fn jid(&self) -> &Jid {
        &self.published.jid
    }

    /// What the master published, and whom it expects to answer.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// The next answer, or `None` at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the event bus ends: the master was stopped.
    pub async fn next(&mut self) -> Result<Option<Answer>> {
        loop {
            if let Some(missing) = &mut self.missing {
                return Ok(missing.pop_front().map(Answer::Missing));
            }
            if self.hearing.is_done() {
                self.missing = Some(self.without_answer());
                continue;
            }
            match self.hearing.next(None).await? {
                Heard::Return(ret) => return Ok(Some(Answer::Return(ret))),
                Heard::Working(id) => return Ok(Some(Answer::Working(id))),
                Heard::Late(_) | Heard::Tick => {}
            }
        }
    }

    /// Who was silent, then who was listed and is not accepted.
    fn without_answer(&self) -> VecDeque<String> {
        let silent = self.hearing.unanswered();
        let listed: BTreeSet<&String> = self.published.missing.iter().collect();
        let listed = listed
            .into_iter()
            .filter(|id| !self.hearing.has_answered(id) && !silent.contains(id))
            .cloned()
            .collect::<Vec<_>>();
        silent.into_iter().chain(listed).collect()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}
