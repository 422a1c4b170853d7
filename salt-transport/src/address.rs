//! Where a master is.

use std::fmt;
use std::str::FromStr;

/// Salt's two channels, each a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Minion or client to master, one reply for each request. Port 4506.
    Request,
    /// Master to all minions. Port 4505.
    Publish,
}

/// The address of a master: a host and the ports of its two channels.
///
/// What a host is, is the dialer's business: a name or an address for [`Tcp`],
/// a directory for [`Unix`], a service of an overlay for a dialer of your own.
///
/// ```
/// use salt_transport::{Channel, MasterAddr};
///
/// let master: MasterAddr = "salt.example.com".parse()?;
/// assert_eq!(master.port(Channel::Request), 4506);
///
/// let master: MasterAddr = "[2001:db8::1]:5506".parse()?;
/// assert_eq!((master.host.as_str(), master.request_port), ("2001:db8::1", 5506));
/// # Ok::<(), salt_transport::InvalidAddress>(())
/// ```
///
/// [`Tcp`]: crate::Tcp
/// [`Unix`]: crate::Unix
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MasterAddr {
    /// A name, an IP address without brackets, or a path.
    pub host: String,
    /// Salt's `master_port` on a minion, `ret_port` on a master. 4506 by default.
    pub request_port: u16,
    /// Salt's `publish_port`. 4505 by default. 0, or Salt's odd 4506, is the
    /// port the master tells when a minion signs in.
    pub publish_port: u16,
}

impl MasterAddr {
    /// A host at Salt's default ports.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            request_port: 4506,
            publish_port: 4505,
        }
    }

    /// The same host at other ports.
    #[must_use]
    pub fn ports(self, request: u16, publish: u16) -> Self {
        Self {
            request_port: request,
            publish_port: publish,
            ..self
        }
    }

    /// The port of one channel.
    pub fn port(&self, channel: Channel) -> u16 {
        match channel {
            Channel::Request => self.request_port,
            Channel::Publish => self.publish_port,
        }
    }
}

/// The text is not the address of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host, host:port or [address]:port")]
pub struct InvalidAddress;

/// Reads a host with an optional request port, as Salt's `master` option has it.
///
/// An IPv6 address with a port needs brackets; without, the colons are all its own.
impl FromStr for MasterAddr {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(InvalidAddress)?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':').ok_or(InvalidAddress)?)),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (text, None),
            }
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidAddress);
        }
        let mut addr = Self::new(host);
        if let Some(port) = port {
            addr.request_port = port.parse().map_err(|_| InvalidAddress)?;
        }
        Ok(addr)
    }
}

impl fmt::Display for MasterAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.request_port)
        } else {
            write!(f, "{}:{}", self.host, self.request_port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, port: u16) {
        let addr: MasterAddr = text.parse().unwrap();
        assert_eq!(
            (addr.host.as_str(), addr.request_port),
            (host, port),
            "{text}"
        );
        assert_eq!(addr.to_string().parse(), Ok(addr), "{text}");
    }

    #[test]
    fn hosts_are_read_with_and_without_port() {
        check("salt", "salt", 4506);
        check(" 192.0.2.7:44506 ", "192.0.2.7", 44506);
        check("2001:db8::1", "2001:db8::1", 4506);
        check("[2001:db8::1]", "2001:db8::1", 4506);
        check("[::1]:1", "::1", 1);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ":4506",
            "salt:",
            "salt:port",
            "salt:70000",
            "[::1",
            "[::1]4506",
            "a b",
        ] {
            assert_eq!(text.parse::<MasterAddr>(), Err(InvalidAddress), "{text:?}");
        }
    }
}
