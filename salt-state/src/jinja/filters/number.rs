//! Filters on numbers.

use num_bigint::BigInt;

use crate::jinja::ast::Binary;
use crate::jinja::value::{Value, float_as_int};
use crate::jinja::{Args, Error, Exception, Result, Runtime, format, ops};

use super::{Builtin, argument_error, integer};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "abs" => |_, args| {
            let [x] = args.bind("abs", ["x"], 1)?;
            let x = x.unwrap_or_default();
            match &x {
                Value::Float(x) => Ok(Value::Float(x.abs())),
                Value::Int(_) | Value::Big(_) | Value::Bool(_) => {
                    if crate::jinja::value::compare("<", &x, &Value::Int(0))? {
                        ops::negative(&x)
                    } else {
                        ops::positive(&x)
                    }
                }
                other => Err(Error::type_error(format!(
                    "bad operand type for abs(): '{}'",
                    other.type_name()
                ))),
            }
        },
        "int" => |_, args| {
            let [value, default, base] = args.bind("do_int", ["value", "default", "base"], 1)?;
            let base = base.as_ref().map_or(Ok(10), integer)?;
            let value = value.unwrap_or_default();
            match to_int(&value, base) {
                Ok(n) => Ok(n),
                Err(error) if is_conversion(&error) => {
                    match to_float(&value).and_then(|x| to_int(&Value::Float(x), 10)) {
                        Ok(n) => Ok(n),
                        Err(error)
                            if is_conversion(&error) || error.is(Exception::OverflowError) =>
                        {
                            Ok(default.unwrap_or(Value::Int(0)))
                        }
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            }
        },
        "float" => |_, args| {
            let [value, default] = args.bind("do_float", ["value", "default"], 1)?;
            match to_float(&value.unwrap_or_default()) {
                Ok(x) => Ok(Value::Float(x)),
                Err(error) if is_conversion(&error) => Ok(default.unwrap_or(Value::Float(0.0))),
                Err(error) => Err(error),
            }
        },
        "round" => round,
        "filesizeformat" => filesizeformat,
        _ => return None,
    })
}

fn is_conversion(error: &Error) -> bool {
    error.is(Exception::TypeError) || error.is(Exception::ValueError)
}

/// Python's `int(value, base)`.
///
/// # Errors
/// The value is not a number or not one in that base.
pub(crate) fn to_int(value: &Value, base: i64) -> Result<Value> {
    match value {
        Value::Int(_) | Value::Big(_) => Ok(value.clone()),
        Value::Bool(b) => Ok(Value::Int(i64::from(*b))),
        Value::Float(x) if x.is_nan() => {
            Err(Error::value_error("cannot convert float NaN to integer"))
        }
        Value::Float(x) => float_as_int(x.trunc()).ok_or_else(|| {
            Error::python(
                Exception::OverflowError,
                "cannot convert float infinity to integer",
            )
        }),
        Value::Str(text) => parse_int(text, base),
        Value::Bytes(bytes) => parse_int(&String::from_utf8_lossy(bytes), 10),
        Value::Undefined(undefined) => Err(undefined.error()),
        other => Err(Error::type_error(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            other.type_name()
        ))),
    }
}

fn parse_int(text: &str, base: i64) -> Result<Value> {
    if base != 0 && !(2..=36).contains(&base) {
        return Err(Error::value_error(
            "int() base must be >= 2 and <= 36, or 0",
        ));
    }
    let invalid = || {
        let literal = crate::jinja::value::repr_str(text);
        Error::value_error(format!(
            "invalid literal for int() with base {base}: {literal}"
        ))
    };
    let trimmed = text.trim_matches(crate::jinja::lexer::is_space);
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (prefix_base, rest) = match prefix.as_deref() {
        Some("0x") => (16, digits.get(2..)),
        Some("0o") => (8, digits.get(2..)),
        Some("0b") => (2, digits.get(2..)),
        _ => (0, None),
    };
    let (radix, digits) = match (base, rest) {
        (0, Some(rest)) => (prefix_base, rest.strip_prefix('_').unwrap_or(rest)),
        (0, None) => {
            // `010` is neither octal nor decimal to Python.
            let zeros = digits.chars().all(|c| matches!(c, '0' | '_'));
            if digits.starts_with('0') && !zeros {
                return Err(invalid());
            }
            (10, digits)
        }
        (base, Some(rest)) if base == prefix_base => (base, rest.strip_prefix('_').unwrap_or(rest)),
        (base, _) => (base, digits),
    };
    let radix = u32::try_from(radix).unwrap_or(10);
    let mut plain = String::with_capacity(digits.len());
    let mut after_digit = false;
    for c in digits.chars() {
        if c == '_' && after_digit {
            after_digit = false;
            continue;
        }
        let digit = c
            .to_digit(radix)
            .or_else(|| crate::jinja::methods::decimal_value(c).filter(|d| *d < radix));
        let Some(digit) = digit else {
            return Err(invalid());
        };
        plain.push(char::from_digit(digit, radix).unwrap_or('0'));
        after_digit = true;
    }
    if !after_digit {
        return Err(invalid());
    }
    if plain.len() > 4300 && !radix.is_power_of_two() {
        return Err(Error::value_error(format!(
            "Exceeds the limit (4300 digits) for integer string conversion: value has {} digits; \
             use sys.set_int_max_str_digits() to increase the limit",
            plain.len()
        )));
    }
    let n = BigInt::parse_bytes(plain.as_bytes(), radix).ok_or_else(invalid)?;
    Ok(Value::int(if negative { -n } else { n }))
}

