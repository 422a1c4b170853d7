//! `defaults.*`: merging what a formula assumes with what a user says.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::data::{traverse, update};
use crate::registry::{CallError, Registry};
use crate::render::json;
use crate::yaml;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "defaults.get",
        "get(key, default='')",
        "Looks a value up in the defaults of a formula: `formula:key:of:value` in the file `defaults.yaml` or `defaults.json` of that directory of the state tree.",
        get,
    );
    registry.add(
        "defaults.merge",
        "merge(dest, src, merge_lists=False, in_place=True, convert_none=True)",
        "Returns `dest` with `src` over it. A caller that passes its own mapping and wants it changed assigns the result.",
        merge,
    );
    registry.add(
        "defaults.update",
        "update(dest, defaults, merge_lists=True, in_place=True, convert_none=True)",
        "Puts the same defaults below every mapping in `dest`.",
        |args, _| {
            let Some(Value::Map(dest)) = args.get("dest") else {
                return Err(CallError::Arguments("dest must be a dictionary".to_owned()));
            };
            let defaults = map(args.get("defaults"), args.is_true("convert_none"))?;
            let merge_lists = args.is_true("merge_lists");
            let mut result = Map::new();
            for (name, own) in dest {
                let mut whole = defaults.clone();
                update(&mut whole, &map(Some(own), true)?, merge_lists);
                result.insert(name.clone(), whole);
            }
            Ok(result.into())
        },
    );
    registry.add(
        "defaults.deepcopy",
        "deepcopy(source)",
        "Returns its argument.",
        |args, _| Ok(args.get("source").cloned().unwrap_or_default()),
    );
}

fn get(args: &Args, context: &Context<'_>) -> Answer {
    let key = args.text("key")?;
    let (formula, path) = key.split_once(':').unwrap_or((&key, ""));
    let environment = match context.setting("saltenv").unwrap_or_default() {
        "" => "base",
        stated => stated,
    };
    let defaults = read(formula, environment, context)?;
    if path.is_empty() {
        return Ok(defaults.unwrap_or_default());
    }
    Ok(defaults
        .as_ref()
        .and_then(|defaults| traverse(defaults, path, ":"))
        .or_else(|| args.get("default"))
        .cloned()
        .unwrap_or_default())
}

/// The file of defaults in a directory of the state tree.
fn read(
    formula: &str,
    environment: &str,
    context: &Context<'_>,
) -> Result<Option<Value>, CallError> {
    let Some(sources) = context.sources else {
        return Ok(None);
    };
    for name in ["yaml", "json"] {
        let path = format!("{formula}/defaults.{name}");
        let Some(bytes) = sources.read(environment, &path)? else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        let failed = |error: String| CallError::execution(format!("salt://{path}: {error}"));
        let value = match name {
            "yaml" => yaml::load(&text).map_err(|error| failed(error.to_string()))?,
            _ => json::parse(&text, 0)
                .map_err(|error| failed(error.to_string()))?
                .to_value(),
        };
        return Ok(Some(value));
    }
    Ok(None)
}

fn map(value: Option<&Value>, none_is_empty: bool) -> Result<Map, CallError> {
    match value {
        Some(Value::Map(map)) => Ok(map.clone()),
        None | Some(Value::Null) if none_is_empty => Ok(Map::new()),
        other => Err(CallError::Arguments(format!(
            "Cannot update using non-dict types in dictupdate.update(), found {}",
            other.map_or("NoneType", Value::type_name)
        ))),
    }
}

fn merge(args: &Args, _: &Context<'_>) -> Answer {
    let none_is_empty = args.is_true("convert_none");
    if args.is_true("in_place") && args.get("dest").is_none_or(Value::is_null) {
        return Err(CallError::Arguments(
            "Can't perform in-place merge into NoneType".to_owned(),
        ));
    }
    let mut dest = map(args.get("dest"), none_is_empty)?;
    let src = map(args.get("src"), none_is_empty)?;
    update(&mut dest, &src, args.is_true("merge_lists"));
    Ok(dest.into())
}
