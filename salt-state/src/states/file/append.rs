//! `file.append` and `file.prepend`.

use std::path::PathBuf;

use salt_proto::{Map, Value};

use super::{Answer, managed, named, texts, with_dirs};
use crate::args::Args;
use crate::diff::unified_diff;
use crate::files::encoding::utf8;
use crate::files::perms::Wanted;
use crate::files::regex::{Flags, Pattern};
use crate::files::source::{self, Failure, os_error};
use crate::files::text::{text_diff, text_lines};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{WriteOptions, errno_text};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.append",
        "append(name, text=None, makedirs=False, source=None, source_hash=None, template='jinja', sources=None, source_hashes=None, defaults=None, context=None, ignore_whitespace=True, show_changes=True)",
        "Adds text at the end of a file unless the file has it.",
        |args, check| add(args, check, false),
    );
    registry.add_state(
        "file.prepend",
        "prepend(name, text=None, makedirs=False, source=None, source_hash=None, template='jinja', sources=None, source_hashes=None, defaults=None, context=None, header=None, show_changes=True)",
        "Adds text at the beginning of a file unless the file has it.",
        |args, check| add(args, check, true),
    );
}

/// Whether a file has a text, line by line; blanks may differ where they are ignored.
pub(crate) fn contains(content: &str, text: &str, ignore_blanks: bool) -> Result<bool, CallError> {
    if text.is_empty() {
        return Ok(true);
    }
    let mut pattern = String::from("(?m)");
    if ignore_blanks {
        for line in text.split('\n') {
            let words: Vec<String> = line
                .split_whitespace()
                .map(|word| fancy_regex::escape(word).into_owned())
                .collect();
            pattern.push_str("^(?:[\\s]+)?");
            pattern.push_str(&words.join("(?:[\\s]+)?"));
            pattern.push_str("(?:[\\s]+)?$");
            pattern.push('\n');
        }
        pattern.pop();
        pattern.insert_str(0, "");
    } else {
        pattern.push('^');
        pattern.push_str(&fancy_regex::escape(text));
        pattern.push('$');
    }
    Pattern::new(&pattern, Flags::default())?.is_match(content)
}

/// One source; what Python says where it is none.
fn single(source: &Value) -> Result<String, CallError> {
    let kind = source.type_name();
    match source {
        Value::Str(source) => Ok(source.clone()),
        Value::List(_) | Value::Map(_) => Err(CallError::exception(
            "AttributeError",
            format!("'{kind}' object has no attribute 'decode'"),
        )),
        _ => Err(CallError::exception(
            "TypeError",
            format!("'{kind}' object is not iterable"),
        )),
    }
}

/// The texts of the sources of a state, rendered; the error is the plan that says which
/// one is missing.
pub(super) fn of_sources(
    args: &Args,
    check: &Check<'_>,
    name: &str,
) -> Result<Result<Option<Vec<String>>, Plan>, CallError> {
    let given = |key: &str| args.given(key).filter(|value| value.is_true());
    let urls = match (given("source"), given("sources")) {
        (Some(_), Some(_)) => {
            return Ok(Err(Plan::fail("source and sources are mutually exclusive")));
        }
        (None, None) => return Ok(Ok(None)),
        (Some(one), None) => vec![single(one)?],
        (None, Some(Value::Str(one))) => one.chars().map(String::from).collect(),
        (None, Some(Value::Map(all))) => all.keys().map(python::str).collect(),
        (None, Some(all @ Value::List(_))) => texts(Some(all)),
        (None, Some(wrong)) => {
            let text = format!("object of type '{}' has no len()", wrong.type_name());
            return Err(CallError::exception("TypeError", text));
        }
    };
    if let Some(url) = urls
        .iter()
        .find(|url| !url.contains("://") && !url.starts_with('/'))
    {
        return Err(CallError::execution(format!(
            "Path '{url}' is not absolute"
        )));
    }
    let mut all = Vec::new();
    let saltenv = check.environment();
    let renderer = args.optional_text("template").unwrap_or_default();
    for url in urls {
        let missing = || {
            Plan::fail(format!("Failed to load template file {url}"))
                .extra("name", url.as_str())
                .extra("data", Vec::<Value>::new())
        };
        let content = match source::content(&url, saltenv, check.context) {
            Ok(Some(content)) => content,
            Ok(None) | Err(Failure::Foreseen(_)) => return Ok(Err(missing())),
            Err(Failure::Exception(error)) => return Err(error),
        };
        let text = String::from_utf8_lossy(&content).into_owned();
        if renderer.is_empty() {
            all.push(text);
            continue;
        }
        let vars: Map = managed::template_variables(name, args, check)?;
        let path = source::tree_path(&url);
        match source::render(&renderer, &text, path, saltenv, &vars, check.context) {
            Ok(text) => all.push(text),
            Err(_) => return Ok(Err(missing())),
        }
    }
    Ok(Ok(Some(all)))
}

