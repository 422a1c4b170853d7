//! What this host is called, without waiting for a name server.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::{Command, Observe, Output};

/// The names of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    /// With its domain, when one is known: `web-1.example.com`.
    pub fqdn: String,
    /// The part before the first dot: `web-1`.
    pub host: String,
    /// The part behind it, empty when unknown: `example.com`.
    pub domain: String,
}

/// The host's names: the kernel's host name, completed from the hosts file if it has no
/// domain, else by one question to the name service that may take two seconds.
pub fn host_names(machine: &dyn Observe) -> HostNames {
    let node = machine.kernel().node;
    let fqdn = if node.contains('.') {
        node
    } else {
        from_hosts(machine, &node)
            .or_else(|| from_name_service(machine, &node))
            .unwrap_or(node)
    };
    let (host, domain) = fqdn.split_once('.').unwrap_or((&fqdn, ""));
    HostNames {
        host: host.to_owned(),
        domain: domain.to_owned(),
        fqdn,
    }
}

/// The addresses the hosts file gives a name, in its order; case does not matter.
pub fn hosts_addresses(machine: &dyn Observe, name: &str) -> Vec<IpAddr> {
    hosts(machine)
        .into_iter()
        .filter(|(_, names)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|(address, _)| address)
        .collect()
}

/// The hosts file: address and names of each line.
pub(crate) fn hosts(machine: &dyn Observe) -> Vec<(IpAddr, Vec<String>)> {
    let text = machine.text(Path::new("/etc/hosts"));
    text.ok()
        .flatten()
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            Some((address, words.map(str::to_owned).collect()))
        })
        .collect()
}

/// The first name of the line that has the host's name, as `getaddrinfo(3)` answers.
fn from_hosts(machine: &dyn Observe, node: &str) -> Option<String> {
    hosts(machine)
        .into_iter()
        .find(|(_, names)| names.iter().any(|name| name.eq_ignore_ascii_case(node)))
        .and_then(|(_, names)| names.into_iter().next())
}

fn from_name_service(machine: &dyn Observe, node: &str) -> Option<String> {
    if node.is_empty() || node == "localhost" {
        return None;
    }
    let ask = Command::new("getent")
        .args(["ahosts", "--", node])
        .timeout(Duration::from_secs(2));
    let answer = machine.query(&ask).ok().filter(Output::is_success)?;
    // `192.0.2.1   STREAM web-1.example.com`
    answer
        .stdout_text()
        .lines()
        .next()?
        .split_whitespace()
        .nth(2)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{FakeSystem, Kernel};

    fn called(node: &str) -> FakeSystem {
        FakeSystem::new().with_kernel(Kernel {
            node: node.to_owned(),
            ..Kernel::default()
        })
    }

    #[test]
    fn the_hosts_file_completes_a_short_name() {
        let machine = called("web").file(
            "/etc/hosts",
            "127.0.0.1 localhost\n127.0.1.1 web.example.com web # us\n",
        );

        let names = host_names(&machine);

        assert_eq!(names.fqdn, "web.example.com");
        assert_eq!(
            (names.host.as_str(), names.domain.as_str()),
            ("web", "example.com")
        );
        assert!(machine.commands().is_empty());
    }

    #[test]
    fn a_name_nobody_knows_stays_short() {
        let names = host_names(&called("web"));
        assert_eq!((names.fqdn.as_str(), names.domain.as_str()), ("web", ""));
    }
}
