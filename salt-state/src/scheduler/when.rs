//! Times as people write them: `5:00pm`, `Monday 5:00pm`, `2035-01-01T00:00:00`.

use crate::jinja::{Date, DateTime};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// A time as it is written in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    day: Day,
    /// Seconds since midnight.
    time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    Every,
    /// 0 is Monday.
    Weekday(i64),
    /// Days since 1970.
    Date(i64),
}

impl When {
    /// Reads a time; `today` (days since 1970) lends its year to dates that have none.
    pub fn parse(text: &str, today: i64) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase().replace(',', " ");
        let mut weekday = None;
        let mut date = None;
        let (mut month, mut numbers) = (None, Vec::new());
        let mut time = None;
        let mut words: Vec<String> = Vec::new();
        for word in lower.split_ascii_whitespace() {
            // 2035-01-01t10:00 is two words.
            match word.split_once('t') {
                Some((day, clock))
                    if day.contains('-') && clock.starts_with(|c: char| c.is_ascii_digit()) =>
                {
                    words.push(day.to_owned());
                    words.push(clock.trim_end_matches('z').to_owned());
                }
                _ => words.push(word.to_owned()),
            }
        }
        for word in &words {
            let word = word.as_str();
            if let Some(at) = named(word, &WEEKDAYS) {
                weekday = Some(at);
            } else if let Some(at) = named(word, &MONTHS) {
                month = Some(at + 1);
            } else if matches!(word, "am" | "pm") {
                let hour = match time.take() {
                    Some(time) => time,
                    None => {
                        let hour: i64 = numbers.pop()?;
                        (1..=12).contains(&hour).then_some(hour * 3600)?
                    }
                };
                time = Some(half(hour, word == "pm")?);
            } else if matches!(word, "at" | "on" | "of" | "and") {
            } else if word.contains(':') || word.ends_with("am") || word.ends_with("pm") {
                if time.is_some() {
                    return None;
                }
                time = Some(clock(word)?);
            } else if word.contains(['-', '/', '.']) {
                if date.is_some() {
                    return None;
                }
                date = Some(day(word)?);
            } else {
                let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                if !matches!(&word[digits.len()..], "" | "st" | "nd" | "rd" | "th") {
                    return None;
                }
                if digits.len() == 8 && month.is_none() {
                    date = Some(compact(digits)?);
                } else {
                    numbers.push(digits.parse().ok().filter(|n| (0..=9999).contains(n))?);
                }
            }
        }
        if let Some(month) = month {
            let this_year = i64::from(Date::from_days(today)?.year);
            let (day, year) = match numbers.as_slice() {
                [day] => (*day, this_year),
                [day, year] if *year > 31 => (*day, *year),
                [year, day] if *year > 31 => (*day, *year),
                _ => return None,
            };
            date = Some(days(year, month, day)?);
        } else if !numbers.is_empty() {
            return None;
        }
        let day = match (date, weekday) {
            (Some(date), _) => Day::Date(date),
            (None, Some(weekday)) => Day::Weekday(weekday),
            (None, None) => {
                time?;
                Day::Every
            }
        };
        Some(Self {
            day,
            time: time.unwrap_or(0),
        })
    }

    /// The first such time that is not before `now` (local seconds since 1970).
    pub fn next(self, now: i64) -> Option<i64> {
        let today = now.div_euclid(86_400);
        let at = |day: i64| day.checked_mul(86_400)?.checked_add(self.time);
        match self.day {
            Day::Date(day) => at(day).filter(|time| *time >= now),
            Day::Every => [today, today + 1]
                .into_iter()
                .filter_map(at)
                .find(|time| *time >= now),
            Day::Weekday(weekday) => {
                let ahead = (weekday - (today + 3)).rem_euclid(7);
                [today + ahead, today + ahead + 7]
                    .into_iter()
                    .filter_map(at)
                    .find(|time| *time >= now)
            }
        }
    }

    /// The time on the day of `now`, or on its own day: what the ends of a range are.
    pub fn around(self, now: i64) -> Option<i64> {
        let today = now.div_euclid(86_400);
        let day = match self.day {
            Day::Every => today,
            Day::Date(day) => day,
            Day::Weekday(weekday) => today + (weekday - (today + 3)).rem_euclid(7),
        };
        day.checked_mul(86_400)?.checked_add(self.time)
    }
}

