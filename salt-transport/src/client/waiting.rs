//! Whom a job still waits for, and when to ask them whether they are working.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The shortest patience. With none at all a working minion would be asked without pause.
const SHORTEST: Duration = Duration::from_millis(100);

/// The waiting of one job, without IO.
///
/// Who is silent for `timeout` is asked whether he is still working. Who says so within `gather` is waited for again;
/// who does not is late. What he sends after all still counts.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    timeout: Duration,
    gather: Duration,
    minions: BTreeMap<String, State>,
    /// Until when the answers to the last question are gathered.
    gathering: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waited for until then.
    Due(Instant),
    /// Said since the last question that he is working; to be asked again then.
    Working(Instant),
    Late,
    Answered,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask these whether they are working.
    Ask(Vec<String>),
    /// These said nothing.
    Late(Vec<String>),
}

impl Waiting {
    pub(super) fn new(timeout: Duration, gather: Duration) -> Self {
        Self {
            timeout: timeout.max(SHORTEST),
            gather: gather.max(SHORTEST),
            minions: BTreeMap::new(),
            gathering: None,
        }
    }

    /// Waits for these too. Who has answered already is not waited for again.
    pub(super) fn expect<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>, now: Instant) {
        for id in ids {
            let due = State::Due(now + self.timeout);
            self.minions.entry(id.to_owned()).or_insert(due);
        }
    }

    /// Takes note of a return. `false`: it is not the first of this minion.
    pub(super) fn handle_return(&mut self, id: &str) -> bool {
        let before = self.minions.insert(id.to_owned(), State::Answered);
        before != Some(State::Answered)
    }

    /// Takes note of a minion that says it is working, one nobody thought of included.
    pub(super) fn handle_working(&mut self, id: &str, now: Instant) {
        let working = State::Working(now + self.timeout);
        match self.minions.get_mut(id) {
            Some(State::Answered) => {}
            Some(state) => *state = working,
            None => {
                self.minions.insert(id.to_owned(), working);
            }
        }
    }

    /// Takes note that the question of [`Step::Ask`] has left; the time to answer begins.
    pub(super) fn handle_asked(&mut self, now: Instant) {
        if self.gathering.is_some() {
            self.gathering = Some(now + self.gather);
        }
    }

    /// What is to be done now; to be called until there is nothing.
    pub(super) fn poll_step(&mut self, now: Instant) -> Option<Step> {
        if self.is_done() {
            return None;
        }
        if let Some(until) = self.gathering {
            if now < until {
                return None;
            }
            self.gathering = None;
            let late = self.drop_due(now);
            if !late.is_empty() {
                return Some(Step::Late(late));
            }
        }
        if self.next_due().is_none_or(|due| now < due) {
            return None;
        }
        self.gathering = Some(now + self.gather);
        for state in self.minions.values_mut() {
            if let State::Working(until) = *state {
                *state = State::Due(until);
            }
        }
        Some(Step::Ask(self.unanswered()))
    }

    /// When [`poll_step`](Self::poll_step) will have something to say if nothing else happens.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.is_done() {
            return None;
        }
        self.gathering.or_else(|| self.next_due())
    }

    /// Whether everybody has answered or is late.
    pub(super) fn is_done(&self) -> bool {
        self.next_due().is_none()
    }

    /// Who has not answered, sorted.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.ids(|state| state != State::Answered)
    }

    fn ids(&self, keep: impl Fn(State) -> bool) -> Vec<String> {
        self.minions
            .iter()
            .filter(|(_, state)| keep(**state))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn next_due(&self) -> Option<Instant> {
        self.minions
            .values()
            .filter_map(|state| match state {
                State::Due(due) | State::Working(due) => Some(*due),
                State::Late | State::Answered => None,
            })
            .min()
    }

    /// Gives up on who should have been heard of by now.
    fn drop_due(&mut self, now: Instant) -> Vec<String> {
        let mut late = Vec::new();
        for (id, state) in &mut self.minions {
            if matches!(state, State::Due(due) if *due <= now) {
                *state = State::Late;
                late.push(id.clone());
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        Instant::now()
    }

    fn waiting(ids: &[&str], now: Instant) -> Waiting {
        let mut waiting = Waiting::new(5 * S, 10 * S);
        waiting.expect(ids.iter().copied(), now);
        waiting
    }

    fn names(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn nobody_is_asked_when_all_answer_in_time() {
        let t = start();
        let mut waiting = waiting(&["a", "b"], t);

        assert!(waiting.handle_return("a"));
        assert!(!waiting.handle_return("a"));
        assert!(!waiting.is_done());
        assert!(waiting.handle_return("b"));

        assert!(waiting.is_done());
        assert_eq!(
            (waiting.poll_timeout(), waiting.poll_step(t + 60 * S)),
            (None, None)
        );
    }

    // wire.md §15.1: five seconds, then ten.
    #[test]
    fn who_is_silent_is_asked_once_and_late_when_he_stays_silent() {
        let t = start();
        let mut waiting = waiting(&["a", "b"], t);
        waiting.handle_return("a");

        assert_eq!(waiting.poll_timeout(), Some(t + 5 * S));
        assert_eq!(waiting.poll_step(t + 4 * S), None);
        assert_eq!(waiting.poll_step(t + 5 * S), Some(Step::Ask(names(&["b"]))));
        assert_eq!(waiting.poll_step(t + 5 * S), None);
        assert_eq!(waiting.poll_timeout(), Some(t + 15 * S));
        assert_eq!(
            waiting.poll_step(t + 15 * S),
            Some(Step::Late(names(&["b"])))
        );
        assert!(waiting.is_done());
        assert!(waiting.handle_return("b"), "a late answer is an answer");
    }

    #[test]
    fn who_says_that_he_works_is_asked_again_as_long_as_he_says_so() {
        let t = start();
        let mut waiting = waiting(&["a"], t);
        let mut now = t + 5 * S;

        for _ in 0..100 {
            assert_eq!(waiting.poll_step(now), Some(Step::Ask(names(&["a"]))));
            waiting.handle_working("a", now + S);
            now = waiting.poll_timeout().unwrap();
        }
        assert_eq!(waiting.poll_step(now), Some(Step::Ask(names(&["a"]))));
        let until = waiting.poll_timeout().unwrap();
        assert_eq!(waiting.poll_step(until), Some(Step::Late(names(&["a"]))));
        assert!(waiting.is_done());
    }

    #[test]
    fn a_minion_whose_reply_came_early_in_the_gathering_is_not_late_at_its_end() {
        let t = start();
        let mut waiting = waiting(&["a", "b"], t);
        waiting.poll_step(t + 5 * S);
        waiting.handle_working("a", t + 5 * S);

        assert_eq!(
            waiting.poll_step(t + 15 * S),
            Some(Step::Late(names(&["b"])))
        );
        assert_eq!(
            waiting.poll_step(t + 15 * S),
            Some(Step::Ask(names(&["a", "b"])))
        );
    }

    #[test]
    fn without_patience_there_is_still_a_pause() {
        let t = start();
        let mut waiting = Waiting::new(Duration::ZERO, Duration::ZERO);
        waiting.expect(["a"], t);

        assert_eq!(waiting.poll_step(t), None);
        assert!(waiting.poll_timeout().unwrap() > t);
    }
}
