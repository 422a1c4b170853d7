//! Who may use a relay, for what, and how much of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::stream::rendezvous::frame::FleetName;

/// What a relay is for. Nobody may do anything until [fleets](Self::fleets) are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayConfig {
    /// The names that can be registered, and by whom.
    pub fleets: BTreeMap<FleetName, Fleet>,
    /// How much anybody may use.
    pub limits: RelayLimits,
}

impl RelayConfig {
    /// The same with one more fleet.
    #[must_use]
    pub fn fleet(mut self, name: FleetName, fleet: Fleet) -> Self {
        self.fleets.insert(name, fleet);
        self
    }
}

/// Who meets under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The name in the outer certificate of the one that may register.
    pub master: String,
    /// Who may ask for it.
    pub minions: Minions,
}

impl Fleet {
    /// A fleet whose master shows this name in its outer certificate, and whose minions show any.
    pub fn new(master: impl Into<String>) -> Self {
        Self {
            master: master.into(),
            minions: Minions::Certified,
        }
    }

    /// The same with another rule for minions.
    #[must_use]
    pub fn minions(self, minions: Minions) -> Self {
        Self { minions, ..self }
    }
}

/// Who may ask for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Minions {
    /// Whoever reaches the relay, also through a listener that asks for no certificate.
    Anybody,
    /// Whoever has a certificate that the relay's listener verified.
    Certified,
    /// Those whose certificates have one of these names.
    Named(BTreeSet<String>),
}

/// How much of a relay anybody may use. Plain data.
///
/// A *source* is the name of a certificate, or an address (a network of 64 bits for IPv6) where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// How long a stream may take until bytes pass, and the life of a ticket. 10 s by default.
    pub before_go: Duration,
    /// Streams that have not come so far, in all. Beyond it the oldest of the source with the most of them makes
    /// room. 1,024 by default.
    pub max_before_go: usize,
    /// Of these, from one source that is no master. 64 by default.
    pub max_before_go_per_source: usize,
    /// Streams from one source that is no master. 256 by default.
    pub max_per_source: usize,
    /// Peers that wait for one master, if it does not say less. 255 by default.
    pub max_waiting_per_name: usize,
    /// Streams of one source that wait for masters. 32 by default.
    pub max_waiting_per_source: usize,
    /// Pairs between which bytes pass, in all. When there are so many, the fleet with the most gives its youngest
    /// to one that has fewer. 8,192 by default.
    pub max_pairs: usize,
    /// Pairs of one fleet. 4,096 by default.
    pub max_pairs_per_name: usize,
    /// A master's control stream that says nothing for so long is dead. 45 s by default.
    pub silence: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            before_go: Duration::from_secs(10),
            max_before_go: 1024,
            max_before_go_per_source: 64,
            max_per_source: 256,
            max_waiting_per_name: 255,
            max_waiting_per_source: 32,
            max_pairs: 8192,
            max_pairs_per_name: 4096,
            silence: Duration::from_secs(45),
        }
    }
}

/// What a relay does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Names that are registered.
    pub names: usize,
    /// Streams that wait for a master.
    pub waiting: usize,
    /// Pairs between which bytes pass.
    pub joined: usize,
    /// Streams in all.
    pub streams: usize,
}
