//! A relay that does what it should not, for tests. No outer TLS: it would be its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use salt_transport::rendezvous::{Frame, Refusal, Rendezvous, Ticket};
use salt_transport::{Channel, Listen as _, MasterAddr, Memory, MemoryDial, memory};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};

use super::{hear, say};
use crate::support::soon;

/// A relay of which every step is the test's.
pub(super) struct HostileRelay {
    listener: Memory,
    control: Option<DuplexStream>,
    tickets: u8,
}

impl HostileRelay {
    /// The relay, and the way to it.
    pub(super) fn new() -> (Self, Rendezvous<MemoryDial>) {
        let (dial, _publish, request) = memory(64 * 1024);
        let relay = Self {
            listener: request,
            control: None,
            tickets: 0,
        };
        (relay, Rendezvous::over(dial, [MasterAddr::new("hostile")]))
    }

    /// The next stream, and its first frame.
    pub(super) async fn next(&mut self) -> (DuplexStream, Frame) {
        let (mut stream, _) = soon(self.listener.accept()).await.unwrap();
        let frame = hear(&mut stream).await.unwrap();
        (stream, frame)
    }

    /// Takes a master in.
    pub(super) async fn registered(&mut self) {
        let (mut control, frame) = self.next().await;
        assert!(matches!(frame, Frame::Register { .. }), "{frame:?}");
        say(&mut control, &Frame::Registered).await;
        self.control = Some(control);
    }

    pub(super) async fn offer(&mut self, from: &str) {
        self.tickets += 1;
        let offer = Frame::Offer {
            ticket: Ticket::new([self.tickets; 32]),
            channel: Channel::Request,
            from: from.to_owned(),
        };
        say(self.control.as_mut().unwrap(), &offer).await;
    }

    /// A minion that asks.
    pub(super) async fn asked(&mut self) -> DuplexStream {
        let (stream, frame) = self.next().await;
        assert!(matches!(frame, Frame::Ask { .. }), "{frame:?}");
        stream
    }

    /// A data stream of the master, for a peer that the relay calls so.
    pub(super) async fn fetched(&mut self, from: &str) -> DuplexStream {
        self.offer(from).await;
        let (mut stream, frame) = self.next().await;
        assert!(matches!(frame, Frame::Take(_)), "{frame:?}");
        say(&mut stream, &Frame::Go).await;
        stream
    }

    /// Both halves of what should be a pair: the minion's and the master's.
    pub(super) async fn pair(&mut self) -> (DuplexStream, DuplexStream) {
        let mut minion = self.asked().await;
        let master = self.fetched("a minion").await;
        say(&mut minion, &Frame::Go).await;
        (minion, master)
    }

    /// Serves every pair, with something done to what passes.
    pub(super) async fn serve(mut self, passing: Passing) {
        let mut waiting = HashMap::new();
        while let Ok((mut stream, _)) = self.listener.accept().await {
            match hear(&mut stream).await {
                Some(Frame::Register { .. }) => {
                    say(&mut stream, &Frame::Registered).await;
                    self.control = Some(stream);
                }
                Some(Frame::Ask { .. }) if self.control.is_none() => {
                    say(&mut stream, &Frame::Refuse(Refusal::UnknownName)).await;
                }
                Some(Frame::Ask { channel, .. }) => {
                    self.tickets = self.tickets.wrapping_add(1);
                    let ticket = Ticket::new([self.tickets; 32]);
                    waiting.insert(ticket.clone(), stream);
                    let from = "somebody".to_owned();
                    let offer = Frame::Offer {
                        ticket,
                        channel,
                        from,
                    };
                    say(self.control.as_mut().unwrap(), &offer).await;
                }
                Some(Frame::Take(ticket)) => {
                    let mut minion = waiting.remove(&ticket).unwrap();
                    say(&mut stream, &Frame::Go).await;
                    say(&mut minion, &Frame::Go).await;
                    tokio::spawn(passing.clone().copy(minion, stream));
                }
                _ => {}
            }
        }
    }
}

/// What is done to bytes that pass.
#[derive(Clone, Default)]
pub(super) struct Passing {
    /// All bytes of both directions: from minions, from the master.
    pub(super) seen: Arc<Mutex<(Vec<u8>, Vec<u8>)>>,
    /// Before each piece.
    pub(super) delay: Duration,
    /// After so many bytes of a minion everything ends.
    pub(super) cut: Option<usize>,
    /// The bit of a minion's byte that is flipped.
    pub(super) flip: Option<usize>,
}

impl Passing {
    pub(super) async fn copy(self, minion: DuplexStream, master: DuplexStream) {
        let (mut from_minion, mut to_minion) = tokio::io::split(minion);
        let (mut from_master, mut to_master) = tokio::io::split(master);
        let there = self.pass(&mut from_minion, &mut to_master, true);
        let back = self.pass(&mut from_master, &mut to_minion, false);
        let both = async { tokio::join!(there, back) };
        let cut = async {
            let Some(cut) = self.cut else {
                return std::future::pending().await;
            };
            while self.seen.lock().unwrap().0.len() < cut {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // What was passed on is read first.
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        tokio::select! {
            _ = both => {}
            () = cut => {}
        }
    }

    async fn pass(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        is_minions: bool,
    ) {
        let mut piece = [0; 4096];
        loop {
            let mut length = match from.read(&mut piece).await {
                Ok(0) | Err(_) => {
                    let _gone = to.shutdown().await;
                    return;
                }
                Ok(length) => length,
            };
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            {
                let mut seen = self.seen.lock().unwrap();
                let seen = if is_minions { &mut seen.0 } else { &mut seen.1 };
                let before = seen.len();
                seen.extend(&piece[..length]);
                if let Some(at) = self.flip.and_then(|at| at.checked_sub(before))
                    && is_minions
                    && at < length
                {
                    piece[at] ^= 1;
                }
                if let Some(cut) = self.cut
                    && is_minions
                {
                    length = length.min(cut.saturating_sub(before));
                }
            }
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }
}
