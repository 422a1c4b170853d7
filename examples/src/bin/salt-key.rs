//! `salt-key`: the keys of minions.

use std::process::ExitCode;

use salt_examples::{daemon, salt_key};

fn main() -> ExitCode {
    daemon::main(
        "salt-key",
        "salt-key is used to manage Salt authentication keys",
        salt_key::OPTIONS,
        salt_key::run,
    )
}
