//! `defaults.*`: merging what a formula assumes with what a user says.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::data::update;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
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
