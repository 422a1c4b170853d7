//! The minion's watches: what it looks at again and again, and tells the master of.
//!
//! [`Beacons`] is a value: [`Beacons::poll`] is handed the time and the machine, and
//! returns the events to fire. The `beacons.*` functions change it.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use crate::context::MinionData;
use crate::python;
use crate::system::Observe;

mod modules;
mod validate;

pub(crate) use modules::NAMES;
pub(crate) use validate::validate;

/// An event to fire on the master's bus.
#[derive(Clone, Debug, PartialEq)]
pub struct BeaconEvent {
    /// `salt/beacon/<id>/<name>/`, and what the beacon adds to it.
    pub tag: String,
    /// What was seen, with the minion's `id`.
    pub data: Map,
}

/// What a beacon remembers from one look to the next.
#[derive(Clone, Debug, Default, PartialEq)]
struct Memory {
    /// When it is looked at again, Unix seconds.
    next: i64,
    /// What was seen last, by a key of the module's.
    seen: BTreeMap<String, Value>,
}

/// The minion's watches: those of the configuration, and those of the pillar, which it
/// cannot change.
#[derive(Clone, Debug, Default)]
pub struct Beacons {
    items: Map,
    pillar: Map,
    memory: BTreeMap<String, Memory>,
}

impl Beacons {
    /// Replaces the beacons of the configuration.
    pub fn set_items(&mut self, items: Map) {
        self.items = items;
        self.memory.clear();
    }

    /// Replaces the beacons of the pillar.
    pub fn set_pillar(&mut self, items: Map) {
        self.pillar = items;
        self.memory.clear();
    }

    /// The beacons, with settings such as `enabled`: those of the configuration, those of
    /// the pillar, or both.
    pub fn items(&self, configured: bool, pillar: bool) -> Map {
        let mut all = match configured {
            true => self.items.clone(),
            false => Map::new(),
        };
        if pillar {
            all.extend(self.pillar.clone());
        }
        all
    }

    /// Whether a beacon is the pillar's.
    pub fn is_of_pillar(&self, name: &str) -> bool {
        self.pillar.get(name).is_some()
    }

    /// Adds a beacon, or replaces one.
    pub fn insert(&mut self, name: &str, data: Value) {
        self.items.insert(name, data);
        self.memory.remove(name);
    }

    /// Takes a beacon out; `false` if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.memory.remove(name);
        self.items.remove(name).is_some()
    }

    /// Lets beacons look, or none.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.items.insert("enabled", enabled);
    }

    /// Lets one beacon look, or not; `false` if there is none of that name.
    pub fn set_beacon_enabled(&mut self, name: &str, enabled: bool) -> bool {
        let entry = Value::from(Map::from([("enabled", enabled)]));
        match self.items.get_mut(name) {
            Some(Value::List(entries)) => {
                let stated = entries
                    .iter_mut()
                    .find(|entry| entry.get("enabled").is_some());
                match stated {
                    Some(stated) => *stated = entry,
                    None => entries.push(entry),
                }
                true
            }
            Some(Value::Map(map)) => {
                map.insert("enabled", enabled);
                true
            }
            _ => false,
        }
    }

    /// Takes all beacons of the configuration out.
    pub fn reset(&mut self) {
        self.items = Map::new();
        self.memory.clear();
    }

    /// Looks with every beacon whose time has come (`now`: Unix seconds).
    pub fn poll(
        &mut self,
        now: i64,
        machine: &dyn Observe,
        minion: &MinionData,
    ) -> Vec<BeaconEvent> {
        let items = self.items(true, true);
        let mut events = Vec::new();
        if items
            .get("enabled")
            .is_some_and(|enabled| !enabled.is_true())
        {
            return events;
        }
        for (name, data) in &items {
            let Some(name) = name.as_str().filter(|name| *name != "enabled") else {
                continue;
            };
            let config = merged(data);
            if config
                .get("enabled")
                .is_some_and(|enabled| !enabled.is_true())
            {
                continue;
            }
            let memory = self.memory.entry(name.to_owned()).or_default();
            if memory.next > now {
                continue;
            }
            let interval = config.get("interval").and_then(Value::as_int).unwrap_or(1);
            memory.next = now.saturating_add(interval.max(1));
            let module = config.str("beacon_module").unwrap_or(name).to_owned();
            for mut seen in modules::look(&module, &config, &mut memory.seen, machine) {
                let rest = seen
                    .remove("tag")
                    .map(|tag| python::str(&tag))
                    .unwrap_or_default();
                seen.insert("id", minion.id.as_str());
                let tag = format!("salt/beacon/{}/{name}/{rest}", minion.id);
                events.push(BeaconEvent { tag, data: seen });
            }
        }
        events
    }
}

/// A beacon's list of mappings as one.
pub(crate) fn merged(data: &Value) -> Map {
    match data {
        Value::List(entries) => {
            let mut all = Map::new();
            for entry in entries.iter().filter_map(Value::as_map) {
                all.extend(entry.clone());
            }
            all
        }
        Value::Map(map) => map.clone(),
        _ => Map::new(),
    }
}
