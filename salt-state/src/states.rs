//! State modules: what an SLS can ask for.
//!
//! # How to add a state
//!
//! 1. Write `states/<module>.rs` with a `pub(super) fn register(registry: &mut Registry)`
//!    and list it in `register` below, in alphabetical order.
//! 2. For each function call
//!    `registry.add_state("mod.fun", "fun(name, source=None, **kwargs)", DOC, fun)`: name,
//!    Salt's own signature, a line of documentation, the function. The signature decides
//!    what is missing ("Missing parameter …"), what is refused (an unknown name without
//!    `**kwargs` ends the whole run, as in Salt) and what the defaults are; requisites and
//!    other runtime keywords never arrive unless the signature names them.
//! 3. The function is `fn(args: &Args, check: &Check<'_>) -> Result<Plan, CallError>`. It
//!    compares and returns a [`Plan`]; it cannot write, since [`Check::system`] only
//!    observes. `Err` is an exception: result false, "An exception occurred in this state:
//!    Traceback …". What Salt reports politely is [`Plan::fail`].
//!    * nothing to do: [`Plan::unchanged`]; else [`Plan::change`] with the comment
//!      afterwards, the exact changes and a closure, plus [`Plan::when_testing`] for the
//!      comment of test mode (and [`Plan::test_changes`] where Salt's dry run shows other
//!      changes than there will be);
//!    * the closure gets a full [`Context`]: `context.system` writes and
//!      runs, `context.registry.call("pkg.install", &args, context)` calls an execution
//!      function. It owns what it captures, and returns `Ok(())` or a
//!      [`Done`](crate::Done) that corrects comment, changes or result.
//! 4. To look: `check.system` for files, users and `query` for commands that only ask;
//!    [`Check::query`] for execution functions that only ask; [`Check::source`] for
//!    `salt://`; [`Check::template`] to render; grains, pillar and settings are in
//!    [`Check::minion`]; the chunk with all its keys is [`Check::low`];
//!    [`Check::note`] is memory that all states of a run share (Salt's `__context__`).
//! 5. A state and its execution module share plain functions: what asks takes
//!    `&dyn Observe` (both can call it), what changes takes `&Context<'_>` or
//!    `&dyn System` (the function calls it, and so does the closure of the plan). Keep
//!    them in `functions/<module>.rs` as `pub(crate)`.
//! 6. `watch`: register `"mod.mod_watch"` like any other function, with the signature
//!    `mod_watch(name, sfun=None, **kwargs)`; `sfun` is the function that was declared.
//!    `mod_init`, `mod_aggregate`: [`Registry::add_mod_init`],
//!    [`Registry::add_mod_aggregate`]. `mod_beacon`: a function like `mod_watch`.
//! 7. Test over [`FakeSystem`](crate::FakeSystem) with [`Registry::check`]: predicted
//!    changes are the actual ones, and a second run changes nothing.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::{Args, Signature};
use crate::context::{Context, MinionData};
use crate::plan::Plan;
use crate::registry::{CallError, Registry};
use crate::render::{Machine, RegistryFunctions, RenderError, Template, World};
use crate::sources::{MemorySources, Sources};
use crate::system::Observe;

mod alias;
mod alternatives;
mod archive;
mod beacon;
mod blockdev;
mod cmd;
mod cron;
mod debconf;
mod disk;
mod environ;
mod event;
pub(crate) mod file;
mod gem;
mod git;
mod grains;
mod group;
mod host;
mod http;
mod ini;
mod iptables;
mod keyboard;
mod kmod;
mod locale;
mod logrotate;
mod loops;
mod lvm;
mod module;
mod mount;
mod network;
mod nftables;
mod npm;
mod pip;
mod pkg;
mod pkgrepo;
mod postgres;
mod process;
mod saltutil;
mod schedule;
mod service;
mod ssh_auth;
mod ssh_known_hosts;
mod stateconf;
mod status;
mod sysctl;
mod sysfs;
mod test;
mod timezone;
mod user;
mod virtualenv;
mod x509;

/// Adds all of ours.
pub(crate) fn register(registry: &mut Registry) {
    for module in [
        alias::register,
        alternatives::register,
        archive::register,
        beacon::register,
        blockdev::register,
        cmd::register,
        cron::register,
        debconf::register,
        disk::register,
        environ::register,
        event::register,
        file::register,
        gem::register,
        git::register,
        grains::register,
        group::register,
        host::register,
        http::register,
        ini::register,
        iptables::register,
        keyboard::register,
        kmod::register,
        locale::register,
        logrotate::register,
        loops::register,
        lvm::register,
        module::register,
        mount::register,
        network::register,
        nftables::register,
        npm::register,
        pip::register,
        pkg::register,
        pkgrepo::register,
        postgres::register,
        process::register,
        saltutil::register,
        schedule::register,
        service::register,
        ssh_auth::register,
        ssh_known_hosts::register,
        stateconf::register,
        status::register,
        sysctl::register,
        sysfs::register,
        test::register,
        timezone::register,
        user::register,
        virtualenv::register,
        x509::register,
    ] {
        module(registry);
    }
}

