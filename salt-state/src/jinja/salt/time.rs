//! Filters on dates and times.

use crate::jinja::date::strftime;
use crate::jinja::filters::Builtin;
use crate::jinja::value::Value;
use crate::jinja::{Date, DateTime, Error, Result, Runtime};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "strftime" | "date_format" => |rt, args| {
            let [date, format] = args.bind("strftime", ["date", "format"], 0)?;
            let format = format.map_or(Ok("%Y-%m-%d".to_owned()), |format| format.str())?;
            let at = moment(rt, &date.unwrap_or_default())?;
            Ok(Value::text(strftime(at, &format)))
        },
        _ => return None,
    })
}

/// The local time of a moment in seconds since 1970.
fn local(rt: &Runtime<'_>, seconds: f64) -> Result<DateTime> {
    let offset = rt.environment().host().utc_offset(seconds);
    DateTime::from_unix(seconds + f64::from(offset))
        .ok_or_else(|| Error::value_error(format!("year is out of range for {seconds}")))
}

fn moment(rt: &Runtime<'_>, value: &Value) -> Result<DateTime> {
    match value {
        Value::None => local(rt, rt.environment().host().now()?),
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        Value::Int(n) => local(rt, *n as f64),
        Value::Float(x) => local(rt, *x),
        Value::Str(text) => parse(rt, text),
        Value::Undefined(undefined) => Err(undefined.error()),
        other => {
            if let Some(at) = other.downcast::<DateTime>() {
                return Ok(*at);
            }
            if let Some(date) = other.downcast::<Date>() {
                return Ok(at_midnight(*date));
            }
            parse(rt, &other.str()?)
        }
    }
}

fn at_midnight(date: Date) -> DateTime {
    DateTime {
        date,
        hour: 0,
        minute: 0,
        second: 0,
        microsecond: 0,
        offset: None,
    }
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads the ways to write a date that people use: ISO 8601, `2002/12/25`,
/// `25 Dec 2002 3:04 pm`, `December 25, 2002`, seconds since 1970.
fn parse(rt: &Runtime<'_>, text: &str) -> Result<DateTime> {
    let fail = || Error::type_error(format!("Unable to parse {text}"));
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit()) && trimmed.len() != 8 {
        let seconds: f64 = trimmed.parse().map_err(|_| fail())?;
        return local(rt, seconds);
    }
    let now = || -> Result<DateTime> { local(rt, rt.environment().host().now()?) };
    let day = |offset: i64| -> Result<DateTime> {
        let date = Date::from_days(now()?.date.days() + offset).ok_or_else(fail)?;
        Ok(at_midnight(date))
    };
    match trimmed.to_lowercase().as_str() {
        "now" => return now(),
        "today" => return day(0),
        "yesterday" => return day(-1),
        "tomorrow" => return day(1),
        _ => {}
    }
    read(trimmed).ok_or_else(fail)
}

fn read(text: &str) -> Option<DateTime> {
    let mut date: Option<Date> = None;
    let mut named: (Option<u8>, Vec<u32>) = (None, Vec::new());
    let mut time: Option<(u32, u32, u32, u32)> = None;
    let mut half: Option<bool> = None;
    let spaced = match text.split_once('T') {
        Some((day, rest)) if day.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{day} {rest}")
        }
        _ => text.to_owned(),
    };
    let spaced = spaced.replace(',', " ");
    for word in spaced.split_whitespace() {
        let lower = word.to_lowercase();
        if word.contains(':') {
            let (clock, suffix) =
                match lower.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.') {
                    Some(at) => lower.split_at(at),
                    None => (lower.as_str(), ""),
                };
            time = Some(clock_time(clock)?);
            match suffix {
                "am" => half = Some(false),
                "pm" => half = Some(true),
                _ => {}
            }
        } else if matches!(lower.as_str(), "am" | "pm") {
            half = Some(lower == "pm");
        } else if let Some(numbers) = numeric_date(word) {
            date = Some(numbers);
        } else if let Some(month) = MONTHS.iter().position(|month| lower.starts_with(month)) {
            named.0 = u8::try_from(month + 1).ok();
        } else {
            let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            match digits.parse::<u32>() {
                Ok(number) => named.1.push(number),
                Err(_) => {
                    let weekday = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
                    if !weekday.iter().any(|day| lower.starts_with(day))
                        && lower != "utc"
                        && lower != "z"
                    {
                        return None;
                    }
                }
            }
        }
    }
    if date.is_none() {
        let month = named.0?;
        let (day, year) = match named.1.as_slice() {
            [day, year] if *day <= 31 => (*day, *year),
            [year, day] => (*day, *year),
            _ => return None,
        };
        date = Some(make_date(year, u32::from(month), day)?);
    }
    let (mut hour, minute, second, micro) = time.unwrap_or((0, 0, 0, 0));
    match half {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    Some(DateTime {
        date: date?,
        hour: u8::try_from(hour).ok().filter(|hour| *hour < 24)?,
        minute: u8::try_from(minute).ok().filter(|minute| *minute < 60)?,
        second: u8::try_from(second).ok().filter(|second| *second < 60)?,
        microsecond: micro,
        offset: None,
    })
}

fn clock_time(text: &str) -> Option<(u32, u32, u32, u32)> {
    let mut parts = text.split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let (second, micro) = match parts.next() {
        None => (0, 0),
        Some(text) => match text.split_once('.') {
            None => (text.parse().ok()?, 0),
            Some((whole, fraction)) => {
                let padded: String = fraction.chars().chain("000000".chars()).take(6).collect();
                (whole.parse().ok()?, padded.parse().ok()?)
            }
        },
    };
    Some((hour, minute, second, micro))
}

fn numeric_date(word: &str) -> Option<Date> {
    if word.len() == 8 && word.chars().all(|c| c.is_ascii_digit()) {
        let part = |range: std::ops::Range<usize>| word.get(range)?.parse().ok();
        return make_date(part(0..4)?, part(4..6)?, part(6..8)?);
    }
    let separator = word.chars().find(|c| matches!(c, '-' | '/' | '.'))?;
    let parts: Vec<&str> = word.split(separator).collect();
    let [a, b, c] = parts.as_slice() else {
        return None;
    };
    let number = |text: &str| text.parse::<u32>().ok();
    match (a.len(), separator) {
        (4, _) => make_date(number(a)?, number(b)?, number(c)?),
        // Americans put the month first, and they are who writes slashes.
        (_, '/') => make_date(number(c)?, number(a)?, number(b)?),
        _ => make_date(number(c)?, number(b)?, number(a)?),
    }
}

fn make_date(year: u32, month: u32, day: u32) -> Option<Date> {
    let date = Date {
        year: u16::try_from(year)
            .ok()
            .filter(|year| (1..=9999).contains(year))?,
        month: u8::try_from(month)
            .ok()
            .filter(|month| (1..=12).contains(month))?,
        day: u8::try_from(day)
            .ok()
            .filter(|day| (1..=31).contains(day))?,
    };
    // The thirty-first of a shorter month is a day of the next.
    (Date::from_days(date.days()) == Some(date)).then_some(date)
}
