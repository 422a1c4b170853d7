//! Framings, and the pump between a stream and one of them.

mod tcp;
mod zeromq;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use salt_proto::frame;
use salt_proto::zmtp::{self, Heartbeat};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::error::Error;
use crate::stream::AnyStream;

/// Which framing runs on a stream: Salt's `transport` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// ZMTP 3.1, Salt's default.
    #[default]
    Zeromq,
    /// Salt's own MessagePack framing.
    Tcp,
}

/// What one end of a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends requests, one at a time.
    Requester,
    /// Answers requests.
    Responder,
    /// Sends publications.
    Publisher,
    /// Receives publications.
    Subscriber,
}

/// How an end behaves.
#[derive(Clone, Debug)]
pub(crate) struct EndConfig {
    pub(crate) wire: Wire,
    pub(crate) role: Role,
    pub(crate) identity: Bytes,
    pub(crate) max_message: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// How long written bytes may wait for a peer that does not read.
    pub(crate) drain_timeout: Duration,
    /// Nothing is read from a peer while this much waits to be written to it.
    pub(crate) read_until_queued: usize,
}

impl EndConfig {
    pub(crate) fn new(wire: Wire, role: Role) -> Self {
        Self {
            wire,
            role,
            identity: Bytes::new(),
            max_message: 100 << 20,
            handshake_timeout: Duration::from_secs(30),
            heartbeat: None,
            drain_timeout: Duration::from_secs(30),
            read_until_queued: 1 << 20,
        }
    }
}

/// What arrived on a connection, whatever its framing.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Messages may be sent now.
    Ready,
    /// Something to answer, and where the answer goes.
    Request(ReplyTo, Bytes),
    /// The answer to the request in flight.
    Reply(Bytes),
    /// A publication, with its topic if it has one.
    Publication(Option<Bytes>, Bytes),
    /// A subscriber wants what begins with this.
    Subscribe(Bytes),
    /// A subscriber no longer wants it.
    Cancel(Bytes),
    /// A subscriber says who it is (`tcp` wire), sealed.
    Announce(Bytes),
    /// Nothing more will come.
    Closed(Error),
}

/// What a reply repeats of its request.
#[derive(Clone, Debug)]
pub(crate) enum ReplyTo {
    /// The single empty frame of a REQ.
    Delimiter,
    /// The frames before and including the delimiter, as others send them.
    Frames(Vec<Bytes>),
    /// The head with the message id.
    Head(Bytes),
}

/// The machine of either framing.
#[derive(Debug)]
enum Machine {
    Zeromq(zeromq::End),
    Tcp(Box<tcp::End>),
}

macro_rules! either {
    ($machine:expr, $end:ident => $do:expr) => {
        match $machine {
            Machine::Zeromq($end) => $do,
            Machine::Tcp($end) => $do,
        }
    };
}

/// The bytes of one publication, made once for all subscribers of a wire.
pub(crate) fn encode_publication(wire: Wire, topic: Option<&[u8]>, body: &Bytes) -> Bytes {
    match (wire, topic) {
        (Wire::Zeromq, None) => zmtp::encode_message(std::slice::from_ref(body)),
        (Wire::Zeromq, Some(topic)) => {
            zmtp::encode_message(&[Bytes::copy_from_slice(topic), body.clone()])
        }
        (Wire::Tcp, _) => frame::encode_publication(body),
    }
}

/// Bytes of unfinished messages, shared by all connections of a server.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit,
        })
    }
}

