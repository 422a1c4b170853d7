//! `pkg.*` as far as it changes what is installed.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use super::manager::{Manager, Request};
use crate::args::Args;
use crate::context::Context;
use crate::functions::{lowpkg, tool};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Output;

type Answer = Result<Value, CallError>;
type Versions = BTreeMap<String, String>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "pkg.refresh_db",
        "refresh_db(cache_valid_time=0, failhard=False, **kwargs)",
        "Reads the lists of packages again.",
        |args, context| {
            let manager = Manager::of(context, "pkg.refresh_db")?;
            if manager == Manager::Apt && are_fresh(args, context) {
                return Ok(Map::new().into());
            }
            let output = manager.refresh(context)?;
            let found = refreshed(&output);
            if args.is_true("failhard") {
                let text = output.stdout_text();
                let failed: Vec<&str> = text
                    .lines()
                    .filter(|line| line.starts_with("Err"))
                    .filter_map(|line| Some(line.split_once(' ')?.1.trim()))
                    .collect();
                if !failed.is_empty() {
                    return Err(CallError::execution(format!(
                        "Error getting repos: {}",
                        failed.join(", ")
                    )));
                }
            }
            Ok(found.into())
        },
    );
    add(
        "pkg.install",
        "install(name=None, refresh=False, fromrepo=None, skip_verify=False, debconf=None, pkgs=None, sources=None, reinstall=False, downloadonly=False, ignore_epoch=False, **kwargs)",
        "Installs packages and returns what changed.",
        |args, context| Ok(install(args, context)?.into()),
    );
    add(
        "pkg.remove",
        "remove(name=None, pkgs=None, **kwargs)",
        "Removes packages and returns what changed.",
        |args, context| {
            names_something(args)?;
            Ok(removal(args, context, false)?.into())
        },
    );
    add(
        "pkg.purge",
        "purge(name=None, pkgs=None, **kwargs)",
        "Removes packages with their configuration and returns what changed.",
        |args, context| {
            names_something(args)?;
            Ok(removal(args, context, true)?.into())
        },
    );
    add(
        "pkg.upgrade",
        "upgrade(refresh=True, dist_upgrade=False, download_only=False, **kwargs)",
        "Upgrades all packages and returns what changed.",
        |args, context| {
            let manager = Manager::of(context, "pkg.upgrade")?;
            if args.is_true("refresh") {
                manager.refresh(context)?;
            }
            let before = manager.installed(context.system, false)?;
            let output = manager.upgrade(
                context,
                args.is_true("dist_upgrade"),
                args.is_true("download_only") || args.is_true("downloadonly"),
            )?;
            let after = manager.installed(context.system, false)?;
            let changes = changes(&before, &after);
            if output.is_success() {
                return Ok(changes.into());
            }
            context.set_retcode(output.exit.code().into());
            Err(CallError::execution(format!(
                "Problem encountered upgrading packages. Additional info follows:\n\n{}",
                tool::said(&output)
            )))
        },
    );
    add(
        "pkg.hold",
        "hold(name=None, pkgs=None, sources=None, **kwargs)",
        "Keeps packages at their versions.",
        |args, context| hold(args, context, "hold"),
    );
    add(
        "pkg.unhold",
        "unhold(name=None, pkgs=None, sources=None, **kwargs)",
        "Lets packages be upgraded again.",
        |args, context| hold(args, context, "install"),
    );
    add(
        "pkg.set_selections",
        "set_selections(path=None, selection=None, clear=False, saltenv='base')",
        "Says what is to become of packages, by state.",
        |args, context| {
            let manager = Manager::of(context, "pkg.set_selections")?;
            let mut map = Map::new();
            if let Some(selection) = selection(args, context)? {
                for (state, names) in &selection {
                    let state = python::str(state);
                    let names: Vec<String> = match names {
                        Value::List(names) => names.iter().map(python::str).collect(),
                        other => python::str(other).chars().map(String::from).collect(),
                    };
                    for name in names {
                        let now = manager.selections(context.system, &name)?;
                        let old = now.get(&name).cloned();
                        if old.as_deref() != Some(&state) {
                            manager.select(context, &name, &state)?;
                            map.insert(
                                name,
                                Map::from([
                                    ("old", Value::from(old)),
                                    ("new", state.as_str().into()),
                                ]),
                            );
                        }
                    }
                }
            }
            Ok(map.into())
        },
    );
    add(
        "pkg.autoremove",
        "autoremove(list_only=False, purge=False)",
        "Removes packages that nothing needs any more.",
        |args, context| {
            let manager = Manager::of(context, "pkg.autoremove")?;
            if manager != Manager::Apt {
                return Err(CallError::Unavailable("pkg.autoremove".to_owned()));
            }
            let mut command = tool::plain("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
            if args.is_true("list_only") {
                command = command.args(["--assume-no", "autoremove"]);
                let text = tool::ask(context.system, &command)?.stdout_text();
                let names = text
                    .lines()
                    .skip_while(|line| !line.contains("will be REMOVED"))
                    .skip(1)
                    .take_while(|line| line.starts_with(' '))
                    .flat_map(str::split_whitespace)
                    .map(str::to_owned);
                return Ok(names.collect());
            }
            let before = manager.installed(context.system, false)?;
            command = command.args(["-q", "-y"]);
            if args.is_true("purge") {
                command = command.arg("--purge");
            }
            tool::run(context, &command.arg("autoremove"))?;
            let after = manager.installed(context.system, false)?;
            Ok(changes(&before, &after).into())
        },
    );
}

