//! What was seen already: nonces, serials, finished jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::id::MinionId;
use crate::jid::Jid;
use crate::value::{Map, Value};

/// The requests of the last moments, so that each counts once.
///
/// A request is fresh if its time stamp is within `max_skew` of the master's
/// clock, in either direction, and its nonce was not seen from that minion
/// before. Memory is bounded by `per_minion` nonces for each minion: when one of
/// them sends more, its own oldest second is closed — what it stamped then is
/// refused from now on — and no window is ever widened.
#[derive(Clone, Debug)]
pub struct NonceWindow {
    max_skew: u64,
    per_minion: usize,
    minions: HashMap<MinionId, Recent>,
    /// Stamps below this are refused: their nonces are no longer remembered.
    closed_before: i64,
    sweep_at: i64,
}

/// One minion's nonces, and the same by their stamps.
#[derive(Clone, Debug)]
struct Recent {
    nonces: HashSet<[u8; 16]>,
    by_stamp: BTreeMap<i64, Vec<[u8; 16]>>,
    closed_before: i64,
}

impl Recent {
    fn new() -> Self {
        Self {
            nonces: HashSet::new(),
            by_stamp: BTreeMap::new(),
            closed_before: i64::MIN,
        }
    }

    fn forget_before(&mut self, stamp: i64) {
        while let Some(entry) = self.by_stamp.first_entry() {
            if *entry.key() >= stamp {
                break;
            }
            for nonce in entry.remove() {
                self.nonces.remove(&nonce);
            }
        }
    }
}

/// Why a request is not fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stale {
    /// The stamp is too far from the master's clock, or missing.
    ///
    /// `by` is the sender's clock minus ours in seconds, for the answer that
    /// lets an honest minion see its skew.
    #[error("the time stamp is {by} seconds off")]
    Skew {
        /// Sender's clock minus ours, in seconds, saturating.
        by: i64,
    },
    /// The nonce was used before.
    #[error("the request was seen before")]
    Repeated,
    /// The nonce is not 32 hexadecimal digits.
    #[error("the nonce is malformed")]
    Nonce,
}

impl NonceWindow {
    /// A window of `max_skew` seconds to both sides that remembers at most
    /// `per_minion` nonces of each minion.
    ///
    /// The strict profile uses 120 seconds. A nonce costs about 64 bytes.
    pub fn new(max_skew: u64, per_minion: usize) -> Self {
        Self {
            max_skew,
            per_minion: per_minion.max(1),
            minions: HashMap::new(),
            closed_before: i64::MIN,
            sweep_at: i64::MIN,
        }
    }

    /// Takes a request in: `nonce` is its 32 hexadecimal digits, `stamp` its
    /// `ts`, `now` the master's clock, both in Unix seconds.
    ///
    /// # Errors
    ///
    /// If the request is not fresh; it must not be served then.
    pub fn admit(
        &mut self,
        id: &MinionId,
        nonce: &[u8],
        stamp: i64,
        now: i64,
    ) -> Result<(), Stale> {
        let nonce = parse_nonce(nonce).ok_or(Stale::Nonce)?;
        let by = stamp.saturating_sub(now);
        if by.unsigned_abs() > self.max_skew {
            return Err(Stale::Skew { by });
        }
        self.advance(now);
        if stamp < self.closed_before {
            return Err(Stale::Skew { by });
        }
        if !self.minions.contains_key(id) {
            self.minions.insert(id.clone(), Recent::new());
        }
        let Some(recent) = self.minions.get_mut(id) else {
            return Err(Stale::Repeated);
        };
        recent.forget_before(self.closed_before);
        if stamp < recent.closed_before {
            return Err(Stale::Skew { by });
        }
        if !recent.nonces.insert(nonce) {
            return Err(Stale::Repeated);
        }
        recent.by_stamp.entry(stamp).or_default().push(nonce);
        while recent.nonces.len() > self.per_minion {
            let Some((&oldest, _)) = recent.by_stamp.first_key_value() else {
                break;
            };
            recent.closed_before = recent.closed_before.max(oldest.saturating_add(1));
            recent.forget_before(recent.closed_before);
        }
        Ok(())
    }

    /// How many nonces are remembered.
    pub fn len(&self) -> usize {
        self.minions
            .values()
            .map(|recent| recent.nonces.len())
            .sum()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.minions.values().all(|recent| recent.nonces.is_empty())
    }

    fn advance(&mut self, now: i64) {
        // A clock that steps back must not let forgotten nonces in again.
        self.closed_before = self
            .closed_before
            .max(now.saturating_sub_unsigned(self.max_skew));
        if now >= self.sweep_at {
            let closed_before = self.closed_before;
            self.minions.retain(|_, recent| {
                recent.forget_before(closed_before);
                !recent.nonces.is_empty()
            });
            self.sweep_at = now.saturating_add_unsigned(self.max_skew.max(1));
        }
    }
}

fn parse_nonce(text: &[u8]) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = text.try_into().ok()?;
    let mut nonce = [0; 16];
    for (byte, pair) in nonce.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(nonce)
}

