//! What a relay decides: who is registered, who waits for whom, and for whom there is no room.
//!
//! No streams, no clock and no randomness here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::config::{Minions, RelayConfig, RelayStats};
use crate::address::Channel;
use crate::serve::Source;
use crate::stream::Peer;
use crate::stream::rendezvous::frame::{FleetName, Frame, Refusal, Ticket};

/// Names a stream for as long as the relay runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StreamId(u64);

#[derive(Debug)]
struct Stream {
    /// Those of whom nothing is known are one.
    source: Option<Source>,
    /// The name of the certificate.
    certified: Option<String>,
    began: Instant,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Nothing was said yet, or nothing that leads anywhere.
    New,
    Control,
    Waiting {
        name: FleetName,
        ticket: Ticket,
        channel: Channel,
        from: String,
    },
    /// The asking half of a pair.
    Asker(FleetName),
    /// The master's half of a pair.
    Taker,
}

#[derive(Debug)]
struct Registration {
    control: StreamId,
    waiting: usize,
}

/// What comes of an ask.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) control: StreamId,
    pub(super) offer: Frame,
}

/// What comes of a registration.
#[derive(Debug)]
pub(super) struct Registered {
    /// The control stream that had the name before.
    pub(super) replaced: Option<StreamId>,
    /// Those who were waiting already.
    pub(super) offers: Vec<Frame>,
}

/// What comes of a ticket.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) asker: StreamId,
    /// The asking half of a pair that has to make room.
    pub(super) evicted: Option<StreamId>,
}

#[derive(Debug)]
pub(super) struct Desk {
    config: RelayConfig,
    next: u64,
    streams: BTreeMap<StreamId, Stream>,
    names: BTreeMap<FleetName, Registration>,
    tickets: HashMap<Ticket, StreamId>,
    // Counts of `streams`, kept by `count`.
    sources: HashMap<Option<Source>, Count>,
    before_go: BTreeSet<StreamId>,
    waiting: BTreeMap<FleetName, BTreeSet<StreamId>>,
    pairs: BTreeMap<FleetName, BTreeSet<StreamId>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    open: usize,
    before_go: usize,
    waiting: usize,
}

impl Desk {
    pub(super) fn new(config: RelayConfig) -> Self {
        Self {
            config,
            next: 0,
            streams: BTreeMap::new(),
            names: BTreeMap::new(),
            tickets: HashMap::new(),
            sources: HashMap::new(),
            before_go: BTreeSet::new(),
            waiting: BTreeMap::new(),
            pairs: BTreeMap::new(),
        }
    }

