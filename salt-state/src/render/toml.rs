//! The `toml` stage.

use salt_proto::{Map, Value};

use crate::yaml::{Node, Span};

/// Why a text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TomlError {
    problem: &'static str,
    line: u32,
    column: u32,
}

impl TomlError {
    pub(super) fn span(&self, document: u32) -> Span {
        Span {
            document,
            line: self.line,
            column: self.column,
            width: 1,
        }
    }
}

impl std::fmt::Display for TomlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (line, column) = (self.line + 1, self.column + 1);
        write!(f, "{} (at line {line}, column {column})", self.problem)
    }
}

const MAX_DEPTH: usize = 100;

/// Reads TOML 1.0; dates and times become text.
pub(super) fn parse(text: &str, document: u32) -> Result<Node, TomlError> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    let mut root = Map::new();
    let mut section: Vec<String> = Vec::new();
    loop {
        reader.skip_blank_lines();
        if reader.at >= text.len() {
            break;
        }
        if reader.take("[[") {
            section = reader.key_path()?;
            reader.expect("]]", "Expected ']]' at the end of an array declaration")?;
            let list = descend(&mut root, &section, true);
            match list {
                Some(Value::List(items)) => items.push(Value::Map(Map::new())),
                _ => return Err(reader.error("Cannot mutate immutable namespace")),
            }
        } else if reader.take("[") {
            section = reader.key_path()?;
            reader.expect("]", "Expected ']' at the end of a table declaration")?;
            if !matches!(
                descend(&mut root, &section, false),
                Some(Value::Map(_) | Value::List(_))
            ) {
                return Err(reader.error("Cannot declare a table twice"));
            }
        } else {
            let path = reader.key_path()?;
            reader.expect("=", "Expected '=' after a key in a key/value pair")?;
            reader.skip_blanks();
            let value = reader.value()?;
            insert(&mut root, &section, &path, value).map_err(|problem| reader.error(problem))?;
        }
        reader.end_of_line()?;
    }
    let span = Span {
        document,
        ..Span::default()
    };
    Ok(Node::from_value(&Value::Map(root), span))
}

/// The table (or, with `array`, the array of tables) at a path, made when absent.
fn descend<'m>(root: &'m mut Map, path: &[String], array: bool) -> Option<&'m mut Value> {
    let (last, before) = path.split_last()?;
    let mut map = root;
    for key in before {
        let next = map.get_or_insert_with(key.as_str(), || Value::Map(Map::new()));
        map = match next {
            Value::Map(map) => map,
            Value::List(items) => items.last_mut()?.as_map_mut()?,
            _ => return None,
        };
    }
    Some(map.get_or_insert_with(last.as_str(), || {
        if array {
            Value::List(Vec::new())
        } else {
            Value::Map(Map::new())
        }
    }))
}

