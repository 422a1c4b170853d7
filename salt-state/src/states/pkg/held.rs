//! Packages that keep their versions.

use salt_proto::{Map, Value};

use super::{Answer, Targets, manager};
use crate::args::Args;
use crate::context::Context;
use crate::functions::pkg::change as tools;
use crate::functions::pkg::dnf;
use crate::functions::pkg::manager::Manager;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "pkg.held",
        "held(name, version=None, pkgs=None, replace=False, **kwargs)",
        "Makes sure that packages keep their versions.",
        |args, check| {
            if let Some(refusal) = cannot_hold(check, "pkg.held") {
                return Ok(refusal);
            }
            if matches!(args.get("pkgs"), Some(Value::List(items)) if items.is_empty()) {
                return Ok(Plan::unchanged("No packages to be held provided"));
            }
            let wanted = names(args);
            let now = held_now(check)?;
            let hold = tools::loose_targets(args)
                .into_iter()
                .filter(|(name, _)| !now.contains(name))
                .collect();
            let free = if args.is_true("replace") {
                let others = now.into_iter().filter(|name| !wanted.contains(name));
                others.map(|name| (name, None)).collect()
            } else {
                Vec::new()
            };
            plan(hold, free, is_dnf(check))
        },
    );
    registry.add_state(
        "pkg.unheld",
        "unheld(name, version=None, pkgs=None, all=False, **kwargs)",
        "Makes sure that packages can be upgraded.",
        |args, check| {
            if let Some(refusal) = cannot_hold(check, "pkg.unheld") {
                return Ok(refusal);
            }
            let all = args.is_true("all");
            if matches!(args.get("pkgs"), Some(Value::List(items)) if items.is_empty()) && !all {
                return Ok(Plan::unchanged("No packages to be unheld provided"));
            }
            let wanted = names(args);
            // Salt looks for the version where it is not.
            let versioned = args
                .given("pkgs")
                .and_then(Value::as_list)
                .unwrap_or_default();
            let versioned: Vec<String> = versioned
                .iter()
                .filter_map(Value::as_map)
                .flat_map(Map::keys)
                .map(python::str)
                .collect();
            let free = held_now(check)?
                .into_iter()
                .filter(|name| all || wanted.contains(name))
                .map(|name| {
                    let is_versioned = versioned.contains(&name)
                        || args.given("pkgs").is_none() && args.given("version").is_some();
                    let version = is_versioned.then(|| "None".to_owned());
                    (name, version)
                })
                .collect();
            plan(Vec::new(), free, is_dnf(check))
        },
    );
}