    /// Counts a stream in or out, where it stands.
    fn count(&mut self, id: StreamId, is_in: bool) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let step = |number: &mut usize, counts: bool| {
            if counts {
                *number = if is_in {
                    *number + 1
                } else {
                    number.saturating_sub(1)
                };
            }
        };
        let before_go = stream.is_before_go();
        let count = self.sources.entry(stream.source.clone()).or_default();
        step(&mut count.open, true);
        step(&mut count.before_go, before_go);
        step(
            &mut count.waiting,
            matches!(stream.place, Place::Waiting { .. }),
        );
        if count.open == 0 {
            self.sources.remove(&stream.source);
        }
        if before_go && is_in {
            self.before_go.insert(id);
        } else {
            self.before_go.remove(&id);
        }
        let (sets, name) = match &stream.place {
            Place::Waiting { name, .. } => (&mut self.waiting, name),
            Place::Asker(name) => (&mut self.pairs, name),
            _ => return,
        };
        let set = sets.entry(name.clone()).or_default();
        if is_in {
            set.insert(id);
        } else {
            set.remove(&id);
            if set.is_empty() {
                sets.remove(name);
            }
        }
    }

    fn set(&mut self, id: StreamId, place: Place) {
        self.count(id, false);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.place = place;
        }
        self.count(id, true);
    }

    pub(super) fn stats(&self) -> RelayStats {
        RelayStats {
            names: self.names.len(),
            waiting: self.waiting.values().map(BTreeSet::len).sum(),
            joined: self.pairs.values().map(BTreeSet::len).sum(),
            streams: self.streams.len(),
        }
    }

    /// A place for a new stream, and the stream that has to make room for it.
    pub(super) fn admit(
        &mut self,
        peer: &Peer,
        now: Instant,
    ) -> Result<(StreamId, Option<StreamId>), Refusal> {
        let limits = &self.config.limits;
        let source = Source::of(peer);
        let certified = peer.name().map(str::to_owned);
        // A master has as many streams as its fleet, and those are counted by the fleet.
        let is_master = certified
            .as_deref()
            .is_some_and(|name| self.is_master(name));
        let count = self.sources.get(&source).copied().unwrap_or_default();
        if !is_master
            && (count.before_go >= limits.max_before_go_per_source
                || count.open >= limits.max_per_source)
        {
            return Err(Refusal::Busy);
        }
        let evicted = if self.before_go.len() >= limits.max_before_go.max(1) {
            self.oldest_of_the_greediest()
        } else {
            None
        };
        let id = StreamId(self.next);
        self.next += 1;
        self.streams.insert(
            id,
            Stream {
                source,
                certified,
                began: now,
                place: Place::New,
            },
        );
        self.count(id, true);
        if let Some(evicted) = evicted {
            self.lost(evicted);
        }
        Ok((id, evicted))
    }

    /// Whether a stream still has its place.
    pub(super) fn has(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }

    fn oldest_of_the_greediest(&self) -> Option<StreamId> {
        let before_go = |id: &StreamId| {
            let source = &self.streams.get(id)?.source;
            Some(self.sources.get(source)?.before_go)
        };
        let most = self.before_go.iter().filter_map(before_go).max();
        let mut oldest = self.before_go.iter();
        oldest.find(|id| before_go(id) == most).copied()
    }

    fn is_master(&self, certified: &str) -> bool {
        let mut fleets = self.config.fleets.values();
        fleets.any(|fleet| fleet.master == certified)
    }

    /// What is said of a name that leads nowhere: nothing to those whom nobody vouches for.
    fn unknown(certified: Option<&str>) -> Refusal {
        match certified {
            Some(_) => Refusal::UnknownName,
            None => Refusal::NotAllowed,
        }
    }

    /// A stream becomes the control stream of a name, perhaps in another's place.
    pub(super) fn register(
        &mut self,
        id: StreamId,
        name: FleetName,
        waiting: u8,
    ) -> Result<Registered, Refusal> {
        let stream = self.streams.get(&id).ok_or(Refusal::BadFrame)?;
        if !matches!(stream.place, Place::New) {
            return Err(Refusal::BadFrame);
        }
        let certified = stream.certified.as_deref();
        let fleet = self.config.fleets.get(&name);
        let fleet = fleet.ok_or_else(|| Self::unknown(certified))?;
        if certified != Some(fleet.master.as_str()) {
            return Err(Refusal::NotAllowed);
        }
        self.set(id, Place::Control);
        let waiting = usize::from(waiting).min(self.config.limits.max_waiting_per_name);
        let offers = self.offers(&name);
        let registration = Registration {
            control: id,
            waiting,
        };
        let replaced = self.names.insert(name, registration);
        Ok(Registered {
            replaced: replaced.map(|before| before.control),
            offers,
        })
    }

    fn offers(&self, of: &FleetName) -> Vec<Frame> {
        let waiting = self.waiting.get(of).into_iter().flatten();
        waiting
            .filter_map(|id| match &self.streams.get(id)?.place {
                Place::Waiting {
                    ticket,
                    channel,
                    from,
                    ..
                } => Some(Frame::Offer {
                    ticket: ticket.clone(),
                    channel: *channel,
                    from: from.clone(),
                }),
                _ => None,
            })
            .collect()
    }

    /// A stream waits for the master of a name.
    pub(super) fn ask(
        &mut self,
        id: StreamId,
        name: FleetName,
        channel: Channel,
        from: &str,
        ticket: Ticket,
    ) -> Result<Asked, Refusal> {
        let limits = &self.config.limits;
        let stream = self.streams.get(&id).ok_or(Refusal::BadFrame)?;
        if !matches!(stream.place, Place::New) {
            return Err(Refusal::BadFrame);
        }
        let certified = stream.certified.as_deref();
        let fleet = self.config.fleets.get(&name);
        let fleet = fleet.ok_or_else(|| Self::unknown(certified))?;
        if !fleet.minions.allow(certified) {
            return Err(Refusal::NotAllowed);
        }
        let registration = self.names.get(&name);
        let registration = registration.ok_or_else(|| Self::unknown(certified))?;
        let of_name = self.waiting.get(&name).map_or(0, BTreeSet::len);
        let of_source = self.sources.get(&stream.source).map_or(0, |it| it.waiting);
        if of_name >= registration.waiting
            || of_source >= limits.max_waiting_per_source
            || self.room(&name).is_err()
        {
            return Err(Refusal::Busy);
        }
        let control = registration.control;
        let offer = Frame::Offer {
            ticket: ticket.clone(),
            channel,
            from: from.to_owned(),
        };
        self.tickets.insert(ticket.clone(), id);
        let from = from.to_owned();
        self.set(
            id,
            Place::Waiting {
                name,
                ticket,
                channel,
                from,
            },
        );
        Ok(Asked { control, offer })
    }

    /// A stream shows a ticket, and is joined with the one that waits.
    pub(super) fn take(
        &mut self,
        id: StreamId,
        ticket: &Ticket,
        now: Instant,
    ) -> Result<Taken, Refusal> {
        let stream = self.streams.get(&id).ok_or(Refusal::BadFrame)?;
        if !matches!(stream.place, Place::New) {
            return Err(Refusal::BadFrame);
        }
        let certified = stream.certified.as_deref();
        if !certified.is_some_and(|name| self.is_master(name)) {
            return Err(Refusal::NotAllowed);
        }
        let asker = self.tickets.get(ticket).copied().ok_or(Refusal::Expired)?;
        let waiting = self.streams.get(&asker).ok_or(Refusal::Expired)?;
        let Place::Waiting { name, .. } = &waiting.place else {
            return Err(Refusal::Expired);
        };
        let name = name.clone();
        // Another fleet's ticket is no ticket.
        let fleet = self.config.fleets.get(&name).ok_or(Refusal::Expired)?;
        let too_old = now >= waiting.began + self.config.limits.before_go;
        if certified != Some(fleet.master.as_str()) || too_old {
            return Err(Refusal::Expired);
        }
        let evicted = self.room(&name)?;
        self.tickets.remove(ticket);
        self.set(asker, Place::Asker(name));
        self.set(id, Place::Taker);
        if let Some(evicted) = evicted {
            self.lost(evicted);
        }
        Ok(Taken { asker, evicted })
    }

    /// Whether one more pair of this fleet fits, and which other has to go for it.
    ///
    /// While there is room everybody may use it. When there is none, the fleet with the most pairs gives its
    /// youngest to one that has fewer.
    fn room(&self, name: &FleetName) -> Result<Option<StreamId>, Refusal> {
        let limits = &self.config.limits;
        let own = self.pairs.get(name).map_or(0, BTreeSet::len);
        if own >= limits.max_pairs_per_name {
            return Err(Refusal::Busy);
        }
        if self.pairs.values().map(BTreeSet::len).sum::<usize>() < limits.max_pairs {
            return Ok(None);
        }
        let largest = self.pairs.values().max_by_key(|pairs| pairs.len());
        let largest = largest.filter(|pairs| pairs.len() > own + 1);
        let youngest = largest.and_then(BTreeSet::last).copied();
        youngest.map(Some).ok_or(Refusal::Busy)
    }

    /// A stream has ended. Returned are those that waited for it.
    pub(super) fn lost(&mut self, id: StreamId) -> Vec<StreamId> {
        self.count(id, false);
        let Some(stream) = self.streams.remove(&id) else {
            return Vec::new();
        };
        match stream.place {
            Place::Waiting { ticket, .. } => {
                self.tickets.remove(&ticket);
                Vec::new()
            }
            Place::Control => {
                let held = self.names.iter().find(|(_, it)| it.control == id);
                let Some(name) = held.map(|(name, _)| name.clone()) else {
                    // Somebody else has the name now.
                    return Vec::new();
                };
                self.names.remove(&name);
                let waiting = self.waiting.get(&name).into_iter().flatten();
                waiting.copied().collect()
            }
            Place::New | Place::Asker(_) | Place::Taker => Vec::new(),
        }
    }
}

