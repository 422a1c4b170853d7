//! This machine.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT};

use super::accounts::{parse_group, parse_user};
use super::metadata::Environment;
use super::paths::found;
use super::{
    Command, CommandError, Conversation, FileKind, FilesystemUsage, Group, Identity, Interface,
    Kernel, Metadata, Node, Observe, Output, Protocol, System, Timestamp, User, WriteOptions,
    probe,
};

mod children;
mod netlink;
pub(super) mod process;
mod talk;

pub use children::Children;

/// The machine this process runs on.
///
/// Commands inherit the environment that this process had when the value was made,
/// with later [`System::set_env`] calls applied; the process's own environment is left
/// alone, so that two of these in one process do not disturb each other.
#[derive(Debug)]
pub struct Host {
    inherited: Environment,
    changes: Mutex<BTreeMap<OsString, Option<OsString>>>,
    serial: AtomicU64,
    children: Option<Arc<Children>>,
}

impl Host {
    /// This machine, with this process's environment.
    pub fn new() -> Self {
        Self::with_environment(std::env::vars_os().collect())
    }

    /// This machine, with commands inheriting `environment` instead.
    pub fn with_environment(environment: Vec<(OsString, OsString)>) -> Self {
        Self {
            inherited: environment,
            changes: Mutex::default(),
            serial: AtomicU64::new(0),
            children: None,
        }
    }

    /// The same machine in the name of one job: its commands and waits end when
    /// `children` is signalled.
    #[must_use]
    pub fn for_job(mut self, children: Arc<Children>) -> Self {
        self.children = Some(children);
        self
    }

    /// Asks the name service for an account that is not in the local files, if it
    /// consults anything else (LDAP, systemd).
    fn getent(&self, database: &str, key: &str) -> io::Result<Option<String>> {
        let files_only = match self.text(Path::new("/etc/nsswitch.conf"))? {
            None => true,
            Some(switch) => !switch.lines().any(|line| {
                line.split_once(':').is_some_and(|(name, sources)| {
                    name.trim() == database
                        && sources
                            .split_whitespace()
                            .any(|source| !matches!(source, "files" | "compat"))
                })
            }),
        };
        if files_only || key.is_empty() {
            return Ok(None);
        }
        let command = Command::new("getent")
            .args([database, "--", key])
            .timeout(Duration::from_secs(5));
        Ok(self
            .query(&command)
            .ok()
            .filter(Output::is_success)
            .map(|output| output.stdout_text().trim_end().to_owned()))
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Observe for Host {
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        found(fs::metadata(path)).map(|meta| meta.as_ref().map(facts))
    }

    fn link_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        found(fs::symlink_metadata(path)).map(|meta| meta.as_ref().map(facts))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        // Without NONBLOCK, opening a pipe nobody writes to would wait for ever.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path);
        let Some(file) = found(file)? else {
            return Ok(None);
        };
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(rustix::io::Errno::ISDIR.into());
        }
        if !kind.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(Some(Box::new(file)))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemUsage> {
        let found = rustix::fs::statvfs(path)?;
        Ok(FilesystemUsage {
            block_size: if found.f_frsize == 0 {
                found.f_bsize
            } else {
                found.f_frsize
            },
            blocks: found.f_blocks,
            blocks_free: found.f_bfree,
            blocks_available: found.f_bavail,
            files: found.f_files,
            files_free: found.f_ffree,
        })
    }

    fn query(&self, command: &Command) -> Result<Output, CommandError> {
        process::run(command, self, None, self.children.as_ref())
    }

