//! `pkg.*`: what is installed.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::lowpkg;
use crate::functions::pkg::change::{self as tools, Failure, changes as differences};
use crate::functions::pkg::dnf;
use crate::functions::pkg::manager::Manager;
use crate::functions::pkg::{ignores_epoch, satisfies, without_epoch};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

mod aggregate;
mod by_dnf;
mod held;
mod latest;
mod removed;

type Answer = Result<Plan, CallError>;
type Versions = BTreeMap<String, String>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_mod_aggregate("pkg", aggregate::join);
    registry.add_state(
        "pkg.installed",
        "installed(name, version=None, refresh=None, fromrepo=None, skip_verify=False, skip_suggestions=False, pkgs=None, sources=None, allow_updates=False, pkg_verify=False, normalize=True, ignore_epoch=None, reinstall=False, update_holds=False, **kwargs)",
        "Makes sure that packages are installed, in versions if those are stated.",
        installed,
    );
    registry.add_state(
        "pkg.downloaded",
        "downloaded(name, version=None, pkgs=None, fromrepo=None, ignore_epoch=None, **kwargs)",
        "Makes sure that packages are in the cache of the package manager.",
        downloaded,
    );
    registry.add_state(
        "pkg.mod_watch",
        "mod_watch(name, **kwargs)",
        "Checks the packages again because something they watch changed.",
        |args, check| {
            let declared = args.keywords().get("sfun").map(python::str);
            let declared = declared.unwrap_or_else(|| "None".to_owned());
            let mut call = Args::new();
            for (key, value) in args.keywords().iter().chain(args.named.iter()) {
                let key = python::str(key);
                if !matches!(key.as_str(), "sfun" | "__reqs__") {
                    call = call.keyword(&key, value.clone());
                }
            }
            // With dnf the lists are read again for a state of its own name only.
            if matches!(manager(check, "pkg.mod_watch"), Ok(Manager::Dnf(_)))
                && call.keywords().get("refresh").is_none_or(Value::is_null)
            {
                call = call.keyword("refresh", false);
            }
            if matches!(
                declared.as_str(),
                "purged" | "latest" | "removed" | "installed"
            ) {
                return check.state(&format!("pkg.{declared}"), &call);
            }
            Ok(Plan::fail(format!(
                "pkg.{declared} does not work with the watch requisite"
            )))
        },
    );
    registry.add_state(
        "pkg.group_installed",
        "group_installed(name, skip=None, include=None, **kwargs)",
        "Makes sure that a group of packages is installed, where there are such groups.",
        by_dnf::group_installed,
    );
    registry.add_state(
        "pkg.patch_installed",
        "patch_installed(name, advisory_ids=None, downloadonly=None, **kwargs)",
        "Makes sure that advisories are installed, where there are such.",
        |args, check| by_dnf::patched(args, check, false),
    );
    registry.add_state(
        "pkg.patch_downloaded",
        "patch_downloaded(name, advisory_ids=None, **kwargs)",
        "Makes sure that advisories are in the cache, where there are such.",
        |args, check| by_dnf::patched(args, check, true),
    );
    held::register(registry);
    latest::register(registry);
    removed::register(registry);
}

/// Names of packages with versions, as they were asked for.
type Targets = Vec<(String, Option<String>)>;

fn manager(check: &Check<'_>, state: &str) -> Result<Manager, CallError> {
    Manager::find(check.system, &check.minion.grains)
        .ok_or_else(|| CallError::Unavailable(state.to_owned()))
}

/// As messages name a target.
fn shown(name: &str, version: Option<&String>) -> String {
    match version {
        Some(version) if is_comparison(version) => format!("{name}{version}"),
        Some(version) => format!("{name}={version}"),
        None => name.to_owned(),
    }
}

fn is_comparison(version: &str) -> bool {
    version.starts_with(['<', '>', '=', '!'])
}

fn joined(mut names: Vec<String>) -> String {
    names.sort();
    names.join(", ")
}

/// The lists of packages are read again before the first installation of a run.
fn wants_refresh(args: &Args) -> Option<bool> {
    args.given("refresh").map(Value::is_true)
}

