//! Template text to tokens.

use num_bigint::BigInt;

use super::{Error, Kind, Options, Result, Value};

mod escape;

/// A token and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Tok,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok {
    /// Text outside of tags.
    Data(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(Value),
    Float(f64),
    /// An operator or bracket, by its text.
    Op(&'static str),
    Eof,
}

impl Tok {
    /// How Jinja names the token in messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Data(_) => "template data / text".to_owned(),
            Self::VariableBegin => "begin of print statement".to_owned(),
            Self::VariableEnd => "end of print statement".to_owned(),
            Self::BlockBegin => "begin of statement block".to_owned(),
            Self::BlockEnd => "end of statement block".to_owned(),
            Self::Name(name) => name.clone(),
            Self::Str(_) => "string".to_owned(),
            Self::Int(_) => "integer".to_owned(),
            Self::Float(_) => "float".to_owned(),
            Self::Op(op) => (*op).to_owned(),
            Self::Eof => "end of template".to_owned(),
        }
    }
}

/// Longest first, so that the first prefix is the token.
const OPERATORS: [&str; 24] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|",
];
const PUNCTUATION: [&str; 2] = [",", ";"];

/// What Python's `\s` and `str.isspace` accept.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Newlines to `\n`, and the last one removed unless it is kept.
pub(crate) fn normalize(text: &str, options: &Options) -> String {
    let mut out = if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.to_owned()
    };
    if !options.keep_trailing_newline && out.ends_with('\n') {
        out.pop();
    }
    out
}

/// Splits a normalised template into tokens; the last is [`Tok::Eof`].
///
/// The tokens before a mistake come with it: a mistake of the grammar among them is the one that
/// Jinja reports, since it reads tokens as it needs them.
pub(crate) fn tokenize(source: &str, options: &Options) -> (Vec<Token>, Option<Error>) {
    let mut lexer = Lexer {
        source,
        options,
        at: 0,
        line: 1,
        column: 1,
        tokens: Vec::new(),
        line_starting: true,
        next_tag: NextTag::default(),
    };
    let mistake = lexer.run().err();
    lexer.push_here(Tok::Eof);
    (lexer.tokens, mistake)
}

struct Lexer<'a> {
    source: &'a str,
    options: &'a Options,
    at: usize,
    line: u32,
    column: u32,
    tokens: Vec<Token>,
    /// Whether the current position begins a line, seen from the last tag's end.
    line_starting: bool,
    next_tag: NextTag,
}

