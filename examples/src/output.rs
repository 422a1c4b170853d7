//! How Salt's programs print what came back: its outputters.
//!
//! Checked against `salt.output` of Salt 3008.3.

mod highstate;
mod nested;
mod pprint;

pub use highstate::{Detail, States};
use salt_proto::{Map, Value};
use salt_state::{python, yaml};

/// What an outputter may know besides the value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colours, for terminals. Default no.
    pub color: bool,
    /// `--out-indent`, for `json`, `yaml` and `nested`; `json` takes 4 by default, a negative number puts all on one line.
    pub indent: Option<i64>,
    /// What is shown of state runs.
    pub states: States,
}

/// The value as the outputter of this name shows it, without a final line break. An unknown name means `nested`.
pub fn show(value: &Value, outputter: &str, style: Style) -> String {
    match outputter {
        "json" => json(value, style.indent.unwrap_or(4)),
        "yaml" => yaml(value, style.indent),
        "txt" => txt(value),
        "raw" => python::str(value),
        "pprint" | "pprint-like" => pprint::show(value),
        "highstate" => highstate::show(value, style),
        "quiet" => String::new(),
        "newline_values_only" => newline_values_only(value),
        _ => nested::show(value, style),
    }
}

fn json(value: &Value, indent: i64) -> String {
    let mut out = String::with_capacity(1 << 10);
    write_json(value, usize::try_from(indent).ok(), 0, &mut out);
    out
}

/// As Python's `json.dumps` with `ensure_ascii=False`: `indent` is `None` for one line.
fn write_json(value: &Value, indent: Option<usize>, level: usize, out: &mut String) {
    let next = |out: &mut String, first: bool| {
        if !first {
            out.push(',');
        }
        match indent {
            Some(width) => new_line(width * (level + 1), out),
            None if !first => out.push(' '),
            None => {}
        }
    };
    let end = |out: &mut String| {
        if let Some(width) = indent {
            new_line(width * level, out);
        }
    };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(_) | Value::UInt(_) => out.push_str(&python::str(value)),
        Value::Float(x) if x.is_nan() => out.push_str("NaN"),
        Value::Float(x) if x.is_infinite() => {
            out.push_str(if *x > 0.0 { "Infinity" } else { "-Infinity" });
        }
        Value::Float(_) => out.push_str(&python::str(value)),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                next(out, n == 0);
                write_json(item, indent, level + 1, out);
            }
            end(out);
            out.push(']');
        }
        Value::Map(map) if map.is_empty() => out.push_str("{}"),
        Value::Map(map) => {
            out.push('{');
            for (n, (key, value)) in map.iter().enumerate() {
                next(out, n == 0);
                match key {
                    Value::Str(key) => write_json_text(key, out),
                    key => write_json_text(&json_key(key), out),
                }
                out.push_str(": ");
                write_json(value, indent, level + 1, out);
            }
            end(out);
            out.push('}');
        }
        Value::Str(text) => write_json_text(text, out),
        Value::Bytes(bytes) => write_json_text(&String::from_utf8_lossy(bytes), out),
        Value::DateTime(at) => write_json_text(&at.to_string(), out),
    }
}

/// Begins a line with so many blanks.
fn new_line(mut blanks: usize, out: &mut String) {
    const BLANKS: &str = "                                ";
    out.push('\n');
    while blanks > BLANKS.len() {
        out.push_str(BLANKS);
        blanks -= BLANKS.len();
    }
    out.push_str(BLANKS.get(..blanks).unwrap_or_default());
}

/// A key that is no text becomes one as in Python's `json`.
fn json_key(key: &Value) -> String {
    match key {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        key => python::str(key),
    }
}

/// In quotes, with Python's escapes: of control characters, quotes and backslashes.
fn write_json_text(text: &str, out: &mut String) {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    out.push('"');
    let mut rest = text;
    loop {
        let plain = rest.bytes().position(|byte| !is_plain(&byte));
        let (before, after) = rest.split_at(plain.unwrap_or(rest.len()));
        out.push_str(before);
        let mut letters = after.chars();
        match letters.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(other) => out.push_str(&format!("\\u{:04x}", u32::from(other))),
        }
        rest = letters.as_str();
    }
    out.push('"');
}

