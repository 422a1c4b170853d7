//! Fetching files, into the cache or to a place.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::{
    Source, below, cached_path, content, fetch, saltenv, shown, text_or_bytes, unreadable, url,
};
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "cp.cache_file",
        "cache_file(path, saltenv=None, source_hash=None, verify_ssl=True, use_etag=False)",
        "Fetches a file into the cache and returns its path there, false when there is none.",
        |args, context| cache_file(&args.text("path")?, &saltenv(args, context), context),
    );
    add(
        "cp.cache_files",
        "cache_files(paths, saltenv=None)",
        "Fetches files into the cache and returns their paths there.",
        |args, context| {
            let saltenv = saltenv(args, context);
            let paths = match args.get("paths") {
                Some(Value::List(items)) => items.iter().map(url).collect(),
                _ => args.words("paths"),
            };
            paths
                .iter()
                .map(|path| cache_file(path, &saltenv, context))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from)
        },
    );
    add(
        "cp.cache_dir",
        "cache_dir(path, saltenv=None, include_empty=False, include_pat=None, exclude_pat=None)",
        "Fetches the files below a directory into the cache. Patterns are globs, or regular expressions behind E@.",
        cache_dir,
    );
    add(
        "cp.cache_master",
        "cache_master(saltenv=None)",
        "Fetches all files of an environment into the cache.",
        |args, context| {
            let saltenv = saltenv(args, context);
            let Some(sources) = context.sources else {
                return Ok(Value::List(Vec::new()));
            };
            let files = sources.files(&saltenv).map_err(unreadable)?;
            cache_all(&files, &saltenv, context)
        },
    );
    add(
        "cp.cache_local_file",
        "cache_local_file(path)",
        "Copies a file of this machine into the cache and returns its path there, nothing when there is none.",
        cache_local_file,
    );
    add(
        "cp.cache_dest",
        "cache_dest(url, saltenv=None)",
        "Returns where a file would be in the cache.",
        |args, context| {
            Ok(
                match Source::of(&args.text("url")?, &saltenv(args, context))? {
                    Source::Tree { path, saltenv } => shown(&cached_path(&path, &saltenv, context)),
                    Source::Local(path) => shown(&path),
                    Source::Nowhere => false.into(),
                },
            )
        },
    );
    add(
        "cp.is_cached",
        "is_cached(path, saltenv=None)",
        "Returns the path of a file in the cache, nothing when it is not there.",
        |args, context| {
            let path = match Source::of(&args.text("path")?, &saltenv(args, context))? {
                Source::Tree { path, saltenv } => cached_path(&path, &saltenv, context),
                Source::Local(path) => local_copy(&path, context),
                Source::Nowhere => return Ok("".into()),
            };
            let there = context.system.is_file(&path);
            Ok(if there { shown(&path) } else { "".into() })
        },
    );
    add(
        "cp.list_minion",
        "list_minion(saltenv=None)",
        "Lists all files in the cache.",
        |_, context| {
            let cache = context
                .setting("cachedir")
                .unwrap_or("/var/cache/salt/minion");
            let mut found = Vec::new();
            list(Path::new(cache), &mut found, context).map_err(unreadable)?;
            found.sort();
            Ok(found.into_iter().collect())
        },
    );
    add(
        "cp.get_file",
        "get_file(path, dest, saltenv=None, makedirs=False, template=None, gzip=None, **kwargs)",
        "Fetches a file of the state tree to a place and returns the place, nothing when there is none. makedirs: with the directories above it.",
        get_file,
    );
    add(
        "cp.get_template",
        "get_template(path, dest, template='jinja', saltenv=None, makedirs=False, **kwargs)",
        "Fetches and renders a file of the state tree.",
        get_file,
    );
    add(
        "cp.get_dir",
        "get_dir(path, dest, saltenv=None, template=None, gzip=None, **kwargs)",
        "Fetches a directory of the state tree into another.",
        get_dir,
    );
    add(
        "cp.get_url",
        "get_url(path, dest='', saltenv=None, makedirs=False, source_hash=None)",
        "Fetches a file to a place and returns the place, into the cache without one; with dest=None returns its content.",
        get_url,
    );
}

