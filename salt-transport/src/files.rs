//! The master's file server: the trees of `file_roots`, read for minions and never left.
//!
//! A path from a minion is a list of plain components, opened below a root by the kernel without following a link out
//! of it (P-01), and only regular files are read, without ever waiting for one (P-03).

mod tree;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::GzEncoder;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use salt_proto::message::{AesCommand, FileCommand, FileRequest, ListRequest, ServeFile};
use salt_proto::{Map, SaltUrl, Value};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use tree::Listing;

/// The environment of requests that name none.
const DEFAULT_ENV: &str = "base";
/// Hashes and listings remembered; beyond that they are made again.
const MAX_REMEMBERED: usize = 10_000;

/// How files are served.
#[derive(Clone, Debug)]
pub struct FileServerConfig {
    /// The environments and their roots, in order; the first root that has a file wins. `__env__` holds the roots of
    /// every environment that is not listed, with `__env__` in them replaced by its name.
    pub roots: Vec<(String, Vec<PathBuf>)>,
    /// The most bytes of a file in one reply. Default 1 MiB, as Salt's `file_buffer_size`.
    pub chunk: usize,
    /// The hash minions compare files by. Default SHA-256.
    pub hash: FileHash,
}

impl Default for FileServerConfig {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            chunk: 1 << 20,
            hash: FileHash::Sha256,
        }
    }
}

/// A hash of file content, Salt's `hash_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the algorithms")]
pub enum FileHash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl FileHash {
    /// The hash of this name in Salt's configuration. MD5 is not offered.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The hex digest of everything that can be read.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub fn of(self, reader: &mut impl io::Read) -> io::Result<String> {
        match self {
            Self::Sha1 => digest::<Sha1>(reader),
            Self::Sha224 => digest::<Sha224>(reader),
            Self::Sha256 => digest::<Sha256>(reader),
            Self::Sha384 => digest::<Sha384>(reader),
            Self::Sha512 => digest::<Sha512>(reader),
        }
    }
}

fn digest<D: Digest>(reader: &mut impl io::Read) -> io::Result<String> {
    let mut hash = D::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Serves the files of `file_roots`. Cheap to clone; every call reads the disk and may be made on any thread.
#[derive(Clone, Debug)]
pub struct FileServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: FileServerConfig,
    hashes: Mutex<HashMap<PathBuf, (Stamp, String)>>,
    listings: Mutex<HashMap<String, Arc<Listing>>>,
}

/// Tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// A file of the tree that was found and opened.
struct Found {
    file: File,
    metadata: std::fs::Metadata,
    path: PathBuf,
    rel: String,
}

