//! Which chunk is next, given the outcomes so far. Pure: nothing here runs anything.

use std::collections::{HashMap, HashSet};

use salt_proto::Value;
use salt_proto::target::Release;

use crate::compile::Chunk;
use crate::{fnmatch, python};

/// A chunk in a [`Schedule`]; chunks with equal tags share one.
pub type NodeId = usize;

/// What a requisite asks of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    Require,
    Watch,
    Prereq,
    OnFail,
    OnChanges,
}

/// How the targets of one requisite are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Taken {
    Each,
    Any,
    All,
}

/// The requisites, in the order in which Salt looks at them.
const KINDS: [(&str, Want, Taken); 10] = [
    ("require", Want::Require, Taken::Each),
    ("require_any", Want::Require, Taken::Any),
    ("watch", Want::Watch, Taken::Each),
    ("watch_any", Want::Watch, Taken::Any),
    ("prereq", Want::Prereq, Taken::Each),
    ("onfail", Want::OnFail, Taken::Any),
    ("onfail_any", Want::OnFail, Taken::Any),
    ("onfail_all", Want::OnFail, Taken::All),
    ("onchanges", Want::OnChanges, Taken::Each),
    ("onchanges_any", Want::OnChanges, Taken::Any),
];

/// What became of a chunk, as far as others care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its result.
    pub result: Option<bool>,
    /// Whether it reported changes.
    pub changes: bool,
    /// Whether it was run at all, rather than skipped because of its requisites.
    pub ran: bool,
    /// Whether it asked that those who watch it stay as they are (`skip_req`).
    pub skips: bool,
}

/// What the requisites of a chunk come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Run it.
    Met,
    /// Run it, and if it changes nothing by itself, its `mod_watch`.
    Change,
    /// Run it without `mod_watch`: what changed asked for that.
    SkipWatch,
    /// These failed.
    Fail(Vec<NodeId>),
    /// Nothing it waits on failed.
    OnFail,
    /// Nothing it waits on changed.
    OnChanges,
    /// Nothing it would prepare for will change.
    Pre,
    /// What changed asked that this be left alone.
    SkipReq,
    /// What it refers to is not there: by requisite, the references.
    Missing(Vec<(&'static str, Vec<String>)>),
    /// It needs itself.
    Recursive,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// For which chunk.
    pub node: NodeId,
    /// Only to see whether it would change, for those that prepare for it.
    pub dry: bool,
    /// What its requisites come to.
    pub status: Status,
}

/// The answer of [`Schedule::poll_step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Do this.
    Step(Step),
    /// Something that was handed out has to end first.
    Wait,
    /// Everything is done.
    Done,
}

#[derive(Debug)]
struct Node {
    requisites: Vec<Requisite>,
    /// Those that prepare for this one with `prereq`.
    prepared_by: Vec<NodeId>,
    missing: Vec<(&'static str, Vec<String>)>,
    end: Option<Ending>,
    dry_end: Option<Ending>,
    running: bool,
    /// It may wait beside the others for what it needs.
    parallel: bool,
    /// It does.
    put_off: bool,
}

#[derive(Debug)]
struct Requisite {
    name: &'static str,
    want: Want,
    taken: Taken,
    targets: Vec<NodeId>,
}

/// Hands out chunks in order and decides, for each, what its requisites come to.
#[derive(Debug)]
pub struct Schedule {
    nodes: Vec<Node>,
    /// What is to be done, in order: chunks, and whether only dry.
    queue: Vec<(NodeId, bool)>,
    next: usize,
    /// Passed over until what they need has ended.
    put_off: Vec<(NodeId, bool)>,
    /// 3006 and 3007: what is being worked on, the innermost last.
    stack: Stack,
    release: Release,
    stopped: bool,
    /// How many were handed out and have not ended.
    running: usize,
}

/// A stack of what is there at most once.
#[derive(Debug, Default)]
struct Stack {
    items: Vec<(NodeId, bool)>,
    known: HashSet<(NodeId, bool)>,
}

impl Stack {
    fn last(&self) -> Option<(NodeId, bool)> {
        self.items.last().copied()
    }

    /// Whether it was pushed: it was not there yet.
    fn push(&mut self, item: (NodeId, bool)) -> bool {
        let new = self.known.insert(item);
        if new {
            self.items.push(item);
        }
        new
    }

    fn pop(&mut self) {
        if let Some(item) = self.items.pop() {
            self.known.remove(&item);
        }
    }

