//! Python's equality and order.

use std::cell::Cell;
use std::cmp::Ordering;

use num_bigint::BigInt;

use super::{MAX_NESTING, Value};
use crate::jinja::{Error, Exception, Kind, Result};

/// Python's `is`, as far as templates can see it.
pub(crate) fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        // CPython keeps one object for each of these.
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a.is_markup() == b.is_markup() && **a == **b,
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Big(a), Value::Big(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::List(a), Value::List(b)) => a.is(b),
        (Value::Tuple(a), Value::Tuple(b)) => a.is(b) || (a.is_empty() && b.is_empty()),
        (Value::Dict(a), Value::Dict(b)) => a.is(b),
        (Value::Set(a), Value::Set(b)) => a.is(b),
        (Value::Undefined(a), Value::Undefined(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::Object(a), Value::Object(b)) => std::ptr::addr_eq(&raw const **a, &raw const **b),
        _ => false,
    }
}

/// How many values one comparison may look at: containers that hold the same
/// container twice, and so on down, have more of them than memory has room for.
const MOST: u32 = 1_000_000;

/// How deep a comparison is, and how many values it may still look at.
#[derive(Clone, Copy)]
struct Level<'a> {
    depth: u32,
    left: &'a Cell<u32>,
}

impl Level<'_> {
    fn deeper(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    fn look(self) -> Result<()> {
        if self.depth > MAX_NESTING {
            return Err(Error::python(
                Exception::RecursionError,
                "maximum recursion depth exceeded in comparison",
            ));
        }
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(Error::new(Kind::Limit, "the template compares too much")),
        }
        Ok(())
    }
}

/// Python's `==`.
///
/// # Errors
/// Comparing a strict undefined; nesting too deep.
pub(crate) fn equal(a: &Value, b: &Value) -> Result<bool> {
    let left = &Cell::new(MOST);
    equal_at(a, b, Level { depth: 0, left })
}