impl FileServer {
    /// A server of these roots.
    pub fn new(config: FileServerConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                hashes: Mutex::default(),
                listings: Mutex::default(),
            }),
        }
    }

    /// The environments, in the order of the configuration.
    pub fn envs(&self) -> Vec<String> {
        let roots = &self.shared.config.roots;
        roots
            .iter()
            .map(|(env, _)| env.clone())
            .filter(|env| env != "__env__")
            .collect()
    }

    /// Answers `_serve_file`: one part of a file, `{data, dest}`, with `gzip` when it is compressed. Empty data is the
    /// end of the file; an empty `dest` says that there is no such file.
    pub fn serve(&self, request: &ServeFile) -> Value {
        let missing = || Value::from(Map::from([("data", ""), ("dest", "")]));
        let Some(found) = self.find(&request.path, request.saltenv.as_deref()) else {
            return missing();
        };
        let Ok(data) = read_part(&found.file, request.loc, self.shared.config.chunk) else {
            return missing();
        };
        let mut reply = Map::new();
        match request.gzip {
            Some(level @ 1..=9) if !data.is_empty() => {
                let mut packed = Vec::new();
                let compression = Compression::new(u32::try_from(level).unwrap_or(5));
                if GzEncoder::new(data.as_slice(), compression)
                    .read_to_end(&mut packed)
                    .is_err()
                {
                    return missing();
                }
                reply.insert("data", packed);
                reply.insert("dest", found.rel);
                reply.insert("gzip", level);
            }
            _ => {
                reply.insert("data", data);
                reply.insert("dest", found.rel);
            }
        }
        reply.into()
    }

    /// Answers `_file_find`, `_file_hash` and `_file_hash_and_stat`.
    pub fn about(&self, command: FileCommand, request: &FileRequest) -> Value {
        let found = self.find(&request.path, request.saltenv.as_deref());
        match (command, found) {
            (FileCommand::Find, None) => Map::from([("path", ""), ("rel", "")]).into(),
            (FileCommand::Find, Some(found)) => Map::from([
                (
                    "path",
                    Value::from(found.path.to_string_lossy().into_owned()),
                ),
                ("rel", found.rel.into()),
                ("back", "roots".into()),
                ("stat", stat(&found.metadata)),
            ])
            .into(),
            (FileCommand::Hash | FileCommand::HashAndStat, None) => Value::from(""),
            (FileCommand::Hash, Some(found)) => {
                self.hash(&found).map_or_else(|_| "".into(), Value::from)
            }
            (FileCommand::HashAndStat, Some(found)) => match self.hash(&found) {
                Ok(hash) => Value::List(vec![hash.into(), stat(&found.metadata)]),
                Err(_) => Value::from(""),
            },
        }
    }

    /// Answers `_file_list`, `_file_list_emptydirs`, `_dir_list` and `_symlink_list`.
    pub fn list(&self, command: AesCommand, request: &ListRequest) -> Value {
        let env = request.saltenv.as_deref().unwrap_or(DEFAULT_ENV);
        let Some(listing) = self.listing(env) else {
            return Value::List(Vec::new());
        };
        let prefix = request.prefix.as_deref().unwrap_or("").trim_matches('/');
        let inside = |path: &str| path.starts_with(prefix);
        let select = |paths: &std::collections::BTreeSet<String>| -> Value {
            paths
                .iter()
                .filter(|path| inside(path))
                .map(String::as_str)
                .collect()
        };
        match command {
            AesCommand::FileListEmptydirs => select(&listing.empty_dirs),
            AesCommand::DirList => select(&listing.dirs),
            AesCommand::SymlinkList => {
                let links = listing.links.iter().filter(|(path, _)| inside(path));
                links
                    .map(|(path, target)| (path.as_str(), target.as_str()))
                    .collect::<Map>()
                    .into()
            }
            _ => select(&listing.files),
        }
    }

    /// Reads a whole file of the tree, at most `limit` bytes of it; `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is longer.
    pub fn read(&self, path: &str, saltenv: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(found) = self.find(path, Some(saltenv)) else {
            return Ok(None);
        };
        let data = read_part(&found.file, 0, limit.saturating_add(1))?;
        if data.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{path} is over {limit} bytes"),
            ));
        }
        Ok(Some(data))
    }

    fn roots(&self, env: &str) -> Vec<PathBuf> {
        let roots = &self.shared.config.roots;
        if let Some((_, paths)) = roots
            .iter()
            .find(|(name, _)| name == env && name != "__env__")
        {
            return paths.clone();
        }
        // An environment nobody listed is a name from a peer until it proves to be a plain one (P-02).
        let plain = SaltUrl::new("x", Some(env)).is_ok();
        match roots.iter().find(|(name, _)| name == "__env__") {
            Some((_, paths)) if plain => paths
                .iter()
                .map(|path| PathBuf::from(path.to_string_lossy().replace("__env__", env)))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn find(&self, path: &str, env: Option<&str>) -> Option<Found> {
        if path.starts_with('/') || path.contains('\\') {
            return None;
        }
        let url = SaltUrl::new(path, None).ok()?;
        let rel = url.path();
        self.roots(env.unwrap_or(DEFAULT_ENV))
            .into_iter()
            .find_map(|root| {
                let file = open_below(&root, rel).ok()?;
                // Asked of what was opened, so nothing can be swapped in between.
                let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some(Found {
                    file,
                    metadata,
                    path: root.join(rel),
                    rel: rel.to_owned(),
                })
            })
    }

    fn hash(&self, found: &Found) -> io::Result<Map> {
        let stamp = Stamp {
            inode: found.metadata.ino(),
            size: found.metadata.size(),
            modified: (found.metadata.mtime(), found.metadata.mtime_nsec()),
        };
        let kind = self.shared.config.hash;
        let shape = |sum: &str| Map::from([("hash_type", kind.name()), ("hsum", sum)]);
        let known = self
            .shared
            .hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&found.path)
            .cloned();
        if let Some((at, sum)) = known
            && at == stamp
        {
            return Ok(shape(&sum));
        }
        let sum = kind.of(&mut &found.file)?;
        let mut hashes = self
            .shared
            .hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if hashes.len() >= MAX_REMEMBERED {
            hashes.clear();
        }
        let reply = shape(&sum);
        hashes.insert(found.path.clone(), (stamp, sum));
        Ok(reply)
    }

    /// What is in an environment, made again when one of its directories changed.
    fn listing(&self, env: &str) -> Option<Arc<Listing>> {
        let roots = self.roots(env);
        if roots.is_empty() {
            return None;
        }
        let known = self
            .shared
            .listings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(env)
            .cloned();
        if let Some(listing) = known
            && listing.is_current()
        {
            return Some(listing);
        }
        let listing = Arc::new(Listing::of(&roots));
        let mut listings = self
            .shared
            .listings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listings.len() >= MAX_REMEMBERED {
            listings.clear();
        }
        listings.insert(env.to_owned(), Arc::clone(&listing));
        Some(listing)
    }
}

