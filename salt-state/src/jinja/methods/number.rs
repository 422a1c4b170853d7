//! Methods and attributes of `int` and `float`.

use num_bigint::BigInt;

use crate::jinja::value::{Method, Value, float_as_int, native_args};
use crate::jinja::{Error, Exception};

pub(super) fn find_int(name: &str) -> Option<Method> {
    Some(match name {
        "bit_length" => |_, this, args| {
            let [] = native_args(args, "int.bit_length", 0)?;
            Ok(Value::Int(
                i64::try_from(big(this).bits()).unwrap_or(i64::MAX),
            ))
        },
        "bit_count" => |_, this, args| {
            let [] = native_args(args, "int.bit_count", 0)?;
            let ones: u32 = big(this).iter_u64_digits().map(u64::count_ones).sum();
            Ok(Value::Int(i64::from(ones)))
        },
        "conjugate" => |_, this, args| {
            let [] = native_args(args, "int.conjugate", 0)?;
            Ok(Value::int(big(this)))
        },
        "as_integer_ratio" => |_, this, args| {
            let [] = native_args(args, "int.as_integer_ratio", 0)?;
            Ok(Value::tuple(vec![Value::int(big(this)), Value::Int(1)]))
        },
        _ => return None,
    })
}

pub(super) fn find_float(name: &str) -> Option<Method> {
    Some(match name {
        "is_integer" => |_, this, args| {
            let [] = native_args(args, "float.is_integer", 0)?;
            let x = float(this);
            Ok(Value::Bool(x.is_finite() && x.fract() == 0.0))
        },
        "conjugate" => |_, this, args| {
            let [] = native_args(args, "float.conjugate", 0)?;
            Ok(this.clone())
        },
        "as_integer_ratio" => |_, this, args| {
            let [] = native_args(args, "float.as_integer_ratio", 0)?;
            let x = float(this);
            if x.is_nan() {
                return Err(Error::value_error("cannot convert NaN to integer ratio"));
            }
            if x.is_infinite() {
                let text = "cannot convert Infinity to integer ratio";
                return Err(Error::python(Exception::OverflowError, text));
            }
            let (mut numerator, mut shift) = (x, 0_u32);
            while numerator.fract() != 0.0 {
                numerator *= 2.0;
                shift += 1;
            }
            let numerator = float_as_int(numerator).unwrap_or_default();
            let denominator = Value::int(BigInt::from(1) << shift);
            Ok(Value::tuple(vec![numerator, denominator]))
        },
        _ => return None,
    })
}

pub(super) fn property(value: &Value, name: &str) -> Option<Value> {
    let whole = matches!(value, Value::Int(_) | Value::Big(_) | Value::Bool(_));
    Some(match name {
        "real" if whole => Value::int(big(value)),
        "real" => value.clone(),
        "imag" if whole => Value::Int(0),
        "imag" => Value::Float(0.0),
        "numerator" if whole => Value::int(big(value)),
        "denominator" if whole => Value::Int(1),
        _ => return None,
    })
}

fn big(value: &Value) -> BigInt {
    match value {
        Value::Big(n) => (**n).clone(),
        other => BigInt::from(other.as_index().unwrap_or(0)),
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        _ => 0.0,
    }
}
