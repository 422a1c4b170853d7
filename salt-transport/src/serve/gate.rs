//! Who is let in, and who goes first when there is no room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use tokio::task::AbortHandle;

use super::{ServeLimits, lock};
use crate::stream::Peer;

/// Names a connection for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// What is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A name that somebody vouched for, from wherever its streams come.
    Name(String),
    /// An address, as [`source`] has it.
    Address(IpAddr),
}

impl Source {
    /// Of a peer that has something to count by.
    pub(crate) fn of(peer: &Peer) -> Option<Self> {
        match (peer.name(), peer.address) {
            (Some(name), _) => Some(Self::Name(name.to_owned())),
            (None, address) => address.map(|address| Self::Address(source(address))),
        }
    }
}

/// What is counted as one address: an IPv4 address, or the network half of an IPv6
/// address, because whoever has one address of such a network has them all.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

/// [Sources](Source) from which somebody proved to be a minion or a user.
///
/// Shared by both channels: nothing on the publish channel proves anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<BTreeSet<Source>>>);

impl Known {
    /// Beyond this, new ones are not remembered; those who come are strangers
    /// to the limits, nothing worse.
    const MAX: usize = 65_536;

    fn has(&self, source: Option<&Source>) -> bool {
        // Without name and address it came through something of the embedding program's own.
        source.is_none_or(|source| lock(&self.0).contains(source))
    }

    fn insert(&self, source: Source) {
        let mut known = lock(&self.0);
        if known.len() < Self::MAX {
            known.insert(source);
        }
    }
}

/// Lets connections of one listener in.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Arc<Mutex<Gate>>,
    limits: ServeLimits,
    known: Known,
}

impl Admission {
    pub(crate) fn new(limits: ServeLimits, known: Known) -> Self {
        Self {
            gate: Arc::new(Mutex::new(Gate::new())),
            limits,
            known,
        }
    }

    /// A place for the peer, or the name of the limit that refuses it.
    pub(crate) fn admit(&self, peer: &Peer) -> Result<Ticket, &'static str> {
        let source = Source::of(peer);
        let known = self.known.has(source.as_ref());
        let id = lock(&self.gate).admit(source.clone(), known, &self.limits)?;
        Ok(Ticket(Arc::new(Place {
            id,
            source,
            gate: Arc::clone(&self.gate),
            known: self.known.clone(),
        })))
    }

    /// How the connection is ended when it has to make room.
    pub(crate) fn set_abort(&self, id: ConnectionId, abort: AbortHandle) {
        if let Some(entry) = lock(&self.gate).entries.get_mut(&id) {
            entry.abort = Some(abort);
        }
    }
}

/// Who is connected, and who goes first when there is no room.
#[derive(Debug)]
struct Gate {
    entries: BTreeMap<ConnectionId, Entry>,
    handshaking: BTreeSet<ConnectionId>,
    strangers: BTreeSet<ConnectionId>,
    by_source: HashMap<Source, Count>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    source: Option<Source>,
    abort: Option<AbortHandle>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    open: usize,
    handshaking: usize,
}

