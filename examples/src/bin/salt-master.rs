//! `salt-master`: the daemon that minions connect to.

use std::path::PathBuf;
use std::process::ExitCode;

use salt_examples::config::MasterConfig;
use salt_examples::{Failure, daemon, master};
use salt_proto::Map;

fn main() -> ExitCode {
    daemon::main(
        "salt-master",
        "The Salt Master, used to control the Salt Minions",
        daemon::MASTER_OPTIONS,
        |parsed| {
            let dir = PathBuf::from(parsed.value("-c").unwrap_or("/etc/salt"));
            let listen = parsed.value("--listen").map(|route| ("listen", route));
            let config = MasterConfig::read(&dir, &Map::from_iter(listen))
                .map_err(|error| Failure::new(error.to_string()))?;
            daemon::start_logging(parsed, &config.log_level)?;
            daemon::runtime()?.block_on(master::run(config))
        },
    )
}
