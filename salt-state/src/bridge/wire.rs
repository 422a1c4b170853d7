//! Values as JSON lines, and back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt_proto::{Map, Value};

use crate::registry::CallError;
use crate::render::json;

/// A request as one line.
pub(super) fn encode(request: &Map) -> Vec<u8> {
    json::dump(&packed(&Value::Map(request.clone()))).into_bytes()
}

/// What JSON cannot hold is marked.
fn packed(value: &Value) -> Value {
    match value {
        Value::Bytes(bytes) => Map::from([("!bytes", STANDARD.encode(bytes))]).into(),
        Value::List(items) => items.iter().map(packed).collect(),
        Value::Map(map) => {
            let plain = |key: &Value| key.as_str().is_some_and(|key| !key.starts_with('!'));
            if map.keys().all(plain) {
                return map
                    .iter()
                    .map(|(key, value)| (key.clone(), packed(value)))
                    .collect::<Map>()
                    .into();
            }
            let pairs: Value = map
                .iter()
                .map(|(key, value)| Value::List(vec![packed(key), packed(value)]))
                .collect();
            Map::from([("!map", pairs)]).into()
        }
        other => other.clone(),
    }
}

fn unpacked(value: Value) -> Value {
    match value {
        Value::List(items) => items.into_iter().map(unpacked).collect(),
        Value::Map(map) => {
            if map.len() == 1 {
                if let Some(bytes) = map
                    .str("!bytes")
                    .and_then(|text| STANDARD.decode(text).ok())
                {
                    return Value::Bytes(bytes);
                }
                if let Some(Value::List(pairs)) = map.get("!map") {
                    return pairs
                        .iter()
                        .filter_map(|pair| match pair.as_list() {
                            Some([key, value]) => {
                                Some((unpacked(key.clone()), unpacked(value.clone())))
                            }
                            _ => None,
                        })
                        .collect::<Map>()
                        .into();
                }
            }
            map.into_iter()
                .map(|(key, value)| (key, unpacked(value)))
                .collect::<Map>()
                .into()
        }
        other => other,
    }
}

/// What an answer says: a value, or what was raised.
///
/// # Errors
///
/// What was raised, or that this is no answer at all.
pub(super) fn decode(line: &[u8]) -> Result<Value, CallError> {
    let broken = |what: &dyn std::fmt::Display| {
        CallError::execution(format!("the Python bridge does not answer in JSON: {what}"))
    };
    let text = std::str::from_utf8(line).map_err(|error| broken(&error))?;
    let node = json::parse(text, 0).map_err(|error| broken(&error))?;
    let Value::Map(mut answer) = node.to_value() else {
        return Err(broken(&"not an object"));
    };
    if let Some(value) = answer.remove("ok") {
        return Ok(unpacked(value));
    }
    let Some(Value::Map(error)) = answer.get("error") else {
        return Err(broken(&"neither an answer nor an error"));
    };
    let part = |key| error.str(key).unwrap_or_default().to_owned();
    let text = part("text");
    Err(match error.str("type").unwrap_or_default() {
        "CommandExecutionError" => CallError::Execution(text),
        "SaltInvocationError" => CallError::Invocation(text),
        "CommandNotFoundError" => CallError::CommandNotFound(text),
        "TypeError" => CallError::Arguments(text),
        kind => CallError::Raised {
            kind: kind.to_owned(),
            message: text,
            traceback: part("trace"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_mappings_with_other_keys_survive_the_way() {
        let inner = [
            (Value::Int(1), Value::Bytes(vec![0xff, 0])),
            (Value::from("!bytes"), Value::Null),
        ]
        .into_iter()
        .collect::<Map>();
        let value = Value::List(vec![inner.into(), "text \u{1f319}\n".into(), 1.5.into()]);

        let line = encode(&Map::from([("ok", value.clone())]));

        assert!(!line.contains(&b'\n'));
        assert_eq!(decode(&line), Ok(value));
    }

    #[test]
    fn what_python_raises_has_salts_categories() {
        let raised = |kind: &str| {
            let line = format!(
                r#"{{"error": {{"type": "{kind}", "text": "no", "trace": "Traceback\n"}}}}"#
            );
            decode(line.as_bytes()).unwrap_err()
        };
        assert_eq!(raised("CommandExecutionError"), CallError::execution("no"));
        assert_eq!(raised("SaltInvocationError"), CallError::invocation("no"));
        assert_eq!(raised("TypeError"), CallError::Arguments("no".to_owned()));
        assert_eq!(raised("ValueError").traceback(), "Traceback\n");
    }

    #[test]
    fn an_answer_in_another_form_is_refused() {
        let deep = format!("{{\"ok\": {}", "[".repeat(100_000));
        for line in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"error": 1}"#,
            "\u{7f}{\"ok\"",
            &deep,
        ] {
            let error = decode(line.as_bytes()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("the Python bridge does not answer in JSON: "),
                "{line}"
            );
        }
        assert!(decode(b"{\"ok\": \"\xff\"}").is_err());
    }
}
