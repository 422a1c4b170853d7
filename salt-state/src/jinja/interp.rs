//! Runs templates: statements.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::ast::{
    BlockCall, Entry, Expr, For, Function, Load, Locals, MacroDef, Name, Pos, SetBlock, Slot, Stmt,
    StmtKind, Target,
};
use super::context::{BlockCode, Context, Frame, Template};
use super::rendered::{Output, Span};
use super::value::{Str, Value};
use super::{Error, Kind, Result, Runtime};

mod data;
mod eval;
mod loops;
mod macros;
mod modules;
mod output;

pub(crate) use macros::Namespace;

/// How a statement ended.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One run of a function of a template.
pub(crate) struct Run<'r, 'e> {
    rt: &'r Runtime<'e>,
    template: Rc<Template>,
    context: Rc<Context>,
    frame: Rc<Frame>,
    /// The line Python's Jinja would report now.
    line: Cell<u32>,
    /// The statement that runs now.
    pos: Cell<(u32, u32)>,
    /// What `extends` named, at the top level of a template.
    parent: RefCell<Option<Rc<Template>>>,
    /// Inside a set block, which prints even in a template that extends another.
    capturing: Cell<bool>,
    /// This is the code of a block.
    in_block: Cell<bool>,
}

/// Runs a template into `out`.
pub(crate) fn run_template(
    rt: &Runtime<'_>,
    template: &Rc<Template>,
    context: &Rc<Context>,
    out: &mut Output,
) -> Result<()> {
    let mut next = Some(Rc::clone(template));
    // Each `extends` is one more level, as each parent runs inside its child.
    let mut levels = Vec::new();
    let former = rt.set_autoescape(rt.environment().options().autoescape);
    let mut run_all = || {
        while let Some(template) = next.take() {
            levels.push(rt.enter()?);
            let run = Run::new(rt, &template, context, template.root.slots, None);
            run.function(&template.root, None, out)?;
            next = run.parent.take();
        }
        Ok(())
    };
    let result = run_all();
    rt.set_autoescape(former);
    result
}

impl<'r, 'e> Run<'r, 'e> {
    pub(crate) fn new(
        rt: &'r Runtime<'e>,
        template: &Rc<Template>,
        context: &Rc<Context>,
        slots: u32,
        parent: Option<Rc<Frame>>,
    ) -> Self {
        Self {
            rt,
            template: Rc::clone(template),
            context: Rc::clone(context),
            frame: Frame::new(slots, parent),
            line: Cell::new(1),
            pos: Cell::new((1, 1)),
            parent: RefCell::new(None),
            capturing: Cell::new(false),
            in_block: Cell::new(false),
        }
    }

