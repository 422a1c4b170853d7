//! Regular expressions in Python's syntax, over whole contents.

use fancy_regex::Regex;
use salt_proto::Value;

use crate::jinja::salt::regex::{Part, expand, template, translate};
use crate::python;
use crate::registry::CallError;

/// Python's flags, as `file.replace` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Flags(i64);

const NAMES: [(&str, i64); 14] = [
    ("I", 2),
    ("IGNORECASE", 2),
    ("L", 4),
    ("LOCALE", 4),
    ("M", 8),
    ("MULTILINE", 8),
    ("S", 16),
    ("DOTALL", 16),
    ("U", 32),
    ("UNICODE", 32),
    ("X", 64),
    ("VERBOSE", 64),
    ("A", 256),
    ("ASCII", 256),
];

impl Flags {
    /// The flag under which `^` and `$` stand at every line.
    pub(crate) const MULTILINE: Self = Self(8);

    /// A number, a name, or a list of names.
    ///
    /// # Errors
    ///
    /// For unknown names.
    pub(crate) fn parse(given: Option<&Value>) -> Result<Self, CallError> {
        let one = |name: &str| {
            let upper = name.to_uppercase();
            let found = NAMES.iter().find(|(known, _)| *known == upper);
            found
                .map(|(_, bits)| *bits)
                .ok_or_else(|| CallError::execution(format!("Invalid re flag given: {name}")))
        };
        Ok(Self(match given {
            None => 0,
            Some(Value::Int(bits)) => *bits,
            Some(Value::List(names)) => {
                let mut bits = 0;
                for name in names {
                    bits |= one(&python::str(name))?;
                }
                bits
            }
            Some(Value::Str(name)) => one(name)?,
            Some(other) => {
                return Err(CallError::execution(format!(
                    "Invalid re flags: \"{}\", must be given either as a single flag string, a list of strings, as an \
                     integer, or as an re flag",
                    python::str(other)
                )));
            }
        }))
    }

