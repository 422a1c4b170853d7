//! The machine, as everything in this crate sees it.
//!
//! [`Observe`] asks and cannot change anything; [`System`] adds the verbs that
//! change. A state's check receives `&dyn Observe`, so a dry run that writes does
//! not compile. Both traits are object-safe and synchronous: a state run waits for
//! disks and children anyway, and plain threads keep its code plain.
//!
//! Six implementations: [`Host`] (this machine), [`Rooted`] (a directory that holds
//! another machine's files), [`FakeSystem`] (in memory, for tests), and three that wrap any
//! of them: [`Recorder`] remembers what was asked for, [`Asking`] refuses to be changed,
//! [`Rehearsal`] keeps changes of files to itself.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

mod accounts;
mod asking;
mod command;
mod conversation;
mod fake;
mod host;
mod hostname;
mod metadata;
mod pass_on;
mod paths;
mod probe;
mod record;
mod rehearsal;
mod rooted;
mod steady;

pub use accounts::{Group, User};
pub use asking::Asking;
pub use command::{Command, CommandError, Exit, Output};
pub use conversation::Conversation;
pub use fake::FakeSystem;
pub use host::{Children, Host};
pub(crate) use hostname::hosts;
pub use hostname::{HostNames, host_names, hosts_addresses};
pub use metadata::{
    FileKind, FilesystemUsage, Identity, Interface, InterfaceAddress, Kernel, Metadata, Timestamp,
};
pub use probe::{Protocol, addresses_of};
pub use record::{Action, Recorder};
pub use rehearsal::Rehearsal;
pub use rooted::Rooted;
pub(crate) use steady::{Places, Steady, Watched};

/// The most [`Observe::read`] takes into memory: 256 MiB. Larger files are read
/// through [`Observe::open`].
pub const READ_LIMIT: u64 = 256 << 20;

/// Asking the machine. Nothing here changes it.
///
/// A path that does not exist, or cannot (links that lead round, a name that is too long),
/// is `None` where the answer is optional, because most callers have something to do then; every other failure is an [`io::Error`] with
/// its errno kept, from which [`errno_text`] makes Python's wording.
pub trait Observe: Send + Sync {
    /// Facts about what a path leads to; symbolic links are followed.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;

    /// Facts about the path itself; a symbolic link is not followed.
    fn link_metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;

    /// Opens a regular file for reading. Pipes, sockets and devices are refused
    /// rather than waited for.
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// The names in a directory, sorted by bytes, without `.` and `..`.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// Where a symbolic link points, as written in it.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// The absolute path without links, `.` and `..`; every component must exist.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Size and free space of the file system that holds `path`.
    fn filesystem(&self, path: &Path) -> io::Result<FilesystemUsage>;

    /// Runs a command that only asks: a package database, a service manager, a
    /// condition. The implementation cannot see whether that is so; the caller can,
    /// which is why this is a method of its own that reviewers look for.
    fn query(&self, command: &Command) -> Result<Output, CommandError>;

    /// As whom and where this process runs.
    fn identity(&self) -> Identity;

    /// What the kernel says of itself.
    fn kernel(&self) -> Kernel;

    /// The network interfaces and their addresses, in the kernel's order.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Asks whether somebody answers at a port; nothing of use is sent. Waits no longer
    /// than `timeout`, which must not be zero.
    ///
    /// # Errors
    ///
    /// Why it was not reached: refused, timed out, no route.
    fn probe(&self, at: SocketAddr, protocol: Protocol, timeout: Duration) -> io::Result<()>;

    /// The environment that commands inherit, in the order it was given.
    fn environment(&self) -> Vec<(OsString, OsString)>;

    /// The wall clock.
    fn now(&self) -> SystemTime;

    /// Waits.
    fn sleep(&self, time: Duration);

    /// The signal that ended the job this is used for, if one did: what comes next should
    /// not be begun. See [`Children`].
    fn interrupted(&self) -> Option<i32> {
        None
    }

