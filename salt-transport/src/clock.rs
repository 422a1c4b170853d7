//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use salt_proto::DateTime;

/// Seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    unix_micros() / 1_000_000
}

/// Microseconds since 1970.
pub(crate) fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// A moment as Python's `time.asctime` writes it, in UTC.
pub(crate) fn asctime(unix_micros: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let micros = i64::try_from(unix_micros).unwrap_or(i64::MAX);
    let at = DateTime::from_unix_micros(micros).unwrap_or(DateTime::MAX);
    let days = unix_micros / 86_400_000_000;
    let day = usize::try_from(days % 7).unwrap_or_default();
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        DAYS.get(day).copied().unwrap_or_default(),
        MONTHS
            .get(usize::from(at.month.saturating_sub(1)))
            .copied()
            .unwrap_or_default(),
        at.day,
        at.hour,
        at.minute,
        at.second,
        at.year,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_python_writes_it() {
        assert_eq!(asctime(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(asctime(1_709_210_096_000_789), "Thu Feb 29 12:34:56 2024");
        assert_eq!(asctime(1_795_308_466_000_000), "Sun Nov 22 00:47:46 2026");
    }
}