/// Salt stumbles over a removal of nothing.
fn names_something(args: &Args) -> Result<(), CallError> {
    if args.given("name").is_some() || args.given("pkgs").is_some() {
        return Ok(());
    }
    Err(CallError::exception(
        "TypeError",
        "'NoneType' object is not iterable",
    ))
}

/// Whether the lists of packages were read less than so many seconds ago.
fn are_fresh(args: &Args, context: &Context<'_>) -> bool {
    let seconds = match args.get("cache_valid_time") {
        Some(Value::Int(seconds)) => u64::try_from(*seconds).unwrap_or(0),
        _ => 0,
    };
    let lists = std::path::Path::new("/var/lib/apt/lists");
    let Ok(Some(lists)) = context.system.metadata(lists) else {
        return false;
    };
    let now = context.system.now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let read = u64::try_from(lists.modified.seconds).unwrap_or(0);
    seconds > 0 && now.saturating_sub(read) < seconds
}

/// The selections that arguments state: as a mapping, as YAML, or as a file in the form of
/// `dpkg --get-selections`.
fn selection(args: &Args, context: &Context<'_>) -> Result<Option<Map>, CallError> {
    let path = args.optional_text("path");
    let stated = args.given("selection").filter(|stated| stated.is_true());
    if path.is_some() && stated.is_some() {
        return Err(CallError::invocation(
            "The 'selection' and 'path' arguments to pkg.set_selections are mutually exclusive, and cannot be specified together",
        ));
    }
    let mut selection = Map::new();
    match (stated, path) {
        (Some(Value::Map(stated)), _) => selection = stated.clone(),
        (Some(Value::Str(text)), _) => match crate::yaml::load(text) {
            Ok(Value::Map(stated)) => selection = stated,
            _ => {
                return Err(CallError::invocation(
                    "The 'selection' argument to pkg.set_selections must be a dictionary",
                ));
            }
        },
        (Some(_), _) => {
            return Err(CallError::invocation(
                "The 'selection' argument to pkg.set_selections must be a dictionary",
            ));
        }
        (None, Some(path)) => {
            let call = Args::new().with(path.as_str());
            let local = match context.registry.call("cp.cache_file", &call, context)? {
                Value::Str(local) => local,
                _ => path.clone(),
            };
            let file = std::path::Path::new(&local);
            let missing = || {
                CallError::exception(
                    "FileNotFoundError",
                    format!("[Errno 2] No such file or directory: '{path}'"),
                )
            };
            let content = context
                .system
                .text(file)
                .ok()
                .flatten()
                .ok_or_else(missing)?;
            for line in content.lines() {
                let mut words = line.split_whitespace();
                if let (Some(name), Some(state)) = (words.next(), words.next())
                    && let Value::List(names) =
                        selection.get_or_insert_with(state, || Value::List(Vec::new()))
                {
                    names.push(name.into());
                }
            }
        }
        (None, None) => return Ok(None),
    }
    let unknown: Vec<String> = selection
        .keys()
        .map(python::str)
        .filter(|state| !matches!(state.as_str(), "install" | "hold" | "deinstall" | "purge"))
        .collect();
    if !unknown.is_empty() {
        return Err(CallError::invocation(format!(
            "Invalid state(s): {}",
            unknown.join(", ")
        )));
    }
    Ok(Some(selection))
}

