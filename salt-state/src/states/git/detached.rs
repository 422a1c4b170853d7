//! `git.detached`: a clone with one commit checked out, on no branch.

use std::path::{Path, PathBuf};

use salt_proto::Value;

use super::latest::{known, reason, revision, sentences};
use crate::args::Args;
use crate::context::Context;
use crate::functions::git::{self as tools, refs, worktrees};
use crate::plan::{Changes, Done, Plan};
use crate::registry::CallError;
use crate::states::Check;
use crate::system::{Command, Observe};

struct Wanted {
    url: String,
    shown_url: String,
    target: PathBuf,
    rev: String,
    remote: String,
    forces_checkout: bool,
    fetches: bool,
    resets: bool,
    submodules: bool,
    git: Command,
}

impl Wanted {
    fn at(&self) -> Command {
        self.git.clone().cwd(&self.target)
    }

    fn is_hash(&self) -> bool {
        self.rev.len() <= 40 && self.rev.bytes().all(|digit| digit.is_ascii_hexdigit())
    }
}

pub(super) fn detached(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let rev = args.optional_text("rev").unwrap_or_default();
    let target = PathBuf::from(args.optional_text("target").unwrap_or_default());
    if rev.is_empty() {
        return Ok(Plan::fail(format!(
            "'{rev}' is not a valid value for the 'rev' argument"
        )));
    }
    if target.as_os_str().is_empty() {
        return Ok(Plan::fail(format!(
            "'{rev}' is not a valid value for the 'target' argument"
        )));
    }
    let place = target.display().to_string();
    if !target.is_absolute() {
        return Ok(Plan::fail(format!(
            "Target '{place}' is not an absolute path"
        )));
    }
    let machine = check.system;
    if machine.is_file(&target) {
        return Ok(Plan::fail(format!(
            "Target '{place}' exists and is a regular file, cannot proceed"
        )));
    }
    let name = args.text("name")?;
    let url = match tools::with_login(
        &name,
        args.optional_text("https_user").as_deref(),
        args.optional_text("https_pass").as_deref(),
    ) {
        Ok(url) => url,
        Err(error) => return Ok(Plan::fail(error.to_string())),
    };
    let user = args.optional_text("user");
    let git = tools::git(machine, user.as_deref(), None);
    let identified = tools::with_identity(args, machine, git.clone());
    let wanted = Wanted {
        shown_url: tools::redacted(&name),
        url,
        rev,
        remote: args.text("remote")?,
        forces_checkout: args.is_true("force_checkout"),
        fetches: args.is_true("fetch_remote"),
        resets: args.is_true("hard_reset"),
        submodules: args.is_true("submodules"),
        git: identified.as_ref().cloned().unwrap_or(git),
        target,
    };
    let failure = identified.err().map(|error| error.to_string());
    if machine.exists(&wanted.target.join(".git")) {
        return existing(machine, wanted);
    }
    let mut forced = false;
    if machine.is_dir(&wanted.target) {
        let is_full = machine
            .list(&wanted.target)
            .is_ok_and(|names| !names.is_empty());
        let _top = worktrees::top(machine, &wanted.at());
        forced = is_full && args.is_true("force_clone");
        if is_full && !forced {
            return Ok(Plan::fail(format!(
                "Target '{place}' exists, is non-empty and is not a git repository. Set the 'force_clone' option to True to remove this directory's contents and proceed with cloning the remote repository"
            )));
        }
    }
    let would = if forced {
        format!(
            "Target directory {place} exists. Since force_clone=True, the contents of {place} would be deleted, and {} would be cloned into this directory.",
            wanted.shown_url
        )
    } else {
        format!("Repository {} would be cloned to {place}", wanted.shown_url)
    };
    let mut changes = Changes::none();
    if forced {
        changes = changes.with("forced clone", true);
    }
    Ok(Plan::change("", changes, move |context| {
        if let Some(failure) = failure {
            return Ok(Done::failed(failure));
        }
        clone(context, &wanted, forced)
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn clone(context: &Context<'_>, wanted: &Wanted, forced: bool) -> Result<Done, CallError> {
    let mut changes = Changes::none();
    if forced {
        for name in context.system.list(&wanted.target)? {
            context.system.remove_all(&wanted.target.join(name))?;
        }
        changes = changes.with("forced clone", true);
    }
    let mut command = wanted
        .git
        .clone()
        .cwd(Path::new("/tmp"))
        .args(["clone", "--no-checkout"]);
    if wanted.remote != "origin" {
        command = command.args(["--origin", &wanted.remote]);
    }
    match tools::done(
        context,
        &command.args(["--", &wanted.url]).arg(&wanted.target),
    ) {
        Ok(_) => {}
        Err(error @ CallError::Execution(_)) => return Ok(Done::failed(reason(&error))),
        Err(other) => return Err(other),
    }
    let mut comments = vec![format!(
        "{} cloned to {}",
        wanted.shown_url,
        wanted.target.display()
    )];
    if let Some(failure) = fetch(context, wanted, &mut comments)? {
        return Ok(failure);
    }
    let Some(commit) = resolved(context.system, wanted)? else {
        return Ok(unknown(wanted).changes(Changes::none()));
    };
    check_out(context, wanted, None, &commit, comments, changes)
}

fn unknown(wanted: &Wanted) -> Done {
    Done::failed(format!("Revision '{}' does not exist", wanted.rev))
}

/// The commit that the revision means in the clone.
fn resolved(machine: &dyn Observe, wanted: &Wanted) -> Result<Option<String>, CallError> {
    let rev = &wanted.rev;
    if wanted.is_hash() {
        tools::asked(machine, &wanted.at().args(["describe", "--always", rev]))?;
        return Ok(Some(rev.clone()));
    }
    let command = wanted.at().arg("ls-remote").arg(&wanted.target);
    let all = refs::listed(&tools::asked(machine, &command)?.stdout_text());
    let names = [
        format!("refs/remotes/{}/{rev}", wanted.remote),
        format!("refs/tags/{rev}"),
    ];
    Ok(names
        .iter()
        .find_map(|name| all.str(name.as_str()))
        .map(str::to_owned))
}

fn fetch(
    context: &Context<'_>,
    wanted: &Wanted,
    comments: &mut Vec<String>,
) -> Result<Option<Done>, CallError> {
    let remote = &wanted.remote;
    let command = wanted.at().args(["fetch", "--force", remote]).args([
        format!("refs/heads/*:refs/remotes/{remote}/*"),
        "+refs/tags/*:refs/tags/*".to_owned(),
    ]);
    match tools::done(context, &command) {
        Ok(output) => {
            if !refs::fetched(&output.stderr_text()).is_empty() {
                comments.push(format!(
                    "Remote {remote} was fetched, resulting in updated refs"
                ));
            }
            Ok(None)
        }
        Err(error @ CallError::Execution(_)) => {
            Ok(Some(Done::failed(format!("Fetch failed:\n\n{error}"))))
        }
        Err(other) => Err(other),
    }
}

fn check_out(
    context: &Context<'_>,
    wanted: &Wanted,
    before: Option<&str>,
    commit: &str,
    mut comments: Vec<String>,
    mut changes: Changes,
) -> Result<Done, CallError> {
    let submodules = ["submodule", "update", "--init", "--recursive"];
    if before == Some(commit) {
        if wanted.submodules {
            tools::done(context, &wanted.at().args(submodules))?;
            comments.push("Submodules were updated".to_owned());
        }
        comments.push("Already checked out at correct revision".to_owned());
    } else {
        let mut command = wanted.at().arg("checkout");
        if wanted.forces_checkout {
            command = command.arg("--force");
        }
        tools::done(context, &command.arg(commit))?;
        let now = known(context.system, &wanted.at(), "HEAD")?;
        changes = changes.with("HEAD", revision(before, now.as_deref()));
        comments.push(format!(
            "Commit ID {commit} was checked out at {}",
            wanted.target.display()
        ));
    }
    if wanted.submodules && before != Some(commit) {
        tools::done(context, &wanted.at().args(submodules))?;
        comments.push("Submodules were updated".to_owned());
    }
    Ok(Done::with_comment(sentences(&comments)).changes(changes))
}

fn existing(machine: &dyn Observe, wanted: Wanted) -> Result<Plan, CallError> {
    let at = wanted.at();
    let place = wanted.target.display().to_string();
    let now = known(machine, &at, "HEAD")?;
    let mut url = None;
    if !wanted.is_hash() {
        url = refs::remotes(machine, &at, false)?
            .get(wanted.remote.as_str())
            .and_then(|remote| remote.get("fetch"))
            .and_then(Value::as_str)
            .map(str::to_owned);
    }
    let moves = !wanted.is_hash() && url.as_deref() != Some(wanted.url.as_str());
    let has_commit = wanted.is_hash()
        && tools::asked(
            machine,
            &at.clone().args(["describe", "--always", &wanted.rev]),
        )
        .is_ok();
    let fetches = !has_commit && wanted.fetches;
    let (mut foreseen, mut result) = (Changes::none(), None);
    let would = if moves {
        format!(
            "Remote {} would be set to {}",
            wanted.remote, wanted.shown_url
        )
    } else if fetches {
        format!("Repository remote {} would be fetched", wanted.remote)
    } else {
        let Some(commit) = resolved(machine, &wanted)? else {
            let text = format!("Revision '{}' does not exist", wanted.rev);
            return Ok(Plan::fail(text));
        };
        let is_there = now.as_deref() == Some(commit.as_str());
        if is_there && !wanted.resets && !wanted.submodules {
            return Ok(Plan::unchanged("Already checked out at correct revision"));
        }
        if wanted.resets {
            foreseen = Changes::none();
            format!("Hard reset to HEAD would be performed on {place}")
        } else if is_there {
            result = Some(true);
            "Submodules were updated. Already checked out at correct revision.".to_owned()
        } else {
            foreseen = Changes::of("HEAD", revision(now.as_deref(), Some(&commit)));
            format!("Commit ID {commit} would be checked out at {place}")
        }
    };
    let exact = foreseen.clone();
    Ok(Plan::change("", exact, move |context| {
        let mut comments = Vec::new();
        let git = |words: &[&str]| tools::done(context, &wanted.at().args(words.iter().copied()));
        if moves {
            if url.is_some() {
                git(&["remote", "rm", &wanted.remote])?;
            }
            git(&["remote", "add", &wanted.remote, &wanted.url])?;
            comments.push(format!(
                "Remote {} updated from '{}' to '{}'",
                wanted.remote,
                tools::redacted(url.as_deref().unwrap_or("None")),
                wanted.shown_url
            ));
        }
        if fetches && let Some(failure) = fetch(context, &wanted, &mut comments)? {
            return Ok(failure);
        }
        let Some(commit) = resolved(context.system, &wanted)? else {
            return Ok(unknown(&wanted));
        };
        if wanted.resets {
            git(&["reset", "--hard", "HEAD"])?;
            comments.push("Repository was reset to HEAD before checking out revision".to_owned());
        }
        let before = now.as_deref();
        check_out(context, &wanted, before, &commit, comments, Changes::none())
    })
    .when_testing(would)
    .test_changes(foreseen)
    .test_result(result))
}
