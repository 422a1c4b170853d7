//! Through an HTTP proxy by CONNECT (RFC 9110 §9.3.6).

use std::io;

use base64::Engine as _;
use salt_crypto::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::address::{Channel, MasterAddr};
use crate::stream::Dial;

/// Longer answers of a proxy are none.
const MAX_HEAD: usize = 8 << 10;

/// Asks an HTTP proxy, which another dialer reaches, for a connection to the master.
///
/// What goes through it should be TLS: the proxy sees every byte.
#[derive(Clone)]
pub struct ThroughProxy<D> {
    inner: D,
    proxy: MasterAddr,
    authorization: Option<Secret<String>>,
}

impl<D: Dial> ThroughProxy<D> {
    /// A proxy by name and port, such as `proxy.example.com:3128`.
    pub fn new(inner: D, host: impl Into<String>, port: u16) -> Self {
        Self {
            inner,
            proxy: MasterAddr::new(host).ports(port, port),
            authorization: None,
        }
    }

    /// Name and password for it (`Basic`, RFC 7617).
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &Secret<String>) -> Self {
        let both = format!("{user}:{}", password.expose());
        let basic = base64::engine::general_purpose::STANDARD.encode(both);
        self.authorization = Some(Secret::new(format!("Basic {basic}")));
        self
    }
}

impl<D: std::fmt::Debug> std::fmt::Debug for ThroughProxy<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThroughProxy")
            .field("inner", &self.inner)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

impl<D: Dial> Dial for ThroughProxy<D> {
    type Stream = D::Stream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<D::Stream> {
        let target = MasterAddr::new(&master.host).ports(master.port(channel), 0);
        let mut stream = self.inner.dial(&self.proxy, channel).await?;
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!(
                "Proxy-Authorization: {}\r\n",
                authorization.expose()
            ));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        // Byte by byte, because what follows the head is the master's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MAX_HEAD {
                return Err(answered(&self.proxy, "with too long a head"));
            }
            head.push(
                stream
                    .read_u8()
                    .await
                    .map_err(|error| answered(&self.proxy, &format!("with no head: {error}")))?,
            );
        }
        match status(&head) {
            Some(200..=299) => Ok(stream),
            Some(407) => Err(answered(
                &self.proxy,
                "that it wants a name and a password (407)",
            )),
            Some(status) => Err(answered(&self.proxy, &status.to_string())),
            None => Err(answered(&self.proxy, "with something that is not HTTP")),
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    let mut words = rest.split(' ');
    words.next()?;
    words.next()?.parse().ok()
}

fn answered(proxy: &MasterAddr, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionRefused,
        format!("the proxy {proxy} answered {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_second_word() {
        assert_eq!(
            status(b"HTTP/1.1 200 Connection established\r\n\r\n"),
            Some(200)
        );
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(status(b""), None);
    }
}
