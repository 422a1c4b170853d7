//! A system that remembers what was done to it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::pass_on::pass_on;
use super::{
    Command, CommandError, Conversation, Node, Observe, Output, System, Timestamp, WriteOptions,
};

/// One thing that was done, in the order it was asked for. Failed attempts count too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// A file was written; the content is not kept.
    Write(PathBuf, WriteOptions),
    /// A directory was made with this mode.
    CreateDir(PathBuf, u32),
    /// A link was made: what it says, where it is.
    Symlink(PathBuf, PathBuf),
    /// A second name was given: first name, second name.
    HardLink(PathBuf, PathBuf),
    /// A pipe or device was made.
    MakeNode(PathBuf, Node),
    /// A file, link or empty directory was removed.
    Remove(PathBuf),
    /// Something was moved: from, to.
    Rename(PathBuf, PathBuf),
    /// Permission bits were set.
    SetMode(PathBuf, u32),
    /// Owner or group were set.
    SetOwner(PathBuf, Option<u32>, Option<u32>),
    /// Times were set.
    SetTimes(PathBuf),
    /// A command that only asks.
    Query(Command),
    /// A command that may change things.
    Run(Command),
    /// A background command.
    Start(Command),
    /// A signal was sent.
    Signal(u32, i32),
    /// A variable was set or removed.
    SetEnv(OsString, Option<OsString>),
}

impl Action {
    /// Whether this only asked.
    pub fn is_query(&self) -> bool {
        matches!(self, Self::Query(_))
    }
}

/// Passes everything on to another system and keeps a list of what was done.
pub struct Recorder<'a> {
    inner: &'a dyn System,
    actions: Mutex<Vec<Action>>,
}

impl std::fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

impl<'a> Recorder<'a> {
    /// Records what is done to `inner`.
    pub fn new(inner: &'a dyn System) -> Self {
        Self {
            inner,
            actions: Mutex::default(),
        }
    }

    /// Everything so far, queries included.
    pub fn actions(&self) -> Vec<Action> {
        self.actions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What could have changed the machine.
    pub fn changes(&self) -> Vec<Action> {
        let mut actions = self.actions();
        actions.retain(|action| !action.is_query());
        actions
    }

    fn note(&self, action: Action) {
        self.actions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(action);
    }
}

impl Observe for Recorder<'_> {
    pass_on!(inner: metadata, link_metadata, open, list, read_link, canonicalize, filesystem);
    pass_on!(inner: identity, kernel, interfaces, probe, environment, now, sleep, interrupted, random);
    pass_on!(inner: users, groups, user, user_by_id, group, group_by_id);

    fn query(&self, command: &Command) -> Result<Output, CommandError> {
        self.note(Action::Query(command.clone()));
        self.inner.query(command)
    }
}

impl System for Recorder<'_> {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        self.note(Action::Write(path.into(), options.clone()));
        self.inner.write_from(path, content, options)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.note(Action::CreateDir(path.into(), mode));
        self.inner.create_dir(path, mode)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.note(Action::Symlink(target.into(), link.into()));
        self.inner.symlink(target, link)
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        self.note(Action::HardLink(source.into(), link.into()));
        self.inner.hard_link(source, link)
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        self.note(Action::MakeNode(path.into(), node));
        self.inner.make_node(path, node, mode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(Action::Remove(path.into()));
        self.inner.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Action::Rename(from.into(), to.into()));
        self.inner.rename(from, to)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.note(Action::SetMode(path.into(), mode));
        self.inner.set_mode(path, mode)
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        self.note(Action::SetOwner(path.into(), uid, gid));
        self.inner.set_owner(path, uid, gid, follow)
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        self.note(Action::SetTimes(path.into()));
        self.inner.set_times(path, accessed, modified)
    }

    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.note(Action::Run(command.clone()));
        self.inner.run(command)
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        self.note(Action::Start(command.clone()));
        self.inner.start(command)
    }

    fn converse(&self, command: &Command) -> Result<Box<dyn Conversation>, CommandError> {
        self.note(Action::Start(command.clone()));
        self.inner.converse(command)
    }

    fn signal(&self, pid: u32, signal: i32) -> io::Result<()> {
        self.note(Action::Signal(pid, signal));
        self.inner.signal(pid, signal)
    }

    fn set_env(&self, name: &OsStr, value: Option<&OsStr>) {
        self.note(Action::SetEnv(name.to_owned(), value.map(OsStr::to_owned)));
        self.inner.set_env(name, value);
    }
}
