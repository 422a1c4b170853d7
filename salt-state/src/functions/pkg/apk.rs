//! `pkg.*` of Alpine, where `apk` installs packages (Salt's `apkpkg`, which 3007 has last).

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use super::change::{Failure, changes};
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

type Answer = Result<Value, CallError>;
type Versions = BTreeMap<String, String>;

/// The grain `os_family` of the machines meant here.
const FAMILY: &str = "Alpine";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for(FAMILY, name, signature, doc, function);
    };
    for name in ["pkg.file_dict", "pkg.file_list"] {
        add(
            name,
            "file_list(*packages, **kwargs)",
            "The files of packages, by package.",
            files,
        );
    }
    add(
        "pkg.install",
        "install(name=None, refresh=False, pkgs=None, sources=None, **kwargs)",
        "Installs packages, or upgrades those that are there, and returns what changed.",
        |args, context| {
            if args.is_true("refresh") {
                refresh(context)?;
            }
            let before = installed(context.system)?;
            let targets = targets(args)?;
            Ok(install(context, &before, &targets)?.into())
        },
    );
    add(
        "pkg.latest_version",
        "latest_version(*names, **kwargs)",
        "The version that would be installed now, empty when what is there is current; of several, by name.",
        latest_version,
    );
    add(
        "pkg.list_pkgs",
        "list_pkgs(versions_as_list=False, **kwargs)",
        "Returns the versions of all installed packages.",
        |args, context| {
            if states(args, "removed") || states(args, "purge_desired") {
                return Ok(Map::new().into());
            }
            let found = installed(context.system)?.into_iter();
            if !args.is_true("versions_as_list") {
                return Ok(found.collect::<Map>().into());
            }
            let lists = found.map(|(name, version)| (name, Value::List(vec![version.into()])));
            Ok(lists.collect::<Map>().into())
        },
    );
    add(
        "pkg.list_upgrades",
        "list_upgrades(refresh=True, **kwargs)",
        "The versions that an upgrade of everything would install, by name.",
        |args, context| {
            if args.is_true("refresh") {
                refresh(context)?;
            }
            Ok(upgrades(context.system)?
                .into_iter()
                .collect::<Map>()
                .into())
        },
    );
    add(
        "pkg.owner",
        "owner(*paths, **kwargs)",
        "The packages, with their versions, that files belong to, by path.",
        owner,
    );
    add(
        "pkg.purge",
        "purge(name=None, pkgs=None, **kwargs)",
        "Removes packages and their configuration, and returns what changed.",
        |args, context| Ok(remove(context, &goners(args), true)?.into()),
    );
    add(
        "pkg.refresh_db",
        "refresh_db(**kwargs)",
        "Reads the lists of packages again.",
        |_, context| {
            refresh(context)?;
            Ok(true.into())
        },
    );
    add(
        "pkg.remove",
        "remove(name=None, pkgs=None, purge=False, **kwargs)",
        "Removes packages and returns what changed.",
        |args, context| Ok(remove(context, &goners(args), args.is_true("purge"))?.into()),
    );
    add(
        "pkg.upgrade",
        "upgrade(name=None, pkgs=None, refresh=True, **kwargs)",
        "Upgrades packages, or all, and returns how that went.",
        upgrade,
    );
    add(
        "pkg.version",
        "version(*names, **kwargs)",
        "Returns the version of an installed package, empty when it is not; of several, by name.",
        version,
    );
}

fn states(args: &Args, name: &str) -> bool {
    args.keywords().get(name).is_some_and(Value::is_true)
}

fn apk<I: IntoIterator<Item: Into<std::ffi::OsString>>>(args: I) -> Command {
    tool::plain("apk").args(args)
}

/// `name-1.2.3-r0` taken apart.
fn parted(text: &str) -> Option<(String, String)> {
    let mut parts = text.trim().rsplitn(3, '-');
    let release = parts.next()?;
    let version = parts.next()?;
    let name = parts.next()?;
    Some((name.to_owned(), format!("{version}-{release}")))
}

/// Versions of what is installed, by name.
pub(crate) fn installed(machine: &dyn Observe) -> Result<Versions, CallError> {
    let text = tool::ask(machine, &apk(["info", "-v"]))?.stdout_text();
    Ok(text.lines().filter_map(parted).collect())
}

/// Reads the lists of packages again.
pub(crate) fn refresh(context: &Context<'_>) -> Result<Output, CallError> {
    let output = tool::run(context, &apk(["update"]))?;
    if output.is_success() {
        return Ok(output);
    }
    context.set_retcode(output.exit.code().into());
    // Salt looks for the errors where apk does not write them.
    Err(CallError::execution(
        "Problem encountered installing package(s). Additional info follows:\n\nchanges:\n    False\nerrors:",
    ))
}

