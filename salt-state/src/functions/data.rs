//! `data.*`: the store that a minion keeps for itself.

use std::path::{Path, PathBuf};

use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Limits, Map, Value};

use crate::args::{Args, read_value};
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "data.load",
        "load()",
        "Returns all of the store.",
        |_, context| Ok(load(context).into()),
    );
    add(
        "data.items",
        "items()",
        "Returns all of the store.",
        |_, context| Ok(load(context).into()),
    );
    add(
        "data.keys",
        "keys()",
        "Returns the names in the store.",
        |_, context| Ok(load(context).keys().cloned().collect()),
    );
    add(
        "data.values",
        "values()",
        "Returns the values in the store.",
        |_, context| Ok(load(context).values().cloned().collect()),
    );
    add(
        "data.clear",
        "clear()",
        "Empties the store.",
        |_, context| {
            let path = path(context);
            match context.system.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(CallError::execution(errno_text(&error, Some(&path))))
                }
                _ => Ok(true.into()),
            }
        },
    );
    add(
        "data.dump",
        "dump(new_data)",
        "Replaces the store with a mapping.",
        |args, context| {
            let new = match args.get("new_data").cloned().unwrap_or_default() {
                Value::Str(text) => read_value(&text),
                Value::Map(map) => Value::Map(map),
                other => {
                    return Err(CallError::exception(
                        "ValueError",
                        format!("malformed node or string: {}", python::repr(&other)),
                    ));
                }
            };
            match new {
                Value::Map(store) => keep(&store, context),
                _ => Ok(false.into()),
            }
        },
    );
    add(
        "data.update",
        "update(key, value)",
        "Puts a value into the store.",
        |args, context| {
            let mut store = load(context);
            store.insert(
                args.get("key").cloned().unwrap_or_default(),
                args.get("value").cloned().unwrap_or_default(),
            );
            keep(&store, context)
        },
    );
    add(
        "data.get",
        "get(key, default=None)",
        "Returns a value of the store; of a list of names those that are there.",
        |args, context| {
            let store = load(context);
            match args.get("key") {
                Some(Value::Str(key)) => Ok(store
                    .get(key.as_str())
                    .or_else(|| args.get("default"))
                    .cloned()
                    .unwrap_or_default()),
                Some(Value::List(keys)) => Ok(keys
                    .iter()
                    .filter_map(|key| store.iter().find(|(known, _)| *known == key))
                    .map(|(_, value)| value.clone())
                    .collect()),
                other => Err(CallError::exception(
                    "TypeError",
                    format!(
                        "'{}' object is not iterable",
                        other.map_or("NoneType", Value::type_name)
                    ),
                )),
            }
        },
    );
    add(
        "data.has_key",
        "has_key(key)",
        "Whether a name is in the store.",
        |args, context| {
            let store = load(context);
            let key = args.get("key").cloned().unwrap_or_default();
            Ok(store.keys().any(|known| *known == key).into())
        },
    );
    add(
        "data.pop",
        "pop(key, default=None)",
        "Takes a value out of the store and returns it.",
        |args, context| {
            let mut store = load(context);
            let Some(value) = store.remove(args.text("key")?.as_str()) else {
                return Ok(args.get("default").cloned().unwrap_or_default());
            };
            keep(&store, context)?;
            Ok(value)
        },
    );
    add(
        "data.cas",
        "cas(key, value, old_value)",
        "Replaces a value of the store if it is still the old one; whether it was.",
        |args, context| {
            let mut store = load(context);
            let key = args.text("key")?;
            if store.get(key.as_str()) != args.get("old_value") || !store.contains_key(key.as_str())
            {
                return Ok(false.into());
            }
            store.insert(key, args.get("value").cloned().unwrap_or_default());
            keep(&store, context)
        },
    );
}

fn path(context: &Context<'_>) -> PathBuf {
    let cache = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    Path::new(cache).join("datastore")
}

/// The store; empty where there is none that can be read, as in Salt.
fn load(context: &Context<'_>) -> Map {
    let Ok(Some(bytes)) = context.system.read(&path(context)) else {
        return Map::new();
    };
    match msgpack::decode(&bytes, &Limits::default()) {
        Ok(Value::Map(store)) => store,
        _ => Map::new(),
    }
}

fn keep(store: &Map, context: &Context<'_>) -> Answer {
    let path = path(context);
    let mut bytes = Vec::new();
    msgpack::encode_map(store, Dialect::Bin, &mut bytes);
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let options = WriteOptions::new().mode(0o600);
    let written = context
        .system
        .create_dir_all(directory, 0o755)
        .and_then(|()| context.system.write(&path, &bytes, &options));
    // Salt answers whether it could be written.
    Ok(written.is_ok().into())
}
