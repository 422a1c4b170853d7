//! Behaviour of the crate through its public face.

#![expect(
    clippy::print_stdout,
    reason = "the counts of recorded cases are shown"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails its test"
)]

mod archive_functions;
mod archives;
mod args;
mod bad_input;
mod beacons;
mod beside;
mod bridge;
mod cases;
mod conditions;
mod corpus;
mod file_functions;
mod file_states;
mod functions;
mod golden;
mod jinja;
mod kill;
mod machine;
mod mistakes;
mod module_functions;
mod packed;
mod postgres;
mod prediction;
mod run_cases;
mod runs;
mod schedule;
mod small_functions;
mod state_modules;
mod states;
mod web;
mod x509;
mod yaml;
