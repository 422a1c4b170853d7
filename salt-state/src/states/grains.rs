//! `grains.*`: grains that the minion keeps in a file.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "grains.present",
        "present(name, value, delimiter=':', force=False)",
        "Makes sure that a grain has a value.",
        present,
    );
    registry.add_state(
        "grains.absent",
        "absent(name, destructive=False, delimiter=':', force=False)",
        "Makes sure that a grain has no value, or is not there at all.",
        absent,
    );
    registry.add_state(
        "grains.exists",
        "exists(name, delimiter=':')",
        "Fails unless there is such a grain.",
        |args, check| {
            Ok(match current(args, check)? {
                Some(_) => Plan::unchanged("Grain exists"),
                None => Plan::fail("Grain does not exist"),
            })
        },
    );
    registry.add_state(
        "grains.append",
        "append(name, value, convert=False, delimiter=':')",
        "Makes sure that a value is in a list that is a grain.",
        append,
    );
    registry.add_state(
        "grains.list_present",
        "list_present(name, value, delimiter=':')",
        "Makes sure that values are in a list that is a grain; makes the list if need be.",
        list_present,
    );
    registry.add_state(
        "grains.list_absent",
        "list_absent(name, value, delimiter=':')",
        "Makes sure that values are not in a list that is a grain.",
        list_absent,
    );
}

/// A grain by its path.
fn current(args: &Args, check: &Check<'_>) -> Result<Option<Value>, CallError> {
    let delimiter = args.text("delimiter")?;
    let mut keys = vec![args.text("name")?];
    if !delimiter.is_empty() && !check.minion.grains.contains_key(&args.text("name")?) {
        keys = keys
            .iter()
            .flat_map(|key| key.split(&delimiter))
            .map(str::to_owned)
            .collect();
    }
    let mut found = Value::from(Map::from(check.minion.grains.clone()));
    for key in keys {
        found = match found.get(&key) {
            Some(inner) => inner.clone(),
            None => return Ok(None),
        };
    }
    Ok(Some(found))
}

/// The path with a delimiter, for the functions that set it.
fn call(args: &Args) -> Args {
    let mut call = Args::new();
    for key in ["delimiter", "force", "destructive", "convert"] {
        if let Some(value) = args.get(key) {
            call = call.keyword(key, value.clone());
        }
    }
    call
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let value = args.get("value").cloned().unwrap_or_default();
    let now = current(args, check)?;
    if now.as_ref() == Some(&value) {
        return Ok(Plan::unchanged("Grain is already set"));
    }
    let (would, shows) = match now {
        None => (
            format!("Grain {name} is set to be added"),
            Changes::of("new", name.as_str()),
        ),
        Some(_) => (
            format!("Grain {name} is set to be changed"),
            Changes::of("changed", Map::from([(name.as_str(), value.clone())])),
        ),
    };
    let delimiter = args.text("delimiter")?;
    let call = call(args)
        .keyword("key", name.as_str())
        .keyword("val", value.clone());
    let comment = format!("Set grain {name} to {}", python::str(&value));
    Ok(Plan::change(
        comment.clone(),
        Changes::from(nested(&name, &delimiter, value, check)),
        move |context| {
            let answer = context.registry.call("grains.set", &call, context)?;
            let changes = answer.get("changes").and_then(Value::as_map).cloned();
            let changes = changes.unwrap_or_default();
            if answer.get("result").is_some_and(Value::is_true) && !changes.is_empty() {
                return Ok(Done::with_comment(comment).changes(Changes::from(changes)));
            }
            let said = answer.get("comment").map(python::str).unwrap_or_default();
            Ok(Done::failed(said).result(answer.get("result").is_some_and(Value::is_true)))
        },
    )
    .when_testing(would)
    .test_changes(shows))
}

/// What `grains.set` will report: the top-level grain with the value at its place.
fn nested(name: &str, delimiter: &str, value: Value, check: &Check<'_>) -> Map {
    let mut keys: Vec<&str> = if delimiter.is_empty() {
        vec![name]
    } else {
        name.split(delimiter).collect()
    };
    let top = if keys.is_empty() {
        name
    } else {
        keys.remove(0)
    };
    if keys.is_empty() {
        return Map::from([(top, value)]);
    }
    let mut whole = match check.minion.grains.get(top) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::new(),
    };
    put(&mut whole, &keys, value);
    Map::from([(top, whole)])
}

fn put(map: &mut Map, keys: &[&str], value: Value) {
    match keys {
        [] => {}
        [last] => {
            map.insert(*last, value);
        }
        [first, rest @ ..] => {
            let inner = map.get_or_insert_with(*first, || Map::new().into());
            if inner.as_map().is_none() {
                *inner = Map::new().into();
            }
            if let Some(inner) = inner.as_map_mut() {
                put(inner, rest, value);
            }
        }
    }
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let destructive = args.is_true("destructive");
    match current(args, check)? {
        None => {
            return Ok(Plan::unchanged(format!("Grain {name} does not exist")));
        }
        Some(Value::Null) if !destructive => {
            return Ok(Plan::unchanged(format!("Grain {name} does not exist")));
        }
        Some(_) => {}
    }
    let (would, said, changes) = if destructive {
        (
            format!("Grain {name} is set to be deleted"),
            format!("Grain {name} was deleted"),
            Changes::of("deleted", name.as_str()),
        )
    } else {
        (
            format!("Value for grain {name} is set to be deleted (None)"),
            format!("Value for grain {name} was set to None"),
            Changes::of("grain", name.as_str()).with("value", Value::Null),
        )
    };
    let call = call(args).keyword("key", name).keyword("val", Value::Null);
    Ok(Plan::change(said, changes, move |context| {
        let answer = context.registry.call("grains.set", &call, context)?;
        if answer.get("result").is_some_and(Value::is_true) {
            return Ok(Done::as_planned());
        }
        let said = answer.get("comment").map(python::str);
        Ok(Done::failed(said.unwrap_or_default()))
    })
    .when_testing(would))
}

