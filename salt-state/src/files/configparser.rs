//! Files of sections as Python's `configparser` reads and writes them: names of options in
//! lower case, values over several lines, `%(name)s` for the value of another option.

use salt_proto::{Map, Value};

use crate::python;

/// The section whose options every section has.
const DEFAULT: &str = "DEFAULT";

/// How deep one value may refer to another.
const DEPTH: usize = 10;

/// Reads a file into a mapping of sections. `options` are those of Python's class:
/// `defaults`, `interpolation` and `allow_no_value`.
///
/// # Errors
///
/// In Python's words; `place` is the file they name.
pub(crate) fn read(text: &str, options: &Map, place: &str) -> Result<Value, String> {
    let mut defaults = lowered(options.get("defaults"));
    let mut sections: Vec<(String, Map)> = Vec::new();
    // The section that is read, the option and how far it is indented.
    let mut current: Option<usize> = None;
    let mut in_default = false;
    let mut option: Option<(String, usize)> = None;
    let mut bad = Vec::new();
    let mut stated_defaults = Map::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let value = line.trim();
        let is_comment = value.starts_with(['#', ';']);
        let has_section = current.is_some() || in_default;
        let section = match current {
            Some(at) => sections.get_mut(at).map(|(_, keys)| keys),
            None if in_default => Some(&mut stated_defaults),
            None => None,
        };
        if value.is_empty() || is_comment {
            if !is_comment
                && let (Some(keys), Some((name, _))) = (section, &option)
                && let Some(Value::Str(old)) = keys.get_mut(name.as_str())
            {
                old.push('\n');
            }
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if let (Some(keys), Some((name, own))) = (section, &option)
            && indent > *own
        {
            if let Some(Value::Str(old)) = keys.get_mut(name.as_str()) {
                old.push('\n');
                old.push_str(value);
            }
            continue;
        }
        if let Some(name) = value
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .map(|(name, _)| name)
        {
            option = None;
            in_default = name == DEFAULT;
            current = None;
            if in_default {
                continue;
            }
            if sections.iter().any(|(known, _)| known == name) {
                return Err(format!(
                    "While reading from '{place}' [line {number:2}]: section '{name}' already exists"
                ));
            }
            sections.push((name.to_owned(), Map::new()));
            current = Some(sections.len() - 1);
            continue;
        }
        if !has_section {
            let shown = python::repr_str(&format!("{line}\n"));
            return Err(format!(
                "File contains no section headers.\nfile: '{place}', line: {number}\n{shown}"
            ));
        }
        let (name, new) = match value.split_once(['=', ':']) {
            Some((name, new)) if !name.trim().is_empty() => {
                (name.trim().to_lowercase(), Value::from(new.trim()))
            }
            None if options.get("allow_no_value").is_some_and(Value::is_true) => {
                (value.to_lowercase(), Value::Null)
            }
            _ => {
                let shown = python::repr_str(&format!("{line}\n"));
                bad.push(format!("\n\t[line {number:2}]: {shown}"));
                continue;
            }
        };
        let keys = match current {
            Some(at) => sections.get_mut(at).map(|(_, keys)| keys),
            None => Some(&mut stated_defaults),
        };
        if let Some(keys) = keys {
            if keys.contains_key(&name) {
                let section = current
                    .and_then(|at| sections.get(at))
                    .map_or(DEFAULT, |(name, _)| name);
                return Err(format!(
                    "While reading from '{place}' [line {number:2}]: option '{name}' in section '{section}' already exists"
                ));
            }
            keys.insert(name.as_str(), new);
        }
        option = Some((name, indent));
    }
    if !bad.is_empty() {
        return Err(format!(
            "Source contains parsing errors: '{place}'{}",
            bad.concat()
        ));
    }
    defaults.extend(stated_defaults);
    let raw = options.get("interpolation").is_some_and(Value::is_null);
    let mut all = Map::new();
    for (name, keys) in sections {
        let mut whole = defaults.clone();
        whole.extend(keys);
        for (_, value) in whole.iter_mut() {
            if let Value::Str(text) = value {
                text.truncate(text.trim_end_matches('\n').len());
            }
        }
        let mut section = Map::new();
        for (key, value) in &whole {
            let key = python::str(key);
            let value = match value {
                Value::Str(text) if !raw => {
                    Value::from(resolved(text, &key, &name, &whole, text, 1)?)
                }
                other => other.clone(),
            };
            section.insert(key, value);
        }
        all.insert(name, section);
    }
    Ok(all.into())
}