    fn identity(&self) -> Identity {
        Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            pid: std::process::id(),
            cwd: std::env::current_dir().unwrap_or_default(),
            program: std::env::current_exe().unwrap_or_default(),
        }
    }

    fn kernel(&self) -> Kernel {
        let name = rustix::system::uname();
        let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
        Kernel {
            name: text(name.sysname()),
            node: text(name.nodename()),
            release: text(name.release()),
            version: text(name.version()),
            machine: text(name.machine()),
        }
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        netlink::interfaces()
    }

    fn probe(&self, at: SocketAddr, protocol: Protocol, timeout: Duration) -> io::Result<()> {
        probe::probe(at, protocol, timeout)
    }

    fn environment(&self) -> Environment {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Environment = self
            .inherited
            .iter()
            .filter(|(name, _)| !changes.contains_key(name))
            .cloned()
            .collect();
        all.extend(
            changes
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.clone()?))),
        );
        all
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, time: Duration) {
        match &self.children {
            Some(children) => children.sleep(time),
            None => std::thread::sleep(time),
        }
    }

    fn interrupted(&self) -> Option<i32> {
        self.children.as_ref()?.ended_by()
    }

    fn random(&self, into: &mut [u8]) {
        let mut rest = into;
        while !rest.is_empty() {
            match rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()) {
                Ok(n) => rest = rest.split_at_mut(n.min(rest.len())).1,
                Err(rustix::io::Errno::INTR) => {}
                // Kernels before 3.17 have no such call; there the device is all there is.
                Err(_) => {
                    if let Ok(mut device) = File::open("/dev/urandom") {
                        device.read_exact(rest).ok();
                    }
                    return;
                }
            }
        }
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        if let Some(user) = self.users()?.into_iter().find(|user| user.name == name) {
            return Ok(Some(user));
        }
        Ok(self
            .getent("passwd", name)?
            .and_then(|line| parse_user(&line))
            .filter(|user| user.name == name))
    }

    fn user_by_id(&self, uid: u32) -> io::Result<Option<User>> {
        if let Some(user) = self.users()?.into_iter().find(|user| user.uid == uid) {
            return Ok(Some(user));
        }
        Ok(self
            .getent("passwd", &uid.to_string())?
            .and_then(|line| parse_user(&line)))
    }

    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        if let Some(group) = self.groups()?.into_iter().find(|group| group.name == name) {
            return Ok(Some(group));
        }
        Ok(self
            .getent("group", name)?
            .and_then(|line| parse_group(&line))
            .filter(|group| group.name == name))
    }

    fn group_by_id(&self, gid: u32) -> io::Result<Option<Group>> {
        if let Some(group) = self.groups()?.into_iter().find(|group| group.gid == gid) {
            return Ok(Some(group));
        }
        Ok(self
            .getent("group", &gid.to_string())?
            .and_then(|line| parse_group(&line)))
    }
}

impl System for Host {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        let real = match options.follow.then(|| fs::canonicalize(path)) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Some(Ok(real)) => Some(real),
            _ => None,
        };
        let is_canonical = real.is_some();
        let target = real.unwrap_or_else(|| path.to_owned());
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::from(rustix::io::Errno::ISDIR))?;
        // From here on everything happens in one directory, whatever its path leads to by then.
        let directory = directory_of(&target, is_canonical || options.no_links)?;
        let old = found(openat_path(&directory, name))?
            .map(|old| File::from(old).metadata())
            .transpose()?
            .filter(|old| !old.is_symlink());
        if old.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(rustix::io::Errno::ISDIR.into());
        }
        let mode = options
            .mode
            .or_else(|| old.as_ref().map(MetadataExt::mode))
            .unwrap_or(0o644)
            & 0o7777;
        let uid = options.uid.or_else(|| old.as_ref().map(MetadataExt::uid));
        let gid = options.gid.or_else(|| old.as_ref().map(MetadataExt::gid));

        let (mut file, temporary) = self.temporary_in(&directory, name)?;
        let written = (|| {
            if uid.is_some() || gid.is_some() {
                let now = file.metadata()?;
                if uid.is_some_and(|uid| uid != now.uid())
                    || gid.is_some_and(|gid| gid != now.gid())
                {
                    fchown(&file, uid, gid)?;
                }
            }
            // After the owner: changing the owner clears the set-id bits.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            io::copy(content, &mut file)?;
            file.flush()?;
            file.sync_all()?;
            Ok(rustix::fs::renameat(
                &directory,
                temporary.as_str(),
                &directory,
                name,
            )?)
        })();
        if written.is_err() {
            rustix::fs::unlinkat(&directory, temporary.as_str(), AtFlags::empty()).ok();
            return written;
        }
        // The new name is durable only when its directory is.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(directory) = rustix::fs::openat(&directory, ".", flags, Mode::empty()) {
            rustix::fs::fsync(directory).ok();
        }
        Ok(())
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)?;
        // Not in the call above, where the umask would take bits away; and not through a
        // link that somebody puts in its place.
        let made = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::DIRECTORY).bits() as i32)
            .open(path)?;
        made.set_permissions(fs::Permissions::from_mode(mode & 0o7777))
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        fs::hard_link(source, link)
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        let (kind, device) = match node {
            Node::Fifo => (rustix::fs::FileType::Fifo, 0),
            Node::Char(major, minor) => (
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::makedev(major, minor),
            ),
            Node::Block(major, minor) => (
                rustix::fs::FileType::BlockDevice,
                rustix::fs::makedev(major, minor),
            ),
        };
        rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        if follow {
            std::os::unix::fs::chown(path, uid, gid)
        } else {
            lchown(path, uid, gid)
        }
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        let spec = |at: Option<Timestamp>| match at {
            Some(at) => Timespec {
                tv_sec: at.seconds,
                tv_nsec: at.nanos.into(),
            },
            None => Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
        };
        let times = Timestamps {
            last_access: spec(accessed),
            last_modification: spec(modified),
        };
        Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
    }

    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        process::run(command, self, None, self.children.as_ref())
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        process::start(command, self, None, self.children.as_ref())
    }

    fn converse(&self, command: &Command) -> Result<Box<dyn Conversation>, CommandError> {
        talk::start(command, self, self.children.as_ref())
    }

    fn signal(&self, pid: u32, signal: i32) -> io::Result<()> {
        let invalid = || io::Error::from(rustix::io::Errno::INVAL);
        let pid = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .ok_or_else(invalid)?;
        if signal == 0 {
            return Ok(rustix::process::test_kill_process(pid)?);
        }
        let signal = rustix::process::Signal::from_named_raw(signal).ok_or_else(invalid)?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    fn set_env(&self, name: &OsStr, value: Option<&OsStr>) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), value.map(OsStr::to_owned));
    }
}

