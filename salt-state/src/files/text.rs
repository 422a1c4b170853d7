//! Content of files as Python takes it: its lines, whether it is text, and its diffs.

use crate::diff::unified_diff;

/// `bytes.splitlines(True)`: breaks are `\n`, `\r\n` and `\r`.
pub(crate) fn byte_lines(content: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let end = match rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            None => rest.len(),
            Some(at) if rest.get(at..at + 2) == Some(b"\r\n") => at + 2,
            Some(at) => at + 1,
        };
        let (line, tail) = rest.split_at(end);
        lines.push(line);
        rest = tail;
    }
    lines
}

/// `str.splitlines()`: also at form feeds and Unicode's separators; the breaks are left
/// out.
pub(crate) fn text_lines(text: &str) -> Vec<&str> {
    split_lines(text, false)
}

/// `str.splitlines(True)`.
pub(crate) fn text_lines_with_ends(text: &str) -> Vec<&str> {
    split_lines(text, true)
}

fn split_lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_break = matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        );
        if !is_break {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && chars.next_if(|(_, next)| *next == '\n').is_some() {
            end += 1;
        }
        lines.push(
            text.get(start..if keep { end } else { at })
                .unwrap_or_default(),
        );
        start = end;
    }
    if start < text.len() {
        lines.push(text.get(start..).unwrap_or_default());
    }
    lines
}

/// Bytes as text: UTF-8, else every byte a letter (Latin-1).
pub(crate) fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Whether content is for machines: it has a NUL at its beginning, or is not UTF-8 and
/// has many bytes that no text has.
pub(crate) fn is_binary(content: &[u8]) -> bool {
    let head = content.get(..2048).unwrap_or(content);
    if head.contains(&0) {
        return true;
    }
    // A letter may be cut in two at the end of the part that is looked at.
    let is_text = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && head.len() == 2048,
    };
    if is_text {
        return false;
    }
    let is_plain = |byte: &&u8| matches!(**byte, 32..=126 | b'\n' | b'\r' | b'\t' | 8);
    let odd = head.len() - head.iter().filter(is_plain).count();
    odd * 10 > head.len() * 3
}

/// The diff of two contents as Salt reports it, empty when they are equal.
pub(crate) fn content_diff(old: &[u8], new: &[u8], from: &str, to: &str) -> String {
    if old == new {
        return String::new();
    }
    match (is_binary(old), is_binary(new)) {
        (true, true) => "Replace binary file".to_owned(),
        (true, false) => "Replace binary file with text file".to_owned(),
        (false, true) => "Replace text file with binary file".to_owned(),
        (false, false) => {
            let lines =
                |content| -> Vec<String> { byte_lines(content).into_iter().map(decoded).collect() };
            unified_diff(&lines(old), &lines(new), from, to).concat()
        }
    }
}

/// The diff of texts by lines with their ends.
pub(crate) fn text_diff(old: &str, new: &str) -> String {
    unified_diff(
        &text_lines_with_ends(old),
        &text_lines_with_ends(new),
        "",
        "",
    )
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pythons() {
        assert_eq!(
            byte_lines(b"a\r\nb\rc\n\nd"),
            [&b"a\r\n"[..], b"b\r", b"c\n", b"\n", b"d"]
        );
        assert_eq!(text_lines("a\u{c}b\u{2028}c\r\n"), ["a", "b", "c"]);
        assert_eq!(text_lines_with_ends("a\n\nb"), ["a\n", "\n", "b"]);
        assert!(text_lines("").is_empty());
    }

    #[test]
    fn what_is_not_text_is_told_by_its_bytes() {
        assert!(is_binary(b"\0\x01"));
        assert!(is_binary(b"\xfc\n"));
        assert!(!is_binary(b"lots of text and \xfc\n"));
        assert!(!is_binary("für\n".as_bytes()));
        assert!(!is_binary(b""));
    }
}