    /// Does something as this function: with its context current, and noting
    /// the place when it fails.
    fn within<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let former = self.rt.switch(Some(Rc::clone(&self.context)));
        let result = act();
        self.rt.switch(former);
        result.map_err(|error| {
            let block = self.in_block.get();
            error.leaving(
                &self.template.source,
                self.line.get(),
                self.pos.get(),
                block,
            )
        })
    }

    /// Runs a template's or a block's code.
    fn function(
        &self,
        function: &Function,
        block: Option<&BlockCode>,
        out: &mut Output,
    ) -> Result<()> {
        self.within(|| {
            if let Some(slot) = function.own {
                let own = macros::OwnBlocks::value(&self.context);
                self.frame.set_own(slot, Some(own));
            }
            if let (Some(slot), Some(block)) = (function.parent, block) {
                let parent = macros::parent_block(self.rt, &self.context, block);
                self.frame.set_own(slot, Some(parent));
            }
            self.enter(&function.entry);
            self.body(&function.body, out)?;
            Ok(())
        })
    }

    /// Sets the variables of a scope as they are when it is entered.
    fn enter(&self, entry: &Entry) {
        for (slot, load) in &entry.loads {
            let value = match load {
                Load::Resolve(name) => self.rt.resolve(&self.context, name),
                Load::Alias(outer) => self.frame.get(*outer),
                Load::Missing => None,
            };
            self.frame.set_own(*slot, value);
        }
    }

    fn at(&self, pos: Pos) {
        self.line.set(pos.reported);
        self.pos.set((pos.line, pos.column));
    }

    fn body(&self, body: &[Stmt], out: &mut Output) -> Result<Flow> {
        for stmt in body {
            self.rt.charge(1)?;
            let flow = self.stmt(stmt, out)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn stmt(&self, stmt: &Stmt, out: &mut Output) -> Result<Flow> {
        match &stmt.kind {
            StmtKind::Output(pieces) => self.output(pieces, out)?,
            StmtKind::For(node) => self.for_stmt(node, stmt.pos, out)?,
            StmtKind::If(branches, otherwise) => {
                for branch in branches {
                    self.at(branch.pos);
                    if self.eval(&branch.test)?.is_true()? {
                        return self.body(&branch.body, out);
                    }
                }
                if let Some(body) = otherwise {
                    return self.body(body, out);
                }
            }
            StmtKind::Set {
                target,
                value,
                export,
            } => self.set(target, value, export, stmt.pos)?,
            StmtKind::Do(expr) => {
                self.at(stmt.pos);
                self.eval(expr)?;
            }
            StmtKind::Macro {
                target,
                def,
                exported,
            } => self.define_macro(target, def, *exported),
            StmtKind::CallBlock { call, def } => self.call_block(call, def, stmt.pos, out)?,
            StmtKind::FilterBlock {
                filter,
                body,
                entry,
            } => self.filter_block(filter, body, entry, stmt.pos, out)?,
            StmtKind::SetBlock(set) => self.set_block(set, stmt.pos)?,
            StmtKind::With {
                targets,
                body,
                entry,
            } => {
                self.at(stmt.pos);
                self.with(targets, entry)?;
                return self.body(body, out);
            }
            StmtKind::Autoescape { value, body, entry } => {
                self.at(stmt.pos);
                self.enter(entry);
                let on = self.eval(value)?.is_true()?;
                let former = self.rt.set_autoescape(on);
                let flow = self.body(body, out);
                self.rt.set_autoescape(former);
                return flow;
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Include(include) => {
                self.at(stmt.pos);
                self.include(include, out)?;
            }
            StmtKind::Import(import) => {
                self.at(stmt.pos);
                self.import(import)?;
            }
            StmtKind::FromImport(import) => {
                self.at(stmt.pos);
                self.import_names(import, stmt.pos)?;
            }
            StmtKind::Extends(template) => {
                self.at(stmt.pos);
                self.extends(template)?;
            }
            StmtKind::Block(block) => self.block(block, stmt.pos, out)?,
            StmtKind::Load {
                format,
                target,
                def,
                export,
            } => {
                self.at(stmt.pos);
                let value = self.load_block(*format, def)?;
                self.assign(target, value)?;
                self.export(export);
            }
            StmtKind::ImportData(import) => {
                self.at(stmt.pos);
                self.import_data(import)?;
            }
        }
        Ok(Flow::Next)
    }

    fn set(&self, target: &Target, value: &Expr, export: &[Name], pos: Pos) -> Result<()> {
        self.at(pos);
        self.check_namespaces(target)?;
        let value = self.eval(value)?;
        self.assign(target, value)?;
        self.export(export);
        Ok(())
    }

    fn check_namespaces(&self, target: &Target) -> Result<()> {
        match target {
            Target::Name(_) => Ok(()),
            Target::Tuple(all) => all.iter().try_for_each(|one| self.check_namespaces(one)),
            Target::Namespace { namespace, .. } => match self.frame.get(namespace.slot) {
                Some(value) if value.downcast::<Namespace>().is_some() => Ok(()),
                _ => Err(Error::new(
                    Kind::Runtime,
                    "cannot assign attribute on non-namespace object",
                )),
            },
        }
    }

    /// Assigns a value to names, unpacking it for a tuple of them.
    fn assign(&self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => {
                self.frame.set(name.slot, Some(value));
                Ok(())
            }
            Target::Namespace {
                namespace,
                attribute,
            } => {
                let object = self.frame.get(namespace.slot);
                if let Some(space) = object.as_ref().and_then(Value::downcast::<Namespace>) {
                    space.set(attribute, value);
                }
                Ok(())
            }
            Target::Tuple(targets) => {
                let values = self.unpack(&value, targets.len())?;
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
                Ok(())
            }
        }
    }

    fn unpack(&self, value: &Value, wanted: usize) -> Result<Vec<Value>> {
        let mut iter = value.iter(self.rt).map_err(|error| {
            if error.message().ends_with("object is not iterable") {
                let name = value.type_name();
                Error::type_error(format!("cannot unpack non-iterable {name} object"))
            } else {
                error
            }
        })?;
        let mut values = Vec::new();
        while values.len() < wanted {
            match iter.next(self.rt)? {
                Some(value) => values.push(value),
                None => {
                    return Err(Error::value_error(format!(
                        "not enough values to unpack (expected {wanted}, got {})",
                        values.len()
                    )));
                }
            }
        }
        if iter.next(self.rt)?.is_some() {
            return Err(Error::value_error(format!(
                "too many values to unpack (expected {wanted})"
            )));
        }
        Ok(values)
    }

    /// Makes top-level variables visible to blocks and importers.
    fn export(&self, names: &[Name]) {
        for name in names {
            if let Some(value) = self.frame.get(name.slot) {
                self.set_var(&name.name, value);
                if !name.name.starts_with('_') {
                    let mut exported = self.context.exported.borrow_mut();
                    exported.insert(Rc::clone(&name.name));
                }
            }
        }
    }

    fn set_var(&self, name: &Rc<str>, value: Value) {
        let former = {
            let mut vars = self.context.vars.borrow_mut();
            vars.insert(Rc::clone(name), value)
        };
        drop(former);
    }

    fn with(&self, targets: &[(Target, Expr)], entry: &Entry) -> Result<()> {
        // Each value is computed after the targets before it are set; the
        // names in it are those of the scope outside, so the order only shows
        // in side effects.
        self.enter(entry);
        for (target, value) in targets {
            let value = self.eval(value)?;
            self.assign(target, value)?;
        }
        Ok(())
    }

    fn set_block(&self, set: &SetBlock, pos: Pos) -> Result<()> {
        self.check_namespaces(&set.target)?;
        self.enter(&set.entry);
        let former = self.capturing.replace(true);
        let text = self.capture(|out| self.body(&set.body, out));
        self.capturing.set(former);
        let text = text?;
        self.at(pos);
        let value = match &set.filter {
            Some(filter) => self.filter_on(filter, text)?,
            None => text,
        };
        let value = match &value {
            Value::Str(text) if text.is_markup() => value,
            other if self.rt.autoescape() => {
                Value::Str(Str::traced(other.str()?, true, Vec::new()))
            }
            _ => value,
        };
        self.assign(&set.target, value)?;
        self.export(&set.export);
        Ok(())
    }

    fn filter_block(
        &self,
        filter: &Expr,
        body: &[Stmt],
        entry: &Entry,
        pos: Pos,
        out: &mut Output,
    ) -> Result<()> {
        self.enter(entry);
        let text = self.capture(|out| self.body(body, out))?;
        self.at(pos);
        let value = self.filter_on(filter, text)?;
        self.write_as_it_is(&value, pos, out)
    }

    /// The text that `act` prints, with its origins.
    fn capture(&self, act: impl FnOnce(&mut Output) -> Result<Flow>) -> Result<Value> {
        let mut out = Output::default();
        act(&mut out)?;
        Ok(self.captured(out))
    }

    fn captured(&self, out: Output) -> Value {
        Value::Str(Str::traced(out.text, self.rt.autoescape(), out.spans))
    }

    fn extends(&self, template: &Expr) -> Result<()> {
        if self.parent.borrow().is_some() {
            return Err(Error::new(Kind::Runtime, "extended multiple times"));
        }
        let name = self.eval(template)?;
        let parent = self.template_named(&name)?;
        self.context.add_blocks(&parent);
        *self.parent.borrow_mut() = Some(parent);
        Ok(())
    }

    fn block(&self, block: &BlockCall, pos: Pos, out: &mut Output) -> Result<()> {
        if block.toplevel && self.parent.borrow().is_some() {
            return Ok(());
        }
        self.at(pos);
        let context = if block.scoped {
            let mut vars = (*self.context.all()).clone();
            vars.extend(self.local_values(&block.locals));
            let derived = Context::new(Rc::new(vars));
            *derived.blocks.borrow_mut() = self.context.blocks.borrow().clone();
            Rc::new(derived)
        } else {
            Rc::clone(&self.context)
        };
        let versions = context.blocks.borrow().get(&block.name).cloned();
        let versions = versions.unwrap_or_default();
        if block.required && versions.len() <= 1 {
            let name = super::value::repr_str(&block.name);
            let message = format!("Required block {name} not found");
            return Err(Error::new(Kind::Runtime, message));
        }
        match versions.first() {
            Some(code) => run_block(self.rt, &context, code, out),
            None => Ok(()),
        }
    }

    fn local_values(&self, locals: &Locals) -> Vec<(Rc<str>, Value)> {
        let value = |(name, slot): &(Rc<str>, Slot)| {
            let value = self.frame.get(*slot)?;
            Some((Rc::clone(name), value))
        };
        locals.iter().filter_map(value).collect()
    }

    /// Where text printed here comes from.
    fn span(&self, pos: Pos, literal: bool) -> Span {
        Span {
            start: 0,
            source: self.template.id,
            line: pos.line,
            column: pos.column,
            literal,
        }
    }
}

/// Runs one version of a block.
fn run_block(
    rt: &Runtime<'_>,
    context: &Rc<Context>,
    code: &BlockCode,
    out: &mut Output,
) -> Result<()> {
    let _level = rt.enter()?;
    let function = &code.def.function;
    let run = Run::new(rt, &code.template, context, function.slots, None);
    run.at(code.def.pos);
    run.in_block.set(true);
    let former = rt.set_autoescape(rt.environment().options().autoescape);
    let result = run.function(function, Some(code), out);
    rt.set_autoescape(former);
    result
}

/// The parts of a macro or a loop that let it run after the statement that
/// defined it has ended.
#[derive(Clone)]
pub(crate) struct Closure {
    template: Rc<Template>,
    context: Rc<Context>,
    frame: Rc<Frame>,
    /// What the template extends, when that keeps it from printing here.
    parent: Option<Rc<Template>>,
}

impl Closure {
    fn of(run: &Run<'_, '_>) -> Self {
        run.rt.remember(&run.frame, &run.context);
        let parent = match run.capturing.get() {
            true => None,
            false => run.parent.borrow().clone(),
        };
        Self {
            parent,
            template: Rc::clone(&run.template),
            context: Rc::clone(&run.context),
            frame: Rc::clone(&run.frame),
        }
    }

    fn run<'r, 'e>(&self, rt: &'r Runtime<'e>, slots: u32) -> Run<'r, 'e> {
        let frame = Some(Rc::clone(&self.frame));
        Run::new(rt, &self.template, &self.context, slots, frame)
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        // Another frame stands in, so that this one can be taken.
        let frame = std::mem::replace(&mut self.frame, Frame::new(0, None));
        Frame::release(frame, out);
    }
}

/// A macro's code, for those who call it.
type SharedMacro = Rc<MacroDef>;
/// A loop's code, for recursion.
type SharedLoop = Rc<For>;
