//! Filters that read and write data formats.

use crate::jinja::filters::{Builtin, html_safe, pformat};
use crate::jinja::value::{Args, Str, Value};
use crate::jinja::{Error, Kind, Result, Runtime, access, json};

use super::{check_undefined, data_error, jmespath, load_json, load_yaml, xml};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "json" => |rt, args| {
            let names = ["value", "sort_keys", "indent"];
            let [value, sort_keys, indent] = args.bind("format_json", names, 1)?;
            let value = value.unwrap_or_default();
            check_undefined(rt, &value)?;
            let style = json::Style {
                sort_keys: sort_keys.map_or(Ok(true), |value| value.is_true())?,
                indent: indent.filter(|indent| !indent.is_none()),
                ascii: false,
                ..json::Style::default()
            };
            json::dump(rt, &value, &style).map(markup)
        },
        "tojson" => tojson,
        "yaml" => |rt, args| {
            let [value, flow] = args.bind("format_yaml", ["value", "flow_style"], 1)?;
            let flow = flow.map_or(Ok(true), |value| value.is_true())?;
            let value = value.unwrap_or_default();
            check_undefined(rt, &value)?;
            dump_yaml(rt, &value, flow).map(markup)
        },
        "python" => |rt, args| {
            let [value] = args.bind("format_python", ["value"], 1)?;
            let value = value.unwrap_or_default();
            check_undefined(rt, &value)?;
            let text = pformat(rt, &value)?;
            Ok(markup(
                text.trim_matches(crate::jinja::lexer::is_space).to_owned(),
            ))
        },
        "xml" => |rt, args| {
            let [value] = args.bind("format_xml", ["value"], 1)?;
            let value = value.unwrap_or_default();
            check_undefined(rt, &value)?;
            xml::format(rt, &value).map(markup)
        },
        "load_yaml" => |rt, args| {
            let [value] = args.bind("load_yaml", ["value"], 1)?;
            match loadable(rt, value)? {
                // PyYAML wants a plain string, and Salt's serialisers give another.
                Value::Str(text) if !text.is_markup() => load_yaml(rt, &text),
                Value::Bytes(bytes) => load_yaml(rt, &String::from_utf8_lossy(&bytes)),
                _ => Err(Error::type_error("a string or stream input is required")),
            }
        },
        "load_json" => |rt, args| {
            let [value] = args.bind("load_json", ["value"], 1)?;
            match loadable(rt, value)? {
                Value::Str(text) => load_json(rt, &text),
                other => Err(Error::new(
                    Kind::Runtime,
                    format!("Unable to load json from {}", other.str()?),
                )),
            }
        },
        "load_text" => |rt, args| {
            let [value] = args.bind("load_text", ["value"], 1)?;
            loadable(rt, value)
        },
        "dict_to_sls_yaml_params" => |rt, args| {
            let names = ["value", "flow_style"];
            let [value, flow] = args.bind("dict_to_sls_yaml_params", names, 1)?;
            let flow = flow.map_or(Ok(false), |value| value.is_true())?;
            let value = value.unwrap_or_default();
            check_undefined(rt, &value)?;
            let Some(entries) = access::mapping_entries(rt, &value)? else {
                return Err(access::no_attribute(&value, "items"));
            };
            let mut params = Vec::new();
            for entry in entries {
                params.push(Value::Dict(access::dict_of(vec![entry])?));
            }
            dump_yaml(rt, &Value::list(params), flow).map(markup)
        },
        "json_query" => |rt, args| {
            let [data, expression] = args.bind("json_query", ["data", "expr"], 2)?;
            let data = data.unwrap_or_default();
            if let Value::Undefined(undefined) = &data {
                return Err(undefined.error());
            }
            let expression = expression.unwrap_or_default().str()?;
            jmespath::search(rt, &expression, &data)
        },
        _ => return None,
    })
}

/// Salt marks what it serialised as safe for HTML.
fn markup(text: String) -> Value {
    Value::Str(Str::markup(text))
}

fn loadable(rt: &Runtime<'_>, value: Option<Value>) -> Result<Value> {
    let value = value.unwrap_or_default();
    check_undefined(rt, &value)?;
    Ok(value)
}

fn tojson(rt: &Runtime<'_>, mut args: Args) -> Result<Value> {
    let at = args
        .named
        .iter()
        .position(|(name, _)| &**name == "sort_keys");
    let sort_keys = match at {
        Some(at) => args.named.remove(at).1.is_true()?,
        None => false,
    };
    let [value, indent] = args.bind("tojson", ["val", "indent"], 1)?;
    let value = value.unwrap_or_default();
    check_undefined(rt, &value)?;
    let style = json::Style {
        sort_keys,
        indent: indent.filter(|indent| !indent.is_none()),
        ascii: true,
        ..json::Style::default()
    };
    let text = json::dump(rt, &value, &style)?;
    // DEL is the one ASCII character that is escaped too.
    Ok(Value::text(html_safe(&text).replace('\u{7f}', "\\u007f")))
}

/// YAML as the filter gives it: without the end of the document.
fn dump_yaml(rt: &Runtime<'_>, value: &Value, flow: bool) -> Result<String> {
    let text = rt
        .environment()
        .host()
        .dump_yaml(value, flow)
        .map_err(data_error)?;
    let text = text.trim_matches(crate::jinja::lexer::is_space);
    let text = text.strip_suffix("\n...").unwrap_or(text);
    rt.charge_bytes(text.len())?;
    Ok(text.trim_matches(crate::jinja::lexer::is_space).to_owned())
}
