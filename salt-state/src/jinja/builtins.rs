//! Jinja's globals: `range`, `dict`, `cycler`, `joiner`, `namespace`, `lipsum`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use indexmap::IndexMap;

use super::access::slice_positions;
use super::interp::Namespace;
use super::value::{
    Args, BoundMethod, Dict, DictClass, Generator, Iter, Key, Object, Value, native_args,
};
use super::{Environment, Error, Exception, Kind, Result, Runtime, access, methods};

/// Jinja's global of that name.
pub(crate) fn global(environment: &Environment<'_>, name: &str) -> Option<Value> {
    if environment.is_salt()
        && let Some(value) = super::salt::global(name)
    {
        return Some(value);
    }
    let (repr, call): (_, super::filters::Builtin) = match name {
        "range" if environment.is_salt() => ("<function safe_range at 0x7f0000000000>", range),
        "range" => ("<class 'range'>", range),
        "dict" => ("<class 'dict'>", dict),
        "cycler" => ("<class 'jinja2.utils.Cycler'>", cycler),
        "joiner" => ("<class 'jinja2.utils.Joiner'>", joiner),
        "namespace" => ("<class 'jinja2.utils.Namespace'>", namespace),
        "lipsum" => (
            "<function generate_lorem_ipsum at 0x7f0000000000>",
            |_, _| {
                Err(Error::new(
                    Kind::Runtime,
                    "lipsum is not available: it makes random text",
                ))
            },
        ),
        _ => return None,
    };
    Some(Value::object(Class { repr, call }))
}

/// A class or function of Jinja itself.
pub(crate) struct Class {
    pub(crate) repr: &'static str,
    pub(crate) call: super::filters::Builtin,
}

impl Object for Class {
    fn type_name(&self) -> &str {
        if self.repr.starts_with("<class") {
            "type"
        } else {
            "function"
        }
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let dict = Value::Dict(Dict::new());
        let method = match (self.repr, name) {
            ("<class 'dict'>", "fromkeys") => methods::find(&dict, name),
            _ => None,
        };
        Ok(method.map(|method| Value::object(BoundMethod::new(dict, name, method))))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, rt: &Runtime<'_>, args: Args) -> Result<Value> {
        (self.call)(rt, args)
    }

    fn repr(&self) -> Result<String> {
        Ok(self.repr.to_owned())
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(other.downcast::<Self>()?.repr == self.repr)
    }

    fn hash(&self) -> u64 {
        self.repr.len() as u64
    }
}

/// The pairs that `dict(…)` and `update` take: a mapping or pairs.
///
/// # Errors
/// Python's for what is neither.
pub(crate) fn pairs(rt: &Runtime<'_>, value: &Value) -> Result<Vec<(Value, Value)>> {
    if let Some(entries) = access::mapping_entries(rt, value)? {
        return Ok(entries);
    }
    let mut pairs = Vec::new();
    for (at, item) in value.items(rt)?.into_iter().enumerate() {
        let parts = match item.items(rt) {
            Ok(parts) => parts,
            Err(error) if error.message().ends_with("is not iterable") => {
                return Err(Error::type_error(format!(
                    "cannot convert dictionary update sequence element #{at} to a sequence"
                )));
            }
            Err(error) => return Err(error),
        };
        let [key, value] = parts.as_slice() else {
            return Err(Error::value_error(format!(
                "dictionary update sequence element #{at} has length {}; 2 is required",
                parts.len()
            )));
        };
        pairs.push((key.clone(), value.clone()));
    }
    Ok(pairs)
}

/// A dict from the arguments of `dict(…)`.
pub(crate) fn make_dict(rt: &Runtime<'_>, mut args: Args, class: DictClass) -> Result<Value> {
    let named = std::mem::take(&mut args.named);
    let [initial] = native_args(args, "dict", 0)?;
    let dict = Dict::of(class, IndexMap::new());
    if let Some(initial) = initial {
        for (key, value) in pairs(rt, &initial)? {
            rt.charge(1)?;
            dict.insert(Key::new(key)?, value);
        }
    }
    for (name, value) in named {
        dict.insert(Key::text(name), value);
    }
    Ok(Value::Dict(dict))
}

fn dict(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    make_dict(rt, args, DictClass::Dict)
}

fn namespace(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let mut attributes = Vec::new();
    let dict = make_dict(rt, args, DictClass::Dict)?;
    for (key, value) in access::mapping_entries(rt, &dict)?.unwrap_or_default() {
        if let Value::Str(name) = key {
            attributes.push((name, value));
        }
    }
    Ok(Value::object(Namespace::new(attributes)))
}

