//! Objects: values whose behaviour is code.

use std::any::Any;
use std::cmp::Ordering;
use std::rc::Rc;

use super::{Iter, Str, Value};
use crate::jinja::{Error, Result, Runtime};

/// A value whose behaviour is code: the seam for what the host supplies.
///
/// Every method has a default; an object that only answers [`attribute`](Object::attribute)
/// is already useful. Template code may run while `call`, `attribute` and `item`
/// run, so an implementation with interior state must not hold a borrow across
/// calls into the runtime.
#[expect(unused_variables, reason = "defaults have no use for most arguments")]
pub trait Object: Any {
    /// Python's `type(x).__name__`.
    fn type_name(&self) -> &str;

    /// How Jinja's messages name it, usually `{module}.{type} object`.
    fn type_repr(&self) -> String {
        format!("{} object", self.type_name())
    }

    /// The attribute of that name (`x.name`), if there is one.
    ///
    /// # Errors
    /// What computing it raises.
    fn attribute(&self, runtime: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        Ok(None)
    }

    /// The item under a key (`x[key]`), if there is one.
    ///
    /// # Errors
    /// What computing it raises.
    fn item(&self, runtime: &Runtime<'_>, key: &Value) -> Result<Option<Value>> {
        Ok(None)
    }

    /// Sets an item (`x[key] = value` inside `update` and the like).
    ///
    /// # Errors
    /// The object does not support it.
    fn set_item(&self, key: Value, value: Value) -> Result<()> {
        Err(Error::type_error(format!(
            "'{}' object does not support item assignment",
            self.type_name()
        )))
    }

    /// Whether [`call`](Object::call) works.
    fn is_callable(&self) -> bool {
        false
    }

    /// Calls it.
    ///
    /// # Errors
    /// What the function raises, or that the object is not callable.
    fn call(&self, runtime: &Runtime<'_>, args: Args) -> Result<Value> {
        Err(Error::type_error(format!(
            "'{}' object is not callable",
            self.type_name()
        )))
    }

    /// Whether it is a mapping: `is mapping`, printed and serialised as a dict,
    /// with `get`, `keys`, `values` and `items` made from the other methods.
    fn is_mapping(&self) -> bool {
        false
    }

    /// Whether it is a sequence with `len` and integer items.
    fn is_sequence(&self) -> bool {
        false
    }

    /// What walking over it gives; a mapping gives its keys. `None`: not iterable.
    ///
    /// # Errors
    /// What computing it raises.
    fn iterate(&self, runtime: &Runtime<'_>) -> Result<Option<Iter>> {
        Ok(None)
    }

    /// Whether it is itself an iterator, so that [`next`](Object::next) works.
    fn is_iterator(&self) -> bool {
        false
    }

    /// The next value, for an iterator.
    ///
    /// # Errors
    /// What computing it raises.
    fn next(&self, runtime: &Runtime<'_>) -> Result<Option<Value>> {
        Ok(None)
    }

    /// The number of items, if it has one.
    fn len(&self) -> Option<usize> {
        None
    }

    /// Whether it has no items; `None` when it has no length.
    fn is_empty(&self) -> Option<bool> {
        self.len().map(|n| n == 0)
    }

    /// Whether it contains a value; `None` to look while walking.
    ///
    /// # Errors
    /// What computing it raises.
    fn contains(&self, runtime: &Runtime<'_>, value: &Value) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Python's truth; false for a length of zero.
    fn is_true(&self) -> bool {
        self.len() != Some(0)
    }

    /// Python's `repr`.
    ///
    /// # Errors
    /// What computing it raises.
    fn repr(&self) -> Result<String> {
        // The address must not differ between two runs over the same input.
        Ok(format!("<{} object at 0x7f0000000000>", self.type_name()))
    }

    /// Python's `repr` while other values are being printed.
    ///
    /// `open` holds one entry for each container around this one. An object
    /// that prints values it holds adds one while it does, so that printing
    /// ends however deep values nest.
    ///
    /// # Errors
    /// What computing it raises.
    fn repr_within(&self, open: &mut Vec<usize>) -> Result<String> {
        self.repr()
    }

    /// Python's `str`.
    ///
    /// # Errors
    /// What computing it raises.
    fn str(&self) -> Result<String> {
        self.repr()
    }

    /// Whether its text is HTML as it stands, as Python's `__html__` says.
    fn is_markup(&self) -> bool {
        false
    }

    /// Equality with another value; `None` compares by identity.
    fn equals(&self, other: &Value) -> Option<bool> {
        None
    }

    /// Order relative to another value; `None` when they have none.
    fn order(&self, other: &Value) -> Option<Ordering> {
        None
    }

    /// A hash that agrees with [`equals`](Object::equals).
    fn hash(&self) -> u64 {
        std::ptr::from_ref(self).cast::<()>().addr() as u64
    }

    /// Whether it can be a key.
    fn is_hashable(&self) -> bool {
        true
    }

    /// Moves the values it holds to `out` when it is about to be dropped.
    ///
    /// An object that holds values which templates can nest without bound
    /// implements this so that dropping does not recurse.
    fn release(&mut self, out: &mut Vec<Value>) {}
}

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Those by position.
    pub positional: Vec<Value>,
    /// Those by name, in order.
    pub named: Vec<(Str, Value)>,
}

