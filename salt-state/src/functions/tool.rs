//! Running the programs that change a machine, the way Salt's functions do: found in the
//! usual places, speaking English, and told apart by how they end.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::python;
use crate::registry::CallError;
use crate::system::{Command, CommandError, Observe, Output, errno_text};

/// The place of a program.
///
/// # Errors
///
/// When it is not installed.
pub(crate) fn program(machine: &dyn Observe, name: &str) -> Result<PathBuf, CallError> {
    machine
        .which(name)
        .ok_or_else(|| CallError::execution(format!("Command '{name}' cannot be found")))
}

/// A command whose messages are not translated.
pub(crate) fn plain(program: impl Into<std::ffi::OsString>) -> Command {
    Command::new(program)
        .env("LC_ALL", "C")
        .env("LANG", "C")
        .env("LANGUAGE", "C")
}

/// A program by name, found in the usual places, whose messages are not translated. One
/// that is not there is left to fail when it is run.
pub(crate) fn named(machine: &dyn Observe, name: &str) -> Command {
    match machine.which(name) {
        Some(path) => plain(path),
        None => plain(name),
    }
}

/// Runs a command that changes something.
///
/// # Errors
///
/// When it cannot be started or does not end by itself.
pub(crate) fn run(context: &Context<'_>, command: &Command) -> Result<Output, CallError> {
    context.system.run(command).map_err(|error| failed(&error))
}

/// Runs a command that only asks.
///
/// # Errors
///
/// When it cannot be started or does not end by itself.
pub(crate) fn ask(machine: &dyn Observe, command: &Command) -> Result<Output, CallError> {
    machine.query(command).map_err(|error| failed(&error))
}

/// The output of a question, `None` when it failed or could not be asked.
pub(crate) fn answer(machine: &dyn Observe, command: &Command) -> Option<String> {
    let output = machine.query(command).ok()?;
    output.is_success().then(|| output.stdout_text())
}

/// What a command said, errors before anything else, without space around it.
pub(crate) fn said(output: &Output) -> String {
    let error = output.stderr_text();
    let text = if error.trim().is_empty() {
        output.stdout_text()
    } else {
        error
    };
    text.trim().to_owned()
}

/// What a command said: its output, then its errors.
pub(crate) fn said_both(output: &Output) -> String {
    let (out, error) = (output.stdout_text(), output.stderr_text());
    let parts: Vec<&str> = [out.trim(), error.trim()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("\n")
}

/// Why a command did not run, in Salt's words.
pub(crate) fn failed(error: &CommandError) -> CallError {
    match error {
        CommandError::Start { program, source } => CallError::CommandNotFound(format!(
            "{}: {}",
            program.to_string_lossy(),
            errno_text(source, None)
        )),
        CommandError::UnknownUser(name) => {
            CallError::execution(format!("User '{name}' is not available"))
        }
        other => CallError::execution(other.to_string()),
    }
}

/// What a program says, its complaints too, as `cmd.run` returns it for the words of a
/// command.
///
/// # Errors
///
/// Those of `cmd.run`, when it cannot be started.
pub(crate) fn words_said(
    context: &Context<'_>,
    program: &str,
    arguments: &[&str],
) -> Result<String, CallError> {
    let mut command = plain(program).args(arguments);
    command.merge_stderr = true;
    let machine = context.system;
    match machine.query(&command) {
        Ok(output) => Ok(output.stdout_text().trim_end().to_owned()),
        Err(CommandError::Start { source, .. }) => {
            let words = std::iter::once(&program).chain(arguments).copied();
            let words: Vec<String> = words.map(python::repr_str).collect();
            let user = machine.user_by_id(machine.identity().uid).ok().flatten();
            let home = user.map_or_else(|| "/".into(), |user| user.home);
            Err(CallError::execution(format!(
                "Unable to run command '[{}]' with the context '{{'cwd': '{}', 'shell': False, \
                 'stdout': -1, 'stderr': -2, 'with_communicate': True, 'timeout': None, \
                 'bg': False, 'close_fds': True}}', reason: {}",
                words.join(", "),
                home.display(),
                errno_text(&source, Some(Path::new(program))),
            )))
        }
        Err(error) => Err(failed(&error)),
    }
}
