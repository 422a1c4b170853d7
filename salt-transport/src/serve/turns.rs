//! Whose expensive request is worked on next.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gate::source;
use super::{Request, lock};

/// Deals out the right to compute, so that no address and no crowd of strangers
/// keeps the others waiting (T-07).
///
/// Requests of one address wait for each other; of all addresses, as many are
/// worked on at a time as the machine has processors, once for strangers and
/// once more for those who proved themselves before.
#[derive(Debug)]
pub(crate) struct Turns {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// The right to compute, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    address: Option<(IpAddr, Option<OwnedSemaphorePermit>)>,
    _processor: Option<OwnedSemaphorePermit>,
}

/// Requests of one address that are worked on, or next in line, at a time.
const PER_ADDRESS: usize = 4;

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            strangers: Arc::new(Semaphore::new(processors)),
            known: Arc::new(Semaphore::new(processors)),
            addresses: Mutex::default(),
        }
    }

    /// Waits for the request's turn.
    pub(crate) async fn turn(&self, request: &Request) -> Turn<'_> {
        let source = request.peer.address.map(source);
        self.of(source, request.ticket.is_known()).await
    }

    async fn of(&self, address: Option<IpAddr>, known: bool) -> Turn<'_> {
        let mut turn = Turn {
            turns: self,
            address: address.map(|address| (address, None)),
            _processor: None,
        };
        if let Some((address, permit)) = &mut turn.address {
            let line = {
                let mut addresses = lock(&self.addresses);
                let line = addresses.entry(*address);
                Arc::clone(line.or_insert_with(|| Arc::new(Semaphore::new(PER_ADDRESS))))
            };
            // Nobody closes these.
            *permit = line.acquire_owned().await.ok();
        }
        let processors = if known { &self.known } else { &self.strangers };
        turn._processor = Arc::clone(processors).acquire_owned().await.ok();
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some((address, permit)) = self.address.take() {
            drop(permit);
            let mut addresses = lock(&self.turns.addresses);
            // Whoever waits in this line holds it too.
            if addresses
                .get(&address)
                .is_some_and(|line| Arc::strong_count(line) == 1)
            {
                addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn turns() -> Turns {
        Turns {
            strangers: Arc::new(Semaphore::new(8)),
            known: Arc::new(Semaphore::new(8)),
            addresses: Mutex::default(),
        }
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    // T-07
    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_hold_up_another() {
        let turns = turns();
        let mut held = Vec::new();
        for _ in 0..PER_ADDRESS {
            held.push(turns.of(address(1), false).await);
        }

        let soon = Duration::from_millis(1);
        assert!(
            tokio::time::timeout(soon, turns.of(address(1), false))
                .await
                .is_err()
        );
        assert!(
            tokio::time::timeout(soon, turns.of(address(2), false))
                .await
                .is_ok()
        );
    }

    // T-07
    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_hold_up_the_known() {
        let turns = turns();
        let mut held = Vec::new();
        for n in 0..8 {
            held.push(turns.of(address(n), false).await);
        }

        let soon = Duration::from_millis(1);
        assert!(
            tokio::time::timeout(soon, turns.of(address(9), false))
                .await
                .is_err()
        );
        assert!(
            tokio::time::timeout(soon, turns.of(address(9), true))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_addresses_that_are_gone() {
        let turns = turns();
        for n in 0..100 {
            drop(turns.of(address(n), false).await);
        }

        assert!(lock(&turns.addresses).is_empty());
    }
}
