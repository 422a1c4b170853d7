//! `pip.install` and `pip.uninstall`: their many options as words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::version::Version;
use super::{Answer, Pip};
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::CallError;
use crate::system::{Output, WriteOptions};

/// Salt's signature of `pip.install`.
pub(super) const SIGNATURE: &str = "install(pkgs=None, requirements=None, bin_env=None, use_wheel=False, no_use_wheel=False, log=None, proxy=None, timeout=None, editable=None, find_links=None, index_url=None, extra_index_url=None, no_index=False, mirrors=None, build=None, target=None, download=None, download_cache=None, source=None, upgrade=False, force_reinstall=False, ignore_installed=False, exists_action=None, no_deps=False, no_install=False, no_download=False, global_options=None, install_options=None, user=None, cwd=None, pre_releases=False, cert=None, allow_all_external=False, allow_external=None, allow_unverified=None, process_dependency_links=False, saltenv='base', env_vars=None, use_vt=False, trusted_host=None, no_cache_dir=False, extra_args=None, cache_dir=None, no_binary=None, disable_version_check=False, **kwargs)";

/// Texts of a list, or of one text split at commas.
pub(crate) fn several(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(Value::Str(text)) => text
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect(),
        Some(other) if other.is_true() => vec![python::str(other)],
        _ => Vec::new(),
    }
}

/// Texts of a list, or one text as it is.
fn whole(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Str(text)) if !text.is_empty() => vec![text.clone()],
        other => several(other.filter(|value| !matches!(value, Value::Str(_)))),
    }
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https" | "ftp" | "file") && !rest.is_empty()
    })
}

/// What is run as somebody else needs files of its own.
struct Sheets {
    words: Vec<String>,
    copies: Vec<PathBuf>,
}

impl Sheets {
    fn remove(&self, context: &Context<'_>) -> Result<(), CallError> {
        for copy in &self.copies {
            context.system.remove(copy)?;
        }
        Ok(())
    }
}

/// The files of requirements, those of the state tree as copies; the inner error is what
/// the caller gets to see.
fn requirements(args: &Args, context: &Context<'_>) -> Result<Result<Sheets, String>, CallError> {
    let mut sheets = Sheets {
        words: Vec::new(),
        copies: Vec::new(),
    };
    for address in several(args.given("requirements")) {
        let path = if address.starts_with("salt://") {
            let Some(path) = cached(&address, args, context, &mut BTreeSet::new())? else {
                sheets.remove(context)?;
                return Ok(Err(format!("pip requirements file '{address}' not found")));
            };
            match args.optional_text("user").filter(|name| !name.is_empty()) {
                None => path,
                Some(name) => {
                    let copy = copy_for(&name, &path, context)?;
                    sheets.copies.push(copy.clone());
                    copy.to_string_lossy().into_owned()
                }
            }
        } else {
            address
        };
        sheets.words.extend(["--requirement".to_owned(), path]);
    }
    Ok(Ok(sheets))
}

/// Puts a file of the state tree into the cache, and those it names; its place there.
fn cached(
    address: &str,
    args: &Args,
    context: &Context<'_>,
    seen: &mut BTreeSet<String>,
) -> Result<Option<String>, CallError> {
    let saltenv = args
        .optional_text("saltenv")
        .unwrap_or_else(|| "base".to_owned());
    let call = Args::new()
        .keyword("path", address)
        .keyword("saltenv", saltenv);
    let Value::Str(path) = context.registry.call("cp.cache_file", &call, context)? else {
        return Ok(None);
    };
    if path.is_empty() {
        return Ok(None);
    }
    if seen.insert(address.to_owned()) {
        let text = context.system.text(Path::new(&path))?.unwrap_or_default();
        let folder = address
            .rsplit_once('/')
            .map_or(address, |(folder, _)| folder);
        for line in text.lines() {
            let named = ["-r ", "--requirement ", "--requirement="]
                .iter()
                .find_map(|option| line.trim().strip_prefix(option));
            if let Some(named) = named.map(str::trim)
                && !named.contains("://")
                && !named.starts_with('/')
            {
                cached(&format!("{folder}/{named}"), args, context, seen)?;
            }
        }
    }
    Ok(Some(path))
}

