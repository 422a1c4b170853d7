//! The top file: which SLS a minion gets.

use indexmap::IndexMap;
use salt_proto::{Facts, Map, Target, Value};

use super::{Compiled, Matches, NO_MATCH, sls};
use crate::diagnostic::{Diagnostic, Place, Stage};
use crate::grains::Grains;
use crate::python;
use crate::render::{Output, RenderError, Template, World};
use crate::yaml::{Data, Node, Span, Text};

/// Environment → targets.
type Sections = IndexMap<Value, Section>;

/// One section of a top file.
#[derive(Clone, Debug)]
enum Section {
    Targets(IndexMap<Value, (Span, Node)>),
    /// Something that is no mapping.
    Other(Node),
}

/// What [`read`] found in one environment.
pub(crate) struct TopFile {
    pub(crate) environment: String,
    pub(crate) data: Vec<Node>,
}

/// An error that Salt ends with.
pub(crate) struct Fatal(pub(crate) Diagnostic);

/// Reads, merges, checks and matches the top files. `None` when nothing is to be rendered;
/// the reasons are in `done.errors`.
pub(super) fn select(world: &World<'_>, done: &mut Compiled) -> Option<Matches> {
    let result = sections(world).and_then(|sections| {
        done.top = Some(to_value(&sections));
        verify(world, &sections, &mut done.errors);
        matches(world, &sections)
    });
    match result {
        Ok(matches) if matches.is_empty() => {
            done.matches = Some(matches);
            done.errors.push(
                Diagnostic::new(Stage::Top, NO_MATCH)
                    .hint("add a target to top.sls that matches this minion's id"),
            );
            None
        }
        Ok(matches) => Some(matches),
        Err(Fatal(error)) => {
            done.errors.push(error);
            None
        }
    }
}

fn setting<'w>(world: &'w World<'_>, name: &str) -> Option<&'w str> {
    world
        .minion
        .config
        .str(name)
        .filter(|text| !text.is_empty())
}

/// All sections, merged.
fn sections(world: &World<'_>) -> Result<Sections, Fatal> {
    let tops = read_all(world)?;
    let strategy = setting(world, "top_file_merging_strategy").unwrap_or("merge");
    match strategy {
        "same" => merge_same(world, &tops),
        "merge_all" => merge_all(&tops),
        _ => merge(&tops),
    }
}

/// The environments whose top files count.
fn environments(world: &World<'_>) -> Vec<String> {
    if let Some(one) = setting(world, "saltenv").or_else(|| setting(world, "state_top_saltenv")) {
        return vec![one.to_owned()];
    }
    let known = world.environments();
    let wanted = world
        .minion
        .config
        .get("env_order")
        .and_then(Value::as_list);
    match wanted {
        Some(order) if !order.is_empty() => order
            .iter()
            .map(python::str)
            .filter(|name| known.contains(name))
            .collect(),
        _ => {
            let mut all = vec!["base".to_owned()];
            all.extend(known.into_iter().filter(|name| name != "base"));
            all
        }
    }
}

fn read_all(world: &World<'_>) -> Result<Vec<TopFile>, Fatal> {
    let name = setting(world, "state_top").unwrap_or("top.sls");
    let name = name.strip_prefix("salt://").unwrap_or(name);
    let mut tops = Vec::new();
    for environment in environments(world) {
        let mut data = Vec::new();
        let first = read(world, &environment, name)?;
        let mut pending = Vec::new();
        if let Some(node) = first {
            pending.extend(includes(world, &environment, &node));
            data.push(node);
        }
        let mut seen: Vec<String> = Vec::new();
        while !pending.is_empty() {
            let sls = pending.remove(0);
            if seen.contains(&sls) {
                continue;
            }
            seen.push(sls.clone());
            let found = sls::find(world, &environment, &sls).ok().flatten();
            if let Some(found) = found
                && let Some(node) = render(world, &environment, &found.path, &found.text)?
            {
                pending.extend(includes(world, &environment, &node));
                data.push(node);
            }
        }
        tops.push(TopFile { environment, data });
    }
    Ok(tops)
}

/// Renders the top file of an environment, if there is one.
fn read(world: &World<'_>, environment: &str, path: &str) -> Result<Option<Node>, Fatal> {
    match world.read_text(environment, path) {
        Ok(Some(text)) => render(world, environment, path, &text),
        Ok(None) => Ok(None),
        Err(problem) => Err(Fatal(Diagnostic::new(Stage::Top, problem).unhandled())),
    }
}

