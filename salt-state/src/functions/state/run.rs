//! `state.apply` and its kin: compile, run, report.

use std::path::Path;

use salt_proto::target::Release;
use salt_proto::{Map, Value};

use super::names;
use super::plan::{self, Planning};
use crate::args::Args;
use crate::compile::{self, Chunk, Compiled, Inputs, NO_MATCH, What};
use crate::context::{Context, MinionData};
use crate::engine::{self, Mode, Report};
use crate::foreign::{self, ForeignKind};
use crate::grains;
use crate::pillar;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::render::{Machine, RegistryFunctions, World};
use crate::sources::MemorySources;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.apply",
        "apply_(mods=None, **kwargs)",
        "Brings the given SLS about, or the highstate when none is given. test: only say what would change. pillar: data over the pillar. exclude, saltenv, pillarenv, queue, concurrent, terse, mock, force.",
        apply,
    );
    registry.add(
        "state.highstate",
        "highstate(test=None, queue=None, state_events=None, **kwargs)",
        "Brings about what the top files select for the minion. Arguments as state.apply, and whitelist: only these SLS.",
        highstate,
    );
    registry.add(
        "state.sls",
        "sls(mods, test=None, exclude=None, queue=None, sync_mods=None, state_events=None, **kwargs)",
        "Brings the given SLS about. Arguments as state.apply.",
        sls,
    );
    registry.add(
        "state.test",
        "test(*args, **kwargs)",
        "Says what state.apply would change.",
        |args, context| {
            let mut args = args.clone();
            args.keywords.insert("test", true);
            context.registry.call("state.apply", &args, context)
        },
    );
    registry.add(
        "state.top",
        "top(topfn, test=None, queue=None, **kwargs)",
        "Brings about what another top file selects.",
        |args, context| {
            let top = args.text("topfn")?;
            run(args, context, |setup| {
                setup.minion.config.insert("state_top", top);
                Ok(Source::Highstate)
            })
        },
    );
    registry.add(
        "state.sls_id",
        "sls_id(id_, mods, test=None, queue=None, state_events=None, **kwargs)",
        "Brings one ID of the given SLS about, with what it requires.",
        sls_id,
    );
    registry.add(
        "state.single",
        "single(fun, name, test=None, queue=None, **kwargs)",
        "Calls one state function.",
        single,
    );
    registry.add(
        "state.low",
        "low(data, queue=None, **kwargs)",
        "Runs one chunk of low data.",
        low,
    );
    registry.add(
        "state.high",
        "high(data, test=None, queue=None, **kwargs)",
        "Brings high data about.",
        |args, context| {
            let Some(data @ Value::Map(_)) = args.get("data").cloned() else {
                return Err(CallError::Arguments(
                    "High data is not a dictionary".to_owned(),
                ));
            };
            run(args, context, |_| Ok(Source::High(data)))
        },
    );
    registry.add(
        "state.template",
        "template(tem, queue=None, **kwargs)",
        "Brings the SLS in a file of this machine about.",
        |args, context| {
            let path = args.text("tem")?;
            let path = if path.ends_with(".sls") {
                path
            } else {
                format!("{path}.sls")
            };
            let text = context.system.text(Path::new(&path))?;
            let text = text.ok_or_else(|| {
                CallError::exception(
                    "FileNotFoundError",
                    format!("[Errno 2] No such file or directory: '{path}'"),
                )
            })?;
            run(args, context, |_| Ok(Source::Text(text, path)))
        },
    );
    registry.add(
        "state.template_str",
        "template_str(tem, queue=None, **kwargs)",
        "Brings the SLS in a text about.",
        |args, context| {
            let text = args.text("tem")?;
            run(args, context, |_| Ok(Source::Text(text, String::new())))
        },
    );
    for name in [
        "state.apply",
        "state.highstate",
        "state.sls",
        "state.test",
        "state.top",
        "state.sls_id",
        "state.single",
        "state.low",
        "state.high",
        "state.template",
        "state.template_str",
    ] {
        registry.outputter(name, "highstate");
    }
}

fn apply(args: &Args, context: &Context<'_>) -> Answer {
    if let Some(path) = args.optional_text("plan") {
        let path = std::path::PathBuf::from(path);
        let (call, plan) = plan::read(&path, context)?;
        return planned(&call, context, Planning::Follow(path, plan));
    }
    match args.given("mods") {
        Some(_) => sls(args, context),
        None => highstate(args, context),
    }
}

fn highstate(args: &Args, context: &Context<'_>) -> Answer {
    if let Some(refusal) = super::disable::refusal("highstate", context) {
        return Ok(refusal);
    }
    let whitelist = args.given("whitelist").cloned();
    run(args, context, |setup| {
        setup.whitelist = whitelist.map(|names_| names(Some(&names_)));
        Ok(Source::Highstate)
    })
}

