//! Which new keys are decided about without asking an operator.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salt_proto::{AutoSign, Facts, Map, MinionId, Target, Value};

/// Salt's settings about new keys. The default leaves every one of them pending.
///
/// A file that anybody else may write is ignored: `auto_accept` for whoever can write to it (K-04).
#[derive(Clone, Debug)]
pub struct AutoSignPolicy {
    /// `auto_accept`: every key of a new id is accepted. Default no.
    pub accept_everyone: bool,
    /// `autosign_file`: ids, globs or regular expressions that are accepted, one a line.
    pub autosign_file: Option<PathBuf>,
    /// `autoreject_file`: the same for those that are rejected, which counts first.
    pub autoreject_file: Option<PathBuf>,
    /// `autosign_grains_dir`: a file for each grain, with the values that are accepted, one a line. The grains are
    /// what the minion says of itself.
    pub autosign_grains_dir: Option<PathBuf>,
    /// `autosign_timeout`: how long a file `minions_autosign/<id>` is good. Default two hours.
    pub autosign_timeout: Duration,
    /// `permissive_pki_access`: whether files that their group may write count too. Default no.
    pub group_writable: bool,
}

impl Default for AutoSignPolicy {
    fn default() -> Self {
        Self {
            accept_everyone: false,
            autosign_file: None,
            autoreject_file: None,
            autosign_grains_dir: None,
            autosign_timeout: Duration::from_secs(120 * 60),
            group_writable: false,
        }
    }
}

impl AutoSignPolicy {
    /// Decides about a new key.
    pub(super) fn decide(&self, pki_dir: &Path, id: &MinionId, grains: &Map) -> AutoSign {
        if self.listed(self.autoreject_file.as_deref(), id) {
            AutoSign::Reject
        } else if self.accept_everyone
            || self.listed(self.autosign_file.as_deref(), id)
            || self.prepared(pki_dir, id)
            || self.grain_listed(grains)
        {
            AutoSign::Accept
        } else {
            AutoSign::Ask
        }
    }

    fn listed(&self, file: Option<&Path>, id: &MinionId) -> bool {
        let lines = file.map_or_else(Vec::new, |file| self.lines(file));
        let nothing = Map::new();
        let minion = Facts {
            id: id.as_str(),
            grains: &nothing,
            pillar: &nothing,
            nodegroups: &nothing,
        };
        let means = |kind: &str, pattern: String| {
            Target::parse(kind, &pattern.into(), ":").is_ok_and(|target| target.matches(&minion))
        };
        // A line is a glob or a regular expression for the whole id.
        lines
            .iter()
            .any(|line| means("glob", line.clone()) || means("pcre", format!("(?:{line})$")))
    }

