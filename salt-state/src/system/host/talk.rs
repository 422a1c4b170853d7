//! Talking to a child that stays.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use super::children::{Children, Running};
use super::process::{self, Streams};
use crate::system::{Command, CommandError, Conversation, Exit, Observe, Output};

/// How long a child may take to end once its input is closed.
const GRACE: Duration = Duration::from_secs(2);

/// How much of its standard error is kept: the last 64 KiB.
const COMPLAINTS: usize = 64 << 10;

/// Starts a child to talk to.
pub(super) fn start(
    command: &Command,
    accounts: &dyn Observe,
    job: Option<&Arc<Children>>,
) -> Result<Box<dyn Conversation>, CommandError> {
    process::not_interrupted(job)?;
    let mut command = command.clone();
    command.stdin = Some(Vec::new());
    command.merge_stderr = false;
    let streams = Streams::new(&command).map_err(CommandError::Stream)?;
    let (child, ours) = streams.spawn(&command, accounts, None)?;
    Ok(Box::new(Talk {
        running: process::pid(&child).and_then(|pid| Some(job?.running(pid))),
        child,
        stdin: ours.stdin.map(File::from),
        stdout: Some(File::from(ours.stdout)),
        stderr: ours.stderr.map(File::from),
        heard: Vec::new(),
        complaints: Vec::new(),
        ended: false,
    }))
}

struct Talk {
    child: Child,
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
    /// What it said that was not asked for yet.
    heard: Vec<u8>,
    complaints: Vec<u8>,
    running: Option<Running>,
    ended: bool,
}

impl Conversation for Talk {
    fn ask(
        &mut self,
        line: &[u8],
        timeout: Option<Duration>,
        limit: usize,
    ) -> Result<Vec<u8>, CommandError> {
        let deadline = timeout.and_then(|limit| Instant::now().checked_add(limit));
        let answer = match self.exchange(line, deadline, limit) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => Err(CommandError::TimedOut {
                after: timeout.unwrap_or_default(),
                output: Box::new(Output {
                    exit: Exit::Signal(Signal::KILL.as_raw()),
                    stdout: Vec::new(),
                    stderr: self.complaints.clone(),
                    pid: self.child.id(),
                    truncated: false,
                }),
            }),
            Err(error) => Err(CommandError::Stream(error)),
        };
        self.end(Duration::ZERO);
        answer
    }

    fn complaints(&mut self) -> String {
        self.hear();
        String::from_utf8_lossy(&self.complaints).into_owned()
    }
}

impl Talk {
    /// Gives and takes; `None` when the deadline comes first.
    fn exchange(
        &mut self,
        line: &[u8],
        deadline: Option<Instant>,
        limit: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut rest = line.to_vec();
        rest.push(b'\n');
        let mut rest = rest.as_slice();
        let mut searched = 0;
        loop {
            let unsearched = self.heard.get(searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let after = self.heard.split_off(searched + at + 1);
                let mut answer = std::mem::replace(&mut self.heard, after);
                answer.pop();
                return Ok(Some(answer));
            }
            searched = self.heard.len();
            if self.heard.len() > limit {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("its answer is longer than {limit} bytes"),
                ));
            }
            if self.ended || self.stdout.is_none() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let wait = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return Ok(None),
                },
            };
            self.wait(!rest.is_empty(), wait)?;
            self.give(&mut rest)?;
            take(&mut self.stdout, &mut self.heard)?;
            self.hear();
        }
    }

    fn wait(&self, writes: bool, wait: Option<Duration>) -> io::Result<()> {
        let mut fds = Vec::with_capacity(3);
        if let Some(file) = self.stdin.as_ref().filter(|_| writes) {
            fds.push(PollFd::new(file, PollFlags::OUT));
        }
        for file in [&self.stdout, &self.stderr].into_iter().flatten() {
            fds.push(PollFd::new(file, PollFlags::IN));
        }
        process::poll_fds(&mut fds, wait)
    }

    /// Writes what the child is ready to take.
    fn give(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.stdin else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => *rest = rest.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes some of standard error; only its end is kept.
    fn hear(&mut self) {
        if take(&mut self.stderr, &mut self.complaints).is_err() {
            self.stderr = None;
        }
        let surplus = self.complaints.len().saturating_sub(COMPLAINTS);
        self.complaints.drain(..surplus);
    }

    /// Closes the child's input and sees to it that it ends.
    fn end(&mut self, grace: Duration) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.stdin = None;
        let deadline = Instant::now().checked_add(grace);
        let obeyed =
            !grace.is_zero() && process::wait_for_end(&self.child, deadline).unwrap_or(false);
        self.hear();
        if let Some(pid) = process::pid(&self.child).filter(|_| !obeyed) {
            rustix::process::kill_process_group(pid, Signal::KILL).ok();
        }
        // Past this, its number may be given to somebody else.
        self.running = None;
        self.child.wait().ok();
    }
}

/// Reads once, so that one who never stops writing is not listened to for ever. Closes at
/// the end.
fn take(stream: &mut Option<File>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(file) = stream else {
        return Ok(());
    };
    let mut chunk = [0; 64 << 10];
    match file.read(&mut chunk) {
        Ok(0) => *stream = None,
        Ok(n) => into.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.end(GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{Host, System};

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    fn talk(line: &str) -> Box<dyn Conversation> {
        Host::new().converse(&Command::shell(line)).unwrap()
    }

    #[test]
    fn every_line_is_answered_by_one_and_complaints_are_kept_apart() {
        let mut talk = talk("while read -r line; do echo \"<$line>\"; echo oh >&2; done");

        for text in ["one", "two"] {
            let answer = talk.ask(text.as_bytes(), MINUTE, 100).unwrap();
            assert_eq!(answer, format!("<{text}>").into_bytes());
        }
        talk.ask(b"", MINUTE, 100).unwrap();
        assert!(talk.complaints().starts_with("oh\noh\n"));
    }

    #[test]
    fn a_line_that_fills_every_pipe_comes_back_whole() {
        let line = vec![b'x'; 1 << 20];

        let answer = talk("cat").ask(&line, MINUTE, 2 << 20).unwrap();

        assert_eq!(answer, line);
    }

    #[test]
    fn a_child_that_says_nothing_in_time_is_ended_with_its_children() {
        let begun = Instant::now();
        let mut talk = talk("sleep 60 & sleep 60");

        let answer = talk.ask(b"x", Some(Duration::from_millis(50)), 100);

        assert!(matches!(answer, Err(CommandError::TimedOut { .. })));
        assert!(talk.ask(b"y", MINUTE, 100).is_err());
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_that_ends_and_one_that_says_too_much_are_errors() {
        let mut ends = talk("read -r line; echo why >&2; exit 3");
        assert!(matches!(
            ends.ask(b"x", MINUTE, 100),
            Err(CommandError::Stream(_))
        ));
        assert_eq!(ends.complaints(), "why\n");

        let mut floods = talk("cat /dev/zero");
        let Err(CommandError::Stream(error)) = floods.ask(b"x", MINUTE, 1000) else {
            panic!("a flood was taken");
        };
        assert_eq!(error.to_string(), "its answer is longer than 1000 bytes");
    }
}
