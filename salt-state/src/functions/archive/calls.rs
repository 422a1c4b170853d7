//! `archive.*`: what users type.

use std::path::{Component, Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::{file, split_words};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, FileKind, WriteOptions, errno_text};

use super::zip::{self, Writer};
use super::{Bytes, Entry, Format, tool};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "archive.tar",
        "tar(options, tarfile, sources=None, dest=None, cwd=None, template=None, runas=None)",
        "Packs files with tar or takes them out (dest); returns what tar said.",
        tar,
    );
    registry.add(
        "archive.gzip",
        "gzip(sourcefile, template=None, runas=None, options=None)",
        "Compresses a file with gzip.",
        |args, context| gzip("gzip", "sourcefile", args, context),
    );
    registry.add(
        "archive.gunzip",
        "gunzip(gzipfile, template=None, runas=None, options=None)",
        "Takes a file out with gunzip.",
        |args, context| gzip("gunzip", "gzipfile", args, context),
    );
    registry.add(
        "archive.cmd_zip",
        "cmd_zip(zip_file, sources, template=None, cwd=None, runas=None)",
        "Packs files with the program zip.",
        |args, context| pack(&["zip", "-r"], "zip_file", args, context),
    );
    registry.add(
        "archive.rar",
        "rar(rarfile, sources, template=None, cwd=None, runas=None)",
        "Packs files with the program rar.",
        |args, context| pack(&["rar", "a", "-idp"], "rarfile", args, context),
    );
    registry.add(
        "archive.cmd_unzip",
        "cmd_unzip(zip_file, dest, excludes=None, options=None, template=None, runas=None, trim_output=False, password=None)",
        "Takes files out with the program unzip.",
        cmd_unzip,
    );
    registry.add(
        "archive.unrar",
        "unrar(rarfile, dest, excludes=None, template=None, runas=None, trim_output=False)",
        "Takes files out with the program unrar or rar.",
        unrar,
    );
    registry.add(
        "archive.zip",
        "zip_(zip_file, sources, template=None, cwd=None, runas=None, zip64=False)",
        "Packs files into a zip archive; returns their names in it.",
        zip,
    );
    registry.add(
        "archive.unzip",
        "unzip(zip_file, dest, excludes=None, options=None, template=None, runas=None, trim_output=False, password=None, extract_perms=True)",
        "Takes the files of a zip archive out; returns their names.",
        unzip,
    );
    registry.add(
        "archive.is_encrypted",
        "is_encrypted(name, clean=False, saltenv='base', source_hash=None, use_etag=False)",
        "Whether a zip archive needs a password.",
        is_encrypted,
    );
    registry.add(
        "archive.list",
        "list_(name, archive_format=None, options=None, strip_components=None, clean=False, verbose=False, saltenv='base', source_hash=None, use_etag=False)",
        "What is in an archive; verbose: by kind, and what is at the top.",
        list,
    );
}

/// Salt 3008.3 cannot render the arguments of the functions that run a program.
fn refuse_template(args: &Args) -> Result<(), CallError> {
    const ENGINES: &[&str] = &["cheetah", "genshi", "jinja", "mako", "py", "wempy"];
    match args.optional_text("template").as_deref() {
        None | Some("") => Ok(()),
        Some(engine) if ENGINES.contains(&engine) => Err(CallError::exception(
            "TypeError",
            "expected str, bytes, or bytearray not <class 'list'>",
        )),
        Some(engine) => Err(CallError::execution(format!(
            "Attempted to render file paths with unavailable engine {engine}"
        ))),
    }
}

