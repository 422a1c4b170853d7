//! A master's side of its control stream, and the waits between two of them: no IO here.

use std::time::{Duration, Instant};

use salt_proto::backoff::between;

use super::frame::{Frame, Refusal, Ticket};
use crate::address::Channel;

/// How often the relay is asked for a sign of life.
const PING: Duration = Duration::from_secs(15);
/// A relay that said nothing for so long is dead.
const DEAD: Duration = Duration::from_secs(45);

/// One control stream, from its registration on.
#[derive(Debug)]
pub(super) struct Control {
    registered: bool,
    heard: Instant,
    next_ping: Instant,
    pings: u64,
}

/// What a frame means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Registered,
    /// To be said in turn.
    Answer(Frame),
    Offer(Ticket, Channel, String),
    /// The end.
    Refused(Refusal),
}

/// What the passing of time means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping(Frame),
    Dead,
}

impl Control {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            registered: false,
            heard: now,
            next_ping: now + PING,
            pings: 0,
        }
    }

    pub(super) fn handle(&mut self, frame: Frame, now: Instant) -> Said {
        self.heard = now;
        match frame {
            Frame::Registered if !self.registered => {
                self.registered = true;
                Said::Registered
            }
            Frame::Offer {
                ticket,
                channel,
                from,
            } if self.registered => Said::Offer(ticket, channel, from),
            Frame::Ping(echo) => Said::Answer(Frame::Pong(echo)),
            Frame::Pong(_) => Said::Nothing,
            Frame::Refuse(refusal) => Said::Refused(refusal),
            _ => Said::Refused(Refusal::BadFrame),
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next_ping.min(self.heard + DEAD)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now >= self.heard + DEAD {
            return Due::Dead;
        }
        if now < self.next_ping {
            return Due::Nothing;
        }
        self.next_ping = now + PING;
        self.pings += 1;
        Due::Ping(Frame::Ping(self.pings.to_be_bytes()))
    }
}

/// The waits before a relay is dialed again: anything up to a step that doubles from 1 s to 60 s.
#[derive(Debug)]
pub(super) struct Redial {
    step: Duration,
}

impl Redial {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    pub(super) fn new() -> Self {
        Self { step: Self::FIRST }
    }

    /// The next wait, after a control stream that stood for so long.
    ///
    /// Short ones do not begin anew: two masters that take one name from each other do so ever more seldom.
    pub(super) fn next_wait(
        &mut self,
        stood: Duration,
        random: &mut dyn FnMut() -> u64,
    ) -> Duration {
        if stood >= Self::LONGEST {
            self.step = Self::FIRST;
        }
        let step = self.step;
        self.step = (step * 2).min(Self::LONGEST);
        between(Duration::ZERO, step, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_relay_is_pinged_and_dead_when_it_is_silent() {
        let start = start();
        let mut control = Control::new(start);
        assert_eq!(control.handle(Frame::Registered, start), Said::Registered);
        let mut pings = 0;
        let dead = loop {
            let at = control.poll_timeout();
            match control.handle_timeout(at) {
                Due::Ping(_) => pings += 1,
                Due::Dead => break at,
                Due::Nothing => panic!("a timeout for nothing"),
            }
        };
        assert_eq!((pings, dead), (2, start + DEAD));
    }

    #[test]
    fn a_relay_that_answers_lives() {
        let mut now = start();
        let mut control = Control::new(now);
        for _ in 0..100 {
            now = control.poll_timeout();
            let Due::Ping(Frame::Ping(echo)) = control.handle_timeout(now) else {
                panic!("no ping");
            };
            assert_eq!(control.handle(Frame::Pong(echo), now), Said::Nothing);
        }
    }

    #[test]
    fn only_a_registered_master_is_offered_anything() {
        let now = start();
        let offer = || Frame::Offer {
            ticket: Ticket::new([1; 32]),
            channel: Channel::Publish,
            from: "x".to_owned(),
        };
        let bad = Said::Refused(Refusal::BadFrame);
        let mut control = Control::new(now);
        assert_eq!(control.handle(offer(), now), bad);
        control.handle(Frame::Registered, now);
        assert!(matches!(control.handle(offer(), now), Said::Offer(..)));
        assert_eq!(control.handle(Frame::Registered, now), bad);
        assert_eq!(control.handle(Frame::Go, now), bad);
        assert_eq!(
            control.handle(Frame::Ping([3; 8]), now),
            Said::Answer(Frame::Pong([3; 8]))
        );
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_long_life() {
        let mut redial = Redial::new();
        let mut longest = || u64::MAX;
        let waits: Vec<_> = (0..8)
            .map(|_| redial.next_wait(Duration::ZERO, &mut longest).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let wait = redial.next_wait(Duration::from_secs(60), &mut longest);
        assert_eq!(wait, Duration::from_secs(1));
        assert!(redial.next_wait(Duration::ZERO, &mut || 0) < Duration::from_millis(1));
    }
}
