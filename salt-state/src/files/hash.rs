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

impl Checksum {
    /// A bare checksum, or `kind=checksum` (also with `:` between).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (kind, hex) = match text.split_once(['=', ':']) {
            Some((kind, hex)) => (kind.trim().to_lowercase(), hex.trim()),
            None => (kind_of(text.len())?.to_owned(), text),
        };
        let fits = KINDS
            .iter()
            .any(|(known, length)| *known == kind && *length == hex.len());
        (fits && is_hex(hex)).then(|| Self {
            kind,
            hex: hex.to_lowercase(),
        })
    }

    /// Whether content has this checksum.
    pub(crate) fn fits(&self, content: &[u8]) -> Result<bool, CallError> {
        Ok(crate::functions::hash(&self.kind, content)? == self.hex)
    }
}

/// Finds the checksum of a file in a file of checksums: the line that names
/// `source_hash_name`, else the one that names the file or its source, else the only
/// checksum there is.
pub(crate) fn extract(
    content: &str,
    kind: &str,
    file_name: &str,
    source: &str,
    source_hash_name: &str,
) -> Option<Checksum> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let (file_base, source_base) = (base(file_name), base(source));
    let mut by_name: [Option<Checksum>; 3] = [None, None, None];
    let mut anonymous: Vec<Checksum> = Vec::new();
    let mut any: Option<Checksum> = None;
    for line in content.lines() {
        let line = line.trim();
        let words: Vec<&str> = line
            .split([' ', '\t', '=', ',', '"', '\''])
            .filter(|word| !word.is_empty())
            .collect();
        let wanted = KINDS.iter().find(|(known, _)| *known == kind);
        let found = words
            .iter()
            .find(|word| is_hex(word) && wanted.is_some_and(|(_, length)| *length == word.len()))
            .or_else(|| {
                words
                    .iter()
                    .find(|word| is_hex(word) && kind_of(word.len()).is_some())
            });
        let Some(hex) = found else { continue };
        let Some(kind) = kind_of(hex.len()) else {
            continue;
        };
        let sum = Checksum {
            kind: kind.to_owned(),
            hex: hex.to_lowercase(),
        };
        let names: Vec<String> = words
            .iter()
            .filter(|word| *word != hex)
            .map(|word| {
                word.trim_start_matches(['*', '('])
                    .trim_end_matches(')')
                    .to_owned()
            })
            .collect();
        any = any.or_else(|| Some(sum.clone()));
        if names.is_empty() {
            anonymous.push(sum.clone());
        }
        let is_named = |wanted: &str, whole: bool| {
            !wanted.is_empty()
                && names.iter().any(|name| {
                    if whole {
                        name == wanted || name.ends_with(&format!("/{wanted}"))
                    } else {
                        base(name) == wanted
                    }
                })
        };
        for (slot, named) in by_name.iter_mut().zip([
            is_named(source_hash_name, true),
            is_named(&file_base, false),
            is_named(&source_base, false),
        ]) {
            if named && slot.is_none() {
                *slot = Some(sum.clone());
            }
        }
    }
    let [stated, file, source] = by_name;
    if !source_hash_name.is_empty() {
        return stated;
    }
    if file_base.is_empty() && source_base.is_empty() {
        return any.filter(|sum| kind.is_empty() || sum.kind == kind);
    }
    file.or(source).or_else(|| anonymous.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_says_its_kind_or_shows_it() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for text in [
            md5.to_owned(),
            format!("md5={md5}"),
            format!("MD5:{}", md5.to_uppercase()),
        ] {
            let sum = Checksum::parse(&text).unwrap();
            assert_eq!((sum.kind.as_str(), sum.hex.as_str()), ("md5", md5));
            assert!(sum.fits(b"").unwrap());
        }
        for bad in ["", "md5=123", "sha1=d41d8cd98f00b204e9800998ecf8427e", "zz"] {
            assert_eq!(Checksum::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_line_of_the_file_is_found() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let text = format!("{a}  one.tgz\n{b} *two.tgz\n");
        let find = |name, file| extract(&text, "", file, "", name).map(|sum| sum.hex);

        assert_eq!(find("", "/x/two.tgz"), Some(b.clone()));
        assert_eq!(find("one.tgz", "/x/two.tgz"), Some(a));
        assert_eq!(find("three", "/x/two.tgz"), None);
        assert_eq!(
            extract(&b, "", "/any", "", "").map(|sum| sum.hex),
            Some(b.clone())
        );
    }
}
