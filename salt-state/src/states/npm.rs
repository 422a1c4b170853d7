//! `npm.*`: packages of Node.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::npm::{self as tools, Place};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "npm.installed",
        "installed(name, pkgs=None, dir=None, user=None, force_reinstall=False, registry=None, env=None)",
        "Makes sure that packages are installed.",
        installed,
    );
    add(
        "npm.removed",
        "removed(name, dir=None, user=None)",
        "Makes sure that a package is not installed.",
        removed,
    );
    add(
        "npm.bootstrap",
        "bootstrap(name, user=None, silent=True)",
        "Installs what a directory needs.",
        bootstrap,
    );
    add(
        "npm.cache_cleaned",
        "cache_cleaned(name=None, user=None, force=False)",
        "Makes sure that npm keeps nothing for later, or nothing of one package.",
        cache_cleaned,
    );
}

/// The name and the version of a package as it is written; a name may begin with `@`.
fn parts(text: &str) -> (&str, Option<&str>) {
    match text.get(1..).and_then(|rest| rest.find('@')) {
        Some(at) => {
            let (name, version) = text.split_at(at + 1);
            (name, version.get(1..).filter(|version| !version.is_empty()))
        }
        None => (text, None),
    }
}

fn installed(args: &Args, check: &Check<'_>) -> Answer {
    let wanted: Vec<String> = match args.given("pkgs") {
        Some(Value::List(names)) if !names.is_empty() => names.iter().map(python::str).collect(),
        _ => vec![args.text("name")?],
    };
    let all = wanted.join(", ");
    let place = Place::of(args, "user");
    let there = match tools::list(check.system, &place, None, Some("0")) {
        Ok(there) => there,
        Err(CallError::CommandNotFound(error) | CallError::Execution(error)) => {
            return Ok(Plan::fail(format!("Error looking up '{all}': {error}")));
        }
        Err(other) => return Err(other),
    };
    let (mut satisfied, mut missing) = (Vec::new(), Vec::new());
    for one in &wanted {
        let (name, version) = parts(one);
        let found = there
            .iter()
            .find(|(key, _)| {
                key.as_str()
                    .is_some_and(|key| key.eq_ignore_ascii_case(name))
            })
            .and_then(|(_, package)| package.get("version"))
            .map(python::str);
        match found {
            Some(found)
                if !args.is_true("force_reinstall")
                    && version.is_none_or(|version| version == found) =>
            {
                satisfied.push(format!("{name}@{found}"));
            }
            _ => missing.push(one.clone()),
        }
    }
    if missing.is_empty() {
        let list = satisfied.join(", ");
        return Ok(Plan::unchanged(format!(
            "Package(s) '{all}' satisfied by {list}"
        )));
    }
    Ok(install(args, place, wanted, &satisfied, missing, &all))
}

fn install(
    args: &Args,
    place: Place,
    wanted: Vec<String>,
    satisfied: &[String],
    missing: Vec<String>,
    all: &str,
) -> Plan {
    let names = missing.join(", ");
    let mut would = format!("NPM package(s) '{names}' are set to be installed");
    if !satisfied.is_empty() {
        would.push_str(&format!(
            ". Package(s) '{all}' satisfied by {}",
            satisfied.join(", ")
        ));
    }
    // Salt calls a dry run settled where one package of several is there.
    let result = (!satisfied.is_empty()).then_some(true);
    let new: Value = missing.into_iter().collect();
    let changes = Changes::none()
        .with("old", Vec::<Value>::new())
        .with("new", new);
    let mut options = Args::new();
    if let Some(registry) = args.given("registry") {
        options = options.keyword("registry", registry.clone());
    }
    let all = all.to_owned();
    let comment = format!("Package(s) '{names}' successfully installed");
    Plan::change(comment, changes, move |context| {
        match tools::install(context, &place, &wanted, &options) {
            Ok(_) => Ok(Done::as_planned()),
            Err(CallError::CommandNotFound(error) | CallError::Execution(error)) => {
                Ok(Done::failed(format!("Error installing '{all}': {error}")))
            }
            Err(other) => Err(other),
        }
    })
    .when_testing(would)
    .test_result(result)
}