fn yaml(value: &Value, indent: Option<i64>) -> String {
    let options = yaml::DumpOptions {
        flow_style: Some(false),
        sort_keys: true,
        indent: indent
            .and_then(|indent| usize::try_from(indent).ok())
            .unwrap_or(2),
        ..yaml::DumpOptions::default()
    };
    let text = yaml::dump(value, &options);
    // A bare scalar ends with the marker of a document's end.
    let text = text.strip_suffix("\n...\n").unwrap_or(&text);
    text.trim_end_matches('\n').to_owned()
}

/// `key: value` lines.
fn txt(value: &Value) -> String {
    let Value::Map(map) = value else {
        return python::str(value);
    };
    let mut lines = Vec::new();
    for (key, value) in map {
        let key = python::str(key);
        match value {
            Value::Str(text) => lines.extend(text.lines().map(|line| format!("{key}: {line}"))),
            value => lines.push(format!("{key}: {}", python::str(value))),
        }
    }
    lines.join("\n")
}

/// The values alone, a line each.
fn newline_values_only(value: &Value) -> String {
    fn collect(value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Map(map) => map.values().for_each(|value| collect(value, lines)),
            Value::List(items) => items.iter().for_each(|value| collect(value, lines)),
            value => lines.push(python::str(value)),
        }
    }
    let mut lines = Vec::new();
    collect(value, &mut lines);
    lines.join("\n")
}

/// The lists of keys, as `salt-key` shows them: `minions`, `minions_denied`, `minions_pre`, `minions_rejected`, each
/// with ids or with fingerprints by id.
pub fn keys(value: &Map, color: bool) -> String {
    let paint = |code: &str, text: &str| {
        if color {
            format!("\u{1b}[{code}m{text}\u{1b}[0;0m")
        } else {
            text.to_owned()
        }
    };
    let sections = [
        ("minions", "Accepted Keys:", "0;32"),
        ("minions_denied", "Denied Keys:", "0;1;35"),
        ("minions_pre", "Unaccepted Keys:", "0;1;31"),
        ("minions_rejected", "Rejected Keys:", "0;34"),
        ("local", "Local Keys:", "0;1;35"),
    ];
    let mut lines = Vec::new();
    for (name, title, code) in sections {
        match value.get(name) {
            Some(Value::List(ids)) => {
                lines.push(paint(code, title));
                lines.extend(ids.iter().map(|id| paint(code, &python::str(id))));
            }
            Some(Value::Map(ids)) => {
                lines.push(paint(code, title));
                for (id, text) in ids {
                    lines.push(format!(
                        "{}:  {}",
                        paint(code, &python::str(id)),
                        python::str(text)
                    ));
                }
            }
            _ => {}
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `salt.output.out_format` of Salt 3008.3.
    const GOLDENS: &str = include_str!("../tests/vectors/output.json");

    pub(super) fn value(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(b) => (*b).into(),
            serde_json::Value::Number(n) => n
                .as_i64()
                .map_or_else(|| n.as_f64().unwrap().into(), Value::from),
            serde_json::Value::String(text) => text.into(),
            serde_json::Value::Array(items) => items.iter().map(value).collect(),
            serde_json::Value::Object(map) => map
                .iter()
                .map(|(key, item)| (key.as_str(), value(item)))
                .collect::<Map>()
                .into(),
        }
    }

    #[test]
    fn text_is_escaped_as_json() {
        let all: String = ('\0'..='\u{ff}').chain(['\u{2028}', '😀']).collect();
        let mut ours = String::new();
        write_json_text(&all, &mut ours);
        assert_eq!(ours, serde_json::to_string(&all).unwrap());
    }

    #[test]
    fn every_outputter_prints_what_salts_does() {
        let goldens: serde_json::Value = serde_json::from_str(GOLDENS).unwrap();
        let mut checked = 0;
        for (name, rows) in goldens.as_object().unwrap() {
            let (outputter, option) = name.split_once(':').unwrap_or((name, ""));
            let style = Style {
                color: option == "color",
                indent: match option {
                    "" | "color" => None,
                    "None" => Some(-1),
                    n => Some(n.parse().unwrap()),
                },
                ..Style::default()
            };
            for row in rows.as_array().unwrap() {
                let shown = show(&value(&row[0]), outputter, style);
                assert_eq!(shown, row[1].as_str().unwrap(), "{name}: {}", row[0]);
                checked += 1;
            }
        }
        println!("output goldens checked: {checked}");
        assert!(checked > 200);
    }
}
