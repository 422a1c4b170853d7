//! Whether somebody answers at a port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::{Command, Observe, Output, hosts_addresses};

/// By which protocol [`Observe::probe`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A connection is made and closed.
    Tcp,
    /// One empty datagram is sent. No answer within the time counts as reached, since
    /// most services do not answer it; a host that refuses it says so.
    Udp,
}

/// The addresses of a host: itself when it is one, else those of the hosts file, else
/// those that the name service (`getent ahosts`) knows within `timeout`; in that order
/// and each once. Empty when nobody knows the name.
pub fn addresses_of(machine: &dyn Observe, host: &str, timeout: Duration) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    let mut found = hosts_addresses(machine, host);
    if found.is_empty() && !host.is_empty() {
        let ask = Command::new("getent")
            .args(["ahosts", "--", host])
            .timeout(timeout);
        let answer = machine.query(&ask).ok().filter(Output::is_success);
        found = answer
            .map(|output| output.stdout_text())
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
    }
    let mut unique = Vec::with_capacity(found.len());
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}

/// Asks from this machine.
pub(super) fn probe(at: SocketAddr, protocol: Protocol, timeout: Duration) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => TcpStream::connect_timeout(&at, timeout).map(drop),
        Protocol::Udp => {
            let any: IpAddr = match at {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(timeout))?;
            socket.connect(at)?;
            socket.send(&[])?;
            match socket.recv(&mut [0; 16]) {
                Ok(_) => Ok(()),
                Err(error) if is_silence(&error) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    #[test]
    fn names_are_looked_up_in_the_hosts_file_before_the_name_service() {
        let machine = FakeSystem::new()
            .file("/etc/hosts", "192.0.2.1 a\n192.0.2.1 a\n192.0.2.2 a\n")
            .command("getent", |_| {
                Output::success("2001:db8::1 STREAM b\n2001:db8::1 DGRAM\n192.0.2.9 STREAM\n")
            });
        let of = |host: &str| -> Vec<String> {
            addresses_of(&machine, host, Duration::from_secs(1))
                .iter()
                .map(IpAddr::to_string)
                .collect()
        };

        assert_eq!(of("::1"), ["::1"]);
        assert_eq!(of("a"), ["192.0.2.1", "192.0.2.2"]);
        assert!(machine.commands().is_empty());
        assert_eq!(of("b"), ["2001:db8::1", "192.0.2.9"]);
        assert!(of("").is_empty());
    }

    #[test]
    fn a_closed_port_is_told_from_an_open_one() {
        let open = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = open.local_addr().unwrap();
        let ask = || probe(at, Protocol::Tcp, Duration::from_secs(5));

        assert!(ask().is_ok());
        drop(open);
        assert_eq!(ask().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn silence_after_a_datagram_is_no_refusal() {
        let open = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let at = open.local_addr().unwrap();
        let ask = || probe(at, Protocol::Udp, Duration::from_millis(20));

        assert!(ask().is_ok());
        drop(open);
        assert!(ask().is_err());
    }
}
