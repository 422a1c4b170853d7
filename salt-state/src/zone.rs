//! Local time: how far this machine's clocks are ahead of UTC at a moment.

use std::path::Path;

use crate::system::Observe;

/// The largest zone file that is read.
const LIMIT: usize = 1 << 20;

/// A time zone, from `TZ` or `/etc/localtime`.
///
/// ```
/// use salt_state::{FakeSystem, Zone};
///
/// let machine = FakeSystem::new().variable("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
/// let zone = Zone::local(&machine);
///
/// // 2024-07-01 and 2024-12-01.
/// assert_eq!(zone.offset(1_719_792_000), (7_200, "CEST".to_owned()));
/// assert_eq!(zone.offset(1_733_011_200), (3_600, "CET".to_owned()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Moments in seconds since 1970, and which of `kinds` holds from then on.
    changes: Vec<(i64, usize)>,
    kinds: Vec<Kind>,
    /// The rule behind the last change.
    rule: Option<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    offset: i32,
    is_dst: bool,
    name: String,
}

impl Zone {
    /// The zone of a machine; UTC when it states none or one that cannot be read.
    pub fn local(machine: &dyn Observe) -> Self {
        let stated = machine
            .env("TZ")
            .map(|tz| tz.to_string_lossy().into_owned());
        let found = match stated.as_deref() {
            None => Self::file(machine, Path::new("/etc/localtime")),
            Some(tz) => {
                let name = tz.strip_prefix(':').unwrap_or(tz);
                let named = || {
                    let plain = name.split('/').all(|part| !part.is_empty() && part != "..");
                    let path = Path::new("/usr/share/zoneinfo").join(name);
                    plain.then(|| Self::file(machine, &path)).flatten()
                };
                named().or_else(|| Rule::parse(name).map(Self::of_rule))
            }
        };
        found.unwrap_or_default()
    }

    fn file(machine: &dyn Observe, path: &Path) -> Option<Self> {
        let bytes = machine.read(path).ok().flatten()?;
        Self::parse(bytes.get(..bytes.len().min(LIMIT))?)
    }

    fn of_rule(rule: Rule) -> Self {
        Self {
            rule: Some(rule),
            ..Self::default()
        }
    }

    /// Reads a zone file (RFC 9636), the 64-bit half when there is one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let version = *bytes.get(4)?;
        let first = Header::read(bytes)?;
        if version == 0 {
            return first.body(bytes.get(Header::LENGTH..)?, 4);
        }
        let second = bytes.get(Header::LENGTH.checked_add(first.length(4)?)?..)?;
        let header = Header::read(second)?;
        let body = second.get(Header::LENGTH..)?;
        let mut zone = header.body(body, 8)?;
        let footer = body.get(header.length(8)?..)?;
        zone.rule = std::str::from_utf8(footer)
            .ok()
            .and_then(|text| Rule::parse(text.trim()));
        Some(zone)
    }

    /// Seconds ahead of UTC at a moment (seconds since 1970), and the zone's name then.
    pub fn offset(&self, at: i64) -> (i32, String) {
        let after = self.changes.partition_point(|(moment, _)| *moment <= at);
        if after == self.changes.len()
            && let Some(rule) = &self.rule
        {
            return rule.offset(at);
        }
        let kind = match after.checked_sub(1).and_then(|last| self.changes.get(last)) {
            Some((_, kind)) => self.kinds.get(*kind),
            None => self
                .kinds
                .iter()
                .find(|kind| !kind.is_dst)
                .or_else(|| self.kinds.first()),
        };
        match kind {
            Some(kind) => (kind.offset, kind.name.clone()),
            None => (0, "UTC".to_owned()),
        }
    }
}

/// The counts at the head of each half of a zone file.
struct Header {
    utc_marks: usize,
    standard_marks: usize,
    leaps: usize,
    changes: usize,
    kinds: usize,
    letters: usize,
}

