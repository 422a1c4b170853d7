//! `logrotate.*`: the configuration of logrotate.

use std::io;
use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

/// How deep files may include each other.
const DEEP: usize = 8;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "logrotate.show_conf",
        "show_conf(conf_file='/etc/logrotate.conf')",
        "The configuration, with what it includes.",
        |args, context| Ok(parsed(context.system, &args.text("conf_file")?)?.into()),
    );
    add(
        "logrotate.get",
        "get(key, value=None, conf_file='/etc/logrotate.conf')",
        "What is set by a line, or by a line of a block; false when nothing is.",
        |args, context| {
            let all = parsed(context.system, &args.text("conf_file")?)?;
            let Some(found) = all.get(&args.text("key")?) else {
                return Ok(false.into());
            };
            let Some(key) = args.given("value").filter(|value| value.is_true()) else {
                return Ok(found.clone());
            };
            match found {
                Value::Map(block) => Ok(block
                    .get(&python::str(key))
                    .cloned()
                    .unwrap_or(Value::Bool(false))),
                other => Err(CallError::exception(
                    "AttributeError",
                    format!("'{}' object has no attribute 'get'", other.type_name()),
                )),
            }
        },
    );
    add(
        "logrotate.set",
        "set(key, value, setting=None, conf_file='/etc/logrotate.conf')",
        "Sets a line, or a line of a block, in the file that has it.",
        |args, context| {
            let value = args.get("value").cloned().unwrap_or_default();
            let setting = args.given("setting").cloned();
            let config = args.text("conf_file")?;
            Ok(set(context, &args.text("key")?, value, setting, &config)?.into())
        },
    );
}

fn missing(path: &str) -> CallError {
    CallError::exception(
        "FileNotFoundError",
        format!("[Errno 2] No such file or directory: '{path}'"),
    )
}

fn failed(error: &io::Error, path: &Path) -> CallError {
    CallError::execution(errno_text(error, Some(path)))
}

fn read(machine: &dyn Observe, path: &str) -> Result<String, CallError> {
    let place = Path::new(path);
    machine
        .text(place)
        .map_err(|error| failed(&error, place))?
        .ok_or_else(|| missing(path))
}

/// A word as a number where it is one.
pub(crate) fn converted(text: &str) -> Value {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(number) if is_number => number.into(),
        _ => text.into(),
    }
}

/// `rotate 4`: a name and what it is set to; true when it stands alone.
fn assignment(line: &str) -> (String, Value) {
    match line.split_once(char::is_whitespace) {
        Some((key, value)) => (key.to_owned(), converted(value.trim())),
        None => (line.to_owned(), true.into()),
    }
}

const SCRIPTS: [&str; 5] = [
    "postrotate",
    "prerotate",
    "firstaction",
    "lastaction",
    "preremove",
];

/// The configuration in a file, with what it includes.
///
/// # Errors
///
/// When one of the files is not there or cannot be read.
pub(crate) fn parsed(machine: &dyn Observe, path: &str) -> Result<Map, CallError> {
    parsed_at(machine, path, 0)
}

fn parsed_at(machine: &dyn Observe, path: &str, depth: usize) -> Result<Map, CallError> {
    let text = read(machine, path)?;
    let mut all = Map::new();
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    while let Some(line) = lines.next() {
        if line.ends_with('{') {
            let mut block = Map::new();
            while let Some(line) = lines.next().filter(|line| *line != "}") {
                if SCRIPTS.contains(&line) {
                    let script: Vec<Value> = lines
                        .by_ref()
                        .take_while(|line| *line != "endscript")
                        .map(Value::from)
                        .collect();
                    block.insert(line, Value::List(script));
                } else {
                    let (key, value) = assignment(line);
                    block.insert(key, value);
                }
            }
            for name in line.split_whitespace().filter(|name| *name != "{") {
                all.insert(name, block.clone());
            }
            continue;
        }
        let (key, value) = assignment(line);
        if key != "include" || depth >= DEEP {
            all.insert(key, value);
            continue;
        }
        let directory = python::str(&value);
        all.insert(key, directory.as_str());
        include(machine, &directory, depth, &mut all)?;
    }
    Ok(all)
}

/// Reads the files of a directory, and says which of them has what.
fn include(
    machine: &dyn Observe,
    directory: &str,
    depth: usize,
    all: &mut Map,
) -> Result<(), CallError> {
    let place = Path::new(directory);
    if !machine.exists(place) {
        return Err(missing(directory));
    }
    let names = machine.list(place).map_err(|error| failed(&error, place))?;
    let mut files = match all.get("include files") {
        Some(Value::Map(files)) => files.clone(),
        _ => Map::new(),
    };
    let mut found = Vec::new();
    for name in names {
        let path = place.join(&name);
        if !machine.is_file(&path) {
            continue;
        }
        let map = parsed_at(machine, &path.to_string_lossy(), depth + 1)?;
        let keys: Vec<Value> = map.keys().cloned().collect();
        files.insert(name.to_string_lossy().into_owned(), Value::List(keys));
        found.push(map);
    }
    all.insert("include files", files);
    for map in found {
        all.extend(map);
    }
    Ok(())
}