/// Which lists were fetched (true), were current (none) or could not be fetched (false).
fn refreshed(output: &Output) -> Map {
    let mut map = Map::new();
    for line in output.stdout_text().lines() {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        let what = rest.trim();
        let kind = word.split(':').next().unwrap_or_default();
        let value = match kind {
            "Get" => Value::from(true),
            "Hit" => Value::Null,
            "Err" | "Ign" => Value::from(false),
            _ => continue,
        };
        // The size at the end is not part of the name.
        let what = what.rsplit_once(" [").map_or(what, |(what, _)| what);
        map.insert(what, value);
    }
    map
}

/// What differs between two lists of packages.
pub(crate) fn changes(before: &Versions, after: &Versions) -> Map {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut map = Map::new();
    for name in names {
        let old = before.get(name).map(String::as_str).unwrap_or_default();
        let new = after.get(name).map(String::as_str).unwrap_or_default();
        if old != new {
            map.insert(name.as_str(), Map::from([("old", old), ("new", new)]));
        }
    }
    map
}

/// Why packages were not changed as asked.
pub(crate) enum Failure {
    /// It was not tried.
    Call(CallError),
    /// It went wrong on the way.
    Problem {
        /// `installing`, `removing` or `upgrading`.
        verb: &'static str,
        /// What changed all the same.
        changes: Map,
        /// What the package manager complained about.
        error: String,
    },
    /// It went wrong on the way, for several reasons.
    Problems {
        /// `installing` or `removing`.
        verb: &'static str,
        /// What changed all the same.
        changes: Map,
        /// What the package manager complained about.
        errors: Vec<String>,
    },
}

impl Failure {
    fn of(verb: &'static str, changes: Map, output: &Output) -> Self {
        let error = tool::said(output);
        Self::Problem {
            verb,
            changes,
            error,
        }
    }

    /// The same of several complaints, as it is with dnf.
    pub(crate) fn problems(verb: &str, errors: &[String]) -> String {
        format!(
            "Error occurred {verb} package(s). Additional info follows:\n\nerrors:{}",
            Self::listed(errors)
        )
    }

    /// Complaints, one below the other.
    pub(crate) fn listed(errors: &[String]) -> String {
        errors
            .iter()
            .map(|error| format!("\n    - {}", error.replace('\n', "\n      ")))
            .collect()
    }

    /// The text of a state, which shows the changes apart.
    pub(crate) fn problem(verb: &str, error: &str) -> String {
        format!(
            "Problem encountered {verb} package(s). Additional info follows:\n\nerrors:\n    - {}",
            error.replace('\n', "\n      ")
        )
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Call(error) => error,
            Failure::Problems {
                verb,
                changes,
                errors,
            } => {
                let shown = super::dnf::change::nested(&changes, 4);
                Self::execution(format!(
                    "Error occurred {verb} package(s). Additional info follows:\n\nchanges:\n    ----------{shown}\nerrors:{}",
                    Failure::listed(&errors)
                ))
            }
            Failure::Problem {
                verb,
                changes,
                error,
            } => {
                let mut shown = "\nchanges:\n    ----------".to_owned();
                for (name, change) in &changes {
                    shown.push_str(&format!("\n    {}:\n        ----------", python::str(name)));
                    for (key, version) in change.as_map().into_iter().flatten() {
                        shown.push_str(&format!(
                            "\n        {}:\n            {}",
                            python::str(key),
                            python::str(version)
                        ));
                    }
                }
                let text = Failure::problem(verb, &error);
                Self::execution(text.replacen("\nerrors:", &format!("{shown}\nerrors:"), 1))
            }
        }
    }
}

