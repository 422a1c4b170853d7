//! Execution functions: what `salt '*' x.y`, `salt-call x.y` and `salt['x.y']` call.

use crate::registry::Registry;

mod disk;
mod network;
mod service;
mod state;
mod status;
mod test;

/// Adds all of ours.
pub(crate) fn register(registry: &mut Registry) {
    disk::register(registry);
    network::register(registry);
    service::register(registry);
    status::register(registry);
    state::register(registry);
    test::register(registry);
}
