//! The minion's side of the file server: fetch `salt://` content, keep it, check it.
//!
//! A file is believed when its hash is the one the master names. It is written
//! beside its place, checked there, and only then takes it, so that what is in
//! the cache is always a whole file of the tree (P-05).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use salt_proto::{Map, SaltUrl, Value};

use crate::error::{Error, Result};
use crate::files::FileHash;
use crate::minion::MinionHandle;

/// The environment of an address that names none.
const DEFAULT_ENV: &str = "base";
/// The most one reply may unpack to.
const MAX_PART: u64 = 64 << 20;
/// How many bytes of a file are pushed at a time (Salt's `file_buffer_size`).
const PUSH: usize = 256 * 1024;

/// Fetches files from the master and keeps them in a directory.
///
/// All of it blocks: it is for code that waits for disks anyway, on a thread
/// where that is allowed. Clones share the directory.
///
/// ```no_run
/// # fn example(minion: salt_transport::MinionHandle) -> salt_transport::Result<()> {
/// use salt_transport::FileClient;
///
/// let files = FileClient::of(minion, "/var/cache/salt/minion");
/// if let Some(path) = files.fetch(&"salt://web/nginx.conf".parse().unwrap())? {
///     println!("{}", path.display());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileClient {
    ask: Arc<dyn Fn(Map) -> Result<Value> + Send + Sync>,
    root: PathBuf,
    gzip: Option<u8>,
}

/// What the master says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHash {
    /// The algorithm.
    pub hash: FileHash,
    /// The digest in lowercase hexadecimal.
    pub digest: String,
}

impl FileClient {
    /// The files of a minion's master, kept under `<cache_dir>/files`.
    pub fn of(minion: MinionHandle, cache_dir: impl Into<PathBuf>) -> Self {
        Self::new(move |load| minion.blocking_request(load), cache_dir)
    }

