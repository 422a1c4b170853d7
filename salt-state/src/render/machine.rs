//! What templates may ask of this machine: its clock, randomness, files and `gpg`.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use salt_proto::Map;

use crate::context::Context;
use crate::jinja::{self, Args, Error, Exception, Kind, Value};
use crate::system::{Command, FileKind, System, errno_text};
use crate::zone::Zone;

/// How much of a file `is_text_file` and `is_bin_file` look at.
const BLOCK: u64 = 512;

/// How many paths `list_files` gives at most.
const MAX_LISTED: usize = 100_000;

/// The machine that templates are rendered on; see [`World::on`](super::World::on).
pub struct Machine<'m> {
    system: &'m dyn System,
    zone: OnceCell<Zone>,
    gpg_home: Option<PathBuf>,
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("gpg_home", &self.gpg_home)
            .finish_non_exhaustive()
    }
}

impl<'m> Machine<'m> {
    /// A machine. The keys of `gpg` are where `gpg_keydir` of the configuration says, else in
    /// `gpgkeys` below `config_dir`.
    pub fn new(system: &'m dyn System, config: &Map) -> Self {
        let stated = config
            .str("gpg_keydir")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let usual = || {
            config
                .str("config_dir")
                .map(|path| Path::new(path).join("gpgkeys"))
        };
        Self {
            system,
            zone: OnceCell::new(),
            gpg_home: stated.or_else(usual),
        }
    }

    /// The machine of a call.
    pub fn of(context: &Context<'m>) -> Self {
        Self::new(context.system, &context.minion.config)
    }

    /// The text in an armoured PGP message.
    ///
    /// # Errors
    ///
    /// What `gpg` says, or that it is not installed.
    pub fn decrypt(&self, message: &str) -> Result<String, String> {
        let gpg = self.system.which("gpg").ok_or("gpg is not available")?;
        let mut command = Command::new(gpg);
        if let Some(home) = &self.gpg_home {
            command = command.arg("--homedir").arg(home);
        }
        let command = command
            .args(["--no-tty", "--batch", "--decrypt"])
            .stdin(message)
            .timeout(Duration::from_secs(60));
        let output = self
            .system
            .query(&command)
            .map_err(|error| error.to_string())?;
        if output.is_success() && !output.truncated {
            Ok(output.stdout_text())
        } else {
            Err(output.stderr_text())
        }
    }

    fn list(&self, directory: &str) -> jinja::Result<Value> {
        let mut found = BTreeSet::from([PathBuf::from(directory)]);
        let mut todo = vec![PathBuf::from(directory)];
        while let Some(directory) = todo.pop() {
            for name in self.system.list(&directory).unwrap_or_default() {
                let path = directory.join(name);
                let meta = self.system.link_metadata(&path);
                if matches!(meta, Ok(Some(meta)) if meta.kind == FileKind::Directory) {
                    todo.push(path.clone());
                }
                found.insert(path);
                if found.len() > MAX_LISTED {
                    return Err(Error::new(
                        Kind::Limit,
                        format!("there are more than {MAX_LISTED} files"),
                    ));
                }
            }
        }
        let paths = found
            .iter()
            .map(|path| Value::text(&*path.to_string_lossy()));
        Ok(Value::list(paths.collect()))
    }

    /// The beginning of a regular file.
    fn beginning(&self, path: &str) -> Option<Vec<u8>> {
        let file = self.system.open(Path::new(path)).ok().flatten()?;
        let mut block = Vec::new();
        file.take(BLOCK).read_to_end(&mut block).ok()?;
        Some(block)
    }

    fn hash(&self, path: &str, kind: &str) -> jinja::Result<Value> {
        let known = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
        if !known.contains(&kind) {
            return Err(Error::value_error(format!("Invalid hash type: {kind}")));
        }
        let os_error = |error: &std::io::Error| {
            Error::python(Exception::OsError, errno_text(error, Some(Path::new(path))))
        };
        let missing = || std::io::Error::from_raw_os_error(2);
        let content = self
            .system
            .read(Path::new(path))
            .map_err(|error| os_error(&error))?;
        let content = content.ok_or_else(|| os_error(&missing()))?;
        crate::functions::hash(kind, &content)
            .map(Value::text)
            .map_err(|error| Error::value_error(error.to_string()))
    }

