//! `require_in` and its like, turned around; `use`.

use std::collections::HashSet;

use indexmap::IndexMap;
use salt_proto::Value;
use salt_proto::target::Release;

use super::extend::{Finder, first_state, reconcile, stamp};
use super::high::{Arguments, Body, High, bodies, declared, first, width};
use super::{Inputs, option, place, single};
use crate::diagnostic::{Diagnostic, Stage};
use crate::python;
use crate::yaml::{Data, Entry, Node, NodeMap, Span};

/// What `use` does not copy.
const NOT_COPIED: [&str; 16] = [
    "require",
    "watch",
    "prereq",
    "onfail",
    "onfail_stop",
    "onchanges",
    "require_in",
    "watch_in",
    "prereq_in",
    "onfail_in",
    "onchanges_in",
    "use",
    "use_in",
    "name",
    "names",
    "order",
];

/// The extends that come of all references, by the name they are for.
struct Extends(IndexMap<Value, (Span, Body)>);

impl Extends {
    fn body(&mut self, name: &Value, span: Span) -> Body {
        let (_, body) = self
            .0
            .entry(name.clone())
            .or_insert_with(|| (span, Body::default()));
        Body::clone(body)
    }

    fn arguments(&mut self, name: &Value, state: &Value, span: Span) -> Arguments {
        let body = self.body(name, span);
        let list = body
            .borrow_mut()
            .get_or_insert_with(state, || Entry {
                key: span,
                value: Node::list(Vec::new(), span),
            })
            .value
            .as_list()
            .cloned();
        list.unwrap_or_default()
    }

    /// Adds `{kind: [{state: id}]}` or one more reference to what is there.
    fn refer(
        &mut self,
        (name, target): (&Value, &Value),
        kind: &str,
        (state, id): (&Value, &Value),
        from: &Node,
        span: Span,
    ) {
        let arguments = self.arguments(name, target, span);
        stamp(&self.body(name, span), from);
        let reference = reference(state, id, span);
        for argument in arguments.borrow().iter() {
            if let Some((key, entry)) = first(argument)
                && key.as_str() == Some(kind)
                && let Some(list) = entry.value.as_list()
            {
                list.borrow_mut().push(reference);
                return;
            }
        }
        let list = Node::list(vec![reference], span);
        arguments.borrow_mut().push(single(kind, list));
    }

    /// Adds what 3006 and 3007 need to find a `prereq` from its other end.
    fn prerequire(
        &mut self,
        (name, target): (&Value, &Value),
        (state, id): (&Value, &Value),
        span: Span,
    ) {
        let arguments = self.arguments(name, target, span);
        let list = Node::list(vec![reference(state, id, span)], span);
        arguments.borrow_mut().push(single("prerequired", list));
    }
}

fn reference(state: &Value, id: &Value, span: Span) -> Node {
    let value = Node::at(Data::Scalar(id.clone()), span);
    let entry = Entry { key: span, value };
    Node::map(NodeMap::from([(state.clone(), entry)]), span)
}

/// One `require_in` or the like.
struct Statement<'s> {
    id: &'s Value,
    state: &'s Value,
    body: &'s Node,
    run: &'s Arguments,
    key: &'s str,
    /// The kind it becomes at its target.
    kind: &'s str,
}

/// Turns all references around and applies them.
pub(super) fn turn_around(inputs: &Inputs<'_>, high: &High, errors: &mut Vec<Diagnostic>) {
    let old = inputs.world.release < Release::V3008;
    let disabled = disabled(inputs);
    let finder = Finder::new(high);
    let mut extends = Extends(IndexMap::new());
    let is_turned = |argument: &Node| {
        argument.as_map().is_some_and(|map| {
            let map = map.borrow();
            let key = map.first().and_then(|(key, _)| key.as_str());
            key.is_some_and(|key| {
                let known = matches!(
                    key,
                    "require_in"
                        | "watch_in"
                        | "onfail_in"
                        | "onchanges_in"
                        | "prereq_in"
                        | "use"
                        | "use_in"
                ) || old && key == "prereq";
                known && !disabled.contains(key)
            })
        })
    };
    let ids = high.ids.borrow();
    for (id, _, body) in bodies(&ids) {
        let Some(map) = body.as_map() else {
            continue;
        };
        for (state, _, node) in declared(&map.borrow()) {
            let Some(run) = node.as_list() else {
                continue;
            };
            let run_now = run.borrow();
            let arguments: Vec<Node> = run_now.iter().filter(|a| is_turned(a)).cloned().collect();
            drop(run_now);
            for argument in arguments {
                let Some((key, entry)) = first(&argument) else {
                    continue;
                };
                let Some(key) = key.as_str() else {
                    continue;
                };
                let statement = Statement {
                    id,
                    state,
                    body,
                    run,
                    key,
                    kind: key.split('_').next().unwrap_or(key),
                };
                match &entry.value.data {
                    Data::Map(items) => {
                        mapping(inputs, &statement, &items.borrow(), &mut extends, errors);
                    }
                    Data::List(items) => {
                        let items: Vec<Node> = items.borrow().clone();
                        list(
                            inputs,
                            &statement,
                            &items,
                            high,
                            &finder,
                            &mut extends,
                            errors,
                        );
                    }
                    Data::Scalar(_) => {}
                }
            }
        }
    }
    drop(ids);
    for (name, (span, body)) in extends.0 {
        let value = Node::at(Data::Map(body), span);
        let entry = Entry { key: span, value };
        let node = Node::map(NodeMap::from([(name, entry)]), span);
        high.extends.borrow_mut().push(node);
    }
    reconcile(inputs, high, true, Stage::RequisiteIn, errors);
}

