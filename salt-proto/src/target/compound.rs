//! Compound expressions: words, terms, and the tree they form.

use std::collections::HashSet;

use super::address::Subnet;
use super::data::{Comparison, Expression};
use super::glob::Glob;
use super::pattern::Pattern;
use super::{Release, TargetError};
use crate::value::{Map, Value};

/// One condition.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    Glob(Glob),
    Regex(Pattern),
    List(Ids),
    Grain(Expression),
    Pillar(Expression),
    Subnet(Subnet),
    /// Exactly this id (`M@`, Salt 3008).
    Id(String),
    /// Nothing: a resource (`T@`), or no address (`S@`).
    Never,
}

/// Listed ids, in order and for looking up.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    pub(crate) ordered: Vec<String>,
    pub(crate) known: HashSet<String>,
}

impl Ids {
    pub(crate) fn new(ordered: Vec<String>) -> Self {
        Self {
            known: ordered.iter().cloned().collect(),
            ordered,
        }
    }
}

/// One word of an expression.
#[derive(Clone, Debug)]
enum Word {
    And,
    Or,
    Not,
    Open,
    Close,
    Term(usize),
}

/// A parsed expression; terms are indices into [`Compound::terms`].
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Term(usize),
    Not(Box<Self>),
    /// Two or more, in order.
    And(Vec<Self>),
    /// Two or more, in order.
    Or(Vec<Self>),
    /// `( )`.
    Empty,
    /// Something that Python takes for a function call and fails on.
    Broken,
}

/// An expression with its nodegroups expanded, in both readings.
#[derive(Clone, Debug)]
pub(crate) struct Compound {
    pub(crate) terms: Vec<Term>,
    /// `not` stands directly before these terms.
    pub(crate) negated: Vec<bool>,
    /// As minions read it; `None` where they find it malformed.
    pub(crate) minion: Option<Tree>,
    /// As masters read it: a missing `)` at the end is supplied.
    pub(crate) master: Option<Tree>,
}

/// How deep parentheses may nest, which is Python's own limit.
const MAX_NESTING: usize = 100;
/// The most words, after nodegroups are expanded.
const MAX_WORDS: usize = 10_000;

/// How terms are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) release: Release,
    /// `I@` and `J@` compare for equality.
    pub(crate) pillar_exact: bool,
}

