//! Python's operators.

use num_bigint::BigInt;

use super::ast::Binary;
use super::methods::DictView;
use super::value::{Set, Str, Tuple, Value, contains_identical_or_equal};
use super::{Error, Exception, Kind, Result, Runtime, filters, format};

/// The largest integer that arithmetic makes, in bits; Python has no limit.
const MAX_BITS: u64 = 1 << 17;

fn symbol(op: Binary) -> &'static str {
    match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::FloorDiv => "//",
        Binary::Mod => "%",
        Binary::Pow => "** or pow()",
    }
}

fn unsupported(op: Binary, left: &Value, right: &Value) -> Error {
    Error::type_error(format!(
        "unsupported operand type(s) for {}: '{}' and '{}'",
        symbol(op),
        left.type_name(),
        right.type_name()
    ))
}

fn zero_division(message: &str) -> Error {
    Error::python(Exception::ZeroDivisionError, message)
}

fn overflow(message: &str) -> Error {
    Error::python(Exception::OverflowError, message)
}

/// A binary operator.
///
/// # Errors
/// What Python raises for it.
pub(crate) fn binary(rt: &Runtime<'_>, op: Binary, left: &Value, right: &Value) -> Result<Value> {
    if let (Value::Int(a), Value::Int(b)) = (left, right)
        && let Some(value) = small(op, *a, *b)
    {
        return Ok(value);
    }
    match (op, left, right) {
        (Binary::Mod, Value::Str(text), _) => {
            let args = if text.is_markup() {
                escape_args(right)?
            } else {
                right.clone()
            };
            let result = format::percent(rt, text, &args)?;
            return Ok(Value::Str(if text.is_markup() {
                Str::markup(result)
            } else {
                result.into()
            }));
        }
        (_, Value::Undefined(u), _) | (_, _, Value::Undefined(u)) => return Err(u.error()),
        (Binary::Add, Value::Str(a), Value::Str(b)) => return add_text(rt, a, b),
        (Binary::Add, Value::List(a), Value::List(b)) => {
            rt.charge(a.len() + b.len())?;
            let mut items = a.to_vec();
            items.extend(b.borrow().iter().cloned());
            return Ok(Value::list(items));
        }
        (Binary::Add, Value::Tuple(a), Value::Tuple(b)) => {
            rt.charge(a.len() + b.len())?;
            return Ok(Value::tuple([&**a, &**b].concat()));
        }
        (Binary::Add, Value::Bytes(a), Value::Bytes(b)) => {
            rt.charge_bytes(a.len() + b.len())?;
            return Ok(Value::Bytes([&**a, &**b].concat().into()));
        }
        (Binary::Add, Value::Str(_), other) => return Err(cannot_concatenate("str", other)),
        (Binary::Add, Value::List(_), other) => return Err(cannot_concatenate("list", other)),
        (Binary::Add, Value::Tuple(_), other) => return Err(cannot_concatenate("tuple", other)),
        (Binary::Add, Value::Bytes(_), other) => {
            let name = other.type_name();
            return Err(Error::type_error(format!("can't concat {name} to bytes")));
        }
        (Binary::Mul, a, b) if is_repeatable(a) => return repeat(rt, a, b),
        (Binary::Mul, a, b) if is_repeatable(b) => return repeat(rt, b, a),
        (Binary::Sub, Value::Object(_), _) | (Binary::Sub, _, Value::Object(_)) => {
            if let (Some(a), Some(b)) = (view_set(left)?, view_set(right)?) {
                return binary(rt, op, &Value::Set(a), &Value::Set(b));
            }
        }
        (Binary::Sub, Value::Set(a), Value::Set(b)) => {
            let b = b.borrow();
            let kept = a
                .borrow()
                .iter()
                .filter(|key| !b.contains(*key))
                .cloned()
                .collect();
            return Ok(Value::Set(Set::new(kept)));
        }
        _ => {}
    }
    arithmetic(rt, op, left, right)
}

/// The set that a set or a view of a dict's keys or items is in arithmetic.
fn view_set(value: &Value) -> Result<Option<Set>> {
    match value {
        Value::Set(set) => Ok(Some(set.clone())),
        other => match other.downcast::<DictView>() {
            Some(view) => view.as_set(),
            None => Ok(None),
        },
    }
}

fn cannot_concatenate(to: &str, other: &Value) -> Error {
    let name = other.type_name();
    Error::type_error(format!(
        "can only concatenate {to} (not \"{name}\") to {to}"
    ))
}

