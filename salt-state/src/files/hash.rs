//! Checksums as `source_hash` gives them.

use crate::registry::CallError;

/// A checksum and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    /// `md5`, `sha256`, …
    pub(crate) kind: String,
    /// In hex, lower case.
    pub(crate) hex: String,
}

const KINDS: [(&str, usize); 6] = [
    ("md5", 32),
    ("sha1", 40),
    ("sha224", 56),
    ("sha256", 64),
    ("sha384", 96),
    ("sha512", 128),
];

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn kind_of(length: usize) -> Option<&'static str> {
    KINDS
        .iter()
        .find(|(_, known)| *known == length)
        .map(|(kind, _)| *kind)
}

/// What is wrong with a stated checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadChecksum {
    /// It is neither of the forms.
    Format,
    /// Salt's text for a kind that is unknown or does not fit.
    Kind(String),
}

impl Checksum {
    /// A bare checksum, or `kind=checksum`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadChecksum> {
        let Some((kind, hex)) = text.split_once('=') else {
            let kind = kind_of(text.len()).filter(|_| is_hex(text));
            return match kind {
                Some(kind) => Ok(Self::new(kind, text)),
                None => Err(BadChecksum::Format),
            };
        };
        let (kind, hex) = (kind.trim(), hex.trim());
        if !KINDS.iter().any(|(known, _)| *known == kind) {
            let supported: Vec<&str> = KINDS.iter().rev().map(|(kind, _)| *kind).collect();
            return Err(BadChecksum::Kind(format!(
                "Invalid hash type '{kind}'. Supported hash types are: {}. Either remove the hash type and simply use '{hex}' as the source_hash, or change the hash type to a supported type.",
                supported.join(", ")
            )));
        }
        match kind_of(hex.chars().count()) {
            None => Err(BadChecksum::Format),
            Some(actual) if actual != kind => Err(BadChecksum::Kind(format!(
                "Invalid length ({}) for hash type '{kind}'. Either remove the hash type and simply use '{hex}' as the source_hash, or change the hash type to '{actual}'",
                hex.chars().count()
            ))),
            Some(_) => Ok(Self::new(kind, hex)),
        }
    }

    fn new(kind: &str, hex: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            hex: hex.to_owned(),
        }
    }

    /// Whether content has this checksum.
    pub(crate) fn fits(&self, content: &[u8]) -> Result<bool, CallError> {
        Ok(crate::functions::hash(&self.kind, content)?.eq_ignore_ascii_case(&self.hex))
    }
}

/// Finds the checksum of a file in a file of checksums: of the lines that end with
/// `source_hash_name`, else with the file's name, else with its source's, else of all,
/// the first. A `kind` that is known leaves out the others.
///
/// A line's checksum is its first run of as many hexadecimal digits as some kind has,
/// which no letter or digit touches. A name follows a blank; that of the file and the
/// source are without directories and may follow these or a `*`.
pub(crate) fn extract(
    content: &str,
    kind: &str,
    file_name: &str,
    source: &str,
    source_hash_name: &str,
) -> Option<Checksum> {
    let source = source.split(['?', '#']).next().unwrap_or_default();
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let (file_base, source_base) = (base(file_name), base(source));
    let mut by_name: [Option<Checksum>; 3] = [None, None, None];
    let mut any: Option<Checksum> = None;
    for line in content.lines() {
        let Some(sum) = first_in(line, kind) else {
            continue;
        };
        let line = line.trim_end();
        let last = line.split_whitespace().next_back().unwrap_or_default();
        let ends_with = |name: &str| {
            !name.is_empty()
                && line
                    .strip_suffix(name)
                    .is_some_and(|before| before.ends_with(char::is_whitespace))
        };
        let has_base = |name: &str| {
            !name.is_empty()
                && (ends_with(name)
                    || last
                        .strip_suffix(name)
                        .is_some_and(|before| before == "*" || before.ends_with('/')))
        };
        for (slot, named) in by_name.iter_mut().zip([
            ends_with(source_hash_name),
            has_base(&file_base),
            has_base(&source_base),
        ]) {
            if named && slot.is_none() {
                *slot = Some(sum.clone());
            }
        }
        any = any.or(Some(sum));
    }
    by_name.into_iter().flatten().next().or(any)
}

/// The first checksum in a line.
fn first_in(line: &str, kind: &str) -> Option<Checksum> {
    let wanted = KINDS.iter().find(|(known, _)| *known == kind);
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|run| is_hex(run))
        .find_map(|run| match wanted {
            Some((kind, length)) => (*length == run.len()).then(|| Checksum::new(kind, run)),
            None => kind_of(run.len()).map(|kind| Checksum::new(kind, run)),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_says_its_kind_or_shows_it() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for text in [md5.to_owned(), format!("md5 = {md5}"), md5.to_uppercase()] {
            let sum = Checksum::parse(&text).unwrap();
            assert_eq!(sum.kind, "md5");
            assert!(sum.fits(b"").unwrap());
        }
        for bad in ["", "md5=123", "md5=", "zz", &format!("md5:{md5}")] {
            assert_eq!(Checksum::parse(bad), Err(BadChecksum::Format), "{bad}");
        }
        for bad in [format!("sha1={md5}"), format!("MD5={md5}"), "=".to_owned()] {
            let said = Checksum::parse(&bad);
            assert!(matches!(said, Err(BadChecksum::Kind(_))), "{said:?}");
        }
    }

    #[track_caller]
    fn find(line: &str, stated: &str, file: &str, source: &str) -> bool {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let text = format!("{a}  zero\n{b}  {line}\n");
        let found = extract(&text, "", file, source, stated).unwrap();
        assert!(found.hex == a || found.hex == b);
        found.hex == b
    }

    #[test]
    fn the_line_of_the_file_is_found() {
        // As file.extract_hash of Salt 3008.3 found them.
        for (line, by_name, by_base) in [
            ("two", true, true),
            ("x/two", false, true),
            ("*two", false, true),
            ("http://h/two", false, true),
            ("x two", true, true),
            ("two two", true, true),
            ("two\r", true, true),
            ("(two)", false, false),
            ("two.gz", false, false),
            ("xtwo", false, false),
            ("'two'", false, false),
            ("x=two", false, false),
            ("x two y", false, false),
        ] {
            assert_eq!(find(line, "two", "", ""), by_name, "{line}");
            assert_eq!(find(line, "", "/r/two", ""), by_base, "{line}");
            assert_eq!(find(line, "", "", "http://h/two?q#f"), by_base, "{line}");
        }
        assert!(
            find("two", "three", "/x/two", ""),
            "the file's own comes next"
        );
        assert!(!find("two", "", "", ""), "else the first");
    }

    #[test]
    fn a_checksum_is_what_nothing_touches() {
        let (md5, sha) = ("d".repeat(32), "a".repeat(64));
        let find = |text: String, kind: &str| extract(&text, kind, "", "", "").map(|sum| sum.hex);

        for line in [
            format!("[{sha}] x"),
            format!("_{sha}, x"),
            format!("sha256:{sha}"),
            format!("{sha}-{md5}"),
        ] {
            assert_eq!(find(line.clone(), ""), Some(sha.clone()), "{line}");
            assert_eq!(find(line, "sha512"), None);
        }
        assert_eq!(find(format!("{sha} {md5}"), "md5"), Some(md5.clone()));
        assert_eq!(find(format!("x{sha}"), ""), None);
        assert_eq!(find(format!("{sha}0"), ""), None);
    }
}
