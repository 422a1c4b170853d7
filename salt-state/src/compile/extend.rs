//! `extend`: arguments added to declarations that stand elsewhere.

use std::cell::OnceCell;
use std::collections::HashMap;

use salt_proto::Value;

use super::high::{
    Arguments, High, bodies, declarations, declared, first, is_dunder, lookup, origin, set, width,
};
use super::{Inputs, exclude};
use crate::diagnostic::{Diagnostic, Stage};
use crate::python;
use crate::yaml::{Node, Span};

/// Finds declarations by what a reference says.
pub(super) struct Finder<'h> {
    high: &'h High,
    by_value: OnceCell<HashMap<(Value, Value), Vec<Value>>>,
    by_sls: OnceCell<HashMap<String, Vec<Value>>>,
    by_name: OnceCell<HashMap<Value, (Value, Value)>>,
}

impl<'h> Finder<'h> {
    pub(super) fn new(high: &'h High) -> Self {
        Self {
            high,
            by_value: OnceCell::new(),
            by_sls: OnceCell::new(),
            by_name: OnceCell::new(),
        }
    }

    /// The IDs that a name and a state module mean: the ID of that name (with `strict`
    /// only if it has that state), or else those where any argument of such a state has the
    /// name as value.
    pub(super) fn find(&self, name: &Value, state: &Value, strict: bool) -> Vec<(Value, Value)> {
        if let Some(body) = self.high.body(name)
            && (!strict || body.borrow().contains_key(state))
        {
            return vec![(name.clone(), state.clone())];
        }
        if state.as_str() == Some("sls") {
            return self.sls(&python::str(name));
        }
        let found = self
            .by_value
            .get_or_init(|| self.index_values())
            .get(&(state.clone(), name.clone()));
        found
            .into_iter()
            .flatten()
            .map(|id| (id.clone(), state.clone()))
            .collect()
    }

    /// Every declaration of an SLS, with its first state.
    pub(super) fn sls(&self, name: &str) -> Vec<(Value, Value)> {
        let found = self.by_sls.get_or_init(|| {
            let mut index: HashMap<String, Vec<Value>> = HashMap::new();
            for (id, _, body) in bodies(&self.high.ids.borrow()) {
                let sls = origin(body, "__sls__");
                index.entry(sls).or_default().push(id.clone());
            }
            index
        });
        found
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|id| Some((id.clone(), first_state(&self.high.body(id)?)?)))
            .collect()
    }

    /// The first declaration with a `name` argument of that value: state and ID.
    pub(super) fn named(&self, name: &Value) -> Option<(Value, Value)> {
        let found = self.by_name.get_or_init(|| {
            let mut index = HashMap::new();
            self.each_argument(|id, state, argument| {
                if let Some(name) = lookup(argument, "name") {
                    index
                        .entry(name.to_value())
                        .or_insert_with(|| (state.clone(), id.clone()));
                }
            });
            index
        });
        found.get(name).cloned()
    }

    fn index_values(&self) -> HashMap<(Value, Value), Vec<Value>> {
        let mut index: HashMap<(Value, Value), Vec<Value>> = HashMap::new();
        self.each_argument(|id, state, argument| {
            if width(argument) == 1
                && let Some((_, entry)) = first(argument)
            {
                index
                    .entry((state.clone(), entry.value.to_value()))
                    .or_default()
                    .push(id.clone());
            }
        });
        index
    }

    fn each_argument(&self, mut visit: impl FnMut(&Value, &Value, &Node)) {
        for (id, _, node) in bodies(&self.high.ids.borrow()) {
            let Some(body) = node.as_map() else {
                continue;
            };
            for (state, _, node) in declared(&body.borrow()) {
                if let Some(arguments) = node.as_list() {
                    for argument in arguments.borrow().iter() {
                        visit(id, state, argument);
                    }
                }
            }
        }
    }
}

/// The first state of a body that is not Salt's own.
pub(super) fn first_state(body: &super::high::Body) -> Option<Value> {
    body.borrow().keys().find(|key| !is_dunder(key)).cloned()
}

