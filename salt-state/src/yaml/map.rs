//! The mapping of a node: insertion order, few keys as a rule.

use std::hash::{BuildHasher, RandomState};

use salt_proto::Value;

use super::node::{Entry, Node};

/// From this many entries on, keys are found through hashes.
const INDEXED_FROM: usize = 12;

/// The mapping of a [`Node`](super::Node), in insertion order.
///
/// Most mappings of a tree have one to five keys, which are found fastest by looking at
/// all of them; larger ones keep an index.
#[derive(Clone, Debug, Default)]
pub struct NodeMap {
    entries: Vec<(Value, Entry)>,
    /// Positions by hash of the key, once there are many.
    index: Option<Box<Index>>,
}

/// An open-addressing table of hashes and positions; a position is stored one up, zero is
/// free. At most half of the slots are used.
#[derive(Clone, Debug)]
struct Index {
    slots: Vec<(u32, u32)>,
    random: RandomState,
}

impl Index {
    fn of(entries: &[(Value, Entry)]) -> Self {
        let mut index = Self {
            slots: vec![(0, 0); (entries.len() * 4).next_power_of_two()],
            random: RandomState::new(),
        };
        for (at, (key, _)) in entries.iter().enumerate() {
            let hash = key.hash_code(&index.random);
            index.put(hash, at);
        }
        index
    }

    /// Adds an entry whose key is not there yet; a table that is half full grows.
    fn add(&mut self, key: &Value, at: usize) {
        if (at + 1) * 2 > self.slots.len() {
            let slots = vec![(0, 0); self.slots.len() * 2];
            for (hash, position) in std::mem::replace(&mut self.slots, slots) {
                if position != 0 {
                    self.put(hash, position as usize - 1);
                }
            }
        }
        let hash = key.hash_code(&self.random);
        self.put(hash, at);
    }

    fn put(&mut self, hash: u32, at: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot].1 != 0 {
            slot = (slot + 1) & mask;
        }
        // A vector of more than 2³² entries does not exist.
        self.slots[slot] = (hash, u32::try_from(at + 1).unwrap_or(u32::MAX));
    }

    fn find(&self, key: &(impl Lookup + ?Sized), entries: &[(Value, Entry)]) -> Option<usize> {
        let hash = key.hash_code(&self.random);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                (_, 0) => return None,
                (known, at) if known == hash => {
                    let at = at as usize - 1;
                    if entries.get(at).is_some_and(|(known, _)| key.is(known)) {
                        return Some(at);
                    }
                }
                _ => {}
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// The low half, which is all that a table needs.
#[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
fn low(hash: u64) -> u32 {
    hash as u32
}

/// Text to look up in a [`NodeMap`], which spares making a value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'t>(pub &'t str);

/// What can be looked up in a [`NodeMap`].
pub trait Lookup {
    /// Whether it is this key.
    fn is(&self, key: &Value) -> bool;

    /// A hash that agrees with that of the key it is.
    fn hash_code(&self, random: &RandomState) -> u32;
}

impl Lookup for Value {
    fn is(&self, key: &Value) -> bool {
        self == key
    }

    fn hash_code(&self, random: &RandomState) -> u32 {
        low(random.hash_one(self))
    }
}

impl Lookup for Text<'_> {
    fn is(&self, key: &Value) -> bool {
        key.as_str() == Some(self.0)
    }

    fn hash_code(&self, random: &RandomState) -> u32 {
        // A value hashes its text as the text itself.
        low(random.hash_one(self.0))
    }
}

