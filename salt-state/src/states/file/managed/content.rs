//! Where the content of a managed file comes from: the state itself, pillar, grains, a source.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::Options;
use crate::args::Args;
use crate::data;
use crate::files::cache::{self, Afterwards};
use crate::files::perms::mode_text;
use crate::files::signature::Demand;
use crate::files::source::{self, Failure};
use crate::files::text::text_lines;
use crate::python;
use crate::registry::CallError;
use crate::states::Check;

/// What shall be in a file.
pub(super) enum Content {
    /// Nothing is said about it.
    Any,
    /// Text of the state itself.
    Text(String),
    /// Bytes of the state itself.
    Bytes(Vec<u8>),
    /// What a source has.
    Fetched(Vec<u8>),
}

/// The content that the state itself names; the outer error is an exception, the inner
/// one a complaint.
pub(super) fn stated(
    args: &Args,
    check: &Check<'_>,
) -> Result<Result<Option<Value>, String>, CallError> {
    let delimiter = args.text("contents_delimiter")?;
    let lookup = |what: &str, data: &Map, keys: &Value| -> Result<Value, String> {
        let one = |key: &Value| {
            let key = python::str(key);
            let found = data::traverse_map(data, &key, &delimiter);
            found
                .cloned()
                .ok_or_else(|| format!("{what} {key} does not exist"))
        };
        match keys {
            Value::List(keys) => keys
                .iter()
                .map(one)
                .collect::<Result<Vec<_>, _>>()
                .map(Value::List),
            key => one(key),
        }
    };
    let content = if let Some(keys) = args.given("contents_pillar").filter(|keys| keys.is_true()) {
        match lookup("Pillar", &check.minion.pillar, keys) {
            Ok(content) => content,
            Err(complaint) => return Ok(Err(complaint)),
        }
    } else if let Some(keys) = args.given("contents_grains").filter(|keys| keys.is_true()) {
        match lookup("Grain", &check.minion.grains, keys) {
            Ok(content) => content,
            Err(complaint) => return Ok(Err(complaint)),
        }
    } else if let Some(contents) = args.given("contents") {
        contents.clone()
    } else {
        return Ok(Ok(None));
    };
    let empty = "would result in empty contents. Set allow_empty to True to allow the managed file to be empty.";
    if !args.is_true("allow_empty") && !content.is_true() {
        let key = ["contents_pillar", "contents_grains", "contents"]
            .into_iter()
            .find(|key| {
                args.given(key)
                    .is_some_and(|value| *key == "contents" || value.is_true())
            })
            .unwrap_or("contents");
        return Ok(Err(if key == "contents" {
            format!("'contents' value {empty}")
        } else {
            format!("{key} value {empty}")
        }));
    }
    let newline = args.is_true("contents_newline");
    let lines = match &content {
        Value::Bytes(bytes) => return Ok(Ok(Some(Value::Bytes(bytes.clone())))),
        Value::List(items) if items.is_empty() => {
            return Ok(Err("Contents specified by contents/contents_pillar/contents_grains is not a string or list of strings, and is not binary data. SLS is likely malformed.".to_owned()));
        }
        Value::List(items) => items.iter().map(python::str).collect::<Vec<_>>(),
        other => vec![python::str(other)],
    };
    let mut out = String::new();
    for part in &lines {
        for line in text_lines(part) {
            out.push_str(line.trim_end_matches(['\n', '\r']));
            out.push('\n');
        }
    }
    if !newline && out.ends_with('\n') {
        out.pop();
    }
    Ok(Ok(Some(out.into())))
}

pub(super) enum Stop {
    /// The file has the checksum that it should have: its content stays.
    Untouched,
    Plan(String),
    Failure(Failure),
    /// What Salt does not catch.
    Raised(CallError),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Failure(Failure::Exception(error))
    }
}

/// The variables of a template: unknown arguments below defaults below context, and what
/// `file.accumulated` gathered.
pub(in crate::states::file) fn template_variables(
    name: &str,
    args: &Args,
    check: &Check<'_>,
) -> Result<Map, CallError> {
    let mut vars = Map::from([("name", name)]);
    for key in ["source", "user", "group", "mode", "attrs"] {
        let value = args.get(key).cloned().unwrap_or_default();
        let value = match (key, &value) {
            ("mode", Value::Int(mode)) => format!("{mode:04}").into(),
            _ => value,
        };
        vars.insert(key, value);
    }
    vars.extend(args.clean_keywords());
    let given = source::variables(args.given("defaults"), args.given("context"))?;
    vars.extend(given);
    if let Some(gathered) = super::super::accumulated::gathered(name, check) {
        vars.insert("accumulator", gathered);
    }
    Ok(vars)
}

