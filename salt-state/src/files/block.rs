//! `file.blockreplace`: what stands between two marks.

use super::regex::{Flags, Pattern};
use super::text::{text_lines, text_lines_with_ends};
use crate::registry::CallError;

/// The marks and what shall be between them.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) content: String,
    pub(crate) append: bool,
    pub(crate) prepend: bool,
    pub(crate) append_newline: Option<bool>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl Block {
    /// The complaint about more than one way to put a block in.
    pub(crate) fn too_many_ways() -> CallError {
        CallError::invocation(
            "Only one of append_if_not_found, prepend_if_not_found, insert_before_match, and insert_after_match is permitted",
        )
    }

    /// The text with the block.
    ///
    /// # Errors
    ///
    /// In Salt's words.
    pub(crate) fn apply(&self, old: &str) -> Result<String, CallError> {
        let ways = [
            self.append,
            self.prepend,
            self.before.is_some(),
            self.after.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(Self::too_many_ways());
        }
        let eol = text_lines_with_ends(old).first().map_or("\n", |line| {
            if line.ends_with("\r\n") { "\r\n" } else { "\n" }
        });
        let content = self.filling(eol);
        let mut new = String::with_capacity(old.len() + content.len());
        let (mut inside, mut found) = (false, false);
        for line in text_lines_with_ends(old) {
            if !inside {
                new.push_str(line);
                if line.contains(&self.start) {
                    if !line.ends_with('\n') {
                        new.push_str(eol);
                    }
                    inside = true;
                }
                continue;
            }
            let Some(at) = line.find(&self.end) else {
                continue;
            };
            inside = false;
            found = true;
            new.push_str(&content);
            let rest = line.get(at..).unwrap_or_default();
            new.push_str(rest);
            if !rest.ends_with('\n') {
                new.push_str(eol);
            }
        }
        if inside {
            return Err(CallError::execution(
                "Unterminated marked block. End of file reached before marker_end.",
            ));
        }
        if found {
            return Ok(new);
        }
        let block = format!("{}{eol}{content}{}{eol}", self.start, self.end);
        if self.prepend {
            return Ok(block + old);
        }
        if self.append {
            let between = if old.is_empty() || old.ends_with('\n') {
                ""
            } else {
                eol
            };
            return Ok(format!("{old}{between}{block}"));
        }
        for (regex, is_before) in [(&self.before, true), (&self.after, false)] {
            let Some(regex) = regex else { continue };
            let pattern = Pattern::new(regex, Flags::default())?;
            let mut new = String::new();
            let mut placed = false;
            for line in text_lines_with_ends(old) {
                let here = !placed && pattern.is_match(line)?;
                placed |= here;
                if here && is_before {
                    new.push_str(&block);
                }
                new.push_str(line);
                if here && !is_before {
                    if !line.ends_with('\n') {
                        new.push_str(eol);
                    }
                    new.push_str(&block);
                }
            }
            if placed {
                return Ok(new);
            }
        }
        Err(CallError::execution(
            "Cannot edit marked block. Markers were not found in file.",
        ))
    }

    /// The content with the file's own line ends.
    fn filling(&self, eol: &str) -> String {
        let ends = self.content.ends_with('\n');
        let mut text = text_lines(&self.content).join(eol);
        if ends {
            text.push_str(eol);
        }
        match self.append_newline {
            Some(true) => text.push_str(eol),
            None if !ends => text.push_str(eol),
            _ => {}
        }
        text
    }
}
