//! The names of one scope.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use indexmap::IndexMap;

/// A variable: the function it belongs to, by depth, and its slot there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) function: usize,
    pub(super) slot: u32,
}

/// What a variable holds when its scope is entered.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// It is set by whoever enters the scope.
    Parameter,
    /// What the context has under the name.
    Resolve(Rc<str>),
    /// What a variable of an outer scope holds.
    Alias(Variable),
    /// Nothing yet.
    Missing,
}

/// The names of one scope.
#[derive(Clone, Debug)]
pub(super) struct Symbols {
    /// The scope outside, or for an overlay the scope it is a branch of.
    pub(super) parent: Option<usize>,
    /// This is a branch of its parent, holding only what it adds.
    pub(super) overlay: bool,
    pub(super) level: u32,
    pub(super) function: usize,
    pub(super) refs: HashMap<Rc<str>, Variable>,
    pub(super) loads: IndexMap<u32, Load>,
    pub(super) stores: BTreeSet<Rc<str>>,
}

impl Symbols {
    pub(super) fn new(parent: Option<usize>, level: u32, function: usize) -> Self {
        Self {
            parent,
            overlay: false,
            level,
            function,
            refs: HashMap::new(),
            loads: IndexMap::new(),
            stores: BTreeSet::new(),
        }
    }
}
