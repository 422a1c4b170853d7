//! Evaluates expressions.

use std::rc::Rc;

use indexmap::IndexMap;

use crate::jinja::ast::{
    Applied, Binary, Call, CallArgs, Comparison, Expr, Name, Node, Pos, Slice,
};
use crate::jinja::value::{Args, Dict, DictClass, Key, Str, Undefined, Value, compare, equal};
use crate::jinja::{Error, Result, access, methods, ops};

use super::Run;

impl Run<'_, '_> {
    pub(super) fn eval(&self, expr: &Expr) -> Result<Value> {
        match &expr.node {
            Node::Const(value) => Ok(value.clone()),
            Node::Name(name) => Ok(self.name(name)),
            Node::Attribute(target, name) => self.attribute(target, name, expr.pos),
            _ => self.compound(expr),
        }
    }

    #[inline(never)]
    fn compound(&self, expr: &Expr) -> Result<Value> {
        self.rt.check_stack()?;
        self.rt.charge(1)?;
        match &expr.node {
            Node::Const(value) => Ok(value.clone()),
            Node::Name(name) => Ok(self.name(name)),
            Node::Attribute(target, name) => self.attribute(target, name, expr.pos),
            Node::Call(call) => self.call(call, expr.pos),
            Node::Filter(applied) => self.filter(applied, None, expr.pos),
            Node::Item(target, key) => self.item(target, key, expr.pos),
            Node::Test(applied) => self.test(applied, expr.pos).map(Value::Bool),
            Node::Tuple(items) => self.all(items).map(Value::tuple),
            Node::List(items) => self.all(items).map(Value::list),
            Node::Dict(items) => self.dict(items),
            Node::Cond(cond) => {
                if self.truth(&cond.test)? {
                    self.eval(&cond.then)
                } else if let Some(otherwise) = &cond.otherwise {
                    self.eval(otherwise)
                } else {
                    Ok(self.missing_else(expr.pos))
                }
            }
            Node::Concat(parts) => self.concat(parts, expr.pos),
            Node::Binary(op, left, right) => self.binary(*op, left, right, expr.pos),
            Node::Negative(inner) => {
                let value = self.eval(inner)?;
                ops::negative(&value).map_err(|error| error.at_pos(expr.pos))
            }
            Node::Positive(inner) => {
                let value = self.eval(inner)?;
                ops::positive(&value).map_err(|error| error.at_pos(expr.pos))
            }
            Node::Not(inner) => self.truth(inner).map(|truth| Value::Bool(!truth)),
            Node::And(left, right) => {
                let value = self.eval(left)?;
                if self.true_at(&value, left.pos)? {
                    self.eval(right)
                } else {
                    Ok(value)
                }
            }
            Node::Or(left, right) => {
                let value = self.eval(left)?;
                if self.true_at(&value, left.pos)? {
                    Ok(value)
                } else {
                    self.eval(right)
                }
            }
            Node::Compare(first, rest) => self.comparison(first, rest).map(Value::Bool),
            Node::Slice(slice) => self.slice(slice, expr.pos),
        }
    }

    fn name(&self, name: &Name) -> Value {
        match self.frame.get(name.slot) {
            Some(value) => value,
            None => self.rt.undefined(&name.name),
        }
    }

    fn true_at(&self, value: &Value, pos: Pos) -> Result<bool> {
        value.is_true().map_err(|error| error.at_pos(pos))
    }

    fn truth(&self, expr: &Expr) -> Result<bool> {
        let value = self.eval(expr)?;
        self.true_at(&value, expr.pos)
    }

    fn missing_else(&self, pos: Pos) -> Value {
        let place = self.position(pos);
        // This one is never strict, whatever the environment says.
        let hint = format!(
            "the inline if-expression on {place} evaluated to false and no else section was defined."
        );
        let undefined = Undefined::hint(crate::jinja::UndefinedKind::Default, hint);
        Value::Undefined(Rc::new(undefined))
    }

    /// How Jinja's own messages name a place.
    pub(super) fn position(&self, pos: Pos) -> String {
        match &self.template.source.name {
            Some(name) => format!(
                "line {} in {}",
                pos.reported,
                crate::jinja::value::repr_str(name)
            ),
            None => format!("line {}", pos.reported),
        }
    }

