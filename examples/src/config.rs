//! Salt's own configuration files: `master`, `minion`, `*.d/*.conf` and includes.
//!
//! Read as Salt 3008.3 reads them: the file itself, then `default_include`
//! (`minion.d/*.conf`, sorted), then `include`; mappings are merged, anything else is
//! replaced by what comes later. Paths are taken below `root_dir`. A missing file is an
//! empty one. What Salt would ignore or trip over later is reported at once, with file,
//! line and what was expected.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};
use salt_state::yaml;

mod defaults;
mod fields;
mod master;
mod minion;

pub use fields::{Roots, SecurityProfile};
pub use master::MasterConfig;
pub use minion::{MasterAddress, MinionConfig};

/// How deep `include` may lead.
const INCLUDE_DEPTH: usize = 16;

/// Which program a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `salt-master` and the tools beside it.
    Master,
    /// `salt-minion` and `salt-call`.
    Minion,
}

impl Role {
    /// The file's name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Minion => "minion",
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from one, when it is known.
    pub line: Option<usize>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration as a mapping, with where each key was set.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// The settings, defaults included: Salt's `opts`.
    pub opts: Map,
    /// What deserves a look but stops nothing.
    pub warnings: Vec<String>,
    places: HashMap<String, (PathBuf, usize)>,
    file: PathBuf,
    /// How many files there were.
    files: usize,
}

impl Raw {
    /// Reads the files for a program and adds the defaults.
    ///
    /// `dir` is the configuration directory (`-c`). `overrides` come from the command line
    /// and win over every file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not YAML, holds something else than a mapping, or
    /// may be written by everybody.
    pub fn read(role: Role, dir: &Path, overrides: &Map) -> Result<Self, ConfigError> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let file = dir.join(role.file_name());
        let mut this = Self {
            file: file.clone(),
            ..Self::default()
        };
        this.merge_file(&file, true, 0)?;
        let default_include = match this.opts.get("default_include") {
            Some(value) => text_list(value),
            None => vec![format!("{}.d/*.conf", role.file_name())],
        };
        // Taken before the drop-ins, which may state an `include` of their own.
        let include = this.opts.get("include").map(text_list).unwrap_or_default();
        this.include(&dir, &default_include, true, 1)?;
        this.include(&dir, &include, false, 1)?;
        merge(&mut this.opts, overrides.clone());
        for (key, _) in overrides {
            this.places.remove(key.as_str().unwrap_or_default());
        }
        this.complete(role, &dir);
        Ok(this)
    }

    /// Reads one file over what is there.
    fn merge_file(&mut self, file: &Path, may_miss: bool, depth: usize) -> Result<(), ConfigError> {
        let fail = |line, message: String| ConfigError {
            file: file.to_owned(),
            line,
            message,
        };
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if may_miss && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fail(None, format!("cannot be read: {error}"))),
        };
        self.check_writers(file)?;
        self.files += 1;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let lines = error.as_bytes()[..valid]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            fail(Some(lines + 1), "is not UTF-8 text".to_owned())
        })?;
        let node = yaml::parse(&text, 0, &yaml::Limits::default()).map_err(|error| {
            let line = error.mark().map(|mark| mark.line + 1);
            let context = error
                .context()
                .map(|text| format!(" {text}"))
                .unwrap_or_default();
            fail(line, format!("is not YAML: {}{context}", error.problem()))
        })?;
        let Some(node) = node else { return Ok(()) };
        node.check_size(yaml::Limits::default().nodes)
            .map_err(|error| fail(None, error.to_string()))?;
        if node.as_scalar().is_some_and(Value::is_null) {
            return Ok(());
        }
        let Some(entries) = node.as_map() else {
            return Err(fail(
                Some(node.span.line as usize + 1),
                format!("expected `key: value` lines, found a {}", node.type_name()),
            ));
        };
        let mut found = Map::new();
        for (key, entry) in entries.borrow().iter() {
            let line = entry.key.line as usize + 1;
            let Some(name) = key.as_str() else {
                return Err(fail(
                    Some(line),
                    format!(
                        "expected a text as key, found the {} {}",
                        key.type_name(),
                        salt_state::python::repr(key)
                    ),
                ));
            };
            self.places.insert(name.to_owned(), (file.to_owned(), line));
            found.insert(name, entry.value.to_value());
        }
        let nested = (depth > 0)
            .then(|| found.get("include").map(text_list))
            .flatten();
        merge(&mut self.opts, found);
        if let Some(nested) = nested {
            let dir = file.parent().unwrap_or_else(|| Path::new("/")).to_owned();
            self.include(&dir, &nested, false, depth + 1)?;
        }
        Ok(())
    }

    /// Reads the files that patterns name.
    fn include(
        &mut self,
        dir: &Path,
        patterns: &[String],
        may_miss: bool,
        depth: usize,
    ) -> Result<(), ConfigError> {
        if depth > INCLUDE_DEPTH {
            return Err(ConfigError {
                file: self.file.clone(),
                line: None,
                message: format!("`include` leads more than {INCLUDE_DEPTH} files deep"),
            });
        }
        for pattern in patterns {
            let files = glob(&dir.join(pattern));
            if files.is_empty() && !may_miss {
                self.warnings.push(format!(
                    "Warning parsing configuration file: \"include\" path/glob '{pattern}' matches no files"
                ));
            }
            for file in files {
                self.merge_file(&file, false, depth)?;
            }
        }
        Ok(())
    }

    /// A file that anybody may write hands the machine to anybody.
    fn check_writers(&self, file: &Path) -> Result<(), ConfigError> {
        let meta = fs::metadata(file).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: None,
            message: format!("cannot be read: {error}"),
        })?;
        if meta.is_file() && meta.mode() & 0o002 != 0 {
            return Err(ConfigError {
                file: file.to_owned(),
                line: None,
                message: format!(
                    "everybody may write it (mode {:04o}); run `chmod o-w {}`",
                    meta.mode() & 0o7777,
                    file.display()
                ),
            });
        }
        Ok(())
    }

    /// Adds defaults, makes paths absolute below `root_dir`.
    fn complete(&mut self, role: Role, dir: &Path) {
        let mut all = defaults::of(role);
        merge_top(&mut all, std::mem::take(&mut self.opts));
        self.opts = all;
        self.opts
            .insert("conf_file", self.file.display().to_string());
        self.opts.insert("config_dir", dir.display().to_string());
        self.opts.insert("__role", role.file_name());
        let cachedir = self
            .opts
            .str("cachedir")
            .unwrap_or("/var/cache/salt")
            .to_owned();
        if !self.places.contains_key("extension_modules") {
            self.opts
                .insert("extension_modules", format!("{cachedir}/extmods"));
        }
        let root = self.opts.str("root_dir").unwrap_or("/").to_owned();
        for key in defaults::ROOTED {
            if let Some(path) = self.opts.str(key) {
                let path = below(&root, path);
                self.opts.insert(*key, path);
            }
        }
    }

    /// Where a key was set, for messages: the main file when it was not.
    fn place(&self, key: &str) -> (PathBuf, Option<usize>) {
        match self.places.get(key) {
            Some((file, line)) => (file.clone(), Some(*line)),
            None => (self.file.clone(), None),
        }
    }

    /// The error of a key whose value is not what it should be.
    pub fn invalid(&self, key: &str, expected: &str) -> ConfigError {
        let (file, line) = self.place(key);
        let found = self.opts.get(key).map_or_else(
            || "nothing".to_owned(),
            |value| format!("{} {}", value.type_name(), salt_state::python::repr(value)),
        );
        ConfigError {
            file,
            line,
            message: format!("`{key}` must be {expected}, not {found}"),
        }
    }
}