/// The words of an expression: of text, what white space separates; of a list,
/// its elements.
pub(crate) fn words(expression: &Value) -> Result<Vec<String>, TargetError> {
    let words: Vec<String> = match expression {
        Value::Str(text) => split(text),
        Value::List(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or(TargetError::Type)?,
        _ => return Err(TargetError::Type),
    };
    if words.len() > MAX_WORDS {
        return Err(TargetError::TooLarge);
    }
    Ok(words)
}

fn split(text: &str) -> Vec<String> {
    // Python's str.split() also splits at the four information separators.
    text.split(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether any word names a nodegroup.
pub(crate) fn has_nodegroups(words: &[String]) -> bool {
    words.iter().any(|word| nodegroup_of(word).is_some())
}

fn nodegroup_of(word: &str) -> Option<&str> {
    word.strip_prefix("N@").filter(|group| !group.is_empty())
}

fn is_operator(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "(" | ")")
}

/// The words a nodegroup stands for.
pub(crate) fn nodegroup(name: &str, groups: &Map) -> Result<Vec<String>, TargetError> {
    let mut out = Vec::new();
    expand(name, groups, &mut Vec::new(), true, &mut out)?;
    Ok(out)
}

/// An expression with its nodegroups written out.
pub(crate) fn write_out(expression: &str, groups: &Map) -> Result<String, TargetError> {
    let words = words(&expression.into())?;
    let mut out = Vec::with_capacity(words.len());
    for word in words {
        match nodegroup_of(&word) {
            Some(name) if groups.contains_key(name) => {
                expand(name, groups, &mut Vec::new(), true, &mut out)?;
            }
            Some(name) => return Err(TargetError::UnknownNodegroup(name.to_owned())),
            None => out.push(word),
        }
    }
    Ok(out.join(" "))
}

fn expand<'a>(
    name: &'a str,
    groups: &'a Map,
    path: &mut Vec<&'a str>,
    outermost: bool,
    out: &mut Vec<String>,
) -> Result<(), TargetError> {
    if path.contains(&name) {
        return Ok(());
    }
    let owned;
    let definition: Vec<&str> = match groups.get(name) {
        Some(Value::Str(text)) => {
            owned = split(text);
            owned.iter().map(String::as_str).collect()
        }
        Some(Value::List(items)) => items
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or(TargetError::Type)?,
        _ => return Ok(()),
    };
    if path.len() >= MAX_NESTING || out.len() + definition.len() > MAX_WORDS {
        return Err(TargetError::TooLarge);
    }
    if !definition
        .iter()
        .any(|word| is_operator(word) || word.contains(['@', '*']))
    {
        let is_expression = definition
            .iter()
            .any(|word| word.contains(['(', '[', '{', '\\', '?', '}', ']', ')']));
        let engine = if is_expression { 'E' } else { 'L' };
        out.push(format!("{engine}@{}", definition.join(",")));
        return Ok(());
    }
    let start = out.len();
    let mut has_groups = false;
    out.push("(".to_owned());
    path.push(name);
    for word in definition {
        match nodegroup_of(word) {
            Some(inner) => {
                has_groups = true;
                // The key instead of the word, because it lives as long as the path.
                if let Some((Value::Str(inner), _)) =
                    groups.iter().find(|(key, _)| key.as_str() == Some(inner))
                {
                    expand(inner, groups, path, false, out)?;
                }
            }
            None => out.push(word.to_owned()),
        }
    }
    path.pop();
    if out.len() == start + 1 {
        out.pop();
    } else if outermost && !has_groups {
        out.remove(start);
    } else {
        out.push(")".to_owned());
    }
    if out.len() > MAX_WORDS {
        return Err(TargetError::TooLarge);
    }
    Ok(())
}

impl Compound {
    /// Compiles words, with the groups that `N@` may name.
    ///
    /// # Errors
    ///
    /// If neither minions nor masters can match anything with it.
    pub(crate) fn new(words: &[String], groups: &Map, rules: Rules) -> Result<Self, TargetError> {
        let mut expanded = Vec::with_capacity(words.len());
        for word in words {
            match nodegroup_of(word) {
                // Without parentheses: `not N@group` negates the group's first term.
                Some(name) => expand(name, groups, &mut Vec::new(), true, &mut expanded)?,
                None => expanded.push(word.clone()),
            }
        }
        let mut terms = Vec::new();
        let mut negated = Vec::new();
        let mut tokens = Vec::with_capacity(expanded.len());
        for word in &expanded {
            let token = match word.as_str() {
                "and" => Word::And,
                "or" => Word::Or,
                "(" => Word::Open,
                ")" => Word::Close,
                "not" => {
                    if matches!(tokens.last(), Some(Word::Term(_) | Word::Close)) {
                        tokens.push(Word::And);
                    }
                    Word::Not
                }
                term => {
                    negated.push(matches!(tokens.last(), Some(Word::Not)));
                    terms.push(Term::new(term, rules)?);
                    Word::Term(terms.len() - 1)
                }
            };
            tokens.push(token);
        }
        let minion = parse(&tokens, false);
        let master = parse(&tokens, true);
        if minion.is_none() && master.is_none() {
            return Err(TargetError::Syntax);
        }
        Ok(Self {
            terms,
            negated,
            minion,
            master,
        })
    }
}

impl Term {
    fn new(word: &str, rules: Rules) -> Result<Self, TargetError> {
        let Some((engine, delimiter, pattern)) = engine_of(word, rules.release) else {
            return Ok(Self::Glob(Glob::new(word)));
        };
        let pillar = |comparison| {
            let comparison = if rules.pillar_exact {
                Comparison::Exact
            } else {
                comparison
            };
            Expression::new(pattern, delimiter, comparison).map(Self::Pillar)
        };
        Ok(match engine {
            'G' => Self::Grain(Expression::new(pattern, delimiter, Comparison::Glob)?),
            'P' => Self::Grain(Expression::new(pattern, delimiter, Comparison::Regex)?),
            'I' => pillar(Comparison::Glob)?,
            'J' => pillar(Comparison::Regex)?,
            'L' => Self::List(Ids::new(list_of(pattern))),
            'S' => Subnet::new(pattern).map_or(Self::Never, Self::Subnet),
            'E' => Self::Regex(Pattern::new(pattern)?),
            'R' => return Err(TargetError::Range),
            'M' => Self::Id(pattern.to_owned()),
            _ => Self::Never,
        })
    }
}

/// The ids of a comma-separated list, untrimmed, without empty ones.
pub(crate) fn list_of(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Splits `X@pattern`, with one optional delimiter after `G`, `P`, `I` and `J`.
fn engine_of(word: &str, release: Release) -> Option<(char, &str, &str)> {
    let mut chars = word.chars();
    let engine = chars.next()?;
    let known = match engine {
        'G' | 'P' | 'I' | 'J' | 'L' | 'N' | 'S' | 'E' | 'R' => true,
        'T' | 'M' => release >= Release::V3008,
        _ => false,
    };
    if !known || word.contains('\n') {
        return None;
    }
    let rest = chars.as_str();
    if matches!(engine, 'G' | 'P' | 'I' | 'J') {
        let mut after = rest.chars();
        if let Some(delimiter) = after.next()
            && let Some(pattern) = after.as_str().strip_prefix('@')
            && !pattern.is_empty()
        {
            return Some((engine, rest.get(..delimiter.len_utf8())?, pattern));
        }
    }
    let pattern = rest.strip_prefix('@')?;
    (!pattern.is_empty()).then_some((engine, ":", pattern))
}

/// Parses as Python parses the expression Salt builds: `not` over `and` over `or`.
fn parse(tokens: &[Word], close_at_end: bool) -> Option<Tree> {
    let mut parser = Parser {
        tokens,
        at: 0,
        close_at_end,
        nesting: 0,
    };
    let tree = parser.or()?;
    (parser.at >= tokens.len()).then_some(tree)
}

struct Parser<'a> {
    tokens: &'a [Word],
    at: usize,
    close_at_end: bool,
    nesting: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Option<Tree> {
        let mut trees = vec![self.and()?];
        while matches!(self.tokens.get(self.at), Some(Word::Or)) {
            self.at += 1;
            trees.push(self.and()?);
        }
        if trees.len() == 1 {
            trees.pop()
        } else {
            Some(Tree::Or(trees))
        }
    }

    fn and(&mut self) -> Option<Tree> {
        let mut trees = vec![self.not()?];
        while matches!(self.tokens.get(self.at), Some(Word::And)) {
            self.at += 1;
            trees.push(self.not()?);
        }
        if trees.len() == 1 {
            trees.pop()
        } else {
            Some(Tree::And(trees))
        }
    }

    fn not(&mut self) -> Option<Tree> {
        if !matches!(self.tokens.get(self.at), Some(Word::Not)) {
            return self.operand();
        }
        self.at += 1;
        // `not not` is no expression here: Salt puts an `and` between them.
        Some(Tree::Not(Box::new(self.operand()?)))
    }

    fn operand(&mut self) -> Option<Tree> {
        let mut tree = match self.tokens.get(self.at)? {
            Word::Term(index) => {
                self.at += 1;
                Tree::Term(*index)
            }
            Word::Open => self.parenthesis()?,
            _ => return None,
        };
        // An opening parenthesis behind a value is a call to Python.
        while matches!(self.tokens.get(self.at), Some(Word::Open)) {
            self.parenthesis()?;
            tree = Tree::Broken;
        }
        Some(tree)
    }

    fn parenthesis(&mut self) -> Option<Tree> {
        self.at += 1;
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return None;
        }
        let tree = match self.tokens.get(self.at) {
            Some(Word::Close) => Tree::Empty,
            None if self.close_at_end => Tree::Empty,
            _ => self.or()?,
        };
        self.nesting -= 1;
        match self.tokens.get(self.at) {
            Some(Word::Close) => self.at += 1,
            None if self.close_at_end => {}
            _ => return None,
        }
        Some(tree)
    }
}

