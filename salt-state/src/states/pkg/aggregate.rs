//! Several states that ask for packages, made one call of the package manager.
//!
//! Which states are joined is Salt's choice (3008.3), recorded. What becomes of the first
//! of them is not: Salt leaves its own package out and reports success all the same, and
//! stumbles over lists with versions. Here it is installed with the others.

use salt_proto::{Map, Value};

use crate::registry::CallError;
use crate::states::Check;

/// Takes the packages of the states that have not run yet into the one that is about to.
pub(super) fn join(low: &mut Map, rest: &mut [Map], _: &Check<'_>) -> Result<(), CallError> {
    joined(low, rest);
    Ok(())
}

/// What holds the packages of a state: files stay among files.
fn list_of(low: &Map) -> &'static str {
    if low.contains_key("sources") {
        "sources"
    } else {
        "pkgs"
    }
}

/// What a state asks for, as an item for each package.
fn items(low: &Map) -> Vec<Value> {
    match low.get(list_of(low)) {
        Some(Value::List(items)) => return items.clone(),
        Some(Value::Map(items)) => {
            let one = |(key, value): (&Value, &Value)| {
                Value::from(Map::from_iter([(key.clone(), value.clone())]))
            };
            return items.iter().map(one).collect();
        }
        _ => {}
    }
    let Some(name) = low.get("name") else {
        return Vec::new();
    };
    match low.get("version").filter(|version| version.is_true()) {
        Some(version) => vec![Map::from_iter([(name.clone(), version.clone())]).into()],
        None => vec![name.clone()],
    }
}

fn joined(low: &mut Map, rest: &mut [Map]) {
    let functions = ["installed", "latest", "removed", "purged"];
    if !low.str("fun").is_some_and(|fun| functions.contains(&fun)) {
        return;
    }
    let list = list_of(low);
    let mut all = items(low);
    let alike = |other: &Map| {
        let same = |key: &str| other.get(key) == low.get(key);
        let refuses = other
            .get("aggregate")
            .is_some_and(|stated| !stated.is_true());
        same("state")
            && same("fun")
            && same("fromrepo")
            && list_of(other) == list
            && !other.contains_key("hold")
            && !refuses
    };
    let waits = waiting_for(low, rest);
    let mut joins = false;
    for (other, waits) in rest.iter_mut().zip(waits) {
        if other.get("__agg__").is_some_and(Value::is_true) || waits || !alike(other) {
            continue;
        }
        let more = items(other);
        if more.iter().any(|item| is_at_odds(item, &all)) {
            continue;
        }
        for item in more {
            if !all.contains(&item) {
                all.push(item);
            }
        }
        joins = true;
        other.insert("__agg__", true);
    }
    if joins {
        low.insert(list, Value::List(all));
        low.remove("version");
    }
}

/// Whether a list asks for the package of an item, but otherwise.
fn is_at_odds(item: &Value, all: &[Value]) -> bool {
    let name = |item: &Value| match item {
        Value::Map(map) => map.keys().next().cloned(),
        other => Some(other.clone()),
    };
    let wanted = name(item);
    all.iter()
        .any(|known| known != item && name(known) == wanted)
}

/// Which chunks have to wait for one: those that it names with `prereq`, those that name
/// it, and those that name these.
fn waiting_for(low: &Map, rest: &[Map]) -> Vec<bool> {
    const KINDS: [&str; 9] = [
        "require",
        "require_any",
        "watch",
        "watch_any",
        "onchanges",
        "onchanges_any",
        "onfail",
        "onfail_any",
        "onfail_all",
    ];
    let named = |by: &Map, kind: &str, chunk: &Map| {
        let list = by.get(kind).and_then(Value::as_list).unwrap_or_default();
        list.iter().any(|one| refers_to(one, chunk))
    };
    let mut waits: Vec<bool> = rest
        .iter()
        .map(|other| named(low, "prereq", other))
        .collect();
    loop {
        let before = waits.clone();
        for (at, other) in rest.iter().enumerate() {
            let waiting = rest.iter().zip(&before).filter(|(_, waits)| **waits);
            let mut earlier = waiting.map(|(chunk, _)| chunk).chain([low]);
            let is_late = earlier.any(|earlier| {
                KINDS.iter().any(|kind| named(other, kind, earlier))
                    || named(earlier, "prereq", other)
            });
            if let Some(slot) = waits.get_mut(at) {
                *slot |= is_late;
            }
        }
        if waits == before {
            return waits;
        }
    }
}

