//! The command line of `salt`.

use std::path::PathBuf;
use std::time::Duration;

use salt_proto::{Functions, Map, Value};

use super::{EX_INCOMPLETE, Exit};
use crate::call_args;
use crate::logging;
use crate::options::{self, Opt, Parsed};

/// The first line of the help.
pub const USAGE: &str = "salt [options] '<target>' <function> [arguments]";

const ABOUT: &str = "Salt allows for commands to be executed across a swath of remote systems in\n\
                     parallel, so they can be both controlled and queried with ease.";

/// The options of `salt` besides those that choose a kind of target.
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
        "Seconds to wait for a return before asking whether the job still runs. Default: 5.",
    ),
    Opt::flag(
        &["--args-stdin"],
        "Read further options and arguments from standard input, one a line.",
    ),
    Opt::flag(
        &["--hard-crash"],
        "Accepted for compatibility; errors are always reported.",
    ),
    Opt::value(
        &["--no-parse"],
        "argname1,argname2,...",
        "Named arguments whose value stays text.",
    ),
    Opt::flag(
        &["-s", "--static"],
        "Print all returns together at the end.",
    ),
    Opt::flag(
        &["-p", "--progress"],
        "Accepted for compatibility; no progress bar is drawn.",
    ),
    Opt::flag(
        &["--failhard"],
        "End a batch with the first return that failed.",
    ),
    Opt::flag(
        &["--async"],
        "Publish the job, print its id and wait for nothing.",
    ),
    Opt::integer(
        &["--subset"],
        "SUBSET",
        "Run on so many random minions of the target, out of those that have the function.",
    ),
    Opt::flag(
        &["-v", "--verbose"],
        "Print the job id first, and who is missing in the summary.",
    ),
    Opt::flag(
        &["--show-timeout"],
        "Show minions that did not return, which is the default.",
    ),
    Opt::flag(
        &["--hide-timeout"],
        "Do not show minions that did not return.",
    ),
    Opt::flag(&["--show-jid"], "Print the job id first."),
    Opt::value(
        &["-b", "--batch", "--batch-size"],
        "BATCH",
        "Run on so many minions at a time, or on that part of them: 10, 25%.",
    ),
    Opt::value(
        &["--batch-wait"],
        "SECONDS",
        "Pause after each return before the next minion of a batch gets the job.",
    ),
    Opt::integer(
        &["--batch-safe-limit"],
        "LIMIT",
        "Run as a batch when the target has at least so many minions.",
    ),
    Opt::value(
        &["--batch-safe-size"],
        "SIZE",
        "The size of such a batch. Default: 8.",
    ),
    Opt::value(
        &["--return"],
        "RETURNER",
        "Send returns to this returner too.",
    ),
    Opt::value(
        &["--return_config"],
        "RETURNER_CONF",
        "An alternative configuration of the returner.",
    ),
    Opt::value(
        &["--return_kwargs"],
        "RETURNER_KWARGS",
        "Options of the returner.",
    ),
    Opt::value(
        &["--module-executors"],
        "EXECUTOR_LIST",
        "Executors to use instead of the minion's own.",
    ),
    Opt::value(
        &["--executor-opts"],
        "EXECUTOR_OPTS",
        "Options of the executors.",
    ),
    Opt::flag(
        &["-d", "--doc", "--documentation"],
        "Print the documentation of a module or of all modules.",
    ),
    Opt::value(
        &["--args-separator"],
        "ARGS_SEPARATOR",
        "What separates the arguments of several functions. Default: ','.",
    ),
    Opt::flag(&["--summary"], "Print a summary at the end."),
    Opt::value(
        &["--metadata"],
        "METADATA",
        "Data to find the job by later.",
    ),
    Opt::flag(
        &["--start-event"],
        "Ask minions for an event when they begin.",
    ),
    Opt::flag(
        &["--preview-target"],
        "Print the minions that are expected to match, and do nothing.",
    ),
    Opt::value(
        &["--delimiter"],
        "DELIMITER",
        "What separates keys in grain and pillar targets. Default: ':'.",
    ),
    Opt::value(
        &["-a", "--auth", "--eauth", "--external-auth"],
        "EAUTH",
        "The external service that knows the caller.",
    ),
    Opt::flag(
        &["-T", "--make-token"],
        "Get a token from that service and keep it for later calls.",
    ),
    Opt::value(&["--username"], "USERNAME", "Name of the caller."),
    Opt::value(&["--password"], "PASSWORD", "Password of the caller."),
];

