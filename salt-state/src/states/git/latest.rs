//! `git.latest`: a checkout that follows a revision of its remote repository.
//!
//! What is there and what the remote has is looked at in the check, which also knows all
//! refusals that need nothing fetched; [`Work`] carries it out.

use std::path::PathBuf;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::fnmatch;
use crate::functions::git as tools;
use crate::functions::git::remote::{Kind, Remote};
use crate::plan::{Changes, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;
use crate::system::{Command, Observe};

mod work;

use work::Work;

type Answer = Result<Plan, CallError>;

/// When what is not committed or not in the remote repository may be thrown away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    Never,
    /// Only if the remote repository has something else.
    RemoteChanges,
    Always,
}

/// What is asked for.
#[derive(Clone)]
struct Wanted {
    url: String,
    target: PathBuf,
    rev: String,
    branch: Option<String>,
    remote: String,
    bare: bool,
    mirror: bool,
    depth: Option<String>,
    update_head: bool,
    submodules: bool,
    force_checkout: bool,
    force_fetch: bool,
    reset: Reset,
    fetch_tags: bool,
    sync_tags: bool,
    refspec_branch: String,
    refspec_tag: String,
    access: tools::Access,
}

impl Wanted {
    fn new(args: &Args) -> Result<Result<Self, String>, CallError> {
        let text = |key: &str| args.optional_text(key);
        for key in ["name", "rev", "target", "remote"] {
            let value = text(key).unwrap_or_default();
            if value.is_empty() {
                return Ok(Err(format!(
                    "'{value}' is not a valid value for the '{key}' argument"
                )));
            }
        }
        let target = args.text("target")?;
        if !Check::is_absolute(&target) {
            return Ok(Err(format!("target '{target}' is not an absolute path")));
        }
        let mirror = args.is_true("mirror");
        let bare = args.is_true("bare") || mirror;
        let rev = args.text("rev")?;
        if bare && rev != "HEAD" {
            return Ok(Err(
                "'rev' is not compatible with the 'mirror' and 'bare' arguments".to_owned(),
            ));
        }
        let url = args.text("name")?;
        let access = match tools::Access::new(args, &url) {
            Ok(access) => access,
            Err(why) => return Ok(Err(why)),
        };
        let reset = match args.get("force_reset") {
            Some(Value::Str(word)) if word.eq_ignore_ascii_case("remote-changes") => {
                Reset::RemoteChanges
            }
            Some(value) if value.is_true() => Reset::Always,
            _ => Reset::Never,
        };
        Ok(Ok(Self {
            target: PathBuf::from(target),
            rev,
            branch: text("branch").filter(|branch| !branch.is_empty()),
            remote: args.text("remote")?,
            bare,
            mirror,
            depth: args.given("depth").map(python::str),
            update_head: args.is_true("update_head"),
            submodules: args.is_true("submodules"),
            force_checkout: args.is_true("force_checkout"),
            force_fetch: args.is_true("force_fetch"),
            reset,
            fetch_tags: args.is_true("fetch_tags"),
            sync_tags: args.is_true("sync_tags"),
            refspec_branch: text("refspec_branch").unwrap_or_else(|| "*".to_owned()),
            refspec_tag: text("refspec_tag").unwrap_or_else(|| "*".to_owned()),
            url,
            access,
        }))
    }

    /// git in the checkout.
    fn git(&self, machine: &dyn Observe) -> Command {
        self.access
            .apply(tools::git(machine, self.access.user(), Some(&self.target)))
    }

    /// The remote's name of what is followed, and how a message calls it.
    fn place(&self, kind: Kind) -> String {
        match kind {
            Kind::Head => "remote HEAD".to_owned(),
            Kind::Branch => format!("{}/{}", self.remote, self.rev),
            Kind::Tag | Kind::Commit => self.rev.clone(),
        }
    }

    /// Whether a tag of the remote repository is one that is fetched.
    fn follows_tag(&self, tag: &str) -> bool {
        fnmatch(tag, &self.refspec_tag)
    }

    /// Which remote branch the local one has to follow.
    fn upstream(&self, kind: Kind) -> Upstream {
        match kind {
            Kind::Head => Upstream::Any,
            Kind::Branch => Upstream::Is(self.place(kind)),
            Kind::Tag | Kind::Commit => Upstream::None,
        }
    }
}

