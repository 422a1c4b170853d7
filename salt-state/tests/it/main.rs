//! Behaviour of the crate through its public face.

#![expect(
    clippy::print_stdout,
    reason = "the counts of recorded cases are shown"
)]

mod calls;
mod corpus;
mod functions;
mod module_functions;
mod golden;
mod mistakes;
mod yaml;
