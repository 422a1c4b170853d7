//! Regular expressions as Python's `re.match` reads them.

use super::TargetError;

/// A compiled expression, anchored at the start only.
///
/// Expressions run on the `regex` crate, whose time is linear. Only those it
/// refuses (look-around, back-references) run on `fancy-regex`, which
/// backtracks: one that exceeds [`STEPS`] counts as no match.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// How many steps a backtracking expression may take for one text.
const STEPS: usize = 100_000;
/// How much memory a compiled expression may take, in bytes.
const SIZE: usize = 1 << 20;
/// The longest expression, in bytes.
const LENGTH: usize = 64 << 10;

impl Pattern {
    /// Compiles a Python expression.
    ///
    /// # Errors
    ///
    /// If Python would refuse it, or it is too large.
    pub(crate) fn new(expression: &str) -> Result<Self, TargetError> {
        let refused = || TargetError::Regex(expression.to_owned());
        if expression.len() > LENGTH {
            return Err(TargetError::TooLarge);
        }
        let translated = translate(expression).ok_or_else(refused)?;
        let anchored = format!(r"\A(?:{})", translated.text);
        if !translated.possessive {
            match regex::RegexBuilder::new(&anchored)
                .size_limit(SIZE)
                .dfa_size_limit(SIZE)
                .build()
            {
                Ok(regex) => return Ok(Self::Linear(regex)),
                Err(regex::Error::CompiledTooBig(_)) => return Err(TargetError::TooLarge),
                // Perhaps the other engine knows it.
                Err(_) => {}
            }
        }
        fancy_regex::RegexBuilder::new(&anchored)
            .backtrack_limit(STEPS)
            .delegate_size_limit(SIZE)
            .build()
            .map(|regex| Self::Backtracking(Box::new(regex)))
            .map_err(|_| refused())
    }

    /// Whether `text` begins with a match.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Linear(regex) => regex.is_match(text),
            Self::Backtracking(regex) => regex.is_match(text).unwrap_or(false),
        }
    }
}

/// An expression in the spelling of the `regex` crates.
struct Translated {
    text: String,
    /// It has a possessive quantifier, which the linear engine takes for two.
    possessive: bool,
}

/// What the last piece was, for telling `a*?` and `a*+` from `a**`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Atom,
    Quantifier,
    Modifier,
}

/// Rewrites what the two dialects spell differently. `None` for what Python
/// refuses and the engines would take.
fn translate(expression: &str) -> Option<Translated> {
    let mut out = String::with_capacity(expression.len() + 8);
    let mut chars = expression.chars().peekable();
    let mut in_set = false;
    let mut possessive = false;
    let mut last = Last::Atom;
    while let Some(c) = chars.next() {
        let before = std::mem::replace(&mut last, Last::Atom);
        match c {
            '\\' => escape(chars.next()?, &mut chars, in_set, &mut out)?,
            // Python knows neither nested sets nor operations between them.
            '[' if in_set => out.push_str(r"\["),
            '&' | '~' if in_set => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_set && chars.peek() == Some(&'-') => out.push_str(r"\-"),
            ']' if in_set => {
                in_set = false;
                out.push(']');
            }
            c if in_set => out.push(c),
            '[' => {
                in_set = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // First in a set, a closing bracket is a member.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            '*' | '+' | '?' => {
                last = match (before, c) {
                    (Last::Atom, _) => Last::Quantifier,
                    (Last::Quantifier, '?') => Last::Modifier,
                    (Last::Quantifier, '+') => {
                        possessive = true;
                        Last::Modifier
                    }
                    _ => return None,
                };
                out.push(c);
            }
            '{' if is_repetition(chars.clone()) => {
                if before != Last::Atom {
                    return None;
                }
                last = Last::Quantifier;
                out.push('{');
                if chars.peek() == Some(&',') {
                    out.push('0');
                }
                out.extend(chars.by_ref().take_while(|c| *c != '}'));
                out.push('}');
            }
            '{' => out.push_str(r"\{"),
            // Also before a final line feed.
            '$' => out.push_str(r"(?:\n?\z)"),
            '(' => {
                let mut ahead = chars.clone();
                match (ahead.next(), ahead.next()) {
                    (Some('?'), Some('#')) => {
                        chars.by_ref().find(|c| *c == ')')?;
                        last = before;
                    }
                    (Some('?'), _) => {
                        chars.next();
                        out.push_str("(?");
                    }
                    _ => out.push('('),
                }
            }
            c => out.push(c),
        }
    }
    Some(Translated {
        text: out,
        possessive,
    })
}

