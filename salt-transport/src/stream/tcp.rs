//! Plain TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};

use super::{AcceptError, Dial, Listen, Peer};
use crate::address::{Channel, MasterAddr};

/// Dials over TCP, trying every address of the host in order.
///
/// Keepalive is on (after 300 s, as Salt's `tcp_keepalive_idle`), Nagle's
/// delay is off, and the kernel's buffers are left to tune themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Tcp {
    /// Listens on an address, such as `"0.0.0.0:4506"`. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address is in use, not of this machine, or not an address.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListen> {
        let mut last = None;
        for address in lookup_host(address).await? {
            match listen(address) {
                Ok(listener) => return Ok(TcpListen { listener }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable)))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // A restarted master must not wait for its own old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Salt's `zmq_backlog`.
    socket.listen(1000)?;
    TcpListener::from_std(socket.into())
}

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((master.host.as_str(), master.port(channel))).await?;
        tune(&stream)?;
        Ok(stream)
    }
}

/// A TCP port that accepts.
#[derive(Debug)]
pub struct TcpListen {
    listener: TcpListener,
}

impl TcpListen {
    /// The address that was bound, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// When the operating system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Listen for TcpListen {
    type Stream = TcpStream;

    async fn accept(&mut self) -> Result<(TcpStream, Peer), AcceptError> {
        let (stream, address) = self.listener.accept().await?;
        tune(&stream).map_err(AcceptError::Peer)?;
        let peer = Peer::new(format!("tcp {address}")).with_address(address.ip().to_canonical());
        Ok((stream, peer))
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(300))
        .with_interval(Duration::from_secs(30));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
