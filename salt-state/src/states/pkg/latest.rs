//! Packages that shall be current.

use salt_proto::{Map, Value};

use super::{Answer, REFRESHED, joined, known, manager, refresh, wants_refresh};
use crate::args::Args;
use crate::functions::pkg::apk;
use crate::functions::pkg::change::{self as tools, Failure, changes as differences};
use crate::functions::pkg::compare;
use crate::functions::pkg::dnf;
use crate::functions::pkg::manager::Manager;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "pkg.latest",
        "latest(name, refresh=None, fromrepo=None, skip_verify=False, pkgs=None, watch_flags=True, **kwargs)",
        "Makes sure that packages are installed and current.",
        latest,
    );
    registry.add_state(
        "pkg.uptodate",
        "uptodate(name, refresh=False, pkgs=None, **kwargs)",
        "Makes sure that all packages are current.",
        up_to_date,
    );
}

/// The lists of packages are read before anything is compared with them; a dry run, which
/// writes nothing, compares with those there are. Those of dnf are read at the change itself.
pub(super) fn refreshed(
    args: &Args,
    check: &Check<'_>,
    due: bool,
    problem: &'static str,
    state: fn(Manager, &Args, &Check<'_>) -> Answer,
) -> Answer {
    let manager = manager(check, "pkg.latest")?;
    let plan = state(manager, args, check)?;
    if check.is_test() || !due || matches!(manager, Manager::Dnf(_)) {
        return Ok(plan);
    }
    let (args, low) = (args.clone(), check.low.clone());
    Ok(Plan::change(plan.comment, plan.changes, move |context| {
        if let Err(error) = refresh(context, manager, Some(true), &args) {
            return Ok(Done::failed(format!("{problem}{error}")));
        }
        let check = Check::new(context, &low, false);
        let outcome = state(manager, &args, &check)?.carry_out(context)?;
        Ok(Done::with_comment(outcome.comment)
            .changes(outcome.changes)
            .result(outcome.result))
    }))
}

fn latest(args: &Args, check: &Check<'_>) -> Answer {
    if matches!(args.get("pkgs"), Some(Value::List(items)) if items.is_empty()) {
        return Ok(Plan::unchanged("No packages to install provided"));
    }
    let due = wants_refresh(args).unwrap_or_else(|| check.note(REFRESHED).is_none());
    refreshed(
        args,
        check,
        due,
        "An error was encountered while checking the newest available version of package(s): ",
        newest,
    )
}

fn newest(manager: Manager, args: &Args, check: &Check<'_>) -> Answer {
    let installed = manager.installed(check.system, false)?;
    let targets = tools::state_targets(args)?;
    let offers = match manager {
        Manager::Dnf(own) => {
            let names: Vec<String> = targets.iter().map(|(name, _)| name.clone()).collect();
            let now = super::lists(&installed);
            let offers = dnf::asked::latest(check.system, own, &names, &now, args)?;
            if targets.iter().any(|(_, version)| version.is_some()) && args.given("pkgs").is_some()
            {
                return Err(CallError::exception("TypeError", "unhashable type: 'dict'"));
            }
            Some(offers)
        }
        Manager::Apk => {
            let names: Vec<String> = targets.iter().map(|(name, _)| name.clone()).collect();
            Some(apk::latest(check.system, &names, &installed)?)
        }
        _ => None,
    };
    let (mut pending, mut current) = (Vec::new(), Vec::new());
    let mut unknown = Vec::new();
    for (name, _) in targets {
        // Salt asks for an architecture by a name that is in no answer.
        let foreign = manager == Manager::Apt && name.contains(':');
        let now = known(&installed, &name).filter(|_| !foreign).cloned();
        let offered = match &offers {
            Some(offers) => offers.get(&name).cloned(),
            None => manager.candidate(check.system, &name),
        };
        match (offered, now) {
            (Some(offered), Some(now)) if offers.is_some() => pending.push((name, offered, now)),
            (None, None) => unknown.push(format!("No information found for '{name}'.")),
            (Some(offered), Some(now))
                if compare(manager, &offered, &now) == std::cmp::Ordering::Greater =>
            {
                pending.push((name, offered, now));
            }
            (Some(offered), None) => pending.push((name, offered, String::new())),
            (_, Some(now)) => current.push((name, now)),
        }
    }
    if !unknown.is_empty() {
        return Ok(Plan::fail(unknown.join("\n")));
    }
    if pending.is_empty() {
        let names: Vec<String> = current.into_iter().map(|(name, _)| name).collect();
        return Ok(Plan::unchanged(match names.as_slice() {
            [one] => format!("Package {one} is already up-to-date"),
            _ => format!("All packages are up-to-date ({}).", joined(names)),
        }));
    }
    let mut shows = Changes::none();
    let mut after = installed.clone();
    for (name, offered, now) in &pending {
        shows.insert(
            name.as_str(),
            match manager {
                // The version is looked for where it is not found.
                Manager::Dnf(_) => Map::from([("new", "installed"), ("old", now.as_str())]),
                _ => Map::from([("new", offered.as_str()), ("old", now.as_str())]),
            },
        );
        after.insert(name.clone(), offered.clone());
    }
    let names: Vec<String> = pending.iter().map(|(name, ..)| name.clone()).collect();
    let mut would = format!(
        "The following packages would be installed/upgraded: {}",
        joined(names.clone())
    );
    let mut comment = format!(
        "The following packages were successfully installed/upgraded: {}",
        joined(names.clone())
    );
    let there: Vec<String> = current.iter().map(|(name, _)| name.clone()).collect();
    if !current.is_empty() {
        let shown = current.iter().map(|(name, now)| format!("{name} ({now})"));
        would.push_str(&format!(
            "\nThe following packages are already up-to-date: {}",
            joined(shown.collect())
        ));
        comment.push_str(&format!(
            " The following packages were already up-to-date: {}",
            joined(current.into_iter().map(|(name, _)| name).collect())
        ));
    }
    if let Manager::Dnf(own) = manager {
        let now = super::lists(&installed);
        let targets: super::Targets = names.iter().map(|name| (name.clone(), None)).collect();
        let call = super::asked_of_dnf(args, &targets);
        if let Some(told) = dnf::change::after_installing(check.system, own, &call, &now)? {
            after = dnf::joined(told);
        }
    }
    if let Some(steps) = manager.simulate(check.system, "install", &names) {
        after = installed.clone();
        for (name, version) in steps {
            match version {
                Some(version) => after.insert(name, version),
                None => after.remove(&name),
            };
        }
    }
    let changes = Changes::from(differences(&installed, &after));
    let mut call = Args::new().keyword("pkgs", names.iter().collect::<Value>());
    for key in ["fromrepo", "skip_verify"] {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    for (key, value) in args.keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    let wants_refresh = wants_refresh(args);
    Ok(Plan::change(comment, changes, move |context| {
        // dnf reads its lists only now; for others they were read before.
        let read = match manager {
            Manager::Dnf(_) => refresh(context, manager, wants_refresh, &call),
            _ => Ok(()),
        };
        let installed = read
            .map_err(Failure::from)
            .and_then(|()| tools::install(&call, context));
        let changed = match installed {
            Ok(changed) => changed,
            Err(Failure::Call(error)) if !matches!(error, CallError::Execution(_)) => {
                return Err(error);
            }
            Err(failure) => {
                let error = CallError::from(failure);
                return Ok(Done::failed(format!(
                    "An error was encountered while installing package(s): {error}"
                )));
            }
        };
        let failed: Vec<String> = names
            .iter()
            .filter(|name| !changed.contains_key(name.as_str()))
            .cloned()
            .collect();
        if failed.is_empty() {
            return Ok(Done::as_planned().changes(Changes::from(changed)));
        }
        let mut parts = vec![match failed.as_slice() {
            [one] if names.len() == 1 => format!("Package {one} failed to update."),
            _ => format!(
                "The following packages failed to update: {}",
                joined(failed)
            ),
        }];
        let done = names
            .iter()
            .filter(|name| changed.contains_key(name.as_str()));
        let done: Vec<String> = done.cloned().collect();
        for (what, which) in [
            ("were successfully installed/upgraded", done),
            ("were already up-to-date", there),
        ] {
            if !which.is_empty() {
                parts.push(format!("The following packages {what}: {}", joined(which)));
            }
        }
        Ok(Done::with_comment(parts.join(" "))
            .changes(Changes::from(changed))
            .result(false))
    })
    .when_testing(would)
    .test_changes(shows))
}

fn up_to_date(args: &Args, check: &Check<'_>) -> Answer {
    refreshed(args, check, args.is_true("refresh"), "", upgraded)
}

fn upgraded(manager: Manager, args: &Args, check: &Check<'_>) -> Answer {
    let dist = args
        .keywords()
        .get("dist_upgrade")
        .is_none_or(Value::is_true);
    let listed = match manager {
        Manager::Dnf(own) => dnf::asked::upgrades(check.system, own, args),
        _ => manager.upgrades(check.system, dist),
    };
    let mut upgrades = match listed {
        Ok(upgrades) => upgrades,
        Err(error) => return Ok(Plan::fail(error.to_string())),
    };
    // Salt asks what a thorough upgrade would do, and does one only when told to.
    let thorough = args
        .keywords()
        .get("dist_upgrade")
        .is_some_and(Value::is_true);
    let everything = if thorough == dist || matches!(manager, Manager::Dnf(_)) {
        upgrades.clone()
    } else {
        manager.upgrades(check.system, thorough).unwrap_or_default()
    };
    let only = match args.given("pkgs") {
        // A text is no list of packages, and none is everything.
        Some(Value::Str(_)) | None => Vec::new(),
        Some(_) => tools::targets(args),
    };
    if !only.is_empty() {
        upgrades.retain(|name, offered| {
            only.iter().any(|(asked, version)| {
                asked == name && version.as_ref().is_none_or(|version| version == offered)
            })
        });
    }
    if upgrades.is_empty() {
        return Ok(Plan::unchanged("System is already up-to-date"));
    }
    let installed = manager.installed(check.system, false)?;
    let changes_of = |upgrades: &std::collections::BTreeMap<String, String>| {
        let mut changes = Changes::none();
        for (name, version) in upgrades {
            let old = installed.get(name).map(String::as_str).unwrap_or_default();
            changes.insert(
                name.as_str(),
                Map::from([("new", version.as_str()), ("old", old)]),
            );
        }
        changes
    };
    let shows = changes_of(&upgrades);
    // apt-get upgrades everything, also for Salt.
    let asks_for_all = only.is_empty();
    let whole = asks_for_all || manager == Manager::Apt;
    let own = match manager {
        Manager::Dnf(own) => Some(own),
        _ => None,
    };
    let mut dnf_call = Args::new().keyword("refresh", args.is_true("refresh"));
    for (key, value) in args.keywords() {
        dnf_call = dnf_call.keyword(&python::str(key), value.clone());
    }
    if !whole {
        dnf_call = dnf_call.keyword("pkgs", upgrades.keys().collect::<Value>());
    }
    let changes = if whole {
        changes_of(&everything)
    } else {
        shows.clone()
    };
    let changes = match own {
        Some(own) => {
            let now = super::lists(&installed);
            let step = dnf::change::upgrading(&dnf_call, own)?;
            match step.foretold(check.system, own, &now)? {
                Some(after) => Changes::from(differences(&installed, &dnf::joined(after))),
                None => Changes::none(),
            }
        }
        None => changes,
    };
    Ok(
        Plan::change("Upgrade ran successfully", changes, move |context| {
            let call = if own.is_some() {
                context.registry.call("pkg.upgrade", &dnf_call, context)
            } else if whole {
                let mut call = Args::new().keyword("refresh", false);
                if thorough {
                    call = call.keyword("dist_upgrade", true);
                }
                context.registry.call("pkg.upgrade", &call, context)
            } else {
                let names: Value = upgrades.keys().collect();
                let call = Args::new().keyword("pkgs", names).keyword("refresh", false);
                let verb = match manager {
                    Manager::Apk => "pkg.upgrade",
                    _ => "pkg.install",
                };
                context.registry.call(verb, &call, context)
            };
            let changed = match call {
                // apk's tells how it went.
                Ok(Value::Map(told)) if manager == Manager::Apk && told.contains_key("changes") => {
                    if told.get("result") != Some(&Value::Bool(true)) {
                        return Ok(Done::failed(told.str("comment").unwrap_or_default()));
                    }
                    let changed = told.get("changes").and_then(Value::as_map);
                    changed.cloned().unwrap_or_default()
                }
                Ok(Value::Map(changed)) => changed,
                Ok(_) => Map::new(),
                Err(error @ CallError::Execution(_)) => {
                    return Ok(Done::failed(error.to_string()));
                }
                Err(error) => return Err(error),
            };
            let left: Vec<String> = upgrades
                .keys()
                .filter(|name| own.is_none() && !changed.contains_key(name))
                .cloned()
                .collect();
            if left.is_empty() || asks_for_all {
                return Ok(Done::as_planned().changes(Changes::from(changed)));
            }
            Ok(Done::with_comment(format!(
                "The following package(s) failed to update: {}",
                joined(left)
            ))
            .changes(Changes::from(changed))
            .result(false))
        })
        .when_testing("System update will be performed")
        .test_changes(shows),
    )
}
