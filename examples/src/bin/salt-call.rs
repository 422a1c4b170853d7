//! `salt-call`: runs a function here.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use salt_examples::{daemon, salt_call};

/// Compiling a tree makes and drops many small values, for which this allocator takes a
/// third of the time that the C library's does.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    daemon::main_with_code(
        "salt-call",
        "salt-call is used to execute module functions locally on a Salt Minion",
        salt_call::OPTIONS,
        salt_call::run,
    )
}
