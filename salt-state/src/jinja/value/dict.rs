//! Python's `dict`.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::rc::Rc;

use indexmap::IndexMap;

use super::{Key, Value, drop_flat};

/// A dict in insertion order; a clone is the same dict.
#[derive(Clone)]
pub struct Dict(Rc<DictCell>);

struct DictCell {
    entries: RefCell<IndexMap<Key, Value>>,
    class: Cell<DictClass>,
    /// How the rest of the entries is found, where some come late.
    late: RefCell<Option<Box<Late>>>,
}

/// Entries that are found out when they are needed.
struct Late {
    names: &'static [&'static str],
    find: Box<dyn FnOnce() -> Vec<(Key, Value)>>,
}

/// Which of Python's dict classes a [`Dict`] shows itself as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DictClass {
    /// `dict`.
    #[default]
    Dict,
    /// `OrderedDict`, whose `repr` differs.
    Ordered,
    /// What grains and pillar are wrapped in before Salt 3008; a `dict` but for its name.
    Namespaced,
}

impl DictClass {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dict => "dict",
            Self::Ordered => "OrderedDict",
            Self::Namespaced => "NamespacedDictWrapper",
        }
    }
}

impl Dict {
    /// An empty dict.
    pub fn new() -> Self {
        Self::of(DictClass::Dict, IndexMap::new())
    }

    /// A dict of a class with these entries.
    pub fn of(class: DictClass, entries: IndexMap<Key, Value>) -> Self {
        Self(Rc::new(DictCell {
            entries: RefCell::new(entries),
            class: Cell::new(class),
            late: RefCell::new(None),
        }))
    }

    /// Leaves finding the entries of these `names` until one of them, or the dict as a
    /// whole, is needed. `find` gives all entries in their order; those that are here
    /// already stay the values they are.
    pub(crate) fn find_late(
        &self,
        names: &'static [&'static str],
        find: impl FnOnce() -> Vec<(Key, Value)> + 'static,
    ) {
        let find = Box::new(find);
        self.0.late.replace(Some(Box::new(Late { names, find })));
    }

    /// Finds what comes late.
    fn complete(&self) {
        if self.0.late.borrow().is_none() {
            return;
        }
        let Some(late) = self.0.late.take() else {
            return;
        };
        let all = (late.find)();
        let mut entries = self.0.entries.borrow_mut();
        let mut here = std::mem::take(&mut *entries);
        for (key, value) in all {
            let value = here.swap_remove(&key).unwrap_or(value);
            entries.insert(key, value);
        }
        entries.extend(here);
    }

    /// Whether the entry of a name that is not here may come late.
    fn may_have(&self, name: Option<&str>) -> bool {
        let late = self.0.late.borrow();
        late.as_ref()
            .is_some_and(|late| name.is_some_and(|name| late.names.contains(&name)))
    }

    /// The class it shows itself as.
    pub fn class(&self) -> DictClass {
        self.0.class.get()
    }

    /// The entries. Must not be held while template code runs.
    pub fn borrow(&self) -> Ref<'_, IndexMap<Key, Value>> {
        self.complete();
        self.0.entries.borrow()
    }

    /// The entries, for changing. Must not be held while template code runs.
    pub fn borrow_mut(&self) -> RefMut<'_, IndexMap<Key, Value>> {
        self.complete();
        self.0.entries.borrow_mut()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.borrow().len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.borrow().is_empty()
    }

    /// The value under a text key.
    pub fn get(&self, key: &str) -> Option<Value> {
        let found = self.0.entries.borrow().get(key).cloned();
        if found.is_none() && self.may_have(Some(key)) {
            return self.borrow().get(key).cloned();
        }
        found
    }

    /// The value under any key.
    pub fn get_key(&self, key: &Key) -> Option<Value> {
        let found = self.0.entries.borrow().get(key).cloned();
        if found.is_none() && self.may_have(key.value().as_str()) {
            return self.borrow().get(key).cloned();
        }
        found
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &Key) -> bool {
        let found = self.0.entries.borrow().contains_key(key);
        found || self.may_have(key.value().as_str()) && self.borrow().contains_key(key)
    }

    /// Sets a value under a text key; an existing key keeps its place.
    pub fn set(&self, key: &str, value: Value) {
        self.insert(Key::text(key), value);
    }

    /// Sets a value; an existing key keeps its place.
    pub fn insert(&self, key: Key, value: Value) {
        // The former value is dropped after the borrow ends.
        let former = self.borrow_mut().insert(key, value);
        drop(former);
    }

    /// A copy of the entries.
    pub fn entries(&self) -> Vec<(Value, Value)> {
        self.borrow()
            .iter()
            .map(|(key, value)| (key.value().clone(), value.clone()))
            .collect()
    }

    /// The entry at a position.
    pub(crate) fn entry(&self, index: usize) -> Option<(Value, Value)> {
        self.borrow()
            .get_index(index)
            .map(|(key, value)| (key.value().clone(), value.clone()))
    }

    /// A new dict with the same entries and class.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::of(self.class(), self.borrow().clone())
    }

    /// Whether both are the same dict.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    pub(super) fn release(&mut self, out: &mut Vec<Value>) {
        if let Some(cell) = Rc::get_mut(&mut self.0) {
            take_all(cell.entries.get_mut(), out);
        }
    }
}

impl Default for Dict {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Into<super::Str>> FromIterator<(K, Value)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(k, v)| (Key::text(k), v));
        Self::of(DictClass::Dict, entries.collect())
    }
}

fn take_all(entries: &mut IndexMap<Key, Value>, out: &mut Vec<Value>) {
    for (key, value) in entries.drain(..) {
        out.push(key.into_value());
        out.push(value);
    }
}

impl Drop for DictCell {
    fn drop(&mut self) {
        let entries = self.entries.get_mut();
        let nested = |value: &Value| value.holds_values();
        if entries.iter().any(|(k, v)| nested(k.value()) || nested(v)) {
            let mut out = Vec::new();
            take_all(entries, &mut out);
            drop_flat(out);
        }
    }
}
