//! Finds out where every variable of a template lives.
//!
//! Jinja decides this when it compiles a template: names are looked up in the
//! context when their scope is entered, and a scope that assigns a name has its
//! own variable. The rules here are those of `jinja2.idtracking` and of the
//! code its compiler makes (Jinja 3.1), including which scopes are functions
//! whose variables inner functions share.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use indexmap::IndexMap;

use super::ast::{
    BlockDef, CallArgs, Entry, Expr, For, Function, Load, Locals, MacroDef, Name, Node, Piece,
    Slot, Stmt, StmtKind, Target,
};
use super::parser::Parsed;
use super::value::repr_str;
use super::{Error, Kind, Result};

mod symbols;
mod walk;

use symbols::{Symbols, Variable};

/// Says whether a filter (`true`) or test (`false`) of that name exists.
pub(crate) type Known<'a> = &'a dyn Fn(bool, &str) -> bool;

/// A template's functions with their variables placed.
pub(crate) struct Resolved {
    pub(crate) root: Function,
    pub(crate) blocks: Vec<BlockDef>,
}

/// Places the variables of a parsed template.
///
/// # Errors
/// What Jinja's compiler refuses: unknown filters, `extends` in a loop, …
pub(crate) fn resolve(parsed: Parsed, known: Known<'_>) -> Result<Resolved> {
    let mut resolver = Resolver {
        known,
        frames: Vec::new(),
        functions: Vec::new(),
        noted: 1,
    };
    let mut root = Function {
        body: parsed.body,
        ..Function::default()
    };
    let flags = Flags {
        toplevel: true,
        ..Flags::default()
    };
    resolver.function(&mut root, &["self"], flags)?;
    let mut blocks = parsed.blocks;
    for block in &mut blocks {
        resolver.function(&mut block.function, &["self", "super"], Flags::default())?;
    }
    Ok(Resolved { root, blocks })
}

/// What kind of frame code is in.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// The template itself, or an `if` in it.
    toplevel: bool,
    /// Inside an `if`, where an unknown filter only fails when it is reached.
    soft: bool,
}

/// The slots of one function, by scope level and name.
#[derive(Default)]
struct Slots(HashMap<(u32, Rc<str>), u32>);

struct Resolver<'a> {
    known: Known<'a>,
    frames: Vec<Symbols>,
    functions: Vec<Slots>,
    /// The line that Jinja noted last, in the order of its compiled code.
    noted: u32,
}

