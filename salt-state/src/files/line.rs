//! `file.line`: one line, put where other lines say.

use super::regex::{Flags, Pattern};
use super::text::text_lines_with_ends;
use crate::registry::CallError;

/// What to do with which line.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) content: String,
    pub(crate) matches: Option<String>,
    pub(crate) mode: String,
    pub(crate) location: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) indent: bool,
}

fn refused(text: &str) -> CallError {
    CallError::execution(text)
}

/// The lines that an expression finds.
fn found(body: &[String], regex: &str) -> Result<Vec<usize>, CallError> {
    let pattern = Pattern::new(regex, Flags::default())
        .map_err(|error| refused(&format!("{error}: {}", crate::python::repr_str(regex))))?;
    let mut all = Vec::new();
    for (at, line) in body.iter().enumerate() {
        if pattern.is_match(line)? {
            all.push(at);
        }
    }
    Ok(all)
}

fn blanks(line: &str) -> &str {
    let end = line.len() - line.trim_start().len();
    line.get(..end).unwrap_or_default()
}

fn bare(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

impl Line {
    /// The content with the blanks in front that another line has.
    fn like(&self, other: &str) -> String {
        if !self.indent {
            return self.content.trim_end().to_owned();
        }
        let lead = if other.trim().is_empty() {
            ""
        } else {
            blanks(other)
        };
        format!("{lead}{}", self.content.trim())
    }

    /// The one line that an expression finds.
    fn only(body: &[String], regex: &str, name: &str) -> Result<Option<usize>, CallError> {
        let all = found(body, regex)?;
        if all.len() > 1 {
            return Err(refused(&format!(
                "Found more than expected occurrences in \"{name}\" expression"
            )));
        }
        Ok(all.first().copied())
    }

    /// The lines of the text with the line among them, without it, or changed.
    ///
    /// # Errors
    ///
    /// In Salt's words.
    pub(crate) fn apply(&self, old: &str) -> Result<Vec<String>, CallError> {
        let body: Vec<String> = text_lines_with_ends(old)
            .into_iter()
            .map(str::to_owned)
            .collect();
        match self.mode.to_lowercase().as_str() {
            "delete" => self.delete(body),
            "replace" => self.replace(body),
            "insert" => self.insert(body),
            "ensure" => self.ensure(body),
            _ => Err(refused(&format!("Unknown mode: \"{}\"", self.mode))),
        }
    }

    fn target(&self, body: &[String]) -> Result<Option<usize>, CallError> {
        let regex = match (&self.matches, &self.before, &self.after) {
            (Some(regex), _, _) => regex,
            (None, None, None) => &self.content,
            (None, _, _) => return Ok(None),
        };
        Ok(found(body, regex)?.first().copied())
    }

    fn delete(&self, mut body: Vec<String>) -> Result<Vec<String>, CallError> {
        let target = match self.target(&body)? {
            Some(at) => body.get(at).cloned(),
            None => None,
        };
        body.retain(|line| Some(line) != target.as_ref());
        Ok(body)
    }

    fn replace(&self, mut body: Vec<String>) -> Result<Vec<String>, CallError> {
        if let Some(at) = self.target(&body)?
            && let Some(line) = body.get_mut(at)
        {
            let end = line.get(bare(line).len()..).unwrap_or_default().to_owned();
            *line = self.like(line) + &end;
        }
        Ok(body)
    }

    /// Puts the line behind another.
    fn put_after(&self, body: &mut Vec<String>, at: usize) {
        let Some(line) = body.get_mut(at) else { return };
        let mut new = self.like(line);
        if line.ends_with(['\n', '\r']) {
            new.push('\n');
        } else {
            line.push('\n');
        }
        body.insert(at + 1, new);
    }

    fn insert(&self, mut body: Vec<String>) -> Result<Vec<String>, CallError> {
        if let Some(location) = &self.location {
            match location.as_str() {
                "start" => body.insert(0, format!("{}\n", self.content.trim_end())),
                "end" => {
                    let mut content = self.content.clone();
                    if let Some(last) = body.last_mut() {
                        if self.indent {
                            content = format!("{}{}", blanks(bare(last)), content.trim_start());
                        }
                        // Salt ends the last line once more.
                        if last.ends_with('\n') {
                            body.push("\n".to_owned());
                        } else {
                            last.push('\n');
                        }
                    }
                    body.push(content);
                }
                _ => {}
            }
            return Ok(body);
        }
        if body.is_empty() || (self.before.is_none() && self.after.is_none()) {
            return Err(refused(
                "On insert either \"location\" or \"before/after\" conditions are required.",
            ));
        }
        let after = match &self.after {
            Some(regex) => Self::only(&body, regex, "after")?,
            None => None,
        };
        let before = match &self.before {
            Some(regex) => Self::only(&body, regex, "before")?,
            None => None,
        };
        let is_content =
            |line: Option<&String>| line.is_some_and(|line| bare(line) == self.content);
        match (before, after) {
            (None, None) => {
                return Err(refused("Neither before or after was found in file"));
            }
            (Some(at), other) => {
                let there = other.is_none() && at > 0 && is_content(body.get(at - 1));
                if !there {
                    let new = body.get(at).map(|line| self.like(line)).unwrap_or_default();
                    body.insert(at, new + "\n");
                }
            }
            (None, Some(at)) => {
                if !is_content(body.get(at + 1)) {
                    self.put_after(&mut body, at);
                }
            }
        }
        Ok(body)
    }

    fn ensure(&self, mut body: Vec<String>) -> Result<Vec<String>, CallError> {
        let lost = || {
            refused(
                "Wrong conditions? Unable to ensure line without knowing where to put it before and/or after.",
            )
        };
        let after = match &self.after {
            Some(regex) => Self::only(&body, regex, "after")?,
            None => None,
        };
        let before = match &self.before {
            Some(regex) => Self::only(&body, regex, "before")?,
            None => None,
        };
        let is_content =
            |line: Option<&String>| line.is_some_and(|line| bare(line) == self.content);
        match (after, before) {
            (None, None) => return Err(lost()),
            (Some(after), Some(before)) => {
                let between = before.checked_sub(after + 1);
                match between {
                    Some(0) => self.put_after(&mut body, after),
                    Some(1) => {
                        if !is_content(body.get(after + 1)) {
                            let new = body.get(after).map(|line| self.like(line));
                            if let Some(line) = body.get_mut(after + 1) {
                                *line = new.unwrap_or_default() + "\n";
                            }
                        }
                    }
                    _ => {
                        return Err(refused(
                            "Found more than one line between boundaries \"before\" and \"after\".",
                        ));
                    }
                }
            }
            (Some(at), None) => {
                if !is_content(body.get(at + 1)) {
                    self.put_after(&mut body, at);
                }
            }
            (None, Some(0)) => {
                let new = body.first().map(|line| self.like(line)).unwrap_or_default();
                body.insert(0, new + "\n");
            }
            (None, Some(at)) => {
                if !is_content(body.get(at - 1)) {
                    self.put_after(&mut body, at - 1);
                }
            }
        }
        Ok(body)
    }
}