    /// Unpredictable bytes, for temporary names, passwords and splays.
    fn random(&self, into: &mut [u8]);

    /// All users, in the order of the user database.
    fn users(&self) -> io::Result<Vec<User>> {
        Ok(accounts::parse_users(
            &self.read(Path::new("/etc/passwd"))?.unwrap_or_default(),
        ))
    }

    /// All groups, in the order of the group database.
    fn groups(&self) -> io::Result<Vec<Group>> {
        Ok(accounts::parse_groups(
            &self.read(Path::new("/etc/group"))?.unwrap_or_default(),
        ))
    }

    /// The user of that name.
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        Ok(self.users()?.into_iter().find(|user| user.name == name))
    }

    /// The first user with that number.
    fn user_by_id(&self, uid: u32) -> io::Result<Option<User>> {
        Ok(self.users()?.into_iter().find(|user| user.uid == uid))
    }

    /// The group of that name.
    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        Ok(self.groups()?.into_iter().find(|group| group.name == name))
    }

    /// The first group with that number.
    fn group_by_id(&self, gid: u32) -> io::Result<Option<Group>> {
        Ok(self.groups()?.into_iter().find(|group| group.gid == gid))
    }

    /// A whole file, `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// Besides what [`Observe::open`] reports: a file above [`READ_LIMIT`].
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(READ_LIMIT + 1).read_to_end(&mut content)?;
        if content.len() as u64 > READ_LIMIT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(Some(content))
    }

    /// A whole file as text; bytes that are not UTF-8 become U+FFFD.
    fn text(&self, path: &Path) -> io::Result<Option<String>> {
        Ok(self.read(path)?.map(lossy))
    }

    /// Whether a path leads to something; a dangling link does not.
    fn exists(&self, path: &Path) -> bool {
        matches!(self.metadata(path), Ok(Some(_)))
    }

    /// Whether a path leads to a directory.
    fn is_dir(&self, path: &Path) -> bool {
        matches!(self.metadata(path), Ok(Some(found)) if found.kind == FileKind::Directory)
    }

    /// Whether a path leads to a regular file.
    fn is_file(&self, path: &Path) -> bool {
        matches!(self.metadata(path), Ok(Some(found)) if found.kind == FileKind::File)
    }

    /// Whether the path itself is a symbolic link.
    fn is_link(&self, path: &Path) -> bool {
        matches!(self.link_metadata(path), Ok(Some(found)) if found.kind == FileKind::Symlink)
    }

    /// One variable of the environment that commands inherit.
    fn env(&self, name: &str) -> Option<OsString> {
        self.environment()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The executable a shell would find under this name: itself when it has a
    /// slash, else the first match in `PATH` (and in the usual system directories,
    /// which a daemon's `PATH` may lack).
    fn which(&self, program: &str) -> Option<PathBuf> {
        let runnable = |path: &Path| {
            matches!(self.metadata(path), Ok(Some(found))
                if found.kind == FileKind::File && found.mode & 0o111 != 0)
        };
        if program.contains('/') {
            let path = Path::new(program);
            return runnable(path).then(|| path.to_owned());
        }
        if program.is_empty() {
            return None;
        }
        let path = self.env("PATH").unwrap_or_default();
        let usual = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];
        std::env::split_paths(&path)
            .chain(usual.iter().map(PathBuf::from))
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .find(|path| runnable(path))
    }
}

/// How [`System::write_from`] writes a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Permission bits. Default: those of the file that is replaced, else 0644.
    pub mode: Option<u32>,
    /// Owner. Default: that of the file that is replaced, else who we are.
    pub uid: Option<u32>,
    /// Group. Default: that of the file that is replaced, else who we are.
    pub gid: Option<u32>,
    /// Write to where a symbolic link leads instead of replacing the link.
    pub follow: bool,
    /// The directories in the path are no links: one that is a link by now is an error
    /// (`ELOOP`). Where a system has no means for that it is as if it were not stated.
    pub no_links: bool,
}

