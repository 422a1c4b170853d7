//! A system that may be asked and not changed.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::pass_on::pass_on;
use super::{
    Command, CommandError, Conversation, Node, Observe, Output, System, Timestamp, WriteOptions,
};

/// Passes questions on to another system and refuses what would change it: what execution
/// functions get that are called while a state only looks, or in a dry run.
///
/// A command is taken for a question, since nothing can see whether it is one, and Salt
/// runs those of conditions and templates in its dry run too. What the minion keeps for
/// itself, its cache, may be written: it is no part of what states look after.
pub struct Asking<'a> {
    inner: &'a dyn System,
    cache: Option<PathBuf>,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl<'a> Asking<'a> {
    /// Keeps `inner` from being changed, except below `cache`.
    pub fn new(inner: &'a dyn System, cache: Option<PathBuf>) -> Self {
        Self { inner, cache }
    }

    /// The system, if it may be changed at all of these places.
    fn may_change(&self, paths: &[&Path]) -> io::Result<&dyn System> {
        let inside = |path: &Path| {
            self.cache
                .as_ref()
                .is_some_and(|cache| path.starts_with(cache))
                && path
                    .components()
                    .all(|part| part != std::path::Component::ParentDir)
        };
        match paths.iter().find(|path| !inside(path)) {
            None => Ok(self.inner),
            Some(path) => Err(refusal(path)),
        }
    }
}

fn refusal(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("a dry run does not change {}", path.display()),
    )
}

impl Observe for Asking<'_> {
    pass_on!(inner: metadata, link_metadata, open, list, read_link, canonicalize, filesystem);
    pass_on!(inner: query, identity, kernel, interfaces, probe, environment, now, sleep, interrupted, random);
    pass_on!(inner: users, groups, user, user_by_id, group, group_by_id);
}

impl System for Asking<'_> {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        self.may_change(&[path])?.write_from(path, content, options)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.may_change(&[path])?.create_dir(path, mode)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.may_change(&[link])?.symlink(target, link)
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        self.may_change(&[source, link])?.hard_link(source, link)
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        self.may_change(&[path])?.make_node(path, node, mode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.may_change(&[path])?.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.may_change(&[from, to])?.rename(from, to)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.may_change(&[path])?.set_mode(path, mode)
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        self.may_change(&[path])?.set_owner(path, uid, gid, follow)
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        self.may_change(&[path])?
            .set_times(path, accessed, modified)
    }

    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.inner.query(command)
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        Err(CommandError::Start {
            program: command.program.clone(),
            source: unheard(),
        })
    }

    fn converse(&self, command: &Command) -> Result<Box<dyn Conversation>, CommandError> {
        Err(CommandError::Start {
            program: command.program.clone(),
            source: unheard(),
        })
    }

    fn signal(&self, _pid: u32, _signal: i32) -> io::Result<()> {
        Err(unheard())
    }

    /// Nothing hears of it: the variable would outlive the dry run.
    fn set_env(&self, _name: &OsStr, _value: Option<&OsStr>) {}
}

fn unheard() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "a dry run neither starts nor signals processes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    #[test]
    fn questions_are_passed_on_and_changes_refused() {
        let machine = FakeSystem::new()
            .file("/etc/motd", "hi")
            .command("id", |_| Output::success("me\n"));
        let before = machine.tree();
        let asking = Asking::new(&machine, None);
        let at = Path::new("/etc/motd");

        assert_eq!(asking.text(at).unwrap().as_deref(), Some("hi"));
        assert_eq!(asking.run(&Command::new("id")).unwrap().stdout, b"me\n");
        for refused in [
            asking.write(at, b"x", &WriteOptions::new()),
            asking.remove(at),
            asking.set_mode(at, 0o777),
            asking.rename(at, Path::new("/etc/issue")),
            asking.create_dir_all(Path::new("/new/dir"), 0o755),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().starts_with("a dry run does not change /"));
        }
        assert!(asking.start(&Command::new("id")).is_err());
        assert_eq!(machine.tree(), before);
    }

    #[test]
    fn the_minions_own_cache_may_be_written() {
        let machine = FakeSystem::new().directory("/cache");
        let asking = Asking::new(&machine, Some("/cache".into()));
        let write = |path: &str| asking.write(Path::new(path), b"x", &WriteOptions::new());

        write("/cache/files").unwrap();
        write("/cache/../etc").unwrap_err();
        write("/cached").unwrap_err();
    }
}
