//! Ways to a master other than its two ports, and `salt-tunnel`, which carries an unmodified Salt over them.

mod command;
mod ssh;

use std::fmt;
use std::str::FromStr;

use salt_transport::{AnyDial, MasterAddr, Route, RouteError};

use crate::Failure;

pub use command::main;
use ssh::Ssh;

/// What `master` and `--to` take besides a host: a route of the library, or a shell on the master's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A stream of `salt-transport`.
    Route(Route),
    /// `ssh://[user@]host`: `salt-tunnel pipe` runs there, in a child process.
    Ssh(String),
}

impl Way {
    /// Whether a text is meant to be one, and not a plain host name.
    pub fn is_meant(text: &str) -> bool {
        Route::is_meant(text)
    }

    /// What dials, and where.
    ///
    /// # Errors
    ///
    /// Files that are named cannot be used, or this program is built without it.
    pub fn dialer(&self) -> Result<(AnyDial, MasterAddr), Failure> {
        match self {
            Self::Route(route) => Ok((route.dialer()?, route.master()?)),
            Self::Ssh(host) => Ok((AnyDial::new(Ssh::new(host)), MasterAddr::new(host))),
        }
    }
}

impl FromStr for Way {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        match text.trim().strip_prefix("ssh://") {
            // A host that begins with a dash would be an option of the program.
            Some(host) if host.is_empty() || host.starts_with('-') => {
                Err(RouteError::Scheme(text.to_owned()))
            }
            Some(host) => Ok(Self::Ssh(host.to_owned())),
            None => text.parse().map(Self::Route),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => route.fmt(f),
            Self::Ssh(host) => write!(f, "ssh://{host}"),
        }
    }
}
