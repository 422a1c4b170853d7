//! Walking over values.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Dict, List, Object, Str, Tuple, Value};
use crate::jinja::{Error, Exception, Result, Runtime};

/// What walking over a value gives, one at a time.
///
/// Walking a list sees changes made meanwhile, as in Python; a dict that grows
/// or shrinks under the walk is an error.
pub struct Iter(Source);

enum Source {
    List { list: List, next: usize },
    Tuple { tuple: Tuple, next: usize },
    Chars { text: Str, next: usize },
    Dict { dict: Dict, next: usize, len: usize },
    Values(std::vec::IntoIter<Value>),
    Object(Rc<dyn Object>),
    Generator(Box<dyn Generator>),
}

/// A computed sequence.
pub(crate) trait Generator {
    /// The next value.
    fn next(&mut self, runtime: &Runtime<'_>) -> Result<Option<Value>>;

    /// Moves the values it holds to `out`; see [`Object::release`].
    fn release(&mut self, out: &mut Vec<Value>);
}

impl Iter {
    /// Walks values that are all known.
    pub fn values(values: Vec<Value>) -> Self {
        Self(Source::Values(values.into_iter()))
    }

    pub(crate) fn generator(generator: impl Generator + 'static) -> Self {
        Self(Source::Generator(Box::new(generator)))
    }

    /// The next value; `None` at the end.
    ///
    /// # Errors
    /// What computing it raises, or that a limit was reached.
    pub fn next(&mut self, runtime: &Runtime<'_>) -> Result<Option<Value>> {
        runtime.charge(1)?;
        Ok(match &mut self.0 {
            Source::List { list, next } => {
                let item = list.get(*next);
                *next += usize::from(item.is_some());
                item
            }
            Source::Tuple { tuple, next } => {
                let item = tuple.get(*next).cloned();
                *next += 1;
                item
            }
            Source::Chars { text, next } => {
                let c = text.get(*next..).and_then(|rest| rest.chars().next());
                *next += c.map_or(0, char::len_utf8);
                c.map(Value::text)
            }
            Source::Dict { dict, next, len } => {
                if dict.len() != *len {
                    let text = "dictionary changed size during iteration";
                    return Err(Error::python(Exception::RuntimeError, text));
                }
                let entry = dict.entry(*next);
                *next += 1;
                entry.map(|(key, _)| key)
            }
            Source::Values(values) => values.next(),
            Source::Object(object) => return object.next(runtime),
            Source::Generator(generator) => {
                let _guard = runtime.enter()?;
                return generator.next(runtime);
            }
        })
    }

    /// All that is left.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn collect(mut self, runtime: &Runtime<'_>) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        while let Some(value) = self.next(runtime)? {
            values.push(value);
        }
        Ok(values)
    }

    pub(crate) fn release(&mut self, out: &mut Vec<Value>) {
        match &mut self.0 {
            Source::List { list, .. } => out.push(Value::List(list.clone())),
            Source::Tuple { tuple, .. } => out.push(Value::Tuple(tuple.clone())),
            Source::Values(values) => out.extend(values),
            Source::Object(object) => out.push(Value::Object(Rc::clone(object))),
            Source::Generator(generator) => generator.release(out),
            Source::Chars { .. } | Source::Dict { .. } => {}
        }
        self.0 = Source::Values(Vec::new().into_iter());
    }
}

impl Value {
    /// Walks over the value.
    ///
    /// # Errors
    /// `'int' object is not iterable` and the like.
    pub fn iter(&self, runtime: &Runtime<'_>) -> Result<Iter> {
        Ok(Iter(match self {
            Self::List(list) => Source::List {
                list: list.clone(),
                next: 0,
            },
            Self::Tuple(tuple) => Source::Tuple {
                tuple: tuple.clone(),
                next: 0,
            },
            Self::Str(text) => Source::Chars {
                text: text.clone(),
                next: 0,
            },
            Self::Dict(dict) => Source::Dict {
                dict: dict.clone(),
                next: 0,
                len: dict.len(),
            },
            Self::Set(set) => Source::Values(set.members().into_iter()),
            Self::Bytes(bytes) => {
                let values: Vec<Self> = bytes.iter().map(|b| Self::Int(i64::from(*b))).collect();
                Source::Values(values.into_iter())
            }
            Self::Undefined(undefined) => {
                undefined.check_lenient()?;
                Source::Values(Vec::new().into_iter())
            }
            Self::Object(object) if object.is_iterator() => Source::Object(Rc::clone(object)),
            Self::Object(object) => match object.iterate(runtime)? {
                Some(iter) => return Ok(iter),
                None => return Err(not_iterable(self)),
            },
            _ => return Err(not_iterable(self)),
        }))
    }

    /// All items of the value.
    ///
    /// # Errors
    /// It is not iterable, or computing an item failed.
    pub fn items(&self, runtime: &Runtime<'_>) -> Result<Vec<Self>> {
        match self {
            Self::List(list) => Ok(list.to_vec()),
            Self::Tuple(tuple) => Ok(tuple.to_vec()),
            other => other.iter(runtime)?.collect(runtime),
        }
    }
}

fn not_iterable(value: &Value) -> Error {
    Error::type_error(format!("'{}' object is not iterable", value.type_name()))
}

/// An iterator as a value: what `map` or `zip` give.
pub(crate) struct IterObject {
    type_name: &'static str,
    function: Option<Rc<str>>,
    iter: RefCell<Iter>,
}

impl IterObject {
    /// `<generator object NAME at …>`.
    pub(crate) fn generator(function: &str, generator: impl Generator + 'static) -> Value {
        Value::object(Self {
            type_name: "generator",
            function: Some(function.into()),
            iter: RefCell::new(Iter::generator(generator)),
        })
    }

    /// `<zip object at …>`.
    pub(crate) fn plain(type_name: &'static str, iter: Iter) -> Value {
        Value::object(Self {
            type_name,
            function: None,
            iter: RefCell::new(iter),
        })
    }
}

impl Object for IterObject {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn is_iterator(&self) -> bool {
        true
    }

    fn next(&self, runtime: &Runtime<'_>) -> Result<Option<Value>> {
        match self.iter.try_borrow_mut() {
            Ok(mut iter) => iter.next(runtime),
            Err(_) => Err(Error::value_error("generator already executing")),
        }
    }

    fn repr(&self) -> Result<String> {
        Ok(match &self.function {
            Some(name) => format!("<generator object {name} at 0x7f0000000000>"),
            None => format!("<{} object at 0x7f0000000000>", self.type_name),
        })
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        self.iter.get_mut().release(out);
    }
}
