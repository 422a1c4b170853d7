//! `mine.*`: what minions tell each other through the master.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::matching;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};
use crate::yaml::{self, DumpOptions};

type Answer = Result<Value, CallError>;

/// Marks an entry that only some minions may see.
const ACL: &str = "__saltmine_acl__";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "mine.send",
        "send(name, *args, **kwargs)",
        "Runs a function and puts its result into the mine. mine_function: the function, when the name is another; allow_tgt, allow_tgt_type: who may see it.",
        send,
    );
    add(
        "mine.get",
        "get(tgt, fun, tgt_type='glob', exclude_minion=False)",
        "Returns what the meant minions put into the mine under a name; several names give a mapping by name.",
        get,
    );
    add(
        "mine.get_docker",
        "get_docker(interfaces=None, cidrs=None, with_container_id=False)",
        "Returns the ports of containers as minions put docker.ps into the mine: nothing where none did.",
        |_, _| Ok(Map::new().into()),
    );
    add(
        "mine.delete",
        "delete(fun)",
        "Takes an entry of this minion out of the mine.",
        |args, context| {
            let fun = args.text("fun")?;
            if context.master.is_none() {
                let mut mine = kept(context)?;
                mine.remove(&fun);
                return keep(&mine, context);
            }
            ask("_mine_delete", Map::from([("fun", fun)]), context)
        },
    );
    add(
        "mine.flush",
        "flush()",
        "Takes all entries of this minion out of the mine.",
        |_, context| {
            if context.master.is_none() {
                return keep(&Map::new(), context);
            }
            ask("_mine_flush", Map::new(), context)
        },
    );
    add(
        "mine.update",
        "update(clear=False, mine_functions=None)",
        "Runs the configured mine functions and puts their results into the mine. clear: takes out what was there.",
        update,
    );
    add(
        "mine.valid",
        "valid()",
        "Returns the mine functions that are configured and can be called.",
        |_, context| {
            let mut valid = Map::new();
            for (name, spec) in &configured(context) {
                let name = python::str(name);
                let entry = Entry::of(&name, spec);
                if !context.registry.contains(&entry.function) {
                    continue;
                }
                let shown = entry.shown();
                if entry.function == name {
                    valid.insert(name, shown);
                } else {
                    valid.insert(name, Map::from([(entry.function.as_str(), shown)]));
                }
            }
            Ok(valid.into())
        },
    );
}

/// One mine function: what to call, and who may see the result.
struct Entry {
    function: String,
    args: Args,
    allow: Map,
}

impl Entry {
    /// Reads what a configuration says: a list of arguments (mappings of one key are
    /// keywords) or a mapping of keywords, `mine_function` naming the function.
    fn of(name: &str, spec: &Value) -> Self {
        let mut entry = Self {
            function: name.to_owned(),
            args: Args::new(),
            allow: Map::new(),
        };
        match spec {
            Value::Map(map) => entry.take(map),
            Value::List(items) => {
                for item in items {
                    match item {
                        Value::Map(map) => entry.take(map),
                        item => entry.args.positional.push(item.clone()),
                    }
                }
            }
            _ => {}
        }
        entry
    }

    fn take(&mut self, map: &Map) {
        for (key, value) in map {
            match key.as_str() {
                Some("mine_function") => self.function = python::str(value),
                Some("allow_tgt" | "allow_tgt_type") => {
                    self.allow.insert(key.clone(), value.clone());
                }
                Some(name) if name.starts_with("__") => {}
                _ => {
                    self.args.keywords.insert(key.clone(), value.clone());
                }
            }
        }
    }

    fn shown(&self) -> Value {
        let mut shown = self.args.positional.clone();
        if !self.args.keywords.is_empty() {
            shown.push(self.args.keywords.clone().into());
        }
        shown.into()
    }

    fn run(&self, context: &Context<'_>) -> Answer {
        let value = context.registry.call(&self.function, &self.args, context)?;
        if self.allow.is_empty() {
            return Ok(value);
        }
        let mut guarded = self.allow.clone();
        guarded.insert("__data__", value);
        guarded.insert(ACL, 1);
        Ok(guarded.into())
    }
}

