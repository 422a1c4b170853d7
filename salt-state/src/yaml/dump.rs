//! Values to YAML, byte for byte as PyYAML's safe dumper over libyaml 0.2.5.

mod emitter;

use salt_proto::{Map, Value};

use super::resolve;
use emitter::{Emitter, Scalar};

/// How a document is written.
#[derive(Clone, Copy, Debug)]
pub struct DumpOptions {
    /// `Some(true)` writes collections in braces, `Some(false)` one item a line,
    /// `None` (the default) in braces where a collection holds scalars only.
    pub flow_style: Option<bool>,
    /// Whether mappings are sorted by key, where the keys can be compared.
    /// Python's plain dicts are, ordered ones are not. Default false.
    pub sort_keys: bool,
    /// Whether letters beyond ASCII stand as they are. Default true.
    pub allow_unicode: bool,
    /// Columns of indentation, 2 to 9. Default 2.
    pub indent: usize,
    /// The column after which lines are folded. Default 80.
    pub width: usize,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            flow_style: None,
            sort_keys: false,
            allow_unicode: true,
            indent: 2,
            width: 80,
        }
    }
}

/// Writes one document; the text ends with a line break.
///
/// ```
/// use salt_proto::{Map, Value};
/// use salt_state::yaml::{DumpOptions, dump};
///
/// let value = Value::Map(Map::from([("mode", "0644"), ("on", "yes")]));
/// let options = DumpOptions { flow_style: Some(false), ..DumpOptions::default() };
///
/// assert_eq!(dump(&value, &options), "mode: '0644'\n'on': 'yes'\n");
/// ```
pub fn dump(value: &Value, options: &DumpOptions) -> String {
    let mut dumper = Dumper {
        emitter: Emitter::new(options),
        options,
    };
    dumper.node(value, Place::Root);
    dumper.emitter.finish()
}

/// Where a node stands; decides about indentation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Item,
    Value,
    Key,
}

struct Dumper<'a> {
    emitter: Emitter,
    options: &'a DumpOptions,
}

impl Dumper<'_> {
    fn node(&mut self, value: &Value, place: Place) {
        match value {
            Value::List(items) => self.list(items, place),
            Value::Map(map) => self.map(map),
            scalar => self.emitter.scalar(&represent(scalar), place == Place::Key),
        }
    }

    fn flow(&self, simple: bool, empty: bool) -> bool {
        empty || self.emitter.in_flow() || self.options.flow_style.unwrap_or(simple)
    }

    fn list(&mut self, items: &[Value], place: Place) {
        if self.flow(items.iter().all(is_plain_node), items.is_empty()) {
            self.emitter.open_flow("[");
            for (i, item) in items.iter().enumerate() {
                self.emitter.flow_item(i == 0);
                self.node(item, Place::Item);
            }
            self.emitter.close_flow("]");
        } else {
            self.emitter.open_block_list(place == Place::Value);
            for item in items {
                self.emitter.block_item();
                self.node(item, Place::Item);
            }
            self.emitter.close_block();
        }
    }

    fn map(&mut self, map: &Map) {
        let entries = self.ordered(map);
        let simple = entries
            .iter()
            .all(|(key, value)| is_plain_node(key) && is_plain_node(value));
        if self.flow(simple, entries.is_empty()) {
            self.emitter.open_flow("{");
            for (i, (key, value)) in entries.into_iter().enumerate() {
                self.emitter.flow_item(i == 0);
                if is_simple_key(key) {
                    self.node(key, Place::Key);
                    self.emitter.simple_colon();
                } else {
                    self.emitter.question(true);
                    self.node(key, Place::Item);
                    self.emitter.flow_colon();
                }
                self.node(value, Place::Value);
            }
            self.emitter.close_flow("}");
        } else {
            self.emitter.open_block_map();
            for (key, value) in entries {
                self.emitter.block_line();
                if is_simple_key(key) {
                    self.node(key, Place::Key);
                    self.emitter.simple_colon();
                } else {
                    self.emitter.question(false);
                    self.node(key, Place::Value);
                    self.emitter.block_colon();
                }
                self.node(value, Place::Value);
            }
            self.emitter.close_block();
        }
    }

    fn ordered<'v>(&self, map: &'v Map) -> Vec<(&'v Value, &'v Value)> {
        let mut entries: Vec<_> = map.iter().collect();
        if self.options.sort_keys {
            let texts = entries.iter().all(|(key, _)| key.as_str().is_some());
            let numbers = entries.iter().all(|(key, _)| number(key).is_some());
            if texts {
                entries.sort_by(|a, b| a.0.as_str().cmp(&b.0.as_str()));
            } else if numbers {
                entries.sort_by(|a, b| {
                    number(a.0)
                        .partial_cmp(&number(b.0))
                        .unwrap_or(std::cmp::Ordering::Equal)
                });
            }
        }
        entries
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only the order of keys hangs on it"
)]
fn number(key: &Value) -> Option<f64> {
    match key {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Int(n) => Some(*n as f64),
        Value::UInt(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

/// Whether the representer leaves the style of the node open.
fn is_plain_node(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Bytes(_))
}

/// Whether a key may stand before a colon without a question mark.
fn is_simple_key(key: &Value) -> bool {
    match key {
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        scalar => {
            let scalar = represent(scalar);
            let tag = scalar.tag.map_or(0, str::len);
            !scalar.text.contains(emitter::is_break) && scalar.text.len() + tag <= 128
        }
    }
}

fn represent(value: &Value) -> Scalar {
    let plain = |text: String| Scalar {
        text,
        plain: true,
        literal: false,
        tag: None,
    };
    match value {
        Value::Null => plain("null".to_owned()),
        Value::Bool(true) => plain("true".to_owned()),
        Value::Bool(false) => plain("false".to_owned()),
        Value::Int(n) => plain(n.to_string()),
        Value::UInt(n) => plain(n.to_string()),
        Value::Float(x) => plain(float(*x)),
        Value::Bytes(bytes) => Scalar {
            text: encode_base64(bytes),
            plain: false,
            literal: true,
            tag: Some("!!binary"),
        },
        Value::Str(text) => Scalar {
            plain: resolve::plain(text) == resolve::tag::STR,
            text: text.clone(),
            literal: false,
            tag: None,
        },
        Value::DateTime(at) => {
            let mut text = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                at.year, at.month, at.day, at.hour, at.minute, at.second
            );
            if at.microsecond != 0 {
                text.push_str(&format!(".{:06}", at.microsecond));
            }
            plain(text)
        }
        // Collections do not come here; their text would be Python's.
        other => plain(crate::python::repr(other)),
    }
}

fn float(x: f64) -> String {
    if x.is_nan() {
        ".nan".to_owned()
    } else if x.is_infinite() {
        if x > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        let text = crate::python::float(x);
        if text.contains('.') {
            text
        } else {
            text.replacen('e', ".0e", 1)
        }
    }
}

/// Base 64 in lines of 76 characters, each ended, as Python's `encodebytes`.
fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() / 3 * 4 + 8);
    for line in bytes.chunks(57) {
        for group in line.chunks(3) {
            let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
            let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
            for i in 0..4 {
                if i <= group.len() {
                    let index = (bits >> (18 - 6 * i)) & 0x3F;
                    let symbol = ALPHABET.get(index as usize).copied().unwrap_or(b'A');
                    out.push(char::from(symbol));
                } else {
                    out.push('=');
                }
            }
        }
        out.push('\n');
    }
    out
}
