//! Cron expressions of five fields.

use crate::jinja::{Date, DateTime};

/// How far ahead a next time is looked for: every combination of a day and a weekday
/// comes within 28 years, except around a year that is no leap year.
const MOST_DAYS: i64 = 366 * 29;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression: minute, hour, day, month, weekday.
///
/// Each field is `*` or a list of numbers, names (of months and weekdays) and ranges, with
/// an optional `/step`; `l` as the day is the month's last. Where both day and weekday are
/// restricted, one of them has to hold, as in cron.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    last_day: bool,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

impl Cron {
    /// Reads an expression; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            text => text,
        };
        let fields: Vec<String> = text
            .split_ascii_whitespace()
            .map(str::to_ascii_lowercase)
            .collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return None;
        };
        let last_day = day == "l";
        let mut weekdays = field(weekday, 0, 7, &WEEKDAYS, 0)?;
        if weekdays & (1 << 7) != 0 {
            weekdays = (weekdays | 1) & 0x7f;
        }
        Some(Self {
            minutes: field(minute, 0, 59, &[], 0)?,
            hours: field(hour, 0, 23, &[], 0)?,
            days: if last_day {
                0
            } else {
                field(day, 1, 31, &[], 0)?
            },
            last_day,
            months: field(month, 1, 12, &MONTHS, 1)?,
            weekdays,
            any_day: day.starts_with('*') || day == "?",
            any_weekday: weekday.starts_with('*') || weekday == "?",
        })
    }

    /// The first local time after `after` (seconds since 1970 on the local clock) that the
    /// expression means; `None` if there is none in the next 29 years.
    pub fn next(&self, after: i64) -> Option<i64> {
        let start = after.div_euclid(60).checked_add(1)?.checked_mul(60)?;
        let first = start.div_euclid(86_400);
        for day in first..first.checked_add(MOST_DAYS)? {
            let date = Date::from_days(day)?;
            if !self.is_day(date, day) {
                continue;
            }
            let from = if day == first {
                start.rem_euclid(86_400) / 60
            } else {
                0
            };
            let minute = (from..1440).find(|minute| {
                self.hours & (1 << (minute / 60)) != 0 && self.minutes & (1 << (minute % 60)) != 0
            });
            if let Some(minute) = minute {
                return Some(day * 86_400 + minute * 60);
            }
        }
        None
    }

    fn is_day(&self, date: Date, days: i64) -> bool {
        if self.months & (1 << date.month) == 0 {
            return false;
        }
        let is_last = || Date::from_days(days + 1).is_none_or(|next| next.day == 1);
        let day = self.days & (1 << date.day) != 0 || (self.last_day && is_last());
        // 1970-01-01 was a Thursday.
        let weekday = self.weekdays & (1 << (days + 4).rem_euclid(7)) != 0;
        match (self.any_day, self.any_weekday) {
            (false, false) => day || weekday,
            _ => day && weekday,
        }
    }

    /// How it is written in `at`'s words: whether that minute is meant.
    pub fn matches(&self, at: DateTime) -> bool {
        let start = at.unix().div_euclid(60) * 60;
        self.next(start - 1) == Some(start)
    }
}

/// The numbers a field means, as bits.
fn field(text: &str, least: u32, most: u32, names: &[&str], first_name: u32) -> Option<u64> {
    let number = |text: &str| -> Option<u32> {
        let found = match text.parse::<u32>() {
            Ok(number) => number,
            Err(_) => {
                let at = names.iter().position(|name| *name == text)?;
                u32::try_from(at).ok()? + first_name
            }
        };
        (least..=most).contains(&found).then_some(found)
    };
    let mut bits = 0_u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range {
            "*" | "?" => (least, if most == 7 { 6 } else { most }),
            range => match range.split_once('-') {
                Some((from, to)) => (number(from)?, number(to)?),
                None if part.contains('/') => (number(range)?, most),
                None => (number(range)?, number(range)?),
            },
        };
        if from <= to {
            for n in (from..=to).step_by(usize::try_from(step).ok()?) {
                bits |= 1 << n;
            }
        } else {
            // `fri-mon` goes over the end of the week.
            let length = most - least + u32::from(most != 7);
            let count = to + length - from;
            for n in (0..=count).step_by(usize::try_from(step).ok()?) {
                bits |= 1 << (least + (from - least + n) % length);
            }
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 13:54:01, a Sunday.
    const NOW: i64 = 1_795_355_641;

    fn next(text: &str) -> String {
        let at = Cron::parse(text).unwrap().next(NOW).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
        DateTime::from_unix(at as f64).unwrap().iso('T')
    }

    #[test]
    fn the_next_time_is_the_one_salt_names() {
        // Both recorded from Salt 3008.3.
        assert_eq!(next("*/5 * * * *"), "2026-11-22T13:55:00");
        assert_eq!(next("0 3 1-7 * mon"), "2026-11-23T03:00:00");
    }

    #[test]
    fn names_ranges_steps_and_the_last_day_are_understood() {
        assert_eq!(next("5 1 * * *"), "2026-11-23T01:05:00");
        assert_eq!(next("0 0 29 2 *"), "2028-02-29T00:00:00");
        assert_eq!(next("30 8 * jan-mar 7"), "2027-01-03T08:30:00");
        assert_eq!(next("0 12 l * *"), "2026-11-30T12:00:00");
        assert_eq!(next("0 12 * * fri-mon"), "2026-11-23T12:00:00");
        assert_eq!(next("@hourly"), "2026-11-22T14:00:00");
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "bad",
            "* * * *",
            "60 * * * *",
            "*/0 * * * *",
            "* * 0 * *",
            "* * * foo *",
        ] {
            assert_eq!(Cron::parse(text), None, "{text}");
        }
        assert_eq!(Cron::parse("0 0 31 2 *").unwrap().next(NOW), None);
    }
}
