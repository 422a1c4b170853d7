//! What is there is compared with the remote repository and taken to the revision.

use salt_proto::Value;

use super::{
    Force, Goal, Kind, Wanted, checked_out, failed, follow, known, reason, refs, revision,
    sentences, short, tools, up_to_date, upstream,
};
use crate::context::Context;
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::registry::CallError;
use crate::system::Observe;

/// How the clone is.
#[derive(Clone, Debug)]
struct Found {
    commit: Option<String>,
    branch: Option<String>,
    branches: Vec<String>,
    tags: Vec<String>,
    /// The address that the remote repository is fetched from.
    url: Option<String>,
    is_changed: bool,
    /// Where the branch is that will be checked out.
    base: Option<String>,
    has_goal: bool,
    fast_forward: Option<bool>,
    upstream: Option<String>,
}

impl Found {
    /// The branch to check out, where it is not the one that is checked out.
    fn other<'a>(&self, wanted: &'a Wanted) -> Option<&'a str> {
        let branch = wanted.branch.as_deref()?;
        (self.branch.as_deref() != Some(branch)).then_some(branch)
    }

    fn is_there(&self, branch: &str) -> bool {
        self.branches.iter().any(|known| known == branch)
    }
}

fn has_goal(
    machine: &dyn Observe,
    wanted: &Wanted,
    goal: &Goal,
    found: &Found,
) -> Result<bool, CallError> {
    let at = wanted.at();
    let base = found.base.as_deref();
    let Some(commit) = &goal.commit else {
        return Ok(true);
    };
    if matches!(goal.kind, Kind::Default | Kind::Commit) && goal.is(base) {
        return Ok(true);
    }
    if known(machine, &at, &format!("{commit}^{{commit}}"))?.is_none() {
        return Ok(false);
    }
    let name = match goal.kind {
        Kind::Branch if found.url.is_none() => return Ok(false),
        Kind::Branch => goal.name.clone(),
        Kind::Tag => format!("{}^{{commit}}", goal.name),
        Kind::Default | Kind::Commit => return Ok(true),
    };
    let here = known(machine, &at, &name)?;
    if goal.kind == Kind::Tag
        && let Some(here) = &here
        && here != commit
        && wanted.forces_reset == Force::Never
    {
        return Err(CallError::execution(format!(
            "'{}' is a tag, but the remote SHA1 for this tag ({}) doesn't match the local SHA1 ({}). Set 'force_reset' to True to force this update.",
            wanted.rev,
            goal.short(),
            short(Some(here))
        )));
    }
    Ok(here.as_deref() == Some(commit.as_str()))
}

fn is_fast_forward(
    machine: &dyn Observe,
    wanted: &Wanted,
    base: Option<&str>,
    goal: &Goal,
) -> Result<Option<bool>, CallError> {
    let (Some(base), Some(commit)) = (base, &goal.commit) else {
        return Ok(None);
    };
    let words = ["merge-base", "--is-ancestor", base, commit];
    Ok(Some(
        tool::ask(machine, &wanted.at().args(words))?.is_success(),
    ))
}

