//! Execution functions: what `salt '*' x.y`, `salt-call x.y` and `salt['x.y']` call.

use crate::registry::Registry;

mod test;

/// Adds all of ours.
pub(crate) fn register(registry: &mut Registry) {
    test::register(registry);
}
