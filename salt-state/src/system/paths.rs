//! How a path leads to what it names, for machines whose files are not simply this one's.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

/// How many links one path may go through, as in the kernel.
const LINK_LIMIT: usize = 40;

/// What is at a path without links in it.
pub(super) enum Seen {
    Link(PathBuf),
    Directory,
    Other,
    Nothing,
}

/// The path without links and `..`, from the root on; the last component need not exist,
/// and a link there stays with `follow` false. `..` stops at the root.
///
/// # Errors
///
/// `ENOENT`, `ENOTDIR` and `ELOOP` as the kernel has them, and what `at` reports.
pub(super) fn resolve(
    path: &Path,
    follow: bool,
    mut at: impl FnMut(&Path) -> io::Result<Seen>,
) -> io::Result<PathBuf> {
    let mut done = PathBuf::from("/");
    let mut todo: Vec<OsString> = names(path).into_iter().rev().collect();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            done.pop();
            continue;
        }
        let here = done.join(&name);
        match at(&here)? {
            Seen::Link(target) if follow || !todo.is_empty() => {
                links += 1;
                if links > LINK_LIMIT {
                    return Err(Errno::LOOP.into());
                }
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                todo.extend(names(&target).into_iter().rev());
            }
            Seen::Directory => done = here,
            _ if todo.is_empty() => done = here,
            Seen::Nothing => return Err(Errno::NOENT.into()),
            Seen::Link(_) | Seen::Other => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok(done)
}

/// The names in a path, `.` left out.
pub(super) fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// A missing path as `None`, the rest as it is. Links that lead round and names that no
/// file system takes lead to nothing either.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) || [Errno::LOOP, Errno::NAMETOOLONG]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