/// Whether `needle` is among the items, as `in` looks.
pub(crate) fn contains_identical_or_equal(items: &[Value], needle: &Value) -> Result<bool> {
    let left = &Cell::new(MOST);
    for item in items {
        if same(item, needle, Level { depth: 0, left })? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Containers take identity for equality before they compare.
fn same(a: &Value, b: &Value, level: Level<'_>) -> Result<bool> {
    // A NaN in two places is not the same object here, so only containers and
    // undefined values need the shortcut.
    let by_identity = !matches!(a, Value::Float(_)) && identical(a, b);
    Ok(by_identity || equal_at(a, b, level)?)
}

fn equal_at(a: &Value, b: &Value, level: Level<'_>) -> Result<bool> {
    level.look()?;
    Ok(match (a, b) {
        (Value::Undefined(u), Value::Undefined(v)) => {
            u.check_lenient()?;
            v.check_lenient()?;
            u.kind() == v.kind()
        }
        (Value::Undefined(u), _) | (_, Value::Undefined(u)) => {
            u.check_lenient()?;
            false
        }
        (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(x), Value::List(y)) => {
            if x.is(y) {
                return Ok(true);
            }
            // Copies, because comparing host objects may run code.
            all_same(&x.to_vec(), &y.to_vec(), level)?
        }
        (Value::Tuple(x), Value::Tuple(y)) => all_same(x, y, level)?,
        (Value::Dict(x), Value::Dict(y)) => {
            if x.is(y) {
                return Ok(true);
            }
            if x.len() != y.len() {
                return Ok(false);
            }
            let entries: Vec<_> = {
                let y = y.borrow();
                x.borrow()
                    .iter()
                    .map(|(key, value)| (value.clone(), y.get(key).cloned()))
                    .collect()
            };
            for (left, right) in entries {
                match right {
                    Some(right) if same(&left, &right, level.deeper())? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Set(x), Value::Set(y)) => {
            x.is(y) || (x.len() == y.len() && x.borrow().is_subset(&y.borrow()))
        }
        (Value::Object(x), _) => match x.equals(b) {
            Some(answer) => answer,
            None => match b {
                Value::Object(y) => y.equals(a).unwrap_or_else(|| identical(a, b)),
                _ => false,
            },
        },
        (_, Value::Object(y)) => y.equals(a).unwrap_or(false),
        _ => numeric_order(a, b) == Some(Ordering::Equal),
    })
}

fn all_same(a: &[Value], b: &[Value], level: Level<'_>) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (x, y) in a.iter().zip(b) {
        if !same(x, y, level.deeper())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two numbers; `None` for NaN and for values that are not numbers.
fn numeric_order(a: &Value, b: &Value) -> Option<Ordering> {
    if let (Some(x), Some(y)) = (a.as_index(), b.as_index()) {
        return Some(x.cmp(&y));
    }
    match (a, b) {
        (Value::Float(x), Value::Float(y)) => x.partial_cmp(y),
        (Value::Float(x), _) => Some(float_order(*x, b)?),
        (_, Value::Float(y)) => Some(float_order(*y, a)?.reverse()),
        _ => Some(big(a)?.cmp(&big(b)?)),
    }
}

fn float_order(x: f64, integer: &Value) -> Option<Ordering> {
    let other = big(integer)?;
    if x.is_nan() {
        return None;
    }
    if x.is_infinite() {
        return Some(if x > 0.0 {
            Ordering::Greater
        } else {
            Ordering::Less
        });
    }
    let whole = super::key::float_as_int(x.trunc())?;
    Some(
        big(&whole)?
            .cmp(&other)
            .then_with(|| x.fract().total_cmp(&0.0)),
    )
}

fn big(value: &Value) -> Option<BigInt> {
    match value {
        Value::Big(n) => Some((**n).clone()),
        other => other.as_index().map(BigInt::from),
    }
}

/// Python's `<`, `<=`, `>`, `>=`: the operator text and the orders it accepts.
///
/// # Errors
/// `'<' not supported between instances of 'int' and 'str'`.
pub(crate) fn compare(operator: &str, a: &Value, b: &Value) -> Result<bool> {
    let left = &Cell::new(MOST);
    compare_at(operator, a, b, Level { depth: 0, left })
}

fn accepts(operator: &str, order: Ordering) -> bool {
    match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn compare_at(operator: &str, a: &Value, b: &Value, level: Level<'_>) -> Result<bool> {
    level.look()?;
    let order = match (a, b) {
        (Value::Undefined(u), _) | (_, Value::Undefined(u)) => return Err(u.error()),
        (Value::Str(x), Value::Str(y)) => (**x).cmp(&**y),
        (Value::Bytes(x), Value::Bytes(y)) => x.cmp(y),
        (Value::List(x), Value::List(y)) => {
            return sequences(operator, &x.to_vec(), &y.to_vec(), level);
        }
        (Value::Tuple(x), Value::Tuple(y)) => return sequences(operator, x, y, level),
        (Value::Set(x), Value::Set(y)) => {
            let (x, y) = (x.borrow(), y.borrow());
            return Ok(match operator {
                "<" => x.len() < y.len() && x.is_subset(&y),
                "<=" => x.is_subset(&y),
                ">" => x.len() > y.len() && x.is_superset(&y),
                _ => x.is_superset(&y),
            });
        }
        (Value::Object(x), _) if x.order(b).is_some() => x.order(b).unwrap_or(Ordering::Equal),
        _ if is_number(a) && is_number(b) => match numeric_order(a, b) {
            Some(order) => order,
            None => return Ok(false),
        },
        _ => {
            return Err(Error::type_error(format!(
                "'{operator}' not supported between instances of '{}' and '{}'",
                a.type_name(),
                b.type_name()
            )));
        }
    };
    Ok(accepts(operator, order))
}

fn is_number(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_)
    )
}

/// The first pair that differs decides, else the lengths.
fn sequences(operator: &str, a: &[Value], b: &[Value], level: Level<'_>) -> Result<bool> {
    for (x, y) in a.iter().zip(b) {
        if !same(x, y, level.deeper())? {
            return compare_at(operator, x, y, level.deeper());
        }
    }
    Ok(accepts(operator, a.len().cmp(&b.len())))
}