/// A date and time by a format of `strptime`, as local seconds.
pub(crate) fn by_format(text: &str, format: &str) -> Option<i64> {
    crate::states::file::tidied::strptime(text, format).map(DateTime::unix)
}

fn named(word: &str, names: &[&str]) -> Option<i64> {
    let word = word.trim_end_matches('.');
    let at = names.iter().position(|name| {
        *name == word || (word.len() >= 3 && word.len() <= 4 && name.starts_with(word))
    })?;
    i64::try_from(at).ok()
}

/// `5:00pm`, `17:00`, `17:00:30.5`, `5pm`, and with an offset, which is not heeded.
fn clock(word: &str) -> Option<i64> {
    let (word, pm) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(rest), _) => (rest, Some(false)),
        (_, Some(rest)) => (rest, Some(true)),
        _ => (word, None),
    };
    let parts: Vec<&str> = word.split(':').collect();
    if parts.len() > 3 || (parts.len() == 1 && pm.is_none()) {
        return None;
    }
    let mut numbers = [0_i64; 3];
    for (number, part) in numbers.iter_mut().zip(&parts) {
        let part = part.split('.').next()?;
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    let [hour, minute, second] = numbers;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let time = hour * 3600 + minute * 60 + second;
    match pm {
        None => Some(time),
        Some(pm) => half(time, pm),
    }
}

/// A time of the morning or of the afternoon.
fn half(time: i64, pm: bool) -> Option<i64> {
    if time >= 13 * 3600 {
        return None;
    }
    let time = time % (12 * 3600);
    Some(if pm { time + 12 * 3600 } else { time })
}

/// `2035-01-31`, `01/31/2035`, `31.01.2035`.
fn day(word: &str) -> Option<i64> {
    let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
    let [a, b, c] = parts.as_slice() else {
        return None;
    };
    let number = |text: &str| -> Option<i64> {
        let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let (a_number, b_number, c_number) = (number(a)?, number(b)?, number(c)?);
    if a.len() == 4 {
        return days(a_number, b_number, c_number);
    }
    let year = match c.len() {
        4 => c_number,
        _ => 2000 + c_number,
    };
    // The month is first, as in the United States, where that can be.
    if a_number <= 12 {
        days(year, a_number, b_number)
    } else {
        days(year, b_number, a_number)
    }
}

fn compact(digits: &str) -> Option<i64> {
    let number = |from: usize, to: usize| digits.get(from..to)?.parse().ok();
    days(number(0, 4)?, number(4, 6)?, number(6, 8)?)
}

/// Days since 1970 of a date that there is.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let date = Date {
        year: u16::try_from(year)
            .ok()
            .filter(|year| (1..=9999).contains(year))?,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    };
    let days = date.days();
    (Date::from_days(days) == Some(date)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 13:54:01, a Sunday.
    const NOW: i64 = 1_795_355_641;

    fn next(text: &str) -> Option<String> {
        let at = When::parse(text, NOW / 86_400)?.next(NOW)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
        let at = DateTime::from_unix(at as f64)?;
        Some(at.iso('T'))
    }

    #[test]
    fn times_mean_the_next_occurrence_that_salt_names() {
        // Recorded from Salt 3008.3.
        assert_eq!(next("11:00pm").as_deref(), Some("2026-11-22T23:00:00"));
        assert_eq!(
            next("Monday 5:00pm").as_deref(),
            Some("2026-11-23T17:00:00")
        );
        assert_eq!(next("2020-01-01T00:00:00"), None);
    }

    #[test]
    fn dates_are_read_in_the_forms_people_use() {
        for text in [
            "2035-01-31T17:05:00",
            "2035-01-31 17:05",
            "01/31/2035 5:05pm",
            "31.01.2035 17:05",
            "January 31, 2035 5:05 PM",
            "31 jan 2035 at 17:05:00",
            "20350131 17:05",
        ] {
            assert_eq!(next(text).as_deref(), Some("2035-01-31T17:05:00"), "{text}");
        }
        assert_eq!(next("3:00am").as_deref(), Some("2026-11-23T03:00:00"));
        assert_eq!(next("12am").as_deref(), Some("2026-11-23T00:00:00"));
        assert_eq!(next("sunday 1pm").as_deref(), Some("2026-11-29T13:00:00"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "nonsense",
            "zzz",
            "25:00",
            "2035-02-30",
            "13pm",
            "1 2 3",
            "5",
            "x:y",
            "é:00",
        ] {
            assert_eq!(When::parse(text, 20_000), None, "{text}");
        }
    }
}
