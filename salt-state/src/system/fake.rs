//! A machine in memory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Cursor, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::metadata::Environment;
use super::paths::{self, Seen, found, names};
use super::{
    Command, CommandError, FileKind, FilesystemUsage, Identity, Interface, Kernel, Metadata, Node,
    Observe, Output, Protocol, System, Timestamp, WriteOptions,
};

/// How long a name and a path may be, as on Linux.
const NAME_LENGTH: usize = 255;
const PATH_LENGTH: usize = 4096;

type Answer = Box<dyn Fn(&Command, &FakeSystem) -> Option<Output> + Send + Sync>;

/// A machine in memory, for tests of states, functions and grains.
///
/// It starts with a root directory, `/etc`, `/tmp`, `/root`, the user and group `root`
/// and no commands: a program that nobody taught it is "not found". Its clock stands
/// still except for [`Observe::sleep`], its randomness is the same in every run.
///
/// ```
/// use salt_state::{Command, FakeSystem, Observe, Output, System, WriteOptions};
/// use std::path::Path;
///
/// let machine = FakeSystem::new()
///     .file("/etc/motd", "hello\n")
///     .command("uptime", |_| Output::success("up 3 days\n"));
///
/// machine.write(Path::new("/etc/motd"), b"bye\n", &WriteOptions::new())?;
///
/// assert_eq!(machine.text(Path::new("/etc/motd"))?.as_deref(), Some("bye\n"));
/// assert_eq!(machine.query(&Command::new("uptime"))?.stdout_text(), "up 3 days\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FakeSystem {
    state: Mutex<State>,
    answers: Vec<Answer>,
    /// Where changes fail, and how.
    refusals: Vec<(PathBuf, Errno)>,
    identity: Identity,
    kernel: Kernel,
    interfaces: Vec<Interface>,
    listening: Vec<(SocketAddr, Protocol)>,
    filesystem: FilesystemUsage,
}

struct State {
    names: BTreeMap<PathBuf, u64>,
    inodes: BTreeMap<u64, Inode>,
    serial: u64,
    clock: SystemTime,
    environment: Environment,
    commands: Vec<Command>,
    signals: Vec<(u32, i32)>,
    seed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inode {
    content: Content,
    mode: u32,
    uid: u32,
    gid: u32,
    accessed: Timestamp,
    modified: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Directory,
    Link(PathBuf),
    Node(Node),
}

impl Content {
    fn kind(&self) -> FileKind {
        match self {
            Self::File(_) => FileKind::File,
            Self::Directory => FileKind::Directory,
            Self::Link(_) => FileKind::Symlink,
            Self::Node(Node::Fifo) => FileKind::Fifo,
            Self::Node(Node::Char(..)) => FileKind::CharDevice,
            Self::Node(Node::Block(..)) => FileKind::BlockDevice,
        }
    }
}

impl fmt::Debug for FakeSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSystem")
            .field("files", &self.tree())
            .finish_non_exhaustive()
    }
}

impl Default for FakeSystem {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeSystem {
    /// A nearly empty machine; see the type.
    pub fn new() -> Self {
        let mut names = BTreeMap::new();
        let mut inodes = BTreeMap::new();
        names.insert(PathBuf::from("/"), 1);
        inodes.insert(
            1,
            Inode {
                content: Content::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                accessed: Timestamp::default(),
                modified: Timestamp::default(),
            },
        );
        let this = Self {
            state: Mutex::new(State {
                names,
                inodes,
                serial: 1,
                clock: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
                environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
                commands: Vec::new(),
                signals: Vec::new(),
                seed: 1,
            }),
            answers: Vec::new(),
            refusals: Vec::new(),
            identity: Identity {
                pid: 4242,
                cwd: "/root".into(),
                program: "/usr/bin/salt-minion".into(),
                ..Identity::default()
            },
            kernel: Kernel {
                name: "Linux".to_owned(),
                node: "fake".to_owned(),
                release: "6.1.0-fake".to_owned(),
                version: "#1 SMP".to_owned(),
                machine: "x86_64".to_owned(),
            },
            interfaces: Vec::new(),
            listening: Vec::new(),
            filesystem: FilesystemUsage {
                block_size: 4096,
                blocks: 1 << 20,
                blocks_free: 1 << 19,
                blocks_available: 1 << 19,
                files: 1 << 16,
                files_free: 1 << 15,
            },
        };
        this.directory("/etc")
            .directory("/tmp")
            .directory("/root")
            .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
            .file("/etc/group", "root:x:0:\n")
    }