fn add(args: &Args, check: &Check<'_>, before: bool) -> Answer {
    let function = if before { "prepend" } else { "append" };
    let name = match named(args, function, check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let text = match of_sources(args, check, &name)? {
        Err(plan) => return Ok(plan),
        Ok(Some(texts)) => texts,
        Ok(None) => match args.given("text") {
            Some(Value::List(all)) => all.iter().map(python::str).collect(),
            Some(one) => vec![python::str(one)],
            None => vec!["None".to_owned()],
        },
    };
    let path = PathBuf::from(&name);
    let fails = |error| os_error(error, &path);
    let there = check.system.metadata(&path).map_err(fails)?;
    if there.as_ref().is_some_and(|there| there.is_dir()) {
        return Err(fails(rustix::io::Errno::ISDIR.into()));
    }
    let parent = super::dirname(&path).to_owned();
    let makedirs = args.is_true("makedirs");
    if there.is_none() {
        if check.is_test() {
            return Ok(Plan::answer(
                None,
                format!("File {name} is set to be created"),
                Changes::of("new", name.as_str()),
            ));
        }
        if !makedirs && !check.system.is_dir(&parent) {
            return Ok(Plan::fail(format!("{name}: file not found")));
        }
    }
    let old = check.system.read(&path).map_err(fails)?.unwrap_or_default();
    let old = match utf8(&old) {
        Ok(old) => old.to_owned(),
        Err(text) => return Err(CallError::exception("UnicodeDecodeError", text)),
    };
    let blanks = before || args.is_true("ignore_whitespace");
    let header = before && args.is_true("header");
    let mut lines: Vec<String> = Vec::new();
    for chunk in &text {
        let whole = text_lines(chunk).join("\n");
        if header || !contains(&old, &whole, blanks)? {
            lines.extend(text_lines(chunk).into_iter().map(str::to_owned));
        }
    }
    if header && !check.is_test() {
        let head: Vec<&str> = text_lines(&old).into_iter().take(lines.len()).collect();
        if head == lines {
            lines.clear();
        }
    }
    let correct = format!("File {name} is in correct state");
    if lines.is_empty() {
        return Ok(if there.is_none() {
            Plan::change(correct, Changes::none(), move |context| {
                context
                    .system
                    .write(&path, b"", &WriteOptions::new())
                    .map_err(|error| os_error(error, &path))
            })
        } else {
            Plan::unchanged(correct)
        });
    }
    let new = if before {
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            + &old
    } else {
        let mut new = old.clone();
        if !new.is_empty() && !new.ends_with('\n') {
            new.push('\n');
        }
        for line in &lines {
            new.push_str(line);
            new.push('\n');
        }
        new
    };
    let diff = if !args.is_true("show_changes") {
        "<show_changes=False>".to_owned()
    } else if before {
        text_diff(&old, &new)
    } else {
        unified_diff(&text_lines(&old), &text_lines(&new), "", "").join("\n")
    };
    let count = lines.len();
    let what = if before { "Prepended" } else { "Appended" };
    Ok(Plan::change(
        format!("{what} {count} lines"),
        Changes::of("diff", diff),
        move |context| {
            let written = match makedirs {
                true => with_dirs(&parent, &Wanted::default(), context),
                false => Ok(()),
            };
            let options = WriteOptions {
                follow: true,
                ..WriteOptions::new()
            };
            let written =
                written.and_then(|()| context.system.write(&path, new.as_bytes(), &options));
            Ok(match written {
                Ok(()) => Done::as_planned(),
                Err(error) => Done::failed(errno_text(&error, Some(&path))),
            })
        },
    )
    .when_testing(format!("File {name} is set to be updated")))
}