/// The same for a state, whose name is that of one package.
///
/// # Errors
///
/// When `pkgs` is a text, or names a package twice: Salt refuses both in the same words.
pub(crate) fn state_targets(args: &Args) -> Result<Vec<(String, Option<String>)>, CallError> {
    let Some(stated) = args.given("pkgs") else {
        return Ok(one_target(args));
    };
    let found = targets(args);
    let mut names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| pair.first() == pair.last());
    if twice || stated.as_str().is_some() {
        return Err(CallError::invocation(format!(
            "You are passing a list of packages that contains duplicated packages names: {}. This cannot be processed. In case you are targeting different versions of the same package, please target them individually",
            python::str(stated)
        )));
    }
    Ok(found)
}

/// The same for a function, whose name may be several, with commas between them.
fn call_targets(args: &Args) -> Result<Vec<(String, Option<String>)>, CallError> {
    match args.given("pkgs") {
        Some(_) => state_targets(args),
        None => Ok(targets(args)),
    }
}

/// What a state that has no list of packages is about.
fn one_target(args: &Args) -> Vec<(String, Option<String>)> {
    let version = args.get("version").filter(|version| version.is_true());
    match args.optional_text("name") {
        Some(name) if !name.is_empty() => vec![(name, version.map(python::str))],
        _ => Vec::new(),
    }
}

/// The same for a state that takes its list as it comes: a text for a list of letters.
pub(crate) fn loose_targets(args: &Args) -> Vec<(String, Option<String>)> {
    match args.given("pkgs") {
        None => one_target(args),
        Some(Value::Str(text)) => text.chars().map(|c| (c.to_string(), None)).collect(),
        Some(_) => targets(args),
    }
}

/// Names and versions in the forms that `pkgs` takes.
pub(crate) fn targets(args: &Args) -> Vec<(String, Option<String>)> {
    let one = |value: &Value| -> Vec<(String, Option<String>)> {
        match value {
            Value::Map(map) => map
                .iter()
                .map(|(name, version)| {
                    let version = match version {
                        Value::Null => None,
                        other => Some(python::str(other)).filter(|version| !version.is_empty()),
                    };
                    (python::str(name), version)
                })
                .collect(),
            other => vec![(python::str(other), None)],
        }
    };
    match args.given("pkgs") {
        Some(Value::List(items)) => items.iter().flat_map(one).collect(),
        Some(Value::Str(text)) => match crate::yaml::load(text) {
            Ok(Value::List(items)) => items.iter().flat_map(one).collect(),
            _ => text
                .split(',')
                .map(|name| (name.trim().to_owned(), None))
                .collect(),
        },
        Some(other) => one(other),
        None => {
            let version = args
                .get("version")
                .filter(|version| version.is_true())
                .map(python::str);
            let name = args.optional_text("name").unwrap_or_default();
            let names: Vec<&str> = name.split(',').map(str::trim).collect();
            match names.as_slice() {
                [one] => vec![((*one).to_owned(), version)],
                several => several
                    .iter()
                    .map(|name| ((*name).to_owned(), None))
                    .collect(),
            }
            .into_iter()
            .filter(|(name, _)| !name.is_empty())
            .collect()
        }
    }
}

/// The version that a stated one (exact, with `*`, or with a comparison) means; `None`
/// when there is none like that.
pub(crate) fn meant(
    manager: Manager,
    machine: &dyn crate::system::Observe,
    name: &str,
    version: &str,
    ignore_epoch: bool,
) -> Option<String> {
    if version == "latest" {
        return manager.candidate(machine, name);
    }
    let fits = |known: &String| {
        if ignore_epoch {
            let (known, version) = (super::without_epoch(known), super::without_epoch(version));
            super::satisfies(manager, &known, &version)
        } else {
            super::satisfies(manager, known, version)
        }
    };
    manager.versions(machine, name).into_iter().find(fits)
}

