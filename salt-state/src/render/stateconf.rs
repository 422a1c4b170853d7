//! The `stateconf` stage: names that are local to an SLS, parameters, a goal.
//!
//! - An ID that begins with a dot is renamed to `sls::id`, its `name` becomes the part
//!   behind the dot, and references to it follow.
//! - `sls::goal` requires every state of the SLS, unless `-G` is given.
//! - With `-o` every state requires the one before it.
//! - `.params: stateconf.set` above the line `# --- end of state config ---` gives
//!   variables to the text below it, overridden by what an `extend` elsewhere would set
//!   only at run time.

use std::rc::Rc;

use salt_proto::{Map, Value};

use super::{Output, RenderError, Renderer, Stage, Template, World};
use crate::yaml::{Data, Entry, Node, NodeMap, Span, Text};

const END_OF_CONFIG: &str = "# --- end of state config ---";

/// The keywords whose items refer to states.
const REFERENCES: [&str; 14] = [
    "require",
    "require_in",
    "watch",
    "watch_in",
    "use",
    "use_in",
    "listen",
    "listen_in",
    "onchanges",
    "onchanges_in",
    "onfail",
    "onfail_in",
    "prereq",
    "prereq_in",
];

pub(super) fn render(
    world: &World<'_>,
    template: &Template<'_>,
    arguments: &str,
    text: &str,
    document: u32,
) -> Result<Output, RenderError> {
    let options: Vec<&str> = arguments.split_whitespace().collect();
    let goal = !options.contains(&"-G");
    let chained = options.contains(&"-o");
    let stages = stages(&options)?;
    let mut extra = template.extra.clone();
    if let Some((config, _)) = text.split_once(END_OF_CONFIG) {
        let node = run(world, template, &stages, config, document)?;
        for (name, value) in parameters(&node) {
            extra.insert(name, value);
        }
    }
    let template = Template {
        extra: &extra,
        ..*template
    };
    let node = run(world, &template, &stages, text, document)?;
    let Some(map) = node.as_map() else {
        return Ok(Output::Data(node));
    };
    let mut entries = rename(&map.borrow(), template.sls);
    if chained {
        chain(&mut entries);
    }
    if goal && entries.keys().any(|key| !is_keyword(key)) {
        add_goal(&mut entries, template.sls);
    }
    Ok(Output::Data(Node::map(entries, node.span)))
}

/// `yaml . jinja`: the last named renderer comes first.
fn stages(options: &[&str]) -> Result<Vec<Stage>, RenderError> {
    let named: Vec<&str> = options
        .iter()
        .copied()
        .filter(|option| !option.starts_with('-') && *option != ".")
        .collect();
    let named = if named.is_empty() {
        vec!["yaml", "jinja"]
    } else {
        named
    };
    let stages: Option<Vec<Stage>> = named
        .iter()
        .rev()
        .map(|name| {
            Some(Stage {
                renderer: Renderer::named(name)?,
                arguments: String::new(),
            })
        })
        .collect();
    stages.ok_or_else(|| {
        RenderError::expected(format!(
            "stateconf: no such renderer in '{}'",
            named.join(" . ")
        ))
    })
}

fn run(
    world: &World<'_>,
    template: &Template<'_>,
    stages: &[Stage],
    text: &str,
    document: u32,
) -> Result<Node, RenderError> {
    let mut flow = Output::Text(text.to_owned());
    for stage in stages {
        flow = world.stage(stage, flow, template, document)?;
    }
    match flow {
        Output::Data(node) => Ok(node),
        Output::Text(_) => Err(RenderError::expected(
            "stateconf: the last renderer must make data",
        )),
    }
}

/// What the `stateconf.set` declarations above the marker set.
fn parameters(node: &Node) -> Map {
    let mut found = Map::new();
    let Some(map) = node.as_map() else {
        return found;
    };
    for (id, entry) in map.borrow().iter() {
        let Some(body) = entry.value.as_map() else {
            continue;
        };
        let body = body.borrow();
        let list = body
            .get(&Text("stateconf.set"))
            .or_else(|| body.get(&Text("stateconf")));
        let Some(Value::List(items)) = list.map(|entry| entry.value.to_value()) else {
            continue;
        };
        let mut values = Map::new();
        for item in items {
            if let Value::Map(item) = item {
                values.extend(item);
            }
        }
        let name = crate::python::str(id);
        found.insert(name.trim_start_matches('.'), values);
    }
    found
}

fn is_keyword(key: &Value) -> bool {
    matches!(key.as_str(), Some("include" | "extend" | "exclude"))
}

/// The full name of what begins with a dot.
fn full(name: &str, sls: &str) -> Option<String> {
    name.strip_prefix('.').map(|rest| format!("{sls}::{rest}"))
}

/// Renames IDs and references; renamed declarations go to the end.
fn rename(entries: &NodeMap, sls: &str) -> NodeMap {
    let mut kept = NodeMap::new();
    let mut renamed = NodeMap::new();
    for (id, entry) in entries {
        let value = match id.as_str() {
            Some("extend") => rename_extend(&entry.value, sls),
            _ => rename_references(&entry.value, sls),
        };
        let key = entry.key;
        match id.as_str().and_then(|id| Some((full(id, sls)?, id))) {
            Some((name, id)) => {
                let value = with_name(value, id.trim_start_matches('.'));
                renamed.insert(Value::from(name), Entry { key, value });
            }
            None => {
                kept.insert(id.clone(), Entry { key, value });
            }
        }
    }
    kept.extend(renamed);
    kept
}

