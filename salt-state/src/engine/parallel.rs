//! States that run beside the others.
//!
//! What has to be looked at is looked at in turn; carrying out is what takes long, and so
//! does waiting for another try, and those happen in a thread of their own. A thread has
//! the machine, the functions, the tree and the way to the master.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;
use std::time::Duration;

use super::call::Called;
use super::entry::Began;
use super::schedule::{Ending, NodeId};
use crate::context::{Context, MinionData};
use crate::plan::{Outcome, Plan};
use crate::registry::CallError;
use crate::system::System;

/// What came of starting a chunk.
pub(super) enum Started {
    /// It is under way.
    Running,
    /// There was nothing to wait for.
    Ended(Called),
}

/// A chunk that has ended.
pub(super) struct Ended {
    pub(super) node: NodeId,
    pub(super) number: i64,
    pub(super) began: Began,
    pub(super) work: Work,
}

/// What a thread has done.
pub(super) enum Work {
    /// A plan was carried out.
    Carried(Result<Outcome, CallError>),
    /// The time before another try has passed.
    Rested,
}

type Job<'scope> = Box<dyn FnOnce() + Send + 'scope>;

/// The threads under way.
pub(super) struct Workers<'scope> {
    spawn: Box<dyn Fn(Job<'scope>) + 'scope>,
    sender: Sender<Ended>,
    receiver: Receiver<Ended>,
    active: usize,
    limit: Option<usize>,
    /// Ended and filed, but not told to the schedule yet.
    pub(super) finished: VecDeque<(NodeId, Ending)>,
}

impl<'scope> Workers<'scope> {
    pub(super) fn new<'env>(scope: &'scope Scope<'scope, 'env>, limit: Option<usize>) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            spawn: Box::new(move |job| {
                scope.spawn(job);
            }),
            sender,
            receiver,
            active: 0,
            limit,
            finished: VecDeque::new(),
        }
    }

    pub(super) fn busy(&self) -> bool {
        self.active > 0
    }

    pub(super) fn full(&self) -> bool {
        self.limit.is_some_and(|limit| self.active >= limit)
    }

    /// Carries a plan out in a thread.
    pub(super) fn start(
        &mut self,
        node: NodeId,
        number: i64,
        began: Began,
        plan: Plan,
        context: &'scope Context<'scope>,
        minion: Option<Arc<MinionData>>,
    ) {
        let (registry, system, sources) = (context.registry, context.system, context.sources);
        let (known, job, master) = (context.minion, context.job.clone(), context.master);
        self.spawn(node, number, began, move || {
            let minion = minion.as_deref().unwrap_or(known);
            let mut context = Context::new(registry, system, minion);
            context.sources = sources;
            context.master = master;
            context.job = job;
            Work::Carried(plan.carry_out(&context))
        });
    }

    /// Lets time pass in a thread.
    pub(super) fn rest(
        &mut self,
        node: NodeId,
        number: i64,
        began: Began,
        pause: Duration,
        system: &'scope dyn System,
    ) {
        self.spawn(node, number, began, move || {
            system.sleep(pause);
            Work::Rested
        });
    }

    fn spawn(
        &mut self,
        node: NodeId,
        number: i64,
        began: Began,
        work: impl FnOnce() -> Work + Send + 'scope,
    ) {
        let sender = self.sender.clone();
        self.active += 1;
        (self.spawn)(Box::new(move || {
            let work = work();
            // Nobody listens any more only when the run was given up.
            drop(sender.send(Ended {
                node,
                number,
                began,
                work,
            }));
        }));
    }

    /// One that has ended, without waiting.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        let ended = self.receiver.try_recv().ok()?;
        self.active = self.active.saturating_sub(1);
        Some(ended)
    }

    /// The next one that ends; `None` when none is under way.
    pub(super) fn wait(&mut self) -> Option<Ended> {
        if self.active == 0 {
            return None;
        }
        let ended = self.receiver.recv().ok()?;
        self.active = self.active.saturating_sub(1);
        Some(ended)
    }
}