pub(super) fn fetched(
    name: &str,
    args: &Args,
    check: &Check<'_>,
    options: &mut Options,
    keep: bool,
) -> Result<Vec<u8>, Stop> {
    let context = check.context;
    let saltenv = check.environment();
    let given = args.get("source").cloned().unwrap_or_default();
    if let Value::Int(_) | Value::Float(_) | Value::Bool(_) = given {
        return Err(Stop::Raised(CallError::exception(
            "TypeError",
            format!("'{}' object is not iterable", given.type_name()),
        )));
    }
    if let Value::Map(_) = given {
        return Err(CallError::exception(
            "AttributeError",
            "'dict' object has no attribute 'decode'",
        )
        .into());
    }
    for (key, what) in [("context", "Context"), ("defaults", "Defaults")] {
        let given = args.given(key).filter(|given| given.is_true());
        if given.is_some_and(|given| !matches!(given, Value::Map(_))) {
            return Err(Stop::Plan(format!("{what} must be formed as a dict")));
        }
    }
    if let Value::List(all) = &given {
        // A mapping of an address to its checksum Salt's manual has, and Salt trips over it.
        let is_known = |one: &&Value| match one {
            Value::Str(_) => true,
            Value::Map(pair) => pair.len() == 1,
            _ => false,
        };
        if let Some(wrong) = all.iter().find(|one| !is_known(one)) {
            return Err(Stop::Raised(CallError::exception(
                "AttributeError",
                format!("'{}' object has no attribute 'lower'", wrong.type_name()),
            )));
        }
    }
    let source_hash = args.get("source_hash").cloned().unwrap_or_default();
    let (url, source_hash) = match source::choose(&given, &source_hash, saltenv, context) {
        Ok(chosen) => chosen,
        Err(Failure::Foreseen(text)) => {
            return Err(Stop::Plan(format!("Unable to manage file: {text}")));
        }
        Err(other) => return Err(other.into()),
    };
    let url = python::str(&url);
    let is_tree = url.starts_with("salt://");
    let is_remote = source::is_remote(&url);
    let skip_verify = args.is_true("skip_verify");
    let missing = |url: &str| {
        Failure::Foreseen(match source::local_path(url) {
            Some(path) => format!("Local file source {} does not exist", path.display()),
            None => format!("Source file {url} not found in saltenv '{saltenv}'"),
        })
    };
    if let Some(path) = source::local_path(&url)
        && (!path.is_absolute() || !context.system.exists(&path))
    {
        return Err(missing(&url).into());
    }
    let has_template = args.given("template").is_some_and(Value::is_true);
    if has_template && source::local_path(&url).is_some_and(|path| path == Path::new(name)) {
        return Err(CallError::invocation("Source file cannot be the same as destination").into());
    }
    let verify_ssl = args.is_true("verify_ssl");
    let stated = if is_tree || skip_verify {
        None
    } else {
        source::stated_hash(&source_hash)?
    };
    let sum = if let Some(stated) = stated {
        let name_there = args.optional_text("source_hash_name");
        let sum = source::checksum(
            name,
            &url,
            stated,
            name_there.as_deref(),
            saltenv,
            verify_ssl,
            context,
        );
        Some(sum.map_err(|failure| match failure {
            Failure::Foreseen(text) => Failure::Foreseen(format!("Unable to manage file: {text}")),
            other => other,
        })?)
    } else {
        None
    };
    let use_etag = args.is_true("use_etag");
    if is_remote && sum.is_none() && !skip_verify && !use_etag {
        return Err(Failure::Foreseen(format!(
            "Unable to verify upstream hash of source file {}, please set source_hash or set skip_verify to True",
            source::redacted(&url)
        ))
        .into());
    }
    // A file that has the checksum already need not be fetched.
    let path = Path::new(name);
    let template = args.optional_text("template").filter(|t| !t.is_empty());
    let old = context.system.read(path).ok().flatten();
    if is_remote
        && template.is_none()
        && let (Some(sum), Some(old)) = (&sum, &old)
        && sum.fits(old)?
    {
        return Err(Stop::Untouched);
    }
    let keeps = args.is_true("keep_source");
    let mut keep_fetched = None;
    let is_directory =
        |path: PathBuf| context.system.is_dir(&path) && check.is_test() && old.is_none();
    let content = if sum.is_some() && source::local_path(&url).is_some_and(is_directory) {
        // With a checksum the dry run of a new file does not look at the content.
        Vec::new()
    } else if is_remote {
        let ask = cache::Ask {
            sum: sum.as_ref(),
            use_etag,
            trust_kept: true,
            verify_ssl,
        };
        let fetched = cache::fetch(&url, saltenv, ask, context).map_err(|failure| {
            let shown = source::redacted(&url);
            Failure::Foreseen(format!("Failed to cache {shown}: {}", failure.text()))
        })?;
        keep_fetched = fetched.keep;
        fetched.content
    } else {
        source::content(&url, saltenv, context)?.ok_or_else(|| missing(&url))?
    };
    if let Some(sum) = &sum
        && !sum.fits(&content)?
        && !check.is_test()
    {
        let actual = crate::functions::hash(&sum.kind, &content)?;
        let (kind, hex, shown) = (&sum.kind, &sum.hex, source::redacted(&url));
        return Err(Stop::Plan(if old.is_some() {
            format!(
                "Specified {kind} checksum for {shown} ({hex}) does not match actual checksum ({actual}). If the 'source_hash' value refers to a remote file with multiple possible matches, then it may be necessary to set 'source_hash_name'."
            )
        } else {
            format!(
                "Specified {kind} checksum for {name} ({hex}) does not match actual checksum ({actual})"
            )
        }));
    }
    let source_hash = python::str(&source_hash);
    for (signature, what) in [("signature", &url), ("source_hash_sig", &source_hash)] {
        let Some(stated) = args.given(signature).filter(|stated| stated.is_true()) else {
            continue;
        };
        let demand = Demand {
            args,
            signature: stated,
            saltenv,
        };
        let is_met = if signature == "signature" {
            demand.is_met(&content, context)
        } else if source::scheme(what).is_none() && !what.starts_with('/') {
            // A checksum that is no file has no signature.
            continue;
        } else {
            let sums = source::fetched(what, saltenv, verify_ssl, context)?;
            demand.is_met(&sums.unwrap_or_default(), context)
        };
        if !is_met? {
            return Err(Stop::Plan(format!(
                "Unable to manage file: The file's signature could not be verified: {}",
                source::redacted(what)
            )));
        }
    }
    options.afterwards = match keep_fetched {
        Some(keep) if keeps => Afterwards::Keep(keep),
        None if keeps && is_tree => Afterwards::Take(url.clone()),
        _ if keeps || !(is_tree || is_remote) => Afterwards::Nothing,
        _ => match cache::place(&url, saltenv, context.minion) {
            Some(path) if context.system.exists(&path) => Afterwards::Forget(path),
            _ => Afterwards::Nothing,
        },
    };
    // The dry run compares the mode of a file that is there only with a stated one.
    if keep && !(check.is_test() && old.is_some()) {
        options.wanted.mode = source_mode(&url, check);
    }
    let Some(renderer) = template else {
        return Ok(content);
    };
    let mut vars = template_variables(name, args, check)?;
    vars.insert("source", url.as_str());
    let text = String::from_utf8_lossy(&content);
    let path = source::tree_path(&url);
    let rendered = check
        .for_functions(|context| source::render(&renderer, &text, path, saltenv, &vars, context));
    match rendered {
        Ok(text) => Ok(text.into_bytes()),
        // A renderer that is not there is no fault of the template.
        Err(Failure::Exception(error)) if is_missing_module(&error) => Err(Stop::Raised(error)),
        Err(failure) => Err(failure.into()),
    }
}

fn is_missing_module(error: &CallError) -> bool {
    matches!(error, CallError::Exception { kind, .. } if kind == "ModuleNotFoundError")
}

/// The mode of a source, for `keep`.
fn source_mode(url: &str, check: &Check<'_>) -> Option<String> {
    if let Some(path) = source::local_path(url) {
        let found = check.system.metadata(&path).ok()??;
        return Some(mode_text(found.mode));
    }
    let url: salt_proto::SaltUrl = url.parse().ok()?;
    let saltenv = url.saltenv().unwrap_or_else(|| check.environment());
    let stat = check.sources?.stat(saltenv, url.path()).ok()??;
    let mode = u32::try_from(*stat.first()?).ok()?;
    Some(mode_text(mode))
}