/// `range(…)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    start: i64,
    stop: i64,
    step: i64,
}

/// The longest range Salt's sandbox allows.
const MAX_RANGE: usize = 100_000;

fn range(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    if !args.named.is_empty() {
        return Err(Error::type_error("range() takes no keyword arguments"));
    }
    let given = args.positional.len();
    if given == 0 {
        return Err(Error::type_error(
            "range expected at least 1 argument, got 0",
        ));
    }
    if given > 3 {
        return Err(Error::type_error(format!(
            "range expected at most 3 arguments, got {given}"
        )));
    }
    let mut numbers = Vec::new();
    for value in &args.positional {
        numbers.push(match value {
            Value::Big(_) => {
                return Err(Error::python(
                    Exception::OverflowError,
                    "Python int too large to convert to C ssize_t",
                ));
            }
            other => super::filters::integer(other)?,
        });
    }
    let (start, stop, step) = match numbers.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step] => (*start, *stop, *step),
        _ => (0, 0, 1),
    };
    if step == 0 {
        return Err(Error::value_error("range() arg 3 must not be zero"));
    }
    let range = Range { start, stop, step };
    if rt.environment().is_salt() && range.count() > MAX_RANGE {
        return Err(Error::python(
            Exception::OverflowError,
            format!(
                "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_RANGE})."
            ),
        ));
    }
    Ok(Value::object(range))
}

impl Range {
    fn count(self) -> usize {
        let (low, high, step) = if self.step > 0 {
            (self.start, self.stop, self.step.unsigned_abs())
        } else {
            (self.stop, self.start, self.step.unsigned_abs())
        };
        if high <= low {
            return 0;
        }
        let distance = high.abs_diff(low);
        usize::try_from((distance - 1) / step + 1).unwrap_or(usize::MAX)
    }

    fn at(self, index: usize) -> Option<i64> {
        if index >= self.count() {
            return None;
        }
        let offset = i64::try_from(index).ok()?.checked_mul(self.step)?;
        self.start.checked_add(offset)
    }

    /// `range(…)[start:stop:step]`.
    pub(crate) fn slice(self, start: &Value, stop: &Value, step: &Value) -> Result<Value> {
        if self.count() > MAX_RANGE {
            return Err(Error::new(Kind::Limit, "the range is too large to slice"));
        }
        let positions = slice_positions(self.count(), start, stop, step)?;
        let stride = step.as_index().unwrap_or(1);
        let first = match positions.first() {
            Some(at) => self.at(*at).unwrap_or(self.start),
            None => self.start,
        };
        let step = self.step.saturating_mul(stride);
        let count = i64::try_from(positions.len()).unwrap_or(0);
        Ok(Value::object(Self {
            start: first,
            stop: first.saturating_add(step.saturating_mul(count)),
            step,
        }))
    }
}

impl Generator for (Range, usize) {
    fn next(&mut self, _: &Runtime<'_>) -> Result<Option<Value>> {
        let value = self.0.at(self.1);
        self.1 += 1;
        Ok(value.map(Value::Int))
    }

    fn release(&mut self, _: &mut Vec<Value>) {}
}

impl Object for Range {
    fn type_name(&self) -> &str {
        "range"
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let range = *self;
        let index_of = move |value: &Value| {
            let n = value.as_index()?;
            let offset = n.checked_sub(range.start)?;
            if offset % range.step != 0 {
                return None;
            }
            let at = usize::try_from(offset / range.step).ok()?;
            range.at(at).map(|_| at)
        };
        Ok(Some(match name {
            "start" => Value::Int(self.start),
            "stop" => Value::Int(self.stop),
            "step" => Value::Int(self.step),
            "count" => Value::function("count", move |_, args| {
                let [value] = native_args(args, "range.count", 1)?;
                let found = index_of(&value.unwrap_or_default()).is_some();
                Ok(Value::Int(i64::from(found)))
            }),
            "index" => Value::function("index", move |_, args| {
                let [value] = native_args(args, "range.index", 1)?;
                let value = value.unwrap_or_default();
                match index_of(&value) {
                    Some(at) => Ok(Value::from(at)),
                    None => Err(Error::value_error(format!(
                        "{} is not in range",
                        value.repr()?
                    ))),
                }
            }),
            _ => return Ok(None),
        }))
    }

    fn item(&self, _: &Runtime<'_>, key: &Value) -> Result<Option<Value>> {
        let Some(index) = key.as_index() else {
            return Ok(None);
        };
        let count = i64::try_from(self.count()).unwrap_or(i64::MAX);
        let index = if index < 0 { index + count } else { index };
        let at = usize::try_from(index).ok();
        Ok(at.and_then(|at| self.at(at)).map(Value::Int))
    }