impl Gate {
    fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            handshaking: BTreeSet::new(),
            strangers: BTreeSet::new(),
            by_source: HashMap::new(),
            next: 0,
        }
    }

    /// Makes room for a connection, or names the limit that refuses it.
    fn admit(
        &mut self,
        source: Option<Source>,
        known: bool,
        limits: &ServeLimits,
    ) -> Result<ConnectionId, &'static str> {
        if let Some(source) = &source {
            let count = self.by_source.get(source).copied().unwrap_or_default();
            if count.handshaking >= limits.max_handshaking_per_address && !known {
                return Err("connections in handshake from one address");
            }
            if count.open >= limits.max_per_address {
                return Err("connections from one address");
            }
        }
        if self.handshaking.len() >= limits.max_handshaking {
            // A known address may take as many places again before it competes.
            let reserved = known && self.handshaking.len() < limits.max_handshaking * 2;
            if !reserved && !self.evict(|gate| gate.handshaking.first().copied()) {
                return Err("connections in handshake");
            }
        }
        if self.entries.len() >= limits.max_connections
            && !self.evict(|gate| gate.strangers.first().copied())
        {
            return Err("connections");
        }
        let id = ConnectionId(self.next);
        self.next += 1;
        self.entries.insert(
            id,
            Entry {
                source: source.clone(),
                abort: None,
            },
        );
        self.handshaking.insert(id);
        if !known {
            self.strangers.insert(id);
        }
        if let Some(source) = source {
            let count = self.by_source.entry(source).or_default();
            count.open += 1;
            count.handshaking += 1;
        }
        Ok(id)
    }

    fn evict(&mut self, choose: impl FnOnce(&Self) -> Option<ConnectionId>) -> bool {
        let Some(id) = choose(self) else {
            return false;
        };
        if let Some(abort) = self.entries.get(&id).and_then(|entry| entry.abort.as_ref()) {
            abort.abort();
        }
        self.remove(id);
        true
    }

    fn ready(&mut self, id: ConnectionId) {
        if self.handshaking.remove(&id)
            && let Some(source) = self.entries.get(&id).and_then(|it| it.source.as_ref())
            && let Some(count) = self.by_source.get_mut(source)
        {
            count.handshaking -= 1;
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        self.ready(id);
        self.strangers.remove(&id);
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        if let Some(source) = entry.source
            && let Some(count) = self.by_source.get_mut(&source)
        {
            count.open -= 1;
            if count.open == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// A connection's place behind the gate; given back when dropped.
#[derive(Clone, Debug)]
pub(crate) struct Ticket(Arc<Place>);

#[derive(Debug)]
struct Place {
    id: ConnectionId,
    source: Option<Source>,
    gate: Arc<Mutex<Gate>>,
    known: Known,
}

impl Ticket {
    pub(crate) fn id(&self) -> ConnectionId {
        self.0.id
    }

    /// The handshake is done.
    pub(crate) fn ready(&self) {
        lock(&self.0.gate).ready(self.0.id);
    }

    /// Whether somebody proved who he is from here before.
    pub(crate) fn is_known(&self) -> bool {
        self.0.known.has(self.0.source.as_ref())
    }

    /// The peer proved who it is: it is nobody's stranger any more.
    pub(crate) fn trust(&self) {
        lock(&self.0.gate).strangers.remove(&self.0.id);
        if let Some(source) = &self.0.source {
            self.0.known.insert(source.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.gate).remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ServeLimits {
        ServeLimits {
            max_connections: 6,
            max_handshaking: 3,
            max_handshaking_per_address: 2,
            max_per_address: 4,
            ..ServeLimits::default()
        }
    }

    fn from(last: u8) -> Option<Source> {
        Some(Source::Address([192, 0, 2, last].into()))
    }

    #[test]
    fn who_has_a_name_is_counted_by_it_from_wherever_he_comes() {
        use crate::stream::Principal;

        let overlay = |name: &str| Principal::Overlay {
            name: name.to_owned(),
            id: "1".to_owned(),
        };
        let named = Peer::new("x").with_principal(overlay("web-01"));
        let elsewhere = named.clone().with_address([192, 0, 2, 1].into());
        assert_eq!(Source::of(&named), Some(Source::Name("web-01".to_owned())));
        assert_eq!(Source::of(&named), Source::of(&elsewhere));
        let bare = Peer::new("x").with_address([192, 0, 2, 1].into());
        assert_eq!(Source::of(&bare), from(1));
        assert_eq!(Source::of(&Peer::new("memory")), None);
    }

    // T-07
    #[test]
    fn an_ipv6_network_is_one_source() {
        let source_of = |text: &str| source(text.parse().unwrap()).to_string();

        assert_eq!(source_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(source_of("2001:db8:1:2::7"), "2001:db8:1:2::");
        assert_eq!(source_of("2001:db8:1:3::7"), "2001:db8:1:3::");
        assert_eq!(source_of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(source_of("192.0.2.7"), "192.0.2.7");
    }

    // T-07
    #[test]
    fn one_address_cannot_fill_the_handshake() {
        let mut gate = Gate::new();

        gate.admit(from(1), false, &limits()).unwrap();
        gate.admit(from(1), false, &limits()).unwrap();

        assert!(gate.admit(from(1), false, &limits()).is_err());
        assert!(gate.admit(from(2), false, &limits()).is_ok());
    }

    // T-07
    #[test]
    fn the_oldest_handshake_makes_room_for_the_next() {
        let mut gate = Gate::new();
        let ids: Vec<_> = (1..=4)
            .map(|n| gate.admit(from(n), false, &limits()).unwrap())
            .collect();

        assert_eq!(gate.handshaking.len(), 3);
        assert!(!gate.entries.contains_key(&ids[0]));
        assert!(gate.entries.contains_key(&ids[3]));
    }

    // T-07
    #[test]
    fn strangers_do_not_take_the_places_of_the_known() {
        let mut gate = Gate::new();
        for n in 1..=6 {
            let id = gate.admit(from(n), true, &limits()).unwrap();
            gate.ready(id);
        }

        assert!(gate.admit(from(7), false, &limits()).is_err());
        assert_eq!(gate.entries.len(), 6);
    }

    // T-07
    #[test]
    fn the_known_take_the_places_of_strangers() {
        let mut gate = Gate::new();
        let first = gate.admit(from(1), false, &limits()).unwrap();
        gate.ready(first);
        for n in 2..=6 {
            let id = gate.admit(from(n), true, &limits()).unwrap();
            gate.ready(id);
        }

        assert!(gate.admit(from(7), true, &limits()).is_ok());
        assert!(!gate.entries.contains_key(&first));
    }

    #[test]
    fn what_leaves_is_counted_out() {
        let mut gate = Gate::new();
        for _ in 0..100 {
            let id = gate.admit(from(1), false, &limits()).unwrap();
            gate.ready(id);
            gate.remove(id);
            gate.remove(id);
        }

        assert!(gate.entries.is_empty() && gate.by_source.is_empty());
        assert!(gate.handshaking.is_empty() && gate.strangers.is_empty());
    }
}
