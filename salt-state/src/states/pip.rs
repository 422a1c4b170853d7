//! `pip.*`: packages of Python that are there, or not.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::pip::requirement::{Requirement, normalized};
use crate::functions::pip::version::{Phase, Specifier, Version, fits};
use crate::functions::pip::{Index, Pip, upgrade};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "pip.installed",
        "installed(name, pkgs=None, pip_bin=None, requirements=None, bin_env=None, use_wheel=False, no_use_wheel=False, log=None, proxy=None, timeout=None, repo=None, editable=None, find_links=None, index_url=None, extra_index_url=None, no_index=False, mirrors=None, build=None, target=None, download=None, download_cache=None, source=None, upgrade=False, force_reinstall=False, ignore_installed=False, exists_action=None, no_deps=False, no_install=False, no_download=False, install_options=None, global_options=None, user=None, cwd=None, pre_releases=False, cert=None, allow_all_external=False, allow_external=None, allow_unverified=None, process_dependency_links=False, env_vars=None, use_vt=False, trusted_host=None, no_cache_dir=False, cache_dir=None, no_binary=None, extra_args=None, **kwargs)",
        "Makes sure that packages of Python are installed.",
        installed,
    );
    registry.add_state(
        "pip.removed",
        "removed(name, requirements=None, bin_env=None, log=None, proxy=None, timeout=None, user=None, cwd=None, use_vt=False)",
        "Makes sure that a package of Python is not installed.",
        removed,
    );
    registry.add_state(
        "pip.uptodate",
        "uptodate(name, bin_env=None, user=None, cwd=None, use_vt=False)",
        "Makes sure that the newest version of every package of Python is installed.",
        uptodate,
    );
}

/// The arguments of `pip.install` that the state passes on as they are.
const PASSED_ON: [&str; 40] = [
    "requirements",
    "bin_env",
    "use_wheel",
    "no_use_wheel",
    "log",
    "proxy",
    "timeout",
    "editable",
    "find_links",
    "index_url",
    "extra_index_url",
    "no_index",
    "mirrors",
    "build",
    "target",
    "download",
    "download_cache",
    "source",
    "upgrade",
    "force_reinstall",
    "ignore_installed",
    "exists_action",
    "no_deps",
    "no_install",
    "no_download",
    "install_options",
    "global_options",
    "user",
    "cwd",
    "pre_releases",
    "cert",
    "allow_all_external",
    "allow_external",
    "allow_unverified",
    "process_dependency_links",
    "env_vars",
    "trusted_host",
    "no_cache_dir",
    "cache_dir",
    "no_binary",
];

/// A package as it is asked for.
struct Target {
    text: String,
    wanted: Requirement,
}

/// What is to be said of a package that need not be installed; `None` for one that has to.
enum Standing {
    Missing,
    There(String),
}

fn standing(
    target: &Target,
    installed: &Map,
    args: &Args,
    pip: &Pip,
    machine: &dyn Observe,
) -> Result<Standing, CallError> {
    let name = normalized(&target.wanted.name);
    let there = installed
        .str(&name)
        .filter(|_| !target.wanted.name.is_empty());
    let Some(there) = there else {
        return Ok(Standing::Missing);
    };
    if args.is_true("force_reinstall") || args.is_true("ignore_installed") {
        return Ok(Standing::Missing);
    }
    let text = &target.text;
    let already = || Standing::There(format!("Python package {text} was already installed"));
    let asked = &target.wanted.asked;
    if !args.is_true("upgrade") {
        return Ok(if fits(there, asked) {
            already()
        } else {
            Standing::Missing
        });
    }
    let versions = pip.versions(
        &target.wanted.name,
        &phases(asked),
        &Index::of(args),
        machine,
    )?;
    let Some(newest) = versions.iter().rev().find(|version| fits(version, asked)) else {
        return Ok(Standing::There(format!(
            "Python package {} was already installed and\nthe available upgrade doesn't fulfills the version requirements",
            target.wanted.name
        )));
    };
    let same = match (Version::parse(newest), Version::parse(there)) {
        (Some(newest), Some(there)) => newest.cmp(&there).is_eq(),
        _ => newest == there,
    };
    Ok(if same { already() } else { Standing::Missing })
}

