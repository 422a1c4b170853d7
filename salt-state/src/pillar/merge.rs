//! How pillar data of several sources become one.

use salt_proto::{Map, Value};

use crate::yaml::{self, Data, Node, Span};

/// `pillar_source_merging_strategy`, with what else decides about merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    kind: Kind,
    merge_lists: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Recurse,
    Overwrite,
    List,
    Aggregate,
    None,
}

impl Strategy {
    /// The strategy of a configuration. `smart`, the default, is `aggregate` where the
    /// default renderer ends in `yamlex` and `recurse` elsewhere; unknown names are
    /// `recurse`.
    pub fn of(config: &Map) -> Self {
        let smart = config
            .str("renderer")
            .is_some_and(|pipe| pipe.ends_with("yamlex") || pipe.starts_with("yamlex_"));
        let name = config
            .str("pillar_source_merging_strategy")
            .unwrap_or("smart");
        let kind = match name {
            "overwrite" => Kind::Overwrite,
            "list" => Kind::List,
            "aggregate" => Kind::Aggregate,
            "none" => Kind::None,
            "smart" if smart => Kind::Aggregate,
            _ => Kind::Recurse,
        };
        Self {
            kind,
            merge_lists: config.get("pillar_merge_lists").is_some_and(Value::is_true),
        }
    }

    /// Whether only one environment is read.
    pub(super) fn one_environment(self) -> bool {
        self.kind == Kind::None
    }

    /// Merges `b`, the later one, into `a`.
    pub fn merge(self, a: Map, b: Map) -> Map {
        match self.kind {
            Kind::Recurse | Kind::None => recurse(a, b, self.merge_lists),
            Kind::Overwrite => {
                let mut merged = a;
                merged.extend(b);
                merged
            }
            Kind::List => {
                let mut merged = Map::new();
                for (key, old) in a {
                    let value = match b.get_value(&key) {
                        Some(new) => Value::List(vec![old, new.clone()]),
                        None => old,
                    };
                    merged.insert(key, value);
                }
                merged
            }
            Kind::Aggregate => {
                let span = Span::default();
                let nodes = [a, b].map(|map| Node::from_value(&Value::Map(map), span));
                let [a, b] = nodes;
                match self.merge_nodes(a, b).to_value() {
                    Value::Map(map) => map,
                    _ => Map::new(),
                }
            }
        }
    }

    /// Merges data that still knows its tags.
    pub(super) fn merge_nodes(self, mut a: Node, mut b: Node) -> Node {
        if self.kind == Kind::Aggregate {
            // The pillar itself counts as tagged, but nothing in it does by that.
            a.aggregate = true;
            b.aggregate = true;
            return yaml::aggregate(&a, &b);
        }
        let plain = |node: &Node| match node.to_value() {
            Value::Map(map) => map,
            _ => Map::new(),
        };
        let merged = self.merge(plain(&a), plain(&b));
        Node::from_value(&Value::Map(merged), b.span)
    }
}

/// Merges mappings into each other at every depth; everything else of `b` wins.
pub fn recurse(a: Map, b: Map, with_lists: bool) -> Map {
    let mut merged = a;
    for (key, new) in b {
        let Some(old) = merged.get_value_mut(&key) else {
            merged.insert(key, new);
            continue;
        };
        let former = std::mem::take(old);
        *old = match (former, new) {
            (Value::Map(a), Value::Map(b)) => Value::Map(recurse(a, b, with_lists)),
            (Value::List(a), Value::List(b)) if with_lists => Value::List(merge_lists(a, b)),
            (_, new) => new,
        };
    }
    merged
}

/// Adds to a list what it lacks; what is several times in `b` stays so.
pub fn merge_lists(a: Vec<Value>, b: Vec<Value>) -> Vec<Value> {
    let more: Vec<Value> = b.into_iter().filter(|item| !a.contains(item)).collect();
    let mut merged = a;
    merged.extend(more);
    merged
}

/// Whether a node is a mapping.
pub(super) fn is_map(node: &Node) -> bool {
    matches!(node.data, Data::Map(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[i64]) -> Vec<Value> {
        items.iter().map(|n| Value::Int(*n)).collect()
    }

    #[test]
    fn lists_get_what_they_lack() {
        assert_eq!(
            merge_lists(list(&[1, 2]), list(&[2, 3, 3])),
            list(&[1, 2, 3, 3])
        );
    }

    #[test]
    fn none_replaces_a_mapping() {
        let a = Map::from([("k", Value::Map(Map::from([("x", 1)])))]);
        let b = Map::from([("k", Value::Null)]);

        assert_eq!(recurse(a, b, false).get("k"), Some(&Value::Null));
    }
}
