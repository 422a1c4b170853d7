//! `grains.*`: reading grains, and setting those that are set by hand.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::layered;
use crate::args::Args;
use crate::context::Context;
use crate::data::{filter_by, traverse_map};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};
use crate::yaml::{self, DumpOptions};

mod change;

type Answer = Result<Value, CallError>;

/// What `sanitize` shows instead of what would name a machine.
const SANITIZED: &[(&str, &str)] = &[
    ("serialnumber", "serialnumber"),
    ("domain", "DOMAINNAME"),
    ("fqdn", "MINION.DOMAINNAME"),
    ("id", "MINION.DOMAINNAME"),
    ("host", "MINION"),
    ("localhost", "MINION"),
    ("nodename", "MINION"),
];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "grains.items",
        "items(sanitize=False)",
        "Returns all grains. sanitize: without what names the machine.",
        |args, context| {
            let mut grains = context.minion.grains.clone();
            if args.is_true("sanitize") {
                sanitize(&mut grains);
            }
            Ok(grains.into())
        },
    );
    add(
        "grains.item",
        "item(*args, **kwargs)",
        "Returns grains by their paths (`a:b`). default, delimiter, sanitize.",
        item,
    );
    for name in ["grains.get", "grains.fetch"] {
        add(
            name,
            "get(key, default='', delimiter=':', ordered=True)",
            "Returns a grain by its path (`a:b`).",
            |args, context| {
                let found = traverse_map(
                    &context.minion.grains,
                    &args.text("key")?,
                    &args.text("delimiter")?,
                );
                Ok(found
                    .or_else(|| args.get("default"))
                    .cloned()
                    .unwrap_or_default())
            },
        );
    }
    add(
        "grains.ls",
        "ls()",
        "Returns the names of all grains.",
        |_, context| {
            let mut names: Vec<String> = context.minion.grains.keys().map(python::str).collect();
            names.sort();
            Ok(names.into_iter().collect())
        },
    );
    add(
        "grains.has_value",
        "has_value(key)",
        "Returns whether there is such a grain.",
        |args, context| {
            let found = traverse_map(&context.minion.grains, &args.text("key")?, ":");
            Ok(found.is_some().into())
        },
    );
    add(
        "grains.equals",
        "equals(key, value)",
        "Returns whether a grain has this value, both taken as text.",
        |args, context| {
            let found = traverse_map(&context.minion.grains, &args.text("key")?, ":");
            Ok(found
                .is_some_and(|found| Some(python::str(found)) == args.text("value").ok())
                .into())
        },
    );
    add(
        "grains.filter_by",
        "filter_by(lookup_dict, grain='os_family', merge=None, default='default', base=None)",
        "Returns the entry of a mapping whose key, taken as a glob, matches a grain. base: an entry to put it over; merge: a mapping to put over it.",
        |args, context| {
            let Some(Value::Map(lookup)) = args.get("lookup_dict") else {
                return Err(CallError::Arguments(
                    "lookup_dict must be a dictionary".to_owned(),
                ));
            };
            let found = traverse_map(&context.minion.grains, &args.text("grain")?, ":");
            let base = args.optional_text("base");
            layered(
                lookup,
                filter_by(lookup, found, &args.text("default")?),
                args.given("merge"),
                base.as_deref(),
                false,
            )
        },
    );
    change::register(registry);
}

fn sanitize(grains: &mut Map) {
    for (name, instead) in SANITIZED {
        if grains.contains_key(name) {
            grains.insert(*name, *instead);
        }
    }
}

fn item(args: &Args, context: &Context<'_>) -> Answer {
    let delimiter = args
        .optional_text("delimiter")
        .unwrap_or_else(|| ":".to_owned());
    let default = args.get("default").cloned().unwrap_or_else(|| "".into());
    let mut found: Map = args
        .positional()
        .iter()
        .map(|key| {
            let value = traverse_map(&context.minion.grains, &python::str(key), &delimiter);
            (
                key.clone(),
                value.cloned().unwrap_or_else(|| default.clone()),
            )
        })
        .collect();
    if args.is_true("sanitize") {
        for (name, instead) in SANITIZED {
            if found.get(name).is_some_and(|value| *value != default) {
                found.insert(*name, *instead);
            }
        }
    }
    Ok(found.into())
}

/// The file of the grains that are set by hand, beside the minion's configuration.
fn file(context: &Context<'_>) -> PathBuf {
    let config = context.setting("conf_file").map(Path::new);
    config
        .and_then(Path::parent)
        .unwrap_or_else(|| Path::new("/etc/salt"))
        .join("grains")
}

/// The grains that are set by hand.
fn set_by_hand(context: &Context<'_>) -> Result<Map, CallError> {
    let unreadable =
        |why: String| CallError::execution(format!("Unable to read existing grains file: {why}"));
    let path = file(context);
    let text = context.system.text(&path);
    let text = text.map_err(|error| unreadable(errno_text(&error, Some(&path))))?;
    match yaml::load(&text.unwrap_or_default()) {
        Ok(Value::Map(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(unreadable(format!(
            "not a mapping but a {}",
            other.type_name()
        ))),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// All grains, those that an earlier call of this job set included.
fn current(context: &Context<'_>) -> Result<Map, CallError> {
    let mut all = context.minion.grains.clone();
    all.extend(set_by_hand(context)?);
    Ok(all)
}

/// Writes grains; with `destructive`, those that are `None` are taken away. Returns what
/// was set.
fn write(changes: &Map, destructive: bool, context: &Context<'_>) -> Answer {
    let mut all = set_by_hand(context)?;
    for (key, value) in changes {
        if value.is_null() && destructive {
            all.remove_value(key);
        } else {
            all.insert(key.clone(), value.clone());
        }
    }
    let options = DumpOptions {
        flow_style: Some(false),
        ..DumpOptions::default()
    };
    let text = yaml::dump(&all.into(), &options);
    let path = file(context);
    context
        .system
        .write(&path, text.as_bytes(), &WriteOptions::new())
        .map_err(|error| {
            let error = errno_text(&error, Some(&path));
            CallError::execution(format!(
                "Unable to write to grains file {}: {error}",
                path.display()
            ))
        })?;
    context.fire("grains_refresh", Map::new());
    Ok(changes.clone().into())
}