const REFRESHED: &str = "pkg.refreshed";

fn refresh(
    context: &Context<'_>,
    manager: Manager,
    wanted: Option<bool>,
    args: &Args,
) -> Result<(), CallError> {
    let due = wanted.unwrap_or_else(|| context.note(REFRESHED).is_none());
    if due {
        if let Manager::Dnf(_) = manager {
            dnf::refresh(context, args)?;
        } else {
            manager.refresh(context)?;
        }
        context.set_note(REFRESHED, true);
    }
    Ok(())
}

/// Which name a package is known by: Debian's may carry the architecture.
fn known<'a>(installed: &'a Versions, name: &str) -> Option<&'a String> {
    installed
        .get(name)
        .or_else(|| installed.get(name.split_once(':')?.0))
        .or_else(|| installed.get(name.strip_suffix(".noarch")?))
}

/// Whether one of several versions, between which there are commas, is so.
fn one_of(versions: &str, is_so: impl Fn(&str) -> bool) -> bool {
    versions.split(',').any(is_so)
}

/// Versions apart, between which there are commas.
fn lists(installed: &Versions) -> dnf::Versions {
    installed
        .iter()
        .map(|(name, all)| (name.clone(), all.split(',').map(str::to_owned).collect()))
        .collect()
}

/// What a dry run shows for packages that will be installed.
fn expected(name: &str, version: &str, old: &str) -> Map {
    let entry = Map::from([("new", version), ("old", old)]);
    Map::from([(name, entry)])
}

fn installed(args: &Args, check: &Check<'_>) -> Answer {
    let asks_newest = || {
        let targets = tools::state_targets(args).unwrap_or_default();
        targets
            .iter()
            .any(|(_, version)| version.as_deref() == Some("latest"))
    };
    let due = wants_refresh(args).unwrap_or_else(|| check.note(REFRESHED).is_none());
    latest::refreshed(args, check, due && asks_newest(), "", settled)
}

