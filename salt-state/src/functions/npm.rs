//! `npm.*`: packages of Node.

use std::path::Path;

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "npm.install",
        "install(pkg=None, pkgs=None, dir=None, runas=None, registry=None, env=None, dry_run=False, silent=True)",
        "Installs packages, or what the directory needs.",
        |args, context| {
            let names = match args.given("pkgs") {
                Some(Value::List(names)) => names.iter().map(python::str).collect(),
                Some(one) => vec![python::str(one)],
                None => args.optional_text("pkg").into_iter().collect(),
            };
            install(context, &Place::of(args, "runas"), &names, args)
        },
    );
    add(
        "npm.uninstall",
        "uninstall(pkg, dir=None, runas=None, env=None)",
        "Removes a package.",
        |args, context| {
            let place = Place::of(args, "runas");
            Ok(uninstall(context, &place, &args.text("pkg")?)?.into())
        },
    );
    add(
        "npm.list",
        "list_(pkg=None, dir=None, runas=None, env=None, depth=None)",
        "The installed packages.",
        |args, context| {
            let place = Place::of(args, "runas");
            let (pkg, depth) = (args.optional_text("pkg"), args.optional_text("depth"));
            Ok(list(context.system, &place, pkg.as_deref(), depth.as_deref())?.into())
        },
    );
    add(
        "npm.cache_clean",
        "cache_clean(path=None, runas=None, env=None, force=False)",
        "Removes what npm keeps for later, or a part of it; whether that worked.",
        |args, context| {
            let (place, path) = (Place::of(args, "runas"), args.optional_text("path"));
            let force = args.is_true("force");
            Ok(clean(context, &place, path.as_deref(), force)?.into())
        },
    );
    add(
        "npm.cache_list",
        "cache_list(path=None, runas=None, env=None)",
        "What npm keeps for later, or a part of it.",
        |args, context| {
            let (place, path) = (Place::of(args, "runas"), args.optional_text("path"));
            Ok(kept(context.system, &place, path.as_deref())?.into())
        },
    );
    add(
        "npm.cache_path",
        "cache_path(runas=None, env=None)",
        "Where npm keeps things for later.",
        |args, context| {
            let place = Place::of(args, "runas");
            let command = place.npm(context.system, "config")?.args(["get", "cache"]);
            let output = tool::ask(context.system, &command)?;
            Ok(output.stdout_text().trim_end().into())
        },
    );
}

/// What npm keeps for later, or a part of it.
pub(crate) fn kept(
    machine: &dyn Observe,
    place: &Place,
    path: Option<&str>,
) -> Result<String, CallError> {
    let command = place.npm(machine, "cache")?.arg("ls").args(path);
    let output = tool::ask(machine, &command)?;
    if !output.is_success() && !output.stderr_text().trim().is_empty() {
        return Err(CallError::execution(output.stderr_text().trim().to_owned()));
    }
    Ok(output.stdout_text().trim_end().to_owned())
}

/// Removes what npm keeps for later, or a part of it; whether that worked.
pub(crate) fn clean(
    context: &Context<'_>,
    place: &Place,
    path: Option<&str>,
    force: bool,
) -> Result<bool, CallError> {
    let command = place.npm(context.system, "cache")?.arg("clean").args(path);
    let command = command.args(force.then_some("--force"));
    Ok(tool::run(context, &command)?.is_success())
}

/// Where and as whom npm works: in a directory, or for everybody.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    directory: Option<String>,
    user: Option<String>,
    env: Map,
}

impl Place {
    /// Out of `dir`, `env` and the argument that names the user.
    pub(crate) fn of(args: &Args, user: &str) -> Self {
        let env = match args.given("env") {
            Some(Value::Map(env)) => env.clone(),
            Some(Value::List(all)) => all
                .iter()
                .filter_map(Value::as_map)
                .flat_map(|one| one.iter().map(|(key, value)| (key.clone(), value.clone())))
                .collect(),
            _ => Map::new(),
        };
        Self {
            directory: args.optional_text("dir"),
            user: args.optional_text(user),
            env,
        }
    }

    fn npm(&self, machine: &dyn Observe, verb: &str) -> Result<Command, CallError> {
        let mut command = tool::named(machine, "npm").arg(verb);
        if let Some(directory) = &self.directory {
            let path = Path::new(directory);
            if !path.is_absolute() || !machine.is_dir(path) {
                return Err(CallError::execution(format!(
                    "Specified cwd '{directory}' either not absolute or does not exist"
                )));
            }
            command = command.cwd(path);
        }
        for (name, value) in &self.env {
            command = command.env(python::str(name), python::str(value));
        }
        command.user.clone_from(&self.user);
        Ok(command)
    }

    fn global(&self) -> Option<&'static str> {
        self.directory.is_none().then_some("--global")
    }
}

fn data(text: &str) -> Option<Value> {
    // npm may say something before its answer.
    let start = text.find(['{', '['])?;
    let node = crate::render::json::parse(text.get(start..)?.trim_end(), 0).ok()?;
    Some(node.to_value())
}

/// Installs packages; what npm says of it.
pub(crate) fn install(
    context: &Context<'_>,
    place: &Place,
    names: &[String],
    args: &Args,
) -> Answer {
    let mut command = place.npm(context.system, "install")?.arg("--json");
    if args.get("silent").is_none_or(Value::is_true) {
        command = command.arg("--silent");
    }
    command = command.args(place.global());
    if let Some(registry) = args.optional_text("registry") {
        command = command.arg(format!("--registry={registry}"));
    }
    if args.is_true("dry_run") {
        command = command.arg("--dry-run");
    }
    let output = tool::run(context, &command.args(names))?;
    if !output.is_success() {
        return Err(CallError::execution(output.stderr_text().trim().to_owned()));
    }
    let text = output.stdout_text();
    Ok(data(&text).unwrap_or_else(|| text.trim_end().into()))
}

/// Removes a package; whether that worked.
pub(crate) fn uninstall(
    context: &Context<'_>,
    place: &Place,
    name: &str,
) -> Result<bool, CallError> {
    let command = place
        .npm(context.system, "uninstall")?
        .arg(name)
        .args(place.global());
    Ok(tool::run(context, &command)?.is_success())
}

/// The installed packages.
pub(crate) fn list(
    machine: &dyn Observe,
    place: &Place,
    name: Option<&str>,
    depth: Option<&str>,
) -> Result<Map, CallError> {
    let mut command = place
        .npm(machine, "list")?
        .args(["--json", "--silent"])
        .args(place.global());
    if let Some(depth) = depth {
        command = command.arg(format!("--depth={depth}"));
    }
    let output = tool::ask(machine, &command.args(name))?;
    // It fails where something is missing, and lists what there is.
    if !output.is_success() && !output.stderr_text().trim().is_empty() {
        return Err(CallError::execution(output.stderr_text().trim().to_owned()));
    }
    Ok(data(&output.stdout_text())
        .and_then(|all| all.get("dependencies").and_then(Value::as_map).cloned())
        .unwrap_or_default())
}