    /// The same over any way to ask: `ask` sends the load of one file command
    /// and waits for its answer.
    pub fn new(
        ask: impl Fn(Map) -> Result<Value> + Send + Sync + 'static,
        cache_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            ask: Arc::new(ask),
            root: cache_dir.into().join("files"),
            gzip: None,
        }
    }

    /// Asks for the parts of a file compressed, at a level from 1 to 9. Not by default.
    #[must_use]
    pub fn gzip(mut self, level: Option<u8>) -> Self {
        self.gzip = level.map(|level| level.clamp(1, 9));
        self
    }

    /// The hash of a file; `None` when the master has no such file.
    ///
    /// # Errors
    ///
    /// The master did not answer, or not with a hash we know.
    pub fn hash(&self, url: &SaltUrl) -> Result<Option<RemoteHash>> {
        let answer = self.command("_file_hash", &located(url))?;
        let Some(answer) = answer.as_map().filter(|map| !map.is_empty()) else {
            return Ok(None);
        };
        let hash = answer.str("hash_type").and_then(FileHash::from_name);
        match (hash, answer.str("hsum")) {
            (_, Some("")) | (_, None) => Ok(None),
            (Some(hash), Some(digest)) => Ok(Some(RemoteHash {
                hash,
                digest: digest.to_owned(),
            })),
            (None, Some(_)) => Err(Error::Protocol("a file hash of an unknown kind")),
        }
    }

    /// A file of the tree on this machine's disk; `None` when the master has no
    /// such file.
    ///
    /// One that is there already is only compared by hash.
    ///
    /// # Errors
    ///
    /// The master did not answer, the disk failed, or what came is twice not
    /// what the hash names. A file fetched earlier stays in its place then.
    pub fn fetch(&self, url: &SaltUrl) -> Result<Option<PathBuf>> {
        let path = self.path(url);
        // A file may change while it is fetched; then the hash asked for before
        // is that of the former one.
        for _ in 0..2 {
            let Some(wanted) = self.hash(url)? else {
                return Ok(None);
            };
            if is(&path, &wanted).map_err(reading)? {
                return Ok(Some(path));
            }
            let mut fresh = Fresh::beside(&path).map_err(writing)?;
            if !self.download(url, &mut fresh.file)? {
                return Ok(None);
            }
            if fresh.is(&wanted).map_err(reading)? {
                fresh.take_place(&path).map_err(writing)?;
                return Ok(Some(path));
            }
            tracing::debug!(%url, "a file changed while it was fetched, or was damaged");
        }
        Err(Error::Protocol("a file that is not what its hash names"))
    }

    /// Where [`fetch`](Self::fetch) puts a file, whether or not it is there.
    pub fn path(&self, url: &SaltUrl) -> PathBuf {
        // Environments may contain a slash. Escaped, no two pairs of environment
        // and path share a place.
        let env = environment(url).replace('%', "%25").replace('/', "%2F");
        self.root.join(env).join(url.path())
    }

    /// The environments.
    ///
    /// # Errors
    ///
    /// The master did not answer.
    pub fn environments(&self) -> Result<Vec<String>> {
        self.command("_file_envs", &Map::new()).map(texts)
    }

    /// The files of an environment that begin with `prefix`, sorted.
    ///
    /// # Errors
    ///
    /// The master did not answer.
    pub fn files(&self, environment: &str, prefix: &str) -> Result<Vec<String>> {
        self.list("_file_list", environment, prefix)
    }

    /// The directories, in the same way.
    ///
    /// # Errors
    ///
    /// The master did not answer.
    pub fn directories(&self, environment: &str, prefix: &str) -> Result<Vec<String>> {
        self.list("_dir_list", environment, prefix)
    }

    /// The directories without a file in them, in the same way.
    ///
    /// # Errors
    ///
    /// The master did not answer.
    pub fn empty_directories(&self, environment: &str, prefix: &str) -> Result<Vec<String>> {
        self.list("_file_list_emptydirs", environment, prefix)
    }

    /// The symbolic links, in the same way, each with its target.
    ///
    /// # Errors
    ///
    /// The master did not answer.
    pub fn links(&self, environment: &str, prefix: &str) -> Result<Vec<(String, String)>> {
        let answer = self.command("_symlink_list", &listed(environment, prefix))?;
        let Value::Map(links) = answer else {
            return Ok(Vec::new());
        };
        Ok(links
            .into_iter()
            .filter_map(|(link, target)| match (link, target) {
                (Value::Str(link), Value::Str(target)) if is_plain(&link) => Some((link, target)),
                _ => None,
            })
            .collect())
    }

    /// What the master's `stat` says of a file: mode, inode, device, links,
    /// owner, group, size and three times; `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// The master did not answer.
    pub fn stat(&self, url: &SaltUrl) -> Result<Option<[i64; 10]>> {
        let answer = self.command("_file_find", &located(url))?;
        let stat = answer.get("stat").and_then(Value::as_list);
        Ok(stat.and_then(|stat| {
            let numbers: Option<Vec<_>> = stat.iter().map(Value::as_int).collect();
            numbers?.try_into().ok()
        }))
    }

    /// Sends a file to the master (`file_recv`), under a name of plain
    /// components; whether the master took it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the master did not answer.
    pub fn push(&self, file: &Path, name: &[&str]) -> Result<bool> {
        let file = File::open(file).map_err(reading)?;
        let size = file.metadata().map_err(reading)?.len();
        let mut loc = 0_u64;
        loop {
            let mut data = Vec::new();
            let part = (&file).take(PUSH as u64).read_to_end(&mut data);
            let part = part.map_err(reading)?;
            if part == 0 && loc > 0 {
                return Ok(true);
            }
            let taken = self.command(
                "_file_recv",
                &Map::from([
                    ("path", name.iter().copied().collect::<Value>()),
                    ("size", size.into()),
                    ("loc", loc.into()),
                    ("data", data.into()),
                ]),
            )?;
            if !taken.is_true() {
                return Ok(false);
            }
            if part == 0 {
                return Ok(true);
            }
            loc += part as u64;
        }
    }

    /// Writes all parts of a file; `false` when there is no such file.
    fn download(&self, url: &SaltUrl, to: &mut File) -> Result<bool> {
        let mut load = located(url);
        let mut loc = 0_u64;
        loop {
            load.insert("loc", loc);
            if let Some(level) = self.gzip {
                load.insert("gzip", i64::from(level));
            }
            let answer = self.command("_serve_file", &load)?;
            let Some(data) = answer.get("data").and_then(Value::as_bytes) else {
                return Err(Error::Protocol("a part of a file without data"));
            };
            if data.is_empty() {
                // The end, or an empty file, or none at all.
                let found = answer.get("dest").is_some_and(Value::is_true);
                return Ok(found || loc > 0);
            }
            let written = if answer.get("gzip").is_some_and(Value::is_true) {
                let mut unpacked = GzDecoder::new(data).take(MAX_PART);
                io::copy(&mut unpacked, to).map_err(writing)?
            } else {
                to.write_all(data).map_err(writing)?;
                data.len() as u64
            };
            if written == 0 {
                return Err(Error::Protocol("a part of a file with nothing in it"));
            }
            loc += written;
        }
    }

    fn list(&self, command: &str, environment: &str, prefix: &str) -> Result<Vec<String>> {
        let answer = self.command(command, &listed(environment, prefix))?;
        let mut names = texts(answer);
        // They become paths below some directory of this machine.
        names.retain(|name| is_plain(name));
        Ok(names)
    }

    fn command(&self, command: &str, fields: &Map) -> Result<Value> {
        let mut load = Map::from([("cmd", command)]);
        load.extend(fields.iter().map(|(k, v)| (k.clone(), v.clone())));
        (self.ask)(load)
    }
}

