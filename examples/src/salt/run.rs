//! What `salt` does.

use std::cell::RefCell;
use std::io;
use std::process::ExitCode;

use salt_proto::target::TargetError;
use salt_proto::{Jid, Map, Target, Value};
use salt_transport::Error;
use salt_transport::client::{Answer, BatchAnswer, BatchOptions, BatchSize, Client, Publish};

use super::command::Command;
use super::credentials::Told;
use super::report::{self, Piece, Report};
use super::screen::Screen;
use super::show::Show;
use super::{Caller, EX_GENERIC, EX_NO_RETURN, Exit, client, credentials, preview};
use crate::config::MasterConfig;

/// Salt's text for a target that means nobody.
pub(super) const NOBODY: &str =
    "No minions matched the target. No command was sent, no jid was assigned.\n";

/// Why a run ends before its end.
enum Stop {
    Exit(Exit),
    /// Nobody reads what is printed.
    Screen(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Screen(error)
    }
}

impl From<Exit> for Stop {
    fn from(exit: Exit) -> Self {
        Self::Exit(exit)
    }
}

/// Does what a command line asks for, until it is done or interrupted.
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
    let told = match credentials::told(command) {
        Ok(told) => told,
        Err(exit) => return exit.say(screen),
    };
    let jid = RefCell::new(None);
    let running = Running {
        command,
        config,
        show,
        client: client(config, &Caller::of_process(&config.user), command.timeout),
        jid: &jid,
    };
    let ended = tokio::select! {
        ended = running.run(told, screen) => ended,
        _ = tokio::signal::ctrl_c() => Err(Stop::Exit(interrupted(jid.borrow().as_ref()))),
    };
    match ended {
        Ok(exit) | Err(Stop::Exit(exit)) => exit.say(screen),
        Err(Stop::Screen(error)) => Err(error),
    }
}

/// The job goes on; only the waiting ends.
fn interrupted(jid: Option<&Jid>) -> Exit {
    let later = jid
        .map(|jid| format!("This job's jid is: {jid}\n{}\n", report::look_up_text(jid)))
        .unwrap_or_default();
    Exit::failed(0, format!("\nExiting gracefully on Ctrl-c\n{later}"))
}

struct Running<'a> {
    command: &'a Command,
    config: &'a MasterConfig,
    show: &'a Show,
    client: Client,
    /// The job, once there is one, for who interrupts it.
    jid: &'a RefCell<Option<Jid>>,
}

