//! What both programs do before and after their work.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use salt_proto::Map;

use super::command::Output;
use super::screen::Screen;
use super::show::Show;
use super::{EX_GENERIC, Exit};
use crate::config::MasterConfig;
use crate::logging;

/// What a command line says about more than its own work.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// `-c`.
    pub config_dir: &'a Path,
    /// How output is to look.
    pub output: &'a Output,
    /// `-l`.
    pub log_level: Option<&'a str>,
    /// `--log-file`.
    pub log_file: Option<&'a Path>,
}

/// Reads the master's configuration, does the work, and answers the exit status.
pub fn run(
    settings: &Settings<'_>,
    screen: &mut Screen<'_>,
    work: impl AsyncFnOnce(&MasterConfig, &Show, &mut Screen<'_>) -> io::Result<ExitCode>,
) -> ExitCode {
    // That nobody reads about the work is no failure of it.
    prepared(settings, screen, work).unwrap_or_default()
}

fn prepared(
    settings: &Settings<'_>,
    screen: &mut Screen<'_>,
    work: impl AsyncFnOnce(&MasterConfig, &Show, &mut Screen<'_>) -> io::Result<ExitCode>,
) -> io::Result<ExitCode> {
    let failed = |text: String| Exit::failed(EX_GENERIC, format!("[ERROR   ] {text}\n"));
    let dir = settings.config_dir;
    if !dir.is_dir() {
        let dir = dir.display();
        screen.err(&format!(
            "WARNING: CONFIG '{dir}' directory does not exist.\n"
        ))?;
    }
    let config = match MasterConfig::read(dir, &Map::new()) {
        Ok(config) => config,
        Err(error) => {
            return failed(format!("Error parsing configuration file: {error}")).say(screen);
        }
    };
    let level = settings.log_level.unwrap_or("warning");
    if let Ok(level) = logging::level(level)
        && let Err(error) = logging::start(level, settings.log_file)
    {
        return failed(format!("the log cannot be written: {error}")).say(screen);
    }
    let show = match Show::new(settings.output, &config.opts, io::stdout().is_terminal()) {
        Ok(show) => show,
        Err(error) => {
            return failed(format!("the output file cannot be written: {error}")).say(screen);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work(&config, &show, screen)),
        Err(error) => failed(error.to_string()).say(screen),
    }
}
