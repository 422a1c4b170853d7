//! Another machine's files below a directory of this one.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::host::process;
use super::pass_on::pass_on;
use super::paths::{self, Seen};
use super::{
    Command, CommandError, FileKind, FilesystemUsage, Host, Identity, Metadata, Node, Observe,
    Output, System, Timestamp, WriteOptions,
};

/// An image or container tree: every path is taken below `root`, links included, and
/// commands run with `root` as their root directory.
///
/// A link in the tree that says `/etc/x` means the tree's `/etc/x`, and `..` stops at
/// the root, so nothing outside is read or written as long as nobody changes the tree
/// at the same time; this is a tool for building images, not a jail. Commands need the
/// right to change the root directory; users and groups are those of the tree.
#[derive(Debug)]
pub struct Rooted {
    root: PathBuf,
    host: Host,
}

impl Rooted {
    /// The machine below `root`, which must exist.
    ///
    /// # Errors
    ///
    /// When `root` cannot be resolved.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            root: std::fs::canonicalize(root)?,
            host: Host::new(),
        })
    }

    /// Where `path` of the tree is on this machine, its links followed within the tree;
    /// the last component's link only with `follow`.
    fn resolve(&self, path: &Path, follow: bool) -> io::Result<PathBuf> {
        let inside = paths::resolve(path, follow, |here| {
            let here = self.below(here);
            Ok(match self.host.link_metadata(&here)? {
                Some(found) if found.kind == FileKind::Symlink => {
                    Seen::Link(self.host.read_link(&here)?)
                }
                // What is missing or no directory is found out where the path is used.
                _ => Seen::Directory,
            })
        })?;
        Ok(self.below(&inside))
    }

    /// A path without links, taken below the root.
    fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Observe for Rooted {
    pass_on!(host: kernel, interfaces, probe, environment, now, sleep, interrupted, random);

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.host.link_metadata(&self.resolve(path, true)?)
    }

    fn link_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.host.link_metadata(&self.resolve(path, false)?)
    }

    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        self.host.open(&self.resolve(path, true)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.host.list(&self.resolve(path, true)?)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.host.read_link(&self.resolve(path, false)?)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let real = self.resolve(path, true)?;
        if self.host.link_metadata(&real)?.is_none() {
            return Err(rustix::io::Errno::NOENT.into());
        }
        let inside = real
            .strip_prefix(&self.root)
            .unwrap_or_else(|_| Path::new(""));
        Ok(Path::new("/").join(inside))
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemUsage> {
        self.host.filesystem(&self.resolve(path, true)?)
    }

    fn query(&self, command: &Command) -> Result<Output, CommandError> {
        process::run(command, self, Some(&self.root), None)
    }

    fn identity(&self) -> Identity {
        Identity {
            cwd: PathBuf::from("/"),
            ..self.host.identity()
        }
    }
}

impl System for Rooted {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        let real = self.resolve(path, options.follow)?;
        let options = WriteOptions {
            follow: false,
            // The directories above the root may be links.
            no_links: false,
            ..options.clone()
        };
        self.host.write_from(&real, content, &options)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.host.create_dir(&self.resolve(path, false)?, mode)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.host.symlink(target, &self.resolve(link, false)?)
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        let source = self.resolve(source, false)?;
        self.host.hard_link(&source, &self.resolve(link, false)?)
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        self.host.make_node(&self.resolve(path, false)?, node, mode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.host.remove(&self.resolve(path, false)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = self.resolve(from, false)?;
        self.host.rename(&from, &self.resolve(to, false)?)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.host.set_mode(&self.resolve(path, true)?, mode)
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        let real = self.resolve(path, follow)?;
        self.host.set_owner(&real, uid, gid, false)
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        self.host
            .set_times(&self.resolve(path, true)?, accessed, modified)
    }

    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        process::run(command, self, Some(&self.root), None)
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        process::start(command, self, Some(&self.root), None)
    }

    fn signal(&self, pid: u32, signal: i32) -> io::Result<()> {
        self.host.signal(pid, signal)
    }

    fn set_env(&self, name: &OsStr, value: Option<&OsStr>) {
        self.host.set_env(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("salt-rooted-{name}-{}", std::process::id()));
            std::fs::remove_dir_all(&path).ok();
            std::fs::create_dir_all(path.join("root/etc")).unwrap();
            std::fs::create_dir_all(path.join("outside")).unwrap();
            std::fs::write(path.join("outside/secret"), "secret").unwrap();
            Self(path)
        }

        fn rooted(&self) -> Rooted {
            Rooted::new(self.0.join("root")).unwrap()
        }

        fn link(&self, name: &str, target: &str) {
            std::os::unix::fs::symlink(target, self.0.join("root").join(name)).unwrap();
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let tree = Tree::new("inside");
        let outside = tree.0.join("outside/secret");
        tree.link("absolute", &outside.to_string_lossy());
        tree.link("upwards", "../../outside/secret");
        tree.link("around", "around");
        tree.link("etc/dir", "/");
        let rooted = tree.rooted();

        for path in [
            "/absolute",
            "/upwards",
            "/../outside/secret",
            "/etc/../../outside/secret",
        ] {
            assert!(rooted.read(Path::new(path)).unwrap().is_none(), "{path}");
        }
        assert!(rooted.read(Path::new("/around")).is_err());

        rooted
            .write(Path::new("/etc/dir/etc/motd"), b"hi", &WriteOptions::new())
            .unwrap();
        let written = std::fs::read(tree.0.join("root/etc/motd")).unwrap();
        assert_eq!(written, b"hi");
        let real = rooted.canonicalize(Path::new("/etc/dir/etc/motd")).unwrap();
        assert_eq!(real, Path::new("/etc/motd"));
    }

    #[test]
    fn writing_through_a_link_does_not_leave() {
        let tree = Tree::new("write");
        tree.link("out", &tree.0.join("outside/secret").to_string_lossy());
        let rooted = tree.rooted();

        rooted
            .write(Path::new("/out"), b"changed", &WriteOptions::new())
            .unwrap();

        let outside = std::fs::read(tree.0.join("outside/secret")).unwrap();
        assert_eq!(outside, b"secret");
        assert_eq!(rooted.read(Path::new("/out")).unwrap().unwrap(), b"changed");
    }

    #[test]
    fn users_are_those_of_the_tree() {
        let tree = Tree::new("users");
        std::fs::write(tree.0.join("root/etc/passwd"), "app:x:7:7::/app:/bin/sh\n").unwrap();

        let rooted = tree.rooted();

        assert_eq!(rooted.user("app").unwrap().unwrap().uid, 7);
        assert_eq!(rooted.user("root").unwrap(), None);
    }
}
