//! Python's `datetime.date` and `datetime.datetime`.

use std::cmp::Ordering;

use super::{Object, Result, Runtime, Value};

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Year, 1 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
}

/// A date and time, with its offset from UTC if it knows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
    /// Microsecond, 0 to 999,999.
    pub microsecond: u32,
    /// Seconds ahead of UTC; `None` for a naive time.
    pub offset: Option<i32>,
}

impl Date {
    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        // Counting years from March puts the leap day last.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let of_era = year - era * 400;
        let month = (i64::from(self.month) + 9) % 12;
        let of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// The date that many days after 1970-01-01, if its year is 1 to 9999.
    pub fn from_days(days: i64) -> Option<Self> {
        let days = days.checked_add(719_468)?;
        let era = days.div_euclid(146_097);
        let of_era = days - era * 146_097;
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        Some(Self {
            year: u16::try_from(year)
                .ok()
                .filter(|y| (1..=9999).contains(y))?,
            month: u8::try_from(month).ok()?,
            day: u8::try_from(day).ok()?,
        })
    }

    /// Day of the week, Monday is 0.
    pub fn weekday(self) -> u8 {
        u8::try_from((self.days() + 3).rem_euclid(7)).unwrap_or(0)
    }

    /// Day of the year, from 1.
    pub fn ordinal(self) -> u16 {
        let first = Self {
            month: 1,
            day: 1,
            ..self
        };
        u16::try_from(self.days() - first.days() + 1).unwrap_or(1)
    }

    fn iso(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl DateTime {
    /// The naive time that many seconds after 1970.
    pub fn from_unix(seconds: f64) -> Option<Self> {
        if !seconds.is_finite() || seconds.abs() > 1e12 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        let micros = (seconds * 1e6).round() as i64;
        let (whole, micro) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let of_day = whole.rem_euclid(86_400);
        Some(Self {
            date: Date::from_days(whole.div_euclid(86_400))?,
            hour: u8::try_from(of_day / 3600).ok()?,
            minute: u8::try_from(of_day / 60 % 60).ok()?,
            second: u8::try_from(of_day % 60).ok()?,
            microsecond: u32::try_from(micro).ok()?,
            offset: None,
        })
    }

    /// Seconds since 1970, reading the time as UTC unless it knows its offset.
    pub fn unix(self) -> i64 {
        let of_day =
            i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        self.date.days() * 86_400 + of_day - i64::from(self.offset.unwrap_or(0))
    }

    pub(crate) fn from_plain(at: salt_proto::DateTime) -> Self {
        Self {
            date: Date {
                year: at.year,
                month: at.month,
                day: at.day,
            },
            hour: at.hour,
            minute: at.minute,
            second: at.second,
            microsecond: at.microsecond,
            offset: None,
        }
    }

    pub(crate) fn to_plain(self) -> salt_proto::DateTime {
        salt_proto::DateTime {
            year: self.date.year,
            month: self.date.month,
            day: self.date.day,
            hour: self.hour,
            minute: self.minute,
            second: self.second,
            microsecond: self.microsecond,
        }
    }

    /// `isoformat` with this separator.
    pub(crate) fn iso(self, separator: char) -> String {
        let mut text = format!(
            "{}{separator}{:02}:{:02}:{:02}",
            self.date.iso(),
            self.hour,
            self.minute,
            self.second
        );
        if self.microsecond > 0 {
            text += &format!(".{:06}", self.microsecond);
        }
        if let Some(offset) = self.offset {
            let sign = if offset < 0 { '-' } else { '+' };
            let offset = offset.abs();
            text += &format!("{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60);
        }
        text
    }
}

impl Object for Date {
    fn type_name(&self) -> &str {
        "date"
    }

    fn type_repr(&self) -> String {
        "datetime.date object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let date = *self;
        Ok(date_attribute(date, name).or_else(|| match name {
            "isoformat" => Some(Value::function("isoformat", move |_, _| {
                Ok(Value::text(date.iso()))
            })),
            "strftime" => Some(Value::function("strftime", move |_, args| {
                let midnight = DateTime {
                    date,
                    hour: 0,
                    minute: 0,
                    second: 0,
                    microsecond: 0,
                    offset: None,
                };
                strftime_method(midnight, args)
            })),
            _ => None,
        }))
    }

    fn repr(&self) -> Result<String> {
        Ok(format!(
            "datetime.date({}, {}, {})",
            self.year, self.month, self.day
        ))
    }

    fn str(&self) -> Result<String> {
        Ok(self.iso())
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(other.downcast::<Self>() == Some(self))
    }

    fn order(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other.downcast::<Self>()?))
    }

    fn hash(&self) -> u64 {
        self.days().cast_unsigned()
    }
}

fn date_attribute(date: Date, name: &str) -> Option<Value> {
    let weekday = i64::from(date.weekday());
    Some(match name {
        "year" => Value::Int(i64::from(date.year)),
        "month" => Value::Int(i64::from(date.month)),
        "day" => Value::Int(i64::from(date.day)),
        "weekday" => Value::function("weekday", move |_, _| Ok(Value::Int(weekday))),
        "isoweekday" => Value::function("isoweekday", move |_, _| Ok(Value::Int(weekday + 1))),
        "toordinal" => {
            // Python counts from 0001-01-01, which is day 1.
            let ordinal = date.days() + 719_163;
            Value::function("toordinal", move |_, _| Ok(Value::Int(ordinal)))
        }
        _ => return None,
    })
}

fn strftime_method(at: DateTime, args: super::Args) -> Result<Value> {
    let [format] = args.bind("strftime", ["format"], 1)?;
    let format = format.unwrap_or_default().str()?;
    Ok(Value::text(strftime(at, &format)))
}

impl Object for DateTime {
    fn type_name(&self) -> &str {
        "datetime"
    }