/// Which remote branch a local one follows.
#[derive(Clone, PartialEq, Eq)]
enum Upstream {
    /// Whichever it does.
    Any,
    None,
    Is(String),
}

/// The first characters of a commit's name, as messages show it.
fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Sentences, as Salt joins them: one stands without a full stop.
fn sentences(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        many => format!("{}.", many.join(". ")),
    }
}

pub(super) fn latest(args: &Args, check: &Check<'_>) -> Answer {
    let wanted = match Wanted::new(args)? {
        Ok(wanted) => wanted,
        Err(why) => return Ok(Plan::fail(why)),
    };
    let remote = match Remote::ask(check.system, &wanted.url, &wanted.access) {
        Ok(remote) => remote,
        Err(error @ CallError::Execution(_)) => {
            return Ok(Plan::fail(format!("Failed to check remote refs: {error}")));
        }
        Err(error) => return Err(error),
    };
    let kind = match remote.find(&wanted.rev) {
        Some((kind, _)) if wanted.depth.is_some() && !matches!(kind, Kind::Branch | Kind::Tag) => {
            return Ok(Plan::fail(
                "When 'depth' is used, 'rev' must be set to the name of a branch or tag on the remote repository",
            ));
        }
        Some((kind, _)) => kind,
        None => {
            return Ok(Plan::fail(format!(
                "No revision matching '{}' exists in the remote repository",
                wanted.rev
            )));
        }
    };
    let target = &wanted.target;
    let is_there = if wanted.bare {
        check.system.is_file(&target.join("HEAD")) && check.system.is_dir(&target.join("objects"))
    } else {
        check.system.exists(&target.join(".git"))
    };
    if !is_there {
        return clone(wanted, remote, kind, args.is_true("force_clone"), check);
    }
    if wanted.bare {
        return Ok(fetch_bare(wanted));
    }
    match update(wanted, remote, kind, check) {
        Err(error @ CallError::Execution(_)) => Ok(Plan::fail(error.to_string())),
        other => other,
    }
}

fn clone(wanted: Wanted, remote: Remote, kind: Kind, force: bool, check: &Check<'_>) -> Answer {
    let target = wanted.target.display().to_string();
    let url = wanted.url.clone();
    let mut changes = Changes::none();
    let mut would = format!("Repository {url} would be cloned to {target}");
    if check.system.is_dir(&wanted.target) {
        if !check.system.list(&wanted.target)?.is_empty() {
            if !force {
                return Ok(Plan::fail(format!(
                    "Target '{target}' exists, is non-empty and is not a git repository. Set the 'force_clone' option to True to remove this directory's contents and proceed with cloning the remote repository"
                )));
            }
            changes.insert("forced clone", true);
            would = format!(
                "Target directory {target} exists. Since force_clone=True, the contents of {target} would be deleted, and {url} would be cloned into this directory."
            );
        }
    } else if check.system.exists(&wanted.target) {
        return Ok(Plan::fail(format!(
            "Target '{target}' exists and is a regular file, cannot proceed"
        )));
    }
    changes.insert("new", format!("{url} => {target}"));
    let shown = changes.clone();
    let commit = remote.find(&wanted.rev).map(|(_, commit)| commit);
    if let Some(commit) = commit
        && commit.len() == 40
    {
        changes = changes.old_new("revision", Value::Null, commit);
    }
    let work = Work::new(wanted, remote, kind);
    Ok(
        Plan::change("", changes, move |context| work.clone_anew(context))
            .when_testing(would)
            .test_changes(shown),
    )
}

fn fetch_bare(wanted: Wanted) -> Plan {
    let target = wanted.target.display();
    let would = format!(
        "Repository {target} is up-to-date\n\nChanges that would be made: Bare repository at {target} would be fetched"
    );
    let work = Work::new(wanted, Remote::default(), Kind::Head);
    // Whether anything comes is not known before.
    Plan::change("", Changes::none(), move |context| work.fetch_bare(context))
        .when_testing(would)
        .test_result(Some(true))
}

/// What is in a checkout.
struct Local {
    /// The commit that is checked out; `None` in a repository without any.
    head: Option<String>,
    /// The branch that is checked out, unless a commit is by itself.
    branch: Option<String>,
    /// The remote branch that it follows.
    upstream: Option<String>,
    tags: Map,
    /// Where the remote branch that is wanted was when it was last fetched, if it is one.
    remote_branch: Option<String>,
    /// Where the remote repository is, if it has one of that name.
    url: Option<String>,
    is_dirty: bool,
}