impl Header {
    const LENGTH: usize = 44;

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"TZif" {
            return None;
        }
        let count = |at: usize| {
            let word = bytes.get(20 + 4 * at..24 + 4 * at)?;
            let n = u32::from_be_bytes(word.try_into().ok()?) as usize;
            (n <= LIMIT).then_some(n)
        };
        Some(Self {
            utc_marks: count(0)?,
            standard_marks: count(1)?,
            leaps: count(2)?,
            changes: count(3)?,
            kinds: count(4)?,
            letters: count(5)?,
        })
    }

    /// Bytes of the body when moments take `size` bytes.
    fn length(&self, size: usize) -> Option<usize> {
        let parts = [
            self.changes.checked_mul(size + 1)?,
            self.kinds.checked_mul(6)?,
            self.letters,
            self.leaps.checked_mul(size + 4)?,
            self.standard_marks,
            self.utc_marks,
        ];
        parts.into_iter().try_fold(0_usize, usize::checked_add)
    }

    fn body(&self, bytes: &[u8], size: usize) -> Option<Zone> {
        let (moments, rest) = bytes.split_at_checked(self.changes.checked_mul(size)?)?;
        let (which, rest) = rest.split_at_checked(self.changes)?;
        let (kinds, rest) = rest.split_at_checked(self.kinds.checked_mul(6)?)?;
        let letters = rest.get(..self.letters)?;
        let moment = |bytes: &[u8]| match bytes.len() {
            4 => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
            _ => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        };
        let kinds = kinds
            .chunks_exact(6)
            .map(|kind| {
                let name = letters.get(usize::from(*kind.get(5)?)..)?;
                let end = name
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(name.len());
                Some(Kind {
                    offset: i32::from_be_bytes(kind.get(..4)?.try_into().ok()?),
                    is_dst: *kind.get(4)? != 0,
                    name: String::from_utf8_lossy(name.get(..end)?).into_owned(),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let changes = moments
            .chunks_exact(size)
            .zip(which)
            .map(|(at, kind)| Some((moment(at)?, usize::from(*kind))))
            .collect::<Option<Vec<_>>>()?;
        Some(Zone {
            changes,
            kinds,
            rule: None,
        })
    }
}

/// A rule in the form of POSIX: `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    standard: Kind,
    summer: Option<(Kind, Switch, Switch)>,
}

/// When clocks are moved, in the local time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Switch {
    day: Day,
    seconds: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// Month, week (5: the last), day of the week (0: Sunday).
    Month(u8, u8, u8),
    /// Day of the year from 1, 29 February never counted.
    Julian(u16),
    /// Day of the year from 0.
    Ordinal(u16),
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = zone_name(text)?;
        let (hours, rest) = clock(rest)?;
        let standard = Kind {
            offset: -hours,
            is_dst: false,
            name: name.to_owned(),
        };
        if rest.is_empty() {
            return Some(Self {
                standard,
                summer: None,
            });
        }
        let (name, mut rest) = zone_name(rest)?;
        let mut offset = standard.offset + 3600;
        if !rest.starts_with(',') && !rest.is_empty() {
            let (hours, after) = clock(rest)?;
            offset = -hours;
            rest = after;
        }
        let rules = match rest.strip_prefix(',') {
            Some(rules) => rules,
            None if rest.is_empty() => "M3.2.0,M11.1.0",
            None => return None,
        };
        let (begin, end) = rules.split_once(',')?;
        let summer = Kind {
            offset,
            is_dst: true,
            name: name.to_owned(),
        };
        Some(Self {
            standard,
            summer: Some((summer, Switch::parse(begin)?, Switch::parse(end)?)),
        })
    }

    fn offset(&self, at: i64) -> (i32, String) {
        let standard = &self.standard;
        let kind = match &self.summer {
            None => standard,
            Some((summer, begin, end)) => {
                let year = year_of(at.saturating_add(standard.offset.into()));
                let begin = begin.moment(year) - i64::from(standard.offset);
                let end = end.moment(year) - i64::from(summer.offset);
                // South of the equator, summer spans the turn of the year.
                let is_summer = if begin < end {
                    (begin..end).contains(&at)
                } else {
                    !(end..begin).contains(&at)
                };
                if is_summer { summer } else { standard }
            }
        };
        (kind.offset, kind.name.clone())
    }
}

/// A zone's name, bare letters or anything in `<>`, and what follows.
fn zone_name(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('<') {
        return rest.split_once('>');
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    (end >= 3).then(|| text.split_at(end))
}

/// `[+-]h[:m[:s]]` in seconds, and what follows.
fn clock(text: &str) -> Option<(i32, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | ':')))
        .unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let (sign, clock) = match clock.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut seconds = 0;
    for (part, unit) in clock.splitn(3, ':').zip([3600, 60, 1]) {
        let n: i32 = part.parse().ok().filter(|n| (0..=167).contains(n))?;
        seconds += n * unit;
    }
    Some((sign * seconds, rest))
}

impl Switch {
    fn parse(text: &str) -> Option<Self> {
        let (day, seconds) = match text.split_once('/') {
            Some((day, time)) => (day, clock(time)?.0),
            None => (text, 7200),
        };
        let day = if let Some(rest) = day.strip_prefix('M') {
            let mut parts = rest.split('.').map(str::parse::<u8>);
            let mut next = |range: std::ops::RangeInclusive<u8>| {
                parts.next()?.ok().filter(|n| range.contains(n))
            };
            Day::Month(next(1..=12)?, next(1..=5)?, next(0..=6)?)
        } else if let Some(rest) = day.strip_prefix('J') {
            Day::Julian(rest.parse().ok().filter(|n| (1..=365).contains(n))?)
        } else {
            Day::Ordinal(day.parse().ok().filter(|n| *n <= 365)?)
        };
        Some(Self { day, seconds })
    }

