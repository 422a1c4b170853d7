//! Settings with their types.

use std::path::PathBuf;
use std::time::Duration;

use salt_proto::{Map, Value};

use super::{ConfigError, Raw};

/// Directories by environment, as `file_roots` and `pillar_roots` state them, in order.
pub type Roots = Vec<(String, Vec<PathBuf>)>;

/// How much weakness of the classic protocol is tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityProfile {
    /// Our peers, and stock ones with the strong algorithms switched on.
    #[default]
    Strict,
    /// Stock peers at their defaults too.
    Compat,
}

impl SecurityProfile {
    /// `strict` or `compat`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Compat => "compat",
        }
    }
}

impl Raw {
    /// Text; a number counts as what was typed.
    pub(super) fn text(&self, key: &str) -> Result<String, ConfigError> {
        match self.opts.get(key) {
            Some(Value::Str(text)) => Ok(text.clone()),
            Some(value @ (Value::Int(_) | Value::Float(_))) => Ok(salt_state::python::str(value)),
            None | Some(Value::Null) => Ok(String::new()),
            Some(_) => Err(self.invalid(key, "a text")),
        }
    }

    /// Text that was stated in a file or on the command line, not a default.
    pub(super) fn stated_text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        if !self.is_stated(key) {
            return Ok(None);
        }
        self.text(key)
            .map(Some)
            .map(|text| text.filter(|text| !text.is_empty()))
    }

    /// Whether a file states a setting.
    pub fn is_stated(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    pub(super) fn path(&self, key: &str) -> Result<PathBuf, ConfigError> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn bool(&self, key: &str) -> Result<bool, ConfigError> {
        match self.opts.get(key) {
            Some(Value::Bool(b)) => Ok(*b),
            None | Some(Value::Null) => Ok(false),
            Some(_) => Err(self.invalid(key, "true or false")),
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn number(&self, key: &str, least: i64) -> Result<i64, ConfigError> {
        match self.opts.get(key) {
            Some(Value::Int(n)) if *n >= least => Ok(*n),
            _ => Err(self.invalid(key, &format!("a whole number of at least {least}"))),
        }
    }

    pub(super) fn count(&self, key: &str) -> Result<usize, ConfigError> {
        let n = self.number(key, 0)?;
        usize::try_from(n).map_err(|_| self.invalid(key, "a smaller number"))
    }

    pub(super) fn port(&self, key: &str) -> Result<u16, ConfigError> {
        let expected = "a port number, 1 to 65535";
        match self.opts.get(key) {
            Some(Value::Int(n)) => u16::try_from(*n).ok().filter(|port| *port != 0),
            Some(Value::Str(text)) => text.parse().ok().filter(|port| *port != 0),
            _ => None,
        }
        .ok_or_else(|| self.invalid(key, expected))
    }

    /// Seconds, fractions allowed.
    pub(super) fn seconds(&self, key: &str) -> Result<Duration, ConfigError> {
        let seconds = match self.opts.get(key) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds that large mean for ever"
            )]
            Some(Value::Int(n)) => *n as f64,
            Some(Value::Float(x)) => *x,
            _ => -1.0,
        };
        Duration::try_from_secs_f64(seconds).map_err(|_| self.invalid(key, "a number of seconds"))
    }

    pub(super) fn map(&self, key: &str) -> Result<Map, ConfigError> {
        match self.opts.get(key) {
            Some(Value::Map(map)) => Ok(map.clone()),
            None | Some(Value::Null) => Ok(Map::new()),
            Some(_) => Err(self.invalid(key, "a mapping")),
        }
    }

    pub(super) fn profile(&self) -> Result<SecurityProfile, ConfigError> {
        match self.opts.get("security_profile") {
            None => Ok(SecurityProfile::Strict),
            Some(Value::Str(name)) if name == "strict" => Ok(SecurityProfile::Strict),
            Some(Value::Str(name)) if name == "compat" => Ok(SecurityProfile::Compat),
            Some(_) => Err(self.invalid("security_profile", "`strict` or `compat`")),
        }
    }

    pub(super) fn transport(&self) -> Result<String, ConfigError> {
        match self.text("transport")?.as_str() {
            known @ ("zeromq" | "tcp") => Ok(known.to_owned()),
            _ => Err(self.invalid("transport", "`zeromq` or `tcp`")),
        }
    }

    pub(super) fn log_level(&self) -> Result<String, ConfigError> {
        const LEVELS: [&str; 9] = [
            "quiet", "critical", "error", "warning", "info", "profile", "debug", "trace", "garbage",
        ];
        let level = self.text("log_level")?;
        if LEVELS.contains(&level.as_str()) || level == "all" {
            return Ok(level);
        }
        Err(self.invalid("log_level", &format!("one of {}", LEVELS.join(", "))))
    }

    /// Environments with their directories: each a list or one text.
    pub(super) fn roots(&self, key: &str) -> Result<Roots, ConfigError> {
        let wrong = || {
            self.invalid(
                key,
                "environments with lists of directories: `base: [/srv/salt]`",
            )
        };
        let Some(Value::Map(map)) = self.opts.get(key) else {
            return Err(wrong());
        };
        let path = |value: &Value| value.as_str().map(PathBuf::from).ok_or_else(wrong);
        map.iter()
            .map(|(environment, roots)| {
                let roots = match roots {
                    Value::List(items) => items.iter().map(path).collect::<Result<_, _>>()?,
                    Value::Null => Vec::new(),
                    one => vec![path(one)?],
                };
                Ok((salt_state::python::str(environment), roots))
            })
            .collect()
    }
}