fn copy_for(user: &str, path: &str, context: &Context<'_>) -> Result<PathBuf, CallError> {
    let content = context.system.read(Path::new(path))?.unwrap_or_default();
    let mut random = [0_u8; 8];
    context.system.random(&mut random);
    let mark: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let copy = Path::new("/tmp").join(format!("salt-requirements-{mark}.txt"));
    let mut options = WriteOptions::new().mode(0o600);
    if let Some(user) = context.system.user(user)? {
        options = options.owner(user.uid, user.gid);
    }
    context.system.write(&copy, &content, &options)?;
    Ok(copy)
}

/// What `cmd.run_all` would say of a run.
fn entry(output: &Output) -> Map {
    Map::from([
        ("pid", Value::from(i64::from(output.pid))),
        ("retcode", i64::from(output.exit.code()).into()),
        ("stdout", output.stdout_text().trim_end().into()),
        ("stderr", output.stderr_text().trim_end().into()),
    ])
}

fn checked_timeout(args: &Args) -> Result<Option<String>, CallError> {
    match args.given("timeout") {
        None => Ok(None),
        Some(value) => match python::str(value).trim().parse::<i64>() {
            Ok(seconds) => Ok(Some(seconds.to_string())),
            Err(_) => Err(CallError::exception(
                "ValueError",
                format!(
                    "'{}' is not a valid timeout, must be an integer",
                    python::str(value)
                ),
            )),
        },
    }
}

/// The words of options that have one value each.
fn valued(args: &Args, options: &[(&str, &str)]) -> Vec<String> {
    options
        .iter()
        .filter_map(|(key, option)| {
            let value = args.optional_text(key).filter(|value| !value.is_empty())?;
            Some([(*option).to_owned(), value])
        })
        .flatten()
        .collect()
}

/// The words of options that are there or not.
fn flags(args: &Args, options: &[(&str, &str)]) -> Vec<String> {
    options
        .iter()
        .filter(|(key, _)| args.is_true(key))
        .map(|(_, option)| (*option).to_owned())
        .collect()
}

fn each(option: &str, values: Vec<String>) -> Vec<String> {
    values
        .into_iter()
        .flat_map(|value| [option.to_owned(), value])
        .collect()
}

/// Further arguments: texts, or mappings of an option to its value.
fn extra(args: &Args) -> Vec<String> {
    let mut words = Vec::new();
    for item in args
        .given("extra_args")
        .and_then(Value::as_list)
        .unwrap_or_default()
    {
        match item {
            Value::Map(map) => {
                for (option, value) in map {
                    words.extend([python::str(option), python::str(value)]);
                }
            }
            other => words.push(python::str(other)),
        }
    }
    words
}

/// The version of pip as a number that can be compared.
fn at_least(version: &str, wanted: &str) -> bool {
    Version::parse(version)
        .zip(Version::parse(wanted))
        .is_none_or(|(version, wanted)| version >= wanted)
}

