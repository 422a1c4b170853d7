//! From top files and SLS trees to ordered chunks, as Salt's state compiler.
//!
//! [`compile`] is a function of its [`Inputs`] alone. Its stages follow Salt's, in
//! order, and each has its own file: [`top`] decides which SLS a minion gets, `sls`
//! renders them and their includes into high data, `extend`, `verify`, `requisite`
//! and `exclude` work on that, `low` makes chunks and `graph` orders them.
//!
//! Everything keeps its place in the files: [`Diagnostic`]s point at a line and a
//! column, and [`Chunk::origin`] says where a chunk was declared.

mod exclude;
mod extend;
mod graph;
mod high;
mod low;
mod requisite;
mod sls;
pub mod top;
mod verify;

use indexmap::IndexMap;
use salt_proto::Value;
use salt_proto::target::Release;

use crate::diagnostic::{Diagnostic, Stage};
use crate::render::World;
use crate::yaml::{Node, Span};

pub use graph::Dependencies;
pub(crate) use low::disabled_by;
pub use low::{Chunk, Origin};
pub(crate) use sls::{available as available_sls, find as find_sls};

/// SLS names by environment, both in order.
pub type Matches = IndexMap<String, Vec<Value>>;

/// What is known about state modules where the chunks will run.
pub trait StateModules {
    /// Whether the module reacts to `watch` (has a `mod_watch`); `watch` on one that
    /// does not is `require`.
    fn has_mod_watch(&self, module: &str) -> bool;

    /// Whether chunks of the module can be joined (it has a `mod_aggregate`).
    fn has_mod_aggregate(&self, module: &str) -> bool;
}

/// Salt's own modules (3008.3).
#[derive(Clone, Copy, Debug, Default)]
pub struct SaltModules;

impl StateModules for SaltModules {
    fn has_mod_watch(&self, module: &str) -> bool {
        MOD_WATCH.binary_search(&module).is_ok()
    }

    fn has_mod_aggregate(&self, module: &str) -> bool {
        matches!(module, "pkg" | "iptables" | "selinux")
    }
}

/// What to compile.
#[derive(Clone, Debug, Default)]
pub enum What {
    /// What the top files say.
    #[default]
    Highstate,
    /// These SLS in this environment.
    Sls {
        /// The environment, usually `base`.
        environment: String,
        /// The names, possibly globs.
        names: Vec<Value>,
    },
}

/// Everything a compile depends on.
pub struct Inputs<'a> {
    /// The minion, the tree, the functions, the renderers.
    pub world: &'a World<'a>,
    /// What to compile.
    pub what: What,
    /// What the caller wants left out, like the entries of `exclude` in an SLS.
    pub exclude: Vec<Value>,
    /// What is known about state modules.
    pub modules: &'a dyn StateModules,
    /// Whether [`Compiled::rendered`] and [`Compiled::high`] are filled, which costs copies.
    pub keep_stages: bool,
}

impl<'a> Inputs<'a> {
    /// A highstate with Salt's modules.
    pub fn new(world: &'a World<'a>) -> Self {
        Self {
            world,
            what: What::default(),
            exclude: Vec::new(),
            modules: &SaltModules,
            keep_stages: false,
        }
    }
}

/// What came of a compile, as far as it came.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Which SLS were selected.
    pub matches: Option<Matches>,
    /// The merged top data, for a highstate.
    pub top: Option<Value>,
    /// What each SLS rendered to, by `environment:name`; see [`Inputs::keep_stages`].
    pub rendered: IndexMap<String, Value>,
    /// The high data, after `extend`, requisites and `exclude`; see
    /// [`Inputs::keep_stages`].
    pub high: Option<Value>,
    /// The chunks in order.
    pub low: Option<Vec<Chunk>>,
    /// How many chunks `state_runs_disabled` left out; Salt counts them as run.
    pub disabled: usize,
    /// All problems. With any, nothing may be applied.
    pub errors: Vec<Diagnostic>,
}

/// Salt's text for a highstate that selects nothing.
pub const NO_MATCH: &str =
    "No Top file or master_tops data matches found. Please see master log for details.";

/// Compiles.
pub fn compile(inputs: &Inputs<'_>) -> Compiled {
    let mut done = Compiled::default();
    let matches = match &inputs.what {
        What::Sls { environment, names } => Matches::from([(environment.clone(), names.clone())]),
        What::Highstate => match top::select(inputs.world, &mut done) {
            Some(matches) => matches,
            None => return done,
        },
    };
    done.matches = Some(matches.clone());
    compile_matches(inputs, &matches, &mut done);
    done
}