fn add_text(rt: &Runtime<'_>, a: &Str, b: &Str) -> Result<Value> {
    rt.charge_bytes(a.len() + b.len())?;
    Ok(Value::Str(match (a.is_markup(), b.is_markup()) {
        (false, false) => [&**a, &**b].concat().into(),
        (true, true) => Str::markup([&**a, &**b].concat()),
        (true, false) => Str::markup([&**a, &*filters::escape_text(b)].concat()),
        (false, true) => Str::markup([&*filters::escape_text(a), &**b].concat()),
    }))
}

/// The arguments of `Markup % …`, escaped.
fn escape_args(args: &Value) -> Result<Value> {
    let escape = |value: &Value| -> Result<Value> {
        Ok(match value {
            Value::Str(text) if !text.is_markup() => {
                Value::Str(Str::markup(filters::escape_text(text)))
            }
            other => other.clone(),
        })
    };
    Ok(match args {
        Value::Tuple(items) => Value::tuple(items.iter().map(escape).collect::<Result<_>>()?),
        other => escape(other)?,
    })
}

fn is_repeatable(value: &Value) -> bool {
    matches!(
        value,
        Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Bytes(_)
    )
}

fn repeat(rt: &Runtime<'_>, sequence: &Value, times: &Value) -> Result<Value> {
    let Some(times) = times.as_index() else {
        if let Value::Big(_) = times {
            return Err(overflow("cannot fit 'int' into an index-sized integer"));
        }
        let name = times.type_name();
        if [sequence, times]
            .iter()
            .any(|value| value.type_name() == "Markup")
        {
            // `Markup` multiplies itself, with another message.
            let name = if name == "Markup" { "str" } else { name };
            return Err(Error::type_error(format!(
                "'{name}' object cannot be interpreted as an integer"
            )));
        }
        return Err(Error::type_error(format!(
            "can't multiply sequence by non-int of type '{name}'"
        )));
    };
    let times = usize::try_from(times).unwrap_or(0);
    let items = |items: &[Value]| -> Result<Vec<Value>> {
        rt.charge(items.len().saturating_mul(times))?;
        let count = items.len() * times;
        Ok(items.iter().cycle().take(count).cloned().collect())
    };
    Ok(match sequence {
        Value::Str(text) => {
            rt.charge_bytes(text.len().saturating_mul(times))?;
            let repeated = text.repeat(times);
            Value::Str(if text.is_markup() {
                Str::markup(repeated)
            } else {
                repeated.into()
            })
        }
        Value::Bytes(bytes) => {
            rt.charge_bytes(bytes.len().saturating_mul(times))?;
            Value::Bytes(bytes.repeat(times).into())
        }
        Value::List(list) => Value::list(items(&list.to_vec())?),
        Value::Tuple(tuple) => Value::Tuple(Tuple::new(items(tuple)?)),
        other => return Err(unsupported(Binary::Mul, other, &Value::None)),
    })
}

/// Arithmetic of 64-bit integers where the result fits.
fn small(op: Binary, a: i64, b: i64) -> Option<Value> {
    Some(Value::Int(match op {
        Binary::Add => a.checked_add(b)?,
        Binary::Sub => a.checked_sub(b)?,
        Binary::Mul => a.checked_mul(b)?,
        Binary::FloorDiv if b != 0 => {
            let quotient = a.checked_div(b)?;
            if a % b != 0 && (a < 0) != (b < 0) {
                quotient - 1
            } else {
                quotient
            }
        }
        Binary::Mod if b != 0 => {
            let rest = a.checked_rem(b)?;
            if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            }
        }
        Binary::Pow if b >= 0 => a.checked_pow(u32::try_from(b).ok()?)?,
        _ => return None,
    }))
}

fn as_big(value: &Value) -> Option<BigInt> {
    match value {
        Value::Big(n) => Some((**n).clone()),
        other => other.as_index().map(BigInt::from),
    }
}

/// The nearest float of a number.
///
/// # Errors
/// `int too large to convert to float`.
pub(crate) fn as_float(value: &Value) -> Result<Option<f64>> {
    Ok(match value {
        Value::Float(x) => Some(*x),
        Value::Big(n) => {
            if n.bits() > 1024 {
                return Err(overflow("int too large to convert to float"));
            }
            // The decimal text is parsed to the nearest float.
            match n.to_string().parse::<f64>() {
                Ok(x) if x.is_finite() => Some(x),
                _ => return Err(overflow("int too large to convert to float")),
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "Python rounds too")]
        other => other.as_index().map(|n| n as f64),
    })
}