    fn all(&self, items: &[Expr]) -> Result<Vec<Value>> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    fn dict(&self, items: &[(Expr, Expr)]) -> Result<Value> {
        let mut entries = IndexMap::with_capacity(items.len());
        for (key, value) in items {
            let name = self.eval(key)?;
            let value = self.eval(value)?;
            let name = Key::new(name).map_err(|error| error.at_pos(key.pos))?;
            entries.insert(name, value);
        }
        Ok(Value::Dict(Dict::of(DictClass::Dict, entries)))
    }

    fn concat(&self, parts: &[Expr], pos: Pos) -> Result<Value> {
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            values.push((self.eval(part)?, part.pos));
        }
        let markup = self.rt.autoescape()
            && values
                .iter()
                .any(|(value, _)| matches!(value, Value::Str(text) if text.is_markup()));
        let mut text = String::new();
        for (value, at) in values {
            let piece = value.str().map_err(|error| error.at_pos(at))?;
            let safe = matches!(&value, Value::Str(text) if text.is_markup());
            if markup && !safe {
                text += &crate::jinja::filters::escape_text(&piece);
            } else {
                text += &piece;
            }
            self.rt
                .charge_bytes(text.len())
                .map_err(|error| error.at_pos(pos))?;
        }
        Ok(Value::Str(if markup {
            Str::markup(text)
        } else {
            text.into()
        }))
    }

    fn binary(&self, op: Binary, left: &Expr, right: &Expr, pos: Pos) -> Result<Value> {
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        ops::binary(self.rt, op, &left, &right).map_err(|error| error.at_pos(pos))
    }

    fn comparison(&self, first: &Expr, rest: &[(Comparison, Expr)]) -> Result<bool> {
        let mut left = self.eval(first)?;
        for (comparison, expr) in rest {
            let right = self.eval(expr)?;
            let holds = match comparison {
                Comparison::Eq => equal(&left, &right),
                Comparison::Ne => equal(&left, &right).map(|equal| !equal),
                Comparison::Lt => compare("<", &left, &right),
                Comparison::Le => compare("<=", &left, &right),
                Comparison::Gt => compare(">", &left, &right),
                Comparison::Ge => compare(">=", &left, &right),
                Comparison::In => ops::contains(self.rt, &right, &left),
                Comparison::NotIn => {
                    ops::contains(self.rt, &right, &left).map(|contains| !contains)
                }
            };
            let pos = match &left {
                Value::Undefined(_) => first.pos,
                _ => expr.pos,
            };
            if !holds.map_err(|error| error.at_pos(pos))? {
                return Ok(false);
            }
            left = right;
        }
        Ok(true)
    }

    #[inline(never)]
    fn attribute(&self, target: &Expr, name: &Str, pos: Pos) -> Result<Value> {
        self.rt.check_stack()?;
        let value = self.eval(target)?;
        let pos = place_of(&value, target, pos);
        access::attribute(self.rt, &value, name).map_err(|error| error.at_pos(pos))
    }

    fn item(&self, target: &Expr, key: &Expr, pos: Pos) -> Result<Value> {
        let value = self.eval(target)?;
        let key = self.eval(key)?;
        let pos = place_of(&value, target, pos);
        access::item(self.rt, &value, &key).map_err(|error| error.at_pos(pos))
    }

    fn slice(&self, slice: &Slice, pos: Pos) -> Result<Value> {
        let value = self.eval(&slice.target)?;
        let part = |part: &Option<Expr>| match part {
            Some(expr) => self.eval(expr),
            None => Ok(Value::None),
        };
        let (start, stop, step) = (part(&slice.start)?, part(&slice.stop)?, part(&slice.step)?);
        access::slice(self.rt, &value, &start, &stop, &step).map_err(|error| error.at_pos(pos))
    }

    #[inline(never)]
    fn call(&self, call: &Call, pos: Pos) -> Result<Value> {
        // A method of a built-in type is called without making a bound method.
        if let Node::Attribute(target, name) = &call.callee.node {
            let value = self.eval(target)?;
            if let Some(method) = methods::find(&value, name) {
                let args = self.args(&call.args)?;
                return method(self.rt, &value, args).map_err(|error| error.at_pos(pos));
            }
            let at = place_of(&value, target, call.callee.pos);
            let callee = access::attribute(self.rt, &value, name);
            let callee = callee.map_err(|error| error.at_pos(at))?;
            return self.call_value(&callee, &call.args, None, call.callee.pos);
        }
        let callee = self.eval(&call.callee)?;
        self.call_value(&callee, &call.args, None, call.callee.pos)
    }

    /// Calls with the caller of a call block.
    pub(super) fn call_with_caller(&self, call: &Call, caller: Value) -> Result<Value> {
        let callee = self.eval(&call.callee)?;
        self.call_value(&callee, &call.args, Some(caller), call.callee.pos)
    }

    fn call_value(
        &self,
        callee: &Value,
        args: &CallArgs,
        caller: Option<Value>,
        pos: Pos,
    ) -> Result<Value> {
        let mut args = self.args(args)?;
        if let Some(caller) = caller {
            args.named.push(("caller".into(), caller));
        }
        access::call(self.rt, callee, args).map_err(|error| error.at_pos(pos))
    }

    fn args(&self, args: &CallArgs) -> Result<Args> {
        let mut positional = Vec::with_capacity(args.positional.len());
        for expr in &args.positional {
            positional.push(self.eval(expr)?);
        }
        if let Some(star) = &args.star {
            let value = self.eval(star)?;
            let items = value.items(self.rt).map_err(|error| {
                let text = error.message().to_owned();
                let error = match text.strip_suffix(" object is not iterable") {
                    Some(name) => error.with_message(format!(
                        "argument after * must be an iterable, not {}",
                        name.trim_matches('\'')
                    )),
                    None => error,
                };
                error.at_pos(star.pos)
            })?;
            positional.extend(items);
        }
        let mut named: Vec<(Str, Value)> = Vec::with_capacity(args.named.len());
        for (name, expr) in &args.named {
            named.push((name.clone(), self.eval(expr)?));
        }
        if let Some(stars) = &args.double_star {
            let value = self.eval(stars)?;
            let more = self.keywords(&value).map_err(|e| e.at_pos(stars.pos))?;
            for (name, value) in more {
                if named.iter().any(|(known, _)| *known == name) {
                    return Err(Error::type_error(format!(
                        "got multiple values for keyword argument '{}'",
                        &*name
                    ))
                    .at_pos(stars.pos));
                }
                named.push((name, value));
            }
        }
        Ok(Args { positional, named })
    }

    fn keywords(&self, value: &Value) -> Result<Vec<(Str, Value)>> {
        let entries = access::mapping_entries(self.rt, value)?;
        let Some(entries) = entries else {
            return Err(match value {
                Value::Undefined(undefined) => undefined.error(),
                other => Error::type_error(format!(
                    "argument after ** must be a mapping, not {}",
                    other.type_name()
                )),
            });
        };
        let named = entries.into_iter().map(|(key, value)| match key {
            Value::Str(name) => Ok((name, value)),
            _ => Err(Error::type_error("keywords must be strings")),
        });
        named.collect()
    }

    /// Applies the filters of a block to its text.
    pub(super) fn filter_on(&self, filter: &Expr, text: Value) -> Result<Value> {
        match &filter.node {
            Node::Filter(applied) => self.filter(applied, Some(text), filter.pos),
            _ => Ok(text),
        }
    }

    #[inline(never)]
    fn filter(&self, applied: &Applied, block: Option<Value>, pos: Pos) -> Result<Value> {
        self.rt.check_stack()?;
        let value = match (&applied.target, block) {
            (None, Some(text)) => text,
            (None, None) => Value::None,
            (Some(target), Some(text)) => self.filter_on(target, text)?,
            (Some(target), None) => self.eval(target)?,
        };
        let pos = match &applied.target {
            Some(target) => place_of(&value, target, pos),
            None => pos,
        };
        let mut args = self.args(&applied.args)?;
        args.positional.insert(0, value);
        access::filter(self.rt, &applied.name, args).map_err(|error| error.at_pos(pos))
    }

    #[inline(never)]
    fn test(&self, applied: &Applied, pos: Pos) -> Result<bool> {
        let value = match &applied.target {
            Some(target) => self.eval(target)?,
            None => Value::None,
        };
        let mut args = self.args(&applied.args)?;
        args.positional.insert(0, value);
        access::test(self.rt, &applied.name, args)
            .and_then(|value| value.is_true())
            .map_err(|error| error.at_pos(pos))
    }
}

/// Where to point when using `value` fails: an undefined value is a mistake
/// where it was named, everything else where it was used.
fn place_of(value: &Value, target: &Expr, used: Pos) -> Pos {
    match value {
        Value::Undefined(_) => target.pos,
        _ => used,
    }
}