/// Where the next delimiter of each sort was found last; looked up again when passed.
#[derive(Default)]
struct NextTag {
    block: Option<usize>,
    variable: Option<usize>,
    comment: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Block,
    Variable,
    Comment,
    LineStatement,
    LineComment,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Block,
    Variable,
    Line,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(Kind::Syntax, message).at(self.line, self.column)
    }

    fn push_here(&mut self, kind: Tok) {
        self.tokens.push(Token {
            kind,
            line: self.line,
            column: self.column,
        });
    }

    /// Moves forward, counting lines and columns.
    fn advance(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.source.len());
        for c in self.source.get(self.at..end).unwrap_or("").chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at = end;
    }

    fn run(&mut self) -> Result<()> {
        while self.at < self.source.len() {
            let Some((start, tag, length)) = self.find_tag() else {
                let rest = self.rest();
                self.data(rest);
                self.advance(rest.len());
                break;
            };
            self.before_tag(start, tag, length);
            match tag {
                Tag::Comment => self.comment()?,
                Tag::LineComment => {
                    let end = self.rest().find('\n').unwrap_or_else(|| self.rest().len());
                    self.advance(end);
                    self.line_starting = false;
                }
                Tag::Variable => {
                    self.push_tag(Tok::VariableBegin, length);
                    self.expression(End::Variable)?;
                }
                Tag::LineStatement => {
                    self.push_tag(Tok::BlockBegin, length);
                    self.expression(End::Line)?;
                }
                Tag::Block => match self.raw_begin() {
                    Some(length) => {
                        self.advance(length);
                        self.raw()?;
                    }
                    None => {
                        self.push_tag(Tok::BlockBegin, length);
                        self.expression(End::Block)?;
                    }
                },
            }
        }
        Ok(())
    }

    fn push_tag(&mut self, kind: Tok, length: usize) {
        self.push_here(kind);
        self.advance(length);
    }

    fn data(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let newline = self.options.newline_sequence.as_str();
        let text = if newline == "\n" {
            text.to_owned()
        } else {
            text.replace('\n', newline)
        };
        self.push_here(Tok::Data(text));
    }

    /// Emits the data before a tag, with the whitespace control the tag asks
    /// for, and moves to the tag.
    fn before_tag(&mut self, start: usize, tag: Tag, length: usize) {
        let text = self.source.get(self.at..start).unwrap_or("");
        let tag_text = self.source.get(start..start + length).unwrap_or("");
        let signed = tag != Tag::LineStatement && tag != Tag::LineComment;
        let sign = if signed {
            tag_text.chars().last()
        } else {
            None
        };
        let kept = match sign {
            Some('-') => text.trim_end_matches(is_space),
            Some('+') => text,
            _ if self.options.lstrip_blocks && tag != Tag::Variable => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let blank = text.get(line..).unwrap_or("");
                let begins = line > 0 || self.line_starting;
                if begins && blank.chars().all(is_space) {
                    text.get(..line).unwrap_or("")
                } else {
                    text
                }
            }
            _ => text,
        };
        self.data(kept);
        self.advance(text.len());
    }

    /// The next tag: where it starts, which, and the length of its opening.
    fn find_tag(&mut self) -> Option<(usize, Tag, usize)> {
        let options = self.options;
        let (source, at) = (self.source, self.at);
        let find = |cache: &mut Option<usize>, delimiter: &str| -> usize {
            match *cache {
                Some(found) if found >= at => found,
                _ => {
                    let found = source.get(at..).and_then(|rest| rest.find(delimiter));
                    let found = found.map_or(usize::MAX, |offset| at + offset);
                    *cache = Some(found);
                    found
                }
            }
        };
        let mut tags = vec![
            (
                find(&mut self.next_tag.comment, &options.comment_start),
                Tag::Comment,
                options.comment_start.len(),
            ),
            (
                find(&mut self.next_tag.block, &options.block_start),
                Tag::Block,
                options.block_start.len(),
            ),
            (
                find(&mut self.next_tag.variable, &options.variable_start),
                Tag::Variable,
                options.variable_start.len(),
            ),
        ];
        if let Some(prefix) = &options.line_statement_prefix
            && let Some((start, length)) = self.find_line_statement(prefix)
        {
            tags.push((start, Tag::LineStatement, length));
        }
        if let Some(prefix) = &options.line_comment_prefix
            && let Some((start, length)) = self.find_line_comment(prefix)
        {
            tags.push((start, Tag::LineComment, length));
        }
        // At the same place the longest delimiter wins.
        let (start, tag, length) = tags
            .into_iter()
            .filter(|(start, ..)| *start != usize::MAX)
            .min_by_key(|(start, _, length)| (*start, usize::MAX - length))?;
        let signed = matches!(tag, Tag::Comment | Tag::Block | Tag::Variable);
        let sign = source.get(start + length..).and_then(|s| s.chars().next());
        let sign = signed && matches!(sign, Some('-' | '+'));
        Some((start, tag, length + usize::from(sign)))
    }

    fn find_line_statement(&self, prefix: &str) -> Option<(usize, usize)> {
        let mut start = self.at;
        if start > 0 && !self.source.get(..start)?.ends_with('\n') {
            start += self.rest().find('\n')? + 1;
        }
        loop {
            let line = self.source.get(start..)?;
            let text = line.trim_start_matches([' ', '\t', '\u{b}']);
            if text.starts_with(prefix) {
                return Some((start, line.len() - text.len() + prefix.len()));
            }
            start += line.find('\n')? + 1;
        }
    }

    fn find_line_comment(&self, prefix: &str) -> Option<(usize, usize)> {
        let mut from = self.at;
        loop {
            let found = from + self.source.get(from..)?.find(prefix)?;
            let before = self.source.get(..found)?;
            let blank = |c: char| is_space(c) && c != '\n' && c != '\r';
            let start = before.trim_end_matches(blank).len();
            if start >= self.at {
                return Some((start, found + prefix.len() - start));
            }
            from = found + prefix.len();
        }
    }

    /// Whether `text` begins with the end of a tag: its length with the
    /// whitespace it takes along.
    fn tag_end(&self, text: &str, delimiter: &str, trims: bool, plus: bool) -> Option<usize> {
        if let Some(rest) = text.strip_prefix('-')
            && let Some(rest) = rest.strip_prefix(delimiter)
        {
            let blank = rest.len() - rest.trim_start_matches(is_space).len();
            return Some(1 + delimiter.len() + blank);
        }
        if plus
            && let Some(rest) = text.strip_prefix('+')
            && rest.starts_with(delimiter)
        {
            return Some(1 + delimiter.len());
        }
        let rest = text.strip_prefix(delimiter)?;
        let newline = trims && self.options.trim_blocks && rest.starts_with('\n');
        Some(delimiter.len() + usize::from(newline))
    }

    fn leave_tag(&mut self, length: usize) {
        let text = self.rest().get(..length).unwrap_or("");
        self.line_starting = text.ends_with('\n');
        self.advance(length);
    }

    fn comment(&mut self) -> Result<()> {
        let (line, column) = (self.line, self.column);
        let opening = self.options.comment_start.len();
        self.advance(opening);
        if matches!(self.rest(), "" | "-" | "+") {
            // Jinja does not mind a comment that only begins.
            let rest = self.rest().len();
            self.advance(rest);
            return Ok(());
        }
        let end = self.options.comment_end.as_str();
        let mut from = 0;
        loop {
            let rest = self.rest();
            let Some(found) = rest.get(from..).and_then(|text| text.find(end)) else {
                let error = Error::new(Kind::Syntax, "Missing end of comment tag");
                return Err(error.at(line, column));
            };
            let found = from + found;
            // The sign before the end belongs to the end.
            let sign = rest.get(..found).and_then(|text| text.chars().last());
            let begin = found - usize::from(matches!(sign, Some('-' | '+')));
            let tail = rest.get(begin..).unwrap_or("");
            if let Some(length) = self.tag_end(tail, end, true, true) {
                self.advance(begin);
                self.leave_tag(length);
                return Ok(());
            }
            from = found + end.len();
        }
    }

    /// The length of `{% raw %}` here, if that is what is here.
    fn raw_begin(&self) -> Option<usize> {
        let text = self
            .rest()
            .strip_prefix(self.options.block_start.as_str())?;
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        let text = text.trim_start_matches(is_space).strip_prefix("raw")?;
        let text = text.trim_start_matches(is_space);
        let end = self.options.block_end.as_str();
        let length = match text.strip_prefix('-').and_then(|t| t.strip_prefix(end)) {
            Some(rest) => rest.trim_start_matches(is_space),
            None => text.strip_prefix(end)?,
        };
        Some(self.rest().len() - length.len())
    }

    fn raw(&mut self) -> Result<()> {
        if self.rest().is_empty() {
            return Ok(());
        }
        let start = self.options.block_start.as_str();
        let mut from = 0;
        loop {
            let rest = self.rest();
            let Some(found) = rest.get(from..).and_then(|text| text.find(start)) else {
                return Err(self.error("Missing end of raw directive"));
            };
            let found = from + found;
            let inner = rest.get(found + start.len()..).unwrap_or("");
            let sign = inner.chars().next().filter(|c| matches!(c, '-' | '+'));
            let text = if sign.is_some() {
                inner.get(1..).unwrap_or("")
            } else {
                inner
            };
            let tail = text
                .trim_start_matches(is_space)
                .strip_prefix("endraw")
                .map(|text| text.trim_start_matches(is_space));
            let end = self.options.block_end.as_str();
            let length = tail.and_then(|tail| Some((tail, self.tag_end(tail, end, true, true)?)));
            let Some((tail, length)) = length else {
                from = found + start.len();
                continue;
            };
            let tag = rest.len() - found - tail.len();
            let opening = start.len() + usize::from(sign.is_some());
            let at = self.at + found;
            self.line_starting = false;
            self.before_tag(at, Tag::Block, opening);
            self.advance(tag);
            self.leave_tag(length);
            return Ok(());
        }
    }

    /// Tokens up to the end of the tag.
    fn expression(&mut self, end: End) -> Result<()> {
        let mut open: Vec<&'static str> = Vec::new();
        while self.at < self.source.len() {
            let rest = self.rest();
            if open.is_empty()
                && let Some(length) = self.expression_end(rest, end)
            {
                self.push_here(match end {
                    End::Variable => Tok::VariableEnd,
                    End::Block | End::Line => Tok::BlockEnd,
                });
                self.leave_tag(length);
                return Ok(());
            }
            let Some(first) = rest.chars().next() else {
                break;
            };
            if is_space(first) {
                let length = rest.len() - rest.trim_start_matches(is_space).len();
                self.advance(length);
                continue;
            }
            if first.is_ascii_digit()
                && let Some((kind, length)) = self.number(rest)?
            {
                self.push_tag(kind, length);
                continue;
            }
            if first == '_' || first.is_alphanumeric() {
                let word = |c: char| c == '_' || c.is_alphanumeric();
                let length = rest.len() - rest.trim_start_matches(word).len();
                let name = rest.get(..length).unwrap_or("");
                if first.is_numeric() {
                    return Err(self.error("Invalid character in identifier"));
                }
                self.push_tag(Tok::Name(name.to_owned()), length);
                continue;
            }
            if matches!(first, '\'' | '"')
                && let Some(length) = string_length(rest, first)
            {
                let raw = rest.get(1..length - 1).unwrap_or("");
                let text = escape::unescape(raw, &self.options.newline_sequence);
                let text = text.map_err(|message| self.error(message))?;
                self.push_tag(Tok::Str(text), length);
                continue;
            }
            self.operator(rest, &mut open)?;
        }
        // An unfinished line statement ends with the template.
        if end == End::Line {
            self.push_here(Tok::BlockEnd);
        }
        Ok(())
    }

    fn expression_end(&self, rest: &str, end: End) -> Option<usize> {
        match end {
            End::Variable => self.tag_end(rest, &self.options.variable_end, false, false),
            End::Block => self.tag_end(rest, &self.options.block_end, true, true),
            End::Line => {
                let blank = rest.len() - rest.trim_start_matches(is_space).len();
                let skipped = rest.get(..blank)?;
                if blank == rest.len() {
                    return Some(blank);
                }
                // Whitespace up to and including the last newline of the run.
                skipped.rfind('\n').map(|at| at + 1)
            }
        }
    }

    fn operator(&mut self, rest: &str, open: &mut Vec<&'static str>) -> Result<()> {
        let mut all = OPERATORS.iter().chain(&PUNCTUATION);
        let Some(op) = all.find(|op| rest.starts_with(**op)).copied() else {
            let c = rest.chars().next().unwrap_or(' ');
            let at = self.source.get(..self.at).unwrap_or("").chars().count();
            let c = super::value::repr_str(&c.to_string());
            return Err(self.error(format!("unexpected char {c} at {at}")));
        };
        match op {
            "{" => open.push("}"),
            "(" => open.push(")"),
            "[" => open.push("]"),
            "}" | ")" | "]" => match open.pop() {
                None => return Err(self.error(format!("unexpected '{op}'"))),
                Some(expected) if expected != op => {
                    return Err(self.error(format!("unexpected '{op}', expected '{expected}'")));
                }
                Some(_) => {}
            },
            _ => {}
        }
        self.push_tag(Tok::Op(op), op.len());
        Ok(())
    }

    /// A float or integer at the start of the text.
    fn number(&self, rest: &str) -> Result<Option<(Tok, usize)>> {
        let after_dot = self.source.get(..self.at).unwrap_or("").ends_with('.');
        if !after_dot && let Some(length) = float_length(rest) {
            let text: String = rest.get(..length).unwrap_or("").replace('_', "");
            return Ok(Some((
                Tok::Float(text.parse().unwrap_or(f64::INFINITY)),
                length,
            )));
        }
        let Some((radix, prefix, length)) = integer_length(rest) else {
            return Ok(None);
        };
        let digits = rest.get(prefix..length).unwrap_or("").replace('_', "");
        if radix == 10 && digits.len() > 4300 {
            return Err(self.error("Exceeds the limit (4300 digits) for integer string conversion"));
        }
        let n = BigInt::parse_bytes(digits.as_bytes(), radix).unwrap_or_default();
        Ok(Some((Tok::Int(Value::int(n)), length)))
    }
}