fn cache_file(path: &str, saltenv: &str, context: &Context<'_>) -> Answer {
    if crate::files::source::is_remote(path) {
        let kept = crate::files::cache::take(path, saltenv, context)?;
        return Ok(kept.map_or(Value::Bool(false), |to| shown(&to)));
    }
    match Source::of(path, saltenv)? {
        Source::Tree { path, saltenv } => {
            let to = cached_path(&path, &saltenv, context);
            if !context
                .sources
                .is_some_and(|sources| sources.contains(&saltenv, &path))
            {
                return Ok(false.into());
            }
            make_parent(&to, 0o700, context)?;
            let there = fetch(&path, &saltenv, &to, &WriteOptions::new(), context)?;
            Ok(if there { shown(&to) } else { false.into() })
        }
        Source::Local(path) => {
            let there = context.system.is_file(&path);
            Ok(if there { shown(&path) } else { false.into() })
        }
        Source::Nowhere => Ok(false.into()),
    }
}

fn cache_all(files: &[String], saltenv: &str, context: &Context<'_>) -> Answer {
    files
        .iter()
        .map(|file| cache_file(&format!("salt://{file}"), saltenv, context))
        .collect::<Result<Vec<_>, _>>()
        .map(Value::from)
}

fn cache_dir(args: &Args, context: &Context<'_>) -> Answer {
    let Source::Tree { path, saltenv } = Source::of(&args.text("path")?, &saltenv(args, context))?
    else {
        return Ok(Value::List(Vec::new()));
    };
    let files = below(&path, args, &saltenv, context)?;
    let mut cached = match cache_all(&files, &saltenv, context)? {
        Value::List(cached) => cached,
        _ => Vec::new(),
    };
    if args.is_true("include_empty")
        && let Some(sources) = context.sources
    {
        let all = sources.files(&saltenv).map_err(unreadable)?;
        for directory in sources.directories(&saltenv).map_err(unreadable)? {
            let inside = format!("{directory}/");
            let empty = !all.iter().any(|file| file.starts_with(&inside));
            if empty && directory.starts_with(&path) {
                let to = cached_path(&directory, &saltenv, context);
                make_directory(&to, 0o700, context)?;
                cached.push(shown(&to));
            }
        }
    }
    Ok(cached.into())
}

/// Where `cp.cache_local_file` keeps a file of this machine.
fn local_copy(path: &Path, context: &Context<'_>) -> PathBuf {
    let cache = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    let below = path.strip_prefix("/").unwrap_or(path);
    Path::new(cache).join("localfiles").join(below)
}

fn cache_local_file(args: &Args, context: &Context<'_>) -> Answer {
    let path = PathBuf::from(args.text("path")?);
    let plain = path
        .components()
        .all(|part| part != std::path::Component::ParentDir);
    let failed = |error| CallError::execution(errno_text(&error, Some(&path)));
    let Some(mut reader) = context
        .system
        .open(&path)
        .map_err(failed)?
        .filter(|_| plain)
    else {
        return Ok("".into());
    };
    let to = local_copy(&path, context);
    make_parent(&to, 0o700, context)?;
    let options = WriteOptions::new().mode(0o600);
    context
        .system
        .write_from(&to, &mut reader, &options)
        .map_err(|error| CallError::execution(errno_text(&error, Some(&to))))?;
    Ok(shown(&to))
}

fn list(directory: &Path, found: &mut Vec<String>, context: &Context<'_>) -> std::io::Result<()> {
    if !context.system.is_dir(directory) {
        return Ok(());
    }
    for name in context.system.list(directory)? {
        let path = directory.join(name);
        match context.system.link_metadata(&path)? {
            Some(meta) if meta.is_dir() => list(&path, found, context)?,
            Some(_) => found.push(path.to_string_lossy().into_owned()),
            None => {}
        }
    }
    Ok(())
}

