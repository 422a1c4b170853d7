//! `debconf.*`: answers to the questions of Debian's packages.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::debconf as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    for name in ["debconf.set", "debconf.set_file"] {
        let (signature, function): (_, fn(&Args, &Check<'_>) -> Answer) = if name == "debconf.set" {
            ("set(name, data, **kwargs)", set)
        } else {
            (
                "set_file(name, source, template=None, context=None, defaults=None, **kwargs)",
                set_file,
            )
        };
        registry.add_state(
            name,
            signature,
            "Makes sure that questions of packages are answered.",
            function,
        );
    }
}

/// The answers of one package with their types, by question.
fn answers(
    machine: &dyn Observe,
    package: &str,
) -> Result<BTreeMap<String, (String, String)>, CallError> {
    Ok(tools::selections(machine)?
        .into_iter()
        .filter(|[owner, ..]| owner == package)
        .map(|[_, question, kind, answer]| (question, (kind, answer)))
        .collect())
}

/// A value as debconf takes it: truth in small letters.
fn as_text(value: &Value) -> String {
    match value {
        Value::Bool(yes) => yes.to_string(),
        other => python::str(other),
    }
}

fn set(args: &Args, check: &Check<'_>) -> Answer {
    let package = args.text("name")?;
    let now = answers(check.system, &package)?;
    let data = match args.get("data") {
        Some(Value::Map(data)) => data,
        other => {
            let kind = other.map_or("NoneType", Value::type_name);
            return Err(CallError::exception(
                "AttributeError",
                format!("'{kind}' object has no attribute 'items'"),
            ));
        }
    };
    let mut todo = Vec::new();
    let mut same = String::new();
    let (mut changes, mut shows) = (Changes::none(), Changes::none());
    for (question, entry) in data {
        let question = python::str(question);
        let member = |key: &str| -> Result<&Value, CallError> {
            let Some(entry) = entry.as_map() else {
                return Err(CallError::exception(
                    "TypeError",
                    "string indices must be integers, not 'str'",
                ));
            };
            entry
                .get(key)
                .ok_or_else(|| CallError::exception("KeyError", format!("'{key}'")))
        };
        let kind = python::str(member("type")?);
        let value = as_text(member("value")?);
        let stands = now.get(&question);
        if stands.is_some_and(|(known, answer)| *known == kind && *answer == value) {
            same.push_str(&format!("Unchanged answers: {question} "));
            continue;
        }
        let shown = if kind == "password" {
            "(password hidden)".to_owned()
        } else {
            value.clone()
        };
        // Not even a dry run shows a password, unlike Salt's.
        shows.insert(question.as_str(), format!("New value: {shown}"));
        changes.insert(question.as_str(), shown);
        todo.push((question, kind, value));
    }
    if todo.is_empty() {
        return Ok(Plan::unchanged("All specified answers are already set"));
    }
    Ok(Plan::change(same.clone(), changes, move |context| {
        for (question, kind, value) in &todo {
            let words = [&package, question, kind, value].map(String::clone);
            if !tools::answer(context, &words)? {
                return Ok(Done::failed("Some settings failed to be applied.")
                    .changes(Map::from([(question.as_str(), "Failed to set!")])));
            }
        }
        Ok(Done::as_planned())
    })
    .when_testing(same)
    .test_changes(shows))
}

fn set_file(args: &Args, check: &Check<'_>) -> Answer {
    let source = args.text("source")?;
    for key in ["context", "defaults"] {
        if args
            .given(key)
            .is_some_and(|given| given.is_true() && given.as_map().is_none())
        {
            let word = if key == "context" {
                "Context"
            } else {
                "Defaults"
            };
            return Ok(Plan::fail(format!("{word} must be formed as a dict")));
        }
    }
    let Some(content) = check.source(&source)? else {
        return Ok(Plan::fail("Unable to set debconf selections from file.")
            .when_testing("Debconf selections would have been set.")
            .test_result(None));
    };
    let text = match args.optional_text("template") {
        None => content,
        Some(renderer) => {
            let mut extra = Map::new();
            // Salt looks at the defaults, but does not render with them.
            if let Some(Value::Map(more)) = args.get("context") {
                extra.extend(more.clone());
            }
            let path = source.strip_prefix("salt://").unwrap_or(&source);
            match check.template(&renderer, &String::from_utf8_lossy(&content), path, &extra) {
                Ok(text) => text.into_bytes(),
                Err(error) => {
                    let error = CallError::exception("SaltRenderError", error.to_string());
                    return Ok(Plan::change("", Changes::none(), move |_| {
                        Err::<Done, CallError>(error)
                    })
                    .when_testing("Debconf selections would have been set."));
                }
            }
        }
    };
    Ok(Plan::change(
        "Debconf selections were set.",
        Changes::none(),
        move |context| tools::answer_all(context, text),
    )
    .when_testing("Debconf selections would have been set."))
}
