//! Functions by name, and how one is called.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use salt_proto::{Map, Value};

use crate::args::{Args, Signature};
use crate::context::Context;
use crate::foreign::{Catalog, Described, Foreign, ForeignKind};
use crate::plan::{Changes, Done, Plan};
use crate::states::{Check, ModAggregate, ModInit, State};
use crate::system::{Observe, Watched};

/// Something that `salt['x.y']` in a template, `salt '*' x.y` and `salt-call x.y` can call.
///
/// Any `Fn(&Args, &Context<'_>) -> Result<Value, CallError>` is one.
pub trait Function: Send + Sync {
    /// Does the work.
    ///
    /// # Errors
    ///
    /// A [`CallError`], whose variants are Salt's ways of reporting a failed call.
    fn call(&self, args: &Args, context: &Context<'_>) -> Result<Value, CallError>;
}

impl<F> Function for F
where
    F: Fn(&Args, &Context<'_>) -> Result<Value, CallError> + Send + Sync,
{
    fn call(&self, args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
        self(args, context)
    }
}

/// Why a call failed, in Salt's categories. `Display` is the bare text; what a minion
/// returns is [`CallError::job_text`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No such function.
    #[error("'{0}' is not available.")]
    Unavailable(String),
    /// No such function here, but the tree has one: what would run it.
    #[error("'{name}' is not available.\nHint: {hint}")]
    Foreign {
        /// The function.
        name: String,
        /// What to do about it.
        hint: String,
    },
    /// The arguments do not fit its parameters (Python's `TypeError`).
    #[error("{0}")]
    Arguments(String),
    /// The arguments make no sense (Salt's `SaltInvocationError`).
    #[error("{0}")]
    Invocation(String),
    /// It could not be done (Salt's `CommandExecutionError`).
    #[error("{0}")]
    Execution(String),
    /// A program it needs is not installed (Salt's `CommandNotFoundError`).
    #[error("{0}")]
    CommandNotFound(String),
    /// Anything else that Python code would raise.
    #[error("{message}")]
    Exception {
        /// The exception's name, `ValueError`.
        kind: String,
        /// Its text.
        message: String,
    },
    /// What Python code did raise, with its whole traceback.
    #[error("{message}")]
    Raised {
        /// The exception's name, `ValueError`.
        kind: String,
        /// Its text.
        message: String,
        /// Python's traceback.
        traceback: String,
    },
}

impl CallError {
    /// An exception by its Python name.
    pub fn exception(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Exception {
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// Salt's `CommandExecutionError`.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::Execution(message.into())
    }

    /// Salt's `SaltInvocationError`.
    pub fn invocation(message: impl Into<String>) -> Self {
        Self::Invocation(message.into())
    }

    /// What a minion returns for it (Salt 3008.3). `doc` is the function's
    /// documentation, which follows the complaint about wrong arguments.
    pub fn job_text(&self, function: &str, doc: &str) -> String {
        match self {
            Self::Unavailable(_) | Self::Foreign { .. } => self.to_string(),
            Self::Arguments(text) => {
                format!("Passed invalid arguments to {function}: {text}\n{doc}")
            }
            Self::Invocation(text) => format!("ERROR executing '{function}': {text}"),
            Self::Execution(text) => format!("ERROR: {text}"),
            Self::CommandNotFound(text) => {
                format!("Command required for '{function}' not found: {text}")
            }
            Self::Exception { .. } | Self::Raised { .. } => format!(
                "The minion function caused an exception: {}",
                self.traceback()
            ),
        }
    }

    /// A Python traceback; of what was not raised by Python its last part, which is all of
    /// it that there is.
    pub fn traceback(&self) -> String {
        let kind = match self {
            Self::Exception { kind, .. } => kind,
            Self::Raised { traceback, .. } => return traceback.clone(),
            Self::Unavailable(_) | Self::Foreign { .. } => "KeyError",
            Self::Arguments(_) => "TypeError",
            Self::Invocation(_) => "salt.exceptions.SaltInvocationError",
            Self::Execution(_) => "salt.exceptions.CommandExecutionError",
            Self::CommandNotFound(_) => "salt.exceptions.CommandNotFoundError",
        };
        let text = self.to_string();
        let colon = if text.is_empty() { "" } else { ": " };
        format!("Traceback (most recent call last):\n{kind}{colon}{text}\n")
    }
}

/// What a minion sends back for a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOutcome {
    /// The return value, or the text of the failure.
    pub value: Value,
    /// Salt's return code: 0 when all is well.
    pub retcode: i64,
    /// Whether it counts as a success.
    pub success: bool,
    /// The outputter to show it with, when the value asks for one.
    pub outputter: Option<String>,
}

/// What a minion sends back for a job of several functions: mappings by function name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobsOutcome {
    /// The return values.
    pub values: Map,
    /// The return codes; failed calls have none.
    pub retcodes: Map,
    /// Whether each counts as a success.
    pub successes: Map,
}