fn append(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let value = args.get("value").cloned().unwrap_or_default();
    let shown = python::str(&value);
    let would = match current(args, check)? {
        None => return Ok(Plan::fail(format!("Grain {name} does not exist"))),
        Some(Value::List(items)) if items.contains(&value) => {
            return Ok(Plan::unchanged(format!(
                "Value {shown} is already in the list for grain {name}"
            )));
        }
        Some(Value::List(_)) => format!("Value {shown} in grain {name} is set to be added"),
        Some(_) if args.is_true("convert") => {
            format!("Grain {name} is set to be converted to list and value {shown} will be added")
        }
        Some(_) => return Ok(Plan::fail(format!("Grain {name} is not a valid list"))),
    };
    let mut call = call(args)
        .keyword("key", name.as_str())
        .keyword("val", value.clone());
    call.keywords.remove("force");
    Ok(Plan::change(
        format!("Value {shown} was added to grain {name}"),
        Changes::of("added", value),
        move |context| {
            context.registry.call("grains.append", &call, context)?;
            Ok(())
        },
    )
    .when_testing(would))
}

fn list_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let value = args.get("value").cloned().unwrap_or_default();
    let shown = python::str(&value);
    let wanted = match &value {
        Value::List(items) => items.clone(),
        one => vec![one.clone()],
    };
    let now = current(args, check)?;
    let items = match now.clone() {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => items,
        Some(_) => return Ok(Plan::fail(format!("Grain {name} is not a valid list"))),
    };
    let (known, fresh): (Vec<Value>, Vec<Value>) =
        wanted.into_iter().partition(|one| items.contains(one));
    if fresh.is_empty() {
        return Ok(Plan::unchanged(format!(
            "Value {shown} is already in grain {name} (or pending)"
        )));
    }
    let appended = if matches!(value, Value::List(_)) {
        python::str(&fresh.clone().into())
    } else {
        shown
    };
    let mut comment = format!("Append value {appended} to grain {name}");
    if !known.is_empty() {
        comment = format!(
            "Removed value {} from update due to value found in \"{name}\" (or pending).\n{comment}",
            python::str(&known.into())
        );
    }
    let (would, shows) = match &now {
        Some(Value::List(items)) => (
            format!("Value {appended} is set to be appended to grain {name}"),
            Changes::of("new", items.clone()),
        ),
        _ => (
            format!("Grain {name} is set to be added"),
            Changes::of("new", ""),
        ),
    };
    let mut whole = items;
    whole.extend(fresh.iter().cloned());
    let delimiter = args.text("delimiter")?;
    let changes = Changes::of("new", nested(&name, &delimiter, whole.into(), check));
    let call = Args::new()
        .keyword("key", name)
        .keyword("val", fresh)
        .keyword("delimiter", delimiter);
    Ok(Plan::change(comment, changes, move |context| {
        context.registry.call("grains.append", &call, context)?;
        Ok(())
    })
    .when_testing(would)
    .test_changes(shows))
}

fn list_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let value = args.get("value").cloned().unwrap_or_default();
    let wanted = match &value {
        Value::List(items) => items.clone(),
        one => vec![one.clone()],
    };
    let items = match current(args, check)? {
        None | Some(Value::Null) => {
            return Ok(Plan::unchanged(format!("Grain {name} does not exist")));
        }
        Some(Value::List(items)) => items,
        Some(_) => return Ok(Plan::fail(format!("Grain {name} is not a valid list"))),
    };
    let (mut would, mut said, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for one in wanted {
        let shown = python::str(&one);
        if items.contains(&one) {
            would.push(format!(
                "Value {shown} in grain {name} is set to be deleted"
            ));
            said.push(format!("Value {shown} was deleted from grain {name}"));
            gone.push(one);
        } else {
            let absent = format!("Value {shown} is absent from grain {name}");
            would.push(absent.clone());
            said.push(absent);
        }
    }
    if gone.is_empty() {
        return Ok(Plan::unchanged(said.join("\n")));
    }
    let delimiter = args.text("delimiter")?;
    Ok(Plan::change(
        said.join("\n"),
        Changes::of("deleted", gone.clone()),
        move |context| {
            for one in gone {
                let call = Args::new()
                    .keyword("key", name.as_str())
                    .keyword("val", one)
                    .keyword("delimiter", delimiter.as_str());
                context.registry.call("grains.remove", &call, context)?;
            }
            Ok(())
        },
    )
    .when_testing(would.join("\n")))
}
