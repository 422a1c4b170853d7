//! `file.serialize`.

use salt_proto::msgpack::{Dialect, encode};
use salt_proto::{Map, Value};

use super::{Answer, expanded, managed};
use crate::args::Args;
use crate::data;
use crate::files::configparser;
use crate::files::encoding::utf8;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::yaml::{self, DumpOptions};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.serialize",
        "serialize(name, dataset=None, dataset_pillar=None, user=None, group=None, mode=None, backup='', makedirs=False, show_changes=True, create=True, merge_if_exists=False, encoding=None, encoding_errors='strict', serializer=None, serializer_opts=None, deserializer_opts=None, check_cmd=None, tmp_dir=None, tmp_ext='', **kwargs)",
        "Sees to a file of data, written as yaml, json, msgpack, configparser or yamlex.",
        serialize,
    );
}

fn failed(text: impl std::fmt::Display) -> CallError {
    CallError::exception("salt.serializers.SerializationError", text.to_string())
}

/// Options given as a list of mappings.
fn options(given: Option<&Value>) -> Map {
    let mut all = Map::new();
    for one in given.and_then(Value::as_list).unwrap_or_default() {
        if let Value::Map(one) = one {
            all.extend(one.clone());
        }
    }
    all
}

/// A writer and a reader of data by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Yamlex,
    Json,
    Msgpack,
    ConfigParser,
}

impl Format {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "yaml" => Self::Yaml,
            "yamlex" => Self::Yamlex,
            "json" => Self::Json,
            "msgpack" => Self::Msgpack,
            "configparser" => Self::ConfigParser,
            _ => return None,
        })
    }

    fn write(self, data: &Value, options: &Map) -> Result<Vec<u8>, CallError> {
        Ok(match self {
            Self::Yaml | Self::Yamlex => {
                let mut style = DumpOptions {
                    flow_style: if self == Self::Yaml {
                        Some(false)
                    } else {
                        None
                    },
                    sort_keys: true,
                    allow_unicode: false,
                    ..DumpOptions::default()
                };
                let mut start = "";
                for (key, value) in options {
                    let number = value.as_int().and_then(|n| usize::try_from(n).ok());
                    match python::str(key).as_str() {
                        "default_flow_style" => {
                            style.flow_style = (!value.is_null()).then(|| value.is_true());
                        }
                        "sort_keys" => style.sort_keys = value.is_true(),
                        "allow_unicode" => style.allow_unicode = value.is_true(),
                        "indent" => style.indent = number.unwrap_or(style.indent),
                        "width" => style.width = number.unwrap_or(style.width),
                        "explicit_start" if value.is_true() => {
                            let flows = style.flow_style == Some(true);
                            let scalar = !matches!(data, Value::Map(_) | Value::List(_));
                            start = if flows || scalar { "--- " } else { "---\n" };
                        }
                        "encoding" | "line_break" | "explicit_start" | "explicit_end"
                        | "default_style" | "canonical" | "Dumper" => {}
                        other => {
                            return Err(failed(format!(
                                "dump_all() got an unexpected keyword argument '{other}'"
                            )));
                        }
                    }
                }
                let text = yaml::dump(data, &style);
                let text = text.trim_end_matches('\n');
                let text = text.strip_suffix("\n...").unwrap_or(text);
                format!("{start}{text}").into_bytes()
            }
            Self::Json => {
                let mut style = JsonStyle {
                    indent: Some(2),
                    sort: true,
                    ascii: false,
                };
                for (key, value) in options {
                    match python::str(key).as_str() {
                        "indent" => {
                            style.indent = value.as_int().and_then(|n| usize::try_from(n).ok());
                        }
                        "sort_keys" => style.sort = value.is_true(),
                        "ensure_ascii" => style.ascii = value.is_true(),
                        "separators" | "default" | "allow_nan" | "skipkeys" | "check_circular" => {}
                        other => {
                            return Err(failed(format!(
                                "JSONEncoder.__init__() got an unexpected keyword argument '{other}'"
                            )));
                        }
                    }
                }
                let mut out = String::new();
                style.write(&mut out, data, 0);
                out.into_bytes()
            }
            Self::Msgpack => {
                let mut out = Vec::new();
                encode(data, Dialect::Bin, &mut out);
                out
            }
            Self::ConfigParser => configparser::write(data, options)
                .map_err(failed)?
                .into_bytes(),
        })
    }

    fn read(self, text: &str, options: &Map, place: &str) -> Result<Value, String> {
        if self == Self::Json
            && let Some(key) = options.keys().next()
        {
            return Err(format!(
                "JSONDecoder.__init__() got an unexpected keyword argument '{}'",
                python::str(key)
            ));
        }
        match self {
            Self::Yaml | Self::Yamlex => yaml::load(text).map_err(|error| error.to_string()),
            Self::Json => crate::render::json::parse(text, 0)
                .map(|node| node.to_value())
                .map_err(|error| error.message),
            Self::Msgpack => Err("msgpack data cannot be merged".to_owned()),
            Self::ConfigParser => configparser::read(text, options, place),
        }
    }
}

