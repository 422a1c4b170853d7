//! Macros, call blocks, namespaces and references to blocks.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;

use crate::jinja::ast::{Expr, MacroDef, Name, Node, Pos};
use crate::jinja::context::{BlockCode, Context};
use crate::jinja::rendered::Output;
use crate::jinja::value::{Args, Dict, Key, Object, Str, Value, drop_flat, repr_str};
use crate::jinja::{Error, Result, Runtime};

use super::{Closure, Run, SharedMacro, run_block};

/// A macro, or the body of a call block.
pub(crate) struct Macro {
    def: SharedMacro,
    closure: Closure,
    autoescape: bool,
}

impl Run<'_, '_> {
    pub(super) fn make_macro(&self, def: &SharedMacro) -> Macro {
        Macro {
            def: Rc::clone(def),
            closure: Closure::of(self),
            autoescape: self.rt.autoescape(),
        }
    }

    pub(super) fn define_macro(&self, target: &Name, def: &SharedMacro, exported: bool) {
        let value = Value::object(self.make_macro(def));
        self.frame.set(target.slot, Some(value.clone()));
        if exported {
            if !target.name.starts_with('_') {
                let mut names = self.context.exported.borrow_mut();
                names.insert(Rc::clone(&target.name));
            }
            self.set_var(&target.name, value);
        }
    }

    pub(super) fn call_block(
        &self,
        call: &Expr,
        def: &SharedMacro,
        pos: Pos,
        out: &mut Output,
    ) -> Result<()> {
        let caller = Value::object(self.make_macro(def));
        self.at(pos);
        let Node::Call(call) = &call.node else {
            return Ok(());
        };
        let value = self.call_with_caller(call, caller)?;
        self.write_as_it_is(&value, pos, out)
    }
}

impl Macro {
    /// Runs the macro without arguments; what it prints.
    pub(super) fn text(&self, rt: &Runtime<'_>) -> Result<Output> {
        self.run(rt, Args::default())
    }

    fn run(&self, rt: &Runtime<'_>, args: Args) -> Result<Output> {
        let _level = rt.enter()?;
        let function = &self.def.function;
        let former = rt.set_autoescape(self.autoescape);
        let run = self.closure.run(rt, function.slots);
        run.at(self.def.pos);
        let bound = self.bind(rt, &run, args);
        let result = bound.and_then(|()| {
            run.within(|| {
                let mut out = Output::default();
                run.enter(&function.entry);
                for param in &self.def.params {
                    let slot = crate::jinja::ast::Slot {
                        up: 0,
                        index: param.slot,
                    };
                    if run.frame.get(slot).is_some() {
                        continue;
                    }
                    let value = match &param.default {
                        Some(default) => run.eval(default)?,
                        None => rt.undefined_hint(format!(
                            "parameter {} was not provided",
                            repr_str(&param.name)
                        )),
                    };
                    run.frame.set_own(param.slot, Some(value));
                }
                run.body(&function.body, &mut out)?;
                Ok(out)
            })
        });
        rt.set_autoescape(former);
        result
    }

    fn bind(&self, rt: &Runtime<'_>, run: &Run<'_, '_>, args: Args) -> Result<()> {
        let def = &*self.def;
        let name = def
            .name
            .as_deref()
            .map_or_else(|| "None".to_owned(), repr_str);
        let mut positional = args.positional.into_iter();
        let mut named = args.named;
        let mut found_caller = def.explicit_caller;
        let mut take = |wanted: &str| -> Option<Value> {
            let at = named.iter().position(|(name, _)| &**name == wanted)?;
            Some(named.remove(at).1)
        };
        for param in &def.params {
            let value = match positional.next() {
                Some(value) => Some(value),
                None => {
                    found_caller |= &*param.name == "caller";
                    take(&param.name)
                }
            };
            run.frame.set_own(param.slot, value);
        }
        if let Some(slot) = def.caller
            && !found_caller
        {
            let caller = match take("caller") {
                None | Some(Value::None) => rt.undefined_hint("No caller defined"),
                Some(caller) => caller,
            };
            run.frame.set_own(slot, Some(caller));
        }
        if let Some(slot) = def.kwargs {
            let entries = named
                .drain(..)
                .map(|(name, value)| (Key::text(name), value));
            let dict = Dict::of(crate::jinja::DictClass::Dict, entries.collect());
            run.frame.set_own(slot, Some(Value::Dict(dict)));
        } else if let Some((first, _)) = named.first() {
            let message = if named.iter().any(|(name, _)| &**name == "caller") {
                format!(
                    "macro {name} was invoked with two values for the special caller argument. \
                     This is most likely a bug."
                )
            } else {
                let first = repr_str(first);
                format!("macro {name} takes no keyword argument {first}")
            };
            return Err(Error::type_error(message));
        }
        let rest: Vec<Value> = positional.collect();
        if let Some(slot) = def.varargs {
            run.frame.set_own(slot, Some(Value::tuple(rest)));
        } else if !rest.is_empty() {
            let most = def.params.len();
            return Err(Error::type_error(format!(
                "macro {name} takes not more than {most} argument(s)"
            )));
        }
        Ok(())
    }

    fn param_names(def: &MacroDef) -> Value {
        let names = def.params.iter().map(|p| Value::text(Rc::clone(&p.name)));
        Value::tuple(names.collect())
    }
}

impl Object for Macro {
    fn type_name(&self) -> &str {
        "Macro"
    }