impl Args {
    /// Arguments by position only.
    pub fn new(positional: Vec<Value>) -> Self {
        Self {
            positional,
            named: Vec::new(),
        }
    }

    /// Sorts the arguments into parameters as a Python function does.
    ///
    /// The first `required` parameters must be given.
    ///
    /// # Errors
    /// Python's `TypeError` for a missing, surplus, unknown or doubled argument.
    pub fn bind<const N: usize>(
        self,
        function: &str,
        parameters: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        self.bind_after(0, function, parameters, required)
    }

    /// As [`bind`](Self::bind), for a function whose first `hidden` arguments
    /// come from the engine: Python counts them in its messages.
    pub(crate) fn bind_after<const N: usize>(
        self,
        hidden: usize,
        function: &str,
        parameters: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        let given = self.positional.len();
        let unknown = self
            .named
            .iter()
            .find(|(name, _)| !parameters.contains(&&**name));
        if let Some((name, _)) = unknown {
            return Err(Error::type_error(format!(
                "{function}() got an unexpected keyword argument '{}'",
                &**name
            )));
        }
        if given > N {
            return Err(too_many(
                function,
                given + hidden,
                required + hidden,
                N + hidden,
            ));
        }
        let mut bound: [Option<Value>; N] = std::array::from_fn(|_| None);
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let place = parameters.iter().position(|p| *p == &*name);
            let Some(slot) = place.and_then(|at| bound.get_mut(at)) else {
                continue;
            };
            if slot.is_some() {
                return Err(Error::type_error(format!(
                    "{function}() got multiple values for argument '{}'",
                    &*name
                )));
            }
            *slot = Some(value);
        }
        let missing: Vec<&str> = parameters
            .iter()
            .zip(&bound)
            .take(required)
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| *name)
            .collect();
        if missing.is_empty() {
            Ok(bound)
        } else {
            Err(missing_arguments(function, &missing))
        }
    }
}

fn too_many(function: &str, given: usize, required: usize, most: usize) -> Error {
    let takes = if required == most {
        format!("{most} positional argument{}", plural(most))
    } else {
        format!("from {required} to {most} positional arguments")
    };
    let were = if given == 1 { "was" } else { "were" };
    Error::type_error(format!(
        "{function}() takes {takes} but {given} {were} given"
    ))
}

fn missing_arguments(function: &str, names: &[&str]) -> Error {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let list = match quoted.as_slice() {
        [all @ .., last] if all.len() > 1 => format!("{}, and {last}", all.join(", ")),
        other => other.join(" and "),
    };
    let n = names.len();
    Error::type_error(format!(
        "{function}() missing {n} required positional argument{}: {list}",
        plural(n)
    ))
}

