//! Walking into nested data and merging it, as Salt's functions do.

use salt_proto::{Map, Value};

use crate::{python, yaml};

/// The value at a path like `a:b:0`, `None` when there is none.
///
/// Maps are entered by key (as text, then as the number or boolean that the text spells),
/// lists by index or by the first of their mappings that has the key.
///
/// ```
/// use salt_state::{data::traverse, yaml};
///
/// let value = yaml::load("a: {b: [x, {k: v}]}").unwrap();
///
/// assert_eq!(traverse(&value, "a:b:0", ":"), Some(&"x".into()));
/// assert_eq!(traverse(&value, "a:b:k", ":"), Some(&"v".into()));
/// assert_eq!(traverse(&value, "a:c", ":"), None);
/// ```
pub fn traverse<'a>(value: &'a Value, path: &str, delimiter: &str) -> Option<&'a Value> {
    let mut here = value;
    let mut rest = path;
    loop {
        let (step, after) = match rest.split_once(delimiter).filter(|_| !delimiter.is_empty()) {
            Some((step, after)) => (step, Some(after)),
            None => (rest, None),
        };
        here = enter(here, step)?;
        match after {
            Some(after) => rest = after,
            None => return Some(here),
        }
    }
}

/// [`traverse`] from a mapping.
pub fn traverse_map<'a>(map: &'a Map, path: &str, delimiter: &str) -> Option<&'a Value> {
    let (step, rest) = match path.split_once(delimiter).filter(|_| !delimiter.is_empty()) {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let found = key_of(map, step)?;
    match rest {
        Some(rest) => traverse(found, rest, delimiter),
        None => Some(found),
    }
}

fn enter<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    match value {
        Value::Map(map) => key_of(map, step),
        Value::List(items) => match step.parse::<i64>() {
            Ok(at) => {
                let length = i64::try_from(items.len()).ok()?;
                let at = if at < 0 { length.checked_add(at)? } else { at };
                items.get(usize::try_from(at).ok()?)
            }
            Err(_) => items.iter().find_map(|item| key_of(item.as_map()?, step)),
        },
        _ => None,
    }
}

fn key_of<'a>(map: &'a Map, step: &str) -> Option<&'a Value> {
    map.get(step).or_else(|| {
        let key = yaml::load(step).ok()?;
        matches!(key, Value::Int(_) | Value::Bool(_) | Value::Float(_))
            .then(|| map.get_value(&key))
            .flatten()
    })
}

/// Merges `from` into `into`: mappings key by key, lists joined with `merge_lists`
/// (without what is there already), anything else replaced (Salt's `dictupdate.update`).
pub fn update(into: &mut Map, from: &Map, merge_lists: bool) {
    for (key, value) in from {
        match (into.get_value_mut(key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => update(old, new, merge_lists),
            (Some(Value::List(old)), Value::List(new)) if merge_lists => {
                for item in new {
                    if !old.contains(item) {
                        old.push(item.clone());
                    }
                }
            }
            (_, value) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Replaces what shows of a value by asterisks: every scalar that Python calls true
/// (Salt 3008.3's masking of pillar).
pub fn mask(value: &Value) -> Value {
    match value {
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), mask(value)))
            .collect::<Map>()
            .into(),
        Value::List(items) => items.iter().map(mask).collect(),
        scalar if !scalar.is_true() => scalar.clone(),
        _ => Value::from("**********"),
    }
}

/// What Python calls this value's type in brackets, for every scalar: `<str>`.
pub(crate) fn obfuscate(value: &Value) -> Value {
    match value {
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), obfuscate(value)))
            .collect::<Map>()
            .into(),
        Value::List(items) => items.iter().map(obfuscate).collect(),
        scalar => format!("<{}>", scalar.type_name()).into(),
    }
}

/// The entry of `lookup` for a value or the values of a list: the first key, taken as a
/// glob, that one of them matches (Salt's `filter_by`).
pub(crate) fn filter_by<'a>(
    lookup: &'a Map,
    found: Option<&Value>,
    default: &str,
) -> Option<&'a Value> {
    let texts: Vec<String> = match found {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(value) => vec![python::str(value)],
        None => Vec::new(),
    };
    texts
        .iter()
        .find_map(|text| {
            lookup
                .iter()
                .find(|(key, _)| crate::fnmatch(text, &python::str(key)))
                .map(|(_, value)| value)
        })
        .or_else(|| lookup.get(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map {
        yaml::load(text).unwrap().as_map().unwrap().clone()
    }

    #[test]
    fn keys_that_are_numbers_and_booleans_are_found() {
        let data = map("{3: three, true: t, a: {2: [x]}}");
        assert_eq!(traverse_map(&data, "3", ":"), Some(&"three".into()));
        assert_eq!(traverse_map(&data, "true", ":"), Some(&"t".into()));
        assert_eq!(traverse_map(&data, "a:2:-1", ":"), Some(&"x".into()));
        assert_eq!(traverse_map(&data, "a:2:1", ":"), None);
    }

    #[test]
    fn updating_merges_maps_and_joins_lists_only_when_asked() {
        let mut into = map("{a: {x: 1, l: [1]}, b: 1}");
        update(&mut into, &map("{a: {y: 2, l: [1, 2]}, b: {c: 1}}"), false);
        assert_eq!(into, map("{a: {x: 1, l: [1, 2], y: 2}, b: {c: 1}}"));

        let mut into = map("{l: [3, 1]}");
        update(&mut into, &map("{l: [1, 2]}"), true);
        assert_eq!(into, map("{l: [3, 1, 2]}"));
    }

    #[test]
    fn masking_leaves_what_is_false_and_the_keys() {
        let value = yaml::load("{f: false, z: 0, e: '', n: null, s: x, l: [1], neg: -1}").unwrap();
        let masked = yaml::load(
            "{f: false, z: 0, e: '', n: null, s: '**********', l: ['**********'], neg: '**********'}",
        );
        assert_eq!(mask(&value), masked.unwrap());
    }
}