/// Applies all extends to what they name.
pub(super) fn reconcile(
    inputs: &Inputs<'_>,
    high: &High,
    strict: bool,
    stage: Stage,
    errors: &mut Vec<Diagnostic>,
) {
    let extends = high.extends.take();
    if extends.is_empty() {
        return;
    }
    let excluded = exclude::sls_names(high);
    let finder = Finder::new(high);
    for extend in &extends {
        let Some(map) = extend.as_map() else {
            continue;
        };
        let names: Vec<_> = map
            .borrow()
            .iter()
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        for (name, entry) in names {
            let Some(body) = entry.value.as_map() else {
                continue;
            };
            if excluded.contains(&origin(&entry.value, "__sls__")) {
                continue;
            }
            let state = first_state(body).unwrap_or_default();
            let known = high
                .body(&name)
                .is_some_and(|known| !strict || known.borrow().contains_key(&state));
            let target = if known {
                name.clone()
            } else {
                let found = finder.find(&name, &state, strict);
                match found.as_slice() {
                    [(id, _)] => id.clone(),
                    _ => {
                        errors.push(missing(
                            inputs,
                            &name,
                            &entry.value,
                            entry.key,
                            &found,
                            stage,
                        ));
                        continue;
                    }
                }
            };
            let Some(target) = high.body(&target) else {
                continue;
            };
            for (state, span, run) in declarations(body) {
                let present = target.borrow().get(&state).map(|entry| entry.value.clone());
                match present {
                    None => {
                        target.borrow_mut().insert(
                            state,
                            crate::yaml::Entry {
                                key: span,
                                value: run,
                            },
                        );
                    }
                    Some(present) => {
                        if let (Some(into), Some(from)) = (present.as_list(), run.as_list()) {
                            merge(into, from);
                        }
                    }
                }
            }
        }
    }
}

fn missing(
    inputs: &Inputs<'_>,
    name: &Value,
    body: &Node,
    span: Span,
    found: &[(Value, Value)],
    stage: Stage,
) -> Diagnostic {
    let or_base = |text: String| {
        if text.is_empty() {
            "base".to_owned()
        } else {
            text
        }
    };
    let id = python::str(name);
    let environment = or_base(origin(body, "__env__"));
    let sls = or_base(origin(body, "__sls__"));
    Diagnostic::new(
        stage,
        format!(
            "Cannot extend ID '{id}' in '{environment}:{sls}'. It is not part of the high state.\nThis is likely due to a missing include statement or an incorrectly typed ID.\nEnsure that a state with an ID of '{id}' is available\nin environment '{environment}' and to SLS '{sls}'"
        ),
    )
    .at(super::place(inputs, span))
    .hint(if found.is_empty() {
        "include the SLS that declares it".to_owned()
    } else {
        let ids: Vec<_> = found.iter().map(|(id, _)| python::str(id)).collect();
        format!("several states have this name: {}", ids.join(", "))
    })
}

/// Adds the arguments of `from` to those of `into`.
fn merge(into: &Arguments, from: &Arguments) {
    // An alias may make both the same list.
    let from: Vec<Node> = from.borrow().clone();
    for argument in from {
        let mut replaced = false;
        let length = into.borrow().len();
        for index in 0..length {
            let Some(present) = into.borrow().get(index).cloned() else {
                break;
            };
            if argument.as_str().is_some() && present.as_str().is_some() {
                put(into, index, argument.clone());
                replaced = true;
                continue;
            }
            let (Some((new, entry)), Some((old, old_entry))) = (first(&argument), first(&present))
            else {
                continue;
            };
            if new == old {
                let requisite = new.as_str().is_some_and(is_requisite);
                match (old_entry.value.as_list(), entry.value.as_list()) {
                    (Some(list), Some(more)) if requisite => {
                        let more: Vec<Node> = more.borrow().clone();
                        list.borrow_mut().extend(more);
                    }
                    _ => put(into, index, argument.clone()),
                }
                replaced = true;
            }
            if new.as_str() == Some("name") && old.as_str() == Some("names") {
                put(into, index, argument.clone());
            }
        }
        if !replaced {
            into.borrow_mut().push(argument);
        }
    }
}

fn put(list: &Arguments, index: usize, node: Node) {
    if let Some(slot) = list.borrow_mut().get_mut(index) {
        *slot = node;
    }
}

/// The keywords whose lists are joined and not replaced.
fn is_requisite(key: &str) -> bool {
    super::REQUISITES.contains(&key)
        || matches!(
            key,
            "require_in"
                | "watch_in"
                | "onchanges_in"
                | "onfail_in"
                | "prereq_in"
                | "listen_in"
                | "use"
                | "use_in"
                | "onfail_stop"
        )
}

/// Sets `__sls__` and `__env__` of an extend made here.
pub(super) fn stamp(body: &super::high::Body, from: &Node) {
    for key in ["__env__", "__sls__"] {
        if let Some(node) = lookup(from, key) {
            set(body, key, node);
        }
    }
}
