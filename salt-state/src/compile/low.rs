//! Chunks: one for each function that is to be called, with its order number.

use std::borrow::Cow;

use indexmap::IndexSet;
use salt_proto::target::Release;
use salt_proto::{Map, Value};

use super::Inputs;
use super::high::{High, bodies, declared, lookup};
use crate::grains::Grains;
use crate::python;
use crate::yaml::{Data, Node, Span};

/// One state to bring about.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The low data: `state`, `fun`, `name`, `__id__`, `__sls__`, `__env__`, `order` and
    /// all arguments, in Salt's order.
    pub low: Map,
    /// Where it was declared.
    pub origin: Origin,
}

/// Where the parts of a chunk stood; resolve them with
/// [`World::place`](crate::render::World::place).
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The ID.
    pub id: Span,
    /// The `module.function` key.
    pub state: Span,
    /// The arguments by name.
    pub arguments: Vec<(String, Span)>,
    /// The items of the requisites: kind, index in its list, place.
    pub references: Vec<(String, usize, Span)>,
}

impl Chunk {
    /// The text of one of the fixed entries.
    pub fn text(&self, key: &str) -> String {
        self.low.get(key).map(python::str).unwrap_or_default()
    }

    /// The same, borrowed where it is text already.
    pub(super) fn part(&self, key: &str) -> Cow<'_, str> {
        match self.low.get(key) {
            Some(Value::Str(text)) => Cow::Borrowed(text),
            Some(other) => Cow::Owned(python::str(other)),
            None => Cow::Borrowed(""),
        }
    }

    /// The tag under which its result is returned.
    pub fn tag(&self) -> String {
        let parts = ["state", "__id__", "name", "fun"].map(|key| self.part(key));
        parts.join("_|-")
    }

    /// What decides between chunks of the same order.
    pub(super) fn sort_text(&self) -> String {
        ["state", "name", "fun"].map(|key| self.part(key)).concat()
    }

    pub(super) fn order(&self) -> f64 {
        match self.low.get("order") {
            Some(Value::Float(x)) => *x,
            Some(value) => integer(value).unwrap_or(0.0),
            None => 0.0,
        }
    }
}

/// Makes the chunks of all high data, in its order, with their final order numbers; and
/// says how many are disabled and left out.
pub(super) fn chunks(inputs: &Inputs<'_>, high: &High) -> (Vec<Chunk>, usize) {
    let mut chunks = Vec::new();
    let ids = high.ids.borrow();
    for (id, span, body) in bodies(&ids) {
        let Some(map) = body.as_map() else {
            continue;
        };
        for (state, state_span, node) in declared(&map.borrow()) {
            let Some(arguments) = node.as_list() else {
                continue;
            };
            let arguments = arguments.borrow();
            declaration(id, span, body, state, state_span, &arguments, &mut chunks);
        }
    }
    let all = chunks.len();
    if inputs.world.release >= Release::V3008 {
        let grains = &inputs.world.minion.grains;
        if grains.contains_key(DISABLED) {
            chunks.retain(|chunk| disabled_by(chunk, grains).is_none());
        }
        for chunk in &mut chunks {
            replace_watch(inputs, chunk);
        }
    }
    number(&mut chunks);
    let disabled = all - chunks.len();
    (chunks, disabled)
}

fn declaration(
    id: &Value,
    id_span: Span,
    body: &Node,
    state: &Value,
    state_span: Span,
    arguments: &[Node],
    chunks: &mut Vec<Chunk>,
) {
    // Beside the arguments: eight fixed entries.
    let mut low = Map::with_capacity(arguments.len() + 8);
    low.insert("state", state.clone());
    low.insert("name", id.clone());
    for key in ["__sls__", "__env__", "__sls_included_from__"] {
        if let Some(node) = lookup(body, key) {
            low.insert(key, node.to_value());
        }
    }
    low.insert("__id__", id.clone());
    let mut origin = Origin {
        id: id_span,
        state: state_span,
        ..Origin::default()
    };
    let mut functions: Vec<&str> = Vec::new();
    let mut names: Vec<Value> = Vec::new();
    for argument in arguments {
        match &argument.data {
            Data::Scalar(Value::Str(function)) => {
                functions.push(function);
            }
            Data::Map(map) => {
                for (key, entry) in map.borrow().iter() {
                    argument_entry(
                        id,
                        key,
                        &entry.value,
                        entry.key,
                        &mut low,
                        &mut names,
                        &mut origin,
                    );
                }
            }
            _ => {}
        }
    }
    if functions.len() > 1 {
        // There is one function unless the checks were skipped.
        let each: IndexSet<&str> = functions.drain(..).collect();
        functions.extend(each);
    }
    let mut push = |low: Map, origin: Origin| {
        let Some((last, others)) = functions.split_last() else {
            return;
        };
        for function in others {
            let (mut low, origin) = (low.clone(), origin.clone());
            low.insert("fun", *function);
            chunks.push(Chunk { low, origin });
        }
        let mut low = low;
        low.insert("fun", *last);
        chunks.push(Chunk { low, origin });
    };
    if names.is_empty() {
        push(low, origin);
        return;
    }
    for (index, name) in names.iter().enumerate() {
        let mut low = low.clone();
        match name {
            Value::Map(map) => {
                let Some((name, extra)) = map.iter().next() else {
                    continue;
                };
                low.insert("name", name.clone());
                for entry in extra.as_list().unwrap_or_default() {
                    if let Some(entry) = entry.as_map() {
                        low.extend(entry.clone());
                    }
                }
            }
            name => {
                low.insert("name", name.clone());
            }
        }
        low.insert("name_order", index + 1);
        push(low, origin.clone());
    }
}