/// One connection's share of a [`Budget`].
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Share {
    /// Up to this much is held without asking, so that small messages always pass.
    const FREE: usize = 64 * 1024;

    /// Whether the connection may hold this much now.
    fn hold(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(Self::FREE);
        if bytes > self.held {
            let more = bytes - self.held;
            let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
            self.held = bytes;
            before + more <= self.budget.limit
        } else {
            self.budget
                .used
                .fetch_sub(self.held - bytes, Ordering::Relaxed);
            self.held = bytes;
            true
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// A stream with its machine.
///
/// All of its state is in the struct and none in a future, so every wait may
/// be dropped and begun again: half a frame is neither lost nor sent twice.
pub(crate) struct Conn<S = AnyStream> {
    stream: S,
    machine: Machine,
    out: VecDeque<Bytes>,
    out_len: usize,
    unflushed: bool,
    /// Input the machine did not take because events were waiting.
    rest: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
    write_by: Option<Instant>,
    drain_timeout: Duration,
    read_until_queued: usize,
    share: Option<Share>,
    paused: bool,
    ended: bool,
}

/// How much is read at once. It lives on the stack of one call, so that an idle
/// connection holds no buffer.
const READ: usize = 16 * 1024;
/// How many pieces are written at once.
const PIECES: usize = 32;

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub(crate) fn new(stream: S, config: EndConfig, budget: Option<Arc<Budget>>) -> Self {
        let now = now();
        let drain_timeout = config.drain_timeout;
        let read_until_queued = config.read_until_queued;
        let machine = match config.wire {
            Wire::Zeromq => Machine::Zeromq(zeromq::End::new(config, now)),
            Wire::Tcp => Machine::Tcp(Box::new(tcp::End::new(config, now))),
        };
        Self {
            stream,
            machine,
            out: VecDeque::new(),
            out_len: 0,
            unflushed: false,
            rest: Bytes::new(),
            sleep: None,
            write_by: None,
            drain_timeout,
            read_until_queued,
            share: budget.map(|budget| Share { budget, held: 0 }),
            paused: false,
            ended: false,
        }
    }

    /// Stops taking anything from the peer, while writing goes on; or takes it up again.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Waits for the next thing to arrive, writing and keeping time meanwhile.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            if !self.paused
                && let Some(event) = either!(&mut self.machine, end => end.poll_event())
            {
                if matches!(event, Incoming::Closed(_)) {
                    self.ended = true;
                    // What a machine says at its end is a courtesy; nobody waits for it.
                    let _written = self.poll_write(cx);
                }
                return Poll::Ready(event);
            }
            if self.ended {
                return Poll::Ready(Incoming::Closed(Error::Closed));
            }
            if !self.paused && !self.rest.is_empty() {
                let rest = std::mem::take(&mut self.rest);
                if let Err(error) = self.feed(&rest) {
                    return self.end(error);
                }
                continue;
            }
            match self.poll_write(cx) {
                Poll::Ready(Err(error)) => return self.end(Error::io("writing")(error)),
                Poll::Ready(Ok(())) => self.write_by = None,
                Poll::Pending => {
                    self.write_by
                        .get_or_insert_with(|| now() + self.drain_timeout);
                }
            }
            if let Some(at) = self.poll_sleep(cx) {
                if self.write_by.is_some_and(|by| by <= at) {
                    return self.end(Error::TimedOut);
                }
                either!(&mut self.machine, end => end.handle_timeout(at));
                continue;
            }
            if self.paused || self.queued() > self.read_until_queued {
                return Poll::Pending;
            }
            if let Err(error) = ready!(self.poll_read(cx)) {
                return self.end(error);
            }
        }
    }

    /// Writes what is queued without waiting.
    ///
    /// `false` means that something is left: the task that owns the connection
    /// has to be woken, because this call registered nobody else's waker.
    pub(crate) fn write_now(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // An error shows again at the owner's next write, which then ends the connection.
        matches!(self.poll_write(&mut cx), Poll::Ready(Ok(())))
    }

    /// Writes everything that is queued, then ends our direction.
    pub(crate) async fn shutdown(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await
    }

    /// Sends a request; its reply is the next [`Incoming::Reply`].
    pub(crate) fn request(&mut self, body: &Bytes) {
        either!(&mut self.machine, end => end.request(body));
    }

    pub(crate) fn reply(&mut self, to: &ReplyTo, body: &Bytes) {
        either!(&mut self.machine, end => end.reply(to, body));
    }

    /// Queues bytes that [`encode_publication`] made.
    pub(crate) fn publish(&mut self, encoded: Bytes) {
        either!(&mut self.machine, end => end.publish(encoded));
    }

    pub(crate) fn subscribe(&mut self, topic: &[u8]) {
        either!(&mut self.machine, end => end.subscribe(topic));
    }

    /// Says who we are, on the publish channel of the `tcp` wire.
    pub(crate) fn announce(&mut self, body: &Bytes) {
        either!(&mut self.machine, end => end.announce(body));
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.out_len + either!(&self.machine, end => end.queued())
    }

    /// Pieces that wait to be written; a publication is one.
    pub(crate) fn queued_pieces(&self) -> usize {
        self.out.len() + either!(&self.machine, end => end.queued_pieces())
    }

    fn end(&mut self, error: Error) -> Poll<Incoming> {
        self.ended = true;
        self.share = None;
        self.rest = Bytes::new();
        Poll::Ready(Incoming::Closed(error))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))
            .map_err(Error::io("reading"))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Err(Error::Closed));
        }
        Poll::Ready(self.feed(buffer.filled()))
    }

    fn feed(&mut self, input: &[u8]) -> Result<(), Error> {
        let taken = either!(&mut self.machine, end => end.handle_input(input, now()));
        if let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            self.rest = Bytes::copy_from_slice(rest);
        }
        let held = either!(&self.machine, end => end.held());
        if self.share.as_mut().is_none_or(|share| share.hold(held)) {
            Ok(())
        } else {
            Err(Error::Limit("unfinished messages"))
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.out.len() < PIECES {
                let Some(piece) = either!(&mut self.machine, end => end.poll_transmit()) else {
                    break;
                };
                self.out_len += piece.len();
                if !piece.is_empty() {
                    self.out.push_back(piece);
                }
            }
            if self.out.is_empty() {
                if self.unflushed {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                    self.unflushed = false;
                }
                if self.out.capacity() > PIECES {
                    self.out = VecDeque::new();
                }
                return Poll::Ready(Ok(()));
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let pieces = slices.len().min(self.out.len());
            for (slice, piece) in slices.iter_mut().zip(&self.out) {
                *slice = IoSlice::new(piece);
            }
            let slices = slices.get(..pieces).unwrap_or_default();
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.write_by = None;
            self.wrote(written);
        }
    }

    fn wrote(&mut self, mut written: usize) {
        self.out_len = self.out_len.saturating_sub(written);
        while let Some(piece) = self.out.front_mut() {
            if piece.len() > written {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.out.pop_front();
        }
    }

    /// The present moment, if something is due.
    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let machine = either!(&self.machine, end => end.poll_timeout());
        let Some(at) = [machine, self.write_by].into_iter().flatten().min() else {
            self.sleep = None;
            return None;
        };
        let deadline = tokio::time::Instant::from_std(at);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if sleep.deadline() != deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Some(now().max(at)),
            Poll::Pending => None,
        }
    }
}

/// The runtime's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