impl std::fmt::Debug for FileClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileClient")
            .field("root", &self.root)
            .field("gzip", &self.gzip)
            .finish_non_exhaustive()
    }
}

fn environment(url: &SaltUrl) -> &str {
    url.saltenv().unwrap_or(DEFAULT_ENV)
}

fn located(url: &SaltUrl) -> Map {
    Map::from([("path", url.path()), ("saltenv", environment(url))])
}

fn listed(environment: &str, prefix: &str) -> Map {
    Map::from([("saltenv", environment), ("prefix", prefix)])
}

/// Whether a name from the master stays where it is put.
fn is_plain(name: &str) -> bool {
    name == "." || (!name.starts_with('/') && SaltUrl::new(name, None).is_ok())
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::List(items) => items
            .into_iter()
            .filter_map(|item| match item {
                Value::Str(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn is(path: &Path, wanted: &RemoteHash) -> io::Result<bool> {
    match File::open(path) {
        Ok(mut file) if file.metadata()?.is_file() => {
            Ok(wanted.hash.of(&mut file)? == wanted.digest)
        }
        Ok(_) => Ok(false),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A file that has not taken its place yet; gone when dropped before it has.
struct Fresh {
    file: File,
    path: PathBuf,
}

impl Fresh {
    fn beside(place: &Path) -> io::Result<Self> {
        if let Some(directory) = place.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let name = format!(".{:016x}.new", crate::random::u64());
        let path = place.with_file_name(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self { file, path })
    }

    fn is(&mut self, wanted: &RemoteHash) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(wanted.hash.of(&mut self.file)? == wanted.digest)
    }

    fn take_place(self, place: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(&self.path, place)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _gone = fs::remove_file(&self.path);
    }
}

fn reading(source: io::Error) -> Error {
    Error::io("reading a kept file")(source)
}

fn writing(source: io::Error) -> Error {
    Error::io("keeping a file")(source)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Mutex;

    use salt_proto::message::{AesCommand, FileCommand, FileRequest, ListRequest, ServeFile};

    use super::*;
    use crate::files::{FileServer, FileServerConfig};

    #[test]
    fn a_file_arrives_whole_whatever_its_size() {
        let site = Site::new("whole");
        for (name, len) in [("empty", 0), ("one", 1), ("part", 1000), ("more", 2500)] {
            let content: Vec<u8> = (0..=255).cycle().take(len).collect();
            fs::write(site.tree.join(name), &content).unwrap();
            for gzip in [None, Some(5)] {
                let client = site.client().gzip(gzip);
                let path = client.fetch(&url(name)).unwrap().unwrap();
                assert_eq!(fs::read(&path).unwrap(), content, "{name}");
                fs::remove_file(path).unwrap();
            }
        }
    }

    #[test]
    fn a_file_that_is_there_already_is_not_fetched_again() {
        let site = Site::new("again");
        fs::write(site.tree.join("a"), "content").unwrap();
        site.client().fetch(&url("a")).unwrap();
        let before = site.served();

        let path = site.client().fetch(&url("a")).unwrap().unwrap();

        assert_eq!(site.served(), before);
        assert_eq!(fs::read(path).unwrap(), b"content");
    }

    #[test]
    fn a_changed_file_replaces_the_one_before() {
        let site = Site::new("changed");
        fs::write(site.tree.join("a"), "old").unwrap();
        site.client().fetch(&url("a")).unwrap();
        fs::write(site.tree.join("a"), "new content").unwrap();

        let path = site.client().fetch(&url("a")).unwrap().unwrap();

        assert_eq!(fs::read(path).unwrap(), b"new content");
    }

    #[test]
    fn a_missing_file_is_none() {
        let site = Site::new("missing");

        assert_eq!(site.client().fetch(&url("no/such")).unwrap(), None);
        assert_eq!(site.client().hash(&url("no/such")).unwrap(), None);
        assert_eq!(site.client().stat(&url("no/such")).unwrap(), None);
    }

    // P-05
    #[test]
    fn a_file_that_is_not_what_its_hash_names_replaces_nothing() {
        let site = Site::new("damaged");
        fs::write(site.tree.join("a"), "good").unwrap();
        let path = site.client().fetch(&url("a")).unwrap().unwrap();
        fs::write(site.tree.join("a"), "better").unwrap();
        let server = site.server.clone();
        let damaging = FileClient::new(
            move |load| {
                let is_part = load.str("cmd") == Some("_serve_file");
                let mut answer = serve(&server, load);
                if let Some(map) = answer.as_map_mut()
                    && is_part
                    && map.get("data").is_some_and(Value::is_true)
                {
                    map.insert("data", "evil");
                }
                Ok(answer)
            },
            &site.cache,
        );

        assert!(damaging.fetch(&url("a")).is_err());

        assert_eq!(fs::read(&path).unwrap(), b"good");
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing half-written stays");
    }

    // P-06
    #[test]
    fn what_is_kept_is_owner_only() {
        let site = Site::new("modes");
        fs::create_dir(site.tree.join("d")).unwrap();
        fs::write(site.tree.join("d/a"), "x").unwrap();

        let path = site.client().fetch(&url("d/a")).unwrap().unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    // P-01, G-06
    #[test]
    fn no_two_files_share_a_place_and_none_leaves_the_cache() {
        let site = Site::new("places");
        let client = site.client();
        let path = |path: &str, env: &str| client.path(&SaltUrl::new(path, Some(env)).unwrap());

        assert_ne!(path("b/c", "a"), path("c", "a/b"));
        assert_ne!(path("c", "a%2Fb"), path("c", "a/b"));
        for (name, env) in [("a/b", "x/y"), ("%2e%2e/x", "%2e%2e"), ("..x", "..y")] {
            let place = path(name, env);
            assert!(place.starts_with(&site.cache));
            let up = std::path::Component::ParentDir;
            assert!(place.components().all(|part| part != up));
        }
    }

    // P-01: names a master lists become paths too.
    #[test]
    fn names_that_lead_out_are_not_listed() {
        let client = FileClient::new(
            |load| {
                Ok(match load.str("cmd") {
                    Some("_symlink_list") => {
                        Map::from([("../l", "x"), ("/l", "x"), ("l", "../t")]).into()
                    }
                    _ => ["ok/a", "../b", "/etc/passwd", "a/../../b"]
                        .into_iter()
                        .collect(),
                })
            },
            "/nowhere",
        );

        assert_eq!(client.files("base", "").unwrap(), ["ok/a"]);
        let links = client.links("base", "").unwrap();
        assert_eq!(links, [("l".to_owned(), "../t".to_owned())]);
    }

    #[test]
    fn the_tree_is_listed_as_it_is() {
        let site = Site::new("lists");
        fs::create_dir_all(site.tree.join("d/empty")).unwrap();
        fs::write(site.tree.join("d/a"), "x").unwrap();
        std::os::unix::fs::symlink("a", site.tree.join("d/l")).unwrap();
        let client = site.client();

        assert_eq!(client.environments().unwrap(), ["base"]);
        assert!(
            client
                .files("base", "")
                .unwrap()
                .contains(&"d/a".to_owned())
        );
        let empty = client.empty_directories("base", "d").unwrap();
        assert_eq!(empty, ["d/empty"]);
        let directories = client.directories("base", "").unwrap();
        assert!(directories.contains(&"d".to_owned()));
        let links = client.links("base", "").unwrap();
        assert_eq!(links, [("d/l".to_owned(), "a".to_owned())]);
        let stat = client.stat(&url("d/a")).unwrap().unwrap();
        assert_eq!(stat[6], 1, "the size");
    }

    #[test]
    fn a_file_is_pushed_in_parts_and_the_first_refusal_ends_it() {
        let site = Site::new("push");
        let file = site.tree.join("big");
        fs::write(&file, vec![7; PUSH * 2 + 10]).unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let receiving = Arc::clone(&received);
        let client = FileClient::new(
            move |load| {
                let mut received = receiving.lock().unwrap();
                assert_eq!(
                    load.get("loc").and_then(Value::as_int),
                    i64::try_from(received.len()).ok()
                );
                received.extend_from_slice(load.get("data").unwrap().as_bytes().unwrap());
                Ok(true.into())
            },
            &site.cache,
        );
        let refused = FileClient::new(|_| Ok(false.into()), &site.cache);

        assert!(client.push(&file, &["var", "big"]).unwrap());
        assert_eq!(received.lock().unwrap().len(), PUSH * 2 + 10);
        assert!(!refused.push(&file, &["var", "big"]).unwrap());
    }

    struct Site {
        tree: PathBuf,
        cache: PathBuf,
        server: FileServer,
        served: Arc<Mutex<usize>>,
    }

    impl Site {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("salt-fetch-{name}-{}", std::process::id()));
            let (tree, cache) = (dir.join("tree"), dir.join("cache"));
            fs::create_dir_all(&tree).unwrap();
            let server = FileServer::new(FileServerConfig {
                roots: vec![("base".to_owned(), vec![tree.clone()])],
                chunk: 1000,
                ..FileServerConfig::default()
            });
            Self {
                tree,
                cache,
                server,
                served: Arc::default(),
            }
        }

        fn client(&self) -> FileClient {
            let (server, served) = (self.server.clone(), Arc::clone(&self.served));
            FileClient::new(
                move |load| {
                    if load.str("cmd") == Some("_serve_file") {
                        *served.lock().unwrap() += 1;
                    }
                    Ok(serve(&server, load))
                },
                &self.cache,
            )
        }

        fn served(&self) -> usize {
            *self.served.lock().unwrap()
        }
    }

    impl Drop for Site {
        fn drop(&mut self) {
            let dir = self.tree.parent().unwrap();
            fs::remove_dir_all(dir).unwrap();
        }
    }

    fn serve(server: &FileServer, mut load: Map) -> Value {
        load.insert("id", "web-1");
        let command = load.str("cmd").unwrap().to_owned();
        match command.as_str() {
            "_serve_file" => server.serve(&ServeFile::from_map(load).unwrap()),
            "_file_hash" => server.about(FileCommand::Hash, &FileRequest::from_map(load).unwrap()),
            "_file_find" => server.about(FileCommand::Find, &FileRequest::from_map(load).unwrap()),
            "_file_envs" => server.envs().into_iter().collect(),
            list => {
                let list = AesCommand::from_name(list).unwrap();
                server.list(list, &ListRequest::from_map(load).unwrap())
            }
        }
    }

    fn url(path: &str) -> SaltUrl {
        SaltUrl::new(path, None).unwrap()
    }
}
