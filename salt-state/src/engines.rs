//! What a daemon does of its own accord, shared with the functions that change it.

use std::sync::Mutex;

use crate::beacons::Beacons;
use crate::scheduler::Scheduler;
use crate::zone::Zone;

/// The parts of a minion's daemon that functions may change while it runs.
///
/// Nothing in here acts: the daemon polls, and does what comes out.
#[derive(Debug, Default)]
pub struct Engines {
    /// Its own jobs, for `schedule.*`.
    pub schedule: Mutex<Scheduler>,
    /// What it watches, for `beacons.*`.
    pub beacons: Mutex<Beacons>,
}

impl Engines {
    /// Nothing to do yet. Times of day are those of `zone`.
    pub fn new(zone: Zone) -> Self {
        Self {
            schedule: Mutex::new(Scheduler::new(zone)),
            beacons: Mutex::default(),
        }
    }
}
