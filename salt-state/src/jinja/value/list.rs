//! Python's `list` and `tuple`.

use std::cell::{Ref, RefCell, RefMut};
use std::ops::Deref;
use std::rc::Rc;

use super::{Value, drop_flat};

/// A list; a clone is the same list.
#[derive(Clone)]
pub struct List(Rc<ListCell>);

struct ListCell(RefCell<Vec<Value>>);

impl List {
    /// A new list.
    pub fn new(items: Vec<Value>) -> Self {
        Self(Rc::new(ListCell(RefCell::new(items))))
    }

    /// The items. Must not be held while template code runs.
    pub fn borrow(&self) -> Ref<'_, Vec<Value>> {
        self.0.0.borrow()
    }

    /// The items, for changing. Must not be held while template code runs.
    pub fn borrow_mut(&self) -> RefMut<'_, Vec<Value>> {
        self.0.0.borrow_mut()
    }

    /// A copy of the items.
    pub fn to_vec(&self) -> Vec<Value> {
        self.borrow().clone()
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.borrow().len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.borrow().is_empty()
    }

    /// The item at a position from the front.
    pub fn get(&self, index: usize) -> Option<Value> {
        self.borrow().get(index).cloned()
    }

    /// Adds an item at the end.
    pub fn push(&self, value: Value) {
        self.borrow_mut().push(value);
    }

    /// Whether both are the same list.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    pub(super) fn release(&mut self, out: &mut Vec<Value>) {
        if let Some(cell) = Rc::get_mut(&mut self.0) {
            out.append(cell.0.get_mut());
        }
    }
}

impl Drop for ListCell {
    fn drop(&mut self) {
        drop_flat(std::mem::take(self.0.get_mut()));
    }
}

/// A tuple.
#[derive(Clone)]
pub struct Tuple(Rc<TupleCell>);

struct TupleCell {
    items: Vec<Value>,
    names: &'static [&'static str],
}

impl Tuple {
    /// A tuple of these items.
    pub fn new(items: Vec<Value>) -> Self {
        Self::named(items, &[])
    }

    /// A named tuple: its first items are attributes too.
    pub(crate) fn named(items: Vec<Value>, names: &'static [&'static str]) -> Self {
        Self(Rc::new(TupleCell { items, names }))
    }

    pub(crate) fn is_named(&self) -> bool {
        !self.0.names.is_empty()
    }

    /// The item of a named tuple.
    pub(crate) fn by_name(&self, name: &str) -> Option<Value> {
        let at = self.0.names.iter().position(|own| *own == name)?;
        self.0.items.get(at).cloned()
    }

    /// Whether both are the same object.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn release(&mut self, out: &mut Vec<Value>) {
        if let Some(cell) = Rc::get_mut(&mut self.0) {
            out.append(&mut cell.items);
        }
    }
}

impl Deref for Tuple {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.items
    }
}

impl Drop for TupleCell {
    fn drop(&mut self) {
        drop_flat(std::mem::take(&mut self.items));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_nested_a_million_times_is_dropped_without_recursion() {
        let mut value = Value::None;
        for _ in 0..1_000_000 {
            value = Value::tuple(vec![Value::list(vec![value])]);
        }
        drop(value);
    }
}