/// Runs a program; its output with its errors, and how it ended.
fn run(
    words: Vec<String>,
    args: &Args,
    context: &Context<'_>,
) -> Result<(String, bool), CallError> {
    let mut call = Args::new()
        .with(words.into_iter().collect::<Value>())
        .keyword("python_shell", false)
        .keyword("redirect_stderr", true);
    for key in ["cwd", "runas"] {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    let all = context.registry.call("cmd.run_all", &call, context)?;
    let text = all.get("stdout").map(python::str).unwrap_or_default();
    Ok((text, all.get("retcode") == Some(&0.into())))
}

fn unclosed() -> CallError {
    CallError::exception("ValueError", "No closing quotation")
}

fn lines(text: &str) -> Value {
    text.lines().collect()
}

/// The paths that `sources` stand for; patterns are those of the minion's own directory.
fn sources(args: &Args, context: &Context<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for source in args.words("sources") {
        if !source.contains(['*', '?', '[']) {
            all.push(source);
            continue;
        }
        if Path::new(&source).is_absolute() {
            let found = file::glob(Path::new(&source), context);
            all.extend(found.iter().map(|path| path.display().to_string()));
        }
    }
    all
}

fn program(context: &Context<'_>, name: &str) -> Result<(), CallError> {
    match context.system.which(name) {
        Some(_) => Ok(()),
        None => Err(CallError::CommandNotFound(format!(
            "The '{name}' binary was not found in $PATH."
        ))),
    }
}

fn tar(args: &Args, context: &Context<'_>) -> Answer {
    program(context, "tar")?;
    let options = args.optional_text("options").unwrap_or_default();
    if options.is_empty() {
        return Err(CallError::invocation("Tar options can not be empty"));
    }
    let mut words = vec!["tar".to_owned()];
    words.extend(split_words(&options).ok_or_else(unclosed)?);
    words.push(args.text("tarfile")?);
    if let Some(dest) = args.optional_text("dest").filter(|dest| !dest.is_empty()) {
        words.extend(["-C".to_owned(), dest]);
    }
    words.extend(sources(args, context));
    refuse_template(args)?;
    Ok(lines(&run(words, args, context)?.0))
}

fn gzip(name: &str, of: &str, args: &Args, context: &Context<'_>) -> Answer {
    program(context, name)?;
    let mut words = vec![name.to_owned()];
    words.extend(
        args.optional_text("options")
            .filter(|text| !text.is_empty()),
    );
    words.push(args.text(of)?);
    refuse_template(args)?;
    Ok(lines(&run(words, args, context)?.0))
}

fn pack(start: &[&str], of: &str, args: &Args, context: &Context<'_>) -> Answer {
    let name = start.first().copied().unwrap_or_default();
    program(context, name)?;
    let mut words: Vec<String> = start.iter().map(|word| (*word).to_owned()).collect();
    words.push(args.text(of)?);
    words.extend(sources(args, context));
    refuse_template(args)?;
    Ok(lines(&run(words, args, context)?.0))
}

/// The list without what is too much of it.
fn trimmed(mut all: Vec<String>, args: &Args) -> Answer {
    let most = match args.get("trim_output") {
        Some(Value::Bool(false) | Value::Null) | None => return Ok(all.into_iter().collect()),
        Some(Value::Bool(true)) => 100,
        Some(Value::Int(most)) => *most,
        Some(other) => {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "'>' not supported between instances of 'int' and '{}'",
                    other.type_name()
                ),
            ));
        }
    };
    let count = usize::try_from(most).unwrap_or_default();
    if most != 0 && all.len() > count {
        all.truncate(count);
        all.push(format!("List trimmed after {most} files."));
    }
    Ok(all.into_iter().collect())
}

