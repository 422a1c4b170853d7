//! Shared parts of the example programs: what Salt's own programs do, in small files over the libraries.

pub mod call_args;
pub mod config;
pub mod logging;
pub mod options;