impl Host {
    /// A new file in a directory, named after another, and its name.
    fn temporary_in(&self, directory: &OwnedFd, name: &OsStr) -> io::Result<(File, String)> {
        // A very long name must leave room for ours.
        let stem: String = name.to_string_lossy().chars().take(60).collect();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..100 {
            let serial = self.serial.fetch_add(1, Ordering::Relaxed);
            let mut salt = [0; 6];
            self.random(&mut salt);
            let salt: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = format!(".{stem}.{serial}{salt}");
            let mode = Mode::from_raw_mode(0o600);
            match rustix::fs::openat(directory, name.as_str(), flags, mode) {
                Ok(file) => return Ok((File::from(file), name)),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

/// The directory that a file is in. A path that was made `canonical` has no links: one
/// that it has by now was put there since, and is an error.
fn directory_of(target: &Path, canonical: bool) -> io::Result<OwnedFd> {
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if canonical {
        let no_links = ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(CWD, parent, flags, Mode::empty(), no_links) {
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            opened => return Ok(opened?),
        }
    }
    Ok(rustix::fs::openat(CWD, parent, flags, Mode::empty())?)
}

/// A handle of what a name in a directory stands for, a link itself for a link.
fn openat_path(directory: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn facts(meta: &fs::Metadata) -> Metadata {
    let kind = meta.file_type();
    let kind = if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_block_device() {
        FileKind::BlockDevice
    } else {
        FileKind::CharDevice
    };
    let at = |seconds, nanos: i64| Timestamp {
        seconds,
        nanos: u32::try_from(nanos).unwrap_or(0),
    };
    Metadata {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: meta.size(),
        device: meta.dev(),
        inode: meta.ino(),
        links: meta.nlink(),
        node: (
            rustix::fs::major(meta.rdev()),
            rustix::fs::minor(meta.rdev()),
        ),
        accessed: at(meta.atime(), meta.atime_nsec()),
        modified: at(meta.mtime(), meta.mtime_nsec()),
        changed: at(meta.ctime(), meta.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is gone when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("salt-host-{name}-{}", std::process::id()));
            fs::remove_dir_all(&path).ok();
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn names(&self) -> Vec<OsString> {
            Host::new().list(&self.0).unwrap()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let (dir, host) = (Dir::new("replace"), Host::new());
        let path = dir.path("f");
        host.write(&path, b"one", &WriteOptions::new().mode(0o4640))
            .unwrap();

        host.write(&path, b"two", &WriteOptions::new()).unwrap();

        let found = host.metadata(&path).unwrap().unwrap();
        assert_eq!((found.mode, found.size, found.links), (0o4640, 3, 1));
        assert_eq!(dir.names(), ["f"]);
    }

    // P-05: content that fails half-way replaces nothing.
    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("lost"));
                }
                self.0 -= 1;
                into.fill(b'x');
                Ok(into.len())
            }
        }
        let (dir, host) = (Dir::new("broken"), Host::new());
        let path = dir.path("f");
        host.write(&path, b"old", &WriteOptions::new()).unwrap();

        let failed = host.write_from(&path, &mut Broken(3), &WriteOptions::new());

        assert!(failed.is_err());
        assert_eq!(host.read(&path).unwrap().unwrap(), b"old");
        assert_eq!(dir.names(), ["f"]);
    }

    // A writer that swaps the directory for a link while content comes.
    struct Swap<'a> {
        dir: &'a Dir,
        left: usize,
    }