fn arithmetic(rt: &Runtime<'_>, op: Binary, left: &Value, right: &Value) -> Result<Value> {
    if let (Some(a), Some(b)) = (as_big(left), as_big(right)) {
        rt.charge(usize::try_from((a.bits() + b.bits()) / 64).unwrap_or(usize::MAX))?;
        return integers(rt, op, &a, &b);
    }
    let (Some(a), Some(b)) = (as_float(left)?, as_float(right)?) else {
        return Err(unsupported(op, left, right));
    };
    let check = |message: &str| {
        if b == 0.0 {
            Err(zero_division(message))
        } else {
            Ok(())
        }
    };
    Ok(Value::Float(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => {
            check("float division by zero")?;
            a / b
        }
        Binary::FloorDiv => {
            check("float floor division by zero")?;
            float_divmod(a, b).0
        }
        Binary::Mod => {
            check("float modulo")?;
            float_divmod(a, b).1
        }
        Binary::Pow => return float_pow(a, b),
    }))
}

/// Python's `divmod` of floats: the rest has the sign of the divisor.
fn float_divmod(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 {
        if (b < 0.0) != (rest < 0.0) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = 0.0_f64.copysign(b);
    }
    let floor = if quotient == 0.0 {
        0.0_f64.copysign(a / b)
    } else {
        let floor = quotient.floor();
        if quotient - floor > 0.5 {
            floor + 1.0
        } else {
            floor
        }
    };
    (floor, rest)
}

fn float_pow(a: f64, b: f64) -> Result<Value> {
    if a == 0.0 && b < 0.0 {
        return Err(zero_division("0.0 cannot be raised to a negative power"));
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return Err(Error::value_error(
            "complex numbers are not available to templates",
        ));
    }
    let result = a.powf(b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(overflow("(34, 'Numerical result out of range')"));
    }
    Ok(Value::Float(result))
}

fn integers(rt: &Runtime<'_>, op: Binary, a: &BigInt, b: &BigInt) -> Result<Value> {
    let zero = b.bits() == 0;
    Ok(Value::int(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => {
            check_bits(a.bits() + b.bits())?;
            a * b
        }
        Binary::Div if zero => return Err(zero_division("division by zero")),
        Binary::Div => return true_division(a, b).map(Value::Float),
        Binary::FloorDiv if zero => {
            return Err(zero_division("integer division or modulo by zero"));
        }
        Binary::FloorDiv => floor_divmod(a, b).0,
        Binary::Mod if zero => return Err(zero_division("integer modulo by zero")),
        Binary::Mod => floor_divmod(a, b).1,
        Binary::Pow => return integer_pow(rt, a, b),
    }))
}

fn check_bits(bits: u64) -> Result<()> {
    if bits > MAX_BITS {
        return Err(Error::new(
            Kind::Limit,
            "the template makes too large a number",
        ));
    }
    Ok(())
}

fn floor_divmod(a: &BigInt, b: &BigInt) -> (BigInt, BigInt) {
    let (quotient, rest) = (a / b, a % b);
    let zero = BigInt::from(0);
    if rest != zero && (rest < zero) != (*b < zero) {
        (quotient - 1, rest + b)
    } else {
        (quotient, rest)
    }
}

/// The float nearest to the quotient of two integers.
fn true_division(a: &BigInt, b: &BigInt) -> Result<f64> {
    let exact = |n: &BigInt| -> Option<f64> {
        let n = i64::try_from(n).ok()?;
        #[expect(clippy::cast_precision_loss, reason = "within 53 bits")]
        (n.unsigned_abs() < 1 << 53).then_some(n as f64)
    };
    if let (Some(a), Some(b)) = (exact(a), exact(b)) {
        return Ok(a / b);
    }
    let negative = (a.sign() == num_bigint::Sign::Minus) != (b.sign() == num_bigint::Sign::Minus);
    let (a, b) = (a.magnitude().clone(), b.magnitude().clone());
    // A quotient of at least 64 bits, the last one telling whether more follow,
    // rounds as the true quotient does.
    let shift = i64::try_from(b.bits()).unwrap_or(0) - i64::try_from(a.bits()).unwrap_or(0) + 66;
    let (a, b) = if shift >= 0 {
        (a << shift, b)
    } else {
        (a, b << -shift)
    };
    let mut quotient = &a / &b;
    if &quotient * &b != a {
        quotient |= num_bigint::BigUint::from(1_u8);
    }
    let text = quotient.to_string();
    let mut result: f64 = text.parse().unwrap_or(f64::INFINITY);
    // Scaling by powers of two in steps that themselves do not overflow.
    let mut left = -shift;
    while left != 0 {
        let step = left.clamp(-1000, 1000);
        result *= 2.0_f64.powi(i32::try_from(step).unwrap_or(0));
        left -= step;
    }
    if result.is_infinite() {
        return Err(overflow("integer division result too large for a float"));
    }
    Ok(if negative { -result } else { result })
}

