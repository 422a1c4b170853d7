//! `'…' % args`.

use num_bigint::BigInt;

use crate::jinja::value::{Dict, Key, Value, escape_non_ascii, float_as_int};
use crate::jinja::{Error, Exception, Kind, Result, Runtime, access, ops};

use super::float::{Style, digits};

#[derive(Default)]
struct Conversion {
    minus: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The arguments of `%`: one value, a tuple of them, or a mapping.
struct Arguments<'a> {
    all: &'a [Value],
    next: usize,
    mapping: Option<&'a Value>,
}

impl Arguments<'_> {
    fn next(&mut self) -> Result<Value> {
        let value = self.all.get(self.next).cloned();
        self.next += 1;
        value.ok_or_else(|| Error::type_error("not enough arguments for format string"))
    }
}

fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::type_error(message))
}

/// Formats as Python's `%` of strings does.
///
/// # Errors
/// The format is malformed, or the arguments do not fit it.
pub(crate) fn percent(rt: &Runtime<'_>, format: &str, args: &Value) -> Result<String> {
    let all: &[Value] = match args {
        Value::Tuple(items) => items,
        other => std::slice::from_ref(other),
    };
    let is_mapping = matches!(
        args,
        Value::Dict(_) | Value::List(_) | Value::Undefined(_) | Value::Bytes(_)
    ) || matches!(args, Value::Object(object) if object.is_mapping() || object.is_sequence());
    let mut arguments = Arguments {
        all,
        next: 0,
        mapping: is_mapping.then_some(args),
    };
    let mut out = String::new();
    let mut by_key = false;
    let mut chars = format.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut value = None;
        if chars.next_if(|(_, c)| *c == '(').is_some() {
            let Some(mapping) = arguments.mapping else {
                return type_error("format requires a mapping");
            };
            let mut key = String::new();
            let mut open = 1;
            loop {
                let Some((_, c)) = chars.next() else {
                    return Err(Error::value_error("incomplete format key"));
                };
                match c {
                    '(' => open += 1,
                    ')' => open -= 1,
                    _ => {}
                }
                if open == 0 {
                    break;
                }
                key.push(c);
            }
            value = Some(by_name(rt, mapping, &key)?);
            by_key = true;
        }
        let mut conversion = Conversion::default();
        while let Some((_, flag)) = chars.next_if(|(_, c)| "-+ #0".contains(*c)) {
            match flag {
                '-' => conversion.minus = true,
                '+' => conversion.plus = true,
                ' ' => conversion.space = true,
                '#' => conversion.alternate = true,
                _ => conversion.zero = true,
            }
        }
        let number = |chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
                      arguments: &mut Arguments<'_>|
         -> Result<Option<i64>> {
            if chars.next_if(|(_, c)| *c == '*').is_some() {
                return match arguments.next()?.as_index() {
                    Some(n) => Ok(Some(n)),
                    None => type_error("* wants int"),
                };
            }
            let mut value: Option<i64> = None;
            while let Some((_, c)) = chars.next_if(|(_, c)| c.is_ascii_digit()) {
                let digit = i64::from(c.to_digit(10).unwrap_or(0));
                let former = value.unwrap_or(0);
                let next = former.checked_mul(10).and_then(|n| n.checked_add(digit));
                value = Some(next.ok_or_else(|| Error::value_error("width too big"))?);
            }
            Ok(value)
        };
        if let Some(width) = number(&mut chars, &mut arguments)? {
            conversion.minus |= width < 0;
            conversion.width = usize::try_from(width.unsigned_abs()).ok();
        }
        if chars.next_if(|(_, c)| *c == '.').is_some() {
            let precision = number(&mut chars, &mut arguments)?.unwrap_or(0);
            conversion.precision = Some(usize::try_from(precision).unwrap_or(0));
        }
        let _ = chars.next_if(|(_, c)| matches!(c, 'h' | 'l' | 'L'));
        let Some((at, kind)) = chars.next() else {
            return Err(Error::value_error("incomplete format"));
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        rt.charge_bytes(conversion.width.unwrap_or(0) + conversion.precision.unwrap_or(0))?;
        let value = match value {
            Some(value) => value,
            None => arguments.next()?,
        };
        let index = format.get(..at).map_or(0, |head| head.chars().count());
        convert(rt, &mut out, kind, &value, &conversion, index)?;
        rt.charge_bytes(out.len().min(64))?;
    }
    let surplus = arguments.next < arguments.all.len();
    if surplus && !by_key && arguments.mapping.is_none() {
        return type_error("not all arguments converted during string formatting");
    }
    rt.charge_bytes(out.len())?;
    Ok(out)
}

fn by_name(rt: &Runtime<'_>, mapping: &Value, key: &str) -> Result<Value> {
    match mapping {
        Value::Dict(dict) => dict.get(key).ok_or_else(|| key_error(dict, key)),
        Value::List(_) => type_error("list indices must be integers or slices, not str"),
        Value::Undefined(undefined) => Err(undefined.error()),
        other => access::lookup(rt, other, &Value::text(key))?.ok_or_else(|| {
            Error::new(
                Kind::Python(Exception::KeyError),
                crate::jinja::value::repr_str(key),
            )
        }),
    }
}

fn key_error(_: &Dict, key: &str) -> Error {
    let text = Key::text(key).value().repr();
    Error::new(
        Kind::Python(Exception::KeyError),
        text.unwrap_or_else(|error| error.to_string()),
    )
}

