//! The five ways to write a scalar.

use super::{Error, Kind, Mark, Scanner, Style, Token, TokenData};

/// The pending white space inside a scalar that spans lines.
#[derive(Default)]
struct Gap {
    whitespace: String,
    first_break: &'static str,
    more_breaks: String,
    /// Whether a break was seen since the last text.
    broken: bool,
}

impl Gap {
    /// Appends what the gap stands for and empties it.
    fn fold_into(&mut self, out: &mut String) {
        if self.broken {
            if self.first_break.starts_with('\n') {
                if self.more_breaks.is_empty() {
                    out.push(' ');
                } else {
                    out.push_str(&self.more_breaks);
                }
            } else {
                out.push_str(self.first_break);
                out.push_str(&self.more_breaks);
            }
            self.first_break = "";
            self.more_breaks.clear();
            self.broken = false;
        } else {
            out.push_str(&self.whitespace);
        }
        self.whitespace.clear();
    }
}

impl Scanner<'_> {
    pub(super) fn scan_plain_scalar(&mut self) -> Result<Token, Error> {
        let start = self.mark;
        let mut end = start;
        let mut out = String::new();
        let mut gap = Gap::default();
        let indent = self.indent + 1;
        loop {
            if self.mark.column == 0 && (self.is_document_mark(b'-') || self.is_document_mark(b'.'))
            {
                break;
            }
            if self.byte(0) == b'#' {
                break;
            }
            let run = self.mark.index;
            let mut text_seen = false;
            while !self.is_space_or_end(0) {
                let byte = self.byte(0);
                if self.flow_level > 0
                    && byte == b':'
                    && matches!(self.byte(1), b',' | b'?' | b'[' | b']' | b'{' | b'}')
                {
                    return self.error(
                        "while scanning a plain scalar",
                        start,
                        "found unexpected ':'",
                    );
                }
                if byte == b':' && self.is_space_or_end(1)
                    || self.flow_level > 0 && matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
                {
                    break;
                }
                if !text_seen {
                    gap.fold_into(&mut out);
                    text_seen = true;
                }
                self.skip();
                // What means nothing inside a plain scalar, wherever it stands.
                self.skip_while(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
                });
                end = self.mark;
            }
            out.push_str(self.text.get(run..self.mark.index).unwrap_or_default());
            if !(self.is_blank(0) || self.is_break(0)) {
                break;
            }
            while self.is_blank(0) || self.is_break(0) {
                if self.is_blank(0) {
                    if gap.broken && self.column() < indent && self.byte(0) == b'\t' {
                        return self.error(
                            "while scanning a plain scalar",
                            start,
                            "found a tab character that violates indentation",
                        );
                    }
                    if gap.broken {
                        self.skip();
                    } else {
                        self.read(&mut gap.whitespace);
                    }
                } else {
                    self.read_gap_break(&mut gap);
                }
            }
            if self.flow_level == 0 && self.column() < indent {
                break;
            }
        }
        if gap.broken {
            self.simple_key_allowed = true;
        }
        Ok(Token {
            data: TokenData::Scalar(out, Style::Plain),
            start,
            end,
        })
    }

    fn read_gap_break(&mut self, gap: &mut Gap) {
        if gap.broken {
            gap.more_breaks.push_str(self.read_break());
        } else {
            gap.whitespace.clear();
            gap.first_break = self.read_break();
            gap.broken = true;
        }
    }

    pub(super) fn scan_flow_scalar(&mut self, single: bool) -> Result<Token, Error> {
        const CONTEXT: &str = "while scanning a quoted scalar";
        let start = self.mark;
        let quote = if single { b'\'' } else { b'"' };
        let mut out = String::new();
        self.skip();
        loop {
            if self.mark.column == 0 && (self.is_document_mark(b'-') || self.is_document_mark(b'.'))
            {
                return self.error(CONTEXT, start, "found unexpected document indicator");
            }
            if self.at_end() {
                return self.error(CONTEXT, start, "found unexpected end of stream");
            }
            let mut gap = Gap::default();
            while !self.is_space_or_end(0) {
                let byte = self.byte(0);
                if single && byte == b'\'' && self.byte(1) == b'\'' {
                    out.push('\'');
                    self.skip_n(2);
                } else if byte == quote {
                    break;
                } else if !single && byte == b'\\' && self.is_break(1) {
                    self.skip();
                    self.skip_line();
                    gap.broken = true;
                    break;
                } else if !single && byte == b'\\' {
                    self.scan_escape(start, &mut out)?;
                } else {
                    let run = self.mark.index;
                    self.skip();
                    self.skip_while(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
                    });
                    out.push_str(self.text.get(run..self.mark.index).unwrap_or_default());
                }
            }
            if self.byte(0) == quote {
                break;
            }
            // An escaped break leaves `first_break` empty, so the gap folds to nothing.
            while self.is_blank(0) || self.is_break(0) {
                if self.is_blank(0) {
                    if gap.broken {
                        self.skip();
                    } else {
                        self.read(&mut gap.whitespace);
                    }
                } else {
                    self.read_gap_break(&mut gap);
                }
            }
            gap.fold_into(&mut out);
        }
        self.skip();
        let style = if single {
            Style::SingleQuoted
        } else {
            Style::DoubleQuoted
        };
        Ok(Token {
            data: TokenData::Scalar(out, style),
            start,
            end: self.mark,
        })
    }

    fn scan_escape(&mut self, start: Mark, out: &mut String) -> Result<(), Error> {
        const CONTEXT: &str = "while parsing a quoted scalar";
        let mut digits = 0;
        match self.byte(1) {
            b'0' => out.push('\0'),
            b'a' => out.push('\x07'),
            b'b' => out.push('\x08'),
            b't' | b'\t' => out.push('\t'),
            b'n' => out.push('\n'),
            b'v' => out.push('\x0B'),
            b'f' => out.push('\x0C'),
            b'r' => out.push('\r'),
            b'e' => out.push('\x1B'),
            b' ' => out.push(' '),
            b'"' => out.push('"'),
            b'/' => out.push('/'),
            b'\\' => out.push('\\'),
            b'N' => out.push('\u{85}'),
            b'_' => out.push('\u{a0}'),
            b'L' => out.push('\u{2028}'),
            b'P' => out.push('\u{2029}'),
            b'x' => digits = 2,
            b'u' => digits = 4,
            b'U' => digits = 8,
            _ => return self.error(CONTEXT, start, "found unknown escape character"),
        }
        self.skip_n(2);
        if digits == 0 {
            return Ok(());
        }
        let mut value: u32 = 0;
        for ahead in 0..digits {
            let Some(digit) = char::from(self.byte(ahead)).to_digit(16) else {
                return self.error(CONTEXT, start, "did not find expected hexdecimal number");
            };
            value = (value << 4) | digit;
        }
        let Some(ch) = char::from_u32(value) else {
            return self.error(
                CONTEXT,
                start,
                "found invalid Unicode character escape code",
            );
        };
        out.push(ch);
        self.skip_n(digits);
        Ok(())
    }

    pub(super) fn scan_block_scalar(&mut self, literal: bool) -> Result<Token, Error> {
        const CONTEXT: &str = "while scanning a block scalar";
        let start = self.mark;
        let mut keep = None;
        let mut increment = 0;
        self.skip();
        for _ in 0..2 {
            match self.byte(0) {
                sign @ (b'+' | b'-') if keep.is_none() => {
                    keep = Some(sign == b'+');
                    self.skip();
                }
                b'0' if increment == 0 => {
                    return self.error(CONTEXT, start, "found an indentation indicator equal to 0");
                }
                digit @ b'1'..=b'9' if increment == 0 => {
                    increment = i64::from(digit - b'0');
                    self.skip();
                }
                _ => break,
            }
        }
        while self.is_blank(0) {
            self.skip();
        }
        if self.byte(0) == b'#' {
            self.skip_rest();
        }
        if !self.is_break_or_end(0) {
            return self.error(
                CONTEXT,
                start,
                "did not find expected comment or line break",
            );
        }
        self.skip_line();

        let mut end = self.mark;
        let mut indent = if increment > 0 {
            self.indent.max(0) + increment
        } else {
            0
        };
        let mut out = String::new();
        let mut breaks = String::new();
        self.scan_block_breaks(&mut indent, &mut breaks, start, &mut end)?;
        let mut leading_break = "";
        let mut leading_blank = false;
        while self.column() == indent && !self.at_end() {
            let trailing_blank = self.is_blank(0);
            if !literal && leading_break.starts_with('\n') && !leading_blank && !trailing_blank {
                if breaks.is_empty() {
                    out.push(' ');
                }
            } else {
                out.push_str(leading_break);
            }
            out.push_str(&breaks);
            breaks.clear();
            leading_blank = trailing_blank;
            let run = self.mark.index;
            self.skip_rest();
            out.push_str(self.text.get(run..self.mark.index).unwrap_or_default());
            leading_break = self.read_break();
            self.scan_block_breaks(&mut indent, &mut breaks, start, &mut end)?;
        }
        if keep != Some(false) {
            out.push_str(leading_break);
        }
        if keep == Some(true) {
            out.push_str(&breaks);
        }
        let style = if literal {
            Style::Literal
        } else {
            Style::Folded
        };
        Ok(Token {
            data: TokenData::Scalar(out, style),
            start,
            end,
        })
    }

    /// Reads indentation and empty lines; finds the indent when it is still unknown.
    fn scan_block_breaks(
        &mut self,
        indent: &mut i64,
        breaks: &mut String,
        start: Mark,
        end: &mut Mark,
    ) -> Result<(), Error> {
        let mut widest = 0;
        *end = self.mark;
        loop {
            while (*indent == 0 || self.column() < *indent) && self.byte(0) == b' ' {
                self.skip();
            }
            widest = widest.max(self.column());
            if (*indent == 0 || self.column() < *indent) && self.byte(0) == b'\t' {
                return Err(Error::with_context(
                    Kind::Scanner,
                    "while scanning a block scalar",
                    start,
                    "found a tab character where an indentation space is expected",
                    self.mark,
                ));
            }
            if !self.is_break(0) {
                break;
            }
            breaks.push_str(self.read_break());
            *end = self.mark;
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }
}
