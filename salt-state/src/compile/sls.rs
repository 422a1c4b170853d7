//! SLS files: finding, rendering, including.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use salt_proto::target::Release;
use salt_proto::{Map, Value};

use super::high::{self, Body, High, lookup, set};
use super::{Inputs, Matches};
use crate::diagnostic::{Diagnostic, Place, Stage};
use crate::python;
use crate::render::{Output, RenderError, Template, World};
use crate::yaml::{Data, Node, Span, Text};

/// How deep includes may nest; only trees made to exhaust the stack go further.
const MAX_INCLUDES: usize = 128;

/// An environment that stands for whichever has the SLS.
const XENV: &str = "_xenv";

/// One SLS file of an environment.
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The SLS names of an environment: dots for slashes, `init` left out, sorted.
///
/// # Errors
///
/// A part of the tree cannot be read: names that a glob should find would be left out.
pub(crate) fn available(world: &World<'_>, environment: &str) -> Result<Vec<String>, String> {
    let files = world.sources.files(environment).map_err(|error| {
        format!("The files of environment '{environment}' cannot be listed: {error}")
    })?;
    let mut names: Vec<String> = files
        .iter()
        .filter_map(|file| file.strip_suffix(".sls"))
        .map(|name| name.strip_suffix("/init").unwrap_or(name).replace('/', "."))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Finds the file of an SLS: `a/b.sls` in any root before `a/b/init.sls`.
///
/// # Errors
///
/// It is there but cannot be read as text: its path and why.
pub(crate) fn find(
    world: &World<'_>,
    environment: &str,
    sls: &str,
) -> Result<Option<Found>, (String, String)> {
    let base = sls.replace('.', "/");
    for path in [format!("{base}.sls"), format!("{base}/init.sls")] {
        match world.read_text(environment, &path) {
            Ok(Some(text)) => return Ok(Some(Found { path, text })),
            Ok(None) => {}
            Err(problem) => return Err((path, problem)),
        }
    }
    Ok(None)
}

pub(super) struct Rendering<'i, 'a> {
    inputs: &'i Inputs<'a>,
    matches: &'i Matches,
    available: IndexMap<String, Vec<String>>,
    /// `environment:name` of what was rendered.
    done: HashSet<String>,
    order: i64,
    depth: usize,
    /// The renderings, if the caller asked for them.
    pub(super) rendered: IndexMap<String, Value>,
    pub(super) errors: Vec<Diagnostic>,
    /// The names already looked up, by environment and pattern.
    globs: HashMap<(String, String), Vec<String>>,
}

/// An error that Salt would die of: nothing further is looked at.
struct Unhandled;

impl<'i, 'a> Rendering<'i, 'a> {
    pub(super) fn new(inputs: &'i Inputs<'a>, matches: &'i Matches) -> Self {
        let world = inputs.world;
        let mut errors = Vec::new();
        let mut available = IndexMap::new();
        for name in world.environments() {
            let names = match self::available(world, &name) {
                Ok(names) => names,
                Err(problem) => {
                    if matches.contains_key(&name) {
                        errors.push(Diagnostic::new(Stage::Render, problem));
                    }
                    Vec::new()
                }
            };
            available.insert(name, names);
        }
        Self {
            inputs,
            matches,
            available,
            done: HashSet::new(),
            order: 10_000,
            depth: 0,
            rendered: IndexMap::new(),
            errors,
            globs: HashMap::new(),
        }
    }

    fn world(&self) -> &'i World<'a> {
        self.inputs.world
    }

    /// The names of an environment that a glob matches.
    fn expand(&mut self, environment: &str, pattern: &str) -> Vec<String> {
        let key = (environment.to_owned(), pattern.to_owned());
        if let Some(names) = self.globs.get(&key) {
            return names.clone();
        }
        let names = self
            .available
            .get(environment)
            .map(|names| super::expand(names, pattern))
            .unwrap_or_default();
        self.globs.insert(key, names.clone());
        names
    }

    /// Renders everything that was selected; `None` when an unhandled error ended it.
    pub(super) fn highstate(&mut self) -> Option<High> {
        let all = High::default();
        // A glob's result stays when the next environment does not exist (Salt 3008.3).
        let mut files: Vec<String> = Vec::new();
        for (environment, names) in self.matches {
            for name in names {
                let wanted = python::str(name);
                if self.available.contains_key(environment) {
                    files = self.expand(environment, &wanted);
                } else if self.available.contains_key("__env__") {
                    files = self.expand("__env__", &wanted);
                } else {
                    let text = format!(
                        "No matching salt environment for environment '{environment}' found"
                    );
                    self.errors.push(
                        Diagnostic::new(Stage::Render, text)
                            .hint("name the environment in file_roots"),
                    );
                }
                if files.is_empty() {
                    files = vec![wanted.clone()];
                }
                for sls in files.clone() {
                    if self.done.contains(&format!("{environment}:{sls}")) {
                        continue;
                    }
                    let before = self.errors.len();
                    let state = self.sls(&sls, environment, None).ok()?;
                    let this = format!("SLS {wanted} in saltenv");
                    for error in self.errors.iter_mut().skip(before) {
                        if error.message.contains("is not available")
                            && error.message.contains(&this)
                        {
                            error.message = format!(
                                "No matching sls found for '{wanted}' in env '{environment}'"
                            );
                        }
                    }
                    if let Some(state) = state {
                        all.absorb(state, self.inputs.world, &mut self.errors);
                    }
                }
            }
        }
        Some(all)
    }

    /// Renders one SLS and what it includes; `None` when it declares nothing.
    fn sls(
        &mut self,
        sls: &str,
        environment: &str,
        includer: Option<Span>,
    ) -> Result<Option<High>, Unhandled> {
        let world = self.world();
        let included_at = includer.and_then(|span| world.place(span));
        if self.depth >= MAX_INCLUDES {
            let text = format!("Includes are nested too deep at SLS '{environment}:{sls}'");
            self.errors
                .push(Diagnostic::new(Stage::Render, text).at(included_at));
            return Ok(None);
        }
        let found = match find(world, environment, sls) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let text = format!(
                    "Specified SLS {sls} in saltenv {environment} is not available on the salt master or through a configured fileserver"
                );
                let mut error = Diagnostic::new(Stage::Render, text).at(included_at);
                error.hint = self.similar(environment, sls);
                self.errors.push(error);
                return Ok(None);
            }
            Err((_, problem)) => {
                self.done.insert(format!("{environment}:{sls}"));
                let text = format!("Rendering SLS {sls} failed, render error: {problem}\n");
                self.errors
                    .push(Diagnostic::new(Stage::Render, text).at(included_at));
                return Ok(None);
            }
        };
        let output = self.render(sls, environment, &found);
        self.done.insert(format!("{environment}:{sls}"));
        let node = match output {
            None => return Ok(None),
            Some(Output::Data(node)) => node,
            Some(Output::Text(text)) => {
                let lines = text.split_inclusive('\n').map(Value::from).collect();
                self.keep(environment, sls, || lines);
                self.not_a_dictionary(sls, environment, &found, None);
                return Ok(None);
            }
        };
        self.keep(environment, sls, || node.to_value());
        if !node.is_true() {
            return Ok(None);
        }
        let Some(body) = node.as_map() else {
            self.not_a_dictionary(sls, environment, &found, Some(&node));
            if includer.is_none() {
                let contents = python::str(&node.to_value());
                let text = format!("Error when rendering state with contents: {contents}");
                self.errors.push(Diagnostic::new(Stage::Render, text));
            }
            return Ok(None);
        };
        self.depth += 1;
        let state = self.collect(body, sls, environment, &found.path);
        self.depth -= 1;
        state.map(Some)
    }

    fn keep(&mut self, environment: &str, sls: &str, value: impl FnOnce() -> Value) {
        if self.inputs.keep_stages {
            self.rendered
                .entry(format!("{environment}:{sls}"))
                .or_insert_with(value);
        }
    }

    fn not_a_dictionary(
        &mut self,
        sls: &str,
        environment: &str,
        found: &Found,
        node: Option<&Node>,
    ) {
        let world = self.world();
        let place = node
            .and_then(|node| world.place(node.span))
            .or_else(|| Some(world.first_line(environment, &found.path, &found.text)));
        let text = format!("SLS {sls} does not render to a dictionary");
        self.errors.push(
            Diagnostic::new(Stage::Render, text)
                .at(place)
                .hint("an SLS is a mapping of IDs; a list needs an ID and a state before it"),
        );
    }

    fn render(&mut self, sls: &str, environment: &str, found: &Found) -> Option<Output> {
        let extra = Map::new();
        let template = Template {
            environment,
            sls,
            path: &found.path,
            default: self.world().default_renderer(),
            extra: &extra,
        };
        match self.world().render(&template, &found.text) {
            Ok(output) => Some(output),
            Err(error) => {
                self.errors
                    .push(render_diagnostic(&error, sls, environment));
                None
            }
        }
    }

    /// Declarations, extends, excludes and includes of one SLS.
    fn collect(
        &mut self,
        body: &Body,
        sls: &str,
        environment: &str,
        path: &str,
    ) -> Result<High, Unhandled> {
        let mut includes = Vec::new();
        let include = body.borrow().get(&Text("include")).cloned();
        if let Some(entry) = include {
            if let Some(items) = entry.value.as_list() {
                includes.clone_from(&items.borrow());
                high::take(body, "include");
            } else {
                let text = format!("Include Declaration in SLS {sls} is not formed as a list");
                self.errors.push(
                    Diagnostic::new(Stage::Render, text)
                        .at(self.world().place(entry.key))
                        .hint("write each name as a list item: `- name`"),
                );
            }
        }
        let state = high::declare(body, sls, environment, self.world(), &mut self.errors);
        for include in includes {
            self.include(&include, &state, sls, environment, path)?;
        }
        if super::option(self.inputs, "state_auto_order").is_none_or(Value::is_true) {
            high::number(&state, &mut self.order);
        }
        Ok(state)
    }

    /// Renders one entry of an include list into `state`.
    fn include(
        &mut self,
        include: &Node,
        state: &High,
        sls: &str,
        environment: &str,
        path: &str,
    ) -> Result<(), Unhandled> {
        let world = self.world();
        let place = world.place(include.span);
        let (key, wanted) = match &include.data {
            Data::Map(map) => match map.borrow().last() {
                Some((key, entry)) => (python::str(key), entry.value.to_value()),
                None => (environment.to_owned(), Value::Null),
            },
            _ => (environment.to_owned(), include.to_value()),
        };
        let dynamic = key == XENV && self.available.contains_key("__env__");
        if !dynamic && !self.available.contains_key(&key) {
            let shown = python::str(&wanted);
            let text = format!(
                "Nonexistent saltenv '{key}' found in include of '{shown}' within SLS '{environment}:{sls}'"
            );
            self.errors
                .push(Diagnostic::new(Stage::Render, text).at(place));
            return Ok(());
        }
        let Value::Str(wanted) = wanted else {
            let text = format!(
                "'{}' object has no attribute 'startswith'",
                wanted.type_name()
            );
            self.errors.push(
                Diagnostic::new(Stage::Render, text)
                    .unhandled()
                    .at(place)
                    .hint("an include is the name of an SLS; quote it if it looks like a number"),
            );
            return Err(Unhandled);
        };
        let Some(wanted) = self.absolute(&wanted, sls, environment, path, place.as_ref()) else {
            return Ok(());
        };
        let resolved = self.resolve(&key, &wanted);
        if resolved.len() != 1 && !resolved.iter().any(|name| name == environment) {
            self.unresolved(&key, &wanted, &resolved, place);
            return Ok(());
        }
        let target = match resolved.as_slice() {
            [one] => one.as_str(),
            _ => environment,
        };
        let mut names = self.expand(environment, &wanted);
        if names.is_empty() {
            names.push(wanted);
        }
        for name in names {
            if self.done.contains(&format!("{target}:{name}")) {
                continue;
            }
            if let Some(included) = self.sls(&name, target, Some(include.span))? {
                self.note_includer(&included, sls);
                state.absorb(included, world, &mut self.errors);
            }
        }
        Ok(())
    }

    fn unresolved(&mut self, key: &str, wanted: &str, resolved: &[String], place: Option<Place>) {
        let text = if resolved.is_empty() {
            let searched = if key == XENV {
                self.matches.keys().cloned().collect::<Vec<_>>().join(", ")
            } else {
                key.to_owned()
            };
            format!(
                "Unknown include: Specified SLS {key}: {wanted} is not available on the salt master in saltenv(s): {searched} "
            )
        } else {
            format!(
                "Ambiguous include: Specified SLS {key}: {wanted} is available on the salt master in multiple available saltenvs: {}",
                resolved.join(", ")
            )
        };
        let mut error = Diagnostic::new(Stage::Render, text).at(place);
        if resolved.is_empty() {
            error.hint = self.similar(key, wanted);
        }
        self.errors.push(error);
    }

    /// The environments that an include may mean.
    fn resolve(&mut self, key: &str, wanted: &str) -> Vec<String> {
        if key == XENV {
            let names: Vec<String> = self.matches.keys().cloned().collect();
            return names
                .into_iter()
                .filter(|name| !self.expand(name, wanted).is_empty())
                .collect();
        }
        if self.matches.contains_key(key) || !self.expand(key, wanted).is_empty() {
            vec![key.to_owned()]
        } else {
            Vec::new()
        }
    }

    /// The full name behind leading dots; `None` when it was reported.
    fn absolute(
        &mut self,
        wanted: &str,
        sls: &str,
        environment: &str,
        path: &str,
        place: Option<&Place>,
    ) -> Option<String> {
        let rest = wanted.trim_start_matches('.');
        let levels = wanted.len() - rest.len();
        if levels == 0 {
            return Some(wanted.to_owned());
        }
        let mut parts: Vec<&str> = sls.split('.').collect();
        if path.ends_with("/init.sls") {
            parts.push("init");
        }
        if levels > parts.len() {
            let text = format!(
                "Attempted relative include of '{wanted}' within SLS '{environment}:{sls}' goes beyond top level package "
            );
            self.errors.push(
                Diagnostic::new(Stage::Render, text)
                    .at(place.cloned())
                    .hint("each leading dot goes one package up"),
            );
            return None;
        }
        parts.truncate(parts.len() - levels);
        parts.push(rest);
        Some(parts.join("."))
    }

    /// Each included state remembers the chain of its includers, innermost first.
    fn note_includer(&self, included: &High, sls: &str) {
        const KEY: &str = "__sls_included_from__";
        if self.inputs.world.release < Release::V3007 {
            return;
        }
        for (_, _, node) in high::bodies(&included.ids.borrow()) {
            let Some(body) = node.as_map() else {
                continue;
            };
            let list = lookup(node, KEY).unwrap_or_else(|| {
                let list = Node::list(Vec::new(), Span::default());
                set(body, KEY, list.clone());
                list
            });
            if let Some(items) = list.as_list() {
                items.borrow_mut().push(Node::scalar(sls));
            }
        }
    }

    /// A hint with the name that is nearly the wanted one.
    fn similar(&self, environment: &str, wanted: &str) -> Option<String> {
        let names = self.available.get(environment)?;
        super::suggest(wanted, names)
    }
}

/// A failed rendering in the words of the state compiler.
fn render_diagnostic(error: &RenderError, sls: &str, environment: &str) -> Diagnostic {
    let message = if error.expected {
        format!(
            "Rendering SLS '{environment}:{sls}' failed: {}",
            error.message
        )
    } else {
        format!(
            "Rendering SLS {sls} failed, render error: {}\n",
            error.message
        )
    };
    let mut out = Diagnostic::new(Stage::Render, message).at(error.place.clone());
    out.related.clone_from(&error.related);
    out.hint.clone_from(&error.hint);
    out
}
