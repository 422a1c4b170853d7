//! Dates, in the proleptic Gregorian calendar that Python uses.

use std::fmt;

/// A date and time without zone, to the microsecond, as Python's `datetime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DateTime {
    /// Year, 1 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
    /// Microsecond, 0 to 999,999.
    pub microsecond: u32,
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl DateTime {
    /// The last microsecond of the year 9999, Python's `datetime.max`.
    pub const MAX: Self = Self {
        year: 9999,
        month: 12,
        day: 31,
        hour: 23,
        minute: 59,
        second: 59,
        microsecond: 999_999,
    };

    /// Whether every part is in its range and the day exists in its month.
    pub fn is_valid(&self) -> bool {
        (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.microsecond < 1_000_000
    }

    /// The UTC date and time that many microseconds after 1970-01-01T00:00:00Z.
    ///
    /// `None` outside the years 1 to 9999.
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        let days = micros.div_euclid(MICROS_PER_DAY);
        let rest = micros.rem_euclid(MICROS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let seconds = rest / 1_000_000;
        let at = Self {
            year: u16::try_from(year).ok()?,
            month,
            day,
            hour: u8::try_from(seconds / 3600).ok()?,
            minute: u8::try_from(seconds / 60 % 60).ok()?,
            second: u8::try_from(seconds % 60).ok()?,
            microsecond: u32::try_from(rest % 1_000_000).ok()?,
        };
        at.is_valid().then_some(at)
    }

    /// Microseconds from 1970-01-01T00:00:00 to this moment, both read as UTC.
    pub fn unix_micros(&self) -> i64 {
        let days = days_from_civil(i64::from(self.year), self.month, self.day);
        let seconds =
            (i64::from(self.hour) * 60 + i64::from(self.minute)) * 60 + i64::from(self.second);
        days * MICROS_PER_DAY + seconds * 1_000_000 + i64::from(self.microsecond)
    }
}

impl fmt::Display for DateTime {
    /// Python's `isoformat()`: microseconds only when there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )?;
        if self.microsecond != 0 {
            write!(f, ".{:06}", self.microsecond)?;
        }
        Ok(())
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year =
        (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        u8::try_from(month).unwrap_or(1),
        u8::try_from(day).unwrap_or(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_from_year_1_to_9999_converts_both_ways() {
        let mut micros = -62_135_596_800_000_000; // 0001-01-01
        let mut last = None;
        while let Some(at) = DateTime::from_unix_micros(micros) {
            assert_eq!(at.unix_micros(), micros);
            assert!(last < Some(at));
            last = Some(at);
            micros += MICROS_PER_DAY;
        }
        assert_eq!(
            last.map(|at| (at.year, at.month, at.day)),
            Some((9999, 12, 31))
        );
    }

    #[test]
    fn the_29th_of_february_exists_in_leap_years_only() {
        let day = |year| DateTime {
            year,
            month: 2,
            day: 29,
            ..DateTime::MAX
        };
        assert!(day(2024).is_valid() && day(2000).is_valid());
        assert!(!day(2023).is_valid() && !day(1900).is_valid());
    }

    #[test]
    fn the_ends_of_the_range_of_i64_are_outside() {
        assert_eq!(DateTime::from_unix_micros(i64::MIN), None);
        assert_eq!(DateTime::from_unix_micros(i64::MAX), None);
        assert_eq!(
            DateTime::from_unix_micros(DateTime::MAX.unix_micros()),
            Some(DateTime::MAX)
        );
    }
}
