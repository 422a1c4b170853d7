//! What the unit tests share.

use rand_core::UnwrapErr;

/// The system's random source.
pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}
