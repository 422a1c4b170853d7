//! Format specifications: what stands after the colon in `{:>8.2f}`.

use num_bigint::BigInt;

use crate::jinja::date::{DateTime, strftime};
use crate::jinja::value::{Value, big_str};
use crate::jinja::{Date, Error, Result, Runtime, ops};

use super::float::{Style, digits};

#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    no_negative_zero: bool,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Python's `format(value, spec)`.
///
/// # Errors
/// The specification is malformed or not for that type.
pub(crate) fn format_value(rt: &Runtime<'_>, value: &Value, spec: &str) -> Result<String> {
    if spec.is_empty() {
        return value.str();
    }
    match value {
        Value::Str(text) => {
            let spec = parse(spec, "str")?;
            rt.charge_bytes(spec.width)?;
            format_text(text, &spec)
        }
        Value::Int(_) | Value::Big(_) | Value::Bool(_) => {
            let spec = parse(spec, "int")?;
            rt.charge_bytes(spec.width + spec.precision.unwrap_or(0))?;
            format_integer(value, &spec)
        }
        Value::Float(x) => {
            let spec = parse(spec, "float")?;
            rt.charge_bytes(spec.width + spec.precision.unwrap_or(0))?;
            format_float(*x, &spec, "float")
        }
        other => {
            if let Some(at) = other.downcast::<DateTime>() {
                return Ok(strftime(*at, spec));
            }
            if let Some(date) = other.downcast::<Date>() {
                let midnight = DateTime {
                    date: *date,
                    hour: 0,
                    minute: 0,
                    second: 0,
                    microsecond: 0,
                    offset: None,
                };
                return Ok(strftime(midnight, spec));
            }
            Err(Error::type_error(format!(
                "unsupported format string passed to {}.__format__",
                other.type_name()
            )))
        }
    }
}

fn parse(text: &str, kind: &str) -> Result<Spec> {
    let invalid = || {
        Error::value_error(format!(
            "Invalid format specifier '{text}' for object of type '{kind}'"
        ))
    };
    let chars: Vec<char> = text.chars().collect();
    let mut spec = Spec::default();
    let mut at = 0;
    let is_align = |c: Option<&char>| matches!(c, Some('<' | '>' | '=' | '^'));
    if is_align(chars.get(1)) {
        spec.fill = chars.first().copied();
        spec.align = chars.get(1).copied();
        at = 2;
    } else if is_align(chars.first()) {
        spec.align = chars.first().copied();
        at = 1;
    }
    if let Some(sign @ ('+' | '-' | ' ')) = chars.get(at) {
        spec.sign = Some(*sign);
        at += 1;
    }
    if chars.get(at) == Some(&'z') {
        spec.no_negative_zero = true;
        at += 1;
    }
    if chars.get(at) == Some(&'#') {
        spec.alternate = true;
        at += 1;
    }
    if chars.get(at) == Some(&'0') && spec.fill.is_none() {
        spec.fill = Some('0');
        if spec.align.is_none() && kind != "str" {
            spec.align = Some('=');
        }
        at += 1;
    }
    let number = |at: &mut usize| -> Result<Option<usize>> {
        let start = *at;
        let mut value: usize = 0;
        while let Some(digit) = chars.get(*at).and_then(|c| c.to_digit(10)) {
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(digit as usize))
                .filter(|value| i64::try_from(*value).is_ok())
                .ok_or_else(|| Error::value_error("Too many decimal digits in format string"))?;
            *at += 1;
        }
        Ok((*at > start).then_some(value))
    };
    spec.width = number(&mut at)?.unwrap_or(0);
    while let Some(c @ (',' | '_')) = chars.get(at) {
        match spec.grouping {
            None => spec.grouping = Some(*c),
            Some(former) if former == *c => {
                return Err(Error::value_error(format!(
                    "Cannot specify both ',' and '{c}'."
                )));
            }
            Some(_) => return Err(Error::value_error("Cannot specify both ',' and '_'.")),
        }
        at += 1;
    }
    if chars.get(at) == Some(&'.') {
        at += 1;
        spec.precision = number(&mut at)?;
        if spec.precision.is_none() {
            return Err(Error::value_error("Format specifier missing precision"));
        }
    }
    let rest = chars.get(at..).unwrap_or_default();
    match rest {
        [] => {}
        [kind] => spec.kind = Some(*kind),
        _ => return Err(invalid()),
    }
    if let (Some(grouping), Some(kind)) = (spec.grouping, spec.kind) {
        let allowed = matches!(kind, 'd' | 'e' | 'f' | 'g' | 'E' | 'G' | '%' | 'F')
            || (grouping == '_' && matches!(kind, 'b' | 'o' | 'x' | 'X'));
        if !allowed {
            return Err(Error::value_error(format!(
                "Cannot specify '{grouping}' with '{kind}'."
            )));
        }
    }
    Ok(spec)
}

fn unknown_code(kind: char, of: &str) -> Error {
    let code = if kind > ' ' && kind < '\u{80}' {
        format!("'{kind}'")
    } else {
        format!("'\\x{:x}'", u32::from(kind))
    };
    Error::value_error(format!(
        "Unknown format code {code} for object of type '{of}'"
    ))
}

fn format_text(text: &str, spec: &Spec) -> Result<String> {
    if let Some(kind) = spec.kind
        && kind != 's'
    {
        return Err(unknown_code(kind, "str"));
    }
    if spec.sign.is_some() {
        let message = if spec.sign == Some(' ') {
            "Space not allowed in string format specifier"
        } else {
            "Sign not allowed in string format specifier"
        };
        return Err(Error::value_error(message));
    }
    if spec.no_negative_zero {
        return Err(Error::value_error(
            "Negative zero coercion (z) not allowed in string format specifier",
        ));
    }
    if spec.alternate {
        return Err(Error::value_error(
            "Alternate form (#) not allowed in string format specifier",
        ));
    }
    if let Some(grouping) = spec.grouping {
        return Err(Error::value_error(format!(
            "Cannot specify '{grouping}' with 's'."
        )));
    }
    if spec.align == Some('=') {
        return Err(Error::value_error(
            "'=' alignment not allowed in string format specifier",
        ));
    }
    let kept: String = match spec.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_owned(),
    };
    Ok(pad("", &kept, spec, '<'))
}