fn told(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn cmd_unzip(args: &Args, context: &Context<'_>) -> Answer {
    program(context, "unzip")?;
    let mut words = vec!["unzip".to_owned()];
    if let Some(password) = args
        .optional_text("password")
        .filter(|text| !text.is_empty())
    {
        words.extend(["-P".to_owned(), password]);
    }
    if let Some(options) = args.optional_text("options") {
        words.extend(split_words(&options).ok_or_else(unclosed)?);
    }
    words.push(args.text("zip_file")?);
    words.extend(["-d".to_owned(), args.text("dest")?]);
    let excludes = args.words("excludes");
    if !excludes.is_empty() {
        words.push("-x".to_owned());
        words.extend(excludes);
    }
    refuse_template(args)?;
    let (text, is_done) = run(words, args, context)?;
    if !is_done {
        return Err(CallError::Execution(text));
    }
    trimmed(told(&text), args)
}

fn unrar(args: &Args, context: &Context<'_>) -> Answer {
    let found = ["unrar", "rar"]
        .into_iter()
        .find(|name| context.system.which(name).is_some());
    let name = found.ok_or_else(|| {
        CallError::CommandNotFound(
            "None of provided binaries([\"'unrar'\", \"'rar'\"]) were found in $PATH.".to_owned(),
        )
    })?;
    let mut words = vec![name.to_owned(), "x".to_owned(), "-idp".to_owned()];
    words.push(args.text("rarfile")?);
    match args.given("excludes") {
        Some(Value::Str(_) | Value::List(_)) | None => {}
        Some(other) => {
            return Err(CallError::exception(
                "TypeError",
                format!("'{}' object is not iterable", other.type_name()),
            ));
        }
    }
    for exclude in args.words("excludes") {
        words.extend(["-x".to_owned(), exclude]);
    }
    words.push(args.text("dest")?);
    refuse_template(args)?;
    trimmed(told(&run(words, args, context)?.0), args)
}

/// A path, rendered if that is asked for.
fn rendered(text: String, args: &Args, context: &Context<'_>) -> Result<String, CallError> {
    let Some(engine) = args
        .optional_text("template")
        .filter(|name| !name.is_empty())
    else {
        return Ok(text);
    };
    let call = Args::new()
        .keyword("contents", text)
        .keyword("template", engine)
        .keyword("context", Value::Null)
        .keyword("defaults", Value::Null)
        .keyword("saltenv", "base");
    let done = context
        .registry
        .call("file.apply_template_on_contents", &call, context)?;
    match done {
        Value::Map(failed) => Err(CallError::exception(
            "SaltRenderError",
            failed.get("comment").map(python::str).unwrap_or_default(),
        )),
        text => Ok(python::str(&text)),
    }
}

/// The owner that files get: that of `runas`, if it is given.
fn owner(args: &Args, context: &Context<'_>) -> Result<Option<(u32, u32)>, CallError> {
    let Some(name) = args.optional_text("runas").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    match context.system.user(&name)? {
        Some(user) => Ok(Some((user.uid, user.gid))),
        None => Err(CallError::invocation(format!(
            "User '{name}' does not exist"
        ))),
    }
}

/// A path seen from a directory; both absolute.
fn seen_from(path: &Path, from: &Path) -> String {
    let parts = |path: &Path| -> Vec<String> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
                Component::ParentDir => {
                    parts.pop();
                }
                _ => {}
            }
        }
        parts
    };
    let (path, from) = (parts(path), parts(from));
    let same = path.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = from.iter().skip(same).map(|_| "..".to_owned());
    up.chain(path.iter().skip(same).cloned())
        .collect::<Vec<_>>()
        .join("/")
}

/// How deep directories are walked.
const DEEPEST: usize = 512;

struct Packing<'a> {
    context: &'a Context<'a>,
    base: PathBuf,
    writer: Writer,
    names: Vec<String>,
}

