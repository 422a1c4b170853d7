//! Who should answer a job, who did, who is late.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::id::MinionId;
use crate::ret::Return;

/// The answers to one job.
///
/// A repeated return — a retry after a lost acknowledgement — is taken quietly
/// and kept once. A *different* return of the same minion is kept beside the
/// first and flagged, never in its place. Returns nobody asked for are kept
/// apart and counted against their own bound.
#[derive(Clone, Debug)]
pub struct JobTracker {
    minions: BTreeMap<MinionId, Answer>,
    unexpected: BTreeMap<MinionId, Return>,
    waiting: usize,
    deadline: Instant,
}

/// One expected minion.
#[derive(Clone, Debug)]
enum Answer {
    Waiting,
    Returned {
        first: Box<Return>,
        /// Conflicting later returns, oldest first, at most [`JobTracker::CONFLICTS`].
        others: Vec<Return>,
    },
}

/// What a return meant for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The first return of an expected minion.
    First,
    /// The same return again.
    Duplicate,
    /// Another return from a minion that has returned: kept beside the first.
    Conflict,
    /// A return from a minion that was not asked.
    Unexpected,
    /// Not kept: the bound on conflicting or unexpected returns is reached.
    Dropped,
}

impl JobTracker {
    /// How many conflicting returns of one minion are kept.
    pub const CONFLICTS: usize = 4;
    /// How many unexpected returns of a job are kept.
    pub const UNEXPECTED: usize = 64;

    /// Expects answers from `minions` until `deadline`.
    pub fn new(minions: impl IntoIterator<Item = MinionId>, deadline: Instant) -> Self {
        let minions: BTreeMap<_, _> = minions
            .into_iter()
            .map(|id| (id, Answer::Waiting))
            .collect();
        Self {
            waiting: minions.len(),
            minions,
            unexpected: BTreeMap::new(),
            deadline,
        }
    }

    /// Takes a return in; its minion is `ret.id`, which the caller has
    /// compared with the authenticated sender.
    pub fn handle_return(&mut self, ret: &Return) -> Verdict {
        match self.minions.get_mut(&ret.id) {
            Some(answer @ Answer::Waiting) => {
                *answer = Answer::Returned {
                    first: Box::new(ret.clone()),
                    others: Vec::new(),
                };
                self.waiting -= 1;
                Verdict::First
            }
            Some(Answer::Returned { first, others }) => {
                if first.same_outcome(ret) || others.iter().any(|other| other.same_outcome(ret)) {
                    Verdict::Duplicate
                } else if others.len() < Self::CONFLICTS {
                    others.push(ret.clone());
                    Verdict::Conflict
                } else {
                    Verdict::Dropped
                }
            }
            None => {
                if self.unexpected.contains_key(&ret.id) {
                    Verdict::Duplicate
                } else if self.unexpected.len() < Self::UNEXPECTED {
                    self.unexpected.insert(ret.id.clone(), ret.clone());
                    Verdict::Unexpected
                } else {
                    Verdict::Dropped
                }
            }
        }
    }

    /// Waits until `deadline` from now on, for example after the minions said
    /// that they are still working.
    pub fn extend(&mut self, deadline: Instant) {
        self.deadline = self.deadline.max(deadline);
    }

    /// When to stop waiting; `None` once all have answered.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.waiting > 0).then_some(self.deadline)
    }

    /// Whether nobody is waited for any more: all answered, or it is too late.
    pub fn is_done(&self, now: Instant) -> bool {
        self.waiting == 0 || now >= self.deadline
    }

    /// Who has not answered, in order.
    pub fn missing(&self) -> impl Iterator<Item = &MinionId> {
        self.minions
            .iter()
            .filter(|(_, answer)| matches!(answer, Answer::Waiting))
            .map(|(id, _)| id)
    }

    /// Who was asked, in order.
    pub fn expected(&self) -> impl Iterator<Item = &MinionId> {
        self.minions.keys()
    }

    /// The first return of each minion that was asked and answered, in order of ids.
    pub fn returns(&self) -> impl Iterator<Item = &Return> {
        self.minions.values().filter_map(|answer| match answer {
            Answer::Waiting => None,
            Answer::Returned { first, .. } => Some(&**first),
        })
    }

    /// Later returns that differ from their minion's first.
    pub fn conflicts(&self) -> impl Iterator<Item = &Return> {
        self.minions.values().flat_map(|answer| match answer {
            Answer::Waiting => &[][..],
            Answer::Returned { others, .. } => others.as_slice(),
        })
    }

    /// Returns of minions that were not asked.
    pub fn unexpected(&self) -> impl Iterator<Item = &Return> {
        self.unexpected.values()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jid::Jid;
    use crate::job::Functions;
    use crate::value::Value;

    #[expect(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn epoch() -> Instant {
        Instant::now()
    }

    fn id(text: &str) -> MinionId {
        MinionId::parse(text).unwrap()
    }

    fn ret(from: &str, value: impl Into<Value>) -> Return {
        Return::new(
            id(from),
            Jid::from_unix_micros(0),
            Functions::from("test.ping"),
            value,
        )
    }

    #[test]
    fn a_job_is_done_when_all_answered_or_the_time_is_over() {
        let start = epoch();
        let late = start + Duration::from_secs(5);
        let mut tracker = JobTracker::new([id("b"), id("a")], late);
        assert_eq!(tracker.poll_timeout(), Some(late));

        assert_eq!(tracker.handle_return(&ret("a", true)), Verdict::First);
        assert!(!tracker.is_done(start));
        assert!(tracker.is_done(late));
        assert_eq!(tracker.missing().collect::<Vec<_>>(), [&id("b")]);

        assert_eq!(tracker.handle_return(&ret("b", true)), Verdict::First);
        assert!(tracker.is_done(start));
        assert_eq!(tracker.poll_timeout(), None);
    }

    //
    #[test]
    fn a_repeated_return_is_kept_once_and_a_different_one_beside_the_first() {
        let mut tracker = JobTracker::new([id("a")], epoch());
        let mut again = ret("a", 1);
        again.extra.insert("_stamp", "later");

        assert_eq!(tracker.handle_return(&ret("a", 1)), Verdict::First);
        assert_eq!(tracker.handle_return(&again), Verdict::Duplicate);
        assert_eq!(tracker.handle_return(&ret("a", 2)), Verdict::Conflict);
        assert_eq!(tracker.handle_return(&ret("a", 2)), Verdict::Duplicate);

        assert_eq!(
            tracker.returns().map(|r| &r.value).collect::<Vec<_>>(),
            [&Value::Int(1)]
        );
        assert_eq!(
            tracker.conflicts().map(|r| &r.value).collect::<Vec<_>>(),
            [&Value::Int(2)]
        );
        for n in 3..20 {
            tracker.handle_return(&ret("a", n));
        }
        assert_eq!(tracker.conflicts().count(), JobTracker::CONFLICTS);
    }

    #[test]
    fn returns_nobody_asked_for_are_kept_apart_and_bounded() {
        let mut tracker = JobTracker::new([id("a")], epoch());
        assert_eq!(tracker.handle_return(&ret("x", 1)), Verdict::Unexpected);
        for n in 0..1000 {
            tracker.handle_return(&ret(&format!("x{n}"), 1));
        }
        assert_eq!(tracker.unexpected().count(), JobTracker::UNEXPECTED);
        assert_eq!(tracker.returns().count(), 0);
    }
}
