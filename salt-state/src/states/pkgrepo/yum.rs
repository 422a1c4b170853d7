//! Where dnf's packages come from.

use salt_proto::{Map, Value};

use super::{Answer, DIFFERENT};
use crate::args::Args;
use crate::functions::pkg::dnf::repos;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;
use crate::system::WriteOptions;

/// What Salt takes for true: a number above nothing, or that word.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Str(text) => match text.trim().parse::<i64>() {
            Ok(number) => number > 0,
            Err(_) => text.eq_ignore_ascii_case("true"),
        },
        other => other.is_true(),
    }
}

/// Whether a setting is as it shall be; what is not there counts as switched on.
fn agrees(key: &str, wanted: &Value, known: Option<&Value>) -> bool {
    if key == "comments" {
        let known = known.map(repos::comments).unwrap_or_default();
        return repos::comments(wanted) == known;
    }
    let Some(known) = known else {
        let is_nothing = wanted.is_null() || wanted.as_str() == Some("");
        return is_nothing || key == "enabled" && is_true(wanted);
    };
    key == "enabled" && is_true(wanted) == is_true(known)
        || repos::written(wanted) == python::str(known)
}

pub(super) fn managed(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let keywords = args.keywords();
    if keywords.contains_key("repo") {
        return Ok(Plan::fail(
            "'repo' is not a supported argument for this state. The 'name' argument is probably what was intended.",
        ));
    }
    if keywords.get("disabled").is_some() && keywords.get("enabled").is_some() {
        return Ok(Plan::fail("Only one of enabled/disabled is allowed"));
    }
    let repo = match args.optional_text("copr").filter(|copr| !copr.is_empty()) {
        Some(copr) => format!("copr:{}", copr.replace('/', ":")),
        None => name.clone(),
    };
    let switch = |key: &str| keywords.get(key).filter(|value| !value.is_null());
    let enabled = match (switch("enabled"), switch("disabled")) {
        (Some(enabled), _) => is_true(enabled),
        (None, Some(disabled)) => !is_true(disabled),
        (None, None) => true,
    };
    let mut wanted: Map = keywords
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), Some("enabled" | "disabled" | "humanname")))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let human = keywords.get("humanname").filter(|human| human.is_true());
    wanted.insert("name", human.map_or_else(|| name.clone(), python::str));
    wanted.insert("enabled", enabled);
    let known = repos::known(check.system, args, &repo)?;
    let would = format!("Package repo '{name}' would be configured. {DIFFERENT}");
    let known = known.unwrap_or_default();
    let shows = if known.is_empty() {
        Changes::of("repo", name.as_str())
    } else {
        let differs = wanted.iter().any(|(key, value)| {
            let key = python::str(key);
            key != "basedir" && !agrees(&key, value, known.get(&key))
        });
        // A file that is to be emptied first is always written again.
        if !differs && !keywords.get("clean_file").is_some_and(Value::is_true) {
            return Ok(Plan::unchanged(format!(
                "Package repo '{name}' already configured"
            )));
        }
        difference(&wanted, &known)
    };
    let changes = if known.is_empty() {
        shows.clone()
    } else {
        difference(&after(&wanted, &known), &known)
    };
    let args = args.clone();
    Ok(Plan::change(
        format!("Configured package repo '{name}'"),
        changes,
        move |context| {
            let failed = |error: &CallError| {
                Ok(Done::failed(format!(
                    "Failed to configure repo '{name}': {error}"
                )))
            };
            if args
                .optional_text("copr")
                .is_some_and(|copr| !copr.is_empty())
            {
                let now = crate::functions::pkg::dnf::installed(context.system)?;
                if !now.iter().any(|package| package.name == "dnf-plugins-core") {
                    return failed(&CallError::execution(
                        "dnf-plugins-core must be installed to use COPR",
                    ));
                }
                let copr = args.optional_text("copr").unwrap_or_default();
                let command = crate::functions::pkg::dnf::dnf([
                    "copr",
                    if enabled { "enable" } else { "disable" },
                    copr.as_str(),
                    "-y",
                ]);
                let output = crate::functions::tool::run(context, &command)?;
                if !output.is_success() {
                    return failed(&CallError::execution(format!(
                        "Unable to add COPR '{copr}': {}",
                        crate::functions::tool::said(&output)
                    )));
                }
                return Ok(Done::as_planned());
            }
            if args
                .keywords()
                .get("clean_file")
                .is_some_and(Value::is_true)
            {
                let Some(file) = args.keywords().get("file").map(python::str) else {
                    return Err(CallError::exception("KeyError", "'file'"));
                };
                let options = WriteOptions {
                    follow: true,
                    ..WriteOptions::new()
                };
                let path = std::path::Path::new(&file);
                context.system.write(path, b"", &options).map_err(|error| {
                    CallError::execution(crate::system::errno_text(&error, Some(path)))
                })?;
            }
            let done = match repos::change(context, &repo, &wanted, &args) {
                Ok(_) => Done::as_planned(),
                Err(error @ (CallError::Execution(_) | CallError::Invocation(_))) => {
                    return failed(&error);
                }
                Err(error) => return Err(error),
            };
            Ok(done)
        },
    )
    .when_testing(would)
    .test_changes(shows))
}

/// What the file will say of the settings that are stated.
fn after(wanted: &Map, known: &Map) -> Map {
    wanted
        .iter()
        .filter(|(key, _)| key.as_str() != Some("basedir"))
        .map(|(key, value)| {
            let value = match key.as_str() {
                Some("comments") => repos::comments(value).into_iter().collect(),
                _ if value.is_null() || value.as_str() == Some("") => Value::Null,
                _ => repos::written(value).into(),
            };
            (key.clone(), value)
        })
        .filter(|(key, value)| {
            let gone = value.is_null() && known.get(&python::str(key)).is_none();
            !gone
        })
        .collect()
}

/// What Salt shows of settings that change.
fn difference(wanted: &Map, known: &Map) -> Changes {
    let mut changes = Changes::none();
    for (key, value) in wanted {
        let key = python::str(key);
        let old = known.get(&key).cloned().unwrap_or_default();
        if *value != old {
            changes.insert(
                key.as_str(),
                Map::from([("new", value.clone()), ("old", old)]),
            );
        }
    }
    changes
}

pub(super) fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let mut name = args.text("name")?;
    if let Some(copr) = args.keywords().get("copr").filter(|copr| copr.is_true()) {
        name = format!("copr:{}", python::str(copr));
    }
    let keys = ["keyid", "keyid_ppa"];
    if keys
        .iter()
        .any(|key| args.keywords().get(key).is_some_and(Value::is_true))
    {
        return Ok(Plan::fail(
            "Repo key management is not implemented for this platform",
        ));
    }
    if repos::known(check.system, args, &name)?.is_none() {
        return Ok(Plan::unchanged(format!("Package repo {name} is absent")));
    }
    let would = format!("Package repo '{name}' will be removed. {DIFFERENT}");
    let args = args.clone();
    Ok(Plan::change(
        format!("Removed repo {name}"),
        Changes::of("repo", name.as_str()),
        move |context| {
            repos::remove(context, &name, &args)?;
            Ok(Done::as_planned())
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
