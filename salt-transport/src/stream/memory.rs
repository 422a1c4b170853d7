//! Streams inside one process, for tests and for masters without a socket.

use std::io;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use super::{AcceptError, Dial, Listen, Peer};
use crate::address::{Channel, MasterAddr};

/// How many streams may wait to be accepted.
const BACKLOG: usize = 1024;

/// A network of one master: its dialer, and the listeners of its publish and
/// request channels. Each direction of a stream holds at most `buffer` bytes.
///
/// ```
/// use salt_transport::{Channel, Dial, Listen, MasterAddr, memory};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (dial, _publish, mut request) = memory(64 * 1024);
/// let mut near = dial.dial(&MasterAddr::new("any"), Channel::Request).await?;
/// let (mut far, _peer) = request.accept().await?;
///
/// near.write_all(b"hello").await?;
/// let mut bytes = [0; 5];
/// far.read_exact(&mut bytes).await?;
/// assert_eq!(&bytes, b"hello");
/// # Ok(()) }
/// ```
pub fn memory(buffer: usize) -> (MemoryDial, Memory, Memory) {
    let (to_publish, publish) = mpsc::channel(BACKLOG);
    let (to_request, request) = mpsc::channel(BACKLOG);
    let dial = MemoryDial {
        publish: to_publish,
        request: to_request,
        buffer,
    };
    (
        dial,
        Memory { streams: publish },
        Memory { streams: request },
    )
}

/// Dials inside this process. Clones reach the same master, whatever the address.
#[derive(Clone, Debug)]
pub struct MemoryDial {
    publish: mpsc::Sender<DuplexStream>,
    request: mpsc::Sender<DuplexStream>,
    buffer: usize,
}

impl Dial for MemoryDial {
    type Stream = DuplexStream;

    async fn dial(&self, _master: &MasterAddr, channel: Channel) -> io::Result<DuplexStream> {
        let (near, far) = duplex(self.buffer);
        let to = match channel {
            Channel::Request => &self.request,
            Channel::Publish => &self.publish,
        };
        to.try_send(far)
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

/// Accepts what a [`MemoryDial`] dialed.
#[derive(Debug)]
pub struct Memory {
    streams: mpsc::Receiver<DuplexStream>,
}

impl Listen for Memory {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> Result<(DuplexStream, Peer), AcceptError> {
        let stream = self.streams.recv().await.ok_or(AcceptError::Closed)?;
        Ok((stream, Peer::new("memory")))
    }
}
