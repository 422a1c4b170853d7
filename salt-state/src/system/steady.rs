//! Paths that lead where they led when they were looked at.
//!
//! Between a state's check and what it does, and while it does it, somebody who may write
//! to a directory above can put a link there, and the state would change what it never
//! looked at. [`Watched`] remembers where the paths led that a check asked for, [`Steady`]
//! refuses to change anything where that is different by now, as the kernel refuses a link
//! that must not be followed (`ELOOP`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::pass_on::pass_on;
use super::{
    Command, CommandError, Conversation, FileKind, Metadata, Node, Observe, Output, System,
    Timestamp, WriteOptions,
};

/// Where a directory was.
#[derive(Clone, Debug)]
struct Place {
    /// Its path without links.
    real: PathBuf,
    /// Whether it was there, rather than to be made.
    was_there: bool,
}

/// Where paths led.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    directories: BTreeMap<PathBuf, Place>,
    /// What a path itself said where it was a link; `None`: it was none.
    links: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Places {
    fn look(&mut self, path: &Path, machine: &dyn Observe) {
        let is_plain = path.is_absolute()
            && path
                .components()
                .all(|part| !matches!(part, Component::ParentDir));
        if !is_plain || self.links.contains_key(path) {
            return;
        }
        let target = match machine.link_metadata(path) {
            Ok(Some(found)) if found.kind == FileKind::Symlink => machine.read_link(path).ok(),
            _ => None,
        };
        self.links.insert(path.to_owned(), target);
        if let Some(parent) = path.parent()
            && !self.directories.contains_key(parent)
        {
            self.place(parent, machine);
        }
    }

    /// Remembers where a directory is, or would be when what is missing above it is made.
    fn place(&mut self, directory: &Path, machine: &dyn Observe) {
        for above in directory.ancestors() {
            match machine.canonicalize(above) {
                Ok(real) => {
                    for made in directory.ancestors().take_while(|made| *made != above) {
                        if let Ok(rest) = made.strip_prefix(above) {
                            let place = Place {
                                real: real.join(rest),
                                was_there: false,
                            };
                            self.directories.insert(made.to_owned(), place);
                        }
                    }
                    let place = Place {
                        real,
                        was_there: true,
                    };
                    self.directories.insert(above.to_owned(), place);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return,
            }
        }
    }

    /// Forgets what a change of our own moves.
    fn forget(&mut self, path: &Path) {
        self.directories.retain(|known, _| !known.starts_with(path));
        self.links.retain(|known, _| !known.starts_with(path));
    }
}

/// A machine that remembers where the paths led that it was asked for.
pub(crate) struct Watched<'a> {
    below: &'a dyn Observe,
    places: Mutex<Places>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(below: &'a dyn Observe) -> Self {
        Self {
            below,
            places: Mutex::default(),
        }
    }

    /// Where they led.
    pub(crate) fn into_places(self) -> Places {
        self.places
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, path: &Path) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.look(path, self.below);
    }
}

impl Observe for Watched<'_> {
    pass_on!(below: canonicalize, filesystem, query,
        identity, kernel, interfaces, probe,
        environment, now, sleep, interrupted, random, users, groups, user, user_by_id, group,
        group_by_id);

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.look(path);
        self.below.metadata(path)
    }

    fn link_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.look(path);
        self.below.link_metadata(path)
    }

    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        self.look(path);
        self.below.open(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.look(path);
        self.below.list(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.look(path);
        self.below.read_link(path)
    }
}

/// A machine on which only what leads where it led is changed.
pub(crate) struct Steady<'a> {
    below: &'a dyn System,
    places: Mutex<Places>,
}

impl<'a> Steady<'a> {
    pub(crate) fn new(below: &'a dyn System, places: Places) -> Self {
        Self {
            below,
            places: Mutex::new(places),
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path without links above its last name where it is known to have none; an error
    /// where the directories lead elsewhere by now.
    fn steady(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Some(parent) = path.parent() else {
            return Ok(None);
        };
        let places = self.places();
        let known = parent
            .ancestors()
            .find_map(|above| Some((above, places.directories.get(above)?)));
        let Some((above, place)) = known else {
            return Ok(None);
        };
        match self.below.canonicalize(above) {
            Ok(real) if real != place.real => Err(Errno::LOOP.into()),
            Ok(real) if above == parent => Ok(path.file_name().map(|name| real.join(name))),
            // What changes nothing will say so itself.
            _ => Ok(None),
        }
    }

    /// As [`Self::steady`], where the path itself would be followed too.
    fn steady_end(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let steady = self.steady(path)?;
        let then = self.places().links.get(path).cloned();
        if let Some(then) = then {
            let now = match self.below.link_metadata(path)? {
                Some(found) if found.kind == FileKind::Symlink => Some(self.below.read_link(path)?),
                _ => None,
            };
            if now.is_some() && now != then {
                return Err(Errno::LOOP.into());
            }
        }
        Ok(steady)
    }

    fn changing<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&dyn System) -> io::Result<T>,
    ) -> io::Result<T> {
        self.steady(path)?;
        let done = change(self.below);
        if done.is_ok() {
            self.places().forget(path);
        }
        done
    }

    /// A command may have made directories, and links to them.
    fn forget_what_was_missing(&self) {
        self.places().directories.retain(|_, place| place.was_there);
    }
}

