//! Bringing a checkout to what is wanted of it.

use salt_proto::{Map, Value};

use crate::context::Context;
use crate::functions::git as tools;
use crate::functions::git::remote::{Kind, Remote};
use crate::functions::tool;
use crate::plan::{Changes, Done};
use crate::registry::CallError;

use super::{Local, Reset, Upstream, Wanted, is_forward, known, not_forward, sentences, short};

type Ended = Result<Done, CallError>;

/// What has to be done, and what has been.
pub(super) struct Work {
    wanted: Wanted,
    remote: Remote,
    kind: Kind,
    comments: Vec<String>,
    changes: Changes,
}

/// Why it does not go on.
enum Stop {
    /// The state fails and says so.
    Fail(String),
    Error(CallError),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Execution(text) => Self::Fail(text),
            other => Self::Error(other),
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Error(error.into())
    }
}

impl Work {
    pub(super) fn new(wanted: Wanted, remote: Remote, kind: Kind) -> Self {
        Self {
            wanted,
            remote,
            kind,
            comments: Vec::new(),
            changes: Changes::none(),
        }
    }

    fn end(mut self, done: Result<String, Stop>) -> Ended {
        match done {
            Ok(comment) => Ok(Done::with_comment(comment).changes(self.changes)),
            Err(Stop::Fail(mut why)) => {
                why = self.wanted.access.hide(&why);
                if !self.comments.is_empty() {
                    let made = sentences(&std::mem::take(&mut self.comments));
                    why.push_str(&format!("\n\nChanges already made: {made}"));
                }
                Ok(Done::failed(why).changes(self.changes))
            }
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// Runs git in the checkout.
    fn git(&self, context: &Context<'_>, words: &[&str]) -> Result<(), Stop> {
        let command = self.wanted.git(context.system).args(words.iter().copied());
        tools::done(context, &command)?;
        Ok(())
    }

    fn head(&self, context: &Context<'_>) -> Result<Option<String>, Stop> {
        Ok(known(&self.wanted, context.system, "HEAD")?)
    }

    fn submodules(&self, context: &Context<'_>) -> Result<(), Stop> {
        if self.wanted.submodules {
            self.git(context, &["submodule", "update", "--init", "--recursive"])?;
        }
        Ok(())
    }

    /// What the changes say when another commit is checked out.
    fn note_revision(&mut self, old: Option<&str>, new: Option<&str>) {
        if let Some(new) = new
            && old != Some(new)
        {
            let old = old.map(Value::from).unwrap_or_default();
            let both = Map::from([("old", old), ("new", new.into())]);
            self.changes.insert("revision", both);
        }
    }

    pub(super) fn clone_anew(mut self, context: &Context<'_>) -> Ended {
        let done = self.cloned(context);
        self.end(done)
    }

    fn cloned(&mut self, context: &Context<'_>) -> Result<String, Stop> {
        let wanted = self.wanted.clone();
        let target = wanted.target.display().to_string();
        let url = wanted.access.shown(&wanted.url);
        if context.system.is_dir(&wanted.target) {
            for entry in context.system.list(&wanted.target)? {
                context.system.remove_all(&wanted.target.join(entry))?;
                self.changes.insert("forced clone", true);
            }
        }
        let mut options: Vec<&str> = Vec::new();
        if wanted.mirror {
            options.push("--mirror");
        } else if wanted.bare {
            options.push("--bare");
        }
        if let Some(depth) = &wanted.depth {
            options.extend(["--depth", depth, "--branch", &wanted.rev]);
        }
        if wanted.remote != "origin" {
            options.extend(["--origin", &wanted.remote]);
        }
        let access = &wanted.access;
        let command = tools::git(context.system, access.user(), Some(tools::elsewhere()))
            .arg("clone")
            .args(options)
            .args(["--", access.url(&wanted.url).as_str(), target.as_str()]);
        let output = tool::run(context, &access.apply(command))?;
        if !output.is_success() {
            return Err(Stop::Fail(format!("Clone failed: {}", tool::said(&output))));
        }
        self.changes.insert("new", format!("{url} => {target}"));
        let how = match (wanted.mirror, wanted.bare) {
            (true, _) => " as mirror",
            (_, true) => " as bare repository",
            _ => "",
        };
        self.comments.push(format!("{url} cloned to {target}{how}"));
        let mut head = self.head(context)?;
        if !wanted.bare && head.is_some() {
            self.settle_clone(context)?;
            head = self.head(context)?;
        }
        self.submodules(context)?;
        self.note_revision(None, head.as_deref());
        Ok(sentences(&std::mem::take(&mut self.comments)))
    }

    /// Brings a fresh clone to its revision.
    fn settle_clone(&mut self, context: &Context<'_>) -> Result<(), Stop> {
        let local = Local::look(&self.wanted, context.system)?;
        let commit = self.commit(context)?;
        let other = self.wanted.branch.clone();
        match other.filter(|branch| local.branch.as_ref() != Some(branch)) {
            Some(branch) => {
                let place = self.checkout_new(context, &branch, &commit)?;
                self.comments.push(format!(
                    "Branch '{branch}' checked out, with {place} as a starting point"
                ));
                Ok(())
            }
            None => {
                if local.head.as_deref() != Some(commit.as_str()) {
                    let place = self.wanted.place(self.kind);
                    self.git(context, &["reset", "--hard", commit.as_str()])?;
                    self.comments.push(format!(
                        "Repository was reset to {place} ({})",
                        short(&commit)
                    ));
                }
                self.track(context, &local)
            }
        }
    }

    /// The commit that is wanted, which the checkout has by now.
    fn commit(&self, context: &Context<'_>) -> Result<String, Stop> {
        let rev = &self.wanted.rev;
        let named = self.remote.find(rev).map(|(_, commit)| commit);
        let found = known(&self.wanted, context.system, named.unwrap_or_default())?;
        found.ok_or_else(|| {
            Stop::Fail(format!(
                "No revision matching '{rev}' exists in the remote repository"
            ))
        })
    }

    /// Makes a branch where the revision is and checks it out; says where.
    fn checkout_new(
        &self,
        context: &Context<'_>,
        branch: &str,
        commit: &str,
    ) -> Result<String, Stop> {
        let place = self.wanted.place(self.kind);
        let mut words = vec!["checkout"];
        if self.wanted.force_checkout {
            words.push("--force");
        }
        words.extend(["-b", branch]);
        match self.kind {
            Kind::Branch => words.extend(["--track", place.as_str()]),
            _ => words.push(commit),
        }
        self.git(context, &words)?;
        Ok(format!("{place} ({})", short(commit)))
    }

    /// Lets the branch follow the remote branch that it has to.
    fn track(&mut self, context: &Context<'_>, local: &Local) -> Result<(), Stop> {
        let said = match (self.wanted.upstream(self.kind), &local.upstream) {
            (Upstream::Is(upstream), now) if now.as_ref() != Some(&upstream) => {
                let option = format!("--set-upstream-to={upstream}");
                self.git(context, &["branch", option.as_str()])?;
                let verb = if now.is_some() { "updated" } else { "set" };
                format!("Tracking branch was {verb} to {upstream}")
            }
            (Upstream::None, Some(_)) => {
                self.git(context, &["branch", "--unset-upstream"])?;
                "Tracking branch was unset".to_owned()
            }
            _ => return Ok(()),
        };
        self.comments.push(said);
        Ok(())
    }

    /// Fetches, and tells whether anything but a forced update came, and which tags.
    fn fetch(&self, context: &Context<'_>) -> Result<(bool, Vec<String>), Stop> {
        let wanted = &self.wanted;
        let mut words = vec!["fetch".to_owned()];
        if wanted.force_fetch {
            words.push("--force".to_owned());
        }
        if let Some(depth) = &wanted.depth {
            words.extend(["--depth".to_owned(), depth.clone()]);
        }
        let (remote, branch, tag) = (&wanted.remote, &wanted.refspec_branch, &wanted.refspec_tag);
        words.push(remote.clone());
        words.push(format!(
            "refs/heads/{branch}:refs/remotes/{remote}/{branch}"
        ));
        if wanted.fetch_tags {
            words.push(format!("refs/tags/{tag}:refs/tags/{tag}"));
        }
        let output = tool::run(context, &wanted.git(context.system).args(words))?;
        let text = tool::said(&output);
        if !output.is_success() {
            return Err(Stop::Fail(format!(
                "Fetch failed. Set 'force_fetch' to True to force the fetch if the failure was due to not being able to fast-forward. Output of the fetch command follows:\n\n{text}"
            )));
        }
        Ok(fetched(&text))
    }

    pub(super) fn fetch_bare(mut self, context: &Context<'_>) -> Ended {
        let done = self.bare_fetched(context);
        self.end(done)
    }

    fn bare_fetched(&mut self, context: &Context<'_>) -> Result<String, Stop> {
        let before = self.head(context)?;
        let (updated, tags) = self.fetch(context)?;
        let target = self.wanted.target.display().to_string();
        let tail = if updated {
            ", resulting in updated refs"
        } else {
            ""
        };
        let said = format!("Bare repository at {target} was fetched{tail}");
        let after = self.head(context)?;
        if !tags.is_empty() {
            self.changes.insert("new_tags", list(tags));
        }
        self.note_revision(before.as_deref(), after.as_deref());
        Ok(if before == after {
            format!("Repository {target} is up-to-date\n\nChanges made: {said}")
        } else {
            said
        })
    }

    pub(super) fn update(mut self, context: &Context<'_>) -> Ended {
        let done = self.updated(context);
        self.end(done)
    }

    fn updated(&mut self, context: &Context<'_>) -> Result<String, Stop> {
        let wanted = self.wanted.clone();
        let machine = context.system;
        let before = Local::look(&wanted, machine)?;
        let remote = self.remote.clone();
        let named = remote.find(&wanted.rev).map(|(_, commit)| commit);
        let mut there = known(&wanted, machine, named.unwrap_or_default())?;
        let matches = there.is_some() && there == before.head;
        if self.kind == Kind::Tag
            && let Some(tag) = before.tags.get(&wanted.rev).and_then(Value::as_str)
            && Some(tag) != there.as_deref()
        {
            there = None;
        }
        self.set_remote(context, &before)?;
        if self.kind != Kind::Head && before.head.is_none() && wanted.branch.is_none() {
            return Err(Stop::Fail(
                "Cannot set/unset upstream tracking branch, local HEAD refers to nonexistent branch. This may have been caused by cloning a remote repository for which the default branch was renamed or deleted. If you are unable to fix the remote repository, you can work around this by setting the 'branch' argument (which will ensure that the named branch is created if it does not already exist).".to_owned(),
            ));
        }
        let lacks_branch = self.kind == Kind::Branch && before.remote_branch.as_deref() != named;
        self.fetch_what_lacks(context, &before, there.is_none() || lacks_branch)?;
        let commit = self.commit(context)?;
        if !wanted.update_head {
            return Ok(self.left_alone(&before, &commit));
        }

        let other = wanted
            .branch
            .clone()
            .filter(|branch| before.branch.as_ref() != Some(branch));
        let base = match &other {
            Some(branch) => Local::branch_commit(&wanted, machine, branch)?,
            None => before.head.clone(),
        };
        let is_new = other.is_some() && base.is_none();
        let forward = is_forward(&wanted, machine, base.as_deref(), &commit)?;
        let moves = base.as_deref() != Some(commit.as_str());
        if moves && !forward && wanted.reset == Reset::Never {
            let now = before.branch.as_deref();
            return Err(Stop::Fail(not_forward(
                &wanted,
                &self.remote,
                self.kind,
                now,
                &commit,
            )));
        }
        let discards = before.is_dirty
            && (wanted.reset == Reset::Always || wanted.reset == Reset::RemoteChanges && !matches);
        if discards {
            self.git(context, &["reset", "--hard", "HEAD"])?;
            self.comments
                .push("Uncommitted changes were discarded".to_owned());
        }
        if let Some(branch) = &other {
            self.checkout(context, branch, &commit, is_new)?;
        }
        let tracked = is_new && self.kind == Kind::Branch;
        let mut now = Local::look(&wanted, machine)?;
        if other.is_none() {
            // Also where the remote repository was replaced, and all that followed it lost.
            now.upstream = before.upstream.clone();
        }
        if !tracked && now.branch.is_some() && now.upstream.is_none() {
            self.track(context, &now)?;
            now = Local::look(&wanted, machine)?;
        }
        if !is_new && (moves || discards && matches) {
            self.bring(context, &before, &commit, moves && forward)?;
        }
        if !tracked {
            self.track(context, &now)?;
        }
        self.submodules(context)?;
        let after = self.head(context)?;
        self.note_revision(before.head.as_deref(), after.as_deref());
        let made = sentences(&std::mem::take(&mut self.comments));
        let up_to_date = format!("Repository {} is up-to-date", wanted.target.display());
        Ok(match (matches, made.is_empty()) {
            (_, true) => up_to_date,
            (true, false) => format!("{up_to_date}\n\nChanges made: {made}"),
            (false, false) => made,
        })
    }

    /// What is said when the checkout is not to be moved.
    fn left_alone(&mut self, before: &Local, commit: &str) -> String {
        let now = before.head.as_deref();
        if now == Some(commit) {
            return format!("Repository {} is up-to-date", self.wanted.target.display());
        }
        format!(
            "Remote head ({}) is already present and local HEAD ({}) does not match, but update_head=False. HEAD has not been updated locally.",
            short(commit),
            now.map_or("None", short)
        )
    }

    /// Lets the remote repository's name mean its address.
    fn set_remote(&mut self, context: &Context<'_>, local: &Local) -> Result<(), Stop> {
        let wanted = self.wanted.clone();
        let (name, url) = (&wanted.remote, wanted.access.url(&wanted.url));
        let shown = wanted.access.shown(&wanted.url);
        match &local.url {
            Some(now) if *now == url => return Ok(()),
            Some(now) => {
                self.git(context, &["remote", "rm", name])?;
                self.git(context, &["remote", "add", name, &url])?;
                let now = wanted.access.hide(now);
                self.comments
                    .push(format!("Remote '{name}' changed from {now} to {shown}"));
            }
            None => {
                self.git(context, &["remote", "add", name, &url])?;
                self.changes.insert("new", format!("{shown} => {name}"));
                self.comments
                    .push(format!("Remote '{name}' set to {shown}"));
            }
        }
        Ok(())
    }

    /// Fetches if the commit or a tag is not there, and removes tags that the remote
    /// repository does not have any more.
    fn fetch_what_lacks(
        &mut self,
        context: &Context<'_>,
        local: &Local,
        lacks_commit: bool,
    ) -> Result<(), Stop> {
        let lacks_tag = self
            .remote
            .tags()
            .any(|tag| !local.tags.contains_key(tag) && self.wanted.follows_tag(tag));
        if lacks_commit || lacks_tag {
            let (updated, tags) = self.fetch(context)?;
            if !tags.is_empty() {
                self.changes.insert("new_tags", list(tags));
            }
            if updated {
                let url = self.wanted.access.shown(&self.wanted.url);
                self.comments
                    .push(format!("{url} was fetched, resulting in updated refs"));
            }
        }
        let gone: Vec<String> = local
            .tags
            .keys()
            .filter_map(Value::as_str)
            .filter(|tag| !self.remote.tags().any(|known| known == *tag))
            .map(str::to_owned)
            .collect();
        if self.wanted.sync_tags && !gone.is_empty() {
            for tag in &gone {
                self.git(context, &["tag", "-d", tag])?;
            }
            self.comments.push(format!(
                "The following tags were removed from the local checkout: {}",
                gone.join(", ")
            ));
            self.changes.insert("deleted_tags", list(gone));
        }
        Ok(())
    }

    fn checkout(
        &mut self,
        context: &Context<'_>,
        branch: &str,
        commit: &str,
        is_new: bool,
    ) -> Result<(), Stop> {
        if is_new {
            let place = self.checkout_new(context, branch, commit)?;
            self.comments.push(format!(
                "New branch '{branch}' was checked out, with {place} as a starting point"
            ));
            return Ok(());
        }
        let mut words = vec!["checkout"];
        if self.wanted.force_checkout {
            words.push("--force");
        }
        words.push(branch);
        self.git(context, &words)?;
        self.comments.push(format!("'{branch}' was checked out"));
        Ok(())
    }

    /// Brings what is checked out to a commit.
    fn bring(
        &mut self,
        context: &Context<'_>,
        before: &Local,
        commit: &str,
        forward: bool,
    ) -> Result<(), Stop> {
        let place = self.wanted.place(self.kind);
        let is_detached = before.branch.is_none() && self.wanted.branch.is_none();
        let said = match (forward, self.kind) {
            (true, Kind::Head) if is_detached => {
                return Err(Stop::Fail(
                    "Command 'git symbolic-ref --quiet HEAD' failed".to_owned(),
                ));
            }
            (true, Kind::Branch) if is_detached => {
                return Err(Stop::Fail(format!(
                    "fatal: could not set upstream of HEAD to {place} when it does not point to any branch"
                )));
            }
            (true, Kind::Head | Kind::Branch) => {
                self.git(context, &["merge", "--ff-only", commit])?;
                format!(
                    "Repository was fast-forwarded to {place} ({})",
                    short(commit)
                )
            }
            (true, Kind::Tag | Kind::Commit) => {
                self.git(context, &["reset", "--hard", commit])?;
                format!("Repository was reset to {place} (fast-forward)")
            }
            (false, _) => {
                self.git(context, &["reset", "--hard", commit])?;
                self.changes.insert("forced update", true);
                format!("Repository was hard-reset to {place} ({})", short(commit))
            }
        };
        self.comments.push(said);
        Ok(())
    }
}

fn list(names: Vec<String>) -> Value {
    names.into_iter().collect()
}

/// What `git fetch` printed: whether references were added or went forward, and which tags
/// are new.
fn fetched(text: &str) -> (bool, Vec<String>) {
    let mut updated = false;
    let mut tags = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("* [new tag]") {
            updated = true;
            tags.extend(rest.split_whitespace().next().map(str::to_owned));
        } else if line.starts_with("* [new ") {
            updated = true;
        } else if let Some((range, rest)) = line.split_once(' ') {
            let is_range = range.split_once("..").is_some_and(|(old, new)| {
                let is_commit = |part: &str| {
                    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit())
                };
                is_commit(old) && is_commit(new)
            });
            updated |= is_range && rest.contains(" -> ");
        }
    }
    tags.sort();
    (updated, tags)
}

#[cfg(test)]
mod tests {
    use super::fetched;

    #[test]
    fn a_forced_update_does_not_count_as_an_updated_reference() {
        let text = "From /a\n   1f53d82..ae5603a  master     -> origin/master\n * [new tag]         v2         -> v2";

        assert_eq!(fetched(text), (true, vec!["v2".to_owned()]));
        let forced = "From /a\n + 1f53d82...1b77977 master     -> origin/master  (forced update)\n t [tag update]      v1         -> v1";
        assert_eq!(fetched(forced), (false, Vec::new()));
        assert_eq!(fetched(""), (false, Vec::new()));
    }
}
