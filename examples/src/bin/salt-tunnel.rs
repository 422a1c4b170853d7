//! `salt-tunnel`: an unmodified minion or master behind a tunnel.

use std::process::ExitCode;

fn main() -> ExitCode {
    salt_examples::tunnel::main()
}
