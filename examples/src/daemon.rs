//! What the two daemons have in common: options, logging, runtime, exit status.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::options::{self, Opt, Parsed};
use crate::{Failure, logging};

/// What every program of ours has.
pub const VERSION: Opt = Opt::flag(&["--version"], "show program's version number and exit");
/// The same.
pub const HELP: Opt = Opt::flag(&["-h", "--help"], "show this help message and exit");
/// What every daemon has.
pub const LOG_FILE: Opt = Opt::value(
    &["--log-file"],
    "LOG_FILE",
    "Log to this file instead of standard error.",
);

/// The options of both daemons.
pub const OPTIONS: &[Opt; 6] = &[
    VERSION,
    HELP,
    Opt::value(
        &["-c", "--config-dir"],
        "CONFIG_DIR",
        "Pass in an alternative configuration directory. Default: '/etc/salt'.",
    ),
    Opt::value(
        &["-l", "--log-level"],
        "LOG_LEVEL",
        "Console logging log level. One of 'all', 'garbage', 'trace', 'debug', 'profile', 'info', 'warning', \
         'error', 'critical', 'quiet'. Default: 'warning'.",
    ),
    LOG_FILE,
    Opt::flag(
        &["--disable-keepalive"],
        "Accepted for compatibility: there is no parent process.",
    ),
];

/// The options of the master's daemon.
pub const MASTER_OPTIONS: &[Opt] = &{
    let [version, help, config, level, file, keepalive] = *OPTIONS;
    let listen = Opt::value(
        &["--listen"],
        "ROUTE",
        "Listen here instead of on `interface` and the two ports: tls://0.0.0.0?ca=…&certificate=…&key=…, unix:/run/salt, \
         … The same as `listen` in the configuration, where it may be a list.",
    );
    [version, help, config, level, file, keepalive, listen]
};

/// Runs a program: reads its command line, prints what went wrong, and says so by its exit status.
pub fn main(
    name: &str,
    about: &str,
    options: &[Opt],
    run: impl FnOnce(&Parsed) -> Result<(), Failure>,
) -> ExitCode {
    main_with_code(name, about, options, |parsed| run(parsed).map(|()| 0))
}

/// The same for programs that choose their exit status.
pub fn main_with_code(
    name: &str,
    about: &str,
    options: &[Opt],
    run: impl FnOnce(&Parsed) -> Result<u8, Failure>,
) -> ExitCode {
    main_of(name, "[options]", about, options, run)
}

/// The same for programs that take words besides options; `usage` is what follows the name.
pub fn main_with_words(
    name: &str,
    usage: &str,
    about: &str,
    options: &[Opt],
    run: impl FnOnce(&Parsed) -> Result<(), Failure>,
) -> ExitCode {
    main_of(name, usage, about, options, |parsed| {
        run(parsed).map(|()| 0)
    })
}

fn main_of(
    name: &str,
    usage: &str,
    about: &str,
    options: &[Opt],
    run: impl FnOnce(&Parsed) -> Result<u8, Failure>,
) -> ExitCode {
    let parsed = match options::parse(options, std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("Usage: {name} {usage}\n\n{name}: error: {error}");
            return ExitCode::from(64);
        }
    };
    if parsed.has("--version") {
        println!("{name} {} (Rust)", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if parsed.has("-h") {
        print!(
            "{}",
            options::help(&format!("{name} {usage}"), about, options)
        );
        return ExitCode::SUCCESS;
    }
    match run(&parsed) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// Starts logging as the command line says, else the configuration.
///
/// # Errors
///
/// An unknown level, or a file that cannot be opened.
pub fn start_logging(parsed: &Parsed, configured: &str) -> Result<(), Failure> {
    let level = logging::level(parsed.value("-l").unwrap_or(configured)).map_err(Failure::new)?;
    logging::start(level, parsed.value("--log-file").map(Path::new))?;
    Ok(())
}

/// A runtime of one thread, with a few more for what computes or waits for the disk.
///
/// # Errors
///
/// When the operating system refuses.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(2))
        .thread_stack_size(2 << 20)
        .build()?)
}

/// Lets what accepted tell its peers that it has gone, now that nobody wants streams of it. Over QUIC they would wait
/// for 45 s before they look for another.
pub async fn farewell(driver: impl Future<Output = ()>) {
    // What has nothing to say never ends.
    drop(tokio::time::timeout(Duration::from_millis(100), driver).await);
}

/// Writes the process id where the configuration says. The daemon runs without it, too.
pub fn write_pidfile(path: &Path) {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).ok();
    }
    if let Err(error) = fs::write(path, std::process::id().to_string()) {
        tracing::warn!(path = %path.display(), %error, "no pid file");
    }
}
