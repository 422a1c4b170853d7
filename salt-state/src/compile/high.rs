//! High data: ID → state module → arguments, while it is being put together.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use salt_proto::{Map, Value};

use crate::diagnostic::{Diagnostic, Stage};
use crate::python;
use crate::render::World;
use crate::yaml::{Data, Entry, Node, NodeMap, Span, Text};

/// What one SLS, or all together, declare.
#[derive(Debug, Default)]
pub(super) struct High {
    /// The IDs with their bodies, in order.
    pub(super) ids: RefCell<NodeMap>,
    /// The `extend` mappings, in the order they count.
    pub(super) extends: RefCell<Vec<Node>>,
    /// The entries of all `exclude` lists.
    pub(super) excludes: RefCell<Vec<Node>>,
    /// How many IDs there were when the first extend and the first exclude came.
    keyword_places: Cell<(Option<usize>, Option<usize>)>,
}

/// A shared mapping of a body.
pub(super) type Body = Rc<RefCell<NodeMap>>;

/// A shared list of arguments.
pub(super) type Arguments = Rc<RefCell<Vec<Node>>>;

impl High {
    pub(super) fn to_value(&self) -> Value {
        Value::Map(
            self.ids
                .borrow()
                .iter()
                .map(|(id, entry)| (id.clone(), entry.value.to_value()))
                .collect(),
        )
    }

    /// The data as it is before extends are applied, with those under Salt's own keys.
    pub(super) fn to_raw_value(&self) -> Value {
        let list = |nodes: &RefCell<Vec<Node>>| -> Value {
            nodes.borrow().iter().map(Node::to_value).collect()
        };
        let (extend_place, exclude_place) = self.keyword_places.get();
        let mut map = Map::new();
        let length = self.ids.borrow().len();
        let place_keywords = |map: &mut Map, at: usize, last: bool| {
            for (key, place, nodes) in [
                ("__extend__", extend_place, &self.extends),
                ("__exclude__", exclude_place, &self.excludes),
            ] {
                let here = place == Some(at) || last && place.is_none_or(|place| place >= at);
                if here && !nodes.borrow().is_empty() {
                    map.insert(key, list(nodes));
                }
            }
        };
        for (at, (id, entry)) in self.ids.borrow().iter().enumerate() {
            place_keywords(&mut map, at, false);
            map.insert(id.clone(), entry.value.to_value());
        }
        place_keywords(&mut map, length, true);
        Value::Map(map)
    }

    pub(super) fn add_excludes(&self, entries: &[Value]) {
        let nodes = entries
            .iter()
            .map(|value| Node::from_value(value, Span::default()));
        self.excludes.borrow_mut().extend(nodes);
    }

    pub(super) fn body(&self, id: &Value) -> Option<Body> {
        self.ids.borrow().get(id)?.value.as_map().cloned()
    }

    /// Takes over what another one declares; IDs in both are an error unless equal.
    pub(super) fn absorb(&self, other: Self, world: &World<'_>, errors: &mut Vec<Diagnostic>) {
        let (mut extend_place, mut exclude_place) = self.keyword_places.get();
        let known = self.ids.borrow().len();
        if !other.extends.borrow().is_empty() {
            extend_place = extend_place.or(Some(known));
        }
        if !other.excludes.borrow().is_empty() {
            exclude_place = exclude_place.or(Some(known));
        }
        self.keyword_places.set((extend_place, exclude_place));
        let mut extends = self.extends.borrow_mut();
        if extends.is_empty() {
            *extends = other.extends.into_inner();
        } else {
            for extend in other.extends.into_inner() {
                let value = extend.to_value();
                if !extends.iter().any(|known| known.to_value() == value) {
                    extends.push(extend);
                }
            }
        }
        self.excludes
            .borrow_mut()
            .extend(other.excludes.into_inner());
        let mut ids = self.ids.borrow_mut();
        if ids.is_empty() {
            *ids = other.ids.into_inner();
            return;
        }
        for (id, entry) in other.ids.into_inner() {
            if let Some(known) = ids.get(&id)
                && known.value.to_value() != entry.value.to_value()
            {
                errors.push(conflict(&id, known, &entry, world));
            }
            ids.insert(id, entry);
        }
    }
}

fn conflict(id: &Value, known: &Entry, new: &Entry, world: &World<'_>) -> Diagnostic {
    let home = |entry: &Entry| {
        format!(
            "{}:{}",
            origin(&entry.value, "__env__"),
            origin(&entry.value, "__sls__")
        )
    };
    Diagnostic::new(
        Stage::Render,
        format!(
            "Detected conflicting IDs, SLS IDs need to be globally unique.\n    The conflicting ID is '{}' and is found in SLS '{}' and SLS '{}'",
            python::str(id),
            home(known),
            home(new)
        ),
    )
    .at(world.place(new.key))
    .with(world.place(known.key), "also declared here")
    .hint("give one of them another ID and use `- name:` for what both act on")
}

