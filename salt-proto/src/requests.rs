//! Requests and their replies: correlation, time limits, further tries. No keys involved.
//!
//! A *request* is what a caller wants answered once. An *exchange* is one
//! attempt at it: one message out, at most one reply in. Every attempt gets a
//! fresh [`ExchangeId`], so a reply that comes after its time limit names an
//! exchange nobody knows any more and is dropped, and cannot be taken for the
//! answer to a later attempt.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Names a request until its outcome was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// Names one attempt to have a request answered.
///
/// Whoever moves the bytes keeps it beside the connection (or the message id)
/// on which the attempt went out and hands it back with the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(u64);

/// How long a reply is waited for, and how often a request is sent.
///
/// The default is that of Salt's own clients: 60 seconds, three tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How long one attempt waits for its reply. The wait starts when the
    /// attempt is handed out for sending.
    pub reply_timeout: Duration,
    /// How many attempts are made in all; 0 counts as 1.
    pub tries: u32,
    /// The wait between a failed attempt and the next.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            reply_timeout: Duration::from_secs(60),
            tries: 3,
            pause: Duration::from_secs(1),
        }
    }
}

/// Requests under way, each with a payload of the caller's.
#[derive(Debug)]
pub struct Requests<T> {
    policy: RetryPolicy,
    last_request: u64,
    last_exchange: u64,
    entries: BTreeMap<RequestId, Entry<T>>,
    exchanges: HashMap<ExchangeId, RequestId>,
}

#[derive(Debug)]
struct Entry<T> {
    payload: T,
    tries: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ready,
    Sent {
        exchange: ExchangeId,
        until: Instant,
    },
    Pausing {
        until: Instant,
    },
}

