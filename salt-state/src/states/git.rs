//! `git.*`: repositories and settings of git.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::git as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

mod detached;
mod latest;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.needs_program("git", "git");
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "git.cloned",
        "cloned(name, target, branch=None, user=None, password=None, identity=None, https_user=None, https_pass=None, output_encoding=None)",
        "Makes sure that a repository was cloned once.",
        cloned,
    );
    add(
        "git.detached",
        "detached(name, rev, target, remote='origin', user=None, password=None, force_clone=False, force_checkout=False, fetch_remote=True, hard_reset=False, submodules=False, identity=None, https_user=None, https_pass=None, output_encoding=None, **kwargs)",
        "Makes sure that a clone has one commit checked out.",
        detached::detached,
    );
    add(
        "git.latest",
        "latest(name, target, rev='HEAD', branch=None, user=None, password=None, update_head=True, force_checkout=False, force_clone=False, force_fetch=False, force_reset=False, submodules=False, bare=False, mirror=False, remote='origin', fetch_tags=True, sync_tags=True, depth=None, identity=None, https_user=None, https_pass=None, refspec_branch='*', refspec_tag='*', output_encoding=None, **kwargs)",
        "Makes sure that a clone is at the newest commit of a revision.",
        latest::latest,
    );
    add(
        "git.present",
        "present(name, force=False, bare=True, template=None, separate_git_dir=None, shared=None, user=None, password=None, output_encoding=None)",
        "Makes sure that there is a repository.",
        present,
    );
    add(
        "git.config_set",
        "config_set(name, value=None, multivar=None, repo=None, user=None, password=None, output_encoding=None, **kwargs)",
        "Makes sure that a setting has its values.",
        config_set,
    );
    add(
        "git.config_unset",
        "config_unset(name, value_regex=None, repo=None, user=None, password=None, output_encoding=None, **kwargs)",
        "Makes sure that settings have no values, or none that match.",
        config_unset,
    );
}