/// The last serial of each publish key, so that an old publish is not taken again.
///
/// Salt restarts the serial at zero whenever the key is fetched again, so a stock
/// minion that signs in twice accepts old publishes. Here the serial is bound to
/// the key itself, by a caller-made fingerprint of it, for the last few keys.
#[derive(Clone, Debug, Default)]
pub struct SerialGuard<K = [u8; 32]> {
    /// Newest key last.
    keys: Vec<(K, u64)>,
}

/// A serial that is not newer than the last one under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("serial {serial} is not newer than {last}")]
pub struct OldSerial {
    /// The serial that came.
    pub serial: u64,
    /// The last one accepted.
    pub last: u64,
}

impl<K: Eq> SerialGuard<K> {
    /// How many keys are remembered; a master rotates at most a few times while
    /// an old publish could still be in flight.
    pub const KEYS: usize = 16;

    /// A guard that has seen nothing.
    pub fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// Takes a serial in, and returns how many before it were missed.
    ///
    /// # Errors
    ///
    /// If it is not greater than every serial accepted under this key before.
    pub fn admit(&mut self, key: K, serial: u64) -> Result<u64, OldSerial> {
        if let Some((_, last)) = self.keys.iter_mut().find(|(known, _)| *known == key) {
            if serial <= *last {
                return Err(OldSerial {
                    serial,
                    last: *last,
                });
            }
            let missed = serial - *last - 1;
            *last = serial;
            return Ok(missed);
        }
        if serial == 0 {
            return Err(OldSerial { serial, last: 0 });
        }
        if self.keys.len() >= Self::KEYS {
            self.keys.remove(0);
        }
        self.keys.push((key, serial));
        Ok(0)
    }
}

/// The jobs a minion has started, so that none starts twice.
///
/// Jobs whose id lies at or below a mark are refused unseen; those above it are
/// remembered one by one, at most `capacity`. When full, the mark rises to the
/// oldest remembered. [`to_map`](Self::to_map) is what to persist after each
/// job, so that a restart changes nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct JidLog {
    capacity: usize,
    mark: Option<Jid>,
    seen: BTreeSet<Jid>,
}

impl JidLog {
    /// A log that remembers up to `capacity` jobs above its mark.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            mark: None,
            seen: BTreeSet::new(),
        }
    }

    /// Whether the job is new; if so it is remembered and will not be again.
    pub fn admit(&mut self, jid: &Jid) -> bool {
        if self.mark.as_ref().is_some_and(|mark| jid <= mark) || !self.seen.insert(jid.clone()) {
            return false;
        }
        while self.seen.len() > self.capacity {
            self.mark = self.seen.pop_first().max(self.mark.take());
        }
        true
    }

    /// Whether the job was started, or is too old to know.
    pub fn contains(&self, jid: &Jid) -> bool {
        self.mark.as_ref().is_some_and(|mark| jid <= mark) || self.seen.contains(jid)
    }

    /// Refuses every job up to and including `jid` from now on.
    pub fn raise_mark(&mut self, jid: Jid) {
        self.seen = self.seen.split_off(&jid);
        self.seen.remove(&jid);
        self.mark = Some(jid).max(self.mark.take());
    }

    /// The state to persist: `{"mark": jid or nil, "seen": [jid, …]}`.
    pub fn to_map(&self) -> Map {
        Map::from([
            ("mark", Value::from(self.mark.as_ref())),
            ("seen", self.seen.iter().collect()),
        ])
    }

    /// The log from its persisted state. What is not a job id in it is skipped,
    /// so a damaged file loses what is damaged and nothing else.
    pub fn from_map(map: &Map, capacity: usize) -> Self {
        let jid = |value: &Value| Jid::try_from(value).ok();
        let mut log = Self::new(capacity);
        log.mark = map.get("mark").and_then(jid);
        let seen = map.get("seen").and_then(Value::as_list).unwrap_or_default();
        for jid in seen.iter().filter_map(jid) {
            log.admit(&jid);
        }
        log
    }
}

