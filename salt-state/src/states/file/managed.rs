//! `file.managed`.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::{Answer, absolute, expanded, in_test, with_dirs};
use crate::args::Args;
use crate::context::Context;
use crate::data;
use crate::files::attributes;
use crate::files::backup;
use crate::files::encoding::encode;
use crate::files::perms::{Wanted, mode_bits, mode_text};
use crate::files::source::{self, Failure, os_error};
use crate::files::text::{content_diff, text_lines};
use crate::functions::split_words;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;
use crate::system::{Command, FileKind, WriteOptions};

pub(super) const SIGNATURE: &str = "managed(name, source=None, source_hash='', source_hash_name=None, keep_source=True, user=None, group=None, mode=None, attrs=None, template=None, makedirs=False, dir_mode=None, context=None, replace=True, defaults=None, backup='', show_changes=True, create=True, contents=None, tmp_dir=None, tmp_ext='', contents_pillar=None, contents_grains=None, contents_newline=True, contents_delimiter=':', encoding=None, encoding_errors='strict', allow_empty=True, follow_symlinks=True, check_cmd=None, skip_verify=False, selinux=None, win_owner=None, win_perms=None, win_deny_perms=None, win_inheritance=True, win_perms_reset=False, verify_ssl=True, use_etag=False, signature=None, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None, new_file_diff=False, sig_backend='gpg', **kwargs)";

/// What shall be in a file.
enum Content {
    /// Nothing is said about it.
    Any,
    /// Text of the state itself.
    Text(String),
    /// Bytes of the state itself.
    Bytes(Vec<u8>),
    /// What a source has.
    Fetched(Vec<u8>),
}

/// How a file is to be written; see [`file`].
pub(super) struct Options {
    /// The user, group and mode asked for.
    pub(super) wanted: Wanted,
    /// The mode of a new file without one asked for.
    pub(super) new_mode: NewMode,
    pub(super) makedirs: bool,
    pub(super) dir_mode: Option<Value>,
    pub(super) backup: String,
    pub(super) show_changes: bool,
    pub(super) follow: bool,
    pub(super) new_file_diff: bool,
    pub(super) check_cmd: Option<String>,
    pub(super) tmp_dir: Option<String>,
    pub(super) tmp_ext: String,
    pub(super) attrs: Option<String>,
    pub(super) selinux: bool,
    pub(super) umask: u32,
    /// The address that is left in the minion's cache.
    pub(super) cached: Option<String>,
}

/// With which mode Salt makes a file before it sets the one asked for; what differs then
/// is reported as a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewMode {
    /// As a shell makes files, when no mode is asked for.
    Plain,
    /// Private first, and then as a shell makes them.
    PrivateFirst,
}

pub(super) fn managed(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&args.text("name")?, check);
    let mut plan = planned(&name, args, check)?;
    if name != args.text("name")? {
        plan = plan.extra("name", name);
    }
    Ok(plan)
}

