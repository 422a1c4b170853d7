//! What differs from a machine, and what is where when both are taken together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use crate::system::metadata::Environment;
use crate::system::paths::{self, Seen};
use crate::system::{FileKind, Metadata, Observe, Timestamp};

/// Numbers of files that are there only in a rehearsal start here, where no file system
/// counts.
const FIRST_INODE: u64 = 1 << 63;

/// What the layer said of a path before it was changed; `None`: nothing.
type Before = (PathBuf, Option<Option<Arc<Entry>>>);

/// What differs from the machine below.
#[derive(Default)]
pub(super) struct Layer {
    /// What is at a path without links in it; `None`: nothing any more.
    pub(super) names: BTreeMap<PathBuf, Option<Arc<Entry>>>,
    pub(super) environment: Option<Environment>,
    serial: u64,
    pub(super) bytes: usize,
    pub(super) slept: Duration,
    /// Something was asked for that cannot be tried out.
    pub(super) beyond: bool,
    /// How to take back what is being tried.
    pub(super) journal: Option<Vec<Before>>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) content: Content,
    pub(super) facts: Metadata,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Bytes(Arc<[u8]>),
    /// What the machine below has at this path.
    Below(PathBuf),
    /// With what the machine below has in it, or without.
    Directory {
        covers: bool,
    },
    Link(PathBuf),
}

impl Layer {
    /// What is at a path without links above its last component.
    pub(super) fn at(&self, below: &dyn Observe, path: &Path) -> io::Result<Option<Arc<Entry>>> {
        for above in path.ancestors() {
            match self.names.get(above) {
                Some(found) if above == path => return Ok(found.clone()),
                Some(None) => return Ok(None),
                Some(Some(found)) => match found.content {
                    Content::Directory { covers: false } => break,
                    _ => return Ok(None),
                },
                None => {}
            }
        }
        let Some(facts) = below.link_metadata(path)? else {
            return Ok(None);
        };
        let content = match facts.kind {
            FileKind::Directory => Content::Directory { covers: false },
            FileKind::Symlink => Content::Link(below.read_link(path)?),
            _ => Content::Below(path.to_owned()),
        };
        Ok(Some(Arc::new(Entry { content, facts })))
    }

    /// The path without links; the last component need not exist.
    pub(super) fn resolve(
        &self,
        below: &dyn Observe,
        path: &Path,
        follow: bool,
    ) -> io::Result<PathBuf> {
        let from = below.identity().cwd.join(path);
        paths::resolve(&from, follow, |here| {
            Ok(match self.at(below, here)?.as_deref() {
                None => Seen::Nothing,
                Some(found) => match &found.content {
                    Content::Link(target) => Seen::Link(target.clone()),
                    Content::Directory { .. } => Seen::Directory,
                    Content::Bytes(_) | Content::Below(_) => Seen::Other,
                },
            })
        })
    }

    /// The names in a directory, sorted.
    pub(super) fn names_in(
        &self,
        below: &dyn Observe,
        path: &Path,
        covers: bool,
    ) -> io::Result<Vec<OsString>> {
        let mut names = if covers {
            Vec::new()
        } else {
            below.list(path)?
        };
        for (other, entry) in self.names.range(path.to_owned()..) {
            if !other.starts_with(path) {
                break;
            }
            let (Some(parent), Some(name)) = (other.parent(), other.file_name()) else {
                continue;
            };
            if parent != path {
                continue;
            }
            names.retain(|known| known != name);
            if entry.is_some() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All that moves with what is at `from`, by its path below; what contains comes first.
    pub(super) fn moved(
        &self,
        below: &dyn Observe,
        from: &Path,
        found: Arc<Entry>,
    ) -> io::Result<Vec<(PathBuf, Entry)>> {
        let mut moved = Vec::new();
        let mut todo = vec![(PathBuf::new(), found)];
        while let Some((inside, found)) = todo.pop() {
            let mut entry = Entry::clone(&found);
            if let Content::Directory { covers } = &mut entry.content {
                let here = join(from, &inside);
                for name in self.names_in(below, &here, *covers)? {
                    if let Some(child) = self.at(below, &here.join(&name))? {
                        todo.push((inside.join(&name), child));
                    }
                }
                *covers = true;
            }
            moved.push((inside, entry));
        }
        Ok(moved)
    }

    pub(super) fn fresh(&mut self, below: &dyn Observe, kind: FileKind, mode: u32) -> Metadata {
        let now = Timestamp::from(self.now(below));
        let identity = below.identity();
        self.serial += 1;
        Metadata {
            kind,
            mode: mode & 0o7777,
            uid: identity.uid,
            gid: identity.gid,
            size: 0,
            device: 0,
            inode: FIRST_INODE + self.serial,
            links: 1,
            node: (0, 0),
            accessed: now,
            modified: now,
            changed: now,
        }
    }

    pub(super) fn now(&self, below: &dyn Observe) -> SystemTime {
        below.now() + self.slept
    }

    /// Whether names may come and go in the directory of a resolved path.
    pub(super) fn may_change(&self, below: &dyn Observe, path: &Path) -> io::Result<()> {
        let parent = path.parent().ok_or(Errno::BUSY)?;
        let found = self.at(below, parent)?.ok_or(Errno::NOENT)?;
        if !found.facts.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        let identity = below.identity();
        let bits = if identity.uid == 0 {
            return Ok(());
        } else if identity.uid == found.facts.uid {
            0o300
        } else if identity.gid == found.facts.gid {
            0o030
        } else {
            0o003
        };
        if found.facts.mode & bits == bits {
            Ok(())
        } else {
            Err(Errno::ACCESS.into())
        }
    }

    /// Puts something at a path without links, or takes it away.
    pub(super) fn set(&mut self, path: PathBuf, entry: Option<Arc<Entry>>) {
        let before = self.names.insert(path.clone(), entry);
        if let Some(journal) = &mut self.journal {
            journal.push((path, before));
        }
    }
}

/// `path/below`, without a slash at the end where nothing is below.
pub(super) fn join(path: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        path.to_owned()
    } else {
        path.join(below)
    }
}
