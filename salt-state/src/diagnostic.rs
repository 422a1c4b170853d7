//! What is wrong with a tree: Salt's words, and beyond Salt the exact place.

use std::fmt;
use std::rc::Rc;

use crate::jinja::Rendered;
use crate::yaml::Span;

/// The step of a compile that found a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Compiling the pillar.
    Pillar,
    /// Reading and matching top files.
    Top,
    /// Finding and rendering SLS files and joining what they declare.
    Render,
    /// Applying `extend`.
    Extend,
    /// Checking the high data.
    Verify,
    /// Turning `require_in` and its like around.
    RequisiteIn,
    /// Making and ordering chunks.
    Low,
}

impl Stage {
    /// One lowercase word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pillar => "pillar",
            Self::Top => "top",
            Self::Render => "render",
            Self::Extend => "extend",
            Self::Verify => "verify",
            Self::RequisiteIn => "requisite_in",
            Self::Low => "low",
        }
    }
}

/// One problem.
///
/// `Display` is Salt's text, which goes into a job's return;
/// [`Diagnostic::report`] is the long form for people, with the source line.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Which step found it.
    pub stage: Stage,
    /// Salt's text.
    pub message: String,
    /// Whether Salt ends with an unhandled exception here, so that its text is
    /// not an interface.
    pub exception: bool,
    /// Where the cause is.
    pub place: Option<Box<Place>>,
    /// Other places that explain it, each with a remark.
    pub related: Vec<(Place, String)>,
    /// What to try.
    pub hint: Option<String>,
}

/// A place in a file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file: its path in the tree (`nginx/init.sls`), with `environment:` before
    /// it unless that is `base`.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant; at least 1.
    pub width: u32,
    /// The line's text.
    pub text: String,
}

impl Diagnostic {
    /// A problem in Salt's words.
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self {
            stage,
            message: message.into(),
            exception: false,
            place: None,
            related: Vec::new(),
            hint: None,
        }
    }

    /// Marks it as something Salt does not report but dies of.
    #[must_use]
    pub fn unhandled(mut self) -> Self {
        self.exception = true;
        self
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, place: Option<impl Into<Box<Place>>>) -> Self {
        if let Some(place) = place {
            self.place = Some(place.into());
        }
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn with(mut self, place: Option<Place>, remark: impl Into<String>) -> Self {
        if let Some(place) = place {
            self.related.push((place, remark.into()));
        }
        self
    }

    /// Says what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The long form: what, where with the source line, and what to try.
    pub fn report(&self) -> String {
        let mut out = format!("error: {}\n", summary(&self.message));
        let related = self
            .related
            .iter()
            .map(|(place, remark)| (place, remark.as_str()));
        let places: Vec<_> = self
            .place
            .as_deref()
            .into_iter()
            .map(|place| (place, ""))
            .chain(related)
            .collect();
        let gutter = places
            .iter()
            .map(|(place, _)| place.line.to_string().len())
            .max()
            .unwrap_or(1);
        let blank = " ".repeat(gutter);
        for (index, (place, remark)) in places.iter().enumerate() {
            let arrow = if index == 0 { "-->" } else { ":::" };
            out.push_str(&format!(
                "{blank}{arrow} {}:{}:{}\n{blank} |\n",
                place.file, place.line, place.column
            ));
            let shown = place.text.replace('\t', " ");
            let indent = " ".repeat(place.column.saturating_sub(1) as usize);
            let mark =
                if index == 0 { "^" } else { "-" }.repeat(place.width.clamp(1, 200) as usize);
            let remark = if remark.is_empty() {
                String::new()
            } else {
                format!(" {remark}")
            };
            out.push_str(&format!(
                "{:>gutter$} | {shown}\n{blank} | {indent}{mark}{remark}\n",
                place.line
            ));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("{blank} = help: {hint}\n"));
        }
        out
    }
}

/// The message without the excerpt and the traceback that Salt appends to it.
fn summary(message: &str) -> &str {
    let mut text = message;
    for mark in ["\n---\n", "\nTraceback (most recent call last):", "; line "] {
        if let Some(at) = text.find(mark) {
            text = text.get(..at).unwrap_or(text);
        }
    }
    // What is left of the excerpt of an imported file is its path and line.
    if let Some((before, last)) = text.trim_end().rsplit_once('\n')
        && last.ends_with("):")
    {
        text = before;
    }
    text.trim_end()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// A text that was rendered, and how its places lead back to files.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) environment: Rc<str>,
    pub(crate) path: Rc<str>,
    pub(crate) source: Rc<str>,
    /// What the template engine made of it, if it went through one.
    pub(crate) rendered: Option<Rc<Rendered>>,
}

/// All texts of one compile; a [`Span`]'s document is an index into them.
#[derive(Debug, Default)]
pub(crate) struct Documents(Vec<Document>);

impl Documents {
    pub(crate) fn add(&mut self, document: Document) -> u32 {
        self.0.push(document);
        u32::try_from(self.0.len()).unwrap_or(0)
    }

    pub(crate) fn set_rendered(&mut self, index: u32, rendered: Rc<Rendered>) {
        if let Some(document) = self.slot(index).and_then(|at| self.0.get_mut(at)) {
            document.rendered = Some(rendered);
        }
    }

    /// Zero means "no document", so the index is shifted by one.
    fn slot(&self, index: u32) -> Option<usize> {
        usize::try_from(index).ok()?.checked_sub(1)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Document> {
        self.0.get(self.slot(index)?)
    }

    /// The place of a span in its file, through the template that made it.
    pub(crate) fn place(&self, span: Span) -> Option<Place> {
        let document = self.get(span.document)?;
        let line = span.line.saturating_add(1);
        let column = span.column.saturating_add(1);
        match &document.rendered {
            None => {
                Some(document.place(&document.path, &document.source, line, column, span.width))
            }
            Some(rendered) => {
                let Some(found) = rendered.locate_line(line, column) else {
                    return Some(document.place(&document.path, &document.source, line, column, 1));
                };
                let width = if found.literal { span.width } else { 0 };
                let name = found.source.name.clone();
                let path = name.as_ref().unwrap_or(&document.path);
                Some(document.place(path, &found.source.text, found.line, found.column, width))
            }
        }
    }

    /// A place in the text a document was rendered from.
    pub(crate) fn source_place(&self, index: u32, line: u32, column: u32) -> Option<Place> {
        let document = self.get(index)?;
        Some(document.place(&document.path, &document.source, line, column, 1))
    }
}

impl Document {
    pub(crate) fn place(
        &self,
        path: &str,
        text: &str,
        line: u32,
        column: u32,
        width: u32,
    ) -> Place {
        let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let text = text.lines().nth(index).unwrap_or_default().to_owned();
        let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let room = length.saturating_sub(column.saturating_sub(1));
        Place {
            file: if &*self.environment == "base" {
                path.to_owned()
            } else {
                format!("{}:{path}", self.environment)
            },
            line,
            column,
            width: width.min(room).max(1),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_points_at_the_line() {
        let place = Place {
            file: "web.sls".to_owned(),
            line: 12,
            column: 5,
            width: 3,
            text: "  - pkg: nginx".to_owned(),
        };
        let problem = Diagnostic::new(Stage::Low, "no such state")
            .at(Some(place))
            .hint("did you mean `file`?");

        assert_eq!(
            problem.report(),
            "error: no such state\n  --> web.sls:12:5\n   |\n12 |   - pkg: nginx\n   |     ^^^\n   = help: did you mean `file`?\n"
        );
    }
}
