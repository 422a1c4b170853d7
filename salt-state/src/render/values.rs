//! Template values from loaded documents, and plain values ready to be written.

use std::collections::HashMap;
use std::rc::Rc;

use salt_proto::{Map, Value as Plain};

use crate::jinja::{Dict, DictClass, Key, Value};
use crate::yaml::{Data, Node};

/// A template value that shares what the document shares by aliases.
pub(crate) fn from_node(node: &Node, class: DictClass) -> Value {
    convert(node, class, &mut HashMap::new())
}

fn convert(node: &Node, class: DictClass, seen: &mut HashMap<*const (), Value>) -> Value {
    let address: *const () = match &node.data {
        Data::Scalar(value) => return Value::from_plain(value),
        Data::List(items) => Rc::as_ptr(items).cast(),
        Data::Map(map) => Rc::as_ptr(map).cast(),
    };
    if let Some(value) = seen.get(&address) {
        return value.clone();
    }
    let value = match &node.data {
        Data::Scalar(value) => Value::from_plain(value),
        Data::List(items) => {
            let items = items.borrow();
            Value::list(
                items
                    .iter()
                    .map(|item| convert(item, class, seen))
                    .collect(),
            )
        }
        Data::Map(map) => {
            let dict = Dict::of(class, indexmap::IndexMap::new());
            for (key, entry) in map.borrow().iter() {
                let key = match Key::new(Value::from_plain(key)) {
                    Ok(key) => key,
                    Err(_) => Key::text(crate::python::str(key)),
                };
                dict.insert(key, convert(&entry.value, class, seen));
            }
            Value::Dict(dict)
        }
    };
    seen.insert(address, value.clone());
    value
}

const MAX_DEPTH: usize = 150;

/// The plain value for writing as YAML: plain dicts sorted by key, ordered ones not.
pub(crate) fn to_sorted(value: &Value, depth: usize) -> Result<Plain, String> {
    if depth > MAX_DEPTH {
        return Err("maximum recursion depth exceeded".to_owned());
    }
    let list = |items: Vec<Value>| -> Result<Plain, String> {
        let items: Result<Vec<_>, _> = items
            .iter()
            .map(|item| to_sorted(item, depth + 1))
            .collect();
        items.map(Plain::List)
    };
    Ok(match value {
        Value::None | Value::Undefined(_) => Plain::Null,
        Value::Bool(b) => Plain::Bool(*b),
        Value::Int(n) => Plain::Int(*n),
        Value::Big(n) => match u64::try_from(&**n) {
            Ok(n) => Plain::from(n),
            Err(_) => Plain::Float(n.to_string().parse().unwrap_or(f64::NAN)),
        },
        Value::Float(x) => Plain::Float(*x),
        Value::Str(text) => Plain::Str((**text).to_owned()),
        Value::Bytes(bytes) => Plain::Bytes(bytes.to_vec()),
        Value::List(items) => return list(items.to_vec()),
        Value::Tuple(items) => return list(items.to_vec()),
        Value::Set(set) => return list(set.members()),
        Value::Dict(dict) => {
            let mut entries = Vec::new();
            for (key, value) in dict.entries() {
                entries.push((to_sorted(&key, depth + 1)?, to_sorted(&value, depth + 1)?));
            }
            if dict.class() == DictClass::Dict {
                sort_entries(&mut entries);
            }
            Plain::Map(entries.into_iter().collect::<Map>())
        }
        _ => Plain::Null,
    })
}

/// Sorts by key if Python could compare the keys.
pub(crate) fn sort_entries(entries: &mut [(Plain, Plain)]) {
    let number = |key: &Plain| match key {
        Plain::Bool(b) => Some(i128::from(*b)),
        Plain::Int(n) => Some(i128::from(*n)),
        Plain::UInt(n) => Some(i128::from(*n)),
        _ => None,
    };
    if entries.iter().all(|(key, _)| key.as_str().is_some()) {
        entries.sort_by(|a, b| a.0.as_str().cmp(&b.0.as_str()));
    } else if entries.iter().all(|(key, _)| number(key).is_some()) {
        entries.sort_by_key(|(key, _)| number(key));
    }
}
