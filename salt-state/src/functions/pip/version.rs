//! Versions of Python packages and what is asked of them, as PEP 440 has it.

use std::cmp::Ordering;

/// A version: `[N!]N(.N)*[{a|b|rc}N][.postN][.devN][+local]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    epoch: u64,
    release: Vec<u64>,
    pre: Option<(Phase, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
    local: Vec<Segment>,
}

/// What comes before a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Alpha,
    Beta,
    Candidate,
}

/// A part of a local version; words come before numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Word(String),
    Number(u64),
}

/// Reads a text from the left.
struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let end = self
            .0
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.0.len());
        let number = self.0.get(..end)?.parse().ok()?;
        self.0 = self.0.get(end..)?;
        Some(number)
    }

    fn takes(&mut self, word: &str) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// One of the words with a separator before and after it that may be there, and a
    /// number that counts as zero where it is not.
    fn part(&mut self, words: &[&'static str]) -> Option<(&'static str, u64)> {
        let separators = ['.', '-', '_'];
        let rest = self.0.strip_prefix(separators).unwrap_or(self.0);
        let word = words.iter().find(|word| rest.starts_with(**word))?;
        let rest = rest.get(word.len()..)?;
        let mut after = Reader(rest.strip_prefix(separators).unwrap_or(rest));
        let number = match after.number() {
            Some(number) => {
                self.0 = after.0;
                number
            }
            None => {
                self.0 = rest;
                0
            }
        };
        Some((word, number))
    }
}

impl Version {
    /// Reads a version; `None` for what is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (public, local) = match lower.split_once('+') {
            Some((public, local)) => (public, Some(local)),
            None => (lower.as_str(), None),
        };
        let mut reader = Reader(public.strip_prefix('v').unwrap_or(public));
        let mut epoch = 0;
        let mut release = vec![reader.number()?];
        if reader.takes("!") {
            epoch = release.pop()?;
            release.push(reader.number()?);
        }
        loop {
            let mut next = Reader(reader.0);
            if !next.takes(".") {
                break;
            }
            let Some(number) = next.number() else { break };
            release.push(number);
            reader = next;
        }
        let words = ["alpha", "a", "beta", "b", "preview", "pre", "c", "rc"];
        let pre = reader.part(&words).map(|(word, number)| {
            let phase = match word {
                "alpha" | "a" => Phase::Alpha,
                "beta" | "b" => Phase::Beta,
                _ => Phase::Candidate,
            };
            (phase, number)
        });
        let mut post = reader.part(&["post", "rev", "r"]).map(|(_, number)| number);
        if post.is_none() {
            let mut next = Reader(reader.0);
            if next.takes("-")
                && let Some(number) = next.number()
            {
                post = Some(number);
                reader = next;
            }
        }
        let dev = reader.part(&["dev"]).map(|(_, number)| number);
        if !reader.0.is_empty() {
            return None;
        }
        let mut parts = Vec::new();
        for part in local
            .into_iter()
            .flat_map(|local| local.split(['.', '-', '_']))
        {
            if part.is_empty() || !part.chars().all(|c| c.is_ascii_alphanumeric()) {
                return None;
            }
            parts.push(match part.parse() {
                Ok(number) => Segment::Number(number),
                Err(_) => Segment::Word(part.to_owned()),
            });
        }
        Some(Self {
            epoch,
            release,
            pre,
            post,
            dev,
            local: parts,
        })
    }

    /// Which kind of pre-release it is, if it is one; what is in development has none.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.pre.map(|(phase, _)| phase)
    }

    /// Whether it comes before a release.
    pub(crate) fn is_prerelease(&self) -> bool {
        self.pre.is_some() || self.dev.is_some()
    }

    fn public(&self) -> Self {
        Self {
            local: Vec::new(),
            ..self.clone()
        }
    }

    fn has_base_of(&self, other: &Self) -> bool {
        self.epoch == other.epoch && trimmed(&self.release) == trimmed(&other.release)
    }
}

fn trimmed(release: &[u64]) -> &[u64] {
    let end = release
        .iter()
        .rposition(|part| *part != 0)
        .map_or(0, |at| at + 1);
    release.get(..end).unwrap_or(release)
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // What is in development comes first of all, a release after what leads to it.
        let pre = |version: &Self| match (version.pre, version.post, version.dev) {
            (Some((phase, number)), _, _) => (1, Some((phase, number))),
            (None, None, Some(_)) => (0, None),
            (None, _, _) => (2, None),
        };
        let dev = |version: &Self| (version.dev.is_none(), version.dev);
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| trimmed(&self.release).cmp(trimmed(&other.release)))
            .then_with(|| pre(self).cmp(&pre(other)))
            .then_with(|| self.post.cmp(&other.post))
            .then_with(|| dev(self).cmp(&dev(other)))
            .then_with(|| self.local.cmp(&other.local))
    }
}

/// One thing that is asked of a version: an operator and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Specifier {
    pub(crate) operator: String,
    pub(crate) version: String,
}

/// The operators, the longer ones first.
const OPERATORS: [&str; 8] = ["===", "==", "!=", "~=", "<=", ">=", "<", ">"];