impl Local {
    fn look(wanted: &Wanted, machine: &dyn Observe) -> Result<Self, CallError> {
        let git = wanted.git(machine);
        let ask = |words: &[&str]| answer(machine, git.clone().args(words.iter().copied()));
        let head = commit_at(wanted, machine, "HEAD")?;
        let branch = ask(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        let upstream = match (&head, &branch) {
            (Some(_), Some(branch)) => Self::upstream_of(wanted, machine, branch)?,
            _ => None,
        };
        let mut tags = Map::new();
        for line in ask(&["show-ref", "--tags", "--dereference"])?
            .unwrap_or_default()
            .lines()
        {
            if let Some((commit, name)) = line.split_once(' ')
                && let Some(name) = name.strip_prefix("refs/tags/")
            {
                tags.insert(name.trim_end_matches("^{}"), commit);
            }
        }
        let name = format!("refs/remotes/{}/{}", wanted.remote, wanted.rev);
        let remote_branch = commit_at(wanted, machine, &name)?;
        let url = ask(&["remote", "--verbose"])?
            .unwrap_or_default()
            .lines()
            .find_map(|line| {
                let rest = line.strip_prefix(&wanted.remote)?.strip_prefix('\t')?;
                rest.strip_suffix(" (fetch)").map(str::to_owned)
            });
        let is_dirty = match &head {
            Some(_) => !ask(&["diff", "HEAD"])?.unwrap_or_default().is_empty(),
            None => false,
        };
        Ok(Self {
            head,
            branch,
            upstream,
            tags,
            remote_branch,
            url,
            is_dirty,
        })
    }

    /// The remote branch that a branch follows.
    fn upstream_of(
        wanted: &Wanted,
        machine: &dyn Observe,
        branch: &str,
    ) -> Result<Option<String>, CallError> {
        let name = format!("{branch}@{{upstream}}");
        let words = ["rev-parse", "--abbrev-ref", name.as_str()];
        answer(machine, wanted.git(machine).args(words))
    }

    fn branch_commit(
        wanted: &Wanted,
        machine: &dyn Observe,
        branch: &str,
    ) -> Result<Option<String>, CallError> {
        commit_at(wanted, machine, &format!("refs/heads/{branch}"))
    }
}

/// What a command of git prints, if it succeeds.
fn answer(machine: &dyn Observe, command: Command) -> Result<Option<String>, CallError> {
    let output = tools::tried(machine, &command)?;
    Ok(output
        .is_success()
        .then(|| output.stdout_text().trim_end().to_owned()))
}

/// The commit that a name stands for in the checkout, if it stands for one.
fn commit_at(
    wanted: &Wanted,
    machine: &dyn Observe,
    name: &str,
) -> Result<Option<String>, CallError> {
    let words = ["rev-parse", "--verify", "--quiet", name];
    answer(machine, wanted.git(machine).args(words))
}

/// The whole name of a commit, if the checkout has it.
fn known(
    wanted: &Wanted,
    machine: &dyn Observe,
    commit: &str,
) -> Result<Option<String>, CallError> {
    commit_at(wanted, machine, &format!("{commit}^{{commit}}"))
}

/// Whether a branch at `from` comes to `to` without losing anything.
fn is_forward(
    wanted: &Wanted,
    machine: &dyn Observe,
    from: Option<&str>,
    to: &str,
) -> Result<bool, CallError> {
    let Some(from) = from else {
        return Ok(true);
    };
    let command = wanted
        .git(machine)
        .args(["merge-base", "--is-ancestor", from, to]);
    Ok(tools::tried(machine, &command)?.is_success())
}

/// Why a branch is not moved: that would not only go forward.
fn not_forward(
    wanted: &Wanted,
    remote: &Remote,
    kind: Kind,
    local: Option<&str>,
    commit: &str,
) -> String {
    let after = match &wanted.branch {
        Some(branch) if Some(branch.as_str()) != local => {
            format!(" (after checking out local branch '{branch}')")
        }
        _ => String::new(),
    };
    format!(
        "Repository would be updated to {}{after}, but this is not a fast-forward merge. Set 'force_reset' to True to force this update.{}",
        short(commit),
        advice(wanted, remote, kind, local)
    )
}

/// What to do rather than to force an update.
fn advice(wanted: &Wanted, remote: &Remote, kind: Kind, local: Option<&str>) -> String {
    let local = local.unwrap_or("HEAD");
    if wanted.branch.is_some() {
        return String::new();
    }
    if kind != Kind::Head {
        let rev = &wanted.rev;
        if rev == local {
            return String::new();
        }
        return format!(
            " The desired rev ({rev}) differs from the name of the local branch ({local}), if the desired rev is a branch name then a forced update could possibly be avoided by setting the 'branch' argument to '{rev}' instead."
        );
    }
    match remote.default_branch() {
        Some(default) if default != local => format!(
            " The default remote branch ({default}) differs from the local branch ({local}). This could be caused by changing the default remote branch, or if the local branch was manually changed. Rather than forcing an update, it may be advisable to set the 'branch' argument to '{default}' instead. To ensure that this state follows the '{default}' branch instead of the remote HEAD, set the 'rev' argument to '{default}'."
        ),
        _ => String::new(),
    }
}

fn update(wanted: Wanted, remote: Remote, kind: Kind, check: &Check<'_>) -> Answer {
    let machine = check.system;
    let mut local = Local::look(&wanted, machine)?;
    let target = wanted.target.display().to_string();
    let named = remote
        .find(&wanted.rev)
        .map(|(_, commit)| commit.to_owned())
        .unwrap_or_default();
    if named.is_empty() && local.head.is_none() {
        // Neither has any commit.
        return Ok(Plan::unchanged(format!(
            "Repository {target} is up-to-date"
        )));
    }
    let mut there = known(&wanted, machine, &named)?;
    let commit = there.clone().unwrap_or_else(|| named.clone());
    if kind == Kind::Commit && there.is_none() && named.len() != 40 {
        return Ok(Plan::fail(format!(
            "No revision matching '{}' exists in the remote repository",
            wanted.rev
        )));
    }
    if kind == Kind::Tag
        && let Some(Value::Str(old)) = local.tags.get(&wanted.rev)
        && **old != *commit
    {
        if wanted.reset != Reset::Never {
            // The tag itself has to come.
            there = None;
        } else {
            return Ok(Plan::fail(format!(
                "'{}' is a tag, but the remote SHA1 for this tag ({}) doesn't match the local SHA1 ({}). Set 'force_reset' to True to force this update.",
                wanted.rev,
                short(&commit),
                short(old)
            )));
        }
    }
    let other = wanted
        .branch
        .clone()
        .filter(|branch| local.branch.as_ref() != Some(branch));
    let base = match &other {
        Some(branch) => Local::branch_commit(&wanted, machine, branch)?,
        None => local.head.clone(),
    };
    let is_new = other.is_some() && base.is_none();
    if let Some(branch) = &other
        && !is_new
    {
        local.upstream = Local::upstream_of(&wanted, machine, branch)?;
    }
    let forward = match &there {
        Some(_) => Some(is_forward(&wanted, machine, base.as_deref(), &commit)?),
        None => None,
    };
    let matches = local.head.as_deref() == Some(commit.as_str());
    let head_text = local.head.as_deref().map(short).unwrap_or("None");

    if wanted.update_head && local.is_dirty {
        if matches && wanted.reset != Reset::Always {
            return Ok(Plan::unchanged(format!(
                "Repository {target} is up-to-date, but with uncommitted changes. Set 'force_reset' to True to purge uncommitted changes."
            )));
        }
        if !matches && wanted.reset == Reset::Never {
            return Ok(Plan::fail(format!(
                "Repository would be updated from {head_text} to {}, but there are uncommitted changes. Set 'force_reset' to True (or 'remote-changes') to force this update and discard these changes.{}",
                short(&commit),
                advice(&wanted, &remote, kind, local.branch.as_deref())
            )));
        }
    }
    if wanted.update_head
        && forward == Some(false)
        && wanted.reset == Reset::Never
        && base.as_deref() != Some(commit.as_str())
    {
        let now = local.branch.as_deref();
        return Ok(Plan::fail(not_forward(
            &wanted, &remote, kind, now, &commit,
        )));
    }

    let mut would = Vec::new();
    let url = wanted.access.shown(&wanted.url);
    match &local.url {
        Some(url_now) if *url_now != wanted.access.url(&wanted.url) => would.push(format!(
            "Remote '{}' would be changed from {url_now} to {url}",
            wanted.remote
        )),
        Some(_) => {}
        None => would.push(format!("Remote '{}' would be set to {url}", wanted.remote)),
    }
    let lacks_tag = kind == Kind::Tag && !local.tags.contains_key(&wanted.rev);
    if there.is_none() || lacks_tag {
        would.push(format!("Remote '{}' would be fetched", wanted.remote));
    }
    let mut changes = Changes::none();
    if !wanted.update_head {
        if !matches {
            would.push(format!(
                "Local HEAD ({head_text}) does not match remote HEAD ({}) but update_head=False, HEAD would not be updated locally",
                short(&commit)
            ));
        }
    } else {
        let to = short(&commit);
        let moves = base.as_deref() != Some(commit.as_str());
        if let Some(branch) = &other {
            let how = match forward {
                _ if !moves => "",
                None => " and updated",
                Some(true) => " and fast-forwarded",
                Some(false) => " and hard-reset",
            };
            let how = if how.is_empty() {
                String::new()
            } else {
                format!("{how} to {to}")
            };
            would.push(if is_new {
                format!(
                    "New branch '{branch}' would be checked out, with {} ({to}) as a starting point",
                    wanted.place(kind)
                )
            } else {
                format!("Branch '{branch}' would be checked out{how}")
            });
            if is_new && let Upstream::Is(upstream) = wanted.upstream(kind) {
                would.push(format!("Tracking branch would be set to {upstream}"));
            }
        }
        if !matches {
            let old: Value = local.head.as_deref().map(Value::from).unwrap_or_default();
            changes = changes.old_new("revision", old, commit.as_str());
            if other.is_none() && moves {
                let from = base.as_deref().map(short).unwrap_or("None");
                would.push(match forward {
                    None => format!("Repository would be updated from {from} to {to}"),
                    Some(true) => {
                        format!("Repository would be fast-forwarded from {from} to {to}")
                    }
                    Some(false) => format!("Repository would be hard-reset from {from} to {to}"),
                });
            }
        }
        match (wanted.upstream(kind), &local.upstream) {
            (Upstream::Is(upstream), Some(now)) if upstream != *now => {
                would.push(format!("Tracking branch would be updated to {upstream}"));
            }
            (Upstream::Is(upstream), None) => {
                would.push(format!("Tracking branch would be set to {upstream}"));
            }
            (Upstream::None, Some(_)) => would.push("Tracking branch would be unset".to_owned()),
            _ => {}
        }
    }
    let discards = local.is_dirty && wanted.reset == Reset::Always && wanted.update_head;
    let up_to_date = format!("Repository {target} is up-to-date");
    let (result, text) = if !wanted.update_head && !matches {
        (Some(true), sentences(&would))
    } else if discards && matches {
        changes.insert("forced update", true);
        (
            None,
            format!(
                "{target} is up-to-date, but with uncommitted changes. Since 'force_reset' is set to True, these local changes would be reset. To only reset when there are changes in the remote repository, set 'force_reset' to 'remote-changes'."
            ),
        )
    } else if matches && would.is_empty() {
        (Some(true), up_to_date.clone())
    } else if matches {
        let would = sentences(&would);
        (
            Some(true),
            format!("{up_to_date}\n\nChanges that would be made: {would}"),
        )
    } else {
        (None, sentences(&would))
    };
    let lacks_tags = remote
        .tags()
        .any(|tag| !local.tags.contains_key(tag) && wanted.follows_tag(tag));
    let stale = local
        .tags
        .keys()
        .filter_map(Value::as_str)
        .any(|tag| !remote.tags().any(|known| known == tag));
    let lacks_branch = kind == Kind::Branch && local.remote_branch.as_ref() != Some(&commit);
    let has_work = !matches
        || !would.is_empty()
        || discards
        || lacks_branch
        || lacks_tags
        || wanted.sync_tags && stale
        || wanted.submodules;
    if !has_work {
        return Ok(Plan::unchanged(up_to_date));
    }
    let mut exact = changes.clone();
    if !matches && wanted.update_head && (forward == Some(false)) {
        exact.insert("forced update", true);
    }
    let work = Work::new(wanted, remote, kind);
    Ok(Plan::change("", exact, move |context| work.update(context))
        .when_testing(text)
        .test_result(result)
        .test_changes(changes))
}
