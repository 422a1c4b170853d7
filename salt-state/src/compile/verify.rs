//! Checks of the high data, in Salt's words.

use std::borrow::Cow;

use indexmap::IndexMap;
use salt_proto::Value;
use salt_proto::target::Release;

use super::high::{High, bodies, declared, origin, width};
use super::{Inputs, REQUISITES, place};
use crate::diagnostic::{Diagnostic, Stage};
use crate::python;
use crate::yaml::{Data, Node, Span};

/// The references of each ID, for finding pairs that require each other (3006, 3007).
type References = IndexMap<Value, (Value, IndexMap<Value, Value>)>;

struct Verifier<'v, 'i> {
    inputs: &'v Inputs<'i>,
    old: bool,
    references: References,
    found: Vec<Diagnostic>,
}

/// [`python::str`] of what is text nearly always.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Str(text) => Cow::Borrowed(text),
        other => Cow::Owned(python::str(other)),
    }
}

/// Salt ends with an exception here.
struct Unhandled;

/// Reports everything that is wrong, in the order of the high data.
pub(super) fn verify(inputs: &Inputs<'_>, high: &High, errors: &mut Vec<Diagnostic>) {
    let mut verifier = Verifier {
        inputs,
        old: inputs.world.release < Release::V3008,
        references: References::new(),
        found: Vec::new(),
    };
    let ids = high.ids.borrow();
    for (id, span, body) in bodies(&ids) {
        if let Err(Unhandled) = verifier.id(id, span, body) {
            // Only the exception is left of what was found.
            let last = verifier.found.pop();
            verifier.found.clear();
            verifier.found.extend(last);
            break;
        }
    }
    errors.append(&mut verifier.found);
}

impl Verifier<'_, '_> {
    fn report(&mut self, text: String, span: Span, hint: &str) {
        let mut found = Diagnostic::new(Stage::Verify, text).at(place(self.inputs, span));
        if !hint.is_empty() {
            found.hint = Some(hint.to_owned());
        }
        self.found.push(found);
    }

    fn id(&mut self, id: &Value, span: Span, body: &Node) -> Result<(), Unhandled> {
        let sls = origin(body, "__sls__");
        let name = text(id);
        if !matches!(id, Value::Str(_)) {
            let kind = id.type_name();
            let is = if self.old { "a" } else { "type" };
            self.report(
                format!("ID '{name}' in SLS '{sls}' is not formed as a string, but is {is} {kind}. It may need to be quoted."),
                span,
                "put the ID in quotes",
            );
        }
        let Some(map) = body.as_map() else {
            let shown = python::str(&body.to_value());
            self.report(
                format!("The type {name} in {shown} is not formatted as a dictionary"),
                span,
                "",
            );
            return Ok(());
        };
        for (state, span, value) in declared(&map.borrow()) {
            let Value::Str(state_name) = state else {
                let text = format!(
                    "'{}' object has no attribute 'startswith'",
                    state.type_name()
                );
                self.report(text, span, "a state is named by text, `module.function`");
                return self.unhandled();
            };
            match &value.data {
                Data::Scalar(Value::Null) => self.report(
                    format!("ID '{name}' in SLS '{sls}' contains a short declaration ({state_name}) with a trailing colon. When not passing any arguments to a state, the colon must be omitted."),
                    span,
                    "remove the colon, or give arguments below it",
                ),
                Data::List(arguments) => {
                    self.state(id, &sls, state, state_name, span, &arguments.borrow())?;
                }
                _ => self.report(
                    format!("State '{name}' in SLS '{sls}' is not formed as a list"),
                    value.span,
                    "write each argument as a list item: `- name: value`",
                ),
            }
        }
        Ok(())
    }

    fn unhandled(&mut self) -> Result<(), Unhandled> {
        if let Some(last) = self.found.last_mut() {
            last.exception = true;
        }
        Err(Unhandled)
    }

    fn state(
        &mut self,
        id: &Value,
        sls: &str,
        state: &Value,
        state_name: &str,
        span: Span,
        arguments: &[Node],
    ) -> Result<(), Unhandled> {
        let name = text(id);
        let mut functions: Vec<&str> = state_name
            .split_once('.')
            .map(|(_, function)| function)
            .into_iter()
            .collect();
        for argument in arguments {
            if let Some(text) = argument.as_str() {
                functions.push(text);
                if text.trim().contains(' ') {
                    self.report(
                        format!("The function \"{text}\" in state \"{name}\" in SLS \"{sls}\" has whitespace, a function with whitespace is not supported, perhaps this is an argument that is missing a \":\""),
                        argument.span,
                        "put a colon behind the argument's name",
                    );
                }
                continue;
            }
            let Some(map) = argument.as_map() else {
                continue;
            };
            let map = map.borrow();
            let Some((key, entry)) = map.first() else {
                self.report(
                    String::new(),
                    argument.span,
                    "an argument needs a name: `- name: value`",
                );
                return self.unhandled();
            };
            if let Some(key) = key.as_str() {
                if key == "names" && entry.value.as_list().is_none() {
                    self.report(
                        format!("The 'names' argument in state '{name}' in SLS '{sls}' needs to be formed as a list"),
                        entry.value.span,
                        "write each name as a list item",
                    );
                }
                if self.is_checked(key) {
                    self.requisite(id, sls, state, key, &entry.value, entry.key);
                    if map.len() != 1 {
                        let second = map.get_index(1).map(|(_, entry)| entry.key);
                        self.several(&name, sls, second.unwrap_or(argument.span));
                    }
                }
            }
        }
        match functions.as_slice() {
            [] => {
                if !matches!(state_name, "require" | "watch") {
                    self.report(
                        format!("No function declared in state '{name}' in SLS '{sls}'"),
                        span,
                        "write the state as `module.function`",
                    );
                }
            }
            [_] => {}
            many => {
                let many = many.join(", ");
                // The function of the key stands in the list too, with the key's place.
                let stray = arguments
                    .iter()
                    .filter(|argument| argument.as_str().is_some() && argument.span != span)
                    .nth(usize::from(
                        !arguments.iter().any(|argument| argument.span == span),
                    ));
                let span = stray.map_or(span, |node| node.span);
                self.report(
                    format!("Too many functions declared in state '{name}' in SLS '{sls}'. Please choose one of the following: {many}"),
                    span,
                    "a state calls one function; an argument needs a name: `- name: value`",
                );
            }
        }
        Ok(())
    }