fn planned(name: &str, args: &Args, check: &Check<'_>) -> Answer {
    let keep = args
        .given("mode")
        .and_then(Value::as_str)
        .is_some_and(|mode| mode.eq_ignore_ascii_case("keep"));
    let given: Vec<&str> = ["contents", "contents_pillar", "contents_grains"]
        .into_iter()
        .filter(|key| {
            args.given(key)
                .is_some_and(|value| *key == "contents" || value.is_true())
        })
        .collect();
    let has_source = args
        .given("source")
        .is_some_and(|source| source.is_true() || matches!(source, Value::List(_)));
    if keep && !given.is_empty() {
        return Ok(Plan::fail(
            "Mode preservation cannot be used in combination with 'contents', 'contents_pillar', or 'contents_grains'",
        ));
    }
    if has_source && !given.is_empty() {
        return Ok(Plan::fail(
            "'source' cannot be used in combination with 'contents', 'contents_pillar', or 'contents_grains'",
        ));
    }
    if given.len() > 1 {
        return Ok(Plan::fail(
            "Only one of 'contents', 'contents_pillar', and 'contents_grains' is permitted",
        ));
    }
    let replace = args.is_true("replace") && (has_source || !given.is_empty());

    let stated = match stated(args, check)? {
        Ok(stated) => stated,
        Err(complaint) => return Ok(Plan::fail(complaint)),
    };
    if name.is_empty() {
        return Ok(Plan::fail("Destination file name is required"));
    }
    let path = Path::new(name);
    let there = check
        .system
        .metadata(path)
        .map_err(|error| os_error(error, path))?;
    if !args.is_true("create") && there.is_none() {
        return Ok(Plan::unchanged(format!(
            "File {name} is not present and is not set for creation"
        )));
    }
    if let Some(complaint) = absolute(name) {
        return Ok(Plan::fail(complaint));
    }
    if there.as_ref().is_some_and(|there| there.is_dir()) {
        return Ok(Plan::fail(format!(
            "Specified target {name} is a directory"
        )));
    }

    let mode = if keep { None } else { args.given("mode") };
    let umask = check.umask().unwrap_or(0o022);
    let mut options = Options {
        wanted: Wanted::new(args.given("user"), args.given("group"), mode),
        new_mode: if has_source {
            NewMode::PrivateFirst
        } else {
            NewMode::Plain
        },
        makedirs: args.is_true("makedirs"),
        dir_mode: args.given("dir_mode").or(mode).cloned(),
        backup: args.optional_text("backup").unwrap_or_default(),
        show_changes: args.is_true("show_changes"),
        follow: args.is_true("follow_symlinks"),
        new_file_diff: args.is_true("new_file_diff"),
        check_cmd: args.optional_text("check_cmd"),
        tmp_dir: args.optional_text("tmp_dir").filter(|dir| !dir.is_empty()),
        tmp_ext: args.optional_text("tmp_ext").unwrap_or_default(),
        attrs: args
            .optional_text("attrs")
            .filter(|attrs| !attrs.is_empty()),
        selinux: args
            .given("selinux")
            .and_then(Value::as_map)
            .is_some_and(|map| {
                ["seuser", "serole", "setype", "serange"]
                    .iter()
                    .any(|key| map.get(key).is_some_and(Value::is_true))
            }),
        umask,
        cached: None,
    };

    // A file whose content is not to be touched.
    if !replace && let Some(found) = &there {
        return only_facts(name, path, found, &options, check);
    }

    let foreseen = |failure: Failure| -> Answer {
        if check.is_test() {
            return match failure {
                Failure::Foreseen(text) => Ok(Plan::fail(text)),
                Failure::Exception(error) => Err(error),
            };
        }
        Ok(Plan::fail(format!(
            "Unable to manage file: {}",
            failure.text()
        )))
    };
    let content = match stated {
        Some(Value::Bytes(bytes)) => Content::Bytes(bytes),
        Some(text) => {
            let text = python::str(&text);
            let rendered = match args.optional_text("template").filter(|t| !t.is_empty()) {
                Some(renderer) => {
                    let vars = template_variables(name, args, check)?;
                    let rendered = source::render(
                        &renderer,
                        &text,
                        "",
                        check.environment(),
                        &vars,
                        check.context,
                    );
                    match rendered {
                        Ok(text) => text,
                        Err(Failure::Foreseen(text)) => return Ok(Plan::fail(text)),
                        Err(Failure::Exception(error)) => return Err(error),
                    }
                }
                None => text,
            };
            Content::Text(rendered)
        }
        None if has_source => match fetched(name, args, check, &mut options, keep) {
            Ok(content) => Content::Fetched(content),
            Err(Stop::Plan(text)) => return Ok(Plan::fail(text)),
            Err(Stop::Failure(Failure::Exception(CallError::Exception { kind, message })))
                if kind == "ModuleNotFoundError" || message.ends_with("is not iterable") =>
            {
                return Err(CallError::Exception { kind, message });
            }
            Err(Stop::Failure(failure)) => return foreseen(failure),
        },
        None => Content::Any,
    };
    let errors = args.optional_text("encoding_errors").unwrap_or_default();
    let bytes = match content {
        Content::Any => None,
        Content::Fetched(bytes) | Content::Bytes(bytes) => Some(bytes),
        Content::Text(text) => match args.optional_text("encoding").filter(|e| !e.is_empty()) {
            None => Some(text.into_bytes()),
            Some(encoding) => match encode(&text, &encoding, &errors) {
                Ok(bytes) => Some(bytes),
                // The dry run does not get as far as to encode.
                Err(_) if check.is_test() => Some(text.into_bytes()),
                Err(error) => return Ok(Plan::fail(format!("Unable to manage file: {error}"))),
            },
        },
    };
    let ignored = bytes
        .as_deref()
        .is_some_and(|new| only_ignored(path, new, args, check));
    let mut plan = file(name, bytes, options, check)?;
    if ignored && (plan.is_change() || plan.result.is_none()) {
        plan = plan.extra("skip_req", true);
    }
    Ok(plan)
}