/// Opens what a relative path names below a root. Links are followed as long as they stay below it.
pub(crate) fn open_below(root: &Path, rel: &str) -> io::Result<File> {
    let dir = rustix::fs::open(
        root,
        OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // Never waits for a pipe or a device (P-03).
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&dir, rel, flags, Mode::empty(), resolve) {
        Ok(fd) => Ok(File::from(fd)),
        // Before Linux 5.6, or in a sandbox that does not know the call: component by component, no links at all.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            let mut components = rel.split('/').peekable();
            let mut dir = dir;
            while let Some(component) = components.next() {
                let last = components.peek().is_none();
                let flags = flags
                    | OFlags::NOFOLLOW
                    | if last {
                        OFlags::empty()
                    } else {
                        OFlags::DIRECTORY
                    };
                dir = rustix::fs::openat(&dir, component, flags, Mode::empty())?;
            }
            Ok(File::from(dir))
        }
        Err(error) => Err(error.into()),
    }
}

fn read_part(file: &File, from: u64, most: usize) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    // Reserved by what is there, not by what is asked for.
    let left = usize::try_from(size.saturating_sub(from))
        .unwrap_or(usize::MAX)
        .min(most);
    let mut data = vec![0; left];
    let mut read = 0;
    while let Some(rest) = data.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from.saturating_add(read as u64)) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    data.truncate(read);
    Ok(data)
}

