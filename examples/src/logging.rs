//! Log lines on standard error or in a file, by Salt's level names.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

/// A level by Salt's name for it (`quiet`, `critical`, `error`, `warning`, `info`, `profile`, `debug`, `trace`,
/// `garbage`, `all`).
///
/// # Errors
///
/// A sentence for the user when there is no such level.
pub fn level(name: &str) -> Result<LevelFilter, String> {
    Ok(match name {
        "quiet" => LevelFilter::OFF,
        "critical" | "error" => LevelFilter::ERROR,
        "warning" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "profile" | "debug" => LevelFilter::DEBUG,
        "trace" | "garbage" | "all" => LevelFilter::TRACE,
        _ => {
            return Err(format!(
                "'{name}' is not a log level; one of all, garbage, trace, debug, profile, info, warning, error, \
                 critical, quiet"
            ));
        }
    })
}

/// Starts logging for this process: to `file` when given, else to standard error.
///
/// # Errors
///
/// When the file cannot be opened.
pub fn start(level: LevelFilter, file: Option<&Path>) -> io::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false);
    match file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            builder.with_writer(Mutex::new(file)).init();
        }
        None => builder.with_writer(io::stderr).init(),
    }
    Ok(())
}