impl WriteOptions {
    /// Nothing stated: an existing file keeps its mode and owner.
    pub fn new() -> Self {
        Self::default()
    }

    /// States the permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// States owner and group.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.uid = Some(uid);
        self.gid = Some(gid);
        self
    }
}

/// What [`System::make_node`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A named pipe.
    Fifo,
    /// A character device with its major and minor number.
    Char(u32, u32),
    /// A block device with its major and minor number.
    Block(u32, u32),
}

/// Changing the machine.
///
/// A `&dyn System` is a `&dyn Observe` wherever one is wanted.
pub trait System: Observe {
    /// Writes a file so that every reader, at any time and after a crash, sees either
    /// the old content or the new: a temporary file in the same directory gets its
    /// owner and mode first, then the content, is synced and renamed over `path`.
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()>;

    /// Makes one directory; its parent must exist.
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Makes a symbolic link at `link` that says `target`; `link` must not exist.
    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()>;

    /// Gives the file at `source` a second name; `link` must not exist.
    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()>;

    /// Makes a named pipe or a device.
    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()>;

    /// Removes a file, a link or an empty directory.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Moves a file or directory within one file system, over an existing file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Sets the permission bits of what `path` leads to.
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Sets owner and group; `None` leaves one alone. With `follow` false a link's
    /// own owner is set.
    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()>;

    /// Sets the times of access and modification; `None` leaves one alone.
    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()>;

    /// Runs a command to its end.
    fn run(&self, command: &Command) -> Result<Output, CommandError>;

    /// Starts a command in the background and returns its process id. Its output is
    /// discarded; a timeout does not apply.
    fn start(&self, command: &Command) -> Result<u32, CommandError>;

    /// Starts a program that is asked line by line; see [`Conversation`].
    ///
    /// # Errors
    ///
    /// When it cannot be started, and always where no program can be talked to.
    fn converse(&self, command: &Command) -> Result<Box<dyn Conversation>, CommandError> {
        let source = io::Error::from(io::ErrorKind::Unsupported);
        Err(CommandError::start(&command.program, source))
    }

    /// Sends a signal to a process.
    fn signal(&self, pid: u32, signal: i32) -> io::Result<()>;

    /// Sets or removes (`None`) a variable in the environment that commands inherit.
    fn set_env(&self, name: &OsStr, value: Option<&OsStr>);

    /// Writes a file that is in memory; see [`System::write_from`].
    fn write(&self, path: &Path, mut content: &[u8], options: &WriteOptions) -> io::Result<()> {
        self.write_from(path, &mut content, options)
    }

    /// Makes a directory and those above it that are missing.
    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        if self.is_dir(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            self.create_dir_all(parent, mode)?;
        }
        match self.create_dir(path, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_dir(path) => {
                Ok(())
            }
            other => other,
        }
    }

    /// Removes a path and everything below it. Links are removed, never followed;
    /// a path that does not exist is no error.
    fn remove_all(&self, path: &Path) -> io::Result<()> {
        match self.link_metadata(path)? {
            None => return Ok(()),
            Some(found) if found.kind == FileKind::Directory => {
                for name in self.list(path)? {
                    self.remove_all(&path.join(name))?;
                }
            }
            Some(_) => {}
        }
        self.remove(path)
    }
}

/// Python's text for a failed system call: `[Errno 2] No such file or directory:
/// '/x'`, the form in which Salt's comments quote them.
pub fn errno_text(error: &io::Error, path: Option<&Path>) -> String {
    let text = match error.raw_os_error() {
        // Rust appends "(os error 2)" to the C library's text.
        Some(code) => {
            let full = error.to_string();
            let text = full.split(" (os error").next().unwrap_or_default();
            format!("[Errno {code}] {text}")
        }
        None => error.to_string(),
    };
    match path {
        Some(path) => format!("{text}: '{}'", path.display()),
        None => text,
    }
}

/// Text of bytes without a copy when they are UTF-8.
pub(crate) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
