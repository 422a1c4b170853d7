//! Mappings in insertion order.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use super::Value;

/// A mapping in insertion order, with any scalar as key.
///
/// Keys are equal as in Python: `1`, `1.0` and `True` are one key. Small maps,
/// which most are, hold nothing but their entries and are searched from the
/// front; larger ones keep an index whose hash is keyed at random, so that a
/// peer cannot choose colliding keys.
#[derive(Clone, Default)]
pub struct Map {
    entries: Vec<(Value, Value)>,
    index: Option<Box<Index>>,
}

/// Up to this many entries a search from the front is faster than hashing: keys
/// mostly differ in length or in their first bytes.
const LINEAR: usize = 16;

/// What is looked for: text is not copied for it.
#[derive(Clone, Copy)]
enum Key<'a> {
    Text(&'a str),
    Any(&'a Value),
}

impl Key<'_> {
    fn is(self, key: &Value) -> bool {
        match self {
            Self::Text(text) => matches!(key, Value::Str(own) if own == text),
            Self::Any(value) => value == key,
        }
    }
}

impl<'a> From<&'a Value> for Key<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            // Text equals only text, and comparing that is cheaper.
            Value::Str(text) => Self::Text(text),
            other => Self::Any(other),
        }
    }
}

impl Map {
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

    /// A mapping of entries whose keys are known to differ, which is not checked: of two
    /// equal keys one would never be found.
    pub fn of_distinct(entries: Vec<(Value, Value)>) -> Self {
        let mut map = Self {
            entries,
            index: None,
        };
        map.index_if_large();
        map
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value under a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.value_at(self.position(Key::Text(key))?)
    }

    /// The value under any key.
    pub fn get_value(&self, key: &Value) -> Option<&Value> {
        self.value_at(self.position(key.into())?)
    }

    /// The value under a text key, for changing.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = self.position(Key::Text(key))?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// The value under any key, for changing.
    pub fn get_value_mut(&mut self, key: &Value) -> Option<&mut Value> {
        let at = self.position(key.into())?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// The text under a text key.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Whether a text key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(Key::Text(key)).is_some()
    }

    /// Sets a value; an existing key keeps its place. Returns the former value.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) -> Option<Value> {
        self.insert_value(key.into(), value.into())
    }

    fn insert_value(&mut self, key: Value, value: Value) -> Option<Value> {
        match self.position((&key).into()) {
            Some(at) => {
                let (_, slot) = self.entries.get_mut(at)?;
                Some(std::mem::replace(slot, value))
            }
            None => {
                self.push(key, value);
                None
            }
        }
    }

    /// Takes an entry out, keeping the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.position(Key::Text(key))?;
        Some(self.remove_at(at))
    }

    /// Takes an entry out by any key, keeping the order of the others.
    pub fn remove_value(&mut self, key: &Value) -> Option<Value> {
        let at = self.position(key.into())?;
        Some(self.remove_at(at))
    }

    /// The value under `key`, inserted from `make` when absent.
    pub fn get_or_insert_with(
        &mut self,
        key: impl Into<Value>,
        make: impl FnOnce() -> Value,
    ) -> &mut Value {
        let key = key.into();
        let at = match self.position((&key).into()) {
            Some(at) => at,
            None => {
                self.push(key, make());
                self.entries.len() - 1
            }
        };
        &mut self.entries[at].1
    }

    /// The entries in order.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&Value, &Value)> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The entries in order, values for changing.
    pub fn iter_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = (&Value, &mut Value)> + ExactSizeIterator {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values in order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Keeps only the entries that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Value, &mut Value) -> bool) {
        let before = self.entries.len();
        self.entries.retain_mut(|(key, value)| keep(key, value));
        if self.entries.len() != before {
            self.index = None;
            self.index_if_large();
        }
    }

    fn value_at(&self, at: usize) -> Option<&Value> {
        self.entries.get(at).map(|(_, value)| value)
    }

    fn position(&self, key: Key<'_>) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|(own, _)| key.is(own)),
            Some(index) => index.find(key, &self.entries),
        }
    }

    /// Appends an entry whose key is known to be absent.
    fn push(&mut self, key: Value, value: Value) {
        self.entries.push((key, value));
        match &mut self.index {
            Some(index) if index.has_room_for(self.entries.len()) => index.add_last(&self.entries),
            _ => self.index_if_large(),
        }
    }

    fn index_if_large(&mut self) {
        if self.entries.len() > LINEAR {
            self.index = Some(Box::new(Index::of(&self.entries, self.entries.capacity())));
        }
    }

    fn remove_at(&mut self, at: usize) -> Value {
        if let Some(index) = &mut self.index {
            index.remove(at, &self.entries);
        }
        self.entries.remove(at).1
    }
}

