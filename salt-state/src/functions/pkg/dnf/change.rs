//! `pkg.*` of dnf as far as it changes what is installed.

use std::cmp::Ordering;
use std::path::Path;

use salt_proto::{Map, Value};

use super::transaction::{Step, foretold};
use super::{
    FAMILY, Installed, Versions, asked, holds, installed, items, joined, needs_rpm, normalized,
    options, own_arch, refresh, stated,
};
use crate::args::Args;
use crate::context::Context;
use crate::functions::pkg::change::Failure;
use crate::functions::pkg::compare_rpm;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, Output};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for(FAMILY, name, signature, doc, function);
    };
    add(
        "pkg.install",
        "install(name=None, refresh=False, skip_verify=False, pkgs=None, sources=None, downloadonly=False, reinstall=False, normalize=True, update_holds=False, saltenv='base', ignore_epoch=False, **kwargs)",
        "Installs packages and returns what changed.",
        |args, context| {
            needs_rpm(context, "pkg.install")?;
            Ok(install(args, context)?.into())
        },
    );
    for name in ["pkg.remove", "pkg.purge"] {
        add(
            name,
            "remove(name=None, pkgs=None, **kwargs)",
            "Removes packages and returns what changed.",
            |args, context| {
                needs_rpm(context, "pkg.remove")?;
                Ok(remove(args, context)?.into())
            },
        );
    }
    add(
        "pkg.upgrade",
        "upgrade(name=None, pkgs=None, refresh=True, skip_verify=False, normalize=True, minimal=False, obsoletes=True, diff_attr=None, **kwargs)",
        "Upgrades packages, or all, and returns what changed.",
        |args, context| {
            needs_rpm(context, "pkg.upgrade")?;
            upgrade(args, context)
        },
    );
    add(
        "pkg.update",
        "update(name=None, pkgs=None, refresh=True, skip_verify=False, normalize=True, minimal=False, obsoletes=False, **kwargs)",
        "Upgrades packages, or all, but installs none in place of others, and returns what changed.",
        |args, context| {
            needs_rpm(context, "pkg.update")?;
            upgrade(args, context)
        },
    );
}

/// What is to be installed: names with versions, or files.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The name.
    pub(crate) name: String,
    /// The version that is asked for.
    pub(crate) version: Option<String>,
    /// The file it comes from, and what that holds.
    file: Option<(String, Option<Installed>)>,
}

/// The names and versions that arguments state.
pub(crate) fn targets(args: &Args, own: &str) -> Result<Vec<Target>, CallError> {
    let normalizes = args.get("normalize").is_none_or(Value::is_true);
    let target = |name: &str, version: Option<String>| Target {
        name: if normalizes {
            normalized(own, name).to_owned()
        } else {
            name.to_owned()
        },
        version,
        file: None,
    };
    let Some(pkgs) = args.given("pkgs") else {
        let version = stated(args, "version").map(python::str);
        let name = args.optional_text("name").unwrap_or_default();
        let names: Vec<&str> = name
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        return Ok(match names.as_slice() {
            [one] => vec![target(one, version)],
            several => several.iter().map(|name| target(name, None)).collect(),
        });
    };
    let malformed = || {
        CallError::invocation(format!(
            "You are passing a list of packages that contains duplicated packages names: {}. This cannot be processed. In case you are targeting different versions of the same package, please target them individually",
            python::str(pkgs)
        ))
    };
    let Value::List(list) = pkgs else {
        return Err(malformed());
    };
    let mut all: Vec<Target> = Vec::new();
    for item in list {
        match item {
            Value::Map(map) => {
                for (name, version) in map {
                    let version = Some(version)
                        .filter(|version| version.is_true())
                        .map(python::str);
                    all.push(target(&python::str(name), version));
                }
            }
            other => all.push(target(&python::str(other), None)),
        }
    }
    let mut names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(malformed());
    }
    Ok(all)
}