impl fmt::Debug for JidLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JidLog")
            .field("mark", &self.mark)
            .field("seen", &self.seen.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_308_466;

    fn id() -> MinionId {
        MinionId::parse("web1").unwrap()
    }

    fn nonce(n: u128) -> Vec<u8> {
        format!("{n:032x}").into_bytes()
    }

    //
    #[test]
    fn stamps_too_far_in_either_direction_are_refused() {
        for (offset, fresh) in [
            (0, true),
            (-119, true),
            (119, true),
            (-120, true),
            (120, true),
            (-121, false),
            (121, false),
            (-31_536_000, false),
            (31_536_000, false),
        ] {
            let mut window = NonceWindow::new(120, 100);
            let admitted = window.admit(&id(), &nonce(1), NOW + offset, NOW);
            let expected = if fresh {
                Ok(())
            } else {
                Err(Stale::Skew { by: offset })
            };
            assert_eq!(admitted, expected, "{offset}");
        }
        let mut window = NonceWindow::new(120, 100);
        for extreme in [i64::MIN, i64::MAX, -1, 0] {
            assert!(matches!(
                window.admit(&id(), &nonce(1), extreme, NOW),
                Err(Stale::Skew { .. })
            ));
        }
    }

    //
    #[test]
    fn a_nonce_counts_once_for_each_minion() {
        let mut window = NonceWindow::new(120, 100);
        let other = MinionId::parse("db1").unwrap();
        assert_eq!(window.admit(&id(), &nonce(1), NOW, NOW), Ok(()));
        assert_eq!(
            window.admit(&id(), &nonce(1), NOW, NOW),
            Err(Stale::Repeated)
        );
        assert_eq!(
            window.admit(&id(), &nonce(1), NOW, NOW + 119),
            Err(Stale::Repeated)
        );
        assert_eq!(window.admit(&other, &nonce(1), NOW, NOW), Ok(()));
        assert_eq!(window.admit(&id(), b"xyz", NOW, NOW), Err(Stale::Nonce));
    }

    //
    #[test]
    fn a_full_window_closes_at_its_oldest_end_and_never_widens() {
        let mut window = NonceWindow::new(120, 10);
        for n in 0..10 {
            assert_eq!(
                window.admit(&id(), &nonce(n), NOW - 60 + n as i64, NOW),
                Ok(())
            );
        }
        assert_eq!(window.admit(&id(), &nonce(10), NOW, NOW), Ok(()));
        assert_eq!(window.len(), 10);

        assert_eq!(
            window.admit(&id(), &nonce(0), NOW - 60, NOW),
            Err(Stale::Skew { by: -60 })
        );
        assert_eq!(
            window.admit(&id(), &nonce(1), NOW - 59, NOW),
            Err(Stale::Repeated)
        );
    }

    //
    #[test]
    fn one_minion_cannot_close_the_window_of_another() {
        let mut window = NonceWindow::new(120, 10);
        let other = MinionId::parse("db1").unwrap();
        for n in 0..100 {
            let _ = window.admit(&id(), &nonce(n), NOW, NOW);
        }
        assert_eq!(window.admit(&other, &nonce(1), NOW - 100, NOW), Ok(()));
        assert!(window.len() <= 11);

        assert_eq!(
            window.admit(&other, &nonce(2), NOW + 1000, NOW + 1000),
            Ok(())
        );
        assert_eq!(
            window.len(),
            1,
            "what the window has left behind is forgotten"
        );
    }

    //
    #[test]
    fn a_clock_that_steps_back_opens_nothing_again() {
        let mut window = NonceWindow::new(120, 10);
        assert_eq!(window.admit(&id(), &nonce(1), NOW, NOW), Ok(()));
        assert_eq!(window.admit(&id(), &nonce(2), NOW + 500, NOW + 500), Ok(()));
        assert!(window.admit(&id(), &nonce(1), NOW, NOW).is_err());
    }

    // F6
    #[test]
    fn a_serial_only_grows_under_one_key_even_after_signing_in_again() {
        let mut guard = SerialGuard::new();
        assert_eq!(guard.admit("a", 5), Ok(0));
        assert_eq!(guard.admit("a", 6), Ok(0));
        assert_eq!(guard.admit("a", 9), Ok(2));
        assert_eq!(guard.admit("a", 9), Err(OldSerial { serial: 9, last: 9 }));
        assert_eq!(guard.admit("b", 1), Ok(0));
        assert_eq!(guard.admit("a", 5), Err(OldSerial { serial: 5, last: 9 }));
        assert_eq!(guard.admit("c", 0), Err(OldSerial { serial: 0, last: 0 }));
    }

    fn jid(n: u64) -> Jid {
        Jid::from_unix_micros(1_795_308_466_000_000 + n)
    }

    //
    #[test]
    fn a_job_starts_once_also_after_many_others_and_a_restart() {
        let mut log = JidLog::new(100);
        assert!(log.admit(&jid(0)));
        assert!(!log.admit(&jid(0)));
        for n in 1..10_000 {
            assert!(log.admit(&jid(n)));
        }
        assert!(!log.admit(&jid(0)), "far below the mark");
        assert!(!log.admit(&jid(9_950)), "inside the window");

        let mut restarted = JidLog::from_map(&log.to_map(), 100);
        assert_eq!(restarted, log);
        assert!((0..10_000).all(|n| !restarted.admit(&jid(n))));
        assert!(restarted.admit(&jid(10_000)));
    }

    //
    #[test]
    fn jobs_that_arrive_out_of_order_above_the_mark_all_start() {
        let mut log = JidLog::new(100);
        assert!(log.admit(&jid(10)) && log.admit(&jid(5)));
        log.raise_mark(jid(7));
        assert!(!log.admit(&jid(6)));
        assert!(!log.admit(&jid(10)));
        assert!(log.admit(&jid(8)));
    }

    #[test]
    fn a_damaged_log_keeps_what_can_be_read() {
        let map = Map::from([
            ("mark", Value::Int(3)),
            (
                "seen",
                Value::List(vec![Value::Null, (&jid(1)).into(), "../x".into()]),
            ),
        ]);
        let mut log = JidLog::from_map(&map, 10);
        assert!(!log.admit(&jid(1)));
        assert!(log.admit(&jid(0)));
    }
}
