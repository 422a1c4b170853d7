//! YAML with `!aggregate` and `!reset`: a key may be there several times, and tagged
//! values add up.

use salt_proto::Value;

use super::error::{Error, Kind};
use super::map::NodeMap;
use super::node::{Data, Entry, Node, Span};
use super::raw::{self, NodeId, RawKind, Tree};
use super::{Limits, prepare, resolve};

/// Loads a document of Salt's `yamlex` renderer; `None` when there is none.
///
/// # Errors
///
/// As [`parse`](super::parse); a repeated key is none.
pub fn parse_yamlex(text: &str, document: u32, limits: &Limits) -> Result<Option<Node>, Error> {
    let text = prepare(text, limits)?;
    let (tree, root) = raw::read(text, limits)?;
    let Some(root) = root else {
        return Ok(None);
    };
    let mut maker = Maker {
        tree: &tree,
        document,
        made: 0,
        most: limits.nodes,
    };
    maker.node(root).map(Some)
}

/// Adds `b` to `a` as Salt's aggregation does: tagged mappings are joined, tagged lists
/// get what they lack, everything else is replaced.
pub fn aggregate(a: &Node, b: &Node) -> Node {
    match (&a.data, &b.data) {
        (Data::Map(old), Data::Map(new)) => {
            let both = a.aggregate && b.aggregate;
            let mut entries = if both {
                old.borrow().clone()
            } else {
                new.borrow().clone()
            };
            for (key, entry) in new.borrow().iter() {
                let value = match old.borrow().get(key) {
                    Some(present) => aggregate(&present.value, &entry.value),
                    None => entry.value.clone(),
                };
                entries.insert(
                    key.clone(),
                    Entry {
                        key: entry.key,
                        value,
                    },
                );
            }
            Node {
                aggregate: a.aggregate || b.aggregate,
                ..Node::map(entries, b.span)
            }
        }
        (Data::List(old), Data::List(new)) if a.aggregate && b.aggregate => {
            let mut items = old.borrow().clone();
            let known: Vec<Value> = items.iter().map(Node::to_value).collect();
            let more = new.borrow();
            items.extend(
                more.iter()
                    .filter(|item| !known.contains(&item.to_value()))
                    .cloned(),
            );
            Node {
                aggregate: true,
                ..Node::list(items, b.span)
            }
        }
        _ => b.clone(),
    }
}

struct Maker<'t> {
    tree: &'t Tree,
    document: u32,
    made: usize,
    most: usize,
}

impl Maker<'_> {
    fn node(&mut self, id: NodeId) -> Result<Node, Error> {
        let missing = || Error::unplaced(Kind::Composer, "a node is missing");
        let raw = self.tree.nodes.get(id).ok_or_else(missing)?;
        self.made += 1;
        if self.made > self.most {
            return Err(Error::plain(
                Kind::Limit,
                "YAML aliases expand to too many nodes",
                raw.start,
            ));
        }
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let span = Span {
            document: self.document,
            line: small(raw.start.line),
            column: small(raw.start.column),
            width: small(raw.end.column.saturating_sub(raw.start.column)),
        };
        let tagged = raw.tag == "!aggregate";
        let mut node = match &raw.kind {
            RawKind::Scalar(text) => {
                let tag = match raw.tag.as_ref() {
                    "!aggregate" | "!reset" => resolve::plain(text),
                    tag => tag,
                };
                let value = resolve::scalar(tag, text)
                    .unwrap_or_else(|| Ok(Value::from(text.as_str())))
                    .map_err(|problem| Error::unplaced(Kind::Composer, problem))?;
                let node = Node::at(Data::Scalar(value), span);
                if tagged {
                    Node::list(vec![node], span)
                } else {
                    node
                }
            }
            RawKind::Sequence(items) => {
                let items: Result<Vec<Node>, Error> =
                    items.iter().map(|&item| self.node(item)).collect();
                Node::list(items?, span)
            }
            RawKind::Mapping(pairs) => {
                let mut entries = NodeMap::with_capacity(pairs.len());
                for &(key_id, value_id) in pairs {
                    let key_node = self.node(key_id)?;
                    let reset = self
                        .tree
                        .nodes
                        .get(key_id)
                        .is_some_and(|raw| raw.tag == "!reset");
                    let Data::Scalar(key) = key_node.data else {
                        return Err(Error::plain(
                            Kind::Constructor,
                            "found unacceptable key",
                            raw.start,
                        ));
                    };
                    let mut value = self.node(value_id)?;
                    if !reset && let Some(present) = entries.get(&key) {
                        let present: &Entry = present;
                        value = aggregate(&present.value, &value);
                    }
                    let key_span = key_node.span;
                    entries.insert(
                        key,
                        Entry {
                            key: key_span,
                            value,
                        },
                    );
                }
                Node::map(entries, span)
            }
        };
        node.aggregate = tagged;
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let node = parse_yamlex(text, 0, &Limits::default())
            .expect("valid")
            .expect("a document");
        assert_eq!(crate::python::repr(&node.to_value()), expected);
    }

    #[test]
    fn tagged_values_add_up_and_others_are_replaced() {
        check(
            "a: !aggregate [1, 2]\na: !aggregate [2, 3]\n",
            "{'a': [1, 2, 3]}",
        );
        check(
            "a: !aggregate one\na: !aggregate two\n",
            "{'a': ['one', 'two']}",
        );
        check(
            "a: !aggregate {x: 1}\na: !aggregate {y: 2}\n",
            "{'a': {'x': 1, 'y': 2}}",
        );
        check("a: 1\na: 2\n", "{'a': 2}");
        check(
            "a: !aggregate [1]\n!reset a: !aggregate [2]\n",
            "{'a': [2]}",
        );
    }
}