fn names(args: &Args) -> Vec<String> {
    tools::loose_targets(args)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// What Salt says where packages cannot be held: apk has nothing like it.
fn cannot_hold(check: &Check<'_>, function: &str) -> Option<Plan> {
    matches!(manager(check, function), Ok(Manager::Apk)).then(|| {
        Plan::fail(
            "No any function to get the list of held packages available.\nCheck if the package manager supports package locking.",
        )
    })
}

fn is_dnf(check: &Check<'_>) -> bool {
    matches!(manager(check, "pkg.held"), Ok(Manager::Dnf(_)))
}

fn held_now(check: &Check<'_>) -> Result<Vec<String>, CallError> {
    let manager = manager(check, "pkg.held")?;
    if let Manager::Dnf(own) = manager {
        let now = dnf::versions(check.system, own)?;
        let mut held: Vec<String> = Vec::new();
        for name in dnf::holds::of_all(check.system, &now)? {
            if !held.contains(&name) {
                held.push(name);
            }
        }
        return Ok(held);
    }
    Ok(manager
        .selections(check.system, "*")?
        .into_iter()
        .filter(|(_, state)| state == "hold")
        .map(|(name, _)| name)
        .collect())
}

/// Salt's dry run calls this a success, without changes.
fn plan(hold: Targets, free: Targets, is_dnf: bool) -> Answer {
    if hold.is_empty() && free.is_empty() {
        return Ok(Plan::unchanged("No changes made"));
    }
    let lines = |what: &str, targets: &Targets| -> Vec<String> {
        targets
            .iter()
            .map(|(name, version)| {
                let version = version.as_ref();
                let version = version.map(|version| format!(" (version = {version})"));
                let version = version.unwrap_or_default();
                format!("The following package would be {what}: {name}{version}")
            })
            .collect()
    };
    let mut would = lines("held", &hold);
    would.extend(lines("unheld", &free));
    let bare =
        |targets: Targets| -> Vec<String> { targets.into_iter().map(|(name, _)| name).collect() };
    let (hold, free) = (bare(hold), bare(free));
    let mut said: Vec<String> = hold
        .iter()
        .map(|name| format!("Package {name} is now being held"))
        .collect();
    let (freed, unheld) = if is_dnf {
        ("is no longer held.", "")
    } else {
        ("is no longer being held.", "install")
    };
    said.extend(free.iter().map(|name| format!("Package {name} {freed}")));
    let mut changes = Map::new();
    for name in &hold {
        let entry = entry(name, Some(unheld), "hold", "is now being held.");
        changes.insert(name.as_str(), entry);
    }
    for name in &free {
        let entry = entry(name, Some("hold"), unheld, freed);
        changes.insert(name.as_str(), entry);
    }
    Ok(
        Plan::change(said.join("\n"), Changes::from(changes), move |context| {
            let mut changes = Map::new();
            for (function, names) in [("pkg.hold", &hold), ("pkg.unhold", &free)] {
                for name in names {
                    let call = Args::new().with(name.as_str());
                    let answer = context.registry.call(function, &call, context)?;
                    if let Some(entry) = answer.get(name) {
                        changes.insert(name.as_str(), entry.clone());
                    }
                }
            }
            Ok(Done::as_planned().changes(Changes::from(changes)))
        })
        .when_testing(would.join("\n"))
        .test_changes(Changes::none())
        .test_result(true),
    )
}

fn entry(name: &str, old: Option<&str>, new: &str, word: &str) -> Map {
    Map::from([
        ("name", Value::from(name)),
        (
            "changes",
            Map::from([("old", Value::from(old)), ("new", new.into())]).into(),
        ),
        ("result", true.into()),
        ("comment", format!("Package {name} {word}").into()),
    ])
}

/// A settled state of packages, perhaps with a hold that has to be set.
pub(super) fn after(
    manager: Manager,
    check: &Check<'_>,
    text: &str,
    names: Vec<String>,
    hold: Option<bool>,
) -> Answer {
    let Some(hold) = hold else {
        return Ok(Plan::unchanged(text));
    };
    let is_dnf = matches!(manager, Manager::Dnf(_));
    let unheld = if is_dnf { "" } else { "install" };
    let (new, old) = if hold {
        ("hold", unheld)
    } else {
        (unheld, "hold")
    };
    let (mut would, mut said, mut already) = (Vec::new(), Vec::new(), Vec::new());
    let mut changes = Changes::none();
    let all = match manager {
        Manager::Dnf(_) => match manager.selections(check.system, "*") {
            Ok(all) => Some(all),
            Err(error @ CallError::Invocation(_)) => return Ok(Plan::fail(error.to_string())),
            Err(error) => return Err(error),
        },
        _ => None,
    };
    let now_of = |name: &String| -> Result<Option<String>, CallError> {
        match &all {
            Some(all) => Ok(all.get(name).cloned()),
            None => Ok(manager.selections(check.system, name)?.remove(name)),
        }
    };
    for name in &names {
        let set = match (hold, is_dnf) {
            (true, _) => "set to be held",
            (false, true) => "set to be unheld",
            (false, false) => "set not to be held",
        };
        let state = now_of(name)?;
        if state.as_deref().or_else(|| is_dnf.then_some("")) == Some(new) {
            already.push(if is_dnf && !hold {
                format!("Package {name} is not being held.")
            } else {
                format!("Package {name} is already {set}.")
            });
        } else {
            would.push(format!("Package {name} is {set}."));
            said.push(if hold {
                format!("Package {name} is now being held.")
            } else if is_dnf {
                format!("Package {name} is no longer held.")
            } else {
                format!("Package {name} is no longer being held.")
            });
            changes = changes.old_new(name, old, new);
        }
    }
    would.splice(0..0, already.iter().cloned());
    said.extend(already);
    // Salt puts a full stop between sentences that have one.
    let whole = |sentences: Vec<String>| format!("{text}.\n{}", sentences.join(".\n"));
    if changes.is_empty() {
        return Ok(Plan::unchanged(whole(said)));
    }
    Ok(Plan::change(whole(said), changes, move |context| {
        let (_, changes) = set(context, &names, hold)?;
        Ok(Done::as_planned().changes(Changes::from(changes)))
    })
    .when_testing(whole(would))
    .test_changes(Changes::none()))
}

/// What was said of each package, with whether that changed something.
type Said = Vec<(String, bool)>;

/// Holds packages or lets them go in one call: what was said of each, and what changed.
pub(super) fn set_each(
    context: &Context<'_>,
    names: &[String],
    hold: bool,
) -> Result<(Said, Map), CallError> {
    let function = if hold { "pkg.hold" } else { "pkg.unhold" };
    let call = Args::new().keyword("pkgs", names.iter().collect::<Value>());
    let answer = context.registry.call(function, &call, context)?;
    let (mut said, mut changes) = (Vec::new(), Map::new());
    for (name, entry) in answer.as_map().into_iter().flatten() {
        let text = entry.get("comment").map(python::str).unwrap_or_default();
        let changed = entry.get("changes").filter(|changed| changed.is_true());
        said.push((text, changed.is_some()));
        if let Some(changed) = changed {
            changes.insert(name.clone(), changed.clone());
        }
    }
    Ok((said, changes))
}

/// Holds packages or lets them go: what was said, and what changed.
pub(super) fn set(
    context: &Context<'_>,
    names: &[String],
    hold: bool,
) -> Result<(String, Map), CallError> {
    let function = if hold { "pkg.hold" } else { "pkg.unhold" };
    let (mut said, mut changes) = (Vec::new(), Map::new());
    for name in names {
        let call = Args::new().with(name.as_str());
        let answer = context.registry.call(function, &call, context)?;
        let Some(entry) = answer.get(name) else {
            continue;
        };
        said.push(entry.get("comment").map(python::str).unwrap_or_default());
        if let Some(changed) = entry.get("changes").filter(|changed| changed.is_true()) {
            changes.insert(name.as_str(), changed.clone());
        }
    }
    Ok((said.join(".\n"), changes))
}
