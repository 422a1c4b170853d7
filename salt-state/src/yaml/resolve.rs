//! What a plain scalar means: YAML 1.1 as PyYAML reads it, with Salt's integers.

use salt_proto::Value;

/// The tags that the loader knows.
pub(super) mod tag {
    pub(in super::super) const PREFIX: &str = "tag:yaml.org,2002:";
    pub(in super::super) const NULL: &str = "tag:yaml.org,2002:null";
    pub(in super::super) const BOOL: &str = "tag:yaml.org,2002:bool";
    pub(in super::super) const INT: &str = "tag:yaml.org,2002:int";
    pub(in super::super) const FLOAT: &str = "tag:yaml.org,2002:float";
    pub(in super::super) const BINARY: &str = "tag:yaml.org,2002:binary";
    pub(in super::super) const TIMESTAMP: &str = "tag:yaml.org,2002:timestamp";
    pub(in super::super) const OMAP: &str = "tag:yaml.org,2002:omap";
    pub(in super::super) const PAIRS: &str = "tag:yaml.org,2002:pairs";
    pub(in super::super) const SET: &str = "tag:yaml.org,2002:set";
    pub(in super::super) const STR: &str = "tag:yaml.org,2002:str";
    pub(in super::super) const SEQ: &str = "tag:yaml.org,2002:seq";
    pub(in super::super) const MAP: &str = "tag:yaml.org,2002:map";
    pub(in super::super) const UNICODE: &str = "tag:yaml.org,2002:python/unicode";
    pub(in super::super) const MERGE: &str = "tag:yaml.org,2002:merge";
    pub(in super::super) const VALUE: &str = "tag:yaml.org,2002:value";
}

/// The tag of an untagged plain scalar.
pub(super) fn plain(text: &str) -> &'static str {
    let Some(&first) = text.as_bytes().first() else {
        return tag::NULL;
    };
    match first {
        b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => tag::NULL,
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O'
            if truth(text).is_some() =>
        {
            tag::BOOL
        }
        b'<' if text == "<<" => tag::MERGE,
        b'=' if text == "=" => tag::VALUE,
        b'-' | b'+' | b'.' | b'0'..=b'9' => {
            if is_int(text) {
                tag::INT
            } else if is_float(text) {
                tag::FLOAT
            } else if first.is_ascii_digit() && is_timestamp(text) {
                tag::TIMESTAMP
            } else {
                tag::STR
            }
        }
        _ => tag::STR,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// Whether `text` is not empty and all of it `allowed`.
fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

fn digits(text: &str) -> bool {
    all(text, |b| b.is_ascii_digit() || b == b'_')
}

fn starts_with_digit(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_digit())
}

