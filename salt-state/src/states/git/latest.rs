//! `git.latest`: a clone that follows a branch, a tag or the default of a remote
//! repository.
//!
//! What is asked comes first ([`Wanted`], [`Goal`], [`Found`]); `clone` makes what is
//! missing and `update` changes what is there.

use std::path::PathBuf;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::git::{self as tools, refs, worktrees};
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::registry::CallError;
use crate::states::Check;
use crate::system::{Command, Observe};

mod clone;
mod update;

type Answer = Result<Plan, CallError>;

/// When local changes may be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Never,
    Always,
    RemoteChanges,
}

/// What the state asks for.
#[derive(Clone, Debug)]
struct Wanted {
    shown_url: String,
    fetch_url: String,
    target: PathBuf,
    rev: String,
    branch: Option<String>,
    updates_head: bool,
    forces_checkout: bool,
    forces_fetch: bool,
    forces_reset: Force,
    submodules: bool,
    bare: bool,
    mirror: bool,
    remote: String,
    fetch_tags: bool,
    sync_tags: bool,
    depth: Option<String>,
    refspecs: [String; 2],
    /// git, as the user and with the key that are stated, anywhere.
    git: Command,
}

impl Wanted {
    fn at(&self) -> Command {
        self.git.clone().cwd(&self.target)
    }

    fn place(&self) -> std::path::Display<'_> {
        self.target.display()
    }

    fn is_bare(&self) -> bool {
        self.bare || self.mirror
    }
}

/// What kind of thing a revision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Default,
    Branch,
    Tag,
    Commit,
}

/// Where the remote repository says the revision is.
#[derive(Clone, Debug)]
struct Goal {
    /// `None` for an empty repository.
    commit: Option<String>,
    kind: Kind,
    /// How comments call it.
    shown: String,
    /// Its name in the clone.
    name: String,
    /// The first branch that is where the remote repository's HEAD is.
    default: Option<String>,
}

impl Goal {
    fn short(&self) -> &str {
        short(self.commit.as_deref())
    }

    fn is(&self, commit: Option<&str>) -> bool {
        match (&self.commit, commit) {
            (None, None) => true,
            (Some(goal), Some(commit)) => commit.starts_with(goal.as_str()),
            _ => false,
        }
    }

    /// The branch that the local one follows, if the goal decides that.
    fn upstream(&self) -> Option<&str> {
        (self.kind == Kind::Branch).then_some(self.name.as_str())
    }

    /// Whether following another branch has to end.
    fn has_no_upstream(&self) -> bool {
        matches!(self.kind, Kind::Tag | Kind::Commit)
    }
}

fn short(commit: Option<&str>) -> &str {
    let commit = commit.unwrap_or("None");
    commit.get(..7).unwrap_or(commit)
}

/// Several sentences in one line, as Salt writes them.
pub(super) fn sentences(texts: &[String]) -> String {
    match texts {
        [one] => one.clone(),
        many => many.join(". ") + if many.is_empty() { "" } else { "." },
    }
}

fn up_to_date(wanted: &Wanted, actions: &[String], verb: &str) -> String {
    let mut text = format!("Repository {} is up-to-date", wanted.place());
    if !actions.is_empty() {
        text.push_str(&format!("\n\nChanges {verb}: {}", sentences(actions)));
    }
    text
}

