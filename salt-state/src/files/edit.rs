//! Editing text: replacing, commenting, keys and values. Everything here takes content
//! and gives content; who calls writes it.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::encoding::{decode, encode};
use super::regex::{Flags, Pattern, loose, tight};
use super::source::os_error;
use super::text::{byte_lines, decoded, is_binary, text_lines_with_ends};
use crate::context::Context;
use crate::diff::unified_diff;
use crate::python;
use crate::registry::CallError;
use crate::system::{Observe, WriteOptions};

/// The diff of two contents that are text.
pub(crate) fn diff(old: &[u8], new: &[u8]) -> String {
    let lines = |content| -> Vec<String> { byte_lines(content).into_iter().map(decoded).collect() };
    if old == new {
        return String::new();
    }
    unified_diff(&lines(old), &lines(new), "", "").concat()
}

/// The content of a file that a function wants to edit as text.
///
/// # Errors
///
/// Salt's: there is no such file, it is not text.
pub(crate) fn editable(
    path: &Path,
    encoding: Option<&str>,
    system: &dyn Observe,
) -> Result<Vec<u8>, CallError> {
    let binary = || {
        CallError::invocation(format!(
            "Cannot perform string replacements on a binary file: {}",
            path.display()
        ))
    };
    if system.is_dir(path) {
        return Err(binary());
    }
    let content = system
        .read(path)
        .map_err(|error| os_error(error, path))?
        .ok_or_else(|| CallError::invocation(format!("File not found: {}", path.display())))?;
    if encoding.is_none() && is_binary(&content) {
        return Err(binary());
    }
    Ok(content)
}

/// How `file.replace` replaces.
pub(crate) struct Replace {
    pub(crate) pattern: String,
    pub(crate) replacement: String,
    pub(crate) count: usize,
    pub(crate) flags: Flags,
    pub(crate) append: bool,
    pub(crate) prepend: bool,
    pub(crate) not_found: Option<String>,
    pub(crate) literal: bool,
    pub(crate) encoding: Option<String>,
}

impl Replace {
    /// The content with everything replaced, or with what was not found added.
    pub(crate) fn apply(&self, old: &[u8]) -> Result<Vec<u8>, CallError> {
        let (text, by_byte) = match &self.encoding {
            Some(encoding) => {
                let text = decode(old, encoding)
                    .map_err(|text| CallError::exception("UnicodeDecodeError", text))?;
                (text, false)
            }
            None => loose(old),
        };
        let pattern = Pattern::new(&self.pattern, self.flags)?;
        let (mut new, count) =
            pattern.replace(&text, &self.replacement, self.count, self.literal)?;
        if count == 0 && (self.append || self.prepend) {
            let content = self.not_found.as_deref().unwrap_or(&self.replacement);
            let there = Pattern::new(
                &format!("^{}($|(?=\\r\\n))", escaped(content)),
                Flags::MULTILINE,
            )?;
            if !there.is_match(&text)? {
                let content = content.strip_suffix('\n').unwrap_or(content);
                if self.prepend {
                    new = format!("{content}\n{text}");
                } else {
                    new = text.clone();
                    if !new.is_empty() && !new.ends_with('\n') {
                        new.push('\n');
                    }
                    new.push_str(content);
                    new.push('\n');
                }
            }
        }
        match &self.encoding {
            Some(_) if new == text => Ok(old.to_vec()),
            Some(encoding) => encode(&new, encoding, "strict")
                .map_err(|text| CallError::exception("UnicodeEncodeError", text)),
            None => Ok(tight(&new, by_byte)),
        }
    }

    /// The diff of contents as this replacement understands them.
    pub(crate) fn diff(&self, old: &[u8], new: &[u8]) -> String {
        match &self.encoding {
            Some(encoding) => {
                let text = |content| decode(content, encoding).unwrap_or_default();
                let (old, new) = (text(old), text(new));
                unified_diff(
                    &text_lines_with_ends(&old),
                    &text_lines_with_ends(&new),
                    "",
                    "",
                )
                .concat()
            }
            None => diff(old, new),
        }
    }
}

/// Text with the characters escaped that mean something in an expression; others stay,
/// so that places in error texts are those of what was typed.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Puts a comment character before the lines that begin with a pattern, or takes it
/// away; `None` when no line did.
pub(crate) fn comment(
    old: &[u8],
    regex: &str,
    mark: &str,
    add: bool,
) -> Result<Option<Vec<u8>>, CallError> {
    let body = regex.strip_prefix('^').unwrap_or(regex);
    let (body, end) = match body.strip_suffix('$') {
        Some(body) => (body, "$"),
        None => (body, ""),
    };
    let pattern = if add {
        format!("\\A({body}){end}")
    } else {
        format!("\\A{}(\\s*)({body}){end}", escaped(mark))
    };
    let pattern = Pattern::new(&pattern, Flags::default())?;
    let mut found = false;
    let mut new = Vec::with_capacity(old.len() + 16);
    for line in byte_lines(old) {
        let (text, _) = loose(line);
        if !pattern.is_match(&text)? {
            new.extend_from_slice(line);
            continue;
        }
        found = true;
        if add {
            new.extend_from_slice(mark.as_bytes());
            new.extend_from_slice(line);
        } else {
            new.extend_from_slice(line.get(mark.len()..).unwrap_or_default());
        }
    }
    Ok(found.then_some(new))
}

/// How `file.keyvalue` changes keys and values.
pub(crate) struct KeyValues {
    pub(crate) pairs: Map,
    pub(crate) separator: String,
    pub(crate) append: bool,
    pub(crate) prepend: bool,
    pub(crate) search_only: bool,
    pub(crate) count: i64,
    pub(crate) uncomment: Option<String>,
    pub(crate) key_ignore_case: bool,
    pub(crate) value_ignore_case: bool,
    pub(crate) prune: bool,
}