/// Installs what the arguments of `pkg.install` name, and says what changed.
pub(crate) fn install(args: &Args, context: &Context<'_>) -> Result<Map, Failure> {
    let manager = Manager::of(context, "pkg.install")?;
    if matches!(manager, Manager::Dnf(_)) {
        return super::dnf::change::install(args, context);
    }
    if manager == Manager::Apk {
        let before = super::apk::installed(context.system)?;
        let names: Vec<String> = match args.given("sources") {
            Some(stated) if stated.is_true() => Vec::new(),
            _ => targets(args).into_iter().map(|(name, _)| name).collect(),
        };
        return super::apk::install(context, &before, &names);
    }
    if args.is_true("refresh") {
        manager.refresh(context)?;
    }
    let asks_both = |key| args.get(key).is_some_and(Value::is_true);
    if asks_both("pkgs") && asks_both("sources") {
        return Ok(Map::new());
    }
    if let Some(path) = args.given("debconf").filter(|path| path.is_true()) {
        answer_questions(context, path)?;
    }
    let before = manager.installed(context.system, false)?;
    let mut request = Request {
        from: args.optional_text("fromrepo"),
        skip_verify: args.is_true("skip_verify"),
        reinstall: args.is_true("reinstall"),
        download_only: args.is_true("downloadonly"),
        recommends: args.given("install_recommends").map(Value::is_true),
        held: args.is_true("update_holds"),
        only_upgrade: args.is_true("only_upgrade"),
        ..Request::default()
    };
    let mut older = false;
    let mut names: Vec<String> = Vec::new();
    let sources = sources(args);
    if sources.is_empty() {
        for (name, version) in call_targets(args)? {
            names.push(name.clone());
            match version {
                None => request.targets.push(name),
                Some(version) => {
                    let version = if version.starts_with(['<', '>', '=']) || version == "latest" {
                        match meant(
                            manager,
                            context.system,
                            &name,
                            &version,
                            args.is_true("ignore_epoch"),
                        ) {
                            Some(version) => version,
                            None => {
                                let known = manager.versions(context.system, &name).join(", ");
                                return Err(Failure::Problem {
                                    verb: "installing",
                                    changes: Map::new(),
                                    error: format!(
                                        "No version matching '{name}{version}' could be found (available: {known})"
                                    ),
                                });
                            }
                        }
                    } else {
                        version
                    };
                    older |= before.get(&name).is_some_and(|now| {
                        super::compare(manager, &version, now) == std::cmp::Ordering::Less
                    });
                    request.targets.push(manager.target(&name, &version));
                }
            }
        }
    } else {
        request.files = true;
        for (name, source) in sources {
            let file = fetched(context, &name, &source)?;
            if manager == Manager::Apt {
                lowpkg::control(context.system, std::path::Path::new(&file))?;
            }
            request.targets.push(file);
            names.push(name);
        }
    }
    request.downgrade = older;
    if request.targets.is_empty() {
        return Ok(Map::new());
    }
    // What was asked for by name is let go for as long as that takes.
    let held: Vec<String> = manager
        .selections(context.system, "*")?
        .into_iter()
        .filter(|(name, state)| state == "hold" && names.contains(name))
        .map(|(name, _)| name)
        .collect();
    for name in &held {
        manager.select(context, name, "install")?;
    }
    let output = manager.install(context, &request);
    for name in &held {
        manager.select(context, name, "hold")?;
    }
    let output = output?;
    let after = manager.installed(context.system, false)?;
    let mut found = changes(&before, &after);
    if request.reinstall {
        for name in names.iter().map(String::as_str) {
            if let (Some(old), Some(new)) = (before.get(name), after.get(name))
                && old == new
            {
                found.insert(
                    name,
                    Map::from([("old", old.as_str()), ("new", new.as_str())]),
                );
            }
        }
    }
    if output.is_success() {
        return Ok(found);
    }
    context.set_retcode(output.exit.code().into());
    Err(Failure::of("installing", found, &output))
}

/// Answers the questions that packages will ask.
fn answer_questions(context: &Context<'_>, path: &Value) -> Result<(), CallError> {
    if context.system.which("debconf-get-selections").is_none() {
        return Err(CallError::exception("KeyError", "'debconf.set_file'"));
    }
    let call = Args::new().with(path.clone());
    context.registry.call("debconf.set_file", &call, context)?;
    Ok(())
}

/// Names and addresses in the form that `sources` takes.
pub(crate) fn sources(args: &Args) -> Vec<(String, String)> {
    let Some(Value::List(items)) = args.given("sources") else {
        return Vec::new();
    };
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, source) in items.iter().filter_map(Value::as_map).flatten() {
        let (name, source) = (python::str(name), python::str(source));
        // Of one name the last counts.
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = source,
            None => all.push((name, source)),
        }
    }
    all
}