impl<T> Requests<T> {
    /// No requests yet.
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            last_request: 0,
            last_exchange: 0,
            entries: BTreeMap::new(),
            exchanges: HashMap::new(),
        }
    }

    /// The number of requests without an outcome.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether every request has its outcome.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes up a request; it is ready to be sent.
    pub fn add(&mut self, payload: T) -> RequestId {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.entries.insert(
            request,
            Entry {
                payload,
                tries: 0,
                state: State::Ready,
            },
        );
        request
    }

    /// An exchange id for a message that is not one of these requests.
    pub fn exchange(&mut self) -> ExchangeId {
        self.last_exchange += 1;
        ExchangeId(self.last_exchange)
    }

    /// The oldest request that is ready, as a new attempt whose time runs from `now`.
    pub fn next_ready(&mut self, now: Instant) -> Option<(RequestId, ExchangeId, &mut T)> {
        let exchange = ExchangeId(self.last_exchange + 1);
        let (&request, entry) = self
            .entries
            .iter_mut()
            .find(|(_, entry)| matches!(entry.state, State::Ready))?;
        self.last_exchange += 1;
        entry.tries += 1;
        entry.state = State::Sent {
            exchange,
            until: now + self.policy.reply_timeout,
        };
        self.exchanges.insert(exchange, request);
        Some((request, exchange, &mut entry.payload))
    }

    /// Whether any request is ready to be sent.
    pub fn has_ready(&self) -> bool {
        self.entries
            .values()
            .any(|entry| matches!(entry.state, State::Ready))
    }

    /// The request an attempt belongs to, while the attempt may still be answered.
    pub fn request_of(&self, exchange: ExchangeId) -> Option<RequestId> {
        self.exchanges.get(&exchange).copied()
    }

    /// The payload of a request.
    pub fn payload(&self, request: RequestId) -> Option<&T> {
        Some(&self.entries.get(&request)?.payload)
    }

    /// The payload of a request, for changing.
    pub fn payload_mut(&mut self, request: RequestId) -> Option<&mut T> {
        Some(&mut self.entries.get_mut(&request)?.payload)
    }

    /// Ends a request, whatever became of it.
    pub fn finish(&mut self, request: RequestId) -> Option<T> {
        let entry = self.entries.remove(&request)?;
        if let State::Sent { exchange, .. } = entry.state {
            self.exchanges.remove(&exchange);
        }
        Some(entry.payload)
    }

    /// Makes a request ready again at once; the attempt it was in counts for nothing.
    pub fn send_again(&mut self, request: RequestId) {
        if let Some(entry) = self.entries.get_mut(&request) {
            if let State::Sent { exchange, .. } = entry.state {
                self.exchanges.remove(&exchange);
            }
            entry.tries = entry.tries.saturating_sub(1);
            entry.state = State::Ready;
        }
    }

    /// An attempt ended without a reply.
    ///
    /// Returns the request if that was its last try; it is no longer known then.
    pub fn handle_no_reply(
        &mut self,
        exchange: ExchangeId,
        now: Instant,
    ) -> Option<(RequestId, T)> {
        let request = self.exchanges.remove(&exchange)?;
        let entry = self.entries.get_mut(&request)?;
        if entry.tries < self.policy.tries.max(1) {
            entry.state = State::Pausing {
                until: now + self.policy.pause,
            };
            return None;
        }
        let entry = self.entries.remove(&request)?;
        Some((request, entry.payload))
    }

    /// Lets time pass; returns the requests whose last try has run out.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(RequestId, T)> {
        let late: Vec<ExchangeId> = self
            .entries
            .values()
            .filter_map(|entry| match entry.state {
                State::Sent { exchange, until } if until <= now => Some(exchange),
                _ => None,
            })
            .collect();
        let given_up = late
            .into_iter()
            .filter_map(|exchange| self.handle_no_reply(exchange, now))
            .collect();
        for entry in self.entries.values_mut() {
            if matches!(entry.state, State::Pausing { until } if until <= now) {
                entry.state = State::Ready;
            }
        }
        given_up
    }

    /// When [`Requests::handle_timeout`] has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.entries
            .values()
            .filter_map(|entry| match entry.state {
                State::Sent { until, .. } | State::Pausing { until } => Some(until),
                State::Ready => None,
            })
            .min()
    }

    /// Ends all requests, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = (RequestId, T)> + use<T> {
        self.exchanges.clear();
        std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(request, entry)| (request, entry.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(
        clippy::disallowed_methods,
        reason = "tests need one instant to start from"
    )]
    fn epoch() -> Instant {
        Instant::now()
    }

    fn requests() -> Requests<&'static str> {
        Requests::new(RetryPolicy {
            reply_timeout: 60 * SECOND,
            tries: 2,
            pause: SECOND,
        })
    }

    #[test]
    fn a_reply_finds_its_request_once() {
        let mut requests = requests();
        let request = requests.add("a");
        let (_, exchange, _) = requests.next_ready(epoch()).unwrap();

        assert_eq!(requests.request_of(exchange), Some(request));
        assert_eq!(requests.finish(request), Some("a"));
        assert_eq!(requests.request_of(exchange), None);
    }

    #[test]
    fn a_late_reply_does_not_answer_the_next_try() {
        let start = epoch();
        let mut requests = requests();
        let request = requests.add("a");
        let (_, first, _) = requests.next_ready(start).unwrap();

        assert!(requests.handle_timeout(start + 60 * SECOND).is_empty());
        assert!(!requests.has_ready());
        assert!(requests.handle_timeout(start + 61 * SECOND).is_empty());
        let (again, second, _) = requests.next_ready(start + 61 * SECOND).unwrap();

        assert_eq!(again, request);
        assert_ne!(first, second);
        assert_eq!(requests.request_of(first), None);
        assert_eq!(requests.request_of(second), Some(request));
    }

    #[test]
    fn the_last_try_gives_the_request_back() {
        let start = epoch();
        let mut requests = requests();
        let request = requests.add("a");
        let (_, exchange, _) = requests.next_ready(start).unwrap();
        assert_eq!(requests.handle_no_reply(exchange, start), None);
        requests.handle_timeout(start + SECOND);
        let (_, exchange, _) = requests.next_ready(start + SECOND).unwrap();

        assert_eq!(
            requests.handle_no_reply(exchange, start + SECOND),
            Some((request, "a"))
        );
        assert!(requests.is_empty());
    }

    #[test]
    fn sending_again_does_not_use_up_a_try() {
        let start = epoch();
        let mut requests = requests();
        let request = requests.add("a");
        for _ in 0..5 {
            let (_, _, _) = requests.next_ready(start).unwrap();
            requests.send_again(request);
        }
        let (_, exchange, _) = requests.next_ready(start).unwrap();

        assert_eq!(requests.handle_no_reply(exchange, start), None);
        assert_eq!(requests.poll_timeout(), Some(start + SECOND));
    }

    #[test]
    fn requests_are_sent_in_the_order_they_came() {
        let mut requests = requests();
        requests.add("a");
        requests.add("b");

        let (_, _, &mut first) = requests.next_ready(epoch()).unwrap();
        let (_, _, &mut second) = requests.next_ready(epoch()).unwrap();

        assert_eq!([first, second], ["a", "b"]);
    }
}
