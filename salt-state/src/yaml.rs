//! YAML as Salt reads and writes it: PyYAML's 1.1 with Salt's own rules.
//!
//! What differs from today's YAML, observed with Salt 3008.3:
//!
//! - `0644` is the integer 644 and `-0644` is -420; `1:30` is 90.
//! - `yes`, `no`, `on` and `off` in three spellings are booleans.
//! - Floats need a dot, and exponents a sign: `1e3` is text.
//! - Timestamps stay text.
//! - A key that is there twice is an error, with both places.
//! - Integers beyond 64 bits become floats, since no Salt message carries them.
//!
//! The scanner is our own, because the maintained ones were measured: of 14,313 generated and
//! mutated documents (`tests/tools/yaml_judge.py`, against PyYAML's C parser), libyaml-safer
//! 0.3.0 agrees on all that it survives, to the wording of every error, but panics on 74: when a
//! block scalar ends with the text (`a: |\n  b`), and at a tag before a comma (`[!!null, a]`).
//! saphyr-parser 0.3.3, of YAML 1.2, takes 425 that PyYAML refuses and refuses 469 that it takes.
//! A text from a peer may do neither. Of 15,000 such documents ours differs in 4, all of them
//! refused by both for another of their mistakes: three hold a collection that contains itself.
//!
//! ```
//! use salt_proto::Value;
//!
//! let value = salt_state::yaml::load("mode: 0644\non: yes").unwrap();
//!
//! assert_eq!(value.get("mode"), Some(&Value::Int(644)));
//! assert_eq!(salt_state::yaml::load("a: 1\na: 2").unwrap_err().problem(), "found conflicting ID 'a'");
//! ```

mod construct;
mod dump;
mod error;
mod map;
mod node;
mod raw;
mod resolve;
mod scanner;
mod yamlex;

use salt_proto::Value;

pub use dump::{DumpOptions, dump};
pub use error::{Error, Kind, Mark};
pub use map::{Lookup, NodeMap, Text};
pub use node::{Data, Entry, Node, Span};
pub use yamlex::{aggregate, parse_yamlex};

/// How much one document may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of the text in bytes. Default 64 MiB.
    pub bytes: usize,
    /// Nesting of collections. Default 128.
    pub depth: usize,
    /// Nodes, aliases not counted; also what aliases may expand to. Default 2,000,000.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            depth: 128,
            nodes: 2_000_000,
        }
    }
}

/// Loads one document as Salt does; nothing at all is [`Value::Null`].
///
/// # Errors
///
/// Whatever PyYAML reports, in its words, and [`Kind::Limit`] for a document
/// that is too large or too deep.
pub fn load(text: &str) -> Result<Value, Error> {
    let limits = Limits::default();
    Ok(parse_within(text, 0, &limits)?.map_or(Value::Null, |node| node.to_value()))
}

/// Loads one document and keeps places and sharing; `None` when there is none.
///
/// `document` goes into every [`Span`].
///
/// # Errors
///
/// As [`load`]. The size that aliases expand to is not checked here; see
/// [`Node::check_size`].
pub fn parse(text: &str, document: u32, limits: &Limits) -> Result<Option<Node>, Error> {
    Ok(parse_tree(text, document, limits)?.map(|(node, _)| node))
}

/// [`parse`], with a check of what aliases expand to where there are any.
///
/// # Errors
///
/// As [`load`].
pub(crate) fn parse_within(
    text: &str,
    document: u32,
    limits: &Limits,
) -> Result<Option<Node>, Error> {
    let Some((node, shared)) = parse_tree(text, document, limits)? else {
        return Ok(None);
    };
    // Without aliases there are as many nodes as were read, which is limited too.
    if shared {
        node.check_size(limits.nodes)?;
    }
    Ok(Some(node))
}

/// The root, and whether there are aliases or merge keys.
fn parse_tree(text: &str, document: u32, limits: &Limits) -> Result<Option<(Node, bool)>, Error> {
    let text = prepare(text, limits)?;
    let (tree, root) = raw::read(text, limits)?;
    let shared = tree.shared;
    match root {
        Some(root) => {
            construct::construct(tree, root, document, limits).map(|node| Some((node, shared)))
        }
        None => Ok(None),
    }
}

/// Checks length and characters, and takes a byte order mark away: that happens before
/// anything is counted.
fn prepare<'t>(text: &'t str, limits: &Limits) -> Result<&'t str, Error> {
    if text.len() > limits.bytes {
        return Err(Error::unplaced(Kind::Limit, "the YAML text is too long"));
    }
    let usual = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let checked = text
        .as_bytes()
        .iter()
        .take_while(|byte| usual(byte))
        .count();
    // From the first byte on that is not plain ASCII, character by character.
    let rest = text.get(checked..).unwrap_or_default();
    if let Some((index, ch)) = rest.char_indices().find(|&(_, ch)| !is_printable(ch)) {
        let mark = Mark {
            index: checked + index,
            ..Mark::default()
        };
        return Err(Error::plain(
            Kind::Reader,
            format!(
                "#x{:04x}: control characters are not allowed",
                u32::from(ch)
            ),
            mark,
        ));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_printable(ch: char) -> bool {
    matches!(ch,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests;
