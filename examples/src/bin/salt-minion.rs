//! `salt-minion`: the daemon on every managed host.

use std::path::PathBuf;
use std::process::ExitCode;

use salt_examples::config::MinionConfig;
use salt_examples::{Failure, daemon, minion};
use salt_proto::Map;
use salt_state::Host;

fn main() -> ExitCode {
    daemon::main(
        "salt-minion",
        "The Salt Minion, receives commands from a remote Salt Master",
        daemon::OPTIONS,
        |parsed| {
            let dir = PathBuf::from(parsed.value("-c").unwrap_or("/etc/salt"));
            let config = MinionConfig::read(&dir, &Map::new(), &Host::new())
                .map_err(|error| Failure::new(error.to_string()))?;
            daemon::start_logging(parsed, &config.log_level)?;
            daemon::runtime()?.block_on(minion::run(config))
        },
    )
}