struct JsonStyle {
    indent: Option<usize>,
    sort: bool,
    ascii: bool,
}

impl JsonStyle {
    fn line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn scalar(&self, out: &mut String, value: &Value) {
        let text = crate::render::json::dump(value);
        if !self.ascii {
            out.push_str(&text);
            return;
        }
        for c in text.chars() {
            if c.is_ascii() {
                out.push(c);
                continue;
            }
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }

    fn write(&self, out: &mut String, value: &Value, depth: usize) {
        let comma = if self.indent.is_some() { "," } else { ", " };
        match value {
            Value::List(items) if !items.is_empty() => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(comma);
                    }
                    self.line(out, depth + 1);
                    self.write(out, item, depth + 1);
                }
                self.line(out, depth);
                out.push(']');
            }
            Value::Map(map) if !map.is_empty() => {
                let mut entries: Vec<(String, &Value)> = map
                    .iter()
                    .map(|(key, value)| {
                        let key = match key {
                            Value::Str(text) => text.clone(),
                            other => crate::render::json::dump(other),
                        };
                        (key, value)
                    })
                    .collect();
                if self.sort {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                out.push('{');
                for (at, (key, value)) in entries.into_iter().enumerate() {
                    if at > 0 {
                        out.push_str(comma);
                    }
                    self.line(out, depth + 1);
                    self.scalar(out, &key.into());
                    out.push_str(": ");
                    self.write(out, value, depth + 1);
                }
                self.line(out, depth);
                out.push('}');
            }
            other => self.scalar(out, other),
        }
    }
}

/// What differs between two mappings, by key and as deep as both are mappings.
fn differences(old: &Map, new: &Map) -> Map {
    let absent = || Value::from("<_null_>");
    let mut all = Map::new();
    let mut keys: Vec<&Value> = old.keys().collect();
    keys.extend(new.keys().filter(|key| old.get_value(key).is_none()));
    for key in keys {
        match (old.get_value(key), new.get_value(key)) {
            (Some(Value::Map(old)), Some(Value::Map(new))) => {
                let inner = differences(old, new);
                if !inner.is_empty() {
                    all.insert(key.clone(), inner);
                }
            }
            (old, new) if old != new => {
                let part = |value: Option<&Value>| value.cloned().unwrap_or_else(absent);
                all.insert(
                    key.clone(),
                    Map::from([("new", part(new)), ("old", part(old))]),
                );
            }
            _ => {}
        }
    }
    all
}