/// A run that writes a plan or keeps to one.
pub(super) fn planned(args: &Args, context: &Context<'_>, planning: Planning) -> Answer {
    run(args, context, |setup| {
        setup.planning = planning;
        Ok(match args.given("mods") {
            Some(mods) => Source::Sls(setup.environment(), names(Some(mods))),
            None => Source::Highstate,
        })
    })
}

fn sls(args: &Args, context: &Context<'_>) -> Answer {
    if let Some(refusal) = super::disable::refused_sls(args.get("mods"), context) {
        context.set_retcode(1);
        return Ok(refusal);
    }
    run(args, context, |setup| {
        Ok(Source::Sls(setup.environment(), names(args.get("mods"))))
    })
}

fn sls_id(args: &Args, context: &Context<'_>) -> Answer {
    let ids: Vec<String> = names(args.get("id_")).iter().map(python::str).collect();
    let shown = args.optional_text("id_").unwrap_or_default();
    let mods = match args.get("mods") {
        Some(Value::List(all)) => {
            let all: Vec<String> = all.iter().map(python::str).collect();
            all.join(", ")
        }
        other => other.map(python::str).unwrap_or_default(),
    };
    run(args, context, |setup| {
        let environment = setup.environment();
        setup.only = Some(Only {
            ids,
            missing: format!(
                "No matches for ID '{shown}' found in SLS '{mods}' within saltenv '{environment}'"
            ),
        });
        Ok(Source::Sls(environment, names(args.get("mods"))))
    })
}

fn single(args: &Args, context: &Context<'_>) -> Answer {
    let function = args.text("fun")?;
    let parts: Vec<&str> = function.split('.').collect();
    let [state, fun] = parts.as_slice() else {
        context.set_retcode(1);
        return Ok("Invalid function passed".into());
    };
    let mut low = Map::from([("state", *state), ("fun", *fun)]);
    let name = args.get("name").cloned().unwrap_or_default();
    low.insert("__id__", name.clone());
    low.insert("name", name);
    for (key, value) in args.clean_keywords() {
        if !matches!(
            key.as_str(),
            Some("pillar" | "pillar_enc" | "pillarenv" | "concurrent" | "localconfig")
        ) {
            low.insert(key, value);
        }
    }
    if let Some(environment) = args.keywords().get("__env__") {
        low.insert("__env__", environment.clone());
    }
    one_chunk(args, context, low)
}

fn low(args: &Args, context: &Context<'_>) -> Answer {
    let Some(Value::Map(low)) = args.get("data").cloned() else {
        return Err(CallError::Arguments(
            "Low data is not a dictionary".to_owned(),
        ));
    };
    for key in ["state", "fun"] {
        if !low.contains_key(key) {
            context.set_retcode(1);
            return Ok(Value::List(vec![format!("Missing \"{key}\" data").into()]));
        }
    }
    let mut low = low;
    if !low.contains_key("__id__")
        && let Some(name) = low.get("name").cloned()
    {
        low.insert("__id__", name);
    }
    one_chunk(args, context, low)
}

fn one_chunk(args: &Args, context: &Context<'_>, low: Map) -> Answer {
    let full = ["state", "fun"].map(|key| low.get(key).map(python::str).unwrap_or_default());
    let full = full.join(".");
    let why = context.registry.why_no_state_on(&full, context.system);
    if why.is_some() {
        context.set_retcode(1);
        let mut text = format!("Specified state '{full}' was not found");
        if !context.registry.has_state(&full)
            && let Some(hint) = foreign::hint(ForeignKind::States, &full, context)
        {
            text.push_str(&format!("\nHint: {hint}"));
        }
        return Ok(Value::List(vec![text.into()]));
    }
    if !low.contains_key("name") {
        context.set_retcode(1);
        return Ok(Value::List(vec!["Missing \"name\" data".into()]));
    }
    if let Some(umask) = low.get("umask")
        && engine::umask(umask).is_none()
    {
        context.set_retcode(1);
        let text = format!("Invalid umask: {}", python::str(umask));
        return Ok(Value::List(vec![text.into()]));
    }
    run(args, context, |_| Ok(Source::Chunk(low)))
}

/// What to run.
enum Source {
    Highstate,
    Sls(String, Vec<Value>),
    High(Value),
    /// A text, and what it is called.
    Text(String, String),
    Chunk(Map),
}

/// The chunks that are wanted of all.
struct Only {
    ids: Vec<String>,
    missing: String,
}

/// What the arguments of these functions come to.
struct Setup {
    minion: MinionData,
    exclude: Vec<Value>,
    whitelist: Option<Vec<Value>>,
    only: Option<Only>,
    mode: Mode,
    terse: bool,
    planning: Planning,
}