/// The kinds of target: option, Salt's name, long spelling.
const KINDS: &[(&[&str], &str, Opt)] = &[
    kind(
        &["-E", "--pcre"],
        "pcre",
        "Target by a regular expression over ids.",
    ),
    kind(
        &["-L", "--list"],
        "list",
        "Target a list of ids, separated by commas or blanks.",
    ),
    kind(
        &["-G", "--grain"],
        "grain",
        "Target by a grain: 'os:Arch*'.",
    ),
    kind(
        &["-P", "--grain-pcre"],
        "grain_pcre",
        "Target by a grain and a regular expression: 'os:Arch.*'.",
    ),
    kind(
        &["-N", "--nodegroup"],
        "nodegroup",
        "Target a group of the master's configuration.",
    ),
    kind(
        &["-R", "--range"],
        "range",
        "Target by a range expression: %cluster.",
    ),
    kind(
        &["-C", "--compound"],
        "compound",
        "Target by several of these: 'G@os:RedHat and webser* or E@database.*'.",
    ),
    kind(
        &["-I", "--pillar"],
        "pillar",
        "Target by pillar: 'role:production*'.",
    ),
    kind(
        &["-J", "--pillar-pcre"],
        "pillar_pcre",
        "Target by pillar and a regular expression: 'role:prod.*'.",
    ),
    kind(
        &["-S", "--ipcidr"],
        "ipcidr",
        "Target by address or network.",
    ),
];

const fn kind(
    names: &'static [&'static str],
    name: &'static str,
    help: &'static str,
) -> (&'static [&'static str], &'static str, Opt) {
    (names, name, Opt::flag(names, help))
}

/// How output looks: the same options in all programs.
pub const OUTPUT_OPTIONS: &[Opt] = &[
    Opt::value(
        &["--out", "--output"],
        "OUTPUT",
        "How to print: nested, json, yaml, txt, raw, pprint, highstate, quiet, …",
    ),
    Opt::integer(
        &["--out-indent", "--output-indent"],
        "OUTPUT_INDENT",
        "Spaces of indentation; negative: none.",
    ),
    Opt::value(
        &["--out-file", "--output-file"],
        "OUTPUT_FILE",
        "Print into this file.",
    ),
    Opt::flag(
        &["--out-file-append", "--output-file-append"],
        "Print at the end of that file.",
    ),
    Opt::flag(&["--no-color", "--no-colour"], "Print without colours."),
    Opt::flag(
        &["--force-color", "--force-colour"],
        "Print with colours, whatever is written to.",
    ),
    Opt::value(
        &["--state-output", "--state_output"],
        "STATE_OUTPUT",
        "How much of states to print: full, terse, mixed, changes or filter.",
    ),
    Opt::value(
        &["--state-verbose", "--state_verbose"],
        "STATE_VERBOSE",
        "Whether to print states that changed nothing.",
    ),
    Opt::value(
        &["-l", "--log-level"],
        "LOG_LEVEL",
        "Log lines on standard error from this level on. Default: warning.",
    ),
    Opt::value(&["--log-file"], "LOG_FILE", "Log into this file too."),
    Opt::value(
        &["--log-file-level"],
        "LOG_LEVEL",
        "The level of that file.",
    ),
];

