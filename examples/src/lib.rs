//! Shared parts of the example programs: what Salt's own programs do, in small files over the libraries.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "programs talk to people"
)]

mod bridge;
pub mod call_args;
pub mod config;
pub mod daemon;
pub mod failure;
mod jobs;
pub mod logging;
pub mod master;
pub mod minion;
pub mod options;
pub mod output;
pub mod salt;
pub mod salt_call;
pub mod salt_key;
mod signals;
pub mod tree;
pub mod tunnel;

pub use failure::Failure;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// A generator for keys, seeded by the operating system.
///
/// # Panics
///
/// When the operating system has no randomness: no key may be made then.
pub fn rng() -> StdRng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system's random source");
    StdRng::from_seed(seed)
}

/// The name of the user this process runs as; `root` when it has none.
pub(crate) fn user_name() -> String {
    std::env::var("USER")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "root".to_owned())
}
