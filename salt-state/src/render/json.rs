//! JSON with places, and with the errors of Python's `json`.

use salt_proto::Value;

use crate::yaml::{Data, Entry, Node, NodeMap, Span};

/// Why a text is not JSON: Python's message and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The whole text, `Expecting value: line 1 column 7 (char 6)`.
    pub message: String,
    /// Line, from zero.
    pub line: u32,
    /// Column in characters, from zero.
    pub column: u32,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for JsonError {}

/// Writes a value as Python's `json.dumps` does, letters beyond ASCII kept.
pub fn dump(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Float(x) if x.is_nan() => out.push_str("NaN"),
        Value::Float(x) if x.is_infinite() => {
            out.push_str(if *x > 0.0 { "Infinity" } else { "-Infinity" });
        }
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => {
            out.push_str(&crate::python::repr(value));
        }
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                match key {
                    Value::Str(text) => write_text(out, text),
                    scalar => {
                        let mut text = String::new();
                        write(&mut text, scalar);
                        write_text(out, text.trim_matches('"'));
                    }
                }
                out.push_str(": ");
                write(out, value);
            }
            out.push('}');
        }
        other => write_text(out, &crate::python::str(other)),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", u32::from(ch))),
            _ => out.push(ch),
        }
    }
    out.push('"');
}

const MAX_DEPTH: usize = 200;

/// Reads one JSON value; `document` goes into every [`Span`].
///
/// # Errors
///
/// The text is not JSON as Python 3.11 reads it (`NaN` and `Infinity` are), or is
/// nested too deep.
pub fn parse(text: &str, document: u32) -> Result<Node, JsonError> {
    let mut reader = Reader {
        text,
        at: 0,
        document,
        depth: 0,
        line: 0,
        line_start: 0,
        counted: 0,
    };
    reader.skip_space();
    let node = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.error("Extra data", reader.at));
    }
    Ok(node)
}

/// Moves all places down, for a text that had lines before it.
pub(crate) fn shift_lines(mut node: Node, lines: u32) -> Node {
    if lines == 0 {
        return node;
    }
    node.span.line += lines;
    let data = match node.data {
        Data::List(items) => {
            let items = items
                .borrow()
                .iter()
                .map(|item| shift_lines(item.clone(), lines))
                .collect();
            return Node::list(items, node.span);
        }
        Data::Map(map) => {
            let entries = map
                .borrow()
                .iter()
                .map(|(key, entry)| {
                    let mut span = entry.key;
                    span.line += lines;
                    let value = shift_lines(entry.value.clone(), lines);
                    (key.clone(), Entry { key: span, value })
                })
                .collect();
            return Node::map(entries, node.span);
        }
        scalar => scalar,
    };
    Node::at(data, node.span)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    document: u32,
    depth: usize,
    /// Line and its first byte as of `counted`, so that places cost no second walk.
    line: u32,
    line_start: usize,
    counted: usize,
}

