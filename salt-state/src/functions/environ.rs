//! `environ.*`: the environment that commands inherit.

use std::ffi::OsStr;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "environ.get",
        "get(key, default='')",
        "Returns a variable.",
        |args, context| {
            let Some(Value::Str(key)) = args.get("key") else {
                return Ok(false.into());
            };
            Ok(read(key, context).map_or_else(
                || args.get("default").cloned().unwrap_or_default(),
                Value::from,
            ))
        },
    );
    add(
        "environ.items",
        "items()",
        "Returns all variables.",
        |_, context| {
            let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
            let all = context.system.environment().into_iter();
            Ok(all
                .map(|(name, value)| (text(name), text(value)))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "environ.has_value",
        "has_value(key, value=None)",
        "Returns whether a variable is set, or has this value.",
        |args, context| {
            let found = read(&args.text("key")?, context);
            let wanted = args.optional_text("value");
            Ok(found
                .is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
                .into())
        },
    );
    add(
        "environ.item",
        "item(keys, default='')",
        "Returns variables by their names.",
        |args, context| {
            let default = args.text("default")?;
            let keys = match args.get("keys") {
                Some(Value::List(keys)) => keys.iter().map(python::str).collect(),
                Some(key) => vec![python::str(key)],
                None => Vec::new(),
            };
            Ok(keys
                .into_iter()
                .map(|key| {
                    let found = read(&key, context).unwrap_or_else(|| default.clone());
                    (key, found)
                })
                .collect::<Map>()
                .into())
        },
    );
    add(
        "environ.setval",
        "setval(key, val, false_unsets=False, permanent=False)",
        "Sets a variable for the commands that run later. false_unsets: False takes it away.",
        |args, context| {
            let value = args.get("val").cloned().unwrap_or_default();
            Ok(set(
                &args.text("key")?,
                &value,
                args.is_true("false_unsets"),
                context,
            ))
        },
    );
    add(
        "environ.setenv",
        "setenv(environ, false_unsets=False, clear_all=False, update_minion=False, permanent=False)",
        "Sets variables for the commands that run later. clear_all: and takes all others away.",
        |args, context| {
            let Some(Value::Map(wanted)) = args.get("environ") else {
                return Ok(false.into());
            };
            if args.is_true("clear_all") {
                for (name, _) in context.system.environment() {
                    let stays = name.to_str().is_some_and(|name| wanted.contains_key(name));
                    if !stays {
                        context.system.set_env(&name, None);
                    }
                }
            }
            let unsets = args.is_true("false_unsets");
            let mut all = Map::new();
            for (key, value) in wanted {
                let done = set(&python::str(key), value, unsets, context);
                all.insert(key.clone(), done);
            }
            Ok(all.into())
        },
    );
}

fn read(key: &str, context: &Context<'_>) -> Option<String> {
    let found = context.system.env(key)?;
    Some(found.to_string_lossy().into_owned())
}

/// Sets one variable; what Salt returns for it.
fn set(key: &str, value: &Value, false_unsets: bool, context: &Context<'_>) -> Value {
    if key.is_empty() || key.contains(['=', '\0']) {
        return false.into();
    }
    match value {
        Value::Bool(false) if false_unsets => {
            context.system.set_env(OsStr::new(key), None);
            Value::Null
        }
        Value::Bool(false) => {
            context
                .system
                .set_env(OsStr::new(key), Some(OsStr::new("")));
            "".into()
        }
        Value::Str(text) if !text.contains('\0') => {
            context
                .system
                .set_env(OsStr::new(key), Some(OsStr::new(text)));
            text.into()
        }
        _ => false.into(),
    }
}
