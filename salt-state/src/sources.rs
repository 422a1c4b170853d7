//! The files of the state tree: what `salt://` leads to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

/// Files by environment (`base`, `dev`, …) and relative path (`nginx/init.sls`).
///
/// Paths are `/`-separated, without `salt://` and without a leading slash. A path that is
/// not there, or that would lead out of the tree, is `None`.
pub trait Sources: Send + Sync {
    /// The environments, in the order they were configured in; `__env__` among them when
    /// it stands for those that are not named.
    fn environments(&self) -> io::Result<Vec<String>>;

    /// All files of an environment, sorted; empty for an unknown one.
    fn files(&self, environment: &str) -> io::Result<Vec<String>>;

    /// All directories of an environment, sorted.
    fn directories(&self, environment: &str) -> io::Result<Vec<String>>;

    /// All symbolic links of an environment with what they say, sorted.
    fn links(&self, _environment: &str) -> io::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    /// Opens a file.
    fn open(&self, environment: &str, path: &str) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// Where a file is on this machine, when it is a file here.
    fn local_path(&self, _environment: &str, _path: &str) -> Option<PathBuf> {
        None
    }

    /// The ten numbers of `os.stat` for a file, as its keeper sees it: mode, inode,
    /// device, links, uid, gid, size, and the three times in whole seconds.
    fn stat(&self, _environment: &str, _path: &str) -> io::Result<Option<[i64; 10]>> {
        Ok(None)
    }

    /// A whole file.
    fn read(&self, environment: &str, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open(environment, path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Whether there is a file at `path`.
    fn contains(&self, environment: &str, path: &str) -> bool {
        matches!(self.open(environment, path), Ok(Some(_)))
    }
}

/// Directories of this machine, as `file_roots` names them: for each environment a list
/// of roots, the first that has a file wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    roots: IndexMap<String, Vec<PathBuf>>,
}

impl Roots {
    /// No environment at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a root at the end of an environment's list.
    #[must_use]
    pub fn root(mut self, environment: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        self.roots
            .entry(environment.into())
            .or_default()
            .push(root.into());
        self
    }

    /// The roots of an environment; `__env__` stands for those that are not named.
    fn of(&self, environment: &str) -> Vec<PathBuf> {
        match self.roots.get(environment) {
            Some(roots) => roots.clone(),
            None => self
                .roots
                .get("__env__")
                .into_iter()
                .flatten()
                .map(|root| PathBuf::from(root.to_string_lossy().replace("__env__", environment)))
                .collect(),
        }
    }

    fn find(&self, environment: &str, path: &str) -> Option<PathBuf> {
        let path = relative(path)?;
        self.of(environment)
            .into_iter()
            .map(|root| root.join(path))
            .find(|full| full.is_file())
    }

    fn walk(&self, environment: &str, what: Listed) -> io::Result<Vec<(String, String)>> {
        let mut all = BTreeMap::new();
        for root in self.of(environment) {
            let mut seen = Vec::new();
            walk(&root, "", what, &mut all, &mut seen)?;
        }
        Ok(all.into_iter().collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Files,
    Directories,
    Links,
}

/// A path that stays below the root: no empty name, no `..`, not absolute.
fn relative(path: &str) -> Option<&Path> {
    let plain = !path.is_empty()
        && !path.contains('\0')
        && path
            .split('/')
            .all(|name| !name.is_empty() && name != "." && name != "..");
    plain.then(|| Path::new(path))
}

fn walk(
    root: &Path,
    below: &str,
    what: Listed,
    all: &mut BTreeMap<String, String>,
    seen: &mut Vec<(u64, u64)>,
) -> io::Result<()> {
    let directory = root.join(below);
    let meta = match fs::metadata(&directory) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", directory.display()),
            ));
        }
    };
    let here = (meta.dev(), meta.ino());
    // A link to a directory above would lead round and round.
    if !meta.is_dir() || seen.contains(&here) {
        return Ok(());
    }
    seen.push(here);
    if what == Listed::Directories {
        let name = if below.is_empty() { "." } else { below };
        all.insert(name.to_owned(), String::new());
    }
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
    };
    for entry in fs::read_dir(&directory).map_err(named)? {
        let entry = entry.map_err(named)?;
        // A name that is not text cannot be asked for.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if what == Listed::Links && entry.file_type()?.is_symlink() {
            let target = fs::read_link(entry.path())?;
            all.entry(path.clone())
                .or_insert_with(|| target.to_string_lossy().into_owned());
        }
        let Ok(meta) = fs::metadata(entry.path()) else {
            continue;
        };
        if meta.is_dir() {
            walk(root, &path, what, all, seen)?;
        } else if meta.is_file() && what == Listed::Files {
            all.insert(path, String::new());
        }
    }
    seen.pop();
    Ok(())
}

