//! What is alive while templates run: variables, frames, loaded templates.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use indexmap::{IndexMap, IndexSet};

use super::ast::{BlockDef, Function, Slot};
use super::value::drop_flat;
use super::{Source, Value, Vars};

/// A template, ready to run.
pub(crate) struct Template {
    pub(crate) source: Rc<Source>,
    /// Its number in the rendering, for spans.
    pub(crate) id: u32,
    pub(crate) root: Function,
    pub(crate) blocks: IndexMap<Rc<str>, Rc<BlockDef>>,
}

/// A block's code with the template it stands in.
#[derive(Clone)]
pub(crate) struct BlockCode {
    pub(crate) def: Rc<BlockDef>,
    pub(crate) template: Rc<Template>,
}

/// The variables of one run of a template that are looked up by name.
pub(crate) struct Context {
    /// What it was given: globals and the caller's variables.
    pub(crate) parent: Rc<Vars>,
    /// What its top level assigned.
    pub(crate) vars: RefCell<Vars>,
    /// Which of these an import gives.
    pub(crate) exported: RefCell<IndexSet<Rc<str>>>,
    /// The versions of each block, the most derived first.
    pub(crate) blocks: RefCell<HashMap<Rc<str>, Vec<BlockCode>>>,
    /// Something defined here may keep the context alive in a circle.
    pub(crate) shared: Cell<bool>,
}

impl Context {
    pub(crate) fn new(parent: Rc<Vars>) -> Self {
        Self {
            parent,
            vars: RefCell::default(),
            exported: RefCell::default(),
            blocks: RefCell::default(),
            shared: Cell::new(false),
        }
    }

    /// A context for running this template.
    pub(crate) fn for_template(template: &Rc<Template>, parent: Rc<Vars>) -> Rc<Self> {
        let context = Self::new(parent);
        context.add_blocks(template);
        Rc::new(context)
    }

    /// Puts the blocks of a template behind those that are there.
    pub(crate) fn add_blocks(&self, template: &Rc<Template>) {
        let mut blocks = self.blocks.borrow_mut();
        for (name, def) in &template.blocks {
            blocks.entry(Rc::clone(name)).or_default().push(BlockCode {
                def: Rc::clone(def),
                template: Rc::clone(template),
            });
        }
    }

    pub(crate) fn resolve(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.vars.borrow().get(name) {
            return Some(value.clone());
        }
        self.parent.get(name).cloned()
    }

    /// All variables, as another template gets them.
    pub(crate) fn all(&self) -> Rc<Vars> {
        let vars = self.vars.borrow();
        if vars.is_empty() {
            return Rc::clone(&self.parent);
        }
        let mut all = (*self.parent).clone();
        all.extend(vars.iter().map(|(k, v)| (Rc::clone(k), v.clone())));
        Rc::new(all)
    }

    pub(crate) fn exports(&self) -> Vars {
        let vars = self.vars.borrow();
        let exported = self.exported.borrow();
        let value = |name: &Rc<str>| Some((Rc::clone(name), vars.get(name)?.clone()));
        exported.iter().filter_map(value).collect()
    }

    /// Forgets everything, which breaks the circles of macros and their contexts.
    pub(crate) fn clear(&self) {
        let vars = std::mem::take(&mut *self.vars.borrow_mut());
        drop_flat(vars.into_values().collect());
    }
}

/// The variables of one run of a function; functions defined in it share them.
pub(crate) struct Frame {
    slots: RefCell<Vec<Option<Value>>>,
    parent: Option<Rc<Self>>,
    /// Something defined here may keep the frame alive in a circle.
    pub(crate) shared: Cell<bool>,
}

impl Frame {
    pub(crate) fn new(slots: u32, parent: Option<Rc<Self>>) -> Rc<Self> {
        Rc::new(Self {
            slots: RefCell::new(vec![None; slots as usize]),
            parent,
            shared: Cell::new(false),
        })
    }

    /// The frame of the function this one was defined in.
    pub(crate) fn parent(&self) -> Option<Rc<Self>> {
        self.parent.clone()
    }

    fn owner(&self, up: u16) -> Option<&Self> {
        let mut frame = self;
        for _ in 0..up {
            frame = frame.parent.as_deref()?;
        }
        Some(frame)
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<Value> {
        let frame = self.owner(slot.up)?;
        frame.slots.borrow().get(slot.index as usize)?.clone()
    }

    pub(crate) fn set(&self, slot: Slot, value: Option<Value>) {
        let Some(frame) = self.owner(slot.up) else {
            return;
        };
        let former = match frame.slots.borrow_mut().get_mut(slot.index as usize) {
            Some(place) => std::mem::replace(place, value),
            None => None,
        };
        drop(former);
    }

    pub(crate) fn set_own(&self, index: u32, value: Option<Value>) {
        self.set(Slot { up: 0, index }, value);
    }

    /// Forgets all variables.
    pub(crate) fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        drop_flat(slots.into_iter().flatten().collect());
    }

    /// Moves what only this frame, and the frames only it keeps, hold to `out`.
    pub(crate) fn release(frame: Rc<Self>, out: &mut Vec<Value>) {
        let mut next = Some(frame);
        while let Some(mut frame) = next.take().and_then(Rc::into_inner) {
            out.extend(frame.slots.get_mut().drain(..).flatten());
            next = frame.parent.take();
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let slots = std::mem::take(self.slots.get_mut());
        if slots.iter().any(Option::is_some) {
            drop_flat(slots.into_iter().flatten().collect());
        }
    }
}