fn serialize(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.serialize"));
    }
    let path = std::path::Path::new(&name);
    if !args.is_true("create") && !check.system.exists(path) {
        return Ok(Plan::unchanged(format!(
            "File {name} is not present and is not set for creation"
        )));
    }
    let formatter = args
        .keywords()
        .get("formatter")
        .filter(|name| name.is_true());
    let serializer = args.given("serializer").filter(|name| name.is_true());
    let format = match (formatter, serializer) {
        (Some(_), Some(_)) => {
            return Ok(Plan::fail(
                "Only one of serializer and formatter are allowed",
            ));
        }
        (Some(name), None) | (None, Some(name)) => python::str(name).to_lowercase(),
        (None, None) => "yaml".to_owned(),
    };
    let (dataset, from_pillar) = (args.given("dataset"), args.given("dataset_pillar"));
    let mut data = match (dataset, from_pillar) {
        (Some(_), Some(_)) => {
            return Ok(Plan::fail(
                "Only one of 'dataset' and 'dataset_pillar' is permitted",
            ));
        }
        (None, None) => {
            return Ok(Plan::fail(
                "Neither 'dataset' nor 'dataset_pillar' was defined",
            ));
        }
        (Some(data), None) => data.clone(),
        (None, Some(key)) => {
            let key = python::str(key);
            let found = data::traverse_map(&check.minion.pillar, &key, ":");
            found.cloned().unwrap_or_else(|| "".into())
        }
    };
    let Some(kind) = Format::of(&format) else {
        return Ok(Plan::fail(format!(
            "The {format} serializer could not be found. It either does not exist or its prerequisites are not installed."
        )));
    };
    let mut merged = None;
    if args.is_true("merge_if_exists") {
        let old = check
            .system
            .read(path)
            .map_err(|error| crate::files::source::os_error(error, path))?;
        if let Some(old) = old {
            let read = utf8(&old)
                .and_then(|text| kind.read(text, &options(args.given("deserializer_opts")), &name));
            let old = match read {
                Ok(old) => old,
                Err(text) => {
                    return Ok(Plan::fail(format!(
                        "Failed to deserialize existing data: {text}"
                    )));
                }
            };
            if let (Value::Map(old), Value::Map(new)) = (&old, &data) {
                let mut whole = old.clone();
                data::update(&mut whole, new, false);
                if whole == *old {
                    return Ok(Plan::unchanged(format!(
                        "The file {name} is in the correct state"
                    )));
                }
                merged = Some(differences(old, &whole));
                data = whole.into();
            }
        }
    }
    let mut content = kind.write(&data, &options(args.given("serializer_opts")))?;
    if kind != Format::Msgpack {
        content.push(b'\n');
    }
    let failing_keeps = args.given("check_cmd").is_some();
    let mut plan = managed::file(&name, Some(content), managed::options(args, check), check)?;
    // The difference of the data says more than that of its writing.
    if let Some(diff) = merged
        && args.is_true("show_changes")
    {
        for changes in [Some(&mut plan.changes), plan.test_changes.as_mut()]
            .into_iter()
            .flatten()
        {
            if changes.contains_key("diff") {
                changes.insert("diff", diff.clone());
            }
        }
    }
    if failing_keeps && let Some(apply) = plan.apply.take() {
        let changes = plan.changes.clone();
        plan.apply = Some(Box::new(move |context| {
            let done = apply(context)?;
            Ok(keep_changes(done, &changes))
        }));
    }
    if args.given("deserializer_opts").is_some() && !args.is_true("merge_if_exists") {
        plan = plan.warning(
            "The 'deserializer_opts' option is ignored unless merge_if_exists is set to True.",
        );
    }
    if check.is_test() && plan.result.is_none() {
        plan.comment = format!("Dataset will be serialized and stored into {name}").into();
    }
    Ok(plan)
}

/// A refusal of `check_cmd` shows what would have changed.
fn keep_changes(done: Done, changes: &Changes) -> Done {
    if done.result == Some(Some(false)) {
        done.changes(changes.clone())
    } else {
        done
    }
}
