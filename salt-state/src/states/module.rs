//! `module.*`: calling execution functions from an SLS.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "module.run",
        "run(**kwargs)",
        "Calls execution functions: `- mod.fun: [arguments]`, or the older form with `name` and the arguments beside it.",
        run,
    );
    for name in ["module.wait", "module.watch"] {
        registry.add_state(
            name,
            "wait(name, **kwargs)",
            "Calls an execution function when something it watches changes.",
            |_, _| Ok(Plan::unchanged("")),
        );
    }
    registry.add_state(
        "module.mod_watch",
        "mod_watch(**kwargs)",
        "Calls what was waiting.",
        |args, check| {
            let mut args = args.clone();
            args.keywords.remove("sfun");
            args.keywords.remove("__reqs__");
            run(&args, check)
        },
    );
}

fn run(args: &Args, check: &Check<'_>) -> Answer {
    let mut keywords = args.keywords().clone();
    let name = keywords.remove("name");
    let dotted = |key: &Value| key.as_str().is_some_and(|key| key.contains('.'));
    if !keywords.is_empty() && keywords.keys().all(dotted) {
        return Ok(each(keywords, check));
    }
    Ok(one(name.unwrap_or_default(), keywords, check))
}

/// The form with one key for each function.
fn each(calls: Map, check: &Check<'_>) -> Plan {
    let names: Value = calls.keys().cloned().collect();
    let known = |key: &str| check.has_function(key.split(':').next().unwrap_or_default());
    let (there, missing): (Vec<String>, Vec<String>) =
        calls.keys().map(python::str).partition(|key| known(key));
    let unavailable = format!(
        "Unavailable function{}: {}.",
        plural(&missing),
        missing.join(", ")
    );
    let plan = if missing.is_empty() {
        let to_run = format!(
            "Function{} {} to be executed.",
            plural(&there),
            there.join(", ")
        );
        Plan::change("", Changes::none(), move |context| {
            run_each(&calls, context)
        })
        .when_testing(to_run)
    } else {
        Plan::fail(unavailable)
    };
    plan.extra("name", names)
}

/// Salt prints a truth where it means an `s`.
fn plural(names: &[String]) -> &'static str {
    if names.len() > 1 { "True" } else { "" }
}

fn run_each(calls: &Map, context: &Context<'_>) -> Result<Done, CallError> {
    let (mut failures, mut successes) = (Vec::new(), Vec::new());
    let mut changes = Changes::none();
    for (key, given) in calls {
        let key = python::str(key);
        let function = key.split(':').next().unwrap_or_default();
        let args = arguments(given);
        if let Some(missing) = missing_argument(function, &args, context) {
            failures.push(format!("'{key}' failed: Missing arguments: {missing}"));
            continue;
        }
        match context.registry.call(function, &args, context) {
            Err(
                error @ (CallError::Execution(_)
                | CallError::Exception { .. }
                | CallError::Raised { .. }),
            ) => {
                return Err(error);
            }
            Err(error) => failures.push(format!("'{key}' failed: {error}")),
            Ok(Value::Bool(false)) => failures.push(format!("'{key}': False")),
            Ok(answer) if !succeeded(&answer, &Map::new()) => {
                let comment = answer.get("comment").map(python::str);
                let comment = comment.unwrap_or_else(|| "(error message N/A)".to_owned());
                failures.push(format!("'{key}' failed: {comment}"));
            }
            Ok(answer) => {
                let said = match &answer {
                    Value::Map(map) => map
                        .get("comment")
                        .map_or_else(|| "Success".to_owned(), python::str),
                    other => python::str(other),
                };
                successes.push(format!("{key}: {said}"));
                changes.insert(key, answer);
            }
        }
    }
    let result = failures.is_empty();
    failures.append(&mut successes);
    Ok(Done::with_comment(failures.join(", "))
        .changes(changes)
        .result(result))
}

/// The arguments without which a function cannot be called at all.
fn missing_argument(function: &str, args: &Args, context: &Context<'_>) -> Option<String> {
    let parameters = context.registry.signature(function)?.parameters();
    let missing: Vec<&str> = parameters
        .iter()
        .enumerate()
        .filter(|(at, parameter)| {
            parameter.default.is_none()
                && *at >= args.positional().len()
                && !args.keywords().contains_key(&parameter.name)
        })
        .map(|(_, parameter)| parameter.name.as_str())
        .collect();
    (!missing.is_empty()).then(|| missing.join(" "))
}