/// How output is to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// `--out`.
    pub outputter: Option<String>,
    /// `--out-indent`.
    pub indent: Option<i64>,
    /// `--out-file`.
    pub file: Option<PathBuf>,
    /// `--out-file-append`.
    pub append: bool,
    /// `--no-color` is `false`, `--force-color` is `true`.
    pub color: Option<bool>,
    /// `--state-output`.
    pub state_output: Option<String>,
    /// `--state-verbose`.
    pub state_verbose: Option<bool>,
}

impl Output {
    /// Reads [`OUTPUT_OPTIONS`].
    ///
    /// # Errors
    ///
    /// A sentence for the user.
    pub fn read(parsed: &Parsed) -> Result<Self, String> {
        let text = |name| parsed.value(name).map(str::to_owned);
        Ok(Self {
            outputter: text("--out"),
            indent: parsed.number("--out-indent")?,
            file: parsed.value("--out-file").map(PathBuf::from),
            append: parsed.has("--out-file-append"),
            color: match (parsed.has("--force-color"), parsed.has("--no-color")) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            },
            state_output: text("--state-output"),
            state_verbose: text("--state-verbose")
                .map(|text| matches!(text.to_lowercase().as_str(), "true" | "yes" | "1" | "on")),
        })
    }
}

/// What `salt` is asked to do.
#[derive(Clone, Debug)]
pub struct Command {
    /// Where the configuration is.
    pub config_dir: PathBuf,
    /// Who is meant; a list of ids with `-L`.
    pub target: Value,
    /// Salt's name of the kind of target.
    pub target_kind: &'static str,
    /// What separates keys.
    pub delimiter: String,
    /// What to call; none with `--preview-target`.
    pub function: Option<Functions>,
    /// Its arguments, as a job carries them.
    pub args: Vec<Value>,
    /// `-t`, unless it is not positive.
    pub timeout: Option<Duration>,
    /// `-b`, not read yet.
    pub batch: Option<String>,
    /// `--batch-wait`.
    pub batch_wait: Duration,
    /// `--batch-safe-limit`.
    pub batch_safe_limit: Option<usize>,
    /// `--batch-safe-size`.
    pub batch_safe_size: String,
    /// `--failhard`.
    pub failhard: bool,
    /// `--subset`.
    pub subset: Option<usize>,
    /// `--static`.
    pub is_static: bool,
    /// `--async`.
    pub is_async: bool,
    /// `-v`.
    pub verbose: bool,
    /// `--show-jid`.
    pub show_jid: bool,
    /// `--hide-timeout`.
    pub hide_timeout: bool,
    /// `--summary`.
    pub summary: bool,
    /// `--preview-target`.
    pub preview: bool,
    /// `--return`.
    pub ret: String,
    /// Further settings of the publish.
    pub settings: Map,
    /// `-a`.
    pub eauth: Option<String>,
    /// `-T`.
    pub make_token: bool,
    /// `--username`.
    pub username: Option<String>,
    /// `--password`. A secret.
    pub password: Option<salt_crypto::Secret<String>>,
    /// How output is to look.
    pub output: Output,
    /// `-l`.
    pub log_level: Option<String>,
    /// `--log-file`.
    pub log_file: Option<PathBuf>,
}

impl Command {
    /// Reads the words behind the program's name. `stdin` is read with `--args-stdin`.
    ///
    /// # Errors
    ///
    /// What to print and the exit status: for mistakes, and for `--help` and `--version`.
    pub fn read(
        words: impl IntoIterator<Item = String>,
        stdin: impl FnOnce() -> std::io::Result<String>,
    ) -> Result<Self, Exit> {
        let table = table();
        let words: Vec<String> = words.into_iter().collect();
        let mut parsed = options::parse(&table, words.iter().cloned()).map_err(usage)?;
        if parsed.has("--args-stdin") {
            let text = stdin().map_err(|error| usage(format!("standard input: {error}")))?;
            let more = text.lines().map(str::to_owned);
            parsed = options::parse(&table, words.into_iter().chain(more)).map_err(usage)?;
        }
        if parsed.has("--version") {
            return Err(Exit::said(format!("salt {}\n", env!("CARGO_PKG_VERSION"))));
        }
        if parsed.has("-h") {
            return Err(Exit::said(help(&table)));
        }
        Self::of(&parsed, &table)
    }

