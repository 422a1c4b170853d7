//! The pillar's top files and what they select.

use indexmap::IndexMap;
use salt_proto::target::Release;
use salt_proto::{Map, Value};

use super::Compiler;
use crate::compile::{self, top::minion_matches};
use crate::diagnostic::{Diagnostic, Stage};
use crate::python;
use crate::render::{Output, RenderError, Template};
use crate::yaml::{Data, Node, Text};

/// An SLS that was selected.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    pub(super) name: String,
    /// Whether it may be absent.
    pub(super) optional: bool,
}

/// The selected SLS by environment.
pub(super) type Matches = IndexMap<String, Vec<Selected>>;

/// Environment → target → its list.
type Sections = IndexMap<String, IndexMap<String, Node>>;

impl Compiler<'_, '_> {
    /// The environments that are read: base first.
    fn environments(&self) -> Vec<String> {
        let known = self.world().environments();
        if let Some(one) = &self.environment {
            return known.into_iter().filter(|name| name == one).collect();
        }
        if self.strategy.one_environment() {
            let one = self.world().minion.config.str("saltenv").unwrap_or("base");
            return known.into_iter().filter(|name| name == one).collect();
        }
        let (mut base, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(|name| name == "base");
        base.extend(rest);
        base
    }

    /// What the top files select; `None` when one of them is broken beyond use.
    pub(super) fn matches(&mut self) -> Option<Matches> {
        let name = self
            .world()
            .minion
            .config
            .str("state_top")
            .unwrap_or("top.sls")
            .to_owned();
        let mut files = Vec::new();
        for environment in self.environments() {
            let text = match self.world().read_text(&environment, &name) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(problem) => {
                    self.error(format!(
                        "Rendering Primary Top file failed, render error:\n{problem}"
                    ));
                    continue;
                }
            };
            let rendered = match self.render_top(&environment, &name, &text) {
                Ok(rendered) => rendered,
                Err(error) => {
                    self.render_error("Rendering Primary Top file failed, render error:\n", &error);
                    continue;
                }
            };
            self.with_includes(&environment, rendered, &mut files);
        }
        let sections = merge(&files);
        self.select(&sections)
    }

    pub(super) fn render_error(&mut self, prefix: &str, error: &RenderError) {
        let text = format!("{prefix}{}", error.message);
        let mut out = Diagnostic::new(Stage::Pillar, text).at(error.place.clone());
        out.related.clone_from(&error.related);
        out.hint.clone_from(&error.hint);
        self.errors.push(out);
    }

    fn render_top(&self, environment: &str, path: &str, text: &str) -> Result<Node, RenderError> {
        let extra = Map::from([("pillar", Value::Map(Map::new()))]);
        let template = Template {
            environment,
            sls: "",
            path,
            default: self.world().default_renderer(),
            extra: &extra,
        };
        Ok(match self.world().render(&template, text)? {
            Output::Data(node) => node,
            Output::Text(_) => Node::scalar(()),
        })
    }

    /// Adds a top file and those it includes. Names are taken as they are, no globs.
    fn with_includes(&mut self, environment: &str, first: Node, files: &mut Vec<Node>) {
        let mut pending = vec![(String::new(), first)];
        let mut seen: Vec<String> = Vec::new();
        while let Some((_, node)) = pending.pop() {
            let include = node
                .as_map()
                .and_then(|map| map.borrow_mut().remove(&Text("include")));
            files.push(node);
            let Some(items) = include.as_ref().and_then(|entry| entry.value.as_list()) else {
                continue;
            };
            for item in items.borrow().iter().rev() {
                let sls = python::str(&item.to_value());
                if seen.contains(&sls) {
                    continue;
                }
                seen.push(sls.clone());
                let Ok(Some(found)) = compile::find_sls(self.world(), environment, &sls) else {
                    continue;
                };
                match self.render_top(environment, &found.path, &found.text) {
                    Ok(node) => pending.push((sls, node)),
                    Err(error) => {
                        let prefix = format!("Rendering Top file {sls} failed, render error:\n");
                        self.render_error(&prefix, &error);
                    }
                }
            }
        }
    }

    /// What fits the minion. Pillar targets see the pillar it had before.
    fn select(&mut self, sections: &Sections) -> Option<Matches> {
        let mut found = Matches::new();
        for (environment, targets) in sections {
            if self
                .environment
                .as_ref()
                .is_some_and(|only| only != environment)
            {
                continue;
            }
            if self.strategy.one_environment() && !self.environments().contains(environment) {
                continue;
            }
            let mut targets: Vec<_> = targets.iter().collect();
            targets.sort_by_key(|(_, node)| order(node));
            for (target, node) in targets {
                let kind = setting(node, "match")
                    .map_or_else(|| "compound".to_owned(), |value| python::str(&value));
                let old_pillar =
                    kind.starts_with("pillar") && self.world().release == Release::V3006;
                if old_pillar {
                    let text = "cannot access local variable 'pillar' where it is not associated with a value";
                    self.errors.push(
                        Diagnostic::new(Stage::Pillar, text)
                            .unhandled()
                            .hint("a pillar's top file cannot target by pillar in 3006"),
                    );
                    return None;
                }
                if !minion_matches(self.world(), &kind, target) {
                    continue;
                }
                let optional = setting(node, "ignore_missing").is_some_and(|value| value.is_true());
                let list = found.entry(environment.clone()).or_default();
                let Some(items) = node.as_list() else {
                    continue;
                };
                for item in items.borrow().iter() {
                    let Some(name) = item.as_str() else {
                        continue;
                    };
                    if !list.iter().any(|known| known.name == name) {
                        list.push(Selected {
                            name: name.to_owned(),
                            optional,
                        });
                    }
                }
            }
        }
        Some(found)
    }
}

/// One mapping entry in the list of a target.
fn setting(node: &Node, key: &str) -> Option<Value> {
    let items = node.as_list()?.borrow();
    items
        .iter()
        .filter_map(|item| Some(item.as_map()?.borrow().get(&Text(key))?.value.to_value()))
        .next_back()
}

/// The `order` of a target; what is no number counts as zero.
fn order(node: &Node) -> i64 {
    match setting(node, "order") {
        Some(Value::Int(n)) => n,
        Some(Value::Str(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

/// All sections; the last list of a target wins.
fn merge(files: &[Node]) -> Sections {
    let mut sections = Sections::new();
    for file in files {
        let Some(map) = file.as_map() else {
            continue;
        };
        for (environment, entry) in map.borrow().iter() {
            let Some(targets) = entry.value.as_map() else {
                continue;
            };
            let section = sections.entry(python::str(environment)).or_default();
            for (target, entry) in targets.borrow().iter() {
                if matches!(entry.value.data, Data::List(_)) {
                    section.insert(python::str(target), entry.value.clone());
                }
            }
        }
    }
    sections
}