/// What git said without what Salt puts before it.
pub(super) fn reason(error: &CallError) -> String {
    let text = error.to_string();
    match text.split_once("' failed: ") {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

/// A failure after something was done.
fn failed(text: impl Into<String>, already: &[String], changes: Changes) -> Done {
    let mut text = text.into();
    if !already.is_empty() {
        text.push_str(&format!("\n\nChanges already made: {}", sentences(already)));
    }
    Done::failed(text).changes(changes)
}

pub(super) fn revision(old: Option<&str>, new: Option<&str>) -> Map {
    Map::from([("old", Value::from(old)), ("new", new.into())])
}

pub(super) fn latest(args: &Args, check: &Check<'_>) -> Answer {
    let wanted = match wanted(args, check) {
        Ok(wanted) => wanted,
        Err(CallError::Execution(text) | CallError::Invocation(text)) => {
            return Ok(Plan::fail(text));
        }
        Err(other) => return Err(other),
    };
    let machine = check.system;
    let goal = match goal(machine, &wanted) {
        Ok(goal) => goal,
        Err(CallError::Execution(text)) => return Ok(Plan::fail(text)),
        Err(other) => return Err(other),
    };
    let mark = if wanted.is_bare() { "HEAD" } else { ".git" };
    let is_there = match wanted.is_bare() {
        true => machine.is_file(&wanted.target.join(mark)),
        false => machine.exists(&wanted.target.join(mark)),
    };
    if is_there {
        return match update::plan(machine, wanted, goal) {
            Err(error @ CallError::Execution(_)) => Ok(Plan::fail(reason(&error))),
            other => other,
        };
    }
    let mut forced = false;
    if machine.is_dir(&wanted.target) {
        // A directory that is no repository; git is asked because Salt asks it too.
        let is_full = machine
            .list(&wanted.target)
            .is_ok_and(|names| !names.is_empty());
        let _top = worktrees::top(machine, &wanted.at());
        if is_full && !args.is_true("force_clone") {
            return Ok(Plan::fail(format!(
                "Target '{}' exists, is non-empty and is not a git repository. Set the 'force_clone' option to True to remove this directory's contents and proceed with cloning the remote repository",
                wanted.place()
            )));
        }
        forced = is_full;
    }
    Ok(clone::plan(wanted, goal, forced))
}

fn wanted(args: &Args, check: &Check<'_>) -> Result<Wanted, CallError> {
    let refused = |text: String| Err(CallError::Execution(text));
    let rev = args
        .optional_text("rev")
        .unwrap_or_else(|| "None".to_owned());
    if rev.is_empty() || rev == "None" {
        return refused(format!(
            "'{rev}' is not a valid value for the 'rev' argument"
        ));
    }
    let target = args.optional_text("target").unwrap_or_default();
    if target.is_empty() {
        return refused("'target' argument is required".to_owned());
    }
    let target = PathBuf::from(target);
    if !target.is_absolute() {
        return refused(format!(
            "target '{}' is not an absolute path",
            target.display()
        ));
    }
    let forces_reset = match args.get("force_reset") {
        Some(Value::Str(text)) if text == "remote-changes" => Force::RemoteChanges,
        Some(Value::Bool(true)) => Force::Always,
        Some(Value::Bool(false) | Value::Null) | None => Force::Never,
        Some(_) => {
            return refused(
                "'force_reset' must be one of True, False, or 'remote-changes'".to_owned(),
            );
        }
    };
    let files = match args.given("identity") {
        Some(Value::List(files)) => files.iter().map(crate::python::str).collect(),
        Some(file) => vec![crate::python::str(file)],
        None => Vec::new(),
    };
    if let Some(file) = files.iter().find(|file| !Check::is_absolute(file)) {
        return refused(format!("identity '{file}' is not an absolute path"));
    }
    if check
        .system
        .metadata(&target)
        .is_ok_and(|found| found.is_some_and(|found| found.kind == crate::system::FileKind::File))
    {
        return refused(format!(
            "Target '{}' exists and is a regular file, cannot proceed",
            target.display()
        ));
    }
    let url = args.text("name")?;
    let fetch_url = tools::with_login(
        &url,
        args.optional_text("https_user").as_deref(),
        args.optional_text("https_pass").as_deref(),
    )?;
    let (bare, mirror) = (args.is_true("bare"), args.is_true("mirror"));
    if (bare || mirror) && rev != "HEAD" {
        return refused(
            "'rev' is not compatible with the 'mirror' and 'bare' arguments".to_owned(),
        );
    }
    let user = args.optional_text("user");
    let git = tools::git(check.system, user.as_deref(), None);
    let git = match tools::with_identity(args, check.system, git) {
        Ok(git) => git,
        Err(error) => return refused(format!("Failed to check remote refs: {error}")),
    };
    let text = |name: &str, default: &str| {
        args.optional_text(name)
            .unwrap_or_else(|| default.to_owned())
    };
    let (branches, tags) = (text("refspec_branch", "*"), text("refspec_tag", "*"));
    let remote = text("remote", "origin");
    Ok(Wanted {
        shown_url: tools::redacted(&url),
        fetch_url,
        target,
        branch: args.optional_text("branch"),
        updates_head: args.is_true("update_head"),
        forces_checkout: args.is_true("force_checkout"),
        forces_fetch: args.is_true("force_fetch"),
        forces_reset,
        submodules: args.is_true("submodules"),
        bare,
        mirror,
        fetch_tags: args.is_true("fetch_tags"),
        sync_tags: args.is_true("sync_tags"),
        depth: args.optional_text("depth"),
        refspecs: [
            format!("refs/heads/{branches}:refs/remotes/{remote}/{branches}"),
            format!("+refs/tags/{tags}:refs/tags/{tags}"),
        ],
        remote,
        rev,
        git,
    })
}

/// Asks the remote repository.
fn goal(machine: &dyn Observe, wanted: &Wanted) -> Result<Goal, CallError> {
    let command = wanted.git.clone().args(["ls-remote", &wanted.fetch_url]);
    let output = match tools::asked(machine, &command) {
        Ok(output) => output.stdout_text(),
        Err(error @ CallError::Execution(_)) => {
            return Err(CallError::execution(format!(
                "Failed to check remote refs: {}",
                reason(&error)
            )));
        }
        Err(other) => return Err(other),
    };
    let all = refs::listed(&output);
    let commit = |name: String| all.str(name.as_str()).map(str::to_owned);
    let rev = &wanted.rev;
    let local = format!("{}/{rev}", wanted.remote);
    let (commit, kind, name) = if rev == "HEAD" {
        (commit("HEAD".to_owned()), Kind::Default, String::new())
    } else if let Some(found) = commit(format!("refs/heads/{rev}")) {
        (Some(found), Kind::Branch, local)
    } else if let Some(found) =
        commit(format!("refs/tags/{rev}^{{}}")).or_else(|| commit(format!("refs/tags/{rev}")))
    {
        (Some(found), Kind::Tag, rev.clone())
    } else if rev.len() <= 40 && rev.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        (Some(rev.to_lowercase()), Kind::Commit, rev.to_lowercase())
    } else {
        return Err(CallError::execution(format!(
            "No revision matching '{rev}' exists in the remote repository"
        )));
    };
    if wanted.depth.is_some() && !matches!(kind, Kind::Branch | Kind::Tag) {
        return Err(CallError::execution(
            "When 'depth' is used, 'rev' must be set to the name of a branch or tag on the remote repository",
        ));
    }
    let short = short(commit.as_deref()).to_owned();
    let shown = match kind {
        Kind::Default => format!("remote HEAD ({short})"),
        Kind::Commit => short,
        Kind::Branch | Kind::Tag => format!("{name} ({short})"),
    };
    let head = all.str("HEAD");
    let default = all.iter().find_map(|(name, commit)| {
        let branch = name.as_str()?.strip_prefix("refs/heads/")?;
        (head.is_some() && commit.as_str() == head).then(|| branch.to_owned())
    });
    Ok(Goal {
        commit,
        kind,
        shown,
        name,
        default,
    })
}

/// The commit that a name means here; `None` when git does not know it.
pub(super) fn known(
    machine: &dyn Observe,
    at: &Command,
    name: &str,
) -> Result<Option<String>, CallError> {
    let output = tool::ask(machine, &at.clone().args(["rev-parse", name]))?;
    Ok(output
        .is_success()
        .then(|| output.stdout_text().trim().to_owned()))
}

/// The branch that a local branch follows.
fn upstream(
    machine: &dyn Observe,
    at: &Command,
    branch: &str,
) -> Result<Option<String>, CallError> {
    let name = format!("{branch}@{{upstream}}");
    let command = at.clone().args(["rev-parse", "--abbrev-ref", &name]);
    let output = tool::ask(machine, &command)?;
    let name = output.stdout_text().trim().to_owned();
    Ok((output.is_success() && !name.is_empty()).then_some(name))
}

/// The branch that is checked out; `HEAD` when it is none, `None` before the first commit.
fn checked_out(machine: &dyn Observe, at: &Command) -> Result<Option<String>, CallError> {
    let command = at.clone().args(["rev-parse", "--abbrev-ref", "HEAD"]);
    let output = tool::ask(machine, &command)?;
    Ok(output
        .is_success()
        .then(|| output.stdout_text().trim().to_owned()))
}

/// What the check-out follows has to change: a sentence about it and how.
fn follow(goal: &Goal, now: Option<&str>) -> Option<(String, Vec<String>)> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match (goal.upstream(), now) {
        (Some(wanted), Some(now)) if wanted == now => None,
        (Some(wanted), now) => {
            let verb = if now.is_some() { "updated" } else { "set" };
            Some((
                format!("{verb} to {wanted}"),
                words(&["branch", "--set-upstream-to", wanted]),
            ))
        }
        (None, Some(_)) if goal.has_no_upstream() => {
            Some(("unset".to_owned(), words(&["branch", "--unset-upstream"])))
        }
        (None, _) => None,
    }
}