/// Compiles the SLS of a selection made before.
pub fn compile_only(inputs: &Inputs<'_>, matches: &Matches) -> Compiled {
    let mut done = Compiled {
        matches: Some(matches.clone()),
        ..Compiled::default()
    };
    compile_matches(inputs, matches, &mut done);
    done
}

/// Compiles high data that is there already, without any file (`state.high`).
pub fn compile_high(inputs: &Inputs<'_>, data: &Value) -> Compiled {
    let mut done = Compiled::default();
    let node = Node::from_value(data, Span::default());
    let high = high::High::default();
    if let Some(map) = node.as_map() {
        *high.ids.borrow_mut() = std::mem::take(&mut *map.borrow_mut());
    }
    finish(inputs, &high, &mut done);
    done
}

/// Compiles the text of one SLS that stands for itself (`state.template`); `name` is what
/// messages and entries call it.
pub fn compile_text(inputs: &Inputs<'_>, text: &str, name: &str) -> Compiled {
    let mut done = Compiled::default();
    let extra = salt_proto::Map::new();
    let template = crate::render::Template {
        environment: "base",
        sls: name,
        path: name,
        default: inputs.world.default_renderer(),
        extra: &extra,
    };
    let node = match inputs.world.render(&template, text) {
        Ok(crate::render::Output::Data(node)) => node,
        Ok(crate::render::Output::Text(_)) => {
            done.errors.push(Diagnostic::new(
                Stage::Render,
                format!("Template {name} does not render to a dictionary"),
            ));
            return done;
        }
        Err(error) => {
            done.errors
                .push(Diagnostic::new(Stage::Render, error.message));
            return done;
        }
    };
    let Some(map) = node.as_map() else {
        return done;
    };
    for key in ["include", "exclude", "extends"] {
        if map.borrow().contains_key(&crate::yaml::Text(key)) {
            let name = if name.is_empty() {
                "<template-str>"
            } else {
                name
            };
            done.errors.push(Diagnostic::new(
                Stage::Render,
                format!(
                    "The '{key}' declaration found on '{name}' is invalid when rendering single templates"
                ),
            ));
        }
    }
    if !done.errors.is_empty() {
        return done;
    }
    let high = high::declare(map, name, "base", inputs.world, &mut done.errors);
    if done.errors.is_empty() {
        finish(inputs, &high, &mut done);
    }
    done
}

/// What the top files select; nothing when they are broken, which Salt only logs.
pub fn matches(inputs: &Inputs<'_>) -> Result<Matches, Vec<Diagnostic>> {
    let mut done = Compiled::default();
    match &inputs.what {
        What::Sls { environment, names } => {
            Ok(Matches::from([(environment.clone(), names.clone())]))
        }
        What::Highstate => {
            let matches = top::select(inputs.world, &mut done).unwrap_or_default();
            let wrong: Vec<Diagnostic> = done
                .errors
                .into_iter()
                .filter(|error| !error.exception && error.message != NO_MATCH)
                .collect();
            if wrong.is_empty() {
                Ok(matches)
            } else {
                Err(wrong)
            }
        }
    }
}

/// The high data before anything is extended: what `state.show_highstate` and, for
/// named SLS, `state.show_sls` show.
///
/// # Errors
///
/// All problems up to there; for named SLS those of the checks too.
pub fn high_data(inputs: &Inputs<'_>) -> Result<Value, Vec<Diagnostic>> {
    rendered(inputs, |_, high, _| high.to_raw_value())
}

/// The chunks of the high data as it is, without extends and requisites turned around:
/// what `state.show_low_sls` shows.
///
/// # Errors
///
/// All problems up to there.
pub fn plain_low(inputs: &Inputs<'_>) -> Result<Vec<Chunk>, Vec<Diagnostic>> {
    let chunks = rendered(inputs, |inputs, high, errors| {
        let (chunks, _) = low::chunks(inputs, high);
        match inputs.world.release {
            Release::V3006 | Release::V3007 => low::sorted(chunks),
            _ => graph::ordered(inputs, chunks, errors),
        }
    })?;
    Ok(chunks)
}

/// What depends on what in the high data as it is: what `state.graph` shows.
///
/// # Errors
///
/// All problems up to there; references to nothing are none.
pub fn dependencies(inputs: &Inputs<'_>) -> Result<Dependencies, Vec<Diagnostic>> {
    rendered(inputs, |inputs, high, _| {
        let (chunks, _) = low::chunks(inputs, high);
        graph::dependencies(inputs, &chunks)
    })
}

