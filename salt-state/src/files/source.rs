//! Where the content of a managed file comes from: a list of sources, checksums,
//! templates.

use std::io;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::hash::{BadChecksum, Checksum, extract};
use crate::context::Context;
use crate::python;
use crate::registry::CallError;
use crate::render::{RegistryFunctions, RenderError, Template, World};
use crate::sources::MemorySources;
use crate::system::{Command, Output, errno_text};

/// Why there is no content.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something a state reports in these words.
    Foreseen(String),
    /// What would be an exception in Python.
    Exception(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Exception(error)
    }
}

impl Failure {
    /// The text alone.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Foreseen(text) => text.clone(),
            Self::Exception(error) => error.to_string(),
        }
    }
}

/// `scheme` of an address with one.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let plain = scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (plain && !scheme.is_empty()).then_some(scheme)
}

/// An address without the name and password in it.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://<redacted>@{host}{path}"),
        None => url.to_owned(),
    }
}

/// Whether content comes over a network that is not the master's.
pub(crate) fn is_remote(url: &str) -> bool {
    matches!(scheme(url), Some("http" | "https" | "ftp" | "s3" | "swift"))
}

/// The path of this machine that an address means: a path or one behind `file://`.
pub(crate) fn local_path(url: &str) -> Option<PathBuf> {
    if let Some(path) = url.strip_prefix("file://") {
        return Some(PathBuf::from(path));
    }
    (!url.starts_with("salt://") && !is_remote(url)).then(|| PathBuf::from(url))
}

/// The bytes behind an address; `None` when nothing is there.
///
/// # Errors
///
/// Directories and files that cannot be read, and what a web server says.
pub(crate) fn content(
    url: &str,
    saltenv: &str,
    context: &Context<'_>,
) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(path) = local_path(url) {
        return read_local(&path, context);
    }
    fetched(url, saltenv, true, context)
}

/// As [`content`], and says whether a server has to prove who it is.
pub(crate) fn fetched(
    url: &str,
    saltenv: &str,
    verify_ssl: bool,
    context: &Context<'_>,
) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(path) = local_path(url) {
        return read_local(&path, context);
    }
    if is_remote(url) {
        return Ok(Some(download(url, verify_ssl, context)?));
    }
    if url == "salt://" {
        return Ok(None);
    }
    Ok(crate::functions::content(url, Some(saltenv), context)?)
}

fn read_local(path: &Path, context: &Context<'_>) -> Result<Option<Vec<u8>>, Failure> {
    if context.system.is_dir(path) {
        let error: io::Error = rustix::io::Errno::ISDIR.into();
        return Err(Failure::Exception(CallError::exception(
            "IsADirectoryError",
            errno_text(&error, Some(path)),
        )));
    }
    context
        .system
        .read(path)
        .map_err(|error| Failure::Exception(os_error(error, path)))
}

/// A failed system call with its path, as Python raises it.
pub(crate) fn os_error(error: io::Error, path: &Path) -> CallError {
    let text = errno_text(&error, Some(path));
    match CallError::from(error) {
        CallError::Exception { kind, .. } => CallError::exception(kind, text),
        other => other,
    }
}

/// Fetches over HTTP(S) or FTP, with the machine's `curl`.
///
/// # Errors
///
/// Salt's `MinionError`: without the address, which may have a name and password in it.
pub(crate) fn download(
    url: &str,
    verify_ssl: bool,
    context: &Context<'_>,
) -> Result<Vec<u8>, CallError> {
    curl(url, verify_ssl, &[], context).map(|output| output.stdout)
}

/// Whether a file of a web server has changed.
pub(crate) enum Changed {
    /// It has not.
    No,
    /// It has, or nobody knows.
    Yes {
        /// What is in it now.
        content: Vec<u8>,
        /// By what the server will know it again.
        etag: Option<String>,
    },
}

