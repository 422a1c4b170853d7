//! `'…'.format(…)`.

use crate::jinja::value::{Args, Value, escape_non_ascii};
use crate::jinja::{Error, Exception, Kind, Result, Runtime, access, filters};

use super::spec::format_value;

/// Formats as Python's `str.format` does.
///
/// # Errors
/// The format is malformed, or the arguments do not fit it.
pub(crate) fn str_format(
    rt: &Runtime<'_>,
    format: &crate::jinja::Str,
    args: &Args,
) -> Result<String> {
    let mut formatter = Formatter {
        rt,
        args,
        next: Some(0),
        manual: false,
        markup: format.is_markup(),
    };
    let chars: Vec<char> = format.chars().collect();
    let mut out = String::new();
    formatter.expand(&chars, 2, &mut out)?;
    rt.charge_bytes(out.len())?;
    Ok(out)
}

struct Formatter<'a, 'r, 'e> {
    rt: &'r Runtime<'e>,
    args: &'a Args,
    /// The number of the next `{}`; `None` once fields were numbered by hand.
    next: Option<usize>,
    manual: bool,
    markup: bool,
}

fn value_error<T>(message: &str) -> Result<T> {
    Err(Error::value_error(message))
}

impl Formatter<'_, '_, '_> {
    fn expand(&mut self, chars: &[char], depth: u32, out: &mut String) -> Result<()> {
        if depth == 0 {
            return value_error("Max string recursion exceeded");
        }
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            match (c, chars.get(at)) {
                ('{', Some('{')) | ('}', Some('}')) => {
                    out.push(c);
                    at += 1;
                }
                ('}', _) => return value_error("Single '}' encountered in format string"),
                ('{', None) => return value_error("Single '{' encountered in format string"),
                ('{', Some(_)) => {
                    let end = field_end(chars, at)?;
                    let field = chars.get(at..end).unwrap_or_default();
                    self.field(field, depth, out)?;
                    at = end + 1;
                }
                _ => out.push(c),
            }
            self.rt.charge_bytes(out.len().min(32))?;
        }
        Ok(())
    }

    /// `name!conversion:spec`.
    fn field(&mut self, field: &[char], depth: u32, out: &mut String) -> Result<()> {
        let mut bracket = false;
        let mut end = field.len();
        for (at, c) in field.iter().enumerate() {
            match c {
                '[' => bracket = true,
                ']' => bracket = false,
                '{' if !bracket => return value_error("unexpected '{' in field name"),
                '!' | ':' if !bracket => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let name: String = field.get(..end).unwrap_or_default().iter().collect();
        let mut rest = field.get(end..).unwrap_or_default();
        let mut conversion = None;
        if let Some(('!', after)) = rest.split_first() {
            let Some((kind, after)) = after.split_first() else {
                return value_error("end of string while looking for conversion specifier");
            };
            match after.first() {
                None | Some(':') => {}
                Some(_) => return value_error("expected ':' after conversion specifier"),
            }
            conversion = Some(*kind);
            rest = after;
        }
        let value = self.value(&name)?;
        let value = match conversion {
            None => value,
            Some('s') => Value::text(value.str()?),
            Some('r') => Value::text(value.repr()?),
            Some('a') => Value::text(escape_non_ascii(&value.repr()?)),
            Some(other) => {
                let code = if (' '..='~').contains(&other) {
                    other.to_string()
                } else {
                    format!("\\x{:x}", u32::from(other))
                };
                let message = format!("Unknown conversion specifier {code}");
                return Err(Error::value_error(message));
            }
        };
        let raw = rest.get(1..).unwrap_or_default();
        let spec = if raw.contains(&'{') || raw.contains(&'}') {
            let mut spec = String::new();
            self.expand(raw, depth - 1, &mut spec)?;
            spec
        } else {
            raw.iter().collect()
        };
        let text = format_value(self.rt, &value, &spec)?;
        let safe = matches!(&value, Value::Str(text) if text.is_markup());
        if self.markup && !safe {
            *out += &filters::escape_text(&text);
        } else {
            out.push_str(&text);
        }
        Ok(())
    }

    /// The value a field names.
    fn value(&mut self, name: &str) -> Result<Value> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(end);
        let mut value = self.argument(first)?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (attribute, tail) = after.split_at(end);
                if attribute.is_empty() {
                    return value_error("Empty attribute in format string");
                }
                value = self.attribute(&value, attribute)?;
                rest = tail;
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some((key, tail)) = after.split_once(']') else {
                    return value_error("Missing ']' in format string");
                };
                if key.is_empty() {
                    return value_error("Empty attribute in format string");
                }
                value = self.item(&value, key)?;
                rest = tail;
                if !rest.is_empty() && !rest.starts_with(['.', '[']) {
                    return value_error("Only '.' or '[' may follow ']' in format field specifier");
                }
            } else {
                return value_error("Only '.' or '[' may follow ']' in format field specifier");
            }
        }
        Ok(value)
    }

    fn argument(&mut self, name: &str) -> Result<Value> {
        let index = if name.is_empty() {
            if self.manual {
                return value_error(
                    "cannot switch from manual field specification to automatic field numbering",
                );
            }
            let index = self.next.unwrap_or(0);
            self.next = Some(index + 1);
            Some(index)
        } else if name.chars().all(|c| c.is_ascii_digit()) {
            if self.next.is_some_and(|next| next > 0) {
                return value_error(
                    "cannot switch from automatic field numbering to manual field specification",
                );
            }
            self.manual = true;
            match name.parse() {
                Ok(index) => Some(index),
                Err(_) => return value_error("Too many decimal digits in format string"),
            }
        } else {
            None
        };
        match index {
            Some(index) => self.args.positional.get(index).cloned().ok_or_else(|| {
                let message = if self.rt.environment().is_salt() {
                    "tuple index out of range".to_owned()
                } else {
                    format!("Replacement index {index} out of range for positional args tuple")
                };
                Error::python(Exception::IndexError, message)
            }),
            None => {
                let found = self.args.named.iter().find(|(key, _)| &**key == name);
                found.map(|(_, value)| value.clone()).ok_or_else(|| {
                    Error::new(
                        Kind::Python(Exception::KeyError),
                        crate::jinja::value::repr_str(name),
                    )
                })
            }
        }
    }

    fn attribute(&self, value: &Value, name: &str) -> Result<Value> {
        if self.rt.environment().is_salt() {
            return access::attribute(self.rt, value, name);
        }
        access::own_attribute(self.rt, value, name)?.ok_or_else(|| {
            Error::python(
                Exception::AttributeError,
                format!("'{}' object has no attribute '{name}'", value.type_name()),
            )
        })
    }

    fn item(&self, value: &Value, key: &str) -> Result<Value> {
        let key = match key.parse::<i64>() {
            Ok(index) if key.chars().all(|c| c.is_ascii_digit()) => Value::Int(index),
            _ => Value::text(key),
        };
        if self.rt.environment().is_salt() {
            return access::item(self.rt, value, &key);
        }
        if let Some(found) = access::lookup(self.rt, value, &key)? {
            return Ok(found);
        }
        Err(match value {
            Value::Dict(_) => Error::new(Kind::Python(Exception::KeyError), key.repr()?),
            Value::List(_) | Value::Tuple(_) | Value::Str(_) if key.as_index().is_some() => {
                let kind = match value {
                    Value::Str(_) => "string",
                    other => other.type_name(),
                };
                Error::python(Exception::IndexError, format!("{kind} index out of range"))
            }
            Value::List(_) | Value::Tuple(_) => Error::type_error(format!(
                "{} indices must be integers or slices, not str",
                value.type_name()
            )),
            Value::Str(_) => Error::type_error("string indices must be integers, not 'str'"),
            other => Error::type_error(format!(
                "'{}' object is not subscriptable",
                other.type_name()
            )),
        })
    }
}

/// Where the brace that ends a field stands.
fn field_end(chars: &[char], start: usize) -> Result<usize> {
    let mut open = 1;
    for (at, c) in chars.iter().enumerate().skip(start) {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Ok(at);
        }
    }
    value_error("expected '}' before end of string")
}