    /// Whether an operator prepared this id with a file in `minions_autosign`; the file is used up.
    fn prepared(&self, pki_dir: &Path, id: &MinionId) -> bool {
        let path = pki_dir.join("minions_autosign").join(id.as_str());
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            return false;
        };
        if !metadata.is_file() || !self.trustworthy(&metadata) {
            return false;
        }
        let age = metadata
            .modified()
            .ok()
            .and_then(|at| at.elapsed().ok())
            .unwrap_or_default();
        fs::remove_file(&path).is_ok() && age <= self.autosign_timeout
    }

    fn grain_listed(&self, grains: &Map) -> bool {
        let Some(dir) = &self.autosign_grains_dir else {
            return false;
        };
        grains.iter().any(|(name, value)| {
            let Some(name) = name.as_str().filter(|name| is_file_name(name)) else {
                return false;
            };
            let value = match value {
                Value::Str(text) => text.clone(),
                Value::Int(n) => n.to_string(),
                Value::UInt(n) => n.to_string(),
                Value::Bool(true) => "True".to_owned(),
                Value::Bool(false) => "False".to_owned(),
                _ => return false,
            };
            self.lines(&dir.join(name)).contains(&value)
        })
    }

    /// The lines of a file without blanks and comments; none if the file may be written by others.
    fn lines(&self, path: &Path) -> Vec<String> {
        let read = || -> io::Result<Option<String>> {
            let metadata = fs::symlink_metadata(path)?;
            if !metadata.is_file() || !self.trustworthy(&metadata) {
                return Ok(None);
            }
            fs::read_to_string(path).map(Some)
        };
        match read() {
            Ok(Some(text)) => text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned)
                .collect(),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "ignored: it may be written by others, or is no file");
                Vec::new()
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cannot be read");
                }
                Vec::new()
            }
        }
    }

    fn trustworthy(&self, metadata: &fs::Metadata) -> bool {
        let forbidden = if self.group_writable { 0o002 } else { 0o022 };
        metadata.permissions().mode() & forbidden == 0
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testing::Dir;

    fn decide(policy: &AutoSignPolicy, dir: &Dir, id: &str, grains: &Map) -> AutoSign {
        policy.decide(&dir.0, &id.parse().unwrap(), grains)
    }

    fn file(dir: &Dir, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = dir.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn lines_are_ids_globs_and_whole_regular_expressions_and_a_no_counts_first() {
        let dir = Dir::new("autosign-lines");
        let policy = AutoSignPolicy {
            autosign_file: Some(file(&dir, "yes", "# ours\nweb*\n\ndb[0-9]+\\.lan\n", 0o600)),
            autoreject_file: Some(file(&dir, "no", "web9\n", 0o600)),
            ..AutoSignPolicy::default()
        };

        for (id, expected) in [
            ("web1", AutoSign::Accept),
            ("db12.lan", AutoSign::Accept),
            ("db12.lan.evil", AutoSign::Ask),
            ("web9", AutoSign::Reject),
            ("other", AutoSign::Ask),
        ] {
            assert_eq!(decide(&policy, &dir, id, &Map::new()), expected, "{id}");
        }
    }

    // K-04
    #[test]
    fn a_file_that_others_may_write_counts_for_nothing() {
        let dir = Dir::new("autosign-modes");
        let path = file(&dir, "yes", "*\n", 0o620);
        let strict = AutoSignPolicy {
            autosign_file: Some(path),
            ..AutoSignPolicy::default()
        };
        assert_eq!(decide(&strict, &dir, "web1", &Map::new()), AutoSign::Ask);

        let permissive = AutoSignPolicy {
            group_writable: true,
            ..strict
        };
        assert_eq!(
            decide(&permissive, &dir, "web1", &Map::new()),
            AutoSign::Accept
        );
    }

    #[test]
    fn a_prepared_id_is_accepted_once() {
        let dir = Dir::new("autosign-prepared");
        file(&dir, "minions_autosign/web1", "", 0o600);
        let policy = AutoSignPolicy::default();

        assert_eq!(decide(&policy, &dir, "web1", &Map::new()), AutoSign::Accept);
        assert_eq!(decide(&policy, &dir, "web1", &Map::new()), AutoSign::Ask);
    }

    #[test]
    fn a_listed_grain_is_accepted_and_its_name_is_no_path() {
        let dir = Dir::new("autosign-grains");
        file(&dir, "grains/uuid", "abc\n7\n", 0o600);
        let policy = AutoSignPolicy {
            autosign_grains_dir: Some(dir.0.join("grains")),
            ..AutoSignPolicy::default()
        };

        assert_eq!(
            decide(&policy, &dir, "a", &Map::from([("uuid", "abc")])),
            AutoSign::Accept
        );
        assert_eq!(
            decide(&policy, &dir, "a", &Map::from([("uuid", 7)])),
            AutoSign::Accept
        );
        assert_eq!(
            decide(&policy, &dir, "a", &Map::from([("uuid", "xyz")])),
            AutoSign::Ask
        );
        assert_eq!(
            decide(&policy, &dir, "a", &Map::from([("../grains/uuid", "abc")])),
            AutoSign::Ask
        );
    }
}