fn settled(manager: Manager, args: &Args, check: &Check<'_>) -> Answer {
    let sources = tools::sources(args);
    let stated_sources = args.get("sources").filter(|stated| stated.is_true());
    if stated_sources.is_some() && args.get("pkgs").is_some_and(Value::is_true) {
        return Ok(Plan::fail(
            "Only one of \"pkgs\" and \"sources\" is permitted.",
        ));
    }
    if matches!(args.get("pkgs"), Some(Value::List(items)) if items.is_empty()) {
        return Ok(Plan::unchanged("No packages to install provided"));
    }
    let well_formed = |stated: &Value| {
        let items = stated.as_list().unwrap_or_default();
        !items.is_empty()
            && items
                .iter()
                .all(|item| item.as_map().is_some_and(|map| map.len() == 1))
    };
    if stated_sources.is_some_and(|stated| !well_formed(stated)) {
        return Ok(Plan::fail(
            "Invalidly formatted 'sources' parameter. See minion log.",
        ));
    }
    if !matches!(manager, Manager::Dnf(_)) && args.is_true("pkg_verify") {
        return Ok(Plan::fail("pkg.verify not implemented"));
    }
    let wanted: Targets = if sources.is_empty() {
        tools::state_targets(args)?
    } else {
        sources
            .iter()
            .map(|(name, _)| (name.clone(), None))
            .collect()
    };
    let installed = manager.installed(check.system, false)?;
    let reinstall = args.is_true("reinstall");
    let allow_updates = args.is_true("allow_updates");
    let is_dnf = matches!(manager, Manager::Dnf(_));
    let newest: Vec<String> = wanted
        .iter()
        .filter(|(_, version)| version.as_deref() == Some("latest"))
        .map(|(name, _)| name.clone())
        .collect();
    let latest = match manager {
        Manager::Dnf(own) if !newest.is_empty() => {
            let now = lists(&installed);
            dnf::asked::latest(check.system, own, &newest, &now, args)?
        }
        _ => BTreeMap::new(),
    };
    let (mut pending, mut there): (Targets, Targets) = (Vec::new(), Vec::new());
    for (at, (name, version)) in wanted.iter().enumerate() {
        let now = known(&installed, name);
        let agrees = match (now, version) {
            (None, _) => false,
            (Some(now), None) if !sources.is_empty() => {
                let source = sources.get(at).map(|(_, source)| source.as_str());
                match version_of(manager, check, source.unwrap_or_default()) {
                    Ok(Some(offered)) => offered == *now,
                    Ok(None) => true,
                    Err(Unread::Says(text)) => return Ok(Plan::fail(text)),
                    Err(Unread::Error(error)) => return Err(error),
                }
            }
            // Salt's dpkg knows no such comparison.
            (Some(_), Some(version)) if manager == Manager::Apt && version.starts_with("==") => {
                false
            }
            (Some(_), None) => true,
            (Some(_), Some(version)) if version == "latest" && is_dnf => !latest.contains_key(name),
            (Some(now), Some(version)) if version == "latest" => {
                match manager.candidate(check.system, name) {
                    Some(offered) => offered == *now,
                    None => true,
                }
            }
            (Some(now), Some(version)) => {
                let (now, version) = if ignores_epoch(args, version) {
                    (without_epoch(now), without_epoch(version))
                } else {
                    (now.clone(), version.clone())
                };
                one_of(&now, |now| {
                    satisfies(manager, now, &version)
                        || allow_updates
                            && crate::functions::pkg::compare(manager, now, &version)
                                == std::cmp::Ordering::Greater
                })
            }
        };
        if agrees && !(reinstall && now.is_some()) {
            there.push((name.clone(), version.clone()));
        } else if version.as_deref() == Some("latest") && is_dnf {
            pending.push((name.clone(), latest.get(name).cloned()));
        } else if version.as_deref() == Some("latest") {
            let newest = manager.candidate(check.system, name);
            pending.push((name.clone(), newest.or_else(|| version.clone())));
        } else {
            pending.push((name.clone(), version.clone()));
        }
    }
    let hold = args.keywords().get("hold").map(Value::is_true);
    // apk holds nothing.
    let hold = hold.filter(|_| manager != Manager::Apk);
    if is_dnf && pending.is_empty() && args.is_true("pkg_verify") && sources.is_empty() {
        let broken = by_dnf::altered(args, check, &there)?;
        if !broken.is_empty() {
            return Ok(by_dnf::mended(args, manager, &installed, broken));
        }
    }
    if pending.is_empty() {
        let versioned = wanted.iter().any(|(_, version)| version.is_some());
        let text = if versioned {
            "All specified packages are already installed and are at the desired version"
        } else {
            "All specified packages are already installed"
        };
        let names = wanted.into_iter().map(|(name, _)| name).collect();
        return held::after(manager, check, text, names, hold);
    }
    install(args, check, manager, &installed, pending, there, hold)
}

