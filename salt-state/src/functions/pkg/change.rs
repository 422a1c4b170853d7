//! `pkg.*` as far as it changes what is installed.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use super::manager::{Manager, Request};
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
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
            let output = Manager::of(context, "pkg.refresh_db")?.refresh(context)?;
            let failed = !output.is_success();
            if failed {
                context.set_retcode(output.exit.code().into());
                if args.is_true("failhard") {
                    return Err(CallError::execution(format!(
                        "Error getting repos: {}",
                        tool::said(&output)
                    )));
                }
            }
            Ok(refreshed(&output))
        },
    );
    add(
        "pkg.install",
        "install(name=None, refresh=False, fromrepo=None, skip_verify=False, debconf=None, pkgs=None, sources=None, reinstall=False, downloadonly=False, ignore_epoch=False, **kwargs)",
        "Installs packages and returns what changed.",
        install,
    );
    add(
        "pkg.remove",
        "remove(name=None, pkgs=None, **kwargs)",
        "Removes packages and returns what changed.",
        |args, context| removal(args, context, false),
    );
    add(
        "pkg.purge",
        "purge(name=None, pkgs=None, **kwargs)",
        "Removes packages with their configuration and returns what changed.",
        |args, context| removal(args, context, true),
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
                args.is_true("download_only"),
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
            if let Some(Value::Map(selection)) = args.get("selection") {
                for (state, names) in selection {
                    let state = python::str(state);
                    for name in names.as_list().into_iter().flatten().map(python::str) {
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

/// Which lists were fetched (true), were current (none) or could not be fetched (false).
fn refreshed(output: &Output) -> Value {
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
            "Err" => Value::from(false),
            _ => continue,
        };
        // The size at the end is not part of the name.
        let what = what.rsplit_once(" [").map_or(what, |(what, _)| what);
        map.insert(what, value);
    }
    map.into()
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

/// The lines in which a package manager complains.
fn complaints(output: &Output) -> Vec<String> {
    let text = output.stderr_text();
    let mut errors: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("E: ") {
            errors.push(line.trim_end().to_owned());
        }
    }
    if errors.is_empty() {
        errors.push(tool::said(output));
    }
    errors
}

/// A failure as Salt words it, with the complaints one a line.
pub(crate) fn problem(verb: &str, output: &Output) -> String {
    let mut text =
        format!("Problem encountered {verb} package(s). Additional info follows:\n\nerrors:");
    for error in complaints(output) {
        text.push_str(&format!("\n    - {}", error.replace('\n', "\n      ")));
    }
    text
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
) -> Option<String> {
    let versions = manager.versions(machine, name);
    if version == "latest" {
        return manager.candidate(machine, name);
    }
    versions
        .into_iter()
        .find(|known| super::satisfies(manager, known, version))
}

fn install(args: &Args, context: &Context<'_>) -> Answer {
    let manager = Manager::of(context, "pkg.install")?;
    if args.is_true("refresh") {
        manager.refresh(context)?;
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
    let sources = sources(args);
    if sources.is_empty() {
        for (name, version) in targets(args) {
            match version {
                None => request.targets.push(name),
                Some(version) => {
                    let version = if version.starts_with(['<', '>', '=']) || version == "latest" {
                        match meant(manager, context.system, &name, &version) {
                            Some(version) => version,
                            None => {
                                let known = manager.versions(context.system, &name).join(", ");
                                return Err(CallError::execution(format!(
                                    "Problem encountered installing package(s). Additional info follows:\n\nerrors:\n    - No version matching '{name}{version}' could be found (available: {known})"
                                )));
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
            request.targets.push(fetched(context, &name, &source)?);
        }
    }
    request.downgrade = older;
    if request.targets.is_empty() {
        return Ok(Map::new().into());
    }
    let output = manager.install(context, &request)?;
    let after = manager.installed(context.system, false)?;
    let mut found = changes(&before, &after);
    if request.reinstall {
        for target in &request.targets {
            let name = target.split('=').next().unwrap_or_default();
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
        return Ok(found.into());
    }
    context.set_retcode(output.exit.code().into());
    Err(CallError::execution(problem("installing", &output)))
}

/// Names and addresses in the form that `sources` takes.
pub(crate) fn sources(args: &Args) -> Vec<(String, String)> {
    let Some(Value::List(items)) = args.given("sources") else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(Value::as_map)
        .flat_map(|map| {
            map.iter()
                .map(|(name, source)| (python::str(name), python::str(source)))
        })
        .collect()
}

/// The path of a package file, fetched if it is not on this machine.
fn fetched(context: &Context<'_>, name: &str, source: &str) -> Result<String, CallError> {
    if source.starts_with('/') {
        return Ok(source.to_owned());
    }
    let args = Args::new().with(source);
    match context.registry.call("cp.cache_file", &args, context)? {
        Value::Str(path) if !path.is_empty() => Ok(path),
        _ => Err(CallError::execution(format!(
            "Unable to cache the source {source} of package {name}"
        ))),
    }
}

fn removal(args: &Args, context: &Context<'_>, purge: bool) -> Answer {
    let manager = Manager::of(context, "pkg.remove")?;
    let before = manager.installed(context.system, false)?;
    let left = manager.installed(context.system, true)?;
    let names: Vec<String> = targets(args)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| before.contains_key(name) || purge && left.contains_key(name))
        .collect();
    if names.is_empty() {
        return Ok(if purge {
            Map::from([
                ("removed", Value::from(Map::new())),
                ("installed", Map::new().into()),
            ])
            .into()
        } else {
            Map::new().into()
        });
    }
    let output = manager.remove(context, &names, purge)?;
    let after = manager.installed(context.system, false)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
        return Err(CallError::execution(problem("removing", &output)));
    }
    let found = changes(&before, &after);
    if !purge {
        return Ok(found.into());
    }
    let gone = manager.installed(context.system, true)?;
    Ok(Map::from([
        ("removed", Value::from(changes(&left, &gone))),
        ("installed", found.into()),
    ])
    .into())
}

/// Holds packages or lets them go; one entry of a state's form for each.
pub(crate) fn hold(args: &Args, context: &Context<'_>, state: &str) -> Answer {
    let manager = Manager::of(context, "pkg.hold")?;
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
        if old.as_deref() != Some(state) {
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