/// What is wrong with an expression whose evaluation stops half-way.
pub(crate) struct Stopped;

impl Tree {
    /// Evaluates as Python does: from left to right, no further than necessary.
    pub(crate) fn evaluate(&self, holds: &dyn Fn(usize) -> bool) -> Result<bool, Stopped> {
        match self {
            Self::Term(index) => Ok(holds(*index)),
            Self::Not(tree) => tree.evaluate(holds).map(|value| !value),
            Self::And(trees) => {
                for tree in trees {
                    if !tree.evaluate(holds)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(trees) => {
                for tree in trees {
                    if tree.evaluate(holds)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Empty => Ok(false),
            Self::Broken => Err(Stopped),
        }
    }

    /// Whether some part of it makes a master, which evaluates all parts, stop.
    pub(crate) fn stops_a_master(&self) -> bool {
        match self {
            Self::Term(_) => false,
            Self::Not(tree) => tree.stops_a_master(),
            Self::And(trees) | Self::Or(trees) => trees.iter().any(Self::stops_a_master),
            Self::Empty | Self::Broken => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What Salt 3008.3's command line published for these groups.
    #[test]
    fn nodegroups_are_written_out_as_salts_command_line_does() {
        let list = |words: &[&str]| words.iter().copied().collect::<Value>();
        let groups = Map::from([
            ("g1", Value::from("web1,web2")),
            ("g2", "L@web1 or N@g1".into()),
            ("g3", list(&["web1", "web2"])),
            ("g4", list(&["web*", "and", "not", "web3"])),
            ("g5", "web1 or web2".into()),
            ("g6", "N@g5 and N@g1".into()),
        ]);
        for (expression, expected) in [
            ("N@g1", "L@web1,web2"),
            ("N@g2", "( L@web1 or L@web1,web2 )"),
            ("N@g3", "L@web1,web2"),
            ("N@g4", "web* and not web3"),
            ("N@g5", "web1 or web2"),
            ("N@g6", "( ( web1 or web2 ) and L@web1,web2 )"),
            ("N@g5 and not web1", "web1 or web2 and not web1"),
            ("web*  and web1", "web* and web1"),
        ] {
            assert_eq!(
                write_out(expression, &groups).as_deref(),
                Ok(expected),
                "{expression}"
            );
        }
        assert_eq!(
            write_out("web* and N@nope", &groups),
            Err(TargetError::UnknownNodegroup("nope".to_owned()))
        );
    }
}
