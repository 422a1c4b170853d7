//! Python's `json` module.

use num_bigint::BigInt;

use super::value::{Dict, DictClass, Key, Value, big_str, float_repr};
use super::{Error, Result, Runtime, access, filters};

/// How JSON is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    pub(crate) sort_keys: bool,
    /// No blank after a comma or colon.
    pub(crate) compact: bool,
    /// Blanks or text for each level; `None` writes one line.
    pub(crate) indent: Option<Value>,
    /// Escapes everything beyond ASCII.
    pub(crate) ascii: bool,
}

/// Python's `json.dumps`.
///
/// # Errors
/// `Object of type set is not JSON serializable` and the like.
pub(crate) fn dump(rt: &Runtime<'_>, value: &Value, style: &Style) -> Result<String> {
    let indent = match &style.indent {
        None => None,
        Some(Value::Str(text)) => Some((**text).to_owned()),
        Some(other) => {
            let width = usize::try_from(filters::integer(other)?).unwrap_or(0);
            rt.charge_bytes(width)?;
            Some(" ".repeat(width))
        }
    };
    let mut writer = Writer {
        rt,
        style,
        indent,
        out: String::new(),
        open: Vec::new(),
    };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer<'a, 'r, 'e> {
    rt: &'r Runtime<'e>,
    style: &'a Style,
    indent: Option<String>,
    out: String,
    open: Vec<usize>,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value) -> Result<()> {
        self.rt.charge(1)?;
        crate::jinja::value::check_size(&self.out)?;
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Int(n) => self.out += &n.to_string(),
            Value::Big(n) => self.out += &big_str(n)?,
            Value::Float(x) => self.out += &float(*x),
            Value::Str(text) => {
                self.rt.charge_bytes(text.len())?;
                self.string(text);
            }
            Value::List(list) => {
                self.enter(list.address())?;
                self.array(&list.to_vec())?;
                self.open.pop();
            }
            Value::Tuple(items) => {
                self.enter(0)?;
                self.array(items)?;
                self.open.pop();
            }
            Value::Dict(dict) => {
                self.enter(dict.address())?;
                self.object(dict.entries())?;
                self.open.pop();
            }
            Value::Object(object) if object.is_mapping() => {
                self.enter(0)?;
                let entries = access::mapping_entries(self.rt, value)?;
                self.object(entries.unwrap_or_default())?;
                self.open.pop();
            }
            other => {
                return Err(Error::type_error(format!(
                    "Object of type {} is not JSON serializable",
                    other.type_name()
                )));
            }
        }
        Ok(())
    }

    fn enter(&mut self, address: usize) -> Result<()> {
        if address != 0 && self.open.contains(&address) {
            return Err(Error::value_error("Circular reference detected"));
        }
        self.rt.check_stack()?;
        self.open.push(address);
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' => self.out += &format!("\\u{:04x}", u32::from(c)),
                '\u{7f}' => self.out.push(c),
                c if c.is_ascii() || !self.style.ascii => self.out.push(c),
                c => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        self.out += &format!("\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }

    fn line(&mut self, level: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..level {
                self.out.push_str(indent);
            }
        }
    }

    fn separate(&mut self, first: bool) {
        if !first {
            self.out
                .push_str(if self.indent.is_some() || self.style.compact {
                    ","
                } else {
                    ", "
                });
        }
        self.line(self.open.len());
    }

    fn array(&mut self, items: &[Value]) -> Result<()> {
        if items.is_empty() {
            self.out.push_str("[]");
            return Ok(());
        }
        self.out.push('[');
        for (at, item) in items.iter().enumerate() {
            self.separate(at == 0);
            self.value(item)?;
            self.rt.charge_bytes(self.out.len().min(32))?;
        }
        self.line(self.open.len() - 1);
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, mut entries: Vec<(Value, Value)>) -> Result<()> {
        if entries.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        if self.style.sort_keys {
            let pairs = entries.into_iter().map(|(k, v)| Value::tuple(vec![k, v]));
            let sorted = filters::sort_by(self.rt, pairs.collect(), false, &mut |_, pair| {
                Ok(match pair {
                    Value::Tuple(pair) => pair.first().cloned().unwrap_or_default(),
                    other => other.clone(),
                })
            })?;
            entries = sorted
                .into_iter()
                .filter_map(|pair| match pair {
                    Value::Tuple(pair) => match &*pair {
                        [key, value] => Some((key.clone(), value.clone())),
                        _ => None,
                    },
                    _ => None,
                })
                .collect();
        }
        self.out.push('{');
        for (at, (key, value)) in entries.into_iter().enumerate() {
            self.separate(at == 0);
            match &key {
                Value::Str(text) => self.string(text),
                Value::None => self.string("null"),
                Value::Bool(b) => self.string(if *b { "true" } else { "false" }),
                Value::Int(_) | Value::Big(_) => self.string(&key.str()?),
                Value::Float(x) => self.string(&float(*x)),
                other => {
                    return Err(Error::type_error(format!(
                        "keys must be str, int, float, bool or None, not {}",
                        other.type_name()
                    )));
                }
            }
            self.out
                .push_str(if self.style.compact { ":" } else { ": " });
            self.value(&value)?;
        }
        self.line(self.open.len() - 1);
        self.out.push('}');
        Ok(())
    }
}

fn float(x: f64) -> String {
    if x.is_nan() {
        "NaN".to_owned()
    } else if x.is_infinite() {
        if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        float_repr(x)
    }
}