    fn is_sequence(&self) -> bool {
        true
    }

    fn iterate(&self, _: &Runtime<'_>) -> Result<Option<Iter>> {
        Ok(Some(Iter::generator((*self, 0))))
    }

    fn len(&self) -> Option<usize> {
        Some(self.count())
    }

    fn contains(&self, _: &Runtime<'_>, value: &Value) -> Result<Option<bool>> {
        let Some(n) = value.as_index() else {
            return Ok(None);
        };
        let inside = if self.step > 0 {
            self.start <= n && n < self.stop
        } else {
            self.stop < n && n <= self.start
        };
        let offset = n.checked_sub(self.start);
        Ok(Some(
            inside && offset.is_some_and(|offset| offset % self.step == 0),
        ))
    }

    fn repr(&self) -> Result<String> {
        Ok(match self.step {
            1 => format!("range({}, {})", self.start, self.stop),
            step => format!("range({}, {}, {step})", self.start, self.stop),
        })
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        let other = other.downcast::<Self>()?;
        let (a, b) = (self.count(), other.count());
        Some(a == b && (a == 0 || self.start == other.start && (a == 1 || self.step == other.step)))
    }

    fn hash(&self) -> u64 {
        self.count() as u64
    }
}

/// `cycler(…)`.
struct Cycler {
    items: Vec<Value>,
    at: Rc<Cell<usize>>,
}

fn cycler(_: &Runtime<'_>, args: Args) -> Result<Value> {
    if !args.named.is_empty() {
        let name = args.named.first().map_or("", |(name, _)| name);
        return Err(Error::type_error(format!(
            "Cycler.__init__() got an unexpected keyword argument '{name}'"
        )));
    }
    if args.positional.is_empty() {
        return Err(Error::new(
            Kind::Python(Exception::RuntimeError),
            "at least one item has to be provided",
        ));
    }
    Ok(Value::object(Cycler {
        items: args.positional,
        at: Rc::default(),
    }))
}

impl Object for Cycler {
    fn type_name(&self) -> &str {
        "Cycler"
    }

    fn type_repr(&self) -> String {
        "jinja2.utils.Cycler object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let at = Rc::clone(&self.at);
        Ok(Some(match name {
            "current" => self.items.get(at.get()).cloned().unwrap_or_default(),
            "pos" => Value::from(at.get()),
            "items" => Value::tuple(self.items.clone()),
            "next" => {
                let items = self.items.clone();
                Value::function("next", move |_, args| {
                    let [] = args.bind_after(1, "Cycler.next", [], 0)?;
                    let value = items.get(at.get()).cloned().unwrap_or_default();
                    at.set((at.get() + 1) % items.len().max(1));
                    Ok(value)
                })
            }
            "reset" => Value::function("reset", move |_, args| {
                let [] = args.bind_after(1, "Cycler.reset", [], 0)?;
                at.set(0);
                Ok(Value::None)
            }),
            _ => return Ok(None),
        }))
    }

    fn repr(&self) -> Result<String> {
        Ok("<jinja2.utils.Cycler object at 0x7f0000000000>".to_owned())
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.append(&mut self.items);
    }
}

/// `joiner(…)`.
struct Joiner {
    glue: RefCell<Value>,
    used: Cell<bool>,
}

fn joiner(_: &Runtime<'_>, args: Args) -> Result<Value> {
    let [glue] = args.bind("Joiner.__init__", ["sep"], 0)?;
    Ok(Value::object(Joiner {
        glue: RefCell::new(glue.unwrap_or_else(|| Value::text(", "))),
        used: Cell::new(false),
    }))
}

impl Object for Joiner {
    fn type_name(&self) -> &str {
        "Joiner"
    }

    fn type_repr(&self) -> String {
        "jinja2.utils.Joiner object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        Ok(match name {
            "sep" => Some(self.glue.borrow().clone()),
            "used" => Some(Value::Bool(self.used.get())),
            _ => None,
        })
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, _: &Runtime<'_>, args: Args) -> Result<Value> {
        let [] = args.bind_after(1, "Joiner.__call__", [], 0)?;
        if self.used.replace(true) {
            Ok(self.glue.borrow().clone())
        } else {
            Ok(Value::text(""))
        }
    }

    fn repr(&self) -> Result<String> {
        Ok("<jinja2.utils.Joiner object at 0x7f0000000000>".to_owned())
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.push(std::mem::take(self.glue.get_mut()));
    }
}
