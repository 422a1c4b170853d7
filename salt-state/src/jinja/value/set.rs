//! Python's `set` and `frozenset`.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

use indexmap::IndexSet;

use super::{Key, Value, drop_flat};

/// A set; a clone is the same set.
#[derive(Clone)]
pub struct Set(Rc<SetCell>);

struct SetCell {
    members: RefCell<IndexSet<Key>>,
    frozen: bool,
}

impl Set {
    /// A set of these members.
    pub fn new(members: IndexSet<Key>) -> Self {
        Self(Rc::new(SetCell {
            members: RefCell::new(members),
            frozen: false,
        }))
    }

    /// Whether this is a `frozenset`.
    pub fn is_frozen(&self) -> bool {
        self.0.frozen
    }

    pub(crate) fn type_name(&self) -> &'static str {
        if self.0.frozen { "frozenset" } else { "set" }
    }

    /// The members in the order they came. Must not be held while template code runs.
    pub fn borrow(&self) -> Ref<'_, IndexSet<Key>> {
        self.0.members.borrow()
    }

    /// The members, for changing. Must not be held while template code runs.
    pub fn borrow_mut(&self) -> RefMut<'_, IndexSet<Key>> {
        self.0.members.borrow_mut()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.borrow().len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.borrow().is_empty()
    }

    /// The members in the order Python walks them.
    ///
    /// CPython's order follows the hash. Numbers hash to themselves, so theirs
    /// is known; that of strings changes with every start of the interpreter,
    /// and here it is the order they came in.
    pub fn members(&self) -> Vec<Value> {
        let members = self.borrow();
        let order = table_order(&members);
        match order {
            Some(order) => order
                .into_iter()
                .filter_map(|index| members.get_index(index))
                .map(|key| key.value().clone())
                .collect(),
            None => members.iter().map(|key| key.value().clone()).collect(),
        }
    }

    /// Whether both are the same set.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    pub(super) fn release(&mut self, out: &mut Vec<Value>) {
        if let Some(cell) = Rc::get_mut(&mut self.0) {
            out.extend(cell.members.get_mut().drain(..).map(Key::into_value));
        }
    }
}

impl Drop for SetCell {
    fn drop(&mut self) {
        let members = self.members.get_mut();
        if members.iter().any(|key| key.value().holds_values()) {
            drop_flat(members.drain(..).map(Key::into_value).collect());
        }
    }
}

/// CPython's hash of a number, `None` for other values.
fn python_hash(value: &Value) -> Option<u64> {
    const MODULUS: i64 = (1 << 61) - 1;
    let n = match value {
        Value::Bool(b) => i64::from(*b),
        Value::Int(n) => *n,
        Value::Float(x) => match super::key::float_as_int(*x) {
            Some(Value::Int(n)) => n,
            _ => return None,
        },
        _ => return None,
    };
    let hash = n % MODULUS;
    #[expect(clippy::cast_sign_loss, reason = "the hash is used as bits")]
    Some(if hash == -1 { -2 } else { hash } as u64)
}

/// The order of CPython's open hash table (`Objects/setobject.c`): runs of nine
/// neighbouring slots, then a jump mixed from the upper bits.
fn table_order(members: &IndexSet<Key>) -> Option<Vec<usize>> {
    let hashes: Vec<u64> = members
        .iter()
        .map(|key| python_hash(key.value()))
        .collect::<Option<_>>()?;
    let mut table: Vec<Option<usize>> = vec![None; 8];
    for index in 0..hashes.len() {
        place(&mut table, &hashes, index);
        let used = index + 1;
        if used * 5 >= (table.len() - 1) * 3 {
            let wanted = if used > 50_000 { used * 2 } else { used * 4 };
            let mut size = 8;
            while size <= wanted {
                size *= 2;
            }
            let former = std::mem::replace(&mut table, vec![None; size]);
            for index in former.into_iter().flatten() {
                place(&mut table, &hashes, index);
            }
        }
    }
    Some(table.into_iter().flatten().collect())
}

fn place(table: &mut [Option<usize>], hashes: &[u64], index: usize) {
    let mask = table.len() as u64 - 1;
    let Some(&hash) = hashes.get(index) else {
        return;
    };
    let (mut slot, mut perturb) = (hash & mask, hash);
    loop {
        let run = if slot + 9 <= mask { 9 } else { 0 };
        for probe in slot..=slot + run {
            #[expect(clippy::cast_possible_truncation, reason = "below the table's length")]
            if let Some(free @ None) = table.get_mut(probe as usize) {
                *free = Some(index);
                return;
            }
        }
        perturb >>= 5;
        slot = (slot.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb)) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(numbers: &[i64]) -> Vec<i64> {
        let keys = numbers.iter().map(|n| Key::new(Value::Int(*n)).unwrap());
        let set = Set::new(keys.collect());
        set.members().iter().filter_map(Value::as_index).collect()
    }

    #[test]
    fn numbers_are_walked_in_cpythons_order() {
        assert_eq!(order(&[3, 1, 2]), [1, 2, 3]);
        assert_eq!(order(&[9, 1, 17]), [9, 1, 17]);
        assert_eq!(order(&[100, 5, 33, 8]), [8, 33, 100, 5]);
    }
}
