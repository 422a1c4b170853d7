//! `test.*`: states that do nothing, in every way a state can end.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::data;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "test.nop",
        "nop(name, **kwargs)",
        "Succeeds without changes, for anything to be required.",
        |_, _| Ok(Plan::unchanged("Success!")),
    );
    registry.add_state(
        "test.succeed_without_changes",
        "succeed_without_changes(name, **kwargs)",
        "Succeeds without changes.",
        |args, _| Ok(Plan::unchanged(comment(args, "Success!"))),
    );
    registry.add_state(
        "test.fail_without_changes",
        "fail_without_changes(name, **kwargs)",
        "Fails without changes.",
        |args, check| {
            let plan = Plan::fail(comment(args, "Failure!"));
            Ok(
                if check.is_test() && !args.keywords().contains_key("comment") {
                    plan.when_testing("If we weren't testing, this would be a failure!")
                } else {
                    plan
                },
            )
        },
    );
    registry.add_state(
        "test.succeed_with_changes",
        "succeed_with_changes(name, **kwargs)",
        "Succeeds with changes.",
        |args, _| {
            Ok(
                Plan::change(comment(args, "Success!"), pretended(), |_| Ok(()))
                    .when_testing("If we weren't testing, this would be successful with changes"),
            )
        },
    );
    registry.add_state(
        "test.fail_with_changes",
        "fail_with_changes(name, **kwargs)",
        "Fails with changes.",
        |args, _| {
            Ok(Plan::change(comment(args, "Failure!"), pretended(), |_| {
                Ok(Done::as_planned().result(false))
            })
            .when_testing("If we weren't testing, this would be failed with changes"))
        },
    );
    registry.add_state(
        "test.configurable_test_state",
        "configurable_test_state(name, changes=True, result=True, comment='', warnings=None, allow_test_mode_failure=False)",
        "Ends as its arguments say; 'Random' lets chance decide.",
        configurable,
    );
    registry.add_state(
        "test.show_notification",
        "show_notification(name, text=None, **kwargs)",
        "Succeeds and says `text`.",
        |args, _| match args.given("text").filter(|text| text.is_true()) {
            Some(text) => Ok(Plan::unchanged(text.clone())),
            None => Err(CallError::invocation("Missing required argument text.")),
        },
    );
    registry.add_state(
        "test.check_pillar",
        "check_pillar(name, present=None, boolean=None, integer=None, string=None, listing=None, dictionary=None, verbose=False)",
        "Fails unless the pillar has these keys, with values of these types.",
        check_pillar,
    );
    registry.add_state(
        "test.mod_watch",
        "mod_watch(name, sfun=None, **kwargs)",
        "Says which requisites have changes.",
        mod_watch,
    );
}

fn comment(args: &Args, default: &str) -> Value {
    match args.keywords().get("comment") {
        Some(stated) => stated.clone(),
        None => default.into(),
    }
}

fn pretended() -> Changes {
    Changes::none().old_new("testing", "Unchanged", "Something pretended to change")
}

fn configurable(args: &Args, check: &Check<'_>) -> Answer {
    let one_of = |name: &str| match args.get(name) {
        Some(Value::Bool(stated)) => Ok(*stated),
        Some(Value::Str(random)) if random.eq_ignore_ascii_case("random") => {
            let mut byte = [0];
            check.system.random(&mut byte);
            Ok(byte[0] & 1 == 1)
        }
        _ => Err(CallError::invocation(format!(
            "You have specified the state option '{name}' with invalid arguments. It must be either True, False, or 'Random'"
        ))),
    };
    let (changes, result) = (one_of("changes")?, one_of("result")?);
    let warnings: Vec<String> = match args.given("warnings") {
        None => Vec::new(),
        Some(Value::Str(one)) => vec![one.clone()],
        Some(Value::List(all)) if all.iter().all(|text| text.as_str().is_some()) => {
            all.iter().map(python::str).collect()
        }
        Some(_) => {
            return Err(CallError::invocation(
                "You have specified the state option 'warnings' with invalid arguments. It must be a string or a list of strings",
            ));
        }
    };
    let comment = args.get("comment").cloned().unwrap_or_default();
    let test_comment = if comment.is_true() {
        comment.clone()
    } else {
        "This is a test".into()
    };
    let mut plan = if changes {
        Plan::change(comment, pretended(), move |_| {
            Ok(Done::as_planned().result(result))
        })
    } else {
        Plan::answer(result, comment, Changes::none())
    };
    let may_fail = args.is_true("allow_test_mode_failure");
    plan = plan.when_testing(test_comment);
    if changes || !result {
        plan = plan.test_result((may_fail && !result).then_some(false));
    }
    Ok(warnings.into_iter().fold(plan, Plan::warning))
}