/// The node under a text key, if this is a mapping that has it.
pub(super) fn lookup(node: &Node, key: &str) -> Option<Node> {
    node.as_map()?
        .borrow()
        .get(&Text(key))
        .map(|entry| entry.value.clone())
}

/// The IDs that count, with where each was written and its body.
pub(super) fn bodies(ids: &NodeMap) -> impl Iterator<Item = (&Value, Span, &Node)> {
    ids.iter()
        .filter(|(id, _)| !is_dunder(id))
        .map(|(id, entry)| (id, entry.key, &entry.value))
}

/// Whether a key is one of Salt's own (`__sls__`).
pub(super) fn is_dunder(key: &Value) -> bool {
    key.as_str().is_some_and(|key| key.starts_with("__"))
}

pub(super) fn set(body: &Body, key: &str, value: Node) {
    let span = value.span;
    body.borrow_mut()
        .insert(Value::from(key), Entry { key: span, value });
}

/// The text of `__sls__` or `__env__` in a body.
pub(super) fn origin(node: &Node, key: &str) -> String {
    lookup(node, key)
        .map(|node| python::str(&node.to_value()))
        .unwrap_or_default()
}

/// The declarations of a body: module (or what stands there), where, and its value.
pub(super) fn declared(body: &NodeMap) -> impl Iterator<Item = (&Value, Span, &Node)> {
    bodies(body)
}

/// The same as copies, for who changes the body meanwhile.
pub(super) fn declarations(body: &Body) -> Vec<(Value, Span, Node)> {
    body.borrow()
        .iter()
        .filter(|(key, _)| !is_dunder(key))
        .map(|(key, entry)| (key.clone(), entry.key, entry.value.clone()))
        .collect()
}

/// The first key of a mapping with its value; `None` if it is none or empty.
pub(super) fn first(node: &Node) -> Option<(Value, Entry)> {
    let map = node.as_map()?.borrow();
    let (key, entry) = map.first()?;
    Some((key.clone(), entry.clone()))
}

/// Whether the first key of a mapping is this one.
pub(super) fn begins_with(node: &Node, wanted: &str) -> bool {
    node.as_map().is_some_and(|map| {
        map.borrow()
            .first()
            .is_some_and(|(key, _)| key.as_str() == Some(wanted))
    })
}

/// How many keys a mapping has.
pub(super) fn width(node: &Node) -> usize {
    node.as_map().map_or(0, |map| map.borrow().len())
}

/// Splits the data of one SLS into declarations, `extend` and `exclude`, and brings the
/// declarations into the long form.
pub(super) fn declare(
    data: &Body,
    sls: &str,
    environment: &str,
    world: &World<'_>,
    errors: &mut Vec<Diagnostic>,
) -> High {
    let high = High::default();
    if let Some(entry) = take(data, "extend") {
        extend(&entry, sls, environment, &high, world, errors);
    }
    if let Some(entry) = take(data, "exclude") {
        match entry.value.as_list() {
            Some(items) => high
                .excludes
                .borrow_mut()
                .extend(items.borrow().iter().cloned()),
            None => errors.push(
                Diagnostic::new(
                    Stage::Render,
                    format!("Exclude Declaration in SLS {sls} is not formed as a list"),
                )
                .at(world.place(entry.key))
                .hint("write `exclude:` as a list of SLS names, or of `- id: name`"),
            ),
        }
    }
    // A declaration may be the same object as another one, but never the whole.
    let all = data.borrow().len();
    for at in 0..all {
        let long = data
            .borrow()
            .get_index(at)
            .and_then(|(id, entry)| declaration(id, entry, sls, environment, world, errors));
        if let Some(node) = long
            && let Some(value) = data.borrow_mut().value_at_mut(at)
        {
            *value = node;
        }
    }
    *high.ids.borrow_mut() = std::mem::take(&mut *data.borrow_mut());
    high
}

/// Takes a key out of a mapping, keeping the order of the others.
pub(super) fn take(map: &Body, key: &str) -> Option<Entry> {
    map.borrow_mut().remove(&Text(key))
}