/// The content that the state itself names; the outer error is an exception, the inner
/// one a complaint.
fn stated(args: &Args, check: &Check<'_>) -> Result<Result<Option<Value>, String>, CallError> {
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

enum Stop {
    Plan(String),
    Failure(Failure),
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
pub(super) fn template_variables(
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
    if let Some(gathered) = super::accumulated::gathered(name, check) {
        vars.insert("accumulator", gathered);
    }
    Ok(vars)
}

fn fetched(
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
        return Err(CallError::exception(
            "TypeError",
            format!("'{}' object is not iterable", given.type_name()),
        )
        .into());
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
    let source_hash = args.get("source_hash").cloned().unwrap_or_default();
    let (url, source_hash) = match source::choose(&given, &source_hash, saltenv, context) {
        Ok(chosen) => chosen,
        Err(Failure::Foreseen(text)) => {
            return Err(Stop::Plan(format!("Unable to manage file: {text}")));
        }
        Err(other) => return Err(other.into()),
    };
    let (url, source_hash) = (python::str(&url), python::str(&source_hash));
    let has_hash = !source_hash.is_empty() && source_hash != "None";
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
    let sum = if has_hash && !is_tree && !skip_verify {
        let name_there = args.optional_text("source_hash_name");
        let sum = source::checksum(
            name,
            &url,
            &source_hash,
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
    if is_remote && sum.is_none() && !skip_verify && args.given("signature").is_none() {
        return Err(Stop::Plan(format!(
            "Unable to verify upstream hash of source file {}, please set source_hash or set skip_verify to True",
            source::redacted(&url)
        )));
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
        return Ok(old.clone());
    }
    let content = if is_remote {
        source::download(&url, verify_ssl, context)?
    } else {
        source::content(&url, saltenv, context)?.ok_or_else(|| missing(&url))?
    };
    if let Some(sum) = &sum
        && !sum.fits(&content)?
        && !check.is_test()
    {
        let actual = crate::functions::hash(&sum.kind, &content)?;
        let (kind, hex, shown) = (&sum.kind, &sum.hex, source::redacted(&url));
        return Err(Stop::Plan(if old.is_some() || is_remote {
            format!(
                "Specified {kind} checksum for {shown} ({hex}) does not match actual checksum ({actual}). If the 'source_hash' value refers to a remote file with multiple possible matches, then it may be necessary to set 'source_hash_name'."
            )
        } else {
            format!(
                "Specified {kind} checksum for {name} ({hex}) does not match actual checksum ({actual})"
            )
        }));
    }
    // The dry run compares the mode of a file that is there only with a stated one.
    for (signature, bytes, what) in [
        (args.given("signature"), Some(&content), &url),
        (args.given("source_hash_sig"), None, &source_hash),
    ] {
        let Some(signature) = signature.filter(|signature| signature.is_true()) else {
            continue;
        };
        signed(signature, bytes, what, args, check)?;
    }
    if args.is_true("keep_source") && is_tree {
        options.cached = Some(url.clone());
    }
    if keep && !(check.is_test() && old.is_some()) {
        options.wanted.mode = source_mode(&url, check);
    }
    let Some(renderer) = template else {
        return Ok(content);
    };
    let vars = template_variables(name, args, check)?;
    let mut vars = vars;
    vars.insert("source", url.as_str());
    let text = String::from_utf8_lossy(&content);
    let path = source::tree_path(&url);
    let rendered = source::render(&renderer, &text, path, saltenv, &vars, context)?;
    Ok(rendered.into_bytes())
}

/// Checks a signature with `gpg`: of a source (its bytes) or of a file of checksums.
fn signed(
    signature: &Value,
    bytes: Option<&Vec<u8>>,
    url: &str,
    args: &Args,
    check: &Check<'_>,
) -> Result<(), Stop> {
    let saltenv = check.environment();
    let verify_ssl = args.is_true("verify_ssl");
    let fetch = |url: &str| -> Result<Vec<u8>, Stop> {
        let found = source::fetched(url, saltenv, verify_ssl, check.context)?;
        found.ok_or_else(|| Failure::Foreseen(format!("Source file {url} not found")).into())
    };
    let refused = || -> Stop {
        Stop::Plan(format!(
            "Unable to manage file: The file's signature could not be verified: {}",
            source::redacted(url)
        ))
    };
    // True: the file is signed in itself; a text beginning with a dot: its ending.
    let detached = match signature {
        Value::Bool(true) => None,
        other => {
            let text = python::str(other);
            Some(if text.starts_with('.') {
                format!("{url}{text}")
            } else {
                text
            })
        }
    };
    let content = match bytes {
        Some(bytes) => bytes.clone(),
        None => fetch(url)?,
    };
    let sheet = match &detached {
        Some(url) => fetch(url)?,
        None => content.clone(),
    };
    let list = |key: &str| super::texts(args.given(key).filter(|given| given.is_true()));
    let verdict = crate::files::signature::verify(
        &content,
        detached.is_some().then_some(sheet.as_slice()),
        args.optional_text("gnupghome").as_deref(),
        args.optional_text("keyring").as_deref(),
        check.system,
    );
    let Some(keys) = verdict else {
        return Err(refused());
    };
    let signed_by = |wanted: &String| {
        let wanted = wanted.to_uppercase().replace(' ', "");
        keys.iter().any(|key| key.ends_with(&wanted))
    };
    let (any, all) = (list("signed_by_any"), list("signed_by_all"));
    let fits = match (any.is_empty(), all.is_empty()) {
        (true, true) => true,
        _ => any.iter().any(signed_by) || (!all.is_empty() && all.iter().all(signed_by)),
    };
    if fits { Ok(()) } else { Err(refused()) }
}

/// The mode of a source, for `keep`.
pub(super) fn source_mode(url: &str, check: &Check<'_>) -> Option<String> {
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

/// Whether old and new content differ only in what the state ignores.
fn only_ignored(path: &Path, new: &[u8], args: &Args, check: &Check<'_>) -> bool {
    let (order, blanks) = (
        args.is_true("ignore_ordering"),
        args.is_true("ignore_whitespace"),
    );
    let marks = match args.given("ignore_comment_characters") {
        None => Vec::new(),
        Some(Value::List(marks)) => marks.iter().map(python::str).collect(),
        Some(mark) => vec![python::str(mark)],
    };
    if !order && !blanks && marks.is_empty() {
        return false;
    }
    let Ok(Some(old)) = check.system.read(path) else {
        return false;
    };
    let reduced = |content: &[u8]| {
        let text = String::from_utf8_lossy(content);
        let mut lines: Vec<String> = text_lines(&text)
            .into_iter()
            .filter_map(|line| {
                let mut line = line.to_owned();
                let commented = marks
                    .iter()
                    .any(|mark| line.trim_start().starts_with(mark.as_str()));
                if commented {
                    return None;
                }
                for mark in &marks {
                    if let Some((before, _)) = line.split_once(mark.as_str()) {
                        line = before.trim_end().to_owned();
                    }
                }
                if blanks {
                    line.retain(|c| !c.is_whitespace());
                }
                (!(blanks && line.is_empty())).then_some(line)
            })
            .collect();
        if order {
            lines.sort();
        }
        lines
    };
    reduced(&old) == reduced(new)
}

/// A file whose content stays: only its owner and mode are looked after.
fn only_facts(
    name: &str,
    path: &Path,
    found: &crate::system::Metadata,
    options: &Options,
    check: &Check<'_>,
) -> Answer {
    let found = if options.follow {
        found.clone()
    } else {
        let own = check
            .system
            .link_metadata(path)
            .map_err(|error| os_error(error, path))?;
        own.unwrap_or_else(|| found.clone())
    };
    let lacking = options
        .wanted
        .lacking(check.system, &found)
        .map_err(|error| os_error(error, path))?;
    if !check.is_test() {
        let unknown = options
            .wanted
            .unknown(check.system)
            .map_err(|error| os_error(error, path))?;
        if !unknown.is_empty() {
            return Ok(Plan::fail(unknown));
        }
    }
    let test_comment = match &options.wanted.mode {
        Some(mode) if lacking.contains_key("mode") => format!(
            "File {name} will be updated with permissions {mode} from its current state of {}",
            mode_text(found.mode)
        ),
        _ => format!("File {name} not updated"),
    };
    if lacking.is_empty() {
        return Ok(Plan::unchanged(format!(
            "File {name} exists with proper permissions. No changes made."
        ))
        .when_testing(test_comment));
    }
    let (wanted, follow, path) = (options.wanted.clone(), options.follow, path.to_owned());
    Ok(Plan::change("", lacking, move |context| {
        match wanted.establish(context.system, &path, follow) {
            Ok(changes) => Ok(Done::as_planned().changes(changes)),
            Err(error) => Ok(Done::failed(error.to_string())),
        }
    })
    .when_testing(test_comment))
}

/// A file with a content (`None`: an empty one, if there is none), as all states that
/// write whole files plan it.
pub(super) fn file(
    name: &str,
    content: Option<Vec<u8>>,
    options: Options,
    check: &Check<'_>,
) -> Answer {
    let path = Path::new(name);
    let fails = |error| os_error(error, path);
    let own = check.system.link_metadata(path).map_err(fails)?;
    let found = check.system.metadata(path).map_err(fails)?;
    let dangling = found.is_none() && own.is_some();
    let follows = options.follow;
    let is_new = found.is_none();
    let says_nothing = content.is_none();
    let new = content.unwrap_or_default();
    let old = match &found {
        Some(meta) if meta.kind == FileKind::File => check.system.read(path).map_err(fails)?,
        _ => None,
    };
    if dangling && follows {
        let target = check.system.read_link(path).map_err(fails)?;
        let target = path.parent().unwrap_or(path).join(target);
        return Ok(in_test(
            check,
            Plan::answer(
                None,
                would_change(name),
                Changes::of(
                    "diff",
                    format!("Failed to read {name}: No such file or directory"),
                ),
            ),
            Plan::unchanged(format!("File {name} is in the correct state")).warning(format!(
                "Failed to detect changes to file: Failed to read {}: No such file or directory",
                target.display()
            )),
        ));
    }

    let mut wanted = options.wanted.clone();
    let mut changes = Changes::none();
    let mut tested = Changes::none();
    // What is there, for the comparison of owner and mode.
    let mut facts = if follows { found.clone() } else { own.clone() };
    if is_new {
        if options.new_file_diff {
            let diff = content_diff(b"", &new, "", "");
            if !diff.is_empty() {
                tested.insert("diff", diff.as_str());
            }
            changes.insert("diff", diff);
        } else {
            tested.insert("newfile", name);
            if says_nothing {
                changes.insert("new", format!("file {name} created"));
            } else {
                changes.insert("diff", "New file");
            }
        }
        let plain = 0o666 & !options.umask;
        let first = if wanted.mode.is_some() || options.new_mode == NewMode::PrivateFirst {
            0o600
        } else {
            plain
        };
        if wanted.mode.is_none() {
            wanted.mode = Some(mode_text(plain));
        }
        let identity = check.system.identity();
        let fresh = crate::system::Metadata {
            kind: FileKind::File,
            mode: first,
            uid: identity.uid,
            gid: identity.gid,
            size: 0,
            device: 0,
            inode: 0,
            links: 1,
            node: (0, 0),
            accessed: Default::default(),
            modified: Default::default(),
            changed: Default::default(),
        };
        facts = Some(fresh);
    } else if old.as_deref() != Some(new.as_slice()) {
        let diff = if options.show_changes {
            content_diff(old.as_deref().unwrap_or_default(), &new, "", "")
        } else {
            "<show_changes=False>".to_owned()
        };
        tested.insert("diff", diff.as_str());
        changes.insert("diff", diff);
    }
    let writes = is_new || changes.contains_key("diff");
    if let Some(mut facts) = facts {
        if writes && facts.is_link() {
            // The link makes way for a file of its target's mode.
            if let Some(target) = &found {
                facts = target.clone();
            }
        }
        let lacking = wanted.lacking(check.system, &facts).map_err(fails)?;
        for (key, value) in &lacking {
            if !is_new {
                tested.insert(key.clone(), value.clone());
            }
            changes.insert(key.clone(), value.clone());
        }
    }
    let correct = format!("The file {name} is in the correct state");
    if check.is_test() {
        if tested.is_empty() {
            return Ok(Plan::unchanged(correct));
        }
        return Ok(Plan::answer(None, would_change(name), tested));
    }
    if changes.is_empty() {
        return Ok(if options.selinux {
            Plan::fail("Failed to get selinux attributes")
        } else {
            Plan::unchanged(format!("File {name} is in the correct state"))
        });
    }
    let unknown = wanted.unknown(check.system).map_err(fails)?;
    if !unknown.is_empty() {
        return Ok(Plan::fail(unknown));
    }
    let parent = path.parent().unwrap_or(path).to_owned();
    if !options.makedirs && !check.system.is_dir(&parent) {
        return Ok(Plan::fail("Parent directory not present"));
    }
    let path = path.to_owned();
    let comment = if says_nothing && is_new {
        "Empty file".to_owned()
    } else {
        format!("File {name} updated")
    };
    Ok(Plan::change(comment, changes, move |context| {
        write(&path, &new, writes, is_new, &wanted, &options, context)
    })
    .when_testing(would_change(name))
    .test_changes(tested))
}

/// What a dry run says of a file that would be written.
pub(super) fn would_change(name: &str) -> String {
    format!(
        "The file {name} is set to be changed\nNote: No changes made, actual changes may\nbe different due to other states."
    )
}

fn write(
    path: &Path,
    content: &[u8],
    writes: bool,
    is_new: bool,
    wanted: &Wanted,
    options: &Options,
    context: &Context<'_>,
) -> Result<Done, CallError> {
    if writes
        && let Some(command) = &options.check_cmd
        && let Some(refused) = checked(command, content, options, context)?
    {
        return Ok(refused);
    }
    let failed = |error: std::io::Error| {
        let text = crate::system::errno_text(&error, None);
        let text = text
            .split_once("] ")
            .map_or(text.as_str(), |(_, text)| text);
        Ok(Done::failed(format!("Unable to manage file: {text}")))
    };
    if is_new
        && options.makedirs
        && let Some(parent) = path.parent()
        && let Err(error) = with_dirs(
            parent,
            &Wanted::new(
                wanted.user.as_ref(),
                wanted.group.as_ref(),
                options.dir_mode.as_ref(),
            ),
            context,
        )
    {
        return failed(error);
    }
    if !writes {
        return Ok(
            match wanted.establish(context.system, path, options.follow) {
                Ok(_) => Done::as_planned(),
                Err(error) => Done::failed(error.to_string()),
            },
        );
    }
    if !is_new && matches!(options.backup.as_str(), "minion" | "both") {
        backup::keep(path, context)?;
    }
    let (uid, gid) = match wanted.numbers(context.system) {
        Ok(numbers) => numbers,
        Err(error) => return failed(error),
    };
    let bits = wanted.mode.as_deref().map(mode_bits);
    let write_options = WriteOptions {
        mode: match bits {
            Some(Some(bits)) => Some(bits),
            Some(None) if is_new => Some(0o600),
            _ => None,
        },
        uid,
        gid,
        follow: options.follow,
    };
    if let Err(error) = context.system.write(path, content, &write_options) {
        return failed(error);
    }
    if let Some(url) = &options.cached {
        let call = Args::new().keyword("path", url.as_str());
        context.registry.call("cp.cache_file", &call, context)?;
    }
    let mut done = Done::as_planned();
    if let (Some(None), Some(mode)) = (bits, &wanted.mode) {
        let diff = if is_new && !options.new_file_diff {
            Changes::of("diff", "New file")
        } else {
            Changes::none()
        };
        done = Done::failed(format!("Failed to change mode to {mode}")).changes(diff);
    }
    if let Some(attrs) = &options.attrs {
        let changed = attributes::establish(path, attrs, context)?;
        if !changed.is_empty() {
            tracing::debug!(path = %path.display(), "attributes set");
        }
    }
    if options.selinux {
        let diff = Changes::of("diff", "New file");
        done = Done::failed("Failed to get selinux attributes");
        if is_new {
            done = done.changes(diff);
        }
    }
    Ok(done)
}

/// Runs `check_cmd` on a copy of the content; `Some` when it refuses.
fn checked(
    command: &str,
    content: &[u8],
    options: &Options,
    context: &Context<'_>,
) -> Result<Option<Done>, CallError> {
    let dir = PathBuf::from(options.tmp_dir.as_deref().unwrap_or("/tmp"));
    let mut random = [0; 8];
    context.system.random(&mut random);
    let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let copy = dir.join(format!("__salt.tmp.{tail}{}", options.tmp_ext));
    context
        .system
        .write(&copy, content, &WriteOptions::new().mode(0o600))
        .map_err(|error| os_error(error, &copy))?;
    let mut words = split_words(command).unwrap_or_default();
    words.push(copy.to_string_lossy().into_owned());
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    let ran = context.system.run(&Command::new(program).args(words));
    context
        .system
        .remove(&copy)
        .map_err(|error| os_error(error, &copy))?;
    let output = ran?;
    if output.is_success() {
        return Ok(None);
    }
    let mut comment = "check_cmd execution failed".to_owned();
    for said in [output.stdout_text(), output.stderr_text()] {
        let said = said.trim_end_matches('\n');
        if !said.is_empty() {
            comment.push('\n');
            comment.push_str(said);
        }
    }
    Ok(Some(Done::failed(comment).extra("skip_watch", true)))
}

/// Options of a state that only says who a file belongs to.
pub(super) fn options(args: &Args, check: &Check<'_>) -> Options {
    let text = |key| args.optional_text(key).unwrap_or_default();
    Options {
        wanted: Wanted::new(args.given("user"), args.given("group"), args.given("mode")),
        new_mode: NewMode::Plain,
        makedirs: args.is_true("makedirs"),
        dir_mode: args
            .given("dir_mode")
            .or_else(|| args.given("mode"))
            .cloned(),
        backup: text("backup"),
        show_changes: args.is_true("show_changes"),
        follow: true,
        new_file_diff: false,
        check_cmd: args.optional_text("check_cmd"),
        tmp_dir: args.optional_text("tmp_dir").filter(|dir| !dir.is_empty()),
        tmp_ext: text("tmp_ext"),
        attrs: None,
        selinux: false,
        umask: check.umask().unwrap_or(0o022),
        cached: None,
    }
}
