//! The default outputter: indented, keys sorted.

use salt_proto::Value;
use salt_state::python;

use super::Style;

const KEY: &str = "0;36";
const TEXT: &str = "0;32";
const OTHER: &str = "0;1;33";

pub(super) fn show(value: &Value, style: Style) -> String {
    let mut nested = Nested {
        color: style.color,
        lines: Vec::new(),
    };
    let indent = style
        .indent
        .and_then(|indent| usize::try_from(indent).ok())
        .unwrap_or(0);
    nested.value(value, indent, "");
    nested.lines.join("\n")
}

struct Nested {
    color: bool,
    lines: Vec<String>,
}

impl Nested {
    fn line(&mut self, indent: usize, code: &str, text: &str, suffix: &str) {
        let pad = " ".repeat(indent);
        self.lines.push(if self.color {
            format!("{pad}\u{1b}[{code}m{text}\u{1b}[0;0m{suffix}")
        } else {
            format!("{pad}{text}{suffix}")
        });
    }

    fn value(&mut self, value: &Value, indent: usize, prefix: &str) {
        match value {
            Value::Str(text) => self.text(text, indent, prefix),
            Value::Bytes(bytes) => self.text(&String::from_utf8_lossy(bytes), indent, prefix),
            Value::List(items) => {
                for item in items {
                    if matches!(item, Value::List(_) | Value::Map(_)) {
                        self.line(indent, TEXT, "|_", "");
                        let rule = match item {
                            Value::Map(_) => "----------",
                            _ => "",
                        };
                        self.inner(item, indent + 2, rule);
                    } else {
                        self.value(item, indent, "- ");
                    }
                }
            }
            Value::Map(_) => self.inner(value, indent, if indent == 0 { "" } else { "----------" }),
            other => self.line(
                indent,
                OTHER,
                &format!("{prefix}{}", python::str(other)),
                "",
            ),
        }
    }

    /// A collection under a rule, or without one when `rule` is empty.
    fn inner(&mut self, value: &Value, indent: usize, rule: &str) {
        let Value::Map(map) = value else {
            return self.value(value, indent, "");
        };
        if !rule.is_empty() {
            self.line(indent, KEY, rule, "");
        }
        let mut entries: Vec<_> = map
            .iter()
            .map(|(key, value)| (python::str(key), value))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, value) in entries {
            self.line(indent, KEY, &key, ":");
            self.value(value, indent + 4, "");
        }
    }

    fn text(&mut self, text: &str, indent: usize, prefix: &str) {
        for (n, line) in text.lines().enumerate() {
            let prefix = if n == 0 {
                prefix.to_owned()
            } else {
                " ".repeat(prefix.len())
            };
            self.line(indent, TEXT, &format!("{prefix}{line}"), "");
        }
    }
}
