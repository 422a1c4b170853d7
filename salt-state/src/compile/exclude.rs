//! `exclude`: declarations that are taken out again.

use std::collections::HashSet;

use salt_proto::Value;

use super::high::{High, first, origin, width};
use crate::{fnmatch, python};

/// The SLS names that are excluded literally; their extends do not count.
pub(super) fn sls_names(high: &High) -> HashSet<String> {
    high.excludes
        .borrow()
        .iter()
        .filter_map(|node| match node.as_str() {
            Some(name) => Some(name.to_owned()),
            None => {
                let (key, entry) = first(node)?;
                (width(node) == 1 && key.as_str() == Some("sls"))
                    .then(|| python::str(&entry.value.to_value()))
            }
        })
        .collect()
}

/// Removes what is excluded. Mappings of more than one key mean nothing.
pub(super) fn apply(high: &High) {
    let mut patterns = Vec::new();
    let mut ids = HashSet::new();
    for node in high.excludes.take() {
        if let Some(name) = node.as_str() {
            patterns.push(name.to_owned());
            continue;
        }
        let Some((key, entry)) = first(&node) else {
            continue;
        };
        if width(&node) != 1 {
            continue;
        }
        match key.as_str() {
            Some("sls") => patterns.push(python::str(&entry.value.to_value())),
            Some("id") => {
                ids.insert(entry.value.to_value());
            }
            _ => {}
        }
    }
    if patterns.is_empty() && ids.is_empty() {
        return;
    }
    high.ids.borrow_mut().retain(|id: &Value, entry| {
        let sls = origin(&entry.value, "__sls__");
        !ids.contains(id) && !patterns.iter().any(|pattern| fnmatch(&sls, pattern))
    });
}
