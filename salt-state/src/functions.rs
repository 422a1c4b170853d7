//! Execution functions: what `salt '*' x.y`, `salt-call x.y` and `salt['x.y']` call.
//!
//! One file for each of Salt's modules. Names, arguments, return values and error texts
//! are those of Salt 3008.3, recorded by running it.

use std::collections::BTreeSet;

use salt_proto::{Map, Value};

use crate::registry::{CallError, Registry};

mod cmd;
mod config;
mod cp;
mod defaults;
mod disk;
mod environ;
mod event;
mod grains;
mod hashutil;
mod log;
mod matching;
mod mine;
mod network;
mod pillar;
mod random;
mod saltutil;
mod service;
mod slsutil;
mod state;
mod status;
mod sys;
mod test;
mod user;

/// Adds all of ours.
pub(crate) fn register(registry: &mut Registry) {
    for module in [
        cmd::register,
        config::register,
        cp::register,
        defaults::register,
        disk::register,
        environ::register,
        event::register,
        grains::register,
        hashutil::register,
        log::register,
        matching::register,
        mine::register,
        network::register,
        pillar::register,
        random::register,
        saltutil::register,
        service::register,
        slsutil::register,
        state::register,
        status::register,
        sys::register,
        test::register,
        user::register,
    ] {
        module(registry);
    }
}

/// The modules that have functions, sorted.
fn modules(registry: &Registry) -> BTreeSet<String> {
    registry
        .names()
        .filter_map(|name| name.split_once('.'))
        .map(|(module, _)| module.to_owned())
        .collect()
}

/// Merges `merge` and the entry named `base` around what a lookup found, as all of
/// Salt's `filter_by` do: base below, merge above.
fn layered(
    lookup: &Map,
    found: Option<&Value>,
    merge: Option<&Value>,
    base: Option<&str>,
    merge_lists: bool,
) -> Result<Value, CallError> {
    let not_mappings = || {
        CallError::exception(
            "TypeError",
            "Cannot update using non-dict types in dictupdate.update()",
        )
    };
    let mut result = found.cloned().unwrap_or_default();
    if let Some(below) = base.and_then(|base| lookup.get(base)) {
        let (Value::Map(below), Value::Map(above)) = (below, &result) else {
            return if result.is_null() {
                Ok(below.clone())
            } else {
                Err(not_mappings())
            };
        };
        let mut whole = below.clone();
        crate::data::update(&mut whole, above, merge_lists);
        result = whole.into();
    }
    match merge {
        None => Ok(result),
        Some(Value::Map(above)) => match result {
            Value::Map(mut whole) => {
                crate::data::update(&mut whole, above, merge_lists);
                Ok(whole.into())
            }
            Value::Null => Ok(above.clone().into()),
            _ => Err(not_mappings()),
        },
        Some(_) => Err(CallError::exception(
            "salt.exceptions.SaltException",
            "filter_by merge argument must be a dictionary.",
        )),
    }
}