#[derive(Clone)]
struct Entry {
    function: Callee,
    signature: Stated,
    doc: &'static str,
    outputter: Option<&'static str>,
}

/// A function: one of ours is a plain pointer, so that a registry of a thousand of them
/// is made without allocating each.
#[derive(Clone)]
enum Callee {
    Ours(fn(&Args, &Context<'_>) -> Result<Value, CallError>),
    Given(Arc<dyn Function>),
}

impl Callee {
    fn call(&self, args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
        match self {
            Self::Ours(function) => function(args, context),
            Self::Given(function) => function.call(args, context),
        }
    }
}

#[derive(Clone)]
struct StateEntry {
    state: Arc<dyn State>,
    signature: Stated,
    doc: &'static str,
}

/// The signature that a function stated, if any. Ours are read when they are needed:
/// a program calls few of all functions.
#[derive(Clone)]
enum Stated {
    No,
    Made(Signature),
    Written(&'static str, OnceLock<Option<Signature>>),
}

impl Stated {
    fn written(name: &str, text: &'static str) -> Self {
        debug_assert!(Signature::parse(text).is_some(), "signature of {name}");
        Self::Written(text, OnceLock::new())
    }

    fn get(&self) -> Option<&Signature> {
        match self {
            Self::No => None,
            Self::Made(signature) => Some(signature),
            Self::Written(text, read) => read.get_or_init(|| Signature::parse(text)).as_ref(),
        }
    }
}

/// A name: those of our functions are part of the program.
type Name = Cow<'static, str>;

/// The functions that can be called and the states that can be declared, by Salt's names.
///
/// ```
/// use salt_proto::Value;
/// use salt_state::{Args, Context, FakeSystem, MinionData, Registry};
///
/// let registry = Registry::builtin()
///     .function("acme.answer", |_: &Args, _: &Context<'_>| Ok(Value::Int(42)));
/// let (machine, minion) = (FakeSystem::new(), MinionData::default());
/// let context = Context::new(&registry, &machine, &minion);
///
/// assert_eq!(registry.call("acme.answer", &Args::new(), &context), Ok(Value::Int(42)));
/// assert_eq!(
///     registry.call("acme.nope", &Args::new(), &context).unwrap_err().to_string(),
///     "'acme.nope' is not available.",
/// );
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    functions: BTreeMap<Name, Entry>,
    states: BTreeMap<Name, StateEntry>,
    inits: BTreeMap<String, ModInit>,
    aggregates: BTreeMap<String, ModAggregate>,
    unusable: BTreeMap<String, String>,
    programs: BTreeMap<&'static str, &'static str>,
    foreign: Option<Arc<dyn Foreign>>,
    rehearsed: BTreeSet<&'static str>,
    /// Functions of virtual modules (`pkg`) where another program does their work than on
    /// Debian: by the grain `os_family`, then by name.
    provided: BTreeMap<&'static str, BTreeMap<&'static str, Entry>>,
}

/// Whether there are functions of a module among those.
fn provides(all: &BTreeMap<&'static str, Entry>, module: &str) -> bool {
    let next = all.range(module..).next();
    next.is_some_and(|(name, _)| {
        name.strip_prefix(module)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// What a state module does before its first function, whoever wrote it.
pub(crate) type Init<'a> = Box<dyn Fn(&Map, &Check<'_>) -> Result<bool, CallError> + 'a>;

/// How a state module joins chunks, whoever wrote it.
pub(crate) type Aggregate<'a> =
    Box<dyn Fn(&mut Map, &mut [Map], &Check<'_>) -> Result<(), CallError> + 'a>;

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.functions.keys()).finish()
    }
}

impl Registry {
    /// No functions at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The functions of this crate.
    pub fn builtin() -> Self {
        let mut this = Self::new();
        crate::functions::register(&mut this);
        crate::states::register(&mut this);
        this
    }

    /// Adds or replaces a state that takes its arguments as they come.
    #[must_use]
    pub fn state(mut self, name: impl Into<String>, state: impl State + 'static) -> Self {
        self.insert_state(name.into().into(), Stated::No, "", state);
        self
    }

    /// Adds or replaces a state with a signature, by which its arguments are checked and
    /// named, and with its documentation.
    #[must_use]
    pub fn state_with(
        mut self,
        name: impl Into<String>,
        signature: Signature,
        doc: &'static str,
        state: impl State + 'static,
    ) -> Self {
        self.insert_state(name.into().into(), Stated::Made(signature), doc, state);
        self
    }

    /// Says that a state module cannot be used here, and why (a `__virtual__` that
    /// returned false).
    #[must_use]
    pub fn unusable(mut self, module: impl Into<String>, reason: impl Into<String>) -> Self {
        self.unusable.insert(module.into(), reason.into());
        self
    }

    /// Says that a state module is only there on machines that have a program.
    pub(crate) fn needs_program(&mut self, module: &'static str, program: &'static str) {
        self.programs.insert(module, program);
    }

    /// Adds one of our states.
    pub(crate) fn add_state(
        &mut self,
        name: &'static str,
        signature: &'static str,
        doc: &'static str,
        state: fn(&Args, &Check<'_>) -> Result<Plan, CallError>,
    ) {
        let signature = Stated::written(name, signature);
        self.insert_state(name.into(), signature, doc, state);
    }

    fn insert_state(
        &mut self,
        name: Name,
        signature: Stated,
        doc: &'static str,
        state: impl State + 'static,
    ) {
        let state = Arc::new(state);
        self.states.insert(
            name,
            StateEntry {
                state,
                signature,
                doc,
            },
        );
    }

    /// Adds what a state module does before its first function of a run.
    pub fn add_mod_init(&mut self, module: &str, init: ModInit) {
        self.inits.insert(module.to_owned(), init);
    }

    /// Adds how a state module joins chunks.
    pub fn add_mod_aggregate(&mut self, module: &str, aggregate: ModAggregate) {
        self.aggregates.insert(module.to_owned(), aggregate);
    }

    /// Names who answers for functions and states that are not ours.
    #[must_use]
    pub fn with_foreign(mut self, foreign: Arc<dyn Foreign>) -> Self {
        self.foreign = Some(foreign);
        self
    }

    /// What there is that is not ours; `None` when nobody was named who could know.
    pub(crate) fn foreign_catalog(&self, kind: ForeignKind) -> Option<&Catalog> {
        Some(self.foreign.as_ref()?.catalog(kind))
    }

    /// Who answers for a function or state that is not ours, if there is one. A name in a
    /// module of ours is only looked for elsewhere when there is a file for it.
    fn foreign(&self, kind: ForeignKind, name: &str) -> Option<(&Arc<dyn Foreign>, &Described)> {
        let foreign = self.foreign.as_ref()?;
        let (module, _) = name.split_once('.')?;
        let first = format!("{module}.");
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        let ours = match kind {
            ForeignKind::States => {
                let next = self.states.range::<str, _>(from).next();
                next.is_some_and(|(name, _)| name.starts_with(&first))
            }
            _ => {
                let next = self.functions.range::<str, _>(from).next();
                next.is_some_and(|(name, _)| name.starts_with(&first))
            }
        };
        if ours && !foreign.has_file(kind, module) {
            return None;
        }
        let described = foreign.catalog(kind).functions.get(name)?;
        Some((foreign, described))
    }

    /// Says that a module's states are carried out only through
    /// [`Context::system`](crate::Context), so that they can be tried out on a
    /// [`Rehearsal`](crate::Rehearsal). A command among it is noticed; another way to the
    /// world outside would not be.
    pub fn add_rehearsed(&mut self, module: &'static str) {
        self.rehearsed.insert(module);
    }

    /// Whether a module's states can be tried out.
    pub(crate) fn is_rehearsed(&self, module: &str) -> bool {
        self.rehearsed.contains(module)
    }

    /// What a state module does before its first function of a run.
    pub(crate) fn mod_init(&self, module: &str) -> Option<Init<'_>> {
        if let Some(init) = self.inits.get(module) {
            return Some(Box::new(init));
        }
        let name = format!("{module}.mod_init");
        let (foreign, _) = self.foreign(ForeignKind::States, &name)?;
        let module = module.to_owned();
        Some(Box::new(move |low, check| {
            foreign.init(&module, low, check.is_test(), check.minion)
        }))
    }

    /// How a state module joins chunks.
    pub(crate) fn mod_aggregate(&self, module: &str) -> Option<Aggregate<'_>> {
        if let Some(aggregate) = self.aggregates.get(module) {
            return Some(Box::new(aggregate));
        }
        let name = format!("{module}.mod_aggregate");
        let (foreign, _) = self.foreign(ForeignKind::States, &name)?;
        let module = module.to_owned();
        Some(Box::new(move |low, rest, check| {
            foreign.aggregate(&module, low, rest, check.is_test(), check.minion)
        }))
    }

    /// Whether there is a state of that name.
    pub fn has_state(&self, name: &str) -> bool {
        self.states.contains_key(name) || self.foreign(ForeignKind::States, name).is_some()
    }

    /// The names of all states of ours, sorted.
    pub fn state_names(&self) -> impl Iterator<Item = &str> {
        self.states.keys().map(AsRef::as_ref)
    }

    /// The signature of a state, if it stated one.
    pub fn state_signature(&self, name: &str) -> Option<&Signature> {
        match self.states.get(name) {
            Some(entry) => entry.signature.get(),
            None => Some(&self.foreign(ForeignKind::States, name)?.1.signature),
        }
    }

    /// The documentation of a state, empty if it has none.
    pub fn state_doc(&self, name: &str) -> Option<&str> {
        match self.states.get(name) {
            Some(entry) => Some(entry.doc),
            None => Some(&self.foreign(ForeignKind::States, name)?.1.doc),
        }
    }

    /// Why a state cannot be called, in Salt's words; `None` when it can.
    pub fn why_no_state(&self, name: &str) -> Option<String> {
        if self.has_state(name) {
            return None;
        }
        let module = name.split('.').next().unwrap_or_default();
        let unusable = self.unusable.get(module).or_else(|| {
            self.foreign_catalog(ForeignKind::States)?
                .missing
                .get(module)
        });
        Some(match unusable {
            Some(reason) => format!("'{module}' __virtual__ returned False: {reason}"),
            None => format!("'{name}' is not available."),
        })
    }

    /// Why a state cannot be called on a machine now, in Salt's words; `None` when it can.
    /// A state that ran before may have installed what is needed.
    pub(crate) fn why_no_state_on(&self, name: &str, machine: &dyn Observe) -> Option<String> {
        let module = name.split('.').next().unwrap_or_default();
        match self.programs.get(module) {
            Some(program) if self.has_state(name) && machine.which(program).is_none() => {
                Some(format!(
                    "'{module}' __virtual__ returned False: {module} module could not be loaded"
                ))
            }
            _ => self.why_no_state(name),
        }
    }

    /// Calls a state's check with arguments by name. The plan is not carried out.
    ///
    /// # Errors
    ///
    /// [`CallError::Unavailable`] for an unknown name, what [`Signature::bind`] reports
    /// for wrong arguments, and whatever the state reports.
    pub fn check(&self, name: &str, args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
        let Some(entry) = self.states.get(name) else {
            return match self.foreign(ForeignKind::States, name) {
                Some((foreign, _)) => check_foreign(Arc::clone(foreign), name, args, check),
                None => Err(CallError::Unavailable(name.to_owned())),
            };
        };
        let watched = Watched::new(check.system);
        let plan = {
            let check = check.seen_through(&watched);
            match entry.signature.get() {
                Some(signature) => entry.state.check(&signature.bind(args)?, &check),
                None => entry.state.check(args, &check),
            }
        };
        plan.map(|mut plan| {
            if plan.is_change() {
                plan.places = Some(watched.into_places());
            }
            plan
        })
    }

    /// Adds or replaces a function that takes its arguments as they come.
    #[must_use]
    pub fn function(mut self, name: impl Into<String>, function: impl Function + 'static) -> Self {
        self.functions.insert(
            name.into().into(),
            Entry {
                function: Callee::Given(Arc::new(function)),
                signature: Stated::No,
                doc: "",
                outputter: None,
            },
        );
        self
    }

    /// Adds or replaces a function with a signature, by which its arguments are checked
    /// and named before it is called, and with its documentation for `sys.doc`.
    #[must_use]
    pub fn function_with(
        mut self,
        name: impl Into<String>,
        signature: Signature,
        doc: &'static str,
        function: impl Function + 'static,
    ) -> Self {
        self.functions.insert(
            name.into().into(),
            Entry {
                function: Callee::Given(Arc::new(function)),
                signature: Stated::Made(signature),
                doc,
                outputter: None,
            },
        );
        self
    }

    /// Adds one of ours.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        signature: &'static str,
        doc: &'static str,
        function: fn(&Args, &Context<'_>) -> Result<Value, CallError>,
    ) {
        self.functions.insert(
            name.into(),
            Entry {
                function: Callee::Ours(function),
                signature: Stated::written(name, signature),
                doc,
                outputter: None,
            },
        );
    }

    /// Adds the function that stands behind a name on machines of a family: there, only
    /// those of its module that were added so can be called.
    pub(crate) fn add_for(
        &mut self,
        family: &'static str,
        name: &'static str,
        signature: &'static str,
        doc: &'static str,
        function: fn(&Args, &Context<'_>) -> Result<Value, CallError>,
    ) {
        self.provided.entry(family).or_default().insert(
            name,
            Entry {
                function: Callee::Ours(function),
                signature: Stated::written(name, signature),
                doc,
                outputter: None,
            },
        );
    }

    /// The function behind a name on a machine.
    fn function_on(&self, name: &str, context: &Context<'_>) -> Option<&Entry> {
        let common = self.functions.get(name);
        // What somebody added is what they want.
        if matches!(common, Some(entry) if matches!(entry.function, Callee::Given(_))) {
            return common;
        }
        let Some((module, _)) = name.split_once('.') else {
            return common;
        };
        if !self.provided.values().any(|all| provides(all, module)) {
            return common;
        }
        let family = context.minion.grains.str("os_family").unwrap_or_default();
        match self.provided.get(family) {
            Some(all) if provides(all, module) => all.get(name),
            _ => common,
        }
    }

    /// What is known of a function that only other machines have.
    fn elsewhere(&self, name: &str) -> Option<&Entry> {
        self.provided.values().find_map(|all| all.get(name))
    }

    /// The outputter that a function's result is shown with, if it has one of its own.
    pub fn outputter_of(&self, name: &str) -> Option<&'static str> {
        self.functions.get(name)?.outputter
    }

    /// Names the outputter that shows a function's result unless the user names one.
    pub(crate) fn outputter(&mut self, name: &str, outputter: &'static str) {
        if let Some(entry) = self.functions.get_mut(name) {
            entry.outputter = Some(outputter);
        }
    }

    /// Whether there is a function of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.functions.contains_key(name)
            || self.elsewhere(name).is_some()
            || self.foreign(ForeignKind::Modules, name).is_some()
    }