/// A path below the root directory; one that is there already stays.
fn below(root: &str, path: &str) -> String {
    // A log destination that is an address (`udp://…`) is no path.
    if path.is_empty() || path.contains("://") {
        return path.to_owned();
    }
    let root = root.trim_end_matches('/');
    if root.is_empty() || Path::new(path).starts_with(root) {
        return if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{root}/{path}")
        };
    }
    format!("{root}/{}", path.trim_start_matches('/'))
}

/// Merges like Salt: mappings key by key, everything else is replaced.
fn merge(into: &mut Map, from: Map) {
    for (key, value) in from {
        match (into.get_value_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Puts stated values over defaults; a mapping replaces the default mapping.
fn merge_top(into: &mut Map, from: Map) {
    into.extend(from);
}

/// A text, or a list of texts.
fn text_list(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().map(salt_state::python::str).collect(),
        Value::Null => Vec::new(),
        one => vec![salt_state::python::str(one)],
    }
}

/// The files a pattern names, sorted. `*`, `?` and `[…]` count within one component,
/// and a leading dot is matched only by a dot.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        if !name.contains(['*', '?', '[']) {
            for path in &mut found {
                path.push(component);
            }
            continue;
        }
        found = found
            .iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flat_map(|entries| entries.flatten())
            .filter(|entry| {
                let entry = entry.file_name();
                let entry = entry.to_string_lossy();
                (!entry.starts_with('.') || name.starts_with('.'))
                    && salt_state::fnmatch(&entry, &name)
            })
            .map(|entry| entry.path())
            .collect();
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use salt_state::FakeSystem;

    /// A directory that is gone when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("salt-config-{name}-{}", std::process::id()));
            fs::remove_dir_all(&path).ok();
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn minion(&self) -> Result<MinionConfig, ConfigError> {
            MinionConfig::read(&self.0, &Map::new(), &FakeSystem::new())
        }

        fn refusal(&self) -> String {
            let error = self.minion().unwrap_err().to_string();
            error.replace(&self.0.display().to_string(), "DIR")
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    // The order and the merging were observed with Salt 3008.3.
    #[test]
    fn drop_ins_come_before_includes_and_mappings_are_merged() {
        let dir = Dir::new("order");
        dir.write(
            "minion",
            "id: m1\ninclude:\n  - extra/*.inc\n  - none.conf\n",
        );
        dir.write("minion.d/b.conf", "x: b\ny: {a: 1}\n");
        dir.write(
            "minion.d/_s.conf",
            "x: _s\ninclude: [../extra/second.cfg]\n",
        );
        dir.write("minion.d/c.conf", "y: {b: 2}\n");
        dir.write("minion.d/n.txt", "x: no\n");
        dir.write("extra/a.inc", "x: inc\n");
        dir.write("extra/second.cfg", "second: true\n");

        let raw = Raw::read(Role::Minion, &dir.0, &Map::new()).unwrap();

        assert_eq!(raw.opts.get("second"), Some(&Value::Bool(true)));
        assert_eq!(
            raw.opts.get("y"),
            Some(&Map::from([("a", 1), ("b", 2)]).into())
        );
        assert_eq!(raw.opts.str("x"), Some("inc"));
        assert!(raw.warnings[0].contains("none.conf"));
    }

    #[test]
    fn paths_are_taken_below_the_root_directory_once() {
        let dir = Dir::new("root");
        dir.write(
            "minion",
            "id: m1\nroot_dir: /r\npki_dir: /r/pki\nlog_file: rel/log\n",
        );

        let config = dir.minion().unwrap();

        assert_eq!(config.pki_dir, Path::new("/r/pki"));
        assert_eq!(config.cachedir, Path::new("/r/var/cache/salt/minion"));
        assert_eq!(config.log_file, Path::new("/r/rel/log"));
        assert_eq!(
            config.opts.str("extension_modules"),
            Some("/r/var/cache/salt/minion/extmods")
        );
    }

    #[test]
    fn mistakes_are_named_with_file_line_and_what_was_expected() {
        let dir = Dir::new("bad");
        for (text, expected) in [
            (
                "id: m1\nmaster_port: abc\n",
                "DIR/minion, line 2: `master_port` must be a port number, 1 to 65535, not str 'abc'",
            ),
            (
                "- a\n",
                "DIR/minion, line 1: expected `key: value` lines, found a list",
            ),
            (
                "just text\n",
                "DIR/minion, line 1: expected `key: value` lines, found a str",
            ),
            (
                "a: 1\na: 2\n",
                "DIR/minion, line 2: is not YAML: found conflicting ID 'a' while constructing a mapping",
            ),
            (
                "\nsecurity_profile: lax\n",
                "DIR/minion, line 2: `security_profile` must be `strict` or `compat`, not str 'lax'",
            ),
            (
                "1: 2\n",
                "DIR/minion, line 1: expected a text as key, found the int 1",
            ),
        ] {
            dir.write("minion", text);
            assert_eq!(dir.refusal(), expected);
        }
        dir.write("minion", "id: [1\nb: 2\n");
        assert!(
            dir.refusal().starts_with("DIR/minion, line "),
            "{}",
            dir.refusal()
        );
    }

    //
    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new("writable");
        dir.write("minion", "id: m1\n");
        let path = dir.0.join("minion");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();

        assert!(dir.refusal().contains("everybody may write it (mode 0666)"));
    }

    // D-01
    #[test]
    fn without_any_configuration_everything_is_strict_and_local() {
        let dir = Dir::new("none");

        let master = MasterConfig::read(&dir.0, &Map::new()).unwrap();
        let minion = dir.minion().unwrap();

        assert_eq!(master.interface, "127.0.0.1");
        assert_eq!(master.security_profile, SecurityProfile::Strict);
        assert!(!master.auto_accept && !master.file_recv && master.peer.is_empty());
        assert_eq!(minion.security_profile, SecurityProfile::Strict);
        assert!(!minion.trust_on_first_use);
        assert_eq!(minion.id, "fake");
    }

    #[test]
    fn trust_on_first_use_needs_the_profile_compat() {
        let dir = Dir::new("tofu");
        dir.write("minion", "trust_on_first_use: true\n");
        assert!(
            dir.refusal()
                .contains("line 1: `trust_on_first_use` must be false")
        );

        dir.write(
            "minion",
            "trust_on_first_use: true\nsecurity_profile: compat\n",
        );
        assert!(dir.minion().unwrap().trust_on_first_use);
    }

    #[test]
    fn words_from_the_command_line_win() {
        let dir = Dir::new("override");
        dir.write("master", "log_level: info\n");

        let config = MasterConfig::read(&dir.0, &Map::from([("log_level", "debug")])).unwrap();

        assert_eq!(config.log_level, "debug");
        assert_eq!(config.interface, "0.0.0.0");
    }

    #[test]
    fn an_include_that_includes_itself_ends() {
        let dir = Dir::new("loop");
        dir.write("minion.d/a.conf", "include: a.conf\n");
        assert!(dir.refusal().contains("files deep"));
    }
}
