//! What runs at the very end: listeners and beacons.

use indexmap::IndexMap;
use salt_proto::{Map, Value};

use super::entry;
use super::{Engine, call};
use crate::compile::Chunk;
use crate::python;
use crate::registry::CallError;

/// The keys of a chunk that a listener does not keep.
const DROPPED: [&str; 22] = [
    "listen",
    "listen_in",
    "onchanges",
    "onchanges_any",
    "onchanges_in",
    "onfail",
    "onfail_all",
    "onfail_any",
    "onfail_in",
    "onfail_stop",
    "prereq",
    "prereq_in",
    "prerequired",
    "require",
    "require_any",
    "require_in",
    "watch",
    "watch_any",
    "watch_in",
    "use",
    "use_in",
    "__prereq__",
];

type Reference = (String, String);

impl Engine<'_> {
    /// Runs `mod_watch` of everything that listens to something that changed.
    pub(super) fn listen(&mut self) -> Result<(), CallError> {
        let mut listeners: IndexMap<Reference, Vec<Reference>> = IndexMap::new();
        let mut order: Vec<usize> = (0..self.lows.len()).collect();
        order.sort_by(|a, b| {
            let order = |at: &usize| match self.lows.get(*at).and_then(|low| low.get("order")) {
                #[expect(clippy::cast_precision_loss, reason = "order numbers are small")]
                Some(Value::Int(n)) => *n as f64,
                Some(Value::Float(x)) => *x,
                _ => 0.0,
            };
            order(a).total_cmp(&order(b))
        });
        for at in &order {
            let Some(low) = self.lows.get(*at) else {
                continue;
            };
            let part = |key| low.get(key).map(python::str).unwrap_or_default();
            let own = (part("state"), part("__id__"));
            for reference in self.references(low.get("listen")) {
                let known = listeners.entry(own.clone()).or_default();
                if !known.contains(&reference) {
                    known.push(reference);
                }
            }
            for listener in self.references(low.get("listen_in")) {
                let known = listeners.entry(listener).or_default();
                if !known.contains(&own) {
                    known.push(own.clone());
                }
            }
        }
        let mut done = Vec::new();
        for (listener, targets) in listeners {
            for (state, wanted) in targets {
                let tags: Vec<String> = self
                    .lows
                    .iter()
                    .zip(&self.tags)
                    .filter(|(low, _)| means(low, &state, &wanted))
                    .map(|(_, tag)| tag.clone())
                    .collect();
                if tags.is_empty() {
                    self.listen_error(&state, &wanted);
                    continue;
                }
                let changed = tags.iter().any(|tag| {
                    let entry = self.report.entries.get(tag);
                    entry.is_some_and(entry::has_changes)
                });
                if changed && !done.contains(&listener) {
                    done.push(listener.clone());
                }
            }
        }
        for (state, id) in done {
            let lows: Vec<Map> = order
                .iter()
                .filter_map(|at| self.lows.get(*at))
                .filter(|low| means(low, &state, &id))
                .cloned()
                .collect();
            for low in lows {
                self.afterwards(low, "mod_watch", "listener")?;
            }
        }
        Ok(())
    }

    /// Sets up the beacons of chunks with `beacon: true`.
    pub(super) fn beacons(&mut self) -> Result<(), CallError> {
        let wanting: Vec<Map> = self
            .lows
            .iter()
            .filter(|low| low.get("beacon").is_some_and(Value::is_true))
            .cloned()
            .collect();
        for low in wanting {
            self.afterwards(low, "mod_beacon", "beacon")?;
        }
        Ok(())
    }

    fn afterwards(&mut self, mut low: Map, function: &str, prefix: &str) -> Result<(), CallError> {
        for key in DROPPED {
            low.remove(key);
        }
        let declared = low.insert("fun", function).unwrap_or_default();
        low.insert("sfun", declared);
        let id = low.get("__id__").map(python::str).unwrap_or_default();
        low.insert("__id__", format!("{prefix}_{id}"));
        let tag = Chunk {
            low: low.clone(),
            ..Chunk::default()
        }
        .tag();
        if self.report.entries.contains_key(&tag) {
            return Ok(());
        }
        let called = call::call(self, &low, false)?;
        let malformed = called.is_malformed();
        let mut entry = called.into_entry();
        if !malformed {
            entry.remove("sub_state_run");
            self.fire(&low, &entry);
        }
        self.report.entries.insert(tag, entry);
        Ok(())
    }

    /// What a list of references names; a text alone is an ID or a name.
    fn references(&self, items: Option<&Value>) -> Vec<Reference> {
        let mut found = Vec::new();
        for item in items.and_then(Value::as_list).unwrap_or_default() {
            match item {
                Value::Map(map) => found.extend(
                    map.iter()
                        .map(|(key, value)| (python::str(key), python::str(value))),
                ),
                other => {
                    let wanted = python::str(other);
                    let chunk = self.lows.iter().find(|low| {
                        ["__id__", "name"]
                            .into_iter()
                            .any(|key| low.get(key).map(python::str).as_ref() == Some(&wanted))
                    });
                    let state = chunk.and_then(|low| low.get("state")).map(python::str);
                    found.push((state.unwrap_or_else(|| "id".to_owned()), wanted));
                }
            }
        }
        found
    }

    fn listen_error(&mut self, state: &str, wanted: &str) {
        let tag = format!("Listen_Error_|-listen_{wanted}_|-listen_{state}_|-Listen_Error");
        let mut entry = Map::new();
        entry.insert(
            "comment",
            format!("Referenced state {state}: {wanted} does not exist"),
        );
        entry.insert("name", format!("listen_{state}:{wanted}"));
        entry.insert("result", false);
        entry.insert("changes", Map::new());
        entry.insert("__run_num__", self.number());
        self.report.entries.insert(tag, entry);
    }
}

fn means(low: &Map, state: &str, wanted: &str) -> bool {
    low.str("state") == Some(state)
        && ["__id__", "name"]
            .into_iter()
            .any(|key| low.get(key).map(python::str).as_deref() == Some(wanted))
}