/// `mine_functions` of the configuration and of the pillar.
fn configured(context: &Context<'_>) -> Map {
    let mut all = Map::new();
    for source in [&context.minion.config, &context.minion.pillar] {
        match source.get("mine_functions") {
            Some(Value::Map(map)) => {
                for (key, value) in map {
                    all.get_or_insert_with(key.clone(), || value.clone());
                }
            }
            Some(Value::List(items)) => {
                for item in items {
                    match item {
                        Value::Map(map) => all.extend(map.clone()),
                        name => {
                            all.get_or_insert_with(name.clone(), || Value::List(Vec::new()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    all
}

fn ask(cmd: &str, fields: Map, context: &Context<'_>) -> Answer {
    let mut load = Map::from([
        ("cmd", Value::from(cmd)),
        ("id", context.minion.id.as_str().into()),
    ]);
    load.extend(fields);
    context.ask_master(load)
}

fn store(data: Map, clear: bool, context: &Context<'_>) -> Answer {
    if context.master.is_none() {
        let mut mine = if clear { Map::new() } else { kept(context)? };
        mine.extend(data);
        return keep(&mine, context);
    }
    let fields = Map::from([("data", Value::from(data)), ("clear", clear.into())]);
    ask("_mine", fields, context)
}

fn send(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let mut entry = Entry::of(&name, &Value::Null);
    entry.args.positional = args.positional().to_vec();
    entry.take(args.keywords());
    if !context.registry.contains(&entry.function) {
        return Ok(false.into());
    }
    let value = entry.run(context)?;
    store(Map::from([(name, value)]), false, context)
}

fn update(args: &Args, context: &Context<'_>) -> Answer {
    let clear = args.is_true("clear");
    let functions = match args.given("mine_functions") {
        Some(Value::Map(map)) => map.clone(),
        Some(Value::List(items)) => items
            .iter()
            .map(|name| (name.clone(), Value::List(Vec::new())))
            .collect(),
        _ => configured(context),
    };
    let mut data = Map::new();
    for (name, spec) in &functions {
        let name = python::str(name);
        // One function that fails must not keep the others out.
        match Entry::of(&name, spec).run(context) {
            Ok(value) => {
                data.insert(name, value);
            }
            Err(error) => tracing::warn!(function = name, %error, "a mine function failed"),
        }
    }
    if data.is_empty() && !clear {
        return Ok(Value::Null);
    }
    store(data, clear, context)
}

fn get(args: &Args, context: &Context<'_>) -> Answer {
    let kind = args.text("tgt_type")?;
    let target = args.get("tgt").cloned().unwrap_or_default();
    let mut found = if context.master.is_none() {
        own(&kind, &target, args, context)?
    } else {
        let fields = Map::from([
            ("tgt", target),
            ("fun", args.get("fun").cloned().unwrap_or_default()),
            ("tgt_type", kind.into()),
        ]);
        match ask("_mine_get", fields, context)? {
            Value::Map(map) => map,
            other => return Ok(other),
        }
    };
    if args.is_true("exclude_minion") {
        found.remove(&context.minion.id);
    }
    Ok(found.into())
}

/// Without a master, the only minion in the mine is this one.
fn own(kind: &str, target: &Value, args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    if !matching::matches(kind, target, ":", None, context) {
        return Ok(Map::new());
    }
    let mine = kept(context)?;
    let id = context.minion.id.as_str();
    let read = |name: &str| {
        let value = mine.get(name)?;
        let guarded = value.get(ACL).and_then(|_| value.get("__data__"));
        Some(guarded.unwrap_or(value).clone())
    };
    let names = args.words("fun");
    Ok(match names.as_slice() {
        [one] if !matches!(args.get("fun"), Some(Value::List(_))) => {
            read(one).map(|value| (id, value)).into_iter().collect()
        }
        many => many
            .iter()
            .filter_map(|name| Some((name.as_str(), Map::from([(id, read(name)?)]))))
            .collect(),
    })
}

/// Where a minion without a master keeps its mine.
fn path(context: &Context<'_>) -> PathBuf {
    let cache = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    Path::new(cache).join("mine.yaml")
}

fn kept(context: &Context<'_>) -> Result<Map, CallError> {
    let path = path(context);
    let text = context.system.text(&path);
    let text = text.map_err(|error| CallError::execution(errno_text(&error, Some(&path))))?;
    let mine = yaml::load(&text.unwrap_or_default());
    Ok(mine
        .ok()
        .and_then(|mine| mine.as_map().cloned())
        .unwrap_or_default())
}

fn keep(mine: &Map, context: &Context<'_>) -> Answer {
    let path = path(context);
    let text = yaml::dump(&mine.clone().into(), &DumpOptions::default());
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    context
        .system
        .create_dir_all(directory, 0o700)
        .and_then(|()| {
            let options = WriteOptions::new().mode(0o600);
            context.system.write(&path, text.as_bytes(), &options)
        })
        .map_err(|error| CallError::execution(errno_text(&error, Some(&path))))?;
    Ok(true.into())
}
