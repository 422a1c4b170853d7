//! What every stream must do for the wires to work over it, and a stream of one's own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use salt_transport::{
    AcceptError, AnyDial, AnyOf, Channel, Dial, Limited, Listen, MasterAddr, Memory, MemoryDial,
    Peer, RequestChannel, ServeLimits, Tcp, Unix, WithTimeout, check_streams, memory,
};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf,
};

use crate::support::{WIRES, ask, echo, soon, tcp};

#[tokio::test]
async fn the_streams_we_ship_behave() {
    let (dial, _publish, request) = memory(4096);
    behaves(dial, request, &MasterAddr::new("any")).await;

    let (listener, master) = tcp().await;
    behaves(Tcp, listener, &master).await;

    let dir = std::env::temp_dir().join(format!("salt-s-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = Unix::path(&dir, Channel::Request);
    let listener = Unix::bind(&path, 0o600).await.unwrap();
    behaves(Unix, listener, &MasterAddr::new(dir.to_str().unwrap())).await;
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn adaptors_behave_as_what_is_beneath() {
    let (dial, _publish, request) = memory(4096);
    let (other, _, _) = memory(4096);
    let listener = WithTimeout::new(Limited::new(AnyOf::new().and(request), 8, 8));
    drop(other);
    let dial = AnyDial::new(WithTimeout::new(dial));
    behaves(dial, listener, &MasterAddr::new("any")).await;
}

async fn behaves(dial: impl Dial, listen: impl Listen, master: &MasterAddr) {
    if let Err(error) = check_streams(dial, listen, master).await {
        panic!("{error}");
    }
}

/// A stream that gets something wrong on purpose.
struct Wrong<L>(L);

impl<L: Listen> Listen for Wrong<L> {
    type Stream = tokio::io::Join<tokio::io::Take<ReadHalf<L::Stream>>, WriteHalf<L::Stream>>;

    async fn accept(&mut self) -> Result<(Self::Stream, Peer), AcceptError> {
        let (stream, peer) = self.0.accept().await?;
        let (read, write) = tokio::io::split(stream);
        Ok((tokio::io::join(read.take(1000), write), peer))
    }
}

#[tokio::test]
async fn a_stream_that_loses_bytes_does_not_pass() {
    let (dial, _publish, request) = memory(4096);
    let error = check_streams(dial, Wrong(request), &MasterAddr::new("any"))
        .await
        .unwrap_err();
    assert_eq!(
        error.rule,
        "bytes arrive whole and in order, both ways at once"
    );
}

/// A stream of one's own: it moves three bytes at a time and stutters.
struct Stutter {
    inner: DuplexStream,
    readable: bool,
    writable: bool,
}

impl Stutter {
    fn new(inner: DuplexStream) -> Self {
        Self {
            inner,
            readable: true,
            writable: true,
        }
    }
}

impl AsyncRead for Stutter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.readable = !self.readable;
        if !self.readable {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut few = [0; 3];
        let mut piece = ReadBuf::new(&mut few);
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut piece);
        buffer.put_slice(piece.filled());
        read
    }
}

impl AsyncWrite for Stutter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writable = !self.writable;
        if !self.writable {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let few = &bytes[..bytes.len().min(3)];
        Pin::new(&mut self.inner).poll_write(cx, few)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct StutterDial(MemoryDial);
struct StutterListen(Memory);

impl Dial for StutterDial {
    type Stream = Stutter;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Stutter> {
        let inner = Dial::dial(&self.0, master, channel).await?;
        Ok(Stutter::new(inner))
    }
}

impl Listen for StutterListen {
    type Stream = Stutter;

    async fn accept(&mut self) -> Result<(Stutter, Peer), AcceptError> {
        let (inner, peer) = self.0.accept().await?;
        Ok((Stutter::new(inner), peer))
    }
}

#[tokio::test]
async fn both_wires_run_over_a_stream_of_ones_own() {
    for wire in WIRES {
        let (dial, _publish, request) = memory(100);
        let _server = echo(StutterListen(request), wire, ServeLimits::default());
        let channel = RequestChannel::new(StutterDial(dial), MasterAddr::new("any"), wire);

        for len in [0, 1, 300, 5_000] {
            soon(ask(&channel, &"z".repeat(len))).await;
        }
    }
}