/// The files that `sources` names, fetched.
fn files(args: &Args, context: &Context<'_>) -> Result<Vec<Target>, CallError> {
    let mut all = Vec::new();
    for (name, source) in crate::functions::pkg::change::sources(args) {
        let path = if source.starts_with('/') {
            if !context.system.exists(Path::new(&source)) {
                return Err(CallError::execution(format!(
                    "{source} does not exist on minion"
                )));
            }
            source
        } else {
            let call = Args::new().with(source.as_str());
            match context.registry.call("cp.cache_file", &call, context)? {
                Value::Str(path) if !path.is_empty() => path,
                _ => {
                    return Err(CallError::execution(format!(
                        "Unable to retrieve {source} from saltenv 'base'"
                    )));
                }
            }
        };
        let package = super::rpm::described(context.system, Path::new(&path))?;
        all.push(Target {
            name: package
                .as_ref()
                .map_or(name, |package| package.name.clone()),
            version: None,
            file: Some((path, package)),
        });
    }
    Ok(all)
}

/// How dnf is told of a package.
pub(crate) fn spelled(name: &str, version: Option<&str>) -> String {
    let Some(version) = version else {
        return name.to_owned();
    };
    // The epoch is not part of how packages are named here.
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    match name.rsplit_once('.') {
        Some((short, arch)) if super::is_arch(arch) => format!("{short}-{version}.{arch}"),
        _ => format!("{name}-{version}"),
    }
}

fn is_pattern(version: &str) -> bool {
    version.starts_with(['<', '>', '=', '!']) || version.contains(['*', '?', '['])
}

/// The newest version on offer that a stated one, which may be a comparison or a pattern,
/// means.
pub(crate) fn meant(offers: &[String], wanted: &str, ignore_epoch: bool) -> Option<String> {
    let manager = crate::functions::pkg::manager::Manager::Dnf("");
    offers
        .iter()
        .find(|offer| {
            if ignore_epoch {
                let offer = crate::functions::pkg::without_epoch(offer);
                let wanted = crate::functions::pkg::without_epoch(wanted);
                crate::functions::pkg::satisfies(manager, &offer, &wanted)
            } else {
                crate::functions::pkg::satisfies(manager, offer, wanted)
            }
        })
        .cloned()
}

/// What an installation consists of.
#[derive(Debug, Default)]
struct Work {
    steps: Vec<Step>,
    /// What stands in the way: packages that are not on offer, or held.
    errors: Vec<String>,
    /// Names of packages that are held and must be let go meanwhile.
    free: Vec<String>,
}

/// Decides what to call dnf with, so that the targets are there.
fn work(
    machine: &dyn Observe,
    own: &str,
    args: &Args,
    targets: &[Target],
    now: &Versions,
) -> Result<Work, CallError> {
    let ignore_epoch = args.is_true("ignore_epoch");
    let mut done = Work::default();
    let patterns: Vec<String> = targets
        .iter()
        .filter(|target| target.version.as_deref().is_some_and(is_pattern))
        .map(|target| target.name.clone())
        .collect();
    let offers = if patterns.is_empty() {
        Default::default()
    } else {
        asked::all_versions(machine, own, &patterns, args)?
    };
    let (mut install, mut downgrade, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        let there = now.get(&target.name).map(Vec::as_slice).unwrap_or_default();
        let version = match target.version.as_deref() {
            Some(wanted) if is_pattern(wanted) => {
                let known = offers
                    .get(&target.name)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                match meant(known, wanted, ignore_epoch) {
                    Some(version) => Some(version),
                    None => {
                        let known = if known.is_empty() {
                            String::new()
                        } else {
                            format!(" (available: {})", known.join(", "))
                        };
                        done.errors.push(format!(
                            "No version matching '{}{wanted}' could be found{known}",
                            target.name
                        ));
                        continue;
                    }
                }
            }
            other => other.map(str::to_owned),
        };
        let (spelling, version) = match &target.file {
            Some((path, package)) => (path.clone(), package.as_ref().map(Installed::full_version)),
            None => (spelled(&target.name, version.as_deref()), version),
        };
        let order = |known: &String, version: &str| {
            if ignore_epoch {
                let (a, b) = (
                    crate::functions::pkg::without_epoch(version),
                    crate::functions::pkg::without_epoch(known),
                );
                compare_rpm(&a, &b)
            } else {
                compare_rpm(version, known)
            }
        };
        let reinstalls = args.is_true("reinstall");
        let into = match &version {
            None if reinstalls && !there.is_empty() => &mut again,
            Some(version)
                if reinstalls
                    && there
                        .iter()
                        .any(|known| order(known, version) == Ordering::Equal) =>
            {
                &mut again
            }
            Some(version)
                if !there.is_empty()
                    && there
                        .iter()
                        .all(|known| order(known, version) == Ordering::Less) =>
            {
                &mut downgrade
            }
            _ => &mut install,
        };
        into.push((target.name.clone(), spelling));
    }
    let held = holds::of(machine, now)?;
    let mut chosen = options(args);
    if args.is_true("skip_verify") {
        chosen.push("--nogpgcheck".to_owned());
    }
    if args.is_true("downloadonly") {
        chosen.push("--downloadonly".to_owned());
    }
    let mut kept = Vec::new();
    let newest = ["--best", "--allowerasing"].map(str::to_owned).to_vec();
    for (verb, first, list) in [
        ("install", newest, install),
        ("downgrade", Vec::new(), downgrade),
        ("reinstall", Vec::new(), again),
    ] {
        let mut words = Vec::new();
        for (name, spelling) in list {
            if held.contains(&name) && verb != "reinstall" {
                if !args.is_true("update_holds") {
                    kept.push(name);
                    continue;
                }
                done.free.push(name);
            }
            words.push(spelling);
        }
        if !words.is_empty() {
            done.steps.push(Step {
                before: first.into_iter().chain(chosen.clone()).collect(),
                verb,
                targets: words,
            });
        }
    }
    if !kept.is_empty() {
        done.errors.push(format!(
            "The following package(s) could not be updated because they are being held: {}. Set 'update_holds' to True to temporarily unhold these packages so that they can be updated.",
            kept.join(", ")
        ));
    }
    Ok(done)
}