impl Running<'_> {
    async fn run(&self, told: Option<Told>, screen: &mut Screen<'_>) -> Result<Exit, Stop> {
        let command = self.command;
        let (target, kind) = self.target()?;
        if command.preview {
            return self.preview(&target, kind, screen);
        }
        let Some(function) = command.function.clone() else {
            return Ok(Exit::default());
        };
        let mut publish = Publish::new(target, kind, function).args(command.args.clone());
        publish.delimiter.clone_from(&command.delimiter);
        publish.ret.clone_from(&command.ret);
        publish.settings = command.settings.clone();
        publish.credentials = credentials::find(told, command.make_token, &self.client).await?;
        if let Some(size) = &command.batch {
            return self.batch(&publish, size, screen).await;
        }
        if let Some(limit) = command.batch_safe_limit
            && self.expected(&publish.target, kind)?.len() >= limit
        {
            screen.out("\nNOTICE: Too many minions targeted, switching to batch execution.\n")?;
            return self.batch(&publish, &command.batch_safe_size, screen).await;
        }
        if command.is_async {
            return self.publish_only(&publish).await;
        }
        if let Some(n) = command.subset {
            match self.client.subset(&publish, n).await {
                Ok(ids) => {
                    publish.target = ids.iter().collect();
                    publish.target_kind = "list".to_owned();
                }
                Err(error) => return self.trouble(error, screen),
            }
        }
        self.plain(&publish, screen).await
    }

    /// The target without names of groups, which minions do not know.
    fn target(&self) -> Result<(Value, &'static str), Exit> {
        let command = self.command;
        let expression = match (command.target_kind, command.target.as_str()) {
            ("nodegroup", Some(name)) => format!("N@{name}"),
            ("compound", Some(text)) if text.contains("N@") => text.to_owned(),
            _ => return Ok((command.target.clone(), command.target_kind)),
        };
        match Target::write_out_nodegroups(&expression, &self.config.nodegroups) {
            Ok(expression) => Ok((expression.into(), "compound")),
            Err(TargetError::UnknownNodegroup(name)) => Err(Exit::said(format!(
                "Node group {name} unavailable in {}\n",
                self.config.config_dir.join("master").display()
            ))),
            Err(error) => Err(Exit::failed(EX_GENERIC, format!("{error}\n"))),
        }
    }

    fn expected(&self, target: &Value, kind: &str) -> Result<Vec<String>, Exit> {
        preview::minions(self.config, target, kind, &self.command.delimiter)
            .map_err(|error| Exit::failed(EX_GENERIC, format!("[ERROR   ] {error}\n")))
    }

    fn preview(&self, target: &Value, kind: &str, screen: &mut Screen<'_>) -> Result<Exit, Stop> {
        let ids = self.expected(target, kind)?;
        self.show.print(&ids.iter().collect(), "", screen)?;
        Ok(match ids.is_empty() {
            true => report::no_return(),
            false => Exit::default(),
        })
    }

    async fn publish_only(&self, publish: &Publish) -> Result<Exit, Stop> {
        match self.client.publish(publish).await {
            Ok(published) => Ok(Exit::said(executed(published.jid.as_str()))),
            Err(Error::NobodyMatched) => Ok(Exit::said(format!("{NOBODY}{}", executed("0")))),
            Err(error) => Ok(Exit {
                status: EX_GENERIC,
                ..complaint(&error)
            }),
        }
    }

    async fn plain(&self, publish: &Publish, screen: &mut Screen<'_>) -> Result<Exit, Stop> {
        let mut answers = match self.client.run(publish).await {
            Ok(answers) => answers,
            Err(error) => return self.trouble(error, screen),
        };
        *self.jid.borrow_mut() = Some(answers.jid().clone());
        let (mut report, header) = Report::new(self.command, answers.jid().clone());
        self.print(header, screen)?;
        loop {
            let piece = match answers.next().await {
                Ok(Some(Answer::Return(ret))) => report.returned(*ret),
                Ok(Some(Answer::Missing(id))) => report.missing(id),
                Ok(Some(_)) => None,
                Ok(None) => break,
                Err(error) => return Ok(complaint(&error)),
            };
            self.print(piece, screen)?;
        }
        let (pieces, exit) = report.end();
        self.print(pieces, screen)?;
        Ok(exit)
    }

    async fn batch(
        &self,
        publish: &Publish,
        size: &str,
        screen: &mut Screen<'_>,
    ) -> Result<Exit, Stop> {
        let command = self.command;
        let size: BatchSize = size.parse().map_err(|error| {
            Exit::failed(
                EX_GENERIC,
                format!("SaltInvocationError: Invalid batch specification '{size}': {error}.\n"),
            )
        })?;
        let options = BatchOptions {
            size,
            wait: command.batch_wait,
            failhard: command.failhard,
        };
        let mut run = match self.client.run_batch(publish, options).await {
            Ok(run) => run,
            Err(Error::NobodyMatched) if !command.is_static => {
                screen.out(&format!("{NOBODY}No minions matched the target.\n"))?;
                return Ok(report::no_return());
            }
            Err(error) => return self.trouble(error, screen),
        };
        let mut returns = Map::new();
        let mut outputter = String::new();
        let mut worst = 0;
        loop {
            let answer = match run.next().await {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(error) => return Ok(complaint(&error)),
            };
            if let Some(jid) = run.jid() {
                *self.jid.borrow_mut() = Some(jid.clone());
            }
            match answer {
                BatchAnswer::Return(ret) if command.is_static => {
                    returns.insert(ret.id.as_str(), ret.value);
                    outputter = ret.out.unwrap_or_default();
                }
                BatchAnswer::Return(ret) => {
                    worst = worst.max(ret.exit_code());
                    let shown = Map::from([
                        ("retcode", ret.retcode.clone()),
                        ("jid", ret.jid.clone().into()),
                        (ret.id.as_str(), ret.value.clone()),
                    ]);
                    let outputter = ret.out.unwrap_or_default();
                    self.show.print(&shown.into(), &outputter, screen)?;
                }
                BatchAnswer::Stopped => {
                    screen.err("[ERROR   ] Batch run stopped due to failhard\n")?;
                }
                _ if command.is_static => {}
                BatchAnswer::Absent(id) => {
                    screen.out(&format!(
                        "Minion {id} did not respond. No job will be sent.\n"
                    ))?;
                }
                BatchAnswer::Started(ids) => {
                    let ids = salt_state::python::repr(&ids.iter().collect());
                    screen.out(&format!("\nExecuting run on {ids}\n\n"))?;
                }
                BatchAnswer::Missing(id) => {
                    worst = worst.max(1);
                    let text = run.jid().map(report::missing_text).unwrap_or_default();
                    let shown = Map::from([(id, text)]);
                    self.show.print(&shown.into(), "no_return", screen)?;
                }
                _ => {}
            }
        }
        if command.is_static {
            let (pieces, exit) = report::together(returns, outputter);
            self.print(pieces, screen)?;
            return Ok(exit);
        }
        Ok(Exit {
            // As the system would cut it: a status has eight bits.
            status: u8::try_from(worst & 0xff).unwrap_or(1),
            ..Exit::default()
        })
    }

    fn print(
        &self,
        pieces: impl IntoIterator<Item = Piece>,
        screen: &mut Screen<'_>,
    ) -> io::Result<()> {
        for piece in pieces {
            match piece {
                Piece::Plain(text) => screen.out(&text)?,
                Piece::Shown(value, outputter) => self.show.print(&value, &outputter, screen)?,
            }
        }
        Ok(())
    }

    /// A job that was not published.
    fn trouble(&self, error: Error, screen: &mut Screen<'_>) -> Result<Exit, Stop> {
        let Error::NobodyMatched = error else {
            return Ok(complaint(&error));
        };
        screen.out(NOBODY)?;
        if self.command.is_doc() {
            return Ok(report::no_documentation());
        }
        self.show.print(&Map::new().into(), "", screen)?;
        Ok(report::no_return())
    }
}

fn executed(jid: &str) -> String {
    format!("Executed command with job ID: {jid}\n")
}

/// An error in Salt's words. Like Salt, `salt` ends with status 0 after most of them.
fn complaint(error: &Error) -> Exit {
    match error {
        Error::NotRunning { sock_dir } => Exit {
            status: 0,
            stdout: "The salt master could not be contacted. Is master running?\n".to_owned(),
            stderr: format!(
                "[ERROR   ] Unable to connect to the salt master publisher at {}\n",
                sock_dir.display()
            ),
        },
        Error::TimedOut => Exit::said(
            "Salt request timed out. The master is not responding. You may need to run your command with \
             `--async` in order to bypass the congested event bus. With `--async`, the CLI tool will print \
             the job id (jid) and exit immediately without listening for responses. You can then use \
             `salt-run jobs.lookup_jid` to look up the results of the job in the job cache later.\n"
                .to_owned(),
        ),
        Error::Refused { message, .. } => Exit::said(format!("{message}\n")),
        other => Exit::failed(EX_NO_RETURN, format!("[ERROR   ] {}\n", chain(other))),
    }
}

/// An error with what led to it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
