//! Pillar SLS files and their includes.

use std::collections::HashMap;

use salt_proto::{Map, Value};

use super::Compiler;
use super::merge::is_map;
use super::top::Matches;
use crate::compile;
use crate::diagnostic::{Diagnostic, Stage};
use crate::python;
use crate::render::{Output, Template};
use crate::yaml::{Data, Entry, Node, NodeMap, Span, Text};

/// How deep includes may nest.
const MAX_INCLUDES: usize = 128;

/// One environment while it is rendered.
struct Rendering<'e> {
    environment: &'e str,
    available: Vec<String>,
    /// What each SLS rendered to; they are reused.
    done: HashMap<String, Option<Node>>,
    /// What templates see as `pillar`.
    visible: &'e Map,
    depth: usize,
}

/// A request for one SLS.
struct Request<'r> {
    sls: &'r str,
    optional: bool,
    defaults: &'r Map,
    asked_at: Option<Span>,
}

impl Compiler<'_, '_> {
    /// Renders and merges everything selected.
    pub(super) fn render(&mut self, matches: &Matches, visible: &Map) -> Map {
        let known = self.world().environments();
        let mut pillar = Node::map(NodeMap::new(), Span::default());
        for environment in self.ordered(matches) {
            let Some(selected) = matches.get(&environment) else {
                continue;
            };
            if !known.contains(&environment) {
                self.error(format!(
                    "No matching pillar environment for environment '{environment}' found"
                ));
                continue;
            }
            let available = match compile::available_sls(self.world(), &environment) {
                Ok(names) => names,
                Err(problem) => {
                    self.error(problem);
                    Vec::new()
                }
            };
            let mut rendering = Rendering {
                environment: &environment,
                available,
                done: HashMap::new(),
                visible,
                depth: 0,
            };
            for one in selected {
                let mut names = compile::expand(&rendering.available, &one.name);
                if names.is_empty() {
                    names.push(one.name.clone());
                }
                for name in names {
                    let request = Request {
                        sls: &name,
                        optional: one.optional,
                        defaults: &Map::new(),
                        asked_at: None,
                    };
                    if let Some(node) = self.sls(&mut rendering, &request)
                        && is_map(&node)
                    {
                        pillar = self.strategy.merge_nodes(pillar, node);
                    }
                }
            }
        }
        match pillar.to_value() {
            Value::Map(map) => map,
            _ => Map::new(),
        }
    }

    /// The environments in the order they are merged in.
    fn ordered(&self, matches: &Matches) -> Vec<String> {
        match self.option("env_order").and_then(Value::as_list) {
            Some(order) if !order.is_empty() => {
                let named: Vec<String> = order.iter().map(python::str).collect();
                let rest = matches.keys().filter(|name| !named.contains(name));
                let rest: Vec<String> = rest.cloned().collect();
                named.into_iter().chain(rest).collect()
            }
            _ => matches.keys().cloned().collect(),
        }
    }

    fn sls(&mut self, rendering: &mut Rendering<'_>, request: &Request<'_>) -> Option<Node> {
        let (sls, environment) = (request.sls, rendering.environment);
        let asked_at = request.asked_at.and_then(|span| self.world().place(span));
        let found = match compile::find_sls(self.world(), environment, sls) {
            Ok(Some(found)) => found,
            Ok(None) => {
                if !request.optional && !self.is_ignored(environment) {
                    let text = format!(
                        "Specified SLS '{sls}' in environment '{environment}' is not available on the salt master"
                    );
                    let mut error = Diagnostic::new(Stage::Pillar, text).at(asked_at);
                    error.hint = compile::suggest(sls, &rendering.available);
                    self.errors.push(error);
                }
                return None;
            }
            Err((_, problem)) => {
                self.render_failed(sls, &crate::render::RenderError::other(problem));
                return None;
            }
        };
        let mut extra = Map::from([("pillar", Value::Map(rendering.visible.clone()))]);
        extra.extend(request.defaults.clone());
        let template = Template {
            environment,
            sls,
            path: &found.path,
            default: self.world().default_renderer(),
            extra: &extra,
        };
        let output = self.world().render(&template, &found.text);
        let node = match output {
            Ok(Output::Data(node)) => node,
            Ok(Output::Text(text)) => Node::scalar(text),
            Err(error) => {
                self.render_failed(sls, &error);
                rendering.done.insert(sls.to_owned(), None);
                return None;
            }
        };
        rendering
            .done
            .insert(sls.to_owned(), Some(node.deep_copy()));
        if !node.is_true() {
            return Some(node);
        }
        if !is_map(&node) {
            let text = format!("SLS '{sls}' does not render to a dictionary");
            let place = self.world().place(node.span);
            self.errors
                .push(Diagnostic::new(Stage::Pillar, text).at(place));
            return None;
        }
        let node = self.includes(rendering, request, &found.path, node);
        rendering.done.insert(sls.to_owned(), Some(node.clone()));
        Some(node)
    }

