//! ASN.1's distinguished encoding, as far as certificates need it (X.690).

use num_bigint::BigUint;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const IA5: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// One element: tag, length, content.
pub(super) fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = body.len();
    match u8::try_from(length).ok().filter(|length| *length < 0x80) {
        Some(short) => out.push(short),
        None => {
            let bytes = length.to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = bytes.get(skip..).unwrap_or_default();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(body);
    out
}

/// One element around others.
pub(super) fn around(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    around(SEQUENCE, parts)
}

/// An integer that is not negative, of big-endian bytes.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    tlv(INTEGER, &unsigned_body(bytes))
}

pub(super) fn unsigned_body(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(skip..).unwrap_or_default();
    let mut body = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|first| *first >= 0x80) {
        body.push(0);
    }
    body.extend_from_slice(digits);
    body
}

pub(super) fn number(n: u64) -> Vec<u8> {
    unsigned(&n.to_be_bytes())
}

pub(super) fn boolean(truth: bool) -> Vec<u8> {
    tlv(BOOLEAN, &[if truth { 0xff } else { 0 }])
}

/// A bit string of whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend_from_slice(bytes);
    tlv(BIT_STRING, &body)
}

/// A bit string of named bits, the first bit first, zeros at the end left out.
pub(super) fn flag_bits(flags: &[bool]) -> Vec<u8> {
    let used = flags.iter().rposition(|flag| *flag).map_or(0, |at| at + 1);
    let mut body = vec![u8::try_from((8 - used % 8) % 8).unwrap_or(0)];
    for byte in flags.get(..used).unwrap_or_default().chunks(8) {
        let mut value = 0;
        for (at, flag) in byte.iter().enumerate() {
            if *flag {
                value |= 0x80u8 >> at;
            }
        }
        body.push(value);
    }
    tlv(BIT_STRING, &body)
}

/// An object identifier written with dots. `None` for text of another form.
pub(super) fn oid(text: &str) -> Option<Vec<u8>> {
    let arcs: Vec<BigUint> = text
        .split('.')
        .map(|arc| {
            let digits =
                !arc.is_empty() && arc.len() <= 40 && arc.bytes().all(|c| c.is_ascii_digit());
            digits.then(|| arc.parse().ok()).flatten()
        })
        .collect::<Option<_>>()?;
    let [first, second, rest @ ..] = arcs.as_slice() else {
        return None;
    };
    if *first > BigUint::from(2u8) || (*first < BigUint::from(2u8) && *second > BigUint::from(39u8))
    {
        return None;
    }
    let mut body = base128(&(first * 40u8 + second));
    for arc in rest {
        body.extend(base128(arc));
    }
    Some(tlv(OID, &body))
}

fn base128(n: &BigUint) -> Vec<u8> {
    let mut digits = n.to_radix_be(128);
    let last = digits.len().saturating_sub(1);
    for digit in digits.iter_mut().take(last) {
        *digit |= 0x80;
    }
    digits
}

/// The dotted form of an object identifier's content.
pub(super) fn oid_text(body: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut digits = Vec::new();
    for byte in body {
        digits.push(byte & 0x7f);
        if digits.len() > 20 {
            return None;
        }
        if byte & 0x80 == 0 {
            arcs.push(BigUint::from_radix_be(&digits, 128)?);
            digits.clear();
        }
    }
    if !digits.is_empty() {
        return None;
    }
    let (first, rest) = arcs.split_first()?;
    let eighty = BigUint::from(80u8);
    let (a, b) = if *first >= eighty {
        (BigUint::from(2u8), first - eighty)
    } else {
        (first / 40u8, first % 40u8)
    };
    let mut text = format!("{a}.{b}");
    for arc in rest {
        text.push_str(&format!(".{arc}"));
    }
    Some(text)
}

/// A time, by seconds since 1970: in two forms, as RFC 5280 wants it.
pub(super) fn time(unix: i64) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = civil(unix);
    if (1950..2050).contains(&year) {
        let text = format!(
            "{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z",
            year % 100
        );
        tlv(UTC_TIME, text.as_bytes())
    } else {
        let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
        tlv(GENERALIZED_TIME, text.as_bytes())
    }
}

/// `2026-11-22 10:45:33`, in UTC.
pub(super) fn time_text(unix: i64) -> String {
    let (year, month, day, hour, minute, second) = civil(unix);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Seconds since 1970 of `2026-11-22 10:45:33`. `None` for text of another form.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.trim().as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = std::str::from_utf8(bytes.get(from..to)?).ok()?;
        part.bytes().all(|c| c.is_ascii_digit()).then_some(())?;
        part.parse().ok()
    };
    let shaped = bytes.len() == 19
        && [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')]
            .iter()
            .all(|(at, byte)| bytes.get(*at) == Some(byte));
    if !shaped {
        return None;
    }
    seconds(
        number(0, 4)?,
        number(5, 7)?,
        number(8, 10)?,
        number(11, 13)?,
        number(14, 16)?,
        number(17, 19)?,
    )
}

/// What a calendar says, from its six numbers; `None` where they say nothing.
fn seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let ranges = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..61).contains(&second);
    if !ranges {
        return None;
    }
    let years = if month <= 2 { year - 1 } else { year };
    let era = years.div_euclid(400);
    let of_era = years - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn civil(unix: i64) -> (i64, i64, i64, i64, i64, i64) {
    let (days, rest) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
}

