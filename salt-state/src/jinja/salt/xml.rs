//! The `xml` filter.

use crate::jinja::value::Value;
use crate::jinja::{Error, Exception, Kind, Result, Runtime, access, checks};

/// An element being built.
struct Element {
    tag: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Self>,
}

/// XML of nested dicts: dicts and lists are elements, other values attributes.
pub(super) fn format(rt: &Runtime<'_>, value: &Value) -> Result<String> {
    if !checks::is_mapping(value) && !matches!(value, Value::List(_) | Value::Tuple(_)) {
        return Err(Error::new(
            Kind::Runtime,
            "Value is not a dict or list. Cannot render as XML",
        ));
    }
    // Each top-level key makes a document; the last one is what is shown.
    let mut root = None;
    if let Some(entries) = access::mapping_entries(rt, value)? {
        for (key, value) in entries {
            root = top(rt, &key, &value)?;
        }
    }
    if let Value::List(_) | Value::Tuple(_) = value {
        // Salt takes the first item of each for a pair.
        return Err(not_pairs(rt, value)?);
    }
    let Some(root) = root else {
        return Err(Error::python(
            Exception::AttributeError,
            "'NoneType' object has no attribute 'iter'",
        ));
    };
    let mut out = String::from("<?xml version=\"1.0\" ?>\n");
    write(&mut out, &root, 0);
    rt.charge_bytes(out.len())?;
    Ok(out)
}

/// Python's error for a list whose first item is taken apart into two.
fn not_pairs(rt: &Runtime<'_>, list: &Value) -> Result<Error> {
    let Some(first) = list.items(rt)?.into_iter().next() else {
        let message = format!("{} index out of range", list.type_name());
        return Ok(Error::python(Exception::IndexError, message));
    };
    let Ok(parts) = first.items(rt) else {
        return Ok(Error::python(
            Exception::AttributeError,
            "'NoneType' object has no attribute 'iter'",
        ));
    };
    Ok(match parts.len() {
        n if n < 2 => {
            Error::value_error(format!("not enough values to unpack (expected 2, got {n})"))
        }
        2 => Error::python(
            Exception::AttributeError,
            "'NoneType' object has no attribute 'iter'",
        ),
        _ => Error::value_error("too many values to unpack (expected 2)"),
    })
}

/// The name of an element or attribute, which has to be text.
fn name(key: &Value) -> Result<String> {
    if let Value::Str(text) = key {
        return Ok((**text).to_owned());
    }
    Err(Error::type_error(format!(
        "cannot serialize {} (type {})",
        key.repr()?,
        key.type_name()
    )))
}

fn element(tag: &Value) -> Result<Element> {
    Ok(Element {
        tag: name(tag)?,
        attributes: Vec::new(),
        text: String::new(),
        children: Vec::new(),
    })
}

fn top(rt: &Runtime<'_>, key: &Value, value: &Value) -> Result<Option<Element>> {
    let mut root = element(key)?;
    if matches!(value, Value::List(_) | Value::Tuple(_)) {
        return Ok(None);
    }
    if checks::is_mapping(value) {
        fill(rt, &mut root, value)?;
    } else {
        root.text = value.str()?;
    }
    Ok(Some(root))
}

fn fill(rt: &Runtime<'_>, parent: &mut Element, value: &Value) -> Result<()> {
    rt.check_stack()?;
    for (key, value) in access::mapping_entries(rt, value)?.unwrap_or_default() {
        rt.charge(1)?;
        if checks::is_mapping(&value) {
            let mut child = element(&key)?;
            fill(rt, &mut child, &value)?;
            parent.children.push(child);
        } else if matches!(value, Value::List(_) | Value::Tuple(_)) {
            for item in value.items(rt)? {
                let mut child = element(&key)?;
                if checks::is_mapping(&item) {
                    fill(rt, &mut child, &item)?;
                } else {
                    child.text = item.str()?;
                }
                parent.children.push(child);
            }
        } else {
            parent.attributes.push((name(&key)?, value.str()?));
        }
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn write(out: &mut String, element: &Element, depth: usize) {
    let indent = " ".repeat(depth);
    *out += &format!("{indent}<{}", element.tag);
    for (name, value) in &element.attributes {
        *out += &format!(" {name}=\"{}\"", escape(value).replace('"', "&quot;"));
    }
    if element.children.is_empty() && element.text.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push('>');
    if element.children.is_empty() {
        *out += &escape(&element.text);
    } else {
        out.push('\n');
        for child in &element.children {
            write(out, child, depth + 1);
        }
        out.push_str(&indent);
    }
    *out += &format!("</{}>\n", element.tag);
}
