//! Rendered text that knows where it came from.

use std::rc::Rc;

use super::Source;

/// The result of rendering.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Where each stretch of the text came from, by ascending `start`.
    pub spans: Vec<Span>,
    /// The templates the spans name by index.
    pub sources: Vec<Rc<Source>>,
}

/// A stretch of output, up to the next span's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Byte offset in the output.
    pub start: usize,
    /// Index into [`Rendered::sources`].
    pub source: u32,
    /// Line in the template, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Whether the stretch is template text, whose positions advance with it,
    /// or the value of the expression at this position.
    pub literal: bool,
}

/// A place in a template.
#[derive(Clone, Debug)]
pub struct Location {
    /// The template.
    pub source: Rc<Source>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Whether the place is in template text itself rather than in the
    /// expression that computed the output.
    pub literal: bool,
}

impl Rendered {
    /// The template place a byte of the output came from.
    pub fn locate(&self, offset: usize) -> Option<Location> {
        let index = self.spans.partition_point(|span| span.start <= offset);
        let span = self.spans.get(index.checked_sub(1)?)?;
        let source = Rc::clone(self.sources.get(span.source as usize)?);
        let (mut line, mut column) = (span.line, span.column);
        if span.literal {
            let end = offset.min(self.text.len());
            for c in self.text.get(span.start..end).unwrap_or("").chars() {
                if c == '\n' {
                    line += 1;
                    column = 1;
                } else {
                    column += 1;
                }
            }
        }
        Some(Location {
            source,
            line,
            column,
            literal: span.literal,
        })
    }

    /// The template place of a line and column of the output, both from 1.
    pub fn locate_line(&self, line: u32, column: u32) -> Option<Location> {
        let mut start = 0;
        for _ in 1..line {
            start += self.text.get(start..)?.find('\n')? + 1;
        }
        let rest = self.text.get(start..)?;
        let within = rest.split('\n').next().unwrap_or("");
        let skip = column.saturating_sub(1) as usize;
        let offset = within
            .char_indices()
            .nth(skip)
            .map_or(within.len(), |(at, _)| at);
        self.locate(start + offset)
    }
}

/// Text being produced.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) spans: Vec<Span>,
}

impl Output {
    /// Adds a stretch with one origin.
    pub(crate) fn push(&mut self, text: &str, origin: Span) {
        if text.is_empty() {
            return;
        }
        self.spans.push(Span {
            start: self.text.len(),
            ..origin
        });
        self.text.push_str(text);
    }

    /// Adds text that carries its own origins.
    pub(crate) fn push_traced(&mut self, text: &str, spans: &[Span]) {
        let base = self.text.len();
        self.spans.extend(spans.iter().map(|span| Span {
            start: base + span.start,
            ..*span
        }));
        self.text.push_str(text);
    }
}
