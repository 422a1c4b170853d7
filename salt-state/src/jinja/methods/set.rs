//! Methods of `set` and `frozenset`.

use indexmap::IndexSet;

use crate::jinja::value::{Args, Key, Method, Set, Value, native_args};
use crate::jinja::{Error, Exception, Result, Runtime};

use super::dict::key_error;

pub(super) fn find(name: &str, frozen: bool) -> Option<Method> {
    let reading: Option<Method> = Some(match name {
        "union" => |rt, this, args| {
            let mut members = receiver(this).borrow().clone();
            members.extend(arguments(rt, args)?.into_iter().flatten());
            Ok(Value::Set(Set::new(members)))
        },
        "intersection" => |rt, this, args| {
            let mut members = receiver(this).borrow().clone();
            for other in arguments(rt, args)? {
                members.retain(|key| other.contains(key));
            }
            Ok(Value::Set(Set::new(members)))
        },
        "difference" => |rt, this, args| {
            let mut members = receiver(this).borrow().clone();
            for other in arguments(rt, args)? {
                members.retain(|key| !other.contains(key));
            }
            Ok(Value::Set(Set::new(members)))
        },
        "symmetric_difference" => |rt, this, args| {
            let other = one(rt, args, "symmetric_difference")?;
            let own = receiver(this);
            let own = own.borrow();
            let members = own.symmetric_difference(&other).cloned().collect();
            Ok(Value::Set(Set::new(members)))
        },
        "issubset" => |rt, this, args| {
            let other = one(rt, args, "issubset")?;
            Ok(Value::Bool(receiver(this).borrow().is_subset(&other)))
        },
        "issuperset" => |rt, this, args| {
            let other = one(rt, args, "issuperset")?;
            Ok(Value::Bool(receiver(this).borrow().is_superset(&other)))
        },
        "isdisjoint" => |rt, this, args| {
            let other = one(rt, args, "isdisjoint")?;
            Ok(Value::Bool(receiver(this).borrow().is_disjoint(&other)))
        },
        "copy" => |_, this, args| {
            let [] = native_args(args, "set.copy", 0)?;
            Ok(Value::Set(Set::new(receiver(this).borrow().clone())))
        },
        _ => return changing(name).filter(|_| !frozen),
    });
    reading
}

fn changing(name: &str) -> Option<Method> {
    Some(match name {
        "add" => |rt, this, args| {
            let [item] = native_args(args, "set.add", 1)?;
            rt.charge(1)?;
            let key = Key::new(item.unwrap_or_default())?;
            receiver(this).borrow_mut().insert(key);
            Ok(Value::None)
        },
        "discard" => |_, this, args| {
            let [item] = native_args(args, "set.discard", 1)?;
            let key = Key::new(item.unwrap_or_default())?;
            receiver(this).borrow_mut().shift_remove(&key);
            Ok(Value::None)
        },
        "remove" => |_, this, args| {
            let [item] = native_args(args, "set.remove", 1)?;
            let key = Key::new(item.unwrap_or_default())?;
            if receiver(this).borrow_mut().shift_remove(&key) {
                Ok(Value::None)
            } else {
                Err(key_error(key.value()))
            }
        },
        "pop" => |_, this, args| {
            let [] = native_args(args, "set.pop", 0)?;
            let set = receiver(this);
            let Some(first) = set.members().into_iter().next() else {
                let text = "'pop from an empty set'";
                return Err(Error::python(Exception::KeyError, text));
            };
            set.borrow_mut().shift_remove(&Key::new(first.clone())?);
            Ok(first)
        },
        "clear" => |_, this, args| {
            let [] = native_args(args, "set.clear", 0)?;
            receiver(this).borrow_mut().clear();
            Ok(Value::None)
        },
        "update" => |rt, this, args| {
            let more = arguments(rt, args)?;
            receiver(this)
                .borrow_mut()
                .extend(more.into_iter().flatten());
            Ok(Value::None)
        },
        "difference_update" => |rt, this, args| {
            for other in arguments(rt, args)? {
                receiver(this)
                    .borrow_mut()
                    .retain(|key| !other.contains(key));
            }
            Ok(Value::None)
        },
        "intersection_update" => |rt, this, args| {
            for other in arguments(rt, args)? {
                receiver(this)
                    .borrow_mut()
                    .retain(|key| other.contains(key));
            }
            Ok(Value::None)
        },
        _ => return None,
    })
}

fn receiver(this: &Value) -> Set {
    match this {
        Value::Set(set) => set.clone(),
        _ => Set::new(IndexSet::new()),
    }
}

/// The members of an iterable as keys.
pub(crate) fn keys_of(rt: &Runtime<'_>, value: &Value) -> Result<IndexSet<Key>> {
    value.items(rt)?.into_iter().map(Key::new).collect()
}

fn arguments(rt: &Runtime<'_>, args: Args) -> Result<Vec<IndexSet<Key>>> {
    if !args.named.is_empty() {
        return Err(Error::type_error("set methods take no keyword arguments"));
    }
    args.positional.iter().map(|arg| keys_of(rt, arg)).collect()
}

fn one(rt: &Runtime<'_>, args: Args, name: &str) -> Result<IndexSet<Key>> {
    let [other] = native_args(args, &format!("set.{name}"), 1)?;
    keys_of(rt, &other.unwrap_or_default())
}
