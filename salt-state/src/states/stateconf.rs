//! `stateconf.*`: places for other SLS to require, made by the `stateconf` renderer.

use crate::plan::Plan;
use crate::registry::Registry;

pub(super) fn register(registry: &mut Registry) {
    for (name, signature) in [
        ("stateconf.set", "set_(name, **kwargs)"),
        ("stateconf.context", "context(name, **kwargs)"),
    ] {
        registry.add_state(name, signature, "Does nothing.", |_, _| {
            Ok(Plan::unchanged(""))
        });
    }
}
