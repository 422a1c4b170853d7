//! The command line of `salt-run`.

use std::path::PathBuf;

use salt_proto::Value;

use crate::call_args;
use crate::options::{self, Opt};
use crate::salt::Exit;
use crate::salt::command::{OUTPUT_OPTIONS, Output, check_level};

const USAGE: &str = "salt-run [options] <function> [arguments]";

const ABOUT: &str = "salt-run executes runners: functions that run where the master runs.";

const OPTIONS: &[Opt] = &[
    Opt::flag(&["--version"], "Print the version and exit."),
    Opt::flag(&["-h", "--help"], "Print this help and exit."),
    Opt::value(
        &["-c", "--config-dir"],
        "CONFIG_DIR",
        "The configuration directory of the master. Default: '/etc/salt'.",
    ),
    Opt::integer(
        &["-t", "--timeout"],
        "TIMEOUT",
        "Accepted for compatibility; runners that wait have an argument for it.",
    ),
    Opt::flag(
        &["-d", "--doc", "--documentation"],
        "Print what the runners are for.",
    ),
    Opt::value(
        &["--no-parse"],
        "argname1,argname2,...",
        "Named arguments whose value stays text.",
    ),
    Opt::flag(&["--skip-grains"], "Accepted for compatibility."),
    Opt::flag(
        &["--hard-crash"],
        "Accepted for compatibility; errors are always reported.",
    ),
];

/// What `salt-run` is asked to do.
#[derive(Clone, Debug)]
pub struct Command {
    /// Where the configuration is.
    pub config_dir: PathBuf,
    /// The runner; without one all are documented.
    pub function: Option<String>,
    /// Its arguments, as a job carries them.
    pub args: Vec<Value>,
    /// `-d`.
    pub is_doc: bool,
    /// How output is to look.
    pub output: Output,
    /// `-l`.
    pub log_level: Option<String>,
    /// `--log-file`.
    pub log_file: Option<PathBuf>,
}

impl Command {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    ///
    /// What to print and the exit status: for mistakes, and for `--help` and `--version`.
    pub fn read(words: impl IntoIterator<Item = String>) -> Result<Self, Exit> {
        let usage = |message: String| Exit::usage("salt-run", USAGE, &message);
        let table = [OPTIONS, OUTPUT_OPTIONS].concat();
        let parsed = options::parse(&table, words).map_err(usage)?;
        if parsed.has("--version") {
            let version = env!("CARGO_PKG_VERSION");
            return Err(Exit::said(format!("salt-run {version}\n")));
        }
        if parsed.has("-h") {
            return Err(Exit::said(options::help(USAGE, ABOUT, &table)));
        }
        if let Some(level) = parsed.value("-l") {
            check_level(level).map_err(usage)?;
        }
        let no_parse: Vec<&str> = parsed
            .value("--no-parse")
            .map(|names| names.split(',').map(str::trim).collect())
            .unwrap_or_default();
        let mut words = parsed.words.iter();
        let function = words.next().cloned();
        let words: Vec<String> = words.cloned().collect();
        // A runner is one function: a comma in its name separates nothing.
        let calls = call_args::read("", &words, ",", &no_parse).unwrap_or_default();
        Ok(Self {
            config_dir: parsed.value("-c").unwrap_or("/etc/salt").into(),
            function,
            args: calls.into_iter().flat_map(|call| call.arg).collect(),
            is_doc: parsed.has("-d"),
            output: Output::read(&parsed).map_err(usage)?,
            log_level: parsed.value("-l").map(str::to_owned),
            log_file: parsed.value("--log-file").map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Command, Exit> {
        Command::read(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_jid_stays_the_number_it_was_typed_as() {
        let command = read(&["jobs.lookup_jid", "20240229123456000789", "missing=True"]).unwrap();
        assert_eq!(command.function.as_deref(), Some("jobs.lookup_jid"));
        assert_eq!(
            salt_state::python::str(&command.args[0]),
            "20240229123456000789"
        );
    }

    #[test]
    fn mistakes_are_worded_as_salt_words_them() {
        let exit = read(&["--nope"]).unwrap_err();
        assert_eq!(exit.status, 64);
        assert_eq!(
            exit.stderr,
            "Usage: salt-run [options] <function> [arguments]\n\nsalt-run: error: no such option: --nope\n"
        );
    }
}
