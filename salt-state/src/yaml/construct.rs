//! Raw nodes to values: tags, merge keys, duplicate keys.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use salt_proto::Value;

use super::Limits;
use super::error::{Error, Kind, Mark};
use super::map::NodeMap;
use super::node::{Data, Entry, Node, Span};
use super::raw::{NodeId, Raw, RawKind, Tree};
use super::resolve::{self, tag};

const MAPPING: &str = "while constructing a mapping";

/// How many aliases deep merge keys are followed.
const MERGE_DEPTH: usize = 100;

/// Builds the value of `root`.
///
/// The order is PyYAML's: a mapping's own keys are checked before anything
/// inside its values, so the outermost of two errors is the one reported.
pub(super) fn construct(
    tree: Tree,
    root: NodeId,
    document: u32,
    limits: &Limits,
) -> Result<Node, Error> {
    let mut done = Vec::new();
    if tree.shared {
        done.resize_with(tree.nodes.len(), || None);
    }
    let mut maker = Constructor {
        tree,
        done,
        queue: VecDeque::new(),
        document,
        merged: 0,
        limits,
    };
    let node = maker.begin(root)?;
    while let Some(work) = maker.queue.pop_front() {
        maker.fill(work)?;
    }
    Ok(node)
}

struct Constructor<'a> {
    tree: Tree,
    /// What each node became, so that aliases share it.
    done: Vec<Option<Node>>,
    queue: VecDeque<Work>,
    document: u32,
    /// How many entries merge keys have copied so far.
    merged: usize,
    limits: &'a Limits,
}

/// A collection whose content is still to come.
enum Work {
    List(NodeId, Rc<RefCell<Vec<Node>>>),
    Map(NodeId, Rc<RefCell<NodeMap>>),
    Set(NodeId, Rc<RefCell<Vec<Node>>>),
    Pairs(NodeId, Rc<RefCell<Vec<Node>>>),
    /// A node of another kind than its tag wants, which is found out in its turn.
    Unfit(NodeId),
}

