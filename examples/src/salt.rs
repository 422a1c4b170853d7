//! The programs that talk to a running master: `salt` and `salt-run`.
//!
//! They behave as Salt 3008.3's do, to the byte where scripts could depend on it; each
//! difference is stated where it is.

pub mod command;
mod connect;
mod credentials;
mod docs;
mod preview;
pub mod program;
mod report;
pub mod run;
pub mod runner;
mod screen;
pub mod show;

use std::process::ExitCode;

pub use connect::{Caller, client};
pub use screen::Screen;

/// Salt's exit status for a command line that is not one.
pub const EX_USAGE: u8 = 64;
/// Salt's exit status for a command line that lacks something.
pub const EX_INCOMPLETE: u8 = 42;
/// Something went wrong.
pub const EX_GENERIC: u8 = 1;
/// Nobody returned.
pub const EX_NO_RETURN: u8 = 2;

/// Why a program ends before its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit status.
    pub status: u8,
    /// What is printed on standard output.
    pub stdout: String,
    /// What is printed on standard error.
    pub stderr: String,
}

impl Exit {
    /// A complaint about the command line, as Python's `optparse` words it.
    pub fn usage(program: &str, usage: &str, message: &str) -> Self {
        Self {
            status: EX_USAGE,
            stderr: format!("Usage: {usage}\n\n{program}: error: {message}\n"),
            ..Self::default()
        }
    }

    /// Something to say, and all is well.
    pub fn said(stdout: String) -> Self {
        Self {
            stdout,
            ..Self::default()
        }
    }

    /// A complaint.
    pub fn failed(status: u8, stderr: String) -> Self {
        Self {
            status,
            stderr,
            ..Self::default()
        }
    }

    /// Says it.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn say(&self, screen: &mut Screen<'_>) -> std::io::Result<ExitCode> {
        screen.out(&self.stdout)?;
        screen.err(&self.stderr)?;
        Ok(ExitCode::from(self.status))
    }
}