impl Setup {
    fn environment(&self) -> String {
        let stated = self.minion.config.str("saltenv");
        stated
            .filter(|name| !name.is_empty())
            .unwrap_or("base")
            .to_owned()
    }
}

/// Reads the arguments that all of these functions share.
fn set_up(args: &Args, context: &Context<'_>) -> Result<Setup, CallError> {
    let mut minion = context.minion.clone();
    if let Some(Value::Str(path)) = args.given("localconfig") {
        let text = context.system.text(Path::new(path))?.unwrap_or_default();
        if let Ok(Value::Map(more)) = crate::yaml::load(&text) {
            minion.config.extend(more);
        }
    }
    let locked =
        |minion: &MinionData, key: &str| minion.config.get(key).is_some_and(Value::is_true);
    if let Some(saltenv) = args.given("saltenv") {
        if locked(&minion, "lock_saltenv") && minion.config.get("saltenv") != Some(saltenv) {
            return Err(CallError::execution(
                "lock_saltenv is enabled, saltenv cannot be changed",
            ));
        }
        minion.config.insert("saltenv", python::str(saltenv));
    }
    let test = match args.given("test") {
        Some(test) => test.is_true(),
        None => minion.config.get("test").is_some_and(Value::is_true),
    };
    minion.config.insert("test", test);
    if let Some(events) = args.given("state_events") {
        minion.config.insert("state_events", events.clone());
    }
    let mut asked = Map::new();
    if let Some(pillarenv) = args.given("pillarenv") {
        minion.config.insert("pillarenv", pillarenv.clone());
        asked.insert("pillarenv", pillarenv.clone());
    }
    match args.given("pillar").filter(|pillar| pillar.is_true()) {
        None => {}
        Some(Value::Map(more)) => {
            asked.insert("pillar", Value::Map(more.clone()));
        }
        Some(_) => {
            return Err(CallError::invocation(
                "Pillar data must be formatted as a dictionary, unless pillar_enc is specified.",
            ));
        }
    }
    if !asked.is_empty() {
        if let Some(saltenv) = args.given("saltenv") {
            asked.insert("saltenv", saltenv.clone());
        }
        match context.compile_pillar {
            Some(compile) => minion.pillar = compile(&asked)?,
            None => {
                if let Some(Value::Map(more)) = asked.get("pillar") {
                    minion.pillar =
                        pillar::Strategy::of(&minion.config).merge(minion.pillar, more.clone());
                }
            }
        }
    }
    Ok(Setup {
        exclude: names(args.given("exclude")),
        whitelist: None,
        only: None,
        mode: Mode {
            test,
            mock: args.is_true("mock"),
            release: grains::followed(&minion.config),
            first: 0,
            exact: false,
        },
        terse: args.is_true("terse"),
        planning: Planning::None,
        minion,
    })
}

/// Compiles and runs.
fn run(
    args: &Args,
    context: &Context<'_>,
    source: impl FnOnce(&mut Setup) -> Result<Source, CallError>,
) -> Answer {
    if let Some(refusal) = super::control::conflict(args, context) {
        return Ok(refusal);
    }
    let mut setup = set_up(args, context)?;
    let source = source(&mut setup)?;
    if let Some(errors) = setup
        .minion
        .pillar
        .get("_errors")
        .filter(|all| all.is_true())
        && !args.is_true("force")
    {
        context.set_retcode(5);
        let mut all = vec!["Pillar failed to render with the following messages:".into()];
        all.extend(errors.as_list().unwrap_or_default().iter().cloned());
        return Ok(Value::List(all));
    }
    let inner = context.with_minion(&setup.minion);
    let answer = carry_out(&setup, source, &inner);
    context.set_retcode(inner.retcode());
    answer
}