fn cloned(args: &Args, check: &Check<'_>) -> Answer {
    let (url, target) = (args.text("name")?, args.text("target")?);
    if !Check::is_absolute(&target) {
        return Ok(Plan::fail("'target' path must be absolute"));
    }
    let (user, branch) = (args.optional_text("user"), args.optional_text("branch"));
    let path = Path::new(&target);
    let is_empty = check
        .system
        .list(path)
        .map(|names| names.is_empty())
        .unwrap_or(true);
    if !check.system.exists(path) || check.system.is_dir(path) && is_empty {
        let tail = match &branch {
            Some(branch) => format!(" with branch '{branch}'"),
            None => String::new(),
        };
        let would = format!("{url} would be cloned to {target}{tail}");
        let changes = Changes::of("new", format!("{url} => {target}"));
        let comment = format!("{url} cloned to {target}{tail}");
        return Ok(Plan::change(comment, changes, move |context| {
            let options: Vec<String> = branch
                .map(|branch| vec!["--branch".to_owned(), branch])
                .unwrap_or_default();
            match tools::clone(context, user.as_deref(), &url, &target, &options) {
                Ok(()) => Ok(Done::as_planned()),
                Err(error @ CallError::Execution(_)) => Ok(Done::failed(error.to_string())),
                Err(error) => Err(error),
            }
        })
        .when_testing(would));
    }
    let at = tools::git(check.system, user.as_deref(), Some(path));
    let looked = tools::asked(
        check.system,
        &at.clone().args(["status", "-z", "--porcelain"]),
    )
    .and_then(|_| match &branch {
        Some(_) => tools::branch(check.system, &at).map(Some),
        None => Ok(None),
    });
    let now = match looked {
        Ok(now) => now,
        Err(error @ CallError::Execution(_)) => return Ok(Plan::fail(error.to_string())),
        Err(error) => return Err(error),
    };
    match (now, branch) {
        (Some(now), Some(wanted)) if now != wanted => {
            let would = format!("Branch would be changed to '{wanted}'");
            let changes = Changes::none().old_new("branch", now, wanted.clone());
            let comment = format!("Branch changed to '{wanted}'");
            Ok(Plan::change(comment, changes, move |context| {
                let known = at.clone().args(["rev-parse", wanted.as_str()]);
                let is_known = tools::asked(context.system, &known).is_ok();
                let checkout = if is_known {
                    at.args(["checkout", wanted.as_str()])
                } else {
                    let remote = format!("origin/{wanted}");
                    at.args(["checkout", "-b", wanted.as_str(), remote.as_str()])
                };
                match tools::done(context, &checkout) {
                    Ok(_) => Ok(Done::as_planned()),
                    Err(error @ CallError::Execution(_)) => {
                        let text = error.to_string();
                        let why = text
                            .split_once(" failed: ")
                            .map_or(text.as_str(), |(_, why)| why);
                        Ok(Done::failed(format!(
                            "Failed to change branch to '{wanted}': {why}"
                        )))
                    }
                    Err(error) => Err(error),
                }
            })
            .when_testing(would))
        }
        (_, Some(wanted)) => Ok(Plan::unchanged(format!(
            "Repository already exists at {target} and is checked out to branch '{wanted}'"
        ))),
        _ => Ok(Plan::unchanged(format!(
            "Repository already exists at {target}"
        ))),
    }
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !Check::is_absolute(&name) {
        return Ok(Plan::fail(format!("Path '{name}' is not absolute")));
    }
    let path = Path::new(&name).to_owned();
    let bare = args.is_true("bare");
    let is_there = if bare {
        check.system.is_file(&path.join("HEAD")) && check.system.is_dir(&path.join("objects"))
    } else {
        check.system.exists(&path.join(".git"))
    };
    if is_there {
        return Ok(Plan::unchanged(""));
    }
    let force = args.is_true("force");
    let is_file = check.system.exists(&path) && !check.system.is_dir(&path);
    let is_full = check
        .system
        .list(&path)
        .is_ok_and(|names| !names.is_empty());
    if is_file && !force {
        return Ok(Plan::fail(format!(
            "Target '{name}' exists and is not a directory. Set the 'force' option to True to remove this file and proceed with initializing a repository"
        )));
    }
    if is_full && !force {
        return Ok(Plan::fail(format!(
            "Target '{name}' exists, is non-empty, and is not a git repository. Set the 'force' option to True to remove this directory's contents and proceed with initializing a repository"
        )));
    }
    let mut changes = Changes::of("new", name.clone());
    if is_file || is_full {
        changes = changes.with("forced init", true);
    }
    let word = if bare { "bare " } else { "" };
    let user = args.optional_text("user");
    let mut options = Vec::new();
    if bare {
        options.push("--bare".to_owned());
    }
    for (key, option) in [
        ("template", "--template="),
        ("separate_git_dir", "--separate-git-dir="),
        ("shared", "--shared="),
    ] {
        if let Some(value) = args.optional_text(key) {
            options.push(format!("{option}{value}"));
        }
    }
    let would = format!("New {word}repository would be created");
    let comment = format!("Initialized {word}repository in {name}");
    Ok(Plan::change(comment, changes, move |context| {
        if is_file {
            context.system.remove(&path)?;
        } else if is_full {
            for entry in context.system.list(&path)? {
                context.system.remove_all(&path.join(entry))?;
            }
        }
        let cwd = Path::new("/tmp");
        let command = tools::git(context.system, user.as_deref(), Some(cwd))
            .arg("init")
            .args(options)
            .arg(name);
        match tools::done(context, &command) {
            Ok(_) => Ok(Done::as_planned()),
            Err(error @ CallError::Execution(_)) => Ok(Done::failed(error.to_string())),
            Err(error) => Err(error),
        }
    })
    .when_testing(would))
}

