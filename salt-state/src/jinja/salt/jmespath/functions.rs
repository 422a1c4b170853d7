//! JMESPath's functions.

use crate::jinja::ast::Binary;
use crate::jinja::filters::{sort_by, to_float, to_int};
use crate::jinja::value::{Value, compare};
use crate::jinja::{Error, Result, Runtime, access, ops};

use super::{Node, error, eval, is_number, items, json_text, quoted, same};

/// Calls a function with arguments that are not evaluated yet.
pub(super) fn call(rt: &Runtime<'_>, name: &str, args: &[Node], data: &Value) -> Result<Value> {
    let (least, most) = arity(name).ok_or_else(|| error(format!("Unknown function: {name}()")))?;
    if args.len() < least || args.len() > most {
        let expected = if most == usize::MAX {
            format!("at least {least}")
        } else {
            least.to_string()
        };
        return Err(error(format!(
            "Expected {expected} argument{} for function {name}(), received {}",
            if least == 1 { "" } else { "s" },
            args.len()
        )));
    }
    let mut values = Vec::with_capacity(args.len());
    let mut reference = None;
    for arg in args {
        match arg {
            Node::Reference(inner) => reference = Some(&**inner),
            arg => values.push(eval(rt, arg, data)?),
        }
    }
    let context = Call { rt, name };
    match reference {
        Some(reference) => context.with_reference(reference, &values),
        None => context.plain(&values),
    }
}

fn arity(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "abs" | "avg" | "ceil" | "floor" | "keys" | "length" | "max" | "min" | "reverse"
        | "sort" | "sum" | "to_array" | "to_number" | "to_string" | "type" | "values" => (1, 1),
        "contains" | "ends_with" | "join" | "map" | "max_by" | "min_by" | "sort_by"
        | "starts_with" => (2, 2),
        "merge" => (0, usize::MAX),
        "not_null" => (1, usize::MAX),
        _ => return None,
    })
}

struct Call<'a, 'r, 'e> {
    rt: &'r Runtime<'e>,
    name: &'a str,
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::None => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) | Value::Big(_) | Value::Float(_) => "number",
        Value::List(_) | Value::Tuple(_) => "array",
        Value::Dict(_) => "object",
        Value::Object(_) => "unknown",
        _ => "string",
    }
}