/// A function of a state module: looks at the machine and says what has to be done.
///
/// Any `Fn(&Args, &Check<'_>) -> Result<Plan, CallError>` is one.
pub trait State: Send + Sync {
    /// Compares what is wanted with what is there. Nothing here can change the machine.
    ///
    /// # Errors
    ///
    /// What would be an exception in Python; foreseen failures are [`Plan::fail`].
    fn check(&self, args: &Args, check: &Check<'_>) -> Result<Plan, CallError>;
}

impl<F> State for F
where
    F: Fn(&Args, &Check<'_>) -> Result<Plan, CallError> + Send + Sync,
{
    fn check(&self, args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
        self(args, check)
    }
}

/// Called once per state module before its first function, with the chunk; again for the
/// next chunk unless it returns true.
pub type ModInit = fn(&Map, &Check<'_>) -> Result<bool, CallError>;

/// Joins chunks: gets the chunk that is about to run and those that have not run yet, in
/// order. What is taken over from a later chunk is marked in it with `__agg__: true`.
pub type ModAggregate = fn(&mut Map, &mut [Map], &Check<'_>) -> Result<(), CallError>;

/// What a state may know and ask while it checks.
pub struct Check<'a> {
    /// The machine, to look at.
    pub system: &'a dyn Observe,
    /// Who this minion is: grains, pillar, settings.
    pub minion: &'a MinionData,
    /// The files of the state tree.
    pub sources: Option<&'a dyn Sources>,
    /// The chunk as compiled, with requisites, `__id__`, `__sls__` and `__env__`.
    pub low: &'a Map,
    /// All chunks of the run in the order of their compilation, this one included; empty
    /// for a state that is checked by itself.
    pub run: &'a [Map],
    context: &'a Context<'a>,
    test: bool,
}

impl std::fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("low", self.low)
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}

impl<'a> Check<'a> {
    /// What a chunk may see of a context.
    pub fn new(context: &'a Context<'a>, low: &'a Map, test: bool) -> Self {
        Self {
            system: context.system,
            minion: context.minion,
            sources: context.sources,
            low,
            run: &[],
            context,
            test,
        }
    }

    /// The same with another way to look at the machine.
    pub(crate) fn seen_through<'b>(&'b self, system: &'b dyn Observe) -> Check<'b> {
        Check {
            system,
            minion: self.minion,
            sources: self.sources,
            low: self.low,
            run: self.run,
            context: self.context,
            test: self.test,
        }
    }

    /// The same as part of a run.
    pub(crate) fn among(self, run: &'a [Map]) -> Self {
        Self { run, ..self }
    }

    /// Whether this is a dry run. A plan serves both modes, so few need to know.
    pub fn is_test(&self) -> bool {
        self.test
    }

    /// A setting as text, if it is there and is text.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.context.setting(name)
    }

    /// The environment whose files the chunk uses: its `saltenv`, else the one its SLS
    /// came from.
    pub fn environment(&self) -> &str {
        ["saltenv", "__env__"]
            .into_iter()
            .find_map(|key| self.low.str(key))
            .unwrap_or("base")
    }

    /// The umask the chunk asks for.
    pub fn umask(&self) -> Option<u32> {
        crate::engine::umask(self.low.get("umask")?)
    }

    /// Calls an execution function that only asks: it cannot write, and a command that it
    /// runs is taken for a question ([`Asking`]).
    ///
    /// # Errors
    ///
    /// As [`Registry::call`]; what the function would change is refused.
    ///
    /// [`Asking`]: crate::system::Asking
    pub fn query(&self, function: &str, args: &Args) -> Result<Value, CallError> {
        self.context
            .asking(|context| context.registry.call(function, args, context))
    }

    /// Whether there is an execution function of that name.
    pub fn has_function(&self, name: &str) -> bool {
        self.context.registry.contains(name)
    }

    /// The signature of an execution function, if there is one and it stated it.
    pub fn function_signature(&self, name: &str) -> Option<&Signature> {
        self.context.registry.signature(name)
    }

    /// The content behind an address: `salt://…` (with `?saltenv=`), `file://…` or an
    /// absolute path. `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// For relative paths, schemes that cannot be fetched here and unreadable files.
    pub fn source(&self, url: &str) -> Result<Option<Vec<u8>>, CallError> {
        crate::functions::content(url, Some(self.environment()), self.context)
    }

    /// Renders the text of a file with `jinja` or another renderer that makes text;
    /// `extra` are the variables beside Salt's. `path` is the file's place in the tree,
    /// from where its imports are found.
    ///
    /// # Errors
    ///
    /// In Salt's words.
    pub fn template(
        &self,
        renderer: &str,
        text: &str,
        path: &str,
        extra: &Map,
    ) -> Result<String, RenderError> {
        let nothing = MemorySources::new();
        let template = Template {
            environment: self.environment(),
            sls: "",
            path,
            default: renderer,
            extra,
        };
        self.for_functions(|context| {
            let functions = RegistryFunctions::new(context);
            let machine = Machine::of(context);
            let world =
                World::new(self.minion, self.sources.unwrap_or(&nothing), &functions).on(&machine);
            world.render_text(renderer, &template, text)
        })
    }

    /// The context for functions that templates call: in a dry run they cannot change the
    /// machine.
    pub(crate) fn for_functions<T>(&self, call: impl FnOnce(&Context<'_>) -> T) -> T {
        if self.test {
            self.context.asking(call)
        } else {
            call(self.context)
        }
    }

    /// What another state of this run left under a name (Salt's `__context__`).
    pub fn note(&self, key: &str) -> Option<Value> {
        self.context.note(key)
    }

    /// Leaves something for later states of this run.
    pub fn set_note(&self, key: &str, value: impl Into<Value>) {
        self.context.set_note(key, value);
    }

    /// Checks another state function with arguments of its own, as modules do that are
    /// built on others (`file.recurse` on `file.managed`). The plan can be carried out
    /// in the closure of one's own, or its parts taken.
    ///
    /// # Errors
    ///
    /// As [`Registry::check`].
    pub fn state(&self, name: &str, args: &Args) -> Result<Plan, CallError> {
        self.context.registry.check(name, args, self)
    }

    /// Where a relative path of a caller would lead; Salt wants absolute ones.
    pub fn is_absolute(path: &str) -> bool {
        Path::new(path).is_absolute()
    }
}
