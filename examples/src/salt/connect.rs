//! A client for the master of a configuration.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use salt_transport::client::{Client, ClientConfig};
use salt_transport::{AnyDial, MasterAddr, Tcp, Unix, Wire};

use crate::config::MasterConfig;

/// Who runs the program, in Salt's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What the job says: a name, or `sudo_<name>`.
    pub user: String,
    /// Whose key file counts.
    pub key_user: String,
}

impl Caller {
    /// The user of this process; `sudo_user` is who became it.
    ///
    /// A superuser uses the key of the user that the master runs as.
    pub fn new(name: &str, sudo_user: Option<&str>, master_user: &str) -> Self {
        let user = match sudo_user {
            Some(sudo_user) if name == "root" && !sudo_user.is_empty() && sudo_user != "root" => {
                format!("sudo_{sudo_user}")
            }
            _ => name.to_owned(),
        };
        let is_super = user == "root" || user.starts_with("sudo_");
        let key_user = match is_super {
            true if !master_user.is_empty() => master_user.to_owned(),
            true => "root".to_owned(),
            false => user.clone(),
        };
        Self { user, key_user }
    }

    /// The user of this process, as the system and `SUDO_USER` say.
    pub fn of_process(master_user: &str) -> Self {
        let name = process_user().unwrap_or_else(|| "root".to_owned());
        Self::new(
            &name,
            std::env::var("SUDO_USER").ok().as_deref(),
            master_user,
        )
    }
}

/// The name of this process's user.
fn process_user() -> Option<String> {
    let uid = fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// A client for the master of a configuration; `timeout` wins over the configured one.
pub fn client(config: &MasterConfig, caller: &Caller, timeout: Option<Duration>) -> Client {
    let wire = match config.transport.as_str() {
        "tcp" => Wire::Tcp,
        _ => Wire::Zeromq,
    };
    let client = ClientConfig {
        wire,
        user: caller.user.clone(),
        key_user: caller.key_user.clone(),
        timeout: timeout.unwrap_or(config.timeout),
        gather_job_timeout: config.gather_job_timeout,
        ..ClientConfig::new(&config.cachedir, &config.sock_dir)
    };
    let (dial, master) = way(config);
    Client::new(client, dial, master)
}

/// How the master of a configuration is reached on its own host.
pub(super) fn way(config: &MasterConfig) -> (AnyDial, MasterAddr) {
    if !config.listen.is_empty() {
        // A master that listens elsewhere has a socket for its own command line.
        let sockets = MasterAddr::new(config.sock_dir.display().to_string());
        return (AnyDial::new(Unix), sockets);
    }
    // What a master listens on is not always what can be connected to.
    let host = match config.interface.as_str() {
        "" | "0.0.0.0" | "*" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let master = MasterAddr::new(host).ports(config.ret_port, config.publish_port);
    (AnyDial::new(Tcp), master)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, sudo: Option<&str>, master: &str, user: &str, key_user: &str) {
        let expected = Caller {
            user: user.to_owned(),
            key_user: key_user.to_owned(),
        };
        assert_eq!(Caller::new(name, sudo, master), expected);
    }

    #[test]
    fn a_superuser_has_the_masters_key_and_keeps_his_name() {
        check("root", None, "root", "root", "root");
        check("root", None, "salt", "root", "salt");
        check("root", Some("ann"), "salt", "sudo_ann", "salt");
        check("root", Some("root"), "", "root", "root");
        check("ann", Some("bob"), "salt", "ann", "ann");
    }
}
