//! `for` and what `loop` is inside it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::jinja::ast::{For, Pos};
use crate::jinja::context::Frame;
use crate::jinja::rendered::Output;
use crate::jinja::value::{Args, Generator, Iter, Object, Value, equal};
use crate::jinja::{Error, Result, Runtime};

use super::{Closure, Flow, Run, SharedLoop};

impl Run<'_, '_> {
    pub(super) fn for_stmt(&self, node: &SharedLoop, pos: Pos, out: &mut Output) -> Result<()> {
        self.at(pos);
        let iterable = self.eval(&node.iter)?;
        if node.recursive.is_none() {
            return self
                .loop_over(node, &iterable, 0, out)
                .map_err(|error| error.at_pos(node.iter.pos));
        }
        let closure = Closure::of(self);
        let value = run_recursive(self.rt, node, &closure, &iterable, 0)?;
        self.write(&value, pos, out)
    }

    /// Walks the values as the loop says.
    fn loop_over(
        &self,
        node: &SharedLoop,
        iterable: &Value,
        depth: i64,
        out: &mut Output,
    ) -> Result<()> {
        let at_iter = |error: Error| error.at_pos(node.iter.pos);
        let filtered = node.filter.is_some();
        let mut iter = if filtered {
            Iter::generator(Filtered {
                closure: Closure::of(self),
                node: Rc::clone(node),
                iterable: iterable.clone(),
                source: None,
                frame: None,
            })
        } else {
            iterable.iter(self.rt).map_err(at_iter)?
        };
        let mut walked = false;
        if let Some(slot) = node.loop_slot {
            let sized = (!filtered && known_length(iterable).is_some()).then(|| iterable.clone());
            let state = LoopState {
                iter,
                index: -1,
                current: None,
                before: None,
                after: None,
                sized,
                length: None,
                changed: None,
            };
            let object = Rc::new(LoopObject {
                state: Rc::new(RefCell::new(state)),
                depth,
                recursion: node.recursive.map(|_| (Rc::clone(node), self.recursion())),
            });
            self.frame.set_own(slot, None);
            loop {
                self.at(node.pos);
                let Some(value) = object.advance(self.rt).map_err(at_iter)? else {
                    break;
                };
                walked = true;
                self.assign(&node.target, value).map_err(at_iter)?;
                let as_object: Rc<dyn Object> = object.clone();
                self.frame.set_own(slot, Some(Value::Object(as_object)));
                self.enter(&node.entry);
                if self.body(&node.body, out)? == Flow::Break {
                    break;
                }
            }
        } else {
            loop {
                self.at(node.pos);
                let Some(value) = iter.next(self.rt).map_err(at_iter)? else {
                    break;
                };
                walked = true;
                self.assign(&node.target, value).map_err(at_iter)?;
                self.enter(&node.entry);
                if self.body(&node.body, out)? == Flow::Break {
                    break;
                }
            }
        }
        if let Some((body, entry)) = &node.otherwise
            && !walked
        {
            self.enter(entry);
            self.body(body, out)?;
        }
        Ok(())
    }

    /// A recursive loop calls itself with the frame it was defined in.
    fn recursion(&self) -> Closure {
        let mut closure = Closure::of(self);
        if let Some(parent) = self.frame.parent() {
            closure.frame = parent;
        }
        closure
    }
}

/// Runs a recursive loop as the function it is; its text.
fn run_recursive(
    rt: &Runtime<'_>,
    node: &SharedLoop,
    closure: &Closure,
    iterable: &Value,
    depth: i64,
) -> Result<Value> {
    let _level = rt.enter()?;
    let run = closure.run(rt, node.recursive.unwrap_or(0));
    run.at(node.pos);
    run.parent.borrow_mut().clone_from(&closure.parent);
    run.within(|| {
        let mut out = Output::default();
        run.loop_over(node, iterable, depth, &mut out)?;
        Ok(run.captured(out))
    })
}

