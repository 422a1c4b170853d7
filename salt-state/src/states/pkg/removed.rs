//! Packages that shall not be there.

use salt_proto::{Map, Value};

use super::{Answer, joined, known, manager, one_of};
use crate::args::Args;
use crate::functions::pkg::asked::without_arch_on;
use crate::functions::pkg::change::{self as tools, Failure, changes as differences};
use crate::functions::pkg::dnf;
use crate::functions::pkg::manager::Manager;
use crate::functions::pkg::{ignores_epoch, satisfies, without_epoch};
use crate::plan::{Changes, Done, Plan};
use crate::registry::Registry;
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "pkg.removed",
        "removed(name, version=None, pkgs=None, normalize=True, ignore_epoch=None, **kwargs)",
        "Makes sure that packages are not installed.",
        |args, check| absent(args, check, false),
    );
    registry.add_state(
        "pkg.purged",
        "purged(name, version=None, pkgs=None, normalize=True, ignore_epoch=None, **kwargs)",
        "Makes sure that packages are not installed and their configuration is gone.",
        |args, check| absent(args, check, true),
    );
}

fn absent(args: &Args, check: &Check<'_>, purge: bool) -> Answer {
    let manager = manager(check, "pkg.removed")?;
    let installed = manager.installed(check.system, false)?;
    let left = if purge {
        manager.installed(check.system, true)?
    } else {
        Default::default()
    };
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    let mut targets = Vec::new();
    let mut versions = Vec::new();
    let mut absent_text = "All specified packages are already absent";
    let own = check.minion.grains.str("osarch").unwrap_or_default();
    let normalizes = args.get("normalize").is_none_or(Value::is_true);
    for (mut name, version) in tools::state_targets(args)? {
        if normalizes {
            name = without_arch_on(manager, own, &name).to_owned();
        }
        targets.push(name.clone());
        if version.is_some() && installed.contains_key(&name) {
            absent_text = "All specified packages (matching specified versions) are already absent";
        }
        let now = known(&installed, &name).or_else(|| left.get(&name));
        let is = match (now, &version) {
            (Some(now), Some(version)) if ignores_epoch(args, version) => one_of(now, |now| {
                satisfies(manager, &without_epoch(now), &without_epoch(version))
            }),
            (Some(now), Some(version)) => one_of(now, |now| satisfies(manager, now, version)),
            (now, _) => now.is_some(),
        };
        if is {
            versions.push(version);
            there.push(name);
        } else {
            missing.push(name);
        }
    }
    if there.is_empty() {
        return Ok(Plan::unchanged(if purge {
            "None of the targeted packages are installed or partially installed"
        } else {
            absent_text
        }));
    }
    let past = if purge { "purged" } else { "removed" };
    let would = format!(
        "The following packages will be {past}: {}.",
        joined(there.clone())
    );
    let mut shows = Changes::none();
    let mut sorted = there.clone();
    sorted.sort();
    for name in &sorted {
        shows.insert(name.as_str(), Map::from([("new", past), ("old", "")]));
    }
    let comment = if missing.is_empty() {
        format!("All targeted packages were {past}.")
    } else {
        format!(
            "The following packages were not installed: {} The following packages were {past}: {}.",
            joined(missing),
            joined(there.clone())
        )
    };
    let verb = if purge { "purge" } else { "remove" };
    let mut after = installed.clone();
    // Once one of them goes, all go, whatever versions were named; dnf takes those apart.
    let known_now: Vec<String> = targets
        .iter()
        .filter(|name| installed.contains_key(*name) || left.contains_key(*name))
        .cloned()
        .collect();
    let foretold = match manager {
        Manager::Dnf(own) => {
            let now = super::lists(&installed);
            let words: Vec<String> = there
                .iter()
                .zip(&versions)
                .map(|(name, version)| {
                    let version = version.as_deref().filter(|_| args.given("pkgs").is_some());
                    dnf::change::spelled(name, version)
                })
                .collect();
            dnf::change::after_removing(check.system, own, &words, &now)?
        }
        _ => None,
    };
    let going = match manager {
        Manager::Dnf(_) => &there,
        _ => &known_now,
    };
    match manager.simulate(check.system, verb, going) {
        None if foretold.is_some() => after = dnf::joined(foretold.unwrap_or_default()),
        Some(steps) => {
            for (name, version) in steps {
                match version {
                    Some(version) => after.insert(name, version),
                    None => after.remove(&name),
                };
            }
        }
        None => after.retain(|name, _| !going.contains(name)),
    }
    let gone = differences(&installed, &after);
    // Only dpkg keeps configuration that could be removed apart.
    let changes = if purge && manager == Manager::Apt {
        let mut kept = left.clone();
        kept.retain(|name, _| !known_now.contains(name));
        Changes::none()
            .with("removed", differences(&left, &kept))
            .with("installed", gone)
    } else {
        Changes::from(gone)
    };
    let is_stated = args.given("pkgs").is_some();
    let names: Value = match manager {
        // A version by itself says only what is removed, not of what.
        Manager::Dnf(_) => there
            .iter()
            .zip(&versions)
            .map(
                |(name, version)| match version.as_ref().filter(|_| is_stated) {
                    Some(version) => Value::from(Map::from([(name.as_str(), version.as_str())])),
                    None => name.as_str().into(),
                },
            )
            .collect(),
        _ => targets.iter().collect(),
    };
    Ok(Plan::change(comment, changes, move |context| {
        let call = Args::new().keyword("pkgs", names);
        let changed = match tools::removal(&call, context, purge) {
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
            Err(Failure::Call(error)) => return Err(error),
        };
        let now = manager.installed(context.system, false)?;
        let failed: Vec<String> = there
            .into_iter()
            .filter(|name| known(&now, name).is_some())
            .collect();
        if failed.is_empty() {
            return Ok(Done::as_planned().changes(Changes::from(changed)));
        }
        Ok(Done::with_comment(format!(
            "The following packages failed to {verb}: {}.",
            joined(failed)
        ))
        .changes(Changes::from(changed))
        .result(false))
    })
    .when_testing(would)
    .test_changes(shows))
}