fn escape(
    escaped: char,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    in_set: bool,
    out: &mut String,
) -> Option<()> {
    match escaped {
        'Z' if !in_set => out.push_str(r"\z"),
        'A' | 'B' if !in_set => {
            out.push('\\');
            out.push(escaped);
        }
        'b' => out.push_str(if in_set { r"\x08" } else { r"\b" }),
        'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'n' | 'r' | 't' | 'f' | 'v' | 'a' => {
            out.push('\\');
            out.push(escaped);
        }
        'x' => hexadecimal(2, chars, out)?,
        'u' => hexadecimal(4, chars, out)?,
        'U' => hexadecimal(8, chars, out)?,
        '0'..='9' => {
            // Octal: after a zero up to two more digits, else exactly three of
            // which the first is below four. Everything else refers to a group.
            let digits: Vec<char> = chars
                .clone()
                .take(2)
                .take_while(|c| c.is_digit(8))
                .collect();
            let octal = match escaped {
                '0' => true,
                '1'..='3' => digits.len() == 2,
                _ => false,
            };
            if octal || in_set {
                let mut code = escaped.to_digit(8)?;
                for digit in digits {
                    chars.next();
                    code = code * 8 + digit.to_digit(8)?;
                }
                char::from_u32(code)?;
                out.push_str(&format!(r"\x{{{code:x}}}"));
            } else {
                out.push('\\');
                out.push(escaped);
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
            }
        }
        // Python refuses every other letter.
        c if c.is_ascii_alphabetic() => return None,
        c if regex_syntax_needs_escape(c) => {
            out.push('\\');
            out.push(c);
        }
        c => out.push(c),
    }
    Some(())
}

fn hexadecimal(
    len: usize,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> Option<()> {
    let mut code = 0_u32;
    for _ in 0..len {
        code = code.checked_mul(16)? + chars.next()?.to_digit(16)?;
    }
    char::from_u32(code)?;
    out.push_str(&format!(r"\x{{{code:x}}}"));
    Some(())
}

fn regex_syntax_needs_escape(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '\'' | '"' | '`' | '_')
}

/// Whether `{` opens `{n}`, `{n,}`, `{,m}` or `{n,m}`; otherwise it is a brace.
fn is_repetition(chars: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let (mut digits, mut commas) = (0, 0);
    for c in chars {
        match c {
            '0'..='9' => digits += 1,
            ',' => commas += 1,
            '}' => return digits > 0 && commas <= 1,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, text: &str, expected: bool) {
        assert_eq!(
            Pattern::new(expression).unwrap().matches(text),
            expected,
            "{expression:?} on {text:?}"
        );
    }

    #[test]
    fn expressions_are_anchored_at_the_start_only() {
        check("web", "web1", true);
        check("eb", "web1", false);
        check("a|web", "web1", true);
        check("web1$", "web1\n", true);
        check("web1$", "web12", false);
        check(r"web1\Z", "web1\n", false);
        check("", "x", true);
    }

    #[test]
    fn pythons_spelling_is_understood() {
        check("(?i)WEB", "web1", true);
        check("[[]x", "[x", true);
        check("[]x]", "]", true);
        check("[^]x]", "a", true);
        check("[a&&b]", "&", true);
        check("x{foo}", "x{foo}", true);
        check("x{,2}$", "xx", true);
        check("x{2}", "xx", true);
        check(r"\<a\>", "<a>", true);
        check(r"a\/b\-c\ d", "a/b-c d", true);
        check(r"\x41\u0042\103", "ABC", true);
        check(r"\é", "é", true);
        check("(?#note)a", "a", true);
        check(r"(?P<x>a)(?P=x)", "aa", true);
        check(r"(a)\1", "aa", true);
        check("web(?=1)", "web1", true);
        check("db(?!1)", "db1", false);
        check(r"[\b]", "\u{8}", true);
        check("a*+b", "aab", true);
        check("a*+ab", "aab", false);
        check("a+?b", "aab", true);
    }

    // Z-04
    #[test]
    fn what_python_refuses_is_refused() {
        for expression in ["(", r"\z", r"\q", "*", "a**", "[a", r"\x4", "(?P<x>a", "\\"] {
            assert!(Pattern::new(expression).is_err(), "{expression:?}");
        }
    }

    // T-01
    #[test]
    fn expressions_that_explode_are_no_match_or_refused() {
        check(r"(?=a)(a+)+\1$", &("a".repeat(40) + "b"), false);
        assert_eq!(
            Pattern::new(r"((\w{500}){500}){500}").err(),
            Some(TargetError::TooLarge)
        );
        assert!(Pattern::new(&"(".repeat(100_000)).is_err());
    }
}
