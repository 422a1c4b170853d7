//! A machine on which changes are tried out and never made.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::accounts::{parse_group, parse_user};
use super::metadata::Environment;
use super::pass_on::pass_on;
use super::paths::found;
use super::{
    Command, CommandError, Conversation, FileKind, FilesystemUsage, Group, Metadata, Node, Observe,
    Output, System, Timestamp, User, WriteOptions,
};

mod layer;

use layer::{Content, Entry, Layer, join};

/// How many bytes may be written before a rehearsal gives up.
const BYTES_LIMIT: usize = 256 << 20;

/// Another machine with changes on top that stay in memory.
///
/// Files are read from below and written here, so a state that is carried out on it comes
/// to what it would come to in earnest, and the next one finds what it left. What a dry
/// run asks with commands is asked below, where nothing of what was written is seen; in
/// [`Rehearsal::try_out`] no command is run that may change something, and what needs one
/// is taken back.
///
/// ```
/// use salt_state::{FakeSystem, Observe, Rehearsal, System, WriteOptions};
/// use std::path::Path;
///
/// let machine = FakeSystem::new().file("/etc/motd", "hello\n");
/// let rehearsal = Rehearsal::new(&machine);
///
/// rehearsal.write(Path::new("/etc/motd"), b"bye\n", &WriteOptions::new())?;
///
/// assert_eq!(rehearsal.text(Path::new("/etc/motd"))?.as_deref(), Some("bye\n"));
/// assert_eq!(machine.text(Path::new("/etc/motd"))?.as_deref(), Some("hello\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Rehearsal<'a> {
    below: &'a dyn System,
    layer: Mutex<Layer>,
}

impl fmt::Debug for Rehearsal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal")
            .field("changed", &self.layer().names.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl<'a> Rehearsal<'a> {
    /// Nothing is changed yet.
    pub fn new(below: &'a dyn System) -> Self {
        Self {
            below,
            layer: Mutex::default(),
        }
    }

    /// Does something that also says whether to keep what it left. If not, or if it needed
    /// what cannot be tried out (a command that changes something, a signal, more memory
    /// than there should be), everything is as before, and in the second case the answer
    /// is `None`.
    pub fn try_out<T>(&self, something: impl FnOnce() -> (T, bool)) -> Option<T> {
        let (bytes, environment) = {
            let mut layer = self.layer();
            layer.journal = Some(Vec::new());
            layer.beyond = false;
            (layer.bytes, layer.environment.clone())
        };
        let (done, keep) = something();
        let mut layer = self.layer();
        let journal = layer.journal.take().unwrap_or_default();
        let beyond = std::mem::take(&mut layer.beyond);
        if beyond || !keep {
            layer.bytes = bytes;
            layer.environment = environment;
            for (path, before) in journal.into_iter().rev() {
                match before {
                    Some(before) => layer.names.insert(path, before),
                    None => layer.names.remove(&path),
                };
            }
        }
        (!beyond).then_some(done)
    }

    /// The directories in which something would be different, without links in their paths,
    /// in order.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let layer = self.layer();
        let mut places: Vec<PathBuf> = layer
            .names
            .keys()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect();
        places.sort();
        places.dedup();
        places
    }

    fn layer(&self) -> MutexGuard<'_, Layer> {
        self.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self, path: &Path, follow: bool) -> io::Result<Option<Arc<Entry>>> {
        let layer = self.layer();
        match found(layer.resolve(self.below, path, follow))? {
            Some(path) => layer.at(self.below, &path),
            None => Ok(None),
        }
    }

    /// Changes the facts of what is at a resolved path.
    fn amend(
        &self,
        path: &Path,
        follow: bool,
        change: impl FnOnce(&mut Metadata),
    ) -> io::Result<()> {
        let mut layer = self.layer();
        let path = layer.resolve(self.below, path, follow)?;
        let found = layer.at(self.below, &path)?.ok_or(Errno::NOENT)?;
        let mut entry = Entry::clone(&found);
        change(&mut entry.facts);
        entry.facts.changed = layer.now(self.below).into();
        if entry.facts.links > 1 {
            // The file changes under all names that this layer knows.
            let number = (entry.facts.device, entry.facts.inode);
            let mut names: Vec<PathBuf> = layer
                .names
                .iter()
                .filter(|(_, entry)| {
                    entry
                        .as_ref()
                        .is_some_and(|entry| (entry.facts.device, entry.facts.inode) == number)
                })
                .map(|(path, _)| path.clone())
                .collect();
            if !names.contains(&path) {
                names.push(path);
            }
            let entry = Arc::new(entry);
            for name in names {
                layer.set(name, Some(Arc::clone(&entry)));
            }
            return Ok(());
        }
        layer.set(path, Some(Arc::new(entry)));
        Ok(())
    }

    /// A new entry at a path that is free.
    fn make(&self, path: &Path, content: Content, kind: FileKind, mode: u32) -> io::Result<()> {
        let mut layer = self.layer();
        let path = layer.resolve(self.below, path, false)?;
        if layer.at(self.below, &path)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        layer.may_change(self.below, &path)?;
        let facts = layer.fresh(self.below, kind, mode);
        layer.set(path, Some(Arc::new(Entry { content, facts })));
        Ok(())
    }

    /// Notes that what is tried out needs more than files.
    fn refuse(&self) -> io::Error {
        self.layer().beyond = true;
        Errno::NOTSUP.into()
    }

    /// An account by the file that holds it, where that was changed; what was never in the
    /// file is asked for below, where accounts may come from elsewhere.
    fn account<T>(
        &self,
        file: &str,
        parse: fn(&str) -> Option<T>,
        is_it: impl Fn(&T) -> bool,
        below: impl FnOnce() -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let file = Path::new(file);
        if !self.layer().names.contains_key(file) {
            return below();
        }
        let among = |text: Option<String>| {
            let text = text.unwrap_or_default();
            text.lines().filter_map(parse).find(&is_it)
        };
        if let Some(found) = among(self.text(file)?) {
            return Ok(Some(found));
        }
        if among(self.below.text(file)?).is_some() {
            return Ok(None);
        }
        below()
    }
}

