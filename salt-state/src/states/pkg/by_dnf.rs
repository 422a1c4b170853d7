//! What states of packages do only where dnf installs them: groups, advisories, files that
//! are not as they came, and files that were only fetched.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use super::{
    Answer, Targets, Versions, asked_of_dnf, differences, joined, manager, refresh, shown,
    wants_refresh,
};
use crate::args::Args;
use crate::functions::pkg::change::{self as tools, Failure};
use crate::functions::pkg::dnf;
use crate::functions::pkg::manager::Manager;
use crate::functions::pkg::{ignores_epoch, satisfies, without_epoch};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;

/// Makes sure that the packages of a group are installed.
pub(super) fn group_installed(args: &Args, check: &Check<'_>) -> Answer {
    let Ok(Manager::Dnf(own)) = manager(check, "pkg.group_installed") else {
        return Ok(Plan::fail(
            "pkg.group_install not available for this platform",
        ));
    };
    let name = args.text("name")?;
    let list = |key: &str| match args.given(key) {
        None => Ok(Vec::new()),
        Some(Value::List(items)) => Ok(items.iter().map(python::str).collect::<Vec<String>>()),
        Some(_) => Err(format!("{key} must be formatted as a list")),
    };
    let (skip, include) = match (list("skip"), list("include")) {
        (Ok(skip), Ok(include)) => (skip, include),
        (Err(text), _) | (_, Err(text)) => return Ok(Plan::fail(text)),
    };
    let now = dnf::versions(check.system, own)?;
    let options = dnf::repo_options(args);
    let found = match dnf::groups::difference(check.system, &now, &name, &options) {
        Ok(found) => found,
        Err(error) => {
            return Ok(Plan::fail(format!(
                "An error was encountered while installing/updating group '{name}': {error}."
            )));
        }
    };
    let members = |kind: &str, which: &str| -> Vec<String> {
        let members = found.get(kind).and_then(|kind| kind.get(which));
        let members = members.and_then(Value::as_list).unwrap_or_default();
        members.iter().map(python::str).collect()
    };
    let mandatory = members("mandatory", "not installed");
    let needed = members("mandatory", "installed");
    let invalid: Vec<String> = skip
        .iter()
        .filter(|name| mandatory.contains(name) || needed.contains(name))
        .cloned()
        .collect();
    if !invalid.is_empty() {
        return Ok(Plan::fail(format!(
            "The following mandatory packages cannot be skipped: {}",
            joined(invalid)
        )));
    }
    let mut targets = mandatory;
    let usual = members("default", "not installed").into_iter();
    targets.extend(usual.filter(|name| !skip.contains(name)));
    for name in include {
        if !targets.contains(&name) {
            targets.push(name);
        }
    }
    if targets.is_empty() {
        return Ok(Plan::unchanged(format!(
            "Group '{name}' is already installed"
        )));
    }
    let partly = !needed.is_empty() || !members("default", "installed").is_empty();
    let (would, did) = if partly {
        ("is partially installed and will be updated", "updated")
    } else {
        ("will be installed", "installed")
    };
    let mut call = Args::new().keyword("pkgs", targets.iter().collect::<Value>());
    for (key, value) in args.keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    let after = dnf::change::after_installing(check.system, own, &call, &now)?;
    let (now, after) = (dnf::joined(now.clone()), dnf::joined(after.unwrap_or(now)));
    let would = format!("Group '{name}' {would}");
    Ok(Plan::change(
        format!("Group '{name}' was {did}"),
        Changes::from(differences(&now, &after)),
        move |context| {
            let changed = match tools::install(&call, context) {
                Ok(changed) => changed,
                Err(failure) => {
                    let error = CallError::from(failure);
                    return Ok(Done::failed(format!(
                        "An error was encountered while installing/updating group '{name}': {error}."
                    )));
                }
            };
            let now = dnf::versions(context.system, own)?;
            let failed: Vec<String> = targets
                .iter()
                .filter(|name| !now.contains_key(*name))
                .cloned()
                .collect();
            if failed.is_empty() {
                return Ok(Done::as_planned().changes(Changes::from(changed)));
            }
            Ok(Done::failed(format!(
                "Failed to install the following packages: {}",
                joined(failed)
            ))
            .changes(Changes::from(changed)))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// Makes sure that packages are in dnf's cache.
pub(super) fn downloaded(args: &Args, check: &Check<'_>, own: &str) -> Answer {
    let targets = tools::state_targets(args)?;
    let there = dnf::asked::downloaded(check.system)?;
    let has = |there: &BTreeMap<String, Map>, name: &str, version: Option<&String>| {
        let versions = there.get(dnf::normalized(own, name));
        versions.is_some_and(|versions| {
            version.is_none_or(|wanted| {
                let known = versions.keys().filter_map(Value::as_str);
                let epochs = !ignores_epoch(args, wanted);
                known.into_iter().any(|known| {
                    let known = if epochs {
                        known.to_owned()
                    } else {
                        without_epoch(known)
                    };
                    satisfies(Manager::Dnf(""), &known, wanted)
                })
            })
        })
    };
    let pending: Targets = targets
        .iter()
        .filter(|(name, version)| !has(&there, name, version.as_ref()))
        .cloned()
        .collect();
    if pending.is_empty() {
        let versioned = targets.iter().any(|(_, version)| version.is_some());
        return Ok(Plan::unchanged(if versioned {
            "All specified packages (matching specified versions) are already downloaded"
        } else {
            "All specified packages are already downloaded"
        }));
    }
    let names: Vec<String> = pending.iter().map(|(name, _)| name.clone()).collect();
    let would = format!(
        "The following packages would be downloaded: {}",
        joined(names)
    );
    let call = asked_of_dnf(args, &pending).keyword("downloadonly", true);
    let own = dnf::arch(own);
    let ignored = args.given("ignore_epoch").cloned();
    Ok(Plan::change("", Changes::none(), move |context| {
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
        let now = dnf::asked::downloaded(context.system)?;
        let mut changes = Map::new();
        for (name, versions) in &now {
            let before = there.get(name);
            if before != Some(versions) {
                let old = before.map_or_else(|| Value::from(""), |old| old.clone().into());
                changes.insert(
                    name.as_str(),
                    Map::from([("old", old), ("new", versions.clone().into())]),
                );
            }
        }
        let missing: Vec<String> = pending
            .iter()
            .filter(|(name, version)| {
                let versions = now.get(dnf::normalized(own, name));
                !versions.is_some_and(|versions| {
                    version.as_ref().is_none_or(|wanted| {
                        versions.keys().filter_map(Value::as_str).any(|known| {
                            let bare = match &ignored {
                                Some(stated) => stated.is_true(),
                                None => !wanted.contains(':'),
                            };
                            let known = if bare {
                                without_epoch(known)
                            } else {
                                known.to_owned()
                            };
                            satisfies(Manager::Dnf(""), &known, wanted)
                        })
                    })
                })
            })
            .map(|(name, version)| shown(name, version.as_ref()))
            .collect();
        if missing.is_empty() {
            return Ok(Done::as_planned().changes(Changes::from(changes)));
        }
        Ok(Done::failed(format!(
            "The following packages failed to download: {}",
            joined(missing)
        ))
        .changes(Changes::from(changes)))
    })
    .when_testing(would))
}

/// Packages whose files are not as they came, as `pkg_verify` asks.
pub(super) fn altered(
    args: &Args,
    check: &Check<'_>,
    there: &Targets,
) -> Result<Vec<(String, Map)>, CallError> {
    let options = verify_options(args);
    let mut all = Vec::new();
    for (name, _) in there {
        let found = dnf::verify(check.system, std::slice::from_ref(name), &options)?;
        if !found.is_empty() {
            all.push((name.clone(), found));
        }
    }
    Ok(all)
}

/// What `pkg_verify` says of how to look.
fn verify_options(args: &Args) -> Map {
    match args.get("pkg_verify") {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(Value::as_map)
            .flat_map(|map| map.iter().map(|(key, value)| (key.clone(), value.clone())))
            .collect(),
        _ => Map::new(),
    }
}

/// Installs packages again whose files are not as they came.
pub(super) fn mended(
    args: &Args,
    manager: Manager,
    installed: &Versions,
    broken: Vec<(String, Map)>,
) -> Plan {
    let nested = |map: &Map| dnf::change::nested(map, 0);
    let (mut would, mut shows, mut changes) = (Vec::new(), Changes::none(), Changes::none());
    for (name, found) in &broken {
        would.push(format!(
            "Package '{name}' would be reinstalled because the following files have been altered:{}",
            nested(found)
        ));
        shows.insert(name.as_str(), Map::new());
        let now = installed.get(name).map(String::as_str).unwrap_or_default();
        changes.insert(name.as_str(), Map::from([("old", now), ("new", now)]));
    }
    let targets: Targets = broken
        .iter()
        .map(|(name, _)| (name.clone(), None))
        .collect();
    let call = asked_of_dnf(args, &targets).keyword("reinstall", true);
    let options = verify_options(args);
    let wants_refresh = wants_refresh(args);
    Plan::change("", changes, move |context| {
        let installed = refresh(context, manager, wants_refresh, &call)
            .map_err(Failure::from)
            .and_then(|()| tools::install(&call, context));
        let changed = match installed {
            Ok(changed) => changed,
            Err(Failure::Call(error)) => return Err(error),
            Err(Failure::Problems { verb, errors, .. }) => {
                return Ok(Done::failed(Failure::problems(verb, &errors)));
            }
            Err(Failure::Problem { verb, error, .. }) => {
                return Ok(Done::failed(Failure::problem(verb, &error)));
            }
        };
        let (mut said, mut failed) = (Vec::new(), Vec::new());
        for (name, found) in &broken {
            let left = dnf::verify(context.system, std::slice::from_ref(name), &options)?;
            if left.is_empty() {
                said.push(format!(
                    "Package {name} was reinstalled. The following files were remediated:{}",
                    nested(found)
                ));
            } else {
                failed.push(format!(
                    "Reinstall was not successful for package {name}. The following files could not be remediated:{}",
                    nested(&left)
                ));
            }
        }
        let is_done = failed.is_empty();
        said.extend(failed);
        Ok(Done::with_comment(said.join("\n"))
            .changes(Changes::from(changed))
            .result(is_done))
    })
    .when_testing(would.join("\n"))
    .test_changes(shows)
}

/// Adds the changes of holds to those of versions: packages of dnf have no state but that of
/// being held.
pub(super) fn merge(changes: &mut Map, more: Map) {
    for (name, change) in more {
        let name = python::str(&name);
        let part = |key: &str| change.get(key).map(python::str).unwrap_or_default();
        let Some(there) = changes.get(&name).and_then(Value::as_map).cloned() else {
            let stated = ["new", "old"]
                .map(|key| (key, part(key)))
                .into_iter()
                .filter(|(_, text)| !text.is_empty());
            changes.insert(name, stated.collect::<Map>());
            continue;
        };
        let both = ["old", "new"].map(|key| {
            let before = there.str(key).unwrap_or_default();
            let text = if before.is_empty() {
                part(key)
            } else {
                format!("{before}\n{}", part(key))
            };
            (key, text)
        });
        changes.insert(name, Map::from(both));
    }
}

/// Makes sure that advisories are installed, or that their packages are in dnf's cache.
pub(super) fn patched(args: &Args, check: &Check<'_>, download: bool) -> Answer {
    let state = if download {
        "pkg.patch_downloaded"
    } else {
        "pkg.patch_installed"
    };
    let Ok(Manager::Dnf(own)) = manager(check, state) else {
        return Ok(Plan::fail(format!(
            "The {state} state is not available on this platform"
        )));
    };
    let (stated, wanted) = match args.given("advisory_ids") {
        Some(Value::List(items)) if items.is_empty() => {
            return Ok(Plan::unchanged("No advisory ids provided"));
        }
        Some(ids) => (true, dnf::items(ids)),
        None => (false, vec![args.text("name")?]),
    };
    let known = dnf::asked::patches(check.system)?;
    let is_there = |id: &String| {
        let patch = known.get(id).and_then(|patch| patch.get("installed"));
        patch.is_some_and(Value::is_true)
    };
    let missing: Vec<String> = wanted.iter().filter(|id| !is_there(id)).cloned().collect();
    if missing.is_empty() {
        return Ok(Plan::unchanged(match wanted.as_slice() {
            [id] if !stated => format!("Advisory patch {id} is already installed"),
            _ => "All specified advisory patches are already installed".to_owned(),
        }));
    }
    let would = format!(
        "The following advisory patches would be downloaded: {}",
        missing.join(", ")
    );
    let mut call = Args::new().keyword("advisory_ids", missing.iter().collect::<Value>());
    for (key, value) in args.keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    if download {
        call = call.keyword("downloadonly", true);
    }
    let changes = match dnf::change::advised(&call, &known) {
        Ok(step) if !download => {
            let now = dnf::versions(check.system, own)?;
            let after = step.foretold(check.system, own, &now)?;
            let after = dnf::joined(after.unwrap_or_else(|| now.clone()));
            Changes::from(differences(&dnf::joined(now), &after))
        }
        _ => Changes::none(),
    };
    Ok(Plan::change("", changes, move |context| {
        let changed = match tools::install(&call, context) {
            Ok(changed) => changed,
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
        };
        if changed.is_empty() && download {
            return Ok(Done::with_comment(
                "Advisory patch is not needed or related packages are already downloaded",
            ));
        }
        Ok(Done::as_planned().changes(Changes::from(changed)))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// The version of a package file for dnf: one of the state tree is not fetched only to look
/// into it.
pub(super) fn version_of(check: &Check<'_>, source: &str) -> Option<String> {
    let path = std::path::Path::new(source);
    if !source.starts_with('/') || !check.system.exists(path) {
        return None;
    }
    let package = dnf::described(check.system, path).ok()??;
    Some(package.full_version())
}