/// The path of a package file, fetched if it is not on this machine.
fn fetched(context: &Context<'_>, name: &str, source: &str) -> Result<String, CallError> {
    let local = source.strip_prefix("file://").unwrap_or(source);
    if local.starts_with('/') {
        if !context.system.exists(std::path::Path::new(local)) {
            return Err(CallError::execution(format!(
                "{local} does not exist on minion"
            )));
        }
        return Ok(local.to_owned());
    }
    if !source.contains("://") {
        return Err(CallError::invocation(format!(
            "Path {source} for package {name} is either not absolute or an invalid protocol"
        )));
    }
    let args = Args::new().with(source);
    match context.registry.call("cp.cache_file", &args, context) {
        Ok(Value::Str(path)) if !path.is_empty() => Ok(path),
        Ok(_) => Err(CallError::execution(format!(
            "Unable to cache source {source} for package {name}"
        ))),
        Err(CallError::Exception { message, .. }) => Err(CallError::execution(message)),
        Err(error) => Err(error),
    }
}

/// Removes what the arguments of `pkg.remove` or `pkg.purge` name, and says what changed.
pub(crate) fn removal(args: &Args, context: &Context<'_>, purge: bool) -> Result<Map, Failure> {
    let manager = Manager::of(context, "pkg.remove")?;
    if matches!(manager, Manager::Dnf(_)) {
        return super::dnf::change::remove(args, context);
    }
    if manager == Manager::Apk {
        let names: Vec<String> = targets(args).into_iter().map(|(name, _)| name).collect();
        return super::apk::remove(context, &names, purge);
    }
    let before = manager.installed(context.system, false)?;
    let left = manager.installed(context.system, true)?;
    let mut names: Vec<String> = Vec::new();
    for (asked, _) in call_targets(args)? {
        let known = before.keys().chain(left.keys().filter(|_| purge));
        for name in known.filter(|name| **name == asked || crate::fnmatch(name, &asked)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    if names.is_empty() {
        return Ok(Map::new());
    }
    let output = manager.remove(context, &names, purge)?;
    let after = manager.installed(context.system, false)?;
    let mut found = changes(&before, &after);
    if purge {
        let gone = manager.installed(context.system, true)?;
        found = Map::from([
            ("removed", Value::from(changes(&left, &gone))),
            ("installed", found.into()),
        ]);
    }
    if output.is_success() {
        return Ok(found);
    }
    context.set_retcode(output.exit.code().into());
    Err(Failure::of("removing", found, &output))
}

/// Holds packages or lets them go; one entry of a state's form for each.
pub(crate) fn hold(args: &Args, context: &Context<'_>, state: &str) -> Answer {
    let manager = Manager::of(context, "pkg.hold")?;
    if args.get("pkgs").is_some_and(Value::is_true)
        && args.get("sources").is_some_and(Value::is_true)
    {
        return Err(CallError::invocation(
            "Only one of pkgs or sources can be specified.",
        ));
    }
    let mut names: Vec<String> = targets(args).into_iter().map(|(name, _)| name).collect();
    names.extend(sources(args).into_iter().map(|(name, _)| name));
    if names.is_empty() {
        return Err(CallError::invocation(
            "One of name, pkgs, or sources must be specified.",
        ));
    }
    let mut all = Map::new();
    for name in names {
        let now = manager.selections(context.system, &name)?;
        let old = now.get(&name).cloned();
        let (word, already) = if state == "hold" {
            ("is now being held", "is already set to be held")
        } else {
            ("is no longer being held", "is already set not to be held")
        };
        let mut entry = Map::from([
            ("name", Value::from(name.as_str())),
            ("changes", Map::new().into()),
            ("result", true.into()),
            ("comment", format!("Package {name} {already}.").into()),
        ]);
        if old.is_none() && state == "install" {
            entry.insert("result", false);
            entry.insert("comment", format!("Package {name} does not have a state."));
        } else if old.as_deref() != Some(state) {
            manager.select(context, &name, state)?;
            entry.insert(
                "changes",
                Map::from([("old", Value::from(old)), ("new", state.into())]),
            );
            entry.insert("comment", format!("Package {name} {word}."));
        }
        all.insert(name, entry);
    }
    Ok(all.into())
}