impl Packing<'_> {
    fn add(&mut self, path: &Path, depth: usize) -> Result<(), CallError> {
        let machine = self.context.system;
        let Ok(Some(found)) = machine.metadata(path) else {
            return Ok(());
        };
        let mut name = seen_from(path, &self.base);
        let mut content = Vec::new();
        let kind = match found.kind {
            FileKind::Directory => {
                name.push('/');
                0o040_000
            }
            FileKind::File => {
                content = machine.read(path)?.unwrap_or_default();
                0o100_000
            }
            _ => return Ok(()),
        };
        self.writer
            .add(
                &name,
                kind | found.mode & 0o7777,
                found.modified.seconds,
                &content,
            )
            .map_err(|_| {
                CallError::exception("LargeZipFile", "Filesize would require ZIP64 extensions")
            })?;
        self.names.push(name);
        if kind == 0o100_000 || depth >= DEEPEST {
            return Ok(());
        }
        let mut inside = machine.list(path)?;
        inside.sort();
        let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = inside
            .into_iter()
            .map(|name| path.join(name))
            .partition(|path| machine.is_dir(path));
        for file in files {
            self.add(&file, depth + 1)?;
        }
        for directory in directories {
            // A link to a directory is not followed.
            if !machine.is_link(&directory) {
                self.add(&directory, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn zip(args: &Args, context: &Context<'_>) -> Answer {
    let owner = owner(args, context)?;
    let archive = rendered(args.text("zip_file")?, args, context)?;
    let cwd = match args.given("cwd") {
        None => None,
        Some(Value::Str(cwd)) if Path::new(cwd).is_absolute() => Some(PathBuf::from(cwd)),
        Some(Value::Str(_)) => return Err(CallError::invocation("cwd must be absolute")),
        Some(other) => {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "expected str, bytes or os.PathLike object, not {}",
                    other.type_name()
                ),
            ));
        }
    };
    let mut paths = Vec::new();
    for source in sources(args, context) {
        let source = PathBuf::from(rendered(source, args, context)?);
        match &cwd {
            _ if source.is_absolute() => paths.push(source),
            Some(cwd) => paths.push(cwd.join(source)),
            None => {
                return Err(CallError::invocation(
                    "Relative paths require the 'cwd' parameter",
                ));
            }
        }
    }
    let mut packing = Packing {
        context,
        base: cwd.unwrap_or_else(|| PathBuf::from("/")),
        writer: Writer::default(),
        names: Vec::new(),
    };
    for path in paths {
        packing.add(&path, 0)?;
    }
    let Packing { writer, names, .. } = packing;
    let bytes = writer.finish().map_err(|_| {
        CallError::exception(
            "LargeZipFile",
            "Zipfile size would require ZIP64 extensions",
        )
    })?;
    let mut options = WriteOptions::new().mode(0o644);
    if let Some((uid, gid)) = owner {
        options = options.owner(uid, gid);
    }
    if context
        .system
        .write(Path::new(&archive), &bytes, &options)
        .is_err()
    {
        // Salt tells nobody.
        return Ok(Value::List(Vec::new()));
    }
    Ok(names.into_iter().collect())
}

/// Where a member goes: below the directory whatever its name is.
fn below(dest: &Path, name: &str) -> PathBuf {
    let parts = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."));
    parts.fold(dest.to_owned(), |path, part| path.join(part))
}

fn trouble(text: impl std::fmt::Display) -> CallError {
    CallError::execution(format!("Exception encountered unpacking zipfile: {text}"))
}

fn unzip(args: &Args, context: &Context<'_>) -> Answer {
    let owner = owner(args, context)?;
    let excludes = args.words("excludes");
    let archive = PathBuf::from(rendered(args.text("zip_file")?, args, context)?);
    let dest = PathBuf::from(rendered(args.text("dest")?, args, context)?);
    let password = args
        .optional_text("password")
        .filter(|text| !text.is_empty());
    let bytes = match context.system.read(&archive) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return Err(trouble(format!(
                "[Errno 2] No such file or directory: {}",
                python::repr_str(&archive.display().to_string())
            )));
        }
        Err(error) => return Err(trouble(errno_text(&error, Some(&archive)))),
    };
    let members = zip::members(&bytes).ok_or_else(|| trouble("File is not a zip file"))?;
    let mut names = Vec::new();
    for member in &members {
        if excludes.contains(&member.name) {
            continue;
        }
        let unpack = Unpack {
            context,
            dest: &dest,
            owner,
            keeps_mode: args.is_true("extract_perms"),
            password: password.as_deref().map(str::as_bytes),
        };
        unpack.member(member)?;
        names.push(member.name.clone());
    }
    trimmed(names, args)
}

struct Unpack<'a> {
    context: &'a Context<'a>,
    dest: &'a Path,
    owner: Option<(u32, u32)>,
    keeps_mode: bool,
    password: Option<&'a [u8]>,
}

