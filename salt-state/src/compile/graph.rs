//! The order in which chunks run, from what they require (Salt 3008).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use indexmap::IndexMap;
use salt_proto::Value;

use super::low::{Chunk, Order};
use super::{Inputs, place, requisite};
use crate::diagnostic::{Diagnostic, Stage};
use crate::yaml::Span;
use crate::{fnmatch, python};

/// The kinds that make an order, in the order in which Salt looks at them.
const KINDS: [&str; 10] = [
    "require",
    "require_any",
    "watch",
    "watch_any",
    "prereq",
    "onfail",
    "onfail_any",
    "onfail_all",
    "onchanges",
    "onchanges_any",
];

/// How much a kind of edge weighs against others.
fn weight(kind: &str) -> usize {
    const WEIGHTS: [&str; 10] = [
        "onfail",
        "onfail_any",
        "onfail_all",
        "require",
        "require_any",
        "onchanges",
        "onchanges_any",
        "watch",
        "watch_any",
        "prereq",
    ];
    WEIGHTS.iter().position(|known| *known == kind).unwrap_or(0)
}

type NodeId = usize;

/// The kinds by which one chunk depends on another, with where that is written. The flag
/// marks the edge that a `prereq` makes in the other direction.
type Kinds = IndexMap<(&'static str, bool), Span>;

struct Vertex {
    chunk: usize,
    tag: String,
    out: IndexMap<NodeId, Kinds>,
    incoming: usize,
    /// Where declared edges come from; kept only when there are dry runs to copy them to.
    from: Vec<(NodeId, &'static str, Span)>,
}

struct Graph<'c> {
    chunks: &'c [Chunk],
    nodes: Vec<Vertex>,
    by_tag: HashMap<String, NodeId>,
    by_state: HashMap<(Cow<'c, str>, Cow<'c, str>), Vec<NodeId>>,
    by_id: HashMap<Cow<'c, str>, Vec<NodeId>>,
    by_sls: HashMap<Cow<'c, str>, Vec<NodeId>>,
    /// The effective order of each chunk.
    orders: Vec<f64>,
    tests: HashMap<NodeId, NodeId>,
    /// Whether any chunk has a `prereq`.
    has_tests: bool,
}

/// Puts the chunks in the order they run in. Missing references are reported and left
/// out; a cycle is reported and leaves nothing.
pub(super) fn ordered(
    inputs: &Inputs<'_>,
    chunks: Vec<Chunk>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Chunk> {
    let mut graph = Graph::new(&chunks);
    let disabled = requisite::disabled(inputs);
    let mut prereqs = Vec::new();
    for index in 0..chunks.len() {
        if let Err(error) = graph.connect(inputs, index, &disabled, &mut prereqs) {
            errors.push(error);
        }
    }
    if let Some(cycle) = graph.cycle() {
        errors.push(graph.describe(inputs, &cycle));
        return Vec::new();
    }
    let order = graph.topological();
    let (mut tested, mut testing) = (HashSet::new(), HashSet::new());
    for (requiring, required) in &prereqs {
        testing.extend(graph.nodes.get(*requiring).map(|node| node.chunk));
        tested.extend(graph.nodes.get(*required).map(|node| node.chunk));
    }
    drop(graph);
    let mut chunks: Vec<Option<Chunk>> = chunks.into_iter().map(Some).collect();
    let mut left: HashMap<usize, usize> = HashMap::new();
    for index in &order {
        if tested.contains(index) {
            *left.entry(*index).or_default() += 1;
        }
    }
    order
        .into_iter()
        .filter_map(|index| {
            let slot = chunks.get_mut(index)?;
            let again = left.get_mut(&index).is_some_and(|left| {
                *left -= 1;
                *left > 0
            });
            // Only what a dry run makes appear twice has to be copied.
            let mut chunk = if again { slot.clone()? } else { slot.take()? };
            if tested.contains(&index) {
                chunk.low.insert("__prereq__", true);
            }
            if testing.contains(&index) {
                chunk.low.insert("__prerequiring__", true);
            }
            Some(chunk)
        })
        .collect()
}

impl<'c> Graph<'c> {
    fn new(chunks: &'c [Chunk]) -> Self {
        let mut graph = Self {
            chunks,
            nodes: Vec::with_capacity(chunks.len()),
            by_tag: HashMap::with_capacity(chunks.len()),
            by_state: HashMap::with_capacity(chunks.len()),
            by_id: HashMap::with_capacity(chunks.len()),
            by_sls: HashMap::new(),
            orders: chunks.iter().map(Chunk::order).collect(),
            tests: HashMap::new(),
            has_tests: chunks.iter().any(|chunk| chunk.low.contains_key("prereq")),
        };
        for (index, chunk) in chunks.iter().enumerate() {
            let tag = chunk.tag();
            if let Some(&known) = graph.by_tag.get(&tag) {
                if let Some(node) = graph.nodes.get_mut(known) {
                    node.chunk = index;
                }
                continue;
            }
            let id = graph.nodes.len();
            graph.by_tag.insert(tag.clone(), id);
            graph.index(id, chunk);
            graph.nodes.push(Vertex {
                chunk: index,
                tag,
                out: IndexMap::new(),
                incoming: 0,
                from: Vec::new(),
            });
        }
        graph
    }

    fn index(&mut self, node: NodeId, chunk: &'c Chunk) {
        let (state, id, name) = (
            chunk.part("state"),
            chunk.part("__id__"),
            chunk.part("name"),
        );
        for text in [Some(&id), (name != id).then_some(&name)]
            .into_iter()
            .flatten()
        {
            let key = (state.clone(), text.clone());
            self.by_state.entry(key).or_default().push(node);
            self.by_id.entry(text.clone()).or_default().push(node);
        }
        let mut sls = vec![chunk.part("__sls__")];
        if let Some(Value::List(from)) = chunk.low.get("__sls_included_from__") {
            sls.extend(from.iter().map(|name| Cow::Owned(python::str(name))));
        }
        let mut seen = HashSet::new();
        for sls in sls {
            if seen.insert(sls.clone()) {
                self.by_sls.entry(sls).or_default().push(node);
            }
        }
    }

    /// The nodes that a reference means; `None` when it means nothing and must not.
    fn find(&self, kind: &str, value: &str) -> Option<Vec<NodeId>> {
        let glob = value.contains(['*', '?', '[', ']']);
        if kind == "sls" {
            if glob {
                let mut found: Vec<NodeId> = self
                    .by_sls
                    .iter()
                    .filter(|(sls, _)| fnmatch(sls, value))
                    .flat_map(|(_, nodes)| nodes.iter().copied())
                    .collect();
                found.sort_unstable();
                found.dedup();
                return Some(found);
            }
            return self.by_sls.get(value).cloned();
        }
        if !glob {
            return if kind == "id" {
                self.by_id.get(value).cloned()
            } else {
                self.by_state
                    .get(&(Cow::Borrowed(kind), Cow::Borrowed(value)))
                    .cloned()
            };
        }
        let mut found = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(chunk) = self.chunks.get(node.chunk) else {
                continue;
            };
            if (kind == "id" || chunk.text("state") == kind)
                && (fnmatch(&chunk.text("name"), value) || fnmatch(&chunk.text("__id__"), value))
            {
                found.push(id);
            }
        }
        (!found.is_empty()).then_some(found)
    }

    /// Adds the edges of one chunk's requisites, up to the first problem.
    fn connect(
        &mut self,
        inputs: &Inputs<'_>,
        index: usize,
        disabled: &HashSet<String>,
        prereqs: &mut Vec<(NodeId, NodeId)>,
    ) -> Result<(), Diagnostic> {
        let Some(chunk) = self.chunks.get(index) else {
            return Ok(());
        };
        if !KINDS.iter().any(|kind| chunk.low.contains_key(kind)) {
            return Ok(());
        }
        let Some(&own) = self.by_tag.get(&chunk.tag()) else {
            return Ok(());
        };
        for kind in KINDS {
            let Some(Value::List(items)) = chunk.low.get(kind) else {
                continue;
            };
            if disabled.contains(kind) {
                continue;
            }
            for (at, item) in items.iter().enumerate() {
                let span = reference_span(chunk, kind, at);
                let pairs = match item {
                    Value::Map(map) => map
                        .iter()
                        .map(|(key, value)| (python::str(key), value.clone()))
                        .collect(),
                    other => vec![("id".to_owned(), other.clone())],
                };
                for (key, value) in pairs {
                    let value = match value {
                        Value::Null => continue,
                        Value::Str(value) => value,
                        _ => return Err(not_text(inputs, chunk, kind, &key, span)),
                    };
                    let Some(found) = self.find(&key, &value) else {
                        return Err(self.missing(inputs, chunk, kind, &key, &value, span));
                    };
                    for required in found {
                        if kind == "prereq" {
                            prereqs.push((own, required));
                            self.prepare(own, required, span);
                        } else {
                            if let Some(&test) = self.tests.get(&own) {
                                self.edge(required, test, (kind, false), span);
                            }
                            self.edge(required, own, (kind, false), span);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn edge(&mut self, from: NodeId, to: NodeId, kind: (&'static str, bool), span: Span) {
        let Some(node) = self.nodes.get_mut(from) else {
            return;
        };
        let kinds = node.out.entry(to).or_default();
        if kinds.insert(kind, span).is_none()
            && let Some(node) = self.nodes.get_mut(to)
        {
            node.incoming += 1;
            let (kind, reversed) = kind;
            if self.has_tests && !reversed {
                node.from.push((from, kind, span));
            }
        }
    }

    /// Adds a `prereq`: a dry run of what is required comes before, the real run after.
    fn prepare(&mut self, own: NodeId, required: NodeId, span: Span) {
        let test = match self.tests.get(&required) {
            Some(&test) => test,
            None => self.add_test(required),
        };
        self.edge(own, required, ("require", true), span);
        self.edge(test, own, ("prereq", false), span);
        if let Some(&outer) = self.tests.get(&own) {
            self.edge(test, outer, ("prereq", false), span);
        }
    }

    /// Adds the dry run of a node; it needs all that the node is known to need.
    fn add_test(&mut self, required: NodeId) -> NodeId {
        let id = self.nodes.len();
        let Some(node) = self.nodes.get(required) else {
            return required;
        };
        let from = node.from.clone();
        let test = Vertex {
            chunk: node.chunk,
            tag: format!("{}_|-__prereq_test__", node.tag),
            out: IndexMap::new(),
            incoming: 0,
            from: Vec::new(),
        };
        self.nodes.push(test);
        self.tests.insert(required, id);
        for (from, kind, span) in from {
            self.edge(from, id, (kind, false), span);
        }
        id
    }

    /// The edges of the first cycle that a depth-first walk meets.
    fn cycle(&self) -> Option<Vec<(NodeId, NodeId)>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        let set = |marks: &mut Vec<Mark>, node: NodeId, mark| {
            if let Some(slot) = marks.get_mut(node) {
                *slot = mark;
            }
        };
        for start in 0..self.nodes.len() {
            if marks.get(start) != Some(&Mark::New) {
                continue;
            }
            // The way here: each node with the next of its edges to look at.
            let mut path = vec![(start, 0_usize)];
            set(&mut marks, start, Mark::Open);
            while let Some((node, next)) = path.last_mut() {
                let node = *node;
                let edge = self.nodes.get(node).and_then(|v| v.out.get_index(*next));
                *next += 1;
                let Some((&to, _)) = edge else {
                    set(&mut marks, node, Mark::Done);
                    path.pop();
                    continue;
                };
                match marks.get(to) {
                    Some(Mark::New) => {
                        set(&mut marks, to, Mark::Open);
                        path.push((to, 0));
                    }
                    Some(Mark::Open) => {
                        let mut nodes: Vec<NodeId> = path
                            .iter()
                            .map(|(node, _)| *node)
                            .skip_while(|node| *node != to)
                            .collect();
                        nodes.push(to);
                        let edges = nodes.iter().zip(nodes.iter().skip(1));
                        return Some(edges.map(|(a, b)| (*a, *b)).collect());
                    }
                    _ => {}
                }
            }
        }
        None
    }

    fn describe(&self, inputs: &Inputs<'_>, cycle: &[(NodeId, NodeId)]) -> Diagnostic {
        let mut parts = Vec::new();
        let mut error = Diagnostic::new(Stage::Low, "")
            .hint("one of these requisites has to go: nothing can run before itself");
        for (index, &(from, to)) in cycle.iter().enumerate() {
            let Some(((kind, reversed), span)) = self
                .nodes
                .get(from)
                .and_then(|node| node.out.get(&to)?.first())
            else {
                continue;
            };
            // What a `prereq` turns around is only told from a `require` where there is none.
            let requires = |chunk: &Chunk| chunk.low.contains_key("require");
            let declared = self
                .nodes
                .get(to)
                .and_then(|node| self.chunks.get(node.chunk));
            let kind = match *reversed && !declared.is_some_and(requires) {
                true => "prereq",
                false => kind,
            };
            parts.push(format!(
                "({}, '{kind}', {})",
                self.show(to),
                self.show(from)
            ));
            let place = place(inputs, *span);
            if index == 0 {
                error = error.at(place);
            } else {
                error = error.with(place, format!("and this `{kind}`"));
            }
        }
        error.message = format!("Recursive requisites were found: {}", parts.join(", "));
        error
    }

    fn show(&self, node: NodeId) -> String {
        let chunk = self
            .nodes
            .get(node)
            .and_then(|node| self.chunks.get(node.chunk));
        let Some(chunk) = chunk else {
            return String::new();
        };
        let (id, name) = (chunk.text("__id__"), chunk.text("name"));
        let mut shown = format!(
            "{{'SLS': {}, 'ID': {}",
            python::repr_str(&chunk.text("__sls__")),
            python::repr_str(&id)
        );
        if name != id {
            shown.push_str(&format!(", 'NAME': {}", python::repr_str(&name)));
        }
        shown.push('}');
        shown
    }

    /// Kahn's walk; among nodes that are ready the one with the lowest key is next.
    fn topological(&self) -> Vec<usize> {
        let ranks = self.ranks();
        let mut waiting: Vec<usize> = self.nodes.iter().map(|node| node.incoming).collect();
        let mut ready = BinaryHeap::new();
        for (id, count) in waiting.iter().enumerate() {
            if *count == 0 {
                ready.push(Reverse(self.key(id, &ranks)));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, _, _, id))) = ready.pop() {
            let Some(node) = self.nodes.get(id) else {
                continue;
            };
            order.push(node.chunk);
            for (&to, kinds) in &node.out {
                if let Some(count) = waiting.get_mut(to) {
                    *count = count.saturating_sub(kinds.len());
                    if *count == 0 {
                        ready.push(Reverse(self.key(to, &ranks)));
                    }
                }
            }
        }
        order
    }

    /// The place of each node when all are sorted by what is called and by tag.
    fn ranks(&self) -> Vec<usize> {
        let texts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                self.chunks
                    .get(node.chunk)
                    .map(Chunk::sort_text)
                    .unwrap_or_default()
            })
            .collect();
        let text = |id: NodeId| texts.get(id).map_or("", String::as_str);
        let tag = |id: NodeId| self.nodes.get(id).map_or("", |node| node.tag.as_str());
        let mut sorted: Vec<NodeId> = (0..self.nodes.len()).collect();
        sorted.sort_by(|&a, &b| text(a).cmp(text(b)).then_with(|| tag(a).cmp(tag(b))));
        let mut ranks = vec![0; sorted.len()];
        for (rank, id) in sorted.into_iter().enumerate() {
            if let Some(slot) = ranks.get_mut(id) {
                *slot = rank;
            }
        }
        ranks
    }

    fn own_order(&self, id: NodeId) -> f64 {
        self.nodes
            .get(id)
            .and_then(|node| self.orders.get(node.chunk))
            .copied()
            .unwrap_or(0.0)
    }

    /// A late chunk that an early one needs comes directly before that one: the key is the
    /// lowest order of what depends on it directly, unless a weaker kind follows a stronger.
    fn key(&self, id: NodeId, ranks: &[usize]) -> (Order, Order, usize, NodeId) {
        let own = self.own_order(id);
        let mut lowest = own;
        let mut heaviest = 0;
        if let Some(node) = self.nodes.get(id) {
            for (&to, kinds) in &node.out {
                for (kind, _) in kinds.keys() {
                    let weight = weight(kind);
                    if weight >= heaviest {
                        heaviest = weight;
                        lowest = lowest.min(self.own_order(to));
                    }
                }
            }
        }
        let rank = ranks.get(id).copied().unwrap_or(0);
        (Order(lowest), Order(own), rank, id)
    }

    fn missing(
        &self,
        inputs: &Inputs<'_>,
        chunk: &Chunk,
        kind: &str,
        key: &str,
        value: &str,
        span: Span,
    ) -> Diagnostic {
        let mut error = Diagnostic::new(
            Stage::Low,
            format!(
                "Referenced state does not exist for requisite [{kind}: ({key}: {value})] in state [{}] in SLS [{}]",
                chunk.text("name"),
                chunk.text("__sls__")
            ),
        )
        .at(place(inputs, span));
        error.hint = self.suggest(key, value);
        error
    }

    fn suggest(&self, key: &str, value: &str) -> Option<String> {
        if key == "sls" {
            let known = super::nearest(value, self.by_sls.keys().map(AsRef::as_ref))?;
            return Some(format!("did you mean `sls: {known}`?"));
        }
        let other = self.by_id.get(value).and_then(|nodes| nodes.first());
        if let Some(chunk) = other
            .and_then(|id| self.nodes.get(*id))
            .and_then(|node| self.chunks.get(node.chunk))
        {
            return Some(format!("`{value}` is a `{}` state", chunk.text("state")));
        }
        let names = self
            .by_state
            .keys()
            .filter(|(state, _)| key == "id" || state == key)
            .map(|(_, name)| name.as_ref());
        super::nearest(value, names).map(|name| format!("did you mean `{key}: {name}`?"))
    }
}

fn not_text(inputs: &Inputs<'_>, chunk: &Chunk, kind: &str, key: &str, span: Span) -> Diagnostic {
    Diagnostic::new(
        Stage::Low,
        format!(
            "Requisite [{kind}: {key}] in state [{}] in SLS [{}] must have a string as the value",
            chunk.text("name"),
            chunk.text("__sls__")
        ),
    )
    .at(place(inputs, span))
    .hint("put the name in quotes")
}

fn reference_span(chunk: &Chunk, kind: &str, at: usize) -> Span {
    chunk
        .origin
        .references
        .iter()
        .find(|(known, index, _)| known == kind && *index == at)
        .map_or_else(Span::default, |(_, _, span)| *span)
}