/// Python's `json.loads`.
///
/// # Errors
/// `Expecting value: line 1 column 1 (char 0)` and the like, as `ValueError`.
pub(crate) fn load(rt: &Runtime<'_>, text: &str) -> Result<Value> {
    let mut reader = Reader { rt, text, at: 0 };
    reader.blank();
    let value = reader.value()?;
    reader.blank();
    if reader.at < text.len() {
        return Err(reader.error("Extra data", reader.at));
    }
    Ok(value)
}

struct Reader<'a, 'r, 'e> {
    rt: &'r Runtime<'e>,
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a, '_, '_> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error(&self, message: &str, at: usize) -> Error {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let char = before.chars().count();
        Error::value_error(format!(
            "{message}: line {line} column {column} (char {char})"
        ))
    }

    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn value(&mut self) -> Result<Value> {
        let _level = self.rt.enter()?;
        self.rt.charge(1)?;
        let start = self.at;
        match self.rest().chars().next() {
            Some('"') => {
                self.at += 1;
                self.string().map(Value::text)
            }
            Some('{') => self.object(),
            Some('[') => self.array(),
            Some('-' | '0'..='9') => {
                if self.skip("-Infinity") {
                    return Ok(Value::Float(f64::NEG_INFINITY));
                }
                self.number()
            }
            _ => {
                let words = [
                    ("null", Value::None),
                    ("true", Value::Bool(true)),
                    ("false", Value::Bool(false)),
                    ("NaN", Value::Float(f64::NAN)),
                    ("Infinity", Value::Float(f64::INFINITY)),
                ];
                for (word, value) in words {
                    if self.skip(word) {
                        return Ok(value);
                    }
                }
                Err(self.error("Expecting value", start))
            }
        }
    }

    fn number(&mut self) -> Result<Value> {
        let start = self.at;
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let run = |mut end: usize| {
            while bytes.get(end).is_some_and(u8::is_ascii_digit) {
                end += 1;
            }
            end
        };
        let first = usize::from(rest.starts_with('-'));
        let whole = match bytes.get(first) {
            Some(b'0') => first + 1,
            Some(b'1'..=b'9') => run(first),
            _ => return Err(self.error("Expecting value", start)),
        };
        let mut end = whole;
        if bytes.get(end) == Some(&b'.') && run(end + 1) > end + 1 {
            end = run(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if run(end + 1 + sign) > end + 1 + sign {
                end = run(end + 1 + sign);
            }
        }
        self.at += end;
        let text = rest.get(..end).unwrap_or("0");
        if end > whole {
            return Ok(Value::Float(text.parse().unwrap_or(f64::INFINITY)));
        }
        if text.len() > 4300 {
            return Err(Error::value_error(
                "Exceeds the limit (4300 digits) for integer string conversion",
            ));
        }
        let n = BigInt::parse_bytes(text.as_bytes(), 10).unwrap_or_default();
        Ok(Value::int(n))
    }

    fn string(&mut self) -> Result<String> {
        let begin = self.at - 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                return Err(self.error("Unterminated string starting at", begin));
            };
            out.push_str(rest.get(..end).unwrap_or(""));
            self.at += end;
            let found = rest.get(end..).and_then(|rest| rest.chars().next());
            match found {
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('\\') => self.escape(&mut out, begin)?,
                _ => return Err(self.error("Invalid control character at", self.at)),
            }
        }
    }

    fn escape(&mut self, out: &mut String, begin: usize) -> Result<()> {
        let backslash = self.at;
        self.at += 1;
        let Some(c) = self.rest().chars().next() else {
            return Err(self.error("Unterminated string starting at", begin));
        };
        self.at += c.len_utf8();
        out.push(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.unit(backslash)?;
                let mut units = vec![high];
                if (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.unit(back)?;
                    if (0xdc00..0xe000).contains(&low) {
                        units.push(low);
                    } else {
                        self.at = back;
                    }
                }
                // A lone surrogate has no place in a Rust string.
                char::decode_utf16(units)
                    .next()
                    .and_then(std::result::Result::ok)
                    .unwrap_or('\u{fffd}')
            }
            _ => return Err(self.error("Invalid \\escape", backslash)),
        });
        Ok(())
    }

    fn unit(&mut self, backslash: usize) -> Result<u16> {
        let digits = self.rest().get(..4).unwrap_or("");
        let valid = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
        match u16::from_str_radix(digits, 16) {
            Ok(unit) if valid => {
                self.at += 4;
                Ok(unit)
            }
            _ => Err(self.error("Invalid \\uXXXX escape", backslash + 1)),
        }
    }

    fn array(&mut self) -> Result<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.skip("]") {
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value()?);
            self.blank();
            if self.skip("]") {
                return Ok(Value::list(items));
            }
            if !self.skip(",") {
                return Err(self.error("Expecting ',' delimiter", self.at));
            }
            self.blank();
        }
    }

    fn object(&mut self) -> Result<Value> {
        self.at += 1;
        let dict = Dict::of(DictClass::Dict, indexmap::IndexMap::new());
        self.blank();
        if self.skip("}") {
            return Ok(Value::Dict(dict));
        }
        loop {
            if !self.skip("\"") {
                let message = "Expecting property name enclosed in double quotes";
                return Err(self.error(message, self.at));
            }
            let key = self.string()?;
            self.blank();
            if !self.skip(":") {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.blank();
            let value = self.value()?;
            dict.insert(Key::text(key), value);
            self.blank();
            if self.skip("}") {
                return Ok(Value::Dict(dict));
            }
            if !self.skip(",") {
                return Err(self.error("Expecting ',' delimiter", self.at));
            }
            self.blank();
        }
    }
}
