//! What to try when a file does not render.

use crate::diagnostic::Place;
use crate::{jinja, yaml};

/// Whether something that began is never closed, so that its beginning is the place to
/// look at and not the end of the file.
pub(super) fn is_unclosed(error: &yaml::Error) -> bool {
    matches!(
        error.problem(),
        "found unexpected end of stream"
            | "did not find expected ',' or ']'"
            | "did not find expected ',' or '}'"
    )
}

/// Advice for an error in YAML.
pub(super) fn yaml(error: &yaml::Error, place: Option<&Place>) -> Option<&'static str> {
    let there = place.and_then(|place| {
        let column = usize::try_from(place.column.saturating_sub(1)).ok()?;
        place.text.chars().nth(column)
    });
    Some(match error.problem() {
        "found character that cannot start any token" if there == Some('\t') => {
            "indent with spaces, not tabs"
        }
        "found character that cannot start any token" => {
            "put the value in quotes: it begins with a reserved character"
        }
        "did not find expected alphabetic or numeric character" => {
            "put the value in quotes: `*` and `&` begin aliases and anchors"
        }
        "mapping values are not allowed in this context" => {
            "put a value that contains `: ` in quotes, or give the line above its colon"
        }
        "could not find expected ':'" => "a key needs a colon behind it",
        "did not find expected key" => "indent the line as those it belongs to",
        "did not find expected '-' indicator" => "begin all items of a list in one column",
        "found unexpected end of stream" => "this quote is never closed",
        "did not find expected ',' or ']'" => "this bracket is never closed",
        "did not find expected ',' or '}'" => "this brace is never closed",
        "found undefined alias" => "an alias (`*name`) needs an anchor (`&name`) before it",
        problem if problem.starts_with("found conflicting ID") => {
            "a key may be there once: join both, or rename one"
        }
        problem if problem.starts_with("found unacceptable key [(") => {
            "braces begin a mapping in YAML: render the file with `#!jinja|yaml`, or quote the value"
        }
        _ => return None,
    })
}

/// Advice for an error in a template.
pub(super) fn template(error: &jinja::Error) -> Option<String> {
    let message = error.message();
    let advice = match error.kind() {
        jinja::Kind::Undefined if message.ends_with("is undefined") => {
            "set or import the name before it is used, or give a default: `name | default(…)`"
        }
        jinja::Kind::Undefined => "check the spelling, or use `.get('…')` where it may be missing",
        jinja::Kind::NotFound => "the path counts from the root of the tree, or from `./`",
        jinja::Kind::Syntax if message.starts_with("Unexpected end of template") => {
            "this block is never closed"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

/// The column to show: for a block that is never closed the beginning of its tag.
pub(super) fn opening_column(error: &jinja::Error, place: &jinja::Place) -> u32 {
    if !error.message().starts_with("Unexpected end of template") {
        return place.column;
    }
    let index = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let line = place.source.text.lines().nth(index).unwrap_or_default();
    let width = usize::try_from(place.column).unwrap_or(usize::MAX);
    let before: String = line.chars().take(width).collect();
    match before.rfind("{%") {
        Some(at) => {
            let chars = before.get(..at).unwrap_or_default().chars().count();
            u32::try_from(chars).unwrap_or(0) + 1
        }
        None => place.column,
    }
}