/// What an installation would leave, dependencies included; nothing where dnf does not
/// tell.
pub(crate) fn after_installing(
    machine: &dyn Observe,
    own: &str,
    args: &Args,
    now: &Versions,
) -> Result<Option<Versions>, CallError> {
    let all = targets(args, own)?;
    let work = work(machine, own, args, &all, now)?;
    foretold(machine, own, now, &work.steps)
}

/// What a removal would leave.
pub(crate) fn after_removing(
    machine: &dyn Observe,
    own: &str,
    names: &[String],
    now: &Versions,
) -> Result<Option<Versions>, CallError> {
    let step = Step {
        before: Vec::new(),
        verb: "remove",
        targets: names.to_vec(),
    };
    foretold(machine, own, now, &[step])
}

/// What is installed, as changes show it: versions, or the attributes that were asked for.
struct Shown(Map);

impl Shown {
    fn of(
        machine: &dyn Observe,
        own: &str,
        args: &Args,
    ) -> Result<(Self, Vec<Installed>), CallError> {
        let all = installed(machine)?;
        let shown = match stated(args, "diff_attr") {
            Some(wanted) => asked::attributes_of(&all, &items(wanted)),
            None => joined(grouped(&all, own)).into_iter().collect(),
        };
        Ok((Self(shown), all))
    }

    fn changes(&self, after: &Self) -> Map {
        let mut names: Vec<&Value> = self.0.keys().chain(after.0.keys()).collect();
        names.sort_by_key(|name| python::str(name));
        names.dedup();
        let mut map = Map::new();
        for name in names {
            let name = python::str(name);
            let of = |shown: &Self| shown.0.get(&name).cloned().unwrap_or_else(|| "".into());
            let (old, new) = (of(self), of(after));
            if old != new {
                map.insert(name, Map::from([("old", old), ("new", new)]));
            }
        }
        map
    }
}

/// Versions by name; several of one, sorted.
fn grouped(all: &[Installed], own: &str) -> Versions {
    let mut versions = Versions::new();
    for package in all {
        let list = versions.entry(package.shown(own)).or_default();
        list.push(package.full_version());
    }
    for list in versions.values_mut() {
        list.sort();
        list.dedup();
    }
    versions
}

/// What dnf said: its output, then its errors.
fn complaint(output: &Output) -> String {
    tool::said_both(output)
}