    /// All names: ours, sorted, then those that are not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let foreign = self.foreign_catalog(ForeignKind::Modules);
        let foreign = foreign.into_iter().flat_map(|all| all.functions.keys());
        let foreign = foreign
            .map(String::as_str)
            .filter(|name| !self.functions.contains_key(*name));
        self.functions.keys().map(AsRef::as_ref).chain(foreign)
    }

    /// The signature of a function, if it stated one.
    pub fn signature(&self, name: &str) -> Option<&Signature> {
        match self.functions.get(name).or_else(|| self.elsewhere(name)) {
            Some(entry) => entry.signature.get(),
            None => Some(&self.foreign(ForeignKind::Modules, name)?.1.signature),
        }
    }

    /// The documentation of a function, empty if it has none.
    pub fn doc(&self, name: &str) -> Option<&str> {
        match self.functions.get(name).or_else(|| self.elsewhere(name)) {
            Some(entry) => Some(entry.doc),
            None => Some(&self.foreign(ForeignKind::Modules, name)?.1.doc),
        }
    }

    /// Calls a function.
    ///
    /// # Errors
    ///
    /// [`CallError::Unavailable`] for an unknown name, what [`Signature::bind`] reports
    /// for wrong arguments, and whatever the function reports.
    pub fn call(&self, name: &str, args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
        context.masking(false, || self.call_as_is(name, args, context))
    }

    fn call_as_is(
        &self,
        name: &str,
        args: &Args,
        context: &Context<'_>,
    ) -> Result<Value, CallError> {
        let Some(entry) = self.function_on(name, context) else {
            return self.call_foreign(name, args, context);
        };
        match entry.signature.get() {
            Some(signature) => entry.function.call(&signature.bind(args)?, context),
            None => entry.function.call(args, context),
        }
    }

    fn call_foreign(
        &self,
        name: &str,
        args: &Args,
        context: &Context<'_>,
    ) -> Result<Value, CallError> {
        if let Some((foreign, described)) = self.foreign(ForeignKind::Modules, name) {
            described.signature.bind(args)?;
            return foreign.call(name, args.positional(), args.keywords(), context.minion);
        }
        Err(
            match crate::foreign::hint(ForeignKind::Modules, name, context) {
                Some(hint) => CallError::Foreign {
                    name: name.to_owned(),
                    hint,
                },
                None => CallError::Unavailable(name.to_owned()),
            },
        )
    }

    /// Runs a published job: reads its arguments, calls, and turns a failure into the
    /// text and code that Salt's minion (3008.3) returns.
    ///
    /// `arg` is the job's argument list as published.
    pub fn run_job(&self, name: &str, arg: &[Value], context: &Context<'_>) -> JobOutcome {
        match self.call_job(name, arg, context) {
            Ok((value, retcode)) => JobOutcome {
                value,
                retcode,
                success: retcode == 0,
                outputter: self
                    .functions
                    .get(name)
                    .and_then(|entry| entry.outputter)
                    .map(str::to_owned),
            },
            Err(error) => JobOutcome {
                value: self.failure(name, &error),
                retcode: 1,
                success: false,
                outputter: Some("nested".to_owned()),
            },
        }
    }

    /// Calls a function as a job does, with the arguments as published, and returns its
    /// value and return code. What [`Registry::run_job`] is made of, for those who report
    /// failures themselves.
    ///
    /// # Errors
    ///
    /// As [`Registry::call`].
    pub fn call_job(
        &self,
        name: &str,
        arg: &[Value],
        context: &Context<'_>,
    ) -> Result<(Value, i64), CallError> {
        self.call_outermost(name, Args::from_job(arg), context)
    }

    /// Calls a function for whoever typed it: pillar values are masked (Salt 3008's
    /// `pillar_mask_output`), functions with `**kwargs` learn of the job in `__pub_…`
    /// keywords, and the return code comes with the value. What `salt-call` does.
    ///
    /// # Errors
    ///
    /// As [`Registry::call`].
    pub fn call_outermost(
        &self,
        name: &str,
        mut args: Args,
        context: &Context<'_>,
    ) -> Result<(Value, i64), CallError> {
        let takes_extra = self
            .signature(name)
            .is_some_and(|signature| signature.extra().is_some());
        if takes_extra {
            for (key, value) in &context.job {
                let key = format!("__pub_{}", crate::python::str(key));
                args.keywords.insert(key, value.clone());
            }
        }
        context.set_retcode(0);
        let masks = context.minion.config.get("pillar_mask_output");
        let masks = masks.is_none_or(Value::is_true);
        let value = context.masking(masks, || self.call_as_is(name, &args, context))?;
        let mut retcode = context.retcode();
        if retcode == 0 && says_failure(&value) {
            retcode = 1;
        }
        Ok((value, retcode))
    }

    /// Runs a published job of several functions, each with its arguments, as Salt's
    /// minion (3008.3) does: values, codes and successes by function name. A failed call
    /// returns its traceback and has no code.
    pub fn run_jobs(&self, calls: &[(String, Vec<Value>)], context: &Context<'_>) -> JobsOutcome {
        let mut all = JobsOutcome::default();
        for (name, arg) in calls {
            let name = name.as_str();
            match self.call_job(name, arg, context) {
                Ok((value, retcode)) => {
                    all.values.insert(name, value);
                    all.retcodes.insert(name, retcode);
                    all.successes.insert(name, retcode == 0);
                }
                Err(error) => {
                    all.values.insert(name, error.traceback());
                    all.successes.insert(name, false);
                }
            }
        }
        all
    }

    /// What Salt returns for an unknown function whose name is the beginning of known
    /// ones: their documentation, with the complaint at the end. `None` when it is not.
    pub fn alternatives(&self, name: &str) -> Option<Value> {
        let mut docs: Map = self
            .functions
            .iter()
            .filter(|(known, _)| known.starts_with(name))
            .map(|(known, entry)| (known.as_ref(), entry.doc))
            .collect();
        if docs.is_empty() {
            return None;
        }
        docs.insert(name, CallError::Unavailable(name.to_owned()).to_string());
        Some(docs.into())
    }

    /// What a minion returns for a failure.
    fn failure(&self, name: &str, error: &CallError) -> Value {
        if matches!(error, CallError::Unavailable(unknown) if unknown == name)
            && let Some(docs) = self.alternatives(name)
        {
            return docs;
        }
        let doc = self.doc(name).unwrap_or_default();
        error.job_text(name, doc).into()
    }
}