fn check_pillar(args: &Args, check: &Check<'_>) -> Answer {
    let kinds = [
        "present",
        "boolean",
        "integer",
        "string",
        "listing",
        "dictionary",
    ];
    if !kinds.iter().any(|kind| args.is_true(kind)) {
        return Err(CallError::invocation("Missing required argument text."));
    }
    // Salt 3008 masks what a state asks the pillar for, so true scalars are texts there.
    let masks = check.minion.config.get("pillar_mask_output");
    let masks = masks.is_none_or(Value::is_true);
    let (mut failed, mut passed) = (String::new(), String::new());
    for kind in kinds {
        for key in keys(args.given(kind)) {
            let Some(found) = data::traverse_map(&check.minion.pillar, &key, ":") else {
                failed.push_str(&format!("Pillar key \"{key}\" is missing.\n"));
                continue;
            };
            let found = if masks {
                data::mask(found)
            } else {
                found.clone()
            };
            let (fits, class) = match kind {
                "boolean" => (matches!(found, Value::Bool(_)), "<class 'bool'>"),
                "integer" => (
                    matches!(found, Value::Int(_) | Value::Bool(_)),
                    "<class 'int'>",
                ),
                "string" => (matches!(found, Value::Str(_)), "<class 'str'>"),
                "listing" => (matches!(found, Value::List(_)), "<class 'list'>"),
                "dictionary" => (matches!(found, Value::Map(_)), "<class 'dict'>"),
                _ => (true, "None"),
            };
            if fits {
                passed.push_str(&format!("- {key} ({class})\n"));
            } else {
                failed.push_str(&format!("Pillar key \"{key}\" is not {class}.\n"));
            }
        }
    }
    let result = failed.is_empty();
    if args.is_true("verbose") && !passed.is_empty() {
        failed.push_str("Those keys passed the check:\n");
        failed.push_str(&passed);
    }
    Ok(Plan::answer(result, failed, Changes::none()))
}

/// One key, or a list of keys.
fn keys(given: Option<&Value>) -> Vec<String> {
    match given {
        None => Vec::new(),
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        Some(one) => vec![python::str(one)],
    }
}

fn mod_watch(args: &Args, _: &Check<'_>) -> Answer {
    let reasons = args.keywords().get("__reqs__").and_then(Value::as_map);
    let chunks = reasons.and_then(|all| all.get("watch"));
    let fired: Vec<Value> = chunks
        .and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
        .map(|chunk| {
            let part = |key| chunk.get(key).map(python::str).unwrap_or_default();
            format!("{}: {}", part("state"), part("__id__")).into()
        })
        .collect();
    let stated = |key| args.keywords().get(key).cloned();
    let mut entry = Map::from([("name", args.get("name").cloned().unwrap_or_default())]);
    entry.insert("result", stated("result").unwrap_or(Value::Bool(true)));
    let comment = stated("comment").unwrap_or_else(|| "Watch statement fired.".into());
    entry.insert("comment", comment);
    let changes = stated("changes")
        .unwrap_or_else(|| Map::from([("Requisites with changes", Value::List(fired))]).into());
    entry.insert("changes", changes);
    Ok(Plan::raw(entry))
}
