//! Errors in Salt's words, as observed with Salt 3008.3.

use std::fmt::Write;

use super::{Error, Kind, Place};
use crate::jinja::methods::lines;

/// Lines shown before and after the marked one.
const AROUND: usize = 5;

impl Error {
    /// The text Salt prints after "Rendering SLS '…' failed: ": the message in
    /// Salt's words and the lines around the mistake.
    ///
    /// Salt prints a Python traceback too where the error is not one of
    /// Jinja's; what is left of it here is the exception of `raise()`, where the
    /// template itself is shown and not one that it takes in.
    pub fn salt_message(&self) -> String {
        let message = self.message();
        let (mut text, separator) = match self.kind() {
            Kind::Undefined => (format!("Jinja variable {message}"), ""),
            Kind::Syntax
            | Kind::Assertion
            | Kind::Runtime
            | Kind::FilterArgument
            | Kind::Security => (format!("Jinja syntax error: {message}"), ""),
            Kind::Invocation => (
                format!("Problem running salt function in Jinja template: {message}"),
                "",
            ),
            Kind::NotFound
            | Kind::NoneFound
            | Kind::Python(_)
            | Kind::Render
            | Kind::Raised
            | Kind::Host
            | Kind::Limit => (format!("Jinja error: {message}"), "\n"),
        };
        let Some(place) = self.trace().iter().find(|place| !place.in_block) else {
            return text;
        };
        let line = place.reported_line;
        let excerpt = excerpt(place);
        if place.source.name.is_none() && matches!(self.kind(), Kind::Raised) {
            let class = self.kind().class();
            text.push_str(&format!(
                "\nTraceback (most recent call last):\n{class}: {message}\n"
            ));
        }
        // Writing to a string does not fail.
        let _ = match &place.source.name {
            None => write!(text, "{separator}; line {line}\n\n{excerpt}"),
            Some(name) => {
                let path = place.source.path.as_deref().unwrap_or(name);
                write!(text, "\n{path}({line}):\n{excerpt}")
            }
        };
        text
    }
}

/// The lines around a place, between dashes, the place marked.
fn excerpt(place: &Place) -> String {
    let lines = lines(&place.source.text, false);
    let marked = (place.reported_line as usize).saturating_sub(1);
    let first = marked.saturating_sub(AROUND);
    let end = (marked + AROUND + 1).min(lines.len());
    let mut out = String::from("---\n");
    if first > 0 {
        out.push_str("[...]\n");
    }
    for (at, line) in lines.iter().enumerate().take(end).skip(first) {
        out.push_str(line);
        if at == marked {
            out.push_str("    <======================");
        }
        out.push('\n');
    }
    if end < lines.len() {
        out.push_str("[...]\n");
    }
    out.push_str("---");
    out
}