impl Unpack<'_> {
    /// Makes the directories above a member. One that is a link is an error: an archive
    /// does not say where outside of its directory something is written.
    fn directories(&self, path: &Path) -> Result<(), CallError> {
        let machine = self.context.system;
        let failed = |error: std::io::Error, path: &Path| trouble(errno_text(&error, Some(path)));
        machine
            .create_dir_all(self.dest, 0o755)
            .map_err(|error| failed(error, self.dest))?;
        let mut now = self.dest.to_owned();
        for part in path.strip_prefix(self.dest).unwrap_or(path).components() {
            now.push(part);
            if machine.is_link(&now) {
                let error = std::io::Error::from_raw_os_error(40);
                return Err(failed(error, &now));
            }
            if !machine.is_dir(&now) {
                machine
                    .create_dir(&now, 0o755)
                    .map_err(|error| failed(error, &now))?;
                self.own(&now)?;
            }
        }
        Ok(())
    }

    fn own(&self, path: &Path) -> Result<(), CallError> {
        if let Some((uid, gid)) = self.owner {
            self.context
                .system
                .set_owner(path, Some(uid), Some(gid), false)?;
        }
        Ok(())
    }

    fn member(&self, member: &zip::Member<'_>) -> Result<(), CallError> {
        let machine = self.context.system;
        let path = below(self.dest, &member.name);
        let stated = member.mode & 0o7777;
        let keeps_mode = self.keeps_mode && stated != 0;
        let leads_out = Path::new(&member.name)
            .components()
            .any(|part| matches!(part, Component::ParentDir | Component::RootDir));
        if member.is_directory() {
            self.directories(&path)?;
            if keeps_mode && !leads_out && path != self.dest {
                machine.set_mode(&path, stated)?;
            }
        } else {
            self.directories(path.parent().unwrap_or(self.dest))?;
            let mut content = member.content(self.password).map_err(trouble)?;
            if member.is_link() {
                let mut target = String::new();
                content.read_to_string(&mut target).map_err(trouble)?;
                if machine.is_link(&path) || machine.exists(&path) {
                    machine.remove(&path)?;
                }
                machine.symlink(Path::new(&target), &path)?;
                return Ok(());
            }
            let mode = if keeps_mode && !leads_out {
                stated & 0o777
            } else {
                0o644
            };
            let mut options = WriteOptions::new().mode(mode);
            if let Some((uid, gid)) = self.owner {
                options = options.owner(uid, gid);
            }
            machine
                .write_from(&path, &mut content, &options)
                .map_err(trouble)?;
        }
        let named = self.dest.join(&member.name);
        if self.keeps_mode && leads_out && !machine.exists(&named) {
            // Salt looks for what it took out where the archive says; we only say so.
            return Err(trouble(format!(
                "[Errno 2] No such file or directory: {}",
                python::repr_str(&named.display().to_string())
            )));
        }
        Ok(())
    }
}

/// What is told beside an error.
fn informed(text: impl std::fmt::Display, path: &str, error: &str) -> CallError {
    let mut text = text.to_string();
    if !text.ends_with('?') {
        text.push('.');
    }
    text.push_str(&format!(
        " Additional info follows:\n\narchive location:\n    {path}"
    ));
    if !error.is_empty() {
        text.push_str("\nerror:");
        for line in error.lines() {
            text.push_str(&format!("\n    {line}"));
        }
    }
    CallError::Execution(text)
}

