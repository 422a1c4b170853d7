//! Whose expensive request is worked on next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gate::Source;
use super::{Request, lock};

/// Deals out the right to compute, so that no peer and no crowd of strangers
/// keeps the others waiting (T-07).
///
/// Requests of one source wait for each other; of all sources, as many are
/// worked on at a time as the machine has processors, once for strangers and
/// once more for those who proved themselves before.
#[derive(Debug)]
pub(crate) struct Turns {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
    sources: Mutex<HashMap<Source, Arc<Semaphore>>>,
}

/// The right to compute, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    source: Option<(Source, Option<OwnedSemaphorePermit>)>,
    _processor: Option<OwnedSemaphorePermit>,
}

/// Requests of one source that are worked on, or next in line, at a time.
const PER_SOURCE: usize = 4;

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            strangers: Arc::new(Semaphore::new(processors)),
            known: Arc::new(Semaphore::new(processors)),
            sources: Mutex::default(),
        }
    }

    /// Waits for the request's turn.
    pub(crate) async fn turn(&self, request: &Request) -> Turn<'_> {
        let source = Source::of(&request.peer);
        self.of(source, request.ticket.is_known()).await
    }

    async fn of(&self, source: Option<Source>, known: bool) -> Turn<'_> {
        let mut turn = Turn {
            turns: self,
            source: source.map(|source| (source, None)),
            _processor: None,
        };
        if let Some((source, permit)) = &mut turn.source {
            let line = {
                let mut sources = lock(&self.sources);
                let line = sources.entry(source.clone());
                Arc::clone(line.or_insert_with(|| Arc::new(Semaphore::new(PER_SOURCE))))
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
        if let Some((source, permit)) = self.source.take() {
            drop(permit);
            let mut sources = lock(&self.turns.sources);
            // Whoever waits in this line holds it too.
            if sources
                .get(&source)
                .is_some_and(|line| Arc::strong_count(line) == 1)
            {
                sources.remove(&source);
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
            sources: Mutex::default(),
        }
    }

    fn address(last: u8) -> Option<Source> {
        Some(Source::Address([192, 0, 2, last].into()))
    }

    // T-07
    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_hold_up_another() {
        let turns = turns();
        let mut held = Vec::new();
        for _ in 0..PER_SOURCE {
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

        assert!(lock(&turns.sources).is_empty());
    }
}