fn convert(
    _: &Runtime<'_>,
    out: &mut String,
    kind: char,
    value: &Value,
    conversion: &Conversion,
    index: usize,
) -> Result<()> {
    match kind {
        's' | 'r' | 'a' => {
            let text = match kind {
                's' => value.str()?,
                'r' => value.repr()?,
                _ => escape_non_ascii(&value.repr()?),
            };
            let text = match conversion.precision {
                Some(most) => text.chars().take(most).collect(),
                None => text,
            };
            pad(out, "", &text, conversion, false);
        }
        'c' => {
            let text = match value {
                Value::Str(text) if text.char_len() == 1 => (**text).to_owned(),
                other => {
                    let c = match (other, other.as_index()) {
                        (_, Some(code)) => u32::try_from(code).ok().and_then(char::from_u32),
                        (Value::Big(_), None) => None,
                        _ => return type_error("%c requires int or char"),
                    };
                    let c = c.ok_or_else(|| {
                        Error::python(Exception::OverflowError, "%c arg not in range(0x110000)")
                    })?;
                    c.to_string()
                }
            };
            pad(out, "", &text, conversion, false);
        }
        'd' | 'i' | 'u' => {
            let n = whole(value, kind)?;
            number(out, &n, 10, "", false, conversion)?;
        }
        'x' | 'X' | 'o' => {
            let n = match value {
                Value::Big(n) => (**n).clone(),
                other => match other.as_index() {
                    Some(n) => BigInt::from(n),
                    None => {
                        return type_error(format!(
                            "%{kind} format: an integer is required, not {}",
                            other.type_name()
                        ));
                    }
                },
            };
            let (radix, prefix) = match kind {
                'x' => (16, "0x"),
                'X' => (16, "0X"),
                _ => (8, "0o"),
            };
            number(out, &n, radix, prefix, kind == 'X', conversion)?;
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            if let Value::Undefined(undefined) = value {
                return Err(undefined.error());
            }
            let Some(x) = ops::as_float(value)? else {
                return type_error(format!("must be real number, not {}", value.type_name()));
            };
            let style = match kind.to_ascii_lowercase() {
                'e' => Style::Exponent,
                'f' => Style::Fixed,
                _ => Style::General,
            };
            let mut body = digits(x, style, conversion.precision, conversion.alternate);
            if kind.is_ascii_uppercase() {
                body = body.to_uppercase();
            }
            let negative = x.is_sign_negative() && !x.is_nan();
            pad(out, sign(negative, conversion), &body, conversion, true);
        }
        other => {
            let shown = if (' '..='~').contains(&other) {
                other
            } else {
                '?'
            };
            return Err(Error::value_error(format!(
                "unsupported format character '{shown}' (0x{:x}) at index {index}",
                u32::from(other)
            )));
        }
    }
    Ok(())
}

/// A number as an integer, cut towards zero.
fn whole(value: &Value, kind: char) -> Result<BigInt> {
    match value {
        Value::Big(n) => Ok((**n).clone()),
        Value::Float(x) if x.is_nan() => {
            Err(Error::value_error("cannot convert float NaN to integer"))
        }
        Value::Float(x) => match float_as_int(x.trunc()) {
            Some(Value::Int(n)) => Ok(BigInt::from(n)),
            Some(Value::Big(n)) => Ok((*n).clone()),
            _ => Err(Error::python(
                Exception::OverflowError,
                "cannot convert float infinity to integer",
            )),
        },
        Value::Undefined(undefined) => Err(undefined.error()),
        other => match other.as_index() {
            Some(n) => Ok(BigInt::from(n)),
            None => type_error(format!(
                "%{kind} format: a real number is required, not {}",
                other.type_name()
            )),
        },
    }
}

fn sign(negative: bool, conversion: &Conversion) -> &'static str {
    match (negative, conversion.plus, conversion.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn number(
    out: &mut String,
    n: &BigInt,
    radix: u32,
    prefix: &str,
    upper: bool,
    conversion: &Conversion,
) -> Result<()> {
    let magnitude = n.magnitude();
    let mut body = if radix == 10 {
        crate::jinja::value::big_str(&BigInt::from(magnitude.clone()))?
    } else {
        magnitude.to_str_radix(radix)
    };
    if upper {
        body = body.to_uppercase();
    }
    if let Some(least) = conversion.precision {
        let zeros = least.saturating_sub(body.len());
        body = "0".repeat(zeros) + &body;
    }
    let negative = n.sign() == num_bigint::Sign::Minus;
    let prefix = if conversion.alternate { prefix } else { "" };
    let head = format!("{}{prefix}", sign(negative, conversion));
    pad(out, &head, &body, conversion, true);
    Ok(())
}

fn pad(out: &mut String, head: &str, body: &str, conversion: &Conversion, numeric: bool) {
    let len = head.chars().count() + body.chars().count();
    let missing = conversion.width.unwrap_or(0).saturating_sub(len);
    let zero = conversion.zero && numeric && !conversion.minus;
    let run = |out: &mut String, c: char| out.extend(std::iter::repeat_n(c, missing));
    if !zero && !conversion.minus {
        run(out, ' ');
    }
    out.push_str(head);
    if zero {
        run(out, '0');
    }
    out.push_str(body);
    if conversion.minus {
        run(out, ' ');
    }
}