fn render(
    world: &World<'_>,
    environment: &str,
    path: &str,
    text: &str,
) -> Result<Option<Node>, Fatal> {
    let extra = Map::new();
    let template = Template {
        environment,
        sls: "",
        path,
        default: world.default_renderer(),
        extra: &extra,
    };
    match world.render(&template, text) {
        Ok(Output::Data(node)) => Ok(Some(node)),
        Ok(Output::Text(_)) => Ok(None),
        Err(error) => Err(Fatal(render_error(&error))),
    }
}

fn render_error(error: &RenderError) -> Diagnostic {
    let mut out = Diagnostic::new(Stage::Top, error.message.clone())
        .unhandled()
        .at(error.place.clone());
    out.related.clone_from(&error.related);
    out.hint.clone_from(&error.hint);
    out
}

/// Takes the `include` of a top file out and expands it.
fn includes(world: &World<'_>, environment: &str, node: &Node) -> Vec<String> {
    let Some(map) = node.as_map() else {
        return Vec::new();
    };
    let Some(entry) = map.borrow_mut().remove(&Text("include")) else {
        return Vec::new();
    };
    let Some(items) = entry.value.as_list() else {
        return Vec::new();
    };
    let available = sls::available(world, environment).unwrap_or_default();
    let mut out = Vec::new();
    for item in items.borrow().iter() {
        let name = python::str(&item.to_value());
        let found = super::expand(&available, &name);
        if found.is_empty() {
            out.push(name);
        } else {
            out.extend(found);
        }
    }
    out
}

/// The sections of one rendered file.
fn file_sections(node: &Node) -> Vec<(Value, Section)> {
    let Some(map) = node.as_map() else {
        return Vec::new();
    };
    map.borrow()
        .iter()
        .map(|(environment, entry)| {
            let section = match entry.value.as_map() {
                Some(targets) => Section::Targets(
                    targets
                        .borrow()
                        .iter()
                        .map(|(target, entry)| (target.clone(), (entry.key, entry.value.clone())))
                        .collect(),
                ),
                None => Section::Other(entry.value.clone()),
            };
            (environment.clone(), section)
        })
        .collect()
}

fn no_targets() -> Fatal {
    Fatal(
        Diagnostic::new(Stage::Top, "Unable to render top file. No targets found.")
            .unhandled()
            .hint("a section of the top file is a mapping of targets to lists of SLS"),
    )
}

/// Adds the targets of a section; later lists replace earlier ones of the same target.
fn update(sections: &mut Sections, environment: Value, section: Section) -> Result<(), Fatal> {
    let Section::Targets(new) = section else {
        return match section {
            // Text can be walked over in Python, and gives targets that make no sense.
            Section::Other(node)
                if matches!(node.data, Data::List(_)) || node.as_str().is_some() =>
            {
                sections.insert(environment, Section::Other(node));
                Ok(())
            }
            _ => Err(no_targets()),
        };
    };
    match sections.get_mut(&environment) {
        Some(Section::Targets(known)) => known.extend(new),
        _ => {
            sections.insert(environment, Section::Targets(new));
        }
    }
    Ok(())
}

fn merge(tops: &[TopFile]) -> Result<Sections, Fatal> {
    let mut sections = Sections::new();
    let base = tops.iter().filter(|top| top.environment == "base");
    for node in base.flat_map(|top| &top.data) {
        for (environment, section) in file_sections(node) {
            update(&mut sections, environment, section)?;
        }
    }
    for top in tops.iter().filter(|top| top.environment != "base") {
        let own = Value::from(top.environment.as_str());
        if sections.contains_key(&own) {
            continue;
        }
        for node in &top.data {
            for (environment, section) in file_sections(node) {
                if environment == own {
                    update(&mut sections, environment, section)?;
                }
            }
        }
    }
    Ok(sections)
}

fn merge_same(world: &World<'_>, tops: &[TopFile]) -> Result<Sections, Fatal> {
    let default = setting(world, "default_top");
    if default.is_none()
        && setting(world, "saltenv").is_none()
        && world.minion.config.contains_key("default_top")
    {
        return Err(Fatal(
            Diagnostic::new(
                Stage::Top,
                "top_file_merging_strategy set to 'same', but no default_top configuration option was set",
            )
            .unhandled()
            .hint("set default_top to the environment whose top file serves the others"),
        ));
    }
    let default = default.unwrap_or("base");
    let mut sections = Sections::new();
    for top in tops {
        let own = Value::from(top.environment.as_str());
        let mut files: Vec<&Node> = top.data.iter().filter(|node| node.is_true()).collect();
        if files.is_empty() {
            files = tops
                .iter()
                .filter(|other| other.environment == default)
                .flat_map(|other| &other.data)
                .collect();
        }
        for node in files {
            for (environment, section) in file_sections(node) {
                if environment == own {
                    update(&mut sections, environment, section)?;
                }
            }
        }
    }
    Ok(sections)
}