fn removed(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let place = Place::of(args, "user");
    let there = match tools::list(check.system, &place, None, Some("0")) {
        Ok(there) => there,
        Err(CallError::CommandNotFound(error) | CallError::Execution(error)) => {
            return Ok(Plan::fail(format!("Error uninstalling '{name}': {error}")));
        }
        Err(other) => return Err(other),
    };
    if !there.contains_key(name.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Package '{name}' is not installed"
        )));
    }
    let would = format!("Package '{name}' is set to be removed");
    let comment = format!("Package '{name}' was successfully removed");
    let changes = Changes::of(&name, "Removed");
    Ok(Plan::change(comment, changes, move |context| {
        Ok(if tools::uninstall(context, &place, &name)? {
            Done::as_planned()
        } else {
            Done::failed(format!("Error removing package '{name}'"))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn bootstrap(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let place = Place::of(&args.clone().keyword("dir", name.as_str()), "user");
    if !check.system.is_dir(std::path::Path::new(&name)) {
        return Ok(Plan::fail(format!(
            "Error Bootstrapping '{name}': Specified cwd '{name}' either not absolute or does not exist"
        )));
    }
    let options = Args::new().keyword("silent", args.is_true("silent"));
    let would = format!("{name} is set to be bootstrapped");
    let changes = Changes::of(&name, "Bootstrapped");
    let comment = "Directory was successfully bootstrapped";
    Ok(Plan::change(comment, changes, move |context| {
        match tools::install(context, &place, &[], &options) {
            Ok(said) if said.is_true() => Ok(Done::as_planned()),
            Ok(_) => {
                Ok(Done::with_comment("Directory is already bootstrapped").changes(Map::new()))
            }
            Err(CallError::CommandNotFound(error) | CallError::Execution(error)) => Ok(
                Done::failed(format!("Error Bootstrapping '{name}': {error}")),
            ),
            Err(other) => Err(other),
        }
    })
    .when_testing(would))
}

/// Whether a list of what is kept tells of a package. Salt takes the list's first letter
/// for the place where npm keeps things.
fn tells_of(kept: &str, name: &str) -> Result<bool, CallError> {
    let Some(first) = kept.chars().next() else {
        let text = "string index out of range";
        return Err(CallError::exception("IndexError", text));
    };
    Ok(kept.contains(&format!("{first}/{name}/")))
}

// `force` is taken and not handed on, as in Salt.
fn cache_cleaned(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.given("name").filter(|name| name.is_true());
    let name = name.map(python::str);
    let place = Place::of(args, "user");
    let what = name.as_deref().unwrap_or("packages");
    let look = |path: Option<&str>| tools::kept(check.system, &place, path);
    let kept = look(name.as_deref()).and_then(|_| match name {
        Some(_) => look(None).map(Some),
        None => Ok(None),
    });
    let kept = match kept {
        Ok(kept) => kept,
        Err(CallError::CommandNotFound(error) | CallError::Execution(error)) => {
            return Ok(Plan::fail(format!(
                "Error looking up cached {what}: {error}"
            )));
        }
        Err(other) => return Err(other),
    };
    if let (Some(kept), Some(name)) = (&kept, &name)
        && !tells_of(kept, name)?
    {
        return Ok(Plan::unchanged(format!(
            "Package {name} is not in the cache"
        )));
    }
    let would = format!("Cached {what} set to be removed");
    let comment = format!("Cached {what} successfully removed");
    let failed = format!("Error cleaning cached {what}");
    let changes = Changes::of(name.as_deref().unwrap_or("cache"), "Removed");
    Ok(Plan::change(comment, changes, move |context| {
        Ok(
            match tools::clean(context, &place, name.as_deref(), false)? {
                true => Done::as_planned(),
                false => Done::failed(failed),
            },
        )
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_a_name_and_perhaps_a_version() {
        for (text, expected) in [
            ("a", ("a", None)),
            ("a@1.2", ("a", Some("1.2"))),
            ("@a/b", ("@a/b", None)),
            ("@a/b@1", ("@a/b", Some("1"))),
            ("a@", ("a", None)),
            ("", ("", None)),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }
}