/// The ten fields of Python's `os.stat`, times in seconds.
fn stat(metadata: &std::fs::Metadata) -> Value {
    Value::List(vec![
        Value::from(metadata.mode()),
        metadata.ino().into(),
        metadata.dev().into(),
        metadata.nlink().into(),
        metadata.uid().into(),
        metadata.gid().into(),
        metadata.size().into(),
        metadata.atime().into(),
        metadata.mtime().into(),
        metadata.ctime().into(),
    ])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::pki::testing::Dir;

    fn tree(name: &str) -> (Dir, FileServer) {
        let dir = Dir::new(name);
        for (path, content) in [
            ("base/a.txt", "A\n"),
            ("base/sub/b.bin", "0123456789"),
            ("base/sub/deep/c", ""),
            ("over/a.txt", "other"),
            ("secret", "no"),
        ] {
            let path = dir.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir_all(dir.0.join("base/empty")).unwrap();
        symlink("a.txt", dir.0.join("base/link.txt")).unwrap();
        symlink("../secret", dir.0.join("base/out")).unwrap();
        symlink(dir.0.join("secret"), dir.0.join("base/absolute")).unwrap();
        symlink("..", dir.0.join("base/sub/loop")).unwrap();
        let roots = vec![
            (
                "base".to_owned(),
                vec![dir.0.join("base"), dir.0.join("over")],
            ),
            ("__env__".to_owned(), vec![dir.0.join("envs/__env__")]),
        ];
        (
            dir,
            FileServer::new(FileServerConfig {
                roots,
                chunk: 4,
                ..FileServerConfig::default()
            }),
        )
    }

    fn part(path: &str, loc: u64) -> ServeFile {
        ServeFile {
            path: path.to_owned(),
            saltenv: None,
            loc,
            gzip: None,
            extra: Map::new(),
        }
    }

    fn data(reply: &Value) -> &[u8] {
        reply.get("data").unwrap().as_bytes().unwrap()
    }

    #[test]
    fn a_file_is_served_in_parts_until_an_empty_one() {
        let (_dir, files) = tree("serve");

        let parts: Vec<_> = [0, 4, 8, 10, 99]
            .map(|loc| files.serve(&part("sub/b.bin", loc)))
            .to_vec();

        let bytes: Vec<&[u8]> = parts.iter().map(data).collect();
        assert_eq!(bytes, [&b"0123"[..], b"4567", b"89", b"", b""]);
        assert!(
            parts
                .iter()
                .all(|part| part.get("dest") == Some(&"sub/b.bin".into()))
        );
        assert_eq!(
            files
                .serve(&part("link.txt", 0))
                .get("data")
                .unwrap()
                .as_bytes(),
            Some(&b"A\n"[..])
        );
    }

    #[test]
    fn a_compressed_part_is_a_whole_gzip_member() {
        let (_dir, files) = tree("gzip");

        let reply = files.serve(&ServeFile {
            gzip: Some(5),
            ..part("sub/b.bin", 4)
        });

        let mut text = String::new();
        flate2::read::GzDecoder::new(data(&reply))
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(
            (text.as_str(), reply.get("gzip")),
            ("4567", Some(&5.into()))
        );
    }

    // P-01, P-03
    #[test]
    fn nothing_outside_the_roots_and_nothing_but_files_is_served() {
        let (dir, files) = tree("confined");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.0.join("base/pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        let absolute = dir.0.join("secret");
        let absolute = absolute.to_str().unwrap();

        for path in [
            "../secret",
            "sub/../../secret",
            "/etc/passwd",
            absolute,
            "out",
            "absolute",
            "sub",
            "pipe",
            "",
            ".",
            "a\0b",
            "..\\secret",
            "sub/loop/../../secret",
            "./../secret",
            "nope",
            "sub/loop/sub/loop/out",
        ] {
            let reply = files.serve(&part(path, 0));
            assert_eq!(
                (data(&reply), reply.get("dest")),
                (&b""[..], Some(&"".into())),
                "{path:?}"
            );
        }
        for env in ["../..", "/", "a/../..", "..", "base\0"] {
            let reply = files.serve(&ServeFile {
                saltenv: Some(env.to_owned()),
                ..part("secret", 0)
            });
            assert_eq!(data(&reply), b"", "{env:?}");
        }
    }

    #[test]
    fn hashes_follow_the_content() {
        let (dir, files) = tree("hash");
        let ask = || {
            let request = FileRequest {
                path: "a.txt".to_owned(),
                saltenv: None,
                extra: Map::new(),
            };
            files
                .about(FileCommand::Hash, &request)
                .get("hsum")
                .cloned()
        };

        let first = ask();
        assert_eq!(
            first,
            Some("06f961b802bc46ee168555f066d28f4f0e9afdf3f88174c1ee6f9de004fc30a0".into())
        );
        assert_eq!(ask(), first);
        fs::write(dir.0.join("base/a.txt"), "longer than before").unwrap();
        assert_ne!(ask(), first);
    }

    #[test]
    fn listings_are_sorted_and_follow_changes() {
        let (dir, files) = tree("list");
        let list = |command, prefix: &str| {
            files.list(
                command,
                &ListRequest {
                    saltenv: None,
                    prefix: Some(prefix.to_owned()),
                    extra: Map::new(),
                },
            )
        };
        let texts = |value: &Value| -> Vec<String> {
            value
                .as_list()
                .unwrap()
                .iter()
                .map(|path| path.as_str().unwrap().to_owned())
                .collect()
        };

        assert_eq!(
            texts(&list(AesCommand::FileList, "")),
            ["a.txt", "link.txt", "sub/b.bin", "sub/deep/c"]
        );
        assert_eq!(
            texts(&list(AesCommand::FileList, "sub/")),
            ["sub/b.bin", "sub/deep/c"]
        );
        assert_eq!(
            texts(&list(AesCommand::DirList, "")),
            [".", "empty", "sub", "sub/deep"]
        );
        assert_eq!(texts(&list(AesCommand::FileListEmptydirs, "")), ["empty"]);
        assert_eq!(
            list(AesCommand::SymlinkList, "").get("link.txt"),
            Some(&"a.txt".into())
        );

        fs::write(dir.0.join("base/empty/new"), "").unwrap();
        assert!(texts(&list(AesCommand::FileList, "")).contains(&"empty/new".to_owned()));
    }
}