fn look(machine: &dyn Observe, wanted: &Wanted, goal: &Goal) -> Result<Found, CallError> {
    let at = wanted.at();
    let branches = refs::names(machine, &at, "refs/heads/")?;
    let tags = refs::names(machine, &at, "refs/tags/")?;
    let commit = known(machine, &at, "HEAD")?;
    let branch = checked_out(machine, &at)?;
    let remotes = refs::remotes(machine, &at, false)?;
    let url = remotes
        .get(wanted.remote.as_str())
        .and_then(|remote| remote.get("fetch"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let mut found = Found {
        base: commit.clone(),
        commit,
        branch,
        branches,
        tags,
        url,
        is_changed: false,
        has_goal: false,
        fast_forward: None,
        upstream: None,
    };
    if let Some(other) = found.other(wanted) {
        found.base = if found.is_there(other) {
            known(machine, &at, &format!("{other}^{{commit}}"))?
        } else {
            goal.commit.clone()
        };
    }
    if !wanted.is_bare() {
        if found.commit.is_some() {
            let output = tools::asked(machine, &at.clone().args(["diff", "HEAD"]))?;
            found.is_changed = !output.stdout.is_empty();
        }
        // With local changes and nothing new the answer is settled already.
        if !(found.is_changed && goal.is(found.commit.as_deref())) {
            compare(machine, wanted, goal, &mut found)?;
        }
    }
    Ok(found)
}

/// Whether the commit is here, and what the branch follows.
fn compare(
    machine: &dyn Observe,
    wanted: &Wanted,
    goal: &Goal,
    found: &mut Found,
) -> Result<(), CallError> {
    found.has_goal = has_goal(machine, wanted, goal, found)?;
    if found.has_goal && found.is_changed {
        found.fast_forward = Some(false);
    }
    Ok(())
}

/// What the branch follows that will be checked out.
fn follows(
    machine: &dyn Observe,
    wanted: &Wanted,
    found: &Found,
) -> Result<Option<String>, CallError> {
    let branch = match found.other(wanted) {
        Some(other) if found.is_there(other) => Some(other),
        _ => found.branch.as_deref(),
    };
    match branch {
        Some(branch) => upstream(machine, &wanted.at(), branch),
        None => Ok(None),
    }
}

pub(super) fn plan(machine: &dyn Observe, wanted: Wanted, goal: Goal) -> Result<Plan, CallError> {
    let mut found = look(machine, &wanted, &goal)?;
    let is_same = goal.is(found.commit.as_deref());
    if found.is_changed {
        if is_same && wanted.forces_reset != Force::Always {
            return Ok(Plan::unchanged(format!(
                "Repository {} is up-to-date, but with uncommitted changes. Set 'force_reset' to True to purge uncommitted changes.",
                wanted.place()
            )));
        }
        if !is_same && wanted.forces_reset == Force::Never {
            return Ok(Plan::fail(refusal(&wanted, &found, &goal, true)));
        }
    }
    let keeps_head = !wanted.is_bare() && !wanted.updates_head && !goal.is(found.base.as_deref());
    if keeps_head && found.has_goal {
        return Ok(Plan::unchanged(kept(&found, &goal)));
    }
    if !wanted.is_bare() && found.has_goal {
        if !found.is_changed {
            found.fast_forward = is_fast_forward(machine, &wanted, found.base.as_deref(), &goal)?;
        }
        if found.fast_forward == Some(false) && wanted.forces_reset == Force::Never {
            return Ok(Plan::fail(refusal(&wanted, &found, &goal, false)));
        }
    }
    if !(found.is_changed && is_same) {
        found.upstream = follows(machine, &wanted, &found)?;
    }
    let actions = actions(&wanted, &found, &goal, is_same || keeps_head);
    let (comment, changes, result) = if found.is_changed && is_same {
        let text = format!(
            "{} is up-to-date, but with uncommitted changes. Since 'force_reset' is set to True, these local changes would be reset. To only reset when there are changes in the remote repository, set 'force_reset' to 'remote-changes'.",
            wanted.place()
        );
        (text, Changes::of("forced update", true), None)
    } else if keeps_head {
        let mut actions = actions;
        actions.push(format!(
            "Local HEAD ({}) does not match {} but update_head=False, HEAD would not be updated locally",
            short(found.commit.as_deref()),
            goal.shown
        ));
        (sentences(&actions), Changes::none(), Some(true))
    } else if is_same || wanted.is_bare() {
        let text = up_to_date(&wanted, &actions, "that would be made");
        (text, Changes::none(), Some(true))
    } else {
        let difference = revision(found.commit.as_deref(), goal.commit.as_deref());
        let changes = Changes::of("revision", difference);
        (sentences(&actions), changes, None)
    };
    let mut exact = Changes::none();
    if found.fast_forward == Some(false) && !changes.is_empty() {
        exact = exact.with("forced update", true);
    }
    for (key, value) in changes.iter() {
        exact.insert(key.clone(), value.clone());
    }
    let plan = Plan::change("", exact, move |context| {
        let mut found = found;
        if found.is_changed && is_same {
            compare(context.system, &wanted, &goal, &mut found)?;
            found.upstream = follows(context.system, &wanted, &found)?;
        }
        carry_out(context, &wanted, &goal, &found)
    });
    Ok(plan
        .when_testing(comment)
        .test_changes(changes)
        .test_result(result))
}

/// What is said where the check-out has to stay as it is.
fn kept(found: &Found, goal: &Goal) -> String {
    let shown = match goal.kind {
        Kind::Default => format!("Remote head ({})", goal.short()),
        _ => goal.shown.clone(),
    };
    format!(
        "{shown} is already present and local HEAD ({}) does not match, but update_head=False. HEAD has not been updated locally.",
        short(found.commit.as_deref())
    )
}

/// Why nothing is done without `force_reset`.
fn refusal(wanted: &Wanted, found: &Found, goal: &Goal, is_changed: bool) -> String {
    let mut text = "Repository would be updated ".to_owned();
    match found.other(wanted) {
        Some(other) => text.push_str(&format!(
            "to {} (after checking out local branch '{other}')",
            goal.short()
        )),
        None if is_changed => text.push_str(&format!(
            "from {} to {}",
            short(found.commit.as_deref()),
            goal.short()
        )),
        None => text.push_str(&format!("to {}", goal.short())),
    }
    text.push_str(if is_changed {
        ", but there are uncommitted changes. Set 'force_reset' to True (or 'remote-changes') to force this update and discard these changes."
    } else {
        ", but this is not a fast-forward merge. Set 'force_reset' to True to force this update."
    });
    let rev = &wanted.rev;
    let (None, Some(branch)) = (&wanted.branch, &found.branch) else {
        return text;
    };
    if goal.kind == Kind::Default {
        if let Some(default) = &goal.default
            && default != branch
        {
            text.push_str(&format!(
                " The default remote branch ({default}) differs from the local branch ({branch}). This could be caused by changing the default remote branch, or if the local branch was manually changed. Rather than forcing an update, it may be advisable to set the 'branch' argument to '{default}' instead. To ensure that this state follows the '{default}' branch instead of the remote HEAD, set the 'rev' argument to '{default}'."
            ));
        }
    } else if branch != rev {
        text.push_str(&format!(
            " The desired rev ({rev}) differs from the name of the local branch ({branch}), if the desired rev is a branch name then a forced update could possibly be avoided by setting the 'branch' argument to '{rev}' instead."
        ));
    }
    text
}

/// What a dry run announces.
fn actions(wanted: &Wanted, found: &Found, goal: &Goal, stays: bool) -> Vec<String> {
    let mut actions = Vec::new();
    let remote = &wanted.remote;
    let mut tells_update = !stays;
    match &found.url {
        Some(url) if *url != wanted.fetch_url => {
            actions.push(format!(
                "Remote '{remote}' would be changed from {} to {}",
                tools::redacted(url),
                wanted.shown_url
            ));
            if !wanted.is_bare() && !found.has_goal {
                actions.push("Remote would be fetched".to_owned());
                if !stays {
                    actions.push(format!("Repository would be updated to {}", goal.short()));
                    tells_update = false;
                }
            }
        }
        None => actions.push(format!(
            "Remote '{remote}' would be set to {}",
            wanted.shown_url
        )),
        Some(_) if !wanted.is_bare() && !found.has_goal => {
            actions.push(format!("Remote '{remote}' would be fetched"));
        }
        Some(_) => {}
    }
    if wanted.is_bare() {
        actions.push(format!(
            "Bare repository at {} would be fetched",
            wanted.place()
        ));
        return actions;
    }
    let verb = match found.fast_forward {
        Some(true) => "fast-forwarded",
        Some(false) => "hard-reset",
        None => "updated",
    };
    match found.other(wanted) {
        Some(other) if found.is_there(other) => {
            let verb = if found.is_changed { "hard-reset" } else { verb };
            actions.push(format!(
                "Branch '{other}' would be checked out and {verb} to {}",
                goal.short()
            ));
        }
        Some(other) => {
            actions.push(format!(
                "New branch '{other}' would be checked out, with {} as a starting point",
                goal.shown
            ));
            if let Some(upstream) = goal.upstream() {
                actions.push(format!("Tracking branch would be set to {upstream}"));
            }
        }
        None if tells_update => actions.push(format!(
            "Repository would be {verb} from {} to {}",
            short(found.commit.as_deref()),
            goal.short()
        )),
        None => {}
    }
    if let Some((what, _)) = follow(goal, found.upstream.as_deref()) {
        actions.push(format!("Tracking branch would be {what}"));
    }
    actions
}

fn carry_out(
    context: &Context<'_>,
    wanted: &Wanted,
    goal: &Goal,
    found: &Found,
) -> Result<Done, CallError> {
    let mut done = Applied {
        context,
        wanted,
        goal,
        found,
        comments: Vec::new(),
        changes: Changes::none(),
    };
    match done.run() {
        Ok(result) => Ok(result),
        Err(error @ CallError::Execution(_)) => {
            Ok(failed(reason(&error), &done.comments, done.changes))
        }
        Err(other) => Err(other),
    }
}

/// A run in progress: what it has done so far.
struct Applied<'a> {
    context: &'a Context<'a>,
    wanted: &'a Wanted,
    goal: &'a Goal,
    found: &'a Found,
    comments: Vec<String>,
    changes: Changes,
}

impl Applied<'_> {
    fn git<I: IntoIterator<Item: Into<std::ffi::OsString>>>(
        &self,
        words: I,
    ) -> Result<crate::system::Output, CallError> {
        tools::done(self.context, &self.wanted.at().args(words))
    }

    fn run(&mut self) -> Result<Done, CallError> {
        let (wanted, goal, found) = (self.wanted, self.goal, self.found);
        let machine = self.context.system;
        let follows = follow(goal, found.upstream.as_deref());
        let other = found.other(wanted);
        self.remote()?;
        if follows.is_some() && found.branch.is_none() && other.is_none() && !wanted.is_bare() {
            return Err(CallError::execution(
                "Cannot set/unset upstream tracking branch, local HEAD refers to nonexistent branch. This may have been caused by cloning a remote repository for which the default branch was renamed or deleted. If you are unable to fix the remote repository, you can work around this by setting the 'branch' argument (which will ensure that the named branch is created if it does not already exist).",
            ));
        }
        let fetched = self.fetch()?;
        let mut fast_forward = found.fast_forward;
        if fetched && !wanted.is_bare() && goal.commit.is_some() && !found.has_goal {
            let name = format!("{}^{{commit}}", goal.commit.as_deref().unwrap_or_default());
            if let Err(error) = tools::asked(machine, &wanted.at().args(["rev-parse", &name])) {
                return match error {
                    CallError::Execution(_) => Ok(Done::failed(format!(
                        "Fetch did not successfully retrieve rev '{}' from {}: {error}",
                        wanted.rev, wanted.shown_url
                    ))),
                    other => Err(other),
                };
            }
            if wanted.updates_head {
                let base = found.base.as_deref();
                fast_forward = is_fast_forward(machine, wanted, base, goal)?;
                if fast_forward == Some(false) && wanted.forces_reset == Force::Never {
                    let text = refusal(wanted, found, goal, false);
                    return Ok(failed(text, &self.comments, Changes::none()));
                }
            }
        }
        if !wanted.is_bare() {
            if !wanted.updates_head && !goal.is(found.base.as_deref()) {
                return Ok(Done::with_comment(kept(found, goal)));
            }
            if let Some(failure) = self.check_out(other)? {
                return Ok(failure);
            }
            self.move_to(fast_forward, follows, other)?;
        }
        if wanted.submodules {
            self.git(["submodule", "update", "--init", "--recursive"])?;
        }
        let now = known(machine, &wanted.at(), "HEAD")?;
        let changes = std::mem::take(&mut self.changes);
        if now == found.commit {
            let comment = up_to_date(wanted, &self.comments, "made");
            return Ok(Done::with_comment(comment).changes(changes));
        }
        let difference = revision(found.commit.as_deref(), now.as_deref());
        let changes = changes.with("revision", difference);
        Ok(Done::with_comment(sentences(&self.comments)).changes(changes))
    }

    /// Sets where to fetch from.
    fn remote(&mut self) -> Result<(), CallError> {
        let (wanted, name) = (self.wanted, &self.wanted.remote);
        if wanted.is_bare() {
            // As Salt has it: a bare repository is fetched from where it says.
            return Ok(());
        }
        match &self.found.url {
            Some(url) if *url == wanted.fetch_url => return Ok(()),
            Some(url) => {
                self.git(["remote", "rm", name])?;
                self.comments.push(format!(
                    "Remote '{name}' changed from {} to {}",
                    tools::redacted(url),
                    wanted.shown_url
                ));
            }
            None => {
                self.changes
                    .insert("new", format!("{} => {name}", wanted.shown_url));
                self.comments
                    .push(format!("Remote '{name}' set to {}", wanted.shown_url));
            }
        }
        self.git(["remote", "add", name, &wanted.fetch_url])?;
        Ok(())
    }

    /// Fetches where there is something to fetch; whether it did.
    fn fetch(&mut self) -> Result<bool, CallError> {
        let (wanted, found) = (self.wanted, self.found);
        let mut is_due = wanted.is_bare() || !found.has_goal;
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        if self.goal.commit.is_some() && !wanted.is_bare() {
            let words = ["ls-remote", "--tags", &wanted.remote];
            let listed = match tool::ask(self.context.system, &wanted.at().args(words)) {
                Ok(output) if output.is_success() => refs::listed(&output.stdout_text()),
                _ => return self.fetch_now(&gone, new, is_due),
            };
            let there: Vec<&str> = listed
                .keys()
                .filter_map(|name| name.as_str()?.strip_prefix("refs/tags/"))
                .filter(|name| !name.ends_with("^{}"))
                .collect();
            gone = found
                .tags
                .iter()
                .filter(|tag| !there.contains(&tag.as_str()))
                .cloned()
                .collect();
            new = there
                .iter()
                .filter(|tag| !found.tags.iter().any(|known| known == *tag))
                .map(|tag| (*tag).to_owned())
                .collect();
            is_due |= !new.is_empty() || !gone.is_empty();
        }
        if !wanted.sync_tags {
            gone.clear();
        }
        self.fetch_now(&gone, new, is_due)
    }

    fn fetch_now(
        &mut self,
        gone: &[String],
        mut new: Vec<String>,
        is_due: bool,
    ) -> Result<bool, CallError> {
        let wanted = self.wanted;
        for tag in gone {
            self.git(["tag", "-d", tag])?;
        }
        if !gone.is_empty() {
            self.comments.push(format!(
                "The following tags were removed from the local checkout: {}",
                gone.join(", ")
            ));
        }
        if !is_due {
            return Ok(false);
        }
        let mut command = wanted.at().arg("fetch");
        if wanted.forces_fetch {
            command = command.arg("--force");
        }
        command = command.arg(&wanted.remote);
        if wanted.fetch_tags {
            command = command.args(&wanted.refspecs);
        }
        let output = match tools::done(self.context, &command) {
            Ok(output) => output,
            Err(error @ CallError::Execution(_)) => {
                let text = if wanted.forces_fetch {
                    "Fetch failed. Output of the fetch command follows:"
                } else {
                    "Fetch failed. Set 'force_fetch' to True to force the fetch if the failure was due to not being able to fast-forward. Output of the fetch command follows:"
                };
                let text = format!("{text}\n\n{}", reason(&error));
                return Err(CallError::execution(text));
            }
            Err(other) => return Err(other),
        };
        let is_new = !refs::fetched(&output.stderr_text()).is_empty();
        let tail = if is_new {
            ", resulting in updated refs"
        } else {
            ""
        };
        if wanted.is_bare() {
            let place = wanted.place();
            self.comments
                .push(format!("Bare repository at {place} was fetched{tail}"));
        } else if is_new {
            self.comments
                .push(format!("{} was fetched{tail}", wanted.shown_url));
        }
        if !new.is_empty() {
            new.sort();
            self.changes
                .insert("new_tags", new.into_iter().collect::<Value>());
        }
        if !gone.is_empty() {
            let gone: Value = gone.iter().map(String::as_str).collect();
            self.changes.insert("deleted_tags", gone);
        }
        Ok(true)
    }

    /// Checks another branch out; a failure where local changes forbid that.
    fn check_out(&mut self, other: Option<&str>) -> Result<Option<Done>, CallError> {
        let (wanted, goal, found) = (self.wanted, self.goal, self.found);
        let Some(other) = other else {
            return Ok(None);
        };
        if found.is_changed && !wanted.forces_checkout {
            let text = format!(
                "Local branch '{}' has uncommitted changes. Set 'force_checkout' to True to discard them and proceed.",
                found.branch.as_deref().unwrap_or("None")
            );
            return Ok(Some(failed(text, &self.comments, Changes::none())));
        }
        let mut command = wanted.at().arg("checkout");
        if found.is_changed {
            command = command.arg("--force");
        }
        if found.is_there(other) {
            tools::done(self.context, &command.arg(other))?;
            self.comments.push(format!("'{other}' was checked out"));
            return Ok(None);
        }
        let commit = goal.commit.as_deref().unwrap_or_default();
        let start = match goal.kind {
            Kind::Default | Kind::Commit => commit,
            Kind::Branch | Kind::Tag => goal.name.as_str(),
        };
        tools::done(self.context, &command.args(["-b", other, start]))?;
        self.comments.push(format!(
            "New branch '{other}' was checked out, with {} as a starting point",
            goal.shown
        ));
        Ok(None)
    }

    /// Takes the check-out to the commit, and lets it follow what it should.
    fn move_to(
        &mut self,
        fast_forward: Option<bool>,
        follows: Option<(String, Vec<String>)>,
        other: Option<&str>,
    ) -> Result<(), CallError> {
        let (goal, found) = (self.goal, self.found);
        let Some(commit) = goal.commit.as_deref() else {
            return Ok(());
        };
        let is_new = other.is_some_and(|other| !found.is_there(other));
        if found.is_changed {
            if fast_forward == Some(true) {
                self.git(["checkout", "--", "."])?;
            }
            self.comments
                .push("Uncommitted changes were discarded".to_owned());
        }
        if fast_forward == Some(false) && !is_new {
            self.git(["reset", "--hard", commit])?;
            self.changes.insert("forced update", true);
            self.comments
                .push(format!("Repository was hard-reset to {}", goal.shown));
        }
        if let Some((what, words)) = follows
            && !(is_new && goal.upstream().is_some())
        {
            self.git(words)?;
            self.comments.push(format!("Tracking branch was {what}"));
        }
        let is_reached = goal.is(found.base.as_deref());
        if is_new || fast_forward == Some(false) || is_reached {
            return Ok(());
        }
        if goal.has_no_upstream() {
            self.git(["reset", "--hard", &goal.name])?;
            self.comments.push(format!(
                "Repository was reset to {} (fast-forward)",
                goal.name
            ));
            return Ok(());
        }
        if found.branch.is_some() || other.is_some() {
            let words = ["symbolic-ref", "--quiet", "HEAD"];
            tools::asked(self.context.system, &self.wanted.at().args(words))?;
        }
        self.git(["merge", "--ff-only", commit])?;
        self.comments
            .push(format!("Repository was fast-forwarded to {}", goal.shown));
        Ok(())
    }
}