    fn of(parsed: &Parsed, table: &[Opt]) -> Result<Self, Exit> {
        let target_kind = target_kind(parsed)?;
        if let Some(level) = parsed.value("-l") {
            check_level(level).map_err(usage)?;
        }
        let mut words = parsed.words.clone();
        let is_doc = parsed.has("-d");
        let preview = parsed.has("--preview-target");
        if is_doc {
            if words.is_empty() {
                words.push("*".to_owned());
            }
            if words.get(1).is_none_or(|word| word != "sys.doc") {
                words.insert(1, "sys.doc".to_owned());
            }
            if words.len() > 3 {
                return Err(usage(
                    "You can only get documentation for one method at one time.".to_owned(),
                ));
            }
        }
        let incomplete = |message: &str| Exit {
            status: EX_INCOMPLETE,
            stdout: help(table),
            stderr: format!("\n{message}\n\n"),
        };
        let mut words = words.into_iter();
        let target = words
            .next()
            .ok_or_else(|| incomplete("Cannot execute command without defining a target."))?;
        let function = words.next();
        if function.is_none() && !preview {
            return Err(incomplete("Incomplete options passed."));
        }
        let rest: Vec<String> = words.collect();
        let (function, args) = match function {
            Some(function) => calls(&function, &rest, parsed)?,
            None => (None, Vec::new()),
        };
        let target = if target_kind == "list" {
            list(&target)
        } else {
            target.into()
        };
        let text = |name| parsed.value(name).map(str::to_owned);
        let seconds = parsed.number::<i64>("-t").map_err(usage)?;
        Ok(Self {
            config_dir: parsed.value("-c").unwrap_or("/etc/salt").into(),
            target,
            target_kind,
            delimiter: text("--delimiter").unwrap_or_else(|| ":".to_owned()),
            function,
            args,
            timeout: seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            batch: text("-b"),
            batch_wait: batch_wait(parsed)?,
            batch_safe_limit: count(parsed, "--batch-safe-limit")?.filter(|limit| *limit > 1),
            batch_safe_size: text("--batch-safe-size").unwrap_or_else(|| "8".to_owned()),
            failhard: parsed.has("--failhard"),
            subset: count(parsed, "--subset")?.filter(|subset| *subset > 0),
            is_static: parsed.has("-s"),
            is_async: parsed.has("--async"),
            verbose: parsed.has("-v"),
            show_jid: parsed.has("--show-jid"),
            hide_timeout: parsed.has("--hide-timeout"),
            summary: parsed.has("--summary"),
            preview,
            ret: text("--return").unwrap_or_default(),
            settings: settings(parsed),
            eauth: text("-a"),
            make_token: parsed.has("-T"),
            username: text("--username"),
            password: text("--password").map(salt_crypto::Secret::new),
            output: Output::read(parsed).map_err(usage)?,
            log_level: text("-l"),
            log_file: parsed.value("--log-file").map(PathBuf::from),
        })
    }

    /// Whether documentation is asked for, which is printed in its own way.
    pub fn is_doc(&self) -> bool {
        matches!(&self.function, Some(Functions::One(name)) if name == "sys.doc")
    }
}

fn table() -> Vec<Opt> {
    let mut table = OPTIONS.to_vec();
    table.extend(KINDS.iter().map(|(_, _, opt)| *opt));
    table.extend_from_slice(OUTPUT_OPTIONS);
    table
}

fn help(table: &[Opt]) -> String {
    options::help(USAGE, ABOUT, table)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the error of a chain of results"
)]
fn usage(message: String) -> Exit {
    Exit::usage("salt", USAGE, &message)
}