impl Observe for Rehearsal<'_> {
    pass_on!(below: query, identity, kernel, interfaces, probe, interrupted, random);

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        Ok(self.found(path, true)?.map(|found| found.facts.clone()))
    }

    fn link_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        Ok(self.found(path, false)?.map(|found| found.facts.clone()))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        match self
            .found(path, true)?
            .as_deref()
            .map(|found| &found.content)
        {
            None => Ok(None),
            Some(Content::Bytes(bytes)) => Ok(Some(Box::new(Cursor::new(Arc::clone(bytes))))),
            Some(Content::Below(path)) => self.below.open(path),
            Some(Content::Directory { .. }) => Err(Errno::ISDIR.into()),
            Some(Content::Link(_)) => Err(Errno::LOOP.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let layer = self.layer();
        let path = layer.resolve(self.below, path, true)?;
        match layer
            .at(self.below, &path)?
            .as_deref()
            .map(|found| &found.content)
        {
            None => Err(Errno::NOENT.into()),
            Some(Content::Directory { covers }) => layer.names_in(self.below, &path, *covers),
            Some(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self
            .found(path, false)?
            .as_deref()
            .map(|found| &found.content)
        {
            None => Err(Errno::NOENT.into()),
            Some(Content::Link(target)) => Ok(target.clone()),
            Some(_) => Err(Errno::INVAL.into()),
        }
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let layer = self.layer();
        let path = layer.resolve(self.below, path, true)?;
        match layer.at(self.below, &path)? {
            Some(_) => Ok(path),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemUsage> {
        let there = path
            .ancestors()
            .find(|path| self.below.exists(path))
            .unwrap_or_else(|| Path::new("/"));
        self.below.filesystem(there)
    }

    fn environment(&self) -> Environment {
        let own = self.layer().environment.clone();
        own.unwrap_or_else(|| self.below.environment())
    }

    fn now(&self) -> SystemTime {
        let layer = self.layer();
        layer.now(self.below)
    }

    /// Takes no time.
    fn sleep(&self, time: Duration) {
        self.layer().slept += time;
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        self.account(
            "/etc/passwd",
            parse_user,
            |user| user.name == name,
            || self.below.user(name),
        )
    }

    fn user_by_id(&self, uid: u32) -> io::Result<Option<User>> {
        self.account(
            "/etc/passwd",
            parse_user,
            |user| user.uid == uid,
            || self.below.user_by_id(uid),
        )
    }

    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        self.account(
            "/etc/group",
            parse_group,
            |group| group.name == name,
            || self.below.group(name),
        )
    }

    fn group_by_id(&self, gid: u32) -> io::Result<Option<Group>> {
        self.account(
            "/etc/group",
            parse_group,
            |group| group.gid == gid,
            || self.below.group_by_id(gid),
        )
    }
}

impl System for Rehearsal<'_> {
    fn write_from(
        &self,
        path: &Path,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> io::Result<()> {
        let room = BYTES_LIMIT.saturating_sub(self.layer().bytes);
        let mut bytes = Vec::new();
        content
            .take(u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1))
            .read_to_end(&mut bytes)?;
        let mut layer = self.layer();
        if bytes.len() > room {
            layer.beyond = true;
            return Err(Errno::NOSPC.into());
        }
        layer.bytes += bytes.len();
        let path = layer.resolve(self.below, path, options.follow)?;
        layer.may_change(self.below, &path)?;
        let old = layer.at(self.below, &path)?;
        if old.as_ref().is_some_and(|old| old.facts.is_dir()) {
            return Err(Errno::ISDIR.into());
        }
        let old = old.filter(|old| !old.facts.is_link());
        let mut facts = layer.fresh(self.below, FileKind::File, 0o644);
        facts.size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let kept = |pick: fn(&Metadata) -> u32| old.as_ref().map(|old| pick(&old.facts));
        if let Some(mode) = options.mode.or_else(|| kept(|facts| facts.mode)) {
            facts.mode = mode & 0o7777;
        }
        if let Some(uid) = options.uid.or_else(|| kept(|facts| facts.uid)) {
            facts.uid = uid;
        }
        if let Some(gid) = options.gid.or_else(|| kept(|facts| facts.gid)) {
            facts.gid = gid;
        }
        let content = Content::Bytes(bytes.into());
        layer.set(path, Some(Arc::new(Entry { content, facts })));
        Ok(())
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.make(
            path,
            Content::Directory { covers: true },
            FileKind::Directory,
            mode,
        )
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.make(
            link,
            Content::Link(target.to_owned()),
            FileKind::Symlink,
            0o777,
        )
    }

    fn hard_link(&self, source: &Path, link: &Path) -> io::Result<()> {
        let mut layer = self.layer();
        let source = layer.resolve(self.below, source, false)?;
        let link = layer.resolve(self.below, link, false)?;
        let found = layer.at(self.below, &source)?.ok_or(Errno::NOENT)?;
        if layer.at(self.below, &link)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        if found.facts.is_dir() {
            return Err(Errno::PERM.into());
        }
        layer.may_change(self.below, &link)?;
        let mut entry = Entry::clone(&found);
        entry.facts.links += 1;
        let entry = Some(Arc::new(entry));
        layer.set(source, entry.clone());
        layer.set(link, entry);
        Ok(())
    }

    fn make_node(&self, path: &Path, node: Node, mode: u32) -> io::Result<()> {
        let (kind, number) = match node {
            Node::Fifo => (FileKind::Fifo, (0, 0)),
            Node::Char(major, minor) => (FileKind::CharDevice, (major, minor)),
            Node::Block(major, minor) => (FileKind::BlockDevice, (major, minor)),
        };
        self.make(path, Content::Bytes(Arc::default()), kind, mode)?;
        self.amend(path, false, |facts| facts.node = number)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut layer = self.layer();
        let path = layer.resolve(self.below, path, false)?;
        let found = layer.at(self.below, &path)?.ok_or(Errno::NOENT)?;
        if let Content::Directory { covers } = found.content
            && !layer.names_in(self.below, &path, covers)?.is_empty()
        {
            return Err(Errno::NOTEMPTY.into());
        }
        layer.may_change(self.below, &path)?;
        layer.set(path, None);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut layer = self.layer();
        let from = layer.resolve(self.below, from, false)?;
        let to = layer.resolve(self.below, to, false)?;
        let found = layer.at(self.below, &from)?.ok_or(Errno::NOENT)?;
        if to == from {
            return Ok(());
        }
        if to.starts_with(&from) {
            return Err(Errno::INVAL.into());
        }
        layer.may_change(self.below, &from)?;
        layer.may_change(self.below, &to)?;
        if let Some(there) = layer.at(self.below, &to)? {
            match (found.facts.is_dir(), &there.content) {
                (false, Content::Directory { .. }) => return Err(Errno::ISDIR.into()),
                (true, Content::Directory { covers }) => {
                    if !layer.names_in(self.below, &to, *covers)?.is_empty() {
                        return Err(Errno::NOTEMPTY.into());
                    }
                }
                (true, _) => return Err(Errno::NOTDIR.into()),
                (false, _) => {}
            }
        }
        for (below, entry) in layer.moved(self.below, &from, found)? {
            layer.set(join(&from, &below), None);
            layer.set(join(&to, &below), Some(Arc::new(entry)));
        }
        Ok(())
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.amend(path, true, |facts| facts.mode = mode & 0o7777)
    }

    fn set_owner(
        &self,
        path: &Path,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> io::Result<()> {
        let me = self.below.identity().uid;
        self.amend(path, follow, |facts| {
            facts.uid = uid.unwrap_or(facts.uid);
            facts.gid = gid.unwrap_or(facts.gid);
        })?;
        if me != 0 && uid.is_some_and(|uid| uid != me) {
            return Err(Errno::PERM.into());
        }
        Ok(())
    }

    fn set_times(
        &self,
        path: &Path,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> io::Result<()> {
        self.amend(path, true, |facts| {
            facts.accessed = accessed.unwrap_or(facts.accessed);
            facts.modified = modified.unwrap_or(facts.modified);
        })
    }

    /// Outside of [`Rehearsal::try_out`] a command is taken for a question.
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        if self.layer().journal.is_none() {
            return self.below.query(command);
        }
        Err(CommandError::start(&command.program, self.refuse()))
    }

    fn start(&self, command: &Command) -> Result<u32, CommandError> {
        Err(CommandError::start(&command.program, self.refuse()))
    }

    fn converse(&self, command: &Command) -> Result<Box<dyn Conversation>, CommandError> {
        Err(CommandError::start(&command.program, self.refuse()))
    }

    fn signal(&self, _pid: u32, _signal: i32) -> io::Result<()> {
        Err(self.refuse())
    }

    fn set_env(&self, name: &OsStr, value: Option<&OsStr>) {
        let mut environment = self.environment();
        environment.retain(|(key, _)| key != name);
        if let Some(value) = value {
            environment.push((name.to_owned(), value.to_owned()));
        }
        self.layer().environment = Some(environment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    fn below() -> FakeSystem {
        FakeSystem::new()
            .file("/d/one", "1")
            .file("/d/deep/two", "2")
            .link("/link", "/d")
            .command("touch", |_| Output::success(""))
    }

    fn text(machine: &Rehearsal<'_>, path: &str) -> Option<String> {
        machine.text(Path::new(path)).expect("readable")
    }

    #[test]
    fn a_moved_directory_takes_along_what_is_in_it() {
        let below = below();
        let machine = Rehearsal::new(&below);
        machine
            .write(Path::new("/d/new"), b"3", &WriteOptions::new())
            .expect("written");
        machine.remove(Path::new("/d/one")).expect("removed");

        machine
            .rename(Path::new("/link/../d"), Path::new("/e"))
            .expect("moved");

        assert_eq!(
            machine.list(Path::new("/e")).expect("names"),
            ["deep", "new"]
        );
        assert_eq!(text(&machine, "/e/deep/two").as_deref(), Some("2"));
        assert_eq!(text(&machine, "/e/new").as_deref(), Some("3"));
        assert_eq!(text(&machine, "/d/deep/two"), None);
        assert!(!machine.exists(Path::new("/link")));
        assert!(below.exists(Path::new("/d/one")));
    }

    #[test]
    fn a_directory_that_was_made_anew_is_empty() {
        let below = below();
        let machine = Rehearsal::new(&below);

        machine.remove_all(Path::new("/d")).expect("removed");
        machine.create_dir(Path::new("/d"), 0o700).expect("made");

        assert!(machine.list(Path::new("/d")).expect("names").is_empty());
        assert_eq!(text(&machine, "/d/one"), None);
    }

    #[test]
    fn two_names_of_a_file_have_the_same_facts() {
        let below = below();
        let machine = Rehearsal::new(&below);
        let (one, other) = (Path::new("/d/one"), Path::new("/d/other"));
        machine.hard_link(one, other).expect("linked");

        machine.set_mode(other, 0o600).expect("set");

        let [one, other] =
            [one, other].map(|path| machine.metadata(path).expect("facts").expect("there"));
        assert_eq!((one.mode, one.inode), (0o600, other.inode));
    }

    #[test]
    fn what_needs_a_command_is_taken_back() {
        let below = below();
        let machine = Rehearsal::new(&below);
        let write = |path: &str| machine.write(Path::new(path), b"x", &WriteOptions::new());

        let kept = machine.try_out(|| (write("/kept").is_ok(), true));
        let given_up = machine.try_out(|| {
            let wrote = write("/d/one").is_ok();
            (wrote && machine.run(&Command::new("touch")).is_err(), true)
        });
        let dropped = machine.try_out(|| (write("/kept").is_ok(), false));

        assert_eq!((kept, given_up, dropped), (Some(true), None, Some(true)));
        assert_eq!(text(&machine, "/kept").as_deref(), Some("x"));
        assert_eq!(text(&machine, "/d/one").as_deref(), Some("1"));
        assert!(below.commands().is_empty());
    }

    #[test]
    fn accounts_are_those_of_the_changed_file() {
        let below = FakeSystem::new().file("/etc/passwd", "old:x:5:5::/:/bin/sh\n");
        let machine = Rehearsal::new(&below);
        let line = b"new:x:6:6::/:/bin/sh\n";

        machine
            .write(Path::new("/etc/passwd"), line, &WriteOptions::new())
            .expect("written");

        assert!(machine.user("new").expect("an answer").is_some());
        assert!(machine.user_by_id(5).expect("an answer").is_none());
    }
}