impl Resolver<'_> {
    /// A function without parent: the template or a block.
    fn function(&mut self, function: &mut Function, special: &[&str], flags: Flags) -> Result<()> {
        self.functions.push(Slots::default());
        self.frames.push(Symbols::new(None, 0, 0));
        let used = walk::undeclared(&function.body, special);
        if used.contains("self") {
            function.own = Some(self.parameter("self").slot);
        }
        if used.contains("super") {
            function.parent = Some(self.parameter("super").slot);
        }
        self.analyze(&function.body);
        self.body(&mut function.body, flags)?;
        function.entry = self.leave();
        function.slots = self.end_function();
        Ok(())
    }

    fn end_function(&mut self) -> u32 {
        let slots = self.functions.pop().unwrap_or_default();
        u32::try_from(slots.0.len()).unwrap_or(u32::MAX)
    }

    /// Enters a scope inside the current one.
    fn inner(&mut self) {
        let level = self.frames.last().map_or(0, |frame| frame.level + 1);
        let parent = self.frames.len().checked_sub(1);
        let function = self.functions.len().saturating_sub(1);
        self.frames.push(Symbols::new(parent, level, function));
    }

    /// Leaves a scope; what happens at its entry.
    fn leave(&mut self) -> Entry {
        let Some(frame) = self.frames.pop() else {
            return Entry::default();
        };
        let loads = frame.loads.into_iter().filter_map(|(slot, load)| {
            let load = match load {
                symbols::Load::Parameter => return None,
                symbols::Load::Resolve(name) => Load::Resolve(name),
                symbols::Load::Alias(variable) => Load::Alias(Slot {
                    up: u16::try_from(frame.function - variable.function).unwrap_or(u16::MAX),
                    index: variable.slot,
                }),
                symbols::Load::Missing => Load::Missing,
            };
            Some((slot, load))
        });
        Entry {
            loads: loads.collect(),
        }
    }

    fn find(&self, name: &str) -> Option<Variable> {
        self.find_from(self.frames.len().checked_sub(1), name)
    }

    fn find_from(&self, mut frame: Option<usize>, name: &str) -> Option<Variable> {
        while let Some(symbols) = frame.and_then(|at| self.frames.get(at)) {
            if let Some(variable) = symbols.refs.get(name) {
                return Some(*variable);
            }
            frame = symbols.parent;
        }
        None
    }

    fn define(&mut self, name: &str, load: symbols::Load) -> Variable {
        let name: Rc<str> = name.into();
        let Some(frame) = self.frames.last_mut() else {
            return Variable::default();
        };
        let slots = self.functions.get_mut(frame.function);
        let slot = slots.map_or(0, |slots| {
            let next = u32::try_from(slots.0.len()).unwrap_or(u32::MAX);
            let key = (frame.level, Rc::clone(&name));
            *slots.0.entry(key).or_insert(next)
        });
        let variable = Variable {
            function: frame.function,
            slot,
        };
        frame.refs.insert(name, variable);
        frame.loads.insert(slot, load);
        variable
    }

    fn parameter(&mut self, name: &str) -> Variable {
        if let Some(frame) = self.frames.last_mut() {
            frame.stores.insert(name.into());
        }
        self.define(name, symbols::Load::Parameter)
    }

    fn load(&mut self, name: &str) {
        if self.find(name).is_none() {
            self.define(name, symbols::Load::Resolve(name.into()));
        }
    }

    fn store(&mut self, name: &str) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.stores.insert(name.into());
        let (parent, known) = self.outside(name);
        if known {
            return;
        }
        let load = match self.find_from(parent, name) {
            Some(outer) => symbols::Load::Alias(outer),
            None => symbols::Load::Missing,
        };
        self.define(name, load);
    }

    /// Notes the names a scope's statements use, without going into inner scopes.
    fn analyze(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.analyze_stmt(stmt);
        }
    }

    fn analyze_stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Output(pieces) => {
                for piece in pieces {
                    if let Piece::Expr(expr) = piece {
                        self.analyze_expr(expr);
                    }
                }
            }
            StmtKind::If(branches, otherwise) => self.analyze_if(branches, otherwise.as_deref()),
            StmtKind::Macro { target, .. } => self.store(&target.name),
            StmtKind::Import(import) => {
                self.analyze_expr(&import.template);
                self.store(&import.target.name);
            }
            StmtKind::FromImport(import) => {
                self.analyze_expr(&import.template);
                for (_, alias) in &import.names {
                    self.store(&alias.name);
                }
            }
            StmtKind::ImportData(import) => {
                self.analyze_expr(&import.template);
                self.store(&import.target.name);
            }
            StmtKind::Set { target, value, .. } => {
                self.analyze_expr(value);
                self.analyze_target(target);
            }
            StmtKind::SetBlock(set) => self.analyze_target(&set.target),
            StmtKind::Load { target, .. } => self.analyze_target(target),
            StmtKind::For(for_loop) => self.analyze_expr(&for_loop.iter),
            StmtKind::CallBlock { call, .. } => self.analyze_expr(call),
            StmtKind::FilterBlock { filter, .. } => self.analyze_expr(filter),
            StmtKind::With { targets, .. } => {
                for (_, value) in targets {
                    self.analyze_expr(value);
                }
            }
            StmtKind::Include(include) => self.analyze_expr(&include.template),
            StmtKind::Extends(template) => self.analyze_expr(template),
            StmtKind::Do(expr) => self.analyze_expr(expr),
            StmtKind::Autoescape { .. }
            | StmtKind::Block(_)
            | StmtKind::Break
            | StmtKind::Continue => {}
        }
    }

    /// Branches share the scope; a name that only some assign starts as what
    /// it is outside.
    fn analyze_if(&mut self, branches: &[super::ast::Branch], otherwise: Option<&[Stmt]>) {
        let Some((first, rest)) = branches.split_first() else {
            return;
        };
        self.analyze_expr(&first.test);
        let results = [
            self.branch(|resolver| resolver.analyze(&first.body)),
            self.branch(|resolver| {
                for branch in rest {
                    resolver.analyze_if(std::slice::from_ref(branch), None);
                }
            }),
            self.branch(|resolver| resolver.analyze(otherwise.unwrap_or_default())),
        ];
        self.merge_branches(results);
    }

    /// What a branch adds to the current scope.
    fn branch(&mut self, visit: impl FnOnce(&mut Self)) -> Symbols {
        let base = self.frames.last();
        let (level, function) = base.map_or((0, 0), |frame| (frame.level, frame.function));
        let parent = self.frames.len().checked_sub(1);
        let mut overlay = Symbols::new(parent, level, function);
        overlay.overlay = true;
        self.frames.push(overlay);
        visit(self);
        self.frames
            .pop()
            .unwrap_or_else(|| Symbols::new(None, level, function))
    }

    /// The scope outside the current one, and whether the current one, with
    /// the scopes it is a branch of, has a variable of that name.
    fn outside(&self, name: &str) -> (Option<usize>, bool) {
        let mut known = false;
        let mut at = self.frames.len().checked_sub(1);
        while let Some(frame) = at.and_then(|at| self.frames.get(at)) {
            known |= frame.refs.contains_key(name);
            at = frame.parent;
            if !frame.overlay {
                break;
            }
        }
        (at, known)
    }

    fn merge_branches(&mut self, branches: [Symbols; 3]) {
        let mut stores: BTreeSet<Rc<str>> = BTreeSet::new();
        for branch in &branches {
            stores.extend(branch.stores.iter().cloned());
        }
        stores.retain(|name| !self.is_stored(name));
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        for branch in branches {
            frame.refs.extend(branch.refs);
            frame.loads.extend(branch.loads);
            frame.stores.extend(branch.stores);
        }
        for name in stores {
            let outer = self.find_from(self.outside(&name).0, &name);
            let target = self.find(&name);
            if let (Some(frame), Some(target)) = (self.frames.last_mut(), target) {
                let load = match outer {
                    Some(outer) => symbols::Load::Alias(outer),
                    None => symbols::Load::Resolve(name),
                };
                frame.loads.insert(target.slot, load);
            }
        }
    }

    /// Whether the current scope, with those it is a branch of, assigns the name.
    fn is_stored(&self, name: &str) -> bool {
        let mut at = self.frames.len().checked_sub(1);
        while let Some(frame) = at.and_then(|at| self.frames.get(at)) {
            if frame.stores.contains(name) {
                return true;
            }
            at = frame.parent.filter(|_| frame.overlay);
        }
        false
    }

    fn analyze_target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.store(&name.name),
            Target::Namespace { namespace, .. } => self.load(&namespace.name),
            Target::Tuple(all) => all.iter().for_each(|one| self.analyze_target(one)),
        }
    }

    fn parameter_target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => {
                self.parameter(&name.name);
            }
            Target::Namespace { namespace, .. } => self.load(&namespace.name),
            Target::Tuple(all) => all.iter().for_each(|one| self.parameter_target(one)),
        }
    }

    fn analyze_expr(&mut self, expr: &Expr) {
        walk::names(expr, &mut |name| self.load(name));
    }

    /// Places the names of statements.
    fn body(&mut self, body: &mut [Stmt], flags: Flags) -> Result<()> {
        body.iter_mut().try_for_each(|stmt| self.stmt(stmt, flags))
    }

    fn stmt(&mut self, stmt: &mut Stmt, flags: Flags) -> Result<()> {
        match stmt.kind {
            // For these it notes none.
            StmtKind::With { .. } | StmtKind::Autoescape { .. } => stmt.pos.reported = self.noted,
            StmtKind::Output(_) | StmtKind::Break | StmtKind::Continue => {}
            _ => self.noted = stmt.pos.reported,
        }
        let pos = stmt.pos;
        let result = self.resolve_stmt(stmt, flags);
        if let StmtKind::SetBlock(_) | StmtKind::FilterBlock { .. } = stmt.kind {
            self.noted = pos.reported;
        }
        result
    }

    fn resolve_stmt(&mut self, stmt: &mut Stmt, flags: Flags) -> Result<()> {
        let pos = stmt.pos;
        let inside = Flags::default();
        match &mut stmt.kind {
            StmtKind::Output(pieces) => {
                for piece in pieces {
                    if let Piece::Expr(expr) = piece {
                        self.noted = expr.pos.reported;
                        self.expr(expr, flags)?;
                    }
                }
            }
            StmtKind::For(for_loop) => {
                // Nothing shares the tree yet.
                if let Some(for_loop) = Rc::get_mut(for_loop) {
                    self.for_loop(for_loop, flags)?;
                }
            }
            StmtKind::If(branches, otherwise) => {
                let soft = Flags {
                    soft: true,
                    ..flags
                };
                for branch in branches {
                    self.noted = branch.pos.reported;
                    self.expr(&mut branch.test, soft)?;
                    self.body(&mut branch.body, soft)?;
                }
                if let Some(body) = otherwise {
                    self.body(body, soft)?;
                }
            }
            StmtKind::Macro {
                target,
                def,
                exported,
            } => {
                self.macro_def(def)?;
                self.place(target);
                *exported = flags.toplevel;
            }
            StmtKind::CallBlock { call, def } => {
                self.macro_def(def)?;
                self.expr(call, flags)?;
            }
            StmtKind::FilterBlock {
                filter,
                body,
                entry,
            } => {
                self.inner();
                self.analyze(body);
                self.analyze_expr(filter);
                self.body(body, inside)?;
                self.expr(filter, inside)?;
                *entry = self.leave();
            }
            StmtKind::Set {
                target,
                value,
                export,
            } => {
                self.expr(value, flags)?;
                *export = self.target(target, flags.toplevel);
            }
            StmtKind::SetBlock(set) => {
                self.inner();
                self.analyze(&set.body);
                if let Some(filter) = &set.filter {
                    self.analyze_expr(filter);
                }
                self.body(&mut set.body, inside)?;
                if let Some(filter) = &mut set.filter {
                    self.expr(filter, inside)?;
                }
                set.entry = self.leave();
                set.export = self.target(&mut set.target, flags.toplevel);
            }
            StmtKind::With {
                targets,
                body,
                entry,
            } => {
                for (_, value) in targets.iter_mut() {
                    self.expr(value, flags)?;
                }
                self.inner();
                for (target, _) in targets.iter() {
                    self.parameter_target(target);
                }
                self.analyze(body);
                for (target, _) in targets.iter_mut() {
                    self.target(target, false);
                }
                self.body(body, inside)?;
                *entry = self.leave();
            }
            StmtKind::Autoescape { value, body, entry } => {
                self.inner();
                self.analyze_expr(value);
                self.analyze(body);
                self.expr(value, inside)?;
                self.body(body, inside)?;
                *entry = self.leave();
            }
            StmtKind::Include(include) => {
                self.expr(&mut include.template, flags)?;
                if include.with_context {
                    include.locals = self.locals();
                }
            }
            StmtKind::Import(import) => {
                self.expr(&mut import.template, flags)?;
                self.place(&mut import.target);
                import.toplevel = flags.toplevel;
                if import.with_context {
                    import.locals = self.locals();
                }
            }
            StmtKind::FromImport(import) => {
                self.expr(&mut import.template, flags)?;
                for (_, alias) in &mut import.names {
                    self.place(alias);
                }
                import.toplevel = flags.toplevel;
                if import.with_context {
                    import.locals = self.locals();
                }
            }
            StmtKind::Extends(template) => {
                if !flags.toplevel {
                    let message = "cannot use extend from a non top-level scope";
                    return Err(Error::new(Kind::Assertion, message).at_pos(pos));
                }
                self.expr(template, flags)?;
            }
            StmtKind::Block(block) => {
                block.toplevel = flags.toplevel;
                if block.scoped {
                    block.locals = self.locals();
                }
            }
            StmtKind::Do(expr) => self.expr(expr, flags)?,
            StmtKind::Load {
                target,
                def,
                export,
                ..
            } => {
                self.macro_def(def)?;
                *export = self.target(target, flags.toplevel);
            }
            StmtKind::ImportData(import) => {
                self.expr(&mut import.template, flags)?;
                self.place(&mut import.target);
                import.export = flags.toplevel;
                if import.with_context {
                    import.locals = self.locals();
                }
            }
            StmtKind::Break | StmtKind::Continue => {}
        }
        Ok(())
    }

    fn for_loop(&mut self, node: &mut For, flags: Flags) -> Result<()> {
        if walk::stores_loop(node) {
            let message = "Can't assign to special loop variable in for-loop target";
            return Err(Error::new(Kind::Assertion, message).at_pos(node.pos));
        }
        self.expr(&mut node.iter, flags)?;
        if let Some(filter) = &mut node.filter {
            self.functions.push(Slots::default());
            self.inner();
            self.parameter_target(&filter.target);
            self.analyze_expr(&filter.test);
            self.target(&mut filter.target, false);
            self.expr(&mut filter.test, Flags::default())?;
            filter.entry = self.leave();
            filter.slots = self.end_function();
        }
        if node.recursive.is_some() {
            self.functions.push(Slots::default());
        }
        let extended = node.recursive.is_some()
            || walk::undeclared(&node.body, &["loop"]).contains("loop")
            || walk::has_scoped_block(node);
        self.inner();
        if extended {
            node.loop_slot = Some(self.parameter("loop").slot);
        }
        self.parameter_target(&node.target);
        self.analyze(&node.body);
        self.target(&mut node.target, false);
        self.body(&mut node.body, Flags::default())?;
        node.entry = self.leave();
        if let Some((body, entry)) = &mut node.otherwise {
            self.inner();
            self.analyze(body);
            self.body(body, Flags::default())?;
            *entry = self.leave();
        }
        if node.recursive.is_some() {
            node.recursive = Some(self.end_function());
        }
        Ok(())
    }

    fn macro_def(&mut self, def: &mut Rc<MacroDef>) -> Result<()> {
        // Nothing shares the tree yet.
        let Some(def) = Rc::get_mut(def) else {
            return Ok(());
        };
        self.functions.push(Slots::default());
        self.inner();
        for param in &mut def.params {
            param.slot = self.parameter(&param.name).slot;
        }
        for param in &def.params {
            if let Some(default) = &param.default {
                self.analyze_expr(default);
            }
        }
        self.analyze(&def.function.body);
        let named = |name: &str| def.params.iter().find(|param| &*param.name == name);
        let used = walk::undeclared(&def.function.body, &["caller", "kwargs", "varargs"]);
        if used.contains("caller") {
            match named("caller") {
                Some(param) if param.default.is_none() => {
                    let message = "When defining macros or call blocks the special \"caller\" \
                                   argument must be omitted or be given a default.";
                    return Err(Error::new(Kind::Assertion, message).at_pos(def.pos));
                }
                Some(_) => def.explicit_caller = true,
                None => def.caller = Some(self.parameter("caller").slot),
            }
        }
        if used.contains("kwargs") && named("kwargs").is_none() {
            def.kwargs = Some(self.parameter("kwargs").slot);
        }
        if used.contains("varargs") && named("varargs").is_none() {
            def.varargs = Some(self.parameter("varargs").slot);
        }
        for param in &mut def.params {
            if let Some(default) = &mut param.default {
                self.expr(default, Flags::default())?;
            }
        }
        self.body(&mut def.function.body, Flags::default())?;
        def.function.entry = self.leave();
        def.function.slots = self.end_function();
        Ok(())
    }

    /// The variables another template may see.
    fn locals(&self) -> Locals {
        let mut seen: IndexMap<Rc<str>, Slot> = IndexMap::new();
        let mut frame = self.frames.last();
        while let Some(symbols) = frame {
            for name in &symbols.stores {
                if !seen.contains_key(name)
                    && let Some(variable) = self.find(name)
                {
                    seen.insert(Rc::clone(name), self.slot(variable));
                }
            }
            frame = symbols.parent.and_then(|at| self.frames.get(at));
        }
        seen.into_iter().collect()
    }

    fn slot(&self, variable: Variable) -> Slot {
        let here = self.frames.last().map_or(0, |frame| frame.function);
        Slot {
            up: u16::try_from(here - variable.function).unwrap_or(u16::MAX),
            index: variable.slot,
        }
    }

    fn place(&mut self, name: &mut Name) {
        self.load(&Rc::clone(&name.name));
        if let Some(variable) = self.find(&name.name) {
            name.slot = self.slot(variable);
        }
    }

    /// Places a target; the names to export when it is at the top level.
    fn target(&mut self, target: &mut Target, export: bool) -> Vec<Name> {
        let mut names = Vec::new();
        self.place_target(target, &mut names);
        if !export {
            names.clear();
        }
        names
    }

    fn place_target(&mut self, target: &mut Target, names: &mut Vec<Name>) {
        match target {
            Target::Name(name) => {
                self.place(name);
                names.push(Name {
                    name: Rc::clone(&name.name),
                    slot: name.slot,
                });
            }
            Target::Namespace { namespace, .. } => self.place(namespace),
            Target::Tuple(all) => {
                for one in all {
                    self.place_target(one, names);
                }
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr, flags: Flags) -> Result<()> {
        let pos = expr.pos;
        match &mut expr.node {
            Node::Const(_) => Ok(()),
            Node::Name(name) => {
                self.place(name);
                Ok(())
            }
            Node::Tuple(items) | Node::List(items) | Node::Concat(items) => {
                items.iter_mut().try_for_each(|item| self.expr(item, flags))
            }
            Node::Dict(items) => items.iter_mut().try_for_each(|(key, value)| {
                self.expr(key, flags)?;
                self.expr(value, flags)
            }),
            Node::Cond(cond) => {
                let soft = Flags {
                    soft: true,
                    ..flags
                };
                self.expr(&mut cond.test, soft)?;
                self.expr(&mut cond.then, soft)?;
                cond.otherwise
                    .iter_mut()
                    .try_for_each(|expr| self.expr(expr, soft))
            }
            Node::Filter(applied) => {
                if !flags.soft && !(self.known)(true, &applied.name) {
                    let message = format!("No filter named {}.", repr_str(&applied.name));
                    return Err(Error::new(Kind::Assertion, message).at_pos(pos));
                }
                if let Some(target) = &mut applied.target {
                    self.expr(target, flags)?;
                }
                self.args(&mut applied.args, flags)
            }
            Node::Test(applied) => {
                if !flags.soft && !(self.known)(false, &applied.name) {
                    let message = format!("No test named {}.", repr_str(&applied.name));
                    return Err(Error::new(Kind::Assertion, message).at_pos(pos));
                }
                if let Some(target) = &mut applied.target {
                    self.expr(target, flags)?;
                }
                self.args(&mut applied.args, flags)
            }
            Node::Call(call) => {
                self.expr(&mut call.callee, flags)?;
                self.args(&mut call.args, flags)
            }
            Node::Attribute(inner, _)
            | Node::Negative(inner)
            | Node::Positive(inner)
            | Node::Not(inner) => self.expr(inner, flags),
            Node::Item(a, b) | Node::Binary(_, a, b) | Node::And(a, b) | Node::Or(a, b) => {
                self.expr(a, flags)?;
                self.expr(b, flags)
            }
            Node::Slice(slice) => {
                self.expr(&mut slice.target, flags)?;
                [&mut slice.start, &mut slice.stop, &mut slice.step]
                    .into_iter()
                    .flatten()
                    .try_for_each(|part| self.expr(part, flags))
            }
            Node::Compare(first, rest) => {
                self.expr(first, flags)?;
                rest.iter_mut()
                    .try_for_each(|(_, expr)| self.expr(expr, flags))
            }
        }
    }

    fn args(&mut self, args: &mut CallArgs, flags: Flags) -> Result<()> {
        let named = args.named.iter_mut().map(|(_, expr)| expr);
        let stars = [&mut args.star, &mut args.double_star];
        args.positional
            .iter_mut()
            .chain(named)
            .chain(stars.into_iter().flatten().map(|expr| &mut **expr))
            .try_for_each(|expr| self.expr(expr, flags))
    }
}