/// What a state of somebody else's would do. In test mode it is asked at once, since it
/// writes nothing then; otherwise when its turn comes.
fn check_foreign(
    foreign: Arc<dyn Foreign>,
    name: &str,
    args: &Args,
    check: &Check<'_>,
) -> Result<Plan, CallError> {
    let mut low = args.keywords().clone();
    if let Some((state, function)) = name.split_once('.') {
        low.insert("state", state);
        low.insert("fun", function);
    }
    for (key, usual) in [
        ("__id__", Value::from(name)),
        ("__sls__", Value::Null),
        ("__env__", "base".into()),
        ("order", 1.into()),
        ("name", name.into()),
    ] {
        if !low.contains_key(key) {
            low.insert(key, check.low.get(key).cloned().unwrap_or(usual));
        }
    }
    if check.is_test() {
        return Ok(Plan::raw(foreign.state(&low, true, check.minion)?));
    }
    Ok(Plan::change("", Changes::none(), move |context| {
        let entry = foreign.state(&low, false, context.minion)?;
        Ok(Done::raw(entry))
    }))
}

/// A mapping with a false `result` or `success` is a failure (Salt 3008.3).
pub fn says_failure(value: &Value) -> bool {
    ["result", "success"].into_iter().any(|key| {
        value
            .get(key)
            .is_some_and(|said| matches!(said, Value::Bool(false)))
    })
}

impl From<std::io::Error> for CallError {
    /// As Python raises it: `FileNotFoundError: [Errno 2] No such file or directory`.
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::NotFound => "FileNotFoundError",
            ErrorKind::PermissionDenied => "PermissionError",
            ErrorKind::AlreadyExists => "FileExistsError",
            ErrorKind::IsADirectory => "IsADirectoryError",
            ErrorKind::NotADirectory => "NotADirectoryError",
            _ => "OSError",
        };
        Self::exception(kind, crate::system::errno_text(&error, None))
    }
}

impl From<crate::system::CommandError> for CallError {
    fn from(error: crate::system::CommandError) -> Self {
        Self::execution(error.to_string())
    }
}

impl crate::compile::StateModules for Registry {
    fn has_mod_watch(&self, module: &str) -> bool {
        self.has_state(&format!("{module}.mod_watch"))
            || crate::compile::SaltModules.has_mod_watch(module)
    }

    fn has_mod_aggregate(&self, module: &str) -> bool {
        self.mod_aggregate(module).is_some()
            || crate::compile::SaltModules.has_mod_aggregate(module)
    }
}
