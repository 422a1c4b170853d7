//! Shell patterns as Python's `fnmatch` reads them.

/// A compiled pattern: `*`, `?`, `[seq]`, `[!seq]`, nothing escapes.
///
/// An unclosed `[` is a bracket, a `]` first in a set is a member, a range whose
/// ends are the wrong way round is empty. Compared by character, the case counts.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Star,
    Any,
    Char(char),
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let chars: Vec<char> = pattern.chars().collect();
        let mut pieces = Vec::with_capacity(chars.len());
        let mut rest = chars.as_slice();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            pieces.push(match first {
                // Stars in a row are one.
                '*' if matches!(pieces.last(), Some(Piece::Star)) => continue,
                '*' => Piece::Star,
                '?' => Piece::Any,
                '[' => match set(after) {
                    Some((set, after)) => {
                        rest = after;
                        set
                    }
                    None => Piece::Char('['),
                },
                c => Piece::Char(c),
            });
        }
        Self(pieces)
    }

    /// Whether the whole of `text` fits.
    ///
    /// Takes time in proportion to both lengths: a star that fails is widened
    /// by one and no earlier star is reconsidered.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let pieces = self.0.as_slice();
        let mut chars = text.chars();
        let mut at = 0;
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if let Some(Piece::Star) = pieces.get(at) {
                at += 1;
                retry = Some((at, chars.clone()));
                continue;
            }
            let mut ahead = chars.clone();
            match (pieces.get(at), ahead.next()) {
                (None, None) => return true,
                (Some(piece), Some(c)) if piece.fits(c) => {
                    at += 1;
                    chars = ahead;
                }
                _ => {
                    let Some((after_star, from)) = &mut retry else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    at = *after_star;
                    chars = from.clone();
                }
            }
        }
    }
}

impl Piece {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Star | Self::Any => true,
            Self::Char(own) => *own == c,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

/// Reads a set behind its bracket; `None` if it is never closed.
fn set(after: &[char]) -> Option<(Piece, &[char])> {
    let (negated, body) = match after.split_first() {
        Some(('!', body)) => (true, body),
        _ => (false, after),
    };
    // The first member may be the closing bracket itself.
    let end = 1 + body.get(1..)?.iter().position(|c| *c == ']')?;
    let (mut members, rest) = (body.get(..end)?, body.get(end + 1..)?);
    let mut ranges = Vec::new();
    while let Some((&low, after)) = members.split_first() {
        members = match after {
            ['-', high, after @ ..] => {
                ranges.push((low, *high));
                after
            }
            _ => {
                ranges.push((low, low));
                after
            }
        };
    }
    Some((Piece::Set { negated, ranges }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(
            Glob::new(pattern).matches(text),
            expected,
            "{pattern:?} on {text:?}"
        );
    }

    #[test]
    fn patterns_are_read_as_python_reads_them() {
        check("*", "", true);
        check("web*", "web1", true);
        check("web*", "WEB1", false);
        check("web1", "web1\n", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("?", "ü", true);
        check("", "", true);
        check("[", "[", true);
        check("[]", "[]", true);
        check("[]]", "]", true);
        check("[!]]", "]", false);
        check("[!]]", "x", true);
        check("[a-c-e]", "-", true);
        check("[a-c-e]", "d", false);
        check("[c-a]", "b", false);
        check("[!c-a]", "b", true);
        check("[a-]", "-", true);
        check("[-a]", "-", true);
        check("[^a]", "^", true);
        check("[!a]", "b", true);
        check("[!", "[!", true);
        check("\\*", "*", false);
        check("\\*", "\\x", true);
        check("app[[]1]", "app[1]", true);
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(200);
        let text = "a".repeat(199) + "b";
        check(&pattern, &text, false);
    }
}