    fn clear(&mut self) {
        self.items.clear();
        self.known.clear();
    }
}

/// Which nodes a reference means.
struct Index<'c> {
    chunks: &'c [Chunk],
    /// The chunk of each node.
    of_node: Vec<usize>,
    by_state: HashMap<(String, String), Vec<NodeId>>,
    by_id: HashMap<String, Vec<NodeId>>,
    by_sls: HashMap<String, Vec<NodeId>>,
}

impl<'c> Index<'c> {
    fn add(&mut self, node: NodeId, chunk: &Chunk, release: Release) {
        let state = chunk.text("state");
        let mut texts = vec![chunk.text("__id__")];
        let name = chunk.text("name");
        if !texts.contains(&name) {
            texts.push(name);
        }
        for text in texts {
            self.by_state
                .entry((state.clone(), text.clone()))
                .or_default()
                .push(node);
            self.by_id.entry(text).or_default().push(node);
        }
        let mut all = vec![chunk.text("__sls__")];
        if release > Release::V3006
            && let Some(Value::List(from)) = chunk.low.get("__sls_included_from__")
        {
            for sls in from.iter().map(python::str) {
                if !all.contains(&sls) {
                    all.push(sls);
                }
            }
        }
        for sls in all {
            self.by_sls.entry(sls).or_default().push(node);
        }
    }

    fn find(&self, key: &str, value: &str) -> Vec<NodeId> {
        let glob = value.contains(['*', '?', '[', ']']);
        if key == "sls" {
            if !glob {
                return self.by_sls.get(value).cloned().unwrap_or_default();
            }
            let mut found: Vec<NodeId> = self
                .by_sls
                .iter()
                .filter(|(sls, _)| fnmatch(sls, value))
                .flat_map(|(_, nodes)| nodes.iter().copied())
                .collect();
            found.sort_unstable();
            found.dedup();
            return found;
        }
        if !glob {
            let found = if key == "id" {
                self.by_id.get(value)
            } else {
                self.by_state.get(&(key.to_owned(), value.to_owned()))
            };
            return found.cloned().unwrap_or_default();
        }
        let matches = |chunk: &Chunk| {
            (key == "id" || chunk.text("state") == key)
                && (fnmatch(&chunk.text("name"), value) || fnmatch(&chunk.text("__id__"), value))
        };
        self.of_node
            .iter()
            .enumerate()
            .filter(|(_, chunk)| self.chunks.get(**chunk).is_some_and(matches))
            .map(|(node, _)| node)
            .collect()
    }
}

