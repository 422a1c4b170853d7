//! Methods of `dict` and the views they give.

use indexmap::IndexMap;

use crate::jinja::value::{
    Args, Dict, DictClass, Generator, Iter, Key, Method, Object, Set, Value, equal, native_args,
};
use crate::jinja::{Error, Exception, Kind, Result, Runtime, access, builtins};

pub(super) fn find(name: &str, class: DictClass) -> Option<Method> {
    Some(match name {
        "get" => |_, this, args| {
            let [key, default] = native_args(args, "get", 1)?;
            let key = Key::new(key.unwrap_or_default())?;
            let found = receiver(this).get_key(&key);
            Ok(found.or(default).unwrap_or_default())
        },
        "keys" => |_, this, args| view(this, args, Part::Keys),
        "values" => |_, this, args| view(this, args, Part::Values),
        "items" => |_, this, args| view(this, args, Part::Items),
        "update" => update,
        "setdefault" => |rt, this, args| {
            let [key, default] = native_args(args, "setdefault", 1)?;
            rt.charge(1)?;
            let key = Key::new(key.unwrap_or_default())?;
            let dict = receiver(this);
            if let Some(found) = dict.get_key(&key) {
                return Ok(found);
            }
            let default = default.unwrap_or_default();
            dict.insert(key, default.clone());
            Ok(default)
        },
        "pop" => |_, this, args| {
            let [key, default] = native_args(args, "pop", 1)?;
            let key = Key::new(key.unwrap_or_default())?;
            let removed = receiver(this).borrow_mut().shift_remove(&key);
            match removed.or(default) {
                Some(value) => Ok(value),
                None => Err(key_error(key.value())),
            }
        },
        "popitem" => |_, this, args| {
            let [] = native_args(args, "dict.popitem", 0)?;
            let removed = receiver(this).borrow_mut().pop();
            match removed {
                Some((key, value)) => Ok(Value::tuple(vec![key.into_value(), value])),
                None => Err(Error::python(
                    Exception::KeyError,
                    "'popitem(): dictionary is empty'",
                )),
            }
        },
        "clear" => |_, this, args| {
            let [] = native_args(args, "dict.clear", 0)?;
            let former = std::mem::take(&mut *receiver(this).borrow_mut());
            drop(former);
            Ok(Value::None)
        },
        "copy" => |rt, this, args| {
            let [] = native_args(args, "dict.copy", 0)?;
            let dict = receiver(this);
            rt.charge(dict.len())?;
            Ok(Value::Dict(dict.copy()))
        },
        "fromkeys" => |rt, _, args| {
            let [keys, value] = native_args(args, "fromkeys", 1)?;
            let value = value.unwrap_or_default();
            let mut entries = IndexMap::new();
            for key in keys.unwrap_or_default().items(rt)? {
                entries.insert(Key::new(key)?, value.clone());
            }
            Ok(Value::Dict(Dict::of(DictClass::Dict, entries)))
        },
        "move_to_end" if class == DictClass::Ordered => |_, this, args| {
            let [key, last] = args.bind("move_to_end", ["key", "last"], 1)?;
            let key = Key::new(key.unwrap_or_default())?;
            let last = last.map_or(Ok(true), |value| value.is_true())?;
            let dict = receiver(this);
            let mut entries = dict.borrow_mut();
            let Some(at) = entries.get_index_of(&key) else {
                return Err(key_error(key.value()));
            };
            let to = if last { entries.len() - 1 } else { 0 };
            entries.move_index(at, to);
            Ok(Value::None)
        },
        _ => return None,
    })
}

fn receiver(this: &Value) -> Dict {
    match this {
        Value::Dict(dict) => dict.clone(),
        _ => Dict::new(),
    }
}

/// `KeyError: 'key'`.
pub(crate) fn key_error(key: &Value) -> Error {
    let text = key.repr().unwrap_or_else(|error| error.to_string());
    Error::new(Kind::Python(Exception::KeyError), text)
}

fn update(rt: &Runtime<'_>, this: &Value, mut args: Args) -> Result<Value> {
    let named = std::mem::take(&mut args.named);
    let [other] = native_args(args, "update", 0)?;
    let dict = receiver(this);
    if let Some(other) = other {
        for (key, value) in builtins::pairs(rt, &other)? {
            rt.charge(1)?;
            dict.insert(Key::new(key)?, value);
        }
    }
    for (name, value) in named {
        dict.insert(Key::text(name), value);
    }
    Ok(Value::None)
}

/// Which part of a dict a view shows.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Keys,
    Values,
    Items,
}

