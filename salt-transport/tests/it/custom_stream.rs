//! What every stream must do for the wires to work over it, and a stream of one's own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use salt_transport::{
    AcceptError, Channel, Dial, Listen, MasterAddr, Memory, MemoryDial, Peer, RequestChannel,
    ServeLimits, Tcp, Unix, memory,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use crate::support::{WIRES, ask, echo, soon, tcp};

#[tokio::test]
async fn the_streams_we_ship_behave() {
    let (dial, _publish, request) = memory(4096);
    suite(dial, request, MasterAddr::new("any")).await;

    let (listener, master) = tcp().await;
    suite(Tcp, listener, master).await;

    let dir = std::env::temp_dir().join(format!("salt-s-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = Unix::path(&dir, Channel::Request);
    let listener = Unix::bind(&path, 0o600).await.unwrap();
    suite(Unix, listener, MasterAddr::new(dir.to_str().unwrap())).await;
    std::fs::remove_dir_all(&dir).unwrap();
}

/// To be run over any pair of [`Dial`] and [`Listen`].
async fn suite(dial: impl Dial, mut listen: impl Listen, master: MasterAddr) {
    let mut pair = async || {
        let (near, far) = tokio::join!(dial.dial(&master, Channel::Request), listen.accept());
        (near.unwrap(), far.unwrap().0)
    };

    // In order, whole, both ways at once.
    let (near, far) = pair().await;
    let there: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    let back: Vec<u8> = there.iter().rev().copied().collect();
    let (sent, received) = soon(async { tokio::join!(both(near, &there), both(far, &back)) }).await;
    assert!(sent == back && received == there);

    // One half ends, the other goes on.
    let (mut near, mut far) = pair().await;
    near.write_all(b"last words").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(far.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"last words");
    far.write_all(b"answer").await.unwrap();
    let mut answer = [0; 6];
    soon(near.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"answer");

    // A dropped stream is noticed by who reads and by who writes.
    let (near, mut far) = pair().await;
    drop(near);
    let ended = tokio::time::timeout(Duration::from_secs(5), far.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))));
    let failed = soon(async {
        loop {
            if let Err(error) = far.write_all(&[0; 1024]).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    let _any_kind = failed.await;

    // Who does not read stops who writes.
    let (mut near, far) = pair().await;
    let endless = async {
        loop {
            near.write_all(&[0; 65_536]).await.unwrap();
        }
    };
    let stopped = tokio::time::timeout(Duration::from_millis(200), endless).await;
    assert!(stopped.is_err());
    drop(far);
}

async fn both(stream: impl AsyncRead + AsyncWrite, send: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = async {
        write.write_all(send).await.unwrap();
        write.flush().await.unwrap();
    };
    let mut received = vec![0; send.len()];
    let receiving = read.read_exact(&mut received);
    let ((), received_all) = tokio::join!(sending, receiving);
    received_all.unwrap();
    received
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