/// The length of a quoted string with its quotes, if it ends.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next()?;
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}

/// The length of `(\d+_)*\d+` at the start.
fn digits_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = 0;
    while let Some(byte) = bytes.get(end) {
        let joined = *byte == b'_'
            && end > 0
            && bytes.get(end - 1).is_some_and(u8::is_ascii_digit)
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !byte.is_ascii_digit() && !joined {
            break;
        }
        end += 1;
    }
    (end > 0).then_some(end)
}

fn float_length(text: &str) -> Option<usize> {
    let whole = digits_length(text)?;
    let mut end = whole;
    let fraction = text
        .get(end..)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(digits_length);
    if let Some(length) = fraction {
        end += 1 + length;
    }
    let exponent = text
        .get(end..)
        .and_then(|rest| rest.strip_prefix(['e', 'E']))
        .and_then(|rest| {
            let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            Some(1 + rest.len() - digits.len() + digits_length(digits)?)
        });
    if let Some(length) = exponent {
        end += length;
    }
    (fraction.is_some() || exponent.is_some()).then_some(end)
}

/// Radix, length of the prefix and length of an integer at the start.
fn integer_length(text: &str) -> Option<(u32, usize, usize)> {
    let run = |from: usize, radix: u32| -> usize {
        let bytes = text.as_bytes();
        let digit = |at: usize| {
            bytes
                .get(at)
                .is_some_and(|b| char::from(*b).is_digit(radix))
        };
        let mut end = from;
        loop {
            let skip = usize::from(bytes.get(end) == Some(&b'_'));
            if !digit(end + skip) {
                return end;
            }
            end += skip + 1;
        }
    };
    let lower = text.get(..2).map(str::to_ascii_lowercase);
    let radix = match lower.as_deref() {
        Some("0b") => 2,
        Some("0o") => 8,
        Some("0x") => 16,
        _ => 10,
    };
    if radix != 10 {
        let end = run(2, radix);
        if end > 2 {
            return Some((radix, 2, end));
        }
    }
    if text.starts_with('0') {
        // Zeros only: `012` is the integer 0 followed by 12.
        let bytes = text.as_bytes();
        let mut end = 1;
        loop {
            let skip = usize::from(bytes.get(end) == Some(&b'_'));
            if bytes.get(end + skip) != Some(&b'0') {
                return Some((10, 0, end));
            }
            end += skip + 1;
        }
    }
    let first = text.as_bytes().first()?;
    first.is_ascii_digit().then(|| (10, 0, run(1, 10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Tok> {
        let (tokens, _) = tokenize(text, &Options::default());
        tokens.into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn numbers_split_as_in_python() {
        let numbers = kinds("{{ 1_000 1.5e3 0x_ff 012 1.x }}");
        assert_eq!(
            numbers[1..8],
            [
                Tok::Int(Value::Int(1000)),
                Tok::Float(1500.0),
                Tok::Int(Value::Int(255)),
                Tok::Int(Value::Int(0)),
                Tok::Int(Value::Int(12)),
                Tok::Int(Value::Int(1)),
                Tok::Op("."),
            ]
        );
    }

    #[test]
    fn minus_signs_take_whitespace_and_positions_stay_true() {
        let (tokens, _) = tokenize("a \n {%- x -%}\n b", &Options::default());
        let data: Vec<_> = tokens
            .iter()
            .filter(|token| matches!(token.kind, Tok::Data(_)))
            .map(|token| (token.line, token.column))
            .collect();

        assert_eq!(data, [(1, 1), (3, 2)]);
    }
}
