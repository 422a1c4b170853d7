//! Grains of which some are found out only when somebody asks for them.

use std::collections::HashSet;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use salt_proto::{Map, Value};

/// The grains that only another program can tell, which may therefore come late.
pub(super) const LATE: [&str; 6] = [
    "gpus",
    "num_gpus",
    "osarch",
    "systemd",
    "virtual",
    "virtual_subtype",
];

/// A minion's grains: a [`Map`] for whoever reads it as one.
///
/// With [`gather_lazily`](super::gather_lazily) the few grains that another program has
/// to be run for are found out late: when the mapping is read as a whole, or when one of
/// them is asked for by its name through [`get`](Self::get), [`str`](Self::str) or
/// [`contains_key`](Self::contains_key). Nobody can tell the difference but by the time
/// it takes. A clone shares what is found out.
///
/// ```
/// use salt_proto::Map;
/// use salt_state::grains::Grains;
///
/// let grains = Grains::from(Map::from([("role", "web")]));
///
/// assert_eq!(grains.str("role"), Some("web"));
/// assert_eq!(grains.iter().count(), 1);
/// ```
#[derive(Clone, Default)]
pub struct Grains(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// All grains, or all but the late ones.
    known: Map,
    rest: Option<Rest>,
}

struct Rest {
    /// Makes all grains.
    find: Box<dyn Fn() -> Map + Send + Sync>,
    all: OnceLock<Map>,
}

impl Grains {
    /// `known` now and what `find` makes of them, in its order, once it is needed. The
    /// two may differ only in the names of [`LATE`].
    pub(super) fn with_late(known: Map, find: impl Fn() -> Map + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            known,
            rest: Some(Rest {
                find: Box::new(find),
                all: OnceLock::new(),
            }),
        }))
    }

    /// What is known without running anything.
    pub fn known(&self) -> &Map {
        match &self.0.rest {
            Some(rest) => rest.all.get().unwrap_or(&self.0.known),
            None => &self.0.known,
        }
    }

    /// The names of those that are not in [`Grains::known`] yet.
    pub fn late_names(&self) -> &'static [&'static str] {
        match &self.0.rest {
            Some(rest) if rest.all.get().is_none() => &LATE,
            _ => &[],
        }
    }

    /// The value of a grain.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let known = self.known().get(name);
        if known.is_none() && self.late_names().contains(&name) {
            return self.all().get(name);
        }
        known
    }

    /// The text of a grain.
    pub fn str(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Whether there is a grain of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The mapping that is enough to see whether an expression that `mentions` names
    /// means this minion: all grains only where one of the late ones may be among them.
    pub(crate) fn for_target(&self, mentions: impl Fn(&str) -> bool) -> &Map {
        match self.late_names().iter().any(|name| mentions(name)) {
            true => self.all(),
            false => self.known(),
        }
    }

    fn all(&self) -> &Map {
        match &self.0.rest {
            Some(rest) => rest.all.get_or_init(&rest.find),
            None => &self.0.known,
        }
    }
}

impl Deref for Grains {
    type Target = Map;

    fn deref(&self) -> &Map {
        self.all()
    }
}

impl DerefMut for Grains {
    fn deref_mut(&mut self) -> &mut Map {
        let plain = Arc::get_mut(&mut self.0).is_some_and(|inner| inner.rest.is_none());
        if !plain {
            *self = Self::from(self.all().clone());
        }
        // Just made, or found to be the only one.
        &mut Arc::make_mut(&mut self.0).known
    }
}

impl Clone for Inner {
    /// Only for mappings without late entries.
    fn clone(&self) -> Self {
        Self {
            known: self.known.clone(),
            rest: None,
        }
    }
}

impl From<Map> for Grains {
    fn from(known: Map) -> Self {
        Self(Arc::new(Inner { known, rest: None }))
    }
}

impl From<Grains> for Map {
    fn from(grains: Grains) -> Self {
        grains.all().clone()
    }
}

impl From<Grains> for Value {
    fn from(grains: Grains) -> Self {
        Map::from(grains).into()
    }
}

impl PartialEq for Grains {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.all() == other.all()
    }
}

impl fmt::Debug for Grains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late: HashSet<_> = self.late_names().iter().collect();
        f.debug_struct("Grains")
            .field("known", self.known())
            .field("late", &late)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_who_asks_for_a_late_grain_or_for_all_makes_it_be_found_out() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let count = || asked.load(Ordering::Relaxed);
        let grains = Grains::with_late(Map::from([("os", "Debian")]), move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Map::from([("virtual", "kvm"), ("os", "Debian")])
        });
        let copy = grains.clone();

        assert_eq!(grains.str("os"), Some("Debian"));
        assert!(!grains.contains_key("role"));
        assert_eq!(
            grains.for_target(|name| "os:Debian".contains(name)).len(),
            1
        );
        assert_eq!(count(), 0);
        assert_eq!(grains.str("virtual"), Some("kvm"));
        assert_eq!(count(), 1);
        assert_eq!(copy.iter().count(), 2);
        assert_eq!(count(), 1);
        assert!(copy.late_names().is_empty());
    }

    #[test]
    fn a_change_leaves_the_other_clones_alone() {
        let first = Grains::with_late(Map::new(), || Map::from([("virtual", "kvm")]));
        let mut second = first.clone();

        second.insert("role", "web");

        assert_eq!(first.len(), 1);
        assert_eq!(second.len(), 2);
        second.insert("role", "db");
        assert_eq!(second.str("role"), Some("db"));
        assert_ne!(first, second);
    }
}