/// What an upgrade of everything would install, by name.
pub(crate) fn upgrades(machine: &dyn Observe) -> Result<Versions, CallError> {
    let text = tool::ask(machine, &apk(["upgrade", "-s"]))?.stdout_text();
    Ok(steps(&text)
        .into_iter()
        .filter_map(|step| Some((step.name, step.new.filter(|_| step.is_upgrade)?)))
        .collect())
}

/// One thing that apk does.
struct Step {
    name: String,
    is_upgrade: bool,
    /// The version that is there afterwards, if any.
    new: Option<String>,
}

/// What apk tells that it does: `(1/3) Upgrading alpha (1.0-r0 -> 2.0-r1)`.
fn steps(text: &str) -> Vec<Step> {
    let step = |line: &str| {
        let (_, rest) = line.strip_prefix('(')?.split_once(") ")?;
        let (verb, rest) = rest.split_once(' ')?;
        let (name, versions) = rest.split_once(" (")?;
        let versions = versions.split_once(')')?.0;
        let new = versions
            .rsplit_once(" -> ")
            .map_or(versions, |(_, new)| new);
        Some(Step {
            name: name.to_owned(),
            is_upgrade: verb == "Upgrading",
            new: (verb != "Purging").then(|| new.to_owned()),
        })
    };
    text.lines().filter_map(step).collect()
}

/// The versions on offer of packages: what an upgrade would install, else what is found and
/// not installed.
pub(crate) fn latest(
    machine: &dyn Observe,
    names: &[String],
    now: &Versions,
) -> Result<Versions, CallError> {
    let upgrades = upgrades(machine)?;
    let mut found = Versions::new();
    for name in names {
        if let Some(version) = upgrades.get(name) {
            found.insert(name.clone(), version.clone());
            continue;
        }
        let text = tool::ask(machine, &apk(["search", name]))?.stdout_text();
        let offered = text
            .lines()
            .filter_map(parted)
            .find(|(known, _)| known == name);
        if let Some((name, version)) = offered
            && !now.contains_key(&name)
        {
            found.insert(name, version);
        }
    }
    Ok(found)
}

fn latest_version(args: &Args, context: &Context<'_>) -> Answer {
    let names: Vec<String> = args.positional().iter().map(python::str).collect();
    if names.is_empty() {
        return Ok("".into());
    }
    let now = installed(context.system)?;
    if args.keywords().get("refresh").is_none_or(Value::is_true) {
        refresh(context)?;
    }
    let found = latest(context.system, &names, &now)?;
    Ok(by_name(&names, &found))
}

/// The version of the only name, or those of several by name.
fn by_name(names: &[String], found: &Versions) -> Value {
    let version = |name: &String| found.get(name).cloned().unwrap_or_default();
    match names {
        [name] => version(name).into(),
        several => several
            .iter()
            .map(|name| (name.as_str(), version(name)))
            .collect::<Map>()
            .into(),
    }
}

fn version(args: &Args, context: &Context<'_>) -> Answer {
    let asked: Vec<String> = args.positional().iter().map(python::str).collect();
    if asked.is_empty() {
        return Ok(Map::new().into());
    }
    let now = installed(context.system)?;
    let is_pattern = |name: &String| name.contains(['*', '?', '[']);
    if !asked.iter().any(is_pattern) {
        return Ok(by_name(&asked, &now));
    }
    let mut found = Map::new();
    for name in &asked {
        if is_pattern(name) {
            let fits = now.iter().filter(|(known, _)| crate::fnmatch(known, name));
            found.extend(fits.map(|(name, version)| (name.as_str(), version.as_str())));
        } else {
            found.insert(name.as_str(), now.get(name).cloned().unwrap_or_default());
        }
    }
    Ok(found.into())
}

/// Words with commas between them.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
}

/// What a list names: its items as texts, the letters of a text.
fn items(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().map(python::str).collect(),
        Value::Str(text) => text.chars().map(String::from).collect(),
        _ => Vec::new(),
    }
}

/// What `pkg.install` is told to install: of a list, only names with versions count, and of
/// these the first of each item; files never do.
fn targets(args: &Args) -> Result<Vec<String>, CallError> {
    let stated = |key: &str| args.given(key).filter(|value| value.is_true());
    if let Some(pkgs) = stated("pkgs") {
        let items = pkgs.as_list().unwrap_or_default();
        let first = |item: &Value| item.as_map()?.keys().next().map(python::str);
        return Ok(items.iter().filter_map(first).collect());
    }
    if stated("sources").is_some() {
        return Ok(Vec::new());
    }
    match args.given("name") {
        None => Ok(Vec::new()),
        Some(Value::Str(name)) => Ok(words(name).collect()),
        Some(_) => Err(CallError::exception(
            "TypeError",
            "argument of type 'int' is not iterable",
        )),
    }
}

/// The command that installs packages, or upgrades them where one of them is there.
fn adding(now: &Versions, targets: &[String]) -> Command {
    let command = if targets.iter().any(|name| now.contains_key(name)) {
        apk(["add", "-u"])
    } else {
        apk(["add"])
    };
    command.args(targets)
}

