//! As whom a remote repository is reached: a user of this machine, keys, a password.

use std::path::Path;

use salt_proto::Value;

use crate::args::Args;
use crate::python;
use crate::registry::CallError;
use crate::system::{Command, Observe};

/// How to get at a remote repository.
#[derive(Clone, Default)]
pub(crate) struct Access {
    user: Option<String>,
    identities: Vec<String>,
    https: Option<(String, String)>,
}

impl Access {
    /// Of the arguments `user`, `identity`, `https_user` and `https_pass`.
    ///
    /// # Errors
    ///
    /// A password for anything but HTTPS, in Salt's words.
    pub(crate) fn new(args: &Args, url: &str) -> Result<Self, String> {
        let identities = match args.given("identity") {
            None => Vec::new(),
            Some(Value::List(all)) => all.iter().map(python::str).collect(),
            Some(one) => vec![python::str(one)],
        };
        let https = args.optional_text("https_user").map(|user| {
            let password = args.optional_text("https_pass").unwrap_or_default();
            (user, password)
        });
        if https.is_some() && !url.starts_with("https://") {
            return Err("Basic Auth only supported for HTTPS".to_owned());
        }
        Ok(Self {
            user: args.optional_text("user"),
            identities,
            https,
        })
    }

    /// The user of this machine that git runs as.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// # Errors
    ///
    /// When keys are not there.
    pub(crate) fn check(&self, machine: &dyn Observe) -> Result<(), CallError> {
        let missing: Vec<&str> = self
            .identities
            .iter()
            .map(String::as_str)
            .filter(|path| !machine.is_file(Path::new(path)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(CallError::execution(format!(
            "Unable to authenticate using identity file:\n\nThe following identity file(s) were not found: {}",
            missing.join(", ")
        )))
    }

    /// Lets a git command use the keys, and never ask for a password.
    pub(crate) fn apply(&self, command: Command) -> Command {
        let command = command.env("GIT_TERMINAL_PROMPT", "0");
        if self.identities.is_empty() {
            return command;
        }
        let mut ssh = String::from(
            "ssh -oStrictHostKeyChecking=no -oPasswordAuthentication=no -oKbdInteractiveAuthentication=no",
        );
        for identity in &self.identities {
            ssh.push_str(&format!(" -i '{}'", identity.replace('\'', r"'\''")));
        }
        command.env("GIT_SSH_COMMAND", ssh)
    }

    /// The address with user and password.
    pub(crate) fn url(&self, url: &str) -> String {
        match (&self.https, url.strip_prefix("https://")) {
            (Some((user, password)), Some(rest)) if !password.is_empty() => {
                format!("https://{user}:{password}@{rest}")
            }
            (Some((user, _)), Some(rest)) => format!("https://{user}@{rest}"),
            _ => url.to_owned(),
        }
    }

    /// The address as it may be shown.
    pub(crate) fn shown(&self, url: &str) -> String {
        match (&self.https, url.strip_prefix("https://")) {
            (Some(_), Some(rest)) => format!("https://<redacted>@{rest}"),
            _ => url.to_owned(),
        }
    }

    /// A text without the password.
    pub(crate) fn hide(&self, text: &str) -> String {
        match &self.https {
            Some((user, password)) if !password.is_empty() => {
                text.replace(&format!("{user}:{password}@"), "<redacted>@")
            }
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_the_address_and_in_nothing_that_is_shown() {
        let args = Args::new()
            .keyword("https_user", "u")
            .keyword("https_pass", "secret");
        let access = Access::new(&args, "https://a/b").unwrap();

        assert_eq!(access.url("https://a/b"), "https://u:secret@a/b");
        assert_eq!(access.shown("https://a/b"), "https://<redacted>@a/b");
        let said = "fatal: https://u:secret@a/b is not there";
        assert_eq!(
            access.hide(said),
            "fatal: https://<redacted>@a/b is not there"
        );
        assert!(Access::new(&args, "/a/b").is_err());
    }
}
