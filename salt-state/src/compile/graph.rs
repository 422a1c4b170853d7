//! The order in which chunks run, from what they require (Salt 3008).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

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

/// By what one chunk depends on another, and where that is written. What a `prereq` makes in
/// the other direction is marked.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    reversed: bool,
    span: Span,
}

/// One chunk has to come before another, for one kind or several.
struct Edge {
    to: NodeId,
    first: Kind,
    more: Vec<Kind>,
}

impl Edge {
    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn count(&self) -> usize {
        1 + self.more.len()
    }
}

struct Vertex<'c> {
    chunk: usize,
    tag: Cow<'c, str>,
    /// Positions among the edges.
    out: Vec<usize>,
    incoming: usize,
    /// Where edges come from that a dry run of this has too; kept only when there are any.
    from: Vec<(NodeId, &'static str, Span)>,
}

struct Graph<'c> {
    chunks: &'c [Chunk],
    nodes: Vec<Vertex<'c>>,
    edges: Vec<Edge>,
    by_ends: HashMap<(NodeId, NodeId), usize>,
    /// The node of each chunk; chunks of the same tag share one.
    of_chunk: Vec<NodeId>,
    /// The chunk that each node was made for.
    made_for: Vec<usize>,
    by_id: OnceCell<Index<'c>>,
    by_sls: OnceCell<Index<'c>>,
    /// The effective order of each chunk.
    orders: Vec<f64>,
    tests: HashMap<NodeId, NodeId>,
    /// Whether any chunk has a `prereq`.
    has_tests: bool,
}

/// Nodes by a text, those of one text in the order they were added.
#[derive(Default)]
struct Index<'c> {
    /// First and last link of each text.
    ends: HashMap<Cow<'c, str>, (usize, usize)>,
    /// A node, and the link after this one.
    links: Vec<(NodeId, Option<usize>)>,
}

impl<'c> Index<'c> {
    fn add(&mut self, text: Cow<'c, str>, node: NodeId) {
        let link = self.links.len();
        self.links.push((node, None));
        let (_, last) = self
            .ends
            .entry(text)
            .and_modify(|(_, last)| {
                if let Some((_, next)) = self.links.get_mut(*last) {
                    *next = Some(link);
                }
            })
            .or_insert((link, link));
        *last = link;
    }

    fn get(&self, text: &str) -> impl Iterator<Item = NodeId> {
        let mut link = self.ends.get(text).map(|(first, _)| *first);
        std::iter::from_fn(move || {
            let (node, next) = self.links.get(link?)?;
            link = *next;
            Some(*node)
        })
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(AsRef::as_ref)
    }
}