    fn type_repr(&self) -> String {
        "jinja2.runtime.Macro object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let def = &*self.def;
        Ok(Some(match name {
            "name" => def.name.clone().map_or(Value::None, Value::text),
            "arguments" => Self::param_names(def),
            "catch_kwargs" => Value::Bool(def.kwargs.is_some()),
            "catch_varargs" => Value::Bool(def.varargs.is_some()),
            "caller" => Value::Bool(def.caller.is_some() || def.explicit_caller),
            "explicit_caller" => Value::Bool(def.params.iter().any(|p| &*p.name == "caller")),
            _ => return Ok(None),
        }))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, rt: &Runtime<'_>, args: Args) -> Result<Value> {
        let out = self.run(rt, args)?;
        let markup = rt.autoescape();
        Ok(Value::Str(Str::traced(out.text, markup, out.spans)))
    }

    fn repr(&self) -> Result<String> {
        Ok(match &self.def.name {
            Some(name) => format!("<Macro {}>", repr_str(name)),
            None => "<Macro anonymous>".to_owned(),
        })
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        self.closure.release(out);
    }
}

/// `namespace(…)`: attributes that templates can assign.
pub(crate) struct Namespace(RefCell<IndexMap<Str, Value>>);

impl std::hash::Hash for Str {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Namespace {
    pub(crate) fn new(attributes: Vec<(Str, Value)>) -> Self {
        Self(RefCell::new(attributes.into_iter().collect()))
    }

    pub(crate) fn set(&self, name: &Str, value: Value) {
        let former = self.0.borrow_mut().insert(name.clone(), value);
        drop(former);
    }

    fn as_dict(&self) -> Value {
        let attributes = self.0.borrow();
        let entries = attributes.iter().map(|(k, v)| (k.clone(), v.clone()));
        Value::Dict(entries.collect())
    }
}

impl Object for Namespace {
    fn type_name(&self) -> &str {
        "Namespace"
    }

    fn type_repr(&self) -> String {
        "jinja2.utils.Namespace object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        Ok(self.0.borrow().get(&Str::from(name)).cloned())
    }

    fn repr(&self) -> Result<String> {
        self.repr_within(&mut Vec::new())
    }

    fn repr_within(&self, open: &mut Vec<usize>) -> Result<String> {
        let own = std::ptr::from_ref(self).addr();
        if open.contains(&own) {
            return Ok("<Namespace {...}>".to_owned());
        }
        open.push(own);
        let attributes = self.as_dict().repr_within(open);
        open.pop();
        Ok(format!("<Namespace {}>", attributes?))
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.extend(self.0.get_mut().drain(..).map(|(_, value)| value));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let values = self.0.get_mut().drain(..).map(|(_, value)| value);
        drop_flat(values.collect());
    }
}

/// `self`: the blocks of the template by name.
pub(crate) struct OwnBlocks(Rc<Context>);

impl OwnBlocks {
    pub(super) fn value(context: &Rc<Context>) -> Value {
        Value::object(Self(Rc::clone(context)))
    }
}

impl Object for OwnBlocks {
    fn type_name(&self) -> &str {
        "TemplateReference"
    }

    fn type_repr(&self) -> String {
        "jinja2.runtime.TemplateReference object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        let versions = self.0.blocks.borrow().get(name).cloned();
        Ok(versions.map(|versions| block_value(name, &self.0, versions, 0)))
    }

    fn item(&self, rt: &Runtime<'_>, key: &Value) -> Result<Option<Value>> {
        match key.as_str() {
            Some(name) => self.attribute(rt, name),
            None => Ok(None),
        }
    }

    fn repr(&self) -> Result<String> {
        Ok("<TemplateReference None>".to_owned())
    }
}

/// One version of a block: `self.name` or `super`.
struct BlockObject {
    name: Rc<str>,
    context: Rc<Context>,
    versions: Vec<BlockCode>,
    depth: usize,
}

fn block_value(name: &str, context: &Rc<Context>, versions: Vec<BlockCode>, depth: usize) -> Value {
    Value::object(BlockObject {
        name: name.into(),
        context: Rc::clone(context),
        versions,
        depth,
    })
}

/// `super` inside a version of a block.
pub(super) fn parent_block(rt: &Runtime<'_>, context: &Rc<Context>, block: &BlockCode) -> Value {
    let name = &block.def.name;
    let versions = context.blocks.borrow().get(name).cloned();
    let versions = versions.unwrap_or_default();
    let own = versions
        .iter()
        .position(|version| Rc::ptr_eq(&version.def, &block.def));
    match own {
        Some(own) if own + 1 < versions.len() => block_value(name, context, versions, own + 1),
        _ => no_parent(rt, name),
    }
}

fn no_parent(rt: &Runtime<'_>, name: &str) -> Value {
    let name = repr_str(name);
    rt.undefined_hint(format!("there is no parent block called {name}."))
}

impl Object for BlockObject {
    fn type_name(&self) -> &str {
        "BlockReference"
    }

    fn type_repr(&self) -> String {
        "jinja2.runtime.BlockReference object".to_owned()
    }

    fn attribute(&self, rt: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        Ok(match name {
            "name" => Some(Value::text(Rc::clone(&self.name))),
            "super" if self.depth + 1 < self.versions.len() => Some(block_value(
                &self.name,
                &self.context,
                self.versions.clone(),
                self.depth + 1,
            )),
            "super" => Some(no_parent(rt, &self.name)),
            _ => None,
        })
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call(&self, rt: &Runtime<'_>, _: Args) -> Result<Value> {
        let mut out = Output::default();
        if let Some(code) = self.versions.get(self.depth) {
            run_block(rt, &self.context, code, &mut out)?;
        }
        Ok(Value::Str(Str::traced(
            out.text,
            rt.autoescape(),
            out.spans,
        )))
    }
}
