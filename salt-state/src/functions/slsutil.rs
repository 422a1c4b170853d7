//! `slsutil.*`: what SLS files need.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::data::update;
use crate::registry::{CallError, Registry};
use crate::{fnmatch, python};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "slsutil.merge",
        "merge(obj_a, obj_b, strategy='smart', renderer='yaml', merge_lists=False)",
        "Merges two mappings: smart or recurse (key by key), overwrite, list (values side by side), aggregate.",
        |args, _| {
            let map = |name| args.get(name).cloned().unwrap_or_default();
            let strategy = args.text("strategy")?;
            merge(
                map("obj_a"),
                map("obj_b"),
                &strategy,
                args.is_true("merge_lists"),
            )
        },
    );
    add(
        "slsutil.merge_all",
        "merge_all(lst, strategy='smart', renderer='yaml', merge_lists=False)",
        "Merges all mappings of a list.",
        |args, _| {
            let strategy = args.text("strategy")?;
            let merge_lists = args.is_true("merge_lists");
            let all = args.get("lst").and_then(Value::as_list).unwrap_or_default();
            all.iter().try_fold(Map::new().into(), |merged, next| {
                merge(merged, next.clone(), &strategy, merge_lists)
            })
        },
    );
    add(
        "slsutil.update",
        "update(dest, upd, recursive_update=True, merge_lists=False)",
        "Returns a mapping with another over it.",
        |args, _| {
            let (Some(Value::Map(dest)), Some(Value::Map(upd))) =
                (args.get("dest"), args.get("upd"))
            else {
                return Err(CallError::Arguments(
                    "Cannot update using non-dict types in dictupdate.update()".to_owned(),
                ));
            };
            let mut dest = dest.clone();
            if args.is_true("recursive_update") {
                update(&mut dest, upd, args.is_true("merge_lists"));
            } else {
                dest.extend(upd.clone());
            }
            Ok(dest.into())
        },
    );
    add(
        "slsutil.boolstr",
        "boolstr(value, true='true', false='false')",
        "Returns one of two texts: whether a value means yes.",
        |args, _| {
            let value = args.get("value").cloned().unwrap_or_default();
            let name = if value.is_true() { "true" } else { "false" };
            Ok(args.get(name).cloned().unwrap_or_default())
        },
    );
    add(
        "slsutil.banner",
        "banner(width=72, commentchar='#', borderchar='#', blockstart=None, blockend=None, title=None, text=None, newline=False)",
        "Returns a comment block that says that Salt manages a file.",
        banner,
    );
    add(
        "slsutil.file_exists",
        "file_exists(path, saltenv='base')",
        "Returns whether the state tree has such a file.",
        |args, context| Ok(in_tree(args, context, true, false)?.into()),
    );
    add(
        "slsutil.dir_exists",
        "dir_exists(path, saltenv='base')",
        "Returns whether the state tree has such a directory.",
        |args, context| Ok(in_tree(args, context, false, true)?.into()),
    );
    add(
        "slsutil.path_exists",
        "path_exists(path, saltenv='base')",
        "Returns whether the state tree has such a file or directory.",
        |args, context| Ok(in_tree(args, context, true, true)?.into()),
    );
    add(
        "slsutil.findup",
        "findup(startpath, filenames, saltenv='base')",
        "Returns the first of several files that a directory of the state tree, or one above it, has.",
        findup,
    );
}

fn merge(a: Value, b: Value, strategy: &str, merge_lists: bool) -> Answer {
    let (Value::Map(mut a), Value::Map(b)) = (a, b) else {
        return Err(CallError::Arguments(
            "Cannot update using non-dict types in dictupdate.update()".to_owned(),
        ));
    };
    match strategy {
        "overwrite" => a.extend(b),
        "list" => {
            a = a
                .into_iter()
                .map(|(key, old)| match b.get_value(&key) {
                    Some(new) => (key, Value::List(vec![old, new.clone()])),
                    None => (key, old),
                })
                .collect();
        }
        // Aggregation needs the marks of another renderer; without them, it replaces.
        _ => update(&mut a, &b, merge_lists),
    }
    Ok(a.into())
}