/// Whether a requisite means a chunk: by module and id or name, by the id alone, or by
/// its SLS.
fn refers_to(requisite: &Value, chunk: &Map) -> bool {
    let is = |key: &str, value: &Value| chunk.get(key) == Some(value);
    let Some(pairs) = requisite.as_map() else {
        return is("__id__", requisite);
    };
    pairs.iter().any(|(module, name)| match module.as_str() {
        Some("sls") => is("__sls__", name),
        Some("id") => is("__id__", name),
        _ => is("state", module) && (is("__id__", name) || is("name", name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low(fun: &str, name: &str, more: Map) -> Map {
        let mut low = Map::from([("state", "pkg"), ("fun", fun), ("name", name)]);
        for (key, value) in more.iter() {
            low.insert(key.clone(), value.clone());
        }
        low
    }

    fn list(names: &[&str]) -> Value {
        names.iter().copied().map(Value::from).collect()
    }

    #[test]
    fn what_is_alike_becomes_one_call_and_is_marked() {
        for fun in ["installed", "latest", "removed", "purged"] {
            let mut own = low(fun, "a", Map::new());
            let mut rest = [
                low(fun, "b", Map::new()),
                low(fun, "c", Map::from([("pkgs", list(&["a", "d"]))])),
                low("held", "e", Map::new()),
                low(fun, "f", Map::from([("fromrepo", "r")])),
                low(fun, "g", Map::from([("__agg__", true)])),
            ];
            joined(&mut own, &mut rest);
            assert_eq!(own.get("pkgs"), Some(&list(&["a", "b", "d"])), "{fun}");
            let marked: Vec<bool> = rest.iter().map(|low| low.contains_key("__agg__")).collect();
            assert_eq!(marked, [true, true, false, false, true]);
        }
    }

    #[test]
    fn versions_stay_with_their_packages() {
        let mut own = low("installed", "a", Map::from([("version", "1")]));
        let mut rest = [low("installed", "b", Map::from([("version", "2")]))];
        joined(&mut own, &mut rest);
        let one = |name: &str, version: &str| Value::from(Map::from([(name, version)]));
        let wanted: Value = [one("a", "1"), one("b", "2")].into_iter().collect();
        assert_eq!(own.get("pkgs"), Some(&wanted));
    }

    #[test]
    fn what_waits_for_the_first_is_not_joined_nor_what_refuses() {
        let needs = |module: &str, name: &str| -> Map {
            let one = Value::from(Map::from([(module, name)]));
            Map::from([("require", [one].into_iter().collect::<Value>())])
        };
        let named = |low: Map| low_with_id(low);
        let mut own = named(low("installed", "a", Map::new()));
        let mut step = named(low("nop", "step", needs("pkg", "a")));
        step.insert("state", "test");
        let mut rest = [
            named(low("installed", "b", needs("pkg", "a"))),
            step,
            named(low("installed", "c", needs("test", "step"))),
            named(low("installed", "d", needs("test", "elsewhere"))),
            named(low("installed", "e", Map::from([("hold", false)]))),
            named(low("installed", "f", Map::from([("aggregate", false)]))),
            named(low("installed", "a", Map::from([("version", "1")]))),
        ];
        joined(&mut own, &mut rest);
        assert_eq!(own.get("pkgs"), Some(&list(&["a", "d"])));
    }

    fn low_with_id(mut low: Map) -> Map {
        let id = low.get("name").cloned().unwrap_or_default();
        low.insert("__id__", id);
        low
    }

    #[test]
    fn files_are_joined_with_files() {
        let source = |name: &str| Value::from(Map::from([(name, format!("/{name}.deb"))]));
        let sources =
            |name| Map::from([("sources", [source(name)].into_iter().collect::<Value>())]);
        let mut own = low("installed", "x", sources("a"));
        let mut rest = [
            low("installed", "b", Map::new()),
            low("installed", "y", sources("c")),
        ];
        joined(&mut own, &mut rest);
        let wanted: Value = [source("a"), source("c")].into_iter().collect();
        assert_eq!(own.get("sources"), Some(&wanted));
        assert!(own.get("pkgs").is_none() && !rest[0].contains_key("__agg__"));
    }

    #[test]
    fn what_holds_packages_back_is_left_alone() {
        let mut own = low("held", "a", Map::new());
        let before = own.clone();
        joined(&mut own, &mut [low("held", "b", Map::new())]);
        assert_eq!(own, before);
    }
}