/// An open-addressing table of positions; a position is stored one up, zero is free.
#[derive(Clone)]
struct Index {
    slots: Vec<u32>,
    random: RandomState,
}

impl Index {
    /// At most half of the slots are used, and there are enough for `expected` entries.
    fn of(entries: &[(Value, Value)], expected: usize) -> Self {
        let len = (entries.len().max(expected) * 2).next_power_of_two();
        let mut index = Self {
            slots: vec![0; len],
            random: RandomState::new(),
        };
        for at in 0..entries.len() {
            index.add(at, entries);
        }
        index
    }

    fn has_room_for(&self, entries: usize) -> bool {
        entries * 2 <= self.slots.len()
    }

    fn add_last(&mut self, entries: &[(Value, Value)]) {
        self.add(entries.len() - 1, entries);
    }

    fn add(&mut self, at: usize, entries: &[(Value, Value)]) {
        let mut slot = self.home((&entries[at].0).into());
        while self.slots[slot] != 0 {
            slot = self.next(slot);
        }
        // A vector of more than 2³² entries of 64 bytes does not exist.
        self.slots[slot] = u32::try_from(at + 1).unwrap_or(u32::MAX);
    }

    fn find(&self, key: Key<'_>, entries: &[(Value, Value)]) -> Option<usize> {
        let slot = self.find_slot(key, entries)?;
        Some(self.slots[slot] as usize - 1)
    }

    fn find_slot(&self, key: Key<'_>, entries: &[(Value, Value)]) -> Option<usize> {
        let mut slot = self.home(key);
        loop {
            match self.slots[slot] {
                0 => return None,
                at if key.is(&entries[at as usize - 1].0) => return Some(slot),
                _ => slot = self.next(slot),
            }
        }
    }

    /// Forgets the entry at a position, which is still there, and moves the
    /// later positions down.
    fn remove(&mut self, at: usize, entries: &[(Value, Value)]) {
        let Some(mut hole) = self.find_slot((&entries[at].0).into(), entries) else {
            return;
        };
        let mask = self.slots.len() - 1;
        let mut slot = hole;
        loop {
            slot = self.next(slot);
            let Some(moved) = (self.slots[slot] as usize).checked_sub(1) else {
                break;
            };
            // Entries that probed past the hole move into it.
            let home = self.home((&entries[moved].0).into());
            if (slot.wrapping_sub(home) & mask) >= (slot.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[slot];
                hole = slot;
            }
        }
        self.slots[hole] = 0;
        for position in &mut self.slots {
            if *position as usize > at + 1 {
                *position -= 1;
            }
        }
    }

    fn home(&self, key: Key<'_>) -> usize {
        let hash = match key {
            Key::Text(text) => self.random.hash_one(text),
            Key::Any(value) => self.random.hash_one(value),
        };
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
        let low = hash as usize;
        low & (self.slots.len() - 1)
    }

    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }
}

impl PartialEq for Map {
    /// The same entries, in any order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get_value(key) == Some(value))
    }
}

impl Eq for Map {}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Into<Value>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Map {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Into<Value>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        let entries = entries.into_iter();
        self.entries.reserve(entries.size_hint().0);
        for (key, value) in entries {
            self.insert_value(key.into(), value.into());
        }
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// The entries of a [`Map`], in order.
#[derive(Clone, Debug)]
pub struct Entries<'a>(std::slice::Iter<'a, (Value, Value)>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a Value, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| (key, value))
    }
}

