//! Python's `str`, which remembers whether it is `Markup` and where it came from.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use crate::jinja::rendered::Span;

/// A string.
///
/// It dereferences to `str`. Text that a macro or a block produced carries the
/// spans that say which template lines it came from.
#[derive(Clone)]
pub struct Str {
    text: Rc<str>,
    extra: Option<Rc<Extra>>,
}

struct Extra {
    markup: bool,
    spans: Vec<Span>,
}

impl Str {
    /// A string that is safe to print into HTML as it stands.
    pub fn markup(text: impl Into<Rc<str>>) -> Self {
        Self {
            text: text.into(),
            extra: Some(Rc::new(Extra {
                markup: true,
                spans: Vec::new(),
            })),
        }
    }

    /// Whether this is `Markup`.
    pub fn is_markup(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.markup)
    }

    /// The shared text.
    pub fn as_rc(&self) -> &Rc<str> {
        &self.text
    }

    pub(crate) fn traced(text: impl Into<Rc<str>>, markup: bool, spans: Vec<Span>) -> Self {
        let text = text.into();
        let extra = (markup || !spans.is_empty()).then(|| Rc::new(Extra { markup, spans }));
        Self { text, extra }
    }

    pub(crate) fn spans(&self) -> &[Span] {
        self.extra.as_ref().map_or(&[], |extra| &extra.spans)
    }

    /// The number of code points.
    pub(crate) fn char_len(&self) -> usize {
        if self.text.is_ascii() {
            self.text.len()
        } else {
            self.text.chars().count()
        }
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Str {}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        &*self.text == other
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            extra: None,
        }
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self {
            text: text.into(),
            extra: None,
        }
    }
}

impl From<&String> for Str {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<char> for Str {
    fn from(c: char) -> Self {
        let mut buffer = [0; 4];
        Self::from(&*c.encode_utf8(&mut buffer))
    }
}

impl From<Rc<str>> for Str {
    fn from(text: Rc<str>) -> Self {
        Self { text, extra: None }
    }
}
