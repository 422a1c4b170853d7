//! Tests through the public interface; each runs with every provider compiled in.
#![allow(clippy::print_stdout, reason = "vector counts are printed on purpose")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forms;
mod handshake;
mod invariants;
mod properties;
mod replay;
mod support;
mod vectors;