    fn letters(self) -> String {
        [(2, 'i'), (8, 'm'), (16, 's'), (64, 'x')]
            .into_iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .map(|(_, letter)| letter)
            .collect()
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

fn bad(message: impl Into<String>) -> CallError {
    CallError::exception("re.error", message.into())
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// In Python's words where they are known.
    pub(crate) fn new(pattern: &str, flags: Flags) -> Result<Self, CallError> {
        if let Some(at) = late_flags(pattern) {
            return Err(bad(format!(
                "global flags not at the start of the expression at position {at}"
            )));
        }
        let body = translate(pattern).map_err(|error| bad(error.to_string()))?;
        let letters = flags.letters();
        let full = if letters.is_empty() {
            body
        } else {
            format!("(?{letters}){body}")
        };
        fancy_regex::RegexBuilder::new(&full)
            .backtrack_limit(10_000_000)
            .build()
            .map(Self)
            .map_err(|error| bad(error.to_string()))
    }

    /// Whether it is found anywhere.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool, CallError> {
        self.0
            .is_match(text)
            .map_err(|error| bad(error.to_string()))
    }

    /// Where it is found first.
    pub(crate) fn find(&self, text: &str) -> Result<Option<(usize, usize)>, CallError> {
        let found = self.0.find(text).map_err(|error| bad(error.to_string()))?;
        Ok(found.map(|found| (found.start(), found.end())))
    }

    /// A replacement with its `\1` and `\g<name>` understood.
    fn template(&self, replacement: &str) -> Result<Vec<Part>, CallError> {
        template(replacement, &self.0).map_err(|error| bad(error.to_string()))
    }

    /// Python's `subn`: at most `count` places, all when it is 0. A literal replacement
    /// stands as it is.
    pub(crate) fn replace(
        &self,
        text: &str,
        replacement: &str,
        count: usize,
        literal: bool,
    ) -> Result<(String, usize), CallError> {
        let parts = if literal {
            vec![Part::Text(replacement.to_owned())]
        } else {
            self.template(replacement)?
        };
        let mut out = String::with_capacity(text.len());
        let (mut from, mut copied, mut done) = (0, 0, 0);
        let mut empty_at = None;
        while from <= text.len() && (count == 0 || done < count) {
            let found = self
                .0
                .captures_from_pos(text, from)
                .map_err(|error| bad(error.to_string()))?;
            let Some(found) = found else { break };
            let Some(whole) = found.get(0) else { break };
            if whole.start() == whole.end() && empty_at == Some(whole.start()) {
                // An empty match stands once at each place.
                let next = text.get(whole.end()..).and_then(|rest| rest.chars().next());
                match next {
                    Some(c) => from = whole.end() + c.len_utf8(),
                    None => break,
                }
                empty_at = None;
                continue;
            }
            out.push_str(text.get(copied..whole.start()).unwrap_or_default());
            expand(&parts, &found, &mut out);
            done += 1;
            copied = whole.end();
            from = whole.end();
            empty_at = (whole.start() == whole.end()).then_some(whole.end());
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Ok((out, done))
    }
}

/// Where flags for the whole expression stand too late.
fn late_flags(pattern: &str) -> Option<usize> {
    let mut chars = pattern.char_indices().peekable();
    let mut in_set = false;
    let mut count = 0;
    let mut leading = true;
    while let Some((at, c)) = chars.next() {
        let place = count;
        count += 1;
        match c {
            '\\' => {
                chars.next();
                count += 1;
                leading = false;
            }
            '[' => {
                in_set = true;
                leading = false;
            }
            ']' => in_set = false,
            '(' if !in_set => {
                let rest = pattern.get(at + 1..).unwrap_or_default();
                let flags = rest
                    .strip_prefix('?')
                    .and_then(|rest| rest.split(')').next());
                let is_flags = flags.is_some_and(|flags| {
                    !flags.is_empty() && flags.chars().all(|c| "aiLmsux".contains(c))
                });
                if is_flags && !leading {
                    return Some(place);
                }
                if is_flags {
                    for _ in 0..flags.map_or(0, |flags| flags.chars().count() + 2) {
                        chars.next();
                        count += 1;
                    }
                } else {
                    leading = false;
                }
            }
            _ => leading = false,
        }
    }
    None
}

/// Content as text to search in, and whether its bytes were taken as letters because
/// they are not UTF-8.
pub(crate) fn loose(content: &[u8]) -> (String, bool) {
    match std::str::from_utf8(content) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (content.iter().map(|byte| char::from(*byte)).collect(), true),
    }
}

/// Text from [`loose`] as bytes again.
pub(crate) fn tight(text: &str, by_byte: bool) -> Vec<u8> {
    if !by_byte {
        return text.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u8::try_from(u32::from(c)) {
            Ok(byte) => out.push(byte),
            Err(_) => {
                let mut buffer = [0; 4];
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sub(pattern: &str, replacement: &str, text: &str) -> String {
        let pattern = Pattern::new(pattern, Flags::MULTILINE).unwrap();
        pattern.replace(text, replacement, 0, false).unwrap().0
    }

    // As python3 answers.
    #[test]
    fn replacing_is_pythons() {
        assert_eq!(sub("$", "!", "one\ntwo\n"), "one!\ntwo!\n!");
        assert_eq!(sub("^(.*)$", "# \\1", "a\nb\n"), "# a\n# b\n# ");
        assert_eq!(sub("x*", "-", "ab\n"), "-a-b-\n-");
        assert_eq!(sub("t(?P<x>\\w)", "<\\g<x>>", "two"), "<w>o");
        assert_eq!(sub("a|b", "[\\g<0>]", "cab"), "c[a][b]");
    }

    #[test]
    fn mistakes_are_told_as_python_tells_them() {
        let error = |pattern: &str| {
            Pattern::new(pattern, Flags::default())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("("),
            "missing ), unterminated subpattern at position 0"
        );
        assert_eq!(
            error("^[^#]*(?i)x"),
            "global flags not at the start of the expression at position 6"
        );
        assert!(Pattern::new("(?i)x", Flags::default()).is_ok());
        assert_eq!(
            Flags::parse(Some(&"bad".into())).unwrap_err().to_string(),
            "Invalid re flag given: bad"
        );
    }

    #[test]
    fn bytes_survive_being_text() {
        for content in [&b"\xff\xfex"[..], "für".as_bytes()] {
            let (text, by_byte) = loose(content);
            assert_eq!(tight(&text, by_byte), content);
        }
    }
}
