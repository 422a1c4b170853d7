//! The encoding of recorded answers: JSON with a few marked objects.

use salt_proto::{Map, Value};
use salt_state::Args;
use serde_json::Value as Json;

/// The value that a golden stands for.
pub(crate) fn decode(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n
            .as_i64()
            .map(Value::Int)
            .or_else(|| n.as_u64().map(Value::from))
            .or_else(|| n.as_f64().map(Value::Float))
            .unwrap_or_default(),
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(decode).collect()),
        Json::Object(object) => marked(object).unwrap_or_else(|| {
            Value::Map(
                object
                    .iter()
                    .map(|(key, value)| (key.as_str(), decode(value)))
                    .collect(),
            )
        }),
    }
}

/// The arguments of a recorded step of a case: those of the function itself for a `call`,
/// else those of `state.single`.
pub(crate) fn step_arguments(case: &Json, step: &Json) -> Args {
    let mut args = Args::new();
    if step["mode"] != "call" {
        args = args.with(case["call"].as_str().unwrap());
    }
    for value in case["args"].as_array().unwrap() {
        args = args.with(decode(value));
    }
    for (name, value) in case["kw"].as_object().unwrap() {
        args = args.keyword(name, decode(value));
    }
    if step["mode"] == "test" {
        args = args.keyword("test", true);
    }
    args
}

/// The arguments of a recorded call: `args` and `kwargs`.
pub(crate) fn call_arguments(step: &Json) -> Args {
    let positional = step["args"].as_array().unwrap();
    let args = positional
        .iter()
        .fold(Args::new(), |args, value| args.with(decode(value)));
    step["kwargs"]
        .as_object()
        .unwrap()
        .iter()
        .fold(args, |args, (name, value)| {
            args.keyword(name, decode(value))
        })
}

fn marked(object: &serde_json::Map<String, Json>) -> Option<Value> {
    let mut entries = object.iter();
    let (key, value) = entries.next()?;
    if entries.next().is_some() {
        return None;
    }
    match key.as_str() {
        "__pairs__" => Some(Value::Map(
            value
                .as_array()?
                .iter()
                .filter_map(|pair| Some((decode(pair.get(0)?), decode(pair.get(1)?))))
                .collect::<Map>(),
        )),
        "__set__" => Some(decode(value)),
        "__bytes__" => Some(Value::Bytes(base64(value.as_str()?))),
        "__float__" => Some(Value::Float(value.as_str()?.parse().ok()?)),
        _ => None,
    }
}

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xFF).unwrap_or_default());
        }
    }
    out
}

/// Equality that also tells types and order apart, and calls NaN equal to itself.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((ak, av), (bk, bv))| same(ak, bk) && same(av, bv))
        }
        (Value::Float(a), Value::Float(b)) => a == b || a.is_nan() && b.is_nan(),
        _ => std::mem::discriminant(a) == std::mem::discriminant(b) && a == b,
    }
}
