//! What can be put over any dialer or listener: deadlines, limits, an allow-list.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{AcceptError, Dial, Listen, Peer};
use crate::address::{Channel, MasterAddr};
use crate::serve::{lock, source};

/// A deadline for the beginning.
///
/// Over a dialer: for each dial. Over a listener: a stream whose peer has said nothing for so long after it was
/// accepted fails with [`io::ErrorKind::TimedOut`]; once a byte has come there is no deadline any more.
#[derive(Clone, Copy, Debug)]
pub struct WithTimeout<T> {
    inner: T,
    limit: Duration,
}

impl<T> WithTimeout<T> {
    /// The deadline that is usual: 10 s.
    pub fn new(inner: T) -> Self {
        Self::of(inner, Duration::from_secs(10))
    }

    /// A deadline of one's own.
    pub fn of(inner: T, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<D: Dial> Dial for WithTimeout<D> {
    type Stream = D::Stream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<D::Stream> {
        tokio::time::timeout(self.limit, self.inner.dial(master, channel))
            .await
            .unwrap_or_else(|_late| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no connection to {master} within {:?}", self.limit),
                ))
            })
    }
}

impl<L: Listen> Listen for WithTimeout<L> {
    type Stream = FirstByte<L::Stream>;

    async fn accept(&mut self) -> Result<(Self::Stream, Peer), AcceptError> {
        let (stream, peer) = self.inner.accept().await?;
        let deadline = Some(Box::pin(tokio::time::sleep(self.limit)));
        Ok((FirstByte { stream, deadline }, peer))
    }
}

/// A stream whose first byte has to come in time: what [`WithTimeout`] accepts.
#[derive(Debug)]
pub struct FirstByte<S> {
    stream: S,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstByte<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.deadline = None;
        }
        if read.is_pending()
            && let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer said nothing in time",
            )));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstByte<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Hands up only streams of peers whose [principal](Peer::principal) is allowed by name.
///
/// A stream without a principal is dropped like one with a name that is not allowed. A listener that names nobody,
/// such as plain TCP, lets nobody in then.
pub struct Named<L> {
    inner: L,
    allowed: Box<dyn Fn(&str) -> bool + Send>,
}

impl<L: Listen> Named<L> {
    /// `allowed` is asked for each name: a set's `contains`, or a rule.
    pub fn new(inner: L, allowed: impl Fn(&str) -> bool + Send + 'static) -> Self {
        Self {
            inner,
            allowed: Box::new(allowed),
        }
    }
}

impl<L: std::fmt::Debug> std::fmt::Debug for Named<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Named").field(&self.inner).finish()
    }
}

impl<L: Listen> Listen for Named<L> {
    type Stream = L::Stream;

    async fn accept(&mut self) -> Result<(L::Stream, Peer), AcceptError> {
        let (stream, peer) = self.inner.accept().await?;
        match peer.name() {
            Some(name) if (self.allowed)(name) => Ok((stream, peer)),
            Some(_) => Err(refused(&peer, "its name is not allowed")),
            None => Err(refused(&peer, "nobody vouches for its name")),
        }
    }
}

fn refused(peer: &Peer, why: &str) -> AcceptError {
    AcceptError::Peer(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{peer}: {why}"),
    ))
}

/// Hands up only so many streams at a time, in all and for each peer.
///
/// A peer is counted by its principal, or by its address, or with all that have neither. A stream counts until it
/// is dropped. Who signed in is not known here: limits for those who have not are [`ServeLimits`](crate::ServeLimits).
#[derive(Debug)]
pub struct Limited<L> {
    inner: L,
    max: usize,
    max_per_peer: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

impl<L: Listen> Limited<L> {
    /// At most `max` streams, and `max_per_peer` for one peer. What is beyond is dropped at once.
    pub fn new(inner: L, max: usize, max_per_peer: usize) -> Self {
        Self {
            inner,
            max,
            max_per_peer,
            open: Arc::default(),
        }
    }
}

impl<L: Listen> Listen for Limited<L> {
    type Stream = Counted<L::Stream>;

    async fn accept(&mut self) -> Result<(Self::Stream, Peer), AcceptError> {
        let (stream, peer) = self.inner.accept().await?;
        let who = match (&peer.principal, peer.address) {
            (Some(principal), _) => principal.to_string(),
            (None, Some(address)) => source(address).to_string(),
            (None, None) => String::new(),
        };
        let mut open = lock(&self.open);
        if open.values().sum::<usize>() >= self.max {
            return Err(refused(&peer, "too many streams are open"));
        }
        let of_this = open.entry(who.clone()).or_default();
        if *of_this >= self.max_per_peer {
            return Err(refused(&peer, "too many of its streams are open"));
        }
        *of_this += 1;
        drop(open);
        let place = Place {
            who,
            open: Arc::clone(&self.open),
        };
        Ok((
            Counted {
                stream,
                _place: place,
            },
            peer,
        ))
    }
}

/// A stream that is counted while it lives: what [`Limited`] accepts.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    who: String,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::stream::{MemoryDial, Principal, memory};

    /// Calls every peer by a name.
    struct Vouched<L>(L, &'static str);

    impl<L: Listen> Listen for Vouched<L> {
        type Stream = L::Stream;

        async fn accept(&mut self) -> Result<(L::Stream, Peer), AcceptError> {
            let (stream, peer) = self.0.accept().await?;
            let principal = Principal::Overlay {
                name: self.1.to_owned(),
                id: "1".to_owned(),
            };
            Ok((stream, peer.with_principal(principal)))
        }
    }

    async fn dial(dial: &MemoryDial) -> DuplexStream {
        let any = MasterAddr::new("any");
        Dial::dial(dial, &any, Channel::Request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_dropped_and_who_spoke_may_be_silent() {
        let (dialer, _publish, request) = memory(64);
        let mut listener = WithTimeout::new(request);
        let (_silent, mut speaker) = (dial(&dialer).await, dial(&dialer).await);
        let (mut first, _) = listener.accept().await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();

        let error = first.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        speaker.write_all(b"x").await.unwrap();
        second.read_u8().await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_secs(3600), second.read_u8()).await;
        assert!(waiting.is_err(), "no deadline after the first byte");
    }

    #[tokio::test]
    async fn only_names_that_are_allowed_are_handed_up() {
        let (dialer, _publish, request) = memory(64);
        let _near = dial(&dialer).await;
        let mut listener = Named::new(request, |_| true);
        assert!(matches!(listener.accept().await, Err(AcceptError::Peer(_))));

        for (name, allowed) in [("web-01", true), ("web-02", false)] {
            let (dialer, _publish, request) = memory(64);
            let _near = dial(&dialer).await;
            let mut listener = Named::new(Vouched(request, name), |name| name == "web-01");
            assert_eq!(listener.accept().await.is_ok(), allowed, "{name}");
        }
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_the_stream_is_dropped() {
        let (dialer, _publish, request) = memory(64);
        let mut listener = Limited::new(Vouched(request, "web-01"), 8, 2);
        let _near = [
            dial(&dialer).await,
            dial(&dialer).await,
            dial(&dialer).await,
            dial(&dialer).await,
        ];

        let first = listener.accept().await.unwrap();
        let _second = listener.accept().await.unwrap();
        assert!(matches!(listener.accept().await, Err(AcceptError::Peer(_))));
        drop(first);
        assert!(listener.accept().await.is_ok());
    }
}
