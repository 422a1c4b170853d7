//! What a template can fail with, and where.

use std::fmt;
use std::rc::Rc;

mod salt_text;

/// The result of everything a template does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure while a template was parsed or rendered.
///
/// `Display` is the message alone, as Python's `str(exception)`;
/// [`Error::salt_message`] is the text Salt prints for it, with the excerpt.
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    position: Option<(u32, u32)>,
    trace: Vec<Place>,
    source: Option<Rc<dyn std::error::Error + 'static>>,
}

/// The family of an [`Error`], named after the exception of Python's Jinja, Python or Salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An undefined value was used (`UndefinedError`).
    Undefined,
    /// The template does not parse (`TemplateSyntaxError`).
    Syntax,
    /// The template parses but is refused: unknown filter, block defined twice (`TemplateAssertionError`).
    Assertion,
    /// Jinja refused something at run time (`TemplateRuntimeError`).
    Runtime,
    /// A filter was called with arguments it cannot take (`FilterArgumentError`).
    FilterArgument,
    /// The sandbox refused something (`SecurityError`).
    Security,
    /// No template of that name (`TemplateNotFound`).
    NotFound,
    /// None of several templates (`TemplatesNotFound`).
    NoneFound,
    /// One of Python's own exceptions.
    Python(Exception),
    /// A Salt function was called wrongly or its command failed
    /// (`SaltInvocationError`, `CommandExecutionError`).
    Invocation,
    /// A Salt renderer failed (`SaltRenderError`).
    Render,
    /// The template itself asked to stop (`raise()`).
    Raised,
    /// Any other exception of a host function.
    Host,
    /// One of [`Limits`](super::Limits) was reached.
    Limit,
}

/// Python's built-in exceptions that templates can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are Python's")]
pub enum Exception {
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    ZeroDivisionError,
    OverflowError,
    RecursionError,
    RuntimeError,
    StopIteration,
    LookupError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    NameError,
    OsError,
    AssertionError,
}

impl Kind {
    /// The class name Python prints: `TypeError`, `jinja2.exceptions.UndefinedError`, …
    pub fn class(self) -> &'static str {
        match self {
            Self::Undefined => "jinja2.exceptions.UndefinedError",
            Self::Syntax => "jinja2.exceptions.TemplateSyntaxError",
            Self::Assertion => "jinja2.exceptions.TemplateAssertionError",
            Self::Runtime => "jinja2.exceptions.TemplateRuntimeError",
            Self::FilterArgument => "jinja2.exceptions.FilterArgumentError",
            Self::Security => "jinja2.exceptions.SecurityError",
            Self::NotFound => "jinja2.exceptions.TemplateNotFound",
            Self::NoneFound => "jinja2.exceptions.TemplatesNotFound",
            Self::Python(exception) => exception.class(),
            Self::Invocation => "salt.exceptions.SaltInvocationError",
            Self::Render => "salt.exceptions.SaltRenderError",
            Self::Raised => "salt.exceptions.TemplateError",
            Self::Host => "Exception",
            Self::Limit => "limit",
        }
    }
}

impl Exception {
    fn class(self) -> &'static str {
        match self {
            Self::TypeError => "TypeError",
            Self::ValueError => "ValueError",
            Self::KeyError => "KeyError",
            Self::IndexError => "IndexError",
            Self::AttributeError => "AttributeError",
            Self::ZeroDivisionError => "ZeroDivisionError",
            Self::OverflowError => "OverflowError",
            Self::RecursionError => "RecursionError",
            Self::RuntimeError => "RuntimeError",
            Self::StopIteration => "StopIteration",
            Self::LookupError => "LookupError",
            Self::UnicodeDecodeError => "UnicodeDecodeError",
            Self::UnicodeEncodeError => "UnicodeEncodeError",
            Self::NameError => "NameError",
            Self::OsError => "OSError",
            Self::AssertionError => "AssertionError",
        }
    }
}

/// A template's text, as errors and positions refer to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The name it was loaded under; `None` for the text given to
    /// [`Environment::render_str`](super::Environment::render_str).
    pub name: Option<Rc<str>>,
    /// Where it lies, for messages (Salt prints the path in its file cache).
    pub path: Option<Rc<str>>,
    /// The text, as it was handed over.
    pub text: Rc<str>,
}

/// One level of the way to an error: which template, where.
#[derive(Clone, Debug)]
pub struct Place {
    /// The template.
    pub source: Rc<Source>,
    /// The line Python's Jinja would report, from 1: that of the statement or
    /// of the outermost part of the printed expression.
    pub reported_line: u32,
    /// The line of the failing part itself, from 1.
    pub line: u32,
    /// Its column in characters, from 1.
    pub column: u32,
    /// Whether it is in a block; Salt's messages name the place the block is
    /// shown at instead.
    pub in_block: bool,
}

impl Error {
    /// An error of this family with the text Python would give.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                position: None,
                trace: Vec::new(),
                source: None,
            }),
        }
    }

    /// Python's `TypeError`.
    pub fn type_error(message: impl Into<String>) -> Self {
        Self::new(Kind::Python(Exception::TypeError), message)
    }

    /// Python's `ValueError`.
    pub fn value_error(message: impl Into<String>) -> Self {
        Self::new(Kind::Python(Exception::ValueError), message)
    }

    /// Another of Python's exceptions.
    pub fn python(exception: Exception, message: impl Into<String>) -> Self {
        Self::new(Kind::Python(exception), message)
    }

    /// Keeps what caused this error, for `source()`.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + 'static) -> Self {
        self.inner.source = Some(Rc::new(source));
        self
    }

    /// The family.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The way to the failure, innermost template first.
    ///
    /// Empty for an error that no template was involved in.
    pub fn trace(&self) -> &[Place] {
        &self.inner.trace
    }

    /// Where it failed: the innermost place.
    pub fn place(&self) -> Option<&Place> {
        self.inner.trace.first()
    }

    pub(crate) fn is(&self, exception: Exception) -> bool {
        self.inner.kind == Kind::Python(exception)
    }

    pub(crate) fn with_message(mut self, message: String) -> Self {
        self.inner.message = message;
        self
    }

    /// Notes the failing part, unless a part of it was noted before.
    pub(crate) fn at(mut self, line: u32, column: u32) -> Self {
        if self.inner.trace.is_empty() && self.inner.position.is_none() {
            self.inner.position = Some((line, column));
        }
        self
    }

    pub(crate) fn at_pos(self, pos: super::ast::Pos) -> Self {
        self.at(pos.line, pos.column)
    }

    /// Adds the template function that is being left.
    pub(crate) fn leaving(
        mut self,
        source: &Rc<Source>,
        reported_line: u32,
        fallback: (u32, u32),
        in_block: bool,
    ) -> Self {
        let (line, column) = self.inner.position.take().unwrap_or(fallback);
        self.inner.trace.push(Place {
            source: Rc::clone(source),
            reported_line,
            line,
            column,
            in_block,
        });
        self
    }
}

impl Error {
    /// Adds the place of a mistake that the parser or the resolver found.
    pub(crate) fn leaving_parser(self, source: &Rc<Source>) -> Self {
        let (line, column) = self.inner.position.unwrap_or((1, 1));
        self.leaving(source, line, (line, column), false)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.kind.class(), self.inner.message)?;
        for place in &self.inner.trace {
            let name = place.source.name.as_deref().unwrap_or("<unknown>");
            write!(f, "\n  at {name}:{}:{}", place.line, place.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref()
    }
}