fn insert(
    root: &mut Map,
    section: &[String],
    path: &[String],
    value: Value,
) -> Result<(), &'static str> {
    const TAKEN: &str = "Cannot overwrite a value";
    let table = if section.is_empty() {
        root
    } else {
        match descend(root, section, false) {
            Some(Value::Map(map)) => map,
            Some(Value::List(items)) => {
                items.last_mut().and_then(Value::as_map_mut).ok_or(TAKEN)?
            }
            _ => return Err(TAKEN),
        }
    };
    let (last, before) = path.split_last().ok_or(TAKEN)?;
    let mut table = table;
    for key in before {
        table = table
            .get_or_insert_with(key.as_str(), || Value::Map(Map::new()))
            .as_map_mut()
            .ok_or(TAKEN)?;
    }
    if table.contains_key(last) {
        return Err(TAKEN);
    }
    table.insert(last.as_str(), value);
    Ok(())
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn error(&self, problem: &'static str) -> TomlError {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().chars().count();
        TomlError {
            problem,
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn expect(&mut self, token: &str, problem: &'static str) -> Result<(), TomlError> {
        self.skip_blanks();
        if self.take(token) {
            Ok(())
        } else {
            Err(self.error(problem))
        }
    }

    fn skip_blanks(&mut self) {
        while self.take(" ") || self.take("\t") {}
    }

    fn skip_comment(&mut self) {
        if self.peek() == Some('#') {
            let length = self.rest().find('\n').unwrap_or_else(|| self.rest().len());
            self.at += length;
        }
    }

    fn skip_blank_lines(&mut self) {
        loop {
            self.skip_blanks();
            self.skip_comment();
            if !(self.take("\n") || self.take("\r\n")) {
                return;
            }
        }
    }

    fn end_of_line(&mut self) -> Result<(), TomlError> {
        self.skip_blanks();
        self.skip_comment();
        if self.at >= self.text.len() || self.take("\n") || self.take("\r\n") {
            Ok(())
        } else {
            Err(self.error("Expected newline or end of document after a statement"))
        }
    }

    fn key_path(&mut self) -> Result<Vec<String>, TomlError> {
        let mut path = Vec::new();
        loop {
            self.skip_blanks();
            path.push(self.key()?);
            self.skip_blanks();
            if !self.take(".") {
                return Ok(path);
            }
        }
    }

    fn key(&mut self) -> Result<String, TomlError> {
        match self.peek() {
            Some('"') => self.basic(),
            Some('\'') => self.literal(),
            _ => {
                let length = self
                    .rest()
                    .find(|ch: char| !(ch.is_ascii_alphanumeric() || matches!(ch, '_' | '-')))
                    .unwrap_or_else(|| self.rest().len());
                let key = self.rest().get(..length).unwrap_or_default().to_owned();
                if key.is_empty() {
                    return Err(self.error("Invalid initial character for a key part"));
                }
                self.at += length;
                Ok(key)
            }
        }
    }

    fn value(&mut self) -> Result<Value, TomlError> {
        match self.peek() {
            Some('"') if self.rest().starts_with("\"\"\"") => self.long('"', true).map(Value::Str),
            Some('\'') if self.rest().starts_with("'''") => self.long('\'', false).map(Value::Str),
            Some('"') => self.basic().map(Value::Str),
            Some('\'') => self.literal().map(Value::Str),
            Some('[') => self.nested(Self::array),
            Some('{') => self.nested(Self::inline_table),
            _ => self.scalar(),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, TomlError>,
    ) -> Result<Value, TomlError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("Nested too deep"));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Value, TomlError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blank_lines();
            if self.take("]") {
                return Ok(Value::List(items));
            }
            items.push(self.value()?);
            self.skip_blank_lines();
            if !self.take(",") {
                self.expect("]", "Unclosed array")?;
                return Ok(Value::List(items));
            }
        }
    }

    fn inline_table(&mut self) -> Result<Value, TomlError> {
        self.at += 1;
        let mut map = Map::new();
        self.skip_blanks();
        if self.take("}") {
            return Ok(Value::Map(map));
        }
        loop {
            let path = self.key_path()?;
            self.expect("=", "Expected '=' after a key in a key/value pair")?;
            self.skip_blanks();
            let value = self.value()?;
            insert(&mut map, &[], &path, value).map_err(|problem| self.error(problem))?;
            self.skip_blanks();
            if !self.take(",") {
                self.expect("}", "Unclosed inline table")?;
                return Ok(Value::Map(map));
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, TomlError> {
        let length = self
            .rest()
            .find(|ch: char| {
                !(ch.is_ascii_alphanumeric() || matches!(ch, '+' | '-' | '_' | '.' | ':'))
            })
            .unwrap_or_else(|| self.rest().len());
        let word = self.rest().get(..length).unwrap_or_default().to_owned();
        let plain = word.replace('_', "");
        let value = match word.as_str() {
            "" => return Err(self.error("Invalid value")),
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => {
                let digits = |prefix, radix| {
                    plain
                        .strip_prefix(prefix)
                        .and_then(|digits| i64::from_str_radix(digits, radix).ok())
                };
                if let Some(n) = digits("0x", 16)
                    .or_else(|| digits("0o", 8))
                    .or_else(|| digits("0b", 2))
                {
                    Value::Int(n)
                } else if let Ok(n) = plain.parse::<i64>() {
                    Value::Int(n)
                } else if let Ok(x) = plain.parse::<f64>() {
                    Value::Float(x)
                } else if word.starts_with(|ch: char| ch.is_ascii_digit()) {
                    Value::Str(word)
                } else {
                    return Err(self.error("Invalid value"));
                }
            }
        };
        self.at += length;
        Ok(value)
    }

    fn literal(&mut self) -> Result<String, TomlError> {
        self.at += 1;
        let end = self.rest().find(['\'', '\n']);
        match end {
            Some(length) if self.rest().as_bytes().get(length) == Some(&b'\'') => {
                let text = self.rest().get(..length).unwrap_or_default().to_owned();
                self.at += length + 1;
                Ok(text)
            }
            _ => Err(self.error("Unterminated string")),
        }
    }

    fn basic(&mut self) -> Result<String, TomlError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('\\') => self.escape(&mut out)?,
                None | Some('\n') => return Err(self.error("Unterminated string")),
                Some(ch) => {
                    out.push(ch);
                    self.at += ch.len_utf8();
                }
            }
        }
    }

    fn long(&mut self, quote: char, escapes: bool) -> Result<String, TomlError> {
        let closing: String = [quote; 3].iter().collect();
        self.at += 3;
        if !self.take("\n") {
            self.take("\r\n");
        }
        let mut out = String::new();
        loop {
            if self.rest().starts_with(&closing) {
                self.at += 3;
                // Up to two quotes may stand before the closing ones.
                while self.peek() == Some(quote) {
                    out.push(quote);
                    self.at += 1;
                }
                return Ok(out);
            }
            match self.peek() {
                None => return Err(self.error("Unterminated string")),
                Some('\\') if escapes => {
                    let after = self.rest().get(1..).unwrap_or_default();
                    let gap = after.len() - after.trim_start().len();
                    if after.get(..gap).is_some_and(|gap| gap.contains('\n')) {
                        self.at += 1 + gap;
                    } else {
                        self.escape(&mut out)?;
                    }
                }
                Some(ch) => {
                    out.push(ch);
                    self.at += ch.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), TomlError> {
        self.at += 1;
        let Some(ch) = self.peek() else {
            return Err(self.error("Unterminated string"));
        };
        self.at += ch.len_utf8();
        let plain = match ch {
            'b' => '\x08',
            't' => '\t',
            'n' => '\n',
            'f' => '\x0c',
            'r' => '\r',
            '"' | '\\' => ch,
            'u' | 'U' => {
                let length = if ch == 'u' { 4 } else { 8 };
                let digits = self.rest().get(..length).unwrap_or_default();
                let Some(found) = u32::from_str_radix(digits, 16)
                    .ok()
                    .and_then(char::from_u32)
                else {
                    return Err(self.error("Escaped character is not a Unicode scalar value"));
                };
                self.at += length;
                found
            }
            _ => return Err(self.error("Unescaped '\\' in a string")),
        };
        out.push(plain);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_arrays_and_values() {
        let text = "#!toml\na = 1\nb.c = 'x' # remark\n[t]\nl = [1.5, \"a\\n\", [true]]\n[[t.items]]\nn = 1\n[[t.items]]\nn = { k = 2020-01-01 }\nm = \"\"\"\nx\\\n  y\"\"\"\n";
        let node = parse(text, 0).expect("TOML");

        assert_eq!(
            crate::python::repr(&node.to_value()),
            "{'a': 1, 'b': {'c': 'x'}, 't': {'l': [1.5, 'a\\n', [True]], 'items': [{'n': 1}, {'n': {'k': '2020-01-01'}, 'm': 'xy'}]}}"
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        assert_eq!(
            parse("a = 1\nb == 2", 0)
                .map(|_| ())
                .map_err(|e| e.to_string()),
            Err("Invalid value (at line 2, column 4)".to_owned())
        );
        assert!(parse(&format!("a = {}", "[".repeat(100_000)), 0).is_err());
        assert!(parse("a = 1\na = 2", 0).is_err());
    }
}
