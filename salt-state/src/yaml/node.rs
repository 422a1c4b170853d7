//! A loaded document that still knows where everything stood.

use std::cell::RefCell;
use std::rc::Rc;

use salt_proto::{Map, Value};

use super::error::{Error, Kind, Mark};
use super::map::NodeMap;

/// Where something stood: a document (a number given by whoever loads), a line
/// and column in it, both from zero, and how many characters it spans on that line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The document; what the number means is up to the caller of the loader.
    pub document: u32,
    /// Line, from zero.
    pub line: u32,
    /// Column in characters, from zero.
    pub column: u32,
    /// Width in characters on that line; zero when unknown.
    pub width: u32,
}

/// One value and where it stood.
///
/// Lists and mappings are shared, as Python's are: what an alias refers to is
/// the same object as its anchor, and a change through one is seen through the
/// other.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub data: Data,
    /// Where it stood.
    pub span: Span,
    /// Whether it was tagged `!aggregate`, so that merging adds to it.
    pub aggregate: bool,
}

/// The value of a [`Node`].
#[derive(Clone, Debug)]
pub enum Data {
    /// Anything that is not a collection.
    Scalar(Value),
    /// A shared list.
    List(Rc<RefCell<Vec<Node>>>),
    /// A shared mapping in insertion order.
    Map(Rc<RefCell<NodeMap>>),
}

/// A value in a mapping, with the place of its key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stood.
    pub key: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A scalar without a place.
    pub fn scalar(value: impl Into<Value>) -> Self {
        Self::at(Data::Scalar(value.into()), Span::default())
    }

    /// Data at a place.
    pub fn at(data: Data, span: Span) -> Self {
        Self {
            data,
            span,
            aggregate: false,
        }
    }

    /// A new list.
    pub fn list(items: Vec<Self>, span: Span) -> Self {
        Self::at(Data::List(Rc::new(RefCell::new(items))), span)
    }

    /// A new mapping.
    pub fn map(entries: NodeMap, span: Span) -> Self {
        Self::at(Data::Map(Rc::new(RefCell::new(entries))), span)
    }

    /// A tree of fresh nodes with the given value, all at one place.
    pub fn from_value(value: &Value, span: Span) -> Self {
        match value {
            Value::List(items) => Self::list(
                items
                    .iter()
                    .map(|item| Self::from_value(item, span))
                    .collect(),
                span,
            ),
            Value::Map(map) => Self::map(
                map.iter()
                    .map(|(key, value)| {
                        let value = Self::from_value(value, span);
                        (key.clone(), Entry { key: span, value })
                    })
                    .collect(),
                span,
            ),
            scalar => Self::at(Data::Scalar(scalar.clone()), span),
        }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// The scalar, if this is one.
    pub fn as_scalar(&self) -> Option<&Value> {
        match &self.data {
            Data::Scalar(value) => Some(value),
            _ => None,
        }
    }

    /// The shared list, if this is one.
    pub fn as_list(&self) -> Option<&Rc<RefCell<Vec<Self>>>> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The shared mapping, if this is one.
    pub fn as_map(&self) -> Option<&Rc<RefCell<NodeMap>>> {
        match &self.data {
            Data::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Python's truth.
    pub fn is_true(&self) -> bool {
        match &self.data {
            Data::Scalar(value) => value.is_true(),
            Data::List(items) => !items.borrow().is_empty(),
            Data::Map(map) => !map.borrow().is_empty(),
        }
    }

    /// Python's name of the type.
    pub fn type_name(&self) -> &'static str {
        match &self.data {
            Data::Scalar(value) => value.type_name(),
            Data::List(_) => "list",
            Data::Map(_) => "dict",
        }
    }

    /// A copy that shares nothing.
    pub fn deep_copy(&self) -> Self {
        let data = match &self.data {
            Data::Scalar(value) => Data::Scalar(value.clone()),
            Data::List(items) => Data::List(Rc::new(RefCell::new(
                items.borrow().iter().map(Self::deep_copy).collect(),
            ))),
            Data::Map(map) => Data::Map(Rc::new(RefCell::new(
                map.borrow()
                    .iter()
                    .map(|(key, entry)| {
                        let value = entry.value.deep_copy();
                        (
                            key.clone(),
                            Entry {
                                key: entry.key,
                                value,
                            },
                        )
                    })
                    .collect(),
            ))),
        };
        Self {
            aggregate: self.aggregate,
            ..Self::at(data, self.span)
        }
    }

    /// The plain value; shared parts are copied.
    ///
    /// Use [`Node::expand`] where the document was not written by a friend.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => Value::List(items.borrow().iter().map(Self::to_value).collect()),
            Data::Map(map) => Value::Map(
                map.borrow()
                    .iter()
                    .map(|(key, entry)| (key.clone(), entry.value.to_value()))
                    .collect::<Map>(),
            ),
        }
    }

    /// The plain value, unless aliases blow it up beyond `most` nodes.
    ///
    /// # Errors
    ///
    /// [`Kind::Limit`] when the copy would have more nodes.
    pub fn expand(&self, most: usize) -> Result<Value, Error> {
        self.check_size(most)?;
        Ok(self.to_value())
    }

    /// Whether a copy without sharing has at most `most` nodes.
    ///
    /// # Errors
    ///
    /// [`Kind::Limit`] when it has more.
    pub fn check_size(&self, most: usize) -> Result<(), Error> {
        // Every shared collection is measured once, so the time is linear in
        // what was loaded and not in what it expands to.
        let mut sizes: std::collections::HashMap<*const (), usize> =
            std::collections::HashMap::new();
        let total = measure(self, &mut sizes, most);
        if total > most {
            let span = too_large(self, &mut sizes, most);
            let mark = Mark {
                line: span.line as usize,
                column: span.column as usize,
                ..Mark::default()
            };
            let problem = "YAML aliases expand to too many nodes";
            return Err(Error::plain(Kind::Limit, problem, mark));
        }
        Ok(())
    }
}

/// The place of the smallest collection that alone is too large.
fn too_large(
    node: &Node,
    sizes: &mut std::collections::HashMap<*const (), usize>,
    most: usize,
) -> Span {
    let mut node = node.clone();
    loop {
        let inner = match &node.data {
            Data::Scalar(_) => None,
            Data::List(items) => {
                let items = items.borrow();
                items
                    .iter()
                    .find(|item| measure(item, sizes, most) > most)
                    .cloned()
            }
            Data::Map(map) => {
                let map = map.borrow();
                map.values()
                    .map(|entry| &entry.value)
                    .find(|value| measure(value, sizes, most) > most)
                    .cloned()
            }
        };
        match inner {
            Some(inner) => node = inner,
            None => return node.span,
        }
    }
}

fn measure(
    node: &Node,
    sizes: &mut std::collections::HashMap<*const (), usize>,
    most: usize,
) -> usize {
    let key: *const () = match &node.data {
        Data::Scalar(_) => return 1,
        Data::List(items) => Rc::as_ptr(items).cast(),
        Data::Map(map) => Rc::as_ptr(map).cast(),
    };
    if let Some(&size) = sizes.get(&key) {
        return size;
    }
    let mut total: usize = 1;
    match &node.data {
        Data::Scalar(_) => {}
        Data::List(items) => {
            for item in items.borrow().iter() {
                total = total.saturating_add(measure(item, sizes, most));
            }
        }
        Data::Map(map) => {
            for entry in map.borrow().values() {
                total = total.saturating_add(measure(&entry.value, sizes, most));
            }
        }
    }
    let total = total.min(most.saturating_add(1));
    sizes.insert(key, total);
    total
}
