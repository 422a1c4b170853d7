//! Streams over a child process's input and output: here a shell on another host.
//!
//! The pattern serves any program that carries bytes, a serial line or a container's `exec` as well.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use salt_transport::{Channel, Dial, MasterAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Runs `ssh HOST salt-tunnel pipe CHANNEL` for each stream.
#[derive(Clone, Debug)]
pub(super) struct Ssh {
    host: String,
}

impl Ssh {
    pub(super) fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
        }
    }
}

impl Dial for Ssh {
    type Stream = ChildStream;

    async fn dial(&self, _master: &MasterAddr, channel: Channel) -> io::Result<ChildStream> {
        let channel = match channel {
            Channel::Request => "request",
            Channel::Publish => "publish",
        };
        let mut command = Command::new("ssh");
        command
            // Nobody is there to type a password, and a dead connection must be noticed.
            .args(["-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15"])
            .args(["--", &self.host, "salt-tunnel", "pipe", channel]);
        ChildStream::spawn(command)
    }
}

/// What a child process reads and writes. The child is killed when this is dropped.
#[derive(Debug)]
pub(super) struct ChildStream {
    /// `None` once it was told the end.
    input: Option<ChildStdin>,
    output: ChildStdout,
    _child: Child,
}

impl ChildStream {
    fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        };
        Ok(Self {
            input: Some(input),
            output,
            _child: child,
        })
    }
}

impl AsyncRead for ChildStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ChildStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(input) = &mut self.input {
            std::task::ready!(Pin::new(input).poll_shutdown(cx))?;
        }
        // Closing the pipe is what the child sees.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use salt_transport::{AcceptError, Listen, Peer, check_streams};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// `socat` is not on every machine, but `sh` is: the child is a shell that copies its input to a socket and back.
    struct Copier(std::path::PathBuf);

    impl Dial for Copier {
        type Stream = ChildStream;

        async fn dial(&self, _: &MasterAddr, _: Channel) -> io::Result<ChildStream> {
            let mut command = Command::new("python3");
            command.args(["-c", COPIER]).arg(&self.0);
            ChildStream::spawn(command)
        }
    }

    const COPIER: &str = "
import os, socket, sys, threading
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
def there():
    while data := os.read(0, 65536):
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
threading.Thread(target=there, daemon=True).start()
while data := peer.recv(65536):
    while data:
        data = data[os.write(1, data):]
";

    struct Socket(UnixListener);

    impl Listen for Socket {
        type Stream = UnixStream;

        async fn accept(&mut self) -> Result<(UnixStream, Peer), AcceptError> {
            let (stream, _) = self.0.accept().await?;
            Ok((stream, Peer::new("child")))
        }
    }

    #[tokio::test]
    async fn a_child_process_is_a_stream() {
        let dir = std::env::temp_dir().join(format!("salt-child-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let listener = Socket(UnixListener::bind(&path).unwrap());

        let checked = check_streams(Copier(path), listener, &MasterAddr::new("any")).await;

        std::fs::remove_dir_all(&dir).unwrap();
        checked.unwrap();
    }
}
