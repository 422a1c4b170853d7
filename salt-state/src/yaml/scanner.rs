//! Text to tokens, as libyaml 0.2.5 cuts them.
//!
//! The existing parsers either panic on some inputs (a tag before a comma in a
//! flow collection, a block scalar at the end of input) or word their errors
//! differently from the library behind Salt's loader, and those texts are part
//! of what a compile returns. So the tokens are cut here, over bytes, without
//! any index that could be out of range.

mod scalars;
mod tags;

use std::collections::VecDeque;

use super::error::{Error, Kind, Mark};

/// One token with its place.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) data: TokenData,
    pub(super) start: Mark,
    pub(super) end: Mark,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenData {
    StreamEnd,
    VersionDirective(u32, u32),
    TagDirective(String, String),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    Tag(String, String),
    Scalar(String, Style),
}

/// A place where a key without `?` may have begun.
#[derive(Debug, Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token_number: usize,
    mark: Mark,
}

/// A key without `?` must end within this many bytes of its start.
const SIMPLE_KEY_BYTES: usize = 1024;

/// How deep flow collections may nest; the parser's own limit is lower, this
/// one bounds the look-ahead.
const FLOW_DEPTH: usize = 10_000;

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    mark: Mark,
    tokens: VecDeque<Token>,
    taken: usize,
    /// Whether nothing that is still to be read can come before the first token.
    ready: bool,
    started: bool,
    ended: bool,
    flow_level: usize,
    indents: Vec<i64>,
    indent: i64,
    simple_key_allowed: bool,
    simple_keys: Vec<SimpleKey>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            ready: false,
            started: false,
            ended: false,
            flow_level: 0,
            indents: Vec::new(),
            indent: -1,
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
        }
    }

    /// The next token without taking it.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<&Token, Error> {
        let mark = self.mark;
        if !self.ready {
            self.make_ready()?;
        }
        self.tokens
            .front()
            .ok_or_else(|| Error::plain(Kind::Scanner, "unexpected end of stream", mark))
    }

    fn make_ready(&mut self) -> Result<(), Error> {
        self.fetch_more()?;
        let mark = self.mark;
        if self.tokens.is_empty() {
            self.tokens.push_back(Token {
                data: TokenData::StreamEnd,
                start: mark,
                end: mark,
            });
        }
        self.ready = true;
        Ok(())
    }

    /// Takes the token that [`Self::peek`] showed.
    pub(super) fn take(&mut self) -> Result<Token, Error> {
        self.peek()?;
        let mark = self.mark;
        self.taken += 1;
        self.ready = false;
        self.tokens
            .pop_front()
            .ok_or_else(|| Error::plain(Kind::Scanner, "unexpected end of stream", mark))
    }

    // ---- characters -------------------------------------------------------

    /// The byte `ahead` of the current one; zero, which no input contains, at the end.
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes
            .get(self.mark.index + ahead)
            .copied()
            .unwrap_or(0)
    }

    fn at_end(&self) -> bool {
        self.mark.index >= self.bytes.len()
    }

    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    fn is_break(&self, ahead: usize) -> bool {
        match self.byte(ahead) {
            b'\n' | b'\r' => true,
            0xC2 => self.byte(ahead + 1) == 0x85,
            0xE2 => self.byte(ahead + 1) == 0x80 && matches!(self.byte(ahead + 2), 0xA8 | 0xA9),
            _ => false,
        }
    }

    fn is_break_or_end(&self, ahead: usize) -> bool {
        self.mark.index + ahead >= self.bytes.len() || self.is_break(ahead)
    }

    fn is_space_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }

    fn char_width(&self) -> usize {
        match self.byte(0) {
            0x00..=0x7F => 1,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            _ => 4,
        }
    }

    /// Steps over one character that is not a break.
    fn skip(&mut self) {
        if !self.at_end() {
            self.mark.index += self.char_width();
            self.mark.column += 1;
        }
    }

    fn skip_n(&mut self, n: usize) {
        for _ in 0..n {
            self.skip();
        }
    }

    /// Steps over the characters of one byte that are `plain`, none of which may be a break.
    fn skip_while(&mut self, plain: impl Fn(u8) -> bool) {
        let rest = self.bytes.get(self.mark.index..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| plain(**byte)).count();
        self.mark.index += length;
        self.mark.column += length;
    }

    /// Steps over the rest of a line.
    fn skip_rest(&mut self) {
        loop {
            self.skip_while(|byte| matches!(byte, b' '..=b'~' | b'\t'));
            if self.is_break_or_end(0) {
                return;
            }
            self.skip();
        }
    }

    /// Steps over one line break.
    fn skip_line(&mut self) {
        if self.byte(0) == b'\r' && self.byte(1) == b'\n' {
            self.mark.index += 2;
        } else if self.is_break(0) {
            self.mark.index += self.char_width();
        } else {
            return;
        }
        self.mark.column = 0;
        self.mark.line += 1;
    }

    /// Moves one character to `out`.
    fn read(&mut self, out: &mut String) {
        let start = self.mark.index;
        self.skip();
        out.push_str(self.text.get(start..self.mark.index).unwrap_or_default());
    }

    /// Steps over one line break and gives it, normalised; nothing where there is none.
    fn read_break(&mut self) -> &'static str {
        let start = self.mark.index;
        self.skip_line();
        match self.text.get(start..self.mark.index) {
            Some("\u{2028}") => "\u{2028}",
            Some("\u{2029}") => "\u{2029}",
            Some("") | None => "",
            Some(_) => "\n",
        }
    }

    fn error<T>(&self, context: &'static str, start: Mark, problem: &str) -> Result<T, Error> {
        Err(Error::with_context(
            Kind::Scanner,
            context,
            start,
            problem,
            self.mark,
        ))
    }

    // ---- the queue --------------------------------------------------------

    fn fetch_more(&mut self) -> Result<(), Error> {
        loop {
            if !self.tokens.is_empty() {
                self.drop_stale_keys()?;
                let pending = self
                    .simple_keys
                    .iter()
                    .any(|key| key.possible && key.token_number == self.taken);
                if !pending {
                    return Ok(());
                }
            }
            if self.ended {
                return Ok(());
            }
            self.fetch_next()?;
        }
    }

    fn push(&mut self, data: TokenData, start: Mark) {
        let end = self.mark;
        self.tokens.push_back(Token { data, start, end });
    }

    fn fetch_next(&mut self) -> Result<(), Error> {
        if !self.started {
            self.started = true;
            // The stream start is a token in libyaml; simple keys count it.
            self.taken = 1;
        }
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.unroll_indent(self.column());
        if self.at_end() {
            return self.fetch_stream_end();
        }
        let start = self.mark;
        let column_zero = self.mark.column == 0;
        let byte = self.byte(0);
        match byte {
            b'%' if column_zero => return self.fetch_directive(),
            b'-' if column_zero && self.is_document_mark(b'-') => {
                return self.fetch_document_mark(TokenData::DocumentStart);
            }
            b'.' if column_zero && self.is_document_mark(b'.') => {
                return self.fetch_document_mark(TokenData::DocumentEnd);
            }
            b'[' => return self.fetch_flow_start(TokenData::FlowSequenceStart),
            b'{' => return self.fetch_flow_start(TokenData::FlowMappingStart),
            b']' => return self.fetch_flow_end(TokenData::FlowSequenceEnd),
            b'}' => return self.fetch_flow_end(TokenData::FlowMappingEnd),
            b',' => return self.fetch_flow_entry(),
            b'-' if self.is_space_or_end(1) => return self.fetch_block_entry(),
            b'?' if self.flow_level > 0 || self.is_space_or_end(1) => return self.fetch_key(),
            b':' if self.flow_level > 0 || self.is_space_or_end(1) => return self.fetch_value(),
            b'*' => return self.fetch_anchor(true),
            b'&' => return self.fetch_anchor(false),
            b'!' => return self.fetch_tag(),
            b'|' if self.flow_level == 0 => return self.fetch_block_scalar(true),
            b'>' if self.flow_level == 0 => return self.fetch_block_scalar(false),
            b'\'' => return self.fetch_flow_scalar(true),
            b'"' => return self.fetch_flow_scalar(false),
            _ => {}
        }
        let plain = match byte {
            b'-' => !self.is_blank(1),
            b'?' | b':' => self.flow_level == 0 && !self.is_space_or_end(1),
            b' ' | b'\t' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|'
            | b'>' | b'\'' | b'"' | b'%' | b'@' | b'`' => false,
            _ => !self.is_break(0),
        };
        if plain {
            return self.fetch_plain_scalar();
        }
        self.error(
            "while scanning for the next token",
            start,
            "found character that cannot start any token",
        )
    }

    fn is_document_mark(&self, byte: u8) -> bool {
        self.byte(0) == byte
            && self.byte(1) == byte
            && self.byte(2) == byte
            && self.is_space_or_end(3)
    }

    fn column(&self) -> i64 {
        i64::try_from(self.mark.column).unwrap_or(i64::MAX)
    }

    // ---- simple keys and indentation --------------------------------------

    fn drop_stale_keys(&mut self) -> Result<(), Error> {
        let now = self.mark;
        for key in &mut self.simple_keys {
            if key.possible
                && (key.mark.line < now.line || key.mark.index + SIMPLE_KEY_BYTES < now.index)
            {
                if key.required {
                    return Err(Error::with_context(
                        Kind::Scanner,
                        "while scanning a simple key",
                        key.mark,
                        "could not find expected ':'",
                        now,
                    ));
                }
                key.possible = false;
            }
        }
        Ok(())
    }

    fn save_simple_key(&mut self) -> Result<(), Error> {
        let required = self.flow_level == 0 && self.indent == self.column();
        if self.simple_key_allowed {
            self.remove_simple_key()?;
            let key = SimpleKey {
                possible: true,
                required,
                token_number: self.taken + self.tokens.len(),
                mark: self.mark,
            };
            if let Some(last) = self.simple_keys.last_mut() {
                *last = key;
            }
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Result<(), Error> {
        let now = self.mark;
        if let Some(key) = self.simple_keys.last_mut() {
            if key.possible && key.required {
                return Err(Error::with_context(
                    Kind::Scanner,
                    "while scanning a simple key",
                    key.mark,
                    "could not find expected ':'",
                    now,
                ));
            }
            key.possible = false;
        }
        Ok(())
    }

    /// Opens a block collection at `column`; `at` is the token number before
    /// which its start goes, the end of the queue when absent.
    fn roll_indent(&mut self, column: i64, at: Option<usize>, data: TokenData, mark: Mark) {
        if self.flow_level > 0 || self.indent >= column {
            return;
        }
        self.indents.push(self.indent);
        self.indent = column;
        let token = Token {
            data,
            start: mark,
            end: mark,
        };
        match at.and_then(|number| number.checked_sub(self.taken)) {
            Some(position) if position <= self.tokens.len() => self.tokens.insert(position, token),
            _ => self.tokens.push_back(token),
        }
    }

    fn unroll_indent(&mut self, column: i64) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            let mark = self.mark;
            self.push(TokenData::BlockEnd, mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    // ---- one token each ---------------------------------------------------

    fn skip_to_token(&mut self) {
        loop {
            if self.mark.column == 0
                && self.byte(0) == 0xEF
                && self
                    .text
                    .get(self.mark.index..)
                    .is_some_and(|rest| rest.starts_with('\u{feff}'))
            {
                self.skip();
            }
            while self.byte(0) == b' '
                || ((self.flow_level > 0 || !self.simple_key_allowed) && self.byte(0) == b'\t')
            {
                self.skip();
            }
            if self.byte(0) == b'#' {
                self.skip_rest();
            }
            if !self.is_break(0) {
                return;
            }
            self.skip_line();
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn fetch_stream_end(&mut self) -> Result<(), Error> {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.push(TokenData::StreamEnd, mark);
        self.ended = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let token = self.scan_directive()?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn fetch_document_mark(&mut self, data: TokenData) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        self.skip_n(3);
        self.push(data, start);
        Ok(())
    }

    fn fetch_flow_start(&mut self, data: TokenData) -> Result<(), Error> {
        self.save_simple_key()?;
        if self.flow_level >= FLOW_DEPTH {
            return self.error(
                "while scanning a flow collection",
                self.mark,
                "nested too deep",
            );
        }
        self.simple_keys.push(SimpleKey::default());
        self.flow_level += 1;
        self.simple_key_allowed = true;
        self.single(data);
        Ok(())
    }

    fn fetch_flow_end(&mut self, data: TokenData) -> Result<(), Error> {
        self.remove_simple_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        self.single(data);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<(), Error> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.single(TokenData::FlowEntry);
        Ok(())
    }

    fn single(&mut self, data: TokenData) {
        let start = self.mark;
        self.skip();
        self.push(data, start);
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(Error::plain(
                    Kind::Scanner,
                    "block sequence entries are not allowed in this context",
                    self.mark,
                ));
            }
            let (column, mark) = (self.column(), self.mark);
            self.roll_indent(column, None, TokenData::BlockSequenceStart, mark);
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.single(TokenData::BlockEntry);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(Error::plain(
                    Kind::Scanner,
                    "mapping keys are not allowed in this context",
                    self.mark,
                ));
            }
            let (column, mark) = (self.column(), self.mark);
            self.roll_indent(column, None, TokenData::BlockMappingStart, mark);
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.single(TokenData::Key);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        let key = self.simple_keys.last().copied().unwrap_or_default();
        if key.possible {
            let token = Token {
                data: TokenData::Key,
                start: key.mark,
                end: key.mark,
            };
            let position = key
                .token_number
                .saturating_sub(self.taken)
                .min(self.tokens.len());
            self.tokens.insert(position, token);
            let column = i64::try_from(key.mark.column).unwrap_or(i64::MAX);
            self.roll_indent(
                column,
                Some(key.token_number),
                TokenData::BlockMappingStart,
                key.mark,
            );
            if let Some(last) = self.simple_keys.last_mut() {
                last.possible = false;
            }
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return Err(Error::plain(
                        Kind::Scanner,
                        "mapping values are not allowed in this context",
                        self.mark,
                    ));
                }
                let (column, mark) = (self.column(), self.mark);
                self.roll_indent(column, None, TokenData::BlockMappingStart, mark);
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.single(TokenData::Value);
        Ok(())
    }

    fn fetch_anchor(&mut self, alias: bool) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let token = self.scan_anchor(alias)?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn fetch_tag(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let token = self.scan_tag()?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn fetch_block_scalar(&mut self, literal: bool) -> Result<(), Error> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let token = self.scan_block_scalar(literal)?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn fetch_flow_scalar(&mut self, single: bool) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let token = self.scan_flow_scalar(single)?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn fetch_plain_scalar(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let token = self.scan_plain_scalar()?;
        self.tokens.push_back(token);
        Ok(())
    }
}