/// The file that has a key: the one given, or one that it includes.
fn place(all: &Map, key: &str, config: &str) -> String {
    let files = all.get("include files").and_then(Value::as_map);
    let held = files.into_iter().flatten().find_map(|(file, keys)| {
        let has = keys.as_list()?.iter().any(|one| one.as_str() == Some(key));
        has.then(|| python::str(file))
    });
    match (held, all.str("include")) {
        (Some(file), Some(directory)) => Path::new(directory)
            .join(file)
            .to_string_lossy()
            .into_owned(),
        _ => config.to_owned(),
    }
}

/// Sets a line, or with `setting` the line `value` of the block `key`. Says whether that
/// is how it is now.
///
/// # Errors
///
/// When a block is stated as a line or a line as a block, and for files that cannot be
/// read or written.
pub(crate) fn set(
    context: &Context<'_>,
    key: &str,
    value: Value,
    setting: Option<Value>,
    config: &str,
) -> Result<bool, CallError> {
    let all = parsed(context.system, config)?;
    let path = place(&all, key, config);
    let text = read(context.system, &path)?;
    let stands = all.get(key);
    let new = match (setting, stands) {
        (None, Some(Value::Map(_))) => {
            return Err(CallError::invocation(format!(
                "Error: {key} includes a dict, and a specific setting inside the dict was not declared"
            )));
        }
        (None, stands) => {
            if stands.unwrap_or(&Value::Bool(false)) == &value {
                return Ok(true);
            }
            with_line(&text, key, &value)
        }
        (Some(setting), stands) => {
            let mut block = match stands {
                Some(Value::Map(block)) => block.clone(),
                Some(other) if other.is_true() => {
                    return Err(CallError::invocation(
                        "Error: A setting for a dict was declared, but the configuration line given is not a dict",
                    ));
                }
                _ => Map::new(),
            };
            let name = python::str(&value);
            if block.get(&name).unwrap_or(&Value::Bool(false)) == &setting {
                return Ok(true);
            }
            block.insert(name, setting);
            with_block(&text, key, &block)
        }
    };
    if new == text {
        return Ok(false);
    }
    let place = Path::new(&path);
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    context
        .system
        .write(place, new.as_bytes(), &options)
        .map_err(|error| failed(&error, place))?;
    Ok(true)
}

/// The text with a line in the place of those that begin with the key, else before all
/// others. A line that is taken away leaves an empty one.
fn with_line(text: &str, key: &str, value: &Value) -> String {
    let line = match value {
        Value::Bool(true) => key.to_owned(),
        value if value.is_true() => format!("{key} {}", python::str(value)),
        _ => String::new(),
    };
    if !text.lines().any(|old| old.starts_with(key)) {
        return if line.is_empty() {
            text.to_owned()
        } else {
            format!("{line}\n{text}")
        };
    }
    let mut out = String::new();
    for old in text.split_inclusive('\n') {
        if old.starts_with(key) {
            out.push_str(&line);
            if old.ends_with('\n') {
                out.push('\n');
            }
        } else {
            out.push_str(old);
        }
    }
    out
}

/// A block as Salt writes it.
fn block_text(key: &str, block: &Map) -> String {
    let mut out = format!("{key} {{\n");
    for (name, value) in block {
        let name = python::str(name);
        match value {
            Value::List(lines) => {
                out.push_str(&format!("    {name}\n"));
                for line in lines {
                    out.push_str(&format!("        {}\n", python::str(line)));
                }
                out.push_str("    endscript\n");
            }
            Value::Bool(true) => out.push_str(&format!("    {name} \n")),
            value if value.is_true() => {
                out.push_str(&format!("    {name} {}\n", python::str(value)));
            }
            _ => {}
        }
    }
    out.push('}');
    out
}

/// The text with a block in the place of the one of that name, else behind all others.
fn with_block(text: &str, key: &str, block: &Map) -> String {
    let new = block_text(key, block);
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(key)) {
        let start = from + at;
        from = start + key.len();
        let (before, rest) = text.split_at(start);
        if !before.is_empty() && !before.ends_with('\n') {
            continue;
        }
        let behind = rest.get(key.len()..).unwrap_or_default();
        if behind.trim_start().starts_with('{')
            && let Some(end) = behind.find('}')
        {
            let after = behind.get(end + 1..).unwrap_or_default();
            return format!("{before}{new}{after}");
        }
    }
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{gap}{new}\n")
}