/// Everything behind `install`, without the files of requirements.
fn words(args: &Args, version: &str, context: &Context<'_>) -> Result<Vec<String>, CallError> {
    let mut words = Vec::new();
    // Wheels are what pip takes by itself since version 10.
    if !at_least(version, "10") {
        words.extend(flags(
            args,
            &[
                ("use_wheel", "--use-wheel"),
                ("no_use_wheel", "--no-use-wheel"),
            ],
        ));
    }
    if let Some(value) = args.given("no_binary").filter(|value| value.is_true()) {
        words.extend(["--no-binary".to_owned(), several(Some(value)).join(",")]);
    }
    words.extend(valued(args, &[("log", "--log"), ("proxy", "--proxy")]));
    if let Some(seconds) = checked_timeout(args)? {
        words.extend(["--timeout".to_owned(), seconds]);
    }
    for link in several(args.given("find_links")) {
        if !is_url(&link) && !context.system.exists(Path::new(&link)) {
            return Err(CallError::execution(format!(
                "'{link}' is not a valid URL or path"
            )));
        }
        words.extend(["--find-links".to_owned(), link]);
    }
    let indexes = [
        ("index_url", "--index-url"),
        ("extra_index_url", "--extra-index-url"),
    ];
    for (key, _) in indexes {
        if let Some(url) = args.optional_text(key).filter(|url| !url.is_empty())
            && !is_url(&url)
        {
            return Err(CallError::execution(format!("'{url}' is not a valid URL")));
        }
    }
    words.extend(valued(args, &indexes));
    words.extend(flags(args, &[("no_index", "--no-index")]));
    if args.is_true("mirrors") {
        return Err(CallError::execution(
            "pip >= 7.0.0 does not support mirror argument: use index_url and/or extra_index_url instead",
        ));
    }
    words.extend(flags(
        args,
        &[("disable_version_check", "--disable-pip-version-check")],
    ));
    words.extend(valued(
        args,
        &[
            ("build", "--build"),
            ("target", "--target"),
            ("download", "--download"),
        ],
    ));
    let cache = ["cache_dir", "download_cache"]
        .into_iter()
        .find(|key| args.is_true(key));
    if let Some(key) = cache {
        words.extend(valued(args, &[(key, "--cache-dir")]));
    }
    words.extend(valued(args, &[("source", "--source")]));
    words.extend(flags(
        args,
        &[
            ("upgrade", "--upgrade"),
            ("force_reinstall", "--force-reinstall"),
            ("ignore_installed", "--ignore-installed"),
        ],
    ));
    if let Some(action) = args
        .optional_text("exists_action")
        .filter(|action| !action.is_empty())
    {
        if !matches!(action.to_lowercase().as_str(), "s" | "i" | "w" | "b") {
            return Err(CallError::execution(format!(
                "The exists_action pip option only supports the values s, i, w, and b. '{action}' is not valid."
            )));
        }
        words.extend(["--exists-action".to_owned(), action]);
    }
    words.extend(flags(
        args,
        &[
            ("no_deps", "--no-deps"),
            ("no_install", "--no-install"),
            ("no_download", "--no-download"),
            ("no_cache_dir", "--no-cache-dir"),
            ("pre_releases", "--pre"),
        ],
    ));
    words.extend(valued(args, &[("cert", "--cert")]));
    for (key, option) in [
        ("global_options", "--global-option"),
        ("install_options", "--install-option"),
    ] {
        words.extend(each(option, whole(args.given(key))));
    }
    words.extend(several(args.given("pkgs")));
    for editable in several(args.given("editable")) {
        let is_path = editable == "." || context.system.exists(Path::new(&editable));
        if !is_path && !editable.contains("egg=") {
            return Err(CallError::execution(
                "You must specify an egg for this editable",
            ));
        }
        words.extend(["--editable".to_owned(), editable]);
    }
    words.extend(flags(
        args,
        &[("allow_all_external", "--allow-all-external")],
    ));
    for (key, option) in [
        ("allow_external", "--allow-external"),
        ("allow_unverified", "--allow-unverified"),
    ] {
        words.extend(each(option, several(args.given(key))));
    }
    words.extend(flags(
        args,
        &[("process_dependency_links", "--process-dependency-links")],
    ));
    words.extend(each("--trusted-host", whole(args.given("trusted_host"))));
    words.extend(extra(args));
    Ok(words)
}