fn banner(args: &Args, _: &Context<'_>) -> Answer {
    const TITLE: &str = "THIS FILE IS MANAGED BY SALT - DO NOT EDIT";
    const TEXT: &str = "The contents of this file are managed by Salt. Any changes to this file may be overwritten automatically and without warning.";
    let width = usize::try_from(args.int("width")?).unwrap_or(0).min(10_000);
    let comment = args.text("commentchar")?;
    let border = args.text("borderchar")?;
    let title = args
        .optional_text("title")
        .unwrap_or_else(|| TITLE.to_owned());
    let text = args
        .optional_text("text")
        .unwrap_or_else(|| TEXT.to_owned());
    let start = args.optional_text("blockstart").unwrap_or_default();
    let end = args.optional_text("blockend").unwrap_or_default();
    // One blank and the comment sign on either side.
    let inside = width
        .saturating_sub(2 * (comment.chars().count() + 1))
        .max(1);
    let rule = |edge: usize| border.repeat(edge);
    let filling = inside + 2;
    let line = |text: &str| {
        let blanks = inside.saturating_sub(text.chars().count());
        format!("{comment} {text}{} {comment}", " ".repeat(blanks))
    };
    let centred = |text: &str| {
        let blanks = inside.saturating_sub(text.chars().count());
        // Python's `center` puts an odd blank to the left when the width is odd too.
        let left = blanks / 2 + (blanks & inside & 1);
        line(&format!("{}{text}", " ".repeat(left)))
    };
    let mut lines = vec![format!("{start}{comment}{}{comment}", rule(filling))];
    lines.push(line(""));
    for part in wrap(&title, inside) {
        lines.push(centred(&part));
    }
    lines.push(line(""));
    for part in wrap(&text, inside) {
        lines.push(line(&part));
    }
    lines.push(format!("{comment}{}{comment}{end}", rule(filling)));
    let newline = if args.is_true("newline") { "\n" } else { "" };
    Ok((lines.join("\n") + newline).into())
}

/// Lines of at most `width` characters; words longer than that are cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let used = lines.last().map_or(0, |line| line.chars().count());
            if let Some(line) = lines.last_mut()
                && used + 1 + word.len() <= width
            {
                line.push(' ');
                line.extend(word);
                break;
            }
            let rest = word.split_off(word.len().min(width));
            lines.push(word.into_iter().collect());
            if rest.is_empty() {
                break;
            }
            word = rest;
        }
    }
    lines
}

fn in_tree(
    args: &Args,
    context: &Context<'_>,
    files: bool,
    directories: bool,
) -> Result<bool, CallError> {
    let saltenv = args.text("saltenv")?;
    let path = args.text("path")?;
    let path = path
        .strip_prefix("salt://")
        .unwrap_or(&path)
        .trim_matches('/')
        .to_owned();
    let Some(sources) = context.sources else {
        return Ok(false);
    };
    let there = |list: std::io::Result<Vec<String>>| {
        list.map(|list| list.contains(&path))
            .map_err(|error| CallError::execution(error.to_string()))
    };
    Ok((files && there(sources.files(&saltenv))?)
        || (directories && there(sources.directories(&saltenv))?))
}

fn findup(args: &Args, context: &Context<'_>) -> Answer {
    let saltenv = args.text("saltenv")?;
    let wanted: Vec<String> = match args.get("filenames") {
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(Value::Str(name)) => vec![name.clone()],
        _ => {
            return Err(CallError::invocation(
                "Filenames argument must be a string or list of strings",
            ));
        }
    };
    let files = match context.sources {
        Some(sources) => sources
            .files(&saltenv)
            .map_err(|error| CallError::execution(error.to_string()))?,
        None => Vec::new(),
    };
    let start = args.text("startpath")?;
    let mut here = start.trim_matches('/');
    loop {
        for name in &wanted {
            let path = if here.is_empty() {
                name.clone()
            } else {
                format!("{here}/{name}")
            };
            if let Some(found) = files.iter().find(|file| fnmatch(file, &path)) {
                return Ok(found.as_str().into());
            }
        }
        here = match here.rsplit_once('/') {
            Some((above, _)) => above,
            None if !here.is_empty() => "",
            None => break,
        };
    }
    Err(CallError::execution(
        "File pattern(s) not found in path ancestry",
    ))
}