impl ExactSizeIterator for Entries<'_> {}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Value, &'a Value);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        Entries(self.entries.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_finds_text_keys_by_str_and_keeps_order() {
        let mut map = Map::from([("b", 1), ("a", 2)]);
        map.insert("b", 3);

        assert_eq!(map.get("b"), Some(&Value::Int(3)));
        assert_eq!(
            map.keys().filter_map(Value::as_str).collect::<Vec<_>>(),
            ["b", "a"]
        );
    }

    #[test]
    fn a_map_of_distinct_keys_is_as_if_they_were_inserted() {
        for n in [0, 3, 40] {
            let entries: Vec<_> = (0..n).map(|n| (Value::Int(n), Value::Int(n * 2))).collect();
            let inserted: Map = entries.iter().cloned().collect();
            let mut made = Map::of_distinct(entries);
            assert_eq!(made, inserted);
            assert_eq!(made.insert(n, "new"), None);
            assert_eq!(made.get_value(&Value::Int(n)), Some(&"new".into()));
        }
    }

    #[test]
    fn numbers_that_python_calls_equal_are_one_key() {
        for fill in [0, 100] {
            let mut map: Map = (2..2 + fill).map(|n| (n, n)).collect();
            map.insert(1, "int");
            map.insert(true, "bool");
            map.insert(1.0, "float");

            assert_eq!(map.len(), usize::try_from(fill).unwrap() + 1);
            assert_eq!(map.get_value(&Value::Int(1)), Some(&"float".into()));
        }
    }

    /// Does the same to a map and to a plain list of entries.
    #[test]
    fn a_map_behaves_as_a_list_of_entries_at_every_size() {
        let mut map = Map::new();
        let mut model: Vec<(i64, i64)> = Vec::new();
        let mut state = 1_u64;
        for step in 0..20_000_i64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let key = i64::try_from((state >> 33) % 60).unwrap();
            let known = model.iter().position(|(own, _)| *own == key);
            // Grows for a while, shrinks for a while.
            if (step / 500) % 2 == 0 {
                let former = map.insert(key, step);
                match known {
                    Some(at) => assert_eq!(
                        former,
                        Some(Value::Int(std::mem::replace(&mut model[at].1, step)))
                    ),
                    None => {
                        assert_eq!(former, None);
                        model.push((key, step));
                    }
                }
            } else {
                let removed = map.remove_value(&Value::Int(key));
                assert_eq!(removed, known.map(|at| Value::Int(model.remove(at).1)));
            }
            assert_eq!(map.len(), model.len());
            assert_eq!(
                map.get_value(&Value::Int(key)),
                model
                    .iter()
                    .find(|(own, _)| *own == key)
                    .map(|(_, value)| Value::Int(*value))
                    .as_ref()
            );
        }
        let pairs: Vec<_> = map.into_iter().collect();
        let expected: Vec<_> = model
            .into_iter()
            .map(|(k, v)| (Value::Int(k), Value::Int(v)))
            .collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn maps_are_equal_in_any_order() {
        let forwards: Map = (0..50).map(|n| (n, n.to_string())).collect();
        let backwards: Map = (0..50).rev().map(|n| (n, n.to_string())).collect();
        assert_eq!(forwards, backwards);
        let mut other = backwards;
        other.insert(7, "x");
        assert_ne!(forwards, other);
    }

    // T-01
    #[test]
    fn a_million_keys_that_are_no_numbers_take_no_time() {
        let mut map = Map::new();
        for _ in 0..1_000_000 {
            map.insert(f64::NAN, ());
        }
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn retaining_some_keeps_the_index_right() {
        let mut map: Map = (0..100).map(|n| (n, n)).collect();
        map.retain(|key, _| key.as_int().is_some_and(|n| n % 3 == 0));
        assert_eq!(map.len(), 34);
        assert_eq!(map.get_value(&Value::Int(99)), Some(&Value::Int(99)));
        assert_eq!(map.get_value(&Value::Int(98)), None);
    }
}