/// `pip.install`: what `cmd.run_all` says, or `result` and `comment` where a file of
/// requirements is missing.
pub(crate) fn install(args: &Args, context: &Context<'_>) -> Answer {
    let pip = Pip::of(args, context.system)?;
    let version = pip.version(context.system)?;
    let words = words(args, &version, context)?;
    let asks = ["pkgs", "requirements", "editable"]
        .iter()
        .any(|key| args.is_true(key));
    if !asks {
        return Ok(Map::from([
            ("retcode", Value::from(0)),
            ("stdout", "No packages to install.".into()),
        ])
        .into());
    }
    run(&pip, &["install"], &words, args, context)
}

/// `pip.uninstall`: what `cmd.run_all` says.
pub(crate) fn uninstall(args: &Args, context: &Context<'_>) -> Answer {
    let pip = Pip::of(args, context.system)?;
    let mut words = valued(args, &[("log", "--log"), ("proxy", "--proxy")]);
    if let Some(seconds) = checked_timeout(args)? {
        words.extend(["--timeout".to_owned(), seconds]);
    }
    words.extend(several(args.given("pkgs")));
    words.extend(extra(args));
    run(&pip, &["uninstall", "-y"], &words, args, context)
}

fn run(pip: &Pip, verb: &[&str], words: &[String], args: &Args, context: &Context<'_>) -> Answer {
    let sheets = match requirements(args, context)? {
        Ok(sheets) => sheets,
        Err(comment) => {
            return Ok(
                Map::from([("result", Value::from(false)), ("comment", comment.into())]).into(),
            );
        }
    };
    let command = pip.command(verb).args(&sheets.words).args(words);
    let output = tool::run(context, &command);
    sheets.remove(context)?;
    Ok(entry(&output?).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::registry::Registry;
    use crate::system::FakeSystem;

    fn line(args: Args) -> Result<String, String> {
        let registry = Registry::new();
        let (machine, minion) = (FakeSystem::new().directory("/links"), MinionData::default());
        let context = Context::new(&registry, &machine, &minion);
        words(&args.keyword("pkgs", "alpha"), "23.2.1", &context)
            .map(|words| words.join(" "))
            .map_err(|error| error.to_string())
    }

    /// The order of words is that of Salt 3008.3.
    #[test]
    fn options_stand_in_salts_order() {
        let list = |items: &[&str]| items.iter().copied().collect::<Value>();
        let args = Args::new()
            .keyword("no_binary", list(&["a", "b"]))
            .keyword("log", "/tmp/l")
            .keyword("proxy", "http://p")
            .keyword("timeout", 4)
            .keyword("find_links", "/links")
            .keyword("index_url", "https://i")
            .keyword("disable_version_check", true)
            .keyword("cache_dir", "/cd")
            .keyword("upgrade", true)
            .keyword("exists_action", "s")
            .keyword("global_options", "a b")
            .keyword("install_options", list(&["c", "d"]))
            .keyword("use_wheel", true)
            .keyword("editable", "git+https://x/y#egg=z")
            .keyword("trusted_host", "h")
            .keyword("extra_args", list(&["-v"]));
        assert_eq!(
            line(args).unwrap(),
            "--no-binary a,b --log /tmp/l --proxy http://p --timeout 4 --find-links /links \
             --index-url https://i --disable-pip-version-check --cache-dir /cd --upgrade \
             --exists-action s --global-option a b --install-option c --install-option d alpha \
             --editable git+https://x/y#egg=z --trusted-host h -v"
        );
    }

    #[test]
    fn values_without_sense_are_refused_in_salts_words() {
        let refused = |key: &str, value: &str| line(Args::new().keyword(key, value)).unwrap_err();

        assert_eq!(
            refused("timeout", "x"),
            "'x' is not a valid timeout, must be an integer"
        );
        assert_eq!(
            refused("find_links", "nope"),
            "'nope' is not a valid URL or path"
        );
        assert_eq!(refused("index_url", "i"), "'i' is not a valid URL");
        assert_eq!(
            refused("editable", "nope"),
            "You must specify an egg for this editable"
        );
        assert_eq!(
            refused("exists_action", "q"),
            "The exists_action pip option only supports the values s, i, w, and b. 'q' is not valid."
        );
    }
}
