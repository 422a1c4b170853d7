//! A command to run, and how it ended.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How much of each output stream is kept unless stated otherwise: 64 MiB.
const OUTPUT_LIMIT: usize = 64 << 20;

/// A program with its arguments and surroundings.
///
/// Arguments are a vector and reach the program as they are; only
/// [`Command::shell`] puts a shell in between. Standard input is empty unless given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program: a path, or a name looked up in the `PATH` it is run with.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs; default: where this process is.
    pub cwd: Option<PathBuf>,
    /// Changes to the inherited environment in order; `None` removes a variable.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Inherit nothing: the environment is `env` alone.
    pub clear_env: bool,
    /// What it reads on standard input.
    pub stdin: Option<Vec<u8>>,
    /// After this time its whole process group is ended and
    /// [`CommandError::TimedOut`] returned. Default: none.
    pub timeout: Option<Duration>,
    /// The umask it starts with; default: inherited.
    pub umask: Option<u32>,
    /// The user it runs as, with that user's groups; default: ours.
    pub user: Option<String>,
    /// The primary group it runs as; default: the user's, else ours.
    pub group: Option<String>,
    /// Send standard error to where standard output goes, in the order written.
    pub merge_stderr: bool,
    /// Bytes of each stream that are kept; more is read and dropped.
    pub output_limit: usize,
}

impl Command {
    /// A program without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: None,
            env: Vec::new(),
            clear_env: false,
            stdin: None,
            timeout: None,
            umask: None,
            user: None,
            group: None,
            merge_stderr: false,
            output_limit: OUTPUT_LIMIT,
        }
    }

    /// A line for `/bin/sh`.
    pub fn shell(line: impl Into<OsString>) -> Self {
        Self::new("/bin/sh").arg("-c").arg(line)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets where it runs.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Sets what it reads.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(input.into());
        self
    }

    /// Limits its time.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Program and arguments, separated by blanks: for messages and for tests.
    pub fn line(&self) -> String {
        std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The environment the program gets when `inherited` is ours.
    pub(super) fn environment(
        &self,
        inherited: Vec<(OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let mut all = if self.clear_env {
            Vec::new()
        } else {
            inherited
        };
        for (name, value) in &self.env {
            all.retain(|(key, _)| key != name);
            if let Some(value) = value {
                all.push((name.clone(), value.clone()));
            }
        }
        all
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The code in one number as Python has it: a signal counts negative.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => -signal,
        }
    }
}

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Its process id.
    pub pid: u32,
    /// Output beyond the limit was dropped.
    pub truncated: bool,
}

impl Output {
    /// A program that succeeded with this output.
    pub fn success(stdout: impl Into<Vec<u8>>) -> Self {
        Self {
            exit: Exit::Code(0),
            stdout: stdout.into(),
            stderr: Vec::new(),
            pid: 0,
            truncated: false,
        }
    }

    /// A program that failed with this code and standard error.
    pub fn failure(code: i32, stderr: impl Into<Vec<u8>>) -> Self {
        Self {
            exit: Exit::Code(code),
            stderr: stderr.into(),
            ..Self::success("")
        }
    }

    /// Whether the code was zero.
    pub fn is_success(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// Standard output as text; what is not UTF-8 becomes U+FFFD.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; what is not UTF-8 becomes U+FFFD.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// A command that could not be run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such program, or it may not be run.
    #[error("cannot run {}", program.to_string_lossy())]
    Start {
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The user or group to run as does not exist.
    #[error("there is no user or group {0}")]
    UnknownUser(String),
    /// We may not run as that user.
    #[error("cannot run as {user}")]
    RunAs {
        /// The user.
        user: String,
        /// What the system said.
        source: io::Error,
    },
    /// It took longer than [`Command::timeout`]; its process group was ended.
    #[error("timed out after {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
        /// What it had written, and its id.
        output: Box<Output>,
    },
    /// The job that wanted it was ended by a signal before.
    #[error("the job was ended by signal {signal}")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// Its streams failed.
    #[error("lost the command's output")]
    Stream(#[source] io::Error),
}

impl CommandError {
    /// The program could not be started because of this.
    pub(super) fn start(program: &OsStr, source: io::Error) -> Self {
        Self::Start {
            program: program.to_owned(),
            source,
        }
    }
}
