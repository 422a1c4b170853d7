//! Jinja's built-in tests: `is defined`, `is odd` and their kin.

use super::ast::Binary;
use super::filters::Builtin;
use super::value::{Args, Value, compare, equal, identical};
use super::{Error, Result, Runtime, methods, ops};

/// Jinja's test of that name.
pub(crate) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "defined" => |_, args| one(args, "test_defined", |v| Ok(!v.is_undefined())),
        "undefined" => |_, args| one(args, "test_undefined", |v| Ok(v.is_undefined())),
        "none" => |_, args| one(args, "test_none", |v| Ok(v.is_none())),
        "boolean" => |_, args| one(args, "test_boolean", |v| Ok(matches!(v, Value::Bool(_)))),
        "true" => |_, args| one(args, "test_true", |v| Ok(matches!(v, Value::Bool(true)))),
        "false" => |_, args| one(args, "test_false", |v| Ok(matches!(v, Value::Bool(false)))),
        "integer" => |_, args| {
            one(args, "test_integer", |v| {
                Ok(matches!(v, Value::Int(_) | Value::Big(_)))
            })
        },
        "float" => |_, args| one(args, "test_float", |v| Ok(matches!(v, Value::Float(_)))),
        "number" => |_, args| {
            one(args, "test_number", |v| {
                Ok(matches!(
                    v,
                    Value::Int(_) | Value::Big(_) | Value::Bool(_) | Value::Float(_)
                ))
            })
        },
        "string" => |_, args| one(args, "test_string", |v| Ok(matches!(v, Value::Str(_)))),
        "lower" => |_, args| one(args, "test_lower", |v| Ok(methods::is_lower(&v.str()?))),
        "upper" => |_, args| one(args, "test_upper", |v| Ok(methods::is_upper(&v.str()?))),
        "mapping" => |_, args| one(args, "test_mapping", |v| Ok(is_mapping(v))),
        "sequence" => |_, args| one(args, "test_sequence", |v| Ok(is_sequence(v))),
        "iterable" => |rt, args| {
            let [value] = args.bind("test_iterable", ["value"], 1)?;
            Ok(Value::Bool(is_iterable(rt, &value.unwrap_or_default())))
        },
        "callable" => |_, args| one(args, "callable", |v| Ok(is_callable(v))),
        "escaped" => |_, args| {
            one(args, "test_escaped", |v| {
                Ok(matches!(v, Value::Str(text) if text.is_markup()))
            })
        },
        "odd" => |rt, args| parity(rt, args, "test_odd", 1),
        "even" => |rt, args| parity(rt, args, "test_even", 0),
        "divisibleby" => |rt, args| {
            let [value, number] = args.bind("test_divisibleby", ["value", "num"], 2)?;
            let (value, number) = (value.unwrap_or_default(), number.unwrap_or_default());
            let rest = ops::binary(rt, Binary::Mod, &value, &number)?;
            equal(&rest, &Value::Int(0)).map(Value::Bool)
        },
        "sameas" => |_, args| {
            let [value, other] = args.bind("test_sameas", ["value", "other"], 2)?;
            let same = identical(&value.unwrap_or_default(), &other.unwrap_or_default());
            Ok(Value::Bool(same))
        },
        "in" => |rt, args| {
            let [value, sequence] = args.bind("test_in", ["value", "seq"], 2)?;
            let (value, sequence) = (value.unwrap_or_default(), sequence.unwrap_or_default());
            ops::contains(rt, &sequence, &value).map(Value::Bool)
        },
        "filter" => |rt, args| known(rt, args, true),
        "test" => |rt, args| known(rt, args, false),
        "eq" | "equalto" | "==" => |_, args| two(args, "eq", equal),
        "ne" | "!=" => |_, args| two(args, "ne", |a, b| equal(a, b).map(|same| !same)),
        "lt" | "lessthan" | "<" => |_, args| two(args, "lt", |a, b| compare("<", a, b)),
        "le" | "<=" => |_, args| two(args, "le", |a, b| compare("<=", a, b)),
        "gt" | "greaterthan" | ">" => |_, args| two(args, "gt", |a, b| compare(">", a, b)),
        "ge" | ">=" => |_, args| two(args, "ge", |a, b| compare(">=", a, b)),
        _ => return None,
    })
}

fn one(args: Args, name: &str, check: impl Fn(&Value) -> Result<bool>) -> Result<Value> {
    let [value] = args.bind(name, ["value"], 1)?;
    check(&value.unwrap_or_default()).map(Value::Bool)
}

fn two(args: Args, name: &str, check: impl Fn(&Value, &Value) -> Result<bool>) -> Result<Value> {
    let given = args.positional.len();
    if given != 2 || !args.named.is_empty() {
        return Err(Error::type_error(format!(
            "{name} expected 2 arguments, got {given}"
        )));
    }
    let [a, b] = args.bind(name, ["a", "b"], 2)?;
    check(&a.unwrap_or_default(), &b.unwrap_or_default()).map(Value::Bool)
}

fn parity(rt: &Runtime<'_>, args: Args, name: &str, wanted: i64) -> Result<Value> {
    let [value] = args.bind(name, ["value"], 1)?;
    let value = value.unwrap_or_default();
    let rest = ops::binary(rt, Binary::Mod, &value, &Value::Int(2))?;
    equal(&rest, &Value::Int(wanted)).map(Value::Bool)
}

fn known(rt: &Runtime<'_>, args: Args, filter: bool) -> Result<Value> {
    let [value] = args.bind("test_filter", ["value"], 1)?;
    let value = value.unwrap_or_default();
    let known = value
        .as_str()
        .is_some_and(|name| rt.environment().knows(filter, name));
    Ok(Value::Bool(known))
}

pub(crate) fn is_mapping(value: &Value) -> bool {
    match value {
        Value::Dict(_) => true,
        Value::Object(object) => object.is_mapping(),
        _ => false,
    }
}

/// Whether it has a length and items.
fn is_sequence(value: &Value) -> bool {
    match value {
        Value::Str(_) | Value::Bytes(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) => true,
        // An undefined value has a length, and asking for its items is not
        // taking one; a strict one has no length.
        Value::Undefined(undefined) => undefined.check_lenient().is_ok(),
        Value::Object(object) => object.is_sequence() || object.is_mapping(),
        _ => false,
    }
}

pub(crate) fn is_iterable(rt: &Runtime<'_>, value: &Value) -> bool {
    match value {
        Value::Str(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Tuple(_)
        | Value::Dict(_)
        | Value::Set(_) => true,
        other => other.iter(rt).is_ok(),
    }
}

fn is_callable(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.is_callable(),
        // `Undefined` has `__call__`, which raises.
        Value::Undefined(_) => true,
        _ => false,
    }
}