fn argument_entry(
    id: &Value,
    key: &Value,
    node: &Node,
    span: Span,
    low: &mut Map,
    names: &mut Vec<Value>,
    origin: &mut Origin,
) {
    let value = node.to_value();
    match key.as_str() {
        Some("names") => {
            for name in value.as_list().unwrap_or_default() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        Some("state") => {}
        Some("name") if value.as_str().is_none() => {
            low.insert("name", id.clone());
        }
        _ => {
            low.insert(key.clone(), value);
        }
    }
    if let Some(key) = key.as_str() {
        origin.arguments.retain(|(known, _)| known != key);
        origin.arguments.push((key.to_owned(), span));
        if super::REQUISITES.contains(&key)
            && let Some(items) = node.as_list()
        {
            origin.references.retain(|(kind, _, _)| kind != key);
            for (index, item) in items.borrow().iter().enumerate() {
                origin.references.push((key.to_owned(), index, item.span));
            }
        }
    }
}

/// The grain that keeps chunks from running.
const DISABLED: &str = "state_runs_disabled";

/// The pattern of the grain `state_runs_disabled` that keeps a chunk from running.
pub(crate) fn disabled_by(chunk: &Chunk, grains: &Grains) -> Option<String> {
    let patterns = grains.get(DISABLED)?.as_list()?;
    let function = format!("{}.{}", chunk.text("state"), chunk.text("fun"));
    patterns
        .iter()
        .filter_map(Value::as_str)
        .find(|pattern| crate::fnmatch(&function, pattern))
        .map(str::to_owned)
}

/// `watch` on a module that does not react to it is `require`.
fn replace_watch(inputs: &Inputs<'_>, chunk: &mut Chunk) {
    for (watch, require) in [("watch", "require"), ("watch_any", "require_any")] {
        if !chunk.low.contains_key(watch) || inputs.modules.has_mod_watch(&chunk.part("state")) {
            continue;
        }
        let Some(Value::List(watched)) = chunk.low.remove(watch) else {
            continue;
        };
        let list = chunk
            .low
            .get_or_insert_with(require, || Value::List(Vec::new()));
        let mut shift = 0;
        if let Value::List(items) = list {
            shift = items.len();
            items.extend(watched);
        }
        for (kind, index, _) in &mut chunk.origin.references {
            if kind == watch {
                require.clone_into(kind);
                *index += shift;
            }
        }
    }
}

/// An integer or a boolean, which is one in Python.
#[expect(clippy::cast_precision_loss, reason = "order numbers are small")]
fn integer(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::UInt(n) => Some(*n as f64),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    }
}

/// Gives every chunk a number for its order: words and gaps are filled in, names of one
/// declaration follow each other.
fn number(chunks: &mut [Chunk]) {
    let mut cap: i64 = 1;
    for chunk in chunks.iter() {
        let order = match chunk.low.get("order") {
            Some(Value::Int(n)) => *n,
            Some(Value::Bool(b)) => i64::from(*b),
            _ => continue,
        };
        if order > cap - 1 && order > 0 {
            cap = order.saturating_add(100);
        }
    }
    let last = cap.saturating_add(1_000_000);
    for chunk in chunks {
        let Some(slot) = chunk.low.get_mut("order") else {
            chunk.low.insert("order", cap);
            continue;
        };
        let mut order = match std::mem::take(slot) {
            order @ (Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Bool(_)) => order,
            Value::Str(word) if word == "last" => Value::Int(last),
            Value::Str(word) if word == "first" => Value::Int(0),
            _ => Value::Int(cap),
        };
        if let Some(Value::Int(n)) = chunk.low.remove("name_order") {
            #[expect(clippy::cast_precision_loss, reason = "the number of a name is small")]
            let part = n as f64 / 10_000.0;
            let base = match &order {
                Value::Float(x) => *x,
                other => integer(other).unwrap_or(0.0),
            };
            order = Value::Float(base + part);
        }
        order = match order {
            Value::Int(n) if n < 0 => Value::Int(last.saturating_add(n)),
            #[expect(clippy::cast_precision_loss, reason = "order numbers are small")]
            Value::Float(x) if x < 0.0 => Value::Float(last as f64 + x),
            order => order,
        };
        if let Some(slot) = chunk.low.get_mut("order") {
            *slot = order;
        }
    }
}

/// The list of 3006 and 3007: by order, then by what is called.
pub(super) fn sorted(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    chunks.sort_by_cached_key(|chunk| (Order(chunk.order()), chunk.sort_text()));
    chunks
}

/// An order number that can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Order(pub(super) f64);

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
