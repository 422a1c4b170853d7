//! What somebody asks `pip` for: a name with versions, a file, or an address.

use std::path::Path;

use super::version::{self, Specifier};
use crate::system::Observe;

/// One thing to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The name of the package as it is written; empty where nothing says it.
    pub(crate) name: String,
    /// What is asked of its version.
    pub(crate) asked: Vec<Specifier>,
}

/// A name as it is compared: lower case, with one dash for every run of `-`, `_` and `.`.
pub(crate) fn normalized(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

const ARCHIVES: [&str; 8] = [
    ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz",
];

/// The name and version of a wheel by the name of its file.
fn wheel(file: &str) -> Option<Requirement> {
    let stem = file.strip_suffix(".whl")?;
    let parts: Vec<&str> = stem.split('-').collect();
    if !matches!(parts.len(), 5 | 6) {
        return None;
    }
    Some(Requirement {
        name: (*parts.first()?).to_owned(),
        asked: vec![Specifier {
            operator: "==".to_owned(),
            version: (*parts.get(1)?).to_owned(),
        }],
    })
}

impl Requirement {
    fn nameless() -> Self {
        Self {
            name: String::new(),
            asked: Vec::new(),
        }
    }

    /// Reads what is asked for; the error is in Salt's words.
    pub(crate) fn parse(text: &str, machine: &dyn Observe) -> Result<Self, String> {
        let trimmed = text.trim();
        if let Some((scheme, rest)) = trimmed.split_once("://")
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        {
            if let Some((_, fragment)) = rest.split_once('#')
                && let Some(egg) = fragment
                    .split('&')
                    .find_map(|part| part.strip_prefix("egg="))
            {
                return Ok(Self {
                    name: egg.split('[').next().unwrap_or(egg).to_owned(),
                    asked: Vec::new(),
                });
            }
            let path = rest.split(['#', '?']).next().unwrap_or(rest);
            let file = path.rsplit('/').next().unwrap_or(path);
            return Ok(wheel(file).unwrap_or_else(Self::nameless));
        }
        let file = trimmed.rsplit('/').next().unwrap_or(trimmed);
        if let Some(found) = wheel(file) {
            return Ok(found);
        }
        let looks_like_path =
            trimmed.contains('/') && !trimmed.contains(" @ ") || trimmed.starts_with('.');
        if looks_like_path && machine.is_dir(Path::new(trimmed)) {
            let has = |file: &str| machine.is_file(&Path::new(trimmed).join(file));
            return if has("setup.py") || has("pyproject.toml") {
                Ok(Self::nameless())
            } else {
                Err(format!(
                    "pip raised an exception while parsing '{text}': Directory '{trimmed}' is not installable. Neither 'setup.py' nor 'pyproject.toml' found."
                ))
            };
        }
        if ARCHIVES.iter().any(|end| trimmed.ends_with(end)) {
            return Ok(Self::nameless());
        }
        if let Some(found) = named(trimmed) {
            return Ok(found);
        }
        let mut complaint = if trimmed.contains('=') && !trimmed.contains("==") {
            format!(
                "Invalid version specification in package {text}. '=' is not supported, use '==' instead."
            )
        } else {
            format!(
                "pip raised an exception while parsing '{text}': Invalid requirement: '{trimmed}'"
            )
        };
        if looks_like_path {
            complaint.push_str(&format!(
                "\nHint: It looks like a path. File '{trimmed}' does not exist."
            ));
        }
        Err(complaint)
    }
}

/// `name [extras] [@ address | versions] [; marker]`. Markers are left to `pip`.
fn named(text: &str) -> Option<Requirement> {
    let text = text.split(';').next().unwrap_or(text).trim();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !is_name(name) {
        return None;
    }
    let mut rest = rest.trim_start();
    if let Some(extras) = rest.strip_prefix('[') {
        let (inside, after) = extras.split_once(']')?;
        if !inside.trim().is_empty() && !inside.split(',').all(|extra| is_name(extra.trim())) {
            return None;
        }
        rest = after.trim_start();
    }
    let asked = if rest.starts_with('@') {
        Vec::new()
    } else {
        let inside = match rest.strip_prefix('(') {
            Some(inside) => inside.trim_end().strip_suffix(')')?,
            None => rest,
        };
        version::specifiers(inside)?
    };
    Some(Requirement {
        name: name.to_owned(),
        asked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    fn read(text: &str) -> Result<(String, usize), String> {
        let machine = FakeSystem::new()
            .directory("/src/bare")
            .file("/src/good/setup.py", "");
        Requirement::parse(text, &machine).map(|found| (found.name, found.asked.len()))
    }

    #[test]
    fn names_and_addresses_are_read_as_salt_reads_them() {
        for (text, name, asked) in [
            ("alpha == 1.0", "alpha", 1),
            ("alpha[a,b]>=1", "alpha", 1),
            ("alpha (>=1,<2)", "alpha", 2),
            ("alpha ; python_version > \"3\"", "alpha", 0),
            ("alpha @ https://x/y", "alpha", 0),
            ("alpha>", "alpha", 1),
            ("alpha==1.x", "alpha", 1),
            ("alpha--upgrade", "alpha--upgrade", 0),
            ("http://x/alpha-1.0.tar.gz", "", 0),
            ("https://x/alpha-1.0-py3-none-any.whl", "alpha", 1),
            ("git+ssh://g@x/y.git#egg=alpha&subdirectory=z", "alpha", 0),
            ("git+https://x/y", "", 0),
            ("alpha-1.0.tar.gz", "", 0),
            ("/src/good", "", 0),
        ] {
            assert_eq!(read(text), Ok((name.to_owned(), asked)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_salts_words() {
        for (text, complaint) in [
            (
                "al pha",
                "pip raised an exception while parsing 'al pha': Invalid requirement: 'al pha'",
            ),
            (
                "",
                "pip raised an exception while parsing '': Invalid requirement: ''",
            ),
            (
                "alpha === = 1",
                "pip raised an exception while parsing 'alpha === = 1': Invalid requirement: 'alpha === = 1'",
            ),
            (
                "alpha=1",
                "Invalid version specification in package alpha=1. '=' is not supported, use '==' instead.",
            ),
            (
                "alpha>=1 >=2",
                "Invalid version specification in package alpha>=1 >=2. '=' is not supported, use '==' instead.",
            ),
            (
                "alpha>=1.0,",
                "Invalid version specification in package alpha>=1.0,. '=' is not supported, use '==' instead.",
            ),
            (
                "./foo",
                "pip raised an exception while parsing './foo': Invalid requirement: './foo'\nHint: It looks like a path. File './foo' does not exist.",
            ),
            (
                "/src/bare",
                "pip raised an exception while parsing '/src/bare': Directory '/src/bare' is not installable. Neither 'setup.py' nor 'pyproject.toml' found.",
            ),
        ] {
            assert_eq!(read(text), Err(complaint.to_owned()));
        }
    }

    #[test]
    fn names_are_compared_without_regard_to_their_spelling() {
        assert_eq!(normalized("a--b__C.d"), "a-b-c-d");
    }
}
