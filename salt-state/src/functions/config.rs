//! `config.*`: settings of the minion, wherever they are made.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::data::{traverse_map, update};
use crate::registry::{CallError, Registry};
use crate::{fnmatch, python};

type Answer = Result<Value, CallError>;

/// What Salt assumes for settings that are read through `config.option` alone.
const DEFAULTS: &[(&str, &str)] = &[
    ("hosts.file", "/etc/hosts"),
    ("mongo.host", "salt"),
    ("aliases.file", "/etc/aliases"),
];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "config.get",
        "get(key, default='', delimiter=':', merge=None, omit_opts=False, omit_pillar=False, omit_master=False, omit_grains=False)",
        "Returns a setting from the minion's configuration, its grains, its pillar or the master's settings in its pillar, the first that has it. merge: `recurse` or `overwrite` to put them together.",
        get,
    );
    add(
        "config.option",
        "option(value, default=None, omit_opts=False, omit_grains=False, omit_pillar=False, omit_master=False, omit_all=False, wildcard=False)",
        "Returns a setting by its whole name. wildcard: all settings whose names match.",
        option,
    );
    add(
        "config.merge",
        "merge(value, default='', omit_opts=False, omit_master=False, omit_pillar=False)",
        "Returns a setting, mappings and lists of all places joined.",
        merge,
    );
    add(
        "config.dot_vals",
        "dot_vals(value)",
        "Returns the settings whose names begin with `value.`.",
        |args, context| {
            let start = format!("{}.", args.text("value")?);
            let mut found = Map::new();
            for source in [master(context), Some(&context.minion.config)]
                .into_iter()
                .flatten()
            {
                for (key, value) in source {
                    if key.as_str().is_some_and(|key| key.starts_with(&start)) {
                        found.insert(key.clone(), value.clone());
                    }
                }
            }
            Ok(found.into())
        },
    );
    add(
        "config.items",
        "items()",
        "Returns the whole configuration.",
        |_, context| Ok(context.minion.config.clone().into()),
    );
    add(
        "config.valid_fileproto",
        "valid_fileproto(uri)",
        "Returns whether files can be fetched from such an address.",
        |args, _| {
            let uri = args.text("uri")?;
            let known = ["salt", "http", "https", "ftp", "s3", "swift", "file"];
            let scheme = uri
                .split_once("://")
                .map(|(scheme, _)| scheme.to_lowercase());
            Ok(scheme
                .is_some_and(|scheme| known.contains(&scheme.as_str()))
                .into())
        },
    );
    add(
        "config.manage_mode",
        "manage_mode(mode)",
        "Returns a file mode as four digits.",
        |args, _| {
            let Some(mode) = args.given("mode") else {
                return Ok(Value::Null);
            };
            let mode = python::str(mode);
            let digits = mode.trim_matches(['"', '\'']).trim_start_matches('0');
            Ok(format!("{digits:0>4}").into())
        },
    );
    add(
        "config.backup_mode",
        "backup_mode(backup='')",
        "Returns the given backup mode, else the configured one.",
        |args, context| {
            let stated = args
                .optional_text("backup")
                .filter(|backup| !backup.is_empty());
            match stated {
                Some(stated) => Ok(stated.into()),
                None => Ok(context.setting("backup_mode").unwrap_or_default().into()),
            }
        },
    );
}

/// The master's settings that a minion sees in its pillar (`pillar_opts`).
fn master<'a>(context: &'a Context<'_>) -> Option<&'a Map> {
    context.minion.pillar.get("master").and_then(Value::as_map)
}

fn get(args: &Args, context: &Context<'_>) -> Answer {
    let key = args.text("key")?;
    let delimiter = args.text("delimiter")?;
    let minion = context.minion;
    // In the order in which they win.
    let sources = [
        (!args.is_true("omit_opts")).then_some(&minion.config),
        (!args.is_true("omit_grains")).then(|| &*minion.grains),
        (!args.is_true("omit_pillar")).then_some(&minion.pillar),
        master(context).filter(|_| !args.is_true("omit_master")),
    ];
    let default = || args.get("default").cloned().unwrap_or_default();
    let how = args.optional_text("merge");
    let Some(how) = how.filter(|how| matches!(how.as_str(), "recurse" | "overwrite")) else {
        return Ok(sources
            .into_iter()
            .flatten()
            .find_map(|source| traverse_map(source, &key, &delimiter))
            .cloned()
            .unwrap_or_else(default));
    };
    // Only what the key leads to has to be put together.
    let merge_lists = minion
        .config
        .get("pillar_merge_lists")
        .is_some_and(Value::is_true);
    let mut merged: Option<Value> = None;
    for source in sources.into_iter().rev().flatten() {
        let Some(found) = traverse_map(source, &key, &delimiter) else {
            continue;
        };
        match (&mut merged, found) {
            (Some(Value::Map(old)), Value::Map(new)) if how == "recurse" => {
                update(old, new, merge_lists);
            }
            (slot, found) => *slot = Some(found.clone()),
        }
    }
    Ok(merged.unwrap_or_else(default))
}

fn option(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("value")?;
    let all = args.is_true("omit_all");
    let minion = context.minion;
    let omit = |what| all || args.is_true(what);
    let sources = [
        (!omit("omit_opts")).then_some(&minion.config),
        (!omit("omit_grains")).then(|| &*minion.grains),
        (!omit("omit_pillar")).then_some(&minion.pillar),
        master(context).filter(|_| !omit("omit_master")),
    ];
    if args.is_true("wildcard") {
        let mut found = Map::new();
        for source in sources.into_iter().rev().flatten() {
            for (key, value) in source {
                if key.as_str().is_some_and(|key| fnmatch(key, &name)) {
                    found.insert(key.clone(), value.clone());
                }
            }
        }
        return Ok(found.into());
    }
    if let Some(found) = sources
        .into_iter()
        .flatten()
        .find_map(|source| source.get(&name))
    {
        return Ok(found.clone());
    }
    if let Some((_, value)) = DEFAULTS.iter().find(|(key, _)| *key == name && !all) {
        return Ok((*value).into());
    }
    Ok(args.given("default").cloned().unwrap_or_else(|| "".into()))
}

fn merge(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("value")?;
    let minion = context.minion;
    let sources = [
        (!args.is_true("omit_opts")).then_some(&minion.config),
        master(context).filter(|_| !args.is_true("omit_master")),
        (!args.is_true("omit_pillar")).then_some(&minion.pillar),
    ];
    let mut merged: Option<Value> = None;
    for found in sources
        .into_iter()
        .flatten()
        .filter_map(|source| source.get(&name))
    {
        match (&mut merged, found) {
            // The first place wins, except where both can be joined.
            (Some(Value::Map(all)), Value::Map(more)) => all.extend(more.clone()),
            (Some(Value::List(all)), Value::List(more)) => all.extend(more.iter().cloned()),
            (Some(_), _) => {}
            (slot, found) => *slot = Some(found.clone()),
        }
    }
    Ok(merged.unwrap_or_else(|| args.get("default").cloned().unwrap_or_default()))
}