fn make_directory(path: &Path, mode: u32, context: &Context<'_>) -> Result<(), CallError> {
    context
        .system
        .create_dir_all(path, mode)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

fn make_parent(path: &Path, mode: u32, context: &Context<'_>) -> Result<(), CallError> {
    match path.parent() {
        Some(parent) => make_directory(parent, mode, context),
        None => Ok(()),
    }
}

/// Where a file goes: into `dest` when that is a directory. `None` when there is no such
/// place and it may not be made.
fn destination(
    name: &str,
    dest: &str,
    makedirs: bool,
    context: &Context<'_>,
) -> Result<Option<PathBuf>, CallError> {
    let mut to = PathBuf::from(dest);
    if !to.is_absolute() {
        return Ok(None);
    }
    if dest.ends_with('/') || context.system.is_dir(&to) {
        to.push(name);
    }
    if !to
        .parent()
        .is_some_and(|parent| context.system.is_dir(parent))
    {
        if !makedirs {
            return Ok(None);
        }
        make_parent(&to, 0o755, context)?;
    }
    Ok(Some(to))
}

/// The last component of a path of the tree.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn get_file(args: &Args, context: &Context<'_>) -> Answer {
    let path = args.text("path")?;
    if !path.starts_with("salt://") {
        let text = format!("Unsupported path: {path}");
        return Err(CallError::exception("salt.exceptions.MinionError", text));
    }
    let Source::Tree { path, saltenv } = Source::of(&path, &saltenv(args, context))? else {
        return Ok("".into());
    };
    if !context
        .sources
        .is_some_and(|sources| sources.contains(&saltenv, &path))
    {
        return Ok("".into());
    }
    check_template(&path, &saltenv, args, context)?;
    let dest = args.optional_text("dest").unwrap_or_default();
    if dest.is_empty() {
        return cache_file(&format!("salt://{path}"), &saltenv, context);
    }
    let makedirs = args.is_true("makedirs");
    let Some(to) = destination(file_name(&path), &dest, makedirs, context)? else {
        return Ok(false.into());
    };
    let there = fetch(&path, &saltenv, &to, &WriteOptions::new(), context)?;
    Ok(if there { shown(&to) } else { "".into() })
}

/// A template without anything to render may pass.
fn check_template(
    path: &str,
    saltenv: &str,
    args: &Args,
    context: &Context<'_>,
) -> Result<(), CallError> {
    if args.given("template").is_none() {
        return Ok(());
    }
    let sources = context.sources;
    let found = sources.map(|sources| sources.read(saltenv, path).map_err(unreadable));
    let text = found.transpose()?.flatten().unwrap_or_default();
    super::super::cmd::plain_template(args, &String::from_utf8_lossy(&text))
}

fn get_dir(args: &Args, context: &Context<'_>) -> Answer {
    let Source::Tree { path, saltenv } = Source::of(&args.text("path")?, &saltenv(args, context))?
    else {
        return Ok(Value::List(Vec::new()));
    };
    let dest = args.text("dest")?;
    // The directory itself arrives in `dest`, not what is around it.
    let around = path.rsplit_once('/').map(|(around, _)| around);
    let mut got = Vec::new();
    for file in below(&path, args, &saltenv, context)? {
        check_template(&file, &saltenv, args, context)?;
        let inside = match around {
            Some(around) => file.strip_prefix(around).unwrap_or(&file),
            None => &file,
        };
        let shown = format!("{dest}/{}", inside.trim_start_matches('/'));
        let to = PathBuf::from(&shown);
        make_parent(&to, 0o755, context)?;
        if fetch(&file, &saltenv, &to, &WriteOptions::new(), context)? {
            got.push(Value::from(shown));
        }
    }
    Ok(got.into())
}

fn get_url(args: &Args, context: &Context<'_>) -> Answer {
    let path = args.text("path")?;
    let saltenv = saltenv(args, context);
    let source = Source::of(&path, &saltenv)?;
    if args.get("dest").is_none_or(Value::is_null) {
        let found = content(&path, Some(&saltenv), context)?;
        return Ok(found.map_or(Value::Bool(false), text_or_bytes));
    }
    match source {
        Source::Local(path) => Ok(shown(&path)),
        Source::Nowhere => Ok(false.into()),
        Source::Tree { .. } => match get_file(&with_keywords(args), context)? {
            Value::Str(empty) if empty.is_empty() => Ok(false.into()),
            place => Ok(place),
        },
    }
}

/// The same arguments without the ones `get_file` does not know.
fn with_keywords(args: &Args) -> Args {
    let mut args = args.clone();
    args.keywords = Map::new();
    args
}