impl Call<'_, '_, '_> {
    fn wrong<T>(&self, value: &Value, expected: &[&str]) -> Result<T> {
        self.mismatch(value, expected, kind(value))
    }

    fn mismatch<T>(&self, value: &Value, expected: &[&str], received: &str) -> Result<T> {
        let expected: Vec<String> = expected.iter().map(|name| quoted(name)).collect();
        Err(error(format!(
            "In function {}(), invalid type for value: {}, expected one of: [{}], received: \"{received}\"",
            self.name,
            value.str()?,
            expected.join(", "),
        )))
    }

    fn array(&self, value: &Value) -> Result<Vec<Value>> {
        match items(value) {
            Some(items) => Ok(items),
            None => self.wrong(value, &["array"]),
        }
    }

    /// An array whose items are all of one of the kinds.
    fn array_of(&self, value: &Value, kinds: &[&str]) -> Result<Vec<Value>> {
        let names: Vec<String> = kinds.iter().map(|kind| format!("array-{kind}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Some(items) = items(value) else {
            return self.wrong(value, &names);
        };
        let Some(first) = items.first().map(kind) else {
            return Ok(items);
        };
        let allowed = if kinds.contains(&first) {
            &[first][..]
        } else {
            kinds
        };
        match items.iter().find(|item| !allowed.contains(&kind(item))) {
            // This message names Python's type.
            Some(wrong) => self.mismatch(wrong, &names, wrong.type_name()),
            None => Ok(items),
        }
    }

    fn text<'v>(&self, value: &'v Value) -> Result<&'v str> {
        match value.as_str() {
            Some(text) => Ok(text),
            None => self.wrong(value, &["string"]),
        }
    }

    fn number(&self, value: &Value) -> Result<()> {
        if is_number(value) {
            Ok(())
        } else {
            self.wrong(value, &["number"])
        }
    }

    fn extreme(
        &self,
        items: Vec<Value>,
        operator: &str,
        key: &dyn Fn(&Value) -> Result<Value>,
    ) -> Result<Value> {
        let mut best: Option<(Value, Value)> = None;
        for item in items {
            let own = key(&item)?;
            if !is_number(&own) && own.as_str().is_none() {
                return self.wrong(&own, &["number", "string"]);
            }
            let better = match &best {
                None => true,
                Some((best, _)) => compare(operator, &own, best)?,
            };
            if better {
                best = Some((own, item));
            }
        }
        Ok(best.map(|(_, item)| item).unwrap_or_default())
    }

    fn with_reference(&self, reference: &Node, values: &[Value]) -> Result<Value> {
        let rt = self.rt;
        let list = values.first().cloned().unwrap_or_default();
        let list = self.array(&list)?;
        let key = |item: &Value| eval(rt, reference, item);
        match self.name {
            "map" => {
                let mapped = list.iter().map(key);
                mapped.collect::<Result<_>>().map(Value::list)
            }
            "max_by" => self.extreme(list, ">", &key),
            "min_by" => self.extreme(list, "<", &key),
            "sort_by" => {
                if let Some(first) = list.first() {
                    let own = kind(&key(first)?);
                    if !matches!(own, "string" | "number") {
                        return self.mismatch(first, &["string", "number"], own);
                    }
                }
                let sorted = sort_by(rt, list, false, &mut |_, item| key(item))?;
                Ok(Value::list(sorted))
            }
            _ => Err(error(format!(
                "In function {}(), unexpected expression",
                self.name
            ))),
        }
    }

    fn plain(&self, values: &[Value]) -> Result<Value> {
        let rt = self.rt;
        let none = Value::None;
        let first = values.first().unwrap_or(&none);
        let second = values.get(1).unwrap_or(&none);
        Ok(match self.name {
            "abs" => {
                self.number(first)?;
                if compare("<", first, &Value::Int(0))? {
                    ops::negative(first)?
                } else {
                    first.clone()
                }
            }
            "ceil" | "floor" => {
                self.number(first)?;
                match first {
                    Value::Float(x) if self.name == "ceil" => to_int(&Value::Float(x.ceil()), 10)?,
                    Value::Float(x) => to_int(&Value::Float(x.floor()), 10)?,
                    other => other.clone(),
                }
            }
            "sum" | "avg" => {
                let list = self.array_of(first, &["number"])?;
                let mut total = Value::Int(0);
                for item in &list {
                    total = ops::binary(rt, Binary::Add, &total, item)?;
                }
                if self.name == "sum" {
                    return Ok(total);
                }
                if list.is_empty() {
                    return Ok(Value::None);
                }
                ops::binary(rt, Binary::Div, &total, &Value::from(list.len()))?
            }
            "contains" => match (items(first), first) {
                (Some(list), _) => {
                    let mut found = false;
                    for item in &list {
                        found |= same(item, second)?;
                    }
                    Value::Bool(found)
                }
                (None, Value::Str(text)) => match second.as_str() {
                    Some(part) => Value::Bool(text.contains(part)),
                    None => {
                        let name = second.type_name();
                        return Err(Error::type_error(format!(
                            "'in <string>' requires string as left operand, not {name}"
                        )));
                    }
                },
                _ => return self.wrong(first, &["array", "string"]),
            },
            "starts_with" => Value::Bool(self.text(first)?.starts_with(self.text(second)?)),
            "ends_with" => Value::Bool(self.text(first)?.ends_with(self.text(second)?)),
            "join" => {
                let glue = self.text(first)?;
                let list = self.array_of(second, &["string"])?;
                let texts = list.iter().map(|item| self.text(item));
                let text = texts.collect::<Result<Vec<_>>>()?.join(glue);
                rt.charge_bytes(text.len())?;
                Value::text(text)
            }
            "keys" | "values" => {
                let Some(entries) = access::mapping_entries(rt, first)? else {
                    return self.wrong(first, &["object"]);
                };
                let keys = self.name == "keys";
                let part = |(key, value)| if keys { key } else { value };
                Value::list(entries.into_iter().map(part).collect())
            }
            "length" => match first {
                Value::Str(text) => Value::from(text.char_len()),
                Value::Dict(dict) => Value::from(dict.len()),
                other => match items(other) {
                    Some(items) => Value::from(items.len()),
                    None => return self.wrong(other, &["string", "array", "object"]),
                },
            },
            "max" | "min" => {
                let list = self.array_of(first, &["number", "string"])?;
                let operator = if self.name == "max" { ">" } else { "<" };
                self.extreme(list, operator, &|item| Ok(item.clone()))?
            }
            "merge" => {
                let merged = crate::jinja::Dict::new();
                for value in values {
                    let Some(entries) = access::mapping_entries(rt, value)? else {
                        return self.wrong(value, &["object"]);
                    };
                    for (key, value) in entries {
                        merged.insert(crate::jinja::Key::new(key)?, value);
                    }
                }
                Value::Dict(merged)
            }
            "not_null" => values
                .iter()
                .find(|value| !value.is_none())
                .cloned()
                .unwrap_or_default(),
            "reverse" => match first {
                Value::Str(text) => Value::text(text.chars().rev().collect::<String>()),
                other => match items(other) {
                    Some(mut list) => {
                        list.reverse();
                        Value::list(list)
                    }
                    None => return self.wrong(other, &["array", "string"]),
                },
            },
            "sort" => {
                let list = self.array_of(first, &["string", "number"])?;
                Value::list(sort_by(rt, list, false, &mut |_, item| Ok(item.clone()))?)
            }
            "to_array" => match items(first) {
                Some(_) => first.clone(),
                None => Value::list(vec![first.clone()]),
            },
            "to_number" => match first {
                value if is_number(value) => value.clone(),
                Value::Str(_) => to_int(first, 10)
                    .or_else(|_| to_float(first).map(Value::Float))
                    .unwrap_or_default(),
                _ => Value::None,
            },
            "to_string" => match first {
                Value::Str(_) => first.clone(),
                other => Value::text(json_text(rt, other)?),
            },
            "type" => Value::text(kind(first)),
            _ => return self.wrong(first, &["expref"]),
        })
    }
}