    fn uid(&self, name: &Value) -> Value {
        let uid = match name.as_str() {
            None => Some(self.system.identity().uid),
            Some(name) => self.system.user(name).ok().flatten().map(|user| user.uid),
        };
        uid.map_or(Value::None, |uid| Value::Int(i64::from(uid)))
    }
}

impl jinja::Host for Machine<'_> {
    fn now(&self) -> jinja::Result<f64> {
        Ok(match self.system.now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_secs_f64(),
            Err(error) => -error.duration().as_secs_f64(),
        })
    }

    fn utc_offset(&self, at: f64) -> i32 {
        let zone = self.zone.get_or_init(|| Zone::local(self.system));
        // Whole seconds are what a zone's changes are counted in.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and no zone changes that far away"
        )]
        let seconds = at.floor() as i64;
        zone.offset(seconds).0
    }

    fn random(&self, bytes: &mut [u8]) -> jinja::Result<()> {
        self.system.random(bytes);
        Ok(())
    }

    fn system_filter(&self, name: &str, args: Args) -> jinja::Result<Value> {
        let [subject, option] = args.bind(name, ["value", "form"], 1)?;
        let subject = subject.unwrap_or_default();
        let path = subject.as_str().unwrap_or_default();
        Ok(match name {
            "which" => match self.system.which(path) {
                Some(path) => Value::text(&*path.to_string_lossy()),
                None => Value::None,
            },
            "list_files" => self.list(path)?,
            "file_hashsum" => {
                let kind = option.as_ref().and_then(Value::as_str).unwrap_or("sha256");
                self.hash(path, kind)?
            }
            "is_empty" => {
                let meta = self.system.metadata(Path::new(path));
                Value::Bool(
                    matches!(meta, Ok(Some(meta)) if meta.kind == FileKind::File && meta.size == 0),
                )
            }
            "is_text_file" => {
                Value::Bool(self.beginning(path).is_some_and(|block| is_text(&block)))
            }
            "is_bin_file" => {
                Value::Bool(self.beginning(path).is_some_and(|block| !is_text(&block)))
            }
            "get_uid" => self.uid(&subject),
            _ => return jinja::NoHost.system_filter(name, Args::default()),
        })
    }
}

/// Whether the beginning of a file looks like text to Salt: no NUL, and either UTF-8 or few
/// characters that text does not have.
fn is_text(block: &[u8]) -> bool {
    if block.contains(&0) {
        return false;
    }
    // A character may be cut off at the end.
    let whole = match std::str::from_utf8(block) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let odd = block
        .iter()
        .filter(|byte| !matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 8 | 12));
    whole || odd.count() * 10 <= block.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::Host as _;
    use crate::system::FakeSystem;

    fn filter(name: &str, value: &str) -> String {
        let system = FakeSystem::new()
            .file("/d/text", "hi\n")
            .file("/d/empty", "")
            .file("/d/bin", b"\0\x01".as_slice())
            .file("/d/latin", b"h\xe4llo\n".as_slice());
        let machine = Machine::new(&system, &Map::new());
        let args = Args::new(vec![Value::text(value)]);
        match machine.system_filter(name, args) {
            Ok(value) => value.repr().expect("plain"),
            Err(error) => error.message().to_owned(),
        }
    }

    // Recorded from 3008.3's filters over the same files.
    #[test]
    fn files_are_told_apart_as_salts_filters_tell_them() {
        let expected = [
            ("/d/text", "False", "True", "False"),
            ("/d/empty", "True", "True", "False"),
            ("/d/bin", "False", "False", "True"),
            ("/d/latin", "False", "True", "False"),
            ("/d/none", "False", "False", "False"),
            ("/d", "False", "False", "False"),
        ];

        for (path, empty, text, binary) in expected {
            assert_eq!(filter("is_empty", path), empty, "{path}");
            assert_eq!(filter("is_text_file", path), text, "{path}");
            assert_eq!(filter("is_bin_file", path), binary, "{path}");
        }
        assert_eq!(
            filter("file_hashsum", "/d/text"),
            "'98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4'"
        );
        assert_eq!(
            filter("file_hashsum", "/d/none"),
            "[Errno 2] No such file or directory: '/d/none'"
        );
        assert_eq!(filter("list_files", "/nowhere"), "['/nowhere']");
        assert_eq!(filter("get_uid", "nobody-here"), "None");
    }
}
