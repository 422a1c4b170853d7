//! `salt-call`: runs a function here.

use std::process::ExitCode;

use salt_examples::{daemon, salt_call};

fn main() -> ExitCode {
    daemon::main_with_code(
        "salt-call",
        "salt-call is used to execute module functions locally on a Salt Minion",
        salt_call::OPTIONS,
        salt_call::run,
    )
}