/// The kinds of pre-releases that are asked for by name.
fn phases(asked: &[Specifier]) -> Vec<Phase> {
    asked
        .iter()
        .filter_map(|one| Version::parse(&one.version)?.phase())
        .collect()
}

/// Options that the pip at hand does not have, in Salt's words.
fn unsupported(args: &Args, version: &str) -> Option<String> {
    let number = Version::parse(version)?;
    let before = |wanted: &str| Version::parse(wanted).is_some_and(|wanted| number < wanted);
    let after = |wanted: &str| Version::parse(wanted).is_some_and(|wanted| number > wanted);
    for key in ["use_wheel", "no_use_wheel"] {
        if args.is_true(key) && (before("1.4") || after("9.0.3")) {
            return Some(format!(
                "The '{key}' option is only supported in pip between 1.4 and 9.0.3. The version of pip detected was {version}."
            ));
        }
    }
    (args.is_true("no_binary") && before("7.0.0")).then(|| {
        format!(
            "The 'no_binary' option is only supported in pip 7.0.0 and newer. The version of pip detected was {version}."
        )
    })
}

fn installed(args: &Args, check: &Check<'_>) -> Answer {
    let machine = check.system;
    let name = args.text("name")?;
    let mut texts = vec![name.clone()];
    let mut listed = false;
    match args.given("pkgs").filter(|pkgs| pkgs.is_true()) {
        None => {}
        Some(Value::List(items)) => {
            listed = true;
            texts.clear();
            for item in items {
                let Value::Str(text) = item else {
                    return Err(CallError::exception(
                        "AttributeError",
                        format!("'{}' object has no attribute 'items'", item.type_name()),
                    ));
                };
                texts.push(text.clone());
            }
        }
        Some(_) => return Ok(Plan::fail("pkgs argument must be formatted as a list")),
    }
    if let Some(user) = args.optional_text("user").filter(|user| !user.is_empty())
        && machine.user(&user)?.is_none()
    {
        return Ok(Plan::fail(format!("User {user} does not exist")));
    }
    let call = passed_on(args);
    let pip = match Pip::of(&call, machine) {
        Ok(pip) => pip,
        Err(CallError::CommandNotFound(text)) => {
            return Ok(Plan::fail(format!("Error installing '{name}': {text}")));
        }
        Err(error) => return Err(error),
    };
    let version = match pip.version(machine) {
        Ok(version) => version,
        Err(error) => return Ok(Plan::fail(format!("Error installing '{name}': {error}"))),
    };
    if let Some(text) = unsupported(args, &version) {
        return Ok(Plan::fail(text));
    }
    if args.is_true("requirements") || args.is_true("editable") {
        return Ok(whole_files(args, call));
    }
    let mut targets = Vec::new();
    for text in texts {
        match Requirement::parse(&text, machine) {
            Ok(wanted) => targets.push(Target { text, wanted }),
            Err(complaint) => return Ok(Plan::fail(complaint)),
        }
    }
    let there = pip.list(machine)?;
    let (mut said, mut missing) = (Vec::new(), Vec::new());
    let every: Vec<String> = targets.iter().map(|target| target.text.clone()).collect();
    for target in targets {
        match standing(&target, &there, args, &pip, machine)? {
            Standing::Missing => missing.push(target),
            Standing::There(text) => said.push(text),
        }
    }
    if missing.is_empty() {
        let end = if args.is_true("upgrade") {
            " and up-to-date"
        } else {
            ""
        };
        said.push(format!("All specified packages are already installed{end}"));
        return Ok(Plan::unchanged(said.join("\n")));
    }
    let would = if listed {
        format!(
            "Python package(s) set to be installed:\n{}",
            every.join("\n")
        )
    } else {
        format!("Python package {name} is set to be installed")
    };
    let mut foreseen = Changes::none();
    for target in &missing {
        if let [only] = target.wanted.asked.as_slice()
            && only.operator == "=="
            && !only.version.ends_with(".*")
        {
            let name = normalized(&target.wanted.name);
            foreseen.insert(format!("{name}=={}", only.version), "Installed");
        }
    }
    Ok(Plan::change("", foreseen, move |context| {
        install(&missing, said, call, &pip, context)
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// The arguments of `pip.install` that a state was given.
fn passed_on(args: &Args) -> Args {
    let mut call = Args::new();
    for key in PASSED_ON.into_iter().chain(["extra_args"]) {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    if let (None, Some(pip)) = (args.given("bin_env"), args.given("pip_bin")) {
        call = call.keyword("bin_env", pip.clone());
    }
    call.keyword("disable_version_check", true)
}

fn install(
    missing: &[Target],
    mut said: Vec<String>,
    call: Args,
    pip: &Pip,
    context: &Context<'_>,
) -> Result<Done, CallError> {
    let texts: Vec<&str> = missing.iter().map(|target| target.text.as_str()).collect();
    let call = call.keyword("pkgs", texts.iter().copied().collect::<Value>());
    let ran = context.registry.call("pip.install", &call, context)?;
    let part = |key: &str| {
        let map = ran.as_map();
        map.and_then(|map| map.str(key))
            .unwrap_or_default()
            .to_owned()
    };
    if !succeeded(&ran) {
        said.push(format!(
            "Failed to install packages: {}. {}",
            texts.join(", "),
            error_of(&ran)
        ));
        return Ok(Done::failed(said.join("\n")));
    }
    let satisfied: Vec<String> = part("stdout").lines().filter_map(satisfied).collect();
    let there = pip.list(context.system)?;
    let mut changes = Changes::none();
    let mut unseen = Vec::new();
    for target in missing {
        let name = normalized(&target.wanted.name);
        if name.is_empty() {
            changes.insert(format!("{}==???", target.text), "Installed");
        } else if satisfied.contains(&name) {
        } else if let Some(version) = there.str(&name) {
            changes.insert(format!("{name}=={version}"), "Installed");
        } else {
            unseen.push(format!(
                "There was no error installing package '{}' although it does not show when calling 'pip.freeze'.",
                target.text
            ));
        }
    }
    if unseen.is_empty() {
        said.push("All packages were successfully installed".to_owned());
    }
    said.extend(unseen);
    Ok(Done::with_comment(said.join("\n")).changes(changes))
}

/// The package that a line of `pip` says is there already.
fn satisfied(line: &str) -> Option<String> {
    let rest = [
        "Requirement already satisfied: ",
        "Requirement already up-to-date: ",
    ]
    .iter()
    .find_map(|start| line.strip_prefix(start))?;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(rest.len());
    rest.get(..end).map(normalized)
}

fn succeeded(ran: &Value) -> bool {
    let retcode = ran.as_map().and_then(|map| map.get("retcode"));
    retcode == Some(&Value::from(0))
}

/// Why `pip.install` failed.
fn error_of(ran: &Value) -> String {
    let part = |key: &str| ran.as_map().and_then(|map| map.str(key)).map(str::to_owned);
    match part("comment") {
        Some(comment) => format!("Error: {comment}"),
        None => format!(
            "Error: {} {}",
            part("stdout").unwrap_or_default(),
            part("stderr").unwrap_or_default()
        ),
    }
}

/// Files of requirements and editable packages: `pip` knows what is missing.
fn whole_files(args: &Args, call: Args) -> Plan {
    let shown = |key: &str| {
        args.given(key)
            .filter(|value| value.is_true())
            .map(python::str)
    };
    let (requirements, editable) = (shown("requirements"), shown("editable"));
    let both = |file: fn(&str) -> String, package: fn(&str) -> String| {
        let parts: Vec<String> = requirements
            .as_deref()
            .map(file)
            .into_iter()
            .chain(editable.as_deref().map(package))
            .collect();
        parts.join(" ")
    };
    let would = both(
        |file| format!("Requirements file '{file}' will be processed."),
        |package| {
            format!(
                "Package will be installed in editable mode (i.e. setuptools \"develop mode\") from {package}."
            )
        },
    );
    let comment = both(
        |file| format!("Successfully processed requirements file {file}."),
        |package| format!("Package successfully installed from VCS checkout {package}."),
    );
    let failed = both(
        |file| format!("Unable to process requirements file \"{file}\""),
        |package| format!("Unable to install from VCS checkout {package}."),
    );
    let mut changes = Changes::none();
    if requirements.is_some() {
        changes.insert("requirements", true);
    }
    if editable.is_some() {
        changes.insert("editable", true);
    }
    let only_files = editable.is_none();
    Plan::change(comment, changes, move |context| {
        let ran = context.registry.call("pip.install", &call, context)?;
        if !succeeded(&ran) {
            return Ok(Done::failed(format!("{failed} {}", error_of(&ran))));
        }
        let said = ran
            .as_map()
            .and_then(|map| map.str("stdout"))
            .unwrap_or_default();
        let nothing_new = !said.is_empty() && said.lines().all(|line| satisfied(line).is_some());
        Ok::<_, CallError>(if only_files && nothing_new {
            Done::with_comment("Requirements were already installed.").changes(Changes::none())
        } else {
            Done::as_planned()
        })
    })
    .when_testing(would)
    .test_changes(Changes::none())
}

fn removed(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let there = Pip::of(args, check.system).and_then(|pip| {
        pip.version(check.system)?;
        pip.list(check.system)
    });
    let there = match there {
        Ok(there) => there,
        Err(error @ (CallError::CommandNotFound(_) | CallError::Execution(_))) => {
            return Ok(Plan::fail(format!("Error uninstalling '{name}': {error}")));
        }
        Err(error) => return Err(error),
    };
    if !there.contains_key(&normalized(&name)) {
        return Ok(Plan::unchanged("Package is not installed."));
    }
    let mut call = Args::new().keyword("pkgs", name.as_str());
    for key in [
        "requirements",
        "bin_env",
        "log",
        "proxy",
        "timeout",
        "user",
        "cwd",
    ] {
        if let Some(value) = args.given(key) {
            call = call.keyword(key, value.clone());
        }
    }
    let would = format!("Package {name} is set to be removed");
    Ok(Plan::change(
        "Package was successfully removed.",
        Changes::of(&name, "Removed"),
        move |context| {
            // Salt does not look at how it ends either.
            context.registry.call("pip.uninstall", &call, context)?;
            Ok::<_, CallError>(())
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn uptodate(args: &Args, check: &Check<'_>) -> Answer {
    let newer = Pip::of(args, check.system).and_then(|pip| {
        pip.version(check.system)?;
        pip.upgrades(check.system)
    });
    let newer = match newer {
        Ok(newer) => newer,
        Err(error @ (CallError::CommandNotFound(_) | CallError::Execution(_))) => {
            return Ok(Plan::fail(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    if newer.is_empty() {
        return Ok(Plan::unchanged("System is already up-to-date."));
    }
    let args = args.clone();
    Ok(
        Plan::change("Upgrade successful.", Changes::none(), move |context| {
            let upgraded = upgrade(&args, context)?;
            Ok::<_, CallError>(if upgraded.get("result").is_some_and(Value::is_true) {
                Done::as_planned().changes(upgraded)
            } else {
                Done::failed(upgraded.get("comment").cloned().unwrap_or_default())
            })
        })
        .when_testing("System update will be performed"),
    )
}