impl Observe for Steady<'_> {
    pass_on!(below: metadata, link_metadata, open, list, read_link, filesystem, query,
        identity, kernel, interfaces, probe, environment, now, sleep, interrupted, random,
        users, groups, user, user_by_id, group, group_by_id);

    /// Whoever asks for this writes there next.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.steady_end(path)?;
        self.below.canonicalize(path)
    }
}

impl System for Steady<'_> {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        let steady = if options.follow {
            self.steady_end(path)?
        } else {
            self.steady(path)?
        };
        let Some(steady) = steady else {
            return self.below.write_from(path, content, options);
        };
        let options = WriteOptions {
            no_links: true,
            ..options.clone()
        };
        self.below.write_from(&steady, content, &options)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.steady(path)?;
        self.below.create_dir(path, mode)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.changing(link, |below| below.symlink(target, link))
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        self.steady(source)?;
        self.steady(link)?;
        self.below.hard_link(source, link)
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        self.steady(path)?;
        self.below.make_node(path, node, mode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.changing(path, |below| below.remove(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.steady(to)?;
        self.changing(from, |below| below.rename(from, to))?;
        self.places().forget(to);
        Ok(())
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.steady_end(path)?;
        self.below.set_mode(path, mode)
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        if follow {
            self.steady_end(path)?;
        } else {
            self.steady(path)?;
        }
        self.below.set_owner(path, uid, gid, follow)
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        self.steady_end(path)?;
        self.below.set_times(path, accessed, modified)
    }

    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let output = self.below.run(command);
        self.forget_what_was_missing();
        output
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        let started = self.below.start(command);
        self.forget_what_was_missing();
        started
    }

    fn converse(&self, command: &Command) -> Result<Box<dyn Conversation>, CommandError> {
        let conversation = self.below.converse(command);
        self.forget_what_was_missing();
        conversation
    }

    fn signal(&self, pid: u32, signal: i32) -> io::Result<()> {
        self.below.signal(pid, signal)
    }

    fn set_env(&self, name: &OsStr, value: Option<&OsStr>) {
        self.below.set_env(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    fn watched(machine: &FakeSystem, paths: &[&str]) -> Places {
        let watched = Watched::new(machine);
        for path in paths {
            watched.exists(Path::new(path));
        }
        watched.into_places()
    }

    fn swap(machine: &FakeSystem, path: &str, target: &str) {
        let path = Path::new(path);
        machine.remove_all(path).unwrap();
        machine.symlink(Path::new(target), path).unwrap();
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(done: io::Result<T>) {
        let code = done.unwrap_err().raw_os_error();
        assert_eq!(code, Some(Errno::LOOP.raw_os_error()));
    }

    // P-01
    #[test]
    fn what_leads_elsewhere_by_now_is_not_changed() {
        let machine = FakeSystem::new().file("/d/f", "old").directory("/out");
        let places = watched(&machine, &["/d/f", "/d/new/x"]);
        swap(&machine, "/d", "out");
        let before = machine.tree();
        let steady = Steady::new(&machine, places);

        let path = Path::new("/d/f");
        refused(steady.write(path, b"new", &WriteOptions::new()));
        refused(steady.symlink(Path::new("x"), path));
        refused(steady.create_dir(path, 0o755));
        refused(steady.create_dir_all(Path::new("/d/new/x"), 0o755));
        refused(steady.set_owner(path, Some(1), None, false));
        refused(steady.rename(Path::new("/tmp/x"), path));
        assert_eq!(machine.tree(), before);
    }

    #[test]
    fn a_file_that_became_a_link_is_not_followed() {
        let machine = FakeSystem::new()
            .file("/d/f", "old")
            .file("/shadow", "kept")
            .link("/d/l", "f");
        let places = watched(&machine, &["/d/f", "/d/l"]);
        swap(&machine, "/d/f", "/shadow");
        let steady = Steady::new(&machine, places);

        let follow = WriteOptions {
            follow: true,
            ..WriteOptions::new()
        };
        refused(steady.write(Path::new("/d/f"), b"new", &follow));
        refused(steady.set_mode(Path::new("/d/f"), 0o777));
        swap(&machine, "/d/l", "/shadow");
        refused(steady.write(Path::new("/d/l"), b"new", &follow));
        assert_eq!(
            machine.text(Path::new("/shadow")).unwrap().as_deref(),
            Some("kept")
        );
    }

    #[test]
    fn links_that_were_there_and_changes_of_our_own_are_none_of_that() {
        let machine = FakeSystem::new()
            .directory("/run")
            .link("/var/run", "/run")
            .link("/d/old", "/run");
        let places = watched(&machine, &["/var/run/f", "/d/old", "/d/old/x"]);
        let steady = Steady::new(&machine, places);

        steady
            .write(Path::new("/var/run/f"), b"1", &WriteOptions::new())
            .unwrap();
        steady.remove(Path::new("/d/old")).unwrap();
        steady.create_dir(Path::new("/d/old"), 0o755).unwrap();
        steady
            .write(Path::new("/d/old/x"), b"1", &WriteOptions::new())
            .unwrap();

        assert!(machine.is_file(Path::new("/run/f")));
        assert!(!machine.exists(Path::new("/run/x")));
    }
}
