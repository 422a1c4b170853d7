//! The master's side: found at relays, without a listening socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::control::{Control, Due, Redial, Said};
use super::failure::Failure;
use super::frame::{FleetName, Frame, Refusal, Ticket};
use super::io::{FrameReader, write, write_within};
use crate::address::{Channel, MasterAddr};
use crate::random;
use crate::stream::channels::{ChannelListen, Channels, channels};
use crate::stream::{Dial, Peer};
use crate::wire::now;

/// How long anything may take until a stream stands.
const SOON: Duration = Duration::from_secs(10);

/// What every relay is told, and where its streams go.
struct Host<D: Dial> {
    dial: Arc<D>,
    name: FleetName,
    waiting: u8,
    streams: Channels<D::Stream>,
}

/// The listeners of both channels, and the future that keeps a control stream at every relay.
pub(super) fn host<D: Dial>(
    dial: Arc<D>,
    relays: Vec<MasterAddr>,
    name: FleetName,
    waiting: u8,
) -> (
    ChannelListen<D::Stream>,
    ChannelListen<D::Stream>,
    impl Future<Output = ()> + Send + use<D>,
) {
    let (streams, publish, request) = channels();
    let host = Arc::new(Host {
        dial,
        name,
        waiting: waiting.max(1),
        streams,
    });
    let running = async move {
        let mut stays = JoinSet::new();
        for relay in relays {
            stays.spawn(stay(Arc::clone(&host), relay));
        }
        // Nobody accepts any more: then nobody needs to be found.
        host.streams.closed().await;
    };
    (publish, request, running)
}

/// Registered at one relay, again and again.
async fn stay<D: Dial>(host: Arc<Host<D>>, relay: MasterAddr) {
    let mut redial = Redial::new();
    loop {
        let began = Instant::now();
        let failure = registered(&host, &relay).await;
        let wait = redial.next_wait(began.elapsed(), &mut random::u64);
        tracing::warn!(%relay, name = %host.name, %failure, ?wait, "not at the relay");
        tokio::time::sleep(wait).await;
    }
}

/// One control stream, to its end.
async fn registered<D: Dial>(host: &Arc<Host<D>>, relay: &MasterAddr) -> Failure {
    let dialing = timeout(SOON, host.dial.dial(relay, Channel::Request));
    let mut stream = match dialing.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Failure::of(error),
        Err(_late) => return Failure::Late,
    };
    let register = Frame::Register {
        name: host.name.clone(),
        waiting: host.waiting,
    };
    if let Err(error) = write_within(SOON, &mut stream, &register).await {
        return Failure::of(error);
    }
    let mut control = Control::new(now());
    let mut reader = FrameReader::default();
    let mut is_registered = false;
    let register_by = Instant::now() + SOON;
    // Ends with the control stream; what was accepted already goes on.
    let mut taking = JoinSet::new();
    loop {
        let timer = Instant::from_std(control.poll_timeout());
        let say = tokio::select! {
            Some(_done) = taking.join_next(), if !taking.is_empty() => continue,
            frame = reader.next(&mut stream) => match frame {
                Ok(frame) => match control.handle(frame, now()) {
                    Said::Nothing => continue,
                    Said::Registered => {
                        tracing::info!(%relay, name = %host.name, "found at the relay");
                        is_registered = true;
                        continue;
                    }
                    Said::Answer(answer) => answer,
                    Said::Offer(ticket, channel, from) => {
                        // A relay that offers more than it was allowed to wastes its own time only.
                        if taking.len() < usize::from(host.waiting) {
                            taking.spawn(take(Arc::clone(host), relay.clone(), ticket, channel, from));
                        }
                        continue;
                    }
                    Said::Refused(refusal) => return Failure::Refused(refusal),
                },
                Err(error) => return Failure::of(error),
            },
            () = sleep_until(register_by), if !is_registered => return Failure::Late,
            () = sleep_until(timer) => match control.handle_timeout(now()) {
                Due::Nothing => continue,
                Due::Ping(ping) => ping,
                Due::Dead => return Failure::Silent,
            },
        };
        if let Err(error) = write_within(SOON, &mut stream, &say).await {
            return Failure::of(error);
        }
    }
}

/// Fetches one peer that waits.
async fn take<D: Dial>(
    host: Arc<Host<D>>,
    relay: MasterAddr,
    ticket: Ticket,
    channel: Channel,
    from: String,
) {
    let taking = async {
        let mut stream = host.dial.dial(&relay, Channel::Request).await?;
        write(&mut stream, &Frame::Take(ticket)).await?;
        match FrameReader::default().next(&mut stream).await? {
            Frame::Go => Ok(stream),
            frame => {
                let _closing = stream.shutdown().await;
                Err(match frame {
                    Frame::Refuse(refusal) => io::Error::other(refusal),
                    _ => io::Error::other(Refusal::BadFrame),
                })
            }
        }
    };
    let failure = match timeout(SOON, taking).await {
        Ok(Ok(stream)) => {
            let peer = Peer::new(format!("rendezvous {relay} ({from})"));
            // Only now is there anything to wait with: a relay that delays takes no places of another.
            host.streams.hand_up(channel, stream, peer).await;
            return;
        }
        Ok(Err(error)) => Failure::of(error),
        Err(_late) => Failure::Late,
    };
    tracing::debug!(%relay, from, %failure, "a peer that waited was not reached");
}