fn config_set(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if args.given("value").is_some() && args.given("multivar").is_some() {
        return Ok(Plan::fail(
            "Only one of 'value' and 'multivar' is permitted",
        ));
    }
    let global = args.is_true("global");
    if !global && args.given("repo").is_none() {
        return Ok(Plan::fail(
            "Non-global config options require the 'repo' argument to be set",
        ));
    }
    let now = tools::config(args, check.system, &name)?;
    let wanted = tools::wanted(args)?;
    let key = if global {
        format!("Global key '{name}'")
    } else {
        format!("'{name}'")
    };
    let shown = match wanted.as_slice() {
        [one] if args.given("value").is_some() => format!("'{one}'"),
        many => python::repr(&many.iter().map(String::as_str).collect::<Value>()),
    };
    if now.as_ref() == Some(&wanted) {
        return Ok(Plan::unchanged(format!("{key} is already set to {shown}")));
    }
    let verb = if now.is_some() { "set to" } else { "added as" };
    let old: Value = now.map(|old| old.into_iter().collect()).unwrap_or_default();
    let new: Value = wanted.iter().map(String::as_str).collect();
    let difference = Map::from([("old", old), ("new", new)]);
    let args = args.clone();
    let changes = Changes::of(&name, difference.clone());
    let would = format!("{key} would be {verb} {shown}");
    let comment = format!("{key} was {verb} {shown}");
    Ok(Plan::change(comment, changes, move |context| {
        let failed = format!("Failed to set {key} to {shown}");
        if let Err(error) = tools::set_config(&args, context, &name, &wanted) {
            return Ok(Done::failed(format!("{failed}: {error}")));
        }
        Ok(match tools::config(&args, context.system, &name)? {
            Some(now) if now == wanted => Done::as_planned(),
            _ => Done::failed(failed),
        })
    })
    .when_testing(would)
    .test_changes(difference))
}

fn config_unset(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let global = args.is_true("global");
    if !global && args.given("repo").is_none() {
        return Ok(Plan::fail(
            "Non-global config options require the 'repo' argument to be set",
        ));
    }
    let all = args.is_true("all");
    let value = args.optional_text("value_regex");
    let start = if name.starts_with('^') { "" } else { "^" };
    let end = if name.ends_with('$') { "" } else { "$" };
    let pattern = format!("{start}{name}{end}");
    let before = tools::matching(args, check.system, &pattern, value.as_deref())?;
    if before.is_empty() {
        return Ok(Plan::unchanged("No matching keys are set"));
    }
    let several: Vec<String> = before
        .iter()
        .filter_map(|(key, values)| {
            let values = values.as_list().filter(|values| values.len() > 1)?;
            let values: Vec<String> = values.iter().map(python::str).collect();
            Some(format!("{} ({})", python::str(key), values.join(", ")))
        })
        .collect();
    if !several.is_empty() && !all {
        return Ok(Plan::fail(format!(
            "Multivar(s) matched by the key expression (set 'all' to True to force removal): {}",
            several.join(", ")
        )));
    }
    let would = format!("{} key(s) would have value(s) unset", before.len());
    let args = args.clone();
    let changes = before.clone();
    Ok(
        Plan::change("Value(s) successfully unset", changes, move |context| {
            let verb = if all { "--unset-all" } else { "--unset" };
            let mut failed = Vec::new();
            for key in before.keys() {
                // Salt names what was asked for, not what was found.
                let command = tools::unset(&args, context, verb, &name, value.as_deref());
                if command.is_err() {
                    failed.push(python::str(key));
                }
            }
            if !failed.is_empty() {
                return Ok(Done::failed(format!(
                    "Error(s) occurred unsetting values for the following keys (see the minion log for details): {}",
                    failed.join(", ")
                )));
            }
            let after = tools::matching(&args, context.system, &pattern, None)?;
            for key in before.keys() {
                // 3008.3 looks a setting up that it has just removed.
                if after.get_value(key).is_none() {
                    return Err(CallError::exception("KeyError", python::repr(key)));
                }
            }
            let left = tools::matching(&args, context.system, &pattern, value.as_deref())?;
            Ok(if left.is_empty() {
                Done::as_planned()
            } else {
                Done::failed("Failed to unset value(s)")
            })
        })
        .when_testing(would),
    )
}
