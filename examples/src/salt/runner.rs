//! What `salt-run` does: the runners for jobs, the presence of minions, and events.
//!
//! Unlike Salt's, they fire no events of their own and are not kept in the job cache.

mod command;
mod events;
mod jobs;
mod manage;

use std::io;
use std::process::ExitCode;

use salt_proto::{Map, Value};
use salt_state::{Args, CallError, Signature};
use salt_transport::Error;
use salt_transport::client::Client;
use salt_transport::jobs::JobCache;

pub use command::Command;

use super::run::chain;
use super::screen::Screen;
use super::show::Show;
use super::{Caller, Exit, client};
use crate::config::MasterConfig;

/// A runner: its name, what it takes as Python would write it, and what it is for.
struct Runner {
    name: &'static str,
    signature: &'static str,
    about: &'static str,
}

const fn runner(name: &'static str, signature: &'static str, about: &'static str) -> Runner {
    Runner {
        name,
        signature,
        about,
    }
}

const RUNNERS: &[Runner] = &[
    runner(
        "jobs.active",
        "active(display_progress=False)",
        "The jobs that minions are working on.",
    ),
    runner(
        "jobs.exit_success",
        "exit_success(jid, ext_source=None)",
        "Whether a job went well, for each minion that returned.",
    ),
    runner(
        "jobs.last_run",
        "last_run(ext_source=None, outputter=None, metadata=None, function=None, target=None, \
         display_progress=False)",
        "The most recent job, or the most recent one of a function or target.",
    ),
    runner(
        "jobs.list_job",
        "list_job(jid, ext_source=None, display_progress=False)",
        "A job and its returns.",
    ),
    runner(
        "jobs.list_jobs",
        "list_jobs(ext_source=None, outputter=None, search_metadata=None, search_function=None, \
         search_target=None, start_time=None, end_time=None, display_progress=False)",
        "The jobs that are kept. `search_function` and `search_target` are patterns, `search_metadata` is a mapping.",
    ),
    runner(
        "jobs.lookup_jid",
        "lookup_jid(jid, ext_source=None, returned=True, missing=False, display_progress=False)",
        "The returns of a job, printed as `salt` prints them.",
    ),
    runner(
        "jobs.print_job",
        "print_job(jid, ext_source=None)",
        "A job and its returns, below its id.",
    ),
    runner(
        "manage.down",
        "down(removekeys=False, tgt='*', tgt_type='glob', timeout=None, gather_job_timeout=None)",
        "The accepted minions that do not answer.",
    ),
    runner(
        "manage.status",
        "status(output=True, tgt='*', tgt_type='glob', timeout=None, gather_job_timeout=None)",
        "Which accepted minions answer and which do not.",
    ),
    runner(
        "manage.up",
        "up(tgt='*', tgt_type='glob', timeout=None, gather_job_timeout=None)",
        "The minions that answer.",
    ),
    runner(
        "state.event",
        "event(tagmatch='*', count=-1, quiet=False, sock_dir=None, pretty=False, node='master')",
        "Print the events of the bus as they come.",
    ),
];

/// What a runner has to say at its end.
#[derive(Debug, Default)]
struct Outcome {
    value: Value,
    /// The outputter it wants.
    outputter: String,
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Self {
            value,
            outputter: String::new(),
        }
    }
}

/// Why a runner has no result.
#[derive(Debug)]
enum Failure {
    /// The master could not do its part.
    Master(Error),
    /// A file of the master could not be read.
    Io(io::Error),
    /// It was called wrongly.
    Call(CallError),
    /// Nobody reads what is printed.
    Screen(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Master(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// What runners work with.
struct World<'a> {
    config: &'a MasterConfig,
    client: Client,
    jobs: JobCache,
}

/// Runs a runner, until it is done or interrupted.
///
/// # Errors
///
/// When nobody reads what is printed.
pub async fn run(
    command: &Command,
    config: &MasterConfig,
    show: &Show,
    screen: &mut Screen<'_>,
) -> io::Result<ExitCode> {
    let Some(name) = &command.function else {
        return documentation("", show, command, screen);
    };
    if command.is_doc {
        return documentation(name, show, command, screen);
    }
    let world = World {
        config,
        client: client(config, &Caller::of_process(&config.user), None),
        jobs: JobCache::new(config.cachedir.join("jobs")),
    };
    let outcome = tokio::select! {
        outcome = call(&world, name, &command.args, screen) => outcome,
        _ = tokio::signal::ctrl_c() => {
            let text = "\nExiting gracefully on Ctrl-c\n".to_owned();
            return Exit::failed(0, text).say(screen);
        }
    };
    match outcome {
        Ok(outcome) => {
            show.print(&outcome.value, &outcome.outputter, screen)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Screen(error)) => Err(error),
        Err(Failure::Call(error)) => {
            show.print(&error.to_string().into(), "", screen)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Io(error)) => failed(&error, screen),
        Err(Failure::Master(error)) => failed(&error, screen),
    }
}

fn failed(error: &dyn std::error::Error, screen: &mut Screen<'_>) -> io::Result<ExitCode> {
    Exit::failed(super::EX_GENERIC, format!("[ERROR   ] {}\n", chain(error))).say(screen)
}

async fn call(
    world: &World<'_>,
    name: &str,
    args: &[Value],
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let runner = RUNNERS.iter().find(|runner| runner.name == name);
    let signature = runner.and_then(|runner| Signature::parse(runner.signature));
    let Some(signature) = signature else {
        return Ok(Value::from(format!("'{name}' is not available.")).into());
    };
    let args = signature
        .bind(&Args::from_job(args))
        .map_err(|error| CallError::Invocation(format!("\nPassed invalid arguments: {error}\n")))?;
    Ok(match name {
        "jobs.active" => jobs::active(world).await?.into(),
        "jobs.exit_success" => jobs::exit_success(world, &args)?.into(),
        "jobs.last_run" => jobs::last_run(world, &args)?.into(),
        "jobs.list_job" => jobs::list_job(world, &args)?.into(),
        "jobs.list_jobs" => jobs::list_jobs(world, &args)?.into(),
        "jobs.lookup_jid" => jobs::lookup_jid(world, &args)?,
        "jobs.print_job" => jobs::print_job(world, &args)?.into(),
        "manage.down" => manage::down(world, &args, screen).await?.into(),
        "manage.status" => manage::status(world, &args, screen).await?.into(),
        "manage.up" => manage::up(world, &args, screen).await?.into(),
        _ => {
            events::watch(world, &args, screen).await?;
            Value::Null.into()
        }
    })
}

/// What the runners whose name begins with `prefix` are for.
fn documentation(
    prefix: &str,
    show: &Show,
    command: &Command,
    screen: &mut Screen<'_>,
) -> io::Result<ExitCode> {
    let docs = RUNNERS
        .iter()
        .filter(|runner| runner.name.starts_with(prefix))
        .map(|runner| (runner.name, format!("\n    {}\n    ", runner.about)));
    if command.output.outputter.is_some() {
        show.print(&docs.collect::<Map>().into(), "", screen)?;
    } else {
        for (name, text) in docs {
            screen.out(&format!("{name}:\n{text}\n\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runner_has_a_signature_that_can_be_read() {
        for runner in RUNNERS {
            assert!(
                Signature::parse(runner.signature).is_some(),
                "{}",
                runner.name
            );
        }
    }
}
