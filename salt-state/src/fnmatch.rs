//! Python's `fnmatch`, by which Salt matches names.

/// Whether a whole text matches a pattern of `*`, `?`, `[seq]` and `[!seq]`.
///
/// As in Python, `*` also matches `/` and dots, case counts, nothing can be escaped
/// except in brackets, and an unclosed `[` stands for itself.
///
/// ```
/// use salt_state::fnmatch;
///
/// assert!(fnmatch("web-1.example", "web-[0-9]*"));
/// assert!(!fnmatch("Web", "w*"));
/// assert!(fnmatch("a[b", "a[b"));
/// ```
pub fn fnmatch(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    // The last `*` and how far it has reached: going back there once is enough, so
    // the time is bounded by the product of the lengths.
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = text.get(t) {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match class(pattern.get(p + 1..).unwrap_or_default(), c) {
                Some((true, length)) => Some(length + 1),
                Some((false, _)) => None,
                None => (c == '[').then_some(1),
            },
            Some(&expected) => (expected == c).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                t += 1;
            }
            (None, Some((at, reached))) => {
                star = Some((at, reached + 1));
                p = at + 1;
                t = reached + 1;
            }
            (None, None) => return false,
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|c| *c == '*')
}

/// Whether `c` is in the class whose inside begins here, and how long the class is with
/// its closing bracket; `None` when it is not closed.
fn class(inside: &[char], c: char) -> Option<(bool, usize)> {
    let negated = inside.first() == Some(&'!');
    let start = usize::from(negated);
    // A bracket right at the beginning is a member.
    let search = start + usize::from(inside.get(start) == Some(&']'));
    let end = search + inside.get(search..)?.iter().position(|c| *c == ']')?;
    let members = inside.get(start..end)?;
    let mut found = false;
    let mut at = 0;
    while let Some(&low) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(&high)) => {
                found |= low <= c && c <= high;
                at += 3;
            }
            _ => {
                found |= low == c;
                at += 1;
            }
        }
    }
    Some((found != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Answers of Python 3.11's `fnmatch.fnmatchcase`.
    #[test]
    fn answers_are_pythons() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "*", true),
            ("a", "", false),
            ("abc", "a*c", true),
            ("a/b.c", "*", true),
            ("aXbXc", "a*b*c", true),
            ("aaab", "*ab", true),
            ("a]", "a[]]", true),
            ("a-", "a[-x]", true),
            ("ab", "a[!b]", false),
            ("ac", "a[!b]", true),
            ("a[", "a[", true),
            ("a!", "a[!]", false),
            ("a[!]", "a[!]", true),
            ("5", "[0-9]", true),
            ("é", "?", true),
            ("**", "[*][*]", true),
        ] {
            assert_eq!(fnmatch(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let text = "a".repeat(2_000);
        assert!(!fnmatch(&text, &format!("{}b", "*a".repeat(500))));
    }
}