fn integer_pow(rt: &Runtime<'_>, a: &BigInt, b: &BigInt) -> Result<Value> {
    if b.sign() == num_bigint::Sign::Minus {
        let (x, y) = (
            as_float(&Value::int(a.clone()))?.unwrap_or(0.0),
            as_float(&Value::int(b.clone()))?.unwrap_or(0.0),
        );
        return float_pow(x, y);
    }
    let exponent = u32::try_from(b).unwrap_or(u32::MAX);
    if a.bits() > 1 {
        check_bits(a.bits().saturating_mul(u64::from(exponent)))?;
    }
    if a.bits() <= 1 {
        // 0, 1 and -1 to any power.
        let odd = b.bit(0);
        let minus = a.sign() == num_bigint::Sign::Minus;
        return Ok(match (a.bits(), b.bits()) {
            (_, 0) => Value::Int(1),
            (0, _) => Value::Int(0),
            _ => Value::Int(if minus && odd { -1 } else { 1 }),
        });
    }
    rt.charge(usize::try_from(a.bits() * u64::from(exponent) / 64).unwrap_or(usize::MAX))?;
    Ok(Value::int(a.pow(exponent)))
}

/// `-x`.
///
/// # Errors
/// The value is not a number.
pub(crate) fn negative(value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Int(n) => n
            .checked_neg()
            .map_or_else(|| Value::int(-BigInt::from(*n)), Value::Int),
        Value::Bool(b) => Value::Int(-i64::from(*b)),
        Value::Big(n) => Value::int(-(**n).clone()),
        Value::Float(x) => Value::Float(-x),
        Value::Undefined(undefined) => return Err(undefined.error()),
        other => return Err(bad_unary("-", other)),
    })
}

/// `+x`.
///
/// # Errors
/// The value is not a number.
pub(crate) fn positive(value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Int(_) | Value::Big(_) | Value::Float(_) => value.clone(),
        Value::Bool(b) => Value::Int(i64::from(*b)),
        Value::Undefined(undefined) => return Err(undefined.error()),
        other => return Err(bad_unary("+", other)),
    })
}

fn bad_unary(op: &str, value: &Value) -> Error {
    let name = value.type_name();
    Error::type_error(format!("bad operand type for unary {op}: '{name}'"))
}

/// `item in container`.
///
/// # Errors
/// What Python raises for it.
pub(crate) fn contains(rt: &Runtime<'_>, container: &Value, item: &Value) -> Result<bool> {
    use super::value::Key;
    Ok(match container {
        Value::Str(text) => match item {
            Value::Str(part) => text.contains(&**part),
            other => {
                return Err(Error::type_error(format!(
                    "'in <string>' requires string as left operand, not {}",
                    other.type_name()
                )));
            }
        },
        Value::List(list) => {
            rt.charge(list.len())?;
            contains_identical_or_equal(&list.to_vec(), item)?
        }
        Value::Tuple(items) => {
            rt.charge(items.len())?;
            contains_identical_or_equal(items, item)?
        }
        Value::Dict(dict) => {
            let key = Key::new(item.clone())?;
            dict.contains_key(&key)
        }
        Value::Set(set) => {
            let key = Key::new(item.clone())?;
            set.borrow().contains(&key)
        }
        Value::Bytes(bytes) => match item {
            Value::Bytes(part) if part.is_empty() => true,
            Value::Bytes(part) => bytes.windows(part.len()).any(|window| *window == **part),
            other => match other.as_index() {
                Some(n) => u8::try_from(n).is_ok_and(|n| bytes.contains(&n)),
                None => {
                    return Err(Error::type_error(format!(
                        "a bytes-like object is required, not '{}'",
                        other.type_name()
                    )));
                }
            },
        },
        Value::Undefined(undefined) => {
            undefined.check_lenient()?;
            false
        }
        Value::Object(object) => {
            if let Some(answer) = object.contains(rt, item)? {
                return Ok(answer);
            }
            let Ok(mut iter) = container.iter(rt) else {
                return Err(not_a_container(container));
            };
            while let Some(found) = iter.next(rt)? {
                if contains_identical_or_equal(std::slice::from_ref(&found), item)? {
                    return Ok(true);
                }
            }
            false
        }
        other => return Err(not_a_container(other)),
    })
}

fn not_a_container(value: &Value) -> Error {
    let name = value.type_name();
    Error::type_error(format!("argument of type '{name}' is not iterable"))
}
