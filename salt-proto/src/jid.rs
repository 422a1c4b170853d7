//! Job ids.

use std::fmt;
use std::str::FromStr;

use crate::value::{DateTime, Value};

/// The id of a job: twenty digits `YYYYMMDDhhmmssffffff` in UTC, and optionally
/// `_` and a suffix (Salt's `unique_jid` appends the process id).
///
/// Stock Salt takes any suffix; job ids become paths, so here a suffix is 1 to
/// 43 ASCII letters, digits, `-` and `_`. Ordered by time.
///
/// ```
/// use salt_proto::Jid;
///
/// let jid = Jid::from_unix_micros(1_709_210_096_000_789);
/// assert_eq!(jid.as_str(), "20240229123456000789");
/// assert_eq!("20240229123456000789".parse(), Ok(jid));
/// assert!("../../etc/passwd".parse::<Jid>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid(Box<str>);

/// A text that is not a job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job id")]
pub struct InvalidJid;

impl Jid {
    /// The length without a suffix.
    pub const LEN: usize = 20;
    /// The greatest length with a suffix.
    pub const MAX_LEN: usize = 64;

    /// The job id of a moment, in microseconds since 1970-01-01T00:00:00Z.
    ///
    /// Moments after the year 9999 become its last microsecond.
    pub fn from_unix_micros(micros: u64) -> Self {
        Self(digits(micros).into())
    }

    /// The same with `_` and a number, as Salt's `unique_jid` makes them unique
    /// among processes.
    pub fn from_unix_micros_and_pid(micros: u64, pid: u32) -> Self {
        Self(format!("{}_{pid}", digits(micros)).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment it names, or `None` if its digits are no date.
    pub fn time(&self) -> Option<DateTime> {
        let number = |from: usize, to: usize| self.0.get(from..to)?.parse::<u32>().ok();
        let at = DateTime {
            year: u16::try_from(number(0, 4)?).ok()?,
            month: u8::try_from(number(4, 6)?).ok()?,
            day: u8::try_from(number(6, 8)?).ok()?,
            hour: u8::try_from(number(8, 10)?).ok()?,
            minute: u8::try_from(number(10, 12)?).ok()?,
            second: u8::try_from(number(12, 14)?).ok()?,
            microsecond: number(14, 20)?,
        };
        at.is_valid().then_some(at)
    }

    /// The moment in microseconds since 1970, or `None` if its digits are no
    /// date or lie before.
    pub fn unix_micros(&self) -> Option<u64> {
        u64::try_from(self.time()?.unix_micros()).ok()
    }

    /// The moment as Salt shows it: `2024, Feb 29 12:34:56.000789`.
    ///
    /// Empty if its digits are no date, as in Salt.
    pub fn display_time(&self) -> String {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let Some(at) = self.time() else {
            return String::new();
        };
        let month = MONTHS.get(usize::from(at.month) - 1).copied().unwrap_or("");
        format!(
            "{}, {month} {:02} {:02}:{:02}:{:02}.{:06}",
            at.year, at.day, at.hour, at.minute, at.second, at.microsecond
        )
    }
}

fn digits(micros: u64) -> String {
    let at = DateTime::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
        .unwrap_or(DateTime::MAX);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:06}",
        at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond
    )
}

impl FromStr for Jid {
    type Err = InvalidJid;

    fn from_str(text: &str) -> Result<Self, InvalidJid> {
        let bytes = text.as_bytes();
        let (time, suffix) = bytes.split_at_checked(Self::LEN).ok_or(InvalidJid)?;
        let suffix_is_plain = match suffix {
            [] => true,
            [b'_', rest @ ..] => {
                !rest.is_empty()
                    && bytes.len() <= Self::MAX_LEN
                    && rest
                        .iter()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            }
            _ => false,
        };
        if !suffix_is_plain || !time.iter().all(u8::is_ascii_digit) {
            return Err(InvalidJid);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&Value> for Jid {
    type Error = InvalidJid;

    fn try_from(value: &Value) -> Result<Self, InvalidJid> {
        value.as_str().ok_or(InvalidJid)?.parse()
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Jid {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&Jid> for Value {
    fn from(jid: &Jid) -> Self {
        Self::from(jid.as_str())
    }
}

impl From<Jid> for Value {
    fn from(jid: Jid) -> Self {
        Self::from(jid.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jid_is_never_a_path() {
        for text in [
            "",
            "req",
            "20240229123456000789_",
            "20240229123456000789x",
            "20240229123456000789_../x",
            "2024022912345600078",
            "2024_022912345600078",
            "+2024022912345600078",
            "\u{ff12}024022912345600078",
        ] {
            assert_eq!(text.parse::<Jid>(), Err(InvalidJid), "{text:?}");
        }
        assert!(
            format!("20240229123456000789_{}", "1".repeat(44))
                .parse::<Jid>()
                .is_err()
        );
    }

    #[test]
    fn jids_sort_by_time() {
        let mut jids: Vec<Jid> = [3, 1, 2]
            .map(|s| Jid::from_unix_micros(s * 86_400_000_000))
            .into();
        jids.sort();
        assert!(
            jids.windows(2)
                .all(|pair| pair[0].unix_micros() < pair[1].unix_micros())
        );
    }

    #[test]
    fn the_end_of_time_is_the_year_9999() {
        assert_eq!(
            Jid::from_unix_micros(u64::MAX).as_str(),
            "99991231235959999999"
        );
    }
}
