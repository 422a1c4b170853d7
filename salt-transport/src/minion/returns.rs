//! Returns on their way to the master, and those that have to be sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use salt_proto::Map;
use salt_proto::backoff::between;

use crate::random;

/// Returns that failed are sent again until the master has them, as many as
/// fit; a minion that cannot reach its master for days must not fill up.
#[derive(Debug, Default)]
pub(super) struct Returns {
    in_flight: usize,
    retry: VecDeque<(Instant, Map)>,
    give_up: Option<Instant>,
}

/// How many are kept for another try.
const KEPT: usize = 1_000;

impl Returns {
    /// One is on its way.
    pub(super) fn sent(&mut self) {
        self.in_flight += 1;
    }

    /// One arrived.
    pub(super) fn delivered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// One did not arrive: after a random wait (Salt's `return_retry_timer`,
    /// 5 to 10 s) it is due again.
    pub(super) fn retry(&mut self, load: Map, now: Instant) {
        self.delivered();
        let wait = between(
            Duration::from_secs(5),
            Duration::from_secs(10),
            &mut random::u64,
        );
        if self.retry.len() >= KEPT
            && let Some((_, lost)) = self.retry.pop_front()
        {
            tracing::error!(jid = lost.str("jid"), "too many returns wait; one is lost");
        }
        self.retry.push_back((now + wait, load));
    }

    /// Those to be sent again now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Map> {
        let (due, later) = std::mem::take(&mut self.retry)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(at, _)| *at <= now);
        self.retry = later;
        due.into_iter().map(|(_, load)| load).collect()
    }

    /// Whether the master has everything, or time is up.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        self.in_flight == 0 && self.retry.is_empty() || self.is_given_up(now)
    }

    /// Whether time is up.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.give_up.is_some_and(|at| at <= now)
    }

    /// Sets the time for everything still on its way.
    pub(super) fn give_up_at(&mut self, at: Instant) {
        self.give_up.get_or_insert(at);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retry.iter().map(|(at, _)| *at).min();
        [retry, self.give_up].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(jid: usize) -> Map {
        Map::from([("jid", jid.to_string())])
    }

    #[test]
    fn a_return_that_failed_is_due_again_after_a_wait() {
        let now = Instant::now();
        let mut returns = Returns::default();
        returns.sent();

        returns.retry(load(1), now);

        assert!(returns.due(now + Duration::from_secs(4)).is_empty());
        assert_eq!(returns.due(now + Duration::from_secs(11)), [load(1)]);
        assert!(returns.is_done(now));
    }

    #[test]
    fn the_oldest_is_lost_when_too_many_wait() {
        let now = Instant::now();
        let mut returns = Returns::default();

        for n in 0..=KEPT {
            returns.retry(load(n), now);
        }

        let due = returns.due(now + Duration::from_secs(11));
        assert_eq!((due.len(), due.first()), (KEPT, Some(&load(1))));
    }
}
