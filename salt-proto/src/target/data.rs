//! Patterns over grains and pillar: `key:sub:pattern`.

use std::cell::Cell;

use super::glob::Glob;
use super::pattern::Pattern;
use super::{Release, TargetError};
use crate::value::{Map, Value};

/// How the last part is compared. Always on lowercase, as in Salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Glob,
    Regex,
    Exact,
}

/// A whole expression, compiled for every place where it can be cut in two.
///
/// Each cut gives a path and a pattern: `a:b:c` is the path `a:b` and the
/// pattern `c`, or the path `a` and the pattern `b:c`. Deeper paths are tried
/// first. The pattern of cut `i` is everything from part `i` on.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    parts: Vec<String>,
    delimiter: String,
    patterns: Vec<Suffix>,
}

#[derive(Clone, Debug)]
struct Suffix {
    text: String,
    compiled: Compiled,
    /// The same text as Salt reads it inside a map, where keys are always
    /// separated by `:`; `None` where that is this expression from here on.
    inside: Option<Box<Expression>>,
}

#[derive(Clone, Debug)]
enum Compiled {
    Glob(Glob),
    Regex(Pattern),
    Exact(String),
    /// A regular expression that is none: matches nothing, as in Salt.
    Never,
}

/// The most parts of an expression, and so of compiled patterns.
const MAX_PARTS: usize = 64;
/// The most comparisons for one minion.
const STEPS: u32 = 1_000_000;
const COLON: &str = ":";

impl Expression {
    pub(crate) fn new(
        expression: &str,
        delimiter: &str,
        comparison: Comparison,
    ) -> Result<Self, TargetError> {
        if delimiter.is_empty() {
            return Err(TargetError::Syntax);
        }
        let parts: Vec<String> = expression.split(delimiter).map(str::to_owned).collect();
        if parts.len() > MAX_PARTS {
            return Err(TargetError::TooLarge);
        }
        let patterns = (0..parts.len())
            .map(|cut| {
                let text = parts.get(cut..).unwrap_or_default().join(delimiter);
                let inside = if delimiter == COLON {
                    None
                } else {
                    Some(Box::new(Self::new(&text, COLON, comparison)?))
                };
                Ok(Suffix {
                    compiled: Compiled::new(&text, comparison),
                    text,
                    inside,
                })
            })
            .collect::<Result<_, TargetError>>()?;
        Ok(Self {
            parts,
            delimiter: delimiter.to_owned(),
            patterns,
        })
    }

    /// Whether `data` has what the expression asks for.
    pub(crate) fn matches(&self, data: &Map, release: Release) -> bool {
        let search = Search {
            release,
            steps: Cell::new(STEPS),
        };
        search.map_data(self, 0, data)
    }
}

impl Compiled {
    fn new(text: &str, comparison: Comparison) -> Self {
        // Python's re.match(pattern.lower(), …): `\D` becomes `\d`.
        let text = text.to_lowercase();
        match comparison {
            Comparison::Glob => Self::Glob(Glob::new(&text)),
            Comparison::Regex => Pattern::new(&text).map_or(Self::Never, Self::Regex),
            Comparison::Exact => Self::Exact(text),
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(text),
            Self::Regex(pattern) => pattern.matches(text),
            Self::Exact(exact) => exact == text,
            Self::Never => false,
        }
    }
}

struct Search {
    release: Release,
    steps: Cell<u32>,
}

impl Search {
    /// Counts a step; false when there were too many.
    fn may_go_on(&self) -> bool {
        match self.steps.get().checked_sub(1) {
            Some(left) => {
                self.steps.set(left);
                true
            }
            None => false,
        }
    }

    /// The expression from part `from` on, over a whole mapping.
    fn map_data(&self, expression: &Expression, from: usize, data: &Map) -> bool {
        for cut in (from + 1..expression.parts.len()).rev() {
            let path = expression.parts.get(from..cut).unwrap_or_default();
            if let [only] = path
                && only == "*"
            {
                if self.inside(expression, from, data) {
                    return true;
                }
                continue;
            }
            let Some(value) = self.walk(data, path) else {
                continue;
            };
            let found = match value {
                Value::Map(map) if map.is_empty() => false,
                Value::Map(map) => self.inside(expression, cut, map),
                Value::List(items) => items.iter().any(|item| match item {
                    // A map in a list is compared as text too; one by itself is not.
                    Value::Map(map) if self.inside(expression, cut, map) => true,
                    _ => self.scalar(expression, cut, item),
                }),
                _ => self.scalar(expression, cut, value),
            };
            if found {
                return true;
            }
        }
        false
    }

    /// Follows a path: keys of maps, indices of lists, and through lists of maps
    /// into the first that has the key.
    fn walk<'a>(&self, data: &'a Map, path: &[String]) -> Option<&'a Value> {
        let mut here: Option<&Value> = None;
        for step in path {
            if !self.may_go_on() {
                return None;
            }
            here = Some(match here {
                None => by_key(data, step)?,
                Some(Value::Map(map)) => by_key(map, step)?,
                Some(Value::List(items)) => match integer(step) {
                    Some(index) => {
                        let len = i64::try_from(items.len()).ok()?;
                        let index = if index < 0 { index + len } else { index };
                        items.get(usize::try_from(index).ok()?)?
                    }
                    None => items.iter().find_map(|item| item.as_map()?.get(step))?,
                },
                Some(_) => return None,
            });
        }
        here
    }

    /// The pattern of a cut against a mapping found there.
    fn inside(&self, expression: &Expression, cut: usize, map: &Map) -> bool {
        match expression.patterns.get(cut) {
            Some(Suffix {
                inside: Some(inside),
                ..
            }) => self.map_rule(inside, 0, map),
            Some(_) => self.map_rule(expression, cut, map),
            None => false,
        }
    }

    fn map_rule(&self, expression: &Expression, mut cut: usize, map: &Map) -> bool {
        debug_assert_eq!(expression.delimiter, COLON);
        if !self.may_go_on() {
            return false;
        }
        let wildcard = expression.parts.get(cut).is_some_and(|part| part == "*")
            && cut + 1 < expression.parts.len();
        if wildcard {
            cut += 1;
        }
        let Some(pattern) = expression.patterns.get(cut) else {
            return false;
        };
        if pattern.text == "*"
            || map.contains_key(&pattern.text)
            || (self.release > Release::V3006
                && map.keys().any(|key| self.scalar(expression, cut, key)))
            || self.map_data(expression, cut, map)
        {
            return true;
        }
        wildcard
            && map.values().any(|value| match value {
                Value::Map(map) => self.map_rule(expression, cut, map),
                Value::List(items) => items.iter().any(|item| self.scalar(expression, cut, item)),
                _ => self.scalar(expression, cut, value),
            })
    }

    fn scalar(&self, expression: &Expression, cut: usize, value: &Value) -> bool {
        self.may_go_on()
            && expression
                .patterns
                .get(cut)
                .is_some_and(|pattern| pattern.compiled.fits(&value.to_string().to_lowercase()))
    }
}

/// The value under a key as it is written, else under what YAML makes of it.
fn by_key<'a>(map: &'a Map, key: &str) -> Option<&'a Value> {
    map.get(key).or_else(|| map.get_value(&scalar_of(key)?))
}

/// The key that YAML 1.1 reads a plain word as, where that is not text.
fn scalar_of(word: &str) -> Option<Value> {
    Some(match word {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => match integer(word) {
            Some(n) => Value::Int(n),
            None if word.contains('.') => Value::Float(word.parse().ok()?),
            None => return None,
        },
    })
}

fn integer(word: &str) -> Option<i64> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    word.parse().ok()
}
