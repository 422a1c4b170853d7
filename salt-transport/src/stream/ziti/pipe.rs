//! One connection as the application sees it: bytes in, bytes out, and how it ended.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// What one connection may hold of what the application did not read yet.
pub(crate) const INBOX: usize = 1 << 20;
/// The same before the application took the connection (N-04).
pub(crate) const UNACCEPTED: usize = 16 * 1024;
/// What a message costs besides its bytes.
const EACH: usize = 128;
/// What one connection may hold of what was not sent yet.
const OUTBOX: usize = 64 * 1024;

/// Which connections of a router have something to do.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    queue: Mutex<VecDeque<u32>>,
    notify: Notify,
}

impl Ready {
    pub(crate) fn push(&self, id: u32) {
        locked(&self.queue).push_back(id);
        self.notify.notify_one();
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        locked(&self.queue).pop_front()
    }

    /// Waits until something may have changed.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

/// A lock whose holder never panics half-way through a change.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How receiving ended.
#[derive(Clone, Debug)]
enum End {
    /// The peer has said everything.
    Said,
    /// It broke.
    Broken(io::ErrorKind, String),
}

impl End {
    fn error(&self) -> io::Error {
        match self {
            Self::Said => io::ErrorKind::BrokenPipe.into(),
            Self::Broken(kind, why) => io::Error::new(*kind, why.clone()),
        }
    }
}

#[derive(Debug)]
struct State {
    inbox: VecDeque<Bytes>,
    held: usize,
    limit: usize,
    received: Option<End>,
    outbox: BytesMut,
    /// The application shut its direction down.
    closing: bool,
    /// The peer was told so.
    finished: bool,
    /// Nothing can be sent any more.
    gone: Option<End>,
    dropped: bool,
    queued: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What is shared between the application's [`Stream`] and the router's channel.
#[derive(Debug)]
pub(crate) struct Pipe {
    id: u32,
    ready: Arc<Ready>,
    state: Mutex<State>,
}

/// What the channel finds when it looks for something to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Nothing,
    Text(BytesMut),
    /// The end of our direction.
    Finish,
    /// The application let go of the connection.
    Close,
}

impl Pipe {
    pub(crate) fn new(id: u32, ready: Arc<Ready>, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            ready,
            state: Mutex::new(State {
                inbox: VecDeque::new(),
                held: 0,
                limit,
                received: None,
                outbox: BytesMut::new(),
                closing: false,
                finished: false,
                gone: None,
                dropped: false,
                queued: false,
                reader: None,
                writer: None,
            }),
        })
    }

    /// Puts the connection among those with something to do.
    fn mark(&self, state: &mut State) {
        if !std::mem::replace(&mut state.queued, true) {
            self.ready.push(self.id);
        }
    }

    /// Takes at most `max` bytes to send. The connection has to be asked until there is nothing.
    pub(crate) fn take(&self, max: usize) -> Outgoing {
        let mut state = locked(&self.state);
        if !state.outbox.is_empty() {
            let count = state.outbox.len().min(max);
            let text = state.outbox.split_to(count);
            wake(&mut state.writer);
            return Outgoing::Text(text);
        }
        if state.dropped {
            return Outgoing::Close;
        }
        if state.closing && !state.finished {
            state.finished = true;
            wake(&mut state.writer);
            return Outgoing::Finish;
        }
        state.queued = false;
        Outgoing::Nothing
    }

    /// Hands the application what came.
    pub(crate) fn deliver(&self, texts: Vec<Bytes>, end: bool) {
        let mut state = locked(&self.state);
        if state.dropped {
            return;
        }
        for text in texts {
            state.held = state.held.saturating_add(text.len() + EACH);
            state.inbox.push_back(text);
        }
        if end && state.received.is_none() {
            state.received = Some(End::Said);
        }
        wake(&mut state.reader);
    }

    /// Holds more than it should.
    pub(crate) fn is_full(&self) -> bool {
        let state = locked(&self.state);
        !state.dropped && state.held > state.limit
    }

    /// The application has taken the connection.
    fn accepted(&self) {
        locked(&self.state).limit = INBOX;
        self.ready.notify.notify_one();
    }

    /// The peer ended the connection as it should.
    pub(crate) fn closed(&self) {
        self.end(End::Said);
    }

    /// The connection broke. What was received before is still delivered.
    pub(crate) fn broken(&self, kind: io::ErrorKind, why: &str) {
        self.end(End::Broken(kind, why.to_owned()));
    }

    fn end(&self, end: End) {
        let mut state = locked(&self.state);
        if state.gone.is_some() {
            return;
        }
        state.outbox.clear();
        state.gone = Some(end.clone());
        state.received.get_or_insert(end);
        wake(&mut state.reader);
        wake(&mut state.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// A connection over an overlay.
///
/// A connection that breaks is an error for whoever reads, never an end of the stream.
pub struct Stream {
    pipe: Arc<Pipe>,
    /// The driver goes on while there are connections.
    _driver: Arc<dyn Send + Sync>,
}

impl Stream {
    pub(crate) fn new(pipe: Arc<Pipe>, driver: Arc<dyn Send + Sync>) -> Self {
        Self {
            pipe,
            _driver: driver,
        }
    }

    pub(crate) fn accepted(&self) {
        self.pipe.accepted();
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.pipe.id)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let pipe = &self.pipe;
        let mut state = locked(&pipe.state);
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if state.inbox.is_empty() {
            return match &state.received {
                Some(End::Said) => Poll::Ready(Ok(())),
                Some(broken) => Poll::Ready(Err(broken.error())),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let was_full = state.held > state.limit;
        while let Some(first) = state.inbox.front_mut() {
            let count = first.len().min(buffer.remaining());
            if count == 0 {
                break;
            }
            buffer.put_slice(&first.split_to(count));
            let whole = !first.has_remaining();
            state.held = state.held.saturating_sub(count);
            if whole {
                state.inbox.pop_front();
                state.held = state.held.saturating_sub(EACH);
            }
        }
        if was_full && state.held <= state.limit {
            pipe.ready.notify.notify_one();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = locked(&self.pipe.state);
        if let Some(gone) = &state.gone {
            return Poll::Ready(Err(gone.error()));
        }
        if state.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = OUTBOX.saturating_sub(state.outbox.len());
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        state.outbox.extend_from_slice(taken);
        self.pipe.mark(&mut state);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = locked(&self.pipe.state);
        if state.outbox.is_empty() {
            return match &state.gone {
                Some(gone @ End::Broken(..)) => Poll::Ready(Err(gone.error())),
                _ => Poll::Ready(Ok(())),
            };
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = locked(&self.pipe.state);
        if state.finished || state.gone.is_some() {
            return Poll::Ready(Ok(()));
        }
        state.closing = true;
        self.pipe.mark(&mut state);
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = locked(&self.pipe.state);
        state.dropped = true;
        state.inbox.clear();
        state.held = 0;
        self.pipe.mark(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pair() -> (Arc<Pipe>, Stream) {
        let pipe = Pipe::new(1, Arc::new(Ready::default()), INBOX);
        let stream = Stream::new(Arc::clone(&pipe), Arc::new(()));
        (pipe, stream)
    }

    #[tokio::test]
    async fn what_came_before_a_break_is_delivered_and_then_the_break() {
        let (pipe, mut stream) = pair();
        pipe.deliver(vec![Bytes::from_static(b"hello")], false);
        pipe.broken(io::ErrorKind::ConnectionReset, "gone");
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        let error = stream.read(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(stream.write_all(b"x").await.is_err());
    }

    #[tokio::test]
    async fn writes_wait_when_nobody_sends() {
        let (pipe, mut stream) = pair();
        stream.write_all(&[7; OUTBOX]).await.unwrap();
        let more = tokio::time::timeout(std::time::Duration::from_millis(5), stream.write(&[7]));
        assert!(more.await.is_err());
        assert!(matches!(pipe.take(10), Outgoing::Text(text) if text.len() == 10));
        assert_eq!(stream.write(&[7; 20]).await.unwrap(), 10);
    }

    #[tokio::test]
    async fn the_rest_is_sent_before_a_dropped_stream_is_closed() {
        let (pipe, mut stream) = pair();
        stream.write_all(b"last").await.unwrap();
        drop(stream);
        assert_eq!(pipe.take(100), Outgoing::Text(b"last"[..].into()));
        assert_eq!(pipe.take(100), Outgoing::Close);
    }

    #[tokio::test]
    async fn a_connection_that_nobody_took_holds_little() {
        let pipe = Pipe::new(1, Arc::new(Ready::default()), UNACCEPTED);
        let stream = Stream::new(Arc::clone(&pipe), Arc::new(()));
        pipe.deliver(vec![vec![0; UNACCEPTED + 1].into()], false);
        assert!(pipe.is_full());
        stream.accepted();
        assert!(!pipe.is_full());
    }
}
