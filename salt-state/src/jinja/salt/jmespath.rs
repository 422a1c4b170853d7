//! JMESPath (jmespath.org), for the `json_query` filter.

use crate::jinja::value::{Dict, Value, compare, equal, repr_str};
use crate::jinja::{Error, Kind, Result, Runtime, access, json};

mod functions;
mod parse;

/// An expression.
#[derive(Clone, Debug)]
enum Node {
    Current,
    Field(String),
    Index(i64),
    Slice([Option<i64>; 3]),
    Literal(Value),
    /// The second applied to the result of the first.
    Sub(Box<Self>, Box<Self>),
    /// The second applied to each item of the first.
    Project(Box<Self>, Box<Self>),
    /// The second applied to each value of the first.
    Values(Box<Self>, Box<Self>),
    /// The items of the first, those of lists among them in their place.
    Flatten(Box<Self>),
    /// The items of the first that pass the second, the third applied to each.
    Filter(Box<Self>, Box<Self>, Box<Self>),
    Compare(&'static str, Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    Call(String, Vec<Self>),
    /// `&expression`.
    Reference(Box<Self>),
}

/// Evaluates an expression over data.
///
/// # Errors
/// The expression does not parse, or a function is called wrongly.
pub(super) fn search(rt: &Runtime<'_>, expression: &str, data: &Value) -> Result<Value> {
    rt.charge(expression.len())?;
    let node = parse::parse(rt, expression)?;
    eval(rt, &node, data)
}

fn error(message: impl Into<String>) -> Error {
    Error::new(Kind::Host, message)
}

fn items(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::List(list) => Some(list.to_vec()),
        Value::Tuple(items) => Some(items.to_vec()),
        _ => None,
    }
}

/// JMESPath's truth: empty text and containers, false and null are false.
fn is_true(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(false) => false,
        Value::Str(text) => !text.is_empty(),
        Value::List(list) => !list.is_empty(),
        Value::Tuple(items) => !items.is_empty(),
        Value::Dict(dict) => !dict.is_empty(),
        _ => true,
    }
}

fn project(rt: &Runtime<'_>, items: Vec<Value>, each: &Node) -> Result<Value> {
    let mut kept = Vec::new();
    for item in items {
        let value = eval(rt, each, &item)?;
        if !value.is_none() {
            kept.push(value);
        }
    }
    Ok(Value::list(kept))
}

fn eval(rt: &Runtime<'_>, node: &Node, data: &Value) -> Result<Value> {
    rt.check_stack()?;
    rt.charge(1)?;
    Ok(match node {
        Node::Current => data.clone(),
        Node::Field(name) => access::lookup(rt, data, &Value::text(name))?.unwrap_or_default(),
        Node::Index(at) => match data {
            Value::List(_) | Value::Tuple(_) => {
                access::lookup(rt, data, &Value::Int(*at))?.unwrap_or_default()
            }
            _ => Value::None,
        },
        Node::Slice([start, stop, step]) => match data {
            Value::List(_) | Value::Tuple(_) => {
                let part = |part: &Option<i64>| part.map_or(Value::None, Value::Int);
                access::slice(rt, data, &part(start), &part(stop), &part(step))?
            }
            _ => Value::None,
        },
        Node::Literal(value) => value.clone(),
        Node::Sub(left, right) => {
            let value = eval(rt, left, data)?;
            if value.is_none() && !matches!(**right, Node::Call(..)) {
                return Ok(Value::None);
            }
            eval(rt, right, &value)?
        }
        Node::Project(left, each) => match items(&eval(rt, left, data)?) {
            Some(items) => project(rt, items, each)?,
            None => Value::None,
        },
        Node::Values(left, each) => {
            let value = eval(rt, left, data)?;
            match access::mapping_entries(rt, &value)? {
                Some(entries) => {
                    let values = entries.into_iter().map(|(_, value)| value);
                    project(rt, values.collect(), each)?
                }
                None => Value::None,
            }
        }
        Node::Flatten(left) => match items(&eval(rt, left, data)?) {
            Some(all) => {
                let mut flat = Vec::new();
                for item in all {
                    match items(&item) {
                        Some(inner) => flat.extend(inner),
                        None => flat.push(item),
                    }
                }
                Value::list(flat)
            }
            None => Value::None,
        },
        Node::Filter(left, test, each) => match items(&eval(rt, left, data)?) {
            Some(all) => {
                let mut kept = Vec::new();
                for item in all {
                    if is_true(&eval(rt, test, &item)?) {
                        kept.push(item);
                    }
                }
                project(rt, kept, each)?
            }
            None => Value::None,
        },
        Node::Compare(op, left, right) => {
            let (left, right) = (eval(rt, left, data)?, eval(rt, right, data)?);
            match *op {
                "==" => Value::Bool(same(&left, &right)?),
                "!=" => Value::Bool(!same(&left, &right)?),
                op if is_number(&left) && is_number(&right) => {
                    Value::Bool(compare(op, &left, &right)?)
                }
                _ => Value::None,
            }
        }
        Node::And(left, right) => {
            let value = eval(rt, left, data)?;
            if is_true(&value) {
                eval(rt, right, data)?
            } else {
                value
            }
        }
        Node::Or(left, right) => {
            let value = eval(rt, left, data)?;
            if is_true(&value) {
                value
            } else {
                eval(rt, right, data)?
            }
        }
        Node::Not(inner) => Value::Bool(!is_true(&eval(rt, inner, data)?)),
        Node::List(_) | Node::Map(_) if data.is_none() => Value::None,
        Node::List(nodes) => {
            let values = nodes.iter().map(|node| eval(rt, node, data));
            Value::list(values.collect::<Result<_>>()?)
        }
        Node::Map(nodes) => {
            let dict = Dict::new();
            for (name, node) in nodes {
                dict.set(name, eval(rt, node, data)?);
            }
            Value::Dict(dict)
        }
        Node::Call(name, args) => functions::call(rt, name, args, data)?,
        Node::Reference(_) => Value::None,
    })
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Big(_) | Value::Float(_))
}

/// Equality without Python's `1 == True`.
fn same(a: &Value, b: &Value) -> Result<bool> {
    let booleans = matches!(a, Value::Bool(_)) == matches!(b, Value::Bool(_));
    Ok(booleans && equal(a, b)?)
}

fn json_text(rt: &Runtime<'_>, value: &Value) -> Result<String> {
    let style = json::Style {
        compact: true,
        ascii: true,
        ..json::Style::default()
    };
    json::dump(rt, value, &style)
}

fn quoted(name: &str) -> String {
    repr_str(name)
}
