//! Minion ids: validated once, trusted after.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::value::Value;

/// The name of a minion, safe as a file name, a topic and a log field.
///
/// Two rules exist, and every id goes through one of them:
///
/// * **Salt's rule** ([`MinionId::valid_in_salt`]): text that is one plain file name,
///   so not empty, not `.` or `..`, without `/`, `\` and NUL. Spaces, line feeds,
///   `*` and a leading dot are fine. Recorded from Salt 3008.3.
/// * **Our rule** ([`MinionId::parse`], the only way to build this type): Salt's rule
///   and 1 to 255 bytes, no leading dot, no `..` anywhere, no control characters, no
///   white space other than the space, and none of the invisible or
///   direction-changing characters that make two names look alike. Such ids
///   appear in no healthy fleet, and each has been part of an attack somewhere.
///
/// Cheap to clone.
///
/// ```
/// use salt_proto::MinionId;
///
/// let id: MinionId = "web-01.example.com".parse()?;
/// assert_eq!(id.as_str(), "web-01.example.com");
/// assert!(MinionId::parse("../master").is_err());
/// assert!(MinionId::parse(".hidden").is_err());
/// assert!(MinionId::valid_in_salt(".hidden"));
/// # Ok::<(), salt_proto::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MinionId(Arc<str>);

/// Why a text is not a minion id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// Nothing, `.` or `..`.
    #[error("the id is empty or only dots")]
    Empty,
    /// More than 255 bytes.
    #[error("the id is longer than 255 bytes")]
    TooLong,
    /// A slash, a backslash or two dots in a row.
    #[error("the id could be read as a path")]
    Path,
    /// A dot at the start.
    #[error("the id starts with a dot")]
    LeadingDot,
    /// A control, invisible or direction-changing character.
    #[error("the id contains an invisible character")]
    Invisible,
    /// Another type than text.
    #[error("the id is not text")]
    NotText,
}

impl MinionId {
    /// The longest id in bytes.
    pub const MAX_LEN: usize = 255;

    /// Checks `id` against our rule.
    ///
    /// # Errors
    ///
    /// The first part of the rule that `id` breaks.
    pub fn parse(id: &str) -> Result<Self, InvalidId> {
        if id.is_empty() || id == "." || id == ".." {
            return Err(InvalidId::Empty);
        }
        if id.len() > Self::MAX_LEN {
            return Err(InvalidId::TooLong);
        }
        if id.contains(['/', '\\']) || id.contains("..") {
            return Err(InvalidId::Path);
        }
        if id.starts_with('.') {
            return Err(InvalidId::LeadingDot);
        }
        if id.chars().any(is_invisible) {
            return Err(InvalidId::Invisible);
        }
        Ok(Self(id.into()))
    }

    /// Whether stock Salt accepts `id`: one plain file name, nothing more.
    pub fn valid_in_salt(id: &str) -> bool {
        !(id.is_empty() || id == "." || id == ".." || id.contains(['/', '\\', '\0']))
    }

    /// The id of returns made before a job was addressed to a minion.
    pub(crate) fn unassigned() -> Self {
        Self("unassigned".into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for MinionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MinionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for MinionId {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<Self, InvalidId> {
        Self::parse(id)
    }
}

impl TryFrom<&str> for MinionId {
    type Error = InvalidId;

    fn try_from(id: &str) -> Result<Self, InvalidId> {
        Self::parse(id)
    }
}

impl TryFrom<&Value> for MinionId {
    type Error = InvalidId;

    fn try_from(id: &Value) -> Result<Self, InvalidId> {
        Self::parse(id.as_str().ok_or(InvalidId::NotText)?)
    }
}

impl AsRef<str> for MinionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for MinionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for MinionId {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for MinionId {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl From<&MinionId> for Value {
    fn from(id: &MinionId) -> Self {
        Self::from(id.as_str())
    }
}

impl From<MinionId> for Value {
    fn from(id: MinionId) -> Self {
        Self::from(id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // K-02
    #[test]
    fn ids_that_are_paths_or_unseeable_are_refused() {
        for (id, why) in [
            ("", InvalidId::Empty),
            (".", InvalidId::Empty),
            ("..", InvalidId::Empty),
            ("../x", InvalidId::Path),
            ("a/b", InvalidId::Path),
            ("a\\b", InvalidId::Path),
            ("a..b", InvalidId::Path),
            (".hidden", InvalidId::LeadingDot),
            ("a\0b", InvalidId::Invisible),
            ("a\n", InvalidId::Invisible),
            ("a\u{202e}b", InvalidId::Invisible),
            ("a\u{2028}b", InvalidId::Invisible),
            ("a\u{200b}", InvalidId::Invisible),
        ] {
            assert_eq!(MinionId::parse(id), Err(why), "{id:?}");
        }
        assert_eq!(MinionId::parse(&"x".repeat(256)), Err(InvalidId::TooLong));
        assert!(MinionId::parse(&"x".repeat(255)).is_ok());
    }

    // K-02
    #[test]
    fn only_text_is_an_id() {
        for value in [
            Value::Int(5),
            Value::Null,
            Value::List(vec!["x".into()]),
            Value::Bytes(b"m1".to_vec()),
        ] {
            assert_eq!(MinionId::try_from(&value), Err(InvalidId::NotText));
        }
    }

    #[test]
    fn names_of_any_script_are_ids() {
        for id in ["m1", "a.b-c_d", "hé", "münchen", "a b", "-x", "名前"] {
            assert_eq!(MinionId::parse(id).unwrap().as_str(), id);
        }
    }
}