impl Constructor<'_> {
    fn raw(&self, id: NodeId) -> Result<&Raw, Error> {
        self.tree
            .nodes
            .get(id)
            .ok_or_else(|| Error::unplaced(Kind::Composer, "a node is missing"))
    }

    fn span(&self, start: Mark, end: Mark) -> Span {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            document: self.document,
            line: small(start.line),
            column: small(start.column),
            width: if start.line == end.line {
                small(end.column.saturating_sub(start.column))
            } else {
                0
            },
        }
    }

    /// The value of a node; the content of a collection follows through the queue.
    fn begin(&mut self, id: NodeId) -> Result<Node, Error> {
        if let Some(Some(node)) = self.done.get(id) {
            return Ok(node.clone());
        }
        if let Some(text) = self.own_text(id) {
            let raw = self.raw(id)?;
            let span = self.span(raw.start, raw.end);
            return Ok(Node::at(Data::Scalar(Value::Str(text)), span));
        }
        let raw = self.raw(id)?;
        let span = self.span(raw.start, raw.end);
        let data = match (&raw.kind, raw.tag.as_ref()) {
            (RawKind::Scalar(text), name) => {
                let Some(value) = resolve::scalar(name, text) else {
                    if let tag::SEQ | tag::MAP | tag::OMAP | tag::SET | tag::PAIRS = name {
                        self.queue.push_back(Work::Unfit(id));
                        return Ok(Node::at(Data::Scalar(Value::Null), span));
                    }
                    return Err(unfit(raw));
                };
                Data::Scalar(value.map_err(|problem| match name {
                    tag::BINARY => Error::plain(Kind::Constructor, problem, raw.start),
                    // Python's number parsing raises an error of its own, without a place.
                    _ => Error::unplaced(Kind::Composer, problem),
                })?)
            }
            (RawKind::Sequence(_), tag::SEQ) => {
                let items = Rc::default();
                self.queue.push_back(Work::List(id, Rc::clone(&items)));
                Data::List(items)
            }
            (RawKind::Mapping(_), tag::MAP | tag::OMAP) => {
                let entries = Rc::default();
                self.queue.push_back(Work::Map(id, Rc::clone(&entries)));
                Data::Map(entries)
            }
            (RawKind::Mapping(_), tag::SET) => {
                let items = Rc::default();
                self.queue.push_back(Work::Set(id, Rc::clone(&items)));
                Data::List(items)
            }
            (RawKind::Sequence(_), tag::PAIRS) => {
                let items = Rc::default();
                self.queue.push_back(Work::Pairs(id, Rc::clone(&items)));
                Data::List(items)
            }
            (_, tag::SEQ | tag::MAP | tag::OMAP | tag::SET | tag::PAIRS) => {
                self.queue.push_back(Work::Unfit(id));
                Data::Scalar(Value::Null)
            }
            _ => return Err(unfit(raw)),
        };
        let node = Node::at(data, span);
        if self.tree.shared
            && let Some(slot) = self.done.get_mut(id)
        {
            *slot = Some(node.clone());
        }
        Ok(node)
    }

    /// Takes the text of a string that nothing else refers to.
    fn own_text(&mut self, id: NodeId) -> Option<String> {
        let raw = self.tree.nodes.get_mut(id)?;
        match &mut raw.kind {
            RawKind::Scalar(text) if !self.tree.shared && raw.tag == tag::STR => {
                Some(std::mem::take(text))
            }
            _ => None,
        }
    }

    fn fill(&mut self, work: Work) -> Result<(), Error> {
        match work {
            Work::Unfit(id) => return Err(unfit(self.raw(id)?)),
            Work::List(id, target) => {
                let items = self.items(id);
                let mut nodes = Vec::with_capacity(items.len());
                for item in items {
                    nodes.push(self.begin(item)?);
                }
                *target.borrow_mut() = nodes;
            }
            Work::Map(id, target) => {
                let entries = self.mapping(id)?;
                *target.borrow_mut() = entries;
            }
            Work::Set(id, target) => {
                let entries = self.mapping(id)?;
                *target.borrow_mut() = entries
                    .into_iter()
                    .map(|(key, entry)| Node::at(Data::Scalar(key), entry.key))
                    .collect();
            }
            Work::Pairs(id, target) => {
                let raw = self.raw(id)?;
                let (start, end) = (raw.start, raw.end);
                let RawKind::Sequence(items) = &raw.kind else {
                    return Ok(());
                };
                let mut pairs = Vec::with_capacity(items.len());
                for item in items.clone() {
                    let (key, value) = self.single_pair(item, start)?;
                    let pair = vec![self.begin(key)?, self.begin(value)?];
                    pairs.push(Node::list(pair, self.span(start, end)));
                }
                *target.borrow_mut() = pairs;
            }
        }
        Ok(())
    }

    /// The items of a sequence, of which nothing is left in the tree unless it is shared.
    fn items(&mut self, id: NodeId) -> Vec<NodeId> {
        let shared = self.tree.shared;
        match self.tree.nodes.get_mut(id).map(|raw| &mut raw.kind) {
            Some(RawKind::Sequence(items)) if shared => items.clone(),
            Some(RawKind::Sequence(items)) => std::mem::take(items),
            _ => Vec::new(),
        }
    }

    /// The same for the entries of a mapping.
    fn pairs(&mut self, id: NodeId) -> Vec<(NodeId, NodeId)> {
        let shared = self.tree.shared;
        match self.tree.nodes.get_mut(id).map(|raw| &mut raw.kind) {
            Some(RawKind::Mapping(pairs)) if shared => pairs.clone(),
            Some(RawKind::Mapping(pairs)) => std::mem::take(pairs),
            _ => Vec::new(),
        }
    }

    fn single_pair(&self, id: NodeId, start: Mark) -> Result<(NodeId, NodeId), Error> {
        const PAIRS: &str = "while constructing pairs";
        let raw = self.raw(id)?;
        match &raw.kind {
            RawKind::Mapping(pairs) => match pairs.as_slice() {
                [pair] => Ok(*pair),
                many => Err(Error::with_context(
                    Kind::Constructor,
                    PAIRS,
                    start,
                    format!(
                        "expected a single mapping item, but found {} items",
                        many.len()
                    ),
                    raw.start,
                )),
            },
            other => Err(Error::with_context(
                Kind::Constructor,
                PAIRS,
                start,
                format!("expected a mapping of length 1, but found {}", other.id()),
                raw.start,
            )),
        }
    }

    fn mapping(&mut self, id: NodeId) -> Result<NodeMap, Error> {
        self.flatten(id, 0)?;
        let start = self.raw(id)?.start;
        let pairs = self.pairs(id);
        let mut entries = NodeMap::with_capacity(pairs.len());
        for (key_id, value_id) in pairs {
            let key_raw = self.raw(key_id)?;
            let (key_start, key_end) = (key_raw.start, key_raw.end);
            let key_node = self.begin(key_id)?;
            let Data::Scalar(key) = key_node.data else {
                return Err(Error::with_context(
                    Kind::Constructor,
                    MAPPING,
                    start,
                    format!("found unacceptable key {}", self.repr(key_id, 0)?),
                    key_start,
                ));
            };
            let value = self.begin(value_id)?;
            let key_span = self.span(key_start, key_end);
            let entry = Entry {
                key: key_span,
                value,
            };
            if let Err(key) = entries.insert_new(key, entry) {
                return Err(Error::with_context(
                    Kind::Constructor,
                    MAPPING,
                    start,
                    format!("found conflicting ID '{}'", python_str(&key)),
                    key_start,
                ));
            }
        }
        Ok(entries)
    }

    /// Replaces merge keys by what they name: explicit keys win, later maps of
    /// a list come first.
    fn flatten(&mut self, id: NodeId, depth: usize) -> Result<(), Error> {
        let raw = self.raw(id)?;
        let start = raw.start;
        let RawKind::Mapping(pairs) = &raw.kind else {
            return Ok(());
        };
        if !pairs.iter().any(|(key, _)| self.is_special(*key)) {
            return Ok(());
        }
        if depth > MERGE_DEPTH {
            return Err(Error::plain(
                Kind::Limit,
                "merge keys are nested too deep",
                start,
            ));
        }
        let mut own = Vec::with_capacity(pairs.len());
        let mut sources = Vec::new();
        for (key, value) in pairs.clone() {
            match self.raw(key)?.tag.as_ref() {
                tag::MERGE => sources.push(value),
                tag::VALUE => {
                    self.retag(key, tag::STR);
                    own.push((key, value));
                }
                _ => own.push((key, value)),
            }
        }
        self.replace_pairs(id, own.clone());
        let mut merged = Vec::new();
        for source in sources {
            self.collect_merge(source, start, depth, &mut merged)?;
        }
        self.merged = self.merged.saturating_add(merged.len());
        if self.merged > self.limits.nodes {
            return Err(Error::plain(
                Kind::Limit,
                "merge keys copy too many entries",
                start,
            ));
        }
        let taken: std::collections::HashSet<&str> = own
            .iter()
            .filter_map(|(key, _)| self.scalar_text(*key))
            .collect();
        let mut all: Vec<_> = merged
            .into_iter()
            .filter(|(key, _)| {
                self.scalar_text(*key)
                    .is_none_or(|text| !taken.contains(text))
            })
            .collect();
        all.extend(own);
        self.replace_pairs(id, all);
        Ok(())
    }

    fn collect_merge(
        &mut self,
        source: NodeId,
        start: Mark,
        depth: usize,
        merged: &mut Vec<(NodeId, NodeId)>,
    ) -> Result<(), Error> {
        let raw = self.raw(source)?;
        match &raw.kind {
            RawKind::Mapping(_) => {
                self.flatten(source, depth + 1)?;
                self.append_pairs(source, merged)
            }
            RawKind::Sequence(items) => {
                let items = items.clone();
                for &item in &items {
                    let raw = self.raw(item)?;
                    if !matches!(raw.kind, RawKind::Mapping(_)) {
                        return Err(Error::with_context(
                            Kind::Constructor,
                            MAPPING,
                            start,
                            format!(
                                "expected a mapping for merging, but found {}",
                                raw.kind.id()
                            ),
                            raw.start,
                        ));
                    }
                    self.flatten(item, depth + 1)?;
                }
                for &item in items.iter().rev() {
                    self.append_pairs(item, merged)?;
                }
                Ok(())
            }
            RawKind::Scalar(_) => Err(Error::with_context(
                Kind::Constructor,
                MAPPING,
                start,
                "expected a mapping or list of mappings for merging, but found scalar",
                raw.start,
            )),
        }
    }

    fn append_pairs(&self, id: NodeId, merged: &mut Vec<(NodeId, NodeId)>) -> Result<(), Error> {
        let raw = self.raw(id)?;
        if let RawKind::Mapping(pairs) = &raw.kind {
            if merged.len() + pairs.len() > self.limits.nodes {
                return Err(Error::plain(
                    Kind::Limit,
                    "merge keys copy too many entries",
                    raw.start,
                ));
            }
            merged.extend_from_slice(pairs);
        }
        Ok(())
    }

    fn is_special(&self, id: NodeId) -> bool {
        self.tree
            .nodes
            .get(id)
            .is_some_and(|raw| matches!(raw.tag.as_ref(), tag::MERGE | tag::VALUE))
    }

    fn scalar_text(&self, id: NodeId) -> Option<&str> {
        match &self.tree.nodes.get(id)?.kind {
            RawKind::Scalar(text) => Some(text),
            _ => None,
        }
    }

    fn retag(&mut self, id: NodeId, name: &'static str) {
        if let Some(raw) = self.tree.nodes.get_mut(id) {
            raw.tag = name.into();
        }
    }

    fn replace_pairs(&mut self, id: NodeId, pairs: Vec<(NodeId, NodeId)>) {
        if let Some(raw) = self.tree.nodes.get_mut(id) {
            raw.kind = RawKind::Mapping(pairs);
        }
    }

    /// A node's value as PyYAML's node classes print it.
    fn repr(&self, id: NodeId, depth: usize) -> Result<String, Error> {
        let raw = self.raw(id)?;
        if depth > 8 {
            return Ok("...".to_owned());
        }
        let wrap =
            |class: &str, value: String| format!("{class}(tag='{}', value={value})", raw.tag);
        let full = |id: NodeId| -> Result<String, Error> {
            let value = self.repr(id, depth + 1)?;
            let raw = self.raw(id)?;
            Ok(match &raw.kind {
                RawKind::Scalar(text) => format!(
                    "ScalarNode(tag='{}', value={})",
                    raw.tag,
                    crate::python::repr_str(text)
                ),
                RawKind::Sequence(_) => format!("SequenceNode(tag='{}', value={value})", raw.tag),
                RawKind::Mapping(_) => format!("MappingNode(tag='{}', value={value})", raw.tag),
            })
        };
        let most = 64;
        Ok(match &raw.kind {
            RawKind::Scalar(text) => wrap("ScalarNode", crate::python::repr_str(text)),
            RawKind::Sequence(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().take(most).map(|&id| full(id)).collect();
                format!("[{}]", items?.join(", "))
            }
            RawKind::Mapping(pairs) => {
                let mut shown = Vec::new();
                for &(key, value) in pairs.iter().take(most) {
                    shown.push(format!("({}, {})", full(key)?, full(value)?));
                }
                format!("[{}]", shown.join(", "))
            }
        })
    }
}

fn python_str(key: &Value) -> String {
    crate::python::str(key)
}

/// A tag that does not fit its node.
fn unfit(raw: &Raw) -> Error {
    let problem = match (&raw.kind, raw.tag.as_ref()) {
        (found, tag::MAP | tag::OMAP | tag::SET) => {
            format!("expected a mapping node, but found {}", found.id())
        }
        (found, tag::SEQ) => format!("expected a sequence node, but found {}", found.id()),
        (
            found,
            tag::STR | tag::INT | tag::FLOAT | tag::BOOL | tag::NULL | tag::BINARY | tag::TIMESTAMP,
        ) => format!("expected a scalar node, but found {}", found.id()),
        (found, tag::PAIRS) => {
            return Error::with_context(
                Kind::Constructor,
                "while constructing pairs",
                raw.start,
                format!("expected a sequence, but found {}", found.id()),
                raw.start,
            );
        }
        (_, name) => format!(
            "could not determine a constructor for the tag {}",
            crate::python::repr_str(name)
        ),
    };
    Error::plain(Kind::Constructor, problem, raw.start)
}
