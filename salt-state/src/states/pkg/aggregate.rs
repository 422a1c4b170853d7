//! Several states that ask for packages, made one call of the package manager.

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
        same("state") && same("fun") && same("fromrepo") && list_of(other) == list
    };
    for other in rest {
        if other.get("__agg__").is_some_and(Value::is_true) || !alike(other) {
            continue;
        }
        for item in items(other) {
            if !all.contains(&item) {
                all.push(item);
            }
        }
        other.insert("__agg__", true);
    }
    low.insert(list, Value::List(all));
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
