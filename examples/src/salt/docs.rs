//! How documentation is printed.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

/// The documentation of every function that any of the minions documents, sorted.
pub(super) fn gather(returns: &Map) -> BTreeMap<String, Value> {
    let mut docs = BTreeMap::new();
    for functions in returns.values().filter_map(Value::as_map) {
        for (name, text) in functions {
            if let Some(name) = name.as_str()
                && text.is_true()
            {
                docs.entry(name.to_owned()).or_insert_with(|| text.clone());
            }
        }
    }
    docs
}

/// It as text, when no outputter was asked for.
pub(super) fn text(docs: &BTreeMap<String, Value>) -> String {
    docs.iter()
        .map(|(name, text)| format!("{name}:\n{}\n\n", salt_state::python::str(text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_documented_once() {
        let doc = Map::from([("test.ping", "\n    Pong.\n    "), ("test.nodoc", "")]);
        let returns = Map::from([
            ("web1", Value::from(doc.clone())),
            ("web2", doc.into()),
            ("web3", "x".into()),
        ]);

        assert_eq!(text(&gather(&returns)), "test.ping:\n\n    Pong.\n    \n\n");
    }
}