fn extend(
    entry: &Entry,
    sls: &str,
    environment: &str,
    high: &High,
    world: &World<'_>,
    errors: &mut Vec<Diagnostic>,
) {
    let Some(map) = entry.value.as_map() else {
        let text = format!("Extension value in SLS '{sls}' is not a dictionary");
        errors.push(Diagnostic::new(Stage::Render, text).at(world.place(entry.key)));
        return;
    };
    let names: Vec<_> = map
        .borrow()
        .iter()
        .map(|(name, entry)| (name.clone(), entry.clone()))
        .collect();
    for (name, entry) in names {
        let Some(body) = entry.value.as_map() else {
            let name = python::str(&name);
            let text = format!("Extension name '{name}' in SLS '{sls}' is not a dictionary");
            errors.push(Diagnostic::new(Stage::Render, text).at(world.place(entry.key)));
            continue;
        };
        stamp(body, sls, environment);
        for (key, _, value) in declarations(body) {
            if let (Some(key), Some(arguments)) = (key.as_str(), value.as_list()) {
                undot(body, key, arguments);
            }
        }
    }
    high.extends.borrow_mut().push(entry.value.clone());
}

fn stamp(body: &Body, sls: &str, environment: &str) {
    for (key, text) in [("__sls__", sls), ("__env__", environment)] {
        if !body.borrow().contains_key(&Text(key)) {
            set(body, key, Node::scalar(text));
        }
    }
}

/// Turns `module.function: [args]` into `module: [args, function]`, at the end.
fn undot(body: &Body, key: &str, arguments: &Arguments) {
    let mut parts = key.split('.');
    let (Some(module), Some(function)) = (parts.next(), parts.next()) else {
        return;
    };
    if let Some(entry) = take(body, key) {
        let function = Node::at(Data::Scalar(Value::from(function)), entry.key);
        arguments.borrow_mut().push(function);
        body.borrow_mut().insert(Value::from(module), entry);
    }
}

/// Brings one declaration into the long form; a new body for the short one.
fn declaration(
    id: &Value,
    entry: &Entry,
    sls: &str,
    environment: &str,
    world: &World<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let Some(body) = entry.value.as_map() else {
        return short(id, entry, sls, environment, world, errors);
    };
    let keys: Vec<_> = body
        .borrow()
        .iter()
        .map(|(key, entry)| (key.clone(), entry.clone()))
        .collect();
    // One state needs no memory of those before it.
    let several = keys.len() > 1;
    let mut seen = HashSet::new();
    for (key, state) in &keys {
        let (Some(name), Some(arguments)) = (key.as_str(), state.value.as_list()) else {
            continue;
        };
        if name.starts_with('_') {
            continue;
        }
        let Some((module, _)) = name.split_once('.') else {
            if several {
                seen.insert(name);
            }
            continue;
        };
        if seen.contains(module) {
            let id = python::str(id);
            errors.push(
                Diagnostic::new(
                    Stage::Render,
                    format!("ID '{id}' in SLS '{sls}' contains multiple state declarations of the same type"),
                )
                .at(world.place(state.key))
                .hint(format!("give the second `{module}` state an ID of its own")),
            );
            continue;
        }
        undot(body, name, arguments);
        if several {
            seen.insert(module);
        }
    }
    stamp(body, sls, environment);
    None
}

/// `ID: module.function`.
fn short(
    id: &Value,
    entry: &Entry,
    sls: &str,
    environment: &str,
    world: &World<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let span = entry.value.span;
    if let Some((module, rest)) = entry.value.as_str().and_then(|text| text.split_once('.')) {
        let function = rest.split('.').next().unwrap_or_default();
        let body = Body::default();
        stamp(&body, sls, environment);
        let function = Node::at(Data::Scalar(Value::from(function)), span);
        set(&body, module, Node::list(vec![function], span));
        return Some(Node::at(Data::Map(body), span));
    }
    if !matches!(id.as_str(), Some("__extend__" | "__exclude__")) {
        let text = format!("ID {} in SLS {sls} is not a dictionary", python::str(id));
        errors.push(
            Diagnostic::new(Stage::Render, text)
                .at(world.place(entry.key))
                .hint(match &entry.value.data {
                    Data::Scalar(Value::Null) => {
                        "an ID needs a state below it, such as `pkg.installed`"
                    }
                    _ => "write the state as `module.function`, or below the ID as a mapping",
                }),
        );
    }
    None
}

/// Gives every declaration that has no order of its own the next number.
pub(super) fn number(high: &High, next: &mut i64) {
    for (_, entry) in high.ids.borrow().iter() {
        let Some(body) = entry.value.as_map() else {
            continue;
        };
        for (key, entry) in body.borrow().iter() {
            let (Some(key), Some(arguments)) = (key.as_str(), entry.value.as_list()) else {
                continue;
            };
            if key.starts_with('_') {
                continue;
            }
            let ordered = arguments
                .borrow()
                .iter()
                .any(|argument| begins_with(argument, "order"));
            if !ordered {
                let order = super::single("order", Node::scalar(*next));
                arguments.borrow_mut().push(order);
                *next += 1;
            }
        }
    }
}
