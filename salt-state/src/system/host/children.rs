//! What one job runs on this machine now, so that somebody else can end it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Signals after which a job is over: nothing new is started in its name.
const ENDING: [Signal; 5] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::KILL,
    Signal::TERM,
];

/// The commands that one job runs now.
///
/// Jobs share the process of the minion, so a signal for a job cannot go to a process of
/// its own, as it does in Salt. It goes to the process group of every command the job
/// runs, ends its waits, and keeps it from starting more.
#[derive(Debug, Default)]
pub struct Children {
    state: Mutex<State>,
    signalled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    groups: Vec<Pid>,
    ended_by: Option<i32>,
}

impl Children {
    /// No command runs yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sends a signal, by number, to everything that runs. HUP, INT, QUIT, KILL and TERM
    /// end the job too.
    ///
    /// # Errors
    ///
    /// A number that is no signal.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        let signal = Signal::from_named_raw(number).ok_or(rustix::io::Errno::INVAL)?;
        let mut state = self.state();
        if ENDING.contains(&signal) {
            state.ended_by = Some(number);
            self.signalled.notify_all();
        }
        for group in &state.groups {
            // One that ended just now is no failure.
            kill_process_group(*group, signal).ok();
        }
        Ok(())
    }

    /// The signal that ended the job, if one did.
    pub fn ended_by(&self) -> Option<i32> {
        self.state().ended_by
    }

    /// Counts a process group that was just started among the job's, until the guard is
    /// dropped, which has to happen before the group's leader is collected: after that
    /// its number may be somebody else's.
    pub(super) fn running(self: &Arc<Self>, group: Pid) -> Running {
        let mut state = self.state();
        if let Some(signal) = state.ended_by.and_then(Signal::from_named_raw) {
            kill_process_group(group, signal).ok();
        }
        state.groups.push(group);
        Running {
            children: Arc::clone(self),
            group,
        }
    }

    /// Waits, but not past the end of the job.
    pub(super) fn sleep(&self, time: Duration) {
        let wait = self
            .signalled
            .wait_timeout_while(self.state(), time, |state| state.ended_by.is_none());
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process group among a job's.
#[derive(Debug)]
pub(super) struct Running {
    children: Arc<Children>,
    group: Pid,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.children.state();
        if let Some(at) = state.groups.iter().position(|pid| *pid == self.group) {
            state.groups.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::system::{Command, CommandError, Exit, Host, Observe, System};

    #[test]
    fn a_signal_ends_a_running_command_and_what_it_started() {
        let children = Children::new();
        let host = Host::new().for_job(Arc::clone(&children));
        let begun = Instant::now();

        let output = std::thread::scope(|scope| {
            let run = scope.spawn(|| host.run(&Command::shell("sleep 60 & echo up; wait")));
            while children.state().groups.is_empty() {
                std::thread::yield_now();
            }
            children.signal(15).unwrap();
            run.join().unwrap()
        });

        assert_eq!(output.unwrap().exit, Exit::Signal(15));
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(children.state().groups.is_empty());
    }

    #[test]
    fn an_ended_job_starts_nothing_more_and_does_not_wait() {
        let children = Children::new();
        let host = Host::new().for_job(Arc::clone(&children));

        children.signal(9).unwrap();

        assert!(matches!(
            host.run(&Command::new("true")),
            Err(CommandError::Interrupted { signal: 9 })
        ));
        let begun = Instant::now();
        host.sleep(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(host.interrupted(), Some(9));
    }

    #[test]
    fn a_signal_that_ends_nothing_leaves_the_job_alone() {
        let children = Children::new();
        let host = Host::new().for_job(Arc::clone(&children));

        children.signal(18).unwrap();

        assert_eq!(children.ended_by(), None);
        assert!(host.run(&Command::new("true")).unwrap().is_success());
        children.signal(0).unwrap_err();
    }
}