impl Reader<'_> {
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn error(&self, problem: &str, at: usize) -> JsonError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).unwrap_or_default().chars().count();
        let index = before.chars().count();
        JsonError {
            message: format!(
                "{problem}: line {} column {} (char {index})",
                line + 1,
                column + 1
            ),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn span(&mut self, start: usize, end: usize) -> Span {
        if start >= self.counted {
            let passed = self.text.get(self.counted..start).unwrap_or_default();
            for (offset, _) in passed.match_indices('\n') {
                self.line += 1;
                self.line_start = self.counted + offset + 1;
            }
            self.counted = start;
        }
        let chars = |from: usize, to: usize| {
            let text = self.text.get(from..to).unwrap_or_default();
            u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
        };
        Span {
            document: self.document,
            line: self.line,
            column: chars(self.line_start, start),
            width: chars(start, end),
        }
    }

    fn value(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        match self.byte() {
            b'"' => {
                let span = self.span(start, start);
                let text = self.string()?;
                let width = self
                    .text
                    .get(start..self.at)
                    .unwrap_or_default()
                    .chars()
                    .count();
                let span = Span {
                    width: u32::try_from(width).unwrap_or(0),
                    ..span
                };
                Ok(Node::at(Data::Scalar(Value::Str(text)), span))
            }
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            _ => self.scalar(),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Node, JsonError>,
    ) -> Result<Node, JsonError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("Nested too deep", self.at));
        }
        self.depth += 1;
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn scalar(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                let span = self.span(start, self.at);
                return Ok(Node::at(Data::Scalar(value), span));
            }
        }
        let length = number_length(self.rest());
        if length == 0 {
            return Err(self.error("Expecting value", start));
        }
        self.at += length;
        let span = self.span(start, self.at);
        let text = self.text.get(start..self.at).unwrap_or_default();
        let float = || Value::Float(text.parse().unwrap_or(f64::NAN));
        let value = if text.contains(['.', 'e', 'E']) {
            float()
        } else if let Ok(n) = text.parse::<i64>() {
            Value::Int(n)
        } else if let Ok(n) = text.parse::<u64>() {
            Value::from(n)
        } else {
            float()
        };
        Ok(Node::at(Data::Scalar(value), span))
    }

    fn array(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        let span = self.span(start, start + 1);
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.byte() == b']' {
            self.at += 1;
            return Ok(Node::list(items, span));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            match self.byte() {
                b',' => {
                    self.at += 1;
                    self.skip_space();
                }
                b']' => {
                    self.at += 1;
                    return Ok(Node::list(items, span));
                }
                _ => return Err(self.error("Expecting ',' delimiter", self.at)),
            }
        }
    }

    fn object(&mut self) -> Result<Node, JsonError> {
        const NAME: &str = "Expecting property name enclosed in double quotes";
        let start = self.at;
        let span = self.span(start, start + 1);
        self.at += 1;
        let mut entries = NodeMap::new();
        self.skip_space();
        if self.byte() == b'}' {
            self.at += 1;
            return Ok(Node::map(entries, span));
        }
        loop {
            if self.byte() != b'"' {
                return Err(self.error(NAME, self.at));
            }
            let key_start = self.at;
            let key_span = self.span(key_start, key_start);
            let key = self.string()?;
            let width = self
                .text
                .get(key_start..self.at)
                .unwrap_or_default()
                .chars()
                .count();
            let key_span = Span {
                width: u32::try_from(width).unwrap_or(0),
                ..key_span
            };
            self.skip_space();
            if self.byte() != b':' {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value()?;
            let entry = Entry {
                key: key_span,
                value,
            };
            entries.insert(Value::Str(key), entry);
            self.skip_space();
            match self.byte() {
                b',' => {
                    self.at += 1;
                    self.skip_space();
                }
                b'}' => {
                    self.at += 1;
                    return Ok(Node::map(entries, span));
                }
                _ => return Err(self.error("Expecting ',' delimiter", self.at)),
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(ch) = self.rest().chars().next() else {
                return Err(self.error("Unterminated string starting at", start));
            };
            match ch {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => self.escape(start, &mut out)?,
                '\0'..='\x1f' => return Err(self.error("Invalid control character at", self.at)),
                _ => {
                    out.push(ch);
                    self.at += ch.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self, start: usize, out: &mut String) -> Result<(), JsonError> {
        let at = self.at;
        self.at += 1;
        let Some(ch) = self.rest().chars().next() else {
            return Err(self.error("Unterminated string starting at", start));
        };
        self.at += ch.len_utf8();
        let plain = match ch {
            '"' | '\\' | '/' => ch,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.hex(at + 1)?;
                if (0xD800..0xDC00).contains(&high) && self.rest().starts_with("\\u") {
                    let mark = self.at;
                    self.at += 2;
                    let low = self.hex(mark + 1)?;
                    if (0xDC00..0xE000).contains(&low) {
                        let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                        return Ok(());
                    }
                    self.at = mark;
                }
                // Half a pair cannot be text here.
                char::from_u32(high).unwrap_or('\u{fffd}')
            }
            _ => return Err(self.error("Invalid \\escape", at)),
        };
        out.push(plain);
        Ok(())
    }

    fn hex(&mut self, at: usize) -> Result<u32, JsonError> {
        let digits = self.rest().get(..4);
        let value = digits
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(value) = value else {
            return Err(self.error("Invalid \\uXXXX escape", at));
        };
        self.at += 4;
        Ok(value)
    }
}

/// How many bytes at the beginning are a JSON number.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes
            .iter()
            .skip(from)
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at += digits(at),
        _ => return 0,
    }
    if bytes.get(at) == Some(&b'.') && digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let power = digits(at + 1 + sign);
        if power > 0 {
            at += 1 + sign + power;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = parse(text, 0)
            .map(|node| crate::python::repr(&node.to_value()))
            .map_err(|error| error.message);
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn values_and_pythons_complaints() {
        check(
            r#"{"a": [1, -2.5e3, "\u00e9\ud83d\ude00", null, true]}"#,
            Ok("{'a': [1, -2500.0, 'é😀', None, True]}"),
        );
        check(
            r#"{"x": }"#,
            Err("Expecting value: line 1 column 7 (char 6)"),
        );
        check(
            "{a: 1}",
            Err("Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        );
        check(
            "[1\n 2]",
            Err("Expecting ',' delimiter: line 2 column 2 (char 4)"),
        );
        check("1 2", Err("Extra data: line 1 column 3 (char 2)"));
        check(
            r#""a"#,
            Err("Unterminated string starting at: line 1 column 1 (char 0)"),
        );
        check(r#""\q""#, Err("Invalid \\escape: line 1 column 2 (char 1)"));
        check(
            r#""\u12""#,
            Err("Invalid \\uXXXX escape: line 1 column 3 (char 2)"),
        );
        check(
            "{\"a\" 1}",
            Err("Expecting ':' delimiter: line 1 column 6 (char 5)"),
        );
        check("[1,]", Err("Expecting value: line 1 column 4 (char 3)"));
    }
}