/// Refuses what is no log level, in `optparse`'s words.
pub(super) fn check_level(level: &str) -> Result<(), String> {
    logging::level(level).map(drop).map_err(|_| {
        format!(
            "option -l: invalid choice: '{level}' (choose from 'all', 'debug', 'error', 'critical', \
             'garbage', 'info', 'profile', 'quiet', 'trace', 'warning')"
        )
    })
}

fn target_kind(parsed: &Parsed) -> Result<&'static str, Exit> {
    let chosen: Vec<_> = KINDS
        .iter()
        .filter(|(names, _, _)| parsed.has(names[0]))
        .collect();
    match chosen.as_slice() {
        [] => Ok("glob"),
        [(_, kind, _)] => Ok(kind),
        several => {
            let names: Vec<&str> = several.iter().map(|(names, _, _)| names[1]).collect();
            Err(usage(format!(
                "The options {} are mutually exclusive. Please only choose one of them",
                names.join("/")
            )))
        }
    }
}

/// The ids of `-L`: with commas blanks do not count, else they separate.
fn list(target: &str) -> Value {
    if target.contains(',') {
        let target = target.replace(' ', "");
        target.split(',').collect()
    } else {
        target.split_whitespace().collect()
    }
}

fn calls(
    function: &str,
    words: &[String],
    parsed: &Parsed,
) -> Result<(Option<Functions>, Vec<Value>), Exit> {
    let separator = parsed.value("--args-separator").unwrap_or(",");
    let no_parse: Vec<&str> = parsed
        .value("--no-parse")
        .map(|names| names.split(',').map(str::trim).collect())
        .unwrap_or_default();
    let calls = call_args::read(function, words, separator, &no_parse)
        .map_err(|message| Exit::failed(EX_INCOMPLETE, format!("{message}\n")))?;
    if !function.contains(',')
        && let Some(call) = calls.first()
    {
        return Ok((Some(call.function.as_str().into()), call.arg.clone()));
    }
    let names: Vec<String> = calls.iter().map(|call| call.function.clone()).collect();
    let args = calls.into_iter().map(|call| call.arg.into()).collect();
    Ok((Some(names.into()), args))
}

/// The settings of a publish, in the order stock `salt` sends them.
fn settings(parsed: &Parsed) -> Map {
    let mut settings = Map::from([
        ("show_timeout", !parsed.has("--hide-timeout")),
        ("show_jid", parsed.has("--show-jid")),
    ]);
    if let Some(text) = parsed.value("--return_config") {
        settings.insert("ret_config", text);
    }
    for (option, key) in [
        ("--return_kwargs", "ret_kwargs"),
        ("--module-executors", "module_executors"),
        ("--executor-opts", "executor_opts"),
        ("--metadata", "metadata"),
    ] {
        if let Some(text) = parsed.value(option) {
            settings.insert(key, salt_state::args::read_value(text));
        }
    }
    if parsed.has("--start-event") {
        settings.insert("start_event", true);
    }
    settings
}