fn names(found: Vec<(String, String)>) -> Vec<String> {
    found.into_iter().map(|(name, _)| name).collect()
}

impl Sources for Roots {
    fn environments(&self) -> io::Result<Vec<String>> {
        Ok(self.roots.keys().cloned().collect())
    }

    fn files(&self, environment: &str) -> io::Result<Vec<String>> {
        self.walk(environment, Listed::Files).map(names)
    }

    fn directories(&self, environment: &str) -> io::Result<Vec<String>> {
        self.walk(environment, Listed::Directories).map(names)
    }

    fn links(&self, environment: &str) -> io::Result<Vec<(String, String)>> {
        self.walk(environment, Listed::Links)
    }

    fn open(&self, environment: &str, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        match self.find(environment, path) {
            Some(full) => Ok(Some(Box::new(File::open(full)?))),
            None => Ok(None),
        }
    }

    fn local_path(&self, environment: &str, path: &str) -> Option<PathBuf> {
        self.find(environment, path)
    }

    fn stat(&self, environment: &str, path: &str) -> io::Result<Option<[i64; 10]>> {
        let Some(full) = self.find(environment, path) else {
            return Ok(None);
        };
        let meta = fs::metadata(full)?;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(Some([
            meta.mode().into(),
            number(meta.ino()),
            number(meta.dev()),
            number(meta.nlink()),
            meta.uid().into(),
            meta.gid().into(),
            number(meta.size()),
            meta.atime(),
            meta.mtime(),
            meta.ctime(),
        ]))
    }
}

/// Files in memory, for tests and for programs that carry their tree along.
///
/// ```
/// use salt_state::{MemorySources, Sources};
///
/// let tree = MemorySources::new().file("base", "a/b.sls", "{}");
///
/// assert_eq!(tree.files("base").unwrap(), ["a/b.sls"]);
/// assert_eq!(tree.directories("base").unwrap(), [".", "a"]);
/// assert_eq!(tree.read("base", "a/b.sls").unwrap().as_deref(), Some(b"{}".as_slice()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemorySources {
    files: IndexMap<String, BTreeMap<String, Vec<u8>>>,
}

impl MemorySources {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn file(
        mut self,
        environment: impl Into<String>,
        path: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        self.files
            .entry(environment.into())
            .or_default()
            .insert(path.into(), content.into());
        self
    }
}

impl Sources for MemorySources {
    fn environments(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn files(&self, environment: &str) -> io::Result<Vec<String>> {
        Ok(self
            .files
            .get(environment)
            .map(|files| files.keys().cloned().collect())
            .unwrap_or_default())
    }

    fn directories(&self, environment: &str) -> io::Result<Vec<String>> {
        let mut all = std::collections::BTreeSet::new();
        for path in self.files(environment)? {
            all.insert(".".to_owned());
            let mut end = 0;
            while let Some(at) = path.get(end..).and_then(|rest| rest.find('/')) {
                all.insert(path.get(..end + at).unwrap_or_default().to_owned());
                end += at + 1;
            }
        }
        Ok(all.into_iter().collect())
    }

    fn open(&self, environment: &str, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        Ok(self
            .files
            .get(environment)
            .and_then(|files| files.get(path))
            .map(|content| Box::new(Cursor::new(content.clone())) as Box<dyn Read + Send>))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_root() {
        for path in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "",
            "a//b",
            "./a",
            "a\0b",
        ] {
            assert_eq!(relative(path), None, "{path:?}");
        }
        assert_eq!(relative("a/b.sls"), Some(Path::new("a/b.sls")));
    }
}