/// The base-60 tail `:59:59`.
fn sexagesimal_tail<'a>(mut parts: impl Iterator<Item = &'a str>) -> bool {
    parts.all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

fn is_int(text: &str) -> bool {
    let body = unsigned(text);
    if let Some(rest) = body.strip_prefix("0b") {
        return all(rest, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(rest) = body.strip_prefix("0x") {
        return all(rest, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    match body.as_bytes() {
        [b'0'] => true,
        [b'0', rest @ ..] => rest.iter().all(|b| matches!(b, b'0'..=b'7' | b'_')),
        [b'1'..=b'9', ..] => {
            let mut parts = body.split(':');
            parts.next().is_some_and(digits) && sexagesimal_tail(parts)
        }
        _ => false,
    }
}

fn is_float(text: &str) -> bool {
    let body = unsigned(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = body.split_once('.') else {
        return false;
    };
    if whole.contains(':') {
        let mut parts = whole.split(':');
        return starts_with_digit(whole)
            && parts.next().is_some_and(digits)
            && sexagesimal_tail(parts)
            && rest.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    }
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
        None => (rest, None),
    };
    if let Some(exponent) = exponent {
        let Some(power) = exponent.strip_prefix(['-', '+']) else {
            return false;
        };
        if !all(power, |b| b.is_ascii_digit()) {
            return false;
        }
    }
    if whole.is_empty() {
        // A sign is not allowed before a bare fraction.
        return body.len() == text.len() && starts_with_digit(fraction) && digits(fraction);
    }
    starts_with_digit(whole) && digits(whole) && (fraction.is_empty() || digits(fraction))
}

/// `2001-12-14` with an optional time; the loader keeps it as text.
pub(super) fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    let digits = |at: &mut usize, least: usize, most: usize| {
        let start = *at;
        while *at - start < most && bytes.get(*at).is_some_and(u8::is_ascii_digit) {
            *at += 1;
        }
        *at - start >= least
    };
    let byte = |at: &mut usize, wanted: u8| {
        let found = bytes.get(*at) == Some(&wanted);
        if found {
            *at += 1;
        }
        found
    };
    if !digits(&mut at, 4, 4) || !byte(&mut at, b'-') {
        return false;
    }
    let month = at;
    if !digits(&mut at, 1, 2) {
        return false;
    }
    let month_digits = at - month;
    if !byte(&mut at, b'-') {
        return false;
    }
    let day = at;
    if !digits(&mut at, 1, 2) {
        return false;
    }
    if at == bytes.len() {
        return month_digits == 2 && at - day == 2;
    }
    match bytes.get(at) {
        Some(b'T' | b't') => at += 1,
        Some(b' ' | b'\t') => {
            while matches!(bytes.get(at), Some(b' ' | b'\t')) {
                at += 1;
            }
        }
        _ => return false,
    }
    let time = digits(&mut at, 1, 2)
        && byte(&mut at, b':')
        && digits(&mut at, 2, 2)
        && byte(&mut at, b':')
        && digits(&mut at, 2, 2);
    if !time {
        return false;
    }
    if byte(&mut at, b'.') {
        digits(&mut at, 0, usize::MAX);
    }
    let before_zone = at;
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    if at == bytes.len() {
        return at == before_zone;
    }
    if byte(&mut at, b'Z') {
        return at == bytes.len();
    }
    if !(byte(&mut at, b'+') || byte(&mut at, b'-')) || !digits(&mut at, 1, 2) {
        return false;
    }
    if byte(&mut at, b':') && !digits(&mut at, 2, 2) {
        return false;
    }
    at == bytes.len()
}

/// The value of a scalar of one of the standard tags, or Python's complaint.
pub(super) fn scalar(tag: &str, text: &str) -> Option<Result<Value, String>> {
    Some(match tag {
        tag::STR | tag::TIMESTAMP | tag::UNICODE => Ok(Value::Str(text.to_owned())),
        tag::NULL => Ok(Value::Null),
        tag::BOOL => truth_any_case(text)
            .map(Value::Bool)
            .ok_or_else(|| format!("'{}'", text.to_lowercase())),
        tag::INT => int(text),
        tag::FLOAT => float(text),
        tag::BINARY => not_ascii(text)
            .map_or_else(|| decode_base64(text), Err)
            .map(Value::Bytes),
        _ => return None,
    })
}

fn truth_any_case(text: &str) -> Option<bool> {
    truth(&text.to_lowercase())
}

fn int(text: &str) -> Result<Value, String> {
    // Salt reads `0644` as a file mode would be written: decimal digits without
    // the zero. Behind a sign YAML's octal rule is left.
    let text = if text.starts_with('0') && !text.starts_with("0b") && !text.starts_with("0x") {
        match text.trim_start_matches('0') {
            "" => "0",
            rest => rest,
        }
    } else {
        text
    };
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let plain = plain.trim();
    let (negative, body) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let (radix, digits) = if body == "0" {
        return Ok(Value::Int(0));
    } else if let Some(rest) = body.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = body.strip_prefix("0x") {
        (16, rest)
    } else if body.starts_with('0') {
        (8, body)
    } else if body.contains(':') {
        return sexagesimal(body, negative);
    } else {
        (10, body)
    };
    let complain = || format!("invalid literal for int() with base {radix}: '{digits}'");
    if !all(digits, |b| char::from(b).is_digit(radix)) {
        return Err(complain());
    }
    match i128::from_str_radix(digits, radix) {
        Ok(n) => Ok(number(if negative { -n } else { n })),
        // Beyond 128 bits only the magnitude is kept.
        Err(_) => {
            let x = digits
                .chars()
                .filter_map(|c| c.to_digit(radix))
                .fold(0.0, |sum, d| sum * f64::from(radix) + f64::from(d));
            Ok(Value::Float(if negative { -x } else { x }))
        }
    }
}

/// The value of an integer; a float where 64 bits do not hold it.
fn number(n: i128) -> Value {
    if let Ok(n) = i64::try_from(n) {
        Value::Int(n)
    } else if let Ok(n) = u64::try_from(n) {
        Value::from(n)
    } else {
        #[expect(clippy::cast_precision_loss, reason = "the value has no wider integer")]
        let x = n as f64;
        Value::Float(x)
    }
}

fn sexagesimal(body: &str, negative: bool) -> Result<Value, String> {
    let mut total: i128 = 0;
    for part in body.split(':') {
        let digit: i128 = part
            .parse()
            .map_err(|_| format!("invalid literal for int() with base 10: '{part}'"))?;
        total = total.saturating_mul(60).saturating_add(digit);
    }
    Ok(number(if negative { -total } else { total }))
}

fn float(text: &str) -> Result<Value, String> {
    let plain: String = text
        .chars()
        .filter(|&c| c != '_')
        .flat_map(char::to_lowercase)
        .collect();
    let (sign, body) = match plain.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let complain = |part: &str| format!("could not convert string to float: '{part}'");
    let x = if body == ".inf" {
        f64::INFINITY
    } else if body == ".nan" {
        f64::NAN
    } else if body.contains(':') {
        let mut total = 0.0;
        for part in body.split(':') {
            let digit: f64 = part.parse().map_err(|_| complain(part))?;
            total = total * 60.0 + digit;
        }
        total
    } else {
        body.parse().map_err(|_| complain(body))?
    };
    Ok(Value::Float(sign * x))
}

/// Why Python refuses to decode text as base 64, if it does.
fn not_ascii(text: &str) -> Option<String> {
    let at = text.chars().position(|ch| !ch.is_ascii())?;
    let run = text
        .chars()
        .skip(at)
        .take_while(|ch| !ch.is_ascii())
        .count();
    let what = if run == 1 {
        let ch: String = text.chars().skip(at).take(1).collect();
        let escaped: String = ch
            .chars()
            .map(|ch| match u32::from(ch) {
                n @ ..=0xFF => format!("\\x{n:02x}"),
                n @ ..=0xFFFF => format!("\\u{n:04x}"),
                n => format!("\\U{n:08x}"),
            })
            .collect();
        format!("character '{escaped}' in position {at}")
    } else {
        format!("characters in position {at}-{}", at + run - 1)
    };
    Some(format!(
        "failed to convert base64 data into ascii: 'ascii' codec can't encode {what}: ordinal not in range(128)"
    ))
}

/// Decodes as Python's lenient decoder does: foreign characters are skipped and
/// Salt adds padding by the length of the text, white space included.
fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    let missing = match text.len() % 4 {
        0 => 0,
        rest => 4 - rest,
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits: u32 = 0;
    let (mut place, mut pads, mut count) = (0, 0, 0_usize);
    for byte in text.bytes().chain(std::iter::repeat_n(b'=', missing)) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if place >= 2 => {
                pads += 1;
                if place + pads >= 4 {
                    return Ok(out);
                }
                continue;
            }
            _ => continue,
        };
        pads = 0;
        count += 1;
        bits = ((bits << 6) | u32::from(value)) & 0xFF_FFFF;
        if place > 0 {
            let shift = 6 - 2 * place;
            out.push(u8::try_from((bits >> shift) & 0xFF).unwrap_or(0));
        }
        place = (place + 1) % 4;
    }
    match place {
        0 => Ok(out),
        1 => Err(format!(
            "failed to decode base64 data: Invalid base64-encoded string: number of data \
             characters ({count}) cannot be 1 more than a multiple of 4"
        )),
        _ => Err("failed to decode base64 data: Incorrect padding".to_owned()),
    }
}