fn view(this: &Value, args: Args, part: Part) -> Result<Value> {
    let name = match part {
        Part::Keys => "dict.keys",
        Part::Values => "dict.values",
        Part::Items => "dict.items",
    };
    let [] = native_args(args, name, 0)?;
    let dict = receiver(this);
    Ok(Value::object(DictView { dict, part }))
}

/// `dict.keys()`, `dict.values()` or `dict.items()`: it shows the dict as it is now.
pub(crate) struct DictView {
    dict: Dict,
    part: Part,
}

impl DictView {
    fn pick(part: Part, key: Value, value: Value) -> Value {
        match part {
            Part::Keys => key,
            Part::Values => value,
            Part::Items => Value::tuple(vec![key, value]),
        }
    }

    fn all(&self) -> Vec<Value> {
        let entries = self.dict.entries().into_iter();
        entries.map(|(k, v)| Self::pick(self.part, k, v)).collect()
    }

    /// The members as a set; values have none.
    pub(crate) fn as_set(&self) -> Result<Option<Set>> {
        if self.part == Part::Values {
            return Ok(None);
        }
        let keys = self.all().into_iter().map(Key::new);
        Ok(Some(Set::new(keys.collect::<Result<_>>()?)))
    }
}

struct Walk {
    dict: Dict,
    part: Part,
    next: usize,
    len: usize,
}

impl Generator for Walk {
    fn next(&mut self, _: &Runtime<'_>) -> Result<Option<Value>> {
        if self.dict.len() != self.len {
            let text = "dictionary changed size during iteration";
            return Err(Error::python(Exception::RuntimeError, text));
        }
        let entry = self.dict.entry(self.next);
        self.next += 1;
        Ok(entry.map(|(key, value)| DictView::pick(self.part, key, value)))
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.push(Value::Dict(std::mem::take(&mut self.dict)));
    }
}

impl Object for DictView {
    fn type_name(&self) -> &str {
        match self.part {
            Part::Keys => "dict_keys",
            Part::Values => "dict_values",
            Part::Items => "dict_items",
        }
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let dict = self.dict.clone();
        Ok(match name {
            "mapping" => Some(Value::Dict(dict)),
            "isdisjoint" if self.part != Part::Values => {
                let own = self.all();
                Some(Value::function("isdisjoint", move |rt, args| {
                    let [other] = native_args(args, "isdisjoint", 1)?;
                    let other = other.unwrap_or_default();
                    for item in &own {
                        if crate::jinja::ops::contains(rt, &other, item)? {
                            return Ok(Value::Bool(false));
                        }
                    }
                    Ok(Value::Bool(true))
                }))
            }
            _ => None,
        })
    }

    fn iterate(&self, _: &Runtime<'_>) -> Result<Option<Iter>> {
        Ok(Some(Iter::generator(Walk {
            dict: self.dict.clone(),
            part: self.part,
            next: 0,
            len: self.dict.len(),
        })))
    }

    fn len(&self) -> Option<usize> {
        Some(self.dict.len())
    }

    fn contains(&self, rt: &Runtime<'_>, value: &Value) -> Result<Option<bool>> {
        Ok(match self.part {
            Part::Keys => {
                let key = Key::new(value.clone())?;
                Some(self.dict.contains_key(&key))
            }
            Part::Values => None,
            Part::Items => {
                let Value::Tuple(pair) = value else {
                    return Ok(Some(false));
                };
                let [key, wanted] = &**pair else {
                    return Ok(Some(false));
                };
                let dict = Value::Dict(self.dict.clone());
                match access::lookup(rt, &dict, key)? {
                    Some(found) => Some(equal(&found, wanted)?),
                    None => Some(false),
                }
            }
        })
    }

    fn repr(&self) -> Result<String> {
        self.repr_within(&mut Vec::new())
    }

    fn repr_within(&self, open: &mut Vec<usize>) -> Result<String> {
        let own = std::ptr::from_ref(self).addr();
        if open.contains(&own) {
            return Ok("...".to_owned());
        }
        open.push(own);
        let items = Value::list(self.all()).repr_within(open);
        open.pop();
        Ok(format!("{}({})", self.type_name(), items?))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        let own = self.as_set().ok()??;
        let other = match other {
            Value::Set(set) => set.clone(),
            other => other.downcast::<Self>()?.as_set().ok()??,
        };
        equal(&Value::Set(own), &Value::Set(other)).ok()
    }

    fn is_hashable(&self) -> bool {
        self.part == Part::Values
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.push(Value::Dict(std::mem::take(&mut self.dict)));
    }
}
