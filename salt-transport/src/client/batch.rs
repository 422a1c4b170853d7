//! A few minions at a time.

use std::collections::{BTreeSet, VecDeque};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How many minions may work at a time: Salt's `-b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchSize {
    /// So many; none counts as one.
    Count(usize),
    /// A part of all, in percent: rounded down, but at least one.
    Percent(f64),
}

/// The text is neither a number nor a percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an integer or percentage string like '10' or '25%'")]
pub struct InvalidBatchSize;

impl BatchSize {
    /// How many of `total` that is, at least one.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => {
                #[expect(clippy::cast_precision_loss, reason = "a fleet is smaller than 2^52")]
                let part = percent / 100.0 * total as f64;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "`as` saturates, and rounding down is what Salt does"
                )]
                let part = part as usize;
                part.max(1)
            }
        }
    }
}

impl FromStr for BatchSize {
    type Err = InvalidBatchSize;

    fn from_str(text: &str) -> Result<Self, InvalidBatchSize> {
        let text = text.trim();
        // `%10` is as good as `10%`.
        let bare = text.strip_suffix('%').or_else(|| text.strip_prefix('%'));
        if let Some(number) = bare {
            return match number.trim().parse() {
                Ok(percent) if f64::is_finite(percent) => Ok(Self::Percent(percent)),
                _ => Err(InvalidBatchSize),
            };
        }
        match text.parse::<i64>() {
            Ok(count) => Ok(Self::Count(usize::try_from(count).unwrap_or(0))),
            Err(_) => Err(InvalidBatchSize),
        }
    }
}

/// Who works now and who comes next, without IO.
///
/// Every minion starts exactly once, and never more than the size allows are between their start and their end.
#[derive(Clone, Debug)]
pub struct Batch {
    queue: VecDeque<String>,
    working: BTreeSet<String>,
    size: usize,
    pause: Duration,
    /// Places that become free at these times, oldest first.
    pausing: VecDeque<Instant>,
}

impl Batch {
    /// A batch over these minions, in their order. Who is named twice starts once.
    ///
    /// After a minion has ended, its place stays empty for `pause` (Salt's `--batch-wait`).
    pub fn new(
        minions: impl IntoIterator<Item = String>,
        size: BatchSize,
        pause: Duration,
    ) -> Self {
        let mut seen = BTreeSet::new();
        let queue: VecDeque<String> = minions
            .into_iter()
            .filter(|id| seen.insert(id.clone()))
            .collect();
        Self {
            size: size.of(queue.len()),
            queue,
            working: BTreeSet::new(),
            pause,
            pausing: VecDeque::new(),
        }
    }

    /// Who is to start now, if anybody; they count as working from here on.
    pub fn poll_start(&mut self, now: Instant) -> Option<Vec<String>> {
        while self.pausing.front().is_some_and(|until| *until <= now) {
            self.pausing.pop_front();
        }
        let taken = self.working.len() + self.pausing.len();
        let free = self.size.saturating_sub(taken).min(self.queue.len());
        let starting: Vec<String> = self.queue.drain(..free).collect();
        self.working.extend(starting.iter().cloned());
        (!starting.is_empty()).then_some(starting)
    }

    /// Takes note that a minion has returned or is given up. `false`: it was not working.
    pub fn handle_end(&mut self, id: &str, now: Instant) -> bool {
        let was_working = self.working.remove(id);
        if was_working && !self.pause.is_zero() {
            self.pausing.push_back(now + self.pause);
        }
        was_working
    }

    /// When a place becomes free that somebody waits for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.queue.is_empty() {
            return None;
        }
        self.pausing.front().copied()
    }

    /// Nobody else starts.
    pub fn stop(&mut self) {
        self.queue.clear();
    }

    /// Whether everybody has started and ended.
    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.working.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, total: usize, expected: Option<usize>) {
        let size = text.parse::<BatchSize>().ok().map(|size| size.of(total));
        assert_eq!(size, expected, "{text:?} of {total}");
    }

    // Each compared with 3006.27 and 3008.3.
    #[test]
    fn sizes_are_counts_or_percentages() {
        check("1", 4, Some(1));
        check("0", 4, Some(1));
        check("-3", 4, Some(1));
        check("10", 4, Some(10));
        check("50%", 4, Some(2));
        check("60%", 4, Some(2));
        check("%10", 4, Some(1));
        check("1%", 4, Some(1));
        check("33.3%", 9, Some(2));
        check("200%", 4, Some(8));
        check("x", 4, None);
        check("", 4, None);
        check("%", 4, None);
        check("inf%", 4, None);
        check("1.5", 4, None);
    }

    #[test]
    fn a_place_stays_empty_for_the_pause() {
        let t = Instant::now();
        let pause = Duration::from_secs(3);
        let ids = ["a", "b"].map(str::to_owned);
        let mut batch = Batch::new(ids, BatchSize::Count(1), pause);

        assert_eq!(batch.poll_start(t), Some(vec!["a".to_owned()]));
        assert!(batch.handle_end("a", t));
        assert_eq!(
            (batch.poll_start(t), batch.poll_timeout()),
            (None, Some(t + pause))
        );
        assert_eq!(batch.poll_start(t + pause), Some(vec!["b".to_owned()]));
        assert!(batch.handle_end("b", t + pause));
        assert!(batch.is_done());
        assert_eq!(batch.poll_timeout(), None);
    }

    proptest! {
        #[test]
        fn every_minion_starts_once_and_never_too_many_work(
            ids in proptest::collection::vec("[a-f]{1,2}", 0..40),
            size in prop_oneof![
                (0_usize..12).prop_map(BatchSize::Count),
                (0.0_f64..150.0).prop_map(BatchSize::Percent),
            ],
            pause in 0_u64..4,
            ends in proptest::collection::vec((any::<prop::sample::Index>(), 0_u64..3), 200),
        ) {
            let mut now = Instant::now();
            let distinct: BTreeSet<String> = ids.iter().cloned().collect();
            let allowed = size.of(distinct.len());
            let mut batch = Batch::new(ids, size, Duration::from_secs(pause));
            let mut working: Vec<String> = Vec::new();
            let mut started: BTreeMap<String, usize> = BTreeMap::new();
            let mut ends = ends.into_iter().cycle();

            while !batch.is_done() {
                if let Some(ids) = batch.poll_start(now) {
                    for id in &ids {
                        *started.entry(id.clone()).or_default() += 1;
                    }
                    working.extend(ids);
                }
                prop_assert!(working.len() <= allowed);
                let (which, seconds) = ends.next().unwrap();
                now += Duration::from_secs(seconds);
                if working.is_empty() {
                    let until = batch.poll_timeout();
                    prop_assert!(until.is_some() || batch.is_done(), "nothing to wait for");
                    now = until.map_or(now, |until| now.max(until));
                } else {
                    let id = working.swap_remove(which.index(working.len()));
                    prop_assert!(batch.handle_end(&id, now));
                    prop_assert!(!batch.handle_end(&id, now));
                }
            }
            prop_assert_eq!(started.keys().cloned().collect::<BTreeSet<_>>(), distinct);
            prop_assert!(started.values().all(|times| *times == 1));
        }
    }
}
