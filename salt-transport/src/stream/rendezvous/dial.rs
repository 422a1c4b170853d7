//! The minion's side: asks relays for a master.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::failure::Failure;
use super::frame::{FleetName, Frame, Refusal};
use super::io::{FrameReader, write};
use crate::address::{Channel, MasterAddr};
use crate::stream::Dial;

/// After this another relay is tried as well, while the first may still answer.
const IMPATIENCE: Duration = Duration::from_secs(2);
/// How long one relay may take.
const SOON: Duration = Duration::from_secs(10);

/// Reaches a master through the first of several relays that knows it: the address's host is its name there.
///
/// The relay that worked last is tried first. One that does not answer within 2 s is not waited for: the next is
/// tried beside it. Made by [`Rendezvous::dial`](super::Rendezvous::dial).
#[derive(Debug)]
pub struct RendezvousDial<D> {
    dial: Arc<D>,
    relays: Vec<MasterAddr>,
    preferred: AtomicUsize,
}

impl<D: Dial> RendezvousDial<D> {
    pub(super) fn new(dial: Arc<D>, relays: Vec<MasterAddr>) -> Self {
        Self {
            dial,
            relays,
            preferred: AtomicUsize::new(0),
        }
    }

    async fn ask(
        &self,
        relay: &MasterAddr,
        name: &FleetName,
        channel: Channel,
    ) -> Result<D::Stream, Failure> {
        let asking = async {
            let mut stream = self.dial.dial(relay, Channel::Request).await?;
            let ask = Frame::Ask {
                channel,
                name: name.clone(),
            };
            write(&mut stream, &ask).await?;
            match FrameReader::default().next(&mut stream).await? {
                Frame::Go => Ok(stream),
                Frame::Refuse(refusal) => Err(io::Error::other(refusal)),
                _ => Err(io::Error::other(Refusal::BadFrame)),
            }
        };
        tokio::time::timeout(SOON, asking)
            .await
            .unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
            .map_err(Failure::of)
    }
}

impl<D: Dial> Dial for RendezvousDial<D> {
    type Stream = D::Stream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<D::Stream> {
        let name: FleetName = master
            .host
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let first = self.preferred.load(Ordering::Relaxed);
        let order = (0..self.relays.len()).map(|n| (first + n) % self.relays.len());
        let mut next = order.filter_map(|at| Some((at, self.relays.get(at)?)));
        let mut asking: Vec<(usize, &MasterAddr, Asking<'_, D>)> = Vec::new();
        let mut failures = Vec::new();
        loop {
            // One more, unless all are.
            let begun = next.next().map(|(at, relay)| {
                let ask = Box::pin(self.ask(relay, &name, channel)) as Asking<'_, D>;
                asking.push((at, relay, ask));
            });
            if begun.is_none() && asking.is_empty() {
                return Err(none_worked(&name, failures));
            }
            let answered = poll_fn(|cx| {
                for n in 0..asking.len() {
                    if let Some((_, _, ask)) = asking.get_mut(n)
                        && let Poll::Ready(answer) = ask.as_mut().poll(cx)
                    {
                        let (at, relay, _) = asking.swap_remove(n);
                        return Poll::Ready((at, relay, answer));
                    }
                }
                Poll::Pending
            });
            let answered = if begun.is_some() {
                tokio::time::timeout(IMPATIENCE, answered).await.ok()
            } else {
                Some(answered.await)
            };
            match answered {
                Some((at, _, Ok(stream))) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(stream);
                }
                Some((_, relay, Err(failure))) => failures.push((relay, failure)),
                None => {}
            }
        }
    }
}

type Asking<'a, D> =
    Pin<Box<dyn Future<Output = Result<<D as Dial>::Stream, Failure>> + Send + 'a>>;

/// One line for all relays.
fn none_worked(name: &FleetName, failures: Vec<(&MasterAddr, Failure)>) -> io::Error {
    let kind = failures
        .last()
        .map_or(io::ErrorKind::InvalidInput, |(_, failure)| failure.kind());
    let mut text = format!("no way to `{name}`");
    if failures.is_empty() {
        text.push_str(": there is no relay");
    }
    for (relay, failure) in failures {
        text.push_str(&format!("; relay {relay}: {failure}"));
    }
    io::Error::new(kind, text)
}