    fn type_repr(&self) -> String {
        "datetime.datetime object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let at = *self;
        Ok(date_attribute(at.date, name).or_else(|| {
            Some(match name {
                "hour" => Value::Int(i64::from(at.hour)),
                "minute" => Value::Int(i64::from(at.minute)),
                "second" => Value::Int(i64::from(at.second)),
                "microsecond" => Value::Int(i64::from(at.microsecond)),
                "date" => Value::function("date", move |_, _| Ok(Value::object(at.date))),
                "isoformat" => Value::function("isoformat", move |_, args| {
                    let [sep] = args.bind("isoformat", ["sep"], 0)?;
                    let sep = sep.as_ref().and_then(Value::as_str).unwrap_or("T");
                    Ok(Value::text(at.iso(sep.chars().next().unwrap_or('T'))))
                }),
                "timestamp" => Value::function("timestamp", move |_, _| {
                    #[expect(clippy::cast_precision_loss, reason = "seconds of four-digit years")]
                    let seconds = at.unix() as f64;
                    Ok(Value::Float(seconds + f64::from(at.microsecond) / 1e6))
                }),
                "strftime" => Value::function("strftime", move |_, args| strftime_method(at, args)),
                _ => return None,
            })
        }))
    }

    fn repr(&self) -> Result<String> {
        let mut text = format!(
            "datetime.datetime({}, {}, {}, {}, {}",
            self.date.year, self.date.month, self.date.day, self.hour, self.minute
        );
        if self.second > 0 || self.microsecond > 0 {
            text += &format!(", {}", self.second);
        }
        if self.microsecond > 0 {
            text += &format!(", {}", self.microsecond);
        }
        match self.offset {
            None => {}
            Some(0) => text += ", tzinfo=datetime.timezone.utc",
            Some(offset) => {
                let (days, seconds) = (offset.div_euclid(86_400), offset.rem_euclid(86_400));
                let days = if days == 0 {
                    String::new()
                } else {
                    format!("days={days}, ")
                };
                text += &format!(
                    ", tzinfo=datetime.timezone(datetime.timedelta({days}seconds={seconds}))"
                );
            }
        }
        Ok(text + ")")
    }

    fn str(&self) -> Result<String> {
        Ok(self.iso(' '))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(other.downcast::<Self>() == Some(self))
    }