/// `require_in: {test: a}`.
fn mapping(
    inputs: &Inputs<'_>,
    statement: &Statement<'_>,
    items: &NodeMap,
    extends: &mut Extends,
    errors: &mut Vec<Diagnostic>,
) {
    for (target, entry) in items {
        let name = entry.value.to_value();
        let comma = inputs.world.release < Release::V3008;
        let target = undot(
            inputs,
            statement,
            target,
            &name,
            entry.value.span,
            comma,
            errors,
        );
        extends.refer(
            (&name, &target),
            statement.kind,
            (statement.state, statement.id),
            statement.body,
            entry.value.span,
        );
    }
}

/// Reports a dotted state and gives its first part.
fn undot(
    inputs: &Inputs<'_>,
    statement: &Statement<'_>,
    target: &Value,
    name: &Value,
    span: Span,
    comma: bool,
    errors: &mut Vec<Diagnostic>,
) -> Value {
    let Some((module, _)) = target.as_str().and_then(|text| text.split_once('.')) else {
        return target.clone();
    };
    let sls = super::high::origin(statement.body, "__sls__");
    let comma = if comma { "," } else { "" };
    errors.push(
        Diagnostic::new(
            Stage::RequisiteIn,
            format!(
                "Invalid requisite in {}: {} for {}{comma} in SLS '{sls}'. Requisites must not contain dots, did you mean '{module}'?",
                statement.kind,
                python::str(target),
                python::str(name),
            ),
        )
        .at(place(inputs, span)),
    );
    Value::from(module)
}

/// `require_in: [{test: a}, b, {sls: x}]`.
///
/// The targets of earlier items are handled again with each later one, as in Salt;
/// the repeated references are visible in the high data.
fn list(
    inputs: &Inputs<'_>,
    statement: &Statement<'_>,
    items: &[Node],
    high: &High,
    finder: &Finder<'_>,
    extends: &mut Extends,
    errors: &mut Vec<Diagnostic>,
) {
    let mut targets: Vec<(Value, Value, Span)> = Vec::new();
    for item in items {
        let span = item.span;
        let (state, name) = match &item.data {
            Data::Map(map) => match map.borrow().first() {
                Some((state, entry)) => (state.clone(), entry.value.to_value()),
                None => continue,
            },
            _ => {
                let name = item.to_value();
                if let Some(body) = high.body(&name) {
                    (first_state(&body).unwrap_or_default(), name)
                } else if let Some(found) = finder.named(&name) {
                    found
                } else {
                    continue;
                }
            }
        };
        if state.as_str() == Some("sls") {
            targets = finder
                .sls(&python::str(&name))
                .into_iter()
                .map(|(id, state)| (id, state, span))
                .collect();
        } else {
            targets.push((name.clone(), state.clone(), span));
        }
        undot(inputs, statement, &state, &name, span, true, errors);
        for (name, state, span) in &targets {
            apply(
                inputs,
                statement,
                (name, state),
                *span,
                high,
                finder,
                extends,
            );
        }
    }
}

fn apply(
    inputs: &Inputs<'_>,
    statement: &Statement<'_>,
    (name, target): (&Value, &Value),
    span: Span,
    high: &High,
    finder: &Finder<'_>,
    extends: &mut Extends,
) {
    let old = inputs.world.release < Release::V3008;
    let own = (statement.id, statement.state);
    match statement.key {
        "prereq" => {
            for (id, state) in finder.find(name, target, true) {
                extends.prerequire((&id, &state), (statement.state, statement.id), span);
            }
            return;
        }
        "prereq_in" if old => extends.prerequire(own, (target, name), span),
        "use_in" => {
            for (id, state) in finder.find(name, target, true) {
                let have = arguments_of(high, &id, target);
                let given: Vec<Node> = statement.run.borrow().clone();
                copy(&given, &keys(&have), (&id, &state), span, extends);
            }
            return;
        }
        "use" => {
            for (id, state) in finder.find(name, target, true) {
                let have = keys(&statement.run.borrow());
                let given = arguments_of(high, &id, &state);
                copy(&given, &have, own, span, extends);
            }
            return;
        }
        _ => {}
    }
    let from = (statement.state, statement.id);
    extends.refer((name, target), statement.kind, from, statement.body, span);
}

/// Copies arguments that the user lacks.
fn copy(
    given: &[Node],
    have: &HashSet<Value>,
    (id, state): (&Value, &Value),
    span: Span,
    extends: &mut Extends,
) {
    let arguments = extends.arguments(id, state, span);
    for argument in given {
        let Some((key, _)) = first(argument) else {
            continue;
        };
        let kept = key
            .as_str()
            .is_some_and(|key| NOT_COPIED.contains(&key) && key != "order");
        if width(argument) == 1 && !kept && !have.contains(&key) {
            arguments.borrow_mut().push(argument.clone());
        }
    }
}

/// The first keys of all arguments.
fn keys(arguments: &[Node]) -> HashSet<Value> {
    arguments
        .iter()
        .filter(|argument| width(argument) == 1)
        .filter_map(|argument| Some(first(argument)?.0))
        .collect()
}

fn arguments_of(high: &High, id: &Value, state: &Value) -> Vec<Node> {
    high.body(id)
        .and_then(|body| Some(body.borrow().get(state)?.value.as_list()?.borrow().clone()))
        .unwrap_or_default()
}

/// The kinds of requisites that are switched off.
pub(super) fn disabled(inputs: &Inputs<'_>) -> HashSet<String> {
    match option(inputs, "disabled_requisites") {
        Some(Value::Str(one)) => HashSet::from([one.clone()]),
        Some(Value::List(many)) => many
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => HashSet::new(),
    }
}
