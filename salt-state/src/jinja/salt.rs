//! What Salt adds to Jinja: filters, tests, globals, and how values print.
//!
//! Everything here is as Salt 3008.3 does it, observed by running it.

use super::builtins::{Class, make_dict};
use super::filters::Builtin;
use super::value::{DictClass, Str, Value, repr_str};
use super::{Error, Kind, Result, Runtime, UndefinedKind, json};

mod combine;
mod data;
mod dicts;
mod hash;
mod jmespath;
mod network;
pub(crate) mod random;
pub(crate) mod regex;
mod sequence;
mod text;
mod time;
mod xml;

pub(crate) use text::yaml_dquote;

/// Salt's filter of that name.
pub(crate) fn filter(name: &str) -> Option<Builtin> {
    data::find(name)
        .or_else(|| text::find(name))
        .or_else(|| regex::find(name))
        .or_else(|| sequence::find(name))
        .or_else(|| dicts::find(name))
        .or_else(|| hash::find(name))
        .or_else(|| network::find(name))
        .or_else(|| combine::find(name))
        .or_else(|| random::find(name))
        .or_else(|| time::find(name))
        .or_else(|| system(name))
}

/// Filters that need the machine.
fn system(name: &str) -> Option<Builtin> {
    macro_rules! ask {
        ($($name:literal)*) => {
            match name {
                $($name => Some(|rt, args| rt.environment().host().system_filter($name, args)),)*
                _ => None,
            }
        };
    }
    ask!(
        "which" "list_files" "file_hashsum" "is_empty" "is_text_file" "is_bin_file" "get_uid"
        "http_query" "dns_check"
    )
}

/// Salt's test of that name.
pub(crate) fn test(name: &str) -> Option<Builtin> {
    Some(match name {
        "match" => regex::test_match,
        "equalto" => |_, args| {
            let [value, other] = args.bind("test_equalto", ["value", "other"], 2)?;
            let same = super::value::equal(&value.unwrap_or_default(), &other.unwrap_or_default());
            same.map(Value::Bool)
        },
        "list" => |_, args| {
            let [value] = args.bind("is_list", ["value"], 1)?;
            Ok(Value::Bool(matches!(value, Some(Value::List(_)))))
        },
        _ => return None,
    })
}

/// Salt's global of that name.
pub(crate) fn global(name: &str) -> Option<Value> {
    let (repr, call): (_, Builtin) = match name {
        "odict" => ("<class 'collections.OrderedDict'>", |rt, args| {
            make_dict(rt, args, DictClass::Ordered)
        }),
        "raise" => ("<function jinja_raise at 0x7f0000000000>", |_, args| {
            let [message] = args.bind("jinja_raise", ["msg"], 1)?;
            Err(Error::new(Kind::Raised, message.unwrap_or_default().str()?))
        }),
        "show_full_context" => (
            "<function show_full_context at 0x7f0000000000>",
            |rt, args| {
                let [] = args.bind_after(1, "show_full_context", [], 0)?;
                let vars = rt.variables().into_iter();
                let entries = vars.map(|(name, value)| (Str::from(name), value));
                Ok(Value::Dict(entries.collect()))
            },
        ),
        _ => return None,
    };
    Some(Value::object(Class { repr, call }))
}

/// A value as Salt prints it: dicts so that YAML reads them back.
///
/// # Errors
/// A strict undefined in a dict; nesting too deep.
pub(crate) fn printed(value: &Value) -> Result<String> {
    match value {
        Value::Dict(_) | Value::List(_) | Value::Tuple(_) => {
            let mut out = String::new();
            print(&mut out, value, true, &mut Vec::new())?;
            Ok(out)
        }
        Value::Object(object) if object.is_mapping() => object.str(),
        other => other.str(),
    }
}

