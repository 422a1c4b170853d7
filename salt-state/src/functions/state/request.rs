//! `state.request` and its kin: a run that somebody asks for, another looks at, and a
//! third lets happen.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value, msgpack};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::WriteOptions;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.request",
        "request(mods=None, **kwargs)",
        "Tries a run out and keeps it for state.run_request. name: what to call it.",
        request,
    );
    registry.add(
        "state.check_request",
        "check_request(name=None)",
        "Shows what was asked for.",
        |args, context| {
            let kept = kept(context);
            Ok(match args.optional_text("name") {
                Some(name) => kept
                    .get(&name)
                    .cloned()
                    .ok_or_else(|| CallError::exception("KeyError", python::repr_str(&name)))?,
                None => kept.into(),
            })
        },
    );
    registry.add(
        "state.clear_request",
        "clear_request(name=None)",
        "Forgets what was asked for.",
        |args, context| {
            let path = path(context);
            if !context.system.exists(&path) {
                return Ok(true.into());
            }
            match args.optional_text("name") {
                None => context.system.remove(&path)?,
                Some(name) => {
                    let mut kept = kept(context);
                    if kept.remove(&name).is_none() {
                        return Ok(false.into());
                    }
                    keep(kept, context)?;
                }
            }
            Ok(true.into())
        },
    );
    registry.add(
        "state.run_request",
        "run_request(name='default', **kwargs)",
        "Lets happen what was asked for.",
        run_request,
    );
    registry.outputter("state.request", "highstate");
    registry.outputter("state.run_request", "highstate");
}

fn path(context: &Context<'_>) -> PathBuf {
    let cache = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    Path::new(cache).join("req_state.p")
}

fn kept(context: &Context<'_>) -> Map {
    let bytes = context.system.read(&path(context)).ok().flatten();
    let value =
        bytes.and_then(|bytes| msgpack::decode(&bytes, &salt_proto::Limits::default()).ok());
    match value {
        Some(Value::Map(map)) => map,
        _ => Map::new(),
    }
}

fn keep(kept: Map, context: &Context<'_>) -> Result<(), CallError> {
    let path = path(context);
    if let Some(parent) = path.parent() {
        context.system.create_dir_all(parent, 0o755)?;
    }
    let mut bytes = Vec::new();
    msgpack::encode(&Value::Map(kept), msgpack::Dialect::Bin, &mut bytes);
    let options = WriteOptions::new().mode(0o600);
    context.system.write(&path, &bytes, &options)?;
    Ok(())
}

fn request(args: &Args, context: &Context<'_>) -> Answer {
    let mods = args.get("mods").cloned().unwrap_or_default();
    let mut call = Args::new().keyword("mods", mods.clone());
    for (key, value) in args.keywords() {
        call.keywords.insert(key.clone(), value.clone());
    }
    call.keywords.insert("test", true);
    let kwargs = {
        let mut kwargs = call.keywords.clone();
        kwargs.remove("mods");
        kwargs
    };
    let name = args.keywords().get("name").map(python::str);
    call.keywords.remove("name");
    let tried = context.registry.call("state.apply", &call, context)?;
    let mut all = kept(context);
    all.insert(
        name.unwrap_or_else(|| "default".to_owned()),
        Map::from([
            ("test_run", tried.clone()),
            ("mods", mods),
            ("kwargs", kwargs.into()),
        ]),
    );
    keep(all, context)?;
    Ok(tried)
}

/// Unlike Salt's, which forgets all that was asked for once one of it has run, this forgets
/// the one.
fn run_request(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let mut all = kept(context);
    let Some(wanted) = all.remove(&name) else {
        return Ok(Map::new().into());
    };
    let mut call = Args::new();
    if let Some(Value::Map(kwargs)) = wanted.get("kwargs") {
        for (key, value) in kwargs {
            call.keywords.insert(key.clone(), value.clone());
        }
    }
    call.keywords.remove("test");
    call.keywords.remove("name");
    for (key, value) in args.keywords() {
        call.keywords.insert(key.clone(), value.clone());
    }
    let mods = wanted.get("mods").cloned().unwrap_or_default();
    call.keywords.insert("mods", mods);
    let answer = context.registry.call("state.apply", &call, context)?;
    keep(all, context)?;
    Ok(answer)
}