/// Reads what is asked of a version, separated by commas; `None` for what cannot be read.
pub(crate) fn specifiers(text: &str) -> Option<Vec<Specifier>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    text.split(',')
        .map(|one| {
            let one = one.trim();
            let operator = OPERATORS
                .iter()
                .find(|operator| one.starts_with(**operator))?;
            let version = one.get(operator.len()..)?.trim();
            // What is no version is asked for in vain, but may be asked for.
            let plain = |c: char| !c.is_whitespace() && !matches!(c, ';' | ')' | '=' | '<' | '>');
            version.chars().all(plain).then(|| Specifier {
                operator: (*operator).to_owned(),
                version: version.to_owned(),
            })
        })
        .collect()
}

impl Specifier {
    fn is_prefix(&self) -> Option<&str> {
        self.version.strip_suffix(".*")
    }

    /// Whether this asks for something before a release by name.
    fn names_prerelease(&self) -> bool {
        !matches!(self.operator.as_str(), "!=" | "<" | ">")
            && Version::parse(&self.version).is_some_and(|version| version.is_prerelease())
    }

    fn fits(&self, text: &str, version: &Version) -> bool {
        if self.operator == "===" {
            return text.eq_ignore_ascii_case(&self.version);
        }
        if let Some(prefix) = self.is_prefix() {
            let begins = begins_with(version, prefix);
            return match self.operator.as_str() {
                "==" => begins == Some(true),
                "!=" => begins == Some(false),
                _ => false,
            };
        }
        let Some(asked) = Version::parse(&self.version) else {
            return false;
        };
        let public = version.public();
        // A local version is a version of its own only where one is asked for.
        let same = if asked.local.is_empty() {
            public == asked || public.cmp(&asked) == Ordering::Equal
        } else {
            version.cmp(&asked) == Ordering::Equal
        };
        match self.operator.as_str() {
            "==" => same,
            "!=" => !same,
            ">=" => public >= asked,
            "<=" => public <= asked,
            "<" => {
                *version < asked
                    && !(version.is_prerelease()
                        && !asked.is_prerelease()
                        && version.has_base_of(&asked))
            }
            ">" => {
                *version > asked
                    && !(version.post.is_some()
                        && asked.post.is_none()
                        && version.has_base_of(&asked))
                    && (version.local.is_empty() || !version.has_base_of(&asked))
            }
            "~=" => {
                let mut parts: Vec<String> = asked.release.iter().map(u64::to_string).collect();
                parts.pop();
                let prefix = format!("{}!{}", asked.epoch, parts.join("."));
                !parts.is_empty() && public >= asked && begins_with(version, &prefix) == Some(true)
            }
            _ => false,
        }
    }
}

/// Whether a version begins with another; `None` for what is no version.
fn begins_with(version: &Version, prefix: &str) -> Option<bool> {
    let prefix = Version::parse(prefix)?;
    let mut release = version.release.clone();
    release.resize(release.len().max(prefix.release.len()), 0);
    Some(prefix.epoch == version.epoch && release.starts_with(&prefix.release))
}

/// Whether a version is all that is asked. What comes before a release is so only where
/// one is asked for by name.
pub(crate) fn fits(text: &str, asked: &[Specifier]) -> bool {
    if asked.is_empty() {
        return true;
    }
    let Some(version) = Version::parse(text) else {
        return false;
    };
    (!version.is_prerelease() || asked.iter().any(Specifier::names_prerelease))
        && asked.iter().all(|one| one.fits(text, &version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_in_the_order_of_pep_440() {
        let order = [
            "1.0.dev1",
            "1.0a1.dev1",
            "1.0a1",
            "1.0b2",
            "1.0rc1",
            "1.0",
            "1.0+a",
            "1.0+1",
            "1.0.post1.dev1",
            "1.0.post1",
            "1.1",
            "2!0",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        for (a, b) in [
            ("1.0", "1.0.0"),
            ("1.0-1", "1.0.post1"),
            ("v1.0ALPHA", "1a0"),
        ] {
            assert_eq!(version(a).cmp(&version(b)), Ordering::Equal, "{a} {b}");
        }
        for none in [
            "",
            "x",
            "2004d",
            "1.0+",
            "1.0+a..b",
            "1..0",
            "99999999999999999999999",
        ] {
            assert_eq!(Version::parse(none), None, "{none}");
        }
    }

    /// What Salt 3008.3 takes for fulfilled.
    #[test]
    fn what_is_asked_of_versions_is_what_salt_takes_for_it() {
        let asked = [
            "==1.0", ">=1.0", ">1.0", "<2.0", "<=1.0", "!=1.0", "~=1.0", "==1.*", "!=1.*",
            ">=1.0,<2", "===1.0", ">=1.0a1", "==2004d", "",
        ];
        for (text, wanted) in [
            ("1.0", "yynyynyynyyyny"),
            ("1.0.0", "yynyynyynynyny"),
            ("1.0a1", "nnnnnnnnnnnyny"),
            ("1.0.dev1", "nnnnnnnnnnnnny"),
            ("1.0.post1", "nynynyyynynyny"),
            ("1.0+local", "yynyynyynynyny"),
            ("2.0rc1", "nnnnnnnnnnnyny"),
            ("2.0", "nyynnynnynnyny"),
            ("1!1.0", "nyynnynnynnyny"),
            ("2!0", "nyynnynnynnyny"),
            ("2004d", "nnnnnnnnnnnnny"),
        ] {
            let found: String = asked
                .iter()
                .map(|asked| specifiers(asked).is_some_and(|asked| fits(text, &asked)))
                .map(|fits| if fits { 'y' } else { 'n' })
                .collect();
            assert_eq!(found, wanted, "{text}");
        }
    }
}