/// Installs, and says what changed.
pub(crate) fn install(
    context: &Context<'_>,
    before: &Versions,
    targets: &[String],
) -> Result<Map, Failure> {
    if targets.is_empty() {
        return Ok(Map::new());
    }
    let output = tool::run(context, &adding(before, targets))?;
    settled(context, "installing", before, &output)
}

/// What changed, unless the command failed.
fn settled(
    context: &Context<'_>,
    verb: &'static str,
    before: &Versions,
    output: &Output,
) -> Result<Map, Failure> {
    let found = changes(before, &installed(context.system)?);
    if output.is_success() {
        return Ok(found);
    }
    context.set_retcode(output.exit.code().into());
    Err(Failure::Problem {
        verb,
        changes: found,
        error: tool::said(output),
    })
}

/// What `pkg.remove` is told to remove: the name and all of the list.
fn goners(args: &Args) -> Vec<String> {
    let name = args.optional_text("name").unwrap_or_default();
    let mut all: Vec<String> = words(&name).collect();
    all.extend(args.given("pkgs").map(items).unwrap_or_default());
    all
}

fn removing(names: &[String], purge: bool) -> Command {
    let command = apk(["del"]);
    let command = if purge {
        command.arg("--purge")
    } else {
        command
    };
    command.args(names)
}

/// Removes, and says what changed.
pub(crate) fn remove(context: &Context<'_>, names: &[String], purge: bool) -> Result<Map, Failure> {
    let before = installed(context.system)?;
    if names.is_empty() {
        return Ok(Map::new());
    }
    let output = tool::run(context, &removing(names, purge))?;
    settled(context, "removing", &before, &output)
}

/// The command that upgrades packages, or all.
fn upgrading(names: &[String]) -> Command {
    if names.is_empty() {
        apk(["upgrade"])
    } else {
        apk(["add", "-u"]).args(names)
    }
}

fn upgrade(args: &Args, context: &Context<'_>) -> Answer {
    if args.is_true("refresh") {
        refresh(context)?;
    }
    let before = installed(context.system)?;
    let names = match args.given("pkgs").filter(|pkgs| pkgs.is_true()) {
        Some(pkgs) => items(pkgs),
        None => words(&args.optional_text("name").unwrap_or_default()).collect(),
    };
    let output = tool::run(context, &upgrading(&names))?;
    let (found, comment) = if output.is_success() {
        (changes(&before, &installed(context.system)?), String::new())
    } else {
        context.set_retcode(output.exit.code().into());
        (Map::new(), tool::said(&output))
    };
    Ok(Map::from([
        ("changes", Value::from(found)),
        ("result", output.is_success().into()),
        ("comment", comment.into()),
    ])
    .into())
}

/// What installing or removing would do: names with the version that will be there, or
/// none; `None` when apk refuses.
pub(crate) fn simulate(
    machine: &dyn Observe,
    verb: &str,
    targets: &[String],
) -> Option<Vec<(String, Option<String>)>> {
    let command = match verb {
        "install" => adding(&installed(machine).ok()?, targets),
        "upgrade" => upgrading(targets),
        _ => removing(targets, verb == "purge"),
    };
    let text = tool::answer(machine, &command.arg("--simulate"))?;
    let steps = steps(&text).into_iter();
    Some(steps.map(|step| (step.name, step.new)).collect())
}

fn owner(args: &Args, context: &Context<'_>) -> Answer {
    let paths: Vec<String> = args.positional().iter().map(python::str).collect();
    if paths.is_empty() {
        return Ok("You must provide a path".into());
    }
    let mut found = Map::new();
    for path in &paths {
        let output = tool::ask(context.system, &apk(["info", "-W", path]))?;
        let said = if output.is_success() {
            let text = output.stdout_text();
            let owner = text.trim().rsplit_once(" is owned by ");
            owner.map_or_else(String::new, |(_, owner)| owner.to_owned())
        } else {
            context.set_retcode(output.exit.code().into());
            let words = ["apk", "info", "-W", path].into_iter().collect::<Value>();
            format!("Error running {}", python::repr(&words))
        };
        found.insert(path.as_str(), said);
    }
    Ok(found.into())
}

fn files(args: &Args, context: &Context<'_>) -> Answer {
    let names: Vec<String> = args.positional().iter().map(python::str).collect();
    if names.is_empty() {
        return Ok("Package name should be provided".into());
    }
    let mut packages = Map::new();
    for name in &names {
        let output = tool::ask(context.system, &apk(["info", "-L", name]))?;
        if !output.is_success() {
            context.set_retcode(output.exit.code().into());
        }
        let text = output.stdout_text();
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let heading = lines
            .next()
            .and_then(|line| line.strip_suffix(" contains:"));
        if let Some((name, _)) = heading.and_then(parted) {
            packages.insert(name, lines.collect::<Value>());
        }
    }
    Ok(Map::from([
        ("errors", Value::List(Vec::new())),
        ("packages", packages.into()),
    ])
    .into())
}