fn merge_all(tops: &[TopFile]) -> Result<Sections, Fatal> {
    let mut sections = Sections::new();
    for node in tops.iter().flat_map(|top| &top.data) {
        for (environment, section) in file_sections(node) {
            let Section::Targets(new) = section else {
                return Err(no_targets());
            };
            let known = sections
                .entry(environment)
                .or_insert_with(|| Section::Targets(IndexMap::new()));
            let Section::Targets(known) = known else {
                continue;
            };
            for (target, (span, node)) in new {
                match known.get_mut(&target) {
                    None => {
                        known.insert(target, (span, node));
                    }
                    Some((_, present)) => unite(present, &node),
                }
            }
        }
    }
    Ok(sections)
}

/// The later match option wins, names are united in the order they were first seen.
fn unite(present: &mut Node, new: &Node) {
    let (Some(old_items), Some(new_items)) = (present.as_list(), new.as_list()) else {
        return;
    };
    let is_option = |node: &Node| matches!(node.data, Data::Map(_));
    let (old_items, new_items) = (old_items.borrow().clone(), new_items.borrow().clone());
    let options: Vec<Node> = if new_items.iter().any(is_option) {
        new_items
            .iter()
            .filter(|node| is_option(node))
            .cloned()
            .collect()
    } else {
        old_items
            .iter()
            .filter(|node| is_option(node))
            .cloned()
            .collect()
    };
    let mut items = options;
    let mut seen: Vec<Value> = Vec::new();
    for node in old_items
        .iter()
        .chain(&new_items)
        .filter(|node| !is_option(node))
    {
        let value = node.to_value();
        if !seen.contains(&value) {
            seen.push(value);
            items.push(node.clone());
        }
    }
    *present = Node::list(items, present.span);
}

fn to_value(sections: &Sections) -> Value {
    let map: Map = sections
        .iter()
        .map(|(environment, section)| {
            let value = match section {
                Section::Targets(targets) => Value::Map(
                    targets
                        .iter()
                        .map(|(target, (_, node))| (target.clone(), node.to_value()))
                        .collect(),
                ),
                Section::Other(node) => node.to_value(),
            };
            (environment.clone(), value)
        })
        .collect();
    Value::Map(map)
}

fn verify(world: &World<'_>, sections: &Sections, errors: &mut Vec<Diagnostic>) {
    let mut report = |text: String, place: Option<Place>| {
        errors.push(Diagnostic::new(Stage::Top, text).at(place));
    };
    for (environment, section) in sections {
        let shown = python::str(environment);
        if environment.as_str().is_none() {
            report(
                format!("Environment {shown} in top file is not formed as a string"),
                None,
            );
        }
        if shown.is_empty() {
            report("Empty saltenv statement in top file".to_owned(), None);
        }
        let Section::Targets(targets) = section else {
            report(
                format!("The top file matches for saltenv {shown} are not formatted as a dict"),
                None,
            );
            continue;
        };
        for (target, (_, node)) in targets {
            let Some(items) = node.as_list() else {
                let kind = match node.type_name() {
                    "dict" => "OrderedDict",
                    kind => kind,
                };
                report(
                    format!(
                        "Malformed topfile: state declarations for matcher {} in saltenv {} are not formed as a list (got {kind})",
                        python::repr(target),
                        python::repr(environment)
                    ),
                    world.place(node.span),
                );
                continue;
            };
            for item in items.borrow().iter() {
                if let Some(map) = item.as_map() {
                    for (key, entry) in map.borrow().iter() {
                        if entry.value.is_true() || !matches!(entry.value.data, Data::Scalar(_)) {
                            continue;
                        }
                        let value = entry.value.to_value();
                        report(
                            format!(
                                "Improperly formatted top file matcher in saltenv OrderedDict([({}, {})]): {} file",
                                python::repr(key),
                                python::repr(&value),
                                python::str(&value)
                            ),
                            world.place(entry.key),
                        );
                    }
                } else if !item.is_true() {
                    report(
                        format!("Environment {shown} contains an empty sls index"),
                        world.place(item.span),
                    );
                }
            }
        }
    }
}

