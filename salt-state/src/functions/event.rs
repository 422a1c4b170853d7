//! `event.*`: saying something on the bus.

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
        "event.fire",
        "fire(data, tag)",
        "Puts an event on this minion's own bus.",
        |args, context| {
            let data = match args.get("data") {
                Some(Value::Map(data)) => data.clone(),
                other => Map::from([("data", other.cloned().unwrap_or_default())]),
            };
            Ok(context.fire(&args.text("tag")?, data).into())
        },
    );
    add(
        "event.fire_master",
        "fire_master(data, tag, preload=None)",
        "Puts an event on the master's bus.",
        |args, context| {
            let data = args.get("data").cloned().unwrap_or_default();
            fire_master(data, &args.text("tag")?, args.given("preload"), context)
        },
    );
    add(
        "event.send",
        "send(tag, data=None, preload=None, with_env=False, with_grains=False, with_pillar=False, with_env_opts=False, **kwargs)",
        "Puts an event on the master's bus, with further keywords as its data. with_grains, with_pillar, with_env: true or a list of names.",
        send,
    );
}

/// Sends an event to the master; `false` without a master or when it refuses.
pub(super) fn fire_master(
    data: Value,
    tag: &str,
    preload: Option<&Value>,
    context: &Context<'_>,
) -> Answer {
    if context.master.is_none() {
        return Ok(false.into());
    }
    let mut load = match preload {
        Some(Value::Map(preload)) => preload.clone(),
        _ => Map::new(),
    };
    load.extend([
        ("id", Value::from(context.minion.id.as_str())),
        ("tag", tag.into()),
        ("data", data),
        ("cmd", "_minion_event".into()),
    ]);
    // The master answers nothing; that it answered is all there is to know.
    Ok(context.ask_master(load).is_ok().into())
}

fn send(args: &Args, context: &Context<'_>) -> Answer {
    let mut data = Map::new();
    let environment = || -> Map {
        let all = context.system.environment();
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        all.into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    };
    if let Some(wanted) = chosen(args, "with_env", environment) {
        data.insert("environ", wanted);
    }
    if let Some(wanted) = chosen(args, "with_grains", || {
        Map::from(context.minion.grains.clone())
    }) {
        data.insert("grains", wanted);
    }
    if let Some(wanted) = chosen(args, "with_pillar", || context.minion.pillar.clone()) {
        data.insert("pillar", wanted);
    }
    if let Some(wanted) = chosen(args, "with_env_opts", || {
        let names = ["saltenv", "pillarenv"];
        let settings = names.map(|name| {
            (
                name,
                context.minion.config.get(name).cloned().unwrap_or_default(),
            )
        });
        Map::from(settings)
    }) {
        data.extend(wanted);
    }
    data.extend(args.keywords().clone());
    if let Some(Value::Map(stated)) = args.given("data") {
        data.extend(stated.clone());
    }
    fire_master(
        data.into(),
        &args.text("tag")?,
        args.given("preload"),
        context,
    )
}

/// All of a mapping, or the names of a list; `None` when not asked for.
fn chosen(args: &Args, name: &str, all: impl FnOnce() -> Map) -> Option<Map> {
    match args.given(name)? {
        Value::List(names) => {
            let all = all();
            let found = names
                .iter()
                .filter_map(|name| Some((python::str(name), all.get(&python::str(name))?.clone())));
            Some(found.collect())
        }
        wanted => wanted.is_true().then(all),
    }
}