/// Fetches what has changed since the server gave it the tag `known`.
pub(crate) fn download_changed(
    url: &str,
    verify_ssl: bool,
    known: Option<&str>,
    context: &Context<'_>,
) -> Result<Changed, Failure> {
    let mut options = Vec::new();
    if let Some(known) = known {
        let known: String = known.chars().filter(|c| !c.is_control()).collect();
        options.extend(["-H".to_owned(), format!("If-None-Match: {known}")]);
    }
    let output = curl(url, verify_ssl, &options, context)?;
    let head = output.stderr_text();
    // Of an address that leads elsewhere the last answer counts.
    let (mut code, mut etag) = ("", None);
    for line in head.lines() {
        if line.starts_with("HTTP/") {
            (code, etag) = (line.split_whitespace().nth(1).unwrap_or_default(), None);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("etag")
        {
            etag = Some(value.trim().to_owned());
        }
    }
    Ok(if code == "304" {
        Changed::No
    } else {
        Changed::Yes {
            content: output.stdout,
            etag,
        }
    })
}

fn curl(
    url: &str,
    verify_ssl: bool,
    options: &[String],
    context: &Context<'_>,
) -> Result<Output, CallError> {
    let failed = |reason: String| {
        let path = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = path.find('/').map_or("", |at| &path[at..]);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        CallError::exception(
            "salt.exceptions.MinionError",
            format!("Error: {reason} reading {path}"),
        )
    };
    let seconds = |key: &str, default: f64| {
        let stated = match context.minion.config.get(key) {
            Some(Value::Int(stated)) => Some(*stated as f64),
            Some(Value::Float(stated)) => Some(*stated),
            _ => None,
        };
        stated
            .filter(|stated| stated.is_finite() && *stated > 0.0)
            .unwrap_or(default)
            .to_string()
    };
    // The head goes where messages go, the body alone to standard output.
    let mut command = Command::new("curl")
        .args(["-sSL", "--fail", "-D", "/dev/stderr", "--connect-timeout"])
        .arg(seconds("http_connect_timeout", 20.0))
        .arg("--max-time")
        .arg(seconds("http_request_timeout", 3600.0))
        .args(options);
    if !verify_ssl {
        command = command.arg("-k");
    }
    let mut command = command.args(["--", url]);
    command.output_limit = usize::try_from(crate::system::READ_LIMIT).unwrap_or(usize::MAX);
    let output = context
        .system
        .query(&command)
        .map_err(|error| failed(error.to_string()))?;
    if output.is_success() {
        return Ok(output);
    }
    let said = output.stderr_text();
    Err(failed(refusal(output.exit.code(), &said)))
}

/// What Salt says of a transfer that failed, from what curl says of it.
fn refusal(code: i32, said: &str) -> String {
    let message = said
        .rsplit_once("curl: ")
        .map_or(said, |(_, message)| message)
        .trim();
    match code {
        3 | 6 => "[Errno -2] Name or service not known".to_owned(),
        7 if message.contains("route to host") => "[Errno 113] No route to host".to_owned(),
        7 => "[Errno 111] Connection refused".to_owned(),
        18 | 52 | 56 => "Connection closed".to_owned(),
        22 => {
            let status = said.lines().rfind(|line| line.starts_with("HTTP/"));
            let status = status.and_then(|line| line.split_once(' '));
            match status.map(|(_, status)| status.trim()) {
                Some(status) => match status.split_once(' ') {
                    Some((code, reason)) => format!("HTTP {code}: {reason}"),
                    None => format!("HTTP {status}: Unknown"),
                },
                None => match message.rsplit_once("returned error: ") {
                    Some((_, code)) => format!("HTTP {}", code.trim()),
                    None => message.to_owned(),
                },
            }
        }
        28 if message.contains("onnect") => "Timeout while connecting".to_owned(),
        28 => "Timeout during request".to_owned(),
        35 if message.contains("routines::") => {
            let reason = message.rsplit_once("::").map_or("", |(_, reason)| reason);
            let name = reason.to_uppercase().replace(' ', "_");
            format!("[SSL: {name}] {reason}")
        }
        60 => "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed".to_owned(),
        _ => message.to_owned(),
    }
}

/// The source to use with the checksum that belongs to it: of a list the first that is
/// there. An entry may be a mapping of one source to its checksum.
pub(crate) fn choose(
    source: &Value,
    source_hash: &Value,
    saltenv: &str,
    context: &Context<'_>,
) -> Result<(Value, Value), Failure> {
    let Value::List(all) = source else {
        return Ok((source.clone(), source_hash.clone()));
    };
    let there = |url: &str| -> Result<bool, Failure> {
        if let Some(path) = local_path(url) {
            if path.is_absolute() || url.is_empty() || scheme(url).is_some() {
                return Ok(path.is_absolute() && context.system.exists(&path));
            }
            // Without a root it is looked for in the tree, and not taken from there.
            return Ok(content(&format!("salt://{url}"), saltenv, context)?.is_some());
        }
        if is_remote(url) {
            let command =
                Command::new("curl").args(["-sSLI", "--fail", "-o", "/dev/null", "--", url]);
            return Ok(context
                .system
                .query(&command)
                .is_ok_and(|output| output.is_success()));
        }
        if content(url, saltenv, context)?.is_some() {
            return Ok(true);
        }
        // A directory is there, though it will not do.
        let path = tree_path(url).trim_matches('/');
        let directories = match context.sources {
            Some(sources) if !path.is_empty() => sources.directories(saltenv).unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(directories.iter().any(|known| known == path))
    };
    for one in all {
        match one {
            Value::Map(map) if map.len() == 1 => {
                if let Some((url, hash)) = map.iter().next() {
                    let url = python::str(url);
                    if there(&url)? {
                        let hash = if hash.is_true() { hash } else { source_hash };
                        return Ok((url.into(), hash.clone()));
                    }
                }
            }
            Value::Str(url) if there(url)? => {
                return Ok((url.as_str().into(), source_hash.clone()));
            }
            _ => {}
        }
    }
    Err(Failure::Foreseen(
        "none of the specified sources were found".to_owned(),
    ))
}

fn bad_hash(source_hash: &str) -> Failure {
    let source_hash = redacted(source_hash);
    Failure::Foreseen(format!(
        "Source hash {source_hash} format is invalid. The supported formats are: 1) a hash, 2) an expression in the format <hash_type>=<hash>, or 3) either a path to a local file containing hashes, or a URI of a remote hash file. Supported protocols for remote hash files are: salt, file, http, https, ftp, swift, s3. The hash may also not be of a valid length, the following are supported hash types and lengths: md5 (32), sha1 (40), sha224 (56), sha256 (64), sha384 (96), sha512 (128)."
    ))
}

/// What `source_hash` says: a checksum, or a file of checksums in which the one of
/// `source` is found.
pub(crate) fn checksum(
    file_name: &str,
    source: &str,
    source_hash: &str,
    source_hash_name: Option<&str>,
    saltenv: &str,
    verify_ssl: bool,
    context: &Context<'_>,
) -> Result<Checksum, Failure> {
    let is_file = matches!(scheme(source_hash), Some("salt" | "file"))
        || is_remote(source_hash)
        || source_hash.starts_with('/');
    if !is_file {
        return Checksum::parse(source_hash).map_err(|bad| match bad {
            BadChecksum::Format => bad_hash(source_hash),
            BadChecksum::Kind(text) => Failure::Foreseen(text),
        });
    }
    let Some(text) = fetched(source_hash, saltenv, verify_ssl, context)? else {
        if let Some(path) = local_path(source_hash) {
            let error = rustix::io::Errno::NOENT.into();
            return Err(Failure::Exception(os_error(error, &path)));
        }
        return Err(Failure::Foreseen(format!(
            "Source hash file {} not found",
            redacted(source_hash)
        )));
    };
    let text = super::encoding::utf8(&text)
        .map_err(|said| Failure::Exception(CallError::exception("UnicodeDecodeError", said)))?;
    extract(
        text,
        "",
        file_name,
        source,
        source_hash_name.unwrap_or_default(),
    )
    .ok_or_else(|| bad_hash(source_hash))
}

/// A stated checksum, if there is one.
///
/// # Errors
///
/// What Python says of one that is no text.
pub(crate) fn stated_hash(stated: &Value) -> Result<Option<&str>, CallError> {
    match stated {
        other if !other.is_true() => Ok(None),
        Value::Str(text) => Ok(Some(text)),
        other => Err(CallError::exception(
            "TypeError",
            format!(
                "expected str, bytes or os.PathLike object, not {}",
                other.type_name()
            ),
        )),
    }
}

/// Renders text as the files of a tree are.
pub(crate) fn render(
    renderer: &str,
    text: &str,
    path: &str,
    saltenv: &str,
    extra: &Map,
    context: &Context<'_>,
) -> Result<String, Failure> {
    match renderer {
        "jinja" => {}
        "mako" | "genshi" | "cheetah" | "wempy" => {
            let module = if renderer == "cheetah" {
                "Cheetah"
            } else {
                renderer
            };
            return Err(Failure::Exception(CallError::exception(
                "ModuleNotFoundError",
                format!("No module named '{module}'"),
            )));
        }
        other => {
            return Err(Failure::Foreseen(format!(
                "Specified template format {other} is not supported"
            )));
        }
    }
    let nothing = MemorySources::new();
    let functions = RegistryFunctions::new(context);
    let world = World::new(
        context.minion,
        context.sources.unwrap_or(&nothing),
        &functions,
    );
    let template = Template {
        environment: saltenv,
        sls: "",
        path,
        default: renderer,
        extra,
    };
    world
        .render_text(renderer, &template, text)
        .map_err(|error: RenderError| {
            Failure::Exception(CallError::exception(
                "salt.exceptions.SaltRenderError",
                error.to_string(),
            ))
        })
}

/// The variables of a template: `defaults` below `context`, as Python's `dict.update`
/// takes them.
pub(crate) fn variables(
    defaults: Option<&Value>,
    context: Option<&Value>,
) -> Result<Map, CallError> {
    let mut all = Map::new();
    for given in [defaults, context].into_iter().flatten() {
        match given {
            Value::Map(map) => all.extend(map.clone()),
            given if !given.is_true() => {}
            Value::Str(_) | Value::List(_) => return Err(no_dict(given)),
            other => {
                return Err(CallError::exception(
                    "TypeError",
                    format!("'{}' object is not iterable", other.type_name()),
                ));
            }
        }
    }
    Ok(all)
}

fn no_dict(given: &Value) -> CallError {
    let length = match given {
        Value::List(items) => match items.first() {
            Some(Value::List(pair)) => pair.len(),
            Some(Value::Map(map)) => map.len(),
            Some(Value::Str(text)) => text.chars().count(),
            _ => {
                return CallError::exception(
                    "TypeError",
                    "cannot convert dictionary update sequence element #0 to a sequence",
                );
            }
        },
        _ => 1,
    };
    CallError::exception(
        "ValueError",
        format!("dictionary update sequence element #0 has length {length}; 2 is required"),
    )
}

/// Where a file of the tree is, without `salt://` and what follows `?`.
pub(crate) fn tree_path(url: &str) -> &str {
    let path = url.strip_prefix("salt://").unwrap_or(url);
    path.split('?').next().unwrap_or(path)
}