impl Schedule {
    /// A schedule of compiled chunks, in their order. `disabled` names requisites that do
    /// not count.
    pub fn new(chunks: &[Chunk], release: Release, disabled: &HashSet<String>) -> Self {
        let mut index = Index {
            chunks,
            of_node: Vec::new(),
            by_state: HashMap::with_capacity(chunks.len()),
            by_id: HashMap::with_capacity(chunks.len()),
            by_sls: HashMap::new(),
        };
        let mut by_tag: HashMap<String, NodeId> = HashMap::with_capacity(chunks.len());
        let mut order = Vec::with_capacity(chunks.len());
        for (at, chunk) in chunks.iter().enumerate() {
            let tag = chunk.tag();
            let node = match by_tag.get(&tag) {
                Some(&node) => node,
                None => {
                    let node = index.of_node.len();
                    index.of_node.push(at);
                    index.add(node, chunk, release);
                    by_tag.insert(tag, node);
                    node
                }
            };
            order.push(node);
        }
        let mut nodes: Vec<Node> = index
            .of_node
            .iter()
            .map(|chunk| Self::node(&index, *chunk, release, disabled))
            .collect();
        let preparing: Vec<(NodeId, NodeId)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(own, node)| {
                node.requisites
                    .iter()
                    .filter(|requisite| requisite.want == Want::Prereq)
                    .flat_map(move |requisite| requisite.targets.iter().map(move |to| (*to, own)))
            })
            .collect();
        for (target, own) in preparing {
            if let Some(node) = nodes.get_mut(target)
                && !node.prepared_by.contains(&own)
            {
                node.prepared_by.push(own);
            }
        }
        let mut seen = HashSet::new();
        let mut queue = Vec::with_capacity(order.len());
        let mut left: HashMap<NodeId, usize> = HashMap::new();
        for node in &order {
            *left.entry(*node).or_default() += 1;
        }
        for node in order {
            // A chunk that is there twice is run dry the first time.
            let again = left.get_mut(&node).is_some_and(|left| {
                *left -= 1;
                *left > 0
            });
            let prepared = nodes
                .get(node)
                .is_some_and(|node| !node.prepared_by.is_empty());
            if again {
                if prepared && release >= Release::V3008 && seen.insert(node) {
                    queue.push((node, true));
                }
            } else {
                queue.push((node, false));
            }
        }
        Self {
            nodes,
            queue,
            next: 0,
            put_off: Vec::new(),
            stack: Stack::default(),
            release,
            stopped: false,
            running: 0,
        }
    }

    fn node(index: &Index<'_>, at: usize, release: Release, disabled: &HashSet<String>) -> Node {
        let mut node = Node {
            requisites: Vec::new(),
            prepared_by: Vec::new(),
            missing: Vec::new(),
            end: None,
            dry_end: None,
            running: false,
            parallel: false,
            put_off: false,
        };
        let Some(chunk) = index.chunks.get(at) else {
            return node;
        };
        node.parallel = chunk.low.get("parallel").is_some_and(Value::is_true);
        for (name, want, taken) in KINDS {
            let Some(Value::List(items)) = chunk.low.get(name) else {
                continue;
            };
            if disabled.contains(name) {
                continue;
            }
            let mut targets = Vec::new();
            let mut seen = HashSet::new();
            let mut missing = Vec::new();
            for item in items {
                let pairs = match item {
                    Value::Map(map) => map
                        .iter()
                        .map(|(key, value)| (python::str(key), value.clone()))
                        .collect(),
                    other => vec![("id".to_owned(), other.clone())],
                };
                for (key, value) in pairs {
                    let Value::Str(value) = value else { continue };
                    let found = index.find(&key, &value);
                    let may_be_empty = key == "sls"
                        && (release < Release::V3008 || value.contains(['*', '?', '[', ']']));
                    if found.is_empty() && !may_be_empty {
                        missing.push(format!("{key}: {value}"));
                    }
                    targets.extend(found.into_iter().filter(|node| seen.insert(*node)));
                }
            }
            if !missing.is_empty() {
                node.missing.push((name, missing));
            }
            if !targets.is_empty() {
                node.requisites.push(Requisite {
                    name,
                    want,
                    taken,
                    targets,
                });
            }
        }
        node
    }

    /// How many chunks there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What to do next.
    pub fn poll_step(&mut self) -> Poll {
        loop {
            if self.stopped {
                return if self.running > 0 {
                    Poll::Wait
                } else {
                    Poll::Done
                };
            }
            if self.release < Release::V3008 {
                if let Some(poll) = self.poll_stack() {
                    return poll;
                }
                continue;
            }
            if let Some((id, dry)) = self.take_put_off() {
                let status = self.status(id, dry);
                return Poll::Step(self.hand_out(id, dry, status));
            }
            let Some(&(id, dry)) = self.queue.get(self.next) else {
                if !self.put_off.is_empty() {
                    return Poll::Wait;
                }
                self.stopped = true;
                continue;
            };
            let Some(node) = self.nodes.get(id) else {
                self.next += 1;
                continue;
            };
            if node.end.is_some() || node.running || dry && node.dry_end.is_some() {
                self.next += 1;
                continue;
            }
            let parallel = node.parallel;
            if self.is_held_up(id, dry) {
                if !parallel {
                    return Poll::Wait;
                }
                self.next += 1;
                self.put_off.push((id, dry));
                if let Some(node) = self.nodes.get_mut(id) {
                    node.put_off = true;
                }
                continue;
            }
            self.next += 1;
            let status = self.status(id, dry);
            return Poll::Step(self.hand_out(id, dry, status));
        }
    }

    /// Whether something that a chunk needs is under way or waits itself.
    fn is_held_up(&self, id: NodeId, dry: bool) -> bool {
        self.needs(id, dry).any(|target| {
            self.nodes
                .get(target)
                .is_some_and(|target| target.running || target.put_off)
        })
    }

    /// The first chunk that was passed over and need not wait any more. When nothing is
    /// under way there is nothing to wait for.
    fn take_put_off(&mut self) -> Option<(NodeId, bool)> {
        if self.put_off.is_empty() {
            return None;
        }
        let idle = self.running == 0;
        let free = self
            .put_off
            .iter()
            .position(|(id, dry)| !self.is_held_up(*id, *dry));
        let at = free.or_else(|| idle.then_some(0))?;
        let (id, dry) = self.put_off.remove(at);
        if let Some(node) = self.nodes.get_mut(id) {
            node.put_off = false;
        }
        Some((id, dry))
    }

    fn hand_out(&mut self, id: NodeId, dry: bool, status: Status) -> Step {
        if let Some(node) = self.nodes.get_mut(id)
            && !std::mem::replace(&mut node.running, true)
        {
            self.running += 1;
        }
        Step {
            node: id,
            dry,
            status,
        }
    }

    /// Everything that a chunk's requisites look at.
    fn needs(&self, id: NodeId, dry: bool) -> impl Iterator<Item = NodeId> {
        let node = self.nodes.get(id);
        let prepared = node
            .filter(|_| !dry)
            .map(|node| node.prepared_by.as_slice())
            .unwrap_or_default();
        node.map(|node| node.requisites.as_slice())
            .unwrap_or_default()
            .iter()
            .flat_map(|requisite| requisite.targets.iter().copied())
            .chain(prepared.iter().copied())
    }

    /// Takes the outcome of a step.
    pub fn handle_outcome(&mut self, id: NodeId, dry: bool, end: Ending) {
        let Some(node) = self.nodes.get_mut(id) else {
            return;
        };
        if std::mem::take(&mut node.running) {
            self.running -= 1;
        }
        if dry {
            node.dry_end = Some(end);
            // What its own requisites kept from running is settled with that.
            if !end.ran && self.release >= Release::V3008 {
                node.end = Some(end);
            }
        } else {
            node.end = Some(end);
            if !end.ran {
                node.dry_end = Some(end);
            }
        }
    }

    /// Nothing more is handed out (`failhard`, `soft_kill`).
    pub fn stop(&mut self) {
        self.stopped = true;
        self.stack.clear();
    }

    /// The targets of `watch` that changed, for `mod_watch`: by requisite.
    pub fn reasons(&self, id: NodeId) -> Vec<(&'static str, Vec<NodeId>)> {
        let Some(node) = self.nodes.get(id) else {
            return Vec::new();
        };
        node.requisites
            .iter()
            .map(|requisite| (requisite.name, requisite.targets.clone()))
            .collect()
    }

    /// How a chunk ended, if it has.
    pub fn end(&self, id: NodeId) -> Option<Ending> {
        self.nodes.get(id).and_then(|node| node.end)
    }

    fn status(&self, id: NodeId, dry: bool) -> Status {
        let Some(node) = self.nodes.get(id) else {
            return Status::Met;
        };
        let mut all = Marks::default();
        let mut failed = Vec::new();
        for requisite in &node.requisites {
            let mut marks = Marks::default();
            let mut bad = Vec::new();
            for &target in &requisite.targets {
                let Some(to) = self.nodes.get(target) else {
                    continue;
                };
                let end = match requisite.want {
                    Want::Prereq => to.dry_end,
                    _ => to.end.or(if dry { to.dry_end } else { None }),
                };
                let Some(end) = end else {
                    continue;
                };
                self.mark(&mut marks, requisite, target, end, &mut bad);
            }
            marks.combine(requisite);
            if marks.fail {
                failed.append(&mut bad);
            }
            all.add(&marks);
        }
        if !dry && !node.prepared_by.is_empty() {
            // What prepares for this must not have failed.
            for &target in &node.prepared_by {
                let end = self.nodes.get(target).and_then(|node| node.end);
                if end.is_some_and(|end| end.result == Some(false)) {
                    all.fail = true;
                    failed.push(target);
                }
            }
        }
        all.status(failed)
    }

    fn mark(
        &self,
        marks: &mut Marks,
        requisite: &Requisite,
        target: NodeId,
        end: Ending,
        bad: &mut Vec<NodeId>,
    ) {
        if end.skips && self.release >= Release::V3008 {
            marks.skip_req = true;
        }
        match requisite.want {
            Want::OnFail => {
                if end.result == Some(true) {
                    marks.onfail = true;
                    return;
                }
            }
            Want::OnChanges if end.result == Some(false) && self.release > Release::V3006 => {
                marks.onchanges = true;
                return;
            }
            _ => {
                if end.result == Some(false) {
                    marks.fail = true;
                    bad.push(target);
                    return;
                }
            }
        }
        match requisite.want {
            Want::OnChanges if end.changes => marks.onchangesmet = true,
            Want::OnChanges => marks.onchanges = true,
            Want::Watch if end.changes => marks.change = true,
            Want::Prereq if end.result.is_none() => marks.premet = true,
            Want::Prereq => marks.pre = true,
            _ if end.ran => marks.met = true,
            _ => {}
        }
    }

    /// One turn of 3006's way: what a chunk needs is run before it, and that before that.
    fn poll_stack(&mut self) -> Option<Poll> {
        if self.running > 0 {
            // Only what was started to run beside the others can be under way here.
            return Some(Poll::Wait);
        }
        let Some((id, dry)) = self.stack.last() else {
            let Some(&(id, dry)) = self.queue.get(self.next) else {
                self.stopped = true;
                return None;
            };
            self.next += 1;
            if self.end(id).is_none() {
                self.stack.push((id, dry));
            }
            return None;
        };
        let Some(node) = self.nodes.get(id) else {
            self.stack.pop();
            return None;
        };
        if node.end.is_some() || dry && node.dry_end.is_some() {
            self.stack.pop();
            return None;
        }
        if !node.missing.is_empty() {
            let status = Status::Missing(node.missing.clone());
            self.stack.pop();
            return Some(Poll::Step(self.hand_out(id, dry, status)));
        }
        let mut wanted = None;
        if !dry {
            // What prepares for it comes first, and asks for its dry run.
            wanted = node
                .prepared_by
                .iter()
                .find(|other| self.end(**other).is_none())
                .map(|other| (*other, false));
        }
        'search: for requisite in &node.requisites {
            if wanted.is_some() {
                break;
            }
            let prereq = requisite.want == Want::Prereq;
            for &target in &requisite.targets {
                let Some(to) = self.nodes.get(target) else {
                    continue;
                };
                let there = if prereq {
                    to.dry_end.is_some() || to.end.is_some()
                } else {
                    to.end.is_some() || dry && to.dry_end.is_some()
                };
                if !there {
                    wanted = Some((target, prereq || dry));
                    break 'search;
                }
            }
        }
        if let Some((target, target_dry)) = wanted {
            // A dry run of something needs what that requires for real.
            let prepared = self
                .nodes
                .get(target)
                .is_some_and(|node| node.prepared_by.contains(&id));
            let next = (target, target_dry && prepared);
            if !self.stack.push(next) {
                self.stack.pop();
                return Some(Poll::Step(self.hand_out(id, dry, Status::Recursive)));
            }
            return None;
        }
        self.stack.pop();
        let status = self.status(id, dry);
        Some(Poll::Step(self.hand_out(id, dry, status)))
    }
}