    fn order(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other.downcast::<Self>()?))
    }

    fn hash(&self) -> u64 {
        self.unix().cast_unsigned()
    }
}

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Python's `strftime` in the C locale.
pub(crate) fn strftime(at: DateTime, format: &str) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let Some(mut directive) = chars.next() else {
            out.push('%');
            break;
        };
        // glibc's flag for "no padding".
        let bare = directive == '-';
        if bare {
            match chars.next() {
                Some(next) => directive = next,
                None => {
                    out.push_str("%-");
                    break;
                }
            }
        }
        match directive_text(at, directive) {
            Some(text) if bare => {
                let short = text.trim_start_matches(['0', ' ']);
                out.push_str(if short.is_empty() { "0" } else { short });
            }
            Some(text) => out.push_str(&text),
            None => {
                out.push('%');
                if bare {
                    out.push('-');
                }
                out.push(directive);
            }
        }
    }
    out
}

fn directive_text(at: DateTime, directive: char) -> Option<String> {
    let date = at.date;
    let weekday = usize::from(date.weekday());
    let day_name = DAYS.get(weekday).copied().unwrap_or("");
    let month_name = MONTHS
        .get(usize::from(date.month).wrapping_sub(1))
        .copied()
        .unwrap_or("");
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let ordinal = usize::from(date.ordinal());
    let hour12 = match at.hour % 12 {
        0 => 12,
        hour => hour,
    };
    Some(match directive {
        'Y' => format!("{}", date.year),
        'C' => format!("{:02}", date.year / 100),
        'y' => format!("{:02}", date.year % 100),
        'm' => format!("{:02}", date.month),
        'd' => format!("{:02}", date.day),
        'e' => format!("{:>2}", date.day),
        'H' => format!("{:02}", at.hour),
        'k' => format!("{:>2}", at.hour),
        'I' => format!("{hour12:02}"),
        'l' => format!("{hour12:>2}"),
        'M' => format!("{:02}", at.minute),
        'S' => format!("{:02}", at.second),
        'f' => format!("{:06}", at.microsecond),
        'p' => if at.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'P' => if at.hour < 12 { "am" } else { "pm" }.to_owned(),
        'A' => day_name.to_owned(),
        'a' => short(day_name),
        'B' => month_name.to_owned(),
        'b' | 'h' => short(month_name),
        'j' => format!("{ordinal:03}"),
        'w' => format!("{}", (weekday + 1) % 7),
        'u' => format!("{}", weekday + 1),
        'U' => format!("{:02}", (ordinal + 6 - (weekday + 1) % 7) / 7),
        'W' => format!("{:02}", (ordinal + 6 - weekday) / 7),
        'V' => format!("{:02}", iso_week(date).1),
        'G' => format!("{}", iso_week(date).0),
        'g' => format!("{:02}", iso_week(date).0 % 100),
        'z' => at.offset.map_or_else(String::new, |offset| {
            let sign = if offset < 0 { '-' } else { '+' };
            format!(
                "{sign}{:02}{:02}",
                offset.abs() / 3600,
                offset.abs() / 60 % 60
            )
        }),
        'Z' => at.offset.map_or("", |_| "UTC").to_owned(),
        's' => format!("{}", at.unix()),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        'D' => strftime(at, "%m/%d/%y"),
        'x' => strftime(at, "%m/%d/%y"),
        'F' => strftime(at, "%Y-%m-%d"),
        'T' | 'X' => strftime(at, "%H:%M:%S"),
        'R' => strftime(at, "%H:%M"),
        'r' => strftime(at, "%I:%M:%S %p"),
        'c' => strftime(at, "%a %b %e %H:%M:%S %Y"),
        _ => return None,
    })
}

/// ISO 8601 year and week.
fn iso_week(date: Date) -> (i64, i64) {
    // The week belongs to the year that has its Thursday.
    let thursday = date.days() - i64::from(date.weekday()) + 3;
    match Date::from_days(thursday) {
        Some(day) => (i64::from(day.year), (i64::from(day.ordinal()) - 1) / 7 + 1),
        None => (i64::from(date.year), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in [-719_162, -1, 0, 59, 11_016, 19_000, 2_932_896] {
            let date = Date::from_days(days).unwrap();
            assert_eq!(date.days(), days);
        }
        assert_eq!(Date::from_days(11_016).unwrap().iso(), "2000-02-29");
    }

    #[test]
    fn strftime_knows_weeks_and_names() {
        let at = DateTime::from_unix(1_457_456_400.0).unwrap();

        assert_eq!(
            strftime(at, "%a %A %j %U %W %V %G %y %-d %e %I %p %%"),
            "Tue Tuesday 068 10 10 10 2016 16 8  8 05 PM %"
        );
    }
}