/// Installs what the arguments name, and says what changed.
pub(crate) fn install(args: &Args, context: &Context<'_>) -> Result<Map, Failure> {
    let own = own_arch(&context.minion.grains);
    if args.is_true("refresh") {
        refresh(context, args)?;
    }
    let has = |key: &str| args.given(key).is_some_and(Value::is_true);
    if has("advisory_ids") {
        return follow(args, context, own);
    }
    if has("pkgs") && has("sources") {
        return Ok(Map::new());
    }
    let mut wanted = targets(args, own)?;
    if wanted.is_empty() && !has("sources") {
        return Ok(Map::new());
    }
    let (before, all) = Shown::of(context.system, own, args)?;
    let now = grouped(&all, own);
    if has("sources") {
        wanted = files(args, context)?;
    }
    let work = work(context.system, own, args, &wanted, &now)?;
    let mut errors = Vec::new();
    if !work.free.is_empty() {
        holds::set(context, &now, &work.free, false)?;
    }
    let mut again: Vec<String> = Vec::new();
    for step in &work.steps {
        let output = tool::run(context, &step.command())?;
        if !output.is_success() {
            context.set_retcode(output.exit.code().into());
            errors.push(complaint(&output));
        } else if step.verb == "reinstall" {
            again.extend(wanted.iter().map(|target| target.name.clone()));
        }
    }
    if !work.free.is_empty() {
        holds::set(context, &now, &work.free, true)?;
    }
    if args.is_true("downloadonly") && errors.is_empty() && work.errors.is_empty() {
        return Ok(Map::new());
    }
    let (after, _) = Shown::of(context.system, own, args)?;
    let mut found = before.changes(&after);
    for name in &again {
        if let (Some(old), Some(new)) = (before.0.get(name), after.0.get(name))
            && !found.contains_key(name)
        {
            found.insert(
                name.as_str(),
                Map::from([("old", old.clone()), ("new", new.clone())]),
            );
        }
    }
    errors.extend(work.errors);
    if errors.is_empty() {
        return Ok(found);
    }
    Err(Failure::Problems {
        verb: "installing",
        changes: found,
        errors,
    })
}

/// The call of dnf that installs what advisories advise.
///
/// # Errors
///
/// When one of them is not known.
pub(crate) fn advised(args: &Args, known: &Map) -> Result<Step, CallError> {
    let ids = stated(args, "advisory_ids").map(items).unwrap_or_default();
    let unknown = ids.iter().find(|id| !known.contains_key(id.as_str()));
    if let Some(id) = unknown {
        return Err(CallError::execution(format!(
            "Advisory id \"{id}\" not found"
        )));
    }
    let mut before = ["--best", "--allowerasing"].map(str::to_owned).to_vec();
    before.extend(options(args));
    if stated(args, "downloadonly").is_some() {
        before.push("--downloadonly".to_owned());
    }
    Ok(Step {
        before,
        verb: "update",
        targets: ids.iter().map(|id| format!("--advisory={id}")).collect(),
    })
}

/// Installs what advisories advise, and says what changed.
fn follow(args: &Args, context: &Context<'_>, own: &str) -> Result<Map, Failure> {
    let step = advised(args, &asked::patches(context.system)?)?;
    let (before, _) = Shown::of(context.system, own, args)?;
    let output = tool::run(context, &step.command())?;
    let downloads = stated(args, "downloadonly").is_some();
    if output.is_success() && downloads {
        return Ok(Map::new());
    }
    let (after, _) = Shown::of(context.system, own, args)?;
    let found = before.changes(&after);
    if output.is_success() {
        return Ok(found);
    }
    context.set_retcode(output.exit.code().into());
    Err(Failure::Problems {
        verb: "installing",
        changes: found,
        errors: vec![complaint(&output)],
    })
}

