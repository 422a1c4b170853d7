//! The operating system's randomness, for waits and for keys.

/// A number nobody else has.
pub(crate) fn u64() -> u64 {
    // Only waits depend on this: without a source they are at their longest.
    getrandom::u64().unwrap_or(u64::MAX)
}

/// What a generator of keys starts from.
///
/// # Panics
///
/// When the operating system has no randomness: no key may be made then.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    #[expect(
        clippy::expect_used,
        reason = "a predictable key is worse than no process"
    )]
    getrandom::fill(&mut seed).expect("the operating system's random source");
    seed
}
