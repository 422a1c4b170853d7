//! The operating system's randomness, for waits and for keys.

/// A number nobody else has.
pub(crate) fn u64() -> u64 {
    // Only waits depend on this: without a source they are at their longest.
    getrandom::u64().unwrap_or(u64::MAX)
}