pub(crate) fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Takes the arguments of a function written in C, which has no named parameters.
///
/// # Errors
/// `list.append() takes exactly one argument (2 given)` and the like.
pub(crate) fn native_args<const N: usize>(
    args: Args,
    function: &str,
    required: usize,
) -> Result<[Option<Value>; N]> {
    if !args.named.is_empty() {
        return Err(Error::type_error(format!(
            "{function}() takes no keyword arguments"
        )));
    }
    let given = args.positional.len();
    let short = function.rsplit('.').next().unwrap_or(function);
    if given < required || given > N {
        let text = match (required, N) {
            (0, 0) => format!("{function}() takes no arguments ({given} given)"),
            (1, 1) => format!("{function}() takes exactly one argument ({given} given)"),
            (a, b) if a == b => {
                format!("{short} expected {a} argument{}, got {given}", plural(a))
            }
            (a, _) if given < a => format!(
                "{short} expected at least {a} argument{}, got {given}",
                plural(a)
            ),
            (_, b) => format!(
                "{short} expected at most {b} argument{}, got {given}",
                plural(b)
            ),
        };
        return Err(Error::type_error(text));
    }
    let mut bound: [Option<Value>; N] = std::array::from_fn(|_| None);
    for (slot, value) in bound.iter_mut().zip(args.positional) {
        *slot = Some(value);
    }
    Ok(bound)
}

/// Takes the arguments of a function written in C that has named parameters.
///
/// # Errors
/// `split() takes at most 2 arguments (3 given)` and the like.
pub(crate) fn keyword_args<const N: usize>(
    args: Args,
    function: &str,
    parameters: [&str; N],
    required: usize,
) -> Result<[Option<Value>; N]> {
    let given = args.positional.len() + args.named.len();
    if given > N {
        return Err(Error::type_error(format!(
            "{function}() takes at most {N} argument{} ({given} given)",
            plural(N)
        )));
    }
    let mut bound: [Option<Value>; N] = std::array::from_fn(|_| None);
    for (slot, value) in bound.iter_mut().zip(args.positional) {
        *slot = Some(value);
    }
    for (name, value) in args.named {
        let at = parameters.iter().position(|p| *p == &*name);
        let Some((at, slot)) = at.and_then(|at| Some((at, bound.get_mut(at)?))) else {
            return Err(Error::type_error(format!(
                "'{}' is an invalid keyword argument for {function}()",
                &*name
            )));
        };
        if slot.is_some() {
            return Err(Error::type_error(format!(
                "argument for {function}() given by name ('{}') and position ({})",
                &*name,
                at + 1
            )));
        }
        *slot = Some(value);
    }
    let missing = bound.iter().take(required).position(Option::is_none);
    if let Some(at) = missing {
        let name = parameters.get(at).copied().unwrap_or("");
        return Err(Error::type_error(format!(
            "{function}() missing required argument '{name}' (pos {})",
            at + 1
        )));
    }
    Ok(bound)
}

type Native = dyn Fn(&Runtime<'_>, Args) -> Result<Value>;

/// A function of the host.
pub(crate) struct Function {
    name: Rc<str>,
    call: Box<Native>,
}

impl Function {
    pub(crate) fn new(
        name: impl Into<Rc<str>>,
        call: impl Fn(&Runtime<'_>, Args) -> Result<Value> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            call: Box::new(call),
        }
    }
}

impl Object for Function {
    fn type_name(&self) -> &str {
        "function"
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, runtime: &Runtime<'_>, args: Args) -> Result<Value> {
        (self.call)(runtime, args)
    }

    fn repr(&self) -> Result<String> {
        Ok(format!("<function {} at 0x7f0000000000>", self.name))
    }
}

/// A method of a built-in type, as a plain function.
pub(crate) type Method = fn(&Runtime<'_>, &Value, Args) -> Result<Value>;

/// A method that remembers its object, as `x.append` without a call gives.
pub(crate) struct BoundMethod {
    receiver: Value,
    name: Rc<str>,
    method: Method,
}

impl BoundMethod {
    pub(crate) fn new(receiver: Value, name: &str, method: Method) -> Self {
        Self {
            receiver,
            name: name.into(),
            method,
        }
    }
}

impl Object for BoundMethod {
    fn type_name(&self) -> &str {
        "builtin_function_or_method"
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, runtime: &Runtime<'_>, args: Args) -> Result<Value> {
        (self.method)(runtime, &self.receiver, args)
    }

    fn repr(&self) -> Result<String> {
        Ok(format!(
            "<built-in method {} of {} object at 0x7f0000000000>",
            self.name,
            self.receiver.type_name()
        ))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        let other = other.downcast::<Self>()?;
        Some(self.name == other.name && super::identical(&self.receiver, &other.receiver))
    }

    fn hash(&self) -> u64 {
        self.name.len() as u64
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.push(std::mem::take(&mut self.receiver));
    }
}