/// The path of an archive on this machine, fetched if it is elsewhere.
fn fetched(args: &Args, context: &Context<'_>) -> Result<String, CallError> {
    let name = match args.get("name") {
        Some(Value::Str(name)) => name.clone(),
        Some(Value::Null) | None => {
            return Err(CallError::exception(
                "AttributeError",
                "'NoneType' object has no attribute 'startswith'",
            ));
        }
        Some(other) => {
            return Err(CallError::exception(
                "AttributeError",
                format!("'{}' object has no attribute 'decode'", other.type_name()),
            ));
        }
    };
    if let Some(path) = name.strip_prefix("file://") {
        return Ok(path.to_owned());
    }
    let Some((scheme, _)) = name.split_once("://") else {
        if !name.starts_with('/') {
            return Err(CallError::execution(format!(
                "Path '{name}' is not absolute"
            )));
        }
        return Ok(name);
    };
    if !matches!(scheme, "salt" | "http" | "https" | "ftp" | "s3" | "swift") {
        return Err(CallError::exception(
            "ValueError",
            format!("Unsupported url scheme: {name}"),
        ));
    }
    let mut call = Args::new().with(name.as_str());
    for key in ["saltenv", "source_hash", "use_etag"] {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    match context.registry.call("cp.cache_file", &call, context)? {
        Value::Str(path) if !path.is_empty() => Ok(path),
        _ => Err(CallError::execution(format!("Failed to cache {name}"))),
    }
}

fn clean(args: &Args, path: &str, context: &Context<'_>) {
    if args.is_true("clean")
        && let Err(error) = context.system.remove(Path::new(path))
    {
        tracing::debug!("Failed to clean cached archive {path}: {error}");
    }
}

fn is_encrypted(args: &Args, context: &Context<'_>) -> Answer {
    let path = fetched(args, context)?;
    let bytes = match context.system.read(Path::new(&path)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let text = format!(
                "[Errno 2] No such file or directory: {}",
                python::repr_str(&path)
            );
            return Err(informed(text, &path, ""));
        }
        Err(error) => {
            return Err(informed(
                errno_text(&error, Some(Path::new(&path))),
                &path,
                "",
            ));
        }
    };
    let Some(members) = zip::members(&bytes) else {
        return Err(informed(format!("{path} is not a ZIP file"), &path, ""));
    };
    let is_encrypted = members.iter().any(zip::Member::is_encrypted);
    clean(args, &path, context);
    Ok(is_encrypted.into())
}

fn list(args: &Args, context: &Context<'_>) -> Answer {
    let path = fetched(args, context)?;
    let refused = |text: &str| Err(informed(text, &path, ""));
    let strip = match args.given("strip_components") {
        None | Some(Value::Bool(_)) => 0,
        Some(Value::Int(count)) if *count > 0 => usize::try_from(*count).unwrap_or(usize::MAX),
        Some(Value::Str(text)) if text.trim().parse::<i64>().is_ok_and(|count| count > 0) => {
            return Err(CallError::exception(
                "TypeError",
                "'<=' not supported between instances of 'str' and 'int'",
            ));
        }
        Some(_) => return refused("'strip_components' must be a positive integer"),
    };
    let format = match args.optional_text("archive_format") {
        None => match Format::guess(&path) {
            Some(format) => format,
            None => {
                return refused(
                    "Unable to guess archive format, please pass an 'archive_format' argument",
                );
            }
        },
        Some(name) => match Format::named(&name.to_lowercase()) {
            Some(format) => format,
            None => return refused(&format!("Unsupported archive format '{name}'")),
        },
    };
    let machine = context.system;
    if format != Format::Rar && !machine.exists(Path::new(&path)) {
        return refused(&format!(
            "Failed to list contents of {path}: [Errno 2] No such file or directory: {}",
            python::repr_str(&path)
        ));
    }
    let entries = match format {
        Format::Rar => rar_entries(&path, context)?,
        _ => {
            let bytes = Bytes::File(PathBuf::from(&path));
            match super::list(&bytes, format, machine)? {
                Some(entries) => entries,
                None if format == Format::Zip => {
                    return refused(&format!("{path} is not a ZIP file"));
                }
                None => {
                    return refused(&format!(
                        "Unable to list contents of {path}. If this is an XZ-compressed tar archive, install XZ Utils to enable listing its contents. If it is compressed using something other than XZ, it may be necessary to specify CLI options to decompress the archive. See the documentation for details"
                    ));
                }
            }
        }
    };
    let listing = Listing::new(&entries, format, strip);
    clean(args, &path, context);
    Ok(if args.is_true("verbose") {
        listing.verbose()
    } else {
        listing.plain()
    })
}

