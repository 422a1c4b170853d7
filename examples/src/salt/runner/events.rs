//! `state.event`: the events of the bus as they come.

use salt_proto::{Map, Value};
use salt_state::{Args, fnmatch, python};
use salt_transport::Error;

use super::{Failure, World};
use crate::output::{self, Style};
use crate::salt::screen::Screen;

/// Prints events until there were `count` of them; a negative `count` means forever.
pub(super) async fn watch(
    world: &World<'_>,
    args: &Args,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let pattern = args.text("tagmatch")?;
    let (pretty, quiet) = (args.is_true("pretty"), args.is_true("quiet"));
    let mut left = args.optional_int("count")?.unwrap_or(-1);
    let mut bus = world.client.listen().await?;
    while left != 0 {
        let event = bus.next().await?.ok_or(Error::Closed)?;
        if !fnmatch(&event.tag, &pattern) {
            continue;
        }
        if !quiet {
            let data = as_json(event.data, pretty);
            screen
                .out(&format!("{}\t{data}\n", event.tag))
                .map_err(Failure::Screen)?;
        }
        left -= i64::from(left > 0);
    }
    Ok(())
}

/// Whether a value matches one of some patterns: a text, with commas between several, or a list.
pub(super) fn matches_any(value: &str, patterns: &Value) -> bool {
    let one = |pattern: &str| {
        pattern
            .split(',')
            .any(|pattern| fnmatch(value, pattern.trim()))
    };
    match patterns {
        Value::Str(pattern) => one(pattern),
        Value::List(patterns) => patterns.iter().filter_map(Value::as_str).any(one),
        _ => false,
    }
}

/// In one line, or in several with the keys sorted.
fn as_json(data: Map, pretty: bool) -> String {
    let data = Value::from(data);
    let (data, indent) = match pretty {
        true => (sorted(data), 4),
        false => (data, -1),
    };
    let style = Style {
        indent: Some(indent),
        ..Style::default()
    };
    output::show(&data, "json", style)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Map(map) => {
            let mut entries: Vec<_> = map
                .into_iter()
                .map(|(key, value)| (python::str(&key), key, sorted(value)))
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let entries = entries.into_iter().map(|(_, key, value)| (key, value));
            Value::Map(entries.collect())
        }
        Value::List(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Salt 3008.3 prints them.
    #[test]
    fn events_are_one_line_or_sorted() {
        let inner = Map::from([("z", Value::from("ü")), ("a", Value::List(Vec::new()))]);
        let data = Map::from([
            ("tgt", Value::from("*")),
            ("arg", vec![Value::from(inner)].into()),
        ]);
        assert_eq!(
            as_json(data.clone(), false),
            r#"{"tgt": "*", "arg": [{"z": "ü", "a": []}]}"#
        );
        let pretty = as_json(data, true);
        let lines: Vec<&str> = pretty.lines().collect();
        assert_eq!(
            lines,
            [
                "{",
                "    \"arg\": [",
                "        {",
                "            \"a\": [],",
                "            \"z\": \"ü\"",
                "        }",
                "    ],",
                "    \"tgt\": \"*\"",
                "}"
            ]
        );
    }

    #[test]
    fn patterns_are_a_list_or_text_with_commas() {
        let list: Value = ["db*", "web?"].into_iter().collect();
        assert!(matches_any("web1", &list));
        assert!(matches_any("web1", &"db*, web?".into()));
        assert!(!matches_any("web10", &list));
    }
}