/// The length of a value that knows it.
fn known_length(value: &Value) -> Option<usize> {
    match value {
        Value::Str(text) => Some(text.char_len()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::List(list) => Some(list.len()),
        Value::Tuple(items) => Some(items.len()),
        Value::Dict(dict) => Some(dict.len()),
        Value::Set(set) => Some(set.len()),
        Value::Undefined(_) => Some(0),
        Value::Object(object) => object.len(),
        _ => None,
    }
}

/// The values that pass the `if` of a loop.
struct Filtered {
    closure: Closure,
    node: SharedLoop,
    iterable: Value,
    /// The walk, once it has begun.
    source: Option<Iter>,
    frame: Option<Rc<Frame>>,
}

impl Generator for Filtered {
    fn next(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        let Some(filter) = &self.node.filter else {
            return Ok(None);
        };
        let mut run = self.closure.run(rt, filter.slots);
        match &self.frame {
            Some(frame) => run.frame = Rc::clone(frame),
            None => {
                run.enter(&filter.entry);
                self.frame = Some(Rc::clone(&run.frame));
            }
        }
        run.at(filter.test.pos);
        let (iterable, source, test) = (&self.iterable, &mut self.source, &filter.test);
        run.within(|| {
            let source = match source {
                Some(source) => source,
                None => source.insert(iterable.iter(rt)?),
            };
            while let Some(value) = source.next(rt)? {
                run.assign(&filter.target, value.clone())?;
                let passes = run.eval(test)?.is_true();
                if passes.map_err(|error| error.at_pos(test.pos))? {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        })
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.push(std::mem::take(&mut self.iterable));
        if let Some(source) = &mut self.source {
            source.release(out);
        }
        self.closure.release(out);
    }
}

/// `loop`.
pub(crate) struct LoopObject {
    state: Rc<RefCell<LoopState>>,
    depth: i64,
    recursion: Option<(Rc<For>, Closure)>,
}

struct LoopState {
    iter: Iter,
    index: i64,
    current: Option<Value>,
    before: Option<Value>,
    after: Option<Value>,
    /// What is looped over, if it knows its length, which may change meanwhile.
    sized: Option<Value>,
    /// The length as it was when it was first asked for.
    length: Option<usize>,
    changed: Option<Vec<Value>>,
}

impl LoopState {
    fn known_length(&self) -> Option<usize> {
        self.length.or_else(|| known_length(self.sized.as_ref()?))
    }
}

impl LoopObject {
    fn advance(&self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        let mut state = self.state.borrow_mut();
        let next = match state.after.take() {
            Some(value) => Some(value),
            None => state.iter.next(rt)?,
        };
        if let Some(value) = &next {
            state.index += 1;
            let current = state.current.replace(value.clone());
            state.before = current;
        }
        Ok(next)
    }

    fn peek(&self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return Err(Error::value_error("generator already executing"));
        };
        if state.after.is_none() {
            state.after = state.iter.next(rt)?;
        }
        Ok(state.after.clone())
    }

    /// The number of values, for which those of an iterator must all be computed.
    fn length(&self, rt: &Runtime<'_>) -> Result<i64> {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return Err(Error::value_error("generator already executing"));
        };
        if let Some(length) = state.known_length() {
            state.length = Some(length);
            return Ok(i64::try_from(length).unwrap_or(i64::MAX));
        }
        let empty = Iter::values(Vec::new());
        let rest = std::mem::replace(&mut state.iter, empty).collect(rt)?;
        let length = rest.len() + usize::from(state.after.is_some());
        state.iter = Iter::values(rest);
        let walked = usize::try_from(state.index + 1).unwrap_or(0);
        state.length = Some(length + walked);
        Ok(i64::try_from(length + walked).unwrap_or(i64::MAX))
    }

    fn index(&self) -> i64 {
        self.state.try_borrow().map_or(0, |state| state.index)
    }
}

impl Object for LoopObject {
    fn type_name(&self) -> &str {
        "LoopContext"
    }

    fn type_repr(&self) -> String {
        "jinja2.runtime.LoopContext object".to_owned()
    }

    fn attribute(&self, rt: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let index = self.index();
        let hint = |text: &str| rt.undefined_hint(text);
        Ok(Some(match name {
            "index" => Value::Int(index + 1),
            "index0" => Value::Int(index),
            "revindex" => Value::Int(self.length(rt)? - index),
            "revindex0" => Value::Int(self.length(rt)? - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(self.peek(rt)?.is_none()),
            "length" => Value::Int(self.length(rt)?),
            "depth" => Value::Int(self.depth + 1),
            "depth0" => Value::Int(self.depth),
            "previtem" => {
                let before = self.state.try_borrow().ok().and_then(|s| s.before.clone());
                before.unwrap_or_else(|| hint("there is no previous item"))
            }
            "nextitem" => {
                let after = self.peek(rt)?;
                after.unwrap_or_else(|| hint("there is no next item"))
            }
            "cycle" => Value::function("cycle", move |_, args: Args| {
                if args.positional.is_empty() {
                    return Err(Error::type_error("no items for cycling given"));
                }
                let len = i64::try_from(args.positional.len()).unwrap_or(1);
                let at = usize::try_from(index.rem_euclid(len)).unwrap_or(0);
                Ok(args.positional.get(at).cloned().unwrap_or_default())
            }),
            "changed" => {
                let state = Rc::clone(&self.state);
                Value::function("changed", move |_, args| changed(&state, args))
            }
            _ => return Ok(None),
        }))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, rt: &Runtime<'_>, args: Args) -> Result<Value> {
        let [iterable] = args.bind("LoopContext.__call__", ["iterable"], 1)?;
        let Some((node, closure)) = &self.recursion else {
            return Err(Error::type_error(
                "The loop must have the 'recursive' marker to be called recursively.",
            ));
        };
        run_recursive(
            rt,
            node,
            closure,
            &iterable.unwrap_or_default(),
            self.depth + 1,
        )
    }

    fn len(&self) -> Option<usize> {
        self.state.try_borrow().ok()?.known_length()
    }

    fn repr(&self) -> Result<String> {
        let length = self.state.try_borrow_mut().ok().and_then(|mut state| {
            state.length = state.known_length();
            state.length
        });
        let length = length.map_or_else(|| "?".to_owned(), |n| n.to_string());
        Ok(format!("<LoopContext {}/{length}>", self.index() + 1))
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        if let Some(state) = Rc::get_mut(&mut self.state).map(RefCell::get_mut) {
            state.iter.release(out);
            let held = [
                &mut state.current,
                &mut state.before,
                &mut state.after,
                &mut state.sized,
            ];
            out.extend(held.map(Option::take).into_iter().flatten());
        }
        if let Some((_, closure)) = &mut self.recursion {
            closure.release(out);
        }
    }
}

/// `loop.changed(…)`: whether the values differ from those of the last call.
fn changed(state: &RefCell<LoopState>, args: Args) -> Result<Value> {
    let former = match state.try_borrow_mut() {
        Ok(mut state) => state.changed.replace(args.positional.clone()),
        Err(_) => None,
    };
    let same = match former {
        Some(former) => equal(&Value::tuple(former), &Value::tuple(args.positional))?,
        None => false,
    };
    Ok(Value::Bool(!same))
}