/// What `rar lt` tells: a block of lines for each member, with its name and kind.
fn rar_entries(path: &str, context: &Context<'_>) -> Result<Vec<Entry>, CallError> {
    let machine = context.system;
    let found = ["rar", "unrar"]
        .into_iter()
        .find(|name| machine.which(name).is_some());
    let Some(name) = found else {
        return Err(informed(
            "rar command not available, is it installed?",
            path,
            "",
        ));
    };
    let home = machine.env("HOME").unwrap_or_else(|| "/".into());
    let command: Command = tool::named(machine, name).args(["lt", path]).cwd(home);
    let output = tool::ask(machine, &command)?;
    let text = output.stdout_text();
    let mut entries = Vec::new();
    let mut name: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(stated) = line.strip_prefix("Name: ") {
            name = Some(stated.to_owned());
        } else if let Some(kind) = line.strip_prefix("Type: ")
            && let Some(name) = name.take()
        {
            let kind = match kind.trim() {
                "Directory" => FileKind::Directory,
                "File" => FileKind::File,
                _ => FileKind::Symlink,
            };
            entries.push(Entry { name, kind });
        }
    }
    if entries.is_empty() {
        return Err(informed(
            format!(
                "Failed to list {path}, is it a rar file? If so, the installed version of rar may be too old to list data in a parsable format. Installing the rarfile Python module may be an easier workaround if newer rar is not readily available"
            ),
            path,
            text.trim_end(),
        ));
    }
    Ok(entries)
}

/// The paths by kind; those of directories end in a slash.
#[derive(Default)]
struct Listing {
    directories: Vec<String>,
    files: Vec<String>,
    links: Vec<String>,
}

impl Listing {
    fn new(entries: &[Entry], format: Format, strip: usize) -> Self {
        let mut all = Self::default();
        for entry in entries {
            let name = entry.name.trim_end_matches('/');
            match entry.kind {
                FileKind::Directory => all.directories.push(format!("{name}/")),
                FileKind::Symlink => all.links.push(entry.name.clone()),
                _ => all.files.push(entry.name.clone()),
            }
            if format == Format::Zip
                && entry.kind != FileKind::Directory
                && let Some((above, _)) = entry.name.rsplit_once('/')
            {
                all.directories.push(format!("{above}/"));
            }
        }
        for paths in [&mut all.directories, &mut all.files, &mut all.links] {
            if strip > 0 {
                *paths = paths
                    .iter()
                    .filter_map(|path| path.splitn(strip.saturating_add(1), '/').nth(strip))
                    .filter(|path| !path.is_empty())
                    .map(str::to_owned)
                    .collect();
            }
            paths.sort();
            paths.dedup();
        }
        all
    }

    fn plain(&self) -> Value {
        let mut all: Vec<&String> = self
            .directories
            .iter()
            .chain(&self.files)
            .chain(&self.links)
            .collect();
        all.sort();
        all.into_iter().map(String::as_str).collect()
    }

    fn verbose(&self) -> Value {
        let top = |paths: &[String]| -> Vec<String> {
            let is_top = |path: &&String| !path.trim_end_matches('/').contains('/');
            paths.iter().filter(is_top).cloned().collect()
        };
        let mut directories = top(&self.directories);
        let (files, links) = (top(&self.files), top(&self.links));
        if directories.is_empty() && files.is_empty() && links.is_empty() {
            let all = || {
                self.directories
                    .iter()
                    .chain(&self.files)
                    .chain(&self.links)
            };
            let first = |path: &String| path.split_once('/').map(|(first, _)| first.to_owned());
            if let Some(common) = all().next().and_then(first)
                && !common.is_empty()
                && all().all(|path| first(path).as_ref() == Some(&common))
            {
                directories.push(format!("{common}/"));
            }
        }
        let list = |paths: &[String]| -> Value { paths.iter().map(String::as_str).collect() };
        Map::from([
            ("dirs", list(&self.directories)),
            ("files", list(&self.files)),
            ("links", list(&self.links)),
            ("top_level_dirs", list(&directories)),
            ("top_level_files", list(&files)),
            ("top_level_links", list(&links)),
        ])
        .into()
    }
}