impl Stream {
    fn is_before_go(&self) -> bool {
        matches!(self.place, Place::New | Place::Waiting { .. })
    }
}

impl Minions {
    fn allow(&self, certified: Option<&str>) -> bool {
        match self {
            Self::Anybody => true,
            Self::Certified => certified.is_some(),
            Self::Named(names) => certified.is_some_and(|name| names.contains(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::config::{Fleet, RelayLimits};
    use super::*;
    use crate::stream::Principal;

    fn name(text: &str) -> FleetName {
        text.parse().unwrap()
    }

    fn certified(name: &str) -> Peer {
        Peer::new(name).with_principal(Principal::Certificate {
            name: name.to_owned(),
            fingerprint: [0; 32],
        })
    }

    fn start() -> Instant {
        Instant::now()
    }

    struct World {
        desk: Desk,
        now: Instant,
        tickets: u8,
    }

    impl World {
        fn with(change: impl FnOnce(&mut RelayLimits)) -> Self {
            let mut config = RelayConfig::default()
                .fleet(name("a"), Fleet::new("master-a"))
                .fleet(name("b"), Fleet::new("master-b"));
            change(&mut config.limits);
            Self {
                desk: Desk::new(config),
                now: start(),
                tickets: 0,
            }
        }

        fn new() -> Self {
            Self::with(|_| {})
        }

        fn stream(&mut self, peer: &Peer) -> StreamId {
            self.desk.admit(peer, self.now).unwrap().0
        }

        fn register(&mut self, who: &str, at: &str) -> Result<(StreamId, Registered), Refusal> {
            let id = self.stream(&certified(who));
            Ok((id, self.desk.register(id, name(at), 8)?))
        }

        fn ask(&mut self, who: &str, at: &str) -> Result<(StreamId, Ticket), Refusal> {
            let id = self.stream(&certified(who));
            self.tickets += 1;
            let ticket = Ticket::new([self.tickets; 32]);
            let (at, channel) = (name(at), Channel::Request);
            self.desk.ask(id, at, channel, "x", ticket.clone())?;
            Ok((id, ticket))
        }

        fn take(&mut self, who: &str, ticket: &Ticket) -> Result<Taken, Refusal> {
            let id = self.stream(&certified(who));
            self.desk.take(id, ticket, self.now)
        }

        /// A pair that stands; the asking half.
        fn pair(&mut self, who: &str, fleet: &str) -> Result<(StreamId, Taken), Refusal> {
            let (asker, ticket) = self.ask(who, fleet)?;
            let taken = self.take(&format!("master-{fleet}"), &ticket)?;
            Ok((asker, taken))
        }
    }

    #[test]
    fn a_name_belongs_to_the_certificate_that_it_was_given_to() {
        let mut world = World::new();
        assert_eq!(
            world.register("master-b", "a").unwrap_err(),
            Refusal::NotAllowed
        );
        assert_eq!(
            world.register("web-01", "a").unwrap_err(),
            Refusal::NotAllowed
        );
        assert_eq!(
            world.register("master-a", "c").unwrap_err(),
            Refusal::UnknownName
        );
        let bare = world.stream(&Peer::new("nobody"));
        for name in ["a", "c"] {
            let refused = world.desk.register(bare, name.parse().unwrap(), 1);
            assert_eq!(refused.unwrap_err(), Refusal::NotAllowed);
        }
        assert!(world.register("master-a", "a").is_ok());
    }

    #[test]
    fn who_comes_later_with_the_same_certificate_has_the_name_and_those_who_wait() {
        let mut world = World::new();
        let (first, _) = world.register("master-a", "a").unwrap();
        world.ask("web-01", "a").unwrap();

        let (second, registered) = world.register("master-a", "a").unwrap();

        assert_eq!(registered.replaced, Some(first));
        assert_eq!(registered.offers.len(), 1);
        // The end of the first takes nothing from the second.
        assert_eq!(world.desk.lost(first), []);
        let id = world.stream(&certified("web-02"));
        let ticket = Ticket::new([9; 32]);
        let asked = world.desk.ask(id, name("a"), Channel::Publish, "x", ticket);
        assert_eq!(asked.unwrap().control, second);
    }

    #[test]
    fn nobody_waits_for_a_master_that_has_gone() {
        let mut world = World::new();
        let (control, _) = world.register("master-a", "a").unwrap();
        let (asker, _) = world.ask("web-01", "a").unwrap();

        assert_eq!(world.desk.lost(control), [asker]);

        assert_eq!(world.ask("web-02", "a").unwrap_err(), Refusal::UnknownName);
    }

    #[test]
    fn a_ticket_is_used_once_in_time_and_by_its_fleets_master() {
        let mut world = World::new();
        world.register("master-a", "a").unwrap();
        let (asker, ticket) = world.ask("web-01", "a").unwrap();

        assert_eq!(
            world.take("web-02", &ticket).unwrap_err(),
            Refusal::NotAllowed
        );
        assert_eq!(
            world.take("master-b", &ticket).unwrap_err(),
            Refusal::Expired
        );
        let invented = Ticket::new([0xee; 32]);
        assert_eq!(
            world.take("master-a", &invented).unwrap_err(),
            Refusal::Expired
        );
        assert_eq!(world.take("master-a", &ticket).unwrap().asker, asker);
        assert_eq!(
            world.take("master-a", &ticket).unwrap_err(),
            Refusal::Expired
        );

        let (_, ticket) = world.ask("web-01", "a").unwrap();
        world.now += Duration::from_secs(10);
        assert_eq!(
            world.take("master-a", &ticket).unwrap_err(),
            Refusal::Expired
        );
    }

    #[test]
    fn unknown_and_not_allowed_are_one_to_those_whom_nobody_vouches_for() {
        let mut world = World::new();
        world.register("master-a", "a").unwrap();
        for at in ["a", "b", "c"] {
            let bare = world.stream(&Peer::new("nobody"));
            let ticket = Ticket::new([1; 32]);
            let refused = world
                .desk
                .ask(bare, name(at), Channel::Request, "x", ticket);
            assert_eq!(refused.unwrap_err(), Refusal::NotAllowed, "{at}");
        }
        assert_eq!(world.ask("web-01", "b").unwrap_err(), Refusal::UnknownName);
        assert_eq!(world.ask("web-01", "c").unwrap_err(), Refusal::UnknownName);
    }

    #[test]
    fn minions_can_be_named_one_by_one() {
        let only = Fleet::new("master-c").minions(Minions::Named(["web-01".to_owned()].into()));
        let open = Fleet::new("master-d").minions(Minions::Anybody);
        let config = RelayConfig::default()
            .fleet(name("c"), only)
            .fleet(name("d"), open);
        let mut world = World::new();
        world.desk = Desk::new(config);
        world.register("master-c", "c").unwrap();
        world.register("master-d", "d").unwrap();

        assert!(world.ask("web-01", "c").is_ok());
        assert_eq!(world.ask("web-02", "c").unwrap_err(), Refusal::NotAllowed);
        let bare = world.stream(&Peer::new("nobody"));
        let ticket = Ticket::new([1; 32]);
        let asked = world
            .desk
            .ask(bare, name("d"), Channel::Request, "x", ticket);
        assert!(asked.is_ok());
    }

    #[test]
    fn as_many_wait_as_the_master_takes_and_no_source_takes_all_places() {
        let mut world = World::with(|limits| limits.max_waiting_per_source = 3);
        world.register("master-a", "a").unwrap();
        for _ in 0..3 {
            world.ask("greedy", "a").unwrap();
        }
        assert_eq!(world.ask("greedy", "a").unwrap_err(), Refusal::Busy);
        for n in 0..5 {
            world.ask(&format!("web-{n}"), "a").unwrap();
        }
        assert_eq!(world.ask("web-9", "a").unwrap_err(), Refusal::Busy);
    }

    #[test]
    fn strangers_that_say_nothing_make_room_and_the_greediest_first() {
        let mut world = World::with(|limits| {
            limits.max_before_go = 4;
            limits.max_before_go_per_source = 3;
        });
        let patient = world.stream(&certified("web-01"));
        let oldest = world.stream(&certified("greedy"));
        world.stream(&certified("greedy"));
        world.stream(&certified("greedy"));
        let greedy = world.desk.admit(&certified("greedy"), world.now);
        assert_eq!(greedy.unwrap_err(), Refusal::Busy);

        let (_, evicted) = world.desk.admit(&certified("web-02"), world.now).unwrap();

        assert_eq!(evicted, Some(oldest));
        assert!(world.desk.has(patient) && !world.desk.has(oldest));
    }

    #[test]
    fn a_fleet_that_has_all_pairs_gives_to_one_that_has_fewer_until_they_are_even() {
        let mut world = World::with(|limits| limits.max_pairs = 6);
        world.register("master-a", "a").unwrap();
        world.register("master-b", "b").unwrap();
        for n in 0..6 {
            world.pair(&format!("a-{n}"), "a").unwrap();
        }
        assert_eq!(world.ask("a-7", "a").unwrap_err(), Refusal::Busy);

        for n in 0..3 {
            let (_, taken) = world.pair(&format!("b-{n}"), "b").unwrap();
            assert!(taken.evicted.is_some());
        }

        assert_eq!(world.ask("b-4", "b").unwrap_err(), Refusal::Busy);
        assert_eq!(world.desk.stats().joined, 6);
    }

    #[test]
    fn a_peer_has_so_many_streams_and_a_master_as_many_as_its_fleet() {
        let mut world = World::with(|limits| limits.max_per_source = 2);
        world.register("master-a", "a").unwrap();
        for _ in 0..2 {
            world.pair("web-01", "a").unwrap();
        }
        let third = world.desk.admit(&certified("web-01"), world.now);
        assert_eq!(third.unwrap_err(), Refusal::Busy);
        assert!(world.pair("web-02", "a").is_ok());
    }

    #[test]
    fn frames_that_have_no_place_are_refused() {
        let mut world = World::new();
        let (control, _) = world.register("master-a", "a").unwrap();
        let again = world.desk.register(control, name("a"), 1);
        assert_eq!(again.unwrap_err(), Refusal::BadFrame);
        let ticket = Ticket::new([1; 32]);
        let ask = world
            .desk
            .ask(control, name("a"), Channel::Request, "x", ticket.clone());
        assert_eq!(ask.unwrap_err(), Refusal::BadFrame);
        let take = world.desk.take(control, &ticket, world.now);
        assert_eq!(take.unwrap_err(), Refusal::BadFrame);
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let mut world = World::new();
        let (control, _) = world.register("master-a", "a").unwrap();
        world.ask("web-01", "a").unwrap();
        world.pair("web-02", "a").unwrap();
        world.desk.lost(control);
        for id in world.desk.streams.keys().copied().collect::<Vec<_>>() {
            world.desk.lost(id);
            world.desk.lost(id);
        }
        assert!(world.desk.streams.is_empty() && world.desk.names.is_empty());
        assert!(world.desk.tickets.is_empty() && world.desk.sources.is_empty());
        assert!(world.desk.before_go.is_empty() && world.desk.waiting.is_empty());
        assert!(world.desk.pairs.is_empty());
    }
}