impl NodeMap {
    /// An empty mapping.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty mapping with room for `n` entries.
    pub fn with_capacity(n: usize) -> Self {
        Self {
            entries: Vec::with_capacity(n),
            index: None,
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position(&self, key: &(impl Lookup + ?Sized)) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|(known, _)| key.is(known)),
            Some(index) => index.find(key, &self.entries),
        }
    }

    fn rebuild(&mut self) {
        let many = self.entries.len() >= INDEXED_FROM;
        self.index = many.then(|| Box::new(Index::of(&self.entries)));
    }

    /// Appends an entry whose key is not there.
    fn push(&mut self, key: Value, entry: Entry) {
        if let Some(index) = &mut self.index {
            index.add(&key, self.entries.len());
        }
        self.entries.push((key, entry));
        if self.index.is_none() && self.entries.len() >= INDEXED_FROM {
            self.rebuild();
        }
    }

    /// The entry of a key.
    pub fn get(&self, key: &(impl Lookup + ?Sized)) -> Option<&Entry> {
        let at = self.position(key)?;
        self.entries.get(at).map(|(_, entry)| entry)
    }

    /// The entry of a key, for changing.
    pub fn get_mut(&mut self, key: &(impl Lookup + ?Sized)) -> Option<&mut Entry> {
        let at = self.position(key)?;
        self.entries.get_mut(at).map(|(_, entry)| entry)
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &(impl Lookup + ?Sized)) -> bool {
        self.position(key).is_some()
    }

    /// Sets an entry; an existing key keeps its place. Returns the former entry.
    pub fn insert(&mut self, key: Value, entry: Entry) -> Option<Entry> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, entry));
        }
        self.push(key, entry);
        None
    }

    /// The entry of a key, made when it is not there.
    pub fn get_or_insert_with(&mut self, key: &Value, make: impl FnOnce() -> Entry) -> &Entry {
        let at = match self.position(key) {
            Some(at) => at,
            None => {
                self.push(key.clone(), make());
                self.entries.len() - 1
            }
        };
        // The position was found or made just now.
        &self.entries[at].1
    }

    /// Takes an entry out, keeping the order of the others.
    pub fn remove(&mut self, key: &(impl Lookup + ?Sized)) -> Option<Entry> {
        let at = self.position(key)?;
        let (_, entry) = self.entries.remove(at);
        if self.index.is_some() {
            self.rebuild();
        }
        Some(entry)
    }

    /// Keeps only the entries that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Value, &Entry) -> bool) {
        self.entries.retain(|(key, entry)| keep(key, entry));
        self.rebuild();
    }

    /// The entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Value, &Entry)> + ExactSizeIterator {
        self.entries.iter().map(|(key, entry)| (key, entry))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The entries in order, without keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// The entries in order, for changing.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Entry> {
        self.entries.iter_mut().map(|(_, entry)| entry)
    }

    /// The first entry.
    pub fn first(&self) -> Option<(&Value, &Entry)> {
        self.iter().next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<(&Value, &Entry)> {
        self.iter().next_back()
    }

    /// Sets an entry whose key is not there yet.
    ///
    /// # Errors
    ///
    /// The key, when it is there; nothing is set then.
    pub fn insert_new(&mut self, key: Value, entry: Entry) -> Result<(), Value> {
        match self.position(&key) {
            Some(_) => Err(key),
            None => {
                self.push(key, entry);
                Ok(())
            }
        }
    }

    /// The value at a position, for changing.
    pub fn value_at_mut(&mut self, at: usize) -> Option<&mut Node> {
        self.entries.get_mut(at).map(|(_, entry)| &mut entry.value)
    }

    /// The entry at a position.
    pub fn get_index(&self, at: usize) -> Option<(&Value, &Entry)> {
        self.entries.get(at).map(|(key, entry)| (key, entry))
    }
}

impl FromIterator<(Value, Entry)> for NodeMap {
    fn from_iter<I: IntoIterator<Item = (Value, Entry)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl Extend<(Value, Entry)> for NodeMap {
    fn extend<I: IntoIterator<Item = (Value, Entry)>>(&mut self, entries: I) {
        let entries = entries.into_iter();
        self.entries.reserve(entries.size_hint().0);
        for (key, entry) in entries {
            self.insert(key, entry);
        }
    }
}

impl<const N: usize> From<[(Value, Entry); N]> for NodeMap {
    fn from(entries: [(Value, Entry); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl IntoIterator for NodeMap {
    type Item = (Value, Entry);
    type IntoIter = std::vec::IntoIter<(Value, Entry)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'m> IntoIterator for &'m NodeMap {
    type Item = (&'m Value, &'m Entry);
    type IntoIter = Box<dyn Iterator<Item = (&'m Value, &'m Entry)> + 'm>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Node, Span};

    #[test]
    fn many_keys_are_found_in_order_after_removal() {
        let entry = |n: i64| Entry {
            key: Span::default(),
            value: Node::scalar(n),
        };
        let mut map: NodeMap = (0..100)
            .map(|n| (Value::from(format!("k{n}")), entry(n)))
            .collect();

        assert!(map.remove(&Text("k5")).is_some());
        assert!(!map.contains_key(&Text("k5")));
        assert_eq!(
            map.get(&Text("k77")).map(|e| e.value.to_value()),
            Some(Value::Int(77))
        );
        assert_eq!(
            map.get(&Value::from("k99")).map(|e| e.value.to_value()),
            Some(Value::Int(99))
        );
        assert_eq!(map.len(), 99);
        assert!(map.insert(Value::from(true), entry(1)).is_none());
        assert!(map.insert(Value::from(1), entry(2)).is_some());
    }
}