/// Python's `float(value)`.
///
/// # Errors
/// The value is not a number.
pub(crate) fn to_float(value: &Value) -> Result<f64> {
    match value {
        Value::Str(text) => parse_float(text),
        Value::Bytes(bytes) => parse_float(&String::from_utf8_lossy(bytes)),
        Value::Undefined(undefined) => Err(undefined.error()),
        other => ops::as_float(other)?.ok_or_else(|| {
            Error::type_error(format!(
                "float() argument must be a string or a real number, not '{}'",
                other.type_name()
            ))
        }),
    }
}

fn parse_float(text: &str) -> Result<f64> {
    let trimmed = text.trim_matches(crate::jinja::lexer::is_space);
    let plain: String = trimmed
        .chars()
        .map(|c| {
            crate::jinja::methods::decimal_value(c)
                .and_then(|digit| char::from_digit(digit, 10))
                .unwrap_or(c)
        })
        .collect();
    let digit_at = |at: Option<usize>| {
        at.and_then(|at| plain.as_bytes().get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let joined = plain
        .match_indices('_')
        .all(|(at, _)| digit_at(at.checked_sub(1)) && digit_at(Some(at + 1)));
    let cleaned = plain.replace('_', "");
    // Rust also reads `infinity` and `nan`, as Python does, but in fewer cases.
    let lower = cleaned.to_ascii_lowercase();
    let parsed = match lower.trim_start_matches(['+', '-']) {
        "inf" | "infinity" | "nan" if !lower.starts_with("+-") && !lower.starts_with("-+") => {
            lower.replace("infinity", "inf").parse().ok()
        }
        _ => cleaned.parse::<f64>().ok().filter(|_| {
            cleaned
                .bytes()
                .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        }),
    };
    parsed.filter(|_| joined).ok_or_else(|| {
        Error::value_error(format!(
            "could not convert string to float: {}",
            crate::jinja::value::repr_str(text)
        ))
    })
}

fn round(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [value, precision, method] = args.bind("do_round", ["value", "precision", "method"], 1)?;
    let method = method.unwrap_or_else(|| Value::text("common"));
    let precision = precision.unwrap_or(Value::Int(0));
    let value = value.unwrap_or_default();
    let Some(method @ ("common" | "ceil" | "floor")) = method.as_str() else {
        return Err(argument_error("method must be common, ceil or floor"));
    };
    if method == "common" {
        return round_common(&value, &precision);
    }
    let unit = ops::binary(rt, Binary::Pow, &Value::Int(10), &precision)?;
    let scaled = ops::binary(rt, Binary::Mul, &value, &unit)?;
    let whole = match &scaled {
        Value::Float(x) => {
            let x = if method == "ceil" {
                x.ceil()
            } else {
                x.floor()
            };
            to_int(&Value::Float(x), 10)?
        }
        Value::Int(_) | Value::Big(_) => scaled,
        other => {
            return Err(Error::type_error(format!(
                "must be real number, not {}",
                other.type_name()
            )));
        }
    };
    ops::binary(rt, Binary::Div, &whole, &unit)
}

/// Python's `round(value, places)`.
fn round_common(value: &Value, places: &Value) -> Result<Value> {
    match value {
        Value::Float(x) => Ok(Value::Float(format::round_half_even(*x, integer(places)?))),
        Value::Int(_) | Value::Big(_) | Value::Bool(_) => {
            let places = integer(places)?;
            if places >= 0 {
                return ops::positive(value);
            }
            let n = match value {
                Value::Big(n) => (**n).clone(),
                other => BigInt::from(other.as_index().unwrap_or(0)),
            };
            let Ok(exponent) = u32::try_from(-places) else {
                return Ok(Value::Int(0));
            };
            if exponent > 5000 {
                return Ok(Value::Int(0));
            }
            let unit = BigInt::from(10).pow(exponent);
            let half = &unit / 2;
            let zero = BigInt::from(0);
            let mut rest = &n % &unit;
            if rest < zero {
                rest += &unit;
            }
            let floor = &n - &rest;
            let odd = (&floor / &unit).bit(0);
            let up = rest > half || (rest == half && odd);
            Ok(Value::int(if up { floor + unit } else { floor }))
        }
        other => Err(Error::type_error(format!(
            "type {} doesn't define __round__ method",
            other.type_name()
        ))),
    }
}

fn filesizeformat(_: &Runtime<'_>, args: Args) -> Result<Value> {
    const DECIMAL: [&str; 8] = ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    const BINARY: [&str; 8] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
    let [value, binary] = args.bind("do_filesizeformat", ["value", "binary"], 1)?;
    let bytes = to_float(&value.unwrap_or_default())?;
    let (base, units) = if super::flag(binary)? {
        (1024.0_f64, BINARY)
    } else {
        (1000.0, DECIMAL)
    };
    #[expect(clippy::float_cmp, reason = "exactly one byte is singular")]
    if bytes == 1.0 {
        return Ok(Value::text("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::text(format!(
            "{} Bytes",
            to_int(&Value::Float(bytes), 10)?.str()?
        )));
    }
    let mut unit = base;
    let mut text = String::new();
    for name in units {
        unit *= base;
        text = format!("{} {name}", format::fixed(base * bytes / unit, 1));
        if bytes < unit {
            break;
        }
    }
    Ok(Value::text(text))
}