    /// Puts a file there, with the directories above it.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) -> Self {
        self.put(path.as_ref(), Content::File(content.into()), 0o644);
        self
    }

    /// Puts an empty executable there, so that [`Observe::which`] finds it.
    #[must_use]
    pub fn program(self, path: impl AsRef<Path>) -> Self {
        self.put(path.as_ref(), Content::File(Vec::new()), 0o755);
        self
    }

    /// Puts a directory there, with those above it.
    #[must_use]
    pub fn directory(self, path: impl AsRef<Path>) -> Self {
        self.put(path.as_ref(), Content::Directory, 0o755);
        self
    }

    /// Puts a symbolic link there, with the directories above it.
    #[must_use]
    pub fn link(self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.put(path.as_ref(), Content::Link(target.into()), 0o777);
        self
    }

    /// Teaches a program, by name or path, to answer every call.
    #[must_use]
    pub fn command(
        self,
        program: impl Into<OsString>,
        answer: impl Fn(&Command) -> Output + Send + Sync + 'static,
    ) -> Self {
        let program = program.into();
        self.answer(move |command| (command.program == program).then(|| answer(command)))
    }

    /// Teaches it to answer the commands for which `answer` returns something. The
    /// first that does wins.
    #[must_use]
    pub fn answer(
        mut self,
        answer: impl Fn(&Command) -> Option<Output> + Send + Sync + 'static,
    ) -> Self {
        self.answers
            .push(Box::new(move |command, _| answer(command)));
        self
    }

    /// Teaches it to carry out commands: as [`FakeSystem::answer`], with the machine, so
    /// that a command can leave something behind.
    #[must_use]
    pub fn effect(
        mut self,
        effect: impl Fn(&Command, &Self) -> Option<Output> + Send + Sync + 'static,
    ) -> Self {
        self.answers.push(Box::new(effect));
        self
    }

    /// Lets changes at and below a path fail as on a disk without room: nothing new can be
    /// written, but what is there can be removed.
    #[must_use]
    pub fn full(mut self, path: impl Into<PathBuf>) -> Self {
        self.refusals.push((path.into(), Errno::NOSPC));
        self
    }

    /// Lets all changes at and below a path fail as on a file system that is mounted to be
    /// read only.
    #[must_use]
    pub fn read_only_below(mut self, path: impl Into<PathBuf>) -> Self {
        self.refusals.push((path.into(), Errno::ROFS));
        self
    }

    /// The error of writing something new to a path, if there has to be one.
    fn refusal(&self, path: &Path) -> io::Result<()> {
        match self.refusals.iter().find(|(top, _)| path.starts_with(top)) {
            Some((_, errno)) => Err((*errno).into()),
            None => Ok(()),
        }
    }

    /// The error of any change to a path, if there has to be one.
    fn read_only(&self, path: &Path) -> io::Result<()> {
        let refused =
            |(top, errno): &&(PathBuf, Errno)| *errno == Errno::ROFS && path.starts_with(top);
        match self.refusals.iter().find(refused) {
            Some((_, errno)) => Err((*errno).into()),
            None => Ok(()),
        }
    }

    /// Sets a variable that commands inherit.
    #[must_use]
    pub fn variable(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.set_env(&name, Some(&value));
        self
    }