/// Removes what the arguments name, and says what changed.
pub(crate) fn remove(args: &Args, context: &Context<'_>) -> Result<Map, Failure> {
    let own = own_arch(&context.minion.grains);
    let plain = Args::new();
    let (before, all) = Shown::of(context.system, own, &plain)?;
    let wanted = targets(args, own)?;
    if wanted.is_empty() {
        return Err(CallError::exception("TypeError", "'NoneType' object is not iterable").into());
    }
    let by_name = args.given("pkgs").is_none();
    let now = grouped(&all, own);
    let mut words = Vec::new();
    for target in &wanted {
        let mut known: Vec<String> = all
            .iter()
            .map(|package| package.shown(own))
            .filter(|name| *name == target.name || crate::fnmatch(name, &target.name))
            .collect();
        known.dedup();
        for name in known {
            let spelling = match target.version.as_deref().filter(|_| !by_name) {
                None => name,
                Some(version) => {
                    let there = now.get(&name).map(Vec::as_slice).unwrap_or_default();
                    if !there.iter().any(|known| known == version) {
                        continue;
                    }
                    spelled(&name, Some(version))
                }
            };
            if !words.contains(&spelling) {
                words.push(spelling);
            }
        }
    }
    if words.is_empty() {
        return Ok(Map::new());
    }
    let step = Step {
        before: Vec::new(),
        verb: "remove",
        targets: words,
    };
    let output = tool::run(context, &step.command())?;
    let (after, _) = Shown::of(context.system, own, &plain)?;
    let found = before.changes(&after);
    if output.is_success() {
        return Ok(found);
    }
    context.set_retcode(output.exit.code().into());
    Err(Failure::Problems {
        verb: "removing",
        changes: found,
        errors: vec![complaint(&output)],
    })
}

/// The arguments with what `obsoletes` says among the settings.
fn with_obsoletes(args: &Args) -> Args {
    if args.get("obsoletes").is_none_or(Value::is_true) {
        return args.clone();
    }
    let mut settings = stated(args, "setopt").map(items).unwrap_or_default();
    settings.push("obsoletes=False".to_owned());
    let mut args = args.clone();
    args.keywords
        .insert("setopt", settings.into_iter().collect::<Value>());
    args
}

/// The call of dnf that upgrades what the arguments name.
pub(crate) fn upgrading(args: &Args, own: &str) -> Result<Step, CallError> {
    let mut before = vec!["--quiet".to_owned()];
    before.extend(options(args));
    for (flag, option) in [
        ("security", "--security"),
        ("downloadonly", "--downloadonly"),
    ] {
        if stated(args, flag).is_some() {
            before.push(option.to_owned());
        }
    }
    for excluded in stated(args, "exclude").map(items).unwrap_or_default() {
        before.push(format!("--exclude={excluded}"));
    }
    if args.is_true("skip_verify") {
        before.push("--nogpgcheck".to_owned());
    }
    Ok(Step {
        before,
        verb: if args.is_true("minimal") {
            "upgrade-minimal"
        } else {
            "upgrade"
        },
        targets: targets(args, own)?
            .into_iter()
            .map(|target| target.name)
            .collect(),
    })
}

fn upgrade(args: &Args, context: &Context<'_>) -> Answer {
    let own = own_arch(&context.minion.grains);
    let args = &with_obsoletes(args);
    if args.is_true("refresh") {
        refresh(context, args)?;
    }
    let (before, _) = Shown::of(context.system, own, args)?;
    let output = tool::run(context, &upgrading(args, own)?.command())?;
    let (after, _) = Shown::of(context.system, own, args)?;
    let found = before.changes(&after);
    if output.is_success() {
        return Ok(found.into());
    }
    context.set_retcode(output.exit.code().into());
    let result = Map::from([
        ("retcode", Value::Int(output.exit.code().into())),
        ("stderr", output.stderr_text().trim_end().into()),
        ("stdout", output.stdout_text().trim_end().into()),
    ]);
    Err(CallError::execution(format!(
        "Problem encountered upgrading packages. Additional info follows:\n\nchanges:\n    ----------{}\nresult:\n    ----------{}",
        nested(&found, 4),
        nested(&result, 4)
    )))
}

/// Keys, sorted, and values as the outputter `nested` shows them, each on a new line.
pub(crate) fn nested(map: &Map, indent: usize) -> String {
    let blank = " ".repeat(indent);
    let mut entries: Vec<(String, &Value)> = map
        .iter()
        .map(|(key, value)| (python::str(key), value))
        .collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut text = String::new();
    for (key, value) in entries {
        text.push_str(&format!("\n{blank}{key}:"));
        match value {
            Value::Map(inner) => {
                text.push_str(&format!("\n{blank}    ----------"));
                text.push_str(&nested(inner, indent + 4));
            }
            Value::List(items) => {
                for item in items {
                    text.push_str(&format!("\n{blank}    - {}", python::str(item)));
                }
            }
            other => {
                for line in python::str(other).lines() {
                    text.push_str(&format!("\n{blank}    {line}"));
                }
            }
        }
    }
    text
}
