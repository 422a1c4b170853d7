//! What is wrong with a text, worded and placed as PyYAML over libyaml does.

use std::fmt;

/// A place in a text. Lines and columns count from zero; columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Bytes from the beginning.
    pub index: usize,
    /// Line, from zero.
    pub line: usize,
    /// Column in characters, from zero.
    pub column: usize,
}

/// Which step of loading found the error; Salt words some of them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A character that YAML does not allow.
    Reader,
    /// A token that cannot be cut. Salt prints only the problem.
    Scanner,
    /// Tokens in an order that makes no structure.
    Parser,
    /// Anchors, aliases and documents.
    Composer,
    /// Keys, tags and scalars that make no value.
    Constructor,
    /// A limit of the loader, not of YAML.
    Limit,
}

/// Why a text is not the YAML that Salt reads.
///
/// `Display` gives PyYAML's text with places, its name for the input being
/// `<unicode string>`; [`Error::salt_text`] gives what Salt's renderer reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    context: Option<String>,
    context_mark: Option<Mark>,
    problem: String,
    problem_mark: Option<Mark>,
}

impl Error {
    pub(super) fn plain(kind: Kind, problem: impl Into<String>, mark: Mark) -> Self {
        Self {
            kind,
            context: None,
            context_mark: None,
            problem: problem.into(),
            problem_mark: Some(mark),
        }
    }

    pub(super) fn with_context(
        kind: Kind,
        context: impl Into<String>,
        context_mark: Mark,
        problem: impl Into<String>,
        problem_mark: Mark,
    ) -> Self {
        Self {
            kind,
            context: Some(context.into()),
            context_mark: Some(context_mark),
            problem: problem.into(),
            problem_mark: Some(problem_mark),
        }
    }

    pub(super) fn unplaced(kind: Kind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            context: None,
            context_mark: None,
            problem: problem.into(),
            problem_mark: None,
        }
    }

    /// Which step found it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is wrong, without place.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Where it was noticed.
    pub fn mark(&self) -> Option<Mark> {
        self.problem_mark
    }

    /// What was being read when it was noticed.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// Where that began.
    pub fn context_mark(&self) -> Option<Mark> {
        self.context_mark
    }

    /// The text for a document that is a file, whose name PyYAML puts into the places.
    pub(crate) fn in_file(&self, name: &str) -> String {
        self.to_string()
            .replace("\"<unicode string>\"", &format!("\"{name}\""))
    }

    /// The text in the error of Salt's `yaml` renderer.
    pub fn salt_text(&self) -> String {
        match self.kind {
            Kind::Scanner => self.problem.clone(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Kind::Reader, Some(mark)) = (self.kind, self.problem_mark) {
            return write!(
                f,
                "unacceptable character {}\n  in \"<unicode string>\", position {}",
                self.problem, mark.index
            );
        }
        if let Some(context) = &self.context {
            writeln!(f, "{context}")?;
            if let Some(mark) = self.context_mark
                && self.problem_mark != Some(mark)
            {
                place(f, mark)?;
                writeln!(f)?;
            }
        }
        f.write_str(&self.problem)?;
        if let Some(mark) = self.problem_mark {
            writeln!(f)?;
            place(f, mark)?;
        }
        Ok(())
    }
}

fn place(f: &mut fmt::Formatter<'_>, mark: Mark) -> fmt::Result {
    write!(
        f,
        "  in \"<unicode string>\", line {}, column {}",
        mark.line + 1,
        mark.column + 1
    )
}

impl std::error::Error for Error {}