    /// Sets what [`Observe::kernel`] answers.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets what [`Observe::interfaces`] answers.
    #[must_use]
    pub fn with_interfaces(mut self, interfaces: Vec<Interface>) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// Lets somebody answer there; every other [`Observe::probe`] is refused.
    #[must_use]
    pub fn listening(mut self, at: SocketAddr, protocol: Protocol) -> Self {
        self.listening.push((at, protocol));
        self
    }

    /// Sets what [`Observe::identity`] answers.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// The commands that were run or asked, in order.
    pub fn commands(&self) -> Vec<Command> {
        self.state().commands.clone()
    }

    /// The signals that were sent, in order.
    pub fn signals(&self) -> Vec<(u32, i32)> {
        self.state().signals.clone()
    }

    /// Every path with what is there, as text: two equal trees have equal content,
    /// modes and owners. Times and inode numbers are left out.
    pub fn tree(&self) -> BTreeMap<PathBuf, String> {
        let state = self.state();
        state
            .names
            .iter()
            .filter_map(|(path, inode)| {
                let found = state.inodes.get(inode)?;
                let text = match &found.content {
                    Content::File(content) => {
                        format!("file {:?}", String::from_utf8_lossy(content))
                    }
                    Content::Directory => "directory".to_owned(),
                    Content::Link(target) => format!("link to {}", target.display()),
                    Content::Node(node) => format!("{node:?}"),
                };
                let facts = format!("{:04o} {}:{} {text}", found.mode, found.uid, found.gid);
                Some((path.clone(), facts))
            })
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, path: &Path, content: Content, mode: u32) {
        let mut state = self.state();
        let path = plain(path);
        let mut above: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
        above.reverse();
        for directory in above {
            if !state.names.contains_key(&directory) {
                state.make(directory, Content::Directory, 0o755);
            }
        }
        state.make(path, content, mode);
    }

    fn execute(&self, command: &Command) -> Result<Output, CommandError> {
        self.state().commands.push(command.clone());
        if let Some(user) = &command.user
            && !matches!(self.user(user), Ok(Some(_)))
        {
            return Err(CommandError::UnknownUser(user.clone()));
        }
        self.answers
            .iter()
            .find_map(|answer| answer(command, self))
            .map(|mut output| {
                if command.merge_stderr {
                    output.stdout.append(&mut output.stderr);
                }
                output
            })
            .ok_or_else(|| CommandError::start(&command.program, Errno::NOENT.into()))
    }
}

impl State {
    fn make(&mut self, path: PathBuf, content: Content, mode: u32) -> u64 {
        self.serial += 1;
        let now = Timestamp::from(self.clock);
        let inode = self.serial;
        self.inodes.insert(
            inode,
            Inode {
                content,
                mode,
                uid: 0,
                gid: 0,
                accessed: now,
                modified: now,
            },
        );
        self.names.insert(path, inode);
        inode
    }

    fn inode(&self, path: &Path) -> Option<&Inode> {
        self.inodes.get(self.names.get(path)?)
    }

    fn inode_mut(&mut self, path: &Path) -> io::Result<&mut Inode> {
        let number = self.names.get(path).ok_or(Errno::NOENT)?;
        Ok(self.inodes.get_mut(number).ok_or(Errno::NOENT)?)
    }

    /// The path without links; the last component need not exist.
    fn resolve(&self, path: &Path, follow: bool) -> io::Result<PathBuf> {
        if path.as_os_str().len() >= PATH_LENGTH {
            return Err(Errno::NAMETOOLONG.into());
        }
        let resolved = paths::resolve(path, follow, |here| {
            if here
                .file_name()
                .is_some_and(|name| name.len() > NAME_LENGTH)
            {
                return Err(Errno::NAMETOOLONG.into());
            }
            Ok(match self.inode(here).map(|found| &found.content) {
                None => Seen::Nothing,
                Some(Content::Link(target)) => Seen::Link(target.clone()),
                Some(Content::Directory) => Seen::Directory,
                Some(Content::File(_) | Content::Node(_)) => Seen::Other,
            })
        })?;
        // A slash behind a name asks for a directory.
        let is_other = || {
            let found = self.inode(&resolved).map(|found| &found.content);
            matches!(found, Some(Content::File(_) | Content::Node(_)))
        };
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") && is_other() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(resolved)
    }