fn rename_extend(node: &Node, sls: &str) -> Node {
    match node.as_map() {
        Some(map) => {
            let entries = map
                .borrow()
                .iter()
                .map(|(id, entry)| {
                    let name = id.as_str().and_then(|id| full(id, sls));
                    let value = rename_references(&entry.value, sls);
                    (
                        name.map_or_else(|| id.clone(), Value::from),
                        Entry {
                            key: entry.key,
                            value,
                        },
                    )
                })
                .collect();
            Node::map(entries, node.span)
        }
        None => node.clone(),
    }
}

/// Renames what the requisites of a declaration refer to.
fn rename_references(node: &Node, sls: &str) -> Node {
    let Some(body) = node.as_map() else {
        return node.clone();
    };
    for entry in body.borrow().values() {
        let Some(arguments) = entry.value.as_list() else {
            continue;
        };
        for argument in arguments.borrow().iter() {
            let Some(map) = argument.as_map() else {
                continue;
            };
            for (key, entry) in map.borrow().iter() {
                if key.as_str().is_some_and(|key| REFERENCES.contains(&key)) {
                    rename_items(&entry.value, sls);
                }
            }
        }
    }
    node.clone()
}

fn rename_items(list: &Node, sls: &str) {
    let Some(items) = list.as_list() else {
        return;
    };
    for item in items.borrow_mut().iter_mut() {
        let plain = item.as_str().and_then(|name| full(name, sls));
        if let Some(name) = plain {
            item.data = Data::Scalar(Value::from(name));
            continue;
        }
        let Some(map) = item.as_map().map(Rc::clone) else {
            continue;
        };
        for entry in map.borrow_mut().values_mut() {
            let name = entry.value.as_str().and_then(|name| full(name, sls));
            if let Some(name) = name {
                entry.value.data = Data::Scalar(Value::from(name));
            }
        }
    }
}

fn single(key: &str, value: Node) -> Node {
    let span = value.span;
    let entry = Entry { key: span, value };
    Node::map(NodeMap::from([(Value::from(key), entry)]), span)
}

/// Gives every state of a declaration a `name`, unless it has one.
fn with_name(node: Node, name: &str) -> Node {
    let span = node.span;
    let argument = || single("name", Node::at(Data::Scalar(Value::from(name)), span));
    if let Some(function) = node.as_str() {
        return single(function, Node::list(vec![argument()], span));
    }
    if let Some(body) = node.as_map() {
        for entry in body.borrow().values() {
            let Some(arguments) = entry.value.as_list() else {
                continue;
            };
            let has = |key: &str| {
                arguments.borrow().iter().any(|argument| {
                    argument
                        .as_map()
                        .is_some_and(|map| map.borrow().contains_key(&Text(key)))
                })
            };
            if !has("name") && !has("names") {
                arguments.borrow_mut().insert(0, argument());
            }
        }
    }
    node
}

/// The states of all declarations, as references.
fn references(entries: &NodeMap) -> Vec<(Value, Node)> {
    let mut found = Vec::new();
    for (id, entry) in entries {
        if is_keyword(id) {
            continue;
        }
        let state = match &entry.value.data {
            Data::Map(body) => body.borrow().keys().next().cloned(),
            Data::Scalar(function) => Some(function.clone()),
            Data::List(_) => None,
        };
        let Some(state) = state else {
            continue;
        };
        let name = crate::python::str(&state);
        let module = name.split('.').next().unwrap_or_default();
        let value = Node::at(Data::Scalar(id.clone()), entry.key);
        found.push((id.clone(), single(module, value)));
    }
    found
}

fn add_goal(entries: &mut NodeMap, sls: &str) {
    let mut all = references(entries);
    // Salt lists the renamed ones first.
    all.sort_by_key(|(id, _)| !id.as_str().is_some_and(|id| id.contains("::")));
    let items = all.into_iter().map(|(_, reference)| reference).collect();
    let require = single("require", Node::list(items, Span::default()));
    let body = single("stateconf.set", Node::list(vec![require], Span::default()));
    let entry = Entry {
        key: Span::default(),
        value: body,
    };
    entries.insert(Value::from(format!("{sls}::goal")), entry);
}

/// Makes every state require the one before it.
fn chain(entries: &mut NodeMap) {
    let all = references(entries);
    for ((_, before), (id, _)) in all.iter().zip(all.iter().skip(1)) {
        let require = single("require", Node::list(vec![before.clone()], Span::default()));
        let Some(entry) = entries.get_mut(id) else {
            continue;
        };
        let function = entry.value.as_str().map(str::to_owned);
        if let Some(function) = function {
            entry.value = single(&function, Node::list(vec![require], Span::default()));
        } else if let Some(body) = entry.value.as_map()
            && let Some(first) = body.borrow().values().next()
            && let Some(arguments) = first.value.as_list()
        {
            arguments.borrow_mut().push(require);
        }
    }
}