/// Options with their names in lower case and their values as text.
fn lowered(given: Option<&Value>) -> Map {
    let mut all = Map::new();
    for (key, value) in given.and_then(Value::as_map).into_iter().flatten() {
        all.insert(python::str(key).to_lowercase(), python::str(value));
    }
    all
}

/// A value with what it refers to in the place of `%(name)s`.
fn resolved(
    text: &str,
    option: &str,
    section: &str,
    whole: &Map,
    raw: &str,
    depth: usize,
) -> Result<String, String> {
    if depth > DEPTH {
        return Err(format!(
            "Recursion limit exceeded in value substitution: option '{option}' in section '{section}' contains an interpolation key which cannot be substituted in {DEPTH} steps. Raw value: {}",
            python::repr_str(raw)
        ));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let Some(inside) = after.strip_prefix('(') else {
            return Err(format!(
                "'%' must be followed by '%' or '(', found: {}",
                python::repr_str(&format!("%{after}"))
            ));
        };
        let Some((name, after)) = inside
            .split_once(")s")
            .filter(|(name, _)| !name.contains(')'))
        else {
            return Err(format!(
                "bad interpolation variable reference {}",
                python::repr_str(&format!("%({inside}"))
            ));
        };
        let name = name.to_lowercase();
        let Some(found) = whole.str(&name) else {
            return Err(format!(
                "Bad value substitution: option '{option}' in section '{section}' contains an interpolation key '{name}' which is not a valid option name. Raw value: {}",
                python::repr_str(raw)
            ));
        };
        out.push_str(&resolved(found, option, section, whole, raw, depth + 1)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Writes a mapping of sections; of `options`, `defaults` go first.
///
/// # Errors
///
/// In Python's words, for what is no mapping and values that could not be read again.
pub(crate) fn write(data: &Value, options: &Map) -> Result<String, String> {
    let no_items =
        |value: &Value| format!("'{}' object has no attribute 'items'", value.type_name());
    let Value::Map(sections) = data else {
        return Err(no_items(data));
    };
    let mut defaults = lowered(options.get("defaults"));
    if let Some(Value::Map(keys)) = sections.get(DEFAULT) {
        for (key, value) in keys {
            defaults.insert(python::str(key).to_lowercase(), written(value)?);
        }
    }
    let mut out = String::new();
    let section = |out: &mut String, name: &str, keys: &Map| {
        out.push_str(&format!("[{name}]\n"));
        for (key, value) in keys {
            let value = python::str(value).replace('\n', "\n\t");
            out.push_str(&format!("{} = {value}\n", python::str(key)));
        }
        out.push('\n');
    };
    if !defaults.is_empty() {
        section(&mut out, DEFAULT, &defaults);
    }
    for (name, keys) in sections {
        let Value::Map(keys) = keys else {
            return Err(no_items(keys));
        };
        let name = python::str(name);
        if name == DEFAULT {
            continue;
        }
        let mut lower = Map::new();
        for (key, value) in keys {
            lower.insert(python::str(key).to_lowercase(), written(value)?);
        }
        section(&mut out, &name, &lower);
    }
    Ok(out)
}

/// A value as text that can be read again.
fn written(value: &Value) -> Result<String, String> {
    if value.is_null() {
        return Err("option values must be strings".to_owned());
    }
    let text = python::str(value);
    let mut rest = text.replace("%%", "");
    while let Some((before, after)) = rest.split_once("%(") {
        let Some((name, after)) = after
            .split_once(")s")
            .filter(|(name, _)| !name.contains(')'))
        else {
            break;
        };
        if name.is_empty() {
            break;
        }
        rest = format!("{before}{after}");
    }
    match (rest.contains('%'), text.find('%')) {
        (true, Some(at)) => Err(format!(
            "invalid interpolation syntax in {} at position {}",
            python::repr_str(&text),
            text.get(..at).map_or(0, |before| before.chars().count())
        )),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: impl Into<Value>) -> Map {
        Map::from([(key, value.into())])
    }

    /// What is read is written again, with another option as Salt 3008.3 has it.
    fn round(text: &str, options: &Map) -> Result<String, String> {
        let Value::Map(mut sections) = read(text, options, "/i")? else {
            return Err("no mapping".to_owned());
        };
        if let Some(Value::Map(keys)) = sections.get_mut("foo") {
            keys.insert("abc", 123);
        }
        write(&sections.into(), &Map::new())
    }

    #[test]
    fn values_take_in_what_they_refer_to() {
        let plain = Map::new();
        assert_eq!(
            round("[foo]\nbar = %(q)s!\nq = 1\n", &plain).unwrap(),
            "[foo]\nbar = 1!\nq = 1\nabc = 123\n\n"
        );
        assert_eq!(
            round("[DEFAULT]\nd = 1\n[foo]\nbar = %(D)s\n", &plain).unwrap(),
            "[foo]\nd = 1\nbar = 1\nabc = 123\n\n"
        );
        assert_eq!(
            round("[foo]\nbar = %(x)s\n", &with("defaults", with("x", "baz"))).unwrap(),
            "[foo]\nx = baz\nbar = baz\nabc = 123\n\n"
        );
        assert_eq!(
            round("[foo]\na = 1\n  two\n\n[q]\n", &plain).unwrap(),
            "[foo]\na = 1\n\ttwo\nabc = 123\n\n[q]\n\n"
        );
        assert_eq!(
            round(
                "# c\n[foo]\n; d\na : x ; y\n",
                &with("interpolation", Value::Null)
            )
            .unwrap(),
            "[foo]\na = x ; y\nabc = 123\n\n"
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_in_pythons_words() {
        let refused = |text: &str| read(text, &Map::new(), "/i").unwrap_err();
        for (text, complaint) in [
            (
                "[foo]\nbar = %(x)s\n",
                "Bad value substitution: option 'bar' in section 'foo' contains an interpolation key 'x' which is not a valid option name. Raw value: '%(x)s'",
            ),
            (
                "[foo]\nbar = 50%\n",
                "'%' must be followed by '%' or '(', found: '%'",
            ),
            (
                "[foo]\nnoval\n",
                "Source contains parsing errors: '/i'\n\t[line  2]: 'noval\\n'",
            ),
            (
                "[foo]\nA=1\na=2\n",
                "While reading from '/i' [line  3]: option 'a' in section 'foo' already exists",
            ),
            (
                "[foo]\na=1\n[foo]\n",
                "While reading from '/i' [line  3]: section 'foo' already exists",
            ),
            (
                "a=1\n",
                "File contains no section headers.\nfile: '/i', line: 1\n'a=1\\n'",
            ),
        ] {
            assert_eq!(refused(text), complaint);
        }
        assert!(refused("[foo]\na=%(b)s\nb=%(a)s\n").starts_with("Recursion limit exceeded"));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let data = |value: Value| Value::from(with("foo", with("a", value)));
        assert_eq!(
            write(&data("100%".into()), &Map::new()).unwrap_err(),
            "invalid interpolation syntax in '100%' at position 3"
        );
        assert_eq!(
            write(&data(Value::Null), &Map::new()).unwrap_err(),
            "option values must be strings"
        );
        assert_eq!(
            write(&data("x".into()), &with("defaults", with("y", "n"))).unwrap(),
            "[DEFAULT]\ny = n\n\n[foo]\na = x\n\n"
        );
    }
}