    /// A resolved path that is free and whose directory exists.
    fn free(&self, path: &Path) -> io::Result<PathBuf> {
        let path = self.resolve(path, false)?;
        if self.names.contains_key(&path) {
            return Err(Errno::EXIST.into());
        }
        Ok(path)
    }

    fn facts(&self, path: &Path) -> Option<Metadata> {
        let number = *self.names.get(path)?;
        let found = self.inodes.get(&number)?;
        Some(Metadata {
            kind: found.content.kind(),
            mode: found.mode,
            uid: found.uid,
            gid: found.gid,
            size: match &found.content {
                Content::File(content) => content.len() as u64,
                Content::Link(target) => target.as_os_str().len() as u64,
                Content::Directory => 4096,
                Content::Node(_) => 0,
            },
            device: 1,
            inode: number,
            links: self
                .names
                .values()
                .filter(|other| **other == number)
                .count() as u64,
            node: match found.content {
                Content::Node(Node::Char(major, minor) | Node::Block(major, minor)) => {
                    (major, minor)
                }
                _ => (0, 0),
            },
            accessed: found.accessed,
            modified: found.modified,
            changed: found.modified,
        })
    }

    fn has_children(&self, path: &Path) -> bool {
        self.names
            .keys()
            .any(|other| other != path && other.parent() == Some(path))
    }
}

fn plain(path: &Path) -> PathBuf {
    Path::new("/").join(names(path).iter().collect::<PathBuf>())
}

