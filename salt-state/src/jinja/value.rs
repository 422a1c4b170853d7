//! Python's values, as templates see them.
//!
//! Lists, dicts and sets are shared: a clone is another name for the same
//! container, and a change is seen through every name. Equality, order, hashing,
//! `str` and `repr` are Python's.

use std::fmt;
use std::rc::Rc;

use num_bigint::BigInt;

mod compare;
mod convert;
mod dict;
mod iter;
mod key;
mod list;
mod object;
mod repr;
mod set;
mod text;
mod undefined;

pub use dict::{Dict, DictClass};
pub use iter::Iter;
pub use key::Key;
pub use list::{List, Tuple};
pub use object::{Args, Object};
pub use set::Set;
pub use text::Str;
pub use undefined::Undefined;

pub(crate) use compare::{compare, contains_identical_or_equal, equal, identical};
pub(crate) use iter::{Generator, IterObject};
pub(crate) use key::float_as_int;
pub(crate) use object::{BoundMethod, Function, Method, keyword_args, native_args};
pub(crate) use repr::{big_str, check_size, escape_non_ascii, float_repr, is_printable, repr_str};

/// How deep containers may nest before printing, comparing or copying them is
/// refused with Python's `RecursionError`.
pub(crate) const MAX_NESTING: u32 = 200;

/// A Python value.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` of 64 bits.
    Int(i64),
    /// An `int` that does not fit 64 bits; one that fits is always [`Value::Int`].
    Big(Rc<BigInt>),
    /// A `float`.
    Float(f64),
    /// A `str`, possibly `Markup`.
    Str(Str),
    /// A `bytes`.
    Bytes(Rc<[u8]>),
    /// A `list`, shared.
    List(List),
    /// A `tuple`.
    Tuple(Tuple),
    /// A `dict`, shared.
    Dict(Dict),
    /// A `set`, shared.
    Set(Set),
    /// What a missing name or attribute gives.
    Undefined(Rc<Undefined>),
    /// Everything else: functions, macros, iterators, ranges, dates, modules and what the host supplies.
    Object(Rc<dyn Object>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<Str>) -> Self {
        Self::Str(text.into())
    }

    /// An integer of any size.
    pub fn int(n: BigInt) -> Self {
        i64::try_from(&n).map_or_else(|_| Self::Big(Rc::new(n)), Self::Int)
    }

    /// A new list.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::new(items))
    }

    /// A tuple.
    pub fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(Tuple::new(items))
    }

    /// An object.
    pub fn object(object: impl Object) -> Self {
        Self::Object(Rc::new(object))
    }

    /// A function of the host, callable from templates.
    pub fn function(
        name: impl Into<Rc<str>>,
        call: impl Fn(&super::Runtime<'_>, Args) -> super::Result<Self> + 'static,
    ) -> Self {
        Self::object(Function::new(name, call))
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The dict, if this is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&List> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The object of that type, if this is one.
    pub fn downcast<T: Object>(&self) -> Option<&T> {
        match self {
            Self::Object(object) => {
                let any: &dyn std::any::Any = &**object;
                any.downcast_ref()
            }
            _ => None,
        }
    }

    /// Whether this is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether this is an undefined value.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// The integer, if this is an `int` of 64 bits or a `bool`.
    pub fn as_index(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// Python's `type(x).__name__`.
    pub fn type_name(&self) -> &str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Big(_) => "int",
            Self::Float(_) => "float",
            Self::Str(text) if text.is_markup() => "Markup",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(dict) => dict.class().name(),
            Self::Set(set) => set.type_name(),
            Self::Undefined(undefined) => undefined.type_name(),
            Self::Object(object) => object.type_name(),
        }
    }

    /// Python's truth.
    ///
    /// # Errors
    /// A strict undefined has no truth.
    pub fn is_true(&self) -> super::Result<bool> {
        Ok(match self {
            Self::None => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Big(_) => true,
            Self::Float(x) => *x != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Tuple(items) => !items.is_empty(),
            Self::Dict(dict) => !dict.is_empty(),
            Self::Set(set) => !set.is_empty(),
            Self::Undefined(undefined) => return undefined.is_true(),
            Self::Object(object) => object.is_true(),
        })
    }

    /// Whether dropping this value drops others.
    fn holds_values(&self) -> bool {
        matches!(
            self,
            Self::List(_)
                | Self::Tuple(_)
                | Self::Dict(_)
                | Self::Set(_)
                | Self::Undefined(_)
                | Self::Object(_)
        )
    }

    /// Moves what only this value keeps alive to `out`, so that dropping never recurses.
    fn release(mut self, out: &mut Vec<Self>) {
        match &mut self {
            Self::List(list) => list.release(out),
            Self::Tuple(items) => items.release(out),
            Self::Dict(dict) => dict.release(out),
            Self::Set(set) => set.release(out),
            Self::Undefined(undefined) => {
                if let Some(undefined) = Rc::get_mut(undefined) {
                    undefined.release(out);
                }
            }
            Self::Object(object) => {
                if let Some(object) = Rc::get_mut(object) {
                    object.release(out);
                }
            }
            _ => {}
        }
    }
}

/// Drops values without recursion, however deep they nest.
pub(crate) fn drop_flat(mut work: Vec<Value>) {
    if !work.iter().any(Value::holds_values) {
        return;
    }
    while let Some(value) = work.pop() {
        value.release(&mut work);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.repr() {
            Ok(text) => f.write_str(&text),
            Err(error) => write!(f, "<{error}>"),
        }
    }
}

/// Python's equality; values that refuse comparison (strict undefined) are unequal.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        equal(self, other).unwrap_or(false)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::int(BigInt::from(n))
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Self {
        Self::Str(text)
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::list(items)
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Dict(dict)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}
