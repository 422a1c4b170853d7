//! What is missing is cloned and taken to the revision.

use std::path::Path;

use super::{
    Goal, Kind, Wanted, checked_out, failed, follow, known, reason, refs, revision, sentences,
    tools, upstream,
};
use crate::context::Context;
use crate::plan::{Changes, Done, Plan};
use crate::registry::CallError;

pub(super) fn plan(wanted: Wanted, goal: Goal, forced: bool) -> Plan {
    let mut changes = Changes::none();
    if forced {
        changes = changes.with("forced clone", true);
    }
    changes = changes.with("new", format!("{} => {}", wanted.shown_url, wanted.place()));
    let foreseen = changes.clone();
    let would = if forced {
        format!(
            "Target directory {0} exists. Since force_clone=True, the contents of {0} would be deleted, and {1} would be cloned into this directory.",
            wanted.place(),
            wanted.shown_url
        )
    } else {
        format!(
            "Repository {} would be cloned to {}",
            wanted.shown_url,
            wanted.place()
        )
    };
    let exact = match &goal.commit {
        Some(commit) => changes
            .clone()
            .with("revision", revision(None, Some(commit.as_str()))),
        None => changes.clone(),
    };
    Plan::change("", exact, move |context| {
        make(context, &wanted, &goal, changes)
    })
    .when_testing(would)
    .test_changes(foreseen)
}

fn make(
    context: &Context<'_>,
    wanted: &Wanted,
    goal: &Goal,
    changes: Changes,
) -> Result<Done, CallError> {
    if changes.contains_key("forced clone") {
        for name in context.system.list(&wanted.target)? {
            context.system.remove_all(&wanted.target.join(name))?;
        }
    }
    let mut command = wanted.git.clone().cwd(Path::new("/tmp")).arg("clone");
    if wanted.mirror {
        command = command.arg("--mirror");
    } else if wanted.bare {
        command = command.arg("--bare");
    }
    if wanted.remote != "origin" {
        command = command.args(["--origin", &wanted.remote]);
    }
    if let Some(depth) = &wanted.depth {
        command = command.args(["--depth", depth, "--branch", &wanted.rev]);
    }
    let command = command.args(["--", &wanted.fetch_url]).arg(&wanted.target);
    if let Err(error) = tools::done(context, &command) {
        return match error {
            CallError::Execution(_) => Ok(Done::failed(format!("Clone failed: {}", strip(&error)))),
            other => Err(other),
        };
    }
    let what = match (wanted.mirror, wanted.bare) {
        (true, _) => " as mirror",
        (_, true) => " as bare repository",
        _ => "",
    };
    let mut comments = vec![format!(
        "{} cloned to {}{what}",
        wanted.shown_url,
        wanted.place()
    )];
    if !wanted.is_bare()
        && goal.commit.is_some()
        && let Err(error) = arrange(context, wanted, goal, &mut comments)
    {
        return match error {
            CallError::Execution(_) => Ok(failed(reason(&error), &comments, changes)),
            other => Err(other),
        };
    }
    let now = match goal.commit {
        Some(_) => known(context.system, &wanted.at(), "HEAD")?,
        None => None,
    };
    let changes = match now {
        Some(now) => changes.with("revision", revision(None, Some(&now))),
        None => changes,
    };
    Ok(Done::with_comment(sentences(&comments)).changes(changes))
}

/// What git said when it could not clone, without the line that says that it does.
fn strip(error: &CallError) -> String {
    let text = reason(error);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("Cloning into "))
        .collect();
    lines.join("\n")
}

/// Takes a fresh clone to the branch and revision.
fn arrange(
    context: &Context<'_>,
    wanted: &Wanted,
    goal: &Goal,
    comments: &mut Vec<String>,
) -> Result<(), CallError> {
    let (machine, at) = (context.system, wanted.at());
    let commit = goal.commit.as_deref().unwrap_or_default();
    let start = match goal.kind {
        Kind::Default | Kind::Commit => commit,
        Kind::Branch | Kind::Tag => goal.name.as_str(),
    };
    if let Some(branch) = &wanted.branch
        && !refs::names(machine, &at, "refs/heads/")?.contains(branch)
    {
        tools::done(context, &at.clone().args(["checkout", "-b", branch, start]))?;
        comments.push(format!(
            "Branch '{branch}' checked out, with {} as a starting point",
            goal.shown
        ));
    }
    let now = known(machine, &at, "HEAD")?;
    let branch = checked_out(machine, &at)?;
    if !goal.is(now.as_deref()) {
        tools::done(context, &at.clone().args(["reset", "--hard", commit]))?;
        comments.push(format!("Repository was reset to {}", goal.shown));
    }
    if let Some(branch) = branch {
        let now = upstream(machine, &at, &branch)?;
        if let Some((what, words)) = follow(goal, now.as_deref()) {
            tools::done(context, &at.clone().args(words))?;
            comments.push(format!("Tracking branch was {what}"));
        }
    }
    if wanted.submodules {
        let command = at.args(["submodule", "update", "--init", "--recursive"]);
        tools::done(context, &command)?;
    }
    Ok(())
}