/// One element that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub(super) fn parts(&self) -> Option<Vec<Self>> {
        let mut rest = self.body;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (part, after) = split(rest)?;
            parts.push(part);
            rest = after;
        }
        Some(parts)
    }

    /// The elements inside, if this has that tag.
    pub(super) fn parts_of(&self, tag: u8) -> Option<Vec<Self>> {
        if self.tag != tag {
            return None;
        }
        self.parts()
    }

    pub(super) fn oid(&self) -> Option<String> {
        (self.tag == OID).then(|| oid_text(self.body)).flatten()
    }

    /// A bit string of whole bytes.
    pub(super) fn bits(&self) -> Option<&'a [u8]> {
        match self.body.split_first() {
            Some((0, bytes)) if self.tag == BIT_STRING => Some(bytes),
            _ => None,
        }
    }

    /// A small integer that is not negative.
    pub(super) fn small(&self) -> Option<i64> {
        small(self.body)
    }

    /// Text of any of the string types.
    pub(super) fn text(&self) -> String {
        match self.tag {
            // BMPString
            0x1e => {
                let units: Vec<u16> = self
                    .body
                    .chunks(2)
                    .map(|pair| pair.iter().fold(0, |all, byte| all << 8 | u16::from(*byte)))
                    .collect();
                String::from_utf16_lossy(&units)
            }
            _ => String::from_utf8_lossy(self.body).into_owned(),
        }
    }

    /// Seconds since 1970.
    pub(super) fn time(&self) -> Option<i64> {
        let text = std::str::from_utf8(self.body).ok()?.strip_suffix('Z')?;
        let text = match self.tag {
            UTC_TIME => {
                let century = if text.get(..2)? < "50" { "20" } else { "19" };
                format!("{century}{text}")
            }
            GENERALIZED_TIME => text.to_owned(),
            _ => return None,
        };
        let part = |from: usize, to: usize| -> Option<i64> {
            let part = text.get(from..to)?;
            part.bytes().all(|c| c.is_ascii_digit()).then_some(())?;
            part.parse().ok()
        };
        if text.len() != 14 {
            return None;
        }
        seconds(
            part(0, 4)?,
            part(4, 6)?,
            part(6, 8)?,
            part(8, 10)?,
            part(10, 12)?,
            part(12, 14)?,
        )
    }
}

pub(super) fn small(body: &[u8]) -> Option<i64> {
    if body.is_empty() || body.len() > 8 || body.first().is_some_and(|byte| *byte >= 0x80) {
        return None;
    }
    Some(body.iter().fold(0, |all, byte| all << 8 | i64::from(*byte)))
}

/// The first element, and what is behind it.
pub(super) fn split(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let length = rest
            .get(..count)?
            .iter()
            .fold(0usize, |all, byte| all << 8 | usize::from(*byte));
        (length, rest.get(count..)?)
    };
    let body = rest.get(..length)?;
    let after = rest.get(length..)?;
    let whole = bytes.get(..bytes.len() - after.len())?;
    Some((
        Element {
            tag: *tag,
            body,
            whole,
        },
        after,
    ))
}

/// The one element that these bytes are.
pub(super) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    let (element, after) = split(bytes)?;
    after.is_empty().then_some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_times_come_back() {
        for text in [
            "1.2.840.113549.1.9.1",
            "2.5.29.15",
            "2.999.3",
            "0.9.2342.19200300.100.1.25",
        ] {
            let der = oid(text).unwrap();
            assert_eq!(only(&der).unwrap().oid().as_deref(), Some(text));
        }
        for text in ["", "1", "3.1", "1.40", "1..2", "1.2.x", "-1.2"] {
            assert_eq!(oid(text), None, "{text}");
        }
        for text in [
            "1950-01-01 00:00:00",
            "2026-11-22 10:45:33",
            "2049-12-31 23:59:59",
            "2050-01-01 00:00:00",
            "2024-02-29 12:00:00",
            "9999-12-31 23:59:59",
        ] {
            let unix = parse_time(text).unwrap();
            assert_eq!(time_text(unix), text);
            assert_eq!(only(&time(unix)).unwrap().time(), Some(unix), "{text}");
        }
        assert_eq!(parse_time("2026-13-01 00:00:00"), None);
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn numbers_and_flags_are_as_short_as_can_be() {
        assert_eq!(number(0), [2, 1, 0]);
        assert_eq!(number(128), [2, 2, 0, 128]);
        assert_eq!(flag_bits(&[false; 9]), [3, 1, 0]);
        assert_eq!(
            flag_bits(&[false, false, false, false, false, true, true]),
            [3, 2, 1, 6]
        );
        assert_eq!(
            tlv(4, &[0; 300]).get(..4),
            Some([4, 0x82, 1, 44].as_slice())
        );
    }

    #[test]
    fn cut_and_overlong_elements_are_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 5, 1],
            &[0x30, 0x80],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x1f, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(split(bytes).is_none(), "{bytes:?}");
        }
        assert!(only(&[5, 0, 0]).is_none());
        assert!(only(&[0x30, 2, 0x30, 9]).unwrap().parts().is_none());
    }
}