/// What fits this minion.
fn matches(world: &World<'_>, sections: &Sections) -> Result<Matches, Fatal> {
    let only = setting(world, "saltenv");
    let known = world.environments();
    let mut found = Matches::new();
    for (environment, section) in sections {
        let environment = python::str(environment);
        if only.is_some_and(|only| only != environment) {
            continue;
        }
        let Section::Targets(targets) = section else {
            continue;
        };
        for (target, (_, node)) in targets {
            let items: Vec<Node> = match &node.data {
                Data::List(items) => items.borrow().clone(),
                Data::Scalar(Value::Str(text)) => text
                    .chars()
                    .map(|ch| Node::scalar(ch.to_string()))
                    .collect(),
                _ => continue,
            };
            if !fits(world, &python::str(target), &items)? {
                continue;
            }
            for item in &items {
                add(world, item, &environment, &known, &mut found)?;
            }
        }
    }
    append_external(world, &mut found);
    Ok(found)
}

fn add(
    world: &World<'_>,
    item: &Node,
    environment: &str,
    known: &[String],
    found: &mut Matches,
) -> Result<(), Fatal> {
    match &item.data {
        Data::Scalar(name @ Value::Str(_)) => {
            found
                .entry(environment.to_owned())
                .or_default()
                .push(name.clone());
        }
        Data::Map(map) => {
            for (key, entry) in map.borrow().iter() {
                let name = python::str(key);
                if matches!(name.as_str(), "match" | "subfilter") || !known.contains(&name) {
                    continue;
                }
                found.entry(name).or_default().push(entry.value.to_value());
            }
        }
        _ => {
            let kind = item.type_name();
            let text = format!("argument of type '{kind}' is not iterable");
            return Err(Fatal(
                Diagnostic::new(Stage::Top, text)
                    .unhandled()
                    .at(world.place(item.span))
                    .hint("an entry of the top file is the name of an SLS; quote it"),
            ));
        }
    }
    Ok(())
}

/// Whether a target means this minion; its kind is in its list.
fn fits(world: &World<'_>, target: &str, items: &[Node]) -> Result<bool, Fatal> {
    let mut kind = "compound".to_owned();
    for item in items {
        let Some(map) = item.as_map() else {
            continue;
        };
        let map = map.borrow();
        if let Some(entry) = map.get(&Text("match")) {
            let Data::Scalar(Value::Str(text)) = &entry.value.data else {
                let text = format!(
                    "unsupported operand type(s) for +: '{}' and 'str'",
                    entry.value.type_name()
                );
                return Err(Fatal(
                    Diagnostic::new(Stage::Top, text)
                        .unhandled()
                        .at(world.place(entry.key))
                        .hint("name a kind: glob, pcre, grain, pillar, list, compound, …"),
                ));
            };
            kind.clone_from(text);
        }
        if map.contains_key(&Text("subfilter")) && map.len() == 1 {
            return Err(Fatal(
                Diagnostic::new(Stage::Top, "'dictionary is empty'")
                    .unhandled()
                    .at(world.place(item.span))
                    .hint("subfilter does not work in Salt 3008; use a compound target"),
            ));
        }
    }
    Ok(minion_matches(world, &kind, target))
}

/// The grains that matter for a target: it names those it asks for, unless it names a
/// group of which only the configuration knows what it asks for.
pub(crate) fn targeted<'g>(grains: &'g Grains, kind: &str, target: &str) -> &'g Map {
    let group = kind == "nodegroup" || target.contains("N@");
    grains.for_target(|name| group || target.contains(name))
}

/// Whether a target of a kind means the minion.
pub(crate) fn minion_matches(world: &World<'_>, kind: &str, target: &str) -> bool {
    let empty = Map::new();
    let config = &world.minion.config;
    let facts = Facts {
        id: &world.minion.id,
        grains: targeted(&world.minion.grains, kind, target),
        pillar: &world.minion.pillar,
        nodegroups: config
            .get("nodegroups")
            .and_then(Value::as_map)
            .unwrap_or(&empty),
    };
    Target::parse(kind, &Value::from(target), ":")
        .is_ok_and(|target| target.matches_as(&facts, world.release))
}

/// Adds what the master's external node classifiers said (`master_tops`).
fn append_external(world: &World<'_>, found: &mut Matches) {
    let config = &world.minion.config;
    let Some(external) = config.get("__master_tops__").and_then(Value::as_map) else {
        return;
    };
    let first = config.get("master_tops_first").is_some_and(Value::is_true);
    for (environment, names) in external {
        let names = match names {
            Value::List(names) => names.clone(),
            one => vec![one.clone()],
        };
        let known = found.entry(python::str(environment)).or_default();
        let mut place = 0;
        for name in names {
            if known.contains(&name) {
                continue;
            }
            if first {
                known.insert(place, name);
                place += 1;
            } else {
                known.push(name);
            }
        }
    }
}
