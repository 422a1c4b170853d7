//! `state.show_*`: what the state compiler makes of the tree, without doing anything.

use indexmap::IndexSet;
use salt_proto::{Map, Value};

use crate::args::Args;
use crate::compile::{self, Compiled, Inputs, NO_MATCH, What};
use crate::context::{Context, MinionData};
use crate::diagnostic::Diagnostic;
use crate::pillar;
use crate::registry::{CallError, Registry};
use crate::render::{Machine, RegistryFunctions, World};

pub(super) mod control;
mod disable;
mod graph;
mod package;
mod plan;
mod request;
mod run;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    control::register(registry);
    disable::register(registry);
    graph::register(registry);
    package::register(registry);
    plan::register(registry);
    request::register(registry);
    run::register(registry);
    registry.add(
        "state.show_top",
        "show_top(queue=None, **kwargs)",
        "Shows what the top files select for the minion, by environment.",
        |args, context| {
            with(args, context, None, |inputs| {
                compile::matches(inputs).map(|matches| {
                    let map: Map = matches
                        .into_iter()
                        .map(|(environment, names)| (environment, Value::List(names)))
                        .collect();
                    Value::Map(map)
                })
            })
        },
    );
    registry.add(
        "state.show_highstate",
        "show_highstate(queue=None, **kwargs)",
        "Shows the high data of the highstate.",
        |args, context| with(args, context, None, compile::high_data),
    );
    registry.add(
        "state.show_lowstate",
        "show_lowstate(queue=None, **kwargs)",
        "Shows the chunks of the highstate in the order they would run in.",
        |args, context| with(args, context, None, low),
    );
    registry.add(
        "state.show_states",
        "show_states(queue=None, **kwargs)",
        "Shows the names of the SLS that the highstate takes its chunks from.",
        |args, context| {
            with(args, context, None, |inputs| {
                low(inputs).map(|low| sls_names(&low))
            })
        },
    );
    registry.add(
        "state.show_sls",
        "show_sls(mods, test=None, queue=None, **kwargs)",
        "Shows the high data of the given SLS.",
        |args, context| with(args, context, Some("mods"), compile::high_data),
    );
    registry.add(
        "state.show_low_sls",
        "show_low_sls(mods, test=None, queue=None, **kwargs)",
        "Shows the chunks of the given SLS, without extends and reversed requisites.",
        |args, context| {
            with(args, context, Some("mods"), |inputs| {
                let chunks = compile::plain_low(inputs)?;
                Ok(chunks
                    .into_iter()
                    .map(|chunk| Value::Map(chunk.low))
                    .collect())
            })
        },
    );
    registry.add(
        "state.sls_exists",
        "sls_exists(mods, test=None, queue=None, **kwargs)",
        "Says whether the given SLS exist and render.",
        |args, context| {
            let shown = with(args, context, Some("mods"), compile::high_data)?;
            Ok(Value::Bool(matches!(shown, Value::Map(_))))
        },
    );
    registry.add(
        "state.id_exists",
        "id_exists(ids, mods, test=None, queue=None, **kwargs)",
        "Says whether the given IDs are declared in the given SLS.",
        id_exists,
    );
}

fn low(inputs: &Inputs<'_>) -> Result<Value, Vec<Diagnostic>> {
    let Compiled { low, errors, .. } = compile::compile(inputs);
    let wrong: Vec<Diagnostic> = errors
        .into_iter()
        .filter(|error| !error.exception && error.message != NO_MATCH)
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let chunks = low.unwrap_or_default().into_iter();
    Ok(chunks.map(|chunk| Value::Map(chunk.low)).collect())
}

fn sls_names(low: &Value) -> Value {
    let names: IndexSet<String> = low
        .as_list()
        .unwrap_or_default()
        .iter()
        .filter_map(|chunk| Some(crate::python::str(chunk.get("__sls__")?)))
        .collect();
    names.into_iter().collect()
}

fn id_exists(args: &Args, context: &Context<'_>) -> Answer {
    let shown = with(args, context, Some("mods"), compile::high_data)?;
    let wanted = names(args.get("ids"));
    let known = |id: &Value| {
        shown
            .as_map()
            .is_some_and(|high| high.get_value(id).is_some())
    };
    Ok(Value::Bool(
        shown.as_map().is_some() && wanted.iter().all(known),
    ))
}