/// A list of values and of mappings whose entries are keywords.
fn arguments(given: &Value) -> Args {
    let mut args = Args::new();
    let items = match given {
        Value::List(items) => items.clone(),
        Value::Null => Vec::new(),
        // As Python walks through a mapping.
        Value::Map(map) => map.keys().cloned().collect(),
        one => vec![one.clone()],
    };
    for item in items {
        match item {
            Value::Map(map) => {
                for (key, value) in &map {
                    args = args.keyword(&python::str(key), value.clone());
                }
            }
            value => args = args.with(value),
        }
    }
    args
}

/// Whether what a function returned is a success.
fn succeeded(answer: &Value, changes: &Map) -> bool {
    let code = |map: &Map| map.get("retcode").is_some_and(Value::is_true);
    match answer {
        Value::Map(map) if code(map) => false,
        Value::Bool(answer) => *answer,
        _ => match changes.get("ret") {
            Some(Value::Map(ret)) => match ret.get("result") {
                Some(Value::Bool(result)) => *result,
                _ => !code(ret) && !says_failure(ret),
            },
            _ => true,
        },
    }
}

/// Whether a `result` anywhere inside is false.
fn says_failure(map: &Map) -> bool {
    map.iter().any(|(key, value)| match value {
        Value::Bool(false) => key.as_str() == Some("result"),
        Value::Map(inner) => says_failure(inner),
        _ => false,
    })
}

/// The keys of the older form that are not arguments of the function.
const OWN: [&str; 6] = ["args", "kwargs", "returner", "func", "m_fun", "sfun"];

/// The older form: `name` is the function, and its arguments stand beside it; one of them
/// that is called `name`, `fun`, `state` or `saltenv` is written with `m_` before it.
fn one(name: Value, mut keywords: Map, check: &Check<'_>) -> Plan {
    let function = python::str(&name);
    if !check.has_function(&function) {
        return Plan::fail(format!("Module function {function} is not available"));
    }
    let testing = format!("Module function {function} is set to execute");
    if check.is_test() {
        return Plan::change("", Changes::none(), |_| Ok(())).when_testing(testing);
    }
    let mut args = Args::new();
    let listed = match keywords.remove("args") {
        Some(Value::List(items)) => items,
        Some(_) => return Plan::fail("'args' must be a list."),
        None => Vec::new(),
    };
    let more = keywords.remove("kwargs");
    let signature = check.function_signature(&function);
    let mut named = Map::new();
    for (key, value) in &keywords {
        let key = python::str(key);
        if OWN.contains(&key.as_str()) {
            continue;
        }
        let plain = match key.strip_prefix("m_") {
            Some(plain @ ("name" | "fun" | "state" | "names" | "saltenv")) => plain,
            _ => &key,
        };
        let taken = signature.is_none_or(|signature| {
            signature
                .parameters()
                .iter()
                .any(|parameter| parameter.name == plain)
        });
        if taken {
            named.insert(plain, value.clone());
        }
    }
    if let Some(Value::Map(more)) = more {
        named.extend(more);
    }
    if let Some(signature) = signature {
        let missing: Vec<&str> = signature
            .parameters()
            .iter()
            .filter(|parameter| parameter.default.is_none() && !named.contains_key(&parameter.name))
            .map(|parameter| parameter.name.as_str())
            .collect();
        if !missing.is_empty() {
            return Plan::fail(format!(
                "The following arguments are missing: {}",
                missing.join(" ")
            ));
        }
    }
    for value in listed {
        args = args.with(value);
    }
    for (key, value) in &named {
        args = args.keyword(&python::str(key), value.clone());
    }
    Plan::change("", Changes::none(), move |context| {
        Ok(match context.registry.call(&function, &args, context) {
            Ok(answer) => {
                let changes = Changes::of("ret", answer.clone());
                let result = succeeded(&answer, &changes);
                Done::with_comment(format!("Module function {function} executed"))
                    .changes(changes)
                    .result(result)
            }
            Err(error) => Done::failed(format!(
                "Module function {function} threw an exception. Exception: {error}"
            )),
        })
    })
}