/// What was seen of the targets.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent marks")]
struct Marks {
    fail: bool,
    met: bool,
    change: bool,
    onfail: bool,
    onchanges: bool,
    onchangesmet: bool,
    pre: bool,
    premet: bool,
    skip_req: bool,
}

impl Marks {
    fn combine(&mut self, requisite: &Requisite) {
        match requisite.taken {
            Taken::Each => {}
            Taken::Any => {
                if self.met || self.change {
                    self.fail = false;
                }
                if self.onchangesmet {
                    self.onchanges = false;
                    self.fail = false;
                }
                if self.met {
                    self.onfail = false;
                }
            }
            Taken::All => {
                if self.onfail {
                    self.met = false;
                }
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.fail |= other.fail;
        self.met |= other.met;
        self.change |= other.change;
        self.onfail |= other.onfail;
        self.onchanges |= other.onchanges;
        self.onchangesmet |= other.onchangesmet;
        self.pre |= other.pre;
        self.premet |= other.premet;
        self.skip_req |= other.skip_req;
    }

    fn status(&self, failed: Vec<NodeId>) -> Status {
        if self.fail {
            Status::Fail(failed)
        } else if self.skip_req && (self.onchangesmet || self.premet) {
            Status::SkipReq
        } else if self.skip_req && self.change {
            Status::SkipWatch
        } else if self.pre && !self.premet {
            Status::Pre
        } else if self.pre {
            Status::Met
        } else if self.onfail {
            Status::OnFail
        } else if self.onchanges && !self.onchangesmet {
            Status::OnChanges
        } else if self.change {
            Status::Change
        } else {
            Status::Met
        }
    }
}