    fn several(&mut self, name: &str, sls: &str, span: Span) {
        self.report(
            format!("Multiple dictionaries defined in argument of state '{name}' in SLS '{sls}'"),
            span,
            "begin each argument with a dash, and indent what belongs to the requisite",
        );
    }

    /// Whether the value must be a list of references.
    fn is_checked(&self, key: &str) -> bool {
        if self.old {
            matches!(key, "require" | "watch" | "prereq" | "onchanges")
        } else {
            REQUISITES.contains(&key) || key == "onfail_stop"
        }
    }

    fn requisite(
        &mut self,
        id: &Value,
        sls: &str,
        state: &Value,
        kind: &str,
        value: &Node,
        span: Span,
    ) {
        let name = text(id);
        let Some(items) = value.as_list() else {
            self.report(
                format!("The {kind} statement in state '{name}' in SLS '{sls}' needs to be formed as a list"),
                span,
                "write each reference as a list item: `- module: name`",
            );
            return;
        };
        if self.old {
            self.references
                .insert(id.clone(), (state.clone(), IndexMap::new()));
        }
        for item in items.borrow().iter() {
            let map = match &item.data {
                Data::Scalar(value @ Value::Str(_)) => {
                    self.refer(id, sls, state, &Value::from("id"), value, item.span);
                    continue;
                }
                Data::Map(map) if self.old || width(item) == 1 => map.borrow(),
                _ => {
                    self.not_single(item, &name, sls);
                    continue;
                }
            };
            let Some((key, entry)) = map.first() else {
                self.not_single(item, &name, sls);
                continue;
            };
            let key_text = text(key);
            if let Some((module, _)) = key_text.split_once('.') {
                let hint = format!("write `{module}`");
                self.report(
                    format!("Invalid requisite type '{key_text}' in state '{name}', in SLS '{sls}'. Requisite types must not contain dots, did you mean '{module}'?"),
                    entry.key,
                    &hint,
                );
            }
            let Some(value) = entry.value.as_scalar() else {
                let shown = python::str(&entry.value.to_value());
                let place = if self.old {
                    String::new()
                } else {
                    format!(" in SLS \"{sls}\"")
                };
                self.report(
                    format!("Illegal requisite \"{shown}\"{place}, please check your syntax.\n"),
                    entry.value.span,
                    "a reference is `module: name`",
                );
                continue;
            };
            self.refer(id, sls, state, key, value, item.span);
        }
    }

    fn not_single(&mut self, item: &Node, name: &str, sls: &str) {
        let shown = match &item.data {
            Data::Map(map) => {
                let pairs: Vec<_> = map
                    .borrow()
                    .iter()
                    .map(|(key, entry)| {
                        format!(
                            "({}, {})",
                            python::repr(key),
                            python::repr(&entry.value.to_value())
                        )
                    })
                    .collect();
                format!("OrderedDict([{}])", pairs.join(", "))
            }
            _ => python::str(&item.to_value()),
        };
        let state = if self.old {
            String::new()
        } else {
            format!(" in state {name}")
        };
        self.report(
            format!("Requisite declaration {shown}{state} in SLS {sls} is not formed as a single key dictionary"),
            item.span,
            "begin each reference with a dash",
        );
    }

    /// Notes a reference; two declarations that require each other are an error before 3008.
    fn refer(
        &mut self,
        id: &Value,
        sls: &str,
        state: &Value,
        key: &Value,
        value: &Value,
        span: Span,
    ) {
        if !self.old {
            return;
        }
        if let Some((_, own)) = self.references.get_mut(id) {
            own.insert(value.clone(), key.clone());
        }
        let recursive = self
            .references
            .get(value)
            .is_some_and(|(other_state, other)| {
                other.get(id).is_some_and(|kind| kind == state) && other_state == key
            });
        if recursive {
            let (name, other) = (python::str(id), python::str(value));
            self.report(
                format!(
                    "A recursive requisite was found, SLS \"{sls}\" ID \"{name}\" ID \"{other}\""
                ),
                span,
                "remove one of the two references",
            );
        }
    }
}