fn print(out: &mut String, value: &Value, by_str: bool, open: &mut Vec<usize>) -> Result<()> {
    super::value::check_size(out)?;
    if open.len() > super::value::MAX_NESTING as usize {
        return Err(Error::python(
            super::Exception::RecursionError,
            "maximum recursion depth exceeded",
        ));
    }
    match value {
        Value::List(list) => {
            if open.contains(&list.address()) {
                return Err(Error::python(
                    super::Exception::RecursionError,
                    "maximum recursion depth exceeded",
                ));
            }
            open.push(list.address());
            items(out, &list.to_vec(), ("[", "]"), open)?;
            open.pop();
        }
        Value::Tuple(tuple) if tuple.is_named() => {
            // Salt makes a tuple of the same class, which takes other arguments.
            return Err(Error::type_error(
                "_GroupTuple.__new__() missing 1 required positional argument: 'list'",
            ));
        }
        Value::Tuple(tuple) => {
            open.push(0);
            let end = if tuple.len() == 1 { ",)" } else { ")" };
            items(out, tuple, ("(", end), open)?;
            open.pop();
        }
        Value::Dict(dict) => {
            if open.contains(&dict.address()) {
                return Err(Error::python(
                    super::Exception::RecursionError,
                    "maximum recursion depth exceeded",
                ));
            }
            open.push(dict.address());
            out.push('{');
            for (at, (key, value)) in dict.entries().into_iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                *out += &key.repr()?;
                out.push_str(": ");
                match &value {
                    // YAML's dumper cannot represent Markup, and Salt lets it.
                    Value::Str(text) if text.is_markup() && text.contains(['\n', '\r', '\t']) => {
                        out.push_str("! \"NULL\"");
                    }
                    Value::Str(text) if text.contains(['\n', '\r', '\t']) => {
                        *out += &yaml_dquote(text, true);
                    }
                    Value::Str(text) if text.is_markup() => *out += &value.repr()?,
                    Value::Str(text) => *out += &repr_str(text),
                    // What is no text prints as `str` does, not as `repr`.
                    other => print(out, other, true, open)?,
                }
            }
            out.push('}');
            open.pop();
        }
        other if by_str => *out += &other.str()?,
        other => *out += &other.repr()?,
    }
    Ok(())
}

fn items(
    out: &mut String,
    items: &[Value],
    brackets: (&str, &str),
    open: &mut Vec<usize>,
) -> Result<()> {
    out.push_str(brackets.0);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        print(out, item, false, open)?;
    }
    out.push_str(brackets.1);
    Ok(())
}

/// Refuses a value that holds strict undefined ones, naming all of them.
///
/// # Errors
/// All their messages, one a line.
pub(crate) fn check_undefined(rt: &Runtime<'_>, value: &Value) -> Result<()> {
    if rt.undefined_kind() != UndefinedKind::Strict {
        return Ok(());
    }
    let mut messages = Vec::new();
    find_undefined(rt, value, &mut messages, &mut Vec::new())?;
    if messages.is_empty() {
        Ok(())
    } else {
        Err(Error::new(Kind::Undefined, messages.join("\n")))
    }
}

fn find_undefined(
    rt: &Runtime<'_>,
    value: &Value,
    messages: &mut Vec<String>,
    open: &mut Vec<usize>,
) -> Result<()> {
    rt.check_stack()?;
    rt.charge(1)?;
    match value {
        Value::Undefined(undefined) => messages.push(undefined.message()),
        Value::List(list) if !open.contains(&list.address()) => {
            open.push(list.address());
            for item in list.to_vec() {
                find_undefined(rt, &item, messages, open)?;
            }
            open.pop();
        }
        Value::Tuple(items) => {
            for item in items.iter() {
                find_undefined(rt, item, messages, open)?;
            }
        }
        Value::Dict(dict) if !open.contains(&dict.address()) => {
            open.push(dict.address());
            for (_, item) in dict.entries() {
                find_undefined(rt, &item, messages, open)?;
            }
            open.pop();
        }
        _ => {}
    }
    Ok(())
}

/// The data of a `load_yaml` block.
///
/// # Errors
/// The parser's, in Salt's words.
pub(crate) fn load_yaml(rt: &Runtime<'_>, text: &str) -> Result<Value> {
    rt.charge_bytes(text.len())?;
    rt.environment().host().load_yaml(text).map_err(|error| {
        let message = format!("Encountered error loading yaml: {error}");
        Error::new(Kind::Runtime, message).caused_by(error)
    })
}

/// The data of a `load_json` block.
///
/// # Errors
/// The text is not JSON.
pub(crate) fn load_json(rt: &Runtime<'_>, text: &str) -> Result<Value> {
    json::load(rt, text).map_err(|error| match error.kind() {
        Kind::Limit => error,
        _ => Error::new(Kind::Runtime, format!("Unable to load json from {text}")),
    })
}

/// A host's error as a template sees it.
fn data_error(error: super::DataError) -> Error {
    Error::new(Kind::Runtime, error.message.clone()).caused_by(error)
}

/// Python's `type(x)` as messages print it: `<class 'int'>`.
fn class_of(value: &Value) -> String {
    let name = match value {
        Value::Undefined(_) => format!("jinja2.runtime.{}", value.type_name()),
        other => other.type_name().to_owned(),
    };
    format!("<class '{name}'>")
}
