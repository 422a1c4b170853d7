//! The waits between attempts.

use std::time::Duration;

/// Waits that double from a first to a longest one, each shortened at random.
///
/// Randomness spreads the minions of a restarted master over time; without it
/// all of them come back in the same instant. The source is the caller's: any
/// `FnMut() -> u64` whose results are spread over all of `u64`.
///
/// ```
/// use std::time::Duration;
/// use salt_proto::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// let mut random = || u64::MAX;
/// assert_eq!(backoff.next_wait(&mut random), Duration::from_secs(1));
/// assert_eq!(backoff.next_wait(&mut random), Duration::from_secs(2));
/// backoff.reset();
/// assert_eq!(backoff.next_wait(&mut random), Duration::from_secs(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    attempts: u32,
}

impl Backoff {
    /// Waits from `first` to `longest`, each between half of itself and itself.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let first = first.min(longest);
        Self {
            first,
            longest,
            next: first,
            attempts: 0,
        }
    }

    /// The next wait: uniformly between half and all of the current step.
    pub fn next_wait(&mut self, random: &mut dyn FnMut() -> u64) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        between(step / 2, step, random)
    }

    /// How many waits were given out since the start or the last [`reset`](Self::reset).
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
        self.attempts = 0;
    }
}

/// A uniformly random duration from `low` to `high`, to the nanosecond.
///
/// Salt's own reconnect wait is `between(1 s, 11 s)`.
pub fn between(low: Duration, high: Duration, random: &mut dyn FnMut() -> u64) -> Duration {
    let span = high.saturating_sub(low).as_nanos();
    // span * (draw + 1) / 2^64 in two halves, because the product may need 158 bits.
    let draw = u128::from(random()) + 1;
    let part = (span >> 64) * draw + (((span & u128::from(u64::MAX)) * draw) >> 64);
    low + Duration::new(
        u64::try_from(part / 1_000_000_000).unwrap_or(u64::MAX),
        u32::try_from(part % 1_000_000_000).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_lies_between_half_and_all_of_its_step() {
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state
        };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut step = Duration::from_millis(100);

        for _ in 0..50 {
            let wait = backoff.next_wait(&mut random);
            assert!(wait >= step / 2 && wait <= step, "{wait:?} {step:?}");
            step = (step * 2).min(Duration::from_secs(5));
        }
        assert_eq!(backoff.attempts(), 50);
    }

    #[test]
    fn extreme_durations_do_not_overflow() {
        for draw in [0, 1, u64::MAX] {
            let wait = between(Duration::ZERO, Duration::MAX, &mut || draw);
            assert!(wait <= Duration::MAX);
            let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
            backoff.next_wait(&mut || draw);
            backoff.next_wait(&mut || draw);
        }
    }

    #[test]
    fn the_lowest_draw_is_the_low_end_and_the_highest_the_high_end() {
        let (low, high) = (Duration::from_secs(1), Duration::from_secs(11));
        assert_eq!(between(low, high, &mut || 0), low);
        assert_eq!(between(low, high, &mut || u64::MAX), high);
    }
}