/// Names as text with commas, or as a list.
fn names(given: Option<&Value>) -> Vec<Value> {
    match given {
        Some(Value::Str(text)) => text.split(',').map(Value::from).collect(),
        Some(Value::List(names)) => names.clone(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![Value::from(crate::python::str(one))],
    }
}

/// Sets up a compile from the arguments every one of these functions takes: `saltenv` and
/// `pillar`. Problems come back as a list of texts.
fn with(
    args: &Args,
    context: &Context<'_>,
    sls: Option<&str>,
    show: impl FnOnce(&Inputs<'_>) -> Result<Value, Vec<Diagnostic>>,
) -> Answer {
    let Some(sources) = context.sources else {
        return Err(CallError::execution("There are no state files here"));
    };
    let mut minion: MinionData = context.minion.clone();
    if let Some(saltenv) = args.given("saltenv") {
        if minion
            .config
            .get("lock_saltenv")
            .is_some_and(Value::is_true)
            && minion.config.get("saltenv") != Some(saltenv)
        {
            return Err(CallError::execution(
                "lock_saltenv is enabled, saltenv cannot be changed",
            ));
        }
        minion.config.insert("saltenv", saltenv.clone());
    }
    match args.given("pillar") {
        None => {}
        Some(Value::Map(more)) => {
            minion.pillar = pillar::Strategy::of(&minion.config).merge(minion.pillar, more.clone());
        }
        Some(_) => {
            return Err(CallError::invocation(
                "Pillar data must be formatted as a dictionary, unless pillar_enc is specified.",
            ));
        }
    }
    if minion.pillar.get("_errors").is_some_and(Value::is_true) {
        return Err(CallError::execution("Pillar failed to render"));
    }
    let functions = RegistryFunctions::new(context);
    let machine = Machine::new(context.system, &minion.config);
    let world = World::new(&minion, sources, &functions).on(&machine);
    let mut inputs = Inputs::new(&world);
    if let Some(parameter) = sls {
        let environment = minion.config.str("saltenv").filter(|name| !name.is_empty());
        inputs.what = What::Sls {
            environment: environment.unwrap_or("base").to_owned(),
            names: names(args.get(parameter)),
        };
    }
    Ok(match show(&inputs) {
        Ok(value) => value,
        Err(errors) => {
            context.set_retcode(1);
            errors.iter().map(|error| error.message.as_str()).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::MemorySources;
    use crate::system::FakeSystem;

    #[track_caller]
    fn check(function: &str, args: &Args, expected: &str) {
        let tree = MemorySources::new()
            .file("base", "top.sls", "base:\n  '*':\n    - b\n    - a\n")
            .file("base", "b.sls", "include: [c]\nx:\n  test.nop:\n    - require_in:\n      - test: y\nextend:\n  y:\n    test:\n      - k: v\n")
            .file("base", "a.sls", "z:\n  test.nop:\n    - order: 1\nexclude:\n  - nope\n")
            .file("base", "c.sls", "y: test.nop\n")
            .file("base", "bad.sls", "bad: [\n");
        let registry = Registry::builtin();
        let machine = FakeSystem::new();
        let minion = MinionData {
            id: "m1".into(),
            ..MinionData::default()
        };
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);

        let answer = registry.call(function, args, &context).expect(function);

        assert_eq!(crate::render::json::dump(&answer), expected, "{function}");
    }

    // Recorded from `salt-call --local` of 3008.3 over the same tree.
    #[test]
    fn what_is_shown_is_what_salt_call_shows() {
        let none = Args::new();
        check("state.show_top", &none, r#"{"base": ["b", "a"]}"#);
        check(
            "state.show_highstate",
            &none,
            r#"{"__extend__": [{"y": {"test": [{"k": "v"}], "__sls__": "b", "__env__": "base"}}], "x": {"test": [{"require_in": [{"test": "y"}]}, "nop", {"order": 10001}], "__sls__": "b", "__env__": "base"}, "y": {"__sls__": "c", "__env__": "base", "test": ["nop", {"order": 10000}], "__sls_included_from__": ["b"]}, "__exclude__": ["nope"], "z": {"test": [{"order": 1}, "nop"], "__sls__": "a", "__env__": "base"}}"#,
        );
        check(
            "state.show_lowstate",
            &none,
            r#"[{"state": "test", "name": "z", "__sls__": "a", "__env__": "base", "__id__": "z", "order": 1, "fun": "nop"}, {"state": "test", "name": "x", "__sls__": "b", "__env__": "base", "__id__": "x", "require_in": [{"test": "y"}], "order": 10001, "fun": "nop"}, {"state": "test", "name": "y", "__sls__": "c", "__env__": "base", "__sls_included_from__": ["b"], "__id__": "y", "order": 10000, "k": "v", "require": [{"test": "x"}], "fun": "nop"}]"#,
        );
        check("state.show_states", &none, r#"["a", "b", "c"]"#);
        let b = Args::new().with("b");
        check(
            "state.show_sls",
            &b,
            r#"{"__extend__": [{"y": {"test": [{"k": "v"}], "__sls__": "b", "__env__": "base"}}], "x": {"test": [{"require_in": [{"test": "y"}]}, "nop", {"order": 10001}], "__sls__": "b", "__env__": "base"}, "y": {"__sls__": "c", "__env__": "base", "test": ["nop", {"order": 10000}], "__sls_included_from__": ["b"]}}"#,
        );
        check(
            "state.show_low_sls",
            &b,
            r#"[{"state": "test", "name": "y", "__sls__": "c", "__env__": "base", "__sls_included_from__": ["b"], "__id__": "y", "order": 10000, "fun": "nop"}, {"state": "test", "name": "x", "__sls__": "b", "__env__": "base", "__id__": "x", "require_in": [{"test": "y"}], "order": 10001, "fun": "nop"}]"#,
        );
        check(
            "state.show_sls",
            &Args::new().with("nope"),
            r#"["No matching sls found for 'nope' in env 'base'"]"#,
        );
        check("state.sls_exists", &b, "true");
        check("state.sls_exists", &Args::new().with("bad"), "false");
        check(
            "state.id_exists",
            &Args::new().with("x,y").with("b,c"),
            "true",
        );
        check("state.id_exists", &Args::new().with("q").with("b"), "false");
    }
}
