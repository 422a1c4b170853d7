//! What templates need from outside: data formats, clock, randomness, files.

use std::fmt;

use super::{Error, Kind, Result, Value};

/// The outside world of a template.
///
/// Every method has a default that refuses, so an implementation offers what
/// it wants templates to reach. The same answers give the same rendering.
#[expect(unused_variables, reason = "defaults have no use for most arguments")]
pub trait Host {
    /// Reads YAML as Salt's loader does (`load_yaml`, `import_yaml`).
    ///
    /// # Errors
    /// The parser's text, with the place in the YAML text when known.
    fn load_yaml(&self, text: &str) -> Result<Value, DataError> {
        Err(DataError::new("YAML is not available here"))
    }

    /// Writes YAML as Salt's `yaml` filter does: dicts sorted by key, ordered
    /// dicts not, Unicode kept, `flow_style` as PyYAML's `default_flow_style`.
    ///
    /// # Errors
    /// The value cannot be represented.
    fn dump_yaml(&self, value: &Value, flow_style: bool) -> Result<String, DataError> {
        Err(DataError::new("YAML is not available here"))
    }

    /// Whether Salt's function of that name (`test.echo`) can be called.
    fn has_function(&self, name: &str) -> bool {
        false
    }

    /// Calls Salt's function of that name, for `salt['test.echo'](…)`.
    ///
    /// # Errors
    /// What the function raises, or that there is none.
    fn call_function(
        &self,
        runtime: &super::Runtime<'_>,
        name: &str,
        args: super::Args,
    ) -> Result<Value> {
        Err(unavailable(&format!("the function '{name}'")))
    }

    /// The time now, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// There is no clock.
    fn now(&self) -> Result<f64> {
        Err(unavailable("the clock"))
    }

    /// How many seconds local time is ahead of UTC at a moment (seconds since 1970).
    fn utc_offset(&self, at: f64) -> i32 {
        0
    }

    /// Fills `bytes` with random ones.
    ///
    /// # Errors
    /// There is no randomness.
    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        Err(unavailable("randomness"))
    }

    /// Computes a filter that needs the machine: `which`, `list_files`,
    /// `file_hashsum`, `is_empty`, `is_text_file`, `is_bin_file`, `get_uid`,
    /// `http_query`, `dns_check`, `gen_mac`.
    ///
    /// # Errors
    /// It is not offered, or it failed.
    fn system_filter(&self, name: &str, args: super::Args) -> Result<Value> {
        Err(unavailable(&format!("the filter '{name}'")))
    }
}

fn unavailable(what: &str) -> Error {
    Error::new(Kind::Host, format!("{what} is not available to templates"))
}

/// A host that offers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {}

/// Data that does not parse or cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// The message, as Salt prints it.
    pub message: String,
    /// Line and column of the mistake in the data text, both from 1.
    pub place: Option<(u32, u32)>,
}

impl DataError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
        }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DataError {}