fn carry_out(setup: &Setup, source: Source, context: &Context<'_>) -> Answer {
    let compiled = match source {
        Source::Chunk(low) => {
            let chunk = Chunk {
                low,
                ..Chunk::default()
            };
            Compiled {
                low: Some(vec![chunk]),
                ..Compiled::default()
            }
        }
        source => compile_source(setup, source, context),
    };
    if let Some(unhandled) = compiled.errors.iter().find(|error| error.exception) {
        return Err(CallError::exception("Exception", unhandled.message.clone()));
    }
    if compiled
        .errors
        .iter()
        .any(|error| error.message == NO_MATCH)
    {
        context.set_retcode(2);
        return Ok(no_states());
    }
    if !compiled.errors.is_empty() {
        context.set_retcode(1);
        let texts = compiled.errors.iter().map(|error| error.message.as_str());
        return Ok(texts.collect());
    }
    let mut chunks = compiled.low.unwrap_or_default();
    if let Some(only) = &setup.only {
        let wanted = |chunk: &Chunk| only.ids.contains(&chunk.text("__id__"));
        if !chunks.iter().any(wanted) {
            return Err(CallError::Invocation(only.missing.clone()));
        }
        chunks = needed(chunks, &only.ids, setup.mode.release);
    }
    let mode = Mode {
        first: compiled.disabled,
        ..setup.mode.clone()
    };
    let asking = Mode {
        test: true,
        exact: true,
        ..mode.clone()
    };
    match &setup.planning {
        Planning::None => {}
        Planning::Write(path, call) => {
            let report = engine::run(&chunks, context, &asking)?;
            plan::write(path, call, &chunks, &report, context)?;
            context.set_retcode(if report.succeeded(&chunks) { 0 } else { 2 });
            return Ok(report.into_value());
        }
        Planning::Follow(path, plan) => {
            let path = path.display();
            let differs =
                match plan::other_states(plan, &chunks) {
                    Some(what) => Some(format!(
                        "The plan at {path} was made for other states: {what}"
                    )),
                    None => {
                        let report = engine::run(&chunks, context, &asking)?;
                        let differs = plan::other_endings(plan, &report);
                        differs.or_else(|| plan::other_places(plan, &report)).map(|what| {
                        format!("The machine has changed since the plan at {path} was made: {what}")
                    })
                    }
                };
            if let Some(text) = differs {
                context.set_retcode(1);
                return Ok(Value::List(vec![text.into()]));
            }
        }
    }
    let mut report = engine::run(&chunks, context, &mode)?;
    let succeeded = report.succeeded(&chunks);
    if setup.terse {
        terse(&mut report);
    }
    context.set_retcode(if succeeded { 0 } else { 2 });
    Ok(report.into_value())
}

fn compile_source(setup: &Setup, source: Source, context: &Context<'_>) -> Compiled {
    let nothing = MemorySources::new();
    let functions = RegistryFunctions::new(context);
    let machine = Machine::new(context.system, &setup.minion.config);
    let sources = context.sources.unwrap_or(&nothing);
    let world = World::new(&setup.minion, sources, &functions).on(&machine);
    let mut inputs = Inputs::new(&world);
    inputs.modules = context.registry;
    inputs.exclude.clone_from(&setup.exclude);
    match source {
        Source::High(data) => return compile::compile_high(&inputs, &data),
        Source::Text(text, name) => return compile::compile_text(&inputs, &text, &name),
        Source::Sls(environment, names) => inputs.what = What::Sls { environment, names },
        Source::Highstate | Source::Chunk(_) => inputs.what = What::Highstate,
    }
    if let Some(whitelist) = &setup.whitelist
        && let Ok(mut matches) = compile::matches(&inputs)
    {
        for names in matches.values_mut() {
            names.retain(|name| whitelist.contains(name));
        }
        return compile::compile_only(&inputs, &matches);
    }
    compile::compile(&inputs)
}

/// What a highstate returns that selects nothing.
fn no_states() -> Value {
    let mut entry = Map::new();
    entry.insert("result", false);
    entry.insert("comment", NO_MATCH);
    entry.insert("name", "No States");
    entry.insert("changes", Map::new());
    entry.insert("__run_num__", 0);
    Map::from([("no_|-states_|-states_|-None", entry)]).into()
}

/// Leaves failures and changes.
fn terse(report: &mut Report) {
    report.entries.retain(|_, entry| {
        let holds = |key| entry.get(key).is_some_and(Value::is_true);
        !holds("result") || holds("changes")
    });
}

/// The chunks of these IDs and all that they need, in their order.
fn needed(chunks: Vec<Chunk>, ids: &[String], release: Release) -> Vec<Chunk> {
    let schedule = engine::schedule::Schedule::new(&chunks, release, &Default::default());
    let mut tags: Vec<String> = Vec::new();
    for chunk in &chunks {
        let tag = chunk.tag();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let mut wanted: Vec<usize> = Vec::new();
    for (node, tag) in tags.iter().enumerate() {
        let mine = chunks
            .iter()
            .any(|chunk| chunk.tag() == *tag && ids.contains(&chunk.text("__id__")));
        if mine {
            wanted.push(node);
        }
    }
    let mut next = 0;
    while let Some(&node) = wanted.get(next) {
        next += 1;
        for (_, targets) in schedule.reasons(node) {
            for target in targets {
                if !wanted.contains(&target) {
                    wanted.push(target);
                }
            }
        }
    }
    let keep: Vec<&String> = wanted.iter().filter_map(|node| tags.get(*node)).collect();
    chunks
        .into_iter()
        .filter(|chunk| keep.contains(&&chunk.tag()))
        .collect()
}
