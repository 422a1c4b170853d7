//! Streams, dialers and listeners whose kind is chosen when the program runs.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{AcceptError, Dial, Listen, Peer};
use crate::address::{Channel, MasterAddr};
use crate::serve::lock;

/// What every stream can do.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

/// Some stream, behind a pointer.
pub struct AnyStream(Box<dyn Bytes>);

impl AnyStream {
    /// Forgets of which kind a stream is.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

impl std::fmt::Debug for AnyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyStream")
    }
}

impl AsyncRead for AnyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for AnyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The twin of [`Dial`] that can be held as "some dialer".
pub(crate) trait ErasedDial: Send + Sync + 'static {
    fn dial<'a>(
        &'a self,
        master: &'a MasterAddr,
        channel: Channel,
    ) -> Boxed<'a, io::Result<AnyStream>>;
}

impl<D: Dial> ErasedDial for D {
    fn dial<'a>(
        &'a self,
        master: &'a MasterAddr,
        channel: Channel,
    ) -> Boxed<'a, io::Result<AnyStream>> {
        Box::pin(async move {
            let stream = Dial::dial(self, master, channel).await?;
            Ok(AnyStream::new(stream))
        })
    }
}

/// Some dialer, for programs that learn from their configuration which.
#[derive(Clone)]
pub struct AnyDial(Arc<dyn ErasedDial>);

impl AnyDial {
    /// Forgets of which kind a dialer is.
    pub fn new(dial: impl Dial) -> Self {
        Self(Arc::new(dial))
    }

    /// Of a dialer for which something has to run. It runs as a task from the first dial on, and ends with the last
    /// clone.
    pub fn driven(dial: impl Dial, driver: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::new(Driven {
            dial,
            driver: Mutex::new(Some(Box::pin(driver))),
            running: Mutex::default(),
        })
    }
}

struct Driven<D> {
    dial: D,
    /// Until the first dial.
    driver: Mutex<Option<Boxed<'static, ()>>>,
    running: Mutex<JoinSet<()>>,
}

impl<D: Dial> Dial for Driven<D> {
    type Stream = D::Stream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<D::Stream> {
        if let Some(driver) = lock(&self.driver).take() {
            lock(&self.running).spawn(driver);
        }
        Dial::dial(&self.dial, master, channel).await
    }
}

impl std::fmt::Debug for AnyDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyDial")
    }
}

impl Dial for AnyDial {
    type Stream = AnyStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<AnyStream> {
        self.0.dial(master, channel).await
    }
}

type Accepted = Result<(AnyStream, Peer), AcceptError>;

/// How many accepted streams of one listener wait while others are handed up.
const WAITING: usize = 16;

type Start = dyn FnOnce(&mut JoinSet<()>) -> mpsc::Receiver<Accepted> + Send;

/// Accepts from several listeners at once: a relay, an overlay and loopback, say.
///
/// None of them waits for another, and each takes its turn. It has ended when all of them have.
///
/// ```
/// use salt_transport::{AnyOf, Channel, Dial, Listen, MasterAddr, memory};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (here, _, one) = memory(4096);
/// let (there, _, other) = memory(4096);
/// let mut both = AnyOf::new().and(one).and(other);
///
/// let _near = there.dial(&MasterAddr::new("any"), Channel::Request).await?;
/// let (_far, peer) = both.accept().await?;
/// assert_eq!(peer.to_string(), "memory");
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct AnyOf {
    /// Not asked yet: a listener is only driven while somebody accepts.
    fresh: Vec<Box<Start>>,
    running: VecDeque<mpsc::Receiver<Accepted>>,
    drivers: JoinSet<()>,
}

impl AnyOf {
    /// No listener yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    #[must_use]
    pub fn and(mut self, listener: impl Listen) -> Self {
        self.fresh.push(Box::new(|drivers| {
            let (sender, receiver) = mpsc::channel(WAITING);
            drivers.spawn(drive(listener, sender));
            receiver
        }));
        self
    }

    /// All of both. Neither has been asked yet.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.fresh.extend(other.fresh);
        self
    }
}

/// Hands on what a listener accepts, until it ends or nobody wants it.
async fn drive(mut listener: impl Listen, to: mpsc::Sender<Accepted>) {
    loop {
        let Ok(place) = to.reserve().await else {
            return;
        };
        match listener.accept().await {
            Err(AcceptError::Closed) => return,
            Err(error @ AcceptError::Exhausted(_)) => {
                place.send(Err(error));
                // Whoever accepts pauses too, but need not be asked first.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => place.send(Err(error)),
            Ok((stream, peer)) => place.send(Ok((AnyStream::new(stream), peer))),
        }
    }
}

impl std::fmt::Debug for AnyOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnyOf")
            .field("listeners", &(self.fresh.len() + self.running.len()))
            .finish_non_exhaustive()
    }
}

impl Listen for AnyOf {
    type Stream = AnyStream;

    async fn accept(&mut self) -> Accepted {
        for start in self.fresh.drain(..) {
            self.running.push_back(start(&mut self.drivers));
        }
        poll_fn(|cx| {
            let mut left = self.running.len();
            while left > 0 {
                left -= 1;
                let Some(mut next) = self.running.pop_front() else {
                    break;
                };
                match next.poll_recv(cx) {
                    Poll::Ready(Some(accepted)) => {
                        self.running.push_back(next);
                        return Poll::Ready(accepted);
                    }
                    Poll::Ready(None) => {}
                    Poll::Pending => self.running.push_back(next),
                }
            }
            if self.running.is_empty() {
                Poll::Ready(Err(AcceptError::Closed))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{MemoryDial, memory};

    async fn dial(dial: &MemoryDial) -> tokio::io::DuplexStream {
        let any = MasterAddr::new("any");
        Dial::dial(dial, &any, Channel::Request).await.unwrap()
    }

    #[tokio::test]
    async fn each_listener_takes_its_turn_and_the_end_is_when_all_have_ended() {
        let (first, first_publish, one) = memory(64);
        let (second, second_publish, other) = memory(64);
        drop((first_publish, second_publish));
        let mut both = AnyOf::new().and(one).and(other);

        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(dial(&first).await);
            kept.push(dial(&second).await);
        }
        for _ in 0..6 {
            both.accept().await.unwrap();
        }
        drop(first);
        kept.push(dial(&second).await);
        both.accept().await.unwrap();
        drop(second);

        assert!(matches!(both.accept().await, Err(AcceptError::Closed)));
    }
}