/// What became of keys and values.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct KeyValuesDone {
    pub(crate) content: String,
    pub(crate) diff: Vec<String>,
    pub(crate) changed: usize,
    pub(crate) deleted: usize,
}

impl KeyValues {
    fn same(&self, a: &str, b: &str, ignore_case: bool) -> bool {
        if ignore_case {
            a.to_lowercase() == b.to_lowercase()
        } else {
            a == b
        }
    }

    /// The content with these keys.
    pub(crate) fn apply(&self, old: &str) -> KeyValuesDone {
        let mut done = KeyValuesDone::default();
        let mut pruned: Vec<String> = Vec::new();
        let mut seen: Vec<(String, i64)> =
            self.pairs.keys().map(|key| (python::str(key), 0)).collect();
        for line in text_lines_with_ends(old) {
            let mut plain = line;
            let mut uncommented = false;
            if let Some(marks) = &self.uncomment {
                plain = line.trim_start_matches(|c| marks.contains(c));
                uncommented = plain.len() != line.len();
            }
            let bare = plain.trim_start();
            let mut matched = false;
            for ((key, value), (shown, count)) in self.pairs.iter().zip(seen.iter_mut()) {
                let start = format!("{shown}{}", self.separator);
                let Some(head) = bare.get(..start.len()) else {
                    continue;
                };
                if !self.same(head, &start, self.key_ignore_case) {
                    continue;
                }
                matched = true;
                if uncommented && *count >= self.count {
                    // One more that is commented out does no harm.
                    done.content.push_str(line);
                    break;
                }
                let key = if self.key_ignore_case {
                    head.to_owned()
                } else {
                    format!("{}{}", python::str(key), self.separator)
                };
                let held = bare.get(start.len()..).unwrap_or_default();
                let held = held.trim_end_matches(['\n', '\r']);
                let wanted = python::str(value);
                let correct = self.same(held, &wanted, self.value_ignore_case)
                    && !uncommented
                    && plain.len() == bare.len();
                if *count >= self.count && !correct {
                    done.changed += 1;
                    done.diff.push(format!("- {}", ended(line)));
                } else if correct || self.search_only {
                    done.content.push_str(line);
                } else {
                    done.changed += 1;
                    done.diff.push(format!("- {}", ended(line)));
                    let kind = match value {
                        Value::Str(_) => String::new(),
                        other => format!(" (from {} type)", other.type_name()),
                    };
                    done.diff.push(format!("+ {key}{wanted}{kind}\n"));
                    let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
                    done.content.push_str(&format!("{key}{wanted}{end}"));
                }
                *count += 1;
                break;
            }
            if !matched {
                if self.prune {
                    pruned.push(format!("- {}", ended(line)));
                } else {
                    done.content.push_str(line);
                }
            }
        }
        for line in pruned {
            done.deleted += 1;
            let at = done.diff.len().min(1);
            done.diff.insert(at, line);
        }
        let missing: Vec<String> = self
            .pairs
            .iter()
            .zip(&seen)
            .filter(|(_, (_, count))| *count == 0)
            .map(|((key, value), _)| {
                format!(
                    "{}{}{}\n",
                    python::str(key),
                    self.separator,
                    python::str(value)
                )
            })
            .collect();
        if missing.is_empty() || self.search_only {
            return done;
        }
        if self.append {
            done.diff.push("- <EOF>\n".to_owned());
            for line in &missing {
                done.diff.push(format!("+ {line}"));
                done.content.push_str(line);
            }
            done.diff.push("+ <EOF>\n".to_owned());
            done.changed += missing.len();
        } else if self.prepend {
            let mut head = vec!["  <SOF>\n".to_owned()];
            let mut front = String::new();
            for line in missing.iter().rev() {
                head.push(format!("+ {line}"));
                front.push_str(line);
            }
            head.append(&mut done.diff);
            done.diff = head;
            done.content.insert_str(0, &front);
            done.changed += missing.len();
        }
        done
    }
}

fn ended(line: &str) -> String {
    if line.ends_with('\n') {
        line.to_owned()
    } else {
        format!("{line}\n")
    }
}

/// Where an edited file is kept before it is changed: its name with something behind it.
/// A link has its target copied, and a link of that name to the copy where `links`.
pub(crate) fn rewrite(
    path: &Path,
    new: &[u8],
    backup: Option<&str>,
    links: bool,
    context: &Context<'_>,
) -> Result<(), CallError> {
    let system = context.system;
    let fails = |error| os_error(error, path);
    let is_link = system.is_link(path);
    let real = if is_link {
        system.canonicalize(path).map_err(fails)?
    } else {
        path.to_owned()
    };
    let Some(found) = system.metadata(&real).map_err(fails)? else {
        return Err(fails(rustix::io::Errno::NOENT.into()));
    };
    if let Some(ending) = backup.filter(|ending| !ending.is_empty()) {
        let copy = with_ending(&real, ending);
        if let Some(old) = system.read(&real).map_err(fails)? {
            system
                .write(&copy, &old, &WriteOptions::new().mode(found.mode))
                .map_err(|error| os_error(error, &copy))?;
        }
        if is_link && links {
            let link = with_ending(path, ending);
            let target = system.read_link(path).map_err(fails)?;
            system.remove_all(&link).map_err(fails)?;
            system
                .symlink(&with_ending(&target, ending), &link)
                .map_err(|error| os_error(error, &link))?;
        }
    }
    system
        .write(&real, new, &WriteOptions::new())
        .map_err(|error| os_error(error, &real))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
