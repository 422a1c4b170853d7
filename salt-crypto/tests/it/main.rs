//! Tests through the public interface; each runs with every provider compiled in.
#![allow(clippy::print_stdout, reason = "vector counts are printed on purpose")]

mod forms;
mod handshake;
mod invariants;
mod properties;
mod replay;
mod support;
mod vectors;