/// Fills to the width; a sign stays before the filling for `=`.
fn pad(sign: &str, body: &str, spec: &Spec, default: char) -> String {
    let len = sign.chars().count() + body.chars().count();
    let missing = spec.width.saturating_sub(len);
    let fill = spec.fill.unwrap_or(' ');
    let run = |n: usize| -> String { std::iter::repeat_n(fill, n).collect() };
    match spec.align.unwrap_or(default) {
        '<' => format!("{sign}{body}{}", run(missing)),
        '^' => format!(
            "{}{sign}{body}{}",
            run(missing / 2),
            run(missing - missing / 2)
        ),
        '=' => format!("{sign}{}{body}", run(missing)),
        _ => format!("{}{sign}{body}", run(missing)),
    }
}

fn sign_text(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    }
}

fn big(value: &Value) -> BigInt {
    match value {
        Value::Big(n) => (**n).clone(),
        other => BigInt::from(other.as_index().unwrap_or(0)),
    }
}

fn format_integer(value: &Value, spec: &Spec) -> Result<String> {
    let kind = spec.kind.unwrap_or('d');
    if matches!(kind, 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') {
        let x = ops::as_float(value)?.unwrap_or(0.0);
        return format_float(x, spec, "int");
    }
    if spec.precision.is_some() {
        return Err(Error::value_error(
            "Precision not allowed in integer format specifier",
        ));
    }
    if spec.no_negative_zero {
        return Err(Error::value_error(
            "Negative zero coercion (z) not allowed in format specifier with integer presentation type",
        ));
    }
    let n = big(value);
    let negative = n.sign() == num_bigint::Sign::Minus;
    let magnitude = n.magnitude();
    let (prefix, body) = match kind {
        'd' | 'n' => ("", big_str(&BigInt::from(magnitude.clone()))?),
        'b' => ("0b", magnitude.to_str_radix(2)),
        'o' => ("0o", magnitude.to_str_radix(8)),
        'x' => ("0x", magnitude.to_str_radix(16)),
        'X' => ("0X", magnitude.to_str_radix(16).to_uppercase()),
        'c' => {
            if spec.sign.is_some() {
                return Err(Error::value_error(
                    "Sign not allowed with integer format specifier 'c'",
                ));
            }
            let c = u32::try_from(&n).ok().and_then(char::from_u32);
            let c = c.ok_or_else(|| {
                let text = match i64::try_from(&n) {
                    Ok(_) => "%c arg not in range(0x110000)",
                    Err(_) => "Python int too large to convert to C long",
                };
                Error::python(crate::jinja::Exception::OverflowError, text)
            })?;
            return Ok(pad("", &c.to_string(), spec, '<'));
        }
        other => return Err(unknown_code(other, "int")),
    };
    let sign = sign_text(negative, spec);
    let prefix = if spec.alternate { prefix } else { "" };
    let every = if matches!(kind, 'd' | 'n') { 3 } else { 4 };
    let head = format!("{sign}{prefix}");
    let body = group(&body, "", spec, every, head.chars().count());
    Ok(pad(&head, &body, spec, '>'))
}

/// Puts separators into the digits, and zeros before them when zeros fill.
fn group(digits: &str, tail: &str, spec: &Spec, every: usize, before: usize) -> String {
    let Some(separator) = spec.grouping else {
        return format!("{digits}{tail}");
    };
    let zero_fill = spec.align == Some('=') && spec.fill == Some('0');
    let width = spec.width.saturating_sub(before + tail.chars().count());
    let mut reversed: Vec<char> = Vec::new();
    let mut source = digits.chars().rev();
    let mut count = 0;
    loop {
        let next = source.next();
        if next.is_none() && !(zero_fill && reversed.len() < width) {
            break;
        }
        if count > 0 && count % every == 0 {
            reversed.push(separator);
            // A separator may not begin the number; a zero follows it.
        }
        reversed.push(next.unwrap_or('0'));
        count += 1;
    }
    let body: String = reversed.into_iter().rev().collect();
    body + tail
}

fn format_float(x: f64, spec: &Spec, of: &str) -> Result<String> {
    let kind = spec.kind;
    let style = match kind {
        None => Style::Repr,
        Some('e' | 'E') => Style::Exponent,
        Some('f' | 'F' | '%') => Style::Fixed,
        Some('g' | 'G' | 'n') => Style::General,
        Some(other) => return Err(unknown_code(other, of)),
    };
    let x = if kind == Some('%') { x * 100.0 } else { x };
    let mut body = digits(x, style, spec.precision, spec.alternate);
    let mut negative = x.is_sign_negative() && !x.is_nan();
    if spec.no_negative_zero && body.chars().all(|c| matches!(c, '0' | '.')) {
        negative = false;
    }
    if matches!(kind, Some('E' | 'F' | 'G')) {
        body = body.to_uppercase();
    }
    if kind == Some('%') {
        body.push('%');
    }
    let sign = sign_text(negative, spec);
    let end = body
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(body.len());
    let (whole, tail) = body.split_at(end);
    let grouped = if whole.is_empty() {
        body.clone()
    } else {
        group(whole, tail, spec, 3, sign.len())
    };
    Ok(pad(sign, &grouped, spec, '>'))
}
