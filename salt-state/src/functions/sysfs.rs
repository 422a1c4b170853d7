//! `sysfs.*`: attributes of the kernel below `/sys`.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe};

type Answer = Result<Value, CallError>;

/// How many directories deep attributes are looked for.
const DEEPEST: usize = 16;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "sysfs.attr",
        "attr(key, value=None)",
        "Reads an attribute, or sets it; of a directory its path.",
        |args, context| {
            let key = args.text("key")?;
            match args.given("value") {
                None => Ok(attribute(context.system, &key)),
                Some(value) => Ok(write(context, &key, value).into()),
            }
        },
    );
    add(
        "sysfs.write",
        "write(key, value)",
        "Sets an attribute; says whether that was possible.",
        |args, context| {
            let value = args.get("value").cloned().unwrap_or_default();
            Ok(write(context, &args.text("key")?, &value).into())
        },
    );
    add(
        "sysfs.read",
        "read(key, root='')",
        "Reads an attribute, several of them, or all below a directory.",
        |args, context| {
            let root = args.optional_text("root").unwrap_or_default();
            let joined = |key: &str| Path::new(&root).join(key).to_string_lossy().into_owned();
            Ok(match args.get("key") {
                Some(Value::List(keys)) => keys
                    .iter()
                    .map(python::str)
                    .map(|key| (read(context.system, &joined(&key), 0), key))
                    .filter(|(value, _)| !is_refused(value))
                    .map(|(value, key)| (key, value))
                    .collect::<Map>()
                    .into(),
                _ => read(context.system, &joined(&args.text("key")?), 0),
            })
        },
    );
    add(
        "sysfs.target",
        "target(key, full=True)",
        "Returns the path where an attribute or a directory is, or its last part.",
        |args, context| {
            let Some(path) = target(context.system, &args.text("key")?) else {
                return Ok(false.into());
            };
            Ok(if args.is_true("full") {
                path.to_string_lossy().into_owned()
            } else {
                let name = path.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
            .into())
        },
    );
    add(
        "sysfs.interfaces",
        "interfaces(root)",
        "Lists the attributes below a directory: r can be read, w written, rw both.",
        |args, context| {
            let machine = context.system;
            let root = target(machine, &args.text("root")?).filter(|root| machine.is_dir(root));
            Ok(match root {
                Some(root) => Interfaces::below(machine, &root).into_map().into(),
                None => false.into(),
            })
        },
    );
}

/// Where a key is: below `/sys`, links followed. Nothing when it is not there.
fn target(machine: &dyn Observe, key: &str) -> Option<PathBuf> {
    let path = if key.starts_with("/sys") {
        PathBuf::from(key)
    } else {
        Path::new("/sys").join(key)
    };
    let path = machine.canonicalize(&path).ok()?;
    machine.exists(&path).then_some(path)
}

/// The value of an attribute, the path of a directory, false when there is neither.
pub(crate) fn attribute(machine: &dyn Observe, key: &str) -> Value {
    match target(machine, key) {
        Some(path) if machine.is_dir(&path) => path.to_string_lossy().into_owned().into(),
        Some(path) => value(machine, &path),
        None => false.into(),
    }
}

/// Whether a key is there and is no attribute.
pub(crate) fn is_directory(machine: &dyn Observe, key: &str) -> bool {
    target(machine, key).is_some_and(|path| machine.is_dir(&path))
}

/// Whether it is false, which to a comparison zero is too.
pub(crate) fn is_refused(value: &Value) -> bool {
    matches!(value, Value::Bool(false))
}

/// What a file says: a number if it is one, false if it cannot be read.
fn value(machine: &dyn Observe, path: &Path) -> Value {
    let Ok(Some(bytes)) = machine.read(path) else {
        return false.into();
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return false.into();
    };
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    let numeric = text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if numeric => number.into(),
        _ => text.into(),
    }
}

fn read(machine: &dyn Observe, key: &str, depth: usize) -> Value {
    let Some(path) = target(machine, key) else {
        return false.into();
    };
    if !machine.is_dir(&path) {
        return value(machine, &path);
    }
    let mut all = Map::new();
    if depth >= DEEPEST {
        return all.into();
    }
    let found = Interfaces::below(machine, &path);
    for name in found.readable.iter().chain(&found.both) {
        let one = value(machine, &path.join(name));
        if !is_refused(&one) {
            put(&mut all, name, one);
        }
    }
    all.into()
}

/// Puts a value where its path leads in maps within maps.
fn put(all: &mut Map, name: &str, value: Value) {
    let Some((directory, rest)) = name.split_once('/') else {
        all.insert(name, value);
        return;
    };
    if all
        .get(directory)
        .is_none_or(|inner| inner.as_map().is_none())
    {
        all.insert(directory, Map::new());
    }
    if let Some(inner) = all.get_mut(directory).and_then(Value::as_map_mut) {
        put(inner, rest, value);
    }
}

/// Sets an attribute; whether that was possible. What is below `/sys` cannot be replaced
/// as a file can, so a program writes to it.
pub(crate) fn write(context: &Context<'_>, key: &str, value: &Value) -> bool {
    let machine = context.system;
    let Some(path) = target(machine, key).filter(|path| !machine.is_dir(path)) else {
        return false;
    };
    let command = Command::new("tee")
        .arg(path.as_os_str())
        .stdin(format!("{}\n", python::str(value)));
    machine
        .run(&command)
        .is_ok_and(|output| output.is_success())
}

/// The attributes below a directory by what one may do with them, as paths from there.
#[derive(Default)]
struct Interfaces {
    readable: Vec<String>,
    writable: Vec<String>,
    both: Vec<String>,
}

impl Interfaces {
    fn below(machine: &dyn Observe, root: &Path) -> Self {
        let mut found = Self::default();
        found.gather(machine, root, "", 0);
        found
    }

    fn gather(&mut self, machine: &dyn Observe, directory: &Path, prefix: &str, depth: usize) {
        if depth >= DEEPEST {
            return;
        }
        let mut names: Vec<String> = machine
            .list(directory)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect();
        names.sort_unstable();
        let mut directories = Vec::new();
        for name in names {
            let path = directory.join(&name);
            // Links lead to other places of the tree.
            let Ok(Some(facts)) = machine.link_metadata(&path) else {
                continue;
            };
            if facts.is_dir() {
                directories.push(name);
            } else if facts.is_file() {
                let list = match (facts.mode & 0o400 != 0, facts.mode & 0o200 != 0) {
                    (true, true) => &mut self.both,
                    (true, false) => &mut self.readable,
                    (false, true) => &mut self.writable,
                    (false, false) => continue,
                };
                list.push(format!("{prefix}{name}"));
            }
        }
        for name in directories {
            let prefix = format!("{prefix}{name}/");
            self.gather(machine, &directory.join(&name), &prefix, depth + 1);
        }
    }

    fn into_map(self) -> Map {
        let list = |names: Vec<String>| -> Value { names.into_iter().collect() };
        Map::from([
            ("r", list(self.readable)),
            ("w", list(self.writable)),
            ("rw", list(self.both)),
        ])
    }
}