fn batch_wait(parsed: &Parsed) -> Result<Duration, Exit> {
    let seconds = match parsed.value("--batch-wait") {
        None => 0.0,
        Some(text) => text.trim().parse::<f64>().map_err(|_| {
            usage(format!(
                "option --batch-wait: invalid floating-point value: '{text}'"
            ))
        })?,
    };
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

fn count(parsed: &Parsed, name: &str) -> Result<Option<usize>, Exit> {
    let number = parsed.number::<i64>(name).map_err(usage)?;
    Ok(number.map(|number| usize::try_from(number).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Command, Exit> {
        let words = words.iter().map(|word| (*word).to_owned());
        Command::read(words, || Ok("--out\ntxt\nhello world".to_owned()))
    }

    #[track_caller]
    fn refused(words: &[&str], status: u8, stderr: &str) {
        let exit = read(words).unwrap_err();
        assert_eq!(
            (exit.status, exit.stderr.as_str()),
            (status, stderr),
            "{words:?}"
        );
    }

    // Status and text of each from Salt 3008.3.
    #[test]
    fn mistakes_are_worded_as_salt_words_them() {
        let wrong = |message: &str| format!("Usage: {USAGE}\n\nsalt: error: {message}\n");
        refused(
            &[],
            42,
            "\nCannot execute command without defining a target.\n\n",
        );
        refused(&["*"], 42, "\nIncomplete options passed.\n\n");
        refused(
            &["*", "test.ping", "--nope"],
            64,
            &wrong("no such option: --nope"),
        );
        refused(
            &["--subset", "x", "*", "test.ping"],
            64,
            &wrong("option --subset: invalid integer value: 'x'"),
        );
        refused(
            &["-E", "-L", "*", "test.ping"],
            64,
            &wrong(
                "The options --pcre/--list are mutually exclusive. Please only choose one of them",
            ),
        );
        refused(
            &["-l", "nope", "*", "test.ping"],
            64,
            &wrong(
                "option -l: invalid choice: 'nope' (choose from 'all', 'debug', 'error', 'critical', \
                 'garbage', 'info', 'profile', 'quiet', 'trace', 'warning')",
            ),
        );
        refused(
            &["web1", "test.ping,"],
            42,
            "Cannot execute compound command without defining all arguments.\n",
        );
        assert!(
            read(&["*"])
                .unwrap_err()
                .stdout
                .starts_with(&format!("Usage: {USAGE}\n"))
        );
    }

    #[test]
    fn a_list_is_separated_by_commas_or_blanks() {
        let ids = |target: &str| read(&["-L", target, "test.ping"]).unwrap().target;
        let expected: Value = ["web1", "web2"].into_iter().collect();
        assert_eq!(ids("web1,web2"), expected);
        assert_eq!(ids("web1, web2"), expected);
        assert_eq!(ids("web1 web2"), expected);
    }

    #[test]
    fn documentation_is_a_function_of_its_own() {
        let command = read(&["-d"]).unwrap();
        assert_eq!(
            (command.target.clone(), command.is_doc()),
            ("*".into(), true)
        );
        let command = read(&["-d", "web1", "test.ping"]).unwrap();
        assert_eq!(command.args, ["test.ping".into()]);
        assert!(read(&["web1", "sys.doc"]).unwrap().is_doc());
        assert_eq!(read(&["-d", "a", "b", "c"]).unwrap_err().status, 64);
    }

    #[test]
    fn several_functions_and_their_arguments() {
        let command = read(&["web1", "test.ping,test.echo", ",", "hello"]).unwrap();
        let names = vec!["test.ping".to_owned(), "test.echo".to_owned()];
        assert_eq!(command.function, Some(names.into()));
        let none = Value::List(Vec::new());
        assert_eq!(command.args, [none, ["hello"].into_iter().collect()]);
    }

    #[test]
    fn further_words_come_from_standard_input() {
        let command = read(&["--args-stdin", "web1", "test.echo"]).unwrap();
        assert_eq!(command.args, ["hello world".into()]);
        assert_eq!(command.output.outputter.as_deref(), Some("txt"));
    }

    #[test]
    fn settings_are_in_the_order_that_salt_sends_them() {
        let command = read(&["*", "test.ping", "--metadata", "{a: 1}", "--show-jid"]).unwrap();
        let expected: Vec<(Value, Value)> = vec![
            ("show_timeout".into(), true.into()),
            ("show_jid".into(), true.into()),
            ("metadata".into(), Map::from([("a", 1)]).into()),
        ];
        assert_eq!(command.settings.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_timeout_that_is_not_positive_is_the_masters() {
        assert_eq!(read(&["-t", "0", "*", "test.ping"]).unwrap().timeout, None);
        assert_eq!(
            read(&["-t3", "*", "test.ping"]).unwrap().timeout,
            Some(Duration::from_secs(3))
        );
    }
}