    fn render_failed(&mut self, sls: &str, error: &crate::render::RenderError) {
        let safe = self
            .option("pillar_safe_render_error")
            .is_none_or(Value::is_true);
        if safe {
            let text = format!("Rendering SLS '{sls}' failed. Please see master log for details.");
            let mut out = Diagnostic::new(Stage::Pillar, text).at(error.place.clone());
            out.related.clone_from(&error.related);
            out.hint.clone_from(&error.hint);
            self.errors.push(out);
        } else {
            let prefix = format!("Rendering SLS '{sls}' failed, render error:\n");
            self.render_error(&prefix, error);
        }
    }

    fn is_ignored(&self, environment: &str) -> bool {
        self.option("pillar_roots_override_ignore")
            .and_then(Value::as_list)
            .is_some_and(|names| names.iter().any(|name| name.as_str() == Some(environment)))
    }

    /// Renders the includes of an SLS and merges it with them.
    fn includes(
        &mut self,
        rendering: &mut Rendering<'_>,
        request: &Request<'_>,
        path: &str,
        node: Node,
    ) -> Node {
        let Some(map) = node.as_map() else {
            return node;
        };
        let include = map.borrow().get(&Text("include")).cloned();
        let Some(include) = include else {
            return node;
        };
        let Some(items) = include.value.as_list() else {
            let text = format!(
                "Include Declaration in SLS '{}' is not formed as a list",
                request.sls
            );
            let place = self.world().place(include.key);
            self.errors
                .push(Diagnostic::new(Stage::Pillar, text).at(place));
            return node;
        };
        map.borrow_mut().remove(&Text("include"));
        let override_own = self.is_set("pillar_includes_override_sls");
        let mut own = node.clone();
        let mut included: Option<Node> = None;
        let mut defaults = request.defaults.clone();
        if rendering.depth >= MAX_INCLUDES {
            self.error(format!(
                "Includes are nested too deep at SLS '{}'",
                request.sls
            ));
            return own;
        }
        rendering.depth += 1;
        for item in items.borrow().iter() {
            let (name, key) = entry(item, &mut defaults);
            let name = absolute(&name.replace('/', "."), request.sls, path);
            let mut names = compile::expand(&rendering.available, &name);
            if names.is_empty() {
                names.push(name);
            }
            for name in names {
                let known = rendering.done.get(&name).cloned();
                let found = match known {
                    Some(known) => known,
                    None => self.sls(
                        rendering,
                        &Request {
                            sls: &name,
                            optional: request.optional,
                            defaults: &defaults,
                            asked_at: Some(item.span),
                        },
                    ),
                };
                let Some(found) = found.filter(is_map).filter(Node::is_true) else {
                    continue;
                };
                let found = nest(found.deep_copy(), key.as_deref());
                if override_own {
                    own = self.strategy.merge_nodes(own, found);
                } else {
                    included = Some(match included {
                        None => found,
                        Some(first) => self.strategy.merge_nodes(first, found),
                    });
                }
            }
        }
        rendering.depth -= 1;
        match included {
            Some(included) => self.strategy.merge_nodes(included, own),
            None => own,
        }
    }
}

/// The name and key of an include entry; `defaults` change when it gives some.
fn entry(item: &Node, defaults: &mut Map) -> (String, Option<String>) {
    let Data::Map(map) = &item.data else {
        return (python::str(&item.to_value()), None);
    };
    let map = map.borrow();
    let Some((name, entry)) = map.first() else {
        return (String::new(), None);
    };
    let options = entry.value.to_value();
    if let Some(Value::Map(given)) = options.get("defaults") {
        defaults.clone_from(given);
    }
    let key = options
        .get("key")
        .filter(|key| key.is_true())
        .map(python::str);
    (python::str(name), key)
}

/// The full name behind a leading dot.
fn absolute(name: &str, sls: &str, path: &str) -> String {
    if !name.starts_with('.') {
        return name.to_owned();
    }
    if path.ends_with("/init.sls") {
        return format!("{sls}{name}");
    }
    match sls.rsplit_once('.') {
        Some((package, _)) => format!("{package}{name}"),
        None => name.trim_start_matches('.').to_owned(),
    }
}

/// Puts data under a colon-separated path.
fn nest(node: Node, key: Option<&str>) -> Node {
    let Some(key) = key else {
        return node;
    };
    key.rsplit(':').fold(node, |inner, part| {
        let span = inner.span;
        let entry = Entry {
            key: span,
            value: inner,
        };
        Node::map(NodeMap::from([(Value::from(part), entry)]), span)
    })
}