/// Puts the chunks in the order they run in. Missing references are reported and left
/// out; a cycle is reported and leaves nothing.
pub(super) fn ordered(
    inputs: &Inputs<'_>,
    chunks: Vec<Chunk>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Chunk> {
    let tags: Vec<String> = chunks.iter().map(Chunk::tag).collect();
    let mut graph = Graph::new(&chunks, &tags);
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

/// What depends on what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// The tag of each chunk and how it is labelled; dry runs for a `prereq` last.
    pub nodes: Vec<(String, String)>,
    /// What comes before, what after, and the requisite that says so.
    pub edges: Vec<(String, String, &'static str)>,
}

/// The graph of chunks; references to nothing are left out.
pub(super) fn dependencies(inputs: &Inputs<'_>, chunks: &[Chunk]) -> Dependencies {
    let tags: Vec<String> = chunks.iter().map(Chunk::tag).collect();
    let mut graph = Graph::new(chunks, &tags);
    let disabled = requisite::disabled(inputs);
    let mut prereqs = Vec::new();
    for index in 0..chunks.len() {
        // What is missing is for a run to report.
        drop(graph.connect(inputs, index, &disabled, &mut prereqs));
    }
    let mut shown = Dependencies::default();
    for (id, node) in graph.nodes.iter().enumerate() {
        let label = chunks.get(node.chunk).map(label).unwrap_or_default();
        shown.nodes.push((node.tag.to_string(), label));
        for edge in graph.out(id) {
            let Some(to) = graph.nodes.get(edge.to) else {
                continue;
            };
            let mut named: Vec<&'static str> = Vec::new();
            for kind in edge.kinds() {
                if !named.contains(&kind.name) {
                    named.push(kind.name);
                    let (from, to) = (node.tag.to_string(), to.tag.to_string());
                    shown.edges.push((from, to, kind.name));
                }
            }
        }
    }
    shown
}

/// Function, ID and name of a chunk, on lines of their own in a DOT label.
fn label(chunk: &Chunk) -> String {
    let (id, name) = (chunk.text("__id__"), chunk.text("name"));
    let mut label = format!("{}.{}\\n{id}", chunk.text("state"), chunk.text("fun"));
    if name != id {
        label.push_str(&format!("\\n({name})"));
    }
    label
}

impl<'c> Graph<'c> {
    fn new(chunks: &'c [Chunk], tags: &'c [String]) -> Self {
        let mut graph = Self {
            chunks,
            nodes: Vec::with_capacity(chunks.len()),
            edges: Vec::new(),
            by_ends: HashMap::new(),
            of_chunk: Vec::with_capacity(chunks.len()),
            made_for: Vec::with_capacity(chunks.len()),
            by_id: OnceCell::new(),
            by_sls: OnceCell::new(),
            orders: chunks.iter().map(Chunk::order).collect(),
            tests: HashMap::new(),
            has_tests: chunks.iter().any(|chunk| chunk.low.contains_key("prereq")),
        };
        let mut by_tag: HashMap<&str, NodeId> = HashMap::with_capacity(chunks.len());
        for (index, tag) in tags.iter().enumerate() {
            let new = graph.nodes.len();
            let id = *by_tag.entry(tag).or_insert(new);
            graph.of_chunk.push(id);
            if id == new {
                graph.made_for.push(index);
                graph.nodes.push(Vertex {
                    chunk: index,
                    tag: Cow::Borrowed(tag),
                    out: Vec::new(),
                    incoming: 0,
                    from: Vec::new(),
                });
            } else if let Some(node) = graph.nodes.get_mut(id) {
                node.chunk = index;
            }
        }
        graph
    }

    /// The nodes by ID and by name.
    fn by_id(&self) -> &Index<'c> {
        self.by_id.get_or_init(|| {
            let mut index = Index::default();
            for (node, chunk) in self.made() {
                let (id, name) = (chunk.part("__id__"), chunk.part("name"));
                if name != id {
                    index.add(name, node);
                }
                index.add(id, node);
            }
            index
        })
    }

    /// The nodes by SLS, those of included ones also by the SLS that include them.
    fn by_sls(&self) -> &Index<'c> {
        self.by_sls.get_or_init(|| {
            let mut index = Index::default();
            for (node, chunk) in self.made() {
                let own = chunk.part("__sls__");
                let mut seen = HashSet::from([own.clone()]);
                index.add(own, node);
                if let Some(Value::List(from)) = chunk.low.get("__sls_included_from__") {
                    for name in from {
                        let sls: Cow<'_, str> = Cow::Owned(python::str(name));
                        if seen.insert(sls.clone()) {
                            index.add(sls, node);
                        }
                    }
                }
            }
            index
        })
    }

    fn made(&self) -> impl Iterator<Item = (NodeId, &'c Chunk)> {
        let chunks = self.chunks;
        let made = self.made_for.iter().enumerate();
        made.filter_map(|(node, at)| Some((node, chunks.get(*at)?)))
    }

    fn state_of(&self, node: NodeId) -> Cow<'c, str> {
        let chunk = self.made_for.get(node).and_then(|at| self.chunks.get(*at));
        chunk.map(|chunk| chunk.part("state")).unwrap_or_default()
    }

    /// The nodes that a reference means; `None` when it means nothing and must not.
    fn find(&self, kind: &str, value: &str) -> Option<Vec<NodeId>> {
        let glob = value.contains(['*', '?', '[', ']']);
        if kind == "sls" {
            let index = self.by_sls();
            if glob {
                let mut found: Vec<NodeId> = index
                    .texts()
                    .filter(|sls| fnmatch(sls, value))
                    .flat_map(|sls| index.get(sls))
                    .collect();
                found.sort_unstable();
                found.dedup();
                return Some(found);
            }
            let found: Vec<NodeId> = index.get(value).collect();
            return (!found.is_empty()).then_some(found);
        }
        let mut found: Vec<NodeId> = Vec::new();
        if !glob {
            let named = self.by_id().get(value);
            found.extend(named.filter(|node| kind == "id" || self.state_of(*node) == kind));
            return (!found.is_empty()).then_some(found);
        }
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(chunk) = self.chunks.get(node.chunk) else {
                continue;
            };
            if (kind == "id" || chunk.part("state") == kind)
                && (fnmatch(&chunk.part("name"), value) || fnmatch(&chunk.part("__id__"), value))
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
        let Some(&own) = self.of_chunk.get(index) else {
            return Ok(());
        };
        for kind in KINDS {
            let Some(Value::List(items)) = chunk.low.get(kind) else {
                continue;
            };
            if disabled.contains(kind) {
                continue;
            }
            let spans = reference_spans(chunk, kind, items.len());
            for (item, span) in items.iter().zip(spans) {
                let pairs = match item {
                    Value::Map(map) => map.iter().map(|(key, value)| (Some(key), value)).collect(),
                    other => vec![(None, other)],
                };
                for (key, value) in pairs {
                    let key = match key {
                        None => Cow::Borrowed("id"),
                        Some(Value::Str(key)) => Cow::Borrowed(key.as_str()),
                        Some(other) => Cow::Owned(python::str(other)),
                    };
                    let value = match value {
                        Value::Null => continue,
                        Value::Str(value) => value,
                        _ => return Err(not_text(inputs, chunk, kind, &key, span)),
                    };
                    let Some(found) = self.find(&key, value) else {
                        return Err(self.missing(inputs, chunk, kind, &key, value, span));
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

    fn edge(
        &mut self,
        from: NodeId,
        to: NodeId,
        (name, reversed): (&'static str, bool),
        span: Span,
    ) {
        let kind = Kind {
            name,
            reversed,
            span,
        };
        let new = self.edges.len();
        let at = *self.by_ends.entry((from, to)).or_insert(new);
        if at == new {
            let Some(node) = self.nodes.get_mut(from) else {
                return;
            };
            node.out.push(new);
            self.edges.push(Edge {
                to,
                first: kind,
                more: Vec::new(),
            });
        } else if let Some(edge) = self.edges.get_mut(at) {
            let known = std::iter::once(&mut edge.first)
                .chain(&mut edge.more)
                .find(|known| known.name == name && known.reversed == reversed);
            if let Some(known) = known {
                known.span = span;
                return;
            }
            edge.more.push(kind);
        }
        if let Some(node) = self.nodes.get_mut(to) {
            node.incoming += 1;
            if self.has_tests && !reversed && name != "prereq" {
                node.from.push((from, name, span));
            }
        }
    }

    /// The edges that begin at a node, in the order they were made.
    fn out(&self, node: NodeId) -> impl Iterator<Item = &Edge> {
        let out = self.nodes.get(node).map(|node| node.out.as_slice());
        out.unwrap_or_default()
            .iter()
            .filter_map(|at| self.edges.get(*at))
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
            tag: format!("{}_|-__prereq_test__", node.tag).into(),
            out: Vec::new(),
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
                let edge = self.nodes.get(node).and_then(|node| node.out.get(*next));
                *next += 1;
                let Some(to) = edge.and_then(|at| self.edges.get(*at)).map(|edge| edge.to) else {
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
            let edge = self.by_ends.get(&(from, to));
            let Some(first) = edge
                .and_then(|at| self.edges.get(*at))
                .map(|edge| edge.first)
            else {
                continue;
            };
            // What a `prereq` turns around is only told from a `require` where there is none.
            let requires = |chunk: &Chunk| chunk.low.contains_key("require");
            let declared = self
                .nodes
                .get(to)
                .and_then(|node| self.chunks.get(node.chunk));
            let kind = match first.reversed && !declared.is_some_and(requires) {
                true => "prereq",
                false => first.name,
            };
            parts.push(format!(
                "({}, '{kind}', {})",
                self.show(to),
                self.show(from)
            ));
            let place = place(inputs, first.span);
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
            for edge in self.out(id) {
                if let Some(count) = waiting.get_mut(edge.to) {
                    *count = count.saturating_sub(edge.count());
                    if *count == 0 {
                        ready.push(Reverse(self.key(edge.to, &ranks)));
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
        let tag = |id: NodeId| self.nodes.get(id).map_or("", |node| node.tag.as_ref());
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
        for edge in self.out(id) {
            for kind in edge.kinds() {
                let weight = weight(kind.name);
                if weight >= heaviest {
                    heaviest = weight;
                    lowest = lowest.min(self.own_order(edge.to));
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
            let known = super::nearest(value, self.by_sls().texts())?;
            return Some(format!("did you mean `sls: {known}`?"));
        }
        if let Some(other) = self.by_id().get(value).next() {
            return Some(format!("`{value}` is a `{}` state", self.state_of(other)));
        }
        let names = self.by_id().texts().filter(|name| {
            key == "id"
                || self
                    .by_id()
                    .get(name)
                    .any(|node| self.state_of(node) == key)
        });
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

/// Where each item of a requisite is written.
fn reference_spans(chunk: &Chunk, kind: &str, items: usize) -> Vec<Span> {
    let mut spans = vec![Span::default(); items];
    // The first place that was noted for an item counts.
    for (known, index, span) in chunk.origin.references.iter().rev() {
        if known == kind
            && let Some(slot) = spans.get_mut(*index)
        {
            *slot = *span;
        }
    }
    spans
}
