//! What Salt adds to Jinja: filters, tests, globals, and how values print.

use super::filters::Builtin;
use super::value::Value;
use super::{Error, Kind, Result, Runtime, json};

/// Salt's filter of that name.
pub(crate) fn filter(_name: &str) -> Option<Builtin> {
    None
}

/// Salt's test of that name.
pub(crate) fn test(_name: &str) -> Option<Builtin> {
    None
}

/// Salt's global of that name.
pub(crate) fn global(_name: &str) -> Option<Value> {
    None
}

/// A value as Salt prints it.
pub(crate) fn printed(value: &Value) -> Result<String> {
    value.str()
}

/// The data of a `load_yaml` block.
pub(crate) fn load_yaml(rt: &Runtime<'_>, text: &str) -> Result<Value> {
    rt.environment()
        .host()
        .load_yaml(text)
        .map_err(|error| Error::new(Kind::Runtime, error.message))
}

/// The data of a `load_json` block.
pub(crate) fn load_json(rt: &Runtime<'_>, text: &str) -> Result<Value> {
    json::load(rt, text)
}
