//! Where indentation, quotes and line breaks go.

use super::DumpOptions;

/// A scalar with what the representer knows about it.
pub(super) struct Scalar {
    pub(super) text: String,
    /// Whether it reads back as the same type without quotes.
    pub(super) plain: bool,
    /// Whether it asks for the literal block style.
    pub(super) literal: bool,
    pub(super) tag: Option<&'static str>,
}

pub(super) struct Emitter {
    out: String,
    column: usize,
    /// Whether the last thing written was white space.
    whitespace: bool,
    /// Whether only indentation and indicators were written on this line.
    indention: bool,
    indent: Option<usize>,
    indents: Vec<Option<usize>>,
    flow_level: usize,
    step: usize,
    width: usize,
    unicode: bool,
}

/// Which styles a text can be written in.
struct Analysis {
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
    block: bool,
}

pub(super) fn is_break(ch: char) -> bool {
    matches!(ch, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_space_or_end(ch: Option<char>) -> bool {
    ch.is_none_or(|ch| ch == ' ' || ch == '\t' || is_break(ch))
}

/// libyaml's idea of printable, which has no character beyond the basic plane.
fn is_printable(ch: char) -> bool {
    matches!(ch, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn analyze(text: &str, unicode: bool) -> Analysis {
    let mut chars = text.chars().peekable();
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
        return Analysis {
            multiline: false,
            flow_plain: false,
            block_plain: true,
            single_quoted: true,
            block: false,
        };
    };
    let mut flow_indicators = text.starts_with("---") || text.starts_with("...");
    let mut block_indicators = flow_indicators;
    let (mut line_breaks, mut special) = (false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    let mut preceded = true;
    let mut at_start = true;
    while let Some(ch) = chars.next() {
        let followed = is_space_or_end(chars.peek().copied());
        match ch {
            '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if at_start => {
                flow_indicators = true;
                block_indicators = true;
            }
            ',' | '[' | ']' | '{' | '}' => {
                flow_indicators = true;
                block_indicators |= at_start;
            }
            '?' => {
                flow_indicators = true;
                block_indicators |= at_start && followed;
            }
            ':' => {
                flow_indicators = true;
                block_indicators |= followed;
            }
            '-' if at_start && followed => {
                flow_indicators = true;
                block_indicators = true;
            }
            '#' if preceded => {
                flow_indicators = true;
                block_indicators = true;
            }
            _ => {}
        }
        special |= !is_printable(ch) || !ch.is_ascii() && !unicode;
        line_breaks |= is_break(ch);
        if ch == ' ' {
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(ch) {
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        preceded = is_space_or_end(Some(ch));
        at_start = false;
    }
    let edge = |ch: char| ch == ' ' || is_break(ch);
    let all = !(space_break || special);
    let plain = all && !(edge(first) || edge(last) || break_space || line_breaks);
    Analysis {
        multiline: line_breaks,
        flow_plain: plain && !flow_indicators,
        block_plain: plain && !block_indicators,
        single_quoted: all && !break_space,
        block: all && last != ' ',
    }
}

impl Emitter {
    pub(super) fn new(options: &DumpOptions) -> Self {
        let step = if (2..=9).contains(&options.indent) {
            options.indent
        } else {
            2
        };
        Self {
            out: String::new(),
            column: 0,
            whitespace: true,
            indention: true,
            indent: None,
            indents: Vec::new(),
            flow_level: 0,
            step,
            width: if options.width <= step * 2 {
                80
            } else {
                options.width
            },
            unicode: options.allow_unicode,
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.indent = None;
        self.write_indent();
        self.out
    }

    pub(super) fn in_flow(&self) -> bool {
        self.flow_level > 0
    }

    // ---- structure --------------------------------------------------------

    pub(super) fn open_flow(&mut self, bracket: &str) {
        self.indicator(bracket, true, true, false);
        self.increase_indent(true, false);
        self.flow_level += 1;
    }

    pub(super) fn flow_item(&mut self, first: bool) {
        if !first {
            self.indicator(",", false, false, false);
        }
        self.fold_line();
    }

    pub(super) fn close_flow(&mut self, bracket: &str) {
        self.flow_level = self.flow_level.saturating_sub(1);
        self.close_block();
        self.indicator(bracket, false, false, false);
    }

    pub(super) fn flow_colon(&mut self) {
        self.fold_line();
        self.indicator(":", true, false, false);
    }

    pub(super) fn open_block_list(&mut self, in_mapping: bool) {
        let indentless = in_mapping && !self.indention;
        self.increase_indent(false, indentless);
    }

    pub(super) fn open_block_map(&mut self) {
        self.increase_indent(false, false);
    }

    pub(super) fn close_block(&mut self) {
        self.indent = self.indents.pop().flatten();
    }

    pub(super) fn block_item(&mut self) {
        self.write_indent();
        self.indicator("-", true, false, true);
    }

    pub(super) fn block_line(&mut self) {
        self.write_indent();
    }

    pub(super) fn simple_colon(&mut self) {
        self.indicator(":", false, false, false);
    }

    pub(super) fn question(&mut self, flow: bool) {
        self.indicator("?", true, false, !flow);
    }

    pub(super) fn block_colon(&mut self) {
        self.write_indent();
        self.indicator(":", true, false, true);
    }

    fn fold_line(&mut self) {
        if self.column > self.width {
            self.write_indent();
        }
    }

    fn increase_indent(&mut self, flow: bool, indentless: bool) {
        self.indents.push(self.indent);
        self.indent = match self.indent {
            None => Some(if flow { self.step } else { 0 }),
            Some(indent) if indentless => Some(indent),
            Some(indent) => Some(indent + self.step),
        };
    }

    // ---- characters -------------------------------------------------------

    fn put(&mut self, ch: char) {
        self.out.push(ch);
        self.column += 1;
    }

    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    /// Writes a break that is part of the text.
    fn write_break(&mut self, ch: char) {
        if ch == '\n' {
            self.put_break();
        } else {
            self.out.push(ch);
            self.column = 0;
        }
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, need_space: bool, is_space: bool, is_indention: bool) {
        if need_space && !self.whitespace {
            self.put(' ');
        }
        for ch in text.chars() {
            self.put(ch);
        }
        self.whitespace = is_space;
        self.indention = self.indention && is_indention;
    }

    // ---- scalars ----------------------------------------------------------

    pub(super) fn scalar(&mut self, scalar: &Scalar, key: bool) {
        let shape = analyze(&scalar.text, self.unicode);
        let quoted_fits = scalar.tag.is_none();
        let mut plain = !(scalar.literal || key && shape.multiline);
        if plain {
            let allowed = if self.flow_level > 0 {
                shape.flow_plain
            } else {
                shape.block_plain
            };
            let bare = scalar.text.is_empty() && (self.flow_level > 0 || key);
            plain = allowed && !bare && scalar.plain;
        }
        if let Some(tag) = scalar.tag {
            if !self.whitespace {
                self.put(' ');
            }
            for ch in tag.chars() {
                self.put(ch);
            }
            self.whitespace = false;
            self.indention = false;
        }
        self.increase_indent(true, false);
        if plain {
            self.write_plain(&scalar.text, !key);
        } else if scalar.literal && shape.block && self.flow_level == 0 && !key {
            self.write_literal(&scalar.text);
        } else if !scalar.literal && quoted_fits && shape.single_quoted && !(key && shape.multiline)
        {
            self.write_single(&scalar.text, !key);
        } else {
            self.write_double(&scalar.text, !key);
        }
        self.close_block();
    }

    fn write_plain(&mut self, text: &str, may_fold: bool) {
        if !self.whitespace && (!text.is_empty() || self.flow_level > 0) {
            self.put(' ');
        }
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.chars().peekable();
        while let Some(ch) = chars.next() {
            if ch == ' ' {
                if may_fold && !spaces && self.column > self.width && chars.peek() != Some(&' ') {
                    self.write_indent();
                } else {
                    self.put(ch);
                }
                spaces = true;
            } else if is_break(ch) {
                if !breaks && ch == '\n' {
                    self.put_break();
                }
                self.write_break(ch);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(ch);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn write_single(&mut self, text: &str, may_fold: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(ch) = chars.next() {
            if ch == ' ' {
                let inner = !first && chars.peek().is_some_and(|&next| next != ' ');
                if may_fold && !spaces && self.column > self.width && inner {
                    self.write_indent();
                } else {
                    self.put(ch);
                }
                spaces = true;
            } else if is_break(ch) {
                if !breaks && ch == '\n' {
                    self.put_break();
                }
                self.write_break(ch);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if ch == '\'' {
                    self.put('\'');
                }
                self.put(ch);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
            first = false;
        }
        if breaks {
            self.write_indent();
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn write_double(&mut self, text: &str, may_fold: bool) {
        self.indicator("\"", true, false, false);
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(ch) = chars.next() {
            let escaped = !is_printable(ch)
                || !ch.is_ascii() && !self.unicode
                || is_break(ch)
                || matches!(ch, '"' | '\\');
            if escaped {
                self.write_escape(ch);
                spaces = false;
            } else if ch == ' ' {
                let inner = !first && chars.peek().is_some();
                if may_fold && !spaces && self.column > self.width && inner {
                    self.write_indent();
                    if chars.peek() == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(ch);
                }
                spaces = true;
            } else {
                self.put(ch);
                spaces = false;
            }
            first = false;
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn write_escape(&mut self, ch: char) {
        let short = match ch {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0B' => 'v',
            '\x0C' => 'f',
            '\r' => 'r',
            '\x1B' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let text = match u32::from(ch) {
                    n @ ..=0xFF => format!("\\x{n:02X}"),
                    n @ ..=0xFFFF => format!("\\u{n:04X}"),
                    n => format!("\\U{n:08X}"),
                };
                for ch in text.chars() {
                    self.put(ch);
                }
                return;
            }
        };
        self.put('\\');
        self.put(short);
    }

    fn write_literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(' ') || text.starts_with(is_break) {
            let hint = self.step.to_string();
            self.indicator(&hint, false, false, false);
        }
        let mut back = text.chars().rev();
        match (back.next(), back.next()) {
            (Some(last), _) if !is_break(last) => self.indicator("-", false, false, false),
            (None, _) => self.indicator("-", false, false, false),
            (Some(_), None) => self.indicator("+", false, false, false),
            (Some(_), Some(before)) if is_break(before) => {
                self.indicator("+", false, false, false);
            }
            _ => {}
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for ch in text.chars() {
            if is_break(ch) {
                self.write_break(ch);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(ch);
                self.indention = false;
                breaks = false;
            }
        }
    }
}