fn rendered<T>(
    inputs: &Inputs<'_>,
    finish: impl FnOnce(&Inputs<'_>, &high::High, &mut Vec<Diagnostic>) -> T,
) -> Result<T, Vec<Diagnostic>> {
    let matches = matches(inputs)?;
    let mut rendering = sls::Rendering::new(inputs, &matches);
    let high = rendering.highstate();
    let mut errors = rendering.errors;
    let Some(high) = high else {
        return Err(errors);
    };
    if matches!(inputs.what, What::Sls { .. }) {
        verify::verify(inputs, &high, &mut errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let made = finish(inputs, &high, &mut errors);
    if errors.is_empty() {
        Ok(made)
    } else {
        Err(errors)
    }
}

/// The stages behind the top file.
fn compile_matches(inputs: &Inputs<'_>, matches: &Matches, done: &mut Compiled) {
    let mut rendering = sls::Rendering::new(inputs, matches);
    let high = rendering.highstate();
    done.rendered = rendering.rendered;
    done.errors.append(&mut rendering.errors);
    let Some(high) = high else {
        return;
    };
    if !inputs.exclude.is_empty() {
        high.add_excludes(&inputs.exclude);
    }
    if !done.errors.is_empty() {
        return;
    }
    finish(inputs, &high, done);
}

/// The stages from merged high data on.
fn finish(inputs: &Inputs<'_>, high: &high::High, done: &mut Compiled) {
    extend::reconcile(inputs, high, false, Stage::Extend, &mut done.errors);
    verify::verify(inputs, high, &mut done.errors);
    if !done.errors.is_empty() {
        return;
    }
    requisite::turn_around(inputs, high, &mut done.errors);
    exclude::apply(high);
    if inputs.keep_stages {
        done.high = Some(high.to_value());
    }
    if !done.errors.is_empty() {
        return;
    }
    let (chunks, disabled) = low::chunks(inputs, high);
    done.disabled = disabled;
    done.low = Some(match inputs.world.release {
        Release::V3006 | Release::V3007 => low::sorted(chunks),
        _ => graph::ordered(inputs, chunks, &mut done.errors),
    });
}

/// Where something stood, for a diagnostic.
fn place(inputs: &Inputs<'_>, span: Span) -> Option<crate::diagnostic::Place> {
    inputs.world.place(span)
}

/// A configuration value by name.
fn option<'a>(inputs: &'a Inputs<'_>, name: &str) -> Option<&'a Value> {
    inputs.world.minion.config.get(name)
}

/// A plain map from pairs, for values made here.
fn single(key: &str, value: Node) -> Node {
    let span = value.span;
    let entry = crate::yaml::Entry { key: span, value };
    Node::map([(Value::from(key), entry)].into_iter().collect(), span)
}

/// The keys of requisites that are lists of references.
const REQUISITES: [&str; 12] = [
    "require",
    "require_any",
    "watch",
    "watch_any",
    "prereq",
    "onchanges",
    "onchanges_any",
    "onfail",
    "onfail_any",
    "onfail_all",
    "prerequired",
    "listen",
];

/// Salt's modules with a `mod_watch`, sorted.
const MOD_WATCH: &[&str] = &[
    "at", "cmd", "etcd", "event", "module", "mount", "pkg", "service", "test",
];

/// The names that a shell pattern matches, in order; `names` are sorted.
pub(crate) fn expand(names: &[String], pattern: &str) -> Vec<String> {
    if pattern.contains(['*', '?', '[']) {
        let chosen = names.iter().filter(|name| crate::fnmatch(name, pattern));
        return chosen.cloned().collect();
    }
    match names.binary_search_by(|name| name.as_str().cmp(pattern)) {
        Ok(_) => vec![pattern.to_owned()],
        Err(_) => Vec::new(),
    }
}

/// The name nearest to a mistyped one, if any is near.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let length = wanted.chars().count();
    let limit = if length < 4 { 1 } else { (length / 3).max(2) };
    names
        .map(|name| (distance(wanted, name, limit), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// A hint with the name that is nearly the wanted one.
pub(crate) fn suggest(wanted: &str, names: &[String]) -> Option<String> {
    nearest(wanted, names.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"))
}

/// How many letters differ, or more than `limit`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.iter().zip(row.iter().skip(1)) {
            let here = (corner + usize::from(x != y)).min(above + 1).min(left + 1);
            corner = above;
            left = here;
            next.push(here);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