impl Observe for FakeSystem {
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let state = self.state();
        Ok(found(state.resolve(path, true))?.and_then(|path| state.facts(&path)))
    }

    fn link_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let state = self.state();
        Ok(found(state.resolve(path, false))?.and_then(|path| state.facts(&path)))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        let state = self.state();
        let Some(path) = found(state.resolve(path, true))? else {
            return Ok(None);
        };
        match state.inode(&path).map(|found| &found.content) {
            None => Ok(None),
            Some(Content::File(content)) => Ok(Some(Box::new(Cursor::new(content.clone())))),
            Some(Content::Directory) => Err(Errno::ISDIR.into()),
            Some(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let state = self.state();
        let path = state.resolve(path, true)?;
        match state.inode(&path).map(|found| &found.content) {
            None => Err(Errno::NOENT.into()),
            Some(Content::Directory) => {
                let mut names: Vec<OsString> = state
                    .names
                    .keys()
                    .filter(|other| other.parent() == Some(&path))
                    .filter_map(|other| other.file_name().map(OsStr::to_owned))
                    .collect();
                names.sort_unstable();
                Ok(names)
            }
            Some(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let state = self.state();
        let path = state.resolve(path, false)?;
        match state.inode(&path).map(|found| &found.content) {
            None => Err(Errno::NOENT.into()),
            Some(Content::Link(target)) => Ok(target.clone()),
            Some(_) => Err(Errno::INVAL.into()),
        }
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let state = self.state();
        let path = state.resolve(path, true)?;
        match state.inode(&path) {
            Some(_) => Ok(path),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn filesystem(&self, _path: &Path) -> io::Result<FilesystemUsage> {
        Ok(self.filesystem)
    }

    fn query(&self, command: &Command) -> Result<Output, CommandError> {
        self.execute(command)
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn kernel(&self) -> Kernel {
        self.kernel.clone()
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        Ok(self.interfaces.clone())
    }

    fn probe(&self, at: SocketAddr, protocol: Protocol, _: Duration) -> io::Result<()> {
        if self.listening.contains(&(at, protocol)) {
            return Ok(());
        }
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    fn environment(&self) -> Environment {
        self.state().environment.clone()
    }

    fn now(&self) -> SystemTime {
        self.state().clock
    }

    fn sleep(&self, time: Duration) {
        self.state().clock += time;
    }

    fn random(&self, into: &mut [u8]) {
        let mut state = self.state();
        for byte in into {
            // An LCG is as good as any for values that only have to differ.
            state.seed = state
                .seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = state.seed.to_be_bytes()[0];
        }
    }
}

impl System for FakeSystem {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        self.refusal(path)?;
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let mut state = self.state();
        let path = state.resolve(path, options.follow)?;
        let old = state
            .inode(&path)
            .filter(|old| !matches!(old.content, Content::Link(_)))
            .cloned();
        if matches!(&old, Some(old) if old.content == Content::Directory) {
            return Err(Errno::ISDIR.into());
        }
        // As on a disk, the new content is a new file under the old name.
        state.make(path.clone(), Content::File(bytes), 0o644);
        let inode = state.inode_mut(&path)?;
        inode.mode = options
            .mode
            .or_else(|| old.as_ref().map(|old| old.mode))
            .unwrap_or(0o644);
        inode.uid = options
            .uid
            .or_else(|| old.as_ref().map(|old| old.uid))
            .unwrap_or(self.identity.uid);
        inode.gid = options
            .gid
            .or_else(|| old.as_ref().map(|old| old.gid))
            .unwrap_or(self.identity.gid);
        Ok(())
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.refusal(path)?;
        let mut state = self.state();
        let path = state.free(path)?;
        state.make(path, Content::Directory, mode & 0o7777);
        Ok(())
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.refusal(link)?;
        let mut state = self.state();
        let link = state.free(link)?;
        state.make(link, Content::Link(target.to_owned()), 0o777);
        Ok(())
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        self.refusal(link)?;
        let mut state = self.state();
        let source = state.resolve(source, false)?;
        let link = state.free(link)?;
        let inode = *state.names.get(&source).ok_or(Errno::NOENT)?;
        if matches!(state.inode(&source), Some(found) if found.content == Content::Directory) {
            return Err(Errno::PERM.into());
        }
        state.names.insert(link, inode);
        Ok(())
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        self.refusal(path)?;
        let mut state = self.state();
        let path = state.free(path)?;
        state.make(path, Content::Node(node), mode & 0o7777);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.read_only(path)?;
        let mut state = self.state();
        let path = state.resolve(path, false)?;
        if state.has_children(&path) {
            return Err(Errno::NOTEMPTY.into());
        }
        state.names.remove(&path).ok_or(Errno::NOENT)?;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.read_only(from)?;
        self.read_only(to)?;
        let mut state = self.state();
        let from = state.resolve(from, false)?;
        let to = state.resolve(to, false)?;
        if !state.names.contains_key(&from) {
            return Err(Errno::NOENT.into());
        }
        if to != from && to.starts_with(&from) {
            return Err(Errno::INVAL.into());
        }
        let is_dir = |path: &Path| matches!(state.inode(path), Some(found) if found.content == Content::Directory);
        if state.names.contains_key(&to) {
            match (is_dir(&from), is_dir(&to)) {
                (false, true) => return Err(Errno::ISDIR.into()),
                (true, false) => return Err(Errno::NOTDIR.into()),
                (true, true) if state.has_children(&to) => return Err(Errno::NOTEMPTY.into()),
                _ => {}
            }
        }
        let moved: Vec<PathBuf> = state
            .names
            .keys()
            .filter(|path| path.starts_with(&from))
            .cloned()
            .collect();
        for path in moved {
            if let Some(inode) = state.names.remove(&path) {
                let below = path.strip_prefix(&from).unwrap_or_else(|_| Path::new(""));
                let target = if below == Path::new("") {
                    to.clone()
                } else {
                    to.join(below)
                };
                state.names.insert(target, inode);
            }
        }
        Ok(())
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.read_only(path)?;
        let mut state = self.state();
        let path = state.resolve(path, true)?;
        state.inode_mut(&path)?.mode = mode & 0o7777;
        Ok(())
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        self.read_only(path)?;
        let mut state = self.state();
        let path = state.resolve(path, follow)?;
        let inode = state.inode_mut(&path)?;
        inode.uid = uid.unwrap_or(inode.uid);
        inode.gid = gid.unwrap_or(inode.gid);
        Ok(())
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        self.read_only(path)?;
        let mut state = self.state();
        let path = state.resolve(path, true)?;
        let inode = state.inode_mut(&path)?;
        inode.accessed = accessed.unwrap_or(inode.accessed);
        inode.modified = modified.unwrap_or(inode.modified);
        Ok(())
    }

    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.execute(command)
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        self.execute(command).map(|output| output.pid)
    }

    fn signal(&self, pid: u32, signal: i32) -> io::Result<()> {
        self.state().signals.push((pid, signal));
        Ok(())
    }

    fn set_env(&self, name: &OsStr, value: Option<&OsStr>) {
        let mut state = self.state();
        state.environment.retain(|(key, _)| key != name);
        if let Some(value) = value {
            state.environment.push((name.to_owned(), value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_as_on_a_disk() {
        let machine = FakeSystem::new()
            .file("/etc/real", "1")
            .link("/etc/link", "real")
            .link("/dir", "/etc")
            .link("/loop", "/loop");

        assert_eq!(machine.text(Path::new("/dir/link")).unwrap().unwrap(), "1");
        assert_eq!(
            machine.canonicalize(Path::new("/dir/../dir/link")).unwrap(),
            Path::new("/etc/real")
        );
        // Where it leads to is nothing, as for `os.path.exists`.
        assert!(machine.metadata(Path::new("/loop")).unwrap().is_none());
        assert!(machine.is_link(Path::new("/etc/link")));
        assert!(!machine.exists(Path::new("/etc/nothing/below")));
    }

    #[test]
    fn directories_must_be_there_and_empty_where_a_disk_wants_that() {
        let machine = FakeSystem::new().file("/a/f", "");
        let path = Path::new;

        assert!(
            machine
                .write(path("/none/f"), b"", &WriteOptions::new())
                .is_err()
        );
        assert!(machine.remove(path("/a")).is_err());
        assert!(machine.create_dir(path("/a"), 0o755).is_err());
        machine.rename(path("/a"), path("/b")).unwrap();
        assert!(machine.is_file(path("/b/f")));
        machine.remove_all(path("/b")).unwrap();
        assert!(!machine.exists(path("/b")));
    }

    #[test]
    fn hard_links_share_what_they_are() {
        let machine = FakeSystem::new().file("/f", "x");

        machine.hard_link(Path::new("/f"), Path::new("/g")).unwrap();
        machine.set_mode(Path::new("/g"), 0o600).unwrap();

        let found = machine.metadata(Path::new("/f")).unwrap().unwrap();
        assert_eq!((found.mode, found.links), (0o600, 2));
    }

    #[test]
    fn the_recorder_tells_questions_from_changes() {
        use crate::system::{Action, Recorder};
        let machine = FakeSystem::new().command("true", |_| Output::success(""));
        let recorder = Recorder::new(&machine);

        recorder.query(&Command::new("true")).unwrap();
        recorder.run(&Command::new("true")).unwrap();
        recorder.create_dir(Path::new("/etc"), 0o755).unwrap_err();

        assert_eq!(recorder.actions().len(), 3);
        let changes = recorder.changes();
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[1], Action::CreateDir("/etc".into(), 0o755));
    }
}
