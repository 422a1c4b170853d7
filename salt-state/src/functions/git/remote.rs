//! What a remote repository has, as `git ls-remote` tells it.

use std::collections::BTreeMap;

use crate::registry::CallError;
use crate::system::Observe;

use super::Access;

/// What a revision is in a remote repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whatever the remote's own HEAD is.
    Head,
    Branch,
    Tag,
    /// A commit by its name, of which the remote does not say whether it has it.
    Commit,
}

/// The references of a remote repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remote {
    refs: BTreeMap<String, String>,
    default: Option<String>,
}

impl Remote {
    /// Asks the remote repository.
    ///
    /// # Errors
    ///
    /// What git or the access says.
    pub(crate) fn ask(
        machine: &dyn Observe,
        url: &str,
        access: &Access,
    ) -> Result<Self, CallError> {
        access.check(machine)?;
        let command = super::git(machine, access.user(), Some(super::elsewhere()))
            .args(["ls-remote", "--symref", "--"])
            .arg(access.url(url));
        let output = super::tried(machine, &access.apply(command))?;
        if !output.is_success() {
            let text = crate::functions::tool::said(&output);
            return Err(CallError::execution(access.hide(&text)));
        }
        Ok(Self::parse(&output.stdout_text()))
    }

    fn parse(text: &str) -> Self {
        let mut remote = Self::default();
        for line in text.lines() {
            let Some((what, name)) = line.split_once('\t') else {
                continue;
            };
            match what.strip_prefix("ref: refs/heads/") {
                Some(branch) if name == "HEAD" => remote.default = Some(branch.to_owned()),
                Some(_) => {}
                None => {
                    remote.refs.insert(name.to_owned(), what.to_owned());
                }
            }
        }
        remote
    }

    /// What a revision is there, and its commit; that of HEAD is empty in an empty
    /// repository, and that of a commit is the revision itself.
    pub(crate) fn find<'a>(&'a self, rev: &'a str) -> Option<(Kind, &'a str)> {
        let of = |name: String| self.refs.get(&name).map(String::as_str);
        if rev == "HEAD" {
            return Some((Kind::Head, of("HEAD".to_owned()).unwrap_or_default()));
        }
        if let Some(commit) = of(format!("refs/heads/{rev}")) {
            return Some((Kind::Branch, commit));
        }
        let tag = of(format!("refs/tags/{rev}^{{}}")).or_else(|| of(format!("refs/tags/{rev}")));
        if let Some(commit) = tag {
            return Some((Kind::Tag, commit));
        }
        let is_commit =
            (5..=40).contains(&rev.len()) && rev.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_commit.then_some((Kind::Commit, rev))
    }

    /// The branch that HEAD is, if the remote tells.
    pub(crate) fn default_branch(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The names of all tags.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &str> {
        self.refs
            .keys()
            .filter_map(|name| name.strip_prefix("refs/tags/"))
            .filter(|name| !name.ends_with("^{}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ref: refs/heads/main\tHEAD\naaaa\tHEAD\nbbbb\trefs/heads/dev\naaaa\trefs/heads/main\ncccc\trefs/tags/v1\ndddd\trefs/tags/v1^{}\n";

    #[test]
    fn a_revision_is_a_branch_before_it_is_a_tag_and_a_tag_is_its_commit() {
        let remote = Remote::parse(TEXT);

        assert_eq!(remote.find("HEAD"), Some((Kind::Head, "aaaa")));
        assert_eq!(remote.find("dev"), Some((Kind::Branch, "bbbb")));
        assert_eq!(remote.find("v1"), Some((Kind::Tag, "dddd")));
        assert_eq!(remote.find("0123abc"), Some((Kind::Commit, "0123abc")));
        assert_eq!(remote.find("nosuch"), None);
        assert_eq!(remote.default_branch(), Some("main"));
        assert_eq!(remote.tags().collect::<Vec<_>>(), ["v1"]);
    }
}