    impl Read for Swap<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(left) = self.left.checked_sub(1) else {
                return Ok(0);
            };
            self.left = left;
            fs::rename(self.dir.path("ours"), self.dir.path("moved"))?;
            std::os::unix::fs::symlink("theirs", self.dir.path("ours"))?;
            into.fill(b'x');
            Ok(into.len())
        }
    }

    #[test]
    fn a_directory_swapped_for_a_link_during_a_write_leads_nowhere_else() {
        let (dir, host) = (Dir::new("swap"), Host::new());
        for name in ["ours", "theirs"] {
            host.create_dir(&dir.path(name), 0o755).unwrap();
        }
        host.write(&dir.path("theirs/f"), b"kept", &WriteOptions::new())
            .unwrap();

        let mut content = Swap { dir: &dir, left: 1 };
        host.write_from(&dir.path("ours/f"), &mut content, &WriteOptions::new())
            .unwrap();

        assert_eq!(host.list(&dir.path("theirs")).unwrap(), ["f"]);
        assert_eq!(host.read(&dir.path("theirs/f")).unwrap().unwrap(), b"kept");
        assert_eq!(host.list(&dir.path("moved")).unwrap(), ["f"]);
    }

    #[test]
    fn a_link_is_replaced_unless_it_is_to_be_followed() {
        let (dir, host) = (Dir::new("links"), Host::new());
        host.write(&dir.path("real"), b"1", &WriteOptions::new())
            .unwrap();
        host.symlink(Path::new("real"), &dir.path("link")).unwrap();

        let follow = WriteOptions {
            follow: true,
            ..WriteOptions::new()
        };
        host.write(&dir.path("link"), b"2", &follow).unwrap();
        assert_eq!(host.read(&dir.path("real")).unwrap().unwrap(), b"2");
        assert!(host.is_link(&dir.path("link")));

        host.write(&dir.path("link"), b"3", &WriteOptions::new())
            .unwrap();
        assert_eq!(host.read(&dir.path("real")).unwrap().unwrap(), b"2");
        assert!(!host.is_link(&dir.path("link")));
    }

    // P-03
    #[test]
    fn a_pipe_is_refused_rather_than_waited_for() {
        let (dir, host) = (Dir::new("pipe"), Host::new());
        host.make_node(&dir.path("pipe"), Node::Fifo, 0o600)
            .unwrap();

        assert!(host.open(&dir.path("pipe")).is_err());
        let found = host.metadata(&dir.path("pipe")).unwrap().unwrap();
        assert_eq!(found.kind, FileKind::Fifo);
    }

    #[test]
    fn removing_everything_does_not_follow_links() {
        let (dir, host) = (Dir::new("remove"), Host::new());
        host.create_dir_all(&dir.path("tree/deep"), 0o755).unwrap();
        host.write(&dir.path("kept"), b"", &WriteOptions::new())
            .unwrap();
        host.symlink(&dir.0, &dir.path("tree/deep/out")).unwrap();

        host.remove_all(&dir.path("tree")).unwrap();
        host.remove_all(&dir.path("tree")).unwrap();

        assert_eq!(dir.names(), ["kept"]);
    }

    #[test]
    fn times_are_set_one_by_one() {
        let (dir, host) = (Dir::new("times"), Host::new());
        let path = dir.path("f");
        host.write(&path, b"", &WriteOptions::new()).unwrap();
        let before = host.metadata(&path).unwrap().unwrap();
        let at = Timestamp {
            seconds: 1_000_000,
            nanos: 7,
        };

        host.set_times(&path, None, Some(at)).unwrap();

        let after = host.metadata(&path).unwrap().unwrap();
        assert_eq!(after.modified, at);
        assert_eq!(after.accessed, before.accessed);
    }

    #[test]
    fn what_is_missing_is_no_error() {
        let host = Host::new();
        let path = Path::new("/etc/passwd/below/a/file");
        assert_eq!(host.metadata(path).unwrap(), None);
        assert!(host.read(path).unwrap().is_none());
        assert!(host.list(path).is_err());
    }
}