    /// Local seconds since 1970 of the switch in a year.
    fn moment(self, year: i64) -> i64 {
        let new_year = days(year, 1, 1);
        let day = match self.day {
            Day::Ordinal(n) => new_year + i64::from(n),
            Day::Julian(n) => {
                let after_february = i64::from(n > 59 && is_leap(year));
                new_year + i64::from(n) - 1 + after_february
            }
            Day::Month(month, week, weekday) => {
                let first = days(year, month, 1);
                // 1970 began on a Thursday.
                let first_weekday = (first + 4).rem_euclid(7);
                let mut day = first
                    + (i64::from(weekday) - first_weekday).rem_euclid(7)
                    + 7 * (i64::from(week) - 1);
                let next = if month == 12 {
                    days(year + 1, 1, 1)
                } else {
                    days(year, month + 1, 1)
                };
                if day >= next {
                    day -= 7;
                }
                day
            }
        };
        day * 86_400 + i64::from(self.seconds)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days since 1970 of a date (proleptic Gregorian).
fn days(year: i64, month: u8, day: u8) -> i64 {
    // Years that begin in March put the leap day at the end.
    let month = i64::from(month);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn year_of(at: i64) -> i64 {
    let day = at.div_euclid(86_400);
    let guess = 1970 + day.div_euclid(366);
    // At most a few steps in the centuries that matter; the bound is for the others.
    let mut year = guess;
    for _ in 0..3_000 {
        if days(year + 1, 1, 1) > day {
            break;
        }
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    #[track_caller]
    fn check(tz: &str, at: i64, offset: i32, name: &str) {
        let machine = FakeSystem::new().variable("TZ", tz);
        assert_eq!(
            Zone::local(&machine).offset(at),
            (offset, name.to_owned()),
            "{tz}"
        );
    }

    // Moments and answers of `TZ=… date -d @… '+%s %z %Z'`.
    #[test]
    fn posix_rules_are_followed() {
        let central = "CET-1CEST,M3.5.0,M10.5.0/3";
        check(central, 1_711_846_799, 3_600, "CET");
        check(central, 1_711_846_800, 7_200, "CEST");
        check(central, 1_729_990_799, 7_200, "CEST");
        check(central, 1_729_990_800, 3_600, "CET");
        check("<+0330>-3:30", 0, 12_600, "+0330");
        check("NZST-12NZDT,M9.5.0,M4.1.0/3", 1_704_067_200, 46_800, "NZDT");
        check("NZST-12NZDT,M9.5.0,M4.1.0/3", 1_719_792_000, 43_200, "NZST");
        check("EST5EDT", 1_719_792_000, -14_400, "EDT");
        check("UTC0", 1_719_792_000, 0, "UTC");
    }

    #[test]
    fn nonsense_is_utc() {
        for tz in [
            "",
            "../../etc/passwd",
            "X",
            "CET-1CEST,M13.5.0,M1.1.0",
            "A<",
        ] {
            check(tz, 1_719_792_000, 0, "UTC");
        }
        let machine = FakeSystem::new().file("/etc/localtime", "TZif2 and not much more");
        assert_eq!(Zone::local(&machine), Zone::default());
    }

    #[test]
    fn zone_files_are_read_and_their_footer_holds_afterwards() {
        let mut file = Vec::new();
        for size in [4_usize, 8] {
            file.extend(b"TZif2");
            file.extend([0; 15]);
            for count in [0_u32, 0, 0, 1, 2, 8] {
                file.extend(count.to_be_bytes());
            }
            let moment = 1_000_i64.to_be_bytes();
            file.extend(&moment[8 - size..]);
            file.push(1);
            file.extend(0_i32.to_be_bytes());
            file.extend([0, 0]);
            file.extend(3_600_i32.to_be_bytes());
            file.extend([0, 4]);
            file.extend(b"AAA\0BBB\0");
        }
        file.extend(b"\nBBB-1\n");
        for end in 0..file.len() {
            // No prefix makes it panic.
            Zone::parse(&file[..end]);
        }

        let zone = Zone::parse(&file).unwrap();

        assert_eq!(zone.offset(999), (0, "AAA".to_owned()));
        assert_eq!(zone.offset(1_001), (3_600, "BBB".to_owned()));
    }
}
