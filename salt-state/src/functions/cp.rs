//! `cp.*`: files of the state tree.

use std::io::Read;
use std::path::{Path, PathBuf};

use salt_proto::{Map, SaltUrl, Value};
use sha2::Digest;

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::sources::Sources;
use crate::system::{WriteOptions, errno_text};
use crate::{fnmatch, system};

mod chunk;
mod get;
mod push;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "cp.envs",
        "envs()",
        "Lists the environments of the state tree.",
        |_, context| match context.sources {
            Some(sources) => Ok(sources
                .environments()
                .map_err(unreadable)?
                .into_iter()
                .collect()),
            None => Ok(Value::List(Vec::new())),
        },
    );
    add(
        "cp.list_master",
        "list_master(saltenv=None, prefix='')",
        "Lists the files of the state tree.",
        |args, context| listed(args, context, |sources, saltenv| sources.files(saltenv)),
    );
    add(
        "cp.list_master_dirs",
        "list_master_dirs(saltenv=None, prefix='')",
        "Lists the directories of the state tree.",
        |args, context| {
            listed(args, context, |sources, saltenv| {
                let mut all = sources.directories(saltenv)?;
                all.retain(|name| name != ".");
                Ok(all)
            })
        },
    );
    add(
        "cp.list_master_symlinks",
        "list_master_symlinks(saltenv=None, prefix='')",
        "Lists the symbolic links of the state tree with what they say.",
        |args, context| {
            let prefix = prefix(args)?;
            let Some(sources) = context.sources else {
                return Ok(Map::new().into());
            };
            let links = sources.links(&saltenv(args, context)).map_err(unreadable)?;
            Ok(links
                .into_iter()
                .filter(|(name, _)| name.starts_with(&prefix))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "cp.list_states",
        "list_states(saltenv=None)",
        "Lists the SLS files of the state tree as states name them.",
        |args, context| {
            let Some(sources) = context.sources else {
                return Ok(Value::List(Vec::new()));
            };
            let files = sources.files(&saltenv(args, context)).map_err(unreadable)?;
            let mut states: Vec<String> = files
                .iter()
                .filter_map(|file| file.strip_suffix(".sls"))
                .map(|file| file.strip_suffix("/init").unwrap_or(file).replace('/', "."))
                .collect();
            states.sort();
            Ok(states.into_iter().collect())
        },
    );
    add(
        "cp.hash_file",
        "hash_file(path, saltenv=None)",
        "Returns the hash of a file of the state tree, or of this machine.",
        hash_file,
    );
    add(
        "cp.stat_file",
        "stat_file(path, saltenv=None, octal=True)",
        "Returns the mode of a file of the state tree, or of this machine.",
        stat_file,
    );
    add(
        "cp.get_file_str",
        "get_file_str(path, saltenv=None)",
        "Returns the content of a file of the state tree, false when there is none.",
        |args, context| {
            let saltenv = args.optional_text("saltenv");
            let found = content(&args.text("path")?, saltenv.as_deref(), context)?;
            Ok(found.map_or(Value::Bool(false), text_or_bytes))
        },
    );
    get::register(registry);
    chunk::register(registry);
    push::register(registry);
}

fn unreadable(error: std::io::Error) -> CallError {
    CallError::execution(errno_text(&error, None))
}

/// Text where the bytes are text.
fn text_or_bytes(content: Vec<u8>) -> Value {
    String::from_utf8(content).map_or_else(|error| error.into_bytes().into(), Value::from)
}

/// The environment an argument or the configuration names, else `base`.
fn saltenv(args: &Args, context: &Context<'_>) -> String {
    args.optional_text("saltenv")
        .or_else(|| context.setting("saltenv").map(str::to_owned))
        .filter(|saltenv| !saltenv.is_empty())
        .unwrap_or_else(|| "base".to_owned())
}

fn prefix(args: &Args) -> Result<String, CallError> {
    Ok(args.text("prefix")?.trim_matches('/').to_owned())
}

fn listed(
    args: &Args,
    context: &Context<'_>,
    list: impl Fn(&dyn Sources, &str) -> std::io::Result<Vec<String>>,
) -> Answer {
    let prefix = prefix(args)?;
    let Some(sources) = context.sources else {
        return Ok(Value::List(Vec::new()));
    };
    let all = list(sources, &saltenv(args, context)).map_err(unreadable)?;
    Ok(all
        .into_iter()
        .filter(|name| name.starts_with(&prefix))
        .collect())
}

/// Where a file is: in the state tree, or on this machine.
pub(super) enum Source {
    /// `salt://path`, in an environment.
    Tree { path: String, saltenv: String },
    /// A path of this machine, or `file://` before it.
    Local(PathBuf),
    /// An address that leads out of the tree or nowhere.
    Nowhere,
}

impl Source {
    /// Reads an address. `default` is the environment of one that names none.
    ///
    /// # Errors
    ///
    /// For a relative path and for schemes we cannot fetch.
    pub(super) fn of(url: &str, default: &str) -> Result<Self, CallError> {
        if url.starts_with("salt://") {
            return Ok(match url.parse::<SaltUrl>() {
                Ok(url) => Self::Tree {
                    path: url.path().to_owned(),
                    saltenv: url.saltenv().unwrap_or(default).to_owned(),
                },
                Err(_) => Self::Nowhere,
            });
        }
        if let Some(path) = url.strip_prefix("file://") {
            return Ok(Self::Local(PathBuf::from(path)));
        }
        if url.contains("://") {
            return Err(CallError::exception(
                "ValueError",
                format!("Unsupported url scheme: {url}"),
            ));
        }
        if !url.starts_with('/') {
            return Err(CallError::execution(format!(
                "Path '{url}' is not absolute"
            )));
        }
        Ok(Self::Local(PathBuf::from(url)))
    }
}

/// The content behind an address; `None` when there is no such file.
pub(crate) fn content(
    url: &str,
    saltenv: Option<&str>,
    context: &Context<'_>,
) -> Result<Option<Vec<u8>>, CallError> {
    use crate::files::source;
    if source::is_remote(url) {
        return source::download(url, true, context).map(Some);
    }
    let default = saltenv
        .or_else(|| context.setting("saltenv"))
        .unwrap_or("base");
    match Source::of(url, default)? {
        Source::Tree { path, saltenv } => match context.sources {
            Some(sources) => sources.read(&saltenv, &path).map_err(unreadable),
            None => Ok(None),
        },
        Source::Local(path) => context
            .system
            .read(&path)
            .map_err(|error| CallError::execution(errno_text(&error, Some(&path)))),
        Source::Nowhere => Ok(None),
    }
}

/// The sha256 of what a reader gives, in hex.
fn sha256(reader: &mut dyn Read) -> std::io::Result<String> {
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match reader.read(&mut chunk)? {
            0 => break,
            n => hasher.update(chunk.get(..n).unwrap_or_default()),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn hash_file(args: &Args, context: &Context<'_>) -> Answer {
    let hashed = |reader: Option<Box<dyn Read + Send>>| -> Answer {
        let Some(mut reader) = reader else {
            return Ok("".into());
        };
        let hex = sha256(&mut reader).map_err(unreadable)?;
        Ok(Map::from([("hash_type", "sha256".to_owned()), ("hsum", hex)]).into())
    };
    match Source::of(&args.text("path")?, &saltenv(args, context))? {
        Source::Tree { path, saltenv } => match context.sources {
            Some(sources) => hashed(sources.open(&saltenv, &path).map_err(unreadable)?),
            None => Ok("".into()),
        },
        Source::Local(path) => hashed(context.system.open(&path).map_err(unreadable)?),
        Source::Nowhere => Ok("".into()),
    }
}

fn stat_file(args: &Args, context: &Context<'_>) -> Answer {
    let mode = match Source::of(&args.text("path")?, &saltenv(args, context))? {
        Source::Tree { path, saltenv } => match context.sources {
            Some(sources) => {
                let stat = sources.stat(&saltenv, &path).map_err(unreadable)?;
                stat.and_then(|stat| stat.first().copied())
            }
            None => None,
        },
        Source::Local(path) => {
            let found = context.system.metadata(&path).map_err(unreadable)?;
            found.map(|found| i64::from(file_bits(found.kind) | found.mode))
        }
        Source::Nowhere => None,
    };
    Ok(match mode {
        None => Value::Null,
        Some(mode) if args.is_true("octal") => format!("{:04o}", mode & 0o7777).into(),
        Some(mode) => mode.into(),
    })
}

/// The bits of `st_mode` that say what a file is.
fn file_bits(kind: system::FileKind) -> u32 {
    match kind {
        system::FileKind::File => 0o100_000,
        system::FileKind::Directory => 0o040_000,
        system::FileKind::Symlink => 0o120_000,
        system::FileKind::Fifo => 0o010_000,
        system::FileKind::Socket => 0o140_000,
        system::FileKind::CharDevice => 0o020_000,
        system::FileKind::BlockDevice => 0o060_000,
    }
}

/// Where files of the state tree are kept on this machine.
fn cached_path(path: &str, saltenv: &str, context: &Context<'_>) -> PathBuf {
    let cache = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    Path::new(cache).join("files").join(saltenv).join(path)
}

/// Puts a file of the state tree somewhere, without a moment in which it is there in
/// part, unless what is there is the same. `false` when the tree has no such file.
fn fetch(
    path: &str,
    saltenv: &str,
    to: &Path,
    options: &WriteOptions,
    context: &Context<'_>,
) -> Result<bool, CallError> {
    let Some(sources) = context.sources else {
        return Ok(false);
    };
    let Some(mut reader) = sources.open(saltenv, path).map_err(unreadable)? else {
        return Ok(false);
    };
    let failed = |error| CallError::execution(errno_text(&error, Some(to)));
    if let Some(mut there) = context.system.open(to).map_err(failed)? {
        let old = sha256(&mut there).map_err(failed)?;
        let new = sha256(&mut reader).map_err(unreadable)?;
        if old == new {
            return Ok(true);
        }
        match sources.open(saltenv, path).map_err(unreadable)? {
            Some(again) => reader = again,
            None => return Ok(false),
        }
    }
    context
        .system
        .write_from(to, &mut reader, options)
        .map_err(failed)?;
    Ok(true)
}

/// Whether a pattern of `include_pat` and `exclude_pat` matches: a glob, or a regular
/// expression behind `E@`, found anywhere.
pub(crate) fn pattern_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix("E@") {
        Some(regex) => fancy_regex::Regex::new(regex)
            .ok()
            .and_then(|regex| regex.is_match(path).ok())
            .unwrap_or(false),
        None => fnmatch(path, pattern),
    }
}

/// The files of the tree below a directory that the patterns let through.
fn below(
    directory: &str,
    args: &Args,
    saltenv: &str,
    context: &Context<'_>,
) -> Result<Vec<String>, CallError> {
    let Some(sources) = context.sources else {
        return Ok(Vec::new());
    };
    let include = args.optional_text("include_pat");
    let exclude = args.optional_text("exclude_pat");
    let start = format!("{directory}/");
    let mut files = sources.files(saltenv).map_err(unreadable)?;
    files.retain(|file| {
        file.starts_with(&start)
            && include
                .as_deref()
                .is_none_or(|pattern| pattern_matches(pattern, file))
            && !exclude
                .as_deref()
                .is_some_and(|pattern| pattern_matches(pattern, file))
    });
    Ok(files)
}

fn shown(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

/// An address as text, whatever was given for it.
fn url(value: &Value) -> String {
    python::str(value)
}