fn install(
    args: &Args,
    check: &Check<'_>,
    manager: Manager,
    installed: &Versions,
    pending: Targets,
    there: Targets,
    hold: Option<bool>,
) -> Answer {
    let reinstall = args.is_true("reinstall");
    let (again, fresh): (Targets, Targets) = pending
        .iter()
        .cloned()
        .partition(|(name, _)| reinstall && known(installed, name).is_some());
    let from_files = args.get("sources").is_some_and(Value::is_true);
    let is_dnf = matches!(manager, Manager::Dnf(_));
    let wanted: Vec<String> = if from_files {
        let files = tools::sources(args);
        files.into_iter().map(|(name, _)| name).collect()
    } else {
        let targets = tools::state_targets(args)?;
        targets.into_iter().map(|(name, _)| name).collect()
    };
    let epochs = args.given("ignore_epoch").cloned();
    let mut shows = Changes::none();
    let offered = match manager {
        // dnf is asked once for all, and of no versions.
        Manager::Dnf(own) if check.test && !from_files => {
            let names: Vec<String> = fresh
                .iter()
                .filter(|(_, version)| version.is_none())
                .map(|(name, _)| name.clone())
                .collect();
            if names.is_empty() {
                BTreeMap::new()
            } else {
                let now = lists(installed);
                dnf::asked::latest(check.system, own, &names, &now, &Args::new())?
            }
        }
        _ => BTreeMap::new(),
    };
    for (name, version) in &pending {
        let is_again = reinstall && known(installed, name).is_some();
        let meant = if is_again || from_files {
            None
        } else if let Manager::Dnf(own) = manager {
            // It is looked for by the name without the machine's architecture.
            let short = dnf::normalized(own, name) == name;
            offered.get(name).filter(|_| short).cloned()
        } else {
            match version {
                None => manager.candidate(check.system, name),
                Some(version) if is_comparison(version) || manager == Manager::Apk => None,
                Some(version) => tools::meant(manager, check.system, name, version, false),
            }
        };
        // Salt asks for the versions by one name and finds them under another.
        let short = name.split_once(':').filter(|_| manager == Manager::Apt);
        let (meant, shown_as) = match (meant, short) {
            (Some(meant), Some((short, _))) if !is_again => {
                shows.insert(short, meant);
                (None, name.clone())
            }
            (meant, _) if is_again => (meant, shown(name, version.as_ref())),
            (meant, _) => (meant, name.clone()),
        };
        let meant = meant.unwrap_or_else(|| "installed".to_owned());
        shows.extend(expected(&shown_as, &meant, ""));
    }
    let mut would = Vec::new();
    for (targets, what) in [(&fresh, "installed/updated"), (&again, "reinstalled")] {
        if !targets.is_empty() {
            let names: Vec<String> = targets
                .iter()
                .map(|(name, version)| match what {
                    "reinstalled" => shown(name, version.as_ref()),
                    _ => name.clone(),
                })
                .collect();
            let names = names.join(", ");
            would.push(format!("The following packages would be {what}: {names}"));
        }
    }
    let would = would.join("\n");
    let comment = said(&fresh, &there, &again);
    let changes = if from_files {
        shows.clone()
    } else {
        Changes::from(predicted(
            manager, check, args, installed, &pending, &again,
        )?)
    };

    let mut call = Args::new();
    for key in [
        "fromrepo",
        "skip_verify",
        "sources",
        "reinstall",
        "update_holds",
    ] {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    for (key, value) in args.keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    let pkgs: Value = pending
        .iter()
        .map(|(name, version)| match version {
            Some(version) => Value::from(Map::from([(name.as_str(), version.as_str())])),
            None => name.as_str().into(),
        })
        .collect();
    if !from_files {
        call = call.keyword("pkgs", pkgs);
        if is_dnf {
            call = call.keyword("normalize", false);
        }
    }
    if let Some(ignores) = args.given("ignore_epoch") {
        call = call.keyword("ignore_epoch", ignores.clone());
    }
    let wants_refresh = wants_refresh(args);
    Ok(Plan::change(comment.clone(), changes, move |context| {
        // Salt's apk takes no files.
        let refreshed = if from_files && manager == Manager::Apk {
            Ok(())
        } else {
            refresh(context, manager, wants_refresh, &call)
        };
        let installed = refreshed
            .map_err(Failure::from)
            .and_then(|()| tools::install(&call, context));
        let changed = match installed {
            Ok(changed) => changed,
            Err(Failure::Problems {
                verb,
                changes,
                errors,
            }) => return Ok(Done::failed(Failure::problems(verb, &errors)).changes(changes)),
            Err(Failure::Problem {
                verb,
                changes,
                error,
            }) => return Ok(Done::failed(Failure::problem(verb, &error)).changes(changes)),
            Err(Failure::Call(error @ CallError::Execution(_))) => {
                return Ok(Done::failed(format!(
                    "An error was encountered while installing package(s): {error}"
                )));
            }
            Err(Failure::Call(error)) => return Err(error),
        };
        let now = manager.installed(context.system, false)?;
        let ignores = |version: &str| match &epochs {
            Some(stated) => stated.is_true(),
            None => !version.contains(':'),
        };
        let failed: Vec<String> = pending
            .iter()
            .filter(|(name, version)| match (known(&now, name), version) {
                (None, _) => !changed.contains_key(name),
                (Some(_), None) => false,
                (Some(_), Some(version))
                    if manager == Manager::Apt && version.starts_with("==") =>
                {
                    true
                }
                (Some(_), Some(version)) if version == "latest" => false,
                (Some(now), Some(version)) if ignores(version) => !one_of(now, |now| {
                    satisfies(manager, &without_epoch(now), &without_epoch(version))
                }),
                (Some(now), Some(version)) => !one_of(now, |now| satisfies(manager, now, version)),
            })
            .map(|(name, version)| shown(name, version.as_ref()))
            .collect();
        let mut changes = changed;
        if !failed.is_empty() {
            let mut parts = Vec::new();
            if manager == Manager::Apk {
                let mut done = fresh.clone();
                done.retain(|(name, version)| !failed.contains(&shown(name, version.as_ref())));
                parts.push(said(&done, &there, &again));
                parts.retain(|part| !part.is_empty());
            }
            let failed = joined(failed);
            parts.insert(
                0,
                format!("The following packages failed to install/update: {failed}"),
            );
            return Ok(Done::with_comment(parts.join("\n"))
                .changes(Changes::from(changes))
                .result(false));
        }
        let Some(hold) = hold else {
            return Ok(Done::with_comment(comment).changes(Changes::from(changes)));
        };
        let mut parts = Vec::new();
        if is_dnf {
            let (settled, more) = match held::set_each(context, &wanted, hold) {
                Ok(done) => done,
                Err(error @ CallError::Invocation(_)) => {
                    return Ok(Done::failed(error.to_string()).changes(Changes::from(changes)));
                }
                Err(error) => return Err(error),
            };
            let (set, kept): (Vec<_>, Vec<_>) =
                settled.into_iter().partition(|(_, changed)| *changed);
            let text = |said: Vec<(String, bool)>| said.into_iter().map(|(text, _)| text);
            parts.push(said(&fresh, &Vec::new(), &again));
            parts.extend(text(set));
            parts.push(said(&Vec::new(), &there, &Vec::new()));
            parts.extend(text(kept));
            parts.retain(|part| !part.is_empty());
            by_dnf::merge(&mut changes, more);
            return Ok(Done::with_comment(parts.join("\n")).changes(Changes::from(changes)));
        }
        for (targets, text) in [
            (&pending, said(&fresh, &Vec::new(), &again)),
            (&there, said(&Vec::new(), &there, &Vec::new())),
        ] {
            if targets.is_empty() {
                continue;
            }
            let names: Vec<String> = targets.iter().map(|(name, _)| name.clone()).collect();
            let (held, more) = held::set(context, &names, hold)?;
            parts.extend([text, held]);
            merge(&mut changes, more);
        }
        Ok(Done::with_comment(parts.join("\n")).changes(Changes::from(changes)))
    })
    .when_testing(would)
    .test_changes(shows))
}

/// Adds the changes of holds to those of versions: one under the other.
fn merge(changes: &mut Map, more: Map) {
    for (name, change) in more {
        let name = python::str(&name);
        let Some(there) = changes.get(&name).and_then(Value::as_map).cloned() else {
            changes.insert(name, change);
            continue;
        };
        let both = ["old", "new"].map(|key| {
            let part = |map: Option<&Map>| {
                let text = map.and_then(|map| map.str(key)).unwrap_or_default();
                (!text.is_empty()).then(|| text.to_owned())
            };
            let parts: Vec<String> = [part(Some(&there)), part(change.as_map())]
                .into_iter()
                .flatten()
                .collect();
            (key, parts.join("\n"))
        });
        changes.insert(name, Map::from(both));
    }
}

/// Why a package file cannot be looked into.
enum Unread {
    /// What the state says then.
    Says(String),
    /// What would be an exception in Python.
    Error(CallError),
}

/// The version of a package file; `None` where it states none.
fn version_of(manager: Manager, check: &Check<'_>, source: &str) -> Result<Option<String>, Unread> {
    use crate::files::source::{download, is_remote};

    if let Manager::Dnf(_) = manager {
        return Ok(by_dnf::version_of(check, source));
    }

    if manager == Manager::Apk {
        return Ok(None);
    }
    let path = std::path::Path::new(source.strip_prefix("file://").unwrap_or(source));
    if path.is_absolute() {
        if !check.system.exists(path) {
            return Err(Unread::Says(format!("{source} does not exist on minion")));
        }
        let control = lowpkg::control(check.system, path).map_err(|error| match error {
            CallError::Execution(text) => Unread::Says(text),
            other => Unread::Error(other),
        })?;
        return Ok(control.str("version").map(str::to_owned));
    }
    let content = if is_remote(source) {
        Some(download(source, true, check.context).map_err(Unread::Error)?)
    } else {
        check.source(source).map_err(Unread::Error)?
    };
    let Some(content) = content else {
        return Err(Unread::Says(format!(
            "Unable to cache {source}: file not found"
        )));
    };
    let command = crate::functions::tool::plain("dpkg-deb").args(["-f", "-", "Version"]);
    let text = crate::functions::tool::answer(check.system, &command.stdin(content));
    Ok(text.map(|text| text.trim().to_owned()))
}

/// What is said of an installation: names as long as the list is short, else numbers.
fn said(fresh: &Targets, there: &Targets, again: &Targets) -> String {
    /// From this many characters on, what was installed is only counted.
    const TOO_LONG: usize = 20;
    /// Above this many packages, what was there is only counted.
    const TOO_MANY: usize = 20;

    let list = |targets: &Targets| {
        let names: Vec<String> = targets
            .iter()
            .map(|(name, version)| shown(name, version.as_ref()))
            .collect();
        names.join(", ")
    };
    let counted = |targets: &Targets| match targets.len() {
        1 => "1 targeted package was".to_owned(),
        count => format!("{count} targeted packages were"),
    };
    let mut done = Vec::new();
    if !fresh.is_empty() {
        let names = list(fresh);
        done.push(if names.chars().count() < TOO_LONG {
            format!("The following packages were installed/updated: {names}")
        } else {
            format!("{} installed/updated.", counted(fresh))
        });
    }
    if !there.is_empty() {
        done.push(if there.len() <= TOO_MANY {
            format!(
                "The following packages were already installed: {}",
                list(there)
            )
        } else {
            format!("{} already installed", counted(there))
        });
    }
    for (name, version) in again {
        let name = shown(name, version.as_ref());
        done.push(format!("Package {name} was reinstalled."));
    }
    done.join("\n")
}

/// What an installation will change, dependencies included, as far as the package manager
/// tells beforehand.
fn predicted(
    manager: Manager,
    check: &Check<'_>,
    args: &Args,
    installed: &Versions,
    pending: &Targets,
    again: &Targets,
) -> Result<Map, CallError> {
    if let Manager::Dnf(own) = manager {
        let now = lists(installed);
        let call = asked_of_dnf(args, pending);
        let after = dnf::change::after_installing(check.system, own, &call, &now)?;
        let after = after.map_or_else(|| installed.clone(), dnf::joined);
        return Ok(with_again(differences(installed, &after), installed, again));
    }
    let mut targets = Vec::new();
    let mut after = installed.clone();
    for (name, version) in pending {
        let meant = match version {
            // apk tells which, and takes no version.
            _ if manager == Manager::Apk => None,
            None => manager.candidate(check.system, name),
            Some(version) => tools::meant(manager, check.system, name, version, false),
        };
        targets.push(match (version, &meant) {
            (Some(_), Some(meant)) => manager.target(name, meant),
            _ => name.clone(),
        });
        if let Some(meant) = meant {
            after.insert(name.clone(), meant);
        }
    }
    Ok(match manager.simulate(check.system, "install", &targets) {
        Some(steps) => {
            let mut after = installed.clone();
            for (name, version) in steps {
                match version {
                    Some(version) => after.insert(name, version),
                    None => after.remove(&name),
                };
            }
            with_again(differences(installed, &after), installed, again)
        }
        None => differences(installed, &after),
    })
}

/// Changes with those of what is installed once more.
fn with_again(mut map: Map, installed: &Versions, again: &Targets) -> Map {
    for (name, _) in again {
        if let Some(version) = known(installed, name)
            && !map.contains_key(name)
        {
            map.insert(
                name.as_str(),
                Map::from([("old", version.as_str()), ("new", version.as_str())]),
            );
        }
    }
    map
}

/// The arguments of `pkg.install` for what is to be installed.
fn asked_of_dnf(args: &Args, pending: &Targets) -> Args {
    let pkgs: Value = pending
        .iter()
        .map(|(name, version)| match version {
            Some(version) => Value::from(Map::from([(name.as_str(), version.as_str())])),
            None => name.as_str().into(),
        })
        .collect();
    let mut call = Args::new();
    for key in [
        "fromrepo",
        "skip_verify",
        "reinstall",
        "update_holds",
        "ignore_epoch",
    ] {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    for (key, value) in args.keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    // Only what was asked of packages is normalized: names as stated are what is said.
    call.keyword("pkgs", pkgs).keyword("normalize", false)
}

fn downloaded(args: &Args, check: &Check<'_>) -> Answer {
    if manager(check, "pkg.downloaded")? == Manager::Apk {
        return Ok(Plan::fail(
            "The pkg.downloaded state is not available on this platform",
        ));
    }
    let manager = manager(check, "pkg.downloaded")?;
    if matches!(args.get("pkgs"), Some(Value::List(items)) if items.is_empty()) {
        return Ok(Plan::unchanged("No packages to download provided"));
    }
    if let Manager::Dnf(own) = manager {
        return by_dnf::downloaded(args, check, own);
    }
    let pending: Targets = tools::state_targets(args)?
        .into_iter()
        .filter(|(name, version)| !is_downloaded(manager, check.system, name, version.as_ref()))
        .collect();
    if pending.is_empty() {
        return Ok(Plan::unchanged(
            "All specified packages are already downloaded",
        ));
    }
    let names = joined(
        pending
            .iter()
            .map(|(name, version)| shown(name, version.as_ref()))
            .collect(),
    );
    let mut call = Args::new().keyword("downloadonly", true).keyword(
        "pkgs",
        pending
            .iter()
            .map(|(name, version)| match version {
                Some(version) => Value::from(Map::from([(name.as_str(), version.as_str())])),
                None => name.as_str().into(),
            })
            .collect::<Value>(),
    );
    if let Some(from) = args.given("fromrepo") {
        call = call.keyword("fromrepo", from.clone());
    }
    let plain = joined(pending.iter().map(|(name, _)| name.clone()).collect());
    let would = format!("The following packages would be downloaded: {plain}");
    Ok(Plan::change(
        format!("Packages downloaded: {names}"),
        Changes::none(),
        move |context| {
            refresh(context, manager, None, &call)?;
            match tools::install(&call, context) {
                Ok(_) => {}
                Err(Failure::Problems { verb, errors, .. }) => {
                    return Ok(Done::failed(Failure::problems(verb, &errors)));
                }
                Err(Failure::Problem { verb, error, .. }) => {
                    return Ok(Done::failed(Failure::problem(verb, &error)));
                }
                Err(Failure::Call(error @ CallError::Execution(_))) => {
                    return Ok(Done::failed(format!(
                        "An error was encountered while downloading package(s): {error}"
                    )));
                }
                Err(Failure::Call(error)) => return Err(error),
            }
            // A repository on this machine is read in place.
            let failed: Vec<String> = pending
                .iter()
                .filter(|(name, version)| {
                    !is_downloaded(manager, context.system, name, version.as_ref())
                })
                .map(|(name, version)| shown(name, version.as_ref()))
                .collect();
            Ok(if failed.is_empty() {
                Done::as_planned()
            } else {
                Done::failed(format!(
                    "The following packages failed to download: {}",
                    joined(failed)
                ))
            })
        },
    )
    .when_testing(would))
}

/// Whether the file of a package is in the cache of the package manager.
fn is_downloaded(
    manager: Manager,
    machine: &dyn Observe,
    name: &str,
    version: Option<&String>,
) -> bool {
    let version = version
        .cloned()
        .or_else(|| manager.candidate(machine, name))
        .unwrap_or_default()
        .replace(':', "%3a");
    let start = format!("{name}_{version}_");
    machine
        .list(std::path::Path::new("/var/cache/apt/archives"))
        .unwrap_or_default()
        .iter()
        .any(|file| file.to_string_lossy().starts_with(&start))
}
