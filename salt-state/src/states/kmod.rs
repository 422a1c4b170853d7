//! `kmod.*`: modules of the kernel.

use std::collections::BTreeSet;

use salt_proto::Value;

use crate::args::Args;
use crate::functions::kmod as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "kmod.present",
        "present(name, persist=False, mods=None)",
        "Makes sure that modules are loaded; with persist, at every boot.",
        present,
    );
    registry.add_state(
        "kmod.absent",
        "absent(name, persist=False, comment=True, mods=None)",
        "Makes sure that modules are not loaded; with persist, nor at boot.",
        absent,
    );
}

fn names(args: &Args) -> Result<Vec<String>, CallError> {
    let mut all: Vec<String> = match args.get("mods") {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(Value::Null) | None => vec![args.text("name")?],
        Some(_) => Vec::new(),
    };
    let mut seen = BTreeSet::new();
    all.retain(|name| seen.insert(name.clone()));
    Ok(all)
}

/// `Kernel module a is` or `Kernel modules a, b are`, and so on; nothing of no modules.
fn line(of: &[String], before: &str, one: &str, several: &str, after: &str) -> Option<String> {
    let start = |word: &str| match before {
        "" => format!("Kernel {word}"),
        before => format!("{before} kernel {word}"),
    };
    match of {
        [] => None,
        [name] => Some(format!("{} {name}{one}{after}", start("module"))),
        names => Some(format!(
            "{} {}{several}{after}",
            start("modules"),
            names.join(", ")
        )),
    }
}

fn is(of: &[String], what: &str) -> Option<String> {
    line(of, "", " is ", " are ", what)
}

fn did(what: &str, of: &[String]) -> Option<String> {
    line(of, what, "", "", "")
}

fn joined<const N: usize>(lines: [Option<String>; N]) -> Option<String> {
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What is loaded; with `persist` both now and at boot, or either, as a state asks for it.
fn standing(args: &Args, check: &Check<'_>, both: bool) -> Result<BTreeSet<String>, CallError> {
    let loaded = tools::loaded(check.system)?;
    if !args.is_true("persist") {
        return Ok(loaded);
    }
    let listed = check.query("kmod.mod_list", &Args::new().with(true))?;
    let listed: BTreeSet<String> = match &listed {
        Value::List(items) => items.iter().map(python::str).collect(),
        _ => BTreeSet::new(),
    };
    Ok(if both {
        loaded.intersection(&listed).cloned().collect()
    } else {
        loaded.union(&listed).cloned().collect()
    })
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let now = standing(args, check, true)?;
    let (already, todo): (Vec<_>, Vec<_>) = names(args)?
        .into_iter()
        .partition(|name| now.contains(name));
    let already = is(&already, "already present");
    if todo.is_empty() {
        return Ok(Plan::unchanged(already.unwrap_or_default()));
    }
    let would = joined([already.clone(), is(&todo, "set to be loaded")]);
    let has = tools::available(check.system);
    let (todo, missing): (Vec<_>, Vec<_>) = todo.into_iter().partition(|name| has.contains(name));
    let unavailable = is(&missing, "unavailable");
    if todo.is_empty() {
        let comment = joined([already, unavailable]);
        return Ok(Plan::fail(comment.unwrap_or_default())
            .when_testing(would.unwrap_or_default())
            .test_result(None));
    }
    let persist = args.is_true("persist");
    let mut changes = Changes::none();
    for name in &todo {
        changes.insert(name.as_str(), "loaded");
    }
    let said = joined([already.clone(), unavailable.clone(), did("Loaded", &todo)]);
    Ok(
        Plan::change(said.unwrap_or_default(), changes, move |context| {
            let (mut done, mut changes) = (Vec::new(), Changes::none());
            let mut failed = Vec::new();
            for name in todo {
                match tools::load(context, &name, persist)? {
                    Ok(new) => {
                        for new in new {
                            changes.insert(new, "loaded");
                        }
                        done.push(name);
                    }
                    Err(text) => {
                        failed.push(format!("Failed to load kernel module {name}: {text}"));
                    }
                }
            }
            let well = missing.is_empty() && failed.is_empty();
            let failed = (!failed.is_empty()).then(|| failed.join("\n"));
            let comment = joined([already, unavailable, did("Loaded", &done), failed]);
            Ok(Done::with_comment(comment.unwrap_or_default())
                .changes(changes)
                .result(Some(well)))
        })
        .when_testing(would.unwrap_or_default())
        .test_changes(Changes::none()),
    )
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let now = standing(args, check, false)?;
    let wanted = names(args)?;
    let todo: Vec<String> = wanted
        .iter()
        .filter(|name| now.contains(*name))
        .cloned()
        .collect();
    if todo.is_empty() {
        let comment = is(&wanted, "already removed");
        return Ok(Plan::unchanged(comment.unwrap_or_default()));
    }
    let would = is(&todo, "set to be removed").unwrap_or_default();
    let (persist, comment) = (args.is_true("persist"), args.is_true("comment"));
    let mut changes = Changes::none();
    for name in &todo {
        changes.insert(name.as_str(), "removed");
    }
    let said = did("Removed", &todo).unwrap_or_default();
    Ok(Plan::change(said, changes, move |context| {
        let (mut done, mut changes) = (Vec::new(), Changes::none());
        let mut failed = Vec::new();
        for name in todo {
            match tools::remove(context, &name, persist, comment)? {
                Ok(gone) => {
                    for gone in gone {
                        changes.insert(gone, "removed");
                    }
                    done.push(name);
                }
                Err(text) => {
                    failed.push(format!("Failed to remove kernel module {name}: {text}"));
                }
            }
        }
        let well = failed.is_empty();
        let failed = (!failed.is_empty()).then(|| failed.join("\n"));
        let comment = joined([did("Removed", &done), failed]);
        Ok(Done::with_comment(comment.unwrap_or_default())
            .changes(changes)
            .result(Some(well)))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
