//! Functions that hand out or change a template's own objects.
//!
//! `salt['pillar.get']('users')` gives the list in the pillar itself, so that what a
//! template appends to it is there for the next one; `defaults.merge` changes its
//! argument. Functions of plain values cannot do that, so these few are here.

mod lookup;
mod merge;
mod slsutil;

use super::template::Outside;
use crate::jinja::{self, Args, Error, Kind, Runtime, Value};

/// What came of a call.
pub(super) enum Called {
    /// It was one of these functions.
    Done(Value),
    /// It was not; the arguments come back.
    NotOurs(Args),
}

/// The names, by module.
const NAMES: [(&str, &[&str]); 8] = [
    ("config", &["get", "option"]),
    ("defaults", &["merge", "deepcopy", "update"]),
    ("grains", &["get", "fetch", "filter_by"]),
    ("jinja", &["import_yaml", "import_json", "load_map"]),
    (
        "log",
        &["debug", "info", "warning", "error", "exception", "critical"],
    ),
    (
        "match",
        &[
            "glob",
            "compound",
            "grain",
            "grain_pcre",
            "pillar",
            "pillar_pcre",
            "list",
            "pcre",
            "ipcidr",
            "filter_by",
        ],
    ),
    ("pillar", &["get", "fetch", "raw", "items", "data"]),
    (
        "slsutil",
        &[
            "merge",
            "merge_all",
            "update",
            "renderer",
            "serialize",
            "deserialize",
            "boolstr",
            "path_exists",
            "file_exists",
            "dir_exists",
            "findup",
        ],
    ),
];

pub(super) fn contains(name: &str) -> bool {
    let Some((module, function)) = name.split_once('.') else {
        return false;
    };
    NAMES
        .iter()
        .any(|(known, functions)| *known == module && functions.contains(&function))
}

pub(super) fn contains_module(module: &str) -> bool {
    NAMES.iter().any(|(known, _)| *known == module)
}

pub(super) fn call(
    outside: &Outside<'_>,
    runtime: &Runtime<'_>,
    name: &str,
    args: Args,
) -> jinja::Result<Called> {
    if !contains(name) {
        return Ok(Called::NotOurs(args));
    }
    let (module, function) = name.split_once('.').unwrap_or((name, ""));
    let value = match (module, function) {
        ("pillar" | "grains" | "config" | "match", _) => {
            lookup::call(outside, module, function, args)?
        }
        ("log", _) => Value::Bool(true),
        ("defaults", _) | ("slsutil", "merge" | "merge_all" | "update") => {
            merge::call(runtime, module, function, args)?
        }
        _ => slsutil::call(outside, runtime, module, function, args)?,
    };
    Ok(Called::Done(value))
}

/// Takes the keywords that no parameter of the function is named like.
fn extra(args: &mut Args, known: &[&str]) -> Vec<(jinja::Str, Value)> {
    let (ours, extra) = std::mem::take(&mut args.named)
        .into_iter()
        .partition(|(name, _)| known.contains(&&**name));
    args.named = ours;
    extra
}

/// Text of an argument.
fn text(value: Option<&Value>) -> jinja::Result<String> {
    match value {
        Some(Value::Str(text)) => Ok((**text).to_owned()),
        Some(other) => other.str(),
        None => Ok(String::new()),
    }
}

fn flag(value: Option<&Value>, default: bool) -> jinja::Result<bool> {
    value.map_or(Ok(default), Value::is_true)
}

/// Whether two values are equal, however deep.
fn same(a: &Value, b: &Value) -> jinja::Result<bool> {
    let plain = |value| super::values::to_sorted(value, 0).map_err(exception);
    Ok(plain(a)? == plain(b)?)
}

/// One of Salt's exceptions that templates cannot tell from others.
fn exception(text: impl Into<String>) -> Error {
    Error::new(Kind::Host, text)
}

fn invocation(text: impl Into<String>) -> Error {
    Error::new(Kind::Invocation, text)
}
